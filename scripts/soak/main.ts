/** `npm run soak`: minutes of random faults while people pay. Exit code 0 only when the money is right and memory is flat. */
import { randomInt } from 'node:crypto'
import { Command, InvalidArgumentError } from 'commander'
import { FAULTS, isFault, type Fault } from '../chaos/plan.ts'
import { formatTable, toJson, type Column } from '../cli/output.ts'
import { exitCode } from '../exit-codes.ts'
import { FLAT_RULE, type HostMemory } from './memory.ts'
import { soak, type SoakResult } from './soak.ts'

const count = (text: string): number => {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError('a whole number from 1, please')
  return Number(text)
}
const faultList = (text: string): readonly Fault[] =>
  text.split(',').map((name) => {
    if (isFault(name)) return name
    throw new InvalidArgumentError(`no fault ${name}; they are ${Object.keys(FAULTS).join(', ')}`)
  })

type Options = {
  readonly minutes: number
  readonly every: number
  readonly lanes: number
  readonly faults: readonly Fault[]
  readonly seed?: string
  readonly json?: boolean
}

const MIB = 1_048_576
const mib = (bytes: number): string => (bytes / MIB).toFixed(1)
const COLUMNS: readonly Column<HostMemory>[] = [
  { title: 'host', cell: ({ id }) => id },
  { title: 'processes', align: 'right', cell: ({ processes }) => String(processes) },
  { title: 'warm MiB', align: 'right', cell: ({ judged, firstBytes }) => (judged === 0 ? '' : mib(firstBytes)) },
  { title: 'last MiB', align: 'right', cell: ({ judged, lastBytes }) => (judged === 0 ? '' : mib(lastBytes)) },
  { title: 'most MiB', align: 'right', cell: ({ mostBytes }) => mib(mostBytes) },
  {
    title: 'MiB/min',
    align: 'right',
    cell: ({ judged, bytesPerMinute }) => (judged === 0 ? '' : (bytesPerMinute / MIB).toFixed(2)),
  },
  { title: '', cell: ({ judged, flat }) => (judged === 0 ? 'lived too short' : flat ? 'flat' : 'grows') },
]

const told = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, value]) => `${value} ${name}`)
    .join(', ')

const lines = (result: SoakResult): readonly string[] => [
  `${result.payments} payments in ${result.minutes} minutes, ${result.perSecond} a second: ${told(result.ends)}`,
  `faults: ${told(result.faults)}${result.notDone === 0 ? '' : `; ${result.notDone} could not be done`}`,
  `${result.toldWrongly.length} payments told otherwise than the ledgers hold`,
  `verify: ${result.checks} checks, ${result.broken.length} broken`,
  ...[...result.toldWrongly, ...result.unmended, ...result.broken.map(({ name, detail = '' }) => `${name} ${detail}`)],
  '',
  ...formatTable(COLUMNS, result.memory),
  FLAT_RULE,
  '',
  `${result.ok ? 'ok' : 'NOT ok'}; again: npm run soak -- --minutes ${result.minutes} --seed '${result.seed}'`,
]

await new Command('soak')
  .description('a network of real processes under random faults while people pay')
  .option('--minutes <n>', 'for how long', count, 10)
  .option('--every <seconds>', 'between two faults, on average', count, 5)
  .option('--lanes <n>', 'payments under way at a time', count, 6)
  .option('--faults <list>', 'which, with commas between them', faultList, Object.keys(FAULTS) as Fault[])
  .option('--seed <text>', 'of the faults (default: a fresh one, which is printed)')
  .option('--json', 'the figures as one JSON value on stdout')
  .action(async ({ minutes, every, lanes, faults, seed = String(randomInt(0, 1_000_000)), json = false }: Options) => {
    const say = (what: string): void => void process.stderr.write(`${what}\n`)
    say(`seed ${seed}: the network starts`)
    const result = await soak({
      minutes,
      seed,
      everyMs: every * 1_000,
      faults,
      lanes,
      say,
      onEvent: ({ atMs, what, fault, target, detail = '' }) =>
        say(`${(atMs / 1_000).toFixed(1).padStart(7)} s  ${what} ${fault} ${target} ${detail}`.trimEnd()),
    })
    process.stdout.write(json ? `${toJson(result)}\n` : `${lines(result).join('\n')}\n`)
    process.exitCode = exitCode(result.ok ? 'ok' : 'checkFailed')
  })
  .parseAsync()
