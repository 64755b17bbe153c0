/**
 * Statements of an MPP: what it owes a payee (credited payments, less payouts and refunds), and what a CPP owes it (entries held,
 * less settled batches). The first closes at accrued + payable + refunding + paying, the second at `receivable`. A macropayment
 * is a bank's, and in neither.
 */
import type { Currency } from '../../protocol/amount.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
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
import { readPayeeArgs } from './control-args.ts'
import { BATCHES, ENTRIES, PAIRS, PAYEE_LINES, PAYEES } from './state.ts'

const OfPayee = statementArgs({ payee: Type.String({ maxLength: 64 }) })
const OfPair = statementArgs({ cpp: NodeId, currency: CurrencyCode })
const Args = Type.Union([OfPayee, OfPair])

const PAIR_WORDS = { dt: 'payment', refund: 'refund', adjustment: 'adjustment', missing: 'missing' } as const

/**
 * `statement {payee, fromMs?, toMs?, after?, limit?}` or `statement {cpp, currency, …}` → a page. Order of checks:
 * SCHEMA_VIOLATION, NOT_FOUND.
 */
export const statement = (read: Reader, args: Readonly<Record<string, unknown>>) => {
  const parsed = readStatementArgs(Args, args)
  if (!parsed.ok) return parsed
  return 'payee' in parsed.value
    ? ofPayee(read, parsed.value.payee, parsed.value)
    : ofPair(read, parsed.value.cpp, parsed.value.currency, parsed.value)
}

const ofPayee = (read: Reader, name: string, period: PeriodArgs) => {
  const payee = read.get(PAYEES, readPayeeArgs({ payee: name }) ?? '')
  if (payee === undefined) return noStatement('NOT_FOUND', name)
  const from = Number(period.after ?? 0) + 1
  return statementPage(payee.currency, payeeRows(read, payee.payee, from), period)
}

function* payeeRows(read: Reader, payee: string, from: number): Generator<StatementRow> {
  for (const [, { seq, what, amountMinor, id, atMs }] of read.scan(PAYEE_LINES, [payee], { from: [from] }))
    yield { cursor: String(seq), line: { atMs, what, id: toHex(id), amountMinor } }
}

/** `e<seq>`: entries up to there were told. `b<batchId>`: all entries, and batches up to there. */
const ofPair = (read: Reader, cpp: string, currency: Currency, period: PeriodArgs) => {
  if (read.get(PAIRS, cpp, currency) === undefined) return noStatement('NOT_FOUND', `${cpp} ${currency}`)
  return statementPage(currency, pairRows(read, cpp, currency, period.after ?? 'e0'), period)
}

function* pairRows(read: Reader, cpp: string, currency: Currency, after: string): Generator<StatementRow> {
  const passed = after.slice(1)
  if (after.startsWith('e'))
    for (const [, entry] of read.scan(ENTRIES, [cpp, currency], { from: [Number(passed) + 1] })) {
      const { pairSeq, type, bookedAtMs, amountMinor, pnId, digest, payee } = entry
      yield {
        cursor: `e${pairSeq}`,
        line:
          type === 'missing'
            ? undefined
            : {
                atMs: bookedAtMs,
                what: PAIR_WORDS[type],
                id: toHex(pnId ?? digest.slice(0, 16)),
                amountMinor,
                ...(payee === undefined ? {} : { with: payee }),
              },
      }
    }
  const from = after.startsWith('b') ? { from: [fromHex(passed)] } : {}
  for (const [, batch] of read.scan(BATCHES, [], from)) {
    const { batchId, state, settledAtMs = 0, totalMinor } = batch
    const id = toHex(batchId)
    if (after === `b${id}`) continue
    const isOwn = batch.cpp === cpp && batch.currency === currency && state === 'settled'
    yield {
      cursor: `b${id}`,
      line: isOwn ? { atMs: settledAtMs, what: 'settlement', id, amountMinor: -totalMinor } : undefined,
    }
  }
}
