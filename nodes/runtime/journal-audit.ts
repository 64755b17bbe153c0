/**
 * Is a journal the one that was written? Read from the bytes as they stand in the store, so that a row which cannot even be decoded
 * is found as well. Each entry holds the hash of the one before, and the ledger's head that of the last; keys and entries
 * are numbered alike, without gaps. Whoever can write the whole file anew, head included, makes a journal that holds: what
 * the counterparties signed, and their own journals, speak against that one.
 */
import { equalBytes } from '../../protocol/bytes.ts'
import { hash } from '../../protocol/hash.ts'
import { bearsPinKey, KIND_NAMES, KINDS, type KindName } from '../../protocol/kinds.ts'
import { parseFrame } from '../../protocol/seals.ts'
import { NO_HASH } from './journal.ts'
import { frameTable, headTable, journalTable, type HeadRow, type JournalRow } from './runtime-tables.ts'
import type { Store } from './store.ts'
import { keyOf } from './table.ts'

export const PROBLEM_KINDS = [
  'edited',
  'removed',
  'inserted',
  'reordered',
  'unreadable',
  'head',
  'frame',
  'postings',
  'figure',
] as const
export type LedgerProblem = {
  /** What happened to it: an entry, the head, an entry's frame or postings, or a figure that no entry explains. */
  readonly kind: (typeof PROBLEM_KINDS)[number]
  /** The entry; 0 where none is to be named. */
  readonly seq: number
  readonly text: string
}

export type JournalAudit = {
  readonly entries: number
  readonly frames: number
  readonly problems: readonly LedgerProblem[]
}

export type JournalAuditOptions = {
  /** Each entry that could be read, in order: for sums over all of them. */
  readonly onEntry?: (row: JournalRow) => void
}

/** An entry as it stands: under which number, what it says, and what it hashes to. */
type Standing = { readonly at: number; readonly row: JournalRow; readonly hash: Uint8Array }
/** Entries in a row, from the one at `from`, that stand `by` places behind (or, negative, before) the number they bear. */
type Shift = { readonly from: number; readonly by: number; count: number }
/** Of entries that stand in each other's places as many are named one by one. */
const MAX_NAMED = 8

/**
 * An entry is told as edited when the next one was chained to other content (of the last one: when the head was); as inserted when it
 * bears no number of its own or the next one follows the one before it; as removed when its number is missing; as reordered when it
 * stands under another's number.
 */
