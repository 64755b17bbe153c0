/**
 * Money under any interleaving: payments of several customers to several payees, decisions in any order, approvals and rejects,
 * silence, bank answers at any time, collections that fail, settlements that are disputed, retried and paid. After every
 * event the books must hold; once everything is quiet, every payment must be decided.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { batchHash } from '../../protocol/mountain-range.ts'
import type { CppReport, PaymentLine } from '../runtime/reports.ts'
import type { Message } from '../runtime/node.ts'
import { dues } from './aggregation-state.ts'
import { PAGE_JOB } from './decide-thresholds.ts'
import { aggregationPolicy, type AggregationSettings } from './policies.ts'
import { keyOf } from '../runtime/table.ts'
import { ENTRY, invoices, ledger, payments, transLocks, waiting } from './state.ts'
import { pairs } from './state-pairs.ts'
import {
  CPP,
  MPP,
  OPERATOR,
  createWorld,
  merchantChain,
  sent,
  sentAll,
  type Sent,
  type World,
} from './testing/world.ts'

const CUSTOMERS = ['hu-alice', 'hu-bob'] as const
const MPPS = [
  { mpp: MPP, operator: MPP, merchant: merchantChain() },
  { mpp: 'hu-own', operator: OPERATOR, merchant: merchantChain({ mpp: 'hu-own', mppOperator: OPERATOR }) },
] as const

const event = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('pay' as const),
      who: fc.nat(1),
      where: fc.nat(1),
      amount: fc.bigInt({ min: 1n, max: 1_200n }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constantFrom('approve' as const, 'approve' as const, 'reject' as const),
      pick: fc.nat(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constantFrom('done' as const, 'done' as const, 'refused' as const),
      pick: fc.nat(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('settle' as const),
      pick: fc.nat(),
      amount: fc.bigInt({ min: 0n, max: 1_200n }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.nat({ max: 30_000 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('change' as const), pick: fc.nat() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom('resume' as const, 'collect' as const, 'write-off' as const, 'settle-now' as const),
      who: fc.nat(1),
    }),
  },
)
type Event = typeof event extends fc.Arbitrary<infer E> ? E : never

/** Everything that is still to be answered, as the world outside sees it. */
const play = (
  aggregation: AggregationSettings,
  events: readonly Event[],
  check: (one: World, seen: Seen) => void,
  changes: readonly AggregationSettings[] = [],
) => {
  const one = createWorld({
    policy: {
      aggregation,
      collectionRetry: { firstMs: 20_000, maxMs: 60_000, maxRetries: 3 },
      settlement: { thresholdMinor: { EUR: 1_500n }, maxAgeMs: 50_000, retryMs: 5_000 },
      settlementAccounts: { [MPP]: 'hu-kh:cosmo', 'hu-own': 'hu-kh:own' },
    },
  })
  for (const customer of CUSTOMERS) one.enrol(customer)
  const seen: Seen = { notices: [], orders: [], batches: [], booked: new Map(), collections: [], read: 0, bulks: 0 }
  let payment = 0
  const look = (): void => {
    for (; seen.read < one.ledger.sent.length; seen.read++) {
      const message = one.ledger.sent[seen.read] as Message
      if (message.kind === 'payment-notice') seen.notices.push(message)
      else if (message.kind === 'settlement-batch') seen.batches.push(message)
      else if (message.kind === 'bulk-transfer-order') {
        seen.orders.push(message)
        seen.bulks += 1
      } else if (
        message.kind === 'transfer-order' ||
        message.kind === 'post-order' ||
        message.kind === 'hold-order' ||
        message.kind === 'void-order'
      ) {
        seen.orders.push(message)
        if (message.kind === 'transfer-order' && message.body.reference.purpose === 'collection')
          seen.collections.push(message)
      }
    }
    check(one, seen)
  }
  const take = <T>(from: T[], pick: number): T | undefined =>
    from.length === 0 ? undefined : from.splice(pick % from.length, 1)[0]
  const act = (given: Event): void => {
    switch (given.type) {
      case 'pay': {
        const { merchant } = MPPS[given.where] as (typeof MPPS)[number]
        const tx = `tx ${(payment += 1)}`
        one.pay({
          customer: CUSTOMERS[given.who] as string,
          tx,
          amountMinor: given.amount,
          merchant,
          expiresAtMs: one.nowMs + 60_000,
        })
        return
      }
      case 'approve':
      case 'reject': {
        const notice = take(seen.notices, given.pick)
        const mpp = MPPS.find(({ mpp: id }) => id === mppOf(one, notice))?.mpp
        if (notice !== undefined && mpp !== undefined) one.decide(notice, { decision: given.type, from: mpp })
        return
      }
      case 'done':
      case 'refused': {
        const order = take(seen.orders, given.pick)
        if (order === undefined) return
        if (order.kind === 'bulk-transfer-order') {
          // Item by item: of a refused order every second one is booked all the same.
          const isBooked = (at: number): boolean => given.type === 'done' || at % 2 === 1
          order.body.items.forEach(({ debitAccount, amountMinor }, at) => {
            const purpose = `collection ${debitAccount}`
            if (isBooked(at)) seen.booked.set(purpose, (seen.booked.get(purpose) ?? 0n) + amountMinor)
          })
          one.answerBulk(order, (item) => (isBooked(order.body.items.indexOf(item)) ? undefined : 'INSUFFICIENT_FUNDS'))
          return
        }
        if (order.kind === 'transfer-order' && given.type === 'done') {
          const { debitAccount, amountMinor, reference } = order.body
          const purpose = `${reference.purpose} ${debitAccount}`
          seen.booked.set(purpose, (seen.booked.get(purpose) ?? 0n) + amountMinor)
        }
        one.answer(
          order,
          given.type,
          given.type === 'refused' && order.kind !== 'void-order' ? 'INSUFFICIENT_FUNDS' : undefined,
        )
        return
      }
      case 'settle': {
        const batch = take(seen.batches, given.pick)
        if (batch !== undefined) answerBatch(one, batch, given.amount)
        return
      }
      case 'wait':
        one.advance(one.nowMs + given.ms)
        return
      case 'resume':
      case 'collect':
      case 'write-off':
        one.control(`${given.type}-customer`, { customer: CUSTOMERS[given.who] })
        return
      case 'settle-now':
        one.control('settle-now')
        return
      case 'change': {
        const next = changes[given.pick % changes.length]
        if (next === undefined) return
        one.setPolicy({ aggregation: next })
        turnPages(one)
      }
    }
  }
  for (const next of events) {
    act(next)
    look()
  }
  // Then everybody answers, time passes, and nothing new begins.
  for (let round = 0; round < 12; round++) {
    while (seen.notices.length + seen.orders.length + seen.batches.length > 0) {
      act({ type: 'approve', pick: 0 })
      act({ type: 'done', pick: 0 })
      act({ type: 'settle', pick: 0, amount: 0n })
      look()
    }
    one.advance(one.nowMs + 60_000)
    look()
  }
  return { one, seen }
}
type Seen = {
  read: number
  bulks: number
  readonly notices: Sent<'payment-notice'>[]
  readonly orders: (
    Sent<'bulk-transfer-order'> | Sent<'transfer-order'> | Sent<'post-order'> | Sent<'hold-order'> | Sent<'void-order'>
  )[]
  readonly batches: Sent<'settlement-batch'>[]
  readonly collections: Sent<'transfer-order'>[]
  /** Σ booked transfers by purpose and debited account: what the bank says. */
  readonly booked: Map<string, bigint>
}
/** What a walk over all customers asks for, page after page; what is clustered has its own tests. */
const turnPages = (one: World): void => {
  for (let job = one.jobs.shift(); job !== undefined; job = one.jobs.shift())
    if (job.name === PAGE_JOB) one.finish(job, null)
}

