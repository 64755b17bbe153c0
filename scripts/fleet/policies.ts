/**
 * The first policy of each host: what the network itself implies (data centers, accounts of its own and of its counterparties),
 * and over it what the network file says of the role and of the node. What neither says is the role's default.
 */
import { mergePolicies } from './merge-policies.ts'
import type { HostPlan, HostRole, Plan } from './plan.ts'

type Policy = Readonly<Record<string, unknown>>

/** As plain JSON: money in minor units as decimal text. */
export const policyOf = (plan: Plan, host: HostPlan): Policy =>
  mergePolicies(IMPLIED[host.role](plan, host), host.policy)

const hostsOf = (plan: Plan, role: HostRole, realm?: string): readonly HostPlan[] =>
  plan.hosts.filter((host) => host.role === role && (realm === undefined || host.realm === realm))
const idsOf = (hosts: readonly HostPlan[]): readonly string[] => hosts.map(({ id }) => id)

/** Where each host of `role` is paid by the others. */
export const settlementAccountsFor = (plan: Plan, role: 'cpp' | 'mpp'): Readonly<Record<string, string>> =>
  Object.fromEntries(hostsOf(plan, role).map(({ id, account }) => [id, account as string]))

const processor =
  (counterparty: 'cpp' | 'mpp') =>
  (plan: Plan, { realm, accounts }: HostPlan): Policy => ({
    dataCenters: idsOf(hostsOf(plan, 'dc', realm)),
    operatorAccounts: accounts,
    settlementAccounts: settlementAccountsFor(plan, counterparty),
  })

const IMPLIED: Readonly<Record<HostRole, (plan: Plan, host: HostPlan) => Policy>> = {
  cpp: processor('mpp'),
  mpp: processor('cpp'),
  bank: (plan, { id, realm }) => {
    const others = idsOf(hostsOf(plan, 'bank')).filter((other) => other !== id)
    return {
      dataCenters: idsOf(hostsOf(plan, 'dc', realm)),
      settlementBank: others.length === 0 ? null : plan.settlementBank,
      peers: others,
    }
  },
  dc: (plan, { realm }) => ({ peerRealms: plan.realms.filter((other) => other !== realm) }),
  merchant: () => ({}),
  customer: () => ({}),
}
