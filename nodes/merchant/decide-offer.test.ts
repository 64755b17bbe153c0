import { describe, expect, test } from 'vitest'
import type { FailureCode } from '../../protocol/failures.ts'
import { incoming, testBytes, testId, TEST_NOW_MS } from '../runtime/testing.ts'
import { oneSent, sentBy } from '../customer/testing/drive.ts'
import { descriptionHashOf } from './invoice.ts'
import { openOrders, orders, paymentRequests } from './state.ts'
import {
  asSealed,
  BAKERY,
  confirmationOf,
  invoiced,
  merchant,
  MPP,
  noticeOf,
  offerRequest,
  outcomeOf,
  TOKEN,
  type OfferChanges,
} from './testing/merchant.ts'

describe('an offer request: checks in their order', () => {
  const rows: readonly [string, OfferChanges, FailureCode][] = [
    ['a payee who is not here', { payee: 'hu-butcher' }, 'NOT_FOUND'],
    ['another currency', { currency: 'USD' }, 'CURRENCY_UNSUPPORTED'],
    ['an item that is not sold', { item: 'caviar' }, 'NOT_FOUND'],
    ['an item at another price', { item: 'bread', amountMinor: 119n }, 'AMOUNT_INVALID'],
    ['neither item nor amount', { amountMinor: undefined }, 'AMOUNT_INVALID'],
  ]
  test.each(rows)('%s', (_, changes, code) => {
    const host = merchant()
    host.enrol()
    const decision = host.deliver(offerRequest(changes))
    expect(decision.refuse?.code).toBe(code)
    expect(host.ledger.rows(orders)).toEqual([])
  })

  test('a payee who is still being enrolled serves none', () => {
    const host = merchant()
    host.control('enrol-payee', {
      payee: 'bakery@hu',
      payeeKind: 'shop',
      displayName: 'B',
      mpp: MPP,
      account: 'hu-kh:bakery',
      currency: 'EUR',
      mandate: 'aa',
    })
    expect(host.deliver(offerRequest()).refuse?.code).toBe('NOT_FOUND')
  })

  test('too many open orders: BUSY, until one is paid or forgotten', () => {
    const host = merchant({ policy: { maxOpenOrders: 2 } })
    host.enrol()
    invoiced(host)
    const second = invoiced(host, { purchase: 'two' })
    const busy = host.deliver(offerRequest({ purchase: 'three' }))
    expect(busy).toMatchObject({ refuse: { code: 'BUSY' }, writes: [] })
    const order = host.ledger.get(orders, BAKERY, second.body.txId)
    if (order === undefined) throw new Error('no order')
    host.deliver(noticeOf(asSealed(second)))
    host.deliver(confirmationOf(order, 'DT'))
    invoiced(host, { purchase: 'three' })
    expect(host.deliver(offerRequest({ purchase: 'four' })).refuse?.code).toBe('BUSY')
    host.fireNext('order-expiry')
    invoiced(host, { purchase: 'four' })
    expect(host.ledger.get(openOrders, 'open')).toEqual({ count: 2 })
  })

  test("the invoice: chain of MPP, host and payee, hashed description, encrypted to the offer's key and token", () => {
    const host = merchant()
    host.enrol()
    const request = offerRequest({ item: 'bread' })
    const trans = oneSent(host.deliver(request), 'transaction-details')
    expect(trans).toMatchObject({
      to: TOKEN,
      sealingKey: request.message.body.sealingKey,
      delivery: { answers: request.ref },
      expiresAtMs: TEST_NOW_MS + 120_000,
      body: { payee: BAKERY, amountMinor: 120n, currency: 'EUR' },
      beside: { purchaseToken: request.message.body.purchaseToken, description: 'bread, Bakery' },
    })
    expect(trans.body.chain).toHaveLength(3)
    expect(trans.body.chain.slice(0, 2)).toEqual([testBytes(`credential ${MPP}`), testBytes(`host credential ${MPP}`)])
    expect(trans.body.descriptionHash).toEqual(
      descriptionHashOf(trans.beside?.salt ?? testBytes('none'), 'bread, Bakery'),
    )
    expect(host.order()).toMatchObject({
      state: 'offered',
      txId: trans.body.txId,
      goods: 'a loaf',
      token: TOKEN,
      expiresAtMs: trans.expiresAtMs,
    })
  })

  test('a person without a catalogue makes an invoice over an amount', () => {
    const host = merchant()
    host.enrol({ payeeKind: 'person', catalogue: [] })
    const trans = invoiced(host, { amountMinor: 333n })
    expect(trans.body.amountMinor).toBe(333n)
    expect(trans.beside?.description).toBe('3.33 EUR, Bakery')
  })

  test('two invoices share no id, nonce or salt', () => {
    const host = merchant()
    host.enrol()
    const [a, b] = [invoiced(host), invoiced(host, { purchase: 'two' })]
    expect(a.body.txId).not.toEqual(b.body.txId)
    expect(a.body.nonce).not.toEqual(b.body.nonce)
    expect(a.body.descriptionHash).not.toEqual(b.body.descriptionHash)
  })

  test('an order that nobody paid is forgotten after its expiry; a locked one only after its outcome', () => {
    const host = merchant()
    host.enrol()
    const trans = invoiced(host)
    host.deliver(noticeOf(asSealed(trans)))
    host.fireNext('order-expiry')
    expect(host.ledger.rows(orders)).toHaveLength(1)
    host.deliver(outcomeOf(host.order()))
    host.fireNext('order-expiry')
    expect(host.ledger.rows(orders)).toEqual([])
    expect(host.ledger.get(openOrders, 'open')).toEqual({ count: 0 })
  })
})

