/** Mutations that know msgpack: a value becomes another type, width, length or depth, and everything around it stays well formed. */
import { concat, fromHex, utf8 } from '../bytes.ts'
import { LIMITS } from '../limits.ts'
import type { Mutator } from './mutate-bytes.ts'
import type { Chance } from './random.ts'
import { meaningOf, readTree, valuesOf, type Value } from './tree.ts'

const be = (value: bigint, width: number): Uint8Array => {
  const bytes = new Uint8Array(width)
  let rest = BigInt.asUintN(8 * width, value)
  for (let at = width - 1; at >= 0; at--, rest >>= 8n) bytes[at] = Number(rest & 0xffn)
  return bytes
}
const headed = (head: number, ...parts: readonly Uint8Array[]): Uint8Array => concat(Uint8Array.of(head), ...parts)
/** An integer in a form of the given width; it may not fit, and then is another number. */
export const packInt = (
  value: bigint,
  form: 'fix' | 'u8' | 'u16' | 'u32' | 'u64' | 'i8' | 'i16' | 'i32' | 'i64',
): Uint8Array => {
  if (form === 'fix') return Uint8Array.of(Number(BigInt.asUintN(8, value)) & (value < 0n ? 0xff : 0x7f))
  const log = { 8: 0, 16: 1, 32: 2, 64: 3 }[form.slice(1)] as number
  return headed((form.startsWith('u') ? 0xcc : 0xd0) + log, be(value, 1 << log))
}
const INT_FORMS = ['fix', 'u8', 'u16', 'u32', 'u64', 'i8', 'i16', 'i32', 'i64'] as const
const BOUNDARIES: readonly bigint[] = [0n, 1n, 5n, 7n, 8n, 15n, 16n, 31n, 32n, 53n, 62n, 63n, 64n].flatMap((bits) => [
  1n << bits,
  (1n << bits) - 1n,
  -(1n << bits),
  (1n << bits) + 1n,
])
const float = (width: 4 | 8, value: number): Uint8Array => {
  const bytes = new Uint8Array(width)
  const view = new DataView(bytes.buffer)
  if (width === 4) view.setFloat32(0, value)
  else view.setFloat64(0, value)
  return headed(width === 4 ? 0xca : 0xcb, bytes)
}
export const packText = (text: Uint8Array): Uint8Array =>
  text.length < 32
    ? headed(0xa0 | text.length, text)
    : text.length < 0x1_0000
      ? headed(0xda, be(BigInt(text.length), 2), text)
      : headed(0xdb, be(BigInt(text.length), 4), text)
export const packBytes = (bytes: Uint8Array): Uint8Array =>
  bytes.length < 0x1_0000
    ? headed(0xc5, be(BigInt(bytes.length), 2), bytes)
    : headed(0xc6, be(BigInt(bytes.length), 4), bytes)
const container = (type: 'array' | 'map', count: number, content: Uint8Array): Uint8Array =>
  headed(type === 'array' ? 0xdc : 0xde, be(BigInt(count), 2), content)

/** The bytes with this value replaced. */
export const replaced = (bytes: Uint8Array, { start, end }: Value, by: Uint8Array): Uint8Array =>
  concat(bytes.subarray(0, start), by, bytes.subarray(end))
const raw = (bytes: Uint8Array, { start, end }: Value): Uint8Array => bytes.subarray(start, end)

const BAD_UTF8 = ['ff', 'c080', 'eda080', 'c328', 'f8888080', 'e28228', 'f0', 'f4908080'].map(fromHex)
const TEXTS: readonly string[] = [
  '',
  'NaN',
  'Infinity',
  '-0',
  '1e3',
  '0x10',
  '1.5',
  'null',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '*',
  '>',
  'hu-*',
  'hu-otp.x',
  'hu-',
  'HU-OTP',
  'hu-otp ',
  'hu-otp\n',
  '\u0000',
  '\u202e',
  '\ufeffhu-otp',
  'a'.repeat(31),
  'a'.repeat(LIMITS.maxTextBytes),
  'a'.repeat(LIMITS.maxTextBytes + 1),
  '😀'.repeat(60),
  '€'.repeat(342),
  'é'.repeat(64),
]
/** Keys of no order, and of small order, of both curves. */
export const BAD_KEYS: readonly Uint8Array[] = [
  new Uint8Array(32),
  Uint8Array.from({ length: 32 }, (_, at) => (at === 0 ? 1 : 0)),
  Uint8Array.from({ length: 32 }, (_, at) => (at === 0 ? 0xec : at === 31 ? 0x7f : 0xff)),
  Uint8Array.from({ length: 32 }, (_, at) => (at === 0 ? 0xee : at === 31 ? 0x7f : 0xff)),
  new Uint8Array(32).fill(0xff),
  fromHex('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'),
  fromHex('5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157'),
  fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05'),
]

type Change = (value: Value, bytes: Uint8Array, chance: Chance) => Uint8Array | undefined

