/** Properties of the codec and the envelope, over every body schema of the registry. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeBeside, decodeBody, encodeBeside, encodeBody } from './codec.ts'
import { encodeHeader, parseHeader } from './envelope.ts'
import { BYTE_MUTATORS } from './fuzz/mutate-bytes.ts'
import { generateValue } from './fuzz/generate.ts'
import { VALUE_MUTATORS } from './fuzz/mutate-values.ts'
import { createChance } from './fuzz/random.ts'
import { meaningOf, means, readTree } from './fuzz/tree.ts'
import { ENVELOPE_VERSION, type Header } from './header.ts'
import { guestToken } from './ids.ts'
import { KIND_NAMES, kindRow, type Body, type KindName } from './kinds.ts'

const seeds = fc.integer().map(String)
const bodies = KIND_NAMES.flatMap((kind) =>
  Object.entries(kindRow(kind).bodies).map(([version, schema]) => [kind, Number(version), schema] as const),
)

describe('every body schema', () => {
  test.each(bodies)(
    '%s %i: what was encoded is decoded, and means the same to another reader',
    (kind, version, schema) => {
      fc.assert(
        fc.property(seeds, (seed) => {
          const body = generateValue(schema, createChance(seed)) as Body<KindName>
          const bytes = encodeBody<KindName>(kind, body, version)
          expect(decodeBody(kind, version, bytes)).toEqual({ ok: true, value: body })
          const tree = readTree(bytes)
          const meaning = tree === undefined ? undefined : meaningOf(bytes, tree)
          expect(meaning !== undefined && means(body, meaning)).toBe(true)
        }),
        { numRuns: 40 },
      )
    },
  )

  test.each(bodies)('%s %i: no bytes are read as something else than they say', (kind, version, schema) => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const chance = createChance(seed)
        const bytes = encodeBody<KindName>(kind, generateValue(schema, chance) as Body<KindName>, version)
        const mutant = chance.pick([...VALUE_MUTATORS, ...BYTE_MUTATORS]).apply(bytes, chance, [bytes])
        if (mutant === undefined) return
        const decoded = decodeBody(kind, version, mutant)
        if (!decoded.ok) return
        const tree = readTree(mutant)
        const meaning = tree === undefined ? undefined : meaningOf(mutant, tree)
        expect(meaning !== undefined && means(decoded.value, meaning)).toBe(true)
        expect(decodeBody(kind, version, encodeBody<KindName>(kind, decoded.value, version))).toEqual(decoded)
      }),
      { numRuns: 120 },
    )
  })

  test('and what travels beside a frame', () => {
    for (const kind of KIND_NAMES) {
      const { beside: schema } = kindRow(kind)
      if (schema === undefined) continue
      for (let seed = 0; seed < 50; seed++) {
        const beside = generateValue(schema, createChance(String(seed)))
        const bytes = encodeBeside(kind as 'transaction-details', beside as never)
        expect(decodeBeside(kind, bytes)).toEqual({ ok: true, value: beside })
      }
    }
  })
})

describe('every header', () => {
  const id = fc.uint8Array({ minLength: 16, maxLength: 16 })
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 })
  const nodeId = fc.stringMatching(/^[a-z0-9]{2,8}-[a-z0-9-]{1,54}$/)
  const headers = fc
    .record({
      kind: fc.constantFrom(...KIND_NAMES),
      networkId: id,
      bodyVersion: fc.maxSafeNat(),
      messageId: id,
      from: fc.oneof(nodeId, key),
      to: fc.oneof(nodeId, key.map(guestToken)),
      sentAtMs: fc.maxSafeNat(),
      expiresAtMs: fc.maxSafeNat(),
      correlationId: fc.option(id, { nil: undefined }),
      bodyForm: fc.constantFrom('plain', 'encrypted'),
    })
    .map((header): Header => ({
      ...header,
      version: ENVELOPE_VERSION,
      expiresAtMs: kindRow(header.kind).expires ? header.expiresAtMs : undefined,
    }))
  test('comes back as it went', () => {
    fc.assert(
      fc.property(headers, (header) => {
        const parsed = parseHeader(encodeHeader(header))
        expect(parsed).toEqual({ ok: true, value: { ...header, kindNumber: kindRow(header.kind).number } })
      }),
      { numRuns: 500 },
    )
  })
})
