/**
 * Faults. A stream of payments of every path runs while each kind of host in turn is ended by SIGKILL and started again, the
 * nats-server is, and the whole network goes down and comes up. Whatever was under way, every payment ends in time, nobody
 * takes back what a customer was told, and every ledger agrees with the others.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hostOf } from '../fleet/client.ts'
import { newPaymentId, pay, type PayOrder } from '../fleet/pay.ts'
import type { HostStatus } from '../fleet/state.ts'
import { eventually, startFaultFleet, type FaultFleet } from './fault-fleet.ts'
import { faultNetwork, latestAfter, NONE_DOWN, payThrough, RECOVERY_MS, SOUND } from './pay-through.ts'
import { judgePayments, type CppPayment, type PaymentJudge } from './payment-judge.ts'

/** A host that is told to die does so in the midst of payments: at this commit from now. */
const COMMITS = 6

let net: FaultFleet
let judge: PaymentJudge
beforeAll(async () => {
  net = await startFaultFleet(faultNetwork('faults'))
  judge = judgePayments(net)
}, 180_000)
afterAll(() => net[Symbol.asyncDispose](), 60_000)

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

/** A host that is gone; then it comes back. */
const comesBack = async (id: string, { restarts }: HostStatus): Promise<void> => {
  await net.untilDead(id)
  expect(await net.statusOf(id)).toMatchObject({ state: 'failed', problem: 'ended by itself: SIGKILL' })
  await net.start(id)
  expect(await net.statusOf(id)).toMatchObject({ state: 'ready', restarts: restarts + 1 })
}

describe('while people pay', () => {
  test.each([
    ['a data center', 'hu-dc-1'],
    ['a bank', 'hu-kh'],
    ['an MPP', 'hu-cosmo'],
    ['a merchant host', 'hu-shops-1'],
    ['a wallet host', 'hu-wallets-1'],
  ])('%s loses power and comes back', async (_, id) => {
    const examined = await payThrough(net, async () => {
      const before = await net.statusOf(id)
      await net.kill(id)
      await comesBack(id, before)
      return new Map([[id, Date.now()]])
    })
    expect(examined).toEqual(SOUND)
  })

  test('a CPP is without power until what it had under way has expired', async () => {
    const examined = await payThrough(net, async () => {
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
    const examined = await payThrough(net, async () => {
      const before = await net.statusOf(id)
      await net.dieAt(id, point, COMMITS)
      await comesBack(id, before)
      return new Map([[id, Date.now()]])
    })
    expect(examined).toEqual(SOUND)
  })

  test('the nats-server is killed and started again', async () => {
    const examined = await payThrough(net, async () => {
      await net.killBroker()
      return NONE_DOWN
    })
    expect(examined).toEqual(SOUND)
  })

  test('the network goes down and comes up', async () => {
    const examined = await payThrough(net, async () => {
      await net.down()
      await net.up()
      return new Map(judge.hostsOf('cpp').map((id) => [id, Date.now()]))
    })
    expect(examined).toEqual(SOUND)
  })
})
