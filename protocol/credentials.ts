/**
 * Chains of credentials, from the root key down to the key or name that is claimed, and the key records that seals are
 * verified with. A signature in a chain is verified once and remembered by digest; validity and revocation are judged at
 * each use, against the time that the message itself states (`sentAtMs`), so that evidence can be proved after a rotation.
 */
import { equalBytes, u32be } from './bytes.ts'
import type { Algorithm, Engine } from './engines/engine.ts'
import { fail, ok, type Result } from './failures.ts'
import { hash } from './hash.ts'
import { realmOf, type Role } from './ids.ts'
import { keyIdOf, networkIdOf } from './keys.ts'
import { LIMITS } from './limits.ts'
import { createLru, keyOfBytes, type Lru } from './lru.ts'
import { createRootCache, type RootCache } from './seals.ts'
import {
  isSignedBy,
  parseCredential,
  readStatement,
  type EnrolmentStatement,
  type HostStatement,
  type MandateStatement,
  type PayeeStatement,
  type ProcessorStatement,
  type RevocationStatement,
} from './statements.ts'

/** Whom a message key belongs to and when. */
export type KeyRecord = {
  readonly keyId: Uint8Array
  readonly algorithm: Algorithm
  readonly publicKey: Uint8Array
  /** The id that a header's `from` must be. */
  readonly owner: string
  readonly role: Role
  /** Of processors: hosts of one operator share a bank account. */
  readonly operatorId: string | undefined
  /** The host that carries the owner: the owner itself, except for a customer's device key. */
  readonly host: string
  /** X25519; null for a device key, whose host is encrypted to. */
  readonly sealingKey: Uint8Array | null
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** The processor's key that certified this one; undefined where the root or a ledger's own row did. It falls with it. */
  readonly issuerKeyId: Uint8Array | undefined
  /** Whose key that is. */
  readonly issuer: string | undefined
  /** Of its credential: of two keys that begin together the higher is the newer. */
  readonly serial: number
}

/**
 * Does `a` replace `b`? A credential begins no later than the one it replaces, or what was made before could not be sealed with
 * its key, so as a rule the serial decides.
 */
export const isNewer = (
  a: Pick<KeyRecord, 'notBeforeMs' | 'serial'>,
  b: Pick<KeyRecord, 'notBeforeMs' | 'serial'>,
): boolean => (a.serial === b.serial ? a.notBeforeMs > b.notBeforeMs : a.serial > b.serial)

/** A chain whose signatures lead to the root. */
export type VerifiedChain = {
  readonly processor: ProcessorStatement
  readonly processorKey: KeyRecord
  readonly host: HostStatement | undefined
  readonly hostKey: KeyRecord | undefined
  readonly payee: PayeeStatement | undefined
  readonly enrolment: EnrolmentStatement | undefined
  readonly enrolmentKey: KeyRecord | undefined
}

/** What a node trusts, and what it remembers having verified. `isRevoked` reads the node's current revocation list. */
export type Trust = {
  readonly engine: Engine
  readonly rootKey: Uint8Array
  readonly rootKeyId: Uint8Array
  readonly networkId: Uint8Array
  readonly chainCache: Lru<VerifiedChain>
  readonly rootCache: RootCache
  /** Keys of hosts whose chain was verified here, so that a decision nested in another frame finds the merchant of its TRANS. */
  readonly hostKeys: Lru<KeyRecord>
  isRevoked(keyId: Uint8Array): boolean
  /**
   * Did this end of validity pass longer than expiredKeyGraceMs ago by the node's own clock? A sender says itself when it sealed:
   * an old key in a thief's hands would seal for its past for ever. Never for an auditor, who judges the past.
   */
  isPast(notAfterMs: number): boolean
}

/** @throws TypeError when the root key is not a sound Ed25519 key. */
export const createTrust = (
  engine: Engine,
  rootKey: Uint8Array,
  isRevoked: (keyId: Uint8Array) => boolean = () => false,
  isPast: (notAfterMs: number) => boolean = () => false,
): Trust => {
  if (!engine.ed25519.checkPublicKey(rootKey)) throw new TypeError('the root key is not a sound Ed25519 key')
  return {
    engine,
    rootKey,
    rootKeyId: keyIdOf('ed25519', rootKey),
    networkId: networkIdOf(rootKey),
    chainCache: createLru(LIMITS.credentialCacheSize),
    rootCache: createRootCache(),
    hostKeys: createLru(LIMITS.credentialCacheSize),
    isRevoked,
    isPast,
  }
}

