/**
 * What the balances of a network must be, by the rules of the design alone: an account of a few sums a customer and a shop, which
 * shares no code with the nodes. Where a crash leaves open how far a payment came, it keeps every customer's possible standings, and
 * what is seen rules out all but those that fit; when none is left, money was made, lost or moved against the rules.
 */

/** Minor units. */
export type Standing = {
  /** On the customer's bank account. */
  readonly bankMinor: bigint
  readonly outstandingMinor: bigint
  readonly suspended: boolean
}
/** How a payment may end. */
export type End = { readonly outcome: string; readonly code?: string | undefined }
type Possible = { readonly end: End; readonly next: Standing }
export type Approval = 'approve' | 'reject-all' | 'silent'

export type ModelOptions = {
  /** The scheme's border, and θ. */
  readonly macroFromMinor: bigint
  readonly thresholdMinor: bigint
  readonly customers: Readonly<Record<string, bigint>>
  readonly payees: Readonly<Record<string, Approval>>
}

/** What the network shows of one customer at rest. */
export type Seen = { readonly bankMinor: bigint; readonly outstandingMinor: bigint; readonly suspended: boolean }

/** Against the rules: the message says what was seen and what was possible. */
export class ModelBroken extends Error {
  override readonly name = 'ModelBroken'
}

const text = (value: unknown): string =>
  JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? item.toString() : item))
const same = (a: Standing, b: Standing): boolean =>
  a.bankMinor === b.bankMinor && a.outstandingMinor === b.outstandingMinor && a.suspended === b.suspended

/** Everything owed leaves the bank account at once, or nothing does and the customer is suspended. */
const collected = (standing: Standing): Standing =>
  standing.bankMinor >= standing.outstandingMinor
    ? { bankMinor: standing.bankMinor - standing.outstandingMinor, outstandingMinor: 0n, suspended: false }
    : { ...standing, suspended: true }

