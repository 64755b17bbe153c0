import { describe, expect, test } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { keyOf } from '../runtime/table.ts'
import { outboxKey as outboxText, testId } from '../runtime/testing.ts'
import { DEFAULTS, LOCKS, NOTICES, PAIRS, type LockRow } from './state.ts'
import {
  bodyOf,
  confirmMicro,
  CPP,
  definition,
  delayed,
  enrolled,
  HOST,
  notice,
  NOW,
  outcome,
  PAYEE,
  payeeRow,
  paymentDecision,
  POLICY,
  refusalOf,
  world,
  type NoticeParts,
  type World,
} from './testing/fixture.ts'

const lockOf = (on: World, txId = 'tx') => on.ledger.get(LOCKS, PAYEE, testId(txId))
const row = (on: World, pnId = 'pn') => on.ledger.get(NOTICES, testId(pnId))
const pair = (on: World, cpp = CPP) => on.ledger.get(PAIRS, cpp, 'EUR')

describe('a payment notice', () => {
  test('that passes every check locks its invoice, reserves credit and goes to the merchant host until it is decided', () => {
    const on = world()
    const pn = notice()
    const made = on.take(pn)
    expect(made.refuse).toBeUndefined()
    expect(made.sends).toEqual([
      {
        relay: 'payment-notice',
        frame: pn.message.frame,
        digest: pn.message.digest,
        nextHop: { role: 'merchant', host: HOST },
        delivery: { until: ['notice', testId('pn')] },
      },
    ])
    expect(row(on)).toMatchObject({ state: 'notified', cpp: CPP, amountMinor: 120n, mode: 'micro', host: HOST })
    expect(lockOf(on)).toEqual({ pnId: testId('pn'), state: 'locked', sinceMs: NOW })
    expect(pair(on)).toMatchObject({ reservedMinor: 120n, receivableMinor: 0n })
  })

  test('of a macropayment reserves no credit: the banks book it before it is confirmed', () => {
    const on = world()
    on.policy = { ...POLICY, creditLimitMinor: { EUR: 1n } }
    on.take(notice({ amountMinor: 5_000n }))
    expect(row(on)).toMatchObject({ state: 'notified', mode: 'macro' })
    expect(pair(on)).toBeUndefined()
  })

  // In the published order: each row breaks its own check and every later one that it can break too.
  const later: NoticeParts = { amountMinor: 9_999n, mode: 'micro', bodyPayee: 'hu-other', mpp: 'ro-mpp' }
  const rows: readonly (readonly [string, FailureCode, NoticeParts, (on: World) => void])[] = [
    ['the invoice does not open', 'TRANS_INVALID', { ...later, broken: 'BAD_SIGNATURE' }, () => {}],
    ['the chain names another MPP', 'TRANS_INVALID', later, () => {}],
    ['the notice names another payee', 'TRANS_INVALID', { ...later, mpp: 'hu-mpp' }, () => {}],
    ['a macro amount as micro', 'MODE_MISMATCH', { amountMinor: 1_000n, mode: 'micro', payee: 'hu-nobody' }, () => {}],
    ['a micro amount as macro', 'MODE_MISMATCH', { amountMinor: 999n, mode: 'macro', payee: 'hu-nobody' }, () => {}],
    ['the payee is not enrolled', 'TRANS_INVALID', { payee: 'hu-nobody', host: 'hu-elsewhere' }, () => {}],
    ['the payee is at another host', 'TRANS_INVALID', { host: 'hu-elsewhere', currency: 'USD' }, () => {}],
    ['the payee has no account in the currency', 'CURRENCY_UNSUPPORTED', { currency: 'USD' }, lock('locked')],
    ['the invoice is being paid', 'TRANS_LOCKED', {}, (on) => (lock('locked')(on), defaulted(on))],
    ['the invoice was paid', 'TRANS_ALREADY_PAID', {}, (on) => (lock('paid')(on), defaulted(on))],
    ['the CPP is in default', 'CPP_DEFAULTED', { amountMinor: 999n }, (on) => (defaulted(on), tight(on))],
    ['the CPP would owe too much', 'CREDIT_LIMIT', { amountMinor: 501n }, tight],
  ]
  function lock(state: LockRow['state']) {
    return (on: World) =>
      on.ledger.put(LOCKS, keyOf(PAYEE, testId('tx')), { pnId: testId('other'), state, sinceMs: NOW })
  }
  function defaulted(on: World) {
    on.ledger.put(DEFAULTS, keyOf(CPP, testId('batch')), { batchId: testId('batch'), sinceMs: NOW })
  }
  function tight(on: World) {
    on.policy = { ...POLICY, creditLimitMinor: { EUR: 500n } }
  }

  const said: Readonly<Record<string, string>> = {
    'the chain names another MPP': 'the chain names another MPP',
    'the notice names another payee': 'the notice names another payee',
    'the payee is not enrolled': 'the payee is not enrolled here',
    'the payee is at another host': 'the payee is at another host',
  }
  test.each(rows)('is declined when %s: %s', (what, code, parts, prepare) => {
    const on = world()
    prepare(on)
    const before = lockOf(on)
    const pn = notice({ pnId: 'pn', ...parts })
    const made = on.take(pn)
    expect(bodyOf(made, 'countersigned-decision')).toEqual({
      pnId: testId('pn'),
      payee: pn.message.body.payee,
      noticeDigest: pn.message.digest,
      decision: 'reject',
      code: failureNumber(code),
    })
    // Rows of one code are told apart by the words.
    if (code === 'TRANS_INVALID')
      expect(made.record?.fields?.['detail']).toBe(what.startsWith('the invoice') ? 'BAD_SIGNATURE' : said[what])
    expect(made.sends).toHaveLength(1)
    expect(made.sends[0]).toMatchObject({ to: CPP, delivery: { until: ['countersigned', testId('pn')] } })
    expect(row(on)).toMatchObject({ state: 'declined', code: failureNumber(code) })
    expect(lockOf(on)).toEqual(before)
    expect(pair(on)?.reservedMinor ?? 0n).toBe(0n)
  })

  test('is declined for a payee who has left', () => {
    const on = world(enrolled(payeeRow({ state: 'retired' })))
    expect(bodyOf(on.take(notice()), 'countersigned-decision').code).toBe(failureNumber('TRANS_INVALID'))
  })

  test('counts what is undecided and what is owed against the credit limit, and not a unit more', () => {
    const on = world()
    on.policy = { ...POLICY, creditLimitMinor: { EUR: 1_000n, [`${CPP} EUR`]: 500n } }
    confirmMicro(on, 'a', 1, 200n)
    on.take(notice({ txId: 'b', amountMinor: 200n }))
    expect(row(on, 'b')).toMatchObject({ state: 'notified' })
    on.take(notice({ txId: 'c', amountMinor: 101n }))
    expect(row(on, 'c')).toMatchObject({ state: 'declined', code: failureNumber('CREDIT_LIMIT') })
    on.take(notice({ txId: 'd', amountMinor: 100n }))
    expect(row(on, 'd')).toMatchObject({ state: 'notified' })
    expect(pair(on)).toMatchObject({ receivableMinor: 200n, reservedMinor: 300n })
  })

  test('has a limit of its own for each CPP', () => {
    const on = world()
    on.policy = { ...POLICY, creditLimitMinor: { EUR: 100n, 'ro-cpp': 1_000n } }
    on.take(notice({ txId: 'a', cpp: CPP }))
    on.take(notice({ txId: 'b', cpp: 'ro-cpp' }))
    expect(row(on, 'a')?.state).toBe('declined')
    expect(row(on, 'b')?.state).toBe('notified')
  })

  test('under the id of another CPP changes nothing', () => {
    const on = world()
    on.take(notice({ cpp: CPP }))
    const made = on.take(notice({ cpp: 'ro-cpp', txId: 'other', pnId: 'pn' }))
    expect(refusalOf(made)).toBe('ID_REUSED')
    expect(made.writes).toEqual([])
    expect(row(on)?.cpp).toBe(CPP)
  })

  test('under the id of an outcome of another CPP is refused, and gets no part of it', () => {
    const on = world()
    on.take(outcome(notice()))
    const before = row(on)
    expect(refusalOf(on.take(notice({ cpp: 'ro-cpp' })))).toBe('ID_REUSED')
    expect(row(on)).toEqual(before)
  })

  test('overtaken by its outcome gets its invoice and nothing else: no lock, no credit, no relay', () => {
    const on = world()
    const pn = notice()
    on.take(outcome(pn))
    const made = on.take(pn)
    expect(made.sends).toEqual([])
    expect(row(on)).toMatchObject({ state: 'expired', amountMinor: 120n, mode: 'micro' })
    expect(lockOf(on)).toBeUndefined()
    expect(pair(on)).toBeUndefined()
  })
})

