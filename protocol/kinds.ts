/**
 * The kind registry: one row for each kind of message. Broker permissions, the runtime's checks and SPEC's message chapter are
 * generated from it or checked against it. Numbers are for ever.
 *
 * paths       every way the message may travel, originator first, final addressee last; `dc?` is the peer realm's data center
 * routeBy     what a data center routes on: the header's `to`, the body's `payee`, or the body's `alias`
 * answeredBy  what ends its resending; `receipt` when nothing else answers it
 * expires     the header carries `expiresAtMs`, required exactly for these kinds
 * confidential the frame travels encrypted to its addressee, inside a carrier frame
 * durable     it and the state it speaks of are on disk before it is sent
 * audience    the class whose batch tree it may share: a tree never mixes classes (SPEC "Batch seals")
 * id          the body's field that money messages dedupe on for ever, per originator; null: the header's messageId
 * introduces  its body carries the chain of the key that seals it
 * nests       fields that hold complete frames of other messages, and the kinds these may be
 * accepts     body versions this implementation accepts; [] for kinds whose numbers are given and whose use is still to come
 */
import type { Static, TSchema } from '@sinclair/typebox'
import type { Role } from './ids.ts'
import * as bank from './messages/bank.ts'
import * as directory from './messages/directory.ts'
import * as enrolment from './messages/enrolment.ts'
import * as payment from './messages/payment.ts'
import * as purchase from './messages/purchase.ts'
import * as settlement from './messages/settlement.ts'
import * as transport from './messages/transport.ts'

export type Hop = Role | 'dc?'
export const AUDIENCES = ['guest', 'customer', 'network', 'bank'] as const
export type Audience = (typeof AUDIENCES)[number]

type Row = {
  readonly number: number
  readonly paths: readonly (readonly Hop[])[]
  readonly routeBy: 'to' | 'payee' | 'alias'
  readonly answeredBy: readonly string[]
  readonly expires: boolean
  readonly confidential: boolean
  readonly durable: boolean
  readonly audience: Audience
  readonly id: string | null
  readonly introduces: boolean
  readonly nests: { readonly [field: string]: readonly string[] }
  readonly accepts: readonly number[]
  readonly bodies: { readonly [version: number]: TSchema }
  /** What travels beside the inner frame of a confidential kind, seen by its addressee alone. */
  readonly beside?: TSchema
}

const toPayee = ['cpp', 'dc', 'dc?', 'mpp', 'merchant'] as const
const cppToMpp = ['cpp', 'dc', 'dc?', 'mpp'] as const
const mppToCpp = ['mpp', 'dc', 'dc?', 'cpp'] as const
const plain = { routeBy: 'to', expires: false, confidential: false, durable: true, introduces: false, nests: {}, accepts: [1] } as const
const query = { ...plain, durable: false, id: null } as const
const later = { accepts: [] } as const
const network = { audience: 'network' } as const
const banking = { audience: 'bank' } as const
const customer = { audience: 'customer', confidential: true } as const
const trans = { nests: { trans: ['transaction-details'] } } as const
const guest = { audience: 'guest', durable: false } as const

