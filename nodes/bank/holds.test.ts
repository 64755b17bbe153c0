import { describe, expect, it } from 'vitest'
import type { Body } from '../../protocol/kinds.ts'
import { decision } from '../runtime/node.ts'
import { TEST_NOW_MS, testId } from '../runtime/testing.ts'
import { HOLDS } from './state.ts'
import {
  giveMandate,
  mandateTerms,
  openAccount,
  outcomeOf,
  sentOf,
  testBank,
  type Sent,
  type TestBank,
} from './testing/test-bank.ts'

const CPP: Sent = { from: 'hu-otp', role: 'cpp', operatorId: 'hu-otp' }
const OTHER: Sent = { from: 'ro-libra', role: 'cpp', operatorId: 'ro-libra' }
const CUSTOMER = 'hu-kh:cust'
const SHOP = 'hu-kh:shop'
const HOLD = testId('hold')
const HOLD_MS = 60_000

/** A customer with 100.00 who lets hu-otp debit up to 80.00 an order, and a shop that is told of its bookings. */
const bankWithCustomer = (): TestBank => {
  const bank = testBank()
  openAccount(bank, 'cust', 10_000n)
  openAccount(bank, 'shop', 0n, { holderHost: { role: 'merchant', host: 'hu-shops-1' } })
  openAccount(bank, 'forint', 0n, { currency: 'HUF' })
  giveMandate(bank, mandateTerms(CUSTOMER, 'hu-otp', 8_000n))
  return bank
}
const holdBody = (changes: Partial<Body<'hold-order'>> = {}): Body<'hold-order'> => ({
  holdId: HOLD,
  account: CUSTOMER,
  amountMinor: 3_000n,
  currency: 'EUR',
  holdExpiresAtMs: TEST_NOW_MS + HOLD_MS,
  ...changes,
})
const postBody = (changes: Partial<Body<'post-order'>> = {}): Body<'post-order'> => ({
  orderId: testId('post'),
  holdId: HOLD,
  creditAccount: SHOP,
  amountMinor: 3_000n,
  currency: 'EUR',
  reference: { purpose: 'payment', id: testId('tx') },
  ...changes,
})
const place = (bank: TestBank, changes: Partial<Body<'hold-order'>> = {}, sent: Sent = CPP) =>
  outcomeOf(bank.receive('hold-order', holdBody(changes), sent))
const post = (bank: TestBank, changes: Partial<Body<'post-order'>> = {}, sent: Sent = CPP) =>
  outcomeOf(bank.receive('post-order', postBody(changes), sent))
const voidHold = (bank: TestBank, sent: Sent = CPP, holdId = HOLD, orderId = testId('void')) =>
  outcomeOf(bank.receive('void-order', { orderId, holdId }, sent))
const holdState = (bank: TestBank) => bank.ledger.get(HOLDS, HOLD)?.state

describe('a hold order', () => {
  it('takes from the free balance, not from the balance', () => {
    const bank = bankWithCustomer()
    expect(place(bank)).toBe('held')
    expect([bank.balance(CUSTOMER), bank.free(CUSTOMER)]).toEqual([10_000n, 7_000n])
    expect(bank.ledger.deadlines().map(({ name, atMs }) => [name, atMs])).toContainEqual([
      'hold-expiry',
      TEST_NOW_MS + HOLD_MS,
    ])
  })

  const rows: readonly (readonly [name: string, (bank: TestBank) => string | undefined, expected: string])[] = [
    ['voided before it arrived', (b) => (voidHold(b), place(b)), 'HOLD_VOIDED'],
    ['a tombstone of another operator', (b) => (voidHold(b, OTHER), place(b)), 'HOLD_MISMATCH'],
    [
      'an id that a hold of another host has',
      (b) => (place(b), place(b, {}, { ...CPP, from: 'hu-otp-2' })),
      'HOLD_MISMATCH',
    ],
    ['expired when it arrives', (b) => place(b, { holdExpiresAtMs: TEST_NOW_MS }), 'HOLD_EXPIRED'],
    [
      'held for longer than the bank holds',
      (b) => place(b, { holdExpiresAtMs: TEST_NOW_MS + b.policy.maxHoldMs + 1 }),
      'refusal SCHEMA_VIOLATION',
    ],
    ['an unknown account', (b) => place(b, { account: 'hu-kh:nobody' }), 'ACCOUNT_UNKNOWN'],
    ['an account of another bank', (b) => place(b, { account: 'ro-carpat:cust' }), 'ACCOUNT_UNKNOWN'],
    ['another currency', (b) => place(b, { currency: 'HUF' }), 'CURRENCY_UNSUPPORTED'],
    ['no mandate', (b) => place(b, {}, OTHER), 'NO_MANDATE'],
    [
      'a mandate that has ended',
      (b) => (b.advance(1_000_000_001), place(b, { holdExpiresAtMs: b.now() + 1 })),
      'NO_MANDATE',
    ],
    ['over the mandate', (b) => place(b, { amountMinor: 8_001n }), 'MANDATE_EXCEEDED'],
    [
      'over the balance',
      (b) => (
        giveMandate(b, { ...mandateTerms(CUSTOMER, 'hu-otp', 99_999n), serial: 2 }),
        place(b, { amountMinor: 10_001n })
      ),
      'INSUFFICIENT_FUNDS',
    ],
    [
      'over what other holds leave free',
      (b) => (place(b, { holdId: testId('first'), amountMinor: 8_000n }), place(b)),
      'INSUFFICIENT_FUNDS',
    ],
    ['exactly what is free', (b) => (place(b, { holdId: testId('first'), amountMinor: 7_000n }), place(b)), 'held'],
    ['exactly the mandate', (b) => place(b, { amountMinor: 8_000n }), 'held'],
  ]
  it.each(rows)('%s', (_name, act, expected) => {
    const bank = bankWithCustomer()
    expect(act(bank)).toBe(expected)
    expect(bank.balance(CUSTOMER)).toBe(10_000n)
  })

  it('refused leaves nothing held', () => {
    const bank = bankWithCustomer()
    place(bank, { amountMinor: 8_001n })
    expect(bank.free(CUSTOMER)).toBe(10_000n)
    expect(holdState(bank)).toBe('refused')
  })
})

