/**
 * Statements of an account over a period, whatever node keeps it: a customer's debt at a CPP, a payee's money at an MPP, what one
 * intermediary owes another, a bank account. A node answers page by page, in bounded scans; who asks adds the pages up.
 *
 * Invariant: opening balance + Σ lines = closing balance, and a statement without an end closes at what the node holds now.
 */
import { Value } from '@sinclair/typebox/value'
import type { Currency } from '../../protocol/amount.ts'
import { Fields, Optional, Type, type Static, type TSchema } from '../../protocol/fields.ts'
import { LIMITS } from '../../protocol/limits.ts'

/** One movement. Positive raises the balance. */
export type StatementLine = {
  readonly atMs: number
  /** What it was, as a word: `payment`, `collection`, `settlement`, `payout`… */
  readonly what: string
  /** What it is about, in hex: prId, pnId, orderId, batchId, payoutId… */
  readonly id: string
  readonly amountMinor: bigint
  /** Who or what stands on the other side, where the ledger knows. */
  readonly with?: string
}
export type StatementPage = {
  readonly ok: true
  readonly currency: Currency
  /** Σ of what this page passed over because it was before the period. */
  readonly beforeMinor: bigint
  readonly lines: readonly StatementLine[]
  /** `after` of the next page; undefined: this was the last. */
  readonly next: string | undefined
}

/** What every statement takes: the period `fromMs` (inclusive) to `toMs` (exclusive), and where to go on. */
const PERIOD = {
  fromMs: Optional(Type.Integer({ minimum: 0 })),
  toMs: Optional(Type.Integer({ minimum: 0 })),
  after: Optional(Type.String({ pattern: '^[a-z]?[0-9a-f]{1,32}$' })),
  limit: Optional(Type.Integer({ minimum: 1, maximum: LIMITS.maxPageRows })),
}
export type PeriodArgs = {
  readonly fromMs?: number
  readonly toMs?: number
  readonly after?: string
  readonly limit?: number
}
export const statementArgs = <T extends Readonly<Record<string, TSchema>>>(fields: T) =>
  Fields({ ...fields, ...PERIOD })

export type StatementRefusal = { readonly ok: false; readonly code: string; readonly detail: string }
export const noStatement = (code: string, detail: string): StatementRefusal => ({ ok: false, code, detail })
/** Arguments that fit, or why not. */
export const readStatementArgs = <S extends TSchema>(
  schema: S,
  args: unknown,
): { readonly ok: true; readonly value: Static<S> } | StatementRefusal => {
  if (Value.Check(schema, args)) return { ok: true, value: args }
  const first = Value.Errors(schema, args).First()
  return noStatement('SCHEMA_VIOLATION', `${first?.path.slice(1) ?? ''}: ${first?.message ?? 'does not fit'}`)
}

/** A row of a ledger as a statement sees it: where it stands, and its movement; without one it is passed over. */
export type StatementRow = { readonly cursor: string; readonly line: StatementLine | undefined }

/** A page of rows in their order. Scans at most `limit` rows and one more. */
export const statementPage = (
  currency: Currency,
  rows: Iterable<StatementRow>,
  { fromMs = 0, toMs = Number.MAX_SAFE_INTEGER, limit = LIMITS.maxPageRows }: PeriodArgs,
): StatementPage => {
  const lines: StatementLine[] = []
  let beforeMinor = 0n
  let scanned = 0
  let last: string | undefined
  for (const { cursor, line } of rows) {
    if (scanned === limit) return { ok: true, currency, beforeMinor, lines, next: last }
    scanned += 1
    last = cursor
    if (line === undefined || line.atMs >= toMs) continue
    if (line.atMs < fromMs) beforeMinor += line.amountMinor
    else lines.push(line)
  }
  return { ok: true, currency, beforeMinor, lines, next: undefined }
}

export type Statement = {
  readonly currency: Currency
  readonly openingMinor: bigint
  /** By time; those of one moment in the order of the ledger. */
  readonly lines: readonly (StatementLine & { readonly balanceMinor: bigint })[]
  readonly closingMinor: bigint
}

/** All pages of a statement as one. @throws Error when there are none, or they are of two currencies */
export const addUpStatement = (pages: readonly StatementPage[]): Statement => {
  const [first] = pages
  if (first === undefined || pages.some(({ currency }) => currency !== first.currency))
    throw new Error('a statement is of one account and one currency')
  const openingMinor = pages.reduce((sum, { beforeMinor }) => sum + beforeMinor, 0n)
  let closingMinor = openingMinor
  const lines = pages
    .flatMap((page) => page.lines)
    .toSorted((a, b) => a.atMs - b.atMs)
    .map((line) => ({ ...line, balanceMinor: (closingMinor += line.amountMinor) }))
  return { currency: first.currency, openingMinor, lines, closingMinor }
}
