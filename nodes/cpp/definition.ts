/** A CPP as one table of decisions (decision 0008): which handler judges which event. */
import type { NodeDefinition } from '../runtime/node.ts'
import { combineParts } from './account.ts'
import { AGGREGATION_TABLES } from './aggregation-state.ts'
import { bulkTransferAnswer, bulkWindow } from './decide-bulk.ts'
import { accountClosure } from './decide-closure.ts'
import {
  collectCustomer,
  correctEntry,
  queryOrder,
  register,
  resolveDispute,
  resumeCustomer,
  settleNow,
  unlockCustomer,
  writeOffCustomer,
} from './decide-control.ts'
import {
  AUTHORIZE_JOB,
  REPLACE_JOB,
  authorizeDevice,
  deviceAuthorized,
  deviceReplaced,
  deviceReplacement,
  interruptedReplacing,
  pinChange,
  type AuthorizeInput,
  type AuthorizeResult,
} from './decide-device.ts'
import { collectionRetry, debtAge } from './decide-debt.ts'
import { fxQuoteRequest } from './decide-fx.ts'
import { countersignedDecision, noticeExpiry, postAnswer, voidAnswer } from './decide-decision.ts'
import {
  ISSUE_JOB,
  customerEnrolment,
  enrolmentIssued,
  hostRegistration,
  interruptedIssuing,
  isRegistered,
  mandateAnswer,
  registerProcessor,
  type IssueInput,
  type IssueResult,
} from './decide-enrolment.ts'
import { countersignedRefund, refundRetry } from './decide-refund.ts'
import { holdAnswer, paymentQuery, paymentRequest } from './decide-request.ts'
import { REQUEST_TO_PAY_EXPIRY, requestToPay, requestToPayExpiry, requestToPayStale } from './decide-request-to-pay.ts'
import {
  GATHER_JOB,
  accountNotice,
  entriesGathered,
  gatherEntries,
  interruptedGathering,
  missingEntriesRequest,
  pairAge,
  settlementAcceptance,
  settlementDispute,
  settlementRetry,
  transferAnswer,
  type FramesOf,
} from './decide-settlement.ts'
import { endSealed, noticeQuery, SEAL_END_JOB, sealEnd, type Seal } from './decide-notice-query.ts'
import { receipted, refused } from './decide-outbox.ts'
import {
  interruptedPasses,
  PAGE_JOB,
  pageDue,
  policyChanged,
  readThresholds,
  RECOMPUTE,
  recomputeThresholds,
  THETA_JOB,
  thresholdsComputed,
} from './decide-thresholds.ts'
import type { evidence as evidenceOf } from './evidence.ts'
import { EXCHANGE_RETRY, exchangeRetry } from './exchange.ts'
import type { PinVault } from './pin-vault.ts'
import { CppPolicy, DEFAULT_CPP_POLICY } from './policy.ts'
import { customer, customerList, payment, paymentsPage, registration, report, settlements } from './reads.ts'
import { BULK_WINDOW, COLLECTION_RETRY, DEBT_AGE } from './schedule.ts'
import { CPP_TABLES, customers } from './state.ts'
import { computeThresholds } from './theta-job.ts'
import { statement } from './statement.ts'

export type CppDependencies = {
  readonly vault: PinVault
  /** This processor's own chain, newest: it changes with a rotation. */
  readonly chain: () => readonly Uint8Array[]
  /** Signs the record of a customer with the CPP's message key; undefined when the device key is not sound. */
  readonly issueEnrolment: (input: IssueInput) => Promise<IssueResult>
  /** Signs what a customer whose device is lost is given. */
  readonly authorizeDevice: (input: AuthorizeInput) => Promise<AuthorizeResult>
  /** This host's own messages, sealed again, by how they were delivered. */
  readonly framesOf: FramesOf
  readonly seal: Seal
  /** What this CPP holds of a payment, for whoever it shows it to. */
  readonly evidence: ReturnType<typeof evidenceOf>
}

