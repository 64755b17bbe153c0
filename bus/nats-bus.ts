/**
 * The bus on NATS: the only file that imports the NATS client, so that moving to its successor packages changes this file.
 *
 * Invariant: while the connection is down nothing is buffered. The client would keep publishes and lose them silently at its
 * next dial; here they are refused and counted, and the outbox resends them.
 */
import { setTimeout as delay } from 'node:timers/promises'
import {
  connect,
  createInbox,
  ErrorCode,
  Events,
  NatsError,
  type Authenticator,
  type ConnectionOptions,
  type NatsConnection,
} from 'nats'
import { NodeTransport } from 'nats/lib/src/node_transport.js'
import { BUS_LIMITS } from './bus-limits.ts'
import {
  BusError,
  type Broker,
  type Bus,
  type BusEventListener,
  type MessageHandler,
  type OpenOptions,
  type SubscribeOptions,
  type Subscription,
} from './bus.ts'
import { createIntake, createListeners, type Intake, type Listeners } from './intake.ts'
import { loginName, mintGuest, type HostLogin, type Login } from './logins.ts'
import { loadKey } from './nkeys.ts'
import { TOOL_INBOX_PREFIX } from './permissions.ts'
import type { RequestReply } from './request-reply.ts'
import { checkLiteralSubject, checkPattern } from './subject-match.ts'
import { clientTls, SPOKE_BEFORE_TLS, tlsProblem, type ServerAddress } from './tls-client.ts'

export type NatsOptions = OpenOptions &
  ServerAddress & {
    readonly login: Login
    /** What the server's own tables call the connection. Never given for a guest: it would name the host. */
    readonly label?: string
    /** Fractions in [0, 1) for the jitter of reconnects. */
    readonly random?: () => number
  }

/** Logs in, however long the broker takes to be there, and keeps the connection for ever. */
export const openNatsBus = async (options: NatsOptions): Promise<Bus> => {
  const listeners = createListeners(options.onEvent)
  const link = await openLink(options, listeners)
  return createBus(loginName(options.login), link, listeners)
}

/** How the host of `login` reaches a NATS broker. */
export const natsBroker = (login: HostLogin, random?: () => number): Broker => {
  const open = new Set<Bus>()
  const way = {
    servers: login.servers,
    ...(login.ca === undefined ? {} : { ca: login.ca }),
    ...(random === undefined ? {} : { random }),
  }
  const enter = async (options: NatsOptions): Promise<Bus> => {
    const bus = await openNatsBus(options)
    open.add(bus)
    bus.onEvent((event) => void (event.type === 'closed' && open.delete(bus)))
    return bus
  }
  return {
    openHost: (options) => enter({ ...options, ...way, login, label: loginName(login) }),
    async openGuest(seed, options) {
      if (login.guestSigner === undefined)
        throw new BusError('not-a-wallet-host', `${loginName(login)} holds no key to mint guests with`)
      return enter({ ...options, ...way, login: await mintGuest(login.guestSigner, seed) })
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...open].map((bus) => bus.drain()))
    },
  }
}

type Link = {
  readonly nc: NatsConnection
  isConnected(): boolean
  reconnects(): number
  permissionErrors(): number
  /** Round trip by which every subscription made before stands at the broker, over as many reconnects as it takes. */
  settle(): Promise<void>
}

const isLoginError = (error: unknown): boolean => error instanceof NatsError && LOGIN_ERRORS.has(error.code)
const LOGIN_ERRORS: ReadonlySet<string> = new Set([
  ErrorCode.AuthorizationViolation,
  ErrorCode.AuthenticationExpired,
  ErrorCode.AuthenticationTimeout,
  ErrorCode.AccountExpired,
  ErrorCode.BadAuthentication,
  ErrorCode.BadCreds,
])

/** Doubles from first to max, with jitter so that a fleet does not return all at once. */
const backOff = (attempt: number, random: () => number): number => {
  const base = Math.min(BUS_LIMITS.firstReconnectMs * 2 ** Math.min(attempt, 16), BUS_LIMITS.maxReconnectMs)
  return Math.round(base * (1 + (BUS_LIMITS.reconnectJitterPercent / 100) * random()))
}

/** Signs the server's nonce. The client's own way does it in plain JavaScript, see `nkeys.ts`. */
const authenticate = ({ jwt, seed }: Login): Authenticator => {
  const key = loadKey(seed)
  return (nonce = '') => ({
    jwt,
    nkey: key.publicKey,
    sig: Buffer.from(key.sign(new TextEncoder().encode(nonce))).toString('base64url'),
  })
}

