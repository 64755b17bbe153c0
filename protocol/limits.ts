/**
 * Every bound of the protocol, of the bus and of a node, in one place: a row is its value and what it bounds, and SPEC "Limits"
 * is generated from the rows. Sizes in bytes, times in milliseconds, shares and jitter as they say. What a network may set for
 * itself is a default here and a key of `network.yaml`.
 *
 * "Sender" is the previous hop, for which the broker vouches; of what a data center relays, it is the originator, whose seal the
 * data center has verified; guests, of whom anybody who mints guest logins can have many, are one sender with turns inside.
 */
const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const KIB = 1_024
const MIB = 1_024 * KIB

const WIRE = {
  maxFrameBytes: [64 * KIB, 'a frame: header, body and seal'],
  maxHeaderBytes: [256, 'a header'],
  maxBodyBytes: [62 * KIB, 'a body, so that a frame can be nested and carried'],
  maxDepth: [6, 'maps and lists inside each other'],
  maxArrayItems: [1_024, 'a list, where its field says nothing less'],
  maxMapEntries: [64, 'fields of a map'],
  maxTextBytes: [1_024, 'a text, where its field says nothing less'],
  maxDetailLength: [240, 'the detail of a refusal, in characters'],
  maxSignatureBytes: [512, 'a signature of any algorithm'],
  maxChainLength: [4, 'credentials from the root key down'],
  maxCredentialBytes: [1_024, 'a credential'],
  maxRevocationListBytes: [32 * KIB, 'the revocation list'],
  maxRevokedKeys: [1_024, 'keys on the revocation list'],
  maxEvidenceBytes: [1 * MIB, 'an evidence bundle'],
  maxEvidencePieces: [256, 'pieces of an evidence bundle'],
  maxRefundsInEvidence: [32, 'refunds of one payment in an evidence bundle'],
} as const

const SEALS = {
  maxBatchLeaves: [1_024, 'messages under one batch seal'],
  maxProofLength: [10, 'hashes in the path of a batch seal'],
  verifiedRootCacheSize: [8_192, 'verified batch roots kept'],
  provenTreesKept: [64, 'verified batch trees kept, of the newest roots'],
  credentialCacheSize: [65_536, 'verified keys and chains kept'],
  rsaKeyCacheSize: [1_024, 'parsed RSA keys kept'],
  agreementCacheSize: [4_096, 'derived keys of confidential kinds kept'],
  maxMessagesPerAgreement: [1_048_576, 'messages under one ephemeral key'],
} as const

const TIME = {
  maxFutureSkewMs: [30 * SECOND, 'how far ahead of the receiver a sender may be'],
  maxClockJumpMs: [10 * MINUTE, 'a jump of the clock that is followed without an operator'],
  maxTransLifetimeMs: [15 * MINUTE, 'the life of an invoice'],
  maxRequestToPayLifetimeMs: [7 * DAY, 'the life of an invoice that was sent to an alias'],
  defaultTransLifetimeMs: [2 * MINUTE, 'the life of an invoice, unless configured'],
  defaultNoticeLifetimeMs: [20 * SECOND, 'the life of a notice, unless configured'],
  postGraceMs: [5 * MINUTE, 'how much a hold outlives its notice: 2 × clock skew and the time of resending'],
  expiredKeyGraceMs: [
    7 * DAY,
    'how long after its end a credential’s key is still judged by the time that a frame states',
  ],
  transportIdRetentionMs: [1 * DAY, 'how long a message without a business id is known again'],
} as const

const OUTBOX = {
  firstResendMs: [500, 'the wait before the first resend; it doubles'],
  maxResendMs: [15 * SECOND, 'the longest wait before a resend'],
  resendJitterPercent: [25, 'by how much each wait is longer or shorter'],
  askSilentBankMs: [500, 'how often a bank is sent some of what waits for it, while it is not heard of'],
  maxAskedSilentBank: [16, 'messages that it is sent then'],
  maxOutboxResendsPerStep: [256, 'resends in one step'],
  reconnectSpreadMs: [
    300,
    'over how long the outbox is sent again after a reconnect, or what waits for a host that returns',
  ],
} as const

