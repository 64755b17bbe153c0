/**
 * One frame for each way of being wrong, with the failure code it must get: the rows of the invalid vectors. In the order of
 * the checks, on the sample network.
 */
import { Packr } from 'msgpackr'
import { concat, fromHex, utf8 } from '../bytes.ts'
import { createSealer, makeCarrier } from '../confidential.ts'
import { DOMAINS } from '../domains.ts'
import { contentBytes, encodeHeader, makeContent } from '../envelope.ts'
import type { FailureCode } from '../failures.ts'
import type { Header } from '../header.ts'
import { signingKeyFromSeed, type SigningKey } from '../keys.ts'
import type { KindName } from '../kinds.ts'
import { LIMITS } from '../limits.ts'
import type { Arrival } from '../open.ts'
import { encodeFrame, parseFrame, sealBatch, sealOne, type BatchSeal } from '../seals.ts'
import type { InvalidFrame } from './invalid-frame.ts'
import { createInvalidInvoices } from './invalid-invoices.ts'
import { createSampleMessages } from './sample-messages.ts'
import {
  createSampleNetwork,
  NOW,
  sampleId,
  sealingPair,
  seededRandom,
  seedOf,
  VALID_FROM,
  VALID_TO,
  type SampleNetwork,
} from './sample-network.ts'

const packr = new Packr({ useRecords: false, variableMapSize: true, int64AsType: 'bigint' })
/** Any value at all, as a faulty encoder would write it. */
const pack = (value: unknown): Uint8Array => new Uint8Array(packr.pack(value))

const toCpp = (kind: KindName, fromHost = 'hu-dc-1'): Arrival => ({ toRole: 'cpp', kind, fromHost })
const RECEIPT = toCpp('receipt')

