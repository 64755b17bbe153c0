/**
 * Seals what is to be sent and publishes it: one Merkle tree for each audience class of a batch, never one for two classes
 * (design §6), and carriers apart from what they carry. Nothing is published while the bus is disconnected.
 */
import type { Bus } from '../../bus/bus.ts'
import { makeCarrier, type Sealer } from '../../protocol/confidential.ts'
import { restoreContent, type Content } from '../../protocol/envelope.ts'
import { ENVELOPE_VERSION } from '../../protocol/header.ts'
import type { Role } from '../../protocol/ids.ts'
import { KINDS } from '../../protocol/kinds.ts'
import { sealBatch, sealOne, type Sealable } from '../../protocol/seals.ts'
import type { SigningKey } from '../../protocol/keys.ts'
import { formatSubject } from '../../protocol/subjects.ts'
import type { Guest } from './guests.ts'
import { audienceOf } from './outgoing.ts'
import type { StoredSend } from './runtime-tables.ts'

/** The secret keys of a host. */
export type Keyring = {
  /** In force now: asked for at each dispatch. */
  readonly host: () => SigningKey
  /** The host's key for this content: that in force, another for a content that names its own; undefined when that is no more. */
  readonly hostFor: (send: StoredSend) => SigningKey | undefined
  /** The device key of a customer on this wallet host. */
  readonly device: (customer: string) => SigningKey | undefined
  readonly guest: (token: string) => Guest | undefined
}

/**
 * `sent`: handed to the broker. `waits`: not now, try again later. `gone`: its key is no more, it can never be sent.
 * With `needs`, the credential of that host is missing.
 */
export type Sent = { readonly result: 'sent' | 'gone' } | { readonly result: 'waits'; readonly needs?: string }

export type Dispatcher = {
  /** What became of each, in order. */
  readonly dispatch: (sends: readonly StoredSend[], nowMs: number) => readonly Sent[]
}

export type DispatchDeps = {
  readonly self: { readonly id: string; readonly role: Role }
  readonly networkId: Uint8Array
  readonly bus: Bus
  readonly keyring: Keyring
  readonly sealer: Sealer
  readonly random: (length: number) => Uint8Array
  readonly credentialOf: (
    host: string,
  ) => { readonly role: Role; readonly sealingKey: Uint8Array | null; readonly notAfterMs: number } | undefined
  /** `single`: a signature for each message, also where several leave at once. */
  readonly seals: 'batch' | 'single'
  /** A fault point of tests: true swallows the message as the network would. */
  readonly drop: (send: StoredSend) => boolean
  readonly onSealed: (messages: number) => void
}

type Prepared = {
  readonly send: StoredSend
  readonly toRole: Role
  /** Undefined for another's frame. */
  readonly content: Sealable | undefined
  readonly recipientKey: Uint8Array | undefined
  readonly guest: Guest | undefined
  readonly key: SigningKey
  frame: Uint8Array | undefined
}
/** What was stored is what was composed: neither read nor hashed again to be sealed. */
const sealableOf = ({ header, body, digest }: StoredSend): Sealable => ({
  headerBytes: header,
  bodyBytes: body,
  digest,
})
const WAITS: Sent = { result: 'waits' }
const GONE: Sent = { result: 'gone' }
const SENT: Sent = { result: 'sent' }

