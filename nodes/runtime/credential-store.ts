/**
 * Whose key is it? Chains known from the start and chains learned on the way, each verified to the root before it is believed.
 * What is not known is asked of the realm's data center, once for each back-off, while the frames that need it are parked.
 */
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import {
  isNewer,
  isRecordRevoked,
  judgeChain,
  verifyChain,
  verifyChainAsIssued,
  type KeyRecord,
  type Trust,
  type VerifiedChain,
} from '../../protocol/credentials.ts'
import { ok, type Result } from '../../protocol/failures.ts'
import type { Role } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { createLru } from '../../protocol/lru.ts'
import { put, type Reader, type Write } from './node.ts'
import { fullBucket, hasToken, takeToken, type Bucket, type Rate } from './rate.ts'
import { credentialIdTable, credentialTable, type CredentialRow } from './runtime-tables.ts'
import { keyText } from './sorted-map.ts'
import { keyOf } from './table.ts'

export type CredentialStore = {
  /** Whether or not it is revoked: whoever opens a frame judges that by the list in force then. */
  readonly byKeyId: (keyId: Uint8Array) => KeyRecord | undefined
  /** The newest key of a host, whether or not it is revoked. */
  readonly byId: (id: string) => KeyRecord | undefined
  /** The newest key of a host, for what is to be sent to it; undefined when that is revoked. */
  readonly usable: (id: string) => KeyRecord | undefined
  readonly roleOf: (id: string) => Role | undefined
  /** Believes a chain that was verified already; the rows to be written, none when it says nothing new. */
  readonly learn: (chain: readonly Uint8Array[], verified: VerifiedChain, nowMs: number) => readonly Write[]
  /** Verifies a chain from outside, then {@link learn}s it. */
  readonly verifyAndLearn: (
    chain: readonly Uint8Array[],
    nowMs: number,
  ) => Result<{ readonly verified: VerifiedChain; readonly rows: readonly Write[] }>
  /**
   * Takes chains from the operator, who gave the first ones too: one's own, data centers'. The rows keep them for whoever asks
   * later, when the operator gives others. @throws Error for a bad one, before anything changes
   */
  readonly trustChains: (chains: readonly (readonly Uint8Array[])[], nowMs: number) => readonly Write[]
}

/**
 * @param known chains that need no asking: one's own and those of the realm's data centers
 * @param self the id of a processor that certifies hosts: a host that it certified is known by its own chain alone, or another
 *   processor could give that host's name keys of its choice, and what is encrypted to the host would be lost to it
 * @throws Error for a bad one of `known`
 */
