/**
 * The books of an MPP: a working copy of the rows that entries, settlements and payouts touch. Invariant: each booking changes
 * the rows and posts balanced legs in one step, so that `receivable` and the payees' accounts always add up (design §8.3,
 * §8.4). `openBooks` copies a slice, the rules of `entries.ts`, `reconciliation.ts` and `payouts.ts` change the copy,
 * `closeBooks` gives the writes: pure as seen from outside.
 *
 * Accounts of the postings: `receivable:<cpp>` (an asset, so debits are negative), `suspense:<cpp>` (owed, but to no payee
 * yet: disputed entries), `accrued:`, `payable:`, `refunding:` and `paying:<payee>`, `bank` (the MPP's own money at its bank), and
 * `operator` for book transfers between hosts of one operator.
 */
import { sumMinor, type Currency } from '../../protocol/amount.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import { NO_PREVIOUS_BATCH } from '../../protocol/mountain-range.ts'
import type { Verified } from '../../protocol/verified.ts'
import {
  put,
  type Context,
  type Deadline,
  type Decision,
  type Message,
  type Posting,
  type Relay,
  type Write,
} from '../runtime/node.ts'
import { isFinalState } from '../runtime/reports.ts'
import { keyOf, type KeyPart } from '../runtime/table.ts'
import { payeeLines, type PayeeLine } from './payee-lines.ts'
import type { MppPolicy } from './policy.ts'
import {
  BATCHES,
  ENTRIES,
  NOTICES,
  PAIRS,
  PAYEES,
  type BatchRow,
  type EntryRow,
  type NoticeRow,
  type PairRow,
  type PayeeRow,
} from './state.ts'
import { REFUNDS, type RefundRow } from './refund-state.ts'
/** An entry of the pair's sequence, as the CPP sealed it. */
export type EntryMessage =
  | Verified<'delayed-transfer-confirmation'>
  | Verified<'pair-adjustment'>
  | (Verified<'refund-confirmation'> & { readonly body: { readonly pairSeq: number } })

/** A refund of a macro payment is no entry: it has no number. */
export const isEntry = (message: EntryMessage | Verified<'refund-confirmation'>): message is EntryMessage =>
  message.body.pairSeq !== undefined

export type BookSlice = {
  readonly cpp: string
  readonly currency: Currency
  readonly pair: PairRow | undefined
  /** The batch this event may answer or settle. */
  readonly batch: BatchRow | undefined
  /** By pairSeq: those the messages speak of, and the batch's whole range where it may be answered or settled. */
  readonly entries: ReadonlyMap<number, EntryRow>
  /** By hex pnId. */
  readonly notices: ReadonlyMap<string, NoticeRow>
  readonly payees: ReadonlyMap<string, PayeeRow>
  /** By hex refundId. */
  readonly refunds: ReadonlyMap<string, RefundRow>
  /** Is the batch among the CPP's unpaid ones? */
  readonly overdue: boolean
}

/** A working copy. Only the rules named above change one. */
export type Books = {
  readonly slice: BookSlice
  readonly context: Context<MppPolicy>
  readonly openedPair: PairRow
  pair: PairRow
  batch: BatchRow | undefined
  readonly entries: Map<number, EntryRow>
  readonly notices: Map<string, NoticeRow>
  readonly payees: Map<string, PayeeRow>
  readonly refunds: Map<string, RefundRow>
  readonly writes: Write[]
  readonly sends: (Message | Relay)[]
  readonly forget: (readonly KeyPart[])[]
  readonly set: Deadline[]
  readonly clear: Deadline[]
  readonly postings: Posting[]
  /** What the payees' accounts say of this event. */
  readonly lines: PayeeLine[]
}

const newPair = (cpp: string, currency: Currency, nowMs: number): PairRow => ({
  cpp,
  currency,
  highestSeq: 0,
  held: 0,
  receivableMinor: 0n,
  reservedMinor: 0n,
  batchSeq: 0,
  batchHash: NO_PREVIOUS_BATCH,
  batchedToSeq: 0,
  settledToSeq: 0,
  changedAtMs: nowMs,
})

export const openBooks = (slice: BookSlice, context: Context<MppPolicy>): Books => {
  const pair = slice.pair ?? newPair(slice.cpp, slice.currency, context.nowMs)
  return {
    slice,
    context,
    openedPair: pair,
    pair,
    batch: slice.batch,
    entries: new Map(slice.entries),
    notices: new Map(slice.notices),
    payees: new Map(slice.payees),
    refunds: new Map(slice.refunds),
    writes: [],
    sends: [],
    forget: [],
    set: [],
    clear: [],
    postings: [],
    lines: [],
  }
}

