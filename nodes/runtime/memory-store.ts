/**
 * The memory twin of the LMDB store, for the simulator and tests. Its invariant is the same: a crash keeps a prefix of the
 * committed batches that holds all that was flushed. `crash()` loses everything after the last flush.
 */
import { keyBytes, keyText, sortedMap, type SortedMap } from './sorted-map.ts'
import { cut } from './slab.ts'
import { checkMutations, type Store } from './store.ts'

/** When a commit or a flush happens: the simulator decides; by default, on the next turn of the event loop. */
export type StoreScheduler = (what: 'commit' | 'flush', run: () => void) => void

/** One row that a batch changed: undefined `before` for a new row, undefined `after` for a removed one. Neither is ever changed. */
export type StoreChange = {
  readonly table: string
  readonly key: Uint8Array
  readonly before: Uint8Array | undefined
  readonly after: Uint8Array | undefined
}

/** Told of everything that happens to a ledger, in order. Batches count from 1 and never come again, also after a crash. */
export type StoreWatch = {
  readonly committed: (batch: number, changes: readonly StoreChange[]) => void
  /** Everything up to this batch survives a crash. */
  readonly flushed: (batch: number) => void
  /** A crash took these back: newest first, as they were committed. */
  readonly lost: (changes: readonly StoreChange[]) => void
}

export type MemoryStore = Store & {
  /**
   * What a restart would find: a new store with what was flushed, and with so many of the oldest batches committed since
   * (default none). This one stops: its promises never settle.
   */
  readonly crash: (keptBatches?: number) => MemoryStore
  /** Batches committed and not flushed. */
  readonly unflushed: () => number
  /** The next commit rejects with this, once. */
  readonly failNextCommit: (error?: Error) => void
  /** A ledger of its own with the committed rows, all of them on disk. */
  readonly copy: (schedule?: StoreScheduler, watch?: StoreWatch) => MemoryStore
  /** Every committed row, in order: table, key and the value itself, which the store replaces and never changes. */
  readonly rows: () => Iterable<{ readonly table: string; readonly key: string; readonly value: Uint8Array }>
}

type Batch = { readonly number: number; readonly changes: readonly StoreChange[] }
type Place = {
  readonly schedule: StoreScheduler
  readonly watch: StoreWatch | undefined
  /** Of the last batch. */
  batch: number
}

const onNextTurn: StoreScheduler = (_what, run) => void setImmediate(run)

export const memoryStore = (schedule: StoreScheduler = onNextTurn, watch?: StoreWatch): MemoryStore =>
  storeOver(new Map(), { schedule, watch, batch: 0 })

const copied = <B extends Uint8Array | undefined>(bytes: B): B => {
  if (bytes === undefined) return bytes
  const own = cut(bytes.length)
  own.set(bytes)
  return own as B
}

/** By table: a key joined to its table's name would be made, and hashed whole, at every read. */
type Tables = Map<string, SortedMap<Uint8Array>>

const storeOver = (tables: Tables, place: Place): MemoryStore => {
  const { schedule, watch } = place
  let unflushed: Batch[] = []
  const waiting: (() => void)[] = []
  let crashed = false
  let failing: Error | undefined
  const rowsOf = (table: string): SortedMap<Uint8Array> => {
    let rows = tables.get(table)
    if (rows === undefined) tables.set(table, (rows = sortedMap<Uint8Array>()))
    return rows
  }
  const write = (rows: SortedMap<Uint8Array>, key: string, value: Uint8Array | undefined): void => {
    if (value === undefined) rows.delete(key)
    else rows.set(key, value)
  }
  return {
    get: (table, key) => copied(tables.get(table)?.get(keyText(key))),
    range: function* (table, { from, before, reverse } = {}) {
      const rows = tables.get(table)
      if (rows === undefined) return
      const bounds = {
        from: from === undefined ? undefined : keyText(from),
        before: before === undefined ? undefined : keyText(before),
        reverse,
      }
      for (const [key, value] of rows.range(bounds)) yield [keyBytes(key), copied(value)]
    },
    commit: (mutations) => {
      checkMutations(mutations)
      return new Promise((resolve, reject) => {
        waiting.push(() => {
          if (failing !== undefined) {
            const error = failing
            failing = undefined
            reject(error)
            return
          }
          const changes = mutations.map(({ table, key, value }) => {
            const rows = rowsOf(table)
            const name = keyText(key)
            const before = rows.get(name)
            write(rows, name, value)
            return { table, key, before, after: value }
          })
          place.batch += 1
          unflushed.push({ number: place.batch, changes })
          watch?.committed(place.batch, changes)
          resolve()
        })
        // In the order of calls, whichever of the scheduled turns comes first.
        schedule('commit', () => {
          if (!crashed) waiting.shift()?.()
        })
      })
    },
    flushed: () => {
      const upTo = unflushed.at(-1)
      return new Promise((resolve) => {
        schedule('flush', () => {
          if (crashed) return
          // A later flush may already have covered this one.
          const at = upTo === undefined ? -1 : unflushed.indexOf(upTo)
          unflushed = unflushed.slice(at + 1)
          if (at >= 0) watch?.flushed((upTo as Batch).number)
          resolve()
        })
      })
    },
    close: async () => {
      crashed = true
    },
    crash: (keptBatches = 0) => {
      crashed = true
      const kept = unflushed.slice(0, keptBatches)
      const lost = unflushed
        .slice(keptBatches)
        .toReversed()
        .flatMap(({ changes }) => changes.toReversed())
      for (const { table, key, before } of lost) write(rowsOf(table), keyText(key), before)
      const last = kept.at(-1)
      if (last !== undefined) watch?.flushed(last.number)
      if (lost.length > 0) watch?.lost(lost)
      return storeOver(tables, place)
    },
    unflushed: () => unflushed.length,
    failNextCommit: (error = new Error('commit failed, as was asked')) => {
      failing = error
    },
    copy: (toSchedule = onNextTurn, toWatch) => {
      const own = new Map([...tables].map(([table, rows]) => [table, rows.copy()] as const))
      return storeOver(own, { schedule: toSchedule, watch: toWatch, batch: 0 })
    },
    rows: function* () {
      for (const table of [...tables.keys()].toSorted())
        for (const [key, value] of rowsOf(table).range()) yield { table, key, value }
    },
  }
}
