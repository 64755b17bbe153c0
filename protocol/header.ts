/** The header of a frame (SPEC "Envelope"): eleven fields, in this order on the wire. */
import type { KindName } from './kinds.ts'

export const ENVELOPE_VERSION = 1
/** `encrypted`: the body is a complete sealed frame of the same kind, encrypted to the addressee. */
export type BodyForm = 'plain' | 'encrypted'

export type Header = {
  readonly version: typeof ENVELOPE_VERSION
  /** First 16 bytes of H(root key): a sandbox frame dies in production. */
  readonly networkId: Uint8Array
  readonly kind: KindName
  readonly bodyVersion: number
  readonly messageId: Uint8Array
  /** The originator's id, or the 32-byte one-time key that a guest seals with. */
  readonly from: string | Uint8Array
  /** The final addressee: a host, a customer (inner frames to a customer), a data center's address, or a guest's token. */
  readonly to: string
  readonly sentAtMs: number
  readonly expiresAtMs: number | undefined
  readonly correlationId: Uint8Array | undefined
  readonly bodyForm: BodyForm
}
