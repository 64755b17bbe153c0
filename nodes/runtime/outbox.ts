/**
 * When what is in the outbox is sent again: back-off with jitter, in memory. The rows are the truth; this schedule is rebuilt
 * from them at start. An entry is told by its digest: a key that was given to another message meanwhile is another entry.
 *
 * The back-off of one message says nothing of its addressee's absence, so a host that returns would be written to as late as the longest
 * wait. Hence what waits for a host that was not heard of for some time is due when anything of it is heard again; and a bank, which
 * answers at once when it can, is asked by a few messages at short intervals while it is not heard of. So whatever waits for a bank that was away reaches it
 * within a sweep of its return (design §2), and while it is away it costs no more than these few.
 */
import { LIMITS } from '../../protocol/limits.ts'
import { sortedMap } from './sorted-map.ts'

/** Who has to answer a message. */
export type Peer = {
  readonly host: string
  /** It answers at once what it can: its silence means that it is away, and is broken by asking. Others may be waiting for people. */
  readonly prompt: boolean
}

export type OutboxEntry = {
  readonly key: string
  readonly digest: string
  readonly peer: Peer | undefined
  /** How often it was sent by this process. */
  readonly sends: number
  /** undefined while its first send is still to come. */
  readonly dueAtMs: number | undefined
}

export type Outbox = {
  readonly size: number
  /**
   * Known from now on; its first send is due when {@link sent} or {@link due} says so. Replaces what the key stood for. Digests
   * are given as the text of a key.
   */
  readonly add: (key: string, digest: string, peer: Peer | undefined, dueAtMs?: number) => void
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
  /** An authentic message of this host came. */
  readonly heard: (host: string, nowMs: number) => void
}

/** What is known of a host that something waits for. */
type Waiting = {
  readonly peer: Peer
  /** Keys of what was sent to it, the least recently sent first. */
  readonly keys: Set<string>
  /** Last heard of, or else since when something waits for it. */
  silentSinceMs: number
  askedAtMs: number
}

/** @param random fractions in [0, 1) */
export const createOutbox = (random: () => number): Outbox => {
  const entries = new Map<string, OutboxEntry>()
  const byDigest = new Map<string, string>()
  /** Due time as 14 digits, then the key: in the order of due times. */
  const schedule = sortedMap<string>()
  const slot = (dueAtMs: number, key: string): string => `${String(dueAtMs).padStart(14, '0')} ${key}`

  const waiting = new Map<string, Waiting>()
  /** Those of `waiting` that are asked while they are silent: a handful. */
  const prompt = new Set<Waiting>()

  const sentTo = (entry: OutboxEntry, nowMs: number): void => {
    const { peer, key } = entry
    if (peer === undefined) return
    let found = waiting.get(peer.host)
    if (found === undefined) {
      found = { peer, keys: new Set(), silentSinceMs: nowMs, askedAtMs: nowMs }
      waiting.set(peer.host, found)
      if (peer.prompt) prompt.add(found)
    }
    found.keys.delete(key)
    found.keys.add(key)
  }
  const awaitNone = ({ peer, key }: OutboxEntry): void => {
    const found = peer === undefined ? undefined : waiting.get(peer.host)
    if (found?.keys.delete(key) !== true || found.keys.size > 0) return
    waiting.delete(found.peer.host)
    prompt.delete(found)
  }
  const askAtMs = ({ silentSinceMs, askedAtMs }: Waiting): number =>
    Math.max(silentSinceMs, askedAtMs) + LIMITS.askSilentBankMs

  const drop = (key: string): void => {
    const entry = entries.get(key)
    if (entry === undefined) return
    entries.delete(key)
    if (byDigest.get(entry.digest) === key) byDigest.delete(entry.digest)
    if (entry.dueAtMs !== undefined) schedule.delete(slot(entry.dueAtMs, key))
  }
  const forget = (key: string): void => {
    const entry = entries.get(key)
    if (entry === undefined) return
    drop(key)
    awaitNone(entry)
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

  const entryOf = (key: string): OutboxEntry => entries.get(key) as OutboxEntry
  const hastenAll = (all: readonly OutboxEntry[], nowMs: number, withinMs: number): void => {
    for (const entry of all)
      if (entry.dueAtMs !== undefined)
        place({ ...entry, dueAtMs: Math.min(entry.dueAtMs, nowMs + Math.floor(withinMs * random())) })
  }
  /** Some of what waits for a bank that is silent is due now; what was sent least recently, so that everything has its turn. */
  const askSilent = (nowMs: number): void => {
    for (const one of prompt) {
      if (askAtMs(one) > nowMs) continue
      one.askedAtMs = nowMs
      let asked = 0
      for (const key of one.keys) {
        // Whatever waits behind them is not even looked at.
        if (asked++ === LIMITS.maxAskedSilentBank) break
        const entry = entryOf(key)
        if (entry.dueAtMs !== undefined) place({ ...entry, dueAtMs: Math.min(entry.dueAtMs, nowMs) })
      }
    }
  }

  return {
    get size() {
      return entries.size
    },
    add: (key, digest, peer, dueAtMs) => {
      forget(key)
      place({ key, digest, peer, sends: 0, dueAtMs })
    },
    forget,
    get: (key) => entries.get(key),
    keyOfDigest: (digest) => byDigest.get(digest),
    sent: (key, digest, nowMs) => {
      const entry = current(key, digest)
      if (entry === undefined) return
      place({ ...entry, sends: entry.sends + 1, dueAtMs: nowMs + backOff(entry.sends + 1) })
      sentTo(entry, nowMs)
    },
    postpone: (key, digest, nowMs) => {
      const entry = current(key, digest)
      if (entry !== undefined) place({ ...entry, dueAtMs: nowMs + backOff(Math.max(1, entry.sends)) })
    },
    due: (nowMs, limit) => {
      askSilent(nowMs)
      const found: OutboxEntry[] = []
      for (const [, key] of schedule.range({ before: slot(nowMs + 1, '') })) {
        if (found.length === limit) break
        found.push(entryOf(key))
      }
      return found
    },
    nextDueAtMs: () => {
      let next: number | undefined
      for (const [at] of schedule.range()) {
        next = Number(at.slice(0, 14))
        break
      }
      for (const one of prompt) next = Math.min(next ?? Number.POSITIVE_INFINITY, askAtMs(one))
      return next
    },
    hasten: (nowMs, withinMs) => {
      for (const one of waiting.values()) one.silentSinceMs = nowMs
      // A copy: placing an entry changes the map.
      hastenAll(Array.from(entries.values()), nowMs, withinMs)
    },
    heard: (host, nowMs) => {
      const found = waiting.get(host)
      if (found === undefined) return
      const silentMs = nowMs - found.silentSinceMs
      found.silentSinceMs = nowMs
      if (silentMs < (found.peer.prompt ? LIMITS.sweepEveryMs : LIMITS.maxResendMs)) return
      hastenAll([...found.keys].map(entryOf), nowMs, LIMITS.reconnectSpreadMs)
    },
  }
}
