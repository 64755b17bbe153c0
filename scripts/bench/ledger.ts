/**
 * `semops bench ledger`: what a CPP's ledger alone can take, durable, against LMDB itself. Real path and raw puts take turns in
 * short rounds, each on a file of its own with the same rows in it, so that their ratio says something on a machine that others use;
 * the raw puts are the very mutations that the real path has just committed, in the same batches.
 *
 * Wall-clock figures are of this machine as it is; those per CPU second count every thread of the process, LMDB's writer among them.
 */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkChain } from '../../nodes/runtime/journal.ts'
import { ledger, type TotalRow } from '../../nodes/cpp/state.ts'
import { lmdbStore } from '../../nodes/runtime/lmdb-store.ts'
import { createStaged } from '../../nodes/runtime/staged.ts'
import type { Mutation, Store } from '../../nodes/runtime/store.ts'
import { createCppLedger, type CppLedger } from './cpp-ledger.ts'
import { createDraws } from './draws.ts'
import { createLoad, customerOf, PATTERNS, preload, type Accumulation, type Pattern } from './ledger-load.ts'
import { openRawPuts } from './raw-puts.ts'

export const BATCH_SIZES = [1, 16, 128, 1_024] as const
export const RATIO_WANTED = 0.5
export const HOT_WANTED_PER_SECOND = 100_000

export type LedgerBenchOptions = {
  readonly seed?: string
  /** Fewer customers, entries and rounds: to see that it runs. */
  readonly quick?: boolean
  /** Where the ledgers are made, in a directory of their own that is removed; default: the system's for temporary files. */
  readonly directory?: string
  readonly patterns?: readonly Pattern[]
  readonly batchSizes?: readonly number[]
  readonly onProgress?: (text: string) => void
}

/** Accumulations a second, and of raw puts of as many accumulations' rows. */
export type Speed = { readonly perSecond: number; readonly perCpuSecond: number }
export type LedgerBenchRow = {
  readonly pattern: Pattern
  readonly batch: number
  readonly accumulations: number
  readonly collections: number
  readonly rowsPerAccumulation: number
  readonly real: Speed
  readonly raw: Speed
  /** real / raw, of the sums over all rounds. */
  readonly ratio: number
  readonly cpuRatio: number
  /** Of the wall-clock ratios of the rounds. */
  readonly lowestRatio: number
  readonly highestRatio: number
}
export type LedgerBenchReport = {
  readonly seed: string
  readonly quick: boolean
  readonly machine: { readonly processor: string; readonly cores: number; readonly node: string }
  readonly ledgers: Readonly<Record<Pattern, { readonly customers: number; readonly entriesBefore: number }>>
  readonly rows: readonly LedgerBenchRow[]
  /** One get of the total, and one ordered scan of all entries of a customer. */
  readonly reads: {
    readonly customers: number
    readonly totalMicroseconds: number
    readonly scanMicroseconds: number
    readonly entriesPerScan: number
  }
  readonly targets: readonly {
    readonly what: string
    readonly wanted: number
    readonly measured: number
    readonly met: boolean
  }[]
  /** What is wrong in the ledgers afterwards; empty as it should be. */
  readonly problems: readonly string[]
}

type Size = { readonly customers: number; readonly entriesEach: number }
type Plan = {
  readonly sizes: Readonly<Record<Pattern, Size>>
  readonly rounds: number
  /** Accumulations of one round at this batch size. */
  readonly perRound: (batch: number) => number
  readonly reads: number
}
const MILLION = { customers: 1_000_000, entriesEach: 10 }
const FULL: Plan = {
  sizes: { hot: { customers: 10_000, entriesEach: 0 }, zipf: MILLION, uniform: MILLION },
  rounds: 16,
  // Short, since what a round has committed is kept in memory until the raw puts have had their turn.
  perRound: (batch) => Math.max(batch * 6, Math.min(batch * 100, 2_048)),
  reads: 10_000,
}
const SMALL = { customers: 2_000, entriesEach: 10 }
const QUICK: Plan = {
  sizes: { hot: { customers: 200, entriesEach: 0 }, zipf: SMALL, uniform: SMALL },
  rounds: 2,
  perRound: (batch) => Math.max(batch * 2, 64),
  reads: 100,
}

