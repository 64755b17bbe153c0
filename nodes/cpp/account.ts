/**
 * One customer's account while a decision works on it. Each rule takes the total and gives the next total with the parts of
 * the decision that go with it, so that one decision may confirm a payment, order a collection and admit who waited,
 * and still write the total once.
 *
 * Invariants: outstanding = Σ entries; pending = Σ notified micropayments; the queue is served in the order of arrival.
 */
import type { Currency } from '../../protocol/amount.ts'
import { bankOf } from '../../protocol/ids.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import { failureNumber } from '../../protocol/failures.ts'
import { put, remove, type Context, type Deadline, type Posting } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import {
  admitted,
  collectionBooked,
  collectionOrdered,
  collectionRefused,
  confirmed,
  dropped,
  judge,
  writtenOff,
} from './aggregation.ts'
import type { TroubleRow } from './aggregation-state.ts'
import { closed, isIdle, type Closing } from './closing.ts'
import { costOf } from './fx.ts'
import { OUTBOX, customerAnswer, noticeMessage, until } from './messages.ts'
import { combineParts, type Part, type Step } from './parts.ts'
import { aggregationPolicy } from './policies.ts'
import type { CppPolicy } from './policy.ts'
import { armDebtAge, crossLowWater, joinWindow, leaveWindow, retryLater, retryNoMore } from './schedule.ts'
import {
  ENTRY,
  customers,
  invoices,
  ledger,
  notices,
  orders,
  payments,
  transLocks,
  waiting,
  type CustomerRow,
  type EntryKind,
  type OrderRow,
  type PaymentRow,
  type TotalRow,
} from './state.ts'

/** A payment that waits, and the invoice its notice will carry. */
export type Queued = { readonly payment: PaymentRow; readonly frame: Uint8Array }
export type Account = {
  readonly customer: CustomerRow
  readonly total: TotalRow
  /** Who waits, the first first. */
  readonly queue: readonly Queued[]
  /** While the account is being closed. */
  readonly closing?: Closing | undefined
  /** Refused collections: read where the answer to one is judged. */
  readonly trouble?: TroubleRow | undefined
}

export { combineParts, type Part, type Step } from './parts.ts'
type Ctx = Context<CppPolicy>

const NO_ORDER = new Uint8Array(0)

export const newTotal = (customer: CustomerRow): TotalRow => ({
  kind: 0,
  currency: customer.currency,
  outstandingMinor: 0n,
  collectingMinor: 0n,
  pendingMinor: 0n,
  thresholdMinor: 0n,
  lastSeq: 0,
  waiting: 0,
  nextWait: 1,
  debtSinceMs: 0,
  debtAgeAtMs: 0,
  suspendedAtMs: 0,
  orderId: NO_ORDER,
})

/** The rows as these parts leave them, plus the total. */
export const account = (customer: string, { total, parts }: Step): Part =>
  combineParts([{ writes: [put(ledger, keyOf(customer), total)] }, ...parts])

/** θ for this customer's next admission. */
export const thresholdOf = (customer: CustomerRow, { policy }: Ctx): bigint =>
  aggregationPolicy(policy.aggregation).thresholdMinor({
    currency: customer.currency,
    assignedThresholdMinor: customer.assignedThresholdMinor,
  })

export const noticeDeadline = (payment: PaymentRow): Deadline => ({
  name: 'notice-expiry',
  key: payment.prId,
  atMs: payment.expiresAtMs,
})

/** The notice goes out: of a micropayment on admission, of a macro payment once its hold is placed. */
export const notify = (
  payment: PaymentRow,
  frame: Uint8Array,
  context: Ctx,
): { readonly payment: PaymentRow; readonly part: Part } => {
  const pnId = context.freshId()
  const notified: PaymentRow = { ...payment, state: 'notified', pnId, notifiedAtMs: context.nowMs }
  return {
    payment: notified,
    part: {
      writes: [
        put(payments, keyOf(payment.prId), notified),
        put(notices, keyOf(pnId), { prId: payment.prId }),
        remove(invoices, keyOf(payment.prId)),
      ],
      sends: [noticeMessage(notified, frame, context)],
      record: {
        event: 'payment-notified',
        ids: [payment.prId, pnId, payment.txId],
        fields: { mode: payment.mode, amountMinor: payment.amountMinor, currency: payment.currency },
      },
    },
  }
}

/** pending at PN. */
const admit = (total: TotalRow, queued: Queued, thresholdMinor: bigint, context: Ctx): Step => ({
  total: { ...admitted(total, costOf(queued.payment).amountMinor), thresholdMinor },
  parts: [notify(queued.payment, queued.frame, context).part],
})

