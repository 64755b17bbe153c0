/**
 * A payment begins: payment requests, the bank's answer to a hold, and questions about a payment.
 *
 * A payment request is checked in this order, and the first check that fails decides:
 *   prId taken → ID_REUSED (a tombstone of the same customer and host: its outcome), CUSTOMER_UNKNOWN, CUSTOMER_CLOSED, TRANS_INVALID, TRANS_EXPIRED,
 *   CURRENCY_UNSUPPORTED or the quote's (QUOTE_REQUIRED, QUOTE_UNKNOWN, QUOTE_USED, QUOTE_EXPIRED, QUOTE_MISMATCH), PIN_LOCKED, WRONG_PIN, CUSTOMER_SUSPENDED, TRANS_LOCKED or TRANS_ALREADY_PAID, BUSY;
 *   then micro is admitted or waits, macro is held, and nothing can fail any more.
 */
import { modeOf, type Currency } from '../../protocol/amount.ts'
import { failureCode, failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { bankOf } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Verified } from '../../protocol/verified.ts'
import { decision, on, put, refuse, type Context, type Decision, type Incoming, type Reader } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import {
  account,
  arrive,
  combineParts,
  finish,
  mustWait,
  noticeDeadline,
  notify,
  putCustomer,
  type Account,
  type Part,
} from './account.ts'
import { costOf, quoteProblem, rateOf } from './fx.ts'
import { loadOrder, loadRequest, type OrderSlice, type RequestSlice } from './load.ts'
import { OUTBOX, customerAnswer, customerOutcome, outbox, until } from './messages.ts'
import { answeredOrder } from './orders.ts'
import type { PinVault } from './pin-vault.ts'
import type { CppPolicy } from './policy.ts'
import { invoices, orders, payments, refusedRequests, transLocks, type CustomerRow, type PaymentRow } from './state.ts'
import { quotes, type QuoteRow } from './state-fx.ts'

type Ctx = Context<CppPolicy>
type Trans = Verified<'transaction-details'>

const transOf = ({ message }: Incoming<'payment-request'>): Trans | undefined => {
  const { trans } = message.nested
  return trans.ok && trans.value.merchant.payee.payee === trans.value.body.payee ? trans.value : undefined
}

export const paymentRequest = (vault: PinVault) =>
  on(
    (read, event: Incoming<'payment-request'>) =>
      loadRequest(read, event.message.body, event.message.sender.id, transOf(event)?.body),
    (slice: RequestSlice, event, context: Ctx): Decision => {
      const { message, ref } = event
      const { prId, pinProof, quoteId } = message.body
      const sender = message.sender
      if (slice.payment !== undefined) return refuse('ID_REUSED', 'prId')
      if (slice.refused !== undefined) {
        const { customer, walletHost, code, decidedAtMs } = slice.refused
        if (customer !== sender.id || walletHost !== sender.host) return refuse('ID_REUSED', 'prId')
        const known = failureCode(code) ?? 'WITHDRAWN'
        return decision({
          sends: [customerOutcome({ prId, outcome: 'refused', code: known, decidedAtMs }, sender.id, sender.host, ref)],
        })
      }
      const held = slice.account
      if (held === undefined) return refuseRequest(event, 'CUSTOMER_UNKNOWN', context)
      if (held.customer.state !== 'active') return refuseRequest(event, 'CUSTOMER_CLOSED', context)
      const trans = transOf(event)
      if (trans === undefined) return refuseRequest(event, 'TRANS_INVALID', context)
      const payment = newPayment(event, trans, slice, context)
      const no = (code: FailureCode, ...parts: readonly Part[]): Decision =>
        refusePayment(payment, held, code, parts, context)
      if (payment.expiresAtMs <= context.nowMs) return no('TRANS_EXPIRED')
      const unpayable = currencyProblem(payment, slice.quote, quoteId, held.customer.currency, context)
      if (unpayable !== undefined) return no(unpayable)
      if (held.customer.pinLockedAtMs !== 0) return no('PIN_LOCKED')
      const { sealedPinKey } = held.customer
      if (!vault.isProof(sender.id, sealedPinKey, trans.digest, prId, pinProof))
        return no('WRONG_PIN', putCustomer(wrongPin(held.customer, context)))
      const pinReset: Part = held.customer.wrongPins === 0 ? {} : putCustomer({ ...held.customer, wrongPins: 0 })
      if (held.total.suspendedAtMs !== 0) return no('CUSTOMER_SUSPENDED', pinReset)
      if (slice.lock !== undefined) return no(slice.lock.paid ? 'TRANS_ALREADY_PAID' : 'TRANS_LOCKED', pinReset)
      if (
        payment.mode === 'micro' &&
        held.total.waiting >= LIMITS.maxWaitingPerCustomer &&
        mustWait(held, costOf(payment).amountMinor, context)
      )
        return refuse('BUSY', 'too many payments wait')

      // From here on nothing can fail.
      const lock: Part = { writes: [put(transLocks, keyOf(payment.payee, payment.txId), { prId, paid: false })] }
      const parts = [pinReset, lock, useQuote(payment, slice.quote)]
      if (payment.mode === 'macro') return combineParts([...parts, hold(payment, held, trans.frame, context)])
      const step = arrive(held, { payment, frame: trans.frame }, context)
      return combineParts([...parts, account(sender.id, step)])
    },
  )