const recordOf = (statement: ProcessorStatement | HostStatement, issuer?: KeyRecord): KeyRecord => ({
  keyId: keyIdOf(statement.algorithm, statement.signingKey),
  algorithm: statement.algorithm,
  publicKey: statement.signingKey,
  owner: statement.id,
  role: statement.role,
  operatorId: statement.type === 'processor' ? statement.operatorId : undefined,
  host: statement.id,
  sealingKey: statement.sealingKey,
  notBeforeMs: statement.notBeforeMs,
  notAfterMs: statement.notAfterMs,
  issuerKeyId: issuer?.keyId,
  issuer: issuer?.owner,
  serial: statement.serial,
})

/** The device key of an enrolled customer; it lives until the enrolment is replaced. */
export const deviceKeyRecord = (enrolment: Pick<EnrolmentStatement, 'customer' | 'host' | 'deviceKey'>): KeyRecord => ({
  keyId: keyIdOf('ed25519', enrolment.deviceKey),
  algorithm: 'ed25519',
  publicKey: enrolment.deviceKey,
  owner: enrolment.customer,
  role: 'customer',
  operatorId: undefined,
  host: enrolment.host,
  sealingKey: null,
  notBeforeMs: 0,
  notAfterMs: Number.MAX_SAFE_INTEGER,
  // An enrolment is the CPP's own record: it outlives the key that the CPP once signed it with.
  issuerKeyId: undefined,
  issuer: undefined,
  serial: 0,
})

/** CREDENTIAL_NOT_YET_VALID or CREDENTIAL_EXPIRED, judged against the `sentAtMs` of what the key sealed. */
export const checkValidity = (record: KeyRecord, atMs: number): Result<void> => {
  if (atMs < record.notBeforeMs) return fail('CREDENTIAL_NOT_YET_VALID', record.owner)
  if (atMs > record.notAfterMs) return fail('CREDENTIAL_EXPIRED', record.owner)
  return ok(undefined)
}

/**
 * The first credential is a processor's, signed by the root; each further one (host, payee, enrolment; at most one of each) is
 * signed by that processor. BROKEN_CHAIN, BAD_KEY, WRONG_NETWORK, CREDENTIAL_REVOKED, or a validity code.
 */
export const verifyChain = (trust: Trust, chain: readonly Uint8Array[], atMs: number): Result<VerifiedChain> => {
  const verified = verifiedChain(trust, chain)
  return verified.ok ? judgeChain(trust, verified.value, atMs) : verified
}

/** What {@link verifyChain} says of a chain whose signatures are known to hold: CREDENTIAL_REVOKED, or a validity code. */
export const judgeChain = (trust: Trust, verified: VerifiedChain, atMs: number): Result<VerifiedChain> => {
  const revoked = keysOf(verified).find((record) => trust.isRevoked(record.keyId))
  if (revoked !== undefined) return fail('CREDENTIAL_REVOKED', revoked.owner)
  const past = keysOf(verified).find((record) => trust.isPast(record.notAfterMs))
  return past === undefined ? checkedAt(verified, atMs) : fail('CREDENTIAL_EXPIRED', past.owner)
}

/**
 * The same but for revocation: for what keeps a chain longer than a revocation list holds, and judges that at each use with
 * {@link isRecordRevoked}.
 */
export const verifyChainAsIssued = (
  trust: Trust,
  chain: readonly Uint8Array[],
  atMs: number,
): Result<VerifiedChain> => {
  const verified = verifiedChain(trust, chain)
  return verified.ok ? checkedAt(verified.value, atMs) : verified
}

/** Signatures alone, whatever the time and the revocation list: for an auditor, who judges both by what a key sealed. */
export const readChain = (trust: Trust, chain: readonly Uint8Array[]): Result<VerifiedChain> =>
  verifiedChain(trust, chain)

/** The processor's and the host's key of a chain whose signatures hold, whatever the time; none of any other. */
export const chainKeyIds = (trust: Trust, chain: readonly Uint8Array[]): readonly Uint8Array[] => {
  const verified = verifiedChain(trust, chain)
  return verified.ok ? keysOf(verified.value).map(({ keyId }) => keyId) : []
}

/** The key itself, or the one that certified it. */
export const isRecordRevoked = (
  trust: Pick<Trust, 'isRevoked'>,
  { keyId, issuerKeyId }: Pick<KeyRecord, 'keyId' | 'issuerKeyId'>,
): boolean => trust.isRevoked(keyId) || (issuerKeyId !== undefined && trust.isRevoked(issuerKeyId))

const keysOf = ({ processorKey, hostKey }: VerifiedChain): readonly KeyRecord[] =>
  hostKey === undefined ? [processorKey] : [processorKey, hostKey]

