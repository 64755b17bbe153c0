/**
 * What the words of a payment promise each other, from the words alone:
 *
 * - an MPP countersigns only what the payee approved, under that very notice, and a payee approves an invoice once at a time;
 * - a CPP confirms only what was countersigned, before the notice expired, for exactly the invoice, in the notice's mode, each
 *   invoice once, and says one end of each payment;
 * - refunds were asked for by the payee and countersigned, are of that amount, and are no more than the payment;
 * - a quote is rounded up from its rate, is good for one payment, and is what the customer is charged.
 */
import { CURRENCIES, isCurrency } from '../../../protocol/amount.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { decodeBody } from '../../../protocol/codec.ts'
import type { Body, KindName } from '../../../protocol/kinds.ts'
import { parseFrame } from '../../../protocol/seals.ts'
import { keyText } from '../../../nodes/runtime/sorted-map.ts'
import type { Topology } from '../world.ts'
import type { Complain } from './complaints.ts'
import type { Utterance } from './words.ts'

type Notice = {
  readonly cpp: string
  readonly digest: string
  readonly expiresAtMs: number
  readonly mode: 'micro' | 'macro'
  readonly invoice: string
  readonly payee: string
  readonly txId: string
  readonly amountMinor: bigint
  readonly currency: string
  approved: boolean
  countersigned: boolean
  end: string | undefined
  refundedMinor: bigint
}
type Quote = Body<'fx-quote'> & { prId: string | undefined }

export type PaymentWords = {
  readonly heard: (utterance: Utterance) => void
  /** Has the payee's side approved a payment of this CPP for this txId? */
  readonly isApproved: (cpp: string, txId: Uint8Array) => boolean
  readonly isMicro: (pnId: Uint8Array) => boolean
}

const ENDS: Partial<Record<KindName, string>> = {
  'transfer-confirmation': 'T',
  'delayed-transfer-confirmation': 'DT',
  'payment-outcome': 'outcome',
  'customer-transfer-confirmation': 'T',
  'customer-delayed-transfer-confirmation': 'DT',
  'customer-payment-outcome': 'outcome',
}

