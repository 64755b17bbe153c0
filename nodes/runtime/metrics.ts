/** Counts and times of a host, cheap enough to be always on: integers in plain objects, read on demand. */
export type Histogram = {
  readonly record: (value: number) => void
  /** `q` in [0, 1]; the upper bound of the bucket that holds it, at most a fifth too high. 0 when nothing was recorded. */
  readonly quantile: (q: number) => number
  readonly count: () => number
  readonly max: () => number
}

/** Buckets grow by a fifth each, from 0.01. */
const GROWTH = Math.log(1.2)
const SMALLEST = 0.01
const BUCKETS = 128

export const createHistogram = (): Histogram => {
  const buckets = new Uint32Array(BUCKETS)
  let count = 0
  let max = 0
  return {
    record: (value) => {
      const at = value <= SMALLEST ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(value / SMALLEST) / GROWTH))
      buckets[at] = (buckets[at] as number) + 1
      count += 1
      if (value > max) max = value
    },
    quantile: (q) => {
      if (count === 0) return 0
      const rank = Math.max(1, Math.ceil(q * count))
      let seen = 0
      for (let at = 0; at < BUCKETS; at++) {
        seen += buckets[at] as number
        if (seen >= rank) return Math.min(max, SMALLEST * Math.exp(at * GROWTH))
      }
      return max
    },
    count: () => count,
    max: () => max,
  }
}

export const COUNTERS = [
  'received',
  'foreignSubjects',
  'steps',
  'events',
  'duplicates',
  'answersRepeated',
  'ownCredentialRefused',
  'relaysRenewed',
  'idReused',
  'refusalsSent',
  'refusalsReceived',
  'transientRefusalsReceived',
  'receiptsReceived',
  'busy',
  'overflowDropped',
  'shed',
  'failed',
  'unauthenticated',
  'parked',
  'credentialQueries',
  'credentialsLearned',
  'revocationQueries',
  'revocationLists',
  'ownKeyRevoked',
  'staleRelays',
  'relayed',
  'undeliverable',
  'sealed',
  'published',
  'notSent',
  'resent',
  'expiredInOutbox',
  'deadlines',
  'journalled',
  'jobs',
  'commands',
  'commits',
  'mutations',
] as const
export type Counter = (typeof COUNTERS)[number]

export type Metrics = {
  readonly count: (counter: Counter, by?: number) => void
  readonly value: (counter: Counter) => number
  /** Events a step, mutations a commit. */
  readonly batchEvents: Histogram
  /** Milliseconds. */
  readonly decideMs: Histogram
  readonly commitMs: Histogram
  readonly flushMs: Histogram
  /** Plain JSON. */
  readonly snapshot: () => Readonly<Record<string, unknown>>
}

const summary = (histogram: Histogram): Readonly<Record<string, number>> => ({
  count: histogram.count(),
  p50: histogram.quantile(0.5),
  p99: histogram.quantile(0.99),
  max: histogram.max(),
})

export const createMetrics = (): Metrics => {
  const counters = Object.fromEntries(COUNTERS.map((name) => [name, 0])) as Record<Counter, number>
  const batchEvents = createHistogram()
  const decideMs = createHistogram()
  const commitMs = createHistogram()
  const flushMs = createHistogram()
  return {
    count: (counter, by = 1) => {
      counters[counter] += by
    },
    value: (counter) => counters[counter],
    batchEvents,
    decideMs,
    commitMs,
    flushMs,
    snapshot: () => ({
      ...counters,
      batchEvents: summary(batchEvents),
      decideMs: summary(decideMs),
      commitMs: summary(commitMs),
      flushMs: summary(flushMs),
    }),
  }
}
