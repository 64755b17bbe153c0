/**
 * The bank's rows in the directory. Invariant: a version never comes twice for one data center, and never goes back,
 * even when the ledger is lost: it follows the clock.
 */
import { equalBytes } from '../../protocol/bytes.ts'
import { acceptsOf } from '../../protocol/kinds.ts'
import { combine, put, remove, type Context, type Decision, type Reader } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import type { BankPolicy } from './policy.ts'
import { REGISTRATIONS, type RegistrationRow } from './state.ts'

export type RegistrationSlice = { readonly rows: readonly RegistrationRow[] }
export const loadRegistrations = (read: Reader): RegistrationSlice => ({
  rows: [...read.scan(REGISTRATIONS, [])].map(([, row]) => row),
})

/** Registers at one data center under a higher version than before. */
export const registerAt = (
  host: string,
  known: RegistrationRow | undefined,
  chain: readonly Uint8Array[],
  { self, nowMs, freshId }: Pick<Context, 'self' | 'nowMs' | 'freshId'>,
): Pick<Decision, 'writes' | 'sends' | 'forget'> => {
  const version = Math.max((known?.version ?? 0) + 1, nowMs)
  return {
    writes: [put(REGISTRATIONS, keyOf(host), { host, version })],
    forget: known === undefined ? [] : [['registration', host, known.version]],
    sends: [
      {
        kind: 'processor-registration',
        to: host,
        nextHop: { role: 'dc', host },
        body: { registrationId: freshId(), version, chain: [...chain], accepts: acceptsOf(self.role) },
        delivery: { until: ['registration', host, version] },
      },
    ],
  }
}

/** Registers at every data center, anew after each start; drops those that the policy names no more. */
export const registerAll = (
  { rows }: RegistrationSlice,
  chain: readonly Uint8Array[],
  context: Context<BankPolicy>,
): Partial<Decision> => {
  const wanted = context.policy.dataCenters
  return combine(
    ...wanted.map((host) =>
      registerAt(
        host,
        rows.find((row) => row.host === host),
        chain,
        context,
      ),
    ),
    ...rows
      .filter(({ host }) => !wanted.includes(host))
      .map(({ host, version }) => ({
        writes: [remove(REGISTRATIONS, keyOf(host))],
        forget: [['registration', host, version]],
      })),
  )
}

/** The row whose registration has this outbox key. */
export const registrationOf = ({ rows }: RegistrationSlice, key: Uint8Array): RegistrationRow | undefined =>
  rows.find(({ host, version }) => equalBytes(key, keyOf('registration', host, version)))

export const isRegistered = ({ rows }: RegistrationSlice, { dataCenters }: BankPolicy): boolean =>
  dataCenters.every((host) => rows.some((row) => row.host === host && row.receiptedAtMs !== undefined))
