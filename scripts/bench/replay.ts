/**
 * The paper's rule of aggregation, written down a second time: an independent judge of what the CPP did. It shares no code with
 * `nodes/cpp/` and knows no concurrency: payments come one after another, each is confirmed, each collection is booked before the
 * next payment.
 */
import type { WorkloadPayment } from './workload.ts'

export type Replayed = {
  readonly collections: number
  readonly collectedMinor: bigint
  /** What is owed at the end, by customer; those that owe nothing are absent. */
  readonly debts: ReadonlyMap<number, bigint>
  /** How much each collection of a customer brought in, in order. */
  readonly byCustomer: ReadonlyMap<number, readonly bigint[]>
}

/**
 * A payment that would bring a customer's debt to `thresholdMinor` or above has the whole debt before it collected first; debt
 * that has lasted `maxDebtAgeMs` is collected whatever its size.
 */
export const replay = (
  payments: readonly WorkloadPayment[],
  thresholdOf: (customer: number) => bigint,
  maxDebtAgeMs: number,
): Replayed => {
  const debts = new Map<number, { minor: bigint; readonly sinceMs: number }>()
  const byCustomer = new Map<number, bigint[]>()
  let collections = 0
  let collectedMinor = 0n
  const collect = (customer: number): void => {
    const { minor } = debts.get(customer) as { readonly minor: bigint }
    debts.delete(customer)
    collections += 1
    collectedMinor += minor
    const list = byCustomer.get(customer)
    if (list === undefined) byCustomer.set(customer, [minor])
    else list.push(minor)
  }
  for (const { customer, amountMinor, atMs } of payments) {
    const before = debts.get(customer)
    if (before !== undefined)
      if (atMs >= before.sinceMs + maxDebtAgeMs || before.minor + amountMinor >= thresholdOf(customer))
        collect(customer)
    const debt = debts.get(customer)
    if (debt === undefined) debts.set(customer, { minor: amountMinor, sinceMs: atMs })
    else debt.minor += amountMinor
  }
  return {
    collections,
    collectedMinor,
    debts: new Map([...debts].map(([customer, { minor }]) => [customer, minor])),
    byCustomer,
  }
}
