import { describe, expect, test } from 'vitest'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { keyOf } from '../runtime/table.ts'
import { outboxKey as outboxText, testBytes, testId } from '../runtime/testing.ts'
import { BATCHES, DEFAULTS, ENTRIES, NOTICES, PAIRS, PAYEES, UNMATCHED } from './state.ts'
import {
  adjustment,
  adjustmentEntry,
  batch,
  bodyOf,
  confirmMicro,
  CPP,
  definition,
  delayed,
  dtEntry,
  enrolled,
  missingEntries,
  notice,
  PAYEE,
  payeeRow,
  paymentDecision,
  POLICY,
  refusalOf,
  SELF,
  sent,
  settlementCredit,
  transferAnswer,
  world,
  type BatchParts,
  type World,
} from './testing/fixture.ts'

const pair = (on: World) => on.ledger.get(PAIRS, CPP, 'EUR')
const payee = (on: World, id = PAYEE) => on.ledger.get(PAYEES, id)
const rowOf = (on: World, id = `batch ${CPP} 1`) => on.ledger.get(BATCHES, testId(id))
const entry = (on: World, seq: number) => on.ledger.get(ENTRIES, CPP, 'EUR', seq)

/** Three payments of 100, 200 and 300, booked as entries 1, 2 and 3. */
const three = (on: World) =>
  [100n, 200n, 300n].map((amount, i) => dtEntry(confirmMicro(on, `t${i + 1}`, i + 1, amount), i + 1))
/** The same payments, approved; the DTs are still to come. */
const approvedThree = (on: World) =>
  [100n, 200n, 300n].map((amountMinor, i) => {
    const pn = notice({ txId: `t${i + 1}`, amountMinor })
    on.take(pn)
    on.take(paymentDecision(pn))
    return pn
  })

