import { describe, expect, test } from 'vitest'
import { MAX_PAYMENT_MINOR } from '../../protocol/amount.ts'
import { failureNumber } from '../../protocol/failures.ts'
import { keyOf } from '../runtime/table.ts'
import { testId } from '../runtime/testing.ts'
import { PAIRS, PAYEES, PAYOUTS } from './state.ts'
import {
  ACCOUNT,
  batch,
  BANK,
  bodyOf,
  confirmMicro,
  CPP,
  definition,
  dtEntry,
  enrolled,
  HOST,
  PAYEE,
  PAYEE_ACCOUNT,
  payeeRow,
  POLICY,
  refusalOf,
  sent,
  settlementCredit,
  transferAnswer,
  world,
  type World,
} from './testing/fixture.ts'

const hashOfFirst = (on: World) => on.ledger.get(PAIRS, CPP, 'EUR')?.batchHash as Uint8Array
const payee = (on: World) => on.ledger.get(PAYEES, PAYEE)

/** One payment of each amount, confirmed and settled. @returns what the bank's notice did */
const settled = (on: World, ...amounts: readonly bigint[]) => {
  const entries = amounts.map((amount, i) => dtEntry(confirmMicro(on, `t${i}`, i + 1, amount), i + 1))
  const { message } = batch(entries)
  on.take(message)
  return on.take(
    settlementCredit(
      message.message.body.batchId,
      amounts.reduce((a, b) => a + b, 0n),
    ),
  )
}

