/** What the operator of a CPP decides: a journalled row, changed by operator events only. */
import type { Currency } from '../../protocol/amount.ts'
import { Type, type Static } from '../../protocol/fields.ts'
import { ACCOUNT_ID_PATTERN, NODE_ID_PATTERN } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { AggregationSettings } from './policies.ts'
import { currencies, DAY, duration, HOUR, MINUTE, money, perCurrency, strict } from './policy-fields.ts'

const nodeId = Type.String({ pattern: NODE_ID_PATTERN, maxLength: 63 })
const account = Type.String({ pattern: ACCOUNT_ID_PATTERN, maxLength: 120 })
/** So that a rate with its margin still fits the message that tells it. */
const MAX_RATE_PART = 1_000_000_000_000n
const rate = Type.Object(
  {
    numerator: Type.BigInt({ minimum: 1n, maximum: MAX_RATE_PART }),
    denominator: Type.BigInt({ minimum: 1n, maximum: MAX_RATE_PART }),
  },
  strict,
)
const mppAndCurrency = `${NODE_ID_PATTERN.slice(0, -1)}( (${currencies}))?$`

export const CppPolicy = Type.Object(
  {
    /** Data-center hosts of the own realm: processor and aliases are registered at every one. */
    dataCenters: Type.Array(nodeId, { minItems: 1, maxItems: 64 }),
    /** The CPP's own account for each currency it serves: collections go to it, settlements leave it. */
    operatorAccounts: perCurrency(account),
    /** Where an MPP is settled: under `<mpp> <currency>`, or under `<mpp>` for every currency. */
    settlementAccounts: Type.Record(Type.String({ pattern: mppAndCurrency }), account, strict),
    noticeLifetimeMs: Type.Integer({ minimum: 100, maximum: LIMITS.maxTransLifetimeMs }),
    aggregation: AggregationSettings,
    collectionRetry: Type.Object(
      {
        /** How long after a refused collection it is ordered again; doubled at each further refusal. */
        firstMs: duration,
        /** The longest of these waits. */
        maxMs: duration,
        /** Refusals in a row after which only the operator collects. 0: always. */
        maxRetries: Type.Integer({ minimum: 0, maximum: 100 }),
      },
      strict,
    ),
    settlement: Type.Object(
      {
        /** The total of a pair's entries outside any batch at which one is opened. */
        thresholdMinor: perCurrency(money),
        /** The age of the oldest such entry at which one is opened. */
        maxAgeMs: duration,
        /** Opened at the end of each window that left such entries: windows begin at multiples of this. Absent: no windows. */
        windowMs: Type.Optional(duration),
        /** How long after a refused settlement transfer the next one is ordered. */
        retryMs: duration,
      },
      strict,
    ),
    fx: Type.Object(
      {
        /** `"EUR HUF": 400/1`: an invoice of 1 EUR costs an account in HUF 400, before the margin. What is not listed is not exchanged. */
        rates: Type.Record(Type.String({ pattern: `^(${currencies}) (${currencies})$` }), rate, strict),
        /** What the CPP keeps, in hundredths of a percent of the rate. */
        marginBps: Type.Integer({ minimum: 0, maximum: 10_000 }),
        quoteLifetimeMs: Type.Integer({ minimum: 100, maximum: LIMITS.maxTransLifetimeMs }),
        /** How long after a refused transfer from the customer's account, of a payment that the payee has, the next one is ordered. */
        retryMs: duration,
      },
      strict,
    ),
  },
  strict,
)
export type CppPolicy = Static<typeof CppPolicy>

/** Settlement thresholds where the operator set none: a hundred payments at the scheme's border M. */
export const DEFAULT_SETTLEMENT_MINOR: Readonly<Record<Currency, bigint>> = {
  EUR: 100_000n,
  USD: 100_000n,
  GBP: 100_000n,
  HUF: 40_000_000n,
  JPY: 150_000n,
}

/** Everything but what names this network's data centers and accounts. */
export const DEFAULT_CPP_POLICY: Omit<CppPolicy, 'dataCenters' | 'operatorAccounts' | 'settlementAccounts'> = {
  noticeLifetimeMs: LIMITS.defaultNoticeLifetimeMs,
  aggregation: { policy: 'threshold' },
  collectionRetry: { firstMs: HOUR, maxMs: 7 * DAY, maxRetries: 12 },
  settlement: { thresholdMinor: {}, maxAgeMs: DAY, retryMs: MINUTE },
  fx: { rates: {}, marginBps: 0, quoteLifetimeMs: MINUTE, retryMs: HOUR },
}

export const settlementThreshold = (policy: CppPolicy, currency: Currency): bigint =>
  policy.settlement.thresholdMinor[currency] ?? DEFAULT_SETTLEMENT_MINOR[currency]

/**
 * When a range whose first entry came at `sinceMs` is settled at the latest: at its age, or at the end of the window that holds
 * that entry, whichever is first. Windows are aligned, so all pairs of a CPP are settled at the same moments.
 */
export const settlementDueMs = ({ settlement: { maxAgeMs, windowMs } }: CppPolicy, sinceMs: number): number => {
  const atAge = sinceMs + maxAgeMs
  return windowMs === undefined ? atAge : Math.min(atAge, (Math.floor(sinceMs / windowMs) + 1) * windowMs)
}

export const settlementAccount = (policy: CppPolicy, mpp: string, currency: Currency): string | undefined =>
  policy.settlementAccounts[`${mpp} ${currency}`] ?? policy.settlementAccounts[mpp]
