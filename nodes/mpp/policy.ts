/** What the operator of an MPP decides: a journalled row, changed by operator events only. */
import { CURRENCIES, CURRENCY_CODES, MAX_TOTAL_MINOR, type Currency } from '../../protocol/amount.ts'
import { Type } from '../../protocol/fields.ts'
import { ACCOUNT_ID_PATTERN, NODE_ID_PATTERN } from '../../protocol/ids.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const strict = { additionalProperties: false }
const nodeId = Type.String({ pattern: NODE_ID_PATTERN, maxLength: 63 })
const account = Type.String({ pattern: ACCOUNT_ID_PATTERN, maxLength: 120 })
const money = Type.BigInt({ minimum: 0n, maximum: MAX_TOTAL_MINOR })
const duration = Type.Integer({ minimum: 1, maximum: 366 * DAY })
const currencies = CURRENCY_CODES.join('|')
const perCurrency = `^(${currencies})$`
const perCpp = `${NODE_ID_PATTERN.slice(0, -1)}( (${currencies}))?$`

export const MppPolicySchema = Type.Object(
  {
    /** Hosts of the own realm's data center: registrations go to every one. */
    dataCenters: Type.Array(nodeId, { maxItems: 16 }),
    /** The MPP's own account per currency: settlements come to it, payouts leave it. */
    operatorAccounts: Type.Record(Type.String({ pattern: perCurrency }), account, strict),
    /** Each CPP's account for settlements of a negative sum, per currency as `<cpp> <currency>`, or `<cpp>` for any. */
    settlementAccounts: Type.Record(Type.String({ pattern: perCpp }), account, strict),
    /** What a CPP may owe at most, undecided notices included: `<cpp> <currency>`, else `<currency>`, else the default. */
    creditLimitMinor: Type.Record(Type.String({ pattern: `^(${currencies})$|${perCpp}` }), money, strict),
    settlement: Type.Object(
      {
        /** A CPP whose batch was answered and is unpaid for longer is DEFAULTED until it pays. */
        maxUnpaidMs: duration,
        /** How long after a refused transfer to a CPP the next is ordered. */
        retryMs: duration,
      },
      strict,
    ),
    payout: Type.Object(
      {
        /** A payee's payable from which on it is paid out at once. */
        thresholdMinor: Type.Record(Type.String({ pattern: perCurrency }), money, strict),
        /** The age of a payable at which it is paid out, whatever its size. */
        maxAgeMs: duration,
        /** How long after a refused payout the next is ordered. */
        retryMs: duration,
      },
      strict,
    ),
  },
  strict,
)

export type MppPolicy = {
  readonly dataCenters: readonly string[]
  readonly operatorAccounts: Readonly<Partial<Record<Currency, string>>>
  readonly settlementAccounts: Readonly<Record<string, string>>
  readonly creditLimitMinor: Readonly<Record<string, bigint>>
  readonly settlement: { readonly maxUnpaidMs: number; readonly retryMs: number }
  readonly payout: {
    readonly thresholdMinor: Readonly<Partial<Record<Currency, bigint>>>
    readonly maxAgeMs: number
    readonly retryMs: number
  }
}

/** Where the operator says nothing; the data centers are those of the host's credentials. Without accounts nothing is paid out. */
export const MPP_POLICY_DEFAULTS = {
  operatorAccounts: {},
  settlementAccounts: {},
  creditLimitMinor: {},
  settlement: { maxUnpaidMs: 1 * DAY, retryMs: 1 * MINUTE },
  payout: { thresholdMinor: {}, maxAgeMs: 30 * DAY, retryMs: 1 * MINUTE },
} as const satisfies Omit<MppPolicy, 'dataCenters'>

/** Where the operator set none: a thousand payments at the scheme's border, ten times a CPP's default settlement threshold. */
const DEFAULT_CREDIT_LIMIT_IN_M = 1_000n
/** Where the operator set none: thirty payments at the scheme's border. */
const DEFAULT_PAYOUT_IN_M = 30n

/** What `cpp` may owe in `currency` at most, in minor units. */
export const creditLimit = ({ creditLimitMinor }: MppPolicy, cpp: string, currency: Currency): bigint =>
  creditLimitMinor[`${cpp} ${currency}`] ??
  creditLimitMinor[cpp] ??
  creditLimitMinor[currency] ??
  DEFAULT_CREDIT_LIMIT_IN_M * CURRENCIES[currency].macroFromMinor

export const payoutThreshold = ({ payout }: MppPolicy, currency: Currency): bigint =>
  payout.thresholdMinor[currency] ?? DEFAULT_PAYOUT_IN_M * CURRENCIES[currency].macroFromMinor

export const settlementAccount = (
  { settlementAccounts }: MppPolicy,
  cpp: string,
  currency: Currency,
): string | undefined => settlementAccounts[`${cpp} ${currency}`] ?? settlementAccounts[cpp]
