/**
 * One intermediary and two (figures 2 and 3 of the paper), from the same code: what a customer and a merchant see is the same; what
 * the banks see is not.
 */
import { expect, test } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import type { CppReport, MppReport } from '../runtime/reports.ts'
import { buildNetwork, ids, type Network } from './testing/network.ts'

const hu = ids('hu')

/** Six micropayments of 18.00 in all, one collection, one macropayment of 25.00, and all of it settled and paid out. */
const day = async (net: Network) => {
  for (const amountMinor of [300n, 300n, 300n, 300n, 300n, 300n, 2_500n])
    expect(await net.pay('hu-alice', 'hu-bakery', amountMinor)).toMatchObject({ outcome: 'confirmed' })
  await net.ok(hu.cpp, 'settle-now')
  await net.sim.advance(30_000, 500)
  await net.settleDown()
  const orders = net.bankReport(hu.bank).orders.map(({ from, purpose, count, amountMinor }) => ({
    from,
    purpose,
    count,
    amountMinor,
  }))
  return orders.toSorted((a, b) => (a.purpose < b.purpose ? -1 : 1))
}
const sums = (net: Network) => {
  const [cpp] = (net.ask(hu.cpp, 'report') as CppReport).pairs
  const [mpp] = (net.ask(hu.mpp, 'report') as MppReport).pairs
  return [cpp?.settledMinor, cpp?.payableMinor, mpp?.settledMinor, mpp?.receivableMinor]
}

test('two intermediaries settle by a bank transfer', { timeout: 60_000 }, async () => {
  const net = await buildNetwork({ intermediaries: 'two' })
  expect(await day(net)).toEqual([
    { from: hu.cpp, purpose: 'collection', count: 1, amountMinor: 900n },
    { from: hu.cpp, purpose: 'payment', count: 1, amountMinor: 2_500n },
    { from: hu.mpp, purpose: 'payout', count: 1, amountMinor: 1_800n },
    { from: hu.cpp, purpose: 'settlement', count: 1, amountMinor: 1_800n },
  ])
  expect(sums(net)).toEqual([1_800n, 0n, 1_800n, 0n])
  expect(net.balance(net.accountOf('hu', 'cpp'))).toBe(1_000_000n + 900n - 1_800n)
  expect(net.balance(net.accountOf('hu', 'mpp'))).toBe(1_000_000n)
  expect(net.balance(`${hu.bank}:shop-bakery`)).toBe(4_300n)
  expect(net.problems()).toEqual([])
})

test('one intermediary settles by a book transfer, and no bank has a part in it', { timeout: 60_000 }, async () => {
  const net = await buildNetwork({ intermediaries: 'one' })
  expect(await day(net)).toEqual([
    { from: hu.cpp, purpose: 'collection', count: 1, amountMinor: 900n },
    { from: hu.cpp, purpose: 'payment', count: 1, amountMinor: 2_500n },
    { from: hu.mpp, purpose: 'payout', count: 1, amountMinor: 1_800n },
  ])
  expect(sums(net)).toEqual([1_800n, 0n, 1_800n, 0n])
  expect(net.balance(net.accountOf('hu', 'cpp'))).toBe(1_000_000n + 900n - 1_800n)
  expect(net.balance(`${hu.bank}:shop-bakery`)).toBe(4_300n)
  expect(net.problems()).toEqual([])
})

