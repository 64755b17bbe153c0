/**
 * What an MPP keeps. Invariants: a pair's receivable is Σ of the entries held − Σ of the batches settled; a payee's
 * accrued + payable + refunding + paying is Σ of what entries credited − paid − reversed (design §8.3, §8.4); `report.ts`
 * counts both afresh. A payee is credited the amount of its invoice or nothing.
 *
 * Notice  notified       entry: a notice that passed every check; the invoice is locked. Exits: the merchant's decision →
 *                        countersigned; an outcome of the CPP → final.
 *         countersigned  entry: the merchant decided, the decision is on its way to the CPP. Exit: T, DT or outcome → final.
 *         declined       entry: the MPP rejected the notice itself; nothing is locked, the merchant never saw it. Exit: the
 *                        CPP's outcome → final.
 *         confirmed, refused, rejected, expired, failed are final: the CPP's word. An outcome that overtakes its notice makes
 *                        a row without an invoice; the notice adds the invoice when it comes, and changes nothing else.
 * Lock    locked         entry: notified. Exits: confirmed → paid; any other end removes it. paid has no exit.
 * Entry   held (DT or adjustment), or `missing`: a sequence number the CPP could not show. A held one with `code` is
 *                        disputed; adjustments bring it to `rightMinor`, which resolves it.
 * Batch   reconciling    entry: it continues the pair's chain. Exit: every entry held or missing → answered, then by its sum:
 *         owed           positive: awaits the bank's notice. Exit: notice → settled.
 *         owing          negative: this MPP ordered the transfer. Exits: booked → settled; refused → failed.
 *         failed         the transfer this MPP ordered was refused, or not ordered since the CPP has not paid in as much as it
 *                        claims back (ROOT_MISMATCH). Exit: retry → owing.
 *         settled        no exit; at once for a sum of zero and between hosts of one operator.
 * Payee   enrolling → active ⇄ retired. An enrolment that is refused removes the row of a payee that never was active.
 * Enrolment  mandating → issuing → registering → enrolled; refused from each of the first three.
 * Refund  funding        entry: the payee has not enough free, or the payment was macro: a transfer from its account is ordered.
 *                        Exits: booked → countersigned; refused → refused.
 *         countersigned  entry: its sum is in `refunding`, or the bank has booked it to the CPP. Exits: the CPP's confirmation →
 *                        confirmed; the CPP's refusal → refused.
 *         confirmed      no exit. refused: what was taken is the payee's again.
 * Payout  ordered → paid | refused. A refused one's sum is payable again, and a later payout takes it.
 */
import type { Currency, PaymentMode } from '../../protocol/amount.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import type { PayeeKind } from '../../protocol/messages/enrolment.ts'
import type { RequestRef } from '../runtime/node.ts'
import type { FinalState } from '../runtime/reports.ts'
import { PAYMENT_REFUNDS, REFUNDS } from './refund-state.ts'
import { ASKS } from './request-state.ts'
import { defineTable, keyOf, type KeyPart } from '../runtime/table.ts'

/** A merchant host that this MPP certified and that showed its credential. Key [host]. */
export type HostRow = {
  readonly host: string
  /** MPP credential, host credential. */
  readonly chain: readonly Uint8Array[]
  readonly registeredAtMs: number
  /** Chains by former keys of this MPP: of payees whose credential such a key signed. */
  readonly former?: readonly (readonly Uint8Array[])[]
}
export const HOSTS = defineTable<HostRow>({
  name: 'hosts',
  version: 1,
  fields: ['host', 'chain', 'registeredAtMs', 'former'],
})

