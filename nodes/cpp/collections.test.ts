import { describe, expect, it } from 'vitest'
import { failureNumber } from '../../protocol/failures.ts'
import type { Decision } from '../runtime/node.ts'
import { TEST_NOW_MS, outboxKey, testId } from '../runtime/testing.ts'
import { ledger, orders, payments, waiting } from './state.ts'
import { BANK, createWorld, kindsOf, sent, sentAll, type World, type WorldOptions } from './testing/world.ts'

const world = (options: WorldOptions = {}): World => {
  const one = createWorld(options)
  one.enrol('hu-alice')
  return one
}
const total = (one: World) => {
  const row = one.ledger.get(ledger, 'hu-alice')
  if (row?.kind !== 0) throw new Error('no total')
  return row
}
/** A micropayment from request to confirmation. */
const confirm = (one: World, tx: string, amountMinor: bigint): Decision =>
  one.decide(sent(one.pay({ tx, amountMinor, expiresAtMs: one.nowMs + 120_000 }), 'payment-notice'))
const state = (one: World, tx: string) => one.ledger.get(payments, testId(tx))?.state

describe('the crossing of θ', () => {
  it('collects exactly what is outstanding, with its order id saved first; the crossing payment waits', () => {
    const one = world()
    confirm(one, 'a', 400n)
    confirm(one, 'b', 500n)
    const decided = one.pay({ tx: 'c', amountMinor: 100n })
    const order = sent(decided, 'transfer-order')
    expect(kindsOf(decided)).toEqual(['transfer-order'])
    expect(order).toMatchObject({
      to: BANK,
      body: {
        debitAccount: `${BANK}:alice`,
        creditAccount: `${BANK}:otp-eur`,
        amountMinor: 900n,
        currency: 'EUR',
        reference: { purpose: 'collection', id: order.body.orderId },
      },
      delivery: { until: ['order', order.body.orderId] },
    })
    expect(one.ledger.get(orders, order.body.orderId)).toMatchObject({
      purpose: 'collection',
      amountMinor: 900n,
      state: 'ordered',
    })
    expect(total(one)).toMatchObject({ outstandingMinor: 900n, collectingMinor: 900n, pendingMinor: 0n, waiting: 1 })
    expect(state(one, 'c')).toBe('waiting')
  })

  it('when booked, takes the debt and admits who waited, in the order of arrival', () => {
    const one = world()
    confirm(one, 'a', 900n)
    const order = sent(one.pay({ tx: 'b', amountMinor: 100n }), 'transfer-order')
    expect(kindsOf(one.pay({ tx: 'c', amountMinor: 50n }))).toEqual([])
    const decided = one.answer(order, 'done')
    expect(sentAll(decided, 'payment-notice').map(({ body }) => body.pnId)).toEqual(
      ['b', 'c'].map((tx) => one.ledger.get(payments, testId(tx))?.pnId),
    )
    expect(total(one)).toMatchObject({ outstandingMinor: 0n, collectingMinor: 0n, pendingMinor: 150n, waiting: 0 })
    expect(one.ledger.get(ledger, 'hu-alice', 2)).toMatchObject({ kind: 2, amountMinor: 900n, id: order.body.orderId })
    expect(one.books.get('customer:hu-alice EUR')).toBe(0n)
    expect(one.books.get(`bank:${BANK}:otp-eur EUR`)).toBe(-900n)
    expect(one.ledger.outbox.has(outboxKey('order', order.body.orderId))).toBe(false)
    expect(one.ledger.rows(waiting)).toEqual([])
  })

  it('when refused, keeps the debt, suspends the customer and refuses every payment that waited', () => {
    const one = world()
    confirm(one, 'a', 900n)
    const order = sent(one.pay({ tx: 'b', amountMinor: 100n }), 'transfer-order')
    one.pay({ tx: 'c', amountMinor: 50n })
    const decided = one.answer(order, 'refused', 'INSUFFICIENT_FUNDS')
    expect(sentAll(decided, 'customer-payment-outcome').map(({ body }) => [body.outcome, body.code])).toEqual([
      ['refused', failureNumber('COLLECTION_REFUSED')],
      ['refused', failureNumber('COLLECTION_REFUSED')],
    ])
    expect(total(one)).toMatchObject({
      outstandingMinor: 900n,
      collectingMinor: 0n,
      waiting: 0,
      suspendedAtMs: TEST_NOW_MS,
    })
    expect(one.ledger.rows(waiting)).toEqual([])
    expect(sent(one.pay({ tx: 'd' }), 'customer-payment-outcome').body.code).toBe(failureNumber('CUSTOMER_SUSPENDED'))
    expect(one.books.get('customer:hu-alice EUR')).toBe(-900n)
    // The TRANS of a refused payment is free again.
    one.control('resume-customer', { customer: 'hu-alice' })
    expect(decided.record?.ids).toContainEqual(testId('b'))
  })

  it('a micropayment below θ makes no bank call at all', () => {
    const one = world()
    confirm(one, 'a', 400n)
    confirm(one, 'b', 400n)
    confirm(one, 'c', 199n)
    expect(one.ledger.sent.some((message) => 'kind' in message && message.kind === 'transfer-order')).toBe(false)
  })

  it('never runs two collections: what is confirmed meanwhile waits for the next', () => {
    const one = world()
    confirm(one, 'a', 600n)
    const inFlight = sent(one.pay({ tx: 'b', amountMinor: 300n }), 'payment-notice')
    const order = sent(one.pay({ tx: 'c', amountMinor: 200n }), 'transfer-order')
    expect(order.body.amountMinor).toBe(600n)
    expect(kindsOf(one.decide(inFlight))).not.toContain('transfer-order')
    expect(total(one)).toMatchObject({ outstandingMinor: 900n, collectingMinor: 600n })
    const booked = one.answer(order, 'done')
    expect(total(one)).toMatchObject({ outstandingMinor: 300n, collectingMinor: 0n, pendingMinor: 200n })
    expect(kindsOf(booked)).toEqual(['payment-notice'])
  })

  it('waits for payees, not for a tiny collection, while payments in flight make up most of the sum', () => {
    const one = world()
    confirm(one, 'a', 100n)
    const inFlight = sent(one.pay({ tx: 'b', amountMinor: 800n }), 'payment-notice')
    expect(kindsOf(one.pay({ tx: 'c', amountMinor: 200n }))).toEqual([])
    const decided = one.decide(inFlight)
    expect(sent(decided, 'transfer-order').body.amountMinor).toBe(900n)
    expect(state(one, 'c')).toBe('waiting')
  })

  it('a reject in flight makes room without any collection', () => {
    const one = world()
    confirm(one, 'a', 100n)
    const inFlight = sent(one.pay({ tx: 'b', amountMinor: 800n }), 'payment-notice')
    one.pay({ tx: 'c', amountMinor: 200n })
    const decided = one.decide(inFlight, { decision: 'reject' })
    expect(kindsOf(decided)).toEqual(['customer-payment-outcome', 'payment-outcome', 'payment-notice'])
    expect(one.ledger.rows(orders)).toEqual([])
  })

  it('nobody overtakes: a small payment behind a large one waits with it', () => {
    const one = world()
    confirm(one, 'a', 100n)
    const inFlight = sent(one.pay({ tx: 'b', amountMinor: 800n }), 'payment-notice')
    one.pay({ tx: 'large', amountMinor: 200n })
    one.pay({ tx: 'small', amountMinor: 50n })
    const order = sent(one.decide(inFlight), 'transfer-order')
    expect([state(one, 'large'), state(one, 'small')]).toEqual(['waiting', 'waiting'])
    one.answer(order, 'done')
    expect([state(one, 'large'), state(one, 'small')]).toEqual(['notified', 'notified'])
  })

  it('who waited too long expires, and the next in line is served', () => {
    const one = world()
    confirm(one, 'a', 100n)
    const inFlight = sent(one.pay({ tx: 'b', amountMinor: 850n }), 'payment-notice')
    one.pay({ tx: 'big', amountMinor: 900n, expiresAtMs: TEST_NOW_MS + 1_000 })
    one.pay({ tx: 'small', amountMinor: 40n })
    expect(state(one, 'small')).toBe('waiting')
    const [decided] = one.advance(TEST_NOW_MS + 1_000) as [Decision]
    expect(kindsOf(decided)).toEqual(['customer-payment-outcome', 'payment-notice'])
    expect(state(one, 'big')).toBe('expired')
    expect(state(one, 'small')).toBe('notified')
    expect(inFlight.kind).toBe('payment-notice')
  })

  it('an answer after the expiry of those who waited admits none of them', () => {
    const one = world()
    confirm(one, 'a', 900n)
    const order = sent(one.pay({ tx: 'b', amountMinor: 100n, expiresAtMs: TEST_NOW_MS + 1_000 }), 'transfer-order')
    one.nowMs = TEST_NOW_MS + 1_000
    const decided = one.answer(order, 'done')
    expect(kindsOf(decided)).toEqual(['customer-payment-outcome'])
    expect(state(one, 'b')).toBe('expired')
    expect(one.advance(one.nowMs)).toEqual([])
  })

  it('ignores an answer of another bank and a second answer', () => {
    const one = world()
    confirm(one, 'a', 900n)
    const order = sent(one.pay({ tx: 'b', amountMinor: 100n }), 'transfer-order')
    expect(one.answer(order, 'refused', 'NO_MANDATE', 'hu-other-bank').writes).toEqual([])
    one.answer(order, 'done')
    expect(one.answer(order, 'done').writes).toEqual([])
    expect(total(one).outstandingMinor).toBe(0n)
  })

  it('admits a single payment at or over a lowered θ when nothing is owed', () => {
    const one = world({
      policy: { aggregation: { policy: 'threshold', thresholdMinor: { EUR: 200n }, maxDebtAgeMs: 1_000_000 } },
    })
    confirm(one, 'a', 900n)
    expect(total(one)).toMatchObject({ outstandingMinor: 900n, thresholdMinor: 200n })
    expect(one.read('report').boundBreaches).toBe(0)
    expect(sent(one.pay({ tx: 'b', amountMinor: 1n }), 'transfer-order').body.amountMinor).toBe(900n)
  })
})

