/**
 * Is this ledger the newest that its host has had? A copy from before agrees with itself, so only others can tell: the mark that
 * the host leaves outside its ledger (`head-mark.ts`), and its peers, who keep the frames it has sealed (decision 0011). Invariant:
 * a host whose ledger has not been shown to be old makes no statement that its journal does not list, so a statement of its own
 * that it does not find there proves that the ledger is older than what it has said. Nobody else can make such a proof, but who holds
 * its key: then it is held as well, since its owner has to know of it before anything else.
 */
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { decodeBody } from '../../protocol/codec.ts'
import type { Trust } from '../../protocol/credentials.ts'
import { hash } from '../../protocol/hash.ts'
import { bearsPinKey, KIND_NAMES, KINDS, kindRow, type KindName } from '../../protocol/kinds.ts'
import { parseFrame, verifySeal, type ParsedFrame, type VerificationKey } from '../../protocol/seals.ts'
import type { Verified } from '../../protocol/verified.ts'
import type { Heard } from './heard.ts'
import { entriesAt, traceJournal, type Chain } from './journal.ts'
import { decision, put, type Decision, type Reader } from './node.ts'
import { businessId } from './request-ref.ts'
import { acceptedTable, frameTable, heardTable, journalTable } from './runtime-tables.ts'
import type { Staged } from './staged.ts'
import { keyOf } from './table.ts'

/** Kinds that may answer a mere question: those answers are made anew each time, and no journal lists them. */
const ANSWERS_A_QUESTION: ReadonlySet<string> = new Set(
  KIND_NAMES.filter((name) => kindRow(name).id === null).flatMap((name) => kindRow(name).answeredBy),
)
const STATEMENTS: ReadonlySet<KindName> = new Set(
  KIND_NAMES.filter((name) => {
    const { durable, id, audience } = kindRow(name)
    return durable && id !== null && audience !== 'guest' && !bearsPinKey(name) && !ANSWERS_A_QUESTION.has(name)
  }),
)
/** Kinds whose frame an answer to a question may hold: sealed anew, with a time of its own, when the key before was revoked. */
const MADE_ANEW: ReadonlySet<string> = new Set(
  KIND_NAMES.filter((name) => ANSWERS_A_QUESTION.has(name)).flatMap((name) =>
    Object.values(kindRow(name).nests).flat(),
  ),
)
/** Is every message of this kind listed by the journal of the host that made it before anybody sees it? */
export const isStatement = (kind: KindName): boolean => STATEMENTS.has(kind) && KINDS[kind].id !== null

export type HeardBook = { readonly note: (message: Verified, seq: number) => void }

/** Keeps, of each other host, the newest statement: one row a host, written once a batch. */
export const createHeardBook = (staged: Staged): HeardBook => {
  const newest = new Map<string, number>()
  return {
    note: ({ kind, sender: { host }, header: { sentAtMs } }, seq) => {
      if (!isStatement(kind)) return
      const before = newest.get(host) ?? staged.get(heardTable, host)?.sentAtMs ?? 0
      newest.set(host, Math.max(before, sentAtMs))
      if (sentAtMs > before) staged.write(put(heardTable, keyOf(host), { host, sentAtMs, seq }))
    },
  }
}

/** What this ledger holds of others, one of each; of `host` alone when it is given. */
export const heardIn = (read: Reader, self: string, host?: string): readonly Heard[] =>
  [...read.scan(heardTable, host === undefined ? [] : [host])].flatMap(([, { host: of, sentAtMs, seq }]) => {
    const frame = read.get(frameTable, seq)?.frame
    return frame === undefined ? [] : [{ by: self, host: of, sentAtMs, frame }]
  })

/** Whose key is it, if one of this host's own or of a device on it? */
export type OwnKeyOf = (keyId: Uint8Array, from: string) => VerificationKey | undefined

/** A statement that this host has made and its ledger knows nothing of. */
export type Forgotten = {
  readonly by: string
  readonly kind: string
  readonly sentAtMs: number
  readonly digest: string
}

/**
 * Those of the frames that this host has sealed and its journal does not list, an operator's word apart. What is not a frame of
 * this host proves nothing and is passed over.
 */
