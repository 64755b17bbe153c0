/**
 * A broker whose login can be exchanged while its bus is in use: the new connection is opened first, every subscription is made
 * again on it, then publishing moves over, then the old connection is drained.
 *
 * Invariant: at every moment each subscription stands on at least one connection and publishing goes to one, so nothing is lost
 * by an exchange; while both stand a message may come twice, which receivers tell by its content (design §4).
 */
import {
  BusError,
  type Broker,
  type Bus,
  type BusEvent,
  type BusStats,
  type MessageHandler,
  type OpenOptions,
  type SubscribeOptions,
  type Subscription,
} from './bus.ts'
import { createIntake, createListeners, type Intake } from './intake.ts'
import { checkPattern } from './subject-match.ts'

export type RotatingBroker = Broker & {
  /**
   * Moves every open bus of the host to `next`, and opens guests through it from now on; guests that are open stay where they are.
   * All or nothing: when one bus can not be moved, all stay on their old connection.
   * @throws BusError `refused-by-broker` when the broker refuses the new login, `permission` when the login is another host's or
   * may not subscribe where the old one does, `aborted` by the signal
   */
  exchange(next: Broker, options?: { readonly signal?: AbortSignal }): Promise<void>
  /** Opens guests through `next` from now on, and nothing else: its guest signer is another. */
  useForGuests(next: Broker): void
}

export const createRotatingBroker = (first: Broker): RotatingBroker => {
  let current = first
  let guests = first
  const brokers = new Set<Broker>([first])
  const open = new Set<RotatingBus>()
  return {
    async openHost(options = {}) {
      const bus = await openRotating((inner) => current.openHost(inner), options)
      open.add(bus)
      bus.onEvent((event) => void (event.type === 'closed' && open.delete(bus)))
      return bus
    },
    openGuest: (token, options) => guests.openGuest(token, options),
    async exchange(next, { signal } = {}) {
      const moves: Move[] = []
      try {
        for (const bus of open) moves.push(await bus.prepare((inner) => openOrFail(next, inner, signal)))
      } catch (error) {
        await Promise.all(moves.map((move) => move.abandon()))
        throw error
      }
      brokers.add(next)
      current = next
      guests = next
      await Promise.all(moves.map((move) => move.complete()))
    },
    useForGuests(next) {
      brokers.add(next)
      guests = next
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...open].map((bus) => bus.drain()))
      await Promise.all([...brokers].map((broker) => broker[Symbol.asyncDispose]()))
    },
  }
}

