/**
 * A customer closes the account (design §5 "at account closure"). A closure is checked in this order, and the first check that fails
 * decides: unknown, or not the sender's own → CUSTOMER_UNKNOWN, closing or closed → CUSTOMER_CLOSED, PIN_LOCKED, WRONG_PIN (counted);
 * then nothing new is paid, and the receipt comes once nothing is owed (closing.ts).
 */
import { accountClosureSubject } from '../../protocol/pin.ts'
import { on, put, refuse, type Context, type Decision, type Incoming, type Reader } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { account, putCustomer, windUp } from './account.ts'
import { closures, type ClosureRow } from './aggregation-state.ts'
import { wrongPin } from './decide-request.ts'
import { loadAccount } from './load.ts'
import { combineParts } from './parts.ts'
import type { PinVault } from './pin-vault.ts'
import type { CppPolicy } from './policy.ts'
import { aliases, type CustomerRow } from './state.ts'

type Ctx = Context<CppPolicy>

const load = (read: Reader, customer: string) => {
  const before = loadAccount(read, customer)
  const name = before?.customer.alias
  return { before, alias: name === undefined ? undefined : read.get(aliases, name) }
}

export const accountClosure = (vault: PinVault) =>
  on(
    (read, { message }: Incoming<'account-closure'>) => load(read, message.sender.id),
    ({ before, alias }, { message, ref }, context: Ctx): Decision => {
      const { closureId, customer: id, pinProof } = message.body
      if (before === undefined || id !== message.sender.id) return refuse('CUSTOMER_UNKNOWN')
      const { customer, total } = before
      if (customer.state !== 'active') return refuse('CUSTOMER_CLOSED')
      if (customer.pinLockedAtMs !== 0) return refuse('PIN_LOCKED')
      if (!vault.isProof(id, customer.sealedPinKey, accountClosureSubject(id), closureId, pinProof))
        return combineParts([putCustomer(wrongPin(customer, context)), refuse('WRONG_PIN')])
      const closing: CustomerRow = { ...customer, state: 'closing', wrongPins: 0 }
      const closure: ClosureRow = {
        closureId,
        ref,
        digest: message.digest,
        requestedAtMs: context.nowMs,
        closedAtMs: 0,
      }
      return combineParts([
        putCustomer(closing),
        {
          writes: [put(closures, keyOf(id), closure)],
          record: { event: 'account-closing', ids: [closureId, customer.enrolmentId] },
        },
        account(id, windUp(total, closing, { closure, alias }, context)),
      ])
    },
  )