describe("a merchant's decision", () => {
  test('to approve is countersigned, whole, until the CPP ends the payment', () => {
    const on = world()
    const pn = notice()
    on.take(pn)
    const approve = paymentDecision(pn)
    const made = on.take(approve)
    expect(bodyOf(made, 'countersigned-decision')).toEqual({
      pnId: testId('pn'),
      payee: PAYEE,
      noticeDigest: pn.message.digest,
      decision: 'approve',
      merchantDecision: approve.message.frame,
    })
    expect(made.sends[0]).toMatchObject({ to: CPP, delivery: { until: ['countersigned', testId('pn')] } })
    expect(on.ledger.outbox.has(outboxText('notice', testId('pn')))).toBe(false)
    expect(row(on)).toMatchObject({ state: 'countersigned', decision: 'approve', decisionRef: approve.ref })
    expect(lockOf(on)?.state).toBe('locked')
  })

  test.each([
    [undefined, failureNumber('REJECTED_BY_PAYEE')],
    [failureNumber('ORDER_UNKNOWN'), failureNumber('ORDER_UNKNOWN')],
  ])('to reject with code %s is countersigned with %s; only the CPP frees invoice and credit', (given, code) => {
    const on = world()
    const pn = notice()
    on.take(pn)
    const made = on.take(paymentDecision(pn, { decision: 'reject', ...(given === undefined ? {} : { code: given }) }))
    expect(bodyOf(made, 'countersigned-decision')).toMatchObject({ decision: 'reject', code })
    expect(lockOf(on)?.state).toBe('locked')
    expect(pair(on)?.reservedMinor).toBe(120n)
  })

  const wrong = { noticeDigest: testId('0').slice() }
  test.each([
    ['about an unknown notice', 'NOT_FOUND', { pnId: 'unknown' }, {}],
    ['from another host', 'NOT_FOUND', {}, { from: 'hu-elsewhere' }],
    ['about another payee', 'NOT_FOUND', {}, { payee: 'hu-other' }],
    ['about another invoice', 'NOT_FOUND', {}, { txId: testId('other') }],
    [
      'about another notice',
      'NOT_FOUND',
      {},
      { noticeDigest: new Uint8Array([...wrong.noticeDigest, ...wrong.noticeDigest]) },
    ],
  ] as const)('%s is refused with %s and changes nothing', (_, code, of, parts) => {
    const on = world()
    const pn = notice()
    on.take(pn)
    const made = on.take(paymentDecision('pnId' in of ? notice(of) : pn, parts))
    expect(refusalOf(made)).toBe(code)
    expect(made.writes).toEqual([])
    expect(made.sends).toEqual([])
    expect(row(on)?.state).toBe('notified')
  })

  test('on a notice this MPP declined is refused: no host was shown it', () => {
    const on = world()
    const pn = notice({ pnId: 'pn', mode: 'macro' })
    on.take(pn)
    expect(refusalOf(on.take(paymentDecision(pn)))).toBe('NOT_FOUND')
  })

  test('that comes after the end gets the stored outcome, byte for byte', () => {
    const on = world()
    const pn = notice()
    const end = outcome(pn)
    on.take(pn)
    on.take(end)
    const late = paymentDecision(pn)
    const made = on.take(late)
    expect(made.sends).toEqual([
      {
        relay: 'payment-outcome',
        frame: end.message.frame,
        digest: end.message.digest,
        nextHop: { role: 'merchant', host: HOST },
        delivery: { answers: late.ref },
      },
    ])
    expect(on.ledger.outbox.size).toBe(0)
    expect(row(on)?.state).toBe('expired')
  })

  test.each(['countersigned', 'confirmed'])('a second one of a payment that is %s is refused', (state) => {
    const on = world()
    const pn = notice()
    on.take(pn)
    on.take(paymentDecision(pn))
    if (state === 'confirmed') on.take(delayed(pn))
    expect(refusalOf(on.take(paymentDecision(pn, { decision: 'reject' })))).toBe('ID_REUSED')
    expect(row(on)).toMatchObject({ state, decision: 'approve' })
  })
})