/** A host's opening waits for ever; an exchange does not wait for a login that the broker refuses. */
const openOrFail = async (broker: Broker, options: OpenOptions, signal: AbortSignal | undefined): Promise<Bus> => {
  const giveUp = new AbortController()
  const stop = (): void => giveUp.abort(signal?.reason)
  signal?.addEventListener('abort', stop)
  if (signal?.aborted === true) stop()
  let refusal: string | undefined
  try {
    return await broker.openHost({
      signal: giveUp.signal,
      onEvent: (event) => {
        if (event.type === 'login-refused') {
          refusal ??= event.detail
          giveUp.abort()
        }
        options.onEvent?.(event)
      },
    })
  } catch (error) {
    if (refusal !== undefined) throw new BusError('refused-by-broker', `the new login is refused: ${refusal}`, error)
    throw error
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

type Open = (options: OpenOptions) => Promise<Bus>
/** A new connection with every subscription made on it, not yet published to. */
type Move = { complete(): Promise<void>; abandon(): Promise<void> }
type RotatingBus = Bus & { prepare(opening: Open): Promise<Move> }

/** One subscription of the user: what it hears comes from the same subscription on each connection that stands. */
type Rotated = {
  readonly subject: string
  readonly queue: string | undefined
  readonly intake: Intake
  readonly inners: Map<Bus, Subscription>
  /** It has ended, or is about to: not to be made again. */
  ending: boolean
}

const NO_STATS: BusStats = {
  outMessages: 0,
  outBytes: 0,
  inMessages: 0,
  inBytes: 0,
  reconnects: 0,
  notSent: 0,
  dropped: 0,
  permissionErrors: 0,
}
const sum = (a: BusStats, b: BusStats): BusStats => ({
  outMessages: a.outMessages + b.outMessages,
  outBytes: a.outBytes + b.outBytes,
  inMessages: a.inMessages + b.inMessages,
  inBytes: a.inBytes + b.inBytes,
  reconnects: a.reconnects + b.reconnects,
  notSent: a.notSent + b.notSent,
  dropped: a.dropped + b.dropped,
  permissionErrors: a.permissionErrors + b.permissionErrors,
})

const openRotating = async (opening: Open, options: OpenOptions): Promise<RotatingBus> => {
  const listeners = createListeners(options.onEvent)
  const subscriptions = new Set<Rotated>()
  /** Connections that publishing has left and that still deliver. */
  const leaving = new Set<Bus>()
  let before = NO_STATS
  let droppedByEnded = 0
  let ending = false
  let current: Bus | undefined
  /** Of the connection that is published to; any other's coming and going is no event of this bus. */
  const eventsOf = (bus: () => Bus | undefined) => (event: BusEvent) => {
    if (current === undefined || bus() === current) listeners.emit(event)
    else if (event.type === 'permission-error') listeners.emit(event)
  }
  const connect = async (how: Open, signal?: AbortSignal): Promise<Bus> => {
    const made: { bus?: Bus } = {}
    const bus = await how({
      onEvent: eventsOf(() => made.bus),
      ...(signal === undefined ? {} : { signal }),
    })
    made.bus = bus
    return bus
  }
  current = await connect(opening, options.signal)
  const now = (): Bus => current as Bus

  /** One subscribing or moving at a time, so that no subscription is missed by a move. */
  let turn: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(act: () => Promise<T>): Promise<T> => {
    const mine = turn.then(act)
    turn = mine.catch(() => undefined)
    return mine
  }

  const subscribeOn = async (bus: Bus, rotated: Rotated): Promise<void> => {
    const { subject, queue, intake } = rotated
    const inner = await bus.subscribe(subject, queue === undefined ? {} : { queue }, (message) => {
      intake.offer(message)
    })
    if (rotated.ending) inner.unsubscribe()
    else rotated.inners.set(bus, inner)
  }

  const forget = (rotated: Rotated): void => {
    rotated.ending = true
    if (!subscriptions.delete(rotated)) return
    rotated.intake.end()
    droppedByEnded += rotated.intake.stats().dropped
    for (const inner of rotated.inners.values()) inner.unsubscribe()
    rotated.inners.clear()
  }

  const subscribe = (subject: string, how: SubscribeOptions, onMessage: MessageHandler): Promise<Subscription> => {
    const slow = (): void => listeners.emit({ type: 'slow-consumer', subject })
    const intake = createIntake(how, onMessage, slow)
    const rotated: Rotated = { subject, queue: how.queue, intake, inners: new Map(), ending: false }
    const subscription: Subscription = {
      subject,
      queue: how.queue,
      pause: () => intake.pause(),
      resume: () => intake.resume(),
      unsubscribe: () => forget(rotated),
      drain: () => drainOne(rotated),
      stats: () => intake.stats(),
    }
    return inTurn(async () => {
      checkPattern(subject)
      if (ending) throw new BusError('closed', 'the bus is closed')
      await subscribeOn(now(), rotated)
      subscriptions.add(rotated)
      return subscription
    })
  }

  const retire = async (old: Bus): Promise<void> => {
    await old.drain()
    leaving.delete(old)
    before = sum(before, { ...old.stats(), dropped: 0 })
    for (const { inners } of subscriptions) inners.delete(old)
  }

  /** Resolves with the turn held, until the move is completed or abandoned. */
  const prepare = (how: Open): Promise<Move> =>
    new Promise((resolve, reject) => {
      void inTurn(
        () =>
          new Promise<void>((release) => {
            const make = async (): Promise<Move> => {
              if (ending) throw new BusError('closed', 'the bus is closed')
              const fresh = await connect(how)
              const abandon = async (): Promise<void> => {
                for (const { inners } of subscriptions) inners.delete(fresh)
                await fresh.close()
                release()
              }
              try {
                if (fresh.name !== now().name)
                  throw new BusError('permission', `the new login is ${fresh.name}'s, not ${now().name}'s`)
                for (const rotated of subscriptions) await subscribeOn(fresh, rotated)
              } catch (error) {
                await abandon()
                throw error
              }
              return {
                abandon,
                complete: async () => {
                  const old = now()
                  const wasDown = !old.connected
                  current = fresh
                  leaving.add(old)
                  release()
                  // What waited for the connection need not wait any more.
                  if (wasDown && fresh.connected) listeners.emit({ type: 'reconnected', server: 'another login' })
                  await retire(old)
                },
              }
            }
            make().then(resolve, (error: unknown) => {
              release()
              reject(error)
            })
          }),
      )
    })

  const drainOne = async (rotated: Rotated): Promise<void> => {
    rotated.ending = true
    await Promise.all([...rotated.inners.values()].map((inner) => inner.drain()))
    rotated.intake.resume()
    forget(rotated)
  }

  const drain = async (): Promise<void> => {
    await Promise.all([...subscriptions].map(drainOne))
    ending = true
    await Promise.all([now().drain(), ...[...leaving].map((bus) => bus.drain())])
  }

  const close = async (): Promise<void> => {
    ending = true
    for (const rotated of subscriptions) forget(rotated)
    await Promise.all([now().close(), ...[...leaving].map((bus) => bus.close())])
  }

  return {
    get name() {
      return now().name
    },
    get connected() {
      return now().connected && !ending
    },
    publish: (subject, data) => now().publish(subject, data),
    subscribe,
    flush: () => now().flush(),
    drain,
    close,
    onEvent: (listener) => listeners.add(listener),
    stats: () => {
      const dropped = [...subscriptions].reduce((all, { intake }) => all + intake.stats().dropped, droppedByEnded)
      const moving = [...leaving].reduce((all, bus) => sum(all, bus.stats()), before)
      return { ...sum(moving, now().stats()), dropped }
    },
    prepare,
    [Symbol.asyncDispose]: drain,
  }
}
