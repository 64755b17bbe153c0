/**
 * The field types that message bodies are made of. Each is a TypeBox schema (so the JSON Schema of SPEC comes from the same
 * source) marked with its wire form: an integer travels as msgpack uint/int of any width and is read as `bigint` for money
 * and as `number` for everything else.
 */
import { FormatRegistry, Type, type Static, type TSchema } from '@sinclair/typebox'
import { isUtf8Text } from './bytes.ts'
import { CURRENCY_CODES, MAX_PAYMENT_MINOR, MAX_TOTAL_MINOR, type Currency } from './amount.ts'
import { ACCOUNT_ID_PATTERN, GUEST_TOKEN_PATTERN, NODE_ID_PATTERN, REALM_PATTERN } from './ids.ts'
import { LIMITS } from './limits.ts'

/** How `codec.ts` converts an integer field: `money` ↔ bigint, `integer` ↔ number. Everything else passes unchanged. */
export type WireForm = 'money' | 'integer'
export const WIRE = 'x-wire'

const bytes = (length: number) => Type.Uint8Array({ minByteLength: length, maxByteLength: length })
/** The compiler of schemas does not look at `enum`, only at `pattern`; JSON Schema readers get both. */
const oneOf = (words: readonly string[]) => Type.String({ enum: [...words], pattern: `^(?:${words.join('|')})$` })
const integer = (minimum: number, maximum: number) => Type.Integer({ minimum, maximum, [WIRE]: 'integer' })

/** A random 16-byte id. */
export const Id = bytes(16)
/** A 32-byte BLAKE2b-256 digest. */
export const Digest = bytes(32)
/** A 32-byte Ed25519 or X25519 public key. */
export const PublicKey = bytes(32)
/** 64-byte Ed25519 signature. */
export const Signature64 = bytes(64)
export const Hmac = bytes(32)
export const Salt = bytes(16)
export const NodeId = Type.String({ pattern: NODE_ID_PATTERN, maxLength: 63 })
export const GuestToken = Type.String({ pattern: GUEST_TOKEN_PATTERN })
export const Realm = Type.String({ pattern: REALM_PATTERN })
export const AccountId = Type.String({ pattern: ACCOUNT_ID_PATTERN, maxLength: 120 })
/** A payment's amount: 1 … MAX_PAYMENT_MINOR minor units. */
export const AmountMinor = Type.BigInt({ minimum: 1n, maximum: MAX_PAYMENT_MINOR, [WIRE]: 'money' })
/** A sum of payments, never negative. */
export const SumMinor = Type.BigInt({ minimum: 0n, maximum: MAX_TOTAL_MINOR, [WIRE]: 'money' })
/** A sum with a sign. */
export const SignedMinor = Type.BigInt({ minimum: -MAX_TOTAL_MINOR, maximum: MAX_TOTAL_MINOR, [WIRE]: 'money' })
/** One side of an exchange rate. */
export const RatePart = Type.BigInt({ minimum: 1n, maximum: MAX_TOTAL_MINOR, [WIRE]: 'money' })
export const CurrencyCode = Type.Unsafe<Currency>(oneOf(CURRENCY_CODES))
/** Milliseconds since 1970-01-01 UTC. */
export const TimeMs = integer(0, Number.MAX_SAFE_INTEGER)
/** A counter that starts at 1 and has no gaps. */
export const Sequence = integer(1, Number.MAX_SAFE_INTEGER)
/** The highest number held of a sequence; 0 for none yet. */
export const SequenceHeld = integer(0, Number.MAX_SAFE_INTEGER)
export const Count = integer(0, 0xffff_ffff)
export const Code = integer(1, 9_999)
/** UTF-8 can hold it, in maxTextBytes: what is packed is what any receiver reads. */
export const TEXT_FORMAT = 'bounded-utf8'
FormatRegistry.Set(TEXT_FORMAT, (text) => isUtf8Text(text, LIMITS.maxTextBytes))
/** At most `maxLength` characters (UTF-16 units), and never more than maxTextBytes bytes. */
export const Text = (maxLength: number = LIMITS.maxTextBytes) => Type.String({ maxLength, format: TEXT_FORMAT })
/** A complete frame of another message, nested byte for byte. */
export const FrameBytes = Type.Uint8Array({ minByteLength: 1, maxByteLength: LIMITS.maxBodyBytes })
export const CredentialBytes = Type.Uint8Array({ minByteLength: 1, maxByteLength: LIMITS.maxCredentialBytes })
/** Credentials from the one the root signed down to the one that is claimed. */
export const Chain = Type.Array(CredentialBytes, { minItems: 1, maxItems: LIMITS.maxChainLength })
export const Optional = <T extends TSchema>(schema: T) => Type.Optional(schema)
/** One of a few fixed words. */
export const Word = <const W extends readonly string[]>(...words: W) =>
  Type.Unsafe<W[number]>(oneOf(words))
/** A map with exactly these fields: an unknown one is refused. */
export const Fields = <P extends Record<string, TSchema>>(properties: P) =>
  Type.Object(properties, { additionalProperties: false })
export const List = <T extends TSchema>(item: T, maxItems: number = LIMITS.maxArrayItems) => Type.Array(item, { maxItems })
export { Type }
export type { Static, TSchema }
