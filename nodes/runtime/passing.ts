/** The last events that left no trace in the ledger, for `trace`: bounded in number and, as estimated, in bytes. */
import { LIMITS } from '../../protocol/limits.ts'
import type { Passing } from './apply.ts'
import { createQueue } from './queue.ts'

export type PassingLog = {
  readonly add: (entry: Passing) => void
  /** The oldest first. */
  readonly all: () => readonly Passing[]
  readonly bytes: number
}

const ENTRY_BYTES = 300
const ID_BYTES = 120
const SEND_BYTES = 240

const sizeOf = ({ ids, sends, fields = '', event = '', from = '' }: Passing): number =>
  ENTRY_BYTES + ids.length * ID_BYTES + sends.length * SEND_BYTES + 2 * (fields.length + event.length + from.length)

export const createPassingLog = (
  maxEntries: number = LIMITS.maxPassingEntries,
  maxBytes: number = LIMITS.maxPassingBytes,
): PassingLog => {
  const entries = createQueue<Passing>(Number.POSITIVE_INFINITY)
  let bytes = 0
  return {
    add: (entry) => {
      entries.push(entry)
      bytes += sizeOf(entry)
      while (entries.size > maxEntries || bytes > maxBytes) bytes -= sizeOf(entries.shift() as Passing)
    },
    all: () => entries.all(),
    get bytes() {
      return bytes
    },
  }
}
