/**
 * A payment notice: the payee's decision on it. Invariant: an invoice has at most one undecided payment; whoever comes second is
 * rejected, and the lock is opened by the first one's outcome alone.
 */
import { modeOf } from '../../protocol/amount.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { failure, failureNumber, type Failure } from '../../protocol/failures.ts'
import type { Verified } from '../../protocol/verified.ts'
import {
  combine,
  decision,
  put,
  refuse,
  type Context,
  type Decision,
  type Incoming,
  type Reader,
} from '../runtime/node.ts'
import { isFinalState } from '../runtime/reports.ts'
import { keyOf } from '../runtime/table.ts'
import { judge } from './approval.ts'
import type { MerchantPolicy } from './policy.ts'
import { orders, outbox, payees, payments, type Order, type Payee, type Payment } from './state.ts'

type Ctx = Context<MerchantPolicy>
type Trans = Verified<'transaction-details'>

export type NoticeSlice = {
  readonly payee: Payee | undefined
  readonly order: Order | undefined
  readonly payment: Payment | undefined
}
export const loadNotice = (read: Reader, { message }: Incoming<'payment-notice'>): NoticeSlice => {
  const { body, nested } = message
  return {
    payee: read.get(payees, body.payee),
    order: nested.trans.ok ? read.get(orders, nested.trans.value.body.payee, nested.trans.value.body.txId) : undefined,
    payment: read.get(payments, body.pnId),
  }
}

/** Is this the invoice that this host sealed? Its own seal on the same figures: there is one invoice for each order. */
const isOwnInvoice = ({ body, header, sender }: Trans, order: Order, self: string): boolean =>
  sender.host === self &&
  equalBytes(body.nonce, order.nonce) &&
  equalBytes(body.descriptionHash, order.descriptionHash) &&
  header.expiresAtMs === order.expiresAtMs

/** The checks that answer with a rejection, in their order. */
const noticeProblem = (
  trans: Trans,
  order: Order | undefined,
  message: Incoming<'payment-notice'>['message'],
  self: string,
): Failure | undefined => {
  const { payee, mode, pnId } = message.body
  if (trans.body.payee !== payee) return failure('TRANS_INVALID', 'notice and invoice name different payees')
  if (order === undefined) return failure('ORDER_UNKNOWN')
  if (trans.body.amountMinor !== order.amountMinor || trans.body.currency !== order.currency)
    return failure('AMOUNT_INVALID')
  if (!isOwnInvoice(trans, order, self)) return failure('TRANS_INVALID', 'not the invoice of this order')
  if (mode !== modeOf(order.amountMinor, order.currency)) return failure('MODE_MISMATCH')
  if (order.state === 'confirmed' || order.state === 'released') return failure('TRANS_ALREADY_PAID')
  if (order.pnId !== undefined && !equalBytes(order.pnId, pnId)) return failure('TRANS_LOCKED')
  return undefined
}

/**
 * Refused, nothing kept: the payee is served here (NOT_FOUND), by the MPP that brings it (WRONG_PATH). Dropped: an outcome came
 * first. Refused: another CPP's notice has this id (ID_REUSED). Rejected, in order: TRANS_INVALID (the invoice does not open; other payee), ORDER_UNKNOWN, AMOUNT_INVALID,
 * TRANS_INVALID (not this order's invoice), MODE_MISMATCH, TRANS_ALREADY_PAID, TRANS_LOCKED, then the payee's rule
 * (REJECTED_BY_PAYEE). Expiry is the CPP's to judge.
 */
