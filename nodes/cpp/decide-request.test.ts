import { describe, expect, it } from 'vitest'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Decision } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { TEST_NOW_MS, outboxKey, testBytes, testId } from '../runtime/testing.ts'
import { customers, invoices, ledger, payments, refusedRequests, transLocks } from './state.ts'
import {
  BANK,
  MERCHANT_HOST,
  OPERATOR,
  WALLET_HOST,
  createWorld,
  invoice,
  kindsOf,
  merchantChain,
  sent,
  sentAll,
  textOf,
  type World,
} from './testing/world.ts'

const NOTICE_MS = 20_000
const OTHER_HOST = 'hu-wallet-2'

/** Alice has an account in EUR and a right PIN. */
const world = (): World => {
  const one = createWorld()
  one.enrol('hu-alice')
  one.enrol('hu-bob')
  return one
}

const outcome = (decided: Decision) => {
  const { body, to, nextHop } = sent(decided, 'customer-payment-outcome')
  return { outcome: body.outcome, code: body.code, to, host: nextHop?.host }
}
const refusedWith = (code: FailureCode, to = 'hu-alice') => ({
  outcome: 'refused',
  code: failureNumber(code),
  to,
  host: WALLET_HOST,
})

describe('a payment request: one row for each check, in their order', () => {
  const rows: readonly (readonly [FailureCode, string, (one: World) => Decision])[] = [
    ['CUSTOMER_UNKNOWN', 'nobody of this name', (one) => one.pay({ customer: 'hu-carol', badTrans: 'BAD_SIGNATURE' })],
    [
      'CUSTOMER_UNKNOWN',
      'an enrolment that is not complete',
      (one) => {
        one.enrol('hu-dora', { state: 'recording' })
        return one.pay({ customer: 'hu-dora' })
      },
    ],
    ['TRANS_INVALID', 'the nested TRANS does not open', (one) => one.pay({ badTrans: 'BAD_SIGNATURE' })],
    [
      'TRANS_INVALID',
      'the chain is of another payee',
      (one) => one.pay({ merchant: merchantChain({ payee: 'hu-other' }), expiresAtMs: TEST_NOW_MS }),
    ],
    ['TRANS_EXPIRED', 'at its expiry', (one) => one.pay({ expiresAtMs: TEST_NOW_MS, currency: 'JPY' })],
    [
      'CURRENCY_UNSUPPORTED',
      "not the account's currency",
      (one) => {
        lockPin(one)
        return one.pay({ currency: 'JPY' })
      },
    ],
    [
      'PIN_LOCKED',
      'even with the right PIN',
      (one) => {
        lockPin(one)
        suspend(one)
        return one.pay()
      },
    ],
    [
      'WRONG_PIN',
      'the proof does not fit',
      (one) => {
        suspend(one)
        return one.pay({ pinKey: testBytes('guess') })
      },
    ],
    [
      'CUSTOMER_SUSPENDED',
      'a collection was refused before',
      (one) => {
        one.pay({ tx: 'first' })
        suspend(one)
        return one.pay({ tx: 'first', pr: 'second' })
      },
    ],
    [
      'TRANS_LOCKED',
      'another payment of the TRANS is undecided',
      (one) => {
        one.pay({ tx: 'first' })
        return one.pay({ tx: 'first', pr: 'second' })
      },
    ],
    [
      'TRANS_ALREADY_PAID',
      'the TRANS was paid',
      (one) => {
        one.decide(sent(one.pay({ tx: 'first' }), 'payment-notice'))
        return one.pay({ tx: 'first', pr: 'second' })
      },
    ],
  ]
  it.each(rows)('%s: %s', (code, _, act) => {
    const one = world()
    const decided = act(one)
    expect(outcome(decided)).toEqual(refusedWith(code, sent(decided, 'customer-payment-outcome').to))
    expect(kindsOf(decided)).toEqual(['customer-payment-outcome'])
    expect(decided.set).toEqual([])
    expect(decided.postings).toEqual([])
  })

  it('stores a refusal without a lock, so that the TRANS stays payable', () => {
    const one = world()
    one.pay({ tx: 'tea', pr: 'wrong', pinKey: testBytes('guess') })
    expect(one.ledger.get(payments, testId('wrong'))).toMatchObject({
      state: 'refused',
      code: failureNumber('WRONG_PIN'),
    })
    expect(one.ledger.get(transLocks, 'hu-bakery', testId('tea'))).toBeUndefined()
    expect(kindsOf(one.pay({ tx: 'tea', pr: 'right' }))).toEqual(['payment-notice'])
  })

  it('of an undecided TRANS leaves the lock with the first, also after the second is refused', () => {
    const one = world()
    one.pay({ tx: 'tea', pr: 'first' })
    one.pay({ tx: 'tea', pr: 'second', customer: 'hu-bob' })
    expect(one.ledger.get(transLocks, 'hu-bakery', testId('tea'))).toEqual({ prId: testId('first'), paid: false })
  })

  it('with a prId that is taken is refused for good, whoever took it', () => {
    const one = world()
    one.pay({ tx: 'tea', pr: 'one' })
    expect(one.pay({ tx: 'cake', pr: 'one', customer: 'hu-bob' }).refuse?.code).toBe('ID_REUSED')
    one.pay({ tx: 'pie', pr: 'two', badTrans: 'BAD_SIGNATURE' })
    expect(one.pay({ tx: 'pie', pr: 'two', customer: 'hu-bob' }).refuse?.code).toBe('ID_REUSED')
  })

  it('is BUSY, and changes nothing, while the queue is full', () => {
    const one = world()
    one.pay({ tx: 'big', amountMinor: 999n })
    for (let i = 0; i < LIMITS.maxWaitingPerCustomer; i++)
      expect(one.pay({ tx: `w${i}`, amountMinor: 5n }).refuse).toBeUndefined()
    const decided = one.pay({ tx: 'more', amountMinor: 5n })
    expect(decided.refuse?.code).toBe('BUSY')
    expect(decided.writes).toEqual([])
    // A macro payment touches no threshold and does not wait.
    expect(kindsOf(one.pay({ tx: 'macro', amountMinor: 1_000n }))).toEqual(['hold-order'])
  })
})

