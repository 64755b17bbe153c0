/**
 * `semops.v1.<toRole>.<toHost>.<kind>.<fromHost>`: addressee first, so that one wildcard subscription serves a host; sender
 * last, so that the broker enforces it. The only file that builds or parses a subject. No payment id, no customer.
 */
import { isGuestToken, isNodeId, isRole, type Role } from './ids.ts'
import { isKindName, type KindName } from './kinds.ts'

export const SUBJECT_PREFIX = 'semops.v1'

export type Subject = {
  readonly toRole: Role
  /** A host id, a realm's data-center address, or a guest's token. */
  readonly toHost: string
  readonly kind: KindName
  readonly fromHost: string
}

export const formatSubject = ({ toRole, toHost, kind, fromHost }: Subject): string =>
  `${SUBJECT_PREFIX}.${toRole}.${toHost}.${kind}.${fromHost}`

const isHostToken = (text: string): boolean => isNodeId(text) || isGuestToken(text)

/** Undefined when the text is not a subject of this network: such a message is dropped and counted. */
export const parseSubject = (text: string): Subject | undefined => {
  const known = parsed.get(text)
  if (known !== undefined) return known
  const subject = parse(text)
  if (subject === undefined) return undefined
  if (parsed.size >= PARSED_KEPT) parsed.clear()
  parsed.set(text, subject)
  return subject
}

/** Hosts write to each other on the same few subjects all the time. */
const PARSED_KEPT = 1_024
const parsed = new Map<string, Subject>()

const parse = (text: string): Subject | undefined => {
  const tokens = text.split('.')
  if (tokens.length !== 6 || tokens[0] !== 'semops' || tokens[1] !== 'v1') return undefined
  const [, , toRole, toHost, kind, fromHost] = tokens as [string, string, string, string, string, string]
  if (!isRole(toRole) || !isKindName(kind) || !isHostToken(toHost) || !isHostToken(fromHost)) return undefined
  return { toRole, toHost, kind, fromHost }
}

/** Everything addressed to one host: its only subscription for payment traffic. */
export const inboxSubject = (role: Role, host: string): string => `${SUBJECT_PREFIX}.${role}.${host}.>`

/** What a login of role `from` publishes for one leg; `host` is its own id or the broker's name template. */
export const legSubject = (kind: KindName, to: Role, host: string): string =>
  `${SUBJECT_PREFIX}.${to}.*.${kind}.${host}`
