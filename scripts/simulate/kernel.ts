/**
 * The loop of a simulation: what happens next, happens; time jumps there. Everything that moves in the network is an event here: a
 * delivery, a commit, a flush, a step of a host, an act of a person, a fault. Invariant: the same events in the same order for the
 * same seed; after each one every promise that it settled has been followed to its end before the next begins.
 */
import { createSchedule, type Scheduled } from '../../bus/delivery-schedule.ts'
import type { SimulatedNetwork } from '../../bus/simulated-bus.ts'

type Event = Scheduled & { readonly act: () => void }

export type Kernel = {
  /** True time, in milliseconds since 1970-01-01, with fractions. */
  readonly now: () => number
  /** Events so far. */
  readonly steps: () => number
  /** Runs once, that much later; the returned function takes it back. */
  readonly after: (delayMs: number, act: () => void) => () => void
  /**
   * Work whose promise settles on real turns of the event loop (a job that gives way to others): its result is seen before the next
   * event, whatever the machine is doing.
   */
  readonly wait: (work: Promise<unknown>) => void
  /** Lets events happen until `done`, asked after each. @returns false when there is nothing to come any more */
  readonly run: (done: () => boolean) => Promise<boolean>
}

/** So that signals and other workers' messages are heard. */
const EVENTS_BETWEEN_TURNS = 2_048

/** Every promise settled so far is followed to its end: ticks run when no microtask is left. */
const drained = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve))
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

/**
 * @param setTime tells the network and its hosts what time it is
 * @param onThrow of an act or a delivery: a defect of the simulation, or of a host that let something escape
 */
export const createKernel = (
  network: Pick<SimulatedNetwork, 'nextDueAtMs' | 'deliverNext'>,
  startMs: number,
  setTime: (ms: number) => void,
  onThrow: (error: unknown) => void,
): Kernel => {
  const queue = createSchedule<Event>()
  let time = startMs
  let steps = 0
  let nextId = 1
  /** Real work under way. */
  let waiting = 0

  const moveTo = (ms: number): void => {
    if (ms <= time) return
    time = ms
    setTime(ms)
  }

  return {
    now: () => time,
    steps: () => steps,
    after: (delayMs, act) => {
      const event: Event = { id: nextId++, dueAtMs: time + Math.max(0, delayMs), act, done: false }
      queue.push(event)
      return () => {
        event.done = true
      }
    },
    wait: (work) => {
      waiting += 1
      const settled = (): void => {
        waiting -= 1
      }
      work.then(settled, settled)
    },
    run: async (done) => {
      while (!done()) {
        const event = queue.first()
        const deliveryMs = network.nextDueAtMs()
        if (event === undefined && deliveryMs === undefined) return false
        try {
          if (event === undefined || (deliveryMs !== undefined && deliveryMs <= event.dueAtMs)) {
            moveTo(deliveryMs as number)
            network.deliverNext()
          } else {
            moveTo(event.dueAtMs)
            event.done = true
            event.act()
          }
        } catch (error) {
          onThrow(error)
        }
        steps += 1
        await drained()
        while (waiting > 0) await turn()
        if (steps % EVENTS_BETWEEN_TURNS === 0) await turn()
      }
      return true
    },
  }
}