const mppOf = (one: World, notice: Sent<'payment-notice'> | undefined): string | undefined =>
  one.ledger
    .rows(payments)
    .find(({ pnId }) => notice !== undefined && pnId !== undefined && Buffer.from(pnId).equals(notice.body.pnId))?.mpp

/** Even amounts accept, odd ones dispute the first entry at that amount. */
const answerBatch = (one: World, { body }: Sent<'settlement-batch'>, amountMinor: bigint): void => {
  const { batchId, seq, mpp: from } = body
  const common = { batchId, seq, batchHash: batchHash(body.prevHash, { cpp: CPP, ...body }) }
  if (amountMinor % 2n === 0n) one.receive('settlement-acceptance', common, { from })
  else
    one.receive(
      'settlement-dispute',
      { ...common, items: [{ pairSeq: body.fromSeq, code: 8004, amountMinor }] },
      { from },
    )
}

const totalsOf = (one: World) =>
  CUSTOMERS.map((customer) => {
    const row = one.ledger.get(ledger, customer)
    if (row?.kind !== 0) throw new Error('no total')
    return { customer, ...row }
  })
const sum = (values: Iterable<bigint>): bigint => [...values].reduce((total, value) => total + value, 0n)
const linesOf = (one: World): readonly PaymentLine[] => one.read('payments', { limit: 10_000 }).payments

