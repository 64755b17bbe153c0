/**
 * From `pay` to the payment request: guest login, lookup, offer, and the checks of the invoice. Invariant: whatever fails here
 * ends as a refusal to the caller with nothing paid and nothing sent to a CPP; what is sent to a directory or a merchant says
 * payee, amount, currency, item, and one-time values only.
 */
import {
  combine,
  decision,
  put,
  remove,
  type Context,
  type Decision,
  type DeadlineEvent,
  type Incoming,
  type JobEvent,
} from '../runtime/node.ts'
import { dataCenterAddress, realmOf } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { keyOf } from '../runtime/table.ts'
import { replyRefused } from './arguments.ts'
import { agreementProblem, invoiceProblem } from './checks.ts'
import {
  endLogin,
  endOwnLogin,
  isOpen,
  takeLogin,
  type GuestInput,
  type OpenGuestResult,
  type OpenSession,
  type PublicKeyOf,
} from './guest-session.ts'
import {
  besideOf,
  chooseAccount,
  type GuestOpenedSlice,
  type InvoiceSlice,
  type PayeeRecordSlice,
  type PaymentSlice,
  type PaySlice,
} from './load.ts'
import { orderQuery } from './decide-goods.ts'
import { askForQuote, endUnrequested } from './decide-quote.ts'
import { isFinalState } from '../runtime/reports.ts'
import { announcementOf, become, paymentRequest, queryAtMs, refusePurchase } from './payment-parts.ts'
import type { WalletPolicy } from './policy.ts'
import {
  isGuestPhase,
  outbox,
  payeeRecords,
  paymentTopic,
  purchases,
  sessions,
  transactions,
  waitingForLogin,
  waitingForRecord,
  type PayeeRow,
  type Payment,
} from './state.ts'

type Ctx = Context<WalletPolicy>

/**
 * `pay`. Checks, in order: arguments (SCHEMA_VIOLATION, AMOUNT_INVALID), a given paymentId not used for another payment
 * (ID_REUSED), customer known here (CUSTOMER_UNKNOWN), an account (the codes of `chooseAccount`), a cost that was agreed to (COST_EXCEEDED; in another
 * currency it is known later). Answered when the payment is
 * final. Who gives the paymentId may ask again after a lost connection, and pays once.
 */
export const decidePay = (
  publicKeyOf: PublicKeyOf,
  { args, known, customer, accounts, login, record, lookupRuns }: PaySlice,
  _: unknown,
  context: Ctx,
): Decision => {
  if (!args.ok) return replyRefused(args.failure.code, args.failure.detail)
  const { payee, amountMinor, currency, cpp, item, prId, maxCostMinor } = args.value
  if (known !== undefined) {
    const same = known.customer === args.value.customer && known.payee === payee && known.amountMinor === amountMinor
    if (!same || known.currency !== currency) return replyRefused('ID_REUSED', 'this id is of another payment')
    return decision(
      isFinalState(known.state) ? { reply: announcementOf(known) } : { replyOn: paymentTopic(known.prId) },
    )
  }
  if (customer === undefined) return replyRefused('CUSTOMER_UNKNOWN', 'no such customer on this wallet host')
  const account = chooseAccount(accounts, currency, cpp)
  if (!account.ok) return replyRefused(account.failure.code, account.failure.detail)
  const accountCurrency = account.value.enrolment.currency
  const isExchange = accountCurrency !== currency
  if (!isExchange && maxCostMinor !== undefined && amountMinor > maxCostMinor) return replyRefused('COST_EXCEEDED')
  // Nothing can fail from here on.
  const { session, parts } = takeLogin(publicKeyOf, login, context)
  const payment: Payment = {
    prId: prId ?? context.freshId(),
    customer: customer.customer,
    cpp: account.value.enrolment.cpp,
    payee,
    amountMinor,
    currency,
    state: 'opening',
    ...(item === undefined ? {} : { item }),
    ...(isExchange ? { accountCurrency } : {}),
    ...(maxCostMinor === undefined ? {} : { maxCostMinor }),
    token: session.token,
    goodsQueries: 0,
    wakeAtMs: context.nowMs + context.policy.guestPhaseMs,
    startedAtMs: context.nowMs,
  }
  const next = isOpen(session)
    ? advance(undefined, payment, session, record, lookupRuns, context)
    : waitForLogin(undefined, payment)
  return decision(
    combine(parts, next, {
      replyOn: paymentTopic(payment.prId),
      record: { event: 'purchase-started', ids: [payment.prId], fields: { payee, amountMinor, currency } },
    }),
  )
}

/** Puts a payment in the row of those that a login will serve. */
export const waitForLogin = (
  before: Payment | undefined,
  payment: Payment & { readonly token?: string },
): Partial<Decision> => {
  if (payment.token === undefined) throw new Error('a payment waits for a login that it does not name')
  return combine(become(before, payment), {
    writes: [put(waitingForLogin, keyOf(payment.token, payment.prId), { prId: payment.prId })],
  })
}

