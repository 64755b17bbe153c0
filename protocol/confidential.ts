/**
 * Confidential messages: a complete sealed frame, and what travels beside it, encrypted as the body of a carrier frame.
 *
 *   body      = recipient key id(16) ‖ ephemeral X25519 key(32) ‖ nonce(12) ‖ ciphertext ‖ tag(16)
 *   key       = HKDF-SHA256(X25519(ephemeral, recipient), salt empty, info = context ‖ ephemeral key ‖ recipient key)
 *   plaintext = msgpack [ inner frame: bin, beside: bin | nil ]           ChaCha20-Poly1305 (RFC 8439)
 *
 * The carrier's header bytes are the associated data. An ephemeral key is made by the sender for one recipient key, so each
 * direction has a key of its own. Derived keys are kept on both sides, but only as a cache: every message carries what its
 * recipient needs to derive the key again.
 */
import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concat } from './bytes.ts'
import { CONTEXTS } from './domains.ts'
import { AEAD_NONCE_BYTES, AEAD_TAG_BYTES, type Engine, type KeyPair } from './engines/engine.ts'
import { encodeHeader, makeContent, type Content } from './envelope.ts'
import type { Header } from './header.ts'
import { fail, ok, type Result } from './failures.ts'
import { KEY_ID_BYTES, keyIdOf } from './keys.ts'
import { LIMITS } from './limits.ts'
import { createLru, keyOfBytes, type Lru } from './lru.ts'
import {
  atEnd,
  beginWrite,
  cursorOf,
  isNil,
  readArrayLength,
  readBytes,
  takeWritten,
  writeArrayLength,
  writeBytes,
  writeNil,
} from './msgpack.ts'

const KEY_BYTES = 32
const NONCE_AT = KEY_ID_BYTES + KEY_BYTES
const CIPHERTEXT_AT = NONCE_AT + AEAD_NONCE_BYTES

const deriveKey = (shared: Uint8Array, ephemeral: Uint8Array, recipient: Uint8Array): Uint8Array =>
  hkdf(sha256, shared, undefined, concat(CONTEXTS.confidential, ephemeral, recipient), KEY_BYTES)

type Agreement = { readonly key: Uint8Array; readonly prefix: Uint8Array; used: number }

/** The sending side. */
export type Sealer = {
  /** Can anything be encrypted to this key? Not to one of small order, which whoever names his own key may send. */
  agreesWith(recipientKey: Uint8Array): boolean
  /** Encrypts to `recipientKey`. @throws TypeError for a recipient key that agrees on nothing (all-zero secret). */
  encrypt(recipientKey: Uint8Array, associated: Uint8Array, plaintext: Uint8Array): Uint8Array
}

/** @param random `n` fresh random bytes, from the system's generator where money is real */
export const createSealer = (
  engine: Engine,
  random: (n: number) => Uint8Array,
  maxMessages: number = LIMITS.maxMessagesPerAgreement,
): Sealer => {
  const agreements: Lru<Agreement> = createLru(LIMITS.agreementCacheSize)
  const agree = (recipientKey: Uint8Array): Agreement | undefined => {
    const secret = random(KEY_BYTES).slice()
    const shared = engine.sealing.agree(secret, recipientKey)
    if (shared === undefined) return undefined
    const ephemeral = engine.sealing.publicKeyOf(secret)
    secret.fill(0)
    return {
      key: deriveKey(shared, ephemeral, recipientKey),
      prefix: concat(keyIdOf('x25519', recipientKey), ephemeral),
      used: 0,
    }
  }
  const agreementWith = (recipientKey: Uint8Array): Agreement | undefined => {
    const name = keyOfBytes(recipientKey)
    const known = agreements.get(name)
    if (known !== undefined && known.used < maxMessages) return known
    const made = agree(recipientKey)
    if (made !== undefined) agreements.set(name, made)
    return made
  }
  return {
    agreesWith: (recipientKey) => agreementWith(recipientKey) !== undefined,
    encrypt(recipientKey, associated, plaintext) {
      const agreement = agreementWith(recipientKey)
      if (agreement === undefined) throw new TypeError('the recipient key agrees on an all-zero secret')
      agreement.used += 1
      const nonce = random(AEAD_NONCE_BYTES).slice()
      return concat(agreement.prefix, nonce, engine.sealing.encrypt(agreement.key, nonce, plaintext, associated))
    },
  }
}

