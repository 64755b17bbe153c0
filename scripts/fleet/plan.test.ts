import { describe, expect, test } from 'vitest'
import { parseNetwork } from './network.ts'
import { mergePolicies } from './merge-policies.ts'
import { planNetwork } from './plan.ts'
import { policyOf } from './policies.ts'

const FILE = `network: test
currency: EUR
policies:
  cpp: { noticeLifetimeMs: 5000, settlement: { thresholdMinor: {}, maxAgeMs: 1000, retryMs: 10 } }
banks:
  - { id: hu-kh }
  - { id: ro-reserve, settlement: true, policy: { clearing: { windowMs: 500 } } }
realms:
  hu:
    dataCenters: 2
    walletHosts: 2
    cpps:
      - { id: hu-otp, bank: hu-kh, policy: { settlement: { maxAgeMs: 7 } } }
      - { id: hu-both-c, operator: hu-both, bank: hu-kh }
    mpps:
      - { id: hu-both-m, operator: hu-both, bank: hu-kh }
    merchants:
      - { payee: bakery@hu, bank: hu-kh, approval: { rule: reject-over, amount: '25.00' } }
      - { pattern: 'stall-{n}', count: 2, bank: ro-reserve }
    customers:
      - { id: hu-anna, bank: hu-kh, balance: '1.50', alias: hu-anna-pays }
      - { id: hu-bela, bank: ro-reserve, cpps: [ro-libra, hu-otp] }
  ro:
    cpps:
      - { id: ro-libra, bank: ro-reserve }
    mpps: []
    merchants: []
    customers: []
`
const plan = planNetwork(parseNetwork(FILE, 'test.yaml'))
const host = (id: string) => {
  const found = plan.hosts.find((candidate) => candidate.id === id)
  if (found === undefined) throw new Error(`${id} is not planned`)
  return found
}

describe('a plan', () => {
  test('is the same for the same file', () => {
    expect(planNetwork(parseNetwork(FILE, 'test.yaml'))).toEqual(plan)
  })

  test('gives every payee and customer a host, an account and a processor', () => {
    expect(plan.payees.map(({ payee, host: on, mpp, account }) => [payee, on, mpp, account])).toEqual([
      ['hu-bakery', 'hu-shops-1', 'hu-both-m', 'hu-kh:payee-hu-bakery'],
      ['hu-stall-1', 'hu-shops-1', 'hu-both-m', 'ro-reserve:payee-hu-stall-1'],
      ['hu-stall-2', 'hu-shops-1', 'hu-both-m', 'ro-reserve:payee-hu-stall-2'],
    ])
    expect(plan.customers.map(({ customer, host: on, cpps, account }) => [customer, on, cpps, account])).toEqual([
      ['hu-anna', 'hu-wallets-1', ['hu-otp'], 'hu-kh:cust-hu-anna'],
      ['hu-bela', 'hu-wallets-2', ['ro-libra', 'hu-otp'], 'ro-reserve:cust-hu-bela'],
    ])
    expect(plan.payees[0]?.approval).toEqual({ rule: 'reject-over', limitMinor: 2_500n })
  })

  test('gives a customer an account in their own currency, and each of their CPPs one of its own in it', () => {
    const text = FILE.replace("bank: hu-kh, balance: '1.50'", 'bank: hu-kh, currency: HUF').replace(
      'cpp: { noticeLifetimeMs',
      'cpp: { fx: { rates: { EUR HUF: { numerator: 400, denominator: 1 } }, marginBps: 0, quoteLifetimeMs: 1000, retryMs: 1000 }, noticeLifetimeMs',
    )
    const exchanging = planNetwork(parseNetwork(text, 'test.yaml'))
    expect(exchanging.customers[0]).toMatchObject({ customer: 'hu-anna', currency: 'HUF' })
    const inHuf = exchanging.accounts.filter(({ currency }) => currency === 'HUF')
    // Balances that the file leaves out are multiples of M: 50 of them, and 1000.
    expect(inHuf.map(({ account, balanceMinor }) => [account, balanceMinor])).toEqual([
      ['hu-kh:hu-otp-huf', 400_000_000n],
      ['hu-kh:cust-hu-anna', 20_000_000n],
    ])
    const otp = exchanging.hosts.find(({ id }) => id === 'hu-otp')
    expect(otp?.account).toBe('hu-kh:hu-otp')
    expect(otp && policyOf(exchanging, otp)['operatorAccounts']).toEqual({
      EUR: 'hu-kh:hu-otp',
      HUF: 'hu-kh:hu-otp-huf',
    })
  })

  test('has each wallet host certified by the processors of its customers and no other', () => {
    expect(host('hu-wallets-1').certifiedBy).toEqual(['hu-otp'])
    expect(host('hu-wallets-2').certifiedBy).toEqual(['hu-otp', 'ro-libra'])
    expect(host('hu-shops-1').certifiedBy).toEqual(['hu-both-m'])
  })

  test('opens one account for hosts of one operator, and tells each of bookings', () => {
    const shared = plan.accounts.filter(({ operatorId }) => operatorId === 'hu-both')
    expect(shared).toEqual([
      {
        account: 'hu-kh:hu-both',
        bank: 'hu-kh',
        currency: 'EUR',
        operatorId: 'hu-both',
        holderHost: { role: 'mpp', host: 'hu-both-m' },
        alsoTold: [{ role: 'cpp', host: 'hu-both-c' }],
        balanceMinor: 1_000_000n,
      },
    ])
    expect(plan.accounts.find(({ account }) => account === 'hu-kh:cust-hu-anna')?.balanceMinor).toBe(150n)
  })
})

