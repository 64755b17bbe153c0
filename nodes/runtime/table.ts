/**
 * A ledger's tables: typed rows under ordered byte keys. Every stored row begins with its schema version: an older one is
 * migrated when read, a newer one refused, so that a node never guesses at rows of a future version.
 */
import { Buffer } from 'node:buffer'
import { Packr } from 'msgpackr'
import { concat, utf8 } from '../../protocol/bytes.ts'

const packr = new Packr({ useRecords: false, variableMapSize: true, int64AsType: 'bigint' })

/**
 * The packer writes one value behind the other into a buffer that it replaces when it is full and never writes again, so that
 * what it packed may be kept as a view. A larger buffer than its own 8 kB needs fewer of them.
 */
const PACK_BUFFER_BYTES = 64 * 1_024
packr.useBuffer(Buffer.allocUnsafeSlow(PACK_BUFFER_BYTES))
/** Option of `pack`: leaves the packed value where it stands and says from where to where, instead of making a view. */
const IN_PLACE = 512

/** One part of a key. Text ends in a zero byte, so that no id is a prefix of another; numbers are 8 bytes, big-endian. */
export type KeyPart = string | number | bigint | Uint8Array

const partBytes = (part: KeyPart): Uint8Array => {
  if (typeof part === 'string') return utf8(`${part}\0`)
  if (part instanceof Uint8Array) return part
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(part))
  return bytes
}

/** Parts joined in order, so that a shorter key is a prefix that scans everything below it. Byte strings must be of fixed length. */
export const keyOf = (...parts: readonly KeyPart[]): Uint8Array => {
  const [first] = parts
  if (parts.length === 1 && first instanceof Uint8Array) return first
  let length = 0
  for (const part of parts)
    length += typeof part === 'string' ? part.length + 1 : part instanceof Uint8Array ? part.length : 8
  const key = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    if (typeof part === 'string') {
      for (let i = 0; i < part.length; i++) {
        const unit = part.charCodeAt(i)
        // Ids are ASCII; any other text takes more bytes than it has units.
        if (unit > 0x7f) return concat(...parts.map(partBytes))
        key[at + i] = unit
      }
      at += part.length + 1
    } else if (part instanceof Uint8Array) {
      key.set(part, at)
      at += part.length
    } else {
      writeNumber(key, at, part)
      at += 8
    }
  }
  return key
}

const writeNumber = (key: Uint8Array, at: number, value: number | bigint): void => {
  if (typeof value === 'bigint' || !Number.isSafeInteger(value) || value < 0) {
    key.set(partBytes(value), at)
    return
  }
  let high = Math.floor(value / 0x1_0000_0000)
  let low = value % 0x1_0000_0000
  for (let i = 3; i >= 0; i--) {
    key[at + i] = high
    key[at + 4 + i] = low
    high >>>= 8
    low >>>= 8
  }
}

export type Table<Row extends object = object> = {
  readonly name: string
  readonly version: number
  /** Row → bytes, schema version first. They may be a view of a larger buffer, which nobody changes. */
  readonly encode: (row: Row) => Uint8Array
  /** @throws RowVersionError when the row is newer than this code; a damaged row throws what the decoder throws. */
  readonly decode: (bytes: Uint8Array) => Row
}

export class RowVersionError extends Error {
  constructor(table: string, found: number, known: number) {
    super(`table ${table} holds a row of schema version ${found}; this build knows up to ${known}: run the newer build`)
    this.name = 'RowVersionError'
  }
}

/** Rewrites the fields of an older version, given in the order in which that version stored them. */
export type Migration = (fields: readonly unknown[]) => readonly unknown[]

/**
 * A table whose rows are stored as arrays: [version, ...fields in the given order]. Field values are what msgpack holds:
 * strings, safe integers as `number` (here, off the wire, msgpack's float64 holds them exactly), money as `bigint`, byte
 * strings, arrays of these, plain maps; an undefined field is absent again when read.
 * `migrations[v]` turns the fields of version v into those of v + 1.
 */
export const defineTable = <Row extends object>(spec: {
  readonly name: string
  readonly version: number
  readonly fields: readonly (keyof Row & string)[]
  readonly migrations?: Readonly<Record<number, Migration>>
}): Table<Row> => {
  const { name, version, fields, migrations = {} } = spec
  /** Filled anew for each row. */
  const written: unknown[] = [version, ...fields]
  /** `stored`: the version, then the fields. */
  const rowOf = (stored: readonly unknown[]): Row => {
    const row: Record<string, unknown> = {}
    for (let i = 0; i < fields.length; i++) {
      const value = stored[i + 1]
      if (value !== null && value !== undefined) row[fields[i] as string] = value
    }
    return row as Row
  }
  return {
    name,
    version,
    encode: (row) => {
      for (let i = 0; i < fields.length; i++) written[i + 1] = row[fields[i] as keyof Row]
      const packed = packr.pack(written, IN_PLACE) as Buffer & { readonly start: number; readonly end: number }
      // Never a `Buffer`: byte strings of decoded rows would be.
      return new Uint8Array(packed.buffer, packed.byteOffset + packed.start, packed.end - packed.start)
    },
    decode: (bytes) => {
      const plain =
        bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const unpacked = packr.unpack(plain) as unknown[]
      const found = unpacked[0] as number
      if (found > version) throw new RowVersionError(name, found, version)
      if (found === version) return rowOf(unpacked)
      let stored: readonly unknown[] = unpacked.slice(1)
      for (let v = found; v < version; v++) {
        const migrate = migrations[v]
        if (migrate === undefined) throw new Error(`table ${name} has no migration from version ${v}`)
        stored = migrate(stored)
      }
      return rowOf([version, ...stored])
    },
  }
}
