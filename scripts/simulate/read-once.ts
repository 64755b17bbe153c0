/**
 * Rows as judges read them: several judges look at the same change, and what was a row's `after` is its `before` later, so that each
 * is decoded and hashed once. Invariant: the bytes of a committed row are never changed, and belong to one table.
 */
import type { Table } from '../../nodes/runtime/table.ts'
import { hash } from '../../protocol/hash.ts'

const decoded = new WeakMap<Uint8Array, object>()
const hashed = new WeakMap<Uint8Array, Uint8Array>()

/** The row, shared with whoever reads it. @throws what the table's decoder throws */
export const readRow = <Row extends object>(table: Pick<Table<Row>, 'decode'>, bytes: Uint8Array): Row => {
  let row = decoded.get(bytes)
  if (row === undefined) decoded.set(bytes, (row = table.decode(bytes)))
  return row as Row
}

/** 32 bytes, shared with whoever asks. */
export const hashRow = (bytes: Uint8Array): Uint8Array => {
  let found = hashed.get(bytes)
  if (found === undefined) hashed.set(bytes, (found = hash(bytes)))
  return found
}
