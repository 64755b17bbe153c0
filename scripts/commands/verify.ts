/** `semops verify`: is all the money where it must be, by every ledger of a network? */
import type { Command } from 'commander'
import { contextOf } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { readPlan } from '../fleet/client.ts'
import { fleetDirectory } from '../fleet/directory.ts'
import { checkLines } from '../fleet/show-checks.ts'
import { closeSources, openSources } from '../fleet/sources.ts'
import { verifyNetwork } from '../fleet/verify.ts'

type VerifyOptions = { readonly quiesce?: boolean; readonly timeout: string; readonly all?: boolean }

export const register = (program: Command): void => {
  const command = program
    .command('verify')
    .description('hold every ledger of a running or stopped network against the others')
    .option('--quiesce', 'stop admissions, wait until nothing is under way, verify at rest, resume')
    .option('--timeout <seconds>', 'with --quiesce: how long to wait for rest', '60')
    .option('--all', 'show every check, not one line for each kind')
    .action(async ({ quiesce = false, timeout, all = false }: VerifyOptions, self: Command) => {
      const { dir, output, progress, exit } = contextOf(self)
      if (!/^\d{1,5}$/.test(timeout)) throw new CliError('usage', `--timeout ${timeout} is not a number of seconds`)
      const directory = fleetDirectory(dir)
      const plan = await readPlan(directory)
      const shown = progress('reading ledgers')
      // Admissions are resumed before this process goes.
      const interrupt = new AbortController()
      for (const name of ['SIGINT', 'SIGTERM'] as const)
        process.once(name, () => interrupt.abort(new CliError('environment', 'interrupted; admissions are open again')))
      const sources = await openSources(directory, plan)
      try {
        const { ok, quiet, checks } = await verifyNetwork(sources, {
          quiesceMs: quiesce ? Number(timeout) * 1000 : undefined,
          onWait: (inFlight) => shown.advance(0, `${inFlight} under way`),
          signal: interrupt.signal,
        })
        shown.done(`${sources.length}`)
        output.fact({ ok, quiet, checks }, () => checkLines({ ok, quiet, checks }, { all, output }))
        if (!ok) exit('checkFailed')
      } finally {
        await closeSources(sources)
      }
    })
  addExamples(command, [
    ['verify', 'a running network as it is; what is in transit is listed, not judged'],
    ['verify --quiesce', 'at rest, where every figure must be equal'],
    ['verify --json', '{"ok":true,"quiet":…,"checks":[{"name","ok","left","right",…},…]}'],
  ])
}
