import { describe, expect, it } from 'vitest'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { NO_PREVIOUS_BATCH, batchHash, pairEntryLeaf, rangeOf, rangeRoot } from '../../protocol/mountain-range.ts'
import type { Decision } from '../runtime/node.ts'
import { requestRef } from '../runtime/request-ref.ts'
import { TEST_NOW_MS, outboxKey, testBytes, testId } from '../runtime/testing.ts'
import { keyOf } from '../runtime/table.ts'
import { payments, type PaymentRow } from './state.ts'
import { batches, pairEntries, pairs, type BatchRow } from './state-pairs.ts'
import {
  BANK,
  CPP,
  MPP,
  OPERATOR,
  createWorld,
  kindsOf,
  merchantChain,
  sent,
  sentAll,
  textOf,
  type Sent,
  type World,
  type WorldOptions,
} from './testing/world.ts'

const HOUR = 3_600_000
const settlementPolicy = (changes: Partial<WorldOptions['policy'] & object> = {}): WorldOptions => ({
  policy: { settlement: { thresholdMinor: { EUR: 1_000n }, maxAgeMs: HOUR, retryMs: 60_000 }, ...changes },
})
const world = (options = settlementPolicy()): World => {
  const one = createWorld(options)
  one.enrol('hu-alice')
  return one
}
/** One confirmed micropayment; a collection that it needs is booked at once. */
const confirm = (one: World, tx: string, amountMinor: bigint, merchant = merchantChain()): Decision => {
  let first = one.pay({ tx, amountMinor, merchant, expiresAtMs: one.nowMs + 120_000 })
  const [order] = sentAll(first, 'transfer-order')
  if (order !== undefined) first = one.answer(order, 'done')
  return one.decide(sent(first, 'payment-notice'), { from: merchant.mpp.id })
}
const pair = (one: World) => one.ledger.get(pairs, MPP, 'EUR')
const batch = (one: World, seq = 1) => one.ledger.get(batches, MPP, 'EUR', seq)
const accept = (
  one: World,
  { body }: Sent<'settlement-batch'>,
  changes: { seq?: number; batchHash?: Uint8Array; from?: string } = {},
): Decision =>
  one.receive(
    'settlement-acceptance',
    {
      batchId: body.batchId,
      seq: changes.seq ?? body.seq,
      batchHash: changes.batchHash ?? batchHash(body.prevHash, { cpp: CPP, ...body }),
    },
    { from: changes.from ?? MPP },
  )
type Item = { readonly pairSeq: number; readonly code: FailureCode; readonly amountMinor: bigint }
const dispute = (one: World, { body }: Sent<'settlement-batch'>, items: readonly Item[]): Decision =>
  one.receive(
    'settlement-dispute',
    {
      batchId: body.batchId,
      seq: body.seq,
      batchHash: batchHash(body.prevHash, { cpp: CPP, ...body }),
      items: items.map(({ code, ...item }) => ({ ...item, code: failureNumber(code) })),
    },
    { from: MPP },
  )
/** Two entries of 600 and 500 minor units: over the threshold. */
const opened = (options = settlementPolicy()) => {
  const one = world(options)
  confirm(one, 'a', 600n)
  const second = confirm(one, 'b', 500n)
  return { one, second, message: sent(second, 'settlement-batch') }
}

