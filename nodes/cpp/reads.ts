/** What a CPP tells of its ledger: counted afresh from the rows at the moment of asking, never from kept totals. */
import { Value } from '@sinclair/typebox/value'
import type { Currency } from '../../protocol/amount.ts'
import { CURRENCIES } from '../../protocol/amount.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { failureCode } from '../../protocol/failures.ts'
import { NodeId, Optional, Type, type Static, type TSchema } from '../../protocol/fields.ts'
import type { Context, Reader } from '../runtime/node.ts'
import { isFinalState, type CppReport, type PaymentLine, type PaymentsPage } from '../runtime/reports.ts'
import { costOf, isExchanged } from './fx.ts'
import { totalOf } from './load.ts'
import type { CppPolicy } from './policy.ts'
import { isRegistered } from './decide-enrolment.ts'
import { refundsOf } from './decide-refund.ts'
import { ENTRY, aliases, customers, ledger, payments, waiting, type PaymentRow, type TotalRow } from './state.ts'
import { batches, pairEntries, pairs, type BatchRow, type PairRow } from './state-pairs.ts'
import { refunds } from './state-refunds.ts'
import { positions } from './state-fx.ts'

type Ctx = Context<CppPolicy>
type Args = Readonly<Record<string, unknown>>
type Sums = { -readonly [K in keyof CppReport['totals'][number]]: CppReport['totals'][number][K] }

type Position = { -readonly [K in keyof CppReport['positions'][number]]: CppReport['positions'][number][K] }
const rowsOf = <Row>(rows: Iterable<readonly [Uint8Array, Row]>): Row[] => [...rows].map(([, row]) => row)

const emptySums = (currency: Currency): Sums => ({
  currency,
  outstandingMinor: 0n,
  collectingMinor: 0n,
  pendingMinor: 0n,
  confirmedMicroMinor: 0n,
  collectedMinor: 0n,
  refundOffsetMinor: 0n,
  writtenOffMinor: 0n,
  confirmedMacroMinor: 0n,
  collections: 0,
  refundedMinor: 0n,
  refundCreditedMinor: 0n,
  refundDueMinor: 0n,
})

/** What a customer's payments and entries say, for the bound. */
type Trace = {
  total: TotalRow | undefined
  lastPaymentMinor: bigint
  /** The last micropayment that was confirmed or notified. */
  lastPrId: Uint8Array | undefined
  offsetMinor: bigint
  notified: number
  notifiedMinor: bigint
}

/**
 * The bound of design §2: below θ as in force at the last admission, or one payment below M. Since nothing but an admission
 * raises the sum, θ of the last one is the one that holds. When one payment makes up the whole sum, it is the last entry
 * with nothing pending, less what refunds took off since, or the one pending with nothing outstanding. In another currency than the
 * invoice's it is below M of the invoice's, and may be over that of the account's.
 */
const breaksBound = (read: Reader, { total, lastPaymentMinor, lastPrId, offsetMinor, notified }: Trace): boolean => {
  if (total === undefined) return false
  const { outstandingMinor, pendingMinor, thresholdMinor, currency } = total
  const sum = outstandingMinor + pendingMinor
  if (sum === 0n || sum < thresholdMinor) return false
  const single =
    pendingMinor === 0n ? lastPaymentMinor - offsetMinor === sum : outstandingMinor === 0n && notified === 1
  if (!single) return true
  const payment = lastPrId === undefined ? undefined : read.get(payments, lastPrId)
  return payment === undefined || !isExchanged(payment)
    ? sum >= CURRENCIES[currency].macroFromMinor
    : payment.mode !== 'micro'
}

