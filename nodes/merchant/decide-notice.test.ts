import { describe, expect, test } from 'vitest'
import { fail, failureNumber, type FailureCode } from '../../protocol/failures.ts'
import type { Message } from '../runtime/node.ts'
import { incoming, testId } from '../runtime/testing.ts'
import { oneSent, sentBy } from '../customer/testing/drive.ts'
import { orders, payments } from './state.ts'
import {
  asSealed,
  confirmationOf,
  CPP,
  invoiced,
  merchant,
  MPP,
  MPP2,
  noticeOf,
  outcomeOf,
  type Merchant,
  type NoticeChanges,
} from './testing/merchant.ts'

type Trans = Message<'transaction-details'>
const shop = (approval?: unknown): { host: Merchant; trans: Trans } => {
  const host = merchant()
  host.enrol(approval === undefined ? {} : { approval })
  return { host, trans: invoiced(host) }
}

describe('a payment notice: checks in their order', () => {
  test.each([
    ['for a payee who is not here', { payee: 'hu-butcher' }, 'NOT_FOUND'],
    ['by another MPP', { previousHop: MPP2 }, 'WRONG_PATH'],
  ] as const)('%s is refused', (_, changes, code) => {
    const { host, trans } = shop()
    const decision = host.deliver(noticeOf(asSealed(trans), changes))
    expect(decision).toMatchObject({ refuse: { code }, writes: [], sends: [] })
  })

  test('whose invoice does not open is refused', () => {
    const { host } = shop()
    expect(host.deliver(noticeOf(fail('BAD_SIGNATURE'))).refuse?.code).toBe('TRANS_INVALID')
  })

  type Forge = (trans: Trans) => unknown
  const rows: readonly [string, Forge, NoticeChanges, FailureCode][] = [
    ['of an order that is not known', (trans) => asSealed(trans, { txId: testId('other') }), {}, 'ORDER_UNKNOWN'],
    ['of another amount', (trans) => asSealed(trans, { amountMinor: 119n }), {}, 'AMOUNT_INVALID'],
    ['of another currency', (trans) => asSealed(trans, { currency: 'USD' }), {}, 'AMOUNT_INVALID'],
    ['sealed by another host', (trans) => asSealed(trans, { host: 'hu-thief' }), {}, 'TRANS_INVALID'],
    ['with another nonce', (trans) => asSealed(trans, { nonce: testId('other') }), {}, 'TRANS_INVALID'],
    [
      'with another expiry',
      (trans) => asSealed(trans, { expiresAtMs: (trans.expiresAtMs ?? 0) + 1 }),
      {},
      'TRANS_INVALID',
    ],
    ['in a mode that does not fit', (trans) => asSealed(trans), { mode: 'macro' }, 'MODE_MISMATCH'],
  ]
  test.each(rows)('%s is rejected', (_, forge, changes, code) => {
    const { host, trans } = shop()
    const notice = noticeOf(forge(trans), changes)
    const decision = oneSent(host.deliver(notice), 'payment-decision')
    expect(decision).toMatchObject({
      to: MPP,
      body: {
        pnId: notice.message.body.pnId,
        decision: 'reject',
        code: failureNumber(code),
        noticeDigest: notice.message.digest,
      },
    })
    expect(host.payment()).toMatchObject({ state: 'declined', cpp: CPP })
    // The order itself is untouched: a good notice may come.
    expect(host.ledger.rows(orders)).toMatchObject([{ state: 'offered' }])
    expect(host.order().pnId).toBeUndefined()
  })

  // Found by the fuzz suite: it took the first one's row over, whose confirmation was then refused and the goods kept.
  test.each([
    ['of the same invoice', (trans: Trans) => asSealed(trans)],
    ['of an invoice that does not open', () => fail('BAD_SIGNATURE')],
    ['of another amount', (trans: Trans) => asSealed(trans, { amountMinor: 119n })],
  ] as const)("by another CPP under the id of the first one's, %s, changes nothing", (_, forge) => {
    const { host, trans } = shop()
    host.deliver(noticeOf(asSealed(trans)))
    const before = [host.payment(), host.order()]
    const decision = host.deliver(noticeOf(forge(trans), { from: 'hu-erste' }))
    expect(decision).toMatchObject({ refuse: { code: 'ID_REUSED' }, writes: [], sends: [] })
    expect([host.payment(), host.order()]).toEqual(before)
    expect(host.deliver(confirmationOf(host.order(), 'DT')).refuse).toBeUndefined()
    expect(host.payment()).toMatchObject({ state: 'confirmed', cpp: CPP })
  })

  test("for a second payee's order under the first's name is rejected", () => {
    const { host, trans } = shop()
    host.enrol({ payee: 'hu-butcher', account: 'hu-kh:butcher' })
    const decision = oneSent(host.deliver(noticeOf(asSealed(trans), { payee: 'hu-butcher' })), 'payment-decision')
    expect(decision.body.code).toBe(failureNumber('TRANS_INVALID'))
  })

  test('while another payment of the invoice is undecided, and after one was confirmed', () => {
    const { host, trans } = shop()
    host.deliver(noticeOf(asSealed(trans)))
    const locked = oneSent(host.deliver(noticeOf(asSealed(trans), { pn: 'two', from: 'hu-erste' })), 'payment-decision')
    expect(locked.body.code).toBe(failureNumber('TRANS_LOCKED'))
    host.deliver(confirmationOf(host.order(), 'DT'))
    const paid = oneSent(host.deliver(noticeOf(asSealed(trans), { pn: 'three' })), 'payment-decision')
    expect(paid.body.code).toBe(failureNumber('TRANS_ALREADY_PAID'))
    expect(
      host.ledger
        .rows(payments)
        .map(({ state }) => state)
        .toSorted(),
    ).toEqual(['confirmed', 'declined', 'declined'])
  })
})

