/**
 * Reports and payment lines as they come over the control socket (nodes/runtime/json.ts): money as decimal text. Every field of
 * money, and no other, has a name that ends in `Minor`.
 */
import type { PaymentsPage, Report } from '../runtime/reports.ts'

const restore = (value: unknown, name: string): unknown => {
  if (name.endsWith('Minor')) {
    if (typeof value === 'bigint') return value
    if (typeof value === 'string' && /^-?\d{1,30}$/.test(value)) return BigInt(value)
    throw new TypeError(`${name} is not an amount: ${JSON.stringify(value)}`)
  }
  if (Array.isArray(value)) return value.map((item) => restore(item, ''))
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([field, inner]) => [field, restore(inner, field)]))
  return value
}

const ROLES: readonly string[] = [
  'cpp',
  'mpp',
  'bank',
  'merchant',
  'customer',
  'dc',
] satisfies readonly Report['role'][]

/** @throws TypeError when it is no report, or an amount is not decimal text */
export const reportFromJson = (json: unknown): Report => {
  const report = restore(json, '') as Report
  if (typeof report !== 'object' || report === null || !ROLES.includes(report.role)) throw new TypeError('not a report')
  return report
}

/** @throws TypeError when it is no page of payments, or an amount is not decimal text */
export const paymentsFromJson = (json: unknown): PaymentsPage => {
  const page = restore(json, '') as PaymentsPage
  if (typeof page !== 'object' || page === null || !Array.isArray(page.payments))
    throw new TypeError('not a page of payments')
  return page
}
