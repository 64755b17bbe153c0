/** Statements of every ledger of a network that has lived: they add up, page by page, and close at the figures that `verify` compares. */
import { beforeAll, describe, expect, test } from 'vitest'
import { addUpStatement, statementPage, type Statement, type StatementPage } from '../runtime/statement.ts'
import type { CppReport, MppReport } from '../runtime/reports.ts'
import { buildNetwork, ids, type Network } from './testing/network.ts'

const hu = ids('hu')
const ro = ids('ro')
let net: Network
let middleMs: number

/** All pages of a statement. */
const statementOf = (host: string, read: string, args: Readonly<Record<string, unknown>>): Statement => {
  const pages: StatementPage[] = []
  for (let after: string | undefined; ;) {
    const page: StatementPage = net.ask(host, read, after === undefined ? args : { ...args, after })
    expect(page).toMatchObject({ ok: true })
    pages.push(page)
    if (page.next === undefined) return addUpStatement(pages)
    after = page.next
  }
}
const sumOf = ({ lines }: Statement): bigint => lines.reduce((sum, { amountMinor }) => sum + amountMinor, 0n)

beforeAll(async () => {
  net = await buildNetwork({ realms: ['hu', 'ro'] })
  const live = async () => {
    for (const amountMinor of [300n, 400n, 350n, 2_500n, 120n])
      expect(await net.pay('hu-alice', 'ro-bakery', amountMinor)).toMatchObject({ outcome: 'confirmed' })
    expect(await net.pay('hu-alice', 'hu-bakery', 90n)).toMatchObject({ outcome: 'confirmed' })
    await net.ok(hu.cpp, 'settle-now')
    await net.sim.advance(12_000, 500)
  }
  await live()
  middleMs = net.sim.now()
  await net.sim.advance(1_000, 500)
  await live()
  expect(await net.pay('hu-alice', 'ro-bakery', 70n)).toMatchObject({ outcome: 'confirmed' })
  await net.settleDown()
}, 60_000)

/** Whose statement, where, under which name, and what it closes at by the figures of `verify`. */
const accounts: readonly (readonly [string, string, string, Record<string, unknown>, () => bigint | undefined])[] = [
  [
    'a customer',
    hu.cpp,
    'statement',
    { customer: 'hu-alice' },
    () => (net.ask(hu.cpp, 'report') as CppReport).totals[0]?.outstandingMinor,
  ],
  [
    'a payee',
    ro.mpp,
    'statement',
    { payee: 'bakery@ro' },
    () => {
      const [payee] = (net.ask(ro.mpp, 'report') as MppReport).payees
      return payee && payee.accruedMinor + payee.payableMinor + payee.refundingMinor + payee.payingMinor
    },
  ],
  [
    'a pair at its CPP',
    hu.cpp,
    'statement',
    { mpp: ro.mpp, currency: 'EUR' },
    () => (net.ask(hu.cpp, 'report') as CppReport).pairs.find(({ mpp }) => mpp === ro.mpp)?.payableMinor,
  ],
  [
    'a pair at its MPP',
    ro.mpp,
    'statement',
    { cpp: hu.cpp, currency: 'EUR' },
    () => (net.ask(ro.mpp, 'report') as MppReport).pairs.find(({ cpp }) => cpp === hu.cpp)?.receivableMinor,
  ],
  ['a bank account', hu.bank, 'account-statement', { account: 'hu-bank:alice' }, () => net.balance('hu-bank:alice')],
  [
    'a clearing account',
    hu.bank,
    'account-statement',
    { account: 'clearing:ro-bank:EUR' },
    () => net.bankReport(hu.bank).accounts.find(({ account }) => account === 'clearing:ro-bank:EUR')?.balanceMinor,
  ],
]

describe.each(accounts)('the statement of %s', (_, host, read, args, figure) => {
  test('opens at nothing, adds up, and closes at the figure that `verify` compares', () => {
    const all = statementOf(host, read, args)
    expect(all.openingMinor).toBe(0n)
    expect(all.lines.length).toBeGreaterThan(3)
    expect(all.openingMinor + sumOf(all)).toBe(all.closingMinor)
    expect(all.closingMinor).toBe(figure())
    expect(all.lines.at(-1)?.balanceMinor).toBe(all.closingMinor)
    expect(all.lines.map(({ atMs }) => atMs)).toEqual(all.lines.map(({ atMs }) => atMs).toSorted((a, b) => a - b))
  })

  test('is the same in pages of any length', () => {
    const all = statementOf(host, read, args)
    for (const limit of [1, 2, 3, 7]) expect(statementOf(host, read, { ...args, limit })).toEqual(all)
  })

  test('falls into periods that continue each other', () => {
    const all = statementOf(host, read, args)
    const [first, second] = [{ toMs: middleMs }, { fromMs: middleMs }].map((period) =>
      statementOf(host, read, { ...args, ...period, limit: 2 }),
    ) as [Statement, Statement]
    expect(first.lines.length).toBeGreaterThan(0)
    expect(second.lines.length).toBeGreaterThan(0)
    expect(second.openingMinor).toBe(first.closingMinor)
    expect([...first.lines, ...second.lines]).toEqual(all.lines)
    expect(second.closingMinor).toBe(all.closingMinor)
  })
})

test('a statement says what each line was', () => {
  const what = (host: string, read: string, args: Record<string, unknown>) => [
    ...new Set(statementOf(host, read, args).lines.map((line) => line.what)),
  ]
  expect(what(hu.cpp, 'statement', { customer: 'hu-alice' })).toEqual(['payment', 'collection'])
  expect(what(ro.mpp, 'statement', { payee: 'ro-bakery' })).toEqual(['payment', 'payout'])
  expect(what(hu.cpp, 'statement', { mpp: ro.mpp, currency: 'EUR' })).toEqual(['payment', 'settlement'])
  expect(what(ro.bank, 'account-statement', { account: 'ro-bank:shop-bakery' })).toEqual(['payment', 'payout'])
})

test.each([
  [hu.cpp, 'statement', {}, 'SCHEMA_VIOLATION'],
  [hu.cpp, 'statement', { customer: 'hu-nobody' }, 'CUSTOMER_UNKNOWN'],
  [hu.cpp, 'statement', { customer: 'hu-alice', mpp: 'ro-mpp' }, 'SCHEMA_VIOLATION'],
  [hu.cpp, 'statement', { mpp: 'ro-nobody', currency: 'EUR' }, 'NOT_FOUND'],
  [ro.mpp, 'statement', { payee: 'ro-nobody' }, 'NOT_FOUND'],
  [ro.mpp, 'statement', { cpp: 'hu-cpp', currency: 'USD' }, 'NOT_FOUND'],
  [ro.mpp, 'statement', { payee: 'ro-bakery', limit: 0 }, 'SCHEMA_VIOLATION'],
  [hu.bank, 'account-statement', { account: 'hu-bank:nobody' }, 'ACCOUNT_UNKNOWN'],
  [hu.bank, 'account-statement', { account: 'hu-bank:alice', fromMs: -1 }, 'SCHEMA_VIOLATION'],
])('%s answers %s %j with %s', (host, read, args, code) => {
  expect(net.ask(host, read, args)).toMatchObject({ ok: false, code })
})

test('pages of two currencies, or none, are no statement', () => {
  const page = (currency: 'EUR' | 'USD') => statementPage(currency, [], {})
  expect(() => addUpStatement([page('EUR'), page('USD')])).toThrow()
  expect(() => addUpStatement([])).toThrow()
})
