/** What stood behind the demo's payments: counted from the hosts' own reports. */
import type { Report } from '../../nodes/runtime/reports.ts'
import type { NodeSource } from '../fleet/node-source.ts'

export type Figures = {
  readonly collections: number
  readonly settledMinor: bigint
  readonly paidOutMinor: bigint
  /** What debtor banks paid through the settlement bank; a creditor's figure is the same money with the other sign. */
  readonly clearedMinor: bigint
  readonly released: number
}

const sum = (values: readonly bigint[]): bigint => values.reduce((total, value) => total + value, 0n)

export const figuresOf = async (sources: readonly NodeSource[]): Promise<Figures> => {
  const reports: readonly Report[] = await Promise.all(sources.map((source) => source.report()))
  const of = <R extends Report['role']>(role: R) =>
    reports.filter((report): report is Extract<Report, { role: R }> => report.role === role)
  return {
    collections: of('cpp')
      .flatMap(({ totals }) => totals.map(({ collections }) => collections))
      .reduce((a, b) => a + b, 0),
    settledMinor: sum(of('cpp').flatMap(({ pairs }) => pairs.map(({ settledMinor }) => settledMinor))),
    paidOutMinor: sum(of('mpp').flatMap(({ payees }) => payees.map(({ paidMinor }) => paidMinor))),
    clearedMinor: sum(
      of('bank').flatMap(({ totals }) => totals.map(({ clearedMinor }) => (clearedMinor > 0n ? clearedMinor : 0n))),
    ),
    released: of('merchant')
      .flatMap(({ payees }) => payees.map(({ released }) => released))
      .reduce((a, b) => a + b, 0),
  }
}
