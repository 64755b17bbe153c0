/** What became of messages in the outbox that ended otherwise than by their answer: by a receipt, or by a refusal for good. */
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { bankOf } from '../../protocol/ids.ts'
import type { KindName } from '../../protocol/kinds.ts'
import { decision, type Context, type Decision, type Reader, type Refused } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { combineParts } from './account.ts'
import { bulkOrders } from './aggregation-state.ts'
import { askBulk, bulkRefused } from './decide-bulk.ts'
import { posted } from './decide-decision.ts'
import { loadMandate, mandated, registrationReceipted, registrationRefused } from './decide-enrolment.ts'
import { held, heldInvoice } from './decide-request.ts'
import { batchRefused, transferred } from './decide-settlement.ts'
import { loadOrder, loadTransfer } from './load.ts'
import { OUTBOX, outboxId, until, type OutboxTag } from './messages.ts'
import { answeredOrder, voidHold } from './orders.ts'
import type { CppPolicy } from './policy.ts'

type Ctx = Context<CppPolicy>

const TAGS = Object.values(OUTBOX)
const isTagged = (key: Uint8Array, tag: string): boolean => {
  const prefix = keyOf(tag)
  return key.length === prefix.length + 16 && prefix.every((byte, i) => key[i] === byte)
}
/** Which of the outbox keys of messages.ts this is. @throws Error for a key that this node never makes */
const tagOf = (key: Uint8Array): OutboxTag => {
  const tag = TAGS.find((one) => isTagged(key, one))
  if (tag === undefined) throw new Error('an outbox key that this node never makes')
  return tag
}

/** Only registrations wait for their receipt; everything else that is receipted is done with. */
export const receipted = (
  read: Reader,
  { key }: { readonly kind: KindName; readonly key: Uint8Array },
  context: Ctx,
): Decision => (tagOf(key) === OUTBOX.registration ? registrationReceipted(read, key, context) : decision())

/**
 * Bytes, trust and path (1xxx to 3xxx) are judged before a bank looks whether it has seen the order: a resend refused so may
 * have been carried out when it first came.
 */
const leavesUnknown = (code: FailureCode): boolean => failureNumber(code) < 4_000

export const refused = (read: Reader, event: Refused, context: Ctx): Decision => {
  const { key, code, detail, by } = event
  const id = outboxId(key)
  const logged = decision({
    record: { event: 'message-refused', ids: [id], level: 'warn', fields: { kind: event.kind, code, detail, by } },
  })
  switch (tagOf(key)) {
    case OUTBOX.hold:
      return holdRefused(read, id, code, context)
    case OUTBOX.order:
      return leavesUnknown(code) ? askBank(read, id) : orderRefused(read, id, code, context)
    case OUTBOX.bulk:
      return leavesUnknown(code) ? askBulk(read, id) : bulkRefused(read, id, code, context)
    case OUTBOX.query:
      // The bank knows no such order: it was never carried out. Any other refusal leaves it open, for the operator to ask again.
      if (leavesUnknown(code)) return logged
      return read.get(bulkOrders, id) === undefined
        ? orderRefused(read, id, code, context)
        : bulkRefused(read, id, code, context)
    case OUTBOX.mandate: {
      const row = loadMandate(read, id)
      return row === undefined ? decision() : combineParts([mandated(row, id, false, code)])
    }
    case OUTBOX.registration:
      return registrationRefused(read, key, code, detail)
    case OUTBOX.batch:
      return batchRefused(read, id, context)
    // A refused notice or outcome ends nothing: the notice's own expiry does.
    case OUTBOX.notice:
    case OUTBOX.outcome:
    case OUTBOX.adjustment:
    case OUTBOX.requestToPay:
    case OUTBOX.refund:
      return logged
  }
}

/** The payment is refused; the void is for a hold that an earlier sending may have placed. */
const holdRefused = (read: Reader, holdId: Uint8Array, code: FailureCode, context: Ctx): Decision => {
  const slice = loadOrder(read, holdId)
  if (slice?.order.state !== 'ordered') return decision()
  const number = failureNumber(code)
  const { order, paid } = slice
  return combineParts([
    answeredOrder(holdId, order, 'refused', number, context),
    held(slice, heldInvoice(read, holdId), false, number, context),
    paid?.payment.state === 'holding' ? voidHold(paid.payment, bankOf(paid.account.customer.account), context) : {},
  ])
}

/** Never re-issued under a new id: the bank repeats its answer, or says that it never saw the order. */
export const askBank = (read: Reader, orderId: Uint8Array): Decision => {
  const slice = loadOrder(read, orderId)
  if (slice?.order.state !== 'ordered') return decision()
  const { bulkId } = slice.order
  // An item has an answer of its own once its order was answered.
  if (bulkId !== undefined && read.get(bulkOrders, bulkId)?.state === 'ordered') return askBulk(read, bulkId)
  return decision({
    sends: [
      {
        kind: 'bank-order-query',
        to: slice.order.bank,
        body: { orderId },
        delivery: until(OUTBOX.query, orderId),
      },
    ],
    record: { event: 'order-queried', ids: [orderId], level: 'warn', fields: { purpose: slice.order.purpose } },
  })
}

/** The order was not carried out and never will be: as if the bank had answered `refused`. */
const orderRefused = (read: Reader, orderId: Uint8Array, code: FailureCode, context: Ctx): Decision => {
  const slice = loadOrder(read, orderId)
  if (slice?.order.state !== 'ordered') return decision()
  const { order, paid } = slice
  const number = failureNumber(code)
  switch (order.purpose) {
    case 'collection':
    case 'refund':
    case 'settlement':
    case 'payment':
    case 'recovery': {
      const transfer = loadTransfer(read, orderId)
      return transfer === undefined
        ? decision()
        : combineParts([transferred(transfer, orderId, false, number, context)])
    }
    case 'post':
    case 'exchange':
      return combineParts([posted(order, paid, orderId, false, number, context)])
    case 'hold':
    case 'void':
      return combineParts([answeredOrder(orderId, order, 'refused', number, context)])
  }
}
