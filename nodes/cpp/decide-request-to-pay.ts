/**
 * Request to pay (design §2): a TRANS sent to an alias that a customer chose to be shown. The CPP takes responsibility for it from
 * the MPP by its receipt, and hands the frame to the customer's wallet host; nothing of the customer goes back.
 *
 * Order: TRANS_INVALID, TRANS_EXPIRED, alias unknown here → NOT_FOUND; then receipt and relay.
 */
import { decision, on, refuse, type Context, type Decision, type Incoming } from '../runtime/node.ts'
import { OUTBOX, receipt, toWallet, until, viaDataCenter } from './messages.ts'
import type { CppPolicy } from './policy.ts'
import { aliases, customers } from './state.ts'

export const requestToPay = on(
  (read, { message }: Incoming<'request-to-pay'>) => {
    const alias = read.get(aliases, message.body.alias)
    return alias === undefined ? undefined : read.get(customers, alias.customer)
  },
  (customer, { message, ref }, { self, nowMs }: Context<CppPolicy>): Decision => {
    const { trans } = message.nested
    if (!trans.ok || trans.value.merchant.host.id !== message.sender.id)
      return refuse('TRANS_INVALID', 'the invoice is not of the host that asks')
    if ((trans.value.header.expiresAtMs ?? 0) <= nowMs) return refuse('TRANS_EXPIRED', 'invoice')
    if (customer?.state !== 'active') return refuse('NOT_FOUND', 'alias')
    const { requestId } = message.body
    // Not the requestId: another merchant may choose the same one, and would end this one's resending.
    const key = message.digest.slice(0, 16)
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
      record: { event: 'request-to-pay-relayed', ids: [requestId] },
    })
  },
)
