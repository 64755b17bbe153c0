/**
 * Evidence: what one party holds of one payment, in one file that proves itself to whoever has the root key (design §8.12).
 *
 *   bundle    = msgpack [ statement: bin, keyId(16), signature: bin, pieces: array of bin ]
 *   signed    = 0xFF ‖ "semops/1 evidence" ‖ 0x00 ‖ statement
 *   statement = map: who gathered what of which payment; of each piece its kind, H(bytes), and where it stands in the journal
 *
 * Invariant: a piece is a frame or a credential exactly as its signer sealed it, and proves itself; the statement adds the
 * gatherer's own word on what no seal says: what there is, when it came, and how far the payment has got. `audit.ts` judges both.
 */
import { concat, equalBytes } from './bytes.ts'
import { codecOf } from './codec.ts'
import { DOMAINS } from './domains.ts'
import { fail, ok, type Result } from './failures.ts'
import {
  Digest,
  Fields,
  Id,
  List,
  NodeId,
  Optional,
  Sequence,
  SequenceHeld,
  Text,
  TimeMs,
  Word,
  Count,
  type Static,
} from './fields.ts'
import { hash } from './hash.ts'
import { KEY_ID_BYTES, type SigningKey } from './keys.ts'
import type { KindName } from './kinds.ts'
import { LIMITS } from './limits.ts'
import {
  atEnd,
  beginWrite,
  cursorOf,
  readArrayLength,
  readBytes,
  readBytesOf,
  takeWritten,
  writeArrayLength,
  writeBytes,
} from './msgpack.ts'

export const EVIDENCE_PARTIES = ['customer', 'merchant', 'cpp', 'mpp'] as const
export type EvidenceParty = (typeof EVIDENCE_PARTIES)[number]

/** A piece that is no frame. */
export const CREDENTIAL_PIECE = 'credential'
export const REVOCATIONS_PIECE = 'revocation-list'

/** A journal entry that names a message by its digest, as its chain hashes it. */
export const JournalPosition = Fields({ seq: Sequence, atMs: TimeMs, entryHash: Digest })

export const EvidencePiece = Fields({
  /** A kind of the registry, or one of the two words above. */
  kind: Text(64),
  /** Whose credential; of frames absent. */
  of: Optional(NodeId),
  /** H(the piece's bytes). */
  hash: Digest,
  /** Where the gatherer's journal took it in, or sent it. */
  position: Optional(JournalPosition),
})

/** How far the entry of a micropayment has got at the gatherer: of its pair, and of what its customer owes. */
export const SETTLEMENT_STATES = ['none', 'sent', 'answered', 'settled'] as const
export const COLLECTION_STATES = ['none', 'ordered', 'booked', 'refused', 'bulk'] as const

export const EvidenceStatement = Fields({
  version: Sequence,
  networkId: Id,
  party: Word(...EVIDENCE_PARTIES),
  host: NodeId,
  gatheredAtMs: TimeMs,
  payee: NodeId,
  txId: Id,
  /** The payment as the customer and its CPP know it, and as the payee's side and the CPP do. */
  prId: Optional(Id),
  pnId: Optional(Id),
  pieces: List(EvidencePiece, LIMITS.maxEvidencePieces),
  /** The version of the revocation list in force at the gatherer; 0: it knows none. */
  revocationVersion: SequenceHeld,
  settlement: Optional(Word(...SETTLEMENT_STATES)),
  collection: Optional(Word(...COLLECTION_STATES)),
  /** How many refunds of it are confirmed. */
  refunds: Optional(Count),
  /** Leads from the payment's entry to the root of its settlement batch (mountain-range.ts). */
  inclusion: Optional(Fields({ index: Count, count: Count, siblings: List(Digest, 32), peaks: List(Digest, 32) })),
  /** The end of the gatherer's journal. */
  journal: Fields({ seq: SequenceHeld, hash: Digest }),
})
export type JournalPosition = Static<typeof JournalPosition>
export type EvidencePiece = Static<typeof EvidencePiece>
export type EvidenceStatement = Static<typeof EvidenceStatement>
export type SettlementState = (typeof SETTLEMENT_STATES)[number]
export type CollectionState = (typeof COLLECTION_STATES)[number]

export const EVIDENCE_VERSION = 1

const statements = codecOf(EvidenceStatement)

/** A piece with its bytes, before it is sealed into a bundle. */
export type Gathered = Omit<EvidencePiece, 'hash'> & { readonly bytes: Uint8Array }

/** @param key the gatherer's message key. @throws TypeError for a statement that fits no schema, RangeError over a limit */
export const sealEvidence = (
  statement: Omit<EvidenceStatement, 'version' | 'pieces'>,
  gathered: readonly Gathered[],
  key: SigningKey,
): Uint8Array => {
  const pieces = gathered.map(({ bytes, ...piece }) => ({ ...piece, hash: hash(bytes) }))
  const payload = statements.encode({ ...statement, version: EVIDENCE_VERSION, pieces })
  const bundle = encodeBundle({
    payload,
    keyId: key.keyId,
    signature: key.sign(evidenceInput(payload)),
    pieces: gathered.map(({ bytes }) => bytes),
  })
  if (bundle.length > LIMITS.maxEvidenceBytes)
    throw new RangeError(`evidence of ${bundle.length} bytes is over its limit`)
  return bundle
}

