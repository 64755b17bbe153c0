import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  bestThreshold,
  clusterSteps,
  clusterThresholds,
  featuresOfRow,
  featuresToRow,
  nearestCluster,
  type Clustering,
  type CustomerFeatures,
  type ThetaTerms,
} from './kmeans.ts'

const TERMS: ThetaTerms = {
  feeMinor: 10n,
  defaultHazardPerDay: 0.001,
  fundingRatePerYear: 0.05,
  thetaMinMinor: 50n,
  thetaMaxMinor: 1_000n,
  minCustomers: 10,
  maxK: 6,
}
/** Whole numbers that look drawn by chance and are the same for the same seed (Park and Miller, 1988). */
const drawn = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}
/** Like `mean` and `perDay`, a fifth more or less. */
const customer = (
  below: (bound: number) => number,
  { mean, perDay, refusals = 0 }: { mean: number; perDay: number; refusals?: number },
): CustomerFeatures => {
  const wobble = (value: number): number => (value * (80 + below(41))) / 100
  const meanMinor = wobble(mean)
  const paymentsPerDay = wobble(perDay)
  return {
    meanMinor,
    paymentsPerDay,
    varianceMinor: wobble(mean * mean),
    distinctPayees: 3 + below(3),
    failureRate: refusals > 0 ? 0.5 : 0,
    debtAgeDays: wobble(2),
    spentMinor: meanMinor * paymentsPerDay * 30,
    observedDays: 30,
    refusals,
  }
}
const crowd = (seed: number, kinds: readonly { mean: number; perDay: number; refusals?: number }[], each = 40) => {
  const below = drawn(seed)
  return kinds.flatMap((kind) => Array.from({ length: each }, () => customer(below, kind)))
}
const clustered = (features: readonly CustomerFeatures[], terms = TERMS, seed = 1): Clustering => {
  const found = clusterThresholds(features, terms, seed)
  if (found === undefined) throw new Error('too little data')
  return found
}

describe('θ*', () => {
  /** What a threshold costs a day, in minor units. */
  const cost = (θ: number, spend: number, hazard: number): number => (10 * spend) / θ + ((hazard + 0.05 / 365) * θ) / 2

  it('is √(2·f·λ/(δ+r))', () => {
    expect(bestThreshold(100, 0.01, TERMS)).toBe(444n)
    expect(bestThreshold(25, 0.01, TERMS)).toBe(222n)
  })

  it('costs no more than any other θ, wherever it is not clamped', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 500 }),
        fc.integer({ min: 1, max: 1_000 }),
        fc.integer({ min: 50, max: 1_000 }),
        (spend, hazard, other) => {
          const θ = Number(bestThreshold(spend, hazard / 1_000, TERMS))
          if (θ > 50 && θ < 1_000)
            expect(cost(θ, spend, hazard / 1_000)).toBeLessThanOrEqual(cost(other, spend, hazard / 1_000) * 1.001)
        },
      ),
    )
  })

  it.each([
    ['nothing is spent: θmin', 0, 0.01, 50n],
    ['nothing is risked: M', 100, 0, 1_000n],
    ['much is spent: M', 1_000_000, 0.001, 1_000n],
    ['much is risked: θmin', 1, 1, 50n],
  ])('%s', (_, spend, hazard, expected) => {
    expect(bestThreshold(spend, hazard, { ...TERMS, fundingRatePerYear: 0 })).toBe(expected)
  })
})

