/** What the demo shows of what was made: one row for each kind of payment, in the order of their first appearance. */
import type { Column } from '../cli/output.ts'
import type { Made } from './run.ts'

export type KindRow = {
  readonly kind: string
  readonly payments: number
  readonly outcomes: string
  readonly p50Ms: number
  readonly p99Ms: number
  readonly asExpected: boolean
}

/** Nearest-rank percentile of a list that is not empty. */
export const percentile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number
}

const outcomeOf = ({ outcome, confirmation, code }: Made): string =>
  [outcome, confirmation ?? code].filter((part) => part !== undefined).join(' ')

export const kindRows = (all: readonly Made[]): readonly KindRow[] => {
  const kinds = new Map<string, Made[]>()
  for (const made of all) kinds.set(made.order.kind, [...(kinds.get(made.order.kind) ?? []), made])
  return [...kinds].map(([kind, made]) => {
    const outcomes = new Map<string, number>()
    for (const one of made) outcomes.set(outcomeOf(one), (outcomes.get(outcomeOf(one)) ?? 0) + 1)
    const times = made.map(({ ms }) => ms)
    return {
      kind,
      payments: made.length,
      outcomes: [...outcomes]
        .map(([outcome, count]) => (outcomes.size === 1 ? outcome : `${count} × ${outcome}`))
        .join(', '),
      p50Ms: percentile(times, 0.5),
      p99Ms: percentile(times, 0.99),
      asExpected: made.every((one) => one.asExpected),
    }
  })
}

export const KIND_COLUMNS: readonly Column<KindRow>[] = [
  { title: 'kind', cell: ({ kind }) => kind },
  { title: 'payments', align: 'right', cell: ({ payments }) => String(payments) },
  { title: 'outcome', cell: ({ outcomes }) => outcomes },
  { title: 'p50 ms', align: 'right', cell: ({ p50Ms }) => String(p50Ms) },
  { title: 'p99 ms', align: 'right', cell: ({ p99Ms }) => String(p99Ms) },
  { title: 'as expected', cell: ({ asExpected }) => (asExpected ? 'yes' : 'NO') },
]
