/**
 * The books of an MPP: a working copy of the rows that entries, settlements and payouts touch. Every rule of money is here.
 * Invariant: each booking changes the rows and posts balanced legs in one step, so that `receivable` and the payees'
 * accounts always add up (design §8.3, §8.4). `openBooks` copies a slice, the rules change the copy, `closeBooks` gives the
 * writes: pure as seen from outside.
 *
 * Accounts of the postings: `receivable:<cpp>` (an asset, so debits are negative), `suspense:<cpp>` (owed, but to no payee
 * yet: disputed entries), `accrued:`, `payable:` and `paying:<payee>`, `bank` (the MPP's own money at its bank), and
 * `operator` for book transfers between hosts of one operator.
 */
import { MAX_PAYMENT_MINOR, sumMinor, type Currency } from '../../protocol/amount.ts'
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import { bankOf } from '../../protocol/ids.ts'
import { NO_PREVIOUS_BATCH } from '../../protocol/mountain-range.ts'
import type { Verified } from '../../protocol/verified.ts'
import {
  put,
  remove,
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
import { payoutThreshold, type MppPolicy } from './policy.ts'
import {
  BATCHES,
  DEADLINES,
  DEFAULTS,
  ENTRIES,
  LOCKS,
  NOTICES,
  ORDERS,
  outboxKey,
  PAIRS,
  PAYEES,
  PAYOUTS,
  type BatchRow,
  type EntryRow,
  type LockRow,
  type NoticeRow,
  type OrderRow,
  type PairRow,
  type PayeeRow,
} from './state.ts'

/** An entry of the pair's sequence, as the CPP sealed it. */
export type EntryMessage = Verified<'delayed-transfer-confirmation'> | Verified<'pair-adjustment'>

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
  /** Is the batch among the CPP's unpaid ones? */
  readonly overdue: boolean
}

/** A working copy. Only the functions of this file and of `reconciliation.ts` change one. */
export type Books = {
  readonly slice: BookSlice
  readonly context: Context<MppPolicy>
  readonly openedPair: PairRow
  pair: PairRow
  batch: BatchRow | undefined
  readonly entries: Map<number, EntryRow>
  readonly notices: Map<string, NoticeRow>
  readonly payees: Map<string, PayeeRow>
  readonly writes: Write[]
  readonly sends: (Message | Relay)[]
  readonly forget: (readonly KeyPart[])[]
  readonly set: Deadline[]
  readonly clear: Deadline[]
  readonly postings: Posting[]
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
    writes: [],
    sends: [],
    forget: [],
    set: [],
    clear: [],
    postings: [],
  }
}

/** What is to be written, sent and posted: the parts of a decision. */
export const closeBooks = (books: Books): Partial<Decision> => {
  const { slice, pair, batch, sends, forget, set, clear, postings } = books
  const { cpp, currency } = slice
  const writes = [...books.writes]
  if (pair !== books.openedPair)
    writes.push(put(PAIRS, keyOf(cpp, currency), { ...pair, changedAtMs: books.context.nowMs }))
  if (batch !== undefined && batch !== slice.batch) writes.push(put(BATCHES, batch.batchId, batch))
  for (const [seq, row] of books.entries)
    if (row !== slice.entries.get(seq)) writes.push(put(ENTRIES, keyOf(cpp, currency, seq), row))
  for (const [id, row] of books.notices) if (row !== slice.notices.get(id)) writes.push(put(NOTICES, row.pnId, row))
  for (const [payee, row] of books.payees)
    if (row !== slice.payees.get(payee))
      writes.push(put(PAYEES, keyOf(payee), { ...row, changedAtMs: books.context.nowMs }))
  return { writes, sends, forget, set, clear, postings }
}

const post = (books: Books, from: string, to: string, amountMinor: bigint): void => {
  const { currency } = books.slice
  if (amountMinor !== 0n)
    books.postings.push({ account: from, currency, amountMinor: -amountMinor }, { account: to, currency, amountMinor })
}

/** `booked`: the payee is credited, or an adjustment did what it should. `disputed`: held, and the next batch's answer says why not. */
export type Booking = 'booked' | 'disputed' | 'known' | 'contradicting'