export const runLedgerBench = async (options: LedgerBenchOptions = {}): Promise<LedgerBenchReport> => {
  const { seed = 'ledger', quick = false, patterns = PATTERNS, batchSizes = BATCH_SIZES } = options
  const say = options.onProgress ?? (() => {})
  const plan = quick ? QUICK : FULL
  const home = mkdtempSync(join(options.directory ?? tmpdir(), 'semops-bench-'))
  const rows: LedgerBenchRow[] = []
  const problems: string[] = []
  const preloads = createPreloads(home, say)
  let reads: LedgerBenchReport['reads'] | undefined
  try {
    for (const pattern of patterns) {
      const size = plan.sizes[pattern]
      const base = await preloads(size)
      const paths = { real: join(home, 'real.mdb'), raw: join(home, 'raw.mdb') }
      for (const path of Object.values(paths)) copyFileSync(base, path)
      const store = recording(lmdbStore(paths.real))
      const raw = openRawPuts(paths.raw)
      try {
        const cpp = createCppLedger(store, () => performance.now())
        const load = createLoad(pattern, size.customers, createDraws(`${seed} ${pattern}`))
        for (const batch of batchSizes) {
          say(`${pattern}, ${batch} a batch`)
          rows.push(await measure({ pattern, batch, plan, cpp, store, raw, load }))
        }
        problems.push(...problemsOf(store, cpp, size).map((problem) => `${pattern}: ${problem}`))
        reads = timeReads(store, size.customers, plan.reads)
      } finally {
        await raw.close()
        await store.close()
      }
    }
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
  if (reads === undefined) throw new TypeError('no pattern to measure')
  return {
    seed,
    quick,
    machine: {
      processor: cpus()[0]?.model ?? 'unknown',
      cores: availableParallelism(),
      node: process.version,
    },
    ledgers: Object.fromEntries(
      PATTERNS.map((pattern) => {
        const { customers, entriesEach } = plan.sizes[pattern]
        return [pattern, { customers, entriesBefore: customers * entriesEach }]
      }),
    ) as LedgerBenchReport['ledgers'],
    rows,
    reads,
    targets: targetsOf(rows),
    problems,
  }
}

/** Makes the ledger of a size once; the patterns work on copies. → its file, closed. */
const createPreloads = (home: string, say: (text: string) => void): ((size: Size) => Promise<string>) => {
  const made = new Map<string, string>()
  return async (size) => {
    const name = `${size.customers}-${size.entriesEach}`
    const known = made.get(name)
    if (known !== undefined) return known
    const path = join(home, `${name}.mdb`)
    const store = lmdbStore(path)
    const whole = size.customers * (1 + 2 * size.entriesEach)
    let done = 0
    let told = 0
    await preload(store, size, (count) => {
      done += count
      if (done - told < whole / 20) return
      told = done
      say(`${size.customers} customers with ${size.entriesEach} entries each: ${Math.floor((100 * done) / whole)} %`)
    })
    await store.close()
    made.set(name, path)
    return path
  }
}

type Recording = Store & { readonly taken: () => readonly (readonly Mutation[])[] }
/** Remembers what is committed until it is asked for. */
const recording = (store: Store): Recording => {
  let batches: (readonly Mutation[])[] = []
  return {
    ...store,
    commit: (mutations) => {
      batches.push(mutations)
      return store.commit(mutations)
    },
    taken: () => {
      const all = batches
      batches = []
      return all
    },
  }
}

type Measured = { readonly seconds: number; readonly cpuSeconds: number }
const timed = async (run: () => Promise<void>): Promise<Measured> => {
  const cpuBefore = process.cpuUsage()
  const beganMs = performance.now()
  await run()
  const seconds = (performance.now() - beganMs) / 1_000
  const { user, system } = process.cpuUsage(cpuBefore)
  return { seconds, cpuSeconds: (user + system) / 1_000_000 }
}

const START_MS = 1_760_000_000_000

const measure = async ({
  pattern,
  batch,
  plan,
  cpp,
  store,
  raw,
  load,
}: {
  readonly pattern: Pattern
  readonly batch: number
  readonly plan: Plan
  readonly cpp: CppLedger
  readonly store: Recording
  readonly raw: ReturnType<typeof openRawPuts>
  readonly load: (count: number) => readonly Accumulation[]
}): Promise<LedgerBenchRow> => {
  const sums = { real: { seconds: 0, cpuSeconds: 0 }, raw: { seconds: 0, cpuSeconds: 0 } }
  const add = (to: 'real' | 'raw', { seconds, cpuSeconds }: Measured): number => {
    sums[to].seconds += seconds
    sums[to].cpuSeconds += cpuSeconds
    return seconds
  }
  const ratios: number[] = []
  const collectedBefore = cpp.collections()
  let accumulations = 0
  let rowsPut = 0
  // The first round warms caches and compiler and does not count.
  for (let round = 0; round <= plan.rounds; round++) {
    const payments = load(plan.perRound(batch))
    const batches = Array.from({ length: Math.ceil(payments.length / batch) }, (_, at) =>
      payments.slice(at * batch, (at + 1) * batch),
    )
    store.taken()
    const real = await timed(async () => {
      for (const one of batches) {
        await cpp.room()
        cpp.accumulate(one, START_MS + cpp.head().seq)
      }
      await cpp.settled()
    })
    const taken = store.taken()
    const prepared = raw.prepare(taken)
    const again = await timed(async () => await raw.run(prepared))
    if (round === 0) continue
    accumulations += payments.length
    rowsPut += taken.reduce((sum, { length }) => sum + length, 0)
    ratios.push(add('raw', again) / add('real', real))
  }
  const speed = ({ seconds, cpuSeconds }: Measured): Speed => ({
    perSecond: accumulations / seconds,
    perCpuSecond: accumulations / cpuSeconds,
  })
  return {
    pattern,
    batch,
    accumulations,
    collections: cpp.collections() - collectedBefore,
    rowsPerAccumulation: rowsPut / accumulations,
    real: speed(sums.real),
    raw: speed(sums.raw),
    ratio: sums.raw.seconds / sums.real.seconds,
    cpuRatio: sums.raw.cpuSeconds / sums.real.cpuSeconds,
    lowestRatio: Math.min(...ratios),
    highestRatio: Math.max(...ratios),
  }
}

/** How many customers of the first ones are looked at afterwards. */
const CUSTOMERS_CHECKED = 10_000

/** The journal is whole up to its head, and what each customer owes is the sum of their entries. */
const problemsOf = (store: Store, cpp: CppLedger, { customers }: Size): readonly string[] => {
  const read = createStaged(store)
  const found: string[] = []
  const { brokenAtSeq } = checkChain(read, cpp.head())
  if (brokenAtSeq !== undefined) found.push(`the journal is broken at entry ${brokenAtSeq}`)
  for (let number = 0; number < Math.min(customers, CUSTOMERS_CHECKED); number++) {
    const customer = customerOf(number)
    let owedMinor = 0n
    let entries = 0
    let total: TotalRow | undefined
    for (const [, row] of read.scan(ledger, [customer])) {
      if (row.kind === 0) total = row
      else {
        owedMinor += row.kind === 1 ? row.amountMinor : -row.amountMinor
        entries += 1
      }
    }
    if ((total?.outstandingMinor ?? 0n) !== owedMinor || (total?.lastSeq ?? 0) !== entries)
      found.push(`${customer} owes ${total?.outstandingMinor}, their entries say ${owedMinor}`)
  }
  return found
}

const timeReads = (store: Store, customers: number, count: number): LedgerBenchReport['reads'] => {
  const read = createStaged(store)
  const names = Array.from({ length: count }, (_, at) => customerOf((at * 104_729) % customers))
  const microsecondsEach = (run: () => void): number => {
    const beganMs = performance.now()
    run()
    return ((performance.now() - beganMs) * 1_000) / count
  }
  let entries = 0
  const totalMicroseconds = microsecondsEach(() => {
    for (const name of names) read.get(ledger, name)
  })
  const scanMicroseconds = microsecondsEach(() => {
    for (const name of names) for (const [, row] of read.scan(ledger, [name])) if (row.kind !== 0) entries += 1
  })
  return { customers: count, totalMicroseconds, scanMicroseconds, entriesPerScan: entries / count }
}

const targetsOf = (rows: readonly LedgerBenchRow[]): LedgerBenchReport['targets'] => {
  const ratio = rows.reduce((least, row) => Math.min(least, row.ratio), Number.POSITIVE_INFINITY)
  const targets = [{ what: 'least ratio to raw puts', wanted: RATIO_WANTED, measured: ratio }]
  const hot = rows.find(({ pattern, batch }) => pattern === 'hot' && batch === Math.max(...BATCH_SIZES))
  if (hot !== undefined)
    targets.push({
      what: `accumulations a second, hot, ${hot.batch} a batch`,
      wanted: HOT_WANTED_PER_SECOND,
      measured: hot.real.perSecond,
    })
  return targets.map((target) => ({ ...target, met: target.measured >= target.wanted }))
}
