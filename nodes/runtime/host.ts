/**
 * A host: one process's share of the network, whatever its role (design §4). `step` takes a batch of events, decides them, stages
 * what they do, and hands the batch to the store; once it is on disk, what follows from it is sealed and published. Batches
 * follow each other without waiting: the next is decided while the last is being committed and flushed, reading through what
 * that one has staged, and nothing is published before everything it may depend on is durable.
 *
 * Whoever drives a host calls `step` when `onWork` was called and when `nextDueAtMs` has come: `drive.ts` under NATS, a seeded
 * scheduler in the simulator. A commit that fails, or a broken invariant, stops the host.
 */
import type { Broker, Bus, BusMessage, Subscription } from '../../bus/bus.ts'
import { hostSubscriptions } from '../../bus/permissions.ts'
import { toHex } from '../../protocol/bytes.ts'
import { createOpener, createSealer } from '../../protocol/confidential.ts'
import type { Trust } from '../../protocol/credentials.ts'
import type { KeyPair } from '../../protocol/engines/engine.ts'
import { dataCenterAddress, realmOf } from '../../protocol/ids.ts'
import { keyIdOf, signingKeyFromSeed, type SigningKey } from '../../protocol/keys.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { keyOfBytes } from '../../protocol/lru.ts'
import { parseSubject } from '../../protocol/subjects.ts'
import { isAdmission, type Gate } from './admission.ts'
import { createApplier, emptyBatch, type Batch, type Passing } from './apply.ts'
import { ledgerClock, type Clock } from './clock.ts'
import { createCredentialQueries, createCredentialStore, type Missing } from './credential-store.ts'
import { createDispatcher } from './dispatch.ts'
import { createFaults, type Faults } from './faults.ts'
import { createGuestDesk, type GuestLogins } from './guests.ts'
import { createInbox, type Frame } from './inbox.ts'
import { openHead, readPolicy, type PolicyState } from './ledger-state.ts'
import type { Log } from './log.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { put, remove, type Context, type DeadlineEvent, type Decision, type Delivery, type Job, type NodeDefinition, type Reader, type Self } from './node.ts'
import { createOutbox } from './outbox.ts'
import { createParking } from './parking.ts'
import { createQueue } from './queue.ts'
import { randomBelow, type Random } from './random.ts'
import { deadlineTable, headTable, outboxTable, policyTable, seenPruneTable, seenTable } from './runtime-tables.ts'
import { keyText, keyBytes } from './sorted-map.ts'
import { createStaged } from './staged.ts'
import type { Store } from './store.ts'
import { keyOf } from './table.ts'
import { compose } from './outgoing.ts'
import { framesOf } from './sent-frames.ts'

/** What a node's definition may be built from, beside its policy. */
export type NodeServices = {
  readonly self: Self
  readonly trust: Trust
  /** The host's message key: processors sign statements with it. */
  readonly signing: SigningKey
  /** Guest logins of a wallet host. */
  readonly guests: GuestLogins
  /** 32 bytes that never leave this host: what a ledger keeps secret is encrypted under it. */
  readonly localKey: Uint8Array
  /** The host's own chains, from the root down. */
  readonly chains: readonly (readonly Uint8Array[])[]
  /** Data-center hosts of the own realm. */
  readonly dataCenters: readonly string[]
  readonly peerRealms: readonly string[]
  /**
   * This host's own committed messages, sealed again, by how they were delivered: evidence for who asks for it. Undefined for
   * what is not there, is confidential or was not sealed by the host's own key.
   */
  readonly framesOf: (sent: readonly Delivery[]) => Promise<readonly (Uint8Array | undefined)[]>
}

export type HostDeps = {
  readonly self: Self
  readonly define: (services: NodeServices) => NodeDefinition<any>
  readonly store: Store
  readonly broker: Broker
  readonly bus: Bus
  readonly clock: Clock
  readonly random: Random
  readonly trust: Trust
  readonly signing: SigningKey
  readonly sealing: KeyPair
  readonly localKey: Uint8Array
  readonly chains: readonly (readonly Uint8Array[])[]
  /** Chains believed from the start: the own realm's data centers. */
  readonly trusted: readonly (readonly Uint8Array[])[]
  readonly dataCenters: readonly string[]
  readonly peerRealms: readonly string[]
  /** Parsed JSON: what the operator configured. */
  readonly policy: unknown
  /** `flushed`: published once it is on disk. `committed`: once it is committed, and a power cut may contradict it. */
  readonly durability: 'flushed' | 'committed'
  readonly log: Log
  /** There is something to do. May be called often, and from within `step`. */
  readonly onWork: () => void
  /** The host has stopped itself; nothing was published that the ledger does not hold. */
  readonly onFatal: (error: unknown) => void
  readonly die?: () => void
  /** Admissions that wait at most. Default: maxAdmissionQueue. */
  readonly maxAdmissions?: number
}

