import { describe, expect, it } from 'vitest'
import type { Decision } from '../runtime/node.ts'
import { TEST_NOW_MS } from '../runtime/testing.ts'
import { bulkOrders, dues, passes, thetaTables } from './aggregation-state.ts'
import { PAGE_JOB } from './decide-thresholds.ts'
import { windowEnd, type AggregationSettings } from './policies.ts'
import { DAY, HOUR } from './policy-fields.ts'
import { customers, ledger } from './state.ts'
import { createWorld, kindsOf, sent, sentAll, type World } from './testing/world.ts'

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
const debtAges = (one: World) => one.ledger.deadlines().filter(({ name }) => name === 'debt-age')
const many = (count: number, policy: AggregationSettings = { policy: 'threshold' }): World => {
  const one = createWorld({ policy: { aggregation: policy } })
  for (let i = 0; i < count; i++) one.enrol(nameOf(i))
  return one
}
const nameOf = (i: number): string => `hu-c${String(i).padStart(3, '0')}`
const change = async (one: World, aggregation: AggregationSettings): Promise<Decision> => {
  const decided = one.setPolicy({ aggregation })
  await one.finishJobs()
  return decided
}
const collectedUntil = (one: World, atMs: number): readonly bigint[] =>
  one
    .advance(atMs)
    .flatMap((decided) => [
      ...sentAll(decided, 'transfer-order').map(({ body }) => body.amountMinor),
      ...sentAll(decided, 'bulk-transfer-order').flatMap(({ body }) =>
        body.items.map(({ amountMinor }) => amountMinor),
      ),
    ])

