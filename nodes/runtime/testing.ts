/**
 * What decision-table tests need: a ledger in memory, messages that look verified without being so, and a context whose
 * time, ids and randomness are known. For tests only: nothing here checks a seal.
 */
import { createHash } from 'node:crypto'
import { pack } from 'msgpackr'
import { utf8 } from '../../protocol/bytes.ts'
import type { Result } from '../../protocol/failures.ts'
import { ok } from '../../protocol/failures.ts'
import { ENVELOPE_VERSION, type Header } from '../../protocol/header.ts'
import { isNodeId, realmOf, type Role } from '../../protocol/ids.ts'
import { KINDS, type Beside, type Body, type KindName } from '../../protocol/kinds.ts'
import type { MerchantChain, Nested, Verified } from '../../protocol/verified.ts'
import { assertDecision } from './decision-check.ts'
import type { Context, Deadline, Decision, Incoming, Message, Reader, Relay, Self, Write } from './node.ts'
import { requestRef } from './request-ref.ts'
import { afterPrefix, keyBytes, keyText, sortedMap, type SortedMap } from './sorted-map.ts'
import { keyOf, type KeyPart, type Table } from './table.ts'

/** A ledger in memory: rows go through their table's encoding, so that a row which cannot be stored fails the test. */
export type TestLedger = Reader & {
  readonly put: <Row extends object>(table: Table<Row>, key: Uint8Array, row: Row) => void
  readonly rows: <Row extends object>(table: Table<Row>) => readonly Row[]
  /** `until` messages not yet forgotten, by key text, in the order they were sent. */
  readonly outbox: ReadonlyMap<string, Message | Relay>
  /** Every message sent so far, of any delivery. */
  readonly sent: readonly (Message | Relay)[]
  /** Deadlines set and not cleared, earliest first. */
  readonly deadlines: () => readonly Deadline[]
  /** Checks the decision's invariants and applies writes, outbox and deadlines. @throws InvariantBroken */
  readonly apply: (decision: Decision) => void
}

const deadlineText = ({ name, key, atMs }: Deadline): string => keyText(keyOf(atMs, name, key))

/** @param writes rows the ledger starts with, made by `put(table, key, row)` of node.ts */
export const testLedger = (...writes: readonly Write[]): TestLedger => {
  const tables = new Map<string, SortedMap<Uint8Array>>()
  const rowsOf = (table: Table<any>): SortedMap<Uint8Array> => {
    let rows = tables.get(table.name)
    if (rows === undefined) tables.set(table.name, (rows = sortedMap<Uint8Array>()))
    return rows
  }
  const write = ({ table, key, row }: Write): void => {
    if (row === undefined) rowsOf(table).delete(keyText(key))
    else rowsOf(table).set(keyText(key), table.encode(row))
  }
  for (const first of writes) write(first)
  const outbox = new Map<string, Message | Relay>()
  const sent: (Message | Relay)[] = []
  const deadlines = sortedMap<Deadline>()
  return {
    get: (table, ...key) => {
      const bytes = rowsOf(table).get(keyText(keyOf(...key)))
      return bytes === undefined ? undefined : table.decode(bytes)
    },
    scan: function* (table, prefix, options = {}) {
      const { from, before } = scanBounds(prefix, options)
      let left = options.limit ?? Number.POSITIVE_INFINITY
      for (const [key, bytes] of rowsOf(table).range({ from, before, reverse: options.reverse })) {
        if (left-- <= 0) return
        yield [keyBytes(key), table.decode(bytes)]
      }
    },
    put: (table, key, row) => write({ table, key, row }),
    rows: (table) => [...rowsOf(table).range()].map(([, bytes]) => table.decode(bytes)),
    outbox,
    sent,
    deadlines: () => [...deadlines.range()].map(([, deadline]) => deadline),
    apply: (decision) => {
      assertDecision(decision)
      decision.writes.forEach(write)
      for (const key of decision.forget) outbox.delete(keyText(keyOf(...key)))
      for (const send of decision.sends) {
        sent.push(send)
        if ('until' in send.delivery) outbox.set(keyText(keyOf(...send.delivery.until)), send)
      }
      for (const deadline of decision.clear) deadlines.delete(deadlineText(deadline))
      for (const deadline of decision.set) deadlines.set(deadlineText(deadline), deadline)
    },
  }
}

/** Key texts that a scan starts at and ends before. */
export const scanBounds = (
  prefix: readonly KeyPart[],
  options: { readonly from?: readonly KeyPart[]; readonly before?: readonly KeyPart[] } = {},
): { readonly from: string; readonly before: string | undefined } => {
  const start = prefix.length === 0 ? '' : keyText(keyOf(...prefix))
  return {
    from: options.from === undefined ? start : start + keyText(keyOf(...options.from)),
    before: options.before === undefined ? afterPrefix(start) : start + keyText(keyOf(...options.before)),
  }
}

/** The key text under which `ledger.outbox` holds an `until` message. */
export const outboxKey = (...key: readonly KeyPart[]): string => keyText(keyOf(...key))

/** Applies a decision to the ledger and gives the decision back, for one-line tests. */
export const applyDecision = (ledger: TestLedger, decision: Decision): Decision => {
  ledger.apply(decision)
  return decision
}

/** 16 bytes that are the same for the same text: readable ids for tables of tests. */
export const testId = (text: string): Uint8Array =>
  new Uint8Array(createHash('sha256').update(`id ${text}`).digest().subarray(0, 16))
