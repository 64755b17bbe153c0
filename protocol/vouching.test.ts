import { describe, expect, test } from 'vitest'
import { equalBytes } from './bytes.ts'
import { createTrust, verifyChain, type KeyRecord } from './credentials.ts'
import { loadEngine } from './engines/load.ts'
import { signingKeyFromSeed, type SigningKey } from './keys.ts'
import { keyOfBytes } from './lru.ts'
import { openFrame } from './open.ts'
import { sealOne } from './seals.ts'
import { issueHost, issueProcessor } from './statements.ts'
import {
  createSampleNetwork,
  NOW,
  sampleId,
  sealingPair,
  seedOf,
  VALID_FROM,
  VALID_TO,
} from './testing/sample-network.ts'
import { voucherOf } from './vouching.ts'

const network = createSampleNetwork(loadEngine())
const { engine, root, networkId, mpp, cpp, merchant } = network
const validity = { notBeforeMs: VALID_FROM, notAfterMs: VALID_TO }

const processor = (id: string, name: string, serial: number) => {
  const signing = signingKeyFromSeed(engine, seedOf(name))
  const keys = { signingKey: signing.publicKey, sealingKey: sealingPair(engine, name).publicKey }
  const terms = { networkId, id, role: 'mpp', realm: 'hu', operatorId: id, algorithm: 'ed25519', ...keys } as const
  return { signing, chain: [issueProcessor(engine, { ...terms, ...validity, serial }, root)] }
}
const certified = (issuer: { signing: SigningKey; chain: readonly Uint8Array[] }, name: string) => {
  const signing = signingKeyFromSeed(engine, seedOf(name))
  const keys = { signingKey: signing.publicKey, sealingKey: sealingPair(engine, name).publicKey }
  const terms = { networkId, id: merchant.id, role: 'merchant', algorithm: 'ed25519', ...keys } as const
  const chain = [...issuer.chain, issueHost(engine, { ...terms, ...validity, serial: 2 }, issuer.signing)]
  const verified = verifyChain(network.trust, chain, NOW)
  if (!verified.ok) throw new Error(verified.failure.code)
  return { signing, chain, record: verified.value.hostKey as KeyRecord }
}
const recordOf = ({ chain }: { chain: readonly Uint8Array[] }): KeyRecord => {
  const verified = verifyChain(network.trust, chain, NOW)
  if (!verified.ok) throw new Error(verified.failure.code)
  return verified.value.processorKey
}

const successor = processor(mpp.id, 'hu-cosmo, later', 2)
const stranger = processor('hu-stranger', 'hu-stranger', 1)
/** Its host had it for a moment: no directory knows it. */
const brief = certified(mpp, 'hu-shop-1, for a moment')
const strangers = certified(stranger, 'hu-shop-1, as a stranger says')

const payment = { payee: 'hu-bakery', txId: sampleId('txId'), pnId: sampleId('pnId') }
const refundId = sampleId('refund')

type Case = {
  /** Who sealed the request, and who the countersignature around it. */
  readonly by: { readonly signing: SigningKey }
  readonly outer: { readonly signing: SigningKey }
  readonly outerId?: string
  readonly chain?: readonly Uint8Array[]
  readonly revoked?: readonly SigningKey[]
  readonly known?: readonly KeyRecord[]
}
/** What a CPP makes of it: the nested request's code, or the message's. */
const judged = ({ by, outer, outerId = mpp.id, chain, revoked = [], known = [] }: Case): string => {
  const asked = { ...payment, refundId, amountMinor: 100n, currency: 'EUR' } as const
  const request = sealOne(network.content('refund-request', merchant.id, mpp.id, asked), by.signing)
  const shown = chain === undefined ? {} : { chain: [...chain] }
  const body = { refundId, pnId: payment.pnId, payee: payment.payee, request, ...shown }
  const frame = sealOne(network.content('countersigned-refund', outerId, cpp.id, body), outer.signing)
  const isRevoked = (keyId: Uint8Array): boolean => revoked.some((key) => equalBytes(key.keyId, keyId))
  const records = [mpp.record, recordOf(successor), recordOf(stranger), ...known]
  const opened = openFrame(
    frame,
    { toRole: 'cpp', kind: 'countersigned-refund', fromHost: 'hu-dc-1' },
    {
      ...network.contexts.cpp,
      trust: createTrust(engine, root.publicKey, isRevoked),
      lookupKey: (keyId) => records.find((record) => keyOfBytes(record.keyId) === keyOfBytes(keyId)),
    },
  )
  if (!opened.ok) return opened.failure.code
  if (opened.value.kind !== 'countersigned-refund') throw new Error(opened.value.kind)
  const { request: inside } = opened.value.nested
  return inside.ok ? 'ok' : inside.failure.code
}

describe('what a processor nests', () => {
  test.each<readonly [string, string, Case]>([
    ['of a host that it certified', 'ok', { by: merchant, outer: mpp, known: [merchant.record] }],
    [
      'of a host that fell with its former key: good under its key in force',
      'ok',
      { by: merchant, outer: successor, revoked: [mpp.signing], known: [merchant.record] },
    ],
    [
      'under a key that has fallen itself',
      'CREDENTIAL_REVOKED',
      { by: merchant, outer: mpp, revoked: [mpp.signing], known: [merchant.record] },
    ],
    [
      "of a host whose own key is revoked: the certifier's word mends that not",
      'CREDENTIAL_REVOKED',
      { by: merchant, outer: successor, revoked: [merchant.signing], known: [merchant.record] },
    ],
    [
      "of a host that fell with another processor's key",
      'UNKNOWN_KEY',
      { by: merchant, outer: stranger, outerId: 'hu-stranger', revoked: [mpp.signing], known: [merchant.record] },
    ],
    ['of a host that nobody else knows, with its chain', 'ok', { by: brief, outer: mpp, chain: brief.chain }],
    [
      'of such a host, whose chain fell with a former key',
      'ok',
      { by: brief, outer: successor, chain: brief.chain, revoked: [mpp.signing] },
    ],
    [
      'of such a host, whose own key is revoked',
      'CREDENTIAL_REVOKED',
      { by: brief, outer: mpp, chain: brief.chain, revoked: [brief.signing] },
    ],
    ['of such a host, without its chain: it is asked for', 'UNKNOWN_KEY', { by: brief, outer: mpp }],
    ['with the chain of another key', 'UNKNOWN_KEY', { by: brief, outer: mpp, chain: merchant.chain }],
    ["with another processor's chain", 'UNKNOWN_KEY', { by: strangers, outer: mpp, chain: strangers.chain }],
    [
      'with a chain that it did not sign itself',
      'UNKNOWN_KEY',
      { by: strangers, outer: mpp, chain: [...mpp.chain, strangers.chain[1] as Uint8Array] },
    ],
    [
      "of a host known here by the fallen chain of another processor, with its own certifier's",
      'ok',
      {
        by: brief,
        outer: mpp,
        chain: brief.chain,
        revoked: [stranger.signing],
        known: [{ ...brief.record, issuer: 'hu-stranger', issuerKeyId: stranger.signing.keyId }],
      },
    ],
  ])('%s: %s', (_, code, one) => expect(judged(one)).toBe(code))

  test('is vouched for by processors alone: a host may bear any name', () => {
    expect(voucherOf(mpp.record, { chain: brief.chain })).toEqual({ id: mpp.id, chain: brief.chain })
    expect(voucherOf({ ...merchant.record, owner: mpp.id }, { chain: brief.chain })).toBeUndefined()
  })
})
