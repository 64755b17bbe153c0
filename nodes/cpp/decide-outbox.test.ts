import { describe, expect, it } from 'vitest'
import { failureNumber } from '../../protocol/failures.ts'
import { keyOf } from '../runtime/table.ts'
import { outboxKey, testId } from '../runtime/testing.ts'
import { customers, ledger, payments, registrations, type RegistrationRow } from './state.ts'
import { batches } from './state-pairs.ts'
import { BANK, MPP, createWorld, kindsOf, sent, textOf, type World } from './testing/world.ts'

const world = (): World => {
  const one = createWorld()
  one.enrol('hu-alice')
  return one
}
const collecting = () => {
  const one = world()
  one.decide(sent(one.pay({ tx: 'a', amountMinor: 900n }), 'payment-notice'))
  const order = sent(one.pay({ tx: 'b', amountMinor: 100n }), 'transfer-order')
  return { one, orderId: order.body.orderId }
}
const posting = () => {
  const one = world()
  const notice = sent(
    one.answer(sent(one.pay({ tx: 'a', amountMinor: 5_000n }), 'hold-order'), 'done'),
    'payment-notice',
  )
  return { one, orderId: sent(one.decide(notice), 'post-order').body.orderId }
}
const state = (one: World, tx: string) => one.ledger.get(payments, testId(tx))?.state

describe('an order that the bank refuses for good', () => {
  it('counts as refused when it was judged by its content', () => {
    const { one, orderId } = collecting()
    const decided = one.refused(keyOf('order', orderId), 'transfer-order', 'NO_MANDATE')
    expect(sent(decided, 'customer-payment-outcome').body.code).toBe(failureNumber('COLLECTION_REFUSED'))
    expect(one.ledger.get(ledger, 'hu-alice')).toMatchObject({ outstandingMinor: 900n, collectingMinor: 0n })

    const macro = posting()
    macro.one.refused(keyOf('order', macro.orderId), 'post-order', 'HOLD_UNKNOWN')
    expect(state(macro.one, 'a')).toBe('failed')
  })

  it('is asked after when only its seal or path was judged: it may have been carried out before', () => {
    const { one, orderId } = collecting()
    const decided = one.refused(keyOf('order', orderId), 'transfer-order', 'CREDENTIAL_EXPIRED')
    expect(sent(decided, 'bank-order-query')).toMatchObject({
      to: BANK,
      body: { orderId },
      delivery: { until: ['query', orderId] },
    })
    expect(one.ledger.get(ledger, 'hu-alice')).toMatchObject({ collectingMinor: 900n })
    expect(kindsOf(one.answer({ kind: 'transfer-order', body: { orderId } } as never, 'done'))).toEqual([
      'payment-notice',
    ])
    expect(one.ledger.outbox.has(outboxKey('query', orderId))).toBe(false)
  })

  it('was never carried out when the bank knows no such order', () => {
    const { one, orderId } = collecting()
    one.refused(keyOf('order', orderId), 'transfer-order', 'CREDENTIAL_EXPIRED')
    one.refused(keyOf('query', orderId), 'bank-order-query', 'NOT_FOUND')
    expect(one.ledger.get(ledger, 'hu-alice')).toMatchObject({ outstandingMinor: 900n, collectingMinor: 0n })
    expect(state(one, 'b')).toBe('refused')
  })

  it('stays open when the question fails the same way, until the operator asks again', () => {
    const { one, orderId } = collecting()
    one.refused(keyOf('order', orderId), 'transfer-order', 'CREDENTIAL_EXPIRED')
    one.refused(keyOf('query', orderId), 'bank-order-query', 'CREDENTIAL_EXPIRED')
    expect(one.ledger.get(ledger, 'hu-alice')).toMatchObject({ collectingMinor: 900n })
    const hex = textOf(orderId).slice(1, -1)
    expect(kindsOf(one.control('query-order', { orderId: hex }))).toEqual(['bank-order-query'])
    expect(one.control('query-order', { orderId: '00'.repeat(16) }).reply).toMatchObject({
      ok: false,
      code: 'NOT_FOUND',
    })
    expect(one.control('query-order', { orderId: 'x' }).reply).toMatchObject({ ok: false, code: 'SCHEMA_VIOLATION' })
  })

  it('after its answer changes nothing', () => {
    const { one, orderId } = collecting()
    one.answer({ kind: 'transfer-order', body: { orderId } } as never, 'done')
    for (const tag of ['order', 'query']) {
      const decided = one.refused(keyOf(tag, orderId), 'transfer-order', 'NO_MANDATE')
      expect([decided.writes, decided.sends]).toEqual([[], []])
    }
    expect(kindsOf(one.refused(keyOf('order', orderId), 'transfer-order', 'CREDENTIAL_EXPIRED'))).toEqual([])
  })
})

