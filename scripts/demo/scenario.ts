/**
 * What the demo does: every kind of payment that the network knows, each with the end that it must have. Groups run in the
 * order given; the orders of a group run in turn when it is `sequential`, else side by side.
 */
import type { FinalState } from '../../nodes/runtime/reports.ts'

export type Order = {
  readonly kind: string
  readonly customer: string
  readonly payee: string
  readonly amountMinor: bigint
  readonly cpp?: string
  readonly item?: string
  /** In minor units of the account's currency. */
  readonly maxCostMinor?: bigint
  /** A payee asks for it through the customer's alias; the customer accepts, or declines. */
  readonly requested?: { readonly alias: string; readonly accept: boolean }
  /** Once it is confirmed, the payee gives so much of it back; `expect` is of the refund. */
  readonly refundMinor?: bigint
  readonly expect: Expectation
}
/** `declined`: the customer did not pay a request. `code`: of an end that is not confirmed. */
export type Expectation = {
  readonly outcome: FinalState | 'declined'
  readonly confirmation?: 'T' | 'DT'
  readonly code?: string
}

/** Between two orders: what an operator or a customer does. */
export type Action =
  | { readonly act: 'unlock-wallet'; readonly customer: string; readonly pin: 'wrong' | 'right' }
  | { readonly act: 'unlock-at-cpp'; readonly customer: string; readonly cpp: string }

export type Group = { readonly name: string; readonly sequential: boolean; readonly steps: readonly (Order | Action)[] }

const DT: Expectation = { outcome: 'confirmed', confirmation: 'DT' }
const T: Expectation = { outcome: 'confirmed', confirmation: 'T' }
const refused = (code: string): Expectation => ({ outcome: 'refused', code })

const times = <T>(count: number, make: (i: number) => T): readonly T[] =>
  Array.from({ length: count }, (_, i) => make(i))
/** A spread of small amounts, the same at each run: 10, 27, 44 … cents. */
const cents = (i: number): bigint => BigInt(10 + ((i * 17) % 190))

const micro = (kind: string, customer: string, payee: string, i: number): Order => ({
  kind,
  customer,
  payee,
  amountMinor: cents(i),
  expect: DT,
})
const macro = (kind: string, customer: string, payee: string, amountMinor: bigint): Order => ({
  kind,
  customer,
  payee,
  amountMinor,
  expect: T,
})

const shoppers: readonly Order[] = [
  ...times(66, (i) => micro('micro, local', `hu-c${1 + (i % 10)}`, i % 3 === 0 ? 'kiosk@hu' : 'bakery@hu', i)),
  ...times(20, (i) => micro('micro, international', `hu-c${1 + (i % 10)}`, i % 2 === 0 ? 'cafe@ro' : 'tram@ro', i)),
  ...times(24, (i) => micro('micro, international', `ro-c${1 + (i % 10)}`, 'bakery@hu', i)),
  ...times(8, (i) => macro('macro, one bank', `hu-c${1 + i}`, 'bakery@hu', 1_850n)),
  ...times(8, (i) => macro('macro, two banks', `hu-c${1 + i}`, 'kiosk@hu', 1_200n + BigInt(i))),
  ...times(8, (i) => macro('macro, international', `hu-c${1 + i}`, 'cafe@ro', 2_400n)),
  ...times(6, (i) => micro('person to person', `hu-c${1 + i}`, i % 2 === 0 ? 'anna@hu' : 'mihai@ro', i)),
  ...times(2, (i) => macro('person to person', 'hu-anna', i === 0 ? 'mihai@ro' : 'anna@hu', 4_000n)),
  ...times(4, (i) =>
    macro('business to business', i % 2 === 0 ? 'hu-bakery-buys' : 'ro-cafe-buys', 'wholesale@hu', 25_000n),
  ),
  ...times(4, (i) =>
    macro(
      'business to consumer',
      i % 2 === 0 ? 'hu-bakery-buys' : 'ro-cafe-buys',
      i % 2 === 0 ? 'anna@hu' : 'mihai@ro',
      6_000n,
    ),
  ),
  ...times(8, (i) =>
    micro('another currency, micro', i % 4 === 3 ? 'hu-imre' : 'hu-eva', i % 2 === 0 ? 'bakery@hu' : 'cafe@ro', i),
  ),
  ...times(4, (i) =>
    macro('another currency, macro', i < 2 ? 'hu-eva' : 'hu-imre', i % 2 === 0 ? 'bakery@hu' : 'cafe@ro', 1_500n),
  ),
  ...times(6, (i): Order => ({
    ...micro('second processor', 'hu-bela', 'kiosk@hu', i),
    cpp: i % 2 === 0 ? 'ro-libra' : 'hu-otp',
  })),
]

const refusals: readonly Order[] = [
  ...times(5, (i): Order => ({
    ...micro('rejected by the payee', `ro-c${1 + i}`, 'museum@ro', i),
    expect: { outcome: 'rejected', code: 'REJECTED_BY_PAYEE' },
  })),
  ...times(3, (i): Order => ({
    ...macro("over the payee's limit", `hu-c${1 + i}`, 'cinema@hu', 3_000n),
    expect: { outcome: 'rejected', code: 'REJECTED_BY_PAYEE' },
  })),
  ...times(4, (i): Order => ({
    ...micro('silent payee', `ro-c${1 + i}`, 'hotel@ro', i),
    expect: { outcome: 'expired', code: 'NOTICE_EXPIRED' },
  })),
  ...times(3, (i): Order => ({
    ...micro('unknown payee', `hu-c${1 + i}`, 'nobody@hu', i),
    expect: refused('NOT_FOUND'),
  })),
  {
    ...micro('over the cost agreed to', 'hu-eva', 'kiosk@hu', 5),
    maxCostMinor: 100n,
    expect: refused('COST_EXCEEDED'),
  },
  ...times(2, (i): Order => ({
    ...macro('no funds, macro', 'hu-poor', 'bakery@hu', 3_000n + BigInt(i)),
    expect: refused('INSUFFICIENT_FUNDS'),
  })),
]

