/** CONFIRMED, on both sides: the one place where a payment becomes final for good. */
import { failureCode, type FailureCode } from '../../protocol/failures.ts'
import { put, type RequestRef } from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import type { Part } from './account.ts'
import { customerAnswer, payeeConfirmation, pnIdOf } from './messages.ts'
import { payments, transLocks, type PaymentRow } from './state.ts'

/** The row, the TRANS paid for ever, and T or DT both ways. */
export const confirmation = (done: PaymentRow, decisionRef: RequestRef): Part => ({
  writes: [
    put(payments, keyOf(done.prId), done),
    put(transLocks, keyOf(done.payee, done.txId), { prId: done.prId, paid: true }),
  ],
  sends: [customerAnswer(done, done.ref), payeeConfirmation(done, decisionRef)],
  record: {
    event: 'payment-confirmed',
    ids: [done.prId, pnIdOf(done), done.txId],
    fields: { mode: done.mode, amountMinor: done.amountMinor, currency: done.currency },
  },
})

/** A credit that came back is the payee's bank's; any other refusal is the customer's own bank's, and keeps its code. */
export const transferCode = (code: number | undefined): FailureCode => {
  const known = failureCode(code ?? 0)
  return known === undefined || known === 'CREDIT_RETURNED' || known === 'ACCOUNT_UNKNOWN' ? 'TRANSFER_FAILED' : known
}
