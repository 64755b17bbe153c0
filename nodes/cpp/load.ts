/** Slices: what each decision reads, in one place, all of it before anything is decided. */
import type { Currency } from '../../protocol/amount.ts'
import { hash } from '../../protocol/hash.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { CustomerEnrolment } from '../../protocol/messages/enrolment.ts'
import { parseCredential } from '../../protocol/statements.ts'
import type { Reader } from '../runtime/node.ts'
import type { Account, Queued } from './account.ts'
import { closures, troubles } from './aggregation-state.ts'
import type { Closing } from './closing.ts'
import { isExchanged, type Exchange } from './fx.ts'
import type { BatchSlice } from './pair.ts'
import {
  aliases,
  customers,
  hosts,
  invoices,
  ledger,
  mandateUses,
  notices,
  orders,
  payments,
  refusedRequests,
  transLocks,
  waiting,
  type AliasRow,
  type CustomerRow,
  type HostRow,
  type MandateUseRow,
  type OrderRow,
  type PaymentRow,
  type RefusedRequestRow,
  type TotalRow,
  type TransLockRow,
} from './state.ts'
import { batchIds, batches, pairEntries, pairs, type PairEntryRow, type PairRow } from './state-pairs.ts'
import { refunds, type RefundRow } from './state-refunds.ts'
import { positions, quotes, type PositionRow, type QuoteRow } from './state-fx.ts'

/** The customer's total; undefined before the enrolment is complete. */
export const totalOf = (read: Reader, customer: string): TotalRow | undefined => {
  const row = read.get(ledger, customer)
  return row?.kind === 0 ? row : undefined
}

const queueOf = (read: Reader, total: TotalRow, customer: string): readonly Queued[] => {
  if (total.waiting === 0) return []
  const queue: Queued[] = []
  for (const [, { prId }] of read.scan(waiting, [customer], { limit: LIMITS.maxWaitingPerCustomer })) {
    const payment = read.get(payments, prId)
    const invoice = read.get(invoices, prId)
    if (payment === undefined || invoice === undefined) throw new Error('a waiting payment lacks its row or invoice')
    queue.push({ payment, frame: invoice.frame })
  }
  return queue
}

/** Undefined for a customer whose enrolment is not complete. */
export const loadAccount = (read: Reader, customer: string): Account | undefined => {
  const row = read.get(customers, customer)
  const total = totalOf(read, customer)
  if (row === undefined || total === undefined || row.state === 'mandating' || row.state === 'recording')
    return undefined
  const closing = row.state === 'closing' ? loadClosing(read, row) : undefined
  return { customer: row, total, queue: queueOf(read, total, customer), closing }
}

const loadClosing = (read: Reader, { customer, alias }: CustomerRow): Closing => {
  const closure = read.get(closures, customer)
  if (closure === undefined) throw new Error('a closing account without its closure')
  return { closure, alias: alias === undefined ? undefined : read.get(aliases, alias) }
}

/** The same, with what is known of refused collections. */
export const loadTroubled = (read: Reader, customer: string): Account | undefined => {
  const found = loadAccount(read, customer)
  return found === undefined ? undefined : { ...found, trouble: read.get(troubles, customer) }
}

export type RequestSlice = {
  readonly payment: PaymentRow | undefined
  readonly refused: RefusedRequestRow | undefined
  readonly account: Account | undefined
  readonly lock: TransLockRow | undefined
  /** The quote that the request names. */
  readonly quote: QuoteRow | undefined
}
export const loadRequest = (
  read: Reader,
  { prId, quoteId }: { readonly prId: Uint8Array; readonly quoteId?: Uint8Array },
  customer: string,
  trans: { readonly payee: string; readonly txId: Uint8Array } | undefined,
): RequestSlice => ({
  payment: read.get(payments, prId),
  refused: read.get(refusedRequests, prId),
  account: loadAccount(read, customer),
  lock: trans === undefined ? undefined : read.get(transLocks, trans.payee, trans.txId),
  quote: quoteId === undefined ? undefined : read.get(quotes, quoteId),
})

export type PaymentSlice = {
  readonly payment: PaymentRow
  readonly account: Account
  readonly pair: PairRow | undefined
  /** Of a payment in another currency than the account's. */
  readonly exchange: Exchange | undefined
}

const positionIn = (read: Reader, currency: Currency): PositionRow =>
  read.get(positions, currency) ?? { currency, positionMinor: 0n }

/** The positions that this payment moves, or has moved. */
export const loadExchange = (read: Reader, payment: PaymentRow): Exchange | undefined =>
  isExchanged(payment)
    ? {
        sold: positionIn(read, payment.currency),
        bought: positionIn(read, payment.accountCurrency ?? payment.currency),
      }
    : undefined

