/**
 * Is θ by k-means worth having? The policy's own clustering (`nodes/cpp/kmeans.ts`) learns from one month and is judged on the
 * next, against one θ for everybody: the paper's M, the best one of the first month, and the best one that hindsight of the judged
 * month itself can find. Cost is transfers × fee + funding + expected loss by default.
 */
import { clusterThresholds, type CustomerFeatures } from '../../nodes/cpp/kmeans.ts'
import { bestSingle, costOf, debtOf, spendingOf, type CostTerms, type Spending } from './cost.ts'
import { BORDER_MINOR, makeWorkload, type Workload, type WorkloadShape } from './workload.ts'
import { createDraws } from './draws.ts'

export const STUDIES = ['alike', 'differing', 'differing-at-risk'] as const
export type StudyName = (typeof STUDIES)[number]

const MONTH_DAYS = 30
/** Customers of the second and third workload: σ of the logarithms of their mean amount and of their rate. */
const DIFFERING_SIGMA = 1
/** Of the third: this share of customers, those who spend least, defaults so many times as often. */
const AT_RISK_SHARE = 0.3
const AT_RISK_TIMES = 20
const THETA_MIN = 10
const FUNDING_RATE_PER_YEAR = 0.05

export type StudyOptions = {
  readonly customers: number
  readonly paymentsPerCustomer: number
  readonly seeds: readonly string[]
  readonly feeMinor: number
  /** A day: of a customer not at risk, and what the policy takes for its prior. */
  readonly hazardPerDay: number
}

/** Of the judged month, in minor units per 1,000 payments, except θ. */
export type StudyRun = {
  readonly seed: string
  readonly costMinor: {
    /** θ = M for everybody: the paper. */
    readonly border: number
    /** The θ for everybody that was best in the first month. */
    readonly bestSingleBefore: number
    /** The θ for everybody that is best in the judged month: nobody can know it in advance. */
    readonly bestSingle: number
    readonly kmeans: number
    /** θ* of each customer's true rate and hazard: what no policy can learn. */
    readonly oracle: number
  }
  readonly bestTheta: number
  readonly clusters: number
  readonly silhouette: number
  readonly thetas: readonly number[]
}
export type Study = {
  readonly name: StudyName
  readonly feeMinor: number
  readonly runs: readonly StudyRun[]
  /** What k-means saves against the best single θ, in per cent of that one's cost: of the hindsight one, and of the first month's. */
  readonly savedPercent: Spread
  readonly savedPercentBefore: Spread
}
export type Spread = { readonly mean: number; readonly least: number; readonly most: number }

export const spreadOf = (values: readonly number[]): Spread => ({
  mean: values.reduce((sum, value) => sum + value, 0) / values.length,
  least: Math.min(...values),
  most: Math.max(...values),
})

export const studyThetas = (name: StudyName, options: StudyOptions): Study => {
  const runs = options.seeds.map((seed) => studyOnce(name, seed, options))
  const saved = (than: 'bestSingle' | 'bestSingleBefore') =>
    spreadOf(runs.map(({ costMinor }) => (1 - costMinor.kmeans / costMinor[than]) * 100))
  return {
    name,
    feeMinor: options.feeMinor,
    runs,
    savedPercent: saved('bestSingle'),
    savedPercentBefore: saved('bestSingleBefore'),
  }
}