const STEP = {
  maxStepEvents: [256, 'events decided in one step and committed together'],
  minAdmissionsPerStep: [64, 'of them, left to admissions when completions are more than the rest'],
  minBusyPerStep: [8, 'of them, left to answering BUSY'],
  maxCommitsInFlight: [2, 'batches being committed or flushed'],
  revocationPollMs: [10 * SECOND, 'how often, at least, a host asks for the newest revocation list'],
  revocationPollJitterPercent: [25, 'by how much of that it may ask early'],
  sweepEveryMs: [1 * SECOND, 'how often deadlines are looked for'],
  maxDeadlinesPerStep: [256, 'deadlines fired, and transport ids forgotten, in one step'],
} as const

const QUEUES = {
  maxCompletionQueue: [65_536, 'completions that wait'],
  maxAdmissionQueue: [8_192, 'admissions that wait; the next is answered BUSY'],
  maxBusyQueue: [256, 'admissions that wait for their BUSY; the next is dropped'],
  maxShedQueue: [1_024, 'frames of shed senders that wait for an idle moment'],
  maxQueuedBytes: [64 * MIB, 'each of these queues'],
  maxCompletionsPerSender: [
    16_384,
    'completions of one sender that wait; the next is dropped, and its resend is the answer',
  ],
  maxAdmissionsPerSender: [2_048, 'admissions of one sender that wait'],
  maxBusyPerSender: [32, 'admissions of one sender that wait for their BUSY'],
  maxShedPerSender: [128, 'frames of one shed sender that wait'],
  maxSenderShare: [
    8,
    'times what is still free: what one sender may fill of a queue, so that a newcomer always finds room',
  ],
  guestTurns: [4, 'frames taken from the guests in their turn'],
  relayTurns: [16, 'frames taken from a data center in its turn, since it relays for many'],
  maxStartQueue: [8_192, 'control commands that start something and wait'],
  maxPendingCommands: [65_536, 'control commands without an answer yet'],
} as const

const SENDERS = {
  maxTrackedSenders: [4_096, 'senders remembered: hosts, originators behind data centers, and guests, each'],
  maxFailedFramesPerSecond: [
    50,
    'frames of one sender that fail before the sender is shed: its frames then wait until nothing else does',
  ],
  failedFramesBurst: [500, 'frames of one sender that may fail at once'],
  maxAdmissionsPerSenderPerSecond: [5_000, 'admissions of one sender; the next is answered BUSY'],
  maxStoredRefusalsPerSecond: [50, 'refusals of one sender that a ledger keeps; the next admission is answered BUSY'],
  storedRefusalsBurst: [250, 'refusals of one sender that a ledger keeps at once'],
  maxSenderLogsPerMinute: [60, 'log lines that frames of others cause, a sender one'],
  maxOffendersShown: [16, 'senders that `status` lists, worst first'],
  maxParkedForCredential: [1_024, 'frames that wait for a credential'],
  maxParkedPerSender: [64, 'of them, of one sender'],
  maxCredentialQueriesPerSecond: [100, 'credentials asked for because of frames that came'],
  maxCredentialQueriesPerSenderPerSecond: [10, 'credentials asked for because of frames of one sender'],
  maxCredentialQueriesKept: [4_096, 'credentials that were asked for, remembered for their back-off'],
} as const

const HOST = {
  recentAnswersKept: [256, 'answers to questions, repeated while they are remembered'],
  maxPassingEntries: [20_000, 'events without effect on the ledger that are kept for `trace`'],
  maxPassingBytes: [16 * MIB, 'the same, packed'],
  maxTracedHops: [10_000, 'entries that one `trace` finds'],
  maxTracedIds: [256, 'ids that one `trace` looks for'],
  maxPageRows: [1_000, 'rows of one page of a report'],
  maxHoldMs: [1 * MINUTE, 'how long a host stands still while ledgers are copied'],
  maxFlushSeconds: [60, 'seconds that a disk may take to say that it has a batch; then its host stops'],
  maxDrainMs: [10 * MINUTE, 'how long `drain` waits'],
  stopDrainMs: [5 * SECOND, 'how long a host that is stopped goes on deciding what has come'],
  maxControlConnections: [256, 'connections to a control socket'],
  maxControlRequestBytes: [1 * MIB, 'a request on a control socket'],
  maxControlPending: [4_096, 'requests of one connection without an answer'],
  maxControlUnreadBytes: [64 * MIB, 'answers that a connection does not read; it is closed then'],
} as const

