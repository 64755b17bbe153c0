/**
 * The auditor judged: a history of real nodes is seen without a word, and with one row of it altered by hand, or left out, or told
 * otherwise, the finding names the rule that this breaks.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import * as cpp from '../../nodes/cpp/state.ts'
import * as wallet from '../../nodes/customer/state.ts'
import { createBooks } from './books.ts'
import type { Finding, Observer, RowChange, Told } from './observed.ts'
import { simulate } from './simulate.ts'
import { ALTERATIONS, type Alteration, type Altered, type Rows } from './testing/alterations.ts'
import type { HostRole, Topology } from './world.ts'

type Committed = {
  readonly type: 'committed'
  readonly host: string
  readonly batch: number
  readonly changes: readonly RowChange[]
}
type Seen =
  | Committed
  | { readonly type: 'flushed'; readonly host: string; readonly batch: number }
  | { readonly type: 'told'; readonly fact: Told }

type History = {
  readonly topology: Topology
  readonly seen: readonly Seen[]
  /** Of each host, the batch with which its ledger began. */
  readonly beginnings: ReadonlySet<Seen>
}
const histories: History[] = []

/** @throws Error when the nodes themselves broke a rule */
const recorded = async (seed: string): Promise<History> => {
  const seen: Seen[] = []
  const begun = new Map<string, Seen>()
  let topology: Topology | undefined
  const recorder: Observer = {
    committed: (host, batch, changes) => {
      const one: Seen = { type: 'committed', host, batch, changes }
      if (!begun.has(host)) begun.set(host, one)
      seen.push(one)
    },
    flushed: (host, batch) => void seen.push({ type: 'flushed', host, batch }),
    told: (fact) => void seen.push({ type: 'told', fact }),
    check: () => [],
  }
  const { violations } = await simulate({
    seed,
    payments: 40,
    faults: [],
    engine: 'stand-in',
    shape: 'two realms, two intermediaries',
    observers: (at) => {
      topology = at
      return [recorder]
    },
  })
  expect(violations).toEqual([])
  return { topology: topology as unknown as Topology, seen, beginnings: new Set(begun.values()) }
}

/** So many seeds that there is a row for each alteration. */
beforeAll(async () => {
  for (let seed = 0; seed < MAX_SEEDS; seed++) {
    histories.push(await recorded(`a history for the auditor ${seed}`))
    if (ALTERATIONS.every(historyFor) && withDeposit() !== undefined) return
  }
  const lacking = ALTERATIONS.filter((one) => historyFor(one) === undefined)
  throw new Error(`no history has a row for: ${lacking.map(({ rule, what }) => `${rule}, ${what}`).join('; ')}`)
}, 300_000)
const MAX_SEEDS = 12

const historyFor = (one: Alteration): History | undefined =>
  histories.find((history) =>
    history.seen
      .filter(isOf(history, one.role))
      .some(({ changes }) => changes.some((change) => altered(one, change) !== undefined)),
  )
const withDeposit = (): History | undefined =>
  histories.find(({ seen }) => seen.some((one) => one.type === 'told' && one.fact.type === 'deposited'))

const hear = (books: Observer, seen: Seen): void => {
  if (seen.type === 'committed') books.committed?.(seen.host, seen.batch, seen.changes)
  else if (seen.type === 'flushed') books.flushed?.(seen.host, seen.batch)
  else books.told?.(seen.fact)
}
const rules = (findings: readonly Finding[]): readonly string[] => [...new Set(findings.map(({ rule }) => rule))]

test('a history of real nodes breaks no rule', () => {
  const [{ topology, seen: history }] = histories as [History]
  const books = createBooks(topology)
  for (const seen of history) {
    hear(books, seen)
    expect(books.check()).toEqual([])
  }
  expect(books.atRest?.()).toEqual([])
})

test('what a crash takes back is taken back in the books: the same batch again is no news', () => {
  const [{ topology, seen: history }] = histories as [History]
  const books = createBooks(topology)
  let lost = 0
  const flushed = new Map<string, number>()
  for (const seen of history) {
    hear(books, seen)
    // A crash takes everything that is not on disk: here the one batch that came since.
    if (seen.type === 'flushed') flushed.set(seen.host, seen.batch)
    else if (seen.type === 'committed' && flushed.get(seen.host) === seen.batch - 1) {
      books.lost?.(seen.host, seen.changes.toReversed())
      hear(books, seen)
      lost += 1
    }
    expect(books.check()).toEqual([])
  }
  expect(lost).toBeGreaterThan(100)
  expect(books.atRest?.()).toEqual([])
})

