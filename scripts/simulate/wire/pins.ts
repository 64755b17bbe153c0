/**
 * What a PIN promises (design §7): a payment whose proof fits no PIN that its customer ever had is refused before anybody else hears of
 * it. The keys are overheard where they travel, once, to the customer's CPP.
 */
import { toHex } from '../../../protocol/bytes.ts'
import type { Body } from '../../../protocol/kinds.ts'
import { isPinProof } from '../../../protocol/pin.ts'
import { parseFrame } from '../../../protocol/seals.ts'
import { keyText } from '../../../nodes/runtime/sorted-map.ts'
import type { Complain } from './complaints.ts'
import type { Utterance } from './words.ts'

export type PinWords = { readonly heard: (utterance: Utterance) => void }

/** @param known of customers that were enrolled before anybody listened */
export const createPinWords = (known: ReadonlyMap<string, Uint8Array>, complain: Complain): PinWords => {
  const keys = new Map([...known].map(([customer, key]) => [customer, [key]]))
  /** Requests with a proof that fits no PIN. */
  const wrong = new Set<string>()

  const learn = (customer: string, pinKey: Uint8Array, isFirst: boolean): void => {
    const former = keys.get(customer)
    // Who changes a PIN that nobody knows may still hold the former.
    if (former !== undefined) former.push(pinKey)
    else if (isFirst) keys.set(customer, [pinKey])
  }

  return {
    heard: ({ kind, body, originator }) => {
      switch (kind) {
        case 'customer-enrolment': {
          const { customer, pinKey } = body as Body<'customer-enrolment'>
          return learn(customer, pinKey, true)
        }
        case 'pin-change':
          return learn(originator, (body as Body<'pin-change'>).pinKey, false)
        case 'payment-request': {
          const { prId, trans, pinProof } = body as Body<'payment-request'>
          const parsed = parseFrame(trans)
          const possible = keys.get(originator)
          if (!parsed.ok || possible === undefined) return
          const { digest } = parsed.value
          if (!possible.some((key) => isPinProof(key, digest, prId, pinProof))) wrong.add(keyText(prId))
          return
        }
        case 'customer-transfer-confirmation':
        case 'customer-delayed-transfer-confirmation':
        case 'customer-payment-outcome': {
          const { prId, outcome } = body as Partial<Body<'customer-payment-outcome'>> & { readonly prId: Uint8Array }
          if (wrong.has(keyText(prId)) && outcome !== 'refused')
            complain('a wrong PIN was taken', `${originator}: ${outcome ?? 'confirmed'}`, toHex(prId))
          return
        }
        default:
      }
    },
  }
}
