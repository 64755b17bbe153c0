/**
 * An independent auditor of money (design §8). It sees the rows that ledgers commit, lose and bring to disk, and what people did and were
 * told; it adds up everything itself, by none of the nodes' rules, and says after each event what broke a rule. Judging a batch costs
 * what the batch changed.
 *
 * Invariant: what a crash took back, it has taken back too: it always judges the ledgers that are there.
 */
import { journalTable, policyTable, type PolicyRow } from '../../nodes/runtime/runtime-tables.ts'
import { auditBank } from './books/bank.ts'
import { auditCpp } from './books/cpp.ts'
import { createFacts, type Facts } from './books/facts.ts'
import { auditJournal, type JournalBooks } from './books/journal.ts'
import { auditMpp } from './books/mpp.ts'
import { auditMerchant, auditWallet } from './books/parties.ts'
import { judgeRest, keepTold } from './books/rest.ts'
import { rowOf, type Auditor, type Change, type Desk, type Reading } from './books/rows.ts'
import { readTerms, type Terms } from './books/terms.ts'
import type { Finding, Observer, RowChange } from './observed.ts'
import type { HostRole, Topology } from './world.ts'

/** Accounts of postings that a node's own tables show too. */
const SHOWN: Readonly<Partial<Record<HostRole, RegExp>>> = {
  bank: /./,
  cpp: /^(customer|payable|fx):/,
  mpp: /^(receivable|accrued|payable|refunding|paying):/,
}
/** Read before others: they say who is meant. */
const FIRST: readonly string[] = [
  policyTable.name,
  'accounts',
  'customers',
  'payees',
  'fx-quotes',
  'payments',
  'notices',
]
const placeOf = ({ table }: RowChange): number => {
  const place = FIRST.indexOf(table)
  return place < 0 ? FIRST.length : place
}

type HostBooks = {
  readonly apply: (changes: readonly RowChange[], sign: 1n | -1n, judge: boolean) => void
  readonly flushed: (batch: number) => void
  readonly later: { current: number; facts: [batch: number, act: () => void][] }
  readonly auditor: Auditor
}

/** @param topology who is who; hosts that join later are not judged */
export const createBooks = (topology: Topology): Observer => {
  const facts = createFacts()
  let found: Finding[] = []
  const told = keepTold(facts, (finding) => void found.push(finding))
  const hosts = new Map<string, HostBooks>()
  const begun = new Set<string>()
  for (const { id, role } of topology.hosts)
    if (role !== 'dc')
      hosts.set(
        id,
        booksOf(id, role, facts, (finding) => void found.push(finding)),
      )

  return {
    committed: (host, batch, changes) => {
      const books = hosts.get(host)
      if (books === undefined) return
      books.later.current = batch
      // What a ledger held when the simulation began is its first batch.
      if (begun.has(host)) books.apply(changes, 1n, true)
      else {
        begun.add(host)
        const ordered = changes.toSorted((a, b) => placeOf(a) - placeOf(b))
        books.apply(ordered, 1n, false)
      }
    },
    flushed: (host, batch) => hosts.get(host)?.flushed(batch),
    lost: (host, changes) => {
      const books = hosts.get(host)
      if (books === undefined) return
      books.later.facts = []
      books.apply(changes, -1n, false)
    },
    told: (fact) => told.hear(fact),
    check: () => {
      if (found.length === 0) return []
      const now = found
      found = []
      return now
    },
    atRest: () => {
      for (const { auditor } of hosts.values()) auditor.atRest()
      judgeRest(topology, facts, told, (finding) => void found.push(finding))
      const now = found
      found = []
      return now
    },
  }
}

const booksOf = (host: string, role: HostRole, facts: Facts, say: (finding: Finding) => void): HostBooks => {
  const later: HostBooks['later'] = { current: 0, facts: [] }
  const triggers = new Set<string>()
  const desk: Desk = {
    host,
    broken: (rule, detail, payment) => say(payment === undefined ? { rule, detail } : { rule, detail, payment }),
    later: (act) => void later.facts.push([later.current, act]),
    triggers,
  }
  const shown = SHOWN[role]
  const journal = auditJournal(desk, triggers, (account) => shown?.test(account) === true)
  /** In force; and those that this batch put out of force. */
  let terms: readonly Terms[] = []
  const auditor = auditorOf(role, desk, facts, journal, () => terms)
  const readings = new Map<string, Reading[]>()
  for (const one of auditor.readings) readings.set(one.table.name, [...(readings.get(one.table.name) ?? []), one])

  const readPolicy = (bytes: Uint8Array | undefined): Terms | undefined => {
    const row = rowOf(policyTable, bytes) as PolicyRow | undefined
    return row === undefined ? undefined : readTerms(row.policy)
  }
  const readRow = ({ table, key, before, after }: RowChange, sign: 1n | -1n, judge: boolean): void => {
    const [from, to] = sign === 1n ? [before, after] : [after, before]
    if (table === policyTable.name) {
      const [former, now] = [readPolicy(from), readPolicy(to)]
      terms = [former, now].filter((one) => one !== undefined)
      if (now !== undefined)
        for (const currency of now.currencies)
          facts.ownAccounts.set(`${host} ${currency}`, now.ownAccount(currency) as string)
    }
    if (table === journalTable.name) journal.entry({ table, key, before, after }, sign, judge)
    for (const one of readings.get(table) ?? [])
      one.apply({ key, before: rowOf(one.table, from), after: rowOf(one.table, to), judge } as Change<never>)
  }

  return {
    later,
    auditor,
    apply: (changes, sign, judge) => {
      for (const change of changes)
        if (change.table === journalTable.name || change.table === policyTable.name) readRow(change, sign, judge)
      for (const change of changes)
        if (change.table !== journalTable.name && change.table !== policyTable.name) readRow(change, sign, judge)
      if (sign === 1n) {
        auditor.settle(judge)
        journal.settle()
      }
      auditor.clear()
      journal.clear()
      triggers.clear()
      terms = terms.slice(-1)
    },
    flushed: (batch) => {
      const { facts: waiting } = later
      let count = 0
      while (count < waiting.length && (waiting[count] as [number, unknown])[0] <= batch) count++
      for (const [, act] of waiting.splice(0, count)) act()
    },
  }
}

const NONE: Auditor = { readings: [], settle: () => {}, clear: () => {}, atRest: () => {} }
const auditorOf = (
  role: HostRole,
  desk: Desk,
  facts: Facts,
  journal: JournalBooks,
  terms: () => readonly Terms[],
): Auditor => {
  switch (role) {
    case 'bank':
      return auditBank(desk, facts, journal)
    case 'cpp':
      return auditCpp(desk, facts, journal, terms)
    case 'mpp':
      return auditMpp(desk, facts, journal)
    case 'merchant':
      return auditMerchant(desk, facts)
    case 'customer':
      return auditWallet(desk, facts)
    case 'dc':
      return NONE
  }
}
