/**
 * What this CPP owes one MPP in one currency (design §3): a gapless sequence of entries, cut into batches that are settled one
 * at a time.
 *
 * Invariants: payable = Σ entries − Σ settled batches; an entry is in exactly one batch or in the open range; a batch, once
 * cut, is never made again; of the batches that were sent at most one is not settled.
 */
import type { Currency } from '../../protocol/amount.ts'
import { bankOf } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import {
  EMPTY_RANGE,
  NO_PREVIOUS_BATCH,
  appendLeaf,
  batchHash,
  decodeRange,
  encodeRange,
  pairEntryLeaf,
  rangeRoot,
  type PairEntryType,
} from '../../protocol/mountain-range.ts'
import { put, type Context, type Posting } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { cash, type Part } from './account.ts'
import { OUTBOX, outbox, until } from './messages.ts'
import { settlementAccount, settlementDueMs, settlementThreshold, type CppPolicy } from './policy.ts'
import { orders } from './state.ts'
import { batchIds, batches, pairEntries, pairs, type BatchRow, type PairEntryRow, type PairRow } from './state-pairs.ts'

type Ctx = Context<CppPolicy>
export type PairStep = {
  readonly pair: PairRow
  readonly parts: readonly Part[]
  /** A batch that became full and waits to be sent. */
  readonly cut?: BatchRow
}
/** A batch that is to be paid, its pair, and the batch after it where that is cut already. */
export type BatchSlice = { readonly batch: BatchRow; readonly pair: PairRow; readonly next: BatchRow | undefined }

export const newPair = (mpp: string, currency: Currency, operatorId: string): PairRow => ({
  mpp,
  currency,
  operatorId,
  lastSeq: 0,
  payableMinor: 0n,
  fromSeq: 1,
  rangeMinor: 0n,
  rangeSinceMs: 0,
  ageAtMs: 0,
  range: encodeRange(EMPTY_RANGE),
  batchSeq: 0,
  batchHash: NO_PREVIOUS_BATCH,
  sentSeq: 0,
  open: false,
})

export const pairKey = (pair: { readonly mpp: string; readonly currency: Currency }): Uint8Array =>
  keyOf(pair.mpp, pair.currency)
export const batchKey = (batch: {
  readonly mpp: string
  readonly currency: Currency
  readonly seq: number
}): Uint8Array => keyOf(batch.mpp, batch.currency, batch.seq)

/** The pair's row as these parts leave it. */
export const putPair = ({ pair, parts }: PairStep): readonly Part[] => [
  { writes: [put(pairs, pairKey(pair), pair)] },
  ...parts,
]

export const payable = (mpp: string): string => `payable:${mpp}`

export const LEAF_TYPE: { readonly [K in PairEntryRow['kind']]: PairEntryType } = {
  'delayed-transfer-confirmation': 'dt',
  'refund-confirmation': 'refund',
  'pair-adjustment': 'adjustment',
}

/** The next entry of the sequence. From here on the CPP owes it, whether or not it ever collects. */
export const append = (
  before: PairRow,
  entry: PairEntryRow & { readonly pnId: Uint8Array | null; readonly payee: string | null },
  context: Ctx,
): PairStep => {
  const pairSeq = before.lastSeq + 1
  const { kind, amountMinor, id, atMs, pnId, payee } = entry
  const leaf = pairEntryLeaf({ pairSeq, type: LEAF_TYPE[kind], pnId, payee, amountMinor, currency: before.currency })
  const pair: PairRow = {
    ...before,
    lastSeq: pairSeq,
    payableMinor: before.payableMinor + amountMinor,
    rangeMinor: before.rangeMinor + amountMinor,
    rangeSinceMs: before.rangeSinceMs === 0 ? context.nowMs : before.rangeSinceMs,
    range: encodeRange(appendLeaf(decodeRange(before.range), leaf)),
  }
  const written: Part = {
    writes: [put(pairEntries, keyOf(pair.mpp, pair.currency, pairSeq), { kind, amountMinor, id, atMs })],
  }
  // An MPP takes no longer range: what comes while an earlier batch is open goes to the one after.
  if (pairSeq - pair.fromSeq + 1 >= LIMITS.maxEntriesPerBatch) {
    const full = cut(pair, context)
    return { ...full, parts: [written, ...full.parts] }
  }
  const armed = armAge(pair, context)
  return { pair: armed.pair, parts: [written, ...armed.parts] }
}

/** One deadline a pair, armed while there is something to settle; moved when a policy has made it due earlier. */
const armAge = (pair: PairRow, context: Ctx): PairStep => {
  if (pair.rangeSinceMs === 0 || pair.open) return { pair, parts: [] }
  const atMs = Math.max(settlementDueMs(context.policy, pair.rangeSinceMs), context.nowMs + 1)
  if (pair.ageAtMs !== 0 && pair.ageAtMs <= atMs) return { pair, parts: [] }
  const deadline = { name: 'pair-age', key: pairKey(pair) }
  const clear = pair.ageAtMs === 0 ? [] : [{ ...deadline, atMs: pair.ageAtMs }]
  return { pair: { ...pair, ageAtMs: atMs }, parts: [{ set: [{ ...deadline, atMs }], clear }] }
}