export const forgottenOf = (
  { read, trust, lastSeq, ownKeyOf }: { read: Reader; trust: Trust; lastSeq: number; ownKeyOf: OwnKeyOf },
  heard: readonly Pick<Heard, 'by' | 'frame'>[],
): readonly Forgotten[] => {
  const { untilMs = 0 } = read.get(acceptedTable, 'last') ?? {}
  return heard.flatMap(({ by, frame }) => {
    const parsed = parseFrame(frame)
    if (!parsed.ok) return []
    const { header, digest, seal } = parsed.value
    const { kind, from, sentAtMs } = header
    if (kind === undefined || typeof from !== 'string' || !isStatement(kind)) return []
    if (sentAtMs <= untilMs || !equalBytes(header.networkId, trust.networkId)) return []
    if (isListed(read, lastSeq, parsed.value)) return []
    const key = ownKeyOf(seal.keyId, from)
    if (key === undefined || !verifySeal(parsed.value, key, trust).ok) return []
    return [{ by, kind, sentAtMs, digest: toHex(digest) }]
  })
}

/** Does the journal say that this host has made the statement, at the time that it bears, or before when it was made anew? */
export const isListed = (read: Reader, lastSeq: number, { header, digest, bodyBytes }: ParsedFrame): boolean => {
  const { kind, sentAtMs } = header
  const listed = entriesAt(read, lastSeq, sentAtMs).some(({ sends }) =>
    sends.some(([, , sent]) => equalBytes(sent, digest)),
  )
  if (listed || kind === undefined || !MADE_ANEW.has(kind)) return listed
  const body = decodeBody(kind, header.bodyVersion, bodyBytes)
  if (!body.ok) return false
  const ids = [toHex(businessId(kind, { ...header, kind }, body.value))]
  return traceJournal(read, lastSeq, { ids, fromMs: 0, toMs: sentAtMs }).some(({ sends }) =>
    sends.some(([sent]) => sent === kind),
  )
}

/** Why a ledger is known to be old. `atMs`: of its last entry. */
export type Behind = {
  readonly seq: number
  readonly atMs: number
  /** The entry that the mark names: the ledger has been as long as this, or has another there. */
  readonly markedSeq: number | undefined
  readonly forgotten: readonly Forgotten[]
  /** One line for people. */
  readonly text: string
}

/** @param mark what the host has left outside its ledger; undefined where there is none */
export const judgeAge = (
  read: Reader,
  head: Chain,
  mark: Chain | undefined,
  forgotten: readonly Forgotten[],
): Behind | undefined => {
  const marked = mark !== undefined && !holds(read, head, mark) ? mark : undefined
  if (marked === undefined && forgotten.length === 0) return undefined
  const atMs = read.get(journalTable, head.seq)?.atMs ?? 0
  const reasons = [
    ...(marked === undefined
      ? []
      : marked.seq > head.seq
        ? [`it has been up to entry ${marked.seq}`]
        : [`its entry ${marked.seq} is another than it was`]),
    ...forgotten
      .slice(0, NAMED)
      .map(({ by, kind, sentAtMs }) => `${by} holds its ${kind} of ${new Date(sentAtMs).toISOString()}`),
    ...(forgotten.length > NAMED ? [`and ${forgotten.length - NAMED} others hold more`] : []),
  ]
  const ends = head.seq === 0 ? 'is empty' : `ends at entry ${head.seq} of ${new Date(atMs).toISOString()}`
  const older = 'the ledger is older than what this host has said'
  // Of a host that was alone on its machine the mark tells of every entry: then it was not this ledger's host that spoke.
  const what =
    mark === undefined || marked !== undefined ? older : `somebody else speaks under this host's key, or ${older}`
  const text = `${what}: it ${ends}; ${reasons.join('; ')}`
  return { seq: head.seq, atMs, markedSeq: marked?.seq, forgotten, text }
}
const NAMED = 3
const JOURNALLED = 16

/** Does the journal go through the mark? */
const holds = (read: Reader, head: Chain, mark: Chain): boolean => {
  if (mark.seq === 0) return true
  if (mark.seq > head.seq) return false
  const row = read.get(journalTable, mark.seq)
  return row !== undefined && equalBytes(hash(journalTable.encode(row)), mark.hash)
}

/** The operator lets the host go on: what it has said until `nowMs`, and what others showed it, is not asked for again. */
export const acceptance = ({ seq, markedSeq, forgotten }: Behind, nowMs: number): Decision => {
  const untilMs = Math.max(nowMs, ...forgotten.map(({ sentAtMs }) => sentAtMs))
  return decision({
    writes: [put(acceptedTable, keyOf('last'), { seq, untilMs })],
    record: {
      event: 'old-ledger-accepted',
      ids: [],
      level: 'warn',
      fields: { seq, ...(markedSeq === undefined ? {} : { markedSeq }), forgotten: forgotten.slice(0, JOURNALLED) },
    },
  })
}
