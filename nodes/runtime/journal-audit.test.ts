/** Whatever is done to a journal behind its ledger's back is found, and the entry named. */
import { describe, expect, it } from 'vitest'
import { utf8 } from '../../protocol/bytes.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { makeContent } from '../../protocol/envelope.ts'
import { ENVELOPE_VERSION } from '../../protocol/header.ts'
import { hash } from '../../protocol/hash.ts'
import { signingKeyFromSeed } from '../../protocol/keys.ts'
import { sealOne } from '../../protocol/seals.ts'
import { appendEntry, NO_HASH, type Chain } from './journal.ts'
import { auditJournal } from './journal-audit.ts'
import { memoryStore } from './memory-store.ts'
import { frameTable, headTable, journalTable, type HeadRow, type JournalRow } from './runtime-tables.ts'
import { keyText } from './sorted-map.ts'
import { keyOf } from './table.ts'

const key = signingKeyFromSeed(loadEngine(), hash(utf8('auditor')))
const ENTRIES = 7

const frameOf = (at: number) => {
  const content = makeContent(
    {
      version: ENVELOPE_VERSION,
      networkId: new Uint8Array(16),
      kind: 'payment-decision',
      bodyVersion: 1,
      messageId: hash(utf8(`message ${at}`)).slice(0, 16),
      from: 'hu-shop-1',
      to: 'hu-cosmo',
      sentAtMs: 1_000 + at,
      expiresAtMs: undefined,
      correlationId: undefined,
      bodyForm: 'plain',
    },
    utf8(`body ${at}`),
  )
  return { frame: sealOne(content, key), digest: content.digest }
}

const entryOf = (at: number, amountMinor = 5n): Omit<JournalRow, 'seq' | 'prevHash'> => ({
  atMs: 1_000 + at,
  trigger: 'message',
  name: 'payment-decision',
  digest: frameOf(at).digest,
  ids: [],
  sends: [],
  postings: [
    ['customer:hu-alice', 'EUR', -amountMinor],
    ['payable:hu-cosmo', 'EUR', amountMinor],
  ],
})

/** Rows under their keys' text, to be changed before they are audited. */
type Rows = { journal: Map<string, Uint8Array>; frames: Map<string, Uint8Array>; head: HeadRow | undefined }
const at = (seq: number): string => keyText(keyOf(seq))

const written = (entries = ENTRIES): Rows => {
  const rows: Rows = { journal: new Map(), frames: new Map(), head: undefined }
  let chain: Chain = { seq: 0, hash: NO_HASH }
  for (let n = 1; n <= entries; n++) {
    const next = appendEntry(chain, entryOf(n))
    chain = next.chain
    rows.journal.set(at(n), next.bytes)
    rows.frames.set(at(n), frameTable.encode({ frame: frameOf(n).frame }))
  }
  rows.head = { host: 'hu-otp', networkId: new Uint8Array(16), ...chain, highestNowMs: 2_000 }
  return rows
}

const audited = async ({ journal, frames, head }: Rows) => {
  const store = memoryStore((_what, run) => run())
  const rows = (table: string, of: ReadonlyMap<string, Uint8Array>) =>
    [...of].map(([text, value]) => ({ table, key: new Uint8Array(Buffer.from(text, 'latin1')), value }))
  await store.commit([
    ...rows(journalTable.name, journal),
    ...rows(frameTable.name, frames),
    ...(head === undefined ? [] : [{ table: headTable.name, key: keyOf('head'), value: headTable.encode(head) }]),
  ])
  return auditJournal(store)
}
const named = async (rows: Rows) => (await audited(rows)).problems.map(({ kind, seq }) => `${kind} ${seq}`)
const bytesAt = (rows: Rows, seq: number): Uint8Array => rows.journal.get(at(seq)) as Uint8Array
const edit = (rows: Rows, seq: number, change: Partial<JournalRow>): void => {
  rows.journal.set(at(seq), journalTable.encode({ ...journalTable.decode(bytesAt(rows, seq)), ...change }))
}
/** Moves all entries from `from` on by `by` places, frames with them, as who wants no gap would. */
const move = (rows: Rows, from: number, by: 1 | -1): void => {
  for (const table of [rows.journal, rows.frames]) {
    const later = Array.from({ length: ENTRIES - from + 1 }, (_, n) => [from + n, table.get(at(from + n))] as const)
    for (const [seq] of later) table.delete(at(seq))
    for (const [seq, value] of later) table.set(at(seq + by), value as Uint8Array)
  }
}

