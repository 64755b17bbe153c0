/**
 * Drives the hosts of a simulation: each is stepped when it has work or something falls due, dies and comes back, and answers who asks
 * it. Invariant: a host that is down or stands still does nothing and says nothing.
 */
import type { Answer, Host } from '../../nodes/runtime/host-types.ts'
import type { SimNetwork } from '../../nodes/runtime/sim-network.ts'
import type { Chance } from './chance.ts'
import type { Kernel } from './kernel.ts'

/** How quick the machines are, in milliseconds. */
export type Pace = {
  /** From having work to the step. */
  readonly stepMs: readonly [least: number, most: number]
  readonly jobMs: readonly [least: number, most: number]
}

export type Hosts = {
  readonly wake: (id: string) => void
  readonly isUp: (id: string) => boolean
  readonly all: () => readonly string[]
  /** @param keptBatches how much of what was not flushed survives. Nothing when it is down already. */
  readonly crash: (id: string, keptBatches?: number) => void
  /** Nothing when it is up. */
  readonly restart: (id: string) => void
  /** It is not stepped for so long: SIGSTOP. */
  readonly freeze: (id: string, forMs: number) => void
  readonly isFrozen: (id: string) => boolean
  readonly thaw: (id: string) => void
  readonly command: (
    id: string,
    name: string,
    args?: Readonly<Record<string, unknown>>,
    withinMs?: number,
  ) => Promise<Answer | undefined>
  /** What a running host is asked for; undefined when it is down or dies first. */
  readonly whileUp: <T>(id: string, work: () => Promise<T>) => Promise<T | undefined>
  readonly ask: (id: string, read: string, args?: Readonly<Record<string, unknown>>) => Answer | undefined
  /** While it is up. */
  readonly running: (id: string) => Host | undefined
  readonly runJob: (id: string, work: Promise<unknown>) => Promise<unknown>
}

/** Commits that are under way: asked again after this. */
const SHORTEST_WAIT_MS = 5
const LONGEST_STANDSTILL_MS = 250
const COMMAND_WITHIN_MS = 120_000

type State = {
  up: boolean
  frozenUntilMs: number
  /** When it is stepped next. */
  stepAtMs: number
  cancelStep: () => void
  /** Who waits for an answer. */
  readonly waiting: Set<() => void>
}

export const createHosts = (deps: {
  readonly kernel: Kernel
  readonly network: () => SimNetwork
  readonly chance: Chance
  readonly pace: Pace
  readonly onStarted: (id: string) => void
  readonly onCrashed: (id: string) => void
  /** It could not be started again. */
  readonly onBroken: (id: string, error: unknown) => void
}): Hosts => {
  const { kernel, network, chance, pace } = deps
  const states = new Map<string, State>()
  const stateOf = (id: string): State => {
    let state = states.get(id)
    if (state === undefined) {
      state = {
        up: true,
        frozenUntilMs: 0,
        stepAtMs: Number.POSITIVE_INFINITY,
        cancelStep: () => {},
        waiting: new Set(),
      }
      states.set(id, state)
    }
    return state
  }
  const hostOf = (id: string): Host => network().host(id).host()

  const stepAfter = (id: string, state: State, delayMs: number): void => {
    const atMs = Math.max(kernel.now() + delayMs, state.frozenUntilMs)
    if (atMs >= state.stepAtMs) return
    state.cancelStep()
    state.stepAtMs = atMs
    state.cancelStep = kernel.after(atMs - kernel.now(), () => {
      state.stepAtMs = Number.POSITIVE_INFINITY
      if (kernel.now() < state.frozenUntilMs) stepAfter(id, state, 0)
      else step(id, state)
    })
  }
  const step = (id: string, state: State): void => {
    const host = hostOf(id)
    if (host.step()) wake(id)
    else if (!host.stopped()) {
      const nowMs = host.nowMs()
      // Its clock stands still while it is ahead of the wall.
      const aheadMs = Math.max(0, nowMs - kernel.now() - network().host(id).wrongByMs())
      const waitMs = host.nextDueAtMs() - nowMs + Math.min(aheadMs, LONGEST_STANDSTILL_MS)
      stepAfter(id, state, Math.max(SHORTEST_WAIT_MS, waitMs))
    }
  }
  const wake = (id: string): void => {
    const state = stateOf(id)
    if (state.up) stepAfter(id, state, chance.between(...pace.stepMs))
  }

  const whileUp: Hosts['whileUp'] = (id, work) =>
    new Promise((resolve, reject) => {
      const state = stateOf(id)
      if (!state.up) {
        resolve(undefined)
        return
      }
      const died = (): void => resolve(undefined)
      state.waiting.add(died)
      work()
        .then(resolve, reject)
        .finally(() => void state.waiting.delete(died))
    })

  return {
    wake,
    isUp: (id) => stateOf(id).up,
    all: () =>
      network()
        .hosts()
        .map(({ id }) => id),
    crash: (id, keptBatches) => {
      const state = stateOf(id)
      if (!state.up) return
      state.up = false
      state.cancelStep()
      state.stepAtMs = Number.POSITIVE_INFINITY
      state.frozenUntilMs = 0
      kernel.wait(network().host(id).crash(keptBatches))
      deps.onCrashed(id)
      for (const died of state.waiting) died()
    },
    restart: (id) => {
      const state = stateOf(id)
      if (state.up) return
      state.up = true
      const started = network()
        .host(id)
        .restart()
        .then(
          () => {
            deps.onStarted(id)
            wake(id)
          },
          (error: unknown) => deps.onBroken(id, error),
        )
      kernel.wait(started)
    },
    freeze: (id, forMs) => {
      const state = stateOf(id)
      state.frozenUntilMs = Math.max(state.frozenUntilMs, kernel.now() + forMs)
    },
    isFrozen: (id) => kernel.now() < stateOf(id).frozenUntilMs,
    thaw: (id) => {
      stateOf(id).frozenUntilMs = 0
      wake(id)
    },
    command: (id, name, args = {}, withinMs = COMMAND_WITHIN_MS) =>
      whileUp(
        id,
        () =>
          new Promise<Answer | undefined>((resolve) => {
            const cancel = kernel.after(withinMs, () => resolve(undefined))
            void hostOf(id)
              .command(name, args)
              .then((answer) => {
                cancel()
                resolve(answer)
              })
          }),
      ),
    whileUp,
    ask: (id, read, args = {}) => (stateOf(id).up ? hostOf(id).ask(read, args) : undefined),
    running: (id) => (stateOf(id).up ? hostOf(id) : undefined),
    runJob: (_id, work) => {
      kernel.wait(work)
      return work.then(
        (result) =>
          new Promise((resolve) => {
            kernel.after(chance.between(...pace.jobMs), () => resolve(result))
          }),
      )
    },
  }
}
