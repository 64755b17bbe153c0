/**
 * A bank on a ledger in memory, for tests: messages in, decisions applied, answers out. Like the runtime it answers the same
 * request again with the stored answer, and the same id with other content with ID_REUSED, without asking the bank.
 */
import type { Currency } from '../../../protocol/amount.ts'
import { equalBytes, fromUtf8, toHex, utf8 } from '../../../protocol/bytes.ts'
import { fail, failureCode, failureNumber, ok, type FailureCode } from '../../../protocol/failures.ts'
import type { Body, KindName } from '../../../protocol/kinds.ts'
import type { Role } from '../../../protocol/ids.ts'
import type { DeadlineEvent, Decision, HandledKind, Incoming, Message, Reader } from '../../runtime/node.ts'
import { keyOf } from '../../runtime/table.ts'
import {
  context,
  incoming,
  TEST_NOW_MS,
  testBytes,
  testId,
  testLedger,
  type TestBody,
  type TestLedger,
} from '../../runtime/testing.ts'
import { clearingAccount, reserveAccount } from '../accounts.ts'
import type { MandateTerms } from '../decide-accounts.ts'
import { bankDefinition } from '../definition.ts'
import { DEFAULT_BANK_POLICY, type BankPolicy } from '../policy.ts'
import { bankReport } from '../report.ts'
import { ACCOUNTS, type AccountRow } from '../state.ts'

/** A mandate that tests can write down: its terms and the key that "signed" it, as JSON. No signature is tested here. */
export const testMandate = (terms: MandateTerms, signedBy: Uint8Array): Uint8Array =>
  utf8(JSON.stringify({ ...terms, limitMinor: terms.limitMinor.toString(), signedBy: toHex(signedBy) }))
const readTestMandate = (mandate: Uint8Array): (MandateTerms & { readonly signedBy: string }) | undefined => {
  try {
    const read = JSON.parse(fromUtf8(mandate))
    return { ...read, limitMinor: BigInt(read.limitMinor) }
  } catch {
    return undefined
  }
}

export type Sent = {
  readonly from?: string
  readonly role?: Role
  readonly operatorId?: string
  readonly message?: string
}
export type TestBank = {
  readonly id: string
  readonly ledger: TestLedger
  readonly policy: BankPolicy
  now: () => number
  setPolicy: (policy: Partial<BankPolicy>) => void
  /** Gives a message to its handler unless it was seen; answers what the runtime would send back. */
  receive: <K extends HandledKind<'bank'>>(kind: K, body: TestBody<K>, sent?: Sent) => readonly Message[]
  /** What `receive` decided last; undefined when it was a duplicate. */
  lastDecision: () => Decision | undefined
  control: (command: string, args?: Record<string, unknown>) => Record<string, unknown>
  /** Moves the clock and fires what is due, in order. */
  advance: (ms: number) => readonly Decision[]
  apply: (decide: (read: Reader, ctx: ReturnType<typeof context<BankPolicy, 'bank'>>) => Decision) => Decision
  refused: (kind: KindName, key: readonly (string | number | Uint8Array)[], code: FailureCode, by: string) => Decision
  receipted: (kind: KindName, key: readonly (string | number | Uint8Array)[]) => Decision
  account: (name: string) => AccountRow | undefined
  balance: (name: string) => bigint
  free: (name: string) => bigint
  position: (peer: string, currency?: Currency) => bigint
  reserve: (bank: string, currency?: Currency) => bigint
  report: () => ReturnType<typeof bankReport>
}

/** Long, so that a test which does not look at clearing sees none. */
export const TEST_WINDOW_MS = 86_400_000
export const CHAIN = [testBytes('credential of the bank')]
export const HOLDER_KEY = testBytes('holder key')
export const UNSOUND_KEY = testBytes('unsound key')

