/** Payments in another currency at the CPP: quotes, micro and macro, the books in each currency, and who tries to misuse a quote. */
import { describe, expect, it } from 'vitest'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import type { CppReport, PaymentLine } from '../runtime/reports.ts'
import type { Decision } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { TEST_NOW_MS, incoming, testBytes, testId } from '../runtime/testing.ts'
import { ledger, payments, transLocks } from './state.ts'
import { positions, quotes } from './state-fx.ts'
import {
  BANK,
  MERCHANT_HOST,
  MPP,
  WALLET_HOST,
  createWorld,
  kindsOf,
  merchantChain,
  sent,
  sentAll,
  textOf,
  type Sent,
  type World,
} from './testing/world.ts'

const EVA = 'hu-eva'
const LIFETIME_MS = 30_000
const RETRY_MS = 600_000

/** Eva has an account in HUF, Alice one in EUR; 1 EUR costs 400 HUF. */
const world = (): World => {
  const one = createWorld({
    policy: {
      fx: {
        rates: { 'EUR HUF': { numerator: 400n, denominator: 1n } },
        marginBps: 0,
        quoteLifetimeMs: LIFETIME_MS,
        retryMs: RETRY_MS,
      },
    },
  })
  one.enrol(EVA, { currency: 'HUF' })
  one.enrol('hu-alice')
  return one
}
/** Asks for a quote and pays on it. */
const payEva = (one: World, tx: string, amountMinor: bigint): Decision => {
  one.askQuote(EVA, `quote ${tx}`, { amountMinor })
  return one.pay({ customer: EVA, tx, amountMinor, quote: `quote ${tx}` })
}
const confirmEva = (one: World, tx: string, amountMinor: bigint): Decision =>
  one.decide(sent(payEva(one, tx, amountMinor), 'payment-notice'))
const codeOf = (decided: Decision): FailureCode | number | undefined =>
  sentAll(decided, 'customer-payment-outcome')[0]?.body.code
const report = (one: World): CppReport => one.read('report')
const totalOf = (one: World, customer = EVA) => {
  const row = one.ledger.get(ledger, customer)
  if (row?.kind !== 0) throw new Error('no total')
  return row
}
const sumsByCurrency = (one: World): Readonly<Record<string, bigint>> => {
  const sums: Record<string, bigint> = {}
  for (const [name, amount] of one.books) {
    const currency = name.slice(-3)
    sums[currency] = (sums[currency] ?? 0n) + amount
  }
  return sums
}

describe('a quote', () => {
  it('is told to the customer alone, and kept', () => {
    const one = world()
    const decided = one.askQuote(EVA, 'q')
    expect(kindsOf(decided)).toEqual(['fx-quote'])
    const { to, nextHop, body } = sent(decided, 'fx-quote')
    expect([to, nextHop?.host]).toEqual([EVA, WALLET_HOST])
    expect(body).toEqual({
      quoteId: testId('q'),
      currency: 'EUR',
      amountMinor: 120n,
      accountCurrency: 'HUF',
      accountAmountMinor: 48_000n,
      rateNumerator: 400n,
      rateDenominator: 1n,
      expiresAtMs: TEST_NOW_MS + LIFETIME_MS,
    })
    expect(one.ledger.get(quotes, testId('q'))).toMatchObject({ customer: EVA, accountAmountMinor: 48_000n })
    expect(decided.postings).toEqual([])
  })

  it.each<readonly [FailureCode, string, (one: World) => Decision]>([
    ['CUSTOMER_UNKNOWN', 'of nobody', (one) => one.askQuote('hu-carol', 'q')],
    ['CUSTOMER_UNKNOWN', 'in the name of another', (one) => one.askQuote('hu-alice', 'q', { as: EVA })],
    [
      'ID_REUSED',
      "under another's id",
      (one) => {
        one.askQuote(EVA, 'q')
        return one.askQuote('hu-alice', 'q', { currency: 'HUF' })
      },
    ],
    ['CURRENCY_UNSUPPORTED', "in the account's own currency", (one) => one.askQuote(EVA, 'q', { currency: 'HUF' })],
    ['CURRENCY_UNSUPPORTED', 'in one without a rate', (one) => one.askQuote('hu-alice', 'q', { currency: 'HUF' })],
    ['AMOUNT_INVALID', 'over a payment’s limit', (one) => one.askQuote(EVA, 'q', { amountMinor: 90_000_000_000n })],
  ])('%s: %s', (code, _, act) => {
    const one = world()
    const decided = act(one)
    expect(decided.refuse?.code).toBe(code)
    expect([...decided.writes, ...decided.sends]).toEqual([])
  })
})

