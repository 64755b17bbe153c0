/** Bodies that bring hosts, customers and payees into the network (design §7 "Chain", "PIN"). */
import { AccountId, Chain, CredentialBytes, CurrencyCode, Fields, Hmac, Id, NodeId, Optional, PublicKey, Text, Word, type Static } from '../fields.ts'

/** A wallet or merchant host shows its credential to the processor that certified it. */
export const HostRegistration = Fields({ registrationId: Id, chain: Chain })
export const CustomerEnrolment = Fields({
  enrolmentId: Id,
  customer: NodeId,
  deviceKey: PublicKey,
  /** scrypt(PIN): travels here once, encrypted to the CPP, and never again. */
  pinKey: Hmac,
  account: AccountId,
  currency: CurrencyCode,
  /** Signed by the account's holder key: the operator may debit it up to a limit. */
  mandate: CredentialBytes,
  /** A public name that merchants and persons may send a request to pay to; absent when the customer did not opt in. */
  alias: Optional(NodeId),
})
/** The CPP-signed record of device key, PIN key fingerprint and account. */
export const CustomerEnrolmentRecord = Fields({ enrolmentId: Id, record: CredentialBytes })
/** From the customer's device. `pinKey` is the new one; the proof is made with the old one. */
export const PinChange = Fields({ changeId: Id, pinKey: Hmac, pinProof: Hmac })
/** From the host that carries the new device. `authorization` is the CPP's own statement, given to the person. */
export const DeviceReplacement = Fields({ changeId: Id, customer: NodeId, deviceKey: PublicKey, pinProof: Hmac, authorization: CredentialBytes })
export const AccountClosure = Fields({ closureId: Id, customer: NodeId, pinProof: Hmac })
export const PAYEE_KINDS = ['shop', 'person', 'business'] as const
export const PayeeEnrolment = Fields({
  enrolmentId: Id,
  payee: NodeId,
  payeeKind: Word(...PAYEE_KINDS),
  displayName: Text(120),
  account: AccountId,
  currency: CurrencyCode,
  /** Signed by the payout account's holder key: proves that the account is the payee's, and mandates macro refunds. */
  mandate: CredentialBytes,
})
export const PayeeEnrolmentRecord = Fields({ enrolmentId: Id, credential: CredentialBytes })

export type PayeeKind = (typeof PAYEE_KINDS)[number]
export type HostRegistration = Static<typeof HostRegistration>
export type CustomerEnrolment = Static<typeof CustomerEnrolment>
export type CustomerEnrolmentRecord = Static<typeof CustomerEnrolmentRecord>
export type PinChange = Static<typeof PinChange>
export type DeviceReplacement = Static<typeof DeviceReplacement>
export type AccountClosure = Static<typeof AccountClosure>
export type PayeeEnrolment = Static<typeof PayeeEnrolment>
export type PayeeEnrolmentRecord = Static<typeof PayeeEnrolmentRecord>
