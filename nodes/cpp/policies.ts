/**
 * The aggregation policies (design §5), each a maker of the one pure interface of aggregation.ts from its settings:
 *
 *   threshold  debt is collected when a payment would carry it to θ; one θ for everyone, M unless set lower
 *   window     the same, and everybody's debt at the end of each aligned window
 *   bulk       the same, and at the end of each aligned window everybody whose debt has reached a low-water mark, in one order a bank
 *   kmeans     θ of each customer from a table that a job computes (kmeans.ts); `threshold` for whom it has no θ
 *
 * Invariant: 0 < θ ≤ M, and whatever is owed has a moment at which it is collected.
 */
import { CURRENCIES, type Currency } from '../../protocol/amount.ts'
import { Optional, Type, type Static } from '../../protocol/fields.ts'
import { clampThreshold, type AggregationPolicy } from './aggregation.ts'
import { DAY, duration, money, perCurrency, strict } from './policy-fields.ts'

const common = {
  /** θ per currency, lower than M; M where absent. */
  thresholdMinor: Optional(perCurrency(money)),
  /** Debt that never crosses θ is collected at this age; 30 days where absent. */
  maxDebtAgeMs: Optional(duration),
}
const windowMs = Optional(Type.Integer({ minimum: 1_000, maximum: 366 * DAY }))

const Threshold = Type.Object({ policy: Type.Literal('threshold'), ...common }, strict)
const Window = Type.Object(
  {
    policy: Type.Literal('window'),
    ...common,
    /** W: windows begin at whole multiples of it; a day where absent. */
    windowMs,
  },
  strict,
)
const Bulk = Type.Object(
  {
    policy: Type.Literal('bulk'),
    ...common,
    windowMs,
    /** Debt of at least this much joins the window's order; a fifth of M where absent. */
    lowWaterMinor: Optional(perCurrency(money)),
  },
  strict,
)
const Kmeans = Type.Object(
  {
    policy: Type.Literal('kmeans'),
    ...common,
    /** f: what one collection costs; a hundredth of M where absent. */
    feeMinor: Optional(perCurrency(money)),
    /** δ that a customer is taken to have before anything is known: the chance a day that what is owed is lost. */
    defaultHazardPerDay: Optional(Type.Number({ minimum: 0, maximum: 1 })),
    /** r: what money that is not collected yet costs. */
    fundingRatePerYear: Optional(Type.Number({ minimum: 0, maximum: 10 })),
    /** θmin; a tenth of M where absent. */
    thetaMinMinor: Optional(perCurrency(money)),
    recomputeEveryMs: Optional(Type.Integer({ minimum: 1_000, maximum: 366 * DAY })),
    /** With fewer customers of a currency that have paid often enough, the policy is `threshold`. */
    minCustomers: Optional(Type.Integer({ minimum: 2, maximum: 1_000_000 })),
    maxK: Optional(Type.Integer({ minimum: 2, maximum: 16 })),
    /** Of the clustering: the same ledger and the same seed give the same table. */
    seed: Optional(Type.Integer({ minimum: 0, maximum: 0xffff_ffff })),
  },
  strict,
)

export const AggregationSettings = Type.Union([Threshold, Window, Bulk, Kmeans])
/** A policy's settings, as the operator's policy row holds them. */
export type AggregationSettings = Static<typeof AggregationSettings>
export type PolicyName = AggregationSettings['policy']
export type KmeansSettings = Static<typeof Kmeans>
type Of<P extends PolicyName> = Extract<AggregationSettings, { readonly policy: P }>

export const DEFAULT_MAX_DEBT_AGE_MS = 30 * DAY
const DEFAULT_WINDOW_MS = DAY

const macroFrom = (currency: Currency): bigint => CURRENCIES[currency].macroFromMinor

/** The end of the aligned window that `atMs` lies in: always later than it. */
export const windowEnd = (atMs: number, lengthMs: number): number => (Math.floor(atMs / lengthMs) + 1) * lengthMs

/** The paper's: one θ for everyone. What the others build on. */
const threshold = (settings: AggregationSettings): AggregationPolicy => {
  const { thresholdMinor = {}, maxDebtAgeMs = DEFAULT_MAX_DEBT_AGE_MS } = settings
  return {
    thresholdMinor: ({ currency }) => clampThreshold(thresholdMinor[currency] ?? macroFrom(currency), currency),
    collectByMs: (debtSinceMs) => debtSinceMs + maxDebtAgeMs,
    nextMomentMs: (nowMs) => nowMs + 1,
    lowWaterMinor: () => undefined,
  }
}

const window = (settings: Of<'window'>): AggregationPolicy => {
  const base = threshold(settings)
  const { windowMs: length = DEFAULT_WINDOW_MS } = settings
  return {
    ...base,
    collectByMs: (debtSinceMs) => Math.min(windowEnd(debtSinceMs, length), base.collectByMs(debtSinceMs)),
    nextMomentMs: (nowMs) => windowEnd(nowMs, length),
  }
}

const bulk = (settings: Of<'bulk'>): AggregationPolicy => {
  const { windowMs: length = DEFAULT_WINDOW_MS, lowWaterMinor = {} } = settings
  return {
    ...threshold(settings),
    nextMomentMs: (nowMs) => windowEnd(nowMs, length),
    lowWaterMinor: (currency) => lowWaterMinor[currency] ?? macroFrom(currency) / 5n,
  }
}

/** What a k-means recomputation of one currency goes by: every setting with its default. */
export const thetaTerms = (settings: KmeansSettings, currency: Currency) => ({
  feeMinor: settings.feeMinor?.[currency] ?? macroFrom(currency) / 100n,
  defaultHazardPerDay: settings.defaultHazardPerDay ?? 0.000_5,
  fundingRatePerYear: settings.fundingRatePerYear ?? 0.05,
  thetaMinMinor: clampThreshold(settings.thetaMinMinor?.[currency] ?? macroFrom(currency) / 10n, currency),
  thetaMaxMinor: macroFrom(currency),
  minCustomers: settings.minCustomers ?? 50,
  maxK: settings.maxK ?? 8,
})
export const recomputeEveryMs = (settings: KmeansSettings): number => settings.recomputeEveryMs ?? DAY

const kmeans = (settings: Of<'kmeans'>): AggregationPolicy => {
  const base = threshold(settings)
  return {
    ...base,
    thresholdMinor: (profile) => {
      const { currency, assignedThresholdMinor } = profile
      if (assignedThresholdMinor === undefined) return base.thresholdMinor(profile)
      const { thetaMinMinor } = thetaTerms(settings, currency)
      return clampThreshold(assignedThresholdMinor < thetaMinMinor ? thetaMinMinor : assignedThresholdMinor, currency)
    },
  }
}

/** One maker for each policy that settings may name: the compiler demands it. */
const POLICIES: { readonly [P in PolicyName]: (settings: Of<P>) => AggregationPolicy } = {
  threshold,
  window,
  bulk,
  kmeans,
}
const make = (settings: AggregationSettings): AggregationPolicy =>
  (POLICIES[settings.policy] as (given: AggregationSettings) => AggregationPolicy)(settings)

/** Asked several times a payment: made once for each row of settings. */
const made = new WeakMap<AggregationSettings, AggregationPolicy>()

export const aggregationPolicy = (settings: AggregationSettings): AggregationPolicy => {
  let found = made.get(settings)
  if (found === undefined) made.set(settings, (found = make(settings)))
  return found
}