const altered = ({ table, alter }: Alteration, change: RowChange): Altered | undefined => {
  if (change.table !== table.name || change.after === undefined) return undefined
  const before = change.before === undefined ? undefined : table.decode(change.before)
  return alter({ before, after: table.decode(change.after), key: change.key } as Rows<never>, change)
}
/** Batches of the simulation by hosts of a role. */
const isOf = ({ topology, beginnings }: History, role: HostRole): ((seen: Seen) => seen is Committed) => {
  const hosts = new Set(topology.hosts.filter((one) => one.role === role).map(({ id }) => id))
  return (seen): seen is Committed => seen.type === 'committed' && !beginnings.has(seen) && hosts.has(seen.host)
}

/** The history with the first change that fits altered. @returns what is found by then */
const alteredBy = (alteration: Alteration): readonly Finding[] => {
  const { role, table } = alteration
  const history = historyFor(alteration)
  if (history === undefined) throw new Error('no history has such a row')
  const fits = isOf(history, role)
  const books = createBooks(history.topology)
  for (const seen of history.seen) {
    if (!fits(seen)) {
      hear(books, seen)
      continue
    }
    let found = false
    const changes = seen.changes.flatMap((change): readonly RowChange[] => {
      const instead = found ? undefined : altered(alteration, change)
      if (instead === undefined) return [change]
      found = true
      if (instead === 'left out') return []
      const { row, and: beside = [], first } = instead
      if (first !== undefined) hear(books, { ...seen, changes: [first] })
      return [row === undefined ? change : { ...change, after: table.encode(row) }, ...beside]
    })
    hear(books, { ...seen, changes })
    if (found) return books.check()
  }
  throw new Error('the history has no such row')
}

describe('one row altered by hand breaks the rule that it should', () => {
  test.each(ALTERATIONS)('$rule: $what', (alteration) => {
    expect(rules(alteredBy(alteration))).toContain(alteration.rule)
  })
})

describe('at rest', () => {
  /** The whole history, some of it heard otherwise. */
  const atRest = (otherwise: (seen: Seen) => readonly Seen[]): readonly string[] => {
    const { topology, seen: all } = withDeposit() as History
    const books = createBooks(topology)
    const found: Finding[] = []
    for (const seen of all) for (const one of otherwise(seen)) hear(books, one)
    found.push(...books.check(), ...(books.atRest?.() ?? []))
    return rules(found)
  }

  test('a deposit that nobody was told of', () => {
    let left = 0
    const heard = atRest((seen) =>
      seen.type === 'told' && seen.fact.type === 'deposited' && left++ === 0 ? [] : [seen],
    )
    expect(heard).toEqual(['told what no ledger says'])
  })
  test('a payment told confirmed that was not', () => {
    const heard = atRest((seen) =>
      seen.type === 'told' &&
      seen.fact.type === 'paid' &&
      seen.fact.outcome !== 'confirmed' &&
      seen.fact.prId !== undefined
        ? [{ ...seen, fact: { ...seen.fact, outcome: 'confirmed' } }]
        : [seen],
    )
    expect(heard).toEqual(['told what no ledger says'])
  })
  test('a payment told refused that was confirmed', () => {
    const heard = atRest((seen) =>
      seen.type === 'told' && seen.fact.type === 'paid' && seen.fact.outcome === 'confirmed'
        ? [{ ...seen, fact: { ...seen.fact, outcome: 'refused' } }]
        : [seen],
    )
    expect(heard).toEqual(['told what no ledger says'])
  })
  test('a payment that a wallet never heard the end of', () => {
    const fits = isOf(withDeposit() as History, 'customer')
    const heard = atRest((seen) => {
      if (!fits(seen)) return [seen]
      const changes = seen.changes.filter(
        ({ table, after }) =>
          table !== wallet.payments.name || after === undefined || wallet.payments.decode(after).state !== 'confirmed',
      )
      return [{ ...seen, changes }]
    })
    expect(heard).toContain('undecided at rest')
    expect(heard).toContain('confirmed, and a party does not know')
  })
  test('a deposit that went to another account', () => {
    const fits = isOf(withDeposit() as History, 'cpp')
    let moved = 0
    const heard = atRest((seen) => {
      if (!fits(seen)) return [seen]
      const changes = seen.changes.map((change) => {
        if (change.table !== cpp.orders.name || change.after === undefined || change.before === undefined) return change
        const row = cpp.orders.decode(change.after)
        if (row.purpose !== 'collection' || row.state !== 'booked' || moved++ > 0) return change
        return { ...change, after: cpp.orders.encode({ ...row, operatorAccount: 'hu-bank:somebody' }) }
      })
      return [{ ...seen, changes }]
    })
    expect(moved).toBeGreaterThan(0)
    expect(heard.toSorted()).toEqual(['money lost', 'money made'])
  })
})
