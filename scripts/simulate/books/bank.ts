/**
 * A bank's money (design §8.1): entries that balance, accounts that are the sum of their entries, nobody below zero, holds that are what
 * is held and end once, no order carried out twice, what another bank returned given back at once, and no money in or out of a bank but by a
 * deposit or through clearing.
 */
import {
  ACCOUNTS,
  CLEARING_ORDERS,
  ENTRIES,
  HOLDS,
  INCOMING_CREDITS,
  ORDERS,
  OUTGOING_CREDITS,
  type EntryRow,
  type HoldState,
  type OrderRow,
} from '../../../nodes/bank/state.ts'
import type { Facts } from './facts.ts'
import type { JournalBooks } from './journal.ts'
import { contribute, counts, happened, hex, moved, reading, sums, type Auditor, type Desk, type Edges } from './rows.ts'

const HOLD_EDGES: Edges = {
  none: ['held', 'refused', 'voided'],
  held: ['posting', 'posted', 'voided', 'expired'],
  posting: ['posted', 'returned'],
  refused: ['voided'],
}
const ORDER_EDGES: Edges = {
  none: ['crediting', 'booked', 'refused', 'voided'],
  crediting: ['booked', 'refused'],
}
const CREDIT_EDGES: Edges = {
  none: ['sent'],
  sent: ['booked', 'returned', 'unclear'],
  unclear: ['booked', 'returned'],
}
const CLEARING_EDGES: Edges = { none: ['open', 'posted'], open: ['posted', 'refused'] }
/** The only ways in which money comes into a bank, or leaves it. */
const OUTSIDE: ReadonlySet<string> = new Set(['funding', 'reserve-funding', 'clearing-paid', 'clearing-received'])
const FUNDING: ReadonlySet<string> = new Set(['funding', 'reserve-funding'])

/** A hold in one of these has not been given back. */
const STANDING: ReadonlySet<HoldState> = new Set(['held', 'posting', 'posted'])

const kindOf = (account: string): string => account.slice(0, account.indexOf(':'))
const clearingWith = (bank: string, currency: string): string => `clearing:${bank}:${currency}`
const isHolders = (account: string): boolean => kindOf(account).includes('-')
const isTransfer = ({ kind }: OrderRow): boolean => kind === 'post' || kind === 'transfer'

