/**
 * `semops demo`: the default network in a folder of its own, every kind of payment, one stop and start in the middle, and the
 * proof that the money is where it must be. Leaves nothing behind.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { formatAmount } from '../../protocol/amount.ts'
import { contextOf, type CliContext } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { figuresOf, type Figures } from '../demo/figures.ts'
import { runGroups, type Made } from '../demo/run.ts'
import { FIRST_HALF, ordersOf, SECOND_HALF, type Group } from '../demo/scenario.ts'
import { KIND_COLUMNS, kindRows } from '../demo/tables.ts'
import { readPlan, withFleet } from '../fleet/client.ts'
import { fleetDirectory, type FleetDirectory } from '../fleet/directory.ts'
import { DEFAULT_NETWORK_FILE, launch, prepareNetwork, type Launched } from '../fleet/launch.ts'
import { checkLines } from '../fleet/show-checks.ts'
import { showSteps } from '../fleet/show-steps.ts'
import { traceLines } from '../fleet/show-trace.ts'
import { closeSources, openSources } from '../fleet/sources.ts'
import { stopFleet } from '../fleet/stop.ts'
import { tracePayment, type Trace } from '../fleet/trace.ts'
import { verifyNetwork, type Verification } from '../fleet/verify.ts'

const QUIESCE_MS = 30_000
/** The payment whose trace is shown: it crosses both realms, after the restart, since data centers remember only what they routed last. */
const TRACED_KIND = 'micro, international'

export const register = (program: Command): void => {
  const command = program
    .command('demo')
    .description('start the default network, make every kind of payment, restart it once, verify, clean up')
    .option('--keep', "leave the network's folder; `semops up --dir <folder>` starts it again")
    .action(async ({ keep = false }: { readonly keep?: boolean }, self: Command) => {
      const context = contextOf(self)
      const root = await mkdtemp(join(tmpdir(), 'semops-demo-'))
      try {
        const ok = await demo(context, fleetDirectory(root))
        if (keep) context.output.line(`kept: semops up --dir ${root}`)
        if (!ok) context.exit('checkFailed')
      } finally {
        if (!keep) await rm(root, { recursive: true, force: true })
      }
    })
  addExamples(command, [
    ['demo', 'about a minute; exit code 0 only when every payment ended as it must and every check holds'],
    ['demo --keep', 'the same, and the network stays for you to look at'],
  ])
}

const demo = async (context: CliContext, directory: FleetDirectory): Promise<boolean> => {
  const { output, progress } = context
  const startedAt = performance.now()
  await prepareNetwork(directory, DEFAULT_NETWORK_FILE)
  const ending = endWithParent(directory)
  let running: Launched | undefined
  const up = async (): Promise<{ readonly nodes: number }> => {
    running = launch(directory, { detach: false, onMessage: showSteps(context) })
    return running.ready
  }
  const down = async (): Promise<void> => {
    await stopFleet(directory.root)
    await running?.ended
    running = undefined
  }
  try {
    const { nodes } = await up()
    output.line(`${nodes} nodes ready in ${seconds(startedAt)}`)
    const first = await payAll(context, directory, 'payments', FIRST_HALF)
    const stopping = progress('stopping and starting the network')
    await down()
    stopping.done('stopped')
    await up()
    const second = await payAll(context, directory, 'more payments', SECOND_HALF)
    const all = [...first, ...second]

    const { verification, figures, trace } = await examine(context, directory, all)
    const unexpected = all.filter((made) => !made.asExpected)
    const ok = unexpected.length === 0 && verification.ok
    await down()
    output.fact(
      {
        ok,
        nodes,
        payments: all.length,
        kinds: kindRows(all),
        figures,
        trace,
        verify: verification,
        seconds: Number(seconds(startedAt).slice(0, -2)),
      },
      () => [
        '',
        ...output.rows(KIND_COLUMNS, kindRows(all)),
        '',
        ...unexpected.map(
          ({ order, outcome, code, detail }) =>
            `${order.kind}: ${order.customer} to ${order.payee} ended as ${outcome} ${code ?? ''} ${detail ?? ''}`,
        ),
        behind(figures),
        '',
        `One payment, hop by hop: ${trace.paymentId ?? ''}`,
        ...traceLines(trace, output),
        '',
        ...checkLines(verification, { all: false, output }),
        '',
        `${all.length} payments, ${all.length - unexpected.length} as expected, in ${seconds(startedAt)}: ${ok ? 'the demo holds' : 'the demo FAILED'}`,
      ],
    )
    return ok
  } catch (error) {
    await down().catch(() => undefined)
    throw error
  } finally {
    ending()
  }
}

const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`

const payAll = async (
  { progress }: CliContext,
  directory: FleetDirectory,
  label: string,
  groups: readonly Group[],
): Promise<readonly Made[]> => {
  const shown = progress(label, ordersOf(groups).length)
  const made = await withFleet(directory.root, (fleet) => runGroups(fleet, groups, () => shown.advance()))
  shown.done(`${made.length} made`)
  return made
}

const examine = async (
  { progress }: CliContext,
  directory: FleetDirectory,
  all: readonly Made[],
): Promise<{ readonly verification: Verification; readonly figures: Figures; readonly trace: Trace }> => {
  const plan = await readPlan(directory)
  const sources = await openSources(directory, plan)
  try {
    const shown = progress('verifying every ledger')
    const verification = await verifyNetwork(sources, {
      quiesceMs: QUIESCE_MS,
      onWait: (inFlight) => shown.advance(0, `${inFlight} under way`),
    })
    shown.done(`${sources.length} hosts`)
    const traced = all.findLast(({ order, paymentId }) => order.kind === TRACED_KIND && paymentId !== undefined)
    if (traced?.paymentId === undefined)
      throw new CliError('checkFailed', 'no international payment was made, so none can be traced')
    return {
      verification,
      figures: await figuresOf(sources, plan.currency),
      trace: await tracePayment(sources, traced.paymentId),
    }
  } finally {
    await closeSources(sources)
  }
}

const behind = ({ collections, settledMinor, paidOutMinor, clearedMinor, released }: Figures): string =>
  [
    `${collections} collections from customers`,
    `${formatAmount(settledMinor, 'EUR')} EUR settled between processors`,
    `${formatAmount(paidOutMinor, 'EUR')} paid out to payees`,
    `${formatAmount(clearedMinor, 'EUR')} cleared between banks`,
    `${released} purchases released`,
  ].join(', ')

/** Ctrl-C ends the network before this process goes. */
const endWithParent = (directory: FleetDirectory): (() => void) => {
  const end = (): void => {
    void stopFleet(directory.root)
      .catch(() => undefined)
      .then(() => rm(directory.root, { recursive: true, force: true }))
      .finally(() => {
        process.exit(130)
      })
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.once(signal, end)
  return () => {
    for (const signal of signals) process.removeListener(signal, end)
  }
}
