/**
 * NATS's form of Ed25519 keys ("nkeys"), with the arithmetic done by Node. The NATS packages do theirs in plain JavaScript,
 * several scalar multiplications for each login: 46 ms to mint a guest, on the event loop of a host that pays meanwhile.
 *
 * Invariant: same seed, same public key, same signature as the NATS package (`nkeys.test.ts`). Nothing is verified here.
 */
import { createPrivateKey, createPublicKey, randomBytes, sign, type KeyObject } from 'node:crypto'
import { decodeNkey, encodeNkey } from '../protocol/nkey-text.ts'

/** First byte of the encoded public key; it makes the text begin with this letter. */
const PREFIX = { O: 14 << 3, A: 0, U: 20 << 3 } as const
const SEED_PREFIX = 18 << 3
export type KeyType = keyof typeof PREFIX

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
export const newSeed = (type: KeyType): string => seedOf(type, randomBytes(RAW_LENGTH))

/** These 32 bytes as an encoded seed. @throws TypeError for another length. */
export const seedOf = (type: KeyType, raw: Uint8Array): string => {
  if (raw.length !== RAW_LENGTH) throw new TypeError(`a seed has ${RAW_LENGTH} bytes, not ${raw.length}`)
  const prefix = PREFIX[type]
  return encodeNkey(Buffer.concat([Buffer.from([SEED_PREFIX | (prefix >> 5), (prefix & 31) << 3]), raw]))
}

/** @throws TypeError unless `seed` is the encoded seed of an operator, account or user. */
export const loadKey = (seed: string): LoginKey => {
  const bytes = decodeNkey(seed)
  const prefix = (((bytes[0] ?? 0) & 7) << 5) | (((bytes[1] ?? 0) & 0xf8) >> 3)
  const type = (Object.keys(PREFIX) as KeyType[]).find((one) => PREFIX[one] === prefix)
  if (bytes.length !== 2 + RAW_LENGTH || ((bytes[0] as number) & 0xf8) !== SEED_PREFIX || type === undefined)
    throw new TypeError('not the seed of an operator, account or user nkey')
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, bytes.subarray(2)]), format: 'der', type: 'pkcs8' })
  return {
    type,
    publicKey: encodeNkey(Buffer.concat([Buffer.from([prefix]), rawPublicKey(key)])),
    sign: (message) => new Uint8Array(sign(null, message, key)),
  }
}

const rawPublicKey = (key: KeyObject): Buffer =>
  createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-RAW_LENGTH)
