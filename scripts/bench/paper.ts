/**
 * The paper's claim in numbers: one seeded workload through SEMOPS as it was (a bank transfer a payment), through one and two
 * intermediaries, and under the other aggregation policies, with each way of sealing; and what θ by k-means is worth. Every run ends with
 * the checks of `semops verify`, and the collections of the largest are held against an independent replay of the rule.
 */
import { replay, type Replayed, type Windows } from './replay.ts'
import { runModel, type RunOptions, type RunResult } from './run-model.ts'
import { SEALS, type Seals } from './network.ts'
import { spreadOf, STUDIES, studyThetas, type Spread, type Study } from './theta-study.ts'
import {
  BORDER_MINOR,
  DAY_MS,
  DEFAULT_SHAPE,
  makeWorkload,
  sampleOf,
  type Workload,
  type WorkloadShape,
} from './workload.ts'
import type { Exposure } from './exposure.ts'

/** In the order of the table. */
export const MODELS = ['semops', 'one-intermediary', 'two-intermediaries', 'bulk', 'k-means'] as const
export type Model = (typeof MODELS)[number]
const BULK: Windows = { windowMs: DAY_MS / 2, lowWaterMinor: 500n }
/** What each is, run with the same code. */
const MODEL: { readonly [M in Model]: Pick<RunOptions, 'intermediaries' | 'macro' | 'cppPolicy'> } = {
  semops: { intermediaries: 2, macro: true },
  'one-intermediary': { intermediaries: 1 },
  'two-intermediaries': { intermediaries: 2 },
  bulk: {
    intermediaries: 2,
    cppPolicy: {
      aggregation: { policy: 'bulk', windowMs: BULK.windowMs, lowWaterMinor: { EUR: String(BULK.lowWaterMinor) } },
    },
  },
  'k-means': { intermediaries: 2, cppPolicy: { aggregation: { policy: 'kmeans' } } },
}
/** Sealed in the ways compared. */
const SEALED = ['semops', 'one-intermediary', 'two-intermediaries'] as const satisfies readonly Model[]

/** Per 1,000 payments, except `payments`. */
export type PerThousand = {
  /** That were run. */
  readonly payments: number
  readonly bankTransfers: number
  readonly collections: number
  readonly settlements: number
  readonly payouts: number
  readonly bankOrders: number
  /** Of them, those that bring customers' money in. */
  readonly collectionOrders: number
  readonly bankMessages: number
  readonly busMessages: number
  readonly bytes: number
  readonly signaturesMade: number
  readonly signaturesVerified: number
  readonly cpuMs: number
}
export type SealFigures = Pick<
  PerThousand,
  'payments' | 'signaturesMade' | 'signaturesVerified' | 'bytes' | 'busMessages' | 'cpuMs'
>
/** Milliseconds of the simulated network, at one of 100 payments. */
export type Latency = { readonly payments: number; readonly p50Ms: number; readonly p99Ms: number }

export type PaperReport = {
  readonly seed: string
  readonly workload: WorkloadShape & { readonly volumeMinor: bigint; readonly thresholdMinor: bigint }
  readonly perThousand: Readonly<Partial<Record<Model, PerThousand>>>
  readonly collections: {
    readonly counted: number
    readonly replayed: number
    /** Also what each customer owes at the end is what the replay says. */
    readonly equal: boolean
    /** Collections ÷ (Σ amounts ÷ θ). */
    readonly ratio: number
    readonly bySeed: readonly { readonly seed: string; readonly perThousand: number; readonly ratio: number }[]
    readonly perThousandSpread: Spread
  }
  readonly exposure: Readonly<Partial<Record<Model, Exposure & { readonly volumeMinor: bigint }>>>
  /** What a CPP loses when a share of its customers stops paying. */
  readonly loss: Readonly<Partial<Record<Model, readonly Loss[]>>>
  readonly latency: Readonly<Partial<Record<Model, { readonly crossing: Latency; readonly others: Latency }>>>
  /** An order a window is the same for few customers and many: so of the whole workload, by the replay that the run confirms. */
  readonly bulk:
    | {
        readonly counted: number
        readonly replayed: number
        readonly equal: boolean
        /** Of the whole workload: orders that bring customers' money in. */
        readonly ordersPerThousand: number
        readonly collectionsPerThousand: number
        /** Payments that wait for a collection, per 1,000. */
        readonly waitingPerThousand: number
        /** Of the payments at which `threshold` would collect, the per cent that still wait. */
        readonly crossingThatWaitPercent: number
        /** The customers' peak debt ÷ that under `threshold`. */
        readonly peakAgainstThreshold: number
      }
    | undefined
  readonly seals: Readonly<Partial<Record<Model, Readonly<Record<Seals, SealFigures>>>>>
  readonly kmeans: readonly Study[]
  readonly verify: { readonly runs: number; readonly checks: number; readonly failed: readonly string[] }
  readonly ok: boolean
}
export type Loss = {
  readonly sharePercent: number
  /** They stop at moments spread evenly over the time. */
  readonly spreadMinor: bigint
  /** All at the end; all at the worst moment. */
  readonly atEndMinor: bigint
  readonly atPeakMinor: bigint
}
const LOSS_SHARES = [1, 5, 20] as const

