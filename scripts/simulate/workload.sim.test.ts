/** The workload over the real nodes: each payment is told once, with what became of it, also where wallets die on the way. */
import { describe, expect, it } from 'vitest'
import type { Observer, Told } from './observed.ts'
import { allJudges, simulate, type SimulationOptions } from './simulate.ts'

const PAYMENTS = 24
const lived = async (options: Pick<SimulationOptions, 'seed' | 'faults'>) => {
  const told: Told[] = []
  const listener: Observer = { told: (fact) => void told.push(fact), check: () => [] }
  const result = await simulate({
    ...options,
    payments: PAYMENTS,
    engine: 'stand-in',
    shape: 'one realm, two intermediaries',
    observers: (...seen) => [listener, ...allJudges(...seen)],
  })
  return { result, paid: told.filter((fact) => fact.type === 'paid') }
}

describe('a workload', { timeout: 60_000 }, () => {
  it('tells each payment once; where nobody dies, none is lost', async () => {
    const { result, paid } = await lived({ seed: 'workload', faults: [] })
    expect(result.violations).toEqual([])
    expect(paid).toHaveLength(PAYMENTS)
    expect(paid.filter(({ outcome }) => outcome === 'confirmed').length).toBeGreaterThan(0)
    expect(paid.filter(({ outcome }) => outcome === 'lost')).toEqual([])
    const ids = paid.flatMap(({ prId }) => prId ?? [])
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('finds out what became of a payment whose wallet died, from its ledger', async () => {
    const { result, paid } = await lived({ seed: 'workload', faults: ['crash'] })
    expect(result.violations).toEqual([])
    expect(paid).toHaveLength(PAYMENTS)
  })
})
