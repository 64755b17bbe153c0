/**
 * The log of a host: pino, JSON lines. What others' bytes cause is limited in rate, for each of them and in all.
 */
import { pino } from 'pino'
import { LIMITS } from '../../protocol/limits.ts'
import { createLru } from '../../protocol/lru.ts'
import { toJson } from './json.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export type Log = {
  readonly write: (
    level: Exclude<LogLevel, 'silent'>,
    message: string,
    fields?: Readonly<Record<string, unknown>>,
  ) => void
  /** A line that another's bytes have caused: the first of each sender and minute, and so many in all. */
  readonly of: (
    sender: string,
    level: Exclude<LogLevel, 'silent'>,
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ) => void
}

export const silentLog: Log = { write: () => {}, of: () => {} }

/**
 * Which lines may be written: one of each sender and minute, `LIMITS.maxSenderLogsPerMinute` in all. → how many of this sender were left
 * out since its last one; undefined for a line to be left out.
 */
export const createLineLimit = (nowMs: () => number): ((sender: string) => number | undefined) => {
  let minute = 0
  let heard = new Set<string>()
  const leftOut = createLru<number>(LIMITS.maxTrackedSenders)
  return (sender) => {
    const now = Math.floor(nowMs() / 60_000)
    if (now !== minute) {
      minute = now
      heard = new Set()
    }
    const before = leftOut.get(sender) ?? 0
    if (heard.has(sender) || heard.size >= LIMITS.maxSenderLogsPerMinute) {
      leftOut.set(sender, before + 1)
      return undefined
    }
    heard.add(sender)
    leftOut.delete(sender)
    return before
  }
}

/** Fields as JSON has them: money as text, bytes as hex. */
const plain = (fields: Readonly<Record<string, unknown>>): object => JSON.parse(toJson(fields)) as object

/** @param nowMs for the rate limit only @param destination a file descriptor or path; standard error by default */
export const pinoLog = (
  options: { readonly host: string; readonly role: string; readonly level: LogLevel },
  nowMs: () => number,
  destination: number | string = 2,
): Log & { readonly flush: () => void } => {
  const stream = pino.destination({ dest: destination, sync: false, minLength: 0 })
  const logger = pino({ level: options.level, base: { host: options.host, role: options.role } }, stream)
  const leftOut = createLineLimit(nowMs)
  return {
    write: (level, message, fields = {}) => {
      if (logger.isLevelEnabled(level)) logger[level](plain(fields), message)
    },
    of: (sender, level, message, fields) => {
      if (!logger.isLevelEnabled(level)) return
      const more = leftOut(sender)
      if (more !== undefined)
        logger[level](plain(more === 0 ? { ...fields } : { ...fields, linesLeftOut: more }), message)
    },
    flush: () => stream.flushSync(),
  }
}
