/** `semops policy`: what a host's operator decided, shown or changed while it runs. */
import type { Command } from 'commander'
import { stringify } from 'yaml'
import { contextOf } from '../cli/context.ts'
import { addExamples } from '../cli/help.ts'
import { withFleet } from '../fleet/client.ts'
import { changePolicy, policyOfNode, readChange } from '../fleet/policy.ts'

export const register = (program: Command): void => {
  const command = program
    .command('policy')
    .description('show the policy of a running host, or change it')
    .argument('<node>', 'a host, or a customer or merchant whose host is meant')
    .option('--set <change>', 'settings that replace those in force: JSON, or a file of JSON or YAML')
    .action(async (id: string, { set }: { readonly set?: string }, self: Command) => {
      const { dir, output } = contextOf(self)
      const change = set === undefined ? undefined : await readChange(set)
      const found = await withFleet(dir, (fleet) =>
        change === undefined ? policyOfNode(fleet, id) : changePolicy(fleet, id, change),
      )
      output.fact(found, () => stringify({ [found.id]: found.policy }).trimEnd())
    })
  addExamples(command, [
    ['policy hu-otp', 'what the network file, or an operator, has set; all else is as by default'],
    [
      `policy hu-otp --set '{"aggregation":{"policy":"window","windowMs":3600000}}'`,
      'everybody is collected each hour',
    ],
    ['policy hu-otp --set bulk.yaml', 'from a file; kept over a restart'],
  ])
}
