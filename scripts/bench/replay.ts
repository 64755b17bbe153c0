/**
 * The paper's rule of aggregation, written down a second time: an independent judge of what the CPP did. It shares no code with
 * `nodes/cpp/` and knows no concurrency: payments come one after another, each is confirmed, each collection is booked before the
 * next payment.
 */
import type { WorkloadPayment } from './workload.ts'

export type Replayed = {
  readonly collections: number
  /** Orders to banks: with windows, one for all that a window's end collects. */
  readonly orders: number
  readonly collectedMinor: bigint
  /** What is owed at the end, by customer; those that owe nothing are absent. */
  readonly debts: ReadonlyMap<number, bigint>
  /** The most that all customers together owed after any moment. */
  readonly peakMinor: bigint
  /** Of each payment, in order: did it have to wait for a collection? */
  readonly crossed: readonly boolean[]
}

/** At the end of each window, whole multiples of `windowMs`, whoever owes `lowWaterMinor` or more has it collected, all in one order. */
export type Windows = { readonly windowMs: number; readonly lowWaterMinor: bigint }

/**
 * A payment that would bring a customer's debt to `thresholdMinor` or above has the whole debt before it collected first; debt
 * that has lasted `maxDebtAgeMs` is collected whatever its size.
 */
export const replay = (
  payments: readonly WorkloadPayment[],
  thresholdOf: (customer: number) => bigint,
  maxDebtAgeMs: number,
  windows?: Windows,
): Replayed => {
  const debts = new Map<number, { minor: bigint; readonly sinceMs: number }>()
  const crossed: boolean[] = []
  let owed = 0n
  let peakMinor = 0n
  let collections = 0
  let orders = 0
  let collectedMinor = 0n
  const collect = (customer: number): void => {
    const { minor } = debts.get(customer) as { readonly minor: bigint }
    debts.delete(customer)
    collections += 1
    collectedMinor += minor
    owed -= minor
  }
  const endWindow = ({ lowWaterMinor }: Windows): void => {
    const due = [...debts].filter(([, { minor }]) => minor >= lowWaterMinor)
    if (due.length > 0) orders += 1
    for (const [customer] of due) collect(customer)
  }
  const collectAlone = (customer: number): void => {
    collect(customer)
    orders += 1
  }
  let window = 0
  for (const [at, { customer, amountMinor, atMs }] of payments.entries()) {
    if (atMs !== payments[at - 1]?.atMs && owed > peakMinor) peakMinor = owed
    // Nothing happens between two payments: of the windows that ended there the first finds everything.
    if (windows !== undefined && Math.floor(atMs / windows.windowMs) !== window) {
      window = Math.floor(atMs / windows.windowMs)
      endWindow(windows)
    }
    const before = debts.get(customer)
    if (before !== undefined && atMs >= before.sinceMs + maxDebtAgeMs) collectAlone(customer)
    const standing = debts.get(customer)
    const crosses = standing !== undefined && standing.minor + amountMinor >= thresholdOf(customer)
    if (crosses) collectAlone(customer)
    crossed.push(crosses)
    owed += amountMinor
    const debt = debts.get(customer)
    if (debt === undefined) debts.set(customer, { minor: amountMinor, sinceMs: atMs })
    else debt.minor += amountMinor
  }
  return {
    collections,
    orders,
    collectedMinor,
    debts: new Map([...debts].map(([customer, { minor }]) => [customer, minor])),
    peakMinor: owed > peakMinor ? owed : peakMinor,
    crossed,
  }
}
