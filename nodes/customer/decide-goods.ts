/** Goods: taken whenever they come, asked for under a guest login when they do not (design §2 row 8). */
import { dataCenterAddress, realmOf } from '../../protocol/ids.ts'
import {
  combine,
  decision,
  put,
  refuse,
  type Context,
  type Decision,
  type DeadlineEvent,
  type Incoming,
  type Message,
} from '../runtime/node.ts'
import { keyOf } from '../runtime/table.ts'
import { endLogin, endOwnLogin, isOpen, takeLogin, type OpenSession, type PublicKeyOf } from './guest-session.ts'
import type { GoodsDueSlice, PaymentSlice } from './load.ts'
import { announcementOf, become, finished } from './payment-parts.ts'
import type { WalletPolicy } from './policy.ts'
import { goodsTopic, outbox, waitingForLogin, type Payment, type Session } from './state.ts'

type Ctx = Context<WalletPolicy>

/** Shows the TRANS's nonce, which only its holder knows. The merchant's UNDECIDED ends nothing: it is asked again. */
export const orderQuery = (payment: Payment, session: OpenSession): Partial<Decision> => {
  const { prId, payee, txId, nonce, merchantHost } = payment
  if (txId === undefined || nonce === undefined || merchantHost === undefined)
    throw new Error('a confirmed payment without its transaction')
  return {
    sends: [
      {
        kind: 'order-query',
        to: merchantHost,
        body: { txId, payee, nonce, sealingKey: session.sealingKey },
        delivery: { until: outbox.goods(prId) },
        signer: { guest: session.token },
      },
      ...(payment.goodsQueries > 1 ? [keyLookup(payee, session)] : []),
    ],
  }
}

/**
 * Goods that still have not come may be sealed with a key that their host has had since the invoice. The payee's record shows it,
 * and is asked for as a guest: a credential query would name this wallet host together with the shop.
 */
const keyLookup = (payee: string, { token }: OpenSession): Message<'payee-lookup'> => ({
  kind: 'payee-lookup',
  to: dataCenterAddress(realmOf(payee)),
  nextHop: { role: 'dc', host: dataCenterAddress(realmOf(payee)) },
  body: { payee },
  delivery: { once: true },
  signer: { guest: token },
})

/** Goods have not come: asks for them under a login of now, since the one of the purchase may be gone. */
export const decideGoodsDue = (
  publicKeyOf: PublicKeyOf,
  { payment, session: old, login }: GoodsDueSlice,
  { atMs }: DeadlineEvent,
  context: Ctx,
): Decision => {
  if (
    payment === undefined ||
    payment.state !== 'confirmed' ||
    payment.goodsAtMs !== undefined ||
    payment.wakeAtMs !== atMs
  )
    return decision()
  const { policy, nowMs } = context
  const stop: Partial<Decision> = combine({ forget: [outbox.goods(payment.prId)] }, endOwnLogin(old))
  if (payment.goodsQueries >= policy.maxGoodsQueries) {
    const { wakeAtMs: _, ...rest } = payment
    return decision(
      combine(stop, become(payment, rest), {
        writes: [finished(payment)],
        record: { event: 'goods-given-up', ids: [payment.prId], level: 'warn' },
      }),
    )
  }
  const { session, parts } = takeLogin(publicKeyOf, login, context)
  const delayMs = Math.min(
    policy.longestGoodsQueryMs,
    policy.firstGoodsQueryMs * 2 ** Math.min(20, payment.goodsQueries + 1),
  )
  const asking: Payment = {
    ...payment,
    token: session.token,
    goodsQueries: payment.goodsQueries + 1,
    wakeAtMs: nowMs + delayMs,
  }
  return decision(
    combine(
      stop,
      parts,
      become(payment, asking),
      isOpen(session)
        ? orderQuery(asking, session)
        : { writes: [put(waitingForLogin, keyOf(session.token, payment.prId), { prId: payment.prId })] },
      { record: { event: 'goods-asked-for', ids: [payment.prId], level: 'debug' } },
    ),
  )
}

/**
 * Checks, in order: the transaction is of a payment here (NOT_FOUND), the host that made the invoice releases it (NOT_FOUND).
 * Goods may overtake the confirmation; the same goods again change nothing.
 */
export const decideGoods = (
  { payment, session }: PaymentSlice,
  { message }: Incoming<'goods-release'>,
  context: Ctx,
): Decision => {
  if (payment === undefined) return refuse('NOT_FOUND')
  if (message.sender.host !== payment.merchantHost) return refuse('NOT_FOUND')
  if (payment.goodsAtMs !== undefined) return decision()
  const { wakeAtMs, ...rest } = payment
  // A payment that is not yet confirmed keeps its deadline: goods are no proof of payment.
  const waits = payment.state === 'requested' && wakeAtMs !== undefined ? { wakeAtMs } : {}
  const after: Payment = { ...rest, ...waits, goods: message.body.goods, goodsAtMs: context.nowMs }
  return decision(
    combine(become(payment, after), endOwnLogin(session), {
      writes: payment.state === 'requested' ? [] : [finished(payment)],
      forget: [outbox.goods(payment.prId)],
      announce: [{ topic: goodsTopic(payment.prId), value: announcementOf(after) }],
      record: { event: 'goods-received', ids: [payment.prId] },
    }),
  )
}

/** A login's time is over. What still waits for goods asks again under the next. */
export const decideSessionEnd = (
  { session, isCurrent }: { readonly session: Session | undefined; readonly isCurrent: boolean },
  { atMs }: DeadlineEvent,
): Decision =>
  session === undefined || session.endsAtMs !== atMs ? decision() : decision(endLogin(session, isCurrent))
