/**
 * What the words between processors and banks promise each other, from the words alone:
 *
 * - a hold is posted once, for no more than it holds, and for a payment only when the payee's side has approved it;
 * - a hold is posted or given back, never both, and not held once it was voided;
 * - no interbank credit both booked and returned, no order answered that nobody gave;
 * - the entries of a pair bear each number once; batches follow each other without gap or overlap, and each totals its entries;
 * - a payee is advised of no more payouts than was promised for them, and paid in by them for refunds that were refused.
 */
import { toHex } from '../../../protocol/bytes.ts'
import type { Body } from '../../../protocol/kinds.ts'
import { keyText } from '../../../nodes/runtime/sorted-map.ts'
import type { Complain } from './complaints.ts'
import type { PaymentWords } from './payments.ts'
import type { Utterance } from './words.ts'

type Hold = {
  readonly amountMinor: bigint
  readonly currency: string
  /** A post of it was ordered. */
  posted: boolean
  /** A void of it was ordered. */
  voided: boolean
  /** Its bank has set the sum aside. */
  held: boolean
  end: string | undefined
  /** When its bank decided so, by the bank's own clock, which never goes back. */
  endedAtMs: number
}
type Pair = {
  readonly entries: Map<number, bigint>
  lastSeq: number
  lastTo: number
  /** Batches of which not every entry was said yet: one that waits in an outbox comes later. */
  waiting: Body<'settlement-batch'>[]
}

/** What a payee's bank is to pay in to an MPP, so that a micropayment can be refunded. */
type PayIn = { readonly refund: string; readonly name: string; readonly amountMinor: bigint }

export type OrderWords = {
  readonly heard: (utterance: Utterance) => void
  readonly atRest: () => void
}

