/** A small network at rest, by hand, for tests that break one figure of it, and what `verify` says of it. */
import type {
  BankReport,
  CppReport,
  MerchantReport,
  MppReport,
  PaymentLine,
  Report,
  WalletReport,
} from '../../runtime/reports.ts'
import { checkNetwork, type Check } from '../check-network.ts'

export type Writable<T> = { -readonly [K in keyof T]: T[K] extends object ? Writable<T[K]> : T[K] }
export type Fixture = {
  wallet: Writable<WalletReport>
  merchant: Writable<MerchantReport>
  mpp: Writable<MppReport>
  cpp: Writable<CppReport>
  payerBank: Writable<BankReport>
  payeeBank: Writable<BankReport>
  settlementBank: Writable<BankReport>
  payments: Record<'hu-wallets-1' | 'ro-shops-1' | 'ro-danube' | 'hu-otp', Writable<PaymentLine>[]>
}

export const bankTotals = (heldByHoldersMinor: bigint, clearedMinor = 0n): BankReport['totals'][number] => ({
  currency: 'EUR',
  sumMinor: 0n,
  heldByHoldersMinor,
  holdsMinor: 0n,
  negativeHolderAccounts: 0,
  unbalancedEntries: 0,
  accountsOffJournal: 0,
  accountsOffHolds: 0,
  clearedMinor,
})
export const emptyBank = (id: string, heldByHoldersMinor: bigint, clearedMinor = 0n): BankReport => ({
  role: 'bank',
  id,
  totals: [bankTotals(heldByHoldersMinor, clearedMinor)],
  clearing: [],
  accounts: [],
  inTransit: { credits: 0, clearingOrders: 0 },
  transit: [],
  unclearCredits: 0,
  orders: [],
  collections: 0,
  reserves: [],
  queued: [],
  pendingNotices: [],
})
export const line = (n: number, mode: 'micro' | 'macro', amountMinor: bigint, state = 'confirmed'): PaymentLine => ({
  prId: `pr${n}`,
  pnId: `pn${n}`,
  payee: 'ro-cafe',
  txId: `tx${n}`,
  amountMinor,
  currency: 'EUR',
  mode,
  state,
  cpp: 'hu-otp',
  mpp: 'ro-danube',
  customer: 'hu-anna',
})
export const without = (one: PaymentLine, ...fields: readonly (keyof PaymentLine)[]): PaymentLine =>
  Object.fromEntries(
    Object.entries(one).filter(([field]) => !fields.includes(field as keyof PaymentLine)),
  ) as PaymentLine

/**
 * A network at rest, by hand: anna pays 300 + 400 + 200 micro and 5000 macro; the first two micropayments are collected,
 * settled through clearing and paid out, 200 is outstanding, payable and accrued; one payment was rejected.
 */
