/** The books of a CPP: customers, payments and pairs by their own rules, refunds, and what its orders move at banks. */
import { ledger, type CustomerRow, type OrderRow, type TotalRow } from '../../../nodes/cpp/state.ts'
import { refundMoney, refunds, type RefundMoneyRow, type RefundRow } from '../../../nodes/cpp/state-refunds.ts'
import { positions } from '../../../nodes/cpp/state-fx.ts'
import { auditCustomers, costOf } from './customers.ts'
import { own, type Facts } from './facts.ts'
import type { JournalBooks } from './journal.ts'
import { auditPairs } from './pairs.ts'
import { auditPayments } from './payments.ts'
import { contribute, hex, moved, reading, textAt, type Auditor, type Change, type Desk, type Edges } from './rows.ts'
import type { Terms } from './terms.ts'
import { pairs } from '../../../nodes/cpp/state-pairs.ts'

const REFUND_EDGES: Edges = { none: ['awaiting', 'confirmed'], awaiting: ['confirmed'] }
const CREDIT_EDGES: Edges = {
  none: ['ordered', 'unpayable'],
  ordered: ['booked', 'refused'],
  refused: ['ordered', 'unpayable'],
  unpayable: ['ordered'],
}
/** What the bank's word on an order is about, and what it must have booked for it to be `booked`. */
const MOVES: ReadonlySet<OrderRow['purpose']> = new Set([
  'collection',
  'post',
  'settlement',
  'refund',
  'payment',
  'exchange',
  'recovery',
])

