/**
 * Holds: funds set aside for one operator until they are posted, voided, or their time is over, which this bank judges alone.
 * Invariant: the sum of active holds on an account is its `heldMinor`, and a hold leaves `held` once.
 */
import type { FailureCode } from '../../protocol/failures.ts'
import { failureNumber } from '../../protocol/failures.ts'
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
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { debitRefusal, isCovering } from './accounts.ts'
import { loadBooks, openBooks, type Books, type BooksSlice } from './books.ts'
import type { BankPolicy } from './policy.ts'
import {
  ACCOUNTS,
  HOLDS,
  MANDATES,
  ORDERS,
  type AccountRow,
  type HoldRow,
  type HoldState,
  type HoldTerms,
  type MandateRow,
  type OrderRow,
} from './state.ts'

export const HOLD_EXPIRY = 'hold-expiry'
const expiryOf = (holdId: Uint8Array, { expiresAtMs }: HoldTerms): Deadline => ({
  name: HOLD_EXPIRY,
  key: keyOf(holdId),
  atMs: expiresAtMs,
})

/** Ends a hold that is held: its sum is free again, unless the caller books it in the same decision. */
export const endHold = (
  books: Books,
  hold: HoldRow & { readonly order: HoldTerms },
  state: Exclude<HoldState, 'held' | 'refused'>,
  nowMs: number,
  parts: { readonly postedBy?: Uint8Array } = {},
): Pick<Decision, 'writes' | 'clear'> => {
  books.hold(hold.order.account, -hold.order.amountMinor)
  return {
    writes: [put(HOLDS, keyOf(hold.holdId), { ...hold, ...parts, state, changedAtMs: nowMs })],
    clear: [expiryOf(hold.holdId, hold.order)],
  }
}

type HoldSlice = {
  readonly hold: HoldRow | undefined
  readonly account: AccountRow | undefined
  readonly mandate: MandateRow | undefined
  readonly books: BooksSlice
}
const loadHold = (read: Reader, { message }: Incoming<'hold-order'>): HoldSlice => {
  const { holdId, account } = message.body
  return {
    hold: read.get(HOLDS, holdId),
    account: read.get(ACCOUNTS, account),
    mandate: read.get(MANDATES, account, message.sender.operatorId ?? ''),
    books: loadBooks(read, [account]),
  }
}

/**
 * Order of checks: HOLD_VOIDED (its void came first), HOLD_MISMATCH (the id is taken), HOLD_EXPIRED, SCHEMA_VIOLATION (held for
 * too long), those of a debit (accounts.ts), INSUFFICIENT_FUNDS.
 */
const decideHold = (
  { hold, account, mandate, books: slice }: HoldSlice,
  { message, ref }: Incoming<'hold-order'>,
  context: Context<BankPolicy>,
): Decision => {
  const { nowMs, policy } = context
  const { body, sender } = message
  const { holdId, amountMinor, currency, holdExpiresAtMs: expiresAtMs } = body
  const operatorId = sender.operatorId ?? ''
  const answer = (code?: FailureCode): Message => ({
    kind: 'hold-answer',
    to: sender.id,
    body: { holdId, ...(code === undefined ? { result: 'held' } : { result: 'refused', code: failureNumber(code) }) },
    delivery: { answers: ref },
  })
  const refused = (code: FailureCode): Partial<Decision> => ({
    sends: [answer(code)],
    record: { event: 'hold-refused', ids: [holdId], fields: { code } },
  })

  if (hold !== undefined)
    return decision(refused(hold.state === 'voided' && hold.owner === operatorId ? 'HOLD_VOIDED' : 'HOLD_MISMATCH'))
  if (expiresAtMs > nowMs + policy.maxHoldMs)
    return refuse('SCHEMA_VIOLATION', `a hold lasts at most ${policy.maxHoldMs} ms`)
  const order: HoldTerms = { account: body.account, currency, amountMinor, expiresAtMs, orderedAtMs: nowMs }
  const row: HoldRow = { holdId, state: 'held', owner: operatorId, changedAtMs: nowMs, order }
  const code =
    expiresAtMs <= nowMs
      ? 'HOLD_EXPIRED'
      : (debitRefusal({ account, mandate }, { currency, amountMinor, operatorId: sender.operatorId }, nowMs) ??
        (isCovering(account as AccountRow, amountMinor) ? undefined : 'INSUFFICIENT_FUNDS'))
  if (code !== undefined)
    return combine(refused(code), { writes: [put(HOLDS, keyOf(holdId), { ...row, state: 'refused', code })] })

  const books = openBooks(slice, context)
  books.hold(body.account, amountMinor)
  return combine(books.parts(), {
    writes: [put(HOLDS, keyOf(holdId), row)],
    set: [expiryOf(holdId, order)],
    sends: [answer()],
    record: { event: 'hold-placed', ids: [holdId] },
  })
}
export const holdOrder = on(loadHold, decideHold)

