/**
 * The revocation list of a host (design §7): which keys are void, since when this is known, and whom to ask for a newer list.
 * The list is a row of the ledger and a set in memory; every check of a key reads the set, so a list is in force for the next
 * frame after the one that brought it.
 *
 * Invariant: the version in force never goes back. Only the root's signature and a higher version replace a list, whoever
 * brings it, so a replayed, withheld or forged one can at worst leave what was in force.
 */
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { decodeBody } from '../../protocol/codec.ts'
import {
  chainKeyIds,
  isRecordRevoked,
  verifyChain,
  verifyRevocationList,
  type Trust,
} from '../../protocol/credentials.ts'
import { fail, ok, type Result } from '../../protocol/failures.ts'
import type { KindName } from '../../protocol/kinds.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { keyOfBytes } from '../../protocol/lru.ts'
import type { RevocationStatement } from '../../protocol/statements.ts'
import { parseOwnFrame, sealKeyIdOf } from '../../protocol/seals.ts'
import type { Batch } from './apply.ts'
import type { CredentialStore } from './credential-store.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { Reader } from './node.ts'
import { compose, type Composer } from './outgoing.ts'
import { revocationTable, type RevocationRow } from './runtime-tables.ts'

export type RevocationStatus = {
  /** 0: no list has been heard of. */
  readonly revocationListVersion: number
  readonly revokedKeys: number
  /** Since a data center last said that there is none newer; null when none has answered yet. */
  readonly revocationListAgeMs: number | null
}

export type Revocations = {
  readonly isRevoked: (keyId: Uint8Array) => boolean
  readonly current: () => RevocationRow | undefined
  readonly keyIds: () => readonly Uint8Array[]
  /**
   * Puts a list in force if it is the root's and newer; the row to be written then, undefined for the very list in force.
   * BROKEN_CHAIN, WRONG_NETWORK, or REGISTRATION_STALE for an older one, or another of the same version.
   */
  readonly adopt: (list: Uint8Array, nowMs: number) => Result<RevocationRow | undefined>
  /** A data center showed the list in force in a message that it made at `sentAtMs`. */
  readonly confirmed: (sentAtMs: number, nowMs: number) => void
  /** The answer to the question with this digest: there is no list. */
  readonly none: (digest: Uint8Array, sentAtMs: number, nowMs: number) => void
  /** Adds the questions that are due. */
  readonly poll: (batch: Batch, nowMs: number) => void
  /** Asks again within `withinMs`: what came while the host was cut off is lost. */
  readonly hasten: (nowMs: number, withinMs: number) => void
  readonly nextDueAtMs: () => number
  readonly status: (nowMs: number) => RevocationStatus
}

export type RevocationDeps = {
  /** What the list is verified with: the root key alone matters. */
  readonly trust: Trust
  readonly read: Reader
  /** The keys that this host's own word stands on: its message key and those of its chains. */
  readonly ownKeyIds: () => readonly Uint8Array[]
  readonly metrics: Metrics
  readonly log: Log
  /** Fractions in [0, 1). */
  readonly fraction: () => number
}
/** How and whom to ask, once the host can send. */
export type RevocationQuestions = {
  readonly composer: Composer
  /** The host's own chain: who asks shows it. */
  readonly chain: (turn: number) => readonly Uint8Array[]
  readonly sources: (nowMs: number) => readonly string[]
}

/** The same trust, judging by the ledger's own list and the host's own clock, wherever a chain or a seal is judged. */
export const judging = (trust: Trust, revocations: Pick<Revocations, 'isRevoked'>, now: () => number): Trust => ({
  ...trust,
  isRevoked: (keyId) => revocations.isRevoked(keyId) || trust.isRevoked(keyId),
  isPast: (notAfterMs) => now() > notAfterMs + LIMITS.expiredKeyGraceMs,
})

/**
 * Was a frame that is kept to be forwarded sealed with a key that has been revoked, or is too long expired, since it was taken? A
 * request to pay is told by the chain of the invoice inside, so it is worth no more than that.
 */
export const isStale = (
  trust: Trust,
  credentials: Pick<CredentialStore, 'byKeyId'>,
  kind: KindName,
  frame: Uint8Array,
): boolean => {
  const keyId = sealKeyIdOf(frame)
  if (keyId === undefined) return false
  const record = credentials.byKeyId(keyId)
  const isVoid =
    record === undefined ? trust.isRevoked(keyId) : isRecordRevoked(trust, record) || trust.isPast(record.notAfterMs)
  if (isVoid || kind !== 'request-to-pay') return isVoid
  const parsed = parseOwnFrame(frame)
  if (!parsed.ok) return false
  const body = decodeBody('request-to-pay', parsed.value.header.bodyVersion, parsed.value.bodyBytes)
  return body.ok && isStale(trust, credentials, 'transaction-details', body.value.trans)
}

/** Ids of the message key and of the keys of a host's own chains: it is believed while none of them is revoked. */
export const ownKeyIds = (
  trust: Trust,
  signing: { readonly keyId: Uint8Array },
  chains: readonly (readonly Uint8Array[])[],
): readonly Uint8Array[] => [signing.keyId, ...chains.flatMap((chain) => chainKeyIds(trust, chain))]

