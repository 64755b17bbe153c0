/**
 * The root of a settlement batch: a Merkle mountain range over the entries of a pair's sequence. It grows by one leaf at a
 * time and needs only its peaks, at most one for each bit of its count, so a ledger row can hold it; CPP and MPP
 * arrive at the same root however the entries came to them. Leaves, nodes and the root are hashed in separate domains, and the root
 * includes the count, so no range stands for another.
 */
import type { Currency } from './amount.ts'
import { concat, equalBytes, i64be, u32be, utf8 } from './bytes.ts'
import { CONTEXTS } from './domains.ts'
import { hash, HASH_BYTES } from './hash.ts'

const LEAF = Uint8Array.of(0)
const NODE = Uint8Array.of(1)
const ROOT = Uint8Array.of(2)

/** `peaks` from the left: the roots of perfect trees of falling size, one for each bit set in `count`. */
export type MountainRange = { readonly count: number; readonly peaks: readonly Uint8Array[] }

export const EMPTY_RANGE: MountainRange = { count: 0, peaks: [] }

const node = (left: Uint8Array, right: Uint8Array): Uint8Array => hash(NODE, CONTEXTS.mountainRange, left, right)

/** `leaf` is a 32-byte hash made for this purpose, such as {@link pairEntryLeaf}. */
export const appendLeaf = ({ count, peaks }: MountainRange, leaf: Uint8Array): MountainRange => {
  const next = [...peaks]
  let top = leaf
  // As in binary addition: each bit set at the end of `count` is a peak of the same height to merge with.
  for (let bits = count; bits % 2 === 1; bits = (bits - 1) / 2) top = node(next.pop() as Uint8Array, top)
  next.push(top)
  return { count: count + 1, peaks: next }
}

/** Bagged from the right: H(0x02 ‖ ctx ‖ u32 count ‖ peak ‖ …). The root of an empty range is that of count 0. */
export const rangeRoot = ({ count, peaks }: MountainRange): Uint8Array => {
  const bag =
    peaks.length === 0
      ? new Uint8Array(0)
      : peaks.slice(0, -1).reduceRight((right, left) => node(left, right), peaks.at(-1) as Uint8Array)
  return hash(ROOT, CONTEXTS.mountainRange, u32be(count), bag)
}

export const rangeOf = (leaves: readonly Uint8Array[]): MountainRange => leaves.reduce(appendLeaf, EMPTY_RANGE)

/** u32 count ‖ peaks, for a ledger row. */
export const encodeRange = ({ count, peaks }: MountainRange): Uint8Array => concat(u32be(count), ...peaks)

/** One for each bit set. */
const peaksOf = (count: number): number => {
  let peaks = 0
  for (let rest = count; rest > 0; rest = Math.floor(rest / 2)) peaks += rest % 2
  return peaks
}

/** @throws TypeError when the bytes are no range. */
export const decodeRange = (bytes: Uint8Array): MountainRange => {
  if (bytes.length < 4) throw new TypeError('not a mountain range')
  const count = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  const peaks = peaksOf(count)
  if (bytes.length !== 4 + peaks * HASH_BYTES) throw new TypeError('not a mountain range')
  return {
    count,
    peaks: Array.from({ length: peaks }, (_, i) => bytes.slice(4 + i * HASH_BYTES, 4 + (i + 1) * HASH_BYTES)),
  }
}

/** Where the mountain of leaf `index` begins and how many leaves it has. */
const mountainOf = (index: number, count: number): { readonly start: number; readonly size: number } => {
  let start = 0
  let rest = count
  for (;;) {
    let size = 1
    while (size * 2 <= rest) size *= 2
    if (index < start + size) return { start, size }
    start += size
    rest -= size
  }
}

const perfectRoot = (leaves: readonly Uint8Array[]): Uint8Array => {
  if (leaves.length === 1) return leaves[0] as Uint8Array
  const half = leaves.length / 2
  return node(perfectRoot(leaves.slice(0, half)), perfectRoot(leaves.slice(half)))
}

/** `siblings` from the leaf up to its peak; `peaks` are all the range's peaks. */
export type RangeProof = {
  readonly index: number
  readonly count: number
  readonly siblings: readonly Uint8Array[]
  readonly peaks: readonly Uint8Array[]
}

