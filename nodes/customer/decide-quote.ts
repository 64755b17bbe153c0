/**
 * Paying from an account in another currency than the invoice: the customer's CPP is asked what it will cost, and the payment request
 * names its quote. Invariant: a payment request never goes out over more than the customer agreed to be charged, nor over other
 * than the quoted rate gives; before it nothing is paid, and whatever fails ends the purchase as a refusal.
 */
import { convertUp } from '../../protocol/exchange-rate.ts'
import { failure, type Failure, type FailureCode } from '../../protocol/failures.ts'
import {
  combine,
  decision,
  put,
  refuse,
  type Context,
  type Decision,
  type Incoming,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { endOwnLogin } from './guest-session.ts'
import { loadPaymentById, type PaymentSlice } from './load.ts'
import { become, paymentRequest, queryAtMs, refusePurchase, requestEnded, type Invoice } from './payment-parts.ts'
import type { WalletPolicy } from './policy.ts'
import { outbox, quotes, type Payment, type QuoteRow } from './state.ts'
import type { Vault } from './vault.ts'

type Ctx = Context<WalletPolicy>

/** The invoice is there, the account in another currency: the row is `quoting`, and the invoice waits beside it. */
export const askForQuote = (
  before: Payment | undefined,
  payment: Payment,
  { frame, digest, expiresAtMs }: Invoice,
  context: Ctx,
): Partial<Decision> => {
  const quoteId = context.freshId()
  const { prId, cpp, customer, currency, amountMinor } = payment
  return combine(become(before, { ...payment, state: 'quoting', quoteId }), {
    writes: [put(quotes, keyOf(quoteId), { prId, frame, digest, expiresAtMs })],
    sends: [
      {
        kind: 'fx-quote-request',
        to: cpp,
        body: { quoteId, customer, currency, amountMinor },
        delivery: { until: outbox.quote(prId) },
        signer: { device: customer },
      },
    ],
    record: { event: 'quote-asked-for', ids: [prId], fields: { currency, amountMinor, cpp } },
  })
}

export type QuoteSlice = PaymentSlice & {
  readonly quote: QuoteRow | undefined
  readonly pinKey: Uint8Array | undefined
}
export const loadQuote =
  (vault: Vault) =>
  (read: Reader, { message }: Incoming<'fx-quote'>): QuoteSlice => {
    const quote = read.get(quotes, message.body.quoteId)
    const slice =
      quote === undefined
        ? { payment: undefined, session: undefined, request: undefined, othersWait: false }
        : loadPaymentById(read, quote.prId)
    const { payment } = slice
    return { ...slice, quote, pinKey: payment && vault.get(payment.customer, payment.cpp) }
  }

/**
 * The quote. Checks, in order: asked for by this customer, of this CPP (NOT_FOUND); still waited for (else nothing changes); the codes
 * of {@link quoteProblem}; the wallet still unlocked (WRONG_PIN). Then the payment request.
 */
export const decideQuote = (slice: QuoteSlice, { message }: Incoming<'fx-quote'>, context: Ctx): Decision => {
  const { payment, quote, pinKey } = slice
  if (
    payment === undefined ||
    quote === undefined ||
    payment.cpp !== message.sender.id ||
    payment.customer !== message.header.to
  )
    return refuse('NOT_FOUND')
  if (payment.state !== 'quoting') return decision()
  const { body } = message
  const problem = quoteProblem(payment, body, quote.expiresAtMs, context.nowMs)
  if (problem !== undefined)
    return decision(endUnrequested(slice, payment, problem.code, problem.detail, context.nowMs))
  if (pinKey === undefined)
    return decision(endUnrequested(slice, payment, 'WRONG_PIN', 'the wallet is locked: unlock it first', context.nowMs))
  const requested: Payment = {
    ...payment,
    state: 'requested',
    accountAmountMinor: body.accountAmountMinor,
    requestedAtMs: context.nowMs,
    wakeAtMs: queryAtMs(quote.expiresAtMs, context),
  }
  return decision(
    combine(become(payment, requested), {
      forget: [outbox.quote(payment.prId)],
      sends: [paymentRequest(requested, quote, pinKey)],
      record: {
        event: 'payment-requested',
        ids: payment.txId === undefined ? [payment.prId] : [payment.prId, payment.txId],
        fields: {
          payee: payment.payee,
          amountMinor: payment.amountMinor,
          currency: payment.currency,
          accountAmountMinor: body.accountAmountMinor,
          accountCurrency: body.accountCurrency,
          cpp: payment.cpp,
        },
      },
    }),
  )
}

/**
 * In this order: AMOUNT_INVALID (other amount or currencies than asked for; a sum that is not the rate's), COST_EXCEEDED,
 * TRANS_EXPIRED. The quote's own expiry is the CPP's to judge.
 */
const quoteProblem = (
  payment: Payment,
  body: Incoming<'fx-quote'>['message']['body'],
  transExpiresAtMs: number,
  nowMs: number,
): Failure | undefined => {
  const { amountMinor, currency, accountCurrency, accountAmountMinor, rateNumerator, rateDenominator } = body
  if (amountMinor !== payment.amountMinor || currency !== payment.currency)
    return failure('AMOUNT_INVALID', 'a quote of another amount')
  if (accountCurrency !== payment.accountCurrency) return failure('AMOUNT_INVALID', 'a quote in another currency')
  const rate = { numerator: rateNumerator, denominator: rateDenominator }
  if (convertUp(amountMinor, currency, accountCurrency, rate) !== accountAmountMinor)
    return failure('AMOUNT_INVALID', 'the sum is not what the quoted rate gives')
  if (payment.maxCostMinor !== undefined && accountAmountMinor > payment.maxCostMinor)
    return failure('COST_EXCEEDED', `it would cost ${accountAmountMinor} minor units of ${accountCurrency}`)
  return transExpiresAtMs <= nowMs ? failure('TRANS_EXPIRED') : undefined
}

/** The purchase ends before its payment request; a request to pay is open again. */
export const endUnrequested = (
  { session, request }: Pick<PaymentSlice, 'session' | 'request'>,
  payment: Payment,
  code: FailureCode,
  detail: string,
  nowMs: number,
): Partial<Decision> => {
  const ended: Payment = { ...payment, state: 'refused' }
  return combine(
    refusePurchase(payment, code, detail, nowMs, { othersWait: false }),
    endOwnLogin(session),
    requestEnded(request, ended, nowMs),
  )
}
