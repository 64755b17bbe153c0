import { scryptSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { toHex } from './bytes.ts'
import { loadEngine } from './engines/load.ts'
import {
  derivePinKey,
  derivePinKeySync,
  equalSecrets,
  isPin,
  isPinProof,
  openPinKey,
  pinKeyFingerprint,
  pinProof,
  sealPinKey,
} from './pin.ts'
import { sampleId, seedOf } from './testing/sample-network.ts'

const engine = loadEngine()

describe('a PIN', () => {
  test.each([
    ['4711', true],
    ['123456789012', true],
    ['471', false],
    ['1234567890123', false],
    ['47a1', false],
    ['4711\n', false],
    ['٤٧١١', false],
    ['', false],
  ])('%j', (text, fits) => expect(isPin(text)).toBe(fits))
  test('derives its key as RFC 7914 says, over customer ‖ 0x00 ‖ cpp, waiting or not', async () => {
    const expected = toHex(scryptSync('4711', 'hu-alice\0hu-otp', 32, { N: 2 ** 14, r: 8, p: 1 }))
    expect(toHex(derivePinKeySync('4711', 'hu-alice', 'hu-otp'))).toBe(expected)
    expect(toHex(await derivePinKey('4711', 'hu-alice', 'hu-otp'))).toBe(expected)
    expect(toHex(derivePinKeySync('4711', 'hu-alice', 'hu-otp-2'))).not.toBe(expected)
  })
  test('outside its grammar is refused without being repeated', () => {
    expect(() => derivePinKeySync('secret', 'hu-alice', 'hu-otp')).toThrow(/^a PIN has 4 to 12 digits$/)
  })
})

describe('a proof', () => {
  const pinKey = seedOf('pin')
  const proof = pinProof(pinKey, seedOf('trans'), sampleId('pr'))
  test('is HMAC-SHA256 and good for one request of one invoice under one PIN', () => {
    expect(isPinProof(pinKey, seedOf('trans'), sampleId('pr'), proof)).toBe(true)
    expect(isPinProof(pinKey, seedOf('other'), sampleId('pr'), proof)).toBe(false)
    expect(isPinProof(pinKey, seedOf('trans'), sampleId('other'), proof)).toBe(false)
    expect(isPinProof(seedOf('wrong'), seedOf('trans'), sampleId('pr'), proof)).toBe(false)
    expect(isPinProof(pinKey, seedOf('trans'), sampleId('pr'), proof.subarray(1))).toBe(false)
  })
  test('names an argument of the wrong length', () => {
    expect(() => pinProof(pinKey, seedOf('trans').subarray(1), sampleId('pr'))).toThrow(/transDigest must be 32 bytes/)
  })
  test('secrets of different length are not equal', () =>
    expect(equalSecrets(new Uint8Array(2), new Uint8Array(3))).toBe(false))
})

describe('a pinKey at rest', () => {
  const nodeKey = seedOf('node key')
  const sealed = sealPinKey(engine, nodeKey, new Uint8Array(12), 'hu-alice', seedOf('pin'))
  test('opens under its node and customer only', () => {
    expect(openPinKey(engine, nodeKey, 'hu-alice', sealed)).toEqual(seedOf('pin'))
    expect(openPinKey(engine, nodeKey, 'hu-bob', sealed)).toBeUndefined()
    expect(openPinKey(engine, seedOf('other node'), 'hu-alice', sealed)).toBeUndefined()
    expect(openPinKey(engine, nodeKey, 'hu-alice', sealed.subarray(0, 8))).toBeUndefined()
  })
  test('has a fingerprint that is not itself', () =>
    expect(pinKeyFingerprint(seedOf('pin'))).not.toEqual(seedOf('pin')))
})
