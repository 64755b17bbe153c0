/**
 * What is remembered of those who send: frames that failed, by code, and three rates. Who fails too often is shed: the next
 * frames are looked at when nothing else waits. Who admits too much, or has the ledger keep too many refusals, is told BUSY.
 *
 * A sender is the previous hop, for which the broker vouches. Of what a data center relays it is the originator together with
 * that data center: an honest one has verified the originator's seal, so that nobody can spend another's rate; one that lies can
 * name whom it likes, and harms only what it relays itself, which it could drop as well. Guests are counted together and judged
 * each alone; hosts, relayed originators and guests are remembered apart, so that names which cost nothing push out no host.
 */
import type { FailureCode } from '../../protocol/failures.ts'
import { isGuestToken } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { createLru, type Lru } from '../../protocol/lru.ts'
import type { Lane } from './fair-queue.ts'
import { fullBucket, hasToken, spendToken, takeToken, type Bucket, type Rate } from './rate.ts'

export type Offender = {
  readonly sender: string
  readonly failed: number
  readonly codes: Readonly<Record<string, number>>
  /** Refused for a rate or a full queue. */
  readonly busy: number
  readonly dropped: number
}

export type Senders = {
  /** A frame of this sender could not be opened. */
  readonly failed: (from: Lane, code: FailureCode, nowMs: number) => void
  readonly isShed: (from: Lane, nowMs: number) => boolean
  /** May it be admitted, as far as rates say? Takes a token. */
  readonly mayAdmit: (from: Lane, nowMs: number) => boolean
  /** A refusal of this sender's message was stored. */
  readonly refused: (from: Lane, nowMs: number) => void
  readonly busy: (from: Lane) => void
  readonly dropped: (from: Lane) => void
  /** Worst first. */
  readonly worst: () => readonly Offender[]
}

const FAILED: Rate = { perSecond: LIMITS.maxFailedFramesPerSecond, burst: LIMITS.failedFramesBurst }
const ADMITTED: Rate = {
  perSecond: LIMITS.maxAdmissionsPerSenderPerSecond,
  burst: LIMITS.maxAdmissionsPerSenderPerSecond,
}
const REFUSED: Rate = { perSecond: LIMITS.maxStoredRefusalsPerSecond, burst: LIMITS.storedRefusalsBurst }

const GUESTS = 'guest'

/** Guests of all tokens are one sender with turns inside, as are the originators behind a data center. */
export const laneOf = (fromHost: string, isDataCenter: boolean, originator: () => string | undefined): Lane => {
  if (isGuestToken(fromHost)) return { sender: GUESTS, member: fromHost, turns: LIMITS.guestTurns }
  if (!isDataCenter) return { sender: fromHost }
  return { sender: fromHost, member: originator() ?? '', turns: LIMITS.relayTurns }
}

/** What a sender is called in counts and logs; a guest has no name. */
export const senderName = ({ sender, member }: Lane): string =>
  member === undefined || sender === GUESTS ? sender : `${sender} for ${member}`

type Known = { readonly failed: Bucket; readonly admitted: Bucket; readonly refused: Bucket }
type Counts = { failed: number; codes: Record<string, number>; busy: number; dropped: number }

export const createSenders = (): Senders => {
  const hosts = createLru<Known>(LIMITS.maxTrackedSenders)
  const relayed = createLru<Known>(LIMITS.maxTrackedSenders)
  const guests = createLru<Known>(LIMITS.maxTrackedSenders)
  const counts = createLru<Counts>(LIMITS.maxTrackedSenders)
  const knownOf = ({ sender, member }: Lane, nowMs: number): Known => {
    const [kept, name]: [Lru<Known>, string] =
      member === undefined ? [hosts, sender] : sender === GUESTS ? [guests, member] : [relayed, `${sender} ${member}`]
    const found = kept.get(name)
    if (found !== undefined) return found
    const fresh = {
      failed: fullBucket(FAILED, nowMs),
      admitted: fullBucket(ADMITTED, nowMs),
      refused: fullBucket(REFUSED, nowMs),
    }
    kept.set(name, fresh)
    return fresh
  }
  const countsOf = (from: Lane): Counts => {
    const name = senderName(from)
    let found = counts.get(name)
    if (found === undefined) counts.set(name, (found = { failed: 0, codes: {}, busy: 0, dropped: 0 }))
    return found
  }

  return {
    failed: (from, code, nowMs) => {
      const one = countsOf(from)
      one.failed += 1
      one.codes[code] = (one.codes[code] ?? 0) + 1
      spendToken(knownOf(from, nowMs).failed, FAILED, nowMs, FAILED.burst)
    },
    isShed: (from, nowMs) => !hasToken(knownOf(from, nowMs).failed, FAILED, nowMs),
    mayAdmit: (from, nowMs) => {
      const { admitted, refused } = knownOf(from, nowMs)
      return hasToken(refused, REFUSED, nowMs) && takeToken(admitted, ADMITTED, nowMs)
    },
    // What was queued before the last token went is decided still: in full debt the rate holds in the long run.
    refused: (from, nowMs) => spendToken(knownOf(from, nowMs).refused, REFUSED, nowMs, Number.POSITIVE_INFINITY),
    busy: (from) => {
      countsOf(from).busy += 1
    },
    dropped: (from) => {
      countsOf(from).dropped += 1
    },
    worst: () =>
      [...counts.entries()]
        .map(([sender, { failed, codes, busy, dropped }]) => ({ sender, failed, codes: { ...codes }, busy, dropped }))
        .toSorted((a, b) => b.failed + b.dropped + b.busy - (a.failed + a.dropped + a.busy))
        .slice(0, LIMITS.maxOffendersShown),
  }
}