/** Design §8.1, 8.2, 8.3 and the bound, from rows, books, and what the outside saw: three sources that must agree. */
const checkBooks = (one: World, seen: Seen): void => {
  const report: CppReport = one.read('report')
  const lines = linesOf(one)
  const confirmed = (customer: string): bigint =>
    sum(
      lines
        .filter((line) => line.customer === customer && line.mode === 'micro' && line.state === 'confirmed')
        .map(({ amountMinor }) => amountMinor),
    )
  for (const { customer, outstandingMinor, collectingMinor, pendingMinor } of totalsOf(one)) {
    const collected = seen.booked.get(`collection hu-kh:${customer.slice(3)}`) ?? 0n
    const entries = [...one.ledger.scan(ledger, [customer], { from: [1] })].map(([, row]) => row)
    const writtenOff = sum(
      entries.filter(({ kind }) => kind === ENTRY.writeOff).map((row) => ('amountMinor' in row ? row.amountMinor : 0n)),
    )
    expect(outstandingMinor).toBe(confirmed(customer) - collected - writtenOff)
    expect(one.books.get(`customer:${customer} EUR`) ?? 0n).toBe(-outstandingMinor)
    expect(collectingMinor === 0n || collectingMinor <= outstandingMinor).toBe(true)
    const notified = lines.filter(
      (line) => line.customer === customer && line.mode === 'micro' && line.state === 'notified',
    )
    expect(pendingMinor).toBe(sum(notified.map(({ amountMinor }) => amountMinor)))
  }
  expect(report.boundBreaches).toBe(0)
  expect(sum(one.books.values())).toBe(0n)
  for (const pair of report.pairs) {
    expect(pair.payableMinor).toBe(pair.entriesMinor - pair.settledMinor)
    expect(one.books.get(`payable:${pair.mpp} ${pair.currency}`) ?? 0n).toBe(pair.payableMinor)
    expect(pair.openBatches).toBeLessThanOrEqual(1)
    const micro = lines.filter(({ mode, mpp, state }) => mode === 'micro' && mpp === pair.mpp && state === 'confirmed')
    const row = one.ledger.get(pairs, pair.mpp, 'EUR')
    expect(pair.lastSeq).toBe(row?.lastSeq)
    // The sequence is gapless: as many entries as its last number; adjustments are the rest.
    expect(pair.entriesMinor - sum(micro.map(({ amountMinor }) => amountMinor))).toBe(adjustments(one, pair.mpp))
  }
}
const adjustments = (one: World, mpp: string): bigint =>
  sum(
    one.ledger.sent.flatMap((message) =>
      'kind' in message && message.kind === 'pair-adjustment' && message.to === mpp ? [message.body.amountMinor] : [],
    ),
  )

