/**
 * Entries of a pair's sequence and their settlement (design §3). Invariant: what the CPP signed it owes, whether or not a payee
 * may be credited for it; a payee is credited the amount of its invoice or nothing; what was credited becomes payable when
 * the batch that holds the entry is settled, and by nothing else; and neither to payees nor back to the CPP goes more than
 * this CPP has paid in.
 */
import { sumMinor } from '../../protocol/amount.ts'
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import type { Verified } from '../../protocol/verified.ts'
import { put, remove, type Deadline } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { payeeOf, post, type Books, type EntryMessage } from './books.ts'
import { makePayable } from './payouts.ts'
import { confirmRefund, rightRefund } from './refunds.ts'
import type { MppPolicy } from './policy.ts'
import {
  DEADLINES,
  DEFAULTS,
  LOCKS,
  outboxKey,
  type BatchRow,
  type EntryRow,
  type LockRow,
  type NoticeRow,
  type PairRow,
} from './state.ts'
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
  switch (message.kind) {
    case 'delayed-transfer-confirmation':
      return bookConfirmation(books, message)
    case 'refund-confirmation':
      return bookRefund(books, message)
    case 'pair-adjustment':
      return bookAdjustment(books, message)
  }
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
    credit(books, notice, body.amountMinor, body.pairSeq)
    return 'booked'
  }
  post(books, `receivable:${sender.id}`, `suspense:${sender.id}`, body.amountMinor)
  books.entries.set(body.pairSeq, dispute({ ...entry, frame }, rightMinor))
  // The CPP has answered: asking again would bring the same.
  if (notice?.cpp === sender.id) books.forget.push(outboxKey('countersigned', body.pnId))
  return 'disputed'
}

/** A refund's entry: what the CPP owes falls by it, and what the payee had set aside for it is reversed. */
const bookRefund = (
  books: Books,
  message: Extract<EntryMessage, { readonly kind: 'refund-confirmation' }>,
): Booking => {
  const { body, digest, frame, sender } = message
  const refund = books.refunds.get(toHex(body.refundId))
  const missing = books.entries.get(body.pairSeq)
  const rightMinor = -rightRefund(message, refund, missing)
  const amountMinor = -body.amountMinor
  const entry: EntryRow = {
    pairSeq: body.pairSeq,
    type: 'refund',
    amountMinor,
    digest,
    pnId: body.pnId,
    payee: body.payee,
    creditMinor: 0n,
    bookedAtMs: books.context.nowMs,
    refundId: body.refundId,
    ...(missing?.adjustedMinor === undefined ? {} : { adjustedMinor: missing.adjustedMinor }),
  }
  hold(books, entry)
  if (rightMinor === amountMinor && refund !== undefined) {
    post(books, `receivable:${sender.id}`, `refunding:${refund.payee}`, amountMinor)
    books.entries.set(body.pairSeq, { ...entry, creditMinor: amountMinor, credited: refund.payee })
    confirmRefund(books, refund, { frame, digest, pairSeq: body.pairSeq })
    uncredit(books, body.amountMinor, body.pairSeq)
    return 'booked'
  }
  post(books, `receivable:${sender.id}`, `suspense:${sender.id}`, amountMinor)
  books.entries.set(body.pairSeq, dispute({ ...entry, frame }, rightMinor))
  return 'disputed'
}

