/**
 * Many micropayments through real processes. What is collected is held against a replay of the rule that shares no code with
 * the node's: per customer, in the order of their payments, one collection of exactly what was owed at each crossing.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BankReport } from '../../nodes/runtime/reports.ts'
import { reportFromJson } from '../../nodes/verify/from-json.ts'
import { startTestFleet, type TestFleet } from '../testing/test-fleet.ts'
import { eachBounded } from './concurrency.ts'
import { pay, type PayResult } from './pay.ts'

const THRESHOLD_MINOR = 1_000n
const NETWORK = `network: micropayments
currency: EUR
policies:
  cpp: { noticeLifetimeMs: 20000, settlement: { thresholdMinor: { EUR: '5000' }, maxAgeMs: 3000, retryMs: 1000 } }
  mpp: { payout: { thresholdMinor: { EUR: '5000' }, maxAgeMs: 3000, retryMs: 1000 } }
banks:
  - { id: hu-kh }
realms:
  hu:
    cpps: [{ id: hu-otp, bank: hu-kh }]
    mpps: [{ id: hu-cosmo, bank: hu-kh }]
    merchants: [{ payee: bakery@hu, bank: hu-kh }]
    customers:
      - { pattern: 'hu-few{n}', count: 4, bank: hu-kh, balance: '5000.00' }
      - { pattern: 'hu-hasty{n}', count: 4, bank: hu-kh, balance: '5000.00' }
      - { pattern: 'hu-many{n}', count: 50, bank: hu-kh, balance: '5000.00' }
      - { id: hu-thrifty, bank: hu-kh }
`

let net: TestFleet
beforeAll(async () => {
  net = await startTestFleet(NETWORK)
})
afterAll(() => net[Symbol.asyncDispose]())

/** Amounts of a customer: pseudo-random, and the same at each run. */
const amountsOf = (seed: number, count: number): readonly bigint[] => {
  let state = seed
  return Array.from({ length: count }, () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return BigInt(1 + (state % 400))
  })
}

/** The rule, said once more: what is owed is collected when the next payment would reach θ. */
const replay = (amounts: readonly bigint[]): { readonly collections: readonly bigint[]; readonly owed: bigint } => {
  const collections: bigint[] = []
  let owed = 0n
  for (const amount of amounts) {
    if (owed > 0n && owed + amount >= THRESHOLD_MINOR) {
      collections.push(owed)
      owed = 0n
    }
    owed += amount
  }
  return { collections, owed }
}

const payAll = async (orders: readonly { customer: string; amountMinor: bigint }[], inFlight: number) => {
  const wallet = await net.fleet.host('hu-wallets-1')
  const results: PayResult[] = []
  await eachBounded(orders, inFlight, async (order) => {
    results.push(await pay(wallet, { ...order, payee: 'bakery@hu', currency: 'EUR' }, 60_000))
  })
  return results
}

type Entry = { readonly kind: string; readonly amountMinor: string }
type Customer = { readonly outstandingMinor: string; readonly entries: readonly Entry[]; readonly next?: number }
const ledgerOf = async (customer: string) => {
  const cpp = await net.fleet.host('hu-otp')
  const collections: bigint[] = []
  let after = 0
  for (;;) {
    const page = await cpp.read<Customer>('customer', { customer, after, limit: 1_000 })
    collections.push(
      ...page.entries.filter(({ kind }) => kind === 'collection').map(({ amountMinor }) => BigInt(amountMinor)),
    )
    if (page.next === undefined) return { collections, owed: BigInt(page.outstandingMinor) }
    after = page.next
  }
}

const collectionsAtBank = async (): Promise<{ readonly count: number; readonly amountMinor: bigint }> => {
  const bank = await net.fleet.host('hu-kh')
  const report = reportFromJson(await bank.builtin('report')) as BankReport
  const orders = report.orders.filter(({ purpose }) => purpose === 'collection')
  return {
    count: orders.reduce((sum, { count }) => sum + count, 0),
    amountMinor: orders.reduce((sum, { amountMinor }) => sum + amountMinor, 0n),
  }
}
const sum = (values: readonly bigint[]): bigint => values.reduce((total, value) => total + value, 0n)

describe('micropayments', () => {
  test('below the threshold make no bank call, and the crossing makes one of exactly what was owed', async () => {
    const before = await collectionsAtBank()
    const small = [300n, 300n, 399n].map((amountMinor) => ({ customer: 'hu-thrifty', amountMinor }))
    for (const order of small) expect((await payAll([order], 1))[0]?.confirmation).toBe('DT')
    expect(await collectionsAtBank()).toEqual(before)
    expect((await payAll([{ customer: 'hu-thrifty', amountMinor: 1n }], 1))[0]?.outcome).toBe('confirmed')
    expect(await collectionsAtBank()).toEqual({ count: before.count + 1, amountMinor: before.amountMinor + 999n })
    expect(await ledgerOf('hu-thrifty')).toEqual({ collections: [999n], owed: 1n })
  })

  test('of few customers, each in turn, are collected exactly as the replay says', async () => {
    const before = await collectionsAtBank()
    const customers = [1, 2, 3, 4].map((n) => ({ customer: `hu-few${n}`, amounts: amountsOf(n, 100) }))
    await eachBounded(customers, 4, async ({ customer, amounts }) => {
      const results = await payAll(
        amounts.map((amountMinor) => ({ customer, amountMinor })),
        1,
      )
      expect(new Set(results.map(({ outcome, confirmation }) => `${outcome} ${confirmation}`))).toEqual(
        new Set(['confirmed DT']),
      )
    })
    for (const { customer, amounts } of customers) expect(await ledgerOf(customer)).toEqual(replay(amounts))
    const expected = customers.flatMap(({ amounts }) => replay(amounts).collections)
    expect(expected.length).toBeGreaterThan(50)
    const after = await collectionsAtBank()
    expect(after.count - before.count).toBe(expected.length)
    expect(after.amountMinor - before.amountMinor).toBe(sum(expected))
  })

  test.each([
    ['few', 'hu-hasty', 4, 75],
    ['many', 'hu-many', 50, 6],
  ])('of %s customers, 64 in flight, are collected within the bound', async (_, prefix, customers, each) => {
    const before = await collectionsAtBank()
    const orders = amountsOf(77, customers * each).map((amountMinor, i) => ({
      customer: `${prefix}${1 + (i % customers)}`,
      amountMinor,
    }))
    const results = await payAll(orders, 64)
    const confirmed = results.filter(({ outcome }) => outcome === 'confirmed')
    expect(confirmed).toHaveLength(orders.length)
    const after = await collectionsAtBank()
    const most = (2n * sum(orders.map(({ amountMinor }) => amountMinor))) / THRESHOLD_MINOR + BigInt(customers)
    expect(BigInt(after.count - before.count)).toBeLessThanOrEqual(most)
    const ledgers = await Promise.all(Array.from({ length: customers }, (__, i) => ledgerOf(`${prefix}${i + 1}`)))
    expect(sum(ledgers.flatMap(({ collections }) => collections))).toBe(after.amountMinor - before.amountMinor)
    for (const { owed } of ledgers) expect(owed).toBeLessThan(THRESHOLD_MINOR)
    const paid = sum(confirmed.map(({ amountMinor }) => amountMinor))
    expect(sum(ledgers.map(({ owed }) => owed)) + after.amountMinor - before.amountMinor).toBe(paid)
  })

  test('leave every ledger in agreement', async () => {
    const { checks, quiet } = await net.verifyAtRest()
    expect(checks.filter(({ ok }) => !ok)).toEqual([])
    expect(quiet).toBe(true)
  })
})