/**
 * A server says one line before the handshake, and the client reads all that came with it as if it had come under TLS: whoever
 * sits between could add messages to it, for the subscriptions that stand again after a reconnect.
 */
const upgrade = NodeTransport.prototype.startTLS
NodeTransport.prototype.startTLS = function startTls(this: NodeTransport) {
  const said = Buffer.concat(this.yields)
  if (said.indexOf('\r\n') === said.length - 2) return upgrade.call(this)
  return Promise.reject(new NatsError('more than one line before the handshake', SPOKE_BEFORE_TLS))
}

const openLink = async (options: NatsOptions, listeners: Listeners): Promise<Link> => {
  const random = options.random ?? Math.random
  let attempt = 0
  let dialsAtOnce = false
  const tls = clientTls(options)
  const connectionOptions: ConnectionOptions = {
    servers: [...options.servers],
    authenticator: authenticate(options.login),
    ...(options.label === undefined ? {} : { name: options.label }),
    ...(tls === undefined ? {} : { tls }),
    // What a server says before the handshake anybody could have said: it adds no other server.
    ignoreClusterUpdates: true,
    timeout: BUS_LIMITS.connectTimeoutMs,
    maxReconnectAttempts: -1,
    // A refused login may be renewed at the broker; the default gives up at the second refusal.
    ignoreAuthErrorAbort: true,
    reconnectDelayHandler: () => {
      // The client asks before every dial and before every wait, so twice for each attempt.
      dialsAtOnce = !dialsAtOnce
      if (dialsAtOnce) attempt++
      return backOff(attempt, random)
    },
    pingInterval: BUS_LIMITS.pingEveryMs,
    maxPingOut: BUS_LIMITS.maxMissedPings,
    noAsyncTraces: true,
  }
  const nc = await dialUntilThere(connectionOptions, options, listeners, random)
  let connected = true
  let reconnects = 0
  let permissionErrors = 0
  let waiting: (() => void)[] = []
  const wake = (): void => {
    const woken = waiting
    waiting = []
    for (const resolve of woken) resolve()
  }

  const watch = async (): Promise<void> => {
    for await (const status of nc.status()) {
      const detail = typeof status.data === 'string' ? status.data : JSON.stringify(status.data)
      if (status.type === Events.Disconnect) {
        if (!connected) continue
        connected = false
        listeners.emit({ type: 'disconnected', server: detail })
      } else if (status.type === Events.Reconnect) {
        void nc.flush().then(
          () => {
            connected = true
            attempt = 0
            reconnects++
            wake()
            listeners.emit({ type: 'reconnected', server: detail })
          },
          () => undefined, // Down again: another Reconnect follows.
        )
      } else if (status.type === Events.Error) {
        if (status.permissionContext !== undefined) {
          permissionErrors++
          const { operation, subject } = status.permissionContext
          listeners.emit({
            type: 'permission-error',
            operation: operation === 'publish' ? 'publish' : 'subscribe',
            subject,
          })
        } else if (LOGIN_ERRORS.has(detail)) listeners.emit({ type: 'login-refused', detail })
      }
    }
  }
  void watch()
  void nc.closed().then((error) => {
    connected = false
    wake()
    listeners.emit(error instanceof Error ? { type: 'closed', error } : { type: 'closed' })
  })
  listeners.emit({ type: 'connected', server: nc.getServer() })

  return {
    nc,
    isConnected: () => connected,
    reconnects: () => reconnects,
    permissionErrors: () => permissionErrors,
    async settle() {
      for (;;) {
        if (nc.isClosed()) throw new BusError('closed', 'the bus is closed')
        if (connected)
          try {
            await nc.flush()
            return
          } catch {
            // Disconnected meanwhile, perhaps before the event that says so.
          }
        // A reconnect sends every subscription again and makes the round trip itself.
        await new Promise<void>((resolve) => waiting.push(resolve))
        if (connected) return
      }
    },
  }
}

const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true

const dialUntilThere = async (
  connectionOptions: ConnectionOptions,
  options: NatsOptions,
  listeners: Listeners,
  random: () => number,
): Promise<NatsConnection> => {
  const { signal } = options
  for (let attempt = 0; ; attempt++) {
    if (isAborted(signal)) throw new BusError('aborted', 'gave up waiting for the broker', signal?.reason)
    try {
      const nc = await connect(connectionOptions)
      // It may have been told to stop while it dialled.
      if (!isAborted(signal)) return nc
      await nc.close()
    } catch (error) {
      const detail = tlsProblem(error, options) ?? (error instanceof Error ? error.message : String(error))
      listeners.emit({ type: isLoginError(error) ? 'login-refused' : 'unreachable', detail })
      try {
        await delay(backOff(attempt, random), undefined, signal === undefined ? {} : { signal })
      } catch {
        throw new BusError('aborted', `gave up waiting for the broker: ${detail}`, error)
      }
    }
  }
}

