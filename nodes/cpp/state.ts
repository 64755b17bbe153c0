/**
 * What a CPP keeps. Its ledger is the single commit point of a payment: what stands here is what happened.
 *
 * A payment's states, with entry and exits (design §2):
 *
 *   waiting    micro, admitted later   ← request that crosses θ              → notified | expired | refused
 *   holding    macro, hold ordered     ← request                             → notified | expired | refused
 *   notified   the payee's side asked  ← admission, hold placed              → confirmed | posting | rejected | expired
 *   posting    macro, transfer ordered ← approve before expiry               → confirmed | failed
 *   confirmed  final                   ← approve before expiry (micro), transfer booked (macro)
 *   refused    final                   ← any check, collection or hold refused, withdrawn
 *   rejected   final                   ← the payee's or the MPP's reject before expiry
 *   expired    final                   ← notice expiry, or a decision at or after it
 *   failed     final                   ← the bank returned the transfer
 *
 * A refund's states:
 *
 *   awaiting   macro, its money is not here yet  ← countersigned refund      → confirmed
 *   confirmed  final                             ← countersigned refund (micro), that and the bank's notice (macro)
 *
 * What of it the customer does not owe is credited to their account: none, ordered → booked | refused → ordered, after a delay;
 * unpayable where no account is configured → ordered, after a delay.
 *
 * A batch's states:
 *
 *   cut        full while an earlier one is open     → open
 *   open       sent, the MPP has not answered        → ordered | owed | unpayable | settled | broken
 *   ordered    answered, transfer ordered            → settled | failed
 *   owed       answered, the MPP is to pay           → settled; at once where its money was here before its answer
 *   failed     the bank refused the transfer         → ordered, after the retry delay or by the operator
 *   unpayable  no account is configured              → ordered, after the retry delay or by the operator
 *   broken     the MPP refused the chain of batches  → by reconciliation of people
 *   settled    final
 */
import type { Currency, PaymentMode } from '../../protocol/amount.ts'
import type { RequestRef } from '../runtime/node.ts'
import { defineTable, type Table } from '../runtime/table.ts'
import { positions, quotes } from './state-fx.ts'
import { batches, batchIds, entryRequests, pairEntries, pairs } from './state-pairs.ts'
import { paymentRefunds, refundMoney, refunds } from './state-refunds.ts'

/** An enrolled customer, or one whose enrolment is under way. Key: customer. */
export type CustomerRow = {
  readonly customer: string
  /** `mandating`: the bank is asked; `recording`: the signed record is being made; `closing`, `closed`: closing.ts. */
  readonly state: 'mandating' | 'recording' | 'active' | 'closing' | 'closed'
  readonly walletHost: string
  readonly deviceKey: Uint8Array
  /** Encrypted under a key of this node alone. */
  readonly sealedPinKey: Uint8Array
  readonly account: string
  readonly currency: Currency
  readonly wrongPins: number
  /** 0: not locked. */
  readonly pinLockedAtMs: number
  readonly enrolmentId: Uint8Array
  readonly enrolmentRef: RequestRef
  readonly enrolmentDigest: Uint8Array
  readonly mandate: Uint8Array
  readonly serial: number
  readonly requestedAtMs: number
  readonly enrolledAtMs: number
  readonly record?: Uint8Array
  readonly alias?: string
  /** Of a policy that computes θ per customer. */
  readonly assignedThresholdMinor?: bigint
  /** The version of the table that it is of. */
  readonly thresholdVersion?: number
  /** The device was reported lost: nothing that it seals is believed. Absent: it is in use. */
  readonly deviceLostAtMs?: number
}
export const customers: Table<CustomerRow> = defineTable<CustomerRow>({
  name: 'customers',
  version: 1,
  fields: [
    'customer',
    'state',
    'walletHost',
    'deviceKey',
    'sealedPinKey',
    'account',
    'currency',
    'wrongPins',
    'pinLockedAtMs',
    'enrolmentId',
    'enrolmentRef',
    'enrolmentDigest',
    'mandate',
    'serial',
    'requestedAtMs',
    'enrolledAtMs',
    'record',
    'alias',
    'assignedThresholdMinor',
    'deviceLostAtMs',
    'thresholdVersion',
  ],
})

