/**
 * The ledger of a wallet host: its customers, their accounts at CPPs, their payments, and the guest logins it buys under.
 *
 * Invariant: a payment's prId leaves this host only after its row is in state `requested`, and from there on only its CPP's
 * signed answer makes it final.
 *
 *   payment      entry                                              exits
 *   opening      `pay`, while a guest login is made                 looking-up, offering, refused (no login, time, restart)
 *   looking-up   login open, payee's record not held                offering, refused (payee unknown, time, restart)
 *   offering     offer request sent to the payee's host             requested, quoting, refused (TRANS wrong, offer refused, time,
 *                                                                   restart)
 *   quoting      the invoice, or a request to pay accepted, in      requested, refused (quote refused, wrong or over the limit, time,
 *                another currency than the account's                restart)
 *   requested    payment request durable; or a request to pay       confirmed, refused, rejected, expired, failed: as the CPP says
 *                accepted
 *   confirmed    the CPP's T or DT                                  none; goods are added when they come
 *   refused, rejected, expired, failed                              none
 *
 *   enrolment    deriving (scrypt runs) → enrolling (sent) → enrolled | refused; `enrol` again starts over from refused;
 *                enrolled → lost, when the device is; lost → enrolled by a replacement; enrolled → closed, for ever
 *   change       deriving (scrypt runs) → sent → done | refused: of a PIN, of the device, or the closure of the account
 *   request      open → accepted | declined | expired; accepted → paid, or open again when its payment was not confirmed
 *   session      opening → open → (row removed); all removed at a restart: their keys lived in memory
 */
import type { Currency } from '../../protocol/amount.ts'
import { showId } from '../../protocol/ids.ts'
import type { FinalState } from '../runtime/reports.ts'
import { defineTable, keyOf } from '../runtime/table.ts'
import { registrations } from './host-registration.ts'

export type GuestPhase = 'opening' | 'looking-up' | 'offering' | 'quoting'
export type PaymentState = GuestPhase | 'requested' | FinalState
const GUEST_PHASES: readonly string[] = ['opening', 'looking-up', 'offering', 'quoting']
export const isGuestPhase = (state: PaymentState): state is GuestPhase => GUEST_PHASES.includes(state)

export type Payment = {
  readonly prId: Uint8Array
  readonly customer: string
  readonly cpp: string
  readonly payee: string
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly state: PaymentState
  /** Of an account in another currency than the invoice's: the currency, the quote, what it says, and the most that was agreed. */
  readonly accountCurrency?: Currency
  readonly quoteId?: Uint8Array
  readonly accountAmountMinor?: bigint
  readonly maxCostMinor?: bigint
  readonly item?: string
  /** The guest login of the purchase, or of the latest query for its goods. */
  readonly token?: string
  readonly purchaseToken?: Uint8Array
  /** Set when the payment answers a request to pay. */
  readonly requestId?: Uint8Array
  // Of the TRANS
  readonly merchantHost?: string
  readonly mpp?: string
  readonly txId?: Uint8Array
  readonly nonce?: Uint8Array
  readonly transDigest?: Uint8Array
  readonly transExpiresAtMs?: number
  readonly description?: string
  // Of the end
  readonly confirmation?: 'T' | 'DT'
  readonly code?: number
  readonly detail?: string
  readonly outstandingMinor?: bigint
  readonly goods?: string
  readonly goodsQueries: number
  /** When the one deadline of this row fires: guest phase, query of the payment, or query of the goods, by state. */
  readonly wakeAtMs?: number
  readonly startedAtMs: number
  readonly lookupSentAtMs?: number
  readonly offerSentAtMs?: number
  readonly requestedAtMs?: number
  readonly decidedAtMs?: number
  readonly goodsAtMs?: number
}
/** Key: prId. */
export const payments = defineTable<Payment>({
  name: 'wallet-payments',
  version: 1,
  fields: [
    'prId',
    'customer',
    'cpp',
    'payee',
    'amountMinor',
    'currency',
    'state',
    'item',
    'token',
    'purchaseToken',
    'requestId',
    'merchantHost',
    'mpp',
    'txId',
    'nonce',
    'transDigest',
    'transExpiresAtMs',
    'description',
    'confirmation',
    'code',
    'detail',
    'outstandingMinor',
    'goods',
    'goodsQueries',
    'wakeAtMs',
    'startedAtMs',
    'lookupSentAtMs',
    'offerSentAtMs',
    'requestedAtMs',
    'decidedAtMs',
    'goodsAtMs',
    'accountCurrency',
    'quoteId',
    'accountAmountMinor',
    'maxCostMinor',
  ],
})

