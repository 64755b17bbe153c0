/** `semops chaos` against a network of real processes in which people pay: what it breaks it mends, also when it is interrupted. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runChaos, untilServing, type ChaosEvent } from '../chaos/run.ts'
import { openFleet } from '../fleet/client.ts'
import { semops } from '../testing/test-fleet.ts'
import { startFaultFleet, type FaultFleet } from './fault-fleet.ts'
import { oneRealm, oneRealmOrder } from './one-realm.ts'
import { startStream } from './payment-stream.ts'

const SERVING_MS = 60_000
const FAULTS = `
- { at: 0, fault: drop, target: hu-cosmo, kind: countersigned-decision, count: 2, for: 2 }
- { at: 0.5, fault: kill, target: hu-otp, for: 0.5 }
- { at: 1, fault: pause, target: hu-kh, for: 2 }
- { at: 2, fault: server-restart, for: 0.5 }
- { at: 3, fault: partition, target: hu-cosmo, for: 2 }
`

let net: FaultFleet
beforeAll(async () => {
  net = await startFaultFleet(oneRealm('chaos'))
}, 180_000)
afterAll(() => net[Symbol.asyncDispose](), 60_000)

test('faults by a list, while people pay: each is told, each is mended, and the money is right', async () => {
  const stream = startStream(net, 3, oneRealmOrder)
  const plan = join(net.directory.root, 'faults.yaml')
  await writeFile(plan, FAULTS)
  const { code, out, error } = await semops(['chaos', '--plan', plan, '--json', '--dir', net.directory.root])
  expect([code, error]).toEqual([0, expect.not.stringContaining('verified')])
  const said = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Partial<ChaosEvent> & { readonly ok?: boolean })
  for (const what of ['fault', 'mended'] as const)
    expect(new Set(said.filter((one) => one.what === what).map(({ target }) => target))).toEqual(
      new Set(['hu-cosmo', 'hu-kh', 'hu-otp', 'nats']),
    )
  expect(said.at(-1)).toMatchObject({ ok: true, faults: 5, notDone: 0, quiet: true, broken: [] })
  expect((await stream.stop()).size).toBeGreaterThan(0)
}, 180_000)

test('an interruption mends at once what is broken, and does nothing more', async () => {
  const fleet = await openFleet(net.directory.root)
  try {
    const interrupt = new AbortController()
    const events: ChaosEvent[] = []
    const hour = 3_600_000
    const run = await runChaos(
      fleet,
      [
        { atMs: 0, fault: 'pause', target: 'hu-kh', lastsMs: hour },
        { atMs: 0, fault: 'kill', target: 'hu-otp', lastsMs: hour },
        { atMs: hour, fault: 'kill', target: 'hu-cosmo', lastsMs: 0 },
      ],
      {
        onEvent: (event) => {
          events.push(event)
          if (events.length === 2) interrupt.abort()
        },
        signal: interrupt.signal,
      },
    )
    expect(run).toEqual({ done: 2, failed: 0, unmended: [], interrupted: true })
    await untilServing(fleet, SERVING_MS)
    await net.withHost('hu-kh', async (bank) => expect(await bank.builtin('status')).toMatchObject({ state: 'ready' }))
  } finally {
    fleet.close()
  }
}, 120_000)

test.each([
  [['--faults', 'burn'], 'burn is no fault'],
  [['--only', 'nobody'], 'nobody is no host and no role'],
  [['--only', 'nats', '--faults', 'kill'], 'none of these faults'],
  [['--duration', 'long'], 'is not a number of seconds'],
  [['--plan', 'missing.yaml'], 'cannot read missing.yaml'],
])('refuses %j in one line', async (words, says) => {
  const { code, error } = await semops(['chaos', ...words, '--dir', net.directory.root])
  // A stale build is told before.
  const last = error.trim().split('\n').at(-1)
  expect([code, last]).toEqual([2, expect.stringMatching(/^semops: /)])
  expect(last).toContain(says)
})
