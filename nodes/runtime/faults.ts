/**
 * Fault points that tests arm over the control socket: a message swallowed as the network would, a death between two steps of
 * a commit. Unarmed they cost one comparison.
 */
import type { KindName } from '../../protocol/kinds.ts'

/** Where a host may be told to die: as SIGKILL would, without another line of code. */
export const DEATHS = ['before-commit', 'after-commit', 'after-flush', 'after-publish'] as const
export type Death = (typeof DEATHS)[number]
export const isDeath = (text: string): text is Death => (DEATHS as readonly string[]).includes(text)

export type Faults = {
  /** Swallows the next `count` messages of the kind before they are published. */
  readonly dropNext: (kind: KindName, count: number) => void
  /** Dies the `count`th time that it comes to this point with something to commit. */
  readonly dieAt: (point: Death, count: number) => void
  readonly disarm: () => void
  readonly shouldDrop: (kind: KindName) => boolean
  readonly pass: (point: Death) => void
}

/** @param die does not return */
export const createFaults = (die: () => void): Faults => {
  const drops = new Map<KindName, number>()
  const deaths = new Map<Death, number>()
  return {
    dropNext: (kind, count) => void drops.set(kind, count),
    dieAt: (point, count) => void deaths.set(point, count),
    disarm: () => {
      drops.clear()
      deaths.clear()
    },
    shouldDrop: (kind) => {
      if (drops.size === 0) return false
      const left = drops.get(kind) ?? 0
      if (left === 0) return false
      if (left === 1) drops.delete(kind)
      else drops.set(kind, left - 1)
      return true
    },
    pass: (point) => {
      if (deaths.size === 0) return
      const left = deaths.get(point)
      if (left === undefined) return
      if (left > 1) deaths.set(point, left - 1)
      else die()
    },
  }
}
