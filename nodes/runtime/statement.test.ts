import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CurrencyCode } from '../../protocol/fields.ts'
import {
  addUpStatement,
  readStatementArgs,
  statementArgs,
  statementPage,
  type PeriodArgs,
  type StatementLine,
  type StatementPage,
  type StatementRow,
} from './statement.ts'

const line = (atMs: number, amountMinor: bigint): StatementLine => ({ atMs, what: 'payment', id: 'ab', amountMinor })
/** A ledger of these lines; undefined: a row that is no movement. Where to go on is the row's number. */
const rowsOf = (lines: readonly (StatementLine | undefined)[], after = '0'): readonly StatementRow[] =>
  lines.map((one, at) => ({ cursor: String(at + 1), line: one })).slice(Number(after))
const all = (lines: readonly (StatementLine | undefined)[], period: PeriodArgs = {}) => {
  const pages: StatementPage[] = []
  for (let after: string | undefined; ;) {
    const page = statementPage('EUR', rowsOf(lines, after), period)
    pages.push(page)
    if (page.next === undefined) return { pages, statement: addUpStatement(pages) }
    after = page.next
  }
}

describe('a statement', () => {
  test('takes a line of its first moment, and none of its last', () => {
    const lines = [line(1, 1n), line(2, 10n), line(3, 100n), line(4, 1_000n)]
    const { statement } = all(lines, { fromMs: 2, toMs: 4 })
    expect(statement).toMatchObject({ openingMinor: 1n, closingMinor: 111n })
    expect(statement.lines.map(({ amountMinor }) => amountMinor)).toEqual([10n, 100n])
  })

  test('scans no more rows for a page than were asked for, also those that are no movement', () => {
    const lines = [line(1, 1n), undefined, undefined, line(2, 2n), line(3, 3n)]
    const { pages, statement } = all(lines, { limit: 2 })
    expect(pages.map((page) => [page.lines.length, page.next])).toEqual([
      [1, '2'],
      [1, '4'],
      [1, undefined],
    ])
    expect(statement.closingMinor).toBe(6n)
  })

  test('is in the order of time, and of one moment in that of the ledger', () => {
    const { statement } = all([line(5, 1n), line(2, 2n), line(5, 3n), line(2, 4n)])
    expect(statement.lines.map(({ amountMinor }) => amountMinor)).toEqual([2n, 4n, 1n, 3n])
    expect(statement.lines.map(({ balanceMinor }) => balanceMinor)).toEqual([2n, 6n, 7n, 10n])
  })

  test('opens and closes so that any two that touch continue each other, in pages of any length', () => {
    const movement = fc.option(
      fc.tuple(fc.nat(20), fc.bigInt({ min: -1_000n, max: 1_000n })).map(([atMs, minor]) => line(atMs, minor)),
      { nil: undefined },
    )
    fc.assert(
      fc.property(fc.array(movement), fc.nat(21), fc.integer({ min: 1, max: 5 }), (lines, cutMs, limit) => {
        const whole = all(lines).statement
        const first = all(lines, { toMs: cutMs, limit }).statement
        const second = all(lines, { fromMs: cutMs, limit }).statement
        expect(first.openingMinor).toBe(0n)
        expect(second.openingMinor).toBe(first.closingMinor)
        expect(second.closingMinor).toBe(whole.closingMinor)
        expect([...first.lines, ...second.lines]).toEqual(whole.lines)
        expect(whole.closingMinor).toBe(lines.reduce((sum, one) => sum + (one?.amountMinor ?? 0n), 0n))
      }),
    )
  })
})

test.each([
  ['nothing that is asked for', {}],
  ['a page of nothing', { currency: 'EUR', limit: 0 }],
  ['a page beyond the bound', { currency: 'EUR', limit: 1_000_000 }],
  ['a place that is none', { currency: 'EUR', after: '../1' }],
  ['an unknown field', { currency: 'EUR', colour: 'red' }],
])('%s is refused', (_, args) => {
  expect(readStatementArgs(statementArgs({ currency: CurrencyCode }), args)).toMatchObject({
    ok: false,
    code: 'SCHEMA_VIOLATION',
  })
})
