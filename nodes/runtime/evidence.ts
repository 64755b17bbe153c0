/**
 * How a host gathers what it holds of a payment (protocol/evidence.ts): others' frames from its journal, its own messages sealed
 * anew with its key of now, and the credentials and the revocation list that they need. A role's `evidence.ts` says which.
 *
 * Invariant: a question and nothing else. It writes nothing, and shows only what this host's own ledger holds.
 */
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { decodeBody } from '../../protocol/codec.ts'
import { restoreContent } from '../../protocol/envelope.ts'
import {
  CREDENTIAL_PIECE,
  REVOCATIONS_PIECE,
  sealEvidence,
  type EvidenceParty,
  type EvidenceStatement,
  type Gathered,
  type JournalPosition,
} from '../../protocol/evidence.ts'
import { hash } from '../../protocol/hash.ts'
import { KINDS, type Body, type KindName } from '../../protocol/kinds.ts'
import type { SigningKey } from '../../protocol/keys.ts'
import type { RangeProof } from '../../protocol/mountain-range.ts'
import { parseFrame, sealOne } from '../../protocol/seals.ts'
import { parseCredential, readStatement } from '../../protocol/statements.ts'
import type { NodeServices } from './host-types.ts'
import { NO_HASH, entriesAt } from './journal.ts'
import type { Delivery, Reader } from './node.ts'
import {
  credentialTable,
  frameTable,
  headTable,
  journalTable,
  revocationTable,
  type JournalRow,
} from './runtime-tables.ts'
import { readSent } from './sent-store.ts'

export type EvidenceServices = Pick<NodeServices, 'self' | 'trust' | 'identity' | 'localKey'>

/** What a host answers to `evidence`. */
export type EvidenceAnswer =
  | { readonly ok: true; readonly bundle: Uint8Array }
  | { readonly ok: false; readonly code: 'NOT_FOUND' | 'UNDECIDED' | 'SCHEMA_VIOLATION'; readonly detail: string }

type About = Pick<EvidenceStatement, 'payee' | 'txId' | 'gatheredAtMs'> &
  Partial<Pick<EvidenceStatement, 'prId' | 'pnId' | 'settlement' | 'collection' | 'refunds'>> & {
    readonly inclusion?: RangeProof
  }

export type Gatherer = {
  /**
   * A frame that was handled at this very time, and whose body fits. → the key that sealed it, undefined when none is kept. Times
   * of rows are those of the events that wrote them, so this is a look and no search.
   */
  readonly received: <K extends KindName>(
    kind: K,
    atMs: number | undefined,
    isIt: (body: Body<K>) => boolean,
  ) => { readonly keyId: Uint8Array } | undefined
  /** What this host sent, or passed on. `key`: of a device; by default the host's own. → is it kept? */
  readonly sent: (delivery: Delivery, key?: SigningKey) => boolean
  /** Another's frame that a row of the node holds. */
  readonly frame: (bytes: Uint8Array) => void
  /** A credential that no key id leads to: the record of a customer. */
  readonly credential: (bytes: Uint8Array) => void
  readonly seal: (about: About) => Uint8Array
}

