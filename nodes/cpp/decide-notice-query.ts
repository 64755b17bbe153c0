/**
 * An MPP holds the end of a payment, or of a refund, under a key of this CPP that was revoked before the merchant host had it: it gets the end
 * again, under the key in force (SPEC "Revocation"). Nothing is decided and nothing kept: what was said is said again in the same
 * words, so that whoever has it knows it; the row says how the payment ended where the ledger has them no more.
 */
import { equalBytes } from '../../protocol/bytes.ts'
import { parseFrame } from '../../protocol/seals.ts'
import {
  decision,
  on,
  refuse,
  type Decision,
  type Delivery,
  type Incoming,
  type JobEvent,
  type Message,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { confirmation } from './decide-refund.ts'
import type { FramesOf } from './decide-settlement.ts'
import { loadNotice } from './load.ts'
import { OUTBOX, payeeConfirmation, payeeOutcome, until } from './messages.ts'
import { refunds } from './state-refunds.ts'

export const SEAL_END_JOB = 'seal-end'
type End = Message<
  'transfer-confirmation' | 'delayed-transfer-confirmation' | 'payment-outcome' | 'refund-confirmation'
>
type SealEnd = {
  readonly pnId: Uint8Array
  readonly mpp: string
  readonly end: End
  /** How it may have been delivered, which is where the runtime keeps it. */
  readonly sent: readonly Delivery[]
}

/** A frame of this host's own, sealed now. */
export type Seal = (message: Message) => Promise<Uint8Array>

/** Order of checks: the notice of this MPP, the refund of that payment (NOT_FOUND), decided (UNDECIDED). */
export const noticeQuery = on(
  (read: Reader, { message }: Incoming<'notice-query'>) => {
    const { pnId, refundId } = message.body
    return {
      payment: loadNotice(read, pnId)?.payment,
      refund: refundId === undefined ? undefined : read.get(refunds, refundId),
    }
  },
  ({ payment, refund }, { message, ref }): Decision => {
    const { pnId, refundId } = message.body
    const mpp = message.sender.id
    if (payment?.mpp !== mpp) return refuse('NOT_FOUND', 'notice')
    if (refundId !== undefined) {
      if (refund === undefined || !equalBytes(refund.prId, payment.prId)) return refuse('NOT_FOUND', 'refund')
      if (refund.state !== 'confirmed') return refuse('UNDECIDED', 'refund')
      const input: SealEnd = { pnId, mpp, end: confirmation(refund, payment), sent: [{ answers: refund.ref }] }
      return decision({ jobs: [{ name: SEAL_END_JOB, input }] })
    }
    if (payment.decidedAtMs === 0) return refuse('UNDECIDED', 'payment')
    const end =
      payment.state === 'confirmed' ? payeeConfirmation(payment, ref) : payeeOutcome(payment, { answers: ref })
    const sent = [until(OUTBOX.outcome, pnId), { answers: keyOf('countersigned-decision', mpp, pnId) }]
    return decision({ jobs: [{ name: SEAL_END_JOB, input: { pnId, mpp, end, sent } satisfies SealEnd }] })
  },
)

export const sealEnd =
  (framesOf: FramesOf, seal: Seal) =>
  async (input: unknown): Promise<Uint8Array> => {
    const { end, sent } = input as SealEnd
    const frames = await framesOf(sent)
    return frames.find((frame) => frame !== undefined && isOfKind(frame, end.kind)) ?? (await seal(end))
  }

/** A refusal, say, is no end. */
const isOfKind = (bytes: Uint8Array, kind: End['kind']): boolean => {
  const frame = parseFrame(bytes)
  return frame.ok && frame.value.header.kind === kind
}

export const endSealed = on(
  () => undefined,
  (_: undefined, { input, result }: JobEvent): Decision => {
    const { pnId, mpp } = input as SealEnd
    const body = { pnId, end: result as Uint8Array }
    return decision({ sends: [{ kind: 'notice-record', to: mpp, body, delivery: { once: true } }] })
  },
)
