/**
 * What changes for all customers at once: their moments under a new policy, and their θ under `kmeans`. Both are walks over all
 * customers, a page an event, each page asked for by a job that does nothing: what comes meanwhile is decided between two pages. A
 * walk goes on after a restart from where its row says.
 *
 *   rearm    ← the settings of the aggregation changed → done
 *   gather   ← every `recomputeEveryMs` under `kmeans`, and when it is set: a sample of what customers are like → compute
 *   compute  the clustering, a job → assign, or done with too little data (whoever has a θ keeps it, the others have `threshold`'s)
 *   assign   each customer whose θ is another than before → done
 */
import type { Currency } from '../../protocol/amount.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { hash } from '../../protocol/hash.ts'
import { toJson } from '../runtime/json.ts'
import {
  decision,
  put,
  type Context,
  type Decision,
  type DeadlineEvent,
  type Job,
  type JobEvent,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { account, putCustomer } from './account.ts'
import { armed, CURRENT, passes, samples, thetaTables, type PassRow, type ThetaTableRow } from './aggregation-state.ts'
import { featuresOf } from './features.ts'
import { featuresToRow, nearestCluster } from './kmeans.ts'
import { totalOf } from './load.ts'
import { combineParts, type Part } from './parts.ts'
import { recomputeEveryMs, windowEnd, type KmeansSettings } from './policies.ts'
import type { CppPolicy } from './policy.ts'
import { rearm } from './schedule.ts'
import { customers, type CustomerRow } from './state.ts'
import type { ThetaInput, ThetaResult } from './theta-job.ts'

type Ctx = Context<CppPolicy>
type PassName = 'moments' | 'thresholds'

export const PAGE_JOB = 'aggregation-page'
export const THETA_JOB = 'compute-thresholds'
export const RECOMPUTE = 'recompute-thresholds'

/** Customers of a page: a millisecond or two of work, whatever the step. */
const PAGE = { rearm: 64, gather: 8, assign: 8 } as const
/** Customers of a currency that a table is computed from: drawn evenly from all. */
const SAMPLE = 1_024

type Page = { readonly name: PassName; readonly run: number; readonly step: PassRow['step']; readonly after: string }
const pageJob = (name: PassName, { run, step, after }: PassRow): Job => ({
  name: PAGE_JOB,
  input: { name, run, step, after } satisfies Page,
})
const goOn = (name: PassName, pass: PassRow): Part => ({
  writes: [put(passes, keyOf(name), pass)],
  jobs: pass.step === 'done' ? [] : [pageJob(name, pass)],
})
const begin = (read: Reader, name: PassName, step: PassRow['step']): PassRow => ({
  run: (read.get(passes, name)?.run ?? 0) + 1,
  step,
  after: '',
  seen: [],
})

/** The policy is another than before: every customer's moments follow it, and under `kmeans` every θ is computed. */
export const policyChanged = (read: Reader, _event: Record<string, never>, context: Ctx): Decision => {
  const { aggregation } = context.policy
  const settings = toJson(aggregation)
  if (read.get(armed, CURRENT)?.settings === settings) return decision()
  const someone = [...read.scan(customers, [], { limit: 1 })].length > 0
  return combineParts([
    {
      writes: [put(armed, keyOf(CURRENT), { settings })],
      record: { event: 'aggregation-changed', ids: [], fields: { policy: aggregation.policy } },
    },
    someone ? goOn('moments', begin(read, 'moments', 'rearm')) : {},
    aggregation.policy === 'kmeans' ? recompute(read, aggregation, context) : {},
  ])
}

const recompute = (read: Reader, settings: KmeansSettings, { nowMs }: Ctx): Part =>
  combineParts([
    goOn('thresholds', begin(read, 'thresholds', 'gather')),
    { set: [{ name: RECOMPUTE, key: keyOf(CURRENT), atMs: windowEnd(nowMs, recomputeEveryMs(settings)) }] },
  ])

/** The deadline `recompute-thresholds`. A run that is still under way goes on. */
export const recomputeThresholds = (read: Reader, _event: DeadlineEvent, context: Ctx): Decision => {
  const { aggregation } = context.policy
  if (aggregation.policy !== 'kmeans') return decision()
  const step = read.get(passes, 'thresholds')?.step ?? 'done'
  const part = recompute(read, aggregation, context)
  return step === 'done' ? combineParts([part]) : decision({ set: part.set ?? [] })
}

/** Walks that a crash interrupted. */
export const interruptedPasses = (read: Reader): readonly Job[] =>
  (['moments', 'thresholds'] as const).flatMap((name): readonly Job[] => {
    const pass = read.get(passes, name)
    return pass === undefined || pass.step === 'done' ? [] : [pageJob(name, pass)]
  })

/** The next customers after the one visited last, one more than the page holds when there are more. */
const pageOf = (read: Reader, after: string, size: number): readonly CustomerRow[] => {
  const from = after === '' ? {} : { from: [after] }
  return Array.from(read.scan(customers, [], { ...from, limit: size + 2 }), ([, row]) => row).filter(
    ({ customer }) => customer !== after,
  )
}

/** A page's turn has come. One of an earlier run, or that was visited already, is nothing. */
export const pageDue = (read: Reader, { input }: JobEvent, context: Ctx): Decision => {
  const { name, run, step, after } = input as Page
  const pass = read.get(passes, name)
  if (pass === undefined || pass.run !== run || pass.step !== step || pass.after !== after) return decision()
  switch (pass.step) {
    case 'rearm':
      return rearmPage(read, pass, context)
    case 'gather':
      return gatherPage(read, pass, context)
    case 'assign':
      return assignPage(read, pass, context)
    case 'compute':
      return compute(read, pass, context)
    case 'done':
      return decision()
  }
}

/** @returns the page, and the pass as it is after it: at the next one, or at `then` */
const turn = (read: Reader, pass: PassRow, size: number, then: PassRow['step']) => {
  const found = pageOf(read, pass.after, size)
  const page = found.slice(0, size)
  const last = page.at(-1)?.customer ?? pass.after
  const next: PassRow = found.length > size ? { ...pass, after: last } : { ...pass, step: then, after: '' }
  return { page, next }
}

const rearmPage = (read: Reader, pass: PassRow, context: Ctx): Decision => {
  const { page, next } = turn(read, pass, PAGE.rearm, 'done')
  const parts = page.map((customer): Part => {
    const total = totalOf(read, customer.customer)
    return total === undefined || total.outstandingMinor === 0n
      ? {}
      : account(customer.customer, rearm(total, customer, context))
  })
  const record = next.step === 'done' ? { record: { event: 'moments-rearmed', ids: [] } } : {}
  return combineParts([goOn('moments', next), ...parts, record])
}

/** Where the n-th customer of a currency (from 0) stands in a sample of at most SAMPLE, drawn evenly (Vitter's algorithm R). */
const slotOf = (n: number, customer: string, run: number): number => {
  if (n < SAMPLE) return n
  const drawn = hash(utf8(`${run} ${customer}`))
  return new DataView(drawn.buffer, drawn.byteOffset).getUint32(0) % (n + 1)
}

const gatherPage = (read: Reader, pass: PassRow, context: Ctx): Decision => {
  const { page, next } = turn(read, pass, PAGE.gather, 'compute')
  const seen = new Map<Currency, number>(pass.seen)
  const parts: Part[] = []
  for (const { customer, state, currency } of page) {
    const total = state === 'active' ? totalOf(read, customer) : undefined
    const features = total === undefined ? undefined : featuresOf(read, customer, total, context.nowMs)
    if (features === undefined) continue
    const n = seen.get(currency) ?? 0
    seen.set(currency, n + 1)
    const slot = slotOf(n, customer, pass.run)
    if (slot < SAMPLE)
      parts.push({ writes: [put(samples, keyOf(currency, slot), { features: featuresToRow(features) })] })
  }
  return combineParts([goOn('thresholds', { ...next, seen: [...seen] }), ...parts])
}

/** The whole sample goes into the job; under another policy by now nothing is computed. */
const compute = (read: Reader, pass: PassRow, { policy }: Ctx): Decision => {
  const { aggregation } = policy
  const { run, seen } = pass
  if (aggregation.policy !== 'kmeans') return combineParts([goOn('thresholds', { ...pass, step: 'done' })])
  const input: ThetaInput = {
    run,
    settings: aggregation,
    samples: seen.map(([currency, n]) => ({
      currency,
      rows: Array.from(read.scan(samples, [currency], { limit: Math.min(n, SAMPLE) }), ([, row]) => row.features),
    })),
  }
  return decision({ jobs: [{ name: THETA_JOB, input }] })
}

/** The tables are computed: kept under the version of this run, and given to whom they concern. */
export const thresholdsComputed = (read: Reader, { input, result }: JobEvent, { nowMs }: Ctx): Decision => {
  const { run, settings } = input as ThetaInput
  const pass = read.get(passes, 'thresholds')
  if (pass === undefined || pass.run !== run || pass.step !== 'compute') return decision()
  const computed = result as ThetaResult
  const tables = computed.map(({ currency, clustering }): ThetaTableRow => {
    const { k, silhouette, clusters, assignment, scale } = clustering
    return {
      version: run,
      currency,
      computedAtMs: nowMs,
      settings: toJson(settings),
      customers: assignment.length,
      k,
      silhouette,
      ...scale,
      clusters,
    }
  })
  return combineParts([
    goOn('thresholds', { ...pass, step: tables.length === 0 ? 'done' : 'assign', after: '' }),
    {
      writes: tables.map((table) => put(thetaTables, keyOf(table.version, table.currency), table)),
      record: {
        event: tables.length === 0 ? 'thresholds-not-computed' : 'thresholds-computed',
        ids: [],
        fields: { version: run, tables: tables.map(({ currency, k, silhouette }) => ({ currency, k, silhouette })) },
      },
    },
  ])
}

const assignPage = (read: Reader, pass: PassRow, context: Ctx): Decision => {
  const { page, next } = turn(read, pass, PAGE.assign, 'done')
  const parts = page.map((customer): Part => {
    const table = read.get(thetaTables, pass.run, customer.currency)
    const total = customer.state === 'active' ? totalOf(read, customer.customer) : undefined
    if (table === undefined || total === undefined) return {}
    const features = featuresOf(read, customer.customer, total, context.nowMs)
    if (features === undefined) return {}
    const { means, deviations, clusters } = table
    const cluster = clusters[nearestCluster(features, { scale: { means, deviations }, clusters })]
    if (cluster === undefined || cluster.thresholdMinor === customer.assignedThresholdMinor) return {}
    return putCustomer({
      ...customer,
      assignedThresholdMinor: cluster.thresholdMinor,
      thresholdVersion: table.version,
    })
  })
  const record =
    next.step === 'done' ? { record: { event: 'thresholds-assigned', ids: [], fields: { version: pass.run } } } : {}
  return combineParts([goOn('thresholds', next), ...parts, record])
}

/** The tables in force, of each currency the latest, and how far the run under way is. */
export const readThresholds = (read: Reader, _args: Readonly<Record<string, unknown>>, { policy }: Ctx) => {
  const latest = new Map<Currency, ThetaTableRow>()
  for (const [, table] of read.scan(thetaTables, [])) latest.set(table.currency, table)
  return {
    policy: policy.aggregation.policy,
    step: read.get(passes, 'thresholds')?.step ?? 'done',
    tables: [...latest.values()].map(({ settings, ...table }) => ({
      ...table,
      settings: JSON.parse(settings) as unknown,
    })),
  }
}
