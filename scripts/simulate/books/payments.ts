/**
 * Payments at their CPP, the commit point (design §2, §8.9): states move along their edges, terms never change, nothing is confirmed
 * without the payee's and the MPP's word or at its expiry, an invoice is paid once, a hold is posted once or given back.
 */
import { modeOf } from '../../../protocol/amount.ts'
import { payments, refusedRequests, type OrderRow, type PaymentRow } from '../../../nodes/cpp/state.ts'
import { quotes, type QuoteRow } from '../../../nodes/cpp/state-fx.ts'
import { FINAL, type Facts } from './facts.ts'
import { contribute, counts, hex, moved, reading, type Change, type Desk, type Edges, type Reading } from './rows.ts'
import { costAt, type Terms } from './terms.ts'

/** Within one batch nobody else can have answered: so far and no further does a payment get in one. */
const EDGES: Edges = {
  none: ['waiting', 'holding', 'notified', 'refused', 'expired'],
  waiting: ['notified', 'expired', 'refused'],
  holding: ['notified', 'expired', 'refused'],
  notified: ['confirmed', 'posting', 'rejected', 'expired'],
  posting: ['confirmed', 'failed'],
}
const TERMS = [
  'customer',
  'payee',
  'amountMinor',
  'currency',
  'mode',
  'mpp',
  'expiresAtMs',
  'accountAmountMinor',
] as const

/** Orders at banks of one macro payment, by their last state. */
type AtBank = {
  hold: OrderRow['state'] | undefined
  readonly posts: Map<string, OrderRow['state']>
  readonly voids: Map<string, OrderRow['state']>
}
const POSTS: ReadonlySet<OrderRow['purpose']> = new Set(['post', 'payment'])
/** Of one payment at most one is under way or booked. */
const TAKES: ReadonlySet<OrderRow['purpose']> = new Set(['exchange', 'recovery'])

export type PaymentBooks = {
  readonly readings: readonly Reading[]
  readonly order: (change: Change<OrderRow>) => void
  readonly paymentOf: (prId: string) => PaymentRow | undefined
  readonly settle: (judge: boolean) => void
  readonly clear: () => void
  readonly atRest: () => void
}