export type PaperOptions = {
  readonly seed: string
  readonly payments: number
  /** Small enough for a test: every part, none of it precise. */
  readonly quick: boolean
  /** The models that this build can run. */
  readonly models: readonly Model[]
  readonly step: (label: string, total?: number) => { advance: (count?: number) => void; done: () => void }
}

const PAYMENTS_PER_CUSTOMER = 100
/**
 * Of the customers, for what need not be large: figures of a payment do not depend on how many there are. At least so many, or
 * waves are empty and there is nothing to cluster.
 */
const SAMPLE: { readonly [M in Model]: { readonly share: number; readonly least: number } } = {
  semops: { share: 0.05, least: 5 },
  'one-intermediary': { share: 0.1, least: 5 },
  'two-intermediaries': { share: 1, least: 1 },
  bulk: { share: 0.3, least: 10 },
  'k-means': { share: 0.1, least: 60 },
}
const SEALED_SAMPLE = { share: 0.01, least: 3 }

export const shapeOf = ({ payments, quick }: Pick<PaperOptions, 'payments' | 'quick'>): WorkloadShape => {
  const customers = Math.max(2, Math.round(payments / PAYMENTS_PER_CUSTOMER))
  return {
    ...DEFAULT_SHAPE,
    customers,
    merchants: Math.max(2, Math.round(customers / 10)),
    payments,
    // As busy a wave as the default's, as far as a customer's payments leave room.
    waveMs: quick ? DAY_MS / 4 : DEFAULT_SHAPE.waveMs,
  }
}

export const runPaper = async (options: PaperOptions): Promise<PaperReport> => {
  const { seed, quick, models } = options
  const workload = makeWorkload(shapeOf(options), seed)
  const { customers } = workload.shape
  const failed: string[] = []
  let runs = 0
  let checks = 0
  const run = async (label: string, of: Workload, more: Omit<RunOptions, 'workload'>): Promise<RunResult> => {
    const shown = options.step(label, of.payments.length)
    const result = await runModel({ ...more, workload: of, onProgress: (count) => shown.advance(count) })
    shown.done()
    runs += 1
    checks += result.checks.length
    for (const check of result.checks) if (!check.ok) failed.push(`${label}: ${check.name} ${check.detail ?? ''}`)
    return result
  }
  const part = ({ share, least }: { readonly share: number; readonly least: number }): Workload =>
    sampleOf(workload, Math.max(least, Math.round(customers * share)))

  const results = new Map<Model, { readonly of: Workload; readonly result: RunResult }>()
  for (const model of models) {
    const of = part(SAMPLE[model])
    results.set(model, { of, result: await run(model, of, { ...MODEL[model], seals: 'ed25519-batch' }) })
  }
  const seals = new Map<Model, Readonly<Record<Seals, SealFigures>>>()
  const few = part(SEALED_SAMPLE)
  for (const model of SEALED) {
    const figures: [Seals, SealFigures][] = []
    for (const seal of SEALS)
      figures.push([seal, perThousand(await run(`${model}, ${seal}`, few, { ...MODEL[model], seals: seal }))])
    seals.set(model, Object.fromEntries(figures) as Record<Seals, SealFigures>)
  }

  const shown = options.step('replays and θ')
  const main = results.get('two-intermediaries')
  const collections = judgeCollections(workload, main?.result, quick ? 2 : 5)
  const bulk = bulkOf(workload, results.get('bulk'))
  const kmeans = (quick ? [2] : [10, 2]).flatMap((feeMinor) =>
    STUDIES.map((name) =>
      studyThetas(name, {
        customers: quick ? 60 : 500,
        paymentsPerCustomer: PAYMENTS_PER_CUSTOMER,
        seeds: Array.from({ length: quick ? 1 : 5 }, (_, at) => `${seed}-${at + 1}`),
        feeMinor,
        hazardPerDay: 0.000_5,
      }),
    ),
  )
  shown.done()
  const each = <V>(of: (result: RunResult, workload: Workload) => V) =>
    Object.fromEntries([...results].map(([model, one]) => [model, of(one.result, one.of)]))
  return {
    seed,
    workload: { ...workload.shape, volumeMinor: workload.totalMinor, thresholdMinor: BORDER_MINOR },
    perThousand: each(perThousand),
    collections,
    exposure: each((result, of) => ({ ...result.exposure, volumeMinor: of.totalMinor })),
    loss: each(({ exposure }) => lossesOf(exposure)),
    latency: each(latencyOf),
    bulk,
    seals: Object.fromEntries(seals),
    kmeans,
    verify: { runs, checks, failed },
    ok: failed.length === 0 && collections.equal && bulk?.equal !== false,
  }
}