describe('a batch', () => {
  it('opens when the range reaches the threshold, as a range whose root anyone can compute', () => {
    const { one, message } = opened()
    const leaves = ['a', 'b'].map((tx, i) =>
      pairEntryLeaf({
        pairSeq: i + 1,
        type: 'dt',
        pnId: one.ledger.get(payments, testId(tx))?.pnId ?? testId('none'),
        payee: 'hu-bakery',
        amountMinor: tx === 'a' ? 600n : 500n,
        currency: 'EUR',
      }),
    )
    expect(message).toEqual({
      kind: 'settlement-batch',
      to: MPP,
      body: {
        batchId: message.body.batchId,
        mpp: MPP,
        currency: 'EUR',
        seq: 1,
        prevHash: NO_PREVIOUS_BATCH,
        fromSeq: 1,
        toSeq: 2,
        root: rangeRoot(rangeOf(leaves)),
        totalMinor: 1_100n,
      },
      delivery: { until: ['batch', message.body.batchId] },
    })
    expect(pair(one)).toMatchObject({ payableMinor: 1_100n, fromSeq: 3, rangeMinor: 0n, batchSeq: 1, open: true })
  })

  it('opens at the age of its oldest entry, however small', () => {
    const one = world()
    confirm(one, 'a', 10n)
    one.nowMs += 1_000
    confirm(one, 'b', 10n)
    expect(one.advance(TEST_NOW_MS + HOUR - 1).flatMap(kindsOf)).toEqual([])
    const decided = one.advance(TEST_NOW_MS + HOUR) as readonly [Decision]
    expect(sent(decided[0], 'settlement-batch').body).toMatchObject({ fromSeq: 1, toSeq: 2, totalMinor: 20n })
  })

  /** The next entry is the last that one batch may hold. */
  const almostFull = (one: World): void => {
    const row = pair(one)
    if (row === undefined) throw new Error('no pair')
    one.ledger.put(pairs, keyOf(MPP, 'EUR'), { ...row, lastSeq: row.fromSeq + LIMITS.maxEntriesPerBatch - 2 })
  }

  it('opens at the largest number of entries', () => {
    const one = world()
    confirm(one, 'a', 1n)
    almostFull(one)
    expect(sent(confirm(one, 'b', 1n), 'settlement-batch').body.toSeq).toBe(LIMITS.maxEntriesPerBatch)
  })

  it('never holds more: while one is open the next are cut off, and sent one after the other', () => {
    const { one, message } = opened()
    const bodies = [message.body]
    for (const tx of ['c', 'd']) {
      confirm(one, `${tx}1`, 1n)
      almostFull(one)
      expect(kindsOf(confirm(one, `${tx}2`, 1n))).not.toContain('settlement-batch')
    }
    confirm(one, 'e', 1n)
    expect(batch(one, 2)?.state).toBe('cut')
    expect(one.read('report').pairs[0].openBatches).toBe(1)
    let current = message
    for (const seq of [2, 3]) {
      const next = sent(one.answer(sent(accept(one, current), 'transfer-order'), 'done'), 'settlement-batch')
      expect(next.body).toMatchObject({ seq, totalMinor: 2n, prevHash: batch(one, seq - 1)?.hash })
      expect(next.body.toSeq - next.body.fromSeq + 1).toBe(LIMITS.maxEntriesPerBatch)
      expect(next.body.fromSeq).toBe((bodies.at(-1)?.toSeq ?? 0) + 1)
      expect(pair(one)).toMatchObject({ sentSeq: seq, open: true })
      bodies.push(next.body)
      current = next
    }
    // What is left is below the threshold, and waits for its age.
    expect(kindsOf(one.answer(sent(accept(one, current), 'transfer-order'), 'done'))).toEqual([])
    expect(pair(one)).toMatchObject({ open: false, rangeMinor: 1n })
    expect(one.advance(one.nowMs + HOUR).flatMap(kindsOf)).toContain('settlement-batch')
  })

  it("opens on the operator's word, of the pairs asked for", () => {
    const one = world()
    confirm(one, 'a', 10n)
    confirm(one, 'b', 10n, merchantChain({ mpp: 'sk-mpp' }))
    expect(one.control('settle-now', { mpp: 'hu-nobody' }).reply).toEqual({ ok: true, opened: 0, retried: 0 })
    const decided = one.control('settle-now', { mpp: MPP, currency: 'EUR' })
    expect(decided.reply).toEqual({ ok: true, opened: 1, retried: 0 })
    expect(sent(decided, 'settlement-batch').to).toBe(MPP)
    expect(one.control('settle-now').reply).toEqual({ ok: true, opened: 1, retried: 0 })
    expect(one.control('settle-now').reply).toEqual({ ok: true, opened: 0, retried: 0 })
    expect(one.control('settle-now', { currency: 'XXX' }).reply).toMatchObject({ ok: false, code: 'SCHEMA_VIOLATION' })
  })

  it('holds its own range alone: the next root begins anew', () => {
    const { one, message } = opened()
    one.answer(sent(accept(one, message), 'transfer-order'), 'done')
    confirm(one, 'c', 7n)
    const leaf = pairEntryLeaf({
      pairSeq: 3,
      type: 'dt',
      pnId: one.ledger.get(payments, testId('c'))?.pnId ?? testId('none'),
      payee: 'hu-bakery',
      amountMinor: 7n,
      currency: 'EUR',
    })
    const { body } = sent(one.control('settle-now'), 'settlement-batch')
    expect(body).toMatchObject({ fromSeq: 3, toSeq: 3, totalMinor: 7n, root: rangeRoot(rangeOf([leaf])) })
  })

  it('stays the only open one of its pair; the next continues its chain', () => {
    const { one, message } = opened()
    expect(kindsOf(confirm(one, 'c', 900n))).not.toContain('settlement-batch')
    expect(kindsOf(confirm(one, 'd', 400n))).not.toContain('settlement-batch')
    expect(one.advance(TEST_NOW_MS + 2 * HOUR).flatMap(kindsOf)).not.toContain('settlement-batch')
    const order = sent(accept(one, message), 'transfer-order')
    const next = sent(one.answer(order, 'done'), 'settlement-batch')
    const first = batch(one) as BatchRow
    expect(next.body).toMatchObject({ seq: 2, prevHash: first.hash, fromSeq: 3, toSeq: 4, totalMinor: 1_300n })
    expect(first.hash).toEqual(batchHash(message.body.prevHash, { cpp: CPP, ...message.body }))
  })
})

