/** What every host answers on its control socket, whatever its role. */
import { setTimeout as delay } from 'node:timers/promises'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { isKindName } from '../../protocol/kinds.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Passing } from './apply.ts'
import type { ControlRequest } from './control.ts'
import { DEATHS, readDeath, type Death } from './faults.ts'
import type { Answer, Host } from './host-types.ts'
import { traceJournal } from './journal.ts'
import type { Self } from './node.ts'
import { journalTable } from './runtime-tables.ts'
import { stepName, type StepName } from './steps.ts'

const DRAIN_POLL_MS = 20
const HEX = /^(?:[0-9a-f]{2})+$/i

const ok = (value: unknown): Answer => ({ ok: true, value })
const bad = (detail: string): Answer => ({ ok: false, error: { code: 'BAD_ARGUMENTS', detail } })

/** One event of a payment at this host, as `trace` gives it. */
export type Hop = {
  readonly node: string
  readonly role: string
  readonly atMs: number
  /** `message`, `deadline`, `control`, `job`, `refused`, `receipted`. */
  readonly trigger: string
  /** The message's kind, or the name of the deadline, command or job. */
  readonly name: string
  readonly event: string | undefined
  readonly from: string | undefined
  readonly digest: string | undefined
  readonly ids: readonly string[]
  readonly sends: readonly { readonly kind: string; readonly to: string; readonly digest: string }[]
  readonly refused: string | undefined
  readonly seq: number | undefined
}

/** An event of this host's journal, or of those that it only passed on, as `trace` gives it. */
export const hopOf = (self: Pick<Self, 'id' | 'role'>, entry: Passing & { readonly seq?: number }): Hop => ({
  node: self.id,
  role: self.role,
  atMs: entry.atMs,
  trigger: entry.trigger,
  name: entry.name,
  event: entry.event,
  from: entry.from,
  digest: entry.digest === undefined ? undefined : toHex(entry.digest),
  ids: entry.ids.map(toHex),
  sends: entry.sends.map(([kind, to, digest]) => ({ kind, to, digest: toHex(digest) })),
  refused: entry.refused,
  seq: entry.seq,
})

const trace = (host: Host, args: Readonly<Record<string, unknown>>): Answer => {
  const { ids, fromMs = 0, toMs = Number.MAX_SAFE_INTEGER } = args
  if (!Array.isArray(ids) || ids.length > LIMITS.maxTracedIds || !ids.every((id) => typeof id === 'string'))
    return bad(`ids: a list of at most ${LIMITS.maxTracedIds} ids in hex`)
  if (typeof fromMs !== 'number' || typeof toMs !== 'number') return bad('fromMs and toMs: milliseconds')
  const wanted = new Set<string>(ids)
  const journalled = traceJournal(host.read, host.lastSeq(), { ids: [...wanted], fromMs, toMs }).map((row) =>
    hopOf(host.self, row),
  )
  const passed = host
    .passing()
    .filter((entry) => entry.atMs >= fromMs && entry.atMs <= toMs && entry.ids.some((id) => wanted.has(toHex(id))))
    .map((entry) => hopOf(host.self, entry))
  return ok({ hops: [...journalled, ...passed].toSorted((a, b) => a.atMs - b.atMs) })
}

/** Stops admissions and waits until nothing is under way, at most `timeoutMs`; says what is left. */
const drain = async (host: Host, args: Readonly<Record<string, unknown>>): Promise<Answer> => {
  const { timeoutMs = 30_000 } = args
  if (typeof timeoutMs !== 'number' || timeoutMs < 0 || timeoutMs > LIMITS.maxDrainMs)
    return bad(`timeoutMs: 0 to ${LIMITS.maxDrainMs}`)
  host.setGate('draining')
  const end = performance.now() + timeoutMs
  while (host.inFlight() > 0 && performance.now() < end && !host.stopped()) await delay(DRAIN_POLL_MS)
  return ok({ inFlight: host.inFlight(), depths: host.depths() })
}

const isHostList = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((id) => typeof id === 'string')

