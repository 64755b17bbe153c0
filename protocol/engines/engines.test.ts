import { readFileSync } from 'node:fs'
import { etc, Point, utils } from '@noble/ed25519'
import { sha512 } from '@noble/hashes/sha2.js'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, fromHex, toHex, utf8 } from '../bytes.ts'
import type { Engine } from './engine.ts'
import { loadEngine, nativeEngine, portableEngine } from './load.ts'
import { rsaEngine } from './rsa-engine.ts'

type Vectors = {
  readonly rfc8032: {
    readonly vectors: readonly { name: string; seed: string; publicKey: string; message: string; signature: string }[]
  }
  readonly edgeCases: {
    readonly vectors: readonly { number: number; what: string; publicKey: string; message: string; signature: string }[]
  }
}
const vectors = JSON.parse(readFileSync(new URL('../vectors/ed25519.json', import.meta.url), 'utf8')) as Vectors

// Where no native binary loads, the portable engine is compared with itself and the suite still means something.
const engines: readonly Engine[] = nativeEngine === undefined ? [portableEngine] : [portableEngine, nativeEngine]

const ORDER = Point.CURVE().n
const number = (bytes: Uint8Array): bigint => BigInt(`0x${toHex(bytes.toReversed())}`)
const little = (value: bigint): Uint8Array => fromHex(value.toString(16).padStart(64, '0')).toReversed()
/** A point of order 8. */
const TORSION = Point.fromHex('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa')

/** Signs like an attacker who holds the key and is free to choose R = [r]B + `extra`. */
const craft = (
  seed: Uint8Array,
  message: Uint8Array,
  r: bigint,
  extra: Point,
): { signature: Uint8Array; publicKey: Uint8Array } => {
  const { scalar, pointBytes } = utils.getExtendedPublicKey(seed)
  const base = r === 0n ? Point.ZERO : Point.BASE.multiply(r)
  const rBytes = base.add(extra).toBytes()
  const k = etc.mod(number(sha512(concat(rBytes, pointBytes, message))), ORDER)
  return { signature: concat(rBytes, little(etc.mod(r + k * scalar, ORDER))), publicKey: pointBytes }
}

describe.each(engines.map((engine) => [engine.ed25519.name, engine.ed25519] as const))('Ed25519 %s', (_, ed25519) => {
  test.each(vectors.rfc8032.vectors.map((vector) => [vector.name, vector] as const))('RFC 8032 %s', (_name, vector) => {
    const pair = ed25519.keyPairFromSeed(fromHex(vector.seed))
    expect(toHex(pair.publicKey)).toBe(vector.publicKey)
    expect(ed25519.checkPublicKey(pair.publicKey)).toBe(true)
    const message = fromHex(vector.message)
    expect(toHex(ed25519.sign(message, pair.secretKey))).toBe(vector.signature)
    expect(ed25519.verify(fromHex(vector.signature), message, pair.publicKey)).toBe(true)
  })

  test('all twelve edge cases are there', () => expect(vectors.edgeCases.vectors).toHaveLength(12))
  test.each(vectors.edgeCases.vectors.map((vector) => [vector.number, vector.what, vector] as const))(
    'refuses edge case %i: %s',
    (_number, _what, vector) => {
      const publicKey = fromHex(vector.publicKey)
      const accepted =
        ed25519.checkPublicKey(publicKey) &&
        ed25519.verify(fromHex(vector.signature), fromHex(vector.message), publicKey)
      expect(accepted).toBe(false)
    },
  )
  test('without the key check only the case of wholly mixed order passes', () => {
    const passing = vectors.edgeCases.vectors.filter((vector) =>
      ed25519.verify(fromHex(vector.signature), fromHex(vector.message), fromHex(vector.publicKey)),
    )
    expect(passing.map((vector) => vector.number)).toEqual([3])
  })

  test('takes the crafted signature only when R has no torsion', () => {
    const seed = new Uint8Array(32).fill(7)
    const message = utf8('pay 1.20')
    const sound = craft(seed, message, 123_456_789n, Point.ZERO)
    expect(ed25519.verify(sound.signature, message, sound.publicKey)).toBe(true)
    const mixed = craft(seed, message, 123_456_789n, TORSION)
    expect(ed25519.verify(mixed.signature, message, mixed.publicKey)).toBe(false)
  })
  test('refuses R = the identity', () => {
    const message = utf8('pay 1.20')
    const { signature, publicKey } = craft(new Uint8Array(32).fill(7), message, 0n, Point.ZERO)
    expect(ed25519.verify(signature, message, publicKey)).toBe(false)
  })
  test('refuses S + L', () => {
    const pair = ed25519.keyPairFromSeed(new Uint8Array(32).fill(9))
    const message = utf8('x')
    const signature = ed25519.sign(message, pair.secretKey)
    const shifted = concat(signature.subarray(0, 32), little(number(signature.subarray(32)) + ORDER))
    expect(ed25519.verify(shifted, message, pair.publicKey)).toBe(false)
  })

  test.each([
    ['identity', little(1n)],
    ['order 2', little(etc.mod(-1n))],
    ['order 4', little(0n)],
    ['order 8', TORSION.toBytes()],
    ['order 8, the sign flipped', TORSION.negate().toBytes()],
    ['non-canonical identity', concat(little(1n).subarray(0, 31), Uint8Array.of(0x80))],
    ['y = p', little((1n << 255n) - 19n)],
    ['y = p + 1', little((1n << 255n) - 18n)],
    ['mixed order', Point.BASE.multiply(5n).add(TORSION).toBytes()],
    ['not on the curve', little(2n)],
    ['31 bytes', new Uint8Array(31)],
    ['33 bytes', new Uint8Array(33)],
    ['empty', new Uint8Array(0)],
  ])('refuses the key: %s', (_name, key) => expect(ed25519.checkPublicKey(key)).toBe(false))

  test.each([0, 31, 63, 65])('refuses a signature of %i bytes', (length) => {
    const { publicKey } = ed25519.keyPairFromSeed(new Uint8Array(32))
    expect(ed25519.verify(new Uint8Array(length), utf8('x'), publicKey)).toBe(false)
  })
  test('names the argument of a wrong length', () => {
    expect(() => ed25519.keyPairFromSeed(new Uint8Array(31))).toThrow(/seed must be 32 bytes/)
    expect(() => ed25519.sign(utf8('x'), new Uint8Array(32))).toThrow(/secretKey must be 64 bytes/)
  })
})