describe('customers who differ much', () => {
  const kinds = [
    { mean: 8, perDay: 1 },
    { mean: 300, perDay: 8 },
    { mean: 60, perDay: 30, refusals: 2 },
  ]
  it('are told apart, and each kind gets the θ of its own pooled spend and hazard', () => {
    const features = crowd(7, kinds)
    const { k, silhouette, clusters, assignment } = clustered(features)
    expect(k).toBe(3)
    expect(silhouette).toBeGreaterThan(0.5)
    expect(clusters.map(({ size }) => size)).toEqual([40, 40, 40])
    for (const kind of [0, 1, 2]) expect(new Set(assignment.slice(kind * 40, kind * 40 + 40)).size).toBe(1)
    const of = (kind: number) => clusters[assignment[kind * 40] ?? -1]
    expect(of(1)?.spendPerDayMinor).toBeGreaterThan(50 * (of(0)?.spendPerDayMinor ?? 0))
    expect(of(2)?.hazardPerDay).toBeGreaterThan(20 * (of(0)?.hazardPerDay ?? 1))
    expect(of(1)?.thresholdMinor).toBe(1_000n)
    expect(of(0)?.thresholdMinor).toBeLessThan(1_000n)
    expect(of(2)?.thresholdMinor).toBeLessThan(1_000n)
    for (const cluster of clusters)
      expect(cluster.thresholdMinor).toBe(bestThreshold(cluster.spendPerDayMinor, cluster.hazardPerDay, TERMS))
  })

  it('are judged the same outside the sample as in it', () => {
    const found = clustered(crowd(7, kinds))
    expect(nearestCluster(customer(drawn(99), kinds[1] ?? { mean: 1, perDay: 1 }), found)).toBe(found.assignment[40])
    crowd(7, kinds).forEach((features, i) => expect(nearestCluster(features, found)).toBe(found.assignment[i]))
  })
})

describe('customers who differ by chance alone', () => {
  it('are one cluster, with one θ', () => {
    const { k, silhouette, clusters, assignment } = clustered(crowd(3, [{ mean: 40, perDay: 4 }], 150))
    expect([k, silhouette, clusters.length, new Set(assignment).size]).toEqual([1, 0, 1, 1])
  })

  it('or not at all, are one cluster', () => {
    const same = Array.from({ length: 20 }, () => customer(() => 20, { mean: 40, perDay: 4 }))
    expect(clustered(same)).toMatchObject({ k: 1, silhouette: 0, clusters: [{ size: 20 }] })
  })
})

describe('the clustering', () => {
  it('is the same for the same seed', () => {
    const features = crowd(11, [
      { mean: 20, perDay: 1 },
      { mean: 300, perDay: 8 },
    ])
    expect(clustered(features, TERMS, 5)).toEqual(clustered(features, TERMS, 5))
  })

  it('is not made with too little data', () => {
    expect(clusterThresholds(crowd(1, [{ mean: 20, perDay: 1 }], 9), TERMS, 1)).toBeUndefined()
  })

  it('comes in steps, and keeps every θ within its bounds, whoever the customers are', () => {
    const one = fc.record({
      meanMinor: fc.integer({ min: 1, max: 1_000 }),
      paymentsPerDay: fc.integer({ min: 0, max: 500 }),
      varianceMinor: fc.integer({ min: 0, max: 1_000_000 }),
      distinctPayees: fc.integer({ min: 1, max: 32 }),
      failureRate: fc.integer({ min: 0, max: 1 }),
      debtAgeDays: fc.integer({ min: 0, max: 30 }),
      spentMinor: fc.integer({ min: 0, max: 100_000 }),
      observedDays: fc.integer({ min: 1, max: 100 }),
      refusals: fc.integer({ min: 0, max: 5 }),
    })
    fc.assert(
      fc.property(fc.array(one, { minLength: 10, maxLength: 60 }), fc.nat(1_000), (features, seed) => {
        const steps = clusterSteps(features, TERMS, seed)
        let found = steps.next()
        while (found.done !== true) found = steps.next()
        const { value } = found
        expect(value?.assignment).toHaveLength(features.length)
        expect(value?.clusters.reduce((sum, { size }) => sum + size, 0)).toBe(features.length)
        for (const { thresholdMinor } of value?.clusters ?? [])
          expect(thresholdMinor >= 50n && thresholdMinor <= 1_000n).toBe(true)
      }),
      { numRuns: 40 },
    )
  })

  it('features are the same after a row of numbers', () => {
    const features = customer(drawn(4), { mean: 40, perDay: 3, refusals: 1 })
    expect(featuresOfRow(featuresToRow(features))).toEqual(features)
  })
})
