/** The audit of whole bundles: what it proves, and that whatever is changed, taken out or put in its place is named. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { auditEvidence } from './audit.ts'
import { time } from './audit-findings.ts'
import { encodeBundle, readBundle, type Bundle, type Gathered } from './evidence.ts'
import { another, audit, engine, macro, micro, named, sealed, withAt } from './testing/audited-samples.ts'
import { sealSample, type SampleEvidence } from './testing/sample-evidence.ts'
import { createSampleNetwork } from './testing/sample-network.ts'

const SAMPLES: readonly (readonly [string, SampleEvidence, SampleEvidence])[] = (
  ['customer', 'merchant', 'cpp', 'mpp'] as const
).flatMap((party) => [
  [`micro ${party}`, micro[party], another.micro[party]] as const,
  [`macro ${party}`, macro[party], another.macro[party]] as const,
])

const open = (bytes: Uint8Array): Bundle => {
  const bundle = readBundle(bytes)
  if (!bundle.ok) throw new Error(bundle.failure.code)
  return bundle.value
}
const nameOf = ({ kind, of }: Pick<Gathered, 'kind' | 'of'>): string => (of === undefined ? kind : `${kind} of ${of}`)
const flipped = (bytes: Uint8Array, at: number, bit = 0): Uint8Array => {
  const copy = bytes.slice()
  copy[at] = (copy[at] as number) ^ (1 << bit)
  return copy
}
const without = <T>(items: readonly T[], at: number): T[] => items.filter((_, i) => i !== at)

describe('the audit of a whole bundle', () => {
  it.each(SAMPLES)('finds nothing missing and nothing wrong: %s', (_, sample) => {
    const { ok, missing, problems, proved } = sealed(sample)
    expect({ ok, missing, problems }).toEqual({ ok: true, missing: [], problems: [] })
    expect(proved.length).toBeGreaterThan(3)
  })

  it('says in words what is proved', () => {
    expect(sealed(micro.cpp).proved.map(({ text }) => text)).toEqual([
      'hu-otp (cpp) gathered this at 2027-01-15T08:01:00.000Z and sealed the list of it',
      'bakery@hu, a payee of hu-cosmo at hu-shop-1, asked for 1.20 EUR at 2027-01-15T08:00:00.000Z',
      'hu-alice told hu-otp to pay this invoice, at 2027-01-15T08:00:00.000Z, with the device that hu-otp enrolled',
      "hu-otp noticed the payee's side of the payment (micro) at 2027-01-15T08:00:00.000Z",
      'hu-shop-1, countersigned by hu-cosmo, decided to approve it at 2027-01-15T08:00:00.000Z',
      'hu-otp confirmed at 2027-01-15T08:00:00.000Z that it owes 1.20 EUR to hu-cosmo for the payee, as entry 2 of their sequence',
      'hu-otp confirmed to its customer at 2027-01-15T08:00:00.000Z that 1.20 EUR is paid to bakery@hu and will be collected later',
      'hu-otp settles entries 1 to 3 with hu-cosmo, 3.20 EUR in all, and the entry of this payment is one of them',
      'hu-cosmo accepted the batch at 2027-01-15T08:00:00.000Z',
      'hu-kh booked 3.20 EUR for the batch at 2027-01-15T08:00:00.000Z',
      'hu-kh booked 9.00 EUR from hu-kh:alice at 2027-01-15T08:00:00.000Z: what the customer owed then, this payment in it',
    ])
  })

  it('is nothing under another root key', () => {
    const other = createSampleNetwork(engine, 'another root').root.publicKey
    const { ok, problems } = auditEvidence(engine, other, sealSample(micro.cpp))
    expect([ok, problems]).toEqual([
      false,
      [{ piece: 'statement', text: 'it is of another network than this root key' }],
    ])
  })
})

describe.each(SAMPLES)('what is done to a bundle is named: %s', (_, sample, other) => {
  const whole = open(sealSample(sample))
  const { pieces } = sample

  it('a piece taken out is missing', () => {
    pieces.forEach((piece, at) => {
      const { ok, missing } = audit(encodeBundle({ ...whole, pieces: without(whole.pieces, at) }))
      expect([nameOf(piece), ok, missing.map((one) => one.piece)]).toEqual([
        nameOf(piece),
        false,
        expect.arrayContaining([nameOf(piece)]),
      ])
    })
  })

  it('a piece that its gatherer leaves out is missing, as far as the others need it', () => {
    pieces.forEach((piece, at) => {
      const found = sealed({ ...sample, pieces: without(pieces, at) })
      // The first of a request or notice shows the invoice as well.
      if (piece.kind === 'transaction-details') return
      expect([nameOf(piece), found.ok]).toEqual([nameOf(piece), false])
      const credential = piece.kind === 'credential'
      if (!credential) expect([nameOf(piece), named(found).length > 0]).toEqual([nameOf(piece), true])
    })
  })

  it('one bit flipped in any region of a piece, by someone else or by the gatherer itself', () => {
    pieces.forEach((piece, at) => {
      const { bytes } = piece
      for (let region = 0; region < 8; region++) {
        const spoilt = flipped(bytes, Math.floor((region * (bytes.length - 1)) / 7), region % 8)
        const outside = audit(encodeBundle({ ...whole, pieces: withAt(whole.pieces, at, spoilt) }))
        expect([nameOf(piece), region, outside.ok, outside.problems.map((one) => one.piece)]).toEqual([
          nameOf(piece),
          region,
          false,
          expect.arrayContaining([nameOf(piece)]),
        ])
        const inside = sealed({ ...sample, pieces: withAt(pieces, at, { ...piece, bytes: spoilt }) })
        // Sealed by the gatherer over spoilt bytes: the piece itself, or what rests on it, does not hold.
        expect([nameOf(piece), region, inside.ok]).toEqual([nameOf(piece), region, false])
        if (piece.kind !== 'credential')
          expect([region, named(inside)]).toEqual([region, expect.arrayContaining([piece.kind])])
      }
    })
  })

  it("another payment's piece in its place, by someone else or by the gatherer itself", () => {
    pieces.forEach((piece, at) => {
      const swapped = other.pieces[at] as Gathered
      if (piece.kind === 'credential' || piece.kind === 'revocation-list') return
      const outside = audit(encodeBundle({ ...whole, pieces: withAt(whole.pieces, at, swapped.bytes) }))
      expect([nameOf(piece), outside.problems.map((one) => one.piece)]).toEqual([
        nameOf(piece),
        expect.arrayContaining([nameOf(piece)]),
      ])
      const inside = sealed({ ...sample, pieces: withAt(pieces, at, swapped) })
      // A collection's order and answer name no payment: of them only the pair can be told.
      expect([nameOf(piece), inside.ok, named(inside)]).toEqual([
        nameOf(piece),
        false,
        expect.arrayContaining([piece.kind]),
      ])
    })
  })

  it('a piece that nothing lists', () => {
    const added = other.pieces[0] as Gathered
    const { problems } = audit(encodeBundle({ ...whole, pieces: [...whole.pieces, added.bytes] }))
    expect(problems.map(({ piece }) => piece)).toEqual([added.kind])
  })

  it('one bit anywhere in the file', () => {
    const bytes = sealSample(sample)
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
        const { ok, problems, missing } = audit(flipped(bytes, at, bit))
        return !ok && problems.length + missing.length > 0
      }),
      { numRuns: 60 },
    )
  })
})

describe('bytes that are no bundle', () => {
  it.each([
    ['nothing', new Uint8Array(0)],
    ['text', new TextEncoder().encode('evidence')],
    ['a frame', micro.cpp.pieces[0]?.bytes as Uint8Array],
    ['too much', new Uint8Array(2_000_000)],
  ])('are named: %s', (_, bytes) => {
    const { ok, problems } = audit(bytes)
    expect([ok, problems.map(({ piece }) => piece)]).toEqual([false, ['bundle']])
  })

  it('and whatever the bytes, nothing is thrown and nothing proved', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => !audit(bytes).ok),
      { numRuns: 200 },
    )
  })
})

describe('time', () => {
  it('is what the calendar says', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 253_402_300_799_999 }), (ms) => time(ms) === new Date(ms).toISOString()),
    )
  })
})
