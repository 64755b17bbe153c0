/** The logs of a fleet's hosts as one, by time: pino's JSON lines from files, and what is appended to them. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { readLines } from './read-lines.ts'

export type LogLine = {
  readonly timeMs: number
  readonly level: number
  readonly host: string
  readonly message: string
  /** What else the line says. */
  readonly fields: Readonly<Record<string, unknown>>
}

/** A line that is no JSON, as a crash leaves it, is a message of level error. */
export const parseLogLine = (text: string, host: string): LogLine | undefined => {
  if (text.trim() === '') return undefined
  try {
    const {
      time,
      level,
      msg,
      role: _role,
      pid: _pid,
      hostname: _hostname,
      ...fields
    } = JSON.parse(text) as Record<string, unknown>
    if (fields['host'] === host) delete fields['host']
    // The line with which a host says that it is ready is for its supervisor.
    if (fields['type'] === 'ready') return undefined
    return {
      timeMs: typeof time === 'number' ? time : 0,
      level: typeof level === 'number' ? level : 50,
      host,
      message: typeof msg === 'string' ? msg : '',
      fields,
    }
  } catch {
    return { timeMs: 0, level: 50, host, message: text, fields: {} }
  }
}

export type LogFile = { readonly host: string; readonly path: string }

/** The last `count` lines of all files together, by time; lines without a time keep their place behind the one before. */
export const lastLogLines = async (files: readonly LogFile[], count: number): Promise<readonly LogLine[]> => {
  const all: LogLine[] = []
  for (const { host, path } of files) {
    let last = 0
    const own: LogLine[] = []
    for await (const text of readLines(path)) {
      const line = parseLogLine(text, host)
      if (line === undefined) continue
      last = line.timeMs === 0 ? last : line.timeMs
      own.push({ ...line, timeMs: last })
      if (own.length > 2 * count) own.splice(0, own.length - count)
    }
    all.push(...own.slice(-count))
  }
  return all.toSorted((a, b) => a.timeMs - b.timeMs).slice(-count)
}

const POLL_MS = 200

/** Lines appended from now on, until `signal`. */
export async function* followLogs(files: readonly LogFile[], signal: AbortSignal): AsyncGenerator<LogLine> {
  const sizes = new Map<string, number>()
  for (const { path } of files) sizes.set(path, await sizeOf(path))
  const rests = new Map<string, string>()
  while (!signal.aborted) {
    const fresh: LogLine[] = []
    for (const { host, path } of files) {
      const [from, to] = [sizes.get(path) ?? 0, await sizeOf(path)]
      if (to <= from) continue
      sizes.set(path, to)
      const lines = ((rests.get(path) ?? '') + (await readPart(path, from, to))).split('\n')
      rests.set(path, lines.pop() ?? '')
      fresh.push(...lines.flatMap((text) => parseLogLine(text, host) ?? []))
    }
    yield* fresh.toSorted((a, b) => a.timeMs - b.timeMs)
    if (fresh.length === 0) await delay(POLL_MS, undefined, { signal }).catch(() => undefined)
  }
}

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  )

const readPart = async (path: string, from: number, to: number): Promise<string> => {
  let text = ''
  for await (const chunk of createReadStream(path, { start: from, end: to - 1, encoding: 'utf8' }))
    text += chunk as string
  return text
}
