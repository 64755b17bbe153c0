/**
 * A fleet that faults are done to: its directory outlives its supervisor, so that it can go down and come up again, and every
 * question opens a connection of its own, since the host that was asked last may have died meanwhile.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { FaultPoints } from '../../nodes/runtime/builtins.ts'
import { DEATH_MESSAGE, type Death, type DieAt } from '../../nodes/runtime/faults.ts'
import type { StepName } from '../../nodes/runtime/steps.ts'
import { openFleet, type Fleet } from '../fleet/client.ts'
import { fleetDirectory, readJson, writeJson, type FleetDirectory } from '../fleet/directory.ts'
import { connectHost, type HostClient } from '../fleet/host-client.ts'
import { launch, prepareNetwork, type Launched } from '../fleet/launch.ts'
import type { Plan } from '../fleet/plan.ts'
import type { HostStatus } from '../fleet/state.ts'
import { stopFleet } from '../fleet/stop.ts'
import type { Verification } from '../fleet/verify.ts'
import { verifyAtRest } from '../testing/test-fleet.ts'

/** A host's own last word: where it died. `undefined` when it did not die as it was told. */
export type DiedAt = { readonly atMs: number; readonly point: Death; readonly steps: readonly StepName[] } | undefined

export type FaultFleet = AsyncDisposable & {
  readonly plan: Plan
  readonly directory: FleetDirectory
  /** A connection for as long as `act` runs. @throws whatever is thrown when the host does not run, or dies meanwhile */
  readonly withHost: <T>(id: string, act: (host: HostClient) => Promise<T>) => Promise<T>
  readonly statusOf: (id: string) => Promise<HostStatus>
  /** SIGKILL to its process. */
  readonly kill: (id: string) => Promise<void>
  /** Lets it die, as by SIGKILL, the `count`th time that it comes to this point of a commit. */
  readonly dieAt: (id: string, point: Death, count: number) => Promise<void>
  /** Lets it die at the first of these that it comes to; none disarms it. */
  readonly arm: (id: string, deaths: readonly DieAt[]) => Promise<void>
  /** What a host that is down is to die at from its next start on; none: at nothing. */
  readonly armStart: (id: string, deaths: readonly DieAt[]) => Promise<void>
  readonly faultPoints: (id: string, fromSeq?: number) => Promise<FaultPoints>
  /** Of a host that is down. */
  readonly diedAt: (id: string) => Promise<DiedAt>
  readonly statuses: () => Promise<readonly HostStatus[]>
  /** Whose PIN the fleet knows: a customer's, or a merchant host's for its refunds. */
  readonly pin: (owner: string) => Promise<string>
  /** Resolves when the supervisor has seen its process end. */
  readonly untilDead: (id: string) => Promise<void>
  /** Resolves when it serves, its payees are enrolled and its wallets unlocked again. */
  readonly start: (id: string) => Promise<void>
  /** SIGKILL to the nats-server, and another one on the same port. */
  readonly killBroker: () => Promise<void>
  readonly up: () => Promise<void>
  readonly down: () => Promise<void>
  /** Stops admissions, waits for rest, holds every ledger against the others. */
  readonly verify: () => Promise<Verification>
}

const POLL_MS = 25

/** Resolves when it holds. @throws Error saying `what` did not come, with what was seen last, when `ms` have passed */
export const eventually = async (
  what: string,
  ms: number,
  holds: () => Promise<boolean> | boolean,
  seen: () => string = () => '',
): Promise<void> => {
  const deadline = performance.now() + ms
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${ms / 1000} s ${seen()}`)
    await delay(POLL_MS)
  }
}

/** For a host to come to the point where it dies, and for the supervisor to see it. */
const DEATH_MS = 30_000

/** Starts the network of this text; resolves when everybody is enrolled. */
export const startFaultFleet = async (network: string): Promise<FaultFleet> => {
  const dir = await mkdtemp(join(tmpdir(), 'semops-faults-'))
  const directory = fleetDirectory(dir)
  let launched: Launched | undefined
  let fleet: Fleet | undefined
  const up = async (): Promise<void> => {
    launched = launch(directory, { detach: false, onMessage: () => undefined })
    await launched.ready
    fleet = await openFleet(dir)
  }
  const down = async (): Promise<void> => {
    fleet?.close()
    fleet = undefined
    await stopFleet(dir)
    await launched?.ended
    launched = undefined
  }
  const end = async (): Promise<void> => {
    if (launched !== undefined) await down().catch(() => undefined)
    await rm(dir, { recursive: true, force: true })
  }
  const running = (): Fleet => {
    if (fleet === undefined) throw new Error('the network is down')
    return fleet
  }
  const statuses = async (): Promise<readonly HostStatus[]> => (await running().supervisor('status')).hosts
  const statusOf = async (id: string): Promise<HostStatus> => {
    const found = (await statuses()).find((host) => host.id === id)
    if (found === undefined) throw new Error(`no host ${id}`)
    return found
  }
  try {
    const file = join(dir, 'given.yaml')
    await writeFile(file, network)
    await prepareNetwork(directory, file)
    await up()
  } catch (error) {
    await end()
    throw error
  }
  const withHost: FaultFleet['withHost'] = async (id, act) => {
    const host = await connectHost(directory, id)
    try {
      return await act(host)
    } finally {
      host.close()
    }
  }
  const fault = (id: string, args: Readonly<Record<string, unknown>>): Promise<void> =>
    withHost(id, async (host) => void (await host.builtin('fault', args)))
  return {
    plan: running().plan,
    directory,
    withHost,
    statuses,
    statusOf,
    kill: async (id) => {
      const { pid } = await statusOf(id)
      if (pid === undefined) throw new Error(`${id} is not running`)
      process.kill(pid, 'SIGKILL')
    },
    dieAt: (id, point, count) => fault(id, { 'die-at': { point, count } }),
    arm: (id, deaths) => fault(id, { disarm: true, ...(deaths.length === 0 ? {} : { 'die-at': deaths }) }),
    armStart: async (id, deaths) => {
      const { dieAt: _, ...config } = (await readJson<Record<string, unknown>>(directory.config(id))) ?? {}
      await writeJson(directory.config(id), deaths.length === 0 ? config : { ...config, dieAt: deaths })
    },
    faultPoints: (id, fromSeq = 1) => withHost(id, (host) => host.builtin<FaultPoints>('fault-points', { fromSeq })),
    diedAt: async (id) => lastWord(await readFile(directory.log(id), 'utf8')),
    pin: async (owner) => {
      const pin = await running().pin(owner)
      if (pin === undefined) throw new Error(`no PIN of ${owner}`)
      return pin
    },
    untilDead: (id) => eventually(`the end of ${id}`, DEATH_MS, async () => (await statusOf(id)).pid === undefined),
    start: async (id) => void (await running().supervisor('start-host', { id })),
    killBroker: async () => {
      const { natsPid } = await running().supervisor('status')
      process.kill(natsPid, 'SIGKILL')
      await running().supervisor('restart-nats', { kill: true })
    },
    up,
    down,
    verify: () => verifyAtRest(running()),
    [Symbol.asyncDispose]: end,
  }
}

type LastLine = {
  readonly time: number
  readonly msg?: string
  readonly point: Death
  readonly steps: readonly StepName[]
}
const lastWord = (log: string): DiedAt => {
  const line = log.trimEnd().split('\n').at(-1) ?? ''
  try {
    const { time: atMs, msg, point, steps } = JSON.parse(line) as LastLine
    return msg === DEATH_MESSAGE ? { atMs, point, steps } : undefined
  } catch {
    // Something else was written last.
    return undefined
  }
}