describe('a settlement batch', () => {
  test('whose entries are all held is accepted at once, and moves no money', () => {
    const on = world()
    const { message, hash } = batch(three(on))
    const made = on.take(message)
    expect(made.sends).toEqual([
      {
        kind: 'settlement-acceptance',
        to: CPP,
        body: { batchId: message.message.body.batchId, seq: 1, batchHash: hash },
        delivery: { answers: message.ref },
      },
    ])
    expect(rowOf(on)).toMatchObject({ state: 'owed', totalMinor: 600n })
    expect(pair(on)).toMatchObject({ batchSeq: 1, batchHash: hash, batchedToSeq: 3, receivableMinor: 600n })
    expect(pair(on)?.openBatchId).toBeUndefined()
    expect(payee(on)).toMatchObject({ accruedMinor: 600n, payableMinor: 0n })
    expect(made.postings).toEqual([])
  })

  const rows: readonly (readonly [string, FailureCode, BatchParts, (on: World) => void])[] = [
    ['of another pair', 'WRONG_ADDRESSEE', { mpp: 'ro-mpp', seq: 9 }, () => {}],
    [
      'with the id of another batch',
      'ID_REUSED',
      { batchId: 'known', seq: 9 },
      (on) => on.take(batch([], { batchId: 'known', cpp: 'ro-cpp' }).message),
    ],
    ['ahead of its turn', 'BATCH_OUT_OF_ORDER', { seq: 2, prevHash: testBytes('x') }, () => {}],
    [
      'while an earlier one is unanswered',
      'BATCH_OUT_OF_ORDER',
      { seq: 2, batchId: 'late', fromSeq: 5, toSeq: 5 },
      (on) => on.take(batch([], { fromSeq: 1, toSeq: 4 }).message),
    ],
    [
      'that competes with an unanswered one',
      'BATCH_OUT_OF_ORDER',
      { seq: 1, batchId: 'rival' },
      (on) => on.take(batch([], { fromSeq: 1, toSeq: 4 }).message),
    ],
    [
      'that repeats a number',
      'BATCH_CHAIN_BROKEN',
      { seq: 1, batchId: 'again' },
      (on) =>
        on.take(
          batch([{ pairSeq: 1, type: 'dt', pnId: null, payee: null, amountMinor: 1n, currency: 'EUR' }], {
            fromSeq: 1,
            toSeq: 3,
          }).message,
        ),
    ],
    ['with another previous hash', 'BATCH_CHAIN_BROKEN', { prevHash: testBytes('x') }, () => {}],
    ['that leaves entries out', 'BATCH_CHAIN_BROKEN', { fromSeq: 2 }, () => {}],
    ['with an empty range', 'BATCH_CHAIN_BROKEN', { fromSeq: 1, toSeq: 0 }, () => {}],
    ['over the limit', 'BATCH_CHAIN_BROKEN', { fromSeq: 1, toSeq: LIMITS.maxEntriesPerBatch + 1 }, () => {}],
  ]
  test.each(rows)('%s is refused with %s', (_, code, parts, prepare) => {
    const on = world()
    const entries = three(on)
    prepare(on)
    const before = pair(on)
    const made = on.take(batch(entries, parts).message)
    expect(refusalOf(made)).toBe(code)
    expect(made.writes).toEqual([])
    expect(pair(on)).toEqual(before)
  })

  test('is disputed where its root does not fit, and where its total does not, and is paid all the same', () => {
    for (const parts of [{ root: testBytes('root') }, { totalMinor: 601n }]) {
      const on = world()
      const { message } = batch(three(on), parts)
      const made = on.take(message)
      expect(bodyOf(made, 'settlement-dispute').items).toEqual([
        { pairSeq: 1, code: failureNumber('ROOT_MISMATCH'), amountMinor: 600n },
      ])
      expect(rowOf(on)?.state).toBe('owed')
    }
  })

  test('is disputed item by item', () => {
    const on = world()
    const first = confirmMicro(on, 'a', 1)
    const wrong = notice({ txId: 'b', amountMinor: 200n })
    on.take(wrong)
    on.take(paymentDecision(wrong))
    on.take(delayed(wrong, { pairSeq: 2, amountMinor: 250n }))
    const unknown = notice({ txId: 'c', amountMinor: 7n })
    on.take(delayed(unknown, { pairSeq: 3 }))
    const made = on.take(batch([dtEntry(first, 1), dtEntry(wrong, 2, 250n), dtEntry(unknown, 3)]).message)
    expect(bodyOf(made, 'settlement-dispute').items).toEqual([
      { pairSeq: 2, code: failureNumber('ENTRY_MISMATCH'), amountMinor: 200n },
      { pairSeq: 3, code: failureNumber('ENTRY_MISMATCH'), amountMinor: 0n },
    ])
  })

  test('of one operator is settled at once by a book transfer, without a bank', () => {
    const on = world()
    const made = on.take(batch(three(on), { operatorId: SELF.operatorId }).message)
    expect(sent(made, 'settlement-acceptance')).toHaveLength(1)
    expect(rowOf(on)?.state).toBe('settled')
    expect(pair(on)?.receivableMinor).toBe(0n)
    expect(payee(on)).toMatchObject({ accruedMinor: 0n, payableMinor: 600n })
    expect(made.postings).toContainEqual({ account: 'operator', currency: 'EUR', amountMinor: -600n })
    expect(sent(made, 'transfer-order')).toEqual([])
  })

  test('of a sum of zero is settled at once', () => {
    const on = world()
    const unknown = notice({ txId: 'c', amountMinor: 7n })
    on.take(delayed(unknown, { pairSeq: 1 }))
    on.take(adjustment({ pairSeq: 2, disputedSeq: 1, amountMinor: -7n }))
    const made = on.take(batch([dtEntry(unknown, 1), adjustmentEntry(2, -7n)]).message)
    expect(sent(made, 'settlement-acceptance')).toHaveLength(1)
    expect(rowOf(on)?.state).toBe('settled')
  })
})

