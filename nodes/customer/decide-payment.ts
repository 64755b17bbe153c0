/**
 * From the payment request on: only the CPP's signed answer ends a payment. Invariant: a final state never changes, and no
 * refusal of a frame, lost message or passed time makes one; what is unknown is asked for.
 */
import { modeOf } from '../../protocol/amount.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import {
  combine,
  decision,
  refuse,
  remove,
  type Context,
  type Decision,
  type DeadlineEvent,
  type Incoming,
  type Message,
  type Refused,
} from '../runtime/node.ts'
import { isFinalState, type FinalState } from '../runtime/reports.ts'
import { keyOf } from '../runtime/table.ts'
import { replyRefused } from './arguments.ts'
import { endOwnLogin } from './guest-session.ts'
import type { PaymentQuerySlice, PaymentSlice, RefusedSlice } from './load.ts'
import { endUnrequested } from './decide-quote.ts'
import { announcementOf, become, refusePurchase, requestEnded, settle } from './payment-parts.ts'
import type { WalletPolicy } from './policy.ts'
import { isGuestPhase, outbox, payeeRecords, paymentTopic, type Payment } from './state.ts'

type Ctx = Context<WalletPolicy>

const CONFIRMS = {
  'customer-transfer-confirmation': { confirmation: 'T', mode: 'macro' },
  'customer-delayed-transfer-confirmation': { confirmation: 'DT', mode: 'micro' },
} as const

/**
 * T or DT. Checks, in order: the payment is of this customer, at this CPP, and was requested (NOT_FOUND); it has no other end
 * (ID_REUSED; the same end again changes nothing); payee, transaction, amount, currency and cost are those requested
 * (AMOUNT_INVALID); T for macro, DT for micro (MODE_MISMATCH).
 */
export const decideConfirmation = (
  { payment, session, request }: PaymentSlice,
  { message }: Incoming<'customer-transfer-confirmation' | 'customer-delayed-transfer-confirmation'>,
  context: Ctx,
): Decision => {
  const { body, kind } = message
  const requested = requestedAt(payment, message.sender.id, message.header.to)
  if (requested === undefined) return refuse('NOT_FOUND')
  const { confirmation, mode } = CONFIRMS[kind]
  if (isFinalState(requested.state))
    return requested.confirmation === confirmation ? decision() : contradiction(requested, 'confirmed')
  const agrees =
    body.payee === requested.payee &&
    requested.txId !== undefined &&
    equalBytes(body.txId, requested.txId) &&
    body.amountMinor === requested.amountMinor &&
    body.currency === requested.currency &&
    body.accountAmountMinor === requested.accountAmountMinor &&
    body.accountCurrency === (requested.accountAmountMinor === undefined ? undefined : requested.accountCurrency)
  if (!agrees) return refuse('AMOUNT_INVALID', 'not what was requested')
  if (modeOf(requested.amountMinor, requested.currency) !== mode) return refuse('MODE_MISMATCH')
  const goodsCame = requested.goodsAtMs !== undefined
  const { payment: confirmed, parts } = settle(
    requested,
    {
      state: 'confirmed',
      confirmation,
      ...(message.kind === 'customer-delayed-transfer-confirmation'
        ? { outstandingMinor: message.body.outstandingMinor }
        : {}),
      ...(goodsCame ? {} : { wakeAtMs: context.nowMs + context.policy.firstGoodsQueryMs }),
    },
    context.nowMs,
  )
  return decision(
    combine(parts, goodsCame ? endOwnLogin(session) : {}, requestEnded(request, confirmed, context.nowMs), {
      record: { event: 'payment-confirmed', ids: idsOf(confirmed), fields: { confirmation, cpp: confirmed.cpp } },
    }),
  )
}

/**
 * Every end that is not confirmed. Checks, in order: the payment is of this customer, at this CPP, and was requested
 * (NOT_FOUND); it has no other end (ID_REUSED; the same end again changes nothing).
 */
export const decideOutcome = (
  { payment, session, request }: PaymentSlice,
  { message }: Incoming<'customer-payment-outcome'>,
  context: Ctx,
): Decision => {
  const { outcome, code, detail } = message.body
  const requested = requestedAt(payment, message.sender.id, message.header.to)
  if (requested === undefined) return refuse('NOT_FOUND')
  if (isFinalState(requested.state)) return requested.state === outcome ? decision() : contradiction(requested, outcome)
  const { payment: ended, parts } = settle(requested, { state: outcome, code, detail }, context.nowMs)
  return decision(
    combine(parts, endOwnLogin(session), requestEnded(request, ended, context.nowMs), {
      record: { event: `payment-${outcome}`, ids: idsOf(ended), fields: { code, detail, cpp: ended.cpp } },
    }),
  )
}

