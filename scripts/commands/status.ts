/** `semops status`: every node of a network and the process that it lives in. */
import type { Command } from 'commander'
import { contextOf } from '../cli/context.ts'
import { addExamples } from '../cli/help.ts'
import type { Column, Output } from '../cli/output.ts'
import { withFleet } from '../fleet/client.ts'
import type { FleetStatus, NodeStatus } from '../fleet/state.ts'

export const register = (program: Command): void => {
  const command = program
    .command('status')
    .description('show every node: role, state, host, process; hosts with the customers and merchants they carry')
    .action(async (_options: unknown, self: Command) => {
      const { dir, output, exit } = contextOf(self)
      const status = await withFleet(dir, (fleet) => fleet.supervisor('status'))
      output.fact(status, () => shown(status, output))
      if (status.nodes.some(({ state }) => state === 'failed' || state === 'held')) exit('checkFailed')
    })
  addExamples(command, [
    ['status', 'a table of hosts, and how many customers and merchants each carries'],
    ['status --json', 'every node: {"nodes":[{"id","role","state","host","pid"},…],"hosts":[…],…}'],
  ])
}

type HostRow = FleetStatus['hosts'][number]

const carries = ({ customers, merchants }: HostRow): string => {
  const names = [...(merchants ?? []), ...(customers ?? [])]
  const shownNames = names.slice(0, 3).join(', ')
  return names.length > 3 ? `${shownNames} and ${names.length - 3} more` : shownNames
}

const COLUMNS = ({ style }: Output): readonly Column<HostRow>[] => [
  { title: 'host', cell: ({ id }) => id },
  { title: 'role', cell: ({ role }) => role },
  { title: 'state', cell: ({ state }) => style(COLOURS[state] ?? 'yellow', state) },
  { title: 'pid', align: 'right', cell: ({ pid }) => (pid === undefined ? '' : String(pid)) },
  { title: 'restarts', align: 'right', cell: ({ restarts }) => (restarts === 0 ? '' : String(restarts)) },
  { title: 'carries', cell: (host) => host.problem ?? carries(host) },
]
const COLOURS: Partial<Record<NodeStatus['state'], 'green' | 'red' | 'yellow'>> = {
  ready: 'green',
  failed: 'red',
  held: 'red',
  revoked: 'red',
}

const shown = (status: FleetStatus, output: Output): readonly string[] => {
  const ready = status.nodes.filter(({ state }) => state === 'ready').length
  return [
    `${status.network}: ${status.state}, ${ready} of ${status.nodes.length} nodes ready, broker ${status.natsUrl} (pid ${status.natsPid})${status.tls ? '' : ', TLS off'}`,
    '',
    ...output.rows(COLUMNS(output), status.hosts),
  ]
}
