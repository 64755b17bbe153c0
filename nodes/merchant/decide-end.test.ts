import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { FailureCode } from '../../protocol/failures.ts'
import type { Incoming } from '../runtime/node.ts'
import type { MerchantReport } from '../runtime/reports.ts'
import { testBytes, testId } from '../runtime/testing.ts'
import { oneSent, sentBy } from '../customer/testing/drive.ts'
import { bookings, orders, payments, payouts } from './state.ts'
import {
  accountNotice,
  approved,
  asSealed,
  BAKERY,
  BANK,
  confirmationOf,
  invoiced,
  merchant,
  MPP,
  MPP2,
  noticeOf,
  outcomeOf,
  TOKEN,
  type EndChanges,
  type Merchant,
} from './testing/merchant.ts'
import { incoming } from '../runtime/testing.ts'

const MACRO = { item: 'cake', amountMinor: 2500n }
const waiting = (offer = {}, approval?: unknown): Merchant => {
  const host = merchant()
  host.enrol(approval === undefined ? {} : { approval })
  approved(host, offer)
  return host
}

describe('a confirmation: checks in their order', () => {
  const rows: readonly [string, object, 'T' | 'DT', EndChanges, FailureCode][] = [
    ['for a payee who is not here', {}, 'DT', { payee: 'hu-butcher' }, 'NOT_FOUND'],
    ['by another MPP', {}, 'DT', { previousHop: MPP2 }, 'WRONG_PATH'],
    ['of an order that is not known', {}, 'DT', { txId: testId('other') }, 'ORDER_UNKNOWN'],
    ['of a payment that was not noticed', {}, 'DT', { pn: 'two' }, 'NOT_FOUND'],
    ['by another CPP', {}, 'DT', { from: 'hu-erste' }, 'NOT_FOUND'],
    ['of another amount', {}, 'DT', { amountMinor: 119n }, 'AMOUNT_INVALID'],
    ['in another currency', {}, 'DT', { currency: 'USD' }, 'AMOUNT_INVALID'],
    ['T for a micropayment', {}, 'T', {}, 'MODE_MISMATCH'],
    ['DT for a macro payment', MACRO, 'DT', {}, 'MODE_MISMATCH'],
  ]
  test.each(rows)('%s', (_, offer, kind, changes, code) => {
    const host = waiting(offer)
    const decision = host.deliver(confirmationOf(host.order(), kind, changes))
    expect(decision).toMatchObject({ refuse: { code }, writes: [], sends: [] })
    expect(host.order().state).toBe('approved')
  })

  test('of a payment that the payee declined', () => {
    const host = waiting({}, { rule: 'reject-all' })
    expect(host.deliver(confirmationOf(host.order(), 'DT')).refuse?.code).toBe('REJECTED_BY_PAYEE')
    expect(host.order().state).toBe('declined')
  })
})

