/**
 * The last events that left no trace in the ledger, for `trace`. Invariant: bounded in number and in bytes, whatever others send: an
 * entry is kept packed, in a buffer of the log's own, so that none keeps the frame alive that its ids stand in.
 */
import { LIMITS } from '../../protocol/limits.ts'
import type { Passing } from './apply.ts'
import { createQueue } from './queue.ts'
import { defineTable } from './table.ts'

export type PassingLog = {
  readonly add: (entry: Passing) => void
  /** The oldest first. */
  readonly all: () => readonly Passing[]
  /** Of the packed entries. The buffers that hold them are larger by less than {@link CHUNK_BYTES} at either end. */
  readonly bytes: number
}

/** Never stored: rows of this table are only packed and unpacked. */
const passingTable = defineTable<Passing>({
  name: '~passing',
  version: 1,
  fields: ['atMs', 'trigger', 'name', 'event', 'from', 'digest', 'ids', 'sends', 'postings', 'refused', 'fields'],
})

/** Entries of one time stand in one buffer and leave it together, or a few small ones would keep many buffers. */
export const CHUNK_BYTES = 64 * 1_024

export const createPassingLog = (
  maxEntries: number = LIMITS.maxPassingEntries,
  maxBytes: number = LIMITS.maxPassingBytes,
): PassingLog => {
  const entries = createQueue<Uint8Array>(Number.POSITIVE_INFINITY)
  let bytes = 0
  let chunk = new Uint8Array(0)
  let used = 0
  const keep = (packed: Uint8Array): Uint8Array => {
    if (used + packed.length > chunk.length) {
      chunk = new Uint8Array(Math.max(CHUNK_BYTES, packed.length))
      used = 0
    }
    chunk.set(packed, used)
    const kept = chunk.subarray(used, used + packed.length)
    used += packed.length
    return kept
  }
  return {
    add: (entry) => {
      const kept = keep(passingTable.encode(entry))
      entries.push(kept)
      bytes += kept.length
      while (entries.size > maxEntries || bytes > maxBytes) bytes -= entries.shift()?.length ?? 0
    },
    all: () => entries.all().map(passingTable.decode),
    get bytes() {
      return bytes
    },
  }
}
