/**
 * When what is in the outbox is sent again: back-off with jitter, in memory. The rows are the truth; this schedule is rebuilt
 * from them at start. An entry is told by its digest: a key that was given to another message meanwhile is another entry.
 */
import { LIMITS } from '../../protocol/limits.ts'
import { sortedMap } from './sorted-map.ts'

export type OutboxEntry = {
  readonly key: string
  readonly digest: string
  /** How often it was sent by this process. */
  readonly sends: number
  /** undefined while its first send is still to come. */
  readonly dueAtMs: number | undefined
}

export type Outbox = {
  readonly size: number
  /** `digest` as the text of a key, as is every digest here. Known from now on; its first send is due when {@link sent} or {@link due} says so. Replaces what the key stood for. */
  readonly add: (key: string, digest: string, dueAtMs?: number) => void
  readonly forget: (key: string) => void
  readonly get: (key: string) => OutboxEntry | undefined
  /** The key of the message with this digest. */
  readonly keyOfDigest: (digest: string) => string | undefined
  /** It was sent: the next time is after the back-off. Nothing if the key stands for another message now, or none. */
  readonly sent: (key: string, digest: string, nowMs: number) => void
  /** Could not be sent now; it keeps its place in the back-off. */
  readonly postpone: (key: string, digest: string, nowMs: number) => void
  /** Entries to be sent now, the longest due first. */
  readonly due: (nowMs: number, limit: number) => readonly OutboxEntry[]
  readonly nextDueAtMs: () => number | undefined
  /** Everything is due within `withinMs`, spread evenly by chance: after a reconnect. */
  readonly hasten: (nowMs: number, withinMs: number) => void
}

/** @param random fractions in [0, 1) */
export const createOutbox = (random: () => number): Outbox => {
  const entries = new Map<string, OutboxEntry>()
  const byDigest = new Map<string, string>()
  /** Due time as 14 digits, then the key: in the order of due times. */
  const schedule = sortedMap<string>()
  const slot = (dueAtMs: number, key: string): string => `${String(dueAtMs).padStart(14, '0')} ${key}`

  const drop = (key: string): void => {
    const entry = entries.get(key)
    if (entry === undefined) return
    entries.delete(key)
    if (byDigest.get(entry.digest) === key) byDigest.delete(entry.digest)
    if (entry.dueAtMs !== undefined) schedule.delete(slot(entry.dueAtMs, key))
  }
  const place = (entry: OutboxEntry): void => {
    drop(entry.key)
    entries.set(entry.key, entry)
    byDigest.set(entry.digest, entry.key)
    if (entry.dueAtMs !== undefined) schedule.set(slot(entry.dueAtMs, entry.key), entry.key)
  }
  const backOff = (sends: number): number => {
    const base = Math.min(LIMITS.maxResendMs, LIMITS.firstResendMs * 2 ** Math.min(sends - 1, 16))
    const spread = (base * LIMITS.resendJitterPercent) / 100
    return Math.round(base - spread + 2 * spread * random())
  }
  const current = (key: string, digest: string): OutboxEntry | undefined => {
    const entry = entries.get(key)
    return entry?.digest === digest ? entry : undefined
  }

  return {
    get size() {
      return entries.size
    },
    add: (key, digest, dueAtMs) => place({ key, digest, sends: 0, dueAtMs }),
    forget: drop,
    get: (key) => entries.get(key),
    keyOfDigest: (digest) => byDigest.get(digest),
    sent: (key, digest, nowMs) => {
      const entry = current(key, digest)
      if (entry !== undefined) place({ ...entry, sends: entry.sends + 1, dueAtMs: nowMs + backOff(entry.sends + 1) })
    },
    postpone: (key, digest, nowMs) => {
      const entry = current(key, digest)
      if (entry !== undefined) place({ ...entry, dueAtMs: nowMs + backOff(Math.max(1, entry.sends)) })
    },
    due: (nowMs, limit) => {
      const found: OutboxEntry[] = []
      for (const [, key] of schedule.range({ before: slot(nowMs + 1, '') })) {
        if (found.length === limit) break
        found.push(entries.get(key) as OutboxEntry)
      }
      return found
    },
    nextDueAtMs: () => {
      for (const [at] of schedule.range()) return Number(at.slice(0, 14))
      return undefined
    },
    hasten: (nowMs, withinMs) => {
      // A copy: placing an entry changes the map.
      for (const entry of Array.from(entries.values()))
        if (entry.dueAtMs !== undefined)
          place({ ...entry, dueAtMs: Math.min(entry.dueAtMs, nowMs + Math.floor(withinMs * random())) })
    },
  }
}