/** @throws Error when a payment's customer is gone: rows of customers with payments are never deleted. */
export const loadPayment = (read: Reader, prId: Uint8Array | undefined): PaymentSlice | undefined => {
  const payment = prId === undefined ? undefined : read.get(payments, prId)
  if (payment === undefined) return undefined
  const account = loadAccount(read, payment.customer)
  if (account === undefined) throw new Error('a payment without its customer')
  const pair = read.get(pairs, payment.mpp, payment.currency)
  return { payment, account, pair, exchange: loadExchange(read, payment) }
}

export const loadNotice = (read: Reader, pnId: Uint8Array): PaymentSlice | undefined =>
  loadPayment(read, read.get(notices, pnId)?.prId)

export type OrderSlice = { readonly order: OrderRow; readonly paid: PaymentSlice | undefined }
/** An order at a bank and, where it serves one payment, that payment. */
export const loadOrder = (read: Reader, id: Uint8Array): OrderSlice | undefined => {
  const order = read.get(orders, id)
  return order === undefined ? undefined : { order, paid: loadPayment(read, order.prId) }
}

/** @throws Error when a batch has no pair. */
export const loadBatch = (
  read: Reader,
  at: { readonly mpp: string; readonly currency: Currency; readonly seq: number } | undefined,
): BatchSlice | undefined => {
  if (at === undefined) return undefined
  const batch = read.get(batches, at.mpp, at.currency, at.seq)
  const pair = read.get(pairs, at.mpp, at.currency)
  if (batch === undefined || pair === undefined) throw new Error('a batch without its row or pair')
  return { batch, pair, next: read.get(batches, at.mpp, at.currency, pair.sentSeq + 1) }
}
export const loadBatchById = (read: Reader, batchId: Uint8Array): BatchSlice | undefined =>
  loadBatch(read, read.get(batchIds, batchId))

/** An answer to a transfer order: of a collection, a settlement, a refund's credit, or a payment in another currency. */
export type TransferSlice = {
  readonly order: OrderRow
  readonly account: Account | undefined
  readonly settlement: BatchSlice | undefined
  readonly paid: PaymentSlice | undefined
  readonly refund: RefundRow | undefined
}
export const loadTransfer = (read: Reader, orderId: Uint8Array): TransferSlice | undefined => {
  const order = read.get(orders, orderId)
  if (order === undefined) return undefined
  const { subject, currency, batchSeq } = order
  return {
    order,
    account: order.purpose === 'collection' ? loadTroubled(read, subject) : undefined,
    settlement:
      order.purpose === 'settlement' && batchSeq !== undefined
        ? loadBatch(read, { mpp: subject, currency, seq: batchSeq })
        : undefined,
    paid: loadPayment(read, order.prId),
    refund: order.refundId === undefined ? undefined : read.get(refunds, order.refundId),
  }
}

/** A disputed entry: what stands in the sequence, and the payment or the refund it was made for. */
export type DisputedEntry = {
  readonly entry: PairEntryRow | undefined
  readonly payment: PaymentRow | undefined
  readonly refund: RefundRow | undefined
}
export const loadEntry = (read: Reader, pair: PairRow, pairSeq: number): DisputedEntry => {
  const entry = read.get(pairEntries, pair.mpp, pair.currency, pairSeq)
  const refund = entry?.kind === 'refund-confirmation' ? read.get(refunds, entry.id) : undefined
  const prId = entry?.kind === 'delayed-transfer-confirmation' ? read.get(notices, entry.id)?.prId : refund?.prId
  return { entry, payment: prId === undefined ? undefined : read.get(payments, prId), refund }
}

export type EnrolmentSlice = {
  readonly host: HostRow | undefined
  readonly customer: CustomerRow | undefined
  readonly alias: AliasRow | undefined
  /** Whom this mandate has enrolled. */
  readonly mandateUse: MandateUseRow | undefined
}
export const loadEnrolment = (
  read: Reader,
  host: string,
  { customer, alias, mandate }: Pick<CustomerEnrolment, 'customer' | 'alias' | 'mandate'>,
): EnrolmentSlice => {
  const use = mandateKey(mandate)
  return {
    host: read.get(hosts, host),
    customer: read.get(customers, customer),
    alias: alias === undefined ? undefined : read.get(aliases, alias),
    mandateUse: use === undefined ? undefined : read.get(mandateUses, use),
  }
}

/** The same mandate in any encoding has the same key; undefined for bytes that are none. */
export const mandateKey = (mandate: Uint8Array): Uint8Array | undefined => {
  const credential = parseCredential(mandate)
  return credential.ok ? hash(credential.value.payload) : undefined
}
