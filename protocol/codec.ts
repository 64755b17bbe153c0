/**
 * Bodies as bytes: msgpack maps, strict by schema. What leaves is checked before it is packed; what arrives is scanned as
 * bytes, unpacked, converted and checked, so that an unknown field, a float or a key given twice never reaches a decision.
 */
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Packr, Unpackr } from 'msgpackr'
import { clip } from './bytes.ts'
import { fail, ok, type Result } from './failures.ts'
import { WIRE, type Static, type TSchema, type WireForm } from './fields.ts'
import { KINDS, kindRow, type Beside, type Body, type KindName } from './kinds.ts'
import { LIMITS } from './limits.ts'
import { scanValue } from './msgpack.ts'

const OPTIONS = { useRecords: false, variableMapSize: true, int64AsType: 'bigint' } as const
const packr = new Packr(OPTIONS)
const unpackr = new Unpackr(OPTIONS)

const MAX_DETAIL = 120

/** Values of one schema as bytes and back. */
export type Codec<T> = {
  /** @throws TypeError when `value` does not fit the schema: a bug of the caller. */
  encode(value: T): Uint8Array
  /** Byte strings of the value are views of `bytes`, which must not change afterwards. */
  decode(bytes: Uint8Array): Result<T>
}

/** Compiles a schema once; see the module for what its codec promises. */
export const codecOf = <S extends TSchema>(schema: S): Codec<Static<S>> => {
  const check = TypeCompiler.Compile(schema)
  const toWire = wireWriter(schema)
  const fromWire = wireReader(schema)
  const problemOf = (value: unknown): string => {
    const first = check.Errors(value).First()
    return first === undefined ? '' : clip(`${first.path} ${first.message}`, MAX_DETAIL)
  }
  return {
    encode(value) {
      if (!check.Check(value)) throw new TypeError(`does not fit its schema: ${problemOf(value)}`)
      // A copy: the packer's own buffer is shared with values packed before and after.
      return new Uint8Array(packr.pack(toWire(value)))
    },
    decode(bytes) {
      if (bytes.length > LIMITS.maxBodyBytes) return fail('FRAME_TOO_LARGE', 'body')
      const problem = scanValue(bytes)
      if (problem !== undefined) return fail(problem)
      // msgpackr would answer a Buffer with Buffers.
      const value = fromWire(unpackr.unpack(plainBytes(bytes)))
      return check.Check(value) ? ok(value) : fail('SCHEMA_VIOLATION', problemOf(value))
    },
  }
}

const plainBytes = (bytes: Uint8Array): Uint8Array =>
  bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)

type Convert = (value: unknown) => unknown

const integerToWire = (value: number | bigint): number | bigint => {
  // msgpackr packs a number beyond 32 bits as a float, and a bigint always in nine bytes.
  if (value >= -0x8000_0000 && value < 0x1_0000_0000) return Number(value)
  return BigInt(value)
}

/** For a value that fits `schema`: its fields in the schema's order, absent ones left out, integers in wire form. */
const wireWriter = (schema: TSchema): Convert => {
  if (schema[WIRE] !== undefined) return (value) => integerToWire(value as number | bigint)
  if (schema['type'] === 'object') {
    const fields = Object.entries(schema['properties'] as Record<string, TSchema>).map(([name, field]) => ({
      name,
      write: wireWriter(field),
    }))
    return (value) => {
      const source = value as Record<string, unknown>
      const target: Record<string, unknown> = {}
      for (const { name, write } of fields) {
        const field = source[name]
        if (field !== undefined) target[name] = write(field)
      }
      return target
    }
  }
  if (schema['type'] === 'array') {
    const write = wireWriter(schema['items'] as TSchema)
    return (value) => (value as readonly unknown[]).map(write)
  }
  return (value) => value
}

const CONVERSIONS: Record<WireForm, Convert> = {
  money: (value) => (typeof value === 'number' ? BigInt(value) : value),
  integer: (value) =>
    typeof value === 'bigint' && value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER
      ? Number(value)
      : value,
}

/** For any value just unpacked: converts integers in place where the schema expects them, leaves the rest to the check. */
const wireReader = (schema: TSchema): Convert => converter(schema) ?? ((value) => value)

const converter = (schema: TSchema): Convert | undefined => {
  const form = schema[WIRE] as WireForm | undefined
  if (form !== undefined) return CONVERSIONS[form]
  if (schema['type'] === 'object') {
    const fields: { readonly name: string; readonly read: Convert }[] = []
    for (const [name, field] of Object.entries(schema['properties'] as Record<string, TSchema>)) {
      const read = converter(field)
      if (read !== undefined) fields.push({ name, read })
    }
    if (fields.length === 0) return undefined
    return (value) => {
      if (typeof value !== 'object' || value === null) return value
      const target = value as Record<string, unknown>
      for (const { name, read } of fields) if (target[name] !== undefined) target[name] = read(target[name])
      return value
    }
  }
  if (schema['type'] === 'array') {
    const read = converter(schema['items'] as TSchema)
    if (read === undefined) return undefined
    return (value) => {
      if (Array.isArray(value)) for (let i = 0; i < value.length; i++) value[i] = read(value[i])
      return value
    }
  }
  return undefined
}

const compiled = new Map<TSchema, Codec<unknown>>()

const cachedCodec = (schema: TSchema): Codec<unknown> => {
  const known = compiled.get(schema)
  if (known !== undefined) return known
  const codec = codecOf(schema)
  compiled.set(schema, codec)
  return codec
}

const bodyCodec = (kind: KindName, version: number): Codec<unknown> | undefined => {
  const schema = kindRow(kind).bodies[version]
  return schema === undefined ? undefined : cachedCodec(schema)
}

/** The body versions this implementation accepts, for the detail of UNSUPPORTED_VERSION. */
export const acceptedVersions = (kind: KindName): readonly number[] => kindRow(kind).accepts

/** @throws TypeError when the body does not fit the schema, or the version is unknown: a bug of the caller. */
export const encodeBody = <K extends KindName>(kind: K, body: Body<K>, version = 1): Uint8Array => {
  const codec = bodyCodec(kind, version)
  if (codec === undefined) throw new TypeError(`${kind} has no body version ${version}`)
  return codec.encode(body)
}

/** UNSUPPORTED_VERSION, a 1xxx code of the bytes, or SCHEMA_VIOLATION. Byte fields are views of `bytes`. */
export const decodeBody = <K extends KindName>(kind: K, version: number, bytes: Uint8Array): Result<Body<K>> => {
  const codec = bodyCodec(kind, version)
  if (codec === undefined)
    return fail(
      'UNSUPPORTED_VERSION',
      `${kind} body version ${version}; known: ${Object.keys(KINDS[kind].bodies).join(' ')}`,
    )
  return codec.decode(bytes) as Result<Body<K>>
}

/** @throws TypeError when this kind has nothing beside its frame, or `beside` does not fit. */
export const encodeBeside = <K extends KindName>(kind: K, beside: NonNullable<Beside<K>>): Uint8Array => {
  const schema = kindRow(kind).beside
  if (schema === undefined) throw new TypeError(`${kind} has nothing beside its frame`)
  return cachedCodec(schema).encode(beside)
}

export const decodeBeside = <K extends KindName>(kind: K, bytes: Uint8Array): Result<NonNullable<Beside<K>>> => {
  const schema = kindRow(kind).beside
  if (schema === undefined) return fail('SCHEMA_VIOLATION', `${kind} has nothing beside its frame`)
  return cachedCodec(schema).decode(bytes) as Result<NonNullable<Beside<K>>>
}
