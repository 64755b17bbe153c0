/**
 * An MPP holds the end of a payment under a key of this CPP that was revoked before the merchant host had it: it gets the end
 * again, under the key in force (SPEC "Revocation"). Nothing is decided and nothing kept: the row says how the payment ended.
 */
import {
  decision,
  on,
  refuse,
  type Decision,
  type Incoming,
  type JobEvent,
  type Message,
  type Reader,
} from '../runtime/node.ts'
import { loadNotice } from './load.ts'
import { payeeConfirmation, payeeOutcome } from './messages.ts'

export const SEAL_END_JOB = 'seal-end'
type End = Message<'transfer-confirmation' | 'delayed-transfer-confirmation' | 'payment-outcome'>
type SealEnd = { readonly pnId: Uint8Array; readonly mpp: string; readonly end: End }

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
    return decision({ jobs: [{ name: SEAL_END_JOB, input: { pnId, mpp, end } satisfies SealEnd }] })
  },
)

export const sealEnd =
  (seal: Seal) =>
  (input: unknown): Promise<Uint8Array> =>
    seal((input as SealEnd).end)

export const endSealed = on(
  () => undefined,
  (_: undefined, { input, result }: JobEvent): Decision => {
    const { pnId, mpp } = input as SealEnd
    const body = { pnId, end: result as Uint8Array }
    return decision({ sends: [{ kind: 'notice-record', to: mpp, body, delivery: { once: true } }] })
  },
)
