/**
 * What the operators of a simulated network have configured: drawn by the seed, with seconds where a real network has hours, so that
 * windows end, debts age and batches fill while one looks.
 */
import type { Chance } from './chance.ts'

export type Settings = {
  /** Of a CPP's policy. */
  readonly aggregation: object
  readonly noticeLifetimeMs: number
  readonly collectionRetry: object
  readonly cppSettlement: object
  readonly mppSettlement: object
  readonly payout: object
  readonly clearingMs: number
  readonly transLifetimeMs: number
}

const aggregationOf = (chance: Chance): object => {
  const maxDebtAgeMs = chance.pick([20_000, 60_000, 600_000])
  const lower = chance.chance(0.4) ? { thresholdMinor: { EUR: chance.pick(['300', '555']), HUF: '150000' } } : {}
  const common = { maxDebtAgeMs, ...lower }
  switch (chance.below(5)) {
    case 0:
      return { policy: 'window', windowMs: chance.pick([5_000, 15_000]), ...common }
    case 1:
      return { policy: 'bulk', windowMs: chance.pick([5_000, 20_000]), lowWaterMinor: { EUR: '100' }, ...common }
    case 2:
      return { policy: 'kmeans', recomputeEveryMs: 10_000, minCustomers: 2, maxK: 3, ...common }
    default:
      return { policy: 'threshold', ...common }
  }
}

export const drawSettings = (chance: Chance): Settings => ({
  aggregation: aggregationOf(chance),
  noticeLifetimeMs: chance.pick([2_000, 10_000, 20_000, 40_000]),
  collectionRetry: { firstMs: 5_000, maxMs: 30_000, maxRetries: chance.pick([0, 3, 12]) },
  cppSettlement: {
    thresholdMinor: { EUR: chance.pick(['500', '2000', '20000']) },
    maxAgeMs: chance.pick([5_000, 30_000]),
    retryMs: 2_000,
    ...(chance.chance(0.3) ? { windowMs: 10_000 } : {}),
  },
  mppSettlement: { maxUnpaidMs: chance.pick([20_000, 120_000]), retryMs: 2_000 },
  payout: {
    thresholdMinor: { EUR: chance.pick(['200', '1500']) },
    maxAgeMs: chance.pick([5_000, 20_000]),
    retryMs: 2_000,
  },
  clearingMs: chance.pick([1_000, 4_000]),
  transLifetimeMs: chance.pick([15_000, 60_000, 60_000]),
})

/** For building what all simulations of a shape begin with. */
export const PLAIN: Settings = {
  aggregation: { policy: 'threshold' },
  noticeLifetimeMs: 10_000,
  collectionRetry: { firstMs: 5_000, maxMs: 30_000, maxRetries: 12 },
  cppSettlement: { thresholdMinor: { EUR: '2000' }, maxAgeMs: 5_000, retryMs: 2_000 },
  mppSettlement: { maxUnpaidMs: 120_000, retryMs: 2_000 },
  payout: { thresholdMinor: { EUR: '500' }, maxAgeMs: 5_000, retryMs: 2_000 },
  clearingMs: 1_000,
  transLifetimeMs: 60_000,
}
