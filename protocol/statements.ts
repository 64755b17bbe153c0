/**
 * The signed statements that trust is made of (design §7 "Chain"): what each one says, and how it is signed.
 *
 *   credential = msgpack [ payload: bin, keyId(16), signature: bin ]
 *   signed     = 0xFF ‖ "semops/1 credential" ‖ 0x00 ‖ payload
 *
 * A payload is a strict map whose `type` is part of what is signed, so no statement can be read as another, and whose
 * `networkId` binds it to one root. The issuer enforces the grammar of ids before it signs.
 */
import { concat, equalBytes } from './bytes.ts'
import { codecOf, type Codec } from './codec.ts'
import { DOMAINS } from './domains.ts'
import { ALGORITHMS, signatureEngine, type Algorithm, type Engine } from './engines/engine.ts'
import { fail, ok, type Result } from './failures.ts'
import {
  AccountId,
  CurrencyCode,
  Digest,
  Fields,
  Id,
  List,
  NodeId,
  Optional,
  PublicKey,
  Realm,
  Sequence,
  SumMinor,
  Text,
  TimeMs,
  Type,
  Word,
  type Static,
} from './fields.ts'
import { dataCenterAddress, realmOf } from './ids.ts'
import { KEY_ID_BYTES, type SigningKey } from './keys.ts'
import { LIMITS } from './limits.ts'
import { PAYEE_KINDS } from './messages/enrolment.ts'
import {
  atEnd,
  beginWrite,
  cursorOf,
  readArrayLength,
  readBytes,
  readBytesOf,
  takeWritten,
  writeArrayLength,
  writeBytes,
} from './msgpack.ts'

export const PROCESSOR_ROLES = ['cpp', 'mpp', 'bank', 'dc', 'observer'] as const
export type ProcessorRole = (typeof PROCESSOR_ROLES)[number]

/** Ed25519: 32 bytes. RSA: SPKI DER. */
const AnySigningKey = Type.Uint8Array({ minByteLength: 32, maxByteLength: 512 })
const keys = { algorithm: Word(...ALGORITHMS), signingKey: AnySigningKey, sealingKey: PublicKey }
const validity = { notBeforeMs: TimeMs, notAfterMs: TimeMs }

/** Signed by the root. `address` is the realm's routing address, for data centers only. */
export const ProcessorStatement = Fields({
  type: Word('processor'),
  networkId: Id,
  id: NodeId,
  role: Word(...PROCESSOR_ROLES),
  realm: Realm,
  operatorId: NodeId,
  ...keys,
  ...validity,
  serial: Sequence,
  address: Optional(NodeId),
})
/** A wallet host, signed by its CPP; a merchant host, signed by its MPP. */
export const HostStatement = Fields({
  type: Word('host'),
  networkId: Id,
  id: NodeId,
  role: Word('customer', 'merchant'),
  ...keys,
  ...validity,
  serial: Sequence,
})
/** Signed by the MPP. It names the host, not the host's key, so that it outlives a rotation of that key. */
export const PayeeStatement = Fields({
  type: Word('payee'),
  networkId: Id,
  payee: NodeId,
  host: NodeId,
  account: AccountId,
  currency: CurrencyCode,
  payeeKind: Word(...PAYEE_KINDS),
  displayName: Text(120),
  serial: Sequence,
})
/** The record of a customer, signed by the CPP; for CPP and customer only. */
export const EnrolmentStatement = Fields({
  type: Word('enrolment'),
  networkId: Id,
  customer: NodeId,
  host: NodeId,
  deviceKey: PublicKey,
  pinKeyFingerprint: Digest,
  account: AccountId,
  currency: CurrencyCode,
  serial: Sequence,
})
/** Signed by the CPP, once it knows who stands before it: this host may bring a new device of the customer. Good once. */
export const DeviceAuthorizationStatement = Fields({
  type: Word('device-authorization'),
  networkId: Id,
  authorizationId: Id,
  customer: NodeId,
  host: NodeId,
  ...validity,
})
/** Signed by the account's holder key: this operator may order debits of up to `limitMinor` each. */
export const MandateStatement = Fields({
  type: Word('mandate'),
  networkId: Id,
  account: AccountId,
  operatorId: NodeId,
  limitMinor: SumMinor,
  currency: CurrencyCode,
  ...validity,
  serial: Sequence,
})
/** Signed by the root; the highest version holds. */
export const RevocationStatement = Fields({
  type: Word('revocation-list'),
  networkId: Id,
  version: Sequence,
  revoked: List(Id, LIMITS.maxRevokedKeys),
  issuedAtMs: TimeMs,
})

