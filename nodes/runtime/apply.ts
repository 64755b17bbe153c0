/**
 * What a decision does: its writes, outbox entries, answers, deadlines and journal entry, staged together, so that one commit
 * holds all of it or nothing.
 */
import { clip, equalBytes } from '../../protocol/bytes.ts'
import { failureNumber, isTransient } from '../../protocol/failures.ts'
import { isGuestToken, type Role } from '../../protocol/ids.ts'
import { bearsPinKey, kindRow, KINDS, type KindName } from '../../protocol/kinds.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Lru } from '../../protocol/lru.ts'
import type { Verified } from '../../protocol/verified.ts'
import { assertDecision, InvariantBroken } from './decision-check.ts'
import { appendEntry, type Chain } from './journal.ts'
import { toJson } from './json.ts'
import { createHeardBook } from './ledger-age.ts'
import type { Metrics } from './metrics.ts'
import { put, remove, type Decision, type Job, type Message, type RequestRef } from './node.ts'
import { compose, composeRelay, peerOf, type Composer } from './outgoing.ts'
import type { Outbox } from './outbox.ts'
import {
  deadlineTable,
  frameTable,
  journalTable,
  outboxTable,
  seenPruneTable,
  seenTable,
  type JournalRow,
  type StoredSend,
} from './runtime-tables.ts'
import type { SentStore } from './sent-store.ts'
import { keyText } from './sorted-map.ts'
import type { Staged } from './staged.ts'
import { keyOf } from './table.ts'

/** What an event is to the journal. */
export type Trigger = {
  readonly trigger: string
  readonly name: string
  readonly ids: readonly Uint8Array[]
  readonly message?: Verified
  readonly ref?: RequestRef
}

/** A message to be sealed and published after the flush. */
export type Out = { readonly send: StoredSend; readonly outboxKey: string | undefined }

/** What a step has decided, beside what is staged. */
export type Batch = {
  readonly outs: Out[]
  readonly jobs: Job[]
  readonly announcements: { readonly topic: string; readonly value: unknown }[]
  /** Run after the flush, in order: answers to control commands, log lines. */
  readonly after: (() => void)[]
}
export const emptyBatch = (): Batch => ({ outs: [], jobs: [], announcements: [], after: [] })

/** One event without effect on the ledger, for the trace of a stateless host. */
export type Passing = Omit<JournalRow, 'seq' | 'prevHash'>

export type ApplyDeps = {
  readonly staged: Staged
  readonly outbox: Outbox
  readonly composer: Composer
  readonly metrics: Metrics
  readonly chain: { current: Chain }
  readonly keepFrames: boolean
  /** Keeps what may have to be shown later. */
  readonly sent: SentStore
  /** Answers to questions, by their question's reference: nothing of them is stored, and a resent question should not get another. */
  readonly recent: Lru<{ readonly digest: Uint8Array; readonly answer: StoredSend }>
  readonly onPassing: (entry: Passing) => void
  readonly onRecord: (entry: Passing, decision: Decision) => void
  /** An entry of this step is staged: where a test may let the host die. */
  readonly onStep: (trigger: string, name: string) => void
  /** A guest login is gone, or the like: the message can not be made. */
  readonly onUnsendable: (kind: KindName, to: string) => void
}

/** Where a refusal of `message` goes: to its originator, else to the hop it came from, if the registry has a way there. */
export const refusalAddressee = (
  here: Role,
  originator: { readonly role: Role; readonly host: string },
  previousHop: { readonly role: Role | undefined; readonly host: string },
): string | undefined => {
  const mayReach = (role: Role | undefined): boolean =>
    kindRow('refusal').paths.some((path) => path[0] === here && path.at(-1) === role)
  if (mayReach(originator.role)) return originator.host
  return mayReach(previousHop.role) ? previousHop.host : undefined
}

