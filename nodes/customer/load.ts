/** What the wallet's decisions read: synchronous, before anything is decided. The vault's PIN keys are read here and nowhere else. */
import type { Currency } from '../../protocol/amount.ts'
import { fail, ok, type Result } from '../../protocol/failures.ts'
import { CurrencyCode, Fields, NodeId, Optional, Text, Type } from '../../protocol/fields.ts'
import { fromUtf8 } from '../../protocol/bytes.ts'
import type { Beside } from '../../protocol/kinds.ts'
import type { ControlEvent, DeadlineEvent, Incoming, JobEvent, Reader, Refused } from '../runtime/node.ts'
import {
  bytesOf,
  IdArgument,
  MoneyArgument,
  PayeeArgument,
  paymentAmount,
  payeeOf,
  readArguments,
} from './arguments.ts'
import { loadLogin, type GuestInput, type LoginSlice } from './guest-session.ts'
import {
  customers,
  enrolments,
  idOfKey,
  payeeRecords,
  payments,
  purchases,
  requests,
  sessions,
  transactions,
  waitingForLogin,
  waitingForRecord,
  type Customer,
  type Enrolment,
  type PayeeRow,
  type PayRequest,
  type Payment,
  type Session,
} from './state.ts'
import type { Vault } from './vault.ts'

const rowsOf = <Row extends object>(entries: Iterable<readonly [Uint8Array, Row]>): readonly Row[] => {
  const rows: Row[] = []
  for (const [, row] of entries) rows.push(row)
  return rows
}

/** A customer's accounts with their PIN keys, in the order of CPP ids. */
export type Account = { readonly enrolment: Enrolment; readonly pinKey: Uint8Array | undefined }
const loadAccounts = (read: Reader, vault: Vault, customer: string): readonly Account[] =>
  rowsOf(read.scan(enrolments, [customer])).map((enrolment) => ({
    enrolment,
    pinKey: vault.get(customer, enrolment.cpp),
  }))

export type PayArguments = {
  readonly customer: string
  readonly payee: string
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly cpp?: string
  readonly item?: string
  /** The most that the customer agrees to be charged, in the account's currency. */
  readonly maxCostMinor?: bigint
  readonly prId: Uint8Array | undefined
}
const PayShape = Fields({
  paymentId: Optional(IdArgument),
  customer: NodeId,
  payee: PayeeArgument,
  amountMinor: MoneyArgument,
  currency: CurrencyCode,
  cpp: Optional(NodeId),
  item: Optional(Text(120)),
  maxCostMinor: Optional(MoneyArgument),
})
const optionalAmount = (argument: unknown): Result<bigint | undefined> =>
  argument === undefined ? ok(undefined) : paymentAmount(argument)
const boundOf = (maxCostMinor: bigint | undefined) => (maxCostMinor === undefined ? {} : { maxCostMinor })

/** SCHEMA_VIOLATION, or AMOUNT_INVALID. */
export const payArguments = (args: unknown): Result<PayArguments> => {
  const shape = readArguments(PayShape, args)
  if (!shape.ok) return shape
  const payee = payeeOf(shape.value.payee)
  if (!payee.ok) return payee
  const amount = paymentAmount(shape.value.amountMinor)
  if (!amount.ok) return amount
  const { paymentId, maxCostMinor, ...rest } = shape.value
  const maxCost = optionalAmount(maxCostMinor)
  if (!maxCost.ok) return maxCost
  const prId = paymentId === undefined ? undefined : bytesOf(paymentId)
  return ok({ ...rest, ...boundOf(maxCost.value), payee: payee.value, amountMinor: amount.value, prId })
}

export type PaySlice = {
  /** The payment that has the id which the caller gave. */
  readonly known: Payment | undefined
  readonly args: Result<PayArguments>
  readonly customer: Customer | undefined
  readonly accounts: readonly Account[]
  readonly login: LoginSlice
  readonly record: PayeeRow | undefined
  /** A lookup of this payee runs under the current login. */
  readonly lookupRuns: boolean
}
export const loadPay =
  (vault: Vault) =>
  (read: Reader, { args }: ControlEvent): PaySlice => {
    const parsed = payArguments(args)
    const login = loadLogin(read)
    if (!parsed.ok)
      return {
        args: parsed,
        known: undefined,
        customer: undefined,
        accounts: [],
        login,
        record: undefined,
        lookupRuns: false,
      }
    const { customer, payee, prId } = parsed.value
    return {
      args: parsed,
      known: prId === undefined ? undefined : read.get(payments, prId),
      customer: read.get(customers, customer),
      accounts: loadAccounts(read, vault, customer),
      login,
      record: read.get(payeeRecords, payee),
      lookupRuns: login.current !== undefined && waitsForRecord(read, login.current.token, payee),
    }
  }