describe('Ed25519 engines agree', () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
  const all = <T>(ask: (engine: Engine) => T): T => {
    const answers = engines.map(ask)
    for (const answer of answers) expect(answer).toEqual(answers[0])
    return answers[0] as T
  }

  test('on keys, on signatures, and on what verifies', () => {
    fc.assert(
      fc.property(bytes(32), fc.uint8Array({ maxLength: 300 }), fc.nat(63), fc.nat(7), (seed, message, at, bit) => {
        const pair = all(({ ed25519 }) => ed25519.keyPairFromSeed(seed))
        const signature = all(({ ed25519 }) => ed25519.sign(message, pair.secretKey))
        expect(all(({ ed25519 }) => ed25519.verify(signature, message, pair.publicKey))).toBe(true)
        const spoilt = signature.slice()
        spoilt[at] = (spoilt[at] as number) ^ (1 << bit)
        expect(all(({ ed25519 }) => ed25519.verify(spoilt, message, pair.publicKey))).toBe(false)
      }),
      { numRuns: 25 },
    )
  })
  test('on which 32 bytes are a key', () => {
    fc.assert(
      fc.property(bytes(32), (key) => {
        expect(typeof all(({ ed25519 }) => ed25519.checkPublicKey(key))).toBe('boolean')
      }),
      { numRuns: 60 },
    )
  })
  test('on signatures crafted with every torsion point', () => {
    const message = utf8('m')
    let point = Point.ZERO
    for (let i = 0; i < 8; i++, point = point.add(TORSION)) {
      const { signature, publicKey } = craft(new Uint8Array(32).fill(3), message, 77n, point)
      expect(all(({ ed25519 }) => ed25519.verify(signature, message, publicKey))).toBe(i === 0)
    }
  })
})