const SETTINGS = {
  threshold: [1_000n, 400n, 50n].map((θ) => ({
    policy: 'threshold' as const,
    thresholdMinor: { EUR: θ },
    maxDebtAgeMs: 100_000,
  })),
  window: [20_000, 100_000].map((windowMs) => ({
    policy: 'window' as const,
    thresholdMinor: { EUR: 400n },
    windowMs,
    maxDebtAgeMs: 100_000,
  })),
  bulk: [50n, 300n].map((mark) => ({
    policy: 'bulk' as const,
    windowMs: 20_000,
    lowWaterMinor: { EUR: mark },
    maxDebtAgeMs: 60_000,
  })),
  kmeans: [{ policy: 'kmeans' as const, thetaMinMinor: { EUR: 40n }, maxDebtAgeMs: 100_000 }],
} satisfies Readonly<Record<string, readonly AggregationSettings[]>>
const ALL: readonly AggregationSettings[] = Object.values(SETTINGS).flat()

/** Whoever owes has a moment at which it is collected: a deadline, a running collection, the next bulk order, or a retry. */
const checkMoments = (one: World): void => {
  const armed = (name: string, customer: string): number =>
    one.ledger.deadlines().filter((row) => row.name === name && Buffer.from(row.key).equals(keyOf(customer))).length
  const entered = one.ledger.rows(dues).map(({ customer }) => customer)
  const windows = one.ledger.deadlines().filter(({ name }) => name === 'bulk-window').length
  for (const { customer, outstandingMinor, collectingMinor, suspendedAtMs } of totalsOf(one)) {
    expect(armed('debt-age', customer)).toBeLessThanOrEqual(1)
    expect(armed('collection-retry', customer)).toBeLessThanOrEqual(1)
    if (entered.includes(customer)) expect(windows).toBeGreaterThan(0)
    if (outstandingMinor === 0n || collectingMinor > 0n || suspendedAtMs !== 0) continue
    expect(armed('debt-age', customer) + (entered.includes(customer) ? 1 : 0)).toBeGreaterThan(0)
    const rules = aggregationPolicy(one.policy.aggregation)
    const mark = rules.lowWaterMinor('EUR')
    if (mark !== undefined && outstandingMinor >= mark) expect(entered).toContain(customer)
  }
}

describe.each(Object.entries(SETTINGS))('any interleaving under %s', (name, settings) => {
  it('keeps every sum, and ends with everything decided', () => {
    // Most under the paper's own, which the others build on.
    const numRuns = name === 'threshold' ? 60 : 12
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 60 }),
        fc.constantFrom<AggregationSettings>(...settings),
        (events, first) => {
          const check = (one: World, seen: Seen): void => {
            checkBooks(one, seen)
            checkMoments(one)
          }
          // The others change the policy on the way, to any other and back.
          const { one, seen } = play(first, events, check, name === 'threshold' ? [] : [...settings, ...ALL])
          const report: CppReport = one.read('report')
          // Every payment is decided, nothing is owed to an MPP, nothing waits for an answer.
          expect(report.undecided).toEqual({})
          for (const pair of report.pairs) expect([pair.payableMinor, pair.openBatches]).toEqual([0n, 0])
          const left = [...one.ledger.outbox.values()].map((message) => ('kind' in message ? message.kind : 'relay'))
          expect(left.filter((kind) => kind !== 'payment-outcome' && kind !== 'pair-adjustment')).toEqual([])
          // What the customers' accounts paid is what was collected, order by order.
          const collected = sum(
            [...seen.booked].filter(([purpose]) => purpose.startsWith('collection')).map(([, amount]) => amount),
          )
          expect(report.totals[0]?.collectedMinor ?? 0n).toBe(collected)
          // A TRANS is locked if and only if it was paid.
          const paid = linesOf(one).filter(({ state }) => state === 'confirmed').length
          expect(one.ledger.rows(transLocks).map(({ paid: done }) => done)).toEqual(
            Array.from({ length: paid }, () => true),
          )
          expect(one.ledger.rows(waiting)).toEqual([])
          expect(one.ledger.rows(invoices)).toEqual([])
        },
      ),
      { numRuns },
    )
  }, 60_000)
})

