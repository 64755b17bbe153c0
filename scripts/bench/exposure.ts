/**
 * What is owed and not yet paid while a workload runs: customers to their CPP, the CPP to the MPP, the MPP to its merchants. Read from
 * the nodes' own rows after each wave. A mean is over time: each value counts for as long as it stood.
 */
import { ledger } from '../../nodes/cpp/state.ts'
import { pairs } from '../../nodes/cpp/state-pairs.ts'
import { PAYEES } from '../../nodes/mpp/state.ts'
import { CPP, customerId, MPP, payeeId, type PaperNetwork } from './network.ts'
import type { WorkloadShape } from './workload.ts'

/** Minor units. */
export type Level = { readonly peakMinor: bigint; readonly meanMinor: bigint; readonly endMinor: bigint }
export type Exposure = {
  /** Customers owe the CPP; payments under way are not yet debt. */
  readonly customers: Level
  /** The CPP owes the MPP. */
  readonly cpp: Level
  /** The MPP owes its payees: accrued, payable and being paid. */
  readonly mpp: Level
  /** Debt of the customers over time, at most {@link MAX_POINTS} points. */
  readonly curve: readonly { readonly atMs: number; readonly minor: bigint }[]
}
const MAX_POINTS = 360

const createLevel = () => {
  let peak = 0n
  let area = 0n
  let value = 0n
  let sinceMs = 0
  return {
    set: (atMs: number, minor: bigint): void => {
      area += value * BigInt(atMs - sinceMs)
      sinceMs = atMs
      value = minor
      if (minor > peak) peak = minor
    },
    figures: (): Level => ({
      peakMinor: peak,
      meanMinor: sinceMs === 0 ? value : area / BigInt(sinceMs),
      endMinor: value,
    }),
  }
}

export const exposureMeter = ({ sim }: PaperNetwork, shape: WorkloadShape) => {
  const read = (id: string) => sim.host(id).host().read
  const debts = new Map<number, bigint>()
  let sum = 0n
  const [customers, cpp, mpp] = [createLevel(), createLevel(), createLevel()]
  const curve: { readonly atMs: number; readonly minor: bigint }[] = []
  const everyMs = (shape.days * 86_400_000) / MAX_POINTS

  const look = (customer: number): void => {
    const row = read(CPP).get(ledger, customerId(customer))
    const owed = row?.kind === 0 ? row.outstandingMinor : 0n
    sum += owed - (debts.get(customer) ?? 0n)
    debts.set(customer, owed)
  }
  const set = (atMs: number): void => {
    customers.set(atMs, sum)
    let payable = 0n
    for (const [, pair] of read(CPP).scan(pairs, [])) payable += pair.payableMinor
    cpp.set(atMs, payable)
    let due = 0n
    for (let payee = 0; payee < shape.merchants; payee++) {
      const row = read(MPP).get(PAYEES, payeeId(payee))
      if (row !== undefined) due += row.accruedMinor + row.payableMinor + row.payingMinor
    }
    mpp.set(atMs, due)
    if (curve.length === 0 || atMs - (curve.at(-1)?.atMs ?? 0) >= everyMs) curve.push({ atMs, minor: sum })
  }

  return {
    /** After a wave of these customers. */
    sample: (atMs: number, paid: readonly number[]): void => {
      for (const customer of paid) look(customer)
      set(atMs)
    },
    /** Whatever may have happened since: a window's end, an age. → the debt of each customer */
    sampleAll: (atMs: number): ReadonlyMap<number, bigint> => {
      for (let customer = 0; customer < shape.customers; customer++) look(customer)
      set(atMs)
      return debts
    },
    figures: (): Exposure => ({ customers: customers.figures(), cpp: cpp.figures(), mpp: mpp.figures(), curve }),
  }
}