describe('a change of the policy', () => {
  it('gives everybody who owes the windows of the new one, page after page', async () => {
    const one = many(150)
    for (let i = 0; i < 150; i += 2) confirm(one, nameOf(i), 100n)
    expect(new Set(debtAges(one).map(({ atMs }) => atMs))).toEqual(new Set([TEST_NOW_MS + 30 * DAY]))
    const decided = await change(one, { policy: 'window', windowMs: HOUR })
    expect(decided.jobs.map(({ name }) => name)).toEqual([PAGE_JOB])
    const end = windowEnd(TEST_NOW_MS, HOUR)
    expect(debtAges(one).map(({ atMs }) => atMs)).toEqual(Array.from({ length: 75 }, () => end))
    expect(one.ledger.get(passes, 'moments')).toMatchObject({ step: 'done', run: 1 })
    expect(collectedUntil(one, end - 1)).toEqual([])
    expect(collectedUntil(one, end)).toEqual(Array.from({ length: 75 }, () => 100n))
  })

  it('does not collect at once what is due by it already, but at the end of its first window', async () => {
    const one = many(1)
    confirm(one, nameOf(0), 100n)
    one.nowMs += 5 * DAY
    await change(one, { policy: 'window', windowMs: HOUR })
    expect(collectedUntil(one, windowEnd(one.nowMs, HOUR) - 1)).toEqual([])
    expect(collectedUntil(one, windowEnd(one.nowMs, HOUR))).toEqual([100n])
  })

  it('to bulk enters who owes enough, and from bulk leaves nobody entered', async () => {
    const one = many(3)
    confirm(one, nameOf(0), 100n)
    confirm(one, nameOf(1), 300n)
    await change(one, { policy: 'bulk', windowMs: HOUR, lowWaterMinor: { EUR: 200n } })
    expect(one.ledger.rows(dues)).toEqual([{ customer: nameOf(1) }])
    await change(one, { policy: 'bulk', windowMs: HOUR, lowWaterMinor: { EUR: 50n } })
    expect(one.ledger.rows(dues)).toEqual([{ customer: nameOf(0) }, { customer: nameOf(1) }])
    await change(one, { policy: 'threshold', maxDebtAgeMs: 2 * DAY })
    expect(one.ledger.rows(dues)).toEqual([])
    expect(collectedUntil(one, TEST_NOW_MS + 2 * DAY - 1)).toEqual([])
    expect(collectedUntil(one, TEST_NOW_MS + 2 * DAY)).toEqual([100n, 300n])
    expect(one.ledger.rows(bulkOrders)).toEqual([])
  })

  it('while a collection runs, or a customer is suspended, leaves the answer to set the moments', async () => {
    const one = many(2)
    for (const i of [0, 1]) confirm(one, nameOf(i), 500n)
    const running = sent(one.control('collect-customer', { customer: nameOf(0) }), 'transfer-order')
    one.answer(
      sent(one.control('collect-customer', { customer: nameOf(1) }), 'transfer-order'),
      'refused',
      'INSUFFICIENT_FUNDS',
    )
    confirm(one, nameOf(0), 300n)
    await change(one, { policy: 'bulk', windowMs: 10 * HOUR })
    expect([one.ledger.rows(dues), debtAges(one)]).toEqual([[], []])
    one.answer(running, 'done')
    expect(one.ledger.rows(dues)).toEqual([{ customer: nameOf(0) }])
    expect(debtAges(one)).toHaveLength(1)
  })

  it('that changes nothing of the aggregation walks through nobody', async () => {
    const one = many(2)
    await change(one, { policy: 'window' })
    expect(one.setPolicy({ noticeLifetimeMs: 5_000 })).toMatchObject({ writes: [], jobs: [] })
  })

  it('interrupted by a restart goes on, and a page that came twice counts once', () => {
    const one = many(150)
    for (let i = 0; i < 150; i++) confirm(one, nameOf(i), 10n)
    const [page] = one.setPolicy({ aggregation: { policy: 'window', windowMs: HOUR } }).jobs
    const turn = (): Decision =>
      (one.definition.finished[PAGE_JOB] as (read: unknown, event: unknown, ctx: unknown) => Decision)(
        one.ledger,
        { ...page, result: null },
        { policy: one.policy, nowMs: one.nowMs },
      )
    one.ledger.apply(turn())
    expect(turn()).toMatchObject({ writes: [], jobs: [] })
    const [resumed] = one.start().jobs.filter(({ name }) => name === PAGE_JOB)
    expect(resumed?.input).toMatchObject({ name: 'moments', step: 'rearm', after: nameOf(63) })
  })

  it('replaced by another before its walk ended begins anew', async () => {
    const one = many(150)
    for (let i = 0; i < 150; i++) confirm(one, nameOf(i), 10n)
    one.setPolicy({ aggregation: { policy: 'window', windowMs: HOUR } })
    one.setPolicy({ aggregation: { policy: 'window', windowMs: 2 * HOUR } })
    await one.finishJobs()
    const end = windowEnd(TEST_NOW_MS, 2 * HOUR)
    expect(new Set(debtAges(one).map(({ atMs }) => atMs))).toEqual(new Set([end]))
    expect(debtAges(one)).toHaveLength(150)
  })
})

