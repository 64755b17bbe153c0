/**
 * RSA-PSS with SHA-256 (RFC 8017 §8.1, MGF1-SHA-256, 32-byte salt): the paper's RSA, for comparison and for processors that
 * must. Keys are SPKI DER of 2048 to 3072 bits with exponent 65537, in the one encoding that OpenSSL writes.
 */
import {
  constants,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto'
import { equalBytes, toHex } from '../bytes.ts'
import { LIMITS } from '../limits.ts'
import type { RsaEngine } from './engine.ts'

const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } as const
const MIN_MODULUS_BITS = 2_048
const MAX_MODULUS_BITS = 3_072
const MAX_SPKI_BYTES = 512

/** Parsing DER costs more than verifying with it, so that parsed keys are kept, oldest dropped first. */
const parsedPublic = new Map<string, KeyObject | undefined>()
const parsedSecret = new WeakMap<Uint8Array, KeyObject>()

const parsePublic = (der: Uint8Array): KeyObject | undefined => {
  if (der.length > MAX_SPKI_BYTES) return undefined
  try {
    const key = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' })
    const { modulusLength = 0, publicExponent } = key.asymmetricKeyDetails ?? {}
    if (key.asymmetricKeyType !== 'rsa' || publicExponent !== 65_537n) return undefined
    if (modulusLength < MIN_MODULUS_BITS || modulusLength > MAX_MODULUS_BITS) return undefined
    return equalBytes(key.export({ format: 'der', type: 'spki' }), der) ? key : undefined
  } catch {
    return undefined
  }
}

const publicKeyObject = (der: Uint8Array): KeyObject | undefined => {
  if (der.length > MAX_SPKI_BYTES) return undefined
  const name = toHex(der)
  if (parsedPublic.has(name)) return parsedPublic.get(name)
  const key = parsePublic(der)
  if (parsedPublic.size >= LIMITS.rsaKeyCacheSize) parsedPublic.delete(parsedPublic.keys().next().value as string)
  parsedPublic.set(name, key)
  return key
}

const secretKeyObject = (der: Uint8Array): KeyObject => {
  const known = parsedSecret.get(der)
  if (known !== undefined) return known
  const key = createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' })
  parsedSecret.set(der, key)
  return key
}

export const rsaEngine: RsaEngine = {
  name: 'node-rsa',
  algorithm: 'rsa-pss-sha256',
  generateKeyPair() {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', {
      modulusLength: MIN_MODULUS_BITS,
      publicExponent: 65_537,
    })
    return {
      publicKey: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })),
      secretKey: new Uint8Array(privateKey.export({ format: 'der', type: 'pkcs8' })),
    }
  },
  sign: (message, secretKey) => new Uint8Array(sign('sha256', message, { key: secretKeyObject(secretKey), ...PSS })),
  verify(signature, message, publicKey) {
    const key = publicKeyObject(publicKey)
    return key !== undefined && verify('sha256', message, { key, ...PSS }, signature)
  },
  checkPublicKey: (publicKey) => publicKeyObject(publicKey) !== undefined,
}
