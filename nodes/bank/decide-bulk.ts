/**
 * Bulk orders: many transfers to one account, signed once and answered once. Invariants: each item is an order of its own, with its
 * own booking, whose refusal changes nothing for the others; the bulk order's row says what became of each, and every answer is made
 * from it.
 *
 * Where the credited account is at another bank the items' sum travels in one credit: it is booked there in one entry, or
 * returned, and then every sum goes back to its account.
 */
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { toHex } from '../../protocol/bytes.ts'
import { bankOf } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { BulkTransferOrder } from '../../protocol/messages/bank.ts'
import {
  combine,
  on,
  put,
  refuse,
  type Context,
  type Decision,
  type Incoming,
  type Message,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { clearingAccount, creditableRows, creditedRow, creditRefusal, debitRefusal, isCovering } from './accounts.ts'
import { loadBooks, openBooks, type Books, type BooksSlice } from './books.ts'
import type { BankPolicy } from './policy.ts'
import {
  MANDATES,
  ORDERS,
  OUTGOING_CREDITS,
  type AccountRow,
  type BulkResult,
  type MandateRow,
  type Movement,
  type OrderRow,
  type OutgoingCreditRow,
} from './state.ts'

type Ctx = Context<BankPolicy>

/** The answer to a decided bulk order; the same for the same row. */
export const bulkAnswer = ({ orderId, from, ref, results = [] }: OrderRow): Message<'bulk-transfer-answer'> => ({
  kind: 'bulk-transfer-answer',
  to: from,
  body: {
    orderId,
    items: results.map(([itemId, code]) =>
      code === '' ? { itemId, result: 'booked' } : { itemId, result: 'refused', code: failureNumber(code) },
    ),
  },
  delivery: { answers: ref },
})

type BulkSlice = {
  readonly order: OrderRow | undefined
  /** Some itemId is an order's already. */
  readonly itemSeen: boolean
  readonly mandates: ReadonlyMap<string, MandateRow>
  readonly books: BooksSlice
}
const loadBulk = (read: Reader, { message }: Incoming<'bulk-transfer-order'>): BulkSlice => {
  const { body, sender } = message
  const mandates = new Map<string, MandateRow>()
  for (const { debitAccount } of body.items) {
    const mandate = read.get(MANDATES, debitAccount, sender.operatorId ?? '')
    if (mandate !== undefined) mandates.set(debitAccount, mandate)
  }
  return {
    order: read.get(ORDERS, sender.id, body.orderId),
    itemSeen: body.items.some(({ itemId }) => read.get(ORDERS, sender.id, itemId) !== undefined),
    mandates,
    books: loadBooks(read, [...body.items.map(({ debitAccount }) => debitAccount), ...creditableRows(body)]),
  }
}

/** Each of orderId and itemIds once. */
const hasRepeats = ({ orderId, items }: BulkTransferOrder): boolean =>
  new Set([orderId, ...items.map(({ itemId }) => itemId)].map(toHex)).size !== items.length + 1

/** ID_REUSED, SCHEMA_VIOLATION (too many items): the order as a whole. Then of each item those of a debit and of a credit (accounts.ts), INSUFFICIENT_FUNDS. */
const decideBulk = (
  { order: prior, itemSeen, mandates, books: slice }: BulkSlice,
  { message, ref }: Incoming<'bulk-transfer-order'>,
  context: Ctx,
): Decision => {
  const { nowMs, policy, self } = context
  const { body, sender } = message
  const { orderId, creditAccount, currency, items } = body
  if (prior !== undefined || itemSeen || hasRepeats(body)) return refuse('ID_REUSED', 'an order or an item has this id')
  if (items.length === 0 || items.length > LIMITS.maxBulkItems)
    return refuse('SCHEMA_VIOLATION', `items: 1 to ${LIMITS.maxBulkItems}`)
  const books = openBooks(slice, context)
  const creditRow = creditedRow(self.id, body)
  const isHere = bankOf(creditAccount) === self.id
  const times = { receivedAtMs: nowMs, changedAtMs: nowMs, ref } as const
  const rows: OrderRow[] = []
  let sumMinor = 0n
  for (const { itemId, debitAccount, amountMinor } of items) {
    const account = books.account(debitAccount)
    const mandate = mandates.get(debitAccount)
    const code: FailureCode | undefined =
      debitRefusal({ account, mandate }, { currency, amountMinor, operatorId: sender.operatorId }, nowMs) ??
      creditRefusal(
        { self: self.id, account: books.account(creditRow), peers: policy.peers },
        { creditAccount, currency, amountMinor },
      ) ??
      (isCovering(account as AccountRow, amountMinor) ? undefined : 'INSUFFICIENT_FUNDS')
    const item = { kind: 'transfer', from: sender.id, orderId: itemId, bulkId: orderId, ...times } as const
    if (code !== undefined) {
      rows.push({ ...item, state: 'refused', code })
      continue
    }
    const reference = { purpose: 'collection', id: itemId } as const
    books.post({
      event: isHere ? 'transfer' : 'interbank-out',
      currency,
      legs: [
        { account: debitAccount, amountMinor: -amountMinor },
        { account: creditRow, amountMinor },
      ],
      cause: itemId,
      reference,
      orderedBy: sender.id,
    })
    sumMinor += amountMinor
    const movement: Movement = { debitAccount, creditAccount, currency, amountMinor, reference }
    rows.push({ ...item, state: isHere ? 'booked' : 'crediting', movement })
  }
  const bulk = { kind: 'bulk', from: sender.id, orderId, ...times } as const
  const crediting = !isHere && sumMinor > 0n
  const carried = crediting
    ? sendSum(bulk, rows, { creditAccount, currency, sumMinor }, context)
    : settleBulk({ ...bulk, state: 'booked' }, rows)
  return combine(books.parts(), carried, {
    record: {
      event: crediting ? 'bulk-credited' : 'bulk-booked',
      ids: [orderId, ...rows.map((row) => row.orderId)],
      fields: {
        items: rows.length,
        refused: rows.filter(({ state }) => state === 'refused').length,
        sumMinor,
        currency,
      },
    },
  })
}
export const bulkTransferOrder = on(loadBulk, decideBulk)

const putOrder = (row: OrderRow) => put(ORDERS, keyOf(row.from, row.orderId), row)
const resultsOf = (rows: readonly OrderRow[]): readonly BulkResult[] =>
  rows.map(({ orderId, code }) => [orderId, code ?? ''] as const)

/** Writes a bulk order whose items are all decided, and answers it. */
const settleBulk = (bulk: OrderRow, rows: readonly OrderRow[]): Pick<Decision, 'writes' | 'sends'> => {
  const settled: OrderRow = { ...bulk, results: resultsOf(rows) }
  return { writes: [putOrder(settled), ...rows.map(putOrder)], sends: [bulkAnswer(settled)] }
}

/** The sum goes to the other bank; its items wait for the answer. */
const sendSum = (
  bulk: Omit<OrderRow, 'state' | 'kind'> & { readonly kind: 'bulk' },
  rows: readonly OrderRow[],
  { creditAccount, currency, sumMinor }: { creditAccount: string; currency: Movement['currency']; sumMinor: bigint },
  { nowMs, freshId }: Ctx,
): Pick<Decision, 'writes' | 'sends'> => {
  const { from, orderId } = bulk
  const creditId = freshId()
  const peer = bankOf(creditAccount)
  const reference = { purpose: 'collection', id: orderId } as const
  const credit: OutgoingCreditRow = {
    creditId,
    peer,
    state: 'sent',
    from,
    orderId,
    movement: { debitAccount: '', creditAccount, currency, amountMinor: sumMinor, reference },
    sentAtMs: nowMs,
    changedAtMs: nowMs,
  }
  return {
    writes: [
      putOrder({ ...bulk, state: 'crediting', results: resultsOf(rows) }),
      ...rows.map(putOrder),
      put(OUTGOING_CREDITS, keyOf(creditId), credit),
    ],
    sends: [
      {
        kind: 'interbank-credit',
        to: peer,
        body: { creditId, creditAccount, amountMinor: sumMinor, currency, reference },
        delivery: { until: ['interbank-credit', creditId] },
      },
    ],
  }
}

/** The items of a bulk order whose sum is on its way. */
export const loadCrediting = (read: Reader, { from, kind, results = [] }: OrderRow): readonly OrderRow[] =>
  kind !== 'bulk'
    ? []
    : results.flatMap(([itemId]) => {
        const item = read.get(ORDERS, from, itemId)
        return item?.state === 'crediting' ? [item] : []
      })

/** The other bank booked the sum, or returned it and every item gets its own back. */
export const endBulk = (
  bulk: OrderRow,
  items: readonly OrderRow[],
  peer: string,
  isReturned: boolean,
  { books, nowMs }: { readonly books: Books; readonly nowMs: number },
): Pick<Decision, 'writes' | 'sends'> => {
  const ended = new Map<string, OrderRow>()
  for (const item of items) {
    const { debitAccount, currency, amountMinor, reference } = item.movement as Movement
    if (isReturned)
      books.post({
        event: 'interbank-reversal',
        currency,
        legs: [
          { account: clearingAccount(peer, currency), amountMinor: -amountMinor },
          { account: debitAccount, amountMinor },
        ],
        cause: item.orderId,
        reference,
        orderedBy: bulk.from,
      })
    const row: OrderRow = isReturned
      ? { ...item, changedAtMs: nowMs, state: 'refused', code: 'CREDIT_RETURNED' }
      : { ...item, changedAtMs: nowMs, state: 'booked' }
    ended.set(toHex(item.orderId), row)
  }
  const results = (bulk.results ?? []).map(([itemId, code]): BulkResult => {
    const row = ended.get(toHex(itemId))
    return row === undefined ? [itemId, code] : [itemId, row.code ?? '']
  })
  const settled: OrderRow = { ...bulk, state: 'booked', changedAtMs: nowMs, results }
  return { writes: [putOrder(settled), ...[...ended.values()].map(putOrder)], sends: [bulkAnswer(settled)] }
}
