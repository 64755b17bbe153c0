/** A bank that was away: whatever waited for it is decided within a sweep of its return (design §2), however long it was gone. */
import { describe, expect, it } from 'vitest'
import { LIMITS } from '../../protocol/limits.ts'
import type { PaymentsPage } from './reports.ts'
import { buildWholeNetwork, unrest } from './whole-network.ts'

/** On the way, each; so that a bank can go while something is under way. */
const DELAY_MS = 20
const AWAY_MS = [2_000, 61_000] as const

describe('a bank that returns', { timeout: 60_000 }, () => {
  it.each(AWAY_MS)('after %d ms finds all that waited for it within a sweep', async (awayMs) => {
    const network = await buildWholeNetwork(`bank returns ${awayMs}`)
    const { sim, pay } = network
    // The banks have met: who has not first asks for the other's credential.
    expect(await pay('hu', 'ro-bakery', '4000')).toMatchObject({ ok: true, value: { outcome: 'confirmed' } })
    const statesOf = (): readonly string[] => {
      const answer = sim.host('hu-cpp').host().ask('payments', {})
      if (!answer.ok) throw new Error(answer.error.code)
      return (answer.value as PaymentsPage).payments.map(({ state }) => state)
    }
    const number = (state: string): number => statesOf().filter((one) => one === state).length
    sim.setOnSend(() => ({ delaysMs: [DELAY_MS] }))
    const paid: Promise<unknown>[] = []
    for (const payee of ['hu-bakery', 'ro-bakery', 'hu-bakery', 'ro-bakery'])
      paid.push(
        sim
          .host('hu-wallet-1')
          .host()
          .command('pay', { customer: 'hu-alice', payee, amountMinor: '4000', currency: 'EUR' }),
      )
    for (let tries = 0; number('posting') < 2; tries++) {
      expect(tries).toBeLessThan(200)
      await sim.advance(DELAY_MS, DELAY_MS / 2)
    }
    await sim.host('hu-bank').crash()
    await sim.advance(awayMs, 100)
    expect(number('posting')).toBeGreaterThanOrEqual(2)
    await sim.host('hu-bank').restart()
    await sim.advance(LIMITS.sweepEveryMs, DELAY_MS / 2)
    expect(number('posting')).toBe(0)

    await Promise.all(paid)
    await sim.advance(120_000, 500)
    expect(unrest(network)).toEqual([])
  })
})
