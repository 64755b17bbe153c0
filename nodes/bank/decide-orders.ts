/**
 * Orders of processors: to post a hold, to transfer between accounts, and the query for an order's answer. Invariant: each
 * order is decided once, and its row is what every later answer is made from.
 */
import type { FailureCode } from '../../protocol/failures.ts'
import { bankOf } from '../../protocol/ids.ts'
import {
  combine,
  decision,
  on,
  refuse,
  type Context,
  type Decision,
  type Incoming,
  type Reader,
} from '../runtime/node.ts'
import { creditableRows, creditedRow, creditRefusal, debitRefusal, isCovering } from './accounts.ts'
import { loadBooks, openBooks, type BooksSlice } from './books.ts'
import { bulkAnswer } from './decide-bulk.ts'
import { endHold } from './decide-holds.ts'
import { carryOut, orderAnswer, refuseOrder } from './movement.ts'
import type { BankPolicy } from './policy.ts'
import {
  HOLDS,
  MANDATES,
  ORDERS,
  type AccountRow,
  type HoldRow,
  type HoldState,
  type HoldTerms,
  type MandateRow,
  type Movement,
  type OrderRow,
} from './state.ts'

type PostSlice = {
  readonly order: OrderRow | undefined
  readonly hold: HoldRow | undefined
  readonly books: BooksSlice
}
const loadPost = (read: Reader, { message }: Incoming<'post-order'>): PostSlice => {
  const { body, sender } = message
  const hold = read.get(HOLDS, body.holdId)
  const debit = hold?.order === undefined ? [] : [hold.order.account]
  return {
    order: read.get(ORDERS, sender.id, body.orderId),
    hold,
    books: loadBooks(read, [...debit, ...creditableRows(body)]),
  }
}

/** HOLD_UNKNOWN, HOLD_MISMATCH (owner), HOLD_VOIDED, HOLD_EXPIRED, HOLD_MISMATCH (posted before; amount or currency), HOLD_EXPIRED. */
const holdRefusal = (
  hold: HoldRow | undefined,
  operatorId: string | undefined,
  { amountMinor, currency }: { readonly amountMinor: bigint; readonly currency: string },
  nowMs: number,
): FailureCode | undefined => {
  if (hold === undefined) return 'HOLD_UNKNOWN'
  if (hold.owner !== operatorId) return 'HOLD_MISMATCH'
  if (hold.state !== 'held') return OVER[hold.state]
  const terms = hold.order as HoldTerms
  if (terms.amountMinor !== amountMinor || terms.currency !== currency) return 'HOLD_MISMATCH'
  return nowMs < terms.expiresAtMs ? undefined : 'HOLD_EXPIRED'
}
/** Why a hold that is not held can not be posted. */
const OVER = {
  refused: 'HOLD_UNKNOWN',
  voided: 'HOLD_VOIDED',
  expired: 'HOLD_EXPIRED',
  posting: 'HOLD_MISMATCH',
  posted: 'HOLD_MISMATCH',
  returned: 'HOLD_MISMATCH',
} as const satisfies Record<Exclude<HoldState, 'held'>, FailureCode>

/** Order of checks: ID_REUSED, those of the hold, those of a credit (accounts.ts). The hold covers the sum: no check of funds. */
const decidePost = (
  { order: prior, hold, books: slice }: PostSlice,
  { message, ref }: Incoming<'post-order'>,
  context: Context<BankPolicy>,
): Decision => {
  const { nowMs, policy, self } = context
  const { body, sender } = message
  const { orderId, holdId, creditAccount, currency, amountMinor, reference } = body
  if (prior !== undefined) return refuse('ID_REUSED', 'an order of another kind has this id')
  const order = {
    kind: 'post',
    from: sender.id,
    orderId,
    receivedAtMs: nowMs,
    changedAtMs: nowMs,
    ref,
    holdId,
  } as const
  const refused = (code: FailureCode): Partial<Decision> =>
    combine(refuseOrder(order, code), {
      record: { event: 'post-refused', ids: [orderId, holdId, reference.id], fields: { code } },
    })

  const code = holdRefusal(hold, sender.operatorId, body, nowMs)
  const books = openBooks(slice, context)
  if (code === 'HOLD_EXPIRED' && hold?.state === 'held')
    return combine(
      endHold(books, hold as HoldRow & { readonly order: HoldTerms }, 'expired', nowMs),
      books.parts(),
      refused(code),
    )
  if (code !== undefined) return combine(refused(code))
  const held = hold as HoldRow & { readonly order: HoldTerms }
  const credited = books.account(creditedRow(self.id, body))
  const creditCode = creditRefusal({ self: self.id, account: credited, peers: policy.peers }, body)
  if (creditCode !== undefined) return combine(refused(creditCode))

  const isHere = bankOf(creditAccount) === self.id
  const ended = endHold(books, held, isHere ? 'posted' : 'posting', nowMs, { postedBy: orderId })
  const movement: Movement = { debitAccount: held.order.account, creditAccount, currency, amountMinor, reference }
  const { state, parts } = carryOut(books, order, movement, context)
  return combine(ended, books.parts(), parts, {
    record: { event: state === 'booked' ? 'hold-posted' : 'post-credited', ids: [orderId, holdId, reference.id] },
  })
}

