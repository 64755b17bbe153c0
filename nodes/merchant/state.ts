/**
 * The ledger of a merchant host: its payees, what they sell, their invoices, the payments noticed for them, and the bank's notices.
 *
 * Invariant: an invoice is payable once. Its order is locked by one pnId from that payment's notice until the CPP's signed outcome,
 * never until a time of this host's own clock; goods leave only after DT (micro), or T and the bank's notice (macro).
 *
 *   order      entry                                              exits
 *   offered    an invoice is made                                 noticed, approved, declined; row removed after its expiry
 *   noticed    a notice arrived, the rule is silent               confirmed, or offered again by any other end
 *   approved   the payee approved                                 confirmed, or offered again by any other end
 *   declined   the payee's rule rejected                          offered again by the outcome
 *   confirmed  DT or T; a macro payment waits here for its bank   released
 *   released   the goods were sent                                none
 *
 *   payment    noticed | approved | declined → confirmed | refused | rejected | expired | failed, by the CPP's T, DT or outcome
 *   payee      enrolling → enrolled | refused; enrolled, its credential is renewed under its MPP's newer key
 *   request    sealing → sent → delivered | refused
 *   refund     requested → confirmed | refused: by the CPP's confirmation, or the MPP's refusal; a confirmation counts after a refusal too
 */
import type { Currency, PaymentMode } from '../../protocol/amount.ts'
import { showId } from '../../protocol/ids.ts'
import type { Reference } from '../../protocol/messages/bank.ts'
import type { PayeeKind } from '../../protocol/messages/enrolment.ts'
import type { FinalState } from '../runtime/reports.ts'
import { registrations } from '../customer/host-registration.ts'
import { defineTable } from '../runtime/table.ts'
import type { Approval } from './approval.ts'

export type Payee = {
  readonly payee: string
  readonly payeeKind: PayeeKind
  readonly displayName: string
  readonly mpp: string
  readonly account: string
  readonly currency: Currency
  readonly approval: Approval
  readonly state: 'enrolling' | 'enrolled' | 'refused'
  readonly enrolmentId: Uint8Array
  /** The MPP's payee credential: the last of the chain in every invoice. */
  readonly credential?: Uint8Array
  readonly code?: string
  readonly detail?: string
  readonly startedAtMs: number
  readonly decidedAtMs?: number
  /** The holder's mandate: shown again when the MPP has a new key and the credential is renewed. */
  readonly mandate?: Uint8Array
  /** The enrolment that renews the credential; the present one stands until then. */
  readonly renewalId?: Uint8Array
}
/** Key: payee. */
export const payees = defineTable<Payee>({
  name: 'merchant-payees',
  version: 1,
  fields: [
    'payee',
    'payeeKind',
    'displayName',
    'mpp',
    'account',
    'currency',
    'approval',
    'state',
    'enrolmentId',
    'credential',
    'code',
    'detail',
    'startedAtMs',
    'decidedAtMs',
    'mandate',
    'renewalId',
  ],
})
export type PayeePointer = { readonly payee: string }
/** Key: enrolmentId. */
export const payeeEnrolments = defineTable<PayeePointer>({
  name: 'merchant-payee-enrolments',
  version: 1,
  fields: ['payee'],
})
/** One payee per payout account at a host, so that a notice says whose it is. Key: account. */
export const accounts = defineTable<PayeePointer>({ name: 'merchant-accounts', version: 1, fields: ['payee'] })

export type Item = { readonly item: string; readonly amountMinor: bigint; readonly goods: string }
/** What a payee sells. Key: payee, item. */
export const catalogue = defineTable<Item>({
  name: 'merchant-catalogue',
  version: 1,
  fields: ['item', 'amountMinor', 'goods'],
})

export type OrderState = 'offered' | 'noticed' | 'approved' | 'declined' | 'confirmed' | 'released'
export type Order = {
  readonly payee: string
  readonly txId: Uint8Array
  readonly state: OrderState
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly nonce: Uint8Array
  readonly descriptionHash: Uint8Array
  readonly description: string
  readonly goods: string
  readonly expiresAtMs: number
  /** The guest login and one-time key that the goods go to; absent for a request to pay. */
  readonly token?: string
  readonly sealingKey?: Uint8Array
  /** The request to pay that carried the invoice. */
  readonly requestId?: Uint8Array
  /** The payment that has the lock: from its notice until its outcome, for ever when confirmed. */
  readonly pnId?: Uint8Array
  /** The bank's notice of a macro payment's booking. */
  readonly bookedMinor?: bigint
  readonly offeredAtMs: number
  readonly lockedAtMs?: number
  readonly confirmedAtMs?: number
  readonly bookedAtMs?: number
  readonly releasedAtMs?: number
}
/** Key: payee, txId. */
export const orders = defineTable<Order>({
  name: 'merchant-orders',
  version: 1,
  fields: [
    'payee',
    'txId',
    'state',
    'amountMinor',
    'currency',
    'nonce',
    'descriptionHash',
    'description',
    'goods',
    'expiresAtMs',
    'token',
    'sealingKey',
    'requestId',
    'pnId',
    'bookedMinor',
    'offeredAtMs',
    'lockedAtMs',
    'confirmedAtMs',
    'bookedAtMs',
    'releasedAtMs',
  ],
})