const fault = (host: Host, args: Readonly<Record<string, unknown>>): Answer => {
  const { 'drop-next': drop, 'die-at': die, cut, disarm } = args
  const deaths = die === undefined ? [] : (Array.isArray(die) ? die : [die]).map((one) => readDeath(host.steps, one))
  const wrong = deaths.find((death) => typeof death === 'string')
  if (wrong !== undefined) return bad(`die-at: { point, count?, step? }, or a list of them; ${wrong}`)
  const { kind, count = 1 } = (drop ?? {}) as { readonly kind?: unknown; readonly count?: unknown }
  const dropped = typeof kind === 'string' && isKindName(kind) && Number.isSafeInteger(count) ? kind : undefined
  if (drop !== undefined && dropped === undefined) return bad('drop-next: { kind, count }')
  if (cut !== undefined && cut !== 'all' && !isHostList(cut)) return bad("cut: 'all', or a list of hosts")
  if (disarm !== undefined) host.faults.disarm()
  if (cut !== undefined) host.faults.cut(cut)
  if (dropped !== undefined) host.faults.dropNext(dropped, count as number)
  for (const death of deaths) if (typeof death !== 'string') host.faults.dieAt(death)
  return ok(null)
}

export type FaultPoints = {
  readonly points: readonly Death[]
  /** What this host may journal, and how often it did in its entries from `fromSeq` to `seq`. */
  readonly steps: readonly StepName[]
  readonly taken: Readonly<Record<StepName, number>>
  readonly seq: number
}

const faultPoints = (host: Host, fromSeq: number): FaultPoints => {
  const taken: Record<StepName, number> = {}
  for (const [, { trigger, name }] of host.read.scan(journalTable, [], { from: [fromSeq] })) {
    const step = stepName(trigger, name)
    taken[step] = (taken[step] ?? 0) + 1
  }
  return { points: DEATHS, steps: host.steps, taken, seq: host.lastSeq() }
}

export type Builtins = (request: ControlRequest) => Promise<Answer>

/** @param extra facts of the process for `status` and `metrics` */
export const createBuiltins = (
  host: Host,
  extra: {
    readonly status: () => Readonly<Record<string, unknown>>
    readonly metrics: () => Readonly<Record<string, unknown>>
    /** Takes what the credentials file says now. */
    readonly reload?: () => Promise<Answer>
    /** Of the ledger as a whole (`ledger-desk.ts`), and of the process. */
    readonly ledger?: Readonly<Record<string, (args: Readonly<Record<string, unknown>>) => Promise<Answer> | Answer>>
  },
): Builtins => {
  const builtins: Readonly<Record<string, (args: Readonly<Record<string, unknown>>) => Promise<Answer> | Answer>> = {
    status: () =>
      ok({
        id: host.self.id,
        role: host.self.role,
        realm: host.self.realm,
        operatorId: host.self.operatorId,
        state: host.stopped() ? 'stopped' : host.gate() !== 'open' ? host.gate() : host.ready() ? 'ready' : 'starting',
        ready: host.ready(),
        inFlight: host.inFlight(),
        depths: host.depths(),
        offenders: host.offenders(),
        seq: host.lastSeq(),
        nowMs: host.nowMs(),
        ...host.revocationStatus(),
        ...host.identityStatus(),
        ...extra.status(),
      }),
    metrics: () =>
      ok({
        ...host.metrics.snapshot(),
        ...host.revocationStatus(),
        depths: host.depths(),
        offenders: host.offenders(),
        ...extra.metrics(),
      }),
    report: (args) => host.ask('report', args),
    payments: (args) => host.ask('payments', args),
    trace: (args) => trace(host, args),
    policy: () => ok(JSON.parse(host.policyJson())),
    'set-policy': (args) => host.setPolicy(args['policy']),
    pause: () => {
      host.setGate('paused')
      return ok(null)
    },
    resume: () => {
      host.acceptClock()
      host.setGate('open')
      return ok(null)
    },
    drain: (args) => drain(host, args),
    quiesce: (args) => drain(host, args),
    fault: (args) => fault(host, args),
    'fault-points': ({ fromSeq = 1 }) =>
      typeof fromSeq === 'number' ? ok(faultPoints(host, fromSeq)) : bad('fromSeq: a number of a journal entry'),
    revocations: ({ list }) => {
      if (list === undefined) return host.revocations()
      return typeof list === 'string' && HEX.test(list) ? host.revocations(fromHex(list)) : bad('list: bytes in hex')
    },
    ...(extra.reload === undefined ? {} : { reload: extra.reload }),
    ...extra.ledger,
  }
  return async ({ form, name, args }) => {
    if (form === 'command') return host.command(name, args)
    if (form === 'read') return host.ask(name, args)
    const builtin = Object.hasOwn(builtins, name) ? builtins[name] : undefined
    return builtin === undefined ? { ok: false, error: { code: 'UNKNOWN_BUILTIN', detail: name } } : await builtin(args)
  }
}