describe('an acceptance', () => {
  it.each([
    ['of another MPP', { from: 'hu-other' }],
    ['of another sequence number', { seq: 2 }],
    ['of another content', { batchHash: testBytes('other') }],
  ])('%s is SETTLEMENT_UNKNOWN', (_, changes) => {
    const { one, message } = opened()
    expect(accept(one, message, changes).refuse?.code).toBe('SETTLEMENT_UNKNOWN')
    expect(batch(one)?.state).toBe('open')
  })

  it('of no batch is SETTLEMENT_UNKNOWN', () => {
    const { one, message } = opened()
    const unknown = { ...message, body: { ...message.body, batchId: testId('unknown') } }
    expect(accept(one, unknown).refuse?.code).toBe('SETTLEMENT_UNKNOWN')
  })

  it("orders one transfer of the total, and books it at the bank's answer", () => {
    const { one, message } = opened()
    const decided = accept(one, message)
    const order = sent(decided, 'transfer-order')
    expect(order).toMatchObject({
      to: BANK,
      body: {
        debitAccount: `${BANK}:otp-eur`,
        creditAccount: `${BANK}:cosmo`,
        amountMinor: 1_100n,
        currency: 'EUR',
        reference: { purpose: 'settlement', id: message.body.batchId },
      },
    })
    expect(one.ledger.outbox.has(outboxKey('batch', message.body.batchId))).toBe(false)
    expect(pair(one)).toMatchObject({ payableMinor: 1_100n, open: true })
    expect(accept(one, message).refuse?.code).toBe('SETTLEMENT_UNKNOWN')
    one.answer(order, 'done')
    expect(pair(one)).toMatchObject({ payableMinor: 0n, open: false })
    expect(batch(one)).toMatchObject({ state: 'settled', settledAtMs: TEST_NOW_MS })
    expect(one.books.get(`payable:${MPP} EUR`)).toBe(0n)
    expect(one.read('report').pairs).toEqual([
      {
        mpp: MPP,
        currency: 'EUR',
        lastSeq: 2,
        entriesMinor: 1_100n,
        settledMinor: 1_100n,
        payableMinor: 0n,
        openBatches: 0,
      },
    ])
  })

  it('between hosts of one operator is a book transfer: no bank, settled at once', () => {
    const one = world()
    const own = merchantChain({ mppOperator: OPERATOR })
    confirm(one, 'a', 600n, own)
    const message = sent(confirm(one, 'b', 500n, own), 'settlement-batch')
    const decided = accept(one, message)
    expect(kindsOf(decided)).toEqual([])
    expect(pair(one)).toMatchObject({ payableMinor: 0n, open: false })
    expect(one.books.get(`operator:${OPERATOR} EUR`)).toBe(1_100n)
    expect(one.books.get(`payable:${MPP} EUR`)).toBe(0n)
  })

  it('whose transfer is refused stays owed, and is ordered again under a new id', () => {
    const { one, message } = opened()
    const order = sent(accept(one, message), 'transfer-order')
    one.answer(order, 'refused', 'INSUFFICIENT_FUNDS')
    expect(batch(one)).toMatchObject({ state: 'failed', code: failureNumber('INSUFFICIENT_FUNDS') })
    expect(pair(one)).toMatchObject({ payableMinor: 1_100n, open: true })
    expect(one.advance(TEST_NOW_MS + 59_999).flatMap(kindsOf)).toEqual([])
    const again = sent(one.advance(TEST_NOW_MS + 60_000)[0] as Decision, 'transfer-order')
    expect(again.body).toEqual({ ...order.body, orderId: again.body.orderId })
    expect(again.body.orderId).not.toEqual(order.body.orderId)
    one.answer(again, 'done')
    expect(pair(one)).toMatchObject({ payableMinor: 0n, open: false })
    expect(one.ledger.deadlines().filter(({ name }) => name === 'settlement-retry')).toEqual([])
  })

  it("whose transfer is refused is ordered again at once on the operator's word, and only once", () => {
    const { one, message } = opened()
    one.answer(sent(accept(one, message), 'transfer-order'), 'refused', 'INSUFFICIENT_FUNDS')
    expect(sentAll(one.control('settle-now'), 'transfer-order')).toHaveLength(1)
    expect(sentAll(one.control('settle-now'), 'transfer-order')).toHaveLength(0)
    expect(one.advance(TEST_NOW_MS + 10 * 60_000).flatMap(kindsOf)).toEqual([])
  })

  it('of an MPP without an account in the policy waits for the operator', () => {
    const { one, message } = opened(settlementPolicy({ settlementAccounts: {} }))
    expect(kindsOf(accept(one, message))).toEqual([])
    expect(batch(one)?.state).toBe('unpayable')
    one.policy = { ...one.policy, settlementAccounts: { [`${MPP} EUR`]: `${BANK}:new` } }
    const [decided] = one.advance(TEST_NOW_MS + 60_000) as [Decision]
    expect(sent(decided, 'transfer-order').body.creditAccount).toBe(`${BANK}:new`)
  })

  it('that never comes keeps the batch in the outbox; a refused chain is left to people', () => {
    const { one, message } = opened()
    const key = keyOf('batch', message.body.batchId)
    expect(one.ledger.outbox.has(outboxKey('batch', message.body.batchId))).toBe(true)
    one.refused(key, 'settlement-batch', 'BATCH_CHAIN_BROKEN')
    expect(batch(one)?.state).toBe('broken')
    expect(accept(one, message).refuse?.code).toBe('SETTLEMENT_UNKNOWN')
    expect(one.control('settle-now').reply).toEqual({ ok: true, opened: 0, retried: 0 })
  })
})

