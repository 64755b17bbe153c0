/**
 * Many seeds over all cores: a process each, which takes the next seed when it has finished one. Invariant: what is reported does not
 * depend on how many processes there are, or which of them took what.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { FAULT_NAMES, type FaultName } from './faults.ts'
import type { ShapeName } from './network.ts'
import { simulate, type SimulationResult } from './simulate.ts'

export type SeedOptions = {
  readonly payments: number
  readonly faults: readonly FaultName[]
  readonly engine?: 'real' | 'stand-in' | undefined
  readonly shape?: ShapeName | undefined
}

export type SeedsResult = {
  readonly ok: boolean
  /** The first. */
  readonly seed: string
  readonly seeds: number
  readonly payments: number
  /** Of the seeds' hashes, in order. */
  readonly hash: string
  readonly perSecond: number
  readonly violations: readonly FailedSeed[]
}
export type FailedSeed = {
  readonly seed: string
  readonly rule: string
  readonly detail: string
  readonly step: number
  readonly atMs: number
  /** One line that plays it again. */
  readonly replay: string
}

/** The line that plays a seed again. */
export const replayLine = (seed: string, { payments, faults, engine, shape }: SeedOptions): string =>
  [
    `semops simulate --seed ${seed} --payments ${payments}`,
    ...(faults.length === FAULT_NAMES.length ? [] : [`--faults ${faults.length === 0 ? 'none' : faults.join(',')}`]),
    ...(engine === undefined ? [] : [`--engine ${engine}`]),
    ...(shape === undefined ? [] : [`--shape '${shape}'`]),
  ].join(' ')

/** A seed as its own process plays it, or this one. */
export const playSeed = (seed: string, { payments, faults, engine, shape }: SeedOptions): Promise<SimulationResult> =>
  simulate({
    seed,
    payments,
    faults,
    ...(engine === undefined ? {} : { engine }),
    ...(shape === undefined ? {} : { shape }),
  })

/** A simulation that hangs is a finding too. */
const MAX_SEED_MS = 10 * 60_000

type Played = Pick<SimulationResult, 'seed' | 'payments' | 'hash' | 'violations'>

/**
 * @param first the number of the first seed; the others follow
 * @param options.processes default: as many as there are cores; 0 plays all in this process, one after the other
 */
export const simulateSeeds = async (
  first: number,
  seeds: number,
  options: SeedOptions & {
    readonly processes?: number
    readonly onSeed?: (played: Played) => void
    readonly signal?: AbortSignal
  },
): Promise<SeedsResult> => {
  const { processes = Math.min(availableParallelism(), seeds), onSeed, signal } = options
  const began = performance.now()
  const played = new Map<number, Played>()
  let next = first
  const take = (): number | undefined => (next < first + seeds && signal?.aborted !== true ? next++ : undefined)
  const note = (at: number, result: Played): void => {
    played.set(at, result)
    onSeed?.(result)
  }

  const here = async (): Promise<void> => {
    for (let at = take(); at !== undefined; at = take()) note(at, await playSeed(String(at), options))
  }
  const apart = async (): Promise<void> => {
    let child: ChildProcess | undefined
    for (let at = take(); at !== undefined; at = take()) {
      child ??= fork(fileURLToPath(new URL('./seed-process.js', import.meta.url)))
      const result = await playIn(child, String(at), options, signal)
      // It is gone, or in no state to go on.
      if (!('hash' in result)) {
        child.kill('SIGKILL')
        child = undefined
      }
      if (signal?.aborted !== true) note(at, 'hash' in result ? result : lost(String(at), result.reason))
    }
    child?.kill()
  }
  await (processes === 0 ? here() : Promise.all(Array.from({ length: processes }, apart)))

  const inOrder = [...played].toSorted(([a], [b]) => a - b).map(([, one]) => one)
  const hash = createHash('blake2b512')
  for (const one of inOrder) hash.update(one.hash)
  const payments = inOrder.reduce((sum, one) => sum + one.payments, 0)
  const violations = inOrder.flatMap(({ seed, violations: [found] }) =>
    found === undefined
      ? []
      : [
          {
            seed,
            rule: found.rule,
            detail: found.detail,
            step: found.step,
            atMs: found.atMs,
            replay: replayLine(seed, options),
          },
        ],
  )
  return {
    ok: violations.length === 0 && inOrder.length === seeds,
    seed: String(first),
    seeds: inOrder.length,
    payments,
    hash: hash.digest('hex').slice(0, 64),
    perSecond: Math.round((payments / ((performance.now() - began) / 1_000)) * 10) / 10,
    violations,
  }
}

const lost = (seed: string, detail: string): Played => ({
  seed,
  payments: 0,
  hash: '',
  violations: [{ rule: 'a simulation ends', detail, step: 0, atMs: 0 }],
})

const playIn = (
  child: ChildProcess,
  seed: string,
  options: SeedOptions,
  signal: AbortSignal | undefined,
): Promise<Played | { readonly reason: string }> =>
  new Promise((resolve) => {
    const end = (result: Played | { readonly reason: string }): void => {
      clearTimeout(timer)
      child.off('message', onMessage)
      child.off('exit', onExit)
      signal?.removeEventListener('abort', onAbort)
      resolve(result)
    }
    const onMessage = (message: unknown): void => end(message as Played | { readonly reason: string })
    const onExit = (code: number | null, by: string | null): void =>
      end({ reason: `its process ended with ${code ?? by ?? 'nothing'}` })
    const onAbort = (): void => end({ reason: 'interrupted' })
    const timer = setTimeout(() => end({ reason: `not over after ${MAX_SEED_MS / 60_000} minutes` }), MAX_SEED_MS)
    child.on('message', onMessage)
    child.on('exit', onExit)
    signal?.addEventListener('abort', onAbort)
    const { payments, faults, engine, shape } = options
    child.send({ seed, options: { payments, faults, engine, shape } })
  })