describe('a merchant host that will not take a notice', () => {
  const refused = (by: string, code: FailureCode = 'SCHEMA_VIOLATION') => {
    const key = keyOf('notice', testId('pn'))
    return { kind: 'payment-notice' as const, key, code, detail: '', by }
  }
  test.each([
    ['SCHEMA_VIOLATION', 'REJECTED_BY_PAYEE'],
    ['MESSAGE_EXPIRED', 'NOTICE_EXPIRED'],
  ] as const)('because of %s has rejected it: %s', (why, code) => {
    const on = world()
    const pn = notice()
    on.take(pn)
    const made = definition.refused(on.ledger, refused(HOST, why), on.context())
    on.ledger.apply(made)
    expect(bodyOf(made, 'countersigned-decision')).toMatchObject({ decision: 'reject', code: failureNumber(code) })
    expect(row(on)).toMatchObject({ state: 'countersigned', decision: 'reject' })
    on.take(outcome(pn, { outcome: 'rejected' }))
    expect(lockOf(on)).toBeUndefined()
    expect(pair(on)?.reservedMinor).toBe(0n)
  })
  test('is not believed when it is another host', () => {
    const on = world()
    on.take(notice())
    expect(definition.refused(on.ledger, refused('hu-elsewhere'), on.context()).writes).toEqual([])
  })
})

test('records name the notice and the invoice, and no amount or account', () => {
  const on = world()
  const pn = notice()
  const records = [on.take(pn), on.take(paymentDecision(pn)), on.take(delayed(pn))].map(({ record }) => record)
  for (const record of records) expect(record?.ids.map(toHex)).toEqual([toHex(testId('pn')), toHex(testId('tx'))])
  expect(records.flatMap((record) => Object.keys(record?.fields ?? {}))).toEqual(['pairSeq'])
})
