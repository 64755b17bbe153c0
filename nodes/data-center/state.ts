/**
 * The directory of one realm: what a data center keeps. Invariant: a row is changed only by a registration that its owner
 * signed and whose version is higher than any it saw from that owner, so nothing old comes back; rows are never removed. No
 * amount, no payment, no customer stands here: only names that their owners chose to show.
 *
 * Payee, alias  active ⇄ retired. A retired name may be registered by another processor; an active one is NAME_TAKEN.
 * Processor     registered, and registered again at each of its starts.
 */
import type { Role } from '../../protocol/ids.ts'
import { defineTable } from '../runtime/table.ts'

/** Key [id]. */
export type ProcessorRow = {
  readonly id: string
  readonly role: Role
  readonly operatorId: string
  readonly version: number
  readonly keyId: Uint8Array
  /** Each [kind's number, body versions that it accepts]. */
  readonly accepts: readonly (readonly [number, readonly number[]])[]
  readonly registeredAtMs: number
}
export const PROCESSORS = defineTable<ProcessorRow>({
  name: 'processors',
  version: 1,
  fields: ['id', 'role', 'operatorId', 'version', 'keyId', 'accepts', 'registeredAtMs'],
})

/** Key [payee]. */
export type PayeeRow = {
  readonly payee: string
  readonly mpp: string
  readonly host: string
  readonly version: number
  readonly state: 'active' | 'retired'
  /** MPP credential, host credential, payee credential. */
  readonly chain: readonly Uint8Array[]
  readonly changedAtMs: number
}
export const PAYEES = defineTable<PayeeRow>({
  name: 'payees',
  version: 1,
  fields: ['payee', 'mpp', 'host', 'version', 'state', 'chain', 'changedAtMs'],
})

/** Key [alias]. */
export type AliasRow = {
  readonly alias: string
  readonly cpp: string
  readonly version: number
  readonly state: 'active' | 'retired'
  readonly changedAtMs: number
}
export const ALIASES = defineTable<AliasRow>({
  name: 'aliases',
  version: 1,
  fields: ['alias', 'cpp', 'version', 'state', 'changedAtMs'],
})

/** The highest version seen of a name from one owner. Key ['payee' | 'alias', name, owner]. */
export type VersionRow = { readonly version: number }
export const VERSIONS = defineTable<VersionRow>({ name: 'versions', version: 1, fields: ['version'] })

/** The chain of every key that was shown here, current or not. Key [keyId]. */
export type CredentialRow = { readonly id: string; readonly chain: readonly Uint8Array[]; readonly shownAtMs: number }
export const CREDENTIALS = defineTable<CredentialRow>({
  name: 'credentials',
  version: 1,
  fields: ['id', 'chain', 'shownAtMs'],
})
/** The current key of a processor, data center or merchant host. Key [id]. */
export type CurrentRow = {
  readonly keyId: Uint8Array
  /** Of its credential. */
  readonly notBeforeMs?: number
  readonly serial?: number
}
export const CURRENT = defineTable<CurrentRow>({
  name: 'current',
  version: 1,
  fields: ['keyId', 'notBeforeMs', 'serial'],
})

/** What a peer realm was told of this data center. Key [realm]. */
export type PeerRow = {
  readonly realm: string
  readonly version: number
  readonly registrationId: Uint8Array
  readonly receiptedAtMs?: number
}
export const PEERS = defineTable<PeerRow>({
  name: 'peers',
  version: 1,
  fields: ['realm', 'version', 'registrationId', 'receiptedAtMs'],
})

export const DATA_CENTER_TABLES = [PROCESSORS, PAYEES, ALIASES, VERSIONS, CREDENTIALS, CURRENT, PEERS] as const