describe('order-query', () => {
  const query = (txId: Uint8Array, nonce: Uint8Array) =>
    incoming(
      'order-query',
      { txId, payee: BAKERY, nonce, sealingKey: testBytes('later') },
      { previousHop: `U${'B'.repeat(55)}` },
    )

  test('NOT_FOUND without the nonce, UNDECIDED until released, then the goods under the login that asks', () => {
    const host = merchant()
    host.enrol()
    const { txId, nonce } = invoiced(host, { item: 'bread' }).body
    expect(host.deliver(query(testId('none'), nonce)).refuse?.code).toBe('NOT_FOUND')
    expect(host.deliver(query(txId, testId('guess'))).refuse?.code).toBe('NOT_FOUND')
    expect(host.deliver(query(txId, nonce)).refuse?.code).toBe('UNDECIDED')
    const order = host.order()
    host.deliver(noticeOf(asSealed({ body: TRANS(order), expiresAtMs: order.expiresAtMs })))
    expect(host.deliver(query(txId, nonce)).refuse?.code).toBe('UNDECIDED')
    host.deliver(confirmationOf(host.order(), 'DT'))
    const asked = query(txId, nonce)
    expect(oneSent(host.deliver(asked), 'goods-release')).toEqual({
      kind: 'goods-release',
      to: `U${'B'.repeat(55)}`,
      body: { txId, payee: BAKERY, goods: 'a loaf' },
      sealingKey: testBytes('later'),
      delivery: { answers: asked.ref },
    })
  })
})
const TRANS = (order: ReturnType<ReturnType<typeof merchant>['order']>) => ({
  txId: order.txId,
  payee: order.payee,
  amountMinor: order.amountMinor,
  currency: order.currency,
  descriptionHash: order.descriptionHash,
  nonce: order.nonce,
  chain: [],
})

describe('request-payment', () => {
  const args = (changes: Record<string, unknown> = {}) => ({
    payee: 'bakery@hu',
    alias: 'hu-ali',
    amountMinor: '250',
    text: 'rent',
    ...changes,
  })
  test.each([
    ['an alias outside the grammar', { alias: 'Ali' }, 'SCHEMA_VIOLATION'],
    ['zero', { amountMinor: '0' }, 'AMOUNT_INVALID'],
    ['a payee who is not here', { payee: 'hu-butcher' }, 'NOT_FOUND'],
    ['an item that is not sold', { item: 'caviar' }, 'NOT_FOUND'],
    // Its receipt would be over maxTextBytes, and the host that has to send it would stop.
    ['a text that fits and whose receipt does not', { text: '€'.repeat(341) }, 'SCHEMA_VIOLATION'],
  ] as const)('%s', (_, changes, code) => {
    const host = merchant()
    host.enrol()
    expect(host.control('request-payment', args(changes)).reply).toMatchObject({ ok: false, code })
    expect(host.ledger.rows(orders)).toEqual([])
  })

  test("an invoice is sealed, then goes to the MPP by the alias; answered by the MPP's receipt", async () => {
    const host = merchant()
    host.enrol()
    const asked = host.control('request-payment', args())
    const { txId, requestId = testId('none') } = host.order()
    const sent = oneSent(host.finish('seal-invoice', await host.run('seal-invoice')), 'request-to-pay')
    expect(sent).toMatchObject({
      to: 'hu-ali',
      nextHop: { role: 'mpp', host: MPP },
      body: {
        requestId,
        alias: 'hu-ali',
        description: 'rent',
        trans: testBytes(`sealed ${Buffer.from(txId).toString('hex')}`),
      },
    })
    expect(host.order().descriptionHash).toEqual(descriptionHashOf(sent.body.salt, 'rent'))
    const done = host.receipted('request-to-pay', ['rtp', requestId])
    expect(done.announce).toMatchObject([{ topic: asked.replyOn, value: { ok: true, requestId, txId } }])
    expect(host.ledger.rows(paymentRequests)).toMatchObject([{ state: 'delivered' }])
    // It is paid like any other, and its goods are fetched by query: nobody waits at a token.
    const order = host.order()
    host.deliver(noticeOf(asSealed({ body: TRANS(order), expiresAtMs: order.expiresAtMs })))
    expect(sentBy(host.deliver(confirmationOf(order, 'DT')), 'goods-release')).toEqual([])
    expect(host.order().state).toBe('released')
  })

  test('refused on its way, or not sealed: the caller is told', () => {
    const host = merchant()
    host.enrol()
    host.control('request-payment', args())
    const { requestId = testId('none') } = host.order()
    expect(host.finish('seal-invoice', { ok: false, detail: 'no key' }).announce).toMatchObject([
      { value: { ok: false, code: 'BUSY' } },
    ])
    host.control('request-payment', args())
    const refused = host.refused('request-to-pay', ['rtp', requestId], { code: 'NOT_FOUND', by: MPP })
    expect(refused.announce).toMatchObject([{ value: { ok: false, code: 'NOT_FOUND' } }])
  })
})