/** A refund that comes after its batch was settled: what the batch lacked for it was not overpaid by others' entries. */
const uncredit = (books: Books, amountMinor: bigint, pairSeq: number): void => {
  if (pairSeq > books.pair.settledToSeq) return
  books.pair = { ...books.pair, surplusMinor: sumMinor(books.pair.surplusMinor ?? 0n, amountMinor) }
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
  const refund = target.refundId === undefined ? undefined : books.refunds.get(toHex(target.refundId))
  if (target.rightMinor < 0n && refund?.state === 'countersigned' && frame !== undefined) {
    post(books, `suspense:${sender.id}`, `refunding:${refund.payee}`, target.rightMinor)
    books.entries.set(body.pairSeq, { ...entry, creditMinor: target.rightMinor, credited: refund.payee })
    confirmRefund(books, refund, { frame, digest: target.digest, pairSeq: target.pairSeq })
    uncredit(books, -target.rightMinor, body.pairSeq)
    return 'booked'
  }
  const notice = target.pnId === undefined ? undefined : books.notices.get(toHex(target.pnId))
  if (target.rightMinor > 0n && notice !== undefined && frame !== undefined && notice.state === 'countersigned') {
    post(books, `suspense:${sender.id}`, `accrued:${notice.payee}`, target.rightMinor)
    books.entries.set(body.pairSeq, { ...entry, creditMinor: target.rightMinor, credited: notice.payee })
    confirmNotice(books, notice, target.pairSeq, {
      kind: 'delayed-transfer-confirmation',
      frame,
      digest: target.digest,
    })
    credit(books, notice, target.rightMinor, body.pairSeq)
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

/** An entry that comes after its batch was settled is payable at once if its money is here, which a CPP that lied did not pay. */
const credit = (books: Books, { payee, pnId }: NoticeRow, amountMinor: bigint, pairSeq: number): void => {
  books.lines.push({ payee, what: 'payment', amountMinor, id: pnId })
  const row = payeeOf(books, payee)
  books.payees.set(payee, { ...row, accruedMinor: sumMinor(row.accruedMinor, amountMinor) })
  const surplusMinor = books.pair.surplusMinor ?? 0n
  if (pairSeq > books.pair.settledToSeq || surplusMinor < amountMinor) return
  books.pair = { ...books.pair, surplusMinor: surplusMinor - amountMinor }
  makePayable(books, payee, amountMinor)
}

/** What the entries of the batch have credited: by payee without refunds, whose sums payees have set aside; in total less them. */
const creditsOf = (
  { fromSeq, toSeq }: BatchRow,
  entries: ReadonlyMap<number, EntryRow>,
): { readonly byPayee: ReadonlyMap<string, bigint>; readonly totalMinor: bigint } => {
  const byPayee = new Map<string, bigint>()
  let totalMinor = 0n
  for (let seq = fromSeq; seq <= toSeq; seq++) {
    const entry = entries.get(seq)
    if (entry === undefined) throw new Error(`entry ${seq} of a batch that was answered is not here`)
    if (entry.credited === undefined) continue
    totalMinor += entry.creditMinor
    if (entry.creditMinor > 0n)
      byPayee.set(entry.credited, sumMinor(byPayee.get(entry.credited) ?? 0n, entry.creditMinor))
  }
  return { byPayee, totalMinor }
}

/**
 * Would this CPP, the batch settled as it claims, have paid in what its payees then are due? A total that lies, an offset that
 * nobody called for, or a claim for more than was overpaid does not.
 */
export const isCovered = (books: Books): boolean => {
  const { batch, pair, entries } = books
  if (batch === undefined) throw new Error('no batch to settle')
  // What it claims back is not what it owes this MPP for an advance.
  const keptMinor = batch.totalMinor < 0n ? (pair.advancedMinor ?? 0n) : 0n
  return (pair.surplusMinor ?? 0n) - keptMinor + batch.totalMinor >= creditsOf(batch, entries).totalMinor
}

/**
 * Settles the batch: the receivable falls by its total, and what its entries credited becomes payable. `through` is where
 * the money came: the bank, or the operator's own books. A sum that went back to the CPP left the surplus when it was ordered.
 * @param shortfall what becomes of payees' credits that the sum does not cover: they stay accrued, or, by the operator's
 *   word, this MPP advances them
 */
export const settleBatch = (
  books: Books,
  through: 'bank' | 'operator',
  shortfall: 'keep' | 'advance' = 'keep',
): void => {
  const { batch, pair, context } = books
  if (batch === undefined || batch.state === 'settled') throw new Error('no batch to settle')
  const credits = creditsOf(batch, books.entries)
  const receivedMinor = sumMinor(pair.surplusMinor ?? 0n, batch.orderId === undefined ? batch.totalMinor : 0n)
  // What came in late, between the order and the bank's answer, is due only if it is covered.
  const restMinor = receivedMinor - credits.totalMinor
  const due = restMinor >= 0n || shortfall === 'advance'
  post(books, through, `receivable:${batch.cpp}`, batch.totalMinor)
  books.pair = {
    ...pair,
    receivableMinor: sumMinor(pair.receivableMinor, -batch.totalMinor),
    settledToSeq: Math.max(pair.settledToSeq, batch.toSeq),
    surplusMinor: !due ? receivedMinor : restMinor > 0n ? restMinor : 0n,
    ...(due && restMinor < 0n ? { advancedMinor: sumMinor(pair.advancedMinor ?? 0n, -restMinor) } : {}),
  }
  const { code: _, ...rest } = batch
  books.batch = { ...rest, state: 'settled', settledAtMs: context.nowMs }
  if (batch.answeredAtMs !== undefined && batch.state === 'owed') books.clear.push(settlementDue(batch, context.policy))
  if (books.slice.overdue) books.writes.push(remove(DEFAULTS, keyOf(batch.cpp, batch.batchId)))
  if (!due) return
  for (const [payee, amountMinor] of credits.byPayee) if (amountMinor !== 0n) makePayable(books, payee, amountMinor)
}

/** When an answered batch that is still unpaid makes its CPP DEFAULTED. */
export const settlementDue = ({ batchId, answeredAtMs = 0 }: BatchRow, { settlement }: MppPolicy): Deadline => ({
  name: DEADLINES.settlementDue,
  key: batchId,
  atMs: answeredAtMs + settlement.maxUnpaidMs,
})
