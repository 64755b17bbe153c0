/**
 * Payments across nodes: design §8.9, and the parts of §8.2, §8.4 and §8.5 that single payments show. The customer's side is
 * joined by prId, the payee's side by pnId; only the CPP's lines bear both.
 */
import { isFinalState, type PaymentLine, type RefundLine } from '../runtime/reports.ts'
import { countOf, equal, sumOf, type Check, type Network } from './check.ts'

const MAX_SHOWN = 5

type Held = { readonly node: string; readonly line: PaymentLine }
/** One payment as every node that knows it holds it. */
export type Joined = { readonly id: string; readonly held: readonly Held[] }

/** @param payments by node id */
export const joinPayments = (payments: Network['payments']): readonly Joined[] => {
  const groups = new Map<string, Held[]>()
  const byPn = new Map<string, Held[]>()
  const add = (map: Map<string, Held[]>, id: string, one: Held): Held[] => {
    const group = map.get(id) ?? []
    group.push(one)
    map.set(id, group)
    return group
  }
  // The lines with both ids first: they say which prId a pnId belongs to.
  const all = [...payments].flatMap(([node, lines]) => lines.map((line) => ({ node, line })))
  for (const one of all.filter(({ line }) => line.prId !== undefined)) {
    const group = add(groups, `pr ${one.line.prId}`, one)
    if (one.line.pnId !== undefined) byPn.set(one.line.pnId, group)
  }
  for (const one of all.filter(({ line }) => line.prId === undefined)) {
    const group = byPn.get(one.line.pnId ?? '')
    if (group !== undefined) group.push(one)
    else add(groups, `pn ${one.line.pnId ?? ''}`, one)
  }
  return [...groups].map(([id, held]) => ({ id, held }))
}

const show = (found: readonly Joined[], what: (one: Joined) => string): string | undefined =>
  found.length === 0
    ? undefined
    : [
        ...found.slice(0, MAX_SHOWN).map((one) => `${one.id}: ${what(one)}`),
        ...(found.length > MAX_SHOWN ? [`and ${found.length - MAX_SHOWN} more`] : []),
      ].join('; ')
const statesOf = ({ held }: Joined): string => held.map(({ node, line }) => `${node} ${line.state}`).join(', ')
const amountsOf = ({ held }: Joined): string =>
  held.map(({ node, line }) => `${node} ${line.amountMinor} ${line.currency}`).join(', ')
const chargeOf = ({ amountMinor, currency, accountAmountMinor, accountCurrency }: PaymentLine): string =>
  `${accountAmountMinor ?? amountMinor} ${accountCurrency ?? currency}`
const chargesOf = ({ held }: Joined): string => held.map(({ node, line }) => `${node} ${chargeOf(line)}`).join(', ')
const isConfirmed = ({ line }: Held): boolean => line.state === 'confirmed'

const refundsOf = ({ held }: Joined): ReadonlyMap<string, readonly (RefundLine & { readonly node: string })[]> => {
  const byId = new Map<string, (RefundLine & { readonly node: string })[]>()
  for (const { node, line } of held)
    for (const refund of line.refunds ?? [])
      byId.set(refund.refundId, [...(byId.get(refund.refundId) ?? []), { ...refund, node }])
  return byId
}
const refundsShown = (one: Joined): string =>
  [...refundsOf(one).values()]
    .flat()
    .map(({ refundId, node, state, amountMinor }) => `${refundId} ${node} ${state} ${amountMinor}`)
    .join(', ')
const isOver = ({ line }: Held): boolean =>
  sumOf(line.refunds ?? [], ({ state, amountMinor }) => (state === 'refused' ? 0n : amountMinor)) > line.amountMinor
/** One refund is one sum, and has one end. */
const differ = (one: Joined): boolean =>
  [...refundsOf(one).values()].some(
    (rows) =>
      new Set(rows.map(({ amountMinor }) => amountMinor)).size > 1 ||
      new Set(rows.map(({ state }) => state).filter((state) => state === 'confirmed' || state === 'refused')).size > 1,
  )