export const KINDS = {
  // Purchase, by an anonymous guest
  'offer-request': { ...plain, ...guest, number: 1, paths: [['guest', 'merchant']], answeredBy: ['transaction-details', 'refusal'], expires: true, id: 'purchaseToken', bodies: { 1: purchase.OfferRequest } },
  'transaction-details': { ...plain, ...guest, durable: true, number: 2, paths: [['merchant', 'guest']], answeredBy: [], expires: true, confidential: true, id: 'txId', bodies: { 1: purchase.TransactionDetails }, beside: purchase.TransactionDescription },
  'goods-release': { ...plain, ...guest, durable: true, number: 3, paths: [['merchant', 'guest']], answeredBy: [], confidential: true, id: 'txId', bodies: { 1: purchase.GoodsRelease } },
  'order-query': { ...query, ...guest, number: 4, paths: [['guest', 'merchant']], answeredBy: ['goods-release', 'refusal'], bodies: { 1: purchase.OrderQuery } },
  'request-to-pay': { ...plain, ...network, ...trans, number: 5, paths: [['merchant', 'mpp', 'dc', 'dc?', 'cpp', 'customer']], routeBy: 'alias', answeredBy: ['receipt'], id: 'requestId', bodies: { 1: purchase.RequestToPay } },
  // Payment
  'payment-request': { ...plain, ...customer, ...trans, number: 10, paths: [['customer', 'cpp']], answeredBy: ['customer-transfer-confirmation', 'customer-delayed-transfer-confirmation', 'customer-payment-outcome', 'refusal'], expires: true, id: 'prId', bodies: { 1: payment.PaymentRequest } },
  'payment-notice': { ...plain, ...network, ...trans, number: 11, paths: [toPayee], routeBy: 'payee', answeredBy: ['countersigned-decision'], expires: true, id: 'pnId', bodies: { 1: payment.PaymentNotice } },
  'payment-decision': { ...plain, ...network, number: 12, paths: [['merchant', 'mpp']], answeredBy: ['transfer-confirmation', 'delayed-transfer-confirmation', 'payment-outcome', 'refusal'], id: 'pnId', bodies: { 1: payment.PaymentDecision } },
  'countersigned-decision': { ...plain, ...network, nests: { merchantDecision: ['payment-decision'] }, number: 13, paths: [mppToCpp], answeredBy: ['transfer-confirmation', 'delayed-transfer-confirmation', 'payment-outcome', 'refusal'], id: 'pnId', bodies: { 1: payment.CountersignedDecision } },
  'customer-transfer-confirmation': { ...plain, ...customer, number: 14, paths: [['cpp', 'customer']], answeredBy: [], id: 'prId', bodies: { 1: payment.CustomerTransferConfirmation } },
  'customer-delayed-transfer-confirmation': { ...plain, ...customer, number: 15, paths: [['cpp', 'customer']], answeredBy: [], id: 'prId', bodies: { 1: payment.CustomerDelayedTransferConfirmation } },
  'customer-payment-outcome': { ...plain, ...customer, number: 16, paths: [['cpp', 'customer']], answeredBy: [], id: 'prId', bodies: { 1: payment.CustomerPaymentOutcome } },
  'transfer-confirmation': { ...plain, ...network, number: 17, paths: [toPayee], routeBy: 'payee', answeredBy: [], id: 'pnId', bodies: { 1: payment.TransferConfirmation } },
  'delayed-transfer-confirmation': { ...plain, ...network, number: 18, paths: [toPayee], routeBy: 'payee', answeredBy: [], id: 'pnId', bodies: { 1: payment.DelayedTransferConfirmation } },
  'payment-outcome': { ...plain, ...network, number: 19, paths: [toPayee], routeBy: 'payee', answeredBy: ['receipt'], id: 'pnId', bodies: { 1: payment.PaymentOutcome } },
  'payment-query': { ...query, ...customer, number: 20, paths: [['customer', 'cpp']], answeredBy: ['customer-transfer-confirmation', 'customer-delayed-transfer-confirmation', 'customer-payment-outcome', 'refusal'], bodies: { 1: payment.PaymentQuery } },
  'notice-query': { ...query, ...network, number: 21, paths: [mppToCpp], answeredBy: ['notice-record', 'refusal'], bodies: { 1: payment.NoticeQuery } },
  'notice-record': { ...query, ...network, number: 22, paths: [cppToMpp], nests: { end: ['transfer-confirmation', 'delayed-transfer-confirmation', 'payment-outcome', 'refund-confirmation'] }, answeredBy: [], bodies: { 1: payment.NoticeRecord } },
  // Enrolment
  'host-registration': { ...plain, ...network, number: 30, paths: [['customer', 'cpp'], ['merchant', 'mpp']], answeredBy: ['receipt', 'refusal'], id: 'registrationId', introduces: true, bodies: { 1: enrolment.HostRegistration } },
  'customer-enrolment': { ...plain, ...customer, number: 31, paths: [['customer', 'cpp']], answeredBy: ['customer-enrolment-record', 'refusal'], id: 'enrolmentId', bodies: { 1: enrolment.CustomerEnrolment } },
  'customer-enrolment-record': { ...plain, ...customer, number: 32, paths: [['cpp', 'customer']], answeredBy: [], id: 'enrolmentId', bodies: { 1: enrolment.CustomerEnrolmentRecord } },
  'pin-change': { ...plain, ...customer, number: 33, paths: [['customer', 'cpp']], answeredBy: ['receipt', 'refusal'], id: 'changeId', bodies: { 1: enrolment.PinChange } },
  'device-replacement': { ...plain, ...customer, number: 34, paths: [['customer', 'cpp']], answeredBy: ['customer-enrolment-record', 'refusal'], id: 'changeId', bodies: { 1: enrolment.DeviceReplacement } },
  'account-closure': { ...plain, ...customer, number: 35, paths: [['customer', 'cpp']], answeredBy: ['receipt', 'refusal'], id: 'closureId', bodies: { 1: enrolment.AccountClosure } },
  'payee-enrolment': { ...plain, ...network, number: 36, paths: [['merchant', 'mpp']], answeredBy: ['payee-enrolment-record', 'refusal'], id: 'enrolmentId', bodies: { 1: enrolment.PayeeEnrolment } },
  'payee-enrolment-record': { ...plain, ...network, number: 37, paths: [['mpp', 'merchant']], answeredBy: [], id: 'enrolmentId', bodies: { 1: enrolment.PayeeEnrolmentRecord } },
  // Directory
  'processor-registration': { ...plain, ...network, number: 40, paths: [['cpp', 'dc'], ['mpp', 'dc'], ['bank', 'dc'], ['dc', 'dc']], answeredBy: ['receipt', 'refusal'], id: 'registrationId', introduces: true, bodies: { 1: directory.ProcessorRegistration } },
  'payee-registration': { ...plain, ...network, number: 41, paths: [['mpp', 'dc']], answeredBy: ['receipt', 'refusal'], id: 'registrationId', bodies: { 1: directory.PayeeRegistration } },
  'alias-registration': { ...plain, ...network, number: 42, paths: [['cpp', 'dc']], answeredBy: ['receipt', 'refusal'], id: 'registrationId', bodies: { 1: directory.AliasRegistration } },
  'payee-lookup': { ...query, ...guest, number: 43, paths: [['guest', 'dc']], answeredBy: ['payee-record', 'refusal'], bodies: { 1: directory.PayeeLookup } },
  'payee-record': { ...query, ...guest, number: 44, paths: [['dc', 'guest']], answeredBy: [], bodies: { 1: directory.PayeeRecord } },
  'credential-query': { ...query, ...network, introduces: true, number: 45, paths: [['customer', 'dc'], ['merchant', 'dc'], ['cpp', 'dc'], ['mpp', 'dc'], ['bank', 'dc'], ['dc', 'dc']], answeredBy: ['credential-record', 'refusal'], bodies: { 1: directory.CredentialQuery } },
  'credential-record': { ...query, ...network, number: 46, paths: [['dc', 'customer'], ['dc', 'merchant'], ['dc', 'cpp'], ['dc', 'mpp'], ['dc', 'bank'], ['dc', 'dc']], answeredBy: [], bodies: { 1: directory.CredentialRecord } },
  'revocation-query': { ...query, ...network, introduces: true, number: 47, paths: [['customer', 'dc'], ['merchant', 'dc'], ['cpp', 'dc'], ['mpp', 'dc'], ['bank', 'dc'], ['dc', 'dc']], answeredBy: ['revocation-record', 'refusal'], bodies: { 1: directory.RevocationQuery } },
  'revocation-record': { ...query, ...network, number: 48, paths: [['dc', 'customer'], ['dc', 'merchant'], ['dc', 'cpp'], ['dc', 'mpp'], ['dc', 'bank'], ['dc', 'dc']], answeredBy: [], bodies: { 1: directory.RevocationRecord } },
  'directory-query': { ...query, ...network, ...later, number: 49, paths: [['dc', 'dc']], answeredBy: ['directory-page', 'refusal'], bodies: { 1: directory.DirectoryQuery } },
  'directory-page': { ...query, ...network, ...later, number: 50, paths: [['dc', 'dc']], answeredBy: [], bodies: { 1: directory.DirectoryPage } },
  // Bank
  'mandate-registration': { ...plain, ...banking, number: 60, paths: [['cpp', 'bank'], ['mpp', 'bank']], answeredBy: ['mandate-answer', 'refusal'], id: 'registrationId', bodies: { 1: bank.MandateRegistration } },
  'mandate-answer': { ...plain, ...banking, number: 61, paths: [['bank', 'cpp'], ['bank', 'mpp']], answeredBy: [], id: 'registrationId', bodies: { 1: bank.MandateAnswer } },
  'hold-order': { ...plain, ...banking, number: 62, paths: [['cpp', 'bank']], answeredBy: ['hold-answer', 'refusal'], expires: true, id: 'holdId', bodies: { 1: bank.HoldOrder } },
  'hold-answer': { ...plain, ...banking, number: 63, paths: [['bank', 'cpp']], answeredBy: [], id: 'holdId', bodies: { 1: bank.HoldAnswer } },
  'post-order': { ...plain, ...banking, number: 64, paths: [['cpp', 'bank']], answeredBy: ['post-answer', 'refusal'], id: 'orderId', bodies: { 1: bank.PostOrder } },
  'post-answer': { ...plain, ...banking, number: 65, paths: [['bank', 'cpp']], answeredBy: [], id: 'orderId', bodies: { 1: bank.PostAnswer } },
  'void-order': { ...plain, ...banking, number: 66, paths: [['cpp', 'bank']], answeredBy: ['void-answer', 'refusal'], id: 'orderId', bodies: { 1: bank.VoidOrder } },
  'void-answer': { ...plain, ...banking, number: 67, paths: [['bank', 'cpp']], answeredBy: [], id: 'orderId', bodies: { 1: bank.VoidAnswer } },
  'transfer-order': { ...plain, ...banking, number: 68, paths: [['cpp', 'bank'], ['mpp', 'bank']], answeredBy: ['transfer-answer', 'refusal'], id: 'orderId', bodies: { 1: bank.TransferOrder } },
  'transfer-answer': { ...plain, ...banking, number: 69, paths: [['bank', 'cpp'], ['bank', 'mpp']], answeredBy: [], id: 'orderId', bodies: { 1: bank.TransferAnswer } },
  'bulk-transfer-order': { ...plain, ...banking, number: 70, paths: [['cpp', 'bank']], answeredBy: ['bulk-transfer-answer', 'refusal'], id: 'orderId', bodies: { 1: bank.BulkTransferOrder } },
  'bulk-transfer-answer': { ...plain, ...banking, number: 71, paths: [['bank', 'cpp']], answeredBy: [], id: 'orderId', bodies: { 1: bank.BulkTransferAnswer } },
  'bank-order-query': { ...query, ...banking, number: 72, paths: [['cpp', 'bank'], ['mpp', 'bank']], answeredBy: ['post-answer', 'void-answer', 'transfer-answer', 'bulk-transfer-answer', 'refusal'], bodies: { 1: bank.BankOrderQuery } },
  'account-notice': { ...plain, ...network, number: 73, paths: [['bank', 'cpp'], ['bank', 'mpp'], ['bank', 'merchant']], answeredBy: ['receipt'], id: 'noticeId', bodies: { 1: bank.AccountNotice } },
  'interbank-credit': { ...plain, ...banking, number: 74, paths: [['bank', 'bank']], answeredBy: ['interbank-booking', 'interbank-return', 'refusal'], id: 'creditId', bodies: { 1: bank.InterbankCredit } },
  'interbank-booking': { ...plain, ...banking, number: 75, paths: [['bank', 'bank']], answeredBy: [], id: 'creditId', bodies: { 1: bank.InterbankBooking } },
  'interbank-return': { ...plain, ...banking, number: 76, paths: [['bank', 'bank']], answeredBy: [], id: 'creditId', bodies: { 1: bank.InterbankReturn } },
  'clearing-order': { ...plain, ...banking, number: 77, paths: [['bank', 'bank']], answeredBy: ['clearing-answer', 'refusal'], id: 'clearingId', bodies: { 1: bank.ClearingOrder } },
  'clearing-answer': { ...plain, ...banking, number: 78, paths: [['bank', 'bank']], answeredBy: [], id: 'clearingId', bodies: { 1: bank.ClearingAnswer } },
  'clearing-notice': { ...plain, ...banking, number: 79, paths: [['bank', 'bank']], answeredBy: ['receipt'], id: 'noticeId', bodies: { 1: bank.ClearingNotice } },
  // Settlement, payout, refund
  'settlement-batch': { ...plain, ...network, number: 80, paths: [cppToMpp], answeredBy: ['settlement-acceptance', 'settlement-dispute'], id: 'batchId', bodies: { 1: settlement.SettlementBatch } },
  'settlement-acceptance': { ...plain, ...network, number: 81, paths: [mppToCpp], answeredBy: [], id: 'batchId', bodies: { 1: settlement.SettlementAcceptance } },
  'settlement-dispute': { ...plain, ...network, number: 82, paths: [mppToCpp], answeredBy: [], id: 'batchId', bodies: { 1: settlement.SettlementDispute } },
  'missing-entries-request': { ...query, ...network, number: 83, paths: [mppToCpp], answeredBy: ['missing-entries', 'refusal'], bodies: { 1: settlement.MissingEntriesRequest } },
  'missing-entries': { ...plain, ...network, nests: { entries: ['delayed-transfer-confirmation', 'refund-confirmation', 'pair-adjustment'] }, number: 84, paths: [cppToMpp], answeredBy: [], id: 'requestId', bodies: { 1: settlement.MissingEntries } },
  'pair-adjustment': { ...plain, ...network, number: 85, paths: [cppToMpp], answeredBy: ['receipt'], id: 'adjustmentId', bodies: { 1: settlement.PairAdjustment } },
  'payout-advice': { ...plain, ...network, number: 86, paths: [['mpp', 'merchant']], answeredBy: ['receipt'], id: 'payoutId', bodies: { 1: settlement.PayoutAdvice } },
  'refund-request': { ...plain, ...network, number: 87, paths: [['merchant', 'mpp']], answeredBy: ['refund-confirmation', 'refusal'], id: 'refundId', bodies: { 1: settlement.RefundRequest } },
  'countersigned-refund': { ...plain, ...network, nests: { request: ['refund-request'] }, number: 88, paths: [mppToCpp], answeredBy: ['refund-confirmation', 'refusal'], id: 'refundId', bodies: { 1: settlement.CountersignedRefund } },
  'refund-confirmation': { ...plain, ...network, number: 89, paths: [toPayee], routeBy: 'payee', answeredBy: [], id: 'refundId', bodies: { 1: settlement.RefundConfirmation } },
  'customer-refund-notice': { ...plain, ...customer, number: 90, paths: [['cpp', 'customer']], answeredBy: ['receipt'], id: 'refundId', bodies: { 1: settlement.CustomerRefundNotice } },
  'fx-quote-request': { ...query, ...customer, number: 91, paths: [['customer', 'cpp']], answeredBy: ['fx-quote', 'refusal'], id: 'quoteId', bodies: { 1: settlement.FxQuoteRequest } },
  'fx-quote': { ...plain, ...customer, number: 92, paths: [['cpp', 'customer']], answeredBy: [], id: 'quoteId', bodies: { 1: settlement.FxQuote } },
  'ledger-report-query': { ...query, ...network, ...later, number: 93, paths: [['observer', 'cpp'], ['observer', 'mpp'], ['observer', 'bank'], ['observer', 'dc']], answeredBy: ['ledger-report', 'refusal'], bodies: { 1: settlement.LedgerReportQuery } },
  'ledger-report': { ...query, ...network, ...later, number: 94, paths: [['cpp', 'observer'], ['mpp', 'observer'], ['bank', 'observer'], ['dc', 'observer']], answeredBy: [], bodies: { 1: settlement.LedgerReport } },
  // Messages about messages
  receipt: { ...query, ...network, durable: true, number: 100, paths: [['customer', 'cpp'], ['cpp', 'customer'], ['merchant', 'mpp'], ['mpp', 'merchant'], cppToMpp, mppToCpp, ['dc', 'cpp'], ['dc', 'mpp'], ['dc', 'bank'], ['dc', 'dc'], ['cpp', 'bank'], ['mpp', 'bank'], ['merchant', 'bank'], ['bank', 'bank']], answeredBy: [], bodies: { 1: transport.Receipt } },
  refusal: { ...query, ...network, durable: true, number: 101, paths: [['merchant', 'guest'], ['dc', 'guest'], ['cpp', 'customer'], ['customer', 'cpp'], ['mpp', 'merchant'], ['merchant', 'mpp'], cppToMpp, mppToCpp, ['dc', 'customer'], ['dc', 'merchant'], ['dc', 'cpp'], ['dc', 'mpp'], ['dc', 'bank'], ['dc', 'dc'], ['bank', 'cpp'], ['bank', 'mpp'], ['cpp', 'bank'], ['mpp', 'bank'], ['merchant', 'bank'], ['bank', 'bank']], answeredBy: [], bodies: { 1: transport.Refusal } },
  undeliverable: { ...query, ...network, number: 102, paths: [['dc', 'cpp'], ['dc', 'mpp'], ['dc', 'dc']], answeredBy: [], bodies: { 1: transport.Undeliverable } },
} as const satisfies Record<string, Row>

