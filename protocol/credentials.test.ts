import { describe, expect, test } from 'vitest'
import { concat, equalBytes, utf8 } from './bytes.ts'
import {
  chainKeyIds,
  checkValidity,
  createTrust,
  deviceKeyRecord,
  isRecordRevoked,
  verifyChain,
  verifyChainAsIssued,
  verifyMandate,
  verifyMerchantChain,
  verifyPayeeCredential,
  verifyRevocationList,
} from './credentials.ts'
import { loadEngine, portableEngine } from './engines/load.ts'
import { rsaEngine } from './engines/rsa-engine.ts'
import type { Result } from './failures.ts'
import { signingKeyFromSeed, signingKeyOf, type SigningKey } from './keys.ts'
import { keyOfBytes } from './lru.ts'
import {
  issueEnrolment,
  issueHost,
  issueMandate,
  issuePayee,
  issueProcessor,
  issueRevocationList,
  parseCredential,
} from './statements.ts'
import { createSampleNetwork, NOW, sampleId, seedOf, VALID_FROM, VALID_TO } from './testing/sample-network.ts'

const engine = loadEngine()
const network = createSampleNetwork(engine)
const {
  trust,
  root,
  networkId,
  mpp,
  cpp,
  merchant,
  merchantChain,
  wallet,
  payeeCredential,
  enrolment,
  holder,
  mandate,
} = network
const other = createSampleNetwork(engine, 'another root')
const mallory = signingKeyFromSeed(engine, seedOf('mallory'))
const code = (result: Result<unknown>): string => (result.ok ? 'ok' : result.failure.code)

const keys = { algorithm: 'ed25519', signingKey: mallory.publicKey, sealingKey: new Uint8Array(32).fill(9) } as const
const validity = { notBeforeMs: VALID_FROM, notAfterMs: VALID_TO, serial: 1 }
const processorOf = (change: Partial<Parameters<typeof issueProcessor>[1]> = {}, key: SigningKey = root): Uint8Array =>
  issueProcessor(
    engine,
    { networkId, id: 'hu-new', role: 'mpp', realm: 'hu', operatorId: 'hu-new', ...keys, ...validity, ...change },
    key,
  )
const hostOf = (change: Partial<Parameters<typeof issueHost>[1]> = {}, key: SigningKey = mpp.signing): Uint8Array =>
  issueHost(engine, { networkId, id: 'hu-shop-9', role: 'merchant', ...keys, ...validity, ...change }, key)
const payeeOf = (change: Partial<Parameters<typeof issuePayee>[1]> = {}, key: SigningKey = mpp.signing): Uint8Array =>
  issuePayee(
    engine,
    {
      networkId,
      payee: 'hu-bakery',
      host: merchant.id,
      account: 'hu-kh:x',
      currency: 'EUR',
      payeeKind: 'shop',
      displayName: 'X',
      serial: 2,
      ...change,
    },
    key,
  )