export const auditJournal = (
  store: Pick<Store, 'get' | 'range'>,
  { onEntry = () => {} }: JournalAuditOptions = {},
): JournalAudit => {
  const problems: LedgerProblem[] = []
  const report = (kind: LedgerProblem['kind'], seq: number, text: string): void =>
    void problems.push({ kind, seq, text })
  let entries = 0
  let frames = 0
  let lastAt = 0
  let last: Standing | undefined
  /** The one before `last`, and what is wrong between the two: it depends on the one after. */
  let before: Standing | undefined
  let broken: Standing | undefined
  let shift: Shift | undefined

  const settleBroken = (): void => {
    if (broken !== undefined)
      report('edited', broken.at, `entry ${broken.at} is not what entry ${broken.at + 1} was chained to`)
    broken = undefined
  }
  const endShift = (): void => {
    if (shift === undefined) return
    const { from, by, count } = shift
    for (let at = from; at < from + Math.min(count, MAX_NAMED); at++)
      report('reordered', at, `in the place of entry ${at} stands entry ${at - by}`)
    if (count > MAX_NAMED) report('reordered', from + MAX_NAMED, `and ${count - MAX_NAMED} more after it`)
    shift = undefined
  }

  const linked = (one: Standing): void => {
    if (last === undefined) {
      if (one.at === 1 && one.row.seq === 1 && !equalBytes(one.row.prevHash, NO_HASH))
        report('edited', 1, 'entry 1 says that something came before it')
    } else if (one.at === last.at + 1 && one.at - one.row.seq === last.at - last.row.seq) {
      const holds = equalBytes(one.row.prevHash, last.hash)
      if (!holds && before !== undefined && equalBytes(one.row.prevHash, before.hash)) {
        report(
          'inserted',
          last.at,
          `entry ${one.at} was chained to entry ${before.at}: entry ${last.at} was put between them`,
        )
        broken = undefined
      } else {
        settleBroken()
        if (!holds) broken = last
      }
    } else settleBroken()
  }

  const numbered = (at: number, seq: number): void => {
    const by = at - seq
    if (shift !== undefined && shift.by !== by) endShift()
    if (shift !== undefined) shift.count += 1
    else if (by !== 0) shift = { from: at, by, count: 1 }
  }
  const placed = (at: number): void => {
    const until = at - 1
    if (until <= lastAt) return
    endShift()
    const first = lastAt + 1
    report('removed', first, first === until ? `entry ${first} is missing` : `entries ${first} to ${until} are missing`)
  }

  for (const [key, bytes] of store.range(journalTable.name)) {
    entries += 1
    const at = key.length === 8 ? Number(readNumber(key)) : 0
    if (at === 0) {
      report('inserted', lastAt, `behind entry ${lastAt} stands one whose key is no number of an entry`)
      continue
    }
    placed(at)
    lastAt = at
    let row: JournalRow
    try {
      row = entryOf(bytes)
    } catch {
      settleBroken()
      report('unreadable', at, `entry ${at} can not be read`)
      last = undefined
      before = undefined
      continue
    }
    const one: Standing = { at, row, hash: hash(bytes) }
    numbered(at, row.seq)
    linked(one)
    for (const problem of problemsOfPostings(row)) report('postings', at, `entry ${at}: ${problem}`)
    const frame = frameProblem(store, at, row)
    if (frame.stands) frames += 1
    if (frame.problem !== undefined) report('frame', at, `entry ${at}: ${frame.problem}`)
    onEntry(row)
    before = last
    last = one
  }
  settleBroken()
  const end = endOf(store)
  // Everything up to the end is moved: entries are missing before it, or more than belong there.
  const moved = shift
  if (moved !== undefined && end.head !== undefined && lastAt - end.head.seq === moved.by) {
    const { from, by } = moved
    const what = Math.abs(by) === 1 ? 'an entry was' : `${Math.abs(by)} entries were`
    if (by < 0) report('removed', from, `${what} taken out at ${from}, and all later ones moved up`)
    else report('inserted', from - by, `${what} put in at ${from - by}, and all later ones moved down`)
  } else {
    endShift()
    const problem = end.problem ?? problemOfHead(end.head, last, lastAt)
    if (problem !== undefined) problems.push(problem)
  }
  for (const [key] of store.range(frameTable.name))
    if (key.length !== 8 || store.get(journalTable.name, key) === undefined)
      report('frame', key.length === 8 ? Number(readNumber(key)) : 0, 'a frame is kept of an entry that is not there')
  return { entries, frames, problems: problems.toSorted((a, b) => a.seq - b.seq) }
}

const readNumber = (key: Uint8Array): bigint => key.reduce((number, byte) => number * 256n + BigInt(byte), 0n)

type End = { readonly head: HeadRow | undefined; readonly problem: LedgerProblem | undefined }
const endOf = (store: Pick<Store, 'get'>): End => {
  const bytes = store.get(headTable.name, keyOf('head'))
  try {
    return { head: bytes === undefined ? undefined : headTable.decode(bytes), problem: undefined }
  } catch {
    return { head: undefined, problem: { kind: 'head', seq: 0, text: "the ledger's head can not be read" } }
  }
}

