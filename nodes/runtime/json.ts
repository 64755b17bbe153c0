/**
 * How values of a node appear as JSON, on the control socket, in policies and in logs: bigint as decimal text, byte strings as
 * lower-case hex, everything else as JSON has it. The way back needs the schema, since text may stand for either.
 */
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Value } from '@sinclair/typebox/value'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import type { TSchema } from '../../protocol/fields.ts'

const replacer = (_key: string, value: unknown): unknown => {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Uint8Array) return toHex(value)
  if (value instanceof Map) return Object.fromEntries(value)
  return value
}

/**
 * Values as `JSON.stringify` alone writes them rightly: its replacer would be called for every field of every journal row, and a
 * Buffer's own `toJSON` would run before it.
 */
const plain = (value: unknown): unknown => {
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return toHex(value)
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Map) return plain(Object.fromEntries(value))
  if (Object.getPrototypeOf(value) !== Object.prototype) return JSON.parse(JSON.stringify(value, replacer) ?? 'null')
  const fields: Record<string, unknown> = {}
  for (const [name, field] of Object.entries(value)) fields[name] = plain(field)
  return fields
}

/** JSON text of a node's value. */
export const toJson = (value: unknown): string => JSON.stringify(plain(value)) ?? 'null'

export type SchemaProblem = { readonly path: string; readonly message: string }
export type FromJson<T> =
  | { readonly ok: true; readonly value: T }
  /** `problem`: the first of them, as text. */
  | { readonly ok: false; readonly problem: string; readonly problems: readonly SchemaProblem[] }

const compiled = new WeakMap<TSchema, ReturnType<typeof TypeCompiler.Compile>>()

/** The inverse, by schema: parsed JSON → the value. `problem` names the first field that does not fit. */
export const fromJson = <T = unknown>(schema: TSchema, json: unknown): FromJson<T> => {
  const value = convert(schema, json)
  let check = compiled.get(schema)
  if (check === undefined) compiled.set(schema, (check = TypeCompiler.Compile(schema)))
  if (check.Check(value)) return { ok: true, value: value as T }
  const problems = problemsOf(check.Errors(value))
  const [first] = problems
  return {
    ok: false,
    problem: first === undefined ? 'does not fit' : `${first.path || '/'}: ${first.message}`,
    problems,
  }
}

type Problems = Iterable<{
  readonly path: string
  readonly message: string
  readonly schema: TSchema
  readonly value: unknown
}>

/** What does not fit, as people say it: of a union the problems of the variant that is meant, not that none of them fits. */
export const problemsOf = (errors: Problems): readonly SchemaProblem[] =>
  [...errors].flatMap(({ path, message, schema, value }): readonly SchemaProblem[] => {
    const variants = schema['anyOf'] as readonly TSchema[] | undefined
    const meant = variants === undefined ? undefined : variantOf(variants, value)
    if (meant !== undefined)
      return problemsOf(Value.Errors(meant, value)).map((inner) => ({ ...inner, path: `${path}${inner.path}` }))
    const names = (variants ?? []).flatMap((variant) => Object.entries(literalsOf(variant)))
    if (names.length === 0) return [{ path, message: message === 'Unexpected property' ? 'no such setting' : message }]
    return [{ path: `${path}/${names[0]?.[0]}`, message: `one of ${names.map(([, name]) => String(name)).join(', ')}` }]
  })

/** Fields of an object's schema that have one value only: by them the variants of a union are told apart. */
const literalsOf = (schema: TSchema): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries((schema['properties'] ?? {}) as Record<string, TSchema>).flatMap(([name, field]) =>
      'const' in field ? [[name, field['const']]] : [],
    ),
  )

const variantOf = (variants: readonly TSchema[], value: unknown): TSchema | undefined => {
  if (typeof value !== 'object' || value === null) return undefined
  const given = value as Readonly<Record<string, unknown>>
  return variants.find((variant) => {
    const literals = Object.entries(literalsOf(variant))
    return literals.length > 0 && literals.every(([name, literal]) => given[name] === literal)
  })
}

const convert = (schema: TSchema, json: unknown): unknown => {
  const kind = schema['type'] as string | undefined
  if (kind === 'bigint') {
    if (typeof json === 'string' && /^-?\d{1,30}$/.test(json)) return BigInt(json)
    return typeof json === 'number' && Number.isSafeInteger(json) ? BigInt(json) : json
  }
  if (kind === 'Uint8Array') return typeof json === 'string' && /^([0-9a-fA-F]{2})*$/.test(json) ? fromHex(json) : json
  if (kind === 'array' && Array.isArray(json)) return json.map((item) => convert(schema['items'] as TSchema, item))
  if (kind === 'object' && typeof json === 'object' && json !== null && !Array.isArray(json)) {
    const properties = (schema['properties'] ?? {}) as Record<string, TSchema>
    const patterns = Object.entries((schema['patternProperties'] ?? {}) as Record<string, TSchema>).map(
      ([pattern, field]) => [new RegExp(pattern, 'u'), field] as const,
    )
    return Object.fromEntries(
      Object.entries(json).map(([name, field]) => {
        const of = Object.hasOwn(properties, name)
          ? properties[name]
          : patterns.find(([pattern]) => pattern.test(name))?.[1]
        return [name, of === undefined ? field : convert(of, field)]
      }),
    )
  }
  const variants = (schema['anyOf'] ?? schema['oneOf']) as readonly TSchema[] | undefined
  if (variants !== undefined) {
    const meant = variantOf(variants, json)
    if (meant !== undefined) return convert(meant, json)
    for (const variant of variants) {
      const tried = fromJson(variant, json)
      if (tried.ok) return tried.value
    }
  }
  return json
}