describe('a chain', () => {
  test('of each sample host verifies, in both engines and from the cache', () => {
    const fresh = createTrust(portableEngine, root.publicKey)
    for (const { chain, id } of [mpp, cpp, merchant, wallet, network.dc, network.bank]) {
      for (const one of [trust, fresh, fresh]) {
        const verified = verifyChain(one, chain, NOW)
        expect(verified.ok && (verified.value.host?.id ?? verified.value.processor.id)).toBe(id)
      }
    }
  })
  test('gives the merchant of an invoice', () => {
    const verified = verifyMerchantChain(trust, merchantChain, 'hu-bakery', NOW)
    expect(verified).toMatchObject({
      ok: true,
      value: {
        mpp: { id: 'hu-cosmo' },
        host: { id: 'hu-shop-1' },
        payee: { payee: 'hu-bakery', account: 'hu-kh:bakery' },
      },
    })
  })
  test('gives the device key of an enrolment', () => {
    const verified = verifyChain(trust, [...cpp.chain, enrolment], NOW)
    expect(verified).toMatchObject({
      ok: true,
      value: { enrolmentKey: { owner: 'hu-alice', host: 'hu-wallet-1', role: 'customer' } },
    })
    expect(network.deviceRecord).toEqual(
      deviceKeyRecord({ customer: 'hu-alice', host: 'hu-wallet-1', deviceKey: network.device.publicKey }),
    )
  })
  test('under an RSA processor key verifies', () => {
    const rsa = signingKeyOf(engine, 'rsa-pss-sha256', rsaEngine.generateKeyPair())
    const processor = processorOf({ algorithm: 'rsa-pss-sha256', signingKey: rsa.publicKey })
    expect(code(verifyChain(trust, [processor, hostOf({}, rsa)], NOW))).toBe('ok')
    expect(code(verifyChain(trust, [processor, hostOf({}, mallory)], NOW))).toBe('BROKEN_CHAIN')
  })

  const [mppCredential, hostCredential] = merchant.chain as [Uint8Array, Uint8Array]
  const spoilt = hostCredential.slice()
  spoilt[spoilt.length - 1] = (spoilt.at(-1) as number) ^ 1
  const foreignRealm = processorOf({ id: 'at-new', realm: 'at' })
  test.each<readonly [string, readonly Uint8Array[], string]>([
    ['empty', [], 'BROKEN_CHAIN'],
    ['too long', [mppCredential, hostCredential, payeeCredential, payeeCredential, payeeCredential], 'BROKEN_CHAIN'],
    ['without its processor', [hostCredential, payeeCredential], 'BROKEN_CHAIN'],
    ['of another root', other.mpp.chain, 'BROKEN_CHAIN'],
    ['of another network under this root', [processorOf({ networkId: new Uint8Array(16) })], 'WRONG_NETWORK'],
    ['self-signed', [processorOf({}, mallory)], 'BROKEN_CHAIN'],
    ['with a host of another processor', [...network.bank.chain, hostCredential], 'BROKEN_CHAIN'],
    ['with a host that its CPP called merchant', [...cpp.chain, hostOf({}, cpp.signing)], 'BROKEN_CHAIN'],
    ['with a wallet host of an MPP', [...mpp.chain, hostOf({ role: 'customer' })], 'BROKEN_CHAIN'],
    ['with a payee of a CPP', [...cpp.chain, payeeOf({}, cpp.signing)], 'BROKEN_CHAIN'],
    [
      'with an enrolment of an MPP',
      [
        ...mpp.chain,
        issueEnrolment(
          engine,
          {
            networkId,
            customer: 'hu-eve',
            host: 'hu-wallet-1',
            deviceKey: mallory.publicKey,
            pinKeyFingerprint: new Uint8Array(32),
            account: 'hu-kh:eve',
            currency: 'EUR',
            serial: 1,
          },
          mpp.signing,
        ),
      ],
      'BROKEN_CHAIN',
    ],
    ['with a merchant host of another realm', [...mpp.chain, hostOf({ id: 'at-shop' })], 'BROKEN_CHAIN'],
    ['with a payee of another realm', [...mpp.chain, payeeOf({ payee: 'at-bakery' })], 'BROKEN_CHAIN'],
    ['with two hosts', [...merchant.chain, hostOf()], 'BROKEN_CHAIN'],
    ['with a mandate in it', [...mpp.chain, mandate], 'BROKEN_CHAIN'],
    ['with a processor in second place', [...mpp.chain, processorOf()], 'BROKEN_CHAIN'],
    ['with a spoilt signature', [mppCredential, spoilt], 'BROKEN_CHAIN'],
    ['with noise', [mppCredential, utf8('noise')], 'BROKEN_CHAIN'],
    ['with bytes after a credential', [concat(mppCredential, Uint8Array.of(0))], 'BROKEN_CHAIN'],
    ['of another realm, sound', [foreignRealm], 'ok'],
  ])('%s', (_name, chain, expected) => expect(code(verifyChain(trust, chain, NOW))).toBe(expected))

  test('is judged at the time it is given, however often it was seen', () => {
    expect(code(verifyChain(trust, merchantChain, VALID_FROM - 1))).toBe('CREDENTIAL_NOT_YET_VALID')
    expect(code(verifyChain(trust, merchantChain, VALID_FROM))).toBe('ok')
    expect(code(verifyChain(trust, merchantChain, VALID_TO))).toBe('ok')
    expect(code(verifyChain(trust, merchantChain, VALID_TO + 1))).toBe('CREDENTIAL_EXPIRED')
    expect(code(checkValidity(merchant.record, NOW))).toBe('ok')
  })
  test('is revoked with any key in it, although it was seen before', () => {
    const revoked = new Set<string>()
    const strict = createTrust(engine, root.publicKey, (keyId) => revoked.has(keyOfBytes(keyId)))
    expect(code(verifyChain(strict, merchantChain, NOW))).toBe('ok')
    for (const { keyId } of [mpp.record, merchant.record]) {
      revoked.clear()
      revoked.add(keyOfBytes(keyId))
      expect(code(verifyChain(strict, merchantChain, NOW))).toBe('CREDENTIAL_REVOKED')
    }
  })
  test('with an unsound key signed by a careless root is refused', () => {
    // Issuing refuses it, so the payload is patched and signed by hand.
    const identity = concat(Uint8Array.of(1), new Uint8Array(31))
    const parsed = parseCredential(processorOf())
    if (!parsed.ok) throw new Error('credential')
    const payload = parsed.value.payload.slice()
    const at = Buffer.from(payload).indexOf(mallory.publicKey)
    payload.set(identity, at)
    const signature = root.sign(concat(Uint8Array.of(0xff), utf8('semops/1 credential'), Uint8Array.of(0), payload))
    const credential = concat(
      Uint8Array.of(0x93, 0xc5, payload.length >> 8, payload.length & 0xff),
      payload,
      Uint8Array.of(0xc4, 16),
      root.keyId,
      Uint8Array.of(0xc4, 64),
      signature,
    )
    expect(code(verifyChain(trust, [credential], NOW))).toBe('BAD_KEY')
  })
})

