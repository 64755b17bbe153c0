/** Deadlines are rows: whatever time fires here fired also when the host was down (design §2 "one sweep"). Bounded per step. */
import { LIMITS } from '../../protocol/limits.ts'
import type { Applier, Batch } from './apply.ts'
import type { Metrics } from './metrics.ts'
import { remove, type AnyNodeDefinition, type AnyTable, type Context, type DeadlineEvent } from './node.ts'
import { deadlineTable, seenPruneTable, seenTable } from './runtime-tables.ts'
import type { Staged } from './staged.ts'

export type Sweeper = {
  /** Fires what has come, earliest first, and lets go of transport ids past their retention. Nothing before the next sweep is due. */
  readonly sweep: (batch: Batch, nowMs: number) => void
  /** The last sweep reached its bound: there is more. */
  readonly more: () => boolean
  /** When there is something to sweep, not before the next sweep is due; soon again also when there is nothing. */
  readonly nextAtMs: () => number
}

export type SweeperDeps = {
  readonly staged: Staged
  readonly definition: AnyNodeDefinition
  readonly applier: Applier
  readonly metrics: Metrics
  readonly contextAt: (nowMs: number) => Context
}

/** How long a host without deadlines may leave the sweep alone. */
const IDLE_SWEEP_MS = 10 * LIMITS.sweepEveryMs

/** A deadline's key begins with its time, 8 bytes, big-endian. */
const timeOf = (key: Uint8Array): number => Number(new DataView(key.buffer, key.byteOffset).getBigUint64(0))

export const createSweeper = ({ staged, definition, applier, metrics, contextAt }: SweeperDeps): Sweeper => {
  let lastSweepMs = 0
  let more = false

  const fire = (batch: Batch, nowMs: number): void => {
    const due = Array.from(staged.scan(deadlineTable, [], { before: [nowMs + 1], limit: LIMITS.maxDeadlinesPerStep }))
    more = due.length === LIMITS.maxDeadlinesPerStep
    for (const [key, { name, key: of }] of due) {
      // An earlier deadline of this sweep may have cleared it.
      if (staged.get(deadlineTable, key) === undefined) continue
      staged.write(remove(deadlineTable, key))
      metrics.count('deadlines')
      const handler = definition.deadlines[name]
      if (handler === undefined) throw new Error(`no handler for the deadline ${name}`)
      const event: DeadlineEvent = { name, key: of, atMs: timeOf(key) }
      applier.apply(batch, handler(staged, event, contextAt(nowMs)), { trigger: 'deadline', name, ids: [] }, nowMs)
    }
  }

  const prune = (nowMs: number): void => {
    const before = [Math.max(0, nowMs - LIMITS.transportIdRetentionMs)]
    // Gathered first: nothing may be written while a table is scanned.
    const past = Array.from(staged.scan(seenPruneTable, [], { before, limit: LIMITS.maxDeadlinesPerStep }))
    for (const [key, { ref }] of past) {
      staged.write(remove(seenPruneTable, key))
      staged.write(remove(seenTable, ref))
    }
  }

  return {
    sweep: (batch, nowMs) => {
      if (!more && nowMs - lastSweepMs < LIMITS.sweepEveryMs) return
      lastSweepMs = nowMs
      fire(batch, nowMs)
      prune(nowMs)
    },
    more: () => more,
    nextAtMs: () => {
      if (more) return lastSweepMs
      const first = (table: AnyTable): number => {
        for (const [key] of staged.scan(table, [], { limit: 1 })) return timeOf(key)
        return Number.POSITIVE_INFINITY
      }
      const dueMs = Math.min(first(deadlineTable), first(seenPruneTable) + LIMITS.transportIdRetentionMs)
      return lastSweepMs + Math.min(Math.max(LIMITS.sweepEveryMs, dueMs - lastSweepMs), IDLE_SWEEP_MS)
    },
  }
}