const lockPin = (one: World): void => {
  for (let i = 0; i < LIMITS.maxWrongPins; i++) one.pay({ tx: `guess ${i}`, pinKey: testBytes(`guess ${i}`) })
}
const suspend = (one: World, customer = 'hu-alice'): void => {
  const total = one.ledger.get(ledger, customer)
  if (total?.kind !== 0) throw new Error('no total')
  one.ledger.put(ledger, keyOf(customer), { ...total, suspendedAtMs: TEST_NOW_MS })
}

describe('the PIN', () => {
  it('is counted when wrong, locks at the limit, and is opened by the operator alone', () => {
    const one = world()
    const wrong = (): number => one.ledger.get(customers, 'hu-alice')?.wrongPins ?? -1
    for (let i = 1; i <= LIMITS.maxWrongPins; i++) {
      expect(outcome(one.pay({ tx: `guess ${i}`, pinKey: testBytes('guess') }))).toEqual(refusedWith('WRONG_PIN'))
      expect(wrong()).toBe(i)
    }
    expect(outcome(one.pay({ tx: 'right' }))).toEqual(refusedWith('PIN_LOCKED'))
    one.nowMs += 86_400_000
    expect(outcome(one.pay({ tx: 'later', expiresAtMs: one.nowMs + 1_000 }))).toEqual(refusedWith('PIN_LOCKED'))
    expect(one.control('unlock-customer', { customer: 'hu-alice' }).reply).toMatchObject({ ok: true, wasLocked: true })
    expect(kindsOf(one.pay({ tx: 'again', expiresAtMs: one.nowMs + 1_000 }))).toEqual(['payment-notice'])
    expect(wrong()).toBe(0)
  })

  it('when right resets the count, even where a later check refuses', () => {
    const one = world()
    one.pay({ tx: 'guess', pinKey: testBytes('guess') })
    suspend(one)
    expect(outcome(one.pay({ tx: 'right' }))).toEqual(refusedWith('CUSTOMER_SUSPENDED'))
    expect(one.ledger.get(customers, 'hu-alice')?.wrongPins).toBe(0)
  })

  it('proves itself for one TRANS and one request only, and for its own customer', () => {
    const one = world()
    expect(outcome(one.pay({ tx: 'a', pinKey: one.pinKeyOf('hu-bob') }))).toEqual(refusedWith('WRONG_PIN'))
    expect(one.ledger.get(customers, 'hu-bob')?.wrongPins).toBe(0)
  })
})