/** What a bundle's signature is over. */
export const evidenceInput = (payload: Uint8Array): Uint8Array => concat(DOMAINS.evidence, payload)

/** A bundle taken apart; nothing in it is proved yet. */
export type Bundle = {
  readonly payload: Uint8Array
  readonly keyId: Uint8Array
  readonly signature: Uint8Array
  readonly pieces: readonly Uint8Array[]
}

/** @throws RangeError for more pieces than maxEvidencePieces */
export const encodeBundle = ({ payload, keyId, signature, pieces }: Bundle): Uint8Array => {
  if (pieces.length > LIMITS.maxEvidencePieces) throw new RangeError(`evidence of ${pieces.length} pieces`)
  beginWrite()
  writeArrayLength(4)
  writeBytes(payload)
  writeBytes(keyId)
  writeBytes(signature)
  const parts = [takeWritten(), Uint8Array.of(ARRAY_16, pieces.length >> 8, pieces.length & 0xff)]
  for (const piece of pieces) {
    beginWrite()
    writeBytes(piece)
    parts.push(takeWritten())
  }
  return concat(...parts)
}
/** msgpack's head of an array with a length of two bytes. */
const ARRAY_16 = 0xdc

/** FRAME_TOO_LARGE or MALFORMED_FRAME. */
export const readBundle = (bytes: Uint8Array): Result<Bundle> => {
  if (bytes.length > LIMITS.maxEvidenceBytes) return fail('FRAME_TOO_LARGE', 'longer than maxEvidenceBytes')
  const cursor = cursorOf(new Uint8Array(bytes))
  const fields = readArrayLength(cursor)
  const payload = readBytes(cursor)
  const keyId = readBytesOf(cursor, KEY_ID_BYTES)
  const signature = readBytes(cursor)
  const count = readArrayLength(cursor)
  if (fields !== 4 || payload === undefined || keyId === undefined || signature === undefined)
    return fail('MALFORMED_FRAME', 'not a bundle')
  if (count < 0 || count > LIMITS.maxEvidencePieces) return fail('MALFORMED_FRAME', 'not a list of pieces')
  const pieces: Uint8Array[] = []
  for (let i = 0; i < count; i++) {
    const piece = readBytes(cursor)
    if (piece === undefined) return fail('MALFORMED_FRAME', `piece ${i + 1} is cut off`)
    pieces.push(piece)
  }
  if (!atEnd(cursor)) return fail('MALFORMED_FRAME', 'bytes after the end')
  return ok({ payload, keyId, signature, pieces })
}

/** SCHEMA_VIOLATION and the other codes of a body; UNSUPPORTED_VERSION. */
export const readEvidenceStatement = (payload: Uint8Array): Result<EvidenceStatement> => {
  const statement = statements.decode(payload)
  if (!statement.ok || statement.value.version === EVIDENCE_VERSION) return statement
  return fail('UNSUPPORTED_VERSION', `evidence version ${statement.value.version}; known: ${EVIDENCE_VERSION}`)
}

/** A piece as it stands in the bundle: what the statement says of it, and its bytes if they are there as they were sealed. */
export type MatchedPiece = {
  readonly listed: EvidencePiece
  readonly bytes: Uint8Array | undefined
  /** Bytes stand in its place, and are not those that the statement names. */
  readonly changed: boolean
}

/** Pairs each listed piece with its bytes: by hash, and what is left over by its place. `extra`: bytes that nothing lists. */
export const matchPieces = (
  listed: readonly EvidencePiece[],
  pieces: readonly Uint8Array[],
): { readonly matched: readonly MatchedPiece[]; readonly extra: readonly Uint8Array[] } => {
  const hashes = pieces.map((bytes) => hash(bytes))
  const taken = new Set<number>()
  const exact = listed.map((one) => {
    const at = hashes.findIndex((found, i) => !taken.has(i) && equalBytes(found, one.hash))
    if (at >= 0) taken.add(at)
    return at
  })
  const sameLength = listed.length === pieces.length
  const matched = listed.map((one, i): MatchedPiece => {
    const at = exact[i] as number
    if (at >= 0) return { listed: one, bytes: pieces[at], changed: false }
    // None was taken out: what stands in its place is what became of it.
    if (!sameLength || taken.has(i)) return { listed: one, bytes: undefined, changed: false }
    taken.add(i)
    return { listed: one, bytes: pieces[i], changed: true }
  })
  return { matched, extra: pieces.filter((_, i) => !taken.has(i)) }
}

/**
 * What a host says that binds it or others, and that no answer repeats: its own messages of these kinds are kept when they are
 * sent, so that they can be shown for ever. Answers are kept under their request anyway, and another's frames with the journal.
 */
export const KEPT_WHEN_SENT: ReadonlySet<KindName> = new Set([
  'payment-request',
  'payment-notice',
  'payment-decision',
  'countersigned-decision',
  'payment-outcome',
  'hold-order',
  'post-order',
  'transfer-order',
  'bulk-transfer-order',
  'settlement-batch',
  'pair-adjustment',
  'refund-request',
  'countersigned-refund',
  'customer-refund-notice',
])
