/** Bodies between processors and banks, and between banks (design §2 "Macro", §3 "Interbank"). */
import { LIMITS } from '../limits.ts'
import { AccountId, AmountMinor, Code, CredentialBytes, CurrencyCode, Fields, Id, List, NodeId, Optional, Sequence, SignedMinor, SumMinor, TimeMs, Type, Word, type Static } from '../fields.ts'

/**
 * What a booking belongs to. `id` is a txId, settlement batchId, payoutId, refundId or, for a collection, the order's id.
 * `exchange`: a macro payment's hold, in the currency of the customer's account, goes to the CPP that has paid the payee; its id is fresh.
 */
export const Reference = Fields({
  purpose: Word('payment', 'collection', 'settlement', 'payout', 'refund', 'exchange'),
  id: Id,
})
const result = <const R extends readonly string[]>(...results: R) => ({ result: Word(...results), code: Optional(Code) })

export const MandateRegistration = Fields({ registrationId: Id, mandate: CredentialBytes })
export const MandateAnswer = Fields({ registrationId: Id, ...result('accepted', 'refused') })
export const HoldOrder = Fields({
  holdId: Id,
  account: AccountId,
  amountMinor: AmountMinor,
  currency: CurrencyCode,
  /** Judged by the bank alone. */
  holdExpiresAtMs: TimeMs,
})
export const HoldAnswer = Fields({ holdId: Id, ...result('held', 'refused') })
export const PostOrder = Fields({
  orderId: Id,
  holdId: Id,
  creditAccount: AccountId,
  amountMinor: AmountMinor,
  currency: CurrencyCode,
  reference: Reference,
})
/** `booked` only after the payee's bank has booked. */
export const PostAnswer = Fields({ orderId: Id, holdId: Id, ...result('booked', 'refused') })
export const VoidOrder = Fields({ orderId: Id, holdId: Id })
/** `posted`: the hold was posted before the void arrived, and stays posted. */
export const VoidAnswer = Fields({ orderId: Id, holdId: Id, ...result('voided', 'posted') })
export const TransferOrder = Fields({
  orderId: Id,
  debitAccount: AccountId,
  creditAccount: AccountId,
  amountMinor: SumMinor,
  currency: CurrencyCode,
  reference: Reference,
})
export const TransferAnswer = Fields({ orderId: Id, ...result('booked', 'refused') })
/** Many transfers in one signed order, answered item by item (policy `bulk`). */
export const BulkTransferOrder = Fields({ orderId: Id, creditAccount: AccountId, currency: CurrencyCode, items: List(Fields({ itemId: Id, debitAccount: AccountId, amountMinor: SumMinor })) })
export const BulkTransferAnswer = Fields({ orderId: Id, items: List(Fields({ itemId: Id, ...result('booked', 'refused') })) })
/** Asks for the answer to an order; the bank repeats the stored one. */
export const BankOrderQuery = Fields({ orderId: Id })
export const AccountNotice = Fields({
  noticeId: Id,
  account: AccountId,
  /** Positive: credited. */
  amountMinor: SignedMinor,
  currency: CurrencyCode,
  reference: Reference,
  /** The payee's side sees the originating bank only, never the debited account. */
  originatingBank: NodeId,
  bookedAtMs: TimeMs,
})
export const InterbankCredit = Fields({
  creditId: Id,
  creditAccount: AccountId,
  amountMinor: SumMinor,
  currency: CurrencyCode,
  reference: Reference,
})
export const InterbankBooking = Fields({ creditId: Id, bookedAtMs: TimeMs })
export const InterbankReturn = Fields({ creditId: Id, code: Code })
/** What one bank owes others at the end of a clearing window: the settlement bank posts it in one entry, or queues it. */
export const ClearingOrder = Fields({
  clearingId: Id,
  window: Sequence,
  currency: CurrencyCode,
  items: Type.Array(Fields({ bank: NodeId, amountMinor: SumMinor }), { minItems: 1, maxItems: LIMITS.maxClearingItems }),
})
export const ClearingAnswer = Fields({ clearingId: Id, window: Sequence, postedAtMs: TimeMs })
/** To each creditor bank of a posted clearing order. */
export const ClearingNotice = Fields({ noticeId: Id, clearingId: Id, debtor: NodeId, amountMinor: SumMinor, currency: CurrencyCode })

export type Reference = Static<typeof Reference>
export type MandateRegistration = Static<typeof MandateRegistration>
export type MandateAnswer = Static<typeof MandateAnswer>
export type HoldOrder = Static<typeof HoldOrder>
export type HoldAnswer = Static<typeof HoldAnswer>
export type PostOrder = Static<typeof PostOrder>
export type PostAnswer = Static<typeof PostAnswer>
export type VoidOrder = Static<typeof VoidOrder>
export type VoidAnswer = Static<typeof VoidAnswer>
export type TransferOrder = Static<typeof TransferOrder>
export type TransferAnswer = Static<typeof TransferAnswer>
export type BulkTransferOrder = Static<typeof BulkTransferOrder>
export type BulkTransferAnswer = Static<typeof BulkTransferAnswer>
export type BankOrderQuery = Static<typeof BankOrderQuery>
export type AccountNotice = Static<typeof AccountNotice>
export type InterbankCredit = Static<typeof InterbankCredit>
export type InterbankBooking = Static<typeof InterbankBooking>
export type InterbankReturn = Static<typeof InterbankReturn>
export type ClearingOrder = Static<typeof ClearingOrder>
export type ClearingAnswer = Static<typeof ClearingAnswer>
export type ClearingNotice = Static<typeof ClearingNotice>
