/**
 * Credits between banks. Invariant: a credit that this bank sent stands in the clearing account from the moment the payer is
 * debited; it is reversed only by the other bank's signed return (or by an operator who asked it), never by a time-out.
 */
import { failureCode, failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import {
  combine,
  decision,
  on,
  put,
  refuse,
  type Context,
  type Decision,
  type Incoming,
  type Message,
  type Reader,
  type Refused,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { clearingAccount, creditableRows, creditRefusal, isInRange } from './accounts.ts'
import { loadBooks, openBooks, type BooksSlice } from './books.ts'
import { endBulk, loadCrediting } from './decide-bulk.ts'
import { settleOrder } from './movement.ts'
import type { BankPolicy } from './policy.ts'
import {
  HOLDS,
  INCOMING_CREDITS,
  ORDERS,
  OUTGOING_CREDITS,
  type HoldRow,
  type IncomingCreditRow,
  type OrderRow,
  type OutgoingCreditRow,
} from './state.ts'

type CreditSlice = { readonly prior: IncomingCreditRow | undefined; readonly books: BooksSlice }
const loadCredit = (read: Reader, { message }: Incoming<'interbank-credit'>): CreditSlice => {
  const { body, sender } = message
  return {
    prior: read.get(INCOMING_CREDITS, sender.id, body.creditId),
    books: loadBooks(read, [...creditableRows(body), clearingAccount(sender.id, body.currency)]),
  }
}

const creditAnswer = (row: IncomingCreditRow, ref: Uint8Array): Message => {
  const common = { to: row.peer, delivery: { answers: ref } } as const
  return row.state === 'booked'
    ? { kind: 'interbank-booking', ...common, body: { creditId: row.creditId, bookedAtMs: row.atMs } }
    : {
        kind: 'interbank-return',
        ...common,
        body: { creditId: row.creditId, code: failureNumber(row.code ?? 'ACCOUNT_UNKNOWN') },
      }
}

/**
 * A credit from another bank is booked or returned at once: booking it means to trust that bank for the sum until clearing, so
 * it must be a peer. Order of checks: seen before (its answer again), AMOUNT_INVALID (zero), ACCOUNT_UNKNOWN (of a bank that is
 * no peer), those of a credit to an account of this bank (accounts.ts), AMOUNT_INVALID (the position would leave its range).
 */
const decideCredit = (
  { prior, books: slice }: CreditSlice,
  { message, ref }: Incoming<'interbank-credit'>,
  context: Context<BankPolicy>,
): Decision => {
  const { nowMs, self, policy } = context
  const { body, sender } = message
  const { creditId, creditAccount, currency, amountMinor, reference } = body
  if (prior !== undefined) return decision({ sends: [creditAnswer(prior, ref)] })
  const books = openBooks(slice, context)
  const position = clearingAccount(sender.id, currency)
  const code: FailureCode | undefined =
    amountMinor <= 0n
      ? 'AMOUNT_INVALID'
      : policy.peers !== null && !policy.peers.includes(sender.id)
        ? 'ACCOUNT_UNKNOWN'
        : (creditRefusal({ self: self.id, account: books.account(creditAccount), peers: [] }, body) ??
          (isInRange(books.account(position), -amountMinor) ? undefined : 'AMOUNT_INVALID'))
  const row: IncomingCreditRow = {
    peer: sender.id,
    creditId,
    state: code === undefined ? 'booked' : 'returned',
    creditAccount,
    currency,
    amountMinor,
    atMs: nowMs,
    ...(code !== undefined && { code }),
  }
  const ids = [creditId, reference.id]
  const stored = { writes: [put(INCOMING_CREDITS, keyOf(sender.id, creditId), row)], sends: [creditAnswer(row, ref)] }
  if (code !== undefined)
    return combine(stored, { record: { event: 'interbank-credit-returned', ids, fields: { code } } })
  books.post({
    event: 'interbank-in',
    currency,
    legs: [
      { account: position, amountMinor: -amountMinor },
      { account: creditAccount, amountMinor },
    ],
    cause: creditId,
    reference,
    originatingBank: sender.id,
  })
  return combine(books.parts(), stored, { record: { event: 'interbank-credit-booked', ids } })
}
export const interbankCredit = on(loadCredit, decideCredit)

/** A credit of this bank, the order it carries out, and the hold it takes. */
export type OutgoingSlice = {
  readonly credit: OutgoingCreditRow | undefined
  readonly order: OrderRow | undefined
  readonly hold: HoldRow | undefined
  /** Of a bulk order, those whose sum the credit is. */
  readonly items: readonly OrderRow[]
  readonly books: BooksSlice
}
export const loadOutgoing = (read: Reader, creditId: Uint8Array): OutgoingSlice => {
  const credit = read.get(OUTGOING_CREDITS, creditId)
  const order = credit === undefined ? undefined : read.get(ORDERS, credit.from, credit.orderId)
  const items = order === undefined ? [] : loadCrediting(read, order)
  return {
    credit,
    order,
    items,
    hold: order?.holdId === undefined ? undefined : read.get(HOLDS, order.holdId),
    books: loadBooks(
      read,
      credit === undefined
        ? []
        : [
            ...(items.length === 0
              ? [credit.movement.debitAccount]
              : items.flatMap(({ movement }) => movement?.debitAccount ?? [])),
            clearingAccount(credit.peer, credit.movement.currency),
          ],
    ),
  }
}

/** Ends a credit that is not over yet: its order is answered, its hold is over, and a returned sum is the payer's again. */
export const endCredit = (
  { credit, order, hold, items, books: slice }: OutgoingSlice,
  end: { readonly state: 'booked' } | { readonly state: 'returned'; readonly code: FailureCode },
  context: Context<BankPolicy>,
): Decision => {
  if (credit === undefined || order === undefined) return decision()
  const { nowMs } = context
  const { creditId, peer, movement } = credit
  const { debitAccount, currency, amountMinor, reference } = movement
  const books = openBooks(slice, context)
  const isReturned = end.state === 'returned'
  const changed = { changedAtMs: nowMs }
  if (isReturned && order.kind !== 'bulk')
    books.post({
      event: 'interbank-reversal',
      currency,
      legs: [
        { account: clearingAccount(peer, currency), amountMinor: -amountMinor },
        { account: debitAccount, amountMinor },
      ],
      cause: creditId,
      reference,
      orderedBy: order.from,
    })
  const settled =
    order.kind === 'bulk'
      ? endBulk(order, items, peer, isReturned, { books, nowMs })
      : settleOrder(
          isReturned
            ? { ...order, ...changed, state: 'refused', code: 'CREDIT_RETURNED' }
            : { ...order, ...changed, state: 'booked' },
        )
  return combine(books.parts(), settled, {
    writes: [
      put(OUTGOING_CREDITS, keyOf(creditId), { ...credit, ...changed, ...end }),
      ...(hold === undefined
        ? []
        : [
            put(HOLDS, keyOf(hold.holdId), {
              ...hold,
              ...changed,
              state: isReturned ? ('returned' as const) : ('posted' as const),
            }),
          ]),
    ],
    forget: [['interbank-credit', creditId]],
    record: {
      event: isReturned ? 'interbank-credit-reversed' : 'interbank-credit-confirmed',
      ids: [creditId, order.orderId, reference.id],
      ...(isReturned && { fields: { code: end.code } }),
    },
  })
}

/** An answer counts once, and only from the bank the credit went to; anything else is NOT_FOUND, logged, and changes nothing. */
const isAwaited = ({ credit }: OutgoingSlice, by: string): boolean =>
  credit !== undefined && credit.peer === by && (credit.state === 'sent' || credit.state === 'unclear')
const unexpected = (creditId: Uint8Array, kind: string, by: string): Decision =>
  combine(refuse('NOT_FOUND', 'no such credit is open'), {
    record: { event: 'interbank-answer-ignored', ids: [creditId], level: 'warn', fields: { kind, by } },
  })

export const interbankBooking = on(
  (read: Reader, { message }: Incoming<'interbank-booking'>) => loadOutgoing(read, message.body.creditId),
  (slice, { message }, context: Context<BankPolicy>) =>
    isAwaited(slice, message.sender.id)
      ? endCredit(slice, { state: 'booked' }, context)
      : unexpected(message.body.creditId, message.kind, message.sender.id),
)
export const interbankReturn = on(
  (read: Reader, { message }: Incoming<'interbank-return'>) => loadOutgoing(read, message.body.creditId),
  (slice, { message }, context: Context<BankPolicy>) =>
    isAwaited(slice, message.sender.id)
      ? endCredit(slice, { state: 'returned', code: failureCode(message.body.code) ?? 'CREDIT_RETURNED' }, context)
      : unexpected(message.body.creditId, message.kind, message.sender.id),
)

/**
 * The other bank's protocol layer refused the credit for good. A resend may be refused so after the first was booked (a
 * credential that ended in between), so the money stays where it is until an operator has asked: control `resolve-credit`.
 */
export const creditRefused = (credit: OutgoingCreditRow | undefined, event: Refused, nowMs: number): Decision =>
  credit?.state !== 'sent'
    ? decision()
    : decision({
        writes: [
          put(OUTGOING_CREDITS, keyOf(credit.creditId), {
            ...credit,
            state: 'unclear',
            code: event.code,
            changedAtMs: nowMs,
          }),
        ],
        record: {
          event: 'interbank-credit-unclear',
          ids: [credit.creditId, credit.orderId],
          level: 'warn',
          fields: { code: event.code, by: event.by },
        },
      })

/** The creditId in the outbox key ['interbank-credit', creditId]; undefined for another key. */
export const creditIdOf = (key: Uint8Array): Uint8Array | undefined => {
  const creditId = key.slice(-16)
  return equalBytes(key, keyOf('interbank-credit', creditId)) ? creditId : undefined
}
