/**
 * The part of msgpack that this protocol allows, read strictly and written in one form. Header, frame, seal and credential are
 * arrays of fixed shape, read and written here field by field; bodies are scanned here (`scanValue`) before a general
 * decoder touches them. Nothing in this file throws for bytes that came from outside.
 */
import { fromUtf8 } from './bytes.ts'
import type { FailureCode } from './failures.ts'
import { LIMITS } from './limits.ts'

/** A place in a byte string. A read that fails leaves the cursor anywhere: the caller gives up. */
export type Cursor = { readonly bytes: Uint8Array; at: number }

export const cursorOf = (bytes: Uint8Array): Cursor => ({ bytes, at: 0 })
export const atEnd = (cursor: Cursor): boolean => cursor.at === cursor.bytes.length

/** `width` bytes, big-endian, as a number below 2^32; -1 past the end. */
const readFixed = (cursor: Cursor, width: number): number => {
  const { bytes, at } = cursor
  if (at + width > bytes.length) return -1
  cursor.at = at + width
  let value = 0
  for (let i = at; i < at + width; i++) value = value * 256 + (bytes[i] as number)
  return value
}

/** The length of an array; -1 when the next value is none. */
export const readArrayLength = (cursor: Cursor): number => {
  const head = readFixed(cursor, 1)
  if (head >= 0x90 && head <= 0x9f) return head & 0x0f
  if (head === 0xdc) return readFixed(cursor, 2)
  if (head === 0xdd) return readFixed(cursor, 4)
  return -1
}

/** A byte string as a view; undefined when the next value is none. */
export const readBytes = (cursor: Cursor): Uint8Array | undefined => {
  const head = readFixed(cursor, 1)
  if (head < 0xc4 || head > 0xc6) return undefined
  const length = readFixed(cursor, 1 << (head - 0xc4))
  if (length < 0 || cursor.at + length > cursor.bytes.length) return undefined
  const start = cursor.at
  cursor.at = start + length
  return cursor.bytes.subarray(start, cursor.at)
}

/** A byte string of exactly `length` bytes. */
export const readBytesOf = (cursor: Cursor, length: number): Uint8Array | undefined => {
  const bytes = readBytes(cursor)
  return bytes?.length === length ? bytes : undefined
}

/** An unsigned integer of any width up to 2^53 − 1; -1 when the next value is none. */
export const readUint = (cursor: Cursor): number => {
  const head = readFixed(cursor, 1)
  if (head >= 0 && head <= 0x7f) return head
  if (head === 0xcc) return readFixed(cursor, 1)
  if (head === 0xcd) return readFixed(cursor, 2)
  if (head === 0xce) return readFixed(cursor, 4)
  // int 64 as well: some encoders write every 64-bit integer signed.
  if (head !== 0xcf && head !== 0xd3) return -1
  const high = readFixed(cursor, 4)
  const low = readFixed(cursor, 4)
  return high < 0 || low < 0 || high > 0x1f_ffff ? -1 : high * 0x1_0000_0000 + low
}

/** Texts read of late, each at a place that its bytes say: the same few ids stand in all messages, and making one anew costs more. */
const TEXT_PLACES = 1_024
const texts: string[] = Array.from({ length: TEXT_PLACES }, () => '')

/** Text of printable ASCII, as ids are; undefined when the next value is none. */
export const readAscii = (cursor: Cursor): string | undefined => {
  const head = readFixed(cursor, 1)
  const length = head >= 0xa0 && head <= 0xbf ? head & 0x1f : head === 0xd9 ? readFixed(cursor, 1) : -1
  const { bytes, at } = cursor
  if (length < 0 || at + length > bytes.length) return undefined
  const after = at + length
  cursor.at = after
  let place = length
  for (let i = at; i < after; i++) {
    const code = bytes[i] as number
    if (code < 0x20 || code > 0x7e) return undefined
    place = (place * 31 + code) | 0
  }
  place &= TEXT_PLACES - 1
  const known = texts[place] as string
  if (isTextAt(known, bytes, at, length)) return known
  const text = String.fromCharCode(...bytes.subarray(at, after))
  texts[place] = text
  return text
}

