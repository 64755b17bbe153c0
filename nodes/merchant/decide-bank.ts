/**
 * What the bank and the MPP say of money that came: booked as it stands, compared, and for a macro payment the second condition
 * of the goods. Invariant: what was paid out is what the bank's notices add up to, whatever anybody advises.
 */
import type { Currency } from '../../protocol/amount.ts'
import { bankOf } from '../../protocol/ids.ts'
import {
  combine,
  decision,
  put,
  refuse,
  type Context,
  type Decision,
  type Incoming,
  type Reader,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { isBooked, releaseOr } from './decide-end.ts'
import type { MerchantPolicy } from './policy.ts'
import {
  accounts,
  bookings,
  orders,
  payees,
  payouts,
  type Booking,
  type Order,
  type Payee,
  type Payout,
} from './state.ts'

type Ctx = Context<MerchantPolicy>

export type AccountNoticeSlice = {
  readonly payee: string | undefined
  readonly order: Order | undefined
  readonly payout: Payout | undefined
}
export const loadAccountNotice = (read: Reader, { message }: Incoming<'account-notice'>): AccountNoticeSlice => {
  const { account, reference } = message.body
  const payee = read.get(accounts, account)?.payee
  return {
    payee,
    order: payee !== undefined && reference.purpose === 'payment' ? read.get(orders, payee, reference.id) : undefined,
    payout: payee !== undefined && reference.purpose === 'payout' ? read.get(payouts, payee, reference.id) : undefined,
  }
}

/**
 * Checks, in order: an account of a payee here (ACCOUNT_UNKNOWN), of the bank that says it (ACCOUNT_UNKNOWN). Every notice is
 * booked and receipted. A payment's notice of exactly the invoice's sum releases the goods once T is there too.
 */
export const decideAccountNotice = (
  { payee, order, payout }: AccountNoticeSlice,
  { message, ref }: Incoming<'account-notice'>,
  { nowMs }: Ctx,
): Decision => {
  const { noticeId, account, amountMinor, currency, reference, originatingBank, bookedAtMs } = message.body
  if (payee === undefined) return refuse('ACCOUNT_UNKNOWN', 'no payee here has this account')
  if (message.sender.id !== bankOf(account)) return refuse('ACCOUNT_UNKNOWN', "not this bank's account")
  const booking: Booking = {
    noticeId,
    payee,
    account,
    amountMinor,
    currency,
    purpose: reference.purpose,
    referenceId: reference.id,
    originatingBank,
    bookedAtMs,
  }
  return decision(
    combine(
      {
        writes: [put(bookings, keyOf(payee, noticeId), booking)],
        sends: [
          { kind: 'receipt', to: message.sender.id, body: { digest: message.digest }, delivery: { answers: ref } },
        ],
        record: {
          event: 'booking-noticed',
          ids: [reference.id],
          fields: { payee, purpose: reference.purpose, amountMinor, currency },
        },
      },
      reference.purpose === 'payment' ? paymentBooked(order, booking, nowMs) : {},
      reference.purpose === 'payout' ? payoutBooked(payout, booking, nowMs) : {},
    ),
  )
}

const paymentBooked = (
  order: Order | undefined,
  { amountMinor, currency, referenceId, payee }: Booking,
  nowMs: number,
): Partial<Decision> => {
  const differs =
    order === undefined ||
    order.currency !== currency ||
    order.amountMinor !== amountMinor ||
    order.bookedMinor !== undefined
  if (differs)
    return {
      record: {
        event: 'booking-without-order',
        ids: [referenceId],
        level: 'warn',
        fields: { payee, amountMinor, currency },
      },
    }
  const booked: Order = { ...order, bookedMinor: amountMinor, bookedAtMs: nowMs }
  return releaseOr(booked, order.state === 'confirmed' && isBooked(booked), nowMs)
}

const payoutBooked = (
  payout: Payout | undefined,
  { referenceId, payee, amountMinor, currency }: Booking,
  nowMs: number,
): Partial<Decision> =>
  comparedPayout(
    {
      ...(payout ?? { payoutId: referenceId, payee, currency }),
      bookedMinor: (payout?.bookedMinor ?? 0n) + amountMinor,
      bookedAtMs: nowMs,
    },
    currency,
  )

export type AdviceSlice = { readonly payee: Payee | undefined; readonly payout: Payout | undefined }
export const loadPayoutAdvice = (read: Reader, { message }: Incoming<'payout-advice'>): AdviceSlice => ({
  payee: read.get(payees, message.body.payee),
  payout: read.get(payouts, message.body.payee, message.body.payoutId),
})

/** Checks, in order: payee served here (NOT_FOUND), by the MPP that says it (NOT_FOUND). Compared with the bank's notice, either coming first. */
export const decidePayoutAdvice = (
  { payee, payout }: AdviceSlice,
  { message, ref }: Incoming<'payout-advice'>,
  { nowMs }: Ctx,
): Decision => {
  const { payoutId, payee: id, amountMinor, currency } = message.body
  if (payee === undefined || message.sender.id !== payee.mpp) return refuse('NOT_FOUND')
  const advised: Payout = {
    ...(payout ?? { payoutId, payee: id, currency }),
    advisedMinor: amountMinor,
    advisedAtMs: nowMs,
  }
  return decision(
    combine(
      {
        sends: [
          { kind: 'receipt', to: message.sender.id, body: { digest: message.digest }, delivery: { answers: ref } },
        ],
        record: { event: 'payout-advised', ids: [payoutId], fields: { payee: id, amountMinor, currency } },
      },
      comparedPayout(advised, currency),
    ),
  )
}

/** Written as both say it; a difference is loud, and stays in the row. */
const comparedPayout = (payout: Payout, currency: Currency): Partial<Decision> => {
  const { advisedMinor, bookedMinor, payee, payoutId } = payout
  const differs =
    payout.currency !== currency ||
    (advisedMinor !== undefined && bookedMinor !== undefined && advisedMinor !== bookedMinor)
  return {
    writes: [put(payouts, keyOf(payee, payoutId), payout)],
    ...(differs
      ? {
          record: {
            event: 'payout-differs',
            ids: [payoutId],
            level: 'warn',
            fields: { payee, advisedMinor, bookedMinor },
          },
        }
      : {}),
  }
}