describe('entries that are lacking', () => {
  test('are asked for run by run, booked as if they had arrived, and the batch is then accepted', () => {
    const on = world()
    const [a, b, c] = approvedThree(on) as [
      ReturnType<typeof notice>,
      ReturnType<typeof notice>,
      ReturnType<typeof notice>,
    ]
    on.take(delayed(b, { pairSeq: 2 }))
    const { message } = batch([dtEntry(a, 1), dtEntry(b, 2), dtEntry(c, 3)])
    const made = on.take(message)
    const first = bodyOf(made, 'missing-entries-request')
    expect(first).toMatchObject({ fromSeq: 1, toSeq: 1, currency: 'EUR' })
    expect(made.sends[0]).toMatchObject({ to: CPP, delivery: { until: ['missing', first.requestId] } })
    expect(rowOf(on)?.state).toBe('reconciling')

    const next = on.take(missingEntries(first.requestId, [delayed(a, { pairSeq: 1 }).message]))
    expect(on.ledger.get(NOTICES, testId('t1'))?.state).toBe('confirmed')
    const second = bodyOf(next, 'missing-entries-request')
    expect(second).toMatchObject({ fromSeq: 3, toSeq: 3 })
    expect(on.ledger.outbox.has(outboxText('missing', first.requestId))).toBe(false)

    const last = on.take(missingEntries(second.requestId, [delayed(c, { pairSeq: 3 }).message]))
    expect(sent(last, 'settlement-acceptance')[0]).toMatchObject({ delivery: { answers: message.ref } })
    expect(pair(on)).toMatchObject({ receivableMinor: 600n, reservedMinor: 0n, batchSeq: 1 })
    expect(on.ledger.outbox.size).toBe(0)
  })

  test('are asked for at most 64 at a time', () => {
    const on = world()
    const made = on.take(batch([], { fromSeq: 1, toSeq: 100 }).message)
    expect(bodyOf(made, 'missing-entries-request')).toMatchObject({
      fromSeq: 1,
      toSeq: LIMITS.maxMissingEntriesPerMessage,
    })
  })

  test('are asked for again when an answer brings only some of them', () => {
    const on = world()
    const pns = approvedThree(on)
    const { requestId } = bodyOf(
      on.take(batch(pns.map((pn, i) => dtEntry(pn, i + 1))).message),
      'missing-entries-request',
    )
    const made = on.take(missingEntries(requestId, [delayed(pns[1] as never, { pairSeq: 2 }).message]))
    expect(bodyOf(made, 'missing-entries-request')).toMatchObject({ fromSeq: 1, toSeq: 1 })
    expect(entry(on, 3)).toBeUndefined()
  })

  test('found missing, then come after all, while others are still asked for, are counted once', () => {
    const on = world()
    const run = LIMITS.maxMissingEntriesPerMessage
    const pn = notice({ txId: 'late', amountMinor: 10n })
    on.take(pn)
    on.take(paymentDecision(pn))
    const { requestId } = bodyOf(
      on.take(batch([], { fromSeq: 1, toSeq: run + 1, totalMinor: 10n }).message),
      'missing-entries-request',
    )
    const next = bodyOf(on.take(missingEntries(requestId, [])), 'missing-entries-request')
    expect(next).toMatchObject({ fromSeq: run + 1, toSeq: run + 1 })
    expect(sent(on.take(delayed(pn, { pairSeq: 1 })), 'settlement-dispute')).toEqual([])
    const items = bodyOf(on.take(missingEntries(next.requestId, [])), 'settlement-dispute').items
    expect(items.map(({ code }) => code).filter((code) => code === failureNumber('ENTRY_MISSING'))).toHaveLength(run)
    expect(payee(on)?.accruedMinor).toBe(10n)
  })

  test('that arrive by themselves complete the batch too, and the request is forgotten', () => {
    const on = world()
    const pns = approvedThree(on)
    const { message } = batch(pns.map((pn, i) => dtEntry(pn, i + 1)))
    const { requestId } = bodyOf(on.take(message), 'missing-entries-request')
    on.take(delayed(pns[1] as never, { pairSeq: 2 }))
    on.take(delayed(pns[0] as never, { pairSeq: 1 }))
    const made = on.take(delayed(pns[2] as never, { pairSeq: 3 }))
    expect(sent(made, 'settlement-acceptance')).toHaveLength(1)
    expect(on.ledger.outbox.has(outboxText('missing', requestId))).toBe(false)
    const late = on.take(
      missingEntries(
        requestId,
        pns.map((pn, i) => delayed(pn, { pairSeq: i + 1 }).message),
      ),
    )
    expect([late.writes, late.sends, late.postings]).toEqual([[], [], []])
    expect(pair(on)?.receivableMinor).toBe(600n)
  })

  test('and come both ways are booked once', () => {
    const on = world()
    const pns = approvedThree(on)
    const { requestId } = bodyOf(
      on.take(batch(pns.map((pn, i) => dtEntry(pn, i + 1))).message),
      'missing-entries-request',
    )
    const dts = pns.map((pn, i) => delayed(pn, { pairSeq: i + 1 }))
    on.take(
      missingEntries(
        requestId,
        [...dts, ...dts].map(({ message }) => message),
      ),
    )
    for (const dt of dts) on.take(dt)
    expect(pair(on)).toMatchObject({ receivableMinor: 600n, held: 3 })
    expect(payee(on)?.accruedMinor).toBe(600n)
  })

  test('that the CPP cannot show are disputed as missing; nobody is credited for them', () => {
    const on = world()
    const pns = approvedThree(on)
    on.take(delayed(pns[0] as never, { pairSeq: 1 }))
    const { requestId } = bodyOf(
      on.take(batch(pns.map((pn, i) => dtEntry(pn, i + 1))).message),
      'missing-entries-request',
    )
    const made = on.take(missingEntries(requestId, []))
    expect(bodyOf(made, 'settlement-dispute').items).toEqual([
      { pairSeq: 2, code: failureNumber('ENTRY_MISSING'), amountMinor: 0n },
      { pairSeq: 3, code: failureNumber('ENTRY_MISSING'), amountMinor: 0n },
    ])
    expect(payee(on)?.accruedMinor).toBe(100n)
    expect(pair(on)?.receivableMinor).toBe(100n)
    // One that comes after all is owed and credited; after the settlement it is payable at once.
    on.take(delayed(pns[1] as never, { pairSeq: 2 }))
    expect(payee(on)?.accruedMinor).toBe(300n)
    on.take(settlementCredit(testId(`batch ${CPP} 1`), 600n))
    expect(payee(on)).toMatchObject({ accruedMinor: 0n, payableMinor: 300n })
    on.take(delayed(pns[2] as never, { pairSeq: 3 }))
    expect(payee(on)).toMatchObject({ accruedMinor: 0n, payableMinor: 600n })
    expect(pair(on)).toMatchObject({ receivableMinor: 0n, held: 3 })
  })

  test('that the CPP has taken back since are not credited when they come after all', () => {
    const on = world()
    const pn = notice({ txId: 'a', amountMinor: 200n })
    on.take(pn)
    on.take(paymentDecision(pn))
    const { requestId } = bodyOf(on.take(batch([dtEntry(pn, 1)]).message), 'missing-entries-request')
    on.take(missingEntries(requestId, []))
    on.take(adjustment({ pairSeq: 2, disputedSeq: 1, amountMinor: -200n }))
    on.take(delayed(pn, { pairSeq: 1 }))
    expect(payee(on)?.accruedMinor).toBe(0n)
    expect(pair(on)).toMatchObject({ receivableMinor: 0n, held: 2 })
    expect(entry(on, 1)?.code).toBeUndefined()
  })

  test('are as good as missing when the CPP refuses to show them', () => {
    const on = world()
    const pns = approvedThree(on)
    const { requestId } = bodyOf(
      on.take(batch(pns.map((pn, i) => dtEntry(pn, i + 1))).message),
      'missing-entries-request',
    )
    const refused = {
      kind: 'missing-entries-request' as const,
      key: keyOf('missing', requestId),
      code: 'NOT_FOUND' as const,
      detail: '',
      by: CPP,
    }
    const made = definition.refused(on.ledger, refused, on.context())
    on.ledger.apply(made)
    expect(bodyOf(made, 'settlement-dispute').items).toHaveLength(3)
  })

  test('are taken from the CPP of the pair alone, of what was asked for, with a seal that holds', () => {
    const on = world()
    const pns = approvedThree(on)
    const { requestId } = bodyOf(
      on.take(batch(pns.slice(0, 2).map((pn, i) => dtEntry(pn, i + 1))).message),
      'missing-entries-request',
    )
    on.take(
      missingEntries(requestId, [
        { ok: false, failure: { code: 'BAD_SIGNATURE', detail: '' } },
        delayed(pns[0] as never, { pairSeq: 1, cpp: 'ro-cpp' }).message,
        delayed(pns[0] as never, { pairSeq: 1, mpp: 'ro-mpp' }).message,
        delayed(pns[0] as never, { pairSeq: 1, currency: 'USD' }).message,
        delayed(pns[2] as never, { pairSeq: 3 }).message,
      ]),
    )
    expect(pair(on)).toMatchObject({ held: 0, receivableMinor: 0n })
    expect(payee(on)?.accruedMinor).toBe(0n)
  })

  test('may bring the adjustment that mends an entry of the same answer', () => {
    const on = world()
    const pn = notice({ txId: 'a', amountMinor: 200n })
    on.take(pn)
    on.take(paymentDecision(pn))
    const { message } = batch([dtEntry(pn, 1, 250n), { ...adjustmentEntry(2, -50n), pnId: pn.message.body.pnId }])
    const { requestId } = bodyOf(on.take(message), 'missing-entries-request')
    const fix = adjustment({ pairSeq: 2, disputedSeq: 1, amountMinor: -50n })
    const named = { ...fix.message, body: { ...fix.message.body, pnId: pn.message.body.pnId } }
    const made = on.take(missingEntries(requestId, [delayed(pn, { pairSeq: 1, amountMinor: 250n }).message, named]))
    expect(sent(made, 'settlement-acceptance')).toHaveLength(1)
    expect(payee(on)?.accruedMinor).toBe(200n)
    expect(pair(on)?.receivableMinor).toBe(200n)
  })
})

