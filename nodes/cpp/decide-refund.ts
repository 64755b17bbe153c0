/**
 * Refunds at a CPP (design §2 "Refund"). Its commit is the refund: from there on the customer owes it no more, or is owed it.
 *
 * Invariants: the refunds of a payment never add up to more than it; a micropayment's refund is one negative entry of the pair,
 * taken off what the customer owes first, and only the rest is a bank credit; a macro payment's is credited only with the money that the
 * payee's bank has booked for it. A credit that the bank refuses stays due, is tried again, and is visible.
 */
import { sumMinor } from '../../protocol/amount.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { fail, ok, type Result } from '../../protocol/failures.ts'
import { bankOf } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Verified } from '../../protocol/verified.ts'
import {
  decision,
  on,
  put,
  refuse,
  type Context,
  type DeadlineEvent,
  type Decision,
  type Incoming,
  type Message,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { account, cash, combineParts, entry, receivable, serve, type Account, type Part, type Step } from './account.ts'
import { offset } from './aggregation.ts'
import { accountAmountOfRefund, exchanged } from './fx.ts'
import { loadNotice, loadPayment, type PaymentSlice } from './load.ts'
import { OUTBOX, pnIdOf, receipt, toBank, toWallet, until } from './messages.ts'
import { answeredOrder } from './orders.ts'
import { append, newPair, openBatch, payable, putPair } from './pair.ts'
import type { CppPolicy } from './policy.ts'
import { ENTRY, orders, type CustomerRow, type OrderRow, type PaymentRow } from './state.ts'
import { paymentRefunds, refundMoney, refunds, type RefundMoneyRow, type RefundRow } from './state-refunds.ts'

type Ctx = Context<CppPolicy>

/** Refunds of a payment: none is ever refused once it has a row. */
export const refundsOf = (read: Reader, prId: Uint8Array): readonly RefundRow[] =>
  [...read.scan(paymentRefunds, [prId])].flatMap(([, { refundId }]) => read.get(refunds, refundId) ?? [])

export const refundDue = (customer: string): string => `refund-due:${customer}`
/** Money that came for refunds which are not confirmed. */
const SUSPENSE = 'refund-suspense'

type RefundSlice = {
  readonly known: RefundRow | undefined
  readonly paid: PaymentSlice | undefined
  readonly money: readonly RefundMoneyRow[]
  readonly earlier: readonly RefundRow[]
}
const loadRefund = (read: Reader, { message }: Incoming<'countersigned-refund'>): RefundSlice => {
  const { refundId, pnId } = message.body
  const paid = loadNotice(read, pnId)
  return {
    known: read.get(refunds, refundId),
    paid,
    money: [...read.scan(refundMoney, [refundId])].map(([, row]) => row),
    earlier: paid === undefined ? [] : refundsOf(read, paid.payment.prId),
  }
}

type Request = Verified<'refund-request'>['body']

/** What the payee itself asked for, if the frame holds, and comes from the host that the TRANS names. */
const requestOf = ({ body, nested }: Verified<'countersigned-refund'>, payment: PaymentRow): Request | undefined => {
  const { request } = nested
  if (!request.ok) return undefined
  const { sender, body: own } = request.value
  const fits =
    sender.id === payment.merchantHost &&
    own.payee === payment.payee &&
    equalBytes(own.refundId, body.refundId) &&
    equalBytes(own.pnId, body.pnId) &&
    equalBytes(own.txId, payment.txId)
  return fits ? own : undefined
}

/**
 * In this order: the refundId is new (ID_REUSED); the notice is known, of this MPP and payee, and its payment confirmed (NOT_FOUND); the
 * request nested is that of the payee's host, for this payment (REFUND_INVALID); the currency is the payment's
 * (CURRENCY_UNSUPPORTED); with the refunds before it is no more than the payment, and they are no more than maxRefundsPerPayment
 * (REFUND_EXCEEDED).
 */
const refundProblem = (
  { known, paid, earlier }: RefundSlice,
  message: Verified<'countersigned-refund'>,
): Result<{ readonly paid: PaymentSlice; readonly request: Request }> => {
  if (known !== undefined) return fail('ID_REUSED', 'another refund has this id')
  if (
    paid === undefined ||
    paid.payment.mpp !== message.sender.id ||
    paid.payment.payee !== message.body.payee ||
    paid.payment.state !== 'confirmed'
  )
    return fail('NOT_FOUND', 'notice')
  const { payment } = paid
  const request = requestOf(message, payment)
  if (request === undefined) return fail('REFUND_INVALID', "request is not the refund request of the payee's host")
  if (request.currency !== payment.currency) return fail('CURRENCY_UNSUPPORTED', 'not the currency of the payment')
  if (earlier.length >= LIMITS.maxRefundsPerPayment) return fail('REFUND_EXCEEDED', 'too many refunds of one payment')
  const refundedMinor = sumMinor(...earlier.map(({ amountMinor }) => amountMinor))
  if (refundedMinor + request.amountMinor > payment.amountMinor) return fail('REFUND_EXCEEDED', 'more than is left')
  return ok({ paid, request })
}

export const countersignedRefund = on(
  loadRefund,
  (slice, { message, ref }: Incoming<'countersigned-refund'>, context: Ctx): Decision => {
    const checked = refundProblem(slice, message)
    if (!checked.ok) return refuse(checked.failure.code, checked.failure.detail)
    const { paid, request } = checked.value
    const { payment } = paid
    const { prId, mpp, mode, currency } = payment
    const { refundId, amountMinor } = request
    const refundedMinor = sumMinor(...slice.earlier.map((row) => row.amountMinor))
    const refund: RefundRow = {
      refundId,
      state: 'awaiting',
      prId,
      mpp,
      amountMinor,
      currency,
      mode,
      ref,
      accountMinor: accountAmountOfRefund(payment, refundedMinor, amountMinor),
      offsetMinor: 0n,
      creditMinor: 0n,
      credit: 'none',
      attempts: 0,
      retryAtMs: 0,
      receivedAtMs: context.nowMs,
      confirmedAtMs: 0,
    }
    const listed: Part = { writes: [put(paymentRefunds, keyOf(prId, refundId), { refundId })] }
    if (mode === 'micro') return combineParts([listed, confirmMicro(refund, paid, context)])
    const money = slice.money.find((row) => isMoneyFor(row, refund, payment))
    if (money === undefined)
      return combineParts([
        listed,
        {
          writes: [put(refunds, keyOf(refundId), refund)],
          record: { event: 'refund-awaiting', ids: [refundId, prId, payment.txId], fields: { amountMinor, currency } },
        },
      ])
    return combineParts([listed, confirmMacro(refund, money, paid, context)])
  },
)

/** A negative entry of the pair; taken off what the customer owes, the rest credited to their account. */
const confirmMicro = (refund: RefundRow, paid: PaymentSlice, context: Ctx): Part => {
  const { payment, account: before } = paid
  const { refundId, amountMinor, currency } = refund
  const { customer, mpp, payee } = payment
  const pnId = pnIdOf(payment)
  const { step, offsetMinor } = takeOff(before, refund, context)
  const appended = append(
    paid.pair ?? newPair(mpp, currency, payment.mppOperatorId),
    { kind: 'refund-confirmation', amountMinor: -amountMinor, id: refundId, atMs: context.nowMs, pnId, payee },
    context,
  )
  const batched = openBatch(appended.pair, context, { next: appended.cut })
  const confirmed: RefundRow = {
    ...refund,
    offsetMinor,
    creditMinor: refund.accountMinor - offsetMinor,
    pairSeq: appended.pair.lastSeq,
  }
  return combineParts([
    confirm(confirmed, payment, before.customer, context),
    {
      postings: [
        { account: payable(mpp), currency, amountMinor: -amountMinor },
        ...legs(receivable(customer), before.total.currency, offsetMinor),
        ...legs(refundDue(customer), before.total.currency, confirmed.creditMinor),
      ],
    },
    givenBack(refund, paid),
    account(customer, step),
    ...putPair({ pair: batched.pair, parts: [...appended.parts, ...batched.parts] }),
  ])
}

const legs = (name: string, currency: RefundRow['currency'], amountMinor: bigint) =>
  amountMinor === 0n ? [] : [{ account: name, currency, amountMinor }]

/** In another currency the CPP takes back what it had sold, for its part of what it had bought. */
const givenBack = ({ amountMinor, accountMinor }: RefundRow, { exchange }: PaymentSlice): Part =>
  exchange === undefined ? {} : exchanged(exchange, { soldMinor: -amountMinor, boughtMinor: -accountMinor })

/** Off what the customer owes, as far as no running collection may bring it in; who waited is served. */
const takeOff = (
  before: Account,
  { refundId, accountMinor }: RefundRow,
  context: Ctx,
): { readonly step: Step; readonly offsetMinor: bigint } => {
  const { total, customer } = before
  const { standing, offsetMinor } = offset(total, accountMinor)
  if (offsetMinor === 0n) return { step: { total, parts: [] }, offsetMinor }
  const clear = standing.outstandingMinor === 0n
  // Who owes nothing any more has nothing left that a collection could be refused for.
  const left = { ...standing, ...(clear ? { debtSinceMs: 0, suspendedAtMs: 0 } : {}) }
  const booked = entry(left, customer.customer, ENTRY.refundOffset, offsetMinor, refundId, context.nowMs)
  const served = serve(before, booked.total, context)
  return { step: { total: served.total, parts: [...booked.parts, ...served.parts] }, offsetMinor }
}

/** The payee's bank has booked exactly its sum for this refund, on the account that the operator named. */
const isMoneyFor = (money: RefundMoneyRow, refund: RefundRow, payment: PaymentRow): boolean =>
  money.amountMinor === refund.amountMinor &&
  money.currency === refund.currency &&
  money.originatingBank === bankOf(payment.payoutAccount)

const confirmMacro = (refund: RefundRow, money: RefundMoneyRow, paid: PaymentSlice, context: Ctx): Part => {
  const { payment, account: before } = paid
  const { refundId, amountMinor, currency, accountMinor } = refund
  return combineParts([
    confirm({ ...refund, creditMinor: accountMinor }, payment, before.customer, context),
    {
      writes: [put(refundMoney, keyOf(refundId, money.noticeId), { ...money, used: true })],
      postings: [
        { account: SUSPENSE, currency, amountMinor: -amountMinor },
        { account: refundDue(payment.customer), currency: before.customer.currency, amountMinor: accountMinor },
      ],
    },
    givenBack(refund, paid),
  ])
}

/** The row, the credit's order, the payee's side's confirmation, and the customer's notice. */
const confirm = (refund: RefundRow, payment: PaymentRow, customer: CustomerRow, context: Ctx): Part => {
  const confirmed: RefundRow = { ...refund, state: 'confirmed', confirmedAtMs: context.nowMs }
  const { refundId, prId, amountMinor, currency } = confirmed
  return combineParts([
    credit(confirmed, customer, context),
    {
      sends: [confirmation(confirmed, payment), noticeTo(confirmed, payment)],
      record: {
        event: 'refund-confirmed',
        ids: [refundId, prId, pnIdOf(payment), payment.txId],
        fields: { mode: payment.mode, amountMinor, currency },
      },
    },
  ])
}

/** To the payee's side, of a confirmed refund. */
export const confirmation = (refund: RefundRow, payment: PaymentRow): Message<'refund-confirmation'> => {
  const { refundId, amountMinor, currency, mpp, pairSeq, ref, confirmedAtMs } = refund
  const { payee, txId, merchantHost } = payment
  return {
    kind: 'refund-confirmation',
    to: merchantHost,
    body: {
      refundId,
      pnId: pnIdOf(payment),
      payee,
      txId,
      amountMinor,
      currency,
      mpp,
      ...(pairSeq === undefined ? {} : { pairSeq }),
      confirmedAtMs,
    },
    delivery: { answers: ref },
  }
}

/** To the host that asked for the payment: no other knows it, wherever the customer's device is by now. */
const noticeTo = (refund: RefundRow, { customer, walletHost }: PaymentRow): Message<'customer-refund-notice'> => {
  const { refundId, prId, amountMinor, currency, confirmedAtMs } = refund
  return {
    kind: 'customer-refund-notice',
    to: customer,
    nextHop: toWallet(walletHost),
    body: { refundId, prId, amountMinor, currency, confirmedAtMs },
    delivery: until(OUTBOX.refund, refundId),
  }
}

/** Orders the transfer of what the customer did not owe to their account. Writes the refund's row. */
const credit = (refund: RefundRow, customer: CustomerRow, context: Ctx): Part => {
  const { refundId, creditMinor: amountMinor } = refund
  if (amountMinor === 0n) return { writes: [put(refunds, keyOf(refundId), refund)] }
  const { currency } = customer
  const debitAccount = context.policy.operatorAccounts[currency]
  if (debitAccount === undefined) return retryLater(refund, 'unpayable', undefined, context)
  const orderId = context.freshId()
  const bank = bankOf(debitAccount)
  const ordered: RefundRow = { ...refund, credit: 'ordered', orderId, attempts: refund.attempts + 1, retryAtMs: 0 }
  const order: OrderRow = {
    purpose: 'refund',
    state: 'ordered',
    bank,
    amountMinor,
    currency,
    subject: customer.customer,
    operatorAccount: debitAccount,
    orderedAtMs: context.nowMs,
    answeredAtMs: 0,
    refundId,
  }
  return {
    writes: [put(refunds, keyOf(refundId), ordered), put(orders, keyOf(orderId), order)],
    sends: [
      {
        kind: 'transfer-order',
        to: bank,
        body: {
          orderId,
          debitAccount,
          creditAccount: customer.account,
          amountMinor,
          currency,
          reference: { purpose: 'refund', id: refundId },
        },
        delivery: until(OUTBOX.order, orderId),
      },
    ],
    record: { event: 'refund-credit-ordered', ids: [refundId, orderId], fields: { amountMinor, currency } },
  }
}

/** The delay doubles with each attempt. */
const retryLater = (
  refund: RefundRow,
  state: 'refused' | 'unpayable',
  code: number | undefined,
  { nowMs, policy }: Ctx,
): Part => {
  const { refundId, prId } = refund
  const wait = policy.settlement.retryMs * 2 ** Math.min(Math.max(refund.attempts - 1, 0), 20)
  const atMs = nowMs + Math.min(wait, LIMITS.maxRefundRetryMs)
  const waiting: RefundRow = { ...refund, credit: state, retryAtMs: atMs, ...(code === undefined ? {} : { code }) }
  return {
    writes: [put(refunds, keyOf(refundId), waiting)],
    set: [{ name: 'refund-retry', key: keyOf(refundId), atMs }],
    record: { event: 'refund-credit-postponed', ids: [refundId, prId], level: 'warn', fields: { state, code } },
  }
}

/** The bank's answer to a credit: the customer has it, or it is tried again. */
export const creditAnswered = (
  refund: RefundRow | undefined,
  order: OrderRow,
  orderId: Uint8Array,
  booked: boolean,
  code: number | undefined,
  context: Ctx,
): Part => {
  if (refund?.orderId === undefined || refund.credit !== 'ordered' || !equalBytes(refund.orderId, orderId))
    throw new Error('a credit was answered that its refund does not know')
  const answered = answeredOrder(orderId, order, booked ? 'booked' : 'refused', code, context)
  if (!booked) return combineParts([answered, retryLater(refund, 'refused', code, context)])
  const { refundId, prId } = refund
  const { amountMinor, currency, subject, operatorAccount } = order
  const { code: _, ...done } = refund
  return combineParts([
    answered,
    {
      writes: [put(refunds, keyOf(refundId), { ...done, credit: 'booked' })],
      postings: [
        { account: refundDue(subject), currency, amountMinor: -amountMinor },
        { account: cash(operatorAccount), currency, amountMinor },
      ],
      record: { event: 'refund-credited', ids: [refundId, prId, orderId], fields: { amountMinor, currency } },
    },
  ])
}

type CreditSlice = { readonly refund: RefundRow; readonly customer: CustomerRow }
const loadCredit = (read: Reader, key: Uint8Array): CreditSlice | undefined => {
  const refund = read.get(refunds, key)
  const customer = refund === undefined ? undefined : loadPayment(read, refund.prId)?.account.customer
  return refund === undefined || customer === undefined ? undefined : { refund, customer }
}

/** The deadline `refund-retry`: a new order, for the last one was refused for good. The key is the refundId. */
export const refundRetry = on(
  (read, { key }: DeadlineEvent) => loadCredit(read, key),
  (slice, { atMs }, context: Ctx): Decision =>
    slice === undefined || slice.refund.retryAtMs !== atMs
      ? decision()
      : combineParts([credit(slice.refund, slice.customer, context)]),
)

type MoneySlice = {
  readonly refund: RefundRow | undefined
  readonly paid: PaymentSlice | undefined
}

/**
 * Money was booked for a refund. In this order: receipt always; credited to the operator's account by the bank that keeps it, it is
 * kept. The refund that waits for it is confirmed with it, if it is exactly its sum and from the payee's bank; what fits no refund
 * stays in suspense, for the operator to look at.
 */
export const refundMoneyBooked = on(
  (read, { message }: Incoming<'account-notice'>): MoneySlice => {
    const { id } = message.body.reference
    const refund = read.get(refunds, id)
    return { refund, paid: refund === undefined ? undefined : loadPayment(read, refund.prId) }
  },
  ({ refund, paid }, { message, ref }, context: Ctx): Decision => {
    const { noticeId, account: credited, amountMinor, currency, originatingBank, reference } = message.body
    const bank = message.sender.id
    const received: Part = { sends: [receipt(bank, toBank(bank), message.digest, ref)] }
    const isOwn = context.policy.operatorAccounts[currency] === credited && bankOf(credited) === bank
    if (!isOwn || amountMinor <= 0n) return combineParts([received, unmatched(reference.id, amountMinor, currency)])
    const money: RefundMoneyRow = { noticeId, amountMinor, currency, originatingBank, atMs: context.nowMs, used: false }
    const booked: Part = {
      writes: [put(refundMoney, keyOf(reference.id, noticeId), money)],
      postings: [
        { account: cash(credited), currency, amountMinor: -amountMinor },
        { account: SUSPENSE, currency, amountMinor },
      ],
    }
    if (refund === undefined || paid === undefined || refund.state !== 'awaiting')
      return combineParts([received, booked, { record: { event: 'refund-money-booked', ids: [reference.id] } }])
    if (!isMoneyFor(money, refund, paid.payment))
      return combineParts([received, booked, unmatched(reference.id, amountMinor, currency)])
    return combineParts([received, booked, confirmMacro(refund, money, paid, context)])
  },
)

const unmatched = (id: Uint8Array, amountMinor: bigint, currency: string): Part => ({
  record: { event: 'refund-money-unmatched', ids: [id], level: 'warn', fields: { amountMinor, currency } },
})

/** What an entry for a refund should be: the refund's own sum if it was confirmed with this entry, else nothing. */
export const rightRefundMinor = (pairSeq: number, refund: RefundRow | undefined): bigint =>
  refund?.state === 'confirmed' && refund.pairSeq === pairSeq ? -refund.amountMinor : 0n
