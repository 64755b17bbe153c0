/** Refunds at a CPP: one row for each refusal, what the customer owes first, the bank for the rest, and the money of macro payments. */
import { describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { toHex } from '../../protocol/bytes.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { batchHash } from '../../protocol/mountain-range.ts'
import type { Decision } from '../runtime/node.ts'
import type { CppReport } from '../runtime/reports.ts'
import { incoming, testBytes, testId } from '../runtime/testing.ts'
import { keyOf } from '../runtime/table.ts'
import { totalOf } from './load.ts'
import { customers } from './state.ts'
import { batches } from './state-pairs.ts'
import { paymentRefunds, refundMoney, refunds } from './state-refunds.ts'
import {
  BANK,
  CPP,
  createWorld,
  MERCHANT_HOST,
  MPP,
  WALLET_HOST,
  sent,
  sentAll,
  textOf,
  type Sent,
  type World,
} from './testing/world.ts'

const ALICE = 'hu-alice'
const OPERATOR_ACCOUNT = `${BANK}:otp-eur`

/** A micropayment, confirmed. */
const micro = (on: World, tx: string, amountMinor = 300n): Sent<'payment-notice'> => {
  const pn = sent(on.pay({ tx, amountMinor }), 'payment-notice')
  on.decide(pn)
  return pn
}
/** A macro payment, confirmed. */
const macro = (on: World, tx: string, amountMinor = 5_000n): Sent<'payment-notice'> => {
  const hold = on.pay({ tx, amountMinor }).sends.find((one) => 'kind' in one && one.kind === 'hold-order')
  const pn = sent(on.answer(hold as Sent<'hold-order'>, 'done'), 'payment-notice')
  on.answer(sent(on.decide(pn), 'post-order'), 'done')
  return pn
}

type Changes = {
  readonly id?: string
  readonly from?: string
  readonly payee?: string
  readonly pnId?: Uint8Array
  readonly amountMinor?: bigint
  /** Of the request inside. */
  readonly host?: string
  readonly inner?: Partial<{
    refundId: Uint8Array
    payee: string
    txId: Uint8Array
    pnId: Uint8Array
    currency: 'EUR' | 'HUF'
  }>
  readonly broken?: FailureCode
}
const refund = (on: World, pn: Sent<'payment-notice'>, tx: string, changes: Changes = {}): Decision => {
  const { pnId, payee } = pn.body
  const refundId = testId(changes.id ?? 'refund')
  const inner = incoming(
    'refund-request',
    {
      refundId,
      payee,
      txId: testId(tx),
      pnId,
      amountMinor: changes.amountMinor ?? 100n,
      currency: 'EUR',
      ...changes.inner,
    },
    { from: changes.host ?? MERCHANT_HOST },
  ).message
  const broken = changes.broken
  return on.receive(
    'countersigned-refund',
    { refundId, pnId: changes.pnId ?? pnId, payee: changes.payee ?? payee },
    {
      from: changes.from ?? MPP,
      nested: { request: broken === undefined ? inner : { ok: false, failure: { code: broken, detail: '' } } },
    },
  )
}
const moneyBooked = (
  on: World,
  amountMinor: bigint,
  changes: {
    readonly id?: string
    readonly account?: string
    readonly from?: string
    readonly by?: string
    readonly notice?: string
  } = {},
): Decision =>
  on.receive(
    'account-notice',
    {
      noticeId: testId(changes.notice ?? `notice ${amountMinor}`),
      account: changes.account ?? OPERATOR_ACCOUNT,
      amountMinor,
      currency: 'EUR',
      reference: { purpose: 'refund', id: testId(changes.id ?? 'refund') },
      originatingBank: changes.by ?? 'hu-erste',
      bookedAtMs: 1,
    },
    { from: changes.from ?? BANK, role: 'bank' },
  )

const owes = (on: World): bigint => totalOf(on.ledger, ALICE)?.outstandingMinor ?? -1n
const rowOf = (on: World, id = 'refund') => on.ledger.get(refunds, testId(id))
const figures = (on: World) => (on.read('report') as CppReport).totals.find(({ currency }) => currency === 'EUR')
/** §8.2, and the books: every account of the postings is what the rows say. */
const adds = (on: World): void => {
  const sums = figures(on)
  if (sums === undefined) throw new Error('no figures')
  expect(sums.outstandingMinor).toBe(
    sums.confirmedMicroMinor - sums.collectedMinor - sums.refundOffsetMinor - sums.writtenOffMinor,
  )
  expect(sums.refundedMinor).toBe(sums.refundOffsetMinor + sums.refundCreditedMinor + sums.refundDueMinor)
  expect([...on.books.values()].reduce((sum, minor) => sum + minor, 0n)).toBe(0n)
  expect(on.books.get(`customer:${ALICE} EUR`) ?? 0n).toBe(-sums.outstandingMinor)
  expect(on.books.get(`refund-due:${ALICE} EUR`) ?? 0n).toBe(sums.refundDueMinor)
  for (const { mpp, payableMinor, entriesMinor, settledMinor } of (on.read('report') as CppReport).pairs) {
    expect(payableMinor).toBe(entriesMinor - settledMinor)
    expect(on.books.get(`payable:${mpp} EUR`) ?? 0n).toBe(payableMinor)
  }
}
const world = (): World => {
  const on = createWorld()
  on.enrol(ALICE)
  return on
}

describe('a countersigned refund', () => {
  it.each([
    ['an unknown notice', { pnId: testId('nothing') }, 'NOT_FOUND'],
    ['another MPP', { from: 'hu-other' }, 'NOT_FOUND'],
    ['another payee', { payee: 'hu-kiosk' }, 'NOT_FOUND'],
    ['a request that does not hold', { broken: 'BAD_SIGNATURE' }, 'REFUND_INVALID'],
    ['a request of another host', { host: 'hu-shops-2' }, 'REFUND_INVALID'],
    ['a request of another payment', { inner: { pnId: testId('other') } }, 'REFUND_INVALID'],
    ['a request of another invoice', { inner: { txId: testId('other') } }, 'REFUND_INVALID'],
    ['a request of another refund', { inner: { refundId: testId('other') } }, 'REFUND_INVALID'],
    ['a request of another payee', { inner: { payee: 'hu-kiosk' } }, 'REFUND_INVALID'],
    ['another currency', { inner: { currency: 'HUF' } }, 'CURRENCY_UNSUPPORTED'],
    ['more than the payment', { amountMinor: 301n }, 'REFUND_EXCEEDED'],
  ] as const)('of %s is refused, and changes nothing', (_, changes, code) => {
    const on = world()
    const pn = micro(on, 'a')
    const made = refund(on, pn, 'a', changes)
    expect([made.refuse?.code, made.writes, made.sends, made.postings]).toEqual([code, [], [], []])
    expect(owes(on)).toBe(300n)
  })

  it('of a payment that is not confirmed is refused', () => {
    const on = world()
    const pn = sent(on.pay({ tx: 'a', amountMinor: 300n }), 'payment-notice')
    expect(refund(on, pn, 'a').refuse?.code).toBe('NOT_FOUND')
  })

  it('adds up with those before to no more than the payment, and is one of at most maxRefundsPerPayment', () => {
    const on = world()
    const pn = micro(on, 'a')
    refund(on, pn, 'a', { amountMinor: 200n })
    expect(refund(on, pn, 'a', { amountMinor: 1n }).refuse?.code).toBe('ID_REUSED')
    expect(refund(on, pn, 'a', { id: 'second', amountMinor: 101n }).refuse?.code).toBe('REFUND_EXCEEDED')
    for (let n = 1; n < LIMITS.maxRefundsPerPayment; n++)
      expect(refund(on, pn, 'a', { id: `small ${n}`, amountMinor: 1n }).refuse).toBeUndefined()
    expect(refund(on, pn, 'a', { id: 'one more', amountMinor: 1n }).refuse).toMatchObject({
      code: 'REFUND_EXCEEDED',
      detail: 'too many refunds of one payment',
    })
    expect(owes(on)).toBe(100n - BigInt(LIMITS.maxRefundsPerPayment - 1))
    adds(on)
  })
})

describe('the refund of a micropayment', () => {
  it('is one negative entry, taken off what the customer owes: no bank hears of it', () => {
    const on = world()
    const pn = micro(on, 'a')
    const made = refund(on, pn, 'a')
    expect(sentAll(made, 'transfer-order')).toEqual([])
    expect(sent(made, 'refund-confirmation')).toMatchObject({
      to: MERCHANT_HOST,
      body: { refundId: testId('refund'), pnId: pn.body.pnId, amountMinor: 100n, mpp: MPP, pairSeq: 2 },
    })
    expect(sent(made, 'customer-refund-notice')).toMatchObject({
      to: ALICE,
      body: { refundId: testId('refund'), prId: testId('a'), amountMinor: 100n },
    })
    expect(owes(on)).toBe(200n)
    adds(on)
  })

  it('is told to the host that asked for the payment, wherever the device is by then: no other knows it', () => {
    const on = world()
    const pn = micro(on, 'a')
    const row = on.ledger.get(customers, ALICE)
    if (row === undefined) throw new Error('alice is not enrolled')
    on.ledger.put(customers, keyOf(ALICE), { ...row, walletHost: 'hu-wallet-2' })
    expect(sent(refund(on, pn, 'a'), 'customer-refund-notice').nextHop).toEqual({ role: 'customer', host: WALLET_HOST })
  })

  it('tells the side of the payee nothing of the customer', () => {
    const on = world()
    const pn = sent(on.pay({ tx: 'a', pr: 'pr a', amountMinor: 300n }), 'payment-notice')
    on.decide(pn)
    // The txId is the payee's own; the payment's id here is another.
    const text = textOf(sent(refund(on, pn, 'a'), 'refund-confirmation'))
    for (const secret of [ALICE, toHex(testId('pr a')), `${BANK}:alice`]) expect(text).not.toContain(secret)
  })

  it('that was collected is credited to the account, once', () => {
    const on = world()
    const pn = micro(on, 'a')
    on.answer(sent(on.control('collect-customer', { customer: ALICE }), 'transfer-order'), 'done')
    micro(on, 'b', 40n)
    const order = sent(refund(on, pn, 'a'), 'transfer-order')
    expect(order).toMatchObject({
      to: BANK,
      body: {
        debitAccount: OPERATOR_ACCOUNT,
        creditAccount: `${BANK}:alice`,
        amountMinor: 60n,
        reference: { purpose: 'refund', id: testId('refund') },
      },
    })
    expect([owes(on), figures(on)?.refundDueMinor]).toEqual([0n, 60n])
    adds(on)
    expect(on.answer(order, 'done', undefined, 'hu-other').refuse?.code).toBe('NOT_FOUND')
    on.answer(order, 'done')
    on.answer(order, 'done')
    expect(figures(on)).toMatchObject({ refundOffsetMinor: 40n, refundCreditedMinor: 60n, refundDueMinor: 0n })
    adds(on)
  })

  it('takes nothing off what a running collection may still bring in', () => {
    const on = world()
    const pn = micro(on, 'a')
    const collection = sent(on.control('collect-customer', { customer: ALICE }), 'transfer-order')
    micro(on, 'b', 40n)
    expect(sent(refund(on, pn, 'a'), 'transfer-order').body.amountMinor).toBe(60n)
    expect(owes(on)).toBe(300n)
    on.answer(collection, 'done')
    expect(owes(on)).toBe(0n)
    adds(on)
  })

  it('whose credit the bank refuses stays due and is ordered again, later each time', () => {
    const on = world()
    const pn = micro(on, 'a')
    on.answer(sent(on.control('collect-customer', { customer: ALICE }), 'transfer-order'), 'done')
    let order = sent(refund(on, pn, 'a'), 'transfer-order')
    const { retryMs } = on.policy.settlement
    for (const wait of [retryMs, 2 * retryMs, 4 * retryMs]) {
      on.answer(order, 'refused', 'ACCOUNT_UNKNOWN')
      expect([rowOf(on)?.credit, rowOf(on)?.retryAtMs]).toEqual(['refused', on.nowMs + wait])
      expect(figures(on)?.refundDueMinor).toBe(100n)
      expect(on.advance(on.nowMs + wait - 1).flatMap((made) => sentAll(made, 'transfer-order'))).toEqual([])
      const again = on.advance(on.nowMs + 1).flatMap((made) => sentAll(made, 'transfer-order'))
      expect(again).toHaveLength(1)
      expect(again[0]?.body.orderId).not.toEqual(order.body.orderId)
      order = again[0] as Sent<'transfer-order'>
    }
    on.answer(order, 'done')
    expect([rowOf(on)?.credit, figures(on)?.refundDueMinor]).toEqual(['booked', 0n])
    adds(on)
  })

  it('serves who waits, and lifts the suspension of a customer who owes nothing any more', () => {
    const on = world()
    const pn = micro(on, 'a', 900n)
    const collection = sent(on.pay({ tx: 'waits', amountMinor: 300n }), 'transfer-order')
    on.answer(collection, 'refused', 'INSUFFICIENT_FUNDS')
    expect(totalOf(on.ledger, ALICE)?.suspendedAtMs).not.toBe(0)
    refund(on, pn, 'a', { amountMinor: 899n })
    expect(totalOf(on.ledger, ALICE)?.suspendedAtMs).not.toBe(0)
    refund(on, pn, 'a', { id: 'rest', amountMinor: 1n })
    expect(totalOf(on.ledger, ALICE)).toMatchObject({ suspendedAtMs: 0, outstandingMinor: 0n })
    expect((on.read('report') as CppReport).boundBreaches).toBe(0)
    adds(on)
  })

  it('of a part of one payment over the threshold is no breach of the bound', () => {
    const on = world()
    on.policy = { ...on.policy, aggregation: { ...on.policy.aggregation, thresholdMinor: { EUR: 500n } } }
    const pn = micro(on, 'a', 900n)
    refund(on, pn, 'a')
    expect([owes(on), (on.read('report') as CppReport).boundBreaches]).toEqual([800n, 0])
  })
})

describe('the refund of a macro payment', () => {
  it.each(['notice', 'countersigned'] as const)('waits for its money, and is credited: the %s first', (first) => {
    const on = world()
    const pn = macro(on, 'm')
    const steps = [() => moneyBooked(on, 2_000n), () => refund(on, pn, 'm', { amountMinor: 2_000n })]
    if (first === 'countersigned') steps.reverse()
    const [one, two] = steps.map((step) => {
      const made = step()
      adds(on)
      return made
    })
    expect(sentAll(one as Decision, 'refund-confirmation')).toEqual([])
    const { body } = sent(two as Decision, 'refund-confirmation')
    expect([body.amountMinor, body.pairSeq]).toEqual([2_000n, undefined])
    on.answer(sent(two as Decision, 'transfer-order'), 'done')
    expect(figures(on)).toMatchObject({ refundedMinor: 2_000n, refundCreditedMinor: 2_000n, refundOffsetMinor: 0n })
    expect((on.read('report') as CppReport).pairs).toEqual([])
    expect(on.books.get('refund-suspense EUR')).toBe(0n)
    adds(on)
  })

  it.each([
    ['another sum', 1_999n, {}],
    ['another refund', 2_000n, { id: 'other' }],
    ["another bank than the payee's", 2_000n, { by: 'hu-other' }],
    ['an account of somebody else', 2_000n, { account: `${BANK}:other` }],
    ['a bank that does not keep the account', 2_000n, { from: 'hu-other' }],
    ['a debit', -2_000n, {}],
  ] as const)('is not credited for money of %s', (_, amountMinor, changes) => {
    const on = world()
    const pn = macro(on, 'm')
    refund(on, pn, 'm', { amountMinor: 2_000n })
    expect(sent(moneyBooked(on, amountMinor, changes), 'receipt').to).toBe('from' in changes ? 'hu-other' : BANK)
    expect(rowOf(on)?.state).toBe('awaiting')
    adds(on)
    // The right money comes after all.
    on.answer(sent(moneyBooked(on, 2_000n, { notice: 'right' }), 'transfer-order'), 'done')
    expect([rowOf(on)?.state, rowOf(on)?.credit]).toEqual(['confirmed', 'booked'])
    adds(on)
  })

  it('is confirmed with its money once: the same sum a second time stays in suspense', () => {
    const on = world()
    const pn = macro(on, 'm')
    refund(on, pn, 'm', { amountMinor: 2_000n })
    moneyBooked(on, 2_000n)
    expect(sentAll(moneyBooked(on, 2_000n, { notice: 'again' }), 'transfer-order')).toEqual([])
    expect(on.books.get('refund-suspense EUR')).toBe(2_000n)
    expect(on.ledger.rows(refundMoney).filter(({ used }) => used)).toHaveLength(1)
    expect(on.ledger.rows(refundMoney)).toHaveLength(2)
    adds(on)
  })
})

it('property: refunds, collections and payments in any order keep the books', () => {
  const step = fc.oneof(
    fc.record({ does: fc.constant('pay' as const), amountMinor: fc.bigInt(1n, 400n) }),
    fc.record({ does: fc.constant('refund' as const), at: fc.nat(20), amountMinor: fc.bigInt(1n, 250n) }),
    fc.record({ does: fc.constant('collect' as const), books: fc.boolean() }),
    fc.record({ does: fc.constant('credit' as const), books: fc.boolean() }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const on = world()
      const paid: { readonly pn: Sent<'payment-notice'>; readonly tx: string; leftMinor: bigint }[] = []
      const orders: Sent<'transfer-order'>[] = []
      let refunded = 0
      const keep = (made: Decision): void => void orders.push(...sentAll(made, 'transfer-order'))
      for (const [at, one] of steps.entries()) {
        if (one.does === 'pay') {
          const made = on.pay({ tx: `t${at}`, amountMinor: one.amountMinor })
          keep(made)
          const [pn] = sentAll(made, 'payment-notice')
          if (pn === undefined) continue
          keep(on.decide(pn))
          paid.push({ pn, tx: `t${at}`, leftMinor: one.amountMinor })
        } else if (one.does === 'refund') {
          const payment = paid[one.at % Math.max(paid.length, 1)]
          if (payment === undefined) continue
          const made = refund(on, payment.pn, payment.tx, { id: `r${at}`, amountMinor: one.amountMinor })
          const fits = one.amountMinor <= payment.leftMinor
          expect(made.refuse?.code).toBe(fits ? undefined : 'REFUND_EXCEEDED')
          if (fits) payment.leftMinor -= one.amountMinor
          if (fits) refunded += 1
          keep(made)
        } else {
          const purpose = one.does === 'collect' ? 'collection' : 'refund'
          const found = orders.findIndex((order) => order.body.reference.purpose === purpose)
          const [order] = found < 0 ? [] : orders.splice(found, 1)
          if (order !== undefined) keep(on.answer(order, one.books ? 'done' : 'refused', 'INSUFFICIENT_FUNDS'))
        }
        adds(on)
        const total = totalOf(on.ledger, ALICE)
        expect((total?.collectingMinor ?? 0n) <= (total?.outstandingMinor ?? 0n)).toBe(true)
      }
      expect(on.ledger.rows(paymentRefunds)).toHaveLength(refunded)
    }),
    { numRuns: 60 },
  )
})

