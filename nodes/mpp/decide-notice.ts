/**
 * A notice and the payee's decision on it (design §2 rows 4 and 5). The MPP stores and forwards: what it takes from a CPP it
 * owes to the merchant host until the merchant has decided, and what it takes from the merchant host it owes to the CPP until
 * the CPP has ended the payment. It judges no expiry: only the CPP does.
 */
import { modeOf } from '../../protocol/amount.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { decision, on, put, refuse, type Context, type Decision, type Incoming } from '../runtime/node.ts'
import { isFinalState } from '../runtime/reports.ts'
import { keyOf } from '../runtime/table.ts'
import { creditProblem, reserve } from './books.ts'
import { loadNotice, loadPayment, type NoticeSlice, type PaymentSlice } from './load.ts'
import { creditLimit, type MppPolicy } from './policy.ts'
import { LOCKS, NOTICES, outboxKey, PAIRS, type Invoice, type LockRow, type NoticeRow } from './state.ts'

type Problem = { readonly code: FailureCode; readonly detail: string }
const problem = (code: FailureCode, detail: string): Problem => ({ code, detail })

/**
 * Why this MPP rejects a notice; undefined when it does not. In this order: the invoice opens; its chain names this MPP; its
 * payee is the notice's; the mode fits its amount; its payee and host are enrolled here, in its currency; it is neither
 * being paid nor paid; its CPP is not in default; and a micropayment, which the CPP will owe, is within its credit limit.
 */
export const noticeProblem = (
  { payee, lock, pair, defaulted }: NoticeSlice,
  { message }: Incoming<'payment-notice'>,
  { self, policy }: Context<MppPolicy>,
): Problem | undefined => {
  const { body, sender } = message
  const opened = message.nested.trans
  if (!opened.ok) return problem('TRANS_INVALID', opened.failure.code)
  const trans = opened.value
  if (trans.merchant.mpp.id !== self.id) return problem('TRANS_INVALID', 'the chain names another MPP')
  if (trans.body.payee !== body.payee) return problem('TRANS_INVALID', 'the notice names another payee')
  const { amountMinor, currency } = trans.body
  if (modeOf(amountMinor, currency) !== body.mode) return problem('MODE_MISMATCH', body.mode)
  if (payee === undefined || payee.state !== 'active') return problem('TRANS_INVALID', 'the payee is not enrolled here')
  if (payee.host !== trans.merchant.host.id) return problem('TRANS_INVALID', 'the payee is at another host')
  if (payee.currency !== currency) return problem('CURRENCY_UNSUPPORTED', currency)
  if (lock !== undefined)
    return problem(lock.state === 'paid' ? 'TRANS_ALREADY_PAID' : 'TRANS_LOCKED', 'another notice of this invoice')
  if (defaulted) return problem('CPP_DEFAULTED', sender.id)
  // A macropayment is booked by the banks before it is confirmed: nothing comes to be owed.
  if (body.mode === 'macro') return undefined
  const code = creditProblem(pair, amountMinor, creditLimit(policy, sender.id, currency))
  return code === undefined ? undefined : problem(code, sender.id)
}

const invoiceOf = ({ message }: Incoming<'payment-notice'>): Invoice | undefined => {
  const opened = message.nested.trans
  if (!opened.ok || opened.value.body.payee !== message.body.payee) return undefined
  const { txId, amountMinor, currency } = opened.value.body
  return { txId, amountMinor, currency, mode: message.body.mode, host: opened.value.merchant.host.id }
}

const decideNotice = (
  slice: NoticeSlice,
  incoming: Incoming<'payment-notice'>,
  context: Context<MppPolicy>,
): Decision => {
  const { body, sender, digest, frame } = incoming.message
  const { nowMs } = context
  const { pnId, payee } = body
  const known = slice.notice
  if (known !== undefined) return overtakenNotice(known, incoming)

  const invoice = invoiceOf(incoming)
  const arrived = { pnId, payee, cpp: sender.id, noticeDigest: digest, arrivedAtMs: nowMs, ...invoice }
  const refusal = noticeProblem(slice, incoming, context)
  const ids = invoice === undefined ? [pnId] : [pnId, invoice.txId]
  if (refusal !== undefined || invoice === undefined) {
    const code = refusal?.code ?? 'TRANS_INVALID'
    return decision({
      writes: [put<NoticeRow>(NOTICES, pnId, { ...arrived, state: 'declined', code: failureNumber(code) })],
      sends: [
        {
          kind: 'countersigned-decision',
          to: sender.id,
          body: { pnId, payee, noticeDigest: digest, decision: 'reject', code: failureNumber(code) },
          delivery: { until: outboxKey('countersigned', pnId) },
        },
      ],
      record: { event: 'notice-declined', ids, fields: { code, detail: refusal?.detail ?? '' } },
    })
  }

  // Nothing can fail any more.
  const { txId, amountMinor, currency, host, mode } = invoice
  const reserved =
    mode === 'micro'
      ? [put(PAIRS, keyOf(sender.id, currency), reserve(slice.pair, sender.id, currency, amountMinor, nowMs))]
      : []
  return decision({
    writes: [
      put<NoticeRow>(NOTICES, pnId, { ...arrived, state: 'notified' }),
      put<LockRow>(LOCKS, keyOf(payee, txId), { pnId, state: 'locked', sinceMs: nowMs }),
      ...reserved,
    ],
    sends: [
      {
        relay: 'payment-notice',
        frame,
        digest,
        nextHop: { role: 'merchant', host },
        delivery: { until: outboxKey('notice', pnId) },
      },
    ],
    record: { event: 'notice-forwarded', ids },
  })
}