export const createCredentialStore = (
  trust: Trust,
  read: Reader,
  known: readonly (readonly Uint8Array[])[],
  nowMs: number,
  self?: string,
): CredentialStore => {
  /** Given by the operator: never asked for, and here again at each start. */
  const fixedByKey = new Map<string, KeyRecord>()
  const fixedById = new Map<string, KeyRecord>()
  const cache = createLru<KeyRecord>(LIMITS.credentialCacheSize)
  const cacheById = createLru<KeyRecord>(LIMITS.credentialCacheSize)

  const recordsOf = ({ processorKey, hostKey }: VerifiedChain): readonly KeyRecord[] =>
    hostKey === undefined ? [processorKey] : [processorKey, hostKey]

  const verifyGiven = (chain: readonly Uint8Array[], atMs: number): VerifiedChain => {
    // A host whose own key is revoked still starts: what it has kept stays readable, and a new credential is on its way.
    const verified = verifyChainAsIssued(trust, chain, atMs)
    if (verified.ok) return verified.value
    throw new Error(
      `a credential chain given to this host does not hold: ${verified.failure.code} ${verified.failure.detail}`,
    )
  }
  const fix = (verified: VerifiedChain): void => {
    for (const record of recordsOf(verified)) {
      fixedByKey.set(keyText(record.keyId), record)
      const newest = fixedById.get(record.owner)
      if (newest === undefined || isNewer(record, newest)) fixedById.set(record.owner, record)
    }
  }
  for (const chain of known) fix(verifyGiven(chain, nowMs))

  const byKeyId = (keyId: Uint8Array): KeyRecord | undefined => {
    const name = keyText(keyId)
    const quick = fixedByKey.get(name) ?? cache.get(name)
    if (quick !== undefined) return quick
    const row = read.get(credentialTable, keyId)
    if (row === undefined) return undefined
    // Judged at the time it was learned: validity at the time of a message is asked by whoever opens it.
    const verified = verifyChainAsIssued(trust, row.chain, row.learnedAtMs)
    if (!verified.ok) return undefined
    const record = recordsOf(verified.value).find((one) => keyText(one.keyId) === name)
    if (record !== undefined) cache.set(name, record)
    return record
  }
  const byId = (id: string): KeyRecord | undefined => {
    const quick = cacheById.get(id)
    if (quick !== undefined) return quick
    const row = read.get(credentialIdTable, id)
    const learned = row === undefined ? undefined : byKeyId(row.keyId)
    const fixed = fixedById.get(id)
    const record = fixed === undefined || (learned !== undefined && isNewer(learned, fixed)) ? learned : fixed
    if (record !== undefined) cacheById.set(id, record)
    return record
  }
  const certifiedHere = (host: string): boolean => {
    const current = read.get(credentialIdTable, host)
    const row = current === undefined ? undefined : read.get(credentialTable, current.keyId)
    if (row === undefined) return false
    const verified = verifyChainAsIssued(trust, row.chain, row.learnedAtMs)
    return verified.ok && verified.value.host?.id === host && verified.value.processor.id === self
  }
  const learn: CredentialStore['learn'] = (chain, verified, learnedAtMs) =>
    recordsOf(verified).flatMap((record, at) => {
      const name = keyText(record.keyId)
      const before = byKeyId(record.keyId)
      // The same key certified anew replaces what is known of it: a certifier that has rotated will not vouch by its old key for
      // ever, and a host that several processors certify may be known by the chain of one whose key is revoked by now.
      if (
        before !== undefined &&
        !isRecordRevoked(trust, before) &&
        (fixedByKey.has(name) || !certifiedAnew(record, before, chain, verified, at))
      )
        return []
      // Asked last: almost every chain of a payment is one that says nothing new.
      const isOwn = at > 0 && verified.processor.id === self
      const wasOwn = at > 0 && self !== undefined && certifiedHere(record.owner)
      if (wasOwn && !isOwn) return []
      const newest = byId(record.owner)
      // Names of hosts are given by CPPs and MPPs, who may lie: a name that is known does not change its role, unless to that of
      // a processor, whose name the root has signed.
      const changesRole = newest !== undefined && newest.role !== record.role
      if (changesRole && record.operatorId === undefined) return []
      cache.set(name, record)
      const rows: Write[] = [
        // Of a longer chain only the part that certifies this key.
        put(credentialTable, keyOf(record.keyId), { id: record.owner, chain: chain.slice(0, at + 1), learnedAtMs }),
      ]
      const replaces =
        newest === undefined ||
        equalBytes(newest.keyId, record.keyId) ||
        isNewer(record, newest) ||
        isRecordRevoked(trust, newest)
      if (replaces || changesRole || (isOwn && !wasOwn)) {
        cacheById.set(record.owner, record)
        rows.push(put(credentialIdTable, keyOf(record.owner), { keyId: record.keyId }))
      }
      return rows
    })
  /** A newer credential of the same key, or the same one under a newer key of its certifier. */
  const certifiedAnew = (
    record: KeyRecord,
    before: KeyRecord,
    chain: readonly Uint8Array[],
    verified: VerifiedChain,
    at: number,
  ): boolean => {
    if (isNewer(record, before)) return true
    if (at === 0 || isNewer(before, record)) return false
    const row = read.get(credentialTable, record.keyId)
    const held = row === undefined ? undefined : judgeHeld(row, chain.slice(0, at + 1), verified)
    // Unreadable is revoked meanwhile: whatever still holds is better.
    if (held === undefined || !held.ok) return true
    const certifier = held.value.processorKey
    const { processorKey } = verified
    return certifier.owner === processorKey.owner && isNewer(processorKey, certifier)
  }
  /** The same chain as the one that was verified just now is not hashed again to find that out. */
  const judgeHeld = (
    { chain, learnedAtMs }: CredentialRow,
    shown: readonly Uint8Array[],
    verified: VerifiedChain,
  ): Result<VerifiedChain> =>
    chain.length === shown.length && chain.every((credential, at) => equalBytes(credential, shown[at] as Uint8Array))
      ? judgeChain(trust, verified, learnedAtMs)
      : verifyChain(trust, chain, learnedAtMs)
  return {
    byKeyId,
    byId,
    usable: (id) => {
      const record = byId(id)
      return record === undefined || isRecordRevoked(trust, record) ? undefined : record
    },
    roleOf: (id) => byId(id)?.role,
    learn,
    verifyAndLearn: (chain, at) => {
      const verified = verifyChain(trust, chain, at)
      return verified.ok ? ok({ verified: verified.value, rows: learn(chain, verified.value, at) }) : verified
    },
    trustChains: (chains, at) => {
      const verified = chains.map((chain) => verifyGiven(chain, at))
      return verified.flatMap((one, index) => {
        fix(one)
        return recordsOf(one).flatMap((record, depth): readonly Write[] => {
          cache.set(keyText(record.keyId), record)
          cacheById.delete(record.owner)
          if (read.get(credentialTable, record.keyId) !== undefined) return []
          const chain = (chains[index] as readonly Uint8Array[]).slice(0, depth + 1)
          const row = put(credentialTable, keyOf(record.keyId), { id: record.owner, chain, learnedAtMs: at })
          return byId(record.owner) === record
            ? [row, put(credentialIdTable, keyOf(record.owner), { keyId: record.keyId })]
            : [row]
        })
      })
    },
  }
}