/** What a customer whose device is lost was last given, to bring another one. Key: customer. */
export type AuthorizationRow = {
  /** H(the statement as it was signed). */
  readonly digest: Uint8Array
  readonly host: string
  readonly expiresAtMs: number
  /** 0: not used yet. */
  readonly usedAtMs: number
}
export const authorizations: Table<AuthorizationRow> = defineTable<AuthorizationRow>({
  name: 'device-authorizations',
  version: 1,
  fields: ['digest', 'host', 'expiresAtMs', 'usedAtMs'],
})

/** A replacement whose record is being signed: until then the customer's row is as it was. Key: customer. */
export type ReplacementRow = {
  readonly customer: string
  readonly changeId: Uint8Array
  readonly ref: RequestRef
  readonly digest: Uint8Array
  readonly deviceKey: Uint8Array
  readonly host: string
}
export const replacements: Table<ReplacementRow> = defineTable<ReplacementRow>({
  name: 'device-replacements',
  version: 1,
  fields: ['customer', 'changeId', 'ref', 'digest', 'deviceKey', 'host'],
})

/** The record of a device that another has replaced: what it sealed is proved by it. Key: (customer, key id of the device). */
export const formerRecords: Table<{ readonly record: Uint8Array }> = defineTable<{ readonly record: Uint8Array }>({
  name: 'former-records',
  version: 1,
  fields: ['record'],
})

/** `kind` of a ledger row: 0 is the total, the others are entries. */
export const ENTRY = { payment: 1, collection: 2, refundOffset: 3, writeOff: 4 } as const
export type EntryKind = (typeof ENTRY)[keyof typeof ENTRY]

/** A customer's total. Key: (customer). */
export type TotalRow = {
  readonly kind: 0
  readonly currency: Currency
  readonly outstandingMinor: bigint
  readonly collectingMinor: bigint
  readonly pendingMinor: bigint
  /** θ in force at the last admission. */
  readonly thresholdMinor: bigint
  readonly lastSeq: number
  /** Payments that wait, and the number the next one gets. */
  readonly waiting: number
  readonly nextWait: number
  /** When outstanding last left zero; 0 while it is zero. */
  readonly debtSinceMs: number
  /** When the armed `debt-age` deadline fires; 0: none is armed. */
  readonly debtAgeAtMs: number
  /** 0: not suspended. */
  readonly suspendedAtMs: number
  /** The running collection's order; empty when none runs. */
  readonly orderId: Uint8Array
}
/** A change of what the customer owes. Key: (customer, seq). */
export type EntryRow = {
  readonly kind: EntryKind
  readonly amountMinor: bigint
  /** prId of a payment, orderId of a collection. */
  readonly id: Uint8Array
  readonly atMs: number
}

const totalRows = defineTable<TotalRow>({
  name: 'ledger',
  version: 1,
  fields: [
    'kind',
    'currency',
    'outstandingMinor',
    'collectingMinor',
    'pendingMinor',
    'thresholdMinor',
    'lastSeq',
    'waiting',
    'nextWait',
    'debtSinceMs',
    'debtAgeAtMs',
    'suspendedAtMs',
    'orderId',
  ],
})
const entryRows = defineTable<EntryRow>({ name: 'ledger', version: 1, fields: ['kind', 'amountMinor', 'id', 'atMs'] })

/**
 * Total and entries of a customer stand side by side in one tree (design §5): the total is one get, all micropayments of a
 * customer one ordered scan. A row is told by its kind, the second element of its array: with fewer than 16 elements the third byte.
 */
export const ledger: Table<TotalRow | EntryRow> = {
  name: 'ledger',
  version: 1,
  encode: (row) => (row.kind === 0 ? totalRows.encode(row) : entryRows.encode(row)),
  decode: (bytes) => (bytes[2] === 0 ? totalRows.decode(bytes) : entryRows.decode(bytes)),
}

export type PaymentState =
  'waiting' | 'holding' | 'notified' | 'posting' | 'confirmed' | 'refused' | 'rejected' | 'expired' | 'failed'

