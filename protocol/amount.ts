/**
 * Money is an integer of minor units with a currency. Nothing here or anywhere else in the project computes with floats.
 */

/** ISO 4217 code → how many decimal digits a minor unit stands for, and M, the scheme's border of micropayments. */
export const CURRENCIES = {
  EUR: { scale: 2, macroFromMinor: 1_000n },
  USD: { scale: 2, macroFromMinor: 1_000n },
  GBP: { scale: 2, macroFromMinor: 1_000n },
  HUF: { scale: 2, macroFromMinor: 400_000n },
  JPY: { scale: 0, macroFromMinor: 1_500n },
} as const satisfies Record<string, { readonly scale: number; readonly macroFromMinor: bigint }>

export type Currency = keyof typeof CURRENCIES
export const CURRENCY_CODES = Object.keys(CURRENCIES) as readonly Currency[]
export const isCurrency = (text: string): text is Currency => Object.hasOwn(CURRENCIES, text)

/** The largest amount of one payment, and the largest magnitude of any sum kept in a ledger row. */
export const MAX_PAYMENT_MINOR = 100_000_000_000n
export const MAX_TOTAL_MINOR = 1n << 60n

export type PaymentMode = 'micro' | 'macro'

/** Macro iff amount ≥ M: a constant of the scheme, so that CPP and MPP agree without asking (design §2). */
export const modeOf = (amountMinor: bigint, currency: Currency): PaymentMode =>
  amountMinor >= CURRENCIES[currency].macroFromMinor ? 'macro' : 'micro'

export type AmountProblem = 'not a decimal number' | 'too many decimals' | 'zero or negative' | 'over the limit'

/** `'1.20'`, `'EUR'` → `120n`. Decimal text only: no exponent, no sign, no thousands separator. */
export const parseAmount = (
  text: string,
  currency: Currency,
): { readonly ok: true; readonly amountMinor: bigint } | { readonly ok: false; readonly problem: AmountProblem } => {
  const { scale } = CURRENCIES[currency]
  if (/^-\d+(\.\d+)?$/.test(text)) return { ok: false, problem: 'zero or negative' }
  const match = /^(\d{1,15})(?:\.(\d{1,9}))?$/.exec(text)
  if (match === null) return { ok: false, problem: 'not a decimal number' }
  const fraction = match[2] ?? ''
  if (fraction.length > scale) return { ok: false, problem: 'too many decimals' }
  const amountMinor = BigInt(`${match[1]}${fraction.padEnd(scale, '0')}`)
  if (amountMinor <= 0n) return { ok: false, problem: 'zero or negative' }
  if (amountMinor > MAX_PAYMENT_MINOR) return { ok: false, problem: 'over the limit' }
  return { ok: true, amountMinor }
}

/** `120n`, `'EUR'` → `'1.20'`. */
export const formatAmount = (amountMinor: bigint, currency: Currency): string => {
  const { scale } = CURRENCIES[currency]
  const sign = amountMinor < 0n ? '-' : ''
  const digits = (amountMinor < 0n ? -amountMinor : amountMinor).toString().padStart(scale + 1, '0')
  return scale === 0 ? sign + digits : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

/** A sum that left the range every ledger row promises. It stops the node: going on would make money. */
export class AmountOverflow extends RangeError {
  constructor(value: bigint) {
    super(`a total of ${value} minor units is beyond ±${MAX_TOTAL_MINOR}`)
    this.name = 'AmountOverflow'
  }
}

/** Adds up minor units, checked. @throws AmountOverflow */
export const sumMinor = (...terms: readonly bigint[]): bigint => {
  let total = 0n
  for (const term of terms) total += term
  if (total > MAX_TOTAL_MINOR || total < -MAX_TOTAL_MINOR) throw new AmountOverflow(total)
  return total
}
