/** The report of `semops bench paper` as one page that stands alone: plots as inline SVG, no script, no request. */
import * as echarts from 'echarts'
import type { EChartsOption } from 'echarts'
import { paperLines, COST, figure } from './paper-table.ts'
import { formatTable } from '../cli/output.ts'
import { SEALS } from './network.ts'
import { MODELS, type Model, type PaperReport } from './paper.ts'

const WIDTH = 560
const HEIGHT = 340

/** An SVG text. The chart is disposed of at once: its timers would keep the process alive. */
const plot = (option: EChartsOption): string => {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: HEIGHT })
  try {
    chart.setOption({ animation: false, textStyle: { fontFamily: 'system-ui, sans-serif' }, ...option })
    return chart.renderToSVGString()
  } finally {
    chart.dispose()
  }
}

const grid = { left: 70, right: 20, top: 84, bottom: 60 }
const heading = { left: 'center', textStyle: { fontSize: 15 } }
/** Under the title, whose line is 30 pixels high. */
const legend = { top: 34, itemGap: 28 }
const label = {
  show: true,
  position: 'top' as const,
  formatter: ({ value }: { readonly value?: unknown }) => figure(Number(value)),
}

const present = <T>(table: Readonly<Partial<Record<Model, T>>>): readonly (readonly [Model, T])[] =>
  MODELS.flatMap((model) => {
    const of = table[model]
    return of === undefined ? [] : [[model, of] as const]
  })

const transfers = ({ perThousand }: PaperReport): string => {
  const models = present(perThousand)
  return plot({
    title: { ...heading, text: 'Bank transfers per 1,000 payments' },
    grid,
    xAxis: { type: 'category', data: models.map(([model]) => model), axisLabel: { interval: 0, fontSize: 10 } },
    yAxis: { type: 'log', name: 'log scale', min: 1 },
    series: [{ type: 'bar', data: models.map(([, of]) => of.bankTransfers), label }],
  })
}

/** Nothing has no place on a log scale. */
const shown = (value: number): number | null => (value === 0 ? null : Math.max(0.1, value))

const toBanks = ({ perThousand }: PaperReport): string => {
  const models = present(perThousand)
  return plot({
    title: { ...heading, text: 'Orders to banks per 1,000 payments, by what for' },
    legend,
    grid,
    xAxis: { type: 'category', data: models.map(([model]) => model), axisLabel: { interval: 0, fontSize: 10 } },
    yAxis: { type: 'log', name: 'log scale', min: 0.1, startValue: 0.1 },
    series: [
      { name: 'customers’ money', type: 'bar', data: models.map(([, of]) => shown(of.collectionOrders)) },
      { name: 'settlements', type: 'bar', data: models.map(([, of]) => shown(of.settlements)) },
      { name: 'payouts', type: 'bar', data: models.map(([, of]) => shown(of.payouts)) },
    ],
  })
}

const exposure = ({ exposure: table }: PaperReport): string =>
  plot({
    title: { ...heading, text: 'Customers’ unpaid debt, per cent of the volume' },
    legend,
    grid,
    xAxis: { type: 'value', name: 'day' },
    yAxis: { type: 'value' },
    series: present(table)
      .filter(([model]) => model !== 'semops')
      .map(([model, { curve, volumeMinor }]) => ({
        name: model,
        type: 'line' as const,
        showSymbol: false,
        data: curve.map(({ atMs, minor }) => [
          Number((atMs / 86_400_000).toFixed(3)),
          Number(((Number(minor) * 100) / Number(volumeMinor)).toFixed(3)),
        ]),
      })),
  })

const sealing = (report: PaperReport, what: 'signaturesMade' | 'cpuMs', title: string): string => {
  const models = present(report.seals)
  return plot({
    title: { ...heading, text: title },
    legend,
    grid,
    xAxis: { type: 'category', data: models.map(([model]) => model) },
    yAxis: { type: 'value' },
    series: SEALS.map((seals) => ({
      name: seals,
      type: 'bar' as const,
      data: models.map(([, of]) => Math.round(of[seals][what])),
    })),
  })
}

const thetas = ({ kmeans }: PaperReport): string =>
  plot({
    title: { ...heading, text: 'Cost of θ, per cent of the best single θ in hindsight' },
    legend: { ...legend, textStyle: { fontSize: 10 } },
    grid,
    xAxis: {
      type: 'category',
      data: kmeans.map(({ name, feeMinor }) => `${name}\nfee ${feeMinor}`),
      axisLabel: { interval: 0, fontSize: 9 },
    },
    yAxis: { type: 'value', min: 50 },
    series: (['border', 'bestSingleBefore', 'kmeans', 'oracle'] as const).map((what) => ({
      name: COST[what],
      type: 'bar' as const,
      data: kmeans.map(({ runs }) =>
        Number(
          (
            (100 * runs.reduce((sum, { costMinor }) => sum + costMinor[what] / costMinor.bestSingle, 0)) /
            runs.length
          ).toFixed(2),
        ),
      ),
    })),
  })

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

export const paperPage = (report: PaperReport): string => {
  const lines = paperLines(report, { rows: formatTable, style: (_style, text) => text })
  const plots = [
    transfers(report),
    toBanks(report),
    exposure(report),
    sealing(report, 'signaturesMade', 'Signatures made per 1,000 payments'),
    sealing(report, 'cpuMs', 'CPU ms per 1,000 payments, all nodes'),
    thetas(report),
  ]
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What aggregation saves</title>
<style>
  body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1180px; padding: 0 1rem; color: #222 }
  .plots { display: flex; flex-wrap: wrap; gap: 1rem }
  .plots svg { max-width: 100%; height: auto; border: 1px solid #ddd; border-radius: 6px }
  pre { overflow-x: auto; font-size: 12px; line-height: 1.4; background: #f7f7f7; padding: 1rem; border-radius: 6px }
</style>
<h1>What aggregation saves</h1>
<p>One seeded workload through the real nodes, on simulated time: <code>semops bench paper --seed ${escaped(report.seed)}</code>.
Micropayments below M are guaranteed at once and collected when a customer's debt would reach θ.</p>
<div class="plots">
${plots.join('\n')}
</div>
<h2>Figures</h2>
<pre>${escaped(lines.join('\n'))}</pre>
</html>
`
}
