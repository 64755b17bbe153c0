/**
 * A ledger's journal: a chain without a gap, postings that balance, and accounts of the postings that are what the node's own tables say.
 */
import { Buffer } from 'node:buffer'
import { journalTable, type JournalRow } from '../../../nodes/runtime/runtime-tables.ts'
import { rowOf, sums, type Desk } from './rows.ts'
import type { RowChange } from '../observed.ts'
import { hashRow } from '../read-once.ts'

export type JournalBooks = {
  readonly entry: (change: RowChange, sign: 1n | -1n, judge: boolean) => void
  /** `<account> <currency>`: by how much the node's tables say that it changed. */
  readonly shows: (account: string, minor: bigint) => void
  readonly settle: () => void
  readonly clear: () => void
}

export const auditJournal = (
  desk: Desk,
  triggers: Set<string>,
  isShown: (account: string) => boolean,
): JournalBooks => {
  const { host, broken } = desk
  const off = sums()
  const touched = new Set<string>()
  const rows = new Map<number, Uint8Array>()
  let head = 0
  let added: (readonly [JournalRow, Uint8Array])[] = []

  const show = (account: string, minor: bigint): void => {
    off.add(account, minor)
    touched.add(account)
  }
  const balance = ({ seq, trigger, name, postings }: JournalRow): void => {
    const [first] = postings
    if (first === undefined) return
    const byCurrency = new Map<string, bigint>()
    for (const [, currency, minor] of postings) byCurrency.set(currency, (byCurrency.get(currency) ?? 0n) + minor)
    for (const [currency, minor] of byCurrency)
      if (minor !== 0n)
        broken('an entry does not balance', `${host} journal ${seq}, ${trigger} ${name}: ${minor} ${currency}`)
  }

  return {
    entry: ({ before, after }, sign, judge) => {
      const bytes = (after ?? before) as Uint8Array
      const row = rowOf(journalTable, bytes) as JournalRow
      for (const [account, currency, minor] of row.postings)
        if (isShown(account)) show(`${account} ${currency}`, -sign * minor)
      if (sign === -1n) {
        rows.delete(row.seq)
        head = Math.min(head, row.seq - 1)
        return
      }
      rows.set(row.seq, bytes)
      head = Math.max(head, row.seq)
      if (!judge) return
      if (before !== undefined) broken('the journal was changed', `${host} journal ${row.seq}`)
      triggers.add(`${row.trigger} ${row.name}`)
      added.push([row, bytes])
    },
    shows: show,
    settle: () => {
      for (const [row] of added) {
        balance(row)
        const former = rows.get(row.seq - 1)
        if (row.seq > 1 && (former === undefined || Buffer.compare(hashRow(former), row.prevHash) !== 0))
          broken('the journal is broken', `${host} journal ${row.seq} does not follow its former`)
      }
      if (head !== rows.size) broken('the journal is broken', `${host}: ${rows.size} entries, the last is ${head}`)
      for (const account of touched)
        if (off.get(account) !== 0n)
          broken('the journal says another sum', `${host} ${account}: off by ${off.get(account)}`)
    },
    clear: () => {
      touched.clear()
      added = []
    },
  }
}
