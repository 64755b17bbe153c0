/**
 * What a CPP keeps beside its ledger to collect at the right moment. None of it is money: the sums stand in the customer's total.
 *
 * A customer's collections: refused → repeated after a wait that doubles, at most `maxRetries` times in a row, then by the operator;
 * booked → in order again. An account's closure: closing (nothing new is paid; what is under way ends, what is owed is collected)
 * → closed, for ever. A bulk order: ordered → answered | refused.
 */
import type { Currency } from '../../protocol/amount.ts'
import type { RequestRef } from '../runtime/node.ts'
import { defineTable, type Table } from '../runtime/table.ts'

/** A customer whose collections were refused. Key: customer. Absent: none ever was. */
export type TroubleRow = {
  readonly refusals: number
  /** Since the last one that was booked. */
  readonly inARow: number
  /** When the armed `collection-retry` deadline fires; 0: none is armed. */
  readonly retryAtMs: number
}
export const troubles: Table<TroubleRow> = defineTable<TroubleRow>({
  name: 'collection-troubles',
  version: 1,
  fields: ['refusals', 'inARow', 'retryAtMs'],
})
export const NO_TROUBLE: TroubleRow = { refusals: 0, inARow: 0, retryAtMs: 0 }

/** The closure of a customer's account. Key: customer. */
export type ClosureRow = {
  readonly closureId: Uint8Array
  /** The request that is answered once the account is closed, and its digest. */
  readonly ref: RequestRef
  readonly digest: Uint8Array
  readonly requestedAtMs: number
  /** 0 while it is closing. */
  readonly closedAtMs: number
}
export const closures: Table<ClosureRow> = defineTable<ClosureRow>({
  name: 'account-closures',
  version: 1,
  fields: ['closureId', 'ref', 'digest', 'requestedAtMs', 'closedAtMs'],
})

/** Who is to be in the next bulk order of a bank. Key: (bank, currency, customer). */
export type DueRow = { readonly customer: string }
export const dues: Table<DueRow> = defineTable<DueRow>({ name: 'dues', version: 1, fields: ['customer'] })

/** Collections of many customers in one order. Each is a row of `orders` under its itemId. Key: orderId. */
export type BulkOrderRow = {
  readonly state: 'ordered' | 'answered' | 'refused'
  readonly bank: string
  readonly currency: Currency
  readonly totalMinor: bigint
  readonly items: readonly Uint8Array[]
  readonly orderedAtMs: number
  /** 0 while unanswered. */
  readonly answeredAtMs: number
  readonly code?: number
}
export const bulkOrders: Table<BulkOrderRow> = defineTable<BulkOrderRow>({
  name: 'bulk-orders',
  version: 1,
  fields: ['state', 'bank', 'currency', 'totalMinor', 'items', 'orderedAtMs', 'answeredAtMs', 'code'],
})

/** The settings that every customer's moments were last set by. Key: 'current'. */
export type ArmedRow = { readonly settings: string }
export const armed: Table<ArmedRow> = defineTable<ArmedRow>({
  name: 'aggregation-armed',
  version: 1,
  fields: ['settings'],
})
export const CURRENT = 'current'

/**
 * A walk over all customers, a page at a time, off the payment path. Key: its name. `rearm` sets every customer's moments by a new
 * policy; `gather` samples what customers are like, `assign` gives each a θ of the table computed from the sample.
 */
export type PassRow = {
  /** A later run ends an earlier one. */
  readonly run: number
  readonly step: 'rearm' | 'gather' | 'compute' | 'assign' | 'done'
  /** The last customer visited; empty before the first. */
  readonly after: string
  /** Of `gather`: how many customers of each currency the sample was drawn from so far. */
  readonly seen: readonly (readonly [Currency, number])[]
}
export const passes: Table<PassRow> = defineTable<PassRow>({
  name: 'aggregation-passes',
  version: 1,
  fields: ['run', 'step', 'after', 'seen'],
})

/** The sample that a table of θ is computed from. Key: (currency, slot). `features` in the order of kmeans.ts. */
export type SampleRow = { readonly features: readonly number[] }
export const samples: Table<SampleRow> = defineTable<SampleRow>({
  name: 'theta-samples',
  version: 1,
  fields: ['features'],
})

/** A table of θ, of one currency. Key: (version, currency). The latest is in force; the others say what was. */
export type ThetaTableRow = {
  readonly version: number
  readonly currency: Currency
  readonly computedAtMs: number
  /** Of the policy it was computed by, as JSON. */
  readonly settings: string
  readonly customers: number
  readonly k: number
  readonly silhouette: number
  /** How features become coordinates: the mean and the deviation of each. */
  readonly means: readonly number[]
  readonly deviations: readonly number[]
  readonly clusters: readonly ThetaClusterRow[]
}
export type ThetaClusterRow = {
  readonly centroid: readonly number[]
  readonly size: number
  readonly spendPerDayMinor: number
  readonly hazardPerDay: number
  readonly thresholdMinor: bigint
}
export const thetaTables: Table<ThetaTableRow> = defineTable<ThetaTableRow>({
  name: 'theta-tables',
  version: 1,
  fields: [
    'version',
    'currency',
    'computedAtMs',
    'settings',
    'customers',
    'k',
    'silhouette',
    'means',
    'deviations',
    'clusters',
  ],
})

export const AGGREGATION_TABLES = [troubles, closures, dues, bulkOrders, armed, passes, samples, thetaTables] as const
