import { describe, expect, it } from 'vitest'
import { AmountOverflow, MAX_TOTAL_MINOR } from '../../protocol/amount.ts'
import { put } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { context, testBytes, testLedger } from '../runtime/testing.ts'
import { internalAccount } from './accounts.ts'
import { loadBooks, openBooks, type Books } from './books.ts'
import { bankReport } from './report.ts'
import { ACCOUNTS, ENTRIES, HOLDS, type AccountRow } from './state.ts'

const account = (
  name: string,
  balanceMinor: bigint,
  heldMinor = 0n,
  kind: AccountRow['kind'] = 'holder',
): AccountRow => ({
  account: name,
  kind,
  currency: 'EUR',
  balanceMinor,
  heldMinor,
  openedAtMs: 0,
  changedAtMs: 0,
})
const rows = [
  account('hu-kh:a', 100n, 40n),
  account('hu-kh:b', 0n),
  account('reserve:ro-carpat:EUR', 5n, 0n, 'reserve'),
]
const ledger = () => testLedger(...rows.map((row) => put(ACCOUNTS, keyOf(row.account), row)))
const booksOf = (on = ledger()): Books =>
  openBooks(
    loadBooks(on, [...rows.map((row) => row.account), 'hu-kh:none']),
    context({ self: { id: 'hu-kh', role: 'bank' } }),
  )
const move = (from: string, to: string, amountMinor: bigint) =>
  ({
    event: 'transfer',
    currency: 'EUR',
    legs: [
      { account: from, amountMinor: -amountMinor },
      { account: to, amountMinor },
    ],
  }) as const

describe('the books', () => {
  const broken: readonly (readonly [string, (books: Books) => void, string])[] = [
    [
      'legs that do not add up',
      (b) => b.post({ ...move('hu-kh:a', 'hu-kh:b', 1n), legs: [{ account: 'hu-kh:a', amountMinor: -1n }] }),
      'do not add up',
    ],
    ['a balance below zero', (b) => b.post(move('hu-kh:b', 'hu-kh:a', 1n)), 'does not cover'],
    ['a balance below what is held', (b) => b.post(move('hu-kh:a', 'hu-kh:b', 61n)), 'does not cover'],
    ['a reserve below zero', (b) => b.post(move('reserve:ro-carpat:EUR', 'hu-kh:a', 6n)), 'does not cover'],
    ['a hold over the balance', (b) => b.hold('hu-kh:a', 61n), 'does not cover'],
    ['a release of more than is held', (b) => b.hold('hu-kh:a', -41n), 'holds of -1'],
    ['a hold on no account', (b) => b.hold('hu-kh:none', 1n), 'no account'],
    ['a booking on no account', (b) => b.post(move('hu-kh:a', 'hu-kh:none', 1n)), 'no account'],
    ['a booking on no reserve', (b) => b.post(move('hu-kh:a', 'reserve:hu-x:EUR', 1n)), 'no account'],
    ['another currency', (b) => b.post({ ...move('hu-kh:a', 'hu-kh:b', 1n), currency: 'HUF' }), 'is kept in EUR'],
    ['an account opened twice', (b) => b.open({ account: 'hu-kh:a', kind: 'holder', currency: 'EUR' }), 'exists'],
  ]
  it.each(broken)('stop at %s', (_name, act, message) => {
    expect(() => act(booksOf())).toThrow(message)
  })
  it('stop at a total beyond what a row holds', () => {
    expect(() => booksOf().post(move('nostro:EUR', 'hu-kh:a', MAX_TOTAL_MINOR))).toThrow(AmountOverflow)
  })

  it('book, hold and release within what is there, and write what they did', () => {
    const on = ledger()
    const books = booksOf(on)
    books.post(move('hu-kh:a', 'hu-kh:b', 60n))
    books.hold('hu-kh:a', -40n)
    books.post(move('hu-kh:a', 'hu-kh:b', 40n))
    books.post(move('hu-kh:b', 'clearing:ro-carpat:EUR', 7n))
    expect(books.parts().postings.reduce((sum, { amountMinor }) => sum + amountMinor, 0n)).toBe(0n)
    for (const { table, key, row } of books.parts().writes) on.put(table, key, row)
    expect(
      ['hu-kh:a', 'hu-kh:b', 'clearing:ro-carpat:EUR'].map((name) => on.get(ACCOUNTS, name)?.balanceMinor),
    ).toEqual([0n, 93n, 7n])
    expect(on.rows(ENTRIES).map(({ entry }) => entry)).toEqual([1, 2, 3])
    const more = booksOf(on)
    more.post(move('hu-kh:b', 'hu-kh:a', 1n))
    expect(
      more.parts().writes.some(({ table, row }) => table === ENTRIES && (row as { entry: number }).entry === 4),
    ).toBe(true)
  })

  it('write nothing when nothing was done', () =>
    expect(booksOf().parts()).toEqual({ writes: [], postings: [], sends: [] }))

  it('keep the names of internal accounts apart from holders', () => {
    expect(
      ['nostro:EUR', 'clearing:hu-kh:EUR', 'reserve:hu-kh:EUR', 'hu-kh:clearing', 'nostro-x:EUR'].map(
        (name) => internalAccount(name)?.kind,
      ),
    ).toEqual(['nostro', 'clearing', 'reserve', undefined, undefined])
  })
})

