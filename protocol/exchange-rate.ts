/**
 * Money of one currency as money of another (SPEC "Currencies"). A rate is a fraction of integers: units of the account's currency
 * for one unit of the invoice's, units as people write them (1 EUR, 1 HUF, 1 JPY).
 *
 * Invariant: what is charged is never less than the rate says, by less than one minor unit of the account's currency more,
 * and never zero; who knows rate and amount computes the same.
 */
import { CURRENCIES, type Currency } from './amount.ts'

export type ExchangeRate = { readonly numerator: bigint; readonly denominator: bigint }

/**
 * `1n` EUR cent at 400/1 → `400n` fillér. Rounded up to the minor unit of `to`.
 * @param amountMinor of `from`, above zero
 * @throws RangeError for an amount, numerator or denominator that is not above zero: callers have checked theirs
 */
export const convertUp = (
  amountMinor: bigint,
  from: Currency,
  to: Currency,
  { numerator, denominator }: ExchangeRate,
): bigint => {
  if (amountMinor <= 0n || numerator <= 0n || denominator <= 0n)
    throw new RangeError(`cannot convert ${amountMinor} at ${numerator}/${denominator}`)
  const dividend = amountMinor * numerator * 10n ** BigInt(CURRENCIES[to].scale)
  const divisor = denominator * 10n ** BigInt(CURRENCIES[from].scale)
  return (dividend + divisor - 1n) / divisor
}
