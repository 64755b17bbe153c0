/**
 * What each host's ledger holds on disk of what it says, and how its runtime rows may change:
 *
 * - a message that a row of the outbox, a stored answer or the journal names is durable once that row's batch is flushed;
 * - an answer, once stored, is that answer for ever, and a request with a business id is never forgotten;
 * - the journal grows by one entry at a time, each bearing the hash of the one before and no earlier time, and is never rewritten;
 * - no message is acted on twice, none that nobody said, none under a key that this very ledger calls void.
 */
import { toHex } from '../../../protocol/bytes.ts'
import { codecOf, decodeBody } from '../../../protocol/codec.ts'
import { failureCode, isTransient } from '../../../protocol/failures.ts'
import { hash } from '../../../protocol/hash.ts'
import { isKindName, kindRow, KINDS, type KindName } from '../../../protocol/kinds.ts'
import { parseFrame } from '../../../protocol/seals.ts'
import { parseCredential, RevocationStatement } from '../../../protocol/statements.ts'
import {
  deadlineTable,
  frameTable,
  headTable,
  journalTable,
  outboxTable,
  revocationTable,
  seenTable,
  type JournalRow,
  type StoredSend,
} from '../../../nodes/runtime/runtime-tables.ts'
import { keyText } from '../../../nodes/runtime/sorted-map.ts'
import type { RowChange } from '../observed.ts'
import { hashRow, readRow } from '../read-once.ts'
import type { Complain } from './complaints.ts'

/** Whether a message with this digest was published by a node. */
export type WasSaid = (digest: string) => boolean

export type Ledgers = {
  readonly committed: (host: string, batch: number, changes: readonly RowChange[]) => void
  readonly flushed: (host: string, batch: number) => void
  readonly lost: (host: string, changes: readonly RowChange[]) => void
  /** Does a flushed row of this host's ledger hold the message with this digest, or {@link bodyKey}, or tell of it? */
  readonly isDurable: (host: string, digest: string) => boolean
  /** Committed but not on disk: only the time is wrong. */
  readonly isCommitted: (host: string, digest: string) => boolean
  readonly started: (host: string) => void
  readonly atRest: () => void
}

type Entry = { readonly seq: number; readonly hash: string; readonly atMs: number }
type Ledger = {
  /** What it held before its host was first started: of a time when nobody judged. */
  isFoundation: boolean
  /** Digest → the batch that first held it. */
  readonly told: Map<string, number>
  flushedBatch: number
  lastBatch: number
  /** Ends of the journal: all that could be taken back, and the one before. */
  entries: Entry[]
  /** Messages that the journal acted on, by trigger and digest. */
  readonly acted: Set<string>
  /** Outbox keys → what waits there. */
  readonly waiting: Map<string, string>
  /** Deadlines by key; the time is their first 8 bytes. */
  readonly deadlines: Map<string, string>
  highestNowMs: number
  revoked: ReadonlySet<string>
  /** Entries after this one were decided under the list in force. */
  revokedSinceSeq: number
}

/** Triggers of a message: the runtime acts on each at most once. */
const MESSAGE_TRIGGERS: ReadonlySet<string> = new Set(['message', 'receipted', 'refused'])
const revocationCodec = codecOf(RevocationStatement)
const SWEEP_GRACE_MS = 10_000

