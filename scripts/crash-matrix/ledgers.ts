/** What the ledgers themselves say once everything is down: each journal's chain holds, and no order waited longer for its bank than it had to. */
import { join } from 'node:path'
import { LIMITS } from '../../protocol/limits.ts'
import { lockLedger } from '../../nodes/runtime/ledger-lock.ts'
import { lmdbStore } from '../../nodes/runtime/lmdb-store.ts'
import { journalTable, type JournalRow } from '../../nodes/runtime/runtime-tables.ts'
import { createStaged } from '../../nodes/runtime/staged.ts'
import type { FleetDirectory } from '../fleet/directory.ts'
import { auditLedger } from '../fleet/audit-ledger.ts'
import type { Plan } from '../fleet/plan.ts'
import { bankWaits } from './bank-waits.ts'
import type { Outages } from './outages.ts'

export type LedgerFindings = {
  readonly violations: readonly string[]
  /** Journal entries of all hosts, and orders of CPPs that their banks have seen. */
  readonly entries: number
  readonly orders: number
  /** The latest answer after the first calm sweep since the order, in milliseconds. */
  readonly latestOrderMs: number
}

export const examineLedgers = async (
  directory: FleetDirectory,
  { hosts }: Plan,
  outages: Outages,
  stallMs: number,
): Promise<LedgerFindings> => {
  const violations: string[] = []
  let entries = 0
  for (const { id } of hosts) {
    const audit = await auditLedger(directory.ledger(id))
    entries += audit.entries
    violations.push(...audit.problems.map((problem) => `the ledger of ${id}: ${JSON.stringify(problem)}`))
  }
  const idsOf = (role: 'bank' | 'cpp'): readonly string[] =>
    hosts.filter((host) => host.role === role).map(({ id }) => id)
  const banks = idsOf('bank')
  const ofBanks = (await Promise.all(banks.map((id) => journalOf(directory.ledger(id))))).flat()
  const sweepMs = LIMITS.sweepEveryMs + stallMs
  let orders = 0
  let latestOrderMs = 0
  for (const cpp of idsOf('cpp'))
    for (const { kind, orderId, orderedAtMs, answeredAtMs } of bankWaits(
      cpp,
      await journalOf(directory.ledger(cpp)),
      ofBanks,
    )) {
      orders += 1
      const calm = outages.calmFrom([cpp, ...banks], orderedAtMs, sweepMs)
      const latest = calm + sweepMs
      if (answeredAtMs !== undefined) latestOrderMs = Math.max(latestOrderMs, answeredAtMs - calm - LIMITS.sweepEveryMs)
      if (answeredAtMs === undefined || answeredAtMs > latest)
        violations.push(
          `${kind} ${orderId} of ${cpp}, ordered at ${orderedAtMs}: answered at ${answeredAtMs}, at the latest ${latest}`,
        )
    }
  return { violations, entries, orders, latestOrderMs }
}

const journalOf = async (ledger: string): Promise<readonly JournalRow[]> => {
  const lock = lockLedger(ledger)
  const store = lmdbStore(join(ledger, 'ledger.mdb'))
  try {
    return [...createStaged(store).scan(journalTable, [])].map(([, row]) => row)
  } finally {
    await store.close()
    lock.release()
  }
}
