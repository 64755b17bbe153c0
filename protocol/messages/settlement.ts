/** Bodies of settlement, payout, refunds and reports between processors (design §2 "Refund", §3). */
import { AmountMinor, Chain, Code, Count, CurrencyCode, Digest, Fields, FrameBytes, Id, List, NodeId, Optional, RatePart, Sequence, SignedMinor, Text, TimeMs, type Static } from '../fields.ts'

/** A range of the pair's sequence: its size does not grow with its count. */
export const SettlementBatch = Fields({
  batchId: Id,
  mpp: NodeId,
  currency: CurrencyCode,
  /** 1, 2, 3… per pair and currency. */
  seq: Sequence,
  /** Hash of the pair's previous batch; 32 zero bytes before the first. */
  prevHash: Digest,
  fromSeq: Sequence,
  toSeq: Sequence,
  /** Merkle mountain range over the entries fromSeq…toSeq. */
  root: Digest,
  totalMinor: SignedMinor,
})
export const SettlementAcceptance = Fields({ batchId: Id, seq: Sequence, batchHash: Digest })
/** Itemised: each entry that is missing or differs, with the amount the MPP holds to be right. */
export const SettlementDispute = Fields({
  batchId: Id,
  seq: Sequence,
  batchHash: Digest,
  items: List(Fields({ pairSeq: Sequence, code: Code, amountMinor: SignedMinor }), 256),
})
export const MissingEntriesRequest = Fields({ requestId: Id, currency: CurrencyCode, fromSeq: Sequence, toSeq: Sequence })
/** Each entry is the frame that created it, signed by the CPP: DT, refund confirmation or adjustment. */
export const MissingEntries = Fields({ requestId: Id, currency: CurrencyCode, entries: List(FrameBytes, 64) })
/** An entry (±) that settles a disputed one. */
export const PairAdjustment = Fields({
  adjustmentId: Id,
  mpp: NodeId,
  currency: CurrencyCode,
  pairSeq: Sequence,
  amountMinor: SignedMinor,
  batchId: Id,
  disputedSeq: Sequence,
  payee: Optional(NodeId),
  pnId: Optional(Id),
})
export const PayoutAdvice = Fields({ payoutId: Id, payee: NodeId, amountMinor: AmountMinor, currency: CurrencyCode, paidAtMs: TimeMs })

export const RefundRequest = Fields({ refundId: Id, payee: NodeId, txId: Id, pnId: Id, amountMinor: AmountMinor, currency: CurrencyCode })
/** `chain`: the MPP's and the merchant host's credential, under which the request was taken. */
export const CountersignedRefund = Fields({ refundId: Id, pnId: Id, payee: NodeId, request: FrameBytes, chain: Optional(Chain) })
export const RefundConfirmation = Fields({ refundId: Id, pnId: Id, payee: NodeId, txId: Id, amountMinor: AmountMinor, currency: CurrencyCode, mpp: NodeId, pairSeq: Optional(Sequence), confirmedAtMs: TimeMs })
export const CustomerRefundNotice = Fields({ refundId: Id, prId: Id, amountMinor: AmountMinor, currency: CurrencyCode, confirmedAtMs: TimeMs })
/** What a payment of this invoice amount would cost the customer, whose account is in another currency. */
export const FxQuoteRequest = Fields({ quoteId: Id, customer: NodeId, currency: CurrencyCode, amountMinor: AmountMinor })
/**
 * Good for one payment of exactly this amount, by the customer who asked, until it expires. The rate is a fraction of integers, units of
 * the account's currency for one of the invoice's, the CPP's margin included.
 */
export const FxQuote = Fields({
  quoteId: Id,
  currency: CurrencyCode,
  amountMinor: AmountMinor,
  accountCurrency: CurrencyCode,
  /** amountMinor at this rate, rounded up to the minor unit. */
  accountAmountMinor: AmountMinor,
  rateNumerator: RatePart,
  rateDenominator: RatePart,
  expiresAtMs: TimeMs,
})

export const LedgerReportQuery = Fields({ reportId: Id })
export const LedgerReport = Fields({ reportId: Id, takenAtMs: TimeMs, figures: List(Fields({ name: Text(120), currency: Optional(CurrencyCode), valueMinor: SignedMinor, count: Optional(Count) }), 512) })

export type SettlementBatch = Static<typeof SettlementBatch>
export type SettlementAcceptance = Static<typeof SettlementAcceptance>
export type SettlementDispute = Static<typeof SettlementDispute>
export type MissingEntriesRequest = Static<typeof MissingEntriesRequest>
export type MissingEntries = Static<typeof MissingEntries>
export type PairAdjustment = Static<typeof PairAdjustment>
export type PayoutAdvice = Static<typeof PayoutAdvice>
export type RefundRequest = Static<typeof RefundRequest>
export type CountersignedRefund = Static<typeof CountersignedRefund>
export type RefundConfirmation = Static<typeof RefundConfirmation>
export type CustomerRefundNotice = Static<typeof CustomerRefundNotice>
export type FxQuoteRequest = Static<typeof FxQuoteRequest>
export type FxQuote = Static<typeof FxQuote>
export type LedgerReportQuery = Static<typeof LedgerReportQuery>
export type LedgerReport = Static<typeof LedgerReport>