export const testBank = (id = 'hu-kh', policy: Partial<BankPolicy> = {}): TestBank => {
  const ledger = testLedger()
  const definition = bankDefinition({
    chain: () => CHAIN,
    isHolderKey: (key) => !equalBytes(key, UNSOUND_KEY),
    readMandate: readTestMandate,
    verifyMandate: (mandate, holderKey) => {
      const read = readTestMandate(mandate)
      return read !== undefined && read.signedBy === toHex(holderKey) ? ok(read) : fail('MANDATE_INVALID')
    },
  })
  const seen = new Map<string, { readonly digest: Uint8Array; answers: readonly Message[] }>()
  let nowMs = TEST_NOW_MS
  let current: BankPolicy = { ...DEFAULT_BANK_POLICY, clearing: { windowMs: TEST_WINDOW_MS }, ...policy }
  let events = 0
  let last: Decision | undefined

  const nextContext = () =>
    context<BankPolicy, 'bank'>({ self: { id, role: 'bank' }, policy: current, nowMs, seed: `${id} ${(events += 1)}` })
  const applied = (decision: Decision): Decision => {
    ledger.apply(decision)
    for (const send of decision.sends)
      if (!('relay' in send) && 'answers' in send.delivery) {
        const request = seen.get(toHex(send.delivery.answers))
        if (request !== undefined) request.answers = [...request.answers, send]
      }
    return decision
  }
  const bank: TestBank = {
    id,
    ledger,
    policy: current,
    now: () => nowMs,
    setPolicy: (changed) => void (current = { ...current, ...changed }),
    receive: (kind, body, sent = {}) => {
      const { message: seed = '', ...options } = sent
      const event = incoming(kind, body, { ...options, header: { messageId: testId(`${kind} ${seed}`), to: id } })
      const name = toHex(event.ref)
      const before = seen.get(name)
      last = undefined
      const refusal = (code: FailureCode): Message => ({
        kind: 'refusal',
        to: event.message.sender.id,
        body: { digest: event.message.digest, code: failureNumber(code), detail: code },
        delivery: { answers: event.ref },
      })
      if (before !== undefined)
        return equalBytes(before.digest, event.message.digest) ? before.answers : [refusal('ID_REUSED')]
      seen.set(name, { digest: event.message.digest, answers: [] })
      const handle = (definition.messages as Readonly<Record<string, unknown>>)[kind] as (
        read: Reader,
        event: Incoming,
        ctx: unknown,
      ) => Decision
      last = applied(handle(ledger, event, nextContext()))
      const { refuse } = last
      if (refuse !== undefined) return [refusal(refuse.code)]
      return last.sends.filter(
        (send): send is Message =>
          !('relay' in send) && 'answers' in send.delivery && equalBytes(send.delivery.answers, event.ref),
      )
    },
    lastDecision: () => last,
    control: (command, args = {}) =>
      applied(
        (definition.controls[command] as NonNullable<(typeof definition.controls)[string]>)(
          ledger,
          { command, args },
          nextContext(),
        ),
      ).reply as Record<string, unknown>,
    advance: (ms) => {
      const until = nowMs + ms
      const fired: Decision[] = []
      for (;;) {
        const due = ledger.deadlines().find(({ atMs }) => atMs <= until)
        if (due === undefined) break
        nowMs = Math.max(nowMs, due.atMs)
        const fire = definition.deadlines[due.name] as (read: Reader, event: DeadlineEvent, ctx: unknown) => Decision
        const decision = fire(ledger, due, nextContext())
        applied({ ...decision, clear: [...decision.clear, due] })
        fired.push(decision)
      }
      nowMs = until
      return fired
    },
    apply: (decide) => applied(decide(ledger, nextContext())),
    refused: (kind, key, code, by) =>
      applied(definition.refused(ledger, { kind, key: keyOf(...key), code, detail: '', by }, nextContext())),
    receipted: (kind, key) => applied(definition.receipted(ledger, { kind, key: keyOf(...key) }, nextContext())),
    account: (name) => ledger.get(ACCOUNTS, name),
    balance: (name) => ledger.get(ACCOUNTS, name)?.balanceMinor ?? 0n,
    free: (name) => {
      const row = ledger.get(ACCOUNTS, name)
      return row === undefined ? 0n : row.balanceMinor - row.heldMinor
    },
    position: (peer, currency = 'EUR') => ledger.get(ACCOUNTS, clearingAccount(peer, currency))?.balanceMinor ?? 0n,
    reserve: (of, currency = 'EUR') => ledger.get(ACCOUNTS, reserveAccount(of, currency))?.balanceMinor ?? 0n,
    report: () => bankReport(ledger, id),
  }
  applied(definition.started(ledger, {}, nextContext()))
  return bank
}

export const openAccount = (
  bank: TestBank,
  name: string,
  balanceMinor: bigint,
  more: Record<string, unknown> = {},
): Record<string, unknown> =>
  bank.control('open-account', {
    account: `${bank.id}:${name}`,
    holderKey: toHex(HOLDER_KEY),
    currency: 'EUR',
    balanceMinor: balanceMinor.toString(),
    ...more,
  })

export const mandateTerms = (account: string, operatorId: string, limitMinor: bigint): MandateTerms => ({
  account,
  operatorId,
  limitMinor,
  currency: 'EUR',
  serial: 1,
  notBeforeMs: 0,
  notAfterMs: TEST_NOW_MS + 1_000_000_000,
})
export const giveMandate = (
  bank: TestBank,
  terms: MandateTerms,
  { signedBy = HOLDER_KEY, from = terms.operatorId, id = `${terms.account} ${terms.operatorId} ${terms.serial}` } = {},
): readonly Message[] =>
  bank.receive(
    'mandate-registration',
    { registrationId: testId(`mandate ${id} ${from}`), mandate: testMandate(terms, signedBy) },
    { from, role: 'cpp', operatorId: from },
  )

/** The failure of an answer or a refusal by name; its result when there is none; undefined when there was no answer. */
export const outcomeOf = (messages: readonly Message[]): string | undefined => {
  const [message] = messages
  if (message === undefined) return undefined
  if (message.kind === 'refusal') return `refusal ${message.body.detail}`
  const { result, code } = message.body as { readonly result?: string; readonly code?: number }
  return code === undefined ? (result ?? message.kind) : failureCode(code)
}

/** Messages of a kind among what was sent. */
export const sentOf = <K extends KindName>(decision: Decision | undefined, kind: K): readonly Body<K>[] =>
  (decision?.sends ?? []).flatMap((send) => ('kind' in send && send.kind === kind ? [send.body as Body<K>] : []))