/**
 * Books one entry, whichever way it came. Dedupes by sequence number and payment: the same entry again is `known`; another
 * one under a number taken is `contradicting` and changes nothing, since the CPP signed both.
 */
export const bookEntry = (books: Books, message: EntryMessage): Booking => {
  const known = books.entries.get(message.body.pairSeq)
  if (known !== undefined && known.type !== 'missing')
    return equalBytes(known.digest, message.digest) ? 'known' : 'contradicting'
  return message.kind === 'delayed-transfer-confirmation'
    ? bookConfirmation(books, message)
    : bookAdjustment(books, message)
}

/** A verdict on a DT: what this MPP holds to be right for it. The amount itself means: nothing to dispute. */
const rightAmount = (
  { sender, body }: Verified<'delayed-transfer-confirmation'>,
  notice: NoticeRow | undefined,
  missing: EntryRow | undefined,
): bigint => {
  if (notice === undefined || notice.cpp !== sender.id || notice.payee !== body.payee) return 0n
  if (notice.txId === undefined || !equalBytes(notice.txId, body.txId)) return 0n
  // Without the payee's approval, or after another end, the CPP may not confirm.
  if (notice.state !== 'countersigned' || notice.decision !== 'approve') return 0n
  if (notice.mode !== 'micro' || notice.currency !== body.currency || notice.amountMinor === undefined) return 0n
  // The CPP has already taken the entry back that it could not show.
  if ((missing?.adjustedMinor ?? 0n) !== 0n) return 0n
  return notice.amountMinor
}

const bookConfirmation = (books: Books, message: Verified<'delayed-transfer-confirmation'>): Booking => {
  const { body, digest, frame, sender } = message
  const { nowMs } = books.context
  const notice = books.notices.get(toHex(body.pnId))
  const missing = books.entries.get(body.pairSeq)
  const rightMinor = rightAmount(message, notice, missing)
  const entry: EntryRow = {
    pairSeq: body.pairSeq,
    type: 'dt',
    amountMinor: body.amountMinor,
    digest,
    pnId: body.pnId,
    payee: body.payee,
    creditMinor: 0n,
    bookedAtMs: nowMs,
    ...(missing?.adjustedMinor === undefined ? {} : { adjustedMinor: missing.adjustedMinor }),
  }
  hold(books, entry)
  if (rightMinor === body.amountMinor && notice !== undefined) {
    post(books, `receivable:${sender.id}`, `accrued:${body.payee}`, body.amountMinor)
    books.entries.set(body.pairSeq, { ...entry, creditMinor: body.amountMinor, credited: body.payee })
    confirmNotice(books, notice, body.pairSeq, message)
    credit(books, body.payee, body.amountMinor, body.pairSeq)
    return 'booked'
  }
  post(books, `receivable:${sender.id}`, `suspense:${sender.id}`, body.amountMinor)
  books.entries.set(body.pairSeq, dispute({ ...entry, frame }, rightMinor))
  // The CPP has answered: asking again would bring the same.
  if (notice?.cpp === sender.id) books.forget.push(outboxKey('countersigned', body.pnId))
  return 'disputed'
}

const dispute = (entry: EntryRow, rightMinor: bigint): EntryRow => {
  if (entry.amountMinor + (entry.adjustedMinor ?? 0n) === rightMinor && rightMinor === 0n) return entry
  return { ...entry, code: 'ENTRY_MISMATCH', rightMinor }
}

