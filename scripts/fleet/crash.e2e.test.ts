/**
 * Power cuts. A stream of payments of every path runs while each kind of host in turn, and then the broker, is ended by SIGKILL
 * and started again. Whatever was on its way, every payment ends, and every ledger agrees with the others.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { useTestFleet } from '../testing/test-fleet.ts'
import { hostOf } from './client.ts'
import { askFor, newPaymentId, pay, type PayOrder, type PayResult } from './pay.ts'

const NETWORK = `network: power-cuts
currency: EUR
policies:
  cpp: { noticeLifetimeMs: 6000, settlement: { thresholdMinor: { EUR: '500' }, maxAgeMs: 2000, retryMs: 500 } }
  mpp: { payout: { thresholdMinor: { EUR: '300' }, maxAgeMs: 2000, retryMs: 500 } }
  bank: { clearing: { windowMs: 1000 } }
  customer: { guestPhaseMs: 5000 }
banks:
  - { id: hu-kh }
  - { id: ro-carpat }
  - { id: ro-reserve, settlement: true }
realms:
  hu:
    cpps: [{ id: hu-otp, bank: hu-kh }]
    mpps: [{ id: hu-cosmo, bank: hu-kh }]
    merchants: [{ payee: bakery@hu, bank: hu-kh }]
    customers: [{ pattern: 'hu-c{n}', count: 4, bank: hu-kh, balance: '9000.00' }]
  ro:
    cpps: [{ id: ro-libra, bank: ro-carpat }]
    mpps: [{ id: ro-danube, bank: ro-carpat }]
    merchants: [{ payee: cafe@ro, bank: ro-carpat }]
    customers: [{ pattern: 'ro-c{n}', count: 4, bank: ro-carpat, balance: '9000.00' }]
`
const IN_FLIGHT = 6
/** Payments that must end between two power cuts, so that each hits a busy network. */
const BETWEEN_CUTS = 8
const POLL_MS = 50

const net = useTestFleet(NETWORK)

/** Micro and macro, in a realm and across, a crossing of the threshold now and then. */
const orderOf = (i: number): PayOrder => ({
  customer: `${i % 2 === 0 ? 'hu' : 'ro'}-c${1 + (i % 4)}`,
  payee: i % 3 === 0 ? 'bakery@hu' : 'cafe@ro',
  amountMinor: i % 5 === 0 ? 1_200n + BigInt(i) : BigInt(90 + ((i * 37) % 300)),
  currency: 'EUR',
})

type Stream = { readonly ended: () => number; readonly stop: () => Promise<ReadonlyMap<string, PayOrder>> }

/** Payments, one after the other in each of a few lanes, until `stop`. An order that found its wallet down is given again. */
const startStream = (): Stream => {
  const made = new Map<string, PayOrder>()
  let ended = 0
  let next = 0
  let stopping = false
  const lane = async (): Promise<void> => {
    while (!stopping) {
      const order = orderOf(next++)
      const paymentId = newPaymentId()
      made.set(paymentId, order)
      await orderUntilKnown(order, paymentId)
      ended += 1
    }
  }
  const lanes = Promise.all(Array.from({ length: IN_FLIGHT }, lane))
  return {
    ended: () => ended,
    stop: async () => {
      stopping = true
      await lanes
      return made
    },
  }
}

/** Under its own id an order may be given any number of times; it is paid once. */
const orderUntilKnown = async (order: PayOrder, paymentId: string): Promise<PayResult> => {
  for (;;) {
    try {
      const wallet = await net().fleet.host(hostOf(net().fleet.plan, order.customer))
      const result = await pay(wallet, order, 60_000, paymentId)
      if (result.outcome !== 'undecided') return result
    } catch {
      // The wallet host is down, or still locked: it comes back.
    }
    await delay(POLL_MS)
  }
}

const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await delay(POLL_MS)
}

describe('a network that loses power', () => {
  test('decides every payment and keeps every ledger in agreement', async () => {
    const stream = startStream()
    const more = (): Promise<void> => {
      const from = stream.ended()
      return until(() => stream.ended() >= from + BETWEEN_CUTS)
    }
    await more()
    for (const victim of [
      'hu-otp',
      'ro-danube',
      'hu-kh',
      'ro-carpat',
      'hu-dc-1',
      'ro-shops-1',
      'hu-wallets-1',
      'ro-reserve',
    ]) {
      await net().fleet.supervisor('kill-host', { id: victim })
      await net().fleet.supervisor('start-host', { id: victim })
      await more()
    }
    await net().fleet.supervisor('restart-nats', { kill: true })
    await more()
    // While payments go on being ordered: admissions stop, the network comes to rest, admissions open again.
    const amid = await net().verifyAtRest()
    expect(amid.checks.filter(({ ok }) => !ok)).toEqual([])
    expect(amid.quiet).toBe(true)
    await more()
    const made = await stream.stop()

    const ends = new Map<string, number>()
    for (const [paymentId, { customer }] of made) {
      const result = await askFor(await net().fleet.host(hostOf(net().fleet.plan, customer)), paymentId)
      const end = result?.outcome ?? 'never made'
      ends.set(end, (ends.get(end) ?? 0) + 1)
    }
    expect([...ends.keys()]).not.toContain('undecided')
    expect([...ends.keys()]).not.toContain('never made')
    expect(ends.get('confirmed') ?? 0).toBeGreaterThan(made.size / 2)

    const { checks, quiet } = await net().verifyAtRest()
    expect(checks.filter(({ ok }) => !ok)).toEqual([])
    expect(quiet).toBe(true)
  }, 240_000)
})
