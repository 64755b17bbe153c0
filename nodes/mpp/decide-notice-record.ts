/**
 * The end of a payment whose frame may not be forwarded any more: the CPP's key was revoked before the merchant host had it
 * (SPEC "Revocation"). The end itself stands, as it is booked; only its seal is asked for anew, and forwarded in its place.
 */
import { decodeBody } from '../../protocol/codec.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import type { Verified } from '../../protocol/verified.ts'
import { parseFrame } from '../../protocol/seals.ts'
import { decision, on, put, refuse, type Decision, type Incoming, type Reader, type Stale } from '../runtime/node.ts'
import { isFinalState } from '../runtime/reports.ts'
import { NOTICES, outboxKey, type NoticeRow } from './state.ts'

const ENDS = ['transfer-confirmation', 'delayed-transfer-confirmation', 'payment-outcome'] as const
type End = Verified<(typeof ENDS)[number]>

const noticeOfFrame = (read: Reader, { kind, frame }: Stale): NoticeRow | undefined => {
  const end = ENDS.find((one) => one === kind)
  const parsed = parseFrame(frame)
  if (end === undefined || !parsed.ok) return undefined
  const body = decodeBody(end, parsed.value.header.bodyVersion, parsed.value.bodyBytes)
  return body.ok ? read.get(NOTICES, body.value.pnId) : undefined
}

/** A notice whose key is revoked needs nothing: it expires, and its CPP says so. */
export const onStale = on(noticeOfFrame, (notice): Decision =>
  notice === undefined || !isFinalState(notice.state)
    ? decision()
    : decision({
        sends: [{ kind: 'notice-query', to: notice.cpp, body: { pnId: notice.pnId }, delivery: { once: true } }],
        record: { event: 'end-asked-anew', ids: [notice.pnId] },
      }),
)

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

/** In this order: the notice is known and forwarded; the nested frame holds; it is the end that is booked here. */
export const onNoticeRecord = on(
  (read: Reader, { message }: Incoming<'notice-record'>) => read.get(NOTICES, message.body.pnId),
  (notice, { message }: Incoming<'notice-record'>): Decision => {
    const { end } = message.nested
    if (notice?.host === undefined || notice.cpp !== message.sender.id) return refuse('NOT_FOUND', 'no such notice')
    if (!end.ok) return refuse('SCHEMA_VIOLATION', `the end does not hold: ${end.failure.code}`)
    const sealed: End = end.value
    const { host, decisionRef, pnId } = notice
    if (!isSameEnd(notice, sealed)) return refuse('ID_REUSED', 'the payment has another end')
    const { kind, frame, digest } = sealed
    return decision({
      // Only an end that is not confirmed is kept in the row, for a decision that comes late.
      writes:
        kind === 'payment-outcome'
          ? [put(NOTICES, pnId, { ...notice, outcomeFrame: frame, outcomeDigest: digest })]
          : [],
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
  },
)
