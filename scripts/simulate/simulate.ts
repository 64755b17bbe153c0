/**
 * The whole network in one process, on virtual time and seeded chance: the nodes' own code, real envelopes, a workload, faults, and
 * judges who look after every event. The same seed gives the same history to the byte, so that a failure is a line to replay.
 */
import { loadEngine } from '../../protocol/engines/load.ts'
import type { SimNetwork } from '../../nodes/runtime/sim-network.ts'
import type { TraceHop } from '../fleet/trace.ts'
import { createBooks } from './books.ts'
import { createChance } from './chance.ts'
import { createFaults, type FaultName } from './faults.ts'
import { createHosts } from './hosts.ts'
import { createJudges } from './judges.ts'
import { createKernel } from './kernel.ts'
import { createKeys } from './keys.ts'
import { foundationOf, launch, pinKeysOf, SHAPE_NAMES, type ShapeName } from './network.ts'
import type { Observer, Told, Violation } from './observed.ts'
import { overhear, type Overheard } from './overhear.ts'
import { hashOf, isAtRest, traceOf, unanswered, whyNotAtRest } from './outcome.ts'
import { drawSettings } from './settings.ts'
import { watchedLedgers } from './sim-store.ts'
import { standInEngine } from './stand-in-engine.ts'
import { createWire } from './wire.ts'
import { createWorkload } from './workload.ts'
import type { Topology, World } from './world.ts'

export type SimulationOptions = {
  readonly seed: string
  readonly payments: number
  /** Default: all. */
  readonly faults?: readonly FaultName[]
  /** Default: real for one seed in fifty. */
  readonly engine?: 'real' | 'stand-in'
  /** Default: by the seed. */
  readonly shape?: ShapeName
  /** Who judges. Default: {@link allJudges}. */
  readonly observers?: typeof allJudges
  readonly onProgress?: (made: number, simulatedMs: number) => void
}

export type SimulationResult = {
  readonly ok: boolean
  readonly seed: string
  readonly shape: ShapeName
  readonly engine: 'real' | 'stand-in'
  readonly payments: number
  /** Of every row of every ledger at the end, and of the number of events. */
  readonly hash: string
  /** Payments a second of the real world; the only figure that differs between two runs of a seed. */
  readonly perSecond: number
  readonly events: number
  readonly simulatedMs: number
  readonly violations: readonly Violation[]
  /** Of the payment that the first violation with one names, from the journals of all hosts. */
  readonly trace: readonly TraceHop[]
}

/**
 * The books and the wire.
 * @param overheard what the hosts encrypt
 * @param pinKeys of the customers of the topology
 */
export const allJudges = (
  topology: Topology,
  overheard: Overheard,
  pinKeys: ReadonlyMap<string, Uint8Array>,
): readonly Observer[] => [createBooks(topology), createWire(topology, overheard, pinKeys)]

/** Within this simulated time after the last fault everything must be decided and at rest. */
const REST_WITHIN_MS = 20 * 60_000
/** Within this everything must have been started. */
const MAKE_WITHIN_MS = 4 * 60 * 60_000
const START_WITHIN_MS = 60_000
const LOOK_EVERY_MS = 1_000
const REAL_ENGINE_SHARE = 1 / 50

