/**
 * Durable steps by name: what stands in a journal as (trigger, name) of an entry, as one word pair. A host is told to die at one of
 * them (faults.ts), so it must know which it has: a misspelt step would never be reached, and a test that waits for it prove nothing.
 */
import { KIND_NAMES, kindRow, legsOf, type KindName } from '../../protocol/kinds.ts'
import type { Role } from '../../protocol/ids.ts'
import type { AnyNodeDefinition } from './node.ts'

/** `message payment-request`, `deadline hold-expiry`, `job issue`, `control pay`, `started` … */
export type StepName = string

/** Entries whose name is the host's own id. */
const OWN = new Set(['started', 'rotated'])

export const stepName = (trigger: string, name: string): StepName => (OWN.has(trigger) ? trigger : `${trigger} ${name}`)

/** Kinds that a host of this role sends, its own or another's, and waits for an answer to. A data center keeps nothing of what it relays. */
const awaitedBy = (role: Role): readonly KindName[] =>
  KIND_NAMES.filter((name) => {
    const { answeredBy, paths } = kindRow(name)
    const sends =
      role === 'dc'
        ? (paths as readonly (readonly string[])[]).some(([originator]) => originator === role)
        : legsOf(name).some(({ from }) => from === role)
    return answeredBy.length > 0 && sends
  })

/** The runtime asks these once, and again when it needs to: nothing is kept that a refusal could end. */
const ASKED_ONCE: ReadonlySet<KindName> = new Set(['credential-query', 'revocation-query'])

/** Others' messages that a host of this role sends on: what may become void while it waits. */
const relayedBy = (role: Role): readonly KindName[] =>
  KIND_NAMES.filter((name) =>
    (kindRow(name).paths as readonly (readonly string[])[]).some((path) => path.slice(1, -1).includes(role)),
  )

/** What every host journals beside its node's own. */
const RUNTIME_STEPS: readonly StepName[] = [
  'started',
  'identity rotate',
  'policy set-policy',
  'message revocation-record',
  'control revocations',
]

/** Every step that a host with this definition may journal. Some decide without ever changing anything, and never are. */
export const stepsOf = (definition: AnyNodeDefinition): readonly StepName[] => {
  const of = (trigger: string, names: object): readonly StepName[] =>
    Object.keys(names).map((name) => stepName(trigger, name))
  const awaited = awaitedBy(definition.role).filter((name) => kindRow(name).accepts.length > 0)
  return [
    ...of('message', definition.messages),
    ...of('deadline', definition.deadlines),
    ...of('control', definition.controls),
    ...of('job', definition.finished),
    ...awaited
      .filter((kind) => kindRow(kind).answeredBy.includes('receipt'))
      .map((kind) => stepName('receipted', kind)),
    ...awaited.filter((kind) => !ASKED_ONCE.has(kind)).map((kind) => stepName('refused', kind)),
    ...(definition.stale === undefined ? [] : relayedBy(definition.role).map((kind) => stepName('stale', kind))),
    ...(definition.rotated === undefined ? [] : ['rotated']),
    ...(definition.policyChanged === undefined ? [] : ['policy policy-changed']),
    ...(definition.revoked === undefined ? [] : ['revoked revocation-list']),
    ...RUNTIME_STEPS,
  ]
}
