/**
 * A reader of msgpack of its own, independent of the codec that is under test: where each value of a byte string stands, and
 * what it means. For bytes that are well formed; anything else gives undefined.
 */
import { fromUtf8 } from '../bytes.ts'

export type ValueType = 'int' | 'text' | 'bytes' | 'array' | 'map' | 'nil' | 'boolean' | 'float' | 'extension'

/** One value: `[start, end)` in the bytes, `[start, content)` its head. Children of a map are key, value, key, value… */
export type Value = {
  readonly type: ValueType
  readonly start: number
  readonly content: number
  end: number
  readonly depth: number
  readonly isKey: boolean
  readonly children: readonly Value[]
}

type Head = { readonly type: ValueType; readonly head: number; readonly size: number; readonly count: number }

const number = (bytes: Uint8Array, at: number, width: number): number => {
  let value = 0
  for (let i = at; i < at + width; i++) value = value * 256 + (bytes[i] ?? 0)
  return value
}

/** `size`: bytes of content; `count`: values inside. */
const headOf = (bytes: Uint8Array, at: number): Head | undefined => {
  const byte = bytes[at]
  if (byte === undefined) return undefined
  const of = (type: ValueType, head: number, size = 0, count = 0): Head => ({ type, head, size, count })
  const sized = (width: number): number => number(bytes, at + 1, width)
  if (byte <= 0x7f || byte >= 0xe0) return of('int', 1)
  if (byte <= 0x8f) return of('map', 1, 0, 2 * (byte & 0x0f))
  if (byte <= 0x9f) return of('array', 1, 0, byte & 0x0f)
  if (byte <= 0xbf) return of('text', 1, byte & 0x1f)
  if (byte === 0xc0) return of('nil', 1)
  if (byte === 0xc2 || byte === 0xc3) return of('boolean', 1)
  if (byte >= 0xc4 && byte <= 0xc6) return of('bytes', 1 + (1 << (byte - 0xc4)), sized(1 << (byte - 0xc4)))
  if (byte >= 0xc7 && byte <= 0xc9) return of('extension', 2 + (1 << (byte - 0xc7)), sized(1 << (byte - 0xc7)))
  if (byte === 0xca || byte === 0xcb) return of('float', 1, 4 << (byte - 0xca))
  if (byte >= 0xcc && byte <= 0xcf) return of('int', 1, 1 << (byte - 0xcc))
  if (byte >= 0xd0 && byte <= 0xd3) return of('int', 1, 1 << (byte - 0xd0))
  if (byte >= 0xd4 && byte <= 0xd8) return of('extension', 2, 1 << (byte - 0xd4))
  if (byte >= 0xd9 && byte <= 0xdb) return of('text', 1 + (1 << (byte - 0xd9)), sized(1 << (byte - 0xd9)))
  if (byte === 0xdc || byte === 0xdd) return of('array', 1 + (2 << (byte - 0xdc)), 0, sized(2 << (byte - 0xdc)))
  if (byte === 0xde || byte === 0xdf) return of('map', 1 + (2 << (byte - 0xde)), 0, 2 * sized(2 << (byte - 0xde)))
  return undefined
}

const MAX_DEPTH = 64

const read = (bytes: Uint8Array, start: number, depth: number, isKey: boolean): Value | undefined => {
  const head = headOf(bytes, start)
  if (head === undefined || depth > MAX_DEPTH) return undefined
  const content = start + head.head
  let end = content + head.size
  if (end > bytes.length) return undefined
  const children: Value[] = []
  for (let i = 0; i < head.count; i++) {
    const child = read(bytes, end, depth + 1, head.type === 'map' && i % 2 === 0)
    if (child === undefined) return undefined
    children.push(child)
    end = child.end
  }
  return { type: head.type, start, content, end, depth, isKey, children }
}

/** The one value that these bytes are; undefined when they are not exactly one. */
export const readTree = (bytes: Uint8Array): Value | undefined => {
  const root = read(bytes, 0, 1, false)
  return root?.end === bytes.length ? root : undefined
}

/** Every value, a container before what it holds. */
export const valuesOf = (root: Value): readonly Value[] => {
  const found: Value[] = []
  const visit = (value: Value): void => {
    found.push(value)
    value.children.forEach(visit)
  }
  visit(root)
  return found
}

/** A meaning: integers as bigint, whatever their width; maps by key. */
export type Meaning = bigint | string | boolean | null | Uint8Array | readonly Meaning[] | ReadonlyMap<string, Meaning>

/** Undefined for floats, extensions, text that is not UTF-8, and maps with a key twice or no text as key. */
export const meaningOf = (bytes: Uint8Array, value: Value): Meaning | undefined => {
  const { type, start, content, end, children } = value
  switch (type) {
    case 'nil':
      return null
    case 'boolean':
      return bytes[start] === 0xc3
    case 'int':
      return integerOf(bytes, start, content, end)
    case 'bytes':
      return bytes.slice(content, end)
    case 'text':
      try {
        return fromUtf8(bytes.subarray(content, end))
      } catch {
        return undefined
      }
    case 'array': {
      const items = children.map((child) => meaningOf(bytes, child))
      return items.includes(undefined) ? undefined : (items as readonly Meaning[])
    }
    case 'map': {
      const map = new Map<string, Meaning>()
      for (let i = 0; i < children.length; i += 2) {
        const key = meaningOf(bytes, children[i] as Value)
        const item = meaningOf(bytes, children[i + 1] as Value)
        if (typeof key !== 'string' || item === undefined || map.has(key)) return undefined
        map.set(key, item)
      }
      return map
    }
    case 'float':
    case 'extension':
      return undefined
  }
}

const integerOf = (bytes: Uint8Array, start: number, content: number, end: number): bigint => {
  const head = bytes[start] as number
  if (content === end) return BigInt(head <= 0x7f ? head : head - 0x100)
  let value = 0n
  for (let at = content; at < end; at++) value = (value << 8n) | BigInt(bytes[at] as number)
  return head >= 0xd0 ? BigInt.asIntN(8 * (end - content), value) : value
}

/** Does a decoded value (numbers, bigints, absent fields undefined) mean exactly this? */
export const means = (decoded: unknown, meaning: Meaning): boolean => {
  if (typeof meaning === 'bigint')
    return typeof decoded === 'bigint'
      ? decoded === meaning
      : Number.isSafeInteger(decoded) && BigInt(decoded as number) === meaning
  if (meaning instanceof Uint8Array)
    return (
      decoded instanceof Uint8Array &&
      decoded.length === meaning.length &&
      decoded.every((byte, at) => byte === meaning[at])
    )
  if (Array.isArray(meaning))
    return (
      Array.isArray(decoded) &&
      decoded.length === meaning.length &&
      (meaning as readonly Meaning[]).every((item, at) => means(decoded[at], item))
    )
  if (meaning instanceof Map) {
    if (typeof decoded !== 'object' || decoded === null || Array.isArray(decoded)) return false
    const fields = Object.entries(decoded).filter(([, field]) => field !== undefined)
    const map = meaning as ReadonlyMap<string, Meaning>
    return (
      fields.length === map.size &&
      fields.every(([name, field]) => {
        const item = map.get(name)
        return item !== undefined && means(field, item)
      })
    )
  }
  return decoded === meaning
}
