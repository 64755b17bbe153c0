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
import { dataCenterAddress, realmOf } from '../../protocol/ids.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { createLru } from '../../protocol/lru.ts'
import { parseSubject } from '../../protocol/subjects.ts'
import type { Gate } from './admission.ts'
import { answerOf, OK, REFUSED } from './answers.ts'
import { createApplier, emptyBatch, type ApplyDeps, type Batch } from './apply.ts'
import { ledgerClock } from './clock.ts'
import { createCommits } from './commits.ts'
import { createCredentialStore } from './credential-store.ts'
import { createDispatcher } from './dispatch.ts'
import { createFaults } from './faults.ts'
import { createGuestDesk } from './guests.ts'
import type { Answer, Host, HostDeps, NodeServices } from './host-types.ts'
import { createDeviceKeys, createKeyring } from './identity.ts'
import { createInbox } from './inbox.ts'
import { createIncoming, type Frame, type FrameEvent } from './incoming.ts'
import { LedgerError } from './ledger-error.ts'
import { headWrite, openHead, readPolicy, type PolicyState } from './ledger-state.ts'
import { createMetrics } from './metrics.ts'
import { decision, type AnyNodeDefinition, type Context, type Job } from './node.ts'
import { createOutbox } from './outbox.ts'
import { peerOf } from './outgoing.ts'
import type { OwnEvent } from './own-event.ts'
import { createParking } from './parking.ts'
import { createPassingLog } from './passing.ts'
import { adoptPolicy } from './policy-change.ts'
import { createPublisher } from './publisher.ts'
import { randomBelow } from './random.ts'
import { createRevocations, isStale, judging, ownKeyIds, revocationFacts, shownChain } from './revocation.ts'
import { headTable, outboxTable } from './runtime-tables.ts'
import { createRotation } from './rotation.ts'
import { createSenders } from './senders.ts'
import { framesOf, sealedNow } from './sent-frames.ts'
import { createSentStore } from './sent-store.ts'
import { keyText } from './sorted-map.ts'
import { createStaged } from './staged.ts'
import { stepName, stepsOf } from './steps.ts'
import { createSweeper } from './sweeper.ts'

export type { Answer, Host, HostDeps, NodeServices } from './host-types.ts'

