/** The audit of whole bundles: what it proves, and that whatever is changed, taken out or put in its place is named. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { auditEvidence } from './audit.ts'
import type { Audit } from './audit-findings.ts'
import { time } from './audit-findings.ts'
import { loadEngine } from './engines/load.ts'
import { encodeBundle, readBundle, type Bundle, type Gathered } from './evidence.ts'
import { issueRevocationList } from './statements.ts'
import { createSampleEvidence, sealSample, type SampleEvidence } from './testing/sample-evidence.ts'
import { createSampleNetwork, NOW, seedOf } from './testing/sample-network.ts'

const engine = loadEngine()
const network = createSampleNetwork(engine)
const { networkId, root, cpp, mpp, bank } = network
const micro = createSampleEvidence(network, 'one')
const macro = createSampleEvidence(network, 'two', { amountMinor: 5_000n })
const another = {
  micro: createSampleEvidence(network, 'three', { pairSeq: 3 }),
  macro: createSampleEvidence(network, 'four', { amountMinor: 7_000n }),
}

const SAMPLES: readonly (readonly [string, SampleEvidence, SampleEvidence])[] = (
  ['customer', 'merchant', 'cpp', 'mpp'] as const
).flatMap((party) => [
  [`micro ${party}`, micro[party], another.micro[party]] as const,
  [`macro ${party}`, macro[party], another.macro[party]] as const,
])

const audit = (bundle: Uint8Array): Audit => auditEvidence(engine, root.publicKey, bundle)
const sealed = (sample: SampleEvidence): Audit => audit(sealSample(sample))
const open = (bytes: Uint8Array): Bundle => {
  const bundle = readBundle(bytes)
  if (!bundle.ok) throw new Error(bundle.failure.code)
  return bundle.value
}
const nameOf = ({ kind, of }: Pick<Gathered, 'kind' | 'of'>): string => (of === undefined ? kind : `${kind} of ${of}`)
const named = ({ missing, problems }: Audit): readonly string[] => [...missing, ...problems].map(({ piece }) => piece)
const flipped = (bytes: Uint8Array, at: number, bit = 0): Uint8Array => {
  const copy = bytes.slice()
  copy[at] = (copy[at] as number) ^ (1 << bit)
  return copy
}
const without = <T>(items: readonly T[], at: number): T[] => items.filter((_, i) => i !== at)
const withAt = <T>(items: readonly T[], at: number, item: T): T[] => items.map((one, i) => (i === at ? item : one))

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

describe('lies that a gatherer could tell', () => {
  const replace = (sample: SampleEvidence, kind: string, bytes: Uint8Array): SampleEvidence => ({
    ...sample,
    pieces: sample.pieces.map((piece) => (piece.kind === kind ? { ...piece, bytes } : piece)),
  })
  const { pnId, txId } = micro.cpp.about
  const id = (bytes: Uint8Array | undefined): Uint8Array => bytes as Uint8Array

  it.each([
    [
      'a DT over another amount',
      'delayed-transfer-confirmation',
      micro.seal(
        'delayed-transfer-confirmation',
        cpp.id,
        'hu-shop-1',
        {
          pnId: id(pnId),
          payee: 'hu-bakery',
          txId,
          amountMinor: 121n,
          currency: 'EUR',
          confirmedAtMs: NOW,
          mpp: mpp.id,
          pairSeq: 2,
        },
        cpp.signing,
      ),
      'its amount is not that of the invoice',
    ],
    [
      'a T where a DT belongs',
      'delayed-transfer-confirmation',
      micro.seal(
        'transfer-confirmation',
        cpp.id,
        'hu-shop-1',
        { pnId: id(pnId), payee: 'hu-bakery', txId, amountMinor: 120n, currency: 'EUR', confirmedAtMs: NOW },
        cpp.signing,
      ),
      undefined,
    ],
    [
      'a DT owed to another MPP',
      'delayed-transfer-confirmation',
      micro.seal(
        'delayed-transfer-confirmation',
        cpp.id,
        'hu-shop-1',
        {
          pnId: id(pnId),
          payee: 'hu-bakery',
          txId,
          amountMinor: 120n,
          currency: 'EUR',
          confirmedAtMs: NOW,
          mpp: 'hu-other',
          pairSeq: 2,
        },
        cpp.signing,
      ),
      'it is owed to another MPP than the one of the invoice',
    ],
    [
      'a DT that the MPP made itself',
      'delayed-transfer-confirmation',
      micro.seal(
        'delayed-transfer-confirmation',
        cpp.id,
        'hu-shop-1',
        {
          pnId: id(pnId),
          payee: 'hu-bakery',
          txId,
          amountMinor: 120n,
          currency: 'EUR',
          confirmedAtMs: NOW,
          mpp: mpp.id,
          pairSeq: 2,
        },
        mpp.signing,
      ),
      undefined,
    ],
    [
      "an approve without the merchant's",
      'countersigned-decision',
      micro.seal(
        'countersigned-decision',
        mpp.id,
        cpp.id,
        { pnId: id(pnId), payee: 'hu-bakery', noticeDigest: seedOf('no notice'), decision: 'approve' },
        mpp.signing,
      ),
      'it answers another notice',
    ],
    [
      'an outcome beside the confirmation',
      'settlement-acceptance',
      micro.seal(
        'payment-outcome',
        cpp.id,
        'hu-shop-1',
        { pnId: id(pnId), payee: 'hu-bakery', txId, outcome: 'expired', code: 6_004, decidedAtMs: NOW },
        cpp.signing,
      ),
      undefined,
    ],
    [
      'an acceptance of another batch',
      'settlement-acceptance',
      micro.seal(
        'settlement-acceptance',
        mpp.id,
        cpp.id,
        { batchId: id(pnId), seq: 1, batchHash: seedOf('batch') },
        mpp.signing,
      ),
      'it answers another batch',
    ],
    [
      'a bank that refused',
      'transfer-answer',
      micro.seal(
        'transfer-answer',
        bank.id,
        cpp.id,
        { orderId: id(pnId), result: 'refused', code: 7_001 },
        bank.signing,
      ),
      undefined,
    ],
  ] as const)('%s', (_, kind, bytes, text) => {
    const { ok, problems, missing } = sealed(replace(micro.cpp, kind, bytes))
    expect(ok).toBe(false)
    const found = [...problems, ...missing]
    expect(found.map(({ piece }) => piece)).toContain(kind)
    if (text !== undefined) expect(found.map((one) => one.text)).toContain(text)
  })

  it('a proof of another entry', () => {
    const { inclusion } = another.micro.cpp.about
    if (inclusion === undefined) throw new Error('no proof')
    const moved = sealed({ ...micro.cpp, about: { ...micro.cpp.about, inclusion } })
    expect(named(moved)).toEqual(['inclusion'])
    const shifted = { ...inclusion, index: 1 }
    expect(named(sealed({ ...micro.cpp, about: { ...micro.cpp.about, inclusion: shifted } }))).toEqual([
      'settlement-batch',
    ])
    const { inclusion: _, ...about } = micro.cpp.about
    expect(named(sealed({ ...micro.cpp, about }))).toEqual(['inclusion'])
  })

  it('a statement under the key of someone else', () => {
    expect(named(sealed({ ...micro.cpp, key: mpp.signing }))).toEqual(['statement'])
    expect(named(sealed({ ...micro.cpp, about: { ...micro.cpp.about, party: 'mpp' } }))).toContain('statement')
  })
})

describe('refunds', () => {
  const { pnId, prId, txId } = micro.cpp.about
  const id = (bytes: Uint8Array | undefined): Uint8Array => bytes as Uint8Array
  const payee = 'hu-bakery'
  type Terms = {
    readonly askedMinor?: bigint
    readonly amountMinor?: bigint
    readonly toldMinor?: bigint
    readonly pnId?: Uint8Array
    readonly txId?: Uint8Array
    readonly prId?: Uint8Array
    readonly of?: string
  }
  /** The pieces of one refund of the payment, as its CPP has them. */
  const refund = (name: string, terms: Terms = {}): Gathered[] => {
    const { amountMinor = 50n, askedMinor = amountMinor, toldMinor = amountMinor } = terms
    const refundId = seedOf(`refund ${name}`).slice(0, 16)
    const about = { refundId, pnId: terms.pnId ?? id(pnId), payee }
    const money = { currency: 'EUR', txId: terms.txId ?? txId } as const
    const request = micro.seal(
      'refund-request',
      'hu-shop-1',
      mpp.id,
      { ...about, ...money, amountMinor: askedMinor },
      network.merchant.signing,
    )
    return [
      {
        kind: 'countersigned-refund',
        bytes: micro.seal('countersigned-refund', mpp.id, cpp.id, { ...about, request }, mpp.signing),
      },
      {
        kind: 'refund-confirmation',
        bytes: micro.seal(
          'refund-confirmation',
          cpp.id,
          'hu-shop-1',
          { ...about, ...money, amountMinor, mpp: mpp.id, pairSeq: 9, confirmedAtMs: NOW },
          cpp.signing,
        ),
      },
      {
        kind: 'customer-refund-notice',
        bytes: micro.seal(
          'customer-refund-notice',
          cpp.id,
          'hu-alice',
          { refundId, prId: terms.prId ?? id(prId), amountMinor: toldMinor, currency: 'EUR', confirmedAtMs: NOW },
          cpp.signing,
        ),
      },
    ]
  }
  const withRefunds = (...refunds: readonly Gathered[][]): SampleEvidence => ({
    ...micro.cpp,
    about: { ...micro.cpp.about, refunds: refunds.length },
    pieces: [...micro.cpp.pieces, ...refunds.flat()],
  })

  it('are proved, up to the whole payment', () => {
    const { ok, proved } = sealed(withRefunds(refund('a'), refund('b', { amountMinor: 70n })))
    expect([ok, proved.filter(({ piece }) => piece === 'refund-confirmation').length]).toEqual([true, 2])
  })

  it.each([
    ['more than the payment', withRefunds(refund('a'), refund('b', { amountMinor: 71n })), 'refund-confirmation'],
    ['another sum than was asked for', withRefunds(refund('a', { askedMinor: 51n })), 'refund-confirmation'],
    ['another sum to the customer', withRefunds(refund('a', { toldMinor: 49n })), 'customer-refund-notice'],
    ['of another payment', withRefunds(refund('a', { pnId: seedOf('pn').slice(0, 16) })), 'refund-confirmation'],
    ['of another invoice', withRefunds(refund('a', { txId: seedOf('tx').slice(0, 16) })), 'refund-confirmation'],
    ['to another customer', withRefunds(refund('a', { prId: seedOf('pr').slice(0, 16) })), 'customer-refund-notice'],
    ['that nobody asked for', withRefunds(refund('a').slice(1)), 'countersigned-refund'],
    ['that the customer was not told of', withRefunds(refund('a').slice(0, 2)), 'customer-refund-notice'],
    ['confirmed twice', withRefunds(refund('a'), refund('a', { amountMinor: 20n })), 'refund-confirmation'],
    ['that is not shown', { ...micro.cpp, about: { ...micro.cpp.about, refunds: 1 } }, 'refund-confirmation'],
  ])('%s: named', (_, sample, piece) => {
    const audited = sealed(sample)
    expect([audited.ok, named(audited)]).toEqual([false, expect.arrayContaining([piece])])
  })
})

