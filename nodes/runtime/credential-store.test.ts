/** Whose name is it? What an issuer that lies can not do to the names of others. */
import { describe, expect, test } from 'vitest'
import { verifyChain } from '../../protocol/credentials.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { signingKeyFromSeed } from '../../protocol/keys.ts'
import { issueHost } from '../../protocol/statements.ts'
import {
  createSampleNetwork,
  NOW,
  sealingPair,
  seedOf,
  VALID_FROM,
  VALID_TO,
} from '../../protocol/testing/sample-network.ts'
import { createCredentialStore } from './credential-store.ts'
import { testLedger } from './testing.ts'

const engine = loadEngine()
const network = createSampleNetwork(engine)
const { mpp, cpp } = network

/** A host credential for any name, under a key of the liar's own. */
const certified = (id: string, role: 'merchant' | 'customer'): readonly Uint8Array[] => {
  const issuer = role === 'merchant' ? mpp : cpp
  const statement = {
    networkId: network.networkId,
    id,
    role,
    algorithm: 'ed25519' as const,
    signingKey: signingKeyFromSeed(engine, seedOf(`liar ${id} ${role}`)).publicKey,
    sealingKey: sealingPair(engine, `liar ${id}`).publicKey,
    notBeforeMs: VALID_FROM + 1_000,
    notAfterMs: VALID_TO,
    serial: 9,
  }
  return [...issuer.chain, issueHost(engine, statement, issuer.signing)]
}
const storeThatKnows = (...chains: readonly (readonly Uint8Array[])[]) => {
  const store = createCredentialStore(network.trust, testLedger(), [], NOW)
  for (const chain of chains) expect(store.verifyAndLearn(chain, NOW).ok).toBe(true)
  return store
}

// Found while the fuzz suite was made: an MPP that certified a merchant host by the name of a CPP took that name over.
describe('a host certified by the name of another', () => {
  test.each([
    ['a CPP', cpp, 'merchant'],
    ['a wallet host', network.wallet, 'merchant'],
    ['an MPP', mpp, 'customer'],
    ['a merchant host', network.merchant, 'customer'],
  ] as const)('%s: the name stays whose it was', (_name, host, role) => {
    const forged = certified(host.id, role)
    const chain = verifyChain(network.trust, forged, NOW)
    expect(chain.ok).toBe(true)
    const store = storeThatKnows(host.chain, forged)
    expect(store.byId(host.id)).toEqual(host.record)
    expect(store.roleOf(host.id)).toBe(host.role)
    const key = chain.ok ? chain.value.hostKey?.keyId : undefined
    expect(key === undefined ? 'no key' : store.byKeyId(key)).toBeUndefined()
  })
  test('a processor gets its name back, whoever was known by it before', () => {
    const store = storeThatKnows(certified(cpp.id, 'merchant'), cpp.chain)
    expect(store.byId(cpp.id)).toEqual(cpp.record)
  })
  test('a newer key of the same host replaces the older one', () => {
    const store = storeThatKnows(network.merchant.chain, certified(network.merchant.id, 'merchant'))
    expect(store.byId(network.merchant.id)).not.toEqual(network.merchant.record)
  })
})
