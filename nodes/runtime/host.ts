/**
 * A host: one process's share of the network, whatever its role (design §4). `step` takes a batch of events, decides them, stages
 * what they do, and hands the batch to the store; once it is on disk, what follows from it is sealed and published. Batches
 * follow each other without waiting: the next is decided while the last is being committed and flushed, reading through what
 * that one has staged, and nothing is published before everything it may depend on is durable.
 *
 * Whoever drives a host calls `step` when `onWork` was called and when `nextDueAtMs` has come: `drive.ts` under NATS, a seeded
 * scheduler in the simulator. A commit that fails, or a broken invariant, stops the host.
 */
import type { BusMessage, Subscription } from '../../bus/bus.ts'
import { hostSubscriptions } from '../../bus/permissions.ts'
import { toHex } from '../../protocol/bytes.ts'
import { createOpener, createSealer } from '../../protocol/confidential.ts'
import { isRecordRevoked, type Trust } from '../../protocol/credentials.ts'
import { dataCenterAddress, realmOf } from '../../protocol/ids.ts'
import { keyIdOf, signingKeyFromSeed, type SigningKey } from '../../protocol/keys.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { keyOfBytes } from '../../protocol/lru.ts'
import { parseFrame } from '../../protocol/seals.ts'
import { parseSubject } from '../../protocol/subjects.ts'
import { isAdmission, type Gate } from './admission.ts'
import { createApplier, emptyBatch, type Batch, type Passing } from './apply.ts'
import { ledgerClock } from './clock.ts'
import { createCredentialStore } from './credential-store.ts'
import { createDispatcher } from './dispatch.ts'
import { createFaults } from './faults.ts'
import { createGuestDesk } from './guests.ts'
import type { Answer, Host, HostDeps, NodeServices } from './host-types.ts'
import { createInbox, type Frame } from './inbox.ts'
import { openHead, readPolicy, type PolicyState } from './ledger-state.ts'
import { createMetrics } from './metrics.ts'
import { put, type AnyNodeDefinition, type Context, type Decision, type Job, type Stale } from './node.ts'
import { createOutbox } from './outbox.ts'
import { createParking } from './parking.ts'
import { createPublisher } from './publisher.ts'
import { createQueue } from './queue.ts'
import { randomBelow } from './random.ts'
import { createRevocations, ownKeys, revocationFacts } from './revocation.ts'
import { headTable, outboxTable, policyTable } from './runtime-tables.ts'
import { framesOf, sealedNow } from './sent-frames.ts'
import { keyText } from './sorted-map.ts'
import { createStaged } from './staged.ts'
import { createSweeper } from './sweeper.ts'
import { keyOf } from './table.ts'

export type { Answer, Host, HostDeps, NodeServices } from './host-types.ts'

type StepEvent =
  | { readonly type: 'frame'; readonly frame: Frame; readonly busy?: boolean }
  | {
      readonly type: 'command'
      readonly name: string
      readonly args: Readonly<Record<string, unknown>>
      readonly answer: (answer: Answer) => void
    }
  | { readonly type: 'job'; readonly job: Job; readonly result: unknown }
  | { readonly type: 'policy'; readonly policy: PolicyState; readonly answer: (answer: Answer) => void }
  | { readonly type: 'gone'; readonly key: string }
  | { readonly type: 'stale'; readonly stale: Stale }
  | { readonly type: 'revocations'; readonly list: Uint8Array; readonly answer: (answer: Answer) => void }
  | { readonly type: 'started' }

/** Batches being committed or flushed at once: one on its way to the disk, one waiting behind it. */
const MAX_COMMITS_IN_FLIGHT = 2
const MAX_OVERFLOW = 256
const MAX_PASSING = 20_000
const RECONNECT_SPREAD_MS = 300
const OK = (value: unknown): Answer => ({ ok: true, value })
const REFUSED = (code: string, detail: string): Answer => ({ ok: false, error: { code, detail } })

