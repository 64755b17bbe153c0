/**
 * What a bank keeps. Invariant: every movement of money is one journal entry whose legs add up to zero, and an account's
 * balance is the sum of its legs; `report.ts` counts both afresh. Money is credit-positive: what the bank owes.
 *
 * Hold    held     entry: a hold order the free balance covers. Exits: post → posted | posting, void → voided, its
 *                  deadline → expired. It takes from the free balance, not from the balance.
 *         posting  entry: a post whose credit travels to another bank; the money has left the account.
 *                  Exits: interbank booking → posted, interbank return → returned.
 *         refused  entry: a hold order that was refused. Exit: void → voided.
 *         voided   entry: a void of a hold held, refused or never seen (a tombstone: the hold it overtook is refused).
 *         posted, expired, returned, voided have no exit.
 * Order   crediting  entry: a post or transfer whose credit travels to another bank. Exits: booked, refused (returned).
 *         booked, refused, voided have no exit: the answer is stored for ever. A bulk order is booked once each item is booked or
 *         refused; its items are orders of their own.
 * Credit  (to another bank) sent → booked | returned by its answer; sent → unclear when the peer's protocol layer refuses it
 *         for good, so nobody knows whether it booked: an operator, who asks, makes it booked or returned.
 * Credit  (from another bank) booked | returned at once.
 * Clearing order (of this bank, the debtor) open → posted by the settlement bank's answer; open → refused when it could not
 *         be posted at all, and its sums go into the next window's order.
 * Settlement (at the settlement bank, one per clearing order) queued → posted when the debtor's reserve covers it.
 */
import type { Currency } from '../../protocol/amount.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import type { Reference } from '../../protocol/messages/bank.ts'
import type { RequestRef } from '../runtime/node.ts'
import { defineTable } from '../runtime/table.ts'

/**
 * holder    a customer's, payee's or processor's; never below zero
 * reserve   another bank's at this settlement bank; never below zero
 * clearing  position against another bank: positive, this bank owes it
 * nostro    this bank's money outside: negative, it has some there
 */
export const ACCOUNT_KINDS = ['holder', 'reserve', 'clearing', 'nostro'] as const
export type AccountKind = (typeof ACCOUNT_KINDS)[number]

export type AccountRow = {
  readonly account: string
  readonly kind: AccountKind
  readonly currency: Currency
  readonly balanceMinor: bigint
  /** Σ over active holds; of a clearing account, what open clearing orders are about to settle. */
  readonly heldMinor: bigint
  /** A processor's own account: hosts of this operator debit it without a mandate. */
  readonly operatorId?: string
  /** Ed25519; signs the account's mandates. Holders' accounts only. */
  readonly holderKey?: Uint8Array
  /** Whom account notices go to; none for a customer's account. */
  readonly holderRole?: HolderRole
  readonly holderHost?: string
  /** Other hosts of the holder's operator, which are told of the same bookings. */
  readonly alsoTold?: readonly HolderHost[]
  readonly openedAtMs: number
  readonly changedAtMs: number
}
export type HolderHost = { readonly role: HolderRole; readonly host: string }
export const HOLDER_ROLES = ['cpp', 'mpp', 'merchant'] as const
export type HolderRole = (typeof HOLDER_ROLES)[number]

/** Key [account]. */
export const ACCOUNTS = defineTable<AccountRow>({
  name: 'accounts',
  version: 1,
  fields: [
    'account',
    'kind',
    'currency',
    'balanceMinor',
    'heldMinor',
    'operatorId',
    'holderKey',
    'holderRole',
    'holderHost',
    'openedAtMs',
    'changedAtMs',
    'alsoTold',
  ],
})

export type MandateRow = {
  readonly account: string
  readonly operatorId: string
  readonly currency: Currency
  /** Bounds each single order. */
  readonly limitMinor: bigint
  /** The holder counts his mandates: an older one cannot come back. */
  readonly serial: number
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** The signed mandate: evidence. */
  readonly mandate: Uint8Array
  readonly registeredBy: string
  readonly registeredAtMs: number
}
/** Key [account, operatorId]. */
export const MANDATES = defineTable<MandateRow>({
  name: 'mandates',
  version: 1,
  fields: [
    'account',
    'operatorId',
    'currency',
    'limitMinor',
    'serial',
    'notBeforeMs',
    'notAfterMs',
    'mandate',
    'registeredBy',
    'registeredAtMs',
  ],
})

