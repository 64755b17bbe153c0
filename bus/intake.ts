/**
 * What both buses do with a delivered message: hand it to the subscriber, or, while the subscriber pauses, keep it up to a
 * bound. Invariant: messages reach the handler in the order in which they were offered, and what is dropped is counted.
 */
import { BUS_LIMITS } from './bus-limits.ts'
import type {
  BusEvent,
  BusEventListener,
  BusMessage,
  MessageHandler,
  SubscribeOptions,
  SubscriptionStats,
} from './bus.ts'

export type Intake = {
  /** Delivers, keeps or drops `message`; false when it was dropped. A handler's exception passes through. */
  offer(message: BusMessage): boolean
  pause(): void
  resume(): void
  /** Nothing is delivered after this. */
  end(): void
  stats(): SubscriptionStats
}

export const createIntake = (options: SubscribeOptions, onMessage: MessageHandler, onFull: () => void): Intake => {
  const maxMessages = options.maxPendingMessages ?? BUS_LIMITS.maxPendingMessages
  const maxBytes = options.maxPendingBytes ?? BUS_LIMITS.maxPendingBytes
  let pending: BusMessage[] = []
  let next = 0
  let pendingBytes = 0
  let paused = false
  let delivering = false
  let full = false
  let ended = false
  let received = 0
  let delivered = 0
  let dropped = 0

  const hand = (message: BusMessage): void => {
    delivered++
    onMessage(message)
  }

  const deliverPending = (): void => {
    delivering = true
    try {
      while (!paused && !ended && next < pending.length) {
        const message = pending[next++] as BusMessage
        pendingBytes -= message.data.length
        hand(message)
      }
    } finally {
      delivering = false
      if (next === pending.length) {
        pending = []
        next = 0
        full = false
      }
    }
  }

  return {
    offer(message) {
      if (ended) return false
      received++
      // `delivering`: a handler that publishes to itself on a synchronous bus must not overtake what still waits.
      if (!paused && !delivering) {
        hand(message)
        return true
      }
      if (pending.length - next >= maxMessages || pendingBytes + message.data.length > maxBytes) {
        dropped++
        if (!full) {
          full = true
          onFull()
        }
        return false
      }
      pending.push(message)
      pendingBytes += message.data.length
      return true
    },
    pause() {
      paused = true
    },
    resume() {
      paused = false
      if (!delivering) deliverPending()
    },
    end() {
      ended = true
      pending = []
      next = 0
      pendingBytes = 0
    },
    stats: () => ({ received, delivered, pendingMessages: pending.length - next, pendingBytes, dropped }),
  }
}

/** Listeners of one bus, called in the order in which they came. */
export type Listeners = {
  emit(event: BusEvent): void
  add(listener: BusEventListener): () => void
}

export const createListeners = (first: BusEventListener | undefined): Listeners => {
  const listeners = new Set<BusEventListener>(first === undefined ? [] : [first])
  return {
    emit(event) {
      for (const listener of listeners) listener(event)
    },
    add(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}
