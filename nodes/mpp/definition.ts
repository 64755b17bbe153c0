/** The MPP as one table of decisions: which handler answers which kind of event. */
import { equalBytes } from '../../protocol/bytes.ts'
import { issuePayee, parseCredential, readStatement, type MandateStatement } from '../../protocol/statements.ts'
import type { NodeServices } from '../runtime/host.ts'
import { ownChain } from '../runtime/identity.ts'
import type { NodeDefinition } from '../runtime/node.ts'
import { evidence as evidenceOf } from './evidence.ts'
import { onDelayedTransferConfirmation, onPaymentOutcome, onTransferConfirmation } from './decide-confirmation.ts'
import { onReceipted, onRefused, onRetirePayee, onRotated, onStarted } from './decide-directory.ts'
import {
  ISSUE_CREDENTIAL,
  onCredentialIssued,
  onHostRegistration,
  onMandateAnswer,
  onPayeeEnrolment,
  type IssueInput,
  type PayeeTerms,
} from './decide-enrolment.ts'
import { onPaymentDecision, onPaymentNotice } from './decide-notice.ts'
import { onNoticeRecord, onStale } from './decide-notice-record.ts'
import { onSettleBatch, settlementsOf } from './decide-operator.ts'
import { onPayoutDeadline, onPayoutNow, onTransferAnswer } from './decide-payout.ts'
import { onRefundConfirmation, onRefundRequest } from './decide-refund.ts'
import { onAskExpiry, onAskStale, onRequestToPay } from './decide-request.ts'
import {
  onAccountNotice,
  onMissingEntries,
  onPairAdjustment,
  onSettlementBatch,
  onSettlementDue,
  onSettlementRetry,
} from './decide-settlement.ts'
import { MPP_POLICY_DEFAULTS, MppPolicySchema, type MppPolicy } from './policy.ts'
import { isListed, loadListings } from './registration.ts'
import { creditOf, payeeOf, paymentsOf, reportOf } from './reports.ts'
import { DEADLINES, MPP_TABLES } from './state.ts'
import { statement } from './statement.ts'

export type MppDependencies = {
  /** This MPP's own credential chain as it is now, shown to the data centers. */
  readonly chain: () => readonly Uint8Array[]
  /** What a mandate says, its signature unjudged; undefined when it is none. */
  readonly readMandate: (mandate: Uint8Array) => MandateStatement | undefined
  /** Signs a payee credential with this MPP's message key; undefined when the terms break the grammar. */
  readonly issuePayee: (terms: PayeeTerms) => Uint8Array | undefined
  /** Is it this MPP's key of now that certified the host? */
  readonly certified: (hostCredential: Uint8Array | undefined) => boolean
  /** Data-center hosts of the realm, unless the operator names others. */
  readonly dataCenters: readonly string[]
  /** What this MPP holds of a payment, for whoever it shows it to. */
  readonly evidence: ReturnType<typeof evidenceOf>
}

export const mppDefinition = ({
  chain,
  readMandate,
  issuePayee: issue,
  certified,
  dataCenters,
  evidence,
}: MppDependencies): NodeDefinition<'mpp', MppPolicy> => ({
  role: 'mpp',
  tables: MPP_TABLES,
  messages: {
    'host-registration': onHostRegistration,
    'payee-enrolment': onPayeeEnrolment(readMandate, certified),
    'mandate-answer': onMandateAnswer,
    'payment-notice': onPaymentNotice,
    'payment-decision': onPaymentDecision,
    'transfer-confirmation': onTransferConfirmation,
    'delayed-transfer-confirmation': onDelayedTransferConfirmation,
    'payment-outcome': onPaymentOutcome,
    'notice-record': onNoticeRecord,
    'refund-request': onRefundRequest,
    'refund-confirmation': onRefundConfirmation,
    'request-to-pay': onRequestToPay,
    'settlement-batch': onSettlementBatch,
    'missing-entries': onMissingEntries,
    'pair-adjustment': onPairAdjustment,
    'account-notice': onAccountNotice,
    'transfer-answer': onTransferAnswer,
  },
  deadlines: {
    [DEADLINES.payout]: onPayoutDeadline,
    [DEADLINES.settlementDue]: onSettlementDue,
    [DEADLINES.settlementRetry]: onSettlementRetry,
    [DEADLINES.askExpiry]: onAskExpiry,
  },
  controls: { 'payout-now': onPayoutNow, 'retire-payee': onRetirePayee, 'settle-batch': onSettleBatch },
  reads: {
    report: (read, _, context) => reportOf(read, context),
    payments: paymentsOf,
    payee: payeeOf,
    credit: creditOf,
    evidence,
    settlements: settlementsOf,
    statement,
  },
  jobs: { [ISSUE_CREDENTIAL]: async (input) => issue((input as IssueInput).terms) },
  finished: { [ISSUE_CREDENTIAL]: onCredentialIssued },
  started: onStarted(chain),
  rotated: onRotated(chain),
  refused: onRefused,
  receipted: onReceipted,
  stale: (read, event, context) =>
    event.kind === 'request-to-pay' ? onAskStale(read, event, context) : onStale(read, event, context),
  policySchema: MppPolicySchema,
  policyDefaults: { ...MPP_POLICY_DEFAULTS, dataCenters },
  ready: (read, { self, policy }) => isListed(1, loadListings(read, self.id), policy.dataCenters),
})

/** The definition from what a host is given at its start. */
export const mpp = (services: NodeServices): NodeDefinition<'mpp', MppPolicy> => {
  const { identity, trust, dataCenters } = services
  return mppDefinition({
    chain: () => ownChain(identity()),
    readMandate: (bytes) => {
      const credential = parseCredential(bytes)
      const terms = credential.ok ? readStatement(trust.engine, credential.value.payload, ['mandate']) : credential
      return terms.ok ? terms.value : undefined
    },
    issuePayee: (terms) => {
      try {
        return issuePayee(trust.engine, { networkId: trust.networkId, ...terms }, identity().signing)
      } catch (error) {
        if (error instanceof TypeError) return undefined
        throw error
      }
    },
    certified: (hostCredential) => {
      const credential = hostCredential === undefined ? undefined : parseCredential(hostCredential)
      return credential?.ok === true && equalBytes(credential.value.keyId, identity().signing.keyId)
    },
    dataCenters,
    evidence: evidenceOf(services),
  })
}