/** Key: prId. Only this row joins the customer's side (prId) with the payee's (pnId). */
export type PaymentRow = {
  readonly prId: Uint8Array
  readonly state: PaymentState
  readonly customer: string
  /** The wallet host that asked for it, and is answered, wherever the customer's device is by then. */
  readonly walletHost: string
  readonly payee: string
  readonly txId: Uint8Array
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly mode: PaymentMode
  readonly mpp: string
  readonly mppOperatorId: string
  readonly merchantHost: string
  readonly payoutAccount: string
  /** The request that the final answer is stored under. */
  readonly ref: RequestRef
  readonly expiresAtMs: number
  readonly receivedAtMs: number
  /** 0 while undecided. */
  readonly decidedAtMs: number
  readonly notifiedAtMs?: number
  readonly postingAtMs?: number
  /** Failure number of an end that is not `confirmed`. */
  readonly code?: number
  /** The payee's words to the customer, with a reject. */
  readonly reason?: string
  readonly waitNo?: number
  readonly pnId?: Uint8Array
  readonly holdId?: Uint8Array
  readonly orderId?: Uint8Array
  /** The approve that a macro payment's T answers. */
  readonly decisionRef?: RequestRef
  readonly pairSeq?: number
  /** What the customer owed after this micropayment. */
  readonly outstandingMinor?: bigint
  /** What the customer is charged and in which currency, where that is not the invoice's; and the quote it follows. */
  readonly accountAmountMinor?: bigint
  readonly accountCurrency?: Currency
  readonly quoteId?: Uint8Array
  /** Of a confirmed macro payment in another currency: has the CPP what the customer is charged? */
  readonly exchange?: 'ordered' | 'owed' | 'booked'
}
export const payments: Table<PaymentRow> = defineTable<PaymentRow>({
  name: 'payments',
  version: 1,
  fields: [
    'prId',
    'state',
    'customer',
    'payee',
    'txId',
    'amountMinor',
    'currency',
    'mode',
    'mpp',
    'mppOperatorId',
    'merchantHost',
    'payoutAccount',
    'ref',
    'expiresAtMs',
    'receivedAtMs',
    'decidedAtMs',
    'notifiedAtMs',
    'postingAtMs',
    'code',
    'reason',
    'waitNo',
    'pnId',
    'holdId',
    'orderId',
    'decisionRef',
    'pairSeq',
    'outstandingMinor',
    'accountAmountMinor',
    'accountCurrency',
    'quoteId',
    'exchange',
    'walletHost',
  ],
})

/** A request that ended before any TRANS was accepted, and the tombstone of one that never came. Key: prId. */
export type RefusedRequestRow = {
  readonly customer: string
  /** Whose request it was, or who asked about it before it came. */
  readonly walletHost: string
  readonly code: number
  readonly decidedAtMs: number
}
export const refusedRequests: Table<RefusedRequestRow> = defineTable<RefusedRequestRow>({
  name: 'refused-requests',
  version: 1,
  fields: ['customer', 'code', 'decidedAtMs', 'walletHost'],
})

/** pnId → prId. */
export type NoticeRow = { readonly prId: Uint8Array }
export const notices: Table<NoticeRow> = defineTable<NoticeRow>({ name: 'notices', version: 1, fields: ['prId'] })

/** Who is paying, or has paid, a TRANS. Key: (payee, txId). Gone after any end but `confirmed`. */
export type TransLockRow = { readonly prId: Uint8Array; readonly paid: boolean }
export const transLocks: Table<TransLockRow> = defineTable<TransLockRow>({
  name: 'trans-locks',
  version: 1,
  fields: ['prId', 'paid'],
})

/** The TRANS frame of a payment whose notice is still to be sent. Key: prId. */
export type InvoiceRow = { readonly frame: Uint8Array }
export const invoices: Table<InvoiceRow> = defineTable<InvoiceRow>({ name: 'invoices', version: 1, fields: ['frame'] })

/** A customer's waiting payments, first come first served. Key: (customer, waitNo). */
export type WaitingRow = { readonly prId: Uint8Array }
export const waiting: Table<WaitingRow> = defineTable<WaitingRow>({ name: 'waiting', version: 1, fields: ['prId'] })

