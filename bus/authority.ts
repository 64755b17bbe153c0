/**
 * Who may enter the broker: a NATS operator with two accounts (the system's, and SEMOPS), and one scoped signing key for each
 * role. Whoever holds a role's key can issue logins of that role and no other, without the broker's being told: a new
 * processor joins with one file.
 *
 * Invariant: what `AuthorityState` holds is enough to start the broker again with the same trust, revocations included.
 */
import { realmOf, type Role } from '../protocol/ids.ts'
import { accountJwt, accountUserJwt, operatorJwt, publicKeyOf, scopedUserJwt, type ScopedSigner } from './jwt.ts'
import { newSeed } from './nkeys.ts'
import { readSecretJson, writeSecretJson, type GuestSigner, type HostLogin, type Login } from './logins.ts'
import {
  addressOf,
  isLoginName,
  LOGIN_ROLES,
  permissionsOf,
  serviceName,
  TOOL_INBOX_PREFIX,
  type LoginRole,
} from './permissions.ts'
import type { ServerAddress } from './tls-client.ts'

export const ACCOUNT_NAME = 'SEMOPS'
const SYSTEM_ACCOUNT_NAME = 'SYS'

/** The authority's secrets: encoded nkey seeds. */
export type AuthorityState = {
  readonly version: 1
  readonly name: string
  readonly operatorSeed: string
  readonly systemAccountSeed: string
  readonly accountSeed: string
  readonly signerSeeds: Readonly<Record<LoginRole, string>>
  /** Signers on their way out: what they signed is let in until they are gone from here. */
  readonly retiring?: readonly { readonly role: LoginRole; readonly seed: string }[]
  /** User public key → seconds since 1970: what was issued to it up to then is void. */
  readonly revocations: Readonly<Record<string, number>>
}

/** What a broker must be told: public, and the same for every server of a cluster. */
export type BrokerTrust = {
  readonly operatorJwt: string
  readonly systemAccount: string
  /** Account public key → its JWT. */
  readonly accounts: Readonly<Record<string, string>>
}

export const createAuthority = (name: string): AuthorityState => ({
  version: 1,
  name,
  operatorSeed: newSeed('O'),
  systemAccountSeed: newSeed('A'),
  accountSeed: newSeed('A'),
  signerSeeds: Object.fromEntries(LOGIN_ROLES.map((role) => [role, newSeed('A')])) as Record<LoginRole, string>,
  revocations: {},
})

const signersOf = (state: AuthorityState): readonly ScopedSigner[] =>
  [...LOGIN_ROLES.map((role) => ({ role, seed: state.signerSeeds[role] })), ...(state.retiring ?? [])].map(
    (signer) => ({
      ...signer,
      permissions: permissionsOf(signer.role),
    }),
  )

/** The SEMOPS account as it now is: roles, permissions, revocations. Signed anew, so the broker takes it for the newest. */
export const currentAccountJwt = (state: AuthorityState): Promise<string> =>
  accountJwt(ACCOUNT_NAME, state.accountSeed, state.operatorSeed, signersOf(state), state.revocations)

export const trustOf = async (state: AuthorityState): Promise<BrokerTrust> => {
  const systemAccount = publicKeyOf(state.systemAccountSeed)
  return {
    operatorJwt: await operatorJwt(state.name, state.operatorSeed, systemAccount),
    systemAccount,
    accounts: {
      [systemAccount]: await accountJwt(SYSTEM_ACCOUNT_NAME, state.systemAccountSeed, state.operatorSeed, [], {}),
      [publicKeyOf(state.accountSeed)]: await currentAccountJwt(state),
    },
  }
}

/** `serves`: for role `service`, the role of the host that it answers for. */
export type LoginRequest =
  | { readonly role: Role; readonly host: string; readonly serves?: undefined }
  | { readonly role: 'service'; readonly host: string; readonly serves: Role }

/**
 * A login of `role` named `host`, with a fresh key. A data center's login also covers the address of its own realm.
 * @throws TypeError for a name outside the role's grammar: the broker itself would accept `*`.
 */
