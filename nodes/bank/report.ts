/** The bank's figures for `verify`, each counted afresh from the rows, so that a wrong total anywhere shows. */
import type { Currency } from '../../protocol/amount.ts'
import type { Reader } from '../runtime/node.ts'
import type { BankReport } from '../runtime/reports.ts'
import { clearingAccount, internalAccount, isCovered } from './accounts.ts'
import { totalOf } from './clearing.ts'
import {
  ACCOUNTS,
  CLEARING_ORDERS,
  ENTRIES,
  HOLDS,
  ORDERS,
  OUTGOING_CREDITS,
  PENDING_NOTICES,
  SETTLEMENTS,
  type AccountRow,
  type EntryRow,
} from './state.ts'

/** Sums under composite keys, in the order they were first seen. */
const sums = <Key extends object>() => {
  const kept = new Map<string, { readonly key: Key; count: number; amountMinor: bigint }>()
  return {
    add: (key: Key, amountMinor: bigint, count = 1): void => {
      const text = Object.values(key).join(' ')
      const sum = kept.get(text) ?? { key, count: 0, amountMinor: 0n }
      kept.set(text, { key, count: sum.count + count, amountMinor: sum.amountMinor + amountMinor })
    },
    all: () => [...kept.values()],
  }
}
const minorByAccount = () => {
  const kept = new Map<string, bigint>()
  return {
    add: (account: string, amountMinor: bigint): void =>
      void kept.set(account, (kept.get(account) ?? 0n) + amountMinor),
    of: (account: string): bigint => kept.get(account) ?? 0n,
  }
}

const journalOf = (read: Reader) => {
  const balances = minorByAccount()
  const funded = minorByAccount()
  const cleared = minorByAccount()
  const unbalanced: EntryRow[] = []
  for (const [, entry] of read.scan(ENTRIES, [])) {
    let sum = 0n
    for (const [account, amountMinor] of entry.legs) {
      sum += amountMinor
      balances.add(account, amountMinor)
      if (entry.event === 'reserve-funding') funded.add(account, amountMinor)
      const isClearing = entry.event === 'clearing-paid' || entry.event === 'clearing-received'
      if (isClearing && internalAccount(account)?.kind === 'nostro') cleared.add(entry.currency, amountMinor)
    }
    if (sum !== 0n) unbalanced.push(entry)
  }
  return { balances, funded, cleared, unbalanced }
}

const heldOf = (read: Reader) => {
  const held = minorByAccount()
  for (const [, { state, order }] of read.scan(HOLDS, []))
    if (state === 'held' && order !== undefined) held.add(order.account, order.amountMinor)
  for (const [, { state, items, currency }] of read.scan(CLEARING_ORDERS, []))
    if (state === 'open')
      for (const { bank, amountMinor } of items) held.add(clearingAccount(bank, currency), amountMinor)
  return held
}

export const bankReport = (read: Reader, self: string): BankReport => {
  const accounts = [...read.scan(ACCOUNTS, [])].map(([, row]) => row)
  const { balances, funded, cleared, unbalanced } = journalOf(read)
  const held = heldOf(read)
  const totalsOf = (currency: Currency): BankReport['totals'][number] => {
    const rows = accounts.filter((row) => row.currency === currency)
    const sumOf = (pick: (row: AccountRow) => bigint): bigint => rows.reduce((sum, row) => sum + pick(row), 0n)
    const countOf = (is: (row: AccountRow) => boolean): number => rows.filter(is).length
    return {
      currency,
      sumMinor: sumOf(({ balanceMinor }) => balanceMinor),
      heldByHoldersMinor: sumOf(({ kind, balanceMinor }) => (kind === 'holder' ? balanceMinor : 0n)),
      holdsMinor: sumOf(({ kind, account }) => (kind === 'holder' ? held.of(account) : 0n)),
      negativeHolderAccounts: countOf(
        ({ kind, balanceMinor, heldMinor }) => isCovered(kind) && (balanceMinor < 0n || balanceMinor < heldMinor),
      ),
      unbalancedEntries: unbalanced.filter((entry) => entry.currency === currency).length,
      accountsOffJournal: countOf(({ account, balanceMinor }) => balanceMinor !== balances.of(account)),
      accountsOffHolds: countOf(({ account, heldMinor }) => heldMinor !== held.of(account)),
      clearedMinor: cleared.of(currency),
    }
  }

  const credits = [...read.scan(OUTGOING_CREDITS, [])].map(([, row]) => row)
  const underway = credits.filter(({ state }) => state === 'sent' || state === 'unclear')
  const open = [...read.scan(CLEARING_ORDERS, [])].map(([, row]) => row).filter(({ state }) => state === 'open')
  const transit = sums<{ readonly peer: string; readonly currency: Currency }>()
  const settling = minorByAccount()
  for (const { peer, movement } of underway) transit.add({ peer, currency: movement.currency }, movement.amountMinor)
  for (const { currency, items } of open)
    for (const { bank, amountMinor } of items) {
      transit.add({ peer: bank, currency }, 0n, 0)
      settling.add(`${bank} ${currency}`, amountMinor)
    }

  const orders = sums<{ readonly from: string; readonly purpose: string; readonly currency: Currency }>()
  for (const [, { from, state, movement }] of read.scan(ORDERS, []))
    if (state === 'booked' && movement !== undefined)
      orders.add({ from, purpose: movement.reference.purpose, currency: movement.currency }, movement.amountMinor)

  const queued = sums<{ readonly debtor: string; readonly currency: Currency }>()
  for (const [, { state, debtor, currency, items }] of read.scan(SETTLEMENTS, []))
    if (state === 'queued') queued.add({ debtor, currency }, totalOf(items))

  const internal = accounts.map((row) => ({ ...row, bank: internalAccount(row.account)?.bank ?? '' }))
  return {
    role: 'bank',
    id: self,
    totals: [...new Set(accounts.map(({ currency }) => currency))].toSorted().map(totalsOf),
    clearing: internal
      .filter(({ kind }) => kind === 'clearing')
      .map(({ bank, currency, balanceMinor }) => ({ peer: bank, currency, positionMinor: balanceMinor })),
    accounts: accounts.map(({ account, currency, balanceMinor, heldMinor }) => ({
      account,
      currency,
      balanceMinor,
      heldMinor,
    })),
    inTransit: { credits: underway.length, clearingOrders: open.length },
    transit: transit.all().map(({ key, amountMinor }) => ({
      ...key,
      creditsMinor: amountMinor,
      clearingMinor: settling.of(`${key.peer} ${key.currency}`),
    })),
    unclearCredits: underway.filter(({ state }) => state === 'unclear').length,
    orders: orders.all().map(({ key, count, amountMinor }) => ({ ...key, count, amountMinor })),
    collections: orders.all().reduce((sum, { key, count }) => sum + (key.purpose === 'collection' ? count : 0), 0),
    reserves: internal
      .filter(({ kind }) => kind === 'reserve')
      .map(({ account, bank, currency, balanceMinor }) => ({
        bank,
        currency,
        balanceMinor,
        fundedMinor: funded.of(account),
      })),
    queued: queued.all().map(({ key, count, amountMinor }) => ({ ...key, orders: count, amountMinor })),
    pendingNotices: [...read.scan(PENDING_NOTICES, [])].map(([, row]) => ({
      debtor: row.debtor,
      creditor: row.creditor,
      currency: row.currency,
      amountMinor: row.amountMinor,
    })),
  }
}