/**
 * The next step of a purchase under an open login: its offer request, or first the lookup of the payee. A host of one wallet looks
 * up each time: an offer without a lookup would say that its customer has bought there before.
 */
const advance = (
  before: Payment | undefined,
  payment: Payment,
  session: OpenSession,
  record: PayeeRow | undefined,
  lookupRuns: boolean,
  context: Ctx,
): Partial<Decision> => {
  const fresh =
    session.shared && record !== undefined && context.nowMs - record.recordedAtMs < context.policy.payeeRecordTtlMs
  return fresh
    ? offer(before, payment, session, record, context)
    : lookUp(before, payment, session, lookupRuns, context)
}

const lookUp = (
  before: Payment | undefined,
  payment: Payment,
  { token }: OpenSession,
  runs: boolean,
  { nowMs }: Ctx,
): Partial<Decision> =>
  combine(become(before, { ...payment, state: 'looking-up', lookupSentAtMs: nowMs }), {
    writes: [put(waitingForRecord, keyOf(token, payment.payee, payment.prId), { prId: payment.prId })],
    sends: runs
      ? []
      : [
          {
            kind: 'payee-lookup',
            to: dataCenterAddress(realmOf(payment.payee)),
            nextHop: { role: 'dc', host: dataCenterAddress(realmOf(payment.payee)) },
            body: { payee: payment.payee },
            delivery: { until: outbox.lookup(token, payment.payee) },
            signer: { guest: token },
          },
        ],
  })

const offer = (
  before: Payment | undefined,
  payment: Payment,
  session: OpenSession,
  record: PayeeRow,
  context: Ctx,
): Partial<Decision> => {
  const { payee, currency, amountMinor, item, prId, startedAtMs, wakeAtMs } = payment
  const purchaseToken = context.freshId()
  return combine(
    become(before, {
      ...payment,
      state: 'offering',
      token: session.token,
      purchaseToken,
      merchantHost: record.host,
      mpp: record.mpp,
      offerSentAtMs: context.nowMs,
    }),
    {
      writes: [put(purchases, keyOf(purchaseToken), { prId })],
      sends: [
        {
          kind: 'offer-request',
          to: record.host,
          body: {
            purchaseToken,
            sealingKey: session.sealingKey,
            payee,
            currency,
            amountMinor,
            ...(item === undefined ? {} : { item }),
          },
          delivery: { until: outbox.offer(prId) },
          expiresAtMs: wakeAtMs ?? startedAtMs + context.policy.guestPhaseMs,
          signer: { guest: session.token },
        },
      ],
    },
  )
}

/** A guest login is made, or is not: every purchase and goods query that waits for it goes on, or ends. */
export const decideGuestOpened = (
  { session, isCurrent, waiting }: GuestOpenedSlice,
  { input, result }: JobEvent,
  context: Ctx,
): Decision => {
  const opened = result as OpenGuestResult
  if (session === undefined) {
    const { token } = input as GuestInput
    return opened.ok ? decision({ jobs: [{ name: 'close-guest', input: { token } satisfies GuestInput }] }) : decision()
  }
  if (session.state === 'open') return decision()
  const leaveQueue: Partial<Decision> = {
    writes: waiting.map(({ payment }) => remove(waitingForLogin, keyOf(session.token, payment.prId))),
  }
  if (!opened.ok)
    return decision(
      combine(
        leaveQueue,
        endLogin(session, isCurrent),
        ...waiting
          .filter(({ payment }) => isGuestPhase(payment.state))
          .map(({ payment }) =>
            refusePurchase(payment, 'BUSY', 'no guest login', context.nowMs, { othersWait: false }),
          ),
        { record: { event: 'guest-login-failed', ids: [], level: 'warn', fields: { detail: opened.detail } } },
      ),
    )
  const open: OpenSession = { ...session, state: 'open', sealingKey: opened.sealingKey }
  const lookedUp = new Set<string>()
  const steps = waiting.map(({ payment, record }) => {
    if (payment.state === 'confirmed') return payment.goodsAtMs === undefined ? orderQuery(payment, open) : {}
    if (payment.state !== 'opening') return {}
    const step = advance(payment, payment, open, record, lookedUp.has(payment.payee), context)
    if ((step.sends ?? []).some((send) => 'kind' in send && send.kind === 'payee-lookup')) lookedUp.add(payment.payee)
    return step
  })
  return decision(combine(leaveQueue, { writes: [put(sessions, keyOf(open.token), open)] }, ...steps))
}