it('a hold refused for good ends the payment, and is voided in case an earlier sending placed it', () => {
  const one = world()
  const { holdId } = sent(one.pay({ tx: 'a', amountMinor: 5_000n }), 'hold-order').body
  const decided = one.refused(keyOf('hold', holdId), 'hold-order', 'CREDENTIAL_EXPIRED')
  expect(kindsOf(decided)).toEqual(['customer-payment-outcome', 'void-order'])
  expect(state(one, 'a')).toBe('refused')
  expect(kindsOf(one.refused(keyOf('hold', holdId), 'hold-order', 'CREDENTIAL_EXPIRED'))).toEqual([])
})

it('a refused notice ends nothing: its expiry does', () => {
  const one = world()
  const { pnId } = sent(one.pay({ tx: 'a' }), 'payment-notice').body
  const decided = one.refused(keyOf('pn', pnId), 'payment-notice', 'UNSUPPORTED_VERSION')
  expect([decided.writes, decided.sends, decided.record?.level]).toEqual([[], [], 'warn'])
  expect(state(one, 'a')).toBe('notified')
  expect(one.advance(one.nowMs + 20_000).flatMap(kindsOf)).toEqual(['customer-payment-outcome', 'payment-outcome'])
})

it('a refused settlement transfer leaves the batch to be retried', () => {
  const one = world()
  one.decide(sent(one.pay({ tx: 'a', amountMinor: 900n }), 'payment-notice'))
  const { body } = sent(one.control('settle-now'), 'settlement-batch')
  const batch = one.read('settlements').batches[0]
  const accepted = one.receive(
    'settlement-acceptance',
    { batchId: body.batchId, seq: 1, batchHash: hashOf(one) },
    { from: MPP },
  )
  const { orderId } = sent(accepted, 'transfer-order').body
  one.refused(keyOf('order', orderId), 'transfer-order', 'ACCOUNT_UNKNOWN')
  expect(batch.state).toBe('open')
  expect(one.read('settlements').batches[0]).toMatchObject({ state: 'failed', code: 'ACCOUNT_UNKNOWN' })
})
const hashOf = (one: World): Uint8Array => one.ledger.rows(batches)[0]?.hash ?? new Uint8Array(32)

it('a mandate registration refused for good refuses the enrolment', () => {
  const one = world()
  one.enrol('hu-dora', { state: 'mandating' })
  one.ledger.put<RegistrationRow>(registrations, keyOf(testId('r')), { purpose: 'mandate', subject: 'hu-dora' })
  expect(kindsOf(one.refused(keyOf('mandate', testId('r')), 'mandate-registration', 'ACCOUNT_UNKNOWN'))).toEqual([
    'refusal',
  ])
  expect(one.ledger.get(customers, 'hu-dora')).toBeUndefined()
})

it('a receipt for anything but a registration changes nothing; a key of no kind stops the node', () => {
  const one = world()
  expect(one.receipted(keyOf('po', testId('x')), 'payment-outcome').writes).toEqual([])
  expect(() => one.receipted(keyOf('what', testId('x')), 'payment-outcome')).toThrow('never makes')
})