export const createModel = ({ macroFromMinor, thresholdMinor, customers, payees }: ModelOptions) => {
  const initialMinor = new Map(Object.entries(customers))
  const possible = new Map<string, readonly Standing[]>(
    Object.entries(customers).map(([name, bankMinor]) => [
      name,
      [{ bankMinor, outstandingMinor: 0n, suspended: false }],
    ]),
  )
  const sums = new Map<string, { microMinor: bigint; macroMinor: bigint; writtenOffMinor: bigint }>(
    Object.keys(customers).map((name) => [name, { microMinor: 0n, macroMinor: 0n, writtenOffMinor: 0n }]),
  )
  const credited = new Map(Object.keys(payees).map((payee) => [payee, { microMinor: 0n, macroMinor: 0n }]))

  const of = (customer: string): readonly Standing[] => {
    const standings = possible.get(customer)
    if (standings === undefined) throw new ModelBroken(`no customer ${customer}`)
    return standings
  }
  const keep = (customer: string, standings: readonly Standing[], what: () => string): void => {
    if (standings.length === 0) throw new ModelBroken(what())
    possible.set(
      customer,
      standings.filter((one, at) => standings.findIndex((other) => same(one, other)) === at),
    )
  }
  /** A CPP may try a refused collection again at any time of its choice. */
  const retried = (standings: readonly Standing[]): readonly Standing[] =>
    standings.flatMap((one) => (one.suspended && !collected(one).suspended ? [one, collected(one)] : [one]))

  const ends = (standing: Standing, amountMinor: bigint, approval: Approval): readonly Possible[] => {
    if (standing.suspended) return [{ end: { outcome: 'refused', code: 'CUSTOMER_SUSPENDED' }, next: standing }]
    const decided = (from: Standing, confirmed: Standing): Possible =>
      approval === 'approve'
        ? { end: { outcome: 'confirmed' }, next: confirmed }
        : { end: { outcome: approval === 'silent' ? 'expired' : 'rejected' }, next: from }
    if (amountMinor >= macroFromMinor)
      return standing.bankMinor < amountMinor
        ? [{ end: { outcome: 'refused', code: 'INSUFFICIENT_FUNDS' }, next: standing }]
        : [decided(standing, { ...standing, bankMinor: standing.bankMinor - amountMinor })]
    const crosses = standing.outstandingMinor > 0n && standing.outstandingMinor + amountMinor >= thresholdMinor
    const from = crosses ? collected(standing) : standing
    if (from.suspended) return [{ end: { outcome: 'refused', code: 'COLLECTION_REFUSED' }, next: from }]
    return [decided(from, { ...from, outstandingMinor: from.outstandingMinor + amountMinor })]
  }

  return {
    /**
     * A payment was seen to end so. `disturbed`: hosts died or messages were lost on the way, so it may also have come to
     * nothing, at any point: before its CPP, or after the collection that it called for.
     */
    paid: (customer: string, payee: string, amountMinor: bigint, end: End, disturbed: boolean): void => {
      const approval = payees[payee]
      if (approval === undefined) throw new ModelBroken(`no payee ${payee}`)
      const before = retried(of(customer))
      const all = before.flatMap((standing) => {
        const orderly = ends(standing, amountMinor, approval)
        if (!disturbed || end.outcome === 'confirmed') return orderly
        const micro = amountMinor < macroFromMinor
        const crosses =
          micro && standing.outstandingMinor > 0n && standing.outstandingMinor + amountMinor >= thresholdMinor
        const nothing = [standing, ...(crosses && !standing.suspended ? [collected(standing)] : [])]
        return [...orderly, ...nothing.map((next) => ({ end, next }))]
      })
      const fitting = all.filter(
        (one) => one.end.outcome === end.outcome && (one.end.code === undefined || one.end.code === end.code),
      )
      keep(
        customer,
        fitting.map(({ next }) => next),
        () => `${customer} to ${payee} ${amountMinor}: ${text(end)}; possible: ${text(all)}`,
      )
      if (end.outcome !== 'confirmed') return
      const mine = sums.get(customer)
      const theirs = credited.get(payee)
      if (mine === undefined || theirs === undefined) throw new ModelBroken('no such party')
      const mode = amountMinor >= macroFromMinor ? 'macroMinor' : 'microMinor'
      mine[mode] += amountMinor
      theirs[mode] += amountMinor
    },
    /** The payee gave this back, of a payment that was confirmed: what the customer owes falls first, the rest is credited. */
    refunded: (customer: string, payee: string, amountMinor: bigint, mode: 'micro' | 'macro'): void => {
      const mine = sums.get(customer)
      const theirs = credited.get(payee)
      if (mine === undefined || theirs === undefined) throw new ModelBroken('no such party')
      mine[`${mode}Minor`] -= amountMinor
      theirs[`${mode}Minor`] -= amountMinor
      keep(
        customer,
        retried(of(customer)).map((one) => {
          const owed = mode === 'macro' ? 0n : one.outstandingMinor
          const offMinor = owed < amountMinor ? owed : amountMinor
          const outstandingMinor = one.outstandingMinor - offMinor
          return {
            bankMinor: one.bankMinor + amountMinor - offMinor,
            outstandingMinor,
            suspended: one.suspended && !(offMinor > 0n && outstandingMinor === 0n),
          }
        }),
        () => '',
      )
    },
    /** The customer got money from outside. */
    deposited: (customer: string, amountMinor: bigint): void => {
      initialMinor.set(customer, (initialMinor.get(customer) ?? 0n) + amountMinor)
      const before = retried(of(customer))
      keep(
        customer,
        before.map((one) => ({ ...one, bankMinor: one.bankMinor + amountMinor })),
        () => '',
      )
    },
    /** The operator ordered what is owed to be collected, or a suspended customer to be tried again. */
    collected: (customer: string): void =>
      keep(
        customer,
        retried(of(customer)).map((one) =>
          one.outstandingMinor === 0n ? { ...one, suspended: false } : collected(one),
        ),
        () => '',
      ),
    /** The operator gave this up. */
    writtenOff: (customer: string, amountMinor: bigint): void => {
      const mine = sums.get(customer)
      if (mine !== undefined) mine.writtenOffMinor += amountMinor
      keep(
        customer,
        retried(of(customer))
          .filter(({ outstandingMinor }) => outstandingMinor === amountMinor)
          .map((one) => ({ ...one, outstandingMinor: 0n })),
        () => `${customer}: ${amountMinor} was given up; possible: ${text(of(customer))}`,
      )
    },
    /** At rest: what is seen must be possible, and from here on nothing else is. */
    observe: (customer: string, seen: Seen): void => {
      const before = retried(of(customer))
      keep(
        customer,
        before.filter((one) => same(one, seen)),
        () => `${customer} stands at ${text(seen)}; possible: ${text(before)}`,
      )
    },
    /** Of customers at rest: what was collected from them, less what refunds credited to them, from the sums alone. */
    collectedMinor: (customer: string): bigint => {
      const [standing, ...others] = of(customer)
      const mine = sums.get(customer)
      if (standing === undefined || others.length > 0 || mine === undefined)
        throw new ModelBroken(`${customer} is not at rest`)
      const collectedMinor = mine.microMinor - standing.outstandingMinor - mine.writtenOffMinor
      // What left the bank account is what was collected and what was paid at once.
      const leftMinor = (initialMinor.get(customer) ?? 0n) - standing.bankMinor
      if (leftMinor !== collectedMinor + mine.macroMinor)
        throw new ModelBroken(`${customer}: ${leftMinor} left the account, ${text(mine)} and ${text(standing)}`)
      return collectedMinor
    },
    creditedTo: (payee: string) => credited.get(payee) ?? { microMinor: 0n, macroMinor: 0n },
    isSuspended: (customer: string): boolean => of(customer).some(({ suspended }) => suspended),
  }
}
export type Model = ReturnType<typeof createModel>
