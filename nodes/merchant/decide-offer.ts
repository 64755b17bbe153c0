/**
 * Invoices: answered to an anonymous guest, or sent as a request to pay. Invariant: one invoice per txId, and its order row is
 * there before the invoice leaves.
 */
import { isUtf8Text } from '../../protocol/bytes.ts'
import { formatAmount, type Currency } from '../../protocol/amount.ts'
import { fail, ok, type FailureCode, type Result } from '../../protocol/failures.ts'
import { Fields, NodeId, Optional, Text, Type } from '../../protocol/fields.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Body } from '../../protocol/kinds.ts'
import {
  MoneyArgument,
  PayeeArgument,
  paymentAmount,
  payeeOf,
  readArguments,
  replyRefused,
} from '../customer/arguments.ts'
import type { ChainBook } from '../customer/credentials.ts'
import {
  combine,
  decision,
  put,
  refuse,
  remove,
  type Context,
  type ControlEvent,
  type DeadlineEvent,
  type Decision,
  type Incoming,
  type JobEvent,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { descriptionHashOf } from './invoice.ts'
import type { MerchantPolicy } from './policy.ts'
import {
  catalogue,
  DEADLINES,
  idOfKey,
  OPEN,
  openOrders,
  orders,
  outbox,
  payees,
  paymentRequests,
  requestTopic,
  type Item,
  type Order,
  type Payee,
  type PaymentRequest,
} from './state.ts'

type Ctx = Context<MerchantPolicy>

/** What is sold: an item of the catalogue, or an amount agreed otherwise. */
type Wanted = { readonly amountMinor?: bigint; readonly item?: string; readonly text?: string }
type Sale = { readonly amountMinor: bigint; readonly description: string; readonly goods: string }

/** NOT_FOUND (no such item), AMOUNT_INVALID (not the item's price; neither item nor amount). */
const saleOf = (payee: Payee, wanted: Wanted, item: Item | undefined): Result<Sale> => {
  const { amountMinor } = wanted
  if (wanted.item !== undefined) {
    if (item === undefined) return fail('NOT_FOUND', 'no such item')
    if (amountMinor !== undefined && amountMinor !== item.amountMinor)
      return fail('AMOUNT_INVALID', 'not the price of the item')
    return ok({ amountMinor: item.amountMinor, description: `${item.item}, ${payee.displayName}`, goods: item.goods })
  }
  if (amountMinor === undefined) return fail('AMOUNT_INVALID', 'neither item nor amount')
  const description =
    wanted.text ?? `${formatAmount(amountMinor, payee.currency)} ${payee.currency}, ${payee.displayName}`
  return ok({ amountMinor, description, goods: receiptOf(description) })
}
const receiptOf = (description: string): string => `Receipt: ${description}`

type Invoice = { readonly order: Order; readonly trans: Body<'transaction-details'>; readonly salt: Uint8Array }

/** The chain that stands in an enrolled payee's invoices; undefined while its credential awaits renewal under its MPP's new key. */
const chainOf = (beside: ChainBook['beside'], { credential }: Payee): readonly Uint8Array[] | undefined => {
  if (credential === undefined) throw new Error('an enrolled payee without its credential')
  const hostChain = beside(credential)
  return hostChain === undefined ? undefined : [...hostChain, credential]
}
const UNCERTIFIED = "the payee's credential is being renewed"

const invoiceOf = (
  chain: readonly Uint8Array[],
  payee: Payee,
  sale: Sale,
  lifetimeMs: number,
  context: Ctx,
): Invoice => {
  const salt = context.freshBytes(16)
  const { payee: id, currency } = payee
  const txId = context.freshId()
  const nonce = context.freshId()
  const descriptionHash = descriptionHashOf(salt, sale.description)
  return {
    salt,
    trans: {
      txId,
      payee: id,
      amountMinor: sale.amountMinor,
      currency,
      descriptionHash,
      nonce,
      chain: [...chain],
    },
    order: {
      payee: id,
      txId,
      state: 'offered',
      amountMinor: sale.amountMinor,
      currency,
      nonce,
      descriptionHash,
      description: sale.description,
      goods: sale.goods,
      expiresAtMs: context.nowMs + lifetimeMs,
      offeredAtMs: context.nowMs,
    },
  }
}

const expiryOf = ({ payee, txId, expiresAtMs }: Order, { policy }: Ctx) => ({
  name: DEADLINES.order,
  key: keyOf(payee, txId),
  atMs: expiresAtMs + policy.orderGraceMs,
})

const openOrder = (order: Order, open: number, context: Ctx): Partial<Decision> => ({
  writes: [put(orders, keyOf(order.payee, order.txId), order), put(openOrders, keyOf(OPEN), { count: open + 1 })],
  set: [expiryOf(order, context)],
})

export type OfferSlice = { readonly payee: Payee | undefined; readonly item: Item | undefined; readonly open: number }
export const loadOffer = (read: Reader, { message }: Incoming<'offer-request'>): OfferSlice => {
  const { payee, item } = message.body
  return {
    payee: read.get(payees, payee),
    item: item === undefined ? undefined : read.get(catalogue, payee, item),
    open: read.get(openOrders, OPEN)?.count ?? 0,
  }
}

/**
 * Checks, in order: payee served here (NOT_FOUND), room for an order (BUSY), its currency (CURRENCY_UNSUPPORTED), the codes of
 * `saleOf`, a chain that fits the payee's credential (BUSY). Then the invoice, encrypted to the offer's one-time key, to the guest's token.
 */
export const decideOffer =
  (beside: ChainBook['beside']) =>
  ({ payee, item, open }: OfferSlice, { message, ref }: Incoming<'offer-request'>, context: Ctx): Decision => {
    const { purchaseToken, sealingKey, currency, amountMinor, item: name } = message.body
    if (payee?.state !== 'enrolled') return refuse('NOT_FOUND', 'no such payee here')
    if (open >= context.policy.maxOpenOrders) return refuse('BUSY', 'too many open orders')
    if (currency !== payee.currency) return refuse('CURRENCY_UNSUPPORTED')
    const sale = saleOf(
      payee,
      { ...(amountMinor === undefined ? {} : { amountMinor }), ...(name === undefined ? {} : { item: name }) },
      item,
    )
    if (!sale.ok) return refuse(sale.failure.code, sale.failure.detail)
    const chain = chainOf(beside, payee)
    if (chain === undefined) return refuse('BUSY', UNCERTIFIED)
    const token = message.previousHop
    const { order, trans, salt } = invoiceOf(chain, payee, sale.value, context.policy.transLifetimeMs, context)
    return decision(
      combine(openOrder({ ...order, token, sealingKey }, open, context), {
        sends: [
          {
            kind: 'transaction-details',
            to: token,
            body: trans,
            beside: { purchaseToken, description: sale.value.description, salt },
            sealingKey,
            expiresAtMs: order.expiresAtMs,
            delivery: { answers: ref },
          },
        ],
        record: {
          event: 'invoice-made',
          ids: [order.txId],
          fields: { payee: order.payee, amountMinor: order.amountMinor, currency },
        },
      }),
    )
  }

export type ExpirySlice = { readonly order: Order | undefined; readonly open: number }
export const loadExpiry = (read: Reader, { key }: DeadlineEvent): ExpirySlice => ({
  order: orderAt(read, key),
  open: read.get(openOrders, OPEN)?.count ?? 0,
})
/** `key` is keyOf(payee, txId). */
const orderAt = (read: Reader, key: Uint8Array): Order | undefined => read.get(orders, key)

/** Nobody can pay it any more. A locked order waits for its outcome and is looked at again. */
export const decideOrderExpiry = ({ order, open }: ExpirySlice, { key }: DeadlineEvent, context: Ctx): Decision => {
  if (order === undefined || order.state === 'confirmed' || order.state === 'released') return decision()
  if (order.pnId !== undefined)
    return decision({ set: [{ name: DEADLINES.order, key, atMs: context.nowMs + context.policy.orderGraceMs }] })
  return decision({
    writes: [remove(orders, key), put(openOrders, keyOf(OPEN), { count: Math.max(0, open - 1) })],
    record: { event: 'invoice-expired', ids: [order.txId], level: 'debug' },
  })
}

type RequestArguments = Wanted & {
  readonly payee: string
  readonly alias: string
  readonly lifetimeMs?: number
  readonly currency?: Currency
}
const RequestShape = Fields({
  payee: PayeeArgument,
  alias: NodeId,
  amountMinor: Optional(MoneyArgument),
  item: Optional(Text(120)),
  text: Optional(Text(500)),
  lifetimeMs: Optional(Type.Integer({ minimum: 1_000, maximum: LIMITS.maxRequestToPayLifetimeMs })),
})
const requestArguments = (args: unknown): Result<RequestArguments> => {
  const shape = readArguments(RequestShape, args)
  if (!shape.ok) return shape
  const { amountMinor, ...rest } = shape.value
  // What is released for it must fit a message as well: a host with goods that it can not send would stop.
  if (rest.text !== undefined && !isUtf8Text(receiptOf(rest.text), LIMITS.maxTextBytes))
    return fail('SCHEMA_VIOLATION', '/text is too long for its receipt')
  const payee = payeeOf(rest.payee)
  if (!payee.ok) return payee
  if (amountMinor === undefined) return ok({ ...rest, payee: payee.value })
  const amount = paymentAmount(amountMinor)
  return amount.ok ? ok({ ...rest, payee: payee.value, amountMinor: amount.value }) : amount
}
export type RequestSlice = OfferSlice & { readonly args: Result<RequestArguments> }
export const loadRequestPayment = (read: Reader, { args }: ControlEvent): RequestSlice => {
  const parsed = requestArguments(args)
  const open = read.get(openOrders, OPEN)?.count ?? 0
  if (!parsed.ok) return { args: parsed, payee: undefined, item: undefined, open }
  const { payee, item } = parsed.value
  return {
    args: parsed,
    payee: read.get(payees, payee),
    item: item === undefined ? undefined : read.get(catalogue, payee, item),
    open,
  }
}

/** An invoice that travels nested in a request must be sealed before the request is made: a job, since decisions hold no key. */
export type SealInvoiceInput = {
  readonly requestId: Uint8Array
  readonly mpp: string
  readonly alias: string
  readonly description: string
  readonly salt: Uint8Array
  readonly trans: Body<'transaction-details'>
  readonly messageId: Uint8Array
  readonly sentAtMs: number
  readonly expiresAtMs: number
}
export type SealInvoiceResult =
  { readonly ok: true; readonly frame: Uint8Array } | { readonly ok: false; readonly detail: string }
/** The complete frame of an invoice, sealed by this host, for nesting. */
export type SealInvoice = (input: SealInvoiceInput) => Uint8Array

export const sealJobs = (seal: SealInvoice) => ({
  'seal-invoice': async (input: unknown): Promise<SealInvoiceResult> => {
    try {
      return { ok: true, frame: seal(input as SealInvoiceInput) }
    } catch (error) {
      return { ok: false, detail: error instanceof Error ? error.message : String(error) }
    }
  },
})

/**
 * `request-payment`. Checks, in order: arguments (SCHEMA_VIOLATION, AMOUNT_INVALID), payee served here (NOT_FOUND), room for an
 * order (BUSY), the codes of `saleOf`, a chain that fits the payee's credential (BUSY). Answered when the MPP has receipted the request; whether it is paid, the order says.
 */
export const decideRequestPayment =
  (beside: ChainBook['beside']) =>
  ({ args, payee, item, open }: RequestSlice, _: unknown, context: Ctx): Decision => {
    if (!args.ok) return replyRefused(args.failure.code, args.failure.detail)
    if (payee?.state !== 'enrolled') return replyRefused('NOT_FOUND', 'no such payee on this merchant host')
    if (open >= context.policy.maxOpenOrders) return replyRefused('BUSY', 'too many open orders')
    const sale = saleOf(payee, args.value, item)
    if (!sale.ok) return replyRefused(sale.failure.code, sale.failure.detail)
    const chain = chainOf(beside, payee)
    if (chain === undefined) return replyRefused('BUSY', UNCERTIFIED)
    // Nothing can fail from here on.
    const { order, trans, salt } = invoiceOf(
      chain,
      payee,
      sale.value,
      args.value.lifetimeMs ?? context.policy.requestLifetimeMs,
      context,
    )
    const requestId = context.freshId()
    const input: SealInvoiceInput = {
      requestId,
      mpp: payee.mpp,
      alias: args.value.alias,
      description: sale.value.description,
      salt,
      trans,
      messageId: context.freshId(),
      sentAtMs: context.nowMs,
      expiresAtMs: order.expiresAtMs,
    }
    const request: PaymentRequest = {
      requestId,
      payee: order.payee,
      txId: order.txId,
      alias: args.value.alias,
      state: 'sealing',
      startedAtMs: context.nowMs,
    }
    return decision(
      combine(openOrder({ ...order, requestId }, open, context), {
        writes: [put(paymentRequests, keyOf(requestId), request)],
        jobs: [{ name: 'seal-invoice', input }],
        replyOn: requestTopic(requestId),
        record: { event: 'payment-request-made', ids: [requestId, order.txId], fields: { payee: order.payee } },
      }),
    )
  }

/** The invoice is sealed: the request goes to the MPP, which routes it by the alias. */
export const decideInvoiceSealed = (
  request: PaymentRequest | undefined,
  { input, result }: JobEvent,
  context: Ctx,
): Decision => {
  const { requestId, mpp, alias, description, salt, trans } = input as SealInvoiceInput
  const sealed = result as SealInvoiceResult
  if (request === undefined || request.state !== 'sealing') return decision()
  if (!sealed.ok) return decideRequestRefused(request, 'BUSY', sealed.detail, context)
  return decision({
    writes: [put<PaymentRequest>(paymentRequests, keyOf(requestId), { ...request, state: 'sent' })],
    sends: [
      {
        kind: 'request-to-pay',
        to: alias,
        nextHop: { role: 'mpp', host: mpp },
        body: { requestId, alias, trans: sealed.frame, description, salt },
        delivery: { until: outbox.request(requestId) },
      },
    ],
    record: { event: 'request-to-pay-sent', ids: [requestId, trans.txId] },
  })
}

/** What became of a request to pay on its way: the MPP has taken it over, or refuses it for good. */
export const loadPaymentRequest = (read: Reader, key: Uint8Array): PaymentRequest | undefined =>
  read.get(paymentRequests, idOfKey(key))

export const decideRequestDelivered = (request: PaymentRequest | undefined, { nowMs }: Ctx): Decision => {
  if (request === undefined) return decision()
  const { requestId, txId, payee, alias } = request
  return decision({
    writes: [put(paymentRequests, keyOf(requestId), { ...request, state: 'delivered', decidedAtMs: nowMs })],
    announce: [{ topic: requestTopic(requestId), value: { ok: true, requestId, txId, payee, alias } }],
    record: { event: 'request-to-pay-delivered', ids: [requestId, txId] },
  })
}

export const decideRequestRefused = (
  request: PaymentRequest | undefined,
  code: FailureCode,
  detail: string,
  { nowMs }: Ctx,
): Decision => {
  if (request === undefined) return decision()
  const { requestId, txId } = request
  return decision({
    writes: [put(paymentRequests, keyOf(requestId), { ...request, state: 'refused', code, decidedAtMs: nowMs })],
    announce: [{ topic: requestTopic(requestId), value: { ok: false, code, detail } }],
    record: { event: 'request-to-pay-refused', ids: [requestId, txId], level: 'warn', fields: { code } },
  })
}
