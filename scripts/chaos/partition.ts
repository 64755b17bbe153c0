/** Who reaches whom no more when a network is cut in two. Pure. */
import { dataCenterAddress } from '../../protocol/ids.ts'
import type { HostPlan } from '../fleet/plan.ts'

type Member = Pick<HostPlan, 'id' | 'realm'>

/** What one host is told: with whom nothing gets through any more. */
export type Cut = { readonly id: string; readonly from: readonly string[] | 'all' }

/**
 * Cuts the target off from all others. Of a realm each host is told, on both sides: a merchant host does not know whose a guest is, so
 * the guest's own host has to keep them apart.
 * @param target a host, or a realm
 */
export const cutsFor = (target: string, hosts: readonly Member[]): readonly Cut[] => {
  if (hosts.some(({ id }) => id === target)) return [{ id: target, from: 'all' }]
  const within = hosts.filter(({ realm }) => realm === target)
  const beyond = hosts.filter(({ realm }) => realm !== target)
  return [
    ...within.map(({ id }) => ({ id, from: namesOf(beyond) })),
    ...beyond.map(({ id }) => ({ id, from: namesOf(within) })),
  ]
}

/** Their ids, and the addresses that the data centers of a realm share. */
const namesOf = (hosts: readonly Member[]): readonly string[] => [
  ...new Set(hosts.flatMap(({ id, realm }) => [id, dataCenterAddress(realm)])),
]

/** Realms of a network that can be cut off from the rest of it: none when there is only one. */
export const realmsOf = (hosts: readonly Member[]): readonly string[] => {
  const realms = [...new Set(hosts.map(({ realm }) => realm))]
  return realms.length > 1 ? realms : []
}
