/**
 * One run of the analysis: a workload through the real nodes, with everything counted that the paper compares. Invariant: no
 * figure is told of a run whose payments were not all confirmed, or whose ledgers do not agree at the end.
 */
import { loadEngine } from '../../protocol/engines/load.ts'
import { isGuestToken } from '../../protocol/ids.ts'
import { parseSubject } from '../../protocol/subjects.ts'
import type { Published } from '../../bus/simulated-bus.ts'
import type { BankReport, PaymentLine, PaymentsPage, Report } from '../../nodes/runtime/reports.ts'
import { checkNetwork, READING_ORDER, type Check } from '../../nodes/verify/check-network.ts'
import { countingEngine } from './counting-engine.ts'
import { exposureMeter, type Exposure } from './exposure.ts'
import { buildNetwork, customerId, payeeId, walletOf, type Command, type PaperNetwork, type Seals } from './network.ts'
import { BORDER_MINOR, CURRENCY, type Workload, type WorkloadPayment } from './workload.ts'

export type RunOptions = {
  readonly workload: Workload
  readonly intermediaries: 1 | 2
  readonly seals: Seals
  /** Every payment with M on top, so that each is a bank transfer of its own: SEMOPS without aggregation. */
  readonly macro?: boolean
  readonly cppPolicy?: object
  readonly onProgress?: (payments: number) => void
}

/** Counts of one run; those named `…PerThousand` of {@link perThousand} are these over the payments. */
export type RunResult = {
  readonly payments: number
  readonly volumeMinor: bigint
  readonly collections: number
  /** Orders that a bank booked for a processor. */
  readonly bankTransfers: {
    readonly collection: number
    readonly payment: number
    readonly settlement: number
    readonly payout: number
  }
  /** Orders of processors to banks: what a bank is asked to do. An order of many transfers is one. */
  readonly bankOrders: number
  /** Everything that a bank sends or is sent, other banks included. */
  readonly bankMessages: number
  readonly busMessages: number
  readonly bytes: number
  readonly signaturesMade: number
  readonly signaturesVerified: number
  /** Of the one process that runs every node, without the setting up. */
  readonly cpuMs: number
  readonly wallMs: number
  /** Messages by `<from role> <to role> <kind>`. */
  readonly links: ReadonlyMap<string, number>
  readonly exposure: Exposure
  /** From `pay` to the wallet's answer, in simulated milliseconds, of each payment in the order of the workload. */
  readonly latenciesMs: readonly number[]
  /** Debt of each customer at the end, by index. */
  readonly debts: ReadonlyMap<number, bigint>
  readonly checks: readonly Check[]
}

/** One hop within the network, and one to or from a bank: what a crossing payment waits for is two of these. */
const HOP_MS = 5
export const BANK_HOP_MS = 100

/** @throws Error when a payment is not confirmed */
export const runModel = async (options: RunOptions): Promise<RunResult> => {
  const { workload, macro = false } = options
  const { shape, payments } = workload
  const { engine, counts } = countingEngine(loadEngine())
  const traffic = createTraffic()
  const network = await buildNetwork({
    seed: `paper ${workload.seed}`,
    intermediaries: options.intermediaries,
    seals: options.seals,
    customers: shape.customers,
    merchants: shape.merchants,
    engine,
    hopMs: HOP_MS,
    bankHopMs: BANK_HOP_MS,
    onPublish: traffic.onPublish,
    ...(options.cppPolicy === undefined ? {} : { cppPolicy: options.cppPolicy }),
  })
  const exposure = exposureMeter(network, shape)
  const startMs = startOf(network, shape.waveMs)
  await network.until(startMs)
  traffic.reset()
  Object.assign(counts, { made: 0, verified: 0 })
  const latenciesMs: number[] = []
  let lookedAt = 0
  let cpuMs = 0
  let wallMs = 0
  const metered = async <T>(act: () => Promise<T>): Promise<T> => {
    const [cpu, wall] = [process.cpuUsage(), performance.now()]
    const done = await act()
    const { user, system } = process.cpuUsage(cpu)
    cpuMs += (user + system) / 1_000
    wallMs += performance.now() - wall
    return done
  }
  for (const wave of wavesOf(payments)) {
    const [first] = wave as [WorkloadPayment]
    await metered(() => network.until(startMs + first.atMs))
    if (Math.floor(first.atMs / LOOK_MS) !== lookedAt) {
      lookedAt = Math.floor(first.atMs / LOOK_MS)
      exposure.sampleAll(network.sim.now() - startMs)
    }
    const answers = await metered(() => network.commands(wave.map((payment) => payCommand(payment, macro))))
    answers.forEach((answer, at) => {
      const { outcome, startedAtMs, decidedAtMs } = answer as Ended
      if (outcome !== 'confirmed')
        throw new Error(`a payment ended as ${outcome}: ${JSON.stringify(wave[at], (_, v: unknown) => String(v))}`)
      latenciesMs.push(decidedAtMs - startedAtMs)
    })
    exposure.sample(
      network.sim.now() - startMs,
      wave.map(({ customer }) => customer),
    )
    options.onProgress?.(wave.length)
  }
  // To the end of the last day: what falls due within the time simulated is part of its cost.
  await metered(() => network.until(startMs + shape.days * DAY - 1))
  const debts = exposure.sampleAll(network.sim.now() - startMs)
  const figures = { ...traffic.figures(), signaturesMade: counts.made, signaturesVerified: counts.verified }
  const reports = reportsOf(network)
  const orders = reports
    .filter((report): report is BankReport => report.role === 'bank')
    .flatMap((report) => report.orders)
  const transfers = (purpose: string): number =>
    orders.filter((order) => order.purpose === purpose).reduce((sum, { count }) => sum + count, 0)
  const cpp = reports.find((report) => report.role === 'cpp')
  return {
    payments: payments.length,
    volumeMinor: workload.totalMinor,
    collections: cpp?.role === 'cpp' ? cpp.totals.reduce((sum, total) => sum + total.collections, 0) : 0,
    bankTransfers: {
      collection: transfers('collection'),
      payment: transfers('payment'),
      settlement: transfers('settlement'),
      payout: transfers('payout'),
    },
    ...figures,
    cpuMs,
    wallMs,
    exposure: exposure.figures(),
    latenciesMs,
    debts,
    checks: checkNetwork(reports, linesOf(network), { quiet: true }),
  }
}

