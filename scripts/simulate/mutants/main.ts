/** `npm run mutants`: breaks one rule after the other and lets the simulator find it. Exit code 0 only when each was found in time. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { toJson } from '../../cli/output.ts'
import { projectRoot } from '../../cli/paths.ts'
import { exitCode } from '../../exit-codes.ts'
import type { Catch } from './hunt.ts'
import { plant } from './mutate.ts'
import { MUTANTS, type Mutant } from './table.ts'

/** A mutant may hang what it breaks: then its hunt is over. */
const HUNT_MS = 30 * 60_000

export type Hunted = {
  readonly name: string
  readonly found: boolean
  /** Seeds until it was found, or in vain. */
  readonly seeds: number
  readonly foundWithin: number
  readonly rule: string | undefined
  readonly detail: string | undefined
  readonly seconds: number
}

type Run = { readonly stdout: string; readonly stderr: string }
const runIn = (folder: string, words: readonly string[]): Promise<Run> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(folder, '.build/scripts/simulate/mutants/hunt.js'), ...words], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: HUNT_MS,
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-4_000)))
    child.on('error', reject)
    child.on('close', () => resolve({ stdout, stderr }))
  })

/** @throws Error what {@link plant} throws */
const hunt = async (root: string, mutant: Mutant, seeds: number, payments: number): Promise<Hunted> => {
  const began = performance.now()
  const folder = mkdtempSync(join(tmpdir(), 'semops-mutant-'))
  try {
    plant(root, mutant, folder)
    const { stdout, stderr } = await runIn(folder, ['1', String(seeds), String(payments)])
    const line = stdout.trim().split('\n').at(-1) ?? ''
    // A simulation that is stopped by what it simulates has noticed it as well, but not by a judge: it is not counted.
    const caught: Catch = line.startsWith('{')
      ? (JSON.parse(line) as Catch)
      : { seeds: 0, seed: undefined, rule: undefined, detail: `the hunt broke off: ${stderr.trim().slice(-400)}` }
    const { name, foundWithin } = mutant
    return {
      name,
      found: caught.seed !== undefined && caught.seeds <= foundWithin,
      seeds: caught.seeds,
      foundWithin,
      rule: caught.rule,
      detail: caught.detail,
      seconds: Math.round((performance.now() - began) / 100) / 10,
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const line = ({ name, found, seeds, foundWithin, rule, seconds }: Hunted): string =>
  `${name.padEnd(32)} ${(found ? `seed ${seeds}` : 'NOT FOUND').padEnd(10)} of ${String(foundWithin).padEnd(5)} ${seconds.toFixed(1).padStart(7)} s  ${rule ?? ''}`

const count = (text: string): number => {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('a whole number from 1, please')
  return Number(text)
}
type Options = {
  readonly only?: readonly string[]
  readonly seeds?: number
  readonly payments: number
  readonly jobs: number
  readonly json?: boolean
}

await new Command('mutants')
  .description('rules broken on purpose, each of which the simulator has to find within its number of seeds')
  .option('--only <name...>', 'these alone')
  .option('--seeds <n>', "how many to try (default: each mutant's own number)", count)
  .option('--payments <n>', 'a seed', count, 40)
  .option('--jobs <n>', 'how many at a time', count, availableParallelism())
  .option('--json', 'what became of each as one JSON value on stdout')
  .action(async ({ only, seeds, payments, jobs, json = false }: Options): Promise<void> => {
    const root = projectRoot()
    const unknown = only?.find((name) => !MUTANTS.some((mutant) => mutant.name === name))
    if (unknown !== undefined) {
      process.stderr.write(`no mutant ${unknown}; there are: ${MUTANTS.map(({ name }) => name).join(', ')}\n`)
      process.exitCode = exitCode('usage')
      return
    }
    const chosen = MUTANTS.filter(({ name }) => only === undefined || only.includes(name))
    const hunted: Hunted[] = []
    const queue = [...chosen]
    const work = async (): Promise<void> => {
      for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
        const one = await hunt(root, mutant, seeds ?? mutant.foundWithin, payments)
        hunted.push(one)
        process.stderr.write(`${line(one)}\n`)
        if (!one.found && one.detail !== undefined) process.stderr.write(`    ${one.detail}\n`)
      }
    }
    await Promise.all(Array.from({ length: Math.min(jobs, chosen.length) }, work))
    const missed = hunted.filter(({ found }) => !found).map(({ name }) => name)
    process.stdout.write(
      json
        ? `${toJson({ ok: missed.length === 0, mutants: hunted, missed })}\n`
        : `${hunted.length - missed.length} of ${hunted.length} found${missed.length === 0 ? '' : `; not: ${missed.join(', ')}`}\n`,
    )
    process.exitCode = exitCode(missed.length === 0 ? 'ok' : 'checkFailed')
  })
  .parseAsync()
