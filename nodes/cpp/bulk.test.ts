import { describe, expect, it } from 'vitest'
import { codecOf } from '../../protocol/codec.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { BulkTransferOrder } from '../../protocol/messages/bank.ts'
import type { Decision } from '../runtime/node.ts'
import { TEST_NOW_MS, context, outboxKey, testId } from '../runtime/testing.ts'
import { keyOf } from '../runtime/table.ts'
import { newTotal, type Account } from './account.ts'
import { bulkOrders, dues, troubles } from './aggregation-state.ts'
import { windowOrder } from './bulk.ts'
import { combineParts } from './parts.ts'
import { windowEnd, type AggregationSettings } from './policies.ts'
import { DAY, HOUR } from './policy-fields.ts'
import { ledger, orders, payments, type CustomerRow } from './state.ts'
import { BANK, CPP, createWorld, kindsOf, sent, sentAll, testPolicy, type Sent, type World } from './testing/world.ts'

const BULK: AggregationSettings = {
  policy: 'bulk',
  windowMs: HOUR,
  lowWaterMinor: { EUR: 300n },
  maxDebtAgeMs: 10 * HOUR,
}
const END = windowEnd(TEST_NOW_MS, HOUR)
const world = (...customers: readonly string[]): World => {
  const one = createWorld({ policy: { aggregation: BULK } })
  for (const customer of customers) one.enrol(customer)
  return one
}
let tx = 0
const confirm = (one: World, customer: string, amountMinor: bigint): Decision =>
  one.decide(
    sent(one.pay({ customer, tx: `tx ${(tx += 1)}`, amountMinor, expiresAtMs: one.nowMs + 120_000 }), 'payment-notice'),
  )
const totalOf = (one: World, customer: string) => {
  const row = one.ledger.get(ledger, customer)
  if (row?.kind !== 0) throw new Error('no total')
  return row
}
/** The bulk orders that time brings up to `atMs`. */
const until = (one: World, atMs: number): readonly Sent<'bulk-transfer-order'>[] =>
  one.advance(atMs).flatMap((decided) => sentAll(decided, 'bulk-transfer-order'))
const only = <T>(found: readonly T[]): T => {
  if (found.length !== 1) throw new Error(`${found.length} found`)
  return found[0] as T
}

describe("a window's end", () => {
  it('collects whoever owes at least the low-water mark, in one order a bank, of exactly what each owes', () => {
    const one = world('hu-alice', 'hu-bob', 'hu-carl')
    one.enrol('hu-dora', { account: 'hu-erste:dora' })
    confirm(one, 'hu-alice', 299n)
    confirm(one, 'hu-alice', 1n)
    confirm(one, 'hu-bob', 450n)
    confirm(one, 'hu-carl', 299n)
    confirm(one, 'hu-dora', 700n)
    expect(until(one, END - 1)).toEqual([])
    const found = until(one, END)
    expect(found.map(({ to }) => to).toSorted()).toEqual(['hu-erste', BANK])
    const order = only(found.filter(({ to }) => to === BANK))
    expect(order.body).toMatchObject({ creditAccount: `${BANK}:otp-eur`, currency: 'EUR' })
    expect(order.body.items.map(({ debitAccount, amountMinor }) => [debitAccount, amountMinor])).toEqual([
      [`${BANK}:alice`, 300n],
      [`${BANK}:bob`, 450n],
    ])
    expect(one.ledger.get(bulkOrders, order.body.orderId)).toMatchObject({ state: 'ordered', totalMinor: 750n })
    for (const { itemId, amountMinor } of order.body.items)
      expect(one.ledger.get(orders, itemId)).toMatchObject({
        purpose: 'collection',
        state: 'ordered',
        amountMinor,
        bulkId: order.body.orderId,
      })
    expect(totalOf(one, 'hu-bob')).toMatchObject({ outstandingMinor: 450n, collectingMinor: 450n })
    expect(one.ledger.rows(dues)).toEqual([])
    expect(one.ledger.outbox.has(outboxKey('bulk', order.body.orderId))).toBe(true)
  })

  it('is written of at the low-water mark only: one row a customer and window, however many payments', () => {
    const one = world('hu-alice')
    const written = [100n, 100n, 100n, 100n, 100n].map(
      (amount) => confirm(one, 'hu-alice', amount).writes.filter(({ table }) => table.name === dues.name).length,
    )
    expect(written).toEqual([0, 0, 1, 0, 0])
    expect(one.ledger.deadlines().filter(({ name }) => name === 'bulk-window')).toEqual([
      { name: 'bulk-window', key: keyOf(BANK, 'EUR'), atMs: END },
    ])
  })

  it('with nobody over the mark makes no order, and no deadline of it is armed', () => {
    const one = world('hu-alice')
    confirm(one, 'hu-alice', 200n)
    expect(one.ledger.deadlines().map(({ name }) => name)).not.toContain('bulk-window')
    expect(until(one, END + HOUR)).toEqual([])
  })

  it('collects debt below the mark once it is old enough', () => {
    const one = world('hu-alice')
    confirm(one, 'hu-alice', 20n)
    expect(until(one, TEST_NOW_MS + 10 * HOUR)).toEqual([])
    const order = only(until(one, windowEnd(TEST_NOW_MS + 10 * HOUR, HOUR)))
    expect(order.body.items.map(({ amountMinor }) => amountMinor)).toEqual([20n])
  })

  it('leaves out who was collected alone, was suspended, or wrote off since', () => {
    const one = world('hu-alice', 'hu-bob', 'hu-carl')
    for (const customer of ['hu-alice', 'hu-bob', 'hu-carl']) confirm(one, customer, 900n)
    // A crossing between two windows is collected by itself, at once.
    const crossing = sent(one.pay({ customer: 'hu-alice', tx: 'crossing', amountMinor: 200n }), 'transfer-order')
    expect(crossing.body.amountMinor).toBe(900n)
    one.answer(
      sent(one.control('collect-customer', { customer: 'hu-bob' }), 'transfer-order'),
      'refused',
      'INSUFFICIENT_FUNDS',
    )
    one.control('write-off-customer', { customer: 'hu-carl' })
    expect(until(one, END)).toEqual([])
    expect(one.ledger.rows(dues)).toEqual([])
  })

  it('takes payments confirmed while an order ran into the next one', () => {
    const one = world('hu-alice')
    confirm(one, 'hu-alice', 400n)
    const first = only(until(one, END))
    confirm(one, 'hu-alice', 350n)
    one.answerBulk(first)
    expect(totalOf(one, 'hu-alice')).toMatchObject({ outstandingMinor: 350n, collectingMinor: 0n })
    expect(only(until(one, END + HOUR)).body.items.map(({ amountMinor }) => amountMinor)).toEqual([350n])
  })
})

