/** Questions of the control socket, answered from what is committed. Sums are made afresh from the rows. */
import { fromHex } from '../../protocol/bytes.ts'
import { failureCode } from '../../protocol/failures.ts'
import { Fields } from '../../protocol/fields.ts'
import { showId } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { bytesOf, IdArgument, PayeeArgument, payeeOf, readArguments } from '../customer/arguments.ts'
import type { Reader } from '../runtime/node.ts'
import { isFinalState, type MerchantReport, type PaymentLine, type PaymentsPage } from '../runtime/reports.ts'
import { refundLines } from './decide-refund.ts'
import { bookings, catalogue, orders, payees, payments, payouts, refunds, type Payment } from './state.ts'

type Args = Readonly<Record<string, unknown>>
type PayeeFigures = MerchantReport['payees'][number]

/** `report`. */
export const merchantReport = (read: Reader, id: string): MerchantReport => {
  const confirmed = { micro: new Map<string, bigint>(), macro: new Map<string, bigint>() }
  const undecided: Record<string, number> = {}
  for (const [, { payee, mode, amountMinor, state }] of read.scan(payments, [])) {
    if (state === 'confirmed') confirmed[mode].set(payee, (confirmed[mode].get(payee) ?? 0n) + amountMinor)
    else if (!isFinalState(state)) undecided[state] = (undecided[state] ?? 0) + 1
  }
  const refunded = new Map<string, bigint>()
  for (const [, { payee, amountMinor, state }] of read.scan(refunds, [])) {
    if (state === 'confirmed') refunded.set(payee, (refunded.get(payee) ?? 0n) + amountMinor)
    else if (state === 'requested') undecided['refund-requested'] = (undecided['refund-requested'] ?? 0) + 1
  }
  const figures: PayeeFigures[] = []
  for (const [, { payee, mpp, currency }] of read.scan(payees, [])) {
    let paidOutMinor = 0n
    let macroBookedMinor = 0n
    let released = 0
    for (const [, { purpose, amountMinor }] of read.scan(bookings, [payee])) {
      if (purpose === 'payout') paidOutMinor += amountMinor
      if (purpose === 'payment') macroBookedMinor += amountMinor
    }
    for (const [, { state }] of read.scan(orders, [payee])) if (state === 'released') released += 1
    figures.push({
      payee,
      mpp,
      currency,
      confirmedMicroMinor: confirmed.micro.get(payee) ?? 0n,
      confirmedMacroMinor: confirmed.macro.get(payee) ?? 0n,
      paidOutMinor,
      macroBookedMinor,
      released,
      refundedMinor: refunded.get(payee) ?? 0n,
    })
  }
  return { role: 'merchant', id, payees: figures, undecided }
}

const lineOf = ({ pnId, payee, txId, amountMinor, currency, mode, state, cpp, mpp }: Payment): PaymentLine => ({
  pnId: showId(pnId),
  payee,
  txId: showId(txId),
  amountMinor,
  currency,
  mode,
  state,
  cpp,
  mpp,
})

/** `payments {after?, limit?}`: by pnId. */
export const paymentsPage = (read: Reader, args: Args): PaymentsPage => {
  const limit =
    typeof args['limit'] === 'number'
      ? Math.min(LIMITS.maxPageRows, Math.max(1, Math.trunc(args['limit'])))
      : LIMITS.maxPageRows
  const after = typeof args['after'] === 'string' && /^[0-9a-f]{32}$/.test(args['after']) ? args['after'] : undefined
  const lines: PaymentLine[] = []
  for (const [, payment] of read.scan(payments, [], after === undefined ? {} : { from: [fromHex(after)] })) {
    const line = lineOf(payment)
    if (line.pnId === after) continue
    if (lines.length === limit) return { payments: lines, next: lines.at(-1)?.pnId }
    lines.push({ ...line, ...refundLines(read, payment.pnId) })
  }
  return { payments: lines, next: undefined }
}

/** `payees`: who is served here, what they sell, by which rule they take payments. */
export const payeeList = (read: Reader) =>
  [...read.scan(payees, [])].map(
    ([, { payee, payeeKind, displayName, mpp, account, currency, approval, state, code }]) => ({
      payee,
      payeeKind,
      displayName,
      mpp,
      account,
      currency,
      approval,
      state,
      ...(code === undefined ? {} : { code }),
      catalogue: [...read.scan(catalogue, [payee])].map(([, { item, amountMinor }]) => ({ item, amountMinor })),
      payouts: [...read.scan(payouts, [payee])].map(([, { payoutId, advisedMinor, bookedMinor }]) => ({
        payoutId: showId(payoutId),
        ...(advisedMinor === undefined ? {} : { advisedMinor }),
        ...(bookedMinor === undefined ? {} : { bookedMinor }),
      })),
    }),
  )

const OrderShape = Fields({ payee: PayeeArgument, txId: IdArgument })

/** `order {payee, txId}`: SCHEMA_VIOLATION, NOT_FOUND. With the payment that has its lock. */
export const oneOrder = (read: Reader, args: Args) => {
  const shape = readArguments(OrderShape, args)
  if (!shape.ok) return { ok: false, code: shape.failure.code, detail: shape.failure.detail }
  const payee = payeeOf(shape.value.payee)
  if (!payee.ok) return { ok: false, code: payee.failure.code, detail: payee.failure.detail }
  const order = read.get(orders, payee.value, bytesOf(shape.value.txId))
  if (order === undefined) return { ok: false, code: 'NOT_FOUND', detail: 'no such order on this merchant host' }
  const {
    txId,
    state,
    amountMinor,
    currency,
    description,
    pnId,
    requestId,
    bookedMinor,
    offeredAtMs,
    confirmedAtMs,
    bookedAtMs,
    releasedAtMs,
  } = order
  const payment = pnId === undefined ? undefined : read.get(payments, pnId)
  return {
    ok: true,
    payee: order.payee,
    txId: showId(txId),
    state,
    amountMinor,
    currency,
    description,
    ...(requestId === undefined ? {} : { requestId: showId(requestId) }),
    ...(payment === undefined
      ? {}
      : {
          payment: {
            ...lineOf(payment),
            ...refundLines(read, payment.pnId),
            ...(payment.code === undefined ? {} : { code: failureCode(payment.code) ?? payment.code }),
          },
        }),
    ...(bookedMinor === undefined ? {} : { bookedMinor }),
    offeredAtMs,
    ...(confirmedAtMs === undefined ? {} : { confirmedAtMs }),
    ...(bookedAtMs === undefined ? {} : { bookedAtMs }),
    ...(releasedAtMs === undefined ? {} : { releasedAtMs }),
  }
}