export const atRest = (): Fixture => {
  const lines = [
    line(1, 'micro', 300n),
    line(2, 'micro', 400n),
    line(3, 'micro', 200n),
    line(4, 'macro', 5_000n),
    line(5, 'micro', 900n, 'rejected'),
  ]
  return structuredClone({
    wallet: {
      role: 'customer',
      id: 'hu-wallets-1',
      customers: [{ customer: 'hu-anna', cpps: ['hu-otp'] }],
      undecided: {},
    },
    merchant: {
      role: 'merchant',
      id: 'ro-shops-1',
      payees: [
        {
          payee: 'ro-cafe',
          mpp: 'ro-danube',
          currency: 'EUR',
          confirmedMicroMinor: 900n,
          confirmedMacroMinor: 5_000n,
          paidOutMinor: 700n,
          macroBookedMinor: 5_000n,
          released: 4,
          refundedMinor: 0n,
        },
      ],
      undecided: {},
    },
    mpp: {
      role: 'mpp',
      id: 'ro-danube',
      payees: [
        {
          payee: 'ro-cafe',
          currency: 'EUR',
          accruedMinor: 200n,
          payableMinor: 0n,
          refundingMinor: 0n,
          payingMinor: 0n,
          paidMinor: 700n,
          reversedMinor: 0n,
          confirmedMicroMinor: 900n,
          paidInMinor: 0n,
          macroRefundedMinor: 0n,
        },
      ],
      pairs: [
        {
          cpp: 'hu-otp',
          currency: 'EUR',
          contiguousSeq: 3,
          highestSeq: 3,
          entriesMinor: 900n,
          settledMinor: 700n,
          receivableMinor: 200n,
          openBatches: 0,
        },
      ],
      undecided: {},
    },
    cpp: {
      role: 'cpp',
      id: 'hu-otp',
      customers: 1,
      totals: [
        {
          currency: 'EUR',
          outstandingMinor: 200n,
          collectingMinor: 0n,
          pendingMinor: 0n,
          confirmedMicroMinor: 900n,
          collectedMinor: 700n,
          refundOffsetMinor: 0n,
          writtenOffMinor: 0n,
          confirmedMacroMinor: 5_000n,
          collections: 1,
          refundedMinor: 0n,
          refundCreditedMinor: 0n,
          refundDueMinor: 0n,
        },
      ],
      positions: [] as Writable<CppReport['positions'][number]>[],
      boundBreaches: 0,
      pairs: [
        {
          mpp: 'ro-danube',
          currency: 'EUR',
          lastSeq: 3,
          entriesMinor: 900n,
          settledMinor: 700n,
          payableMinor: 200n,
          openBatches: 0,
        },
      ],
      undecided: {},
    },
    payerBank: {
      ...emptyBank('hu-kh', 4_300n, 5_000n),
      clearing: [{ peer: 'ro-carpat', currency: 'EUR', positionMinor: 700n }],
      orders: [
        { from: 'hu-otp', purpose: 'collection', currency: 'EUR', count: 1, amountMinor: 700n },
        { from: 'hu-otp', purpose: 'payment', currency: 'EUR', count: 1, amountMinor: 5_000n },
        { from: 'hu-otp', purpose: 'settlement', currency: 'EUR', count: 1, amountMinor: 700n },
      ],
      collections: 1,
    },
    payeeBank: {
      ...emptyBank('ro-carpat', 5_700n, -5_000n),
      clearing: [{ peer: 'hu-kh', currency: 'EUR', positionMinor: -700n }],
      orders: [{ from: 'ro-danube', purpose: 'payout', currency: 'EUR', count: 1, amountMinor: 700n }],
    },
    settlementBank: {
      ...emptyBank('eu-settle', 0n),
      reserves: [
        { bank: 'hu-kh', currency: 'EUR', balanceMinor: 1_000n, fundedMinor: 6_000n },
        { bank: 'ro-carpat', currency: 'EUR', balanceMinor: 11_000n, fundedMinor: 6_000n },
      ],
    },
    payments: {
      'hu-wallets-1': lines.map((one) => without(one, 'pnId', 'mpp')),
      'ro-shops-1': lines.map((one) => without(one, 'prId', 'customer')),
      'ro-danube': lines.map((one) => without(one, 'prId', 'customer')),
      'hu-otp': lines,
    },
  }) as Fixture
}
export const refundOf = (amountMinor: bigint, state = 'confirmed', refundId = 'r1') => ({
  refundId,
  amountMinor,
  state,
})
/** 100 of the first payment, collected, settled and paid out, are given back: paid in by the cafe's bank, credited by hu-otp's. */
export const refunded = (network: Fixture): void => {
  for (const node of ['hu-wallets-1', 'ro-shops-1', 'ro-danube', 'hu-otp'] as const)
    (network.payments[node][0] as Writable<PaymentLine>).refunds = [refundOf(100n)]
  Object.assign(network.cpp.totals[0] as object, { refundedMinor: 100n, refundCreditedMinor: 100n })
  Object.assign(network.mpp.payees[0] as object, { paidInMinor: 100n, reversedMinor: 100n })
  Object.assign(network.merchant.payees[0] as object, { refundedMinor: 100n })
  Object.assign(network.cpp.pairs[0] as object, { lastSeq: 4, entriesMinor: 800n, payableMinor: 100n })
  const mpp = { contiguousSeq: 4, highestSeq: 4, entriesMinor: 800n, receivableMinor: 100n }
  Object.assign(network.mpp.pairs[0] as object, mpp)
  const order = { purpose: 'refund', currency: 'EUR', count: 1, amountMinor: 100n } as const
  network.payerBank.orders.push({ ...order, from: 'hu-otp' })
  network.payeeBank.orders.push({ ...order, from: 'ro-danube' })
}
export const reportsOf = ({ wallet, merchant, mpp, cpp, payerBank, payeeBank, settlementBank }: Fixture) =>
  [wallet, merchant, mpp, cpp, payerBank, payeeBank, settlementBank] as readonly Report[]
export const check = (fixture: Fixture, quiet = true): readonly Check[] =>
  checkNetwork(reportsOf(fixture), new Map(Object.entries(fixture.payments)), { quiet })
export const failing = (checks: readonly Check[]): readonly string[] =>
  checks.filter(({ ok }) => !ok).map(({ name, rule }) => `${rule} ${name}`)

export type Break = (network: Fixture) => void
export const total = (network: Fixture) => network.cpp.totals[0] as Fixture['cpp']['totals'][number]
export const bankTotal = (network: Fixture) => network.payerBank.totals[0] as Fixture['payerBank']['totals'][number]
export const account = (network: Fixture) => network.mpp.payees[0] as Fixture['mpp']['payees'][number]
export const shop = (network: Fixture) => network.merchant.payees[0] as Fixture['merchant']['payees'][number]
export const cppPair = (network: Fixture) => network.cpp.pairs[0] as Fixture['cpp']['pairs'][number]
export const mppPair = (network: Fixture) => network.mpp.pairs[0] as Fixture['mpp']['pairs'][number]
export const paymentAt = (network: Fixture, node: keyof Fixture['payments'], index: number) =>
  network.payments[node][index] as Writable<PaymentLine>