export const createLedgers = (complain: Complain, wasSaid: WasSaid): Ledgers => {
  const ledgers = new Map<string, Ledger>()
  const ledgerOf = (host: string): Ledger => {
    let found = ledgers.get(host)
    if (found === undefined) {
      found = {
        isFoundation: true,
        told: new Map(),
        flushedBatch: 0,
        lastBatch: 0,
        entries: [],
        acted: new Set(),
        waiting: new Map(),
        deadlines: new Map(),
        highestNowMs: 0,
        revoked: new Set(),
        revokedSinceSeq: 0,
      }
      ledgers.set(host, found)
    }
    return found
  }
  const tell = (ledger: Ledger, key: string, batch: number): void => {
    if (!ledger.told.has(key)) ledger.told.set(key, batch)
  }
  /** The digest of a message, and, where answers are made anew for whoever asks, what it says. */
  const tellSend = (ledger: Ledger, { kind, digest, body, relay }: StoredSend, batch: number): void => {
    tell(ledger, keyText(digest), batch)
    if (!relay && ANSWERS_QUESTIONS.has(kind)) tell(ledger, bodyKey(body), batch)
  }

  const onSeen = (host: string, ledger: Ledger, change: RowChange, batch: number): void => {
    const before = change.before === undefined ? undefined : readRow(seenTable, change.before)
    const after = change.after === undefined ? undefined : readRow(seenTable, change.after)
    const request = (): string => {
      const text = keyText(change.key)
      return text.slice(0, text.indexOf('\0'))
    }
    if (after === undefined) {
      const kind = request()
      if (isKindName(kind) && KINDS[kind].id !== null)
        complain('a request was forgotten', `${host} removed what it knows of a ${kind}`)
      return
    }
    if (before !== undefined && keyText(before.digest) !== keyText(after.digest))
      complain('another request under one id', `${host} replaced the ${request()} that it knows under an id`)
    if (after.answer === undefined) {
      if (before?.answer !== undefined) complain('an answer was forgotten', `${host}: of a ${request()}`)
      return
    }
    const answer = readRow(outboxTable, after.answer)
    const { digest, kind } = answer
    tellSend(ledger, answer, batch)
    if (kind === 'refusal') {
      const refusal = decodeBody('refusal', 1, answer.body)
      const code = refusal.ok ? failureCode(refusal.value.code) : undefined
      if (code !== undefined && isTransient(code))
        complain('a transient refusal was kept', `${host}: ${code} for a ${request()}`)
    }
    if (before?.answer === undefined) return
    const earlier = readRow(outboxTable, before.answer)
    if (keyText(earlier.digest) !== keyText(digest))
      complain('another answer to one request', `${host}: ${earlier.kind}, then ${kind}, to one ${request()}`)
  }

  const onJournal = (host: string, ledger: Ledger, change: RowChange, batch: number): void => {
    if (change.before !== undefined || change.after === undefined) {
      complain('the journal was rewritten', `${host}: entry ${toHex(change.key)}`)
      return
    }
    const row = readRow(journalTable, change.after)
    const last = ledger.entries.at(-1)
    if (last !== undefined && (row.seq !== last.seq + 1 || keyText(row.prevHash) !== last.hash))
      complain('the journal chain is broken', `${host}: entry ${row.seq} does not continue entry ${last.seq}`)
    if (last !== undefined && row.atMs < last.atMs)
      complain('time went back', `${host}: entry ${row.seq}, by ${last.atMs - row.atMs} ms`)
    ledger.entries.push({ seq: row.seq, hash: keyText(hashRow(change.after)), atMs: row.atMs })
    for (const [, , digest] of row.sends) tell(ledger, keyText(digest), batch)
    if (row.event === 'revocation-list-adopted') ledger.revokedSinceSeq = row.seq
    judgeTrigger(host, ledger, row)
  }

  const judgeTrigger = (host: string, ledger: Ledger, row: JournalRow): void => {
    const { digest, trigger, name } = row
    if (digest === undefined || !MESSAGE_TRIGGERS.has(trigger)) return
    const key = keyText(digest)
    if (!ledger.isFoundation && !wasSaid(key))
      complain('acted on what nobody said', `${host}: ${trigger} ${name} of ${row.from ?? '?'}`)
    // A question without a business id may come again after its retention.
    if (trigger === 'message' && isKindName(name) && KINDS[name].id === null) return
    const once = `${trigger} ${key}`
    if (ledger.acted.has(once)) complain('acted twice on one message', `${host}: ${trigger} ${name}`)
    ledger.acted.add(once)
  }

  const onRevocations = (host: string, ledger: Ledger, change: RowChange): void => {
    if (change.after === undefined) {
      complain('the revocation list was removed', host)
      return
    }
    const credential = parseCredential(revocationTable.decode(change.after).list)
    const statement = credential.ok ? revocationCodec.decode(credential.value.payload) : credential
    if (!statement.ok) {
      complain('a revocation list that is none', host)
      return
    }
    ledger.revoked = new Set(statement.value.revoked.map(keyText))
  }

  const onFrame = (host: string, ledger: Ledger, change: RowChange): void => {
    if (ledger.revoked.size === 0 || change.after === undefined) return
    const seq = timeOf(keyText(change.key))
    if (seq <= ledger.revokedSinceSeq) return
    const parsed = parseFrame(frameTable.decode(change.after).frame)
    if (parsed.ok && ledger.revoked.has(keyText(parsed.value.seal.keyId)))
      complain('acted under a revoked key', `${host}: ${parsed.value.header.kind ?? '?'}, entry ${seq}`)
  }

  const committed: Ledgers['committed'] = (host, batch, changes) => {
    const ledger = ledgerOf(host)
    ledger.lastBatch = batch
    let head: Uint8Array | undefined
    for (const change of changes) {
      const { table, key, after } = change
      switch (table) {
        case outboxTable.name:
          if (after === undefined) ledger.waiting.delete(keyText(key))
          else {
            const row = readRow(outboxTable, after)
            tellSend(ledger, row, batch)
            ledger.waiting.set(keyText(key), `${row.kind} to ${row.toHost}`)
          }
          break
        case seenTable.name:
          onSeen(host, ledger, change, batch)
          break
        case journalTable.name:
          onJournal(host, ledger, change, batch)
          break
        case revocationTable.name:
          onRevocations(host, ledger, change)
          break
        case deadlineTable.name:
          if (after === undefined) ledger.deadlines.delete(keyText(key))
          else ledger.deadlines.set(keyText(key), readRow(deadlineTable, after).name)
          break
        case headTable.name:
          head = after
          break
        default:
      }
    }
    // Last, since tables stand in a batch in no order of their own.
    for (const change of changes) if (change.table === frameTable.name) onFrame(host, ledger, change)
    if (head !== undefined) onHead(host, ledger, head)
  }

  const onHead = (host: string, ledger: Ledger, after: Uint8Array): void => {
    const head = readRow(headTable, after)
    ledger.highestNowMs = Math.max(ledger.highestNowMs, head.highestNowMs)
    const last = ledger.entries.at(-1)
    if (last !== undefined && (head.seq !== last.seq || keyText(head.hash) !== last.hash))
      complain('the ledger does not end as its head says', `${host}: head ${head.seq}, journal ${last.seq}`)
  }

  const lost: Ledgers['lost'] = (host, changes) => {
    const ledger = ledgerOf(host)
    for (const { table, key, before, after } of changes) {
      switch (table) {
        case outboxTable.name:
          if (before === undefined) ledger.waiting.delete(keyText(key))
          else {
            const row = readRow(outboxTable, before)
            ledger.waiting.set(keyText(key), `${row.kind} to ${row.toHost}`)
          }
          break
        case journalTable.name: {
          if (after === undefined) break
          const { seq, digest, trigger } = readRow(journalTable, after)
          ledger.entries = ledger.entries.filter((entry) => entry.seq < seq)
          if (digest !== undefined) ledger.acted.delete(`${trigger} ${keyText(digest)}`)
          break
        }
        case deadlineTable.name:
          if (before === undefined) ledger.deadlines.delete(keyText(key))
          else ledger.deadlines.set(keyText(key), readRow(deadlineTable, before).name)
          break
        case revocationTable.name:
          if (before === undefined) ledger.revoked = new Set()
          else onRevocations(host, ledger, { table, key, before: after, after: before })
          break
        default:
      }
    }
    for (const [digest, batch] of ledger.told) if (batch > ledger.flushedBatch) ledger.told.delete(digest)
  }

  return {
    committed,
    lost,
    flushed: (host, batch) => {
      const ledger = ledgerOf(host)
      ledger.flushedBatch = Math.max(ledger.flushedBatch, batch)
      // What is on disk is never taken back: the end is all that the next entry is held against.
      if (batch >= ledger.lastBatch) ledger.entries = ledger.entries.slice(-1)
    },
    started: (host) => {
      // What a ledger holds when it is opened is what was on disk.
      const ledger = ledgerOf(host)
      ledger.flushedBatch = ledger.lastBatch
      ledger.isFoundation = false
    },
    isDurable: (host, digest) => {
      const ledger = ledgers.get(host)
      const batch = ledger?.told.get(digest)
      return batch !== undefined && batch <= (ledger as Ledger).flushedBatch
    },
    isCommitted: (host, digest) => ledgers.get(host)?.told.has(digest) === true,
    atRest: () => {
      for (const [host, { waiting, deadlines, highestNowMs }] of ledgers) {
        for (const what of waiting.values())
          complain('said without an answer', `${host}: ${what} is still in the outbox`)
        for (const [key, name] of deadlines)
          if (timeOf(key) + SWEEP_GRACE_MS < highestNowMs)
            complain('a deadline did not fire', `${host}: ${name} of ${timeOf(key)}, and it is ${highestNowMs}`)
      }
    },
  }
}

/** Kinds that answer questions as well: whoever asks again is answered anew, in the same words. */
export const ANSWERS_QUESTIONS: ReadonlySet<KindName> = new Set(
  (Object.keys(KINDS) as KindName[])
    .filter((kind) => KINDS[kind].id === null)
    .flatMap((kind) => kindRow(kind).answeredBy as readonly KindName[]),
)

/** Under which a ledger is asked whether it holds an answer to questions that says this, whatever its envelope. */
export const bodyKey = (body: Uint8Array): string => `body ${keyText(hash(body))}`

/** The number that a key begins with: 8 bytes, big-endian. */
const timeOf = (key: string): number => {
  let value = 0
  for (let at = 0; at < 8; at++) value = value * 256 + key.charCodeAt(at)
  return value
}
