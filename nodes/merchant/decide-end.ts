/**
 * The end of a payment at its payee, and the goods. Invariant: goods leave once, and only when the money is sure: a CPP's DT for
 * a micropayment, its T and the bank's own notice for a macro payment, never on this host's own approval.
 */
import { modeOf } from '../../protocol/amount.ts'
import { failureCode } from '../../protocol/failures.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import {
  combine,
  decision,
  put,
  refuse,
  type Context,
  type Decision,
  type Incoming,
  type Message,
  type Reader,
} from '../runtime/node.ts'
import { isFinalState } from '../runtime/reports.ts'
import { keyOf } from '../runtime/table.ts'
import type { MerchantPolicy } from './policy.ts'
import { OPEN, openOrders, orders, outbox, payees, payments, type Order, type Payee, type Payment } from './state.ts'

type Ctx = Context<MerchantPolicy>

export type EndSlice = {
  readonly payee: Payee | undefined
  readonly order: Order | undefined
  readonly payment: Payment | undefined
  readonly open: number
}
type EndKind = 'transfer-confirmation' | 'delayed-transfer-confirmation' | 'payment-outcome'
export const loadEnd = (read: Reader, { message }: Incoming<EndKind>): EndSlice => {
  const { pnId, payee, txId } = message.body
  return {
    payee: read.get(payees, payee),
    order: read.get(orders, payee, txId),
    payment: read.get(payments, pnId),
    open: read.get(openOrders, OPEN)?.count ?? 0,
  }
}

const CONFIRMS = {
  'transfer-confirmation': { confirmation: 'T', mode: 'macro' },
  'delayed-transfer-confirmation': { confirmation: 'DT', mode: 'micro' },
} as const

/**
 * T or DT. Checks, in order: payee served here (NOT_FOUND), its MPP brings it (WRONG_PATH), the order known (ORDER_UNKNOWN), the
 * payment noticed, by this CPP and for this order (NOT_FOUND), no other end (ID_REUSED; the same end again changes nothing), not
 * declined here (REJECTED_BY_PAYEE), amount and currency those of the invoice (AMOUNT_INVALID), T for macro, DT for micro
 * (MODE_MISMATCH).
 */
export const decideConfirmation = (
  { payee, order, payment, open }: EndSlice,
  { message }: Incoming<'transfer-confirmation' | 'delayed-transfer-confirmation'>,
  context: Ctx,
): Decision => {
  const { body, kind, sender, previousHop } = message
  const { confirmation, mode } = CONFIRMS[kind]
  if (payee === undefined) return refuse('NOT_FOUND', 'no such payee here')
  if (previousHop !== payee.mpp) return refuse('WRONG_PATH')
  if (order === undefined) return refuse('ORDER_UNKNOWN')
  if (
    payment === undefined ||
    payment.cpp !== sender.id ||
    payment.payee !== body.payee ||
    !equalBytes(payment.txId, body.txId)
  )
    return refuse('NOT_FOUND', 'no such payment of this CPP')
  if (isFinalState(payment.state))
    return payment.confirmation === confirmation ? decision() : contradiction(payment, confirmation)
  if (payment.state === 'declined') return contradiction(payment, confirmation, 'REJECTED_BY_PAYEE')
  if (body.amountMinor !== order.amountMinor || body.currency !== order.currency) return refuse('AMOUNT_INVALID')
  if (payment.mode !== mode) return refuse('MODE_MISMATCH')
  const confirmed: Order = { ...order, state: 'confirmed', pnId: payment.pnId, confirmedAtMs: context.nowMs }
  return decision(
    combine(
      {
        writes: [
          put(payments, keyOf(payment.pnId), {
            ...payment,
            state: 'confirmed',
            confirmation,
            endedAtMs: context.nowMs,
          }),
          put(openOrders, keyOf(OPEN), { count: Math.max(0, open - 1) }),
        ],
        forget: [outbox.decision(payment.pnId)],
      },
      releaseOr(confirmed, mode === 'micro' || isBooked(confirmed), context.nowMs),
      {
        record: {
          event: 'payment-confirmed',
          ids: [payment.pnId, order.txId],
          fields: { payee: order.payee, confirmation },
        },
      },
    ),
  )
}

/** The bank has booked the whole amount of the invoice. */
export const isBooked = ({ bookedMinor, amountMinor }: Order): boolean => bookedMinor === amountMinor

/** Writes the order, released when the money is sure. */
export const releaseOr = (order: Order, sure: boolean, nowMs: number): Partial<Decision> => {
  const after: Order = sure ? { ...order, state: 'released', releasedAtMs: nowMs } : order
  const { token, sealingKey } = order
  return {
    writes: [put(orders, keyOf(order.payee, order.txId), after)],
    // The guest may be gone: it asks again by order-query, so this one is not kept.
    sends:
      sure && token !== undefined && sealingKey !== undefined
        ? [goodsRelease(order, token, sealingKey, { once: true })]
        : [],
  }
}

