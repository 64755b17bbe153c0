/**
 * The newest statement that one host holds of another, as it was sealed: in a ledger, in JSON, and in the file that an operator's
 * tools leave for a host that is to start.
 */
import { readFileSync } from 'node:fs'
import { fromHex, toHex } from '../../protocol/bytes.ts'

export type Heard = {
  readonly by: string
  readonly host: string
  readonly sentAtMs: number
  readonly frame: Uint8Array
}

/** What others hold, as it travels in JSON. */
export type HeardJson = {
  readonly by: string
  readonly host: string
  readonly sentAtMs: number
  readonly frame: string
}
export const heardToJson = ({ by, host, sentAtMs, frame }: Heard): HeardJson => ({
  by,
  host,
  sentAtMs,
  frame: toHex(frame),
})
export const heardFromJson = ({ by, host, sentAtMs, frame }: HeardJson): Heard => ({
  by,
  host,
  sentAtMs,
  frame: fromHex(frame),
})
const HEX = /^(?:[0-9a-f]{2})+$/
export const isHeardJson = (value: unknown): value is HeardJson => {
  const { by, frame } = (value ?? {}) as Partial<HeardJson>
  return typeof by === 'string' && typeof frame === 'string' && HEX.test(frame)
}

/** What was left for a host; nothing where nothing was, or what is no such file: it proves nothing then. */
export const readHeard = (path: string): readonly Heard[] => {
  try {
    const given = JSON.parse(readFileSync(path, 'utf8')) as unknown
    return Array.isArray(given) ? given.filter(isHeardJson).map(heardFromJson) : []
  } catch {
    return []
  }
}