describe('a batch of refunds', () => {
  /** Paid, settled, then given back: the pair's second batch is negative. */
  const negative = () => {
    const on = world()
    const pn = micro(on, 'a')
    const answer = ({ body }: Sent<'settlement-batch'>) =>
      on.receive(
        'settlement-acceptance',
        { batchId: body.batchId, seq: body.seq, batchHash: batchHash(body.prevHash, { cpp: CPP, ...body }) },
        { from: MPP },
      )
    const first = sent(on.control('settle-now'), 'settlement-batch')
    on.answer(sent(answer(first), 'transfer-order'), 'done')
    refund(on, pn, 'a')
    const message = sent(on.control('settle-now'), 'settlement-batch')
    const booked = (amountMinor = 100n) =>
      on.receive(
        'account-notice',
        {
          noticeId: testId(`notice ${amountMinor}`),
          account: OPERATOR_ACCOUNT,
          amountMinor,
          currency: 'EUR',
          reference: { purpose: 'settlement', id: message.body.batchId },
          originatingBank: BANK,
          bookedAtMs: 1,
        },
        { from: BANK, role: 'bank' },
      )
    const state = () => on.ledger.get(batches, MPP, 'EUR', 2)?.state
    return { on, message, state, accept: () => answer(message), booked }
  }

  it('has a negative sum, over a leaf of its own type', () => {
    const { message } = negative()
    expect(message.body).toMatchObject({ fromSeq: 2, toSeq: 2, totalMinor: -100n })
  })

  it.each([
    ['answer', 'money'],
    ['money', 'answer'],
  ] as const)('is settled by the MPP: first the %s, then the %s', (...order) => {
    const { on, state, accept, booked } = negative()
    for (const one of order) {
      expect(state()).not.toBe('settled')
      if (one === 'answer') accept()
      else booked()
    }
    expect(state()).toBe('settled')
    adds(on)
  })

  it('is not settled by another sum, whenever it comes', () => {
    const { on, state, accept, booked } = negative()
    booked(99n)
    accept()
    booked(101n)
    expect(state()).toBe('owed')
    adds(on)
  })

  it.each([
    ['what it is', -100n, 'dismissed'],
    ['nothing', 0n, 'unresolved'],
  ] as const)('disputed as %s is recomputed from its refund', (_, amountMinor, state) => {
    const { on, message } = negative()
    const { body } = message
    const hash = batchHash(body.prevHash, { cpp: CPP, ...body })
    const items = [{ pairSeq: 2, code: failureNumber('ENTRY_MISMATCH'), amountMinor }]
    on.receive('settlement-dispute', { batchId: body.batchId, seq: body.seq, batchHash: hash, items }, { from: MPP })
    expect(on.ledger.get(batches, MPP, 'EUR', 2)?.disputes).toMatchObject([{ pairSeq: 2, state }])
  })
})