/** @param end the number under which the last entry stands; 0 when there is none */
const problemOfHead = (
  head: HeadRow | undefined,
  last: Standing | undefined,
  end: number,
): LedgerProblem | undefined => {
  if (head === undefined)
    return end === 0 ? undefined : { kind: 'head', seq: end, text: 'the ledger has entries and no head' }
  const { seq } = head
  if (end > seq)
    return {
      kind: 'inserted',
      seq: seq + 1,
      text: `behind entry ${seq}, the last that the head names, stand ${end - seq}`,
    }
  if (end < seq)
    return { kind: 'removed', seq: end + 1, text: `the head names ${seq} entries: the last ${seq - end} are missing` }
  const stands = last === undefined || last.row.seq !== last.at || equalBytes(last.hash, head.hash)
  if (stands) return undefined
  return { kind: 'head', seq, text: `entry ${seq}, the last, is not what the head says: one of the two was edited` }
}

/** Postings of one entry add up to zero in each currency (design §8 check 1). */
const problemsOfPostings = ({ postings }: JournalRow): readonly string[] => {
  const sums = new Map<string, bigint>()
  for (const [, currency, amountMinor] of postings) sums.set(currency, (sums.get(currency) ?? 0n) + amountMinor)
  return [...sums]
    .filter(([, sum]) => sum !== 0n)
    .map(([currency, sum]) => `its postings in ${currency} add up to ${sum}, not to zero`)
}

const isText = (value: unknown): value is string => typeof value === 'string'
const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array
const isAbsentOr = (value: unknown, is: (one: unknown) => boolean): boolean => value === undefined || is(value)
const areRows = (value: unknown, fields: readonly ((one: unknown) => boolean)[]): boolean =>
  Array.isArray(value) &&
  value.every((row) => Array.isArray(row) && row.length === fields.length && fields.every((is, at) => is(row[at])))

/**
 * What was written by a node has its fields' types; bytes that were changed may still decode, to anything.
 * @throws what the decoder throws, and TypeError when a field is not of its type
 */
const entryOf = (bytes: Uint8Array): JournalRow => {
  const row = journalTable.decode(bytes)
  const whole =
    Number.isSafeInteger(row.seq) &&
    Number.isSafeInteger(row.atMs) &&
    isBytes(row.prevHash) &&
    isText(row.trigger) &&
    isText(row.name) &&
    isAbsentOr(row.digest, isBytes) &&
    [row.event, row.from, row.refused, row.fields].every((one) => isAbsentOr(one, isText)) &&
    Array.isArray(row.ids) &&
    row.ids.every(isBytes) &&
    areRows(row.sends, [isText, isText, isBytes]) &&
    areRows(row.postings, [isText, isText, (amount) => typeof amount === 'bigint'])
  if (!whole) throw new TypeError('a field of the entry is not of its type')
  return row
}

const isKind = (name: string): name is KindName => (KIND_NAMES as readonly string[]).includes(name)

/** Of a message with a business id, other than those that bear a PIN key, the frame is kept, and its digest is the entry's. */
const frameProblem = (
  store: Pick<Store, 'get'>,
  at: number,
  { trigger, name, digest }: JournalRow,
): { readonly stands: boolean; readonly problem: string | undefined } => {
  const kept = store.get(frameTable.name, keyOf(at))
  if (kept === undefined) {
    const due = trigger === 'message' && isKind(name) && KINDS[name].id !== null && !bearsPinKey(name)
    return { stands: false, problem: due ? `the frame of its ${name} is missing` : undefined }
  }
  if (digest === undefined) return { stands: true, problem: 'a frame is kept of what was no message' }
  let frame: Uint8Array
  try {
    frame = frameTable.decode(kept).frame
  } catch {
    return { stands: true, problem: 'its frame can not be read' }
  }
  const parsed = parseFrame(frame)
  if (!parsed.ok) return { stands: true, problem: `its frame is none any more (${parsed.failure.code})` }
  return {
    stands: true,
    problem: equalBytes(parsed.value.digest, digest)
      ? undefined
      : 'its frame is not of the message that the entry names',
  }
}
