/**
 * One refund through a running merchant host. The id is made and known here before anything is asked, so that after a lost
 * connection or a passed time the refund is asked for, never made again.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Currency } from '../../protocol/amount.ts'
import { payeeAddress } from '../../protocol/ids.ts'
import { CliError } from '../cli/errors.ts'
import type { Fleet } from './client.ts'
import { TimeLimitError } from './concurrency.ts'
import { HostRefusal, type HostClient } from './host-client.ts'
import { askFor, newPaymentId } from './pay.ts'

/** Which payment, as its merchant host knows it. */
export type Refundable = { readonly payee: string; readonly txId: string; readonly currency: Currency }
export type RefundOrder = Refundable & { readonly amountMinor: bigint; readonly pin: string }

/** What is known of a refund when the time is up: `undecided` is no end. */
export type RefundResult = {
  readonly refundId: string
  readonly outcome: 'confirmed' | 'refused' | 'undecided'
  readonly payee: string
  readonly txId: string
  readonly amountMinor: bigint
  readonly currency: Currency
  /** Failure code of a refusal. */
  readonly code: string | undefined
  readonly detail: string | undefined
  /** From the order to the end, as the caller saw it. */
  readonly ms: number
}

/** @throws HostRefusal when the order itself is refused, a wrong PIN included: nothing was started */
export const refund = async (
  shop: HostClient,
  { payee, txId, currency, amountMinor, pin }: RefundOrder,
  timeoutMs: number,
  refundId: string = newPaymentId(),
): Promise<RefundResult> => {
  const startedAt = performance.now()
  const order = { refundId, payee, txId, amountMinor: String(amountMinor), pin }
  const said = await ended(shop, order, timeoutMs)
  return {
    refundId,
    outcome: said?.outcome ?? 'undecided',
    payee: payee.includes('@') ? payee : payeeAddress(payee),
    txId,
    amountMinor,
    currency,
    code: said?.code,
    detail: said?.detail,
    ms: Math.round(performance.now() - startedAt),
  }
}

const RETRY_MS = 200
type Ended = { readonly outcome: 'confirmed' | 'refused'; readonly code?: string; readonly detail?: string }

const ended = async (
  shop: HostClient,
  order: { readonly refundId: string },
  timeoutMs: number,
): Promise<Ended | undefined> => {
  const endsAt = performance.now() + timeoutMs
  try {
    // The payer may know of the end before the payee does.
    for (;;) {
      try {
        await shop.command('refund', order, timeoutMs)
        break
      } catch (error) {
        const isEarly = error instanceof HostRefusal && error.code === 'UNDECIDED' && performance.now() < endsAt
        if (!isEarly) throw error
        await delay(RETRY_MS)
      }
    }
    return await shop.command<Ended>('refund-result', { refundId: order.refundId }, timeoutMs)
  } catch (error) {
    const isUnknown = error instanceof TimeLimitError || (error instanceof HostRefusal && error.code === 'DISCONNECTED')
    if (isUnknown) return undefined
    throw error
  }
}

/** A payment by the id that `semops pay` printed: its wallet knows whom it paid, and by which invoice. @throws CliError */
export const paidBy = async (fleet: Fleet, paymentId: string): Promise<Refundable> => {
  for (const { id, role } of fleet.plan.hosts) {
    if (role !== 'customer') continue
    const found = await askFor(await fleet.host(id), paymentId)
    if (found === undefined) continue
    if (found.txId === undefined) throw new CliError('usage', `${paymentId} never became a payment`)
    return { payee: found.payee, txId: found.txId, currency: found.currency }
  }
  throw new CliError('usage', `no wallet of this network knows the payment ${paymentId}`)
}
