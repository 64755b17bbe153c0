/**
 * The rules of clearing, as functions of positions, reserves and a queue. Invariant: a debtor's orders are posted in the
 * order they came, each whole or not at all, and never past its reserve.
 */
import { MAX_TOTAL_MINOR, type Currency } from '../../protocol/amount.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { clearingAccount, freeMinor, internalAccount, isCovering, reserveAccount } from './accounts.ts'
import type { Books, Leg } from './books.ts'
import type { AccountRow, ClearingItem, SettlementRow } from './state.ts'

export type DueItems = { readonly currency: Currency; readonly items: readonly ClearingItem[] }

/** What this bank owes others and has not ordered yet, by currency, in orders of at most `LIMITS.maxClearingItems`. */
export const duePositions = (positions: Iterable<AccountRow>): readonly DueItems[] => {
  const byCurrency = new Map<Currency, ClearingItem[]>()
  for (const row of positions) {
    const bank = internalAccount(row.account)?.bank
    const amountMinor = freeMinor(row)
    if (bank === undefined || amountMinor <= 0n) continue
    const items = byCurrency.get(row.currency) ?? []
    items.push({ bank, amountMinor })
    byCurrency.set(row.currency, items)
  }
  return [...byCurrency].flatMap(([currency, items]) =>
    Array.from({ length: Math.ceil(items.length / LIMITS.maxClearingItems) }, (_, i) => ({
      currency,
      items: items.slice(i * LIMITS.maxClearingItems, (i + 1) * LIMITS.maxClearingItems),
    })),
  )
}

export const totalOf = (items: readonly ClearingItem[]): bigint =>
  items.reduce((sum, item) => sum + item.amountMinor, 0n)

/** Each creditor once, never the debtor itself, each sum positive, the total in range. */
export const areItemsValid = (debtor: string, items: readonly ClearingItem[]): boolean =>
  items.every(({ bank, amountMinor }) => bank !== debtor && amountMinor > 0n) &&
  new Set(items.map(({ bank }) => bank)).size === items.length &&
  totalOf(items) <= MAX_TOTAL_MINOR

type Terms = Pick<SettlementRow, 'debtor' | 'currency' | 'items'>

/** The settlement bank itself has no reserve at itself: what it owes or is owed stands in its clearing accounts. */
export const settlementLegs = (self: string, { debtor, currency, items }: Terms): readonly Leg[] =>
  items.flatMap(({ bank, amountMinor }) => [
    {
      account: debtor === self ? clearingAccount(bank, currency) : reserveAccount(debtor, currency),
      amountMinor: -amountMinor,
    },
    {
      account: bank === self ? clearingAccount(debtor, currency) : reserveAccount(bank, currency),
      amountMinor,
    },
  ])

/** The reserves that must exist before a settlement can be posted. */
export const reservesOf = (self: string, { debtor, currency, items }: Terms): readonly string[] =>
  [debtor, ...items.map(({ bank }) => bank)]
    .filter((bank) => bank !== self)
    .map((bank) => reserveAccount(bank, currency))

const covers = (books: Books, self: string, { debtor, currency, items }: Terms): boolean => {
  if (debtor === self) return true
  const reserve = books.account(reserveAccount(debtor, currency))
  return reserve !== undefined && isCovering(reserve, totalOf(items))
}

/**
 * Posts every queued settlement that reserves cover, each debtor's first one first; a credit may cover the next, so it goes
 * round until nothing moves. Gives those posted.
 */
export const drain = (books: Books, self: string, queued: readonly SettlementRow[]): readonly SettlementRow[] => {
  const posted: SettlementRow[] = []
  let waiting = queued
  for (;;) {
    const blocked = new Set<string>()
    const still: SettlementRow[] = []
    for (const row of waiting) {
      if (blocked.has(row.debtor) || !covers(books, self, row)) {
        blocked.add(row.debtor)
        still.push(row)
        continue
      }
      books.post({
        event: 'reserve-posting',
        currency: row.currency,
        legs: settlementLegs(self, row),
        cause: row.clearingId,
      })
      posted.push(row)
    }
    if (still.length === waiting.length || still.length === 0) return posted
    waiting = still
  }
}