describe('the operator', () => {
  const suspended = (): World => {
    const one = world()
    confirm(one, 'a', 900n)
    one.answer(sent(one.pay({ tx: 'b', amountMinor: 100n }), 'transfer-order'), 'refused', 'INSUFFICIENT_FUNDS')
    return one
  }

  it('resumes a suspended customer by the collection that failed: booked, they pay again', () => {
    const one = suspended()
    const decided = one.control('resume-customer', { customer: 'hu-alice' })
    expect(decided.reply).toEqual({ ok: true, customer: 'hu-alice', collectingMinor: 900n })
    const order = sent(decided, 'transfer-order')
    expect(one.control('resume-customer', { customer: 'hu-alice' }).reply).toMatchObject({
      ok: false,
      code: 'UNDECIDED',
    })
    expect(sent(one.pay({ tx: 'c' }), 'customer-payment-outcome').body.code).toBe(failureNumber('CUSTOMER_SUSPENDED'))
    one.answer(order, 'done')
    expect(total(one)).toMatchObject({ outstandingMinor: 0n, suspendedAtMs: 0 })
    expect(kindsOf(one.pay({ tx: 'd' }))).toEqual(['payment-notice'])
  })

  it('resumes one whose debt was written off, and no other', () => {
    const one = suspended()
    const written = one.control('write-off-customer', { customer: 'hu-alice' })
    expect(written.reply).toMatchObject({ ok: true, writtenOffMinor: 900n })
    expect(one.books.get('losses EUR')).toBe(-900n)
    expect(one.read('report').totals[0]).toMatchObject({
      outstandingMinor: 0n,
      confirmedMicroMinor: 900n,
      writtenOffMinor: 900n,
    })
    expect(one.control('resume-customer', { customer: 'hu-alice' }).reply).toMatchObject({
      ok: true,
      collectingMinor: 0n,
    })
    expect(one.control('resume-customer', { customer: 'hu-alice' }).reply).toMatchObject({
      ok: false,
      code: 'NOT_FOUND',
    })
  })

  it('never writes off what a running collection may still bring in', () => {
    const one = world()
    confirm(one, 'a', 900n)
    const order = sent(one.pay({ tx: 'b', amountMinor: 100n }), 'transfer-order')
    expect(one.control('write-off-customer', { customer: 'hu-alice' }).reply).toMatchObject({ ok: false })
    one.answer(order, 'done')
    expect(total(one).outstandingMinor).toBe(0n)
  })

  it('collects ahead of a crossing', () => {
    const one = world()
    expect(one.control('collect-customer', { customer: 'hu-alice' }).reply).toMatchObject({
      ok: false,
      code: 'NOT_FOUND',
    })
    confirm(one, 'a', 10n)
    expect(sent(one.control('collect-customer', { customer: 'hu-alice' }), 'transfer-order').body.amountMinor).toBe(10n)
    expect(one.control('collect-customer', { customer: 'hu-alice' }).reply).toMatchObject({
      ok: false,
      code: 'UNDECIDED',
    })
  })

  it.each(['unlock-customer', 'resume-customer', 'collect-customer', 'write-off-customer'])(
    '%s tells bad arguments apart',
    (command) => {
      const one = world()
      expect(one.control(command, {}).reply).toMatchObject({ ok: false, code: 'SCHEMA_VIOLATION' })
      expect(one.control(command, { customer: 'Not An Id' }).reply).toMatchObject({
        ok: false,
        code: 'SCHEMA_VIOLATION',
      })
      expect(one.control(command, { customer: 'hu-nobody' }).reply).toMatchObject({
        ok: false,
        code: 'CUSTOMER_UNKNOWN',
      })
    },
  )
})