export const createHost = (deps: HostDeps): Host => {
  const { self, store, bus, random, log } = deps
  const metrics = createMetrics()
  const staged = createStaged(store)
  const committed = createStaged(store)
  const faults = createFaults(deps.die ?? (() => {}))
  const fraction = (): number => randomBelow(random, 0x1000_0000) / 0x1000_0000
  const head = openHead(committed, self.id, deps.trust.networkId)
  const revocations = createRevocations(
    {
      trust: deps.trust,
      read: staged,
      ownKeys: () => ownKeys(deps.trust, deps.signing, deps.chains),
      metrics,
      log,
      fraction,
    },
    () => ({
      composer,
      chain: () => deps.chains[0] ?? [],
      sources: (nowMs) => definition.revocationSources?.(staged, contextAt(nowMs)) ?? [dataCenterAddress(self.realm)],
    }),
  )
  /** What is revoked is told by the ledger's own list, wherever a chain or a seal is judged. */
  const trust: Trust = {
    ...deps.trust,
    isRevoked: (keyId) => revocations.isRevoked(keyId) || deps.trust.isRevoked(keyId),
    isPast: (notAfterMs) => clock.now() > notAfterMs + LIMITS.expiredKeyGraceMs,
  }

  const completions = createQueue<StepEvent>(LIMITS.maxCompletionQueue)
  const admissions = createQueue<StepEvent>(deps.maxAdmissions ?? LIMITS.maxAdmissionQueue)
  const overflow = createQueue<StepEvent>(MAX_OVERFLOW)
  const parking = createParking<Frame>(LIMITS.maxParkedForCredential)
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
    seal: async (message) => sealedNow(composer, message, deps.signing, clock.now()),
  }
  const definition: AnyNodeDefinition = deps.define(services)
  const chain = { current: { seq: head.seq, hash: head.hash } }
  const clock = ledgerClock(deps.clock, head.highestNowMs)
  let policy = readPolicy(committed, definition, deps.policy)
  let gate: Gate = 'open'
  let stopped = false
  let failed = false
  let started = false
  let commitsInFlight = 0
  let jobsRunning = 0
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
  const composer = {
    self,
    networkId: trust.networkId,
    random: random.bytes,
    roleOf,
    guestKey: (token: string) => guests.get(token)?.signing.publicKey,
  }
  const dispatcher = createDispatcher({
    self,
    networkId: trust.networkId,
    bus,
    keyring: { host: deps.signing, device: deviceKey, guest: guests.get },
    sealer: createSealer(trust.engine, random.bytes),
    random: random.bytes,
    // Nothing is encrypted to a revoked key: it waits for the credential that follows.
    credentialOf: (host) =>
      credentials.usable(host) ?? (roleOf(host) === 'dc' ? { role: 'dc', sealingKey: null } : undefined),
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
      log.write(level, entry.event ?? 'refused', {
        kind: entry.name,
        ids: entry.ids.map(toHex),
        ...(entry.refused === undefined ? {} : { code: entry.refused }),
        ...record?.fields,
      })
    },
    onUnsendable: (kind, to) => log.write('warn', 'message not made: its guest login is gone', { kind, to }),
  })

  /** Revoked, or too long expired, since the frame was taken. */
  const isSealStale = (frame: Uint8Array): boolean => {
    const parsed = parseFrame(frame)
    if (!parsed.ok) return false
    const { keyId } = parsed.value.seal
    const record = credentials.byKeyId(keyId)
    return record === undefined
      ? trust.isRevoked(keyId)
      : isRecordRevoked(trust, record) || trust.isPast(record.notAfterMs)
  }
  const publisher = createPublisher({
    self,
    chain: deps.chains[0] ?? [],
    bus,
    staged,
    outbox,
    composer,
    dispatcher,
    metrics,
    onGone: (key) => void completions.push({ type: 'gone', key }),
    isStale: (frame) => definition.stale !== undefined && isSealStale(frame),
    onStale: (stale) => {
      completions.push({ type: 'stale', stale })
      deps.onWork()
    },
  })
  const sweeper = createSweeper({ staged, definition, applier, metrics, contextAt })

  const sealingKeyId = keyOfBytes(keyIdOf('x25519', deps.sealing.publicKey))
  const inbox = createInbox({
    self,
    definition,
    staged,
    trust,
    opener: createOpener(trust.engine),
    secretOf: (keyId) => (keyOfBytes(keyId) === sealingKeyId ? deps.sealing : guests.secretOf(keyId)),
    credentials: { ...credentials, roleOf },
    revocations,
    isAddressee: (id) => ownAddresses.has(id) || definition.answersTo?.(staged, id) === true,
    outbox,
    composer,
    applier,
    parking,
    metrics,
    log,
    gate: () => (clock.jumped() ? 'paused' : gate),
    contextAt,
    missing: publisher.ask,
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
        applier.apply(
          batch,
          handler(staged, { name, input, result: event.result }, contextAt(nowMs)),
          { trigger: 'job', name, ids: [] },
          nowMs,
        )
        return
      }
      case 'policy':
        policy = event.policy
        staged.write(put(policyTable, keyOf('current'), { policy: policy.json, configured: policy.configured }))
        applier.journal({
          atMs: nowMs,
          trigger: 'policy',
          name: 'set-policy',
          ids: [],
          sends: [],
          postings: [],
          fields: policy.json,
        })
        batch.after.push(() => event.answer(OK(null)))
        return
      case 'stale': {
        const decided = definition.stale?.(staged, event.stale, contextAt(nowMs))
        const trigger = { trigger: 'stale', name: event.stale.kind, ids: [] }
        if (decided !== undefined) applier.apply(batch, decided, trigger, nowMs)
        return
      }
      case 'revocations': {
        const trigger = { trigger: 'control', name: 'revocations', ids: [] }
        const adopted = inbox.adopt(batch, event.list, trigger, nowMs)
        const answer = adopted.ok
          ? OK(revocationFacts(revocations))
          : REFUSED(adopted.failure.code, adopted.failure.detail)
        batch.after.push(() => event.answer(answer))
        return
      }
      case 'gone':
        publisher.dropEntry(event.key)
        return
      case 'started':
        applier.apply(
          batch,
          definition.started(staged, {}, contextAt(nowMs)),
          { trigger: 'started', name: self.id, ids: [] },
          nowMs,
        )
    }
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
    publisher.publish(batch.outs, clock.now())
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
    log.write('error', 'the host stops', {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
    deps.onFatal(error)
  }

  const finish = (batch: Batch, nowMs: number): void => {
    if (staged.isEmpty()) {
      if (inTail === 0) conclude(batch)
      else follow(() => conclude(batch))
      return
    }
    if (!clock.jumped()) persistedMs = nowMs
    staged.write(
      put(headTable, keyOf('head'), {
        host: self.id,
        networkId: trust.networkId,
        seq: chain.current.seq,
        hash: chain.current.hash,
        highestNowMs: persistedMs,
      }),
    )
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
      sweeper.sweep(batch, nowMs)
      if (bus.connected) revocations.poll(batch, nowMs)
      publisher.resend(nowMs)
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
    return events > 0 || sweeper.more()
  }
  /** After `stop`, what came before it is still decided. */
  const draining = (): boolean => completions.size + admissions.size > 0

  const unlisten = bus.onEvent((event) => {
    if (event.type === 'reconnected') {
      outbox.hasten(clock.now(), RECONNECT_SPREAD_MS)
      revocations.hasten(clock.now(), RECONNECT_SPREAD_MS)
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
      const later = bus.connected ? [outbox.nextDueAtMs() ?? Number.POSITIVE_INFINITY, revocations.nextDueAtMs()] : []
      return Math.min(sweeper.nextAtMs(), ...later)
    },
    command: (name, args) =>
      new Promise((resolve) => {
        const starts = definition.admissions?.includes(name) === true
        if (stopped) resolve(REFUSED('STOPPED', 'the host is stopping'))
        else if (starts && (gate !== 'open' || clock.jumped()))
          resolve(REFUSED('PAUSED', 'this host admits nothing new for now'))
        else if (!(starts ? admissions : completions).push({ type: 'command', name, args, answer: resolve }))
          resolve(REFUSED('BUSY', 'the queue is full'))
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
    revocations: (list) =>
      new Promise((resolve) => {
        if (list === undefined) resolve(OK(revocationFacts(revocations)))
        else if (stopped) resolve(REFUSED('STOPPED', 'the host is stopping'))
        else {
          completions.push({ type: 'revocations', list, answer: resolve })
          deps.onWork()
        }
      }),
    revocationStatus: () => revocations.status(clock.now()),
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