/** Proves that leaf `index` is in the range. @throws RangeError for an index outside it */
export const proveLeaf = (leaves: readonly Uint8Array[], index: number): RangeProof => {
  if (!Number.isInteger(index) || index < 0 || index >= leaves.length)
    throw new RangeError(`no leaf ${index} among ${leaves.length}`)
  const { start, size } = mountainOf(index, leaves.length)
  const siblings: Uint8Array[] = []
  for (let width = 1, at = index - start; width < size; width *= 2, at = Math.floor(at / 2)) {
    const sibling = start + (at ^ 1) * width
    siblings.push(perfectRoot(leaves.slice(sibling, sibling + width)))
  }
  return { index, count: leaves.length, siblings, peaks: rangeOf(leaves).peaks }
}

/** Does the proof lead from `leaf` to `root`? */
export const verifyLeaf = (
  root: Uint8Array,
  leaf: Uint8Array,
  { index, count, siblings, peaks }: RangeProof,
): boolean => {
  if (!Number.isInteger(index) || !Number.isInteger(count) || index < 0 || index >= count || count > 0xffff_ffff)
    return false
  // Bagged peaks are nodes like any other: with another number of them, other peaks could give the same root.
  if (peaks.length !== peaksOf(count)) return false
  const { start, size } = mountainOf(index, count)
  if (siblings.length !== Math.log2(size) || !equalBytes(rangeRoot({ count, peaks }), root)) return false
  let top = leaf
  let at = index - start
  for (const sibling of siblings) {
    top = at % 2 === 0 ? node(top, sibling) : node(sibling, top)
    at = Math.floor(at / 2)
  }
  const peak = peaks[peakNumber(start, count)]
  return peak !== undefined && equalBytes(top, peak)
}

/** How many mountains stand left of the one that begins at `start`. */
const peakNumber = (start: number, count: number): number => {
  let peaks = 0
  for (let begin = 0; begin < start; peaks++) begin += mountainOf(begin, count).size
  return peaks
}

// The entries of a pair's sequence

const ENTRY_TYPES = { dt: 1, refund: 2, adjustment: 3 } as const
export type PairEntryType = keyof typeof ENTRY_TYPES

/** One entry of the sequence of a (CPP, MPP, currency). `amountMinor` with its sign: a refund's is negative. */
export type PairEntry = {
  readonly pairSeq: number
  readonly type: PairEntryType
  /** The payment or refund it stems from; null for an adjustment that names none. */
  readonly pnId: Uint8Array | null
  readonly payee: string | null
  readonly amountMinor: bigint
  readonly currency: Currency
}

const NO_ID = new Uint8Array(16)
const PAYEE_BYTES = 63

/**
 * H(0x00 ‖ ctx ‖ i64 pairSeq ‖ u8 type ‖ pnId(16) ‖ u8 length and payee padded with zeros to 63 ‖ i64 amountMinor ‖
 * currency(3)): fixed widths, so that no two entries share their bytes.
 */
export const pairEntryLeaf = ({ pairSeq, type, pnId, payee, amountMinor, currency }: PairEntry): Uint8Array => {
  const name = new Uint8Array(1 + PAYEE_BYTES)
  if (payee !== null) {
    const text = utf8(payee)
    if (text.length > PAYEE_BYTES) throw new TypeError('a payee has at most 63 bytes')
    name[0] = text.length
    name.set(text, 1)
  }
  const id = pnId ?? NO_ID
  if (id.length !== 16) throw new TypeError('pnId must be 16 bytes')
  return hash(
    LEAF,
    CONTEXTS.pairEntry,
    i64be(BigInt(pairSeq)),
    Uint8Array.of(ENTRY_TYPES[type]),
    id,
    name,
    i64be(amountMinor),
    utf8(currency),
  )
}

/** What a settlement batch fixes, besides its predecessor. */
export type BatchFields = {
  readonly cpp: string
  readonly mpp: string
  readonly currency: Currency
  readonly seq: number
  readonly fromSeq: number
  readonly toSeq: number
  readonly root: Uint8Array
  readonly totalMinor: bigint
}

/** The hash that the next batch of the pair names as `prevHash`, and that the MPP's acceptance signs. */
export const batchHash = (prevHash: Uint8Array, batch: BatchFields): Uint8Array => {
  const named = (text: string): Uint8Array => concat(Uint8Array.of(text.length), utf8(text))
  return hash(
    CONTEXTS.settlementBatch,
    prevHash,
    named(batch.cpp),
    named(batch.mpp),
    utf8(batch.currency),
    i64be(BigInt(batch.seq)),
    i64be(BigInt(batch.fromSeq)),
    i64be(BigInt(batch.toSeq)),
    batch.root,
    i64be(batch.totalMinor),
  )
}

/** `prevHash` of a pair's first batch. */
export const NO_PREVIOUS_BATCH = new Uint8Array(HASH_BYTES)
