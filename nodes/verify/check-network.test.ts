import { describe, expect, it } from 'vitest'
import { toJson } from '../runtime/json.ts'
import { READING_ORDER } from './check-network.ts'
import { paymentsFromJson, reportFromJson } from './from-json.ts'
import {
  line,
  without,
  atRest,
  refundOf,
  refunded,
  reportsOf,
  check,
  failing,
  type Break,
  total,
  bankTotal,
  account,
  shop,
  cppPair,
  mppPair,
  paymentAt,
} from './testing/network-at-rest.ts'

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
