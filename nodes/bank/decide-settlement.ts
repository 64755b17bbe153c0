/**
 * The settlement bank: it keeps other banks' reserves and posts what they owe each other, one balanced entry for each
 * clearing order. Invariant: an order is answered, and its creditors told, when it is posted and not before; until its
 * debtor's reserve covers it, it is queued and visible.
 */
import { equalBytes } from '../../protocol/bytes.ts'
import type { Currency } from '../../protocol/amount.ts'
import {
  combine,
  on,
  put,
  refuse,
  remove,
  type Context,
  type Decision,
  type Incoming,
  type Message,
  type Reader,
  type Write,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { reserveAccount } from './accounts.ts'
import { loadBooks, openBooks, type Books, type BooksSlice } from './books.ts'
import { areItemsValid, drain, reservesOf, settlementLegs } from './clearing.ts'
import type { BankPolicy } from './policy.ts'
import { COUNTERS, PENDING_NOTICES, QUEUE, SETTLEMENTS, type QueueRow, type SettlementRow } from './state.ts'

export type QueueSlice = {
  readonly queue: readonly QueueRow[]
  /** In the order of `queue`. */
  readonly queued: readonly SettlementRow[]
  readonly lastPlace: number
}
export const loadQueue = (read: Reader, currency: Currency): QueueSlice => {
  const queue = [...read.scan(QUEUE, [currency])].map(([, row]) => row)
  return {
    queue,
    queued: queue.map(({ debtor, clearingId }) => read.get(SETTLEMENTS, debtor, clearingId) as SettlementRow),
    lastPlace: read.get(COUNTERS, 'queue')?.last ?? 0,
  }
}
/** Every account that posting these settlements may touch, whichever bank this is. */
export const settlementAccounts = (rows: readonly SettlementRow[]): readonly string[] =>
  rows.flatMap((row) => [
    ...settlementLegs(row.debtor, row).map(({ account }) => account),
    ...settlementLegs('', row).map(({ account }) => account),
    ...row.items.flatMap(({ bank }) => settlementLegs(bank, row).map(({ account }) => account)),
  ])

/** Posts what can be posted; `added` are settlements new in this decision, which queue behind the others. */
export const settleQueue = (
  books: Books,
  { queue, queued, lastPlace }: QueueSlice,
  added: readonly SettlementRow[],
  { self, nowMs, freshId }: Pick<Context, 'self' | 'nowMs' | 'freshId'>,
): { readonly posted: readonly SettlementRow[]; readonly parts: Pick<Decision, 'writes' | 'sends'> } => {
  const posted = drain(books, self.id, [...queued, ...added])
  const isPosted = (row: Pick<SettlementRow, 'debtor' | 'clearingId'>): boolean =>
    posted.some((done) => done.debtor === row.debtor && equalBytes(done.clearingId, row.clearingId))
  const waiting = added.filter((row) => !isPosted(row))
  const sends: Message[] = []
  const writes: Write[] = [
    ...queue.flatMap((row, i) =>
      isPosted(row) ? [remove(QUEUE, keyOf((queued[i] as SettlementRow).currency, row.place))] : [],
    ),
    ...waiting.flatMap((row, i) => {
      const { debtor, clearingId, currency } = row
      const place = lastPlace + 1 + i
      return [
        put(SETTLEMENTS, keyOf(debtor, clearingId), row),
        put(QUEUE, keyOf(currency, place), { debtor, clearingId, place }),
        put(COUNTERS, keyOf('queue'), { last: place }),
      ]
    }),
  ]
  for (const row of posted) {
    const { debtor, clearingId, currency, window, items, ref } = row
    writes.push(put(SETTLEMENTS, keyOf(debtor, clearingId), { ...row, state: 'posted' as const, changedAtMs: nowMs }))
    if (ref !== undefined)
      sends.push({
        kind: 'clearing-answer',
        to: debtor,
        body: { clearingId, window, postedAtMs: nowMs },
        delivery: { answers: ref },
      })
    for (const { bank, amountMinor } of items) {
      if (bank === self.id) continue
      const noticeId = freshId()
      writes.push(put(PENDING_NOTICES, keyOf(noticeId), { noticeId, debtor, creditor: bank, currency, amountMinor }))
      sends.push({
        kind: 'clearing-notice',
        to: bank,
        body: { noticeId, clearingId, debtor, amountMinor, currency },
        delivery: { until: ['clearing-notice', noticeId] },
      })
    }
  }
  return { posted, parts: { writes, sends } }
}

type OrderSlice = {
  readonly prior: SettlementRow | undefined
  readonly queue: QueueSlice
  readonly books: BooksSlice
}
const newSettlement = ({ message, ref }: Incoming<'clearing-order'>, nowMs: number): SettlementRow => {
  const { clearingId, window, currency, items } = message.body
  return {
    debtor: message.sender.id,
    clearingId,
    window,
    currency,
    items,
    state: 'queued',
    ref,
    receivedAtMs: nowMs,
    changedAtMs: nowMs,
  }
}
const loadOrder = (read: Reader, event: Incoming<'clearing-order'>): OrderSlice => {
  const row = newSettlement(event, 0)
  const queue = loadQueue(read, row.currency)
  return {
    prior: read.get(SETTLEMENTS, row.debtor, row.clearingId),
    queue,
    books: loadBooks(read, new Set(settlementAccounts([...queue.queued, row]))),
  }
}

/** Order of checks: ID_REUSED, AMOUNT_INVALID (items), ACCOUNT_UNKNOWN (a bank without a reserve here). */
const decideOrder = (
  { prior, queue, books: slice }: OrderSlice,
  event: Incoming<'clearing-order'>,
  context: Context<BankPolicy>,
): Decision => {
  const { self, nowMs } = context
  const row = newSettlement(event, nowMs)
  if (prior !== undefined) return refuse('ID_REUSED')
  if (!areItemsValid(row.debtor, row.items)) return refuse('AMOUNT_INVALID', 'the items of a clearing order')
  const books = openBooks(slice, context)
  const unknown = reservesOf(self.id, row).find((account) => books.account(account) === undefined)
  if (unknown !== undefined) return refuse('ACCOUNT_UNKNOWN', 'a bank without a reserve here')

  const { posted, parts } = settleQueue(books, queue, [row], context)
  return combine(books.parts(), parts, {
    record: {
      event: posted.includes(row) ? 'clearing-posted' : 'clearing-queued',
      ids: [row.clearingId],
      fields: { debtor: row.debtor, posted: posted.length },
    },
  })
}
export const clearingOrder = on(loadOrder, decideOrder)

/** Funds a bank's reserve from outside, opens it when it is new, and posts what it now covers. */
export const fundReserve = (
  books: Books,
  queue: QueueSlice,
  {
    bank,
    currency,
    amountMinor,
    nostro,
  }: { readonly bank: string; readonly currency: Currency; readonly amountMinor: bigint; readonly nostro: string },
  context: Context<BankPolicy>,
): { readonly posted: readonly SettlementRow[]; readonly parts: Pick<Decision, 'writes' | 'sends'> } => {
  const account = reserveAccount(bank, currency)
  if (books.account(account) === undefined) books.open({ account, kind: 'reserve', currency })
  if (amountMinor > 0n)
    books.post({
      event: 'reserve-funding',
      currency,
      legs: [
        { account: nostro, amountMinor: -amountMinor },
        { account, amountMinor },
      ],
    })
  return settleQueue(books, queue, [], context)
}
