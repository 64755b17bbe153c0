/**
 * What happens to a frame from outside: opened, told from what was seen before, judged by time and admission, decided. The order
 * is design §4.2: a message that was seen gets its stored answer whatever the time is now; only the unseen meets expiry, clock
 * and admission. What fails before it is authenticated gets no answer.
 */
import { clip, equalBytes, toHex } from '../../protocol/bytes.ts'
import { deviceKeyRecord, type KeyRecord, type Trust } from '../../protocol/credentials.ts'
import type { Opener, SecretOf } from '../../protocol/confidential.ts'
import {
  failureCode,
  failureNumber,
  FAILURES,
  isTransient,
  type FailureCode,
  type Result,
} from '../../protocol/failures.ts'
import { isGuestToken, type Role } from '../../protocol/ids.ts'
import { isFinalHop, KINDS, kindRow } from '../../protocol/kinds.ts'
import { keyIdOf } from '../../protocol/keys.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { parseFrame } from '../../protocol/seals.ts'
import { openFrame, type About, type OpenContext } from '../../protocol/open.ts'
import type { Verified } from '../../protocol/verified.ts'
import { isBarred, type Gate } from './admission.ts'
import { refusalAddressee, type Applier, type ApplyDeps, type Batch, type Trigger } from './apply.ts'
import type { CredentialStore, Missing } from './credential-store.ts'
import type { Frame } from './incoming.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import { decision, put, refuse, type Context, type Decision, type AnyNodeDefinition, type Self } from './node.ts'
import { compose, type Composer } from './outgoing.ts'
import type { Outbox } from './outbox.ts'
import type { Parking } from './parking.ts'
import type { Revocations } from './revocation.ts'
import { businessId, requestRef } from './request-ref.ts'
import { senderName, type Senders } from './senders.ts'
import { outboxTable, revocationTable, seenTable, type RevocationRow, type StoredSend } from './runtime-tables.ts'
import { keyBytes, keyText } from './sorted-map.ts'
import type { Staged } from './staged.ts'
import { keyOf } from './table.ts'

export type InboxDeps = {
  readonly self: Self
  readonly definition: AnyNodeDefinition
  readonly staged: Staged
  readonly trust: Trust
  readonly opener: Opener
  readonly secretOf: SecretOf
  readonly credentials: CredentialStore
  readonly revocations: Revocations
  /** Is this one of the ids that this host answers to? */
  readonly isAddressee: (id: string) => boolean
  readonly outbox: Outbox
  readonly composer: Composer
  readonly applier: Applier
  readonly parking: Parking<Frame>
  readonly recent: ApplyDeps['recent']
  readonly senders: Senders
  readonly metrics: Metrics
  readonly log: Log
  readonly gate: () => Gate
  readonly contextAt: (nowMs: number) => Context
  readonly missing: (batch: Batch, missing: Missing, nowMs: number) => void
  readonly release: (frames: readonly Frame[]) => void
}

/** Ids of a payment that bodies bear, so that a trace finds a message also where the node recorded nothing. */
const TRACED_FIELDS = ['prId', 'pnId', 'txId', 'orderId', 'holdId', 'batchId', 'payoutId'] as const

/** Says that the sender's own credential was out of its time, not that the message is wrong. */
const isOwnCredential = (code: FailureCode): boolean =>
  code === 'CREDENTIAL_EXPIRED' || code === 'CREDENTIAL_NOT_YET_VALID'

const idsOf = (message: Verified): readonly Uint8Array[] => {
  const body = message.body as Readonly<Record<string, unknown>>
  const ids = TRACED_FIELDS.map((field) => body[field]).filter(
    (value): value is Uint8Array => value instanceof Uint8Array,
  )
  return KINDS[message.kind].id === null ? ids : [businessId(message.kind, message.header, message.body), ...ids]
}

/** Will the ledger remember that this was refused? A payment refused at once is an outcome, not a `refusal`. */
const keepsRefusal = ({ refuse: refused, sends }: Decision, ref: Uint8Array): boolean =>
  refused === undefined
    ? sends.some(
        (send) =>
          'answers' in send.delivery &&
          equalBytes(send.delivery.answers, ref) &&
          'kind' in send &&
          (send.kind === 'customer-payment-outcome' || send.kind === 'payment-outcome'),
      )
    : !isTransient(refused.code)

