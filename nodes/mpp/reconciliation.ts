/**
 * Holding a settlement batch against the entries this MPP holds (design §3). The CPP names a range of the pair's sequence;
 * the MPP asks for what it lacks, then accepts, or disputes item by item. Invariant: a batch is answered once, when each entry
 * of its range is held or known to be missing, and its sum is settled whatever the answer: what is wrong is adjusted in
 * a later batch. But a sum that does not cover what its payees are due, or claims back what was never paid in, is not settled.
 */
import { sumMinor } from '../../protocol/amount.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { bankOf } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { appendLeaf, EMPTY_RANGE, pairEntryLeaf, rangeRoot } from '../../protocol/mountain-range.ts'
import { put, remove } from '../runtime/node.ts'
import type { Books } from './books.ts'
import { isCovered, markMissing, settleBatch, settlementDue } from './entries.ts'
import { settlementAccount } from './policy.ts'
import {
  DEADLINES,
  ORDERS,
  outboxKey,
  REQUESTS,
  type BatchRow,
  type DisputeItem,
  type EntryRow,
  type OrderRow,
  type PairRow,
} from './state.ts'

export type BatchClaim = {
  readonly seq: number
  readonly prevHash: Uint8Array
  readonly fromSeq: number
  readonly toSeq: number
}

/**
 * Does the batch continue the pair's chain? Checks in this order: no earlier batch is unanswered (BATCH_OUT_OF_ORDER,
 * transient), the number is the next (ahead: BATCH_OUT_OF_ORDER; behind: BATCH_CHAIN_BROKEN), the hash, the range.
 */
export const chainProblem = (
  pair: PairRow | undefined,
  batch: BatchClaim,
  firstHash: Uint8Array,
): FailureCode | undefined => {
  const batchSeq = pair?.batchSeq ?? 0
  if (pair?.openBatchId !== undefined || batch.seq > batchSeq + 1) return 'BATCH_OUT_OF_ORDER'
  if (batch.seq !== batchSeq + 1) return 'BATCH_CHAIN_BROKEN'
  if (!equalBytes(batch.prevHash, pair?.batchHash ?? firstHash)) return 'BATCH_CHAIN_BROKEN'
  const length = batch.toSeq - batch.fromSeq + 1
  if (batch.fromSeq !== (pair?.batchedToSeq ?? 0) + 1 || length < 1 || length > LIMITS.maxEntriesPerBatch)
    return 'BATCH_CHAIN_BROKEN'
  return undefined
}

/** Goes on with the open batch: asks for the next run of entries it lacks, or answers when none is lacking. */
export const reconcile = (books: Books): void => {
  const { batch } = books
  if (batch === undefined || batch.state !== 'reconciling') return
  if (books.pair.openLacking === 0) answerBatch(books, batch)
  else if (batch.requestId === undefined) requestMissing(books, batch)
}

/** The first run of lacking entries in a range, no longer than one answer may bring. */
export const firstLacking = (
  entries: ReadonlyMap<number, EntryRow>,
  fromSeq: number,
  toSeq: number,
): { readonly fromSeq: number; readonly toSeq: number } | undefined => {
  let first = fromSeq
  while (first <= toSeq && entries.has(first)) first++
  if (first > toSeq) return undefined
  let last = first
  while (last < toSeq && last - first + 1 < LIMITS.maxMissingEntriesPerMessage && !entries.has(last + 1)) last++
  return { fromSeq: first, toSeq: last }
}

const requestMissing = (books: Books, batch: BatchRow): void => {
  const run = firstLacking(books.entries, batch.fromSeq, batch.toSeq)
  if (run === undefined) throw new Error('a batch lacks entries, and none of its range')
  const requestId = books.context.freshId()
  books.batch = { ...batch, requestId }
  books.writes.push(put(REQUESTS, requestId, { batchId: batch.batchId, ...run }))
  books.sends.push({
    kind: 'missing-entries-request',
    to: batch.cpp,
    body: { requestId, currency: batch.currency, ...run },
    delivery: { until: outboxKey('missing', requestId) },
  })
}

/** The answer to a request for missing entries is in: what it did not bring although it brought nothing is missing for good. */
export const closeRequest = (
  books: Books,
  request: { readonly fromSeq: number; readonly toSeq: number },
  broughtNew: boolean,
): void => {
  const { batch } = books
  if (batch?.requestId === undefined) return
  endRequest(books, batch.requestId)
  if (broughtNew || batch.state !== 'reconciling') return
  for (let seq = request.fromSeq; seq <= request.toSeq; seq++) if (!books.entries.has(seq)) markMissing(books, seq)
}

const endRequest = (books: Books, requestId: Uint8Array): void => {
  books.forget.push(outboxKey('missing', requestId))
  books.writes.push(remove(REQUESTS, requestId))
  if (books.batch === undefined) return
  const { requestId: _, ...batch } = books.batch
  books.batch = batch
}