describe('a payment request in another currency: one row for each check', () => {
  it.each<readonly [FailureCode, string, (one: World) => Decision]>([
    ['CURRENCY_UNSUPPORTED', 'without rate or quote', (one) => one.pay({ customer: EVA, currency: 'USD' })],
    ['QUOTE_REQUIRED', 'without a quote', (one) => one.pay({ customer: EVA })],
    ['QUOTE_UNKNOWN', 'nobody was given it', (one) => one.pay({ customer: EVA, quote: 'made up' })],
    [
      'QUOTE_UNKNOWN',
      "another customer's",
      (one) => {
        one.enrol('hu-ed', { currency: 'HUF' })
        one.askQuote('hu-ed', 'q')
        return one.pay({ customer: EVA, quote: 'q' })
      },
    ],
    [
      'QUOTE_UNKNOWN',
      "another's, from an account that needs none",
      (one) => {
        one.askQuote(EVA, 'q')
        return one.pay({ customer: 'hu-alice', quote: 'q' })
      },
    ],
    [
      'QUOTE_USED',
      'a second payment on it',
      (one) => {
        payEva(one, 'tea', 120n)
        return one.pay({ customer: EVA, tx: 'cake', quote: 'quote tea' })
      },
    ],
    [
      'QUOTE_USED',
      'also when the first was rejected',
      (one) => {
        one.decide(sent(payEva(one, 'tea', 120n), 'payment-notice'), { decision: 'reject' })
        return one.pay({ customer: EVA, tx: 'cake', quote: 'quote tea' })
      },
    ],
    [
      'QUOTE_EXPIRED',
      'at its expiry',
      (one) => {
        one.askQuote(EVA, 'q')
        one.advance(TEST_NOW_MS + LIFETIME_MS)
        return one.pay({ customer: EVA, quote: 'q' })
      },
    ],
    [
      'QUOTE_MISMATCH',
      'a larger invoice',
      (one) => {
        one.askQuote(EVA, 'q')
        return one.pay({ customer: EVA, amountMinor: 121n, quote: 'q' })
      },
    ],
    [
      'QUOTE_MISMATCH',
      'a smaller invoice',
      (one) => {
        one.askQuote(EVA, 'q')
        return one.pay({ customer: EVA, amountMinor: 119n, quote: 'q' })
      },
    ],
    [
      'QUOTE_MISMATCH',
      'an invoice in a third currency',
      (one) => {
        one.askQuote(EVA, 'q')
        return one.pay({ customer: EVA, currency: 'USD', quote: 'q' })
      },
    ],
    ['QUOTE_REQUIRED', 'before the PIN is looked at', (one) => one.pay({ customer: EVA, pinKey: testBytes('guess') })],
  ])('%s: %s', (code, _, act) => {
    const one = world()
    const decided = act(one)
    expect(codeOf(decided)).toBe(failureNumber(code))
    expect(kindsOf(decided)).toEqual(['customer-payment-outcome'])
    expect(decided.postings).toEqual([])
  })

  it('leaves the quote unused when another check refuses it, so that the next request may name it', () => {
    const one = world()
    one.askQuote(EVA, 'q')
    expect(codeOf(one.pay({ customer: EVA, tx: 'a', quote: 'q', pinKey: testBytes('guess') }))).toBe(
      failureNumber('WRONG_PIN'),
    )
    expect(one.ledger.get(quotes, testId('q'))?.prId).toBeUndefined()
    expect(kindsOf(one.pay({ customer: EVA, tx: 'b', quote: 'q' }))).toEqual(['payment-notice'])
    expect(one.ledger.get(quotes, testId('q'))?.prId).toEqual(testId('b'))
  })

  it('honours a quote whose rate has changed or gone since', () => {
    const one = world()
    one.askQuote(EVA, 'q')
    one.policy = { ...one.policy, fx: { ...one.policy.fx, rates: {} } }
    one.decide(sent(one.pay({ customer: EVA, quote: 'q' }), 'payment-notice'))
    expect(totalOf(one).outstandingMinor).toBe(48_000n)
  })
})

