/** A running fleet, as the commands see it: found by its directory, asked over its sockets. */
import { readFile } from 'node:fs/promises'
import { connectControl, ControlError, type ControlClient } from '../../nodes/runtime/control-client.ts'
import { CliError } from '../cli/errors.ts'
import { within } from './concurrency.ts'
import { fleetDirectory, readJson, type FleetDirectory } from './directory.ts'
import { connectHost, type HostClient } from './host-client.ts'
import { NetworkFileError, parseNetwork } from './network.ts'
import { planNetwork, type Plan } from './plan.ts'
import type { FleetStatus } from './state.ts'

/** The longest that a change of the fleet takes: all hosts that drain for as long as they may. */
const CHANGE_TIMEOUT_MS = 180_000

export type SupervisorCommand =
  'status' | 'start-host' | 'stop-host' | 'kill-host' | 'restart-host' | 'accept-ledger' | 'restart-nats' | 'down'

export type Fleet = {
  readonly directory: FleetDirectory
  readonly plan: Plan
  /** @throws CliError when the fleet is gone, or says why it can not */
  readonly supervisor: (name: SupervisorCommand, args?: Readonly<Record<string, unknown>>) => Promise<FleetStatus>
  /** A connection to a host, kept until `close`, made anew when the host was started again. @throws CliError when it does not run */
  readonly host: (id: string) => Promise<HostClient>
  /** The PIN of a customer whom the fleet made, or of a merchant host for its refunds; undefined for others. */
  readonly pin: (owner: string) => Promise<string | undefined>
  readonly close: () => void
}

const isGone = (error: unknown): boolean => {
  const code = (error as NodeJS.ErrnoException).code
  return code === 'ENOENT' || code === 'ECONNREFUSED'
}

/** The plan of a fleet's directory, running or not. @throws CliError when there is no fleet */
export const readPlan = async (directory: FleetDirectory): Promise<Plan> => {
  try {
    return planNetwork(parseNetwork(await readFile(directory.networkFile, 'utf8'), directory.networkFile))
  } catch (error) {
    if (error instanceof NetworkFileError) throw new CliError('usage', error.message)
    if (!isGone(error)) throw error
    throw new CliError('environment', `no network in ${directory.root}; start one with \`semops up\``)
  }
}

/** @throws CliError when no network runs there */
export const openFleet = async (dir: string): Promise<Fleet> => {
  const directory = fleetDirectory(dir)
  const plan = await readPlan(directory)
  const supervisor = await connectControl(directory.supervisorSocket).catch((error: unknown) => {
    if (!isGone(error)) throw error
    throw new CliError('environment', `the network in ${dir} is not running; start it with \`semops up\``)
  })
  const hosts = new Map<string, Promise<HostClient>>()
  const connected = async (id: string): Promise<HostClient> => {
    try {
      return await connectHost(directory, id)
    } catch (error) {
      if (!isGone(error)) throw error
      throw new CliError('environment', `${id} is not running; start it with \`semops restart ${id}\``)
    }
  }
  return {
    directory,
    plan,
    supervisor: (name, args) => askSupervisor(supervisor, name, args),
    host: (id) => {
      // One after the other, so that two who find a connection broken make one new one.
      const before = hosts.get(id) ?? Promise.resolve(undefined)
      const open = before.then(
        (client) => (client?.isOpen() === true ? client : connected(id)),
        () => connected(id),
      )
      hosts.set(id, open)
      return open
    },
    pin: async (owner) => (await readJson<Readonly<Record<string, string>>>(directory.pinsFile))?.[owner],
    close: () => {
      supervisor.close()
      for (const host of hosts.values())
        host.then(
          (client) => client.close(),
          () => undefined,
        )
    },
  }
}

const askSupervisor = async (
  supervisor: ControlClient,
  name: SupervisorCommand,
  args: Readonly<Record<string, unknown>> = {},
): Promise<FleetStatus> => {
  try {
    const asked = supervisor.command<FleetStatus>(name, args)
    return await within(CHANGE_TIMEOUT_MS, `the supervisor did not answer ${name} in time`, asked)
  } catch (error) {
    if (error instanceof ControlError) throw new CliError('environment', error.detail)
    throw error
  }
}

/** Opens a fleet for as long as `act` runs. */
export const withFleet = async <T>(dir: string, act: (fleet: Fleet) => Promise<T>): Promise<T> => {
  const fleet = await openFleet(dir)
  try {
    return await act(fleet)
  } finally {
    fleet.close()
  }
}

/** The host that runs or carries a configured id: a host's own id, a customer, `bakery@hu` or `hu-bakery`. */
export const hostOf = (plan: Plan, id: string): string => {
  const token = /^(.+)@(.+)$/.exec(id)
  const payee = token === null ? id : `${token[2]}-${token[1]}`
  const host =
    plan.hosts.find((one) => one.id === id)?.id ??
    (token === null ? plan.customers.find((one) => one.customer === id)?.host : undefined) ??
    plan.payees.find((one) => one.payee === payee)?.host
  if (host === undefined) throw new CliError('usage', `no node ${id}; \`semops status\` lists them`)
  return host
}
