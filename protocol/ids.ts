/**
 * Names of nodes, payees and accounts, and the random ids of messages and payments (SPEC "Ids").
 * The issuer of a credential enforces this grammar before it signs: a NATS user named `*` would receive every subject.
 */
import { concat, toHex } from './bytes.ts'
import { encodeNkey } from './nkey-text.ts'

export const ROLES = ['customer', 'merchant', 'cpp', 'mpp', 'bank', 'dc', 'guest', 'observer'] as const
/** `guest` is a customer's anonymous login for one purchase or one batch of purchases; `observer` only reads reports. */
export type Role = (typeof ROLES)[number]

const REALM = /^[a-z0-9]{2,8}$/
const NODE_ID = /^[a-z0-9]{2,8}-[a-z0-9-]{1,54}$/
const PAYEE_ADDRESS = /^([a-z0-9-]{1,54})@([a-z0-9]{2,8})$/
const ACCOUNT_ID = /^([a-z0-9]{2,8}-[a-z0-9-]{1,54}):([a-z0-9-]{1,54})$/
const GUEST_TOKEN = /^U[A-Z2-7]{55}$/
/** NATS's prefix byte of a user's public key: the text begins with U. */
const USER_KEY = Uint8Array.of(20 << 3)

export const NODE_ID_PATTERN = NODE_ID.source
export const ACCOUNT_ID_PATTERN = ACCOUNT_ID.source
export const REALM_PATTERN = REALM.source
export const GUEST_TOKEN_PATTERN = GUEST_TOKEN.source

export const isRealm = (text: string): boolean => REALM.test(text)
export const isRole = (text: string): text is Role => (ROLES as readonly string[]).includes(text)
/** `<realm>-<name>`: the id of a host, customer, payee, processor, bank or data center. */
export const isNodeId = (text: string): boolean => NODE_ID.test(text)
export const isAccountId = (text: string): boolean => ACCOUNT_ID.test(text)
export const isGuestToken = (text: string): boolean => GUEST_TOKEN.test(text)

/** The realm of a node id: what stands before the first hyphen. */
export const realmOf = (id: string): string => id.slice(0, id.indexOf('-'))

/** The realm's routing address, `hu-dc`, shared by its data-center hosts `hu-dc-1`, `hu-dc-2`… */
export const dataCenterAddress = (realm: string): string => `${realm}-dc`

/** `bakery@hu` → `hu-bakery`; undefined when the address does not fit the grammar. */
export const payeeToken = (address: string): string | undefined => {
  const match = PAYEE_ADDRESS.exec(address)
  return match === null ? undefined : `${match[2]}-${match[1]}`
}

/** `hu-bakery` → `bakery@hu`. `token` must satisfy {@link isNodeId}. */
export const payeeAddress = (token: string): string => `${token.slice(token.indexOf('-') + 1)}@${realmOf(token)}`

/** The bank that keeps an account: `hu-kh:shop-1` → `hu-kh`. `accountId` must satisfy {@link isAccountId}. */
export const bankOf = (accountId: string): string => accountId.slice(0, accountId.indexOf(':'))

/**
 * The token of a guest: its login's Ed25519 public key as NATS writes it. The broker fills it into the guest's subjects from the
 * key that signed in, so nobody can log in under a token that another has, nor under `*`.
 */
export const guestToken = (loginKey: Uint8Array): string => encodeNkey(concat(USER_KEY, loginKey))

/** How a 16-byte id is shown to people and in logs: 32 hex digits. */
export const showId = (id: Uint8Array): string => toHex(id)
