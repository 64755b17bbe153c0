/**
 * The Merkle tree of a batch seal: one signature over the root seals up to maxBatchLeaves messages, and each message carries
 * the path that leads from its own digest to that root. A leaf is salted, so that who holds one message can not test
 * guesses about its neighbours. The last node of an odd level rises as it is; it is never paired with itself, so no two
 * different lists of leaves share a root (the flaw of CVE-2012-2459).
 */
import { concat, u32be } from './bytes.ts'
import { CONTEXTS } from './domains.ts'
import { hash, HASH_BYTES } from './hash.ts'

const LEAF = Uint8Array.of(0)
const NODE = Uint8Array.of(1)

/** H(0x00 ‖ ctx ‖ batchId ‖ u32 index ‖ salt ‖ content digest). */
export const batchLeaf = (batchId: Uint8Array, index: number, salt: Uint8Array, digest: Uint8Array): Uint8Array =>
  hash(LEAF, CONTEXTS.batch, batchId, u32be(index), salt, digest)

type NodeHash = (level: number, position: number, left: Uint8Array, right: Uint8Array) => Uint8Array

/**
 * H(0x01 ‖ ctx ‖ batchId ‖ u8 level ‖ u32 position ‖ left ‖ right) for one batch; the nodes above the leaves are level 1. What a
 * batch's nodes have in common is laid out once, since a path is hashed for every message.
 */
const batchNodes = (batchId: Uint8Array): NodeHash => {
  const start = concat(NODE, CONTEXTS.batch, batchId)
  const input = new Uint8Array(start.length + 5 + 2 * HASH_BYTES)
  input.set(start)
  const at = start.length
  return (level, position, left, right) => {
    input[at] = level
    input[at + 1] = position >>> 24
    input[at + 2] = position >>> 16
    input[at + 3] = position >>> 8
    input[at + 4] = position
    input.set(left, at + 5)
    input.set(right, at + 5 + HASH_BYTES)
    return hash(input)
  }
}

export type BatchTree = { readonly root: Uint8Array; readonly paths: readonly Uint8Array[] }

/** Root and one path a leaf: its siblings from the bottom up, 32 bytes each, joined. `leaves` is not empty. */
export const buildBatchTree = (batchId: Uint8Array, leaves: readonly Uint8Array[]): BatchTree => {
  const node = batchNodes(batchId)
  const levels: (readonly Uint8Array[])[] = [leaves]
  for (let below = leaves; below.length > 1; below = levels.at(-1) as readonly Uint8Array[]) {
    const above: Uint8Array[] = []
    for (let i = 0; i + 1 < below.length; i += 2)
      above.push(node(levels.length, i >> 1, below[i] as Uint8Array, below[i + 1] as Uint8Array))
    if (below.length % 2 === 1) above.push(below.at(-1) as Uint8Array)
    levels.push(above)
  }
  const paths = leaves.map((_, index) => {
    const path = new Uint8Array(pathLength(index, leaves.length) * HASH_BYTES)
    let at = 0
    for (let level = 0, position = index; level + 1 < levels.length; level++, position >>= 1) {
      const sibling = levels[level]?.[position ^ 1]
      if (sibling === undefined) continue
      path.set(sibling, at)
      at += HASH_BYTES
    }
    return path
  })
  return { root: (levels.at(-1) as readonly Uint8Array[])[0] as Uint8Array, paths }
}

/** How many siblings the path of leaf `index` of `count` has: a level where it rises alone gives none. */
export const pathLength = (index: number, count: number): number => {
  let siblings = 0
  for (let position = index, width = count; width > 1; position >>= 1, width = (width + 1) >> 1)
    if ((position ^ 1) < width) siblings++
  return siblings
}

/**
 * The nodes of a batch's tree that are known to stand under its verified root. Invariant: with a node its sibling is known, and every
 * node above both, since they came with the path that proved it.
 */
export type ProvenNodes = {
  /** Level by level from the leaves up, 32 bytes a node. */
  readonly nodes: Uint8Array
  /** One byte a node: 1 when it is known. */
  readonly known: Uint8Array
}