describe('a payout', () => {
  test('is ordered from the threshold on: the whole payable, from the operator account to the payee’s', () => {
    const on = world()
    const made = settled(on, 600n, 400n)
    const order = bodyOf(made, 'transfer-order')
    const payoutId = payee(on)?.payoutId as Uint8Array
    expect(order).toEqual({
      orderId: order.orderId,
      debitAccount: ACCOUNT,
      creditAccount: PAYEE_ACCOUNT,
      amountMinor: 1_000n,
      currency: 'EUR',
      reference: { purpose: 'payout', id: payoutId },
    })
    expect(sent(made, 'transfer-order')[0]).toMatchObject({ to: BANK, delivery: { until: ['order', order.orderId] } })
    expect(payee(on)).toMatchObject({ accruedMinor: 0n, payableMinor: 0n, payingMinor: 1_000n, paidMinor: 0n })
    expect(on.ledger.get(PAYOUTS, payoutId)).toMatchObject({ state: 'ordered', amountMinor: 1_000n })
  })

  test('waits below the threshold, until its age', () => {
    const on = world()
    const made = settled(on, 999n)
    expect(sent(made, 'transfer-order')).toEqual([])
    on.nowMs += POLICY.payout.maxAgeMs - 1
    on.sweep()
    expect(payee(on)).toMatchObject({ payableMinor: 999n, payingMinor: 0n })
    on.nowMs += 1
    on.sweep()
    expect(payee(on)).toMatchObject({ payableMinor: 0n, payingMinor: 999n })
  })

  test('that is booked is paid, and the merchant host is advised until it receipts', () => {
    const on = world()
    const { orderId } = bodyOf(settled(on, 600n, 400n), 'transfer-order')
    const payoutId = payee(on)?.payoutId as Uint8Array
    const made = on.take(transferAnswer(orderId, 'booked'))
    expect(payee(on)).toMatchObject({ payingMinor: 0n, paidMinor: 1_000n })
    expect(payee(on)?.payoutId).toBeUndefined()
    expect(sent(made, 'payout-advice')).toEqual([
      {
        kind: 'payout-advice',
        to: HOST,
        body: { payoutId, payee: PAYEE, amountMinor: 1_000n, currency: 'EUR', paidAtMs: on.nowMs },
        delivery: { until: ['advice', payoutId] },
      },
    ])
    expect(made.postings).toEqual([
      { account: `paying:${PAYEE}`, currency: 'EUR', amountMinor: -1_000n },
      { account: 'bank', currency: 'EUR', amountMinor: 1_000n },
    ])
    expect(on.ledger.get(PAYOUTS, payoutId)).toMatchObject({ state: 'paid' })
  })

  test('that is refused is payable again, and ordered again after the retry time, not before', () => {
    const on = world()
    const { orderId } = bodyOf(settled(on, 600n, 400n), 'transfer-order')
    const made = on.take(transferAnswer(orderId, 'refused', { code: failureNumber('CREDIT_RETURNED') }))
    expect(payee(on)).toMatchObject({ payableMinor: 1_000n, payingMinor: 0n, paidMinor: 0n })
    expect(sent(made, 'payout-advice')).toEqual([])
    // Over the threshold, yet not due: a bank that says no is not asked in a loop.
    const more = batch([dtEntry(confirmMicro(on, 'more', 3, 10n), 3)], { seq: 2, prevHash: hashOfFirst(on) })
    on.take(more.message)
    on.take(settlementCredit(more.message.message.body.batchId, 10n))
    expect(payee(on)).toMatchObject({ payableMinor: 1_010n, payingMinor: 0n })
    on.nowMs += POLICY.payout.retryMs - 1
    on.sweep()
    expect(payee(on)?.payingMinor).toBe(0n)
    on.nowMs += 1
    on.sweep()
    expect(payee(on)).toMatchObject({ payableMinor: 0n, payingMinor: 1_010n })
    const orders = [...on.ledger.outbox.values()].flatMap((send) =>
      'kind' in send && send.kind === 'transfer-order' ? [send.body.orderId] : [],
    )
    expect(orders).toHaveLength(1)
    expect(orders[0]).not.toEqual(orderId)
  })

  test('whose order the bank does not take at all is refused, too', () => {
    const on = world()
    const { orderId } = bodyOf(settled(on, 600n, 400n), 'transfer-order')
    const event = {
      kind: 'transfer-order' as const,
      key: keyOf('order', orderId),
      code: 'NO_MANDATE' as const,
      detail: '',
      by: BANK,
    }
    on.ledger.apply(definition.refused(on.ledger, event, on.context()))
    expect(payee(on)).toMatchObject({ payableMinor: 1_000n, payingMinor: 0n })
  })

  test('is answered once, and by its bank', () => {
    const on = world()
    const { orderId } = bodyOf(settled(on, 600n, 400n), 'transfer-order')
    expect(refusalOf(on.take(transferAnswer(orderId, 'booked', { bank: 'ro-bank' })))).toBe('NOT_FOUND')
    expect(refusalOf(on.take(transferAnswer(testId('unknown'), 'booked')))).toBe('NOT_FOUND')
    expect(payee(on)?.payingMinor).toBe(1_000n)
    on.take(transferAnswer(orderId, 'booked'))
    on.take(transferAnswer(orderId, 'refused'))
    expect(payee(on)).toMatchObject({ payableMinor: 0n, payingMinor: 0n, paidMinor: 1_000n })
  })

  test('runs one at a time; what became payable meanwhile is paid out by the next', () => {
    const on = world()
    const { orderId } = bodyOf(settled(on, 600n, 400n), 'transfer-order')
    const row = payee(on)
    if (row === undefined) throw new Error('no payee')
    on.ledger.put(PAYEES, keyOf(PAYEE), { ...row, payableMinor: 1_500n })
    expect(on.control('payout-now', { payee: 'bakery@hu' }).reply).toMatchObject({ ok: false, code: 'UNDECIDED' })
    expect(payee(on)?.payingMinor).toBe(1_000n)
    on.take(transferAnswer(orderId, 'booked'))
    expect(payee(on)).toMatchObject({ payableMinor: 0n, payingMinor: 1_500n, paidMinor: 1_000n })
  })

  test('is of one payment’s greatest amount at most', () => {
    const on = world(enrolled(payeeRow({ payableMinor: MAX_PAYMENT_MINOR + 5n })))
    on.control('payout-now', { payee: PAYEE })
    expect(payee(on)).toMatchObject({ payableMinor: 5n, payingMinor: MAX_PAYMENT_MINOR })
  })

  test('without an operator account in the currency waits', () => {
    const on = world()
    on.policy = { ...POLICY, operatorAccounts: {} }
    const row = payeeRow({ payableMinor: 5_000n, payoutAtMs: on.nowMs })
    on.ledger.put(PAYEES, keyOf(PAYEE), row)
    on.fire('payout', keyOf(PAYEE), on.nowMs)
    expect(payee(on)).toMatchObject({ payableMinor: 5_000n, payingMinor: 0n })
    on.policy = POLICY
    on.nowMs += POLICY.payout.maxAgeMs
    on.sweep()
    expect(payee(on)).toMatchObject({ payableMinor: 0n, payingMinor: 5_000n })
  })
})

describe('the operator', () => {
  test('pays out at once whatever is payable', () => {
    const on = world()
    settled(on, 10n)
    const made = on.control('payout-now', { payee: 'bakery@hu' })
    expect(made.reply).toEqual({ ok: true, payoutId: payee(on)?.payoutId, amountMinor: 10n })
    expect(payee(on)).toMatchObject({ payableMinor: 0n, payingMinor: 10n })
    expect(on.ledger.deadlines().filter(({ name }) => name === 'payout')).toEqual([])
  })

  test.each([
    ['payout-now', { payee: 12 }, 'SCHEMA_VIOLATION'],
    ['payout-now', {}, 'SCHEMA_VIOLATION'],
    ['payout-now', { payee: 'bakery@hu', amount: '1' }, 'SCHEMA_VIOLATION'],
    ['payout-now', { payee: 'nobody@hu' }, 'NOT_FOUND'],
    ['payout-now', { payee: 'bakery@hu' }, 'NOT_FOUND'],
    ['retire-payee', { payee: '' }, 'SCHEMA_VIOLATION'],
    ['retire-payee', { payee: 'nobody@hu' }, 'NOT_FOUND'],
  ])('is told why %s %o does nothing: %s', (command, args, code) => {
    const on = world()
    const made = on.control(command, args)
    expect(made.reply).toMatchObject({ ok: false, code })
    expect(made.writes).toEqual([])
  })
})
