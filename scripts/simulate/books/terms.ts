/**
 * What an operator has set, as its journalled policy row says it, read by the auditor itself: nothing here comes from the nodes'
 * own reading of a policy.
 */
import { CURRENCIES, type Currency } from '../../../protocol/amount.ts'

type Raw = {
  readonly operatorAccounts?: Readonly<Record<string, string>>
  readonly aggregation?: {
    readonly policy: string
    readonly thresholdMinor?: Readonly<Record<string, string>>
    readonly thetaMinMinor?: Readonly<Record<string, string>>
  }
  readonly fx?: {
    readonly rates: Readonly<Record<string, { readonly numerator: string; readonly denominator: string }>>
    readonly marginBps: number
  }
}
export type Terms = {
  /** In which this processor has an account of its own. */
  readonly currencies: readonly string[]
  readonly ownAccount: (currency: string) => string | undefined
  /** θ of a customer, in minor units. `assigned`: what k-means gave them. */
  readonly threshold: (currency: Currency, assigned: bigint | undefined) => bigint
  /** Is this the rate of a quote, the margin in it? */
  readonly isRate: (invoice: string, account: string, numerator: bigint, denominator: bigint) => boolean
}

export const readTerms = (policy: string): Terms => {
  const { operatorAccounts = {}, aggregation, fx } = JSON.parse(policy) as Raw
  const least = (a: bigint, b: bigint): bigint => (a < b ? a : b)
  return {
    currencies: Object.keys(operatorAccounts),
    ownAccount: (currency) => operatorAccounts[currency],
    threshold: (currency, assigned) => {
      const most = CURRENCIES[currency].macroFromMinor
      if (aggregation?.policy === 'kmeans' && assigned !== undefined) {
        const floor = least(BigInt(aggregation.thetaMinMinor?.[currency] ?? most / 10n), most)
        return least(assigned < floor ? floor : assigned, most)
      }
      return least(BigInt(aggregation?.thresholdMinor?.[currency] ?? most), most)
    },
    isRate: (invoice, account, numerator, denominator) => {
      const base = fx?.rates[`${invoice} ${account}`]
      if (fx === undefined || base === undefined) return false
      const withMargin = BigInt(base.numerator) * (10_000n + BigInt(fx.marginBps))
      return numerator * BigInt(base.denominator) * 10_000n === denominator * withMargin
    },
  }
}

/** ⌈amount · rate⌉ in the minor unit of the account's currency. */
export const costAt = (
  amountMinor: bigint,
  invoice: Currency,
  account: Currency,
  numerator: bigint,
  denominator: bigint,
): bigint => {
  const top = amountMinor * numerator * 10n ** BigInt(CURRENCIES[account].scale)
  const bottom = denominator * 10n ** BigInt(CURRENCIES[invoice].scale)
  return top / bottom + (top % bottom === 0n ? 0n : 1n)
}