describe('goods leave when the money is sure, and once', () => {
  test('micro: on DT, to the token and key of the offer', () => {
    const host = waiting({ item: 'bread' })
    const decision = host.deliver(confirmationOf(host.order(), 'DT'))
    expect(oneSent(decision, 'goods-release')).toEqual({
      kind: 'goods-release',
      to: TOKEN,
      sealingKey: testBytes('sealing one'),
      body: { txId: host.order().txId, payee: BAKERY, goods: 'a loaf' },
      delivery: { once: true },
    })
    expect(host.order().state).toBe('released')
    expect(host.payment()).toMatchObject({ state: 'confirmed', confirmation: 'DT' })
    expect(host.ledger.outbox.size).toBe(0)
  })

  test("never on the payee's own approval", () => {
    const host = merchant()
    host.enrol()
    const trans = invoiced(host)
    expect(sentBy(host.deliver(noticeOf(asSealed(trans))), 'goods-release')).toEqual([])
  })

  const booked = (host: Merchant, changes: Parameters<typeof accountNotice>[0] = {}): Incoming =>
    accountNotice({ id: host.order().txId, ...changes })

  test('macro: T first, then the bank', () => {
    const host = waiting(MACRO)
    expect(sentBy(host.deliver(confirmationOf(host.order(), 'T')), 'goods-release')).toEqual([])
    expect(host.order().state).toBe('confirmed')
    const notice = booked(host)
    const decision = host.deliver(notice)
    expect(sentBy(decision, 'goods-release')).toHaveLength(1)
    expect(oneSent(decision, 'receipt')).toEqual({
      kind: 'receipt',
      to: BANK,
      body: { digest: notice.message.digest },
      delivery: { answers: notice.ref },
    })
    expect(host.order().state).toBe('released')
  })

  test('macro: the bank first, then T', () => {
    const host = waiting(MACRO)
    expect(sentBy(host.deliver(booked(host)), 'goods-release')).toEqual([])
    expect(host.order()).toMatchObject({ state: 'approved', bookedMinor: 2500n })
    expect(sentBy(host.deliver(confirmationOf(host.order(), 'T')), 'goods-release')).toHaveLength(1)
  })

  test.each([
    ['of another sum', { amountMinor: 2499n }],
    ['in another currency', { currency: 'USD' }],
    ['of another transaction', { id: testId('other') }],
    ['of a payout', { purpose: 'payout' }],
  ] as const)('macro: a notice %s is booked and releases nothing', (_, changes) => {
    const host = waiting(MACRO)
    host.deliver(confirmationOf(host.order(), 'T'))
    expect(sentBy(host.deliver(booked(host, changes)), 'goods-release')).toEqual([])
    expect(host.order().state).toBe('confirmed')
    expect(host.ledger.rows(bookings)).toHaveLength(1)
  })

  test('property: whatever arrives in whatever order, twice or not, a macro order is released once, and only after T and its booking', () => {
    const event = fc.constantFrom('T', 'bank', 'bank-short', 'DT', 'outcome', 'bank-twice')
    fc.assert(
      fc.property(fc.array(event, { maxLength: 8 }), (events) => {
        const host = waiting(MACRO)
        let released = 0
        let isT = false
        let isBooked = false
        let isOver = false
        for (const name of events) {
          const decision = host.deliver(
            name === 'T' || name === 'DT'
              ? confirmationOf(host.order(), name)
              : name === 'outcome'
                ? outcomeOf(host.order(), { outcome: 'failed' })
                : booked(host, name === 'bank-short' ? { amountMinor: 1n, notice: 'short' } : { notice: name }),
          )
          if (name === 'T' && !isOver) isT = true
          if (name === 'outcome' && !isT) isOver = true
          if (name === 'bank' || name === 'bank-twice') isBooked = true
          released += sentBy(decision, 'goods-release').length
          expect(released).toBe(isT && isBooked ? 1 : 0)
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('an outcome', () => {
  test.each(['refused', 'rejected', 'expired', 'failed'] as const)(
    "%s frees the order, is receipted, and ends the decision's resending",
    (outcome) => {
      const host = waiting()
      const message = outcomeOf(host.order(), { outcome })
      const decision = host.deliver(message)
      expect(oneSent(decision, 'receipt')).toMatchObject({
        to: MPP,
        body: { digest: message.message.digest },
        delivery: { answers: message.ref },
      })
      expect(host.order()).toMatchObject({ state: 'offered' })
      expect(host.order().pnId).toBeUndefined()
      expect(host.payment().state).toBe(outcome)
      expect(host.ledger.outbox.size).toBe(0)
    },
  )

  test.each([
    ['for a payee who is not here', { payee: 'hu-butcher' }, 'NOT_FOUND'],
    ['by another MPP', { previousHop: MPP2 }, 'WRONG_PATH'],
    ['by another CPP', { from: 'hu-erste' }, 'NOT_FOUND'],
    ['of another order', { txId: testId('other') }, 'NOT_FOUND'],
  ] as const)('%s is refused', (_, changes, code) => {
    const host = waiting()
    expect(host.deliver(outcomeOf(host.order(), changes))).toMatchObject({ refuse: { code }, writes: [] })
    expect(host.order().state).toBe('approved')
  })

  test('of a payment that has not the lock leaves the lock alone', () => {
    const host = waiting()
    const order = host.order()
    host.deliver(noticeOf(asSealed({ body: { ...order, chain: [] }, expiresAtMs: order.expiresAtMs }), { pn: 'two' }))
    host.deliver(outcomeOf(order, { pn: 'two', outcome: 'rejected' }))
    expect(host.order()).toEqual(order)
  })

  test('a final state never changes; the same end again is receipted again', () => {
    const host = waiting()
    host.deliver(confirmationOf(host.order(), 'DT'))
    const before = [host.order(), host.payment()]
    expect(host.deliver(outcomeOf(host.order())).refuse?.code).toBe('ID_REUSED')
    expect(host.deliver(confirmationOf(host.order(), 'DT'))).toMatchObject({ writes: [], sends: [] })
    expect([host.order(), host.payment()]).toEqual(before)
    const other = waiting()
    other.deliver(outcomeOf(other.order()))
    expect(sentBy(other.deliver(outcomeOf(other.order())), 'receipt')).toHaveLength(1)
    expect(other.deliver(confirmationOf(other.order(), 'DT')).refuse?.code).toBe('ID_REUSED')
    expect(other.payment().state).toBe('expired')
  })

  test('of an order that is not known is receipted and keeps nothing', () => {
    const host = merchant()
    host.enrol()
    const decision = host.deliver(outcomeOf({ payee: BAKERY, txId: testId('unknown') }))
    expect(sentBy(decision, 'receipt')).toHaveLength(1)
    expect(host.ledger.rows(payments)).toEqual([])
  })
})

describe('bank notices and payout advice', () => {
  const advice = (changes: { payee?: string; from?: string; amountMinor?: bigint; currency?: 'EUR' | 'USD' } = {}) =>
    incoming(
      'payout-advice',
      {
        payoutId: testId('payout'),
        payee: changes.payee ?? BAKERY,
        amountMinor: changes.amountMinor ?? 900n,
        currency: changes.currency ?? 'EUR',
        paidAtMs: 1,
      },
      { from: changes.from ?? MPP, role: 'mpp' },
    )
  const paidOut = (amountMinor = 900n) => accountNotice({ purpose: 'payout', id: testId('payout'), amountMinor })
  const shop = () => {
    const host = merchant()
    host.enrol()
    return host
  }

  test.each([
    ['of an account of nobody here', { account: 'hu-kh:other' }],
    ['of another bank', { from: 'hu-otherbank' }],
  ] as const)('a notice %s: ACCOUNT_UNKNOWN', (_, changes) => {
    expect(shop().deliver(accountNotice(changes)).refuse?.code).toBe('ACCOUNT_UNKNOWN')
  })

  test.each([
    ['of a payee who is not here', { payee: 'hu-butcher' }],
    ['by another MPP', { from: MPP2 }],
  ] as const)('an advice %s: NOT_FOUND', (_, changes) => {
    expect(shop().deliver(advice(changes)).refuse?.code).toBe('NOT_FOUND')
  })

  test.each([
    ['advice first', [() => advice(), () => paidOut()]],
    ['bank first', [() => paidOut(), () => advice()]],
  ] as const)('%s: booked, compared, receipted', (_, messages) => {
    const host = shop()
    for (const make of messages) {
      const decision = host.deliver(make())
      expect(sentBy(decision, 'receipt')).toHaveLength(1)
      expect(decision.record?.level).toBeUndefined()
    }
    expect(host.ledger.rows(payouts)).toMatchObject([{ advisedMinor: 900n, bookedMinor: 900n }])
  })

  test.each([
    ['advice first', [() => advice(), () => paidOut(899n)]],
    ['bank first', [() => paidOut(899n), () => advice()]],
    ['in another currency', [() => paidOut(), () => advice({ currency: 'USD' })]],
  ] as const)('%s, and they differ: loud, and what the bank says counts', (_, messages) => {
    const host = shop()
    const [, second] = messages.map((make) => host.deliver(make()))
    expect(second?.record).toMatchObject({ event: 'payout-differs', level: 'warn' })
  })

  test('property: the report adds up what was confirmed and what the bank booked (§8.5)', () => {
    const payment = fc.record({
      amount: fc.bigInt(1n, 5000n),
      end: fc.constantFrom('confirmed', 'expired', 'rejected', 'none'),
    })
    fc.assert(
      fc.property(
        fc.array(payment, { maxLength: 12 }),
        fc.array(fc.bigInt(1n, 10_000n), { maxLength: 5 }),
        (made, paid) => {
          const host = shop()
          const sums = { micro: 0n, macro: 0n, booked: 0n, paidOut: 0n, released: 0, undecided: 0 }
          made.forEach(({ amount, end }, at) => {
            const trans = invoiced(host, { amountMinor: amount, purchase: `${at}` })
            const mode = amount >= 1000n ? 'macro' : 'micro'
            host.deliver(noticeOf(asSealed(trans), { pn: `${at}`, mode }))
            const order = host.ledger.get(orders, BAKERY, trans.body.txId)
            if (order === undefined) throw new Error('no order')
            if (end === 'none') sums.undecided += 1
            else if (end !== 'confirmed') host.deliver(outcomeOf(order, { pn: `${at}`, outcome: end }))
            else {
              host.deliver(confirmationOf(order, mode === 'macro' ? 'T' : 'DT', { pn: `${at}` }))
              sums[mode] += amount
              sums.released += 1
              if (mode === 'macro') {
                host.deliver(accountNotice({ notice: `payment ${at}`, id: order.txId, amountMinor: amount }))
                sums.booked += amount
              }
            }
          })
          paid.forEach((amount, at) => {
            host.deliver(
              accountNotice({
                notice: `payout ${at}`,
                purpose: 'payout',
                id: testId(`payout ${at}`),
                amountMinor: amount,
              }),
            )
            sums.paidOut += amount
          })
          const report = host.read('report') as MerchantReport
          expect(report.payees).toEqual([
            {
              payee: BAKERY,
              mpp: MPP,
              currency: 'EUR',
              confirmedMicroMinor: sums.micro,
              confirmedMacroMinor: sums.macro,
              paidOutMinor: sums.paidOut,
              macroBookedMinor: sums.booked,
              refundedMinor: 0n,
              released: sums.released,
            },
          ])
          expect(report.undecided).toEqual(sums.undecided === 0 ? {} : { approved: sums.undecided })
        },
      ),
      { numRuns: 60 },
    )
  })
})

test('several payees of one host keep their orders, payments and sums apart', () => {
  const host = merchant()
  host.enrol()
  host.enrol({ payee: 'hu-carol', payeeKind: 'person', displayName: 'Carol', account: 'hu-kh:carol', catalogue: [] })
  const bread = invoiced(host, { purchase: 'bread' })
  const debt = invoiced(host, { payee: 'hu-carol', amountMinor: 77n, purchase: 'debt' })
  host.deliver(noticeOf(asSealed(bread), { pn: 'bread' }))
  host.deliver(noticeOf(asSealed(debt), { pn: 'debt', payee: 'hu-carol' }))
  const order = host.ledger.get(orders, 'hu-carol', debt.body.txId)
  if (order === undefined) throw new Error('no order')
  host.deliver(confirmationOf(order, 'DT', { pn: 'debt' }))
  const { payees } = host.read('report') as MerchantReport
  expect(payees.map(({ payee, confirmedMicroMinor, released }) => [payee, confirmedMicroMinor, released])).toEqual([
    [BAKERY, 0n, 0],
    ['hu-carol', 77n, 1],
  ])
  expect(host.read('order', { payee: 'carol@hu', txId: Buffer.from(debt.body.txId).toString('hex') })).toMatchObject({
    ok: true,
    state: 'released',
    payment: { state: 'confirmed' },
  })
  expect(host.read('order', { payee: 'carol@hu', txId: '00'.repeat(16) })).toMatchObject({
    ok: false,
    code: 'NOT_FOUND',
  })
  expect((host.read('payments', { limit: 1 }) as { payments: unknown[]; next?: string }).next).toBeDefined()
})
