/** Payments in another currency, among the books of everyone. */
import { describe, expect, it } from 'vitest'
import type { PaymentLine } from '../runtime/reports.ts'
import {
  type Writable,
  type Fixture,
  line,
  without,
  atRest,
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
        refundedMinor: 0n,
        exchangedMinor: 0n,
        owedMinor: 0n,
      },
      {
        currency: 'HUF',
        positionMinor: 840_000n,
        boughtMinor: 840_000n,
        soldMinor: 0n,
        refundedMinor: 0n,
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
      'given back by no refund',
      (n) => ((huf(n).refundedMinor = -1n), (huf(n).positionMinor -= 1n)),
      '§8.2 refunded is what payments in another currency were refunded: hu-otp HUF',
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
