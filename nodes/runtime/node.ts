/**
 * The shape of a node (design §4): for every kind of event a pair load → decide. `load` reads synchronously; `decide` is pure
 * and total: slice, event and context in, a decision out. The runtime does everything else: it opens envelopes, dedupes,
 * commits a batch of decisions in one atomic transaction, waits for the flush, seals, publishes and resends.
 */
import type { Currency } from '../../protocol/amount.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import type { TSchema } from '../../protocol/fields.ts'
import type { Role } from '../../protocol/ids.ts'
import type { Beside, Body, KindName, KindThrough, KindTo, LiveKind } from '../../protocol/kinds.ts'
import type { Verified } from '../../protocol/verified.ts'
import type { KeyPart, Table } from './table.ts'

/** Reads rows as the events decided so far leave them, committed or staged. */
export type Reader = {
  readonly get: <Row extends object>(table: Table<Row>, ...key: readonly KeyPart[]) => Row | undefined
  /** Rows whose key begins with `prefix`, in key order, as [whole key, row]. */
  readonly scan: <Row extends object>(
    table: Table<Row>,
    prefix: readonly KeyPart[],
    options?: ScanOptions,
  ) => Iterable<readonly [Uint8Array, Row]>
}
export type ScanOptions = {
  readonly reverse?: boolean
  readonly limit?: number
  /** First key to visit, as parts after the prefix; inclusive. */
  readonly from?: readonly KeyPart[]
  /** First key not to visit, as parts after the prefix. */
  readonly before?: readonly KeyPart[]
}

export type Self<R extends Role = Role> = {
  readonly id: string
  readonly role: R
  readonly realm: string
  /** Of processors and banks; of a wallet or merchant host, its own id. */
  readonly operatorId: string
}

/** What a decision may know beside its slice. Time, chance and identity arrive as arguments. */
export type Context<Policy = unknown> = {
  readonly self: Self
  /** max(wall clock, highest persisted now): never goes back, also over a restart. */
  readonly nowMs: number
  /** A journalled row, changed by operator events only. */
  readonly policy: Policy
  /** 16 fresh random bytes at each call, of this event alone. */
  readonly freshId: () => Uint8Array
  /** `length` fresh random bytes. */
  readonly freshBytes: (length: number) => Uint8Array
}

/** Identifies a request that was seen, so that its answer can be stored under it and repeated for every duplicate. */
export type RequestRef = Uint8Array

/**
 * How long a message lives at its sender.
 * `until`: kept in the outbox under a key of the sender's choice and resent with back-off until a later decision forgets the
 *   key, a receipt comes for it, a permanent refusal comes for it (the node's `refused` handler is told), or it expires.
 * `answers`: stored under the request, and sent again whenever the same request comes again. The first is sent at once.
 * `once`: sent after the flush and forgotten.
 */
export type Delivery =
  { readonly until: readonly KeyPart[] } | { readonly answers: RequestRef } | { readonly once: true }

/** A message of this node's own. */
export type Message<K extends KindName = KindName> = K extends KindName
  ? {
      readonly kind: K
      /** The header's `to`. */
      readonly to: string
      readonly body: Body<K>
      readonly delivery: Delivery
      /**
       * The next hop's host, where it is not what kind and `to` say. By default a kind whose path goes through a data center is
       * published to the own realm's data-center address, and any other to `to`.
       */
      readonly nextHop?: { readonly role: Role; readonly host: string }
      /** Required exactly for kinds that expire. */
      readonly expiresAtMs?: number
      readonly correlationId?: Uint8Array
      readonly beside?: Beside<K>
      /** Confidential kinds: the addressee's X25519 key, where it is not that of the next hop's credential. */
      readonly sealingKey?: Uint8Array
      /** Who signs: the host's message key unless said otherwise. `device`: the key of a customer on this wallet host. */
      readonly signer?: { readonly device: string } | { readonly guest: string }
    }
  : never

/** Another's message, forwarded byte for byte to the next hop of its path. */
export type Relay = {
  readonly relay: KindName
  readonly frame: Uint8Array
  /** Content digest of the frame, to match a receipt or a refusal. */
  readonly digest: Uint8Array
  readonly nextHop: { readonly role: Role; readonly host: string }
  readonly delivery: Delivery
}

/** A table of any row: tables of different rows stand in one list, and a row's type is its table's. */
// oxlint-disable-next-line typescript/no-explicit-any -- a row type stands on both sides of encode and decode
export type AnyTable = Table<any>

export type Write = {
  readonly table: AnyTable
  readonly key: Uint8Array
  /** undefined deletes. */
  readonly row: object | undefined
}

/** A row that fires an event at or after `atMs`, also after a restart. (name, key, atMs) identify it. */
export type Deadline = { readonly name: string; readonly key: Uint8Array; readonly atMs: number }

/** One leg of a balanced booking; positive credits. Per decision and currency the legs must add up to zero. */
export type Posting = { readonly account: string; readonly currency: Currency; readonly amountMinor: bigint }

export type Job = { readonly name: string; readonly input: unknown }