describe("the bank's notice of a settlement", () => {
  const settled = () => {
    const on = world(enrolled(payeeRow(), payeeRow({ payee: 'hu-kiosk' })))
    const entries = [
      dtEntry(confirmMicro(on, 'a', 1, 100n), 1),
      dtEntry(confirmMicro(on, 'b', 2, 200n, { payee: 'hu-kiosk' }), 2),
      dtEntry(confirmMicro(on, 'c', 3, 300n), 3),
    ]
    const { message } = batch(entries)
    on.take(message)
    // Confirmed after the batch: not paid by it.
    confirmMicro(on, 'd', 4, 50n)
    return { on, batchId: message.message.body.batchId }
  }

  test('makes payable what the batch confirmed, payee by payee, and nothing else', () => {
    const { on, batchId } = settled()
    const credit = settlementCredit(batchId, 600n)
    const made = on.take(credit)
    expect(payee(on)).toMatchObject({ accruedMinor: 50n, payableMinor: 400n })
    expect(payee(on, 'hu-kiosk')).toMatchObject({ accruedMinor: 0n, payableMinor: 200n })
    expect(pair(on)).toMatchObject({ receivableMinor: 50n, settledToSeq: 3 })
    expect(rowOf(on)?.state).toBe('settled')
    expect(made.sends).toContainEqual({
      kind: 'receipt',
      to: 'hu-kh',
      body: { digest: credit.message.digest },
      delivery: { answers: credit.ref },
    })
    expect(made.postings).toContainEqual({ account: 'bank', currency: 'EUR', amountMinor: -600n })
  })

  const rows: readonly (readonly [string, (batchId: Uint8Array) => ReturnType<typeof settlementCredit>])[] = [
    ['of a bank that does not keep the account', (id) => settlementCredit(id, 600n, { bank: 'ro-bank' })],
    ['on an account that is not the MPP’s', (id) => settlementCredit(id, 600n, { account: 'hu-kh:other' })],
    ['of another sum', (id) => settlementCredit(id, 599n)],
    ['of an unknown batch', () => settlementCredit(testId('unknown'), 600n)],
    ['for another purpose', (id) => settlementCredit(id, 600n, { purpose: 'payment' })],
  ]
  test.each(rows)('%s settles nothing: it is receipted and kept for the operator', (_, make) => {
    const { on, batchId } = settled()
    const made = on.take(make(batchId))
    expect(made.sends.map((send) => ('kind' in send ? send.kind : send.relay))).toEqual(['receipt'])
    expect(on.ledger.rows(UNMATCHED)).toHaveLength(1)
    expect(rowOf(on)?.state).toBe('owed')
    expect(payee(on)).toMatchObject({ accruedMinor: 450n, payableMinor: 0n })
    expect(pair(on)?.receivableMinor).toBe(650n)
  })

  test('settles a batch once', () => {
    const { on, batchId } = settled()
    on.take(settlementCredit(batchId, 600n))
    on.take(settlementCredit(batchId, 600n, { noticeId: 'again' }))
    expect(payee(on)?.payableMinor).toBe(400n)
    expect(on.ledger.rows(UNMATCHED)).toHaveLength(1)
  })

  test('does not settle a batch that is not answered yet', () => {
    const on = world()
    const { message } = batch([], { fromSeq: 1, toSeq: 3, totalMinor: 600n })
    on.take(message)
    on.take(settlementCredit(message.message.body.batchId, 600n))
    expect(rowOf(on)?.state).toBe('reconciling')
  })
})

