/** The fields that a CPP's policy is made of. */
import { CURRENCY_CODES, MAX_TOTAL_MINOR, type Currency } from '../../protocol/amount.ts'
import { Type, type Static, type TSchema } from '../../protocol/fields.ts'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

export const strict = { additionalProperties: false }
export const currencies = CURRENCY_CODES.join('|')
export const perCurrency = <T extends TSchema>(value: T) =>
  Type.Unsafe<Readonly<Partial<Record<Currency, Static<T>>>>>(
    Type.Record(Type.String({ pattern: `^(${currencies})$` }), value, strict),
  )
export const money = Type.BigInt({ minimum: 1n, maximum: MAX_TOTAL_MINOR })
export const duration = Type.Integer({ minimum: 1, maximum: 366 * DAY })