/** @throws Error: what is owed in this currency could not be collected */
export const operatorAccountOf = ({ policy }: Ctx, currency: Currency): string => {
  const found = policy.operatorAccounts[currency]
  if (found === undefined) throw new Error(`the policy names no operator account in ${currency}`)
  return found
}

/**
 * The row of a collection of exactly what is outstanding: it stands in the ledger before its order leaves, by itself or as an item
 * of a bulk order.
 * @throws RangeError when a collection runs already, or nothing is owed
 */
export const beginCollection = (
  before: TotalRow,
  customer: CustomerRow,
  context: Ctx,
  bulkId?: Uint8Array,
): Step & { readonly total: TotalRow; readonly order: OrderRow } => {
  const { currency } = before
  const total: TotalRow = { ...collectionOrdered(before), orderId: context.freshId() }
  const order: OrderRow = {
    purpose: 'collection',
    state: 'ordered',
    bank: bankOf(customer.account),
    amountMinor: total.collectingMinor,
    currency,
    subject: customer.customer,
    operatorAccount: operatorAccountOf(context, currency),
    orderedAtMs: context.nowMs,
    answeredAtMs: 0,
    ...(bulkId === undefined ? {} : { bulkId }),
  }
  const saved: Part = { writes: [put(orders, keyOf(total.orderId), order)] }
  return { total, order, parts: [saved, leaveWindow(customer, currency, context)] }
}

/** One transfer of exactly what is outstanding. */
export const collect = (before: TotalRow, customer: CustomerRow, context: Ctx): Step => {
  const { total, order, parts } = beginCollection(before, customer, context)
  const { orderId } = total
  const { bank, amountMinor, currency, operatorAccount: creditAccount } = order
  return {
    total,
    parts: [
      ...parts,
      {
        sends: [
          {
            kind: 'transfer-order',
            to: bank,
            body: {
              orderId,
              debitAccount: customer.account,
              creditAccount,
              amountMinor,
              currency,
              reference: { purpose: 'collection', id: orderId },
            },
            delivery: until(OUTBOX.order, orderId),
          },
        ],
        record: { event: 'collection-ordered', ids: [orderId], fields: { amountMinor, currency } },
      },
    ],
  }
}

/** The rule decides on a payment that just arrived: admitted, or last in the queue. The caller has bounded the queue. */
export const arrive = (before: Account, queued: Queued, context: Ctx): Step => {
  const { total, customer } = before
  const { payment, frame } = queued
  const thresholdMinor = thresholdOf(customer, context)
  const deadline: Part = { set: [noticeDeadline(payment)] }
  // Whoever came first is served first: what waits for those ahead waits for their payees or their collection.
  if (total.waiting > 0) return enqueue(total, payment, frame, [deadline])
  const verdict = judge(total, costOf(payment).amountMinor, thresholdMinor)
  const ordered: Step = verdict.collectMinor > 0n ? collect(total, customer, context) : { total, parts: [] }
  if (!verdict.admit) return enqueue(ordered.total, payment, frame, [deadline, ...ordered.parts])
  const step = admit(ordered.total, queued, thresholdMinor, context)
  return { total: step.total, parts: [deadline, ...step.parts, ...ordered.parts] }
}

/** Would this payment have to wait? Asked before anything is written, to refuse it while the queue is full. */
export const mustWait = ({ total, customer }: Account, amountMinor: bigint, context: Ctx): boolean =>
  total.waiting > 0 || !judge(total, amountMinor, thresholdOf(customer, context)).admit

const enqueue = (total: TotalRow, payment: PaymentRow, frame: Uint8Array, parts: readonly Part[]): Step => {
  const waitNo = total.nextWait
  const { prId, customer, amountMinor, currency } = payment
  return {
    total: { ...total, waiting: total.waiting + 1, nextWait: waitNo + 1 },
    parts: [
      {
        writes: [
          put(payments, keyOf(prId), { ...payment, state: 'waiting', waitNo }),
          put(invoices, keyOf(prId), { frame }),
          put(waiting, keyOf(customer, waitNo), { prId }),
        ],
        record: { event: 'payment-waiting', ids: [prId], fields: { amountMinor, currency } },
      },
      ...parts,
    ],
  }
}

const dequeue = (total: TotalRow, payment: PaymentRow): Step => {
  if (payment.waitNo === undefined) throw new Error('a waiting payment has no number')
  return {
    total: { ...total, waiting: total.waiting - 1 },
    parts: [{ writes: [remove(waiting, keyOf(payment.customer, payment.waitNo))] }],
  }
}