export const auditCpp = (desk: Desk, facts: Facts, journal: JournalBooks, terms: () => readonly Terms[]): Auditor => {
  const { host, broken } = desk
  const ofPayment = new Map<string, Map<string, RefundRow>>()
  const money = new Map<string, RefundMoneyRow>()
  let refunded = new Set<string>()
  let confirmed: RefundRow[] = []

  const pairBooks = auditPairs(desk, facts)
  const payments = auditPayments(
    desk,
    facts,
    terms,
    (change) => {
      customers.payment(change)
      pairBooks.payment(change)
    },
    (customer) => facts.accounts.get(customer),
  )
  const customers = auditCustomers(
    desk,
    terms,
    onOrder,
    (row: CustomerRow) => facts.accounts.set(row.customer, row.account),
    (customer, minor) => facts.untold.add(`written off ${customer}`, minor),
  )

  /** What this order moved, once it is booked. */
  const explain = (row: OrderRow, sign: bigint): void => {
    if (row.state !== 'booked') return
    const { purpose, amountMinor, operatorAccount, subject, prId, currency } = row
    const move = (from: string, to: string): void => {
      facts.unexplained.add(from, sign * amountMinor)
      facts.unexplained.add(to, -sign * amountMinor)
    }
    const payment = prId === undefined ? undefined : payments.paymentOf(hex(prId))
    const customersOwn = facts.accounts.get(payment?.customer ?? subject) ?? '?'
    if (purpose === 'collection') move(customersOwn, operatorAccount)
    else if (purpose === 'refund') move(operatorAccount, customersOwn)
    else if (purpose === 'settlement') move(operatorAccount, own(subject, currency))
    else if (purpose === 'payment') move(operatorAccount, payment?.payoutAccount ?? '?')
    else if (purpose === 'exchange' || purpose === 'recovery') move(customersOwn, operatorAccount)
  }

  function onOrder(change: Change<OrderRow>): void {
    const { key, before, after, judge } = change
    const name = `${host} ${hex(key)}`
    contribute(change, explain)
    payments.order(change)
    pairBooks.order(change)
    if (after === undefined) return
    if (before === undefined && MOVES.has(after.purpose)) desk.later(() => facts.ordered.set(name, after.amountMinor))
    if (!judge || before === undefined || !MOVES.has(after.purpose)) return
    if (before.amountMinor !== after.amountMinor || before.purpose !== after.purpose)
      broken('an order was changed', `${host}: ${hex(key)}`)
    if (before.state === after.state) return
    if (before.state !== 'ordered')
      broken('an order was answered twice', `${host}: ${hex(key)} ${after.state} after ${before.state}`)
    if (after.state === 'booked' && facts.booked.get(name) !== after.amountMinor)
      broken(
        'booked without its money',
        `${host}: ${after.purpose} ${hex(key)} of ${after.amountMinor}, the bank has ${facts.booked.get(name) ?? 'nothing'}`,
      )
    if (after.state === 'refused' && facts.underWay.of(name) > 0)
      broken('refused with its money taken', `${host}: ${after.purpose} ${hex(key)} of ${after.amountMinor}`)
  }

  const refund = (change: Change<RefundRow>): void => {
    const { before, after, judge } = change
    const row = (after ?? before) as RefundRow
    const id = hex(row.refundId)
    const prId = hex(row.prId)
    const paid = payments.paymentOf(prId)
    const rows = ofPayment.get(prId) ?? new Map<string, RefundRow>()
    ofPayment.set(prId, rows)
    if (after === undefined) rows.delete(id)
    else rows.set(id, after)
    refunded.add(prId)
    contribute(change, ({ state, mode, mpp, currency, amountMinor, offsetMinor }, sign) => {
      if (state !== 'confirmed') return
      if (paid !== undefined) facts.refunded.add(`${paid.payee} ${hex(paid.txId)}`, sign * amountMinor)
      if (mode !== 'micro') return
      pairBooks.refund(mpp, currency, sign * amountMinor)
      if (paid !== undefined) customers.offset(paid.customer, sign * offsetMinor)
    })
    if (after?.state === 'confirmed') desk.later(() => facts.refundsConfirmed.set(id, after.amountMinor))
    if (!judge) return
    if (before !== undefined && after !== undefined && before.amountMinor !== after.amountMinor)
      broken('the terms of a refund changed', `${host}: ${id}`, prId)
    const credits = { before: creditOf(before), after: creditOf(after) }
    if (after !== undefined) moved(desk, "a refund's credit", CREDIT_EDGES, credits, () => id)
    if (!moved(desk, 'a refund', REFUND_EDGES, change, () => id) || after === undefined) return
    if (facts.refundsCountersigned.get(id) !== after.amountMinor)
      broken('a refund without the MPP', `${host}: ${after.amountMinor}`, prId)
    if (after.state === 'confirmed') confirmed.push(after)
  }

  const checkRefunds = (prId: string): void => {
    const paid = payments.paymentOf(prId)
    const rows = [...(ofPayment.get(prId)?.values() ?? [])]
    let sumMinor = 0n
    let backMinor = 0n
    for (const { amountMinor, accountMinor } of rows) {
      sumMinor += amountMinor
      backMinor += accountMinor
    }
    if (paid === undefined || paid.state !== 'confirmed') {
      if (rows.length > 0) broken('a refund of what was not paid', `${host}: ${sumMinor}`, prId)
      return
    }
    if (sumMinor > paid.amountMinor)
      broken('refunded more than was paid', `${host}: ${sumMinor} of ${paid.amountMinor}`, prId)
    const right = (sumMinor * costOf(paid)) / paid.amountMinor
    if (backMinor !== right) broken('a refund gave back another sum', `${host}: ${backMinor}, not ${right}`, prId)
  }

  const checkConfirmed = (row: RefundRow): void => {
    const { refundId, prId, mode, accountMinor, offsetMinor, creditMinor, pairSeq, amountMinor } = row
    const id = hex(refundId)
    if (
      offsetMinor < 0n ||
      creditMinor < 0n ||
      offsetMinor + creditMinor !== accountMinor ||
      (mode === 'macro' && offsetMinor !== 0n)
    )
      broken(
        'a refund gave back another sum',
        `${host}: ${offsetMinor} and ${creditMinor} of ${accountMinor}`,
        hex(prId),
      )
    if ((mode === 'micro') !== (pairSeq !== undefined)) broken('a refund of the wrong mode', host, hex(prId))
    if (mode === 'micro') return
    const came = [...money.entries()].filter(([name, one]) => name.startsWith(id) && one.used)
    if (
      came.length !== 1 ||
      came[0]?.[1].amountMinor !== amountMinor ||
      facts.credited.get(`refund ${id}`) < amountMinor
    )
      broken('refunded without its money', `${host}: ${amountMinor}`, hex(prId))
  }

  return {
    readings: [
      ...customers.readings,
      ...payments.readings,
      ...pairBooks.readings,
      reading(refunds, refund),
      reading(refundMoney, ({ key, after, before, judge }) => {
        const name = hex(key)
        if (after === undefined) money.delete(name)
        else money.set(name, after)
        if (judge && before?.used === true && after?.used !== true) broken('money was used twice', `${host}: ${name}`)
      }),
      reading(ledger, (change) => {
        const [customer, next] = textAt(change.key)
        if (next !== change.key.length) return
        contribute(change as Change<TotalRow>, (row, sign) =>
          journal.shows(`customer:${customer} ${row.currency}`, -sign * row.outstandingMinor),
        )
      }),
      reading(pairs, (change) =>
        contribute(change, (row, sign) => journal.shows(`payable:${row.mpp} ${row.currency}`, sign * row.payableMinor)),
      ),
      reading(positions, (change) =>
        contribute(change, (row, sign) =>
          journal.shows(`fx:${row.currency} ${row.currency}`, sign * row.positionMinor),
        ),
      ),
    ],
    settle: (judge) => {
      customers.settle(judge)
      payments.settle(judge)
      pairBooks.settle(judge)
      for (const prId of refunded) checkRefunds(prId)
      if (judge) for (const row of confirmed) checkConfirmed(row)
    },
    clear: () => {
      customers.clear()
      payments.clear()
      pairBooks.clear()
      refunded = new Set()
      confirmed = []
    },
    atRest: () => {
      customers.atRest()
      payments.atRest()
    },
  }
}

const creditOf = (row: RefundRow | undefined) => ({ state: row?.credit ?? 'none' })
