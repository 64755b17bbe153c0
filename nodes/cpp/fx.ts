/**
 * Payments by a customer whose account is in another currency than the invoice (SPEC "Currencies"). The CPP sells the invoice's
 * currency and buys the account's: payee, MPP and settlement see the invoice's alone, customer and collections the account's alone,
 * and what stands between them is the CPP's position.
 *
 * Invariants: a customer is charged exactly what they were quoted; the position in a currency is what was bought of it less what was
 * sold; refunds that add up to the payment give back exactly what was charged.
 */
import { MAX_PAYMENT_MINOR, sumMinor, type Currency } from '../../protocol/amount.ts'
import { convertUp, type ExchangeRate } from '../../protocol/exchange-rate.ts'
import { fail, ok, type FailureCode, type Result } from '../../protocol/failures.ts'
import { put, type Posting } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import type { CppPolicy } from './policy.ts'
import type { PaymentRow } from './state.ts'
import { positions, type PositionRow, type QuoteRow } from './state-fx.ts'

const BPS = 10_000n

/** The rate of the policy with its margin, in lowest terms; undefined: not exchanged. */
export const rateOf = ({ fx }: CppPolicy, invoice: Currency, account: Currency): ExchangeRate | undefined => {
  const base = fx.rates[`${invoice} ${account}`]
  if (base === undefined) return undefined
  const numerator = base.numerator * (BPS + BigInt(fx.marginBps))
  const denominator = base.denominator * BPS
  const common = commonDivisor(numerator, denominator)
  return { numerator: numerator / common, denominator: denominator / common }
}

const commonDivisor = (a: bigint, b: bigint): bigint => (b === 0n ? a : commonDivisor(b, a % b))

/** What a quote is asked for. Amounts above zero, in minor units. */
export type Wanted = { readonly customer: string; readonly currency: Currency; readonly amountMinor: bigint }

/**
 * A quote, good from now on for the policy's lifetime. Checks, in order: an exchange is wanted, the CPP has an account in both
 * currencies and a rate (CURRENCY_UNSUPPORTED), the cost is one that a payment may have (AMOUNT_INVALID).
 */
export const quote = (
  { customer, currency, amountMinor }: Wanted,
  accountCurrency: Currency,
  { policy, nowMs }: { readonly policy: CppPolicy; readonly nowMs: number },
): Result<QuoteRow> => {
  const { operatorAccounts, fx } = policy
  if (currency === accountCurrency) return fail('CURRENCY_UNSUPPORTED', 'the account is in this currency')
  const rate = rateOf(policy, currency, accountCurrency)
  if (rate === undefined || operatorAccounts[currency] === undefined || operatorAccounts[accountCurrency] === undefined)
    return fail('CURRENCY_UNSUPPORTED', 'no rate')
  const accountAmountMinor = convertUp(amountMinor, currency, accountCurrency, rate)
  if (accountAmountMinor > MAX_PAYMENT_MINOR) return fail('AMOUNT_INVALID', 'costs more than one payment may')
  return ok({
    customer,
    currency,
    amountMinor,
    accountCurrency,
    accountAmountMinor,
    rateNumerator: rate.numerator,
    rateDenominator: rate.denominator,
    quotedAtMs: nowMs,
    expiresAtMs: nowMs + fx.quoteLifetimeMs,
  })
}

/**
 * May this payment be made on the quote it names? Checks, in order: QUOTE_UNKNOWN (none, or another customer's: whose, is nobody's
 * business), QUOTE_USED, QUOTE_EXPIRED, QUOTE_MISMATCH (amount, invoice's currency, account's currency).
 */
export const quoteProblem = (
  given: QuoteRow | undefined,
  { customer, currency, amountMinor }: Wanted,
  accountCurrency: Currency,
  nowMs: number,
): FailureCode | undefined => {
  if (given === undefined || given.customer !== customer) return 'QUOTE_UNKNOWN'
  if (given.prId !== undefined) return 'QUOTE_USED'
  if (given.expiresAtMs <= nowMs) return 'QUOTE_EXPIRED'
  const fits =
    given.amountMinor === amountMinor && given.currency === currency && given.accountCurrency === accountCurrency
  return fits ? undefined : 'QUOTE_MISMATCH'
}

type Charged = Pick<PaymentRow, 'amountMinor' | 'currency' | 'accountAmountMinor' | 'accountCurrency'>

/** What the customer is charged for a payment, in the currency of their account. */
export const costOf = (payment: Charged): { readonly amountMinor: bigint; readonly currency: Currency } => ({
  amountMinor: payment.accountAmountMinor ?? payment.amountMinor,
  currency: payment.accountCurrency ?? payment.currency,
})

export const isExchanged = (payment: Charged): boolean => payment.accountCurrency !== undefined

/**
 * What a customer gets back for a refund of `amountMinor`, in minor units of their account's currency. Cumulative, rounded down:
 * after any refunds they have their share of the charge to the last whole minor unit, and after the full one exactly the charge. So one
 * small refund may give nothing, and a later one gives it too.
 * @param refundedSoFarMinor Σ earlier refunds of the payment, in the invoice's currency
 * @throws RangeError when the refunds would be over the payment, or this one is not above zero
 */
export const accountAmountOfRefund = (payment: Charged, refundedSoFarMinor: bigint, amountMinor: bigint): bigint => {
  const after = refundedSoFarMinor + amountMinor
  if (refundedSoFarMinor < 0n || amountMinor <= 0n || after > payment.amountMinor)
    throw new RangeError(
      `a refund of ${amountMinor} after ${refundedSoFarMinor} of a payment of ${payment.amountMinor}`,
    )
  const charged = costOf(payment).amountMinor
  return (after * charged) / payment.amountMinor - (refundedSoFarMinor * charged) / payment.amountMinor
}

/** The positions that a payment moves; undefined for one in the account's own currency. */
export type Exchange = { readonly sold: PositionRow; readonly bought: PositionRow }

/**
 * The CPP pays `soldMinor` of the invoice's currency and is owed `boughtMinor` of the account's. The legs of customer and payee are the
 * caller's; both negative: a refund.
 */
export const exchanged = (
  { sold, bought }: Exchange,
  { soldMinor, boughtMinor }: { readonly soldMinor: bigint; readonly boughtMinor: bigint },
) => ({
  writes: [
    put(positions, keyOf(sold.currency), { ...sold, positionMinor: sumMinor(sold.positionMinor, -soldMinor) }),
    put(positions, keyOf(bought.currency), { ...bought, positionMinor: sumMinor(bought.positionMinor, boughtMinor) }),
  ],
  postings: [
    { account: positionAccount(sold.currency), currency: sold.currency, amountMinor: -soldMinor },
    { account: positionAccount(bought.currency), currency: bought.currency, amountMinor: boughtMinor },
  ] satisfies readonly Posting[],
})

export const positionAccount = (currency: Currency): string => `fx:${currency}`
