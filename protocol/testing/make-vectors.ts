/**
 * Golden bytes for who implements this protocol anew: made once from the sample network's fixed seeds, then frozen. Tests read
 * the files and make nothing. In them bytes are hex, amounts are decimal text, everything else is plain JSON.
 */
import { toHex, u32be, utf8 } from '../bytes.ts'
import type { Engine } from '../engines/engine.ts'
import { hash } from '../hash.ts'
import { keyIdOf, networkIdOf, signingKeyFromSeed, signingKeyOf } from '../keys.ts'
import type { KindName } from '../kinds.ts'
import { KIND_NAMES, kindRow, legsOf } from '../kinds.ts'
import {
  appendLeaf,
  batchHash,
  EMPTY_RANGE,
  NO_PREVIOUS_BATCH,
  pairEntryLeaf,
  proveLeaf,
  rangeRoot,
  type PairEntry,
} from '../mountain-range.ts'
import { openFrame, type Arrival } from '../open.ts'
import { derivePinKeySync, deviceReplacementSubject, pinChangeSubject, pinProof } from '../pin.ts'
import { parseFrame, sealBatch, sealOne } from '../seals.ts'
import { issueMandate, issueProcessor, issueRevocationList } from '../statements.ts'
import { formatSubject } from '../subjects.ts'
import { evidenceVectors } from './evidence-vectors.ts'
import { createInvalidFrames } from './invalid-frames.ts'
import { createSampleMessages, SAMPLE_PIN } from './sample-messages.ts'
import {
  createSampleNetwork,
  NOW,
  sampleId,
  seededRandom,
  seedOf,
  VALID_FROM,
  VALID_TO,
  type SampleHost,
  type SampleNetwork,
} from './sample-network.ts'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** Bytes as hex, bigint as decimal text, absent fields left out. */
export const show = (value: unknown): Json => {
  if (value instanceof Uint8Array) return toHex(value)
  if (typeof value === 'bigint') return value.toString()
  if (Array.isArray(value)) return value.map(show)
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, field]) => field !== undefined)
        .map(([name, field]) => [name, show(field)]),
    )
  return value as Json
}

/** The RSA vector: PSS is salted at random, so that it can be made but never made again. */
export type RsaVector = {
  readonly credential: string
  readonly frame: string
  readonly digest: string
  readonly publicKey: string
}

/** File name → content. `rsa` is the vector already frozen, if any. */
export const makeVectors = (engine: Engine, rsa: RsaVector | undefined): Readonly<Record<string, Json>> => {
  const network = createSampleNetwork(engine)
  return {
    'network.json': networkVector(network),
    'frames.json': frameVectors(network, rsa ?? makeRsaVector(network)),
    'invalid.json': invalidVectors(network),
    'credentials.json': credentialVectors(network),
    'confidential.json': confidentialVector(network),
    'pin.json': pinVector(network),
    'settlement.json': settlementVector(),
    'evidence.json': show(evidenceVectors(network)),
    'hashes.json': hashVector(),
    'subjects.json': subjectVector(),
  }
}

const networkVector = ({
  root,
  networkId,
  dc,
  peerDc,
  cpp,
  mpp,
  bank,
  wallet,
  merchant,
  merchantChain,
  deviceRecord,
  enrolment,
  guest,
}: SampleNetwork): Json => {
  const hosts = { dc, peerDc, cpp, mpp, bank, wallet, merchant }
  const hostOf = ({ id, role, signing, sealing, chain }: SampleHost) => ({
    id,
    role,
    signingSeed: seedOf(id),
    signingKey: signing.publicKey,
    keyId: signing.keyId,
    sealingSecret: sealing.secretKey,
    sealingKey: sealing.publicKey,
    chain,
  })
  return show({
    about: 'The sample network: one root, its processors and hosts. Every seed here is public: never use one.',
    rootSeed: seedOf('root'),
    rootKey: root.publicKey,
    rootKeyId: root.keyId,
    networkId,
    nowMs: NOW,
    validFromMs: VALID_FROM,
    validToMs: VALID_TO,
    hosts: Object.values(hosts).map(hostOf),
    customers: [
      {
        id: 'hu-alice',
        host: wallet.id,
        deviceSeed: seedOf('hu-alice device'),
        deviceKey: deviceRecord.publicKey,
        keyId: deviceRecord.keyId,
        chain: [...cpp.chain, enrolment],
      },
    ],
    payees: [{ payee: 'hu-bakery', chain: merchantChain }],
    guest: {
      loginSeed: seedOf('guest login'),
      token: guest.token,
      signingSeed: seedOf('guest'),
      signingKey: guest.signing.publicKey,
      sealingSecret: guest.sealing.secretKey,
      sealingKey: guest.sealing.publicKey,
    },
    receivers: {
      dc: { role: 'dc', answersTo: ['hu-dc-1', 'hu-dc'], sealingSecrets: [dc.sealing.secretKey] },
      cpp: { role: 'cpp', answersTo: ['hu-otp'], sealingSecrets: [cpp.sealing.secretKey] },
      mpp: { role: 'mpp', answersTo: ['hu-cosmo'], sealingSecrets: [mpp.sealing.secretKey] },
      bank: { role: 'bank', answersTo: ['hu-kh'], sealingSecrets: [bank.sealing.secretKey] },
      wallet: { role: 'customer', answersTo: ['hu-wallet-1', 'hu-alice'], sealingSecrets: [wallet.sealing.secretKey] },
      merchant: {
        role: 'merchant',
        answersTo: ['hu-shop-1', 'hu-bakery'],
        sealingSecrets: [merchant.sealing.secretKey],
      },
      guest: { role: 'guest', answersTo: [guest.token], sealingSecrets: [guest.sealing.secretKey] },
    },
  })
}