export const createDispatcher = (deps: DispatchDeps): Dispatcher => {
  const { self, networkId, bus, keyring, sealer, random } = deps

  const prepare = (send: StoredSend, hostKey: SigningKey, nowMs: number): Prepared | Sent => {
    const credential =
      send.toRole === undefined || (KINDS[send.kind].confidential && send.sealingKey === undefined)
        ? deps.credentialOf(send.toHost)
        : undefined
    const toRole = send.toRole ?? credential?.role
    if (toRole === undefined) return { result: 'waits', needs: send.toHost }
    if (send.relay)
      return {
        send,
        toRole,
        content: undefined,
        recipientKey: undefined,
        guest: undefined,
        key: hostKey,
        frame: send.body,
      }
    const [as, name = ''] = send.signer?.split(' ') ?? []
    const guest = as === 'guest' ? keyring.guest(name) : undefined
    const key = as === undefined ? keyring.hostFor(send) : as === 'device' ? keyring.device(name) : guest?.signing
    if (key === undefined) return GONE
    let recipientKey: Uint8Array | undefined
    if (KINDS[send.kind].confidential) {
      recipientKey = send.sealingKey ?? credential?.sealingKey ?? undefined
      // What is encrypted to a key after its credential has ended may find nobody who still opens it: the newest is asked for.
      const ended = send.sealingKey === undefined && credential !== undefined && credential.notAfterMs < nowMs
      if (recipientKey === undefined || ended) return { result: 'waits', needs: send.toHost }
      // A guest names its own key, a host's stands in a credential that a CPP or MPP has signed: neither may stop this host.
      if (!sealer.agreesWith(recipientKey)) return GONE
    }
    return { send, toRole, content: sealableOf(send), recipientKey, guest, key, frame: undefined }
  }

  /** Seals with the host's key in one batch a class, with any other key one by one. */
  const seal = (
    items: readonly { readonly item: Prepared; readonly content: Sealable; readonly key: SigningKey }[],
    hostKey: SigningKey,
  ): void => {
    const classes = new Map<string, (typeof items)[number][]>()
    for (const one of items) {
      if (one.key !== hostKey || deps.seals === 'single') {
        one.item.frame = sealOne(one.content, one.key)
        deps.onSealed(1)
        continue
      }
      const audience = audienceOf(one.item.send.kind, one.item.toRole)
      const members = classes.get(audience)
      if (members === undefined) classes.set(audience, [one])
      else members.push(one)
    }
    for (const members of classes.values()) {
      const frames = sealBatch(
        members.map(({ content }) => content),
        hostKey,
        random,
      )
      members.forEach(({ item }, at) => {
        item.frame = frames[at]
      })
      deps.onSealed(members.length)
    }
  }

  const carrierOf = (item: Prepared, nowMs: number): Content => {
    const { header } = restoreContent(item.send.header, item.send.body)
    return makeCarrier(
      sealer,
      {
        version: ENVELOPE_VERSION,
        networkId,
        kind: item.send.kind,
        bodyVersion: header.bodyVersion,
        messageId: random(16),
        from: self.id,
        to: item.send.toHost,
        sentAtMs: nowMs,
        expiresAtMs: header.expiresAtMs,
        correlationId: undefined,
        bodyForm: 'encrypted',
      },
      { innerFrame: item.frame as Uint8Array, beside: item.send.beside ?? null },
      item.recipientKey as Uint8Array,
    )
  }

  return {
    dispatch: (sends, nowMs) => {
      if (!bus.connected) return sends.map(() => WAITS)
      const hostKey = keyring.host()
      const prepared = sends.map((send) => prepare(send, hostKey, nowMs))
      const items = prepared.filter((one): one is Prepared => !('result' in one))
      seal(
        items
          .filter(({ frame }) => frame === undefined)
          .map((item) => ({ item, content: item.content as Sealable, key: item.key })),
        hostKey,
      )
      seal(
        items
          .filter(({ recipientKey }) => recipientKey !== undefined)
          .map((item) => ({ item, content: carrierOf(item, nowMs), key: hostKey })),
        hostKey,
      )
      return prepared.map((one) => {
        if ('result' in one) return one
        const { send, toRole, guest, frame } = one
        if (deps.drop(send)) return SENT
        const way = guest?.bus ?? bus
        if (!way.connected) return WAITS
        const subject = formatSubject({
          toRole,
          toHost: send.toHost,
          kind: send.kind,
          fromHost: guest?.token ?? self.id,
        })
        return way.publish(subject, frame as Uint8Array) ? SENT : WAITS
      })
    },
  }
}
