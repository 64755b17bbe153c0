/** `semops up`: starts a network and waits until everybody in it can pay and be paid. */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { contextOf, type CliContext } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { readPlan } from '../fleet/client.ts'
import { fleetDirectory } from '../fleet/directory.ts'
import { launch, prepareNetwork, type Launched } from '../fleet/launch.ts'
import { showSteps } from '../fleet/show-steps.ts'
import { stopFleet } from '../fleet/stop.ts'

type UpOptions = { readonly detach?: boolean }

export const register = (program: Command): void => {
  const command = program
    .command('up')
    .description('start a network: the broker, every node, every account and enrolment')
    .argument('[network.yaml]', 'what to start (default: what the run directory holds, else the default network)')
    .option('--detach', 'return when all is ready; end it with `semops down`')
    .action(async (file: string | undefined, { detach = false }: UpOptions, self: Command) => {
      await up(contextOf(self), file === undefined ? undefined : resolve(file), detach)
    })
  addExamples(command, [
    ['up', 'the default network, until Ctrl-C'],
    ['up --detach --json', 'in the background; prints {"state":"ready","nodes":60,"readyMs":…}'],
    ['up shops.yaml --dir /tmp/shops', 'a network of your own, in a folder of its own'],
  ])
}

const up = async (context: CliContext, file: string | undefined, detach: boolean): Promise<void> => {
  const { dir, output } = context
  const startedAt = performance.now()
  const directory = fleetDirectory(dir)
  await prepareNetwork(directory, file)
  const launched = launch(directory, { detach, onMessage: showSteps(context) })
  const interrupted = onInterrupt()
  const first = await Promise.race([launched.ready, interrupted])
  if (first === undefined) return stopLaunched(context, launched)
  const readyMs = Math.round(performance.now() - startedAt)
  const { tls } = (await readPlan(directory)).nats
  output.fact({ state: 'ready', nodes: first.nodes, readyMs, ...(tls ? {} : { tls }) }, () => [
    `${first.nodes} nodes ready in ${(readyMs / 1000).toFixed(1)} s`,
    ...(tls ? [] : ['TLS off: nodes and broker talk in the clear on loopback, as the network file says']),
    detach ? 'end them with `semops down`' : 'Ctrl-C ends them',
  ])
  if (detach) return launched.release()
  await Promise.race([launched.ended, interrupted])
  await stopLaunched(context, launched)
}

/** Resolves with nothing when a person or the system asks this process to end. */
const onInterrupt = (): Promise<undefined> =>
  new Promise((resolvePromise) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => {
        resolvePromise(undefined)
      })
  })

const stopLaunched = async ({ dir, progress }: CliContext, launched: Launched): Promise<void> => {
  const stopping = progress('stopping')
  // Disconnecting says the same to a supervisor whose socket is not there yet.
  const { hosts } = await stopFleet(dir).catch((error: unknown) => {
    if (!(error instanceof CliError)) throw error
    launched.release()
    return { hosts: 0 }
  })
  await launched.ended
  stopping.done(`${hosts} hosts`)
}
