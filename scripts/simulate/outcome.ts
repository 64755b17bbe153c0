/** What there is to see of a simulated network that stands still: is it at rest, what was each payment's way, what does all of it hash to. */
import { createHash } from 'node:crypto'
import { toHex } from '../../protocol/bytes.ts'
import { hopOf } from '../../nodes/runtime/builtins.ts'
import { traceJournal } from '../../nodes/runtime/journal.ts'
import { isFinalState, type PaymentLine, type PaymentsPage, type Report } from '../../nodes/runtime/reports.ts'
import { headTable } from '../../nodes/runtime/runtime-tables.ts'
import type { SimHost, SimNetwork } from '../../nodes/runtime/sim-network.ts'
import { createStaged } from '../../nodes/runtime/staged.ts'
import { checkNetwork, READING_ORDER } from '../../nodes/verify/check-network.ts'
import { toJson } from '../cli/output.ts'
import { tracePayment, type Traced, type TraceHop } from '../fleet/trace.ts'
import type { Finding } from './observed.ts'

const isRunning = ({ host }: SimHost): boolean => (host() as unknown) !== undefined

const answerOf = (host: SimHost, read: string, args: Readonly<Record<string, unknown>> = {}): unknown => {
  const answer = host.host().ask(read, args)
  if (!answer.ok) throw new Error(`${host.id} ${read}: ${answer.error.code}`)
  return answer.value
}

const KEEPS_PAYMENTS: ReadonlySet<string> = new Set(['customer', 'cpp', 'mpp', 'merchant'])
const paymentsOf = (host: SimHost): readonly PaymentLine[] => {
  const lines: PaymentLine[] = []
  if (!isRunning(host) || !KEEPS_PAYMENTS.has(host.identity.role)) return lines
  for (let after: string | undefined; ;) {
    const page = answerOf(host, 'payments', after === undefined ? {} : { after }) as PaymentsPage
    lines.push(...page.payments)
    if (page.next === undefined) return lines
    after = page.next
  }
}

/** What `semops verify` would say of a network at rest. */
const unmet = (sim: SimNetwork): readonly Finding[] => {
  const hosts = READING_ORDER.flatMap((role) => sim.hosts().filter(({ identity }) => identity.role === role))
  const reports = hosts.map((host) => answerOf(host, 'report') as Report)
  const payments = new Map(
    hosts
      .filter(({ identity }) => KEEPS_PAYMENTS.has(identity.role))
      .map((host) => [host.id, paymentsOf(host)] as const),
  )
  return checkNetwork(reports, payments, { quiet: true })
    .filter(({ ok }) => !ok)
    .map((check) => ({ rule: check.name, detail: toJson(check) }))
}

/** Every host up, nothing under way at any, every payment decided, and all that `verify` holds against each other equal. */
export const isAtRest = (sim: SimNetwork): boolean =>
  sim.hosts().every((host) => isRunning(host) && host.host().inFlight() === 0) &&
  sim
    .hosts()
    .filter(({ identity }) => identity.role === 'cpp')
    .every((host) => paymentsOf(host).every(({ state }) => isFinalState(state))) &&
  unmet(sim).length === 0

const MOST_NAMED = 8
const finding = (rule: string, items: readonly string[]): readonly Finding[] => {
  if (items.length === 0) return []
  const named = items.slice(0, MOST_NAMED).join('; ')
  return [{ rule, detail: items.length > MOST_NAMED ? `${named} … ${items.length}` : named }]
}

/** What the workload waits for. */
export const unanswered = (open: readonly string[]): readonly Finding[] => finding('what was started is answered', open)

export const whyNotAtRest = (sim: SimNetwork): readonly Finding[] => {
  const down = sim.hosts().filter((host) => !isRunning(host))
  const busy = sim.hosts().filter((host) => isRunning(host) && host.host().inFlight() > 0)
  return [
    ...finding(
      'every host is up',
      down.map(({ id }) => id),
    ),
    ...finding(
      'nothing is under way',
      busy.map((host) => `${host.id} ${toJson(host.host().depths())}`),
    ),
    ...(down.length === 0 ? unmet(sim) : []),
  ]
}

/** @param payment any of its ids, as hex */
export const traceOf = async (sim: SimNetwork, payment: string): Promise<readonly TraceHop[]> => {
  const sources: readonly Traced[] = sim.hosts().map((host) => ({
    id: host.id,
    payments: async () => paymentsOf(host),
    trace: async (query) => {
      const read = createStaged(host.store())
      const { id, role } = host.identity
      const journalled = traceJournal(read, read.get(headTable, 'head')?.seq ?? 0, query)
      const wanted = new Set(query.ids)
      const passed = isRunning(host)
        ? host
            .host()
            .passing()
            .filter(({ ids }) => ids.some((one) => wanted.has(toHex(one))))
        : []
      return [...journalled, ...passed].map((entry) => hopOf({ id, role }, entry))
    },
  }))
  return (await tracePayment(sources, payment)).hops
}

/** The same for the same seed and the same code: of every row of every ledger, and of the number of events. */
export const hashOf = (sim: SimNetwork, events: number): string => {
  const hash = createHash('blake2b512').update(`${events}`)
  for (const { id, store } of sim.hosts()) {
    hash.update(id)
    for (const { table, key, value } of store().rows()) {
      hash.update(`\n${table} ${key.length} ${value.length} `)
      hash.update(key, 'latin1')
      hash.update(value)
    }
  }
  return toHex(new Uint8Array(hash.digest())).slice(0, 64)
}
