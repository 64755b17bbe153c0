/**
 * A network of real processes under random faults while people pay, for minutes: payments go on, everybody who was told an end was
 * told the one that the ledgers hold, the money is where it must be, and no process grows.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { MemoryUse } from '../../nodes/runtime/memory-use.ts'
import type { Check } from '../../nodes/verify/check-network.ts'
import { realmsOf } from '../chaos/partition.ts'
import { FAULTS, planChaos, type Fault } from '../chaos/plan.ts'
import { runChaos, untilServing, type ChaosEvent } from '../chaos/run.ts'
import { startFaultFleet, type FaultFleet } from '../e2e/fault-fleet.ts'
import { judgePayments } from '../e2e/payment-judge.ts'
import { startStream } from '../e2e/payment-stream.ts'
import { twoRealms, twoRealmsOrder } from '../e2e/two-realms.ts'
import { openFleet, type Fleet } from '../fleet/client.ts'
import { connectHost } from '../fleet/host-client.ts'
import type { PayOrder } from '../fleet/pay.ts'
import { judgeMemory, type HostMemory, type Sample } from './memory.ts'

const CUSTOMERS = 6
/** Accounts that ten minutes do not empty, and a payee who rejects. Hosts of `ro` are not killed: their memory is watched. */
const NETWORK = twoRealms({
  name: 'soak',
  customers: CUSTOMERS,
  balance: '9000000.00',
  settlementMinor: 5_000,
  payoutMinor: 2_000,
  mostAgeMs: 3_000,
  clearingMs: 2_000,
  payees: { ro: '{ payee: museum@ro, bank: ro-carpat, approval: { rule: reject-all } }' },
})
const NOT_KILLED = 'ro'

export type SoakOptions = {
  readonly minutes: number
  readonly seed: string
  /** Between two faults, on average. */
  readonly everyMs: number
  readonly faults: readonly Fault[]
  /** Payments under way at a time. */
  readonly lanes: number
  readonly onEvent: (event: ChaosEvent) => void
  readonly say: (what: string) => void
}

export type SoakResult = {
  readonly ok: boolean
  readonly seed: string
  readonly minutes: number
  readonly payments: number
  readonly perSecond: number
  /** How many payments ended how. */
  readonly ends: Readonly<Record<string, number>>
  readonly faults: Readonly<Record<string, number>>
  /** Faults that could not be done, because their host was not ready. */
  readonly notDone: number
  readonly unmended: readonly string[]
  /** Payments whose caller was told another end than the ledgers hold. */
  readonly toldWrongly: readonly string[]
  readonly checks: number
  readonly broken: readonly Check[]
  readonly memory: readonly HostMemory[]
}

const SAMPLE_MS = 10_000
/** For a payment to end, its hosts' deaths and pauses among it. */
const PATIENCE_MS = 180_000
const REST_MS = 120_000

/** Micro and macro, at home and abroad, now and then to who rejects. */
const orderOf = (i: number): PayOrder => {
  const amountMinor = i % 3 === 0 ? BigInt(1_200 + (i % 700)) : BigInt(40 + ((i * 37) % 500))
  const order = twoRealmsOrder(i, CUSTOMERS, amountMinor)
  return i % 12 === 7 ? { ...order, payee: 'museum@ro' } : order
}

/** @throws Error when the network does not come up, or a payment has no end */
export const soak = async (options: SoakOptions): Promise<SoakResult> => {
  await using net = await startFaultFleet(NETWORK)
  const fleet = await openFleet(net.directory.root)
  try {
    return await soakOn(net, fleet, options)
  } finally {
    fleet.close()
  }
}

const soakOn = async (net: FaultFleet, fleet: Fleet, options: SoakOptions): Promise<SoakResult> => {
  const { minutes, seed, everyMs, faults, lanes, say } = options
  const durationMs = minutes * 60_000
  const watch = watchMemory(fleet)
  const stream = startStream(net, lanes, orderOf, PATIENCE_MS)
  const { hosts } = fleet.plan
  const notKilled = new Set(hosts.filter(({ realm }) => realm === NOT_KILLED).map(({ id }) => id))
  const actions = planChaos({ seed, durationMs, everyMs, faults, hosts, realms: realmsOf(hosts), notKilled })
  const startedAt = performance.now()
  const done: Record<string, number> = {}
  const run = await runChaos(fleet, actions, {
    onEvent: (event) => {
      if (event.what === 'fault') done[event.fault] = (done[event.fault] ?? 0) + 1
      options.onEvent(event)
    },
  })
  await delay(Math.max(0, durationMs - (performance.now() - startedAt)))
  const paidForMs = performance.now() - startedAt
  const payments = stream.ended()
  say(`${payments} payments; every host is to serve, and every payment to end`)
  await untilServing(fleet, REST_MS)
  const made = await stream.stop()
  const samples = await watch.stop()
  const judge = judgePayments(net)
  await judge.untilDecidedEverywhere(REST_MS)
  const toldWrongly = await judge.toldWrongly(made)
  const { checks, quiet } = await net.verify()
  const broken = checks.filter(({ ok }) => !ok)
  const memory = judgeMemory(samples)
  const ends: Record<string, number> = {}
  for (const { result } of made.values()) ends[result.outcome] = (ends[result.outcome] ?? 0) + 1
  return {
    ok:
      quiet &&
      broken.length === 0 &&
      toldWrongly.length === 0 &&
      run.unmended.length === 0 &&
      memory.every(({ flat }) => flat),
    seed,
    minutes,
    payments,
    perSecond: Math.round((10_000 * payments) / paidForMs) / 10,
    ends,
    faults: Object.fromEntries(Object.keys(FAULTS).map((fault) => [fault, done[fault] ?? 0])),
    notDone: run.failed,
    unmended: run.unmended,
    toldWrongly,
    checks: checks.length,
    broken,
    memory,
  }
}

const heldBy = async (fleet: Fleet, id: string): Promise<number> => {
  const host = await connectHost(fleet.directory, id)
  try {
    return (await host.builtin<MemoryUse>('memory')).heldBytes
  } finally {
    host.close()
  }
}

/** Samples every process of the fleet until `stop`. */
const watchMemory = (fleet: Fleet): { readonly stop: () => Promise<readonly Sample[]> } => {
  const samples: Sample[] = []
  const ended = new AbortController()
  const watching = (async (): Promise<void> => {
    while (!ended.signal.aborted) {
      const { hosts } = await fleet.supervisor('status')
      await Promise.all(
        hosts.map(async ({ id, pid }) => {
          // One that is down, or is just being ended, is not asked; one that stands still answers when it goes on.
          const bytes = pid === undefined ? undefined : await heldBy(fleet, id).catch(() => undefined)
          if (pid !== undefined && bytes !== undefined) samples.push({ id, pid, atMs: performance.now(), bytes })
        }),
      )
      await delay(SAMPLE_MS, undefined, { signal: ended.signal }).catch(() => undefined)
    }
  })()
  // Whoever stops it hears of it.
  watching.catch(() => undefined)
  return {
    stop: async () => {
      ended.abort()
      await watching
      return samples
    },
  }
}
