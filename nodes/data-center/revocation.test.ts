import { describe, expect, test } from 'vitest'
import { equalBytes } from '../../protocol/bytes.ts'
import { chainKeyIds, verifyMerchantChain } from '../../protocol/credentials.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import type { KindName } from '../../protocol/kinds.ts'
import { createSampleNetwork, NOW } from '../../protocol/testing/sample-network.ts'
import { put, type Decision, type Incoming } from '../runtime/node.ts'
import { revocationTable } from '../runtime/runtime-tables.ts'
import { keyOf } from '../runtime/table.ts'
import { context, incoming, testBytes, testLedger } from '../runtime/testing.ts'
import { dataCenterDefinition } from './definition.ts'
import { CREDENTIALS, CURRENT, PAYEES } from './state.ts'
import { processor } from './testing/rows.ts'

const sample = createSampleNetwork(loadEngine())
const definition = (...revoked: readonly Uint8Array[]) => {
  const isRevoked = (keyId: Uint8Array) => revoked.some((one) => equalBytes(one, keyId))
  return dataCenterDefinition({
    chain: () => sample.dc.chain,
    verifyPayeeChain: (chain, payee) => verifyMerchantChain(sample.trust, chain, payee, NOW),
    isRevoked,
    isChainRevoked: (chain) => chainKeyIds(sample.trust, chain).some(isRevoked),
    peerRealms: [],
    siblings: ['hu-dc-2'],
  })
}
const here = () => context({ self: { id: 'hu-dc-1', role: 'dc' as const }, policy: { peerRealms: ['ro', 'hu'] } })
const directory = () =>
  testLedger(
    processor('hu-otp', 'cpp'),
    processor('hu-cosmo', 'mpp'),
    processor('hu-kh', 'bank'),
    processor('ro-dc-1', 'dc'),
    put(revocationTable, keyOf('current'), { version: 3, list: testBytes('list'), receivedAtMs: 0 }),
    put(PAYEES, keyOf('hu-bakery'), {
      payee: 'hu-bakery',
      mpp: 'hu-cosmo',
      host: 'hu-shop-1',
      version: 1,
      state: 'active',
      chain: sample.merchantChain,
      changedAtMs: 0,
    }),
    put(CREDENTIALS, sample.merchant.signing.keyId, { id: 'hu-shop-1', chain: sample.merchant.chain, shownAtMs: 0 }),
    put(CURRENT, keyOf('hu-shop-1'), { keyId: sample.merchant.signing.keyId }),
  )

describe('a newer revocation list', () => {
  test('goes once to every processor and bank registered here, to the siblings and to the peer realms', () => {
    const made = definition().revoked?.(directory(), { version: 3, keyIds: [] }, here()) as Decision
    expect(made.sends.map((send) => ('kind' in send ? [send.kind, send.to, send.nextHop?.role] : []))).toEqual([
      ['revocation-record', 'hu-dc-2', 'dc'],
      ['revocation-record', 'ro-dc', 'dc'],
      ['revocation-record', 'hu-cosmo', 'mpp'],
      ['revocation-record', 'hu-kh', 'bank'],
      ['revocation-record', 'hu-otp', 'cpp'],
      ['revocation-record', 'ro-dc-1', 'dc'],
    ])
    for (const send of made.sends)
      expect(send).toMatchObject({ body: { list: testBytes('list') }, delivery: { once: true } })
  })
  test('is asked of the siblings and the peer realms, never of itself', () => {
    expect(definition().revocationSources?.(directory(), here())).toEqual(['hu-dc-2', 'ro-dc'])
  })
})

describe('the directory', () => {
  const take = <K extends KindName>(message: Incoming<K>, ...revoked: readonly Uint8Array[]): Decision => {
    const handlers = definition(...revoked).messages as unknown as Readonly<
      Record<string, (read: unknown, event: unknown, at: unknown) => Decision>
    >
    return handlers[message.message.kind]?.(directory(), message, here()) as Decision
  }
  const lookup = () => incoming('payee-lookup', { payee: 'hu-bakery' }, { role: 'guest', host: 'a'.repeat(26) })
  const query = (keyId?: Uint8Array) =>
    incoming(
      'credential-query',
      { id: 'hu-shop-1', chain: [...sample.cpp.chain], ...(keyId === undefined ? {} : { keyId }) },
      { from: 'hu-otp', role: 'cpp' },
    )
  const { keyId } = sample.merchant.signing
  test.each([
    ['a payee under a revoked MPP', 'NOT_FOUND', lookup, sample.mpp.signing.keyId],
    ['a payee at a revoked host', 'NOT_FOUND', lookup, keyId],
    ['a host under a revoked MPP', 'UNKNOWN_DESTINATION', () => query(), sample.mpp.signing.keyId],
    ['a revoked host', 'UNKNOWN_DESTINATION', () => query(), keyId],
    ['a revoked key by its id', 'UNKNOWN_DESTINATION', () => query(keyId), keyId],
  ] as const)('answers for %s with %s, and for it again when another is revoked', (_, code, ask, revoked) => {
    expect(take(ask() as Incoming, revoked).refuse?.code).toBe(code)
    const answered = take(ask() as Incoming, sample.cpp.signing.keyId)
    expect([answered.refuse, answered.sends.length]).toEqual([undefined, 1])
  })
})
