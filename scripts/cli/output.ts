/**
 * What commands print. Facts go to stdout, as text for people or, with `--json`, as one JSON value a line for programs;
 * everything else (progress, errors) goes to stderr, so that stdout can always be piped.
 */
import { stripVTControlCharacters, styleText } from 'node:util'
import { toHex } from '../../protocol/bytes.ts'

export type Write = (text: string) => void

/** bigint as a decimal string, because JSON numbers lose money above 2^53; bytes as lower-case hex. */
export const toJson = (value: unknown): string =>
  JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === 'bigint') return item.toString()
    if (item instanceof Uint8Array) return toHex(item)
    if (item instanceof Map) return Object.fromEntries(item) as unknown
    if (item instanceof Set) return [...item] as unknown
    return item
  })

export type Column<Row> = {
  readonly title: string
  readonly align?: 'left' | 'right'
  readonly cell: (row: Row) => string
}

const width = (text: string): number => Array.from(stripVTControlCharacters(text)).length

const pad = (text: string, to: number, align: 'left' | 'right'): string => {
  const space = ' '.repeat(Math.max(0, to - width(text)))
  return align === 'right' ? space + text : text + space
}

/** Rows under their titles, two spaces between columns, as lines without trailing blanks. Titles alone when empty. */
export const formatTable = <Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] => {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ cell }) => cell(row)))]
  const widths = columns.map((_, at) => cells.reduce((widest, line) => Math.max(widest, width(line[at] ?? '')), 0))
  return cells.map((line) =>
    columns
      .map(({ align = 'left' }, at) => pad(line[at] ?? '', widths[at] ?? 0, align))
      .join('  ')
      .trimEnd(),
  )
}

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

export type Output = {
  readonly json: boolean
  /** One line for people; nothing with `--json`. */
  readonly line: (text?: string) => void
  /** A fact: `value` as one line of JSON with `--json`, else the lines of `text`. */
  readonly fact: (value: unknown, text: () => string | readonly string[]) => void
  /** A list of facts: `{ [name]: rows }` with `--json`, else a table. */
  readonly table: <Row>(name: string, columns: readonly Column<Row>[], rows: readonly Row[]) => void
  /** The lines of a table, its titles bold where stdout takes that. */
  readonly rows: <Row>(columns: readonly Column<Row>[], rows: readonly Row[]) => readonly string[]
  /** Coloured where stdout takes colour, else as it is. */
  readonly style: (style: Style, text: string) => string
}

export type OutputOptions = { readonly json: boolean; readonly colour: boolean; readonly write: Write }

export const createOutput = ({ json, colour, write }: OutputOptions): Output => {
  const line = (text = ''): void => {
    if (!json) write(`${text}\n`)
  }
  const fact = (value: unknown, text: () => string | readonly string[]): void => {
    if (json) return write(`${toJson(value)}\n`)
    for (const part of [text()].flat()) line(part)
  }
  const style = (name: Style, text: string): string =>
    colour && !json ? styleText(name, text, { validateStream: false }) : text
  const rows = <Row>(columns: readonly Column<Row>[], all: readonly Row[]): readonly string[] => {
    const [titles = '', ...lines] = formatTable(columns, all)
    return [style('bold', titles), ...lines]
  }
  return {
    json,
    line,
    fact,
    rows,
    style,
    table: (name, columns, all) => fact({ [name]: all }, () => rows(columns, all)),
  }
}
