/**
 * Time as an argument. `now` = max(wall clock, highest persisted now): it never goes back, also over a restart. A jump of the
 * wall clock beyond maxClockJumpMs, forward or back, is not followed: time goes on by the monotonic clock and admissions
 * pause until an operator says that the new time is right (design §4).
 */
import { performance } from 'node:perf_hooks'
import { LIMITS } from '../../protocol/limits.ts'

export type Clock = {
  /** Milliseconds since 1970-01-01 UTC. */
  readonly wallMs: () => number
  /** Milliseconds that only ever grow, from any origin. */
  readonly monotonicMs: () => number
}

export const systemClock: Clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() }

export type LedgerClock = {
  /** A whole number of milliseconds. */
  readonly now: () => number
  /** True while the wall clock is not believed. */
  readonly jumped: () => boolean
  /** The operator says that the wall clock is right. */
  readonly accept: () => void
}

/** @param highestPersistedMs 0 for a new ledger */
export const ledgerClock = (clock: Clock, highestPersistedMs: number): LedgerClock => {
  let wall = clock.wallMs()
  let monotonic = clock.monotonicMs()
  let highest = Math.max(Math.floor(wall), highestPersistedMs)
  // After a restart nothing says how long the node was down, so only a wall clock that went back is suspicious.
  let jumped = wall < highestPersistedMs - LIMITS.maxClockJumpMs
  return {
    now: () => {
      const wallNow = clock.wallMs()
      const monotonicNow = clock.monotonicMs()
      const passed = Math.max(0, monotonicNow - monotonic)
      if (!jumped && Math.abs(wallNow - wall - passed) > LIMITS.maxClockJumpMs) jumped = true
      if (jumped) highest = Math.floor(highest + passed)
      else {
        highest = Math.max(highest, Math.floor(wallNow))
        wall = wallNow
      }
      // Fractions are kept for the next call: `highest` is whole.
      monotonic = jumped ? monotonic + Math.floor(passed) : monotonicNow
      return highest
    },
    jumped: () => jumped,
    accept: () => {
      wall = clock.wallMs()
      monotonic = clock.monotonicMs()
      highest = Math.max(highest, Math.floor(wall))
      jumped = false
    },
  }
}
