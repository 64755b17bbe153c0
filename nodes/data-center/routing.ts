/**
 * Where a message goes that is not for this data center: by payee, by alias or by addressee, as its kind says. Invariant: what
 * came from another realm is only delivered in this one, so at most two data centers touch a message and no loop can form
 * (design §2 "International"). It keeps nothing of what passes, and hands nothing to a processor whose key is revoked.
 */
import { dataCenterAddress, realmOf, type Role } from '../../protocol/ids.ts'
import { isHopAllowed, kindRow } from '../../protocol/kinds.ts'
import type { Verified } from '../../protocol/verified.ts'
import type { Context, Reader } from '../runtime/node.ts'
import type { DataCenterPolicy } from './policy.ts'
import { ALIASES, CURRENT, PAYEES, PROCESSORS } from './state.ts'

export type Hop = { readonly role: Role; readonly host: string }

/** The name that the kind is routed by; undefined when the body has none, which its schema excludes. */
export const destinationOf = ({ kind, header, body }: Verified): string | undefined => {
  const { routeBy } = kindRow(kind)
  if (routeBy === 'to') return header.to
  const name = (body as Readonly<Record<string, unknown>>)[routeBy]
  return typeof name === 'string' ? name : undefined
}

/** The next hop; undefined when the directory knows none, or its key is revoked and no other was registered yet. */
export const route =
  (isRevoked: (keyId: Uint8Array) => boolean) =>
  (read: Reader, message: Verified, { self, policy }: Context<DataCenterPolicy>): Hop | undefined => {
    const destination = destinationOf(message)
    if (destination === undefined) return undefined
    const realm = realmOf(destination)
    if (realm !== self.realm) return allowed(message, abroad(message, realm, self.realm, policy.peerRealms))
    const hop = local(read, message, destination)
    const keyId = hop === undefined ? undefined : keyOfProcessor(read, hop.host)
    return keyId !== undefined && isRevoked(keyId) ? undefined : allowed(message, hop)
  }

const allowed = ({ kind, sender }: Verified, hop: Hop | undefined): Hop | undefined =>
  hop !== undefined && isHopAllowed(kind, sender.role, 'dc', hop.role) ? hop : undefined

/** The key it registered with; that of a payee's chain where it never did. */
const keyOfProcessor = (read: Reader, id: string): Uint8Array | undefined =>
  read.get(PROCESSORS, id)?.keyId ?? read.get(CURRENT, id)?.keyId

/** A retired payee still gets the end of payments that were under way; its MPP declines new ones. */
const local = (read: Reader, { kind }: Verified, destination: string): Hop | undefined => {
  switch (kindRow(kind).routeBy) {
    case 'payee': {
      const row = read.get(PAYEES, destination)
      return row === undefined ? undefined : { role: 'mpp', host: row.mpp }
    }
    case 'alias': {
      const row = read.get(ALIASES, destination)
      return row === undefined || row.state === 'retired' ? undefined : { role: 'cpp', host: row.cpp }
    }
    case 'to': {
      const row = read.get(PROCESSORS, destination)
      return row === undefined ? undefined : { role: row.role, host: row.id }
    }
  }
}

const abroad = (
  { previousHop }: Verified,
  realm: string,
  own: string,
  peerRealms: readonly string[],
): Hop | undefined =>
  realmOf(previousHop) === own && peerRealms.includes(realm)
    ? { role: 'dc', host: dataCenterAddress(realm) }
    : undefined
