/** What the decisions on a payment share: its announcement, its end, and the payment request. */
import { modeOf } from '../../protocol/amount.ts'
import { failureCode, failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { showId } from '../../protocol/ids.ts'
import { pinProof } from '../../protocol/pin.ts'
import { put, remove, type Context, type Deadline, type Decision, type Message, type Write } from '../runtime/node.ts'
import type { FinalState, PaymentLine } from '../runtime/reports.ts'
import { keyOf } from '../runtime/table.ts'
import type { WalletPolicy } from './policy.ts'
import {
  DEADLINES,
  isGuestPhase,
  outbox,
  payments,
  paymentKey,
  paymentTopic,
  requests,
  unfinished,
  waitingForLogin,
  waitingForRecord,
  type Payment,
  type PayRequest,
} from './state.ts'

/** What waits on the control socket is told of a payment. Times in milliseconds since 1970. */
export const announcementOf = (payment: Payment) => ({
  ok: true,
  paymentId: showId(payment.prId),
  outcome: payment.state,
  payee: payment.payee,
  cpp: payment.cpp,
  amountMinor: payment.amountMinor,
  currency: payment.currency,
  ...chargedOf(payment),
  ...(payment.confirmation === undefined ? {} : { confirmation: payment.confirmation }),
  ...(payment.code === undefined ? {} : { code: failureCode(payment.code) ?? String(payment.code) }),
  ...(payment.detail === undefined ? {} : { detail: payment.detail }),
  ...(payment.txId === undefined ? {} : { txId: showId(payment.txId) }),
  ...(payment.goodsAtMs === undefined ? {} : { releasedAtMs: payment.goodsAtMs, goods: payment.goods }),
  startedAtMs: payment.startedAtMs,
  ...(payment.decidedAtMs === undefined ? {} : { decidedAtMs: payment.decidedAtMs }),
})

export const lineOf = (payment: Payment): PaymentLine => ({
  prId: showId(payment.prId),
  payee: payment.payee,
  txId: payment.txId === undefined ? '' : showId(payment.txId),
  amountMinor: payment.amountMinor,
  currency: payment.currency,
  mode: modeOf(payment.amountMinor, payment.currency),
  state: payment.state,
  cpp: payment.cpp,
  ...(payment.mpp === undefined ? {} : { mpp: payment.mpp }),
  customer: payment.customer,
  ...chargedOf(payment),
})

/** What it costs the customer, where that is another sum than the invoice's. */
const chargedOf = ({ accountAmountMinor, accountCurrency }: Payment) =>
  accountAmountMinor === undefined || accountCurrency === undefined ? {} : { accountAmountMinor, accountCurrency }

/** The row's one deadline: its name follows from the state. */
export const wakeOf = (payment: Payment): readonly Deadline[] => {
  if (payment.wakeAtMs === undefined) return []
  const name = isGuestPhase(payment.state)
    ? DEADLINES.guestPhase
    : payment.state === 'requested'
      ? DEADLINES.query
      : DEADLINES.goods
  return [{ name, key: paymentKey(payment.prId), atMs: payment.wakeAtMs }]
}

/** Writes the row in its new form and moves its deadline. */
export const become = (before: Payment | undefined, after: Payment): Partial<Decision> => ({
  writes: [
    put(payments, paymentKey(after.prId), after),
    ...(before === undefined ? [put(unfinished, paymentKey(after.prId), { prId: after.prId })] : []),
  ],
  clear: before === undefined ? [] : wakeOf(before),
  set: wakeOf(after),
})

/** The end of a payment, whatever it is: row, index, outbox, and who waits for it. */
export const settle = (
  before: Payment,
  end: { readonly state: FinalState } & Partial<
    Pick<Payment, 'code' | 'detail' | 'confirmation' | 'outstandingMinor' | 'wakeAtMs'>
  >,
  nowMs: number,
): { readonly payment: Payment; readonly parts: Partial<Decision> } => {
  const { wakeAtMs: _, ...rest } = before
  const payment: Payment = { ...rest, ...end, decidedAtMs: nowMs }
  const moved = become(before, payment)
  return {
    payment,
    parts: {
      ...moved,
      writes: [...(moved.writes ?? []), ...(payment.wakeAtMs === undefined ? [finished(payment)] : [])],
      forget: [
        outbox.request(payment.prId),
        outbox.query(payment.prId),
        outbox.offer(payment.prId),
        outbox.quote(payment.prId),
      ],
      announce: [{ topic: paymentTopic(payment.prId), value: announcementOf(payment) }],
    },
  }
}

/** Nothing is waited for any more, the goods included. */
export const finished = ({ prId }: Payment): Write => remove(unfinished, paymentKey(prId))

/** The end of a purchase before its payment request: nothing is paid, nothing reached a CPP. */
export const refusePurchase = (
  before: Payment,
  code: FailureCode,
  detail: string,
  nowMs: number,
  lookup: { readonly othersWait: boolean },
): Partial<Decision> => {
  const { payment, parts } = settle(before, { state: 'refused', code: failureNumber(code), detail }, nowMs)
  const { prId, token, payee } = payment
  return {
    ...parts,
    writes: [
      ...(parts.writes ?? []),
      ...(token === undefined
        ? []
        : [remove(waitingForLogin, keyOf(token, prId)), remove(waitingForRecord, keyOf(token, payee, prId))]),
    ],
    forget: [
      ...(parts.forget ?? []),
      ...(before.state === 'looking-up' && token !== undefined && !lookup.othersWait
        ? [outbox.lookup(token, payee)]
        : []),
    ],
    record: {
      event: 'purchase-refused',
      ids: [prId],
      fields: {
        code,
        detail,
        payee,
        amountMinor: payment.amountMinor,
        currency: payment.currency,
        phase: before.state,
      },
    },
  }
}

/** The request to pay that a payment answered: paid, or open to be tried again while its invoice lives. */
export const requestEnded = (request: PayRequest | undefined, payment: Payment, nowMs: number): Partial<Decision> => {
  if (request === undefined || request.state !== 'accepted') return {}
  if (payment.state === 'confirmed')
    return { writes: [put(requests, keyOf(request.requestId), { ...request, state: 'paid', endedAtMs: nowMs })] }
  const { prId: _, ...rest } = request
  const alive = nowMs < request.transExpiresAtMs
  return {
    writes: [
      put(
        requests,
        keyOf(request.requestId),
        alive ? { ...rest, state: 'open' } : { ...request, state: 'expired', endedAtMs: nowMs },
      ),
    ],
    set: alive ? [{ name: DEADLINES.request, key: request.requestId, atMs: request.transExpiresAtMs }] : [],
  }
}

export type Invoice = { readonly frame: Uint8Array; readonly digest: Uint8Array; readonly expiresAtMs: number }

/** PR: sealed by the device key, resent until the CPP's answer, as long as the invoice lives. */
export const paymentRequest = (payment: Payment, invoice: Invoice, pinKey: Uint8Array): Message<'payment-request'> => ({
  kind: 'payment-request',
  to: payment.cpp,
  body: {
    prId: payment.prId,
    trans: invoice.frame,
    pinProof: pinProof(pinKey, invoice.digest, payment.prId),
    ...(payment.quoteId === undefined ? {} : { quoteId: payment.quoteId }),
  },
  delivery: { until: outbox.request(payment.prId) },
  expiresAtMs: invoice.expiresAtMs,
  signer: { device: payment.customer },
})

export const queryAtMs = (transExpiresAtMs: number, context: Context<WalletPolicy>): number =>
  transExpiresAtMs + context.policy.queryAfterExpiryMs