const isTextAt = (text: string, bytes: Uint8Array, at: number, length: number): boolean => {
  if (text.length !== length) return false
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) !== bytes[at + i]) return false
  return true
}

export const isNil = (cursor: Cursor): boolean => cursor.bytes[cursor.at] === 0xc0
export const isText = (cursor: Cursor): boolean => {
  const head = cursor.bytes[cursor.at] ?? 0
  return (head >= 0xa0 && head <= 0xbf) || head === 0xd9
}

// Writing: into one buffer that stays, since a synchronous writer can not be entered twice.

const out = new Uint8Array(LIMITS.maxFrameBytes * 2)
const outView = new DataView(out.buffer)
let end = 0

/** Starts a value; what was written before and not taken is dropped. */
export const beginWrite = (): void => {
  end = 0
}
/** A copy of what was written. */
export const takeWritten = (): Uint8Array => out.slice(0, end)

/** At most 15 items. */
export const writeArrayLength = (length: number): void => {
  out[end++] = 0x90 | length
}
export const writeNil = (): void => {
  out[end++] = 0xc0
}
/** @throws RangeError when the writer's buffer is full. */
export const writeBytes = (bytes: Uint8Array): void => {
  const { length } = bytes
  if (length < 0x100) {
    out[end++] = 0xc4
    out[end++] = length
  } else if (length < 0x1_0000) {
    out[end++] = 0xc5
    outView.setUint16(end, length)
    end += 2
  } else {
    out[end++] = 0xc6
    outView.setUint32(end, length)
    end += 4
  }
  out.set(bytes, end)
  end += length
}
/** 0 … 2^53 − 1, in the fewest bytes. */
export const writeUint = (value: number): void => {
  if (value < 0x80) {
    out[end++] = value
  } else if (value < 0x100) {
    out[end++] = 0xcc
    out[end++] = value
  } else if (value < 0x1_0000) {
    out[end++] = 0xcd
    outView.setUint16(end, value)
    end += 2
  } else if (value < 0x1_0000_0000) {
    out[end++] = 0xce
    outView.setUint32(end, value)
    end += 4
  } else {
    out[end++] = 0xcf
    outView.setUint32(end, Math.floor(value / 0x1_0000_0000))
    outView.setUint32(end + 4, value % 0x1_0000_0000)
    end += 8
  }
}
/** Printable ASCII of at most 255 characters. */
export const writeAscii = (text: string): void => {
  if (text.length < 32) {
    out[end++] = 0xa0 | text.length
  } else {
    out[end++] = 0xd9
    out[end++] = text.length
  }
  for (let i = 0; i < text.length; i++) out[end++] = text.charCodeAt(i)
}

// Scanning

const PROTO = '__proto__'

/**
 * Reads one whole value and says what is wrong with it, before any general decoder sees it: undefined for a value of maps with
 * distinct text keys, arrays, text, byte strings, integers, booleans and nil, within LIMITS, and nothing after it.
 */
export const scanValue = (bytes: Uint8Array): FailureCode | undefined => {
  const cursor = cursorOf(bytes)
  const problem = scan(cursor, 1)
  if (problem !== undefined) return problem
  return atEnd(cursor) ? undefined : 'TRAILING_BYTES'
}

const skip = (cursor: Cursor, length: number): FailureCode | undefined => {
  if (length < 0 || cursor.at + length > cursor.bytes.length) return 'MALFORMED_BODY'
  cursor.at += length
  return undefined
}

