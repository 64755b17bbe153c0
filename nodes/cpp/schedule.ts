/**
 * The moments at which a customer's debt is looked at again. Each is a deadline or an index row, so that nobody ever looks at all
 * customers to find those who are due.
 *
 * Invariants: who owes and is not suspended has one armed `debt-age` deadline, or a collection runs whose answer arms it, or stands
 * in `dues`; under a policy with a low-water mark, who owes at least that much while no collection runs stands in `dues`, and the
 * deadline of his window is armed.
 */
import type { Currency } from '../../protocol/amount.ts'
import { fromUtf8 } from '../../protocol/bytes.ts'
import { bankOf } from '../../protocol/ids.ts'
import { put, remove, type Context, type Deadline } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { dues, NO_TROUBLE, troubles, type TroubleRow } from './aggregation-state.ts'
import type { Part, Step } from './parts.ts'
import { aggregationPolicy } from './policies.ts'
import type { CppPolicy } from './policy.ts'
import type { CustomerRow, TotalRow } from './state.ts'

type Ctx = Context<CppPolicy>

export const DEBT_AGE = 'debt-age'
export const BULK_WINDOW = 'bulk-window'
export const COLLECTION_RETRY = 'collection-retry'

/** Text keys end in a zero byte. */
export const customerOfKey = (key: Uint8Array): string => fromUtf8(key.subarray(0, -1))

const debtAge = (customer: string, atMs: number): Deadline => ({ name: DEBT_AGE, key: keyOf(customer), atMs })

/** Debt never stays for ever below θ: one deadline a customer, armed while something is owed. */
export const armDebtAge = (total: TotalRow, customer: string, { policy, nowMs }: Ctx): Step => {
  if (total.outstandingMinor === 0n || total.debtAgeAtMs !== 0 || total.suspendedAtMs !== 0) return { total, parts: [] }
  const rules = aggregationPolicy(policy.aggregation)
  const dueAtMs = rules.collectByMs(total.debtSinceMs)
  // Due already, by a policy set since: at the next moment that policy knows, so that not all are collected at once.
  const atMs = dueAtMs > nowMs ? dueAtMs : rules.nextMomentMs(nowMs)
  return { total: { ...total, debtAgeAtMs: atMs }, parts: [{ set: [debtAge(customer, atMs)] }] }
}

/** The key of a bulk window's deadline: whose bank, which currency. */
export const windowKey = (bank: string, currency: Currency): Uint8Array => keyOf(bank, currency)
const dueKey = ({ account, customer }: CustomerRow, currency: Currency): Uint8Array =>
  keyOf(bankOf(account), currency, customer)

/**
 * Enters the customer for the bulk order of this window, if the policy makes any and enough is owed. The deadline's row is the same
 * for all who enter in one window: it is set without asking whether it is.
 * @param aged the debt is old enough, whatever its size
 */
export const joinWindow = (total: TotalRow, customer: CustomerRow, { policy, nowMs }: Ctx, aged = false): Part => {
  const { currency } = total
  const rules = aggregationPolicy(policy.aggregation)
  const lowWaterMinor = rules.lowWaterMinor(currency)
  if (lowWaterMinor === undefined || total.collectingMinor !== 0n || total.suspendedAtMs !== 0) return {}
  if (total.outstandingMinor === 0n || (!aged && total.outstandingMinor < lowWaterMinor)) return {}
  const atMs = rules.nextMomentMs(nowMs)
  return {
    writes: [put(dues, dueKey(customer, currency), { customer: customer.customer })],
    set: [{ name: BULK_WINDOW, key: windowKey(bankOf(customer.account), currency), atMs }],
  }
}

/** After a payment was confirmed: nothing but the crossing of the low-water mark is written. */
export const crossLowWater = (before: TotalRow, after: TotalRow, customer: CustomerRow, context: Ctx): Part => {
  const lowWaterMinor = aggregationPolicy(context.policy.aggregation).lowWaterMinor(after.currency)
  return lowWaterMinor !== undefined && before.outstandingMinor < lowWaterMinor
    ? joinWindow(after, customer, context)
    : {}
}

/** A collection of this customer begins: the bulk order of the window need not look. */
export const leaveWindow = (customer: CustomerRow, currency: Currency, { policy }: Ctx): Part =>
  aggregationPolicy(policy.aggregation).lowWaterMinor(currency) === undefined
    ? {}
    : { writes: [remove(dues, dueKey(customer, currency))] }

/** Sets every moment of a customer anew, by the policy in force now. */
export const rearm = (before: TotalRow, customer: CustomerRow, context: Ctx): Step => {
  const { customer: id } = customer
  const left = { writes: [remove(dues, dueKey(customer, before.currency))] }
  const cleared = before.debtAgeAtMs === 0 ? {} : { clear: [debtAge(id, before.debtAgeAtMs)] }
  const idle: TotalRow = { ...before, debtAgeAtMs: 0 }
  if (before.collectingMinor !== 0n) return { total: idle, parts: [left, cleared] }
  const step = armDebtAge(idle, id, context)
  return { total: step.total, parts: [left, cleared, ...step.parts, joinWindow(step.total, customer, context)] }
}

const retryDeadline = (customer: string, atMs: number): Deadline => ({
  name: COLLECTION_RETRY,
  key: keyOf(customer),
  atMs,
})
const disarm = (customer: string, { retryAtMs }: TroubleRow): readonly Deadline[] =>
  retryAtMs === 0 ? [] : [retryDeadline(customer, retryAtMs)]

/** A collection was refused: it is ordered again after a wait that doubles with each refusal, a bounded number of times. */
export const retryLater = (before: TroubleRow | undefined, customer: string, { policy, nowMs }: Ctx): Part => {
  const trouble = before ?? NO_TROUBLE
  const { firstMs, maxMs, maxRetries } = policy.collectionRetry
  const inARow = trouble.inARow + 1
  const again = inARow <= maxRetries
  const retryAtMs = again ? nowMs + Math.min(firstMs * 2 ** (inARow - 1), maxMs) : 0
  return {
    writes: [put(troubles, keyOf(customer), { refusals: trouble.refusals + 1, inARow, retryAtMs })],
    clear: disarm(customer, trouble),
    set: again ? [retryDeadline(customer, retryAtMs)] : [],
  }
}

/** A collection was booked, or its retry is under way: no retry is armed. */
export const retryNoMore = (trouble: TroubleRow | undefined, customer: string, booked: boolean): Part => {
  if (trouble === undefined || (trouble.retryAtMs === 0 && !(booked && trouble.inARow > 0))) return {}
  const inARow = booked ? 0 : trouble.inARow
  return {
    writes: [put(troubles, keyOf(customer), { ...trouble, inARow, retryAtMs: 0 })],
    clear: disarm(customer, trouble),
  }
}
