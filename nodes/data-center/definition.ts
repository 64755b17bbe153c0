/** The data center as one table of decisions. What is not addressed to it is routed, not decided. */
import { dataCenterAddress } from '../../protocol/ids.ts'
import type { NodeDefinition } from '../runtime/node.ts'
import {
  onAliasRegistration, onCredentialQuery, onPayeeLookup, onPayeeRegistration, onProcessorRegistration, onReceipted, onRefused, onStarted,
  type VerifyPayeeChain,
} from './decide.ts'
import { DATA_CENTER_POLICY_DEFAULTS, DataCenterPolicySchema, type DataCenterPolicy } from './policy.ts'
import { directoryOf, reportOf } from './reports.ts'
import { route } from './routing.ts'
import { DATA_CENTER_TABLES } from './state.ts'

export type DataCenterDependencies = {
  readonly realm: string
  /** This data center's own credential chain, shown to peer realms. */
  readonly chain: readonly Uint8Array[]
  readonly verifyPayeeChain: VerifyPayeeChain
}

export const dataCenterDefinition = ({ realm, chain, verifyPayeeChain }: DataCenterDependencies): NodeDefinition<'dc', DataCenterPolicy> => ({
  role: 'dc',
  tables: DATA_CENTER_TABLES,
  messages: {
    'processor-registration': onProcessorRegistration,
    'payee-registration': onPayeeRegistration(verifyPayeeChain),
    'alias-registration': onAliasRegistration,
    'payee-lookup': onPayeeLookup,
    'credential-query': onCredentialQuery,
  },
  deadlines: {},
  controls: {},
  reads: { report: (read, _, context) => reportOf(read, context), directory: directoryOf },
  jobs: {},
  finished: {},
  started: onStarted(chain),
  refused: onRefused,
  receipted: onReceipted,
  // The realm's address stands for each of its replicas.
  answersTo: (_, id) => id === dataCenterAddress(realm),
  isAddressee: (_, id) => id === dataCenterAddress(realm),
  route,
  policySchema: DataCenterPolicySchema,
  policyDefaults: DATA_CENTER_POLICY_DEFAULTS,
  // It serves its realm whether or not a peer realm is there.
  ready: () => true,
})
