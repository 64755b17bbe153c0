/**
 * Refunds in the books of an MPP (design §2 "Refund"). Invariant: before a refund is countersigned its sum is set aside, in
 * `refunding`: of the payee's payable first, whose money is here, then of its accrued, whose settlement covers it when it comes, the
 * rest paid in by its bank; so no payout takes what a CPP will be paid less. A refund that ends refused gives all of it back.
 */
import { sumMinor } from '../../protocol/amount.ts'
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import type { Verified } from '../../protocol/verified.ts'
import { payeeOf, post, type Books } from './books.ts'
import { considerPayout, payoutDeadline } from './payouts.ts'
import { outboxKey, type EntryRow, type PayeeRow } from './state.ts'
import type { RefundRow } from './refund-state.ts'

/** What of `amountMinor` is free, payable first; the rest its bank has to pay in. */
export const freeFor = (
  { accruedMinor, payableMinor }: Pick<PayeeRow, 'accruedMinor' | 'payableMinor'>,
  amountMinor: bigint,
): Pick<RefundRow, 'fromPayableMinor' | 'fromAccruedMinor' | 'fromBankMinor'> => {
  const fromPayableMinor = payableMinor < amountMinor ? payableMinor : amountMinor
  const left = amountMinor - fromPayableMinor
  const fromAccruedMinor = accruedMinor < left ? accruedMinor : left
  return { fromPayableMinor, fromAccruedMinor, fromBankMinor: left - fromAccruedMinor }
}

const withAdvanced = (row: PayeeRow, advancedMinor: bigint): PayeeRow => {
  const { advancedMinor: _, ...rest } = row
  return advancedMinor === 0n ? rest : { ...rest, advancedMinor }
}

/** Sets aside what is free. */
export const setAside = (
  books: Books,
  { payee, fromPayableMinor, fromAccruedMinor }: Pick<RefundRow, 'payee' | 'fromPayableMinor' | 'fromAccruedMinor'>,
): void => {
  const row = payeeOf(books, payee)
  if (row.payableMinor < fromPayableMinor || row.accruedMinor < fromAccruedMinor)
    throw new Error(`payee ${payee} has less free than a refund takes`)
  post(books, `payable:${payee}`, `refunding:${payee}`, fromPayableMinor)
  post(books, `accrued:${payee}`, `refunding:${payee}`, fromAccruedMinor)
  const taken: PayeeRow = {
    ...row,
    payableMinor: sumMinor(row.payableMinor, -fromPayableMinor),
    accruedMinor: sumMinor(row.accruedMinor, -fromAccruedMinor),
    refundingMinor: sumMinor(row.refundingMinor, fromPayableMinor, fromAccruedMinor),
  }
  const advanced = withAdvanced(taken, (row.advancedMinor ?? 0n) + fromAccruedMinor)
  const { payoutAtMs, ...unwatched } = advanced
  // Nothing is left to be paid out for its age.
  const isIdle = payoutAtMs !== undefined && advanced.payableMinor === 0n
  if (isIdle) books.clear.push(payoutDeadline(payee, payoutAtMs))
  books.payees.set(payee, isIdle ? unwatched : advanced)
}

/** The payee's bank has paid in what was not free. */
export const fund = (books: Books, { refundId, payee, fromBankMinor }: RefundRow): void => {
  const row = payeeOf(books, payee)
  books.lines.push({ payee, what: 'paid-in', amountMinor: fromBankMinor, id: refundId })
  post(books, 'bank', `refunding:${payee}`, fromBankMinor)
  books.payees.set(payee, { ...row, refundingMinor: sumMinor(row.refundingMinor, fromBankMinor) })
}

/** A refund that will not be: what was set aside is free again, what the bank paid in is payable. */
export const giveBack = (books: Books, refund: RefundRow): void => {
  const { payee, fromAccruedMinor, fromPayableMinor, fromBankMinor, funded } = refund
  const row = payeeOf(books, payee)
  const { advancedMinor = 0n } = row
  // What has been settled meanwhile is payable.
  const toAccrued = fromAccruedMinor < advancedMinor ? fromAccruedMinor : advancedMinor
  const paidInMinor = funded ? fromBankMinor : 0n
  const toPayable = fromAccruedMinor - toAccrued + fromPayableMinor + paidInMinor
  post(books, `refunding:${payee}`, `accrued:${payee}`, toAccrued)
  post(books, `refunding:${payee}`, `payable:${payee}`, toPayable)
  const given: PayeeRow = {
    ...row,
    accruedMinor: sumMinor(row.accruedMinor, toAccrued),
    payableMinor: sumMinor(row.payableMinor, toPayable),
    refundingMinor: sumMinor(row.refundingMinor, -toAccrued, -toPayable),
  }
  books.payees.set(payee, withAdvanced(given, advancedMinor - toAccrued))
  considerPayout(books, payee)
}

/** What this MPP holds to be right for a CPP's confirmation: the sum it countersigned, or nothing. */
export const rightRefund = (
  { sender, body }: Verified<'refund-confirmation'>,
  refund: RefundRow | undefined,
  missing: EntryRow | undefined,
): bigint => {
  if (refund === undefined || refund.cpp !== sender.id || refund.payee !== body.payee) return 0n
  if (!equalBytes(refund.pnId, body.pnId) || !equalBytes(refund.txId, body.txId)) return 0n
  if (refund.state !== 'countersigned' || refund.currency !== body.currency) return 0n
  // A micropayment's refund is an entry of the pair, a macro payment's is not.
  if ((refund.mode === 'micro') !== (body.pairSeq !== undefined)) return 0n
  // The CPP has already taken the entry back that it could not show.
  if ((missing?.adjustedMinor ?? 0n) !== 0n) return 0n
  return refund.amountMinor
}

/** The CPP has refunded the customer: what was set aside for it is reversed, and the merchant host is told. */
export const confirmRefund = (
  books: Books,
  refund: RefundRow,
  { frame, digest, pairSeq }: { readonly frame: Uint8Array; readonly digest: Uint8Array; readonly pairSeq?: number },
): void => {
  const { refundId, payee, amountMinor, host, ref, mode } = refund
  if (mode === 'micro') {
    const row = payeeOf(books, payee)
    books.lines.push({ payee, what: 'refund', amountMinor: -amountMinor, id: refundId })
    books.payees.set(payee, {
      ...row,
      refundingMinor: sumMinor(row.refundingMinor, -amountMinor),
      reversedMinor: sumMinor(row.reversedMinor, amountMinor),
    })
  }
  books.refunds.set(toHex(refundId), {
    ...refund,
    state: 'confirmed',
    finalAtMs: books.context.nowMs,
    ...(pairSeq === undefined ? {} : { pairSeq }),
  })
  books.forget.push(outboxKey('refund', refundId))
  books.sends.push({
    relay: 'refund-confirmation',
    frame,
    digest,
    nextHop: { role: 'merchant', host },
    delivery: { answers: ref },
  })
}