/** A quote that was asked for, and the invoice that waits for it. Key: quoteId. */
export type QuoteRow = {
  readonly prId: Uint8Array
  readonly frame: Uint8Array
  readonly digest: Uint8Array
  /** Of the invoice. */
  readonly expiresAtMs: number
}
export const quotes = defineTable<QuoteRow>({
  name: 'wallet-quotes',
  version: 1,
  fields: ['prId', 'frame', 'digest', 'expiresAtMs'],
})

export type PaymentPointer = { readonly prId: Uint8Array }
const pointers = (name: string) => defineTable<PaymentPointer>({ name, version: 1, fields: ['prId'] })
/** Key: purchaseToken. */
export const purchases = pointers('wallet-purchases')
/** Key: payee, txId. */
export const transactions = pointers('wallet-transactions')
/** Payments that wait for a guest login. Key: token, prId. */
export const waitingForLogin = pointers('wallet-waiting-for-login')
/** Payments that wait for a payee's record. Key: token, payee, prId. */
export const waitingForRecord = pointers('wallet-waiting-for-record')
/** Payments that wait for something: their end, or their goods. What a restart looks at. Key: prId. */
export const unfinished = pointers('wallet-unfinished')

export type PayeeRow = {
  readonly payee: string
  readonly mpp: string
  readonly host: string
  readonly recordedAtMs: number
}
/** Cached directory records. Key: payee. */
export const payeeRecords = defineTable<PayeeRow>({
  name: 'wallet-payees',
  version: 1,
  fields: ['payee', 'mpp', 'host', 'recordedAtMs'],
})

export type Session = {
  readonly token: string
  readonly state: 'opening' | 'open'
  /** Serves many wallets' purchases; else this one purchase. */
  readonly shared: boolean
  /** One-time X25519 key that answers are encrypted to; its secret is in memory only. */
  readonly sealingKey?: Uint8Array
  readonly purchases: number
  readonly openedAtMs: number
  readonly endsAtMs: number
}
/** Key: token. */
export const sessions = defineTable<Session>({
  name: 'wallet-sessions',
  version: 1,
  fields: ['token', 'state', 'shared', 'sealingKey', 'purchases', 'openedAtMs', 'endsAtMs'],
})
/** The shared login that takes new purchases. Key: CURRENT. */
export const currentSession = defineTable<{ readonly token: string }>({
  name: 'wallet-current-session',
  version: 1,
  fields: ['token'],
})
export const CURRENT = 'current'

export type Customer = {
  readonly customer: string
  /** Ed25519 public key; one device key for all CPPs. */
  readonly deviceKey: Uint8Array
  readonly createdAtMs: number
}
/** Key: customer. */
export const customers = defineTable<Customer>({
  name: 'wallet-customers',
  version: 1,
  fields: ['customer', 'deviceKey', 'createdAtMs'],
})

/** Secret: read by the keyring alone. The ledger directory is the owner's only (0700). Key: customer. */
export const deviceSeeds = defineTable<{ readonly seed: Uint8Array }>({
  name: 'wallet-device-seeds',
  version: 1,
  fields: ['seed'],
})

export type Enrolment = {
  readonly enrolmentId: Uint8Array
  readonly customer: string
  readonly cpp: string
  readonly account: string
  readonly currency: Currency
  /** Empty where a replaced device took over an enrolment that another host had made. */
  readonly mandate: Uint8Array
  readonly alias?: string
  readonly state: 'deriving' | 'enrolling' | 'enrolled' | 'refused' | 'lost' | 'closed'
  readonly code?: string
  readonly detail?: string
  /** The CPP's signed record. */
  readonly record?: Uint8Array
  readonly startedAtMs: number
  readonly sentAtMs?: number
  readonly decidedAtMs?: number
}
/** Key: customer, cpp. */
export const enrolments = defineTable<Enrolment>({
  name: 'wallet-enrolments',
  version: 1,
  fields: [
    'enrolmentId',
    'customer',
    'cpp',
    'account',
    'currency',
    'mandate',
    'alias',
    'state',
    'code',
    'detail',
    'record',
    'startedAtMs',
    'sentAtMs',
    'decidedAtMs',
  ],
})
export type EnrolmentPointer = { readonly customer: string; readonly cpp: string }
/** Key: enrolmentId. */
export const enrolmentIds = defineTable<EnrolmentPointer>({
  name: 'wallet-enrolment-ids',
  version: 1,
  fields: ['customer', 'cpp'],
})

