/**
 * What a host is made of and what it offers: the seam between the runtime and whoever starts a host, `run.ts` with LMDB and
 * NATS, a test or the simulator with their twins in memory.
 */
import type { Broker, Bus } from '../../bus/bus.ts'
import type { Trust } from '../../protocol/credentials.ts'
import type { Gate } from './admission.ts'
import type { Passing } from './apply.ts'
import type { Clock } from './clock.ts'
import type { Die, Faults } from './faults.ts'
import type { GuestLogins } from './guests.ts'
import type { CredentialChain, FormerKeys, Identity, IdentityStatus } from './identity.ts'
import type { Chain } from './journal.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { AnyNodeDefinition, Decision, Delivery, Message, Reader, Self } from './node.ts'
import type { Random } from './random.ts'
import type { RevocationStatus } from './revocation.ts'
import type { Offender } from './senders.ts'
import type { StepName } from './steps.ts'
import type { Store } from './store.ts'

/** What a node's definition may be built from, beside its policy. */
export type NodeServices = {
  readonly self: Self
  readonly trust: Trust
  /** Keys and chains in force. Asked for at each use and never kept: a rotation exchanges them while the host runs. */
  readonly identity: () => Identity
  /** Guest logins of a wallet host. */
  readonly guests: GuestLogins
  /** 32 bytes that never leave this host: what a ledger keeps secret is encrypted under it. */
  readonly localKey: Uint8Array
  /** Data-center hosts of the own realm. */
  readonly dataCenters: readonly string[]
  readonly peerRealms: readonly string[]
  /**
   * This host's own committed messages, sealed again, by how they were delivered: evidence for who asks for it. Undefined for
   * what is not there, is confidential or was not sealed by the host's own key.
   */
  readonly framesOf: (sent: readonly Delivery[]) => Promise<readonly (Uint8Array | undefined)[]>
  /** A message of this host's own as a frame under its message key, to be nested in another: nothing is sent or kept. */
  readonly seal: (message: Message) => Promise<Uint8Array>
}

export type HostDeps = {
  readonly self: Self
  readonly define: (services: NodeServices) => AnyNodeDefinition
  readonly store: Store
  readonly broker: Broker
  readonly bus: Bus
  readonly clock: Clock
  readonly random: Random
  readonly trust: Trust
  readonly identity: Identity
  /** Keys that it had before. Default: none. */
  readonly former?: readonly FormerKeys[]
  readonly localKey: Uint8Array
  /** Default `batch`: what leaves in one step shares a signature. `single`: a signature for each message. */
  readonly seals?: 'batch' | 'single'
  /** Chains believed from the start: the own realm's data centers. */
  readonly trusted: readonly (readonly Uint8Array[])[]
  readonly dataCenters: readonly string[]
  readonly peerRealms: readonly string[]
  /** Parsed JSON: what the operator configured. */
  readonly policy: unknown
  /** `flushed`: published once it is on disk. `committed`: once it is committed, and a power cut may contradict it. */
  readonly durability: 'flushed' | 'committed'
  readonly log: Log
  /** There is something to do. May be called often, and from within `step`. */
  readonly onWork: () => void
  /** The host has stopped itself; nothing was published that the ledger does not hold. */
  readonly onFatal: (error: unknown) => void
  /** Default: nothing dies. */
  readonly die?: Die
  /** The journal is durable up to here: told before anything that depends on it is published. */
  readonly onDurable?: (head: Chain) => void
  /** Admissions that wait at most. Default: maxAdmissionQueue. */
  readonly maxAdmissions?: number
}

/** What a rotation brings. */
export type NewIdentity = {
  readonly identity: Identity
  readonly former: readonly FormerKeys[]
  /** Other hosts' chains, believed from now on too. */
  readonly trusted: readonly CredentialChain[]
}

export type Answer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: { readonly code: string; readonly detail: string } }

export type Host = {
  readonly self: Self
  /**
   * Opens the ledger's state, subscribes, and queues the `started` event. Nothing is decided, sent or committed before.
   * @param accepted what an operator says of the ledger: decided and journalled first
   * @throws LedgerMismatch, or Error for a bad policy
   */
  readonly start: (accepted?: Decision) => Promise<void>
  /** One batch. False when there was nothing to do or too much is being committed. */
  readonly step: () => boolean
  /** When a step is due though nothing has come: the next resend, and a sweep. Milliseconds of the host's clock. */
  readonly nextDueAtMs: () => number
  readonly nowMs: () => number
  /** A command of the control socket, decided by the node. */
  readonly command: (name: string, args: Readonly<Record<string, unknown>>) => Promise<Answer>
  /** A question, answered from what is committed. */
  readonly ask: (name: string, args: Readonly<Record<string, unknown>>) => Answer
  readonly setGate: (gate: Gate) => void
  readonly gate: () => Gate
  readonly identity: () => Identity
  readonly identityStatus: () => IdentityStatus
  /** Why `next` would be refused; undefined when it would be taken. */
  readonly identityProblem: (next: NewIdentity) => string | undefined
  /**
   * Takes new keys: whatever is sealed after the next step is sealed with them. Journalled; the node's `rotated` handler is told when
   * key or chains are others than before. BAD_CREDENTIALS, and nothing is changed, when they do not fit this host.
   */
  readonly adopt: (next: NewIdentity) => Promise<Answer>
  /** After the broker was exchanged: guests of a wallet host whose servers are gone follow it to the new ones. */
  readonly moveGuests: () => Promise<void>
  /** Accepts the wall clock after a jump. */
  readonly acceptClock: () => void
  /** Replaces the policy: a journalled row. */
  readonly setPolicy: (json: unknown) => Promise<Answer>
  readonly policyJson: () => string
  /**
   * Puts a list in force that an operator has, root-signed bytes, and answers what is in force then, once it is on disk; without
   * one, what is in force. The failure's code, and nothing changed, for a list that is not the root's or not newer.
   */
  readonly revocations: (list?: Uint8Array) => Promise<Answer>
  readonly revocationStatus: () => RevocationStatus
  /** What is under way: events, outbox entries, commits, jobs. */
  readonly inFlight: () => number
  readonly ready: () => boolean
  readonly stopped: () => boolean
  readonly metrics: Metrics
  readonly faults: Faults
  /** Names of the durable steps that this host may take (steps.ts). */
  readonly steps: readonly StepName[]
  /** Committed state only. */
  readonly read: Reader
  readonly lastSeq: () => number
  readonly passing: () => readonly Passing[]
  /** Senders whose frames failed, were refused for a rate or dropped, worst first. */
  readonly offenders: () => readonly Offender[]
  readonly depths: () => Readonly<Record<string, number>>
  /** Resolves when every batch so far is committed, flushed and published. */
  readonly settled: () => Promise<void>
  /** Unsubscribes and takes nothing more. Does not close store and bus, which are the caller's. */
  readonly stop: () => Promise<void>
}
