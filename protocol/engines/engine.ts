/**
 * What a signature or encryption engine must do. Every Ed25519 engine holds ONE acceptance rule, so that two nodes never
 * disagree on a signature: RFC 8032, cofactorless equation, canonical S, R and A, no small-order A or R, and A of prime
 * order. The order of A is checked once for each key, by `checkPublicKey`, before its first `verify`.
 */
export const ALGORITHMS = ['ed25519', 'rsa-pss-sha256'] as const
export type Algorithm = (typeof ALGORITHMS)[number]

export type KeyPair = { readonly publicKey: Uint8Array; readonly secretKey: Uint8Array }

export type SignatureEngine = {
  readonly name: string
  readonly algorithm: Algorithm
  /** `secretKey` in the engine's form, as its key generation returns it. @throws TypeError on a wrong length */
  sign(message: Uint8Array, secretKey: Uint8Array): Uint8Array
  /** `publicKey` must have passed {@link checkPublicKey}. False for anything malformed; never throws. */
  verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean
  /** Is this a key that nobody can sign with by structure alone? False for anything malformed; never throws. */
  checkPublicKey(publicKey: Uint8Array): boolean
}

export type Ed25519Engine = SignatureEngine & {
  readonly algorithm: 'ed25519'
  /** 32-byte RFC 8032 seed → 32-byte public key and 64-byte secret key (seed ‖ public key). */
  keyPairFromSeed(seed: Uint8Array): KeyPair
}

export type RsaEngine = SignatureEngine & {
  readonly algorithm: 'rsa-pss-sha256'
  /** A fresh RSA-2048 pair: SPKI DER and PKCS #8 DER. */
  generateKeyPair(): KeyPair
}

/** X25519 (RFC 7748) and ChaCha20-Poly1305 (RFC 8439, 12-byte nonce). */
export type SealingEngine = {
  readonly name: string
  /** 32-byte secret → 32-byte public key. */
  publicKeyOf(secretKey: Uint8Array): Uint8Array
  /** Undefined when the shared secret is all zero, as it is for a small-order public key. */
  agree(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined
  /** → ciphertext ‖ 16-byte tag. */
  encrypt(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, associated: Uint8Array): Uint8Array
  /** Undefined when the tag does not fit. */
  decrypt(key: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array, associated: Uint8Array): Uint8Array | undefined
}

/** Everything a node needs of cryptography besides hashing. */
export type Engine = {
  /** `stand-in`: not cryptography at all, for simulations that are not about it. */
  readonly name: 'native' | 'portable' | 'stand-in'
  readonly ed25519: Ed25519Engine
  readonly rsa: RsaEngine
  readonly sealing: SealingEngine
}

export const SEED_BYTES = 32
export const ED25519_PUBLIC_KEY_BYTES = 32
export const ED25519_SECRET_KEY_BYTES = 64
export const ED25519_SIGNATURE_BYTES = 64
export const AEAD_NONCE_BYTES = 12
export const AEAD_TAG_BYTES = 16

/** @throws TypeError, naming the argument, unless `bytes` has exactly `length` bytes. */
export const requireLength = (name: string, bytes: Uint8Array, length: number): void => {
  if (!(bytes instanceof Uint8Array) || bytes.length !== length) throw new TypeError(`${name} must be ${length} bytes`)
}

/** The engine of one algorithm. */
export const signatureEngine = (engine: Engine, algorithm: Algorithm): SignatureEngine =>
  algorithm === 'ed25519' ? engine.ed25519 : engine.rsa
