/** What a CPP keeps of the currencies it exchanges: quotes it gave, and what it holds of each currency (see fx.ts). */
import type { Currency } from '../../protocol/amount.ts'
import { defineTable, type Table } from '../runtime/table.ts'

/** A quote that was given. Key: quoteId. */
export type QuoteRow = {
  readonly customer: string
  /** Of the invoice. */
  readonly currency: Currency
  readonly amountMinor: bigint
  readonly accountCurrency: Currency
  readonly accountAmountMinor: bigint
  readonly rateNumerator: bigint
  readonly rateDenominator: bigint
  readonly quotedAtMs: number
  readonly expiresAtMs: number
  /** The payment that was made on it. */
  readonly prId?: Uint8Array
}
export const quotes: Table<QuoteRow> = defineTable<QuoteRow>({
  name: 'fx-quotes',
  version: 1,
  fields: [
    'customer',
    'currency',
    'amountMinor',
    'accountCurrency',
    'accountAmountMinor',
    'rateNumerator',
    'rateDenominator',
    'quotedAtMs',
    'expiresAtMs',
    'prId',
  ],
})

/** What this CPP has bought of a currency from customers, less what it has paid payees in it. Key: currency. */
export type PositionRow = { readonly currency: Currency; readonly positionMinor: bigint }
export const positions: Table<PositionRow> = defineTable<PositionRow>({
  name: 'fx-positions',
  version: 1,
  fields: ['currency', 'positionMinor'],
})
