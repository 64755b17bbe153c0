/**
 * Refunds at an MPP (design §2 "Refund"): the merchant host asks, the payee's money is made sure, the CPP is told to give it to the
 * customer. Invariant: the refunds of a payment that are not refused never add up to more than it; a CPP hears of a refund only once its
 * sum is set aside (micro) or booked to that CPP (macro); a refund ends by the CPP's word alone.
 */
import { sumMinor } from '../../protocol/amount.ts'
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { fail, failureCode, failureNumber, ok, type FailureCode, type Result } from '../../protocol/failures.ts'
import { bankOf } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import {
  combine,
  decision,
  on,
  put,
  refuse,
  type Context,
  type Decision,
  type Incoming,
  type Message,
  type Reader,
} from '../runtime/node.ts'
import { credentialTable } from '../runtime/runtime-tables.ts'
import { keyOf } from '../runtime/table.ts'
import { closeBooks, isEntry, openBooks, type BookSlice, type Books } from './books.ts'
import { bookEntry } from './entries.ts'
import { loadEntries, payeeSlice } from './load.ts'
import { settlementAccount, type MppPolicy } from './policy.ts'
import { reconcile } from './reconciliation.ts'
import { confirmRefund, freeFor, fund, giveBack, rightRefund, setAside } from './refunds.ts'
import { NOTICES, ORDERS, outboxKey, PAYEES, type NoticeRow, type OrderRow, type PayeeRow } from './state.ts'
import { PAYMENT_REFUNDS, REFUNDS, type RefundRow } from './refund-state.ts'

type Ctx = Context<MppPolicy>

/** Refunds of a payment, oldest id first. */
export const refundsOf = (read: Reader, pnId: Uint8Array): readonly RefundRow[] =>
  [...read.scan(PAYMENT_REFUNDS, [pnId])].flatMap(([, { refundId }]) => read.get(REFUNDS, refundId) ?? [])

type RequestSlice = {
  readonly known: RefundRow | undefined
  readonly notice: NoticeRow | undefined
  readonly payee: PayeeRow | undefined
  readonly earlier: readonly RefundRow[]
  /** Of the key that sealed the request. */
  readonly chain: readonly Uint8Array[] | undefined
}
const loadRequest = (read: Reader, { message }: Incoming<'refund-request'>): RequestSlice => {
  const { refundId, pnId, payee } = message.body
  return {
    known: read.get(REFUNDS, refundId),
    notice: read.get(NOTICES, pnId),
    payee: read.get(PAYEES, payee),
    earlier: refundsOf(read, pnId),
    chain: read.get(credentialTable, message.sender.keyId)?.chain,
  }
}

type Terms = {
  readonly notice: NoticeRow & Required<Pick<NoticeRow, 'amountMinor' | 'currency' | 'mode' | 'txId'>>
  readonly payee: PayeeRow
}

/**
 * In this order: the refundId is new (ID_REUSED); the payee is of the host that asks (NOT_FOUND); the payment is known, of this
 * payee and invoice, and confirmed (NOT_FOUND); the currency is its (CURRENCY_UNSUPPORTED); with the refunds before, those refused
 * left out, it is no more than the payment, and they are no more than maxRefundsPerPayment, those refused counted in (REFUND_EXCEEDED).
 */
const requestProblem = (
  { known, notice, payee, earlier }: RequestSlice,
  { body, sender }: Incoming<'refund-request'>['message'],
): Result<Terms> => {
  if (known !== undefined) return fail('ID_REUSED', 'another refund has this id')
  if (payee === undefined || payee.host !== sender.id) return fail('NOT_FOUND', 'no such payee of this host')
  if (notice === undefined || notice.payee !== body.payee || notice.state !== 'confirmed')
    return fail('NOT_FOUND', 'no such payment')
  const { txId, amountMinor, currency, mode } = notice
  if (txId === undefined || amountMinor === undefined || currency === undefined || mode === undefined)
    throw new Error(`payment ${toHex(notice.pnId)} was confirmed without an invoice`)
  if (!equalBytes(txId, body.txId)) return fail('NOT_FOUND', 'the payment is of another invoice')
  if (currency !== body.currency) return fail('CURRENCY_UNSUPPORTED', 'not the currency of the payment')
  const refundedMinor = sumMinor(...earlier.map((row) => (row.state === 'refused' ? 0n : row.amountMinor)))
  if (earlier.length >= LIMITS.maxRefundsPerPayment) return fail('REFUND_EXCEEDED', 'too many refunds of one payment')
  if (refundedMinor + body.amountMinor > amountMinor)
    return fail('REFUND_EXCEEDED', `${amountMinor - refundedMinor} minor units are left`)
  return ok({ notice: { ...notice, txId, amountMinor, currency, mode }, payee })
}

