import { expect, test } from 'vitest'
import { live } from '../../nodes/properties/testing/life.ts'
import { createBooks } from './books.ts'
import type { Topology, HostRole } from './world.ts'

const topologyOf = (realms: readonly string[]): Topology => ({
  intermediaries: 'two',
  realms,
  hosts: [
    ...realms.flatMap((realm) =>
      ['bank', 'cpp', 'mpp', 'shops-1', 'wallets-1'].map((n) => ({
        id: `${realm}-${n}`,
        role: ({ bank: 'bank', cpp: 'cpp', mpp: 'mpp', 'shops-1': 'merchant', 'wallets-1': 'customer' } as any)[
          n
        ] as HostRole,
        realm,
      })),
    ),
    { id: 'zz-reserve', role: 'bank' as const, realm: 'zz' },
  ],
  customers: [],
  payees: [],
  settlementBank: undefined,
})
const { SEEDS, STEPS } = process.env
test.each(SEEDS?.split(',') ?? ['one c'])('seed %s', { timeout: 600_000 }, async (seed) => {
  const realms = seed.startsWith('one') ? ['hu'] : ['hu', 'ro']
  const books = createBooks(topologyOf(realms))
  const all: any[] = []
  let ms = 0
  const timed = (act: () => void) => {
    const t = performance.now()
    act()
    ms += performance.now() - t
  }
  const started = performance.now()
  const life = await live({
    seed,
    intermediaries: seed.length % 2 === 0 ? 'one' : 'two',
    realms,
    steps: Number(STEPS ?? 14),
    watch: (host) => ({
      committed: (batch, changes) =>
        timed(() => {
          books.committed!(host, batch, changes)
          all.push(...books.check())
        }),
      flushed: (batch) => timed(() => books.flushed!(host, batch)),
      lost: (changes) => timed(() => books.lost!(host, changes)),
    }),
  })
  all.push(...books.atRest!())
  console.log(
    seed,
    life.payments,
    life.confirmed,
    life.refunds,
    life.restarts,
    'books ms',
    ms.toFixed(0),
    'of',
    (performance.now() - started).toFixed(0),
  )
  const rules = new Map<string, [number, string]>()
  for (const f of all) {
    const r = rules.get(f.rule) ?? [0, f.detail]
    r[0]++
    rules.set(f.rule, r)
  }
  for (const [rule, [n, d]] of rules) console.log(n, rule, '|', d)
  expect(all.length).toBe(0)
})
