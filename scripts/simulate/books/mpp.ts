/**
 * The books of an MPP (design §8.3 to §8.5): its receivable is the entries it holds less what was settled; a payee is owed what entries
 * credited less what was paid out and refunded, each invoice credited in full and once; no more goes to payees than CPPs have paid in.
 */
import {
  BATCHES,
  ENTRIES,
  NOTICES,
  PAIRS,
  PAYEES,
  PAYOUTS,
  type BatchRow,
  type EntryRow,
  type NoticeRow,
  type PairRow,
  type PayeeRow,
  type PayoutRow,
} from '../../../nodes/mpp/state.ts'
import { ORDERS, type OrderRow } from '../../../nodes/mpp/state.ts'
import { REFUNDS, type RefundRow } from '../../../nodes/mpp/refund-state.ts'
import { FINAL, own, type Facts } from './facts.ts'
import type { JournalBooks } from './journal.ts'
import { checkFinal } from './parties.ts'
import {
  contribute,
  hex,
  moved,
  reading,
  sums,
  textAt,
  type Auditor,
  type Change,
  type Desk,
  type Edges,
} from './rows.ts'

const NOTICE_EDGES: Edges = {
  none: ['notified', 'declined', 'confirmed', 'refused', 'rejected', 'expired', 'failed'],
  notified: ['countersigned', 'refused', 'rejected', 'expired', 'failed'],
  countersigned: ['confirmed', 'refused', 'rejected', 'expired', 'failed'],
  declined: ['refused', 'rejected', 'expired', 'failed'],
}
const PAYOUT_EDGES: Edges = { none: ['ordered'], ordered: ['paid', 'refused'] }
const REFUND_EDGES: Edges = {
  none: ['funding', 'countersigned'],
  funding: ['countersigned', 'refused'],
  countersigned: ['confirmed', 'refused'],
}
const BATCH_EDGES: Edges = {
  none: ['reconciling', 'owed', 'owing', 'failed', 'settled'],
  reconciling: ['owed', 'owing', 'failed', 'settled'],
  owed: ['settled'],
  owing: ['settled', 'failed'],
  failed: ['owing', 'settled'],
}

type Payee = {
  row: PayeeRow | undefined
  creditedMinor: bigint
  paidInMinor: bigint
  paidMinor: bigint
  payingMinor: bigint
  reversedMinor: bigint
  refundingMinor: bigint
  readonly running: Set<string>
}
type Pair = {
  row: PairRow | undefined
  heldCount: number
  entriesMinor: bigint
  settledMinor: bigint
  reservedMinor: bigint
}

