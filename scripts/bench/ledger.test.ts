/** The bench itself: small, with the real rule, rows and store; what it says of speed is not judged here. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { memoryStore } from '../../nodes/runtime/memory-store.ts'
import { journalTable, seenTable } from '../../nodes/runtime/runtime-tables.ts'
import { ledger, type TotalRow } from '../../nodes/cpp/state.ts'
import { createCppLedger, THETA_MINOR } from './cpp-ledger.ts'
import { createDraws } from './draws.ts'
import { createLoad, customerOf, PATTERNS, preload } from './ledger-load.ts'
import { runLedgerBench } from './ledger.ts'
import { ledgerBenchLines } from './ledger-table.ts'

describe('the ledger bench', { timeout: 60_000 }, () => {
  it('measures every pattern, leaves sound ledgers, and takes its files away', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'semops-bench-test-'))
    const report = await runLedgerBench({ quick: true, directory, batchSizes: [1, 128] })
    expect(readdirSync(directory)).toEqual([])
    rmSync(directory, { recursive: true })
    expect(report.problems).toEqual([])
    expect(report.rows.map(({ pattern, batch }) => `${pattern} ${batch}`)).toEqual(
      PATTERNS.flatMap((pattern) => [`${pattern} 1`, `${pattern} 128`]),
    )
    // Total, entry, journal and seen id of each; the head of each batch, and what the first debt of a customer arms.
    for (const { rowsPerAccumulation } of report.rows) expect(rowsPerAccumulation).toBeGreaterThan(3)
    const output = { rows: () => [], style: (_style: string, text: string) => text }
    expect(ledgerBenchLines(report, output).at(-1)).toBe('the ledgers hold afterwards')
  })

  it('goes through the rule: no total ever reaches θ, and what is collected is what was owed', async () => {
    const store = memoryStore((_what, run) => run())
    await preload(store, { customers: 3, entriesEach: 2 }, () => {})
    const cpp = createCppLedger(store, () => 0)
    const load = createLoad('hot', 3, createDraws('rule'))
    let paid = 0
    for (let round = 0; round < 20; round++) {
      const payments = load(8)
      paid += payments.length
      await cpp.room()
      cpp.accumulate(payments, 1_760_000_000_000 + round)
      await cpp.settled()
      for (let number = 0; number < 3; number++) {
        const total = cpp.staged.get(ledger, customerOf(number)) as TotalRow
        expect(total.outstandingMinor).toBeLessThan(THETA_MINOR)
        expect(total.pendingMinor).toBe(0n)
      }
    }
    expect(cpp.collections()).toBeGreaterThan(3)
    expect([...store.range(journalTable.name)]).toHaveLength(paid + cpp.collections())
    expect([...store.range(seenTable.name)]).toHaveLength(paid + 3 * 2)
  })

  it('draws the same load for the same name, and Zipf unevenly', () => {
    const draw = () => createLoad('zipf', 1_000, createDraws('same'))(2_000)
    expect(draw()).toEqual(draw())
    const counts = new Map<number, number>()
    for (const { customer } of draw()) counts.set(customer, (counts.get(customer) ?? 0) + 1)
    expect(Math.max(...counts.values())).toBeGreaterThan(100)
  })
})
