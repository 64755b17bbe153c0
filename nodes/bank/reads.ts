/** What an operator may ask a bank, beside the report. Lists come in pages: `after` is the last entry seen. */
import { LIMITS } from '../../protocol/limits.ts'
import type { Reader } from '../runtime/node.ts'
import type { PaymentsPage } from '../runtime/reports.ts'
import { freeMinor } from './accounts.ts'
import { ACCOUNTS, ENTRIES, STATEMENTS, type EntryRow } from './state.ts'

type Args = Readonly<Record<string, unknown>>

const DEFAULT_PAGE = 100
const wholeNumber = (value: unknown, fallback: number): number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : fallback
const pageOf = ({ after, limit }: Args): { readonly from: readonly [number]; readonly limit: number } => ({
  from: [wholeNumber(after, 0) + 1],
  limit: Math.min(Math.max(wholeNumber(limit, DEFAULT_PAGE), 1), LIMITS.maxPageRows),
})

const unknownAccount = (account: unknown) => ({ ok: false, code: 'ACCOUNT_UNKNOWN', detail: String(account) }) as const

/** `account {account}` → balance, what is held and what is free. */
export const readAccount = (read: Reader, { account }: Args) => {
  const row = typeof account === 'string' ? read.get(ACCOUNTS, account) : undefined
  if (row === undefined) return unknownAccount(account)
  const { kind, currency, balanceMinor, heldMinor, operatorId, holderHost, openedAtMs, changedAtMs } = row
  return {
    ok: true,
    account: row.account,
    kind,
    currency,
    balanceMinor,
    heldMinor,
    freeMinor: freeMinor(row),
    operatorId,
    holderHost,
    openedAtMs,
    changedAtMs,
  } as const
}

type Page<T> = { readonly lines: readonly T[]; readonly next: number | undefined }
const page = <T extends { readonly entry: number }>(lines: readonly T[], limit: number): Page<T> => ({
  lines,
  next: lines.length === limit ? lines.at(-1)?.entry : undefined,
})

/** `statement {account, after?, limit?}` → the account's entries in order, each with the balance after it. */
export const readStatement = (read: Reader, args: Args) => {
  const { account } = args
  if (typeof account !== 'string' || read.get(ACCOUNTS, account) === undefined) return unknownAccount(account)
  const { from, limit } = pageOf(args)
  const lines = [...read.scan(STATEMENTS, [account], { from, limit })].map(([, line]) => {
    const { event, atMs, reference } = read.get(ENTRIES, line.entry) as EntryRow
    return { ...line, event, atMs, reference }
  })
  return { ok: true, account, ...page(lines, limit) } as const
}

/** `journal {after?, limit?}` → journal entries in order. */
export const readJournal = (read: Reader, args: Args) => {
  const { from, limit } = pageOf(args)
  const lines = [...read.scan(ENTRIES, [], { from, limit })].map(([, entry]) => entry)
  return { ok: true, ...page(lines, limit) } as const
}

/** A bank keeps orders, not payments: it has none to compare. */
export const readPayments = (): PaymentsPage => ({ payments: [], next: undefined })