export type PayeeState = 'enrolling' | 'active' | 'retired'
/** A payee and its account at this MPP. Key [payee]. */
export type PayeeRow = {
  readonly payee: string
  readonly state: PayeeState
  readonly host: string
  readonly payeeKind: PayeeKind
  readonly displayName: string
  /** Where payouts go. */
  readonly account: string
  readonly currency: Currency
  /** Rises with each credential and registration; 0 before the first credential. */
  readonly version: number
  /** Since the first enrolment that was completed. */
  readonly activeSinceMs?: number
  readonly credential?: Uint8Array
  /** The enrolment under way. */
  readonly enrolmentId?: Uint8Array
  readonly accruedMinor: bigint
  readonly payableMinor: bigint
  readonly refundingMinor: bigint
  readonly payingMinor: bigint
  readonly paidMinor: bigint
  readonly reversedMinor: bigint
  /** The payout under way. */
  readonly payoutId?: Uint8Array
  /** While something is payable: when it is paid out, whatever its size. A deadline row of the same time exists. */
  readonly payoutAtMs?: number
  /** After a refused payout: not before this. */
  readonly retryAtMs?: number
  readonly changedAtMs: number
  /** Lines of its account so far. */
  readonly lines?: number
  /**
   * Taken from accrued for refunds, and its settlement still to come: accrued + this is what unsettled entries credited. Money that a
   * settlement brings covers it before anything becomes payable. Absent: 0.
   */
  readonly advancedMinor?: bigint
}
export const PAYEES = defineTable<PayeeRow>({
  name: 'payees',
  version: 1,
  fields: [
    'payee',
    'state',
    'host',
    'payeeKind',
    'displayName',
    'account',
    'currency',
    'version',
    'activeSinceMs',
    'credential',
    'enrolmentId',
    'accruedMinor',
    'payableMinor',
    'refundingMinor',
    'payingMinor',
    'paidMinor',
    'reversedMinor',
    'payoutId',
    'payoutAtMs',
    'retryAtMs',
    'changedAtMs',
    'lines',
    'advancedMinor',
  ],
})

/** A change of what a payee is owed. Key [payee, seq]: all of a payee's payments, payouts and refunds by one ordered scan. */
export type PayeeLineRow = {
  readonly seq: number
  /** `paid-in`: by the payee's bank, for a refund of what was paid out already. */
  readonly what: 'payment' | 'payout' | 'refund' | 'paid-in' | 'correction'
  /** Positive: the payee is owed more. */
  readonly amountMinor: bigint
  /** pnId, payoutId or refundId. */
  readonly id: Uint8Array
  readonly atMs: number
}
export const PAYEE_LINES = defineTable<PayeeLineRow>({
  name: 'payee-lines',
  version: 1,
  fields: ['seq', 'what', 'amountMinor', 'id', 'atMs'],
})

export type EnrolmentState = 'mandating' | 'issuing' | 'registering' | 'enrolled' | 'refused'
/** Key [enrolmentId]. */
export type EnrolmentRow = {
  readonly enrolmentId: Uint8Array
  readonly state: EnrolmentState
  readonly host: string
  readonly payee: string
  readonly payeeKind: PayeeKind
  readonly displayName: string
  readonly account: string
  readonly currency: Currency
  /** Of the merchant host's request, which the record or a refusal answers. */
  readonly ref: RequestRef
  readonly digest: Uint8Array
  readonly version?: number
  readonly code?: FailureCode
  readonly startedAtMs: number
  readonly changedAtMs: number
}
export const ENROLMENTS = defineTable<EnrolmentRow>({
  name: 'enrolments',
  version: 1,
  fields: [
    'enrolmentId',
    'state',
    'host',
    'payee',
    'payeeKind',
    'displayName',
    'account',
    'currency',
    'ref',
    'digest',
    'version',
    'code',
    'startedAtMs',
    'changedAtMs',
  ],
})
/** A mandate on its way to the payee's bank → the enrolment that waits for it. Key [registrationId]. */
export type MandateRow = { readonly enrolmentId: Uint8Array }
export const MANDATES = defineTable<MandateRow>({ name: 'mandates', version: 1, fields: ['enrolmentId'] })

