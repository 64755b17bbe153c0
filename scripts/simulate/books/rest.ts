/**
 * The network at rest: every payment is final everywhere and the same (design §8.9), every bank account is to the unit what it was funded with
 * and what processors hold for booked, and what people were told is what the ledgers say.
 */
import type { Finding, Told } from '../observed.ts'
import type { Topology } from '../world.ts'
import type { Facts } from './facts.ts'
import { sums, type Sums } from './rows.ts'

export type ToldBooks = {
  readonly hear: (fact: Told) => void
  /** `<payee> <txId>` → minor units that a payee was told are refunded. */
  readonly refunded: Sums
  readonly paid: () => readonly Extract<Told, { readonly type: 'paid' }>[]
}

/** Keeps what people were told, and says at once what no ledger has on disk. */
export const keepTold = (facts: Facts, say: (finding: Finding) => void): ToldBooks => {
  const paid: Extract<Told, { readonly type: 'paid' }>[] = []
  const refunded = sums()
  return {
    hear: (fact) => {
      if (fact.type !== 'paid') {
        hearOthers(facts, refunded, fact)
        return
      }
      paid.push(fact)
      const { prId, outcome, amountMinor } = fact
      const final = prId === undefined ? undefined : facts.finals.get(prId)
      if (outcome === 'confirmed' && (final?.state !== 'confirmed' || final.row?.amountMinor !== amountMinor))
        say({
          rule: 'told what no ledger says',
          detail: `${fact.customer} was told that ${amountMinor} is confirmed, it is ${final?.state ?? 'unknown'}`,
          ...(prId === undefined ? {} : { payment: prId }),
        })
    },
    refunded,
    paid: () => paid,
  }
}

const hearOthers = ({ untold }: Facts, refunded: Sums, fact: Exclude<Told, { readonly type: 'paid' }>): void => {
  switch (fact.type) {
    case 'deposited':
    case 'funded':
      return untold.add(fact.account, -fact.amountMinor)
    case 'written-off':
      return untold.add(`written off ${fact.customer}`, -fact.amountMinor)
    case 'corrected':
      return untold.add(`corrected ${fact.cpp} ${fact.mpp} ${fact.currency}`, -fact.amountMinor)
    case 'refunded':
      if (fact.outcome === 'confirmed') refunded.add(`${fact.payee} ${fact.txId}`, fact.amountMinor)
  }
}

const PARTIES = ['customer', 'mpp', 'merchant'] as const

export const judgeRest = (
  _topology: Topology,
  facts: Facts,
  told: ToldBooks,
  say: (finding: Finding) => void,
): void => {
  for (const [name, state] of facts.undecided) {
    const [host, id = ''] = name.split(' ')
    say({ rule: 'undecided at rest', detail: `${host} holds it ${state}`, payment: facts.paymentOf.get(id) ?? id })
  }
  for (const [prId, { state }] of facts.finals) {
    if (state !== 'confirmed') continue
    for (const role of PARTIES)
      if (!facts.confirmedAt.has(`${role} ${prId}`))
        say({ rule: 'confirmed, and a party does not know', detail: `no ${role} holds it`, payment: prId })
  }
  const accounts = new Map<string, bigint>()
  for (const [name, minor] of facts.unexplained.entries()) {
    const account = name.startsWith('own ') ? (facts.ownAccounts.get(name.slice(4)) ?? name) : name
    accounts.set(account, (accounts.get(account) ?? 0n) + minor)
  }
  for (const [account, minor] of accounts)
    if (minor !== 0n)
      say({ rule: minor > 0n ? 'money made' : 'money lost', detail: `${account} has ${minor} that no ledger explains` })
  for (const [name, minor] of facts.untold.entries())
    say({ rule: 'told what no ledger says', detail: `${name}: ${minor} more in the ledgers than was told` })
  for (const [invoice, minor] of told.refunded.entries())
    if (facts.refunded.get(invoice) < minor)
      say({
        rule: 'told what no ledger says',
        detail: `${invoice}: ${minor} refunded, ${facts.refunded.get(invoice)} is`,
      })
  for (const { prId, outcome, customer, amountMinor } of told.paid()) {
    const final = prId === undefined ? undefined : facts.finals.get(prId)
    if (final === undefined || outcome === 'lost' || (outcome === 'confirmed') === (final.state === 'confirmed'))
      continue
    say({
      rule: 'told what no ledger says',
      detail: `${customer} was told that ${amountMinor} is ${outcome}, it is ${final.state}`,
      ...(prId === undefined ? {} : { payment: prId }),
    })
  }
}
