/**
 * What a CPP holds of one payment: the customer's request, its own notice and the decision on it, what it told both sides, the
 * bank's answers, the settlement batch that holds the entry, and the collection that charged the customer.
 */
import { equalBytes, fromHex } from '../../protocol/bytes.ts'
import { decodeBody } from '../../protocol/codec.ts'
import type { CollectionState, SettlementState } from '../../protocol/evidence.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { pairEntryLeaf, proveLeaf, rangeOf, rangeRoot, type RangeProof } from '../../protocol/mountain-range.ts'
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
import { entriesAt } from '../runtime/journal.ts'
import type { Context, Reader } from '../runtime/node.ts'
import { isFinalState } from '../runtime/reports.ts'
import { headTable } from '../runtime/runtime-tables.ts'
import { readSent } from '../runtime/sent-store.ts'
import { keyOf } from '../runtime/table.ts'
import { refundsOf } from './decide-refund.ts'
import { sentAs } from './decide-settlement.ts'
import { OUTBOX, until } from './messages.ts'
import { LEAF_TYPE } from './pair.ts'
import {
  ENTRY,
  customers,
  formerRecords,
  ledger,
  notices,
  orders,
  payments,
  type OrderRow,
  type PaymentRow,
} from './state.ts'
import { batches, pairEntries, pairs, type BatchRow, type PairEntryRow } from './state-pairs.ts'

type Args = Readonly<Record<string, unknown>>

/** `evidence {paymentId}`: a prId or a pnId. */
export const evidence =
  (services: EvidenceServices) =>
  (read: Reader, args: Args, { nowMs }: Context): EvidenceAnswer => {
    const id = evidenceId(args)
    if (id === undefined) return NO_ID
    const key = fromHex(id)
    const payment = read.get(payments, read.get(notices, key)?.prId ?? key)
    if (payment === undefined) return NOT_HERE
    if (!isFinalState(payment.state)) return NOT_DECIDED
    const gatherer = createGatherer(services, read)
    gatherMessages(gatherer, read, payment)
    const isMicro = payment.state === 'confirmed' && payment.mode === 'micro'
    const { prId, pnId, payee, txId } = payment
    return {
      ok: true,
      bundle: gatherer.seal({
        gatheredAtMs: nowMs,
        payee,
        txId,
        prId,
        ...(pnId === undefined ? {} : { pnId }),
        ...gatherRefunds(gatherer, read, payment),
        ...(isMicro
          ? { ...gatherSettlement(services, gatherer, read, payment), ...gatherCollection(gatherer, read, payment) }
          : {}),
      }),
    }
  }

const gatherMessages = (gatherer: Gatherer, read: Reader, payment: PaymentRow): void => {
  const { prId, pnId, receivedAtMs, decidedAtMs, postingAtMs, holdId, orderId, ref } = payment
  const request = gatherer.received('payment-request', receivedAtMs, (body) => equalBytes(body.prId, prId))
  gatherer.sent({ answers: ref })
  gatherRecord(gatherer, read, payment.customer, request?.keyId)
  if (holdId !== undefined) gatherHold(gatherer, read, holdId)
  if (pnId === undefined) return
  gatherer.sent(until(OUTBOX.notice, pnId))
  gatherer.received('countersigned-decision', postingAtMs ?? decidedAtMs, (body) => equalBytes(body.pnId, pnId))
  if (orderId !== undefined) gatherOrder(gatherer, read, orderId)
  gatherExchange(gatherer, read, payment)
  // T, DT or outcome: the stored answer to the decision, or sent by itself when the notice expired.
  if (!gatherer.sent({ answers: keyOf('countersigned-decision', payment.mpp, pnId) }))
    gatherer.sent(until(OUTBOX.outcome, pnId))
}