export const auditBank = (desk: Desk, facts: Facts, journal: JournalBooks): Auditor => {
  const { host, broken } = desk
  /** By account: balance less its entries, held less its holds. */
  const offEntries = sums()
  const offHolds = sums()
  /** By currency: all accounts together. */
  const totals = sums()
  const entryNumbers = { count: 0, highest: 0 }
  const booked = counts()
  const heldNow = counts()
  const underWay = counts()
  /** By hold: whether its money is set aside or moved, and how many voids found it neither posted nor on its way. */
  const standing = counts()
  const voids = counts()
  const touchedHolds = new Set<string>()
  /** By clearing account: credits that were returned, less what was given back for them. */
  const returned = sums()
  const touched = new Set<string>()
  const currencies = new Set<string>()
  let entries: EntryRow[] = []
  let orders: OrderRow[] = []

  const readings = [
    reading(ACCOUNTS, (change) => {
      contribute(change, ({ account, currency, balanceMinor, heldMinor, kind }, sign) => {
        offEntries.add(account, sign * balanceMinor)
        offHolds.add(account, sign * heldMinor)
        totals.add(currency, sign * balanceMinor)
        journal.shows(`${account} ${currency}`, sign * balanceMinor)
        touched.add(account)
        currencies.add(currency)
        if (kind === 'holder') facts.unexplained.add(account, sign * balanceMinor)
      })
      const { judge, after } = change
      if (!judge || after === undefined) return
      const { account, balanceMinor, heldMinor, kind } = after
      if (heldMinor < 0n) broken('a hold below zero', `${account} holds ${heldMinor}`)
      if ((kind === 'holder' || kind === 'reserve') && balanceMinor < heldMinor)
        broken('an account below zero', `${account} has ${balanceMinor} with ${heldMinor} held`)
    }),
    reading(ENTRIES, (change) => {
      contribute(change, ({ event, legs, cause, reference }, sign) => {
        entryNumbers.count += Number(sign)
        for (const [account, minor] of legs) {
          offEntries.add(account, -sign * minor)
          touched.add(account)
          if (event === 'interbank-reversal' && kindOf(account) === 'clearing') returned.add(account, sign * minor)
          if (FUNDING.has(event) && kindOf(account) !== 'nostro' && happened(change))
            facts.untold.add(isHolders(account) ? account : `${host} ${account}`, sign * minor)
          if (!isHolders(account)) continue
          if (FUNDING.has(event)) facts.unexplained.add(account, -sign * minor)
          if (sign === 1n && reference !== undefined && minor > 0n && event !== 'interbank-reversal') {
            const name = `${reference.purpose} ${hex(reference.id)}`
            desk.later(() => facts.credited.add(name, minor))
          }
        }
        if (cause === undefined) return
        const name = `${event} ${hex(cause)}`
        if (booked.add(name, sign) > 1 && change.judge)
          broken('money moved twice', `${host}: a second entry ${event} for ${hex(cause)}`)
      })
      const { after, judge } = change
      if (after !== undefined && after.entry > entryNumbers.highest) entryNumbers.highest = after.entry
      else if (after === undefined && change.before !== undefined)
        entryNumbers.highest = Math.min(entryNumbers.highest, change.before.entry - 1)
      if (!judge || after === undefined) return
      entries.push(after)
      if (change.before !== undefined) broken('an entry was changed', `${host} entry ${after.entry}`)
    }),
    reading(HOLDS, (change) => {
      contribute(change, ({ holdId, state, order }, sign) => {
        if (STANDING.has(state)) {
          standing.add(hex(holdId), sign)
          touchedHolds.add(hex(holdId))
        }
        if (state !== 'held' || order === undefined) return
        heldNow.add(order.account, sign)
        offHolds.add(order.account, -sign * order.amountMinor)
        touched.add(order.account)
      })
      const { judge, before, after } = change
      // Also one that was held and ended within the same batch: it has its terms, and no reason why it was refused.
      if (after?.order !== undefined && after.code === undefined) {
        const id = hex(after.holdId)
        desk.later(() => facts.held.add(id))
      }
      if (!judge || !moved(desk, 'a hold', HOLD_EDGES, { before, after }, () => hex((after ?? before)!.holdId))) return
      if (after?.state === 'expired' && after.order !== undefined && after.changedAtMs < after.order.expiresAtMs)
        broken('a hold expired early', `${host}: ${hex(after.holdId)}`)
    }),
    reading(ORDERS, (change) => {
      const { judge, before, after } = change
      contribute(change, (row, sign) => {
        if (row.kind === 'void' && row.posted !== true && row.holdId !== undefined) {
          voids.add(hex(row.holdId), sign)
          touchedHolds.add(hex(row.holdId))
        }
        if (isTransfer(row) && (row.state === 'booked' || row.state === 'crediting'))
          facts.underWay.add(`${row.from} ${hex(row.orderId)}`, sign)
      })
      if (after === undefined) return
      const id = `${after.from} ${hex(after.orderId)}`
      if (isTransfer(after) && after.state === 'booked') {
        const minor = after.movement?.amountMinor ?? 0n
        desk.later(() => facts.booked.set(id, minor))
      }
      if (!judge || !moved(desk, 'a bank order', ORDER_EDGES, { before, after }, () => id)) return
      if (before === undefined) orders.push(after)
    }),
    reading(OUTGOING_CREDITS, (change) => {
      const { before, after, judge } = change
      contribute(change, ({ state, peer, movement: { currency, amountMinor } }, sign) => {
        if (state !== 'booked' && state !== 'returned') underWay.add(peer, sign)
        if (state !== 'returned') return
        returned.add(clearingWith(peer, currency), sign * amountMinor)
        touched.add(clearingWith(peer, currency))
      })
      if (after === undefined) return
      const { creditAccount, amountMinor } = after.movement
      const id = hex(after.creditId)
      if (before === undefined) desk.later(() => facts.sentCredits.set(id, `${creditAccount} ${amountMinor}`))
      if (judge) moved(desk, 'a credit to another bank', CREDIT_EDGES, { before, after }, () => id)
    }),
    reading(INCOMING_CREDITS, ({ before, after, judge }) => {
      if (!judge || after === undefined) return
      if (before !== undefined) broken('a credit from another bank was changed', `${host}: ${hex(after.creditId)}`)
      const sent = facts.sentCredits.get(hex(after.creditId))
      // A bulk order's credit names its sum; who it is for stands in the credit itself.
      if (sent !== `${after.creditAccount} ${after.amountMinor}`)
        broken(
          'a credit that no bank sent',
          `${host} booked ${after.amountMinor} for ${after.creditAccount}, sent: ${sent ?? 'nothing'}`,
        )
    }),
    reading(CLEARING_ORDERS, (change) => {
      contribute(change, ({ state, items, currency }, sign) => {
        if (state !== 'open') return
        for (const { bank, amountMinor } of items) offHolds.add(clearingWith(bank, currency), -sign * amountMinor)
      })
      if (change.judge)
        moved(desk, 'a clearing order', CLEARING_EDGES, change, () => hex((change.after ?? change.before)!.clearingId))
    }),
  ]

  const checkEntry = ({ entry, event, legs }: EntryRow): void => {
    if (legs.reduce((sum, [, minor]) => sum + minor, 0n) !== 0n)
      broken(
        'an entry does not balance',
        `${host} entry ${entry}, ${event}: ${legs.map(([a, m]) => `${a} ${m}`).join(', ')}`,
      )
    for (const [account, minor] of legs)
      if (minor !== 0n && kindOf(account) === 'nostro' && !OUTSIDE.has(event))
        broken('money made', `${host} entry ${entry}, ${event}: ${minor} at ${account}`)
    if (FUNDING.has(event) && ![...desk.triggers].some((trigger) => trigger.startsWith('control ')))
      broken('money made', `${host} entry ${entry}: ${event} that nobody ordered`)
  }

  const checkOrder = ({ from, orderId, kind, state, movement, bulkId }: OrderRow): void => {
    if (state !== 'booked' && state !== 'crediting') return
    if (kind !== 'post' && kind !== 'transfer') return
    const id = `${from} ${hex(orderId)}`
    const ordered = facts.ordered.get(id)
    if (ordered === undefined || ordered !== movement?.amountMinor)
      broken(
        'a bank order that nobody gave',
        `${host}: ${id} moves ${movement?.amountMinor}, ordered: ${ordered ?? 'nothing'}`,
      )
    if (bulkId !== undefined || movement === undefined) return
    const entry = entries.find(
      ({ cause, event }) => cause !== undefined && event !== 'funding' && hex(cause) === hex(orderId),
    )
    const leg = entry?.legs.find(([account]) => account === movement.debitAccount)
    // A transfer from an account to itself moves nothing.
    const right = movement.debitAccount === movement.creditAccount ? 0n : -movement.amountMinor
    if (leg?.[1] !== right)
      broken('an order moved another sum', `${host}: ${id} of ${movement.amountMinor} moved ${leg?.[1] ?? 'nothing'}`)
  }

  return {
    readings,
    settle: (judge) => {
      for (const account of touched) {
        if (offEntries.get(account) !== 0n)
          broken('a balance is not its entries', `${host} ${account} is off by ${offEntries.get(account)}`)
        if (offHolds.get(account) !== 0n)
          broken('what is held is not the holds', `${host} ${account} is off by ${offHolds.get(account)}`)
        if (returned.get(account) !== 0n)
          broken('a returned credit was not given back', `${host} ${account} is off by ${returned.get(account)}`)
      }
      for (const id of touchedHolds)
        if (standing.of(id) > 0 && voids.of(id) > 0) broken('a hold stands though it was voided', `${host}: ${id}`)
      for (const currency of currencies)
        if (totals.get(currency) !== 0n)
          broken('money made', `${host}: all accounts in ${currency} add up to ${totals.get(currency)}`)
      if (entryNumbers.count !== entryNumbers.highest)
        broken('a bank entry is missing', `${host}: ${entryNumbers.count} entries, the last is ${entryNumbers.highest}`)
      if (!judge) return
      for (const entry of entries) checkEntry(entry)
      for (const order of orders) checkOrder(order)
    },
    clear: () => {
      touched.clear()
      touchedHolds.clear()
      currencies.clear()
      entries = []
      orders = []
    },
    atRest: () => {
      for (const [account, count] of heldNow.entries()) broken('not at rest', `${host} ${account}: ${count} holds`)
      for (const [peer, count] of underWay.entries()) broken('not at rest', `${host}: ${count} credits to ${peer}`)
    },
  }
}