export type ProcessorStatement = Static<typeof ProcessorStatement>
export type HostStatement = Static<typeof HostStatement>
export type PayeeStatement = Static<typeof PayeeStatement>
export type EnrolmentStatement = Static<typeof EnrolmentStatement>
export type DeviceAuthorizationStatement = Static<typeof DeviceAuthorizationStatement>
export type MandateStatement = Static<typeof MandateStatement>
export type RevocationStatement = Static<typeof RevocationStatement>

/** Type → payload. */
export type Statements = {
  readonly processor: ProcessorStatement
  readonly host: HostStatement
  readonly payee: PayeeStatement
  readonly enrolment: EnrolmentStatement
  readonly 'device-authorization': DeviceAuthorizationStatement
  readonly mandate: MandateStatement
  readonly 'revocation-list': RevocationStatement
}
export type StatementType = keyof Statements

const CODECS: { readonly [T in StatementType]: Codec<Statements[T]> } = {
  processor: codecOf(ProcessorStatement),
  host: codecOf(HostStatement),
  payee: codecOf(PayeeStatement),
  enrolment: codecOf(EnrolmentStatement),
  'device-authorization': codecOf(DeviceAuthorizationStatement),
  mandate: codecOf(MandateStatement),
  'revocation-list': codecOf(RevocationStatement),
}

/** What the schema cannot say; undefined when the statement is sound by itself. */
const problemOf = (engine: Engine, statement: Statements[StatementType]): string | undefined => {
  switch (statement.type) {
    case 'processor': {
      if (statement.realm !== realmOf(statement.id)) return 'the realm is not that of the id'
      const address = dataCenterAddress(statement.realm)
      if (statement.role === 'dc' ? statement.address !== address : statement.address !== undefined)
        return 'the address does not fit the role'
      if (statement.role !== 'dc' && statement.id === address) return 'the id is the address of the data centers'
      return keyProblem(engine, statement) ?? validityProblem(statement)
    }
    case 'host':
      return keyProblem(engine, statement) ?? validityProblem(statement)
    case 'device-authorization':
    case 'mandate':
      return validityProblem(statement)
    case 'enrolment':
      return engine.ed25519.checkPublicKey(statement.deviceKey) ? undefined : 'the device key is not sound'
    case 'payee':
    case 'revocation-list':
      return undefined
  }
}

const keyProblem = (
  engine: Engine,
  { algorithm, signingKey }: { readonly algorithm: Algorithm; readonly signingKey: Uint8Array },
): string | undefined =>
  signatureEngine(engine, algorithm).checkPublicKey(signingKey) ? undefined : 'the signing key is not sound'

const validityProblem = ({
  notBeforeMs,
  notAfterMs,
}: {
  readonly notBeforeMs: number
  readonly notAfterMs: number
}): string | undefined => (notBeforeMs < notAfterMs ? undefined : 'notBeforeMs is not before notAfterMs')

/** @throws TypeError when the statement does not fit its schema, grammar or key check: nothing is signed then. */
const issue = <T extends StatementType>(
  engine: Engine,
  type: T,
  statement: Omit<Statements[T], 'type'>,
  key: SigningKey,
): Uint8Array => {
  const whole = { ...statement, type } as unknown as Statements[T]
  const payload = CODECS[type].encode(whole)
  const problem = problemOf(engine, whole)
  if (problem !== undefined) throw new TypeError(problem)
  const signature = key.sign(concat(DOMAINS.credential, payload))
  beginWrite()
  writeArrayLength(3)
  writeBytes(payload)
  writeBytes(key.keyId)
  writeBytes(signature)
  const credential = takeWritten()
  const limit = type === 'revocation-list' ? LIMITS.maxRevocationListBytes : LIMITS.maxCredentialBytes
  if (credential.length > limit)
    throw new TypeError(`a ${type} credential of ${credential.length} bytes is over ${limit}`)
  return credential
}

