/** `semops restart`: ends a host in order, if it runs, and starts it again. */
import type { Command } from 'commander'
import { addExamples } from '../cli/help.ts'
import { changeHost } from '../fleet/change-host.ts'

export const register = (program: Command): void => {
  const command = program
    .command('restart')
    .description('end a host in order, if it runs, and start it again; wallets whose PINs the fleet knows are unlocked')
    .argument('<id>', 'a host, or a customer or merchant whose host is meant; `nats` is the broker')
    .action((id: string, _options: unknown, self: Command) => changeHost(self, id, 'restart-host', 'restarting'))
  addExamples(command, [
    ['restart hu-kh', 'a bank'],
    ['restart bakery@hu', 'the host that carries the bakery'],
    ['restart nats', 'the broker: hosts reconnect and send again what has no answer'],
  ])
}
