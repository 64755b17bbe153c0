/**
 * What became of payments around faults, by every host that has to do with them: whether they are decided, whether what people were told
 * is what the ledgers hold, and whether they were decided in time.
 */
import { isFinalState, type PaymentLine } from '../../nodes/runtime/reports.ts'
import { paymentsFromJson } from '../../nodes/verify/from-json.ts'
import { allPages } from '../fleet/node-source.ts'
import type { HostRole } from '../fleet/plan.ts'
import { eventually, type FaultFleet } from './fault-fleet.ts'
import type { Ordered } from './payment-stream.ts'

/** A payment as its CPP keeps it. */
export type CppPayment = {
  readonly state: string
  readonly expiresAtMs: number
  readonly postingAtMs?: number
  readonly decidedAtMs?: number
}

export type PaymentJudge = {
  readonly hostsOf: (...roles: readonly HostRole[]) => readonly string[]
  /** Every payment of the hosts of a role. */
  readonly linesOf: (role: HostRole) => Promise<readonly PaymentLine[]>
  readonly cppPayment: (at: { readonly cpp: string; readonly paymentId: string }) => Promise<CppPayment>
  readonly untilDecidedEverywhere: (ms: number) => Promise<void>
  /** What callers saw confirmed and CPP, MPP or merchant holds otherwise, or the other way round. */
  readonly toldWrongly: (made: ReadonlyMap<string, Ordered>) => Promise<readonly string[]>
  /**
   * Payments decided later than that, by the CPPs' own rows, and what is not decided at all.
   * @param latestOf the latest moment for this payment of this CPP; undefined: whenever
   */
  readonly decidedLate: (
    made: Pick<ReadonlySet<string>, 'has'>,
    latestOf: (cpp: string, payment: CppPayment) => number | undefined,
  ) => Promise<readonly string[]>
}

type Undecided = Readonly<Record<string, number>>

export const judgePayments = (net: Pick<FaultFleet, 'plan' | 'withHost'>): PaymentJudge => {
  const hostsOf: PaymentJudge['hostsOf'] = (...roles) =>
    net.plan.hosts.filter(({ role }) => roles.includes(role)).map(({ id }) => id)

  const linesOf: PaymentJudge['linesOf'] = async (role) =>
    (
      await Promise.all(
        hostsOf(role).map((id) =>
          net.withHost(id, (host) =>
            allPages(role, async (after) => paymentsFromJson(await host.builtin('payments', { after }))),
          ),
        ),
      )
    ).flat()

  const cppPayment: PaymentJudge['cppPayment'] = ({ cpp, paymentId }) =>
    net.withHost(
      cpp,
      async (host) => (await host.read<{ readonly payment: CppPayment }>('payment', { paymentId })).payment,
    )

  /** Payments without an end, by host and state. */
  const undecided = async (): Promise<readonly string[]> =>
    (
      await Promise.all(
        hostsOf('customer', 'merchant', 'cpp', 'mpp').map(async (id) => {
          const { undecided: states } = await net.withHost(id, (host) =>
            host.builtin<{ readonly undecided: Undecided }>('report'),
          )
          return Object.entries(states).map(([state, count]) => `${id}: ${count} ${state}`)
        }),
      )
    ).flat()

  return {
    hostsOf,
    linesOf,
    cppPayment,
    untilDecidedEverywhere: async (ms) => {
      let left: readonly string[] = []
      await eventually(
        'every payment decided at every node',
        ms,
        async () => (left = await undecided()).length === 0,
        () => left.join(', '),
      )
    },
    toldWrongly: async (made) => {
      const [cpps, mpps, merchants] = [await linesOf('cpp'), await linesOf('mpp'), await linesOf('merchant')]
      const byPnId = (lines: readonly PaymentLine[]) => new Map(lines.map((line) => [line.pnId, line]))
      const atCpp = new Map(cpps.map((line) => [line.prId, line]))
      const [atMpp, atMerchant] = [byPnId(mpps), byPnId(merchants)]
      return [...made].flatMap(([paymentId, { order, result }]) => {
        const line = atCpp.get(paymentId)
        const held = [line, atMpp.get(line?.pnId), atMerchant.get(line?.pnId)]
        const isHeld = (one: PaymentLine | undefined): boolean =>
          one?.state === 'confirmed' && one.amountMinor === order.amountMinor
        const agrees =
          result.outcome === 'confirmed' ? held.every(isHeld) : held.every((one) => one?.state !== 'confirmed')
        return agrees ? [] : [`${paymentId} told ${result.outcome}, held ${held.map((one) => one?.state).join(', ')}`]
      })
    },
    decidedLate: async (made, latestOf) => {
      const late: string[] = []
      for (const { prId, cpp } of await linesOf('cpp')) {
        if (cpp === undefined || prId === undefined || !made.has(prId)) continue
        const payment = await cppPayment({ cpp, paymentId: prId })
        const { state, expiresAtMs, decidedAtMs } = payment
        const latest = latestOf(cpp, payment)
        const inTime = decidedAtMs !== undefined && (latest === undefined || decidedAtMs <= latest)
        if (!isFinalState(state) || !inTime)
          late.push(`${prId} ${state} at ${decidedAtMs}, expiry ${expiresAtMs}, at the latest ${latest}`)
      }
      return late
    },
  }
}
