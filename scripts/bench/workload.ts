/**
 * The workload of the paper's analysis: who pays whom how much and when, drawn from a seed. Amounts are lognormal (many tiny, few
 * large), cut at the scheme's border M, so that every payment is a micropayment.
 *
 * Payments come in waves, at most one of a customer in each: within a wave a processor is as busy as one with far more customers
 * is all day, which is what batch seals are for, and each customer's payments still follow one another, so that the aggregation
 * rule can be replayed payment by payment. Invariant: payments are in the order of time, and a customer's times differ.
 */
import { CURRENCIES } from '../../protocol/amount.ts'
import { createDraws, type Draws } from './draws.ts'

export const CURRENCY = 'EUR'
/** The border M in minor units. */
export const BORDER_MINOR = CURRENCIES[CURRENCY].macroFromMinor
const MINUTE = 60_000
export const DAY_MS = 1_440 * MINUTE

export type WorkloadShape = {
  readonly customers: number
  readonly merchants: number
  /** Of all customers together; each makes at least one. */
  readonly payments: number
  readonly days: number
  /** Between two waves. */
  readonly waveMs: number
  /** In minor units. */
  readonly meanAmountMinor: number
  /** σ of the logarithm of an amount. */
  readonly sigma: number
  /** How customers differ: σ of the logarithms of a customer's mean amount and of its rate. 0: all alike. */
  readonly customerSigma: number
}

export const DEFAULT_SHAPE: WorkloadShape = {
  customers: 1_000,
  merchants: 100,
  payments: 100_000,
  days: 30,
  waveMs: 20 * MINUTE,
  meanAmountMinor: 40,
  sigma: 1,
  customerSigma: 0,
}

export type WorkloadPayment = {
  /** Since the start. */
  readonly atMs: number
  readonly customer: number
  readonly merchant: number
  readonly amountMinor: bigint
}

export type Workload = {
  readonly shape: WorkloadShape
  readonly seed: string
  readonly payments: readonly WorkloadPayment[]
  readonly totalMinor: bigint
}

export const makeWorkload = (shape: WorkloadShape, seed: string): Workload => {
  const draws = createDraws(`workload ${seed}`)
  const waves = Math.floor((shape.days * DAY_MS) / shape.waveMs)
  const people = customersOf(shape, draws)
  const payments = people
    .flatMap(({ count, meanAmountMinor }, customer) =>
      distinctWaves(draws, Math.min(count, waves), waves).map((wave) => ({
        atMs: wave * shape.waveMs,
        customer,
        merchant: draws.below(shape.merchants),
        amountMinor: amountOf(draws, meanAmountMinor, shape.sigma),
      })),
    )
    .toSorted((a, b) => a.atMs - b.atMs || a.customer - b.customer)
  return { shape, seed, payments, totalMinor: payments.reduce((sum, { amountMinor }) => sum + amountMinor, 0n) }
}

type Person = { readonly count: number; readonly meanAmountMinor: number }
const customersOf = (shape: WorkloadShape, draws: Draws): readonly Person[] => {
  const { customers, payments, meanAmountMinor, customerSigma } = shape
  const drawn = Array.from({ length: customers }, () => ({
    rate: customerSigma === 0 ? 1 : draws.lognormal(1, customerSigma),
    mean: customerSigma === 0 ? meanAmountMinor : draws.lognormal(meanAmountMinor, customerSigma),
  }))
  const rates = drawn.reduce((sum, { rate }) => sum + rate, 0)
  return drawn.map(({ rate, mean }) => ({
    count: Math.max(1, Math.round((payments * rate) / rates)),
    meanAmountMinor: mean,
  }))
}

/** Whole minor units, at least one, below M: what is above is drawn again. */
const amountOf = (draws: Draws, mean: number, sigma: number): bigint => {
  for (;;) {
    const minor = BigInt(Math.max(1, Math.round(draws.lognormal(mean, sigma))))
    if (minor < BORDER_MINOR) return minor
  }
}

/** In the order of time. */
const distinctWaves = (draws: Draws, count: number, waves: number): readonly number[] => {
  const chosen = new Set<number>()
  while (chosen.size < count) chosen.add(draws.below(waves))
  return [...chosen].toSorted((a, b) => a - b)
}

/**
 * The first `customers` of a workload with all they pay, in the same order, in fewer waves: what a run that need not be large is made
 * with. A customer's payments, and so what the aggregation rule does with them, are the same.
 */
export const sampleOf = (workload: Workload, customers: number): Workload => {
  const { shape, seed } = workload
  if (customers >= shape.customers) return workload
  const share = customers / shape.customers
  const own: WorkloadPayment[][] = Array.from({ length: customers }, () => [])
  for (const payment of workload.payments) own[payment.customer]?.push(payment)
  const most = Math.max(...own.map(({ length }) => length))
  const waves = Math.max(Math.ceil(most * SPARE_WAVES), Math.floor((shape.days * DAY_MS * share) / shape.waveMs))
  // Whole minutes, so that windows of a policy end between waves.
  const waveMs = Math.floor((shape.days * DAY_MS) / waves / MINUTE) * MINUTE
  const merchants = Math.max(1, Math.round(shape.merchants * share))
  const payments = own
    .flatMap((list) =>
      inWaves(
        list.map(({ atMs }) => Math.floor(atMs / waveMs)),
        waves,
      ).map((wave, at) => {
        const payment = list[at] as WorkloadPayment
        return { ...payment, atMs: wave * waveMs, merchant: payment.merchant % merchants }
      }),
    )
    .toSorted((a, b) => a.atMs - b.atMs || a.customer - b.customer)
  return {
    shape: { ...shape, customers, merchants, waveMs, payments: payments.length },
    seed,
    payments,
    totalMinor: payments.reduce((sum, { amountMinor }) => sum + amountMinor, 0n),
  }
}
/** Waves per payment of the customer with most, at least. */
const SPARE_WAVES = 1.2

/** Each wave of a sorted list at its place or next to it, no two the same, all below `waves`. */
const inWaves = (wanted: readonly number[], waves: number): readonly number[] => {
  let next = 0
  const forward = wanted.map((wave) => {
    const chosen = Math.max(next, wave)
    next = chosen + 1
    return chosen
  })
  return forward.map((wave, at) => Math.min(wave, waves - (forward.length - at)))
}
