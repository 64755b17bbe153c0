/** `npm run lives`: many random lives of the whole network against the model of its balances. Exit code 0 only when all held. */
import { randomBytes } from 'node:crypto'
import { Command, InvalidArgumentError, Option } from 'commander'
import { toHex } from '../../protocol/bytes.ts'
import { live, LifeBroken } from '../../nodes/properties/testing/life.ts'
import { toJson } from '../cli/output.ts'
import { exitCode } from '../exit-codes.ts'

const count = (text: string): number => {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('a whole number from 1, please')
  return Number(text)
}
const INTERMEDIARIES = ['one', 'two'] as const

type Options = {
  readonly lives: number
  readonly steps: number
  readonly seed?: string
  readonly intermediaries?: (typeof INTERMEDIARIES)[number]
  readonly json?: boolean
}

await new Command('lives')
  .description('random lives of a simulated network, each judged by an independent model; one seed gives one life')
  .option('--lives <n>', 'how many', count, 20)
  .option('--steps <n>', 'how long each is', count, 60)
  .option('--seed <text>', 'of the first (default: a fresh one, which is printed)')
  .addOption(new Option('--intermediaries <n>', 'default: by turns').choices(INTERMEDIARIES))
  .option('--json', 'the figures as one JSON value on stdout')
  .action(
    async ({ lives, steps, seed = toHex(randomBytes(6)), intermediaries, json = false }: Options): Promise<void> => {
      const say = (line: string): void => void process.stderr.write(`${line}\n`)
      const sums = { lives: 0, payments: 0, confirmed: 0, collections: 0, refunds: 0, restarts: 0 }
      const found: string[] = []
      for (let at = 0; at < lives; at++) {
        const own = at === 0 ? seed : `${seed} ${at}`
        const how = intermediaries ?? (at % 2 === 0 ? 'two' : 'one')
        const again = `npm run lives -- --lives 1 --steps ${steps} --intermediaries ${how} --seed '${own}'`
        try {
          const life = await live({ seed: own, intermediaries: how, realms: ['hu', 'ro'], steps })
          sums.lives += 1
          sums.payments += life.payments
          sums.confirmed += life.confirmed
          sums.collections += life.collections
          sums.refunds += life.refunds
          sums.restarts += life.restarts
          say(`${at + 1} of ${lives}: ${life.payments} payments, ${life.restarts} restarts; again: ${again}`)
        } catch (error) {
          if (!(error instanceof LifeBroken)) throw error
          found.push(again)
          say(`${error.message}\nagain: ${again}`)
        }
      }
      const told = Object.entries(sums).map(([name, value]) => `${value} ${name}`)
      process.stdout.write(json ? `${toJson({ ...sums, found })}\n` : `${told.join(', ')}; ${found.length} broken\n`)
      process.exitCode = exitCode(found.length === 0 ? 'ok' : 'checkFailed')
    },
  )
  .parseAsync()
