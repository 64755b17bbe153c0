/** What a host's ledger and the network's reports say before and after, and what must be right whatever liars signed. */
import { equalBytes, toHex } from '../../../protocol/bytes.ts'
import type { PaymentLine, PaymentsPage } from '../../runtime/reports.ts'
import { journalTable, type JournalRow } from '../../runtime/runtime-tables.ts'
import { checkNetwork, READING_ORDER, type Check } from '../../verify/check-network.ts'
import { HOSTS } from '../testing/world.ts'
import { isLiar, OF_LIARS, type FuzzNetwork } from './network.ts'

/** The host's rows, but those that say how far time and journal have come. */
export const rowsOf = ({ sim }: FuzzNetwork, id: string): ReadonlyMap<string, Uint8Array> =>
  new Map(
    [...sim.host(id).store().rows()].flatMap(({ table, key, value }) =>
      table === '~head' ? [] : [[`${table} ${key}`, value]],
    ),
  )
/** What was asked for because of a frame. */
export const HARMLESS = /^~(?:credentials|credential-ids) /
/** A data center is asked by those who met a key that nobody knows. */
export const ANSWERED = /^~(?:credentials|credential-ids|seen|seen-prune|journal|frames) /
export const differences = (
  before: ReadonlyMap<string, Uint8Array>,
  after: ReadonlyMap<string, Uint8Array>,
  harmless: RegExp,
): readonly string[] => {
  const changes: string[] = []
  for (const [name, value] of before) {
    const now = after.get(name)
    if (now === undefined) changes.push(`gone ${name}`)
    else if (now !== value && !equalBytes(now, value)) changes.push(`changed ${name}`)
  }
  for (const name of after.keys()) if (!before.has(name) && !harmless.test(name)) changes.push(`added ${name}`)
  return changes
}

export const reportsOf = ({ world, sim }: FuzzNetwork): ReadonlyMap<string, string> =>
  new Map(
    sim
      .hosts()
      .map(({ id }) => [
        id,
        JSON.stringify(world.report(id), (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)),
      ]),
  )

/** Has a liar's message done something at an honest host under an id that belongs to this payment of the honest CPP? */
export const isForestalled = ({ sim }: FuzzNetwork, prId: string): boolean => {
  const journalOf = (id: string): readonly JournalRow[] =>
    [...sim.host(id).host().read.scan(journalTable, [])].map(([, row]) => row)
  const own = journalOf(HOSTS.cpp)
  const ids = new Set([prId])
  // Its hold and orders are named beside its own ids, its notice and invoice beside its request.
  for (const row of own) {
    const named = row.ids.map(toHex)
    if (named.includes(prId)) named.forEach((id) => ids.add(id))
  }
  return sim
    .hosts()
    .filter(({ id }) => !isLiar(id))
    .flatMap(({ id }) => journalOf(id))
    .some(
      ({ from, ids: named }) => from !== undefined && OF_LIARS.includes(from) && named.some((id) => ids.has(toHex(id))),
    )
}

/** The checks of `verify` that fail though no liar is spoken of. */
export const honestChecks = (network: FuzzNetwork): readonly string[] => {
  const { world, sim } = network
  const hosts = sim
    .hosts()
    .toSorted((a, b) => READING_ORDER.indexOf(a.identity.role) - READING_ORDER.indexOf(b.identity.role))
  const reports = hosts.map(({ id }) => world.report(id))
  const payments = new Map<string, readonly PaymentLine[]>()
  for (const { id, host } of hosts) {
    const lines: PaymentLine[] = []
    for (let after: string | undefined; ;) {
      const answer = host().ask('payments', after === undefined ? {} : { after })
      if (!answer.ok) break
      const page = answer.value as PaymentsPage
      lines.push(...page.payments)
      after = page.next
      if (after === undefined) break
    }
    payments.set(id, lines)
  }
  const of = (lines: ReadonlyMap<string, readonly PaymentLine[]>, is: (name: string) => boolean): readonly Check[] =>
    checkNetwork(reports, lines, { quiet: true }).filter(({ name }) => is(name))
  const mine = honestLines(network, payments)
  // Sums are of all that a host has; what its payments have in common with others' is asked of those that no liar made.
  return [
    ...of(payments, (name) => !isJoined(name)),
    ...of(mine, (name) => isJoined(name) && name !== 'payments undecided by the reports'),
  ]
    .filter(
      ({ ok, name, detail = '' }) => !ok && !OF_LIARS.some((liar) => name.includes(liar) || detail.includes(liar)),
    )
    .map(({ name, left, right, detail = '' }) => `${name}: ${left} is not ${right} ${detail}`)
}
const isJoined = (name: string): boolean =>
  name.startsWith('payments ') || name.startsWith('invoices ') || name.startsWith('confirmed payments ')

/** Without the payments of liars: those that the honest CPP does not know, unless they are said to be its own. */
const honestLines = (
  { roles }: FuzzNetwork,
  payments: ReadonlyMap<string, readonly PaymentLine[]>,
): ReadonlyMap<string, readonly PaymentLine[]> => {
  const known = new Set(payments.get(HOSTS.cpp)?.map(({ pnId }) => pnId))
  const isOf = (name: string | undefined): boolean => name !== undefined && OF_LIARS.includes(name)
  return new Map(
    [...payments].map(([node, lines]) => [
      node,
      lines.filter((line) => {
        if (isLiar(node) || isOf(line.customer) || isOf(line.payee) || isOf(line.cpp) || isOf(line.mpp)) return false
        const role = roles.get(node)
        return (role !== 'mpp' && role !== 'merchant') || known.has(line.pnId) || line.cpp === HOSTS.cpp
      }),
    ]),
  )
}
