/**
 * Looks for secrets in bytes: each as it is and as a digest, each of these raw and as text of the usual encodings, also where
 * that text is part of a longer one. For tests only.
 */
import { createHash } from 'node:crypto'
import { hash } from '../../../../protocol/hash.ts'

export type Secret = {
  /** Says what it is and whose: `account of hu-alice`. */
  readonly name: string
  /** At least {@link MIN_SECRET_BYTES}: shorter ones are found by chance. */
  readonly bytes: Uint8Array
}
export type Hit = { readonly secret: string; readonly form: string }

export const MIN_SECRET_BYTES = 8

const sha = (algorithm: string, bytes: Uint8Array): Uint8Array =>
  new Uint8Array(createHash(algorithm).update(bytes).digest())

/** The secret, and what a careless program derives an id from it with. */
const digestsOf = (secret: Uint8Array): readonly (readonly [string, Uint8Array])[] => {
  const blake2b = hash(secret)
  const sha256 = sha('sha256', secret)
  const sha512 = sha('sha512', secret)
  return [
    ['itself', secret],
    ['BLAKE2b-256', blake2b],
    ['BLAKE2b-256, first 16', blake2b.subarray(0, 16)],
    ['SHA-256', sha256],
    ['SHA-256, first 16', sha256.subarray(0, 16)],
    ['SHA-512', sha512],
    ['SHA-512, first 32', sha512.subarray(0, 32)],
    ['SHA-512, first 16', sha512.subarray(0, 16)],
  ]
}

const ALPHABETS = {
  base64: 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
  base64url: 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_',
  base32: 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567',
  'base32, small': 'abcdefghijklmnopqrstuvwxyz234567',
} as const

/** The characters that `bytes` alone decide when `before` other bytes come first. */
const encoded = (alphabet: string, bytes: Uint8Array, before: number): string => {
  const bits = Math.log2(alphabet.length)
  const first = Math.ceil((8 * before) / bits)
  const end = Math.floor((8 * (before + bytes.length)) / bits)
  let text = ''
  for (let at = first; at < end; at++) {
    let value = 0
    for (let bit = at * bits - 8 * before; bit < (at + 1) * bits - 8 * before; bit++)
      value = (value << 1) | (((bytes[bit >> 3] as number) >> (7 - (bit & 7))) & 1)
    text += alphabet[value]
  }
  return text
}

/** Every way in which bytes are written, by name. */
export const formsOf = (bytes: Uint8Array): readonly (readonly [string, Buffer])[] => {
  const raw = Buffer.from(bytes)
  const forms: (readonly [string, Buffer])[] = [
    ['raw', raw],
    ['hex', Buffer.from(raw.toString('hex'))],
    ['HEX', Buffer.from(raw.toString('hex').toUpperCase())],
    ['a list of numbers', Buffer.from([...bytes].join(','))],
  ]
  for (const [name, alphabet] of Object.entries(ALPHABETS)) {
    const offsets = alphabet.length === 64 ? 3 : 5
    for (let before = 0; before < offsets; before++)
      forms.push([`${name} after ${before}`, Buffer.from(encoded(alphabet, bytes, before))])
  }
  return forms
}

type Needle = Hit & { readonly bytes: Buffer }

/** @returns what is found in some bytes, each secret and form once. @throws TypeError for a secret that is too short */
export const searchFor = (secrets: readonly Secret[]): ((bytes: Uint8Array) => readonly Hit[]) => {
  // By their first four bytes; the bit set says for most places at once that nothing begins there.
  const needles = new Map<number, Needle[]>()
  const begins = new Uint8Array(1 << 21)
  for (const { name, bytes } of secrets) {
    if (bytes.length < MIN_SECRET_BYTES) throw new TypeError(`${name} is too short to be searched for`)
    for (const [digest, value] of digestsOf(bytes))
      for (const [form, text] of formsOf(value)) {
        const start = text.readUInt32BE(0)
        const same = needles.get(start)
        const needle = { secret: name, form: `${digest}, ${form}`, bytes: text }
        if (same === undefined) needles.set(start, [needle])
        else same.push(needle)
        begins[(start >>> 8) & 0x1fffff] = 1
      }
  }
  return (bytes) => {
    const hits = new Map<string, Hit>()
    const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let window = 0
    for (let at = 0; at < whole.length; at++) {
      window = ((window << 8) | (whole[at] as number)) >>> 0
      if (at < 3 || begins[(window >>> 8) & 0x1fffff] === 0) continue
      for (const needle of needles.get(window) ?? [])
        if (whole.subarray(at - 3, at - 3 + needle.bytes.length).equals(needle.bytes))
          hits.set(`${needle.secret} ${needle.form}`, { secret: needle.secret, form: needle.form })
    }
    return [...hits.values()]
  }
}
