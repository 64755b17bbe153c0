/**
 * Statements of a CPP: what a customer owes (confirmed micropayments, less collections, refunds and what was given up), and what
 * this CPP owes an MPP (entries of the pair, less settled batches). The first closes at `outstanding`, the second at `payable`.
 * A macropayment is a bank's: it never is a debt.
 */
import { toHex } from '../../protocol/bytes.ts'
import { CurrencyCode, NodeId, Type } from '../../protocol/fields.ts'
import type { Reader } from '../runtime/node.ts'
import {
  noStatement,
  readStatementArgs,
  statementArgs,
  statementPage,
  type PeriodArgs,
  type StatementRow,
} from '../runtime/statement.ts'
import { totalOf } from './load.ts'
import { ENTRY, ledger, payments, type EntryKind } from './state.ts'
import { batches, pairEntries, pairs } from './state-pairs.ts'
import type { Currency } from '../../protocol/amount.ts'

const OfCustomer = statementArgs({ customer: NodeId })
const OfPair = statementArgs({ mpp: NodeId, currency: CurrencyCode })
const Args = Type.Union([OfCustomer, OfPair])

/** What the customer owes rises with a payment and falls with everything else. */
const RISES: ReadonlySet<EntryKind> = new Set([ENTRY.payment])
const ENTRY_WORDS: Readonly<Record<EntryKind, string>> = {
  [ENTRY.payment]: 'payment',
  [ENTRY.collection]: 'collection',
  [ENTRY.refundOffset]: 'refund',
  [ENTRY.writeOff]: 'write-off',
}
const PAIR_WORDS = {
  'delayed-transfer-confirmation': 'payment',
  'refund-confirmation': 'refund',
  'pair-adjustment': 'adjustment',
} as const

/**
 * `statement {customer, fromMs?, toMs?, after?, limit?}` or `statement {mpp, currency, …}` → a page. Order of checks:
 * SCHEMA_VIOLATION, CUSTOMER_UNKNOWN, NOT_FOUND (pair).
 */
export const statement = (read: Reader, args: Readonly<Record<string, unknown>>) => {
  const parsed = readStatementArgs(Args, args)
  if (!parsed.ok) return parsed
  return 'customer' in parsed.value
    ? ofCustomer(read, parsed.value.customer, parsed.value)
    : ofPair(read, parsed.value.mpp, parsed.value.currency, parsed.value)
}

const ofCustomer = (read: Reader, customer: string, period: PeriodArgs) => {
  const total = totalOf(read, customer)
  if (total === undefined) return noStatement('CUSTOMER_UNKNOWN', customer)
  const from = Number(period.after ?? 0) + 1
  return statementPage(total.currency, customerRows(read, customer, from), period)
}

function* customerRows(read: Reader, customer: string, from: number): Generator<StatementRow> {
  let seq = from
  for (const [, entry] of read.scan(ledger, [customer], { from: [from] })) {
    if (entry.kind === 0) continue
    const { kind, amountMinor, id, atMs } = entry
    const payee = kind === ENTRY.payment ? read.get(payments, id)?.payee : undefined
    yield {
      cursor: String(seq++),
      line: {
        atMs,
        what: ENTRY_WORDS[kind],
        id: toHex(id),
        amountMinor: RISES.has(kind) ? amountMinor : -amountMinor,
        ...(payee === undefined ? {} : { with: payee }),
      },
    }
  }
}

/** `e<seq>`: entries up to there were told. `b<seq>`: all entries, and batches up to there. */
const ofPair = (read: Reader, mpp: string, currency: Currency, period: PeriodArgs) => {
  if (read.get(pairs, mpp, currency) === undefined) return noStatement('NOT_FOUND', `${mpp} ${currency}`)
  return statementPage(currency, pairRows(read, mpp, currency, period.after ?? 'e0'), period)
}

function* pairRows(read: Reader, mpp: string, currency: Currency, after: string): Generator<StatementRow> {
  const last = Number(after.slice(1))
  if (after.startsWith('e')) {
    let seq = last
    for (const [, { kind, amountMinor, id, atMs }] of read.scan(pairEntries, [mpp, currency], { from: [last + 1] }))
      yield { cursor: `e${(seq += 1)}`, line: { atMs, what: PAIR_WORDS[kind], id: toHex(id), amountMinor } }
  }
  const from = after.startsWith('b') ? last + 1 : 1
  for (const [, batch] of read.scan(batches, [mpp, currency], { from: [from] }))
    yield {
      cursor: `b${batch.seq}`,
      line:
        batch.state === 'settled'
          ? { atMs: batch.settledAtMs, what: 'settlement', id: toHex(batch.batchId), amountMinor: -batch.totalMinor }
          : undefined,
    }
}
