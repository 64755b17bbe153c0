import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, toHex, utf8 } from './bytes.ts'
import { digestOf, hash, nativeHash, portableHash } from './hash.ts'

describe('H', () => {
  test.each([
    ['', '0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8'],
    ['abc', 'bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319'],
  ])('of %j', (text, digest) => {
    expect(toHex(hash(utf8(text)))).toBe(digest)
    expect(toHex(portableHash(utf8(text)))).toBe(digest)
  })

  test('is that of the joined parts, in both libraries', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 700 }), { maxLength: 6 }), (parts) => {
        const digest = portableHash(concat(...parts))
        expect(portableHash(...parts)).toEqual(digest)
        expect(hash(...parts)).toEqual(digest)
        expect((nativeHash ?? portableHash)(...parts)).toEqual(digest)
      }),
    )
  })

  test('of more than the native input buffer holds', () => {
    const parts = [new Uint8Array(100_000).fill(1), new Uint8Array(60_000).fill(2)]
    expect(hash(...parts)).toEqual(portableHash(...parts))
  })

  test('gives bytes that the next call does not overwrite', () => {
    const first = hash(utf8('a'))
    const kept = toHex(first)
    hash(utf8('b'))
    expect(toHex(first)).toBe(kept)
  })

  test('of content tells where the header ends', () => {
    expect(digestOf(utf8('ab'), utf8('c'))).not.toEqual(digestOf(utf8('a'), utf8('bc')))
  })
})