export const report = (read: Reader, _args: Args, context: Ctx): CppReport => {
  const sums = new Map<Currency, Sums>()
  const of = (currency: Currency): Sums => {
    let found = sums.get(currency)
    if (found === undefined) sums.set(currency, (found = emptySums(currency)))
    return found
  }
  const held = new Map<Currency, Position>()
  for (const [, { currency, positionMinor }] of read.scan(positions, []))
    positionIn(held, currency).positionMinor = positionMinor
  const traces = new Map<string, Trace>()
  const undecided: Record<string, number> = {}
  let enrolled = 0
  for (const [, { customer, state, currency }] of read.scan(customers, [])) {
    if (state === 'mandating' || state === 'recording') continue
    if (state === 'active') enrolled += 1
    const trace: Trace = {
      total: undefined,
      lastPaymentMinor: 0n,
      lastPrId: undefined,
      offsetMinor: 0n,
      notified: 0,
      notifiedMinor: 0n,
    }
    traces.set(customer, trace)
    const sum = of(currency)
    for (const [, row] of read.scan(ledger, [customer])) {
      switch (row.kind) {
        case 0:
          trace.total = row
          sum.outstandingMinor += row.outstandingMinor
          sum.collectingMinor += row.collectingMinor
          sum.pendingMinor += row.pendingMinor
          break
        case ENTRY.payment:
          trace.lastPaymentMinor = row.amountMinor
          trace.lastPrId = row.id
          trace.offsetMinor = 0n
          sum.confirmedMicroMinor += row.amountMinor
          break
        case ENTRY.collection:
          sum.collectedMinor += row.amountMinor
          sum.collections += 1
          break
        case ENTRY.refundOffset:
          sum.refundOffsetMinor += row.amountMinor
          trace.offsetMinor += row.amountMinor
          break
        case ENTRY.writeOff:
          sum.writtenOffMinor += row.amountMinor
          break
      }
    }
  }
  for (const [, refund] of read.scan(refunds, [])) {
    const { state, accountMinor, creditMinor, credit, prId } = refund
    if (state === 'awaiting') {
      undecided['refund-awaiting'] = (undecided['refund-awaiting'] ?? 0) + 1
      continue
    }
    const paid = read.get(payments, prId)
    if (paid !== undefined && isExchanged(paid)) {
      positionIn(held, paid.currency).refundedMinor += refund.amountMinor
      positionIn(held, costOf(paid).currency).refundedMinor -= accountMinor
    }
    const sum = of(refundCurrency(read, prId, refund.currency))
    sum.refundedMinor += accountMinor
    if (credit === 'booked') sum.refundCreditedMinor += creditMinor
    else sum.refundDueMinor += creditMinor
  }
  for (const [, payment] of read.scan(payments, [])) {
    const { prId, state, mode, customer, amountMinor, currency } = payment
    if (!isFinalState(state)) undecided[state] = (undecided[state] ?? 0) + 1
    if (mode === 'macro' && state === 'confirmed') of(currency).confirmedMacroMinor += amountMinor
    if (state === 'confirmed') addExchange(held, payment)
    const trace = mode === 'micro' && state === 'notified' ? traces.get(customer) : undefined
    if (trace === undefined) continue
    trace.notified += 1
    trace.notifiedMinor += costOf(payment).amountMinor
    if (trace.total?.outstandingMinor === 0n) trace.lastPrId = prId
  }
  return {
    role: 'cpp',
    id: context.self.id,
    customers: enrolled,
    totals: [...sums.values()],
    positions: [...held.values()],
    boundBreaches: [...traces.values()].filter((trace) => breaksBound(read, trace) || breaksPending(trace)).length,
    pairs: rowsOf(read.scan(pairs, [])).map((pair) => pairReport(read, pair)),
    undecided,
  }
}

const positionIn = (held: Map<Currency, Position>, currency: Currency): Position => {
  const known = held.get(currency)
  if (known !== undefined) return known
  const none: Position = {
    currency,
    positionMinor: 0n,
    boughtMinor: 0n,
    soldMinor: 0n,
    refundedMinor: 0n,
    exchangedMinor: 0n,
    owedMinor: 0n,
  }
  held.set(currency, none)
  return none
}

const addExchange = (held: Map<Currency, Position>, payment: PaymentRow): void => {
  if (!isExchanged(payment)) return
  const cost = costOf(payment)
  positionIn(held, payment.currency).soldMinor += payment.amountMinor
  const bought = positionIn(held, cost.currency)
  bought.boughtMinor += cost.amountMinor
  if (payment.mode === 'micro') return
  if (payment.exchange === 'booked') bought.exchangedMinor += cost.amountMinor
  else bought.owedMinor += cost.amountMinor
}

