/**
 * The tables of SPEC.md that come from the code: messages, failures, limits. Each stands between a pair of markers; what is
 * between them is replaced, everything else is written by hand.
 */
import { CURRENCIES, formatAmount, type Currency } from '../../protocol/amount.ts'
import { FAILURES, type FailureCode } from '../../protocol/failures.ts'
import { WIRE, type TSchema } from '../../protocol/fields.ts'
import { KIND_NAMES, kindRow, type KindName } from '../../protocol/kinds.ts'
import { LIMIT_GROUPS } from '../../protocol/limits.ts'
import { OBLIGATIONS } from '../../protocol/obligations.ts'
import {
  DeviceAuthorizationStatement,
  EnrolmentStatement,
  HostStatement,
  MandateStatement,
  PayeeStatement,
  ProcessorStatement,
  RevocationStatement,
} from '../../protocol/statements.ts'

const table = (titles: readonly string[], rows: readonly (readonly string[])[]): string =>
  [titles, titles.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

const integerType = (schema: TSchema): string =>
  schema[WIRE] === 'money'
    ? 'money'
    : `int ${String(schema['minimum'])}…${Number(schema['maximum']) === Number.MAX_SAFE_INTEGER ? '2^53−1' : String(schema['maximum'])}`

/** A field's type in SPEC's words. */
export const fieldType = (schema: TSchema): string => {
  switch (schema['type']) {
    case 'Uint8Array': {
      const { minByteLength: least, maxByteLength: most } = schema as TSchema & {
        minByteLength: number
        maxByteLength: number
      }
      return least === most ? `bin ${most}` : `bin ${least}…${most}`
    }
    case 'bigint':
    case 'integer':
      return integerType(schema)
    case 'string': {
      const words = schema['enum'] as readonly string[] | undefined
      if (words !== undefined) return words.map((word) => `\`${word}\``).join(' / ')
      return schema['pattern'] === undefined ? `text ≤ ${String(schema['maxLength'])}` : 'id'
    }
    case 'array':
      return `list of ${fieldType(schema['items'] as TSchema)}`
    case 'object':
      return `{ ${Object.entries(schema['properties'] as Record<string, TSchema>)
        .map(([name, field]) => `${name}: ${fieldType(field)}`)
        .join(', ')} }`
    default:
      return 'any'
  }
}

const fieldList = (schema: TSchema): string => {
  const required = new Set((schema['required'] as readonly string[] | undefined) ?? [])
  return Object.entries(schema['properties'] as Record<string, TSchema>)
    .map(([name, field]) => `\`${name}\`${required.has(name) ? '' : '?'} ${fieldType(field)}`)
    .join(' · ')
}

const yesNo = (flag: boolean): string => (flag ? 'yes' : 'no')

const message = (kind: KindName): string => {
  const row = kindRow(kind)
  const { purpose, sender, receiver } = OBLIGATIONS[kind]
  const numbered = (prefix: string, lines: readonly string[]): string =>
    lines.map((line, i) => `- **${row.number}.${prefix}${i + 1}** ${line}`).join('\n')
  const properties = [
    `path ${row.paths.map((path) => path.join(' → ')).join('; ')}`,
    row.answeredBy.length === 0
      ? 'answered by nothing'
      : `answered by ${row.answeredBy.map((name) => `\`${name}\``).join(', ')}`,
    `expires: ${yesNo(row.expires)}`,
    `confidential: ${yesNo(row.confidential)}`,
    `durable before sent: ${yesNo(row.durable)}`,
    `audience ${row.audience}`,
    `identity ${row.id === null ? 'messageId' : `\`${row.id}\``}`,
    ...(row.paths.some((path) => path.includes('dc')) && row.routeBy !== 'to' ? [`routed by ${row.routeBy}`] : []),
    `accepted body versions: ${row.accepts.length === 0 ? 'none yet' : row.accepts.join(', ')}`,
  ]
  return [
    `### ${row.number} \`${kind}\``,
    purpose,
    properties.join(' · '),
    ...Object.entries(row.bodies).map(([version, schema]) => `Body ${version}: ${fieldList(schema)}`),
    ...(row.beside === undefined ? [] : [`Beside the inner frame: ${fieldList(row.beside)}`]),
    [numbered('S', sender), numbered('R', receiver)].join('\n'),
  ].join('\n\n')
}

const limitUnit = (name: string): string => (name.endsWith('Ms') ? ' ms' : name.endsWith('Bytes') ? ' bytes' : '')

/** In the order of SPEC's table of types. */
const STATEMENTS = [
  ProcessorStatement,
  HostStatement,
  PayeeStatement,
  EnrolmentStatement,
  DeviceAuthorizationStatement,
  MandateStatement,
  RevocationStatement,
]

/** Marker → what stands between its pair. */
export const SECTIONS = {
  statements: () => STATEMENTS.map((statement) => `- ${fieldList(statement)}`).join('\n'),
  messages: () => KIND_NAMES.map(message).join('\n\n'),
  failures: () =>
    table(
      ['number', 'code', 'retry', 'answered by', 'meaning', 'what the peer does'],
      (Object.keys(FAILURES) as FailureCode[]).map((code) => {
        const { number, retry, answer, meaning, peer } = FAILURES[code]
        return [String(number), `\`${code}\``, retry, answer === 'silent' ? 'nothing' : answer, meaning, peer]
      }),
    ),
  limits: () =>
    Object.entries<Readonly<Record<string, readonly [value: number, bounds: string]>>>(LIMIT_GROUPS)
      .map(([title, rows]) =>
        table(
          [title, 'value', 'bounds'],
          Object.entries(rows).map(([name, [value, bounds]]) => [
            `\`${name}\``,
            `${value.toLocaleString('en')}${limitUnit(name)}`,
            bounds,
          ]),
        ),
      )
      .join('\n\n'),
  currencies: () =>
    table(
      ['currency', 'decimals', 'M'],
      (Object.keys(CURRENCIES) as Currency[]).map((code) => [
        code,
        String(CURRENCIES[code].scale),
        formatAmount(CURRENCIES[code].macroFromMinor, code),
      ]),
    ),
} as const

/** `text` with every generated section made anew. @throws Error for a marker without its end, or of no known section */
export const regenerate = (text: string): string => {
  const missing = (Object.keys(SECTIONS) as (keyof typeof SECTIONS)[]).find(
    (name) => !text.includes(`<!-- generated: ${name} -->`),
  )
  if (missing !== undefined) throw new Error(`SPEC.md has no marker for ${missing}`)
  return text.replace(/<!-- generated: (\w+) -->\n[\s\S]*?<!-- end: \1 -->/g, (_whole, name: string) => {
    const make = SECTIONS[name as keyof typeof SECTIONS]
    if (make === undefined) throw new Error(`SPEC.md marks a section ${name} that nothing generates`)
    return `<!-- generated: ${name} -->\n${make()}\n<!-- end: ${name} -->`
  })
}
