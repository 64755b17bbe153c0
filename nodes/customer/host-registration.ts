/**
 * How a wallet host or merchant host makes itself known to the processors that certified it. Invariant: one row a processor, and
 * a host counts as registered only by that processor's receipt for the chain it has now.
 */
import { equalBytes } from '../../protocol/bytes.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import { combine, decision, put, type Context, type Decision, type Reader } from '../runtime/node.ts'
import { defineTable, keyOf } from '../runtime/table.ts'

/** What each processor certified: this host, in a chain from the root. By processor id. */
export type HostChains = ReadonlyMap<string, readonly Uint8Array[]>

export type Registration = {
  readonly processor: string
  readonly registrationId: Uint8Array
  readonly chain: readonly Uint8Array[]
  readonly state: 'registering' | 'registered' | 'refused'
  readonly code?: string
  readonly sentAtMs: number
  readonly decidedAtMs?: number
}

/** Key: processor. */
export const registrations = defineTable<Registration>({
  name: 'host-registrations',
  version: 1,
  fields: ['processor', 'registrationId', 'chain', 'state', 'code', 'sentAtMs', 'decidedAtMs'],
})

const outboxKey = (processor: string) => ['host-registration', processor] as const

const sameChain = (a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean =>
  a.length === b.length && a.every((part, i) => equalBytes(part, b[i] as Uint8Array))

export const loadRegistrations = (read: Reader): readonly Registration[] =>
  [...read.scan(registrations, [])].map(([, row]) => row)

/** The registration that an outbox key names. */
export const loadRegistration = (read: Reader, key: Uint8Array): Registration | undefined =>
  loadRegistrations(read).find(({ processor }) => equalBytes(keyOf(...outboxKey(processor)), key))

/**
 * Shows the host's chain to every processor that certified it, at each start: a processor that lost it could fetch it nowhere
 * else. A host already registered with the same chain stays ready meanwhile; a registration that still waits in the outbox goes on.
 */
export const registerHost = (
  chains: HostChains,
  known: readonly Registration[],
  { freshId, nowMs }: Context,
): Partial<Decision> =>
  combine(
    ...[...chains].map(([processor, chain]): Partial<Decision> => {
      const row = known.find((one) => one.processor === processor)
      const same = row !== undefined && sameChain(row.chain, chain)
      if (same && row.state === 'registering') return {}
      const registrationId = freshId()
      const state = same && row.state === 'registered' ? 'registered' : 'registering'
      return {
        writes: [put(registrations, keyOf(processor), { processor, registrationId, chain, state, sentAtMs: nowMs })],
        sends: [
          {
            kind: 'host-registration',
            to: processor,
            body: { registrationId, chain: [...chain] },
            delivery: { until: outboxKey(processor) },
          },
        ],
      }
    }),
  )

export const decideRegistered = (row: Registration | undefined, { nowMs }: Context): Decision =>
  row === undefined
    ? decision()
    : decision({
        writes: [put(registrations, keyOf(row.processor), { ...row, state: 'registered', decidedAtMs: nowMs })],
        record: { event: 'host-registered', ids: [row.registrationId], fields: { processor: row.processor } },
      })

export const decideRegistrationRefused = (
  row: Registration | undefined,
  code: FailureCode,
  { nowMs }: Context,
): Decision =>
  row === undefined
    ? decision()
    : decision({
        writes: [put(registrations, keyOf(row.processor), { ...row, state: 'refused', code, decidedAtMs: nowMs })],
        record: {
          event: 'host-registration-refused',
          ids: [row.registrationId],
          level: 'warn',
          fields: { processor: row.processor, code },
        },
      })

/** Registered at every processor that certified it. */
export const isHostRegistered = (read: Reader, chains: HostChains): boolean =>
  [...chains.keys()].every((processor) => read.get(registrations, processor)?.state === 'registered')
