/** The real nodes of every role over the simulated bus: two realms, from enrolment to settlement. */
import { describe, expect, it } from 'vitest'
import { randomBelow } from './random.ts'
import { journalTable } from './runtime-tables.ts'
import { seededRandom } from './sim-network.ts'
import { stepName } from './steps.ts'
import { buildWholeNetwork, oneTruth, REALMS, unrest } from './whole-network.ts'

/** `SEEDS=a,b` runs the storms of those seeds instead. */
const SEEDS = (process.env['SEEDS'] ?? 'first').split(',')

/** What stands in a journal as a step that its host does not know: nobody could let it die there. */
const unknownSteps = ({ sim }: Awaited<ReturnType<typeof buildWholeNetwork>>): readonly string[] =>
  sim.hosts().flatMap((one) => {
    const { read, steps, self } = one.host()
    const known = new Set(steps)
    const found = new Set([...read.scan(journalTable, [])].map(([, { trigger, name }]) => stepName(trigger, name)))
    return [...found].filter((step) => !known.has(step)).map((step) => `${self.role}: ${step}`)
  })

describe('the whole network in one process', { timeout: 120_000 }, () => {
  it('pays, at home and abroad, small and large, and settles', async () => {
    const network = await buildWholeNetwork()
    const { pay, report } = network
    for (const [to, amountMinor] of [
      ['hu-bakery', '120'],
      ['ro-bakery', '90'],
      ['hu-bakery', '5000'],
      ['ro-bakery', '7000'],
      ['hu-bakery', '950'],
    ] as const) {
      const answer = await pay('hu', to, amountMinor)
      expect(answer).toMatchObject({ ok: true, value: { outcome: 'confirmed' } })
    }
    await network.sim.advance(60_000)
    expect(unrest(network)).toEqual([])
    expect(oneTruth(network).size).toBe(5)
    expect(report.mpp('ro-mpp').payees).toMatchObject([{ confirmedMicroMinor: 90n }])
  })

  it.each(SEEDS)('survives loss, duplication, reordering and power cuts: seed %s', async (seed) => {
    const network = await buildWholeNetwork(seed)
    const { sim, pay } = network
    const random = seededRandom(`storm ${seed}`)
    const chance = (): number => randomBelow(random, 1_000) / 1_000
    const settledBy: Promise<unknown>[] = []
    sim.setOnSend(() => {
      const luck = chance()
      if (luck < 0.12) return { delaysMs: [] }
      if (luck < 0.22) return { delaysMs: [0, 400], overtake: true }
      return { delaysMs: [Math.floor(chance() * 300)], overtake: luck < 0.4 }
    })
    const victims = sim.hosts().filter(({ id }) => !id.includes('wallet'))
    for (let round = 0; round < 24; round++) {
      const realm = REALMS[round % 2] as string
      const payee = `${chance() < 0.5 ? 'hu' : 'ro'}-bakery`
      const amountMinor = String(chance() < 0.3 ? 2_500 : 40 + Math.floor(chance() * 900))
      settledBy.push(
        sim
          .host(`${realm}-wallet-1`)
          .host()
          .command('pay', { customer: `${realm}-alice`, payee, amountMinor, currency: 'EUR' }),
      )
      await sim.advance(200 + Math.floor(chance() * 600), 50)
      if (round % 3 !== 1) continue
      const victim = victims[randomBelow(random, victims.length)] as (typeof victims)[number]
      await victim.crash()
      await sim.advance(Math.floor(chance() * 1_000), 50)
      await victim.restart()
    }
    sim.setOnSend(undefined)
    await sim.advance(240_000, 500)
    await Promise.all(settledBy)
    expect(unrest(network)).toEqual([])
    expect(oneTruth(network).size).toBeGreaterThan(10)
    expect(unknownSteps(network)).toEqual([])
    // And it still pays.
    expect(await pay('hu', 'ro-bakery', '100')).toMatchObject({ ok: true, value: { outcome: 'confirmed' } })
  })
})
