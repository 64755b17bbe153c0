/**
 * Waits for flushes, and gives up one that does not end. The library tells nobody of a flush that failed: what waits for it would
 * wait for ever, and its host stand there, alive and silent. Time is counted in ticks, of which a process that stood still
 * misses as many as it stood: that a machine was suspended is no fault of its disk.
 */
export type FlushWatch = {
  /** Resolves or rejects as `flush` does. @throws what `stuck` makes, when `ticks` have passed */
  readonly wait: (flush: Promise<unknown>) => Promise<void>
  readonly tick: () => void
}

export const createFlushWatch = (ticks: number, stuck: () => Error): FlushWatch => {
  const waiting = new Set<{ left: number; readonly giveUp: (error: Error) => void }>()
  return {
    wait: (flush) =>
      new Promise((resolve, reject) => {
        const waiter = { left: ticks, giveUp: reject }
        waiting.add(waiter)
        flush.then(
          () => {
            waiting.delete(waiter)
            resolve()
          },
          (error: unknown) => {
            waiting.delete(waiter)
            reject(error instanceof Error ? error : new Error(String(error)))
          },
        )
      }),
    tick: () => {
      for (const waiter of waiting) {
        waiter.left -= 1
        if (waiter.left > 0) continue
        waiting.delete(waiter)
        waiter.giveUp(stuck())
      }
    },
  }
}
