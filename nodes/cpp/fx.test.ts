import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MAX_PAYMENT_MINOR } from '../../protocol/amount.ts'
import { convertUp } from '../../protocol/exchange-rate.ts'
import { accountAmountOfRefund, costOf, quote, quoteProblem, rateOf } from './fx.ts'
import type { CppPolicy } from './policy.ts'
import type { QuoteRow } from './state-fx.ts'
import { testPolicy } from './testing/world.ts'

const NOW = 1_000_000
const policy = (fx: Partial<CppPolicy['fx']> = {}): CppPolicy =>
  testPolicy({
    fx: {
      rates: { 'EUR HUF': { numerator: 400n, denominator: 1n } },
      marginBps: 50,
      quoteLifetimeMs: 60_000,
      retryMs: 1,
      ...fx,
    },
  })
const wanted = { customer: 'hu-eva', currency: 'EUR', amountMinor: 120n } as const

describe('a rate', () => {
  it('bears the margin, in lowest terms', () => {
    expect(rateOf(policy(), 'EUR', 'HUF')).toEqual({ numerator: 402n, denominator: 1n })
    expect(rateOf(policy({ marginBps: 0 }), 'EUR', 'HUF')).toEqual({ numerator: 400n, denominator: 1n })
    expect(rateOf(policy({ marginBps: 1 }), 'EUR', 'HUF')).toEqual({ numerator: 10_001n, denominator: 25n })
  })
  it('serves one direction only', () => {
    expect(rateOf(policy(), 'HUF', 'EUR')).toBeUndefined()
  })
  it('never grows past what the message can tell', () => {
    const most = 1_000_000_000_000n
    const extreme = policy({ rates: { 'EUR HUF': { numerator: most, denominator: most - 1n } }, marginBps: 9_999 })
    const { numerator, denominator } = rateOf(extreme, 'EUR', 'HUF') ?? { numerator: 0n, denominator: 0n }
    expect(numerator < 1n << 60n && denominator < 1n << 60n).toBe(true)
  })
})

describe('a quote', () => {
  it('is the amount at the rate, rounded up, for its lifetime', () => {
    expect(quote(wanted, 'HUF', { policy: policy(), nowMs: NOW })).toEqual({
      ok: true,
      value: {
        ...wanted,
        accountCurrency: 'HUF',
        accountAmountMinor: 48_240n,
        rateNumerator: 402n,
        rateDenominator: 1n,
        quotedAtMs: NOW,
        expiresAtMs: NOW + 60_000,
      },
    })
  })
  it.each([
    ['the currency of the account', 'EUR', policy(), 120n, 'CURRENCY_UNSUPPORTED'],
    ['no rate', 'GBP', policy(), 120n, 'CURRENCY_UNSUPPORTED'],
    [
      'no account of its own to pay from',
      'HUF',
      { ...policy(), operatorAccounts: { HUF: 'hu-kh:otp-huf' } },
      120n,
      'CURRENCY_UNSUPPORTED',
    ],
    [
      'no account of its own to be paid to',
      'HUF',
      { ...policy(), operatorAccounts: { EUR: 'hu-kh:otp-eur' } },
      120n,
      'CURRENCY_UNSUPPORTED',
    ],
    ['more than one payment may cost', 'HUF', policy(), MAX_PAYMENT_MINOR / 400n, 'AMOUNT_INVALID'],
  ] as const)('%s', (_, account, given, amountMinor, code) => {
    const made = quote({ ...wanted, amountMinor }, account, { policy: given, nowMs: NOW })
    expect(made.ok ? undefined : made.failure.code).toBe(code)
  })
  it('is charged whatever its amount: the reader of the message computes the same', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 1n, max: 10_000_000n }),
        fc.bigInt({ min: 1n, max: 1_000_000n }),
        fc.bigInt({ min: 1n, max: 1_000_000n }),
        fc.nat({ max: 10_000 }),
        (amountMinor, numerator, denominator, marginBps) => {
          const given = policy({ rates: { 'EUR HUF': { numerator, denominator } }, marginBps })
          const made = quote({ ...wanted, amountMinor }, 'HUF', { policy: given, nowMs: NOW })
          if (!made.ok) return
          const { rateNumerator, rateDenominator, accountAmountMinor } = made.value
          const told = { numerator: rateNumerator, denominator: rateDenominator }
          expect(accountAmountMinor).toBe(convertUp(amountMinor, 'EUR', 'HUF', told))
        },
      ),
    )
  })
})