const DAY = 86_400_000
/** How often every customer is looked at, beside those that have just paid: windows of a policy end no more often. */
const LOOK_MS = DAY / 4

type Ended = { readonly outcome: string; readonly startedAtMs: number; readonly decidedAtMs: number }

const payCommand = ({ customer, merchant, amountMinor }: WorkloadPayment, macro: boolean): Command => [
  walletOf(customer),
  'pay',
  {
    customer: customerId(customer),
    payee: payeeId(merchant),
    amountMinor: String(macro ? amountMinor + BORDER_MINOR : amountMinor),
    currency: CURRENCY,
  },
]

/** A whole day, so that windows of a policy fall together with waves. */
const startOf = ({ sim }: PaperNetwork, waveMs: number): number => {
  const grid = Math.max(DAY, waveMs)
  return Math.ceil(sim.now() / grid) * grid
}

export function* wavesOf(payments: readonly WorkloadPayment[]): Iterable<readonly WorkloadPayment[]> {
  for (let at = 0; at < payments.length;) {
    const { atMs } = payments[at] as WorkloadPayment
    let end = at
    while (payments[end]?.atMs === atMs) end += 1
    yield payments.slice(at, end)
    at = end
  }
}

const ORDERS: ReadonlySet<string> = new Set([
  'transfer-order',
  'bulk-transfer-order',
  'hold-order',
  'post-order',
  'void-order',
])

const createTraffic = () => {
  let messages = 0
  let bytes = 0
  let orders = 0
  let ofBanks = 0
  let links = new Map<string, number>()
  return {
    onPublish: ({ from, subject, data }: Published): void => {
      const parsed = parseSubject(subject)
      if (parsed === undefined) return
      const { kind, toRole } = parsed
      const fromRole = roleOf(from)
      messages += 1
      bytes += data.length
      if (toRole === 'bank' && ORDERS.has(kind)) orders += 1
      if (toRole === 'bank' || fromRole === 'bank') ofBanks += 1
      const link = `${fromRole} ${toRole} ${kind}`
      links.set(link, (links.get(link) ?? 0) + 1)
    },
    reset: (): void => {
      messages = 0
      bytes = 0
      orders = 0
      ofBanks = 0
      links = new Map()
    },
    figures: () => ({ busMessages: messages, bytes, bankOrders: orders, bankMessages: ofBanks, links }),
  }
}

const ROLE_OF_PREFIX = [
  ['hu-wallets', 'customer'],
  ['hu-shops', 'merchant'],
  ['hu-dc', 'dc'],
  ['hu-otp', 'cpp'],
  ['hu-cosmo', 'mpp'],
] as const
const roleOf = (host: string): string =>
  isGuestToken(host) ? 'guest' : (ROLE_OF_PREFIX.find(([prefix]) => host.startsWith(prefix))?.[1] ?? 'bank')

const ask = (network: PaperNetwork, id: string, name: string, args: Readonly<Record<string, unknown>>): unknown => {
  const answer = network.sim.host(id).host().ask(name, args)
  if (!answer.ok) throw new Error(`${id} ${name}: ${answer.error.code}`)
  return answer.value
}

const reportsOf = (network: PaperNetwork): readonly Report[] =>
  network.sim
    .hosts()
    .toSorted((a, b) => READING_ORDER.indexOf(roleIn(a)) - READING_ORDER.indexOf(roleIn(b)))
    .map(({ id }) => ask(network, id, 'report', {}) as Report)

const roleIn = ({ identity }: { readonly identity: { readonly role: string } }) =>
  identity.role as (typeof READING_ORDER)[number]

/** Every payment line of every host that has some. */
const linesOf = (network: PaperNetwork): ReadonlyMap<string, readonly PaymentLine[]> =>
  new Map(
    network.sim
      .hosts()
      .filter(({ identity }) => ['customer', 'merchant', 'mpp', 'cpp'].includes(identity.role))
      .map(({ id }) => {
        const lines: PaymentLine[] = []
        let after: string | undefined
        do {
          const page = ask(network, id, 'payments', after === undefined ? {} : { after }) as PaymentsPage
          lines.push(...page.payments)
          after = page.next
        } while (after !== undefined)
        return [id, lines] as const
      }),
  )