export const createOrderWords = (
  payments: Pick<PaymentWords, 'isApproved' | 'isMicro'>,
  complain: Complain,
): OrderWords => {
  const holds = new Map<string, Hold>()
  /** creditId → what was asked, and its answer. */
  const credits = new Map<string, string | undefined>()
  const transfers = new Set<string>()
  const pairs = new Map<string, Pair>()
  const promised = new Map<string, bigint>()
  const paidOut = new Map<string, bigint>()
  const refunds = new Map<string, Body<'refund-request'>>()
  /** orderId → what it brings. */
  const payIns = new Map<string, PayIn>()
  /** Refund → what its payee has paid in: theirs again, should it be refused. */
  const paidIn = new Map<string, PayIn>()

  const pairOf = (cpp: string, mpp: string, currency: string): Pair => {
    const name = `${cpp} ${mpp} ${currency}`
    let pair = pairs.get(name)
    if (pair === undefined) pairs.set(name, (pair = { entries: new Map(), lastSeq: 0, lastTo: 0, waiting: [] }))
    return pair
  }

  const needsApproval = (host: string, reference: Body<'post-order'>['reference'], what: string): void => {
    if (reference.purpose === 'payment' && !payments.isApproved(host, reference.id))
      complain('money moved without an approval', `${host}: ${what}`, toHex(reference.id))
  }

  const onPost = (host: string, { holdId, amountMinor, currency, reference }: Body<'post-order'>): void => {
    needsApproval(host, reference, 'post-order')
    const hold = holds.get(keyText(holdId))
    if (hold === undefined) {
      complain('posted a hold that is none', host)
      return
    }
    if (hold.posted) complain('a hold was posted twice', host, toHex(reference.id))
    hold.posted = true
    if (amountMinor > hold.amountMinor || currency !== hold.currency)
      complain('posted more than was held', `${host}: ${amountMinor} of ${hold.amountMinor}`, toHex(reference.id))
  }

  const onHoldEnd = (host: string, holdId: Uint8Array, end: string, endedAtMs: number): void => {
    const hold = holds.get(keyText(holdId))
    if (hold === undefined) return
    if (hold.end !== undefined && hold.end !== end) complain('a hold was posted and voided', host)
    hold.end = end
    hold.endedAtMs = endedAtMs
  }

  const addEntry = (cpp: string, mpp: string, currency: string, seq: number, amountMinor: bigint): void => {
    const pair = pairOf(cpp, mpp, currency)
    if (pair.entries.has(seq)) complain('two entries of a pair under one number', `${cpp}, ${mpp}: ${seq}`)
    pair.entries.set(seq, amountMinor)
    if (pair.waiting.length > 0) settle(cpp, pair)
  }

  const settle = (cpp: string, pair: Pair): void => {
    pair.waiting = pair.waiting.filter(({ fromSeq, toSeq, totalMinor, mpp, seq }) => {
      let sum = 0n
      for (let at = fromSeq; at <= toSeq; at++) {
        const amountMinor = pair.entries.get(at)
        if (amountMinor === undefined) return true
        sum += amountMinor
      }
      if (sum !== totalMinor)
        complain('a batch does not total its entries', `${cpp}, ${mpp}: batch ${seq}, ${totalMinor} of ${sum}`)
      return false
    })
  }

  const onBatch = (cpp: string, batch: Body<'settlement-batch'>): void => {
    const { mpp, currency, seq, fromSeq, toSeq } = batch
    const pair = pairOf(cpp, mpp, currency)
    // A network may begin with batches settled before anybody looked.
    if (pair.lastSeq > 0 && (seq !== pair.lastSeq + 1 || fromSeq !== pair.lastTo + 1))
      complain(
        'a gap or an overlap of settlements',
        `${cpp}, ${mpp}: ${seq} from ${fromSeq}, after ${pair.lastSeq} to ${pair.lastTo}`,
      )
    if (toSeq < fromSeq) complain('an empty settlement', `${cpp}, ${mpp}: ${seq}`)
    pair.lastSeq = seq
    pair.lastTo = toSeq
    pair.waiting.push(batch)
    settle(cpp, pair)
  }

  const add = (sums: Map<string, bigint>, name: string, amountMinor: bigint): bigint => {
    const sum = (sums.get(name) ?? 0n) + amountMinor
    sums.set(name, sum)
    return sum
  }

  const onPayIn = ({ orderId, amountMinor, currency, reference }: Body<'transfer-order'>): void => {
    const refund = keyText(reference.id)
    const request = reference.purpose === 'refund' ? refunds.get(refund) : undefined
    if (request !== undefined && payments.isMicro(request.pnId))
      payIns.set(keyText(orderId), { refund, name: `${request.payee} ${currency}`, amountMinor })
  }

  const onBooked = (orderId: Uint8Array): void => {
    const payIn = payIns.get(keyText(orderId))
    if (payIn === undefined || paidIn.has(payIn.refund)) return
    paidIn.set(payIn.refund, payIn)
    add(promised, payIn.name, payIn.amountMinor)
  }

  /** What was paid in for it has gone to the customer. */
  const onRefunded = (refundId: Uint8Array): void => {
    const payIn = paidIn.get(keyText(refundId))
    if (payIn !== undefined) add(promised, payIn.name, -payIn.amountMinor)
  }

  const onAdvice = (host: string, { payee, currency, amountMinor }: Body<'payout-advice'>): void => {
    const name = `${payee} ${currency}`
    const sum = add(paidOut, name, amountMinor)
    if (sum > (promised.get(name) ?? 0n))
      complain('paid out more than was earned', `${host}: ${payee} ${sum} of ${promised.get(name) ?? 0n} ${currency}`)
  }

  return {
    heard: ({ kind, body, host, inner: { header } }) => {
      switch (kind) {
        case 'hold-order': {
          const { holdId, amountMinor, currency } = body as Body<'hold-order'>
          holds.set(keyText(holdId), {
            amountMinor,
            currency,
            posted: false,
            voided: false,
            held: false,
            end: undefined,
            endedAtMs: 0,
          })
          return
        }
        case 'hold-answer': {
          const { holdId, result } = body as Body<'hold-answer'>
          const hold = holds.get(keyText(holdId))
          if (hold === undefined || result !== 'held') return
          // What was decided before is said again, or for the first time by a bank that died before it could.
          if (hold.end === 'voided' && header.sentAtMs > hold.endedAtMs) complain('held after it was voided', host)
          hold.held = true
          return
        }
        case 'post-order':
          return onPost(host, body as Body<'post-order'>)
        case 'post-answer': {
          const { holdId, result } = body as Body<'post-answer'>
          if (result === 'booked') onHoldEnd(host, holdId, 'posted', header.sentAtMs)
          return
        }
        case 'void-answer': {
          const { holdId, result } = body as Body<'void-answer'>
          if (result === 'voided') onHoldEnd(host, holdId, 'voided', header.sentAtMs)
          return
        }
        case 'void-order': {
          const hold = holds.get(keyText((body as Body<'void-order'>).holdId))
          if (hold !== undefined) hold.voided = true
          return
        }
        case 'transfer-order': {
          const { reference, orderId } = body as Body<'transfer-order'>
          transfers.add(keyText(orderId))
          onPayIn(body as Body<'transfer-order'>)
          return needsApproval(host, reference, 'transfer-order')
        }
        case 'transfer-answer': {
          const { orderId, result } = body as Body<'transfer-answer'>
          if (!transfers.has(keyText(orderId))) complain('answered what nobody ordered', host)
          if (result === 'booked') onBooked(orderId)
          return
        }
        case 'interbank-credit':
          credits.set(keyText((body as Body<'interbank-credit'>).creditId), undefined)
          return
        case 'interbank-booking':
        case 'interbank-return': {
          const name = keyText((body as Body<'interbank-booking'>).creditId)
          if (!credits.has(name)) complain('answered what nobody ordered', `${host}: ${kind}`)
          const before = credits.get(name)
          if (before !== undefined && before !== kind) complain('a credit was booked and returned', host)
          credits.set(name, kind)
          return
        }
        case 'delayed-transfer-confirmation': {
          const { mpp, currency, pairSeq, amountMinor, payee } = body as Body<'delayed-transfer-confirmation'>
          add(promised, `${payee} ${currency}`, amountMinor)
          return addEntry(host, mpp, currency, pairSeq, amountMinor)
        }
        case 'refund-request': {
          const request = body as Body<'refund-request'>
          refunds.set(keyText(request.refundId), request)
          return
        }
        case 'refund-confirmation': {
          const { mpp, currency, pairSeq, amountMinor, refundId } = body as Body<'refund-confirmation'>
          onRefunded(refundId)
          if (pairSeq !== undefined) addEntry(host, mpp, currency, pairSeq, -amountMinor)
          return
        }
        case 'pair-adjustment': {
          const { mpp, currency, pairSeq, amountMinor, payee } = body as Body<'pair-adjustment'>
          if (payee !== undefined) add(promised, `${payee} ${currency}`, amountMinor)
          return addEntry(host, mpp, currency, pairSeq, amountMinor)
        }
        case 'settlement-batch':
          return onBatch(host, body as Body<'settlement-batch'>)
        case 'payout-advice':
          return onAdvice(host, body as Body<'payout-advice'>)
        default:
      }
    },
    atRest: () => {
      for (const hold of holds.values())
        if (hold.held && !hold.posted && !hold.voided)
          complain('a hold was left behind', `${hold.amountMinor} ${hold.currency}`)
      for (const [name, { entries, waiting }] of pairs) {
        for (const { seq } of waiting) complain('a settlement of entries that were never said', `${name}: batch ${seq}`)
        const seqs = [...entries.keys()].toSorted((a, b) => a - b)
        const gap = seqs.find((seq, at) => at > 0 && seq !== (seqs[at - 1] as number) + 1)
        if (gap !== undefined) complain('a gap in the entries of a pair', `${name}: before ${gap}`)
      }
    },
  }
}