/** What one data-center host was told of this MPP or of a payee. Key [subject, dataCenter]; the MPP's subject is itself. */
export type ListingRow = {
  readonly dataCenter: string
  readonly subject: string
  readonly version: number
  readonly state: 'sent' | 'listed' | 'refused'
  readonly registrationId: Uint8Array
  readonly code?: FailureCode
  readonly changedAtMs: number
}
export const LISTINGS = defineTable<ListingRow>({
  name: 'listings',
  version: 1,
  fields: ['dataCenter', 'subject', 'version', 'state', 'registrationId', 'code', 'changedAtMs'],
})
/** A registration on its way → its listing. Key [registrationId]. */
export type RegistrationRow = { readonly dataCenter: string; readonly subject: string }
export const REGISTRATIONS = defineTable<RegistrationRow>({
  name: 'registrations',
  version: 1,
  fields: ['dataCenter', 'subject'],
})

export const UNDECIDED_STATES = ['notified', 'countersigned', 'declined'] as const
export type NoticeState = (typeof UNDECIDED_STATES)[number] | FinalState
/** What the invoice says; absent while only an outcome or an unreadable invoice is known. */
export type Invoice = {
  readonly txId: Uint8Array
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly mode: PaymentMode
  /** The merchant host that made the invoice. */
  readonly host: string
}
/** Key [pnId]. */
export type NoticeRow = Partial<Invoice> & {
  readonly pnId: Uint8Array
  readonly payee: string
  readonly cpp: string
  readonly state: NoticeState
  readonly noticeDigest?: Uint8Array
  /** The merchant's. */
  readonly decision?: 'approve' | 'reject'
  /** Why it was declined, rejected, or did not come to be. */
  readonly code?: number
  /** Of the merchant's decision: T, DT or outcome answers it. */
  readonly decisionRef?: RequestRef
  /** An end that is not confirmed, as the CPP sealed it: a late decision gets it. */
  readonly outcomeFrame?: Uint8Array
  readonly outcomeDigest?: Uint8Array
  readonly pairSeq?: number
  readonly arrivedAtMs: number
  readonly countersignedAtMs?: number
  readonly finalAtMs?: number
}
export const NOTICES = defineTable<NoticeRow>({
  name: 'notices',
  version: 1,
  fields: [
    'pnId',
    'payee',
    'cpp',
    'state',
    'txId',
    'amountMinor',
    'currency',
    'mode',
    'host',
    'noticeDigest',
    'decision',
    'code',
    'decisionRef',
    'outcomeFrame',
    'outcomeDigest',
    'pairSeq',
    'arrivedAtMs',
    'countersignedAtMs',
    'finalAtMs',
  ],
})

/** One invoice is payable once. Key [payee, txId]. */
export type LockRow = { readonly pnId: Uint8Array; readonly state: 'locked' | 'paid'; readonly sinceMs: number }
export const LOCKS = defineTable<LockRow>({ name: 'locks', version: 1, fields: ['pnId', 'state', 'sinceMs'] })

/** What a CPP owes in one currency. Key [cpp, currency]. */
export type PairRow = {
  readonly cpp: string
  readonly currency: Currency
  readonly highestSeq: number
  /** Entries held, adjustments included; fewer than `highestSeq` when some are lacking. */
  readonly held: number
  readonly receivableMinor: bigint
  /** Σ of undecided micropayment notices. */
  readonly reservedMinor: bigint
  /** The last batch answered. */
  readonly batchSeq: number
  readonly batchHash: Uint8Array
  readonly batchedToSeq: number
  /** Every entry up to here is settled. */
  readonly settledToSeq: number
  /** The batch being reconciled, and how many of its entries are lacking. */
  readonly openBatchId?: Uint8Array
  readonly openFromSeq?: number
  readonly openToSeq?: number
  readonly openLacking?: number
  readonly changedAtMs: number
  /** Paid in and credited to nobody: Σ of the batches settled − Σ made payable. What may go back to the CPP, and no more. */
  readonly surplusMinor?: bigint
  /** How much less the CPP's entries say than this MPP holds to be right: they lower `receivableMinor`, not what it may owe. */
  readonly understatedMinor?: bigint
  /** Σ of what this MPP made payable to payees by its operator's word, beyond what the CPP had paid in. */
  readonly advancedMinor?: bigint
}
export const PAIRS = defineTable<PairRow>({
  name: 'pairs',
  version: 1,
  fields: [
    'cpp',
    'currency',
    'highestSeq',
    'held',
    'receivableMinor',
    'reservedMinor',
    'batchSeq',
    'batchHash',
    'batchedToSeq',
    'settledToSeq',
    'openBatchId',
    'openFromSeq',
    'openToSeq',
    'openLacking',
    'changedAtMs',
    'surplusMinor',
    'understatedMinor',
    'advancedMinor',
  ],
})