const goodsRelease = (
  { txId, payee, goods }: Order,
  token: string,
  sealingKey: Uint8Array,
  delivery: Message<'goods-release'>['delivery'],
): Message<'goods-release'> => ({
  kind: 'goods-release',
  to: token,
  body: { txId, payee, goods },
  sealingKey,
  delivery,
})

/**
 * Every end that is not confirmed: the order is free again. Checks, in order: payee served here (NOT_FOUND), its MPP brings it
 * (WRONG_PATH), the payment, if noticed, is this CPP's and this order's (NOT_FOUND), no other end (ID_REUSED; the same end again
 * is receipted). An outcome that overtook its notice is kept, so that the notice, when it comes, changes nothing.
 */
export const decideOutcome = (
  { payee, order, payment }: EndSlice,
  { message, ref }: Incoming<'payment-outcome'>,
  context: Ctx,
): Decision => {
  const { pnId, payee: id, txId, outcome, code } = message.body
  if (payee === undefined) return refuse('NOT_FOUND', 'no such payee here')
  if (message.previousHop !== payee.mpp) return refuse('WRONG_PATH')
  if (
    payment !== undefined &&
    (payment.cpp !== message.sender.id || payment.payee !== id || !equalBytes(payment.txId, txId))
  )
    return refuse('NOT_FOUND', 'no such payment of this CPP')
  const receipt: Partial<Decision> = {
    sends: [{ kind: 'receipt', to: message.previousHop, body: { digest: message.digest }, delivery: { answers: ref } }],
  }
  if (payment !== undefined && isFinalState(payment.state))
    return payment.state === outcome ? decision(receipt) : contradiction(payment, outcome)
  const ended = endedPayment(payment, order, message, payee.mpp)
  return decision(
    combine(receipt, {
      writes: [
        ...(ended === undefined
          ? []
          : [put(payments, keyOf(pnId), { ...ended, state: outcome, code, endedAtMs: context.nowMs })]),
        ...(order?.pnId !== undefined && equalBytes(order.pnId, pnId)
          ? [put(orders, keyOf(id, txId), freed(order))]
          : []),
      ],
      forget: [outbox.decision(pnId)],
      record: {
        event: `payment-${outcome}`,
        ids: [pnId, txId],
        fields: { payee: id, code: failureCode(code) ?? code },
      },
    }),
  )
}

/** The payment's row, or the one that its outcome makes when it overtook its notice. Of an order not known, nothing is kept. */
const endedPayment = (
  payment: Payment | undefined,
  order: Order | undefined,
  { body, sender }: Incoming<'payment-outcome'>['message'],
  mpp: string,
): Omit<Payment, 'state'> | undefined => {
  if (payment !== undefined) return payment
  if (order === undefined) return undefined
  const { pnId, payee, txId } = body
  const { amountMinor, currency } = order
  return { pnId, payee, txId, cpp: sender.id, mpp, mode: modeOf(amountMinor, currency), amountMinor, currency }
}

const freed = (order: Order): Order => {
  const { pnId: _, lockedAtMs: __, ...unlocked } = order
  return { ...unlocked, state: 'offered' }
}

const contradiction = (
  payment: Payment,
  claimed: string,
  code: 'ID_REUSED' | 'REJECTED_BY_PAYEE' = 'ID_REUSED',
): Decision =>
  decision({
    refuse: { code, detail: 'the payment has another end here' },
    record: {
      event: 'second-end-refused',
      ids: [payment.pnId, payment.txId],
      level: 'warn',
      fields: { state: payment.state, claimed },
    },
  })

export const loadOrderQuery = (read: Reader, { message }: Incoming<'order-query'>): Order | undefined =>
  read.get(orders, message.body.payee, message.body.txId)

/**
 * Checks, in order: the order known and its nonce shown (NOT_FOUND for both: a txId alone learns nothing), the goods released
 * (UNDECIDED, transient). The answer goes to the login that asks, encrypted to its key.
 */
export const decideOrderQuery = (order: Order | undefined, { message, ref }: Incoming<'order-query'>): Decision => {
  const { nonce, sealingKey } = message.body
  if (order === undefined || !equalBytes(order.nonce, nonce)) return refuse('NOT_FOUND')
  if (order.state !== 'released') return refuse('UNDECIDED')
  return decision({
    sends: [goodsRelease(order, message.previousHop, sealingKey, { answers: ref })],
    record: { event: 'goods-fetched', ids: [order.txId], level: 'debug' },
  })
}
