/**
 * Clearing windows of this bank. Invariant: what it owes another bank is ordered once: from the clearing order until its
 * answer the sum is held on the position, and a later window orders only what came since.
 */
import type { Currency } from '../../protocol/amount.ts'
import { equalBytes, utf8 } from '../../protocol/bytes.ts'
import {
  combine,
  decision,
  on,
  put,
  refuse,
  type Context,
  type Deadline,
  type DeadlineEvent,
  type Decision,
  type Incoming,
  type Message,
  type Reader,
  type Refused,
  type Write,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { clearingAccount, isInRange, nostroAccount, reserveAccount } from './accounts.ts'
import { loadBooks, openBooks, type BooksSlice } from './books.ts'
import { duePositions, totalOf } from './clearing.ts'
import { loadQueue, settlementAccounts, settleQueue, type QueueSlice } from './decide-settlement.ts'
import type { BankPolicy } from './policy.ts'
import {
  ACCOUNTS,
  CLEARING_ORDERS,
  WINDOW,
  type AccountRow,
  type ClearingOrderRow,
  type SettlementRow,
  type WindowRow,
} from './state.ts'

export const CLEARING_WINDOW = 'clearing-window'
const closingOf = ({ closesAtMs }: WindowRow): Deadline => ({
  name: CLEARING_WINDOW,
  key: keyOf('window'),
  atMs: closesAtMs,
})
/** Opens a window, the first or the next. */
export const openWindow = (
  previous: WindowRow | undefined,
  { nowMs, policy }: Pick<Context<BankPolicy>, 'nowMs' | 'policy'>,
): Pick<Decision, 'writes' | 'set' | 'clear'> => {
  const row: WindowRow = { window: (previous?.window ?? 0) + 1, closesAtMs: nowMs + policy.clearing.windowMs }
  return {
    writes: [put(WINDOW, keyOf('window'), row)],
    clear: previous === undefined ? [] : [closingOf(previous)],
    set: [closingOf(row)],
  }
}

export type WindowSlice = {
  readonly window: WindowRow | undefined
  readonly positions: readonly AccountRow[]
  readonly books: BooksSlice
  /** By currency: what a settlement bank that is itself a debtor joins. */
  readonly queues: ReadonlyMap<Currency, QueueSlice>
}
export const loadWindow = (read: Reader): WindowSlice => {
  const positions = [...read.scan(ACCOUNTS, [utf8('clearing:')])].map(([, row]) => row)
  const due = duePositions(positions)
  const queues = new Map(due.map(({ currency }) => [currency, loadQueue(read, currency)]))
  return {
    window: read.get(WINDOW, 'window'),
    positions,
    books: loadBooks(read, [
      ...positions.map(({ account }) => account),
      ...due.flatMap(({ currency, items }) => items.map(({ bank }) => reserveAccount(bank, currency))),
      ...[...queues.values()].flatMap(({ queued }) => settlementAccounts(queued)),
    ]),
    queues,
  }
}

/** Orders what is owed, and opens the next window. */
export const closeWindow = (
  { window, positions, books: slice, queues }: WindowSlice,
  context: Context<BankPolicy>,
): Decision => {
  const { nowMs, policy, self, freshId } = context
  const { settlementBank } = policy
  const books = openBooks(slice, context)
  const number = window?.window ?? 1
  const writes: Write[] = []
  const sends: Message[] = []
  const ids: Uint8Array[] = []
  const own = new Map<Currency, SettlementRow[]>()
  for (const { currency, items: due } of settlementBank === null ? [] : duePositions(positions)) {
    const isOwn = settlementBank === self.id
    // At itself it can settle only with banks that keep a reserve here; the other positions wait for one.
    const items = isOwn ? due.filter(({ bank }) => books.account(reserveAccount(bank, currency)) !== undefined) : due
    if (items.length === 0) continue
    const clearingId = freshId()
    ids.push(clearingId)
    const row: ClearingOrderRow = {
      clearingId,
      window: number,
      currency,
      items,
      settlementBank: settlementBank as string,
      state: isOwn ? 'posted' : 'open',
      sentAtMs: nowMs,
      changedAtMs: nowMs,
    }
    writes.push(put(CLEARING_ORDERS, keyOf(clearingId), row))
    if (isOwn) {
      const settlement: SettlementRow = { ...row, debtor: self.id, state: 'queued', receivedAtMs: nowMs }
      own.set(currency, [...(own.get(currency) ?? []), settlement])
      continue
    }
    for (const { bank, amountMinor } of items) books.hold(clearingAccount(bank, currency), amountMinor)
    sends.push({
      kind: 'clearing-order',
      to: settlementBank as string,
      body: { clearingId, window: number, currency, items: [...items] },
      delivery: { until: ['clearing-order', clearingId] },
    })
  }
  const settled = [...own].map(
    ([currency, added]) => settleQueue(books, queues.get(currency) as QueueSlice, added, context).parts,
  )
  return combine(books.parts(), { writes, sends }, ...settled, openWindow(window, context), {
    ...(ids.length > 0 && { record: { event: 'clearing-window-closed', ids, fields: { window: number } } }),
  })
}
/** A window in which nothing was owed goes by every few seconds, for ever: it leaves no entry in the journal. */
const quietIfIdle = (closed: Decision): Decision => (closed.record === undefined ? { ...closed, quiet: true } : closed)

export const clearingWindow = on(
  (read: Reader) => loadWindow(read),
  (slice, event: DeadlineEvent, context: Context<BankPolicy>) =>
    slice.window?.closesAtMs === event.atMs ? quietIfIdle(closeWindow(slice, context)) : decision(),
)

type AnswerSlice = { readonly order: ClearingOrderRow | undefined; readonly books: BooksSlice }
const loadClearing = (read: Reader, clearingId: Uint8Array): AnswerSlice => {
  const order = read.get(CLEARING_ORDERS, clearingId)
  const { currency, items = [] } = order ?? {}
  return {
    order,
    books: loadBooks(
      read,
      currency === undefined
        ? []
        : [nostroAccount(currency), ...items.map(({ bank }) => clearingAccount(bank, currency))],
    ),
  }
}
const endOrder = (
  order: ClearingOrderRow,
  end: Pick<ClearingOrderRow, 'state' | 'code'>,
  nowMs: number,
): Pick<Decision, 'writes' | 'forget'> => ({
  writes: [put(CLEARING_ORDERS, keyOf(order.clearingId), { ...order, ...end, changedAtMs: nowMs })],
  forget: [['clearing-order', order.clearingId]],
})

/** The settlement bank has posted what this bank owed. An answer counts once, and from that bank only. */
const decideAnswer = (
  { order, books: slice }: AnswerSlice,
  { message }: Incoming<'clearing-answer'>,
  context: Context<BankPolicy>,
): Decision => {
  if (order?.state !== 'open' || message.sender.id !== order.settlementBank)
    return combine(refuse('NOT_FOUND', 'no such clearing order is open'), {
      record: {
        event: 'clearing-answer-ignored',
        ids: [message.body.clearingId],
        level: 'warn',
        fields: { by: message.sender.id },
      },
    })
  const { currency, items, clearingId } = order
  const books = openBooks(slice, context)
  for (const { bank, amountMinor } of items) books.hold(clearingAccount(bank, currency), -amountMinor)
  books.post({
    event: 'clearing-paid',
    currency,
    legs: [
      ...items.map(({ bank, amountMinor }) => ({
        account: clearingAccount(bank, currency),
        amountMinor: -amountMinor,
      })),
      { account: nostroAccount(currency), amountMinor: totalOf(items) },
    ],
    cause: clearingId,
  })
  return combine(endOrder(order, { state: 'posted' }, context.nowMs), books.parts(), {
    record: { event: 'clearing-paid', ids: [clearingId] },
  })
}
export const clearingAnswer = on(
  (read: Reader, { message }: Incoming<'clearing-answer'>) => loadClearing(read, message.body.clearingId),
  decideAnswer,
)

/**
 * Refused by the settlement bank's own rules (an item without a reserve there): nothing was posted, so the sums are free for
 * the next window. Any other refusal may be of a resend, after the first was posted: the order stays open, for the operator.
 */
const REFUSED_UNPOSTED = new Set<string>(['ACCOUNT_UNKNOWN', 'AMOUNT_INVALID'])
export const clearingRefused = (
  { order, books: slice }: AnswerSlice,
  { code, by }: Refused,
  context: Context<BankPolicy>,
): Decision => {
  if (order?.state !== 'open') return decision()
  const record = {
    event: 'clearing-order-refused',
    ids: [order.clearingId],
    level: 'warn',
    fields: { code, by },
  } as const
  if (!REFUSED_UNPOSTED.has(code)) return decision({ record })
  const books = openBooks(slice, context)
  for (const { bank, amountMinor } of order.items) books.hold(clearingAccount(bank, order.currency), -amountMinor)
  return combine(endOrder(order, { state: 'refused', code }, context.nowMs), books.parts(), { record })
}
export const loadRefusedClearing = (read: Reader, { key }: Refused): AnswerSlice | undefined => {
  const clearingId = key.slice(-16)
  return equalBytes(key, keyOf('clearing-order', clearingId)) ? loadClearing(read, clearingId) : undefined
}

type NoticeSlice = { readonly books: BooksSlice }
/** Order of checks: WRONG_ROLE (not from this bank's settlement bank), AMOUNT_INVALID (nothing, or a row would leave its range). */
const decideNotice = (
  { books: slice }: NoticeSlice,
  { message, ref }: Incoming<'clearing-notice'>,
  context: Context<BankPolicy>,
): Decision => {
  const { body, sender } = message
  const { noticeId, clearingId, debtor, amountMinor, currency } = body
  if (sender.id !== context.policy.settlementBank) return refuse('WRONG_ROLE', 'not the settlement bank of this bank')
  const books = openBooks(slice, context)
  const position = clearingAccount(debtor, currency)
  const nostro = nostroAccount(currency)
  if (
    amountMinor <= 0n ||
    !isInRange(books.account(position), amountMinor) ||
    !isInRange(books.account(nostro), -amountMinor)
  )
    return refuse('AMOUNT_INVALID')
  books.post({
    event: 'clearing-received',
    currency,
    legs: [
      { account: nostro, amountMinor: -amountMinor },
      { account: position, amountMinor },
    ],
    cause: clearingId,
  })
  return combine(books.parts(), {
    sends: [{ kind: 'receipt', to: sender.id, body: { digest: message.digest }, delivery: { answers: ref } }],
    record: { event: 'clearing-received', ids: [clearingId, noticeId] },
  })
}
export const clearingNotice = on(
  (read: Reader, { message }: Incoming<'clearing-notice'>): NoticeSlice => ({
    books: loadBooks(read, [
      clearingAccount(message.body.debtor, message.body.currency),
      nostroAccount(message.body.currency),
    ]),
  }),
  decideNotice,
)
