/**
 * A ledger's tables: typed rows under ordered byte keys. Every stored row begins with its schema version: an older one is
 * migrated when read, a newer one refused, so that a node never guesses at rows of a future version.
 */
import { Packr } from 'msgpackr'
import { concat, utf8 } from '../../protocol/bytes.ts'

const packr = new Packr({ useRecords: false, variableMapSize: true, int64AsType: 'bigint' })

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
export const keyOf = (...parts: readonly KeyPart[]): Uint8Array =>
  parts.length === 1 ? partBytes(parts[0] as KeyPart) : concat(...parts.map(partBytes))

export type Table<Row extends object = object> = {
  readonly name: string
  readonly version: number
  /** Row → bytes, schema version first. */
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
  return {
    name,
    version,
    encode: (row) => {
      const values: unknown[] = Array.from({ length: fields.length + 1 })
      values[0] = version
      for (let i = 0; i < fields.length; i++) {
        values[i + 1] = row[fields[i] as keyof Row]
      }
      // `pack` returns a view of a shared buffer: the row outlives it. Never a `Buffer`: byte strings of decoded rows would be.
      return new Uint8Array(packr.pack(values))
    },
    decode: (bytes) => {
      const plain =
        bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const values = packr.unpack(plain) as unknown[]
      const found = values[0] as number
      if (found > version) throw new RowVersionError(name, found, version)
      let stored: readonly unknown[] = values.slice(1)
      for (let v = found; v < version; v++) {
        const migrate = migrations[v]
        if (migrate === undefined) throw new Error(`table ${name} has no migration from version ${v}`)
        stored = migrate(stored)
      }
      const row: Record<string, unknown> = {}
      for (let i = 0; i < fields.length; i++) {
        const value = stored[i]
        if (value !== null && value !== undefined) row[fields[i] as string] = value
      }
      return row as Row
    },
  }
}