type VoidSlice = {
  readonly order: OrderRow | undefined
  readonly hold: HoldRow | undefined
  readonly books: BooksSlice
}
const loadVoid = (read: Reader, { message }: Incoming<'void-order'>): VoidSlice => {
  const { orderId, holdId } = message.body
  const hold = read.get(HOLDS, holdId)
  return {
    order: read.get(ORDERS, message.sender.id, orderId),
    hold,
    books: loadBooks(read, hold?.order === undefined ? [] : [hold.order.account]),
  }
}

/**
 * Order of checks: ID_REUSED (the order id is of another kind of order), HOLD_MISMATCH (another operator's hold). A hold never
 * seen is voided all the same: the row is the tombstone that its hold order finds when it comes.
 */
const decideVoid = (
  { order, hold, books: slice }: VoidSlice,
  { message, ref }: Incoming<'void-order'>,
  context: Context<BankPolicy>,
): Decision => {
  const { nowMs } = context
  const { body, sender } = message
  const { orderId, holdId } = body
  const owner = sender.operatorId ?? ''
  if (order !== undefined) return refuse('ID_REUSED', 'an order of another kind has this id')
  if (hold !== undefined && hold.owner !== owner) return refuse('HOLD_MISMATCH', 'the hold is not of this operator')

  const posted = hold?.state === 'posting' || hold?.state === 'posted'
  const books = openBooks(slice, context)
  const ended =
    hold?.state === 'held' && hold.order !== undefined
      ? endHold(books, { ...hold, order: hold.order }, 'voided', nowMs)
      : hold === undefined || hold.state === 'refused'
        ? {
            writes: [
              put(HOLDS, keyOf(holdId), {
                ...(hold ?? { holdId, owner }),
                state: 'voided' as const,
                changedAtMs: nowMs,
              }),
            ],
          }
        : {}
  return combine(ended, books.parts(), {
    writes: [
      put(ORDERS, keyOf(sender.id, orderId), {
        kind: 'void',
        from: sender.id,
        orderId,
        state: 'voided',
        receivedAtMs: nowMs,
        changedAtMs: nowMs,
        ref,
        holdId,
        posted,
      }),
    ],
    sends: [
      {
        kind: 'void-answer',
        to: sender.id,
        body: { orderId, holdId, result: posted ? 'posted' : 'voided' },
        delivery: { answers: ref },
      },
    ],
    record: { event: posted ? 'void-came-late' : 'hold-voided', ids: [holdId, orderId] },
  })
}
export const voidOrder = on(loadVoid, decideVoid)

type ExpirySlice = { readonly hold: HoldRow | undefined; readonly books: BooksSlice }
const loadExpiry = (read: Reader, { key }: DeadlineEvent): ExpirySlice => {
  const hold = read.get(HOLDS, key)
  return { hold, books: loadBooks(read, hold?.order === undefined ? [] : [hold.order.account]) }
}
const decideExpiry = (
  { hold, books: slice }: ExpirySlice,
  _: DeadlineEvent,
  context: Context<BankPolicy>,
): Decision => {
  if (hold?.state !== 'held' || hold.order === undefined) return decision()
  const books = openBooks(slice, context)
  const ended = endHold(books, { ...hold, order: hold.order }, 'expired', context.nowMs)
  return combine(ended, books.parts(), { record: { event: 'hold-expired', ids: [hold.holdId] } })
}
export const holdExpiry = on(loadExpiry, decideExpiry)
