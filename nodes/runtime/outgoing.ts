/**
 * From a decision's message to what is kept and sent: its content, its next hop, and who may answer it.
 */
import { encodeBeside, encodeBody } from '../../protocol/codec.ts'
import { makeContent } from '../../protocol/envelope.ts'
import { ENVELOPE_VERSION } from '../../protocol/header.ts'
import { dataCenterAddress, isGuestToken, type Role } from '../../protocol/ids.ts'
import { KINDS, kindRow, type Audience, type Hop, type KindName } from '../../protocol/kinds.ts'
import { InvariantBroken } from './decision-check.ts'
import type { Message, Relay, Self } from './node.ts'
import type { Peer } from './outbox.ts'
import type { StoredSend } from './runtime-tables.ts'

export type Composer = {
  readonly self: Self
  readonly networkId: Uint8Array
  readonly random: (length: number) => Uint8Array
  /** The role of a host, as far as its credential is known. */
  readonly roleOf: (host: string) => Role | undefined
  /** The one-time public key that a guest login signs with; undefined once the login is gone. */
  readonly guestKey: (token: string) => Uint8Array | undefined
}

type Path = readonly Hop[]
const isDc = (hop: Hop | undefined): boolean => hop === 'dc' || hop === 'dc?'

/** The first hop after `at` that processes the message itself, rather than routing it. */
const nextProcessor = (path: Path, at: number): Role | undefined =>
  path.find((hop, index) => index > at && (!isDc(hop) || index === path.length - 1)) as Role | undefined

type Way = Pick<StoredSend, 'toHost' | 'toRole' | 'responderRole' | 'responderId'>

/** Where the first send goes. The role stays open when the kind has several kinds of addressee and `to` is not known yet. */
const wayOf = (composer: Composer, kind: KindName, from: Role, to: string, nextHop: Message['nextHop']): Way => {
  const paths: readonly Path[] = kindRow(kind).paths.filter((path) => path[0] === from)
  if (paths.length === 0) throw new InvariantBroken(`${from} may not send ${kind}`)
  const known = isGuestToken(to) ? 'guest' : composer.roleOf(to)
  const final = known ?? (new Set(paths.map((path) => path.at(-1))).size === 1 ? paths[0]?.at(-1) : undefined)
  const direct = nextHop === undefined ? undefined : paths.find((path) => path.length === 2 && path[1] === nextHop.role)
  const path =
    direct ??
    paths.find((one) => one.at(-1) === final) ??
    (nextHop === undefined ? undefined : paths.find((one) => one[1] === nextHop.role))
  if (path === undefined) {
    if (known !== undefined) throw new InvariantBroken(`${kind} has no way from ${from} to ${known} ${to}`)
    return { toHost: to }
  }
  const routed = path.length > 2 && isDc(path[1])
  const hop =
    nextHop ??
    (routed
      ? { role: 'dc' as const, host: dataCenterAddress(composer.self.realm) }
      : { role: path.at(-1) as Role, host: to })
  const responderRole = nextProcessor(path, 0) as Role
  const isFinal = responderRole === path.at(-1)
  const responderId = hop.role !== 'dc' ? hop.host : isFinal && responderRole !== 'dc' ? to : undefined
  return { toRole: hop.role, toHost: hop.host, responderRole, ...(responderId === undefined ? {} : { responderId }) }
}

/** Undefined when a guest login is gone: what it would have said can not be said any more. */
export const compose = (composer: Composer, message: Message, nowMs: number): StoredSend | undefined => {
  const { kind, to, body, signer } = message
  const { self, random, networkId } = composer
  const guest = signer !== undefined && 'guest' in signer ? signer.guest : undefined
  const from = signer === undefined ? self.id : 'device' in signer ? signer.device : composer.guestKey(signer.guest)
  if (from === undefined) return undefined
  const content = makeContent(
    {
      version: ENVELOPE_VERSION,
      networkId,
      kind,
      bodyVersion: 1,
      messageId: random(16),
      from,
      to,
      sentAtMs: nowMs,
      expiresAtMs: message.expiresAtMs,
      correlationId: message.correlationId,
      bodyForm: 'plain',
    },
    encodeBody(kind, body as never),
  )
  const way = wayOf(composer, kind, guest === undefined ? self.role : 'guest', to, message.nextHop)
  return {
    kind,
    relay: false,
    header: content.headerBytes,
    body: content.bodyBytes,
    digest: content.digest,
    ...way,
    ...(message.beside === undefined ? {} : { beside: encodeBeside(kind, message.beside as never) }),
    ...(signer === undefined ? {} : { signer: guest === undefined ? `device ${String(from)}` : `guest ${guest}` }),
    ...(message.sealingKey === undefined ? {} : { sealingKey: message.sealingKey }),
    ...(message.expiresAtMs === undefined ? {} : { expiresAtMs: message.expiresAtMs }),
  }
}

/** What is kept of another's frame on its way through this host. */
export const composeRelay = (self: Self, relay: Relay): StoredSend => {
  const { nextHop } = relay
  const path = (kindRow(relay.relay).paths as readonly Path[]).find((one) => {
    const at = one.indexOf(self.role)
    return (
      at >= 0 &&
      (one[at + 1] === nextHop.role ||
        (isDc(one[at + 1]) && nextHop.role === 'dc') ||
        (one[at + 1] === 'dc?' && one[at + 2] === nextHop.role))
    )
  })
  if (path === undefined) throw new InvariantBroken(`${self.role} may not relay ${relay.relay} to ${nextHop.role}`)
  const responderRole = nextHop.role === 'dc' ? nextProcessor(path, path.indexOf(self.role)) : nextHop.role
  return {
    kind: relay.relay,
    relay: true,
    header: new Uint8Array(0),
    body: relay.frame,
    digest: relay.digest,
    toRole: nextHop.role,
    toHost: nextHop.host,
    ...(responderRole === undefined ? {} : { responderRole }),
    ...(nextHop.role === 'dc' ? {} : { responderId: nextHop.host }),
  }
}

/** Who has to answer it, where that is known: not of what a data center is still to find the way for. */
export const peerOf = ({ responderId, responderRole }: StoredSend): Peer | undefined =>
  responderId === undefined ? undefined : { host: responderId, prompt: responderRole === 'bank' }

/**
 * The class whose batch tree a message may share. Receipts and refusals are of the class of their reader, or the batch id
 * would link a customer's refusal to a notice.
 */
export const audienceOf = (kind: KindName, toRole: Role): Audience => {
  if (toRole === 'customer' || toRole === 'guest') return toRole
  const { audience } = KINDS[kind]
  return audience
}
