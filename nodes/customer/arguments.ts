/**
 * Arguments of control commands. They come from a JSON line: money as a decimal string of minor units, bytes as hex. A bad
 * argument is a value for the caller, never an exception, and its detail names the field but not what was in it: it may be a PIN.
 */
import { Value } from '@sinclair/typebox/value'
import { MAX_PAYMENT_MINOR } from '../../protocol/amount.ts'
import { fromHex } from '../../protocol/bytes.ts'
import { fail, ok, type FailureCode, type Result } from '../../protocol/failures.ts'
import { Type, type Static, type TSchema } from '../../protocol/fields.ts'
import { isNodeId, payeeToken } from '../../protocol/ids.ts'
import { decision, type Decision } from '../runtime/node.ts'

/** A 16-byte id: 32 hex digits, or the bytes themselves. */
export const IdArgument = Type.Union([
  Type.String({ pattern: '^[0-9a-fA-F]{32}$' }),
  Type.Uint8Array({ minByteLength: 16, maxByteLength: 16 }),
])
/** Bytes as hex, or the bytes themselves. */
export const BytesArgument = Type.Union([
  Type.String({ pattern: '^([0-9a-fA-F]{2})+$' }),
  Type.Uint8Array({ minByteLength: 1 }),
])
/** Minor units. Read with {@link paymentAmount}, which gives the code that an amount problem must get. */
export const MoneyArgument = Type.Unknown()
/** `bakery@hu` or `hu-bakery`. */
export const PayeeArgument = Type.String({ minLength: 4, maxLength: 64 })
export const PinArgument = Type.String({ pattern: '^[0-9]{4,12}$' })

/** SCHEMA_VIOLATION, with the path of the first field that does not fit. */
export const readArguments = <S extends TSchema>(schema: S, args: unknown): Result<Static<S>> => {
  if (Value.Check(schema, args)) return ok(args)
  const [first] = Value.Errors(schema, args)
  return fail(
    'SCHEMA_VIOLATION',
    first === undefined ? 'arguments' : `argument ${first.path.slice(1) || 'object'}: ${first.message}`,
  )
}

export const bytesOf = (argument: string | Uint8Array): Uint8Array =>
  typeof argument === 'string' ? fromHex(argument) : argument

/** AMOUNT_INVALID unless it is a whole number of minor units from `least` to `most`. A JSON number is refused: it may be a float. */
export const minorUnits = (argument: unknown, least: bigint, most: bigint): Result<bigint> => {
  const value =
    typeof argument === 'bigint'
      ? argument
      : typeof argument === 'string' && /^-?[0-9]{1,24}$/.test(argument)
        ? BigInt(argument)
        : undefined
  if (value === undefined) return fail('AMOUNT_INVALID', 'an amount is a decimal string of whole minor units')
  if (value < least) return fail('AMOUNT_INVALID', value < 0n ? 'negative' : value === 0n ? 'zero' : 'too small')
  if (value > most) return fail('AMOUNT_INVALID', 'over the limit')
  return ok(value)
}

/** The amount of one payment: 1 … MAX_PAYMENT_MINOR. AMOUNT_INVALID otherwise. */
export const paymentAmount = (argument: unknown): Result<bigint> => minorUnits(argument, 1n, MAX_PAYMENT_MINOR)

/** `bakery@hu` or `hu-bakery` → `hu-bakery`. SCHEMA_VIOLATION for anything else. */
export const payeeOf = (argument: string): Result<string> => {
  const token = isNodeId(argument) ? argument : payeeToken(argument)
  return token === undefined ? fail('SCHEMA_VIOLATION', 'argument payee: neither name@realm nor realm-name') : ok(token)
}

/** A refusal to the caller of a control command: nothing was changed. */
export const replyRefused = (code: FailureCode, detail = ''): Decision =>
  decision({ reply: { ok: false, code, detail } })