/** What is missing: a key, or the credential of a host. */
export type Missing = {
  readonly id: string
  readonly keyId?: Uint8Array
  /** Whose frame needs it; absent when it is needed for a message of this host's own. */
  readonly because?: string
}

export type CredentialQueries = {
  /** True when it is time to ask (again). */
  readonly shouldAsk: (missing: Missing, nowMs: number) => boolean
  readonly answered: (id: string) => void
}

const ALL: Rate = { perSecond: LIMITS.maxCredentialQueriesPerSecond, burst: LIMITS.maxCredentialQueriesPerSecond }
const EACH: Rate = {
  perSecond: LIMITS.maxCredentialQueriesPerSenderPerSecond,
  burst: LIMITS.maxCredentialQueriesPerSenderPerSecond,
}

export const createCredentialQueries = (): CredentialQueries => {
  const asked = createLru<{ readonly nextAtMs: number; readonly times: number }>(LIMITS.maxCredentialQueriesKept)
  const senders = createLru<Bucket>(LIMITS.maxTrackedSenders)
  const all = fullBucket(ALL, 0)
  /** Anybody can name keys that nobody has: what asking for them may cost is bounded, of each sender and in all. */
  const mayAsk = (sender: string, nowMs: number): boolean => {
    const own = senders.get(sender) ?? fullBucket(EACH, nowMs)
    senders.set(sender, own)
    return hasToken(all, ALL, nowMs) && takeToken(own, EACH, nowMs) && takeToken(all, ALL, nowMs)
  }
  const nameOf = ({ id, keyId }: Missing): string => (keyId === undefined ? id : `${id} ${toHex(keyId)}`)
  return {
    shouldAsk: (missing, nowMs) => {
      const last = asked.get(nameOf(missing))
      if (last !== undefined && nowMs < last.nextAtMs) return false
      if (missing.because !== undefined && !mayAsk(missing.because, nowMs)) return false
      const times = (last?.times ?? 0) + 1
      asked.set(nameOf(missing), {
        times,
        nextAtMs: nowMs + Math.min(LIMITS.maxResendMs, LIMITS.firstResendMs * 2 ** Math.min(times - 1, 10)),
      })
      return true
    },
    answered: (id) => asked.delete(id),
  }
}
