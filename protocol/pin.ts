/**
 * The PIN. It never leaves the device: what the CPP holds is pinKey = scrypt(PIN, customer ‖ 0x00 ‖ cpp), and what travels with
 * a payment is a proof bound to one invoice and one request. A pinKey is as good as the PIN and is kept encrypted at rest.
 */
import { createHmac, scrypt, scryptSync, timingSafeEqual } from 'node:crypto'
import { concat, utf8 } from './bytes.ts'
import { CONTEXTS } from './domains.ts'
import { AEAD_NONCE_BYTES, requireLength, type Engine } from './engines/engine.ts'
import { hash } from './hash.ts'

export const PIN_KEY_BYTES = 32
const PIN = /^[0-9]{4,12}$/
/** RFC 7914: N = 2^14, r = 8, p = 1, which takes 16 MiB. */
const COST = { N: 16_384, r: 8, p: 1, maxmem: 64 * 1024 * 1024 } as const

/** 4 to 12 decimal digits. */
export const isPin = (text: string): boolean => PIN.test(text)

const saltOf = (customer: string, cpp: string): Uint8Array => concat(utf8(customer), Uint8Array.of(0), utf8(cpp))

const requirePin = (pin: string): void => {
  // Not the value: an error's text reaches logs.
  if (!isPin(pin)) throw new TypeError('a PIN has 4 to 12 digits')
}

/** Once for each unlock, off the main thread. @throws TypeError for a PIN outside its grammar */
export const derivePinKey = (pin: string, customer: string, cpp: string): Promise<Uint8Array> => {
  requirePin(pin)
  return new Promise((resolve, reject) => {
    scrypt(pin, saltOf(customer, cpp), PIN_KEY_BYTES, COST, (error, key) =>
      error === null ? resolve(new Uint8Array(key)) : reject(error),
    )
  })
}

/** The same, in the calling thread: tens of milliseconds. @throws TypeError for a PIN outside its grammar */
export const derivePinKeySync = (pin: string, customer: string, cpp: string): Uint8Array => {
  requirePin(pin)
  return new Uint8Array(scryptSync(pin, saltOf(customer, cpp), PIN_KEY_BYTES, COST))
}

/** HMAC-SHA256(pinKey, digest of TRANS ‖ prId): 32 bytes, good for this one request only. A change has its subject and changeId in their place. */
export const pinProof = (pinKey: Uint8Array, transDigest: Uint8Array, prId: Uint8Array): Uint8Array => {
  requireLength('pinKey', pinKey, PIN_KEY_BYTES)
  requireLength('transDigest', transDigest, 32)
  requireLength('prId', prId, 16)
  return new Uint8Array(createHmac('sha256', pinKey).update(transDigest).update(prId).digest())
}

/** What stands in place of a TRANS digest in the proof of a PIN change: the old PIN vouches for the new key. */
export const pinChangeSubject = (newPinKey: Uint8Array): Uint8Array => {
  requireLength('newPinKey', newPinKey, PIN_KEY_BYTES)
  return hash(CONTEXTS.pinChange, newPinKey)
}

/** What stands in place of a TRANS digest in the proof of a device replacement: the PIN vouches for the new device. */
export const deviceReplacementSubject = (deviceKey: Uint8Array, authorization: Uint8Array): Uint8Array => {
  requireLength('deviceKey', deviceKey, 32)
  return hash(CONTEXTS.deviceReplacement, deviceKey, authorization)
}

/** What stands in place of a TRANS digest in the proof of a closure: the PIN says that it is the customer who leaves. */
export const accountClosureSubject = (customer: string): Uint8Array => hash(CONTEXTS.accountClosure, utf8(customer))

/** In constant time. False for a proof of another length. */
export const isPinProof = (pinKey: Uint8Array, transDigest: Uint8Array, prId: Uint8Array, proof: Uint8Array): boolean =>
  equalSecrets(pinProof(pinKey, transDigest, prId), proof)

/** In constant time for equal lengths; lengths are no secret. */
export const equalSecrets = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b)

/** What an enrolment record says of the PIN key, so that both sides can see that they hold the same one. */
export const pinKeyFingerprint = (pinKey: Uint8Array): Uint8Array => hash(CONTEXTS.pinKeyAtRest, pinKey)

/** → nonce(12) ‖ ciphertext ‖ tag. Bound to the customer, so that rows can not be exchanged. @param nonce 12 fresh random bytes */
export const sealPinKey = (
  engine: Engine,
  nodeKey: Uint8Array,
  nonce: Uint8Array,
  customer: string,
  pinKey: Uint8Array,
): Uint8Array => {
  requireLength('nonce', nonce, AEAD_NONCE_BYTES)
  requireLength('pinKey', pinKey, PIN_KEY_BYTES)
  return concat(nonce, engine.sealing.encrypt(nodeKey, nonce, pinKey, concat(CONTEXTS.pinKeyAtRest, utf8(customer))))
}

/** Undefined when the row was not sealed under this node's key for this customer. */
export const openPinKey = (
  engine: Engine,
  nodeKey: Uint8Array,
  customer: string,
  sealed: Uint8Array,
): Uint8Array | undefined => {
  if (sealed.length <= AEAD_NONCE_BYTES) return undefined
  const associated = concat(CONTEXTS.pinKeyAtRest, utf8(customer))
  return engine.sealing.decrypt(
    nodeKey,
    sealed.subarray(0, AEAD_NONCE_BYTES),
    sealed.subarray(AEAD_NONCE_BYTES),
    associated,
  )
}
