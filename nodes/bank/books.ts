/**
 * Double entry. Every change of a balance or a hold goes through here, and here alone. Invariants, each thrown when broken,
 * so that the node stops before it commits: an entry's legs add up to zero and none is empty; an account is of the entry's
 * currency; a covered account's balance never falls below what is held on it; what is held is never negative.
 */
import { sumMinor, type Currency } from '../../protocol/amount.ts'
import type { Reference } from '../../protocol/messages/bank.ts'
import {
  put,
  type Context,
  type Decision,
  type Message,
  type Posting,
  type Reader,
  type Write,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { internalAccount, isCovered } from './accounts.ts'
import { ACCOUNTS, COUNTERS, ENTRIES, STATEMENTS, type AccountRow, type EntryEvent } from './state.ts'

export class BooksBroken extends Error {
  constructor(what: string) {
    super(what)
    this.name = 'BooksBroken'
  }
}

export type BooksSlice = {
  readonly accounts: ReadonlyMap<string, AccountRow>
  readonly lastEntry: number
}
/** @param accounts names of every account the decision may touch; unknown ones are simply absent */
export const loadBooks = (read: Reader, accounts: Iterable<string>): BooksSlice => {
  const rows = new Map<string, AccountRow>()
  for (const account of accounts) {
    const row = read.get(ACCOUNTS, account)
    if (row !== undefined) rows.set(account, row)
  }
  return { accounts: rows, lastEntry: read.get(COUNTERS, 'entry')?.last ?? 0 }
}

export type Leg = { readonly account: string; readonly amountMinor: bigint }
export type Entry = {
  readonly event: EntryEvent
  readonly currency: Currency
  /** Positive credits. */
  readonly legs: readonly Leg[]
  readonly cause?: Uint8Array
  readonly reference?: Reference
  /** The host whose order causes it: told by its answer, so not by a notice. */
  readonly orderedBy?: string
  /** Where the money comes from; default this bank. */
  readonly originatingBank?: string
}

export type Books = {
  readonly account: (account: string) => AccountRow | undefined
  /** Opens an account with nothing in it. @throws BooksBroken when it exists */
  readonly open: (row: Omit<AccountRow, 'balanceMinor' | 'heldMinor' | 'openedAtMs' | 'changedAtMs'>) => void
  /** Holds (positive) or releases (negative) a sum. @throws BooksBroken */
  readonly hold: (account: string, deltaMinor: bigint) => void
  /** Books an entry; opens clearing and nostro accounts at their first use. @throws BooksBroken, AmountOverflow */
  readonly post: (entry: Entry) => void
  /** Writes, postings and notices of all that was done. */
  readonly parts: () => Pick<Decision, 'writes' | 'postings' | 'sends'>
}

/** A working copy of the accounts of one decision. */
export const openBooks = (
  slice: BooksSlice,
  { self, nowMs, freshId }: Pick<Context, 'self' | 'nowMs' | 'freshId'>,
): Books => {
  const accounts = new Map(slice.accounts)
  const changed = new Set<string>()
  const entries: Write[] = []
  const postings: Posting[] = []
  const notices: Message[] = []
  let lastEntry = slice.lastEntry

  const change = (row: AccountRow): void => {
    if (row.heldMinor < 0n) throw new BooksBroken(`${row.account}: holds of ${row.heldMinor} minor units`)
    if (isCovered(row.kind) && row.balanceMinor < row.heldMinor)
      throw new BooksBroken(
        `${row.account}: a balance of ${row.balanceMinor} minor units does not cover holds of ${row.heldMinor}`,
      )
    accounts.set(row.account, { ...row, changedAtMs: nowMs })
    changed.add(row.account)
  }
  const known = (account: string, currency: Currency): AccountRow => {
    const row = accounts.get(account)
    if (row !== undefined) return row
    const internal = internalAccount(account)
    if (internal === undefined || internal.kind === 'reserve') throw new BooksBroken(`no account ${account}`)
    return {
      account,
      kind: internal.kind,
      currency,
      balanceMinor: 0n,
      heldMinor: 0n,
      openedAtMs: nowMs,
      changedAtMs: nowMs,
    }
  }
  const notify = (
    row: AccountRow,
    amountMinor: bigint,
    { reference, orderedBy, originatingBank, currency }: Entry,
  ): void => {
    if (reference === undefined) return
    const { account, holderRole, holderHost, alsoTold = [] } = row
    const holder = holderRole === undefined || holderHost === undefined ? [] : [{ role: holderRole, host: holderHost }]
    for (const { role, host } of [...holder, ...alsoTold]) {
      if (host === orderedBy) continue
      const noticeId = freshId()
      notices.push({
        kind: 'account-notice',
        to: host,
        nextHop: { role, host },
        body: {
          noticeId,
          account,
          amountMinor,
          currency,
          reference,
          originatingBank: originatingBank ?? self.id,
          bookedAtMs: nowMs,
        },
        delivery: { until: ['account-notice', noticeId] },
      })
    }
  }

  return {
    account: (account) => accounts.get(account),
    open: (row) => {
      if (accounts.has(row.account)) throw new BooksBroken(`account ${row.account} exists`)
      change({ ...row, balanceMinor: 0n, heldMinor: 0n, openedAtMs: nowMs, changedAtMs: nowMs })
    },
    hold: (account, deltaMinor) => {
      const row = accounts.get(account)
      if (row === undefined) throw new BooksBroken(`no account ${account}`)
      change({ ...row, heldMinor: sumMinor(row.heldMinor, deltaMinor) })
    },
    post: (entry) => {
      const { event, currency, cause, reference } = entry
      // One leg for each account: a transfer to itself moves nothing, and its two legs would share one statement line.
      const legs = new Map<string, bigint>()
      for (const { account, amountMinor } of entry.legs) legs.set(account, (legs.get(account) ?? 0n) + amountMinor)
      if (entry.legs.reduce((sum, leg) => sum + leg.amountMinor, 0n) !== 0n)
        throw new BooksBroken(`the legs of a ${event} do not add up to zero`)
      lastEntry += 1
      for (const [account, amountMinor] of legs) {
        const row = known(account, currency)
        if (row.currency !== currency) throw new BooksBroken(`${account} is kept in ${row.currency}, not ${currency}`)
        const balanceMinor = sumMinor(row.balanceMinor, amountMinor)
        change({ ...row, balanceMinor })
        entries.push(put(STATEMENTS, keyOf(account, lastEntry), { entry: lastEntry, amountMinor, balanceMinor }))
        postings.push({ account, currency, amountMinor })
        if (row.kind === 'holder' && amountMinor !== 0n) notify(row, amountMinor, entry)
      }
      entries.push(
        put(ENTRIES, keyOf(lastEntry), {
          entry: lastEntry,
          event,
          atMs: nowMs,
          currency,
          legs: [...legs],
          ...(cause !== undefined && { cause }),
          ...(reference !== undefined && { reference }),
        }),
      )
    },
    parts: () => ({
      writes: [
        ...[...changed].map((account) => put(ACCOUNTS, keyOf(account), accounts.get(account) as AccountRow)),
        ...entries,
        ...(lastEntry === slice.lastEntry ? [] : [put(COUNTERS, keyOf('entry'), { last: lastEntry })]),
      ],
      postings,
      sends: notices,
    }),
  }
}
