/**
 * What follows the flush: the batch is sealed and published, and what is in the outbox is sent again until it needs it no more.
 * A message that lacks somebody's credential waits while the realm's data center is asked for it.
 */
import type { Bus } from '../../bus/bus.ts'
import { dataCenterAddress, realmOf } from '../../protocol/ids.ts'
import type { KindName } from '../../protocol/kinds.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Batch, Out } from './apply.ts'
import { createCredentialQueries, type Missing } from './credential-store.ts'
import type { Dispatcher } from './dispatch.ts'
import type { Metrics } from './metrics.ts'
import { remove, type Self, type Stale } from './node.ts'
import type { Outbox } from './outbox.ts'
import { compose, type Composer } from './outgoing.ts'
import { outboxTable, type StoredSend } from './runtime-tables.ts'
import { keyBytes, keyText } from './sorted-map.ts'
import type { Staged } from './staged.ts'

export type PublisherDeps = {
  readonly self: Self
  /** The host's own chain, as it is now: who asks for a credential shows it. */
  readonly chain: () => readonly Uint8Array[]
  readonly bus: Bus
  readonly staged: Staged
  readonly outbox: Outbox
  readonly composer: Composer
  readonly dispatcher: Dispatcher
  readonly metrics: Metrics
  /** The key that an outbox entry is sealed with is no more: the entry is to be dropped in the next step. */
  readonly onGone: (outboxKey: string) => void
  /** Has the key of another's frame been revoked since it was taken? Then it is not forwarded. */
  readonly isStale: (kind: KindName, frame: Uint8Array) => boolean
  readonly onStale: (stale: Stale) => void
}

export type Publisher = {
  readonly publish: (outs: readonly Out[], nowMs: number) => void
  /** Sends again what has waited long enough. Stages the end of what has expired. */
  readonly resend: (nowMs: number) => void
  /** Asks for a credential with the batch, unless that was done a moment ago. */
  readonly ask: (batch: Batch, missing: Missing, nowMs: number) => void
  /** Stages the end of an outbox entry. */
  readonly dropEntry: (outboxKey: string) => void
}

export const createPublisher = (deps: PublisherDeps): Publisher => {
  const { self, bus, staged, outbox, composer, dispatcher, metrics } = deps
  const { roleOf } = composer
  const queries = createCredentialQueries()

  /**
   * A data center asks the other realm's; everybody else their own. Of its own realm a data center asks nobody but another replica of it,
   * and that for the replica's own: both may have new keys, and each is to answer the other.
   */
  const askedFor = ({ id }: Missing): string | undefined => {
    if (self.role !== 'dc') return dataCenterAddress(self.realm)
    const realm = realmOf(id)
    if (realm !== self.realm) return dataCenterAddress(realm)
    return id !== self.id && roleOf(id) === 'dc' ? id : undefined
  }

  const queryFor = (missing: Missing, nowMs: number): StoredSend | undefined => {
    const to = askedFor(missing)
    if (to === undefined || !queries.shouldAsk(missing, nowMs)) return undefined
    metrics.count('credentialQueries')
    const body = {
      id: missing.id,
      chain: [...deps.chain()],
      ...(missing.keyId === undefined ? {} : { keyId: missing.keyId }),
    }
    return compose(composer, { kind: 'credential-query', to, body, delivery: { once: true } }, nowMs)
  }

  const isStale = ({ send, outboxKey }: Out, nowMs: number): boolean => {
    if (!send.relay || !deps.isStale(send.kind, send.body)) return false
    metrics.count('staleRelays')
    if (outboxKey !== undefined) outbox.postpone(outboxKey, keyText(send.digest), nowMs)
    deps.onStale({ kind: send.kind, frame: send.body, digest: send.digest })
    return true
  }

  const publish = (all: readonly Out[], nowMs: number): void => {
    const outs = all.filter((out) => !isStale(out, nowMs))
    if (outs.length === 0) return
    const sends = outs.map(({ send }) => send)
    const results = dispatcher.dispatch(sends, nowMs)
    const asks: StoredSend[] = []
    results.forEach((sent, at) => {
      const { send, outboxKey } = outs[at] as Out
      metrics.count(sent.result === 'sent' ? 'published' : 'notSent')
      if (sent.result === 'waits' && sent.needs !== undefined) {
        const ask = queryFor({ id: sent.needs }, nowMs)
        if (ask !== undefined) asks.push(ask)
      }
      if (outboxKey === undefined) return
      const digest = keyText(send.digest)
      if (sent.result === 'sent') outbox.sent(outboxKey, digest, nowMs)
      else if (sent.result === 'waits') outbox.postpone(outboxKey, digest, nowMs)
      else if (outbox.get(outboxKey)?.digest === digest) deps.onGone(outboxKey)
    })
    if (asks.length > 0) dispatcher.dispatch(asks, nowMs)
  }

  const dropEntry = (outboxKey: string): void => {
    outbox.forget(outboxKey)
    staged.write(remove(outboxTable, keyBytes(outboxKey)))
  }

  return {
    publish,
    dropEntry,
    resend: (nowMs) => {
      if (!bus.connected) return
      const outs: Out[] = []
      for (const { key } of outbox.due(nowMs, LIMITS.maxOutboxResendsPerStep)) {
        const row = staged.get(outboxTable, keyBytes(key))
        if (row !== undefined && (row.expiresAtMs === undefined || row.expiresAtMs > nowMs)) {
          outs.push({ send: row, outboxKey: key })
          continue
        }
        if (row !== undefined) metrics.count('expiredInOutbox')
        dropEntry(key)
      }
      metrics.count('resent', outs.length)
      publish(outs, nowMs)
    },
    ask: (batch, missing, nowMs) => {
      const send = queryFor(missing, nowMs)
      if (send !== undefined) batch.outs.push({ send, outboxKey: undefined })
    },
  }
}
