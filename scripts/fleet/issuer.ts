/**
 * Everything that is issued: credentials signed by the root or by the processor that certifies a host, bus logins, mandates of the
 * accounts whose holders' keys the fleet keeps, and revocation lists. Pure but for chance and the authority's own signatures.
 *
 * Invariant: a name is checked before anything is signed for it, and no signing seed is ever a login seed.
 */
import { randomBytes } from 'node:crypto'
import { issueHostLogin, type AuthorityState } from '../../bus/authority.ts'
import { loginPublicKey, type HostLogin } from '../../bus/logins.ts'
import type { ServerAddress } from '../../bus/tls-client.ts'
import { grantedTo } from '../../bus/permissions.ts'
import type { Currency } from '../../protocol/amount.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { dataCenterAddress } from '../../protocol/ids.ts'
import { keyIdOf, networkIdOf, signingKeyFromSeed, type SigningKey } from '../../protocol/keys.ts'
import {
  issueHost,
  issueMandate,
  issueProcessor,
  issueRevocationList,
  parseCredential,
  readStatement,
} from '../../protocol/statements.ts'
import type { IssuedKey } from './key-room.ts'
import type { HostRole } from './plan.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
export const DEFAULT_DAYS = 365
/** A credential is valid a little before it was made: clocks differ. */
const HEAD_START_MS = HOUR_MS

/** A host's seeds, in hex. */
export type HostKeys = { readonly signingSeed: string; readonly sealingSeed: string; readonly localKey: string }
export type Chain = readonly Uint8Array[]
export type Validity = { readonly notBeforeMs: number; readonly notAfterMs: number }
/** Who is certified. */
export type Subject = {
  readonly id: string
  readonly role: HostRole
  readonly realm: string
  readonly operatorId: string
}
/** Who certifies a wallet or merchant host: its own credential, and the key that signs. */
export type Certifier = { readonly credential: Uint8Array; readonly signingSeed: string }

/** `<host>.creds` as JSON: what `readHostCredentials` reads, before its login is looked at. */
export type CredentialsFile = HostKeys & {
  readonly version: 1
  readonly networkName: string
  readonly rootKey: string
  readonly host: string
  readonly role: HostRole
  readonly realm: string
  readonly operatorId: string
  readonly login: HostLogin
  readonly chains: readonly (readonly string[])[]
  readonly trusted: readonly (readonly string[])[]
  readonly dataCenters: readonly string[]
  readonly realmAddress: string
  readonly peerRealms: readonly string[]
  readonly previous?: readonly PreviousKey[]
  readonly subjects?: { readonly publish: readonly string[]; readonly subscribe: readonly string[] }
  readonly account?: OperatorAccount
}
/** A message key no longer sealed with; its sealing seed still opens what was encrypted to it until `untilMs`. */
export type PreviousKey = {
  readonly signingKeyId: string
  readonly sealingSeed: string
  readonly chains: readonly (readonly string[])[]
  readonly untilMs: number
}
export type OperatorAccount = {
  readonly account: string
  readonly currency: Currency
  /** Of the account's holder: it signs mandates. */
  readonly holderSeed?: string
  /** Counterparty → its account, for settlements. */
  readonly settlementAccounts: Readonly<Record<string, string>>
}

export const freshSeed = (): string => toHex(randomBytes(32))
export const freshKeys = (): HostKeys => ({
  signingSeed: freshSeed(),
  sealingSeed: freshSeed(),
  localKey: freshSeed(),
})

export type Issuer = {
  readonly rootKey: Uint8Array
  readonly networkId: Uint8Array
  /** From an hour ago until `days` from now. */
  readonly validity: (days?: number) => Validity
  /** The chain of one that the root signs for: CPP, MPP, bank or data center. @throws TypeError for a name outside the grammar */
  readonly processorChain: (subject: Subject, keys: HostKeys, serial: number, validity?: Validity) => Chain
  /** The chain of a wallet or merchant host. @throws TypeError for a name outside the grammar */
  readonly hostChain: (
    subject: Subject,
    keys: HostKeys,
    certifier: Certifier,
    serial: number,
    validity?: Validity,
  ) => Chain
  /** @throws TypeError for a name that no login of this role may bear */
  readonly login: (subject: Pick<Subject, 'id' | 'role'>, address: ServerAddress) => Promise<HostLogin>
  /** What the register keeps of a key, from the chains that were issued for it. */
  readonly issuedKey: (chains: readonly Chain[], login: HostLogin) => IssuedKey
  readonly keyId: (keys: Pick<HostKeys, 'signingSeed'>) => string
  readonly publicKeyOf: (seed: string) => Uint8Array
  /** `operatorId` may debit `account`, each time up to `limitMinor`. */
  readonly mandate: (
    holderSeed: string,
    account: string,
    operatorId: string,
    limitMinor: bigint,
    currency: Currency,
  ) => Uint8Array
  readonly revocationList: (version: number, keyIds: readonly string[]) => Uint8Array
}

