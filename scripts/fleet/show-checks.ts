/** Checks as a table for people: one line for each kind of check, and every check that does not hold. */
import { isCurrency } from '../../protocol/amount.ts'
import type { Check } from '../../nodes/verify/check-network.ts'
import type { Column, Output } from '../cli/output.ts'
import type { Verification } from './verify.ts'

type Shown = Pick<Output, 'rows' | 'style'>

/** Checks of one kind in one currency, summed: `accounts add up to zero: hu-kh EUR` is of the kind before the colon. */
type Kind = {
  readonly rule: string
  readonly name: string
  /** Empty where counts are compared, or every currency. */
  readonly currency: string
  readonly count: number
  readonly failed: number
  readonly left: bigint
  readonly right: bigint
}

const kindsOf = (checks: readonly Check[]): readonly Kind[] => {
  const kinds = new Map<string, Kind>()
  for (const { rule, name, ok, left, right } of checks) {
    const [what = name] = name.split(': ')
    const last = name.slice(-3)
    const currency = isCurrency(last) ? last : ''
    const key = `${rule} ${what} ${currency}`
    const before = kinds.get(key) ?? { rule, name: what, currency, count: 0, failed: 0, left: 0n, right: 0n }
    kinds.set(key, {
      ...before,
      count: before.count + 1,
      failed: before.failed + (ok ? 0 : 1),
      left: before.left + left,
      right: before.right + right,
    })
  }
  return [...kinds.values()].toSorted((a, b) => ruleOf(a) - ruleOf(b))
}

const ruleOf = ({ rule }: Kind): number => Number(rule.replace('§8.', ''))

const kindColumns = ({ style }: Shown): readonly Column<Kind>[] => [
  { title: 'rule', cell: ({ rule }) => rule },
  { title: 'must hold', cell: ({ name }) => name },
  { title: '', cell: ({ currency }) => currency },
  { title: 'checks', align: 'right', cell: ({ count }) => String(count) },
  { title: 'left', align: 'right', cell: ({ left }) => String(left) },
  { title: 'right', align: 'right', cell: ({ right }) => String(right) },
  { title: '', cell: ({ failed }) => (failed === 0 ? style('green', 'holds') : style('red', `${failed} broken`)) },
]
const checkColumns = ({ style }: Shown): readonly Column<Check>[] => [
  { title: 'rule', cell: ({ rule }) => rule },
  { title: 'must hold', cell: ({ name }) => name },
  { title: 'left', align: 'right', cell: ({ left }) => String(left) },
  { title: 'right', align: 'right', cell: ({ right }) => String(right) },
  { title: '', cell: ({ ok }) => (ok ? style('green', 'holds') : style('red', 'broken')) },
  { title: '', cell: ({ detail = '' }) => detail },
]

export const checkLines = (
  { ok, quiet, checks }: Verification,
  { all, output }: { readonly all: boolean; readonly output: Shown },
): readonly string[] => {
  const broken = checks.filter((check) => !check.ok)
  return [
    ...(all ? output.rows(checkColumns(output), checks) : output.rows(kindColumns(output), kindsOf(checks))),
    ...(all || broken.length === 0 ? [] : ['', ...output.rows(checkColumns(output), broken)]),
    '',
    `${checks.length} checks of a ${quiet ? 'network at rest' : 'moving network'}: ${ok ? 'all hold' : `${broken.length} broken`}`,
  ]
}
