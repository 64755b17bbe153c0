import { describe, expect, it } from 'vitest'
import { failureCode } from '../../protocol/failures.ts'
import type { Decision } from '../runtime/node.ts'
import { testBytes, testId } from '../runtime/testing.ts'
import { keyOf } from '../runtime/table.ts'
import { closures } from './aggregation-state.ts'
import { HOUR } from './policy-fields.ts'
import { aliases, customers, ledger, type AliasRow } from './state.ts'
import { BANK, WALLET_HOST, createWorld, kindsOf, sent, sentAll, type World } from './testing/world.ts'

const ALICE = 'hu-alice'
const world = (): World => {
  const one = createWorld()
  one.enrol(ALICE)
  return one
}
const confirm = (one: World, tx: string, amountMinor: bigint): Decision =>
  one.decide(sent(one.pay({ tx, amountMinor }), 'payment-notice'))
const stateOf = (one: World) => one.ledger.get(customers, ALICE)?.state
const total = (one: World) => {
  const row = one.ledger.get(ledger, ALICE)
  if (row?.kind !== 0) throw new Error('no total')
  return row
}
const codeOf = (decided: Decision) => failureCode(sent(decided, 'customer-payment-outcome').body.code)

describe('the closure of an account', () => {
  it('with nothing owed closes it at once: receipt, nothing paid any more', () => {
    const one = world()
    const decided = one.close(ALICE)
    // A receipt travels in clear: it is to the host, and names no customer.
    expect(sent(decided, 'receipt')).toMatchObject({ to: WALLET_HOST, nextHop: { host: WALLET_HOST } })
    expect(stateOf(one)).toBe('closed')
    expect(one.ledger.get(closures, ALICE)).toMatchObject({ closedAtMs: one.nowMs })
    expect(codeOf(one.pay({ tx: 'late' }))).toBe('CUSTOMER_CLOSED')
    expect(one.read('customer', { customer: ALICE })).toMatchObject({ state: 'closed', outstandingMinor: 0n })
  })

  it('collects what is owed first, and the receipt comes with the booking', () => {
    const one = world()
    confirm(one, 'a', 120n)
    const decided = one.close(ALICE)
    expect(kindsOf(decided)).toEqual(['transfer-order'])
    expect(sent(decided, 'transfer-order').body).toMatchObject({ debitAccount: `${BANK}:alice`, amountMinor: 120n })
    expect(stateOf(one)).toBe('closing')
    expect(codeOf(one.pay({ tx: 'late' }))).toBe('CUSTOMER_CLOSED')
    const booked = one.answer(sent(decided, 'transfer-order'), 'done')
    expect(kindsOf(booked)).toEqual(['receipt'])
    expect(stateOf(one)).toBe('closed')
    expect(one.read('report')).toMatchObject({
      customers: 0,
      totals: [{ confirmedMicroMinor: 120n, collectedMinor: 120n, outstandingMinor: 0n }],
    })
  })

  it('waits for payments under way: one confirmed after it is collected too, one that waited is still served', () => {
    const one = world()
    confirm(one, 'a', 900n)
    const notice = sent(one.pay({ tx: 'b', amountMinor: 50n }), 'payment-notice')
    const crossing = sent(one.pay({ tx: 'c', amountMinor: 100n }), 'transfer-order')
    expect(kindsOf(one.close(ALICE))).toEqual([])
    const served = one.answer(crossing, 'done')
    const late = sent(served, 'payment-notice')
    expect(kindsOf(one.decide(notice)).includes('transfer-order')).toBe(false)
    const order = sent(one.decide(late), 'transfer-order')
    expect(order.body.amountMinor).toBe(150n)
    expect(sentAll(one.answer(order, 'done'), 'receipt')).toHaveLength(1)
    expect(total(one)).toMatchObject({ outstandingMinor: 0n, pendingMinor: 0n, waiting: 0 })
    expect(stateOf(one)).toBe('closed')
  })

  it('ends when the last payment under way is rejected, or expires', () => {
    for (const end of ['reject', 'expire'] as const) {
      const one = world()
      const notice = sent(one.pay({ tx: 'a', amountMinor: 50n }), 'payment-notice')
      expect(kindsOf(one.close(ALICE))).toEqual([])
      const decided = end === 'reject' ? [one.decide(notice, { decision: 'reject' })] : one.advance(one.nowMs + HOUR)
      expect(decided.flatMap((each) => sentAll(each, 'receipt'))).toHaveLength(1)
      expect(stateOf(one)).toBe('closed')
    }
  })

  it('that can not be collected stays closing, is tried again by itself, and ends with the booking or a write-off', () => {
    for (const end of ['retry', 'write-off'] as const) {
      const one = world()
      confirm(one, 'a', 120n)
      one.answer(sent(one.close(ALICE), 'transfer-order'), 'refused', 'INSUFFICIENT_FUNDS')
      expect(stateOf(one)).toBe('closing')
      expect(total(one).suspendedAtMs).toBe(one.nowMs)
      if (end === 'write-off') {
        expect(sentAll(one.control('write-off-customer', { customer: ALICE }), 'receipt')).toHaveLength(1)
      } else {
        const [order] = one.advance(one.nowMs + HOUR).flatMap((each) => sentAll(each, 'transfer-order'))
        expect(sentAll(one.answer(order, 'done'), 'receipt')).toHaveLength(1)
      }
      expect(stateOf(one)).toBe('closed')
    }
  })

  it('retires the alias at every data center, and no later receipt brings it back', () => {
    const one = createWorld()
    one.enrol(ALICE, { alias: 'hu-ali' })
    one.ledger.put<AliasRow>(aliases, keyOf('hu-ali'), { customer: ALICE, version: 1, state: 'active' })
    const registration = sent(one.close(ALICE), 'alias-registration')
    expect(registration.body).toMatchObject({ alias: 'hu-ali', version: 2, state: 'retired' })
    one.receipted(keyOf('registration', registration.body.registrationId), 'alias-registration')
    expect(one.ledger.get(aliases, 'hu-ali')).toMatchObject({ state: 'retired', version: 2 })
  })

  it('keeps its device key known, so that its wallet may ask again, and the name taken', () => {
    const one = world()
    one.close(ALICE)
    expect(one.definition.deviceKey?.(one.ledger, ALICE)).toEqual({
      publicKey: testBytes(`device ${ALICE}`),
      host: WALLET_HOST,
    })
  })
})

