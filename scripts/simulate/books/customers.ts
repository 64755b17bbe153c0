/**
 * What customers owe a CPP (design §8.2, §8.6, §8.7): outstanding is what was confirmed less what was collected, offset and given up; the
 * bound holds at each admission; a crossing orders one collection of exactly what is owed, and nothing else does but age, window, retry,
 * closure and the operator; whoever came first is served first.
 */
import {
  customers,
  ENTRY,
  ledger,
  orders,
  type CustomerRow,
  type EntryRow,
  type OrderRow,
  type PaymentRow,
  type TotalRow,
} from '../../../nodes/cpp/state.ts'
import {
  contribute,
  happened,
  hex,
  moved,
  numberAt,
  reading,
  textAt,
  type Change,
  type Desk,
  type Edges,
  type Reading,
} from './rows.ts'
import type { Terms } from './terms.ts'

const ORDER_EDGES: Edges = { none: ['ordered'], ordered: ['booked', 'refused'] }
/** By which a collection may begin that no payment called for. */
const CALLS: readonly RegExp[] = [
  /^deadline (debt-age|bulk-window|collection-retry)$/,
  /^control /,
  /^policy /,
  /^job /,
  /^started/,
]

/** No threshold is zero. */
const NO_THETA = 0n

type Book = {
  customer: CustomerRow | undefined
  total: TotalRow | undefined
  entriesMinor: bigint
  entryCount: number
  confirmedMinor: bigint
  pendingMinor: bigint
  collectedMinor: bigint
  offsetMinor: bigint
  writtenOffMinor: bigint
  /** Collections without an answer. */
  readonly running: Map<string, bigint>
  readonly waiting: Map<string, PaymentRow>
  /** θ since the queue was last empty; none when it has changed since. */
  waitingUnder: bigint
}
/** What a batch did to a customer. */
type Touch = {
  readonly before: TotalRow | undefined
  readonly customerBefore: CustomerRow | undefined
  readonly waitedBefore: ReadonlySet<string>
  readonly entries: [seq: number, minor: bigint][]
  readonly collections: OrderRow[]
  /** Payments that came, and of them and those that waited the ones that were admitted. */
  readonly arrived: PaymentRow[]
  readonly admitted: PaymentRow[]
  /** Payments that waited and do so no longer. */
  readonly left: PaymentRow[]
}

export const costOf = (row: PaymentRow): bigint => row.accountAmountMinor ?? row.amountMinor
const signed = ({ kind, amountMinor }: EntryRow): bigint => (kind === ENTRY.payment ? amountMinor : -amountMinor)

export type CustomerBooks = {
  readonly readings: readonly Reading[]
  readonly payment: (change: Change<PaymentRow>) => void
  readonly offset: (customer: string, minor: bigint) => void
  readonly customerOf: (customer: string) => CustomerRow | undefined
  readonly settle: (judge: boolean) => void
  readonly clear: () => void
  readonly atRest: () => void
}