/** Changes one value among those that `fits`. */
const onValue = (name: string, fits: (value: Value) => boolean, change: Change): Mutator => ({
  name,
  apply: (bytes, chance) => {
    const root = readTree(bytes)
    if (root === undefined) return undefined
    const values = valuesOf(root).filter(fits)
    if (values.length === 0) return undefined
    const value = chance.pick(values)
    const by = change(value, bytes, chance)
    return by === undefined ? undefined : replaced(bytes, value, by)
  },
})

const isInt = ({ type }: Value): boolean => type === 'int'
const isContainer = ({ type }: Value): boolean => type === 'array' || type === 'map'
const isFull = (value: Value): boolean => isContainer(value) && value.children.length > 0
const isMap = (value: Value): boolean => value.type === 'map' && value.children.length > 0
const anything = (): boolean => true

const entriesOf = (map: Value, bytes: Uint8Array): readonly Uint8Array[] => {
  const entries: Uint8Array[] = []
  for (let i = 0; i < map.children.length; i += 2)
    entries.push(bytes.slice((map.children[i] as Value).start, (map.children[i + 1] as Value).end))
  return entries
}
const mapOf = (entries: readonly Uint8Array[]): Uint8Array => container('map', entries.length, concat(...entries))
const anyValue = (chance: Chance): Uint8Array =>
  chance.pick([
    () => Uint8Array.of(0xc0),
    () => Uint8Array.of(chance.pick([0xc2, 0xc3])),
    () => packInt(chance.pick(BOUNDARIES), chance.pick(INT_FORMS)),
    () => packText(utf8(chance.pick(TEXTS))),
    () => packBytes(chance.bytes(chance.pick([0, 1, 15, 16, 17, 31, 32, 33, 64, 300]))),
    () => Uint8Array.of(0x80),
    () => Uint8Array.of(0x90),
    () => Uint8Array.of(0xc1),
  ])()

