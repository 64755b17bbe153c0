import { describe, expect, it } from 'vitest'
import type {
  BankReport,
  CppReport,
  MerchantReport,
  MppReport,
  PaymentLine,
  Report,
  WalletReport,
} from '../runtime/reports.ts'
import { toJson } from '../runtime/json.ts'
import { checkNetwork, READING_ORDER, type Check } from './check-network.ts'
import { paymentsFromJson, reportFromJson } from './from-json.ts'

type Writable<T> = { -readonly [K in keyof T]: T[K] extends object ? Writable<T[K]> : T[K] }
type Fixture = {
  wallet: Writable<WalletReport>
  merchant: Writable<MerchantReport>
  mpp: Writable<MppReport>
  cpp: Writable<CppReport>
  payerBank: Writable<BankReport>
  payeeBank: Writable<BankReport>
  settlementBank: Writable<BankReport>
  payments: Record<'hu-wallets-1' | 'ro-shops-1' | 'ro-danube' | 'hu-otp', Writable<PaymentLine>[]>
}

const bankTotals = (heldByHoldersMinor: bigint, clearedMinor = 0n): BankReport['totals'][number] => ({
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
const emptyBank = (id: string, heldByHoldersMinor: bigint, clearedMinor = 0n): BankReport => ({
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
const line = (n: number, mode: 'micro' | 'macro', amountMinor: bigint, state = 'confirmed'): PaymentLine => ({
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
const without = (one: PaymentLine, ...fields: readonly (keyof PaymentLine)[]): PaymentLine =>
  Object.fromEntries(
    Object.entries(one).filter(([field]) => !fields.includes(field as keyof PaymentLine)),
  ) as PaymentLine

/**
 * A network at rest, by hand: anna pays 300 + 400 + 200 micro and 5000 macro; the first two micropayments are collected,
 * settled through clearing and paid out, 200 is outstanding, payable and accrued; one payment was rejected.
 */
const atRest = (): Fixture => {
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
const refundOf = (amountMinor: bigint, state = 'confirmed', refundId = 'r1') => ({ refundId, amountMinor, state })
/** 100 of the first payment, collected, settled and paid out, are given back: paid in by the cafe's bank, credited by hu-otp's. */
const refunded = (network: Fixture): void => {
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
const reportsOf = ({ wallet, merchant, mpp, cpp, payerBank, payeeBank, settlementBank }: Fixture) =>
  [wallet, merchant, mpp, cpp, payerBank, payeeBank, settlementBank] as readonly Report[]
const check = (fixture: Fixture, quiet = true): readonly Check[] =>
  checkNetwork(reportsOf(fixture), new Map(Object.entries(fixture.payments)), { quiet })
const failing = (checks: readonly Check[]): readonly string[] =>
  checks.filter(({ ok }) => !ok).map(({ name, rule }) => `${rule} ${name}`)

type Break = (network: Fixture) => void
const total = (network: Fixture) => network.cpp.totals[0] as Fixture['cpp']['totals'][number]
const bankTotal = (network: Fixture) => network.payerBank.totals[0] as Fixture['payerBank']['totals'][number]
const account = (network: Fixture) => network.mpp.payees[0] as Fixture['mpp']['payees'][number]
const shop = (network: Fixture) => network.merchant.payees[0] as Fixture['merchant']['payees'][number]
const cppPair = (network: Fixture) => network.cpp.pairs[0] as Fixture['cpp']['pairs'][number]
const mppPair = (network: Fixture) => network.mpp.pairs[0] as Fixture['mpp']['pairs'][number]
const paymentAt = (network: Fixture, node: keyof Fixture['payments'], index: number) =>
  network.payments[node][index] as Writable<PaymentLine>

/** One figure broken, and a check that must fail for it on a quiet network; `always`: on a moving one too. */
const breaks: readonly (readonly [name: string, Break, expected: string, when: 'always' | 'quiet'])[] = [
  [
    'money from nowhere at a bank',
    (n) => (bankTotal(n).sumMinor = 1n),
    '§8.1 accounts add up to zero: hu-kh EUR',
    'always',
  ],
  [
    'an entry with one leg',
    (n) => (bankTotal(n).unbalancedEntries = 1),
    '§8.1 entries that do not balance: hu-kh EUR',
    'always',
  ],
  [
    'a holder below zero',
    (n) => (bankTotal(n).negativeHolderAccounts = 1),
    '§8.1 holders or reserves below zero: hu-kh EUR',
    'always',
  ],
  [
    'a balance that no journal explains',
    (n) => (bankTotal(n).accountsOffJournal = 1),
    "§8.1 balances that are not the journal's: hu-kh EUR",
    'always',
  ],
  [
    'a held sum without a hold',
    (n) => (bankTotal(n).accountsOffHolds = 1),
    "§8.1 held sums that are not the holds': hu-kh EUR",
    'always',
  ],
  [
    'an unclear credit',
    (n) => (n.payerBank.unclearCredits = 1),
    '§8.1 credits that only an operator can decide: hu-kh',
    'always',
  ],
  [
    'a position the peer does not know',
    (n) => ((n.payerBank.clearing[0] as { positionMinor: bigint }).positionMinor = 699n),
    '§8.1 positions mirror each other: hu-kh and ro-carpat EUR',
    'quiet',
  ],
  [
    'a position on one side only',
    (n) => (n.payeeBank.clearing = []),
    '§8.1 positions mirror each other: hu-kh and ro-carpat EUR',
    'quiet',
  ],
  [
    'the other side only',
    (n) => (n.payerBank.clearing = []),
    '§8.1 positions mirror each other: hu-kh and ro-carpat EUR',
    'quiet',
  ],
  [
    'a peer that gives no report',
    (n) => n.payerBank.clearing.push({ peer: 'hu-gone', currency: 'EUR', positionMinor: 0n }),
    '§8.1 positions mirror each other: hu-gone and hu-kh EUR',
    'always',
  ],
  ['a credit without an answer', (n) => (n.payerBank.inTransit.credits = 1), '§8.1 credits under way: hu-kh', 'quiet'],
  [
    'an open clearing order that nobody queued',
    (n) => n.payerBank.transit.push({ peer: 'ro-carpat', currency: 'EUR', creditsMinor: 0n, clearingMinor: 700n }),
    '§8.1 open clearing orders are queued at the settlement bank: hu-kh EUR',
    'quiet',
  ],
  [
    'a reserve that lost money',
    (n) => ((n.settlementBank.reserves[0] as { balanceMinor: bigint }).balanceMinor = 999n),
    '§8.1 reserves are what clearing left: hu-kh EUR at eu-settle',
    'quiet',
  ],
  [
    'a reserve of a bank without a report',
    (n) => n.settlementBank.reserves.push({ bank: 'hu-gone', currency: 'EUR', balanceMinor: 0n, fundedMinor: 0n }),
    '§8.1 reserves are what clearing left: hu-gone EUR at eu-settle',
    'always',
  ],
  [
    'an outstanding sum that entries do not explain',
    (n) => (total(n).outstandingMinor = 201n),
    '§8.2 outstanding is confirmed less collected, offset and written off: hu-otp EUR',
    'always',
  ],
  [
    'a refund offset forgotten',
    (n) => (total(n).refundOffsetMinor = 1n),
    '§8.2 outstanding is confirmed less collected, offset and written off: hu-otp EUR',
    'always',
  ],
  [
    'a write-off forgotten',
    (n) => (total(n).writtenOffMinor = 1n),
    '§8.2 outstanding is confirmed less collected, offset and written off: hu-otp EUR',
    'always',
  ],
  [
    'collecting more than is outstanding',
    (n) => (total(n).collectingMinor = 201n),
    '§8.6 a collection under way is part of what is outstanding: hu-otp EUR',
    'always',
  ],
  ['a customer over the bound', (n) => (n.cpp.boundBreaches = 1), '§8.6 customers over their bound: hu-otp', 'always'],
  [
    'a collection no bank booked',
    (n) => (total(n).collections = 2),
    "§8.6 collections are the banks': hu-otp EUR",
    'always',
  ],
  [
    'a sum collected that no bank transferred',
    (n) => ((n.payerBank.orders[0] as { amountMinor: bigint }).amountMinor = 699n),
    '§8.6 collected is what banks transferred: hu-otp EUR',
    'always',
  ],
  [
    'a collection booked and not counted',
    (n) => ((n.payerBank.orders[0] as { count: number }).count = 2),
    "§8.6 collections are the banks': hu-otp EUR",
    'quiet',
  ],
  [
    'a macro payment no bank posted',
    (n) => (total(n).confirmedMacroMinor = 5_001n),
    '§8.7 macro payments are what banks posted: hu-otp EUR',
    'always',
  ],
  [
    'a bank transfer for a micropayment',
    (n) => ((n.payerBank.orders[1] as { count: number }).count = 2),
    '§8.7 only macro payments reach a bank: hu-otp EUR',
    'quiet',
  ],
  [
    'a payable that entries do not explain',
    (n) => (cppPair(n).payableMinor = 201n),
    '§8.3 payable is entries less settled: hu-otp to ro-danube EUR',
    'always',
  ],
  [
    'a receivable that entries do not explain',
    (n) => (mppPair(n).receivableMinor = 201n),
    '§8.3 receivable is entries less settled: ro-danube from hu-otp EUR',
    'always',
  ],
  [
    'payable and receivable apart',
    (n) => (cppPair(n).payableMinor = 201n),
    '§8.3 payable and receivable: hu-otp and ro-danube EUR',
    'always',
  ],
  [
    'an entry the MPP lacks',
    (n) => ((mppPair(n).contiguousSeq = 2), (mppPair(n).highestSeq = 2)),
    "§8.3 entries of the pair's sequence: hu-otp and ro-danube EUR",
    'quiet',
  ],
  [
    'a gap in what the MPP holds',
    (n) => (mppPair(n).contiguousSeq = 1),
    "§8.3 entries of the pair's sequence: hu-otp and ro-danube EUR",
    'quiet',
  ],
  [
    'an entry that no CPP made',
    (n) => (mppPair(n).highestSeq = 4),
    "§8.3 entries of the pair's sequence: hu-otp and ro-danube EUR",
    'always',
  ],
  [
    'an entry of another amount',
    (n) => ((mppPair(n).entriesMinor = 899n), (mppPair(n).receivableMinor = 199n)),
    "§8.3 sum of the pair's entries: hu-otp and ro-danube EUR",
    'always',
  ],
  [
    'an MPP that gives no report',
    (n) => (cppPair(n).mpp = 'ro-gone'),
    '§8.3 payable and receivable: hu-otp and ro-gone EUR',
    'always',
  ],
  [
    'a pair the CPP does not know',
    (n) => (n.cpp.pairs = []),
    '§8.3 payable and receivable: hu-otp and ro-danube EUR',
    'always',
  ],
  [
    'a CPP that gives no report',
    (n) => (mppPair(n).cpp = 'hu-gone'),
    '§8.3 payable and receivable: hu-gone and ro-danube EUR',
    'always',
  ],
  [
    'a payee owed what nothing explains',
    (n) => (account(n).accruedMinor = 199n),
    '§8.4 what the payee is owed is confirmed and paid in less paid and reversed: ro-cafe at ro-danube EUR',
    'always',
  ],
  [
    'a reversal forgotten',
    (n) => (account(n).reversedMinor = 1n),
    '§8.4 what the payee is owed is confirmed and paid in less paid and reversed: ro-cafe at ro-danube EUR',
    'always',
  ],
  [
    'a payout no bank transferred',
    (n) => ((n.payeeBank.orders[0] as { amountMinor: bigint }).amountMinor = 699n),
    '§8.4 paid out is what banks transferred: ro-danube EUR',
    'always',
  ],
  [
    'a payout transferred and not counted',
    (n) => ((n.payeeBank.orders[0] as { amountMinor: bigint }).amountMinor = 701n),
    '§8.4 paid out is what banks transferred: ro-danube EUR',
    'quiet',
  ],
  [
    'a micropayment not credited',
    (n) => (shop(n).confirmedMicroMinor = 901n),
    '§8.5 micropayments confirmed to ro-shops-1 are credited at ro-danube: ro-cafe EUR',
    'always',
  ],
  [
    'a macro payment not booked',
    (n) => (shop(n).macroBookedMinor = 4_999n),
    '§8.5 macro payments confirmed are booked at the bank: ro-cafe EUR',
    'quiet',
  ],
  [
    'a payout that never came',
    (n) => (shop(n).paidOutMinor = 0n),
    '§8.5 payouts booked at the bank are what ro-danube paid: ro-cafe EUR',
    'quiet',
  ],
  [
    'a payee whose MPP gives no report',
    (n) => (shop(n).mpp = 'ro-gone'),
    '§8.5 credited what was confirmed: ro-cafe EUR',
    'always',
  ],
  [
    'two final states of one payment',
    (n) => (paymentAt(n, 'ro-shops-1', 4).state = 'expired'),
    '§8.9 payments with different final states',
    'always',
  ],
  [
    "two final states on the customer's side",
    (n) => (paymentAt(n, 'hu-wallets-1', 0).state = 'failed'),
    '§8.9 payments with different final states',
    'always',
  ],
  [
    'another amount at the merchant',
    (n) => (paymentAt(n, 'ro-shops-1', 0).amountMinor = 301n),
    '§8.5 payments whose nodes differ on payee, invoice, amount or mode',
    'always',
  ],
  [
    'a cost that the wallet does not know',
    (n) => Object.assign(paymentAt(n, 'hu-otp', 0), { accountAmountMinor: 1n, accountCurrency: 'HUF' }),
    '§8.5 payments that cost the wallet other than the CPP',
    'always',
  ],
  [
    'an invoice paid twice',
    (n) =>
      (['hu-wallets-1', 'ro-shops-1', 'ro-danube', 'hu-otp'] as const).forEach(
        (node) => (paymentAt(n, node, 1).txId = 'tx1'),
      ),
    '§8.5 invoices paid more than once',
    'always',
  ],
  [
    'a payment undecided at one node',
    (n) => (paymentAt(n, 'ro-danube', 4).state = 'notified'),
    '§8.9 payments undecided at some node',
    'quiet',
  ],
  [
    'a payment undecided by a report',
    (n) => (n.mpp.undecided = { notified: 1 }),
    '§8.9 payments undecided by the reports',
    'quiet',
  ],
  [
    'a confirmation that the merchant does not hold',
    (n) => n.payments['ro-shops-1'].shift(),
    '§8.9 confirmed payments that a party to them does not hold',
    'quiet',
  ],
  [
    'a confirmation that the wallet does not hold',
    (n) => n.payments['hu-wallets-1'].shift(),
    '§8.9 confirmed payments that a party to them does not hold',
    'quiet',
  ],
  [
    'a refund that is neither offset, credited nor due',
    (n) => (total(n).refundedMinor = 1n),
    '§8.2 refunds are offset, credited or due: hu-otp EUR',
    'always',
  ],
  [
    'a refund credited by no bank',
    (n) => ((total(n).refundCreditedMinor = 1n), (total(n).refundedMinor = 1n)),
    '§8.2 refunds credited are what banks transferred: hu-otp EUR',
    'always',
  ],
  [
    'money for a refund that no bank paid in',
    (n) => ((account(n).paidInMinor = 1n), (account(n).payableMinor = 1n)),
    '§8.4 paid in for refunds is what banks transferred: ro-danube EUR',
    'always',
  ],
  [
    'money for a refund that is not counted as paid in',
    (n) => (account(n).payableMinor = 1n),
    '§8.4 what the payee is owed is confirmed and paid in less paid and reversed: ro-cafe at ro-danube EUR',
    'always',
  ],
  [
    'refunds of more than the payment',
    (n) => (paymentAt(n, 'ro-shops-1', 0).refunds = [refundOf(200n), refundOf(101n, 'requested', 'r2')]),
    '§8.5 payments refunded by more than their sum',
    'always',
  ],
  [
    'two sums of one refund',
    (n) => {
      paymentAt(n, 'ro-shops-1', 0).refunds = [refundOf(100n)]
      paymentAt(n, 'hu-otp', 0).refunds = [refundOf(101n)]
    },
    '§8.9 refunds whose nodes differ on sum or end',
    'always',
  ],
  [
    'two ends of one refund',
    (n) => {
      paymentAt(n, 'ro-shops-1', 0).refunds = [refundOf(100n, 'refused')]
      paymentAt(n, 'hu-otp', 0).refunds = [refundOf(100n)]
    },
    '§8.9 refunds whose nodes differ on sum or end',
    'always',
  ],
  [
    'a refund that the wallet does not hold',
    (n) => (refunded(n), delete paymentAt(n, 'hu-wallets-1', 0).refunds),
    '§8.9 confirmed refunds that a party to them does not hold',
    'quiet',
  ],
  [
    'a reversal without a refund',
    (n) => ((account(n).reversedMinor = 1n), (account(n).accruedMinor = 199n)),
    '§8.4 reversed is what was refunded of micropayments: ro-cafe at ro-danube EUR',
    'quiet',
  ],
  [
    "a refund that the merchant's sum lacks",
    (n) => (refunded(n), (shop(n).refundedMinor = 99n)),
    '§8.5 refunds are those of the payments: ro-cafe at ro-shops-1 EUR',
    'quiet',
  ],
  [
    'an entry without a payment',
    (n) => ((total(n).confirmedMicroMinor = 901n), (total(n).outstandingMinor = 201n)),
    '§8.2 entries are the confirmed micropayments: hu-otp EUR',
    'quiet',
  ],
  [
    'a macro sum without a payment',
    (n) => (total(n).confirmedMacroMinor = 4_999n),
    '§8.2 macro sum is that of the confirmed payments: hu-otp EUR',
    'quiet',
  ],
  [
    'a credit without a payment',
    (n) => ((account(n).confirmedMicroMinor = 901n), (account(n).accruedMinor = 201n)),
    '§8.4 credits are the confirmed micropayments: ro-cafe at ro-danube EUR',
    'quiet',
  ],
  [
    "a merchant's sum without a payment",
    (n) => (shop(n).confirmedMacroMinor = 4_999n),
    '§8.5 sums are those of the confirmed payments: ro-cafe at ro-shops-1 EUR',
    'quiet',
  ],
]

describe('a network at rest', () => {
  it('passes every check, and says of how much', () => {
    expect(failing(check(atRest()))).toEqual([])
    expect(failing(check(atRest(), false))).toEqual([])
    expect(check(atRest()).find(({ name }) => name === 'payments with different final states')?.detail).toBe(
      '5 payments compared',
    )
  })

  it.each(breaks)('%s fails its check', (_name, damage, expected, when) => {
    const network = atRest()
    damage(network)
    expect(failing(check(network))).toContain(expected)
    expect(failing(check(network, false)).includes(expected)).toBe(when === 'always')
  })

  it('passes with a refund that the payee paid in and the bank credited', () => {
    const network = atRest()
    refunded(network)
    expect(failing(check(network))).toEqual([])
    expect(failing(check(network, false))).toEqual([])
  })

  it('has no check that no broken figure fails', () => {
    const broken = new Set(
      breaks.map(([, , name]) => name.replace(/:.*/, '').replace(/ (ro-shops-1|ro-danube)\b/g, '')),
    )
    const all = check(atRest()).map(({ rule, name }) =>
      `${rule} ${name}`.replace(/:.*/, '').replace(/ (ro-shops-1|ro-danube)\b/g, ''),
    )
    expect(all.filter((name) => !broken.has(name))).toEqual([])
  })

  it('a clearing order queued for want of reserves is no fault', () => {
    const network = atRest()
    network.payerBank.inTransit.clearingOrders = 1
    network.payerBank.transit.push({ peer: 'ro-carpat', currency: 'EUR', creditsMinor: 0n, clearingMinor: 700n })
    network.settlementBank.queued.push({ debtor: 'hu-kh', currency: 'EUR', orders: 1, amountMinor: 700n })
    expect(failing(check(network))).toEqual([])
  })

  it("a payment known only to the customer's side, or only to the payee's, is compared where it is known", () => {
    const network = atRest()
    const refused = without(line(9, 'micro', 1n, 'refused'), 'pnId')
    network.payments['hu-otp'].push(refused)
    network.payments['hu-wallets-1'].push({ ...refused, state: 'expired' })
    expect(failing(check(network))).toEqual(['§8.9 payments with different final states'])
  })
})

describe('payments in another currency', () => {
  /** Anna has an account in HUF too: a micropayment of 1.00 EUR for 400.00 HUF, and a macro payment of 20.00 EUR for 8000.00 HUF. */
  const exchanging = (): Fixture => {
    const network = atRest()
    const charged = (one: PaymentLine, accountAmountMinor: bigint): Writable<PaymentLine> => ({
      ...one,
      accountAmountMinor,
      accountCurrency: 'HUF',
    })
    const lines = [charged(line(7, 'micro', 100n), 40_000n), charged(line(8, 'macro', 2_000n), 800_000n)]
    const payeesLines = lines.map((one) => without(one, 'prId', 'customer', 'accountAmountMinor', 'accountCurrency'))
    network.payments['hu-otp'].push(...lines)
    network.payments['hu-wallets-1'].push(...lines.map((one) => without(one, 'pnId', 'mpp')))
    network.payments['ro-danube'].push(...payeesLines)
    network.payments['ro-shops-1'].push(...payeesLines)
    network.cpp.totals.push({
      ...total(network),
      currency: 'HUF',
      outstandingMinor: 40_000n,
      confirmedMicroMinor: 40_000n,
      collectedMinor: 0n,
      confirmedMacroMinor: 0n,
      collections: 0,
    })
    total(network).confirmedMacroMinor += 2_000n
    network.cpp.positions = [
      {
        currency: 'EUR',
        positionMinor: -2_100n,
        boughtMinor: 0n,
        soldMinor: 2_100n,
        returnedMinor: 0n,
        exchangedMinor: 0n,
        owedMinor: 0n,
      },
      {
        currency: 'HUF',
        positionMinor: 840_000n,
        boughtMinor: 840_000n,
        soldMinor: 0n,
        returnedMinor: 0n,
        exchangedMinor: 800_000n,
        owedMinor: 0n,
      },
    ]
    Object.assign(cppPair(network), { lastSeq: 4, entriesMinor: 1_000n, payableMinor: 300n })
    Object.assign(mppPair(network), { contiguousSeq: 4, highestSeq: 4, entriesMinor: 1_000n, receivableMinor: 300n })
    Object.assign(account(network), { accruedMinor: 300n, confirmedMicroMinor: 1_000n })
    Object.assign(shop(network), {
      confirmedMicroMinor: 1_000n,
      confirmedMacroMinor: 7_000n,
      macroBookedMinor: 7_000n,
    })
    network.payerBank.totals.push({ ...bankTotal(network), currency: 'HUF', clearedMinor: 0n })
    Object.assign(network.payerBank.orders[1] as object, { count: 2, amountMinor: 7_000n })
    network.payerBank.orders.push({
      from: 'hu-otp',
      purpose: 'exchange',
      currency: 'HUF',
      count: 1,
      amountMinor: 800_000n,
    })
    return network
  }
  const huf = (network: Fixture) => network.cpp.positions[1] as Fixture['cpp']['positions'][number]
  const eur = (network: Fixture) => network.cpp.positions[0] as Fixture['cpp']['positions'][number]

  it('balance in each currency', () => {
    expect(failing(check(exchanging()))).toEqual([])
    expect(failing(check(exchanging(), false))).toEqual([])
  })

  it.each<readonly [string, Break, string, 'always' | 'quiet']>([
    [
      'a position that no exchange explains',
      (n) => (huf(n).positionMinor = 839_999n),
      '§8.2 position is bought less sold: hu-otp HUF',
      'always',
    ],
    [
      'more exchanged than bought',
      (n) => (huf(n).owedMinor = 40_001n),
      '§8.2 exchanged and owed are part of what was bought: hu-otp HUF',
      'always',
    ],
    [
      'exchanged, and no bank booked it',
      (n) => (huf(n).exchangedMinor = 800_001n),
      '§8.7 exchanged is what banks booked to it: hu-otp HUF',
      'always',
    ],
    [
      'taken from a customer and not counted',
      (n) => (huf(n).exchangedMinor = 799_999n),
      '§8.7 exchanged is what banks booked to it: hu-otp HUF',
      'quiet',
    ],
    [
      'bought what no payment cost',
      (n) => ((huf(n).boughtMinor = 840_001n), (huf(n).positionMinor = 840_001n)),
      '§8.2 bought is what payments in another currency cost: hu-otp HUF',
      'quiet',
    ],
    [
      'sold what no payment paid',
      (n) => ((eur(n).soldMinor = 2_101n), (eur(n).positionMinor = -2_101n)),
      '§8.2 sold is what payments in another currency paid: hu-otp EUR',
      'quiet',
    ],
    [
      'charged other than the wallet holds',
      (n) => (paymentAt(n, 'hu-wallets-1', 5).accountAmountMinor = 40_001n),
      '§8.5 payments that cost the wallet other than the CPP',
      'always',
    ],
  ])('%s fails its check', (_name, damage, expected, when) => {
    const network = exchanging()
    damage(network)
    expect(failing(check(network))).toContain(expected)
    expect(failing(check(network, false)).includes(expected)).toBe(when === 'always')
  })
})

describe('a moving network', () => {
  it('passes while things are in transit, and lists them', () => {
    const network = atRest()
    // A micropayment of 50 is confirmed at the CPP and nowhere else yet; a collection and a payout are booked at banks only.
    total(network).confirmedMicroMinor += 50n
    total(network).outstandingMinor += 50n
    total(network).collectingMinor = 200n
    Object.assign(cppPair(network), { lastSeq: 4, entriesMinor: 950n, payableMinor: 250n })
    network.payments['hu-otp'].push(line(6, 'micro', 50n))
    for (const node of ['ro-danube', 'ro-shops-1'] as const)
      network.payments[node].push(without(line(6, 'micro', 50n, 'notified'), 'prId', 'customer'))
    network.cpp.undecided = { notified: 2 }
    Object.assign(network.payerBank.orders[0] as object, { count: 2, amountMinor: 900n })
    Object.assign(network.payeeBank.orders[0] as object, { count: 2, amountMinor: 750n })
    Object.assign(network.payerBank.clearing[0] as object, { positionMinor: 800n })
    network.payerBank.transit.push({ peer: 'ro-carpat', currency: 'EUR', creditsMinor: 100n, clearingMinor: 0n })
    const moving = check(network, false)
    expect(failing(moving)).toEqual([])
    const detail = (name: string) => moving.find((one) => one.name.startsWith(name))?.detail
    expect(detail('payable and receivable')).toContain('lacks 50')
    expect(detail('collected is')).toBe('moving: 200 in transit')
    expect(detail('positions mirror')).toContain('100 in credits')
    expect(failing(check(network))).not.toEqual([])
  })

  it('is read effects before causes', () =>
    expect(READING_ORDER.indexOf('mpp')).toBeLessThan(READING_ORDER.indexOf('cpp')))
})

describe('reports from the control socket', () => {
  it('come back as they were', () => {
    const network = atRest()
    for (const report of reportsOf(network)) expect(reportFromJson(JSON.parse(toJson(report)))).toEqual(report)
    const page = { payments: network.payments['hu-otp'], next: undefined }
    expect(paymentsFromJson(JSON.parse(toJson(page))).payments).toEqual(page.payments)
  })
  it.each([
    [null],
    [{ role: 'cpu' }],
    [{ role: 'cpp', totals: [{ outstandingMinor: 1.5 }] }],
    [{ role: 'cpp', totals: [{ outstandingMinor: '0x1' }] }],
  ])('%j is none', (json) => {
    expect(() => reportFromJson(json)).toThrow(TypeError)
  })
  it('a page without payments is none', () => expect(() => paymentsFromJson({ next: 'x' })).toThrow(TypeError))
})
