/** What hostile input may leave behind: nothing, or only what a case names. For tests only. */
import { expect } from 'vitest'
import { equalBytes, toHex } from '../../../protocol/bytes.ts'
import { keyBytes } from '../../runtime/sorted-map.ts'
import { headTable, heardTable, journalTable } from '../../runtime/runtime-tables.ts'
import type { Report } from '../../runtime/reports.ts'
import type { LogLine, Sent, World } from './world.ts'

/** Tables in which rows may be added; no row that was there may change or go. */
export type Added = readonly string[]
/** A refusal that is stored, so that the same message gets the same answer, and its journal entry. */
export const STORED_ANSWER: Added = ['~seen', '~seen-prune', '~journal', '~frames']
/** A chain that a frame, or a data center asked because of it, has shown and that holds. */
export const CREDENTIALS: Added = ['~credentials', '~credential-ids']
/** A payment that was refused, as the CPP and the wallet remember it. */
export const REFUSED_PAYMENT: Added = [...STORED_ANSWER, 'payments', 'refused-requests']

type Row = { readonly host: string; readonly table: string; readonly key: string; readonly value: Uint8Array }
type Picture = {
  readonly rows: ReadonlyMap<string, Row>
  readonly reports: ReadonlyMap<string, Report>
  readonly seqs: ReadonlyMap<string, number>
}
const pictureOf = ({ sim, report }: World): Picture => {
  const rows = new Map<string, Row>()
  const hosts = sim.hosts()
  for (const { id, store } of hosts)
    for (const row of store().rows())
      // Time that has passed is no change; where the journal ends, and which entry of it is a peer's newest, follows from
      // the journal's rows, which are compared.
      if (row.table !== headTable.name && row.table !== heardTable.name)
        rows.set(`${id}\0${row.table}\0${row.key}`, { host: id, ...row })
  return {
    rows,
    reports: new Map(hosts.map(({ id }) => [id, report(id)])),
    seqs: new Map(hosts.map(({ id, host }) => [id, host().lastSeq()])),
  }
}
const nameOf = ({ host, table, key }: Row): string => `${host} ${table} ${toHex(keyBytes(key))}`

/** What `act` caused: messages and log lines with a code. */
export type Caused = { readonly sent: readonly Sent[]; readonly lines: readonly LogLine[] }

/**
 * Runs `act` and the network, and expects every ledger and every report as before, no host stopped, and nothing new under way.
 * `added` names the tables that may have new rows; an entry added to a journal moves no money.
 */
export const nothingChanged = async (
  world: World,
  act: () => void | Promise<void>,
  added: Added = [],
): Promise<Caused> => {
  const { sim, sent, lines } = world
  await sim.run()
  const before = pictureOf(world)
  const [sentBefore, linesBefore] = [sent.length, lines.length]
  await act()
  await sim.run()
  const after = pictureOf(world)
  const changes: string[] = []
  for (const [name, row] of before.rows) {
    const now = after.rows.get(name)
    if (now === undefined) changes.push(`gone: ${nameOf(row)}`)
    else if (now.value !== row.value && !equalBytes(now.value, row.value)) changes.push(`changed: ${nameOf(row)}`)
  }
  for (const [name, row] of after.rows)
    if (!before.rows.has(name) && !added.includes(row.table)) changes.push(`added: ${nameOf(row)}`)
  expect(changes).toEqual([])
  expect(after.reports).toEqual(before.reports)
  for (const { id, store, fatal } of sim.hosts()) {
    expect([id, fatal()]).toEqual([id, undefined])
    const fresh = [...store().range(journalTable.name)].slice(before.seqs.get(id))
    for (const [, bytes] of fresh) expect([id, journalTable.decode(bytes).postings]).toEqual([id, []])
  }
  return { sent: sent.slice(sentBefore), lines: lines.slice(linesBefore) }
}

/** The codes that this host logged. */
export const codesAt = ({ lines }: Pick<Caused, 'lines'>, host: string): readonly string[] =>
  lines.filter((line) => line.host === host).map(({ code }) => code)

/** For what goes through the whole network and is remembered in many rows: every report is as it was, so no sum has changed. */
export const noMoneyMoved = async (world: World, act: () => Promise<void>): Promise<void> => {
  await world.sim.run()
  const before = pictureOf(world).reports
  await act()
  expect(pictureOf(world).reports).toEqual(before)
}