export const VALUE_MUTATORS: readonly Mutator[] = [
  onValue('integer of another width', isInt, (value, bytes, chance) => {
    const number = meaningOf(bytes, value)
    return typeof number === 'bigint' ? packInt(number, chance.pick(INT_FORMS)) : undefined
  }),
  onValue('integer at a boundary', isInt, (_value, _bytes, chance) =>
    packInt(chance.pick(BOUNDARIES), chance.pick(INT_FORMS)),
  ),
  onValue('a little more or less', isInt, (value, bytes, chance) => {
    const number = meaningOf(bytes, value)
    return typeof number === 'bigint' ? packInt(number + chance.pick([1n, -1n, 100n, -100n]), 'i64') : undefined
  }),
  onValue('float', anything, (value, bytes, chance) => {
    const number = meaningOf(bytes, value)
    const same = typeof number === 'bigint' ? Number(number) : 0
    return float(chance.pick([4, 8]), chance.pick([same, same, Number.NaN, Infinity, -0, 0.5]))
  }),
  onValue('extension', anything, (_value, _bytes, chance) => {
    const size = chance.pick([0, 1, 2, 4, 8, 16])
    const log = [1, 2, 4, 8, 16].indexOf(size)
    const body = chance.bytes(size)
    return log >= 0 && chance.percent(60)
      ? headed(0xd4 + log, Uint8Array.of(chance.pick([0, 1, 0x62, 0x69, 0x65, 0x70, 0x73, 0x78, 0xff])), body)
      : headed(0xc7, Uint8Array.of(size, chance.below(256)), body)
  }),
  onValue('another type', anything, (_value, _bytes, chance) => anyValue(chance)),
  onValue(
    'same content as another type',
    ({ type }) => type === 'text' || type === 'bytes',
    (value, bytes, chance) => {
      const content = bytes.subarray(value.content, value.end)
      return value.type === 'text'
        ? packBytes(content)
        : chance.percent(50)
          ? packText(content)
          : container(
              'array',
              content.length,
              Uint8Array.from(content, (byte) => byte & 0x7f),
            )
    },
  ),
  onValue(
    'a length that lies',
    ({ start, content, type }) => content - start > 0 && !isLeaf(type),
    (value, bytes, chance) => {
      const content = bytes.subarray(value.content, value.end)
      const size = isContainer(value) ? value.children.length >> (value.type === 'map' ? 1 : 0) : content.length
      const lie = chance.pick([0, size + 1, size - 1, size * 2, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff])
      const width = lie > 0xffff || chance.percent(30) ? 4 : 2
      const wide = { text: 0xda, bytes: 0xc5, array: 0xdc, map: 0xde }[value.type as 'text'] + (width === 4 ? 1 : 0)
      return headed(wide, be(BigInt(lie), width), content)
    },
  ),
  onValue(
    'length in a wider form',
    ({ type }) => !isLeaf(type),
    (value, bytes) => {
      const content = bytes.subarray(value.content, value.end)
      const size = isContainer(value) ? value.children.length >> (value.type === 'map' ? 1 : 0) : content.length
      const wide = { text: 0xdb, bytes: 0xc6, array: 0xdd, map: 0xdf }[value.type as 'text']
      return headed(wide, be(BigInt(size), 4), content)
    },
  ),
  onValue('a key twice', isMap, (value, bytes, chance) => {
    const entries = entriesOf(value, bytes)
    const key = value.children[2 * chance.below(entries.length)] as Value
    const text = bytes.subarray(key.content, key.end)
    const again = chance.percent(50) ? packText(text) : headed(0xda, be(BigInt(text.length), 2), text)
    return mapOf([
      ...entries,
      concat(again, chance.percent(50) ? anyValue(chance) : raw(bytes, value.children.at(-1) as Value)),
    ])
  }),
  onValue(
    'an unknown key',
    ({ type }) => type === 'map',
    (value, bytes, chance) =>
      mapOf([...entriesOf(value, bytes), concat(packText(utf8(chance.pick(TEXTS))), anyValue(chance))]),
  ),
  onValue(
    'many unknown keys',
    ({ type }) => type === 'map',
    (value, bytes, chance) =>
      mapOf([
        ...entriesOf(value, bytes),
        ...Array.from({ length: chance.percent(5) ? 3_000 : chance.pick([40, 70]) }, (_, at) =>
          concat(packText(utf8(`k${at}`)), Uint8Array.of(0xc0)),
        ),
      ]),
  ),
  onValue('a key that is no text', isMap, (value, bytes, chance) => {
    const [, ...entries] = entriesOf(value, bytes)
    return mapOf([concat(anyValue(chance), Uint8Array.of(0)), ...entries])
  }),
  onValue('a field less', isMap, (value, bytes, chance) => {
    const entries = entriesOf(value, bytes)
    return mapOf(entries.toSpliced(chance.below(entries.length), 1))
  }),
  onValue('fields in another order', isMap, (value, bytes) => mapOf(entriesOf(value, bytes).toReversed())),
  onValue('fields exchanged', isFull, (value, bytes, chance) => {
    const step = value.type === 'map' ? 2 : 1
    const places = value.children.filter((_, at) => at % step === step - 1)
    if (places.length < 2) return undefined
    const [a, b] = [chance.pick(places), chance.pick(places)].toSorted((x, y) => x.start - y.start) as [Value, Value]
    if (a === b) return undefined
    return concat(
      bytes.subarray(value.start, a.start),
      raw(bytes, b),
      bytes.subarray(a.end, b.start),
      raw(bytes, a),
      bytes.subarray(b.end, value.end),
    )
  }),
  onValue('nested deep', anything, (value, bytes, chance) => {
    const levels = chance.percent(3) ? 60_000 : chance.pick([1, 2, 4, 5, 6, 7, 8, 64])
    return chance.percent(50)
      ? concat(new Uint8Array(levels).fill(0x91), raw(bytes, value))
      : concat(
          ...Array.from({ length: Math.min(levels, 2_000) }, () => Uint8Array.of(0x81, 0xa1, 0x61)),
          raw(bytes, value),
        )
  }),
  onValue(
    'text that is not UTF-8',
    ({ type }) => type === 'text',
    (_value, _bytes, chance) => packText(concat(utf8(chance.pick(['', 'a', 'hu-'])), chance.pick(BAD_UTF8))),
  ),
  onValue(
    'another text',
    ({ type }) => type === 'text',
    (_value, _bytes, chance) => packText(utf8(chance.pick(TEXTS))),
  ),
  onValue(
    'other bytes',
    ({ type }) => type === 'bytes',
    (value, bytes, chance) => {
      const content = bytes.slice(value.content, value.end)
      if (content.length === 32 && chance.percent(30)) return packBytes(chance.pick(BAD_KEYS))
      if (chance.percent(40)) return packBytes(chance.bytes(content.length))
      if (content.length > 0) content[chance.below(content.length)] = chance.below(256)
      return packBytes(content)
    },
  ),
  onValue(
    'bytes of another length',
    ({ type }) => type === 'bytes',
    (value, bytes, chance) => {
      const content = bytes.subarray(value.content, value.end)
      return chance.percent(50)
        ? packBytes(content.subarray(0, chance.below(content.length + 1)))
        : packBytes(concat(content, new Uint8Array(chance.percent(5) ? 64_000 : chance.pick([1, 16, 1_000]))))
    },
  ),
  onValue(
    'an array emptied or filled',
    ({ type }) => type === 'array',
    (value, bytes, chance) => {
      const items = value.children.map((child) => raw(bytes, child))
      const times = chance.percent(10) ? LIMITS.maxArrayItems + chance.below(2) : chance.pick([0, 2, 5])
      const filled = Array.from({ length: times }, () => items[0] ?? Uint8Array.of(0))
      return container('array', filled.length, concat(...filled))
    },
  ),
  onValue('another value of the same body', anything, (value, bytes, chance) => {
    const root = readTree(bytes)
    return root === undefined
      ? undefined
      : raw(bytes, chance.pick(valuesOf(root).filter((one) => !one.isKey && one !== value)))
  }),
]

const isLeaf = (type: Value['type']): boolean =>
  type === 'int' || type === 'nil' || type === 'boolean' || type === 'float' || type === 'extension'