describe('a CPP that does not pay', () => {
  test('is in default from the time its batch is due until the bank’s notice comes', () => {
    const on = world()
    const { message } = batch(three(on))
    on.take(message)
    const batchId = message.message.body.batchId
    on.nowMs += POLICY.settlement.maxUnpaidMs - 1
    on.sweep()
    on.take(notice({ txId: 'in time' }))
    expect(on.ledger.get(NOTICES, testId('in time'))?.state).toBe('notified')
    on.nowMs += 1
    on.sweep()
    expect(on.ledger.get(DEFAULTS, CPP, batchId)).toBeDefined()
    expect(bodyOf(on.take(notice({ txId: 'late' })), 'countersigned-decision').code).toBe(
      failureNumber('CPP_DEFAULTED'),
    )
    on.take(settlementCredit(batchId, 600n))
    expect(on.ledger.rows(DEFAULTS)).toEqual([])
    on.take(notice({ txId: 'after' }))
    expect(on.ledger.get(NOTICES, testId('after'))?.state).toBe('notified')
  })

  test('is not when it paid in time', () => {
    const on = world()
    const { message } = batch(three(on))
    on.take(message)
    on.take(settlementCredit(message.message.body.batchId, 600n))
    expect(on.ledger.deadlines().filter(({ name }) => name === 'settlement-due')).toEqual([])
    on.nowMs += POLICY.settlement.maxUnpaidMs
    on.fire('settlement-due', message.message.body.batchId)
    expect(on.ledger.rows(DEFAULTS)).toEqual([])
  })
})

