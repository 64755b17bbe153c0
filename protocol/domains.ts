/**
 * What stands before everything that is signed: 0xFF ‖ name ‖ 0x00. A NATS server chooses the nonce that a login signs, and
 * that nonce is text: no text begins with 0xFF, so a login key could never be made to sign a message, even if one seed were
 * wrongly used for both (design §7).
 */
import { concat, utf8 } from './bytes.ts'

const domain = (name: string): Uint8Array => concat(Uint8Array.of(0xff), utf8(name), Uint8Array.of(0))

export const DOMAINS = {
  seal1: domain('semops/1 seal-1'),
  seal2: domain('semops/1 seal-2'),
  seal3: domain('semops/1 seal-3'),
  credential: domain('semops/1 credential'),
  evidence: domain('semops/1 evidence'),
} as const

/** What hashes and derived keys are bound to; no signature is made over these. */
export const CONTEXTS = {
  batch: concat(utf8('semops/1 seal-2'), Uint8Array.of(0)),
  confidential: concat(utf8('semops/1 confidential'), Uint8Array.of(0)),
  pairEntry: concat(utf8('semops/1 pair-entry'), Uint8Array.of(0)),
  mountainRange: concat(utf8('semops/1 mountain-range'), Uint8Array.of(0)),
  settlementBatch: concat(utf8('semops/1 settlement-batch'), Uint8Array.of(0)),
  pinKeyAtRest: concat(utf8('semops/1 pin-key'), Uint8Array.of(0)),
  pinChange: concat(utf8('semops/1 pin-change'), Uint8Array.of(0)),
  sentAtRest: concat(utf8('semops/1 sent'), Uint8Array.of(0)),
  deviceReplacement: concat(utf8('semops/1 device-replacement'), Uint8Array.of(0)),
  accountClosure: concat(utf8('semops/1 account-closure'), Uint8Array.of(0)),
} as const