const waitsForRecord = (read: Reader, token: string, payee: string): boolean =>
  [...read.scan(waitingForRecord, [token, payee], { limit: 1 })].length > 0

/** Payments behind a list of pointers; each is there, or the ledger is damaged. */
const paymentsOf = (read: Reader, pointers: readonly { readonly prId: Uint8Array }[]): readonly Payment[] =>
  pointers.map(({ prId }) => {
    const payment = read.get(payments, prId)
    if (payment === undefined) throw new Error('an index names a payment that the ledger does not hold')
    return payment
  })

export type GuestOpenedSlice = {
  readonly session: Session | undefined
  readonly isCurrent: boolean
  readonly waiting: readonly { readonly payment: Payment; readonly record: PayeeRow | undefined }[]
}
export const loadGuestOpened = (read: Reader, { input }: JobEvent): GuestOpenedSlice => {
  const { token } = input as GuestInput
  return {
    session: read.get(sessions, token),
    isCurrent: loadLogin(read).current?.token === token,
    waiting: paymentsOf(read, rowsOf(read.scan(waitingForLogin, [token]))).map((payment) => ({
      payment,
      record: read.get(payeeRecords, payment.payee),
    })),
  }
}

export type PayeeRecordSlice = { readonly session: Session | undefined; readonly waiting: readonly Payment[] }
export const loadPayeeRecord = (read: Reader, { message }: Incoming<'payee-record'>): PayeeRecordSlice => ({
  session: read.get(sessions, message.header.to),
  waiting: paymentsOf(read, rowsOf(read.scan(waitingForRecord, [message.header.to, message.body.payee]))),
})

/** A merchant may leave it out: then nothing says which purchase is answered. */
export const besideOf = (
  message: Incoming<'transaction-details'>['message'],
): Beside<'transaction-details'> | undefined => message.beside

export type InvoiceSlice = {
  readonly payment: Payment | undefined
  readonly session: Session | undefined
  readonly pinKey: Uint8Array | undefined
  /** The payment that already answers this transaction, if any. */
  readonly known: Payment | undefined
}
export const loadInvoice =
  (vault: Vault) =>
  (read: Reader, { message }: Incoming<'transaction-details'>): InvoiceSlice => {
    const { body } = message
    const beside = besideOf(message)
    const pointer = beside === undefined ? undefined : read.get(purchases, beside.purchaseToken)
    const payment = pointer === undefined ? undefined : read.get(payments, pointer.prId)
    const known = read.get(transactions, body.payee, body.txId)
    return {
      payment,
      session: payment?.token === undefined ? undefined : read.get(sessions, payment.token),
      pinKey: payment === undefined ? undefined : vault.get(payment.customer, payment.cpp),
      known: known === undefined ? undefined : read.get(payments, known.prId),
    }
  }

/** A payment with the login of its purchase and the request to pay that it answers. */
export type PaymentSlice = {
  readonly payment: Payment | undefined
  readonly session: Session | undefined
  readonly request: PayRequest | undefined
  /** Another payment waits for the same lookup. */
  readonly othersWait: boolean
}
export const loadPaymentById = (read: Reader, prId: Uint8Array): PaymentSlice => {
  const payment = read.get(payments, prId)
  if (payment === undefined) return { payment, session: undefined, request: undefined, othersWait: false }
  const { token, payee, requestId } = payment
  return {
    payment,
    session: token === undefined ? undefined : read.get(sessions, token),
    request: requestId === undefined ? undefined : read.get(requests, requestId),
    othersWait: token !== undefined && [...read.scan(waitingForRecord, [token, payee], { limit: 2 })].length > 1,
  }
}

type FinalKind =
  'customer-transfer-confirmation' | 'customer-delayed-transfer-confirmation' | 'customer-payment-outcome'
export const loadFinal = (read: Reader, { message }: Incoming<FinalKind>): PaymentSlice =>
  loadPaymentById(read, message.body.prId)

export const loadPaymentDeadline = (read: Reader, { key }: DeadlineEvent): PaymentSlice => loadPaymentById(read, key)

export type GoodsDueSlice = PaymentSlice & { readonly login: LoginSlice }
export const loadGoodsDue = (read: Reader, { key }: DeadlineEvent): GoodsDueSlice => ({
  ...loadPaymentById(read, key),
  login: loadLogin(read),
})