describe('revocation', () => {
  const withList = (sample: SampleEvidence, revoked: readonly Uint8Array[], issuedAtMs: number): SampleEvidence => {
    const bytes = issueRevocationList(engine, { networkId, version: 1, revoked: [...revoked], issuedAtMs }, root)
    return {
      ...sample,
      pieces: sample.pieces.map((piece) => (piece.kind === 'revocation-list' ? { ...piece, bytes } : piece)),
    }
  }

  it('leaves standing what was in the journal before, and says so', () => {
    const { ok, notes } = sealed(withList(micro.mpp, [cpp.signing.keyId], NOW + 1_000))
    expect(ok).toBe(true)
    expect(notes.map(({ piece }) => piece)).toEqual([
      'revocation-list',
      'payment-notice',
      'delayed-transfer-confirmation',
      'settlement-batch',
    ])
  })

  it('voids what came later, and what has no place in the journal', () => {
    expect(named(sealed(withList(micro.mpp, [cpp.signing.keyId], NOW)))).toEqual(
      expect.arrayContaining(['payment-notice', 'delayed-transfer-confirmation', 'settlement-batch']),
    )
    const list = withList(micro.mpp, [cpp.signing.keyId], NOW + 1_000)
    const pieces = list.pieces.map(({ position: _, ...piece }) => piece)
    expect(named(sealed({ ...list, pieces }))).toContain('delayed-transfer-confirmation')
  })

  it('voids a host with the processor that certified it, and a statement with its key', () => {
    expect(named(sealed(withList(micro.merchant, [mpp.signing.keyId], NOW + 1_000)))).toEqual(['statement'])
    expect(named(sealed(withList(micro.cpp, [cpp.signing.keyId], NOW + 1_000)))).toEqual(['statement'])
  })

  it('is missing when the gatherer had a list that is not here', () => {
    const about = { ...micro.cpp.about, revocationVersion: 2 }
    expect(named(sealed({ ...micro.cpp, about }))).toEqual(['revocation-list'])
    const pieces = micro.cpp.pieces.filter(({ kind }) => kind !== 'revocation-list')
    expect(named(sealed({ ...micro.cpp, pieces }))).toEqual(['revocation-list'])
    const none = { ...micro.cpp, pieces, about: { ...micro.cpp.about, revocationVersion: 0 } }
    expect(sealed(none).ok).toBe(true)
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