export type KindName = keyof typeof KINDS
export type KindRow = Row
/** The body of a kind, at its newest version. */
export type Body<K extends KindName> = Static<(typeof KINDS)[K]['bodies'][1]>
export type Beside<K extends KindName> = (typeof KINDS)[K] extends { readonly beside: infer S extends TSchema } ? Static<S> : undefined

/** The kinds this implementation accepts today. */
export type LiveKind = { [K in KindName]: (typeof KINDS)[K]['accepts'] extends readonly [] ? never : K }[KindName]

type LastOf<P extends readonly unknown[]> = P extends readonly [...unknown[], infer L] ? L : never
type TailOf<P extends readonly unknown[]> = P extends readonly [unknown, ...infer T] ? T[number] : never
/** Kinds whose final addressee may be `R`. */
export type KindTo<R extends Role> = { [K in KindName]: R extends LastOf<(typeof KINDS)[K]['paths'][number]> ? K : never }[KindName]
/** Kinds that `R` receives, as final addressee or as a hop on the way. */
export type KindThrough<R extends Role> = { [K in KindName]: R extends TailOf<(typeof KINDS)[K]['paths'][number]> ? K : never }[KindName]
/** Kinds that `R` may originate. */
export type KindFrom<R extends Role> = { [K in KindName]: R extends (typeof KINDS)[K]['paths'][number][0] ? K : never }[KindName]