/** Of the account that a refund went to. */
const refundCurrency = (read: Reader, prId: Uint8Array, invoiced: Currency): Currency => {
  const customer = read.get(payments, prId)?.customer
  return (customer === undefined ? undefined : read.get(customers, customer)?.currency) ?? invoiced
}

/** pending = Σ notified micropayments: a total that says otherwise would admit too much. */
const breaksPending = ({ total, notifiedMinor }: Trace): boolean => (total?.pendingMinor ?? 0n) !== notifiedMinor

const pairReport = (read: Reader, pair: PairRow): CppReport['pairs'][number] => {
  const { mpp, currency, lastSeq, payableMinor } = pair
  let entriesMinor = 0n
  for (const [, { amountMinor }] of read.scan(pairEntries, [mpp, currency])) entriesMinor += amountMinor
  let settledMinor = 0n
  let openBatches = 0
  for (const [, { state, totalMinor }] of read.scan(batches, [mpp, currency]))
    if (state === 'settled') settledMinor += totalMinor
    else if (state !== 'cut') openBatches += 1
  return { mpp, currency, lastSeq, entriesMinor, settledMinor, payableMinor, openBatches }
}

const refundLines = (read: Reader, prId: Uint8Array): Pick<PaymentLine, 'refunds'> => {
  const rows = refundsOf(read, prId)
  if (rows.length === 0) return {}
  return {
    refunds: rows.map(({ refundId, amountMinor, state }) => ({ refundId: toHex(refundId), amountMinor, state })),
  }
}

const lineOf = (read: Reader, row: PaymentRow, cpp: string): PaymentLine => ({
  prId: toHex(row.prId),
  ...(row.pnId === undefined ? {} : { pnId: toHex(row.pnId) }),
  payee: row.payee,
  txId: toHex(row.txId),
  amountMinor: row.amountMinor,
  currency: row.currency,
  mode: row.mode,
  state: row.state,
  cpp,
  mpp: row.mpp,
  customer: row.customer,
  ...(row.accountAmountMinor === undefined || row.accountCurrency === undefined
    ? {}
    : { accountAmountMinor: row.accountAmountMinor, accountCurrency: row.accountCurrency }),
  ...refundLines(read, row.prId),
})

const strict = { additionalProperties: false }
const hexId = Type.String({ pattern: '^[0-9a-f]{32}$' })
const pageSize = Type.Integer({ minimum: 1, maximum: 10_000 })
const PageArgs = Type.Object({ after: Optional(hexId), limit: Optional(pageSize) }, strict)
const CustomerArgs = Type.Object(
  { customer: NodeId, after: Optional(Type.Integer({ minimum: 0 })), limit: Optional(pageSize) },
  strict,
)
const PaymentArgs = Type.Object({ paymentId: hexId }, strict)
const DEFAULT_PAGE = 1_000

type Refusal = { readonly ok: false; readonly code: string; readonly detail: string }
const checked = <S extends TSchema, T>(schema: S, args: Args, answer: (value: Static<S>) => T): T | Refusal => {
  if (Value.Check(schema, args)) return answer(args)
  const first = Value.Errors(schema, args).First()
  return {
    ok: false,
    code: 'SCHEMA_VIOLATION',
    detail: `${first?.path.slice(1) ?? ''}: ${first?.message ?? 'does not fit'}`,
  }
}

/** Every payment, in the order of prId; `next` is the `after` of the next page. */
export const paymentsPage = (read: Reader, args: Args, { self }: Ctx): PaymentsPage | Refusal =>
  checked(PageArgs, args, ({ after, limit = DEFAULT_PAGE }) => {
    const from = after === undefined ? {} : { from: [fromHex(after)] }
    // One more on each side: the row of `after` itself, and a look whether there is a next page.
    const rows = rowsOf(read.scan(payments, [], { ...from, limit: limit + 2 }))
      .map((row) => lineOf(read, row, self.id))
      .filter(({ prId }) => prId !== after)
    const page = rows.slice(0, limit)
    return { payments: page, next: rows.length > limit ? page.at(-1)?.prId : undefined }
  })

