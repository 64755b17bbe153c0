/**
 * The end of a payment, as its CPP sealed it: T, DT or outcome (design §2 rows 6 and 7). Each is booked once and forwarded to
 * the merchant host byte for byte: as the answer to its decision where it made one, else until it is receipted.
 */
import { equalBytes } from '../../protocol/bytes.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import {
  combine,
  decision,
  on,
  put,
  refuse,
  remove,
  type Context,
  type Decision,
  type Incoming,
  type Reader,
} from '../runtime/node.ts'
import { isFinalState } from '../runtime/reports.ts'
import { keyOf } from '../runtime/table.ts'
import { closeBooks, openBooks, release, type BookSlice } from './books.ts'
import { bookEntry, type Booking } from './entries.ts'
import { loadEntries, loadPayment, type PaymentSlice } from './load.ts'
import type { MppPolicy } from './policy.ts'
import { reconcile } from './reconciliation.ts'
import { LOCKS, NOTICES, outboxKey, PAIRS, type LockRow, type NoticeRow } from './state.ts'

/**
 * T. In this order: the notice is known, and of this CPP; it is a macropayment; payee, invoice and amount are the notice's;
 * it is not ended; its payee approved it.
 */
const transferProblem = (
  notice: NoticeRow | undefined,
  { message }: Incoming<'transfer-confirmation'>,
): { readonly code: FailureCode; readonly detail: string } | undefined => {
  const { body, sender } = message
  if (notice === undefined || notice.cpp !== sender.id || notice.txId === undefined)
    return { code: 'NOT_FOUND', detail: 'no such notice' }
  if (notice.mode !== 'macro') return { code: 'MODE_MISMATCH', detail: 'the notice is of a micropayment' }
  if (notice.payee !== body.payee || !equalBytes(notice.txId, body.txId))
    return { code: 'NOT_FOUND', detail: 'the notice is of another invoice' }
  if (notice.amountMinor !== body.amountMinor || notice.currency !== body.currency)
    return { code: 'AMOUNT_INVALID', detail: 'not the amount of the invoice' }
  if (isFinalState(notice.state)) return { code: 'ID_REUSED', detail: 'the payment has another end' }
  if (notice.state !== 'countersigned' || notice.decision !== 'approve')
    return { code: 'NOT_FOUND', detail: 'the payee did not approve' }
  return undefined
}

const decideTransfer = (
  { notice }: PaymentSlice,
  incoming: Incoming<'transfer-confirmation'>,
  { nowMs }: Context<MppPolicy>,
): Decision => {
  const problem = transferProblem(notice, incoming)
  const { body, frame, digest } = incoming.message
  const { pnId, payee, txId } = body
  if (problem !== undefined || notice === undefined)
    return combine(refuse(problem?.code ?? 'NOT_FOUND', problem?.detail), {
      record: { event: 'transfer-confirmation-refused', ids: [pnId, txId], level: 'warn', fields: { ...problem } },
    })
  const { host, decisionRef } = notice
  if (host === undefined || decisionRef === undefined) throw new Error('an approved notice without host or decision')
  return decision({
    writes: [
      put<NoticeRow>(NOTICES, pnId, { ...notice, state: 'confirmed', finalAtMs: nowMs }),
      put<LockRow>(LOCKS, keyOf(payee, txId), { pnId, state: 'paid', sinceMs: nowMs }),
    ],
    forget: [outboxKey('countersigned', pnId)],
    sends: [
      {
        relay: 'transfer-confirmation',
        frame,
        digest,
        nextHop: { role: 'merchant', host },
        delivery: { answers: decisionRef },
      },
    ],
    record: { event: 'payment-confirmed', ids: [pnId, txId] },
  })
}

export const onTransferConfirmation = on(loadPayment, decideTransfer)

const loadDelayed = (read: Reader, { message }: Incoming<'delayed-transfer-confirmation'>): BookSlice =>
  loadEntries(read, message.sender.id, message.body.currency, [message])

