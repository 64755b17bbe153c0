/**
 * The end of a payment, or of a refund, whose frame may not be forwarded any more: the CPP's key was revoked before the merchant host had it
 * (SPEC "Revocation"). The end itself stands, as it is booked; only its seal is asked for anew, and forwarded in its place.
 */
import { decodeBody } from '../../protocol/codec.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import type { Verified } from '../../protocol/verified.ts'
import { parseFrame } from '../../protocol/seals.ts'
import { decision, on, put, refuse, type Decision, type Incoming, type Reader, type Stale } from '../runtime/node.ts'
import { isFinalState } from '../runtime/reports.ts'
import { REFUNDS, type RefundRow } from './refund-state.ts'
import { NOTICES, outboxKey, type NoticeRow } from './state.ts'

const ENDS = ['transfer-confirmation', 'delayed-transfer-confirmation', 'payment-outcome'] as const
type End = Verified<(typeof ENDS)[number]>

/** Whom to ask about what ended, where anything did. */
type Ended = { readonly cpp: string; readonly pnId: Uint8Array; readonly refundId?: Uint8Array }

const endOfFrame = (read: Reader, { kind, frame }: Stale): Ended | undefined => {
  const end = ENDS.find((one) => one === kind)
  const parsed = parseFrame(frame)
  if (!parsed.ok || (end === undefined && kind !== 'refund-confirmation')) return undefined
  const { header, bodyBytes } = parsed.value
  if (end === undefined) {
    const body = decodeBody('refund-confirmation', header.bodyVersion, bodyBytes)
    const refund = body.ok ? read.get(REFUNDS, body.value.refundId) : undefined
    return refund?.state === 'confirmed' ? { cpp: refund.cpp, pnId: refund.pnId, refundId: refund.refundId } : undefined
  }
  const body = decodeBody(end, header.bodyVersion, bodyBytes)
  const notice = body.ok ? read.get(NOTICES, body.value.pnId) : undefined
  return notice !== undefined && isFinalState(notice.state) ? { cpp: notice.cpp, pnId: notice.pnId } : undefined
}

/** A notice whose key is revoked needs nothing: it expires, and its CPP says so. */
export const onStale = on(endOfFrame, (ended): Decision => {
  if (ended === undefined) return decision()
  const { cpp, ...body } = ended
  return decision({
    sends: [{ kind: 'notice-query', to: cpp, body, delivery: { once: true } }],
    record: { event: 'end-asked-anew', ids: Object.values(body) },
  })
})

/** Is it the end that is booked here? */
const isSameEnd = (notice: NoticeRow, { kind, body, sender }: End): boolean =>
  sender.id === notice.cpp &&
  equalBytes(body.pnId, notice.pnId) &&
  body.payee === notice.payee &&
  notice.txId !== undefined &&
  equalBytes(body.txId, notice.txId) &&
  (kind === 'payment-outcome'
    ? body.outcome === notice.state
    : notice.state === 'confirmed' &&
      notice.mode === (kind === 'transfer-confirmation' ? 'macro' : 'micro') &&
      body.amountMinor === notice.amountMinor &&
      body.currency === notice.currency)

/** Is it the confirmation that is booked here? */
const isSameRefund = (refund: RefundRow, { body, sender }: Verified<'refund-confirmation'>): boolean =>
  refund.state === 'confirmed' &&
  sender.id === refund.cpp &&
  equalBytes(body.pnId, refund.pnId) &&
  equalBytes(body.txId, refund.txId) &&
  body.payee === refund.payee &&
  body.amountMinor === refund.amountMinor &&
  body.currency === refund.currency &&
  body.pairSeq === refund.pairSeq

const loadRecord = (read: Reader, { message }: Incoming<'notice-record'>) => {
  const { end } = message.nested
  const refundId = end.ok && end.value.kind === 'refund-confirmation' ? end.value.body.refundId : undefined
  return {
    notice: read.get(NOTICES, message.body.pnId),
    refund: refundId === undefined ? undefined : read.get(REFUNDS, refundId),
  }
}

/** In this order: the notice is known and forwarded; the nested frame holds; it is the end that is booked here. */
export const onNoticeRecord = on(loadRecord, ({ notice, refund }, { message }: Incoming<'notice-record'>): Decision => {
  const { end } = message.nested
  if (notice?.host === undefined || notice.cpp !== message.sender.id) return refuse('NOT_FOUND', 'no such notice')
  if (!end.ok) return refuse('SCHEMA_VIOLATION', `the end does not hold: ${end.failure.code}`)
  const { host, decisionRef, pnId } = notice
  const sealed = end.value
  const { frame, digest } = sealed
  if (sealed.kind === 'refund-confirmation') {
    const isSame = refund !== undefined && equalBytes(refund.pnId, pnId) && isSameRefund(refund, sealed)
    if (!isSame) return refuse('ID_REUSED', 'the refund has another end')
    return decision({
      sends: [
        {
          relay: sealed.kind,
          frame,
          digest,
          nextHop: { role: 'merchant', host: refund.host },
          delivery: { answers: refund.ref },
        },
      ],
      record: { event: 'end-forwarded-anew', ids: [refund.refundId, pnId] },
    })
  }
  if (!isSameEnd(notice, sealed)) return refuse('ID_REUSED', 'the payment has another end')
  const { kind } = sealed
  return decision({
    // Only an end that is not confirmed is kept in the row, for a decision that comes late.
    writes:
      kind === 'payment-outcome' ? [put(NOTICES, pnId, { ...notice, outcomeFrame: frame, outcomeDigest: digest })] : [],
    sends: [
      {
        relay: kind,
        frame,
        digest,
        nextHop: { role: 'merchant', host },
        delivery: decisionRef === undefined ? { until: outboxKey('outcome', pnId) } : { answers: decisionRef },
      },
    ],
    record: { event: 'end-forwarded-anew', ids: [pnId] },
  })
})
