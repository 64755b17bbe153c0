/**
 * The one file that uses the NATS JWT package (pinned: upstream calls its API unsupported). Keys are encoded seeds, claims the
 * few fields that this project sets.
 *
 * Invariant: nothing is left to the package's defaults. `newScopedSigner` would add `resp: {max: 0, ttl: 0}`, which a broker
 * reads as leave to answer any reply subject once; and a limit left out is read as zero.
 */
import { encodeAccount, encodeOperator, encodeUser, type Account, type Key, type SigningKey } from '@nats-io/jwt'
import { loadKey } from './nkeys.ts'
import type { LoginRole, Permissions } from './permissions.ts'

/** What the package asks of a key that signs. It looks whether there is a private key, and never uses it itself. */
const signer = (seed: string): Key => {
  const key = loadKey(seed)
  const pair = { getPublicKey: () => key.publicKey, getPrivateKey: () => new Uint8Array(0), sign: key.sign }
  return pair as unknown as Key
}

/** @throws TypeError unless `seed` is an nkey seed. */
export const publicKeyOf = (seed: string): string => loadKey(seed).publicKey

export const operatorJwt = (name: string, operatorSeed: string, systemAccount: string): Promise<string> =>
  encodeOperator(name, signer(operatorSeed), { system_account: systemAccount })

const UNLIMITED = { subs: -1, data: -1, payload: -1, conn: -1, leaf: -1, imports: -1, exports: -1 } as const

export type ScopedSigner = { readonly role: LoginRole; readonly seed: string; readonly permissions: Permissions }

const signingKey = ({ role, seed, permissions }: ScopedSigner): SigningKey => ({
  kind: 'user_scope',
  key: publicKeyOf(seed),
  role,
  template: {
    // A broker reads a missing list as "everything", so an empty one becomes a denial of everything.
    pub: permissions.publish.length === 0 ? { deny: ['>'] } : { allow: [...permissions.publish] },
    sub: { allow: [...permissions.subscribe] },
    // No `resp`: with it 2.9.10 publishes an answer wherever the asker pointed, past every list, a denial included.
    subs: permissions.maxSubscriptions,
    payload: permissions.maxPayloadBytes,
    data: -1,
    bearer_token: false,
    allowed_connection_types: ['STANDARD'],
  },
})

/** `revocations`: user public key → second of the day of revocation since 1970; logins issued up to then are refused. */
export const accountJwt = (
  name: string,
  accountSeed: string,
  operatorSeed: string,
  signers: readonly ScopedSigner[],
  revocations: Readonly<Record<string, number>>,
): Promise<string> => {
  const account: Account = {
    limits: { ...UNLIMITED, wildcards: true, disallow_bearer: true },
    signing_keys: signers.map(signingKey),
    revocations: { ...revocations },
  } as Account
  return encodeAccount(name, publicKeyOf(accountSeed), account, { signer: signer(operatorSeed) })
}

/** A login whose rights come from the scope of the key that signs it. `tags` feed the scope's `{{tag(…)}}`. */
export const scopedUserJwt = (
  name: string,
  userSeed: string,
  account: string,
  signerSeed: string,
  tags: readonly string[],
  expiresAtMs: number | undefined,
): Promise<string> =>
  encodeUser(name, publicKeyOf(userSeed), account, tags.length === 0 ? {} : { tags: [...tags] }, {
    signer: signer(signerSeed),
    scopedUser: true,
    ...(expiresAtMs === undefined ? {} : { exp: Math.floor(expiresAtMs / 1_000) }),
  })

/** A login of the account itself, with rights of its own: for the system account. */
export const accountUserJwt = (
  name: string,
  userSeed: string,
  accountSeed: string,
  publish: readonly string[],
  subscribe: readonly string[],
  expiresAtMs: number,
): Promise<string> =>
  encodeUser(
    name,
    publicKeyOf(userSeed),
    signer(accountSeed),
    { pub: { allow: [...publish] }, sub: { allow: [...subscribe] } },
    { exp: Math.floor(expiresAtMs / 1_000) },
  )

/**
 * What a login says of itself, unverified: the broker verifies.
 * @throws TypeError when it is not a NATS JWT.
 */
export const readLoginJwt = (jwt: string): { readonly name: string; readonly publicKey: string } => {
  try {
    const text = Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()
    const { name, sub } = JSON.parse(text) as { readonly name?: unknown; readonly sub?: unknown }
    if (typeof name === 'string' && typeof sub === 'string') return { name, publicKey: sub }
  } catch (error) {
    throw new TypeError('not a NATS JWT', { cause: error })
  }
  throw new TypeError('a JWT without a name or a subject')
}