/** A payment that waited ends without its notice having gone out. */
export const endWaiting = (
  total: TotalRow,
  payment: PaymentRow,
  end: { readonly state: 'expired' | 'refused'; readonly code: FailureCode },
  context: Ctx,
): Step => {
  const left = dequeue(total, payment)
  return { total: left.total, parts: [...left.parts, finish(payment, end, context).part] }
}

/**
 * Any end but confirmed, on the customer's side: the row, the freed TRANS lock, the answer. What the payee's side hears and
 * what the bank is told is the caller's.
 */
export const finish = (
  payment: PaymentRow,
  end: {
    readonly state: 'refused' | 'rejected' | 'expired' | 'failed'
    readonly code: FailureCode
    readonly reason?: string | undefined
  },
  context: Ctx,
): { readonly payment: PaymentRow; readonly part: Part } => {
  const { prId, payee, txId, pnId } = payment
  const ended: PaymentRow = {
    ...payment,
    state: end.state,
    code: failureNumber(end.code),
    decidedAtMs: context.nowMs,
    ...(end.reason === undefined ? {} : { reason: end.reason }),
  }
  return {
    payment: ended,
    part: {
      writes: [
        put(payments, keyOf(prId), ended),
        remove(transLocks, keyOf(payee, txId)),
        remove(invoices, keyOf(prId)),
      ],
      clear: [noticeDeadline(payment)],
      sends: [customerAnswer(ended, payment.ref)],
      record: {
        event: `payment-${end.state}`,
        ids: pnId === undefined ? [prId] : [prId, pnId, txId],
        fields: { code: end.code },
      },
    },
  }
}

/** Serves the queue after the total changed: admits, orders a collection, ends what has expired meanwhile. An account that is being closed goes on to its end. */
export const serve = (before: Account, start: TotalRow, context: Ctx): Step => {
  const { customer, queue } = before
  const parts: Part[] = []
  let total = start
  const thresholdMinor = thresholdOf(customer, context)
  const take = (step: Step): void => {
    total = step.total
    parts.push(...step.parts)
  }
  for (const queued of queue) {
    const { payment } = queued
    if (payment.expiresAtMs <= context.nowMs) {
      take(endWaiting(total, payment, { state: 'expired', code: 'NOTICE_EXPIRED' }, context))
      continue
    }
    const verdict = judge(total, costOf(payment).amountMinor, thresholdMinor)
    if (verdict.collectMinor > 0n) take(collect(total, customer, context))
    if (!verdict.admit) break
    take(dequeue(total, payment))
    take(admit(total, queued, thresholdMinor, context))
  }
  if (before.closing !== undefined) take(windUp(total, customer, before.closing, context))
  return { total, parts }
}

/** A closing account with nothing under way: what is owed is collected, and with nothing owed it is closed. */
export const windUp = (total: TotalRow, customer: CustomerRow, closing: Closing, context: Ctx): Step => {
  if (!isIdle(total)) return { total, parts: [] }
  return total.outstandingMinor > 0n
    ? collect(total, customer, context)
    : { total, parts: [closed(customer, closing, context)] }
}

/** The next entry of a customer; the caller has changed what is outstanding by it. */
export const entry = (
  total: TotalRow,
  customer: string,
  kind: EntryKind,
  amountMinor: bigint,
  id: Uint8Array,
  atMs: number,
): Step => {
  const seq = total.lastSeq + 1
  return {
    total: { ...total, lastSeq: seq },
    parts: [{ writes: [put(ledger, keyOf(customer, seq), { kind, amountMinor, id, atMs })] }],
  }
}

/** `payable` of the MPP grows by the invoice's sum: the caller posts the legs. */
export const owe = (before: Account, payment: PaymentRow, context: Ctx): Step => {
  const { customer } = before
  const { amountMinor } = costOf(payment)
  const moved = confirmed(before.total, amountMinor)
  const since = before.total.outstandingMinor === 0n ? context.nowMs : before.total.debtSinceMs
  const booked = entry(
    { ...moved, debtSinceMs: since },
    customer.customer,
    ENTRY.payment,
    amountMinor,
    payment.prId,
    context.nowMs,
  )
  const armed = armDebtAge(booked.total, customer.customer, context)
  const crossed = crossLowWater(before.total, armed.total, customer, context)
  return { total: armed.total, parts: [...booked.parts, ...armed.parts, crossed] }
}

/** pending is dropped at any end but confirmed. */
export const drop = (total: TotalRow, payment: PaymentRow): TotalRow => dropped(total, costOf(payment).amountMinor)

export const receivable = (customer: string): string => `customer:${customer}`
export const cash = (operatorAccount: string): string => `bank:${operatorAccount}`

