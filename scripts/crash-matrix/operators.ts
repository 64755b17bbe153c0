/** What operators do: settle, pay out, collect, correct, fund, exchange keys, revoke, change policies. */
import { randomBytes, randomInt } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { toHex } from '../../protocol/bytes.ts'
import type { FaultFleet } from '../e2e/fault-fleet.ts'
import { issueCredential } from '../fleet/credential-issue.ts'
import { revokeCredential } from '../fleet/credential-revoke.ts'
import { DEFAULT_OVERLAP_MS, rotateCredential } from '../fleet/credential-rotate.ts'
import { inquire, insist, persist, type Act } from './acts.ts'

const CPPS = ['hu-otp', 'ro-libra'] as const
const MPPS = ['hu-cosmo', 'ro-danube'] as const
const BANKS = ['hu-kh', 'ro-carpat', 'ro-reserve'] as const
const pick = <T>(items: readonly T[]): T => items[randomInt(items.length)] as T
const nothing = (): void => undefined
const LOOK_MS = 50
/** Confirmations that are lost in a row, and how often their CPP settles meanwhile. */
const LOST = 6
const LOSS_MS = 250

const errands = (net: FaultFleet): Act => ({
  name: 'operators’ errands',
  everyMs: 400,
  run: async () => {
    const errand = pick<() => Promise<unknown>>([
      () => insist(net, pick(CPPS), 'settle-now'),
      () => insist(net, 'hu-otp', 'collect-customer', { customer: pick(['hu-anna', 'hu-bela', 'hu-eva']) }),
      () => insist(net, 'ro-libra', 'collect-customer', { customer: pick(['ro-ana', 'ro-mihai']) }),
      () => insist(net, 'hu-otp', 'register'),
      () => insist(net, 'hu-cosmo', 'payout-now', { payee: 'bakery@hu' }),
      () => insist(net, 'ro-danube', 'payout-now', { payee: 'cafe@ro' }),
      () => insist(net, pick(BANKS), 'close-window-now'),
      () =>
        insist(net, 'ro-reserve', 'fund-reserve', {
          bank: pick(['hu-kh', 'ro-carpat']),
          currency: 'EUR',
          amountMinor: '100',
        }),
      () => insist(net, 'hu-kh', 'deposit', { account: 'hu-kh:cust-hu-bela', amountMinor: '100' }),
      async () => insist(net, 'hu-shops-1', 'set-refund-pin', { pin: await net.pin('hu-shops-1') }),
      () => insist(net, 'hu-shops-1', 'set-approval', { payee: 'bakery@hu', approval: { rule: 'approve' } }),
    ])
    await errand()
  },
})

type Batches = { readonly batches: readonly Batch[] }
type Batch = {
  readonly batchId: string
  readonly mpp: string
  readonly state: string
  readonly fromSeq: number
  readonly toSeq: number
  readonly orderId?: string
  readonly disputes?: readonly { readonly pairSeq: number; readonly state: string }[]
}

/** An entry is corrected, disputed, and the correction taken back or not; a claim that the rules do not pay is paid by word. */
const disputes = (net: FaultFleet): Act => ({
  name: 'a dispute',
  everyMs: 1_000,
  run: async () => {
    const cpp = pick(CPPS)
    const settled = (await inquire<Batches>(net, cpp, 'settlements')).batches
    for (const { batchId, disputes: disputed = [] } of settled)
      for (const { pairSeq, state } of disputed)
        if (state === 'unresolved') {
          await insist(net, cpp, 'resolve-dispute', { batchId, pairSeq, accept: true })
          await insist(net, cpp, 'settle-now')
        }
    for (const mpp of MPPS) {
      const open = (await inquire<Batches>(net, mpp, 'settlements', { open: true })).batches
      for (const { batchId } of open) await insist(net, mpp, 'settle-batch', { batchId }, 5_000).catch(nothing)
    }
    const batch = settled.findLast(({ state }) => state === 'settled')
    if (batch === undefined || randomInt(2) === 0) return
    const amountMinor = String(pick([-20, 20]))
    await insist(net, cpp, 'correct-entry', { mpp: batch.mpp, currency: 'EUR', pairSeq: batch.fromSeq, amountMinor })
    await insist(net, cpp, 'settle-now')
  },
})

/** Each host in turn takes new keys while it runs. */
const rotations = (net: FaultFleet): Act => {
  const order = ['hu-kh', 'hu-otp', 'hu-cosmo', 'hu-shops-1', 'hu-wallets-1', 'hu-dc-1'] as const
  let turn = 0
  return {
    name: 'a rotation of keys',
    everyMs: 8_000,
    run: async () => {
      const id = order[turn++ % order.length] as string
      await rotateCredential(net.directory, net.plan, id, { overlapMs: DEFAULT_OVERLAP_MS, days: 30 }, nothing)
    },
  }
}

