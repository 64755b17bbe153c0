/** What a fleet's supervisor says of it: kept in `fleet.json`, answered on its socket, shown by `semops status`. */
import type { HostRole } from './plan.ts'

export const HOST_STATES = ['starting', 'ready', 'stopping', 'stopped', 'failed'] as const
export type HostState = (typeof HOST_STATES)[number]

export type HostStatus = {
  readonly id: string
  readonly role: HostRole
  readonly realm: string
  readonly state: HostState
  readonly pid: number | undefined
  readonly startedAtMs: number | undefined
  readonly restarts: number
  /** Why it is not ready, from the end of its log. */
  readonly problem: string | undefined
}

export type FleetState = {
  readonly version: 1
  readonly network: string
  readonly state: 'starting' | 'ready' | 'stopping'
  readonly supervisorPid: number
  readonly natsUrl: string
  readonly natsPid: number
  readonly startedAtMs: number
  readonly hosts: readonly HostStatus[]
}