export const decideNotice = (
  { payee, order, payment }: NoticeSlice,
  { message }: Incoming<'payment-notice'>,
  context: Ctx,
): Decision => {
  const { pnId, payee: id, mode } = message.body
  if (payee === undefined) return refuse('NOT_FOUND', 'no such payee here')
  if (message.previousHop !== payee.mpp) return refuse('WRONG_PATH')
  if (payment !== undefined && isFinalState(payment.state)) return decision()
  // The same notice again is met by its stored answer: this is another, by whoever learned the id of the first.
  if (payment !== undefined) return refuse('ID_REUSED', 'another notice has this id')
  if (!message.nested.trans.ok) return refuseInvoice(message, payee)
  const trans = message.nested.trans.value
  const base: Omit<Payment, 'state'> = {
    pnId,
    payee: id,
    txId: trans.body.txId,
    cpp: message.sender.id,
    mpp: payee.mpp,
    mode,
    amountMinor: trans.body.amountMinor,
    currency: trans.body.currency,
    noticedAtMs: context.nowMs,
  }
  const problem = noticeProblem(trans, order, message, context.self.id)
  if (problem !== undefined) return declined(base, message, payee, problem, problem.detail, undefined, context)
  if (order === undefined) throw new Error('a notice of an unknown order passed its checks')
  const verdict = judge(payee.approval, order.amountMinor)
  const locked: Order = { ...order, pnId, lockedAtMs: context.nowMs }
  if (verdict.decision === 'reject')
    return declined(
      base,
      message,
      payee,
      failure('REJECTED_BY_PAYEE'),
      verdict.reason,
      { ...locked, state: 'declined' },
      context,
    )
  const state = verdict.decision === 'none' ? 'noticed' : 'approved'
  return decision(
    combine(
      {
        writes: [
          put<Order>(orders, keyOf(id, order.txId), { ...locked, state }),
          put<Payment>(payments, keyOf(pnId), {
            ...base,
            state,
            ...(state === 'approved' ? { decidedAtMs: context.nowMs } : {}),
          }),
        ],
        record: { event: `payment-${state}`, ids: [pnId, order.txId], fields: { payee: id, mode } },
      },
      state === 'approved' ? sendDecision(message, payee, order.txId, { decision: 'approve' }) : {},
    ),
  )
}

const declined = (
  base: Omit<Payment, 'state'>,
  message: Incoming<'payment-notice'>['message'],
  payee: Payee,
  { code }: Failure,
  reason: string,
  order: Order | undefined,
  { nowMs }: Ctx,
): Decision => {
  const number = failureNumber(code)
  return decision(
    combine(
      {
        writes: [
          put(payments, keyOf(base.pnId), { ...base, state: 'declined', code: number, decidedAtMs: nowMs }),
          ...(order === undefined ? [] : [put(orders, keyOf(order.payee, order.txId), order)]),
        ],
        record: { event: 'payment-declined', ids: [base.pnId, base.txId], fields: { payee: base.payee, code, reason } },
      },
      sendDecision(message, payee, base.txId, {
        decision: 'reject',
        code: number,
        ...(reason === '' ? {} : { reason }),
      }),
    ),
  )
}

type Verdict =
  { readonly decision: 'approve' } | { readonly decision: 'reject'; readonly code: number; readonly reason?: string }

const sendDecision = (
  message: Incoming<'payment-notice'>['message'],
  payee: Payee,
  txId: Uint8Array,
  verdict: Verdict,
): Partial<Decision> => ({
  sends: [
    {
      kind: 'payment-decision',
      to: payee.mpp,
      body: { pnId: message.body.pnId, payee: payee.payee, txId, noticeDigest: message.digest, ...verdict },
      delivery: { until: outbox.decision(message.body.pnId) },
    },
  ],
})

/** An invoice that does not even open has no txId to decide on: the notice itself is refused; the MPP should not have brought it. */
const refuseInvoice = (message: Incoming<'payment-notice'>['message'], { payee }: Payee): Decision =>
  decision({
    refuse: { code: 'TRANS_INVALID', detail: message.nested.trans.ok ? '' : message.nested.trans.failure.code },
    record: { event: 'notice-refused', ids: [message.body.pnId], level: 'warn', fields: { payee } },
  })