/** Count, entries one by one, root and total. Empty: the batch is right. */
export const disputeItems = (batch: BatchRow, entries: ReadonlyMap<number, EntryRow>): readonly DisputeItem[] => {
  const items: DisputeItem[] = []
  let range = EMPTY_RANGE
  let totalMinor = 0n
  let complete = true
  for (let pairSeq = batch.fromSeq; pairSeq <= batch.toSeq; pairSeq++) {
    const entry = entries.get(pairSeq)
    if (entry === undefined) throw new Error(`entry ${pairSeq} is neither held nor missing`)
    if (entry.code !== undefined)
      items.push({ pairSeq, code: failureNumber(entry.code), amountMinor: entry.rightMinor ?? 0n })
    if (entry.type === 'missing') {
      complete = false
      continue
    }
    totalMinor = sumMinor(totalMinor, entry.amountMinor)
    range = appendLeaf(
      range,
      pairEntryLeaf({
        pairSeq,
        type: entry.type,
        pnId: entry.pnId ?? null,
        payee: entry.payee ?? null,
        amountMinor: entry.amountMinor,
        currency: batch.currency,
      }),
    )
  }
  // Without its missing entries a range has no root to compare.
  if (complete && !(totalMinor === batch.totalMinor && equalBytes(rangeRoot(range), batch.root)))
    items.push({ pairSeq: batch.fromSeq, code: failureNumber('ROOT_MISMATCH'), amountMinor: totalMinor })
  return items.slice(0, LIMITS.maxDisputeItems)
}

const answerBatch = (books: Books, batch: BatchRow): void => {
  if (batch.requestId !== undefined) endRequest(books, batch.requestId)
  const { openBatchId: _, openFromSeq: __, openToSeq: ___, openLacking: ____, ...pair } = books.pair
  const { nowMs, policy } = books.context
  const { batchId, seq, hash } = batch
  const items = disputeItems(batch, books.entries)
  const answered: BatchRow = {
    ...(books.batch ?? batch),
    answeredAtMs: nowMs,
    state: batch.totalMinor < 0n ? 'owing' : 'owed',
    ...(items.length === 0 ? {} : { items }),
  }
  books.pair = { ...pair, batchSeq: seq, batchHash: hash, batchedToSeq: batch.toSeq }
  books.batch = answered
  books.sends.push(
    items.length === 0
      ? {
          kind: 'settlement-acceptance',
          to: batch.cpp,
          body: { batchId, seq, batchHash: hash },
          delivery: { answers: batch.ref },
        }
      : {
          kind: 'settlement-dispute',
          to: batch.cpp,
          body: { batchId, seq, batchHash: hash, items: [...items] },
          delivery: { answers: batch.ref },
        },
  )
  if ((batch.totalMinor === 0n || batch.book) && isCovered(books)) settleBatch(books, 'operator')
  else if (batch.totalMinor < 0n) orderSettlement(books)
  else books.set.push(settlementDue(answered, policy))
}

/**
 * Orders the transfer of a negative sum to the CPP; later when an account is not configured, or the sum was never paid in.
 * Between hosts of one operator it is settled in their books instead.
 * @param uncovered what to do in the second case: by the operator's word this MPP advances what is lacking
 */
export const orderSettlement = (books: Books, uncovered: 'keep' | 'advance' = 'keep'): void => {
  const { batch, context } = books
  if (batch === undefined) throw new Error('no batch to settle')
  const { cpp, currency, batchId } = batch
  const { policy, nowMs } = context
  if (uncovered === 'keep' && !isCovered(books)) {
    books.batch = { ...batch, state: 'failed', code: 'ROOT_MISMATCH' }
    books.set.push(settlementRetry(batchId, nowMs + policy.settlement.retryMs))
    return
  }
  if (batch.book) return settleBatch(books, 'operator', uncovered)
  const debitAccount = policy.operatorAccounts[currency]
  const creditAccount = settlementAccount(policy, cpp, currency)
  if (debitAccount === undefined || creditAccount === undefined) {
    books.batch = { ...batch, state: 'failed', code: 'ACCOUNT_UNKNOWN' }
    books.set.push(settlementRetry(batchId, nowMs + policy.settlement.retryMs))
    return
  }
  const orderId = context.freshId()
  const bank = bankOf(debitAccount)
  const { code: _, ...rest } = batch
  const { pair } = books
  // Gone from the moment of the order, so that nothing else is paid out of it meanwhile.
  const leftMinor = sumMinor(pair.surplusMinor ?? 0n, batch.totalMinor)
  const advancedMinor = leftMinor < 0n ? -leftMinor : 0n
  books.batch = { ...rest, state: 'owing', orderId, ...(advancedMinor === 0n ? {} : { advancedMinor }) }
  books.pair = { ...pair, surplusMinor: sumMinor(leftMinor, advancedMinor) }
  if (advancedMinor !== 0n)
    books.pair = { ...books.pair, advancedMinor: sumMinor(pair.advancedMinor ?? 0n, advancedMinor) }
  books.writes.push(put<OrderRow>(ORDERS, orderId, { purpose: 'settlement', id: batchId, bank }))
  books.sends.push({
    kind: 'transfer-order',
    to: bank,
    body: {
      orderId,
      debitAccount,
      creditAccount,
      amountMinor: -batch.totalMinor,
      currency,
      reference: { purpose: 'settlement', id: batchId },
    },
    delivery: { until: outboxKey('order', orderId) },
  })
}

export const settlementRetry = (batchId: Uint8Array, atMs: number) =>
  ({ name: DEADLINES.settlementRetry, key: batchId, atMs }) as const
