/**
 * From a decided batch to the disk, in order. One batch may be on its way to the disk while another waits behind it; what follows
 * a batch is done when it is durable, after what follows every earlier one. Invariant: nothing is published that the ledger does
 * not hold.
 */
import { LIMITS } from '../../protocol/limits.ts'
import type { Faults } from './faults.ts'
import type { Chain } from './journal.ts'
import type { Metrics } from './metrics.ts'
import type { Staged } from './staged.ts'
import type { Store } from './store.ts'

export type CommitsDeps = {
  readonly staged: Staged
  readonly store: Store
  readonly durability: 'flushed' | 'committed'
  readonly monotonicMs: () => number
  readonly metrics: Metrics
  readonly faults: Faults
  /** Stages the head row of what is about to be committed; → the journal's end in it. */
  readonly stageHead: () => Chain
  /** The journal is durable up to here. */
  readonly onDurable: (head: Chain) => void
  readonly failed: () => boolean
  readonly fail: (error: unknown) => void
  readonly onWork: () => void
}

export type Commits = {
  /** Commits what is staged; `conclude` runs once it is durable, at once when there is nothing to wait for. */
  readonly submit: (conclude: () => void) => void
  readonly inFlight: () => number
  /** As many are on their way as may be. */
  readonly full: () => boolean
  /** Resolves when everything submitted so far is concluded. */
  readonly settled: () => Promise<void>
}

export const createCommits = (deps: CommitsDeps): Commits => {
  const { staged, store, metrics, faults, monotonicMs, fail } = deps
  let inFlight = 0
  /** Batches that wait to be concluded. */
  let waiting = 0
  let tail: Promise<void> = Promise.resolve()

  const follow = (act: () => void | Promise<void>): void => {
    waiting += 1
    tail = tail
      .then(async () => {
        if (!deps.failed()) await act()
      })
      .catch(fail)
      .finally(() => {
        waiting -= 1
      })
  }

  return {
    submit: (conclude) => {
      if (staged.isEmpty()) {
        if (waiting === 0) conclude()
        else follow(conclude)
        return
      }
      const head = deps.stageHead()
      const { mutations, settle } = staged.take()
      inFlight += 1
      metrics.count('commits')
      metrics.count('mutations', mutations.length)
      const steps = faults.take()
      // Only a twin of the process dies here and goes on: the process itself is gone before the next line.
      void faults.pass('before-commit', steps)
      const beganMs = monotonicMs()
      const committing = store.commit(mutations).then(() => {
        metrics.commitMs.record(monotonicMs() - beganMs)
        settle()
        return faults.pass('after-commit', steps)
      })
      committing.catch(fail)
      follow(async () => {
        await committing
        if (deps.durability === 'flushed') await store.flushed()
        metrics.flushMs.record(monotonicMs() - beganMs)
        inFlight -= 1
        deps.onDurable(head)
        const gone = faults.pass('after-flush', steps)
        if (gone !== undefined) await gone
        conclude()
        const published = faults.pass('after-publish', steps)
        if (published !== undefined) await published
        deps.onWork()
      })
    },
    inFlight: () => inFlight,
    full: () => inFlight >= LIMITS.maxCommitsInFlight,
    settled: async () => {
      while (waiting > 0) await tail
    },
  }
}
