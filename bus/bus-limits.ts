/** Every bound of the bus, in one place. Sizes in bytes, times in milliseconds. */
import { LIMITS } from '../protocol/limits.ts'

const SECOND = 1_000
const KIB = 1_024
const MIB = 1_024 * KIB

export const BUS_LIMITS = {
  /** The broker closes a connection that sends more, so the bus refuses it first. */
  maxPayloadBytes: LIMITS.maxFrameBytes,
  maxSubjectLength: 256,
  maxPendingMessages: 8_192,
  maxPendingBytes: 64 * MIB,
  /** A round trip is asked for each time this much was published since the last. */
  confirmEveryBytes: 256 * KIB,
  /** Published and not yet confirmed by a round trip; past it, publishes are refused. */
  maxUnconfirmedBytes: 32 * MIB,
  flushTimeoutMs: 10 * SECOND,
  drainTimeoutMs: 10 * SECOND,
  connectTimeoutMs: 5 * SECOND,
  firstReconnectMs: 100,
  maxReconnectMs: 5 * SECOND,
  reconnectJitterPercent: 50,
  pingEveryMs: 10 * SECOND,
  maxMissedPings: 2,
  // Broker
  /** A client that has not ended its handshake by then is dropped. In seconds, as the server's setting is. */
  tlsHandshakeSeconds: 5,
  maxSubscriptionsPerHost: 256,
  maxSubscriptionsPerGuest: 4,
  /** Account updates and service answers are larger than a frame. */
  maxBrokerPayloadBytes: 1 * MIB,
  serverStartTimeoutMs: 20 * SECOND,
  serverStopTimeoutMs: 10 * SECOND,
  maxServiceAnswers: 10_000,
} as const
