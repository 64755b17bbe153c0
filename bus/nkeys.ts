/**
 * NATS's form of Ed25519 keys ("nkeys"), with the arithmetic done by Node. The NATS packages do theirs in plain JavaScript,
 * several scalar multiplications for each login: 46 ms to mint a guest, on the event loop of a host that pays meanwhile.
 *
 * Invariant: same seed, same public key, same signature as the NATS package (`nkeys.test.ts`). Nothing is verified here.
 */
import { createPrivateKey, createPublicKey, randomBytes, sign, type KeyObject } from 'node:crypto'

/** First byte of the encoded public key; it makes the text begin with this letter. */
const PREFIX = { O: 14 << 3, A: 0, U: 20 << 3 } as const
const SEED_PREFIX = 18 << 3
export type KeyType = keyof typeof PREFIX

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
/** RFC 8410: what comes before the 32 bytes of a private key in PKCS #8. */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
const RAW_LENGTH = 32

export type LoginKey = {
  readonly type: KeyType
  /** Encoded: 56 characters, the first of them the type. */
  readonly publicKey: string
  /** RFC 8032, 64 bytes. */
  sign(message: Uint8Array): Uint8Array
}

/** A fresh encoded seed of 58 characters, beginning with `S` and the type. */
export const newSeed = (type: KeyType): string => {
  const prefix = PREFIX[type]
  return encode(
    Buffer.concat([Buffer.from([SEED_PREFIX | (prefix >> 5), (prefix & 31) << 3]), randomBytes(RAW_LENGTH)]),
  )
}

/** @throws TypeError unless `seed` is the encoded seed of an operator, account or user. */
export const loadKey = (seed: string): LoginKey => {
  const bytes = decode(seed)
  const prefix = (((bytes[0] ?? 0) & 7) << 5) | (((bytes[1] ?? 0) & 0xf8) >> 3)
  const type = (Object.keys(PREFIX) as KeyType[]).find((one) => PREFIX[one] === prefix)
  if (bytes.length !== 2 + RAW_LENGTH || ((bytes[0] as number) & 0xf8) !== SEED_PREFIX || type === undefined)
    throw new TypeError('not the seed of an operator, account or user nkey')
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, bytes.subarray(2)]), format: 'der', type: 'pkcs8' })
  return {
    type,
    publicKey: encode(Buffer.concat([Buffer.from([prefix]), rawPublicKey(key)])),
    sign: (message) => new Uint8Array(sign(null, message, key)),
  }
}

const rawPublicKey = (key: KeyObject): Buffer =>
  createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-RAW_LENGTH)

/** CRC-16/XMODEM. */
const crc16 = (bytes: Uint8Array): number => {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ ((crc & 0x8000) === 0 ? 0 : 0x1021)) & 0xffff
  }
  return crc
}

/** Base32 (RFC 4648, no padding) of the bytes and their checksum, low byte first. */
const encode = (bytes: Uint8Array): string => {
  const crc = crc16(bytes)
  let held = 0
  let bits = 0
  let text = ''
  for (const byte of [...bytes, crc & 0xff, crc >> 8]) {
    held = ((held & 31) << 8) | byte
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += BASE32[(held >> bits) & 31]
    }
  }
  return bits > 0 ? text + BASE32[(held << (5 - bits)) & 31] : text
}

/** The inverse of {@link encode}. @throws TypeError for other characters or a wrong checksum. */
const decode = (text: string): Uint8Array => {
  const bytes: number[] = []
  let held = 0
  let bits = 0
  for (const character of text) {
    const value = BASE32.indexOf(character)
    if (value < 0) throw new TypeError('an nkey is written in base32')
    held = ((held & 255) << 5) | value
    bits += 5
    if (bits >= 8) {
      bits -= 8
      bytes.push((held >> bits) & 255)
    }
  }
  const whole = Uint8Array.from(bytes)
  const body = whole.subarray(0, -2)
  const [low, high] = whole.subarray(-2)
  if (whole.length < 2 || crc16(body) !== ((low as number) | ((high as number) << 8)))
    throw new TypeError('the checksum of the nkey does not fit')
  return body
}
