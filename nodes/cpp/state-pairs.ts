/** What a CPP owes MPPs: pairs, their entries, batches, and entries that were asked for. States of a batch stand in `state.ts`. */
import type { Currency } from '../../protocol/amount.ts'
import type { RequestRef } from '../runtime/node.ts'
import { defineTable, type Table } from '../runtime/table.ts'

/** What this CPP owes one MPP in one currency. Key: (mpp, currency). */
export type PairRow = {
  readonly mpp: string
  readonly currency: Currency
  readonly operatorId: string
  readonly lastSeq: number
  /** Σ entries − Σ settled batches. */
  readonly payableMinor: bigint
  /** The range of entries in no batch yet: fromSeq … lastSeq; empty when fromSeq is lastSeq + 1. */
  readonly fromSeq: number
  readonly rangeMinor: bigint
  /** When the range's first entry came; 0 while it is empty. */
  readonly rangeSinceMs: number
  /** When the armed `pair-age` deadline fires; 0: none is armed. */
  readonly ageAtMs: number
  /** Mountain range over the range's entries, encoded. */
  readonly range: Uint8Array
  /** The last batch cut off the sequence, and its hash. */
  readonly batchSeq: number
  readonly batchHash: Uint8Array
  /** The last batch sent. */
  readonly sentSeq: number
  /** Is batch `sentSeq` not yet settled? */
  readonly open: boolean
}
export const pairs: Table<PairRow> = defineTable<PairRow>({
  name: 'pairs',
  version: 1,
  fields: [
    'mpp',
    'currency',
    'operatorId',
    'lastSeq',
    'payableMinor',
    'fromSeq',
    'rangeMinor',
    'rangeSinceMs',
    'ageAtMs',
    'range',
    'batchSeq',
    'batchHash',
    'sentSeq',
    'open',
  ],
})

export const PAIR_ENTRY_KINDS = ['delayed-transfer-confirmation', 'refund-confirmation', 'pair-adjustment'] as const
/** An entry of a pair's gapless sequence. Key: (mpp, currency, pairSeq). `kind` and `id` name the message that made it. */
export type PairEntryRow = {
  readonly kind: (typeof PAIR_ENTRY_KINDS)[number]
  readonly amountMinor: bigint
  /** pnId, refundId or adjustmentId. */
  readonly id: Uint8Array
  readonly atMs: number
}
export const pairEntries: Table<PairEntryRow> = defineTable<PairEntryRow>({
  name: 'pair-entries',
  version: 1,
  fields: ['kind', 'amountMinor', 'id', 'atMs'],
})

export type DisputeItem = {
  readonly pairSeq: number
  readonly code: number
  /** What the MPP holds to be right. */
  readonly amountMinor: bigint
  readonly state: 'adjusted' | 'unresolved' | 'dismissed'
}
/** Key: (mpp, currency, seq). */
export type BatchRow = {
  readonly batchId: Uint8Array
  readonly mpp: string
  readonly currency: Currency
  readonly seq: number
  readonly state: 'cut' | 'open' | 'ordered' | 'owed' | 'failed' | 'unpayable' | 'broken' | 'settled'
  readonly prevHash: Uint8Array
  readonly hash: Uint8Array
  readonly fromSeq: number
  readonly toSeq: number
  readonly root: Uint8Array
  readonly totalMinor: bigint
  /** 0 before it is sent. */
  readonly openedAtMs: number
  /** 0 before the MPP answered, and before it is settled. */
  readonly answeredAtMs: number
  readonly settledAtMs: number
  /** When the armed `settlement-retry` deadline fires; 0: none is armed. */
  readonly retryAtMs: number
  readonly disputes: readonly DisputeItem[]
  readonly orderId?: Uint8Array
  readonly code?: number
  /** Of a negative sum: the own account that the bank booked it to, before the MPP's answer was here. */
  readonly paidTo?: string
}
export const batches: Table<BatchRow> = defineTable<BatchRow>({
  name: 'batches',
  version: 1,
  fields: [
    'batchId',
    'mpp',
    'currency',
    'seq',
    'state',
    'prevHash',
    'hash',
    'fromSeq',
    'toSeq',
    'root',
    'totalMinor',
    'openedAtMs',
    'answeredAtMs',
    'settledAtMs',
    'retryAtMs',
    'disputes',
    'orderId',
    'code',
    'paidTo',
  ],
})
export type BatchIdRow = { readonly mpp: string; readonly currency: Currency; readonly seq: number }
export const batchIds: Table<BatchIdRow> = defineTable<BatchIdRow>({
  name: 'batch-ids',
  version: 1,
  fields: ['mpp', 'currency', 'seq'],
})

/** An MPP's request for entries whose frames are being gathered. Key: requestId. */
export type EntryRequestRow = {
  readonly requestId: Uint8Array
  readonly ref: RequestRef
  readonly mpp: string
  readonly currency: Currency
  readonly fromSeq: number
  readonly toSeq: number
}
export const entryRequests: Table<EntryRequestRow> = defineTable<EntryRequestRow>({
  name: 'entry-requests',
  version: 1,
  fields: ['requestId', 'ref', 'mpp', 'currency', 'fromSeq', 'toSeq'],
})
