/**
 * What a CPP's ledger says twice must agree: a customer's total and their entries, and what the journal's postings left on
 * the customer's account. Found here is a total or an entry that was edited past the journal.
 */
import type { LedgerProblem } from '../runtime/journal-audit.ts'
import type { Reader } from '../runtime/node.ts'
import { receivable } from './account.ts'
import { customers, ENTRY, ledger, type TotalRow } from './state.ts'

/** @param posted Σ of each account's postings in the journal, in minor units, under `account currency` */
export const auditCustomers = (read: Reader, posted: ReadonlyMap<string, bigint>): readonly LedgerProblem[] => {
  const problems: LedgerProblem[] = []
  const differs = (text: string): void => void problems.push({ kind: 'figure', seq: 0, text })
  for (const [, { customer }] of read.scan(customers, [])) {
    let total: TotalRow | undefined
    let owedMinor = 0n
    let entries = 0
    for (const [, row] of read.scan(ledger, [customer])) {
      if (row.kind === 0) {
        total = row
        continue
      }
      owedMinor += row.kind === ENTRY.payment ? row.amountMinor : -row.amountMinor
      entries += 1
    }
    if (total === undefined) {
      if (entries > 0) differs(`${customer} has ${entries} entries and no total`)
      continue
    }
    const { outstandingMinor, lastSeq, currency } = total
    if (outstandingMinor !== owedMinor)
      differs(`${customer} owes ${outstandingMinor} ${currency} by the total, ${owedMinor} by the entries`)
    if (lastSeq !== entries) differs(`${customer} has ${entries} entries, the total counts ${lastSeq}`)
    const journalMinor = -(posted.get(`${receivable(customer)} ${currency}`) ?? 0n)
    if (outstandingMinor !== journalMinor)
      differs(`${customer} owes ${outstandingMinor} ${currency} by the total, ${journalMinor} by the journal`)
  }
  return problems
}