export const loadGoods = (read: Reader, { message }: Incoming<'goods-release'>): PaymentSlice => {
  const pointer = read.get(transactions, message.body.payee, message.body.txId)
  return pointer === undefined
    ? { payment: undefined, session: undefined, request: undefined, othersWait: false }
    : loadPaymentById(read, pointer.prId)
}

const PaymentShape = Fields({ paymentId: IdArgument })
export type PaymentQuerySlice = { readonly args: Result<Uint8Array>; readonly payment: Payment | undefined }
export const loadPaymentQuery = (read: Reader, { args }: Pick<ControlEvent, 'args'>): PaymentQuerySlice => {
  const shape = readArguments(PaymentShape, args)
  if (!shape.ok) return { args: shape, payment: undefined }
  const prId = bytesOf(shape.value.paymentId)
  return { args: ok(prId), payment: read.get(payments, prId) }
}

export type PayRequestArguments = Pick<PayArguments, 'cpp' | 'maxCostMinor'> & {
  readonly requestId: Uint8Array
  readonly accept: boolean
}
const PayRequestShape = Fields({
  requestId: IdArgument,
  accept: Type.Boolean(),
  cpp: Optional(NodeId),
  maxCostMinor: Optional(MoneyArgument),
})
export type PayRequestSlice = {
  readonly args: Result<PayRequestArguments>
  readonly request: PayRequest | undefined
  readonly accounts: readonly Account[]
}
export const loadPayRequest =
  (vault: Vault) =>
  (read: Reader, { args }: ControlEvent): PayRequestSlice => {
    const shape = readArguments(PayRequestShape, args)
    if (!shape.ok) return { args: shape, request: undefined, accounts: [] }
    const { maxCostMinor, ...rest } = shape.value
    const maxCost = optionalAmount(maxCostMinor)
    if (!maxCost.ok) return { args: maxCost, request: undefined, accounts: [] }
    const requestId = bytesOf(shape.value.requestId)
    const request = read.get(requests, requestId)
    return {
      args: ok({ ...rest, ...boundOf(maxCost.value), requestId }),
      request,
      accounts: request === undefined ? [] : loadAccounts(read, vault, request.customer),
    }
  }

/** What a permanent refusal of something in the outbox was about. */
export type RefusedSlice = {
  readonly purchase: PaymentSlice | undefined
  /** Under the login of a refused lookup. */
  readonly lookup:
    { readonly token: string; readonly waiting: readonly Payment[]; readonly session: Session | undefined } | undefined
}
const PURCHASE_KINDS: readonly string[] = [
  'offer-request',
  'order-query',
  'fx-quote-request',
  'payment-request',
  'payment-query',
]
export const loadRefusedPurchase = (read: Reader, { kind, key }: Refused): RefusedSlice => {
  if (kind === 'payee-lookup') {
    const [, token = '', payee = ''] = fromUtf8(key).split('\0')
    return {
      purchase: undefined,
      lookup: {
        token,
        waiting: paymentsOf(read, rowsOf(read.scan(waitingForRecord, [token, payee]))),
        session: read.get(sessions, token),
      },
    }
  }
  return {
    purchase: PURCHASE_KINDS.includes(kind) ? loadPaymentById(read, idOfKey(key)) : undefined,
    lookup: undefined,
  }
}

/**
 * The account that pays: of the CPP that was asked for, else the first that has the currency, else the first, whose CPP will say
 * what it costs. In this order: CUSTOMER_UNKNOWN (not enrolled, or not there), WRONG_PIN (locked: nothing was sent).
 */
export const chooseAccount = (
  accounts: readonly Account[],
  currency: Currency,
  cpp: string | undefined,
): Result<{ readonly enrolment: Enrolment; readonly pinKey: Uint8Array }> => {
  const enrolled = accounts.filter(
    ({ enrolment }) => enrolment.state === 'enrolled' && (cpp === undefined || enrolment.cpp === cpp),
  )
  if (enrolled.length === 0)
    return fail('CUSTOMER_UNKNOWN', cpp === undefined ? 'not enrolled at any CPP' : 'not enrolled at this CPP')
  const fitting = enrolled.filter(({ enrolment }) => enrolment.currency === currency)
  // Where an account in the currency is only locked, no other is charged at some rate in its place.
  for (const { enrolment, pinKey } of fitting.length > 0 ? fitting : enrolled)
    if (pinKey !== undefined) return ok({ enrolment, pinKey })
  return fail('WRONG_PIN', 'the wallet is locked: unlock it first')
}
