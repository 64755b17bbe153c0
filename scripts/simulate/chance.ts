/**
 * Chance of a simulation: for each name a stream of its own, the same for the same seed, quick enough to be asked for every message.
 * Not for keys of anything real: four words of state, which a few outputs give away.
 */
import { utf8 } from '../../protocol/bytes.ts'
import { hash } from '../../protocol/hash.ts'
import type { Random } from '../../nodes/runtime/random.ts'
import type { Draws } from './world.ts'

/** Whole numbers from 0 to 2³² − 1: sfc32 (Doty-Humphrey), which passes PractRand. */
type Words = () => number

const wordsOf = (name: string): Words => {
  const seed = hash(utf8(`simulation ${name}`))
  const view = new DataView(seed.buffer, seed.byteOffset)
  let [a, b, c, counter] = [view.getInt32(0), view.getInt32(4), view.getInt32(8), 1]
  return () => {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + sum) | 0
    return sum >>> 0
  }
}

const bytesOf = (words: Words, length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at += 4) {
    let word = words()
    for (let i = at; i < at + 4 && i < length; i++) {
      bytes[i] = word & 0xff
      word >>>= 8
    }
  }
  return bytes
}

export type Chance = Draws & {
  /** From 0 up to, without, 1. */
  readonly fraction: () => number
  /** From `least` up to, without, `most`. */
  readonly between: (least: number, most: number) => number
}

export const createChance = (name: string): Chance => {
  const words = wordsOf(name)
  const fraction = (): number => words() / 0x1_0000_0000
  const below = (limit: number): number => Math.floor(fraction() * limit)
  return {
    fraction,
    below,
    between: (least, most) => least + fraction() * (most - least),
    chance: (share) => fraction() < share,
    pick: (items) => {
      if (items.length === 0) throw new RangeError('nothing to pick from')
      return items[below(items.length)] as (typeof items)[number]
    },
    bytes: (length) => bytesOf(words, length),
  }
}

/** What a host draws its ids and nonces from. */
export const simulatedRandom = (name: string): Random => {
  const words = wordsOf(name)
  return { bytes: (length) => bytesOf(words, length) }
}
