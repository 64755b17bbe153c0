import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { standInEngine } from './stand-in-engine.ts'

const { ed25519, sealing } = standInEngine
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const flipped = (data: Uint8Array, bit: number): Uint8Array => {
  const copy = data.slice()
  const at = (bit >> 3) % copy.length
  copy[at] = (copy[at] as number) ^ (1 << (bit & 7))
  return copy
}

describe('the stand-in for cryptography', () => {
  test('takes what was signed, and refuses it altered, truncated or under another key', () => {
    fc.assert(
      fc.property(
        bytes(32),
        bytes(32),
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        fc.nat(),
        (seed, other, message, bit) => {
          fc.pre(seed.some((byte, at) => byte !== other[at]))
          const { publicKey, secretKey } = ed25519.keyPairFromSeed(seed)
          const signature = ed25519.sign(message, secretKey)
          expect(signature).toHaveLength(64)
          expect(ed25519.checkPublicKey(publicKey)).toBe(true)
          expect(ed25519.verify(signature, message, publicKey)).toBe(true)
          expect(ed25519.verify(flipped(signature, bit), message, publicKey)).toBe(false)
          expect(ed25519.verify(signature, flipped(message, bit), publicKey)).toBe(false)
          expect(ed25519.verify(signature, message.subarray(1), publicKey)).toBe(false)
          expect(ed25519.verify(signature.subarray(0, 63), message, publicKey)).toBe(false)
          expect(ed25519.verify(signature, message, ed25519.keyPairFromSeed(other).publicKey)).toBe(false)
          const forged = ed25519.sign(message, ed25519.keyPairFromSeed(other).secretKey)
          expect(ed25519.verify(forged, message, publicKey)).toBe(false)
        },
      ),
    )
  })

  test('both sides agree on one secret, which no third shares, and encryption refuses what was altered', () => {
    fc.assert(
      fc.property(bytes(32), bytes(32), bytes(32), fc.nat(), (a, b, c, bit) => {
        fc.pre(new Set([a, b, c].map(String)).size === 3)
        const shared = sealing.agree(a, sealing.publicKeyOf(b)) as Uint8Array
        expect(sealing.agree(b, sealing.publicKeyOf(a))).toEqual(shared)
        expect(sealing.agree(c, sealing.publicKeyOf(a))).not.toEqual(shared)
        const nonce = new Uint8Array(12)
        const sealed = sealing.encrypt(shared, nonce, a, b)
        expect(sealing.decrypt(shared, nonce, sealed, b)).toEqual(a)
        expect(sealing.decrypt(shared, nonce, flipped(sealed, bit), b)).toBeUndefined()
        expect(sealing.decrypt(shared, nonce, sealed, c)).toBeUndefined()
      }),
    )
  })

  test('refuses keys of another length, and those that agree on nothing', () => {
    expect(() => ed25519.keyPairFromSeed(new Uint8Array(31))).toThrow(TypeError)
    expect(() => sealing.agree(new Uint8Array(32), new Uint8Array(31))).toThrow(TypeError)
    expect(sealing.agree(new Uint8Array(32).fill(1), new Uint8Array(32))).toBeUndefined()
    expect(ed25519.checkPublicKey(new Uint8Array(32))).toBe(false)
  })
})