export const auditPayments = (
  desk: Desk,
  facts: Facts,
  terms: () => readonly Terms[],
  onPayment: (change: Change<PaymentRow>) => void,
  accountOf: (customer: string) => string | undefined,
): PaymentBooks => {
  const { host, broken } = desk
  const held = new Map<string, PaymentRow>()
  const atBanks = new Map<string, AtBank>()
  const takes = new Map<string, Map<string, OrderRow['state']>>()
  const invoices = counts()
  const quoted = counts()
  const quoteRows = new Map<string, QuoteRow>()
  let ended: (readonly [PaymentRow, from: string])[] = []

  const bankOf = (prId: string): AtBank => {
    let found = atBanks.get(prId)
    if (found === undefined) atBanks.set(prId, (found = { hold: undefined, posts: new Map(), voids: new Map() }))
    return found
  }
  const setOrDelete = <V>(map: Map<string, V>, id: string, value: V | undefined): void => {
    if (value === undefined) map.delete(id)
    else map.set(id, value)
  }

  const payment = (change: Change<PaymentRow>): void => {
    const { before, after, judge } = change
    const row = (after ?? before) as PaymentRow
    const id = hex(row.prId)
    const key = `${host} ${id}`
    setOrDelete(held, id, after)
    onPayment(change)
    contribute(change, (one, sign) => {
      const invoice = `${one.payee} ${hex(one.txId)}`
      const open = !FINAL.has(one.state) || one.state === 'confirmed'
      if (open && invoices.add(invoice, sign) > 1 && judge)
        broken('an invoice is paid twice', `${host}: ${invoice}`, id)
      if (one.state === 'confirmed') {
        if (facts.paidInvoices.add(invoice, sign) > 1 && judge) broken('an invoice is paid twice', invoice, id)
        if (one.mode === 'macro' && one.accountCurrency === undefined) {
          facts.unexplained.add(accountOf(one.customer) ?? '?', sign * one.amountMinor)
          facts.unexplained.add(one.payoutAccount, -sign * one.amountMinor)
        }
      }
      if (one.quoteId !== undefined && one.state !== 'refused' && quoted.add(hex(one.quoteId), sign) > 1 && judge)
        broken('a quote was used twice', `${host}: ${hex(one.quoteId)}`, id)
    })
    if (after !== undefined) {
      if (after.pnId !== undefined) facts.paymentOf.set(hex(after.pnId), id)
      if (!FINAL.has(after.state)) facts.undecided.set(key, after.state)
      else {
        facts.undecided.delete(key)
        if (after.state !== before?.state)
          desk.later(() => {
            facts.finals.set(id, { cpp: host, state: after.state, row: after })
            if (after.state === 'confirmed') facts.confirmedAt.add(`cpp ${id}`)
          })
      }
    } else facts.undecided.delete(key)
    if (!judge) return
    if (before !== undefined && after !== undefined)
      for (const field of TERMS)
        if (before[field] !== after[field]) broken('the terms of a payment changed', `${host}: ${field}`, id)
    if (!moved(desk, 'a payment', EDGES, change, () => id) || after === undefined) return
    checkMove(after, before, id)
    ended.push([after, before?.state ?? 'none'])
  }

  const checkMove = (row: PaymentRow, before: PaymentRow | undefined, id: string): void => {
    const { state, mode, expiresAtMs, decidedAtMs } = row
    if (mode !== modeOf(row.amountMinor, row.currency)) broken('a payment of the wrong mode', `${host}: ${mode}`, id)
    const micro = mode === 'micro'
    if (
      (state === 'waiting' && !micro) ||
      ((state === 'holding' || state === 'posting' || state === 'failed') && micro)
    )
      broken('a payment moved where it may not', `${host}: a ${mode} payment is ${state}`, id)
    if (state === 'confirmed' && micro !== (before?.state === 'notified'))
      broken('a payment moved where it may not', `${host}: a ${mode} payment confirmed from ${before?.state}`, id)
    const approved = (state === 'confirmed' && micro) || state === 'posting'
    if (approved) {
      const atMs = state === 'posting' ? (row.postingAtMs ?? 0) : decidedAtMs
      if (atMs >= expiresAtMs) broken('approved at its expiry', `${host}: ${atMs - expiresAtMs} ms late`, id)
      const pnId = row.pnId === undefined ? '' : hex(row.pnId)
      if (!facts.merchantApproved.has(pnId)) broken('confirmed without the payee', host, id)
      if (!facts.mppApproved.has(pnId)) broken('confirmed without the MPP', host, id)
      if (!desk.triggers.has('message countersigned-decision')) broken('confirmed without a decision', host, id)
    }
    if (state === 'expired' && decidedAtMs < expiresAtMs)
      broken('expired before its time', `${host}: ${expiresAtMs - decidedAtMs} ms early`, id)
    if (before === undefined && state !== 'refused') checkCost(row, id)
  }

  const checkCost = (row: PaymentRow, id: string): void => {
    const { accountAmountMinor, accountCurrency, quoteId } = row
    if (accountAmountMinor === undefined && accountCurrency === undefined && quoteId === undefined) return
    const quote = quoteId === undefined ? undefined : quoteRows.get(hex(quoteId))
    if (quote === undefined || accountAmountMinor === undefined || accountCurrency === undefined) {
      broken('an exchange without its quote', host, id)
      return
    }
    const fits =
      quote.customer === row.customer && quote.currency === row.currency && quote.amountMinor === row.amountMinor
    if (!fits || quote.accountCurrency !== accountCurrency || quote.accountAmountMinor !== accountAmountMinor)
      broken('charged other than quoted', `${host}: ${accountAmountMinor}, quoted ${quote.accountAmountMinor}`, id)
  }

  const checkQuote = (row: QuoteRow): void => {
    const { currency, accountCurrency, rateNumerator: top, rateDenominator: bottom, amountMinor } = row
    if (!terms().some((one) => one.isRate(currency, accountCurrency, top, bottom)))
      broken('a quote by another rate', `${host}: ${currency} ${accountCurrency} at ${top}/${bottom}`)
    const right = costAt(amountMinor, currency, accountCurrency, top, bottom)
    if (row.accountAmountMinor !== right)
      broken('a quote rounded wrong', `${host}: ${row.accountAmountMinor}, not ${right}`)
  }

  /** A payment with a hold ends: the money goes to the payee, or its way back is ordered. */
  const checkHold = (row: PaymentRow, from: string): void => {
    if (row.mode !== 'macro' || from === 'none') return
    const id = hex(row.prId)
    const bank = bankOf(id)
    if (FINAL.has(row.state) && row.state !== 'confirmed' && bank.hold !== 'refused' && bank.voids.size === 0)
      broken('a hold was forgotten', `${host}: ${row.state} with its hold ${bank.hold ?? 'unknown'}`, id)
    if (row.state === 'notified' && bank.hold !== 'booked') broken('notified without its hold', host, id)
    if (row.state === 'posting' && ![...bank.posts.values()].includes('ordered'))
      broken('posting without an order', host, id)
    if (row.state === 'confirmed' && ![...bank.posts.values()].includes('booked'))
      broken('confirmed without its money', host, id)
  }

  return {
    readings: [
      reading(quotes, ({ key, before, after, judge }) => {
        setOrDelete(quoteRows, hex(key), after)
        if (!judge || after === undefined) return
        if (before === undefined) checkQuote(after)
        else if (before.prId !== undefined && (after.prId === undefined || hex(after.prId) !== hex(before.prId)))
          broken('a quote was used twice', `${host}: ${hex(key)}`)
      }),
      reading(payments, payment),
      reading(refusedRequests, ({ key, before, after, judge }) => {
        const id = hex(key)
        if (after !== undefined) desk.later(() => facts.finals.set(id, { cpp: host, state: 'refused' }))
        if (judge && after === undefined && before !== undefined) broken('a final state was forgotten', host, id)
        if (judge && after !== undefined && held.has(id)) broken('two final states', `${host}: refused and known`, id)
      }),
    ],
    order: (change) => {
      const row = change.after ?? change.before
      if (row?.prId === undefined) return
      const id = hex(change.key)
      const prId = hex(row.prId)
      const bank = bankOf(prId)
      const state = change.after?.state
      if (row.purpose === 'hold') bank.hold = state
      else if (row.purpose === 'void') setOrDelete(bank.voids, id, state)
      else if (POSTS.has(row.purpose)) {
        setOrDelete(bank.posts, id, state)
        if (change.judge && bank.posts.size > 1) broken('a payment is posted twice', host, prId)
      } else if (TAKES.has(row.purpose)) {
        const taken = takes.get(prId) ?? new Map<string, OrderRow['state']>()
        takes.set(prId, taken)
        setOrDelete(taken, id, state)
        if (change.judge && [...taken.values()].filter((one) => one !== 'refused').length > 1)
          broken('a customer is charged twice', host, prId)
      }
      if (
        change.judge &&
        row.purpose === 'hold' &&
        change.before?.state === 'ordered' &&
        state === 'booked' &&
        !facts.held.has(id)
      )
        broken('a hold that its bank does not know', host, prId)
    },
    paymentOf: (prId) => held.get(prId),
    settle: (judge) => {
      if (judge) for (const [row, from] of ended) checkHold(row, from)
    },
    clear: () => {
      ended = []
    },
    atRest: () => {
      for (const [prId, { hold, posts, voids }] of atBanks) {
        // A void ends the hold's order too: its answer is not waited for.
        const waits = [...posts.values(), ...voids.values(), voids.size > 0 ? undefined : hold]
        if (waits.includes('ordered')) broken('not at rest', `${host}: an order of a payment is not answered`, prId)
      }
    },
  }
}