describe('a dispute', () => {
  /** The entry of `a` says 650 while the payment was of 600. */
  const wrong = (amountMinor = 650n) => {
    const { one, message } = opened()
    const entry = one.ledger.get(pairEntries, MPP, 'EUR', 1)
    if (entry === undefined) throw new Error('no entry')
    one.ledger.put(pairEntries, keyOf(MPP, 'EUR', 1), { ...entry, amountMinor })
    return { one, message }
  }

  it("settles the full total, and an entry that the CPP's own payment shows to be wrong by an adjustment", () => {
    const { one, message } = wrong()
    const before = pair(one)?.payableMinor ?? 0n
    const decided = dispute(one, message, [{ pairSeq: 1, code: 'ENTRY_MISMATCH', amountMinor: 600n }])
    expect(sent(decided, 'transfer-order').body.amountMinor).toBe(1_100n)
    const adjustment = sent(decided, 'pair-adjustment')
    expect(adjustment).toMatchObject({
      to: MPP,
      body: {
        pairSeq: 3,
        amountMinor: -50n,
        batchId: message.body.batchId,
        disputedSeq: 1,
        payee: 'hu-bakery',
        pnId: one.ledger.get(payments, testId('a'))?.pnId,
      },
      delivery: { until: ['adj', adjustment.body.adjustmentId] },
    })
    expect(one.ledger.get(pairEntries, MPP, 'EUR', 3)).toMatchObject({ kind: 'pair-adjustment', amountMinor: -50n })
    expect(pair(one)).toMatchObject({ payableMinor: before - 50n, lastSeq: 3 })
    expect(batch(one)).toMatchObject({
      state: 'ordered',
      disputes: [{ pairSeq: 1, amountMinor: 600n, state: 'adjusted' }],
    })
    expect(one.books.get('adjustments EUR')).toBe(50n)
  })

  it.each([
    ['an entry that is right as it stands', 2, 500n, 'dismissed'],
    ['an entry that the MPP holds at something else', 2, 400n, 'unresolved'],
    ['an entry outside the batch', 3, 0n, 'dismissed'],
    ['a wrong entry, by a wrong amount', 1, 601n, 'unresolved'],
  ])('over %s adjusts nothing', (_, pairSeq, amountMinor, state) => {
    const { one, message } = wrong()
    const decided = dispute(one, message, [{ pairSeq, code: 'ENTRY_MISMATCH', amountMinor }])
    expect(sentAll(decided, 'pair-adjustment')).toEqual([])
    expect(sent(decided, 'transfer-order').body.amountMinor).toBe(1_100n)
    expect(batch(one)?.disputes).toMatchObject([{ pairSeq, state }])
  })

  it('that names one entry twice adjusts it once', () => {
    const { one, message } = wrong()
    const item = { pairSeq: 1, code: 'ENTRY_MISMATCH', amountMinor: 600n } as const
    expect(sentAll(dispute(one, message, [item, item]), 'pair-adjustment')).toHaveLength(1)
    expect(batch(one)?.disputes.map(({ state }) => state)).toEqual(['adjusted', 'dismissed'])
  })

  it('over an entry whose payment was never confirmed takes all of it back', () => {
    const { one, message } = wrong()
    const row = one.ledger.get(payments, testId('a'))
    if (row === undefined) throw new Error('no payment')
    one.ledger.put<PaymentRow>(payments, keyOf(testId('a')), { ...row, state: 'expired' })
    const decided = dispute(one, message, [{ pairSeq: 1, code: 'ENTRY_MISMATCH', amountMinor: 0n }])
    expect(sent(decided, 'pair-adjustment').body.amountMinor).toBe(-650n)
  })

  it('over the whole range, whose amount says nothing of an entry, is left to people', () => {
    const { one, message } = wrong()
    expect(
      sentAll(dispute(one, message, [{ pairSeq: 1, code: 'ROOT_MISMATCH', amountMinor: 600n }]), 'pair-adjustment'),
    ).toEqual([])
    expect(batch(one)?.disputes).toMatchObject([{ pairSeq: 1, state: 'unresolved' }])
  })

  it('over a correction of the operator that the MPP does not hold to be right, takes it back', () => {
    const { one, message } = opened()
    one.answer(sent(accept(one, message), 'transfer-order'), 'done')
    const correct = (args: Record<string, unknown>) =>
      one.control('correct-entry', { mpp: MPP, currency: 'EUR', pairSeq: 1, amountMinor: '50', ...args })
    for (const args of [{ amountMinor: '0' }, { amountMinor: 50 }, { pairSeq: 0 }, { mpp: 'x' }])
      expect(correct(args).reply).toMatchObject({ ok: false, code: 'SCHEMA_VIOLATION' })
    expect(correct({ pairSeq: 3 }).reply).toMatchObject({ ok: false, code: 'NOT_FOUND' })
    const corrected = correct({})
    expect(corrected.reply).toMatchObject({ ok: true, pairSeq: 3, amountMinor: 50n })
    expect(sent(corrected, 'pair-adjustment').body).toMatchObject({
      disputedSeq: 1,
      amountMinor: 50n,
      batchId: message.body.batchId,
    })
    const second = sent(one.control('settle-now'), 'settlement-batch')
    expect(second.body.totalMinor).toBe(50n)
    one.answer(
      sent(dispute(one, second, [{ pairSeq: 3, code: 'ENTRY_MISMATCH', amountMinor: 0n }]), 'transfer-order'),
      'done',
    )
    expect(batch(one, 2)?.disputes).toMatchObject([{ pairSeq: 3, state: 'unresolved' }])
    const batchId = textOf(second.body.batchId).slice(1, -1)
    const taken = one.control('resolve-dispute', { batchId, pairSeq: 3, accept: true })
    expect(sent(taken, 'pair-adjustment').body).toMatchObject({ disputedSeq: 3, amountMinor: -50n })
    expect(pair(one)?.payableMinor).toBe(-50n)
  })

  it("left unresolved is a person's to judge, once", () => {
    const { one, message } = opened()
    const batchId = textOf(message.body.batchId).slice(1, -1)
    const items = [1, 2].map((pairSeq) => ({ pairSeq, code: 'ENTRY_MISMATCH', amountMinor: 1n }) as const)
    one.answer(sent(dispute(one, message, items), 'transfer-order'), 'done')
    expect(one.read('settlements').batches[0].disputes).toMatchObject([
      { code: 'ENTRY_MISMATCH', state: 'unresolved' },
      {},
    ])
    const taken = one.control('resolve-dispute', { batchId, pairSeq: 1, accept: true })
    expect(taken.reply).toMatchObject({ ok: true, adjustedMinor: -599n })
    expect(sent(taken, 'pair-adjustment').body).toMatchObject({ amountMinor: -599n, disputedSeq: 1 })
    const left = one.control('resolve-dispute', { batchId, pairSeq: 2, accept: false })
    expect([left.reply, left.sends]).toMatchObject([{ ok: true, adjustedMinor: 0n }, []])
    for (const pairSeq of [1, 2])
      expect(one.control('resolve-dispute', { batchId, pairSeq, accept: true }).reply).toMatchObject({
        code: 'NOT_FOUND',
      })
    expect(one.control('resolve-dispute', { batchId: 'x', pairSeq: 1, accept: true }).reply).toMatchObject({
      code: 'SCHEMA_VIOLATION',
    })
    expect(pair(one)?.payableMinor).toBe(-599n)
  })

  it('of another MPP, or after the answer, is SETTLEMENT_UNKNOWN', () => {
    const { one, message } = opened()
    accept(one, message)
    expect(dispute(one, message, []).refuse?.code).toBe('SETTLEMENT_UNKNOWN')
  })
})

