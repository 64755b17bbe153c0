/**
 * A refund at the customer's wallet. Invariant: what is shown as refunded is what the payment's own CPP said, each refund once, and never
 * more than was paid.
 */
import { sumMinor } from '../../protocol/amount.ts'
import { showId } from '../../protocol/ids.ts'
import { decision, put, refuse, type Context, type Decision, type Incoming, type Reader } from '../runtime/node.ts'
import type { RefundLine } from '../runtime/reports.ts'
import { keyOf } from '../runtime/table.ts'
import { payments, refunds, type Payment, type Refund } from './state.ts'

type RefundSlice = { readonly payment: Payment | undefined; readonly earlier: readonly Refund[] }
export const loadRefundNotice = (read: Reader, { message }: Incoming<'customer-refund-notice'>): RefundSlice => {
  const { prId } = message.body
  return { payment: read.get(payments, prId), earlier: refundsOf(read, prId) }
}

export const refundsOf = (read: Reader, prId: Uint8Array): readonly Refund[] =>
  [...read.scan(refunds, [prId])].map(([, row]) => row)

/** As a payment's line shows them; absent where there is none. */
export const refundLines = (read: Reader, prId: Uint8Array): { readonly refunds?: readonly RefundLine[] } => {
  const rows = refundsOf(read, prId)
  if (rows.length === 0) return {}
  return {
    refunds: rows.map(({ refundId, amountMinor }) => ({ refundId: showId(refundId), amountMinor, state: 'confirmed' })),
  }
}

/**
 * Checks, in order: the payment is of this customer, at this CPP, and was requested (NOT_FOUND); its confirmation is here (UNDECIDED,
 * transient: it is on its way); the currency is its (CURRENCY_UNSUPPORTED); no more than was paid, with the refunds before
 * (REFUND_EXCEEDED). Then a row and a receipt.
 */
export const decideRefundNotice = (
  { payment, earlier }: RefundSlice,
  { message, ref }: Incoming<'customer-refund-notice'>,
  { nowMs }: Pick<Context, 'nowMs'>,
): Decision => {
  const { body, sender, header, previousHop, digest } = message
  const { refundId, prId, amountMinor, currency, confirmedAtMs } = body
  const isOurs = payment?.requestedAtMs !== undefined && payment.cpp === sender.id && payment.customer === header.to
  if (!isOurs) return refuse('NOT_FOUND')
  if (payment.state !== 'confirmed') return refuse('UNDECIDED', 'the payment is not confirmed here yet')
  if (payment.currency !== currency) return refuse('CURRENCY_UNSUPPORTED')
  const refundedMinor = sumMinor(...earlier.map((row) => row.amountMinor))
  if (refundedMinor + amountMinor > payment.amountMinor) return refuse('REFUND_EXCEEDED')
  return decision({
    writes: [
      put(refunds, keyOf(prId, refundId), { refundId, amountMinor, currency, confirmedAtMs, receivedAtMs: nowMs }),
    ],
    sends: [{ kind: 'receipt', to: previousHop, body: { digest }, delivery: { answers: ref } }],
    announce: [{ topic: `refund:${showId(refundId)}`, value: { ok: true, amountMinor, currency } }],
    record: { event: 'refund-received', ids: [prId, refundId], fields: { amountMinor, currency } },
  })
}