/** The record of the device that sealed the request: the one in force, or one that a replacement has ended. */
const gatherRecord = (gatherer: Gatherer, read: Reader, customer: string, keyId: Uint8Array | undefined): void => {
  const former = keyId === undefined ? undefined : read.get(formerRecords, customer, keyId)
  const record = former?.record ?? read.get(customers, customer)?.record
  if (record !== undefined) gatherer.credential(record)
}

const gatherHold = (gatherer: Gatherer, read: Reader, holdId: Uint8Array): void => {
  gatherer.sent(until(OUTBOX.hold, holdId))
  gatherer.received('hold-answer', read.get(orders, holdId)?.answeredAtMs, (body) => equalBytes(body.holdId, holdId))
}

/** Order and answer, of whatever the bank was to do. → the order's row */
const gatherOrder = (gatherer: Gatherer, read: Reader, orderId: Uint8Array): OrderRow | undefined => {
  const order = read.get(orders, orderId)
  gatherer.sent(until(OUTBOX.order, orderId))
  const kind = order?.purpose === 'post' || order?.purpose === 'exchange' ? 'post-answer' : 'transfer-answer'
  gatherer.received(kind, order?.answeredAtMs, (body) => equalBytes(body.orderId, orderId))
  return order
}

/** What the payee asked for, what this CPP said to both sides, and the credit to the customer's account. */
const gatherRefunds = (gatherer: Gatherer, read: Reader, payment: PaymentRow): { readonly refunds?: number } => {
  const confirmed = refundsOf(read, payment.prId).filter(({ state }) => state === 'confirmed')
  for (const { refundId, ref, receivedAtMs, orderId } of confirmed.slice(0, LIMITS.maxRefundsInEvidence)) {
    gatherer.received('countersigned-refund', receivedAtMs, (body) => equalBytes(body.refundId, refundId))
    gatherer.sent({ answers: ref })
    gatherer.sent(until(OUTBOX.refund, refundId))
    if (orderId !== undefined) gatherOrder(gatherer, read, orderId)
  }
  return confirmed.length === 0 ? {} : { refunds: confirmed.length }
}

/** The posting of the hold to this CPP: no row of the payment names its order, but the event that confirmed it does. */
const gatherExchange = (gatherer: Gatherer, read: Reader, { prId, exchange, decidedAtMs }: PaymentRow): void => {
  if (exchange === undefined) return
  const lastSeq = read.get(headTable, 'head')?.seq ?? 0
  for (const id of entriesAt(read, lastSeq, decidedAtMs).flatMap(({ ids }) => ids)) {
    const order = read.get(orders, id)
    if (order?.purpose === 'exchange' && order.prId !== undefined && equalBytes(order.prId, prId))
      gatherOrder(gatherer, read, id)
  }
}

type Settlement = { readonly settlement: SettlementState; readonly inclusion?: RangeProof }

const gatherSettlement = (
  services: EvidenceServices,
  gatherer: Gatherer,
  read: Reader,
  { mpp, currency, pairSeq }: PaymentRow,
): Settlement => {
  const batch = pairSeq === undefined ? undefined : batchOf(read, mpp, currency, pairSeq)
  if (batch === undefined || pairSeq === undefined || batch.openedAtMs === 0) return { settlement: 'none' }
  gatherer.sent(until(OUTBOX.batch, batch.batchId))
  const inclusion = includes(services, read, batch, pairSeq)
  const isIt = (body: { readonly batchId: Uint8Array }): boolean => equalBytes(body.batchId, batch.batchId)
  gatherer.received('settlement-acceptance', batch.answeredAtMs, isIt)
  gatherer.received('settlement-dispute', batch.answeredAtMs, isIt)
  if (batch.orderId !== undefined) gatherOrder(gatherer, read, batch.orderId)
  else if (batch.state === 'settled')
    gatherer.received('account-notice', batch.settledAtMs, ({ reference }) => equalBytes(reference.id, batch.batchId))
  const settlement = batch.state === 'settled' ? 'settled' : batch.answeredAtMs === 0 ? 'sent' : 'answered'
  return { settlement, ...(inclusion === undefined ? {} : { inclusion }) }
}

