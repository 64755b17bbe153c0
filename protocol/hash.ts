/**
 * H, the one hash of the protocol: BLAKE2b-256 (RFC 7693, no key) over the concatenation of its parts. libsodium computes it
 * where its binary loads, @noble/hashes elsewhere; both give the same bytes.
 */
import { blake2b } from '@noble/hashes/blake2.js'
import { concat, u32be } from './bytes.ts'
import { sodium, type Sodium } from './engines/sodium.ts'

export const HASH_BYTES = 32

export type Hash = (...parts: readonly Uint8Array[]) => Uint8Array

export const portableHash: Hash = (...parts) =>
  new Uint8Array(blake2b(parts.length === 1 ? (parts[0] as Uint8Array) : concat(...parts), { dkLen: HASH_BYTES }))

const createNativeHash = (native: Sodium): Hash => {
  // Crossing into native code with a fresh small array costs more than hashing it, hence one input and one output that stay.
  const input = new Uint8Array(128 * 1024)
  const output = new Uint8Array(HASH_BYTES)
  const views = Array.from({ length: 1_024 }, (_, length) => input.subarray(0, length))
  return (...parts) => {
    let length = 0
    for (const part of parts) length += part.length
    if (length > input.length) {
      native.crypto_generichash(output, concat(...parts))
      return output.slice()
    }
    let at = 0
    for (const part of parts) {
      input.set(part, at)
      at += part.length
    }
    native.crypto_generichash(output, views[length] ?? input.subarray(0, length))
    return output.slice()
  }
}

/** Undefined where libsodium's binary does not load. */
export const nativeHash: Hash | undefined = sodium === undefined ? undefined : createNativeHash(sodium)

/** H(parts[0] ‖ parts[1] ‖ …), 32 bytes. */
export const hash: Hash = nativeHash ?? portableHash

/** The content digest: H(u32be(len header) ‖ header ‖ u32be(len body) ‖ body). The same for every seal. */
export const digestOf = (headerBytes: Uint8Array, bodyBytes: Uint8Array): Uint8Array =>
  hash(u32be(headerBytes.length), headerBytes, u32be(bodyBytes.length), bodyBytes)
