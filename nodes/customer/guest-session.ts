/**
 * Guest logins: how a customer buys without being recognised (design §7 "Customer's anonymity"). A login is a one-time
 * key whose public part is its token, a one-time Ed25519 key and a one-time X25519 key, made from fresh bytes and kept in memory
 * only: the ledger holds the token.
 *
 * Invariant: nothing in a token, a key or a purchase token is derived from a customer. A host of one wallet has a fresh login for
 * each purchase; a host of many shares one among all its wallets and changes it by age and count, so that the anonymity set is
 * the host.
 */
import { guestToken } from '../../protocol/ids.ts'
import { utf8 } from '../../protocol/bytes.ts'
import { put, remove, type Context, type Decision, type Reader } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import type { WalletPolicy } from './policy.ts'
import { CURRENT, currentSession, customers, DEADLINES, sessions, type Session } from './state.ts'

/** What the runtime does for guest logins: the bus, and the one-time keys that `signer: { guest: token }` stands for. */
export type GuestLogins = {
  /**
   * Logs in under `token`, the public key of `seed`, and subscribes to it, with message keys fresh for this login: what is sent with `signer: { guest: token }` is
   * sealed with its Ed25519 key, what comes for the token is opened with the X25519 key whose public part is returned.
   */
  readonly open: (token: string, seed: Uint8Array) => Promise<{ readonly sealingKey: Uint8Array }>
  /** Logs out and forgets the keys. An unknown token is nothing. */
  readonly close: (token: string) => Promise<void>
}

export type OpenGuestResult =
  { readonly ok: true; readonly sealingKey: Uint8Array } | { readonly ok: false; readonly detail: string }
export type GuestInput = { readonly token: string }
/** A job's input is in memory only, so the seed of a login never reaches the disk. */
export type OpenGuestInput = GuestInput & { readonly seed: Uint8Array }

/** Jobs that never reject: a login that fails is an event like any other. */
export const guestJobs = (guests: GuestLogins) => ({
  'open-guest': async (input: unknown): Promise<OpenGuestResult> => {
    try {
      const { token, seed } = input as OpenGuestInput
      const { sealingKey } = await guests.open(token, seed)
      return { ok: true, sealingKey }
    } catch (error) {
      return { ok: false, detail: error instanceof Error ? error.message : String(error) }
    }
  },
  'close-guest': async (input: unknown): Promise<null> => {
    await guests.close((input as GuestInput).token).catch(() => undefined)
    return null
  },
})

export type OpenSession = Session & { readonly state: 'open'; readonly sealingKey: Uint8Array }
export const isOpen = (session: Session | undefined): session is OpenSession =>
  session?.state === 'open' && session.sealingKey !== undefined

export type LoginSlice = { readonly shared: boolean; readonly current: Session | undefined }

export const loadLogin = (read: Reader): LoginSlice => {
  const current = read.get(currentSession, CURRENT)
  return {
    shared: [...read.scan(customers, [], { limit: 2 })].length > 1,
    current: current === undefined ? undefined : read.get(sessions, current.token),
  }
}

export type Login = { readonly session: Session; readonly parts: Partial<Decision> }

/** Ed25519 public key of a 32-byte seed. */
export type PublicKeyOf = (seed: Uint8Array) => Uint8Array

/** The login that one more purchase goes under: the shared one while it has room and time, else a new one. */
export const takeLogin = (
  publicKeyOf: PublicKeyOf,
  { shared, current }: LoginSlice,
  context: Context<WalletPolicy>,
): Login => {
  const { nowMs, policy } = context
  if (
    shared &&
    current?.shared === true &&
    // A login that hangs must not take every purchase with it.
    (current.state === 'open' || nowMs < current.openedAtMs + policy.guestPhaseMs) &&
    current.purchases < policy.purchasesPerGuestLogin &&
    nowMs < current.openedAtMs + policy.guestLoginMs
  ) {
    const session = { ...current, purchases: current.purchases + 1 }
    return { session, parts: { writes: [put(sessions, keyOf(session.token), session)] } }
  }
  const seed = context.freshBytes(32)
  const token = guestToken(publicKeyOf(seed))
  const endsAtMs = nowMs + policy.guestLoginGraceMs + (shared ? policy.guestLoginMs : 0)
  const session: Session = { token, state: 'opening', shared, purchases: 1, openedAtMs: nowMs, endsAtMs }
  return {
    session,
    parts: {
      writes: [
        put(sessions, keyOf(token), session),
        ...(shared ? [put(currentSession, keyOf(CURRENT), { token })] : []),
      ],
      set: [sessionDeadline(session)],
      jobs: [{ name: 'open-guest', input: { token, seed } satisfies OpenGuestInput }],
    },
  }
}

const sessionDeadline = ({ token, endsAtMs }: Session) => ({
  name: DEADLINES.session,
  key: utf8(token),
  atMs: endsAtMs,
})

/** Ends a login. `current` when it is the one that takes new purchases. */
export const endLogin = (session: Session, current: boolean): Partial<Decision> => ({
  writes: [remove(sessions, keyOf(session.token)), ...(current ? [remove(currentSession, keyOf(CURRENT))] : [])],
  clear: [sessionDeadline(session)],
  jobs: [{ name: 'close-guest', input: { token: session.token } satisfies GuestInput }],
})

/** A login that served one purchase ends with it; a shared one goes on. */
export const endOwnLogin = (session: Session | undefined): Partial<Decision> =>
  session === undefined || session.shared ? {} : endLogin(session, false)