/** What is to be written, sent and posted: the parts of a decision. */
export const closeBooks = (books: Books): Partial<Decision> => {
  const { slice, pair, batch, sends, forget, set, clear, postings } = books
  const { cpp, currency } = slice
  const writes = [...books.writes]
  if (pair !== books.openedPair) {
    const understatedMinor = sumMinor(pair.understatedMinor ?? 0n, understating(books))
    writes.push(put(PAIRS, keyOf(cpp, currency), { ...pair, understatedMinor, changedAtMs: books.context.nowMs }))
  }
  if (batch !== undefined && batch !== slice.batch) writes.push(put(BATCHES, batch.batchId, batch))
  for (const [seq, row] of books.entries)
    if (row !== slice.entries.get(seq)) writes.push(put(ENTRIES, keyOf(cpp, currency, seq), row))
  for (const [id, row] of books.notices) if (row !== slice.notices.get(id)) writes.push(put(NOTICES, row.pnId, row))
  const { nowMs } = books.context
  for (const [payee, row] of books.payees) {
    const before = slice.payees.get(payee)
    if (row === before) continue
    const told = payeeLines(before, { ...row, changedAtMs: nowMs }, books.lines, nowMs)
    writes.push(put(PAYEES, keyOf(payee), told.row), ...told.writes)
  }
  for (const [id, row] of books.refunds) if (row !== slice.refunds.get(id)) writes.push(put(REFUNDS, row.refundId, row))
  return { writes, sends, forget, set, clear, postings }
}

/** How much less an entry says, adjustments included, than this MPP holds to be right. */
const understatement = (entry: EntryRow | undefined): bigint => {
  if (entry?.code === undefined) return 0n
  const minor = (entry.rightMinor ?? 0n) - entry.amountMinor - (entry.adjustedMinor ?? 0n)
  return minor > 0n ? minor : 0n
}
/** By how much the entries that this event changed understate more than before. Every one of them was a change of the pair. */
const understating = ({ slice, entries }: Books): bigint => {
  let minor = 0n
  for (const [seq, row] of entries) {
    const before = slice.entries.get(seq)
    if (row !== before) minor += understatement(row) - understatement(before)
  }
  return minor
}

/** Moves a sum from one account of the postings to another. */
export const post = (books: Books, from: string, to: string, amountMinor: bigint): void => {
  const { currency } = books.slice
  if (amountMinor !== 0n)
    books.postings.push({ account: from, currency, amountMinor: -amountMinor }, { account: to, currency, amountMinor })
}

/** @throws Error when there is no such payee: money is due to somebody unknown */
export const payeeOf = (books: Books, payee: string): PayeeRow => {
  const row = books.payees.get(payee)
  if (row === undefined) throw new Error(`no row of payee ${payee}, to whom money is due`)
  return row
}

/** Takes an undecided micropayment off what the CPP may come to owe. */
export const release = (pair: PairRow, notice: NoticeRow): PairRow => {
  if (
    isFinalState(notice.state) ||
    notice.state === 'declined' ||
    notice.mode !== 'micro' ||
    notice.amountMinor === undefined
  )
    return pair
  return { ...pair, reservedMinor: sumMinor(pair.reservedMinor, -notice.amountMinor) }
}

/**
 * CREDIT_LIMIT unless the CPP's debt, undecided notices included, stays within its limit with this payment. What the CPP took
 * off its debt and this MPP disputes is still owed.
 */
export const creditProblem = (
  pair: PairRow | undefined,
  amountMinor: bigint,
  limitMinor: bigint,
): FailureCode | undefined =>
  sumMinor(pair?.receivableMinor ?? 0n, pair?.understatedMinor ?? 0n, pair?.reservedMinor ?? 0n, amountMinor) >
  limitMinor
    ? 'CREDIT_LIMIT'
    : undefined

export const reserve = (
  pair: PairRow | undefined,
  cpp: string,
  currency: Currency,
  amountMinor: bigint,
  nowMs: number,
): PairRow => {
  const row = pair ?? newPair(cpp, currency, nowMs)
  return { ...row, reservedMinor: sumMinor(row.reservedMinor, amountMinor), changedAtMs: nowMs }
}
