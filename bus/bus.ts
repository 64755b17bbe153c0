/**
 * The bus as nodes see it: subjects and bytes, at most once.
 *
 * Invariant: nothing here promises delivery. `publish` says only when a message was certainly not sent; everything else may
 * be lost, and the outbox resends it (design §4). A message carries no reply subject: a sender may put any subject there, so
 * protocol code that answered it would publish where its own login may not.
 */

/** One delivered message. `data` is the receiver's own: it stays as it is for as long as it is kept. */
export type BusMessage = { readonly subject: string; readonly data: Uint8Array }

/**
 * Called once for each delivered message, in the order in which each sender sent. It hands the message on and returns; it must
 * not throw (under NATS that surfaces as an uncaught exception, in the simulator from the pump).
 */
export type MessageHandler = (message: BusMessage) => void

export type SubscribeOptions = {
  /** Members of one queue group share the messages of the subject: each goes to one of them. */
  readonly queue?: string
  /** How many messages, and bytes, a paused subscription holds before it drops. Defaults: `bus-limits.ts`. */
  readonly maxPendingMessages?: number
  readonly maxPendingBytes?: number
}

export type SubscriptionStats = {
  readonly received: number
  readonly delivered: number
  /** Held back by {@link Subscription.pause}. */
  readonly pendingMessages: number
  readonly pendingBytes: number
  /** Came while the pending bound was reached: lost, as on a slow network. */
  readonly dropped: number
}

export interface Subscription {
  readonly subject: string
  readonly queue: string | undefined
  /** Holds messages back, up to the bound of pending. */
  pause(): void
  /** Delivers what is pending, in order, then everything as it comes. */
  resume(): void
  /** Ends it at once: nothing more is delivered. */
  unsubscribe(): void
  /** Ends it gently: what the broker sent before it heard of the end is still delivered. */
  drain(): Promise<void>
  stats(): SubscriptionStats
}

export type BusEvent =
  | { readonly type: 'connected'; readonly server: string }
  /** Before the first connection: an attempt failed, another follows. */
  | { readonly type: 'unreachable'; readonly detail: string }
  | { readonly type: 'disconnected'; readonly server: string }
  /** Every subscription stands again at the broker. The moment to resend what may have been lost. */
  | { readonly type: 'reconnected'; readonly server: string }
  /** The last event. `error` when it was not asked for. */
  | { readonly type: 'closed'; readonly error?: Error }
  /** A subscription's pending bound was reached; once for each time it fills. */
  | { readonly type: 'slow-consumer'; readonly subject: string }
  /** The broker takes less than is published; `publish` refuses until it has caught up. */
  | { readonly type: 'congested'; readonly unconfirmedBytes: number }
  | { readonly type: 'permission-error'; readonly operation: 'publish' | 'subscribe'; readonly subject: string }
  /** The broker refused this login, or has revoked it. The bus goes on trying: a login may be renewed. */
  | { readonly type: 'login-refused'; readonly detail: string }

export type BusEventListener = (event: BusEvent) => void

/** Counters since the connection was opened. Bytes are payload bytes. */
export type BusStats = {
  readonly outMessages: number
  readonly outBytes: number
  readonly inMessages: number
  readonly inBytes: number
  readonly reconnects: number
  /** Publishes that were certainly not sent: disconnected, congested, draining or closed. */
  readonly notSent: number
  /** Deliveries lost to the pending bound of a subscription. */
  readonly dropped: number
  readonly permissionErrors: number
}

export interface Bus extends AsyncDisposable {
  /** The login's name: a host id or a guest's token. It stands last in every subject that this bus may publish. */
  readonly name: string
  readonly connected: boolean
  /**
   * Hands `data` (kept unchanged until the next turn of the event loop) to the broker. True: it may arrive. False: it certainly
   * was not sent, and is counted.
   * @throws TypeError for a subject that is not literal, RangeError for more than `maxPayloadBytes`.
   */
  publish(subject: string, data: Uint8Array): boolean
  /**
   * Resolves when the broker has the subscription: whoever publishes after that reaches it.
   * @throws BusError `permission` when the login may not subscribe there.
   */
  subscribe(subject: string, options: SubscribeOptions, onMessage: MessageHandler): Promise<Subscription>
  /**
   * A round trip: the broker has processed everything published before.
   * @throws BusError `disconnected`, `timeout` or `closed`: what was published before may be lost.
   */
  flush(): Promise<void>
  /** Ends every subscription gently, flushes, closes. */
  drain(): Promise<void>
  /** Closes at once. */
  close(): Promise<void>
  /** Listens from now on; the returned function ends it. */
  onEvent(listener: BusEventListener): () => void
  stats(): BusStats
}

export type OpenOptions = {
  readonly onEvent?: BusEventListener
  /** Ends an opening that still waits for its broker. */
  readonly signal?: AbortSignal
}

/** How a host reaches the network. `Symbol.asyncDispose` drains every bus that is still open. */
export interface Broker extends AsyncDisposable {
  /** Logs in as the host. Waits, for ever if it must, until the broker is there. */
  openHost(options?: OpenOptions): Promise<Bus>
  /**
   * Logs in anonymously with the login key of these 32 random bytes. The public key is the bus's name and the guest's token
   * (`guestToken`), which the subjects of the purchase carry instead of a name: nobody chooses a token, or takes another's.
   * @throws BusError `not-a-wallet-host` when the host holds no guest signer; TypeError for another number of bytes.
   */
  openGuest(seed: Uint8Array, options?: OpenOptions): Promise<Bus>
}

export type BusErrorCode =
  'disconnected' | 'timeout' | 'closed' | 'permission' | 'aborted' | 'not-a-wallet-host' | 'refused-by-broker'

export class BusError extends Error {
  override readonly name = 'BusError'
  readonly code: BusErrorCode
  constructor(code: BusErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}
