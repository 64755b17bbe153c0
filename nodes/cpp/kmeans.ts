/**
 * θ for each customer, by clusters of customers (design §5 `kmeans`). Collecting costs a fee f a transfer, waiting costs default and
 * funding: with spend rate λ a day, hazard δ a day and funding rate r a day, a threshold θ costs f·λ/θ + (δ+r)·θ/2 a day, least at
 * θ* = √(2·f·λ/(δ+r)). λ and δ of one customer are too noisy, so customers are clustered on log-scaled, standardised features
 * (seeded k-means++, k by silhouette), the estimates are pooled over each cluster, and θ* is clamped to [θmin, M].
 *
 * Pure statistics over plain numbers; money is an integer again when θ leaves this file, rounded down. Invariant: the same features,
 * terms and seed give the same table, and every θ is in [θmin, M].
 */
import { kmeansGenerator } from 'ml-kmeans'

/** What is known of a customer's payments, as numbers; money in minor units, times in days. */
export type CustomerFeatures = {
  readonly meanMinor: number
  readonly paymentsPerDay: number
  /** Of the amounts. */
  readonly varianceMinor: number
  readonly distinctPayees: number
  /** Refused collections ÷ all answered ones, 0 … 1. */
  readonly failureRate: number
  /** How old the present debt is. */
  readonly debtAgeDays: number
  // What the pooled estimates are made of.
  readonly spentMinor: number
  readonly observedDays: number
  readonly refusals: number
}
/** In the order in which a row of numbers holds them: the first six are the coordinates. */
const NAMES = [
  'meanMinor',
  'paymentsPerDay',
  'varianceMinor',
  'distinctPayees',
  'failureRate',
  'debtAgeDays',
  'spentMinor',
  'observedDays',
  'refusals',
] as const satisfies readonly (keyof CustomerFeatures)[]
const COORDINATES = 6

export const featuresToRow = (features: CustomerFeatures): readonly number[] => NAMES.map((name) => features[name])
export const featuresOfRow = (row: readonly number[]): CustomerFeatures =>
  Object.fromEntries(NAMES.map((name, i) => [name, row[i] ?? 0])) as CustomerFeatures

export type ThetaTerms = {
  /** f: what one collection costs. */
  readonly feeMinor: bigint
  /** δ before anything is known of a cluster. */
  readonly defaultHazardPerDay: number
  readonly fundingRatePerYear: number
  readonly thetaMinMinor: bigint
  /** M. */
  readonly thetaMaxMinor: bigint
  readonly minCustomers: number
  readonly maxK: number
}
export type ThetaCluster = {
  /** In standardised coordinates. */
  readonly centroid: readonly number[]
  readonly size: number
  readonly spendPerDayMinor: number
  readonly hazardPerDay: number
  readonly thresholdMinor: bigint
}
export type Scale = { readonly means: readonly number[]; readonly deviations: readonly number[] }
export type Clustering = {
  readonly k: number
  /** Mean silhouette of the sample, −1 … 1; 0 for a single cluster. */
  readonly silhouette: number
  readonly clusters: readonly ThetaCluster[]
  /** Of each customer given, the index of the cluster. */
  readonly assignment: readonly number[]
  readonly scale: Scale
}

/** Below this mean silhouette customers are taken to differ by chance alone: one cluster (Kaufman and Rousseeuw, 1990: "no structure"). */
const MIN_SILHOUETTE = 0.25
/** The silhouette compares each of so many points with each other: sampled, so that k stays cheap to choose. */
const SILHOUETTE_SAMPLE = 200
/** Customer-days that the prior of the hazard weighs as much as: fewer observed days of a cluster leave it near the prior. */
const PRIOR_DAYS = 365
const DAYS_PER_YEAR = 365

/** θ* of a spend rate and a hazard, in [θmin, M]. Nothing to lose by waiting: M. */
export const bestThreshold = (
  spendPerDayMinor: number,
  hazardPerDay: number,
  { feeMinor, fundingRatePerYear, thetaMinMinor, thetaMaxMinor }: ThetaTerms,
): bigint => {
  const perDay = hazardPerDay + fundingRatePerYear / DAYS_PER_YEAR
  const best = perDay <= 0 ? Infinity : Math.sqrt((2 * Number(feeMinor) * spendPerDayMinor) / perDay)
  if (!(best < Number(thetaMaxMinor))) return thetaMaxMinor
  const whole = BigInt(Math.floor(best))
  return whole < thetaMinMinor ? thetaMinMinor : whole
}

/** Amounts, counts and times spread over orders of magnitude: their logarithms tell customers apart. A rate is a share already. */
const coordinatesOf = (features: CustomerFeatures): number[] =>
  NAMES.slice(0, COORDINATES).map((name) => (name === 'failureRate' ? features[name] : Math.log1p(features[name])))

const scaleOf = (points: readonly (readonly number[])[]): Scale => {
  const means: number[] = []
  const deviations: number[] = []
  for (let i = 0; i < COORDINATES; i++) {
    let sum = 0
    let squares = 0
    for (const point of points) sum += point[i] ?? 0
    const mean = sum / points.length
    for (const point of points) squares += ((point[i] ?? 0) - mean) ** 2
    means.push(mean)
    deviations.push(Math.sqrt(squares / points.length))
  }
  return { means, deviations }
}
/** A feature in which nobody differs tells nothing: 0 for all. */
const standardised = (point: readonly number[], { means, deviations }: Scale): number[] =>
  point.map((value, i) => ((deviations[i] ?? 0) > 1e-9 ? (value - (means[i] ?? 0)) / (deviations[i] ?? 1) : 0))