export type Answer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: { readonly code: string; readonly detail: string } }

export type Host = {
  readonly self: Self
  /** Opens the ledger's state, subscribes, and queues the `started` event. @throws LedgerMismatch, or Error for a bad policy */
  readonly start: () => Promise<void>
  /** One batch. False when there was nothing to do or too much is being committed. */
  readonly step: () => boolean
  /** When a step is due though nothing has come: the next resend, and a sweep. Milliseconds of the host's clock. */
  readonly nextDueAtMs: () => number
  readonly nowMs: () => number
  /** A command of the control socket, decided by the node. */
  readonly command: (name: string, args: Readonly<Record<string, unknown>>) => Promise<Answer>
  /** A question, answered from what is committed. */
  readonly ask: (name: string, args: Readonly<Record<string, unknown>>) => Answer
  readonly setGate: (gate: Gate) => void
  readonly gate: () => Gate
  /** Accepts the wall clock after a jump. */
  readonly acceptClock: () => void
  /** Replaces the policy: a journalled row. */
  readonly setPolicy: (json: unknown) => Promise<Answer>
  readonly policyJson: () => string
  /** What is under way: events, outbox entries, commits, jobs. */
  readonly inFlight: () => number
  readonly ready: () => boolean
  readonly stopped: () => boolean
  readonly metrics: Metrics
  readonly faults: Faults
  /** Committed state only. */
  readonly read: Reader
  readonly lastSeq: () => number
  readonly passing: () => readonly Passing[]
  readonly depths: () => Readonly<Record<string, number>>
  /** Resolves when every batch so far is committed, flushed and published. */
  readonly settled: () => Promise<void>
  /** Unsubscribes and takes nothing more. Does not close store and bus, which are the caller's. */
  readonly stop: () => Promise<void>
}

type StepEvent =
  | { readonly type: 'frame'; readonly frame: Frame; readonly busy?: boolean }
  | { readonly type: 'command'; readonly name: string; readonly args: Readonly<Record<string, unknown>>; readonly answer: (answer: Answer) => void }
  | { readonly type: 'job'; readonly job: Job; readonly result: unknown }
  | { readonly type: 'policy'; readonly policy: PolicyState; readonly answer: (answer: Answer) => void }
  | { readonly type: 'gone'; readonly key: string }
  | { readonly type: 'started' }

/** Batches being committed or flushed at once: one on its way to the disk, one waiting behind it. */
const MAX_COMMITS_IN_FLIGHT = 2
const MAX_OVERFLOW = 256
const MAX_PASSING = 20_000
const RECONNECT_SPREAD_MS = 300
const OK = (value: unknown): Answer => ({ ok: true, value })
const REFUSED = (code: string, detail: string): Answer => ({ ok: false, error: { code, detail } })

