/**
 * Those who judge a simulation, as one. They are asked after each event in which there was anything to see; what they find is kept with
 * the event and its time.
 */
import type { Finding, Observer, Violation } from './observed.ts'

type Seen = { readonly [Name in Exclude<keyof Observer, 'check' | 'atRest'>]-?: NonNullable<Observer[Name]> }

export type Judges = Seen & {
  /** After each event. */
  readonly check: () => void
  readonly atRest: () => void
  /** What the simulation itself found. */
  readonly found: (finding: Finding) => void
  readonly violations: () => readonly Violation[]
}

export const createJudges = (
  observers: readonly Observer[],
  now: () => { readonly step: number; readonly atMs: number },
): Judges => {
  const violations: Violation[] = []
  let seen = false
  const found = (finding: Finding): void => void violations.push({ ...finding, ...now() })
  const telling = <A extends readonly unknown[]>(pick: (observer: Observer) => ((...args: A) => void) | undefined) => {
    const listeners = observers.flatMap((observer) => pick(observer) ?? [])
    return (...args: A): void => {
      seen = true
      for (const listener of listeners) listener(...args)
    }
  }
  return {
    committed: telling((observer) => observer.committed),
    flushed: telling((observer) => observer.flushed),
    lost: telling((observer) => observer.lost),
    published: telling((observer) => observer.published),
    started: telling((observer) => observer.started),
    crashed: telling((observer) => observer.crashed),
    told: telling((observer) => observer.told),
    check: () => {
      if (!seen) return
      seen = false
      for (const observer of observers) observer.check().forEach(found)
    },
    atRest: () => {
      for (const observer of observers) observer.atRest?.().forEach(found)
    },
    found,
    violations: () => violations,
  }
}
