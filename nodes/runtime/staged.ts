/**
 * Reads as later events of a batch see them: staged writes first, then those of batches still being committed, then the
 * store. A staged row is given back as it was written, without decoding it again.
 */
import type { Reader, Write } from './node.ts'
import { afterPrefix, keyBytes, keyText, sortedMap, type SortedMap } from './sorted-map.ts'
import type { Mutation, Store } from './store.ts'
import { keyOf, type KeyPart, type Table } from './table.ts'

type StagedRow = { readonly row: object | undefined; readonly bytes: Uint8Array | undefined }
/** One batch's writes: table name → key text → row. */
type Layer = Map<string, SortedMap<StagedRow>>

export type Staged = Reader & {
  /** Rows are encoded now: a row that can not be stored throws here, before anything is committed. */
  readonly write: (write: Write) => void
  readonly isEmpty: () => boolean
  /**
   * Ends the batch: its mutations, in table and key order. Its rows go on being seen until `settle` is called, after the commit.
   * The order of batches is that of calls.
   */
  readonly take: () => { readonly mutations: readonly Mutation[]; readonly settle: () => void }
}

export const createStaged = (store: Pick<Store, 'get' | 'range'>): Staged => {
  /** Oldest first; the last is the batch being made. */
  const layers: Layer[] = [new Map()]
  const current = (): Layer => layers.at(-1) as Layer

  const find = (table: string, key: string): StagedRow | undefined => {
    for (let at = layers.length - 1; at >= 0; at--) {
      const found = (layers[at] as Layer).get(table)?.get(key)
      if (found !== undefined) return found
    }
    return undefined
  }

  /** Staged rows of the range over all layers, newest winning, in the order asked for. */
  const stagedIn = (
    table: string,
    from: string,
    before: string | undefined,
    reverse: boolean,
  ): [string, StagedRow][] => {
    const found = new Map<string, StagedRow>()
    for (const layer of layers)
      for (const [key, staged] of layer.get(table)?.range({ from, before }) ?? []) found.set(key, staged)
    const sorted = [...found].toSorted(([a], [b]) => (a < b ? -1 : 1))
    return reverse ? sorted.toReversed() : sorted
  }

  return {
    get: (table, ...key) => {
      const bytes = keyOf(...key)
      const staged = find(table.name, keyText(bytes))
      if (staged !== undefined) return staged.row as never
      const stored = store.get(table.name, bytes)
      return stored === undefined ? undefined : table.decode(stored)
    },
    scan: function* <Row extends object>(
      table: Table<Row>,
      prefix: readonly KeyPart[],
      options: Parameters<Reader['scan']>[2] = {},
    ): Iterable<readonly [Uint8Array, Row]> {
      const { reverse = false } = options
      const start = prefix.length === 0 ? '' : keyText(keyOf(...prefix))
      const from = options.from === undefined ? start : start + keyText(keyOf(...options.from))
      const before = options.before === undefined ? afterPrefix(start) : start + keyText(keyOf(...options.before))
      let left = options.limit ?? Number.POSITIVE_INFINITY
      const staged = stagedIn(table.name, from, before, reverse)
      let at = 0
      const comesFirst = (a: string, b: string): boolean => (reverse ? a > b : a < b)
      const bounds = {
        from: from === '' ? undefined : keyBytes(from),
        before: before === undefined ? undefined : keyBytes(before),
        reverse,
      }
      for (const [key, value] of left > 0 ? store.range(table.name, bounds) : []) {
        const text = keyText(key)
        while (at < staged.length && comesFirst((staged[at] as [string, StagedRow])[0], text)) {
          const [stagedKey, { row }] = staged[at++] as [string, StagedRow]
          if (row === undefined) continue
          if (left-- <= 0) return
          yield [keyBytes(stagedKey), row as Row]
        }
        const next = staged[at]
        if (next !== undefined && next[0] === text) {
          at++
          if (next[1].row === undefined) continue
          if (left-- <= 0) return
          yield [key, next[1].row as Row]
          continue
        }
        if (left-- <= 0) return
        yield [key, table.decode(value)]
      }
      for (; at < staged.length; at++) {
        const [stagedKey, { row }] = staged[at] as [string, StagedRow]
        if (row === undefined) continue
        if (left-- <= 0) return
        yield [keyBytes(stagedKey), row as Row]
      }
    },
    write: ({ table, key, row }) => {
      const layer = current()
      let rows = layer.get(table.name)
      if (rows === undefined) layer.set(table.name, (rows = sortedMap<StagedRow>()))
      rows.set(keyText(key), { row, bytes: row === undefined ? undefined : table.encode(row) })
    },
    isEmpty: () => current().size === 0,
    take: () => {
      const layer = current()
      layers.push(new Map())
      const mutations: Mutation[] = []
      for (const table of [...layer.keys()].toSorted())
        for (const [key, { bytes }] of (layer.get(table) as SortedMap<StagedRow>).range())
          mutations.push({ table, key: keyBytes(key), value: bytes })
      return { mutations, settle: () => void layers.splice(layers.indexOf(layer), 1) }
    },
  }
}
