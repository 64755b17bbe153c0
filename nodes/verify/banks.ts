/** Banks: design §8.1. A bank is judged by its own books at any time, and against other banks when nothing moves. */
import type { BankReport } from '../runtime/reports.ts'
import { equal, failed, shown, sumOf, type Check, type Network } from './check.ts'

const ofBank = ({ id, totals, unclearCredits }: BankReport): readonly Check[] => [
  ...totals.flatMap((total) => {
    const who = `${id} ${total.currency}`
    return [
      equal('§8.1', `accounts add up to zero: ${who}`, total.sumMinor, 0n),
      equal('§8.1', `entries that do not balance: ${who}`, BigInt(total.unbalancedEntries), 0n),
      equal('§8.1', `holders or reserves below zero: ${who}`, BigInt(total.negativeHolderAccounts), 0n),
      equal('§8.1', `balances that are not the journal's: ${who}`, BigInt(total.accountsOffJournal), 0n),
      equal('§8.1', `held sums that are not the holds': ${who}`, BigInt(total.accountsOffHolds), 0n),
    ]
  }),
  equal('§8.1', `credits that only an operator can decide: ${id}`, BigInt(unclearCredits), 0n),
]

/** Each pair of banks once: what one owes is what the other is owed. */
const mirrors = ({ banks, quiet }: Network): readonly Check[] =>
  banks.flatMap((bank) =>
    bank.clearing.flatMap(({ peer: peerId, currency, positionMinor }) => {
      const peer = banks.find(({ id }) => id === peerId)
      const name = `positions mirror each other: ${[bank.id, peerId].toSorted().join(' and ')} ${currency}`
      if (peer === undefined) return [failed('§8.1', name, `no report of ${peerId}`)]
      const mirrored = peer.clearing.find((row) => row.peer === bank.id && row.currency === currency)
      if (mirrored !== undefined && bank.id > peerId) return []
      const theirs = -(mirrored?.positionMinor ?? 0n)
      if (quiet) return [equal('§8.1', name, positionMinor, theirs)]
      const terms = [
        ...bank.transit.filter((row) => row.peer === peerId),
        ...peer.transit.filter((row) => row.peer === bank.id),
      ]
      const credits = sumOf(terms, ({ creditsMinor }) => creditsMinor)
      const clearing = sumOf(terms, ({ clearingMinor }) => clearingMinor)
      return [
        shown(
          '§8.1',
          name,
          positionMinor,
          theirs,
          `moving: ${credits} in credits and ${clearing} in clearing orders not answered`,
        ),
      ]
    }),
  )

/** At rest no credit is under way, and an open clearing order is one that the settlement bank has queued for want of reserves. */
const atRest = ({ banks, quiet }: Network): readonly Check[] =>
  !quiet
    ? []
    : banks.flatMap(({ id, totals, transit, inTransit }) => [
        equal('§8.1', `credits under way: ${id}`, BigInt(inTransit.credits), 0n),
        ...totals.map(({ currency }) =>
          equal(
            '§8.1',
            `open clearing orders are queued at the settlement bank: ${id} ${currency}`,
            sumOf(
              transit.filter((row) => row.currency === currency),
              ({ clearingMinor }) => clearingMinor,
            ),
            sumOf(
              banks.flatMap(({ queued }) => queued).filter((row) => row.debtor === id && row.currency === currency),
              ({ amountMinor }) => amountMinor,
            ),
          ),
        ),
      ])

/** What left a bank's reserve is what its own books say it paid through clearing. */
const reserves = ({ banks, quiet }: Network): readonly Check[] =>
  banks.flatMap((settlement) =>
    settlement.reserves.flatMap(({ bank, currency, balanceMinor, fundedMinor }) => {
      const name = `reserves are what clearing left: ${bank} ${currency} at ${settlement.id}`
      const report = banks.find(({ id }) => id === bank)
      if (report === undefined) return [failed('§8.1', name, `no report of ${bank}`)]
      const cleared = report.totals.find((total) => total.currency === currency)?.clearedMinor ?? 0n
      const left = fundedMinor - balanceMinor
      if (quiet) return [equal('§8.1', name, left, cleared)]
      const notices = sumOf(
        settlement.pendingNotices.filter((row) => row.creditor === bank && row.currency === currency),
        ({ amountMinor }) => amountMinor,
      )
      const open = sumOf(
        report.transit.filter((row) => row.currency === currency),
        ({ clearingMinor }) => clearingMinor,
      )
      return [
        shown(
          '§8.1',
          name,
          left,
          cleared,
          `moving: ${open} in orders not answered, ${notices} in notices not receipted`,
        ),
      ]
    }),
  )

export const checkBanks = (network: Network): readonly Check[] => [
  ...network.banks.flatMap(ofBank),
  ...mirrors(network),
  ...atRest(network),
  ...reserves(network),
]
