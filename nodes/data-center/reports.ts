/** What a data center says of its directory: counts, and rows page by page. Only names that their owners chose to show. */
import type { Context, Reader } from '../runtime/node.ts'
import type { DataCenterReport } from '../runtime/reports.ts'
import { isNodeId } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { DataCenterPolicy } from './policy.ts'
import { ALIASES, PAYEES, PROCESSORS } from './state.ts'

export const reportOf = (read: Reader, { self }: Context<DataCenterPolicy>): DataCenterReport => {
  const active = (rows: Iterable<readonly [Uint8Array, { readonly state: string }]>): number =>
    [...rows].filter(([, { state }]) => state === 'active').length
  return {
    role: 'dc',
    id: self.id,
    payees: active(read.scan(PAYEES, [])),
    aliases: active(read.scan(ALIASES, [])),
    processors: [...read.scan(PROCESSORS, [])].length,
  }
}

export type DirectoryRow = {
  readonly name: string
  readonly version: number
  readonly state: string
  /** A payee's MPP, an alias's CPP, a processor's role. */
  readonly at: string
  readonly host?: string
}
export type DirectoryRows = { readonly rows: readonly DirectoryRow[]; readonly next: string | undefined }

const tableOf = (of: unknown, read: Reader, from: readonly string[]): Iterable<DirectoryRow> => {
  const options = { from }
  switch (of) {
    case 'aliases':
      return mapped(read.scan(ALIASES, [], options), ({ alias, version, state, cpp }) => ({
        name: alias,
        version,
        state,
        at: cpp,
      }))
    case 'processors':
      return mapped(read.scan(PROCESSORS, [], options), ({ id, version, role }) => ({
        name: id,
        version,
        state: 'active',
        at: role,
      }))
    default:
      return mapped(read.scan(PAYEES, [], options), ({ payee, version, state, mpp, host }) => ({
        name: payee,
        version,
        state,
        at: mpp,
        host,
      }))
  }
}

const mapped = function* <Row, Out>(rows: Iterable<readonly [Uint8Array, Row]>, to: (row: Row) => Out): Iterable<Out> {
  for (const [, row] of rows) yield to(row)
}

/** `{of: 'payees' | 'aliases' | 'processors', after?, limit?}` → rows by name. */
export const directoryOf = (read: Reader, args: Readonly<Record<string, unknown>>): DirectoryRows => {
  const after = typeof args['after'] === 'string' && isNodeId(args['after']) ? args['after'] : undefined
  const limit =
    typeof args['limit'] === 'number' && args['limit'] >= 1 && args['limit'] <= LIMITS.maxPageRows
      ? args['limit']
      : LIMITS.maxPageRows
  const rows: DirectoryRow[] = []
  for (const row of tableOf(args['of'], read, after === undefined ? [] : [after])) {
    if (row.name === after) continue
    if (rows.length >= limit) return { rows, next: rows.at(-1)?.name }
    rows.push(row)
  }
  return { rows, next: undefined }
}