export const createPaymentWords = (topology: Topology, complain: Complain): PaymentWords => {
  const refusing = new Set(topology.payees.filter(({ approval }) => approval !== 'approve').map(({ id }) => id))
  const notices = new Map<string, Notice>()
  const approvedTransactions = new Set<string>()
  /** Invoice → the notices that its payee approved and that have no other end than CONFIRMED. */
  const approvals = new Map<string, Set<string>>()
  const confirmed = new Map<string, string>()
  /** What bank notices were about. */
  const booked = new Set<string>()
  const customerEnds = new Map<string, string>()
  const quotes = new Map<string, Quote>()
  const quoteOf = new Map<string, string>()
  const refundRequests = new Map<string, Body<'refund-request'>>()
  const countersignedRefunds = new Set<string>()

  const onNotice = ({ body, host, inner, digest }: Utterance): void => {
    const { pnId, payee, mode, trans } = body as Body<'payment-notice'>
    const frame = parseFrame(trans)
    const invoice = frame.ok ? decodeBody('transaction-details', 1, frame.value.bodyBytes) : frame
    const expiresAtMs = inner.header.expiresAtMs as number
    if (!frame.ok || !invoice.ok || invoice.value.payee !== payee) {
      complain('a notice without its invoice', host, toHex(pnId))
      return
    }
    const { txId, amountMinor, currency } = invoice.value
    if (expiresAtMs > (frame.value.header.expiresAtMs ?? 0))
      complain(
        'a notice outlives its invoice',
        `${host}: by ${expiresAtMs - (frame.value.header.expiresAtMs ?? 0)} ms`,
        toHex(txId),
      )
    notices.set(keyText(pnId), {
      cpp: host,
      digest,
      expiresAtMs,
      mode,
      invoice: `${payee} ${keyText(txId)}`,
      payee,
      txId: toHex(txId),
      amountMinor,
      currency,
      approved: false,
      countersigned: false,
      end: undefined,
      refundedMinor: 0n,
    })
  }

  const onDecision = ({ body, host }: Utterance): void => {
    const { pnId, noticeDigest, decision, payee } = body as Body<'payment-decision'>
    if (decision !== 'approve') return
    const notice = notices.get(keyText(pnId))
    if (notice === undefined || notice.digest !== keyText(noticeDigest) || notice.payee !== payee) {
      complain('approved what was not noticed', `${host}: for ${payee}`)
      return
    }
    notice.approved = true
    const open = approvals.get(notice.invoice) ?? new Set()
    approvals.set(notice.invoice, open.add(keyText(pnId)))
    if (open.size > 1) complain('one invoice approved twice', `${host}: ${open.size} notices`, notice.txId)
    if (refusing.has(payee)) complain('approved against its payee', `${host}: ${payee}`, notice.txId)
  }

  const onCountersigned = ({ body, host }: Utterance): void => {
    const { pnId, noticeDigest, decision } = body as Body<'countersigned-decision'>
    if (decision !== 'approve') return
    const notice = notices.get(keyText(pnId))
    if (notice?.approved !== true || notice.digest !== keyText(noticeDigest)) {
      complain('countersigned what was not approved', host, notice?.txId)
      return
    }
    notice.countersigned = true
    approvedTransactions.add(`${notice.cpp} ${notice.txId}`)
  }

  const onEnd = ({ kind, body, host }: Utterance): void => {
    const { pnId, payee, txId } = body as Body<'payment-outcome'>
    const notice = notices.get(keyText(pnId))
    const end = ENDS[kind] as string
    const hex = toHex(txId)
    if (notice === undefined) {
      // A refusal before the notice: nobody was asked.
      if (end !== 'outcome') complain('confirmed what was not noticed', host, hex)
      return
    }
    if (notice.end !== undefined) complain('two ends of one payment', `${host}: ${notice.end}, then ${end}`, hex)
    notice.end = end
    if (notice.cpp !== host || notice.payee !== payee || notice.txId !== hex)
      complain('an end of another payment', `${host}: to ${payee}`, hex)
    if (end === 'outcome') {
      approvals.get(notice.invoice)?.delete(keyText(pnId))
      return
    }
    const { amountMinor, currency, confirmedAtMs } = body as Body<'delayed-transfer-confirmation'>
    if (!notice.countersigned) complain('confirmed without an approval', `${host}: ${end} to ${payee}`, hex)
    if (notice.amountMinor !== amountMinor || notice.currency !== currency)
      complain('confirmed another amount', `${host}: ${amountMinor} of ${notice.amountMinor} ${currency}`, hex)
    if ((notice.mode === 'micro') !== (end === 'DT')) complain('confirmed in another mode', `${host}: ${end}`, hex)
    if (end === 'DT' && confirmedAtMs >= notice.expiresAtMs)
      complain('confirmed after it expired', `${host}: ${confirmedAtMs - notice.expiresAtMs} ms late`, hex)
    const other = confirmed.get(notice.invoice)
    if (other !== undefined && other !== keyText(pnId)) complain('one invoice paid twice', host, hex)
    confirmed.set(notice.invoice, keyText(pnId))
  }

  const onCustomerEnd = ({ kind, body, host }: Utterance): void => {
    const { prId } = body as Body<'customer-payment-outcome'>
    const end = ENDS[kind] as string
    const name = `${host} ${keyText(prId)}`
    const before = customerEnds.get(name)
    if (before !== undefined) complain('two ends of one payment', `${host} to its customer: ${before}, then ${end}`)
    customerEnds.set(name, end)
    if (end === 'outcome') return
    const { accountAmountMinor, accountCurrency, txId } = body as Body<'customer-transfer-confirmation'>
    const quoteId = quoteOf.get(keyText(prId))
    const quote = quoteId === undefined ? undefined : quotes.get(quoteId)
    if (quote === undefined) return
    if (quote.accountAmountMinor !== accountAmountMinor || quote.accountCurrency !== accountCurrency)
      complain(
        'charged another sum than quoted',
        `${host}: ${accountAmountMinor} for ${quote.accountAmountMinor}`,
        toHex(txId),
      )
    if (quote.prId !== undefined && quote.prId !== keyText(prId)) complain('a quote was used twice', host, toHex(txId))
    quote.prId = keyText(prId)
  }

  const onQuote = ({ body, host }: Utterance): void => {
    const quote = body as Body<'fx-quote'>
    const { currency, accountCurrency, amountMinor, accountAmountMinor, rateNumerator, rateDenominator } = quote
    quotes.set(keyText(quote.quoteId), { ...quote, prId: undefined })
    if (!isCurrency(currency) || !isCurrency(accountCurrency)) return
    const exact = amountMinor * rateNumerator * 10n ** BigInt(CURRENCIES[accountCurrency].scale)
    const unit = rateDenominator * 10n ** BigInt(CURRENCIES[currency].scale)
    const overMinor = accountAmountMinor * unit - exact
    if (overMinor < 0n || overMinor >= unit)
      complain(
        'a quote is not its rate rounded up',
        `${host}: ${amountMinor} ${currency} for ${accountAmountMinor} ${accountCurrency}`,
      )
  }

  const onRefund = ({ body, host }: Utterance): void => {
    const { refundId, pnId, amountMinor, txId } = body as Body<'refund-confirmation'>
    const request = refundRequests.get(keyText(refundId))
    if (request === undefined || !countersignedRefunds.has(keyText(refundId)) || request.amountMinor !== amountMinor)
      complain('refunded what was not asked for', `${host}: ${amountMinor}`, toHex(txId))
    const notice = notices.get(keyText(pnId))
    if (notice === undefined) return
    notice.refundedMinor += amountMinor
    if (notice.refundedMinor > notice.amountMinor || notice.end === 'outcome')
      complain('refunded more than was paid', `${host}: ${notice.refundedMinor} of ${notice.amountMinor}`, toHex(txId))
  }

  /** Whoever sells hands over what a CPP has confirmed, or a bank has booked. */
  const onGoods = ({ body, host }: Utterance): void => {
    const { payee, txId } = body as Body<'goods-release'>
    if (!confirmed.has(`${payee} ${keyText(txId)}`) && !booked.has(keyText(txId)))
      complain('goods released without a confirmation', `${host}: ${payee}`, toHex(txId))
  }

  return {
    isApproved: (cpp, txId) => approvedTransactions.has(`${cpp} ${toHex(txId)}`),
    isMicro: (pnId) => notices.get(keyText(pnId))?.mode === 'micro',
    heard: (utterance) => {
      switch (utterance.kind) {
        case 'payment-request': {
          const { prId, quoteId } = utterance.body as Body<'payment-request'>
          if (quoteId !== undefined) quoteOf.set(keyText(prId), keyText(quoteId))
          return
        }
        case 'payment-notice':
          return onNotice(utterance)
        case 'payment-decision':
          return onDecision(utterance)
        case 'countersigned-decision':
          return onCountersigned(utterance)
        case 'transfer-confirmation':
        case 'delayed-transfer-confirmation':
        case 'payment-outcome':
          return onEnd(utterance)
        case 'customer-transfer-confirmation':
        case 'customer-delayed-transfer-confirmation':
        case 'customer-payment-outcome':
          return onCustomerEnd(utterance)
        case 'account-notice':
          booked.add(keyText((utterance.body as Body<'account-notice'>).reference.id))
          return
        case 'goods-release':
          return onGoods(utterance)
        case 'fx-quote':
          return onQuote(utterance)
        case 'refund-request': {
          const request = utterance.body as Body<'refund-request'>
          refundRequests.set(keyText(request.refundId), request)
          return
        }
        case 'countersigned-refund':
          countersignedRefunds.add(keyText((utterance.body as Body<'countersigned-refund'>).refundId))
          return
        case 'refund-confirmation':
          return onRefund(utterance)
        default:
      }
    },
  }
}