/** Finals never change, so these hold at any time, whatever was read first. */
const always = (joined: readonly Joined[]): readonly Check[] => {
  const none = (rule: Check['rule'], name: string, found: readonly Joined[], what: (one: Joined) => string): Check =>
    equal(rule, name, BigInt(found.length), 0n, show(found, what))
  const finals = ({ held }: Joined): ReadonlySet<string> =>
    new Set(held.map(({ line }) => line.state).filter(isFinalState))
  const terms = ({ held }: Joined): ReadonlySet<string> =>
    new Set(held.map(({ line }) => [line.payee, line.txId, line.amountMinor, line.currency, line.mode].join(' ')))
  const charges = ({ held }: Joined): ReadonlySet<string> =>
    new Set(held.filter((one) => isConfirmed(one) && one.line.prId !== undefined).map(({ line }) => chargeOf(line)))
  const invoices = new Map<string, Joined[]>()
  for (const one of joined) {
    const [confirmed] = one.held.filter(isConfirmed)
    if (confirmed === undefined) continue
    const invoice = `${confirmed.line.payee} ${confirmed.line.txId}`
    invoices.set(invoice, [...(invoices.get(invoice) ?? []), one])
  }
  return [
    none(
      '§8.9',
      'payments with different final states',
      joined.filter((one) => finals(one).size > 1),
      statesOf,
    ),
    none(
      '§8.5',
      'payments whose nodes differ on payee, invoice, amount or mode',
      joined.filter((one) => terms(one).size > 1),
      amountsOf,
    ),
    none(
      '§8.5',
      'payments that cost the wallet other than the CPP',
      joined.filter((one) => charges(one).size > 1),
      chargesOf,
    ),
    none(
      '§8.5',
      'invoices paid more than once',
      [...invoices.values()].filter((paid) => paid.length > 1).flat(),
      statesOf,
    ),
    none(
      '§8.5',
      'payments refunded by more than their sum',
      joined.filter(({ held }) => held.some(isOver)),
      refundsShown,
    ),
    none('§8.9', 'refunds whose nodes differ on sum or end', joined.filter(differ), refundsShown),
  ]
}

/** At rest every node that knows a payment holds the same final state, and every node that a confirmation is for has it. */
const atRest = ({ payments, cpps, mpps, merchants, wallets }: Network, joined: readonly Joined[]): readonly Check[] => {
  const undecided = joined.filter(({ held }) => held.some(({ line }) => !isFinalState(line.state)))
  const roleOf = new Map<string, string>([...cpps, ...mpps, ...merchants, ...wallets].map(({ id, role }) => [id, role]))
  const asked = (['customer', 'cpp', 'mpp', 'merchant'] as const).filter((role) =>
    [...payments.keys()].some((node) => roleOf.get(node) === role),
  )
  const partial = joined.filter(({ held }) => {
    if (!held.some(isConfirmed)) return false
    const holding = new Set(held.map(({ node }) => roleOf.get(node)))
    return asked.some((role) => !holding.has(role))
  })
  const unheard = joined.filter((one) =>
    [...refundsOf(one).values()].some((rows) => {
      const holding = new Set(rows.filter(({ state }) => state === 'confirmed').map(({ node }) => roleOf.get(node)))
      return holding.size > 0 && asked.some((role) => !holding.has(role))
    }),
  )
  const open = [...cpps, ...mpps, ...merchants, ...wallets].map(({ id, undecided: states }) => ({
    id,
    count: sumOf(Object.values(states), BigInt),
  }))
  return [
    equal('§8.9', 'payments undecided at some node', BigInt(undecided.length), 0n, show(undecided, statesOf)),
    equal(
      '§8.9',
      'confirmed payments that a party to them does not hold',
      BigInt(partial.length),
      0n,
      show(partial, statesOf),
    ),
    equal(
      '§8.9',
      'confirmed refunds that a party to them does not hold',
      BigInt(unheard.length),
      0n,
      show(unheard, refundsShown),
    ),
    equal(
      '§8.9',
      'payments undecided by the reports',
      sumOf(open, ({ count }) => count),
      0n,
      open
        .filter(({ count }) => count > 0n)
        .map(({ id, count }) => `${id} ${count}`)
        .join(', ') || undefined,
    ),
  ]
}

const paid = ({ amountMinor }: PaymentLine): bigint => amountMinor
/** In the currency of the customer's account. */
const charged = ({ amountMinor, accountAmountMinor }: PaymentLine): bigint => accountAmountMinor ?? amountMinor
const chargedIn = ({ currency, accountCurrency }: PaymentLine): string => accountCurrency ?? currency

/** What refunds of a payment in another currency did to the position in one: all of them give back their share, rounded down once. */
const returnedIn = (line: PaymentLine, currency: string): bigint => {
  if (line.accountCurrency === undefined) return 0n
  const refundedMinor = sumOf(line.refunds ?? [], (refund) => (refund.state === 'confirmed' ? refund.amountMinor : 0n))
  if (line.currency === currency) return refundedMinor
  return line.accountCurrency === currency ? -((refundedMinor * charged(line)) / line.amountMinor) : 0n
}

