/**
 * How a revocation list spreads (design §7): each data center that takes a newer one sends it once to everybody it knows. Only
 * a newer one is sent on, so it goes through each data center once and stops; who misses it asks within revocationPollMs.
 */
import { dataCenterAddress, type Role } from '../../protocol/ids.ts'
import { decision, type Context, type Decision, type Message, type Reader, type Revoked } from '../runtime/node.ts'
import { revocationTable } from '../runtime/runtime-tables.ts'
import type { DataCenterPolicy } from './policy.ts'
import { PROCESSORS } from './state.ts'

type Context_ = Context<DataCenterPolicy>

/** Siblings, and the peer realms' addresses, where any replica answers. */
export const sources =
  (siblings: readonly string[]) =>
  (_: Reader, { self, policy }: Context_): readonly string[] => [
    ...siblings,
    ...policy.peerRealms.filter((realm) => realm !== self.realm).map(dataCenterAddress),
  ]

/** Everybody whom a list concerns and who is known here. A peer's replica that is not is told by the one that is. */
export const distribute =
  (siblings: readonly string[]) =>
  (read: Reader, { version }: Revoked, context: Context_): Decision => {
    const row = read.get(revocationTable, 'current')
    if (row === undefined) throw new Error('told of a revocation list that is not kept')
    const addressees = new Map<string, Role>(sources(siblings)(read, context).map((id) => [id, 'dc']))
    for (const [, { id, role }] of read.scan(PROCESSORS, [])) addressees.set(id, role)
    const sends = Array.from(addressees, ([to, role]): Message<'revocation-record'> => ({
      kind: 'revocation-record',
      to,
      body: { list: row.list },
      nextHop: { role, host: to },
      delivery: { once: true },
    }))
    return decision({ sends, record: { event: 'revocation-list-distributed', ids: [], fields: { version } } })
  }