const crossings: readonly Order[] = times(14, (i) => ({
  ...micro('crossing the threshold', 'hu-c11', 'bakery@hu', i),
  amountMinor: 300n,
}))

/** The same from an account in HUF: each costs 1206.00, so θ of 4000.00 is crossed at every fourth. */
const exchangedCrossings: readonly Order[] = times(5, (i) => ({
  ...micro('crossing in another currency', 'hu-eva', 'bakery@hu', i),
  amountMinor: 300n,
}))

/** A debt of 9.90 that the account's 2.00 cannot cover: the collection is refused, then the customer is suspended. */
const poor: readonly Order[] = [
  { kind: 'no funds, collection', customer: 'hu-poor', payee: 'bakery@hu', amountMinor: 500n, expect: DT },
  { kind: 'no funds, collection', customer: 'hu-poor', payee: 'bakery@hu', amountMinor: 490n, expect: DT },
  {
    kind: 'no funds, collection',
    customer: 'hu-poor',
    payee: 'bakery@hu',
    amountMinor: 100n,
    expect: refused('COLLECTION_REFUSED'),
  },
  {
    kind: 'no funds, collection',
    customer: 'hu-poor',
    payee: 'bakery@hu',
    amountMinor: 100n,
    expect: refused('CUSTOMER_SUSPENDED'),
  },
]

const forgetful = 'hu-c14'
const wrongPin: readonly (Order | Action)[] = [
  { act: 'unlock-wallet', customer: forgetful, pin: 'wrong' },
  ...times(3, (i): Order => ({ ...micro('wrong PIN', forgetful, 'bakery@hu', i), expect: refused('WRONG_PIN') })),
  { act: 'unlock-wallet', customer: forgetful, pin: 'right' },
  { ...micro('wrong PIN, locked', forgetful, 'bakery@hu', 3), expect: refused('PIN_LOCKED') },
  { act: 'unlock-at-cpp', customer: forgetful, cpp: 'hu-otp' },
  micro('wrong PIN, unlocked again', forgetful, 'bakery@hu', 4),
]

const ask = (kind: string, customer: string, payee: string, i: number, accept = true): Order => ({
  ...micro(kind, customer, payee, i),
  requested: { alias: `${customer}-pays`, accept },
  expect: accept ? DT : { outcome: 'declined' },
})
const requests: readonly Order[] = [
  ...times(3, (i) => ask('request to pay, local', 'hu-anna', 'bakery@hu', i)),
  ...times(3, (i) => ask('request to pay, international', 'hu-anna', 'cafe@ro', i)),
  ...times(2, (i) => ask('request to pay, international', 'ro-mihai', 'anna@hu', i)),
  ask('request to pay, another currency', 'hu-eva', 'bakery@hu', 2),
  ask('request to pay, declined', 'hu-anna', 'kiosk@hu', 1, false),
]

/** In part and in full, and more than was paid, which the merchant host does not let through. */
const refunds: readonly Order[] = [
  ...['bakery@hu', 'cafe@ro'].flatMap((payee): Order[] => [
    { ...micro('refund, micro', 'hu-anna', payee, 9), refundMinor: 50n, expect: { outcome: 'confirmed' } },
    { ...micro('refund, micro', 'ro-mihai', payee, 9), refundMinor: cents(9), expect: { outcome: 'confirmed' } },
    { ...macro('refund, macro', 'hu-anna', payee, 1_500n), refundMinor: 700n, expect: { outcome: 'confirmed' } },
  ]),
  {
    ...micro('refund of too much', 'hu-anna', 'kiosk@hu', 3),
    refundMinor: cents(3) + 1n,
    expect: refused('REFUND_EXCEEDED'),
  },
]

/** Before and after the network is stopped and started again. */
export const FIRST_HALF: readonly Group[] = [
  { name: 'shopping', sequential: false, steps: [...shoppers.filter((_, i) => i % 2 === 0), ...refusals] },
  { name: 'crossing the threshold', sequential: true, steps: crossings.slice(0, 7) },
  { name: 'a wrong PIN', sequential: true, steps: wrongPin },
]
export const SECOND_HALF: readonly Group[] = [
  { name: 'shopping', sequential: false, steps: shoppers.filter((_, i) => i % 2 === 1) },
  { name: 'crossing the threshold', sequential: true, steps: crossings.slice(7) },
  { name: 'crossing in another currency', sequential: true, steps: exchangedCrossings },
  { name: 'an empty account', sequential: true, steps: poor },
  { name: 'requests to pay', sequential: true, steps: requests },
  { name: 'refunds', sequential: true, steps: refunds },
]

export const isOrder = (step: Order | Action): step is Order => 'kind' in step
export const ordersOf = (groups: readonly Group[]): readonly Order[] =>
  groups.flatMap(({ steps }) => steps.filter(isOrder))
