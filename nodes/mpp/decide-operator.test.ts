/** What the operator may settle where the rules alone wait: one row of the table per refusal, and the books after each deed. */
import { describe, expect, test } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import type { Decision } from '../runtime/node.ts'
import { testBytes, testId } from '../runtime/testing.ts'
import { BATCHES, DEFAULTS, PAIRS, PAYEES, UNMATCHED } from './state.ts'
import {
  batch,
  bodyOf,
  confirmMicro,
  CPP,
  dtEntry,
  PAYEE,
  POLICY,
  SELF,
  sent,
  settlementCredit,
  transferAnswer,
  world,
  type BatchParts,
  type World,
} from './testing/fixture.ts'

const ID = `batch ${CPP} 1`
const idHex = toHex(testId(ID))
const control = (on: World, args: Record<string, unknown>): Decision => on.control('settle-batch', args)
const pair = (on: World) => on.ledger.get(PAIRS, CPP, 'EUR')
const payee = (on: World) => on.ledger.get(PAYEES, PAYEE)
const rowOf = (on: World) => on.ledger.get(BATCHES, testId(ID))
// What a read gives is plain data that each test looks into.
const list = (on: World, args: Record<string, unknown> = {}): any => on.read('settlements', args)

/** Entries of 100, 200 and 300 in a batch with a lie in it: its total, unless told otherwise, is 500. */
const lying = (parts: BatchParts = { totalMinor: 500n }): World => {
  const on = world()
  const entries = [100n, 200n, 300n].map((amount, i) => dtEntry(confirmMicro(on, `t${i}`, i + 1, amount), i + 1))
  on.take(batch(entries, parts).message)
  return on
}