export type PaymentState = 'noticed' | 'approved' | 'declined' | FinalState
export type Payment = {
  readonly pnId: Uint8Array
  readonly payee: string
  readonly txId: Uint8Array
  readonly cpp: string
  readonly mpp: string
  readonly mode: PaymentMode
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly state: PaymentState
  readonly confirmation?: 'T' | 'DT'
  /** Why it was declined here, or what the outcome says. */
  readonly code?: number
  readonly noticedAtMs?: number
  readonly decidedAtMs?: number
  readonly endedAtMs?: number
}
/** Key: pnId. */
export const payments = defineTable<Payment>({
  name: 'merchant-payments',
  version: 1,
  fields: [
    'pnId',
    'payee',
    'txId',
    'cpp',
    'mpp',
    'mode',
    'amountMinor',
    'currency',
    'state',
    'confirmation',
    'code',
    'noticedAtMs',
    'decidedAtMs',
    'endedAtMs',
  ],
})

export type Booking = {
  readonly noticeId: Uint8Array
  readonly payee: string
  readonly account: string
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly purpose: Reference['purpose']
  readonly referenceId: Uint8Array
  readonly originatingBank: string
  readonly bookedAtMs: number
}
/** Every notice of the bank. Key: payee, noticeId. */
export const bookings = defineTable<Booking>({
  name: 'merchant-bookings',
  version: 1,
  fields: [
    'noticeId',
    'payee',
    'account',
    'amountMinor',
    'currency',
    'purpose',
    'referenceId',
    'originatingBank',
    'bookedAtMs',
  ],
})

export type Payout = {
  readonly payoutId: Uint8Array
  readonly payee: string
  readonly currency: Currency
  /** What the MPP says it paid, and what the bank says came: equal, or something is wrong. */
  readonly advisedMinor?: bigint
  readonly bookedMinor?: bigint
  readonly advisedAtMs?: number
  readonly bookedAtMs?: number
}
/** Key: payee, payoutId. */
export const payouts = defineTable<Payout>({
  name: 'merchant-payouts',
  version: 1,
  fields: ['payoutId', 'payee', 'currency', 'advisedMinor', 'bookedMinor', 'advisedAtMs', 'bookedAtMs'],
})

export type PaymentRequest = {
  readonly requestId: Uint8Array
  readonly payee: string
  readonly txId: Uint8Array
  readonly alias: string
  readonly state: 'sealing' | 'sent' | 'delivered' | 'refused'
  readonly code?: string
  readonly startedAtMs: number
  readonly decidedAtMs?: number
}
/** Requests to pay that this host sent; `delivered` is the MPP's receipt. Key: requestId. */
export const paymentRequests = defineTable<PaymentRequest>({
  name: 'merchant-payment-requests',
  version: 1,
  fields: ['requestId', 'payee', 'txId', 'alias', 'state', 'code', 'startedAtMs', 'decidedAtMs'],
})

export type Refund = {
  readonly refundId: Uint8Array
  readonly payee: string
  readonly txId: Uint8Array
  readonly pnId: Uint8Array
  readonly cpp: string
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly mode: PaymentMode
  readonly state: 'requested' | 'confirmed' | 'refused'
  readonly code?: string
  readonly detail?: string
  readonly requestedAtMs: number
  readonly decidedAtMs?: number
}
/** Key: refundId. */
export const refunds = defineTable<Refund>({
  name: 'merchant-refunds',
  version: 1,
  fields: [
    'refundId',
    'payee',
    'txId',
    'pnId',
    'cpp',
    'amountMinor',
    'currency',
    'mode',
    'state',
    'code',
    'detail',
    'requestedAtMs',
    'decidedAtMs',
  ],
})
/** Refunds of a payment, at most `maxRefundsPerPayment`. Key: pnId, refundId. */
export const paymentRefunds = defineTable<{ readonly refundId: Uint8Array }>({
  name: 'merchant-payment-refunds',
  version: 1,
  fields: ['refundId'],
})
/** The host's operator PIN for refunds, as a fingerprint of what scrypt makes of it. Key: PIN. */
export const refundPins = defineTable<{
  readonly fingerprint: Uint8Array
  readonly wrong: number
  /** 0: not locked. */
  readonly lockedAtMs: number
  readonly setAtMs: number
}>({ name: 'merchant-refund-pins', version: 1, fields: ['fingerprint', 'wrong', 'lockedAtMs', 'setAtMs'] })
export const PIN = 'pin'

/** How many orders are neither paid nor forgotten, to bound them without counting. Key: OPEN. */
export const openOrders = defineTable<{ readonly count: number }>({
  name: 'merchant-open-orders',
  version: 1,
  fields: ['count'],
})
export const OPEN = 'open'

export const MERCHANT_TABLES = [
  payees,
  payeeEnrolments,
  accounts,
  catalogue,
  orders,
  payments,
  bookings,
  payouts,
  paymentRequests,
  registrations,
  openOrders,
  refunds,
  paymentRefunds,
  refundPins,
] as const

export const DEADLINES = { order: 'order-expiry' } as const

/** Outbox keys. */
export const outbox = {
  decision: (pnId: Uint8Array) => ['pd', pnId] as const,
  request: (requestId: Uint8Array) => ['rtp', requestId] as const,
  enrolment: (enrolmentId: Uint8Array) => ['payee-enrolment', enrolmentId] as const,
  refund: (refundId: Uint8Array) => ['refund', refundId] as const,
}
export const idOfKey = (key: Uint8Array): Uint8Array => key.slice(-16)

export const enrolmentTopic = (enrolmentId: Uint8Array): string => `payee-enrolment:${showId(enrolmentId)}`
export const refundTopic = (refundId: Uint8Array): string => `refund:${showId(refundId)}`
export const requestTopic = (requestId: Uint8Array): string => `request-payment:${showId(requestId)}`
