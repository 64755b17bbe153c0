/**
 * The memory twin of the LMDB store, for the simulator and tests. Its invariant is the same: a crash keeps a prefix of the
 * committed batches that holds all that was flushed. `crash()` loses everything after the last flush.
 */
import { afterPrefix, keyBytes, keyText, sortedMap, type SortedMap } from './sorted-map.ts'
import { cut } from './slab.ts'
import { checkMutations, type Store } from './store.ts'

/** When a commit or a flush happens: the simulator decides; by default, on the next turn of the event loop. */
export type StoreScheduler = (what: 'commit' | 'flush', run: () => void) => void

export type MemoryStore = Store & {
  /** What a restart would find: a new store with the flushed state. This one stops: its promises never settle. */
  readonly crash: () => MemoryStore
  /** The next commit rejects, once. */
  readonly failNextCommit: () => void
  /** Every committed row, in order: table, key and the value itself, which the store replaces and never changes. */
  readonly rows: () => Iterable<{ readonly table: string; readonly key: string; readonly value: Uint8Array }>
}

type Undo = { readonly key: string; readonly value: Uint8Array | undefined }

export const memoryStore = (schedule: StoreScheduler = (_what, run) => void setImmediate(run)): MemoryStore =>
  storeOver(sortedMap<Uint8Array>(), schedule)

const copied = <B extends Uint8Array | undefined>(bytes: B): B => {
  if (bytes === undefined) return bytes
  const own = cut(bytes.length)
  own.set(bytes)
  return own as B
}
const nameOf = (table: string, key: Uint8Array): string => `${table}\0${keyText(key)}`

const storeOver = (rows: SortedMap<Uint8Array>, schedule: StoreScheduler): MemoryStore => {
  /** For each batch committed and not flushed: what undoes it. */
  let unflushed: Undo[][] = []
  const waiting: (() => void)[] = []
  let crashed = false
  let failing = false
  const write = (key: string, value: Uint8Array | undefined): void => {
    if (value === undefined) rows.delete(key)
    else rows.set(key, value)
  }
  return {
    get: (table, key) => copied(rows.get(nameOf(table, key))),
    range: function* (table, { from, before, reverse } = {}) {
      const prefix = `${table}\0`
      const bounds = {
        from: from === undefined ? prefix : nameOf(table, from),
        before: before === undefined ? afterPrefix(prefix) : nameOf(table, before),
        reverse,
      }
      for (const [key, value] of rows.range(bounds)) yield [keyBytes(key.slice(prefix.length)), copied(value)]
    },
    commit: (mutations) => {
      checkMutations(mutations)
      return new Promise((resolve, reject) => {
        waiting.push(() => {
          if (failing) {
            failing = false
            reject(new Error('commit failed, as was asked'))
            return
          }
          const undo: Undo[] = []
          for (const { table, key, value } of mutations) {
            const name = nameOf(table, key)
            undo.push({ key: name, value: rows.get(name) })
            write(name, value)
          }
          unflushed.push(undo)
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
          if (upTo !== undefined) unflushed = unflushed.slice(unflushed.indexOf(upTo) + 1)
          resolve()
        })
      })
    },
    close: async () => {
      crashed = true
    },
    crash: () => {
      crashed = true
      for (const undo of unflushed.toReversed()) for (const { key, value } of undo.toReversed()) write(key, value)
      return storeOver(rows, schedule)
    },
    failNextCommit: () => {
      failing = true
    },
    rows: function* () {
      for (const [name, value] of rows.range({})) {
        const end = name.indexOf('\0')
        yield { table: name.slice(0, end), key: name.slice(end + 1), value }
      }
    },
  }
}
