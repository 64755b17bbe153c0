/** `semops kill`: ends one host as a power cut would, to see what the others make of it. */
import type { Command } from 'commander'
import { addExamples } from '../cli/help.ts'
import { changeHost } from '../fleet/change-host.ts'

export const register = (program: Command): void => {
  const command = program
    .command('kill')
    .description('end a host with SIGKILL, in the middle of whatever it does')
    .argument(
      '<id>',
      'a host, or a customer or merchant whose host is meant; `nats` kills the broker and starts it again',
    )
    .action((id: string, _options: unknown, self: Command) => changeHost(self, id, 'kill-host', 'killing'))
  addExamples(command, [
    ['kill hu-otp', 'the CPP loses power; `semops restart hu-otp` brings it back, with every payment it had taken on'],
  ])
}
