/** `npm run fuzz`: the long run of the fuzz suite. Exit code 0 only when nothing was found. */
import { randomBytes } from 'node:crypto'
import { Command, InvalidArgumentError, Option } from 'commander'
import { toHex } from '../../protocol/bytes.ts'
import { toJson } from '../cli/output.ts'
import { exitCode } from '../exit-codes.ts'
import { longRun, TARGETS } from './long-run.ts'
import { linesOf } from './report.ts'

const count = (text: string): number => {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a whole number, please')
  return Number(text)
}

type Options = {
  readonly frames: number
  readonly perNode: number
  readonly from: number
  readonly seed?: string
  readonly target?: readonly (typeof TARGETS)[number][]
  readonly json?: boolean
}

await new Command('fuzz')
  .description('throws mutated frames at envelope, codec and the intake of every role; one seed gives one run')
  .option('--frames <n>', 'through envelope and codec', count, 1_000_000)
  .option('--per-node <n>', 'through the intake of each role', count, 50_000)
  .option('--seed <text>', 'default: a fresh one, which is printed')
  .option('--from <n>', 'number of the first frame, to make one again: --from 4711 --frames 1', count, 0)
  .addOption(new Option('--target <role...>', 'these roles only').choices(TARGETS))
  .option('--json', 'the figures as one JSON value on stdout')
  .action(async ({ frames, perNode, from, seed = toHex(randomBytes(6)), target = TARGETS, json = false }: Options) => {
    const say = (line: string): void => void process.stderr.write(`${line}\n`)
    say(`seed ${seed}: npm run fuzz -- --seed ${seed} --frames ${frames} --per-node ${perNode}`)
    const run = await longRun({ seed, frames, from, perNode, targets: target, say })
    process.stdout.write(json ? `${toJson(run)}\n` : `${linesOf(run).join('\n')}\n`)
    process.exitCode = exitCode(run.ok ? 'ok' : 'checkFailed')
  })
  .parseAsync()