describe('collections', () => {
  const amounts = fc.array(fc.record({ amount: fc.bigInt({ min: 1n, max: 999n }), approved: fc.boolean() }), {
    maxLength: 40,
  })

  it.each(['threshold', 'window', 'bulk', 'kmeans'] as const)(
    "under %s, one payment after the other equal an independent replay of the paper's rule",
    (policy) => {
      fc.assert(
        fc.property(amounts, fc.constantFrom(1_000n, 300n), (given, θ) => {
          // Within one window: between two windows each policy collects at the crossing alone.
          const aggregation = { policy, thresholdMinor: { EUR: θ }, maxDebtAgeMs: 100_000 }
          const one = createWorld({ policy: { aggregation } })
          one.enrol('hu-alice', policy === 'kmeans' ? { assignedThresholdMinor: θ } : {})
          const orders: bigint[] = []
          for (const [i, { amount, approved }] of given.entries()) {
            let decided = one.pay({ tx: `tx ${i}`, amountMinor: amount })
            const [order] = sentAll(decided, 'transfer-order')
            if (order !== undefined) {
              expect(sentAll(decided, 'payment-notice')).toEqual([])
              orders.push(order.body.amountMinor)
              decided = one.answer(order, 'done')
            }
            one.decide(sent(decided, 'payment-notice'), { decision: approved ? 'approve' : 'reject' })
          }
          // The replay: no queue, no pending, no states; only the paper's sentence.
          const expected: bigint[] = []
          let owed = 0n
          for (const { amount, approved } of given) {
            if (owed > 0n && owed + amount >= θ) {
              expected.push(owed)
              owed = 0n
            }
            if (approved) owed += amount
          }
          expect(orders).toEqual(expected)
          expect(outstandingOf(one)).toBe(owed)
        }),
        { numRuns: policy === 'threshold' ? 60 : 20 },
      )
    },
    60_000,
  )

  it('with up to 64 in flight stay below the bound on bank transfers', () => {
    fc.assert(
      fc.property(
        fc.array(fc.bigInt({ min: 1n, max: 999n }), { minLength: 1, maxLength: 64 }),
        fc.infiniteStream(fc.nat()),
        (given, picks) => {
          const one = createWorld()
          one.enrol('hu-alice')
          for (const [i, amountMinor] of given.entries()) one.pay({ tx: `tx ${i}`, amountMinor })
          const open: Message[] = []
          let read = 0
          let collections = 0n
          const look = (): void => {
            for (; read < one.ledger.sent.length; read++) {
              const message = one.ledger.sent[read] as Message
              if (message.kind === 'payment-notice' || message.kind === 'transfer-order') open.push(message)
              if (message.kind === 'transfer-order') collections += 1n
            }
          }
          for (look(); open.length > 0; look()) {
            const [next] = open.splice((picks.next().value ?? 0) % open.length, 1) as [Message]
            if (next.kind === 'payment-notice') one.decide(next)
            else one.answer(next, 'done')
          }
          expect((one.read('report') as CppReport).undecided).toEqual({})
          expect(collections <= (2n * sum(given)) / 1_000n + 1n).toBe(true)
        },
      ),
      { numRuns: 30 },
    )
  }, 60_000)
})
const outstandingOf = (one: World): bigint => {
  const row = one.ledger.get(ledger, 'hu-alice')
  return row?.kind === 0 ? row.outstandingMinor : -1n
}
