/**
 * A customer's device moves to another wallet host over the real nodes: what the first one has under way ends there, what was paid there is
 * given back there, and the second knows nothing of either.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { DELIVERED_AT_ONCE, LOST } from '../../bus/simulated-bus.ts'
import { defineWallet } from '../customer/define.ts'
import { build, lines, paid, problems, refund } from './refund-network.ts'
import { oneTruth, type WholeNetwork } from './whole-network.ts'

const [FIRST, SECOND, CPP, ALICE] = ['hu-wallet-1', 'hu-wallet-2', 'hu-cpp', 'hu-alice']

describe('a device that moves to another wallet host', { timeout: 60_000 }, () => {
  let network: WholeNetwork
  let before: { readonly txId: string }
  const order = (amountMinor: string) => ({ customer: ALICE, payee: 'hu-bakery', amountMinor, currency: 'EUR' })
  const ends = (host: string): readonly string[] => lines(network, host).map(({ state }) => state)

  beforeAll(async () => {
    network = await build('moves')
    const { ok, sim } = network
    before = await paid(network, 'hu-bakery', '300')
    await sim.add({ id: SECOND, role: 'customer', certifiedBy: [CPP], define: defineWallet })
    await sim.advance(2_000)
    // What is said of their ends is lost, and then the device is.
    sim.setOnSend(({ subject }) =>
      subject.startsWith(`semops.v1.customer.${FIRST}.customer-`) ? LOST : DELIVERED_AT_ONCE,
    )
    for (const amountMinor of ['120', '6000']) void sim.host(FIRST).host().command('pay', order(amountMinor))
    await sim.advance(10_000, 1_000)
    const { authorization } = await ok(CPP, 'authorize-device', { customer: ALICE, host: SECOND })
    await ok(SECOND, 'replace-device', { customer: ALICE, cpp: CPP, pin: '123456', authorization })
    expect(ends(CPP).toSorted()).toEqual(['confirmed', 'confirmed', 'confirmed'])
    expect(ends(FIRST).toSorted()).toEqual(['confirmed', 'requested', 'requested'])
    // Nobody tells the first host that the device is lost: it asks under a key of its own.
    sim.setOnSend(undefined)
    await sim.advance(200_000, 5_000)
  })

  it('leaves nothing open on the first: its host is told every end', () => {
    expect(ends(FIRST)).toEqual(['confirmed', 'confirmed', 'confirmed'])
    expect(ends(SECOND)).toEqual([])
    expect(problems(network)).toEqual([])
    expect(oneTruth(network).size).toBe(3)
  })

  it('has its refunds where its payments are, and pays on the second', async () => {
    expect(await refund(network, 'hu-bakery', before.txId, '100')).toMatchObject({ outcome: 'confirmed' })
    expect((await network.sim.command(SECOND, 'pay', order('50'))).ok).toBe(true)
    await network.sim.advance(16_000, 2_000)
    const given = lines(network, FIRST).flatMap(({ refunds = [] }) => refunds.map(({ amountMinor }) => amountMinor))
    expect(given).toEqual([100n])
    expect(ends(SECOND)).toEqual(['confirmed'])
    expect(problems(network)).toEqual([])
  })
})
