/**
 * Many small byte strings cut from a few larger buffers. A `Uint8Array` of more than 64 bytes has a buffer of its own outside
 * V8's heap, and making it costs several times what is done with a row of a ledger. Invariant: no two cuts share a byte.
 */
const SLAB_BYTES = 16 * 1_024
/** What is longer gets a buffer of its own: it would leave too much of a slab unused. */
const MAX_CUT_BYTES = 2_048

let slab = new Uint8Array(SLAB_BYTES)
let used = 0

/** `length` zero bytes of the caller's own. */
export const cut = (length: number): Uint8Array => {
  if (length > MAX_CUT_BYTES) return new Uint8Array(length)
  if (used + length > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES)
    used = 0
  }
  const begin = used
  used += length
  return slab.subarray(begin, used)
}
