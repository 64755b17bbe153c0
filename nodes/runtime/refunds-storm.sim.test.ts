/** Refunds over the real nodes while messages are lost, repeated and reordered, and hosts lose their power. */
import { describe, expect, it } from 'vitest'
import { randomBelow } from './random.ts'
import { ask, build, lines, problems, type Paid } from './refund-network.ts'
import { seededRandom } from './sim-network.ts'

/** `SEEDS=a,b` runs the storms of those seeds instead. */
const SEEDS = (process.env['SEEDS'] ?? 'first').split(',')

describe('refunds in a storm', { timeout: 240_000 }, () => {
  it.each(SEEDS)('of loss, duplication, reordering and power cuts end everywhere the same: seed %s', async (seed) => {
    const network = await build(`storm ${seed}`)
    const { sim, pay } = network
    const random = seededRandom(`refunds ${seed}`)
    const chance = (): number => randomBelow(random, 1_000) / 1_000
    const bought: { readonly payee: string; readonly txId: string }[] = []
    for (const [payee, amountMinor] of [
      ['hu-bakery', '400'],
      ['ro-bakery', '300'],
      ['hu-bakery', '2500'],
      ['ro-bakery', '2600'],
      ['hu-bakery', '90'],
    ] as const) {
      const answer = await pay('hu', payee, amountMinor)
      if (!answer.ok) throw new Error(answer.error.code)
      bought.push({ payee, txId: (answer.value as Paid).txId })
    }
    sim.setOnSend(() => {
      const luck = chance()
      if (luck < 0.12) return { delaysMs: [] }
      if (luck < 0.22) return { delaysMs: [0, 400], overtake: true }
      return { delaysMs: [Math.floor(chance() * 300)], overtake: luck < 0.4 }
    })
    const victims = sim.hosts().filter(({ id }) => id.includes('hu-') && !id.includes('dc'))
    for (let round = 0; round < 8; round++) {
      const { payee, txId } = bought[round % bought.length] as (typeof bought)[number]
      await ask(network, payee, txId, String(20 + Math.floor(chance() * 60)))
      await sim.advance(200 + Math.floor(chance() * 600), 100)
      const victim = victims[randomBelow(random, victims.length)] as (typeof victims)[number]
      await victim.crash()
      await sim.advance(Math.floor(chance() * 1_000), 100)
      await victim.restart()
    }
    sim.setOnSend(undefined)
    await sim.advance(120_000, 4_000)
    expect(problems(network)).toEqual([])
    const confirmed = lines(network, 'hu-cpp').flatMap(({ refunds = [] }) => refunds)
    expect(confirmed.length).toBeGreaterThan(3)
  })
})