const squaredDistance = (a: readonly number[], b: readonly number[]): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += ((a[i] ?? 0) - (b[i] ?? 0)) ** 2
  return sum
}

/** The cluster whose centroid is nearest. @throws RangeError when there is none */
export const nearestCluster = (
  features: CustomerFeatures,
  { scale, clusters }: { readonly scale: Scale; readonly clusters: readonly Pick<ThetaCluster, 'centroid'>[] },
): number =>
  nearest(
    standardised(coordinatesOf(features), scale),
    clusters.map(({ centroid }) => centroid),
  )

const nearest = (point: readonly number[], centroids: readonly (readonly number[])[]): number => {
  if (centroids.length === 0) throw new RangeError('no cluster')
  let best = 0
  let least = Infinity
  for (const [at, centroid] of centroids.entries()) {
    const distance = squaredDistance(point, centroid)
    if (distance < least) [best, least] = [at, distance]
  }
  return best
}

/** Mean silhouette of every n-th point, among themselves. */
const silhouetteOf = (points: readonly (readonly number[])[], clusterOf: readonly number[], k: number): number => {
  const stride = Math.max(1, Math.ceil(points.length / SILHOUETTE_SAMPLE))
  const sampled = Array.from({ length: Math.ceil(points.length / stride) }, (_, i) => i * stride)
  let sum = 0
  for (const i of sampled) {
    const own = clusterOf[i] ?? 0
    const distances = Array.from({ length: k }, () => ({ sum: 0, count: 0 }))
    for (const j of sampled) {
      const of = distances[clusterOf[j] ?? 0]
      if (j === i || of === undefined) continue
      of.sum += Math.sqrt(squaredDistance(points[i] ?? [], points[j] ?? []))
      of.count += 1
    }
    const mean = ({ sum: total, count }: { readonly sum: number; readonly count: number }): number => total / count
    const inside = distances[own]
    const others = distances.filter(({ count }, cluster) => cluster !== own && count > 0).map(mean)
    // Alone in its cluster, or all in one: 0, as the silhouette is defined.
    if (inside === undefined || inside.count === 0 || others.length === 0) continue
    const a = mean(inside)
    const b = Math.min(...others)
    if (Math.max(a, b) > 0) sum += (b - a) / Math.max(a, b)
  }
  return sum / sampled.length
}

type Fit = { readonly clusterOf: readonly number[]; readonly centroids: readonly (readonly number[])[] }

/** One k, an iteration at a time. */
function* fit(points: number[][], k: number, seed: number): Generator<undefined, Fit> {
  let last: Fit = { clusterOf: [], centroids: [] }
  for (const { clusters, centroids } of kmeansGenerator(points, k, { seed, maxIterations: 50 })) {
    last = { clusterOf: [...clusters], centroids }
    yield
  }
  return last
}

/**
 * The clustering, in steps of a few milliseconds, so that a host may do other things between them.
 * @returns undefined with fewer customers than `minCustomers`
 */
export function* clusterSteps(
  features: readonly CustomerFeatures[],
  terms: ThetaTerms,
  seed: number,
): Generator<undefined, Clustering | undefined> {
  if (features.length < terms.minCustomers) return undefined
  const raw = features.map(coordinatesOf)
  const scale = scaleOf(raw)
  const points = raw.map((point) => standardised(point, scale))
  const distinct = new Set(points.map((point) => point.join(' '))).size
  let best: Fit = { clusterOf: points.map(() => 0), centroids: [scale.means.map(() => 0)] }
  let silhouette = 0
  for (let tried = 2; tried <= Math.min(terms.maxK, distinct); tried++) {
    const found = yield* fit(points, tried, seed)
    const value = silhouetteOf(points, found.clusterOf, tried)
    yield
    if (value >= MIN_SILHOUETTE && value > silhouette) [best, silhouette] = [found, value]
  }
  // By the nearest centroid, as whoever is not in the sample is judged; one that is nobody's nearest is no cluster.
  const peopled = new Set(points.map((point) => nearest(point, best.centroids)))
  const centroids = best.centroids.filter((_, at) => peopled.has(at))
  const assignment = points.map((point) => nearest(point, centroids))
  const clusters = centroids.map((centroid, at) =>
    pooled(
      features.filter((_, i) => assignment[i] === at),
      centroid,
      terms,
    ),
  )
  return { k: clusters.length, silhouette, clusters, assignment, scale }
}

/** The estimates of a cluster's customers together. A refused collection counts as the loss that it may become. */
const pooled = (members: readonly CustomerFeatures[], centroid: readonly number[], terms: ThetaTerms): ThetaCluster => {
  const sum = (pick: (features: CustomerFeatures) => number): number =>
    members.reduce((total, one) => total + pick(one), 0)
  const days = sum(({ observedDays }) => observedDays)
  const spendPerDayMinor = days > 0 ? sum(({ spentMinor }) => spentMinor) / days : 0
  const hazardPerDay = (terms.defaultHazardPerDay * PRIOR_DAYS + sum(({ refusals }) => refusals)) / (PRIOR_DAYS + days)
  return {
    centroid: [...centroid],
    size: members.length,
    spendPerDayMinor,
    hazardPerDay,
    thresholdMinor: bestThreshold(spendPerDayMinor, hazardPerDay, terms),
  }
}

/** The same at once. @returns undefined with fewer customers than `minCustomers` */
export const clusterThresholds = (
  features: readonly CustomerFeatures[],
  terms: ThetaTerms,
  seed: number,
): Clustering | undefined => {
  const steps = clusterSteps(features, terms, seed)
  for (;;) {
    const { done, value } = steps.next()
    if (done === true) return value
  }
}
