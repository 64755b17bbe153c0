/**
 * The journal: one entry for each event that changed something, chained by hash, so that no entry can be changed, taken out
 * or put in without every later one telling. It is what `trace` reads and what proves when a signature was there (design §8).
 */
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { hash } from '../../protocol/hash.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Reader } from './node.ts'
import { journalTable, type HeadRow, type JournalRow } from './runtime-tables.ts'

export const NO_HASH = new Uint8Array(32)

export type Chain = { readonly seq: number; readonly hash: Uint8Array }

/** The entry that follows `last`, as a row and as it is stored, and the chain's new end. */
export const appendEntry = (
  last: Chain,
  entry: Omit<JournalRow, 'seq' | 'prevHash'>,
): { readonly row: JournalRow; readonly bytes: Uint8Array; readonly chain: Chain } => {
  const row: JournalRow = { ...entry, seq: last.seq + 1, prevHash: last.hash }
  const bytes = journalTable.encode(row)
  return { row, bytes, chain: { seq: row.seq, hash: hash(bytes) } }
}

/**
 * Does the chain hold from entry `fromSeq` up to the head? → how many entries were looked at, and the first that does not fit.
 * Entries are hashed as they stand in the store, so one written by an older schema version fails here only if it was changed.
 */
export const checkChain = (
  read: Reader,
  head: Pick<HeadRow, 'seq' | 'hash'>,
  fromSeq = 1,
): { readonly entries: number; readonly brokenAtSeq: number | undefined } => {
  let entries = 0
  let expected: Uint8Array | undefined = fromSeq === 1 ? NO_HASH : undefined
  let seq = fromSeq
  for (const [, row] of read.scan(journalTable, [], { from: [fromSeq], before: [head.seq + 1] })) {
    if (row.seq !== seq || (expected !== undefined && !equalBytes(row.prevHash, expected)))
      return { entries, brokenAtSeq: seq }
    expected = hash(journalTable.encode(row))
    entries += 1
    seq += 1
  }
  const whole =
    seq === head.seq + 1 &&
    (expected === undefined ? head.seq < fromSeq : equalBytes(expected, head.seq === 0 ? NO_HASH : head.hash))
  return { entries, brokenAtSeq: whole ? undefined : seq }
}

/** The first entry at or after `atMs`, by halving: the entries' times never go back. `seq + 1` of the last when there is none. */
const firstAt = (read: Reader, lastSeq: number, atMs: number): number => {
  let low = 1
  let high = lastSeq + 1
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const row = read.get(journalTable, middle)
    if (row !== undefined && row.atMs < atMs) low = middle + 1
    else high = middle
  }
  return low
}

/** Entries of exactly this time, in order: what one step wrote. `lastSeq` of the head. */
export const entriesAt = (read: Reader, lastSeq: number, atMs: number): readonly JournalRow[] => {
  const found: JournalRow[] = []
  for (const [, row] of read.scan(journalTable, [], { from: [firstAt(read, lastSeq, atMs)] })) {
    if (row.atMs !== atMs) break
    found.push(row)
  }
  return found
}

/** Entries that bear one of the ids, in order, at most `LIMITS.maxTracedHops`. `ids` as hex; times inclusive, in milliseconds. */
export const traceJournal = (
  read: Reader,
  lastSeq: number,
  query: { readonly ids: readonly string[]; readonly fromMs: number; readonly toMs: number },
): readonly JournalRow[] => {
  const ids = new Set(query.ids)
  const found: JournalRow[] = []
  for (const [, row] of read.scan(journalTable, [], { from: [firstAt(read, lastSeq, query.fromMs)] })) {
    if (row.atMs > query.toMs || found.length === LIMITS.maxTracedHops) break
    if (row.ids.some((id) => ids.has(toHex(id)))) found.push(row)
  }
  return found
}