export const auditMpp = (desk: Desk, facts: Facts, journal: JournalBooks): Auditor => {
  const { host, broken } = desk
  const payees = new Map<string, Payee>()
  const pairs = new Map<string, Pair>()
  const notices = new Map<string, NoticeRow>()
  const credited = sums()
  const refundsOf = new Map<string, Map<string, RefundRow>>()
  /** By currency: paid in by CPPs and payees, and promised by the operator; less what payees have, or may have at any time. */
  const free = sums()
  const touchedPayees = new Set<string>()
  const touchedPairs = new Set<string>()
  const touchedMoney = new Set<string>()
  const touchedPayments = new Set<string>()

  const payeeOf = (payee: string): Payee => {
    touchedPayees.add(payee)
    let found = payees.get(payee)
    if (found === undefined)
      payees.set(
        payee,
        (found = {
          row: undefined,
          creditedMinor: 0n,
          paidInMinor: 0n,
          paidMinor: 0n,
          payingMinor: 0n,
          reversedMinor: 0n,
          refundingMinor: 0n,
          running: new Set(),
        }),
      )
    return found
  }
  const pairOf = (name: string): Pair => {
    touchedPairs.add(name)
    let found = pairs.get(name)
    if (found === undefined)
      pairs.set(name, (found = { row: undefined, heldCount: 0, entriesMinor: 0n, settledMinor: 0n, reservedMinor: 0n }))
    return found
  }
  const move = (from: string, to: string, minor: bigint): void => {
    facts.unexplained.add(from, minor)
    facts.unexplained.add(to, -minor)
  }
  const freeUp = (currency: string, minor: bigint): void => {
    free.add(currency, minor)
    touchedMoney.add(currency)
  }

  const payee = (change: Change<PayeeRow>): void => {
    const row = (change.after ?? change.before) as PayeeRow
    payeeOf(row.payee).row = change.after
    if (change.after !== undefined) facts.accounts.set(row.payee, row.account)
    contribute(change, ({ payee: name, currency, payableMinor, payingMinor, paidMinor, ...of }, sign) => {
      // What a refund took of accrued money, the settlement that is still to come has to bring.
      freeUp(currency, sign * ((of.advancedMinor ?? 0n) - payableMinor - payingMinor - paidMinor))
      journal.shows(`accrued:${name} ${currency}`, sign * of.accruedMinor)
      journal.shows(`payable:${name} ${currency}`, sign * payableMinor)
      journal.shows(`refunding:${name} ${currency}`, sign * of.refundingMinor)
      journal.shows(`paying:${name} ${currency}`, sign * payingMinor)
    })
  }

  const notice = (change: Change<NoticeRow>): void => {
    const { before, after, judge } = change
    const row = (after ?? before) as NoticeRow
    const id = hex(row.pnId)
    const key = `${host} ${id}`
    if (after === undefined) notices.delete(id)
    else notices.set(id, after)
    contribute(change, ({ state, mode, cpp, currency, amountMinor }, sign) => {
      if ((state === 'notified' || state === 'countersigned') && mode === 'micro')
        pairOf(`${cpp} ${currency}`).reservedMinor += sign * (amountMinor ?? 0n)
    })
    if (after === undefined || FINAL.has(after.state)) facts.undecided.delete(key)
    else facts.undecided.set(key, after.state)
    if (after?.state === 'countersigned' && after.decision === 'approve') desk.later(() => facts.mppApproved.add(id))
    if (after?.state === 'confirmed') desk.later(() => facts.confirmedAt.add(`mpp ${facts.paymentOf.get(id)}`))
    if (!judge || !moved(desk, 'a notice', NOTICE_EDGES, change, () => id) || after === undefined) return
    if (FINAL.has(after.state)) checkFinal(desk, facts, facts.paymentOf.get(id), id, after)
  }

  const entry = (change: Change<EntryRow>): void => {
    const { key, after, before, judge } = change
    const [cpp, at] = textAt(key)
    const [currency] = textAt(key, at)
    const name = `${cpp} ${currency}`
    const pair = pairOf(name)
    contribute(change, ({ type, amountMinor, creditMinor, credited: to, pnId }, sign) => {
      if (type !== 'missing') pair.heldCount += Number(sign)
      pair.entriesMinor += sign * amountMinor
      if (to === undefined || creditMinor <= 0n) return
      payeeOf(to).creditedMinor += sign * creditMinor
      if (pnId === undefined) return
      const id = hex(pnId)
      credited.add(id, sign * creditMinor)
      touchedPayments.add(id)
    })
    if (!judge || after === undefined) return
    if (before !== undefined && before.type !== 'missing' && hex(before.digest) !== hex(after.digest))
      broken('an entry was changed', `${host} from ${name}: ${after.pairSeq}`)
    if (after.type === 'missing' || (before !== undefined && before.type !== 'missing')) return
    const signed = facts.pairEntries.get(`${cpp} ${host} ${currency} ${after.pairSeq}`)
    if (signed !== after.amountMinor)
      broken(
        'an entry that its CPP did not make',
        `${host} from ${name}: ${after.pairSeq} of ${after.amountMinor}, there ${signed ?? 'nothing'}`,
      )
  }

  const checkCredited = (pnId: string): void => {
    const row = notices.get(pnId)
    const minor = credited.get(pnId)
    if (minor === 0n) return
    const prId = facts.paymentOf.get(pnId) ?? ''
    const paid = facts.finals.get(prId)
    if (
      row?.amountMinor !== minor ||
      paid?.state !== 'confirmed' ||
      paid.row?.amountMinor !== minor ||
      paid.row.payee !== row.payee
    )
      broken(
        'a payee was credited another sum',
        `${host}: ${minor} of ${row?.amountMinor}, ${paid?.state ?? 'not confirmed'}`,
        prId,
      )
  }

  const batch = (change: Change<BatchRow>): void => {
    const { before, after, judge } = change
    const row = (after ?? before) as BatchRow
    const id = hex(row.batchId)
    const name = `${row.cpp} ${row.currency}`
    contribute(change, ({ state, totalMinor, currency, orderId, book, cpp }, sign) => {
      if (state !== 'settled') return
      pairOf(name).settledMinor += sign * totalMinor
      freeUp(currency, sign * totalMinor)
      if (orderId !== undefined && !book) move(own(host, currency), own(cpp, currency), sign * -totalMinor)
    })
    if (!judge) return
    if (!moved(desk, 'a batch at its MPP', BATCH_EDGES, change, () => id) || after === undefined) return
    const { cpp, fromSeq, toSeq, totalMinor, state, orderId } = after
    if (facts.batches.get(id) !== `${cpp} ${fromSeq} ${toSeq} ${totalMinor}`)
      broken('a batch that its CPP did not cut', `${host} from ${name}: ${fromSeq} to ${toSeq}, ${totalMinor}`)
    if (state !== 'settled' || after.book || totalMinor === 0n) return
    const paid =
      orderId === undefined
        ? facts.credited.get(`settlement ${id}`)
        : (facts.booked.get(`${host} ${hex(orderId)}`) ?? 0n)
    if (paid < (totalMinor < 0n ? -totalMinor : totalMinor))
      broken('settled without its money', `${host} from ${name}: ${totalMinor}, the bank has ${paid}`)
  }

  const payout = (change: Change<PayoutRow>): void => {
    const { before, after, judge } = change
    const row = (after ?? before) as PayoutRow
    const id = hex(row.payoutId)
    const of = payeeOf(row.payee)
    contribute(change, ({ state, amountMinor, currency, account }, sign) => {
      if (state === 'paid') {
        of.paidMinor += sign * amountMinor
        move(own(host, currency), account, sign * amountMinor)
      }
      if (state !== 'ordered') return
      of.payingMinor += sign * amountMinor
      if (sign === 1n) of.running.add(id)
      else of.running.delete(id)
    })
    if (before === undefined && after !== undefined)
      desk.later(() => facts.ordered.set(`${host} ${hex(after.orderId)}`, after.amountMinor))
    if (!judge || !moved(desk, 'a payout', PAYOUT_EDGES, change, () => id) || after === undefined) return
    checkAnswer(
      `payout ${id}`,
      after.orderId,
      after.amountMinor,
      after.state === 'paid' ? true : after.state === 'refused' ? false : undefined,
    )
  }

  /** A bank's word: what it booked has moved, what it refused has not. */
  const checkAnswer = (what: string, orderId: Uint8Array, minor: bigint, booked: boolean | undefined): void => {
    const name = `${host} ${hex(orderId)}`
    if (booked === true && facts.booked.get(name) !== minor)
      broken(
        'booked without its money',
        `${host}: ${what} of ${minor}, the bank has ${facts.booked.get(name) ?? 'nothing'}`,
      )
    if (booked === false && facts.underWay.of(name) > 0)
      broken('refused with its money taken', `${host}: ${what} of ${minor}`)
  }

  const refund = (change: Change<RefundRow>): void => {
    const { before, after, judge } = change
    const row = (after ?? before) as RefundRow
    const id = hex(row.refundId)
    const pnId = hex(row.pnId)
    const of = payeeOf(row.payee)
    const rows = refundsOf.get(pnId) ?? new Map<string, RefundRow>()
    refundsOf.set(pnId, rows)
    if (after === undefined) rows.delete(id)
    else rows.set(id, after)
    contribute(change, ({ state, mode, currency, cpp, fromBankMinor, funded, amountMinor, ...from }, sign) => {
      const paidIn = funded ? sign * fromBankMinor : 0n
      if (funded) move(facts.accounts.get(row.payee) ?? '?', own(mode === 'micro' ? host : cpp, currency), paidIn)
      if (mode !== 'micro') return
      of.paidInMinor += paidIn
      freeUp(currency, paidIn)
      if (state === 'confirmed') of.reversedMinor += sign * amountMinor
      if (state === 'funding' || state === 'countersigned')
        of.refundingMinor += sign * (from.fromAccruedMinor + from.fromPayableMinor) + paidIn
    })
    if (after?.state === 'countersigned') desk.later(() => facts.refundsCountersigned.set(id, after.amountMinor))
    if (after?.orderId !== undefined && before?.orderId === undefined) {
      const name = `${host} ${hex(after.orderId)}`
      desk.later(() => facts.ordered.set(name, after.fromBankMinor))
    }
    if (!judge) return
    if (after?.orderId !== undefined && after.funded && before?.funded === false)
      checkAnswer(`refund ${id}`, after.orderId, after.fromBankMinor, true)
    if (!moved(desk, 'a refund at its MPP', REFUND_EDGES, change, () => id) || after === undefined) return
    const prId = facts.paymentOf.get(pnId) ?? ''
    if (before === undefined) {
      const asked = facts.refundsRequested.get(id)
      if (asked !== after.amountMinor)
        broken('a refund that its payee did not ask for', `${host}: ${after.amountMinor}`, prId)
      const sumMinor = [...rows.values()].reduce(
        (sum, one) => sum + (one.state === 'refused' ? 0n : one.amountMinor),
        0n,
      )
      const paidMinor = notices.get(pnId)?.amountMinor ?? 0n
      if (sumMinor > paidMinor) broken('refunded more than was paid', `${host}: ${sumMinor} of ${paidMinor}`, prId)
    }
    if (after.state === 'countersigned' && after.fromBankMinor > 0n && !after.funded)
      broken('refunded without its money', `${host}: ${after.fromBankMinor} of ${after.amountMinor}`, prId)
    if (after.state === 'confirmed' && facts.refundsConfirmed.get(id) !== after.amountMinor)
      broken('a refund that its CPP did not make', `${host}: ${after.amountMinor}`, prId)
    if (after.state === 'refused' && facts.refundsConfirmed.has(id))
      broken('two ends of a refund', `${host}: refused, confirmed at its CPP`, prId)
  }

  const checkPayee = (name: string, of: Payee): void => {
    const { row } = of
    if (row === undefined) return
    const equal = (what: string, found: bigint, right: bigint): void => {
      if (found !== right) broken('what a payee is owed is wrong', `${host} ${name}: ${what} is ${found}, not ${right}`)
    }
    const { accruedMinor, payableMinor, refundingMinor, payingMinor, paidMinor, reversedMinor } = row
    for (const minor of [accruedMinor, payableMinor, refundingMinor, payingMinor])
      if (minor < 0n) broken('an account below zero', `${host} ${name}: ${minor}`)
    const owedMinor = accruedMinor + payableMinor + refundingMinor + payingMinor
    equal('owed', owedMinor, of.creditedMinor + of.paidInMinor - of.paidMinor - of.reversedMinor)
    equal('paid', paidMinor, of.paidMinor)
    equal('being paid', payingMinor, of.payingMinor)
    equal('reversed', reversedMinor, of.reversedMinor)
    equal('being refunded', refundingMinor, of.refundingMinor)
    if (of.running.size > 1) broken('two payouts at once', `${host} ${name}`)
  }

  const checkPair = (name: string, { row, heldCount, entriesMinor, settledMinor, reservedMinor }: Pair): void => {
    const equal = (what: string, found: bigint, right: bigint): void => {
      if (found !== right)
        broken('what an MPP is owed is wrong', `${host} from ${name}: ${what} is ${found}, not ${right}`)
    }
    equal('receivable', row?.receivableMinor ?? 0n, entriesMinor - settledMinor)
    equal('held', BigInt(row?.held ?? 0), BigInt(heldCount))
    equal('reserved', row?.reservedMinor ?? 0n, reservedMinor)
  }

  return {
    readings: [
      reading(PAYEES, payee),
      reading(NOTICES, notice),
      reading(ENTRIES, entry),
      reading(BATCHES, batch),
      reading(PAYOUTS, payout),
      reading(REFUNDS, refund),
      reading(PAIRS, (change) => {
        const row = (change.after ?? change.before) as PairRow
        pairOf(`${row.cpp} ${row.currency}`).row = change.after
        contribute(change, ({ cpp, currency, receivableMinor, advancedMinor = 0n }, sign) => {
          journal.shows(`receivable:${cpp} ${currency}`, -sign * receivableMinor)
          freeUp(currency, sign * advancedMinor)
        })
      }),
      // A batch of a negative sum names its order; its sum stands in the batch.
      reading(ORDERS, (change: Change<OrderRow>) => {
        const { key, after, before } = change
        if (after?.purpose !== 'settlement' || before !== undefined) return
        const name = `${host} ${hex(key)}`
        const sum = facts.batches.get(hex(after.id))?.split(' ').at(-1)
        if (sum !== undefined) desk.later(() => facts.ordered.set(name, -BigInt(sum)))
      }),
    ],
    settle: () => {
      for (const name of touchedPayees) checkPayee(name, payeeOf(name))
      for (const name of touchedPairs) checkPair(name, pairOf(name))
      for (const pnId of touchedPayments) checkCredited(pnId)
      for (const currency of touchedMoney)
        if (free.get(currency) < 0n)
          broken('paid out more than was paid in', `${host}: ${-free.get(currency)} ${currency}`)
    },
    clear: () => {
      touchedPayees.clear()
      touchedPairs.clear()
      touchedMoney.clear()
      touchedPayments.clear()
    },
    atRest: () => {
      for (const [name, { running, refundingMinor }] of payees) {
        if (running.size > 0) broken('not at rest', `${host} ${name}: a payout runs`)
        if (refundingMinor !== 0n) broken('not at rest', `${host} ${name}: ${refundingMinor} is being refunded`)
      }
      for (const [name, { reservedMinor }] of pairs)
        if (reservedMinor !== 0n) broken('not at rest', `${host} from ${name}: ${reservedMinor} reserved`)
    },
  }
}
