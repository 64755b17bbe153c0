/** The short run of the fuzz suite over envelope and codec; `npm run fuzz` is the long one. */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { toHex } from '../bytes.ts'
import { loadEngine } from '../engines/load.ts'
import { fuzzFrames } from './run.ts'
import { waysOf } from './samples.ts'

const engine = loadEngine()

describe('mutated frames: none throws, none is taken for what it is not, each refusal has a code', () => {
  const fresh = toHex(randomBytes(4))
  test.each([
    ['first', 6_000],
    [fresh, 3_000],
  ])(
    'seed %s: %i frames (again: npm run fuzz -- --per-node 0 --seed and this seed)',
    (seed, frames) => {
      const run = fuzzFrames({ engine, seed, frames })
      expect(run.problems).toEqual([])
      expect(run.unchanged).toBeGreaterThan(frames / 26)
      expect(run.tally.size).toBeGreaterThan(100)
    },
    60_000,
  )
  test('every live kind is met', () => {
    expect(fuzzFrames({ engine, seed: 'kinds', frames: 2_000 }).kinds).toEqual(
      new Set(waysOf().map(({ kind }) => kind)),
    )
  })
})
