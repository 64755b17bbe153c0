import { expect, test } from 'vitest'
import { testId } from '../runtime/testing.ts'
import { payeeLines } from './payee-lines.ts'
import { PAYEE, payeeRow } from './testing/fixture.ts'

const credit = { payee: PAYEE, what: 'payment' as const, amountMinor: 100n, id: testId('pn') }

test('each change that a rule tells of is a line under the next number', () => {
  const { row, writes } = payeeLines(
    payeeRow({ lines: 4 }),
    payeeRow({ accruedMinor: 150n, lines: 4 }),
    [credit, { ...credit, amountMinor: 50n }],
    7,
  )
  expect(row.lines).toBe(6)
  expect(writes.map((write) => write.row)).toEqual([
    { seq: 5, what: 'payment', amountMinor: 100n, id: testId('pn'), atMs: 7 },
    { seq: 6, what: 'payment', amountMinor: 50n, id: testId('pn'), atMs: 7 },
  ])
})

test('a change that no rule told of is a line all the same, so that the lines add up to what is owed', () => {
  const { writes } = payeeLines(payeeRow({ accruedMinor: 10n }), payeeRow({ payableMinor: 70n }), [credit], 7)
  expect(writes.map((write) => write.row as { what: string; amountMinor: bigint })).toMatchObject([
    { what: 'payment', amountMinor: 100n },
    { what: 'correction', amountMinor: -40n },
  ])
})

test('what only moves between the parts of what is owed is no line, nor what is told of another payee', () => {
  const before = payeeRow({ accruedMinor: 30n })
  const moved = payeeRow({ payableMinor: 20n, payingMinor: 10n })
  expect(payeeLines(before, moved, [{ ...credit, payee: 'hu-other' }], 7)).toEqual({ row: moved, writes: [] })
})