describe("an invoice's chain", () => {
  test.each<readonly [string, readonly Uint8Array[], string]>([
    ['of another payee', merchantChain, 'hu-butcher'],
    ['without a payee', merchant.chain, 'hu-bakery'],
    ['without a host', [...mpp.chain, payeeCredential], 'hu-bakery'],
    ['whose payee is at another host', [...mpp.chain, hostOf(), payeeCredential], 'hu-bakery'],
    ['of a processor alone', mpp.chain, 'hu-bakery'],
  ])('%s is refused', (_name, chain, payee) =>
    expect(code(verifyMerchantChain(trust, chain, payee, NOW))).toBe('BROKEN_CHAIN'),
  )
  test('outlives a rotation of the host key, which its payee credential does not name', () => {
    const rotated = hostOf({ id: merchant.id, serial: 2 })
    expect(code(verifyMerchantChain(trust, [...mpp.chain, rotated, payeeCredential], 'hu-bakery', NOW))).toBe('ok')
  })
  test('a payee credential alone is held against its MPP', () => {
    const chain = verifyChain(trust, mpp.chain, NOW)
    if (!chain.ok) throw new Error('chain')
    expect(code(verifyPayeeCredential(trust, chain.value.processor, payeeCredential))).toBe('ok')
    expect(code(verifyPayeeCredential(trust, chain.value.processor, payeeOf({}, mallory)))).toBe('BROKEN_CHAIN')
    expect(code(verifyPayeeCredential(trust, chain.value.processor, hostOf()))).toBe('BROKEN_CHAIN')
  })
})

