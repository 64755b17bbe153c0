/**
 * Chance for the fuzz suite: the same for the same seed, on every machine. Each frame draws from a source of its own, named by
 * seed and number, so that one frame can be made again without those before it.
 */
import { utf8 } from '../bytes.ts'
import { hash } from '../hash.ts'

export type Chance = {
  /** A whole number in [0, n). `n` at least 1. */
  below(n: number): number
  /** True in `percent` of a hundred draws. */
  percent(percent: number): boolean
  /** @throws RangeError for an empty list */
  pick<T>(list: readonly T[]): T
  bytes(length: number): Uint8Array
}

/** @param seed any text; with `number`, the source of that frame of the run */
export const createChance = (seed: string, number = 0): Chance => {
  const words = new Uint32Array(hash(utf8(`semops fuzz ${seed} ${number}`)).buffer, 0, 4)
  let [a = 0, b = 0, c = 0, d = 0] = words
  // xoshiro128** (Blackman and Vigna, 2018): small, fast, and no part of anything secret.
  const next = (): number => {
    const mixed = Math.imul(b, 5)
    const value = Math.imul((mixed << 7) | (mixed >>> 25), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = (d << 11) | (d >>> 21)
    return value
  }
  const below = (n: number): number => Math.floor((next() / 0x1_0000_0000) * n)
  return {
    below,
    percent: (percent) => below(100) < percent,
    pick: (list) => {
      if (list.length === 0) throw new RangeError('nothing to pick from')
      return list[below(list.length)] as (typeof list)[number]
    },
    bytes: (length) => {
      const bytes = new Uint8Array(length)
      for (let at = 0; at < length; at++) bytes[at] = next() >>> 24
      return bytes
    },
  }
}
