/**
 * Every bound of the protocol and of a node, in one place; SPEC "Limits" cites these names. Sizes in bytes, times in
 * milliseconds, money in minor units. What a network may set for itself is a default here and a key of `network.yaml`.
 */
const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

export const LIMITS = {
  // Wire
  maxFrameBytes: 65_536,
  maxHeaderBytes: 256,
  maxBodyBytes: 65_536 - 2_048,
  maxDepth: 6,
  maxArrayItems: 1_024,
  maxTextBytes: 1_024,
  maxChainLength: 4,
  maxCredentialBytes: 1_024,
  /** Keys on a revocation list, and its bytes with the root's signature. */
  maxRevokedKeys: 1_024,
  maxRevocationListBytes: 32_768,
  // Batch seals
  maxBatchLeaves: 1_024,
  maxProofLength: 10,
  verifiedRootCacheSize: 8_192,
  credentialCacheSize: 65_536,
  agreementCacheSize: 4_096,
  maxMessagesPerAgreement: 1_048_576,
  // Time
  maxFutureSkewMs: 30 * SECOND,
  maxClockJumpMs: 10 * MINUTE,
  maxTransLifetimeMs: 15 * MINUTE,
  maxRequestToPayLifetimeMs: 7 * DAY,
  defaultTransLifetimeMs: 2 * MINUTE,
  defaultNoticeLifetimeMs: 20 * SECOND,
  /** A hold outlives its notice by this much: 2 × clock skew + the retry window. */
  postGraceMs: 5 * MINUTE,
  /** A key whose credential ended longer ago seals nothing more, whatever time a frame states; no revocation list needs it. */
  expiredKeyGraceMs: 7 * DAY,
  transportIdRetentionMs: 1 * DAY,
  // Outbox
  firstResendMs: 500,
  maxResendMs: 15 * SECOND,
  resendJitterPercent: 25,
  maxOutboxResendsPerStep: 256,
  // Runtime
  maxStepEvents: 256,
  maxCompletionQueue: 65_536,
  maxAdmissionQueue: 8_192,
  sweepEveryMs: 1 * SECOND,
  /** Every host asks at least so often for the newest revocation list. */
  revocationPollMs: 10 * SECOND,
  maxDeadlinesPerStep: 256,
  maxUnauthenticatedLogsPerMinute: 20,
  maxParkedForCredential: 1_024,
  // CPP
  maxWrongPins: 3,
  maxWaitingPerCustomer: 64,
  /** How long the authorization to replace a lost device is good. */
  maxDeviceAuthorizationMs: 3 * DAY,
  // Settlement
  maxEntriesPerBatch: 4_096,
  maxMissingEntriesPerMessage: 64,
  maxDisputeItems: 256,
  // Merchant
  maxOpenOrdersPerHost: 100_000,
  // Guest
  maxPurchasesPerGuestLogin: 1_024,
  maxGuestLoginAgeMs: 10 * MINUTE,
} as const
