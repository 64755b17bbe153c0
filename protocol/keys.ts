/** Names of keys and networks, and the key that a node signs with. */
import { utf8 } from './bytes.ts'
import type { Algorithm, Engine, KeyPair } from './engines/engine.ts'
import { signatureEngine } from './engines/engine.ts'
import { hash } from './hash.ts'

export const KEY_ID_BYTES = 16
export const NETWORK_ID_BYTES = 16

const ALGORITHM_BYTES = {
  ed25519: utf8('ed25519'),
  'rsa-pss-sha256': utf8('rsa-pss-sha256'),
  x25519: utf8('x25519'),
} as const

/** keyId = H(algorithm ‖ key)[0..16]; `x25519` names sealing keys. */
export const keyIdOf = (algorithm: Algorithm | 'x25519', publicKey: Uint8Array): Uint8Array =>
  hash(ALGORITHM_BYTES[algorithm], publicKey).slice(0, KEY_ID_BYTES)

/** networkId = H(root key)[0..16]: what is signed for a sandbox dies in production. */
export const networkIdOf = (rootKey: Uint8Array): Uint8Array => hash(rootKey).slice(0, NETWORK_ID_BYTES)

/** A key that can sign. The secret stays inside `sign`. */
export type SigningKey = {
  readonly algorithm: Algorithm
  readonly keyId: Uint8Array
  readonly publicKey: Uint8Array
  sign(message: Uint8Array): Uint8Array
}

export const signingKeyOf = (engine: Engine, algorithm: Algorithm, pair: KeyPair): SigningKey => {
  const { sign } = signatureEngine(engine, algorithm)
  return {
    algorithm,
    keyId: keyIdOf(algorithm, pair.publicKey),
    publicKey: pair.publicKey,
    sign: (message) => sign(message, pair.secretKey),
  }
}

/** The Ed25519 signing key of a 32-byte seed. @throws TypeError on another length */
export const signingKeyFromSeed = (engine: Engine, seed: Uint8Array): SigningKey =>
  signingKeyOf(engine, 'ed25519', engine.ed25519.keyPairFromSeed(seed))
