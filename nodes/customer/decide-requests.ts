/** Requests to pay: taken for an alias that a customer opted in to, listed, accepted or declined (design §2). */
import { LIMITS } from '../../protocol/limits.ts'
import {
  combine,
  decision,
  put,
  refuse,
  type Context,
  type Decision,
  type DeadlineEvent,
  type Incoming,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { replyRefused } from './arguments.ts'
import { invoiceProblem } from './checks.ts'
import { chooseAccount, type PayRequestSlice } from './load.ts'
import { askForQuote } from './decide-quote.ts'
import { become, paymentRequest, queryAtMs } from './payment-parts.ts'
import type { WalletPolicy } from './policy.ts'
import {
  aliases,
  DEADLINES,
  paymentTopic,
  requests,
  transactions,
  type EnrolmentPointer,
  type Payment,
  type PayRequest,
} from './state.ts'

type Ctx = Context<WalletPolicy>

export const loadRequestToPay = (read: Reader, { message }: Incoming<'request-to-pay'>) => ({
  owner: read.get(aliases, message.body.alias),
  known: read.get(requests, message.body.requestId),
})

/**
 * Checks, in order: the alias is a customer's here (NOT_FOUND), its CPP brings it (WRONG_PATH), the id is new (ID_REUSED), the
 * invoice opens (TRANS_INVALID), the host that asks made it (TRANS_INVALID), the codes of `invoiceProblem`. Then a row and a receipt.
 */
export const decideRequestToPay = (
  { owner, known }: { readonly owner: EnrolmentPointer | undefined; readonly known: PayRequest | undefined },
  { message, ref }: Incoming<'request-to-pay'>,
  context: Ctx,
): Decision => {
  const { body, nested, sender, previousHop, digest } = message
  if (owner === undefined) return refuse('NOT_FOUND')
  if (previousHop !== owner.cpp) return refuse('WRONG_PATH')
  if (known !== undefined) return refuse('ID_REUSED')
  // Not its own code: some of those are never answered.
  if (!nested.trans.ok) return refuse('TRANS_INVALID', nested.trans.failure.code)
  const trans = nested.trans.value
  if (trans.sender.host !== sender.host) return refuse('TRANS_INVALID', 'made by another host than the one that asks')
  const problem = invoiceProblem(trans, body, context.nowMs, LIMITS.maxRequestToPayLifetimeMs)
  if (problem !== undefined) return refuse(problem.code, problem.detail)
  const transExpiresAtMs = trans.header.expiresAtMs
  if (transExpiresAtMs === undefined) throw new Error('an invoice without expiry passed its check')
  const row: PayRequest = {
    requestId: body.requestId,
    customer: owner.customer,
    alias: body.alias,
    cpp: owner.cpp,
    payee: trans.body.payee,
    merchantHost: sender.host,
    mpp: trans.merchant.mpp.id,
    txId: trans.body.txId,
    nonce: trans.body.nonce,
    amountMinor: trans.body.amountMinor,
    currency: trans.body.currency,
    description: body.description,
    trans: body.trans,
    transDigest: trans.digest,
    transExpiresAtMs,
    state: 'open',
    receivedAtMs: context.nowMs,
  }
  return decision({
    writes: [put(requests, keyOf(row.requestId), row)],
    set: [{ name: DEADLINES.request, key: row.requestId, atMs: transExpiresAtMs }],
    sends: [{ kind: 'receipt', to: previousHop, body: { digest }, delivery: { answers: ref } }],
    announce: [{ topic: `requests:${owner.customer}`, value: { requestId: row.requestId } }],
    record: { event: 'request-to-pay-received', ids: [row.requestId, row.txId] },
  })
}

/**
 * `pay-request`. Checks, in order: arguments (SCHEMA_VIOLATION), request known (NOT_FOUND), still open (TRANS_EXPIRED,
 * TRANS_ALREADY_PAID, TRANS_LOCKED, WITHDRAWN by state); then, to accept: not expired (TRANS_EXPIRED), an account (the codes of
 * `chooseAccount`), a cost that was agreed to (COST_EXCEEDED; in another currency it is known later). A decline is answered at once, an acceptance when the payment is final.
 */
export const decidePayRequest = ({ args, request, accounts }: PayRequestSlice, _: unknown, context: Ctx): Decision => {
  const { nowMs } = context
  if (!args.ok) return replyRefused(args.failure.code, args.failure.detail)
  if (request === undefined) return replyRefused('NOT_FOUND', 'no such request to pay')
  if (request.state !== 'open') return replyRefused(NOT_OPEN[request.state], `the request is ${request.state}`)
  const clear = [{ name: DEADLINES.request, key: request.requestId, atMs: request.transExpiresAtMs }]
  if (!args.value.accept)
    return decision({
      writes: [put(requests, keyOf(request.requestId), { ...request, state: 'declined', endedAtMs: nowMs })],
      clear,
      reply: { ok: true, state: 'declined' },
      record: { event: 'request-to-pay-declined', ids: [request.requestId, request.txId] },
    })
  if (nowMs >= request.transExpiresAtMs) return replyRefused('TRANS_EXPIRED')
  const account = chooseAccount(accounts, request.currency, args.value.cpp)
  if (!account.ok) return replyRefused(account.failure.code, account.failure.detail)
  const { maxCostMinor } = args.value
  const accountCurrency = account.value.enrolment.currency
  const isExchange = accountCurrency !== request.currency
  if (!isExchange && maxCostMinor !== undefined && request.amountMinor > maxCostMinor)
    return replyRefused('COST_EXCEEDED')
  // Nothing can fail from here on.
  const { payee, amountMinor, currency, merchantHost, mpp, txId, nonce, transDigest, transExpiresAtMs, description } =
    request
  const invoiced: Payment = {
    prId: context.freshId(),
    customer: request.customer,
    cpp: account.value.enrolment.cpp,
    payee,
    amountMinor,
    currency,
    state: 'requested',
    requestId: request.requestId,
    merchantHost,
    mpp,
    txId,
    nonce,
    transDigest,
    transExpiresAtMs,
    description,
    ...(isExchange ? { accountCurrency } : {}),
    ...(maxCostMinor === undefined ? {} : { maxCostMinor }),
    goodsQueries: 0,
    startedAtMs: nowMs,
  }
  const invoice = { frame: request.trans, digest: transDigest, expiresAtMs: transExpiresAtMs }
  const payment: Payment = { ...invoiced, wakeAtMs: queryAtMs(transExpiresAtMs, context), requestedAtMs: nowMs }
  const next: Partial<Decision> = isExchange
    ? askForQuote(undefined, { ...invoiced, wakeAtMs: nowMs + context.policy.guestPhaseMs }, invoice, context)
    : combine(become(undefined, payment), {
        sends: [paymentRequest(payment, invoice, account.value.pinKey)],
        record: {
          event: 'payment-requested',
          ids: [payment.prId, txId, request.requestId],
          fields: { payee, amountMinor, currency },
        },
      })
  const accepted: PayRequest = { ...request, state: 'accepted', prId: payment.prId, acceptedAtMs: nowMs }
  return decision(
    combine(next, {
      writes: [
        put(requests, keyOf(request.requestId), accepted),
        put(transactions, keyOf(payee, txId), { prId: payment.prId }),
      ],
      clear,
      replyOn: paymentTopic(payment.prId),
    }),
  )
}

const NOT_OPEN = {
  accepted: 'TRANS_LOCKED',
  paid: 'TRANS_ALREADY_PAID',
  declined: 'WITHDRAWN',
  expired: 'TRANS_EXPIRED',
} as const

export const decideRequestExpiry = (request: PayRequest | undefined, _: DeadlineEvent, { nowMs }: Ctx): Decision =>
  request === undefined || request.state !== 'open'
    ? decision()
    : decision({
        writes: [put(requests, keyOf(request.requestId), { ...request, state: 'expired', endedAtMs: nowMs })],
      })