const perThousand = (result: RunResult): PerThousand => {
  const of = (count: number): number => (count * 1_000) / result.payments
  const { collection, payment, settlement, payout } = result.bankTransfers
  return {
    payments: result.payments,
    bankTransfers: of(collection + payment + settlement + payout),
    collections: of(collection),
    settlements: of(settlement),
    payouts: of(payout),
    bankOrders: of(result.bankOrders),
    collectionOrders: of(result.bankOrders - settlement - payout),
    bankMessages: of(result.bankMessages),
    busMessages: of(result.busMessages),
    bytes: of(result.bytes),
    signaturesMade: of(result.signaturesMade),
    signaturesVerified: of(result.signaturesVerified),
    cpuMs: of(result.cpuMs),
  }
}

const MAX_DEBT_AGE_MS = 30 * DAY_MS
const replayed = ({ payments }: Workload, windows?: Windows): Replayed =>
  replay(payments, () => BORDER_MINOR, MAX_DEBT_AGE_MS, windows)

const judgeCollections = (
  workload: Workload,
  result: RunResult | undefined,
  seeds: number,
): PaperReport['collections'] => {
  const expected = replayed(workload)
  const ratioOf = (collections: number, { totalMinor }: Workload): number =>
    collections / (Number(totalMinor) / Number(BORDER_MINOR))
  const bySeed = Array.from({ length: seeds }, (_, at) => {
    const one = at === 0 ? workload : makeWorkload(workload.shape, `${workload.seed}-${at + 1}`)
    const { collections } = at === 0 ? expected : replayed(one)
    return {
      seed: one.seed,
      perThousand: (collections * 1_000) / one.payments.length,
      ratio: ratioOf(collections, one),
    }
  })
  const counted = result?.collections ?? 0
  return {
    counted,
    replayed: expected.collections,
    equal: result !== undefined && agrees(result, expected),
    ratio: ratioOf(expected.collections, workload),
    bySeed,
    perThousandSpread: spreadOf(bySeed.map((one) => one.perThousand)),
  }
}

const lossesOf = ({ customers }: Exposure): readonly Loss[] =>
  LOSS_SHARES.map((sharePercent) => {
    const of = (minor: bigint): bigint => (minor * BigInt(sharePercent)) / 100n
    return {
      sharePercent,
      spreadMinor: of(customers.meanMinor),
      atEndMinor: of(customers.endMinor),
      atPeakMinor: of(customers.peakMinor),
    }
  })

/** Of the payments at which the paper's rule has debt collected, and of the others. */
const latencyOf = (result: RunResult, of: Workload): { readonly crossing: Latency; readonly others: Latency } => {
  const { crossed } = replayed(of)
  const quantiles = (crossing: boolean): Latency => {
    const sorted = result.latenciesMs.filter((_, at) => crossed[at] === crossing).toSorted((a, b) => a - b)
    const at = (q: number): number => sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? 0
    return { payments: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99) }
  }
  return { crossing: quantiles(true), others: quantiles(false) }
}

const bulkOf = (
  workload: Workload,
  run: { readonly of: Workload; readonly result: RunResult } | undefined,
): PaperReport['bulk'] => {
  if (run === undefined) return undefined
  const expected = replayed(run.of, BULK)
  const [whole, threshold] = [replayed(workload, BULK), replayed(workload)]
  const per = (count: number): number => (count * 1_000) / workload.payments.length
  const crossing = threshold.crossed.filter(Boolean).length
  const waiting = threshold.crossed.filter((crosses, at) => crosses && whole.crossed[at] === true).length
  return {
    counted: run.result.collections,
    replayed: expected.collections,
    equal: agrees(run.result, expected),
    ordersPerThousand: per(whole.orders),
    collectionsPerThousand: per(whole.collections),
    waitingPerThousand: per(whole.crossed.filter(Boolean).length),
    crossingThatWaitPercent: crossing === 0 ? 0 : (waiting * 100) / crossing,
    peakAgainstThreshold: Number(whole.peakMinor) / Number(threshold.peakMinor),
  }
}

/** As many collections, and as much owed by each customer at the end. */
const agrees = (result: RunResult, expected: Replayed): boolean =>
  result.collections === expected.collections &&
  [...result.debts].every(([customer, minor]) => (expected.debts.get(customer) ?? 0n) === minor)
