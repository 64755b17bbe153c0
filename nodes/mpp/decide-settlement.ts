/**
 * Settlement with CPPs (design §3): batches, entries that were missing, adjustments, and the bank's word that a batch is paid.
 * A batch paid is what makes its payees' accrued money payable; nothing else does.
 */
import { sumMinor } from '../../protocol/amount.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { failureCode } from '../../protocol/failures.ts'
import { bankOf } from '../../protocol/ids.ts'
import { batchHash, NO_PREVIOUS_BATCH } from '../../protocol/mountain-range.ts'
import {
  combine,
  decision,
  on,
  put,
  refuse,
  remove,
  type Context,
  type DeadlineEvent,
  type Decision,
  type Incoming,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { closeBooks, isEntry, openBooks, type BookSlice, type EntryMessage } from './books.ts'
import { bookEntry, isCovered, settleBatch } from './entries.ts'
import { loadBatch, loadEntries } from './load.ts'
import type { MppPolicy } from './policy.ts'
import { chainProblem, closeRequest, orderSettlement, reconcile, settlementRetry } from './reconciliation.ts'
import {
  BATCHES,
  DEFAULTS,
  PAIRS,
  REQUESTS,
  UNMATCHED,
  type BatchRow,
  type OrderRow,
  type PairRow,
  type RequestRow,
} from './state.ts'
import { REFUNDS, type RefundRow } from './refund-state.ts'

type BatchSlice = {
  readonly known: BatchRow | undefined
  readonly pair: PairRow | undefined
  readonly range: BookSlice
}

const loadSettlementBatch = (read: Reader, { message, ref }: Incoming<'settlement-batch'>): BatchSlice => {
  const { body, sender } = message
  const { batchId, currency, seq, fromSeq, toSeq, root, totalMinor } = body
  const pair = read.get(PAIRS, sender.id, currency)
  const batch: BatchRow = {
    batchId,
    cpp: sender.id,
    currency,
    seq,
    fromSeq,
    toSeq,
    root,
    totalMinor,
    ref,
    hash: NO_PREVIOUS_BATCH,
    book: false,
    state: 'reconciling',
    arrivedAtMs: 0,
  }
  // A range is read only where its length is within bounds.
  const continues = chainProblem(pair, body, NO_PREVIOUS_BATCH) === undefined
  const empty = {
    cpp: sender.id,
    currency,
    pair,
    batch,
    entries: new Map(),
    notices: new Map(),
    payees: new Map(),
    refunds: new Map(),
    overdue: false,
  }
  return { known: read.get(BATCHES, batchId), pair, range: continues ? loadBatch(read, batch) : empty }
}

/**
 * In this order: the batch speaks of this MPP's pair; its id is new; it continues the pair's chain (`chainProblem`). Then it
 * is reconciled: answered at once when no entry is lacking, else when the last has come.
 */
const decideBatch = (
  { known, pair, range }: BatchSlice,
  { message }: Incoming<'settlement-batch'>,
  context: Context<MppPolicy>,
): Decision => {
  const { body, sender } = message
  const { self, nowMs } = context
  if (body.mpp !== self.id) return refuse('WRONG_ADDRESSEE', 'a batch of another pair')
  if (known !== undefined) return refuse('ID_REUSED', 'another batch has this id')
  const code = chainProblem(pair, body, NO_PREVIOUS_BATCH)
  if (code !== undefined) return refuse(code, `batch ${body.seq} after ${pair?.batchSeq ?? 0}`)
  const { batchId, fromSeq, toSeq, prevHash } = body
  const books = openBooks(range, context)
  books.batch = {
    ...(range.batch as BatchRow),
    hash: batchHash(prevHash, { ...body, cpp: sender.id, mpp: self.id }),
    book: sender.operatorId === self.operatorId,
    arrivedAtMs: nowMs,
  }
  books.pair = {
    ...books.pair,
    openBatchId: batchId,
    openFromSeq: fromSeq,
    openToSeq: toSeq,
    openLacking: toSeq - fromSeq + 1 - books.entries.size,
  }
  reconcile(books)
  return combine(closeBooks(books), { record: batchRecord(books.batch) })
}

const batchRecord = ({ batchId, cpp, seq, state, items, totalMinor }: BatchRow): Decision['record'] => ({
  event: state === 'reconciling' ? 'batch-received' : items === undefined ? 'batch-accepted' : 'batch-disputed',
  ids: [batchId],
  ...(items === undefined ? {} : { level: 'warn' as const }),
  fields: { cpp, seq, totalMinor, ...(items === undefined ? {} : { items: items.length }) },
})

export const onSettlementBatch = on(loadSettlementBatch, decideBatch)

type MissingSlice = {
  readonly request: RequestRow | undefined
  readonly entries: readonly EntryMessage[]
  readonly books: BookSlice
}

const loadMissing = (read: Reader, { message }: Incoming<'missing-entries'>): MissingSlice => {
  const { sender, body } = message
  const request = read.get(REQUESTS, body.requestId)
  const entries: EntryMessage[] = []
  for (const opened of message.nested.entries) {
    if (!opened.ok || !isEntry(opened.value)) continue
    const entry = opened.value
    const isOfPair = entry.sender.id === sender.id && entry.body.currency === body.currency
    const isAsked =
      request !== undefined && entry.body.pairSeq >= request.fromSeq && entry.body.pairSeq <= request.toSeq
    if (isOfPair && isAsked) entries.push(entry)
  }
  return { request, entries, books: loadEntries(read, sender.id, body.currency, entries, request?.batchId) }
}

/**
 * Each entry is booked as if it had arrived by itself. An answer that brings none of what was asked for says that the CPP
 * cannot show it; one that brings some is followed by the next request.
 */
const decideMissing = (
  { request, entries, books: slice }: MissingSlice,
  { message }: Incoming<'missing-entries'>,
  context: Context<MppPolicy>,
): Decision => {
  const { requestId } = message.body
  const { batch } = slice
  const isOpen = batch?.requestId !== undefined && equalBytes(batch.requestId, requestId)
  if (request === undefined || !isOpen)
    return decision({ record: { event: 'missing-entries-late', ids: [requestId], level: 'debug' } })
  const books = openBooks(slice, context)
  let booked = 0
  for (const entry of entries) {
    if (entry.body.mpp !== context.self.id) continue
    const booking = bookEntry(books, entry)
    if (booking === 'booked' || booking === 'disputed') booked++
  }
  closeRequest(books, request, booked > 0)
  reconcile(books)
  return combine(closeBooks(books), {
    record: {
      event: 'missing-entries-booked',
      ids: [requestId, request.batchId],
      fields: { booked, state: books.batch?.state },
    },
  })
}

export const onMissingEntries = on(loadMissing, decideMissing)

const loadAdjustment = (read: Reader, { message }: Incoming<'pair-adjustment'>): BookSlice =>
  loadEntries(read, message.sender.id, message.body.currency, [message])

const decideAdjustment = (
  slice: BookSlice,
  { message, ref }: Incoming<'pair-adjustment'>,
  context: Context<MppPolicy>,
): Decision => {
  const { body, sender, digest } = message
  if (body.mpp !== context.self.id) return refuse('WRONG_ADDRESSEE', 'an entry of another pair')
  const books = openBooks(slice, context)
  const booking = bookEntry(books, message)
  if (booking === 'contradicting') return refuse('ID_REUSED', 'another entry has this pairSeq')
  reconcile(books)
  return combine(closeBooks(books), {
    sends: [{ kind: 'receipt', to: sender.id, body: { digest }, delivery: { answers: ref } }],
    record: {
      event: booking === 'disputed' ? 'adjustment-disputed' : 'adjustment-booked',
      ids: [body.adjustmentId],
      level: 'warn',
      fields: { pairSeq: body.pairSeq, disputedSeq: body.disputedSeq, amountMinor: body.amountMinor },
    },
  })
}

export const onPairAdjustment = on(loadAdjustment, decideAdjustment)

type CreditSlice = {
  readonly batch: BatchRow | undefined
  readonly books: BookSlice | undefined
  readonly refund: RefundRow | undefined
}

const loadAccountNotice = (read: Reader, { message }: Incoming<'account-notice'>): CreditSlice => {
  const { reference } = message.body
  const batch = reference.purpose === 'settlement' ? read.get(BATCHES, reference.id) : undefined
  return {
    batch,
    books: batch === undefined ? undefined : loadBatch(read, batch),
    refund: reference.purpose === 'refund' ? read.get(REFUNDS, reference.id) : undefined,
  }
}

/**
 * The bank booked money to this MPP. A debit, and a collection of a CPP that shares the account, is receipted. Else it settles a
 * batch when, in this order: account and bank are the MPP's own; it pays a
 * batch that is owed; sum and currency are the batch's; the sum covers what the payees are due (isCovered). What a payee pays in for a
 * refund counts by the bank's answer to this MPP's order, and is receipted. Anything else is kept for the operator: money never vanishes.
 */
const decideAccountNotice = (
  { batch, books: slice, refund }: CreditSlice,
  { message, ref }: Incoming<'account-notice'>,
  context: Context<MppPolicy>,
): Decision => {
  const { body, sender, digest } = message
  const { noticeId, account, amountMinor, currency, reference } = body
  const receipt = decision({
    sends: [{ kind: 'receipt', to: sender.id, body: { digest }, delivery: { answers: ref } }],
  })
  // What leaves the account, and what a CPP of this operator collects on it, was ordered and is answered.
  if (amountMinor < 0n || reference.purpose === 'collection') return receipt
  const isOwn = bankOf(account) === sender.id && context.policy.operatorAccounts[currency] === account
  const refunds = refund?.mode === 'micro' && refund.fromBankMinor === amountMinor && refund.currency === currency
  if (isOwn && refunds) return receipt
  const pays =
    batch !== undefined && batch.state === 'owed' && batch.totalMinor === amountMinor && batch.currency === currency
  const books = slice === undefined ? undefined : openBooks(slice, context)
  if (!isOwn || !pays || books === undefined || !isCovered(books))
    return combine(receipt, {
      writes: [
        put(UNMATCHED, noticeId, {
          bank: sender.id,
          account,
          amountMinor,
          currency,
          purpose: reference.purpose,
          id: reference.id,
          arrivedAtMs: context.nowMs,
        }),
      ],
      record: {
        event: 'credit-unmatched',
        ids: [noticeId, reference.id],
        level: 'warn',
        fields: { amountMinor, currency },
      },
    })
  settleBatch(books, 'bank')
  return combine(receipt, closeBooks(books), {
    record: { event: 'batch-settled', ids: [batch.batchId], fields: { cpp: batch.cpp, amountMinor } },
  })
}

export const onAccountNotice = on(loadAccountNotice, decideAccountNotice)

export const loadOrdered = (read: Reader, batchId: Uint8Array): BookSlice | undefined => {
  const batch = read.get(BATCHES, batchId)
  return batch === undefined ? undefined : loadBatch(read, batch)
}

/** The bank's answer to the transfer of a negative sum: settled, or ordered again later under a new id. */
export const settlementAnswered = (
  slice: BookSlice | undefined,
  order: OrderRow,
  booked: boolean,
  code: number | undefined,
  context: Context<MppPolicy>,
): Decision => {
  const batch = slice?.batch
  if (slice === undefined || batch === undefined || batch.state !== 'owing') return decision()
  const books = openBooks(slice, context)
  if (booked) settleBatch(books, 'bank', batch.advancedMinor === undefined ? 'keep' : 'advance')
  else {
    const { orderId: _, advancedMinor = 0n, ...rest } = batch
    const { surplusMinor = 0n } = books.pair
    books.pair = { ...books.pair, surplusMinor: sumMinor(surplusMinor, -batch.totalMinor, -advancedMinor) }
    if (advancedMinor !== 0n)
      books.pair = { ...books.pair, advancedMinor: sumMinor(books.pair.advancedMinor ?? 0n, -advancedMinor) }
    books.batch = {
      ...rest,
      state: 'failed',
      code: (code === undefined ? undefined : failureCode(code)) ?? 'TRANSFER_FAILED',
    }
    books.set.push(settlementRetry(batch.batchId, context.nowMs + context.policy.settlement.retryMs))
  }
  return combine(closeBooks(books), {
    record: {
      event: booked ? 'batch-settled' : 'settlement-refused',
      ids: [order.id],
      level: booked ? 'info' : 'warn',
      fields: { cpp: batch.cpp },
    },
  })
}

const loadDue = (read: Reader, { key }: DeadlineEvent): BatchRow | undefined => read.get(BATCHES, key)

/** An answered batch is unpaid past its time: its CPP is DEFAULTED until the bank's notice comes. */
export const onSettlementDue = on(
  loadDue,
  (batch: BatchRow | undefined, _: DeadlineEvent, { nowMs }: Context<MppPolicy>): Decision => {
    if (batch === undefined || batch.state !== 'owed') return decision()
    const { cpp, batchId } = batch
    return decision({
      writes: [put(DEFAULTS, keyOf(cpp, batchId), { batchId, sinceMs: nowMs })],
      record: { event: 'cpp-defaulted', ids: [batchId], level: 'warn', fields: { cpp, totalMinor: batch.totalMinor } },
    })
  },
)

const loadRetry = (read: Reader, { key }: DeadlineEvent): BookSlice | undefined => loadOrdered(read, key)

export const onSettlementRetry = on(
  loadRetry,
  (slice: BookSlice | undefined, _: DeadlineEvent, context: Context<MppPolicy>): Decision => {
    if (slice?.batch?.state !== 'failed') return decision()
    const books = openBooks(slice, context)
    orderSettlement(books)
    return combine(closeBooks(books), { record: { event: 'settlement-reordered', ids: [slice.batch.batchId] } })
  },
)

/** A CPP will not show what is missing: as if it had answered with nothing. */
export const missingRefused = (
  slice: BookSlice | undefined,
  requestId: Uint8Array,
  request: RequestRow | undefined,
  context: Context<MppPolicy>,
): Decision => {
  if (
    slice === undefined ||
    request === undefined ||
    slice.batch?.requestId === undefined ||
    !equalBytes(slice.batch.requestId, requestId)
  )
    return decision({ writes: [remove(REQUESTS, requestId)] })
  const books = openBooks(slice, context)
  closeRequest(books, request, false)
  reconcile(books)
  return combine(closeBooks(books), { record: { event: 'missing-entries-refused', ids: [requestId], level: 'warn' } })
}
