/**
 * Several hundred small seeds in `npm test`, every fault on, judged after each event; and every seed that once failed, under the name of
 * what it found. The long run is `semops simulate --seeds 10000 --payments 200`.
 */
import { describe, expect, test } from 'vitest'
import { FAULT_NAMES, type FaultName } from './faults.ts'
import { playSeed, simulateSeeds } from './seeds.ts'

const LONG_MS = 900_000
const SEEDS = 200
const SEEDS_A_TEST = 25
const PAYMENTS = 4

const every = { payments: PAYMENTS, faults: FAULT_NAMES, processes: 0 } as const

describe('small seeds with every fault', () => {
  const firsts = Array.from({ length: SEEDS / SEEDS_A_TEST }, (_, at) => 1 + at * SEEDS_A_TEST)
  test.each(firsts)('%i and those that follow', { timeout: LONG_MS }, async (first) => {
    const { violations, seeds, payments } = await simulateSeeds(first, SEEDS_A_TEST, every)
    expect(violations).toEqual([])
    expect([seeds, payments > SEEDS_A_TEST]).toEqual([SEEDS_A_TEST, true])
  })
})

/** What each found is mended; a change of what is drawn may make another history of the same seed. */
const REGRESSIONS: readonly {
  readonly found: string
  readonly seed: string
  readonly payments: number
  readonly faults?: readonly FaultName[]
}[] = [
  { found: 'a receipt to a wallet named the customer in clear', seed: '3', payments: 30 },
  { found: 'an order of a payment without its answer, at rest', seed: '2', payments: 60 },
  { found: 'a request to pay that was sent for ever', seed: '2018', payments: 100 },
  { found: 'an answer of before a crash, said after another', seed: '50092', payments: 30 },
]

describe('seeds that once failed', () => {
  test.each(REGRESSIONS)('$found', { timeout: LONG_MS }, async ({ seed, payments, faults = FAULT_NAMES }) => {
    const { violations } = await playSeed(seed, { payments, faults })
    expect(violations).toEqual([])
  })
})

describe('many seeds', () => {
  test('one report, whoever plays them; a seed that fails comes with its line', { timeout: LONG_MS }, async () => {
    const seen: string[] = []
    const two = await simulateSeeds(501, 2, { ...every, onSeed: ({ seed }) => seen.push(seed) })
    expect(seen).toEqual(['501', '502'])
    const [first, second] = [await simulateSeeds(501, 1, every), await simulateSeeds(502, 1, every)]
    expect(two.payments).toBe(first.payments + second.payments)
    expect(new Set([two.hash, first.hash, second.hash]).size).toBe(3)
    expect((await simulateSeeds(501, 2, every)).hash).toBe(two.hash)
  })

  test('an interrupted run says that not all were played', { timeout: LONG_MS }, async () => {
    const interrupt = new AbortController()
    const result = await simulateSeeds(601, 3, { ...every, signal: interrupt.signal, onSeed: () => interrupt.abort() })
    expect([result.ok, result.seeds]).toEqual([false, 1])
  })
})