/** Nodes that a path has met, by their places. */
type Met = readonly (readonly [place: number, node: Uint8Array])[]

/** Of a path whose root was verified. */
export const provenNodes = (
  batchId: Uint8Array,
  index: number,
  count: number,
  leaf: Uint8Array,
  path: Uint8Array,
): ProvenNodes => {
  let size = 1
  for (let width = count; width > 1; width = (width + 1) >> 1) size += width
  const proven = { nodes: new Uint8Array(size * HASH_BYTES), known: new Uint8Array(size) }
  learn(proven, climb(proven, batchId, index, count, leaf, path) ?? [])
  return proven
}

/**
 * Does the path lead from this leaf to the verified root? If so, what it passed is known from now on: a path is hashed up to the first
 * node that is known, and compared from there on. False: it is to be hashed as a whole.
 */
export const isProven = (
  proven: ProvenNodes,
  batchId: Uint8Array,
  index: number,
  count: number,
  leaf: Uint8Array,
  path: Uint8Array,
): boolean => {
  if (index >= count || path.length !== pathLength(index, count) * HASH_BYTES) return false
  const met = climb(proven, batchId, index, count, leaf, path)
  if (met === undefined) return false
  learn(proven, met)
  return true
}

/** Undefined when the path meets a known node that is another than its own. */
const climb = (
  proven: ProvenNodes,
  batchId: Uint8Array,
  index: number,
  count: number,
  leaf: Uint8Array,
  path: Uint8Array,
): Met | undefined => {
  const node = batchNodes(batchId)
  const met: [number, Uint8Array][] = []
  /** Undefined above a known node. */
  let top: Uint8Array | undefined = leaf
  let at = 0
  let start = 0
  let position = index
  for (let width = count, level = 1; width > 1; width = (width + 1) >> 1, level++) {
    const place = start + position
    if (top !== undefined && proven.known[place] === 1) {
      if (!isNodeAt(proven, place, top, 0)) return undefined
      top = undefined
    } else if (top !== undefined) met.push([place, top])
    if ((position ^ 1) < width) {
      const beside = start + (position ^ 1)
      if (top === undefined) {
        if (!isNodeAt(proven, beside, path, at)) return undefined
      } else {
        const sibling = path.subarray(at, at + HASH_BYTES)
        met.push([beside, sibling])
        top = position % 2 === 0 ? node(level, position >> 1, top, sibling) : node(level, position >> 1, sibling, top)
      }
      at += HASH_BYTES
    }
    start += width
    position >>= 1
  }
  if (top === undefined) return met
  if (proven.known[start] === 1) return isNodeAt(proven, start, top, 0) ? met : undefined
  return [...met, [start, top]]
}

const learn = ({ nodes, known }: ProvenNodes, met: Met): void => {
  for (const [place, node] of met) {
    nodes.set(node, place * HASH_BYTES)
    known[place] = 1
  }
}

/** Is the known node at `place` what stands in `bytes` from `at` on? */
const isNodeAt = ({ nodes, known }: ProvenNodes, place: number, bytes: Uint8Array, at: number): boolean => {
  if (known[place] !== 1) return false
  const from = place * HASH_BYTES
  for (let i = 0; i < HASH_BYTES; i++) if (nodes[from + i] !== bytes[at + i]) return false
  return true
}

/** The root that a leaf and its path claim; undefined when index, count and path length do not fit each other. */
export const rootOfPath = (
  batchId: Uint8Array,
  index: number,
  count: number,
  leaf: Uint8Array,
  path: Uint8Array,
): Uint8Array | undefined => {
  if (index >= count || path.length !== pathLength(index, count) * HASH_BYTES) return undefined
  const node = batchNodes(batchId)
  let top = leaf
  let at = 0
  for (let position = index, width = count, level = 1; width > 1; position >>= 1, width = (width + 1) >> 1, level++) {
    if ((position ^ 1) >= width) continue
    const sibling = path.subarray(at, at + HASH_BYTES)
    at += HASH_BYTES
    top = position % 2 === 0 ? node(level, position >> 1, top, sibling) : node(level, position >> 1, sibling, top)
  }
  return top
}
