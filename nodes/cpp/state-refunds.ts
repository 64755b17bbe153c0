/** Refunds that a CPP was told of, and the money that came for them. */
import type { Currency, PaymentMode } from '../../protocol/amount.ts'
import type { RequestRef } from '../runtime/node.ts'
import { defineTable, type Table } from '../runtime/table.ts'

/** Key: refundId. */
export type RefundRow = {
  readonly refundId: Uint8Array
  readonly state: 'awaiting' | 'confirmed'
  readonly prId: Uint8Array
  readonly mpp: string
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly mode: PaymentMode
  /** The countersigned refund that the confirmation answers. */
  readonly ref: RequestRef
  /** What the customer gets, in the currency of their account: both add up to it. */
  readonly accountMinor: bigint
  readonly offsetMinor: bigint
  readonly creditMinor: bigint
  readonly credit: 'none' | 'ordered' | 'booked' | 'refused' | 'unpayable'
  /** Orders of the credit so far, and when the armed `refund-retry` deadline fires; 0: none is armed. */
  readonly attempts: number
  readonly retryAtMs: number
  readonly receivedAtMs: number
  /** 0 before it is confirmed. */
  readonly confirmedAtMs: number
  readonly orderId?: Uint8Array
  readonly pairSeq?: number
  readonly code?: number
}
export const refunds: Table<RefundRow> = defineTable<RefundRow>({
  name: 'refunds',
  version: 1,
  fields: [
    'refundId',
    'state',
    'prId',
    'mpp',
    'amountMinor',
    'currency',
    'mode',
    'ref',
    'accountMinor',
    'offsetMinor',
    'creditMinor',
    'credit',
    'attempts',
    'retryAtMs',
    'receivedAtMs',
    'confirmedAtMs',
    'orderId',
    'pairSeq',
    'code',
  ],
})
/** Refunds of a payment, at most `maxRefundsPerPayment`. Key: (prId, refundId). */
export const paymentRefunds: Table<{ readonly refundId: Uint8Array }> = defineTable({
  name: 'payment-refunds',
  version: 1,
  fields: ['refundId'],
})
/** Money that came for a refund, as the bank said it. Key: (refundId, noticeId). `used`: a refund is confirmed with it. */
export type RefundMoneyRow = {
  readonly noticeId: Uint8Array
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly originatingBank: string
  readonly atMs: number
  readonly used: boolean
}
export const refundMoney: Table<RefundMoneyRow> = defineTable<RefundMoneyRow>({
  name: 'refund-money',
  version: 1,
  fields: ['noticeId', 'amountMinor', 'currency', 'originatingBank', 'atMs', 'used'],
})
