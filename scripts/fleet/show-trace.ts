/** A trace as a table for people. */
import type { Column, Output } from '../cli/output.ts'
import type { Trace, TraceHop } from './trace.ts'

export const traceLines = ({ hops }: Pick<Trace, 'hops'>, output: Pick<Output, 'rows'>): readonly string[] =>
  output.rows(columns(hops[0]?.atMs ?? 0), hops)

const columns = (startMs: number): readonly Column<TraceHop>[] => [
  { title: 'ms', align: 'right', cell: ({ atMs }) => String(atMs - startMs) },
  { title: 'node', cell: ({ node }) => node },
  { title: 'role', cell: ({ role }) => role },
  {
    title: 'came',
    cell: ({ kind, trigger, from }) => (trigger === 'message' ? `${kind} from ${from ?? '?'}` : `${trigger} ${kind}`),
  },
  { title: 'what happened', cell: ({ event, refused }) => refused ?? event ?? '' },
  { title: 'sent', cell: ({ sent }) => sent.map(({ kind, to }) => `${kind} to ${to}`).join(', ') },
]
