/** What `kill` and `restart` share: one change of one host, told with whom else it concerns. */
import type { Command } from 'commander'
import { contextOf } from '../cli/context.ts'
import { hostOf, withFleet, type SupervisorCommand } from './client.ts'
import type { FleetStatus } from './state.ts'

/** Sends `name` for the host that runs or carries `id`, and prints what became of it. */
export const changeHost = async (self: Command, id: string, name: SupervisorCommand, doing: string): Promise<void> => {
  const { dir, output, progress } = contextOf(self)
  await withFleet(dir, async (fleet) => {
    const host = id === 'nats' ? id : hostOf(fleet.plan, id)
    const shown = progress(`${doing} ${host}`)
    const status = await (
      host === 'nats'
        ? fleet.supervisor('restart-nats', { kill: name === 'kill-host' })
        : fleet.supervisor(name, { id: host })
    ).catch((error: unknown) => {
      shown.fail('failed')
      throw error
    })
    shown.done()
    const fact = factOf(status, host)
    output.fact(fact, () => `${fact.id} is ${fact.state}${fact.pid === undefined ? '' : `, pid ${fact.pid}`}`)
  })
}

const factOf = (status: FleetStatus, id: string) => {
  if (id === 'nats') return { id, state: 'ready', pid: status.natsPid }
  const found = status.hosts.find((host) => host.id === id)
  return { id, state: found?.state ?? 'stopped', pid: found?.pid }
}