const bookAdjustment = (books: Books, { body, digest, sender }: Verified<'pair-adjustment'>): Booking => {
  const target = books.entries.get(body.disputedSeq)
  const entry: EntryRow = {
    pairSeq: body.pairSeq,
    type: 'adjustment',
    amountMinor: body.amountMinor,
    digest,
    creditMinor: 0n,
    disputedSeq: body.disputedSeq,
    bookedAtMs: books.context.nowMs,
    ...(body.pnId === undefined ? {} : { pnId: body.pnId }),
    ...(body.payee === undefined ? {} : { payee: body.payee }),
  }
  hold(books, entry)
  post(books, `receivable:${sender.id}`, `suspense:${sender.id}`, body.amountMinor)
  // Only what this MPP disputes is to be adjusted.
  if (target === undefined || target.code === undefined) {
    books.entries.set(body.pairSeq, dispute(entry, 0n))
    return 'disputed'
  }
  const adjustedMinor = sumMinor(target.adjustedMinor ?? 0n, body.amountMinor)
  const adjusted = { ...target, adjustedMinor }
  if (sumMinor(target.amountMinor, adjustedMinor) !== target.rightMinor) {
    books.entries.set(body.disputedSeq, adjusted)
    return 'booked'
  }
  const { code: _, frame, ...resolved } = adjusted
  books.entries.set(body.disputedSeq, resolved)
  const notice = target.pnId === undefined ? undefined : books.notices.get(toHex(target.pnId))
  if (target.rightMinor > 0n && notice !== undefined && frame !== undefined && notice.state === 'countersigned') {
    post(books, `suspense:${sender.id}`, `accrued:${notice.payee}`, target.rightMinor)
    books.entries.set(body.pairSeq, { ...entry, creditMinor: target.rightMinor, credited: notice.payee })
    confirmNotice(books, notice, target.pairSeq, {
      kind: 'delayed-transfer-confirmation',
      frame,
      digest: target.digest,
    })
    credit(books, notice.payee, target.rightMinor, body.pairSeq)
  }
  return 'booked'
}

/** Receivable, counts and the open batch, for an entry that is new. */
const hold = (books: Books, entry: EntryRow): void => {
  const { pair } = books
  const wasMissing = books.entries.get(entry.pairSeq)?.type === 'missing'
  books.pair = {
    ...lacking(pair, entry.pairSeq, wasMissing),
    highestSeq: Math.max(pair.highestSeq, entry.pairSeq),
    held: pair.held + 1,
    receivableMinor: sumMinor(pair.receivableMinor, entry.amountMinor),
  }
  books.entries.set(entry.pairSeq, entry)
}

/** An entry of the open batch that was lacking is so no longer. */
const lacking = (pair: PairRow, pairSeq: number, wasMissing: boolean): PairRow => {
  const { openLacking, openFromSeq, openToSeq } = pair
  if (openLacking === undefined || openFromSeq === undefined || openToSeq === undefined || wasMissing) return pair
  return pairSeq >= openFromSeq && pairSeq <= openToSeq ? { ...pair, openLacking: openLacking - 1 } : pair
}

/** The CPP could not show this entry of the open batch: nothing is owed for it, as far as this MPP knows. */
export const markMissing = (books: Books, pairSeq: number): void => {
  books.pair = lacking(books.pair, pairSeq, false)
  books.entries.set(pairSeq, {
    pairSeq,
    type: 'missing',
    amountMinor: 0n,
    digest: new Uint8Array(0),
    creditMinor: 0n,
    code: 'ENTRY_MISSING',
    rightMinor: 0n,
    bookedAtMs: books.context.nowMs,
  })
}

type Confirmation = {
  readonly kind: 'transfer-confirmation' | 'delayed-transfer-confirmation'
  readonly frame: Uint8Array
  readonly digest: Uint8Array
}

const confirmNotice = (
  books: Books,
  notice: NoticeRow,
  pairSeq: number,
  { kind, frame, digest }: Confirmation,
): void => {
  const { nowMs } = books.context
  const { pnId, payee, txId, host, decisionRef, amountMinor } = notice
  if (txId === undefined || host === undefined || decisionRef === undefined || amountMinor === undefined)
    throw new Error(`notice ${toHex(pnId)} was countersigned without an invoice or a decision`)
  books.notices.set(toHex(pnId), { ...notice, state: 'confirmed', pairSeq, finalAtMs: nowMs })
  books.pair = { ...books.pair, reservedMinor: sumMinor(books.pair.reservedMinor, -amountMinor) }
  books.writes.push(put<LockRow>(LOCKS, keyOf(payee, txId), { pnId, state: 'paid', sinceMs: nowMs }))
  books.forget.push(outboxKey('countersigned', pnId))
  books.sends.push({
    relay: kind,
    frame,
    digest,
    nextHop: { role: 'merchant', host },
    delivery: { answers: decisionRef },
  })
}

