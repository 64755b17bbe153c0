/**
 * One payment, hop by hop, from the journals of every host. Only the CPP's ledger joins what the customer's side knows of a
 * payment (its paymentId) with what the payee's side knows (pnId), so its line is found first, and then everybody is asked for
 * what bears any of its ids. Data centers keep no journal of what they route; they remember the latest of it while they run.
 */
import type { Hop } from '../../nodes/runtime/builtins.ts'
import type { PaymentLine } from '../../nodes/runtime/reports.ts'
import type { Currency } from '../../protocol/amount.ts'
import { payeeAddress } from '../../protocol/ids.ts'
import { mapBounded } from './concurrency.ts'
import type { NodeSource, TraceQuery } from './node-source.ts'

export type TraceHop = Pick<Hop, 'node' | 'role' | 'atMs' | 'trigger' | 'event' | 'from' | 'refused'> & {
  /** The message's kind, or the name of the deadline, command or job. */
  readonly kind: string
  /** What this host sent because of it: kind and next hop. */
  readonly sent: readonly { readonly kind: string; readonly to: string }[]
}
export type Trace = {
  readonly paymentId: string | undefined
  readonly pnId: string | undefined
  readonly txId: string | undefined
  readonly payee: string | undefined
  readonly amountMinor: bigint | undefined
  readonly currency: Currency | undefined
  readonly state: string | undefined
  /** By time; of one host in the order of its journal. */
  readonly hops: readonly TraceHop[]
}

const HOSTS_AT_ONCE = 8
const MINUTE = 60_000
/** The hosts' clocks may differ, and a payment's first sign elsewhere comes with its registration of seconds before. */
const LEAD_MS = 5 * MINUTE

const idsOf = ({ prId, pnId, txId }: PaymentLine): readonly string[] =>
  [prId, pnId, txId].filter((id) => id !== undefined && id !== '') as readonly string[]

/** What a trace asks of a host. */
export type Traced = Pick<NodeSource, 'id' | 'payments' | 'trace'>

const ask = async (sources: readonly Traced[], query: TraceQuery): Promise<readonly Hop[]> =>
  (await mapBounded(sources, HOSTS_AT_ONCE, (source) => source.trace(query))).flat()

/**
 * @param id paymentId, pnId or txId, as 32 hex digits
 * @returns without hops when nobody knows the id
 */
export const tracePayment = async (sources: readonly Traced[], id: string): Promise<Trace> => {
  const first = await ask(sources, { ids: [id], fromMs: 0, toMs: Number.MAX_SAFE_INTEGER })
  if (first.length === 0) return NOTHING
  const holders = new Set(first.map(({ node }) => node))
  const lines = (
    await mapBounded(
      sources.filter((source) => holders.has(source.id)),
      HOSTS_AT_ONCE,
      (source) => source.payments(),
    )
  ).flat()
  const own = ownLines(lines, id)
  const ids = new Set([id, ...own.flatMap(idsOf)])
  const others = new Set(lines.filter((line) => !idsOf(line).some((one) => ids.has(one))).flatMap(idsOf))
  const since = { fromMs: Math.min(...first.map(({ atMs }) => atMs)) - LEAD_MS, toMs: Number.MAX_SAFE_INTEGER }
  const direct = await ask(sources, { ids: [...ids], ...since })
  // Orders and holds bear ids of their own beside the payment's; a collection may also name payments that waited for it.
  const related = new Set([...ids, ...direct.flatMap((hop) => hop.ids.filter((one) => !others.has(one)))])
  const hops = related.size === ids.size ? direct : await ask(sources, { ids: [...related], ...since })
  const of = <K extends keyof PaymentLine>(key: K): PaymentLine[K] | undefined =>
    own.map((line) => line[key]).find((value) => value !== undefined)
  const payee = of('payee')
  return {
    paymentId: of('prId'),
    pnId: of('pnId'),
    txId: of('txId'),
    payee: payee === undefined ? undefined : payeeAddress(payee),
    amountMinor: of('amountMinor'),
    currency: of('currency'),
    state: of('state'),
    hops: hops.toSorted((a, b) => a.atMs - b.atMs).map(shownHop),
  }
}

const NOTHING: Trace = {
  paymentId: undefined,
  pnId: undefined,
  txId: undefined,
  payee: undefined,
  amountMinor: undefined,
  currency: undefined,
  state: undefined,
  hops: [],
}

/** Lines of the payment with this id, the CPP's first: it alone bears all ids. */
const ownLines = (lines: readonly PaymentLine[], id: string): readonly PaymentLine[] => {
  const found = lines.filter((line) => idsOf(line).includes(id))
  const joining = found.find(({ prId, pnId }) => prId !== undefined && pnId !== undefined)
  return joining === undefined ? found : [joining, ...found.filter((line) => line !== joining)]
}

const shownHop = ({ node, role, atMs, trigger, name, event, from, refused, sends }: Hop): TraceHop => ({
  node,
  role,
  kind: name,
  atMs,
  trigger,
  event,
  from,
  refused,
  sent: sends.map(({ kind, to }) => ({ kind, to })),
})
