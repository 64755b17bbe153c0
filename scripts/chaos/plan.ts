/**
 * What chaos does, as a list made before anything is done: the same for the same seed, options and network, or read from a file. Pure.
 * Invariant: no two faults hit one host, or the broker, at a time, so each is mended before the next. A realm that is cut off from the
 * others hits every host.
 */
import { Type, type Static } from '@sinclair/typebox'
import { isKindName, kindRow, type KindName } from '../../protocol/kinds.ts'
import { Word } from '../../protocol/fields.ts'
import { fromJson } from '../../nodes/runtime/json.ts'
import { createDraws } from '../bench/draws.ts'
import type { HostPlan } from '../fleet/plan.ts'

/** Each with what it does, for people. */
export const FAULTS = {
  kill: 'SIGKILL to a host; it is started again after a while',
  pause: 'SIGSTOP to a host, SIGCONT after a while',
  partition: 'nothing gets through between a host, or a realm, and all others, while connections stand',
  'server-restart': 'SIGKILL to the broker; another takes its place after a while',
  drop: 'the next messages of a kind that a host sends are swallowed',
} as const
export type Fault = keyof typeof FAULTS
export const isFault = (text: string): text is Fault => Object.hasOwn(FAULTS, text)

/** The target of what is done to the broker. */
export const BROKER = 'nats'

export type Action = {
  /** From the start. */
  readonly atMs: number
  readonly fault: Fault
  /** A host; {@link BROKER} for `server-restart`; a host or a realm for `partition`. */
  readonly target: string
  /** Until it is mended. */
  readonly lastsMs: number
  /** Of `drop`. */
  readonly kind?: KindName
  readonly count?: number
}

type Range = readonly [least: number, most: number]
/** A pause outlives every time-out below a payment's expiry; a broker is missed by all. */
const LASTS_MS: Readonly<Record<Fault, Range>> = {
  kill: [0, 5_000],
  pause: [500, 8_000],
  partition: [500, 8_000],
  'server-restart': [0, 3_000],
  drop: [1_000, 5_000],
}
const DROPPED: Range = [1, 5]
/** Messages that a payment, a settlement or a refund needs; each is sent again until it is answered. */
const DROPPABLE: Partial<Record<HostPlan['role'], readonly KindName[]>> = {
  customer: ['payment-request', 'payment-query'],
  merchant: ['payment-decision'],
  cpp: [
    'payment-notice',
    'hold-order',
    'post-order',
    'transfer-order',
    'delayed-transfer-confirmation',
    'transfer-confirmation',
    'settlement-batch',
  ],
  mpp: ['countersigned-decision', 'settlement-acceptance', 'transfer-order'],
  bank: ['hold-answer', 'post-answer', 'transfer-answer', 'account-notice', 'interbank-credit'],
}

export type ChaosOptions = {
  readonly seed: string
  readonly durationMs: number
  /** Between two faults, on average. */
  readonly everyMs: number
  readonly faults: readonly Fault[]
  readonly hosts: readonly Pick<HostPlan, 'id' | 'role'>[]
  /** Realms that it may cut off as a whole, with all of {@link hosts} on the one side or the other. Default: none. */
  readonly realms?: readonly string[]
  /** Hosts that may be hit in any way but this: their processes live on. Default: none. */
  readonly notKilled?: ReadonlySet<string>
}

type Target = ChaosOptions['hosts'][number]