const makeRsaVector = ({ engine, networkId, root, content }: SampleNetwork): RsaVector => {
  const pair = engine.rsa.generateKeyPair()
  const key = signingKeyOf(engine, 'rsa-pss-sha256', pair)
  const credential = issueProcessor(
    engine,
    {
      networkId,
      id: 'hu-rsa',
      role: 'mpp',
      realm: 'hu',
      operatorId: 'hu-rsa',
      algorithm: 'rsa-pss-sha256',
      signingKey: pair.publicKey,
      sealingKey: engine.sealing.publicKeyOf(seedOf('hu-rsa sealing')),
      notBeforeMs: VALID_FROM,
      notAfterMs: VALID_TO,
      serial: 1,
    },
    root,
  )
  const receipt = content('receipt', 'hu-rsa', 'hu-otp', { digest: seedOf('digest') })
  return {
    credential: toHex(credential),
    frame: toHex(sealOne(receipt, key)),
    digest: toHex(receipt.digest),
    publicKey: toHex(pair.publicKey),
  }
}

const frameVectors = (network: SampleNetwork, rsa: RsaVector): Json => {
  const { contexts, cpp, mpp, merchant, guest, wallet, content, bank } = network
  const messages = createSampleMessages(network)
  const batch = sealBatch(
    [messages.delayedContent, messages.noticeContent, content('receipt', cpp.id, mpp.id, { digest: seedOf('digest') })],
    cpp.signing,
    seededRandom('vector batch'),
  )
  const holdOrder = sealOne(
    content('hold-order', cpp.id, bank.id, {
      holdId: sampleId('hold'),
      account: 'hu-kh:alice',
      amountMinor: 5_000n,
      currency: 'EUR',
      holdExpiresAtMs: NOW + 300_000,
    }),
    cpp.signing,
  )
  const refusal = sealOne(
    content('refusal', bank.id, cpp.id, { digest: seedOf('digest'), code: 5_001, detail: 'a queue is full' }),
    bank.signing,
  )
  const registration = sealOne(
    content('processor-registration', mpp.id, 'hu-dc', {
      registrationId: sampleId('reg'),
      version: 1,
      chain: [...mpp.chain],
      accepts: [{ kind: 11, versions: [1] }],
    }),
    mpp.signing,
  )
  const row = (
    name: string,
    as: keyof SampleNetwork['contexts'],
    kind: KindName,
    fromHost: string,
    frame: Uint8Array,
  ): Json => {
    const arrival: Arrival = { toRole: contexts[as].self.role, kind, fromHost }
    const opened = openFrame(frame, arrival, contexts[as])
    const parsed = parseFrame(frame)
    if (!opened.ok || !parsed.ok) throw new Error(`${name}: ${opened.ok ? '' : opened.failure.code}`)
    const { header, body, beside, digest, sender } = opened.value
    return show({
      name,
      as,
      arrival,
      frame,
      sealForm: parsed.value.seal.form,
      digest,
      originator: { id: sender.id, role: sender.role, host: sender.host },
      ...(opened.value.frame.length === frame.length ? {} : { innerFrame: opened.value.frame }),
      header,
      body,
      ...(beside === undefined ? {} : { beside }),
    })
  }
  return {
    about:
      'Frames that open. `as` names a receiver of network.json; a confidential one gives its inner frame, whose header, body and digest these are.',
    frames: [
      row('an offer request under a one-time key', 'merchant', 'offer-request', guest.token, messages.offerRequest),
      row('an invoice, encrypted to a guest', 'guest', 'transaction-details', merchant.id, messages.transCarrier),
      row(
        'a payment request, encrypted to the CPP',
        'cpp',
        'payment-request',
        wallet.id,
        messages.paymentRequestCarrier,
      ),
      row('a payment notice relayed by the data center', 'mpp', 'payment-notice', 'hu-dc-1', messages.paymentNotice),
      row(
        'the same notice, forwarded by the MPP byte for byte',
        'merchant',
        'payment-notice',
        mpp.id,
        messages.paymentNotice,
      ),
      row('a payment decision', 'mpp', 'payment-decision', merchant.id, messages.decision),
      row('its countersignature', 'cpp', 'countersigned-decision', 'hu-dc-1', messages.countersigned),
      row(
        'a delayed transfer confirmation',
        'mpp',
        'delayed-transfer-confirmation',
        'hu-dc-1',
        messages.delayedConfirmation,
      ),
      row(
        'the same content in a batch of three: leaf 0',
        'mpp',
        'delayed-transfer-confirmation',
        'hu-dc-1',
        batch[0] as Uint8Array,
      ),
      row('leaf 1 of the batch', 'mpp', 'payment-notice', 'hu-dc-1', batch[1] as Uint8Array),
      row('leaf 2 of the batch, whose level is odd', 'mpp', 'receipt', 'hu-dc-1', batch[2] as Uint8Array),
      row('a hold order', 'bank', 'hold-order', cpp.id, holdOrder),
      row('a refusal', 'cpp', 'refusal', bank.id, refusal),
      row(
        'a host registration, whose body introduces its key',
        'cpp',
        'host-registration',
        wallet.id,
        messages.hostRegistration,
      ),
      row('a processor registration to the realm’s address', 'dc', 'processor-registration', mpp.id, registration),
    ],
    rsa,
  }
}

