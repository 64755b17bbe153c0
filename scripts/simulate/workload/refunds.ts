/**
 * Payees give money back: all or part, once or again, more than there was, with a slip at the PIN. Invariant: a refund that a crash cut
 * short is asked for again under its own id only, and told with the end that its merchant host says.
 */
import { toHex } from '../../../protocol/bytes.ts'
import type { Draws } from '../world.ts'
import { belowMinor, money, type Acting, type Reply } from './acting.ts'
import type { Confirmed, Payee, People } from './people.ts'

const ID_BYTES = 16
/** Where the payment's own confirmation has not reached its payee yet. */
const UNDECIDED_TRIES = 20
const TRY_AGAIN_MS = 1_500
const WRONG_PIN = '000000'

export const createRefunds = (acting: Acting, people: People) => {
  const { order, sleep, tell, whenUp } = acting

  const told = ({ payee, txId }: Confirmed, amountMinor: bigint, reply: Reply | undefined): void => {
    const outcome = reply === undefined ? 'lost' : (reply['outcome'] ?? 'refused')
    tell({ type: 'refunded', payee, txId, amountMinor, outcome: outcome as string, code: reply?.code })
  }

  /** Until it is confirmed or refused; undefined where a crash left nothing of it. */
  const refund = async (payee: Payee, { txId }: Confirmed, amountMinor: bigint, refundId: string) => {
    const args = { payee: payee.id, txId, amountMinor: money(amountMinor), pin: payee.refundPin, refundId }
    for (let tries = 1; ; tries++) {
      await whenUp(payee.host)
      const asked = await order(payee.host, 'refund', args)
      if (asked?.ok === false) {
        if (asked.code === 'PIN_LOCKED') await order(payee.host, 'set-refund-pin', { pin: payee.refundPin })
        const passes = asked.code === 'UNDECIDED' || asked.code === 'PIN_LOCKED' || asked.code === 'BUSY'
        if (!passes || tries > UNDECIDED_TRIES) return asked
        await sleep(TRY_AGAIN_MS)
        continue
      }
      await whenUp(payee.host)
      const ended = await order(payee.host, 'refund-result', { refundId })
      if (ended === undefined) continue
      if (ended.ok) return ended
      if (ended.code === 'NOT_FOUND') return undefined
    }
  }

  const giveBack = async (payment: Confirmed, amountMinor: bigint, draws: Draws): Promise<void> => {
    const payee = people.payees.find(({ id }) => id === payment.payee)
    if (payee === undefined) return
    const refundId = toHex(draws.bytes(ID_BYTES))
    if (draws.chance(0.05)) {
      await whenUp(payee.host)
      await order(payee.host, 'refund', {
        payee: payee.id,
        txId: payment.txId,
        amountMinor: money(amountMinor),
        pin: WRONG_PIN,
        refundId: toHex(draws.bytes(ID_BYTES)),
      })
    }
    const reply = await refund(payee, payment, amountMinor, refundId)
    told(payment, amountMinor, reply)
    // The same order once more, as a person does who saw no answer: the same refund, not another.
    if (draws.chance(0.1)) await refund(payee, payment, amountMinor, refundId)
  }

  return {
    /** Of a payment that was confirmed some time ago, or just now; nothing where there is none. */
    refund: async (draws: Draws): Promise<void> => {
      const latest = people.confirmed.slice(-4)
      const from = draws.chance(0.5) ? latest : people.confirmed
      if (from.length === 0) return
      const payment = draws.pick(from)
      const { amountMinor, leftMinor } = payment
      const luck = draws.below(10)
      if (luck === 0) {
        await giveBack(payment, leftMinor + 1n + belowMinor(draws, amountMinor), draws)
        return
      }
      if (leftMinor === 0n) {
        await giveBack(payment, 1n + belowMinor(draws, amountMinor), draws)
        return
      }
      const asked = luck < 4 ? leftMinor : 1n + belowMinor(draws, leftMinor)
      payment.leftMinor -= asked
      // Two at once that together are more than the payment: one of them must be refused.
      if (luck === 9) await Promise.all([giveBack(payment, asked, draws), giveBack(payment, amountMinor, draws)])
      else await giveBack(payment, asked, draws)
    },
  }
}
export type Refunds = ReturnType<typeof createRefunds>