/** What kind of event an entry is of. */
export const ENTRY_EVENTS = [
  'funding',
  'transfer',
  'post',
  'interbank-out',
  'interbank-in',
  'interbank-reversal',
  'clearing-paid',
  'clearing-received',
  'reserve-funding',
  'reserve-posting',
] as const
export type EntryEvent = (typeof ENTRY_EVENTS)[number]

export type EntryRow = {
  /** 1, 2, 3… without gaps. */
  readonly entry: number
  readonly event: EntryEvent
  readonly atMs: number
  readonly currency: Currency
  /** [account, minor units]; positive credits. They add up to zero. */
  readonly legs: readonly (readonly [string, bigint])[]
  /** The order, interbank credit or clearing order that caused it. */
  readonly cause?: Uint8Array
  readonly reference?: Reference
}
/** The journal. Key [entry]. */
export const ENTRIES = defineTable<EntryRow>({
  name: 'entries',
  version: 1,
  fields: ['entry', 'event', 'atMs', 'currency', 'legs', 'cause', 'reference'],
})

export type StatementRow = {
  readonly entry: number
  readonly amountMinor: bigint
  readonly balanceMinor: bigint
}
/** An account's entries in order, adjacent. Key [account, entry]. */
export const STATEMENTS = defineTable<StatementRow>({
  name: 'statements',
  version: 1,
  fields: ['entry', 'amountMinor', 'balanceMinor'],
})

export type HoldState = 'held' | 'posting' | 'posted' | 'voided' | 'expired' | 'refused' | 'returned'
export type HoldRow = {
  readonly holdId: Uint8Array
  readonly state: HoldState
  /** operatorId of whoever ordered it: no other operator may post or void it. */
  readonly owner: string
  readonly changedAtMs: number
  /** Absent in a tombstone: the hold itself was never seen. */
  readonly order?: HoldTerms
  readonly code?: FailureCode
  /** The post order that took it. */
  readonly postedBy?: Uint8Array
}
export type HoldTerms = {
  readonly account: string
  readonly currency: Currency
  readonly amountMinor: bigint
  readonly expiresAtMs: number
  readonly orderedAtMs: number
}
/** Key [holdId]. */
export const HOLDS = defineTable<HoldRow>({
  name: 'holds',
  version: 1,
  fields: ['holdId', 'state', 'owner', 'changedAtMs', 'order', 'code', 'postedBy'],
})

export type OrderKind = 'post' | 'void' | 'transfer' | 'bulk'
/** An item of a bulk order and why it was refused; empty: it was not. */
export type BulkResult = readonly [itemId: Uint8Array, code: FailureCode | '']
export type OrderState = 'crediting' | 'booked' | 'refused' | 'voided'
export type OrderRow = {
  readonly kind: OrderKind
  /** The processor host that ordered it. */
  readonly from: string
  readonly orderId: Uint8Array
  readonly state: OrderState
  readonly receivedAtMs: number
  readonly changedAtMs: number
  /** The request, to answer it once the other bank has booked or returned, and to repeat the answer on a query. */
  readonly ref: RequestRef
  readonly code?: FailureCode
  /** Of posts and voids. */
  readonly holdId?: Uint8Array
  /** Of a void that came after the post. */
  readonly posted?: boolean
  /** Of posts and transfers that moved money; of a bulk order its items have them. */
  readonly movement?: Movement
  /** Of a transfer that is an item of a bulk order. */
  readonly bulkId?: Uint8Array
  /** Of a bulk order: its items, in their order. One that is on its way stands as not refused. */
  readonly results?: readonly BulkResult[]
}
/** Money on its way from one account to another, which may be at another bank. */
export type Movement = {
  /** Empty in the credit of a bulk order, whose items each have their own. */
  readonly debitAccount: string
  readonly creditAccount: string
  readonly currency: Currency
  readonly amountMinor: bigint
  readonly reference: Reference
}
/** Key [from, orderId]. */
export const ORDERS = defineTable<OrderRow>({
  name: 'orders',
  version: 1,
  fields: [
    'kind',
    'from',
    'orderId',
    'state',
    'receivedAtMs',
    'changedAtMs',
    'ref',
    'code',
    'holdId',
    'posted',
    'movement',
    'bulkId',
    'results',
  ],
})

export type CreditState = 'sent' | 'unclear' | 'booked' | 'returned'
export type OutgoingCreditRow = {
  readonly creditId: Uint8Array
  readonly peer: string
  readonly state: CreditState
  /** Key of the order that it carries out. */
  readonly from: string
  readonly orderId: Uint8Array
  readonly movement: Movement
  readonly sentAtMs: number
  readonly changedAtMs: number
  readonly code?: FailureCode
}
/** Credits that this bank sent to others. Key [creditId]. */
export const OUTGOING_CREDITS = defineTable<OutgoingCreditRow>({
  name: 'outgoing-credits',
  version: 1,
  fields: ['creditId', 'peer', 'state', 'from', 'orderId', 'movement', 'sentAtMs', 'changedAtMs', 'code'],
})

