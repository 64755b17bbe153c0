/** One figure against another: what `verify`, the tests and the simulator print and judge (design §8). */
import type {
  BankReport,
  CppReport,
  MerchantReport,
  MppReport,
  PaymentLine,
  Report,
  WalletReport,
} from '../runtime/reports.ts'

export type Check = {
  /** What must hold, then of whom: `accounts add up to zero: hu-kh EUR`. */
  readonly name: string
  /** Of design §8. */
  readonly rule: `§8.${number}`
  readonly ok: boolean
  /** Minor units or counts. */
  readonly left: bigint
  readonly right: bigint
  /** In-transit terms, or what was found. */
  readonly detail?: string
}

/** What is compared: every node's report, and the payments of each node that has some, by node id. */
export type Network = {
  readonly quiet: boolean
  readonly banks: readonly BankReport[]
  readonly cpps: readonly CppReport[]
  readonly mpps: readonly MppReport[]
  readonly merchants: readonly MerchantReport[]
  readonly wallets: readonly WalletReport[]
  readonly payments: ReadonlyMap<string, readonly PaymentLine[]>
}

export const networkOf = (
  reports: readonly Report[],
  payments: ReadonlyMap<string, readonly PaymentLine[]>,
  quiet: boolean,
): Network => {
  const of = <Role extends Report['role']>(role: Role) =>
    reports.filter((report): report is Extract<Report, { readonly role: Role }> => report.role === role)
  return {
    quiet,
    banks: of('bank'),
    cpps: of('cpp'),
    mpps: of('mpp'),
    merchants: of('merchant'),
    wallets: of('customer'),
    payments,
  }
}

type Rule = Check['rule']
const made = (ok: boolean, rule: Rule, name: string, left: bigint, right: bigint, detail?: string): Check => ({
  name,
  rule,
  ok,
  left,
  right,
  ...(detail !== undefined && { detail }),
})

export const equal = (rule: Rule, name: string, left: bigint, right: bigint, detail?: string): Check =>
  made(left === right, rule, name, left, right, detail)
/** On a moving network: `left` is caused by `right` and was read first, so it can only be behind. */
export const atMost = (rule: Rule, name: string, left: bigint, right: bigint, detail?: string): Check =>
  made(left <= right, rule, name, left, right, detail)
/** A figure that only a quiet network can be held to; shown on a moving one, with what is in transit. */
export const shown = (rule: Rule, name: string, left: bigint, right: bigint, detail: string): Check =>
  made(true, rule, name, left, right, detail)
export const failed = (rule: Rule, name: string, detail: string): Check => made(false, rule, name, 0n, 0n, detail)

/** `left` is caused by `right`: equal at rest, at most as much while things move. */
export const follows = (quiet: boolean, rule: Rule, name: string, left: bigint, right: bigint): Check =>
  quiet ? equal(rule, name, left, right) : atMost(rule, name, left, right, `moving: ${right - left} in transit`)

export const sumOf = <T>(items: Iterable<T>, pick: (item: T) => bigint): bigint => {
  let sum = 0n
  for (const item of items) sum += pick(item)
  return sum
}
export const countOf = <T>(items: Iterable<T>, is: (item: T) => boolean): bigint =>
  sumOf(items, (item) => (is(item) ? 1n : 0n))
