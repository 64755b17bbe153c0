/**
 * How the auditor reads ledgers: rows by their table definitions, sums that can be taken back, facts that count once they are on disk.
 *
 * Invariant: everything kept from a row is a contribution of that row alone, so that a crash which takes the row back takes the
 * contribution back, whatever was added meanwhile.
 */
import { Buffer } from 'node:buffer'
import type { AnyTable } from '../../../nodes/runtime/node.ts'
import { readRow } from '../read-once.ts'

export const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')

/** One row as it was and as it is. `judge`: it happened now, and not before the simulation or by a crash. */
export type Change<Row> = {
  readonly key: Uint8Array
  readonly before: Row | undefined
  readonly after: Row | undefined
  readonly judge: boolean
}
export type Reading = { readonly table: AnyTable; readonly apply: (change: Change<never>) => void }
/** A table and what each of its changes does to the books. */
export const reading = <Row extends object>(
  table: { readonly name: string; readonly decode: (bytes: Uint8Array) => Row },
  apply: (change: Change<Row>) => void,
): Reading => ({ table: table as AnyTable, apply })

export const rowOf = (table: AnyTable, bytes: Uint8Array | undefined): object | undefined =>
  bytes === undefined ? undefined : readRow<object>(table, bytes)

/** The number that ends a key. */
export const numberAt = (key: Uint8Array, at: number): number => {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength)
  return view.getUint32(at) * 0x1_0000_0000 + view.getUint32(at + 4)
}
/** The text part of a key that begins at `at`, and where the next part begins. */
export const textAt = (key: Uint8Array, at = 0): readonly [text: string, next: number] => {
  const end = key.indexOf(0, at)
  return [Buffer.from(key.buffer, key.byteOffset + at, end - at).toString('latin1'), end + 1]
}

/** Sums by name; what is zero is not kept. */
export type Sums = {
  readonly add: (name: string, minor: bigint) => void
  readonly get: (name: string) => bigint
  readonly entries: () => IterableIterator<[string, bigint]>
}
export const sums = (): Sums => {
  const held = new Map<string, bigint>()
  return {
    add: (name, minor) => {
      if (minor === 0n) return
      const sum = (held.get(name) ?? 0n) + minor
      if (sum === 0n) held.delete(name)
      else held.set(name, sum)
    },
    get: (name) => held.get(name) ?? 0n,
    entries: () => held.entries(),
  }
}

/** Takes out what the row as it was had contributed, and puts in what it contributes now. */
export const contribute = <Row>(
  { before, after }: Pick<Change<Row>, 'before' | 'after'>,
  give: (row: Row, sign: 1n | -1n) => void,
): void => {
  if (before !== undefined) give(before, -1n)
  if (after !== undefined) give(after, 1n)
}

/** Did it happen in the simulation, or did a crash take back what did? Else it is what a ledger began with. */
export const happened = ({ after, judge }: Pick<Change<unknown>, 'after' | 'judge'>): boolean =>
  judge || after === undefined

/** A counted set: how often something stands there, without what stands there no more. */
export type Counts = {
  readonly add: (name: string, by: bigint) => number
  readonly of: (name: string) => number
  readonly entries: () => IterableIterator<[string, number]>
}
export const counts = (): Counts => {
  const held = new Map<string, number>()
  return {
    add: (name, by) => {
      const now = (held.get(name) ?? 0) + Number(by)
      if (now === 0) held.delete(name)
      else held.set(name, now)
      return now
    },
    of: (name) => held.get(name) ?? 0,
    entries: () => held.entries(),
  }
}

/** What the books of one host may ask and say. */
export type Desk = {
  readonly host: string
  readonly broken: (rule: string, detail: string, payment?: string) => void
  /** Runs when what this batch wrote is on disk; never, when a crash takes it back. */
  readonly later: (act: () => void) => void
  /** Of this batch: each `trigger name` of the host's journal. */
  readonly triggers: ReadonlySet<string>
}

/** The books of one role. */
export type Auditor = {
  readonly readings: readonly Reading[]
  /** After each batch: what its rows must be to each other. */
  readonly settle: (judge: boolean) => void
  /** Forgets which rows the batch touched: it is over, or taken back. */
  readonly clear: () => void
  readonly atRest: () => void
}

export type Edges = Readonly<Record<string, readonly string[]>>
/**
 * Judges a move of a state machine. `from` is `none` for a row that is new; a row that is removed moves to `gone`.
 * @returns whether the state changed
 */
export const moved = (
  desk: Desk,
  what: string,
  edges: Edges,
  change: {
    readonly before: { readonly state: string } | undefined
    readonly after: { readonly state: string } | undefined
  },
  id: () => string,
): boolean => {
  const from = change.before?.state ?? 'none'
  const to = change.after?.state ?? 'gone'
  if (from === to) return false
  if (edges[from]?.includes(to) !== true)
    desk.broken(`${what} moved where it may not`, `${desk.host}: ${id()} from ${from} to ${to}`)
  return true
}
