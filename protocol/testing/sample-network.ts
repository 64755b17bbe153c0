/**
 * A whole small network from fixed seeds, for tests and for the golden vectors: every key, credential and random byte is the
 * same in each run. Nothing here is secret, and nothing that runs with money may import it.
 */
import { u32be, utf8 } from '../bytes.ts'
import { encodeBeside, encodeBody } from '../codec.ts'
import { createOpener, createSealer, makeCarrier } from '../confidential.ts'
import { createTrust, verifyChain, type KeyRecord, type Trust } from '../credentials.ts'
import type { Engine, KeyPair } from '../engines/engine.ts'
import { makeContent, type Content, type Originator } from '../envelope.ts'
import { ENVELOPE_VERSION, type Header } from '../header.ts'
import { hash } from '../hash.ts'
import { guestToken, type Role } from '../ids.ts'
import { keyIdOf, networkIdOf, signingKeyFromSeed, type SigningKey } from '../keys.ts'
import { kindRow, type Beside, type Body, type KindName } from '../kinds.ts'
import { keyOfBytes } from '../lru.ts'
import type { OpenContext } from '../open.ts'
import {
  issueEnrolment,
  issueHost,
  issueMandate,
  issuePayee,
  issueProcessor,
  type ProcessorRole,
} from '../statements.ts'
import { sealOne } from '../seals.ts'

/** 2027-01-15T08:00:00Z: every sample message is sent then. */
export const NOW = 1_800_000_000_000
export const VALID_FROM = NOW - 30 * 86_400_000
export const VALID_TO = NOW + 365 * 86_400_000

/** 32 bytes that depend on the name alone. */
export const seedOf = (name: string): Uint8Array => hash(utf8(`semops sample ${name}`))

/** Bytes that look random and are the same in each run. */
export const seededRandom = (name: string): ((n: number) => Uint8Array) => {
  let block = 0
  return (n) => {
    const bytes = new Uint8Array(n)
    for (let at = 0; at < n; at += 32) bytes.set(hash(seedOf(name), u32be(block++)).subarray(0, n - at), at)
    return bytes
  }
}

export const sampleId = (name: string): Uint8Array => seedOf(name).slice(0, 16)

export type SampleHost = {
  readonly id: string
  readonly role: Role
  readonly signing: SigningKey
  readonly sealing: KeyPair
  readonly chain: readonly Uint8Array[]
  readonly record: KeyRecord
}

/** Key pair for encryption from a name. */
export const sealingPair = (engine: Engine, name: string): KeyPair => {
  const secretKey = seedOf(`${name} sealing`)
  return { secretKey, publicKey: engine.sealing.publicKeyOf(secretKey) }
}

export type SampleNetwork = ReturnType<typeof createSampleNetwork>

