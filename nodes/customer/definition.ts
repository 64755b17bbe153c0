/**
 * The wallet host as a node: one or many customers' wallets behind one login. It buys as an anonymous guest and pays by telling
 * each customer's own CPP to.
 */
import type { HandledKind, NodeDefinition, Reader, Context, Decision, Incoming, JobEvent } from '../runtime/node.ts'
import { combine, decision, on, remove } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { fromHex, fromUtf8 } from '../../protocol/bytes.ts'
import {
  decideEnrol,
  decideEnrolmentRecord,
  decideEnrolmentRefused,
  decidePinDerived,
  decideUnlock,
  loadEnrol,
  loadEnrolmentById,
  loadPinDerived,
  loadUnlock,
  pinJobs,
  type ReadEnrolment,
} from './decide-enrolment.ts'
import {
  changeJobs,
  decideChangeKeys,
  decideChangePin,
  decideChangeRefused,
  decideForgetDevice,
  decidePinChanged,
  decideReplaceDevice,
  decideReplaced,
  loadChange,
  loadChangePin,
  loadForgetDevice,
  loadReplaceDevice,
  loadReplaced,
  type ChangeKeysInput,
} from './decide-changes.ts'
import { decideClose, decideClosed, loadClose, loadClosed } from './decide-closure.ts'
import { decideQuote, endUnrequested, loadQuote } from './decide-quote.ts'
import { decideGoods, decideGoodsDue, decideSessionEnd } from './decide-goods.ts'
import {
  decideConfirmation,
  decideOutcome,
  decideQuery,
  decideQueryDue,
  decideRefusedPurchase,
} from './decide-payment.ts'
import { decideRefundNotice, loadRefundNotice } from './decide-refund.ts'
import {
  decideGuestOpened,
  decideGuestPhaseEnd,
  decideInvoice,
  decidePay,
  decidePayeeRecord,
} from './decide-purchase.ts'
import { decidePayRequest, decideRequestExpiry, decideRequestToPay, loadRequestToPay } from './decide-requests.ts'
import {
  decideRegistered,
  decideRegistrationRefused,
  isHostRegistered,
  loadRegistration,
  loadRegistrations,
  registerHost,
  type HostChains,
  type Registration,
} from './host-registration.ts'
import type { evidence as evidenceOf } from './evidence.ts'
import { endLogin, guestJobs, loadLogin, type GuestLogins, type PublicKeyOf } from './guest-session.ts'
import {
  loadFinal,
  loadGoods,
  loadGoodsDue,
  loadGuestOpened,
  loadInvoice,
  loadPay,
  loadPayeeRecord,
  loadPaymentDeadline,
  loadPaymentQuery,
  loadPayRequest,
  loadRefusedPurchase,
} from './load.ts'
import { DEFAULT_WALLET_POLICY, WalletPolicy } from './policy.ts'
import { customerList, onePayment, paymentsPage, requestList, walletReport } from './reads.ts'
import {
  aliases,
  changes,
  CURRENT,
  currentSession,
  customers,
  DEADLINES,
  deviceSeeds,
  idOfKey,
  isGuestPhase,
  outbox,
  payments,
  requests,
  sessions,
  unfinished,
  waitingForLogin,
  WALLET_TABLES,
  type Payment,
  type PayRequest,
  type Session,
} from './state.ts'
import { createVault } from './vault.ts'

/** What a wallet host is given besides its ledger. */
export type WalletDependencies = {
  /** The host's credential chain by each CPP that certified it, as they are now. */
  readonly chains: () => HostChains
  readonly guests: GuestLogins
  /** By the engine: of device keys and of guest logins. */
  readonly publicKeyOf: PublicKeyOf
  /** scrypt, off the step loop. */
  readonly derivePinKey: (pin: string, customer: string, cpp: string) => Promise<Uint8Array>
  readonly readEnrolment: ReadEnrolment
  /** What this host holds of a payment, for whoever it shows it to. */
  readonly evidence: ReturnType<typeof evidenceOf>
}

