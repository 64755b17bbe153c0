/**
 * What a choice of θ costs over a stretch of time: transfers at a fee each, the funding of what is owed, and what of it is lost when
 * customers default. A replay of the rule in plain numbers, fast enough to try every θ; `replay.ts` is the exact one. Money here is
 * an estimate in fractions of minor units and never leaves the analysis.
 */
import type { WorkloadPayment } from './workload.ts'

/** One customer's payments, in the order of time. */
export type Spending = {
  /** Days since the start. */
  readonly days: Float64Array
  /** Minor units. */
  readonly amounts: Float64Array
}

export type CostTerms = {
  readonly feeMinor: number
  readonly fundingRatePerYear: number
}
/** Minor units. */
export type Cost = {
  readonly transfers: number
  readonly feesMinor: number
  readonly fundingMinor: number
  readonly lossMinor: number
  readonly totalMinor: number
}

export const spendingOf = (payments: readonly WorkloadPayment[], customers: number): readonly Spending[] => {
  const lists: { days: number[]; amounts: number[] }[] = Array.from({ length: customers }, () => ({
    days: [],
    amounts: [],
  }))
  for (const { customer, atMs, amountMinor } of payments) {
    const list = lists[customer] as (typeof lists)[number]
    list.days.push(atMs / 86_400_000)
    list.amounts.push(Number(amountMinor))
  }
  return lists.map(({ days, amounts }) => ({ days: Float64Array.from(days), amounts: Float64Array.from(amounts) }))
}

/**
 * One customer between `fromDay` and `toDay`, owing nothing at first. What is owed at the end will be collected with more to come:
 * it counts as the share of a transfer that it is of θ, or else a high θ would look cheap for what it has put off.
 * @returns transfers, and the debt's integral over time in minor units times days
 */
export const debtOf = (
  { days, amounts }: Spending,
  theta: number,
  fromDay: number,
  toDay: number,
): { readonly transfers: number; readonly minorDays: number } => {
  let debt = 0
  let since = fromDay
  let transfers = 0
  let minorDays = 0
  for (let at = 0; at < days.length; at++) {
    const day = days[at] as number
    if (day < fromDay) continue
    if (day >= toDay) break
    const amount = amounts[at] as number
    minorDays += debt * (day - since)
    since = day
    if (debt > 0 && debt + amount >= theta) {
      transfers += 1
      debt = 0
    }
    debt += amount
  }
  return { transfers: transfers + debt / Math.max(theta, debt), minorDays: minorDays + debt * (toDay - since) }
}

/** All customers; `hazards` are true ones, a day. A customer who defaults loses the CPP what is owed at that moment. */
export const costOf = (
  spending: readonly Spending[],
  thetaOf: (customer: number) => number,
  hazards: readonly number[],
  { feeMinor, fundingRatePerYear }: CostTerms,
  [fromDay, toDay]: readonly [number, number],
): Cost => {
  let transfers = 0
  let fundingMinor = 0
  let lossMinor = 0
  spending.forEach((one, customer) => {
    const debt = debtOf(one, thetaOf(customer), fromDay, toDay)
    transfers += debt.transfers
    fundingMinor += (debt.minorDays * fundingRatePerYear) / 365
    lossMinor += debt.minorDays * (hazards[customer] as number)
  })
  const feesMinor = transfers * feeMinor
  return { transfers, feesMinor, fundingMinor, lossMinor, totalMinor: feesMinor + fundingMinor + lossMinor }
}

export type Best = { readonly theta: number; readonly cost: Cost }

/**
 * The single θ in [`lowest`, `highest`] that costs least: a grid of steps of a few per cent, then every whole minor unit between the best's
 * neighbours that a second, finer grid meets. Cost over θ is ragged, so nothing cleverer is sure to find it.
 */
export const bestSingle = (cost: (theta: number) => Cost, lowest: number, highest: number): Best => {
  const search = (from: number, to: number, steps: number): Best => {
    let best: Best | undefined
    for (let step = 0; step <= steps; step++) {
      const theta = Math.round(from * (to / from) ** (step / steps))
      const found = { theta, cost: cost(theta) }
      if (best === undefined || found.cost.totalMinor < best.cost.totalMinor) best = found
    }
    return best as Best
  }
  const coarse = search(lowest, highest, COARSE_STEPS)
  const ratio = (highest / lowest) ** (1 / COARSE_STEPS)
  const fine = search(Math.max(lowest, coarse.theta / ratio), Math.min(highest, coarse.theta * ratio), FINE_STEPS)
  return fine.cost.totalMinor < coarse.cost.totalMinor ? fine : coarse
}
const COARSE_STEPS = 48
const FINE_STEPS = 12