describe('an admitted micropayment', () => {
  it('locks the TRANS, becomes pending, and sends one notice that names no customer', () => {
    const one = world()
    const decided = one.pay({ tx: 'tea', pr: 'pr', amountMinor: 300n })
    const notice = sent(decided, 'payment-notice')
    const trans = invoice({ tx: 'tea', amountMinor: 300n })
    expect(notice).toEqual({
      kind: 'payment-notice',
      to: MERCHANT_HOST,
      body: { pnId: notice.body.pnId, payee: 'hu-bakery', mode: 'micro', operatorId: OPERATOR, trans: trans.frame },
      delivery: { until: ['pn', notice.body.pnId] },
      expiresAtMs: TEST_NOW_MS + NOTICE_MS,
    })
    expect(decided.sends).toHaveLength(1)
    expect(decided.set).toEqual([{ name: 'notice-expiry', key: testId('pr'), atMs: TEST_NOW_MS + NOTICE_MS }])
    expect(one.ledger.get(payments, testId('pr'))).toMatchObject({
      state: 'notified',
      customer: 'hu-alice',
      mode: 'micro',
    })
    expect(one.ledger.get(transLocks, 'hu-bakery', testId('tea'))).toEqual({ prId: testId('pr'), paid: false })
    expect(one.ledger.get(ledger, 'hu-alice')).toMatchObject({
      pendingMinor: 300n,
      outstandingMinor: 0n,
      thresholdMinor: 1_000n,
    })
    expect(one.ledger.rows(invoices)).toEqual([])
    expect(decided.postings).toEqual([])
  })

  it('expires with its TRANS when that comes first', () => {
    const notice = sent(world().pay({ expiresAtMs: TEST_NOW_MS + 500 }), 'payment-notice')
    expect(notice.expiresAtMs).toBe(TEST_NOW_MS + 500)
  })

  it('is the largest below M; at M it is macro', () => {
    expect(sent(world().pay({ amountMinor: 999n }), 'payment-notice').body.mode).toBe('micro')
    expect(kindsOf(world().pay({ amountMinor: 1_000n }))).toEqual(['hold-order'])
  })
})