describe('settle-batch', () => {
  test('settles an uncovered batch by the credit that refers to it: payees get all, the MPP advances the rest', () => {
    const on = lying()
    on.take(settlementCredit(testId(ID), 500n))
    expect(rowOf(on)?.state).toBe('owed')
    expect(list(on)).toMatchObject({ unmatched: [{ amountMinor: 500n, id: idHex }], batches: [{ state: 'owed' }] })
    const made = control(on, { batchId: idHex })
    expect(made.reply).toEqual({ ok: true, batchId: idHex, advancedMinor: 100n })
    expect(rowOf(on)).toMatchObject({ state: 'settled', totalMinor: 500n })
    expect(pair(on)).toMatchObject({ receivableMinor: 100n, surplusMinor: 0n, advancedMinor: 100n })
    expect(payee(on)).toMatchObject({ accruedMinor: 0n, payableMinor: 600n })
    expect([...on.ledger.scan(UNMATCHED, [])]).toEqual([])
    expect(made.postings.reduce((sum, { amountMinor }) => sum + amountMinor, 0n)).toBe(0n)
    // What was advanced is nobody's surplus, and does not stand in the way of the next batch.
    const next = dtEntry(confirmMicro(on, 'next', 4, 50n), 4)
    on.take(batch([next], { seq: 2, prevHash: rowOf(on)?.hash as Uint8Array }).message)
    on.take(settlementCredit(testId(`batch ${CPP} 2`), 50n))
    expect(payee(on)).toMatchObject({ accruedMinor: 0n, payableMinor: 650n })
  })

  test('takes a credit of exactly the sum that is named, whatever it refers to and wherever it came', () => {
    const on = lying({})
    const credit = settlementCredit(testId('typing error'), 600n, { account: 'ro-bank:old', bank: 'ro-bank' })
    on.take(credit)
    const noticeId = toHex(credit.message.body.noticeId)
    expect(control(on, { batchId: idHex }).reply).toMatchObject({ ok: false, code: 'NOT_FOUND' })
    expect(control(on, { batchId: idHex, noticeId }).reply).toEqual({ ok: true, batchId: idHex, advancedMinor: 0n })
    expect(pair(on)).toMatchObject({ receivableMinor: 0n, surplusMinor: 0n })
    expect(payee(on)?.payableMinor).toBe(600n)
  })

  test('ends the default of its CPP', () => {
    const on = lying()
    on.take(settlementCredit(testId(ID), 500n))
    on.nowMs += POLICY.settlement.maxUnpaidMs
    on.sweep()
    expect([...on.ledger.scan(DEFAULTS, [CPP])]).toHaveLength(1)
    expect(list(on).defaults).toHaveLength(1)
    control(on, { batchId: idHex })
    expect([...on.ledger.scan(DEFAULTS, [CPP])]).toEqual([])
  })

  test('needs no credit where no bank has a part in it: a sum of zero, a CPP of the same operator', () => {
    for (const parts of [{ totalMinor: 0n }, { totalMinor: 500n, operatorId: SELF.operatorId }]) {
      const on = lying(parts)
      expect(rowOf(on)?.state).toBe('owed')
      expect(control(on, { batchId: idHex }).reply).toMatchObject({ ok: true, advancedMinor: 600n - parts.totalMinor })
      expect(payee(on)?.payableMinor).toBe(600n)
    }
  })

  const rows: readonly (readonly [string, string, (on: World) => Record<string, unknown>])[] = [
    ['without a batch', 'SCHEMA_VIOLATION', () => ({})],
    ['with an id that is none', 'SCHEMA_VIOLATION', () => ({ batchId: 'x' })],
    ['of an unknown batch', 'NOT_FOUND', () => ({ batchId: toHex(testId('none')) })],
    ['without a credit', 'NOT_FOUND', () => ({ batchId: idHex })],
    [
      'by a credit of another sum',
      'NOT_FOUND',
      (on) => {
        on.take(settlementCredit(testId(ID), 499n))
        return { batchId: idHex }
      },
    ],
    [
      'by a credit in another currency',
      'NOT_FOUND',
      (on) => {
        on.take(settlementCredit(testId(ID), 500n, { currency: 'USD' }))
        return { batchId: idHex }
      },
    ],
    [
      'by what a bank says of an account that another keeps',
      'NOT_FOUND',
      (on) => {
        const lie = settlementCredit(testId(ID), 500n, { bank: 'ro-liar' })
        on.take(lie)
        return { batchId: idHex, noticeId: toHex(lie.message.body.noticeId) }
      },
    ],
    [
      'that is settled',
      'NOT_FOUND',
      (on) => {
        on.take(settlementCredit(testId(ID), 500n))
        control(on, { batchId: idHex })
        return { batchId: idHex }
      },
    ],
  ]
  test.each(rows)('%s is answered %s and changes nothing', (_, code, prepare) => {
    const on = lying()
    const args = prepare(on)
    const before = [pair(on), payee(on), rowOf(on)]
    const made = control(on, args)
    expect(made).toMatchObject({ reply: { ok: false, code }, writes: [], sends: [], postings: [] })
    expect([pair(on), payee(on), rowOf(on)]).toEqual(before)
  })

  test('waits for a batch that is being reconciled', () => {
    const on = world()
    on.take(batch([], { fromSeq: 1, toSeq: 2, root: testBytes('r'), totalMinor: 5n }).message)
    expect(control(on, { batchId: idHex }).reply).toMatchObject({ ok: false, code: 'UNDECIDED' })
  })

  describe('of a negative sum that was never paid in', () => {
    const claiming = () => {
      const on = lying({ totalMinor: -40n })
      expect(rowOf(on)).toMatchObject({ state: 'failed', code: 'ROOT_MISMATCH' })
      return on
    }
    test('orders its transfer, advancing it all, and pays the payees once the bank has booked', () => {
      const on = claiming()
      const made = control(on, { batchId: idHex })
      expect(made.reply).toEqual({ ok: true, batchId: idHex, advancedMinor: 40n })
      expect(pair(on)).toMatchObject({ advancedMinor: 40n, surplusMinor: 0n, receivableMinor: 600n })
      const { orderId, amountMinor } = bodyOf(made, 'transfer-order')
      expect(amountMinor).toBe(40n)
      on.take(transferAnswer(orderId, 'booked'))
      expect(rowOf(on)?.state).toBe('settled')
      expect(pair(on)).toMatchObject({ advancedMinor: 640n, surplusMinor: 0n, receivableMinor: 640n })
      expect(payee(on)).toMatchObject({ accruedMinor: 0n, payableMinor: 600n })
    })

    test('takes everything back when the bank refuses', () => {
      const on = claiming()
      const before = pair(on)
      const { orderId } = bodyOf(control(on, { batchId: idHex }), 'transfer-order')
      expect(control(on, { batchId: idHex }).reply).toMatchObject({ ok: false, code: 'UNDECIDED' })
      on.take(transferAnswer(orderId, 'refused'))
      expect(rowOf(on)).toMatchObject({ state: 'failed', code: 'TRANSFER_FAILED' })
      expect(rowOf(on)?.advancedMinor).toBeUndefined()
      expect(pair(on)).toMatchObject({ ...before, advancedMinor: 0n, surplusMinor: 0n })
    })

    test('needs an account to send it to', () => {
      const on = claiming()
      on.policy = { ...POLICY, settlementAccounts: {} }
      const made = control(on, { batchId: idHex })
      expect(made).toMatchObject({ reply: { ok: false, code: 'ACCOUNT_UNKNOWN' }, writes: [], sends: [] })
    })

    test('is a book transfer within one operator', () => {
      const on = lying({ totalMinor: -40n, operatorId: SELF.operatorId })
      const made = control(on, { batchId: idHex })
      expect(made.reply).toEqual({ ok: true, batchId: idHex, advancedMinor: 640n })
      expect(sent(made, 'transfer-order')).toEqual([])
      expect(rowOf(on)?.state).toBe('settled')
    })
  })
})

test('the list of settlements can be of one CPP, or of what is open', () => {
  const on = lying()
  expect(list(on, { cpp: 'ro-other' }).batches).toEqual([])
  expect(list(on, { cpp: CPP, open: true }).batches).toMatchObject([{ batchId: idHex, disputes: 1 }])
  on.take(settlementCredit(testId(ID), 500n))
  control(on, { batchId: idHex })
  expect(list(on, { open: true }).batches).toEqual([])
  expect(list(on, { colour: 'red' })).toMatchObject({ code: 'SCHEMA_VIOLATION' })
})
