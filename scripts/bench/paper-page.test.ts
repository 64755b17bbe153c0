import { expect, test } from 'vitest'
import { formatTable } from '../cli/output.ts'
import type { PaperReport, PerThousand } from './paper.ts'
import { paperPage } from './paper-page.ts'
import { paperLines } from './paper-table.ts'
import { DEFAULT_SHAPE } from './workload.ts'

const perThousand: PerThousand = {
  payments: 1_000,
  bankTransfers: 38.2,
  collections: 36.4,
  settlements: 0.4,
  payouts: 1.4,
  bankOrders: 38.2,
  collectionOrders: 36.4,
  bankMessages: 90,
  busMessages: 14_800,
  bytes: 16_000_000,
  signaturesMade: 3_000,
  signaturesVerified: 4_500,
  cpuMs: 5_000,
}
const level = { peakMinor: 400_000n, meanMinor: 300_000n, endMinor: 350_000n }
const latency = { payments: 10, p50Ms: 60, p99Ms: 260 }
const report: PaperReport = {
  seed: '<seed>',
  workload: { ...DEFAULT_SHAPE, volumeMinor: 3_964_875n, thresholdMinor: 1_000n },
  perThousand: { semops: perThousand, 'two-intermediaries': perThousand },
  collections: {
    counted: 36,
    replayed: 37,
    equal: false,
    ratio: 0.92,
    bySeed: [{ seed: 'a', perThousand: 36.4, ratio: 0.92 }],
    perThousandSpread: { mean: 36.4, least: 36.4, most: 36.4 },
  },
  exposure: {
    'two-intermediaries': {
      customers: level,
      cpp: level,
      mpp: level,
      curve: [
        { atMs: 0, minor: 0n },
        { atMs: 86_400_000, minor: 300_000n },
      ],
      volumeMinor: 3_964_875n,
    },
  },
  loss: {
    'two-intermediaries': [{ sharePercent: 5, spreadMinor: 15_000n, atEndMinor: 17_500n, atPeakMinor: 20_000n }],
  },
  latency: { 'two-intermediaries': { crossing: latency, others: latency } },
  bulk: {
    counted: 10,
    replayed: 10,
    equal: true,
    ordersPerThousand: 1.05,
    collectionsPerThousand: 63,
    waitingPerThousand: 0.5,
    crossingThatWaitPercent: 0.7,
    peakAgainstThreshold: 0.53,
  },
  seals: {
    'two-intermediaries': { ed25519: perThousand, 'ed25519-batch': perThousand, 'rsa-2048': perThousand },
  },
  kmeans: [
    {
      name: 'alike',
      feeMinor: 2,
      runs: [
        {
          seed: 'a',
          costMinor: { border: 177, bestSingleBefore: 177, bestSingle: 176, kmeans: 179, oracle: 176 },
          bestTheta: 960,
          clusters: 2,
          silhouette: 0.3,
          thetas: [900, 1_000],
        },
      ],
      savedPercent: { mean: -1.7, least: -1.7, most: -1.7 },
      savedPercentBefore: { mean: -1.1, least: -1.1, most: -1.1 },
    },
  ],
  verify: { runs: 1, checks: 84, failed: ['bulk: a check'] },
  ok: false,
}

test('the table says each figure, and what does not hold', () => {
  const text = paperLines(report, { rows: formatTable, style: (_style, plain) => plain }).join('\n')
  for (const part of ['NOT EQUAL', '38.2', '4,500', '4000.00', '-1.7 %', '1 of 84 checks FAILED', 'bulk: a check'])
    expect(text).toContain(part)
})

test('the page stands alone: plots as SVG, text escaped, no script and nothing fetched', () => {
  const page = paperPage(report)
  expect(page.match(/<svg /g)).toHaveLength(6)
  expect(page).toContain('&lt;seed&gt;')
  expect(page).not.toMatch(/<script|<seed>|src=|<link|@import/)
})
