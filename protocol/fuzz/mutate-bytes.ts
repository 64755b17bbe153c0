/** Mutations that know nothing of what the bytes mean. */
import { concat } from '../bytes.ts'
import type { Chance } from './random.ts'

/** `pool`: other byte strings of the same sort, to splice with. */
export type Mutator = {
  readonly name: string
  /** Undefined where there is nothing to change. The input stays as it is. */
  apply(bytes: Uint8Array, chance: Chance, pool: readonly Uint8Array[]): Uint8Array | undefined
}

const changed = (bytes: Uint8Array, change: (copy: Uint8Array) => void): Uint8Array => {
  const copy = bytes.slice()
  change(copy)
  return copy
}

export const BYTE_MUTATORS: readonly Mutator[] = [
  {
    name: 'bit flipped',
    apply: (bytes, chance) =>
      bytes.length === 0
        ? undefined
        : changed(bytes, (copy) => {
            const at = chance.below(copy.length)
            copy[at] = (copy[at] as number) ^ (1 << chance.below(8))
          }),
  },
  {
    name: 'byte replaced',
    apply: (bytes, chance) =>
      bytes.length === 0
        ? undefined
        : changed(bytes, (copy) => {
            const at = chance.below(copy.length)
            // The heads of msgpack, more often than chance would.
            copy[at] = chance.percent(60) ? 0xc0 + chance.below(0x20) : chance.below(256)
          }),
  },
  {
    name: 'several bytes replaced',
    apply: (bytes, chance) =>
      bytes.length === 0
        ? undefined
        : changed(bytes, (copy) => {
            for (let n = 1 + chance.below(16); n > 0; n--) copy[chance.below(copy.length)] = chance.below(256)
          }),
  },
  { name: 'cut short', apply: (bytes, chance) => bytes.slice(0, chance.below(bytes.length + 1)) },
  {
    name: 'cut from the front',
    apply: (bytes, chance) => bytes.slice(chance.below(bytes.length + 1)),
  },
  {
    name: 'bytes after the end',
    apply: (bytes, chance) =>
      concat(
        bytes,
        chance.percent(2)
          ? new Uint8Array(70_000 - bytes.length)
          : chance.bytes(1 + chance.below(chance.pick([2, 64, 2_000]))),
      ),
  },
  {
    name: 'a part taken out',
    apply: (bytes, chance) => {
      const from = chance.below(bytes.length + 1)
      return concat(bytes.subarray(0, from), bytes.subarray(from + 1 + chance.below(32)))
    },
  },
  {
    name: 'a part twice',
    apply: (bytes, chance) => {
      const from = chance.below(bytes.length + 1)
      const to = Math.min(bytes.length, from + 1 + chance.below(64))
      return concat(bytes.subarray(0, to), bytes.subarray(from))
    },
  },
  {
    name: 'zeros',
    apply: (bytes, chance) =>
      changed(bytes, (copy) => {
        const from = chance.below(copy.length + 1)
        copy.fill(chance.pick([0, 0xff]), from, from + 1 + chance.below(40))
      }),
  },
  {
    name: 'two spliced',
    apply: (bytes, chance, pool) => {
      if (pool.length === 0) return undefined
      const other = chance.pick(pool)
      return concat(bytes.subarray(0, chance.below(bytes.length + 1)), other.subarray(chance.below(other.length + 1)))
    },
  },
  {
    name: 'a part of another',
    apply: (bytes, chance, pool) => {
      if (pool.length === 0 || bytes.length === 0) return undefined
      const other = chance.pick(pool)
      return changed(bytes, (copy) => {
        const at = chance.below(copy.length)
        const from = chance.below(other.length + 1)
        copy.set(other.subarray(from, from + Math.min(copy.length - at, 1 + chance.below(64))), at)
      })
    },
  },
  {
    name: 'noise',
    apply: (bytes, chance) => chance.bytes(chance.below(Math.max(1, Math.min(bytes.length * 2, 2_048)))),
  },
]