const newPayment = (
  { message, ref }: Incoming<'payment-request'>,
  trans: Trans,
  { quote }: RequestSlice,
  { nowMs, policy }: Ctx,
): PaymentRow => {
  const { quoteId } = message.body
  const { payee, txId, amountMinor, currency } = trans.body
  const { mpp, host, payee: certified } = trans.merchant
  return {
    prId: message.body.prId,
    state: 'waiting',
    customer: message.sender.id,
    walletHost: message.sender.host,
    payee,
    txId,
    amountMinor,
    currency,
    mode: modeOf(amountMinor, currency),
    mpp: mpp.id,
    mppOperatorId: mpp.operatorId,
    merchantHost: host.id,
    payoutAccount: certified.account,
    ref,
    expiresAtMs: Math.min(trans.header.expiresAtMs ?? 0, nowMs + policy.noticeLifetimeMs),
    receivedAtMs: nowMs,
    decidedAtMs: 0,
    // Its checks come next; one that fails leaves nothing charged.
    ...(quoteId === undefined || quote === undefined || quote.customer !== message.sender.id
      ? {}
      : { quoteId, accountAmountMinor: quote.accountAmountMinor, accountCurrency: quote.accountCurrency }),
  }
}

/** Can the account pay in the invoice's currency: by itself, or on the quote that is named? */
const currencyProblem = (
  payment: PaymentRow,
  quote: QuoteRow | undefined,
  quoteId: Uint8Array | undefined,
  accountCurrency: Currency,
  { policy, nowMs }: Ctx,
): FailureCode | undefined => {
  if (quoteId !== undefined) return quoteProblem(quote, payment, accountCurrency, nowMs)
  if (payment.currency === accountCurrency) return undefined
  return rateOf(policy, payment.currency, accountCurrency) === undefined ? 'CURRENCY_UNSUPPORTED' : 'QUOTE_REQUIRED'
}

/** From the acceptance of the request on, whatever becomes of the payment. */
const useQuote = ({ quoteId, prId }: PaymentRow, quote: QuoteRow | undefined): Part =>
  quoteId === undefined || quote === undefined ? {} : { writes: [put(quotes, keyOf(quoteId), { ...quote, prId })] }

/** Each wrong PIN in an authentic frame counts once; a duplicate of the frame never comes here. */
export const wrongPin = (customer: CustomerRow, { nowMs }: Ctx): CustomerRow => {
  const wrongPins = customer.wrongPins + 1
  return { ...customer, wrongPins, pinLockedAtMs: wrongPins >= LIMITS.maxWrongPins ? nowMs : 0 }
}

/** Refused before any TRANS was accepted: there is no payment, only the answer. */
const refuseRequest = ({ message, ref }: Incoming<'payment-request'>, code: FailureCode, { nowMs }: Ctx): Decision => {
  const { prId } = message.body
  const { id, host } = message.sender
  return decision({
    writes: [
      put(refusedRequests, keyOf(prId), {
        customer: id,
        walletHost: host,
        code: failureNumber(code),
        decidedAtMs: nowMs,
      }),
    ],
    sends: [customerOutcome({ prId, outcome: 'refused', code, decidedAtMs: nowMs }, id, host, ref)],
    record: { event: 'payment-refused', ids: [prId], fields: { code } },
  })
}

const refusePayment = (
  payment: PaymentRow,
  held: Account,
  code: FailureCode,
  parts: readonly Part[],
  context: Ctx,
): Decision => {
  const refused: PaymentRow = { ...payment, state: 'refused', code: failureNumber(code), decidedAtMs: context.nowMs }
  const { prId } = payment
  return combineParts([
    ...parts,
    {
      writes: [put(payments, keyOf(prId), refused)],
      sends: [customerAnswer(refused, payment.ref)],
      record: { event: 'payment-refused', ids: [prId], fields: { code } },
    },
  ])
}