describe('debt that never crosses θ', () => {
  const AGE = 1_000_000
  const aging = () => world({ policy: { aggregation: { policy: 'threshold', thresholdMinor: {}, maxDebtAgeMs: AGE } } })

  it('is collected at its maximum age, and not before', () => {
    const one = aging()
    confirm(one, 'a', 10n)
    one.nowMs += 1_000
    confirm(one, 'b', 10n)
    expect(one.advance(TEST_NOW_MS + AGE - 1).flatMap(kindsOf)).toEqual([])
    const [decided] = one.advance(TEST_NOW_MS + AGE) as [Decision]
    expect(sent(decided, 'transfer-order').body.amountMinor).toBe(20n)
  })

  it('begins to age anew after a collection', () => {
    const one = aging()
    confirm(one, 'a', 10n)
    one.nowMs = TEST_NOW_MS + 500_000
    one.answer(sent(one.control('collect-customer', { customer: 'hu-alice' }), 'transfer-order'), 'done')
    confirm(one, 'b', 10n)
    expect(one.advance(TEST_NOW_MS + AGE).flatMap(kindsOf)).toEqual([])
    expect(one.advance(TEST_NOW_MS + 500_000 + AGE).flatMap(kindsOf)).toEqual(['transfer-order'])
  })

  it('of a suspended customer is left to the operator', () => {
    const one = aging()
    confirm(one, 'a', 900n)
    one.answer(sent(one.pay({ tx: 'b', amountMinor: 100n }), 'transfer-order'), 'refused', 'INSUFFICIENT_FUNDS')
    expect(one.advance(TEST_NOW_MS + AGE).flatMap(kindsOf)).toEqual([])
  })

  it('of payments confirmed while a collection ran begins to age when that was booked', () => {
    const one = aging()
    confirm(one, 'a', 10n)
    const order = sent(one.control('collect-customer', { customer: 'hu-alice' }), 'transfer-order')
    confirm(one, 'b', 10n)
    one.nowMs = TEST_NOW_MS + 500_000
    one.answer(order, 'done')
    expect(total(one)).toMatchObject({ outstandingMinor: 10n, debtSinceMs: TEST_NOW_MS + 500_000 })
    expect(one.advance(TEST_NOW_MS + 500_000 + AGE - 1).flatMap(kindsOf)).toEqual([])
    expect(one.advance(TEST_NOW_MS + 500_000 + AGE).flatMap(kindsOf)).toEqual(['transfer-order'])
  })

  it('that is being collected when its age comes is not collected twice', () => {
    const one = aging()
    confirm(one, 'a', 10n)
    const order = sent(one.control('collect-customer', { customer: 'hu-alice' }), 'transfer-order')
    expect(one.advance(TEST_NOW_MS + AGE).flatMap(kindsOf)).toEqual([])
    confirm(one, 'b', 20n)
    one.answer(order, 'done')
    const [decided] = one.advance(one.nowMs + AGE).filter(({ sends }) => sends.length > 0) as [Decision]
    expect(sent(decided, 'transfer-order').body.amountMinor).toBe(20n)
  })

  it('arms one deadline a customer, however many payments', () => {
    const one = aging()
    const armed = ['a', 'b', 'c'].map(
      (tx) => confirm(one, tx, 10n).set.filter(({ name }) => name === 'debt-age').length,
    )
    expect(armed).toEqual([1, 0, 0])
    expect(one.ledger.deadlines().filter(({ name }) => name === 'debt-age')).toHaveLength(1)
  })
})
