import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CURRENCIES, CURRENCY_CODES, MAX_PAYMENT_MINOR, type Currency } from './amount.ts'
import { convertUp } from './exchange-rate.ts'

describe('an amount in another currency', () => {
  const rows: readonly (readonly [bigint, Currency, Currency, bigint, bigint, bigint])[] = [
    [1n, 'EUR', 'HUF', 400n, 1n, 400n],
    [120n, 'EUR', 'HUF', 400n, 1n, 48_000n],
    // 0.01 HUF at 1/400 is 0.000025 EUR: a whole cent, never nothing.
    [1n, 'HUF', 'EUR', 1n, 400n, 1n],
    [40_000n, 'HUF', 'EUR', 1n, 400n, 100n],
    [40_001n, 'HUF', 'EUR', 1n, 400n, 101n],
    // Yen have no decimals.
    [100n, 'EUR', 'JPY', 150n, 1n, 150n],
    [1n, 'EUR', 'JPY', 150n, 1n, 2n],
    [150n, 'JPY', 'EUR', 1n, 150n, 100n],
    [1n, 'JPY', 'EUR', 1n, 150n, 1n],
    [1n, 'JPY', 'HUF', 8n, 3n, 267n],
  ]
  it.each(rows)('%s %s in %s at %s/%s is %s', (amount, from, to, numerator, denominator, expected) => {
    expect(convertUp(amount, from, to, { numerator, denominator })).toBe(expected)
  })

  const part = fc.bigInt({ min: 1n, max: 1_000_000_000_000n })
  it('is at least what the rate says, by less than one minor unit more, and never zero', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 1n, max: MAX_PAYMENT_MINOR }),
        fc.constantFrom(...CURRENCY_CODES),
        fc.constantFrom(...CURRENCY_CODES),
        part,
        part,
        (amount, from, to, numerator, denominator) => {
          const cost = convertUp(amount, from, to, { numerator, denominator })
          // Compared as fractions: amount/10^from × numerator/denominator against cost/10^to.
          const unit = 10n ** BigInt(CURRENCIES[from].scale) * denominator
          const exact = amount * numerator * 10n ** BigInt(CURRENCIES[to].scale)
          expect(cost > 0n && cost * unit >= exact && (cost - 1n) * unit < exact).toBe(true)
        },
      ),
    )
  })

  it.each([
    [0n, 1n, 1n],
    [-1n, 1n, 1n],
    [1n, 0n, 1n],
    [1n, 1n, 0n],
    [1n, -1n, 1n],
  ])('refuses %s at %s/%s', (amount, numerator, denominator) => {
    expect(() => convertUp(amount, 'EUR', 'HUF', { numerator, denominator })).toThrow(RangeError)
  })
})