describe('a payment on a quote: one row for each check, in their order', () => {
  const given: QuoteRow = {
    ...wanted,
    accountCurrency: 'HUF',
    accountAmountMinor: 48_240n,
    rateNumerator: 402n,
    rateDenominator: 1n,
    quotedAtMs: NOW,
    expiresAtMs: NOW + 10,
  }
  const used = { ...given, prId: new Uint8Array(16) }
  const expired = { ...given, expiresAtMs: NOW }
  it.each([
    ['QUOTE_UNKNOWN', undefined, wanted, 'HUF'],
    ['QUOTE_UNKNOWN', { ...used, customer: 'hu-eve' }, wanted, 'HUF'],
    ['QUOTE_USED', { ...expired, prId: new Uint8Array(16) }, wanted, 'HUF'],
    ['QUOTE_EXPIRED', expired, { ...wanted, amountMinor: 121n }, 'HUF'],
    ['QUOTE_MISMATCH', given, { ...wanted, amountMinor: 121n }, 'HUF'],
    ['QUOTE_MISMATCH', given, { ...wanted, amountMinor: 119n }, 'HUF'],
    ['QUOTE_MISMATCH', given, { ...wanted, currency: 'USD' }, 'HUF'],
    ['QUOTE_MISMATCH', given, wanted, 'GBP'],
    [undefined, given, wanted, 'HUF'],
  ] as const)('%s', (code, row, payment, account) => {
    expect(quoteProblem(row, payment, account, NOW)).toBe(code)
  })
})

describe('a refund in the account’s currency', () => {
  const charged = { amountMinor: 300n, currency: 'EUR', accountAmountMinor: 100n, accountCurrency: 'HUF' } as const
  it('follows the rate that was charged, cumulatively', () => {
    expect([1n, 2n, 3n].map((n) => accountAmountOfRefund(charged, n - 1n, 1n))).toEqual([0n, 0n, 1n])
    expect(accountAmountOfRefund(charged, 0n, 300n)).toBe(100n)
  })
  it('is the amount itself where nothing was exchanged', () => {
    expect(accountAmountOfRefund({ amountMinor: 300n, currency: 'EUR' }, 100n, 50n)).toBe(50n)
    expect(costOf({ amountMinor: 300n, currency: 'EUR' })).toEqual({ amountMinor: 300n, currency: 'EUR' })
  })
  it('any refunds that add up to the payment give back exactly what was charged, and none too much before', () => {
    fc.assert(
      fc.property(
        fc.array(fc.bigInt({ min: 1n, max: 1_000_000n }), { minLength: 1, maxLength: 20 }),
        fc.bigInt({ min: 1n, max: MAX_PAYMENT_MINOR }),
        (parts, accountAmountMinor) => {
          const amountMinor = parts.reduce((sum, part) => sum + part, 0n)
          const payment = { ...charged, amountMinor, accountAmountMinor }
          let refunded = 0n
          let returned = 0n
          for (const part of parts) {
            const back = accountAmountOfRefund(payment, refunded, part)
            refunded += part
            returned += back
            expect(back >= 0n && returned * amountMinor <= refunded * accountAmountMinor).toBe(true)
          }
          expect(returned).toBe(accountAmountMinor)
        },
      ),
    )
  })
  it.each([
    [0n, 0n],
    [0n, -1n],
    [-1n, 1n],
    [0n, 301n],
    [300n, 1n],
  ])('of %s and then %s is none', (before, amount) => {
    expect(() => accountAmountOfRefund(charged, before, amount)).toThrow(RangeError)
  })
})