const studyOnce = (name: StudyName, seed: string, options: StudyOptions): StudyRun => {
  const { customers, paymentsPerCustomer, feeMinor, hazardPerDay } = options
  const shape: WorkloadShape = {
    customers,
    merchants: 100,
    payments: 2 * customers * paymentsPerCustomer,
    days: 2 * MONTH_DAYS,
    waveMs: 60_000,
    meanAmountMinor: 40,
    sigma: 1,
    customerSigma: name === 'alike' ? 0 : DIFFERING_SIGMA,
  }
  const workload = makeWorkload(shape, `theta ${name} ${seed}`)
  const spending = spendingOf(workload.payments, customers)
  const hazards = hazardsOf(name, spending, hazardPerDay)
  const terms: CostTerms = { feeMinor, fundingRatePerYear: FUNDING_RATE_PER_YEAR }
  const before = [0, MONTH_DAYS] as const
  const judged = [MONTH_DAYS, 2 * MONTH_DAYS] as const
  const border = Number(BORDER_MINOR)
  const single = (span: readonly [number, number]) =>
    bestSingle((theta) => costOf(spending, () => theta, hazards, terms, span), THETA_MIN, border)

  const found = clusterThresholds(
    featuresOf(workload, spending, hazards, seed),
    {
      feeMinor: BigInt(feeMinor),
      defaultHazardPerDay: hazardPerDay,
      fundingRatePerYear: FUNDING_RATE_PER_YEAR,
      thetaMinMinor: BigInt(THETA_MIN),
      thetaMaxMinor: BORDER_MINOR,
      minCustomers: 50,
      maxK: 8,
    },
    1,
  )
  if (found === undefined) throw new RangeError('too few customers to cluster')
  const thetas = found.clusters.map(({ thresholdMinor }) => Number(thresholdMinor))
  const kmeansTheta = (customer: number): number => thetas[found.assignment[customer] as number] as number
  const oracleTheta = (customer: number): number => {
    const { amounts } = spending[customer] as Spending
    const perDay = amounts.reduce((sum, amount) => sum + amount, 0) / (2 * MONTH_DAYS)
    const rate = (hazards[customer] as number) + FUNDING_RATE_PER_YEAR / 365
    return Math.max(THETA_MIN, Math.min(border, Math.sqrt((2 * feeMinor * perDay) / rate)))
  }
  const count = spending.reduce((sum, { days }) => sum + days.filter((day) => day >= MONTH_DAYS).length, 0)
  const total = (thetaOf: (customer: number) => number): number =>
    (costOf(spending, thetaOf, hazards, terms, judged).totalMinor / count) * 1_000
  const best = single(judged)
  const bestBefore = single(before)
  return {
    seed,
    costMinor: {
      border: total(() => border),
      bestSingleBefore: total(() => bestBefore.theta),
      bestSingle: total(() => best.theta),
      kmeans: total(kmeansTheta),
      oracle: total(oracleTheta),
    },
    bestTheta: best.theta,
    clusters: found.k,
    silhouette: found.silhouette,
    thetas: thetas.toSorted((a, b) => a - b),
  }
}

const hazardsOf = (name: StudyName, spending: readonly Spending[], hazardPerDay: number): readonly number[] => {
  if (name !== 'differing-at-risk') return spending.map(() => hazardPerDay)
  const spent = spending.map(({ amounts }) => amounts.reduce((sum, amount) => sum + amount, 0))
  const border = spent.toSorted((a, b) => a - b)[Math.floor(spent.length * AT_RISK_SHARE)] as number
  return spent.map((sum) => (sum < border ? AT_RISK_TIMES * hazardPerDay : hazardPerDay))
}

/** What the CPP's ledger would show after the first month: a customer's bank refuses at the rate at which the customer defaults. */
const featuresOf = (
  { payments, shape }: Workload,
  spending: readonly Spending[],
  hazards: readonly number[],
  seed: string,
): readonly CustomerFeatures[] => {
  const draws = createDraws(`refusals ${seed}`)
  const payees = Array.from({ length: shape.customers }, () => new Set<number>())
  for (const { customer, merchant, atMs } of payments)
    if (atMs < MONTH_DAYS * 86_400_000) (payees[customer] as Set<number>).add(merchant)
  return spending.map((one, customer) => {
    const amounts = one.amounts.filter((_, at) => (one.days[at] as number) < MONTH_DAYS)
    const spentMinor = amounts.reduce((sum, amount) => sum + amount, 0)
    const meanMinor = amounts.length === 0 ? 0 : spentMinor / amounts.length
    const squares = amounts.reduce((sum, amount) => sum + (amount - meanMinor) ** 2, 0)
    const { transfers } = debtOf(one, Number(BORDER_MINOR), 0, MONTH_DAYS)
    const refusals = draws.uniform() < 1 - Math.exp(-(hazards[customer] as number) * MONTH_DAYS) ? 1 : 0
    const answered = Math.floor(transfers) + refusals
    return {
      meanMinor,
      paymentsPerDay: amounts.length / MONTH_DAYS,
      varianceMinor: amounts.length === 0 ? 0 : squares / amounts.length,
      distinctPayees: (payees[customer] as Set<number>).size,
      failureRate: answered === 0 ? 0 : refusals / answered,
      // Debt at θ = M lasts as long as it takes to spend M; on average half of that has passed.
      debtAgeDays: spentMinor === 0 ? 0 : Math.min(MONTH_DAYS, Number(BORDER_MINOR) / (spentMinor / MONTH_DAYS) / 2),
      spentMinor,
      observedDays: MONTH_DAYS,
      refusals,
    }
  })
}
