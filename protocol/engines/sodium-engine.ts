/** The hot path: Ed25519, X25519 and ChaCha20-Poly1305 of libsodium. Its Ed25519 verification is the common rule already. */
import {
  AEAD_NONCE_BYTES,
  AEAD_TAG_BYTES,
  ED25519_PUBLIC_KEY_BYTES,
  ED25519_SECRET_KEY_BYTES,
  ED25519_SIGNATURE_BYTES,
  requireLength,
  SEED_BYTES,
  type Ed25519Engine,
  type SealingEngine,
} from './engine.ts'
import type { Sodium } from './sodium.ts'

export const createSodiumEngine = (sodium: Sodium): Ed25519Engine => ({
  name: 'sodium',
  algorithm: 'ed25519',
  keyPairFromSeed(seed) {
    requireLength('seed', seed, SEED_BYTES)
    const publicKey = new Uint8Array(ED25519_PUBLIC_KEY_BYTES)
    const secretKey = new Uint8Array(ED25519_SECRET_KEY_BYTES)
    sodium.crypto_sign_seed_keypair(publicKey, secretKey, seed)
    return { publicKey, secretKey }
  },
  sign(message, secretKey) {
    requireLength('secretKey', secretKey, ED25519_SECRET_KEY_BYTES)
    const signature = new Uint8Array(ED25519_SIGNATURE_BYTES)
    sodium.crypto_sign_detached(signature, message, secretKey)
    return signature
  },
  verify(signature, message, publicKey) {
    if (signature.length !== ED25519_SIGNATURE_BYTES || publicKey.length !== ED25519_PUBLIC_KEY_BYTES) return false
    return sodium.crypto_sign_verify_detached(signature, message, publicKey)
  },
  // libsodium: canonical encoding, on the curve, in the main subgroup, not of small order.
  checkPublicKey: (publicKey) =>
    publicKey.length === ED25519_PUBLIC_KEY_BYTES && sodium.crypto_core_ed25519_is_valid_point(publicKey),
})

export const createSodiumSealing = (sodium: Sodium): SealingEngine => ({
  name: 'sodium',
  publicKeyOf(secretKey) {
    requireLength('secretKey', secretKey, 32)
    const publicKey = new Uint8Array(32)
    sodium.crypto_scalarmult_base(publicKey, secretKey)
    return publicKey
  },
  agree(secretKey, publicKey) {
    requireLength('secretKey', secretKey, 32)
    requireLength('publicKey', publicKey, 32)
    const shared = new Uint8Array(32)
    try {
      sodium.crypto_scalarmult(shared, secretKey, publicKey)
    } catch {
      return undefined
    }
    return shared.every((byte) => byte === 0) ? undefined : shared
  },
  encrypt(key, nonce, plaintext, associated) {
    requireLength('key', key, 32)
    requireLength('nonce', nonce, AEAD_NONCE_BYTES)
    const ciphertext = new Uint8Array(plaintext.length + AEAD_TAG_BYTES)
    sodium.crypto_aead_chacha20poly1305_ietf_encrypt(ciphertext, plaintext, associated, null, nonce, key)
    return ciphertext
  },
  decrypt(key, nonce, ciphertext, associated) {
    requireLength('key', key, 32)
    requireLength('nonce', nonce, AEAD_NONCE_BYTES)
    if (ciphertext.length < AEAD_TAG_BYTES) return undefined
    const plaintext = new Uint8Array(ciphertext.length - AEAD_TAG_BYTES)
    try {
      sodium.crypto_aead_chacha20poly1305_ietf_decrypt(plaintext, null, ciphertext, associated, nonce, key)
    } catch {
      return undefined
    }
    return plaintext
  },
})