describe('an MPP that asks for the confirmation of a refund under another key', () => {
  const askFor = (on: World, pnId: Uint8Array, id = 'refund', from = MPP): Decision =>
    on.receive('notice-query', { pnId, refundId: testId(id) }, { from })

  it('gets it sealed anew, and nothing is written', async () => {
    const on = world()
    const pn = micro(on, 'a', 100n)
    refund(on, pn, 'a')
    on.jobs.length = 0
    const asked = askFor(on, pn.body.pnId)
    expect([asked.writes, asked.sends, asked.refuse]).toEqual([[], [], undefined])
    const [sealed] = await on.finishJobs()
    expect(sealed?.writes).toEqual([])
    expect(sent(sealed as Decision, 'notice-record')).toMatchObject({
      to: MPP,
      body: { pnId: pn.body.pnId, end: testBytes('sealed refund-confirmation') },
    })
  })

  it('is told NOT_FOUND of what is not of its payment, and UNDECIDED of what waits for its money', () => {
    const on = world()
    const pn = micro(on, 'a', 100n)
    const other = macro(on, 'b', 5_000n)
    refund(on, pn, 'a')
    refund(on, other, 'b', { id: 'awaiting' })
    const codes = [
      askFor(on, pn.body.pnId, 'refund', 'hu-liar'),
      askFor(on, pn.body.pnId, 'unknown'),
      askFor(on, other.body.pnId, 'refund'),
      askFor(on, other.body.pnId, 'awaiting'),
    ].map(({ refuse, jobs }) => [refuse?.code, jobs.length])
    expect(codes).toEqual([
      ['NOT_FOUND', 0],
      ['NOT_FOUND', 0],
      ['NOT_FOUND', 0],
      ['UNDECIDED', 0],
    ])
  })
})