/** Then: what is free is set aside; for what is not, and for a macro payment, the payee's bank is asked first (ACCOUNT_UNKNOWN). */
const decideRequest = (slice: RequestSlice, { message, ref }: Incoming<'refund-request'>, context: Ctx): Decision => {
  const { body, digest, frame, sender } = message
  const { refundId, pnId, amountMinor } = body
  const terms = requestProblem(slice, message)
  if (!terms.ok) return refuse(terms.failure.code, terms.failure.detail)
  const { notice, payee } = terms.value
  const { cpp, currency, mode, txId } = notice
  const taken =
    mode === 'micro'
      ? freeFor(payee, amountMinor)
      : { fromPayableMinor: 0n, fromAccruedMinor: 0n, fromBankMinor: amountMinor }
  const refund: RefundRow = {
    refundId,
    state: 'funding',
    payee: payee.payee,
    pnId,
    txId,
    cpp,
    mode,
    amountMinor,
    currency,
    host: sender.id,
    ref,
    digest,
    ...taken,
    funded: false,
    request: frame,
    ...(slice.chain === undefined ? {} : { chain: slice.chain }),
    arrivedAtMs: context.nowMs,
  }
  const creditAccount =
    mode === 'micro' ? context.policy.operatorAccounts[currency] : settlementAccount(context.policy, cpp, currency)
  if (taken.fromBankMinor > 0n && creditAccount === undefined)
    return refuse('ACCOUNT_UNKNOWN', 'no account is set that the payee could pay a refund to')

  // Nothing can fail any more.
  const books = openBooks(payeeSlice(payee, refund), context)
  books.writes.push(put(PAYMENT_REFUNDS, keyOf(pnId, refundId), { refundId }))
  setAside(books, refund)
  if (taken.fromBankMinor === 0n || creditAccount === undefined) countersign(books, refund)
  else orderFunds(books, refund, payee.account, creditAccount)
  return combine(closeBooks(books), {
    record: {
      event: taken.fromBankMinor === 0n ? 'refund-countersigned' : 'refund-ordered',
      ids: [refundId, pnId, txId],
      fields: { payee: payee.payee, amountMinor, currency, ...taken },
    },
  })
}

export const onRefundRequest = on(loadRequest, decideRequest)

const countersign = (books: Books, refund: RefundRow): void => {
  const { refundId, pnId, payee, cpp, request, chain } = refund
  if (request === undefined) throw new Error(`refund ${toHex(refundId)} has lost its request`)
  const { request: _, chain: __, ...countersigned } = refund
  books.refunds.set(toHex(refundId), { ...countersigned, state: 'countersigned' })
  books.sends.push({
    kind: 'countersigned-refund',
    to: cpp,
    body: { refundId, pnId, payee, request, ...(chain === undefined ? {} : { chain: [...chain] }) },
    delivery: { until: outboxKey('refund', refundId) },
  })
}

/** From the payee's account, under its mandate: to this MPP for a micropayment, to the CPP for a macro payment. */
const orderFunds = (books: Books, refund: RefundRow, debitAccount: string, creditAccount: string): void => {
  const { refundId, fromBankMinor: amountMinor, currency } = refund
  const orderId = books.context.freshId()
  const bank = bankOf(debitAccount)
  books.refunds.set(toHex(refundId), { ...refund, orderId })
  books.writes.push(put<OrderRow>(ORDERS, orderId, { purpose: 'refund', id: refundId, bank }))
  books.sends.push({
    kind: 'transfer-order',
    to: bank,
    body: {
      orderId,
      debitAccount,
      creditAccount,
      amountMinor,
      currency,
      reference: { purpose: 'refund', id: refundId },
    },
    delivery: { until: outboxKey('order', orderId) },
  })
}

export type RefundSlice = { readonly refund: RefundRow; readonly payee: PayeeRow }
/** @throws Error when a refund's payee is gone: rows of payees with payments are never deleted */
export const loadRefund = (read: Reader, refundId: Uint8Array): RefundSlice | undefined => {
  const refund = read.get(REFUNDS, refundId)
  if (refund === undefined) return undefined
  const payee = read.get(PAYEES, refund.payee)
  if (payee === undefined) throw new Error(`refund ${toHex(refundId)} without its payee`)
  return { refund, payee }
}

/** The payee's bank has answered: the CPP is told, or the refund is refused with the bank's code. */
export const fundsAnswered = (
  slice: RefundSlice | undefined,
  orderId: Uint8Array,
  booked: boolean,
  code: number | undefined,
  context: Ctx,
): Decision => {
  if (slice === undefined || slice.refund.state !== 'funding') return decision()
  const { refund, payee } = slice
  if (refund.orderId === undefined || !equalBytes(refund.orderId, orderId)) return decision()
  const books = openBooks(payeeSlice(payee, refund), context)
  if (!booked) return refused(books, refund, failureCode(code ?? 0) ?? 'TRANSFER_FAILED')
  const funded: RefundRow = { ...refund, funded: true }
  if (refund.mode === 'micro') fund(books, funded)
  countersign(books, funded)
  return combine(closeBooks(books), {
    record: { event: 'refund-countersigned', ids: [refund.refundId, refund.pnId, orderId] },
  })
}

