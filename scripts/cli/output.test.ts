import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createOutput, formatTable, toJson, type Column } from './output.ts'

const collect = (json: boolean, colour = false) => {
  let text = ''
  const output = createOutput({ json, colour, write: (part) => void (text += part) })
  return { output, text: () => text }
}

type Row = { readonly name: string; readonly count: number }
const COLUMNS: readonly Column<Row>[] = [
  { title: 'node', cell: ({ name }) => name },
  { title: 'payments', align: 'right', cell: ({ count }) => String(count) },
]
const ROWS: readonly Row[] = [
  { name: 'hu-otp', count: 7 },
  { name: 'hu-cosmo', count: 1200 },
]

describe('JSON', () => {
  test('keeps money whole and writes bytes as hex, however deep', () => {
    const value = { sum: 2n ** 63n, list: [new Uint8Array([0, 255])], map: new Map([['a', 1n]]), set: new Set([1]) }
    expect(toJson(value)).toBe('{"sum":"9223372036854775808","list":["00ff"],"map":{"a":"1"},"set":[1]}')
  })

  test('any bigint comes back as itself', () => {
    fc.assert(
      fc.property(fc.bigInt(), (amountMinor) => {
        expect(BigInt((JSON.parse(toJson({ amountMinor })) as { amountMinor: string }).amountMinor)).toBe(amountMinor)
      }),
    )
  })
})

describe('a table', () => {
  test('is aligned, without trailing blanks', () => {
    expect(formatTable(COLUMNS, ROWS)).toEqual(['node      payments', 'hu-otp           7', 'hu-cosmo      1200'])
    expect(formatTable([COLUMNS[0] as Column<Row>], ROWS)).toEqual(['node', 'hu-otp', 'hu-cosmo'])
  })

  test('shows its titles when it is empty', () => {
    expect(formatTable(COLUMNS, [])).toEqual(['node  payments'])
  })

  test('does not count colours as width', () => {
    const columns: readonly Column<string>[] = [
      { title: 'a', cell: (text) => text },
      { title: 'b', cell: () => 'x' },
    ]
    expect(formatTable(columns, ['\u001b[32mok\u001b[39m', 'long'])).toEqual([
      'a     b',
      '\u001b[32mok\u001b[39m    x',
      'long  x',
    ])
  })
})

describe('output', () => {
  test('for people', () => {
    const { output, text } = collect(false)
    output.line('hello')
    output.fact({ a: 1 }, () => ['one', 'two'])
    output.table('nodes', COLUMNS, ROWS)
    expect(text()).toBe('hello\none\ntwo\nnode      payments\nhu-otp           7\nhu-cosmo      1200\n')
  })

  test('for programs: one value a line and nothing else', () => {
    const { output, text } = collect(true, true)
    output.line('hello')
    output.fact({ a: 1n }, () => 'one')
    output.table('nodes', COLUMNS, ROWS)
    expect(text()).toBe('{"a":"1"}\n{"nodes":[{"name":"hu-otp","count":7},{"name":"hu-cosmo","count":1200}]}\n')
    expect(output.style('red', 'x')).toBe('x')
  })

  test('colours only where they are wanted', () => {
    expect(collect(false).output.style('red', 'x')).toBe('x')
    expect(collect(false, true).output.style('red', 'x')).toBe('\u001b[31mx\u001b[39m')
  })
})
