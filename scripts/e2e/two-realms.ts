/** Two realms that pay each other, within each and across, with settlement, payout and clearing that go on meanwhile. */
import type { PayOrder } from '../fleet/pay.ts'

export type Lives = { readonly noticeMs: number; readonly invoiceMs: number; readonly guestMs: number }
export const LIVES: Lives = { noticeMs: 6_000, invoiceMs: 15_000, guestMs: 8_000 }

export type TwoRealms = {
  readonly name: string
  /** Default: {@link LIVES}. */
  readonly lives?: Lives
  /** In each realm, with this on each account. */
  readonly customers: number
  readonly balance: string
  /** What a CPP owes before it settles, and an MPP before it pays out; and how old either may get. */
  readonly settlementMinor: number
  readonly payoutMinor: number
  readonly mostAgeMs: number
  readonly clearingMs: number
  /** Payees beside bakery@hu and cafe@ro, who approve: each a realm's line of the network file. */
  readonly payees: { readonly hu?: string; readonly ro?: string }
}

export const twoRealms = (options: TwoRealms): string => {
  const {
    name,
    lives = LIVES,
    customers,
    balance,
    settlementMinor,
    payoutMinor,
    mostAgeMs,
    clearingMs,
    payees,
  } = options
  const realm = (
    id: string,
    {
      bank,
      cpp,
      mpp,
      payee,
      other,
    }: Readonly<Record<'bank' | 'cpp' | 'mpp' | 'payee', string>> & { other?: string | undefined },
  ): string => `  ${id}:
    cpps: [{ id: ${cpp}, bank: ${bank} }]
    mpps: [{ id: ${mpp}, bank: ${bank} }]
    merchants: [${[`{ payee: ${payee}, bank: ${bank} }`, ...(other === undefined ? [] : [other])].join(', ')}]
    customers: [{ pattern: '${id}-c{n}', count: ${customers}, bank: ${bank}, balance: '${balance}' }]
`
  return `network: ${name}
currency: EUR
policies:
  cpp: { noticeLifetimeMs: ${lives.noticeMs}, settlement: { thresholdMinor: { EUR: '${settlementMinor}' }, maxAgeMs: ${mostAgeMs}, retryMs: 500 } }
  mpp: { payout: { thresholdMinor: { EUR: '${payoutMinor}' }, maxAgeMs: ${mostAgeMs}, retryMs: 500 } }
  bank: { clearing: { windowMs: ${clearingMs} } }
  merchant: { transLifetimeMs: ${lives.invoiceMs} }
  customer: { guestPhaseMs: ${lives.guestMs} }
banks:
  - { id: hu-kh }
  - { id: ro-carpat }
  - { id: ro-reserve, settlement: true }
realms:
${realm('hu', { bank: 'hu-kh', cpp: 'hu-otp', mpp: 'hu-cosmo', payee: 'bakery@hu', other: payees.hu })}${realm('ro', { bank: 'ro-carpat', cpp: 'ro-libra', mpp: 'ro-danube', payee: 'cafe@ro', other: payees.ro })}`
}

/** By the customers of both realms in turn, two to bakery@hu, then two to cafe@ro: each of the four ways within four orders. */
export const twoRealmsOrder = (i: number, customers: number, amountMinor: bigint): PayOrder => ({
  customer: `${i % 2 === 0 ? 'hu' : 'ro'}-c${1 + (i % customers)}`,
  payee: i % 4 < 2 ? 'bakery@hu' : 'cafe@ro',
  amountMinor,
  currency: 'EUR',
})