/** As a customer's host, and as the guests it logs in as. */
export type WalletKind = HandledKind<'customer'> | HandledKind<'guest'>
type Handler<Event> = (read: Reader, event: Event, context: Context<WalletPolicy>) => Decision
type WalletMessages = { readonly [K in WalletKind]: Handler<Incoming<K>> }

export const walletNode = (dependencies: WalletDependencies): NodeDefinition<'customer', WalletPolicy> => {
  const { chains, guests, publicKeyOf, derivePinKey, readEnrolment, evidence } = dependencies
  const vault = createVault()
  const refusedPurchase = on(loadRefusedPurchase, decideRefusedPurchase)
  const enrolmentRecorded = on(
    (read: Reader, { message }: Incoming<'customer-enrolment-record'>) =>
      loadEnrolmentById(read, message.body.enrolmentId),
    decideEnrolmentRecord(readEnrolment),
  )
  const deviceReplaced = on(loadReplaced(vault), decideReplaced(readEnrolment))
  const messages: WalletMessages = {
    'payee-record': on(loadPayeeRecord, decidePayeeRecord),
    'transaction-details': on(loadInvoice(vault), decideInvoice),
    'goods-release': on(loadGoods, decideGoods),
    'fx-quote': on(loadQuote(vault), decideQuote),
    'request-to-pay': on(loadRequestToPay, decideRequestToPay),
    'customer-transfer-confirmation': on(loadFinal, decideConfirmation),
    'customer-delayed-transfer-confirmation': on(loadFinal, decideConfirmation),
    'customer-payment-outcome': on(loadFinal, decideOutcome),
    'customer-refund-notice': on(loadRefundNotice, decideRefundNotice),
    'customer-enrolment-record': (read, event, context) =>
      read.get(changes, event.message.body.enrolmentId) === undefined
        ? enrolmentRecorded(read, event, context)
        : deviceReplaced(read, event, context),
  }
  return {
    role: 'customer',
    tables: WALLET_TABLES,
    messages,
    deadlines: {
      [DEADLINES.guestPhase]: on(loadPaymentDeadline, decideGuestPhaseEnd),
      [DEADLINES.query]: on(loadPaymentDeadline, decideQueryDue),
      [DEADLINES.goods]: on(loadGoodsDue, (slice, event, context) =>
        decideGoodsDue(publicKeyOf, slice, event, context),
      ),
      [DEADLINES.session]: on((read, { key }) => loadSession(read, fromUtf8(key)), decideSessionEnd),
      [DEADLINES.request]: on((read, { key }) => read.get(requests, key), decideRequestExpiry),
    },
    controls: {
      enrol: on(loadEnrol, decideEnrol(chains, publicKeyOf)),
      unlock: on(loadUnlock, decideUnlock),
      'change-pin': on(loadChangePin, decideChangePin),
      'close-account': on(loadClose, decideClose),
      'forget-device': on(loadForgetDevice, decideForgetDevice),
      'replace-device': on(loadReplaceDevice, decideReplaceDevice(chains, publicKeyOf)),
      pay: on(loadPay(vault), (slice, event, context) => decidePay(publicKeyOf, slice, event, context)),
      'pay-request': on(loadPayRequest(vault), decidePayRequest),
      query: on(loadPaymentQuery, decideQuery),
    },
    reads: {
      report: (read, _, { self }) => walletReport(read, self.id),
      payments: paymentsPage,
      payment: onePayment,
      customers: (read) => customerList(vault, read),
      requests: requestList,
      evidence,
    },
    jobs: { ...guestJobs(guests), ...pinJobs(vault, derivePinKey), ...changeJobs(vault, derivePinKey) },
    finished: {
      'open-guest': on(loadGuestOpened, decideGuestOpened),
      'close-guest': () => decision(),
      'derive-pin-key': on(loadPinDerived(vault), decidePinDerived),
      'derive-change-keys': on(
        (read, { input }: JobEvent) => loadChange(vault)(read, fromHex((input as ChangeKeysInput).changeId)),
        decideChangeKeys,
      ),
      'release-change-keys': () => decision(),
      'lock-wallet': () => decision(),
    },
    started: on(loadStart, decideStart(chains)),
    rotated: on(loadRegistrations, (known, _, context) => decision(registerHost(chains(), known, context))),
    refused: (read, refused, context) => {
      switch (refused.kind) {
        case 'host-registration':
          return decideRegistrationRefused(loadRegistration(read, refused.key), refused.code, context)
        case 'customer-enrolment':
          return decideEnrolmentRefused(loadEnrolmentById(read, idOfKey(refused.key)), refused, context)
        case 'pin-change':
        case 'device-replacement':
        case 'account-closure':
          return decideChangeRefused(loadChange(vault)(read, idOfKey(refused.key)), refused, context)
        default:
          return refusedPurchase(read, refused, context)
      }
    },
    receipted: (read, { kind, key }, context) => {
      switch (kind) {
        case 'host-registration':
          return decideRegistered(loadRegistration(read, key), context)
        case 'pin-change':
          return decidePinChanged(loadChange(vault)(read, idOfKey(key)), undefined, context)
        case 'account-closure':
          return decideClosed(loadClosed(vault)(read, idOfKey(key)), undefined, context)
        default:
          return decision()
      }
    },
    deviceSeed: (read, customer) => read.get(deviceSeeds, customer)?.seed,
    answersTo: isWalletAddressee,
    admissions: ['pay', 'pay-request'],
    policySchema: WalletPolicy,
    policyDefaults: DEFAULT_WALLET_POLICY,
    ready: (read) => isHostRegistered(read, chains()),
  }
}