/** In order of time. */
export const planChaos = (options: ChaosOptions): readonly Action[] => {
  const { seed, durationMs, everyMs, faults, hosts, realms = [], notKilled = new Set() } = options
  const mayHit = (fault: Fault, { id, role }: Target): boolean =>
    fault === 'drop' ? DROPPABLE[role] !== undefined : fault !== 'kill' || !notKilled.has(id)
  const draws = createDraws(`chaos ${seed}`)
  const between = ([least, most]: Range): number => least + draws.below(most - least + 1)
  const pick = <T>(items: readonly T[]): T | undefined => items[draws.below(items.length)]
  const busyUntilMs = new Map<string, number>()
  const actions: Action[] = []
  for (let atMs = gap(everyMs, draws.uniform()); atMs < durationMs; atMs += gap(everyMs, draws.uniform())) {
    const free = hosts.filter(({ id }) => (busyUntilMs.get(id) ?? 0) <= atMs)
    const possible = faults.filter((fault) =>
      fault === 'server-restart' ? (busyUntilMs.get(BROKER) ?? 0) <= atMs : free.some((host) => mayHit(fault, host)),
    )
    const fault = pick(possible)
    if (fault === undefined) continue
    const host = pick(free.filter((one) => mayHit(fault, one)))
    // A network is seldom whole enough to be cut in two, so that is done as often as a host alone is cut off.
    const realm =
      fault === 'partition' && realms.length > 0 && free.length === hosts.length && draws.below(2) === 0
        ? pick(realms)
        : undefined
    const target = fault === 'server-restart' ? BROKER : (realm ?? host?.id)
    if (target === undefined) continue
    const lastsMs = between(LASTS_MS[fault])
    const kind = fault === 'drop' && host !== undefined ? pick(DROPPABLE[host.role] ?? []) : undefined
    actions.push({ atMs, fault, target, lastsMs, ...(kind === undefined ? {} : { kind, count: between(DROPPED) }) })
    for (const id of realm === undefined ? [target] : hosts.map((one) => one.id))
      busyUntilMs.set(id, atMs + lastsMs + RECOVERY_MS)
  }
  return actions
}
/** For a host to start again, before the next fault finds it. */
const RECOVERY_MS = 2_000

/** From half to one and a half of the mean. */
const gap = (everyMs: number, uniform: number): number => Math.max(1, Math.round(everyMs * (0.5 + uniform)))

const strict = { additionalProperties: false }
const seconds = Type.Number({ minimum: 0, maximum: 86_400 })
const PlanFile = Type.Array(
  Type.Object(
    {
      at: seconds,
      fault: Word('kill', 'pause', 'partition', 'server-restart', 'drop'),
      target: Type.Optional(Type.String({ minLength: 1 })),
      for: Type.Optional(seconds),
      kind: Type.Optional(Type.String()),
      count: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
    },
    strict,
  ),
  { minItems: 1, maxItems: 10_000 },
)

/** What a list of faults is about. `hostOf`: the host that runs or carries an id. `realms`: those that can be cut off. */
export type ChaosNetwork = {
  readonly hosts: readonly Pick<HostPlan, 'id'>[]
  readonly realms: readonly string[]
  readonly hostOf: (id: string) => string
}

/**
 * A timed list as a person writes it: `[{ at: 5, fault: kill, target: hu-otp, for: 2 }, …]`, in seconds.
 * @throws TypeError that names the row and what is wrong with it
 */
export const readActions = (json: unknown, { hosts, realms, hostOf }: ChaosNetwork): readonly Action[] => {
  const parsed = fromJson<Static<typeof PlanFile>>(PlanFile, json)
  if (!parsed.ok) throw new TypeError(parsed.problem)
  const busyUntilMs = new Map<string, number>()
  const rows = parsed.value.map((row, index) => ({ ...row, name: `row ${index + 1}` })).toSorted((a, b) => a.at - b.at)
  return rows.map(({ at, fault, target: id, for: lasts = 0, kind, count = 1, name }) => {
    const wrong = (what: string): TypeError => new TypeError(`${name}: ${what}`)
    if (fault !== 'server-restart' && id === undefined) throw wrong(`${fault} needs a target`)
    if (fault !== 'drop' && kind !== undefined) throw wrong(`only drop takes a kind`)
    if (fault === 'drop' && (kind === undefined || !isKindName(kind) || kindRow(kind).accepts.length === 0))
      throw wrong(`drop needs the kind of a message, not ${kind ?? 'nothing'}`)
    const isRealm = fault === 'partition' && id !== undefined && realms.includes(id)
    const target = fault === 'server-restart' ? BROKER : isRealm ? id : hostOf(id ?? '')
    const atMs = Math.round(at * 1_000)
    const lastsMs = Math.round(lasts * 1_000)
    for (const hit of isRealm ? hosts.map((one) => one.id) : [target]) {
      if ((busyUntilMs.get(hit) ?? 0) > atMs) throw wrong(`${hit} is not mended by then`)
      busyUntilMs.set(hit, atMs + lastsMs)
    }
    return { atMs, fault, target, lastsMs, ...(fault === 'drop' ? { kind: kind as KindName, count } : {}) }
  })
}