export const KIND_NAMES = Object.keys(KINDS) as readonly KindName[]
const byNumber = new Map<number, KindName>(KIND_NAMES.map((name) => [KINDS[name].number, name]))

export const kindRow = (name: KindName): KindRow => KINDS[name]
export const kindByNumber = (number: number): KindName | undefined => byNumber.get(number)
export const isKindName = (text: string): text is KindName => Object.hasOwn(KINDS, text)

const roleOfHop = (hop: Hop): Role => (hop === 'dc?' ? 'dc' : hop)

/** One hop of a kind: who publishes it to whom. A data center reaches a peer where a path says `dc?`, or skips it. */
export type Leg = { readonly kind: KindName; readonly from: Role; readonly to: Role }

/** Every hop that the registry allows, without repetition: the source of broker permissions and of the path check. */
export const legsOf = (name: KindName): readonly Leg[] => {
  const legs = new Map<string, Leg>()
  const add = (from: Hop, to: Hop): void => {
    const leg = { kind: name, from: roleOfHop(from), to: roleOfHop(to) }
    legs.set(`${leg.from} ${leg.to}`, leg)
  }
  for (const path of kindRow(name).paths)
    for (let i = 0; i + 1 < path.length; i++) {
      add(path[i] as Hop, path[i + 1] as Hop)
      if (path[i + 1] === 'dc?' && i + 2 < path.length) add(path[i] as Hop, path[i + 2] as Hop)
    }
  return [...legs.values()]
}