describe('a closure is refused, one row for each check', () => {
  it.each<[string, string, (one: World) => Decision]>([
    ['CUSTOMER_UNKNOWN', 'of nobody enrolled', (one) => one.close('hu-nobody', testBytes('pin key'))],
    [
      'CUSTOMER_UNKNOWN',
      'of another than its sender',
      (one) =>
        one.receive(
          'account-closure',
          { closureId: testId('c'), customer: 'hu-bob', pinProof: testBytes('proof') },
          { from: ALICE, host: WALLET_HOST },
        ),
    ],
    [
      'CUSTOMER_CLOSED',
      'of a closed account',
      (one) => (one.close(ALICE), one.close(ALICE, undefined, testId('again'))),
    ],
    [
      'PIN_LOCKED',
      'with a locked PIN',
      (one) => {
        for (const i of [1, 2, 3]) one.close(ALICE, testBytes('wrong'), testId(`wrong ${i}`))
        return one.close(ALICE)
      },
    ],
    ['WRONG_PIN', 'with a wrong PIN', (one) => one.close(ALICE, testBytes('wrong'))],
  ])('%s: %s', (code, _, act) => {
    const decided = act(world())
    expect(decided.refuse?.code).toBe(code)
    expect(decided.sends).toEqual([])
  })
})