/**
 * Orders of a macro payment in another currency: `payment` from the CPP's own account to the payee, `exchange` of the hold to the
 * CPP, `recovery` from the customer's account where the hold could not be posted any more.
 */
export type CurrencyOrder = 'payment' | 'exchange' | 'recovery'
/** An order at a bank. Key: holdId of a hold, orderId of the others. */
export type OrderRow = {
  readonly purpose: 'collection' | 'hold' | 'post' | 'void' | 'settlement' | 'refund' | CurrencyOrder
  readonly state: 'ordered' | 'booked' | 'refused'
  readonly bank: string
  readonly amountMinor: bigint
  readonly currency: Currency
  /** Customer of a collection or refund, `<mpp>` of a settlement; of the others the payment says who. */
  readonly subject: string
  /** Of a collection, a settlement or a currency order: the CPP's own account that it credits or debits. */
  readonly operatorAccount: string
  readonly orderedAtMs: number
  /** 0 while unanswered. */
  readonly answeredAtMs: number
  readonly prId?: Uint8Array
  readonly batchSeq?: number
  readonly code?: number
  /** The bulk order of which a collection is an item. */
  readonly bulkId?: Uint8Array
  readonly refundId?: Uint8Array
}
export const orders: Table<OrderRow> = defineTable<OrderRow>({
  name: 'orders',
  version: 1,
  fields: [
    'purpose',
    'state',
    'bank',
    'amountMinor',
    'currency',
    'subject',
    'operatorAccount',
    'orderedAtMs',
    'answeredAtMs',
    'prId',
    'batchSeq',
    'code',
    'bulkId',
    'refundId',
  ],
})

/** A wallet host that this CPP certified and that showed its credential. Key: host. */
export type HostRow = { readonly host: string; readonly keyId: Uint8Array; readonly registeredAtMs: number }
export const hosts: Table<HostRow> = defineTable<HostRow>({
  name: 'hosts',
  version: 1,
  fields: ['host', 'keyId', 'registeredAtMs'],
})

/** Whom a mandate enrolled. One that its holder signed for one customer enrols no other. Key: hash of what was signed. */
export type MandateUseRow = { readonly customer: string }
export const mandateUses: Table<MandateUseRow> = defineTable<MandateUseRow>({
  name: 'mandate-uses',
  version: 1,
  fields: ['customer'],
})

/** A public name that a customer chose to be shown. Key: alias. */
export type AliasRow = {
  readonly customer: string
  readonly version: number
  readonly state: 'registering' | 'active' | 'refused' | 'retired'
}
export const aliases: Table<AliasRow> = defineTable<AliasRow>({
  name: 'aliases',
  version: 1,
  fields: ['customer', 'version', 'state'],
})

/** A registration under way. Key: registrationId. `subject`: data-center host, alias, or customer of a mandate. */
export type RegistrationRow = { readonly purpose: 'processor' | 'alias' | 'mandate'; readonly subject: string }
export const registrations: Table<RegistrationRow> = defineTable<RegistrationRow>({
  name: 'registrations',
  version: 1,
  fields: ['purpose', 'subject'],
})

/** This processor's row at one data-center host. Key: the host. */
export type DirectoryRow = {
  readonly registrationId: Uint8Array
  readonly version: number
  /** Of what was registered: chain and accepted body versions. */
  readonly digest: Uint8Array
  /** 0 before the receipt. */
  readonly registeredAtMs: number
}
export const directory: Table<DirectoryRow> = defineTable<DirectoryRow>({
  name: 'directory',
  version: 1,
  fields: ['registrationId', 'version', 'digest', 'registeredAtMs'],
})

export const CPP_TABLES = [
  customers,
  ledger,
  payments,
  quotes,
  positions,
  refusedRequests,
  notices,
  transLocks,
  invoices,
  waiting,
  orders,
  pairs,
  pairEntries,
  batches,
  batchIds,
  entryRequests,
  hosts,
  mandateUses,
  aliases,
  registrations,
  directory,
  authorizations,
  replacements,
  formerRecords,
  refunds,
  paymentRefunds,
  refundMoney,
] as const
