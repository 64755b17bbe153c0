/**
 * Reads as later events of a batch see them: staged writes first, then those of batches still being committed, then the
 * store. A staged row is given back as it was written, without decoding it again, and encoded once, when its batch ends.
 */
import type { Reader, Write } from './node.ts'
import { afterPrefix, keyBytes, keyText } from './sorted-map.ts'
import type { Mutation, Store } from './store.ts'
import { keyOf, type KeyPart, type Table } from './table.ts'

type StagedRow = {
  readonly table: Write['table']
  readonly key: Uint8Array
  readonly row: object | undefined
  /** Where the writer had to encode it anyway. */
  readonly bytes: Uint8Array | undefined
}
/** One batch's writes to one table. Most tables are never scanned while a batch is made: their keys are put in order on demand. */
type Rows = { readonly byKey: Map<string, StagedRow>; sorted: string[] | undefined }
/** One batch's writes: table name → rows. */
type Layer = Map<string, Rows>

export type Staged = Reader & {
  readonly write: (write: Write) => void
  /** `bytes`: the row as its table encodes it, which the caller needed anyway. */
  readonly writeEncoded: (write: Write, bytes: Uint8Array) => void
  readonly isEmpty: () => boolean
  /**
   * Ends the batch: its mutations, table by table, one for each key. Its rows go on being seen until `settle` is called, after the
   * commit. The order of batches is that of calls.
   * @throws what the encoder throws for a row that can not be stored: nothing of the batch may be committed
   */
  readonly take: () => { readonly mutations: readonly Mutation[]; readonly settle: () => void }
}

export const createStaged = (store: Pick<Store, 'get' | 'range'>): Staged => {
  /** Oldest first; the last is the batch being made. */
  const layers: Layer[] = [new Map()]
  const current = (): Layer => layers.at(-1) as Layer

  const find = (table: string, key: string): StagedRow | undefined => {
    for (let at = layers.length - 1; at >= 0; at--) {
      const found = (layers[at] as Layer).get(table)?.byKey.get(key)
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
  ): readonly (readonly [string, StagedRow])[] => {
    const found = new Map<string, StagedRow>()
    let touched = 0
    for (const layer of layers) {
      const rows = layer.get(table)
      if (rows === undefined) continue
      const sorted = sortedKeys(rows)
      const end = before === undefined ? sorted.length : placeIn(sorted, before)
      const start = placeIn(sorted, from)
      if (start < end) touched += 1
      for (let at = start; at < end; at++) {
        const key = sorted[at] as string
        found.set(key, rows.byKey.get(key) as StagedRow)
      }
    }
    // One layer's keys are in order as they stand.
    const inOrder = touched > 1 ? [...found].toSorted(([a], [b]) => (a < b ? -1 : 1)) : [...found]
    return reverse ? inOrder.toReversed() : inOrder
  }

  const stage = ({ table, key, row }: Write, bytes: Uint8Array | undefined): void => {
    const layer = current()
    let rows = layer.get(table.name)
    if (rows === undefined) layer.set(table.name, (rows = { byKey: new Map(), sorted: undefined }))
    const text = keyText(key)
    if (rows.sorted !== undefined && !rows.byKey.has(text)) rows.sorted.splice(placeIn(rows.sorted, text), 0, text)
    rows.byKey.set(text, { table, key, row, bytes })
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
        if (at < staged.length) {
          const text = keyText(key)
          while (at < staged.length && comesFirst((staged[at] as [string, StagedRow])[0], text)) {
            const [, { key: stagedKey, row }] = staged[at++] as [string, StagedRow]
            if (row === undefined) continue
            if (left-- <= 0) return
            yield [stagedKey, row as Row]
          }
          const next = staged[at]
          if (next !== undefined && next[0] === text) {
            at++
            if (next[1].row === undefined) continue
            if (left-- <= 0) return
            yield [key, next[1].row as Row]
            continue
          }
        }
        if (left-- <= 0) return
        yield [key, table.decode(value)]
      }
      for (; at < staged.length; at++) {
        const [, { key, row }] = staged[at] as [string, StagedRow]
        if (row === undefined) continue
        if (left-- <= 0) return
        yield [key, row as Row]
      }
    },
    write: (write) => stage(write, undefined),
    writeEncoded: stage,
    isEmpty: () => current().size === 0,
    take: () => {
      const layer = current()
      const mutations: Mutation[] = []
      for (const [name, { byKey }] of layer)
        for (const { table, key, row, bytes } of byKey.values())
          mutations.push({ table: name, key, value: row === undefined ? undefined : (bytes ?? table.encode(row)) })
      layers.push(new Map())
      return { mutations, settle: () => void layers.splice(layers.indexOf(layer), 1) }
    },
  }
}

const sortedKeys = (rows: Rows): readonly string[] => (rows.sorted ??= [...rows.byKey.keys()].toSorted())

/** Index of the first key that is not below `key`. */
const placeIn = (sorted: readonly string[], key: string): number => {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] as string) < key) low = middle + 1
    else high = middle
  }
  return low
}
