/**
 * Byte strings: the few operations that every other file of the protocol needs. Pure; no Node API, so that the
 * protocol can be read and ported line by line.
 */

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Lower-case hex, two characters a byte. */
export const toHex = (bytes: Uint8Array): string => {
  let text = ''
  for (const byte of bytes) text += HEX[byte]
  return text
}

/** The inverse of {@link toHex}. @throws TypeError unless `text` is an even number of hex digits. */
export const fromHex = (text: string): Uint8Array => {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text))
    throw new TypeError('expected an even number of hex digits')
  const bytes = new Uint8Array(text.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  return bytes
}

export const concat = (...parts: readonly Uint8Array[]): Uint8Array => {
  let length = 0
  for (const part of parts) length += part.length
  const whole = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Equality of public bytes. Secrets are compared in constant time, by `pin.ts`. */
export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

const encoder = new TextEncoder()
// A byte order mark is a character like any other: a reader that drops it reads another text.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export const utf8 = (text: string): Uint8Array => encoder.encode(text)

/** @throws TypeError when `bytes` are not well-formed UTF-8. */
export const fromUtf8 = (bytes: Uint8Array): string => decoder.decode(bytes)

/** Whether UTF-8 can hold this text (no half of a pair) in at most `maxBytes`. */
export const isUtf8Text = (text: string, maxBytes: number): boolean => {
  let bytes = 0
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit >= 0xd800 && unit <= 0xdfff) {
      const code = text.codePointAt(at) as number
      // A pair is read as one code point beyond 16 bits; a half of one as itself.
      if (code <= 0xffff) return false
      at += 1
      bytes += 4
    } else bytes += unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3
  }
  return bytes <= maxBytes
}

/** The first `length` characters (UTF-16 units) at most, never half of a pair: what is left is still text that UTF-8 can hold. */
export const clip = (text: string, length: number): string => {
  if (text.length <= length) return text
  const last = text.charCodeAt(length - 1)
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? length - 1 : length)
}

/** `value` as 4 bytes, big-endian. */
export const u32be = (value: number): Uint8Array => {
  // No DataView: making one costs more than all the rest of hashing a small message.
  const bytes = new Uint8Array(4)
  bytes[0] = value >>> 24
  bytes[1] = value >>> 16
  bytes[2] = value >>> 8
  bytes[3] = value
  return bytes
}

/** `value` as 8 bytes, big-endian, two's complement. */
export const i64be = (value: bigint): Uint8Array => {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigInt64(0, value)
  return bytes
}
