/**
 * Faults. A stream of payments of every path runs while each kind of host in turn is ended by SIGKILL and started again, the
 * nats-server is, and the whole network goes down and comes up. Whatever was under way, every payment ends in time, nobody
 * takes back what a customer was told, and every ledger agrees with the others.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isFinalState, type PaymentLine } from '../../nodes/runtime/reports.ts'
import { paymentsFromJson } from '../../nodes/verify/from-json.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { allPages } from '../fleet/node-source.ts'
import type { PayOrder } from '../fleet/pay.ts'
import type { HostRole } from '../fleet/plan.ts'
import type { HostStatus } from '../fleet/state.ts'
import { eventually, startFaultFleet, type FaultFleet } from './fault-fleet.ts'
import { startStream, type Ordered, type PaymentStream } from './payment-stream.ts'

const NETWORK = `network: faults
currency: EUR
policies:
  cpp: { noticeLifetimeMs: 6000, settlement: { thresholdMinor: { EUR: '2000' }, maxAgeMs: 2000, retryMs: 500 } }
  mpp: { payout: { thresholdMinor: { EUR: '500' }, maxAgeMs: 2000, retryMs: 500 } }
  bank: { clearing: { windowMs: 1000 } }
  merchant: { transLifetimeMs: 15000 }
  customer: { guestPhaseMs: 8000 }
banks:
  - { id: hu-kh }
  - { id: ro-carpat }
  - { id: ro-reserve, settlement: true }
realms:
  hu:
    cpps: [{ id: hu-otp, bank: hu-kh }]
    mpps: [{ id: hu-cosmo, bank: hu-kh }]
    merchants: [{ payee: bakery@hu, bank: hu-kh }]
    customers: [{ pattern: 'hu-c{n}', count: 5, bank: hu-kh, balance: '9000.00' }]
  ro:
    cpps: [{ id: ro-libra, bank: ro-carpat }]
    mpps: [{ id: ro-danube, bank: ro-carpat }]
    merchants: [{ payee: cafe@ro, bank: ro-carpat }]
    customers: [{ pattern: 'ro-c{n}', count: 5, bank: ro-carpat, balance: '9000.00' }]
`
const IN_FLIGHT = 8
/** Payments that end before a fault, and again after it: it hits a busy network, and the network serves afterwards. */
const AROUND = 8
/** For a network that has everything again: expiry, back-off and a slow machine together stay far below. */
const RECOVERY_MS = 60_000
/** How late a sweep may come on a machine that is busy with other things. */
const STALL_MS = 5_000
/** A host that is told to die does so in the midst of payments: at this commit from now. */
const COMMITS = 6

/** Micro and macro, within a realm and across: every kind within twelve orders, a crossing of the threshold now and then. */
const orderOf = (i: number): PayOrder => ({
  customer: `${i % 2 === 0 ? 'hu' : 'ro'}-c${1 + (i % 5)}`,
  payee: i % 4 < 2 ? 'bakery@hu' : 'cafe@ro',
  amountMinor: i % 3 === 0 ? 1_200n + BigInt(i) : BigInt(90 + ((i * 37) % 300)),
  currency: 'EUR',
})

let net: FaultFleet
beforeAll(async () => {
  net = await startFaultFleet(NETWORK)
}, 180_000)
afterAll(() => net[Symbol.asyncDispose](), 60_000)

const hostsOf = (...roles: readonly HostRole[]): readonly string[] =>
  net.plan.hosts.filter(({ role }) => roles.includes(role)).map(({ id }) => id)

/** Every payment of the hosts of a role. */
const linesOf = async (role: HostRole): Promise<readonly PaymentLine[]> =>
  (
    await Promise.all(
      hostsOf(role).map((id) =>
        net.withHost(id, (host) =>
          allPages(role, async (after) => paymentsFromJson(await host.builtin('payments', { after }))),
        ),
      ),
    )
  ).flat()

const more = (stream: PaymentStream): Promise<void> => {
  const from = stream.ended()
  return eventually(`${AROUND} more payments`, RECOVERY_MS, () => stream.ended() >= from + AROUND)
}

type Undecided = Readonly<Record<string, number>>
/** Payments without an end, by host and state. */
const undecided = async (): Promise<readonly string[]> =>
  (
    await Promise.all(
      hostsOf('customer', 'merchant', 'cpp', 'mpp').map(async (id) => {
        const { undecided: states } = await net.withHost(id, (host) =>
          host.builtin<{ readonly undecided: Undecided }>('report'),
        )
        return Object.entries(states).map(([state, count]) => `${id}: ${count} ${state}`)
      }),
    )
  ).flat()

const untilDecidedEverywhere = async (): Promise<void> => {
  let left: readonly string[] = []
  await eventually(
    'every payment decided at every node',
    RECOVERY_MS,
    async () => (left = await undecided()).length === 0,
    () => left.join(', '),
  )
}

