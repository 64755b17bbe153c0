/** The fallback for confidential messages: X25519 of node:crypto, ChaCha20-Poly1305 of @noble/ciphers. Same bytes as libsodium. */
import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto'
import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { concat, fromHex } from '../bytes.ts'
import { AEAD_NONCE_BYTES, AEAD_TAG_BYTES, requireLength, type SealingEngine } from './engine.ts'

/** RFC 8410: everything of a PKCS #8 and an SPKI X25519 key that stands before the 32 key bytes. */
const PKCS8_PREFIX = fromHex('302e020100300506032b656e04220420')
const SPKI_PREFIX = fromHex('302a300506032b656e032100')

const privateKey = (secretKey: Uint8Array) =>
  createPrivateKey({ key: Buffer.from(concat(PKCS8_PREFIX, secretKey)), format: 'der', type: 'pkcs8' })

export const portableSealing: SealingEngine = {
  name: 'portable',
  publicKeyOf(secretKey) {
    requireLength('secretKey', secretKey, 32)
    const spki = createPublicKey(privateKey(secretKey)).export({ format: 'der', type: 'spki' })
    return new Uint8Array(spki.subarray(SPKI_PREFIX.length))
  },
  agree(secretKey, publicKey) {
    requireLength('secretKey', secretKey, 32)
    requireLength('publicKey', publicKey, 32)
    try {
      const peer = createPublicKey({ key: Buffer.from(concat(SPKI_PREFIX, publicKey)), format: 'der', type: 'spki' })
      const shared = new Uint8Array(diffieHellman({ privateKey: privateKey(secretKey), publicKey: peer }))
      return shared.every((byte) => byte === 0) ? undefined : shared
    } catch {
      // OpenSSL refuses to derive an all-zero secret.
      return undefined
    }
  },
  encrypt(key, nonce, plaintext, associated) {
    requireLength('key', key, 32)
    requireLength('nonce', nonce, AEAD_NONCE_BYTES)
    return new Uint8Array(chacha20poly1305(key, nonce, associated).encrypt(plaintext))
  },
  decrypt(key, nonce, ciphertext, associated) {
    requireLength('key', key, 32)
    requireLength('nonce', nonce, AEAD_NONCE_BYTES)
    if (ciphertext.length < AEAD_TAG_BYTES) return undefined
    try {
      return new Uint8Array(chacha20poly1305(key, nonce, associated).decrypt(ciphertext))
    } catch {
      return undefined
    }
  },
}
