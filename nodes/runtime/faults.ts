/**
 * Fault points that tests arm over the control socket, or in a host's configuration for what happens before the socket is there: a
 * message swallowed as the network would, a way to others on which nothing comes through, a death between two steps of a commit. A death may wait for one durable step (steps.ts): then the host
 * dies at the commit that holds that step's journal entry. Unarmed, each point costs one comparison.
 */
import type { KindName } from '../../protocol/kinds.ts'
import type { StepName } from './steps.ts'

/**
 * Where a host may be told to die: as SIGKILL would, without another line of code. `after-publish` is when the broker has what was
 * published, or what dies would be no more than it is `after-flush`.
 */
export const DEATHS = ['before-commit', 'after-commit', 'after-flush', 'after-publish'] as const
export type Death = (typeof DEATHS)[number]
export const isDeath = (text: string): text is Death => (DEATHS as readonly string[]).includes(text)

/** Of the last line of the log of a host that died as it was told. */
export const DEATH_MESSAGE = 'the host dies, as it was told'

/** Dies the `count`th time that it comes to this point with something to commit, or with that step to commit. */
export type DieAt = { readonly point: Death; readonly count: number; readonly step?: StepName | undefined }

/** A death as it is written in JSON; text when it can not be: an unknown point, or a step that this host does not know. */
export const readDeath = (steps: readonly StepName[], json: unknown): DieAt | string => {
  const { point, count = 1, step } = (json ?? {}) as { point?: unknown; count?: unknown; step?: unknown }
  if (typeof point !== 'string' || !isDeath(point)) return `point: one of ${DEATHS.join(', ')}`
  if (typeof count !== 'number' || !Number.isSafeInteger(count) || count < 1) return 'count: how often, from 1'
  if (step === undefined) return { point, count }
  if (typeof step !== 'string') return 'step: its name'
  return steps.includes(step) ? { point, count, step } : `step: no ${step} at this host`
}

/** What a commit holds that somebody waits for. */
export type CommitSteps = ReadonlySet<StepName>
const NO_STEPS: CommitSteps = new Set()
const NOBODY: ReadonlySet<string> = new Set()

/** Ends the process at this point; `steps` are those that were waited for. Awaited: it does not resolve. */
export type Die = (point: Death, steps: readonly StepName[]) => Promise<void> | undefined

export type Faults = {
  /** Swallows the next `count` messages of the kind before they are published. */
  readonly dropNext: (kind: KindName, count: number) => void
  /** Replaces what was armed for the same point and step. */
  readonly dieAt: (death: DieAt) => void
  /**
   * Nothing gets to these hosts any more nor from them, while the connection stands: as when the way between two servers is lost.
   * `all`: to and from nobody, guests among them. Replaces what was cut before; none heals it.
   */
  readonly cut: (peers: readonly string[] | 'all') => void
  readonly disarm: () => void
  readonly shouldDrop: (kind: KindName) => boolean
  readonly isCut: (peer: string) => boolean
  /** A journal entry of this step is staged. */
  readonly note: (trigger: string, name: string) => void
  /** The steps noted since it was last asked: what the next commit holds. */
  readonly take: () => CommitSteps
  /** The host comes to this point with a commit of these steps. What it answers is to be awaited: nothing may follow a death. */
  readonly pass: (point: Death, steps: CommitSteps) => Promise<void> | undefined
}

/** @param nameOf names a step as they are armed */
export const createFaults = (die: Die, nameOf: (trigger: string, name: string) => StepName): Faults => {
  const drops = new Map<KindName, number>()
  const deaths = new Map<string, { readonly death: DieAt; left: number }>()
  let noted = new Set<StepName>()
  let beyond: ReadonlySet<string> | 'all' = NOBODY
  return {
    dropNext: (kind, count) => void drops.set(kind, count),
    dieAt: (death) => void deaths.set(`${death.point} ${death.step ?? ''}`, { death, left: death.count }),
    cut: (peers) => {
      beyond = peers === 'all' ? peers : new Set(peers)
    },
    disarm: () => {
      beyond = NOBODY
      drops.clear()
      deaths.clear()
      noted = new Set()
    },
    shouldDrop: (kind) => {
      if (drops.size === 0) return false
      const left = drops.get(kind) ?? 0
      if (left === 0) return false
      if (left === 1) drops.delete(kind)
      else drops.set(kind, left - 1)
      return true
    },
    isCut: (peer) => beyond === 'all' || (beyond.size > 0 && beyond.has(peer)),
    note: (trigger, name) => {
      if (deaths.size > 0) noted.add(nameOf(trigger, name))
    },
    take: () => {
      if (noted.size === 0) return NO_STEPS
      const taken = noted
      noted = new Set()
      return taken
    },
    pass: (point, steps) => {
      if (deaths.size === 0) return undefined
      let dies = false
      const at: StepName[] = []
      for (const armed of deaths.values()) {
        const { death } = armed
        if (death.point !== point || (death.step !== undefined && !steps.has(death.step))) continue
        armed.left -= 1
        if (armed.left > 0) continue
        dies = true
        if (death.step !== undefined) at.push(death.step)
      }
      return dies ? die(point, at) : undefined
    },
  }
}