/**
 * The chain that a host shows of itself: one that holds, of the several that it may have. `turn` goes through them, since a host
 * that has not heard yet that one of its processors is revoked gets no answer under that one's chain.
 */
export const shownChain = (
  trust: Trust,
  chains: readonly (readonly Uint8Array[])[],
  nowMs: number,
  turn = 0,
): readonly Uint8Array[] => {
  const holding = chains.filter((chain) => verifyChain(trust, chain, nowMs).ok)
  return holding[turn % Math.max(1, holding.length)] ?? chains[0] ?? []
}

/** What the control socket tells. Key ids and list in hex. */
export const revocationFacts = (
  revocations: Pick<Revocations, 'current' | 'keyIds'>,
): {
  readonly version: number
  readonly revoked: readonly string[]
  readonly list: string | null
  readonly receivedAtMs: number | null
} => {
  const row = revocations.current()
  return {
    version: row?.version ?? 0,
    revoked: revocations.keyIds().map(toHex),
    list: row === undefined ? null : toHex(row.list),
    receivedAtMs: row?.receivedAtMs ?? null,
  }
}

/** @throws Error when the list in the ledger is not the root's: the ledger is another network's, or was tampered with. */
export const createRevocations = (deps: RevocationDeps, questions: () => RevocationQuestions): Revocations => {
  const { trust, read, metrics, log } = deps
  let row = read.get(revocationTable, 'current')
  let revoked: ReadonlyMap<string, Uint8Array> = new Map()
  let heardAtMs = row?.receivedAtMs
  let nextAtMs = 0
  let turn = 0
  let asked: readonly string[] = []
  const lamented = new Set<string>()

  const enforce = (statement: RevocationStatement): void => {
    revoked = new Map(statement.revoked.map((keyId) => [keyOfBytes(keyId), keyId]))
    for (const keyId of deps.ownKeyIds()) {
      const name = toHex(keyId)
      if (!revoked.has(keyOfBytes(keyId)) || lamented.has(name)) continue
      lamented.add(name)
      metrics.count('ownKeyRevoked')
      log.write('error', 'a key of this host is revoked: nobody believes what it seals until it has another', {
        keyId: name,
        version: statement.version,
      })
    }
  }

  if (row !== undefined) {
    const kept = verifyRevocationList(trust, row.list)
    if (!kept.ok) throw new Error(`the ledger's revocation list does not hold: ${kept.failure.code}`)
    enforce(kept.value)
  }

  const heard = (sentAtMs: number, nowMs: number): void => {
    // A replayed answer is as old as it says; a clock that is ahead makes none fresher than now.
    heardAtMs = Math.max(heardAtMs ?? 0, Math.min(sentAtMs, nowMs))
  }

  return {
    // As a rule none is: then no name is made of the key.
    isRevoked: (keyId) => revoked.size > 0 && revoked.has(keyOfBytes(keyId)),
    current: () => row,
    keyIds: () => [...revoked.values()],
    adopt: (list, nowMs) => {
      if (row !== undefined && equalBytes(row.list, list)) return ok(undefined)
      const verified = verifyRevocationList(trust, list)
      if (!verified.ok) return verified
      const { version } = verified.value
      if (row !== undefined && version <= row.version)
        return fail('REGISTRATION_STALE', `version ${row.version} is in force`)
      row = { version, list: list.slice(), receivedAtMs: nowMs }
      enforce(verified.value)
      metrics.count('revocationLists')
      return ok(row)
    },
    confirmed: heard,
    none: (digest, sentAtMs, nowMs) => {
      if (row === undefined && asked.includes(toHex(digest))) heard(sentAtMs, nowMs)
    },
    poll: (batch, nowMs) => {
      if (nowMs < nextAtMs) return
      nextAtMs =
        nowMs + Math.ceil(LIMITS.revocationPollMs * (1 - (LIMITS.revocationPollJitterPercent / 100) * deps.fraction()))
      const { composer, chain, sources } = questions()
      const body = { haveVersion: row?.version ?? 0, chain: [...chain(turn++)] }
      const digests: string[] = []
      for (const to of sources(nowMs)) {
        const send = compose(composer, { kind: 'revocation-query', to, body, delivery: { once: true } }, nowMs)
        if (send === undefined) continue
        metrics.count('revocationQueries')
        digests.push(toHex(send.digest))
        batch.outs.push({ send, outboxKey: undefined })
      }
      asked = digests
    },
    hasten: (nowMs, withinMs) => {
      nextAtMs = Math.min(nextAtMs, nowMs + Math.floor(withinMs * deps.fraction()))
    },
    nextDueAtMs: () => nextAtMs,
    status: (nowMs) => ({
      revocationListVersion: row?.version ?? 0,
      revokedKeys: revoked.size,
      revocationListAgeMs: heardAtMs === undefined ? null : Math.max(0, nowMs - heardAtMs),
    }),
  }
}