/** A handler's exception must not pass through the client's parser: the connection would stay open and hear nothing. */
const throwOutside = (error: unknown): void =>
  queueMicrotask(() => {
    throw error
  })

/** The client hands out a `Buffer`, whose `slice` shares memory where a `Uint8Array`'s copies. */
const plainBytes = (data: Uint8Array): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

const createBus = (name: string, link: Link, listeners: Listeners): Bus => {
  const { nc } = link
  const intakes = new Set<Intake>()
  const open = new Set<Subscription>()
  let outMessages = 0
  let outBytes = 0
  let confirmedBytes = 0
  let askedAtBytes = 0
  let congested = false
  let inMessages = 0
  let inBytes = 0
  let notSent = 0
  let droppedByEnded = 0
  let ending = false

  const confirm = (): void => {
    const upTo = outBytes
    askedAtBytes = upTo
    nc.flush().then(
      () => {
        confirmedBytes = Math.max(confirmedBytes, upTo)
        congested = false
      },
      // The connection broke: what was on its way is lost or arrived, and nothing of it waits any more.
      () => (confirmedBytes = Math.max(confirmedBytes, upTo)),
    )
  }

  const publish = (subject: string, data: Uint8Array): boolean => {
    checkLiteralSubject(subject)
    if (data.length > BUS_LIMITS.maxPayloadBytes)
      throw new RangeError(`${data.length} bytes are more than a frame of ${BUS_LIMITS.maxPayloadBytes}`)
    if (ending || !link.isConnected()) {
      notSent++
      return false
    }
    const unconfirmedBytes = outBytes - confirmedBytes
    if (unconfirmedBytes + data.length > BUS_LIMITS.maxUnconfirmedBytes) {
      notSent++
      if (!congested) {
        congested = true
        listeners.emit({ type: 'congested', unconfirmedBytes })
      }
      return false
    }
    try {
      nc.publish(subject, data)
    } catch (error) {
      if (!(error instanceof NatsError)) throw error
      notSent++
      return false
    }
    outMessages++
    outBytes += data.length
    if (outBytes - askedAtBytes >= BUS_LIMITS.confirmEveryBytes) confirm()
    return true
  }

  const subscribe = async (
    subject: string,
    options: SubscribeOptions,
    onMessage: MessageHandler,
  ): Promise<Subscription> => {
    checkPattern(subject)
    if (ending || nc.isClosed()) throw new BusError('closed', 'the bus is closed')
    const intake = createIntake(options, onMessage, () => listeners.emit({ type: 'slow-consumer', subject }))
    let refusal: Error | undefined
    const handle = nc.subscribe(subject, {
      ...(options.queue === undefined ? {} : { queue: options.queue }),
      callback: (error, message) => {
        if (error !== null) {
          refusal = error
          return
        }
        inMessages++
        inBytes += message.data.length
        try {
          intake.offer({ subject: message.subject, data: plainBytes(message.data) })
        } catch (thrown) {
          throwOutside(thrown)
        }
      },
    })
    const forget = (): void => {
      intake.end()
      droppedByEnded += intake.stats().dropped
      intakes.delete(intake)
      open.delete(subscription)
    }
    const subscription: Subscription = {
      subject,
      queue: options.queue,
      pause: () => intake.pause(),
      resume: () => intake.resume(),
      unsubscribe() {
        if (!intakes.has(intake)) return
        forget()
        if (!handle.isClosed() && !nc.isClosed()) handle.unsubscribe()
      },
      async drain() {
        if (!intakes.has(intake)) return
        if (!handle.isClosed() && !nc.isClosed() && link.isConnected())
          await within(BUS_LIMITS.drainTimeoutMs, handle.drain()).catch(() => undefined)
        intake.resume()
        if (intakes.has(intake)) subscription.unsubscribe()
      },
      stats: () => intake.stats(),
    }
    intakes.add(intake)
    open.add(subscription)
    await link.settle()
    if (refusal !== undefined) {
      subscription.unsubscribe()
      throw new BusError('permission', `the broker refuses a subscription to ${subject}`, refusal)
    }
    return subscription
  }

  const flush = async (): Promise<void> => {
    if (nc.isClosed()) throw new BusError('closed', 'the bus is closed')
    if (!link.isConnected()) throw new BusError('disconnected', 'no connection to the broker')
    const upTo = outBytes
    try {
      await within(BUS_LIMITS.flushTimeoutMs, nc.flush())
      confirmedBytes = Math.max(confirmedBytes, upTo)
    } catch (error) {
      if (error instanceof BusError) throw error
      throw new BusError('disconnected', 'the connection broke during a round trip', error)
    }
  }

  const close = async (): Promise<void> => {
    ending = true
    for (const subscription of open) subscription.unsubscribe()
    await nc.close()
  }

  const drain = async (): Promise<void> => {
    await Promise.all([...open].map((subscription) => subscription.drain()))
    ending = true
    if (link.isConnected()) await flush().catch(() => undefined)
    await close()
  }

  return {
    name,
    get connected() {
      return link.isConnected() && !ending
    },
    publish,
    subscribe,
    flush,
    drain,
    close,
    onEvent: (listener: BusEventListener) => listeners.add(listener),
    stats: () => ({
      outMessages,
      outBytes,
      inMessages,
      inBytes,
      reconnects: link.reconnects(),
      notSent,
      dropped: [...intakes].reduce((sum, intake) => sum + intake.stats().dropped, droppedByEnded),
      permissionErrors: link.permissionErrors(),
    }),
    [Symbol.asyncDispose]: drain,
  }
}

