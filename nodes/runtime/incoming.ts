/**
 * What waits to be decided, and in which order it is taken. Frames of others stand in fair queues, so that one who floods delays
 * nobody else; what this host itself has to do stands apart and is never behind them.
 *
 * A step takes, in this order: what is the host's own; completions, of which as many wait as there is need; of a step's events a
 * share is left to admissions and to answering BUSY, or a flood of completions would admit nothing; last the frames of those
 * whose frames keep failing, when nothing else waits. Completions are refused for nobody's admissions.
 */
import { originatorOf } from '../../protocol/seals.ts'
import type { Role } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Subject } from '../../protocol/subjects.ts'
import { isAdmission } from './admission.ts'
import { createFairQueue, type Lane } from './fair-queue.ts'
import type { Metrics } from './metrics.ts'
import { createQueue } from './queue.ts'
import { laneOf, type Senders } from './senders.ts'

/** A message from outside, and whom it counts for. */
export type Frame = { readonly subject: Subject; readonly bytes: Uint8Array; readonly from: Lane }

/** `busy`: it is only answered, unless it was seen before. */
export type FrameEvent = { readonly type: 'frame'; readonly frame: Frame; readonly busy: boolean }

export type Incoming<Own> = {
  readonly receive: (subject: Subject, bytes: Uint8Array, nowMs: number) => void
  /** A frame that waited for a credential, once it is there. */
  readonly again: (frame: Frame, nowMs: number) => void
  /** The host's own: job results, commands, its start. Never refused. */
  readonly own: (event: Own) => void
  /** A command that starts something. False when too many wait. */
  readonly start: (event: Own) => boolean
  /** Takes the events of one step, one a call; undefined when there is none. */
  readonly step: () => () => Own | FrameEvent | undefined
  readonly sizes: () => {
    readonly completions: number
    readonly admissions: number
    /** Waits for its BUSY. */
    readonly overflow: number
    readonly shed: number
  }
  readonly size: () => number
}

export type IncomingDeps = {
  readonly role: Role
  readonly roleOf: (host: string) => Role | undefined
  readonly senders: Senders
  readonly metrics: Metrics
  readonly maxAdmissions: number
}

export const createIncoming = <Own extends { readonly type: string }>({
  role,
  roleOf,
  senders,
  metrics,
  maxAdmissions,
}: IncomingDeps): Incoming<Own> => {
  const queue = (items: number, perSender: number) =>
    createFairQueue<Frame>({ items, bytes: LIMITS.maxQueuedBytes, perSender })
  // Bounded by what makes them: jobs by the decisions that order them, commands by `maxPendingCommands`.
  const owned = createQueue<Own>(Number.POSITIVE_INFINITY)
  const starts = createQueue<Own>(LIMITS.maxStartQueue)
  const completions = queue(LIMITS.maxCompletionQueue, LIMITS.maxCompletionsPerSender)
  const admissions = queue(maxAdmissions, LIMITS.maxAdmissionsPerSender)
  const busy = queue(LIMITS.maxBusyQueue, LIMITS.maxBusyPerSender)
  const shed = queue(LIMITS.maxShedQueue, LIMITS.maxShedPerSender)
  let startNext = true

  const drop = (frame: Frame): void => {
    metrics.count('overflowDropped')
    senders.dropped(frame.from)
  }
  const admit = (frame: Frame, nowMs: number): void => {
    if (senders.mayAdmit(frame.from, nowMs) && admissions.push(frame.from, frame, frame.bytes.length)) return
    senders.busy(frame.from)
    // Refused in words while that is affordable; past that the sender's resend is the answer.
    if (!busy.push(frame.from, frame, frame.bytes.length)) drop(frame)
  }
  const again = (frame: Frame, nowMs: number): void => {
    if (senders.isShed(frame.from, nowMs)) {
      metrics.count('shed')
      if (!shed.push(frame.from, frame, frame.bytes.length)) drop(frame)
    } else if (isAdmission(frame.subject.kind, role)) admit(frame, nowMs)
    else if (!completions.push(frame.from, frame, frame.bytes.length)) drop(frame)
  }
  const frameEvent = (frame: Frame | undefined, isBusy = false): FrameEvent | undefined =>
    frame === undefined ? undefined : { type: 'frame', frame, busy: isBusy }

  /** What starts something: the operator's commands and others' messages, by turns. */
  const admission = (): Own | FrameEvent | undefined => {
    const start = startNext || admissions.size === 0 ? starts.shift() : undefined
    if (start !== undefined) {
      startNext = false
      return start
    }
    startNext = true
    return frameEvent(admissions.shift()) ?? starts.shift()
  }

  return {
    again,
    receive: (subject, bytes, nowMs) => {
      const isDataCenter = roleOf(subject.fromHost) === 'dc'
      const from = laneOf(subject.fromHost, isDataCenter, () => originatorOf(bytes))
      // A small view of a large buffer of the transport would keep all of it for as long as it waits.
      again({ subject, bytes: bytes.buffer.byteLength > 2 * bytes.length ? bytes.slice() : bytes, from }, nowMs)
    },
    own: (event) => void owned.push(event),
    start: (event) => starts.push(event),
    step: () => {
      let completionsLeft = LIMITS.maxStepEvents - LIMITS.minAdmissionsPerStep - LIMITS.minBusyPerStep
      let busyLeft = LIMITS.minBusyPerStep
      return () =>
        owned.shift() ??
        (completionsLeft-- > 0 ? frameEvent(completions.shift()) : undefined) ??
        (busyLeft-- > 0 ? frameEvent(busy.shift(), true) : undefined) ??
        admission() ??
        frameEvent(completions.shift()) ??
        frameEvent(busy.shift(), true) ??
        frameEvent(shed.shift())
    },
    sizes: () => ({
      completions: owned.size + completions.size,
      admissions: starts.size + admissions.size,
      overflow: busy.size,
      shed: shed.size,
    }),
    size: () => owned.size + completions.size + starts.size + admissions.size + busy.size + shed.size,
  }
}