/** What callers saw confirmed and CPP, MPP or merchant holds otherwise, or the other way round. */
const toldWrongly = async (made: ReadonlyMap<string, Ordered>): Promise<readonly string[]> => {
  const [cpps, mpps, merchants] = [await linesOf('cpp'), await linesOf('mpp'), await linesOf('merchant')]
  const byPnId = (lines: readonly PaymentLine[]) => new Map(lines.map((line) => [line.pnId, line]))
  const [atCpp, atMpp, atMerchant] = [new Map(cpps.map((line) => [line.prId, line])), byPnId(mpps), byPnId(merchants)]
  return [...made].flatMap(([paymentId, { order, result }]) => {
    const line = atCpp.get(paymentId)
    const held = [line, atMpp.get(line?.pnId), atMerchant.get(line?.pnId)]
    const isHeld = (one: PaymentLine | undefined): boolean =>
      one?.state === 'confirmed' && one.amountMinor === order.amountMinor
    const agrees = result.outcome === 'confirmed' ? held.every(isHeld) : held.every((one) => one?.state !== 'confirmed')
    return agrees ? [] : [`${paymentId} told ${result.outcome}, held ${held.map((one) => one?.state).join(', ')}`]
  })
}

type CppPayment = {
  readonly payment: {
    readonly state: string
    readonly expiresAtMs: number
    readonly postingAtMs?: number
    readonly decidedAtMs?: number
  }
}
/**
 * By the CPPs' own rows, payments decided after the later of their expiry and their CPP's return, plus one sweep. What was being
 * posted waits for the bank instead: then only that it was decided.
 */
const decidedLate = async (
  made: ReadonlyMap<string, Ordered>,
  returnedAtMs: ReadonlyMap<string, number>,
): Promise<readonly string[]> => {
  const late: string[] = []
  for (const { prId, cpp } of await linesOf('cpp')) {
    if (cpp === undefined || prId === undefined || !made.has(prId)) continue
    const { payment } = await net.withHost(cpp, (host) => host.read<CppPayment>('payment', { paymentId: prId }))
    const { state, expiresAtMs, postingAtMs, decidedAtMs } = payment
    const latest = Math.max(expiresAtMs, returnedAtMs.get(cpp) ?? 0) + LIMITS.sweepEveryMs + STALL_MS
    const inTime = decidedAtMs !== undefined && (postingAtMs !== undefined || decidedAtMs <= latest)
    if (!isFinalState(state) || !inTime) late.push(`${prId} ${state} at ${decidedAtMs}, expiry ${expiresAtMs}`)
  }
  return late
}

/** What must have become of the payments around a fault. */
const SOUND = { confirmed: 'most', toldWrongly: [], decidedLate: [], failedChecks: [], quiet: true }

/**
 * Pays throughout `fault`, and examines what became of it all.
 * @param fault answers when CPPs that it took down served again
 */
const payThrough = async (fault: () => Promise<ReadonlyMap<string, number>>): Promise<unknown> => {
  const stream = startStream(net, IN_FLIGHT, orderOf)
  await more(stream)
  const returnedAtMs = await fault()
  await more(stream)
  const made = await stream.stop()
  await untilDecidedEverywhere()
  const confirmed = [...made.values()].filter(({ result }) => result.outcome === 'confirmed').length
  const told = await toldWrongly(made)
  const late = await decidedLate(made, returnedAtMs)
  const { quiet, checks } = await net.verify()
  return {
    confirmed: confirmed > made.size / 2 ? 'most' : `${confirmed} of ${made.size}`,
    toldWrongly: told,
    decidedLate: late,
    failedChecks: checks.filter(({ ok }) => !ok),
    quiet,
  }
}

/** A host that is gone; then it comes back. */
const comesBack = async (id: string, { restarts }: HostStatus): Promise<void> => {
  await net.untilDead(id)
  expect(await net.statusOf(id)).toMatchObject({ state: 'failed', problem: 'ended by itself: SIGKILL' })
  await net.start(id)
  expect(await net.statusOf(id)).toMatchObject({ state: 'ready', restarts: restarts + 1 })
}

const NONE_DOWN: ReadonlyMap<string, number> = new Map()

describe('while people pay', () => {
  test.each([
    ['a data center', 'hu-dc-1'],
    ['a bank', 'hu-kh'],
    ['a CPP', 'hu-otp'],
    ['an MPP', 'hu-cosmo'],
    ['a merchant host', 'hu-shops-1'],
    ['a wallet host', 'hu-wallets-1'],
  ])('%s loses power and comes back', async (_, id) => {
    const examined = await payThrough(async () => {
      const before = await net.statusOf(id)
      await net.kill(id)
      await comesBack(id, before)
      return new Map([[id, Date.now()]])
    })
    expect(examined).toEqual(SOUND)
  })

  // Where a power cut hurts: what is decided is not yet kept, kept and not yet on the disk, on the disk and not yet sent.
  test.each([
    ['a CPP', 'hu-otp', 'after-flush'],
    ['a bank', 'hu-kh', 'after-commit'],
    ['an MPP', 'ro-danube', 'before-commit'],
  ] as const)('%s, %s, dies %s and comes back', async (_, id, point) => {
    const examined = await payThrough(async () => {
      const before = await net.statusOf(id)
      await net.dieAt(id, point, COMMITS)
      await comesBack(id, before)
      return new Map([[id, Date.now()]])
    })
    expect(examined).toEqual(SOUND)
  })

  test('the nats-server is killed and started again', async () => {
    const examined = await payThrough(async () => {
      await net.killBroker()
      return NONE_DOWN
    })
    expect(examined).toEqual(SOUND)
  })

  test('the network goes down and comes up', async () => {
    const examined = await payThrough(async () => {
      await net.down()
      await net.up()
      return new Map(hostsOf('cpp').map((id) => [id, Date.now()]))
    })
    expect(examined).toEqual(SOUND)
  })
})