/** @param rootSeed in hex @param nowMs issue time of all that is made */
export const createIssuer = (rootSeed: string, authority: AuthorityState, nowMs: number): Issuer => {
  const engine = loadEngine()
  const keyOf = (seed: string): SigningKey => signingKeyFromSeed(engine, fromHex(seed))
  const root = keyOf(rootSeed)
  const networkId = networkIdOf(root.publicKey)
  const validityOf = (days = DEFAULT_DAYS): Validity => ({
    notBeforeMs: nowMs - HEAD_START_MS,
    notAfterMs: nowMs + Math.round(days * DAY_MS),
  })
  const common = (subject: Subject, keys: HostKeys, serial: number, validity: Validity) => ({
    networkId,
    id: subject.id,
    algorithm: 'ed25519' as const,
    signingKey: keyOf(keys.signingSeed).publicKey,
    sealingKey: engine.sealing.publicKeyOf(fromHex(keys.sealingSeed)),
    ...validity,
    serial,
  })
  return {
    rootKey: root.publicKey,
    networkId,
    validity: validityOf,
    processorChain: (subject, keys, serial, validity = validityOf()) => {
      const { role, realm, operatorId } = subject
      if (role === 'customer' || role === 'merchant') throw new TypeError(`the root certifies no host of role ${role}`)
      const address = role === 'dc' ? { address: dataCenterAddress(realm) } : {}
      const statement = { ...common(subject, keys, serial, validity), ...address, role, realm, operatorId }
      return [issueProcessor(engine, statement, root)]
    },
    hostChain: (subject, keys, certifier, serial, validity = validityOf()) => {
      const { role } = subject
      if (role !== 'customer' && role !== 'merchant') throw new TypeError(`a ${role} is certified by the root alone`)
      const signer = keyOf(certifier.signingSeed)
      return [certifier.credential, issueHost(engine, { ...common(subject, keys, serial, validity), role }, signer)]
    },
    login: ({ id, role }, address) => issueHostLogin(authority, { role, host: id, ...address }),
    issuedKey: (chains, login) => {
      const statements = chains.map(statementOfChain)
      const [first] = statements
      if (first === undefined) throw new Error('a key without a chain')
      return {
        serial: Math.max(...statements.map(({ serial }) => serial)),
        keyId: first.keyId,
        notBeforeMs: Math.max(...statements.map(({ notBeforeMs }) => notBeforeMs)),
        notAfterMs: Math.min(...statements.map(({ notAfterMs }) => notAfterMs)),
        issuedAtMs: nowMs,
        logins: loginKeys(login),
      }
    },
    keyId: ({ signingSeed }) => toHex(keyOf(signingSeed).keyId),
    publicKeyOf: (seed) => keyOf(seed).publicKey,
    mandate: (holderSeed, account, operatorId, limitMinor, currency) =>
      issueMandate(
        engine,
        { networkId, account, operatorId, limitMinor, currency, ...validityOf(), serial: 1 },
        keyOf(holderSeed),
      ),
    revocationList: (version, keyIds) =>
      issueRevocationList(engine, { networkId, version, revoked: keyIds.map(fromHex), issuedAtMs: nowMs }, root),
  }
}

/** What the last credential of a host's chain says; its signatures are not looked at. @throws Error for other bytes */
export const statementOfChain = (
  chain: Chain,
): Validity & { readonly id: string; readonly role: string; readonly serial: number; readonly keyId: string } => {
  const credential = parseCredential(chain.at(-1) ?? new Uint8Array())
  const read = credential.ok ? readStatement(loadEngine(), credential.value.payload, ['processor', 'host']) : credential
  if (!read.ok) throw new Error(`not a chain of credentials: ${read.failure.detail}`)
  const { id, role, serial, notBeforeMs, notAfterMs, algorithm, signingKey } = read.value
  return { id, role, serial, notBeforeMs, notAfterMs, keyId: toHex(keyIdOf(algorithm, signingKey)) }
}

/** The public keys by which the broker voids what `login` lets in. */
export const loginKeys = (login: HostLogin): readonly string[] => [
  loginPublicKey(login),
  ...(login.service === undefined ? [] : [loginPublicKey(login.service)]),
]

/** The subjects of a login, as the broker grants them. */
export const subjectsOf = ({ id, role }: Pick<Subject, 'id' | 'role'>): Required<CredentialsFile>['subjects'] => {
  const { publish, subscribe } = grantedTo(role, id)
  return { publish, subscribe }
}

export const chainToHex = (chain: Chain): readonly string[] => chain.map(toHex)
