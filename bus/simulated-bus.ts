/**
 * The bus in memory, driven by whoever pumps it: nothing moves until `deliverNext` or `deliver` is called, and everything moves
 * the same way again for the same calls. It holds to the semantics of the NATS bus (one compliance suite runs against both):
 * at most once, wildcards, queue groups, each sender's order, publishes lost while disconnected, the broker's permissions.
 *
 * Invariant: a message is matched to subscriptions when it is published, once; from then on each copy has a fate of its own.
 */
import type { Role } from '../protocol/ids.ts'
import { BUS_LIMITS } from './bus-limits.ts'
import {
  BusError,
  type Broker,
  type Bus,
  type BusMessage,
  type MessageHandler,
  type OpenOptions,
  type SubscribeOptions,
  type Subscription,
} from './bus.ts'
import { createSchedule, isBefore, type Scheduled } from './delivery-schedule.ts'
import { createIntake, createListeners, type Intake } from './intake.ts'
import { loadKey, seedOf } from './nkeys.ts'
import { grantedTo, isLoginName, mayPublish, maySubscribe } from './permissions.ts'
import { addressPart, checkLiteralSubject, checkPattern, matches } from './subject-match.ts'

/** One copy of a message on its way to one subscription. */
export type Transit = {
  readonly id: number
  /** Names of the logins. */
  readonly from: string
  readonly to: string
  /** Hosts whose logins they are: a guest's is its wallet host, which no receiver learns. */
  readonly fromHost: string
  readonly toHost: string
  readonly subject: string
  readonly data: Uint8Array
  readonly sentAtMs: number
  readonly dueAtMs: number
}

/**
 * What becomes of a message on its way to one receiver: a copy for each delay, none to lose it. Copies keep the pair's order,
 * as one TCP connection does, unless they may overtake.
 */
export type Fate = { readonly delaysMs: readonly number[]; readonly overtake?: boolean }
export type OnSend = (message: Omit<Transit, 'id' | 'dueAtMs'>) => Fate

export type Published = { readonly from: string; readonly subject: string; readonly data: Uint8Array }

export const DELIVERED_AT_ONCE: Fate = { delaysMs: [0] }
export const LOST: Fate = { delaysMs: [] }

export type SimulatedNetworkOptions = {
  /** Virtual time. Default: it stands still. */
  readonly now?: () => number
  /** Default: {@link DELIVERED_AT_ONCE}. */
  readonly onSend?: OnSend
  /** Everything that the broker takes, whether or not anybody listens: what who runs it can see. */
  readonly onPublish?: (message: Published) => void
  /** Public key of a login key's 32-byte seed, as NATS writes it. Default: as the broker's own. */
  readonly guestName?: (seed: Uint8Array) => string
  /** Which of `count` members of a queue group gets a message. Default: each in turn. */
  readonly pick?: (count: number) => number
}

export type NetworkStats = {
  readonly published: number
  readonly delivered: number
  /** Copies dropped by the policy or the scheduler, or whose receiver was gone or disconnected. */
  readonly lost: number
}

export type SimulatedNetwork = {
  broker(role: Role, host: string): Broker
  /** Copies on their way, by due time, then in the order of sending. */
  inFlight(): readonly Transit[]
  nextDueAtMs(): number | undefined
  /** Delivers the first copy that is due at `now`; undefined when none is. */
  deliverNext(): Transit | undefined
  /** Delivers this copy now, ahead of its time and its order. @throws RangeError when it is not in flight. */
  deliver(id: number): void
  /** Loses this copy. @throws RangeError when it is not in flight. */
  drop(id: number): void
  /** Sends this copy once more, due like the first. @throws RangeError when it is not in flight. */
  duplicate(id: number): void
  /**
   * Delivers everything that is due at `now`, and what that causes, and returns how many.
   * @throws Error past `limit` deliveries: nodes that answer each other without end.
   */
  pump(limit?: number): number
  /**
   * Puts a message on the wire past every login and its permissions, as `from`: what reaches a host when a broker's rules fail.
   * @throws TypeError for a subject with wildcards
   */
  inject(from: string, subject: string, data: Uint8Array): void
  /**
   * Cuts the connection of every bus of this login (a host's id: its guests' too), or of all: their publishes are refused, what
   * comes for them is lost.
   */
  disconnect(name?: string): void
  /** Their subscriptions stand again at once. */
  reconnect(name?: string): void
  stats(): NetworkStats
}