describe('a micropayment in another currency', () => {
  it('is owed in the account’s currency by the customer, in the invoice’s to the MPP, and the books of each balance', () => {
    const one = world()
    const requested = payEva(one, 'tea', 120n)
    expect(totalOf(one)).toMatchObject({ pendingMinor: 48_000n, outstandingMinor: 0n })
    const decided = one.decide(sent(requested, 'payment-notice'))
    expect(totalOf(one)).toMatchObject({ pendingMinor: 0n, outstandingMinor: 48_000n, currency: 'HUF' })
    expect(Object.fromEntries(one.books)).toEqual({
      [`customer:${EVA} HUF`]: -48_000n,
      'fx:HUF HUF': 48_000n,
      [`payable:${MPP} EUR`]: 120n,
      'fx:EUR EUR': -120n,
    })
    expect(sent(decided, 'customer-delayed-transfer-confirmation').body).toMatchObject({
      amountMinor: 120n,
      currency: 'EUR',
      accountAmountMinor: 48_000n,
      accountCurrency: 'HUF',
      outstandingMinor: 48_000n,
    })
    expect(report(one).positions).toEqual([
      {
        currency: 'EUR',
        positionMinor: -120n,
        boughtMinor: 0n,
        soldMinor: 120n,
        refundedMinor: 0n,
        exchangedMinor: 0n,
        owedMinor: 0n,
      },
      {
        currency: 'HUF',
        positionMinor: 48_000n,
        boughtMinor: 48_000n,
        soldMinor: 0n,
        refundedMinor: 0n,
        exchangedMinor: 0n,
        owedMinor: 0n,
      },
    ])
    expect(report(one).pairs).toMatchObject([{ mpp: MPP, currency: 'EUR', payableMinor: 120n }])
    expect(report(one).totals.find(({ currency }) => currency === 'HUF')).toMatchObject({
      confirmedMicroMinor: 48_000n,
      outstandingMinor: 48_000n,
    })
  })

  it('shows nobody but the customer that anything was exchanged', () => {
    const one = world()
    const requested = payEva(one, 'tea', 120n)
    const decided = one.decide(sent(requested, 'payment-notice'))
    const toPayee = [...requested.sends, ...decided.sends].filter(
      (send) => 'kind' in send && !send.kind.startsWith('customer-'),
    )
    expect(toPayee).toHaveLength(2)
    for (const secret of ['48000', 'HUF', 'hu-eva', Buffer.from(testId('quote tea')).toString('hex')])
      expect(textOf(toPayee)).not.toContain(secret)
  })

  it('crosses θ by what the customer is charged; the collection is in the account’s currency', () => {
    const one = world()
    // θ is M: 4000 HUF. Two of 1600 HUF fit, the third crosses.
    confirmEva(one, 'a', 400n)
    confirmEva(one, 'b', 400n)
    const third = payEva(one, 'c', 400n)
    const order = sent(third, 'transfer-order')
    expect(order.body).toMatchObject({
      debitAccount: `${BANK}:eva`,
      creditAccount: `${BANK}:otp-huf`,
      amountMinor: 320_000n,
      currency: 'HUF',
    })
    one.decide(sent(one.answer(order, 'done'), 'payment-notice'))
    expect(totalOf(one)).toMatchObject({ outstandingMinor: 160_000n })
    expect(report(one)).toMatchObject({ boundBreaches: 0 })
    expect(sumsByCurrency(one)).toEqual({ EUR: 0n, HUF: 0n })
    expect(one.books.get(`bank:${BANK}:otp-huf HUF`)).toBe(-320_000n)
  })

  it('over M of the account’s currency is still one payment within the bound: pending, owed, then collected', () => {
    const one = createWorld({
      policy: {
        fx: {
          rates: { 'EUR HUF': { numerator: 500n, denominator: 1n } },
          marginBps: 0,
          quoteLifetimeMs: LIFETIME_MS,
          retryMs: RETRY_MS,
        },
      },
    })
    one.enrol(EVA, { currency: 'HUF' })
    // 9.99 EUR is micro and costs 4995 HUF, which is over M.
    const notice = sent(payEva(one, 'a', 999n), 'payment-notice')
    expect(notice.body.mode).toBe('micro')
    expect(report(one).boundBreaches).toBe(0)
    one.decide(notice)
    expect(report(one).boundBreaches).toBe(0)
    const next = payEva(one, 'b', 1n)
    expect(sent(next, 'transfer-order').body.amountMinor).toBe(499_500n)
    expect(sentAll(next, 'payment-notice')).toEqual([])
  })

  it('dropped before its confirmation owes nothing and moves no position', () => {
    const one = world()
    one.decide(sent(payEva(one, 'a', 120n), 'payment-notice'), { decision: 'reject' })
    expect(totalOf(one)).toMatchObject({ pendingMinor: 0n, outstandingMinor: 0n })
    expect(one.ledger.rows(positions)).toEqual([])
    expect(one.books.size).toBe(0)
  })

  it('is shown with both sums', () => {
    const one = world()
    confirmEva(one, 'a', 120n)
    const [line] = one.read('payments', {}).payments as PaymentLine[]
    expect(line).toMatchObject({
      amountMinor: 120n,
      currency: 'EUR',
      accountAmountMinor: 48_000n,
      accountCurrency: 'HUF',
    })
  })
})

