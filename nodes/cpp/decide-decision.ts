/**
 * A payment ends: the payee's side decides, the notice expires, the bank posts.
 *
 * A countersigned decision is checked in this order, and the first check that fails decides:
 *   notice unknown, not of this MPP, or of another payee → NOT_FOUND; payment decided already → nothing new, its outcome is on the
 *   way; approve without the merchant's own approve → SCHEMA_VIOLATION; at or after expiry → EXPIRED; reject → REJECTED;
 *   then micro is CONFIRMED, macro is POSTING.
 */
import { equalBytes } from '../../protocol/bytes.ts'
import { failureCode, type FailureCode } from '../../protocol/failures.ts'
import { bankOf } from '../../protocol/ids.ts'
import type { Verified } from '../../protocol/verified.ts'
import {
  decision,
  on,
  put,
  refuse,
  type Context,
  type Decision,
  type DeadlineEvent,
  type Delivery,
  type Incoming,
  type RequestRef,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import {
  account,
  combineParts,
  drop,
  endWaiting,
  finish,
  noticeDeadline,
  owe,
  receivable,
  serve,
  type Part,
} from './account.ts'
import { confirmation, transferCode } from './confirmation.ts'
import { currencyOrderAnswered, orderPayment } from './exchange.ts'
import { costOf, exchanged, isExchanged } from './fx.ts'
import { loadNotice, loadOrder, loadPayment, type PaymentSlice } from './load.ts'
import { OUTBOX, outbox, payeeOutcome, pnIdOf, until } from './messages.ts'
import { answeredOrder, voidHold } from './orders.ts'
import { append, newPair, openBatch, payable, putPair } from './pair.ts'
import type { CppPolicy } from './policy.ts'
import { orders, payments, type OrderRow, type PaymentRow } from './state.ts'

type Ctx = Context<CppPolicy>
type Countersigned = Verified<'countersigned-decision'>

export const countersignedDecision = on(
  (read, { message }: Incoming<'countersigned-decision'>) => loadNotice(read, message.body.pnId),
  (slice, { message, ref }, context: Ctx): Decision => {
    const { body } = message
    if (slice === undefined || slice.payment.mpp !== message.sender.id || slice.payment.payee !== body.payee)
      return refuse('NOT_FOUND', 'notice')
    const { payment } = slice
    // Its outcome went out by itself when it ended, and is resent until the MPP has it.
    if (payment.state !== 'notified')
      return decision({ record: { event: 'decision-late', ids: [payment.prId, body.pnId, payment.txId] } })
    const approval = merchantDecision(message, payment)
    if (body.decision === 'approve' && approval?.decision !== 'approve')
      return refuse('SCHEMA_VIOLATION', "merchantDecision is not the approve of the payee's host")
    if (payment.expiresAtMs <= context.nowMs)
      return endNotified(slice, { state: 'expired', code: 'NOTICE_EXPIRED' }, { answers: ref }, context)
    if (body.decision === 'reject') {
      const code = failureCode(body.code ?? approval?.code ?? 0) ?? 'REJECTED_BY_PAYEE'
      return endNotified(slice, { state: 'rejected', code, reason: approval?.reason }, { answers: ref }, context)
    }
    if (payment.mode === 'micro') return confirmMicro(slice, ref, context)
    return isExchanged(payment) ? orderPayment(slice, ref, context) : post(slice, ref, context)
  },
)

/** What the merchant itself signed, if it speaks of this notice and comes from the host that the TRANS names. */
const merchantDecision = (
  { body, nested }: Countersigned,
  payment: PaymentRow,
): Verified<'payment-decision'>['body'] | undefined => {
  const found = nested.merchantDecision
  if (found === undefined || !found.ok) return undefined
  const { sender, body: own } = found.value
  const fits =
    sender.id === payment.merchantHost &&
    own.payee === payment.payee &&
    equalBytes(own.pnId, body.pnId) &&
    equalBytes(own.txId, payment.txId) &&
    equalBytes(own.noticeDigest, body.noticeDigest)
  return fits ? own : undefined
}

/** CONFIRMED: pending becomes outstanding, the MPP is owed, both sides are told, and who waited is served. */
const confirmMicro = (slice: PaymentSlice, ref: RequestRef, context: Ctx): Decision => {
  const { payment, account: before } = slice
  const { amountMinor, currency, customer, payee, mpp } = payment
  const cost = costOf(payment)
  const pnId = pnIdOf(payment)
  const owed = owe(before, payment, context)
  const served = serve(before, owed.total, context)
  const appended = append(
    slice.pair ?? newPair(mpp, currency, payment.mppOperatorId),
    { kind: 'delayed-transfer-confirmation', amountMinor, id: pnId, atMs: context.nowMs, pnId, payee },
    context,
  )
  const batched = openBatch(appended.pair, context, { next: appended.cut })
  const done: PaymentRow = {
    ...payment,
    state: 'confirmed',
    decidedAtMs: context.nowMs,
    pairSeq: appended.pair.lastSeq,
    outstandingMinor: owed.total.outstandingMinor,
  }
  return combineParts([
    confirmation(done, ref),
    {
      clear: [noticeDeadline(payment)],
      forget: [outbox(OUTBOX.notice, pnId)],
      postings: [
        { account: receivable(customer), currency: cost.currency, amountMinor: -cost.amountMinor },
        { account: payable(mpp), currency, amountMinor },
      ],
    },
    slice.exchange === undefined
      ? {}
      : exchanged(slice.exchange, { soldMinor: amountMinor, boughtMinor: cost.amountMinor }),
    account(customer, { total: served.total, parts: [...owed.parts, ...served.parts] }),
    ...putPair({ pair: batched.pair, parts: [...appended.parts, ...batched.parts] }),
  ])
}

/** POSTING: expiry applies no more; only the bank's answer ends it. */
const post = ({ payment, account: { customer } }: PaymentSlice, ref: RequestRef, context: Ctx): Decision => {
  const { prId, holdId, amountMinor, currency, txId, payoutAccount } = payment
  if (holdId === undefined) throw new Error('a macro payment has no hold')
  const orderId = context.freshId()
  const bank = bankOf(customer.account)
  const posting: PaymentRow = { ...payment, state: 'posting', orderId, decisionRef: ref, postingAtMs: context.nowMs }
  const order: OrderRow = {
    purpose: 'post',
    state: 'ordered',
    bank,
    amountMinor,
    currency,
    subject: '',
    operatorAccount: '',
    orderedAtMs: context.nowMs,
    answeredAtMs: 0,
    prId,
  }
  return decision({
    writes: [put(payments, keyOf(prId), posting), put(orders, keyOf(orderId), order)],
    sends: [
      {
        kind: 'post-order',
        to: bank,
        body: {
          orderId,
          holdId,
          creditAccount: payoutAccount,
          amountMinor,
          currency,
          reference: { purpose: 'payment', id: txId },
        },
        delivery: until(OUTBOX.order, orderId),
      },
    ],
    clear: [noticeDeadline(payment)],
    forget: [outbox(OUTBOX.notice, pnIdOf(payment))],
    record: {
      event: 'payment-posting',
      ids: [prId, pnIdOf(payment), txId, orderId],
      fields: { amountMinor, currency },
    },
  })
}

type End = {
  readonly state: 'rejected' | 'expired' | 'failed'
  readonly code: FailureCode
  readonly reason?: string | undefined
}

/** Any end but confirmed of a payment whose notice went out: the payee's side hears it, pending is dropped, a hold is given back. */
const endNotified = (slice: PaymentSlice, end: End, toPayee: Delivery, context: Ctx): Decision => {
  const { payment, account: before } = slice
  const { customer } = before
  const ended = finish(payment, end, context)
  const told: Part = {
    sends: [payeeOutcome(ended.payment, toPayee)],
    forget: [outbox(OUTBOX.notice, pnIdOf(payment))],
  }
  if (payment.mode === 'macro')
    return combineParts([ended.part, told, voidHold(payment, bankOf(customer.account), context)])
  const served = serve(before, drop(before.total, payment), context)
  return combineParts([ended.part, told, account(payment.customer, served)])
}

/** The deadline `notice-expiry`: only the CPP judges it, and only up to NOTIFIED. */
export const noticeExpiry = on(
  (read, { key }: DeadlineEvent) => loadPayment(read, key),
  (slice, _event, context: Ctx): Decision => {
    if (slice === undefined) return decision()
    const { payment, account: before } = slice
    const { customer } = before
    const end = { state: 'expired', code: 'NOTICE_EXPIRED' } as const
    switch (payment.state) {
      case 'notified':
        return endNotified(slice, end, until(OUTBOX.outcome, pnIdOf(payment)), context)
      case 'holding':
        return combineParts([finish(payment, end, context).part, voidHold(payment, bankOf(customer.account), context)])
      case 'waiting': {
        const ended = endWaiting(before.total, payment, end, context)
        const behind = before.queue.filter(({ payment: { prId } }) => !equalBytes(prId, payment.prId))
        const served = serve({ ...before, queue: behind }, ended.total, context)
        return combineParts([
          account(payment.customer, { total: served.total, parts: [...ended.parts, ...served.parts] }),
        ])
      }
      case 'posting':
      case 'confirmed':
      case 'refused':
      case 'rejected':
      case 'expired':
      case 'failed':
        return decision()
    }
  },
)

/** Orders that post a hold: to the payee, or to this CPP. */
const POSTED: ReadonlySet<OrderRow['purpose']> = new Set(['post', 'exchange'])

/** Order: order known, answered by its bank (NOT_FOUND), not answered before; then booked confirms and refused fails the payment. */
export const postAnswer = on(
  (read, { message }: Incoming<'post-answer'>) => loadOrder(read, message.body.orderId),
  (slice, { message }, context: Ctx): Decision => {
    const { orderId, result, code } = message.body
    if (slice === undefined || slice.order.bank !== message.sender.id || !POSTED.has(slice.order.purpose))
      return refuse('NOT_FOUND', 'order')
    const forget = [outbox(OUTBOX.order, orderId), outbox(OUTBOX.query, orderId)]
    if (slice.order.state !== 'ordered') return decision({ forget })
    return combineParts([{ forget }, posted(slice.order, slice.paid, orderId, result === 'booked', code, context)])
  },
)

/** The outcome of a post order, or of a refusal that stands for one. */
export const posted = (
  order: OrderRow,
  paid: PaymentSlice | undefined,
  orderId: Uint8Array,
  booked: boolean,
  code: number | undefined,
  context: Ctx,
): Part => {
  if (order.purpose === 'exchange') return currencyOrderAnswered(paid, order, orderId, { booked, code }, context)
  if (paid === undefined) throw new Error('a post order without its payment')
  const { payment, account: before } = paid
  if (payment.state !== 'posting' || payment.decisionRef === undefined)
    throw new Error(`a post order was answered while its payment is ${payment.state}`)
  const answered = answeredOrder(orderId, order, booked ? 'booked' : 'refused', code, context)
  const { account: debited } = before.customer
  if (booked) {
    const done: PaymentRow = { ...payment, state: 'confirmed', decidedAtMs: context.nowMs }
    return combineParts([answered, confirmation(done, payment.decisionRef)])
  }
  const ended = finish(payment, { state: 'failed', code: transferCode(code) }, context)
  return combineParts([
    answered,
    ended.part,
    { sends: [payeeOutcome(ended.payment, { answers: payment.decisionRef })] },
    voidHold(payment, bankOf(debited), context),
  ])
}

/** The hold is gone, or was posted before the void came: either way nothing is left to do. */
export const voidAnswer = on(
  (read, { message }: Incoming<'void-answer'>) => read.get(orders, message.body.orderId),
  (order, { message }, context: Ctx): Decision => {
    const { orderId, result, code } = message.body
    if (order === undefined || order.bank !== message.sender.id || order.purpose !== 'void')
      return refuse('NOT_FOUND', 'order')
    const forget = [outbox(OUTBOX.order, orderId), outbox(OUTBOX.query, orderId)]
    if (order.state !== 'ordered') return decision({ forget })
    return combineParts([
      { forget },
      answeredOrder(orderId, order, result === 'voided' ? 'booked' : 'refused', code, context),
    ])
  },
)
