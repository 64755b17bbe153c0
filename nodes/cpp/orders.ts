/** Orders at banks: the row that stands before the order leaves, and the row that its answer closes. */
import { put, type Context } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import type { Part } from './account.ts'
import { costOf } from './fx.ts'
import { OUTBOX, outbox, until } from './messages.ts'
import type { CppPolicy } from './policy.ts'
import { orders, type OrderRow, type PaymentRow } from './state.ts'

type Ctx = Context<CppPolicy>

export const answeredOrder = (
  id: Uint8Array,
  order: OrderRow,
  state: 'booked' | 'refused',
  code: number | undefined,
  { nowMs }: Ctx,
): Part => {
  const answered: OrderRow = { ...order, state, answeredAtMs: nowMs, ...(code === undefined ? {} : { code }) }
  return { writes: [put(orders, keyOf(id), answered)] }
}

/**
 * Gives a hold back. The hold order is resent no more: should the void overtake it, the bank keeps a tombstone and
 * refuses the hold when it comes.
 */
export const voidHold = (payment: PaymentRow, bank: string, { nowMs, freshId }: Ctx): Part => {
  const { holdId, prId } = payment
  if (holdId === undefined) return {}
  const orderId = freshId()
  const order: OrderRow = {
    purpose: 'void',
    state: 'ordered',
    bank,
    ...costOf(payment),
    subject: '',
    operatorAccount: '',
    orderedAtMs: nowMs,
    answeredAtMs: 0,
    prId,
  }
  return {
    writes: [put(orders, keyOf(orderId), order)],
    sends: [{ kind: 'void-order', to: bank, body: { orderId, holdId }, delivery: until(OUTBOX.order, orderId) }],
    forget: [outbox(OUTBOX.hold, holdId)],
    record: { event: 'hold-voided', ids: [prId, orderId] },
  }
}
