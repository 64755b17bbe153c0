/**
 * What each role's login may publish and subscribe, derived from the kind registry's legs. One table, two readers: the NATS
 * broker gets it as the templates of scoped signing keys, the simulated bus applies it itself.
 *
 * Invariant: every list is a list of what is allowed, never empty; no login may answer where a sender points; and every subject
 * of the protocol that a login publishes to ends with its own name, so the broker vouches for the sender. A guest's is its public key: whoever mints guests signs any name, but
 * nobody can log in with a key that he does not hold. No entry for subscribing ends with `*`: under one, 2.9.10 grants
 * a subscription that ends with `>`.
 */
import { dataCenterAddress, isGuestToken, isNodeId, realmOf, ROLES, type Role } from '../protocol/ids.ts'
import { ALL_LEGS, KINDS, type KindName } from '../protocol/kinds.ts'
import { inboxSubject, legSubject, SUBJECT_PREFIX } from '../protocol/subjects.ts'
import { BUS_LIMITS } from './bus-limits.ts'
import { covers } from './subject-match.ts'

/** `service` answers `$SRV` for a host, on a connection of its own; it carries no payment traffic. */
export const LOGIN_ROLES = [...ROLES, 'service'] as const
export type LoginRole = (typeof LOGIN_ROLES)[number]

export type Permissions = {
  readonly publish: readonly string[]
  readonly subscribe: readonly string[]
  readonly maxSubscriptions: number
  readonly maxPayloadBytes: number
}

/** Filled in by the broker at login: the name in the login, its key, and its tags. */
const NAME = '{{name()}}'
const PUBLIC_KEY = '{{subject()}}'
const ADDRESS = '{{tag(address)}}'
const SERVICE = '{{tag(service)}}'

/** Where tools receive the answers of `$SRV`; the only subjects that services answer to. */
export const TOOL_INBOX_PREFIX = '_INBOX'
/** Data centers of one realm share the realm's address through this queue group. */
export const ADDRESS_QUEUE = 'dc'

const nameOf = (role: Role): string => (role === 'guest' ? PUBLIC_KEY : NAME)

const legsFrom = (role: Role): readonly string[] => [
  ...new Set(ALL_LEGS.filter((leg) => leg.from === role).map((leg) => legSubject(leg.kind, leg.to, nameOf(role)))),
]

const permissionsOfRole = (role: Role): Permissions => {
  const own = inboxSubject(role, nameOf(role))
  const base: Permissions = {
    publish: legsFrom(role),
    subscribe: [own],
    maxSubscriptions: BUS_LIMITS.maxSubscriptionsPerHost,
    maxPayloadBytes: BUS_LIMITS.maxPayloadBytes,
  }
  if (role === 'guest') return { ...base, maxSubscriptions: BUS_LIMITS.maxSubscriptionsPerGuest }
  if (role === 'dc') return { ...base, subscribe: [own, inboxSubject('dc', ADDRESS)] }
  if (role === 'observer')
    return {
      ...base,
      publish: [...base.publish, '$SRV.>'],
      subscribe: [own, `${TOOL_INBOX_PREFIX}.${NAME}.>`],
    }
  return base
}

/** What `$SRV` calls the hosts of a role. */
export const serviceName = (role: Role): string => `semops-${role}`

const service: Permissions = {
  /**
   * Before it serves, a host asks whether its own id answers already: two hosts of one id would split its messages. It answers to
   * the inboxes of tools and nowhere else: leave to answer any reply subject would be leave to publish as another host, where the
   * one who asks points the way.
   */
  publish: [`$SRV.PING.${SERVICE}.${NAME}`, `${TOOL_INBOX_PREFIX}.>`],
  subscribe: [
    ...['PING', 'INFO', 'STATS'].flatMap((kind) => [
      `$SRV.${kind}`,
      `$SRV.${kind}.${SERVICE}`,
      `$SRV.${kind}.${SERVICE}.${NAME}`,
    ]),
    `${TOOL_INBOX_PREFIX}.${NAME}.>`,
  ],
  maxSubscriptions: 16,
  maxPayloadBytes: BUS_LIMITS.maxPayloadBytes,
}

/** The templates of a role, names and addresses not filled in. */
export const permissionsOf = (role: LoginRole): Permissions => (role === 'service' ? service : permissionsOfRole(role))

/**
 * May a login of this role carry this name? A user named `*` would receive every subject of its role, so the issuer checks
 * before it signs; the broker does not. A guest's name is its own public key.
 */
export const isLoginName = (role: LoginRole, name: string): boolean =>
  role === 'guest' ? isGuestToken(name) : isNodeId(name)

/** The realm's address that data center `host` shares: `hu-dc-2` → `hu-dc`; undefined for every other role. */
export const addressOf = (role: LoginRole, host: string): string | undefined =>
  role === 'dc' ? dataCenterAddress(realmOf(host)) : undefined

/** A protocol role's templates filled in as the broker does for a login of this name. */
export const grantedTo = (role: Role, name: string): Permissions => {
  const permissions = permissionsOf(role)
  const fill = (template: string): string =>
    template.replace(nameOf(role), name).replace(ADDRESS, addressOf(role, name) ?? '')
  return { ...permissions, publish: permissions.publish.map(fill), subscribe: permissions.subscribe.map(fill) }
}

export const mayPublish = (granted: Permissions, subject: string): boolean =>
  granted.publish.some((allowed) => covers(allowed, subject))
export const maySubscribe = (granted: Permissions, pattern: string): boolean =>
  granted.subscribe.some((allowed) => covers(allowed, pattern))

const isRegistration = (kind: KindName): boolean => 'id' in KINDS[kind] && KINDS[kind].id === 'registrationId'

/**
 * The subscriptions of a host: its inbox; and for a data center what comes to the realm's address: routes shared with the
 * other replicas through a queue group, registrations to every replica (design §4). A replica named like the address has no
 * inbox apart from it.
 */
export const hostSubscriptions = (
  role: Role,
  host: string,
): readonly { readonly subject: string; readonly queue?: string }[] => {
  const address = addressOf(role, host)
  if (address === undefined) return [{ subject: inboxSubject(role, host) }]
  const kinds = [...new Set(ALL_LEGS.filter((leg) => leg.to === 'dc').map((leg) => leg.kind))]
  const shared = kinds.map((kind) => {
    const subject = `${SUBJECT_PREFIX}.dc.${address}.${kind}.*`
    return isRegistration(kind) ? { subject } : { subject, queue: ADDRESS_QUEUE }
  })
  return host === address ? shared : [{ subject: inboxSubject(role, host) }, ...shared]
}