const payeeOf = (books: Books, payee: string): PayeeRow => {
  const row = books.payees.get(payee)
  if (row === undefined) throw new Error(`no row of payee ${payee}, to whom money is due`)
  return row
}

/** An entry that comes after its batch was settled is payable at once: its money is here. */
const credit = (books: Books, payee: string, amountMinor: bigint, pairSeq: number): void => {
  const row = payeeOf(books, payee)
  books.payees.set(payee, { ...row, accruedMinor: sumMinor(row.accruedMinor, amountMinor) })
  if (pairSeq <= books.pair.settledToSeq) makePayable(books, payee, amountMinor)
}

/**
 * Settles the batch: the receivable falls by its total, and what its entries credited becomes payable. `through` is where
 * the money came: the bank, or the operator's own books.
 */
export const settleBatch = (books: Books, through: 'bank' | 'operator'): void => {
  const { batch, pair, context } = books
  if (batch === undefined || batch.state === 'settled') throw new Error('no batch to settle')
  const credits = new Map<string, bigint>()
  for (let seq = batch.fromSeq; seq <= batch.toSeq; seq++) {
    const entry = books.entries.get(seq)
    if (entry === undefined) throw new Error(`entry ${seq} of a batch that was answered is not here`)
    if (entry.credited !== undefined)
      credits.set(entry.credited, sumMinor(credits.get(entry.credited) ?? 0n, entry.creditMinor))
  }
  post(books, through, `receivable:${batch.cpp}`, batch.totalMinor)
  books.pair = {
    ...pair,
    receivableMinor: sumMinor(pair.receivableMinor, -batch.totalMinor),
    settledToSeq: Math.max(pair.settledToSeq, batch.toSeq),
  }
  const { code: _, ...rest } = batch
  books.batch = { ...rest, state: 'settled', settledAtMs: context.nowMs }
  if (batch.answeredAtMs !== undefined && batch.state === 'owed') books.clear.push(settlementDue(batch, context.policy))
  if (books.slice.overdue) books.writes.push(remove(DEFAULTS, keyOf(batch.cpp, batch.batchId)))
  for (const [payee, amountMinor] of credits) if (amountMinor !== 0n) makePayable(books, payee, amountMinor)
}

/** When an answered batch that is still unpaid makes its CPP DEFAULTED. */
export const settlementDue = ({ batchId, answeredAtMs = 0 }: BatchRow, { settlement }: MppPolicy): Deadline => ({
  name: DEADLINES.settlementDue,
  key: batchId,
  atMs: answeredAtMs + settlement.maxUnpaidMs,
})

const makePayable = (books: Books, payee: string, amountMinor: bigint): void => {
  const row = payeeOf(books, payee)
  if (row.accruedMinor < amountMinor) throw new Error(`payee ${payee} has less accrued than was settled`)
  post(books, `accrued:${payee}`, `payable:${payee}`, amountMinor)
  books.payees.set(payee, {
    ...row,
    accruedMinor: sumMinor(row.accruedMinor, -amountMinor),
    payableMinor: sumMinor(row.payableMinor, amountMinor),
  })
  considerPayout(books, payee)
}

export const payoutDeadline = (payee: string, atMs: number): Deadline => ({
  name: DEADLINES.payout,
  key: keyOf(payee),
  atMs,
})

/** Is a payout due? One runs at a time; then the threshold decides, or the age, or that the payee has left. */
export const isPayoutDue = (row: PayeeRow, policy: MppPolicy, nowMs: number): boolean => {
  if (row.payoutId !== undefined || row.payableMinor <= 0n || nowMs < (row.retryAtMs ?? 0)) return false
  return (
    row.payableMinor >= payoutThreshold(policy, row.currency) ||
    row.state === 'retired' ||
    (row.payoutAtMs !== undefined && nowMs >= row.payoutAtMs)
  )
}

