/**
 * What a wallet host holds of one payment: the invoice, the request that the device sealed, the CPP's end, and the CPP's record of
 * the device. The request holds a proof of the PIN: who is given the bundle can try PINs, at scrypt's price for each.
 */
import { equalBytes, fromHex } from '../../protocol/bytes.ts'
import { signingKeyFromSeed } from '../../protocol/keys.ts'
import { LIMITS } from '../../protocol/limits.ts'
import {
  createGatherer,
  evidenceId,
  NO_ID,
  NOT_DECIDED,
  NOT_HERE,
  type EvidenceAnswer,
  type EvidenceServices,
} from '../runtime/evidence.ts'
import type { Context, Reader } from '../runtime/node.ts'
import { isFinalState } from '../runtime/reports.ts'
import { refundsOf } from './decide-refund.ts'
import { deviceSeeds, enrolments, outbox, payments, requests } from './state.ts'

const ENDS = [
  'customer-delayed-transfer-confirmation',
  'customer-transfer-confirmation',
  'customer-payment-outcome',
] as const

/** `evidence {paymentId}`: a prId. What ended before its payment request has no evidence: it reached nobody. */
export const evidence =
  (services: EvidenceServices) =>
  (read: Reader, args: Readonly<Record<string, unknown>>, { nowMs }: Context): EvidenceAnswer => {
    const id = evidenceId(args)
    if (id === undefined) return NO_ID
    const payment = read.get(payments, fromHex(id))
    if (payment?.txId === undefined || payment.requestedAtMs === undefined) return NOT_HERE
    if (!isFinalState(payment.state)) return NOT_DECIDED
    const { prId, payee, txId, customer, cpp, requestId, quoteId, requestedAtMs, decidedAtMs } = payment
    const gatherer = createGatherer(services, read)
    const request = requestId === undefined ? undefined : read.get(requests, requestId)
    if (request !== undefined) gatherer.frame(request.trans)
    else gatherer.received('transaction-details', requestedAtMs, (body) => equalBytes(body.txId, txId))
    const seed = read.get(deviceSeeds, customer)?.seed
    if (seed !== undefined)
      gatherer.sent({ until: outbox.request(prId) }, signingKeyFromSeed(services.trust.engine, seed))
    if (quoteId !== undefined) gatherer.received('fx-quote', requestedAtMs, (body) => equalBytes(body.quoteId, quoteId))
    for (const kind of ENDS) gatherer.received(kind, decidedAtMs, (body) => equalBytes(body.prId, prId))
    const record = read.get(enrolments, customer, cpp)?.record
    if (record !== undefined) gatherer.credential(record)
    const refunded = refundsOf(read, prId)
    for (const { refundId, receivedAtMs } of refunded.slice(0, LIMITS.maxRefundsInEvidence))
      gatherer.received('customer-refund-notice', receivedAtMs, (body) => equalBytes(body.refundId, refundId))
    const refunds = refunded.length === 0 ? {} : { refunds: refunded.length }
    return { ok: true, bundle: gatherer.seal({ gatheredAtMs: nowMs, payee, txId, prId, ...refunds }) }
  }
