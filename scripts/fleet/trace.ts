/**
 * One payment, hop by hop, from the journals of every host. Only the CPP's ledger joins what the customer's side knows of a
 * payment (its paymentId) with what the payee's side knows (pnId); so the ids are gathered there first, and then everybody is
 * asked for what bears any of them. Data centers keep no journal of what they route; they remember the latest of it.
 */
import type { Hop } from '../../nodes/runtime/builtins.ts'
import type { PaymentLine, PaymentsPage } from '../../nodes/runtime/reports.ts'
import type { Currency } from '../../protocol/amount.ts'
import { mapBounded } from './concurrency.ts'
import { reviveMoney } from './revive.ts'

export type TraceHop = Pick<Hop, 'node' | 'role' | 'atMs' | 'trigger' | 'event' | 'from' | 'refused'> & {
  /** The message's kind, or the name of the deadline, command or job that it came from. */
  readonly kind: string
  /** What this hop sent because of it: kind and next hop. */
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
  readonly hops: readonly TraceHop[]
}

/** What tracing asks of a host, running or not. */
export type TraceSource = {
  readonly id: string
  readonly role: string
  readonly trace: (ids: readonly string[]) => Promise<readonly Hop[]>
  /** The payment with this prId, pnId or txId, where this host keeps payments. */
  readonly find: (id: string) => Promise<PaymentLine | undefined>
}

const HOSTS_AT_ONCE = 8
/** One payment's ids lead to each other in a few steps: prId, pnId, txId, order ids. */
const MAX_ROUNDS = 3

/** @param id paymentId, pnId or txId, as 32 hex digits */
export const tracePayment = async (sources: readonly TraceSource[], id: string): Promise<Trace> => {
  const lines = (await mapBounded(sources, HOSTS_AT_ONCE, (source) => source.find(id))).filter(
    (line) => line !== undefined,
  )
  const known = await joinLines(sources, lines)
  const ids = new Set([id, ...known.flatMap(idsOf)])
  let hops: readonly Hop[] = []
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const before = ids.size
    hops = (await mapBounded(sources, HOSTS_AT_ONCE, (source) => source.trace([...ids]))).flat()
    // An order or hold of this payment bears ids of its own beside the payment's.
    for (const hop of hops) if (hop.ids.some((one) => ids.has(one))) for (const one of hop.ids) ids.add(one)
    if (ids.size === before) break
  }
  const first = <K extends keyof PaymentLine>(key: K): PaymentLine[K] | undefined =>
    known.map((line) => line[key]).find((value) => value !== undefined)
  const atCpp = known.find(({ prId, pnId }) => prId !== undefined && pnId !== undefined)
  return {
    paymentId: first('prId'),
    pnId: first('pnId'),
    txId: first('txId'),
    payee: first('payee'),
    amountMinor: first('amountMinor'),
    currency: first('currency'),
    state: (atCpp ?? known[0])?.state,
    hops: hops.toSorted((a, b) => a.atMs - b.atMs).map(shownHop),
  }
}

const idsOf = ({ prId, pnId, txId }: PaymentLine): readonly string[] =>
  [prId, pnId, txId].filter((id) => id !== undefined && id !== '') as readonly string[]

/** From one side's line to the other's: a txId is the merchant's and the CPP's. */
const joinLines = async (
  sources: readonly TraceSource[],
  lines: readonly PaymentLine[],
): Promise<readonly PaymentLine[]> => {
  const found = [...lines]
  for (const id of new Set(lines.flatMap(idsOf))) {
    if (lines.every((line) => idsOf(line).includes(id))) continue
    for (const source of sources) {
      const line = await source.find(id)
      if (line !== undefined) found.push(line)
    }
  }
  return found
}

const shownHop = ({ node, role, atMs, trigger, name, event, from, refused, sends }: Hop): TraceHop => ({
  node,
  role,
  atMs,
  trigger,
  kind: name,
  event,
  from,
  refused,
  sent: sends.map(({ kind, to }) => ({ kind, to })),
})

/** Pages of `payments` until one bears the id. */
export const findPayment = async (
  page: (after: string | undefined) => Promise<PaymentsPage>,
  id: string,
): Promise<PaymentLine | undefined> => {
  let after: string | undefined
  do {
    const { payments, next } = reviveMoney(await page(after))
    const line = payments.find((one) => idsOf(one).includes(id))
    if (line !== undefined) return line
    after = next
  } while (after !== undefined)
  return undefined
}
