/** Drives a node's definition by hand, one event at a time, against a ledger in memory. For tests only. */
import { utf8 } from '../../../protocol/bytes.ts'
import type { KindName } from '../../../protocol/kinds.ts'
import {
  decision,
  type ControlEvent,
  type Decision,
  type Incoming,
  type Job,
  type Message,
  type NodeDefinition,
  type Refused,
  type Self,
} from '../../runtime/node.ts'
import { applyDecision, context, testLedger, TEST_NOW_MS, type TestLedger } from '../../runtime/testing.ts'
import { keyOf, type KeyPart } from '../../runtime/table.ts'

type AnyDefinition = Omit<NodeDefinition<any>, 'messages'> & { readonly messages: object }

/** @param ledger that of a host before, to restart it */
export const drive = (definition: AnyDefinition, self: Self, policy: unknown, ledger: TestLedger = testLedger()) => {
  let nowMs = TEST_NOW_MS
  let events = 0
  const jobs: Job[] = []
  const next = () => context({ self, policy, nowMs, seed: `${self.id} event ${(events += 1)}` })
  const done = (made: Decision): Decision => {
    jobs.push(...made.jobs)
    return applyDecision(ledger, made)
  }
  const fire = (name: string, key: Uint8Array, atMs: number): Decision => {
    const handler = definition.deadlines[name]
    if (handler === undefined) throw new Error(`no deadline ${name}`)
    nowMs = Math.max(nowMs, atMs)
    ledger.apply(decision({ clear: [{ name, key, atMs }] }))
    return done(handler(ledger, { name, key, atMs }, next()))
  }
  return {
    ledger,
    jobs,
    now: () => nowMs,
    pass: (ms: number) => void (nowMs += ms),
    start: () => done(definition.started(ledger, {}, next())),
    control: (command: string, args: ControlEvent['args']): Decision => {
      const handler = definition.controls[command]
      if (handler === undefined) throw new Error(`no control ${command}`)
      return done(handler(ledger, { command, args }, next()))
    },
    deliver: (incoming: Incoming): Decision => {
      const handlers = definition.messages as Readonly<
        Record<string, ((read: unknown, event: unknown, context: unknown) => Decision) | undefined>
      >
      const handler = handlers[incoming.message.kind]
      if (handler === undefined) throw new Error(`no handler for ${incoming.message.kind}`)
      return done(handler(ledger, incoming, next()))
    },
    fire,
    /** Fires the earliest deadline of that name. */
    fireNext: (name: string): Decision => {
      const due = ledger.deadlines().find((one) => one.name === name)
      if (due === undefined) throw new Error(`no deadline ${name} is set`)
      return fire(due.name, due.key, due.atMs)
    },
    /** The oldest job of that name comes back with `result`, or with what its implementation gives. */
    finish: (name: string, result: unknown): Decision => {
      const at = jobs.findIndex((job) => job.name === name)
      const [job] = at < 0 ? [] : jobs.splice(at, 1)
      if (job === undefined) throw new Error(`no job ${name} waits`)
      const handler = definition.finished[name]
      if (handler === undefined) throw new Error(`no job ${name}`)
      return done(handler(ledger, { name, input: job.input, result }, next()))
    },
    run: async (name: string): Promise<unknown> => {
      const job = jobs.find((one) => one.name === name)
      if (job === undefined) throw new Error(`no job ${name} waits`)
      return definition.jobs[name]?.(job.input)
    },
    refused: (kind: KindName, key: readonly KeyPart[], refusal: Pick<Refused, 'code' | 'by'>): Decision => {
      ledger.apply(decision({ forget: [key] }))
      return done(definition.refused(ledger, { kind, key: keyOf(...key), detail: '', ...refusal }, next()))
    },
    receipted: (kind: KindName, key: readonly KeyPart[]): Decision => {
      ledger.apply(decision({ forget: [key] }))
      return done(definition.receipted(ledger, { kind, key: keyOf(...key) }, next()))
    },
    read: (name: string, args: Readonly<Record<string, unknown>> = {}): unknown =>
      definition.reads[name]?.(ledger, args, next()),
    isReady: () => definition.ready(ledger, next()),
  }
}
export type Drive = ReturnType<typeof drive>

/** The messages of a kind that a decision sends. */
export const sentBy = <K extends KindName>(made: Decision, kind: K): readonly Message<K>[] =>
  made.sends.filter((send) => 'kind' in send && send.kind === kind) as unknown as readonly Message<K>[]

/** The one message of a kind that a decision sends. @throws Error when there is not exactly one */
export const oneSent = <K extends KindName>(made: Decision, kind: K): Message<K> => {
  const [first, ...more] = sentBy(made, kind)
  if (first === undefined || more.length > 0)
    throw new Error(`${more.length + (first === undefined ? 0 : 1)} of ${kind} sent`)
  return first
}

/** Every string and byte string inside a value, for tests that look for what must not be there. */
export const leavesOf = (value: unknown): readonly Uint8Array[] => {
  if (typeof value === 'string') return [utf8(value)]
  if (value instanceof Uint8Array) return [value]
  if (Array.isArray(value)) return value.flatMap(leavesOf)
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).flatMap(([name, field]) => [utf8(name), ...leavesOf(field)])
  return []
}

export const contains = (whole: Uint8Array, part: Uint8Array): boolean => Buffer.from(whole).includes(Buffer.from(part))
