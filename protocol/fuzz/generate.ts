/** Values of a body schema, made from the schema itself: whatever the registry comes to hold has samples at once. */
import { WIRE, type TSchema } from '../fields.ts'
import { ACCOUNT_ID_PATTERN, GUEST_TOKEN_PATTERN, guestToken, NODE_ID_PATTERN, REALM_PATTERN } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import type { Chance } from './random.ts'

const NODE_IDS = [
  'hu-otp',
  'hu-cosmo',
  'hu-kh',
  'hu-dc-1',
  'hu-shop-1',
  'hu-wallet-1',
  'hu-alice',
  'hu-bakery',
  'at-pub',
]
const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789-'
const TEXT_UNITS = ['a', 'Z', ' ', '"', '\u0000', 'é', 'ő', '€', '한', '😀', '\u202e', '\n', '\ufeff']

const name = (chance: Chance): string =>
  Array.from({ length: 1 + chance.below(chance.pick([3, 10, 54])) }, () => LETTERS[chance.below(LETTERS.length)]).join(
    '',
  )
const nodeId = (chance: Chance): string =>
  chance.percent(70) ? chance.pick(NODE_IDS) : `${chance.pick(['hu', 'at', 'realm123'])}-${name(chance)}`

const PATTERNS: Readonly<Record<string, (chance: Chance) => string>> = {
  [NODE_ID_PATTERN]: nodeId,
  [ACCOUNT_ID_PATTERN]: (chance) => `${nodeId(chance)}:${name(chance)}`,
  [REALM_PATTERN]: (chance) => chance.pick(['hu', 'at', 'realm123']),
  [GUEST_TOKEN_PATTERN]: (chance) => guestToken(chance.bytes(32)),
}

const within = (chance: Chance, minimum: bigint, maximum: bigint): bigint => {
  const edge = chance.below(6)
  if (edge === 0) return minimum
  if (edge === 1) return maximum
  let drawn = 0n
  for (const byte of chance.bytes(9)) drawn = (drawn << 8n) | BigInt(byte)
  // Small ones as often as large ones: each width of the wire form is met.
  const bits = BigInt(1 + chance.below(64))
  const span = maximum - minimum + 1n
  return minimum + ((drawn % (1n << bits)) % span)
}

const text = (schema: TSchema, chance: Chance): string => {
  const { enum: words, pattern, maxLength } = schema as { enum?: string[]; pattern?: string; maxLength?: number }
  if (words !== undefined) return chance.pick(words)
  if (pattern !== undefined) {
    const make = PATTERNS[pattern]
    if (make === undefined) throw new Error(`no sample for the pattern ${pattern}`)
    return make(chance)
  }
  const limit = Math.min(maxLength ?? LIMITS.maxTextBytes, chance.pick([0, 1, 8, 40, LIMITS.maxTextBytes]))
  let made = ''
  let bytes = 0
  while (made.length < limit) {
    const unit = chance.percent(60) ? 'x' : chance.pick(TEXT_UNITS)
    const code = unit.codePointAt(0) ?? 0
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x1_0000 ? 3 : 4
    if (made.length + unit.length > limit || bytes > LIMITS.maxTextBytes) break
    made += unit
  }
  return made
}

/**
 * A value that fits `schema`, of a few items and a few hundred bytes where the schema sets a range, at its edges now and then.
 * @throws Error for a schema of a form that no body has so far
 */
export const generateValue = (schema: TSchema, chance: Chance): unknown => {
  const bounds = schema as { minimum?: number | bigint; maximum?: number | bigint }
  switch (schema['type'] as string | undefined) {
    case 'object': {
      const required = new Set((schema['required'] ?? []) as readonly string[])
      const made: Record<string, unknown> = {}
      for (const [field, inner] of Object.entries(schema['properties'] as Record<string, TSchema>))
        if (required.has(field) || chance.percent(50)) made[field] = generateValue(inner, chance)
      return made
    }
    case 'array': {
      const { minItems = 0, maxItems = 8 } = schema as { minItems?: number; maxItems?: number }
      const length = Math.min(maxItems, minItems + chance.below(4))
      return Array.from({ length }, () => generateValue(schema['items'] as TSchema, chance))
    }
    case 'Uint8Array': {
      const { minByteLength = 0, maxByteLength = 64 } = schema as { minByteLength?: number; maxByteLength?: number }
      return chance.bytes(
        Math.min(maxByteLength, minByteLength + (minByteLength === maxByteLength ? 0 : chance.below(300))),
      )
    }
    case 'string':
      return text(schema, chance)
    case 'bigint':
      return within(chance, BigInt(bounds.minimum ?? 0n), BigInt(bounds.maximum ?? 0n))
    case 'integer':
      return Number(within(chance, BigInt(bounds.minimum ?? 0), BigInt(bounds.maximum ?? 0)))
    default:
      throw new Error(`no sample for a schema of ${JSON.stringify(schema['type'] ?? schema[WIRE])}`)
  }
}