/** The receiving side. */
export type Opener = {
  /** DECRYPTION_FAILED. `secretOf` finds one's own X25519 pair by key id, current or overlapping. */
  decrypt(secretOf: SecretOf, associated: Uint8Array, body: Uint8Array): Result<Uint8Array>
}
export type SecretOf = (keyId: Uint8Array) => KeyPair | undefined

export const createOpener = (engine: Engine): Opener => {
  const keys: Lru<Uint8Array> = createLru(LIMITS.agreementCacheSize)
  return {
    decrypt(secretOf, associated, body) {
      if (body.length < CIPHERTEXT_AT + AEAD_TAG_BYTES) return fail('DECRYPTION_FAILED', 'too short')
      // Asked before the cache, so that a key which was put away opens nothing any more.
      const pair = secretOf(body.subarray(0, KEY_ID_BYTES))
      if (pair === undefined) return fail('DECRYPTION_FAILED', 'encrypted to an unknown key')
      const name = keyOfBytes(body.subarray(0, NONCE_AT))
      let key = keys.get(name)
      if (key === undefined) {
        const ephemeral = body.slice(KEY_ID_BYTES, NONCE_AT)
        const shared = engine.sealing.agree(pair.secretKey, ephemeral)
        if (shared === undefined) return fail('DECRYPTION_FAILED', 'an all-zero shared secret')
        key = deriveKey(shared, ephemeral, pair.publicKey)
      }
      const plaintext = engine.sealing.decrypt(
        key,
        body.subarray(NONCE_AT, CIPHERTEXT_AT),
        body.subarray(CIPHERTEXT_AT),
        associated,
      )
      if (plaintext === undefined) return fail('DECRYPTION_FAILED')
      // Kept only once it opened something, so that noise can not push good keys out.
      keys.set(name, key)
      return ok(plaintext)
    },
  }
}

/** What a carrier carries: a sealed frame, and the encoded `beside` of its kind or null. */
export type Cargo = { readonly innerFrame: Uint8Array; readonly beside: Uint8Array | null }

/**
 * The content of a carrier frame, rebuilt for each send and sealed by the host that sends it. `header.bodyForm` is 'encrypted',
 * its kind and expiry are those of the inner frame.
 * @throws TypeError for a header no receiver would take
 */
export const makeCarrier = (sealer: Sealer, header: Header, cargo: Cargo, recipientKey: Uint8Array): Content => {
  if (header.bodyForm !== 'encrypted') throw new TypeError("a carrier's bodyForm is 'encrypted'")
  beginWrite()
  writeArrayLength(2)
  writeBytes(cargo.innerFrame)
  if (cargo.beside === null) writeNil()
  else writeBytes(cargo.beside)
  const plaintext = takeWritten()
  return makeContent(header, sealer.encrypt(recipientKey, encodeHeader(header), plaintext))
}

/** DECRYPTION_FAILED, or MALFORMED_BODY when what was encrypted is no cargo. */
export const openCarrier = (
  opener: Opener,
  secretOf: SecretOf,
  headerBytes: Uint8Array,
  bodyBytes: Uint8Array,
): Result<Cargo> => {
  const plaintext = opener.decrypt(secretOf, headerBytes, bodyBytes)
  if (!plaintext.ok) return plaintext
  const cursor = cursorOf(plaintext.value)
  const fields = readArrayLength(cursor)
  const innerFrame = readBytes(cursor)
  const beside = isNil(cursor) ? null : readBytes(cursor)
  if (beside === null) cursor.at += 1
  if (fields !== 2 || innerFrame === undefined || beside === undefined || !atEnd(cursor))
    return fail('MALFORMED_BODY', 'not a cargo')
  return ok({ innerFrame, beside })
}