const EVENTS = {
  booked: 'payment-confirmed',
  disputed: 'entry-disputed',
  known: 'entry-repeated',
  contradicting: 'entry-contradicted',
} as const satisfies Record<Booking, string>

/** DT. It speaks of this MPP's pair; then it is booked, or held and disputed, by the rules of `books.ts`. */
const decideDelayed = (
  slice: BookSlice,
  { message }: Incoming<'delayed-transfer-confirmation'>,
  context: Context<MppPolicy>,
): Decision => {
  const { body } = message
  if (body.mpp !== context.self.id) return refuse('WRONG_ADDRESSEE', 'an entry of another pair')
  const books = openBooks(slice, context)
  const booking = bookEntry(books, message)
  reconcile(books)
  return combine(
    closeBooks(books),
    booking === 'contradicting' ? refuse('ID_REUSED', 'another entry has this pairSeq') : {},
    {
      record: {
        event: EVENTS[booking],
        ids: [body.pnId, body.txId],
        level: booking === 'booked' || booking === 'known' ? 'info' : 'warn',
        fields: { pairSeq: body.pairSeq },
      },
    },
  )
}

export const onDelayedTransferConfirmation = on(loadDelayed, decideDelayed)

/**
 * An end that is not CONFIRMED. In this order: a notice known is of this CPP and this invoice; a final one has this very end;
 * one that is not known yet keeps the outcome until it comes. Then lock and credit are free again.
 */
const decideOutcome = (
  { notice, pair }: PaymentSlice,
  { message, ref }: Incoming<'payment-outcome'>,
  { nowMs }: Context<MppPolicy>,
): Decision => {
  const { body, sender, frame, digest } = message
  const { pnId, payee, txId, outcome, code } = body
  const receipt = decision({
    sends: [{ kind: 'receipt', to: sender.id, body: { digest }, delivery: { answers: ref } }],
  })
  const ids = [pnId, txId]
  if (notice === undefined)
    return combine(receipt, {
      writes: [
        put<NoticeRow>(NOTICES, pnId, {
          pnId,
          payee,
          txId,
          cpp: sender.id,
          state: outcome,
          code,
          outcomeFrame: frame,
          outcomeDigest: digest,
          arrivedAtMs: nowMs,
          finalAtMs: nowMs,
        }),
      ],
      record: { event: 'outcome-stored', ids, fields: { outcome } },
    })
  if (
    notice.cpp !== sender.id ||
    notice.payee !== payee ||
    (notice.txId !== undefined && !equalBytes(notice.txId, txId))
  )
    return refuse('ID_REUSED', 'the notice with this id is another one')
  if (isFinalState(notice.state))
    return notice.state === outcome
      ? receipt
      : combine(refuse('ID_REUSED', 'the payment has another end'), {
          record: { event: 'outcome-contradicted', ids, level: 'warn', fields: { stored: notice.state, outcome } },
        })

  // Nothing can fail any more.
  const { host, decisionRef, state, currency } = notice
  const wasForwarded = state !== 'declined' && host !== undefined
  return combine(receipt, {
    writes: [
      put<NoticeRow>(NOTICES, pnId, {
        ...notice,
        txId,
        state: outcome,
        code,
        outcomeFrame: frame,
        outcomeDigest: digest,
        finalAtMs: nowMs,
      }),
      ...(wasForwarded ? [remove(LOCKS, keyOf(payee, txId))] : []),
      ...(pair === undefined || currency === undefined
        ? []
        : [put(PAIRS, keyOf(notice.cpp, currency), release(pair, notice))]),
    ],
    forget: [outboxKey('countersigned', pnId), outboxKey('notice', pnId)],
    sends: wasForwarded
      ? [
          {
            relay: 'payment-outcome',
            frame,
            digest,
            nextHop: { role: 'merchant', host },
            delivery: decisionRef === undefined ? { until: outboxKey('outcome', pnId) } : { answers: decisionRef },
          },
        ]
      : [],
    record: { event: `payment-${outcome}`, ids, fields: { code } },
  })
}

export const onPaymentOutcome = on(loadPayment, decideOutcome)
