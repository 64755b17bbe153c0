/** Bodies of the realm's directory, kept by its data centers (design §4 "The DC", §7 "Chain"). */
import { Chain, Count, Fields, Id, List, NodeId, Optional, Sequence, SequenceHeld, Type, Word, type Static } from '../fields.ts'
import { LIMITS } from '../limits.ts'

const BodyVersions = List(Fields({ kind: Count, versions: List(Count, 16) }), 128)

/** A processor, bank or data-center host shows its credential, and which body versions it accepts. */
export const ProcessorRegistration = Fields({ registrationId: Id, version: Sequence, chain: Chain, accepts: BodyVersions })
/** `retired` rows stay, so that an older registration cannot bring them back. */
export const PayeeRegistration = Fields({
  registrationId: Id,
  payee: NodeId,
  version: Sequence,
  state: Word('active', 'retired'),
  host: NodeId,
  chain: Chain,
})
export const AliasRegistration = Fields({ registrationId: Id, alias: NodeId, version: Sequence, state: Word('active', 'retired') })
export const PayeeLookup = Fields({ payee: NodeId })
export const PayeeRecord = Fields({ payee: NodeId, mpp: NodeId, host: NodeId, version: Sequence, chain: Chain })
/**
 * The credential of `id`; with `keyId` the one of that key, current or not. The realm of `id` says which directory knows. The
 * asker shows its own chain: wallet and merchant hosts are in no directory.
 */
export const CredentialQuery = Fields({ id: NodeId, keyId: Optional(Id), chain: Chain })
export const CredentialRecord = Fields({ chain: Chain })
/** `haveVersion` of the list that the asker holds, 0 for none. Like every asker it shows its own chain. */
export const RevocationQuery = Fields({ haveVersion: SequenceHeld, chain: Chain })
/** The revocation list is a statement signed by the root: who passes it on adds nothing to it. */
export const RevocationRecord = Fields({ list: Type.Uint8Array({ minByteLength: 1, maxByteLength: LIMITS.maxRevocationListBytes }) })
/** A new replica copies a sibling's rows, page by page. */
export const DirectoryQuery = Fields({ after: Optional(NodeId) })
export const DirectoryPage = Fields({ registrations: List(Type.Uint8Array({ minByteLength: 1, maxByteLength: 8_192 }), 32), next: Optional(NodeId) })

export type ProcessorRegistration = Static<typeof ProcessorRegistration>
export type PayeeRegistration = Static<typeof PayeeRegistration>
export type AliasRegistration = Static<typeof AliasRegistration>
export type PayeeLookup = Static<typeof PayeeLookup>
export type PayeeRecord = Static<typeof PayeeRecord>
export type CredentialQuery = Static<typeof CredentialQuery>
export type CredentialRecord = Static<typeof CredentialRecord>
export type RevocationQuery = Static<typeof RevocationQuery>
export type RevocationRecord = Static<typeof RevocationRecord>
export type DirectoryQuery = Static<typeof DirectoryQuery>
export type DirectoryPage = Static<typeof DirectoryPage>
