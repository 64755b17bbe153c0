/** Questions of the control socket, answered from what is committed. Sums and counts are made afresh from the rows. */
import { showId } from '../../protocol/ids.ts'
import { fromHex } from '../../protocol/bytes.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Reader } from '../runtime/node.ts'
import { isFinalState, type PaymentLine, type PaymentsPage, type WalletReport } from '../runtime/reports.ts'
import { refundLines } from './decide-refund.ts'
import { loadPaymentQuery } from './load.ts'
import { announcementOf, lineOf } from './payment-parts.ts'
import { customers, enrolments, payments, requests, type PayRequest } from './state.ts'
import type { Vault } from './vault.ts'

type Args = Readonly<Record<string, unknown>>

/** `report`. */
export const walletReport = (read: Reader, id: string): WalletReport => {
  const cpps = new Map<string, string[]>()
  for (const [, { customer }] of read.scan(customers, [])) cpps.set(customer, [])
  for (const [, { customer, cpp, state }] of read.scan(enrolments, []))
    if (state === 'enrolled') cpps.get(customer)?.push(cpp)
  const undecided: Record<string, number> = {}
  for (const [, { state }] of read.scan(payments, []))
    if (!isFinalState(state)) undecided[state] = (undecided[state] ?? 0) + 1
  return { role: 'customer', id, customers: [...cpps].map(([customer, held]) => ({ customer, cpps: held })), undecided }
}

const isHexId = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{32}$/.test(value)

/**
 * `payments {after?, limit?, all?}`: by prId. Without `all` only payments that became a payment request: a purchase that ended
 * before one is known to no other node.
 */
export const paymentsPage = (read: Reader, args: Args): PaymentsPage => {
  const limit =
    typeof args['limit'] === 'number'
      ? Math.min(LIMITS.maxPageRows, Math.max(1, Math.trunc(args['limit'])))
      : LIMITS.maxPageRows
  const after = isHexId(args['after']) ? args['after'] : undefined
  const lines: PaymentLine[] = []
  let last: string | undefined
  for (const [, payment] of read.scan(payments, [], after === undefined ? {} : { from: [fromHex(after)] })) {
    const id = showId(payment.prId)
    if (id === after) continue
    if (lines.length === limit) return { payments: lines, next: last }
    if (args['all'] === true || payment.requestedAtMs !== undefined)
      lines.push({ ...lineOf(payment), ...refundLines(read, payment.prId) })
    last = id
  }
  return { payments: lines, next: undefined }
}

/** `customers`: who is here, where they are enrolled, and which wallets are unlocked. */
export const customerList = (vault: Vault, read: Reader) =>
  [...read.scan(customers, [])].map(([, { customer, deviceKey, createdAtMs }]) => ({
    customer,
    deviceKey,
    createdAtMs,
    enrolments: [...read.scan(enrolments, [customer])].map(([, { cpp, account, currency, state, alias, code }]) => ({
      cpp,
      account,
      currency,
      state,
      unlocked: vault.get(customer, cpp) !== undefined,
      ...(alias === undefined ? {} : { alias }),
      ...(code === undefined ? {} : { code }),
    })),
  }))

/** `payment {paymentId}`. SCHEMA_VIOLATION, NOT_FOUND. */
export const onePayment = (read: Reader, args: Args) => {
  const { args: parsed, payment } = loadPaymentQuery(read, { args })
  if (!parsed.ok) return { ok: false, code: parsed.failure.code, detail: parsed.failure.detail }
  if (payment === undefined) return { ok: false, code: 'NOT_FOUND', detail: 'no such payment on this wallet host' }
  const { customer, state, goodsQueries, description, lookupSentAtMs, offerSentAtMs, requestedAtMs } = payment
  return {
    ...announcementOf(payment),
    ...refundLines(read, payment.prId),
    customer,
    state,
    goodsQueries,
    description,
    lookupSentAtMs,
    offerSentAtMs,
    requestedAtMs,
  }
}

/** `requests {customer?}`: requests to pay, oldest first, without their invoices' bytes. */
export const requestList = (read: Reader, args: Args) =>
  [...read.scan(requests, [])]
    .map(([, row]) => row)
    .filter(({ customer }) => args['customer'] === undefined || args['customer'] === customer)
    .toSorted((a, b) => a.receivedAtMs - b.receivedAtMs)
    .map(shownRequest)

const shownRequest = (request: PayRequest) => {
  const { trans: _, nonce: __, ...shown } = request
  return { ...shown, requestId: showId(request.requestId), txId: showId(request.txId) }
}
