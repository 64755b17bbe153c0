/** The node of each role, as its own main makes it. */
import { defineBank } from '../../nodes/bank/define.ts'
import { defineCpp } from '../../nodes/cpp/define.ts'
import { defineWallet } from '../../nodes/customer/define.ts'
import { dataCenter } from '../../nodes/data-center/definition.ts'
import { defineMerchant } from '../../nodes/merchant/define.ts'
import { mpp } from '../../nodes/mpp/definition.ts'
import type { NodeServices } from '../../nodes/runtime/host-types.ts'
import type { AnyNodeDefinition } from '../../nodes/runtime/node.ts'
import type { HostRole } from './plan.ts'

export const DEFINITIONS: Readonly<Record<HostRole, (services: NodeServices) => AnyNodeDefinition>> = {
  customer: defineWallet,
  merchant: defineMerchant,
  cpp: defineCpp,
  mpp,
  bank: defineBank,
  dc: dataCenter,
}