describe('a macro payment in another currency', () => {
  const held = (one: World, tx = 'tv'): { readonly hold: Decision; readonly approved: Decision } => {
    const hold = payEva(one, tx, 5_000n)
    const approved = one.decide(sent(one.answer(sent(hold, 'hold-order'), 'done'), 'payment-notice'))
    return { hold, approved }
  }

  it('holds the quoted sum, pays the payee first, and takes the hold when the payee’s bank has booked', () => {
    const one = world()
    const { hold, approved } = held(one)
    expect(sent(hold, 'hold-order').body).toMatchObject({
      account: `${BANK}:eva`,
      amountMinor: 2_000_000n,
      currency: 'HUF',
    })
    expect(kindsOf(approved)).toEqual(['transfer-order'])
    const transfer = sent(approved, 'transfer-order')
    expect(transfer.body).toMatchObject({
      debitAccount: `${BANK}:otp-eur`,
      creditAccount: merchantChain().payee.account,
      amountMinor: 5_000n,
      currency: 'EUR',
      reference: { purpose: 'payment', id: testId('tv') },
    })
    expect(one.books.size).toBe(0)
    const confirmed = one.answer(transfer, 'done')
    expect(kindsOf(confirmed)).toEqual(['customer-transfer-confirmation', 'transfer-confirmation', 'post-order'])
    expect(sent(confirmed, 'customer-transfer-confirmation').body).toMatchObject({
      amountMinor: 5_000n,
      accountAmountMinor: 2_000_000n,
      accountCurrency: 'HUF',
    })
    expect(textOf(sent(confirmed, 'transfer-confirmation'))).not.toContain('HUF')
    const post = sent(confirmed, 'post-order')
    expect(post.body).toMatchObject({
      holdId: sent(hold, 'hold-order').body.holdId,
      creditAccount: `${BANK}:otp-huf`,
      amountMinor: 2_000_000n,
      currency: 'HUF',
      reference: { purpose: 'exchange' },
    })
    expect(report(one).positions).toMatchObject([
      { currency: 'EUR', positionMinor: -5_000n, soldMinor: 5_000n },
      {
        currency: 'HUF',
        positionMinor: 2_000_000n,
        boughtMinor: 2_000_000n,
        exchangedMinor: 0n,
        owedMinor: 2_000_000n,
      },
    ])
    one.answer(post, 'done')
    expect(Object.fromEntries(one.books)).toEqual({
      [`bank:${BANK}:otp-eur EUR`]: 5_000n,
      'fx:EUR EUR': -5_000n,
      [`exchange:${EVA} HUF`]: 0n,
      'fx:HUF HUF': 2_000_000n,
      [`bank:${BANK}:otp-huf HUF`]: -2_000_000n,
    })
    expect(report(one).positions).toMatchObject([
      { currency: 'EUR' },
      { currency: 'HUF', exchangedMinor: 2_000_000n, owedMinor: 0n },
    ])
    expect(totalOf(one)).toMatchObject({ outstandingMinor: 0n, pendingMinor: 0n })
  })

  it('fails when the payee’s bank refuses: the hold is given back, nothing was taken', () => {
    const one = world()
    const { hold, approved } = held(one)
    const failed = one.answer(sent(approved, 'transfer-order'), 'refused', 'INSUFFICIENT_FUNDS')
    expect(kindsOf(failed)).toEqual(['customer-payment-outcome', 'payment-outcome', 'void-order'])
    // The CPP's own want of money is none of the customer's.
    expect(codeOf(failed)).toBe(failureNumber('TRANSFER_FAILED'))
    expect(sent(failed, 'void-order').body.holdId).toEqual(sent(hold, 'hold-order').body.holdId)
    expect(one.books.size).toBe(0)
    expect(one.ledger.get(transLocks, 'hu-bakery', testId('tv'))).toBeUndefined()
    expect(one.ledger.rows(positions)).toEqual([])
  })

  it('stays confirmed when the hold cannot be posted: the customer’s account is asked until it pays', () => {
    const one = world()
    const { approved } = held(one)
    const post = sent(one.answer(sent(approved, 'transfer-order'), 'done'), 'post-order')
    const first = sent(one.answer(post, 'refused', 'HOLD_EXPIRED'), 'transfer-order')
    expect(first.body).toMatchObject({
      debitAccount: `${BANK}:eva`,
      creditAccount: `${BANK}:otp-huf`,
      amountMinor: 2_000_000n,
      currency: 'HUF',
      reference: { purpose: 'exchange' },
    })
    expect(one.ledger.get(payments, testId('tv'))).toMatchObject({ state: 'confirmed', exchange: 'owed' })
    expect(one.answer(first, 'refused', 'INSUFFICIENT_FUNDS').sends).toEqual([])
    expect(one.advance(one.nowMs + RETRY_MS - 1)).toEqual([])
    const [again] = one.advance(one.nowMs + 1)
    const second = sent(again as Decision, 'transfer-order')
    expect(second.body.orderId).not.toEqual(first.body.orderId)
    expect(one.books.get(`exchange:${EVA} HUF`)).toBe(-2_000_000n)
    one.answer(second, 'done')
    expect(one.ledger.get(payments, testId('tv'))).toMatchObject({ state: 'confirmed', exchange: 'booked' })
    expect(one.books.get(`exchange:${EVA} HUF`)).toBe(0n)
    expect(sumsByCurrency(one)).toEqual({ EUR: 0n, HUF: 0n })
    // Nothing is armed any more, and a late answer to an order of before changes nothing.
    expect(one.answer(first, 'done').writes).toEqual([])
    expect(one.advance(one.nowMs + 10 * RETRY_MS).flatMap(({ sends }) => sends)).toEqual([])
  })

  it('expired or rejected before the approve gives the whole hold back', () => {
    const one = world()
    const hold = payEva(one, 'tv', 5_000n)
    const rejected = one.decide(sent(one.answer(sent(hold, 'hold-order'), 'done'), 'payment-notice'), {
      decision: 'reject',
    })
    expect(kindsOf(rejected)).toContain('void-order')
    expect(one.books.size).toBe(0)
  })

  it('a refusal of the post that stands for an answer is one: HOLD_EXPIRED at the bank’s door', () => {
    const one = world()
    const { approved } = held(one)
    const post = sent(one.answer(sent(approved, 'transfer-order'), 'done'), 'post-order')
    const decided = one.refused(keyOf('order', post.body.orderId), 'post-order', 'NOT_FOUND')
    expect(sent(decided, 'transfer-order').body.amountMinor).toBe(2_000_000n)
  })

  it.each(['payment', 'exchange', 'recovery'] as const)(
    'an answer of another kind to the %s order ends nothing',
    (which) => {
      const one = world()
      const { approved } = held(one)
      const transfer = sent(approved, 'transfer-order')
      const wrong = (
        order: { readonly body: { readonly orderId: Uint8Array } },
        kind: 'post-answer' | 'transfer-answer',
      ) => {
        const { orderId } = order.body
        const decided =
          kind === 'post-answer'
            ? one.receive(kind, { orderId, holdId: testId('h'), result: 'booked' }, { from: BANK })
            : one.receive(kind, { orderId, result: 'booked' }, { from: BANK })
        expect(decided.refuse?.code).toBe('NOT_FOUND')
        expect(decided.writes).toEqual([])
      }
      if (which === 'payment') return wrong(transfer, 'post-answer')
      const post = sent(one.answer(transfer, 'done'), 'post-order')
      if (which === 'exchange') return wrong(post, 'transfer-answer')
      return wrong(sent(one.answer(post, 'refused'), 'transfer-order'), 'post-answer')
    },
  )
})

