/**
 * Request to pay (design §2): a TRANS sent to an alias that a customer chose to be shown. The CPP takes responsibility for it from
 * the MPP by its receipt, and hands the frame to the customer's wallet host; nothing of the customer goes back.
 *
 * Order: TRANS_INVALID, TRANS_EXPIRED, alias unknown here → NOT_FOUND; then receipt and relay. Invariant: the relay ends with the
 * invoice at the latest, or once the invoice is void: a wallet host is silent to what it can not tell whose it is.
 */
import { LIMITS } from '../../protocol/limits.ts'
import {
  decision,
  on,
  refuse,
  type Context,
  type DeadlineEvent,
  type Decision,
  type Incoming,
  type Reader,
  type Stale,
} from '../runtime/node.ts'
import { requestToPayKey } from '../runtime/request-ref.ts'
import { OUTBOX, outbox, receipt, toWallet, until, viaDataCenter } from './messages.ts'
import type { CppPolicy } from './policy.ts'
import { aliases, customers } from './state.ts'

export const REQUEST_TO_PAY_EXPIRY = 'request-to-pay-expiry'

export const requestToPay = on(
  (read, { message }: Incoming<'request-to-pay'>) => {
    const alias = read.get(aliases, message.body.alias)
    return alias === undefined ? undefined : read.get(customers, alias.customer)
  },
  (customer, { message, ref }, { self, nowMs }: Context<CppPolicy>): Decision => {
    const { trans } = message.nested
    if (!trans.ok || trans.value.merchant.host.id !== message.sender.id)
      return refuse('TRANS_INVALID', 'the invoice is not of the host that asks')
    const expiresAtMs = trans.value.header.expiresAtMs ?? 0
    if (expiresAtMs <= nowMs) return refuse('TRANS_EXPIRED', 'invoice')
    if (customer?.state !== 'active') return refuse('NOT_FOUND', 'alias')
    const { requestId } = message.body
    const key = requestToPayKey(message.digest)
    return decision({
      sends: [
        receipt(trans.value.merchant.mpp.id, viaDataCenter(self), message.digest, ref),
        {
          relay: 'request-to-pay',
          frame: message.frame,
          digest: message.digest,
          nextHop: toWallet(customer.walletHost),
          delivery: until(OUTBOX.requestToPay, key),
        },
      ],
      // No wallet takes an invoice that lives longer.
      set: [
        { name: REQUEST_TO_PAY_EXPIRY, key, atMs: Math.min(expiresAtMs, nowMs + LIMITS.maxRequestToPayLifetimeMs) },
      ],
      record: { event: 'request-to-pay-relayed', ids: [requestId] },
    })
  },
)

/** Nothing is left to forget, most often: the wallet host has receipted it. */
export const requestToPayExpiry = (_: Reader, { key }: DeadlineEvent): Decision =>
  decision({ forget: [outbox(OUTBOX.requestToPay, key)] })

/** The invoice, or the request around it, is sealed with a key that is void: no wallet host would take it, and none would say so. */
export const requestToPayStale = (_: Reader, { digest }: Stale): Decision =>
  decision({
    forget: [outbox(OUTBOX.requestToPay, requestToPayKey(digest))],
    record: { event: 'request-to-pay-void', ids: [], level: 'warn' },
  })
