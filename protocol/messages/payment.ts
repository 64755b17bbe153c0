/** Bodies of one payment, from request to confirmation (design §2 rows 3 to 7). */
import { AmountMinor, Code, CurrencyCode, Digest, Fields, FrameBytes, Hmac, Id, NodeId, Optional, Sequence, SumMinor, Text, TimeMs, Word, type Static } from '../fields.ts'

/** PR. The inner frame is signed by the customer's device key; its `from` is the customer's id. */
export const PaymentRequest = Fields({
  prId: Id,
  trans: FrameBytes,
  /** HMAC-SHA256(pinKey, digest of TRANS ‖ prId). */
  pinProof: Hmac,
  /** Of the CPP's quote, when the account is in another currency than the invoice. */
  quoteId: Optional(Id),
})
/** PN. `payee` repeats the TRANS's, for routing; the MPP checks that they agree. Its expiry is the header's. */
export const PaymentNotice = Fields({
  pnId: Id,
  payee: NodeId,
  mode: Word('micro', 'macro'),
  operatorId: NodeId,
  trans: FrameBytes,
})
export const PaymentDecision = Fields({
  pnId: Id,
  payee: NodeId,
  txId: Id,
  noticeDigest: Digest,
  decision: Word('approve', 'reject'),
  /** With reject: a failure number and words for the customer. */
  code: Optional(Code),
  reason: Optional(Text(120)),
})
/** The MPP's countersignature: nests the merchant's frame, or carries the MPP's own rejection without one. */
export const CountersignedDecision = Fields({
  pnId: Id,
  payee: NodeId,
  noticeDigest: Digest,
  decision: Word('approve', 'reject'),
  merchantDecision: Optional(FrameBytes),
  code: Optional(Code),
})
const toCustomer = {
  prId: Id,
  payee: NodeId,
  txId: Id,
  amountMinor: AmountMinor,
  currency: CurrencyCode,
  confirmedAtMs: TimeMs,
  /** What the customer is charged, as quoted, when the account is in another currency. Both or neither. */
  accountAmountMinor: Optional(AmountMinor),
  accountCurrency: Optional(CurrencyCode),
}
/** T to the customer: the transfer is booked. */
export const CustomerTransferConfirmation = Fields(toCustomer)
/** DT to the customer: the CPP guarantees the payment and collects later. */
export const CustomerDelayedTransferConfirmation = Fields({ ...toCustomer, outstandingMinor: SumMinor })
export const OUTCOMES = ['refused', 'rejected', 'expired', 'failed'] as const
const Outcome = Word(...OUTCOMES)
export const CustomerPaymentOutcome = Fields({
  prId: Id,
  outcome: Outcome,
  code: Code,
  detail: Text(120),
  decidedAtMs: TimeMs,
})
const toPayee = { pnId: Id, payee: NodeId, txId: Id }
/** T to the payee's side: the payee's bank has booked. */
export const TransferConfirmation = Fields({
  ...toPayee,
  amountMinor: AmountMinor,
  currency: CurrencyCode,
  confirmedAtMs: TimeMs,
})
/** DT to the payee's side: from here on the CPP owes the MPP; `pairSeq` is the entry of the pair's gapless sequence. */
export const DelayedTransferConfirmation = Fields({
  ...toPayee,
  amountMinor: AmountMinor,
  currency: CurrencyCode,
  confirmedAtMs: TimeMs,
  mpp: NodeId,
  pairSeq: Sequence,
})
export const PaymentOutcome = Fields({
  ...toPayee,
  outcome: Outcome,
  code: Code,
  decidedAtMs: TimeMs,
})
/** What became of a payment request; after `transExpiresAtMs` a query that finds nothing withdraws it for ever. */
/** `customer`: whose request it was, where the host that made it asks under its own key. */
export const PaymentQuery = Fields({ prId: Id, transExpiresAtMs: TimeMs, customer: Optional(NodeId) })
/**
 * From an MPP that holds the end of a payment, or of a refund of it where `refundId` is there, under a key that was revoked before the
 * merchant host had it.
 */
export const NoticeQuery = Fields({ pnId: Id, refundId: Optional(Id) })
/** `end`: the payment's T, DT or outcome, or the confirmation of the refund asked for. */
export const NoticeRecord = Fields({ pnId: Id, end: FrameBytes })

export type Outcome = (typeof OUTCOMES)[number]
export type PaymentRequest = Static<typeof PaymentRequest>
export type PaymentNotice = Static<typeof PaymentNotice>
export type PaymentDecision = Static<typeof PaymentDecision>
export type CountersignedDecision = Static<typeof CountersignedDecision>
export type CustomerTransferConfirmation = Static<typeof CustomerTransferConfirmation>
export type CustomerDelayedTransferConfirmation = Static<typeof CustomerDelayedTransferConfirmation>
export type CustomerPaymentOutcome = Static<typeof CustomerPaymentOutcome>
export type TransferConfirmation = Static<typeof TransferConfirmation>
export type DelayedTransferConfirmation = Static<typeof DelayedTransferConfirmation>
export type PaymentOutcome = Static<typeof PaymentOutcome>
export type PaymentQuery = Static<typeof PaymentQuery>
export type NoticeQuery = Static<typeof NoticeQuery>
export type NoticeRecord = Static<typeof NoticeRecord>