describe('a refund of a payment in another currency', () => {
  const refund = (
    one: World,
    notice: Sent<'payment-notice'>,
    id: string,
    amountMinor: bigint,
    tx: string,
  ): Decision => {
    const own = { refundId: testId(id), pnId: notice.body.pnId, payee: 'hu-bakery' }
    const request = incoming(
      'refund-request',
      { ...own, txId: testId(tx), amountMinor, currency: 'EUR' },
      { from: MERCHANT_HOST },
    ).message
    return one.receive('countersigned-refund', own, { from: MPP, nested: { request } })
  }

  it('of a micropayment takes its share off the debt, and moves the positions back', () => {
    const one = world()
    const notice = sent(payEva(one, 'tea', 120n), 'payment-notice')
    one.decide(notice)
    const decided = refund(one, notice, 'r1', 50n, 'tea')
    expect(decided.refuse).toBeUndefined()
    expect(totalOf(one).outstandingMinor).toBe(28_000n)
    expect(Object.fromEntries(one.books)).toEqual({
      [`customer:${EVA} HUF`]: -28_000n,
      'fx:HUF HUF': 28_000n,
      [`payable:${MPP} EUR`]: 70n,
      'fx:EUR EUR': -70n,
    })
    expect(textOf(sent(decided, 'refund-confirmation'))).not.toContain('HUF')
    refund(one, notice, 'r2', 70n, 'tea')
    expect([...one.books.values()].every((sum) => sum === 0n)).toBe(true)
    expect(report(one).positions).toMatchObject([
      { currency: 'EUR', positionMinor: 0n, soldMinor: 120n, refundedMinor: 120n },
      { currency: 'HUF', positionMinor: 0n, boughtMinor: 48_000n, refundedMinor: -48_000n },
    ])
  })

  it('of a macro payment is credited in the account’s currency once the payee’s money is there', () => {
    const one = world()
    const hold = payEva(one, 'tv', 5_000n)
    const notice = sent(one.answer(sent(hold, 'hold-order'), 'done'), 'payment-notice')
    const confirmed = one.answer(sent(one.decide(notice), 'transfer-order'), 'done')
    one.answer(sent(confirmed, 'post-order'), 'done')
    expect(sentAll(refund(one, notice, 'r', 2_000n, 'tv'), 'refund-confirmation')).toEqual([])
    const paidIn = one.receive(
      'account-notice',
      {
        noticeId: testId('notice'),
        account: `${BANK}:otp-eur`,
        amountMinor: 2_000n,
        currency: 'EUR',
        reference: { purpose: 'refund', id: testId('r') },
        originatingBank: 'hu-erste',
        bookedAtMs: one.nowMs,
      },
      { from: BANK },
    )
    const credit = sent(paidIn, 'transfer-order')
    expect(credit.body).toMatchObject({
      debitAccount: `${BANK}:otp-huf`,
      creditAccount: `${BANK}:eva`,
      amountMinor: 800_000n,
      currency: 'HUF',
    })
    one.answer(credit, 'done')
    expect(sumsByCurrency(one)).toEqual({ EUR: 0n, HUF: 0n })
    expect(report(one).positions).toMatchObject([
      { currency: 'EUR', positionMinor: -3_000n },
      { currency: 'HUF', positionMinor: 1_200_000n },
    ])
  })

  it('too small for a minor unit of the account gives nothing yet, and is made good by the next', () => {
    const one = createWorld({
      policy: {
        fx: {
          rates: { 'HUF EUR': { numerator: 1n, denominator: 400n } },
          marginBps: 0,
          quoteLifetimeMs: LIFETIME_MS,
          retryMs: RETRY_MS,
        },
      },
    })
    one.enrol('hu-alice')
    one.askQuote('hu-alice', 'q', { currency: 'HUF', amountMinor: 80_000n })
    const paid = one.pay({ customer: 'hu-alice', tx: 'tea', currency: 'HUF', amountMinor: 80_000n, quote: 'q' })
    const notice = sent(paid, 'payment-notice')
    one.decide(notice)
    expect(totalOf(one, 'hu-alice').outstandingMinor).toBe(200n)
    const request = (id: string, amountMinor: bigint) => {
      const own = { refundId: testId(id), pnId: notice.body.pnId, payee: 'hu-bakery' }
      const body = { ...own, txId: testId('tea'), amountMinor, currency: 'HUF' } as const
      const nested = { request: incoming('refund-request', body, { from: MERCHANT_HOST }).message }
      return one.receive('countersigned-refund', own, { from: MPP, nested })
    }
    request('r1', 399n)
    expect(totalOf(one, 'hu-alice').outstandingMinor).toBe(200n)
    request('r2', 1n)
    expect(totalOf(one, 'hu-alice').outstandingMinor).toBe(199n)
    expect(sumsByCurrency(one)).toEqual({ EUR: 0n, HUF: 0n })
  })
})