/** A PIN change, the replacement of a lost device, or the closure of the account, at one CPP. Key: changeId. */
export type Change = {
  readonly changeId: Uint8Array
  readonly kind: 'pin' | 'device' | 'closure'
  readonly customer: string
  readonly cpp: string
  readonly state: 'deriving' | 'sent' | 'done' | 'refused'
  readonly code?: string
  readonly alias?: string
  /** Of a device's replacement: the CPP's statement. */
  readonly authorization?: Uint8Array
  readonly startedAtMs: number
  readonly decidedAtMs?: number
}
export const changes = defineTable<Change>({
  name: 'wallet-changes',
  version: 1,
  fields: [
    'changeId',
    'kind',
    'customer',
    'cpp',
    'state',
    'code',
    'alias',
    'authorization',
    'startedAtMs',
    'decidedAtMs',
  ],
})
/** The latest change of an enrolment. Key: customer, cpp. */
export const latestChanges = defineTable<{ readonly changeId: Uint8Array }>({
  name: 'wallet-latest-changes',
  version: 1,
  fields: ['changeId'],
})
/** Key: alias. */
export const aliases = defineTable<EnrolmentPointer>({
  name: 'wallet-aliases',
  version: 1,
  fields: ['customer', 'cpp'],
})

export type PayRequest = {
  readonly requestId: Uint8Array
  readonly customer: string
  readonly alias: string
  readonly cpp: string
  readonly payee: string
  readonly merchantHost: string
  readonly mpp: string
  readonly txId: Uint8Array
  readonly nonce: Uint8Array
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly description: string
  readonly trans: Uint8Array
  readonly transDigest: Uint8Array
  readonly transExpiresAtMs: number
  readonly state: 'open' | 'accepted' | 'paid' | 'declined' | 'expired'
  readonly prId?: Uint8Array
  readonly receivedAtMs: number
  readonly acceptedAtMs?: number
  readonly endedAtMs?: number
}
/** Key: requestId. */
export const requests = defineTable<PayRequest>({
  name: 'wallet-requests',
  version: 1,
  fields: [
    'requestId',
    'customer',
    'alias',
    'cpp',
    'payee',
    'merchantHost',
    'mpp',
    'txId',
    'nonce',
    'amountMinor',
    'currency',
    'description',
    'trans',
    'transDigest',
    'transExpiresAtMs',
    'state',
    'prId',
    'receivedAtMs',
    'acceptedAtMs',
    'endedAtMs',
  ],
})

/** What a CPP refunded of a payment. Key: prId, refundId. */
export type Refund = {
  readonly refundId: Uint8Array
  readonly amountMinor: bigint
  readonly currency: Currency
  readonly confirmedAtMs: number
  readonly receivedAtMs: number
}
export const refunds = defineTable<Refund>({
  name: 'wallet-refunds',
  version: 1,
  fields: ['refundId', 'amountMinor', 'currency', 'confirmedAtMs', 'receivedAtMs'],
})

export const WALLET_TABLES = [
  payments,
  quotes,
  purchases,
  transactions,
  waitingForLogin,
  waitingForRecord,
  unfinished,
  payeeRecords,
  sessions,
  currentSession,
  customers,
  deviceSeeds,
  enrolments,
  enrolmentIds,
  aliases,
  changes,
  latestChanges,
  requests,
  refunds,
  registrations,
] as const

/** Deadlines by name; the key is the prId, requestId or the token's text. */
export const DEADLINES = {
  guestPhase: 'guest-phase',
  query: 'payment-query',
  goods: 'goods-query',
  session: 'session-end',
  request: 'request-expiry',
} as const

/** Outbox keys. */
export const outbox = {
  lookup: (token: string, payee: string) => ['lookup', token, payee] as const,
  offer: (prId: Uint8Array) => ['offer', prId] as const,
  request: (prId: Uint8Array) => ['pr', prId] as const,
  query: (prId: Uint8Array) => ['pq', prId] as const,
  goods: (prId: Uint8Array) => ['oq', prId] as const,
  quote: (prId: Uint8Array) => ['fxq', prId] as const,
  enrolment: (enrolmentId: Uint8Array) => ['enrolment', enrolmentId] as const,
  change: (changeId: Uint8Array) => ['change', changeId] as const,
}
/** The 16-byte id that ends an outbox key. */
export const idOfKey = (key: Uint8Array): Uint8Array => key.slice(-16)

export const paymentKey = (prId: Uint8Array): Uint8Array => keyOf(prId)
export const paymentTopic = (prId: Uint8Array): string => `payment:${showId(prId)}`
export const goodsTopic = (prId: Uint8Array): string => `goods:${showId(prId)}`
export const changeTopic = (changeId: Uint8Array): string => `change:${showId(changeId)}`
export const enrolmentTopic = (enrolmentId: Uint8Array): string => `enrolment:${showId(enrolmentId)}`