/** One entry of a pair's sequence. Key [cpp, currency, pairSeq]. */
export type EntryRow = {
  readonly pairSeq: number
  readonly type: 'dt' | 'refund' | 'adjustment' | 'missing'
  /** As the CPP signed it, with its sign; 0 when missing. */
  readonly amountMinor: bigint
  /** Content digest of the frame that made it; empty when missing. */
  readonly digest: Uint8Array
  readonly pnId?: Uint8Array
  readonly payee?: string
  /** What it put on the account of `credited`; a refund's is negative. */
  readonly creditMinor: bigint
  readonly credited?: string
  /** An adjustment's: the entry it speaks of. */
  readonly disputedSeq?: number
  /** Why this MPP disputes it. */
  readonly code?: FailureCode
  /** Disputed: the amount this MPP holds to be right. */
  readonly rightMinor?: bigint
  /** Σ of the adjustments that spoke of it. */
  readonly adjustedMinor?: bigint
  /** Disputed: evidence, and what the merchant gets once the dispute is resolved. */
  readonly frame?: Uint8Array
  readonly bookedAtMs: number
  /** Of a refund. */
  readonly refundId?: Uint8Array
}
export const ENTRIES = defineTable<EntryRow>({
  name: 'entries',
  version: 1,
  fields: [
    'pairSeq',
    'type',
    'amountMinor',
    'digest',
    'pnId',
    'payee',
    'creditMinor',
    'credited',
    'disputedSeq',
    'code',
    'rightMinor',
    'adjustedMinor',
    'frame',
    'bookedAtMs',
    'refundId',
  ],
})

export type BatchState = 'reconciling' | 'owed' | 'owing' | 'failed' | 'settled'
export type DisputeItem = { readonly pairSeq: number; readonly code: number; readonly amountMinor: bigint }
/** Key [batchId]. */
export type BatchRow = {
  readonly batchId: Uint8Array
  readonly cpp: string
  readonly currency: Currency
  readonly seq: number
  readonly fromSeq: number
  readonly toSeq: number
  readonly root: Uint8Array
  readonly totalMinor: bigint
  readonly hash: Uint8Array
  /** CPP and MPP belong to one operator: settled by a book transfer. */
  readonly book: boolean
  readonly state: BatchState
  /** Undefined: accepted, or not answered yet. */
  readonly items?: readonly DisputeItem[]
  /** Of the CPP's batch message, which acceptance or dispute answers. */
  readonly ref: RequestRef
  /** The request for missing entries under way. */
  readonly requestId?: Uint8Array
  /** The transfer of a negative sum. */
  readonly orderId?: Uint8Array
  /** What of that transfer the CPP had never paid in: ordered by the operator's word. */
  readonly advancedMinor?: bigint
  readonly code?: FailureCode
  readonly arrivedAtMs: number
  readonly answeredAtMs?: number
  readonly settledAtMs?: number
}
export const BATCHES = defineTable<BatchRow>({
  name: 'batches',
  version: 1,
  fields: [
    'batchId',
    'cpp',
    'currency',
    'seq',
    'fromSeq',
    'toSeq',
    'root',
    'totalMinor',
    'hash',
    'book',
    'state',
    'items',
    'ref',
    'requestId',
    'orderId',
    'code',
    'arrivedAtMs',
    'answeredAtMs',
    'settledAtMs',
    'advancedMinor',
  ],
})
/** Missing entries asked for. Key [requestId]. */
export type RequestRow = { readonly batchId: Uint8Array; readonly fromSeq: number; readonly toSeq: number }
export const REQUESTS = defineTable<RequestRow>({
  name: 'requests',
  version: 1,
  fields: ['batchId', 'fromSeq', 'toSeq'],
})
/** A batch unpaid past its time: its CPP is DEFAULTED while one exists. Key [cpp, batchId]. */
export type DefaultRow = { readonly batchId: Uint8Array; readonly sinceMs: number }
export const DEFAULTS = defineTable<DefaultRow>({ name: 'defaults', version: 1, fields: ['batchId', 'sinceMs'] })

