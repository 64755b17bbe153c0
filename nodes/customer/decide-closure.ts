/**
 * A customer closes the account at a CPP: a change like that of a PIN, proved by the PIN, and ended by the CPP's receipt, which comes
 * once nothing is owed there. Invariant: a closed account pays nothing more and is not enrolled again.
 */
import { Fields, NodeId } from '../../protocol/fields.ts'
import { decision, put, type Context, type ControlEvent, type Decision, type Reader } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { PinArgument, readArguments, replyRefused } from './arguments.ts'
import {
  begin,
  loadChange,
  loadChangeOrder,
  release,
  type ChangeOrderSlice,
  type ChangeSlice,
} from './decide-changes.ts'
import type { WalletPolicy } from './policy.ts'
import { changes, changeTopic, enrolments, type Enrolment } from './state.ts'
import type { Vault } from './vault.ts'

const CloseShape = Fields({ customer: NodeId, cpp: NodeId, pin: PinArgument })
type CloseArguments = { readonly customer: string; readonly cpp: string; readonly pin: string }
export const loadClose = (read: Reader, { args }: ControlEvent): ChangeOrderSlice<CloseArguments> =>
  loadChangeOrder(read, readArguments(CloseShape, args))

/**
 * `close-account`. SCHEMA_VIOLATION, CUSTOMER_UNKNOWN, UNDECIDED while a payment or a change is; then as the CPP answers, which
 * may take as long as what is owed can not be collected: the account is closing meanwhile, and asking again is UNDECIDED.
 */
export const decideClose = (
  { args, enrolment, running, paying }: ChangeOrderSlice<CloseArguments>,
  _: unknown,
  { freshId, nowMs }: Context<WalletPolicy>,
): Decision => {
  if (!args.ok) return replyRefused(args.failure.code, args.failure.detail)
  if (enrolment?.state !== 'enrolled') return replyRefused('CUSTOMER_UNKNOWN', 'not enrolled at this CPP')
  if (running !== undefined)
    return replyRefused(
      'UNDECIDED',
      running.kind === 'closure' ? 'the account is being closed' : 'another change is under way',
    )
  if (paying) return replyRefused('UNDECIDED', 'a payment is under way')
  const { customer, cpp, pin } = args.value
  return begin({ changeId: freshId(), kind: 'closure', customer, cpp, state: 'deriving', startedAtMs: nowMs }, { pin })
}

export type ClosedSlice = ChangeSlice & { readonly enrolment: Enrolment | undefined }
export const loadClosed =
  (vault: Vault) =>
  (read: Reader, changeId: Uint8Array): ClosedSlice => {
    const slice = loadChange(vault)(read, changeId)
    const { change } = slice
    return { ...slice, enrolment: change === undefined ? undefined : read.get(enrolments, change.customer, change.cpp) }
  }

/** The CPP's receipt: nothing is owed, the account is closed. */
export const decideClosed = (
  { change, enrolment }: ClosedSlice,
  _: unknown,
  { nowMs }: Context<WalletPolicy>,
): Decision => {
  if (change?.state !== 'sent' || change.kind !== 'closure' || enrolment === undefined) return decision()
  const { changeId, customer, cpp } = change
  return decision({
    writes: [
      put(changes, keyOf(changeId), { ...change, state: 'done', decidedAtMs: nowMs }),
      put<Enrolment>(enrolments, keyOf(customer, cpp), { ...enrolment, state: 'closed' }),
    ],
    jobs: [release(change, false)],
    announce: [{ topic: changeTopic(changeId), value: { ok: true, customer, cpp, closed: true } }],
    record: { event: 'account-closed', ids: [changeId] },
  })
}