/** The refund will not be: its row, the payee's money, and the merchant host's answer. */
const refused = (books: Books, refund: RefundRow, code: FailureCode): Decision => {
  const { refundId, pnId, host, digest, ref, mode, payee, amountMinor } = refund
  const { request: _, chain: __, ...ended } = refund
  books.refunds.set(toHex(refundId), {
    ...ended,
    state: 'refused',
    code: failureNumber(code),
    finalAtMs: books.context.nowMs,
  })
  if (mode === 'micro') giveBack(books, refund)
  const answer: Message<'refusal'> = {
    kind: 'refusal',
    to: host,
    body: { digest, code: failureNumber(code), detail: 'the refund was refused' },
    delivery: { answers: ref },
  }
  return combine(closeBooks(books), {
    sends: [answer],
    record: { event: 'refund-refused', ids: [refundId, pnId], level: 'warn', fields: { payee, amountMinor, code } },
  })
}

/**
 * What leaves it open whether the CPP has acted on an earlier sending: bytes, trust and path (1xxx to 3xxx) are judged before it looks
 * whether it has seen the refund.
 */
const leavesUnknown = (code: FailureCode): boolean => failureNumber(code) < 4_000

/** The CPP refuses a countersigned refund. Where that leaves it open, its entry in a batch, or people, decide. */
export const countersignedRefused = (
  slice: RefundSlice,
  { code, by, detail }: { readonly code: FailureCode; readonly by: string; readonly detail: string },
  context: Ctx,
): Decision => {
  const { refund, payee } = slice
  if (refund.state !== 'countersigned') return decision()
  if (by === refund.cpp && !leavesUnknown(code))
    return refused(openBooks(payeeSlice(payee, refund), context), refund, code)
  return decision({
    writes: [put(REFUNDS, refund.refundId, { ...refund, code: failureNumber(code) })],
    record: { event: 'refund-unclear', ids: [refund.refundId], level: 'warn', fields: { code, by, detail } },
  })
}

type ConfirmationSlice = { readonly macro: RefundSlice | undefined; readonly books: BookSlice | undefined }
const loadConfirmation = (read: Reader, { message }: Incoming<'refund-confirmation'>): ConfirmationSlice =>
  isEntry(message)
    ? { macro: undefined, books: loadEntries(read, message.sender.id, message.body.currency, [message]) }
    : { macro: loadRefund(read, message.body.refundId), books: undefined }

/**
 * The CPP's word. In this order: it speaks of this MPP (WRONG_ADDRESSEE); of a micropayment it is an entry of the pair, booked or held and
 * disputed by the rules of `entries.ts` (ID_REUSED where another entry has its number); of a macro payment it is of a refund that this
 * MPP countersigned, of exactly its sum (NOT_FOUND).
 */
const decideRefundConfirmation = (
  { macro, books: slice }: ConfirmationSlice,
  { message }: Incoming<'refund-confirmation'>,
  context: Ctx,
): Decision => {
  const { body, frame, digest } = message
  const { refundId, pnId, txId, amountMinor } = body
  const ids = [refundId, pnId, txId]
  if (body.mpp !== context.self.id) return refuse('WRONG_ADDRESSEE', 'a refund of another MPP')
  if (slice !== undefined && isEntry(message)) {
    const books = openBooks(slice, context)
    const booking = bookEntry(books, message)
    reconcile(books)
    const event =
      booking === 'booked'
        ? 'refund-confirmed'
        : booking === 'known'
          ? 'entry-repeated'
          : booking === 'disputed'
            ? 'entry-disputed'
            : 'entry-contradicted'
    return combine(
      closeBooks(books),
      booking === 'contradicting' ? refuse('ID_REUSED', 'another entry has this pairSeq') : {},
      {
        record: {
          event,
          ids,
          level: booking === 'booked' || booking === 'known' ? 'info' : 'warn',
          fields: { pairSeq: body.pairSeq },
        },
      },
    )
  }
  if (macro === undefined || rightRefund(message, macro.refund, undefined) !== amountMinor)
    return combine(refuse('NOT_FOUND', 'no such refund is countersigned'), {
      record: { event: 'refund-confirmation-refused', ids, level: 'warn', fields: { amountMinor } },
    })
  const books = openBooks(payeeSlice(macro.payee, macro.refund), context)
  confirmRefund(books, macro.refund, { frame, digest })
  return combine(closeBooks(books), { record: { event: 'refund-confirmed', ids } })
}

export const onRefundConfirmation = on(loadConfirmation, decideRefundConfirmation)
