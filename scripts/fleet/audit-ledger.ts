/**
 * The audit of a stopped node's ledger, from its directory alone: no keys and no configuration are needed. Nothing is written;
 * the ledger's lock is held meanwhile, so that no host starts on it.
 */
import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { auditCustomers } from '../../nodes/cpp/audit-ledger.ts'
import { auditJournal, type LedgerProblem } from '../../nodes/runtime/journal-audit.ts'
import { LedgerLocked, lockLedger, type LedgerLock } from '../../nodes/runtime/ledger-lock.ts'
import { LedgerDamaged, lmdbStore } from '../../nodes/runtime/lmdb-store.ts'
import { createStaged } from '../../nodes/runtime/staged.ts'
import type { Store } from '../../nodes/runtime/store.ts'
import { RowVersionError } from '../../nodes/runtime/table.ts'
import { CliError } from '../cli/errors.ts'
import type { Output } from '../cli/output.ts'

export type LedgerAudit = {
  readonly ok: boolean
  readonly entries: number
  readonly frames: number
  readonly problems: readonly LedgerProblem[]
}

const LEDGER_FILE = 'ledger.mdb'

/**
 * @param path a ledger's directory, or the file in it
 * @throws CliError when there is no ledger, or a host has it open
 */
export const auditLedger = async (path: string): Promise<LedgerAudit> => {
  const file = existsSync(path) && statSync(path).isDirectory() ? join(path, LEDGER_FILE) : path
  if (!existsSync(file))
    throw new CliError('usage', `${path} holds no ledger: give a directory with ${LEDGER_FILE} in it`)
  const lock = locked(dirname(file), path)
  try {
    const store = openStore(file)
    try {
      return auditStore(store)
    } finally {
      await store.close()
    }
  } finally {
    lock.release()
  }
}

/** Journal, head and frames; the sums of a CPP's customers, where there are any. */
export const auditStore = (store: Pick<Store, 'get' | 'range'>): LedgerAudit => {
  const posted = new Map<string, bigint>()
  const { entries, frames, problems } = auditJournal(store, {
    onEntry: ({ postings }) => {
      for (const [account, currency, amountMinor] of postings) {
        const name = `${account} ${currency}`
        posted.set(name, (posted.get(name) ?? 0n) + BigInt(amountMinor))
      }
    },
  })
  const all = [...problems, ...figureProblems(store, posted)]
  return { ok: all.length === 0, entries, frames, problems: all }
}

const figureProblems = (
  store: Pick<Store, 'get' | 'range'>,
  posted: ReadonlyMap<string, bigint>,
): readonly LedgerProblem[] => {
  try {
    return auditCustomers(createStaged(store), posted)
  } catch (error) {
    if (error instanceof RowVersionError) throw error
    const text = `rows of money can not be read: ${error instanceof Error ? error.message : String(error)}`
    return [{ kind: 'figure', seq: 0, text }]
  }
}

/** The first line is the verdict. */
export const ledgerAuditLines = (
  { ok, entries, frames, problems }: LedgerAudit,
  { rows, style }: Pick<Output, 'rows' | 'style'>,
): readonly string[] => {
  const looked = `${entries} entries and ${frames} frames`
  if (ok) return [style('green', `the journal is whole: ${looked}`)]
  return [
    style('red', `${problems.length} problems in ${looked}`),
    '',
    ...rows(
      [
        { title: 'entry', align: 'right', cell: ({ seq }) => (seq === 0 ? '' : String(seq)) },
        { title: 'what', cell: ({ kind }) => kind },
        { title: 'found', cell: ({ text }) => text },
      ],
      problems,
    ),
  ]
}

const locked = (directory: string, path: string): LedgerLock => {
  try {
    return lockLedger(directory)
  } catch (error) {
    if (error instanceof LedgerLocked)
      throw new CliError('environment', `${path} is in use: stop its host first`, { cause: error })
    throw error
  }
}

const openStore = (file: string): Store => {
  try {
    return lmdbStore(file)
  } catch (error) {
    if (error instanceof LedgerDamaged) throw new CliError('environment', error.message, { cause: error })
    throw error
  }
}