describe('a post order', () => {
  it('moves the held sum, tells the payee, answers booked', () => {
    const bank = bankWithCustomer()
    place(bank)
    expect(post(bank)).toBe('booked')
    expect(sentOf(bank.lastDecision(), 'account-notice')).toMatchObject([
      {
        account: SHOP,
        amountMinor: 3_000n,
        originatingBank: 'hu-kh',
        reference: { purpose: 'payment', id: testId('tx') },
      },
    ])
    expect([bank.balance(CUSTOMER), bank.free(CUSTOMER), bank.balance(SHOP)]).toEqual([7_000n, 7_000n, 3_000n])
    expect(holdState(bank)).toBe('posted')
    expect(bank.advance(HOLD_MS)).not.toContainEqual(expect.objectContaining({ record: { event: 'hold-expired' } }))
    expect(bank.free(CUSTOMER)).toBe(7_000n)
  })

  const rows: readonly (readonly [name: string, (bank: TestBank) => string | undefined, expected: string])[] = [
    [
      'an order id that a void has',
      (b) => (place(b), voidHold(b, CPP, testId('other'), testId('post')), post(b)),
      'refusal ID_REUSED',
    ],
    [
      'an order id that a transfer has',
      (b) => {
        place(b)
        b.receive(
          'transfer-order',
          {
            orderId: testId('post'),
            debitAccount: CUSTOMER,
            creditAccount: SHOP,
            amountMinor: 1n,
            currency: 'EUR',
            reference: { purpose: 'collection', id: testId('c') },
          },
          CPP,
        )
        return post(b)
      },
      'refusal ID_REUSED',
    ],
    ['an unknown hold', (b) => post(b), 'HOLD_UNKNOWN'],
    ['a refused hold', (b) => (place(b, { amountMinor: 8_001n }), post(b, { amountMinor: 8_001n })), 'HOLD_UNKNOWN'],
    ['a hold of another operator', (b) => (place(b), post(b, {}, OTHER)), 'HOLD_MISMATCH'],
    ['a voided hold', (b) => (place(b), voidHold(b), post(b)), 'HOLD_VOIDED'],
    ['a tombstone', (b) => (voidHold(b), post(b)), 'HOLD_VOIDED'],
    ['an expired hold', (b) => (place(b), b.advance(HOLD_MS), post(b)), 'HOLD_EXPIRED'],
    [
      'a hold posted by another order',
      (b) => (place(b), post(b), post(b, { orderId: testId('again') })),
      'HOLD_MISMATCH',
    ],
    ['another amount', (b) => (place(b), post(b, { amountMinor: 2_999n })), 'HOLD_MISMATCH'],
    ['another currency', (b) => (place(b), post(b, { currency: 'HUF' })), 'HOLD_MISMATCH'],
    ['to an unknown account', (b) => (place(b), post(b, { creditAccount: 'hu-kh:nobody' })), 'ACCOUNT_UNKNOWN'],
    [
      'to an account in another currency',
      (b) => (place(b), post(b, { creditAccount: 'hu-kh:forint' })),
      'CURRENCY_UNSUPPORTED',
    ],
    [
      'to a bank that is no peer',
      (b) => (b.setPolicy({ peers: ['hu-otherbank'] }), place(b), post(b, { creditAccount: 'ro-carpat:shop' })),
      'ACCOUNT_UNKNOWN',
    ],
    ['by another host of the same operator', (b) => (place(b), post(b, {}, { ...CPP, from: 'hu-otp-2' })), 'booked'],
  ]
  it.each(rows)('%s', (name, act, expected) => {
    const bank = bankWithCustomer()
    const before = () => bank.balance(CUSTOMER) + bank.balance(SHOP)
    const sum = before()
    expect(act(bank)).toBe(expected)
    expect(before()).toBe(sum)
    const paid = expected === 'booked' || name.startsWith('a hold posted') ? 3_000n : 0n
    expect(bank.balance(SHOP)).toBe(name.startsWith('an order id that a transfer') ? 1n : paid)
  })

  it('at the last millisecond is in time, at the next too late, even before the sweep', () => {
    const early = bankWithCustomer()
    place(early)
    early.advance(HOLD_MS - 1)
    expect(post(early)).toBe('booked')

    const late = bankWithCustomer()
    place(late, { holdExpiresAtMs: TEST_NOW_MS + 10 })
    // The sweep is late: the clock is past the deadline and no deadline has fired.
    const deadline = late.ledger.deadlines().find(({ name }) => name === 'hold-expiry')
    late.ledger.apply(decision({ clear: deadline === undefined ? [] : [deadline] }))
    late.advance(10)
    expect(holdState(late)).toBe('held')
    expect(post(late)).toBe('HOLD_EXPIRED')
    expect([holdState(late), late.free(CUSTOMER)]).toEqual(['expired', 10_000n])
  })

  it('refused for its credit account leaves the hold held', () => {
    const bank = bankWithCustomer()
    place(bank)
    post(bank, { creditAccount: 'hu-kh:nobody' })
    expect([holdState(bank), bank.free(CUSTOMER)]).toEqual(['held', 7_000n])
  })
})

