/** Chance as an argument: the system's generator where money is real, a seeded one in the simulator. */
import { randomFillSync } from 'node:crypto'

export type Random = {
  /** `length` fresh random bytes, the caller's own. */
  readonly bytes: (length: number) => Uint8Array
}

const POOL_BYTES = 8_192

/** The system's generator, drawn from in large pieces: a call into it costs more than the bytes. */
export const systemRandom = (): Random => {
  const pool = new Uint8Array(POOL_BYTES)
  let used = POOL_BYTES
  return {
    bytes: (length) => {
      if (length > POOL_BYTES) return randomFillSync(new Uint8Array(length))
      if (used + length > POOL_BYTES) {
        randomFillSync(pool)
        used = 0
      }
      const drawn = pool.slice(used, used + length)
      // What was given out is not kept.
      pool.fill(0, used, used + length)
      used += length
      return drawn
    },
  }
}

/** A whole number from 0 up to, without, `below` (at most 2^32). For jitter, not for keys: it is not free of bias. */
export const randomBelow = (random: Random, below: number): number => {
  const bytes = random.bytes(4)
  return Math.floor((new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) / 0x1_0000_0000) * below)
}
