/** The audit of real nodes' ledgers: nothing is found in what they wrote, and what was edited afterwards is. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ledger, type TotalRow } from '../../nodes/cpp/state.ts'
import { lockLedger } from '../../nodes/runtime/ledger-lock.ts'
import { lmdbStore } from '../../nodes/runtime/lmdb-store.ts'
import { journalTable } from '../../nodes/runtime/runtime-tables.ts'
import { keyBytes } from '../../nodes/runtime/sorted-map.ts'
import { keyOf } from '../../nodes/runtime/table.ts'
import { buildWholeNetwork, type WholeNetwork } from '../../nodes/runtime/whole-network.ts'
import { CliError } from '../cli/errors.ts'
import { auditLedger, auditStore, ledgerAuditLines } from './audit-ledger.ts'

let network: WholeNetwork
let directory: string
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'semops-audit-'))
  network = await buildWholeNetwork('audit')
  for (const amountMinor of ['120', '950', '300', '5000']) await network.pay('hu', 'ro-bakery', amountMinor)
  await network.sim.advance(60_000, 500)
}, 120_000)
afterAll(() => rmSync(directory, { recursive: true }))

/** The CPP's ledger as a file, with one row changed on the way. */
const written = async (name: string, change?: { table: string; key: Uint8Array; value: Uint8Array }) => {
  const path = join(directory, `${name}.mdb`)
  const store = lmdbStore(path)
  const rows = [...network.sim.host('hu-cpp').store().rows()]
  await store.commit(rows.map(({ table, key, value }) => ({ table, key: keyBytes(key), value })))
  if (change !== undefined) await store.commit([change])
  await store.flushed()
  await store.close()
  return path
}

describe('the audit of a ledger', { timeout: 60_000 }, () => {
  it('finds nothing in the ledger of any role', () => {
    for (const { id, store } of network.sim.hosts()) {
      const { problems, entries } = auditStore(store())
      expect([id, problems]).toEqual([id, []])
      if (id === 'hu-cpp') expect(entries).toBeGreaterThan(10)
    }
  })

  it('reads a file, and says so in words', async () => {
    const audit = await auditLedger(await written('whole'))
    expect(audit).toMatchObject({ ok: true, problems: [] })
    const output = { rows: () => [], style: (_style: string, text: string) => text }
    expect(ledgerAuditLines(audit, output)).toEqual([
      `the journal is whole: ${audit.entries} entries and ${audit.frames} frames`,
    ])
  })

  it('finds a total that was edited past the journal', async () => {
    const store = network.sim.host('hu-cpp').store()
    const key = keyOf('hu-alice')
    const total = ledger.decode(store.get(ledger.name, key) as Uint8Array) as TotalRow
    const less = ledger.encode({ ...total, outstandingMinor: total.outstandingMinor + 1n })
    const { ok, problems } = await auditLedger(await written('total', { table: ledger.name, key, value: less }))
    expect(ok).toBe(false)
    expect(problems.map(({ kind }) => kind)).toEqual(['figure', 'figure'])
  })

  it('names an entry that was edited', async () => {
    const store = network.sim.host('hu-cpp').store()
    const key = keyOf(5)
    const row = journalTable.decode(store.get(journalTable.name, key) as Uint8Array)
    const value = journalTable.encode({ ...row, atMs: row.atMs + 1 })
    const { problems } = await auditLedger(await written('entry', { table: journalTable.name, key, value }))
    expect(problems).toMatchObject([{ kind: 'edited', seq: 5 }])
  })

  it('refuses what holds no ledger, and one that is in use', async () => {
    await expect(auditLedger(join(directory, 'none'))).rejects.toThrow(CliError)
    await expect(auditLedger(directory)).rejects.toThrow(CliError)
    const lock = lockLedger(directory)
    await expect(auditLedger(join(directory, 'whole.mdb'))).rejects.toThrow('in use')
    lock.release()
  })
})
