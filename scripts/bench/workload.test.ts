import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { BORDER_MINOR, DAY_MS, DEFAULT_SHAPE, makeWorkload, sampleOf } from './workload.ts'

const shape = { ...DEFAULT_SHAPE, customers: 30, merchants: 10, payments: 3_000 }
const workload = makeWorkload(shape, 'a')
const waveOf = (atMs: number): number => atMs / DEFAULT_SHAPE.waveMs

describe('the workload', () => {
  test('is what it says: so many payments, in the order of time, each a micropayment', () => {
    expect(workload.payments).toHaveLength(3_000)
    expect(workload.totalMinor).toBe(workload.payments.reduce((sum, { amountMinor }) => sum + amountMinor, 0n))
    workload.payments.forEach(({ amountMinor, atMs }, at) => {
      expect(amountMinor > 0n && amountMinor < BORDER_MINOR).toBe(true)
      expect(atMs).toBeGreaterThanOrEqual(workload.payments[at - 1]?.atMs ?? 0)
      expect(atMs).toBeLessThan(shape.days * DAY_MS)
    })
  })

  test('has the mean it was asked for, and a median below it: many tiny, few large', () => {
    const amounts = makeWorkload({ ...shape, customers: 100, payments: 20_000 }, 'b')
      .payments.map(({ amountMinor }) => Number(amountMinor))
      .toSorted((a, b) => a - b)
    const mean = amounts.reduce((sum, amount) => sum + amount, 0) / amounts.length
    expect(mean).toBeGreaterThan(38)
    expect(mean).toBeLessThan(42)
    // The median of a lognormal is mean · exp(−σ²/2) = 24.3.
    expect(amounts[amounts.length / 2]).toBeGreaterThan(22)
    expect(amounts[amounts.length / 2]).toBeLessThan(27)
  })

  test('has nobody twice in one wave', () => {
    const seen = new Set(workload.payments.map(({ customer, atMs }) => `${customer} ${waveOf(atMs)}`))
    expect(seen.size).toBe(workload.payments.length)
  })

  test('is the same for the same seed and another for another', () => {
    expect(makeWorkload(shape, 'a')).toEqual(workload)
    expect(makeWorkload(shape, 'b').payments).not.toEqual(workload.payments)
  })

  test('customers who differ pay differently often and differently much', () => {
    const differing = makeWorkload({ ...shape, customerSigma: 1 }, 'a')
    const counts = Array.from(
      { length: shape.customers },
      (_, customer) => differing.payments.filter((payment) => payment.customer === customer).length,
    )
    expect(Math.max(...counts)).toBeGreaterThan(3 * Math.min(...counts))
  })

  test('a sample holds the first customers with every payment in its order, nobody twice in a wave', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 29 }), (customers) => {
        const sample = sampleOf(workload, customers)
        const { waveMs, days } = sample.shape
        for (let customer = 0; customer < customers; customer++) {
          const amounts = (of: typeof workload) =>
            of.payments.filter((one) => one.customer === customer).map(({ amountMinor }) => amountMinor)
          expect(amounts(sample)).toEqual(amounts(workload))
        }
        expect(new Set(sample.payments.map(({ customer, atMs }) => `${customer} ${atMs}`)).size).toBe(
          sample.payments.length,
        )
        expect(
          sample.payments.every(
            ({ customer, merchant, atMs }) =>
              customer < customers &&
              merchant < sample.shape.merchants &&
              atMs >= 0 &&
              atMs % waveMs === 0 &&
              atMs < days * DAY_MS,
          ),
        ).toBe(true)
      }),
      { numRuns: 15 },
    )
  })
})
