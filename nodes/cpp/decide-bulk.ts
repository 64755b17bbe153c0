/**
 * The bulk orders of a CPP: a window's end, the bank's answer, and what stands for one.
 *
 * An answer is checked in this order: order known, of this bank (NOT_FOUND), not answered before; then each item that it names and that
 * is open is booked or refused as an answer to its own order would have it. An item it does not name stays open, for the operator to ask.
 */
import type { Currency } from '../../protocol/amount.ts'
import { equalBytes, fromUtf8 } from '../../protocol/bytes.ts'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { LIMITS } from '../../protocol/limits.ts'
import {
  decision,
  on,
  put,
  refuse,
  type Context,
  type Decision,
  type DeadlineEvent,
  type Incoming,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { bulkOrders, dues, type BulkOrderRow } from './aggregation-state.ts'
import { windowOrder } from './bulk.ts'
import { transferred } from './decide-settlement.ts'
import { loadAccount, loadTransfer, type TransferSlice } from './load.ts'
import { OUTBOX, outbox, until } from './messages.ts'
import { combineParts, type Part } from './parts.ts'
import type { CppPolicy } from './policy.ts'

type Ctx = Context<CppPolicy>

/** The deadline `bulk-window`. Its key is a bank and a currency. */
export const bulkWindow = on(
  (read, { key }: DeadlineEvent) => {
    const [bank = '', currency = ''] = fromUtf8(key).split('\0')
    const rows = read.scan(dues, [bank, currency], { limit: LIMITS.maxBulkItems + 1 })
    const entered = Array.from(rows, ([, { customer }]) => customer)
    return {
      bank,
      currency: currency as Currency,
      entered: entered.map((customer) => ({ customer, account: loadAccount(read, customer) })),
    }
  },
  ({ bank, currency, entered }, _event, context: Ctx): Decision =>
    entered.length === 0 ? decision() : combineParts([windowOrder(bank, currency, entered, context)]),
)

type Item = { readonly itemId: Uint8Array; readonly slice: TransferSlice }
type BulkSlice = { readonly order: BulkOrderRow; readonly items: readonly Item[] }

/** The open items of an open order; undefined for an order that is not known. */
const loadBulk = (read: Reader, orderId: Uint8Array): BulkSlice | undefined => {
  const order = read.get(bulkOrders, orderId)
  if (order === undefined) return undefined
  const items = order.items.flatMap((itemId): Item[] => {
    const slice = loadTransfer(read, itemId)
    return slice?.order.state === 'ordered' ? [{ itemId, slice }] : []
  })
  return { order, items }
}

type Result = { readonly booked: boolean; readonly code?: number | undefined }

/** Every item judged, and one record of them all: a trace finds the order by each, and the payments that were served. */
const judged = (
  orderId: Uint8Array,
  { order, items }: BulkSlice,
  resultOf: (itemId: Uint8Array) => Result | undefined,
  ended: Pick<BulkOrderRow, 'state' | 'code'>,
  context: Ctx,
): Part => {
  const parts: Part[] = []
  const ids: Uint8Array[] = [orderId]
  const also: unknown[] = []
  const counted = { booked: 0, refused: 0, open: 0, bookedMinor: 0n }
  for (const { itemId, slice } of items) {
    const result = resultOf(itemId)
    if (result === undefined) {
      counted.open += 1
      continue
    }
    counted[result.booked ? 'booked' : 'refused'] += 1
    if (result.booked) counted.bookedMinor += slice.order.amountMinor
    const { record, ...rest } = transferred(slice, itemId, result.booked, result.code, context)
    parts.push(rest)
    ids.push(...(record?.ids ?? []))
    // A booking says no more than the counts; a refusal, and each payment that it lets through, is worth its line.
    if (!result.booked && record !== undefined) also.push({ event: record.event, ids: record.ids, ...record.fields })
    else if (Array.isArray(record?.fields?.['also'])) also.push(...(record.fields['also'] as readonly unknown[]))
  }
  return combineParts([
    {
      writes: [put(bulkOrders, keyOf(orderId), { ...order, ...ended, answeredAtMs: context.nowMs })],
      record: {
        event: 'bulk-collection-answered',
        ids,
        level: counted.refused + counted.open > 0 ? 'warn' : 'info',
        fields: { bank: order.bank, currency: order.currency, ...counted, ...(also.length > 0 && { also }) },
      },
    },
    ...parts,
  ])
}

export const bulkTransferAnswer = on(
  (read, { message }: Incoming<'bulk-transfer-answer'>) => loadBulk(read, message.body.orderId),
  (slice, { message }, context: Ctx): Decision => {
    const { orderId, items } = message.body
    if (slice === undefined || slice.order.bank !== message.sender.id) return refuse('NOT_FOUND', 'order')
    const forget = [outbox(OUTBOX.bulk, orderId), outbox(OUTBOX.query, orderId)]
    if (slice.order.state !== 'ordered') return decision({ forget })
    const resultOf = (itemId: Uint8Array): Result | undefined => {
      const found = items.find((item) => equalBytes(item.itemId, itemId))
      return found === undefined ? undefined : { booked: found.result === 'booked', code: found.code }
    }
    return combineParts([{ forget }, judged(orderId, slice, resultOf, { state: 'answered' }, context)])
  },
)

/** The bank refused the order as a whole, or never saw it: no item was carried out, and none will be. */
export const bulkRefused = (read: Reader, orderId: Uint8Array, code: FailureCode, context: Ctx): Decision => {
  const slice = loadBulk(read, orderId)
  if (slice?.order.state !== 'ordered') return decision()
  const number = failureNumber(code)
  const all = (): Result => ({ booked: false, code: number })
  return combineParts([judged(orderId, slice, all, { state: 'refused', code: number }, context)])
}

/** Never re-issued under a new id: the bank repeats its answer, or says that it never saw the order. */
export const askBulk = (read: Reader, orderId: Uint8Array): Decision => {
  const order = read.get(bulkOrders, orderId)
  if (order?.state !== 'ordered') return decision()
  return decision({
    sends: [{ kind: 'bank-order-query', to: order.bank, body: { orderId }, delivery: until(OUTBOX.query, orderId) }],
    record: { event: 'order-queried', ids: [orderId], level: 'warn', fields: { purpose: 'bulk' } },
  })
}