/** The batch that holds an entry, by halving: batches follow each other, and so do their ranges. */
const batchOf = (
  read: Reader,
  mpp: string,
  currency: PaymentRow['currency'],
  pairSeq: number,
): BatchRow | undefined => {
  let low = 1
  let high = read.get(pairs, mpp, currency)?.batchSeq ?? 0
  while (low <= high) {
    const middle = Math.floor((low + high) / 2)
    const batch = read.get(batches, mpp, currency, middle)
    if (batch === undefined) return undefined
    if (pairSeq < batch.fromSeq) high = middle - 1
    else if (pairSeq > batch.toSeq) low = middle + 1
    else return batch
  }
  return undefined
}

/**
 * Leads from the entry to the root of its batch: the leaves are made again from what stands in the ledger, at most
 * maxEntriesPerBatch of them. Undefined where they do not make the root that was signed.
 */
const includes = (
  services: EvidenceServices,
  read: Reader,
  { mpp, currency, fromSeq, toSeq, root }: BatchRow,
  pairSeq: number,
): RangeProof | undefined => {
  const leaves: Uint8Array[] = []
  const rows = read.scan(pairEntries, [mpp, currency], { from: [fromSeq], before: [toSeq + 1] })
  for (const [, entry] of rows) {
    const { kind, amountMinor } = entry
    const leaf = { pairSeq: fromSeq + leaves.length, type: LEAF_TYPE[kind], amountMinor, currency }
    leaves.push(pairEntryLeaf({ ...leaf, ...namesOf(services, read, mpp, entry) }))
  }
  if (leaves.length !== toSeq - fromSeq + 1 || !equalBytes(rangeRoot(rangeOf(leaves)), root)) return undefined
  return proveLeaf(leaves, pairSeq - fromSeq)
}

/** The payment and payee of an entry: of a DT in the payment's row, of any other in the message that made it. */
const namesOf = (
  { trust, localKey }: EvidenceServices,
  read: Reader,
  mpp: string,
  entry: PairEntryRow,
): { readonly pnId: Uint8Array | null; readonly payee: string | null } => {
  if (entry.kind === 'delayed-transfer-confirmation') {
    const prId = read.get(notices, entry.id)?.prId
    return { pnId: entry.id, payee: (prId === undefined ? undefined : read.get(payments, prId)?.payee) ?? null }
  }
  const sent = readSent(read, sentAs(mpp, entry), trust.engine, localKey)
  const body = sent === undefined || sent.relay ? undefined : decodeBody(entry.kind, 1, sent.body)
  if (body?.ok !== true) return { pnId: null, payee: null }
  return { pnId: body.value.pnId ?? null, payee: body.value.payee ?? null }
}

/** The first transfer from the customer that was ordered once this payment was owed. */
const gatherCollection = (
  gatherer: Gatherer,
  read: Reader,
  { customer, decidedAtMs }: PaymentRow,
): { readonly collection: CollectionState } => {
  const isOfThis = (orderId: Uint8Array): boolean => (read.get(orders, orderId)?.orderedAtMs ?? 0) >= decidedAtMs
  let running: Uint8Array | undefined
  for (const [, row] of read.scan(ledger, [customer]))
    if (row.kind === 0) running = row.orderId.length === 0 ? undefined : row.orderId
    else if (row.kind === ENTRY.collection && row.atMs >= decidedAtMs && isOfThis(row.id)) {
      // An order of many names other customers' accounts: it is no evidence of this payment alone.
      if (read.get(orders, row.id)?.bulkId !== undefined) return { collection: 'bulk' }
      gatherOrder(gatherer, read, row.id)
      return { collection: 'booked' }
    }
  if (running === undefined || !isOfThis(running)) return { collection: 'none' }
  if (read.get(orders, running)?.bulkId !== undefined) return { collection: 'bulk' }
  gatherer.sent(until(OUTBOX.order, running))
  return { collection: 'ordered' }
}
