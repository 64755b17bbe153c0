import { describe, expect, it } from 'vitest'
import { failureCode } from '../../protocol/failures.ts'
import type { Decision } from '../runtime/node.ts'
import { TEST_NOW_MS } from '../runtime/testing.ts'
import { troubles } from './aggregation-state.ts'
import { HOUR } from './policy-fields.ts'
import { ledger } from './state.ts'
import { createWorld, sent, sentAll, type Sent, type World } from './testing/world.ts'

const ALICE = 'hu-alice'
const RETRY = { firstMs: HOUR, maxMs: 3 * HOUR, maxRetries: 3 }
const confirm = (one: World, tx: string, amountMinor: bigint): Decision =>
  one.decide(sent(one.pay({ tx, amountMinor, expiresAtMs: one.nowMs + 120_000 }), 'payment-notice'))
const total = (one: World) => {
  const row = one.ledger.get(ledger, ALICE)
  if (row?.kind !== 0) throw new Error('no total')
  return row
}
/** A customer with 900 owed whose collection was refused. */
const suspended = (): World => {
  const one = createWorld({ policy: { collectionRetry: RETRY } })
  one.enrol(ALICE)
  confirm(one, 'a', 900n)
  one.answer(sent(one.pay({ tx: 'b', amountMinor: 100n }), 'transfer-order'), 'refused', 'INSUFFICIENT_FUNDS')
  return one
}
const ordersUntil = (one: World, atMs: number): readonly Sent<'transfer-order'>[] =>
  one.advance(atMs).flatMap((decided) => sentAll(decided, 'transfer-order'))

describe('a refused collection', () => {
  it('is repeated by itself, each wait twice the last up to the longest, so many times and no more', () => {
    const one = suspended()
    const waits: number[] = []
    for (;;) {
      const before = one.nowMs
      const armedAt = one.ledger.get(troubles, ALICE)?.retryAtMs ?? 0
      if (armedAt === 0) break
      expect(ordersUntil(one, armedAt - 1)).toEqual([])
      const [order] = ordersUntil(one, armedAt)
      expect(order?.body.amountMinor).toBe(900n)
      waits.push(one.nowMs - before)
      one.answer(order, 'refused', 'INSUFFICIENT_FUNDS')
    }
    expect(waits).toEqual([HOUR, 2 * HOUR, 3 * HOUR])
    expect(one.ledger.get(troubles, ALICE)).toEqual({ refusals: 4, inARow: 4, retryAtMs: 0 })
    expect(ordersUntil(one, one.nowMs + 365 * 24 * HOUR)).toEqual([])
    // From here on the operator alone.
    expect(sentAll(one.control('resume-customer', { customer: ALICE }), 'transfer-order')).toHaveLength(1)
  })

  it('that is booked at last lets the customer pay again, and the next refusal begins anew', () => {
    const one = suspended()
    expect(failureCode(sent(one.pay({ tx: 'no' }), 'customer-payment-outcome').body.code)).toBe('CUSTOMER_SUSPENDED')
    const [order] = ordersUntil(one, TEST_NOW_MS + HOUR)
    one.answer(order, 'done')
    expect(total(one)).toMatchObject({ suspendedAtMs: 0, outstandingMinor: 0n })
    expect(one.ledger.get(troubles, ALICE)).toEqual({ refusals: 1, inARow: 0, retryAtMs: 0 })
    confirm(one, 'c', 950n)
    one.answer(
      sent(one.pay({ tx: 'd', amountMinor: 60n, expiresAtMs: one.nowMs + 120_000 }), 'transfer-order'),
      'refused',
    )
    expect(one.ledger.get(troubles, ALICE)).toEqual({ refusals: 2, inARow: 1, retryAtMs: one.nowMs + HOUR })
  })

  it('that the operator had repeated meanwhile is not ordered twice', () => {
    const one = suspended()
    one.nowMs += HOUR / 2
    const resumed = sent(one.control('resume-customer', { customer: ALICE }), 'transfer-order')
    expect(ordersUntil(one, TEST_NOW_MS + HOUR)).toEqual([])
    expect(total(one).collectingMinor).toBe(900n)
    one.answer(resumed, 'done')
    expect(ordersUntil(one, TEST_NOW_MS + 10 * HOUR)).toEqual([])
    expect(total(one)).toMatchObject({ suspendedAtMs: 0, outstandingMinor: 0n })
  })

  it('of a debt that was written off is repeated no more, and the customer stays suspended until the operator says otherwise', () => {
    const one = suspended()
    one.control('write-off-customer', { customer: ALICE })
    expect(ordersUntil(one, TEST_NOW_MS + 10 * HOUR)).toEqual([])
    expect(total(one).suspendedAtMs).toBe(TEST_NOW_MS)
    one.control('resume-customer', { customer: ALICE })
    expect(total(one).suspendedAtMs).toBe(0)
  })
})
