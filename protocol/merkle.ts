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