const checkedAt = (verified: VerifiedChain, atMs: number): Result<VerifiedChain> => {
  for (const record of keysOf(verified)) {
    const valid = checkValidity(record, atMs)
    if (!valid.ok) return valid
  }
  return ok(verified)
}

const verifiedChain = (trust: Trust, chain: readonly Uint8Array[]): Result<VerifiedChain> => {
  const parts: Uint8Array[] = []
  for (const credential of chain) parts.push(u32be(credential.length), credential)
  const name = keyOfBytes(hash(...parts))
  const known = trust.chainCache.get(name)
  if (known !== undefined) {
    remember(trust, known)
    return ok(known)
  }
  // Own copies: the chain may be a view of a frame that is not kept.
  const verified = verifySignatures(
    trust,
    chain.map((credential) => credential.slice()),
  )
  if (!verified.ok) return verified
  trust.chainCache.set(name, verified.value)
  remember(trust, verified.value)
  return verified
}

const remember = (trust: Trust, { hostKey }: VerifiedChain): void => {
  if (hostKey !== undefined) trust.hostKeys.set(keyOfBytes(hostKey.keyId), hostKey)
}

const verifySignatures = (trust: Trust, chain: readonly Uint8Array[]): Result<VerifiedChain> => {
  const { engine } = trust
  const [first, ...rest] = chain
  if (first === undefined || chain.length > LIMITS.maxChainLength)
    return fail('BROKEN_CHAIN', `a chain of ${chain.length}`)
  const credential = parseCredential(first)
  if (!credential.ok) return credential
  if (
    !equalBytes(credential.value.keyId, trust.rootKeyId) ||
    !isSignedBy(engine, credential.value, 'ed25519', trust.rootKey)
  )
    return fail('BROKEN_CHAIN', 'the first credential is not signed by the root')
  const statement = readStatement(engine, credential.value.payload, ['processor'])
  if (!statement.ok) return statement
  const processor = statement.value
  if (!equalBytes(processor.networkId, trust.networkId)) return fail('WRONG_NETWORK', processor.id)
  const processorKey = recordOf(processor)
  let host: HostStatement | undefined
  let payee: PayeeStatement | undefined
  let enrolment: EnrolmentStatement | undefined
  for (const bytes of rest) {
    const next = verifyIssued(trust, processor, processorKey, bytes)
    if (!next.ok) return next
    if (next.value.type === 'host' && host === undefined) host = next.value
    else if (next.value.type === 'payee' && payee === undefined) payee = next.value
    else if (next.value.type === 'enrolment' && enrolment === undefined) enrolment = next.value
    else return fail('BROKEN_CHAIN', `two ${next.value.type} credentials`)
  }
  return ok({
    processor,
    processorKey,
    host,
    hostKey: host === undefined ? undefined : recordOf(host, processorKey),
    payee,
    enrolment,
    enrolmentKey: enrolment === undefined ? undefined : deviceKeyRecord(enrolment),
  })
}

type Issued = HostStatement | PayeeStatement | EnrolmentStatement

const verifyIssued = (
  trust: Trust,
  processor: ProcessorStatement,
  processorKey: KeyRecord,
  bytes: Uint8Array,
): Result<Issued> => {
  const { engine } = trust
  const credential = parseCredential(bytes)
  if (!credential.ok) return credential
  if (
    !equalBytes(credential.value.keyId, processorKey.keyId) ||
    !isSignedBy(engine, credential.value, processorKey.algorithm, processorKey.publicKey)
  )
    return fail('BROKEN_CHAIN', `a credential that ${processor.id} did not sign`)
  const statement = readStatement(engine, credential.value.payload, ['host', 'payee', 'enrolment'])
  if (!statement.ok) return statement
  if (!equalBytes(statement.value.networkId, trust.networkId)) return fail('WRONG_NETWORK', processor.id)
  const problem = issuerProblem(processor, statement.value)
  return problem === undefined ? statement : fail('BROKEN_CHAIN', problem)
}

/**
 * May this processor say this? Payees and merchant hosts are routed by realm, so their realm must be their MPP's. A wallet
 * may hold accounts with CPPs of several realms, and nothing routes on a customer's name.
 */
const issuerProblem = ({ id, role, realm }: ProcessorStatement, issued: Issued): string | undefined => {
  const issuer = issued.type === 'payee' || (issued.type === 'host' && issued.role === 'merchant') ? 'mpp' : 'cpp'
  if (role !== issuer) return `${id} is no ${issuer}`
  if (issuer === 'cpp') return undefined
  const names = issued.type === 'payee' ? [issued.payee, issued.host] : issued.type === 'host' ? [issued.id] : []
  return names.every((name) => realmOf(name) === realm) ? undefined : `${id} certified a name of another realm`
}

