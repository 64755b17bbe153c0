import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toHex, u32be } from './bytes.ts'
import { hash } from './hash.ts'
import {
  appendLeaf,
  batchHash,
  decodeRange,
  EMPTY_RANGE,
  encodeRange,
  NO_PREVIOUS_BATCH,
  pairEntryLeaf,
  proveLeaf,
  rangeOf,
  rangeRoot,
  verifyLeaf,
  type BatchFields,
  type PairEntry,
} from './mountain-range.ts'
import { sampleId, seedOf } from './testing/sample-network.ts'

const leavesOf = (count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => hash(u32be(i)))

describe('a range', () => {
  test('has one peak for each bit of its count, and another root for each count', () => {
    const roots = new Set<string>()
    let range = EMPTY_RANGE
    for (const leaf of leavesOf(70)) {
      roots.add(toHex(rangeRoot(range)))
      range = appendLeaf(range, leaf)
      expect(range.peaks).toHaveLength(range.count.toString(2).replaceAll('0', '').length)
    }
    expect(roots.size).toBe(70)
  })
  test('is kept in a row and goes on from there', () => {
    fc.assert(
      fc.property(fc.nat(80), fc.nat(80), (a, b) => {
        const leaves = leavesOf(a + b)
        const kept = decodeRange(encodeRange(rangeOf(leaves.slice(0, a))))
        expect(rangeRoot(leaves.slice(a).reduce(appendLeaf, kept))).toEqual(rangeRoot(rangeOf(leaves)))
      }),
    )
  })
  test.each([
    ['nothing', 0],
    ['half a count', 3],
    ['a peak too few', 4 + 32],
    ['a peak too many', 4 + 96],
  ])('is not decoded from %s', (_name, length) => {
    const bytes = new Uint8Array(length)
    if (length >= 4) bytes[3] = 3
    expect(() => decodeRange(bytes)).toThrow(TypeError)
  })
  test('proves each leaf, at its place, in this range', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.nat(), fc.nat(), (count, a, b) => {
        const leaves = leavesOf(count)
        const [index, other] = [a % count, b % count]
        const root = rangeRoot(rangeOf(leaves))
        const proof = proveLeaf(leaves, index)
        expect(verifyLeaf(root, leaves[index] as Uint8Array, proof)).toBe(true)
        expect(verifyLeaf(root, leaves[other] as Uint8Array, proof)).toBe(other === index)
        expect(verifyLeaf(root, leaves[index] as Uint8Array, { ...proof, index: other })).toBe(other === index)
        expect(verifyLeaf(root, leaves[index] as Uint8Array, { ...proof, count: count + 1 })).toBe(false)
        expect(verifyLeaf(root, leaves[index] as Uint8Array, { ...proof, siblings: [...proof.siblings, root] })).toBe(
          false,
        )
        expect(verifyLeaf(root, leaves[index] as Uint8Array, { ...proof, peaks: [...proof.peaks, root] })).toBe(false)
        expect(verifyLeaf(hash(root), leaves[index] as Uint8Array, proof)).toBe(false)
      }),
    )
  })
  test('takes no proof that bags two peaks into one', () => {
    const leaves = leavesOf(3)
    const proof = proveLeaf(leaves, 0)
    const [left, right] = proof.peaks as [Uint8Array, Uint8Array]
    const forged = { ...proof, peaks: [appendLeaf({ count: 1, peaks: [left] }, right).peaks[0] as Uint8Array] }
    expect(verifyLeaf(rangeRoot(rangeOf(leaves)), leaves[0] as Uint8Array, forged)).toBe(false)
  })
  test('has no proof for what is not in it', () => {
    expect(() => proveLeaf(leavesOf(2), 2)).toThrow(RangeError)
    expect(verifyLeaf(rangeRoot(EMPTY_RANGE), seedOf('x'), { index: 0, count: 0, siblings: [], peaks: [] })).toBe(false)
  })
})

describe('an entry', () => {
  const entry: PairEntry = {
    pairSeq: 7,
    type: 'dt',
    pnId: sampleId('pn'),
    payee: 'hu-bakery',
    amountMinor: 120n,
    currency: 'EUR',
  }
  test.each<readonly [string, Partial<PairEntry>]>([
    ['sequence', { pairSeq: 8 }],
    ['type', { type: 'refund' }],
    ['pnId', { pnId: sampleId('other') }],
    ['no pnId', { pnId: null }],
    ['payee', { payee: 'hu-bakery1' }],
    ['no payee', { payee: null }],
    ['amount', { amountMinor: 121n }],
    ['sign', { amountMinor: -120n }],
    ['currency', { currency: 'USD' }],
  ])('of another %s has another leaf', (_name, change) =>
    expect(pairEntryLeaf({ ...entry, ...change })).not.toEqual(pairEntryLeaf(entry)),
  )
  test('of a wrong length is a bug', () => {
    expect(() => pairEntryLeaf({ ...entry, pnId: new Uint8Array(3) })).toThrow(TypeError)
    expect(() => pairEntryLeaf({ ...entry, payee: 'x'.repeat(64) })).toThrow(TypeError)
  })
})

describe('the hash of a batch', () => {
  const batch: BatchFields = {
    cpp: 'hu-otp',
    mpp: 'hu-cosmo',
    currency: 'EUR',
    seq: 1,
    fromSeq: 1,
    toSeq: 9,
    root: seedOf('root'),
    totalMinor: 900n,
  }
  test.each<readonly [string, Partial<BatchFields>]>([
    ['cpp', { cpp: 'hu-otp-2' }],
    ['mpp', { mpp: 'hu-cosm' }],
    ['currency', { currency: 'HUF' }],
    ['seq', { seq: 2 }],
    ['fromSeq', { fromSeq: 2 }],
    ['toSeq', { toSeq: 10 }],
    ['root', { root: seedOf('other') }],
    ['total', { totalMinor: -900n }],
  ])('changes with its %s', (_name, change) =>
    expect(batchHash(NO_PREVIOUS_BATCH, { ...batch, ...change })).not.toEqual(batchHash(NO_PREVIOUS_BATCH, batch)),
  )
  test('changes with its predecessor', () =>
    expect(batchHash(seedOf('prev'), batch)).not.toEqual(batchHash(NO_PREVIOUS_BATCH, batch)))
})
