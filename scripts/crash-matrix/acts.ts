/**
 * What people and operators do while hosts die, over and over: each act is a small story of its own that may be cut off anywhere. What
 * an act is refused is nothing to complain about here; what its being cut off may have broken, the judge finds.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { FaultFleet } from '../e2e/fault-fleet.ts'
import { HostRefusal, type HostClient } from '../fleet/host-client.ts'

export type Act = {
  readonly name: string
  /** How long after its end it begins anew. */
  readonly everyMs: number
  /** @throws whatever it was refused, or lost */
  readonly run: () => Promise<void>
}
export type ActCount = {
  readonly name: string
  readonly done: number
  readonly failed: number
  readonly lastError: string
}
export type Acting = {
  /** Lets what is under way end, and begins nothing more. */
  readonly stop: () => Promise<void>
}

export type Actor = {
  /** Acts each in a lane of its own, until it is stopped. */
  readonly start: (acts: readonly Act[]) => Acting
  readonly counts: () => readonly ActCount[]
}

const BREATH_MS = 100

export const createActor = (): Actor => {
  const counts = new Map<string, { done: number; failed: number; lastError: string }>()
  const countOf = (name: string) => {
    const found = counts.get(name) ?? { done: 0, failed: 0, lastError: '' }
    counts.set(name, found)
    return found
  }
  return {
    start: (acts) => {
      let stopping = false
      const pause = async (ms: number): Promise<void> => {
        const until = performance.now() + ms
        while (!stopping && performance.now() < until) await delay(BREATH_MS)
      }
      const lane = async ({ name, everyMs, run }: Act): Promise<void> => {
        while (!stopping) {
          const count = countOf(name)
          try {
            await run()
            count.done += 1
          } catch (error) {
            count.failed += 1
            count.lastError = (error as Error).message
          }
          await pause(everyMs)
        }
      }
      const lanes = Promise.all(acts.map(lane))
      return {
        stop: async () => {
          stopping = true
          await lanes
        },
      }
    },
    counts: () => [...counts].map(([name, count]) => ({ name, ...count })),
  }
}

/** What a host that dies, starts or is busy answers: it may well do later what it did not do now. */
const PASSING = new Set(['DISCONNECTED', 'STOPPED', 'PAUSED', 'BUSY', 'UNDECIDED'])
const isPassing = (error: unknown): boolean => !(error instanceof HostRefusal) || PASSING.has(error.code)
const AGAIN_MS = 150

/** Asked again while a host dies and comes back. @param ask gets what is left of the time, at least a second */
const again = async <T>(ms: number, ask: (leftMs: number) => Promise<T>): Promise<T> => {
  const deadline = performance.now() + ms
  for (;;) {
    try {
      return await ask(Math.max(1_000, deadline - performance.now()))
    } catch (error) {
      if (!isPassing(error) || performance.now() > deadline) throw error
      await delay(AGAIN_MS)
    }
  }
}

/** A command that is given again while its host dies and comes back. @throws HostRefusal, or Error when `ms` have passed */
export const insist = <T>(
  net: Pick<FaultFleet, 'withHost'>,
  host: string,
  name: string,
  args: Readonly<Record<string, unknown>> = {},
  ms = 30_000,
): Promise<T> => again(ms, (leftMs) => net.withHost(host, (client) => client.command<T>(name, args, leftMs)))

/** A question, asked again while its host dies and comes back. @throws Error when `ms` have passed */
export const inquire = <T>(
  net: Pick<FaultFleet, 'withHost'>,
  host: string,
  read: string,
  args: Readonly<Record<string, unknown>> = {},
  ms = 30_000,
): Promise<T> => again(ms, () => net.withHost(host, (client) => client.read<T>(read, args)))

/** Whatever is to be done at a host, done again while it dies and comes back: it must bear being done twice. @throws Error when `ms` have passed */
export const persist = <T>(
  net: Pick<FaultFleet, 'withHost'>,
  host: string,
  act: (client: HostClient) => Promise<T>,
  ms = 30_000,
): Promise<T> => again(ms, () => net.withHost(host, act))