describe('issuing refuses', () => {
  test.each<readonly [string, () => unknown]>([
    ['an id that would subscribe to everything', () => processorOf({ id: '*' })],
    ['an id with a dot', () => processorOf({ id: 'hu-a.b' })],
    ['upper case', () => hostOf({ id: 'hu-Shop' })],
    ['a realm that is not the id’s', () => processorOf({ realm: 'at' })],
    ['an address for an MPP', () => processorOf({ address: 'hu-dc' })],
    ['a data center without its address', () => processorOf({ id: 'hu-dc-2', role: 'dc' })],
    ['a data center with another realm’s address', () => processorOf({ id: 'hu-dc-2', role: 'dc', address: 'at-dc' })],
    ['a bank named as the data centers’ address', () => processorOf({ id: 'hu-dc', role: 'bank' })],
    ['an identity key', () => processorOf({ signingKey: concat(Uint8Array.of(1), new Uint8Array(31)) })],
    ['an RSA key called Ed25519', () => processorOf({ signingKey: rsaEngine.generateKeyPair().publicKey })],
    ['a validity that ends before it begins', () => hostOf({ notAfterMs: VALID_FROM })],
    ['a serial of zero', () => hostOf({ serial: 0 })],
    ['a display name that is too long', () => payeeOf({ displayName: 'x'.repeat(121) })],
    ['an unknown field', () => hostOf({ extra: 1 } as never)],
  ])('%s', (_name, act) => expect(act).toThrow(TypeError))
})

describe('a mandate', () => {
  const holderKey = { algorithm: 'ed25519', publicKey: holder.publicKey } as const
  const mandateOf = (change: Partial<Parameters<typeof issueMandate>[1]>, key = holder): Uint8Array =>
    issueMandate(
      engine,
      {
        networkId,
        account: 'hu-kh:alice',
        operatorId: 'hu-otp',
        limitMinor: 5n,
        currency: 'EUR',
        ...validity,
        ...change,
      },
      key,
    )
  test('is read with its limit', () => {
    expect(verifyMandate(trust, mandate, holderKey, NOW)).toMatchObject({
      ok: true,
      value: { account: 'hu-kh:alice', operatorId: 'hu-otp', limitMinor: 100_000n },
    })
  })
  test.each<readonly [string, Uint8Array, number]>([
    ['by another key', mandateOf({}, mallory), NOW],
    ['of another network', mandateOf({ networkId: other.networkId }), NOW],
    ['too early', mandate, VALID_FROM - 1],
    ['too late', mandate, VALID_TO + 1],
    ['noise', utf8('noise'), NOW],
    [
      'another statement',
      issuePayee(
        engine,
        {
          networkId,
          payee: 'hu-x',
          host: 'hu-y',
          account: 'hu-kh:x',
          currency: 'EUR',
          payeeKind: 'shop',
          displayName: '',
          serial: 1,
        },
        holder,
      ),
      NOW,
    ],
  ])('%s is refused', (_name, bytes, at) =>
    expect(code(verifyMandate(trust, bytes, holderKey, at))).toBe('MANDATE_INVALID'),
  )
})

describe('a revocation list', () => {
  const listOf = (key: SigningKey, id = networkId): Uint8Array =>
    issueRevocationList(engine, { networkId: id, version: 3, revoked: [sampleId('gone')], issuedAtMs: NOW }, key)
  test('is the root’s', () => {
    expect(verifyRevocationList(trust, listOf(root))).toMatchObject({
      ok: true,
      value: { version: 3, revoked: [sampleId('gone')] },
    })
    expect(code(verifyRevocationList(trust, listOf(mpp.signing)))).toBe('BROKEN_CHAIN')
    expect(code(verifyRevocationList(trust, listOf(root, other.networkId)))).toBe('WRONG_NETWORK')
    expect(code(verifyRevocationList(trust, mpp.chain[0] as Uint8Array))).toBe('BROKEN_CHAIN')
    expect(code(verifyRevocationList(trust, utf8('noise')))).toBe('BROKEN_CHAIN')
  })
})

