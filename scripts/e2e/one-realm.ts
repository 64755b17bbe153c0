/** The smallest network in which payments, collections and settlements go on, for tests of what happens to it meanwhile. */
import type { PayOrder } from '../fleet/pay.ts'

export const oneRealm = (name: string): string => `network: ${name}
currency: EUR
policies:
  cpp: { noticeLifetimeMs: 6000, settlement: { thresholdMinor: { EUR: '1000' }, maxAgeMs: 1000, retryMs: 500 } }
banks:
  - { id: hu-kh }
realms:
  hu:
    cpps: [{ id: hu-otp, bank: hu-kh }]
    mpps: [{ id: hu-cosmo, bank: hu-kh }]
    merchants: [{ payee: bakery@hu, bank: hu-kh }]
    customers: [{ pattern: 'hu-c{n}', count: 3, bank: hu-kh, balance: '900.00' }]
`

/** By its customers in turn: one in four a macropayment. */
export const oneRealmOrder = (i: number): PayOrder => ({
  customer: `hu-c${1 + (i % 3)}`,
  payee: 'bakery@hu',
  amountMinor: i % 4 === 0 ? 1_100n : BigInt(90 + (i % 200)),
  currency: 'EUR',
})
