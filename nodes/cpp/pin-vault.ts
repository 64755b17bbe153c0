/**
 * Customers' PIN keys at rest and the checking of proofs (decision 0006). A pinKey is as good as the PIN: it leaves this file
 * only encrypted under a key that only this node holds, bound to its customer.
 */
import type { Engine } from '../../protocol/engines/engine.ts'
import { isPinProof, openPinKey, pinKeyFingerprint, sealPinKey } from '../../protocol/pin.ts'

export type PinVault = {
  /** @param nonce 12 fresh random bytes */
  readonly seal: (customer: string, pinKey: Uint8Array, nonce: Uint8Array) => Uint8Array
  /**
   * Is this HMAC made with the customer's PIN, for this TRANS and this request, or this change and its subject? Compared in
   * constant time.
   */
  readonly isProof: (
    customer: string,
    sealedPinKey: Uint8Array,
    subject: Uint8Array,
    id: Uint8Array,
    proof: Uint8Array,
  ) => boolean
  /** What the enrolment record says of the PIN key. @throws Error when the row was not sealed by this vault */
  readonly fingerprint: (customer: string, sealedPinKey: Uint8Array) => Uint8Array
}

export const PIN_NONCE_BYTES = 12

/** @param nodeKey 32 secret bytes that stay on this node */
export const createPinVault = (engine: Engine, nodeKey: Uint8Array): PinVault => {
  const open = (customer: string, sealed: Uint8Array): Uint8Array => {
    const pinKey = openPinKey(engine, nodeKey, customer, sealed)
    // Going on would count a wrong PIN against a customer who typed the right one.
    if (pinKey === undefined)
      throw new Error("a PIN key was not sealed under this node's key: the key file or the row was exchanged")
    return pinKey
  }
  return {
    seal: (customer, pinKey, nonce) => sealPinKey(engine, nodeKey, nonce, customer, pinKey),
    isProof: (customer, sealed, subject, id, proof) => isPinProof(open(customer, sealed), subject, id, proof),
    fingerprint: (customer, sealed) => pinKeyFingerprint(open(customer, sealed)),
  }
}
