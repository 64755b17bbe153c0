/** Refunds while keys fall: what an MPP or a CPP has decided stands, and ends, under the keys that come after (SPEC "Revocation"). */
import { describe, expect, it } from 'vitest'
import { LOST } from '../../bus/simulated-bus.ts'
import type { KindName } from '../../protocol/kinds.ts'
import { networkIdOf } from '../../protocol/keys.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { issueRevocationList } from '../../protocol/statements.ts'
import { parseSubject } from '../../protocol/subjects.ts'
import { ask, build, lines, paid, problems } from './refund-network.ts'
import type { WholeNetwork } from './whole-network.ts'

const lose = ({ sim }: WholeNetwork, kind: KindName, from: string): void =>
  sim.setOnSend(({ subject }) => {
    const parsed = parseSubject(subject)
    return parsed?.kind === kind && parsed.fromHost === from ? LOST : { delaysMs: [0] }
  })
const take = async ({ sim }: WholeNetwork, id: string, keys: 'new' | 'same'): Promise<Uint8Array> => {
  const { keyId } = sim.host(id).identity.signing
  const taking = sim.host(id).take(keys)
  await sim.run()
  await taking
  return keyId
}
const revoke = async ({ sim }: WholeNetwork, ...revoked: Uint8Array[]): Promise<void> => {
  const networkId = networkIdOf(sim.root.publicKey)
  const list = issueRevocationList(sim.engine, { networkId, version: 1, revoked, issuedAtMs: sim.now() }, sim.root)
  const given = sim.host('hu-dc-1').host().revocations(list)
  await sim.run()
  expect(await given).toMatchObject({ ok: true })
  await sim.advance(LIMITS.revocationPollMs)
}
const states = (network: WholeNetwork) =>
  ['hu-shop-1', 'hu-mpp', 'hu-cpp'].map((id) =>
    lines(network, id).flatMap(({ refunds = [] }) => refunds.map((one) => one.state)),
  )

describe('a refund', { timeout: 60_000 }, () => {
  it('that an MPP countersigned under a key revoked since is taken when it comes under its next key, whatever key its merchant had', async () => {
    const network = await build('countersigned')
    const { sim } = network
    const { txId } = await paid(network, 'hu-bakery', '300')
    // A key that no directory ever heard of: its host has another before anybody could ask for it.
    lose(network, 'payee-registration', 'hu-mpp')
    await take(network, 'hu-shop-1', 'new')
    lose(network, 'countersigned-refund', 'hu-mpp')
    await ask(network, 'hu-bakery', txId, '100')
    await sim.advance(5_000)
    expect(states(network)).toEqual([['requested'], ['countersigned'], []])
    await take(network, 'hu-shop-1', 'new')
    const former = await take(network, 'hu-mpp', 'new')
    await take(network, 'hu-shop-1', 'same')
    await revoke(network, former)
    sim.setOnSend(undefined)
    await sim.advance(4 * LIMITS.maxResendMs)
    expect(states(network)).toEqual([['confirmed'], ['confirmed'], ['confirmed']])
    expect(problems(network)).toEqual([])
  })

  it("that is confirmed under a CPP's key revoked since: the MPP asks for it anew, and the merchant has it", async () => {
    const network = await build('confirmed')
    const { sim } = network
    const { txId } = await paid(network, 'hu-bakery', '5000')
    lose(network, 'refund-confirmation', 'hu-mpp')
    await ask(network, 'hu-bakery', txId, '100')
    await sim.advance(5_000)
    expect(states(network)).toEqual([['requested'], ['confirmed'], ['confirmed']])
    const former = await take(network, 'hu-cpp', 'new')
    await take(network, 'hu-wallet-1', 'same')
    await revoke(network, former)
    sim.setOnSend(undefined)
    await sim.advance(4 * LIMITS.maxResendMs)
    expect(sim.host('hu-mpp').host().metrics.value('staleRelays')).toBeGreaterThan(0)
    expect(states(network)).toEqual([['confirmed'], ['confirmed'], ['confirmed']])
    expect(problems(network)).toEqual([])
  })
})
