/** Every host of a network that this machine knows of: those of its plan, and those that were issued a file and run from it here. */
import { defaultLedger } from './attached-node.ts'
import type { FleetDirectory } from './directory.ts'
import { connectHostAt, type HostClient } from './host-client.ts'
import type { Register } from './key-room.ts'
import type { HostRole, Plan } from './plan.ts'
import { join } from 'node:path'

export type KnownHost = {
  readonly id: string
  readonly role: HostRole
  readonly planned: boolean
  readonly certifiedBy: readonly string[]
  /** Its credentials. */
  readonly file: string
  /** A connection; undefined while it does not run, or runs where nobody here knows. */
  readonly connect: () => Promise<HostClient | undefined>
}

const connectOr = async (id: string, socket: string): Promise<HostClient | undefined> => {
  try {
    return await connectHostAt(id, socket)
  } catch {
    return undefined
  }
}

export const knownHosts = (directory: FleetDirectory, plan: Plan, { ids }: Register): readonly KnownHost[] => {
  const planned = plan.hosts.map(({ id, role, certifiedBy }): KnownHost => ({
    id,
    role,
    planned: true,
    certifiedBy,
    file: directory.credentials(id),
    connect: () => connectOr(id, directory.socket(id)),
  }))
  const issued = Object.values(ids)
    .filter(({ id }) => !plan.hosts.some((host) => host.id === id))
    .map(({ id, role, certifiedBy, file }): KnownHost => ({
      id,
      role,
      planned: false,
      certifiedBy,
      file,
      connect: () => connectOr(id, join(defaultLedger(file, id), `${id}.sock`)),
    }))
  return [...planned, ...issued]
}