describe('a negative sum', () => {
  const negative = (operator = MPP) => {
    const one = world()
    const chain = merchantChain({ mppOperator: operator })
    confirm(one, 'a', 600n, chain)
    const message = sent(confirm(one, 'b', 500n, chain), 'settlement-batch')
    const batchId = textOf(message.body.batchId).slice(1, -1)
    const decided = dispute(one, message, [{ pairSeq: 1, code: 'ENTRY_MISMATCH', amountMinor: 1n }])
    const [order] = sentAll(decided, 'transfer-order')
    if (order !== undefined) one.answer(order, 'done')
    one.control('resolve-dispute', { batchId, pairSeq: 1, accept: true })
    return { one, second: sent(one.control('settle-now'), 'settlement-batch') }
  }
  const booked = (
    one: World,
    batchId: Uint8Array,
    changes: { amountMinor?: bigint; account?: string; from?: string } = {},
  ): Decision =>
    one.receive(
      'account-notice',
      {
        noticeId: testId('notice'),
        account: changes.account ?? `${BANK}:otp-eur`,
        amountMinor: changes.amountMinor ?? 599n,
        currency: 'EUR',
        reference: { purpose: 'settlement', id: batchId },
        originatingBank: BANK,
        bookedAtMs: TEST_NOW_MS,
      },
      { from: changes.from ?? BANK },
    )

  it("is paid by the MPP, and settled at the bank's notice of exactly that sum", () => {
    const { one, second } = negative()
    expect(second.body.totalMinor).toBe(-599n)
    expect(kindsOf(accept(one, second))).toEqual([])
    expect(batch(one, 2)?.state).toBe('owed')
    for (const changes of [{ amountMinor: 598n }, { account: `${BANK}:other` }, { from: 'hu-other-bank' }]) {
      expect(kindsOf(booked(one, second.body.batchId, changes))).toEqual(['receipt'])
      expect(batch(one, 2)?.state).toBe('owed')
    }
    const decided = booked(one, second.body.batchId)
    expect(sent(decided, 'receipt')).toMatchObject({ to: BANK, nextHop: { role: 'bank', host: BANK } })
    expect(batch(one, 2)?.state).toBe('settled')
    expect(pair(one)).toMatchObject({ payableMinor: 0n, open: false })
    expect(one.books.get(`payable:${MPP} EUR`)).toBe(0n)
    // Once: another notice of the same booking books nothing.
    const again = booked(one, second.body.batchId)
    expect([kindsOf(again), again.writes, again.postings]).toEqual([['receipt'], [], []])
  })

  it('between hosts of one operator is a book transfer too', () => {
    const { one, second } = negative(OPERATOR)
    accept(one, second)
    expect(batch(one, 2)?.state).toBe('settled')
    expect(one.books.get(`operator:${OPERATOR} EUR`)).toBe(1_100n - 599n)
  })

  it('a notice of anything else is receipted and changes nothing', () => {
    const { one } = negative()
    const decided = booked(one, testId('unknown'))
    expect([kindsOf(decided), decided.writes]).toEqual([['receipt'], []])
  })

  it('of zero is settled at once', () => {
    const { one, second } = negative()
    accept(one, second)
    booked(one, second.body.batchId)
    confirm(one, 'c', 5n)
    const third = sent(one.control('settle-now'), 'settlement-batch')
    const batchId = textOf(third.body.batchId).slice(1, -1)
    one.answer(
      sent(dispute(one, third, [{ pairSeq: 4, code: 'ENTRY_MISMATCH', amountMinor: 0n }]), 'transfer-order'),
      'done',
    )
    confirm(one, 'd', 5n)
    one.control('resolve-dispute', { batchId, pairSeq: 4, accept: true })
    const fourth = sent(one.control('settle-now'), 'settlement-batch')
    expect(fourth.body.totalMinor).toBe(0n)
    expect(kindsOf(accept(one, fourth))).toEqual([])
    expect(batch(one, 4)?.state).toBe('settled')
  })
})

