import { describe, expect, it } from 'vitest'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import type { Decision } from '../runtime/node.ts'
import { TEST_NOW_MS, outboxKey, testBytes, testId } from '../runtime/testing.ts'
import { ledger, notices, orders, payments, transLocks } from './state.ts'
import { pairEntries, pairs } from './state-pairs.ts'
import { BANK, MERCHANT_HOST, MPP, createWorld, kindsOf, sent, textOf, type Sent, type World } from './testing/world.ts'

const EXPIRY = TEST_NOW_MS + 20_000

const notified = (amountMinor = 300n): { readonly one: World; readonly notice: Sent<'payment-notice'> } => {
  const one = createWorld()
  one.enrol('hu-alice')
  const first = one.pay({ tx: 'tx', pr: 'pr', amountMinor })
  const notice =
    amountMinor < 1_000n
      ? sent(first, 'payment-notice')
      : sent(one.answer(sent(first, 'hold-order'), 'done'), 'payment-notice')
  return { one, notice }
}
const state = (one: World, pr = 'pr') => one.ledger.get(payments, testId(pr))?.state
const total = (one: World, customer = 'hu-alice') => one.ledger.get(ledger, customer)

describe('a countersigned decision: one row for each check, in their order', () => {
  const rows: readonly (readonly [string, FailureCode, Parameters<World['decide']>[1]])[] = [
    ['another MPP than the TRANS names', 'NOT_FOUND', { from: 'hu-liar', payee: 'hu-other' }],
    ['another MPP, all else right', 'NOT_FOUND', { from: 'hu-liar' }],
    ['another payee', 'NOT_FOUND', { payee: 'hu-other', merchant: null }],
    ["approve without the merchant's own", 'SCHEMA_VIOLATION', { merchant: null }],
    ["the merchant's frame does not open", 'SCHEMA_VIOLATION', { badMerchant: 'BAD_SIGNATURE' }],
    ['signed by another host', 'SCHEMA_VIOLATION', { merchantHost: 'hu-shops-2' }],
    ['the merchant rejected', 'SCHEMA_VIOLATION', { merchant: { decision: 'reject' } }],
    ['the merchant approved another notice', 'SCHEMA_VIOLATION', { merchant: { pnId: testId('other') } }],
    ['the merchant approved another TRANS', 'SCHEMA_VIOLATION', { merchant: { txId: testId('other') } }],
    ['the merchant approved for another payee', 'SCHEMA_VIOLATION', { merchant: { payee: 'hu-other' } }],
    ['the two saw different notices', 'SCHEMA_VIOLATION', { merchant: { noticeDigest: testBytes('other') } }],
  ]
  it.each(rows)('%s → %s, and the payment stays undecided', (_, code, given) => {
    const { one, notice } = notified()
    // Also at expiry: what is no decision does not end a payment.
    one.nowMs = EXPIRY
    const decided = one.decide(notice, given)
    expect(decided.refuse?.code).toBe(code)
    expect([decided.writes, decided.sends, decided.forget]).toEqual([[], [], []])
    expect(state(one)).toBe('notified')
  })

  it('of a notice never sent is NOT_FOUND', () => {
    const { one, notice } = notified()
    const unknown = { ...notice, body: { ...notice.body, pnId: testId('unknown') } }
    expect(one.decide(unknown).refuse?.code).toBe('NOT_FOUND')
  })

  it('at its expiry is EXPIRED, both sides hear it, and nothing is owed', () => {
    const { one, notice } = notified()
    one.nowMs = EXPIRY
    const decided = one.decide(notice)
    const number = failureNumber('NOTICE_EXPIRED')
    expect(sent(decided, 'customer-payment-outcome').body).toMatchObject({ outcome: 'expired', code: number })
    expect(sent(decided, 'payment-outcome').body).toMatchObject({
      outcome: 'expired',
      code: number,
      txId: testId('tx'),
    })
    expect(sent(decided, 'payment-outcome').delivery).toHaveProperty('answers')
    expect(total(one)).toMatchObject({ pendingMinor: 0n, outstandingMinor: 0n })
    expect(one.ledger.rows(transLocks)).toEqual([])
    expect(one.ledger.deadlines()).toEqual([])
    expect(one.ledger.outbox.size).toBe(0)
  })

  it('one millisecond before its expiry confirms', () => {
    const { one, notice } = notified()
    one.nowMs = EXPIRY - 1
    expect(kindsOf(one.decide(notice))).toEqual([
      'customer-delayed-transfer-confirmation',
      'delayed-transfer-confirmation',
    ])
  })

  it.each([
    ["the payee's, with code and words", { code: 'ORDER_UNKNOWN', reason: 'sold out' }, 'ORDER_UNKNOWN', 'sold out'],
    ["the payee's, without a code", {}, 'REJECTED_BY_PAYEE', ''],
    ["the MPP's own", { code: 'CREDIT_LIMIT', merchant: null }, 'CREDIT_LIMIT', ''],
  ] as const)('reject, %s → REJECTED', (_, given, code, detail) => {
    const { one, notice } = notified()
    const decided = one.decide(notice, { decision: 'reject', ...given })
    expect(sent(decided, 'customer-payment-outcome').body).toMatchObject({
      outcome: 'rejected',
      code: failureNumber(code),
      detail,
    })
    expect(sent(decided, 'payment-outcome').body).toMatchObject({ outcome: 'rejected', code: failureNumber(code) })
    expect(total(one)).toMatchObject({ pendingMinor: 0n, outstandingMinor: 0n })
    expect(one.ledger.rows(transLocks)).toEqual([])
    expect(one.ledger.rows(pairs)).toEqual([])
    expect(one.books.size).toBe(0)
    expect(kindsOf(one.pay({ tx: 'tx', pr: 'again' }))).toEqual(['payment-notice'])
  })
})