describe('an answer', () => {
  const ordered = () => {
    const one = world('hu-alice', 'hu-bob')
    confirm(one, 'hu-alice', 400n)
    confirm(one, 'hu-bob', 990n)
    const order = only(until(one, END))
    one.pay({ customer: 'hu-bob', tx: 'waits', amountMinor: 50n, expiresAtMs: one.nowMs + 60_000 })
    return { one, order }
  }

  it('books each item by itself, and serves who waited for it', () => {
    const { one, order } = ordered()
    expect(one.ledger.get(payments, testId('waits'))?.state).toBe('waiting')
    const decided = one.answerBulk(order, ({ debitAccount }) =>
      debitAccount === `${BANK}:alice` ? 'INSUFFICIENT_FUNDS' : undefined,
    )
    expect(totalOf(one, 'hu-alice')).toMatchObject({ outstandingMinor: 400n, collectingMinor: 0n })
    expect(totalOf(one, 'hu-alice').suspendedAtMs).toBe(END)
    expect(totalOf(one, 'hu-bob')).toMatchObject({ outstandingMinor: 0n, collectingMinor: 0n, pendingMinor: 50n })
    expect(kindsOf(decided)).toEqual(['payment-notice'])
    expect(one.books.get(`bank:${BANK}:otp-eur EUR`)).toBe(-990n)
    expect(one.books.get('customer:hu-bob EUR')).toBe(0n)
    expect(decided.record).toMatchObject({
      event: 'bulk-collection-answered',
      fields: { booked: 1, refused: 1, open: 0, bookedMinor: 990n },
    })
    expect(decided.record?.ids).toContainEqual(testId('waits'))
    expect(one.ledger.outbox.has(outboxKey('bulk', order.body.orderId))).toBe(false)
    expect(one.read('report')).toMatchObject({ totals: [{ collections: 1, collectedMinor: 990n }], boundBreaches: 0 })
    // The refused one is tried again by itself.
    expect(one.ledger.get(troubles, 'hu-alice')).toMatchObject({ refusals: 1, inARow: 1 })
  })

  it('counts once, and from the bank that was asked alone', () => {
    const { one, order } = ordered()
    expect(one.answerBulk(order, undefined, 'hu-other').refuse?.code).toBe('NOT_FOUND')
    expect(totalOf(one, 'hu-alice').collectingMinor).toBe(400n)
    one.answerBulk(order)
    expect(one.answerBulk(order, () => 'INSUFFICIENT_FUNDS').writes).toEqual([])
    expect(totalOf(one, 'hu-alice')).toMatchObject({ outstandingMinor: 0n, suspendedAtMs: 0 })
  })

  it('that names not every item leaves the others open, to be asked for one by one', () => {
    const { one, order } = ordered()
    const [first, second] = order.body.items as readonly { itemId: Uint8Array }[]
    if (first === undefined || second === undefined) throw new Error('two items')
    const decided = one.receive(
      'bulk-transfer-answer',
      { orderId: order.body.orderId, items: [{ itemId: first.itemId, result: 'booked' }] },
      { from: BANK },
    )
    expect(decided.record).toMatchObject({ level: 'warn', fields: { booked: 1, open: 1 } })
    expect(one.ledger.get(orders, second.itemId)?.state).toBe('ordered')
    const asked = one.control('query-order', { orderId: Buffer.from(second.itemId).toString('hex') })
    expect(sent(asked, 'bank-order-query').body.orderId).toEqual(second.itemId)
  })

  it('is asked for when the order is refused before it was judged, and stands for a refusal of all when it was', () => {
    const { one, order } = ordered()
    const key = keyOf('bulk', order.body.orderId)
    const asked = one.refused(key, 'bulk-transfer-order', 'CREDENTIAL_EXPIRED')
    expect(sent(asked, 'bank-order-query').body.orderId).toEqual(order.body.orderId)
    one.refused(keyOf('query', order.body.orderId), 'bank-order-query', 'NOT_FOUND')
    expect(one.ledger.get(bulkOrders, order.body.orderId)?.state).toBe('refused')
    for (const customer of ['hu-alice', 'hu-bob']) expect(totalOf(one, customer).collectingMinor).toBe(0n)
    expect(totalOf(one, 'hu-bob').outstandingMinor).toBe(990n)
    expect(one.ledger.get(payments, testId('waits'))?.state).toBe('refused')
  })

  it('to a question for an item is asked of the whole order while that has none', () => {
    const { one, order } = ordered()
    const [item] = order.body.items
    if (item === undefined) throw new Error('an item')
    const asked = one.control('query-order', { orderId: Buffer.from(item.itemId).toString('hex') })
    expect(sent(asked, 'bank-order-query').body.orderId).toEqual(order.body.orderId)
  })
})