const isDue = ({ rangeMinor, rangeSinceMs, currency }: PairRow, { policy, nowMs }: Ctx): boolean => {
  const magnitude = rangeMinor < 0n ? -rangeMinor : rangeMinor
  return magnitude >= settlementThreshold(policy, currency) || settlementDueMs(policy, rangeSinceMs) <= nowMs
}

/** Closes the open range into a batch that is fixed from here on, and begins the next range. */
const cut = (before: PairRow, context: Ctx): PairStep & { readonly cut: BatchRow } => {
  const { mpp, currency, fromSeq, lastSeq: toSeq, rangeMinor: totalMinor, batchHash: prevHash } = before
  const seq = before.batchSeq + 1
  const root = rangeRoot(decodeRange(before.range))
  const hash = batchHash(prevHash, { cpp: context.self.id, mpp, currency, seq, fromSeq, toSeq, root, totalMinor })
  const batch: BatchRow = {
    batchId: context.freshId(),
    mpp,
    currency,
    seq,
    state: 'cut',
    prevHash,
    hash,
    fromSeq,
    toSeq,
    root,
    totalMinor,
    openedAtMs: 0,
    answeredAtMs: 0,
    settledAtMs: 0,
    retryAtMs: 0,
    disputes: [],
  }
  const pair: PairRow = {
    ...before,
    fromSeq: toSeq + 1,
    rangeMinor: 0n,
    rangeSinceMs: 0,
    range: encodeRange(EMPTY_RANGE),
    batchSeq: seq,
    batchHash: hash,
  }
  const rows = [put(batches, batchKey(batch), batch), put(batchIds, keyOf(batch.batchId), { mpp, currency, seq })]
  return { pair, parts: [{ writes: rows }], cut: batch }
}

const send = (before: PairRow, batch: BatchRow, { nowMs }: Ctx): PairStep => {
  const { batchId, mpp, currency, seq, prevHash, fromSeq, toSeq, root, totalMinor } = batch
  const open: BatchRow = { ...batch, state: 'open', openedAtMs: nowMs }
  return {
    pair: { ...before, sentSeq: seq, open: true },
    parts: [
      {
        writes: [put(batches, batchKey(batch), open)],
        sends: [
          {
            kind: 'settlement-batch',
            to: mpp,
            body: { batchId, mpp, currency, seq, prevHash, fromSeq, toSeq, root, totalMinor },
            delivery: until(OUTBOX.batch, batchId),
          },
        ],
        record: { event: 'batch-opened', ids: [batchId], fields: { mpp, currency, seq, fromSeq, toSeq, totalMinor } },
      },
    ],
  }
}

/**
 * Sends the next batch, unless one is open: one that was cut already, else the open range where it is due.
 * @param options `next` the batch after the last one sent, where it is cut; `force` the operator's word that it is due
 */
export const openBatch = (
  before: PairRow,
  context: Ctx,
  { next, force = false }: { readonly next?: BatchRow | undefined; readonly force?: boolean } = {},
): PairStep => {
  if (before.open) return { pair: before, parts: [] }
  if (next !== undefined) return send(before, next, context)
  if (before.rangeSinceMs === 0) return { pair: before, parts: [] }
  if (!force && !isDue(before, context)) return armAge(before, context)
  const step = cut(before, context)
  const sent = send(step.pair, step.cut, context)
  return { pair: sent.pair, parts: [...step.parts, ...sent.parts] }
}

/** The `pair-age` deadline fired. */
export const agePair = (before: PairRow, context: Ctx): PairStep => openBatch({ ...before, ageAtMs: 0 }, context)

/**
 * The MPP has answered a batch, or an earlier transfer for it failed: the full total is paid now. Between hosts of one operator
 * it is a book transfer; a negative sum the MPP pays; nothing at all is settled at once.
 */
export const pay = (slice: BatchSlice, context: Ctx): PairStep => {
  const { pair, batch } = slice
  const { mpp, currency, totalMinor } = batch
  if (totalMinor === 0n) return settled(slice, [], context)
  if (pair.operatorId === context.self.operatorId)
    return settled(slice, settlementPostings(batch, `operator:${pair.operatorId}`), context)
  if (totalMinor < 0n) {
    if (batch.paidTo !== undefined) return settledByBank(slice, batch.paidTo, context)
    const owed: BatchRow = { ...batch, state: 'owed' }
    return { pair, parts: [{ writes: [put(batches, batchKey(batch), owed)] }] }
  }
  const debitAccount = context.policy.operatorAccounts[currency]
  const creditAccount = settlementAccount(context.policy, mpp, currency)
  if (debitAccount === undefined || creditAccount === undefined)
    return retryLater(slice, 'unpayable', undefined, context)
  const orderId = context.freshId()
  const bank = bankOf(debitAccount)
  const paying: BatchRow = { ...batch, state: 'ordered', orderId, retryAtMs: 0 }
  return {
    pair,
    parts: [
      {
        writes: [
          put(batches, batchKey(batch), paying),
          put(orders, keyOf(orderId), {
            purpose: 'settlement',
            state: 'ordered',
            bank,
            amountMinor: totalMinor,
            currency,
            subject: mpp,
            operatorAccount: debitAccount,
            orderedAtMs: context.nowMs,
            answeredAtMs: 0,
            batchSeq: batch.seq,
          }),
        ],
        sends: [
          {
            kind: 'transfer-order',
            to: bank,
            body: {
              orderId,
              debitAccount,
              creditAccount,
              amountMinor: totalMinor,
              currency,
              reference: { purpose: 'settlement', id: batch.batchId },
            },
            delivery: until(OUTBOX.order, orderId),
          },
        ],
        record: {
          event: 'settlement-ordered',
          ids: [batch.batchId, orderId],
          fields: { mpp, currency, seq: batch.seq, totalMinor },
        },
      },
    ],
  }
}

