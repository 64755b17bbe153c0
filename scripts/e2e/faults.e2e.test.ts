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

/** What callers saw confirmed is confirmed at CPP, MPP and merchant, for the same amount; what they saw end else is not. */
const expectToldTruly = async (made: ReadonlyMap<string, Ordered>): Promise<void> => {
  const [cpps, mpps, merchants] = [await linesOf('cpp'), await linesOf('mpp'), await linesOf('merchant')]
  const byPrId = new Map(cpps.map((line) => [line.prId, line]))
  const byPnId = (lines: readonly PaymentLine[]) => new Map(lines.map((line) => [line.pnId, line]))
  const [atMpp, atMerchant] = [byPnId(mpps), byPnId(merchants)]
  const told: unknown[] = []
  const held: unknown[] = []
  for (const [paymentId, { order, result }] of made) {
    const isConfirmed = result.outcome === 'confirmed'
    const line = byPrId.get(paymentId)
    const lines = [line, atMpp.get(line?.pnId), atMerchant.get(line?.pnId)]
    told.push({ paymentId, held: isConfirmed ? lines.map(() => `confirmed ${order.amountMinor}`) : 'not confirmed' })
    held.push({
      paymentId,
      held:
        isConfirmed || lines.some((one) => one?.state === 'confirmed')
          ? lines.map((one) => `${one?.state} ${one?.amountMinor}`)
          : 'not confirmed',
    })
  }
  expect(held).toEqual(told)
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
 * By the CPPs' own rows: decided by the later of the payment's expiry and its CPP's return, plus one sweep. What was being posted
 * waits for the bank instead.
 */
const expectDecidedInTime = async (returnsAtMs: ReadonlyMap<string, number>, from: number): Promise<void> => {
  for (const cpp of hostsOf('cpp')) {
    const late = await net.withHost(cpp, async (host) => {
      const lines = await allPages('cpp', async (after) => paymentsFromJson(await host.builtin('payments', { after })))
      const found: string[] = []
      for (const { prId } of lines) {
        const { payment } = await host.read<CppPayment>('payment', { paymentId: prId })
        const { state, expiresAtMs, postingAtMs, decidedAtMs } = payment
        const latest = Math.max(expiresAtMs, returnsAtMs.get(cpp) ?? from) + LIMITS.sweepEveryMs + STALL_MS
        const inTime = decidedAtMs !== undefined && (postingAtMs !== undefined || decidedAtMs <= latest)
        if (!isFinalState(state) || !inTime)
          found.push(`${prId} ${state}: expired ${expiresAtMs}, decided ${decidedAtMs}`)
      }
      return found
    })
    expect(late).toEqual([])
  }
}

/**
 * Pays throughout `fault`, and examines what became of it all.
 * @param fault answers when hosts served again, by id
 */
const payThrough = async (fault: () => Promise<ReadonlyMap<string, number>>): Promise<void> => {
  const stream = startStream(net, IN_FLIGHT, orderOf)
  const from = Date.now()
  await more(stream)
  const returnsAtMs = await fault()
  await more(stream)
  const made = await stream.stop()
  await untilDecidedEverywhere()

  const ends = [...made.values()].map(({ result }) => result.outcome)
  expect(ends.filter((end) => end === 'confirmed').length).toBeGreaterThan(made.size / 2)
  await expectToldTruly(made)
  await expectDecidedInTime(returnsAtMs, from)
  const { ok, quiet, checks } = await net.verify()
  expect(checks.filter((check) => !check.ok)).toEqual([])
  expect({ ok, quiet }).toEqual({ ok: true, quiet: true })
}

describe('while people pay', () => {
  test.each([
    ['a data center', 'hu-dc-1'],
    ['a bank', 'hu-kh'],
    ['a CPP', 'hu-otp'],
    ['an MPP', 'hu-cosmo'],
    ['a merchant host', 'hu-shops-1'],
    ['a wallet host', 'hu-wallets-1'],
  ])('%s loses power and comes back', async (_, id) => {
    await payThrough(async () => {
      const before = await net.statusOf(id)
      await net.kill(id)
      expect(await net.statusOf(id)).toMatchObject({ state: 'failed', problem: 'ended by itself: SIGKILL' })
      await net.start(id)
      const after = await net.statusOf(id)
      expect(after).toMatchObject({ state: 'ready', restarts: before.restarts + 1 })
      return new Map([[id, Date.now()]])
    })
  })

  test('the nats-server is killed and started again', async () => {
    await payThrough(async () => {
      await net.killBroker()
      return new Map(hostsOf('cpp').map((id) => [id, Date.now()]))
    })
  })

  test('the network goes down and comes up', async () => {
    await payThrough(async () => {
      await net.down()
      await net.up()
      return new Map(hostsOf('cpp').map((id) => [id, Date.now()]))
    })
  })
})
