/** The data center as one table of decisions. What is not addressed to it is routed, not decided. */
import { chainKeyIds, verifyMerchantChain } from '../../protocol/credentials.ts'
import type { NodeServices } from '../runtime/host.ts'
import { ownChain } from '../runtime/identity.ts'
import type { NodeDefinition } from '../runtime/node.ts'
import {
  onAliasRegistration,
  onCredentialQuery,
  onPayeeLookup,
  onPayeeRegistration,
  onProcessorRegistration,
  onReceipted,
  onRefused,
  onRotated,
  onStarted,
  type IsChainRevoked,
  type VerifyPayeeChain,
} from './decide.ts'
import { DataCenterPolicySchema, type DataCenterPolicy } from './policy.ts'
import { directoryOf, reportOf } from './reports.ts'
import { distribute, sources } from './revocation.ts'
import { route } from './routing.ts'
import { DATA_CENTER_TABLES } from './state.ts'

export type DataCenterDependencies = {
  /** This data center's own credential chain as it is now, shown to peer realms. */
  readonly chain: () => readonly Uint8Array[]
  readonly verifyPayeeChain: VerifyPayeeChain
  readonly isRevoked: (keyId: Uint8Array) => boolean
  readonly isChainRevoked: IsChainRevoked
  readonly peerRealms: readonly string[]
  /** The other data centers of this realm. */
  readonly siblings: readonly string[]
}

export const dataCenterDefinition = ({
  chain,
  verifyPayeeChain,
  isRevoked,
  isChainRevoked,
  peerRealms,
  siblings,
}: DataCenterDependencies): NodeDefinition<'dc', DataCenterPolicy> => ({
  role: 'dc',
  tables: DATA_CENTER_TABLES,
  messages: {
    'processor-registration': onProcessorRegistration,
    'payee-registration': onPayeeRegistration(verifyPayeeChain),
    'alias-registration': onAliasRegistration,
    'payee-lookup': onPayeeLookup(isChainRevoked),
    'credential-query': onCredentialQuery(chain, isChainRevoked),
  },
  deadlines: {},
  controls: {},
  reads: { report: (read, _, context) => reportOf(read, context), directory: directoryOf },
  jobs: {},
  finished: {},
  started: onStarted(chain),
  rotated: onRotated(chain, siblings),
  refused: onRefused,
  receipted: onReceipted,
  route: route(isRevoked),
  revoked: distribute(siblings),
  revocationSources: sources(siblings),
  policySchema: DataCenterPolicySchema,
  policyDefaults: { peerRealms },
  // It serves its realm whether or not a peer realm is there.
  ready: () => true,
})

/** The definition from what a host is given at its start. */
export const dataCenter = ({
  self,
  identity,
  trust,
  dataCenters,
  peerRealms,
}: NodeServices): NodeDefinition<'dc', DataCenterPolicy> =>
  dataCenterDefinition({
    chain: () => ownChain(identity()),
    verifyPayeeChain: (chain, payee, atMs) => verifyMerchantChain(trust, chain, payee, atMs),
    isRevoked: (keyId) => trust.isRevoked(keyId),
    isChainRevoked: (chain) => chainKeyIds(trust, chain).some((keyId) => trust.isRevoked(keyId)),
    peerRealms,
    siblings: dataCenters.filter((one) => one !== self.id),
  })