export const createInvalidFrames = (network: SampleNetwork): readonly InvalidFrame[] => {
  const { engine, mpp, cpp, merchant, wallet, guest, networkId, content, carry, header, device } = network
  const messages = createSampleMessages(network)
  const other = createSampleNetwork(engine, 'another root')
  const mallory = signingKeyFromSeed(engine, seedOf('mallory'))
  const key = mpp.signing

  /** Seals any bytes as header and body, as a faulty or hostile holder of the key would. */
  const raw = (headerBytes: Uint8Array, bodyBytes: Uint8Array, by: SigningKey = key): Uint8Array =>
    encodeFrame(
      { headerBytes, bodyBytes },
      { form: 1, keyId: by.keyId, signature: by.sign(contentBytes(DOMAINS.seal1, headerBytes, bodyBytes)) },
    )
  const receiptHeader = (change: Partial<Header> = {}): Header =>
    header('receipt', 'hu-cosmo', 'hu-otp', 'invalid', change)
  const receiptBody = pack({ digest: Buffer.from(seedOf('digest')) })
  const withBody = (bodyBytes: Uint8Array): Uint8Array => raw(encodeHeader(receiptHeader()), bodyBytes)
  const withHeader = (change: Partial<Header>, by: SigningKey = key): Uint8Array =>
    raw(encodeHeader(receiptHeader(change)), receiptBody, by)
  const fields = (change: Readonly<Record<number, unknown>>): Uint8Array => {
    const values: unknown[] = [
      1,
      networkId,
      100,
      1,
      sampleId('invalid'),
      'hu-cosmo',
      'hu-otp',
      BigInt(NOW),
      null,
      null,
      0,
    ]
    for (const [at, value] of Object.entries(change)) values[Number(at)] = value
    return raw(pack(values), receiptBody)
  }
  const good = withHeader({})
  const signature = key.sign(utf8('anything'))
  const framed = (...items: readonly unknown[]): Uint8Array => pack(items)
  const sealed = (...seal: readonly unknown[]): Uint8Array => framed(encodeHeader(receiptHeader()), receiptBody, seal)

  const batch = sealBatch(
    Array.from({ length: 5 }, (_, i) => makeContent(receiptHeader({ messageId: sampleId(`batch ${i}`) }), receiptBody)),
    key,
    seededRandom('invalid batch'),
  )
  const batched = (change: Partial<BatchSeal>): Uint8Array => {
    const parsed = parseFrame(batch[1] as Uint8Array)
    if (!parsed.ok) throw new Error(parsed.failure.code)
    return encodeFrame(parsed.value, { ...(parsed.value.seal as BatchSeal), ...change })
  }
  const spoil = (frame: Uint8Array, at: number): Uint8Array => {
    const spoilt = frame.slice()
    spoilt.set([(spoilt.at(at) as number) ^ 1], at < 0 ? spoilt.length + at : at)
    return spoilt
  }
  const guestFrame = (publicKey: Uint8Array, by: SigningKey): Uint8Array =>
    sealOne(
      content('offer-request', publicKey, merchant.id, {
        purchaseToken: sampleId('p'),
        sealingKey: guest.sealing.publicKey,
        payee: 'hu-bakery',
        currency: 'EUR',
      }),
      by,
    )
  const toMerchant: Arrival = { toRole: 'merchant', kind: 'offer-request', fromHost: guest.token }
  const fromWallet = toCpp('payment-request', wallet.id)
  const spoiltCarrier = makeCarrier(
    createSealer(engine, seededRandom('spoilt')),
    header('payment-request', wallet.id, cpp.id, 'spoilt', { bodyForm: 'encrypted' }),
    { innerFrame: messages.paymentRequest, beside: null },
    cpp.sealing.publicKey,
  )
  const spoiltBody = spoil(spoiltCarrier.bodyBytes, -1)
  const strangeTrans = sealOne(
    content('transaction-details', merchant.id, guest.token, { ...messages.transBody, payee: 'hu-butcher' }),
    merchant.signing,
  )
  const otherBatchTrans = sealOne(content('transaction-details', merchant.id, guest.token, messages.transBody), mallory)
  const guestArrival: Arrival = { toRole: 'guest', kind: 'transaction-details', fromHost: merchant.id }
  const receiptFor = (name: string, code: FailureCode, frame: Uint8Array): InvalidFrame => ({
    name,
    code,
    as: 'cpp',
    arrival: RECEIPT,
    frame,
  })

  return [
    // 1xxx: frame
    receiptFor('one byte over maxFrameBytes', 'FRAME_TOO_LARGE', new Uint8Array(LIMITS.maxFrameBytes + 1)),
    receiptFor('no bytes', 'MALFORMED_FRAME', new Uint8Array(0)),
    receiptFor('text', 'MALFORMED_FRAME', utf8('hello')),
    receiptFor('an array of two', 'MALFORMED_FRAME', framed(encodeHeader(receiptHeader()), receiptBody)),
    receiptFor('a header that is text', 'MALFORMED_FRAME', framed('header', receiptBody, [1, key.keyId, signature])),
    receiptFor(
      'a body that is nil',
      'MALFORMED_FRAME',
      framed(encodeHeader(receiptHeader()), null, [1, key.keyId, signature]),
    ),
    receiptFor('a byte after the frame', 'MALFORMED_FRAME', concat(good, Uint8Array.of(0))),
    receiptFor('cut in the header', 'MALFORMED_FRAME', good.slice(0, 40)),
    // header
    receiptFor('a header that is a map', 'MALFORMED_HEADER', raw(pack({ version: 1 }), receiptBody)),
    receiptFor(
      'a header of ten fields',
      'MALFORMED_HEADER',
      raw(pack([1, networkId, 100, 1, sampleId('x'), 'hu-cosmo', 'hu-otp', BigInt(NOW), null, null]), receiptBody),
    ),
    receiptFor(
      'a header with a byte after it',
      'MALFORMED_HEADER',
      raw(concat(encodeHeader(receiptHeader()), Uint8Array.of(0)), receiptBody),
    ),
    receiptFor('a networkId of 15 bytes', 'MALFORMED_HEADER', fields({ 1: networkId.subarray(1) })),
    receiptFor('a kind that is text', 'MALFORMED_HEADER', fields({ 2: 'receipt' })),
    receiptFor('a messageId that is text', 'MALFORMED_HEADER', fields({ 4: '0123456789abcdef' })),
    receiptFor('from that breaks the grammar', 'MALFORMED_HEADER', fields({ 5: 'hu.cosmo' })),
    receiptFor('from of 31 bytes', 'MALFORMED_HEADER', fields({ 5: new Uint8Array(31) })),
    receiptFor('to that is a wildcard', 'MALFORMED_HEADER', fields({ 6: '*' })),
    receiptFor('a negative time', 'MALFORMED_HEADER', fields({ 7: -1 })),
    receiptFor('a time as a float', 'MALFORMED_HEADER', fields({ 7: 1.5 })),
    receiptFor('a time beyond 2^53', 'MALFORMED_HEADER', fields({ 7: 1n << 60n })),
    receiptFor('an expiry on a kind that does not expire', 'MALFORMED_HEADER', fields({ 8: BigInt(NOW) })),
    receiptFor('a kind that expires without an expiry', 'MALFORMED_HEADER', fields({ 2: 62 })),
    receiptFor('a correlationId of 8 bytes', 'MALFORMED_HEADER', fields({ 9: new Uint8Array(8) })),
    receiptFor('bodyForm 2', 'MALFORMED_HEADER', fields({ 10: 2 })),
    receiptFor(
      'a header over maxHeaderBytes',
      'MALFORMED_HEADER',
      raw(concat(encodeHeader(receiptHeader()), new Uint8Array(LIMITS.maxHeaderBytes)), receiptBody),
    ),
    receiptFor('envelope version 2', 'UNSUPPORTED_VERSION', fields({ 0: 2 })),
    // seal
    receiptFor('a seal that is nil', 'MALFORMED_SEAL', framed(encodeHeader(receiptHeader()), receiptBody, null)),
    receiptFor('an empty seal', 'MALFORMED_SEAL', sealed()),
    receiptFor('seal form 4', 'MALFORMED_SEAL', sealed(4, key.keyId, signature)),
    receiptFor('a keyId of 15 bytes', 'MALFORMED_SEAL', sealed(1, key.keyId.subarray(1), signature)),
    receiptFor('a signature of 63 bytes', 'MALFORMED_SEAL', sealed(1, key.keyId, signature.subarray(1))),
    receiptFor('a seal with a fourth field', 'MALFORMED_SEAL', sealed(1, key.keyId, signature, 0)),
    receiptFor(
      'a batch seal without its path',
      'MALFORMED_SEAL',
      sealed(2, key.keyId, sampleId('b'), 0, 2, sampleId('s'), signature),
    ),
    receiptFor(
      'a path of 33 bytes',
      'MALFORMED_SEAL',
      sealed(2, key.keyId, sampleId('b'), 0, 2, sampleId('s'), new Uint8Array(33), signature),
    ),
    // network and subject
    receiptFor('sealed for another network', 'WRONG_NETWORK', withHeader({ networkId: other.networkId })),
    {
      name: 'on the subject of another kind',
      code: 'WRONG_SUBJECT',
      as: 'cpp',
      arrival: toCpp('refusal'),
      frame: good,
    },
    { name: 'on the subject of another role', code: 'WRONG_SUBJECT', as: 'mpp', arrival: RECEIPT, frame: good },
    // key
    receiptFor('sealed with an unknown key', 'UNKNOWN_KEY', withHeader({}, mallory)),
    {
      name: 'brought by an unknown host',
      code: 'UNKNOWN_KEY',
      as: 'cpp',
      arrival: toCpp('receipt', 'hu-dc-7'),
      frame: good,
    },
    receiptFor('sealed by another processor than it says', 'KEY_NOT_OF_SENDER', withHeader({}, cpp.signing)),
    {
      name: 'a guest who seals with another key than it shows',
      code: 'KEY_NOT_OF_SENDER',
      as: 'merchant',
      arrival: toMerchant,
      frame: guestFrame(guest.signing.publicKey, mallory),
    },
    {
      name: 'a payment request in the carrier of another wallet host',
      code: 'KEY_NOT_OF_SENDER',
      as: 'cpp',
      arrival: toCpp('payment-request', 'hu-shop-1'),
      frame: carry('payment-request', merchant, cpp.id, messages.paymentRequest, cpp.sealing.publicKey),
    },
    {
      name: 'a guest whose key is the identity',
      code: 'BAD_KEY',
      as: 'merchant',
      arrival: toMerchant,
      frame: guestFrame(concat(Uint8Array.of(1), new Uint8Array(31)), guest.signing),
    },
    {
      name: 'a guest whose key has small order',
      code: 'BAD_KEY',
      as: 'merchant',
      arrival: toMerchant,
      frame: guestFrame(fromHex('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa'), guest.signing),
    },
    {
      name: 'a key on the revocation list',
      code: 'CREDENTIAL_REVOKED',
      as: 'cpp',
      arrival: RECEIPT,
      frame: good,
      revoked: [key.keyId],
    },
    // seal
    receiptFor(
      'a body changed after sealing',
      'BAD_SIGNATURE',
      encodeFrame(
        { headerBytes: encodeHeader(receiptHeader()), bodyBytes: spoil(receiptBody, -1) },
        { form: 1, keyId: key.keyId, signature: good.slice(-64) },
      ),
    ),
    receiptFor('the last byte of the signature changed', 'BAD_SIGNATURE', spoil(good, -1)),
    receiptFor(
      'a login nonce that is the content, signed as a login signs it',
      'BAD_SIGNATURE',
      encodeFrame(
        { headerBytes: encodeHeader(receiptHeader()), bodyBytes: receiptBody },
        {
          form: 1,
          keyId: key.keyId,
          signature: key.sign(contentBytes(new Uint8Array(0), encodeHeader(receiptHeader()), receiptBody)),
        },
      ),
    ),
    receiptFor(
      'a credential’s signature as a seal',
      'BAD_SIGNATURE',
      encodeFrame(
        { headerBytes: encodeHeader(receiptHeader()), bodyBytes: receiptBody },
        { form: 1, keyId: key.keyId, signature: (merchant.chain[1] as Uint8Array).slice(-64) },
      ),
    ),
    receiptFor('an Ed25519 key under the RSA form', 'BAD_SIGNATURE', sealed(3, key.keyId, good.slice(-64))),
    receiptFor('a batch seal with another salt', 'BAD_SIGNATURE', batched({ salt: sampleId('other salt') })),
    receiptFor('a batch seal at another index', 'BAD_SIGNATURE', batched({ index: 0 })),
    receiptFor('a batch seal whose index is its count', 'BAD_PROOF', batched({ index: 5 })),
    receiptFor('a batch seal with a path too long', 'BAD_PROOF', batched({ path: new Uint8Array(128) })),
    receiptFor('a batch of one', 'BAD_PROOF', batched({ index: 0, count: 1, path: new Uint8Array(0) })),
    receiptFor(
      'a batch over maxBatchLeaves',
      'BAD_PROOF',
      batched({ count: LIMITS.maxBatchLeaves + 1, path: new Uint8Array(11 * 32) }),
    ),
    // credential
    receiptFor(
      'sent before the credential was valid',
      'CREDENTIAL_NOT_YET_VALID',
      withHeader({ sentAtMs: VALID_FROM - 1 }),
    ),
    receiptFor('sent after the credential expired', 'CREDENTIAL_EXPIRED', withHeader({ sentAtMs: VALID_TO + 1 })),
    {
      name: 'a host registration whose chain leads to another root',
      code: 'BROKEN_CHAIN',
      as: 'cpp',
      arrival: toCpp('host-registration', wallet.id),
      frame: sealOne(
        content('host-registration', wallet.id, cpp.id, {
          registrationId: sampleId('r'),
          chain: [...other.wallet.chain],
        }),
        wallet.signing,
      ),
    },
    {
      name: 'an invoice for a payee its chain does not name',
      code: 'BROKEN_CHAIN',
      as: 'guest',
      arrival: guestArrival,
      frame: carry('transaction-details', merchant, guest.token, strangeTrans, guest.sealing.publicKey),
    },
    {
      name: 'an invoice sealed with another key than its chain names',
      code: 'KEY_NOT_OF_SENDER',
      as: 'guest',
      arrival: guestArrival,
      frame: carry('transaction-details', merchant, guest.token, otherBatchTrans, guest.sealing.publicKey),
    },
    // kind, version, confidentiality
    receiptFor('a kind nobody registered', 'UNKNOWN_KIND', fields({ 2: 9_999 })),
    receiptFor('body version 2', 'UNSUPPORTED_VERSION', fields({ 3: 2 })),
    {
      name: 'a kind whose use is still to come',
      code: 'UNSUPPORTED_VERSION',
      as: 'cpp',
      arrival: toCpp('ledger-report-query'),
      frame: raw(
        encodeHeader(header('ledger-report-query', 'hu-cosmo', 'hu-otp', 'later')),
        pack({ reportId: Buffer.from(sampleId('r')) }),
      ),
    },
    {
      name: 'a payment request in the clear',
      code: 'NOT_CONFIDENTIAL',
      as: 'cpp',
      arrival: fromWallet,
      frame: messages.paymentRequest,
    },
    receiptFor(
      'a receipt in a carrier',
      'NOT_CONFIDENTIAL',
      carry('receipt', mpp, cpp.id, good, cpp.sealing.publicKey),
    ),
    {
      name: 'encrypted to another key',
      code: 'DECRYPTION_FAILED',
      as: 'cpp',
      arrival: fromWallet,
      frame: carry(
        'payment-request',
        wallet,
        cpp.id,
        messages.paymentRequest,
        sealingPair(engine, 'stranger').publicKey,
      ),
    },
    {
      name: 'a ciphertext changed',
      code: 'DECRYPTION_FAILED',
      as: 'cpp',
      arrival: fromWallet,
      frame: raw(spoiltCarrier.headerBytes, spoiltBody, wallet.signing),
    },
    {
      name: 'a carrier of another kind than its cargo',
      code: 'WRONG_SUBJECT',
      as: 'cpp',
      arrival: fromWallet,
      frame: carry('payment-request', wallet, cpp.id, good, cpp.sealing.publicKey),
    },
    {
      name: 'a carrier with a carrier in it',
      code: 'NOT_CONFIDENTIAL',
      as: 'cpp',
      arrival: fromWallet,
      frame: carry('payment-request', wallet, cpp.id, messages.paymentRequestCarrier, cpp.sealing.publicKey),
    },
    // role, path, addressee
    {
      name: 'a payment decision made by a CPP',
      code: 'WRONG_ROLE',
      as: 'mpp',
      arrival: { toRole: 'mpp', kind: 'payment-decision', fromHost: 'hu-otp' },
      frame: sealOne(
        content('payment-decision', cpp.id, mpp.id, {
          pnId: sampleId('pnId'),
          payee: 'hu-bakery',
          txId: sampleId('txId'),
          noticeDigest: new Uint8Array(32),
          decision: 'approve',
        }),
        cpp.signing,
      ),
    },
    {
      name: 'a notice that a merchant host brings to the MPP',
      code: 'WRONG_PATH',
      as: 'mpp',
      arrival: { toRole: 'mpp', kind: 'payment-notice', fromHost: 'hu-shop-1' },
      frame: messages.paymentNotice,
    },
    {
      name: 'a notice that comes to the merchant past its MPP',
      code: 'WRONG_PATH',
      as: 'merchant',
      arrival: { toRole: 'merchant', kind: 'payment-notice', fromHost: 'hu-dc-1' },
      frame: messages.paymentNotice,
    },
    {
      name: 'an offer request from a host’s login',
      code: 'WRONG_PATH',
      as: 'merchant',
      arrival: { ...toMerchant, fromHost: 'hu-wallet-1' },
      frame: messages.offerRequest,
    },
    {
      name: 'a receipt from a guest’s login',
      code: 'WRONG_PATH',
      as: 'cpp',
      arrival: toCpp('receipt', guest.token),
      frame: good,
    },
    {
      name: 'a decision addressed to another MPP',
      code: 'WRONG_ADDRESSEE',
      as: 'mpp',
      arrival: { toRole: 'mpp', kind: 'payment-decision', fromHost: 'hu-shop-1' },
      frame: sealOne(
        content('payment-decision', merchant.id, 'hu-other', {
          pnId: sampleId('pnId'),
          payee: 'hu-bakery',
          txId: sampleId('txId'),
          noticeDigest: new Uint8Array(32),
          decision: 'approve',
        }),
        merchant.signing,
      ),
    },
    receiptFor('addressed to another CPP', 'WRONG_ADDRESSEE', withHeader({ to: 'hu-other' })),
    {
      name: 'a carrier to this CPP around a request to another',
      code: 'WRONG_ADDRESSEE',
      as: 'cpp',
      arrival: fromWallet,
      frame: carry(
        'payment-request',
        wallet,
        cpp.id,
        sealOne(content('payment-request', 'hu-alice', 'hu-other', messages.requestBody), device),
        cpp.sealing.publicKey,
      ),
    },
    // body
    receiptFor('a body that is no msgpack', 'MALFORMED_BODY', withBody(Uint8Array.of(0xc1))),
    receiptFor('an empty body', 'MALFORMED_BODY', withBody(new Uint8Array(0))),
    receiptFor('text that is not UTF-8', 'MALFORMED_BODY', withBody(fromHex('81a161a2c328'))),
    receiptFor('an integer as a key', 'MALFORMED_BODY', withBody(fromHex('810000'))),
    receiptFor(
      'an unknown field',
      'SCHEMA_VIOLATION',
      withBody(pack({ digest: Buffer.from(seedOf('digest')), extra: 1 })),
    ),
    receiptFor('a missing field', 'SCHEMA_VIOLATION', withBody(pack({}))),
    receiptFor('a digest of 31 bytes', 'SCHEMA_VIOLATION', withBody(pack({ digest: Buffer.alloc(31) }))),
    receiptFor(
      'the key __proto__',
      'SCHEMA_VIOLATION',
      withBody(concat(fromHex('81a9'), utf8('__proto__'), Uint8Array.of(0x80))),
    ),
    receiptFor('a key twice', 'DUPLICATE_KEY', withBody(fromHex('82a16100a16101'))),
    receiptFor('a float', 'FLOAT_FORBIDDEN', withBody(fromHex('81a161cb3ff0000000000000'))),
    receiptFor(
      'nested deeper than maxDepth',
      'TOO_DEEP',
      withBody(concat(new Uint8Array(LIMITS.maxDepth + 1).fill(0x91), Uint8Array.of(0))),
    ),
    receiptFor('a timestamp extension', 'EXTENSION_FORBIDDEN', withBody(fromHex('81a161d6ff00000000'))),
    receiptFor('a byte after the body', 'TRAILING_BYTES', withBody(concat(receiptBody, Uint8Array.of(0)))),
    ...createInvalidInvoices(network),
  ]
}