export type Decision = {
  readonly writes: readonly Write[]
  readonly sends: readonly (Message | Relay)[]
  /** Outbox keys that need no resending any more. Forgetting an unknown key is nothing. */
  readonly forget: readonly (readonly KeyPart[])[]
  readonly set: readonly Deadline[]
  readonly clear: readonly Deadline[]
  readonly postings: readonly Posting[]
  readonly jobs: readonly Job[]
  /**
   * Refuses the message of this event. A permanent refusal is stored as its answer; a transient one never. Nothing else of
   * the decision may be set with a transient refusal.
   */
  readonly refuse: { readonly code: FailureCode; readonly detail: string } | undefined
  /** What happened, for the journal, the log and the trace; `event` in the past tense: `payment-confirmed`. */
  readonly record: Record_ | undefined
  /** Told to control connections that wait for the topic, after the flush. */
  readonly announce: readonly { readonly topic: string; readonly value: unknown }[]
  /** Housekeeping that nobody asks about: staged, not journalled. Nothing may be sent, posted, started or refused with it. */
  readonly quiet?: boolean
  /** Answers a control command, after the flush; `replyOn` answers when the topic is announced. */
  readonly reply: unknown
  readonly replyOn: string | undefined
}
export type Record_ = {
  readonly event: string
  /** Ids by which a trace finds this: prId on the customer's side, pnId, txId, orderId elsewhere. */
  readonly ids: readonly Uint8Array[]
  readonly level?: 'debug' | 'info' | 'warn'
  readonly fields?: Readonly<Record<string, unknown>>
}

const NOTHING: Decision = {
  writes: [],
  sends: [],
  forget: [],
  set: [],
  clear: [],
  postings: [],
  jobs: [],
  refuse: undefined,
  record: undefined,
  announce: [],
  reply: undefined,
  replyOn: undefined,
}

/** A decision with the given parts; all others are empty. */
export const decision = (parts: Partial<Decision> = {}): Decision => ({ ...NOTHING, ...parts })

export const refuse = (code: FailureCode, detail = ''): Decision => decision({ refuse: { code, detail } })

/** Parts of several rules put together; the last `refuse`, `record`, `reply` and `replyOn` given win. */
export const combine = (...parts: readonly Partial<Decision>[]): Decision => {
  const all = { ...NOTHING }
  for (const part of parts) {
    all.writes = joined(all.writes, part.writes)
    all.sends = joined(all.sends, part.sends)
    all.forget = joined(all.forget, part.forget)
    all.set = joined(all.set, part.set)
    all.clear = joined(all.clear, part.clear)
    all.postings = joined(all.postings, part.postings)
    all.jobs = joined(all.jobs, part.jobs)
    all.announce = joined(all.announce, part.announce)
    all.refuse = part.refuse ?? all.refuse
    all.record = part.record ?? all.record
    if (part.reply !== undefined) all.reply = part.reply
    all.replyOn = part.replyOn ?? all.replyOn
  }
  return all
}
/** Of most parts of a payment's decision one list or both are empty: then nothing is copied. */
const joined = <T>(before: readonly T[], more: readonly T[] | undefined): readonly T[] =>
  more === undefined || more.length === 0 ? before : before.length === 0 ? more : [...before, ...more]

export const put = <Row extends object>(table: Table<Row>, key: Uint8Array, row: Row): Write => ({ table, key, row })
export const remove = <Row extends object>(table: Table<Row>, key: Uint8Array): Write => ({
  table,
  key,
  row: undefined,
})

/** A message as the node's decisions see it: verified, new (never seen under its id), and the reference for its answer. */
export type Incoming<K extends KindName = KindName> = K extends KindName
  ? { readonly message: Verified<K>; readonly ref: RequestRef }
  : never

/** What became of a message in the outbox that the node must know. */
export type Refused = {
  readonly kind: KindName
  readonly key: Uint8Array
  readonly code: FailureCode
  readonly detail: string
  readonly by: string
}

/** A newer revocation list is in force: its version, and every key on it. */
export type Revoked = { readonly version: number; readonly keyIds: readonly Uint8Array[] }

/** Another's frame that was to be forwarded, and whose key has been revoked since: it is not sent. */
export type Stale = { readonly kind: KindName; readonly frame: Uint8Array; readonly digest: Uint8Array }

type Handler<Event, Policy> = (read: Reader, event: Event, context: Context<Policy>) => Decision

/** Joins a load and a decide into one handler: the only place where a slice is made and used. */
export const on =
  <Event, Slice, Policy>(
    load: (read: Reader, event: Event) => Slice,
    decide: (slice: Slice, event: Event, context: Context<Policy>) => Decision,
  ): Handler<Event, Policy> =>
  (read, event, context) =>
    decide(load(read, event), event, context)

/** Kinds that the runtime itself handles for every node. */
export type RuntimeKind =
  'receipt' | 'refusal' | 'undeliverable' | 'credential-record' | 'revocation-query' | 'revocation-record'
/** Kinds a node of role `R` decides on: all that it receives; a data center only those addressed to it, it relays the rest. */
export type HandledKind<R extends Role> = Exclude<LiveKind & (R extends 'dc' ? KindTo<R> : KindThrough<R>), RuntimeKind>