export const createGatherer = ({ self, trust, identity, localKey }: EvidenceServices, read: Reader): Gatherer => {
  const pieces = new Map<string, Gathered>()
  const records: Uint8Array[] = []
  const lastSeq = read.get(headTable, 'head')?.seq ?? 0
  const add = (piece: Gathered): void => {
    const name = toHex(hash(piece.bytes))
    if (!pieces.has(name)) pieces.set(name, piece)
  }

  const addFrame = (bytes: Uint8Array, position?: JournalPosition): boolean => {
    const parsed = parseFrame(bytes)
    if (!parsed.ok) return false
    const { header, digest } = parsed.value
    const { kind, sentAtMs } = header
    if (kind === undefined) return false
    // This host's own stand where it said them.
    const at = position ?? positionOf(entriesAt(read, lastSeq, sentAtMs).find((row) => speaksOf(row, digest)))
    add({ kind, bytes, ...(at === undefined ? {} : { position: at }) })
    return true
  }

  return {
    received: (kind, atMs, isIt) => {
      if (atMs === undefined || atMs === 0) return undefined
      for (const row of entriesAt(read, lastSeq, atMs)) {
        if (row.trigger !== 'message' || row.name !== kind) continue
        const frame = read.get(frameTable, row.seq)?.frame
        const parsed = frame === undefined ? undefined : parseFrame(frame)
        if (frame === undefined || parsed?.ok !== true) continue
        const body = decodeBody(kind, parsed.value.header.bodyVersion, parsed.value.bodyBytes)
        if (!body.ok || !isIt(body.value)) continue
        addFrame(frame, positionOf(row))
        return { keyId: parsed.value.seal.keyId }
      }
      return undefined
    },
    sent: (delivery, key) => {
      const found = readSent(read, delivery, trust.engine, localKey)
      if (found === undefined) return false
      if (found.relay) return addFrame(found.frame)
      const content = restoreContent(found.header, found.body)
      const { kind } = content.header
      // Who shows its own chain in the body is sealed by that chain's key, and no other would do.
      if (KINDS[kind].introduces) return false
      return addFrame(sealOne(content, key ?? identity().signing))
    },
    frame: (bytes) => void addFrame(bytes),
    credential: (bytes) => void records.push(bytes),
    seal: ({ inclusion, ...about }) => {
      const frames = [...pieces.values()]
      const list = read.get(revocationTable, 'current')
      const head = read.get(headTable, 'head')
      const { signing } = identity()
      const credentials = credentialsFor([signing.keyId, ...frames.flatMap(({ bytes }) => sealersOf(bytes))])
      return sealEvidence(
        {
          ...about,
          ...(inclusion === undefined
            ? {}
            : { inclusion: { ...inclusion, siblings: [...inclusion.siblings], peaks: [...inclusion.peaks] } }),
          networkId: trust.networkId,
          party: self.role as EvidenceParty,
          host: self.id,
          revocationVersion: list?.version ?? 0,
          journal: { seq: head?.seq ?? 0, hash: head?.hash ?? NO_HASH },
        },
        [...frames, ...credentials, ...(list === undefined ? [] : [{ kind: REVOCATIONS_PIECE, bytes: list.list }])],
        signing,
      )
    },
  }

  /** Chains down to these keys and to the records, each credential once. */
  function credentialsFor(keyIds: readonly Uint8Array[]): readonly Gathered[] {
    const issuers = records.flatMap((record) => {
      const parsed = parseCredential(record)
      return parsed.ok ? [parsed.value.keyId] : []
    })
    const found = new Map<string, Uint8Array>()
    for (const keyId of [...keyIds, ...issuers])
      for (const credential of chainOf(keyId)) found.set(toHex(hash(credential)), credential)
    for (const record of records) found.set(toHex(hash(record)), record)
    return [...found.values()].map((bytes) => {
      const of = subjectOf(bytes)
      return { kind: CREDENTIAL_PIECE, bytes, ...(of === undefined ? {} : { of }) }
    })
  }

  function chainOf(keyId: Uint8Array): readonly Uint8Array[] {
    const own = identity()
    if (equalBytes(keyId, own.signing.keyId)) return own.chains[0] ?? []
    return read.get(credentialTable, keyId)?.chain ?? []
  }

  function subjectOf(bytes: Uint8Array): string | undefined {
    const parsed = parseCredential(bytes)
    if (!parsed.ok) return undefined
    const statement = readStatement(trust.engine, parsed.value.payload, ['processor', 'host', 'enrolment'])
    if (!statement.ok) return undefined
    return statement.value.type === 'enrolment' ? statement.value.customer : statement.value.id
  }
}

const positionOf = (row: JournalRow | undefined): JournalPosition | undefined =>
  row === undefined ? undefined : { seq: row.seq, atMs: row.atMs, entryHash: hash(journalTable.encode(row)) }

const speaksOf = (row: JournalRow, digest: Uint8Array): boolean =>
  (row.digest !== undefined && equalBytes(row.digest, digest)) ||
  row.sends.some(([, , sent]) => equalBytes(sent, digest))

/** The key of a frame, and of those nested in it, but for invoices, which show their own chain. */
const sealersOf = (bytes: Uint8Array): readonly Uint8Array[] => {
  const parsed = parseFrame(bytes)
  if (!parsed.ok) return []
  const { header, seal, bodyBytes } = parsed.value
  if (header.kind === undefined || header.kind === 'transaction-details') return []
  const body = decodeBody(header.kind, header.bodyVersion, bodyBytes)
  const fields = (body.ok ? body.value : {}) as Readonly<Record<string, unknown>>
  const nested = Object.keys(KINDS[header.kind].nests).flatMap((field) => fields[field] ?? [])
  return [seal.keyId, ...nested.flatMap((one) => (one instanceof Uint8Array ? sealersOf(one) : []))]
}

/** The id in `{ paymentId }`, 32 hex digits. */
export const evidenceId = (args: Readonly<Record<string, unknown>>): string | undefined => {
  const { paymentId } = args
  return typeof paymentId === 'string' && /^[0-9a-f]{32}$/.test(paymentId) ? paymentId : undefined
}
export const NO_ID: EvidenceAnswer = {
  ok: false,
  code: 'SCHEMA_VIOLATION',
  detail: 'paymentId: 32 hex digits, as this host knows the payment',
}
export const NOT_HERE: EvidenceAnswer = { ok: false, code: 'NOT_FOUND', detail: 'no such payment here' }
export const NOT_DECIDED: EvidenceAnswer = {
  ok: false,
  code: 'UNDECIDED',
  detail: 'the payment has not come to its end here',
}