/** Macro: the bank sets the amount aside until the payee's side has decided, and a grace longer. */
const hold = (payment: PaymentRow, { customer }: Account, frame: Uint8Array, context: Ctx): Part => {
  const { prId, expiresAtMs } = payment
  const { amountMinor, currency } = costOf(payment)
  const holdId = context.freshId()
  const bank = bankOf(customer.account)
  const holding: PaymentRow = { ...payment, state: 'holding', holdId }
  return {
    writes: [
      put(payments, keyOf(prId), holding),
      put(invoices, keyOf(prId), { frame }),
      put(orders, keyOf(holdId), {
        purpose: 'hold',
        state: 'ordered',
        bank,
        amountMinor,
        currency,
        subject: '',
        operatorAccount: '',
        orderedAtMs: context.nowMs,
        answeredAtMs: 0,
        prId,
      }),
    ],
    sends: [
      {
        kind: 'hold-order',
        to: bank,
        body: {
          holdId,
          account: customer.account,
          amountMinor,
          currency,
          holdExpiresAtMs: expiresAtMs + LIMITS.postGraceMs,
        },
        delivery: until(OUTBOX.hold, holdId),
        expiresAtMs,
      },
    ],
    set: [noticeDeadline(payment)],
    record: { event: 'payment-holding', ids: [prId, holdId], fields: { amountMinor, currency } },
  }
}

/** Order: order known, answered by its bank (NOT_FOUND), not answered before; a payment that no longer holds has voided it already. */
export const holdAnswer = on(
  (read, { message }: Incoming<'hold-answer'>) => ({
    slice: loadOrder(read, message.body.holdId),
    frame: heldInvoice(read, message.body.holdId),
  }),
  ({ slice, frame }, { message }, context: Ctx): Decision => {
    const { holdId, result, code } = message.body
    const forget = [outbox(OUTBOX.hold, holdId)]
    if (slice === undefined || slice.order.bank !== message.sender.id) return refuse('NOT_FOUND', 'order')
    if (slice.order.state !== 'ordered') return decision({ forget })
    const answered = answeredOrder(holdId, slice.order, result === 'held' ? 'booked' : 'refused', code, context)
    return combineParts([{ forget }, answered, held(slice, frame, result === 'held', code, context)])
  },
)

export const heldInvoice = (read: Reader, holdId: Uint8Array): Uint8Array | undefined => {
  const prId = read.get(orders, holdId)?.prId
  return prId === undefined ? undefined : read.get(invoices, prId)?.frame
}

/** The outcome of a hold, or of a refusal that stands for one. */
export const held = (
  { paid }: OrderSlice,
  frame: Uint8Array | undefined,
  placed: boolean,
  code: number | undefined,
  context: Ctx,
): Part => {
  // A payment that ended meanwhile has sent a void after the hold: nothing is left to do.
  if (paid === undefined || paid.payment.state !== 'holding' || frame === undefined) return {}
  const { payment } = paid
  // Its deadline, due by now, ends it and gives the hold back.
  if (placed && payment.expiresAtMs <= context.nowMs) return {}
  if (placed) return notify(payment, frame, context).part
  const known = failureCode(code ?? 0) ?? 'INSUFFICIENT_FUNDS'
  return finish(payment, { state: 'refused', code: known }, context).part
}

/**
 * What became of a payment request, to the host that made it: under its own key, since the device that sealed the request may be lost
 * or carried by another host by now. Order: another customer's or host's → NOT_FOUND; decided → its outcome; undecided →
 * UNDECIDED; nothing found before the TRANS has expired → UNDECIDED; after → withdrawn for ever.
 */
export const paymentQuery = on(
  (read, { message }: Incoming<'payment-query'>) => ({
    payment: read.get(payments, message.body.prId),
    refused: read.get(refusedRequests, message.body.prId),
  }),
  ({ payment, refused }, { message, ref }, { nowMs }: Ctx): Decision => {
    const { prId, transExpiresAtMs } = message.body
    const { id, host } = message.sender
    const customer = message.body.customer ?? id
    const found = payment ?? refused
    // A device speaks for its customer alone, a host for all that it carried.
    if (customer !== id && id !== host) return refuse('NOT_FOUND', 'payment')
    if (found !== undefined && (found.customer !== customer || found.walletHost !== host))
      return refuse('NOT_FOUND', 'payment')
    if (payment !== undefined)
      return payment.decidedAtMs === 0
        ? refuse('UNDECIDED', 'payment')
        : decision({ sends: [customerAnswer(payment, ref)] })
    if (refused === undefined && nowMs < transExpiresAtMs) return refuse('UNDECIDED', 'payment')
    const { code, decidedAtMs } = refused ?? { code: failureNumber('WITHDRAWN'), decidedAtMs: nowMs }
    const outcome = customerOutcome(
      { prId, outcome: 'refused', code: failureCode(code) ?? 'WITHDRAWN', decidedAtMs },
      customer,
      host,
      ref,
    )
    if (refused !== undefined) return decision({ sends: [outcome] })
    return decision({
      writes: [put(refusedRequests, keyOf(prId), { customer, walletHost: host, code, decidedAtMs })],
      sends: [outcome],
      record: { event: 'payment-withdrawn', ids: [prId] },
    })
  },
)