export const postOrder = on(loadPost, decidePost)

type TransferSlice = {
  readonly order: OrderRow | undefined
  readonly mandate: MandateRow | undefined
  readonly books: BooksSlice
}
const loadTransfer = (read: Reader, { message }: Incoming<'transfer-order'>): TransferSlice => {
  const { body, sender } = message
  return {
    order: read.get(ORDERS, sender.id, body.orderId),
    mandate: read.get(MANDATES, body.debitAccount, sender.operatorId ?? ''),
    books: loadBooks(read, [body.debitAccount, ...creditableRows(body)]),
  }
}

/** Order of checks: ID_REUSED, those of a debit and of a credit (accounts.ts), INSUFFICIENT_FUNDS. */
const decideTransfer = (
  { order: prior, mandate, books: slice }: TransferSlice,
  { message, ref }: Incoming<'transfer-order'>,
  context: Context<BankPolicy>,
): Decision => {
  const { nowMs, policy, self } = context
  const { body, sender } = message
  const { orderId, debitAccount, creditAccount, currency, amountMinor, reference } = body
  if (prior !== undefined) return refuse('ID_REUSED', 'an order of another kind has this id')
  const order = { kind: 'transfer', from: sender.id, orderId, receivedAtMs: nowMs, changedAtMs: nowMs, ref } as const
  const books = openBooks(slice, context)
  const account = books.account(debitAccount)
  const credited = books.account(creditedRow(self.id, body))
  const code =
    debitRefusal({ account, mandate }, { currency, amountMinor, operatorId: sender.operatorId }, nowMs) ??
    creditRefusal({ self: self.id, account: credited, peers: policy.peers }, body) ??
    (isCovering(account as AccountRow, amountMinor) ? undefined : 'INSUFFICIENT_FUNDS')
  const ids = [orderId, reference.id]
  if (code !== undefined)
    return combine(refuseOrder(order, code), {
      record: { event: 'transfer-refused', ids, fields: { code, purpose: reference.purpose } },
    })
  const { state, parts } = carryOut(
    books,
    order,
    { debitAccount, creditAccount, currency, amountMinor, reference },
    context,
  )
  return combine(books.parts(), parts, {
    record: {
      event: state === 'booked' ? 'transfer-booked' : 'transfer-credited',
      ids,
      fields: { purpose: reference.purpose },
    },
  })
}

export const transferOrder = on(loadTransfer, decideTransfer)

type QuerySlice = { readonly order: OrderRow | undefined }
/** Order of checks: NOT_FOUND (an order of this host; it may still be on its way), UNDECIDED (the other bank has not answered). */
const decideQuery = ({ order }: QuerySlice, { ref }: Incoming<'bank-order-query'>): Decision => {
  if (order === undefined) return refuse('NOT_FOUND')
  if (order.state === 'crediting') return refuse('UNDECIDED')
  const asked = { ...order, ref }
  return decision({ sends: [order.kind === 'bulk' ? bulkAnswer(asked) : orderAnswer(asked)] })
}
export const orderQuery = on(
  (read: Reader, { message }: Incoming<'bank-order-query'>): QuerySlice => ({
    order: read.get(ORDERS, message.sender.id, message.body.orderId),
  }),
  decideQuery,
)