const within = async (timeoutMs: number, work: Promise<unknown>): Promise<void> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new BusError('timeout', `no answer in ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** A connection for requests and answers, under a login of its own. */
export const openRequestReply = async (options: NatsOptions): Promise<RequestReply> => {
  const listeners = createListeners(options.onEvent)
  const link = await openLink(options, listeners)
  const { nc } = link
  const name = loginName(options.login)
  return {
    name,
    async answer(subject, handler) {
      checkPattern(subject)
      let refusal: Error | undefined
      nc.subscribe(subject, {
        callback: (error, message) => {
          if (error !== null) {
            refusal = error
            return
          }
          // Only to a tool: a reply subject is the sender's choice, and could be somebody's inbox of payment traffic.
          if (message.reply === undefined || !message.reply.startsWith(`${TOOL_INBOX_PREFIX}.`)) return
          try {
            const answer = handler(plainBytes(message.data))
            if (answer === undefined || !link.isConnected()) return
            if (answer.length > BUS_LIMITS.maxPayloadBytes) throw new RangeError(`an answer of ${answer.length} bytes`)
            message.respond(answer)
          } catch (thrown) {
            throwOutside(thrown)
          }
        },
      })
      await link.settle()
      if (refusal !== undefined)
        throw new BusError('permission', `the broker refuses a subscription to ${subject}`, refusal)
    },
    async collect(subject, request, { timeoutMs, enough }) {
      checkLiteralSubject(subject)
      const answers: Uint8Array[] = []
      const inbox = createInbox(`${TOOL_INBOX_PREFIX}.${name}`)
      let finish: (error?: Error) => void = () => undefined
      const finished = new Promise<void>((resolve, reject) => {
        finish = (error) => (error === undefined ? resolve() : reject(error))
      })
      const timer = setTimeout(finish, timeoutMs)
      const unlisten = listeners.add((event) => {
        if (event.type === 'permission-error' && event.subject === subject)
          finish(new BusError('permission', `the broker refuses a request to ${subject}`))
        if (event.type === 'closed') finish(new BusError('closed', 'the connection is closed'))
      })
      const handle = nc.subscribe(inbox, {
        callback: (error, message) => {
          if (error !== null) return finish(new BusError('permission', `the broker refuses the inbox ${inbox}`, error))
          // The broker's own answer when nobody listens.
          if (message.data.length === 0 && message.headers?.code === 503) return finish()
          if (answers.length < BUS_LIMITS.maxServiceAnswers) answers.push(plainBytes(message.data))
          if (answers.length === BUS_LIMITS.maxServiceAnswers || enough(answers)) finish()
        },
      })
      try {
        nc.publish(subject, request, { reply: inbox })
        await finished
      } finally {
        clearTimeout(timer)
        unlisten()
        if (!nc.isClosed()) handle.unsubscribe()
      }
      return answers
    },
    close: () => nc.close(),
    [Symbol.asyncDispose]: () => nc.close(),
  }
}