/** Orders a payout when one is due; else sees to it that the age is watched. */
export const considerPayout = (books: Books, payee: string): void => {
  const row = payeeOf(books, payee)
  const { nowMs, policy } = books.context
  if (isPayoutDue(row, policy, nowMs) && policy.operatorAccounts[row.currency] !== undefined) orderPayout(books, payee)
  else if (
    row.payableMinor > 0n &&
    (row.payoutAtMs === undefined || (row.payoutAtMs <= nowMs && row.payoutId === undefined))
  )
    watchPayout(books, row, Math.max(nowMs + policy.payout.maxAgeMs, row.retryAtMs ?? 0))
}

const watchPayout = (books: Books, row: PayeeRow, atMs: number): void => {
  if (row.payoutAtMs !== undefined) books.clear.push(payoutDeadline(row.payee, row.payoutAtMs))
  books.set.push(payoutDeadline(row.payee, atMs))
  books.payees.set(row.payee, { ...row, payoutAtMs: atMs })
}

/** Moves what is payable to `paying` and orders its transfer. @returns the payout's id; undefined without an operator account */
export const orderPayout = (books: Books, payee: string): Uint8Array | undefined => {
  const { context } = books
  const { payoutAtMs, retryAtMs: _, ...row } = payeeOf(books, payee)
  const debitAccount = context.policy.operatorAccounts[row.currency]
  if (debitAccount === undefined || row.payoutId !== undefined || row.payableMinor <= 0n) return undefined
  // A payout's advice names an amount of one payment at most.
  const amountMinor = row.payableMinor < MAX_PAYMENT_MINOR ? row.payableMinor : MAX_PAYMENT_MINOR
  const payoutId = context.freshId()
  const orderId = context.freshId()
  const { currency, account } = row
  const bank = bankOf(debitAccount)
  post(books, `payable:${payee}`, `paying:${payee}`, amountMinor)
  books.payees.set(payee, {
    ...row,
    payableMinor: sumMinor(row.payableMinor, -amountMinor),
    payingMinor: sumMinor(row.payingMinor, amountMinor),
    payoutId,
  })
  if (payoutAtMs !== undefined) books.clear.push(payoutDeadline(payee, payoutAtMs))
  books.writes.push(
    put(PAYOUTS, payoutId, {
      payoutId,
      payee,
      amountMinor,
      currency,
      account,
      orderId,
      state: 'ordered',
      orderedAtMs: context.nowMs,
    }),
    put<OrderRow>(ORDERS, orderId, { purpose: 'payout', id: payoutId, bank }),
  )
  books.sends.push({
    kind: 'transfer-order',
    to: bank,
    body: {
      orderId,
      debitAccount,
      creditAccount: account,
      amountMinor,
      currency,
      reference: { purpose: 'payout', id: payoutId },
    },
    delivery: { until: outboxKey('order', orderId) },
  })
  return payoutId
}

/** The bank's answer to a payout: paid, or payable again and tried later. */
export const finishPayout = (
  books: Books,
  payee: string,
  payoutId: Uint8Array,
  amountMinor: bigint,
  paid: boolean,
): void => {
  const { payoutId: running, ...row } = payeeOf(books, payee)
  if (running === undefined || !equalBytes(running, payoutId))
    throw new Error(`payee ${payee} has no such payout under way`)
  const { nowMs, policy } = books.context
  const payingMinor = sumMinor(row.payingMinor, -amountMinor)
  if (paid) {
    post(books, `paying:${payee}`, 'bank', amountMinor)
    books.payees.set(payee, { ...row, payingMinor, paidMinor: sumMinor(row.paidMinor, amountMinor) })
    considerPayout(books, payee)
    return
  }
  post(books, `paying:${payee}`, `payable:${payee}`, amountMinor)
  const retryAtMs = nowMs + policy.payout.retryMs
  watchPayout(
    books,
    { ...row, payingMinor, payableMinor: sumMinor(row.payableMinor, amountMinor), retryAtMs },
    retryAtMs,
  )
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

/** CREDIT_LIMIT unless the CPP's debt, undecided notices included, stays within its limit with this payment. */
export const creditProblem = (
  pair: PairRow | undefined,
  amountMinor: bigint,
  limitMinor: bigint,
): FailureCode | undefined =>
  sumMinor(pair?.receivableMinor ?? 0n, pair?.reservedMinor ?? 0n, amountMinor) > limitMinor
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
