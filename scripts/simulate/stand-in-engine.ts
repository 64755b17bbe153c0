/**
 * A stand-in for the costly half of cryptography, so that a simulation spends its time on payments. It keeps the interface and every
 * verdict that a simulation may provoke: what is altered, truncated, signed by another key or encrypted to another is refused. It is
 * NO cryptography: who knows a public key can sign with it. Nobody in a simulation does.
 */
import { equalBytes, utf8 } from '../../protocol/bytes.ts'
import {
  ED25519_PUBLIC_KEY_BYTES,
  ED25519_SECRET_KEY_BYTES,
  ED25519_SIGNATURE_BYTES,
  requireLength,
  SEED_BYTES,
  type Ed25519Engine,
  type Engine,
} from '../../protocol/engines/engine.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { hash } from '../../protocol/hash.ts'

const SIGNING = utf8('stand-in signing key')
const SEALING = utf8('stand-in sealing key')
const SIGNATURE = utf8('stand-in signature')
const SHARED = utf8('stand-in shared secret')

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0)

/** A signature is a hash of key and message, and the key: every bit of it counts. */
const ed25519: Ed25519Engine = {
  name: 'stand-in',
  algorithm: 'ed25519',
  keyPairFromSeed: (seed) => {
    requireLength('seed', seed, SEED_BYTES)
    const publicKey = hash(SIGNING, seed)
    const secretKey = new Uint8Array(ED25519_SECRET_KEY_BYTES)
    secretKey.set(seed)
    secretKey.set(publicKey, SEED_BYTES)
    return { publicKey, secretKey }
  },
  sign: (message, secretKey) => {
    requireLength('secretKey', secretKey, ED25519_SECRET_KEY_BYTES)
    const publicKey = secretKey.subarray(SEED_BYTES)
    const signature = new Uint8Array(ED25519_SIGNATURE_BYTES)
    signature.set(hash(SIGNATURE, publicKey, message))
    signature.set(publicKey, 32)
    return signature
  },
  verify: (signature, message, publicKey) =>
    signature.length === ED25519_SIGNATURE_BYTES &&
    publicKey.length === ED25519_PUBLIC_KEY_BYTES &&
    equalBytes(signature.subarray(32), publicKey) &&
    equalBytes(signature.subarray(0, 32), hash(SIGNATURE, publicKey, message)),
  checkPublicKey: (publicKey) => publicKey.length === ED25519_PUBLIC_KEY_BYTES && !isZero(publicKey),
}

const real = loadEngine()

/** Encryption itself is quick and real; only the agreement on a key is a stand-in, of both public keys. */
export const standInEngine: Engine = {
  name: 'stand-in',
  ed25519,
  rsa: real.rsa,
  sealing: {
    ...real.sealing,
    name: 'stand-in',
    publicKeyOf: (secretKey) => {
      requireLength('secretKey', secretKey, 32)
      return hash(SEALING, secretKey)
    },
    agree: (secretKey, publicKey) => {
      requireLength('secretKey', secretKey, 32)
      requireLength('publicKey', publicKey, 32)
      if (isZero(publicKey)) return undefined
      const own = hash(SEALING, secretKey)
      const first = own.findIndex((byte, at) => byte !== publicKey[at])
      const ordered = (own[first] ?? 0) < (publicKey[first] ?? 0) ? [own, publicKey] : [publicKey, own]
      return hash(SHARED, ...ordered)
    },
  },
}