describe.each(engines.map((engine) => [engine.sealing.name, engine.sealing] as const))(
  'sealing engine %s',
  (_, sealing) => {
    test('RFC 7748 §5.2, first iteration', () => {
      const nine = concat(Uint8Array.of(9), new Uint8Array(31))
      expect(toHex(sealing.agree(nine, nine) as Uint8Array)).toBe(
        '422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079',
      )
      expect(toHex(sealing.publicKeyOf(nine))).toBe('422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079')
    })
    test('RFC 8439 §2.8.2', () => {
      const key = Uint8Array.from({ length: 32 }, (_value, i) => 0x80 + i)
      const text = utf8(
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
      )
      const sealed = sealing.encrypt(
        key,
        fromHex('070000004041424344454647'),
        text,
        fromHex('50515253c0c1c2c3c4c5c6c7'),
      )
      expect(toHex(sealed.subarray(0, 16))).toBe('d31a8d34648e60db7b86afbc53ef7ec2')
      expect(toHex(sealed.subarray(-16))).toBe('1ae10b594f09e26a7e902ecbd0600691')
    })
    test.each([
      ['0', little(0n)],
      ['1', little(1n)],
      ['p − 1', little((1n << 255n) - 20n)],
      ['p', little((1n << 255n) - 19n)],
      ['order 8', fromHex('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800')],
    ])('agrees on nothing with u = %s', (_name, key) =>
      expect(sealing.agree(new Uint8Array(32).fill(5), key)).toBeUndefined(),
    )
    test('opens only what it sealed', () => {
      const [key, nonce, associated] = [new Uint8Array(32).fill(1), new Uint8Array(12).fill(2), utf8('header')]
      const sealed = sealing.encrypt(key, nonce, utf8('body'), associated)
      expect(sealing.decrypt(key, nonce, sealed, associated)).toEqual(utf8('body'))
      expect(sealing.decrypt(key, nonce, sealed, utf8('Header'))).toBeUndefined()
      expect(sealing.decrypt(key, new Uint8Array(12), sealed, associated)).toBeUndefined()
      expect(sealing.decrypt(new Uint8Array(32), nonce, sealed, associated)).toBeUndefined()
      expect(sealing.decrypt(key, nonce, sealed.subarray(0, 15), associated)).toBeUndefined()
      for (let i = 0; i < sealed.length; i++) {
        const spoilt = sealed.slice()
        spoilt[i] = (spoilt[i] as number) ^ 1
        expect(sealing.decrypt(key, nonce, spoilt, associated)).toBeUndefined()
      }
    })
    test('names the argument of a wrong length', () => {
      expect(() => sealing.agree(new Uint8Array(31), new Uint8Array(32))).toThrow(/secretKey must be 32 bytes/)
      expect(() => sealing.encrypt(new Uint8Array(32), new Uint8Array(11), utf8(''), utf8(''))).toThrow(
        /nonce must be 12 bytes/,
      )
    })
  },
)

test('sealing engines write the same bytes', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.uint8Array({ maxLength: 500 }),
      fc.uint8Array({ maxLength: 80 }),
      (secret, text, associated) => {
        const [first, ...others] = engines.map(({ sealing }) => ({
          publicKey: sealing.publicKeyOf(secret),
          shared: sealing.agree(secret, sealing.publicKeyOf(new Uint8Array(32).fill(4))),
          sealed: sealing.encrypt(secret, new Uint8Array(12), text, associated),
        }))
        for (const other of others) expect(other).toEqual(first)
      },
    ),
    { numRuns: 40 },
  )
})

describe('RSA', () => {
  const pair = rsaEngine.generateKeyPair()
  test('verifies what it signed, and nothing else', () => {
    const signature = rsaEngine.sign(utf8('m'), pair.secretKey)
    expect(rsaEngine.checkPublicKey(pair.publicKey)).toBe(true)
    expect(rsaEngine.verify(signature, utf8('m'), pair.publicKey)).toBe(true)
    expect(rsaEngine.verify(signature, utf8('n'), pair.publicKey)).toBe(false)
    expect(rsaEngine.verify(signature.subarray(1), utf8('m'), pair.publicKey)).toBe(false)
    expect(rsaEngine.verify(signature, utf8('m'), rsaEngine.generateKeyPair().publicKey)).toBe(false)
  })
  test('refuses keys that are malformed or of another kind', () => {
    expect(rsaEngine.checkPublicKey(new Uint8Array(0))).toBe(false)
    expect(rsaEngine.checkPublicKey(new Uint8Array(2_000))).toBe(false)
    expect(rsaEngine.checkPublicKey(concat(pair.publicKey, Uint8Array.of(0)))).toBe(false)
    expect(rsaEngine.checkPublicKey(portableEngine.ed25519.keyPairFromSeed(new Uint8Array(32)).publicKey)).toBe(false)
    expect(rsaEngine.verify(new Uint8Array(256), utf8('m'), new Uint8Array(0))).toBe(false)
  })
})

test('the loaded engine is the native one where it loads', () => {
  expect(loadEngine()).toBe(nativeEngine ?? portableEngine)
})
