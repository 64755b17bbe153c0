/** `semops supervise`: the process behind `semops up`. Not for people: its progress goes to the one who started it, over IPC. */
import type { Command } from 'commander'
import { contextOf } from '../cli/context.ts'
import { fleetDirectory } from '../fleet/directory.ts'
import { supervise } from '../fleet/supervise.ts'

export const register = (program: Command): void => {
  program
    .command('supervise', { hidden: true })
    .description('run the processes of a network (started by `semops up`)')
    .option('--detach', 'live on when the one who started it ends')
    .action(async ({ detach = false }: { readonly detach?: boolean }, self: Command) => {
      await supervise(fleetDirectory(contextOf(self).dir), { detach })
    })
}
