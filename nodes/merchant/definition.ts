/** The merchant host as a node: one or many payees behind one login. It makes invoices, decides on notices, and releases goods. */
import type { ChainBook } from '../customer/credentials.ts'
import {
  decideRegistered,
  decideRegistrationRefused,
  isHostRegistered,
  loadRegistration,
  loadRegistrations,
  registerHost,
} from '../customer/host-registration.ts'
import {
  combine,
  decision,
  on,
  type Incoming,
  type JobEvent,
  type NodeDefinition,
  type Reader,
} from '../runtime/node.ts'
import { decideAccountNotice, decidePayoutAdvice, loadAccountNotice, loadPayoutAdvice } from './decide-bank.ts'
import { decideConfirmation, decideOrderQuery, decideOutcome, loadEnd, loadOrderQuery } from './decide-end.ts'
import { decideNotice, loadNotice } from './decide-notice.ts'
import {
  decideInvoiceSealed,
  decideOffer,
  decideOrderExpiry,
  decideRequestDelivered,
  decideRequestPayment,
  decideRequestRefused,
  loadExpiry,
  loadOffer,
  loadPaymentRequest,
  loadRequestPayment,
  sealJobs,
  type SealInvoice,
  type SealInvoiceInput,
} from './decide-offer.ts'
import {
  decideEnrolmentRefused,
  decideEnrolPayee,
  decidePayeeRecord,
  decideSetApproval,
  loadEnrolPayee,
  loadOutdatedPayees,
  loadPayeeByEnrolment,
  loadRefusedEnrolment,
  loadSetApproval,
  renewPayees,
  type ReadPayeeCredential,
} from './decide-payees.ts'
import type { evidence as evidenceOf } from './evidence.ts'
import {
  decideRefund,
  decideRefundConfirmation,
  decideRefundPin,
  decideRefundRefused,
  decideRefundResult,
  decideSetRefundPin,
  loadPinDerived,
  loadRefundConfirmation,
  loadRefundPin,
  loadRefundResult,
  loadRefusedRefund,
  REFUND_PIN_JOB,
  refundJobs,
  refundPinState,
} from './decide-refund.ts'
import { DEFAULT_MERCHANT_POLICY, MerchantPolicy } from './policy.ts'
import { merchantReport, oneOrder, payeeList, paymentsPage } from './reads.ts'
import { DEADLINES, MERCHANT_TABLES, paymentRequests } from './state.ts'

/** What a merchant host is given besides its ledger. */
export type MerchantDependencies = {
  /** The host's credential chains, as they are now: processor credential, host credential. */
  readonly chains: ChainBook
  /** Seals an invoice that travels nested in a request to pay. */
  readonly sealInvoice: SealInvoice
  readonly readPayeeCredential: ReadPayeeCredential
  /** What this host holds of a payment, for whoever it shows it to. */
  readonly evidence: ReturnType<typeof evidenceOf>
  /** scrypt, off the step loop, with this host's salt. */
  readonly deriveRefundPin: (pin: string) => Promise<Uint8Array>
}

export const merchantNode = ({
  chains,
  sealInvoice,
  readPayeeCredential,
  evidence,
  deriveRefundPin,
}: MerchantDependencies): NodeDefinition<'merchant', MerchantPolicy> => ({
  role: 'merchant',
  tables: MERCHANT_TABLES,
  messages: {
    'offer-request': on(loadOffer, decideOffer(chains.beside)),
    'order-query': on(loadOrderQuery, decideOrderQuery),
    'payment-notice': on(loadNotice, decideNotice),
    'transfer-confirmation': on(loadEnd, decideConfirmation),
    'delayed-transfer-confirmation': on(loadEnd, decideConfirmation),
    'payment-outcome': on(loadEnd, decideOutcome),
    'refund-confirmation': on(loadRefundConfirmation, decideRefundConfirmation),
    'payee-enrolment-record': on(
      (read, { message }: Incoming<'payee-enrolment-record'>) => loadPayeeByEnrolment(read, message.body.enrolmentId),
      decidePayeeRecord(readPayeeCredential),
    ),
    'account-notice': on(loadAccountNotice, decideAccountNotice),
    'payout-advice': on(loadPayoutAdvice, decidePayoutAdvice),
  },
  deadlines: { [DEADLINES.order]: on(loadExpiry, decideOrderExpiry) },
  controls: {
    'enrol-payee': on(loadEnrolPayee, decideEnrolPayee(chains)),
    'set-approval': on(loadSetApproval, decideSetApproval),
    'request-payment': on(loadRequestPayment, decideRequestPayment(chains.beside)),
    'set-refund-pin': on(() => undefined, decideSetRefundPin),
    refund: on(loadRefundPin, decideRefund),
    'refund-result': on(loadRefundResult, decideRefundResult),
  },
  reads: {
    report: (read, _, { self }) => merchantReport(read, self.id),
    payments: paymentsPage,
    payees: payeeList,
    order: oneOrder,
    'refund-pin': refundPinState,
    evidence,
  },
  jobs: { ...sealJobs(sealInvoice), ...refundJobs(deriveRefundPin) },
  finished: {
    'seal-invoice': on(
      (read: Reader, { input }: JobEvent) => read.get(paymentRequests, (input as SealInvoiceInput).requestId),
      decideInvoiceSealed,
    ),
    [REFUND_PIN_JOB]: on(loadPinDerived, decideRefundPin),
  },
  started: on(loadIdentity(chains), ({ known, outdated }, _, context) =>
    decision(
      combine(registerHost(chains.newest(), known, context), renewPayees(outdated, context), {
        record: { event: 'merchant-host-started', ids: [] },
      }),
    ),
  ),
  rotated: on(loadIdentity(chains), ({ known, outdated }, _, context) =>
    decision(combine(registerHost(chains.newest(), known, context), renewPayees(outdated, context))),
  ),
  refused: (read, refused, context) => {
    switch (refused.kind) {
      case 'host-registration':
        return decideRegistrationRefused(loadRegistration(read, refused.key), refused.code, context)
      case 'payee-enrolment':
        return decideEnrolmentRefused(loadRefusedEnrolment(read, refused), refused, context)
      case 'refund-request':
        return decideRefundRefused(loadRefusedRefund(read, refused), refused, context)
      case 'request-to-pay':
        return decideRequestRefused(loadPaymentRequest(read, refused.key), refused.code, refused.detail, context)
      default:
        // A refused payment decision ends nothing: the CPP's outcome or confirmation does.
        return decision({
          record: {
            event: 'message-refused',
            ids: [],
            level: 'warn',
            fields: { kind: refused.kind, code: refused.code },
          },
        })
    }
  },
  receipted: (read, { kind, key }, context) => {
    if (kind === 'host-registration') return decideRegistered(loadRegistration(read, key), context)
    if (kind === 'request-to-pay') return decideRequestDelivered(loadPaymentRequest(read, key), context)
    return decision()
  },
  admissions: ['request-payment', 'refund'],
  policySchema: MerchantPolicy,
  policyDefaults: DEFAULT_MERCHANT_POLICY,
  ready: (read) => isHostRegistered(read, chains.newest()),
})

/** What a host's keys concern: its registrations, and the payees whose credential their MPP signed with a former key. */
const loadIdentity = (chains: ChainBook) => (read: Reader) => ({
  known: loadRegistrations(read),
  outdated: loadOutdatedPayees(read, chains),
})