describe('a negative sum', () => {
  /** An entry nobody was owed for, settled; then taken back, so that the second batch is −70. */
  const negative = (on: World) => {
    const unknown = notice({ txId: 'u', amountMinor: 70n })
    on.take(delayed(unknown, { pairSeq: 1 }))
    const first = batch([dtEntry(unknown, 1)])
    on.take(first.message)
    on.take(settlementCredit(first.message.message.body.batchId, 70n))
    on.take(adjustment({ pairSeq: 2, disputedSeq: 1, amountMinor: -70n }))
    return batch([adjustmentEntry(2, -70n)], { seq: 2, prevHash: first.hash }).message
  }

  test('is paid by the MPP, and settled when its bank has booked it', () => {
    const on = world()
    const message = negative(on)
    const order = bodyOf(on.take(message), 'transfer-order')
    expect(order).toMatchObject({
      debitAccount: 'hu-kh:hu-mpp',
      creditAccount: 'ro-bank:cpp',
      amountMinor: 70n,
      reference: { purpose: 'settlement', id: message.message.body.batchId },
    })
    expect(pair(on)?.receivableMinor).toBe(-70n)
    on.take(transferAnswer(order.orderId, 'booked'))
    expect(pair(on)?.receivableMinor).toBe(0n)
    expect(rowOf(on, `batch ${CPP} 2`)?.state).toBe('settled')
    expect(on.ledger.outbox.size).toBe(0)
    on.take(transferAnswer(order.orderId, 'refused'))
    expect(rowOf(on, `batch ${CPP} 2`)?.state).toBe('settled')
  })

  test('that the bank refuses is ordered again, under a new id', () => {
    const on = world()
    const message = negative(on)
    const { orderId } = bodyOf(on.take(message), 'transfer-order')
    on.take(transferAnswer(orderId, 'refused', { code: failureNumber('INSUFFICIENT_FUNDS') }))
    expect(rowOf(on, `batch ${CPP} 2`)).toMatchObject({ state: 'failed', code: 'INSUFFICIENT_FUNDS' })
    expect(pair(on)?.receivableMinor).toBe(-70n)
    on.nowMs += POLICY.settlement.retryMs
    on.sweep()
    const again = [...on.ledger.outbox.values()].map((send) =>
      'kind' in send && send.kind === 'transfer-order' ? send.body : undefined,
    )
    expect(again).toHaveLength(1)
    expect(again[0]?.orderId).not.toEqual(orderId)
    // The answer to the first order, again, settles nothing.
    on.take(transferAnswer(orderId, 'booked'))
    expect(pair(on)?.receivableMinor).toBe(-70n)
    on.take(transferAnswer(again[0]?.orderId as Uint8Array, 'booked'))
    expect(pair(on)?.receivableMinor).toBe(0n)
  })

  test('without a known account of the CPP waits until there is one', () => {
    const on = world()
    on.policy = { ...POLICY, settlementAccounts: {} }
    const message = negative(on)
    expect(sent(on.take(message), 'transfer-order')).toEqual([])
    expect(rowOf(on, `batch ${CPP} 2`)?.state).toBe('failed')
    on.policy = POLICY
    on.nowMs += POLICY.settlement.retryMs
    on.sweep()
    expect(rowOf(on, `batch ${CPP} 2`)?.state).toBe('owing')
  })
})

