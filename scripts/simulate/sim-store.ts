/**
 * The disks of a simulation: a commit and a flush take their drawn time, and the judges hear of every row that changes, that is safe,
 * and that a crash takes back. What a ledger holds at the start is its first batch.
 */
import type { MemoryStore, StoreWatch } from '../../nodes/runtime/memory-store.ts'
import { keyBytes } from '../../nodes/runtime/sorted-map.ts'
import type { Chance } from './chance.ts'
import type { Judges } from './judges.ts'
import type { Kernel } from './kernel.ts'
import type { RowChange } from './observed.ts'

const COMMIT_MS = [0.05, 1] as const
const FLUSH_MS = [0.2, 4] as const

/** @returns makes a host's ledger from the one it begins with */
export const watchedLedgers =
  ({
    kernel,
    chance,
    judges,
    slowness,
    onCommitted,
  }: {
    readonly kernel: Kernel
    readonly chance: Chance
    readonly judges: Pick<Judges, 'committed' | 'flushed' | 'lost'>
    /** By what a host's disk is slower than usual now. */
    readonly slowness: (host: string) => number
    readonly onCommitted: (host: string) => void
  }): ((host: string, foundation: ReadonlyMap<string, MemoryStore>) => MemoryStore) =>
  (host, foundation) => {
    const begin = foundation.get(host)
    if (begin === undefined) throw new Error(`${host} has no ledger to begin with`)
    const first: RowChange[] = []
    for (const { table, key, value } of begin.rows())
      first.push({ table, key: keyBytes(key), before: undefined, after: value })
    judges.committed(host, FIRST_BATCH, first)
    judges.flushed(host, FIRST_BATCH)
    const watch: StoreWatch = {
      committed: (batch, changes) => {
        judges.committed(host, FIRST_BATCH + batch, changes)
        onCommitted(host)
      },
      flushed: (batch) => judges.flushed(host, FIRST_BATCH + batch),
      lost: (changes) => judges.lost(host, changes),
    }
    return begin.copy((what, run) => {
      const [least, most] = what === 'commit' ? COMMIT_MS : FLUSH_MS
      const takes = chance.between(least, most)
      kernel.after(takes * slowness(host), run)
    }, watch)
  }

const FIRST_BATCH = 1
