/**
 * What is payable to a payee, and paying it out (design §3). Invariant: one payout of a payee runs at a time, its sum is in
 * `paying` until the bank has answered, and a sum the bank refused is payable again.
 */
import { MAX_PAYMENT_MINOR, sumMinor } from '../../protocol/amount.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { bankOf } from '../../protocol/ids.ts'
import { put, type Deadline } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { payeeOf, post, type Books } from './books.ts'
import { payoutThreshold, type MppPolicy } from './policy.ts'
import { DEADLINES, ORDERS, outboxKey, PAYOUTS, type OrderRow, type PayeeRow } from './state.ts'
/**
 * Moves what was settled from accrued to payable, and pays it out when that is due. What refunds took of the accrued money before
 * it was settled comes off first: the settlement has now brought the money for them.
 */
export const makePayable = (books: Books, payee: string, settledMinor: bigint): void => {
  const row = payeeOf(books, payee)
  const { advancedMinor = 0n, ...rest } = row
  const covering = advancedMinor < settledMinor ? advancedMinor : settledMinor
  const amountMinor = settledMinor - covering
  if (row.accruedMinor < amountMinor) throw new Error(`payee ${payee} has less accrued than was settled`)
  post(books, `accrued:${payee}`, `payable:${payee}`, amountMinor)
  books.payees.set(payee, {
    ...rest,
    accruedMinor: sumMinor(row.accruedMinor, -amountMinor),
    payableMinor: sumMinor(row.payableMinor, amountMinor),
    ...(advancedMinor > covering ? { advancedMinor: advancedMinor - covering } : {}),
  })
  considerPayout(books, payee)
}

export const payoutDeadline = (payee: string, atMs: number): Deadline => ({
  name: DEADLINES.payout,
  key: keyOf(payee),
  atMs,
})

/** Is what is payable to be paid out? The threshold decides, or the age, or that the payee has left. */
export const isPayoutDue = (row: PayeeRow, policy: MppPolicy, nowMs: number): boolean => {
  if (nowMs < (row.retryAtMs ?? 0)) return false
  return (
    row.payableMinor >= payoutThreshold(policy, row.currency) ||
    row.state === 'retired' ||
    (row.payoutAtMs !== undefined && nowMs >= row.payoutAtMs)
  )
}

/** Orders a payout when one is due and can be; else sees to it that the age is watched. */
export const considerPayout = (books: Books, payee: string): void => {
  const row = payeeOf(books, payee)
  const { nowMs, policy } = books.context
  if (isPayoutDue(row, policy, nowMs) && orderPayout(books, payee) !== undefined) return
  const isWatched = row.payoutAtMs !== undefined && (row.payoutAtMs > nowMs || row.payoutId !== undefined)
  if (row.payableMinor > 0n && !isWatched)
    watchPayout(books, row, Math.max(nowMs + policy.payout.maxAgeMs, row.retryAtMs ?? 0))
}

const watchPayout = (books: Books, row: PayeeRow, atMs: number): void => {
  if (row.payoutAtMs !== undefined) books.clear.push(payoutDeadline(row.payee, row.payoutAtMs))
  books.set.push(payoutDeadline(row.payee, atMs))
  books.payees.set(row.payee, { ...row, payoutAtMs: atMs })
}

/**
 * Moves what is payable to `paying` and orders its transfer. @returns the payout's id; undefined when nothing is payable, one is
 * under way, or this MPP has no account in the currency
 */
export const orderPayout = (books: Books, payee: string): Uint8Array | undefined => {
  const { context } = books
  const { payoutAtMs, retryAtMs: _, ...row } = payeeOf(books, payee)
  const debitAccount = context.policy.operatorAccounts[row.currency]
  if (debitAccount === undefined || row.payoutId !== undefined || row.payableMinor <= 0n) return undefined
  // A payout's advice names an amount of one payment at most.
  const amountMinor = row.payableMinor < MAX_PAYMENT_MINOR ? row.payableMinor : MAX_PAYMENT_MINOR
  const payoutId = context.freshId()
  const orderId = context.freshId()
  const { currency, account } = row
  const bank = bankOf(debitAccount)
  post(books, `payable:${payee}`, `paying:${payee}`, amountMinor)
  books.payees.set(payee, {
    ...row,
    payableMinor: sumMinor(row.payableMinor, -amountMinor),
    payingMinor: sumMinor(row.payingMinor, amountMinor),
    payoutId,
  })
  if (payoutAtMs !== undefined) books.clear.push(payoutDeadline(payee, payoutAtMs))
  books.writes.push(
    put(PAYOUTS, payoutId, {
      payoutId,
      payee,
      amountMinor,
      currency,
      account,
      orderId,
      state: 'ordered',
      orderedAtMs: context.nowMs,
    }),
    put<OrderRow>(ORDERS, orderId, { purpose: 'payout', id: payoutId, bank }),
  )
  books.sends.push({
    kind: 'transfer-order',
    to: bank,
    body: {
      orderId,
      debitAccount,
      creditAccount: account,
      amountMinor,
      currency,
      reference: { purpose: 'payout', id: payoutId },
    },
    delivery: { until: outboxKey('order', orderId) },
  })
  return payoutId
}

/** The bank's answer to a payout: paid, or payable again and tried later. */
export const finishPayout = (
  books: Books,
  payee: string,
  payoutId: Uint8Array,
  amountMinor: bigint,
  paid: boolean,
): void => {
  const { payoutId: running, ...row } = payeeOf(books, payee)
  if (running === undefined || !equalBytes(running, payoutId))
    throw new Error(`payee ${payee} has no such payout under way`)
  const { nowMs, policy } = books.context
  const payingMinor = sumMinor(row.payingMinor, -amountMinor)
  if (paid) {
    post(books, `paying:${payee}`, 'bank', amountMinor)
    books.lines.push({ payee, what: 'payout', amountMinor: -amountMinor, id: payoutId })
    books.payees.set(payee, { ...row, payingMinor, paidMinor: sumMinor(row.paidMinor, amountMinor) })
    considerPayout(books, payee)
    return
  }
  post(books, `paying:${payee}`, `payable:${payee}`, amountMinor)
  const retryAtMs = nowMs + policy.payout.retryMs
  watchPayout(
    books,
    { ...row, payingMinor, payableMinor: sumMinor(row.payableMinor, amountMinor), retryAtMs },
    retryAtMs,
  )
}
