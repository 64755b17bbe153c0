/**
 * Faults. A stream of payments of every path runs while each kind of host in turn is ended by SIGKILL and started again, the
 * nats-server is, and the whole network goes down and comes up. Whatever was under way, every payment ends in time, nobody
 * takes back what a customer was told, and every ledger agrees with the others.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LIMITS } from '../../protocol/limits.ts'
import { hostOf } from '../fleet/client.ts'
import { newPaymentId, pay, type PayOrder } from '../fleet/pay.ts'
import type { HostStatus } from '../fleet/state.ts'
import { eventually, startFaultFleet, type FaultFleet } from './fault-fleet.ts'
import { judgePayments, type CppPayment, type PaymentJudge } from './payment-judge.ts'
import { startStream, type PaymentStream } from './payment-stream.ts'

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
    merchants:
      - { payee: bakery@hu, bank: hu-kh }
      - { payee: hotel@hu, bank: hu-kh, approval: { rule: silent } }
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
let judge: PaymentJudge
beforeAll(async () => {
  net = await startFaultFleet(NETWORK)
  judge = judgePayments(net)
}, 180_000)
afterAll(() => net[Symbol.asyncDispose](), 60_000)

const more = (stream: PaymentStream): Promise<void> => {
  const from = stream.ended()
  return eventually(`${AROUND} more payments`, RECOVERY_MS, () => stream.ended() >= from + AROUND)
}

/** The later of a payment's expiry and its CPP's return, plus one sweep. What was being posted waits for the bank instead. */
const latestAfter =
  (returnedAtMs: ReadonlyMap<string, number>) =>
  (cpp: string, { expiresAtMs, postingAtMs }: CppPayment): number | undefined =>
    postingAtMs === undefined
      ? Math.max(expiresAtMs, returnedAtMs.get(cpp) ?? 0) + LIMITS.sweepEveryMs + STALL_MS
      : undefined

/** Pays a payee that never answers: resolves when the CPP has sent the notice, with what will end at its expiry. */
const payNobody = async (customer: string, cpp: string) => {
  const paymentId = newPaymentId()
  const order: PayOrder = { customer, payee: 'hotel@hu', amountMinor: 50n, currency: 'EUR' }
  const ended = net.withHost(hostOf(net.plan, customer), (wallet) => pay(wallet, order, RECOVERY_MS, paymentId))
  // Whoever awaits it hears of it.
  ended.catch(() => undefined)
  const payment = { cpp, paymentId }
  let row: CppPayment | undefined
  await eventually('the notice', RECOVERY_MS, async () => {
    row = await judge.cppPayment(payment).catch(() => undefined)
    return row?.state === 'notified'
  })
  return { ...payment, expiresAtMs: (row as CppPayment).expiresAtMs, ended }
}

/** What must have become of the payments around a fault. */
const SOUND = { confirmed: 'most', toldWrongly: [], decidedLate: [], failedChecks: [], quiet: true }

/**
 * Pays throughout `fault`, and examines what became of it all.
 * @param fault answers when CPPs that it took down served again
 */
const payThrough = async (fault: () => Promise<ReadonlyMap<string, number>>): Promise<unknown> => {
  const stream = startStream(net, IN_FLIGHT, orderOf)
  let returnedAtMs: ReadonlyMap<string, number>
  try {
    await more(stream)
    returnedAtMs = await fault()
    await more(stream)
  } catch (error) {
    // What failed says more than payments that then do not end either.
    await stream.stop().catch(() => undefined)
    throw error
  }
  const made = await stream.stop()
  await judge.untilDecidedEverywhere(RECOVERY_MS)
  const confirmed = [...made.values()].filter(({ result }) => result.outcome === 'confirmed').length
  const told = await judge.toldWrongly(made)
  const late = await judge.decidedLate(made, latestAfter(returnedAtMs))
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

  test('a CPP is without power until what it had under way has expired', async () => {
    const examined = await payThrough(async () => {
      const [down, lasting] = await Promise.all([payNobody('hu-c1', 'hu-otp'), payNobody('ro-c1', 'ro-libra')])
      const before = await net.statusOf(down.cpp)
      await net.kill(down.cpp)
      await eventually('its expiry', RECOVERY_MS, () => Date.now() > down.expiresAtMs)
      const backAtMs = Date.now()
      await comesBack(down.cpp, before)
      const returnedAtMs = new Map([[down.cpp, Date.now()]])

      for (const one of [down, lasting])
        expect(await one.ended).toMatchObject({ outcome: 'expired', code: 'NOTICE_EXPIRED' })
      const ids = new Set([down.paymentId, lasting.paymentId])
      expect(await judge.decidedLate(ids, latestAfter(returnedAtMs))).toEqual([])
      expect((await judge.cppPayment(down)).decidedAtMs).toBeGreaterThanOrEqual(backAtMs)
      return returnedAtMs
    })
    expect(examined).toEqual(SOUND)
    const atHotel = (await Promise.all([judge.linesOf('mpp'), judge.linesOf('merchant')])).flat()
    expect(atHotel.filter(({ payee }) => payee === 'hu-hotel').map(({ state }) => state)).toEqual(
      Array.from({ length: 4 }, () => 'expired'),
    )
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
      return new Map(judge.hostsOf('cpp').map((id) => [id, Date.now()]))
    })
    expect(examined).toEqual(SOUND)
  })
})