const invalidVectors = (network: SampleNetwork): Json => ({
  about:
    'Frames that must be refused, each with its code, in the order of the checks. A frame given by its length alone is that many zero bytes.',
  frames: createInvalidFrames(network).map(({ name, code, as, arrival, frame, revoked }) =>
    show({
      name,
      code,
      as,
      arrival,
      ...(frame.length > 60_000 ? { zeros: frame.length } : { frame }),
      ...(revoked === undefined ? {} : { revoked }),
    }),
  ),
})

const credentialVectors = ({
  engine,
  root,
  networkId,
  mpp,
  merchant,
  merchantChain,
  payeeCredential,
  bank,
  mandate,
  holder,
  wallet,
}: SampleNetwork): Json => {
  const other = createSampleNetwork(engine, 'another root')
  const spoilt = (merchant.chain[1] as Uint8Array).slice()
  spoilt[spoilt.length - 1] = (spoilt.at(-1) as number) ^ 1
  const foreignMandate = issueMandate(
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
    signingKeyFromSeed(engine, seedOf('mallory')),
  )
  const row = (name: string, code: string, chain: readonly Uint8Array[], atMs: number = NOW, payee?: string): Json =>
    show({ name, code, chain, atMs, ...(payee === undefined ? {} : { payee }) })
  return show({
    about: 'Chains as verifyChain judges them at a time; with `payee`, as the chain of an invoice for that payee.',
    chains: [
      row('an MPP', 'ok', mpp.chain),
      row('a wallet host', 'ok', wallet.chain),
      row('an invoice’s chain', 'ok', merchantChain, NOW, 'hu-bakery'),
      row('an invoice’s chain for another payee', 'BROKEN_CHAIN', merchantChain, NOW, 'hu-butcher'),
      row('an invoice’s chain without its host', 'BROKEN_CHAIN', [...mpp.chain, payeeCredential], NOW, 'hu-bakery'),
      row('of another root', 'BROKEN_CHAIN', other.mpp.chain),
      row('a host under another processor', 'BROKEN_CHAIN', [...bank.chain, merchant.chain[1] as Uint8Array]),
      row('a spoilt signature', 'BROKEN_CHAIN', [mpp.chain[0] as Uint8Array, spoilt]),
      row('a host alone', 'BROKEN_CHAIN', [merchant.chain[1] as Uint8Array]),
      row('before it is valid', 'CREDENTIAL_NOT_YET_VALID', mpp.chain, VALID_FROM - 1),
      row('after it expired', 'CREDENTIAL_EXPIRED', mpp.chain, VALID_TO + 1),
    ],
    mandates: [
      { name: 'the holder’s', code: 'ok', mandate, holderKey: holder.publicKey, atMs: NOW },
      {
        name: 'signed by another',
        code: 'MANDATE_INVALID',
        mandate: foreignMandate,
        holderKey: holder.publicKey,
        atMs: NOW,
      },
      { name: 'too late', code: 'MANDATE_INVALID', mandate, holderKey: holder.publicKey, atMs: VALID_TO + 1 },
    ],
    revocationLists: [
      {
        name: 'the root’s',
        code: 'ok',
        list: issueRevocationList(
          engine,
          { networkId, version: 1, revoked: [merchant.signing.keyId], issuedAtMs: NOW },
          root,
        ),
      },
      {
        name: 'the root’s, newer: it replaces the first, never the other way round',
        code: 'ok',
        list: issueRevocationList(
          engine,
          { networkId, version: 2, revoked: [merchant.signing.keyId, mpp.signing.keyId], issuedAtMs: NOW + 1_000 },
          root,
        ),
      },
      {
        name: 'another root’s',
        code: 'BROKEN_CHAIN',
        list: issueRevocationList(
          engine,
          { networkId, version: 3, revoked: [merchant.signing.keyId], issuedAtMs: NOW },
          other.root,
        ),
      },
      {
        name: 'the root’s, for another network',
        code: 'WRONG_NETWORK',
        list: issueRevocationList(
          engine,
          { networkId: other.networkId, version: 3, revoked: [merchant.signing.keyId], issuedAtMs: NOW },
          root,
        ),
      },
      {
        name: 'an MPP’s',
        code: 'BROKEN_CHAIN',
        list: issueRevocationList(
          engine,
          { networkId, version: 1, revoked: [merchant.signing.keyId], issuedAtMs: NOW },
          mpp.signing,
        ),
      },
    ],
  })
}

