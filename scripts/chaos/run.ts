/**
 * Does faults to a running fleet and mends every one, whatever happens meanwhile: what was begun is in a list until it is mended, and
 * the list is empty when this returns. Processes are found by what the supervisor says of them at that moment.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Fleet } from '../fleet/client.ts'
import { connectHost } from '../fleet/host-client.ts'
import { runsWith } from '../fleet/leftovers.ts'
import { cutsFor } from './partition.ts'
import type { Action } from './plan.ts'

/** What is being done, as it is done. `failed`: it could not be done, which is no failure of the network. */
export type ChaosEvent = {
  readonly atMs: number
  readonly what: 'fault' | 'mended' | 'failed'
  readonly fault: Action['fault']
  readonly target: string
  readonly detail?: string
}

export type ChaosRun = {
  readonly done: number
  readonly failed: number
  /** What could not be mended, with why: somebody must look. */
  readonly unmended: readonly string[]
  readonly interrupted: boolean
}

/** Undoes what was done. */
type Mend = () => Promise<void>

export const runChaos = async (
  fleet: Fleet,
  actions: readonly Action[],
  { onEvent, signal }: { readonly onEvent: (event: ChaosEvent) => void; readonly signal?: AbortSignal },
): Promise<ChaosRun> => {
  const startedAt = performance.now()
  const unmended: string[] = []
  let done = 0
  let failed = 0
  const tell = (what: ChaosEvent['what'], { fault, target }: Action, detail?: string): void =>
    onEvent({
      atMs: Math.round(performance.now() - startedAt),
      what,
      fault,
      target,
      ...(detail === undefined ? {} : { detail }),
    })
  const one = async (action: Action): Promise<void> => {
    let mend: Mend
    try {
      mend = await begin(fleet, action)
    } catch (error) {
      failed += 1
      tell('failed', action, (error as Error).message)
      return
    }
    done += 1
    tell('fault', action, detailOf(action))
    await pass(action.lastsMs, signal)
    try {
      await mend()
      tell('mended', action)
    } catch (error) {
      unmended.push(`${action.fault} of ${action.target}: ${(error as Error).message}`)
    }
  }
  const running: Promise<void>[] = []
  for (const action of actions) {
    await pass(action.atMs - (performance.now() - startedAt), signal)
    if (signal?.aborted === true) break
    running.push(one(action))
  }
  await Promise.all(running)
  return { done, failed, unmended, interrupted: signal?.aborted === true }
}

const detailOf = ({ fault, lastsMs, kind, count }: Action): string =>
  fault === 'drop' ? `the next ${count} of ${kind}` : `for ${(lastsMs / 1000).toFixed(1)} s`

/** Waits, but not for one who was told to stop. */
const pass = async (ms: number, signal: AbortSignal | undefined): Promise<void> => {
  if (ms <= 0) return
  await delay(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined)
}

const begin = (fleet: Fleet, action: Action): Promise<Mend> => {
  switch (action.fault) {
    case 'kill':
      return kill(fleet, action.target)
    case 'pause':
      return pause(fleet, action.target)
    case 'partition':
      return partition(fleet, action.target)
    case 'server-restart':
      return killServer(fleet)
    case 'drop':
      return drop(fleet, action)
  }
}

const pidOf = async (fleet: Fleet, id: string): Promise<number> => {
  const { hosts } = await fleet.supervisor('status')
  const found = hosts.find((host) => host.id === id)
  if (found?.pid === undefined || found.state !== 'ready') throw new Error(`${id} is ${found?.state ?? 'not there'}`)
  return found.pid
}

const kill = async (fleet: Fleet, id: string): Promise<Mend> => {
  await pidOf(fleet, id)
  await fleet.supervisor('kill-host', { id })
  return () => startAgain(fleet, id)
}

/** While the broker or its data centers are gone as well a start may fail: it is tried again. @throws Error of the last try */
const startAgain = async (fleet: Fleet, id: string): Promise<void> => {
  for (let tries = 1; ; tries++) {
    try {
      await fleet.supervisor('start-host', { id })
      return
    } catch (error) {
      if (tries === START_TRIES) throw error
      await delay(AGAIN_MS)
    }
  }
}
const START_TRIES = 4
const AGAIN_MS = 1_000

const pause = async (fleet: Fleet, id: string): Promise<Mend> => {
  const pid = await pidOf(fleet, id)
  process.kill(pid, 'SIGSTOP')
  return async () => {
    // Another process may have the number by now, if somebody killed this one.
    if (await runsWith(pid, fleet.directory.config(id))) process.kill(pid, 'SIGCONT')
  }
}

const killServer = async (fleet: Fleet): Promise<Mend> => {
  const { natsPid } = await fleet.supervisor('status')
  if (natsPid === 0) throw new Error('the broker is not there')
  process.kill(natsPid, 'SIGKILL')
  return async () => {
    await fleet.supervisor('restart-nats', { kill: true })
  }
}

const drop = async (fleet: Fleet, { target, kind, count }: Action): Promise<Mend> => {
  await pidOf(fleet, target)
  await armFault(fleet, target, { 'drop-next': { kind, count } })
  // One that was killed meanwhile has forgotten it.
  return () => armFault(fleet, target, { disarm: true }).catch(() => undefined)
}

const armFault = async (fleet: Fleet, id: string, args: Readonly<Record<string, unknown>>): Promise<void> => {
  const host = await connectHost(fleet.directory, id)
  try {
    await host.builtin('fault', args)
  } finally {
    host.close()
  }
}

const partition = async (fleet: Fleet, target: string): Promise<Mend> => {
  const cuts = cutsFor(target, fleet.plan.hosts)
  const healOne = async (id: string): Promise<void> => {
    try {
      await armFault(fleet, id, { cut: [] })
    } catch (error) {
      const { hosts } = await fleet.supervisor('status')
      // One that ended meanwhile has forgotten it.
      if (hosts.some((host) => host.id === id && host.state === 'ready')) throw error
    }
  }
  const heal = async (): Promise<void> => void (await Promise.all(cuts.map(({ id }) => healOne(id))))
  for (const { id } of cuts) await pidOf(fleet, id)
  try {
    await Promise.all(cuts.map(({ id, from }) => armFault(fleet, id, { cut: from })))
  } catch (error) {
    await heal()
    throw error
  }
  return heal
}

const POLL_MS = 100

/** Resolves when every host of the fleet serves. @throws Error naming those that do not, when the time is up */
export const untilServing = async (fleet: Fleet, timeoutMs: number): Promise<void> => {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const { hosts } = await fleet.supervisor('status')
    const down = hosts.filter(({ state }) => state !== 'ready' && state !== 'revoked')
    if (down.length === 0) return
    if (performance.now() > deadline)
      throw new Error(
        down
          .map(({ id, state, problem }) => `${id} is ${state}${problem === undefined ? '' : ` (${problem})`}`)
          .join(', '),
      )
    await delay(POLL_MS)
  }
}
