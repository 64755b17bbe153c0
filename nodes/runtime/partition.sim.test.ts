/** The fault point that cuts a host off, over the real nodes: who is apart waits or expires, and all agree when it is healed. */
import { beforeAll, describe, expect, it } from 'vitest'
import { build, lines, paid, problems } from './refund-network.ts'
import { oneTruth, type WholeNetwork } from './whole-network.ts'

describe('a network that is cut', { timeout: 60_000 }, () => {
  let network: WholeNetwork
  beforeAll(async () => {
    network = await build('partition')
  })
  const inRealm = (realm: string) => network.sim.hosts().filter(({ id }) => id.startsWith(`${realm}-`))
  /** Between the realms, as chaos tells both sides. */
  const cutRealms = (): void => {
    for (const [here, there] of [
      ['hu', 'ro'],
      ['ro', 'hu'],
    ] as const)
      for (const { host } of inRealm(here)) host().faults.cut([...inRealm(there).map(({ id }) => id), `${there}-dc`])
  }
  const heal = (): void => {
    for (const { host } of network.sim.hosts()) host().faults.cut([])
  }
  /** Ordered at this moment; its end is in the ledgers when all is at rest. */
  const ordered = (payee: string, amountMinor: string): void => {
    const order = { customer: 'hu-alice', payee, amountMinor, currency: 'EUR' }
    void network.sim.host('hu-wallet-1').host().command('pay', order)
  }
  const ends = (): readonly string[] => [...oneTruth(network).values()]
  const atRest = async (): Promise<void> => {
    await network.sim.advance(60_000, 2_000)
    expect(problems(network)).toEqual([])
  }

  it('pays within each part; what would go to the other does not end well, and nobody is told two things', async () => {
    cutRealms()
    await paid(network, 'hu-bakery', '300')
    await paid(network, 'hu-bakery', '5000')
    for (const amountMinor of ['120', '6000']) ordered('ro-bakery', amountMinor)
    await network.sim.advance(10_000, 500)
    expect(ends().filter((end) => end === 'confirmed')).toHaveLength(2)
    heal()
    await atRest()
    expect(ends().filter((end) => end === 'confirmed')).toHaveLength(2)
    await paid(network, 'ro-bakery', '200')
  })

  it.each(['hu-cpp'])(
    'of whom %s is cut off as payments begin: none is made meanwhile, and it all comes to rest',
    async (id) => {
      const victim = network.sim.hosts().find((one) => one.id === id)
      if (victim === undefined) throw new Error(`no host ${id}`)
      for (const [payee, amountMinor] of [
        ['hu-bakery', '110'],
        ['ro-bakery', '5100'],
      ] as const)
        ordered(payee, amountMinor)
      victim.host().faults.cut('all')
      const confirmed = () => lines(network, 'hu-cpp').filter(({ state }) => state === 'confirmed').length
      const published = () => (victim.host().metrics.snapshot() as { readonly published: number }).published
      const before = { confirmed: confirmed(), published: published() }
      await network.sim.advance(8_000, 500)
      expect(confirmed()).toBe(before.confirmed)
      // It goes on talking into the void: its connection stands.
      expect(published()).toBeGreaterThan(before.published)
      heal()
      await atRest()
      await paid(network, 'hu-bakery', '130')
    },
  )
})
