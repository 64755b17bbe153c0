/**
 * Macro payments by a customer whose account is in another currency (SPEC "Currencies"). The hold stands in the account's
 * currency; the CPP pays the payee from its own account in the invoice's, and then takes the hold:
 *
 *   approve → transfer CPP → payee ordered (POSTING)
 *     booked  → CONFIRMED, T both ways; the hold is posted to the CPP (`exchange`: ordered)
 *                 booked  → `exchange`: booked
 *                 refused → the customer owes it: a transfer customer → CPP under the mandate (`exchange`: owed), again after
 *                           each refusal, until it is booked
 *     refused → FAILED, the hold is given back
 *
 * Invariant: nothing is taken from the customer before the payee's bank has booked; what is owed is the quoted sum, in one order at
 * a time; a payment that was confirmed stays so whatever the customer's bank answers afterwards.
 */
import { bankOf } from '../../protocol/ids.ts'
import {
  decision,
  on,
  put,
  type Context,
  type DeadlineEvent,
  type Decision,
  type Message,
  type Posting,
  type RequestRef,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { cash, combineParts, finish, noticeDeadline, type Part } from './account.ts'
import { confirmation } from './confirmation.ts'
import { costOf, exchanged } from './fx.ts'
import { loadPayment, type PaymentSlice } from './load.ts'
import { OUTBOX, outbox, payeeOutcome, pnIdOf, until } from './messages.ts'
import { answeredOrder, voidHold } from './orders.ts'
import type { CppPolicy } from './policy.ts'
import { orders, payments, type CurrencyOrder, type OrderRow, type PaymentRow } from './state.ts'

type Ctx = Context<CppPolicy>

/** What a customer owes for a payment that the payee has, until the CPP has it. */
const owedBy = (customer: string): string => `exchange:${customer}`

/** @throws Error when the policy has lost an account since the quote: the node stops, and goes on once it is back */
const ownAccount = (policy: CppPolicy, currency: PaymentRow['currency']): string => {
  const account = policy.operatorAccounts[currency]
  if (account === undefined) throw new Error(`the policy names no operator account in ${currency}`)
  return account
}

const orderRow = (
  purpose: CurrencyOrder,
  { prId }: PaymentRow,
  money: Pick<OrderRow, 'amountMinor' | 'currency' | 'bank' | 'operatorAccount'>,
  { nowMs }: Ctx,
): OrderRow => ({ purpose, state: 'ordered', ...money, subject: '', orderedAtMs: nowMs, answeredAtMs: 0, prId })

/** The payee's side has approved: POSTING. */
export const orderPayment = ({ payment }: PaymentSlice, ref: RequestRef, context: Ctx): Decision => {
  const { prId, amountMinor, currency, txId, payoutAccount } = payment
  const orderId = context.freshId()
  const operatorAccount = ownAccount(context.policy, currency)
  const bank = bankOf(operatorAccount)
  const posting: PaymentRow = { ...payment, state: 'posting', orderId, decisionRef: ref, postingAtMs: context.nowMs }
  const order = orderRow('payment', payment, { amountMinor, currency, bank, operatorAccount }, context)
  return decision({
    writes: [put(payments, keyOf(prId), posting), put(orders, keyOf(orderId), order)],
    sends: [
      {
        kind: 'transfer-order',
        to: bank,
        body: {
          orderId,
          debitAccount: operatorAccount,
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

/** The bank's word on one of a payment's currency orders, or a refusal that stands for one. */
export const currencyOrderAnswered = (
  slice: PaymentSlice | undefined,
  order: OrderRow,
  orderId: Uint8Array,
  answer: { readonly booked: boolean; readonly code: number | undefined },
  context: Ctx,
): Part => {
  if (slice === undefined) throw new Error('a currency order without its payment')
  const answered = answeredOrder(orderId, order, answer.booked ? 'booked' : 'refused', answer.code, context)
  return combineParts([
    answered,
    order.purpose === 'payment'
      ? payeePaid(slice, order, answer.booked, context)
      : holdTaken(slice, order, orderId, answer, context),
  ])
}

/** The transfer to the payee. A refusal is the CPP's or the payee's bank's, and none of the customer's: TRANSFER_FAILED. */
const payeePaid = (slice: PaymentSlice, order: OrderRow, booked: boolean, context: Ctx): Part => {
  const { payment, account: before, exchange } = slice
  if (payment.state !== 'posting' || payment.decisionRef === undefined || exchange === undefined)
    throw new Error(`a transfer to the payee was answered while its payment is ${payment.state}`)
  const { account: debited } = before.customer
  if (!booked) {
    const ended = finish(payment, { state: 'failed', code: 'TRANSFER_FAILED' }, context)
    return combineParts([
      ended.part,
      { sends: [payeeOutcome(ended.payment, { answers: payment.decisionRef })] },
      voidHold(payment, bankOf(debited), context),
    ])
  }
  const cost = costOf(payment)
  const done: PaymentRow = { ...payment, state: 'confirmed', decidedAtMs: context.nowMs, exchange: 'ordered' }
  const postings: readonly Posting[] = [
    { account: cash(order.operatorAccount), currency: order.currency, amountMinor: order.amountMinor },
    { account: owedBy(payment.customer), currency: cost.currency, amountMinor: -cost.amountMinor },
  ]
  return combineParts([
    confirmation(done, payment.decisionRef),
    { postings },
    exchanged(exchange, { soldMinor: payment.amountMinor, boughtMinor: cost.amountMinor }),
    takeHold(payment, debited, context),
  ])
}

/** The order of the payment row stays that of the transfer to the payee: these are found by their own rows. */
const takeHold = (payment: PaymentRow, debited: string, context: Ctx): Part => {
  const { holdId, prId } = payment
  if (holdId === undefined) throw new Error('a macro payment has no hold')
  const { amountMinor, currency } = costOf(payment)
  const orderId = context.freshId()
  const creditAccount = ownAccount(context.policy, currency)
  return ordered(
    'exchange',
    payment,
    { orderId, debited, creditAccount },
    context,
    {
      kind: 'post-order',
      to: bankOf(debited),
      body: {
        orderId,
        holdId,
        creditAccount,
        amountMinor,
        currency,
        reference: { purpose: 'exchange', id: orderId },
      },
      delivery: until(OUTBOX.order, orderId),
    },
    prId,
  )
}

/** The hold is gone, so the mandate has to serve. */
const recover = (payment: PaymentRow, debited: string, context: Ctx): Part => {
  const { amountMinor, currency } = costOf(payment)
  const orderId = context.freshId()
  const creditAccount = ownAccount(context.policy, currency)
  return ordered(
    'recovery',
    payment,
    { orderId, debited, creditAccount },
    context,
    {
      kind: 'transfer-order',
      to: bankOf(debited),
      body: {
        orderId,
        debitAccount: debited,
        creditAccount,
        amountMinor,
        currency,
        reference: { purpose: 'exchange', id: orderId },
      },
      delivery: until(OUTBOX.order, orderId),
    },
    payment.prId,
  )
}

const ordered = (
  purpose: CurrencyOrder,
  payment: PaymentRow,
  {
    orderId,
    debited,
    creditAccount,
  }: { readonly orderId: Uint8Array; readonly debited: string; readonly creditAccount: string },
  context: Ctx,
  message: Message<'post-order' | 'transfer-order'>,
  prId: Uint8Array,
): Part => {
  const cost = costOf(payment)
  const order = orderRow(purpose, payment, { ...cost, bank: bankOf(debited), operatorAccount: creditAccount }, context)
  return {
    writes: [put(orders, keyOf(orderId), order)],
    sends: [message],
    record: { event: `${purpose}-ordered`, ids: [prId, orderId], fields: cost },
  }
}

/** What the customer is charged came, or did not: the payment stands either way. */
const holdTaken = (
  { payment, account: { customer } }: PaymentSlice,
  order: OrderRow,
  orderId: Uint8Array,
  { booked, code }: { readonly booked: boolean; readonly code: number | undefined },
  context: Ctx,
): Part => {
  if (payment.state !== 'confirmed' || payment.exchange === undefined || payment.exchange === 'booked')
    throw new Error(`an exchange was answered while its payment is ${payment.state}`)
  const { prId } = payment
  const { amountMinor, currency, operatorAccount } = order
  const become = (exchange: PaymentRow['exchange']): Part => ({
    writes: [put(payments, keyOf(prId), { ...payment, exchange } as PaymentRow)],
  })
  if (booked)
    return combineParts([
      become('booked'),
      {
        postings: [
          { account: owedBy(payment.customer), currency, amountMinor },
          { account: cash(operatorAccount), currency, amountMinor: -amountMinor },
        ],
        record: { event: 'exchange-booked', ids: [prId, orderId], fields: { amountMinor, currency } },
      },
    ])
  const refused: Part = {
    record: {
      event: 'exchange-refused',
      ids: [prId, orderId],
      level: 'warn',
      fields: { amountMinor, currency, code, purpose: order.purpose },
    },
  }
  if (order.purpose === 'exchange')
    return combineParts([become('owed'), refused, recover(payment, customer.account, context)])
  const retry = { name: EXCHANGE_RETRY, key: prId, atMs: context.nowMs + context.policy.fx.retryMs }
  return combineParts([refused, { set: [retry] }])
}

export const EXCHANGE_RETRY = 'exchange-retry'

/** The deadline `exchange-retry`: the customer's account is asked once more. The key is the prId; armed by each refusal, never twice. */
export const exchangeRetry = on(
  (read, { key }: DeadlineEvent) => loadPayment(read, key),
  (slice, _event, context: Ctx): Decision =>
    slice?.payment.exchange === 'owed'
      ? combineParts([recover(slice.payment, slice.account.customer.account, context)])
      : decision(),
)