describe('first policies', () => {
  test('name data centers, own accounts and those of every counterparty', () => {
    expect(policyOf(plan, host('hu-otp'))).toEqual({
      dataCenters: ['hu-dc-1', 'hu-dc-2'],
      operatorAccounts: { EUR: 'hu-kh:hu-otp' },
      settlementAccounts: { 'hu-both-m': 'hu-kh:hu-both' },
      noticeLifetimeMs: 5_000,
      settlement: { thresholdMinor: {}, maxAgeMs: 7, retryMs: 10 },
    })
    expect(policyOf(plan, host('hu-both-m'))).toEqual({
      dataCenters: ['hu-dc-1', 'hu-dc-2'],
      operatorAccounts: { EUR: 'hu-kh:hu-both' },
      settlementAccounts: { 'hu-otp': 'hu-kh:hu-otp', 'hu-both-c': 'hu-kh:hu-both', 'ro-libra': 'ro-reserve:ro-libra' },
    })
  })

  test('of a bank name its peers and where they settle', () => {
    expect(policyOf(plan, host('ro-reserve'))).toEqual({
      dataCenters: ['ro-dc-1'],
      settlementBank: 'ro-reserve',
      peers: ['hu-kh'],
      clearing: { windowMs: 500 },
    })
  })

  test('of a bank alone say that it clears with nobody', () => {
    const [kept = ''] = FILE.split('  - { id: ro-reserve')
    const alone = `${kept}realms: { hu: { cpps: [], mpps: [], merchants: [], customers: [] } }\n`
    const single = planNetwork(parseNetwork(alone, 'alone.yaml'))
    expect(single.hosts.filter(({ role }) => role === 'bank').map((bank) => policyOf(single, bank))).toEqual([
      { dataCenters: ['hu-dc-1'], settlementBank: null, peers: [] },
    ])
  })

  test('of a data center name the other realms', () => {
    expect(policyOf(plan, host('hu-dc-1'))).toEqual({ peerRealms: ['ro'] })
  })

  test('are overridden key by key, lists as a whole', () => {
    expect(mergePolicies({ a: { b: 1, c: [1, 2] }, d: 4 }, { a: { c: [3] }, e: undefined })).toEqual({
      a: { b: 1, c: [3] },
      d: 4,
      e: undefined,
    })
  })
})
