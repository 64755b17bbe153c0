/** Carries out the demo's orders against a running fleet, and keeps what became of each. */
import type { Fleet } from '../fleet/client.ts'
import { hostOf } from '../fleet/client.ts'
import { eachBounded } from '../fleet/concurrency.ts'
import { HostRefusal } from '../fleet/host-client.ts'
import { pay, payRequest, type PayOrder, type PayResult } from '../fleet/pay.ts'
import { unlock } from '../fleet/unlock.ts'
import { refund } from '../fleet/refund.ts'
import { isOrder, type Action, type Group, type Order } from './scenario.ts'

/** As many payments at once as a small shopping street makes. */
const PAYMENTS_AT_ONCE = 12
const PAYMENT_TIMEOUT_MS = 45_000
const REQUEST_TIMEOUT_MS = 20_000
const WRONG_PIN = '0000'

export type Made = {
  readonly order: Order
  readonly paymentId: string | undefined
  readonly outcome: string
  readonly confirmation: 'T' | 'DT' | undefined
  readonly code: string | undefined
  readonly detail: string | undefined
  readonly ms: number
  readonly asExpected: boolean
}

/** @param onMade called as each order ends, for progress */
export const runGroups = async (
  fleet: Fleet,
  groups: readonly Group[],
  onMade: (made: Made) => void,
): Promise<readonly Made[]> => {
  const all: Made[] = []
  const one = async (step: Order | Action): Promise<void> => {
    if (!isOrder(step)) return act(fleet, step)
    const made = judged(step, await carryOut(fleet, step))
    all.push(made)
    onMade(made)
  }
  await Promise.all(
    groups.map(async ({ sequential, steps }) => {
      if (!sequential) return eachBounded(steps, PAYMENTS_AT_ONCE, one)
      for (const step of steps) await one(step)
      return undefined
    }),
  )
  return all
}

type End = Omit<Made, 'order' | 'asExpected'>

const judged = (order: Order, end: End): Made => {
  const { expect } = order
  const asExpected =
    end.outcome === expect.outcome &&
    (expect.confirmation === undefined || end.confirmation === expect.confirmation) &&
    (expect.code === undefined || end.code === expect.code)
  return { order, ...end, asExpected }
}

const payOrder = (fleet: Fleet, { customer, payee, amountMinor, cpp, item, maxCostMinor }: Order): PayOrder => ({
  customer,
  payee,
  amountMinor,
  currency: fleet.plan.currency,
  cpp,
  item,
  maxCostMinor,
})

const carryOut = async (fleet: Fleet, order: Order): Promise<End> => {
  try {
    const wallet = await fleet.host(hostOf(fleet.plan, order.customer))
    if (order.requested !== undefined) return await answerRequest(fleet, order, order.requested)
    const paid = await pay(wallet, payOrder(fleet, order), PAYMENT_TIMEOUT_MS)
    return order.refundMinor === undefined ? paid : await giveBack(fleet, order, order.refundMinor, paid)
  } catch (error) {
    const { code, message } = error as { readonly code?: string; readonly message: string }
    return { paymentId: undefined, outcome: 'error', confirmation: undefined, code, detail: message, ms: 0 }
  }
}

/** By the payee's own merchant host, with its PIN. */
const giveBack = async (fleet: Fleet, { payee, expect }: Order, amountMinor: bigint, paid: PayResult): Promise<End> => {
  const { paymentId, txId, currency } = paid
  if (paid.outcome !== 'confirmed' || txId === undefined) return paid
  const host = hostOf(fleet.plan, payee)
  const pin = await fleet.pin(host)
  if (pin === undefined) throw new Error(`the fleet does not know the PIN of ${host}`)
  const order = { payee, txId, currency, amountMinor, pin }
  const ended = await refund(await fleet.host(host), order, PAYMENT_TIMEOUT_MS).catch((error: unknown) => {
    if (!(error instanceof HostRefusal) || expect.outcome !== 'refused') throw error
    return { outcome: 'refused', code: error.code, detail: error.detail, ms: 0 }
  })
  return { ...ended, paymentId, confirmation: undefined, ms: paid.ms + ended.ms }
}

type Requests = readonly { readonly requestId: string; readonly txId: string; readonly state: string }[]

/** The payee asks, the request reaches the wallet through both directories, the customer answers. */
const answerRequest = async (
  fleet: Fleet,
  order: Order,
  { alias, accept }: NonNullable<Order['requested']>,
): Promise<End> => {
  const startedAt = performance.now()
  const shop = await fleet.host(hostOf(fleet.plan, order.payee))
  const wallet = await fleet.host(hostOf(fleet.plan, order.customer))
  const { requestId } = await shop.command<{ readonly requestId: string }>('request-payment', {
    payee: order.payee,
    alias,
    amountMinor: String(order.amountMinor),
  })
  await untilArrived(async () => {
    const requests = await wallet.read<Requests | { readonly requests: Requests }>('requests', {
      customer: order.customer,
    })
    return ('requests' in requests ? requests.requests : requests).some((one) => one.requestId === requestId)
  })
  const paid = await payRequest(wallet, payOrder(fleet, order), { requestId, accept }, PAYMENT_TIMEOUT_MS)
  const ms = Math.round(performance.now() - startedAt)
  return paid === undefined
    ? { paymentId: undefined, outcome: 'declined', confirmation: undefined, code: undefined, detail: undefined, ms }
    : { ...paid, ms }
}

const POLL_MS = 50

const untilArrived = async (hasArrived: () => Promise<boolean>): Promise<void> => {
  const deadline = performance.now() + REQUEST_TIMEOUT_MS
  while (!(await hasArrived())) {
    if (performance.now() > deadline) throw new Error('the request to pay did not reach the wallet in time')
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

const act = async (fleet: Fleet, action: Action): Promise<void> => {
  if (action.act === 'unlock-at-cpp') {
    await (await fleet.host(action.cpp)).command('unlock-customer', { customer: action.customer })
    return
  }
  const right = await fleet.pin(action.customer)
  if (right === undefined) throw new Error(`the fleet does not know the PIN of ${action.customer}`)
  const wrong = right === WRONG_PIN ? '1111' : WRONG_PIN
  const wallet = await fleet.host(hostOf(fleet.plan, action.customer))
  await unlock(wallet, fleet, { customer: action.customer }, action.pin === 'right' ? right : wrong)
}