export const issueLogin = async (
  state: Pick<AuthorityState, 'accountSeed' | 'signerSeeds'>,
  { role, host, serves }: LoginRequest,
): Promise<Login> => {
  if (role === 'guest') throw new TypeError('a guest is minted by a wallet host, under its own key')
  if (!isLoginName(role, host)) throw new TypeError(`not a name for a login of role ${role}: ${JSON.stringify(host)}`)
  const address = addressOf(role, host)
  // Any name of the realm would be given the realm's address, so a stray one is more likely a mistake than a data center.
  if (address !== undefined && host !== address && !host.startsWith(`${address}-`))
    throw new TypeError(`a data center of realm ${realmOf(host)} is named ${address} or ${address}-…`)
  const tags = [
    ...(address === undefined ? [] : [`address:${address}`]),
    ...(serves === undefined ? [] : [`service:${serviceName(serves)}`]),
  ]
  const seed = newSeed('U')
  const account = publicKeyOf(state.accountSeed)
  return { seed, jwt: await scopedUserJwt(host, seed, account, state.signerSeeds[role], tags, undefined) }
}

/** All that one host needs: its login, one for `$SRV`, and for a wallet host the guests' signing key. */
export const issueHostLogin = async (
  state: AuthorityState,
  { role, host, servers, ca }: ServerAddress & { readonly role: Role; readonly host: string },
): Promise<HostLogin> => ({
  servers,
  ...(ca === undefined ? {} : { ca }),
  ...(await issueLogin(state, { role, host })),
  service: await issueLogin(state, { role: 'service', host, serves: role }),
  ...(role === 'customer' ? { guestSigner: guestSignerOf(state) } : {}),
})

/** The state in which everything issued to these public keys until `nowMs` is void. Tell the broker: `pushAccount`. */
export const withRevoked = (state: AuthorityState, publicKeys: readonly string[], nowMs: number): AuthorityState => ({
  ...state,
  revocations: {
    ...state.revocations,
    ...Object.fromEntries(publicKeys.map((key) => [key, Math.floor(nowMs / 1_000)])),
  },
})

/**
 * The state with a fresh signer of this role, the former one retiring. `withoutRetired` ends it: once the broker is told, every
 * login that it signed is out.
 */
export const withFreshSigner = (state: AuthorityState, role: LoginRole): AuthorityState => ({
  ...state,
  signerSeeds: { ...state.signerSeeds, [role]: newSeed('A') },
  retiring: [...(state.retiring ?? []), { role, seed: state.signerSeeds[role] }],
})
export const withoutRetired = ({ retiring: _retired, ...state }: AuthorityState): AuthorityState => state

/** What a wallet host mints guests with. */
export const guestSignerOf = (state: AuthorityState): GuestSigner => ({
  seed: state.signerSeeds.guest,
  accountPublicKey: publicKeyOf(state.accountSeed),
})

/** A short-lived login of the system account that may update accounts, ask which servers there are and read the answers. */
export const systemLogin = async (state: AuthorityState, nowMs: number): Promise<Login> => {
  const seed = newSeed('U')
  const name = 'authority'
  const jwt = await accountUserJwt(
    name,
    seed,
    state.systemAccountSeed,
    ['$SYS.REQ.CLAIMS.UPDATE', '$SYS.REQ.SERVER.PING'],
    [`${TOOL_INBOX_PREFIX}.${name}.>`],
    nowMs + 5 * 60_000,
  )
  return { seed, jwt }
}

/** @throws Error when the file is no authority of this version, or can be read by others. */
export const readAuthority = async (path: string): Promise<AuthorityState> => {
  const value = (await readSecretJson(path)) as Partial<AuthorityState> | null
  if (value === null || typeof value !== 'object' || value.version !== 1 || value.signerSeeds === undefined)
    throw new Error(`${path} is not a broker authority of version 1`)
  const state = value as AuthorityState
  for (const seed of [state.operatorSeed, state.systemAccountSeed, state.accountSeed]) publicKeyOf(seed)
  for (const role of LOGIN_ROLES) publicKeyOf(state.signerSeeds[role])
  return state
}
export const writeAuthority = (path: string, state: AuthorityState): Promise<void> => writeSecretJson(path, state)
