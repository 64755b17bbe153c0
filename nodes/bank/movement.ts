/**
 * Moving money from one account to another, at this bank or through the clearing account of another. Invariant: an order is
 * answered `booked` only after the payee's bank has booked, so until then it is `crediting`.
 */
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { bankOf } from '../../protocol/ids.ts'
import { put, type Context, type Decision, type Message } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { clearingAccount } from './accounts.ts'
import type { Books } from './books.ts'
import { ORDERS, OUTGOING_CREDITS, type Movement, type OrderRow, type OutgoingCreditRow } from './state.ts'

/** Writes an order that is decided, and answers it. */
export const settleOrder = (order: OrderRow): Pick<Decision, 'writes' | 'sends'> => ({
  writes: [put(ORDERS, keyOf(order.from, order.orderId), order)],
  sends: [orderAnswer(order)],
})

/** The answer to a decided order that is no bulk order; the same for the same row. */
export const orderAnswer = ({ kind, from, orderId, state, code, holdId, posted, ref }: OrderRow): Message => {
  const common = { to: from, delivery: { answers: ref } } as const
  const result =
    state === 'booked'
      ? ({ result: 'booked' } as const)
      : ({ result: 'refused', ...(code !== undefined && { code: failureNumber(code) }) } as const)
  if (kind === 'transfer') return { kind: 'transfer-answer', ...common, body: { orderId, ...result } }
  const hold = { orderId, holdId: holdId as Uint8Array }
  return kind === 'post'
    ? { kind: 'post-answer', ...common, body: { ...hold, ...result } }
    : { kind: 'void-answer', ...common, body: { ...hold, result: posted === true ? 'posted' : 'voided' } }
}

/** Books a movement whose every check has passed, and writes the order that asked for it. */
export const carryOut = (
  books: Books,
  order: Omit<OrderRow, 'state' | 'movement'> & { readonly kind: 'post' | 'transfer' },
  movement: Movement,
  { self, nowMs, freshId }: Pick<Context, 'self' | 'nowMs' | 'freshId'>,
): { readonly state: 'booked' | 'crediting'; readonly parts: Pick<Decision, 'writes' | 'sends'> } => {
  const { debitAccount, creditAccount, currency, amountMinor, reference } = movement
  const { from, orderId } = order
  const peer = bankOf(creditAccount)
  const common = { currency, cause: orderId, reference, orderedBy: from } as const
  const debit = { account: debitAccount, amountMinor: -amountMinor }
  if (peer === self.id) {
    books.post({ ...common, event: order.kind, legs: [debit, { account: creditAccount, amountMinor }] })
    return { state: 'booked', parts: settleOrder({ ...order, movement, state: 'booked' }) }
  }
  const creditId = freshId()
  books.post({
    ...common,
    event: 'interbank-out',
    legs: [debit, { account: clearingAccount(peer, currency), amountMinor }],
  })
  const credit: OutgoingCreditRow = {
    creditId,
    peer,
    state: 'sent',
    from,
    orderId,
    movement,
    sentAtMs: nowMs,
    changedAtMs: nowMs,
  }
  return {
    state: 'crediting',
    parts: {
      writes: [
        put(ORDERS, keyOf(from, orderId), { ...order, movement, state: 'crediting' }),
        put(OUTGOING_CREDITS, keyOf(creditId), credit),
      ],
      sends: [
        {
          kind: 'interbank-credit',
          to: peer,
          body: { creditId, creditAccount, amountMinor, currency, reference },
          delivery: { until: ['interbank-credit', creditId] },
        },
      ],
    },
  }
}

/** An order refused before anything moved. */
export const refuseOrder = (order: Omit<OrderRow, 'state'>, code: FailureCode): Pick<Decision, 'writes' | 'sends'> =>
  settleOrder({ ...order, state: 'refused', code })