test.each(['one', 'two'] as const)(
  '%s: a refund of a small payment and of a large one, before and after the payout',
  { timeout: 60_000 },
  async (intermediaries) => {
    const net = await buildNetwork({ intermediaries })
    const pay = async (amountMinor: bigint): Promise<string> =>
      (await net.pay('hu-alice', 'hu-bakery', amountMinor)).txId
    const [small, large] = [await pay(800n), await pay(3_000n)]
    const back = async (txId: string, amountMinor: bigint) => {
      expect(await net.refund('hu-bakery', txId, amountMinor)).toMatchObject({ ok: true, outcome: 'confirmed' })
      await net.settleDown()
      expect(net.problems()).toEqual([])
    }
    await back(small, 100n)
    await back(large, 1_000n)
    await net.ok(hu.cpp, 'settle-now')
    await net.sim.advance(30_000, 500)
    await net.settleDown()
    expect(net.balance(`${hu.bank}:shop-bakery`)).toBe(700n + 2_000n)
    await back(small, 200n)
    await back(large, 500n)
    await net.ok(hu.cpp, 'settle-now')
    await net.sim.advance(30_000, 500)
    await net.settleDown()
    expect(net.balance(`${hu.bank}:shop-bakery`)).toBe(500n + 1_500n)
    expect(net.balance(`${hu.bank}:alice`)).toBe(1_000_000n - 1_500n)
    expect((net.ask(hu.cpp, 'report') as CppReport).totals).toMatchObject([{ outstandingMinor: 500n }])
    const processors = intermediaries === 'one' ? ['cpp' as const] : (['cpp', 'mpp'] as const)
    const cash = processors.map((role) => net.balance(net.accountOf('hu', role)))
    // The customer's 5.00 is guaranteed, paid on, and not collected yet.
    expect(cash.reduce((sum, minor) => sum + minor, 0n)).toBe(1_000_000n * BigInt(processors.length) - 500n)
    expect(net.problems()).toEqual([])
  },
)

test('one intermediary at home and two abroad: the pair decides, not the host', { timeout: 60_000 }, async () => {
  const net = await buildNetwork({ intermediaries: 'one', realms: ['hu', 'ro'] })
  for (const payee of ['hu-bakery', 'ro-bakery'])
    expect(await net.pay('hu-alice', payee, 400n)).toMatchObject({ outcome: 'confirmed' })
  await net.ok(hu.cpp, 'settle-now')
  await net.sim.advance(40_000, 500)
  await net.settleDown()
  const settled = net.bankReport(hu.bank).orders.filter(({ purpose }) => purpose === 'settlement')
  expect(settled).toMatchObject([{ from: hu.cpp, count: 1, amountMinor: 400n }])
  // What a host of the operator hears of the other's bookings is no money that fits nothing.
  expect(net.ask(hu.mpp, 'report').attention).toMatchObject({ unmatchedCredits: 0 })
  for (const { settledMinor, payableMinor } of (net.ask(hu.cpp, 'report') as CppReport).pairs)
    expect([settledMinor, payableMinor]).toEqual([400n, 0n])
  expect(net.problems()).toEqual([])
})

test(
  'a sum that an MPP abroad owes comes to the account that CPP and MPP share, and its CPP hears of it',
  {
    timeout: 60_000,
  },
  async () => {
    const net = await buildNetwork({ intermediaries: 'one', realms: ['hu', 'ro'] })
    const ro = ids('ro')
    expect(await net.pay('hu-alice', 'ro-bakery', 400n)).toMatchObject({ outcome: 'confirmed' })
    const settle = async (): Promise<void> => {
      await net.ok(hu.cpp, 'settle-now')
      await net.sim.advance(5_000, 500)
      await net.settleDown()
    }
    await settle()
    await net.ok(hu.cpp, 'correct-entry', { mpp: ro.mpp, currency: 'EUR', pairSeq: 1, amountMinor: '115' })
    await settle()
    const [, disputed] = net.ask(hu.cpp, 'settlements').batches
    const { pairSeq } = disputed.disputes[0]
    await net.ok(hu.cpp, 'resolve-dispute', { batchId: toHex(disputed.batchId), pairSeq, accept: true })
    await settle()
    expect(net.ask(hu.cpp, 'settlements').batches).toMatchObject([{}, {}, { totalMinor: -115n, state: 'settled' }])
    expect(net.problems()).toEqual([])
  },
)