export const createHost = (deps: HostDeps): Host => {
  const { self, store, bus, random, log } = deps
  const metrics = createMetrics()
  const staged = createStaged(store)
  const committed = createStaged(store)
  const faults = createFaults(deps.die ?? (() => undefined), stepName)
  const fraction = (): number => randomBelow(random, 0x1000_0000) / 0x1000_0000
  const head = openHead(committed, self.id, deps.trust.networkId)
  const clock = ledgerClock(deps.clock, head.highestNowMs)
  const keyring = createKeyring(deps.trust.engine, deps.identity, deps.former ?? [], clock.now)
  const revocations = createRevocations(
    {
      trust: deps.trust,
      read: staged,
      ownKeyIds: () => ownKeyIds(deps.trust, keyring.identity().signing, keyring.given()),
      metrics,
      log,
      fraction,
    },
    () => ({
      composer,
      chain: (turn) => shownChain(trust, keyring.given(), clock.now(), turn),
      sources: (nowMs) => definition.revocationSources?.(staged, contextAt(nowMs)) ?? [dataCenterAddress(self.realm)],
    }),
  )
  const trust = judging(deps.trust, revocations, () => clock.now())

  const senders = createSenders()
  const incoming = createIncoming<OwnEvent>({
    role: self.role,
    roleOf: (host) => roleOf(host),
    senders,
    metrics,
    maxAdmissions: deps.maxAdmissions ?? LIMITS.maxAdmissionQueue,
  })
  const parking = createParking<Frame>(LIMITS.maxParkedForCredential)
  const outbox = createOutbox(fraction)
  const passing = createPassingLog()
  const recent: ApplyDeps['recent'] = createLru(LIMITS.recentAnswersKept)
  const waiters = new Map<string, ((value: unknown) => void)[]>()
  const subscriptions: Subscription[] = []

  const receive = ({ subject: text, data }: BusMessage): void => {
    metrics.count('received')
    const subject = parseSubject(text)
    if (subject === undefined || stopped) {
      metrics.count('foreignSubjects')
      return
    }
    if (faults.isCut(subject.fromHost)) return
    incoming.receive(subject, data, clock.now())
    deps.onWork()
  }

  const queueAct = (act: (batch: Batch, nowMs: number) => void): void => {
    incoming.own({ type: 'act', act })
    deps.onWork()
  }

  const guests = createGuestDesk(deps.broker, trust.engine, random.bytes, receive)
  const services: NodeServices = {
    self,
    trust,
    identity: () => keyring.identity(),
    guests,
    localKey: deps.localKey,
    dataCenters: deps.dataCenters,
    peerRealms: deps.peerRealms,
    framesOf: async (sent) => framesOf(committed, sent, keyring.identity().signing, random.bytes),
    seal: async (message) => sealedNow(composer, message, keyring.identity().signing, clock.now()),
  }
  const chain = { current: { seq: head.seq, hash: head.hash } }
  const definition: AnyNodeDefinition = deps.define(services)
  let policy = readPolicy(committed, definition, deps.policy)
  let gate: Gate = 'open'
  let stopped = false
  let failed = false
  let started = false
  let jobsRunning = 0
  /** Commands that came and were not answered, those that wait for a topic among them. */
  let pendingCommands = 0
  let persistedMs = head.highestNowMs
  /** The time of the step under way. */
  let decidedAtMs = head.highestNowMs

  const known = [...deps.identity.chains, ...deps.trusted]
  const credentials = createCredentialStore(trust, staged, known, clock.now(), self.id)
  const ownAddresses = new Set([self.id, ...(self.role === 'dc' ? [dataCenterAddress(self.realm)] : [])])
  const roleOf = (host: string) =>
    credentials.roleOf(host) ?? (host === dataCenterAddress(realmOf(host)) ? ('dc' as const) : undefined)
  const deviceKey = createDeviceKeys(trust.engine, (customer) => definition.deviceSeed?.(staged, customer))
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
    keyring: {
      host: () => keyring.identity().signing,
      hostFor: keyring.sealerOf,
      device: deviceKey,
      guest: guests.get,
    },
    sealer: createSealer(trust.engine, random.bytes),
    random: random.bytes,
    seals: deps.seals ?? 'batch',
    // Nothing is encrypted to a revoked key: it waits for the credential that follows.
    credentialOf: (host) =>
      credentials.usable(host) ??
      (roleOf(host) === 'dc' ? { role: 'dc', sealingKey: null, notAfterMs: Number.MAX_SAFE_INTEGER } : undefined),
    drop: (send) => faults.isCut(send.toHost) || faults.shouldDrop(send.kind),
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
    sent: createSentStore(trust.engine, deps.localKey, random.bytes),
    recent,
    onPassing: passing.add,
    onStep: faults.note,
    onRecord: (entry, { record }) => {
      const level = record?.level ?? (entry.refused === undefined ? 'info' : 'warn')
      const fields = {
        kind: entry.name,
        ids: entry.ids.map(toHex),
        ...(entry.refused === undefined ? {} : { code: entry.refused }),
        ...record?.fields,
      }
      // Whoever has a valid seal can be refused as often as it likes.
      if (record === undefined && entry.from !== undefined) log.of(entry.from, level, 'refused', fields)
      else log.write(level, entry.event ?? 'refused', fields)
    },
    onUnsendable: (kind, to) => log.of(to, 'warn', 'message not made: its guest login is gone', { kind, to }),
  })

  const publisher = createPublisher({
    self,
    chain: () => shownChain(trust, keyring.given(), clock.now()),
    bus,
    staged,
    outbox,
    composer,
    dispatcher,
    metrics,
    onGone: (key) => queueAct(() => publisher.dropEntry(key)),
    isStale: (kind, frame) => definition.stale !== undefined && isStale(trust, credentials, kind, frame),
    onStale: (stale) =>
      queueAct((batch, nowMs) => {
        const decided = definition.stale?.(staged, stale, contextAt(nowMs)) ?? decision()
        applier.apply(batch, decided, { trigger: 'stale', name: stale.kind, ids: [] }, nowMs)
      }),
  })
  const rotation = createRotation({
    self,
    trust,
    keyring,
    credentials,
    definition,
    staged,
    applier,
    outbox,
    log,
    contextAt,
  })
  const sweeper = createSweeper({ staged, definition, applier, metrics, contextAt })

  const inbox = createInbox({
    self,
    definition,
    staged,
    trust,
    opener: createOpener(trust.engine),
    secretOf: (keyId) => keyring.secretOf(keyId) ?? guests.secretOf(keyId),
    credentials: { ...credentials, roleOf },
    revocations,
    isAddressee: (id) => ownAddresses.has(id) || definition.answersTo?.(staged, id) === true,
    outbox,
    composer,
    applier,
    parking,
    recent,
    senders,
    metrics,
    log,
    gate: () => (clock.jumped() ? 'paused' : gate),
    contextAt,
    missing: publisher.ask,
    release: (frames) => {
      for (const frame of frames) incoming.again(frame, clock.now())
      deps.onWork()
    },
  })

  const handle = (batch: Batch, event: OwnEvent | FrameEvent, nowMs: number): void => {
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
        adoptPolicy({ staged, applier, definition }, batch, policy, contextAt(nowMs))
        batch.after.push(() => event.answer(OK(null)))
        return
      case 'act':
        event.act(batch, nowMs)
        return
      case 'identity':
        rotation.adopt(batch, event.next, nowMs, event.answer)
        return
      case 'started':
        // Kept for whoever asks of them after the operator has given others.
        credentials.trustChains([...keyring.given(), ...deps.trusted], nowMs).forEach(staged.write)
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
          incoming.own({ type: 'job', job, result })
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
      for (const tell of waiters.get(topic) ?? []) tell(value)
      waiters.delete(topic)
    }
    if (!stopped) runJobs(batch.jobs)
  }

  const fail = (error: unknown): void => {
    if (failed) return
    failed = true
    stopped = true
    // Where in the code a disk was found full says nothing to whoever has to make room.
    const reason = error instanceof LedgerError ? error.message : error instanceof Error ? error.stack : String(error)
    log.write('error', 'the host stops', { error: reason })
    deps.onFatal(error)
  }

  const commits = createCommits({
    staged,
    store,
    durability: deps.durability,
    monotonicMs: deps.clock.monotonicMs,
    metrics,
    faults,
    stageHead: () => {
      if (!clock.jumped()) persistedMs = decidedAtMs
      staged.write(headWrite(self.id, trust.networkId, chain.current, persistedMs))
      return chain.current
    },
    onDurable: deps.onDurable ?? (() => {}),
    failed: () => failed,
    fail,
    onWork: deps.onWork,
  })

  const step = (): boolean => {
    if (stopped && !draining()) return false
    if (failed || !started || commits.full()) return false
    const nowMs = clock.now()
    decidedAtMs = nowMs
    const batch = emptyBatch()
    const beganMs = deps.clock.monotonicMs()
    let events = 0
    try {
      sweeper.sweep(batch, nowMs)
      if (bus.connected) revocations.poll(batch, nowMs)
      publisher.resend(nowMs)
      const next = incoming.step()
      for (; events < LIMITS.maxStepEvents; events++) {
        const event = next()
        if (event === undefined) break
        handle(batch, event, nowMs)
      }
      if (events > 0) {
        metrics.count('steps')
        metrics.batchEvents.record(events)
        metrics.decideMs.record(deps.clock.monotonicMs() - beganMs)
      }
      commits.submit(() => conclude(batch))
    } catch (error) {
      fail(error)
      return false
    }
    return events > 0 || sweeper.more()
  }
  /** After `stop`, what came before it is still decided. */
  const draining = (): boolean => {
    const { completions, admissions } = incoming.sizes()
    return completions + admissions > 0
  }

  const unlisten = bus.onEvent((event) => {
    if (event.type === 'reconnected') {
      outbox.hasten(clock.now(), LIMITS.reconnectSpreadMs)
      revocations.hasten(clock.now(), LIMITS.reconnectSpreadMs)
      deps.onWork()
    }
    log.write(event.type === 'connected' || event.type === 'reconnected' ? 'info' : 'warn', `bus ${event.type}`)
  })

  return {
    self,
    metrics,
    faults,
    steps: stepsOf(definition),
    read: committed,
    nowMs: clock.now,
    start: async (accepted) => {
      const nowMs = clock.now()
      for (const [key, row] of committed.scan(outboxTable, []))
        outbox.add(
          keyText(key),
          keyText(row.digest),
          peerOf(row),
          nowMs + Math.floor(LIMITS.firstResendMs * fraction()),
        )
      for (const { subject, queue } of hostSubscriptions(self.role, self.id))
        subscriptions.push(await bus.subscribe(subject, queue === undefined ? {} : { queue }, receive))
      if (accepted !== undefined)
        queueAct((batch, at) =>
          applier.apply(batch, accepted, { trigger: 'control', name: 'accept-ledger', ids: [] }, at),
        )
      if (policy.changed) incoming.own({ type: 'policy', policy, answer: () => {} })
      incoming.own({ type: 'started' })
      started = true
      deps.onWork()
    },
    step,
    nextDueAtMs: () => {
      if (incoming.size() > 0) return clock.now()
      const later = bus.connected ? [outbox.nextDueAtMs() ?? Number.POSITIVE_INFINITY, revocations.nextDueAtMs()] : []
      return Math.min(sweeper.nextAtMs(), ...later)
    },
    command: (name, args) =>
      new Promise((resolve) => {
        const starts = definition.admissions?.includes(name) === true
        const answer = (given: Answer): void => {
          pendingCommands -= 1
          resolve(given)
        }
        const event = { type: 'command', name, args, answer } as const
        if (stopped) resolve(REFUSED('STOPPED', 'the host is stopping'))
        else if (starts && (gate !== 'open' || clock.jumped()))
          resolve(REFUSED('PAUSED', 'this host admits nothing new for now'))
        else if (pendingCommands >= LIMITS.maxPendingCommands || (starts && !incoming.start(event)))
          resolve(REFUSED('BUSY', 'too many commands without an answer'))
        else {
          pendingCommands += 1
          if (!starts) incoming.own(event)
          deps.onWork()
        }
      }),
    ask: (name, args) => {
      const question = definition.reads[name]
      if (question === undefined) return REFUSED('UNKNOWN_READ', name)
      return OK(question(committed, args, contextAt(clock.now())))
    },
    identity: keyring.identity,
    identityStatus: () => rotation.status(clock.now()),
    identityProblem: (next) => rotation.problem(next, clock.now()),
    adopt: (next) =>
      new Promise((resolve) => {
        if (stopped) resolve(REFUSED('STOPPED', 'the host is stopping'))
        else {
          incoming.own({ type: 'identity', next, answer: resolve })
          deps.onWork()
        }
      }),
    moveGuests: guests.renewStranded,
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
        incoming.own({ type: 'policy', policy: next, answer: resolve })
        deps.onWork()
      }),
    policyJson: () => policy.json,
    revocations: (list) =>
      new Promise((resolve) => {
        if (list === undefined) resolve(OK(revocationFacts(revocations)))
        else if (stopped) resolve(REFUSED('STOPPED', 'the host is stopping'))
        else
          queueAct((batch, nowMs) => {
            const adopted = inbox.adopt(batch, list, { trigger: 'control', name: 'revocations', ids: [] }, nowMs)
            const { code, detail } = adopted.ok ? { code: '', detail: '' } : adopted.failure
            batch.after.push(() => resolve(adopted.ok ? OK(revocationFacts(revocations)) : REFUSED(code, detail)))
          })
      }),
    revocationStatus: () => revocations.status(clock.now()),
    inFlight: () => incoming.size() + outbox.size + commits.inFlight() + jobsRunning,
    ready: () => started && !stopped && definition.ready(committed, contextAt(clock.now())),
    stopped: () => stopped,
    lastSeq: () => committed.get(headTable, 'head')?.seq ?? 0,
    passing: passing.all,
    offenders: senders.worst,
    depths: () => ({
      ...incoming.sizes(),
      outbox: outbox.size,
      parked: parking.size,
      commits: commits.inFlight(),
      jobs: jobsRunning,
      commands: pendingCommands,
    }),
    settled: commits.settled,
    stop: async () => {
      stopped = true
      unlisten()
      for (const subscription of subscriptions) subscription.unsubscribe()
      await guests.closeAll()
    },
  }
}
