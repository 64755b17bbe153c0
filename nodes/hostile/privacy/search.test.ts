import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8 } from '../../../protocol/bytes.ts'
import { hash } from '../../../protocol/hash.ts'
import { formsOf, MIN_SECRET_BYTES, searchFor } from './testing/search.ts'

describe('the search of the evidence', () => {
  const bytes = (min: number, max: number) => fc.uint8Array({ minLength: min, maxLength: max })

  test('property: finds a secret and its digests in every form, anywhere', () => {
    fc.assert(
      fc.property(bytes(MIN_SECRET_BYTES, 40), bytes(0, 30), bytes(0, 30), (secret, before, after) => {
        const find = searchFor([{ name: 'it', bytes: secret }])
        const sha512 = new Uint8Array(createHash('sha512').update(secret).digest())
        for (const value of [secret, hash(secret), hash(secret).subarray(0, 16), sha512])
          for (const [form, text] of formsOf(value))
            expect([form, find(Buffer.concat([before, text, after])).length > 0]).toEqual([form, true])
      }),
      { numRuns: 60 },
    )
  })

  test('property: finds it inside what is encoded as a whole', () => {
    const base32 = (all: Uint8Array): string =>
      formsOf(all)
        .find(([name]) => name === 'base32 after 0')![1]
        .toString()
    fc.assert(
      fc.property(bytes(12, 40), bytes(0, 30), bytes(0, 30), (secret, before, after) => {
        const find = searchFor([{ name: 'it', bytes: secret }])
        const whole = Buffer.concat([before, secret, after])
        for (const text of [
          whole.toString('base64'),
          whole.toString('base64url'),
          whole.toString('hex'),
          base32(whole),
        ])
          expect(find(utf8(text)).length).toBeGreaterThan(0)
      }),
      { numRuns: 200 },
    )
  })

  test('finds nothing in other bytes, and nothing in all but a secret', () => {
    const secret = utf8('hu-zsofia-8k3v9q')
    const find = searchFor([{ name: 'it', bytes: secret }])
    const noise = new Uint8Array(1_000_000).map((_, at) => (at * 2_654_435_761) >>> 13)
    expect(find(noise)).toEqual([])
    expect(find(secret.subarray(0, -1))).toEqual([])
    expect(find(secret)).toEqual([{ secret: 'it', form: 'itself, raw' }])
  })

  test('refuses a secret that chance would find', () => {
    expect(() => searchFor([{ name: 'PIN', bytes: utf8('123456') }])).toThrow(TypeError)
  })
})
