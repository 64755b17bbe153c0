/**
 * Aggregation of micropayments (design §2 "Micro", §5; decision 0002): when a payment is admitted, when it waits, and what
 * is collected from the customer's bank. Pure rules over three sums of one customer:
 *
 *   outstanding  confirmed and not yet collected (a running collection included)
 *   collecting   the part of outstanding that one running bank order is to bring in; 0 when none runs
 *   pending      admitted, its payee not yet heard
 *
 * Invariant: at each admission outstanding + pending + amount < θ as in force then, or outstanding + pending was 0 and the
 * one payment is below M. So a customer never owes θ or more, unless by a single payment.
 */
import { CURRENCIES, sumMinor, type Currency } from '../../protocol/amount.ts'

export type Standing = {
  readonly outstandingMinor: bigint
  readonly collectingMinor: bigint
  readonly pendingMinor: bigint
}
export const CLEAR: Standing = { outstandingMinor: 0n, collectingMinor: 0n, pendingMinor: 0n }

/** What a payment of some amount meets. `collectMinor` is 0 when no collection is to be ordered. */
export type Verdict = { readonly admit: boolean; readonly collectMinor: bigint }

/**
 * The rule. A payment that would carry the customer's debt to θ triggers a collection of exactly what is outstanding, and
 * waits; it is admitted once it fits, or once nothing is owed. While payments in flight make up most of the sum, the collection
 * waits for them too: else a string of crossings would order a string of tiny collections.
 */
export const judge = (standing: Standing, amountMinor: bigint, thresholdMinor: bigint): Verdict => {
  const { outstandingMinor, collectingMinor, pendingMinor } = standing
  const before = outstandingMinor + pendingMinor
  const crosses = before + amountMinor >= thresholdMinor
  const worthwhile = pendingMinor === 0n || 2n * outstandingMinor >= thresholdMinor
  const collects = crosses && outstandingMinor > 0n && collectingMinor === 0n && worthwhile
  return { admit: before === 0n || !crosses, collectMinor: collects ? outstandingMinor : 0n }
}

/** @throws RangeError when a rule above was broken: the node stops, since going on would make or lose money. */
const checked = <S extends Standing>(standing: S): S => {
  const { outstandingMinor, collectingMinor, pendingMinor } = standing
  if (outstandingMinor < 0n || pendingMinor < 0n || collectingMinor < 0n || collectingMinor > outstandingMinor)
    throw new RangeError(
      `impossible standing: outstanding ${outstandingMinor}, collecting ${collectingMinor}, pending ${pendingMinor}`,
    )
  sumMinor(outstandingMinor, pendingMinor)
  return standing
}

/** The notice goes out. */
export const admitted = <S extends Standing>(standing: S, amountMinor: bigint): S =>
  checked({ ...standing, pendingMinor: standing.pendingMinor + amountMinor })

/** The payee approved in time: the CPP is owed it from here on. */
export const confirmed = <S extends Standing>(standing: S, amountMinor: bigint): S =>
  checked({
    ...standing,
    pendingMinor: standing.pendingMinor - amountMinor,
    outstandingMinor: standing.outstandingMinor + amountMinor,
  })

/** Any other end after the notice went out. */
export const dropped = <S extends Standing>(standing: S, amountMinor: bigint): S =>
  checked({ ...standing, pendingMinor: standing.pendingMinor - amountMinor })

/** @throws RangeError when a collection runs already: two orders would take one debt twice. */
export const collectionOrdered = <S extends Standing>(standing: S): S => {
  if (standing.collectingMinor !== 0n || standing.outstandingMinor === 0n)
    throw new RangeError('a collection runs already, or there is nothing to collect')
  return checked({ ...standing, collectingMinor: standing.outstandingMinor })
}

export const collectionBooked = <S extends Standing>(standing: S): S =>
  checked({
    ...standing,
    outstandingMinor: standing.outstandingMinor - standing.collectingMinor,
    collectingMinor: 0n,
  })

/** The debt stays. */
export const collectionRefused = <S extends Standing>(standing: S): S => checked({ ...standing, collectingMinor: 0n })

/** What the operator gives up: never a part that a running collection may still bring in. */
export const writtenOff = <S extends Standing>(standing: S): { readonly standing: S; readonly amountMinor: bigint } => {
  const amountMinor = standing.outstandingMinor - standing.collectingMinor
  return { standing: checked({ ...standing, outstandingMinor: standing.collectingMinor }), amountMinor }
}

/** A refund is taken off what is owed, but never off a part that a running collection may still bring in. */
export const offset = <S extends Standing>(
  standing: S,
  refundMinor: bigint,
): { readonly standing: S; readonly offsetMinor: bigint } => {
  const freeMinor = standing.outstandingMinor - standing.collectingMinor
  const offsetMinor = refundMinor < freeMinor ? refundMinor : freeMinor
  return { standing: checked({ ...standing, outstandingMinor: standing.outstandingMinor - offsetMinor }), offsetMinor }
}

/** What a policy may know of a customer: no more than changes θ. */
export type CustomerProfile = {
  readonly currency: Currency
  /** θ that a job computed for this customer (`kmeans`); undefined before it ran. */
  readonly assignedThresholdMinor: bigint | undefined
}

/**
 * The policy of design §5, behind one interface; policies.ts makes them. It changes when debt is collected, never whether the bound
 * holds: every implementation only chooses θ in (0, M] and moments at which to collect early.
 */
export type AggregationPolicy = {
  /** θ for the next admission, in minor units. */
  readonly thresholdMinor: (profile: CustomerProfile) => bigint
  /** The latest time at which debt that began at `debtSinceMs` is collected, whatever its size. */
  readonly collectByMs: (debtSinceMs: number) => number
  /** The next moment, later than `nowMs`, at which this policy collects what it finds due: for debt that was due before the policy was set. */
  readonly nextMomentMs: (nowMs: number) => number
  /** Debt of this size is collected in the bulk order of its window; undefined for a policy that makes none. */
  readonly lowWaterMinor: (currency: Currency) => bigint | undefined
}

/** 0 < θ ≤ M: no policy may widen the scheme's bound. */
export const clampThreshold = (thresholdMinor: bigint, currency: Currency): bigint => {
  const { macroFromMinor } = CURRENCIES[currency]
  if (thresholdMinor < 1n) return 1n
  return thresholdMinor > macroFromMinor ? macroFromMinor : thresholdMinor
}
