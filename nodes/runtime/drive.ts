/** Drives a host in real time: a step when there is work, and when a resend or a sweep is due. */
import type { Host } from './host-types.ts'

export type Driver = {
  /** To be given to the host as `onWork`. */
  readonly wake: () => void
  /** Takes over a started host. */
  readonly run: (host: Pick<Host, 'step' | 'nextDueAtMs' | 'nowMs'>) => void
  /** No step until `release`, at most this long: nothing is decided, committed or sent again; what comes waits in its queues. */
  readonly hold: (ms: number) => void
  /** False when the time was over before. */
  readonly release: () => boolean
  readonly stop: () => void
}

/** While the host can not step, its `onWork` tells when it can again; the timer is only for what comes due. */
const SHORTEST_WAIT_MS = 5
const LONGEST_WAIT_MS = 1_000

export const createDriver = (): Driver => {
  let host: Parameters<Driver['run']>[0] | undefined
  let scheduled = false
  let timer: NodeJS.Timeout | undefined
  let holding: NodeJS.Timeout | undefined
  const turn = (): void => {
    scheduled = false
    if (host === undefined || holding !== undefined) return
    clearTimeout(timer)
    // One batch a turn of the event loop, so that what has arrived meanwhile makes the next one larger.
    if (host.step()) wake()
    else
      timer = setTimeout(turn, Math.min(LONGEST_WAIT_MS, Math.max(SHORTEST_WAIT_MS, host.nextDueAtMs() - host.nowMs())))
  }
  const wake = (): void => {
    if (scheduled || host === undefined) return
    scheduled = true
    setImmediate(turn)
  }
  const release = (): boolean => {
    const held = holding !== undefined
    clearTimeout(holding)
    holding = undefined
    wake()
    return held
  }
  return {
    wake,
    hold: (ms) => {
      clearTimeout(holding)
      holding = setTimeout(release, ms)
    },
    release,
    run: (next) => {
      host = next
      wake()
    },
    stop: () => {
      host = undefined
      clearTimeout(timer)
      clearTimeout(holding)
    },
  }
}