describe('approve of a micropayment', () => {
  it('is the payment: pending becomes outstanding, the MPP is owed, both sides are told', () => {
    const { one, notice } = notified()
    const decided = one.decide(notice)
    const { pnId } = notice.body
    const confirmation = {
      payee: 'hu-bakery',
      txId: testId('tx'),
      amountMinor: 300n,
      currency: 'EUR',
      confirmedAtMs: TEST_NOW_MS,
    }
    expect(sent(decided, 'customer-delayed-transfer-confirmation')).toMatchObject({
      to: 'hu-alice',
      body: { prId: testId('pr'), ...confirmation, outstandingMinor: 300n },
      delivery: { answers: one.ledger.get(payments, testId('pr'))?.ref },
    })
    const toPayee = sent(decided, 'delayed-transfer-confirmation')
    expect(toPayee).toMatchObject({ to: MERCHANT_HOST, body: { pnId, ...confirmation, mpp: MPP, pairSeq: 1 } })
    expect(toPayee.delivery).toHaveProperty('answers')
    expect(textOf(toPayee)).not.toContain('alice')
    expect(textOf(toPayee)).not.toContain(textOf(testId('pr')).slice(1, -1))
    expect(total(one)).toMatchObject({ pendingMinor: 0n, outstandingMinor: 300n, lastSeq: 1, debtSinceMs: TEST_NOW_MS })
    expect(one.ledger.get(ledger, 'hu-alice', 1)).toEqual({
      kind: 1,
      amountMinor: 300n,
      id: testId('pr'),
      atMs: TEST_NOW_MS,
    })
    expect(one.ledger.get(pairs, MPP, 'EUR')).toMatchObject({ lastSeq: 1, payableMinor: 300n, rangeMinor: 300n })
    expect(one.ledger.get(pairEntries, MPP, 'EUR', 1)).toMatchObject({ amountMinor: 300n, id: pnId })
    expect(Object.fromEntries(one.books)).toEqual({ 'customer:hu-alice EUR': -300n, [`payable:${MPP} EUR`]: 300n })
    expect(one.ledger.get(transLocks, 'hu-bakery', testId('tx'))).toEqual({ prId: testId('pr'), paid: true })
    expect(one.ledger.outbox.size).toBe(0)
    expect(one.ledger.deadlines().map(({ name }) => name)).not.toContain('notice-expiry')
    expect(one.ledger.rows(orders)).toEqual([])
  })

  it('a second decision changes nothing and is not answered anew', () => {
    const { one, notice } = notified()
    one.decide(notice)
    const again = one.decide(notice, { decision: 'reject' })
    expect([again.writes, again.sends, again.postings]).toEqual([[], [], []])
    expect(state(one)).toBe('confirmed')
  })
})

