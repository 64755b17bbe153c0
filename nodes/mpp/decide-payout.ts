/** Payouts to payees (design §3): by threshold, by age, or at the operator's word; one a payee at a time. */
import { equalBytes, fromUtf8 } from '../../protocol/bytes.ts'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import {
  combine,
  decision,
  on,
  put,
  refuse,
  type Context,
  type ControlEvent,
  type DeadlineEvent,
  type Decision,
  type Incoming,
  type Reader,
} from '../runtime/node.ts'
import { closeBooks, openBooks, type BookSlice } from './books.ts'
import { considerPayout, finishPayout, orderPayout } from './payouts.ts'
import { readPayeeArgs, refusedReply } from './control-args.ts'
import { payeeSlice } from './load.ts'
import type { MppPolicy } from './policy.ts'
import { fundsAnswered, loadRefund, type RefundSlice } from './decide-refund.ts'
import { loadOrdered, settlementAnswered } from './decide-settlement.ts'
import { ORDERS, outboxKey, PAYEES, PAYOUTS, type OrderRow, type PayeeRow, type PayoutRow } from './state.ts'

export type OrderSlice = {
  readonly order: OrderRow | undefined
  readonly payout: PayoutRow | undefined
  readonly payee: PayeeRow | undefined
  readonly batch: BookSlice | undefined
  readonly refund: RefundSlice | undefined
}

export const loadOrder = (read: Reader, orderId: Uint8Array): OrderSlice => {
  const order = read.get(ORDERS, orderId)
  if (order === undefined) return { order, payout: undefined, payee: undefined, batch: undefined, refund: undefined }
  const payout = order.purpose === 'payout' ? read.get(PAYOUTS, order.id) : undefined
  return {
    order,
    payout,
    payee: payout === undefined ? undefined : read.get(PAYEES, payout.payee),
    batch: order.purpose === 'settlement' ? loadOrdered(read, order.id) : undefined,
    refund: order.purpose === 'refund' ? loadRefund(read, order.id) : undefined,
  }
}

export const onTransferAnswer = on(
  (read: Reader, { message }: Incoming<'transfer-answer'>) => loadOrder(read, message.body.orderId),
  (slice: OrderSlice, { message }: Incoming<'transfer-answer'>, context: Context<MppPolicy>): Decision => {
    const { orderId, result, code } = message.body
    if (slice.order === undefined || slice.order.bank !== message.sender.id) return refuse('NOT_FOUND', 'no such order')
    return orderAnswered(slice, orderId, result === 'booked', code, context)
  },
)

/** What a bank's answer, or its refusal to take the order at all, does to what was ordered. */
export const orderAnswered = (
  { order, payout, payee, batch, refund }: OrderSlice,
  orderId: Uint8Array,
  booked: boolean,
  code: number | undefined,
  context: Context<MppPolicy>,
): Decision => {
  const forget = [outboxKey('order', orderId)]
  if (order?.purpose === 'settlement') {
    const isCurrent = batch?.batch?.orderId !== undefined && equalBytes(batch.batch.orderId, orderId)
    return combine({ forget }, settlementAnswered(isCurrent ? batch : undefined, order, booked, code, context))
  }
  if (order?.purpose === 'refund') return combine({ forget }, fundsAnswered(refund, orderId, booked, code, context))
  if (payout === undefined || payee === undefined || payout.state !== 'ordered') return decision({ forget })
  const { payoutId, amountMinor, currency } = payout
  const { nowMs } = context
  const books = openBooks(payeeSlice(payee), context)
  finishPayout(books, payee.payee, payoutId, amountMinor, booked)
  const finished: PayoutRow = {
    ...payout,
    state: booked ? 'paid' : 'refused',
    finishedAtMs: nowMs,
    ...(booked ? {} : { code: code ?? failureNumber('TRANSFER_FAILED') }),
  }
  return combine(closeBooks(books), {
    forget,
    writes: [put(PAYOUTS, payoutId, finished)],
    sends: booked
      ? [
          {
            kind: 'payout-advice',
            to: payee.host,
            body: { payoutId, payee: payee.payee, amountMinor, currency, paidAtMs: nowMs },
            delivery: { until: outboxKey('advice', payoutId) },
          },
        ]
      : [],
    record: {
      event: booked ? 'payout-paid' : 'payout-refused',
      ids: [payoutId, orderId],
      level: booked ? 'info' : 'warn',
      fields: { payee: payee.payee, amountMinor, currency, ...(booked ? {} : { code }) },
    },
  })
}

/** The order was refused before the bank judged it: nothing was moved. */
export const orderRefused = (
  slice: OrderSlice,
  orderId: Uint8Array,
  code: FailureCode,
  context: Context<MppPolicy>,
): Decision =>
  slice.order === undefined ? decision() : orderAnswered(slice, orderId, false, failureNumber(code), context)

const loadDue = (read: Reader, { key }: DeadlineEvent): PayeeRow | undefined =>
  read.get(PAYEES, fromUtf8(key.subarray(0, -1)))

export const onPayoutDeadline = on(
  loadDue,
  (payee: PayeeRow | undefined, { atMs }: DeadlineEvent, context: Context<MppPolicy>): Decision => {
    if (payee === undefined || payee.payoutAtMs !== atMs) return decision()
    const books = openBooks(payeeSlice(payee), context)
    considerPayout(books, payee.payee)
    const payoutId = books.payees.get(payee.payee)?.payoutId
    const ordered = payoutId !== undefined && payee.payoutId === undefined
    const record = ordered
      ? { event: 'payout-ordered', ids: [payoutId], fields: { payee: payee.payee, why: 'age' } }
      : undefined
    return combine(closeBooks(books), record === undefined ? {} : { record })
  },
)

const loadControl = (read: Reader, { args }: ControlEvent): PayeeRow | undefined => {
  const payee = readPayeeArgs(args)
  return payee === undefined ? undefined : read.get(PAYEES, payee)
}

/** `payout-now {payee}` → {ok, payoutId, amountMinor}: pays out whatever is payable. */
export const onPayoutNow = on(
  loadControl,
  (payee: PayeeRow | undefined, { args }: ControlEvent, context: Context<MppPolicy>): Decision => {
    if (readPayeeArgs(args) === undefined) return refusedReply('SCHEMA_VIOLATION', 'expected {"payee": "name@realm"}')
    if (payee === undefined) return refusedReply('NOT_FOUND', 'no such payee')
    const books = openBooks(payeeSlice(payee), context)
    const payoutId = orderPayout(books, payee.payee)
    if (payoutId === undefined)
      return payee.payoutId === undefined
        ? refusedReply('NOT_FOUND', 'nothing is payable')
        : refusedReply('UNDECIDED', 'a payout is under way')
    const amountMinor = payee.payableMinor - (books.payees.get(payee.payee)?.payableMinor ?? 0n)
    return combine(closeBooks(books), {
      reply: { ok: true, payoutId, amountMinor },
      record: { event: 'payout-ordered', ids: [payoutId], fields: { payee: payee.payee, why: 'operator' } },
    })
  },
)
