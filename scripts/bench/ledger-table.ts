/** The ledger bench as lines for people: every measurement, the reads, and what was wanted. */
import type { Column, Output } from '../cli/output.ts'
import type { LedgerBenchReport, LedgerBenchRow } from './ledger.ts'

const whole = (value: number): string => Math.round(value).toLocaleString('en-US')
const ratio = (value: number): string => value.toFixed(2)

const COLUMNS: readonly Column<LedgerBenchRow>[] = [
  { title: 'pattern', cell: ({ pattern }) => pattern },
  { title: 'batch', align: 'right', cell: ({ batch }) => whole(batch) },
  { title: 'durable/s', align: 'right', cell: ({ real }) => whole(real.perSecond) },
  { title: 'raw/s', align: 'right', cell: ({ raw }) => whole(raw.perSecond) },
  { title: 'ratio', align: 'right', cell: (row) => ratio(row.ratio) },
  { title: 'of rounds', align: 'right', cell: (row) => `${ratio(row.lowestRatio)}–${ratio(row.highestRatio)}` },
  { title: 'per CPU s', align: 'right', cell: ({ real }) => whole(real.perCpuSecond) },
  { title: 'raw per CPU s', align: 'right', cell: ({ raw }) => whole(raw.perCpuSecond) },
  { title: 'rows each', align: 'right', cell: ({ rowsPerAccumulation }) => ratio(rowsPerAccumulation) },
]

export const ledgerBenchLines = (
  { rows, reads, ledgers, targets, problems, machine }: LedgerBenchReport,
  output: Pick<Output, 'rows' | 'style'>,
): readonly string[] => [
  `${machine.processor}, ${machine.cores} cores, node ${machine.node}`,
  ...Object.entries(ledgers).map(
    ([pattern, { customers, entriesBefore }]) =>
      `${pattern}: ${whole(customers)} customers, ${whole(entriesBefore)} entries before`,
  ),
  '',
  ...output.rows(COLUMNS, rows),
  '',
  `a customer's total by one get: ${reads.totalMicroseconds.toFixed(1)} µs`,
  `all their micropayments by one scan: ${reads.scanMicroseconds.toFixed(1)} µs for ${reads.entriesPerScan.toFixed(1)} entries`,
  '',
  ...targets.map(({ what, wanted, measured, met }) => {
    const figures =
      wanted < 10 ? `${ratio(measured)}, wanted ${ratio(wanted)}` : `${whole(measured)}, wanted ${whole(wanted)}`
    return output.style(met ? 'green' : 'red', `${what}: ${figures}${met ? '' : ', missed'}`)
  }),
  problems.length === 0
    ? output.style('green', 'the ledgers hold afterwards')
    : output.style('red', `the ledgers do not hold: ${problems.join('; ')}`),
]