describe('approve of a macro payment', () => {
  it("orders the transfer of the hold to the payee's account, and confirms when the bank has booked", () => {
    const { one, notice } = notified(50_000n)
    const posting = one.decide(notice)
    const order = sent(posting, 'post-order')
    const hold = one.ledger.get(payments, testId('pr'))?.holdId
    expect(order).toMatchObject({
      to: BANK,
      body: {
        holdId: hold,
        creditAccount: 'hu-erste:bakery',
        amountMinor: 50_000n,
        currency: 'EUR',
        reference: { purpose: 'payment', id: testId('tx') },
      },
      delivery: { until: ['order', order.body.orderId] },
    })
    expect(kindsOf(posting)).toEqual(['post-order'])
    expect(state(one)).toBe('posting')
    // Expiry applies no more.
    expect(one.advance(EXPIRY + 1_000)).toEqual([])
    const decided = one.answer(order, 'done')
    expect(kindsOf(decided)).toEqual(['customer-transfer-confirmation', 'transfer-confirmation'])
    expect(sent(decided, 'transfer-confirmation')).toMatchObject({
      to: MERCHANT_HOST,
      body: { pnId: notice.body.pnId, amountMinor: 50_000n, confirmedAtMs: one.nowMs },
      delivery: { answers: one.ledger.get(payments, testId('pr'))?.decisionRef },
    })
    expect(state(one)).toBe('confirmed')
    expect(one.ledger.get(transLocks, 'hu-bakery', testId('tx'))?.paid).toBe(true)
    expect(one.ledger.rows(pairs)).toEqual([])
    expect(total(one)).toMatchObject({ outstandingMinor: 0n, pendingMinor: 0n })
    expect(one.ledger.outbox.size).toBe(0)
  })

  it.each([
    ['CREDIT_RETURNED', 'TRANSFER_FAILED'],
    ['ACCOUNT_UNKNOWN', 'TRANSFER_FAILED'],
    ['HOLD_EXPIRED', 'HOLD_EXPIRED'],
    ['INSUFFICIENT_FUNDS', 'INSUFFICIENT_FUNDS'],
  ] as const)(
    "the bank refuses with %s → FAILED; the payee's side hears only that the transfer failed",
    (code, told) => {
      const { one, notice } = notified(50_000n)
      const decided = one.answer(sent(one.decide(notice), 'post-order'), 'refused', code)
      expect(sent(decided, 'customer-payment-outcome').body).toMatchObject({
        outcome: 'failed',
        code: failureNumber(told),
      })
      expect(sent(decided, 'payment-outcome').body).toMatchObject({
        outcome: 'failed',
        code: failureNumber('TRANSFER_FAILED'),
      })
      expect(sent(decided, 'void-order').to).toBe(BANK)
      expect(state(one)).toBe('failed')
      expect(one.ledger.rows(transLocks)).toEqual([])
    },
  )

  it('an answer of another bank, or a second one, changes nothing', () => {
    const { one, notice } = notified(50_000n)
    const order = sent(one.decide(notice), 'post-order')
    expect(one.answer(order, 'done', undefined, 'hu-other-bank').writes).toEqual([])
    expect(state(one)).toBe('posting')
    one.answer(order, 'done')
    expect(one.answer(order, 'refused', 'HOLD_EXPIRED').writes).toEqual([])
    expect(state(one)).toBe('confirmed')
  })

  it.each(['reject', 'expiry'] as const)('%s gives the hold back', (how) => {
    const { one, notice } = notified(50_000n)
    const decided = how === 'reject' ? one.decide(notice, { decision: 'reject' }) : (one.advance(EXPIRY)[0] as Decision)
    const order = sent(decided, 'void-order')
    expect(order.body.holdId).toEqual(one.ledger.get(payments, testId('pr'))?.holdId)
    expect(one.ledger.outbox.has(outboxKey('order', order.body.orderId))).toBe(true)
    one.answer(order, 'done')
    expect(one.ledger.outbox.has(outboxKey('order', order.body.orderId))).toBe(false)
    expect(one.answer(order, 'done').writes).toEqual([])
  })
})

describe('a notice that nobody answers', () => {
  it("expires: the customer hears it, the payee's side until it has receipted, pending is dropped", () => {
    const { one, notice } = notified()
    expect(one.advance(EXPIRY - 1)).toEqual([])
    const [decided] = one.advance(EXPIRY) as [Decision]
    expect(kindsOf(decided)).toEqual(['customer-payment-outcome', 'payment-outcome'])
    expect(sent(decided, 'payment-outcome').delivery).toEqual({ until: ['po', notice.body.pnId] })
    expect([...one.ledger.outbox.keys()]).toEqual([outboxKey('po', notice.body.pnId)])
    expect(total(one)).toMatchObject({ pendingMinor: 0n })
    expect(one.ledger.rows(transLocks)).toEqual([])
    expect(state(one)).toBe('expired')
  })

  it('a decision after that changes nothing: its outcome is on the way', () => {
    const { one, notice } = notified()
    one.advance(EXPIRY)
    const late = one.decide(notice)
    expect([late.writes, late.sends, late.refuse]).toEqual([[], [], undefined])
    expect(one.ledger.rows(notices)).toHaveLength(1)
  })

  it('fires once', () => {
    const { one } = notified()
    one.advance(EXPIRY)
    const again = one.run(one.definition.deadlines['notice-expiry'], {
      name: 'notice-expiry',
      key: testId('pr'),
      atMs: EXPIRY,
    })
    expect([again.writes, again.sends]).toEqual([[], []])
  })
})

it("never tells the payee's side anything of the customer", () => {
  for (const amountMinor of [300n, 50_000n])
    for (const act of [
      (one: World, notice: Sent<'payment-notice'>) => one.decide(notice),
      (one: World, notice: Sent<'payment-notice'>) => one.decide(notice, { decision: 'reject' }),
      (one: World) => one.advance(EXPIRY),
    ]) {
      const { one, notice } = notified(amountMinor)
      act(one, notice)
      const post = one.ledger.sent.find((message) => 'kind' in message && message.kind === 'post-order')
      if (post !== undefined && 'kind' in post) one.answer(post, 'refused', 'INSUFFICIENT_FUNDS')
      const outward = ['payment-notice', 'payment-outcome', 'transfer-confirmation', 'delayed-transfer-confirmation']
      for (const message of one.ledger.sent) {
        if (!('kind' in message) || !outward.includes(message.kind)) continue
        const text = textOf(message.body)
        expect(text).not.toContain('alice')
        expect(text).not.toContain(textOf(testId('pr')).slice(1, -1))
        expect(text).not.toContain(`:${failureNumber('INSUFFICIENT_FUNDS')}`)
      }
    }
})