const loadSession = (read: Reader, token: string) => ({
  session: read.get(sessions, token),
  isCurrent: loadLogin(read).current?.token === token,
})

type StartSlice = {
  readonly known: readonly Registration[]
  readonly logins: readonly Session[]
  readonly waiting: readonly { readonly payment: Payment; readonly request: PayRequest | undefined }[]
}
const loadStart = (read: Reader): StartSlice => ({
  known: loadRegistrations(read),
  logins: [...read.scan(sessions, [])].map(([, row]) => row),
  waiting: [...read.scan(unfinished, [])].flatMap(([, { prId }]) => {
    const payment = read.get(payments, prId)
    const { requestId } = payment ?? {}
    const request = requestId === undefined ? undefined : read.get(requests, requestId)
    return payment === undefined ? [] : [{ payment, request }]
  }),
})

/**
 * After a restart the one-time keys are gone: purchases that had not become a payment request end, with nothing paid, and every
 * guest login with them. Payments that were requested go on from their rows, the outbox and their deadlines; goods are asked
 * for again under a new login.
 */
const decideStart =
  (chains: () => HostChains) =>
  ({ known, logins, waiting }: StartSlice, _: unknown, context: Context<WalletPolicy>): Decision =>
    decision(
      combine(
        registerHost(chains(), known, context),
        ...waiting.map(({ payment, request }) =>
          isGuestPhase(payment.state)
            ? endUnrequested(
                { session: undefined, request },
                payment,
                'MESSAGE_EXPIRED',
                'the wallet host restarted before the payment request',
                context.nowMs,
              )
            : {
                forget: [outbox.goods(payment.prId)],
                writes:
                  payment.token === undefined ? [] : [remove(waitingForLogin, keyOf(payment.token, payment.prId))],
              },
        ),
        ...logins.map((session) => ({ ...endLogin(session, false), jobs: [] })),
        { writes: [remove(currentSession, keyOf(CURRENT))], record: { event: 'wallet-host-started', ids: [] } },
      ),
    )

/** Is this an id that frames may be addressed to here, besides the host's own: a customer or an alias? */
const isWalletAddressee = (read: Reader, to: string): boolean =>
  read.get(customers, to) !== undefined || read.get(aliases, to) !== undefined