export const createApplier = (deps: ApplyDeps) => {
  const { staged, outbox, composer, metrics } = deps
  const { self } = composer

  const store = (message: Decision['sends'][number], nowMs: number): StoredSend | undefined => {
    if ('relay' in message) return composeRelay(self, message)
    const made = compose(composer, message, nowMs)
    if (made === undefined) deps.onUnsendable(message.kind, message.to)
    return made
  }

  const setAnswer = (ref: RequestRef, answer: StoredSend): void => {
    const row = staged.get(seenTable, ref)
    if (row === undefined) throw new InvariantBroken(`${answer.kind} answers a request that was never seen`)
    staged.write(put(seenTable, ref, { ...row, answer: outboxTable.encode(answer) }))
  }

  const markSeen = (ref: RequestRef, message: Verified, nowMs: number): void => {
    staged.write(put(seenTable, ref, { digest: message.digest, seenAtMs: nowMs }))
    // Only a transport id: forgotten after retention. Business ids dedupe for ever.
    if (KINDS[message.kind].id === null) staged.write(put(seenPruneTable, keyOf(nowMs, ref), { ref }))
  }

  const forget = (key: Uint8Array): void => {
    const text = keyText(key)
    if (outbox.get(text) === undefined) return
    outbox.forget(text)
    staged.write(remove(outboxTable, key))
  }

  /** The refusal of a message, or undefined when there is no way to its sender. */
  const refusalOf = (
    message: Verified,
    refuse: NonNullable<Decision['refuse']>,
  ): Omit<Message<'refusal'>, 'delivery'> | undefined => {
    const previous = isGuestToken(message.previousHop) ? 'guest' : composer.roleOf(message.previousHop)
    const to = refusalAddressee(self.role, message.sender, { role: previous, host: message.previousHop })
    if (to === undefined) return undefined
    return {
      kind: 'refusal',
      to,
      body: {
        digest: message.digest,
        code: failureNumber(refuse.code),
        detail: clip(refuse.detail, LIMITS.maxDetailLength),
      },
    }
  }

  /**
   * Stages everything the decision does and adds to the batch what follows the flush.
   * @throws InvariantBroken: nothing of the batch may be committed
   */
  const apply = (batch: Batch, decision: Decision, trigger: Trigger, nowMs: number): void => {
    assertDecision(decision)
    const { message, ref } = trigger
    const { refuse } = decision
    const refusal = refuse !== undefined && message !== undefined ? refusalOf(message, refuse) : undefined
    const acts =
      decision.writes.length +
        decision.forget.length +
        decision.set.length +
        decision.clear.length +
        decision.postings.length +
        decision.jobs.length >
      0
    // A question that changes nothing leaves nothing: it is answered anew when it is asked again, or whoever may ask could
    // fill the ledger. Only what was asked under a business id is kept.
    const asked = message !== undefined && KINDS[message.kind].id === null && !acts
    const stored = refuse !== undefined && !isTransient(refuse.code) && !asked
    const answers: Decision['sends'] =
      refusal === undefined
        ? decision.sends
        : [...decision.sends, { ...refusal, delivery: stored && ref !== undefined ? { answers: ref } : { once: true } }]
    const sends = asked ? answers.map((send) => unkept(send, ref)) : answers
    if (refusal !== undefined) metrics.count('refusalsSent')

    const changes = stored || acts || sends.some(({ delivery }) => !('once' in delivery))
    if (changes && message !== undefined && ref !== undefined) markSeen(ref, message, nowMs)

    for (const write of decision.writes) staged.write(write)
    for (const parts of decision.forget) forget(keyOf(...parts))
    for (const { name, key, atMs } of decision.clear) staged.write(remove(deadlineTable, keyOf(atMs, name, key)))
    for (const { name, key, atMs } of decision.set)
      staged.write(put(deadlineTable, keyOf(atMs, name, key), { name, key }))

    const told: [string, string, Uint8Array][] = []
    for (const one of sends) {
      const send = store(one, nowMs)
      if (send === undefined) continue
      told.push([send.kind, send.toHost, send.digest])
      const { delivery } = one
      let outboxKey: string | undefined
      if ('until' in delivery) {
        const key = keyOf(...delivery.until)
        outboxKey = keyText(key)
        staged.write(put(outboxTable, key, send))
        deps.sent.keep(key, send).forEach(staged.write)
        outbox.add(outboxKey, keyText(send.digest), peerOf(send))
      } else if ('answers' in delivery) setAnswer(delivery.answers, send)
      else if (asked && refuse === undefined && ref !== undefined)
        deps.recent.set(keyText(ref), { digest: message.digest, answer: send })
      batch.outs.push({ send, outboxKey })
    }

    const { record } = decision
    const entry: Passing = {
      atMs: nowMs,
      trigger: trigger.trigger,
      name: trigger.name,
      ids: uniqueIds(trigger.ids, record?.ids ?? []),
      sends: told,
      postings: decision.postings.map(
        ({ account, currency, amountMinor }) => [account, currency, amountMinor] as const,
      ),
      ...(record === undefined ? {} : { event: record.event }),
      ...(message === undefined ? {} : { from: message.sender.id, digest: message.digest }),
      ...(refuse === undefined ? {} : { refused: refuse.code }),
      ...(record?.fields === undefined ? {} : { fields: toJson(record.fields) }),
    }
    if (decision.quiet === true) return
    if (changes) journal(entry, message)
    else if (told.length > 0 || record !== undefined || refuse !== undefined) deps.onPassing(entry)
    if (record !== undefined || refuse !== undefined) batch.after.push(() => deps.onRecord(entry, decision))
    batch.jobs.push(...decision.jobs)
    batch.announcements.push(...decision.announce)
  }

  const heard = createHeardBook(staged)
  const journal = (entry: Passing, message?: Verified): void => {
    const { row, bytes, chain } = appendEntry(deps.chain.current, entry)
    deps.chain.current = chain
    staged.writeEncoded(put(journalTable, keyOf(row.seq), row), bytes)
    deps.onStep(entry.trigger, entry.name)
    if (message !== undefined && deps.keepFrames && KINDS[message.kind].id !== null && !bearsPinKey(message.kind)) {
      staged.write(put(frameTable, keyOf(row.seq), { frame: message.frame }))
      heard.note(message, row.seq)
    }
    metrics.count('journalled')
  }

  return { apply, journal, forget, refusalOf }
}
export type Applier = ReturnType<typeof createApplier>

/** An answer to `ref` that is sent and forgotten. */
const unkept = (send: Decision['sends'][number], ref: RequestRef | undefined): Decision['sends'][number] =>
  ref !== undefined && 'answers' in send.delivery && equalBytes(send.delivery.answers, ref)
    ? { ...send, delivery: { once: true } }
    : send

/** A decision names a handful of ids: looking through those found costs less than any index of them. */
const uniqueIds = (first: readonly Uint8Array[], second: readonly Uint8Array[]): readonly Uint8Array[] => {
  const found: Uint8Array[] = []
  for (const ids of [first, second]) for (const id of ids) if (!found.some((one) => equalBytes(one, id))) found.push(id)
  return found
}
