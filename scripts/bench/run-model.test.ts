import { describe, expect, test } from 'vitest'
import { replay } from './replay.ts'
import { BANK_HOP_MS, runModel, wavesOf, type RunResult } from './run-model.ts'
import { BORDER_MINOR, DAY_MS, DEFAULT_SHAPE, makeWorkload } from './workload.ts'

const workload = makeWorkload(
  // Few payments of much each, so that the rule collects within a test's time.
  { ...DEFAULT_SHAPE, customers: 4, merchants: 3, payments: 40, meanAmountMinor: 300, sigma: 0.5, waveMs: DAY_MS },
  'test',
)
const holds = ({ checks, payments }: RunResult): void => {
  expect(checks.length).toBeGreaterThan(20)
  expect(checks.filter(({ ok }) => !ok)).toEqual([])
  expect(payments).toBe(40)
}

describe('a workload through the real nodes', () => {
  test('collects as often, and leaves every customer owing as much, as the replay of the rule says', async () => {
    const result = await runModel({ workload, intermediaries: 2, seals: 'ed25519-batch' })
    holds(result)
    const expected = replay(workload.payments, () => BORDER_MINOR, 30 * DAY_MS)
    expect(expected.collections).toBeGreaterThan(3)
    expect(result.collections).toBe(expected.collections)
    expect(result.bankTransfers.collection).toBe(expected.collections)
    for (const [customer, minor] of result.debts) expect(minor).toBe(expected.debts.get(customer) ?? 0n)
    expect(result.exposure.customers.peakMinor).toBe(expected.peakMinor)
    expect(result.bankTransfers.settlement).toBeGreaterThan(0)
    // Who waited for a collection, an order to a bank and its answer, is who crossed.
    const fastest = Math.min(...result.latenciesMs)
    expect(result.latenciesMs.map((ms) => ms >= fastest + 2 * BANK_HOP_MS)).toEqual(expected.crossed)
  })

  test('one operator settles with itself: no bank transfer between the intermediaries', async () => {
    const result = await runModel({ workload, intermediaries: 1, seals: 'ed25519' })
    holds(result)
    expect(result.bankTransfers.settlement).toBe(0)
    expect(result.bankTransfers.collection).toBe(result.collections)
    // The books are settled all the same: what the MPP has passed on to nobody is what the CPP's age trigger has left.
    expect(result.exposure.cpp.peakMinor).toBeGreaterThan(0n)
    expect(result.exposure.cpp.endMinor).toBeLessThan(result.volumeMinor / 4n)
  })

  // A dozen RSA keys are made for it, seconds on a machine that is busy with other things.
  test('without aggregation each payment is a bank transfer, here under RSA seals', { timeout: 120_000 }, async () => {
    const result = await runModel({ workload, intermediaries: 2, seals: 'rsa-2048', macro: true })
    holds(result)
    expect(result.bankTransfers).toMatchObject({ payment: 40, collection: 0, settlement: 0 })
    expect(result.exposure.customers.peakMinor).toBe(0n)
  })

  test('waves hold each payment once, in order', () => {
    const waves = [...wavesOf(workload.payments)]
    expect(waves.flat()).toEqual(workload.payments)
    for (const wave of waves) expect(new Set(wave.map(({ atMs }) => atMs)).size).toBe(1)
  })
})