/** `length` (at most 32) bytes that are the same for the same text. */
export const testBytes = (text: string, length = 32): Uint8Array =>
  new Uint8Array(createHash('sha256').update(`bytes ${text}`).digest().subarray(0, length))

export const TEST_NOW_MS = 1_800_000_000_000

/** A context with known time, policy and identity. `freshId` and `freshBytes` count up from `seed`. */
export const context = <Policy = undefined, R extends Role = Role>(options: {
  readonly self: Self<R> | { readonly id: string; readonly role: R; readonly operatorId?: string }
  readonly policy?: Policy
  readonly nowMs?: number
  readonly seed?: string
}): Context<Policy> => {
  const { self, nowMs = TEST_NOW_MS, seed = 'context' } = options
  let drawn = 0
  return {
    self: { id: self.id, role: self.role, realm: realmOf(self.id), operatorId: self.operatorId ?? self.id },
    nowMs,
    policy: options.policy as Policy,
    freshId: () => testId(`${seed} ${(drawn += 1)}`),
    freshBytes: (length) => {
      const bytes = new Uint8Array(length)
      for (let at = 0; at < length; at += 32)
        bytes.set(testBytes(`${seed} ${(drawn += 1)}`, Math.min(32, length - at)), at)
      return bytes
    },
  }
}

type NestField<K extends KindName> = keyof (typeof KINDS)[K]['nests'] & keyof Body<K>
/** A body whose nested frames may be left out: they are taken from `nested`. */
export type TestBody<K extends KindName> = K extends KindName
  ? Omit<Body<K>, NestField<K>> & Partial<Pick<Body<K>, NestField<K>>>
  : never

export type IncomingOptions<K extends KindName> = {
  /** Default `hu-<originator's role>-1`, the role being the first of the kind's first path. */
  readonly from?: string | Uint8Array
  readonly role?: Role
  readonly operatorId?: string
  /** The wallet host of a customer's own frame. Default: `from`. */
  readonly host?: string
  /** Default: the host of the sender. */
  readonly previousHop?: string
  readonly header?: Partial<Header>
  /** Opened nested frames: a `Verified`, a `Result` of one, or a list of either. */
  readonly nested?: { readonly [F in keyof Nested<K>]?: unknown }
  readonly beside?: Beside<K>
  /** The chain of a TRANS. */
  readonly merchant?: MerchantChain
  readonly keyId?: Uint8Array
  readonly frame?: Uint8Array
}

type AnyVerified = Verified & { readonly frame: Uint8Array }
const isResult = (value: unknown): value is Result<AnyVerified> =>
  typeof value === 'object' && value !== null && 'ok' in value && !('frame' in value)
const asResult = (value: unknown): Result<AnyVerified> => (isResult(value) ? value : ok(value as AnyVerified))
const frameIn = (value: unknown): Uint8Array | undefined => {
  const result = asResult(value)
  return result.ok ? result.value.frame : undefined
}

/**
 * A message as a node's decisions see it, fabricated. Its digest and frame follow from kind, header and body: the same
 * arguments give the same message. @throws TypeError when `from` is not an id and no role was given
 */
export const incoming = <K extends KindName>(
  kind: K,
  body: TestBody<K>,
  options: IncomingOptions<K> = {},
): Incoming<K> => {
  const originator: Role = options.role ?? KINDS[kind].paths[0][0]
  const from = options.from ?? (originator === 'guest' ? testBytes('guest key') : `hu-${originator}-1`)
  if (typeof from === 'string' && !isNodeId(from)) throw new TypeError(`${from} is not a node id`)
  const whole: Record<string, unknown> = { ...body }
  const nested: Record<string, unknown> = {}
  for (const [field, given] of Object.entries(options.nested ?? {})) {
    if (given === undefined) continue
    nested[field] = Array.isArray(given) ? given.map(asResult) : asResult(given)
    whole[field] ??= Array.isArray(given)
      ? given.map((one) => frameIn(one) ?? utf8('bad frame'))
      : (frameIn(given) ?? utf8('bad frame'))
  }
  const senderId = typeof from === 'string' ? from : Buffer.from(from).toString('hex')
  const header: Header = {
    version: ENVELOPE_VERSION,
    networkId: testId('network'),
    kind,
    bodyVersion: 1,
    messageId: testId(`message ${kind} ${senderId}`),
    from,
    to: 'hu-addressee',
    sentAtMs: TEST_NOW_MS,
    expiresAtMs: KINDS[kind].expires ? TEST_NOW_MS + 20_000 : undefined,
    correlationId: undefined,
    bodyForm: 'plain',
    ...options.header,
  }
  const content = pack([header, whole])
  const host = options.host ?? senderId
  const message = {
    kind,
    header,
    body: whole,
    beside: options.beside,
    nested,
    digest: new Uint8Array(createHash('sha256').update(content).digest()),
    frame: options.frame ?? new Uint8Array(content),
    sender: {
      id: senderId,
      role: originator,
      keyId: options.keyId ?? testId(`key ${senderId}`),
      operatorId: options.operatorId ?? (['cpp', 'mpp', 'bank', 'dc'].includes(originator) ? senderId : undefined),
      host,
    },
    previousHop: options.previousHop ?? host,
    merchant: options.merchant,
  }
  return { message, ref: requestRef(kind, header, whole) } as unknown as Incoming<K>
}