const ROLES = {
  maxWrongPins: [3, 'wrong PINs before a customer is locked'],
  maxDeviceAuthorizationMs: [3 * DAY, 'how long the authorization to replace a lost device is good'],
  maxWaitingPerCustomer: [64, 'payments of a customer that wait for a collection'],
  maxBulkItems: [512, 'transfers in one bulk order'],
  maxEntriesPerBatch: [4_096, 'entries of a settlement batch'],
  maxMissingEntriesPerMessage: [64, 'entries asked for, or shown, in one message'],
  maxRefundRetryMs: [1 * DAY, 'the longest wait before a refund that a bank refused to credit is ordered again'],
  maxRefundsPerPayment: [64, 'refunds of one payment, those that were refused among them'],
  maxDisputeItems: [256, 'items of a dispute'],
  maxClearingItems: [256, 'banks in one clearing order'],
  maxOpenOrdersPerHost: [100_000, 'orders of a merchant host that are not yet ended'],
  maxOpenGuests: [1_024, 'guest logins of a wallet host'],
  maxPurchasesPerGuestLogin: [1_024, 'purchases under one guest login'],
  maxGuestLoginAgeMs: [
    10 * MINUTE,
    'the age of a guest login that takes new purchases; the broker ends it at twice that',
  ],
} as const

const BUS = {
  maxSubjectLength: [256, 'a subject, in characters'],
  maxPendingMessages: [8_192, 'messages that a paused subscription holds'],
  maxPendingBytes: [64 * MIB, 'the same'],
  confirmEveryBytes: [256 * KIB, 'published between two round trips to the broker'],
  maxUnconfirmedBytes: [32 * MIB, 'published and not yet confirmed by a round trip; past it, publishes are refused'],
  flushTimeoutMs: [10 * SECOND, 'the wait for a round trip'],
  drainTimeoutMs: [10 * SECOND, 'the wait for a subscription to end'],
  connectTimeoutMs: [5 * SECOND, 'the wait for a connection'],
  firstReconnectMs: [100, 'the wait before the first reconnect; it doubles'],
  maxReconnectMs: [5 * SECOND, 'the longest wait before a reconnect'],
  reconnectJitterPercent: [50, 'by how much a wait may be longer'],
  pingEveryMs: [10 * SECOND, 'how often the broker is asked whether it is there'],
  maxMissedPings: [2, 'pings without an answer before a connection is given up'],
  maxServiceAnswers: [10_000, 'answers of one discovery'],
} as const

const BROKER = {
  tlsHandshakeSeconds: [5, 'seconds after which a client that has not ended its handshake is dropped'],
  maxConnections: [65_536, 'connections to the broker, guests among them'],
  maxSubscriptionsPerHost: [256, 'subscriptions of a connection'],
  maxSubscriptionsPerGuest: [2, 'subscriptions of a guest'],
  maxGuestPayloadBytes: [4 * KIB, 'what a guest publishes'],
  maxBrokerPayloadBytes: [
    1 * MIB,
    'a message of the broker itself: account updates and service answers are larger than a frame',
  ],
  serverStartTimeoutMs: [20 * SECOND, 'the wait for a broker to start'],
  serverStopTimeoutMs: [10 * SECOND, 'the wait for a broker to stop'],
} as const

/** Title → rows, as SPEC shows them. */
export const LIMIT_GROUPS = {
  'On the wire': WIRE,
  'Seals and keys': SEALS,
  Time: TIME,
  Outbox: OUTBOX,
  'A step': STEP,
  'Queues of a host': QUEUES,
  Senders: SENDERS,
  'A host': HOST,
  Roles: ROLES,
  Bus: BUS,
  Broker: BROKER,
} as const satisfies Readonly<Record<string, Readonly<Record<string, readonly [value: number, bounds: string]>>>>

const ROWS = {
  ...WIRE,
  ...SEALS,
  ...TIME,
  ...OUTBOX,
  ...STEP,
  ...QUEUES,
  ...SENDERS,
  ...HOST,
  ...ROLES,
  ...BUS,
  ...BROKER,
} as const

export const LIMITS = Object.fromEntries(Object.entries(ROWS).map(([name, [value]]) => [name, value])) as {
  readonly [Name in keyof typeof ROWS]: number
}
