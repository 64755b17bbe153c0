/** The file of a ledger whose host does not run, under the host's own lock. */
import { chmod } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Chain } from '../../nodes/runtime/journal.ts'
import { LedgerLocked, lockLedger, type LedgerLock } from '../../nodes/runtime/ledger-lock.ts'
import { headOf } from '../../nodes/runtime/ledger-desk.ts'
import { LedgerDamaged, lmdbStore, type LmdbStore } from '../../nodes/runtime/lmdb-store.ts'
import { createStaged } from '../../nodes/runtime/staged.ts'
import { headTable } from '../../nodes/runtime/runtime-tables.ts'
import { CliError } from '../cli/errors.ts'

export const LEDGER = 'ledger.mdb'

export type StoppedLedger = {
  readonly head: Chain
  /** Whose it says that it is; undefined where nothing has been written yet. */
  readonly owner: { readonly host: string; readonly networkId: Uint8Array } | undefined
  readonly copyTo: (path: string) => Promise<void>
  readonly close: () => Promise<void>
}

/** Undefined when there is none. @throws CliError when its host runs, or it is damaged */
export const openStopped = (ledgerDir: string, id: string): StoppedLedger | undefined => {
  const file = join(ledgerDir, LEDGER)
  if (!existsSync(file)) return undefined
  const lock = lockOf(ledgerDir, id)
  try {
    const store = lmdbStore(file)
    return {
      ...readOwner(store),
      copyTo: async (path) => {
        await store.copyTo(path)
        await chmod(path, 0o600)
      },
      close: async () => {
        await store.close()
        lock.release()
      },
    }
  } catch (error) {
    lock.release()
    if (error instanceof LedgerDamaged) throw new CliError('environment', error.message, { cause: error })
    throw error
  }
}

export const readOwner = (store: LmdbStore): Pick<StoppedLedger, 'head' | 'owner'> => {
  const read = createStaged(store)
  const row = read.get(headTable, 'head')
  return {
    head: headOf(read),
    owner: row === undefined ? undefined : { host: row.host, networkId: row.networkId },
  }
}

/** @throws CliError when the host runs, starts or stops */
export const lockOf = (ledgerDir: string, id: string): LedgerLock => {
  try {
    return lockLedger(ledgerDir)
  } catch (error) {
    if (!(error instanceof LedgerLocked)) throw error
    throw new CliError(
      'environment',
      `${id} has its ledger open; end it first with \`semops kill ${id}\` or \`semops down\``,
    )
  }
}
