/** What a fleet's supervisor says of it: kept in `fleet.json`, answered on its socket, shown by `semops status`. */
import type { HostRole } from './plan.ts'

/**
 * `held`: its ledger is older than what it has said, and it does nothing until an operator accepts that.
 * `revoked`: the broker does not let it in, and nobody believes its key; it is not started until it has new ones.
 */
export const HOST_STATES = ['starting', 'ready', 'held', 'stopping', 'stopped', 'failed', 'revoked'] as const
export type HostState = (typeof HOST_STATES)[number]

export type HostStatus = {
  readonly id: string
  readonly role: HostRole
  readonly realm: string
  readonly state: HostState
  readonly pid: number | undefined
  readonly startedAtMs: number | undefined
  readonly restarts: number
  /** Why it is not ready. */
  readonly problem: string | undefined
}

export type FleetState = {
  readonly version: 1
  readonly network: string
  readonly state: 'starting' | 'ready' | 'stopping'
  readonly supervisorPid: number
  readonly natsUrl: string
  /** Do nodes and broker talk under TLS? */
  readonly tls: boolean
  readonly natsPid: number
  readonly startedAtMs: number
  readonly hosts: readonly HostStatus[]
}

/** `enrolling`: its host is ready, and it is not yet enrolled, or its wallet is still locked. */
export type NodeState = HostState | 'enrolling'

/** A configured id: a processor, bank or data center is its own host; customers and merchants share one. */
export type NodeStatus = {
  readonly id: string
  readonly role: HostRole
  readonly state: NodeState
  readonly host: string
  readonly pid: number | undefined
}

/** What `status` answers: every configured id, and every process with the customers and merchants that it carries. */
export type FleetStatus = Omit<FleetState, 'hosts'> & {
  readonly nodes: readonly NodeStatus[]
  readonly hosts: readonly (HostStatus & {
    /** On a wallet host; at a CPP those enrolled there. */
    readonly customers?: readonly string[]
    /** On a merchant host; at an MPP those enrolled there. As addresses. */
    readonly merchants?: readonly string[]
  })[]
}

/** Tells a person how far a start is: `total` advances follow a step. */
export type Steps = {
  readonly step: (label: string, total: number) => void
  readonly advance: (note: string) => void
  readonly done: () => void
}

/** What a supervisor tells whoever started it, over IPC. */
export type StartMessage =
  | { readonly type: 'step'; readonly label: string; readonly total: number }
  | { readonly type: 'advance'; readonly note: string }
  | { readonly type: 'done' }
  | { readonly type: 'ready'; readonly nodes: number }
  | { readonly type: 'failed'; readonly message: string; readonly usage: boolean }