export const createHost = (deps: HostDeps): Host => {
  const { self, store, bus, random, log, trust } = deps
  const metrics = createMetrics()
  const staged = createStaged(store)
  const committed = createStaged(store)
  const faults = createFaults(deps.die ?? (() => {}))
  const fraction = (): number => randomBelow(random, 0x1000_0000) / 0x1000_0000

  const completions = createQueue<StepEvent>(LIMITS.maxCompletionQueue)
  const admissions = createQueue<StepEvent>(deps.maxAdmissions ?? LIMITS.maxAdmissionQueue)
  const overflow = createQueue<StepEvent>(MAX_OVERFLOW)
  const parking = createParking<Frame>(LIMITS.maxParkedForCredential)
  const queries = createCredentialQueries()
  const outbox = createOutbox(fraction)
  const passing: Passing[] = []
  const waiters = new Map<string, ((value: unknown) => void)[]>()
  const subscriptions: Subscription[] = []

  const receive = ({ subject: text, data }: BusMessage): void => {
    metrics.count('received')
    const subject = parseSubject(text)
    if (subject === undefined || stopped) {
      metrics.count('foreignSubjects')
      return
    }
    enqueue({ subject, bytes: data })
  }
  const enqueue = (frame: Frame): void => {
    const admission = isAdmission(frame.subject.kind, self.role)
    if (!(admission ? admissions : completions).push({ type: 'frame', frame }))
      // Refused in words while that is affordable; past that the sender's resend is the answer.
      if (!overflow.push({ type: 'frame', frame, busy: true })) metrics.count('overflowDropped')
    deps.onWork()
  }

  const guests = createGuestDesk(deps.broker, trust.engine, random.bytes, receive)
  const services: NodeServices = {
    self,
    trust,
    signing: deps.signing,
    guests,
    localKey: deps.localKey,
    chains: deps.chains,
    dataCenters: deps.dataCenters,
    peerRealms: deps.peerRealms,
    framesOf: async (sent) => framesOf(committed, sent, deps.signing, random.bytes),
  }
  const definition: NodeDefinition<any> = deps.define(services)
  const head = openHead(committed, self.id, trust.networkId)
  const chain = { current: { seq: head.seq, hash: head.hash } }
  const clock = ledgerClock(deps.clock, head.highestNowMs)
  let policy = readPolicy(committed, definition, deps.policy)
  let gate: Gate = 'open'
  let stopped = false
  let failed = false
  let started = false
  let commitsInFlight = 0
  let jobsRunning = 0
  let lastSweepMs = Number.NEGATIVE_INFINITY
  let sweepAgain = false
  let persistedMs = head.highestNowMs
  let tail: Promise<void> = Promise.resolve()
  /** Batches whose publishing waits in the tail. */
  let inTail = 0

  const credentials = createCredentialStore(trust, staged, [...deps.chains, ...deps.trusted], clock.now())
  const ownAddresses = new Set([self.id, ...(self.role === 'dc' ? [dataCenterAddress(self.realm)] : [])])
  const roleOf = (host: string) =>
    credentials.roleOf(host) ?? (host === dataCenterAddress(realmOf(host)) ? ('dc' as const) : undefined)
  const devices = new Map<string, SigningKey>()
  const deviceKey = (customer: string): SigningKey | undefined => {
    const seed = definition.deviceSeed?.(staged, customer)
    if (seed === undefined) return undefined
    const name = toHex(seed)
    let key = devices.get(name)
    if (key === undefined) devices.set(name, (key = signingKeyFromSeed(trust.engine, seed)))
    return key
  }
  const composer = { self, networkId: trust.networkId, random: random.bytes, roleOf, guestKey: (token: string) => guests.get(token)?.signing.publicKey }
  const dispatcher = createDispatcher({
    self,
    networkId: trust.networkId,
    bus,
    keyring: { host: deps.signing, device: deviceKey, guest: guests.get },
    sealer: createSealer(trust.engine, random.bytes),
    random: random.bytes,
    credentialOf: (host) => credentials.byId(host) ?? (roleOf(host) === 'dc' ? { role: 'dc', sealingKey: null } : undefined),
    drop: (send) => faults.shouldDrop(send.kind),
    onSealed: (messages) => metrics.count('sealed', messages),
  })
  const contextAt = (nowMs: number): Context => ({
    self,
    nowMs,
    policy: policy.value,
    freshId: () => random.bytes(16),
    freshBytes: random.bytes,
  })

  const applier = createApplier({
    staged,
    outbox,
    composer,
    metrics,
    chain,
    keepFrames: true,
    onPassing: (entry) => {
      passing.push(entry)
      if (passing.length > 2 * MAX_PASSING) passing.splice(0, MAX_PASSING)
    },
    onRecord: (entry, { record }) => {
      const level = record?.level ?? (entry.refused === undefined ? 'info' : 'warn')
      log.write(level, entry.event ?? 'refused', { kind: entry.name, ids: entry.ids.map(toHex), ...(entry.refused === undefined ? {} : { code: entry.refused }), ...record?.fields })
    },
    onUnsendable: (kind, to) => log.write('warn', 'message not made: its guest login is gone', { kind, to }),
  })

  /** Asks a data center for a credential, unless it was asked a moment ago. */
  const missing = (batch: Batch, what: Missing, nowMs: number): void => {
    const ask = queryFor(what, nowMs)
    if (ask !== undefined) batch.outs.push({ send: ask, outboxKey: undefined })
  }
  const queryFor = (what: Missing, nowMs: number) => {
    const realm = self.role === 'dc' ? realmOf(what.id) : self.realm
    if ((self.role === 'dc' && realm === self.realm) || !queries.shouldAsk(what, nowMs)) return undefined
    metrics.count('credentialQueries')
    const body = what.keyId === undefined ? { id: what.id } : { id: what.id, keyId: what.keyId }
    return compose(composer, { kind: 'credential-query', to: dataCenterAddress(realm), body, delivery: { once: true } }, nowMs)
  }

  const sealingKeyId = keyOfBytes(keyIdOf('x25519', deps.sealing.publicKey))
  const inbox = createInbox({
    self,
    definition: definition as NodeDefinition,
    staged,
    trust,
    opener: createOpener(trust.engine),
    secretOf: (keyId) => (keyOfBytes(keyId) === sealingKeyId ? deps.sealing : guests.secretOf(keyId)),
    credentials: { ...credentials, roleOf },
    isAddressee: (id) => ownAddresses.has(id) || (definition.isAddressee ?? definition.answersTo)?.(staged, id) === true,
    outbox,
    composer,
    applier,
    parking,
    metrics,
    log,
    gate: () => (clock.jumped() ? 'paused' : gate),
    contextAt,
    missing,
    release: (frames) => frames.forEach(enqueue),
  })

  const answerOf = (decision: Decision): Answer =>
    decision.refuse === undefined ? OK(decision.reply) : REFUSED(decision.refuse.code, decision.refuse.detail)

  const handle = (batch: Batch, event: StepEvent, nowMs: number): void => {
    metrics.count('events')
    switch (event.type) {
      case 'frame':
        inbox.handle(batch, event.frame, nowMs, event.busy)
        return
      case 'command': {
        metrics.count('commands')
        const handler = definition.controls[event.name]
        if (handler === undefined) {
          event.answer(REFUSED('UNKNOWN_COMMAND', event.name))
          return
        }
        const decided = handler(staged, { command: event.name, args: event.args }, contextAt(nowMs))
        applier.apply(batch, decided, { trigger: 'control', name: event.name, ids: [] }, nowMs)
        const { replyOn } = decided
        batch.after.push(() => {
          if (replyOn === undefined) event.answer(answerOf(decided))
          else waiters.set(replyOn, [...(waiters.get(replyOn) ?? []), (value) => event.answer(OK(value))])
        })
        return
      }
      case 'job': {
        const { name, input } = event.job
        const handler = definition.finished[name]
        if (handler === undefined) return
        applier.apply(batch, handler(staged, { name, input, result: event.result }, contextAt(nowMs)), { trigger: 'job', name, ids: [] }, nowMs)
        return
      }
      case 'policy':
        policy = event.policy
        staged.write(put(policyTable, keyOf('current'), { policy: policy.json, configured: policy.configured }))
        applier.journal({ atMs: nowMs, trigger: 'policy', name: 'set-policy', ids: [], sends: [], postings: [], fields: policy.json })
        batch.after.push(() => event.answer(OK(null)))
        return
      case 'gone':
        inbox.dropEntry(event.key)
        return
      case 'started':
        applier.apply(batch, definition.started(staged, {}, contextAt(nowMs)), { trigger: 'started', name: self.id, ids: [] }, nowMs)
    }
  }

  /** Deadlines that have come, earliest first, and transport ids past their retention. */
  const sweep = (batch: Batch, nowMs: number): void => {
    if (!sweepAgain && nowMs - lastSweepMs < LIMITS.sweepEveryMs) return
    lastSweepMs = nowMs
    const due = [...staged.scan(deadlineTable, [], { before: [nowMs + 1], limit: LIMITS.maxDeadlinesPerStep })]
    sweepAgain = due.length === LIMITS.maxDeadlinesPerStep
    for (const [key, { name, key: of }] of due) {
      // An earlier deadline of this sweep may have cleared it.
      if (staged.get(deadlineTable, key) === undefined) continue
      staged.write(remove(deadlineTable, key))
      metrics.count('deadlines')
      const handler = definition.deadlines[name]
      if (handler === undefined) throw new Error(`no handler for the deadline ${name}`)
      const event: DeadlineEvent = { name, key: of, atMs: Number(new DataView(key.buffer, key.byteOffset).getBigUint64(0)) }
      applier.apply(batch, handler(staged, event, contextAt(nowMs)), { trigger: 'deadline', name, ids: [] }, nowMs)
    }
    const past = staged.scan(seenPruneTable, [], { before: [Math.max(0, nowMs - LIMITS.transportIdRetentionMs)], limit: LIMITS.maxDeadlinesPerStep })
    for (const [key, { ref }] of [...past]) {
      staged.write(remove(seenPruneTable, key))
      staged.write(remove(seenTable, ref))
    }
  }

  /** Sends again what has waited long enough. Its rows are on disk already. */
  const resend = (nowMs: number): void => {
    if (!bus.connected) return
    const outs: Batch['outs'] = []
    for (const { key } of outbox.due(nowMs, LIMITS.maxOutboxResendsPerStep)) {
      const row = staged.get(outboxTable, keyBytes(key))
      if (row !== undefined && (row.expiresAtMs === undefined || row.expiresAtMs > nowMs)) outs.push({ send: row, outboxKey: key })
      else {
        if (row !== undefined) metrics.count('expiredInOutbox')
        inbox.dropEntry(key)
      }
    }
    metrics.count('resent', outs.length)
    if (outs.length > 0) publish(outs, nowMs)
  }

  const publish = (outs: Batch['outs'], nowMs: number): void => {
    if (outs.length === 0) return
    const results = dispatcher.dispatch(outs.map(({ send }) => send), nowMs)
    const asks: NonNullable<ReturnType<typeof queryFor>>[] = []
    results.forEach((sent, at) => {
      const { send, outboxKey } = outs[at] as Batch['outs'][number]
      metrics.count(sent.result === 'sent' ? 'published' : 'notSent')
      if (sent.result === 'waits' && sent.needs !== undefined) {
        const ask = queryFor({ id: sent.needs }, nowMs)
        if (ask !== undefined) asks.push(ask)
      }
      if (outboxKey === undefined) return
      const digest = toHex(send.digest)
      if (sent.result === 'sent') outbox.sent(outboxKey, digest, nowMs)
      else if (sent.result === 'waits') outbox.postpone(outboxKey, digest, nowMs)
      else if (outbox.get(outboxKey)?.digest === digest) completions.push({ type: 'gone', key: outboxKey })
    })
    if (asks.length > 0) dispatcher.dispatch(asks, nowMs)
  }

  const runJobs = (jobs: readonly Job[]): void => {
    for (const job of jobs) {
      const run = definition.jobs[job.name]
      if (run === undefined) throw new Error(`no job ${job.name}`)
      jobsRunning += 1
      metrics.count('jobs')
      run(job.input)
        .then((result) => {
          completions.push({ type: 'job', job, result })
          deps.onWork()
        }, fail)
        .finally(() => {
          jobsRunning -= 1
        })
    }
  }

  /** What follows a batch once it is durable. */
  const conclude = (batch: Batch): void => {
    if (failed) return
    publish(batch.outs, clock.now())
    for (const act of batch.after) act()
    for (const { topic, value } of batch.announcements) {
      const waiting = waiters.get(topic)
      waiters.delete(topic)
      for (const tell of waiting ?? []) tell(value)
    }
    if (!stopped) runJobs(batch.jobs)
  }

  const fail = (error: unknown): void => {
    if (failed) return
    failed = true
    stopped = true
    log.write('error', 'the host stops', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    deps.onFatal(error)
  }

  const finish = (batch: Batch, nowMs: number): void => {
    if (staged.isEmpty()) {
      if (inTail === 0) conclude(batch)
      else follow(() => conclude(batch))
      return
    }
    if (!clock.jumped()) persistedMs = nowMs
    staged.write(put(headTable, keyOf('head'), { host: self.id, networkId: trust.networkId, seq: chain.current.seq, hash: chain.current.hash, highestNowMs: persistedMs }))
    const { mutations, settle } = staged.take()
    commitsInFlight += 1
    metrics.count('commits')
    metrics.count('mutations', mutations.length)
    faults.pass('before-commit')
    const beganMs = deps.clock.monotonicMs()
    const committing = store.commit(mutations).then(() => {
      metrics.commitMs.record(deps.clock.monotonicMs() - beganMs)
      settle()
      faults.pass('after-commit')
    })
    committing.catch(fail)
    follow(async () => {
      await committing
      if (deps.durability === 'flushed') await store.flushed()
      metrics.flushMs.record(deps.clock.monotonicMs() - beganMs)
      commitsInFlight -= 1
      faults.pass('after-flush')
      conclude(batch)
      faults.pass('after-publish')
      deps.onWork()
    })
  }
  const follow = (act: () => void | Promise<void>): void => {
    inTail += 1
    tail = tail
      .then(async () => {
        if (!failed) await act()
      })
      .catch(fail)
      .finally(() => {
        inTail -= 1
      })
  }

  const step = (): boolean => {
    if (stopped && !draining()) return false
    if (failed || !started || commitsInFlight >= MAX_COMMITS_IN_FLIGHT) return false
    const nowMs = clock.now()
    const batch = emptyBatch()
    const beganMs = deps.clock.monotonicMs()
    let events = 0
    try {
      sweep(batch, nowMs)
      resend(nowMs)
      for (; events < LIMITS.maxStepEvents; events++) {
        const event = completions.shift() ?? admissions.shift() ?? overflow.shift()
        if (event === undefined) break
        handle(batch, event, nowMs)
      }
      if (events > 0) {
        metrics.count('steps')
        metrics.batchEvents.record(events)
        metrics.decideMs.record(deps.clock.monotonicMs() - beganMs)
      }
      finish(batch, nowMs)
    } catch (error) {
      fail(error)
      return false
    }
    return events > 0 || sweepAgain
  }
  /** After `stop`, what came before it is still decided. */
  const draining = (): boolean => completions.size + admissions.size > 0

  const unlisten = bus.onEvent((event) => {
    if (event.type === 'reconnected') {
      outbox.hasten(clock.now(), RECONNECT_SPREAD_MS)
      deps.onWork()
    }
    log.write(event.type === 'connected' || event.type === 'reconnected' ? 'info' : 'warn', `bus ${event.type}`)
  })

  return {
    self,
    metrics,
    faults,
    read: committed,
    nowMs: clock.now,
    start: async () => {
      const nowMs = clock.now()
      for (const [key, row] of committed.scan(outboxTable, []))
        outbox.add(keyText(key), toHex(row.digest), nowMs + Math.floor(LIMITS.firstResendMs * fraction()))
      for (const { subject, queue } of hostSubscriptions(self.role, self.id))
        subscriptions.push(await bus.subscribe(subject, queue === undefined ? {} : { queue }, receive))
      if (policy.changed) completions.push({ type: 'policy', policy, answer: () => {} })
      completions.push({ type: 'started' })
      started = true
      deps.onWork()
    },
    step,
    nextDueAtMs: () => {
      if (completions.size + admissions.size + overflow.size > 0) return clock.now()
      return Math.min(lastSweepMs === Number.NEGATIVE_INFINITY ? 0 : lastSweepMs + LIMITS.sweepEveryMs, bus.connected ? (outbox.nextDueAtMs() ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY)
    },
    command: (name, args) =>
      new Promise((resolve) => {
        const starts = definition.admissions?.includes(name) === true
        if (stopped) resolve(REFUSED('STOPPED', 'the host is stopping'))
        else if (starts && (gate !== 'open' || clock.jumped())) resolve(REFUSED('PAUSED', 'this host admits nothing new for now'))
        else if (!(starts ? admissions : completions).push({ type: 'command', name, args, answer: resolve })) resolve(REFUSED('BUSY', 'the queue is full'))
        else deps.onWork()
      }),
    ask: (name, args) => {
      const question = definition.reads[name]
      if (question === undefined) return REFUSED('UNKNOWN_READ', name)
      return OK(question(committed, args, contextAt(clock.now())))
    },
    setGate: (next) => {
      gate = next
    },
    gate: () => (clock.jumped() ? 'paused' : gate),
    acceptClock: clock.accept,
    setPolicy: (json) =>
      new Promise((resolve) => {
        let next: PolicyState
        try {
          next = policy.replacedBy(json)
        } catch (error) {
          resolve(REFUSED('BAD_POLICY', (error as Error).message))
          return
        }
        completions.push({ type: 'policy', policy: next, answer: resolve })
        deps.onWork()
      }),
    policyJson: () => policy.json,
    inFlight: () => completions.size + admissions.size + overflow.size + outbox.size + commitsInFlight + jobsRunning,
    ready: () => started && !stopped && definition.ready(committed, contextAt(clock.now())),
    stopped: () => stopped,
    lastSeq: () => committed.get(headTable, 'head')?.seq ?? 0,
    passing: () => passing,
    depths: () => ({
      completions: completions.size,
      admissions: admissions.size,
      overflow: overflow.size,
      outbox: outbox.size,
      parked: parking.size,
      commits: commitsInFlight,
      jobs: jobsRunning,
      guests: 0,
    }),
    settled: async () => {
      while (inTail > 0) await tail
    },
    stop: async () => {
      stopped = true
      unlisten()
      for (const subscription of subscriptions) subscription.unsubscribe()
      await guests.closeAll()
    },
  }
}