describe('an order is split at what a frame holds', () => {
  const account = (i: number, length: number): { customer: string; account: Account } => {
    const customer = `hu-c${String(i).padStart(4, '0')}`
    const row = { customer, account: `${BANK}:${customer}`.padEnd(length, 'x'), currency: 'EUR' } as CustomerRow
    const total = { ...newTotal(row), outstandingMinor: 500n, debtSinceMs: 1 }
    return { customer, account: { customer: row, total, queue: [] } }
  }
  const decide = (count: number, length = 20) =>
    combineParts([
      windowOrder(
        BANK,
        'EUR',
        Array.from({ length: count }, (_, i) => account(i, length)),
        context({ self: { id: CPP, role: 'cpp' }, policy: testPolicy({ aggregation: BULK }), nowMs: END }),
      ),
    ])

  it.each([
    ['as many as one order may have', LIMITS.maxBulkItems, 20, LIMITS.maxBulkItems, 0],
    ['one more', LIMITS.maxBulkItems + 1, 20, LIMITS.maxBulkItems, 1],
    ['longer names than a frame holds', LIMITS.maxBulkItems, 60, 449, 1],
  ])('%s', (_, count, length, items, again) => {
    const decided = decide(count, length)
    const { body } = sent(decided, 'bulk-transfer-order')
    expect(body.items).toHaveLength(items)
    expect(decided.set.filter(({ name }) => name === 'bulk-window').map(({ atMs }) => atMs)).toEqual(
      Array.from({ length: again }, () => END + 1),
    )
    expect(codecOf(BulkTransferOrder).encode(body).length).toBeLessThanOrEqual(LIMITS.maxBodyBytes)
  })

  it.each([
    ['is being collected', { collectingMinor: 500n }],
    ['is suspended', { suspendedAtMs: 1 }],
    ['owes less than the mark, and not for long', { outstandingMinor: 299n, debtSinceMs: END - 1 }],
    ['owes nothing', { outstandingMinor: 0n }],
  ])('and leaves out who %s', (_, standing) => {
    const { customer, account: one } = account(1, 20)
    const entered = [{ customer, account: { ...one, total: { ...one.total, ...standing } } }, account(2, 20)]
    const here = context({ self: { id: CPP, role: 'cpp' }, policy: testPolicy({ aggregation: BULK }), nowMs: END })
    const { body } = sent(combineParts([windowOrder(BANK, 'EUR', entered, here)]), 'bulk-transfer-order')
    expect(body.items.map(({ debitAccount }) => debitAccount)).toEqual([entered[1]?.account.customer.account])
  })

  it('the default window is a day, the default mark a fifth of M', () => {
    const one = createWorld({ policy: { aggregation: { policy: 'bulk' } } })
    one.enrol('hu-alice')
    confirm(one, 'hu-alice', 200n)
    expect(only(until(one, windowEnd(TEST_NOW_MS, DAY))).body.items).toHaveLength(1)
  })
})
