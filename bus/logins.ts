/**
 * Logins: what a host holds to enter the broker, and how a wallet host mints anonymous ones.
 *
 * Invariant: a login seed is never a message key. A hostile server chooses the nonce that a login signs, so a shared key
 * would sign anything it likes (design §7).
 */
import { chmod, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { LIMITS } from '../protocol/limits.ts'
import { publicKeyOf, readLoginJwt, scopedUserJwt } from './jwt.ts'
import { seedOf } from './nkeys.ts'
import { checkCa } from './tls-client.ts'

/** One entry to the broker: an encoded nkey seed and the JWT that names its public key. */
export type Login = { readonly jwt: string; readonly seed: string }

/** With it a wallet host mints guests, which the key's scope confines to what a guest may do. */
export type GuestSigner = { readonly seed: string; readonly accountPublicKey: string }

/** A host's identity at the broker, in a file that its owner alone can read. */
export type HostLogin = Login & {
  /** `tls://127.0.0.1:4222`, or `nats://…` for one in the clear on loopback; any of one cluster. */
  readonly servers: readonly string[]
  /** For `$SRV`, on a connection of its own. */
  readonly service?: Login
  /** Wallet hosts only. */
  readonly guestSigner?: GuestSigner
  /** PEM of the certificate authority that the broker is known by. With it nothing is ever sent in the clear. */
  readonly ca?: string
}

/** The name that the broker knows a login by. @throws Error when its JWT is none. */
export const loginName = (login: Login): string => readLoginJwt(login.jwt).name
/** The public key to revoke a login by. */
export const loginPublicKey = (login: Login): string => publicKeyOf(login.seed)

/**
 * A guest's login from the 32 bytes of its key, named by nothing but that key: its token. It ends twice as late as the oldest
 * guest that a wallet host still uses, so a clock that is a little off costs nothing.
 * @throws TypeError unless `seed` has 32 bytes.
 */
export const mintGuest = async (signer: GuestSigner, seed: Uint8Array, nowMs: number = Date.now()): Promise<Login> => {
  const encoded = seedOf('U', seed)
  const token = publicKeyOf(encoded)
  const expiresAtMs = nowMs + 2 * LIMITS.maxGuestLoginAgeMs
  return {
    seed: encoded,
    jwt: await scopedUserJwt(token, encoded, signer.accountPublicKey, signer.seed, [], expiresAtMs),
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const parseLogin = (value: unknown, where: string): Login => {
  if (!isRecord(value) || typeof value.jwt !== 'string' || typeof value.seed !== 'string')
    throw new TypeError(`${where}: expected { jwt, seed }`)
  if (!value.seed.startsWith('SU')) throw new TypeError(`${where}: the seed is not that of a user nkey`)
  if (readLoginJwt(value.jwt).publicKey !== publicKeyOf(value.seed))
    throw new TypeError(`${where}: the JWT names another key than the seed`)
  return { jwt: value.jwt, seed: value.seed }
}

/** @throws TypeError that says which part of `value` is not a host login. */
export const parseHostLogin = (value: unknown): HostLogin => {
  const login = parseLogin(value, 'login')
  const { servers, service, guestSigner, ca } = value as Readonly<Record<string, unknown>>
  if (!Array.isArray(servers) || servers.length === 0 || !servers.every((server) => typeof server === 'string'))
    throw new TypeError('login: expected servers, a list of URLs')
  if (ca !== undefined) {
    if (typeof ca !== 'string') throw new TypeError('login: ca is not text in PEM')
    checkCa(ca)
  }
  let signer: GuestSigner | undefined
  if (guestSigner !== undefined) {
    if (
      !isRecord(guestSigner) ||
      typeof guestSigner.seed !== 'string' ||
      typeof guestSigner.accountPublicKey !== 'string'
    )
      throw new TypeError('login: expected guestSigner as { seed, accountPublicKey }')
    publicKeyOf(guestSigner.seed)
    signer = { seed: guestSigner.seed, accountPublicKey: guestSigner.accountPublicKey }
  }
  return {
    ...login,
    servers,
    ...(service === undefined ? {} : { service: parseLogin(service, 'service') }),
    ...(signer === undefined ? {} : { guestSigner: signer }),
    ...(ca === undefined ? {} : { ca }),
  }
}

/** @throws Error when others than the owner can read the file: it holds seeds. */
export const readSecretJson = async (path: string): Promise<unknown> => {
  const { mode } = await stat(path)
  if (process.platform !== 'win32' && (mode & 0o077) !== 0)
    throw new Error(`${path} can be read by others than its owner: chmod 600 it`)
  return JSON.parse(await readFile(path, 'utf8')) as unknown
}

/** Replaces the file as a whole, readable by its owner only. */
export const writeSecretJson = async (path: string, value: unknown): Promise<void> => {
  const fresh = `${path}.${process.pid}.new`
  await writeFile(fresh, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 })
  // `mode` counts only when the file is created.
  await chmod(fresh, 0o600)
  await rename(fresh, path)
}

export const readHostLogin = async (path: string): Promise<HostLogin> => parseHostLogin(await readSecretJson(path))
export const writeHostLogin = (path: string, login: HostLogin): Promise<void> => writeSecretJson(path, login)
