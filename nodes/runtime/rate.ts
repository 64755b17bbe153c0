/** A token bucket: `perSecond` on the long run, `burst` at once. Time never goes back (the ledger's clock). */
export type Bucket = { tokens: number; atMs: number }
export type Rate = { readonly perSecond: number; readonly burst: number }

export const fullBucket = ({ burst }: Rate, nowMs: number): Bucket => ({ tokens: burst, atMs: nowMs })

/** Has it a token now? */
export const hasToken = (bucket: Bucket, { perSecond, burst }: Rate, nowMs: number): boolean => {
  const passedMs = Math.max(0, nowMs - bucket.atMs)
  bucket.tokens = Math.min(burst, bucket.tokens + (passedMs * perSecond) / 1_000)
  bucket.atMs = nowMs
  return bucket.tokens >= 1
}

/** Takes a token; false, and nothing is taken, when there is none. */
export const takeToken = (bucket: Bucket, rate: Rate, nowMs: number): boolean => {
  if (!hasToken(bucket, rate, nowMs)) return false
  bucket.tokens -= 1
  return true
}

/** Takes a token for what has happened already, into debt, so that what ran ahead is paid back; at most `debt` deep. */
export const spendToken = (bucket: Bucket, rate: Rate, nowMs: number, debt: number): void => {
  hasToken(bucket, rate, nowMs)
  bucket.tokens = Math.max(-debt, bucket.tokens - 1)
}