describe('kmeans', () => {
  const KMEANS: AggregationSettings = { policy: 'kmeans', minCustomers: 20, recomputeEveryMs: DAY, seed: 3 }
  /** Half pay little and seldom, half much and often. */
  const crowd = (count: number): World => {
    const one = many(count)
    for (let day = 0; day < 3; day++) {
      for (let i = 0; i < count; i++) {
        const often = i % 2 === 1
        for (let n = 0; n < (often ? 3 : 1); n++)
          confirm(one, nameOf(i), often ? 60n + BigInt(i % 7) : 4n + BigInt(i % 3))
      }
      one.nowMs += DAY
    }
    return one
  }
  const assigned = (one: World, i: number) => one.ledger.get(customers, nameOf(i))

  it('gives each customer the θ of their cluster, from a table kept with its version', async () => {
    const one = crowd(24)
    await change(one, KMEANS)
    const [table] = one.ledger.rows(thetaTables)
    expect(table).toMatchObject({ version: 1, currency: 'EUR', customers: 24 })
    expect(table?.k).toBeGreaterThanOrEqual(2)
    const θ = (i: number): bigint => assigned(one, i)?.assignedThresholdMinor ?? 0n
    for (let i = 0; i < 24; i += 2) {
      expect(assigned(one, i)?.thresholdVersion).toBe(1)
      expect(θ(i) > 0n && θ(i) < θ(i + 1)).toBe(true)
      expect(table?.clusters.map(({ thresholdMinor }) => thresholdMinor)).toContain(θ(i))
    }
    expect(one.read('thresholds')).toMatchObject({ policy: 'kmeans', step: 'done', tables: [{ version: 1 }] })
  })

  it('θ of the table is the one in force at admission: it collects where it says, and the bound holds', async () => {
    const one = crowd(24)
    await change(one, { ...KMEANS, feeMinor: { EUR: 1n }, thetaMinMinor: { EUR: 20n } })
    const customer = nameOf(0)
    const θ = assigned(one, 0)?.assignedThresholdMinor ?? 0n
    const before = totalOf(one, customer).outstandingMinor
    const order = sent(
      one.pay({ customer, tx: 'crossing', amountMinor: θ - before, expiresAtMs: one.nowMs + 60_000 }),
      'transfer-order',
    )
    expect(order.body.amountMinor).toBe(before)
    one.answer(order, 'done')
    expect(totalOf(one, customer)).toMatchObject({ pendingMinor: θ - before, thresholdMinor: θ })
    expect(one.read('report')).toMatchObject({ boundBreaches: 0 })
  })

  it('falls back to `threshold` with too little data', async () => {
    const one = crowd(10)
    await change(one, KMEANS)
    expect(one.ledger.rows(thetaTables)).toEqual([])
    expect(assigned(one, 0)?.assignedThresholdMinor).toBeUndefined()
    expect(one.ledger.get(passes, 'thresholds')).toMatchObject({ step: 'done' })
    const customer = nameOf(1)
    const before = totalOf(one, customer).outstandingMinor
    const fits = 999n - before
    expect(kindsOf(one.pay({ customer, tx: 'fits', amountMinor: fits, expiresAtMs: one.nowMs + 60_000 }))).toEqual([
      'payment-notice',
    ])
  })

  it('is computed anew at its hour, under a new version, and no more under another policy', async () => {
    const one = crowd(24)
    await change(one, KMEANS)
    one.advance(windowEnd(one.nowMs, DAY))
    await one.finishJobs()
    expect(one.ledger.rows(thetaTables).map(({ version }) => version)).toEqual([1, 2])
    await change(one, { policy: 'threshold' })
    one.advance(one.nowMs + 3 * DAY)
    await one.finishJobs()
    expect(one.ledger.rows(thetaTables)).toHaveLength(2)
  })

  it('looks at a page of customers an event, never at all of them', async () => {
    const one = crowd(24)
    one.setPolicy({ aggregation: KMEANS })
    const visited: number[] = []
    for (let job = one.jobs.shift(); job !== undefined; job = one.jobs.shift()) {
      const result = await one.definition.jobs[job.name]?.(job.input)
      let seen = 0
      const counting = {
        ...one.ledger,
        scan: function* (...args: Parameters<typeof one.ledger.scan>) {
          for (const row of one.ledger.scan(...args)) {
            if (args[0].name === customers.name) seen += 1
            yield row
          }
        },
      }
      const finished = one.definition.finished[job.name] as (read: unknown, event: unknown, ctx: unknown) => Decision
      const decided = finished(counting, { ...job, result }, { policy: one.policy, nowMs: one.nowMs })
      one.ledger.apply(decided)
      one.jobs.push(...decided.jobs)
      visited.push(seen)
    }
    expect(one.ledger.rows(thetaTables)).toHaveLength(1)
    expect(visited.length).toBeGreaterThan(8)
    // 64 to set moments anew, which cost nothing but rows; 8 where entries are read; two more to know whether it was the last page.
    expect(visited.filter((seen) => seen > 10)).toHaveLength(1)
  })
})