export const simulate = async (options: SimulationOptions): Promise<SimulationResult> => {
  const { seed, payments } = options
  const began = performance.now()
  const draw = createChance(`${seed} simulation`)
  const drawnShape = draw.pick(SHAPE_NAMES)
  const drawnReal = draw.chance(REAL_ENGINE_SHARE)
  const shape = options.shape ?? drawnShape
  const engine = options.engine ?? (drawnReal ? 'real' : 'stand-in')
  const foundation = await foundationOf(shape, engine === 'real' ? loadEngine() : standInEngine)
  const { topology, endedAtMs: startMs } = foundation
  const heard = overhear(foundation.engine)
  const pinKeys = await pinKeysOf(topology, foundation.engine)
  const settings = drawSettings(createChance(`${seed} settings`))

  let network: SimNetwork | undefined = undefined
  const built = (): SimNetwork => {
    if (network === undefined) throw new Error('the network is not there yet')
    return network
  }
  const kernel = createKernel(
    {
      nextDueAtMs: () => built().network.nextDueAtMs(),
      deliverNext: () => built().network.deliverNext(),
    },
    startMs,
    (ms) => built().setTime(ms),
    (error) => judges.found({ rule: 'nothing throws', detail: textOf(error) }),
  )
  const sinceStart = (): number => kernel.now() - startMs
  const judges = createJudges((options.observers ?? allJudges)(topology, heard.overheard, pinKeys), () => ({
    step: kernel.steps(),
    atMs: sinceStart(),
  }))
  const hosts = createHosts({
    kernel,
    network: built,
    chance: createChance(`${seed} hosts`),
    pace: { stepMs: [0.01, 0.5], jobMs: [0.1, 20] },
    onStarted: judges.started,
    onCrashed: judges.crashed,
    onBroken: (id, error) => judges.found({ rule: 'a host starts again', detail: `${id}: ${textOf(error)}` }),
  })
  const faults = createFaults({
    kernel,
    hosts,
    network: built,
    topology,
    chance: createChance(`${seed} faults`),
    allowed: options.faults,
    found: judges.found,
  })
  const ledgers = watchedLedgers({
    kernel,
    chance: createChance(`${seed} disks`),
    judges,
    slowness: faults.diskSlowness,
    onCommitted: faults.onCommitted,
  })
  network = await launch(
    { ...foundation, engine: heard.engine },
    {
      seed,
      settings,
      ledger: (host) => ledgers(host, foundation.ledgers),
      runJob: hosts.runJob,
      onWork: hosts.wake,
      onFatal: faults.onFatal,
      onSend: faults.onSend,
      onPublish: (message) => {
        const origin = faults.origin()
        faults.onPublish(message, origin)
        judges.published({ ...message, origin })
      },
    },
  )
  for (const id of hosts.all()) {
    judges.started(id)
    hosts.wake(id)
  }

  const world: World = {
    seed,
    topology,
    draws: (name) => createChance(`${seed} ${name}`),
    nowMs: kernel.now,
    after: (delayMs, act) => void kernel.after(delayMs, act),
    isUp: hosts.isUp,
    ask: hosts.ask,
    command: hosts.command,
    faultsAreOver: faults.areOver,
    policyOf: (host) => {
      const running = hosts.running(host)
      return running === undefined ? undefined : (JSON.parse(running.policyJson()) as unknown)
    },
    setPolicy: (host, policy) => hosts.whileUp(host, () => built().host(host).host().setPolicy(policy)),
    ...createKeys({ network, hosts, topology, now: kernel.now, onRevoked: faults.onRevoked }),
  }
  const workload = createWorkload(world, { payments, tell: (fact: Told) => judges.told(fact) })

  /** Until `done`, something is found, or the time is over. */
  const until = async (what: string, done: () => boolean, withinMs: number): Promise<void> => {
    const end = kernel.now() + withinMs
    let looked = 0
    await kernel.run(() => {
      judges.check()
      if (judges.violations().length > 0) return true
      if (kernel.now() >= end) {
        judges.found({ rule: 'everything comes to its end', detail: what })
        unanswered(workload.open()).forEach(judges.found)
        return true
      }
      if (kernel.now() < looked) return false
      looked = kernel.now() + LOOK_EVERY_MS
      options.onProgress?.(workload.made(), sinceStart())
      return done()
    })
  }
  const broken = (): boolean => judges.violations().length > 0

  let unlocking = topology.customers.length
  for (const { id: customer, host, cpp, pin } of topology.customers)
    void hosts.command(host, 'unlock', { customer, cpp, pin }).then(() => (unlocking -= 1))
  await until(
    'the network starts',
    () => unlocking === 0 && hosts.all().every((id) => hosts.running(id)?.ready() === true),
    START_WITHIN_MS,
  )
  if (!broken()) {
    workload.start()
    faults.start()
    await until('the workload is started', () => workload.made() >= payments || workload.done(), MAKE_WITHIN_MS)
  }
  faults.stop()
  if (!broken()) {
    await until('the network comes to rest', () => workload.done() && isAtRest(built()), REST_WITHIN_MS)
    if (!broken()) judges.atRest()
    else whyNotAtRest(built()).forEach(judges.found)
  }
  const payment = judges.violations().find((one) => one.payment !== undefined)?.payment

  const seconds = (performance.now() - began) / 1_000
  return {
    ok: !broken(),
    seed,
    shape,
    engine,
    payments: workload.made(),
    hash: hashOf(built(), kernel.steps()),
    perSecond: Math.round((workload.made() / seconds) * 10) / 10,
    events: kernel.steps(),
    simulatedMs: Math.round(sinceStart()),
    violations: judges.violations(),
    trace: payment === undefined ? [] : await traceOf(built(), payment),
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error))
