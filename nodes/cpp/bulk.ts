/**
 * Bulk collections (design §5): those of a window, many in one signed order of a bank, answered item by item. An item is a collection
 * like any other, of exactly what its customer owes; only its way to the bank is shared.
 */
import type { Currency } from '../../protocol/amount.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { put, remove, type Context } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { account, beginCollection, operatorAccountOf, type Account } from './account.ts'
import { bulkOrders, dues } from './aggregation-state.ts'
import { OUTBOX, until } from './messages.ts'
import { combineParts, type Part } from './parts.ts'
import { aggregationPolicy } from './policies.ts'
import type { CppPolicy } from './policy.ts'
import { BULK_WINDOW, windowKey } from './schedule.ts'

type Ctx = Context<CppPolicy>

/** What an item takes of a body beside its account's name: two ids' names and lengths, itemId, the longest amount. */
const ITEM_BYTES = 80
/** The fields around the items. */
const AROUND_BYTES = 512

/** Is this customer to be in the order: by what they owe, or by its age? Who left since they were entered is not. */
const isDue = ({ total }: Account, { policy, nowMs }: Ctx): boolean => {
  const rules = aggregationPolicy(policy.aggregation)
  const lowWaterMinor = rules.lowWaterMinor(total.currency)
  if (lowWaterMinor === undefined || total.outstandingMinor === 0n) return false
  if (total.collectingMinor !== 0n || total.suspendedAtMs !== 0) return false
  return total.outstandingMinor >= lowWaterMinor || rules.collectByMs(total.debtSinceMs) <= nowMs
}

/**
 * The order of a window's end, of those entered for it, in the order of their names: as many as a frame and `maxBulkItems` hold. For
 * those who are left the deadline is set again at once.
 * @param entered whoever stands in `dues` for this bank and currency, one more than an order may hold
 */
export const windowOrder = (
  bank: string,
  currency: Currency,
  entered: readonly { readonly customer: string; readonly account: Account | undefined }[],
  context: Ctx,
): Part => {
  const parts: Part[] = []
  const items: { readonly itemId: Uint8Array; readonly debitAccount: string; readonly amountMinor: bigint }[] = []
  const orderId = context.freshId()
  let room = LIMITS.maxBodyBytes - AROUND_BYTES
  let visited = 0
  let totalMinor = 0n
  for (const { customer, account: before } of entered) {
    const bytes = before === undefined ? 0 : ITEM_BYTES + before.customer.account.length
    if (items.length === LIMITS.maxBulkItems || bytes > room) break
    visited += 1
    parts.push({ writes: [remove(dues, keyOf(bank, currency, customer))] })
    if (before === undefined || !isDue(before, context)) continue
    const { total, order, parts: begun } = beginCollection(before.total, before.customer, context, orderId)
    parts.push(account(customer, { total, parts: begun }))
    items.push({ itemId: total.orderId, debitAccount: before.customer.account, amountMinor: order.amountMinor })
    room -= bytes
    totalMinor += order.amountMinor
  }
  const left: Part =
    visited < entered.length
      ? { set: [{ name: BULK_WINDOW, key: windowKey(bank, currency), atMs: context.nowMs + 1 }] }
      : {}
  if (items.length === 0) return combineParts([...parts, left])
  const order: Part = {
    writes: [
      put(bulkOrders, keyOf(orderId), {
        state: 'ordered',
        bank,
        currency,
        totalMinor,
        items: items.map(({ itemId }) => itemId),
        orderedAtMs: context.nowMs,
        answeredAtMs: 0,
      }),
    ],
    sends: [
      {
        kind: 'bulk-transfer-order',
        to: bank,
        body: { orderId, creditAccount: operatorAccountOf(context, currency), currency, items },
        delivery: until(OUTBOX.bulk, orderId),
      },
    ],
    record: {
      event: 'bulk-collection-ordered',
      ids: [orderId, ...items.map(({ itemId }) => itemId)],
      fields: { bank, items: items.length, totalMinor, currency },
    },
  }
  return combineParts([order, ...parts, left])
}