describe('a macro payment', () => {
  it("is held at the customer's bank for as long as the notice lives, and a grace longer", () => {
    const one = world()
    const order = sent(one.pay({ tx: 'tv', pr: 'pr', amountMinor: 50_000n }), 'hold-order')
    expect(order).toMatchObject({
      to: BANK,
      body: {
        account: `${BANK}:alice`,
        amountMinor: 50_000n,
        currency: 'EUR',
        holdExpiresAtMs: TEST_NOW_MS + NOTICE_MS + LIMITS.postGraceMs,
      },
      delivery: { until: ['hold', order.body.holdId] },
      expiresAtMs: TEST_NOW_MS + NOTICE_MS,
    })
    expect(one.ledger.get(payments, testId('pr'))?.state).toBe('holding')
    expect(one.ledger.get(ledger, 'hu-alice')).toMatchObject({ pendingMinor: 0n })
    const decided = one.answer(order, 'done')
    expect(sent(decided, 'payment-notice').body.mode).toBe('macro')
    expect(one.ledger.outbox.has(outboxKey('hold', order.body.holdId))).toBe(false)
    expect(one.ledger.get(payments, testId('pr'))?.state).toBe('notified')
  })

  it("is refused with the bank's code, and its TRANS is free again", () => {
    const one = world()
    const decided = one.answer(
      sent(one.pay({ tx: 'tv', amountMinor: 50_000n }), 'hold-order'),
      'refused',
      'INSUFFICIENT_FUNDS',
    )
    expect(outcome(decided)).toEqual(refusedWith('INSUFFICIENT_FUNDS'))
    expect(kindsOf(decided)).toEqual(['customer-payment-outcome'])
    expect(one.ledger.rows(transLocks)).toEqual([])
    expect(one.ledger.rows(invoices)).toEqual([])
    expect(one.ledger.deadlines()).toEqual([])
  })

  it('ignores an answer to its hold from another bank, of another order, or after the first', () => {
    const one = world()
    const order = sent(one.pay({ amountMinor: 50_000n }), 'hold-order')
    expect(one.answer(order, 'done', undefined, 'hu-other-bank').writes).toEqual([])
    const unknown = { ...order, body: { ...order.body, holdId: testId('unknown') } }
    expect(one.answer(unknown, 'done').writes).toEqual([])
    one.answer(order, 'done')
    expect(one.answer(order, 'refused', 'INSUFFICIENT_FUNDS').writes).toEqual([])
  })

  it('whose hold is answered after its expiry sends no notice', () => {
    const one = world()
    const order = sent(one.pay({ amountMinor: 50_000n }), 'hold-order')
    one.nowMs += NOTICE_MS
    expect(kindsOf(one.answer(order, 'done'))).toEqual([])
    const [expired] = one.advance(one.nowMs)
    expect(kindsOf(expired as Decision)).toEqual(['customer-payment-outcome', 'void-order'])
  })

  it('whose hold comes back after it expired stays expired', () => {
    const one = world()
    const order = sent(one.pay({ pr: 'pr', amountMinor: 50_000n }), 'hold-order')
    const [expired] = one.advance(TEST_NOW_MS + NOTICE_MS)
    expect(sent(expired as Decision, 'void-order').body.holdId).toEqual(order.body.holdId)
    expect(one.ledger.outbox.has(outboxKey('hold', order.body.holdId))).toBe(false)
    expect(one.answer(order, 'done').sends).toEqual([])
    expect(one.ledger.get(payments, testId('pr'))?.state).toBe('expired')
  })
})

