/** What stood behind the demo's payments: counted from the hosts' own reports. */
import type { Currency } from '../../protocol/amount.ts'
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

/** Sums of money are of `currency`, the network's. */
export const figuresOf = async (sources: readonly NodeSource[], currency: Currency): Promise<Figures> => {
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
      of('bank').flatMap(({ totals }) =>
        totals
          .filter((total) => total.currency === currency)
          .map(({ clearedMinor }) => (clearedMinor > 0n ? clearedMinor : 0n)),
      ),
    ),
    released: of('merchant')
      .flatMap(({ payees }) => payees.map(({ released }) => released))
      .reduce((a, b) => a + b, 0),
  }
}
