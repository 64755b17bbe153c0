/** What an MPP keeps of refunds; their states, with entry and exits, stand with the others in `state.ts`. */
import type { Currency, PaymentMode } from '../../protocol/amount.ts'
import type { RequestRef } from '../runtime/node.ts'
import { defineTable } from '../runtime/table.ts'

export type RefundState = 'funding' | 'countersigned' | 'confirmed' | 'refused'
/** Key [refundId]. */
export type RefundRow = {
  readonly refundId: Uint8Array
  readonly state: RefundState
  readonly payee: string
  readonly pnId: Uint8Array
  readonly txId: Uint8Array
  readonly cpp: string
  readonly mode: PaymentMode
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly host: string
  /** Of the merchant host's request, which the confirmation or a refusal answers. */
  readonly ref: RequestRef
  readonly digest: Uint8Array
  /** What was taken of the payee's, and what its bank is to pay in, or the CPP's account; all three add up to the amount. */
  readonly fromAccruedMinor: bigint
  readonly fromPayableMinor: bigint
  readonly fromBankMinor: bigint
  /** The bank has booked `fromBankMinor`. */
  readonly funded: boolean
  readonly orderId?: Uint8Array
  /** The merchant host's frame, until it is countersigned. */
  readonly request?: Uint8Array
  /** Whose key sealed that: this MPP's and the host's credential, for a CPP that may never hear of the key elsewhere. */
  readonly chain?: readonly Uint8Array[]
  readonly pairSeq?: number
  readonly code?: number
  readonly arrivedAtMs: number
  readonly finalAtMs?: number
}
export const REFUNDS = defineTable<RefundRow>({
  name: 'refunds',
  version: 1,
  fields: [
    'refundId',
    'state',
    'payee',
    'pnId',
    'txId',
    'cpp',
    'mode',
    'amountMinor',
    'currency',
    'host',
    'ref',
    'digest',
    'fromAccruedMinor',
    'fromPayableMinor',
    'fromBankMinor',
    'funded',
    'orderId',
    'request',
    'chain',
    'pairSeq',
    'code',
    'arrivedAtMs',
    'finalAtMs',
  ],
})
/** Refunds of a payment, at most `maxRefundsPerPayment`. Key [pnId, refundId]. */
export const PAYMENT_REFUNDS = defineTable<{ readonly refundId: Uint8Array }>({
  name: 'payment-refunds',
  version: 1,
  fields: ['refundId'],
})