export const cppDefinition = ({
  vault,
  chain,
  issueEnrolment,
  authorizeDevice: signAuthorization,
  framesOf,
  seal,
  evidence,
}: CppDependencies): NodeDefinition<'cpp', CppPolicy> => ({
  role: 'cpp',
  tables: [...CPP_TABLES, ...AGGREGATION_TABLES],
  messages: {
    'host-registration': hostRegistration,
    'customer-enrolment': customerEnrolment(vault),
    'pin-change': pinChange(vault),
    'device-replacement': deviceReplacement(vault),
    'account-closure': accountClosure(vault),
    'mandate-answer': mandateAnswer,
    'request-to-pay': requestToPay,
    'fx-quote-request': fxQuoteRequest,
    'payment-request': paymentRequest(vault),
    'hold-answer': holdAnswer,
    'countersigned-decision': countersignedDecision,
    'countersigned-refund': countersignedRefund,
    'post-answer': postAnswer,
    'void-answer': voidAnswer,
    'payment-query': paymentQuery,
    'notice-query': noticeQuery,
    'transfer-answer': transferAnswer,
    'bulk-transfer-answer': bulkTransferAnswer,
    'account-notice': accountNotice,
    'settlement-acceptance': settlementAcceptance,
    'settlement-dispute': settlementDispute,
    'missing-entries-request': missingEntriesRequest,
  },
  deadlines: {
    'notice-expiry': noticeExpiry,
    [REQUEST_TO_PAY_EXPIRY]: requestToPayExpiry,
    [DEBT_AGE]: debtAge,
    [BULK_WINDOW]: bulkWindow,
    [COLLECTION_RETRY]: collectionRetry,
    [RECOMPUTE]: recomputeThresholds,
    'pair-age': pairAge,
    'settlement-retry': settlementRetry,
    [EXCHANGE_RETRY]: exchangeRetry,
    'refund-retry': refundRetry,
  },
  controls: {
    'unlock-customer': unlockCustomer,
    'authorize-device': authorizeDevice,
    'resume-customer': resumeCustomer,
    'collect-customer': collectCustomer,
    'write-off-customer': writeOffCustomer,
    'settle-now': settleNow,
    'resolve-dispute': resolveDispute,
    'correct-entry': correctEntry,
    'query-order': queryOrder,
    register: register(chain),
  },
  reads: {
    report,
    payments: paymentsPage,
    payment,
    customer,
    customers: customerList,
    settlements,
    statement,
    registration,
    thresholds: readThresholds,
    evidence,
  },
  jobs: {
    [ISSUE_JOB]: (input) => issueEnrolment(input as IssueInput),
    [REPLACE_JOB]: (input) => issueEnrolment(input as IssueInput),
    [AUTHORIZE_JOB]: (input) => signAuthorization(input as AuthorizeInput),
    [GATHER_JOB]: gatherEntries(framesOf),
    [SEAL_END_JOB]: sealEnd(framesOf, seal),
    [PAGE_JOB]: async () => null,
    [THETA_JOB]: computeThresholds,
  },
  finished: {
    [ISSUE_JOB]: enrolmentIssued,
    [REPLACE_JOB]: deviceReplaced,
    [AUTHORIZE_JOB]: deviceAuthorized,
    [SEAL_END_JOB]: endSealed,
    [GATHER_JOB]: entriesGathered,
    [PAGE_JOB]: pageDue,
    [THETA_JOB]: thresholdsComputed,
  },
  started: (read, _event, context) =>
    combineParts([
      registerProcessor(read, chain(), context),
      {
        jobs: [
          ...interruptedIssuing(read),
          ...interruptedReplacing(read),
          ...interruptedGathering(read),
          ...interruptedPasses(read),
        ],
      },
    ]),
  rotated: (read, _event, context) => combineParts([registerProcessor(read, chain(), context)]),
  refused,
  receipted,
  stale: requestToPayStale,
  policyChanged,
  deviceKey: (read, id) => {
    const row = read.get(customers, id)
    if (row?.deviceLostAtMs !== undefined) return 'revoked'
    // Of a closed account too: its wallet may ask again for what it was answered.
    return row === undefined || row.state === 'mandating' || row.state === 'recording'
      ? undefined
      : { publicKey: row.deviceKey, host: row.walletHost }
  },
  policySchema: CppPolicy,
  policyDefaults: DEFAULT_CPP_POLICY,
  ready: isRegistered,
})
