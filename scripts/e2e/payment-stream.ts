/**
 * A steady stream of payments while the network suffers: a few lanes, each with one payment under way. Who orders knows the id
 * before anything is asked, so an order whose answer was lost is given again under it, and is paid once.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { hostOf } from '../fleet/client.ts'
import { newPaymentId, pay, type PayOrder, type PayResult } from '../fleet/pay.ts'
import type { FaultFleet } from './fault-fleet.ts'

export type Ordered = { readonly order: PayOrder; readonly result: PayResult }
export type PaymentStream = {
  /** Payments that have ended since the start. */
  readonly ended: () => number
  /** All that have ended, by paymentId. */
  readonly made: ReadonlyMap<string, Ordered>
  /** Starts no more, and resolves with all, by paymentId, when each has ended. @throws Error for one that does not end in time */
  readonly stop: () => Promise<ReadonlyMap<string, Ordered>>
}

const AGAIN_MS = 50
/** For the network to come up again, and then for a payment to expire: far more than both take. */
const PATIENCE_MS = 90_000

/** @param patienceMs for one payment to end, its host's deaths among it */
export const startStream = (
  net: FaultFleet,
  inFlight: number,
  orderOf: (i: number) => PayOrder,
  patienceMs = PATIENCE_MS,
): PaymentStream => {
  const made = new Map<string, Ordered>()
  let next = 0
  let stopping = false
  const lane = async (): Promise<void> => {
    while (!stopping) {
      const order = orderOf(next++)
      const paymentId = newPaymentId()
      made.set(paymentId, {
        order,
        result: await untilEnded(net, order, paymentId, patienceMs, () => (stopping = true)),
      })
    }
  }
  const lanes = Promise.all(Array.from({ length: inFlight }, lane))
  // Whoever stops the stream hears of it.
  lanes.catch(() => undefined)
  return {
    ended: () => made.size,
    made,
    stop: async () => {
      stopping = true
      await lanes
      return made
    },
  }
}

const untilEnded = async (
  net: FaultFleet,
  order: PayOrder,
  paymentId: string,
  patienceMs: number,
  giveUp: () => void,
): Promise<PayResult> => {
  const deadline = performance.now() + patienceMs
  const host = hostOf(net.plan, order.customer)
  let last = 'undecided'
  while (performance.now() < deadline) {
    try {
      const result = await net.withHost(host, (wallet) => pay(wallet, order, patienceMs, paymentId))
      if (result.outcome !== 'undecided') return result
      last = 'undecided'
    } catch (error) {
      // Its host is down, or drains, or the wallet is still locked: it comes back.
      last = (error as Error).message
    }
    await delay(AGAIN_MS)
  }
  giveUp()
  throw new Error(`payment ${paymentId} of ${order.customer} to ${order.payee} did not end: ${last}`)
}
