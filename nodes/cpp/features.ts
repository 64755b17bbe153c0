/** What a customer is like, from the ledger: the latest entries, a bounded number, whatever the customer's age. */
import type { Reader } from '../runtime/node.ts'
import { troubles } from './aggregation-state.ts'
import type { CustomerFeatures } from './kmeans.ts'
import { DAY, HOUR } from './policy-fields.ts'
import { ENTRY, ledger, payments, type EntryRow, type TotalRow } from './state.ts'

/** The latest entries looked at, and of the payments among them those whose payee is looked up. */
const ENTRIES = 128
const PAYEES = 32
/** Nobody is judged by less than this. */
const MIN_PAYMENTS = 3

/** Undefined for a customer who has not paid often enough to tell. */
export const featuresOf = (
  read: Reader,
  customer: string,
  total: TotalRow,
  nowMs: number,
): CustomerFeatures | undefined => {
  const entries: EntryRow[] = []
  for (const [, row] of read.scan(ledger, [customer], { from: [1], reverse: true, limit: ENTRIES }))
    if (row.kind !== 0) entries.push(row)
  const paid = entries.filter(({ kind }) => kind === ENTRY.payment)
  const first = paid.at(-1)
  if (first === undefined || paid.length < MIN_PAYMENTS) return undefined
  const amounts = paid.map(({ amountMinor }) => Number(amountMinor))
  const spentMinor = amounts.reduce((sum, amount) => sum + amount, 0)
  const meanMinor = spentMinor / amounts.length
  const payees = new Set(paid.slice(0, PAYEES).map(({ id }) => read.get(payments, id)?.payee))
  const collections = entries.filter(({ kind }) => kind === ENTRY.collection).length
  const refusals = read.get(troubles, customer)?.refusals ?? 0
  // An hour at least: two payments in one second say nothing of a day.
  const observedDays = Math.max(nowMs - first.atMs, HOUR) / DAY
  return {
    meanMinor,
    paymentsPerDay: paid.length / observedDays,
    varianceMinor: amounts.reduce((sum, amount) => sum + (amount - meanMinor) ** 2, 0) / amounts.length,
    distinctPayees: payees.size,
    failureRate: refusals / Math.max(1, refusals + collections),
    debtAgeDays: total.debtSinceMs === 0 ? 0 : Math.max(0, nowMs - total.debtSinceMs) / DAY,
    spentMinor,
    observedDays,
    refusals,
  }
}
