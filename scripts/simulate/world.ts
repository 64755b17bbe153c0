/**
 * The simulated network as those see it who act in it: the people who pay and the faults that happen to it.
 * Everything is virtual time and seeded chance; nothing here waits for the real world.
 */
import type { Answer } from '../../nodes/runtime/host-types.ts'

export type HostRole = 'dc' | 'bank' | 'cpp' | 'mpp' | 'merchant' | 'customer'

export type Topology = {
  readonly intermediaries: 'one' | 'two'
  readonly realms: readonly string[]
  readonly hosts: readonly { readonly id: string; readonly role: HostRole; readonly realm: string }[]
  readonly customers: readonly {
    readonly id: string
    readonly host: string
    readonly cpp: string
    /** `bank:name` */
    readonly account: string
    readonly currency: string
    readonly pin: string
    /** By which others pay it, if it has one. */
    readonly alias?: string
  }[]
  readonly payees: readonly {
    readonly id: string
    readonly host: string
    readonly mpp: string
    readonly account: string
    readonly currency: string
    readonly approval: 'approve' | 'reject-all' | 'silent'
    readonly refundPin: string
  }[]
  /** The bank whose reserves settle between the others; undefined in a network of one bank. */
  readonly settlementBank: string | undefined
}

export type Draws = {
  /** 0 … limit − 1 */
  readonly below: (limit: number) => number
  readonly chance: (share: number) => boolean
  readonly pick: <T>(items: readonly T[]) => T
  readonly bytes: (length: number) => Uint8Array
}

export type World = {
  readonly seed: string
  readonly topology: Topology
  /** A stream of its own for each name, so that one part's draws do not move another's. */
  readonly draws: (name: string) => Draws
  /** True time; hosts' clocks may be wrong. */
  readonly nowMs: () => number
  /** Runs once, that much later. What it throws is a violation of the simulation's own. */
  readonly after: (delayMs: number, act: () => void) => void
  readonly isUp: (host: string) => boolean
  /** Of committed state; undefined while the host is down. */
  readonly ask: (host: string, read: string, args?: Readonly<Record<string, unknown>>) => Answer | undefined
  /** Undefined when the host is down, dies before it answers, or does not answer within the simulated time given. */
  readonly command: (
    host: string,
    name: string,
    args?: Readonly<Record<string, unknown>>,
    withinMs?: number,
  ) => Promise<Answer | undefined>
  /** No fault happens any more, and all hosts are up. */
  readonly faultsAreOver: () => boolean
  /** Hex of the public key that an account is opened with. */
  readonly holderKey: (account: string) => string
  /** Hex of what lets the operator of this host, a CPP or an MPP, debit an account. */
  readonly mandate: (account: string, host: string, currency: string) => string
  /** Of a running host, as JSON; undefined while it is down. */
  readonly policyOf: (host: string) => unknown
  /** What its operator sets, whole. Undefined as of a command. */
  readonly setPolicy: (host: string, policy: unknown) => Promise<Answer | undefined>
  /**
   * New keys for a running host, and for whom it certifies the same keys under them; a certified host that is down takes its
   * credential at its next start. False when the host is down or dies meanwhile.
   */
  readonly rotate: (host: string) => Promise<boolean>
  /** Every key that this host had before its last rotation is on the root's list from now on, given to a data center that is up. */
  readonly revokeFormer: (host: string) => Promise<boolean>
}