const idsOf = ({ prId, txId }: Payment): readonly Uint8Array[] => (txId === undefined ? [prId] : [prId, txId])

/** A CPP knows a payment only from its payment request; a purchase that never got so far is none of its business. */
const requestedAt = (payment: Payment | undefined, cpp: string, customer: string): Payment | undefined =>
  payment === undefined || payment.requestedAtMs === undefined || payment.cpp !== cpp || payment.customer !== customer
    ? undefined
    : payment

/** A second, different end, signed by the CPP: refused, kept in the journal as evidence, and loud. */
const contradiction = (payment: Payment, claimed: FinalState): Decision =>
  decision({
    refuse: { code: 'ID_REUSED', detail: 'the payment has another end' },
    record: {
      event: 'second-end-refused',
      ids: [payment.prId],
      level: 'warn',
      fields: { state: payment.state, claimed },
    },
  })

/** Asks the payment's CPP what became of it, under the host's key: the device that asked for the payment may be lost by now. */
export const paymentQuery = (payment: Payment): Message<'payment-query'> => {
  if (payment.transExpiresAtMs === undefined) throw new Error('a requested payment without its invoice')
  return {
    kind: 'payment-query',
    to: payment.cpp,
    body: { prId: payment.prId, transExpiresAtMs: payment.transExpiresAtMs, customer: payment.customer },
    delivery: { until: outbox.query(payment.prId) },
  }
}

/** The invoice has expired and no answer has come: the CPP is asked until it answers, or says that it never saw the request. */
export const decideQueryDue = ({ payment }: PaymentSlice, { atMs }: DeadlineEvent): Decision => {
  if (payment === undefined || payment.state !== 'requested' || payment.wakeAtMs !== atMs) return decision()
  const { wakeAtMs: _, ...rest } = payment
  return decision(
    combine(become(payment, rest), {
      forget: [outbox.request(payment.prId)],
      sends: [paymentQuery(payment)],
      record: { event: 'payment-asked-for', ids: [payment.prId] },
    }),
  )
}

/** `query`: SCHEMA_VIOLATION, NOT_FOUND; a final payment is answered at once, a requested one when its CPP answers. */
export const decideQuery = ({ args, payment }: PaymentQuerySlice): Decision => {
  if (!args.ok) return replyRefused(args.failure.code, args.failure.detail)
  if (payment === undefined) return replyRefused('NOT_FOUND', 'no such payment on this wallet host')
  if (isFinalState(payment.state)) return decision({ reply: announcementOf(payment) })
  return decision({
    replyOn: paymentTopic(payment.prId),
    ...(payment.state === 'requested' ? { sends: [paymentQuery(payment)] } : {}),
  })
}

/**
 * A permanent refusal of something of a purchase or payment. Before the payment request it ends the purchase. After it, it ends
 * nothing: a frame that could not be opened says nothing of an earlier one that could, so the CPP is asked.
 */
export const decideRefusedPurchase = ({ purchase, lookup }: RefusedSlice, refused: Refused, context: Ctx): Decision => {
  if (lookup !== undefined)
    return decision(
      combine(
        ...lookup.waiting
          .filter(({ state }) => state === 'looking-up')
          .map((payment) =>
            refusePurchase(payment, refused.code, 'the directory does not know the payee', context.nowMs, {
              othersWait: false,
            }),
          ),
        endOwnLogin(lookup.session),
      ),
    )
  const payment = purchase?.payment
  if (payment === undefined) return decision()
  if (refused.kind === 'offer-request' && isGuestPhase(payment.state) && refused.by === payment.merchantHost)
    return decision(
      combine(
        refusePurchase(payment, refused.code, refused.detail, context.nowMs, { othersWait: false }),
        endOwnLogin(purchase?.session),
        { writes: [remove(payeeRecords, keyOf(payment.payee))] },
      ),
    )
  if (refused.kind === 'fx-quote-request' && payment.state === 'quoting' && refused.by === payment.cpp)
    return decision(endUnrequested(purchase as PaymentSlice, payment, refused.code, refused.detail, context.nowMs))
  if (payment.state !== 'requested') return decision()
  const { policy, nowMs } = context
  const record = {
    event: 'request-refused',
    ids: [payment.prId],
    level: 'warn',
    fields: { kind: refused.kind, code: refused.code },
  } as const
  if (refused.kind === 'payment-request') return decision({ sends: [paymentQuery(payment)], record })
  // A refused query is asked again as a new message, later: the CPP may have mended what it refused.
  return decision(combine(become(payment, { ...payment, wakeAtMs: nowMs + policy.longestGoodsQueryMs }), { record }))
}