export const createSampleNetwork = (engine: Engine, rootName = 'root') => {
  const root = signingKeyFromSeed(engine, seedOf(rootName))
  const networkId = networkIdOf(root.publicKey)
  const trust: Trust = createTrust(engine, root.publicKey)
  const validity = { notBeforeMs: VALID_FROM, notAfterMs: VALID_TO, serial: 1 }

  const finish = (
    id: string,
    role: Role,
    signing: SigningKey,
    sealing: KeyPair,
    chain: readonly Uint8Array[],
  ): SampleHost => {
    const verified = verifyChain(trust, chain, NOW)
    if (!verified.ok) throw new Error(`sample ${id}: ${verified.failure.code} ${verified.failure.detail}`)
    return { id, role, signing, sealing, chain, record: verified.value.hostKey ?? verified.value.processorKey }
  }
  const processor = (id: string, role: ProcessorRole, operatorId = id): SampleHost => {
    const signing = signingKeyFromSeed(engine, seedOf(id))
    const sealing = sealingPair(engine, id)
    const realm = id.slice(0, id.indexOf('-'))
    const credential = issueProcessor(
      engine,
      {
        networkId,
        id,
        role,
        realm,
        operatorId,
        algorithm: 'ed25519',
        signingKey: signing.publicKey,
        sealingKey: sealing.publicKey,
        ...validity,
        ...(role === 'dc' ? { address: `${realm}-dc` } : {}),
      },
      root,
    )
    return finish(id, role, signing, sealing, [credential])
  }
  const host = (id: string, role: 'customer' | 'merchant', issuer: SampleHost): SampleHost => {
    const signing = signingKeyFromSeed(engine, seedOf(id))
    const sealing = sealingPair(engine, id)
    const credential = issueHost(
      engine,
      {
        networkId,
        id,
        role,
        algorithm: 'ed25519',
        signingKey: signing.publicKey,
        sealingKey: sealing.publicKey,
        ...validity,
      },
      issuer.signing,
    )
    return finish(id, role, signing, sealing, [...issuer.chain, credential])
  }

  const dc = processor('hu-dc-1', 'dc')
  const peerDc = processor('at-dc-1', 'dc')
  const cpp = processor('hu-otp', 'cpp')
  const mpp = processor('hu-cosmo', 'mpp')
  const bank = processor('hu-kh', 'bank')
  const wallet = host('hu-wallet-1', 'customer', cpp)
  const merchant = host('hu-shop-1', 'merchant', mpp)

  const payeeCredential = issuePayee(
    engine,
    {
      networkId,
      payee: 'hu-bakery',
      host: merchant.id,
      account: 'hu-kh:bakery',
      currency: 'EUR',
      payeeKind: 'shop',
      displayName: 'Bakery',
      serial: 1,
    },
    mpp.signing,
  )
  const merchantChain = [...merchant.chain, payeeCredential]
  const device = signingKeyFromSeed(engine, seedOf('hu-alice device'))
  const enrolment = issueEnrolment(
    engine,
    {
      networkId,
      customer: 'hu-alice',
      host: wallet.id,
      deviceKey: device.publicKey,
      pinKeyFingerprint: seedOf('hu-alice fingerprint'),
      account: 'hu-kh:alice',
      currency: 'EUR',
      serial: 1,
    },
    cpp.signing,
  )
  const enrolled = verifyChain(trust, [...cpp.chain, enrolment], NOW)
  if (!enrolled.ok || enrolled.value.enrolmentKey === undefined) throw new Error('sample enrolment')
  const deviceRecord = enrolled.value.enrolmentKey
  const holder = signingKeyFromSeed(engine, seedOf('hu-alice holder'))
  const mandate = issueMandate(
    engine,
    {
      networkId,
      account: 'hu-kh:alice',
      operatorId: 'hu-otp',
      limitMinor: 100_000n,
      currency: 'EUR',
      notBeforeMs: VALID_FROM,
      notAfterMs: VALID_TO,
      serial: 1,
    },
    holder,
  )
  const guest = {
    token: guestToken(signingKeyFromSeed(engine, seedOf('guest login')).publicKey),
    signing: signingKeyFromSeed(engine, seedOf('guest')),
    sealing: sealingPair(engine, 'guest'),
  }

  const hosts = [dc, peerDc, cpp, mpp, bank, wallet, merchant]
  const records = new Map(
    [...hosts.map(({ record }) => record), deviceRecord].map((record) => [keyOfBytes(record.keyId), record]),
  )

  const header = (kind: KindName, from: Originator, to: string, name: string, extra: Partial<Header> = {}): Header => ({
    networkId,
    kind,
    bodyVersion: 1,
    messageId: sampleId(`message ${name}`),
    from,
    to,
    sentAtMs: NOW,
    expiresAtMs: kindRow(kind).expires ? NOW + 120_000 : undefined,
    version: ENVELOPE_VERSION,
    correlationId: undefined,
    bodyForm: 'plain',
    ...extra,
  })
  const content = <K extends KindName>(
    kind: K,
    from: Originator,
    to: string,
    body: Body<K>,
    extra: Partial<Header> = {},
  ): Content => makeContent(header(kind, from, to, `${kind} ${String(from)} ${to}`, extra), encodeBody(kind, body))
  /** Encrypts `innerFrame` to `recipient` and seals the carrier with the key of `from`. */
  const carry = <K extends KindName>(
    kind: K,
    from: SampleHost,
    to: string,
    innerFrame: Uint8Array,
    recipient: Uint8Array,
    beside: NonNullable<Beside<K>> | null = null,
  ): Uint8Array => {
    const sealer = createSealer(engine, seededRandom(`carrier ${kind}`))
    const carrier = header(kind, from.id, to, `carrier ${kind}`, { bodyForm: 'encrypted' })
    return sealOne(
      makeCarrier(
        sealer,
        carrier,
        { innerFrame, beside: beside === null ? null : encodeBeside(kind, beside) },
        recipient,
      ),
      from.signing,
    )
  }

  /** What `role` knows when it opens a frame. `pairs` are its own X25519 pairs. */
  const contextOf = (role: Role, addresses: readonly string[], pairs: readonly KeyPair[]): OpenContext => ({
    trust,
    self: { role, isAddressee: (to) => addresses.includes(to) },
    lookupKey: (keyId) => records.get(keyOfBytes(keyId)),
    roleOf: (id) => hosts.find((known) => known.id === id)?.role,
    opener: createOpener(engine),
    secretOf: (keyId) => pairs.find(({ publicKey }) => keyOfBytes(keyIdOf('x25519', publicKey)) === keyOfBytes(keyId)),
  })
  const contexts = {
    dc: contextOf('dc', ['hu-dc-1', 'hu-dc'], [dc.sealing]),
    cpp: contextOf('cpp', ['hu-otp'], [cpp.sealing]),
    mpp: contextOf('mpp', ['hu-cosmo'], [mpp.sealing]),
    bank: contextOf('bank', ['hu-kh'], [bank.sealing]),
    wallet: contextOf('customer', ['hu-wallet-1', 'hu-alice'], [wallet.sealing]),
    merchant: contextOf('merchant', ['hu-shop-1', 'hu-bakery'], [merchant.sealing]),
    guest: contextOf('guest', [guest.token], [guest.sealing]),
  } as const

  return {
    engine,
    root,
    networkId,
    trust,
    dc,
    peerDc,
    cpp,
    mpp,
    bank,
    wallet,
    merchant,
    payeeCredential,
    merchantChain,
    device,
    deviceRecord,
    enrolment,
    holder,
    mandate,
    guest,
    records,
    header,
    content,
    carry,
    contextOf,
    contexts,
  } as const
}