export const ALL_LEGS: readonly Leg[] = KIND_NAMES.flatMap((name) => legsOf(name))

/**
 * Which body versions a host of this role accepts of each kind that may reach it, in the registry's order: what a
 * `processor-registration` says. The same for the same build, so that a digest of it tells one build from another.
 */
export const acceptsOf = (role: Role): Body<'processor-registration'>['accepts'] =>
  KIND_NAMES.filter((name) => kindRow(name).accepts.length > 0 && legsOf(name).some(({ to }) => to === role)).map(
    (name) => ({ kind: kindRow(name).number, versions: [...kindRow(name).accepts] }),
  )

/**
 * Its body holds a PIN key, which is as good as the PIN: the frame is not kept as evidence, or the key would lie in the ledger in
 * the clear beside the row that holds it encrypted.
 */
export const bearsPinKey = (name: KindName): boolean => PIN_KEY_KINDS.has(name)
const PIN_KEY_KINDS: ReadonlySet<KindName> = new Set(
  KIND_NAMES.filter((name) =>
    Object.values(kindRow(name).bodies).some(
      (body) => 'pinKey' in ((body as { readonly properties?: object }).properties ?? {}),
    ),
  ),
)

/** May a message of this kind, made by a host of role `originator`, come from a host of role `previous` to one of role `here`? */
export const isHopAllowed = (name: KindName, originator: Role, previous: Role, here: Role): boolean =>
  kindRow(name).paths.some((path) => {
    if (path[0] !== originator) return false
    for (let i = 0; i + 1 < path.length; i++) {
      const from = roleOfHop(path[i] as Hop)
      const next = path[i + 1] as Hop
      if (from !== previous) continue
      if (roleOfHop(next) === here) return true
      if (next === 'dc?' && i + 2 < path.length && path[i + 2] === here) return true
    }
    return false
  })

/** Is `here` the end of a path of this kind from `originator`, so that it must be the header's `to`? */
export const isFinalHop = (name: KindName, originator: Role, here: Role): boolean =>
  kindRow(name).paths.some((path) => path[0] === originator && path.at(-1) === here)
