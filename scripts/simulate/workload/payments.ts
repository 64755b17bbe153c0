/**
 * Payments as people make them: in a shop, to a person's alias, of every size, with a wrong PIN, to nobody. Invariant: each is told
 * once, with the end that its wallet says; `lost` only where a crash took it before anybody else could have heard of it.
 */
import { toHex } from '../../../protocol/bytes.ts'
import type { Draws } from '../world.ts'
import { belowMinor, money, type Acting, type Reply } from './acting.ts'
import { freshPin, isLocked, macroFrom, unlock, type Customer, type Payee, type People } from './people.ts'

const ID_BYTES = 16
/** A person who is told that the wallet is locked or the host is busy tries so often. */
const MAX_TRIES = 6
const TRY_AGAIN_MS = 700
const REQUEST_SEEN_WITHIN_MS = 60_000
const LOOK_EVERY_MS = 1_000

type Purchase = {
  readonly customer: Customer
  readonly payee: Pick<Payee, 'id' | 'currency'>
  readonly amountMinor: bigint
}

export const createPayments = (acting: Acting, people: People) => {
  const { ask, order, sleep, tell, whenUp, world } = acting

  const told = ({ customer, payee, amountMinor }: Purchase, reply: Reply | undefined, prId: string): void => {
    // Refused before a payment was begun: no ledger has a row of it.
    const begun = reply?.['outcome'] !== undefined
    const outcome = reply === undefined ? 'lost' : begun ? String(reply['outcome']) : 'refused'
    const txId = typeof reply?.['txId'] === 'string' ? reply['txId'] : undefined
    tell({
      type: 'paid',
      customer: customer.id,
      payee: payee.id,
      amountMinor,
      currency: payee.currency,
      outcome,
      code: reply?.code,
      txId,
      prId: begun || reply === undefined ? prId : undefined,
    })
    if (outcome === 'confirmed' && txId !== undefined)
      people.confirmed.push({ customer: customer.id, payee: payee.id, txId, amountMinor, leftMinor: amountMinor })
    // One of two PINs that may stand was tried: the other one is next.
    if (begun && reply?.code === 'WRONG_PIN') customer.pins = [...customer.pins.slice(1), ...customer.pins.slice(0, 1)]
  }

  /** `pay` until it is decided, under one id; undefined when the wallet's host died and its ledger knows nothing of it. */
  const decided = async ({ customer, payee, amountMinor }: Purchase, prId: string): Promise<Reply | undefined> => {
    const { id, host } = customer
    const args = {
      paymentId: prId,
      customer: id,
      payee: payee.id,
      amountMinor: money(amountMinor),
      currency: payee.currency,
    }
    for (let tries = 1; ; tries++) {
      await whenUp(host)
      const reply = await order(host, 'pay', args)
      if (reply === undefined) {
        await whenUp(host)
        if (ask(host, 'payment', { paymentId: prId })?.code === 'NOT_FOUND') return undefined
        continue
      }
      if (tries >= MAX_TRIES) return reply
      if (isLocked(reply)) await unlock(acting, customer)
      else if (reply.code === 'BUSY' && reply['outcome'] === undefined) await sleep(TRY_AGAIN_MS)
      else return reply
    }
  }

  const pay = async (purchase: Purchase, draws: Draws): Promise<void> => {
    const prId = toHex(draws.bytes(ID_BYTES))
    told(purchase, await decided(purchase, prId), prId)
  }

  /** By what is owed: just below, exactly at and just over the threshold, if an ordinary micropayment does that. */
  const atThreshold = (customer: Customer, draws: Draws): bigint | undefined => {
    const standing = ask(customer.cpp, 'customer', { customer: customer.id })
    if (standing === undefined || !standing.ok) return undefined
    const { thresholdMinor, outstandingMinor, pendingMinor } = standing as unknown as Record<string, bigint>
    const room = (thresholdMinor ?? 0n) - (outstandingMinor ?? 0n) - (pendingMinor ?? 0n)
    const amountMinor = room - 1n + BigInt(draws.below(3))
    return amountMinor > 0n && amountMinor < macroFrom(customer.currency) ? amountMinor : undefined
  }

  const amountFor = (size: Size, customer: Customer, { currency }: Pick<Payee, 'currency'>, draws: Draws): bigint => {
    const macroMinor = macroFrom(currency)
    switch (size) {
      case 'tiny':
        return 1n + belowMinor(draws, macroMinor / 50n)
      case 'small':
        return 1n + belowMinor(draws, macroMinor / 4n)
      case 'large':
        return macroMinor / 2n + belowMinor(draws, macroMinor / 2n)
      case 'border':
        return macroMinor - 1n + BigInt(draws.below(3))
      case 'macro':
        return macroMinor + belowMinor(draws, 4n * macroMinor)
      default:
        return (
          (customer.currency === currency ? atThreshold(customer, draws) : undefined) ??
          1n + belowMinor(draws, macroMinor - 1n)
        )
    }
  }

  return {
    amountFor,
    pay,
    /** Somebody else's guess at the PIN, or a slip: then the right one again. */
    payWithWrongPin: async (purchase: Purchase, draws: Draws): Promise<void> => {
      const { customer } = purchase
      await whenUp(customer.host)
      await unlock(acting, customer, freshPin(draws, customer))
      const [first] = customer.pins
      await pay(purchase, draws)
      if (customer.pins.length > 1 || customer.pins[0] !== first) return
      await unlock(acting, customer)
      if (draws.chance(0.5)) await order(customer.cpp, 'unlock-customer', { customer: customer.id })
    },
    /** A payee sends an invoice to the customer's alias; the customer pays it, declines it or leaves it. */
    requestToPay: async (customer: Customer, payee: Payee, amountMinor: bigint, draws: Draws): Promise<void> => {
      const purchase: Purchase = { customer, payee, amountMinor }
      const nothing = (code: string | undefined): void =>
        told(purchase, { ok: false, ...(code === undefined ? {} : { code }) }, '')
      await whenUp(payee.host)
      const lifetimeMs = 30_000 + draws.below(120_000)
      const asked = {
        payee: payee.id,
        alias: customer.alias,
        amountMinor: money(amountMinor),
        text: 'lunch',
        lifetimeMs,
      }
      const sent = await order(payee.host, 'request-payment', asked)
      if (sent === undefined || !sent.ok) {
        nothing(sent?.code)
        return
      }
      const requestId = hexOf(sent['requestId'])
      const seen = await requestSeen(customer, requestId)
      if (seen === undefined) {
        nothing('NOT_FOUND')
        return
      }
      const fate = draws.below(10)
      if (fate < 2) {
        if (fate === 0) await order(customer.host, 'pay-request', { requestId, accept: false })
        nothing('WITHDRAWN')
        return
      }
      const reply = await accepted(customer, requestId)
      told(purchase, reply, reply === undefined ? '' : hexOf(reply['paymentId']))
    },
  }

  /** The request as the wallet has it, once it came; undefined when it does not come in time. */
  async function requestSeen(customer: Customer, requestId: string): Promise<Reply | undefined> {
    for (let waitedMs = 0; waitedMs < REQUEST_SEEN_WITHIN_MS; waitedMs += LOOK_EVERY_MS) {
      const found = requestOf(customer, requestId)
      if (found !== undefined) return found
      await sleep(LOOK_EVERY_MS)
    }
    return undefined
  }

  function requestOf({ id, host }: Customer, requestId: string): Reply | undefined {
    const rows = ask(host, 'requests', { customer: id })
    if (rows === undefined) return undefined
    // A list, spread into the reply.
    return Object.values(rows).find(
      (row): row is Reply => typeof row === 'object' && row !== null && (row as Reply)['requestId'] === requestId,
    )
  }

  /** `pay-request` until it is decided; undefined where a crash left the request open. */
  async function accepted(customer: Customer, requestId: string): Promise<Reply | undefined> {
    const { host } = customer
    for (let tries = 1; ; tries++) {
      await whenUp(host)
      const reply = await order(host, 'pay-request', { requestId, accept: true })
      if (reply !== undefined) {
        if (tries >= MAX_TRIES || !isLocked(reply)) return reply
        await unlock(acting, customer)
        continue
      }
      await whenUp(host)
      const row = requestOf(customer, requestId)
      if (row === undefined) continue
      if (row['state'] === 'open') return undefined
      const prId = row['prId']
      if (prId !== undefined) return await queried(host, hexOf(prId))
      return { ok: false, code: 'TRANS_EXPIRED' }
    }
  }

  /** The end of a payment that this wallet has begun. */
  async function queried(host: string, prId: string): Promise<Reply> {
    for (;;) {
      await whenUp(host)
      const reply = await order(host, 'query', { paymentId: prId })
      if (reply !== undefined) return reply
      if (!world.isUp(host)) await sleep(TRY_AGAIN_MS)
    }
  }
}

export const SIZES = ['tiny', 'small', 'large', 'border', 'macro', 'threshold'] as const
export type Size = (typeof SIZES)[number]
export type Payments = ReturnType<typeof createPayments>

export const hexOf = (id: unknown): string => (id instanceof Uint8Array ? toHex(id) : String(id))