describe('a question about a payment', () => {
  const ask = (one: World, pr: string, customer = 'hu-alice', transExpiresAtMs = TEST_NOW_MS): Decision =>
    one.receive('payment-query', { prId: testId(pr), transExpiresAtMs }, { from: customer, host: WALLET_HOST })

  it('gets the answer that was given, word for word', () => {
    const one = world()
    const confirmed = one.decide(sent(one.pay({ pr: 'pr' }), 'payment-notice'))
    const told = sent(confirmed, 'customer-delayed-transfer-confirmation')
    one.nowMs += 5_000
    one.decide(sent(one.pay({ tx: 'next', expiresAtMs: one.nowMs + 1_000 }), 'payment-notice'))
    const answer = sent(ask(one, 'pr'), 'customer-delayed-transfer-confirmation')
    expect(answer.body).toEqual(told.body)
    one.pay({ pr: 'no', tx: 'no', pinKey: testBytes('guess'), expiresAtMs: one.nowMs + 1_000 })
    expect(outcome(ask(one, 'no'))).toEqual(refusedWith('WRONG_PIN'))
  })

  it('is UNDECIDED while the payment is, and before the TRANS has expired', () => {
    const one = world()
    one.pay({ pr: 'pr' })
    expect(ask(one, 'pr').refuse?.code).toBe('UNDECIDED')
    const early = ask(one, 'never', 'hu-alice', TEST_NOW_MS + 1)
    expect(early.refuse?.code).toBe('UNDECIDED')
    expect(early.writes).toEqual([])
  })

  it('that finds nothing withdraws the request for ever', () => {
    const one = world()
    expect(outcome(ask(one, 'lost'))).toEqual(refusedWith('WITHDRAWN'))
    expect(one.ledger.get(refusedRequests, testId('lost'))).toMatchObject({ customer: 'hu-alice' })
    const late = one.pay({ pr: 'lost' })
    expect(outcome(late)).toEqual(refusedWith('WITHDRAWN'))
    expect(late.writes).toEqual([])
    const again = ask(one, 'lost')
    expect(outcome(again)).toEqual(refusedWith('WITHDRAWN'))
    expect(again.writes).toEqual([])
  })

  const moved = (one: World): void => {
    const row = one.ledger.get(customers, 'hu-alice')
    if (row === undefined) throw new Error('alice is not enrolled')
    one.ledger.put(customers, keyOf('hu-alice'), { ...row, walletHost: OTHER_HOST, deviceKey: testBytes('new device') })
  }
  const askAs = (one: World, pr: string, from: string, customer: string | undefined, host: string): Decision => {
    const body = { prId: testId(pr), transExpiresAtMs: TEST_NOW_MS, ...(customer === undefined ? {} : { customer }) }
    return one.receive('payment-query', body, { from, host })
  }

  it('is answered to the host that made the request, wherever the device is by then', () => {
    const one = world()
    const [micro, macro] = [one.pay({ pr: 'micro' }), one.pay({ pr: 'macro', tx: 'macro', amountMinor: 50_000n })]
    moved(one)
    const told = sent(one.decide(sent(micro, 'payment-notice')), 'customer-delayed-transfer-confirmation')
    expect([told.to, told.nextHop?.host]).toEqual(['hu-alice', WALLET_HOST])
    expect(outcome(one.answer(sent(macro, 'hold-order'), 'refused', 'INSUFFICIENT_FUNDS')).host).toBe(WALLET_HOST)
    const asked = askAs(one, 'micro', WALLET_HOST, 'hu-alice', WALLET_HOST)
    expect(sent(asked, 'customer-delayed-transfer-confirmation')).toMatchObject({ to: 'hu-alice', body: told.body })
    expect(asked.sends[0]).toMatchObject({ nextHop: { host: WALLET_HOST } })
  })

  it('is refused to every host but that one, and to a device that names another customer', () => {
    const one = world()
    one.decide(sent(one.pay({ pr: 'pr' }), 'payment-notice'))
    askAs(one, 'lost', WALLET_HOST, 'hu-alice', WALLET_HOST)
    for (const pr of ['pr', 'lost'])
      for (const [from, customer, host] of [
        [OTHER_HOST, 'hu-alice', OTHER_HOST],
        ['hu-alice', undefined, OTHER_HOST],
        ['hu-bob', 'hu-alice', WALLET_HOST],
        ['hu-bob', undefined, WALLET_HOST],
        [WALLET_HOST, 'hu-bob', WALLET_HOST],
        [WALLET_HOST, undefined, WALLET_HOST],
      ] as const) {
        const asked = askAs(one, pr, from, customer, host)
        expect([asked.refuse?.code, asked.sends, asked.writes]).toEqual(['NOT_FOUND', [], []])
      }
    expect(askAs(one, 'new', 'hu-bob', 'hu-alice', WALLET_HOST).refuse?.code).toBe('NOT_FOUND')
  })

  it('from a host that finds nothing withdraws the request of that customer and host, and no other', () => {
    const one = world()
    expect(outcome(askAs(one, 'lost', WALLET_HOST, 'hu-alice', WALLET_HOST))).toEqual(refusedWith('WITHDRAWN'))
    expect(one.ledger.get(refusedRequests, testId('lost'))).toMatchObject({
      customer: 'hu-alice',
      walletHost: WALLET_HOST,
    })
    expect(outcome(one.pay({ pr: 'lost' }))).toEqual(refusedWith('WITHDRAWN'))
    askAs(one, 'theirs', OTHER_HOST, 'hu-alice', OTHER_HOST)
    expect(one.pay({ pr: 'theirs' }).refuse?.code).toBe('ID_REUSED')
  })

  it("of another's payment finds nothing", () => {
    const one = world()
    one.pay({ pr: 'pr' })
    expect(ask(one, 'pr', 'hu-bob').refuse?.code).toBe('NOT_FOUND')
    ask(one, 'lost')
    expect(ask(one, 'lost', 'hu-bob').refuse?.code).toBe('NOT_FOUND')
    expect(sentAll(ask(one, 'lost', 'hu-bob'), 'customer-payment-outcome')).toEqual([])
  })
})

it('a notice names neither the customer, nor the account, nor the prId', () => {
  const text = textOf(sent(world().pay({ tx: 'tx', pr: 'pr' }), 'payment-notice'))
  expect(text).not.toContain('alice')
  expect(text).not.toContain(textOf(testId('pr')))
  expect(text).toContain('hu-bakery')
})