const paymentDetail = (read: Reader, row: PaymentRow, cpp: string) => ({
  ...lineOf(read, row, cpp),
  code: row.code === undefined ? undefined : failureCode(row.code),
  reason: row.reason,
  pairSeq: row.pairSeq,
  expiresAtMs: row.expiresAtMs,
  receivedAtMs: row.receivedAtMs,
  notifiedAtMs: row.notifiedAtMs,
  postingAtMs: row.postingAtMs,
  decidedAtMs: row.decidedAtMs === 0 ? undefined : row.decidedAtMs,
  exchange: row.exchange,
})

export const payment = (read: Reader, args: Args, { self }: Ctx) =>
  checked(PaymentArgs, args, ({ paymentId }) => {
    const row = read.get(payments, fromHex(paymentId))
    return row === undefined
      ? ({ ok: false, code: 'NOT_FOUND', detail: paymentId } as const)
      : { ok: true, payment: paymentDetail(read, row, self.id) }
  })

const ENTRY_NAMES = { 1: 'payment', 2: 'collection', 3: 'refund-offset', 4: 'write-off' } as const

/** A customer's total by one get, and their entries, one ordered scan, a page at a time. Never the PIN key. */
export const customer = (read: Reader, args: Args) =>
  checked(CustomerArgs, args, ({ customer: id, after = 0, limit = DEFAULT_PAGE }) => {
    const row = read.get(customers, id)
    const total = totalOf(read, id)
    if (row === undefined) return { ok: false, code: 'CUSTOMER_UNKNOWN', detail: id } as const
    const entries = [...read.scan(ledger, [id], { from: [after + 1], limit: limit + 1 })].flatMap(([, entry], i) =>
      entry.kind === 0
        ? []
        : [
            {
              seq: after + 1 + i,
              kind: ENTRY_NAMES[entry.kind],
              amountMinor: entry.amountMinor,
              id: entry.id,
              atMs: entry.atMs,
            },
          ],
    )
    const { state, account, currency, walletHost, alias, wrongPins, pinLockedAtMs, enrolledAtMs } = row
    const page = entries.slice(0, limit)
    return {
      ok: true,
      customer: id,
      state,
      account,
      currency,
      walletHost,
      alias,
      aliasState: alias === undefined ? undefined : read.get(aliases, alias)?.state,
      wrongPins,
      pinLocked: pinLockedAtMs !== 0,
      deviceLost: row.deviceLostAtMs !== undefined,
      enrolledAtMs,
      suspended: (total?.suspendedAtMs ?? 0) !== 0,
      outstandingMinor: total?.outstandingMinor ?? 0n,
      collectingMinor: total?.collectingMinor ?? 0n,
      pendingMinor: total?.pendingMinor ?? 0n,
      thresholdMinor: total?.thresholdMinor ?? 0n,
      waiting: rowsOf(read.scan(waiting, [id])).map(({ prId }) => toHex(prId)),
      entries: page,
      next: entries.length > limit ? page.at(-1)?.seq : undefined,
    }
  })

/** Ids and states of all customers. */
export const customerList = (read: Reader) => ({
  customers: rowsOf(read.scan(customers, [])).map(({ customer: id, state, currency, walletHost, pinLockedAtMs }) => ({
    customer: id,
    state,
    currency,
    walletHost,
    pinLocked: pinLockedAtMs !== 0,
    suspended: (totalOf(read, id)?.suspendedAtMs ?? 0) !== 0,
  })),
})

const batchLine = (batch: BatchRow) => ({
  batchId: batch.batchId,
  mpp: batch.mpp,
  currency: batch.currency,
  seq: batch.seq,
  state: batch.state,
  fromSeq: batch.fromSeq,
  toSeq: batch.toSeq,
  totalMinor: batch.totalMinor,
  openedAtMs: batch.openedAtMs,
  answeredAtMs: batch.answeredAtMs,
  settledAtMs: batch.settledAtMs,
  code: batch.code === undefined ? undefined : failureCode(batch.code),
  disputes: batch.disputes.map(({ code, ...item }) => ({ ...item, code: failureCode(code) })),
})

/** Every settlement batch with its disputed entries. */
export const settlements = (read: Reader) => ({ batches: rowsOf(read.scan(batches, [])).map(batchLine) })

/** What this CPP is registered as. */
export const registration = (read: Reader, _args: Args, context: Ctx) => ({
  registered: isRegistered(read, context),
  aliases: [...read.scan(aliases, [])].map(([, { state, version }]) => ({ state, version })),
})
