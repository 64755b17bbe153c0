/**
 * The log of a host: pino, JSON lines. What fails before it is authenticated is limited in rate, since anyone could write it.
 */
import { pino } from 'pino'
import { LIMITS } from '../../protocol/limits.ts'
import { toJson } from './json.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export type Log = {
  readonly write: (
    level: Exclude<LogLevel, 'silent'>,
    message: string,
    fields?: Readonly<Record<string, unknown>>,
  ) => void
  readonly unauthenticated: (fields: Readonly<Record<string, unknown>>) => void
}

export const silentLog: Log = { write: () => {}, unauthenticated: () => {} }

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
  let minute = 0
  let written = 0
  return {
    write: (level, message, fields = {}) => {
      if (logger.isLevelEnabled(level)) logger[level](plain(fields), message)
    },
    unauthenticated: (fields) => {
      const now = Math.floor(nowMs() / 60_000)
      if (now !== minute) {
        minute = now
        written = 0
      }
      written += 1
      if (written <= LIMITS.maxUnauthenticatedLogsPerMinute)
        logger.warn(plain(fields), 'frame dropped: not authenticated')
      else if (written === LIMITS.maxUnauthenticatedLogsPerMinute + 1)
        logger.warn('more frames dropped in this minute; see the counter')
    },
    flush: () => stream.flushSync(),
  }
}