describe('entries that an MPP lacks', () => {
  const ask = (one: World, fromSeq: number, toSeq: number, from = MPP): Decision =>
    one.receive('missing-entries-request', { requestId: testId('request'), currency: 'EUR', fromSeq, toSeq }, { from })

  it('are answered by the frames that made them, found where the runtime keeps them', async () => {
    const asked: unknown[] = []
    const one = world({
      framesOf: async (sentAs) => {
        asked.push(...sentAs)
        return sentAs.map((_, i) => testBytes(`frame ${i}`))
      },
    })
    confirm(one, 'a', 10n)
    confirm(one, 'b', 10n)
    const pnId = one.ledger.get(payments, testId('a'))?.pnId ?? testId('none')
    expect(kindsOf(ask(one, 1, 2))).toEqual([])
    const [answered] = (await one.finishJobs()) as [Decision]
    expect(sent(answered, 'missing-entries')).toMatchObject({
      to: MPP,
      body: { requestId: testId('request'), currency: 'EUR', entries: [testBytes('frame 0'), testBytes('frame 1')] },
    })
    expect(asked[0]).toEqual({
      answers: requestRef('countersigned-decision', { from: MPP } as never, { pnId }),
    })
  })

  it("that do not exist, or are another pair's, are NOT_FOUND", () => {
    const one = world()
    confirm(one, 'a', 10n)
    expect(ask(one, 2, 5).refuse?.code).toBe('NOT_FOUND')
    expect(ask(one, 1, 1, 'hu-other').refuse?.code).toBe('NOT_FOUND')
    expect(ask(one, 2, 1).refuse?.code).toBe('NOT_FOUND')
  })

  it('come bounded in number and in bytes: a contiguous beginning of what was asked for', async () => {
    const one = world({ framesOf: async (sentAs) => sentAs.map((_, i) => (i === 2 ? undefined : testBytes(`${i}`))) })
    for (let i = 0; i < 5; i++) confirm(one, `tx ${i}`, 1n)
    ask(one, 1, 5)
    const [answered] = (await one.finishJobs()) as [Decision]
    expect(sent(answered, 'missing-entries').body.entries).toHaveLength(2)

    const large = world({ framesOf: async (sentAs) => sentAs.map(() => new Uint8Array(30_000)) })
    for (let i = 0; i < 5; i++) confirm(large, `tx ${i}`, 1n)
    ask(large, 1, 5)
    const [bounded] = (await large.finishJobs()) as [Decision]
    expect(sent(bounded, 'missing-entries').body.entries).toHaveLength(2)
  })

  it('are gathered again after a crash, for the request never comes a second time', async () => {
    const one = world()
    confirm(one, 'a', 10n)
    ask(one, 1, 1)
    one.jobs.length = 0
    one.start()
    const [answered] = (await one.finishJobs()) as [Decision]
    expect(sent(answered, 'missing-entries').body.entries).toHaveLength(1)
    one.start()
    expect(one.jobs).toEqual([])
  })
})