describe('the audit of a journal', () => {
  it('finds nothing in what was written', async () => {
    expect(await audited(written())).toEqual({ entries: ENTRIES, frames: ENTRIES, problems: [] })
    expect(await audited({ journal: new Map(), frames: new Map(), head: undefined })).toEqual({
      entries: 0,
      frames: 0,
      problems: [],
    })
  })

  it('names an edited entry', async () => {
    const rows = written()
    edit(rows, 3, { atMs: 1 })
    expect(await named(rows)).toEqual(['edited 3'])
    const first = written()
    edit(first, 1, { prevHash: hash(utf8('forged')) })
    expect(await named(first)).toEqual(['edited 1', 'edited 1'])
  })

  it('names an edited last entry, and an edited head', async () => {
    const rows = written()
    edit(rows, ENTRIES, { atMs: 1 })
    expect(await named(rows)).toEqual([`head ${ENTRIES}`])
    const head = written()
    head.head = { ...(head.head as HeadRow), hash: hash(utf8('forged')) }
    expect(await named(head)).toEqual([`head ${ENTRIES}`])
    head.head = undefined
    expect(await named(head)).toEqual([`head ${ENTRIES}`])
    const lower = written()
    lower.head = { ...(lower.head as HeadRow), seq: 5 }
    expect(await named(lower)).toEqual(['inserted 6'])
    const higher = written()
    higher.head = { ...(higher.head as HeadRow), seq: 9 }
    expect(await named(higher)).toEqual(['removed 8'])
  })

  it('names a removed entry: left as a gap, with all later ones moved up, or at the end', async () => {
    const gap = written()
    gap.journal.delete(at(4))
    gap.frames.delete(at(4))
    expect(await named(gap)).toEqual(['removed 4'])
    const moved = written()
    move(moved, 5, -1)
    expect(await named(moved)).toEqual(['removed 4'])
    const end = written()
    end.journal.delete(at(ENTRIES))
    end.frames.delete(at(ENTRIES))
    expect(await named(end)).toEqual([`removed ${ENTRIES}`])
  })

  it('names reordered entries', async () => {
    for (const first of [1, 3, ENTRIES - 1]) {
      const rows = written()
      for (const table of [rows.journal, rows.frames]) {
        const [a, b] = [table.get(at(first)), table.get(at(first + 1))] as [Uint8Array, Uint8Array]
        table.set(at(first), b).set(at(first + 1), a)
      }
      expect(await named(rows)).toEqual([`reordered ${first}`, `reordered ${first + 1}`])
    }
  })

  it('names an inserted entry: in between, under a key of its own, or behind the end', async () => {
    const between = written()
    move(between, 4, 1)
    const before = { seq: 3, hash: hash(bytesAt(between, 3)) }
    between.journal.set(at(4), appendEntry(before, entryOf(4, 9n)).bytes)
    between.frames.set(at(4), frameTable.encode({ frame: frameOf(4).frame }))
    expect(await named(between)).toEqual(['inserted 4'])
    const beside = written()
    beside.journal.set(`${at(4)}\0`, bytesAt(beside, 4))
    expect(await named(beside)).toEqual(['inserted 4'])
    const behind = written()
    const end = { seq: ENTRIES, hash: hash(bytesAt(behind, ENTRIES)) }
    behind.journal.set(at(ENTRIES + 1), appendEntry(end, entryOf(ENTRIES + 1)).bytes)
    behind.frames.set(at(ENTRIES + 1), frameTable.encode({ frame: frameOf(ENTRIES + 1).frame }))
    expect(await named(behind)).toEqual([`inserted ${ENTRIES + 1}`])
  })

  it('names a changed, a missing and a foreign frame by its entry', async () => {
    const rows = written()
    rows.frames.set(at(2), frameTable.encode({ frame: frameOf(3).frame }))
    rows.frames.delete(at(5))
    rows.frames.set(at(6), frameTable.encode({ frame: utf8('no frame') }))
    rows.frames.set(at(99), frameTable.encode({ frame: frameOf(99).frame }))
    expect(await named(rows)).toEqual(['frame 2', 'frame 5', 'frame 6', 'frame 99'])
  })

  it('names an entry whose postings do not add up, also where the chain was forged to fit', async () => {
    const rows = written()
    let chain: Chain = { seq: 0, hash: NO_HASH }
    for (let n = 1; n <= ENTRIES; n++) {
      const entry = entryOf(n)
      const { bytes, chain: next } = appendEntry(
        chain,
        n === 3 ? { ...entry, postings: [...entry.postings, ['cash', 'EUR', 1n]] } : entry,
      )
      rows.journal.set(at(n), bytes)
      chain = next
    }
    rows.head = { ...(rows.head as HeadRow), ...chain }
    expect(await named(rows)).toEqual(['postings 3'])
  })

  it('finds every flipped bit of an entry, first, in between or last, at that entry', async () => {
    const rows = written()
    for (const seq of [1, 3, ENTRIES]) {
      const whole = bytesAt(rows, seq)
      for (let bit = 0; bit < whole.length * 8; bit++) {
        const bytes = whole.slice()
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
        rows.journal.set(at(seq), bytes)
        const { problems } = await audited(rows)
        expect(
          problems.some((problem) => problem.seq === seq),
          `bit ${bit} of entry ${seq}`,
        ).toBe(true)
      }
      rows.journal.set(at(seq), whole)
    }
  })
})