/** What makes an invoice payable: who is paid, at which host, through which MPP. */
export type MerchantChain = {
  readonly mpp: ProcessorStatement
  readonly mppKey: KeyRecord
  readonly host: HostStatement
  readonly hostKey: KeyRecord
  readonly payee: PayeeStatement
  /** The whole of it. */
  readonly chain: VerifiedChain
}

/** The chain of an invoice: MPP, merchant host and payee, where the payee's credential names that host. Codes of {@link verifyChain}. */
export const verifyMerchantChain = (
  trust: Trust,
  chain: readonly Uint8Array[],
  payee: string,
  atMs: number,
): Result<MerchantChain> => {
  const verified = verifyChain(trust, chain, atMs)
  if (!verified.ok) return verified
  const { processor, processorKey, host, hostKey, payee: certified } = verified.value
  if (host === undefined || hostKey === undefined || certified === undefined)
    return fail('BROKEN_CHAIN', 'host or payee credential missing')
  if (host.role !== 'merchant' || certified.host !== host.id)
    return fail('BROKEN_CHAIN', 'the payee credential names another host')
  if (certified.payee !== payee) return fail('BROKEN_CHAIN', 'the chain is of another payee')
  return ok({ mpp: processor, mppKey: processorKey, host, hostKey, payee: certified, chain: verified.value })
}

/**
 * The payout account's and the payee's credential alone, against an MPP already known. BROKEN_CHAIN, WRONG_NETWORK or
 * CREDENTIAL_REVOKED.
 */
export const verifyPayeeCredential = (
  trust: Trust,
  mpp: ProcessorStatement,
  bytes: Uint8Array,
): Result<PayeeStatement> => {
  const issued = verifyIssued(trust, mpp, recordOf(mpp), bytes)
  if (!issued.ok) return issued
  if (trust.isRevoked(recordOf(mpp).keyId)) return fail('CREDENTIAL_REVOKED', mpp.id)
  return issued.value.type === 'payee' ? ok(issued.value) : fail('BROKEN_CHAIN', 'not a payee credential')
}

/**
 * MANDATE_INVALID unless the account's holder signed it, for this network and time, with a key that is not revoked. `holder` has
 * passed its key check.
 */
export const verifyMandate = (
  trust: Trust,
  bytes: Uint8Array,
  holder: { readonly algorithm: Algorithm; readonly publicKey: Uint8Array },
  atMs: number,
): Result<MandateStatement> => {
  const credential = parseCredential(bytes)
  if (!credential.ok) return fail('MANDATE_INVALID', credential.failure.detail)
  if (!equalBytes(credential.value.keyId, keyIdOf(holder.algorithm, holder.publicKey)))
    return fail('MANDATE_INVALID', 'signed by another key')
  if (trust.isRevoked(credential.value.keyId)) return fail('MANDATE_INVALID', 'the key of its holder is revoked')
  if (!isSignedBy(trust.engine, credential.value, holder.algorithm, holder.publicKey))
    return fail('MANDATE_INVALID', 'the signature does not verify')
  const statement = readStatement(trust.engine, credential.value.payload, ['mandate'])
  if (!statement.ok) return fail('MANDATE_INVALID', statement.failure.detail)
  const mandate = statement.value
  if (!equalBytes(mandate.networkId, trust.networkId)) return fail('MANDATE_INVALID', 'of another network')
  if (atMs < mandate.notBeforeMs || atMs > mandate.notAfterMs) return fail('MANDATE_INVALID', 'not valid at this time')
  return ok(mandate)
}

/** BROKEN_CHAIN unless the root signed it; WRONG_NETWORK. The caller keeps the highest version. */
export const verifyRevocationList = (trust: Trust, bytes: Uint8Array): Result<RevocationStatement> => {
  const credential = parseCredential(bytes)
  if (!credential.ok) return credential
  if (
    !equalBytes(credential.value.keyId, trust.rootKeyId) ||
    !isSignedBy(trust.engine, credential.value, 'ed25519', trust.rootKey)
  )
    return fail('BROKEN_CHAIN', 'the list is not signed by the root')
  const statement = readStatement(trust.engine, credential.value.payload, ['revocation-list'])
  if (!statement.ok) return statement
  return equalBytes(statement.value.networkId, trust.networkId) ? statement : fail('WRONG_NETWORK', 'revocation list')
}
