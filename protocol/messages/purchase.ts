/** Bodies between a customer's guest login and a merchant host, and the request to pay (design §2 rows 1, 2, 8; §7). */
import { AmountMinor, Chain, CurrencyCode, Digest, Fields, FrameBytes, Id, NodeId, Optional, PublicKey, Salt, Text, type Static } from '../fields.ts'

/** Asks a payee for an invoice over an amount or a catalogue item. Sealed with a one-time key. */
export const OfferRequest = Fields({
  /** Fresh for each purchase; the answer and the goods come back under it. */
  purchaseToken: Id,
  /** One-time X25519 key that the answers are encrypted to. */
  sealingKey: PublicKey,
  payee: NodeId,
  currency: CurrencyCode,
  amountMinor: Optional(AmountMinor),
  item: Optional(Text(120)),
})
/** TRANS, the invoice. Its expiry is the header's `expiresAtMs`. Text and salt of the description travel beside it. */
export const TransactionDetails = Fields({
  txId: Id,
  payee: NodeId,
  amountMinor: AmountMinor,
  currency: CurrencyCode,
  /** H(salt ‖ UTF-8 description): the CPP needs no item text. */
  descriptionHash: Digest,
  /** Known only to who holds this TRANS; an order query proves it. */
  nonce: Id,
  /** Processor credential of the MPP, host credential of the merchant host, payee credential. */
  chain: Chain,
})
/** Travels beside the TRANS frame inside the encrypted carrier, seen by the customer alone. */
export const TransactionDescription = Fields({ purchaseToken: Id, description: Text(), salt: Salt })
export const GoodsRelease = Fields({ txId: Id, payee: NodeId, goods: Text() })
export const OrderQuery = Fields({ txId: Id, payee: NodeId, nonce: Id, sealingKey: PublicKey })
/** TRANS sent to an alias that a customer opted in to. */
export const RequestToPay = Fields({
  requestId: Id,
  alias: NodeId,
  trans: FrameBytes,
  description: Text(),
  salt: Salt,
})

export type OfferRequest = Static<typeof OfferRequest>
export type TransactionDetails = Static<typeof TransactionDetails>
export type TransactionDescription = Static<typeof TransactionDescription>
export type GoodsRelease = Static<typeof GoodsRelease>
export type OrderQuery = Static<typeof OrderQuery>
export type RequestToPay = Static<typeof RequestToPay>
