/** `semops schema`: the JSON Schema of `network.yaml`, for editors and checkers. */
import type { Command } from 'commander'
import { contextOf } from '../cli/context.ts'
import { addExamples } from '../cli/help.ts'
import { NetworkFile } from '../fleet/network-schema.ts'

export const register = (program: Command): void => {
  const command = program
    .command('schema')
    .description('print the JSON Schema of network.yaml')
    .action((_options: unknown, self: Command) => {
      const { output } = contextOf(self)
      output.fact(NetworkFile, () => JSON.stringify(NetworkFile, undefined, 2))
    })
  addExamples(command, [['schema > network.schema.json', 'for `# yaml-language-server: $schema=network.schema.json`']])
}