const scan = (cursor: Cursor, depth: number): FailureCode | undefined => {
  const head = readFixed(cursor, 1)
  if (head < 0) return 'MALFORMED_BODY'
  if (head <= 0x7f || head >= 0xe0) return undefined
  if (head <= 0x8f) return scanMap(cursor, head & 0x0f, depth)
  if (head <= 0x9f) return scanArray(cursor, head & 0x0f, depth)
  if (head <= 0xbf) return scanText(cursor, head & 0x1f)
  switch (head) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return undefined
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return skip(cursor, readFixed(cursor, 1 << (head - 0xc4)))
    case 0xca:
    case 0xcb:
      return 'FLOAT_FORBIDDEN'
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
      return skip(cursor, 1 << (head - 0xcc))
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
      return skip(cursor, 1 << (head - 0xd0))
    case 0xd9:
    case 0xda:
    case 0xdb:
      return scanText(cursor, readFixed(cursor, 1 << (head - 0xd9)))
    case 0xdc:
    case 0xdd:
      return scanArray(cursor, readFixed(cursor, 2 << (head - 0xdc)), depth)
    case 0xde:
    case 0xdf:
      return scanMap(cursor, readFixed(cursor, 2 << (head - 0xde)), depth)
    case 0xc1:
      return 'MALFORMED_BODY'
    default:
      return 'EXTENSION_FORBIDDEN'
  }
}

const scanArray = (cursor: Cursor, length: number, depth: number): FailureCode | undefined => {
  if (length < 0) return 'MALFORMED_BODY'
  if (depth > LIMITS.maxDepth) return 'TOO_DEEP'
  if (length > LIMITS.maxArrayItems) return 'SCHEMA_VIOLATION'
  for (let i = 0; i < length; i++) {
    const problem = scan(cursor, depth + 1)
    if (problem !== undefined) return problem
  }
  return undefined
}

const scanText = (cursor: Cursor, length: number): FailureCode | undefined => {
  const { bytes, at } = cursor
  const problem = skip(cursor, length)
  if (problem !== undefined) return problem
  if (length > LIMITS.maxTextBytes) return 'SCHEMA_VIOLATION'
  for (let i = at; i < cursor.at; i++) if ((bytes[i] as number) > 0x7f) return scanUtf8(bytes.subarray(at, cursor.at))
  return undefined
}

const scanUtf8 = (bytes: Uint8Array): FailureCode | undefined => {
  try {
    fromUtf8(bytes)
    return undefined
  } catch {
    return 'MALFORMED_BODY'
  }
}

/** Keys are compared as bytes: two texts are equal exactly when their UTF-8 is. */
const sameSpan = (bytes: Uint8Array, a: number, b: number, length: number): boolean => {
  for (let i = 0; i < length; i++) if (bytes[a + i] !== bytes[b + i]) return false
  return true
}

const isProto = (bytes: Uint8Array, at: number, length: number): boolean => {
  if (length !== PROTO.length) return false
  for (let i = 0; i < length; i++) if (bytes[at + i] !== PROTO.charCodeAt(i)) return false
  return true
}

const scanMap = (cursor: Cursor, length: number, depth: number): FailureCode | undefined => {
  if (length < 0) return 'MALFORMED_BODY'
  if (depth > LIMITS.maxDepth) return 'TOO_DEEP'
  // No schema has a map near this size; it bounds the comparison of keys with one another.
  if (length > LIMITS.maxMapEntries) return 'SCHEMA_VIOLATION'
  const { bytes } = cursor
  const starts: number[] = []
  const lengths: number[] = []
  for (let i = 0; i < length; i++) {
    const head = readFixed(cursor, 1)
    let size = -1
    if (head >= 0xa0 && head <= 0xbf) size = head & 0x1f
    else if (head >= 0xd9 && head <= 0xdb) size = readFixed(cursor, 1 << (head - 0xd9))
    if (size < 0) return 'MALFORMED_BODY'
    const problem = scanText(cursor, size)
    if (problem !== undefined) return problem
    const start = cursor.at - size
    // An object literal would take it for its prototype.
    if (isProto(bytes, start, size)) return 'SCHEMA_VIOLATION'
    for (let j = 0; j < i; j++)
      if (lengths[j] === size && sameSpan(bytes, starts[j] as number, start, size)) return 'DUPLICATE_KEY'
    starts.push(start)
    lengths.push(size)
    const inner = scan(cursor, depth + 1)
    if (inner !== undefined) return inner
  }
  return undefined
}
