/** A CPP on the runtime's services: what its decisions need of keys and of the ledger's own messages, closed over them. */
import { issueDeviceAuthorization, issueEnrolment } from '../../protocol/statements.ts'
import type { NodeServices } from '../runtime/host.ts'
import { ownChain } from '../runtime/identity.ts'
import type { NodeDefinition } from '../runtime/node.ts'
import type { IssueInput, IssueResult } from './decide-enrolment.ts'
import { cppDefinition } from './definition.ts'
import { evidence } from './evidence.ts'
import { createPinVault } from './pin-vault.ts'
import type { CppPolicy } from './policy.ts'

export const defineCpp = (services: NodeServices): NodeDefinition<'cpp', CppPolicy> => {
  const { trust, identity, localKey, framesOf, seal } = services
  const { engine, networkId } = trust
  const vault = createPinVault(engine, localKey)
  const issue = (input: IssueInput): IssueResult => {
    const { customer, walletHost: host, deviceKey, sealedPinKey, account, currency, serial } = input
    if (!engine.ed25519.checkPublicKey(deviceKey)) return undefined
    const pinKeyFingerprint = vault.fingerprint(customer, sealedPinKey)
    const record = { networkId, customer, host, deviceKey, pinKeyFingerprint, account, currency, serial }
    return issueEnrolment(engine, record, identity().signing)
  }
  return cppDefinition({
    vault,
    chain: () => ownChain(identity()),
    issueEnrolment: async (input) => issue(input),
    authorizeDevice: async (input) => issueDeviceAuthorization(engine, { networkId, ...input }, identity().signing),
    framesOf,
    seal,
    evidence: evidence(services),
  })
}