/** @param terms in force now, and those that this batch ended */
export const auditCustomers = (
  desk: Desk,
  terms: () => readonly Terms[],
  onOrder: (change: Change<OrderRow>) => void,
  onCustomer: (row: CustomerRow) => void,
  onWrittenOff: (customer: string, minor: bigint) => void,
): CustomerBooks => {
  const { host, broken } = desk
  const books = new Map<string, Book>()
  const touched = new Map<string, Touch>()

  const bookOf = (customer: string): Book => {
    let book = books.get(customer)
    if (book === undefined)
      books.set(
        customer,
        (book = {
          customer: undefined,
          total: undefined,
          entriesMinor: 0n,
          entryCount: 0,
          confirmedMinor: 0n,
          pendingMinor: 0n,
          collectedMinor: 0n,
          offsetMinor: 0n,
          writtenOffMinor: 0n,
          running: new Map(),
          waiting: new Map(),
          waitingUnder: NO_THETA,
        }),
      )
    return book
  }
  const touch = (customer: string): Touch => {
    let found = touched.get(customer)
    if (found === undefined) {
      const { total, customer: row, waiting } = bookOf(customer)
      found = {
        before: total,
        customerBefore: row,
        waitedBefore: new Set(waiting.keys()),
        entries: [],
        collections: [],
        arrived: [],
        admitted: [],
        left: [],
      }
      touched.set(customer, found)
    }
    return found
  }

  const payment = (change: Change<PaymentRow>): void => {
    const { before, after, judge } = change
    const row = after ?? before
    if (row === undefined) return
    const touching = touch(row.customer)
    contribute(change, (one, sign) => {
      const book = bookOf(one.customer)
      if (one.state === 'waiting') {
        if (sign === 1n) book.waiting.set(hex(one.prId), one)
        else book.waiting.delete(hex(one.prId))
      }
      if (one.mode !== 'micro') return
      if (one.state === 'confirmed') book.confirmedMinor += sign * costOf(one)
      if (one.state === 'notified') book.pendingMinor += sign * costOf(one)
    })
    if (!judge || after === undefined) return
    if (before === undefined) touching.arrived.push(after)
    if (before?.state === 'waiting' && after.state !== 'waiting') touching.left.push(after)
    if (after.mode === 'micro' && after.pnId !== undefined && before?.pnId === undefined) touching.admitted.push(after)
  }

  const order = (change: Change<OrderRow>): void => {
    onOrder(change)
    const row = change.after ?? change.before
    if (row?.purpose !== 'collection') return
    const touching = touch(row.subject)
    const book = bookOf(row.subject)
    const id = hex(change.key)
    contribute(change, (one, sign) => {
      if (one.state === 'booked') book.collectedMinor += sign * one.amountMinor
      if (one.state !== 'ordered') return
      if (sign === 1n) book.running.set(id, one.amountMinor)
      else book.running.delete(id)
    })
    if (change.judge && change.before === undefined && change.after !== undefined)
      touching.collections.push(change.after)
    if (change.judge) moved(desk, 'a collection', ORDER_EDGES, change, () => id)
  }

  const readings = [
    reading(customers, ({ before, after }) => {
      const row = after ?? before
      if (row === undefined) return
      touch(row.customer)
      bookOf(row.customer).customer = after
      if (after !== undefined) onCustomer(after)
    }),
    reading(ledger, ({ key, before, after, judge }) => {
      const [customer, next] = textAt(key)
      const touching = touch(customer)
      const book = bookOf(customer)
      if (next === key.length) {
        book.total = after as TotalRow | undefined
        return
      }
      contribute({ before, after } as { before: EntryRow | undefined; after: EntryRow | undefined }, (entry, sign) => {
        book.entriesMinor += sign * signed(entry)
        book.entryCount += Number(sign)
        if (entry.kind !== ENTRY.writeOff) return
        book.writtenOffMinor += sign * entry.amountMinor
        if (happened({ after, judge })) onWrittenOff(customer, sign * entry.amountMinor)
      })
      if (!judge) return
      if (before !== undefined) broken('an entry was changed', `${host}: ${customer}`)
      else if (after !== undefined) touching.entries.push([numberAt(key, next), signed(after as EntryRow)])
    }),
    reading(orders, order),
  ]

  const equal = (customer: string, what: string, found: bigint, right: bigint): void => {
    if (found !== right)
      broken(`what a customer owes is wrong`, `${host} ${customer}: ${what} is ${found}, not ${right}`)
  }

  const checkSums = (customer: string, book: Book): void => {
    const { total } = book
    if (total === undefined) {
      equal(customer, 'outstanding without a total', 0n, book.confirmedMinor + book.entriesMinor + book.pendingMinor)
      return
    }
    const { outstandingMinor, pendingMinor, collectingMinor, lastSeq, waiting, orderId } = total
    equal(customer, 'outstanding by entries', outstandingMinor, book.entriesMinor)
    const due = book.confirmedMinor - book.collectedMinor - book.offsetMinor - book.writtenOffMinor
    equal(customer, 'outstanding by payments, collections and refunds', outstandingMinor, due)
    equal(customer, 'pending', pendingMinor, book.pendingMinor)
    equal(customer, 'waiting', BigInt(waiting), BigInt(book.waiting.size))
    equal(customer, 'entries', BigInt(lastSeq), BigInt(book.entryCount))
    if (outstandingMinor < 0n || pendingMinor < 0n || collectingMinor < 0n || collectingMinor > outstandingMinor)
      broken('an impossible standing', `${host} ${customer}: ${outstandingMinor}, ${collectingMinor}, ${pendingMinor}`)
    if (book.running.size > 1)
      broken(
        'a debt is collected twice',
        `${host} ${customer}: ${[...book.running.values()].join(' and ')} run at once`,
      )
    const [running] = book.running
    equal(customer, 'collecting', collectingMinor, running?.[1] ?? 0n)
    if (running !== undefined && running[0] !== hex(orderId))
      broken('a debt is collected twice', `${host} ${customer}: the total names another collection than runs`)
  }

  /** In force now, and where the batch changed what it follows, before. The last is in force now. */
  const thresholds = ({ total, customer }: Book, { customerBefore }: Touch): readonly bigint[] => {
    const { currency } = total as TotalRow
    const assigned = [customerBefore?.assignedThresholdMinor, customer?.assignedThresholdMinor]
    return [...new Set(terms().flatMap((one) => assigned.map((theta) => one.threshold(currency, theta))))]
  }

  const checkBound = (customer: string, book: Book, touching: Touch): void => {
    const { total } = book
    const { admitted } = touching
    if (total === undefined || admitted.length === 0) return
    const sumMinor = total.outstandingMinor + total.pendingMinor
    const allowed = thresholds(book, touching)
    const ofOne = admitted.some((row) => costOf(row) === sumMinor)
    if (!ofOne && !allowed.some((theta) => sumMinor < theta))
      broken(
        'over the bound',
        `${host} ${customer}: ${total.outstandingMinor} owed and ${total.pendingMinor} pending after an admission under ${allowed.join(' or ')}`,
        hex(admitted[0]!.prId),
      )
    if (!allowed.includes(total.thresholdMinor))
      broken(
        'over the bound',
        `${host} ${customer}: admitted under ${total.thresholdMinor}, set is ${allowed.join(' or ')}`,
      )
  }

  const checkQueue = (customer: string, book: Book, { admitted, arrived, waitedBefore }: Touch): void => {
    if (book.waiting.size === 0) return
    const waits = [...book.waiting.values()].filter(({ prId }) => waitedBefore.has(hex(prId)))
    for (const row of admitted) {
      const overtaken = arrived.includes(row)
        ? waits[0]
        : waits.find(({ waitNo }) => (waitNo ?? 0) < (row.waitNo ?? Infinity))
      if (overtaken !== undefined)
        broken('a payment overtook one that waited', `${host} ${customer}`, hex(overtaken.prId))
    }
  }

  const calledFor = (): boolean => [...desk.triggers].some((trigger) => CALLS.some((call) => call.test(trigger)))

  const checkCollections = (customer: string, book: Book, touching: Touch): void => {
    const { before, collections, entries, admitted, arrived, left } = touching
    const { total } = book
    if (total === undefined || collections.length === 0) return
    if (collections.length > 1) broken('a debt is collected twice', `${host} ${customer}: ordered twice in one step`)
    const owed = [before?.outstandingMinor ?? 0n]
    for (const [, minor] of entries.toSorted(([a], [b]) => a - b)) owed.push((owed.at(-1) ?? 0n) + minor)
    for (const { amountMinor } of collections)
      if (!owed.includes(amountMinor))
        broken(
          'a collection of another sum',
          `${host} ${customer}: ${amountMinor} ordered while ${owed.join(', then ')} was owed`,
        )
    if (calledFor() || book.customer?.state !== 'active') return
    const allowed = thresholds(book, touching)
    const least = allowed.reduce((a, b) => (a < b ? a : b))
    let most = (before?.outstandingMinor ?? 0n) + (before?.pendingMinor ?? 0n)
    for (const row of admitted) most += costOf(row)
    const ended = arrived.filter(({ state }) => state === 'refused' || state === 'expired')
    const waits = [...book.waiting.values(), ...left, ...ended]
    if (!waits.some((row) => most + costOf(row) >= least))
      broken(
        'a collection that nothing called for',
        `${host} ${customer}: ${collections[0]!.amountMinor} ordered, ${most} at most under ${least}, ${waits.length} waiting`,
      )
  }

  /** The first in the queue does not fit, and what it waits for is under way: nobody waits for nothing. */
  const checkWaiting = (customer: string, book: Book, touching: Touch): void => {
    const { total } = book
    if (total === undefined) return
    const allowed = thresholds(book, touching)
    const theta = allowed.at(-1) as bigint
    if (book.waiting.size === 0) book.waitingUnder = theta
    // A queue is looked at when something happens to its customer, not when a policy is set; θ may also be what it was once more.
    else if (allowed.length > 1 || book.waitingUnder !== theta) book.waitingUnder = NO_THETA
    if (book.waiting.size === 0 || book.waitingUnder === NO_THETA) return
    const [first] = [...book.waiting.values()].toSorted((a, b) => (a.waitNo ?? 0) - (b.waitNo ?? 0))
    const before = total.outstandingMinor + total.pendingMinor
    const crosses = before + costOf(first as PaymentRow) >= theta
    const worthwhile = total.pendingMinor === 0n || 2n * total.outstandingMinor >= theta
    if (before === 0n || !crosses)
      broken('a payment waits for nothing', `${host} ${customer}: ${before} of ${theta}`, hex(first!.prId))
    else if (total.collectingMinor === 0n && total.outstandingMinor > 0n && worthwhile)
      broken('a crossing without a collection', `${host} ${customer}: ${before} of ${theta}`, hex(first!.prId))
  }

  const checkServed = (customer: string, book: Book, { before, customerBefore, arrived }: Touch): void => {
    const served = arrived.find(({ state }) => state !== 'refused' && state !== 'expired')
    if (served === undefined) return
    const id = hex(served.prId)
    if (before !== undefined && before.suspendedAtMs !== 0 && book.total?.suspendedAtMs !== 0)
      broken('a suspended customer was served', `${host} ${customer}`, id)
    const row = book.customer
    if (row === undefined || customerBefore === undefined) return
    if (row.state !== 'active' && customerBefore.state !== 'active')
      broken('a customer was served whose account is not open', `${host} ${customer}: ${row.state}`, id)
    if (row.pinLockedAtMs !== 0 && customerBefore.pinLockedAtMs !== 0)
      broken('a customer was served whose PIN is locked', `${host} ${customer}`, id)
    if (row.deviceLostAtMs !== undefined && customerBefore.deviceLostAtMs !== undefined)
      broken('a lost device was served', `${host} ${customer}`, id)
  }

  return {
    readings,
    payment,
    offset: (customer, minor) => {
      touch(customer)
      bookOf(customer).offsetMinor += minor
    },
    customerOf: (customer) => books.get(customer)?.customer,
    settle: (judge) => {
      for (const [customer, touching] of touched) {
        const book = bookOf(customer)
        checkSums(customer, book)
        if (!judge) continue
        checkBound(customer, book, touching)
        checkQueue(customer, book, touching)
        checkCollections(customer, book, touching)
        checkWaiting(customer, book, touching)
        checkServed(customer, book, touching)
      }
    },
    clear: () => touched.clear(),
    atRest: () => {
      for (const [customer, { total, running, waiting }] of books) {
        if (total?.pendingMinor !== undefined && total.pendingMinor !== 0n)
          broken('not at rest', `${host} ${customer}: ${total.pendingMinor} pending`)
        if (running.size > 0) broken('not at rest', `${host} ${customer}: a collection runs`)
        if (waiting.size > 0) broken('not at rest', `${host} ${customer}: ${waiting.size} payments wait`)
      }
    },
  }
}
