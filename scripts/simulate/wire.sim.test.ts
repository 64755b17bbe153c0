import { describe, expect, test } from 'vitest'
import { buildWatchedNetwork, WHOLE_TOPOLOGY } from './testing/watched-network.ts'
import { createWire } from './wire.ts'

describe('the judge of what is said', () => {
  test('finds nothing wrong with the real nodes, also when they die', async () => {
    const { net, observer } = await buildWatchedNetwork('wire', (overheard) => createWire(WHOLE_TOPOLOGY, overheard))
    const { sim, ok, pay } = net
    for (const realm of ['hu', 'ro'])
      await ok(`${realm}-wallet-1`, 'unlock', { customer: `${realm}-alice`, pin: '123456' })
    expect(observer.check()).toEqual([])
    const outcomes: unknown[] = []
    for (const [realm, payee, amount] of [
      ['hu', 'hu-bakery', '100'],
      ['hu', 'ro-bakery', '1500'],
      ['ro', 'hu-bakery', '250000'],
      ['hu', 'hu-bakery', '1900'],
      ['hu', 'ro-bakery', '1800'],
    ] as const)
      outcomes.push(await pay(realm, payee, amount))
    console.log(outcomes)
    expect(observer.check()).toEqual([])
    for (const host of ['hu-cpp', 'ro-mpp', 'hu-bank']) {
      const paying = pay('hu', 'ro-bakery', '700')
      await net.crash(host)
      await sim.advance(500)
      await net.restart(host)
      outcomes.push(await paying)
    }
    await sim.advance(60_000)
    expect(observer.check()).toEqual([])
    expect(observer.atRest?.()).toEqual([])
  })
})
