/**
 * An MPP holds the end of a payment under a key of this CPP that was revoked before the merchant host had it: it gets the end
 * again, under the key in force (SPEC "Revocation"). Nothing is decided and nothing kept: what was said is said again in the same
 * words, so that whoever has it knows it; the row says how the payment ended where the ledger has them no more.
 */
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
import type { FramesOf } from './decide-settlement.ts'
import { loadNotice } from './load.ts'
import { OUTBOX, payeeConfirmation, payeeOutcome, until } from './messages.ts'

export const SEAL_END_JOB = 'seal-end'
type End = Message<'transfer-confirmation' | 'delayed-transfer-confirmation' | 'payment-outcome'>
type SealEnd = {
  readonly pnId: Uint8Array
  readonly mpp: string
  readonly end: End
  /** How it may have been delivered, which is where the runtime keeps it. */
  readonly sent: readonly Delivery[]
}

/** A frame of this host's own, sealed now. */
export type Seal = (message: Message) => Promise<Uint8Array>

/** Order of checks: of this MPP (NOT_FOUND), decided (UNDECIDED). */
export const noticeQuery = on(
  (read: Reader, { message }: Incoming<'notice-query'>) => loadNotice(read, message.body.pnId),
  (slice, { message, ref }): Decision => {
    const { pnId } = message.body
    const mpp = message.sender.id
    if (slice === undefined || slice.payment.mpp !== mpp) return refuse('NOT_FOUND', 'notice')
    const { payment } = slice
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