/** At rest the sums of the reports are the sums of the payments: what was confirmed is what was entered and credited. */
const sums = ({ payments, cpps, mpps, merchants }: Network): readonly Check[] => {
  const confirmed = (node: string, is: (line: PaymentLine) => boolean, sum = paid): bigint =>
    sumOf(payments.get(node) ?? [], (line) => (line.state === 'confirmed' && is(line) ? sum(line) : 0n))
  const refunded = (node: string, is: (line: PaymentLine) => boolean): bigint =>
    sumOf(payments.get(node) ?? [], (line) =>
      is(line) ? sumOf(line.refunds ?? [], ({ state, amountMinor }) => (state === 'confirmed' ? amountMinor : 0n)) : 0n,
    )
  const known = <T extends { readonly id: string }>(reports: readonly T[]): readonly T[] =>
    reports.filter(({ id }) => payments.has(id))
  return [
    ...known(cpps).flatMap(({ id, totals }) =>
      totals.flatMap(({ currency, confirmedMicroMinor, confirmedMacroMinor }) => [
        equal(
          '§8.2',
          `entries are the confirmed micropayments: ${id} ${currency}`,
          confirmedMicroMinor,
          confirmed(id, (line) => line.mode === 'micro' && chargedIn(line) === currency, charged),
        ),
        equal(
          '§8.2',
          `macro sum is that of the confirmed payments: ${id} ${currency}`,
          confirmedMacroMinor,
          confirmed(id, (line) => line.mode === 'macro' && line.currency === currency),
        ),
      ]),
    ),
    ...known(cpps).flatMap(({ id, positions }) =>
      positions.flatMap(({ currency, boughtMinor, soldMinor, refundedMinor }) => [
        equal(
          '§8.2',
          `bought is what payments in another currency cost: ${id} ${currency}`,
          boughtMinor,
          confirmed(id, (line) => line.accountCurrency === currency, charged),
        ),
        equal(
          '§8.2',
          `sold is what payments in another currency paid: ${id} ${currency}`,
          soldMinor,
          confirmed(id, (line) => line.accountCurrency !== undefined && line.currency === currency),
        ),
        equal(
          '§8.2',
          `refunded is what payments in another currency were refunded: ${id} ${currency}`,
          refundedMinor,
          sumOf(payments.get(id) ?? [], (line) => returnedIn(line, currency)),
        ),
      ]),
    ),
    ...known(mpps).flatMap(({ id, payees }) =>
      payees.flatMap(({ payee, currency, confirmedMicroMinor, reversedMinor }) => {
        const isMicro = (line: PaymentLine): boolean =>
          line.mode === 'micro' && line.payee === payee && line.currency === currency
        return [
          equal(
            '§8.4',
            `credits are the confirmed micropayments: ${payee} at ${id} ${currency}`,
            confirmedMicroMinor,
            confirmed(id, isMicro),
          ),
          equal(
            '§8.4',
            `reversed is what was refunded of micropayments: ${payee} at ${id} ${currency}`,
            reversedMinor,
            refunded(id, isMicro),
          ),
        ]
      }),
    ),
    ...known(merchants).flatMap(({ id, payees }) =>
      payees.flatMap(({ payee, currency, confirmedMicroMinor, confirmedMacroMinor, refundedMinor }) => {
        const of = (mode: string) =>
          confirmed(id, (line) => line.mode === mode && line.payee === payee && line.currency === currency)
        return [
          equal(
            '§8.5',
            `sums are those of the confirmed payments: ${payee} at ${id} ${currency}`,
            confirmedMicroMinor + confirmedMacroMinor,
            of('micro') + of('macro'),
          ),
          equal(
            '§8.5',
            `refunds are those of the payments: ${payee} at ${id} ${currency}`,
            refundedMinor,
            refunded(id, (line) => line.payee === payee && line.currency === currency),
          ),
        ]
      }),
    ),
  ]
}

export const checkPayments = (network: Network): readonly Check[] => {
  const joined = joinPayments(network.payments)
  const count = countOf(joined, () => true)
  return [
    ...always(joined).map((check) => ({ ...check, detail: check.detail ?? `${count} payments compared` })),
    ...(network.quiet ? [...atRest(network, joined), ...sums(network)] : []),
  ]
}
