/**
 * Several banks that talk to each other, for tests. Like the runtime, a bank resends what is in its outbox until it is
 * answered, so a test loses a message by not delivering it and duplicates it by delivering it again.
 */
import { isTransient, type FailureCode } from '../../../protocol/failures.ts'
import type { HandledKind, Message } from '../../runtime/node.ts'
import type { BankPolicy } from '../policy.ts'
import { testBank, type TestBank } from './test-bank.ts'

type Underway = { readonly from: string; readonly key: string; readonly message: Message }
export type BankNetwork = {
  readonly banks: ReadonlyMap<string, TestBank>
  readonly bank: (id: string) => TestBank
  /** Outbox entries of every bank that are addressed to a bank. */
  readonly underway: () => readonly Underway[]
  /** Everything any bank ever sent to a bank: what an attacker or a retry may send again. */
  readonly history: readonly Underway[]
  /** Delivers one message, and its answers unless they are lost on the way back. */
  readonly deliver: (underway: Underway, options?: { readonly loseAnswers?: boolean }) => void
  /** Delivers until nothing is addressed to a bank or nothing moves any more. */
  readonly settle: () => void
}

export const bankNetwork = (
  ids: readonly string[],
  settlementBank: string,
  policy: Partial<BankPolicy> = {},
): BankNetwork => {
  const banks = new Map(ids.map((id) => [id, testBank(id, { settlementBank, ...policy })]))
  const bank = (id: string): TestBank => {
    const found = banks.get(id)
    if (found === undefined) throw new Error(`no bank ${id}`)
    return found
  }
  const history: Underway[] = []
  const known = new Set<Message>()
  const isForBank = (message: object): message is Message => 'kind' in message && banks.has((message as Message).to)

  const underway = (): readonly Underway[] => {
    const all = [...banks.values()].flatMap(({ id, ledger }) =>
      [...ledger.outbox].flatMap(([key, message]) => (isForBank(message) ? [{ from: id, key, message }] : [])),
    )
    for (const one of all)
      if (!known.has(one.message)) {
        known.add(one.message)
        history.push(one)
      }
    return all
  }

  const deliver = ({ from, key, message }: Underway, { loseAnswers = false } = {}): void => {
    const sender = bank(from)
    const target = bank(message.to)
    const answers = target.receive(message.kind as HandledKind<'bank'>, message.body as never, {
      from,
      role: 'bank',
      message: key,
    })
    if (loseAnswers) return
    const outbox = sender.ledger.outbox as Map<string, Message>
    for (const answer of answers) {
      if (answer.kind === 'receipt' || answer.kind === 'refusal') {
        const entry = outbox.get(key)
        const parts = entry === undefined || !('until' in entry.delivery) ? undefined : entry.delivery.until
        if (parts === undefined) continue
        if (answer.kind === 'receipt') {
          outbox.delete(key)
          sender.receipted(message.kind, parts as never)
        } else if (!isTransient(answer.body.detail as FailureCode)) {
          outbox.delete(key)
          sender.refused(message.kind, parts as never, answer.body.detail as FailureCode, target.id)
        }
        continue
      }
      sender.receive(answer.kind as HandledKind<'bank'>, answer.body as never, {
        from: target.id,
        role: 'bank',
        message: `answer ${key}`,
      })
    }
  }

  const settle = (): void => {
    for (;;) {
      const before = underway()
      if (before.length === 0) return
      for (const one of before) deliver(one)
      const after = underway()
      if (after.length === before.length && after.every(({ message }, i) => message === before[i]?.message)) return
    }
  }
  return { banks, bank, underway, history, deliver, settle }
}