export type DeadlineEvent = { readonly name: string; readonly key: Uint8Array; readonly atMs: number }
export type ControlEvent = { readonly command: string; readonly args: Readonly<Record<string, unknown>> }
export type JobEvent = { readonly name: string; readonly input: unknown; readonly result: unknown }

/** One figure of a ledger that `verify` compares across nodes; `name` is from `nodes/runtime/figures.ts`. */
export type Figure = {
  readonly name: string
  readonly currency: Currency | undefined
  readonly valueMinor: bigint
}

// oxlint-disable-next-line typescript/no-explicit-any -- a policy stands only where handlers read it: any fits any node
export type NodeDefinition<R extends Role = Role, Policy = any> = {
  readonly role: R
  readonly tables: readonly AnyTable[]
  /** One handler for each kind this role receives: the compiler demands every one. */
  readonly messages: { readonly [K in HandledKind<R>]: Handler<Incoming<K>, Policy> }
  readonly deadlines: Readonly<Record<string, Handler<DeadlineEvent, Policy>>>
  /** Commands of the control socket that change something. @throws nothing: a bad argument is a refusal in `reply`. */
  readonly controls: Readonly<Record<string, Handler<ControlEvent, Policy>>>
  /** Questions of the control socket, answered from what is committed. */
  readonly reads: Readonly<
    Record<string, (read: Reader, args: Readonly<Record<string, unknown>>, context: Context<Policy>) => unknown>
  >
  /** Slow things, run off the step loop; the result returns as a job event. */
  readonly jobs: Readonly<Record<string, (input: unknown) => Promise<unknown>>>
  readonly finished: Readonly<Record<string, Handler<JobEvent, Policy>>>
  /** First event after the ledger is open and the bus subscribed: registrations, work that a crash interrupted. */
  readonly started: Handler<Record<string, never>, Policy>
  /**
   * This host has other keys or chains than before: those who verify what it seals are to be told. Not called at a start, which
   * tells them anyway. Default: nothing to tell.
   */
  readonly rotated?: Handler<Record<string, never>, Policy>
  /**
   * The policy is another than before, set by an operator or by the configuration, at a start before `started`: what earlier
   * decisions armed by the old one is to be set anew. Default: nothing.
   */
  readonly policyChanged?: Handler<Record<string, never>, Policy>
  /** A permanent refusal of something in the outbox. The runtime has forgotten the entry already. */
  readonly refused: Handler<Refused, Policy>
  /** A receipt for something in the outbox. The runtime has forgotten the entry already. */
  readonly receipted: Handler<{ readonly kind: KindName; readonly key: Uint8Array }, Policy>
  /** A newer revocation list is in force; not told again after a restart. Default: nothing. */
  readonly revoked?: Handler<Revoked, Policy>
  /** A relay whose key is revoked was due: the node may ask its originator for it under another. Default: it is sent, in vain. */
  readonly stale?: Handler<Stale, Policy>
  /** Whom to ask for the newest revocation list: ids of data centers. Default: the own realm's address. */
  readonly revocationSources?: (read: Reader, context: Context<Policy>) => readonly string[]
  /** Public signing keys that are rows of this ledger: a customer's device key at its CPP. `revoked`: the device is lost. */
  readonly deviceKey?: (
    read: Reader,
    customer: string,
  ) => { readonly publicKey: Uint8Array; readonly host: string } | 'revoked' | undefined
  /** Names beside the host's own id that are addressed here: a wallet host's customers and their aliases. Default: none. */
  readonly answersTo?: (read: Reader, id: string) => boolean
  /** 32-byte seeds of device keys that are rows of this ledger: what `signer: { device }` stands for on a wallet host. */
  readonly deviceSeed?: (read: Reader, customer: string) => Uint8Array | undefined
  /** Controls that start something new: refused with PAUSED while admissions are paused. Default: none. */
  readonly admissions?: readonly string[]
  /**
   * Schema of the policy. From JSON, money is decimal text or a whole number, bytes are hex (json.ts); what the operator left out
   * is taken from `policyDefaults`, one level deep. Without a schema the policy is the plain JSON of the configuration.
   */
  readonly policySchema?: TSchema
  readonly policyDefaults?: Readonly<Record<string, unknown>>
  /** A data center's routing of what is not addressed to it; undefined: no route. */
  readonly route?: (
    read: Reader,
    message: Verified,
    context: Context<Policy>,
  ) => { readonly role: Role; readonly host: string } | undefined
  /** Is the node ready to serve: registered, enrolled? Part of readiness beside ledger and bus. */
  readonly ready: (read: Reader, context: Context<Policy>) => boolean
}

/** A definition of whatever role and policy, as the runtime takes it. */
export type AnyNodeDefinition = Omit<NodeDefinition, 'messages'> & {
  // oxlint-disable-next-line typescript/no-explicit-any -- handlers of different kinds stand in one map
  readonly messages: { readonly [K in KindName]?: Handler<any, any> }
}