type List = { readonly version: number; readonly list: string | null }
const listAt = (net: FaultFleet, dc: string): Promise<List> =>
  persist(net, dc, (host) => host.builtin<List>('revocations'))
const newerThan = async (net: FaultFleet, version: number): Promise<List> => {
  for (let tries = 0; tries < 200; tries++) {
    const found = await listAt(net, 'hu-dc-1')
    if (found.version > version) return found
    await delay(LOOK_MS)
  }
  throw new Error('no newer revocation list came')
}

/** A host that never runs is certified and revoked: the list grows, and everybody adopts it. */
const revocations = (net: FaultFleet): Act => ({
  name: 'a revocation',
  everyMs: 15_000,
  run: async () => {
    const id = `hu-spare-${toHex(randomBytes(4))}`
    const order = {
      role: 'merchant',
      id,
      operatorId: undefined,
      certifiedBy: ['hu-cosmo'],
      certifierFiles: [],
      bank: undefined,
      balanceMinor: 0n,
      days: 1,
      out: join(net.directory.root, `${id}.creds`),
      again: false,
    } as const
    await issueCredential(net.directory, net.plan, order, nothing)
    const known = await listAt(net, 'hu-dc-1')
    const revoked = revokeCredential(net.directory, net.plan, { id }, nothing)
    // It may fail while the list is still looked for: that is said at the end.
    revoked.catch(nothing)
    try {
      // An operator need not wait until a host has asked for it.
      const { list } = await newerThan(net, known.version)
      const others = net.plan.hosts.filter(({ role }) => role !== 'dc')
      await persist(net, pick(others).id, (host) => host.builtin('revocations', { list }))
    } finally {
      await revoked
    }
  },
})

type Policy = Readonly<Record<string, unknown>>
type Accounts = Readonly<Record<string, string>>
/** Of a bank, and of nobody. */
const NOBODYS = 'ro-carpat:nobody'
/** For a settlement to be ordered, returned by the other bank, and ordered once more. */
const MISTYPED_MS = 3_000
/** θ by clusters now and then, and other settings of every role: what was armed by the former ones is armed anew. */
const policies = (net: FaultFleet): Act => {
  const KMEANS = { policy: 'kmeans', recomputeEveryMs: 1_500, minCustomers: 2, maxK: 2, maxDebtAgeMs: 5_000 }
  const AGGREGATIONS = [KMEANS, { policy: 'threshold', maxDebtAgeMs: 4_000 }, { policy: 'window', windowMs: 2_000 }]
  let turn = 0
  let right: Accounts | undefined
  const change = (id: string, by: (policy: Policy) => Policy): Promise<void> =>
    persist(net, id, async (host) => {
      const policy = await host.builtin<Policy>('policy')
      await host.builtin('set-policy', { policy: by(policy) })
    })
  return {
    name: 'a change of policy',
    everyMs: 4_000,
    run: async () => {
      right ??= (await persist(net, 'hu-otp', (host) => host.builtin<Policy>('policy')))[
        'settlementAccounts'
      ] as Accounts
      const settlementAccounts = right
      const aggregation = AGGREGATIONS[turn++ % AGGREGATIONS.length]
      await change('hu-otp', (policy) => ({ ...policy, aggregation, settlementAccounts }))
      const other = pick(net.plan.hosts.filter(({ id }) => id !== 'hu-otp'))
      await change(other.id, (policy) => policy)
      // An account mistyped: what goes there comes back.
      const mistyped = { ...settlementAccounts, 'ro-danube': NOBODYS }
      await change('hu-otp', (policy) => ({ ...policy, settlementAccounts: mistyped }))
      try {
        await insist(net, 'hu-otp', 'settle-now')
        await delay(MISTYPED_MS)
      } finally {
        await change('hu-otp', (policy) => ({ ...policy, settlementAccounts }))
      }
    },
  }
}

/** Confirmations of micropayments are lost, and the entries settled before they come again: the MPP asks for what it lacks. */
const losses = (net: FaultFleet): Act => ({
  name: 'entries that are lost',
  everyMs: 3_000,
  run: async () => {
    const cpp = pick(CPPS)
    await persist(net, cpp, (host) =>
      host.builtin('fault', { 'drop-next': { kind: 'delayed-transfer-confirmation', count: LOST } }),
    )
    for (let tries = 0; tries < LOST; tries++) {
      await delay(LOSS_MS)
      await insist(net, cpp, 'settle-now')
      // What stays open at the bank is asked for by its id.
      for (const { state, orderId } of (await inquire<Batches>(net, cpp, 'settlements')).batches.slice(-4))
        if (state === 'ordered' && orderId !== undefined)
          await insist(net, cpp, 'query-order', { orderId }).catch(nothing)
    }
  },
})

export const operatorsActs = (net: FaultFleet): readonly Act[] => [
  errands(net),
  disputes(net),
  rotations(net),
  revocations(net),
  policies(net),
  losses(net),
]
