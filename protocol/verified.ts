/**
 * Trust is a type: opening an envelope yields a `Verified` message, and nodes decide on nothing else. Only `open.ts` makes
 * one, after size, structure, seal, credential, role, path and addressee were checked.
 */
import type { Result } from './failures.ts'
import type { Header } from './header.ts'
import type { Beside, Body, KINDS, KindName } from './kinds.ts'
import type { VerifiedChain } from './credentials.ts'
import type { HostStatement, PayeeStatement, ProcessorStatement } from './statements.ts'
import type { Role } from './ids.ts'

/** The chain of a merchant's TRANS: who certified whom. A CPP accepts a countersignature from `mpp` alone. */
export type MerchantChain = {
  readonly mpp: ProcessorStatement
  readonly host: HostStatement
  readonly payee: PayeeStatement
}

export type Sender = {
  /** Host, processor or customer id; a guest's one-time key as 64 hex digits. */
  readonly id: string
  readonly role: Role
  readonly keyId: Uint8Array
  /** Of processors and banks. */
  readonly operatorId: string | undefined
  /** The host a customer's frame came in a carrier of; else the sender itself. */
  readonly host: string
}

type NestedKind<N> = N extends readonly (infer K)[] ? (K extends KindName ? K : never) : never
/** Nested frames, opened: seal and chain checked, not the addressee. A list field gives a list. */
export type Nested<K extends KindName> = {
  readonly [F in keyof (typeof KINDS)[K]['nests']]: F extends keyof Body<K>
    ? Body<K>[F] extends readonly Uint8Array[]
      ? readonly Result<Verified<NestedKind<(typeof KINDS)[K]['nests'][F]>>>[]
      : undefined extends Body<K>[F]
        ? Result<Verified<NestedKind<(typeof KINDS)[K]['nests'][F]>>> | undefined
        : Result<Verified<NestedKind<(typeof KINDS)[K]['nests'][F]>>>
    : never
}

declare const verified: unique symbol

/** A union over kinds when `K` is one, so that `switch (message.kind)` narrows body and nested frames. */
export type Verified<K extends KindName = KindName> = K extends KindName
  ? {
      readonly [verified]: true
      readonly kind: K
      readonly header: Header
      readonly body: Body<K>
      readonly beside: Beside<K>
      readonly nested: Nested<K>
      /** Content digest: the identity of the message, the same for every seal. */
      readonly digest: Uint8Array
      /** The frame as it travelled: the inner one of a confidential message. Evidence, and what a relay forwards. */
      readonly frame: Uint8Array
      readonly sender: Sender
      /** Who published it last: the subject's sender. */
      readonly previousHop: string
      /** The chain in the body of a kind that shows one, verified: TRANS, and the kinds that introduce a key. */
      readonly chain: VerifiedChain | undefined
      /** Present on TRANS. */
      readonly merchant: K extends 'transaction-details' ? MerchantChain : undefined
    }
  : never
