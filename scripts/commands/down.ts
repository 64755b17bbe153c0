/** `semops down`: ends a network in order. Its directory stays, so that `semops up` goes on with the same money. */
import type { Command } from 'commander'
import { contextOf } from '../cli/context.ts'
import { addExamples } from '../cli/help.ts'
import { stopFleet } from '../fleet/stop.ts'

export const register = (program: Command): void => {
  const command = program
    .command('down')
    .description('end a network; ledgers, keys and logs stay in its run directory')
    .action(async (_options: unknown, self: Command) => {
      const { dir, output, progress } = contextOf(self)
      const startedAt = performance.now()
      const stopping = progress('stopping')
      const { hosts, wasRunning } = await stopFleet(dir).catch((error: unknown) => {
        stopping.fail('nothing to stop')
        throw error
      })
      stopping.done(`${hosts} hosts`)
      const ms = Math.round(performance.now() - startedAt)
      output.fact({ state: 'stopped', hosts, ms }, () =>
        wasRunning ? 'the network is down; `semops up` starts it again' : 'the supervisor was gone; the rest is ended',
      )
    })
  addExamples(command, [['down', 'end the network of the run directory']])
}
