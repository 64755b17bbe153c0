/**
 * What banks and MPPs answer about money that is already owed: collections, settlement batches, disputes, missing entries.
 *
 * An answer to a batch is checked in this order: batch unknown, not of this MPP, wrong hash, not open → SETTLEMENT_UNKNOWN; then the full
 * total is paid, disputed or not, and each disputed entry is recomputed from its payment.
 */
import { equalBytes } from '../../protocol/bytes.ts'
import { bankOf } from '../../protocol/ids.ts'
import { failureNumber } from '../../protocol/failures.ts'
import { LIMITS } from '../../protocol/limits.ts'
import {
  decision,
  on,
  put,
  refuse,
  remove,
  type Context,
  type Decision,
  type DeadlineEvent,
  type Delivery,
  type Incoming,
  type JobEvent,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { account, bookCollection, combineParts, refuseCollection, type Part } from './account.ts'
import { creditAnswered, refundMoneyBooked, rightRefundMinor } from './decide-refund.ts'
import { currencyOrderAnswered } from './exchange.ts'
import { loadBatch, loadBatchById, loadEntry, loadTransfer, type DisputedEntry, type TransferSlice } from './load.ts'
import { OUTBOX, outbox, receipt, toBank, until } from './messages.ts'
import { answeredOrder } from './orders.ts'
import {
  adjust,
  agePair,
  batchAnswered,
  batchKey,
  pay,
  putPair,
  retryLater,
  settledByBank,
  type BatchSlice,
} from './pair.ts'
import type { CppPolicy } from './policy.ts'
import type { OrderRow } from './state.ts'
import {
  batches,
  entryRequests,
  pairEntries,
  pairs,
  type BatchRow,
  type DisputeItem,
  type EntryRequestRow,
  type PairEntryRow,
} from './state-pairs.ts'

type Ctx = Context<CppPolicy>

/** Orders that a transfer-answer answers. */
const TRANSFERS: ReadonlySet<OrderRow['purpose']> = new Set([
  'collection',
  'settlement',
  'payment',
  'recovery',
  'refund',
])

/** Order: a transfer order known, answered by its bank (NOT_FOUND), not answered before; then what was ordered is booked or refused. */
export const transferAnswer = on(
  (read, { message }: Incoming<'transfer-answer'>) => loadTransfer(read, message.body.orderId),
  (slice, { message }, context: Ctx): Decision => {
    const { orderId, result, code } = message.body
    if (slice === undefined || slice.order.bank !== message.sender.id || !TRANSFERS.has(slice.order.purpose))
      return refuse('NOT_FOUND', 'order')
    const forget = [outbox(OUTBOX.order, orderId), outbox(OUTBOX.query, orderId)]
    if (slice.order.state !== 'ordered') return decision({ forget })
    return combineParts([{ forget }, transferred(slice, orderId, result === 'booked', code, context)])
  },
)

/** The outcome of a transfer order, or of a refusal that stands for one. */
export const transferred = (
  { order, account: before, settlement, paid, refund }: TransferSlice,
  orderId: Uint8Array,
  booked: boolean,
  code: number | undefined,
  context: Ctx,
): Part => {
  if (order.purpose === 'payment' || order.purpose === 'recovery')
    return currencyOrderAnswered(paid, order, orderId, { booked, code }, context)
  if (order.purpose === 'refund') return creditAnswered(refund, order, orderId, booked, code, context)
  const answered = answeredOrder(orderId, order, booked ? 'booked' : 'refused', code, context)
  if (order.purpose === 'collection') {
    if (
      before === undefined ||
      !equalBytes(before.total.orderId, orderId) ||
      before.total.collectingMinor !== order.amountMinor
    )
      throw new Error("a collection was answered that the customer's total does not know")
    const step = booked
      ? bookCollection(before, orderId, order.operatorAccount, context)
      : refuseCollection(before, orderId, code, context)
    return combineParts([answered, account(before.customer.customer, step)])
  }
  if (settlement === undefined) throw new Error('a settlement order without its batch')
  const step = booked
    ? settledByBank(settlement, order.operatorAccount, context)
    : retryLater(settlement, 'failed', code, context)
  return combineParts([answered, ...putPair(step)])
}

/** The deadline `pair-age`. The key is that of the pair's row. */
export const pairAge = on(
  (read, { key }: DeadlineEvent) => read.get(pairs, key),
  (pair, { atMs }, context: Ctx): Decision =>
    pair === undefined || pair.ageAtMs !== atMs ? decision() : combineParts(putPair(agePair(pair, context))),
)

/** The deadline `settlement-retry`: a new order, for the last one was refused for good. The key is that of the batch's row. */
export const settlementRetry = on(
  (read, { key }: DeadlineEvent) => loadBatch(read, read.get(batches, key)),
  (slice, { atMs }, context: Ctx): Decision =>
    slice === undefined || slice.batch.retryAtMs !== atMs ? decision() : retrySettlement(slice, context),
)

/** Only what was refused, or had no account to go to, is ordered again. */
export const retrySettlement = (slice: BatchSlice, context: Ctx): Decision => {
  const { batch } = slice
  if (batch.state !== 'failed' && batch.state !== 'unpayable') return decision()
  const clear = batch.retryAtMs === 0 ? [] : [{ name: 'settlement-retry', key: batchKey(batch), atMs: batch.retryAtMs }]
  return combineParts([{ clear }, ...putPair(pay({ ...slice, batch: { ...batch, retryAtMs: 0 } }, context))])
}

const isAnswerTo = (
  slice: BatchSlice | undefined,
  sender: string,
  body: { readonly seq: number; readonly batchHash: Uint8Array },
): slice is BatchSlice =>
  slice !== undefined &&
  slice.batch.mpp === sender &&
  slice.batch.seq === body.seq &&
  equalBytes(slice.batch.hash, body.batchHash) &&
  slice.batch.state === 'open'

export const settlementAcceptance = on(
  (read, { message }: Incoming<'settlement-acceptance'>) => loadBatchById(read, message.body.batchId),
  (slice, { message }, context: Ctx): Decision => {
    if (!isAnswerTo(slice, message.sender.id, message.body)) return refuse('SETTLEMENT_UNKNOWN', 'batch')
    const batch: BatchRow = { ...slice.batch, answeredAtMs: context.nowMs }
    return combineParts([
      batchAnswered(batch),
      {
        record: {
          event: 'batch-accepted',
          ids: [batch.batchId],
          fields: { mpp: batch.mpp, currency: batch.currency, seq: batch.seq, totalMinor: batch.totalMinor },
        },
      },
      ...putPair(pay({ ...slice, batch }, context)),
    ])
  },
)

export const settlementDispute = on(
  (read, { message }: Incoming<'settlement-dispute'>) => {
    const slice = loadBatchById(read, message.body.batchId)
    const entries =
      slice === undefined ? [] : message.body.items.map((item) => loadEntry(read, slice.pair, item.pairSeq))
    return { slice, entries }
  },
  ({ slice, entries }, { message }, context: Ctx): Decision => {
    if (!isAnswerTo(slice, message.sender.id, message.body)) return refuse('SETTLEMENT_UNKNOWN', 'batch')
    const parts: Part[] = []
    let { pair, next } = slice
    const seen = new Set<number>()
    const disputes = message.body.items.map((item, i): DisputeItem => {
      const found = entries[i] ?? { entry: undefined, payment: undefined, refund: undefined }
      // An entry named twice is put right once.
      const state = seen.has(item.pairSeq) ? 'dismissed' : judgeItem(slice.batch, item, found)
      seen.add(item.pairSeq)
      if (state === 'adjusted') {
        const step = adjust(
          pair,
          slice.batch,
          disputedEntry(item.pairSeq, found),
          item.amountMinor - amountOf(found.entry),
          context,
        )
        pair = step.pair
        next ??= step.cut
        parts.push(...step.parts)
      }
      return { ...item, state }
    })
    const batch: BatchRow = { ...slice.batch, answeredAtMs: context.nowMs, disputes }
    return combineParts([
      batchAnswered(batch),
      {
        record: {
          event: 'batch-disputed',
          ids: [batch.batchId],
          level: 'warn',
          fields: { mpp: batch.mpp, currency: batch.currency, seq: batch.seq, items: disputes.length },
        },
      },
      ...parts,
      ...putPair(pay({ batch, pair, next }, context)),
    ])
  },
)

const amountOf = (entry: PairEntryRow | undefined): bigint => entry?.amountMinor ?? 0n

export const disputedEntry = (pairSeq: number, { payment }: DisputedEntry) => ({
  pairSeq,
  pnId: payment?.pnId,
  payee: payment?.payee,
})

/** What the entry should be, from the CPP's own payment or refund: its sum if that was confirmed with this entry, else nothing. */
const rightAmount = (pairSeq: number, { entry, payment, refund }: DisputedEntry): bigint | undefined => {
  if (entry?.kind === 'refund-confirmation') return rightRefundMinor(pairSeq, refund)
  if (entry?.kind !== 'delayed-transfer-confirmation') return undefined
  return payment?.state === 'confirmed' && payment.pairSeq === pairSeq ? payment.amountMinor : 0n
}

const judgeItem = (
  { fromSeq, toSeq }: BatchRow,
  item: { readonly pairSeq: number; readonly code: number; readonly amountMinor: bigint },
  found: DisputedEntry,
): DisputeItem['state'] => {
  if (item.pairSeq < fromSeq || item.pairSeq > toSeq) return 'dismissed'
  // It speaks of the whole range, and its amount is the range's.
  if (item.code === failureNumber('ROOT_MISMATCH')) return 'unresolved'
  const right = rightAmount(item.pairSeq, found)
  if (right === undefined || item.amountMinor !== right) return 'unresolved'
  return right === amountOf(found.entry) ? 'dismissed' : 'adjusted'
}

/**
 * An MPP asks for entries it lacks. They are frames that this CPP signed before, which a job gathers: at most
 * `maxMissingEntriesPerMessage` from the first one asked for; the MPP asks again for the rest.
 */
export const missingEntriesRequest = on(
  (read, { message }: Incoming<'missing-entries-request'>) => {
    const { fromSeq, toSeq, currency } = message.body
    const to = Math.min(toSeq, fromSeq + LIMITS.maxMissingEntriesPerMessage - 1)
    return { entries: entriesOf(read, { mpp: message.sender.id, currency, fromSeq, toSeq: to }), to }
  },
  ({ entries, to }, { message, ref }): Decision => {
    const { requestId, currency, fromSeq } = message.body
    if (entries.length === 0) return refuse('NOT_FOUND', 'no such entries')
    const request: EntryRequestRow = { requestId, ref, mpp: message.sender.id, currency, fromSeq, toSeq: to }
    return decision({
      writes: [put(entryRequests, keyOf(requestId), request)],
      jobs: [gatherJob(requestId, entries)],
      record: { event: 'entries-requested', ids: [requestId], fields: { mpp: request.mpp, fromSeq, toSeq: to } },
    })
  },
)

/** `sent`: how each entry's message was delivered, which is where the runtime keeps it. */
type Gathering = { readonly requestId: Uint8Array; readonly sent: readonly Delivery[] }
export const GATHER_JOB = 'gather-entries'
const gatherJob = (requestId: Uint8Array, sent: Gathering['sent']) => ({
  name: GATHER_JOB,
  input: { requestId, sent } satisfies Gathering,
})

/**
 * A DT is the stored answer to its countersigned decision, a refund's confirmation to its countersigned refund; an adjustment stays
 * in the outbox until the MPP has it, and is lacked by nobody afterwards.
 */
export const sentAs = (mpp: string, { kind, id }: PairEntryRow): Delivery => {
  switch (kind) {
    case 'pair-adjustment':
      return until(OUTBOX.adjustment, id)
    case 'delayed-transfer-confirmation':
      return { answers: keyOf('countersigned-decision', mpp, id) }
    case 'refund-confirmation':
      return { answers: keyOf('countersigned-refund', mpp, id) }
  }
}

const entriesOf = (
  read: Reader,
  { mpp, currency, fromSeq, toSeq }: Pick<EntryRequestRow, 'mpp' | 'currency' | 'fromSeq' | 'toSeq'>,
): Gathering['sent'] => {
  if (toSeq < fromSeq) return []
  const rows = read.scan(pairEntries, [mpp, currency], { from: [fromSeq], before: [toSeq + 1] })
  return [...rows].map(([, entry]) => sentAs(mpp, entry))
}

/** Jobs that a crash interrupted: their requests are answered once and never handled again. */
export const interruptedGathering = (read: Reader): readonly { readonly name: string; readonly input: unknown }[] =>
  [...read.scan(entryRequests, [])].map(([, request]) => gatherJob(request.requestId, entriesOf(read, request)))

export type FramesOf = (sent: readonly Delivery[]) => Promise<readonly (Uint8Array | undefined)[]>

/** Room for the fields around the frames in a body. */
const ENVELOPE_BYTES = 512

/** @param framesOf this host's own messages, sealed, by how they were delivered; undefined: not found */
export const gatherEntries =
  (framesOf: FramesOf) =>
  async (input: unknown): Promise<readonly Uint8Array[]> => {
    const frames = await framesOf((input as Gathering).sent)
    const fitting: Uint8Array[] = []
    let left = LIMITS.maxBodyBytes - ENVELOPE_BYTES
    for (const frame of frames) {
      if (frame === undefined || frame.length + 8 > left) break
      left -= frame.length + 8
      fitting.push(frame)
    }
    return fitting
  }

export const entriesGathered = on(
  (read, { input }: JobEvent) => read.get(entryRequests, (input as Gathering).requestId),
  (request, { result }): Decision => {
    if (request === undefined) return decision()
    const { requestId, currency, mpp, ref } = request
    return decision({
      writes: [remove(entryRequests, keyOf(requestId))],
      sends: [
        {
          kind: 'missing-entries',
          to: mpp,
          body: { requestId, currency, entries: [...(result as readonly Uint8Array[])] },
          delivery: { answers: ref },
        },
      ],
    })
  },
)

/**
 * Something was booked on this CPP's own account. A negative batch, which the MPP pays, is settled by it, and a macro payment's refund
 * needs it; of everything else the
 * bank's answer to the order counts. Order: receipt always; batch known, negative and exactly its sum, on the
 * operator's account, from the bank that keeps it.
 */
export const accountNotice = (read: Reader, event: Incoming<'account-notice'>, context: Ctx): Decision =>
  event.message.body.reference.purpose === 'refund'
    ? refundMoneyBooked(read, event, context)
    : settlementBooked(read, event, context)

const settlementBooked = on(
  (read, { message }: Incoming<'account-notice'>) => {
    const { purpose, id } = message.body.reference
    return purpose === 'settlement' ? loadBatchById(read, id) : undefined
  },
  (slice, { message, ref }, context: Ctx): Decision => {
    const { account: credited, amountMinor, currency } = message.body
    const bank = message.sender.id
    const received = receipt(bank, toBank(bank), message.digest, ref)
    const pays =
      slice !== undefined &&
      slice.batch.totalMinor < 0n &&
      slice.batch.currency === currency &&
      slice.batch.totalMinor === -amountMinor &&
      context.policy.operatorAccounts[currency] === credited &&
      bankOf(credited) === bank
    if (!pays) return decision({ sends: [received] })
    const { batch } = slice
    if (batch.state === 'owed')
      return combineParts([{ sends: [received] }, ...putPair(settledByBank(slice, credited, context))])
    // The MPP pays as it answers, and its money may be here first: the answer then settles the batch.
    return decision({
      sends: [received],
      writes: batch.state === 'open' ? [put(batches, batchKey(batch), { ...batch, paidTo: credited })] : [],
    })
  },
)

/** The MPP refused a batch for good: its chain is not what the MPP holds. People reconcile. */
export const batchRefused = on(
  (read: Reader, batchId: Uint8Array) => loadBatchById(read, batchId),
  (slice, _batchId, _context: Ctx): Decision => {
    if (slice === undefined || slice.batch.state !== 'open') return decision()
    const broken: BatchRow = { ...slice.batch, state: 'broken', code: failureNumber('BATCH_CHAIN_BROKEN') }
    return decision({
      writes: [put(batches, batchKey(broken), broken)],
      record: {
        event: 'batch-refused',
        ids: [broken.batchId],
        level: 'warn',
        fields: { mpp: broken.mpp, currency: broken.currency, seq: broken.seq },
      },
    })
  },
)