describe('a void order', () => {
  const rows: readonly (readonly [
    name: string,
    (bank: TestBank) => string | undefined,
    expected: string,
    state: string | undefined,
    free: bigint,
  ])[] = [
    [
      'an order id that another order has',
      (b) => (place(b), post(b, { creditAccount: 'hu-kh:nobody' }), voidHold(b, CPP, HOLD, testId('post'))),
      'refusal ID_REUSED',
      'held',
      7_000n,
    ],
    ['a hold of another operator', (b) => (place(b), voidHold(b, OTHER)), 'refusal HOLD_MISMATCH', 'held', 7_000n],
    ['a held hold', (b) => (place(b), voidHold(b)), 'voided', 'voided', 10_000n],
    [
      'twice, under two order ids',
      (b) => (place(b), voidHold(b), voidHold(b, CPP, HOLD, testId('void 2'))),
      'voided',
      'voided',
      10_000n,
    ],
    ['a hold never seen', (b) => voidHold(b), 'voided', 'voided', 10_000n],
    ['a refused hold', (b) => (place(b, { amountMinor: 8_001n }), voidHold(b)), 'voided', 'voided', 10_000n],
    ['an expired hold', (b) => (place(b), b.advance(HOLD_MS), voidHold(b)), 'voided', 'expired', 10_000n],
    ['a posted hold', (b) => (place(b), post(b), voidHold(b)), 'posted', 'posted', 7_000n],
    [
      'a hold on its way to another bank',
      (b) => (place(b), post(b, { creditAccount: 'ro-carpat:shop' }), voidHold(b)),
      'posted',
      'posting',
      7_000n,
    ],
  ]
  it.each(rows)('%s', (_name, act, expected, state, free) => {
    const bank = bankWithCustomer()
    expect(act(bank)).toBe(expected)
    expect([holdState(bank), bank.free(CUSTOMER)]).toEqual([state, free])
    expect(bank.ledger.deadlines().some(({ name }) => name === 'hold-expiry')).toBe(state === 'held')
  })
})

describe('the expiry of a hold', () => {
  it('frees the sum once, at its time', () => {
    const bank = bankWithCustomer()
    place(bank)
    bank.advance(HOLD_MS - 1)
    expect(bank.free(CUSTOMER)).toBe(7_000n)
    bank.advance(1)
    expect([bank.free(CUSTOMER), holdState(bank)]).toEqual([10_000n, 'expired'])
    expect(bank.ledger.deadlines().some(({ name }) => name === 'hold-expiry')).toBe(false)
  })

  it('a deadline that fires after the void frees nothing twice', () => {
    const bank = bankWithCustomer()
    place(bank)
    place(bank, { holdId: testId('second') })
    const [deadline] = bank.ledger.deadlines().filter(({ name }) => name === 'hold-expiry')
    voidHold(bank)
    if (deadline !== undefined) bank.ledger.apply(decision({ set: [{ ...deadline, key: HOLD }] }))
    bank.advance(HOLD_MS - 1)
    expect(bank.free(CUSTOMER)).toBe(7_000n)
    bank.advance(1)
    expect(bank.free(CUSTOMER)).toBe(10_000n)
  })
})
