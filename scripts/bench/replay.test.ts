import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { costOf, bestSingle, spendingOf } from './cost.ts'
import { replay } from './replay.ts'
import type { WorkloadPayment } from './workload.ts'

const THETA = 1_000n
const AGE = 1_000_000
const pay = (atMs: number, amountMinor: bigint, customer = 0): WorkloadPayment => ({
  atMs,
  customer,
  merchant: 0,
  amountMinor,
})
const replayed = (...payments: WorkloadPayment[]) => replay(payments, () => THETA, AGE)

describe('the replay of the rule', () => {
  test('nothing is collected below θ', () => {
    expect(replayed(pay(0, 500n), pay(1, 499n))).toMatchObject({ collections: 0, crossed: [false, false] })
  })
  test('what would reach θ has exactly the debt before it collected', () => {
    const result = replayed(pay(0, 500n), pay(1, 300n), pay(2, 200n), pay(3, 1n))
    expect(result).toMatchObject({ collections: 1, collectedMinor: 800n, crossed: [false, false, true, false] })
    expect(result.debts).toEqual(new Map([[0, 201n]]))
  })
  test('a single payment of nearly θ is admitted when nothing is owed', () => {
    expect(replayed(pay(0, 999n), pay(1, 999n), pay(2, 999n))).toMatchObject({
      collections: 2,
      collectedMinor: 1_998n,
      peakMinor: 999n,
    })
  })
  test('customers do not share a debt', () => {
    expect(replayed(pay(0, 600n, 0), pay(1, 600n, 1))).toMatchObject({ collections: 0, peakMinor: 1_200n })
  })
  test('old debt is collected whatever its size, before the next payment is looked at', () => {
    expect(replayed(pay(0, 10n), pay(AGE, 10n))).toMatchObject({
      collections: 1,
      collectedMinor: 10n,
      crossed: [false, false],
    })
    expect(replayed(pay(0, 10n), pay(AGE - 1, 10n)).collections).toBe(0)
  })

  const payments = fc.array(
    fc.record({ customer: fc.integer({ min: 0, max: 4 }), amountMinor: fc.bigInt({ min: 1n, max: 999n }) }),
    { maxLength: 200 },
  )
  test('property: no money is made or lost, nobody owes θ but by one payment, and the peak is one that was reached', () => {
    fc.assert(
      fc.property(payments, (given) => {
        const list = given.map(({ customer, amountMinor }, atMs) => pay(atMs, amountMinor, customer))
        const { debts, collectedMinor, peakMinor, collections, crossed } = replay(list, () => THETA, AGE)
        const owed = [...debts.values()].reduce((sum, minor) => sum + minor, 0n)
        expect(collectedMinor + owed).toBe(list.reduce((sum, { amountMinor }) => sum + amountMinor, 0n))
        for (const minor of debts.values()) expect(minor < THETA).toBe(true)
        expect(peakMinor >= owed).toBe(true)
        expect(crossed.filter(Boolean)).toHaveLength(collections)
      }),
    )
  })
})

describe('the cost of θ', () => {
  const days = (list: readonly (readonly [day: number, minor: bigint])[]) =>
    spendingOf(
      list.map(([day, minor]) => pay(day * 86_400_000, minor)),
      1,
    )
  const terms = { feeMinor: 20, fundingRatePerYear: 0.365 }

  test('transfers at their fee, funding and loss over the time that debt stood', () => {
    // 400 for two days, then 900 for three; collected on day 5, then 200 to the end: a fifth of a transfer at θ = 1000.
    const spending = days([
      [0, 400n],
      [2, 500n],
      [5, 200n],
    ])
    const cost = costOf(spending, () => 1_000, [0.01], terms, [0, 10])
    const minorDays = 2 * 400 + 3 * 900 + 5 * 200
    expect(cost.transfers).toBeCloseTo(1.2)
    expect(cost.feesMinor).toBeCloseTo(24)
    expect(cost.fundingMinor).toBeCloseTo(minorDays * 0.001)
    expect(cost.lossMinor).toBeCloseTo(minorDays * 0.01)
    expect(cost.totalMinor).toBeCloseTo(24 + minorDays * 0.011)
  })
  test('only payments within the time count', () => {
    const spending = days([
      [1, 400n],
      [11, 300n],
      [21, 200n],
    ])
    expect(
      costOf(spending, () => 1_000, [0], { feeMinor: 0, fundingRatePerYear: 365 }, [10, 20]).totalMinor,
    ).toBeCloseTo(9 * 300)
  })
  test('as many whole transfers as the exact replay', () => {
    fc.assert(
      fc.property(
        fc.array(fc.bigInt({ min: 1n, max: 999n }), { minLength: 1, maxLength: 100 }),
        fc.integer({ min: 20, max: 1_000 }),
        (amounts, theta) => {
          const list = amounts.map((minor, atMs) => pay(atMs, minor))
          const exact = replay(list, () => BigInt(theta), Number.MAX_SAFE_INTEGER)
          const { transfers } = costOf(spendingOf(list, 1), () => theta, [0], terms, [0, 1])
          const owed = Number(exact.debts.get(0) ?? 0n)
          expect(transfers - owed / Math.max(theta, owed)).toBeCloseTo(exact.collections)
        },
      ),
    )
  })
  test('the search finds the least of a smooth cost, and the border where more is always better', () => {
    const of = (totalMinor: number) => ({ transfers: 0, feesMinor: 0, fundingMinor: 0, lossMinor: 0, totalMinor })
    const smooth = bestSingle((theta) => of(90_000 / theta + theta), 10, 1_000)
    expect(smooth.theta).toBeGreaterThan(290)
    expect(smooth.theta).toBeLessThan(310)
    expect(bestSingle((theta) => of(1 / theta), 10, 1_000).theta).toBe(1_000)
  })
})

describe('windows', () => {
  const windows = { windowMs: 100, lowWaterMinor: 300n }
  const windowed = (...payments: WorkloadPayment[]) => replay(payments, () => THETA, AGE, windows)

  test('whoever owes the low-water mark at the end of a window is collected, all in one order', () => {
    const result = windowed(pay(0, 300n, 0), pay(1, 900n, 1), pay(2, 299n, 2), pay(100, 1n, 2))
    expect(result).toMatchObject({ collections: 2, orders: 1, collectedMinor: 1_200n })
    expect(result.debts).toEqual(new Map([[2, 300n]]))
  })
  test('a payment that comes when a window ends is not of that window', () => {
    expect(windowed(pay(0, 200n), pay(100, 100n))).toMatchObject({ collections: 0, orders: 0 })
  })
  test('a crossing within a window is an order of its own', () => {
    expect(windowed(pay(0, 900n), pay(50, 200n), pay(60, 1n, 1))).toMatchObject({ collections: 1, orders: 1 })
  })
})
