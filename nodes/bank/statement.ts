/** The statement of a bank account: every booking of its journal. It closes at the account's balance, holds included. */
import { toHex } from '../../protocol/bytes.ts'
import { Type } from '../../protocol/fields.ts'
import type { Reader } from '../runtime/node.ts'
import {
  noStatement,
  readStatementArgs,
  statementArgs,
  statementPage,
  type StatementRow,
} from '../runtime/statement.ts'
import { ACCOUNTS, ENTRIES, STATEMENTS } from './state.ts'

const Args = statementArgs({ account: Type.String({ maxLength: 120 }) })
const NAMELESS = new Uint8Array(16)

/** `account-statement {account, fromMs?, toMs?, after?, limit?}` → a page. Order of checks: SCHEMA_VIOLATION, ACCOUNT_UNKNOWN. */
export const accountStatement = (read: Reader, args: Readonly<Record<string, unknown>>) => {
  const parsed = readStatementArgs(Args, args)
  if (!parsed.ok) return parsed
  const { account, after = '0' } = parsed.value
  const row = read.get(ACCOUNTS, account)
  if (row === undefined) return noStatement('ACCOUNT_UNKNOWN', account)
  return statementPage(row.currency, rowsOf(read, account, Number(after) + 1), parsed.value)
}

function* rowsOf(read: Reader, account: string, from: number): Generator<StatementRow> {
  for (const [, { entry, amountMinor }] of read.scan(STATEMENTS, [account], { from: [from] })) {
    const booked = read.get(ENTRIES, entry)
    if (booked === undefined) throw new Error(`entry ${entry} of a statement is not in the journal`)
    const { event, atMs, reference, cause } = booked
    yield {
      cursor: String(entry),
      line: {
        atMs,
        what: reference?.purpose ?? event,
        id: toHex(reference?.id ?? cause ?? NAMELESS),
        amountMinor,
      },
    }
  }
}