export const createInbox = (deps: InboxDeps) => {
  const { self, definition, staged, credentials, applier, metrics, log, outbox, senders } = deps

  const deviceRecord = (keyId: Uint8Array, customer: string): KeyRecord | 'revoked' | undefined => {
    const device = definition.deviceKey?.(staged, customer)
    if (device === 'revoked') return device
    if (device === undefined || !equalBytes(keyIdOf('ed25519', device.publicKey), keyId)) return undefined
    return deviceKeyRecord({ customer, host: device.host, deviceKey: device.publicKey })
  }
  const openContext = (role: Role, isAddressee: (to: string) => boolean): OpenContext => ({
    trust: deps.trust,
    lookupKey: (keyId, from) => {
      if (deps.trust.isRevoked(keyId)) return 'revoked'
      return credentials.byKeyId(keyId) ?? deviceRecord(keyId, from)
    },
    self: { role, isAddressee },
    roleOf: credentials.roleOf,
    opener: deps.opener,
    secretOf: deps.secretOf,
    wasTaken: (kind, { header, digest }, body) => {
      const ref = requestRef(kind, header, body)
      const seen = staged.get(seenTable, ref) ?? recentAnswer(ref)
      return seen !== undefined && equalBytes(seen.digest, digest)
    },
  })
  const own = openContext(self.role, deps.isAddressee)

  const send = (batch: Batch, stored: StoredSend | undefined): void => {
    if (stored !== undefined) batch.outs.push({ send: stored, outboxKey: undefined })
  }

  /**
   * What a data center may be asked for. Not for a wallet's host or device, which no directory knows; and on behalf of a guest for
   * nothing but the newest credential of a data center known before: the host asks in its own name, so any other question, which
   * whoever writes to the guest could provoke and recognise, would tell whose guest it is.
   */
  const askable = ({ kind, toRole }: Frame['subject'], missing: About['missing']): About['missing'] => {
    if (missing?.id === undefined) return undefined
    if (toRole === 'guest') return credentials.roleOf(missing.id) === 'dc' ? missing : undefined
    return kindRow(kind).paths.every(([originator]) => originator === 'customer') ? undefined : missing
  }

  const onUnopened = (
    batch: Batch,
    frame: Frame,
    code: FailureCode,
    detail: string,
    about: About,
    nowMs: number,
  ): void => {
    const { subject, from } = frame
    const sender = senderName(from)
    const missing = askable(subject, about.missing)
    if (missing?.id !== undefined) {
      const { id, keyId } = missing
      if (deps.parking.park(keyId === undefined ? id : toHex(keyId), frame, sender)) metrics.count('parked')
      // Its places are all taken by frames that wait: this one costs it what a bad one does.
      else senders.failed(from, code, nowMs)
      const key = keyId === undefined || subject.toRole === 'guest' ? {} : { keyId }
      deps.missing(batch, { id, ...key, because: sender }, nowMs)
      log.write('debug', 'frame waits for a credential', { kind: subject.kind, via: subject.fromHost, of: id })
      return
    }
    metrics.count('failed')
    senders.failed(from, code, nowMs)
    if (!about.authenticated || FAILURES[code].answer === 'silent' || about.digest === undefined) {
      metrics.count('unauthenticated')
      log.of(subject.fromHost, 'warn', 'frame dropped: not authenticated', {
        code,
        detail,
        kind: subject.kind,
        via: subject.fromHost,
      })
      return
    }
    log.of(subject.fromHost, 'warn', 'message refused', { code, detail, kind: subject.kind, via: subject.fromHost })
    const originator = about.header?.from
    const host = typeof originator === 'string' ? originator : subject.fromHost
    const roleOf = (id: string): Role | undefined => (isGuestToken(id) ? 'guest' : credentials.roleOf(id))
    const role = roleOf(host)
    const previous = { role: roleOf(subject.fromHost), host: subject.fromHost }
    const to = refusalAddressee(self.role, role === undefined ? { role: 'observer', host } : { role, host }, previous)
    // A refusal is never answered by a refusal: two nodes would go on for ever.
    if (to === undefined || subject.kind === 'refusal') return
    metrics.count('refusalsSent')
    const body = { digest: about.digest, code: failureNumber(code), detail: clip(detail, LIMITS.maxDetailLength) }
    send(batch, compose(deps.composer, { kind: 'refusal', to, body, delivery: { once: true } }, nowMs))
  }

  /** The refusal of an unseen or busy message, without a trace in the ledger. */
  const refuseOnce = (batch: Batch, message: Verified, code: FailureCode, detail: string, nowMs: number): void => {
    const refusal = applier.refusalOf(message, { code, detail })
    if (refusal === undefined) return
    metrics.count('refusalsSent')
    send(batch, compose(deps.composer, { ...refusal, delivery: { once: true } }, nowMs))
  }

  const learnFrom = (message: Verified, nowMs: number): void => {
    // A guest cannot ask for the key of a merchant host that refuses its offer: it is told beforehand.
    if (message.kind === 'payee-record') learnChain(message, nowMs)
    const chains: { readonly bytes: readonly Uint8Array[]; readonly verified: NonNullable<Verified['chain']> }[] = []
    const look = (one: Verified): void => {
      const { chain: bytes } = one.body as { readonly chain?: readonly Uint8Array[] }
      if (one.chain !== undefined && bytes !== undefined) chains.push({ bytes, verified: one.chain })
    }
    look(message)
    for (const nested of Object.values(message.nested as Readonly<Record<string, unknown>>))
      for (const one of Array.isArray(nested) ? nested : [nested])
        if (one !== undefined && (one as { ok: boolean }).ok) look((one as { value: Verified }).value)
    for (const { bytes, verified } of chains) {
      const rows = credentials.learn(bytes, verified, nowMs)
      if (rows.length === 0) continue
      metrics.count('credentialsLearned')
      rows.forEach(staged.write)
      releaseFor(verified)
    }
  }
  const releaseFor = (chain: NonNullable<Verified['chain']>): void => {
    for (const record of [chain.processorKey, chain.hostKey])
      if (record !== undefined)
        deps.release([...deps.parking.take(toHex(record.keyId)), ...deps.parking.take(record.owner)])
  }

  /** The stored message that a receipt or refusal speaks of, if its sender may speak of it. */
  const spokenOf = (
    digest: Uint8Array,
    message: Verified,
  ): { readonly key: Uint8Array; readonly row: StoredSend } | undefined => {
    const text = outbox.keyOfDigest(keyText(digest))
    if (text === undefined) return undefined
    const key = keyBytes(text)
    const row = staged.get(outboxTable, key)
    if (row === undefined) return undefined
    const { role, host } = message.sender
    const fits =
      (row.responderRole === undefined || row.responderRole === role) &&
      (row.responderId === undefined || row.responderId === host)
    if (fits) return { key, row }
    log.of(host, 'warn', 'answer from a host that does not process the message', {
      kind: message.kind,
      from: host,
      of: row.kind,
    })
    return undefined
  }

  const onReceipt = (batch: Batch, message: Verified<'receipt'>, trigger: Trigger, nowMs: number): void => {
    metrics.count('receiptsReceived')
    const found = spokenOf(message.body.digest, message)
    if (found === undefined) return
    applier.forget(found.key)
    const { kind } = found.row
    applier.apply(
      batch,
      definition.receipted(staged, { kind, key: found.key }, deps.contextAt(nowMs)),
      { ...trigger, trigger: 'receipted', name: kind },
      nowMs,
    )
  }

  const onRefusal = (batch: Batch, message: Verified<'refusal'>, trigger: Trigger, nowMs: number): void => {
    metrics.count('refusalsReceived')
    if (failureCode(message.body.code) === 'NOT_FOUND' && message.sender.role === 'dc')
      deps.revocations.none(message.body.digest, message.header.sentAtMs, nowMs)
    const named = failureCode(message.body.code)
    if (named !== undefined && isOwnCredential(named)) {
      metrics.count('ownCredentialRefused')
      log.of(
        message.sender.host,
        'error',
        'a credential of this host is refused: what it seals waits until it has another',
        {
          code: named,
          by: message.sender.host,
          detail: message.body.detail,
        },
      )
    }
    // The sealing key was put away, or never was the addressee's: the next send takes the one in force.
    if (named === 'DECRYPTION_FAILED') deps.missing(batch, { id: message.sender.host }, nowMs)
    const found = spokenOf(message.body.digest, message)
    if (found === undefined) return
    // A number this version does not know ends nothing: what it means is not known.
    const code = failureCode(message.body.code)
    if (code === undefined || isTransient(code)) {
      metrics.count('transientRefusalsReceived')
      return
    }
    // Not of the message: it goes out under the next credential, and no payment ends because this one was too old.
    if (isOwnCredential(code)) return
    applier.forget(found.key)
    const { kind } = found.row
    const event = { kind, key: found.key, code, detail: message.body.detail, by: message.sender.host }
    log.write('warn', 'refused', { kind, code, detail: message.body.detail, by: event.by })
    applier.apply(
      batch,
      definition.refused(staged, event, deps.contextAt(nowMs)),
      { ...trigger, trigger: 'refused', name: kind },
      nowMs,
    )
  }

  const learnChain = (message: Verified<'credential-record'> | Verified<'payee-record'>, nowMs: number): void => {
    const learned = credentials.verifyAndLearn(message.body.chain, nowMs)
    if (!learned.ok) {
      log.of(message.sender.host, 'warn', 'a data center gave a chain that does not hold', {
        code: learned.failure.code,
        from: message.sender.host,
      })
      return
    }
    if (learned.value.rows.length > 0) metrics.count('credentialsLearned')
    learned.value.rows.forEach(staged.write)
    releaseFor(learned.value.verified)
  }

  /**
   * A data center's own: the newest list, whether or not the asker has it. Nothing of the question is kept, not even the chain:
   * who asks only this is in no directory.
   */
  const onRevocationQuery = (batch: Batch, message: Verified<'revocation-query'>, nowMs: number): void => {
    const current = deps.revocations.current()
    const { host: to, role } = message.sender
    const way = { to, nextHop: { role, host: to }, delivery: { once: true } } as const
    const none = { digest: message.digest, code: failureNumber('NOT_FOUND'), detail: 'no revocation list is known' }
    const answer =
      current === undefined
        ? ({ ...way, kind: 'refusal', body: none } as const)
        : ({ ...way, kind: 'revocation-record', body: { list: current.list } } as const)
    send(batch, compose(deps.composer, answer, nowMs))
  }

  /** Keeps a newer list; the node is told once it is in force. The code of what is wrong with it otherwise. */
  const adopt = (
    batch: Batch,
    list: Uint8Array,
    trigger: Trigger,
    nowMs: number,
  ): Result<RevocationRow | undefined> => {
    const adopted = deps.revocations.adopt(list, nowMs)
    if (!adopted.ok || adopted.value === undefined) return adopted
    const row = adopted.value
    const keyIds = deps.revocations.keyIds()
    const kept = decision({
      writes: [put(revocationTable, keyOf('current'), row)],
      record: {
        event: 'revocation-list-adopted',
        ids: [],
        fields: { version: row.version, revoked: keyIds.length },
      },
    })
    applier.apply(batch, kept, trigger, nowMs)
    const { revoked } = definition
    if (revoked === undefined) return adopted
    const told: Trigger = { trigger: 'revoked', name: 'revocation-list', ids: [] }
    applier.apply(batch, revoked(staged, { version: row.version, keyIds }, deps.contextAt(nowMs)), told, nowMs)
    return adopted
  }

  const onRevocationRecord = (
    batch: Batch,
    message: Verified<'revocation-record'>,
    trigger: Trigger,
    nowMs: number,
  ): void => {
    const adopted = adopt(batch, message.body.list, trigger, nowMs)
    if (adopted.ok) deps.revocations.confirmed(message.header.sentAtMs, nowMs)
    // An older one is what a lagging data center has, or a replay: both are nothing.
    else if (adopted.failure.code !== 'REGISTRATION_STALE')
      log.of(message.sender.host, 'warn', 'a data center gave a revocation list that does not hold', {
        code: adopted.failure.code,
        from: message.sender.host,
      })
  }

  const relay = (batch: Batch, message: Verified, trigger: Trigger, nowMs: number): void => {
    const next = definition.route?.(staged, message, deps.contextAt(nowMs))
    if (next === undefined) {
      metrics.count('undeliverable')
      const { role, host } = message.sender
      if (role !== 'cpp' && role !== 'mpp' && role !== 'dc') return
      const body = {
        digest: message.digest,
        code: failureNumber('UNKNOWN_DESTINATION'),
        detail: `no route for ${message.kind}`,
      }
      applier.apply(
        batch,
        decision({ sends: [{ kind: 'undeliverable', to: host, body, delivery: { once: true } }] }),
        trigger,
        nowMs,
      )
      return
    }
    metrics.count('relayed')
    const relayed = {
      relay: message.kind,
      frame: message.frame,
      digest: message.digest,
      nextHop: next,
      delivery: { once: true },
    } as const
    applier.apply(batch, decision({ sends: [relayed] }), trigger, nowMs)
  }

  const judge = (message: Verified, here: Role, nowMs: number): Decision | undefined => {
    const { kind, header, sender } = message
    if (header.sentAtMs > nowMs + LIMITS.maxFutureSkewMs)
      return refuse('CLOCK_SKEW', `${header.sentAtMs - nowMs} ms ahead`)
    // Judged where the message ends: a hop on the way would only add its clock to the question.
    if (header.expiresAtMs !== undefined && header.expiresAtMs <= nowMs && isFinalHop(kind, sender.role, here))
      return refuse('MESSAGE_EXPIRED', `${nowMs - header.expiresAtMs} ms late`)
    if (isBarred(deps.gate(), kind, self.role)) return refuse('PAUSED', 'this host admits nothing new for now')
    return undefined
  }

  /** One frame, in full. `busy`: the admission queue was full when it came. */
  const handle = (batch: Batch, frame: Frame, nowMs: number, busy = false): void => {
    const { subject } = frame
    const guest = subject.toRole === 'guest'
    const context = guest ? openContext('guest', (to) => to === subject.toHost) : own
    const opened = openFrame(frame.bytes, subject, context)
    if (!opened.ok) {
      onUnopened(batch, frame, opened.failure.code, opened.failure.detail, opened.about, nowMs)
      return
    }
    const message = opened.value
    const { kind } = message
    outbox.heard(message.sender.host, nowMs)
    const trigger: Trigger = { trigger: 'message', name: kind, ids: idsOf(message), message }
    if (self.role === 'dc' && !isFinalHop(kind, message.sender.role, 'dc')) {
      relay(batch, message, trigger, nowMs)
      return
    }
    switch (kind) {
      case 'receipt':
        onReceipt(batch, message, trigger, nowMs)
        return
      case 'refusal':
        onRefusal(batch, message, trigger, nowMs)
        return
      case 'undeliverable':
        metrics.count('undeliverable')
        log.of(message.sender.host, 'info', 'no route', { by: message.sender.host, detail: message.body.detail })
        return
      case 'credential-record':
        learnChain(message, nowMs)
        return
      case 'revocation-query':
        if (busy) refuseOnce(batch, message, 'BUSY', 'the admission queue is full', nowMs)
        else onRevocationQuery(batch, message, nowMs)
        return
      case 'revocation-record':
        onRevocationRecord(batch, message, trigger, nowMs)
        return
      default:
        break
    }
    const ref = requestRef(kind, message.header, message.body)
    const seen = staged.get(seenTable, ref) ?? recentAnswer(ref)
    if (seen !== undefined) {
      onSeen(batch, message, seen, nowMs)
      return
    }
    if (busy) {
      metrics.count('busy')
      refuseOnce(batch, message, 'BUSY', 'the admission queue is full', nowMs)
      return
    }
    learnFrom(message, nowMs)
    const judged = judge(message, guest ? 'guest' : self.role, nowMs)
    const handler = definition.messages[kind]
    if (handler === undefined) throw new Error(`${self.role} has no handler for ${kind}`)
    const decided = judged ?? handler(staged, { message, ref }, deps.contextAt(nowMs))
    applier.apply(batch, decided, { ...trigger, ref }, nowMs)
    if (keepsRefusal(decided, ref)) senders.refused(frame.from, nowMs)
  }

  /**
   * The originator of what is relayed from here has sealed it again, with another key: the relay goes on with the newer seal, since
   * the older one's key may be revoked before the next hop has it (design §7).
   */
  const renewRelay = (message: Verified): void => {
    const text = outbox.keyOfDigest(keyText(message.digest))
    const row = text === undefined ? undefined : staged.get(outboxTable, keyBytes(text))
    if (text === undefined || row?.relay !== true) return
    const before = parseFrame(row.body)
    if (before.ok && equalBytes(before.value.seal.keyId, message.sender.keyId)) return
    staged.write(put(outboxTable, keyBytes(text), { ...row, body: message.frame }))
    metrics.count('relaysRenewed')
  }

  const recentAnswer = (ref: Uint8Array): { readonly digest: Uint8Array; readonly answer: StoredSend } | undefined =>
    deps.recent.get(keyText(ref))

  const onSeen = (
    batch: Batch,
    message: Verified,
    seen: { readonly digest: Uint8Array; readonly answer?: Uint8Array | StoredSend },
    nowMs: number,
  ): void => {
    if (!equalBytes(seen.digest, message.digest)) {
      metrics.count('idReused')
      log.of(message.sender.host, 'warn', 'id used again with other content', {
        kind: message.kind,
        from: message.sender.host,
      })
      refuseOnce(batch, message, 'ID_REUSED', `${message.kind} with this id was seen with other content`, nowMs)
      return
    }
    metrics.count('duplicates')
    renewRelay(message)
    // No answer yet: it will be sent when it is there.
    if (seen.answer === undefined) return
    metrics.count('answersRepeated')
    send(batch, seen.answer instanceof Uint8Array ? outboxTable.decode(seen.answer) : seen.answer)
  }

  return { handle, adopt }
}
export type Inbox = ReturnType<typeof createInbox>
