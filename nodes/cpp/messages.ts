/**
 * The messages a CPP sends, built from its rows alone: whatever is asked again gets the same content. No prId, customer or
 * account ever reaches a message to the payee's side, no pnId one to the customer.
 */
import { failureCode, failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { dataCenterAddress, type Role } from '../../protocol/ids.ts'
import type { Outcome } from '../../protocol/messages/payment.ts'
import type { Context, Delivery, Message, RequestRef, Self } from '../runtime/node.ts'
import type { KeyPart } from '../runtime/table.ts'
import type { PaymentRow } from './state.ts'
import type { QuoteRow } from './state-fx.ts'

/** Outbox keys of what the CPP resends until it is answered. Each ends in a fresh 16-byte id. */
export const OUTBOX = {
  notice: 'pn',
  outcome: 'po',
  hold: 'hold',
  order: 'order',
  bulk: 'bulk',
  query: 'query',
  batch: 'batch',
  adjustment: 'adj',
  mandate: 'mandate',
  registration: 'registration',
  requestToPay: 'rtp',
  refund: 'refund',
} as const
export type OutboxTag = (typeof OUTBOX)[keyof typeof OUTBOX]

export const outbox = (tag: OutboxTag, id: Uint8Array): readonly KeyPart[] => [tag, id]
export const until = (tag: OutboxTag, id: Uint8Array): Delivery => ({ until: outbox(tag, id) })

/** The id at the end of an outbox key of this node. */
export const outboxId = (key: Uint8Array): Uint8Array => key.slice(-16)

/** Present once the notice went out. @throws Error when it did not: a broken invariant stops the node. */
export const pnIdOf = (payment: PaymentRow): Uint8Array => {
  if (payment.pnId === undefined) throw new Error(`a payment in state ${payment.state} has no notice`)
  return payment.pnId
}

/** PN: the customer stays behind, the invoice goes on byte for byte. */
export const noticeMessage = (payment: PaymentRow, trans: Uint8Array, { self }: Context): Message<'payment-notice'> => {
  const pnId = pnIdOf(payment)
  return {
    kind: 'payment-notice',
    to: payment.merchantHost,
    body: { pnId, payee: payment.payee, mode: payment.mode, operatorId: self.operatorId, trans },
    delivery: until(OUTBOX.notice, pnId),
    expiresAtMs: payment.expiresAtMs,
  }
}

const codeOf = (payment: PaymentRow): FailureCode => failureCode(payment.code ?? 0) ?? 'REJECTED_BY_PAYEE'

/** The customer's final answer, to the host that asked for the payment: T, DT or outcome. */
export const customerAnswer = (
  payment: PaymentRow,
  ref: RequestRef,
): Message<
  'customer-transfer-confirmation' | 'customer-delayed-transfer-confirmation' | 'customer-payment-outcome'
> => {
  const { prId, payee, txId, amountMinor, currency, decidedAtMs: confirmedAtMs } = payment
  const { accountAmountMinor, accountCurrency } = payment
  const address = toCustomer(payment.customer, payment.walletHost, ref)
  const charged =
    accountAmountMinor === undefined || accountCurrency === undefined ? {} : { accountAmountMinor, accountCurrency }
  const confirmation = { prId, payee, txId, amountMinor, currency, confirmedAtMs, ...charged }
  switch (payment.state) {
    case 'confirmed':
      return payment.mode === 'macro'
        ? { ...address, kind: 'customer-transfer-confirmation', body: confirmation }
        : {
            ...address,
            kind: 'customer-delayed-transfer-confirmation',
            body: { ...confirmation, outstandingMinor: payment.outstandingMinor ?? 0n },
          }
    case 'refused':
    case 'rejected':
    case 'expired':
    case 'failed':
      return customerOutcome(
        {
          prId,
          outcome: payment.state,
          code: codeOf(payment),
          decidedAtMs: payment.decidedAtMs,
          detail: payment.reason,
        },
        payment.customer,
        payment.walletHost,
        ref,
      )
    case 'waiting':
    case 'holding':
    case 'notified':
    case 'posting':
      throw new Error(`a payment in state ${payment.state} is not decided`)
  }
}

const toCustomer = (customer: string, walletHost: string, ref: RequestRef) => ({
  to: customer,
  nextHop: toWallet(walletHost),
  delivery: { answers: ref },
})

/** An end that is not confirmed, to the customer. */
export const customerOutcome = (
  end: {
    readonly prId: Uint8Array
    readonly outcome: Outcome
    readonly code: FailureCode
    readonly decidedAtMs: number
    readonly detail?: string | undefined
  },
  customer: string,
  walletHost: string,
  ref: RequestRef,
): Message<'customer-payment-outcome'> => ({
  ...toCustomer(customer, walletHost, ref),
  kind: 'customer-payment-outcome',
  body: {
    prId: end.prId,
    outcome: end.outcome,
    code: failureNumber(end.code),
    detail: end.detail ?? '',
    decidedAtMs: end.decidedAtMs,
  },
})

/** What a payment would cost, to the customer who asked. */
export const quoteMessage = (
  quoteId: Uint8Array,
  given: QuoteRow,
  walletHost: string,
  ref: RequestRef,
): Message<'fx-quote'> => {
  const { currency, amountMinor, accountCurrency, accountAmountMinor, rateNumerator, rateDenominator, expiresAtMs } =
    given
  return {
    ...toCustomer(given.customer, walletHost, ref),
    kind: 'fx-quote',
    body: {
      quoteId,
      currency,
      amountMinor,
      accountCurrency,
      accountAmountMinor,
      rateNumerator,
      rateDenominator,
      expiresAtMs,
    },
  }
}

/** T or DT to the payee's side. */
export const payeeConfirmation = (
  payment: PaymentRow,
  ref: RequestRef,
): Message<'transfer-confirmation' | 'delayed-transfer-confirmation'> => {
  const { payee, txId, amountMinor, currency, decidedAtMs: confirmedAtMs } = payment
  const body = { pnId: pnIdOf(payment), payee, txId, amountMinor, currency, confirmedAtMs }
  const address = { to: payment.merchantHost, delivery: { answers: ref } }
  if (payment.mode === 'macro') return { ...address, kind: 'transfer-confirmation', body }
  if (payment.pairSeq === undefined) throw new Error('a confirmed micropayment has no entry in its pair')
  return {
    ...address,
    kind: 'delayed-transfer-confirmation',
    body: { ...body, mpp: payment.mpp, pairSeq: payment.pairSeq },
  }
}

/**
 * What the payee's side learns of an end: that it expired, that it was rejected and why they said so, or that the transfer
 * failed. Never why the customer's bank or this CPP refused.
 */
export const payeeOutcome = (payment: PaymentRow, delivery: Delivery): Message<'payment-outcome'> => {
  const { payee, txId, state, decidedAtMs } = payment
  if (state !== 'expired' && state !== 'rejected' && state !== 'failed')
    throw new Error(`the payee's side hears nothing of a payment in state ${state}`)
  const code = state === 'expired' ? 'NOTICE_EXPIRED' : state === 'failed' ? 'TRANSFER_FAILED' : codeOf(payment)
  return {
    kind: 'payment-outcome',
    to: payment.merchantHost,
    body: { pnId: pnIdOf(payment), payee, txId, outcome: state, code: failureNumber(code), decidedAtMs },
    delivery,
  }
}

type Hop = { readonly role: Role; readonly host: string }
/** By way of the own data center, to a processor. */
export const viaDataCenter = (self: Self): Hop => ({ role: 'dc', host: dataCenterAddress(self.realm) })
export const toBank = (bank: string): Hop => ({ role: 'bank', host: bank })
export const toWallet = (host: string): Hop => ({ role: 'customer', host })

export const receipt = (to: string, nextHop: Hop, digest: Uint8Array, ref: RequestRef): Message<'receipt'> => ({
  kind: 'receipt',
  to,
  body: { digest },
  delivery: { answers: ref },
  nextHop,
})

/** Refuses a request of an earlier event, whose content had this digest. */
export const refusal = (
  to: string,
  nextHop: Hop,
  request: { readonly digest: Uint8Array; readonly ref: RequestRef },
  code: FailureCode,
  detail: string,
): Message<'refusal'> => ({
  kind: 'refusal',
  to,
  body: { digest: request.digest, code: failureNumber(code), detail },
  delivery: { answers: request.ref },
  nextHop,
})