type Endpoint = {
  readonly name: string
  readonly host: string
  readonly pattern: string
  readonly queue: string | undefined
  readonly intake: Intake
  isConnected(): boolean
  /** How often its connection was cut. */
  epoch(): number
  /** Copies in flight to it, and who waits for there to be none. */
  waiting: number
  listening: boolean
  onIdle: (() => void) | undefined
  count(message: BusMessage): void
}

/** `epoch`: the connection that it is sent over; a later one never sees it. */
type Copy = Scheduled & { readonly transit: Transit; readonly endpoint: Endpoint; readonly epoch: number }

type Member = { readonly name: string; readonly host: string; cut(): void; restore(): void }

const NOBODY: ReadonlySet<Endpoint> = new Set()
const MAX_REMEMBERED_SUBJECTS = 4_096

export const createSimulatedNetwork = (options: SimulatedNetworkOptions = {}): SimulatedNetwork => {
  const now = options.now ?? (() => 0)
  const onSend = options.onSend ?? (() => DELIVERED_AT_ONCE)
  let turn = 0
  const pick = options.pick ?? ((count) => turn++ % count)
  const guestName = options.guestName ?? ((seed) => loadKey(seedOf('U', seed)).publicKey)
  const endpoints = new Set<Endpoint>()
  /** The same by the address that their pattern begins with; undefined for those with a wildcard there. */
  const byAddress = new Map<string | undefined, Set<Endpoint>>()
  const members = new Set<Member>()
  const copies = new Map<number, Copy>()
  const schedule = createSchedule<Copy>()
  /** When the last copy that keeps its order is due, for each sender and subscription. */
  const lastDue = new Map<Endpoint, Map<string, number>>()
  let nextId = 1
  let published = 0
  let delivered = 0
  let lost = 0

  const add = (transit: Transit, endpoint: Endpoint): void => {
    const { id, dueAtMs } = transit
    const copy: Copy = { id, dueAtMs, transit, endpoint, epoch: endpoint.epoch(), done: false }
    copies.set(transit.id, copy)
    schedule.push(copy)
    endpoint.waiting++
  }

  const receivers = (subject: string): readonly Endpoint[] => {
    const plain: Endpoint[] = []
    let groups: Map<string, Endpoint[]> | undefined
    const address = addressPart(subject)
    for (const candidates of address === undefined ? [endpoints] : [byAddress.get(address), byAddress.get(undefined)])
      for (const endpoint of candidates ?? NOBODY) {
        if (!endpoint.listening || !endpoint.isConnected() || !matches(endpoint.pattern, subject)) continue
        if (endpoint.queue === undefined) plain.push(endpoint)
        else {
          groups ??= new Map()
          const group = groups.get(endpoint.queue)
          if (group === undefined) groups.set(endpoint.queue, [endpoint])
          else group.push(endpoint)
        }
      }
    if (groups !== undefined) for (const group of groups.values()) plain.push(group[pick(group.length)] as Endpoint)
    return plain
  }

  const send = (from: string, fromHost: string, subject: string, data: Uint8Array): void => {
    published++
    const sentAtMs = now()
    options.onPublish?.({ from, subject, data })
    // As it is now, whatever the sender does with its bytes; each receiver gets its own copy when it is delivered.
    let sent: Uint8Array | undefined
    for (const endpoint of receivers(subject)) {
      const { name: to, host: toHost } = endpoint
      sent ??= data.slice()
      const message = { from, to, fromHost, toHost, subject, data: sent, sentAtMs }
      const fate = onSend(message)
      if (fate.delaysMs.length === 0) lost++
      for (const delayMs of fate.delaysMs) {
        let dueAtMs = sentAtMs + delayMs
        if (fate.overtake !== true) {
          const pairs = lastDue.get(endpoint) ?? new Map<string, number>()
          dueAtMs = Math.max(dueAtMs, pairs.get(from) ?? dueAtMs)
          lastDue.set(endpoint, pairs.set(from, dueAtMs))
        }
        add({ id: nextId++, from, to, fromHost, toHost, subject, data: sent, sentAtMs, dueAtMs }, endpoint)
      }
    }
  }

  const take = (id: number): Copy => {
    const copy = copies.get(id)
    if (copy === undefined) throw new RangeError(`no copy ${id} is in flight`)
    copy.done = true
    copies.delete(id)
    return copy
  }

  const finish = ({ endpoint }: Copy): void => {
    endpoint.waiting--
    if (endpoint.waiting === 0) endpoint.onIdle?.()
  }

  const deliver = (id: number): void => {
    const copy = take(id)
    const { transit, endpoint } = copy
    try {
      if (!endpoints.has(endpoint) || !endpoint.isConnected() || endpoint.epoch() !== copy.epoch) {
        lost++
        return
      }
      delivered++
      // Its own bytes for each receiver, as on a wire.
      const message = { subject: transit.subject, data: transit.data.slice() }
      endpoint.count(message)
      endpoint.intake.offer(message)
    } finally {
      finish(copy)
    }
  }

  const firstDue = (): Transit | undefined => {
    const transit = schedule.first()?.transit
    return transit !== undefined && transit.dueAtMs <= now() ? transit : undefined
  }

  const deliverNext = (): Transit | undefined => {
    const transit = firstDue()
    if (transit !== undefined) deliver(transit.id)
    return transit
  }

  const openBus = (role: Role, name: string, host: string, { onEvent }: OpenOptions): Bus => {
    const granted = grantedTo(role, name)
    const allowed = new Map<string, boolean>()
    /** @throws TypeError when it is no literal subject */
    const isAllowed = (subject: string): boolean => {
      let may = allowed.get(subject)
      if (may === undefined) {
        checkLiteralSubject(subject)
        may = mayPublish(granted, subject)
        if (allowed.size >= MAX_REMEMBERED_SUBJECTS) allowed.clear()
        allowed.set(subject, may)
      }
      return may
    }
    const listeners = createListeners(onEvent)
    const open = new Map<Subscription, Endpoint>()
    let connected = true
    let ending = false
    let closed = false
    let outMessages = 0
    let outBytes = 0
    let inMessages = 0
    let inBytes = 0
    let reconnects = 0
    let epoch = 0
    let notSent = 0
    let droppedByEnded = 0
    let permissionErrors = 0

    const refuse = (operation: 'publish' | 'subscribe', subject: string): void => {
      permissionErrors++
      listeners.emit({ type: 'permission-error', operation, subject })
    }

    const publish = (subject: string, data: Uint8Array): boolean => {
      const may = isAllowed(subject)
      if (data.length > BUS_LIMITS.maxPayloadBytes)
        throw new RangeError(`${data.length} bytes are more than a frame of ${BUS_LIMITS.maxPayloadBytes}`)
      if (ending || !connected) {
        notSent++
        return false
      }
      outMessages++
      outBytes += data.length
      // True even so: the broker's refusal comes later, as an event.
      if (may) send(name, host, subject, data)
      else refuse('publish', subject)
      return true
    }

    const subscribe = async (
      subject: string,
      subscribeOptions: SubscribeOptions,
      onMessage: MessageHandler,
    ): Promise<Subscription> => {
      checkPattern(subject)
      if (ending) throw new BusError('closed', 'the bus is closed')
      if (!maySubscribe(granted, subject)) {
        refuse('subscribe', subject)
        throw new BusError('permission', `the broker refuses a subscription to ${subject}`)
      }
      if (open.size >= granted.maxSubscriptions)
        throw new BusError('permission', `more than ${granted.maxSubscriptions} subscriptions`)
      const intake = createIntake(subscribeOptions, onMessage, () => listeners.emit({ type: 'slow-consumer', subject }))
      const endpoint: Endpoint = {
        name,
        host,
        pattern: subject,
        queue: subscribeOptions.queue,
        intake,
        isConnected: () => connected,
        epoch: () => epoch,
        waiting: 0,
        listening: true,
        onIdle: undefined,
        count(message) {
          inMessages++
          inBytes += message.data.length
        },
      }
      const address = addressPart(subject)
      const subscription: Subscription = {
        subject,
        queue: subscribeOptions.queue,
        pause: () => intake.pause(),
        resume: () => intake.resume(),
        unsubscribe() {
          if (!open.delete(subscription)) return
          intake.end()
          droppedByEnded += intake.stats().dropped
          endpoints.delete(endpoint)
          const others = byAddress.get(address)
          others?.delete(endpoint)
          if (others?.size === 0) byAddress.delete(address)
          lastDue.delete(endpoint)
          endpoint.onIdle?.()
        },
        async drain() {
          endpoint.listening = false
          if (endpoint.waiting > 0 && open.has(subscription) && connected)
            await new Promise<void>((resolve) => (endpoint.onIdle = resolve))
          intake.resume()
          subscription.unsubscribe()
        },
        stats: () => intake.stats(),
      }
      open.set(subscription, endpoint)
      endpoints.add(endpoint)
      const listening = byAddress.get(address)
      if (listening === undefined) byAddress.set(address, new Set([endpoint]))
      else listening.add(endpoint)
      return subscription
    }

    const close = async (): Promise<void> => {
      ending = true
      for (const subscription of open.keys()) subscription.unsubscribe()
      if (closed) return
      closed = true
      connected = false
      members.delete(member)
      listeners.emit({ type: 'closed' })
    }

    const drain = async (): Promise<void> => {
      await Promise.all([...open.keys()].map((subscription) => subscription.drain()))
      await close()
    }

    const member: Member = {
      name,
      host,
      cut() {
        if (!connected) return
        connected = false
        epoch++
        // A drain waits for copies that will not come any more.
        for (const endpoint of open.values()) endpoint.onIdle?.()
        listeners.emit({ type: 'disconnected', server: 'simulated' })
      },
      restore() {
        if (connected) return
        connected = true
        reconnects++
        listeners.emit({ type: 'reconnected', server: 'simulated' })
      },
    }
    members.add(member)
    listeners.emit({ type: 'connected', server: 'simulated' })

    return {
      name,
      get connected() {
        return connected && !ending
      },
      publish,
      subscribe,
      async flush() {
        if (ending) throw new BusError('closed', 'the bus is closed')
        if (!connected) throw new BusError('disconnected', 'no connection to the broker')
      },
      drain,
      close,
      onEvent: (listener) => listeners.add(listener),
      stats: () => ({
        outMessages,
        outBytes,
        inMessages,
        inBytes,
        reconnects,
        notSent,
        dropped: [...open.values()].reduce((sum, { intake }) => sum + intake.stats().dropped, droppedByEnded),
        permissionErrors,
      }),
      [Symbol.asyncDispose]: drain,
    }
  }

  const broker = (role: Role, host: string): Broker => {
    if (!isLoginName(role, host)) throw new TypeError(`not a name for a login of role ${role}: ${host}`)
    const open = new Set<Bus>()
    const enter = (asRole: Role, name: string, openOptions: OpenOptions): Bus => {
      const bus = openBus(asRole, name, host, openOptions)
      open.add(bus)
      bus.onEvent((event) => void (event.type === 'closed' && open.delete(bus)))
      return bus
    }
    return {
      openHost: (openOptions = {}) => Promise.resolve(enter(role, host, openOptions)),
      async openGuest(seed, openOptions = {}) {
        if (role !== 'customer') throw new BusError('not-a-wallet-host', `${host} holds no key to mint guests with`)
        return enter('guest', guestName(seed), openOptions)
      },
      async [Symbol.asyncDispose]() {
        await Promise.all([...open].map((bus) => bus.drain()))
      },
    }
  }

  const each = (name: string | undefined, act: (member: Member) => void): void => {
    for (const member of members) if (name === undefined || member.name === name || member.host === name) act(member)
  }

  return {
    broker,
    inFlight: () => [...copies.values()].toSorted((a, b) => (isBefore(a, b) ? -1 : 1)).map((copy) => copy.transit),
    nextDueAtMs: () => schedule.first()?.transit.dueAtMs,
    deliverNext,
    deliver,
    drop(id) {
      lost++
      finish(take(id))
    },
    duplicate(id) {
      const copy = copies.get(id)
      if (copy === undefined) throw new RangeError(`no copy ${id} is in flight`)
      add({ ...copy.transit, id: nextId++ }, copy.endpoint)
    },
    pump(limit = 1_000_000) {
      let count = 0
      while (deliverNext() !== undefined) if (++count > limit) throw new Error(`more than ${limit} deliveries`)
      return count
    },
    inject(from, subject, data) {
      checkLiteralSubject(subject)
      send(from, from, subject, data)
    },
    disconnect: (name) => each(name, (member) => member.cut()),
    reconnect: (name) => each(name, (member) => member.restore()),
    stats: () => ({ published, delivered, lost }),
  }
}
