/**
 * The reference Ed25519 engine, on @noble/ed25519: what tests hold every other engine to, and the fallback where no native
 * binary loads. noble's own `verify` multiplies by the cofactor, so a signature whose R carries a torsion component would
 * pass here and fail in libsodium; the equation is therefore checked on noble's points, without the cofactor.
 */
import { etc, getPublicKey, hashes, Point, sign } from '@noble/ed25519'
import { sha512 } from '@noble/hashes/sha2.js'
import { concat, equalBytes } from '../bytes.ts'
import {
  ED25519_PUBLIC_KEY_BYTES,
  ED25519_SECRET_KEY_BYTES,
  ED25519_SIGNATURE_BYTES,
  requireLength,
  SEED_BYTES,
  type Ed25519Engine,
} from './engine.ts'

hashes.sha512 = sha512

const ORDER = Point.CURVE().n

const littleEndian = (bytes: Uint8Array): bigint => {
  let value = 0n
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number)
  return value
}

/** RFC 8032 §5.1.3 decoding, canonical only, and not of small order; undefined otherwise. */
const decodePoint = (bytes: Uint8Array): Point | undefined => {
  let point: Point
  try {
    point = Point.fromBytes(bytes, false)
  } catch {
    return undefined
  }
  if (!equalBytes(point.toBytes(), bytes)) return undefined
  return point.isSmallOrder() ? undefined : point
}

export const nobleEngine: Ed25519Engine = {
  name: 'noble',
  algorithm: 'ed25519',
  keyPairFromSeed(seed) {
    requireLength('seed', seed, SEED_BYTES)
    const publicKey = new Uint8Array(getPublicKey(seed))
    return { publicKey, secretKey: concat(seed, publicKey) }
  },
  sign(message, secretKey) {
    requireLength('secretKey', secretKey, ED25519_SECRET_KEY_BYTES)
    return new Uint8Array(sign(message, secretKey.subarray(0, SEED_BYTES)))
  },
  verify(signature, message, publicKey) {
    if (signature.length !== ED25519_SIGNATURE_BYTES || publicKey.length !== ED25519_PUBLIC_KEY_BYTES) return false
    const s = littleEndian(signature.subarray(32))
    if (s >= ORDER) return false
    const rBytes = signature.subarray(0, 32)
    const r = decodePoint(rBytes)
    const a = decodePoint(publicKey)
    if (r === undefined || a === undefined) return false
    const k = etc.mod(littleEndian(sha512(concat(rBytes, publicKey, message))), ORDER)
    // RFC 8032 §5.1.7 without the factor 8: [S]B = R + [k]A.
    const left = Point.BASE.multiply(s, false)
    return left.equals(r.add(a.multiply(k, false)))
  },
  checkPublicKey(publicKey) {
    if (publicKey.length !== ED25519_PUBLIC_KEY_BYTES) return false
    return decodePoint(publicKey)?.isTorsionFree() === true
  },
}