/** Checks, in order: someone waits for it under this login; a data center of the payee's realm says it. Else it is dropped. */
export const decidePayeeRecord = (
  { session, waiting }: PayeeRecordSlice,
  { message }: Incoming<'payee-record'>,
  context: Ctx,
): Decision => {
  const { payee, mpp, host } = message.body
  if (!isOpen(session) || waiting.length === 0) return decision()
  if (realmOf(message.sender.id) !== realmOf(payee)) return decision()
  const row: PayeeRow = { payee, mpp, host, recordedAtMs: context.nowMs }
  return decision(
    combine(
      {
        writes: [
          put(payeeRecords, keyOf(payee), row),
          ...waiting.map(({ prId }) => remove(waitingForRecord, keyOf(session.token, payee, prId))),
        ],
        forget: [outbox.lookup(session.token, payee)],
      },
      ...waiting
        .filter(({ state }) => state === 'looking-up')
        .map((payment) => offer(payment, payment, session, row, context)),
    ),
  )
}

/**
 * The invoice. Checks, in order: it answers a purchase that waits for one, and comes from the host that was asked (else dropped:
 * who overheard an offer must not end the purchase), its txId is new (TRANS_INVALID), the
 * codes of `agreementProblem` and `invoiceProblem`, the wallet still unlocked (WRONG_PIN). Then the payment request, or first the
 * question what it will cost.
 */
export const decideInvoice = (
  { payment, session, pinKey, known }: InvoiceSlice,
  { message }: Incoming<'transaction-details'>,
  context: Ctx,
): Decision => {
  const { body, header } = message
  const beside = besideOf(message)
  if (
    beside === undefined ||
    payment === undefined ||
    payment.state !== 'offering' ||
    payment.merchantHost === undefined ||
    message.sender.host !== payment.merchantHost
  )
    return decision()
  const agreed = {
    payee: payment.payee,
    host: payment.merchantHost,
    amountMinor: payment.amountMinor,
    currency: payment.currency,
  }
  const problem =
    known === undefined
      ? (agreementProblem(message, agreed) ?? invoiceProblem(message, beside, context.nowMs, LIMITS.maxTransLifetimeMs))
      : ({ code: 'TRANS_INVALID', detail: 'a transaction id that was used before' } as const)
  if (problem !== undefined) return refused(payment, problem.code, problem.detail)
  if (pinKey === undefined) return refused(payment, 'WRONG_PIN', 'the wallet is locked: unlock it first')
  const expiresAtMs = header.expiresAtMs
  if (expiresAtMs === undefined) throw new Error('an invoice without expiry passed its check')
  const invoiced: Payment = {
    ...payment,
    mpp: message.merchant.mpp.id,
    txId: body.txId,
    nonce: body.nonce,
    transDigest: message.digest,
    transExpiresAtMs: expiresAtMs,
    description: beside.description,
  }
  const invoice = { frame: message.frame, digest: message.digest, expiresAtMs }
  const taken: Partial<Decision> = {
    writes: [put(transactions, keyOf(body.payee, body.txId), { prId: payment.prId })],
    forget: [outbox.offer(payment.prId)],
  }
  if (payment.accountCurrency !== undefined)
    return decision(combine(askForQuote(payment, invoiced, invoice, context), taken))
  const requested: Payment = {
    ...invoiced,
    state: 'requested',
    requestedAtMs: context.nowMs,
    wakeAtMs: queryAtMs(expiresAtMs, context),
  }
  return decision(
    combine(become(payment, requested), taken, {
      sends: [paymentRequest(requested, invoice, pinKey)],
      record: {
        event: 'payment-requested',
        ids: [payment.prId, body.txId],
        fields: { payee: body.payee, amountMinor: body.amountMinor, currency: body.currency, cpp: payment.cpp },
      },
    }),
  )

  function refused(of: Payment, code: Parameters<typeof refusePurchase>[1], detail: string): Decision {
    return decision(
      combine(refusePurchase(of, code, detail, context.nowMs, { othersWait: false }), endOwnLogin(session)),
    )
  }
}

const LATE = {
  opening: { code: 'BUSY', detail: 'no guest login in time' },
  'looking-up': { code: 'UNKNOWN_DESTINATION', detail: 'no directory knows the payee' },
  offering: { code: 'MESSAGE_EXPIRED', detail: 'the payee did not answer the offer request' },
  quoting: { code: 'MESSAGE_EXPIRED', detail: 'the CPP did not answer the request for a quote' },
} as const

/** The guest phase took too long: nothing was paid, and nothing will be. A record that led nowhere is not trusted again. */
export const decideGuestPhaseEnd = (
  { payment, session, request, othersWait }: PaymentSlice,
  { atMs }: DeadlineEvent,
  context: Ctx,
): Decision => {
  if (payment === undefined || !isGuestPhase(payment.state) || payment.wakeAtMs !== atMs) return decision()
  const { code, detail } = LATE[payment.state]
  if (payment.state === 'quoting')
    return decision(endUnrequested({ session, request }, payment, code, detail, context.nowMs))
  return decision(
    combine(
      refusePurchase(payment, code, detail, context.nowMs, { othersWait }),
      endOwnLogin(session),
      payment.state === 'offering' ? { writes: [remove(payeeRecords, keyOf(payment.payee))] } : {},
    ),
  )
}
