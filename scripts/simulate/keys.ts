/**
 * Keys and mandates of a simulated network: accounts' keys and what they sign, keys exchanged while hosts run, keys that the root
 * revokes. Invariant: a host has a credential of its certifier's key in force before the former one is revoked, as an operator sees to.
 */
import { toHex } from '../../protocol/bytes.ts'
import { isCurrency } from '../../protocol/amount.ts'
import { networkIdOf, type SigningKey } from '../../protocol/keys.ts'
import { issueRevocationList } from '../../protocol/statements.ts'
import type { SimNetwork } from '../../nodes/runtime/sim-network.ts'
import { createSimPeople } from '../../nodes/runtime/sim-people.ts'
import type { Hosts } from './hosts.ts'
import { operatorIdOf } from './network.ts'
import type { Topology, World } from './world.ts'

export type Keys = Pick<World, 'holderKey' | 'mandate' | 'rotate' | 'revokeFormer'>

export const createKeys = (deps: {
  readonly network: SimNetwork
  readonly hosts: Hosts
  readonly topology: Topology
  readonly now: () => number
  /** These keys of a host are on a list that a data center has taken. */
  readonly onRevoked: (host: string, keys: readonly SigningKey[], version: number) => void
}): Keys => {
  const { network, hosts, topology } = deps
  const { holder, mandate } = createSimPeople(network)
  /** Every key that its host has exchanged. */
  const former = new Map<string, SigningKey[]>()
  const revoked: Uint8Array[] = []

  /** Whom a processor certifies: their chains begin with its own. */
  const certifiedBy = (id: string): readonly string[] => {
    const by = (customers: readonly { readonly host: string; readonly by: string }[]): readonly string[] => [
      ...new Set(customers.filter((one) => one.by === id).map(({ host }) => host)),
    ]
    return [
      ...by(topology.customers.map(({ host, cpp }) => ({ host, by: cpp }))),
      ...by(topology.payees.map(({ host, mpp }) => ({ host, by: mpp }))),
    ]
  }

  const take = (id: string, keys: 'new' | 'same'): Promise<Uint8Array | undefined> =>
    hosts.whileUp(id, async () => {
      const host = network.host(id)
      try {
        return await host.take(keys)
      } catch (error) {
        // It has stopped itself, and its machine is about to see it.
        if (host.fatal() === undefined) throw error
        return undefined
      }
    })

  return {
    holderKey: (account) => toHex(holder(account).publicKey),
    mandate: (account, host, currency) => {
      if (!isCurrency(currency)) throw new RangeError(`no currency ${currency}`)
      return toHex(mandate(account, operatorIdOf(topology, host), currency))
    },
    rotate: async (id) => {
      if (!hosts.isUp(id)) return false
      const before = network.host(id).identity.signing
      const taking = take(id, 'new')
      // From here on its bundle has the new keys, whether it lives to read them or not.
      former.set(id, [...(former.get(id) ?? []), before])
      const taken = await taking
      for (const host of certifiedBy(id))
        if (!hosts.isUp(host)) network.host(host).reissue()
        else await take(host, 'same')
      return taken !== undefined
    },
    revokeFormer: async (id) => {
      const keys = former.get(id) ?? []
      const at = topology.hosts.find(({ id: one, role }) => role === 'dc' && hosts.isUp(one))
      if (keys.length === 0 || at === undefined) return false
      revoked.push(...keys.map(({ keyId }) => keyId).filter((key) => !revoked.includes(key)))
      const version = revoked.length
      const list = issueRevocationList(
        network.engine,
        {
          networkId: networkIdOf(network.root.publicKey),
          version,
          revoked,
          issuedAtMs: Math.floor(deps.now()),
        },
        network.root,
      )
      const answer = await hosts.whileUp(at.id, async () => await network.host(at.id).host().revocations(list))
      if (answer?.ok !== true) return false
      deps.onRevoked(id, keys, version)
      return true
    },
  }
}
