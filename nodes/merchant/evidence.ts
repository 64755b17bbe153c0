/**
 * What a merchant host holds of one payment: the CPP's notice with its own invoice inside, its decision, the CPP's end, and of a
 * macro payment its bank's word that the money is there. Nothing of it names a customer.
 */
import { equalBytes, fromHex } from '../../protocol/bytes.ts'
import { LIMITS } from '../../protocol/limits.ts'
import {
  createGatherer,
  evidenceId,
  NO_ID,
  NOT_DECIDED,
  NOT_HERE,
  type EvidenceAnswer,
  type EvidenceServices,
  type Gatherer,
} from '../runtime/evidence.ts'
import type { Context, Reader } from '../runtime/node.ts'
import { isFinalState } from '../runtime/reports.ts'
import { orders, outbox, paymentRefunds, payments, refunds } from './state.ts'

const ENDS = ['delayed-transfer-confirmation', 'transfer-confirmation', 'payment-outcome'] as const

/** `evidence {paymentId}`: a pnId. */
export const evidence =
  (services: EvidenceServices) =>
  (read: Reader, args: Readonly<Record<string, unknown>>, { nowMs }: Context): EvidenceAnswer => {
    const id = evidenceId(args)
    if (id === undefined) return NO_ID
    const payment = read.get(payments, fromHex(id))
    if (payment === undefined) return NOT_HERE
    if (!isFinalState(payment.state)) return NOT_DECIDED
    const { pnId, payee, txId, noticedAtMs, endedAtMs } = payment
    const gatherer = createGatherer(services, read)
    const isIt = (body: { readonly pnId: Uint8Array }): boolean => equalBytes(body.pnId, pnId)
    gatherer.received('payment-notice', noticedAtMs, isIt)
    gatherer.sent({ until: outbox.decision(pnId) })
    for (const kind of ENDS) gatherer.received(kind, endedAtMs, isIt)
    gatherer.received('account-notice', read.get(orders, payee, txId)?.bookedAtMs, ({ reference }) =>
      equalBytes(reference.id, txId),
    )
    return {
      ok: true,
      bundle: gatherer.seal({ gatheredAtMs: nowMs, payee, txId, pnId, ...gatherRefunds(gatherer, read, pnId) }),
    }
  }

/** What this host asked for, and the CPP's word. */
const gatherRefunds = (gatherer: Gatherer, read: Reader, pnId: Uint8Array): { readonly refunds?: number } => {
  const confirmed = [...read.scan(paymentRefunds, [pnId])]
    .flatMap(([, { refundId }]) => read.get(refunds, refundId) ?? [])
    .filter(({ state }) => state === 'confirmed')
  for (const { refundId, decidedAtMs } of confirmed.slice(0, LIMITS.maxRefundsInEvidence)) {
    gatherer.sent({ until: outbox.refund(refundId) })
    gatherer.received('refund-confirmation', decidedAtMs, (body) => equalBytes(body.refundId, refundId))
  }
  return confirmed.length === 0 ? {} : { refunds: confirmed.length }
}