describe('the payee decides by its rule', () => {
  test('approve', () => {
    const { host, trans } = shop()
    const notice = noticeOf(asSealed(trans))
    const decision = oneSent(host.deliver(notice), 'payment-decision')
    expect(decision.body).toEqual({
      pnId: notice.message.body.pnId,
      payee: 'hu-bakery',
      txId: trans.body.txId,
      noticeDigest: notice.message.digest,
      decision: 'approve',
    })
    expect(host.order()).toMatchObject({ state: 'approved', pnId: notice.message.body.pnId })
    expect(host.payment().state).toBe('approved')
  })

  test.each([[{ rule: 'reject-all' }], [{ rule: 'reject-over', limitMinor: '100' }]])('reject by %o', (approval) => {
    const { host, trans } = shop(approval)
    const decision = oneSent(host.deliver(noticeOf(asSealed(trans))), 'payment-decision')
    expect(decision.body).toMatchObject({ decision: 'reject', code: failureNumber('REJECTED_BY_PAYEE') })
    expect(decision.body.reason).not.toBe('')
    expect(host.order().state).toBe('declined')
  })

  test('silent: no decision, the order locked until the outcome', () => {
    const { host, trans } = shop({ rule: 'silent' })
    expect(host.deliver(noticeOf(asSealed(trans))).sends).toEqual([])
    expect(host.order()).toMatchObject({ state: 'noticed' })
    host.deliver(outcomeOf(host.order()))
    expect(host.order().state).toBe('offered')
    expect(host.payment().state).toBe('expired')
  })
})

test('an outcome that overtook its notice stands: the notice, when it comes, changes nothing', () => {
  const { host, trans } = shop()
  host.deliver(outcomeOf(host.order(), { outcome: 'expired' }))
  expect(host.deliver(noticeOf(asSealed(trans)))).toMatchObject({ writes: [], sends: [], refuse: undefined })
  expect(host.order().state).toBe('offered')
  // Another payment of the same invoice goes on.
  expect(sentBy(host.deliver(noticeOf(asSealed(trans), { pn: 'two' })), 'payment-decision')).toHaveLength(1)
})

test('nothing a merchant records or sends can name a customer: no field of it comes from anywhere but notice and order', () => {
  const { host, trans } = shop()
  const decided = host.deliver(noticeOf(asSealed(trans)))
  const { body } = oneSent(decided, 'payment-decision')
  expect(Object.keys(body).toSorted()).toEqual(['decision', 'noticeDigest', 'payee', 'pnId', 'txId'])
  expect(decided.record?.ids).toEqual([testId('pn one'), trans.body.txId])
  expect(incoming('payment-decision', body).message.body).toEqual(body)
})