/** Key [payoutId]. */
export type PayoutRow = {
  readonly payoutId: Uint8Array
  readonly payee: string
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly account: string
  readonly orderId: Uint8Array
  readonly state: 'ordered' | 'paid' | 'refused'
  readonly code?: number
  readonly orderedAtMs: number
  readonly finishedAtMs?: number
}
export const PAYOUTS = defineTable<PayoutRow>({
  name: 'payouts',
  version: 1,
  fields: [
    'payoutId',
    'payee',
    'amountMinor',
    'currency',
    'account',
    'orderId',
    'state',
    'code',
    'orderedAtMs',
    'finishedAtMs',
  ],
})
/** A transfer this MPP ordered → what it is for. Key [orderId]. */
export type OrderRow = {
  readonly purpose: 'payout' | 'settlement' | 'refund'
  readonly id: Uint8Array
  readonly bank: string
}
export const ORDERS = defineTable<OrderRow>({ name: 'orders', version: 1, fields: ['purpose', 'id', 'bank'] })

/** Money a bank booked that fits nothing owed: kept for the operator. Key [noticeId]. */
export type UnmatchedRow = {
  readonly bank: string
  readonly account: string
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly purpose: string
  readonly id: Uint8Array
  readonly arrivedAtMs: number
}
export const UNMATCHED = defineTable<UnmatchedRow>({
  name: 'unmatched',
  version: 1,
  fields: ['bank', 'account', 'amountMinor', 'currency', 'purpose', 'id', 'arrivedAtMs'],
})

export const MPP_TABLES = [
  HOSTS,
  PAYEES,
  PAYEE_LINES,
  ENROLMENTS,
  MANDATES,
  LISTINGS,
  REGISTRATIONS,
  NOTICES,
  LOCKS,
  PAIRS,
  ENTRIES,
  BATCHES,
  REQUESTS,
  DEFAULTS,
  PAYOUTS,
  ORDERS,
  REFUNDS,
  PAYMENT_REFUNDS,
  UNMATCHED,
  ASKS,
] as const

/** What the outbox holds: [name, 16-byte id of what it is about]. */
export const OUTBOX_NAMES = [
  'mandate',
  'registration',
  'notice',
  'countersigned',
  'outcome',
  'missing',
  'order',
  'advice',
  'refund',
  'ask',
] as const
export type OutboxName = (typeof OUTBOX_NAMES)[number]
export const outboxKey = (name: OutboxName, id: Uint8Array): readonly KeyPart[] => [name, id]
/** The inverse of {@link outboxKey}, for keys that the runtime hands back. @throws TypeError for any other key */
export const readOutboxKey = (key: Uint8Array): { readonly name: OutboxName; readonly id: Uint8Array } => {
  const name = OUTBOX_NAMES.find((one) => equalBytes(key.subarray(0, -16), keyOf(one)))
  if (name === undefined) throw new TypeError('not an outbox key of this node')
  return { name, id: key.slice(-16) }
}

export const DEADLINES = {
  payout: 'payout',
  settlementDue: 'settlement-due',
  settlementRetry: 'settlement-retry',
  askExpiry: 'ask-expiry',
} as const