type Issue<T extends StatementType> = (
  engine: Engine,
  statement: Omit<Statements[T], 'type'>,
  key: SigningKey,
) => Uint8Array

/** `key` is the root's. @throws TypeError as {@link issue} */
export const issueProcessor: Issue<'processor'> = (engine, statement, key) => issue(engine, 'processor', statement, key)
/** `key` is the CPP's for a wallet host, the MPP's for a merchant host. @throws TypeError as {@link issue} */
export const issueHost: Issue<'host'> = (engine, statement, key) => issue(engine, 'host', statement, key)
/** `key` is the MPP's. @throws TypeError as {@link issue} */
export const issuePayee: Issue<'payee'> = (engine, statement, key) => issue(engine, 'payee', statement, key)
/** `key` is the CPP's. @throws TypeError as {@link issue} */
export const issueEnrolment: Issue<'enrolment'> = (engine, statement, key) => issue(engine, 'enrolment', statement, key)
/** `key` is the CPP's. @throws TypeError as {@link issue} */
export const issueDeviceAuthorization: Issue<'device-authorization'> = (engine, statement, key) =>
  issue(engine, 'device-authorization', statement, key)
/** `key` is the account holder's. @throws TypeError as {@link issue} */
export const issueMandate: Issue<'mandate'> = (engine, statement, key) => issue(engine, 'mandate', statement, key)
/** `key` is the root's. @throws TypeError as {@link issue} */
export const issueRevocationList: Issue<'revocation-list'> = (engine, statement, key) =>
  issue(engine, 'revocation-list', statement, key)

/** A credential read, its signature not yet verified. */
export type Credential = { readonly payload: Uint8Array; readonly keyId: Uint8Array; readonly signature: Uint8Array }

/** BROKEN_CHAIN when the bytes are no credential. */
export const parseCredential = (bytes: Uint8Array): Result<Credential> => {
  if (bytes.length > LIMITS.maxRevocationListBytes) return fail('BROKEN_CHAIN', 'a credential over its limit')
  const cursor = cursorOf(bytes)
  const fields = readArrayLength(cursor)
  const payload = readBytes(cursor)
  const keyId = readBytesOf(cursor, KEY_ID_BYTES)
  const signature = readBytes(cursor)
  if (
    fields !== 3 ||
    payload === undefined ||
    keyId === undefined ||
    signature === undefined ||
    !atEnd(cursor) ||
    signature.length > LIMITS.maxSignatureBytes
  )
    return fail('BROKEN_CHAIN', 'not a credential')
  return ok({ payload, keyId, signature })
}

/** Do two credentials name the same key as their signer's? Their signatures are not looked at. */
export const haveSameIssuer = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean => {
  const [one, other] = [a, b].map((bytes) => (bytes === undefined ? undefined : parseCredential(bytes)))
  return one?.ok === true && other?.ok === true && equalBytes(one.value.keyId, other.value.keyId)
}

/** Was it signed with this key? The key must have passed its check. */
export const isSignedBy = (
  engine: Engine,
  credential: Credential,
  algorithm: Algorithm,
  publicKey: Uint8Array,
): boolean =>
  signatureEngine(engine, algorithm).verify(
    credential.signature,
    concat(DOMAINS.credential, credential.payload),
    publicKey,
  )

/** Reads a payload as the first of `types` that fits, and judges it by itself. BROKEN_CHAIN, or BAD_KEY for an unsound key. */
export const readStatement = <T extends StatementType>(
  engine: Engine,
  payload: Uint8Array,
  types: readonly T[],
): Result<Statements[T]> => {
  for (const type of types) {
    const decoded = CODECS[type].decode(payload)
    if (!decoded.ok) continue
    const problem = problemOf(engine, decoded.value)
    if (problem === undefined) return decoded
    return fail(problem.includes('key is not sound') ? 'BAD_KEY' : 'BROKEN_CHAIN', problem)
  }
  return fail('BROKEN_CHAIN', `not a statement of type ${types.join(' or ')}`)
}