/** The bank has booked the running collection: the debt it covered is gone, and who waited is served. */
export const bookCollection = (before: Account, orderId: Uint8Array, operatorAccount: string, context: Ctx): Step => {
  const { total, customer, trouble } = before
  const amountMinor = total.collectingMinor
  const left = collectionBooked(total)
  const booked = entry(
    {
      ...left,
      orderId: NO_ORDER,
      suspendedAtMs: 0,
      debtSinceMs: left.outstandingMinor === 0n ? 0 : context.nowMs,
    },
    customer.customer,
    ENTRY.collection,
    amountMinor,
    orderId,
    context.nowMs,
  )
  const postings: Posting[] = [
    { account: receivable(customer.customer), currency: total.currency, amountMinor },
    { account: cash(operatorAccount), currency: total.currency, amountMinor: -amountMinor },
  ]
  const armed = armDebtAge(booked.total, customer.customer, context)
  const joined = joinWindow(armed.total, customer, context)
  const calmed = retryNoMore(trouble, customer.customer, true)
  const served = serve(before, armed.total, context)
  const record = { event: 'collection-booked', ids: [orderId], fields: { amountMinor, currency: total.currency } }
  const parts = [...booked.parts, ...armed.parts, joined, calmed, ...served.parts]
  return { total: served.total, parts: [{ postings, record }, ...parts] }
}

/** The debt stays, the customer is suspended until a retry is booked, and every payment that needed the collection is refused. */
export const refuseCollection = (
  before: Account,
  orderId: Uint8Array,
  code: number | undefined,
  context: Ctx,
): Step => {
  const { customer, queue } = before
  const { collectingMinor: amountMinor, currency } = before.total
  let total: TotalRow = {
    ...collectionRefused(before.total),
    orderId: NO_ORDER,
    suspendedAtMs: before.total.suspendedAtMs === 0 ? context.nowMs : before.total.suspendedAtMs,
  }
  const parts: Part[] = [
    { record: { event: 'collection-refused', ids: [orderId], level: 'warn', fields: { amountMinor, currency, code } } },
    retryLater(before.trouble, customer.customer, context),
  ]
  for (const { payment } of queue) {
    const ended = endWaiting(total, payment, { state: 'refused', code: 'COLLECTION_REFUSED' }, context)
    total = ended.total
    parts.push(...ended.parts)
  }
  return { total, parts }
}

/** The `debt-age` deadline fired: what has grown too old is collected, alone or in its window's order; else it is looked at again later. */
export const ageDebt = (before: Account, context: Ctx): Step => {
  const { customer } = before
  const total: TotalRow = { ...before.total, debtAgeAtMs: 0 }
  // While a collection runs its answer arms the deadline again; while suspended its retry or the operator collects.
  if (total.outstandingMinor === 0n || total.collectingMinor !== 0n || total.suspendedAtMs !== 0)
    return { total, parts: [] }
  const policy = aggregationPolicy(context.policy.aggregation)
  if (policy.collectByMs(total.debtSinceMs) > context.nowMs) return armDebtAge(total, customer.customer, context)
  return policy.lowWaterMinor(total.currency) === undefined
    ? collect(total, customer, context)
    : { total, parts: [joinWindow(total, customer, context, true)] }
}

/** The `collection-retry` deadline fired: the refused collection is ordered again. */
export const retryCollection = (before: Account, context: Ctx): Step => {
  const { total, customer, trouble } = before
  const calmed = retryNoMore(trouble, customer.customer, false)
  if (total.suspendedAtMs === 0 || total.collectingMinor !== 0n || total.outstandingMinor === 0n)
    return { total, parts: [calmed] }
  const ordered = collect(total, customer, context)
  return { total: ordered.total, parts: [calmed, ...ordered.parts] }
}

/** The operator gives up what no running collection may still bring in. */
export const writeOff = (before: Account, context: Ctx): { readonly step: Step; readonly amountMinor: bigint } => {
  const { total, customer } = before
  const { standing, amountMinor } = writtenOff(total)
  if (amountMinor === 0n) return { step: { total, parts: [] }, amountMinor }
  const id = context.freshId()
  const left = { ...standing, debtSinceMs: standing.outstandingMinor === 0n ? 0 : total.debtSinceMs }
  const booked = entry(left, customer.customer, ENTRY.writeOff, amountMinor, id, context.nowMs)
  const postings: Posting[] = [
    { account: receivable(customer.customer), currency: total.currency, amountMinor },
    { account: 'losses', currency: total.currency, amountMinor: -amountMinor },
  ]
  const served = serve(before, booked.total, context)
  return { step: { total: served.total, parts: [{ postings }, ...booked.parts, ...served.parts] }, amountMinor }
}

/** The customer's row, written anew. */
export const putCustomer = (row: CustomerRow): Part => ({ writes: [put(customers, keyOf(row.customer), row)] })