/** The CPP's outcome was here first: the notice adds its invoice to the row and changes nothing else. */
const overtakenNotice = (known: NoticeRow, incoming: Incoming<'payment-notice'>): Decision => {
  const { body, sender, digest } = incoming.message
  if (known.cpp !== sender.id || !isFinalState(known.state)) return refuse('ID_REUSED', 'another notice has this id')
  const invoice = invoiceOf(incoming)
  const fits = invoice !== undefined && known.txId !== undefined && equalBytes(known.txId, invoice.txId)
  return decision({
    writes: fits ? [put(NOTICES, body.pnId, { ...known, ...invoice, noticeDigest: digest })] : [],
    record: { event: 'notice-overtaken', ids: [body.pnId], fields: { state: known.state } },
  })
}

export const onPaymentNotice = on(loadNotice, decideNotice)

/**
 * In this order: the notice is known, and to the host that decides; the decision speaks of what was relayed; the payment is
 * not ended yet, else its stored outcome is the answer.
 */
const decideDecision = (
  { notice }: PaymentSlice,
  { message, ref }: Incoming<'payment-decision'>,
  { nowMs }: Context<MppPolicy>,
): Decision => {
  const { body, sender, frame } = message
  const { pnId, payee, txId, noticeDigest } = body
  if (notice === undefined || notice.host !== sender.id || notice.state === 'declined')
    return refuse('NOT_FOUND', 'no such notice')
  const isSame =
    notice.payee === payee &&
    notice.txId !== undefined &&
    equalBytes(notice.txId, txId) &&
    notice.noticeDigest !== undefined &&
    equalBytes(notice.noticeDigest, noticeDigest)
  if (!isSame) return refuse('NOT_FOUND', 'the decision is not about the notice with this id')
  const ids = [pnId, txId]
  if (isFinalState(notice.state)) {
    const { outcomeFrame, outcomeDigest, host } = notice
    if (outcomeFrame === undefined || outcomeDigest === undefined)
      return refuse('ID_REUSED', 'the payment was decided before')
    return decision({
      // The answer takes over from the relay that waits for a receipt.
      forget: [outboxKey('outcome', pnId)],
      sends: [
        {
          relay: 'payment-outcome',
          frame: outcomeFrame,
          digest: outcomeDigest,
          nextHop: { role: 'merchant', host },
          delivery: { answers: ref },
        },
      ],
      record: { event: 'decision-overtaken', ids, fields: { decision: body.decision, state: notice.state } },
    })
  }
  if (notice.state !== 'notified') return refuse('ID_REUSED', 'the payment was decided before')

  const code = body.decision === 'reject' ? (body.code ?? failureNumber('REJECTED_BY_PAYEE')) : undefined
  return decision({
    writes: [
      put<NoticeRow>(NOTICES, pnId, {
        ...notice,
        state: 'countersigned',
        decision: body.decision,
        decisionRef: ref,
        countersignedAtMs: nowMs,
        ...(code === undefined ? {} : { code }),
      }),
    ],
    sends: [
      {
        kind: 'countersigned-decision',
        to: notice.cpp,
        body: {
          pnId,
          payee,
          noticeDigest,
          decision: body.decision,
          merchantDecision: frame,
          ...(code === undefined ? {} : { code }),
        },
        delivery: { until: outboxKey('countersigned', pnId) },
      },
    ],
    forget: [outboxKey('notice', pnId)],
    record: { event: body.decision === 'approve' ? 'approval-countersigned' : 'rejection-countersigned', ids },
  })
}

export const onPaymentDecision = on(loadPayment, decideDecision)

/**
 * The merchant host will not take the notice at all, or took it to have expired: its refusal, which it stands by, is the
 * payee's rejection, so that the CPP need not wait.
 */
export const noticeRefused = (notice: NoticeRow | undefined, by: string, why: FailureCode, nowMs: number): Decision => {
  if (notice === undefined || notice.state !== 'notified' || notice.noticeDigest === undefined || notice.host !== by)
    return decision()
  const code = failureNumber(why === 'MESSAGE_EXPIRED' ? 'NOTICE_EXPIRED' : 'REJECTED_BY_PAYEE')
  const { pnId, payee, cpp, noticeDigest } = notice
  return decision({
    writes: [
      put<NoticeRow>(NOTICES, pnId, {
        ...notice,
        state: 'countersigned',
        decision: 'reject',
        code,
        countersignedAtMs: nowMs,
      }),
    ],
    sends: [
      {
        kind: 'countersigned-decision',
        to: cpp,
        body: { pnId, payee, noticeDigest, decision: 'reject', code },
        delivery: { until: outboxKey('countersigned', pnId) },
      },
    ],
    record: { event: 'notice-refused-by-host', ids: [pnId], level: 'warn' },
  })
}