const confidentialVector = (network: SampleNetwork): Json => {
  const { paymentRequestCarrier, paymentRequest } = createSampleMessages(network)
  const parsed = parseFrame(paymentRequestCarrier)
  if (!parsed.ok) throw new Error(parsed.failure.code)
  const { headerBytes, bodyBytes } = parsed.value
  // The first 32 random bytes of this sealer are its ephemeral secret.
  const ephemeralSecret = seededRandom('carrier payment-request')(32)
  return show({
    about: 'One encrypted body taken apart; the ephemeral secret is shown so that a sender can be checked as well.',
    associatedData: headerBytes,
    body: bodyBytes,
    recipientSecret: network.cpp.sealing.secretKey,
    recipientKey: network.cpp.sealing.publicKey,
    recipientKeyId: keyIdOf('x25519', network.cpp.sealing.publicKey),
    ephemeralSecret,
    ephemeralKey: network.engine.sealing.publicKeyOf(ephemeralSecret),
    nonce: bodyBytes.slice(48, 60),
    innerFrame: paymentRequest,
    beside: null,
  })
}

const pinChangeVector = (pinKey: Uint8Array) => {
  const newPinKey = derivePinKeySync('24681357', 'hu-alice', 'hu-otp')
  const changeId = sampleId('change')
  const subject = pinChangeSubject(newPinKey)
  return { newPin: '24681357', newPinKey, changeId, subject, proof: pinProof(pinKey, subject, changeId) }
}
const deviceReplacementVector = (pinKey: Uint8Array) => {
  const deviceKey = seedOf('new device')
  const authorization = seedOf('authorization')
  const changeId = sampleId('replacement')
  const subject = deviceReplacementSubject(deviceKey, authorization)
  return { deviceKey, authorization, changeId, subject, proof: pinProof(pinKey, subject, changeId) }
}

const pinVector = (network: SampleNetwork): Json => {
  const pinKey = derivePinKeySync(SAMPLE_PIN, 'hu-alice', 'hu-otp')
  const { transContent } = createSampleMessages(network)
  return show({
    about:
      'scrypt with N = 2^14, r = 8, p = 1 over the PIN, salted with customer ‖ 0x00 ‖ cpp; HMAC-SHA256 over the digest of TRANS ‖ prId.',
    pin: SAMPLE_PIN,
    customer: 'hu-alice',
    cpp: 'hu-otp',
    pinKey,
    transDigest: transContent.digest,
    prId: sampleId('prId'),
    proof: pinProof(pinKey, transContent.digest, sampleId('prId')),
    change: pinChangeVector(pinKey),
    replacement: deviceReplacementVector(pinKey),
  })
}

