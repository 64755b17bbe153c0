/** `semops chaos`: breaks a running network in known ways, mends it, and asks whether all the money is where it must be. */
import { randomInt } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { parse } from 'yaml'
import { BROKER, FAULTS, isFault, planChaos, readActions, type Action, type Fault } from '../chaos/plan.ts'
import { realmsOf } from '../chaos/partition.ts'
import { runChaos, untilServing, type ChaosEvent } from '../chaos/run.ts'
import { contextOf } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { hostOf, withFleet, type Fleet } from '../fleet/client.ts'
import { checkLines } from '../fleet/show-checks.ts'
import { closeSources, openSources } from '../fleet/sources.ts'
import { verifyNetwork } from '../fleet/verify.ts'

type Options = {
  readonly duration: string
  readonly every: string
  readonly faults: string
  readonly seed?: string
  readonly only?: string
  readonly plan?: string
  readonly timeout: string
}

const ALL = Object.keys(FAULTS).join(',')

export const register = (program: Command): void => {
  const command = program
    .command('chaos')
    .description('do faults to a running network, at random or by a list, mend them all, and verify')
    .option('--duration <seconds>', 'for how long', '60')
    .option('--every <seconds>', 'between two faults, on average', '5')
    .option('--faults <list>', 'which, with commas between them', ALL)
    .option('--seed <text>', 'the same faults for the same seed (default: a fresh one, which is printed)')
    .option(
      '--only <list>',
      `hosts or roles that it may hit, with commas between them; ${BROKER} is the broker (default: all, and whole realms)`,
    )
    .option('--plan <file>', 'a list of faults in JSON or YAML, instead of random ones')
    .option('--timeout <seconds>', 'how long the network may take to come to rest afterwards', '120')
    .addHelpText(
      'after',
      `\nFaults:\n${Object.entries(FAULTS)
        .map(([name, what]) => `  ${name.padEnd(15)} ${what}`)
        .join('\n')}`,
    )
    .action(async (options: Options, self: Command) => {
      const { dir, output, progress, exit } = contextOf(self)
      const seed = options.seed ?? String(randomInt(0, 1_000_000))
      const timeoutMs = seconds('--timeout', options.timeout) * 1_000
      const interrupt = new AbortController()
      const onSignal = (): void => interrupt.abort()
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, onSignal)
      try {
        await withFleet(dir, async (fleet) => {
          const actions = await actionsOf(fleet, options, seed)
          output.line(`seed ${seed}: ${actions.length} faults`)
          const show = (event: ChaosEvent): void => output.fact(event, () => eventLine(event))
          const run = await runChaos(fleet, actions, { onEvent: show, signal: interrupt.signal })
          if (run.unmended.length > 0) throw new CliError('environment', `not mended: ${run.unmended.join('; ')}`)
          if (run.interrupted)
            throw new CliError('environment', 'interrupted; what was broken is mended, nothing was verified')
          const shown = progress('coming to rest')
          await untilServing(fleet, timeoutMs).catch((error: unknown) => {
            shown.fail('not all hosts serve')
            throw new CliError('checkFailed', (error as Error).message, { cause: error })
          })
          const sources = await openSources(fleet.directory, fleet.plan)
          try {
            const { ok, quiet, checks } = await verifyNetwork(sources, {
              quiesceMs: timeoutMs,
              onWait: (inFlight) => shown.advance(0, `${inFlight} under way`),
              signal: interrupt.signal,
            })
            shown.done('at rest')
            const { done, failed } = run
            const broken = checks.filter((check) => !check.ok)
            output.fact({ ok, seed, faults: done, notDone: failed, quiet, checks: checks.length, broken }, () => [
              ...checkLines({ ok, quiet, checks }, { all: false, output }),
              `${done} faults${failed === 0 ? '' : `, ${failed} that could not be done`}; seed ${seed}`,
            ])
            if (!ok) exit('checkFailed')
          } finally {
            await closeSources(sources)
          }
        })
      } finally {
        for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, onSignal)
      }
    })
  addExamples(command, [
    ['chaos --duration 300 --every 3', 'five minutes of everything, while somebody pays'],
    ['chaos --faults kill,pause --only bank,hu-otp --seed 7', 'the banks and one CPP, the same way each time'],
    ['chaos --plan faults.yaml', '- { at: 5, fault: kill, target: hu-otp, for: 2 }'],
    ['chaos --plan apart.yaml', '- { at: 5, fault: partition, target: hu, for: 20 }'],
  ])
}

const seconds = (option: string, text: string): number => {
  const value = Number(text)
  if (!/^\d{1,6}(\.\d{1,3})?$/.test(text) || value <= 0)
    throw new CliError('usage', `${option} ${text} is not a number of seconds`)
  return value
}

const actionsOf = async (fleet: Fleet, options: Options, seed: string): Promise<readonly Action[]> => {
  if (options.plan !== undefined) return actionsIn(options.plan, fleet)
  const only = options.only?.split(',')
  const faults = faultsOf(options.faults)
  const { hosts } = fleet.plan
  const chosen = only === undefined ? hosts : hosts.filter(({ id, role }) => only.includes(id) || only.includes(role))
  for (const one of only ?? [])
    if (one !== BROKER && !hosts.some(({ id, role }) => id === one || role === one))
      throw new CliError('usage', `--only ${one} is no host and no role of this network`)
  const hitsBroker = only === undefined || only.includes(BROKER)
  const possible = faults.filter((fault) => (fault === 'server-restart' ? hitsBroker : chosen.length > 0))
  if (possible.length === 0) throw new CliError('usage', 'none of these faults can be done to what --only names')
  return planChaos({
    seed,
    durationMs: seconds('--duration', options.duration) * 1_000,
    everyMs: seconds('--every', options.every) * 1_000,
    faults: possible,
    hosts: chosen,
    realms: only === undefined ? realmsOf(hosts) : [],
  })
}

const faultsOf = (text: string): readonly Fault[] =>
  text.split(',').map((name) => {
    if (isFault(name)) return name
    throw new CliError('usage', `--faults ${name} is no fault; they are ${ALL}`)
  })

const actionsIn = async (file: string, fleet: Fleet): Promise<readonly Action[]> => {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new CliError('usage', `cannot read ${file}`, { cause: error })
  })
  try {
    return readActions(parse(text), {
      hosts: fleet.plan.hosts,
      realms: realmsOf(fleet.plan.hosts),
      hostOf: (id) => hostOf(fleet.plan, id),
    })
  } catch (error) {
    if (error instanceof CliError) throw error
    throw new CliError('usage', `${file}: ${(error as Error).message}`, { cause: error })
  }
}

const WORDS = { fault: '', mended: 'mended', failed: 'could not be done' } as const
const eventLine = ({ atMs, what, fault, target, detail }: ChaosEvent): string =>
  [`${(atMs / 1_000).toFixed(1).padStart(7)} s `, fault, target, WORDS[what], detail ?? '']
    .filter((part) => part !== '')
    .join(' ')
