/** `semops simulate`: the whole network in one process, deterministic, with faults, judged after every event. */
import { randomInt } from 'node:crypto'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { contextOf, type CliContext } from '../cli/context.ts'
import { addExamples } from '../cli/help.ts'
import type { Column } from '../cli/output.ts'
import { traceLines } from '../fleet/show-trace.ts'
import { FAULT_NAMES, FAULTS, type FaultName } from '../simulate/faults.ts'
import { SHAPE_NAMES } from '../simulate/network.ts'
import { replayLine, simulateSeeds, type FailedSeed, type SeedOptions } from '../simulate/seeds.ts'
import { simulate, type SimulationResult } from '../simulate/simulate.ts'

const MOST_SEEDS = 1_000_000
const MOST_PAYMENTS = 100_000
const DEFAULT_PAYMENTS = 200
const FRESH_SEEDS = 1_000_000_000

const wholeNumber =
  (least: number, most: number) =>
  (text: string): number => {
    const value = Number(text)
    if (!/^\d{1,10}$/.test(text) || value < least || value > most)
      throw new InvalidArgumentError(`a whole number from ${least} to ${most}, please`)
    return value
  }

const faultsOf = (text: string): readonly FaultName[] => {
  if (text === 'all') return FAULT_NAMES
  if (text === 'none') return []
  const names = text.split(',')
  const unknown = names.find((name) => !(FAULT_NAMES as readonly string[]).includes(name))
  if (unknown !== undefined)
    throw new InvalidArgumentError(`no fault is called ${unknown}; there are ${FAULT_NAMES.join(', ')}`)
  return FAULT_NAMES.filter((name) => names.includes(name))
}

type Options = SeedOptions & { readonly seed?: number; readonly seeds: number; readonly jobs?: number }

export const register = (program: Command): void => {
  const command = program
    .command('simulate')
    .description('the whole network in one process on virtual time, with faults, judged after every event')
    .option('--seed <n>', 'of everything that is drawn (default: a fresh one)', wholeNumber(0, FRESH_SEEDS))
    .option('--payments <n>', 'how many are made', wholeNumber(1, MOST_PAYMENTS), DEFAULT_PAYMENTS)
    .option('--seeds <n>', 'so many seeds from the first on, over all cores', wholeNumber(1, MOST_SEEDS), 1)
    .option('--jobs <n>', 'with --seeds: processes (default: one a core)', wholeNumber(1, 256))
    .option('--faults <list>', `all, none, or some of ${Object.keys(FAULTS).join(', ')}`, faultsOf, FAULT_NAMES)
    .addOption(
      new Option('--engine <name>', 'cryptography (default: real for one seed in fifty)').choices(['real', 'stand-in']),
    )
    .addOption(new Option('--shape <name>', 'of the network (default: by the seed)').choices(SHAPE_NAMES))
    .action(async (options: Options, self: Command) => {
      const { seed = randomInt(FRESH_SEEDS), seeds } = options
      if (seeds === 1) await playOne(String(seed), options, contextOf(self))
      else await playMany(seed, options, contextOf(self))
    })
  addExamples(command, [
    ['simulate', '200 payments and every fault, by a fresh seed, which is printed'],
    ['simulate --seed 7 --payments 500', 'the same history every time'],
    [
      'simulate --seeds 10000 --payments 200',
      'seeds 1 to 10,000 from --seed on, over all cores; failing ones are listed',
    ],
    ['simulate --seed 7 --faults crash,drop --json', '{"ok","seed","payments","hash","perSecond","violations":[…],…}'],
  ])
}

const playOne = async (seed: string, options: Options, { output, progress, exit }: CliContext): Promise<void> => {
  const { payments, faults, engine, shape } = options
  const shown = progress(`seed ${seed}: payments`, payments)
  let before = 0
  const result = await simulate({
    seed,
    payments,
    faults,
    ...(engine === undefined ? {} : { engine }),
    ...(shape === undefined ? {} : { shape }),
    onProgress: (made, simulatedMs) => {
      shown.advance(made - before, `${Math.round(simulatedMs / 1_000)} s simulated`)
      before = made
    },
  })
  shown.done()
  const replay = replayLine(seed, options)
  output.fact({ ...result, replay }, () => linesOf(result, replay, output))
  if (!result.ok) exit('checkFailed')
}

const linesOf = (result: SimulationResult, replay: string, output: CliContext['output']): readonly string[] => {
  const { ok, seed, shape, engine, payments, hash, perSecond, events, simulatedMs, violations, trace } = result
  const [first] = violations
  return [
    `seed ${seed}: ${shape}, ${engine} cryptography; ${payments} payments, ${events} events, ${(simulatedMs / 1_000).toFixed(1)} s simulated, ${perSecond} payments/s`,
    `final state ${hash}`,
    ...(ok ? [output.style('green', 'no violation, and everything came to rest')] : []),
    ...violations.map(
      ({ rule, detail, step, atMs }) =>
        `${output.style('red', rule)} at event ${step}, ${(atMs / 1_000).toFixed(3)} s: ${detail}`,
    ),
    ...(trace.length > 0 ? ['', ...traceLines({ hops: trace }, output)] : []),
    ...(first === undefined ? [] : ['', `again: ${replay}`]),
  ]
}

const FAILED: readonly Column<FailedSeed>[] = [
  { title: 'seed', align: 'right', cell: ({ seed }) => seed },
  { title: 'rule', cell: ({ rule }) => rule },
  { title: 'event', align: 'right', cell: ({ step }) => String(step) },
  { title: 'again', cell: ({ replay }) => replay },
]

const playMany = async (first: number, options: Options, { output, progress, exit }: CliContext): Promise<void> => {
  const { seeds, jobs } = options
  const shown = progress(`seeds from ${first}`, seeds)
  const interrupt = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupt.abort())
  let failed = 0
  let payments = 0
  const result = await simulateSeeds(first, seeds, {
    ...options,
    ...(jobs === undefined ? {} : { processes: jobs }),
    signal: interrupt.signal,
    onSeed: (played) => {
      failed += played.violations.length > 0 ? 1 : 0
      payments += played.payments
      shown.advance(1, `${payments} payments, ${failed} failed`)
    },
  })
  shown.done()
  output.fact(result, () => [
    `${result.seeds} of ${seeds} seeds, ${result.payments} payments, ${result.perSecond} payments/s, final states ${result.hash}`,
    result.violations.length === 0
      ? output.style('green', 'no violation')
      : output.style('red', `${result.violations.length} seeds with violations`),
    ...(result.violations.length > 0 ? output.rows(FAILED, result.violations) : []),
  ])
  if (!result.ok) exit('checkFailed')
}