test('books that do not add up stop the node rather than go on', () => {
  const on = world()
  const { message } = batch(three(on))
  on.take(message)
  on.ledger.put(PAYEES, keyOf(PAYEE), payeeRow({ accruedMinor: 599n }))
  expect(() => on.take(settlementCredit(message.message.body.batchId, 600n))).toThrow(/less accrued/)
})

test('an adjusted payment is payable when the batch with its adjustment is settled', () => {
  const on = world()
  const pn = notice({ txId: 'a', amountMinor: 200n })
  on.take(pn)
  on.take(paymentDecision(pn))
  on.take(delayed(pn, { pairSeq: 1, amountMinor: 250n }))
  const first = batch([dtEntry(pn, 1, 250n)])
  on.take(first.message)
  on.take(settlementCredit(first.message.message.body.batchId, 250n))
  expect(payee(on)).toMatchObject({ accruedMinor: 0n, payableMinor: 0n })
  on.take(adjustment({ pairSeq: 2, disputedSeq: 1, amountMinor: -50n }))
  expect(entry(on, 2)).toMatchObject({ creditMinor: 200n })
  const order = bodyOf(
    on.take(batch([adjustmentEntry(2, -50n)], { seq: 2, prevHash: first.hash }).message),
    'transfer-order',
  )
  on.take(transferAnswer(order.orderId, 'booked'))
  expect(payee(on)).toMatchObject({ accruedMinor: 0n, payableMinor: 200n })
  expect(pair(on)?.receivableMinor).toBe(0n)
})
