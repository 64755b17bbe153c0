/** The report of `semops bench paper` as lines of text. */
import { formatAmount } from '../../protocol/amount.ts'
import type { Column, Output } from '../cli/output.ts'
import { SEALS } from './network.ts'
import { MODELS, type Model, type PaperReport, type PerThousand } from './paper.ts'
import { CURRENCY } from './workload.ts'

export const figure = (value: number): string =>
  Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
export const money = (minor: bigint): string => formatAmount(minor, CURRENCY)
const percent = (value: number): string => `${value >= 0 ? '+' : ''}${value.toFixed(1)} %`

type Named<T> = { readonly model: Model; readonly of: T }
const named = <T>(table: Readonly<Partial<Record<Model, T>>>): readonly Named<T>[] =>
  MODELS.flatMap((model) => {
    const of = table[model]
    return of === undefined ? [] : [{ model, of }]
  })

const right = { align: 'right' } as const
const count = (title: string, pick: (of: PerThousand) => number): Column<Named<PerThousand>> => ({
  title,
  ...right,
  cell: ({ of }) => figure(pick(of)),
})

export const paperLines = (report: PaperReport, { rows, style }: Pick<Output, 'rows' | 'style'>): readonly string[] => {
  const { workload, collections, verify } = report
  const head = (text: string): readonly string[] => ['', style('bold', text)]
  return [
    `${workload.payments} payments of ${workload.customers} customers to ${workload.merchants} payees in ${workload.days} days, ${money(workload.volumeMinor)} ${CURRENCY}, θ = ${money(workload.thresholdMinor)}, seed ${report.seed}`,
    ...head('Per 1,000 payments'),
    ...rows(
      [
        { title: 'model', cell: ({ model }) => model },
        count('transfers', (of) => of.bankTransfers),
        count('collections', (of) => of.collections),
        count('settlements', (of) => of.settlements),
        count('payouts', (of) => of.payouts),
        count('orders to banks', (of) => of.bankOrders),
        count('bank messages', (of) => of.bankMessages),
        count('bus messages', (of) => of.busMessages),
        count('kB', (of) => of.bytes / 1_000),
        count('signed', (of) => of.signaturesMade),
        count('verified', (of) => of.signaturesVerified),
        count('CPU ms', (of) => of.cpuMs),
        { title: 'payments run', ...right, cell: ({ of }) => String(of.payments) },
      ],
      named(report.perThousand),
    ),
    ...head('Collections, counted and replayed'),
    `${collections.counted} counted, ${collections.replayed} by the replay of the rule: ${collections.equal ? 'equal, and so is every debt at the end' : 'NOT EQUAL'}; ${collections.ratio.toFixed(3)} of Σ amounts / θ`,
    `per 1,000 over ${collections.bySeed.length} seeds: ${figure(collections.perThousandSpread.mean)} (${figure(collections.perThousandSpread.least)} to ${figure(collections.perThousandSpread.most)})`,
    ...head(`Unpaid, peak and mean, ${CURRENCY}`),
    ...rows(
      [
        { title: 'model', cell: ({ model }) => model },
        { title: 'volume', ...right, cell: ({ of }) => money(of.volumeMinor) },
        ...(['customers', 'cpp', 'mpp'] as const).flatMap((who) => [
          { title: WHO[who], ...right, cell: ({ of }: NamedExposure) => money(of[who].peakMinor) },
          { title: 'mean', ...right, cell: ({ of }: NamedExposure) => money(of[who].meanMinor) },
        ]),
      ],
      named(report.exposure),
    ),
    ...head(`Lost to a CPP when a share of its customers stops paying, ${CURRENCY}`),
    ...rows(
      [
        { title: 'model', cell: ({ model }) => model },
        { title: 'share', ...right, cell: ({ of }) => `${of.sharePercent} %` },
        { title: 'spread over time', ...right, cell: ({ of }) => money(of.spreadMinor) },
        { title: 'at the end', ...right, cell: ({ of }) => money(of.atEndMinor) },
        { title: 'at the worst moment', ...right, cell: ({ of }) => money(of.atPeakMinor) },
      ],
      named(report.loss).flatMap(({ model, of }) => of.map((loss) => ({ model, of: loss }))),
    ),
    ...head('Simulated ms from pay to answer: payments at which the rule collects, and the others'),
    ...rows(
      [
        { title: 'model', cell: ({ model }) => model },
        { title: 'crossing', ...right, cell: ({ of }) => String(of.crossing.payments) },
        { title: 'p50', ...right, cell: ({ of }) => String(of.crossing.p50Ms) },
        { title: 'p99', ...right, cell: ({ of }) => String(of.crossing.p99Ms) },
        { title: 'others', ...right, cell: ({ of }) => String(of.others.payments) },
        { title: 'p50', ...right, cell: ({ of }) => String(of.others.p50Ms) },
        { title: 'p99', ...right, cell: ({ of }) => String(of.others.p99Ms) },
      ],
      named(report.latency),
    ),
    ...(report.bulk === undefined ? [] : [...head('Windows of bulk, the whole workload'), ...bulkLines(report.bulk)]),
    ...head('Sealing, per 1,000 payments'),
    ...rows(
      [
        { title: 'model', cell: ({ model }) => model },
        { title: 'seals', cell: ({ of }) => of.seals },
        { title: 'signed', ...right, cell: ({ of }) => figure(of.signaturesMade) },
        { title: 'verified', ...right, cell: ({ of }) => figure(of.signaturesVerified) },
        { title: 'kB', ...right, cell: ({ of }) => figure(of.bytes / 1_000) },
        { title: 'CPU ms', ...right, cell: ({ of }) => figure(of.cpuMs) },
      ],
      named(report.seals).flatMap(({ model, of }) => SEALS.map((seals) => ({ model, of: { seals, ...of[seals] } }))),
    ),
    ...head('θ by k-means against one θ for all: cost per 1,000 payments, minor units, mean of the seeds'),
    ...rows(
      [
        { title: 'customers', cell: ({ name }) => name },
        { title: 'fee', ...right, cell: ({ feeMinor }) => money(BigInt(feeMinor)) },
        ...(['border', 'bestSingleBefore', 'bestSingle', 'kmeans', 'oracle'] as const).map((what) => ({
          title: COST[what],
          ...right,
          cell: ({ runs }: PaperReport['kmeans'][number]) =>
            figure(runs.reduce((sum, { costMinor }) => sum + costMinor[what], 0) / runs.length),
        })),
        { title: 'saved', ...right, cell: ({ savedPercent }) => percent(savedPercent.mean) },
        {
          title: 'by seed',
          ...right,
          cell: ({ savedPercent: { least, most } }) => `${percent(least)} to ${percent(most)}`,
        },
      ],
      report.kmeans,
    ),
    '',
    verify.failed.length === 0
      ? `${verify.checks} checks of ${verify.runs} runs hold`
      : `${verify.failed.length} of ${verify.checks} checks FAILED`,
    ...verify.failed.slice(0, 10),
  ]
}

const bulkLines = (bulk: NonNullable<PaperReport['bulk']>): readonly string[] => [
  `${bulk.counted} collections counted in the sample, ${bulk.replayed} replayed: ${bulk.equal ? 'equal' : 'NOT EQUAL'}`,
  `per 1,000: ${figure(bulk.ordersPerThousand)} orders to the customers' banks for ${figure(bulk.collectionsPerThousand)} collections, ${figure(bulk.waitingPerThousand)} payments that wait`,
  `${figure(bulk.crossingThatWaitPercent)} % of the payments at which threshold collects still wait; peak debt ${bulk.peakAgainstThreshold.toFixed(2)} × that of threshold`,
]

type NamedExposure = Named<NonNullable<PaperReport['exposure'][Model]>>
const WHO = { customers: 'customers→CPP', cpp: 'CPP→MPP', mpp: 'MPP→payees' } as const
export const COST = {
  border: 'θ = M',
  bestSingleBefore: 'best of month before',
  bestSingle: 'best in hindsight',
  kmeans: 'k-means',
  oracle: 'true rates',
} as const