const fundedLedger = () => {
  const on = testLedger()
  const books = openBooks(loadBooks(on, []), context({ self: { id: 'hu-kh', role: 'bank' } }))
  books.open({ account: 'hu-kh:a', kind: 'holder', currency: 'EUR' })
  books.post(move('nostro:EUR', 'hu-kh:a', 100n))
  for (const { table, key, row } of books.parts().writes) on.put(table, key, row)
  return on
}

const totals = (on: ReturnType<typeof testLedger>) => bankReport(on, 'hu-kh').totals[0]

describe('the report counts afresh', () => {
  const good = {
    sumMinor: 0n,
    heldByHoldersMinor: 100n,
    negativeHolderAccounts: 0,
    unbalancedEntries: 0,
    accountsOffJournal: 0,
    accountsOffHolds: 0,
  }
  it('nothing is wrong with good books', () => expect(totals(fundedLedger())).toMatchObject(good))

  const row = account('hu-kh:a', 100n)
  const damages: readonly (readonly [string, (on: ReturnType<typeof testLedger>) => void, object])[] = [
    [
      'money from nowhere',
      (on) => on.put(ACCOUNTS, keyOf('hu-kh:a'), { ...row, balanceMinor: 101n }),
      { sumMinor: 1n, accountsOffJournal: 1 },
    ],
    [
      'a negative holder',
      (on) => on.put(ACCOUNTS, keyOf('hu-kh:a'), { ...row, balanceMinor: -1n }),
      { negativeHolderAccounts: 1 },
    ],
    [
      'an uncovered hold',
      (on) => on.put(ACCOUNTS, keyOf('hu-kh:a'), { ...row, heldMinor: 101n }),
      { negativeHolderAccounts: 1, accountsOffHolds: 1 },
    ],
    [
      'a hold that no account knows',
      (on) =>
        on.put(HOLDS, testBytes('h', 16), {
          holdId: testBytes('h', 16),
          state: 'held',
          owner: 'x',
          changedAtMs: 0,
          order: { account: 'hu-kh:a', currency: 'EUR', amountMinor: 3n, expiresAtMs: 9, orderedAtMs: 0 },
        }),
      { holdsMinor: 3n, accountsOffHolds: 1 },
    ],
    [
      'an entry with one leg',
      (on) =>
        on.put(ENTRIES, keyOf(9), { entry: 9, event: 'transfer', atMs: 0, currency: 'EUR', legs: [['hu-kh:a', 1n]] }),
      { unbalancedEntries: 1, accountsOffJournal: 1 },
    ],
  ]
  it.each(damages)('%s shows', (_name, damage, expected) => {
    const on = fundedLedger()
    damage(on)
    expect(totals(on)).toMatchObject(expected)
  })
})