export type IncomingCreditRow = {
  readonly peer: string
  readonly creditId: Uint8Array
  readonly state: 'booked' | 'returned'
  readonly creditAccount: string
  readonly currency: Currency
  readonly amountMinor: bigint
  readonly atMs: number
  readonly code?: FailureCode
}
/** Credits that other banks sent to this one. Key [peer, creditId]. */
export const INCOMING_CREDITS = defineTable<IncomingCreditRow>({
  name: 'incoming-credits',
  version: 1,
  fields: ['peer', 'creditId', 'state', 'creditAccount', 'currency', 'amountMinor', 'atMs', 'code'],
})

export type ClearingItem = { readonly bank: string; readonly amountMinor: bigint }
export type ClearingOrderRow = {
  readonly clearingId: Uint8Array
  readonly window: number
  readonly currency: Currency
  readonly items: readonly ClearingItem[]
  readonly settlementBank: string
  readonly state: 'open' | 'posted' | 'refused'
  readonly sentAtMs: number
  readonly changedAtMs: number
  readonly code?: FailureCode
}
/** What this bank, as debtor, asked the settlement bank to post. Key [clearingId]. */
export const CLEARING_ORDERS = defineTable<ClearingOrderRow>({
  name: 'clearing-orders',
  version: 1,
  fields: ['clearingId', 'window', 'currency', 'items', 'settlementBank', 'state', 'sentAtMs', 'changedAtMs', 'code'],
})

export type SettlementRow = {
  readonly debtor: string
  readonly clearingId: Uint8Array
  readonly window: number
  readonly currency: Currency
  readonly items: readonly ClearingItem[]
  readonly state: 'queued' | 'posted'
  /** Absent for the settlement bank's own clearing order, which no message carried. */
  readonly ref?: RequestRef
  readonly receivedAtMs: number
  readonly changedAtMs: number
}
/** At the settlement bank. Key [debtor, clearingId]. */
export const SETTLEMENTS = defineTable<SettlementRow>({
  name: 'settlements',
  version: 1,
  fields: ['debtor', 'clearingId', 'window', 'currency', 'items', 'state', 'ref', 'receivedAtMs', 'changedAtMs'],
})
/** Queued settlements in the order they came. Key [currency, place]. */
export type QueueRow = { readonly debtor: string; readonly clearingId: Uint8Array; readonly place: number }
export const QUEUE = defineTable<QueueRow>({ name: 'queue', version: 1, fields: ['debtor', 'clearingId', 'place'] })

/** At the settlement bank: a posted credit that the creditor has not receipted yet. Key [noticeId]; removed by the receipt. */
export type PendingNoticeRow = {
  readonly noticeId: Uint8Array
  readonly debtor: string
  readonly creditor: string
  readonly currency: Currency
  readonly amountMinor: bigint
}
export const PENDING_NOTICES = defineTable<PendingNoticeRow>({
  name: 'pending-notices',
  version: 1,
  fields: ['noticeId', 'debtor', 'creditor', 'currency', 'amountMinor'],
})

/** Key ['entry'], ['queue'], ['window']: the last number given. */
export type CounterRow = { readonly last: number }
export const COUNTERS = defineTable<CounterRow>({ name: 'counters', version: 1, fields: ['last'] })

/** Key ['window']: the open clearing window. */
export type WindowRow = { readonly window: number; readonly closesAtMs: number }
export const WINDOW = defineTable<WindowRow>({ name: 'window', version: 1, fields: ['window', 'closesAtMs'] })

/** Key [data-center host]. */
export type RegistrationRow = {
  readonly host: string
  readonly version: number
  readonly receiptedAtMs?: number
}
export const REGISTRATIONS = defineTable<RegistrationRow>({
  name: 'registrations',
  version: 1,
  fields: ['host', 'version', 'receiptedAtMs'],
})

export const TABLES = [
  ACCOUNTS,
  MANDATES,
  ENTRIES,
  STATEMENTS,
  HOLDS,
  ORDERS,
  OUTGOING_CREDITS,
  INCOMING_CREDITS,
  CLEARING_ORDERS,
  SETTLEMENTS,
  QUEUE,
  PENDING_NOTICES,
  COUNTERS,
  WINDOW,
  REGISTRATIONS,
] as const
