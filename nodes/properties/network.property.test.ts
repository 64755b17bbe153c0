/**
 * Random lives of the whole network against an independent model of its balances. `SEEDS=a,b` runs those seeds instead, `STEPS=n`
 * makes each longer; what fails prints its seed and its story.
 */
import { describe, expect, test } from 'vitest'
import { live } from './testing/life.ts'

const { SEEDS, STEPS } = process.env
const seeds = SEEDS?.split(',') ?? ['one', 'two', `fresh ${Date.now()}`]
const steps = Number(STEPS ?? 14)

describe('a life of the network keeps every balance that the rules say', { timeout: 600_000 }, () => {
  test.each(seeds)('seed %s', async (seed) => {
    const { payments, confirmed, story } = await live({
      seed,
      intermediaries: seed.length % 2 === 0 ? 'one' : 'two',
      realms: seed.startsWith('one') ? ['hu'] : ['hu', 'ro'],
      steps,
    })
    expect(story.at(-1)).toBe('the end')
    expect(payments).toBeGreaterThan(0)
    expect(confirmed).toBeLessThanOrEqual(payments)
  })
})
