/** What a gatherer could seal that is not so: each piece good by itself, and together not one payment. */
import { describe, expect, it } from 'vitest'
import { equalBytes } from './bytes.ts'
import { decodeBody } from './codec.ts'
import type { Gathered } from './evidence.ts'
import { signingKeyFromSeed, type SigningKey } from './keys.ts'
import type { Body, KindName } from './kinds.ts'
import { parseFrame } from './seals.ts'
import { issueProcessor, issueRevocationList } from './statements.ts'
import { another, engine, macro, micro, named, network, sealed, withAt } from './testing/audited-samples.ts'
import type { SampleEvidence } from './testing/sample-evidence.ts'
import { NOW, seedOf, VALID_FROM, VALID_TO } from './testing/sample-network.ts'

const { networkId, root, cpp, mpp, bank } = network

const withList = (sample: SampleEvidence, revoked: readonly Uint8Array[], issuedAtMs: number): SampleEvidence => {
  const bytes = issueRevocationList(engine, { networkId, version: 1, revoked: [...revoked], issuedAtMs }, root)
  return {
    ...sample,
    pieces: sample.pieces.map((piece) => (piece.kind === 'revocation-list' ? { ...piece, bytes } : piece)),
  }
}

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

  /** Another processor of the same network, with what proves its key. */
  const outsider = (name: string, role: 'mpp' | 'cpp' | 'bank') => {
    const signing = signingKeyFromSeed(engine, seedOf(name))
    const bytes = issueProcessor(
      engine,
      {
        networkId,
        id: name,
        role,
        realm: 'hu',
        operatorId: name,
        algorithm: 'ed25519',
        signingKey: signing.publicKey,
        sealingKey: network.mpp.sealing.publicKey,
        notBeforeMs: VALID_FROM,
        notAfterMs: VALID_TO,
        serial: 1,
      },
      root,
    )
    return { signing, credential: { kind: 'credential', of: name, bytes } }
  }
  const bodyOf = <K extends KindName>(sample: SampleEvidence, kind: K): Body<K> => {
    const bytes = sample.pieces.find((piece) => piece.kind === kind)?.bytes as Uint8Array
    const frame = parseFrame(bytes)
    const body = frame.ok ? decodeBody(kind, 1, frame.value.bodyBytes) : frame
    if (!body.ok) throw new Error(body.failure.code)
    return body.value
  }

  it.each([
    ['an MPP', 'countersigned-decision', 'mpp'],
    ['a CPP', 'delayed-transfer-confirmation', 'cpp'],
    ['a bank', 'transfer-answer', 'bank'],
    ['an MPP', 'settlement-acceptance', 'mpp'],
  ] as const)('another %s of the network in place of the right one: %s', (_, kind, role) => {
    const { signing, credential } = outsider('hu-other', role)
    const bytes = micro.seal(kind, 'hu-other', cpp.id, bodyOf(micro.cpp, kind), signing)
    const lie = replace(micro.cpp, kind, bytes)
    expect(named(sealed({ ...lie, pieces: [...lie.pieces, credential] }))).toContain(kind)
  })

  it('another request of the same invoice, and one that another CPP was to carry out', () => {
    const body = bodyOf(micro.cpp, 'payment-request')
    const other = micro.seal(
      'payment-request',
      'hu-alice',
      cpp.id,
      { ...body, prId: seedOf('pr').slice(0, 16) },
      network.device,
    )
    expect(named(sealed(replace(micro.cpp, 'payment-request', other)))).toEqual(['payment-request'])
    const elsewhere = micro.seal('payment-request', 'hu-alice', 'hu-other', body, network.device)
    expect(named(sealed(replace(micro.cpp, 'payment-request', elsewhere)))).toContain('payment-request')
  })

  it('a booking to another account, of another sum, or for another invoice', () => {
    const body = bodyOf(macro.cpp, 'post-order')
    for (const change of [
      { creditAccount: 'hu-kh:thief' },
      { amountMinor: 4_999n },
      { reference: { purpose: 'payment', id: seedOf('tx').slice(0, 16) } as const },
    ]) {
      const bytes = macro.seal('post-order', cpp.id, bank.id, { ...body, ...change }, cpp.signing)
      expect([change, named(sealed(replace(macro.cpp, 'post-order', bytes)))]).toEqual([change, ['post-order']])
    }
    const notice = bodyOf(macro.merchant, 'account-notice')
    for (const change of [{ account: 'hu-kh:thief' }, { amountMinor: 4_999n }]) {
      const bytes = macro.seal('account-notice', bank.id, 'hu-shop-1', { ...notice, ...change }, bank.signing)
      expect([change, named(sealed(replace(macro.merchant, 'account-notice', bytes)))]).toEqual([
        change,
        ['account-notice'],
      ])
    }
  })

  it('a batch paid in part, and an answer that names no such batch', () => {
    const order = bodyOf(micro.cpp, 'transfer-order')
    const paid = micro.seal('transfer-order', cpp.id, bank.id, { ...order, amountMinor: 319n }, cpp.signing)
    const first = micro.cpp.pieces.findIndex(({ kind }) => kind === 'transfer-order')
    const pieces = withAt(micro.cpp.pieces, first, { kind: 'transfer-order', bytes: paid })
    expect(named(sealed({ ...micro.cpp, pieces }))).toEqual(['transfer-order'])
    const { orderId } = order
    const refused = micro.seal(
      'transfer-answer',
      bank.id,
      cpp.id,
      { orderId, result: 'refused', code: 7_001 },
      bank.signing,
    )
    const answered = micro.cpp.pieces.findIndex(({ kind }) => kind === 'transfer-answer')
    const unpaid = withAt(micro.cpp.pieces, answered, { kind: 'transfer-answer', bytes: refused })
    expect(named(sealed({ ...micro.cpp, pieces: unpaid }))).toEqual(['transfer-answer'])
    const acceptance = { ...bodyOf(micro.cpp, 'settlement-acceptance'), batchHash: seedOf('hash') }
    const bytes = micro.seal('settlement-acceptance', mpp.id, cpp.id, acceptance, mpp.signing)
    expect(named(sealed(replace(micro.cpp, 'settlement-acceptance', bytes)))).toEqual(['settlement-acceptance'])
  })

  it('a collection that is not shown, unless it stood in an order of many', () => {
    const orderId = bodyOf({ ...micro.cpp, pieces: micro.cpp.pieces.slice(9) }, 'transfer-order').orderId
    const isCollection = ({ kind, bytes }: Gathered): boolean => {
      const frame = parseFrame(bytes)
      const body =
        frame.ok && (kind === 'transfer-order' || kind === 'transfer-answer')
          ? decodeBody(kind, 1, frame.value.bodyBytes)
          : undefined
      return body?.ok === true && equalBytes(body.value.orderId, orderId)
    }
    const pieces = micro.cpp.pieces.filter((piece) => !isCollection(piece))
    expect(pieces.length).toBe(micro.cpp.pieces.length - 2)
    expect(named(sealed({ ...micro.cpp, pieces }))).toEqual(['transfer-order'])
    expect(sealed({ ...micro.cpp, pieces, about: { ...micro.cpp.about, collection: 'bulk' } }).ok).toBe(true)
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
    readonly countersigned?: SigningKey
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
        bytes: micro.seal(
          'countersigned-refund',
          mpp.id,
          cpp.id,
          { ...about, request },
          terms.countersigned ?? mpp.signing,
        ),
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

  it('stand that an MPP countersigned with its next key, though the one under which the payee asked is revoked since', () => {
    const next = signingKeyFromSeed(engine, seedOf('hu-cosmo, later'))
    const terms = { networkId, id: mpp.id, role: 'mpp', realm: 'hu', operatorId: mpp.id, algorithm: 'ed25519' } as const
    const keys = { signingKey: next.publicKey, sealingKey: mpp.sealing.publicKey }
    const validity = { notBeforeMs: VALID_FROM, notAfterMs: VALID_TO, serial: 2 }
    const credential = issueProcessor(engine, { ...terms, ...keys, ...validity }, root)
    const withNext = ({ pieces, ...rest }: SampleEvidence): SampleEvidence => ({
      ...rest,
      pieces: [
        ...pieces,
        { kind: 'credential', of: mpp.id, bytes: credential },
        { kind: 'credential', of: 'hu-shop-1', bytes: network.merchant.chain[1] as Uint8Array },
      ],
    })
    const audited = sealed(
      withList(withNext(withRefunds(refund('a', { countersigned: next }))), [mpp.signing.keyId], NOW + 1_000),
    )
    expect([audited.ok, named(audited)]).toEqual([true, []])
    const former = sealed(withList(withNext(withRefunds(refund('a'))), [mpp.signing.keyId], NOW + 1_000))
    expect(named(former)).toContain('countersigned-refund')
    const host = [mpp.signing.keyId, network.merchant.signing.keyId]
    const stolen = sealed(withList(withNext(withRefunds(refund('a', { countersigned: next }))), host, NOW + 1_000))
    expect(named(stolen)).toContain('countersigned-refund')
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
    const pieces = list.pieces.map(({ kind, bytes }) => ({ kind, bytes }))
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
