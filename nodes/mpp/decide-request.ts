/** Request to pay (design §2): an invoice on its way from a payee to an alias that a customer chose to show. */
import {
  decision,
  on,
  put,
  refuse,
  remove,
  type Context,
  type DeadlineEvent,
  type Decision,
  type Incoming,
  type Reader,
  type Stale,
} from '../runtime/node.ts'
import { requestToPayKey } from '../runtime/request-ref.ts'
import { dataCenterAddress } from '../../protocol/ids.ts'
import type { MppPolicy } from './policy.ts'
import { ASKS } from './request-state.ts'
import { DEADLINES, outboxKey, PAYEES, type PayeeRow } from './state.ts'

const loadAsk = (read: Reader, { message }: Incoming<'request-to-pay'>): PayeeRow | undefined => {
  const { trans } = message.nested
  return trans.ok ? read.get(PAYEES, trans.value.body.payee) : undefined
}

/**
 * In this order: the invoice opens; its chain names this MPP, where its payee is enrolled; the payee's host sends it; it has
 * not expired. Then it is receipted, and forwarded until it is receipted or the invoice expires.
 */
const decideAsk = (
  payee: PayeeRow | undefined,
  { message, ref }: Incoming<'request-to-pay'>,
  { self, nowMs }: Context<MppPolicy>,
): Decision => {
  const { body, sender, frame, digest, nested } = message
  if (!nested.trans.ok) return refuse('TRANS_INVALID', nested.trans.failure.code)
  const { merchant, header } = nested.trans.value
  if (merchant.mpp.id !== self.id || payee === undefined || payee.state !== 'active')
    return refuse('TRANS_INVALID', 'the payee is not enrolled here')
  if (payee.host !== sender.id || merchant.host.id !== sender.id)
    return refuse('TRANS_INVALID', 'the payee is at another host')
  const { expiresAtMs } = header
  if (expiresAtMs === undefined || expiresAtMs <= nowMs) return refuse('TRANS_EXPIRED')
  const { requestId } = body
  const key = requestToPayKey(digest)
  return decision({
    writes: [put(ASKS, key, { requestId, payee: payee.payee, host: sender.id, expiresAtMs })],
    sends: [
      { kind: 'receipt', to: sender.id, body: { digest }, delivery: { answers: ref } },
      {
        relay: 'request-to-pay',
        frame,
        digest,
        nextHop: { role: 'dc', host: dataCenterAddress(self.realm) },
        delivery: { until: outboxKey('ask', key) },
      },
    ],
    set: [{ name: DEADLINES.askExpiry, key, atMs: expiresAtMs }],
    record: { event: 'request-accepted', ids: [requestId], fields: { payee: payee.payee } },
  })
}

export const onRequestToPay = on(loadAsk, decideAsk)

/** The invoice, or the request around it, is sealed with a key that is void: nobody on its way would take it. */
export const onAskStale = on(
  (read: Reader, { digest }: Stale) => {
    const key = requestToPayKey(digest)
    return { key, ask: read.get(ASKS, key) }
  },
  ({ key, ask }): Decision =>
    ask === undefined
      ? decision()
      : decision({
          writes: [remove(ASKS, key)],
          forget: [outboxKey('ask', key)],
          clear: [{ name: DEADLINES.askExpiry, key, atMs: ask.expiresAtMs }],
          record: { event: 'request-void', ids: [ask.requestId], level: 'warn', fields: { payee: ask.payee } },
        }),
)

export const onAskExpiry = on(
  (read: Reader, { key }: DeadlineEvent) => read.get(ASKS, key),
  (ask, { key }: DeadlineEvent): Decision =>
    ask === undefined
      ? decision()
      : decision({
          writes: [remove(ASKS, key)],
          forget: [outboxKey('ask', key)],
          record: { event: 'request-expired', ids: [ask.requestId] },
        }),
)