const settlementVector = (): Json => {
  const entries: readonly PairEntry[] = [
    { pairSeq: 1, type: 'dt', pnId: sampleId('pn 1'), payee: 'hu-bakery', amountMinor: 120n, currency: 'EUR' },
    { pairSeq: 2, type: 'dt', pnId: sampleId('pn 2'), payee: 'hu-butcher', amountMinor: 999n, currency: 'EUR' },
    { pairSeq: 3, type: 'refund', pnId: sampleId('pn 1'), payee: 'hu-bakery', amountMinor: -20n, currency: 'EUR' },
    { pairSeq: 4, type: 'dt', pnId: sampleId('pn 3'), payee: 'hu-bakery', amountMinor: 1n, currency: 'EUR' },
    { pairSeq: 5, type: 'adjustment', pnId: null, payee: null, amountMinor: -5n, currency: 'EUR' },
  ]
  const leaves = entries.map(pairEntryLeaf)
  let range = EMPTY_RANGE
  const roots = [rangeRoot(range), ...leaves.map((leaf) => rangeRoot((range = appendLeaf(range, leaf))))]
  const batch = {
    cpp: 'hu-otp',
    mpp: 'hu-cosmo',
    currency: 'EUR',
    seq: 1,
    fromSeq: 1,
    toSeq: 5,
    root: rangeRoot(range),
    totalMinor: 1_095n,
  } as const
  const first = batchHash(NO_PREVIOUS_BATCH, batch)
  return show({
    about:
      'Entries of a pair, their leaves, the root after each, and the proof of each leaf in the whole range; two batches chained.',
    entries,
    leaves,
    roots,
    peaks: range.peaks,
    proofs: leaves.map((_, index) => proveLeaf(leaves, index)),
    batches: [
      { prevHash: NO_PREVIOUS_BATCH, batch, hash: first },
      {
        prevHash: first,
        batch: { ...batch, seq: 2, fromSeq: 6, toSeq: 6, totalMinor: -7n },
        hash: batchHash(first, { ...batch, seq: 2, fromSeq: 6, toSeq: 6, totalMinor: -7n }),
      },
    ],
  })
}

const hashVector = (): Json =>
  show({
    about: 'H = BLAKE2b-256 over the joined parts; networkId and keyId of keys.',
    hashes: [[], [utf8('')], [utf8('abc')], [utf8('ab'), utf8('c')], [u32be(1), utf8('semops')]].map((parts) => ({
      parts,
      hash: hash(...parts),
    })),
    networkIds: [{ rootKey: seedOf('key'), networkId: networkIdOf(seedOf('key')) }],
    keyIds: (['ed25519', 'rsa-pss-sha256', 'x25519'] as const).map((algorithm) => ({
      algorithm,
      key: seedOf('key'),
      keyId: keyIdOf(algorithm, seedOf('key')),
    })),
  })

const subjectVector = (): Json => ({
  about: 'Subjects of every kind on its first leg, and texts that are none.',
  subjects: KIND_NAMES.map((kind) => {
    const leg = legsOf(kind)[0] as { readonly from: string; readonly to: SampleHost['role'] }
    const subject = { toRole: leg.to, toHost: 'hu-to', kind, fromHost: 'hu-from' }
    return { number: kindRow(kind).number, subject, text: formatSubject(subject) }
  }),
  invalid: [
    '',
    'semops',
    'semops.v1.cpp.hu-otp.payment-request',
    'semops.v2.cpp.hu-otp.payment-request.hu-wallet-1',
    'semops.v1.cpp.hu-otp.payment-request.hu-wallet-1.x',
    'semops.v1.cpp.hu-otp.no-such-kind.hu-wallet-1',
    'semops.v1.king.hu-otp.payment-request.hu-wallet-1',
    'semops.v1.cpp.*.payment-request.hu-wallet-1',
    'semops.v1.cpp.hu-otp.payment-request.>',
    'semops.v1.cpp.HU-otp.payment-request.hu-wallet-1',
    'semops.v1.cpp.hu-otp.__proto__.hu-wallet-1',
  ],
})
