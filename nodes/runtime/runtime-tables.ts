/** Tables that the runtime keeps in every ledger, beside those of the node. Their names begin with `~`; a node's may not. */
import type { Role } from '../../protocol/ids.ts'
import type { KindName } from '../../protocol/kinds.ts'
import { defineTable } from './table.ts'

/**
 * A message ready to be sealed and sent, as it is kept between sends. Content, not the seal: it is sealed again at each send,
 * so a key rotation needs nothing. A relay is another's frame, whole.
 */
export type StoredSend = {
  readonly kind: KindName
  readonly relay: boolean
  /** Header bytes of the content; empty for a relay. */
  readonly header: Uint8Array
  /** Body bytes of the content; the frame of a relay. */
  readonly body: Uint8Array
  /** Content digest. */
  readonly digest: Uint8Array
  /** Encoded `beside` of a confidential kind. */
  readonly beside?: Uint8Array
  /** The next hop. The role is absent until the addressee's credential tells it. */
  readonly toRole?: Role
  readonly toHost: string
  /** `device <customer>`, `guest <token>`; absent: the host's message key. */
  readonly signer?: string
  /** X25519 key of the addressee of a confidential kind; absent: that of the next hop's credential. */
  readonly sealingKey?: Uint8Array
  readonly expiresAtMs?: number
  /** Who may answer with a receipt or a refusal: the next host that processes it, a data center only where it is addressed. */
  readonly responderRole?: Role
  readonly responderId?: string
}
const SEND_FIELDS = [
  'kind',
  'relay',
  'header',
  'body',
  'digest',
  'beside',
  'toRole',
  'toHost',
  'signer',
  'sealingKey',
  'expiresAtMs',
  'responderRole',
  'responderId',
] as const

/** Key: the sender's `until` key. */
export const outboxTable = defineTable<StoredSend>({ name: '~outbox', version: 1, fields: SEND_FIELDS })

/** A request that was seen, and its answer. Key: {@link requestRef}. */
export type SeenRow = { readonly digest: Uint8Array; readonly seenAtMs: number; readonly answer?: Uint8Array }
/** `answer` is a row of {@link outboxTable}'s form, encoded. */
export const seenTable = defineTable<SeenRow>({ name: '~seen', version: 1, fields: ['digest', 'seenAtMs', 'answer'] })
/** Requests whose id is only a transport id, to be forgotten. Key: time, ref. */
export const seenPruneTable = defineTable<{ readonly ref: Uint8Array }>({
  name: '~seen-prune',
  version: 1,
  fields: ['ref'],
})

/** Key: time, name, key. */
export type DeadlineRow = { readonly name: string; readonly key: Uint8Array }
export const deadlineTable = defineTable<DeadlineRow>({ name: '~deadlines', version: 1, fields: ['name', 'key'] })

/** Chains learned from others. Key: keyId. `learnedAtMs`: the chain was valid then. */
export type CredentialRow = { readonly id: string; readonly chain: readonly Uint8Array[]; readonly learnedAtMs: number }
export const credentialTable = defineTable<CredentialRow>({
  name: '~credentials',
  version: 1,
  fields: ['id', 'chain', 'learnedAtMs'],
})
/** The newest key of an id. Key: id. */
export const credentialIdTable = defineTable<{ readonly keyId: Uint8Array }>({
  name: '~credential-ids',
  version: 1,
  fields: ['keyId'],
})

/** The revocation list in force, as the root signed it. Key: `current`. */
export type RevocationRow = { readonly version: number; readonly list: Uint8Array; readonly receivedAtMs: number }
export const revocationTable = defineTable<RevocationRow>({
  name: '~revocations',
  version: 1,
  fields: ['version', 'list', 'receivedAtMs'],
})

/** One event and everything it did. Key: seq, from 1 without gaps. `prevHash`: H of the bytes of the row before. */
export type JournalRow = {
  readonly seq: number
  readonly atMs: number
  readonly prevHash: Uint8Array
  /** What came: `message`, `deadline`, `control`, `job`, `refused`, `receipted`, `started`, `policy`,
   * `revoked`, `stale`, and its name. */
  readonly trigger: string
  readonly name: string
  /** What happened, as the node recorded it. */
  readonly event?: string
  /** Of a message: who made it, its content digest. */
  readonly from?: string
  readonly digest?: Uint8Array
  /** Ids by which a trace finds it. */
  readonly ids: readonly Uint8Array[]
  /** Each [kind, next hop, digest]. */
  readonly sends: readonly (readonly [string, string, Uint8Array])[]
  /** Each [account, currency, amountMinor]. */
  readonly postings: readonly (readonly [string, string, bigint])[]
  readonly refused?: string
  /** The record's fields as JSON text (json.ts). */
  readonly fields?: string
}
export const journalTable = defineTable<JournalRow>({
  name: '~journal',
  version: 1,
  fields: [
    'seq',
    'atMs',
    'prevHash',
    'trigger',
    'name',
    'event',
    'from',
    'digest',
    'ids',
    'sends',
    'postings',
    'refused',
    'fields',
  ],
})
/** Frames of the messages that the journal speaks of: evidence. Key: seq. */
export const frameTable = defineTable<{ readonly frame: Uint8Array }>({
  name: '~frames',
  version: 1,
  fields: ['frame'],
})

/** The newest statement that each other host has made here, by the time it bears, and the entry that keeps its frame. Key: host. */
export type HeardRow = { readonly host: string; readonly sentAtMs: number; readonly seq: number }
export const heardTable = defineTable<HeardRow>({ name: '~heard', version: 1, fields: ['host', 'sentAtMs', 'seq'] })

/**
 * An operator let this host go on with a ledger older than what it has said: nothing that it said until then is held against the
 * ledger. `seq`: the last entry before. Key: `last`.
 */
export type AcceptedRow = { readonly seq: number; readonly untilMs: number }
export const acceptedTable = defineTable<AcceptedRow>({ name: '~accepted', version: 1, fields: ['seq', 'untilMs'] })

/** `head`: the ledger's owner, the last journal entry, and the highest time it has seen. */
export type HeadRow = {
  readonly host: string
  readonly networkId: Uint8Array
  readonly seq: number
  readonly hash: Uint8Array
  readonly highestNowMs: number
}
export const headTable = defineTable<HeadRow>({
  name: '~head',
  version: 1,
  fields: ['host', 'networkId', 'seq', 'hash', 'highestNowMs'],
})
/** JSON text of the policy in force, and of the configuration it came from. Key: `current`. */
export type PolicyRow = { readonly policy: string; readonly configured: string }
export const policyTable = defineTable<PolicyRow>({ name: '~policy', version: 1, fields: ['policy', 'configured'] })