/** The transfer did not happen, and is tried again after the retry delay or on the operator's word. */
export const retryLater = (
  { pair, batch }: BatchSlice,
  state: 'failed' | 'unpayable',
  code: number | undefined,
  context: Ctx,
): PairStep => {
  const atMs = context.nowMs + context.policy.settlement.retryMs
  const waiting: BatchRow = { ...batch, state, retryAtMs: atMs, ...(code === undefined ? {} : { code }) }
  return {
    pair,
    parts: [
      {
        writes: [put(batches, batchKey(batch), waiting)],
        set: [{ name: 'settlement-retry', key: batchKey(batch), atMs }],
        record: {
          event: state === 'failed' ? 'settlement-refused' : 'settlement-postponed',
          ids: [batch.batchId],
          level: 'warn',
          fields: { mpp: batch.mpp, currency: batch.currency, seq: batch.seq, code },
        },
      },
    ],
  }
}

/** @param contra the account that pays: the operator's cash, or the books shared with the MPP */
export const settlementPostings = ({ mpp, currency, totalMinor }: BatchRow, contra: string): readonly Posting[] => [
  { account: payable(mpp), currency, amountMinor: -totalMinor },
  { account: contra, currency, amountMinor: totalMinor },
]

/** The batch is paid; the next one opens at once where it is due. */
export const settled = (
  { pair: before, batch, next }: BatchSlice,
  postings: readonly Posting[],
  context: Ctx,
): PairStep => {
  const pair: PairRow = { ...before, payableMinor: before.payableMinor - batch.totalMinor, open: false }
  const done: BatchRow = { ...batch, state: 'settled', settledAtMs: context.nowMs, retryAtMs: 0 }
  const following = openBatch(pair, context, { next })
  return {
    pair: following.pair,
    parts: [
      {
        writes: [put(batches, batchKey(batch), done)],
        postings,
        record: {
          event: 'batch-settled',
          ids: [batch.batchId],
          fields: { mpp: batch.mpp, currency: batch.currency, seq: batch.seq, totalMinor: batch.totalMinor },
        },
      },
      ...following.parts,
    ],
  }
}

/** {@link settled} by a transfer of the CPP's own bank account, of either direction. */
export const settledByBank = (slice: BatchSlice, operatorAccount: string, context: Ctx): PairStep =>
  settled(slice, settlementPostings(slice.batch, cash(operatorAccount)), context)

/** An entry (±) that puts a disputed one right; it is settled with the next batch. */
export const adjust = (
  before: PairRow,
  batch: BatchRow,
  disputed: { readonly pairSeq: number; readonly pnId: Uint8Array | undefined; readonly payee: string | undefined },
  amountMinor: bigint,
  context: Ctx,
): PairStep => {
  const { mpp, currency } = before
  const adjustmentId = context.freshId()
  const { pairSeq: disputedSeq, pnId, payee } = disputed
  const appended = append(
    before,
    {
      kind: 'pair-adjustment',
      amountMinor,
      id: adjustmentId,
      atMs: context.nowMs,
      pnId: pnId ?? null,
      payee: payee ?? null,
    },
    context,
  )
  const pairSeq = appended.pair.lastSeq
  return {
    ...appended,
    parts: [
      ...appended.parts,
      {
        sends: [
          {
            kind: 'pair-adjustment',
            to: mpp,
            body: {
              adjustmentId,
              mpp,
              currency,
              pairSeq,
              amountMinor,
              batchId: batch.batchId,
              disputedSeq,
              ...(payee === undefined ? {} : { payee }),
              ...(pnId === undefined ? {} : { pnId }),
            },
            delivery: until(OUTBOX.adjustment, adjustmentId),
          },
        ],
        postings: [
          { account: payable(mpp), currency, amountMinor },
          { account: 'adjustments', currency, amountMinor: -amountMinor },
        ],
        record: {
          event: 'entry-adjusted',
          ids: [batch.batchId, adjustmentId],
          fields: { mpp, currency, pairSeq, disputedSeq, amountMinor },
        },
      },
    ],
  }
}

/** Stops the resending of a batch that was answered. */
export const batchAnswered = (batch: BatchRow): Part => ({ forget: [outbox(OUTBOX.batch, batch.batchId)] })
