/**
 * Random lives of the whole network against an independent model of its balances. `SEEDS=a,b` runs those seeds instead, `STEPS=n`
 * makes each longer, and
 * `npm run lives` is the long run; what fails prints its seed and its story.
 */
import { describe, expect, test } from 'vitest'
import { live } from './testing/life.ts'

const { SEEDS, STEPS } = process.env
const seeds = SEEDS?.split(',') ?? ['one c', 'both d', 'fresh e']
/** One realm, or two that pay each other: by the seed, as is how many intermediaries there are. */
const realmsOf = (seed: string): readonly string[] => (seed.startsWith('one') ? ['hu'] : ['hu', 'ro'])
const stepsOf = (seed: string): number => Number(STEPS ?? (realmsOf(seed).length === 1 ? 14 : 7))

describe('a life of the network keeps every balance that the rules say', { timeout: 600_000 }, () => {
  test.each(seeds)('seed %s', async (seed) => {
    const { payments, confirmed, story } = await live({
      seed,
      intermediaries: seed.length % 2 === 0 ? 'one' : 'two',
      realms: realmsOf(seed),
      steps: stepsOf(seed),
    })
    expect(story.at(-1)).toBe('the end')
    expect(payments).toBeGreaterThan(0)
    expect(confirmed).toBeLessThanOrEqual(payments)
  })
})