test('a root key that anybody could sign for is not trusted', () => {
  expect(() => createTrust(engine, concat(Uint8Array.of(1), new Uint8Array(31)))).toThrow(TypeError)
})

describe('a key that is revoked', () => {
  const without = (...revoked: readonly Uint8Array[]) => ({
    ...trust,
    isRevoked: (keyId: Uint8Array) => revoked.some((one) => equalBytes(one, keyId)),
  })
  test.each([
    ['the MPP’s', mpp.signing.keyId],
    ['the host’s', merchant.signing.keyId],
  ])('%s voids the chain and the host’s key, whether or not the chain was verified before', (_, keyId) => {
    const judge = without(keyId)
    expect(code(verifyMerchantChain(trust, merchantChain, 'hu-bakery', NOW))).toBe('ok')
    expect(code(verifyMerchantChain(judge, merchantChain, 'hu-bakery', NOW))).toBe('CREDENTIAL_REVOKED')
    expect(code(verifyChain(judge, merchant.chain, NOW))).toBe('CREDENTIAL_REVOKED')
    expect([isRecordRevoked(judge, merchant.record), isRecordRevoked(trust, merchant.record)]).toEqual([true, false])
    // Who keeps the chain asks again at each use.
    expect(code(verifyChainAsIssued(judge, merchant.chain, NOW))).toBe('ok')
    expect(code(verifyChainAsIssued(judge, merchant.chain, VALID_TO + 1))).toBe('CREDENTIAL_EXPIRED')
  })
  test('leaves other chains as they are', () => {
    const judge = without(cpp.signing.keyId)
    expect(code(verifyMerchantChain(judge, merchantChain, 'hu-bakery', NOW))).toBe('ok')
    expect([isRecordRevoked(judge, merchant.record), isRecordRevoked(judge, wallet.record)]).toEqual([false, true])
  })
  test('is named by the chain that shows it', () => {
    expect(chainKeyIds(trust, merchantChain)).toEqual([mpp.signing.keyId, merchant.signing.keyId])
    expect(chainKeyIds(trust, mpp.chain)).toEqual([mpp.signing.keyId])
    expect(chainKeyIds(trust, other.mpp.chain)).toEqual([])
  })
  test('voids what it signed: payee credentials and mandates', () => {
    const chain = verifyMerchantChain(trust, merchantChain, 'hu-bakery', NOW)
    if (!chain.ok) throw new Error(chain.failure.code)
    expect(code(verifyPayeeCredential(trust, chain.value.mpp, payeeCredential))).toBe('ok')
    expect(code(verifyPayeeCredential(without(mpp.signing.keyId), chain.value.mpp, payeeCredential))).toBe(
      'CREDENTIAL_REVOKED',
    )
    const holderKey = { algorithm: 'ed25519', publicKey: holder.publicKey } as const
    expect(code(verifyMandate(trust, mandate, holderKey, NOW))).toBe('ok')
    expect(code(verifyMandate(without(holder.keyId), mandate, holderKey, NOW))).toBe('MANDATE_INVALID')
  })
  test('leaves the device key of a customer to the CPP’s own record', () => {
    const device = deviceKeyRecord({ customer: 'hu-alice', host: 'hu-wallet-1', deviceKey: mallory.publicKey })
    expect(isRecordRevoked(without(cpp.signing.keyId), device)).toBe(false)
    expect(isRecordRevoked(without(mallory.keyId), device)).toBe(true)
  })
})

test('a chain that ended past the grace of the judge’s own clock is expired whatever time is stated', () => {
  const judge = { ...trust, isPast: (notAfterMs: number) => notAfterMs === VALID_TO }
  expect(code(verifyChain(judge, mpp.chain, NOW))).toBe('CREDENTIAL_EXPIRED')
  expect(code(verifyChain(trust, mpp.chain, NOW))).toBe('ok')
})
