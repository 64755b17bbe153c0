/** `semops trace`: every hop of one payment, at every node it touched. */
import type { Command } from 'commander'
import { formatAmount } from '../../protocol/amount.ts'
import { contextOf } from '../cli/context.ts'
import { CliError } from '../cli/errors.ts'
import { addExamples } from '../cli/help.ts'
import { readPlan } from '../fleet/client.ts'
import { fleetDirectory } from '../fleet/directory.ts'
import { traceLines } from '../fleet/show-trace.ts'
import { closeSources, openSources } from '../fleet/sources.ts'
import { tracePayment, type Trace } from '../fleet/trace.ts'

export const register = (program: Command): void => {
  const command = program
    .command('trace')
    .description('show every hop of a payment: node, message, time, data centers included')
    .argument('<id>', 'paymentId as `semops pay` prints it, or pnId, or txId')
    .action(async (id: string, _options: unknown, self: Command) => {
      const { dir, output } = contextOf(self)
      if (!/^[0-9a-f]{32}$/i.test(id))
        throw new CliError('usage', `${id} is no id: 32 hex digits, as \`semops pay\` prints`)
      const trace = await traced(dir, id.toLowerCase())
      if (trace.hops.length === 0) throw new CliError('usage', `no node of this network knows ${id}`)
      output.fact(trace, () => [headline(trace), '', ...traceLines(trace, output)])
    })
  addExamples(command, [
    ['trace b976b4201990faa8f54af020d4bdf7ee', 'a table for people'],
    ['trace b976b4201990faa8f54af020d4bdf7ee --json', '{"hops":[{"node","role","kind","atMs",…},…],…}'],
  ])
}

const traced = async (dir: string, id: string): Promise<Trace> => {
  const directory = fleetDirectory(dir)
  const sources = await openSources(directory, await readPlan(directory))
  try {
    return await tracePayment(sources, id)
  } finally {
    await closeSources(sources)
  }
}

const headline = ({ amountMinor, currency, payee, state, hops }: Trace): string => {
  const nodes = new Set(hops.map(({ node }) => node)).size
  const money =
    amountMinor === undefined || currency === undefined ? '' : `${formatAmount(amountMinor, currency)} ${currency} `
  return `${money}to ${payee ?? 'nobody known'}: ${state ?? 'no payment'}, ${hops.length} hops at ${nodes} nodes`
}
