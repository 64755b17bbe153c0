/** What `semops status` shows, worked out from the plan and from what the supervisor knows of its processes. Pure. */
import { payeeAddress } from '../../protocol/ids.ts'
import type { HostPlan, Plan } from './plan.ts'
import type { FleetState, FleetStatus, HostStatus, NodeStatus } from './state.ts'

/** Configured ids: data centers, processors, banks, merchants, customers. */
export const nodeCount = ({ hosts, payees, customers }: Plan): number =>
  hosts.filter(isNode).length + payees.length + customers.length

/** Is this host a configured id itself, or does it only carry such? */
const isNode = ({ role }: Pick<HostPlan, 'role'>): boolean => role !== 'customer' && role !== 'merchant'

/** How a customer or payee is marked as served: enrolled everywhere, and unlocked. */
export const customerMark = (customer: string): string => `customer ${customer}`
export const payeeMark = (payee: string): string => `merchant ${payee}`

/** @param served marks of the customers and payees that can pay and be paid */
export const statusOf = (plan: Plan, state: FleetState, served: ReadonlySet<string>): FleetStatus => {
  const hosts = new Map(state.hosts.map((host) => [host.id, host]))
  const carried = (id: string, role: 'customer' | 'merchant', on: string, mark: string): NodeStatus => {
    const host = hosts.get(on) as HostStatus
    const isServed = host.state !== 'ready' || served.has(mark)
    return { id, role, state: isServed ? host.state : 'enrolling', host: on, pid: host.pid }
  }
  return {
    ...state,
    nodes: [
      ...state.hosts.filter(isNode).map(({ id, role, state: own, pid }) => ({ id, role, state: own, host: id, pid })),
      ...plan.payees.map(({ payee, host }) => carried(payeeAddress(payee), 'merchant', host, payeeMark(payee))),
      ...plan.customers.map(({ customer, host }) => carried(customer, 'customer', host, customerMark(customer))),
    ],
    hosts: state.hosts.map((host) => ({ ...host, ...carriedBy(plan, host) })),
  }
}

const carriedBy = (
  plan: Plan,
  { id, role }: HostStatus,
): Pick<FleetStatus['hosts'][number], 'customers' | 'merchants'> => {
  const customers = plan.customers.filter((one) => (role === 'cpp' ? one.cpps.includes(id) : one.host === id))
  const payees = plan.payees.filter((one) => (role === 'mpp' ? one.mpp === id : one.host === id))
  if (role === 'customer' || role === 'cpp') return { customers: customers.map(({ customer }) => customer) }
  if (role === 'merchant' || role === 'mpp') return { merchants: payees.map(({ payee }) => payeeAddress(payee)) }
  return {}
}
