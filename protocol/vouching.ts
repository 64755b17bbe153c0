/**
 * Whose key sealed what is nested in another's message, and does it still hold? Invariant: a key that is itself revoked seals nothing,
 * wherever it stands; one that fell with its certifier's former key counts only inside what that certifier seals under a key in force.
 */
import { equalBytes } from './bytes.ts'
import { verifyChainAsIssued, type KeyRecord, type Trust } from './credentials.ts'
import { keyOfBytes } from './lru.ts'

/** `from` is the header's originator: a customer's device key is found by its customer. */
export type KeyLookup = (keyId: Uint8Array, from: string) => KeyRecord | 'revoked' | undefined

export type NestedContext = { readonly trust: Trust; readonly lookupKey: KeyLookup }

/**
 * Who stands by what is nested: the processor that sealed the message around it. Of a host that it certified it says by that seal what a
 * credential would say, so such a host's key does not fall here with a former key of the processor's; where `chain` is given, it says
 * whose key that is. A key that is itself revoked stays void.
 */
export type Voucher = { readonly id: string; readonly chain: readonly Uint8Array[] | undefined }
export type VouchedContext = NestedContext & { readonly voucher?: Voucher | undefined }

/** Only the root certifies processors: a name that anybody else gave vouches for nothing. */
export const voucherOf = ({ owner, operatorId }: KeyRecord, body: object): Voucher | undefined =>
  operatorId === undefined
    ? undefined
    : { id: owner, chain: (body as { readonly chain?: readonly Uint8Array[] | undefined }).chain }

const isVouchedFor = ({ issuer }: KeyRecord, voucher: Voucher | undefined): boolean =>
  issuer !== undefined && issuer === voucher?.id

/** Has its certifier's key fallen, and nobody stands by it? */
export const isFallen = (record: KeyRecord, { trust, voucher }: VouchedContext): boolean =>
  record.issuerKeyId !== undefined && trust.isRevoked(record.issuerKeyId) && !isVouchedFor(record, voucher)

/** The key itself is revoked, or {@link isFallen}. */
export const isVoid = (record: KeyRecord, context: VouchedContext): boolean =>
  context.trust.isRevoked(record.keyId) || isFallen(record, context)

/**
 * The same lookup, knowing the hosts of chains verified here as well: a CPP meets a merchant host in TRANS only. Not for what
 * arrives directly, where only a node's own records say whom a host belongs to; a guest has no records but these.
 */
export const remembering = <C extends NestedContext>(context: C): C => ({
  ...context,
  lookupKey: (keyId: Uint8Array, from: string) =>
    context.lookupKey(keyId, from) ?? context.trust.hostKeys.get(keyOfBytes(keyId)),
})

/**
 * The same lookup, knowing the host of the voucher's chain as well: a host's key may have lived so briefly that no directory ever
 * heard of it. The chain is judged as it was issued, at the time of what the key sealed.
 */
export const believing = <C extends VouchedContext>(context: C, atMs: number): C => {
  const { voucher, trust } = context
  const shown = voucher?.chain
  if (shown === undefined) return context
  const shownKey = (keyId: Uint8Array): KeyRecord | undefined => {
    const chain = verifyChainAsIssued(trust, shown, atMs)
    if (!chain.ok || chain.value.hostKey === undefined || !isVouchedFor(chain.value.hostKey, voucher)) return undefined
    return equalBytes(chain.value.hostKey.keyId, keyId) ? chain.value.hostKey : undefined
  }
  return {
    ...context,
    lookupKey: (keyId: Uint8Array, from: string) => {
      const known = context.lookupKey(keyId, from)
      // A host of several processors may be known by the chain of another one, that has fallen.
      const isGood = known === 'revoked' || (known !== undefined && !isFallen(known, context))
      return isGood ? known : (shownKey(keyId) ?? known)
    },
  }
}

/** The same lookup, knowing these keys as well: those of a chain that was just verified, say. */
export const withKeys = (context: NestedContext, records: readonly KeyRecord[]): NestedContext => ({
  trust: context.trust,
  lookupKey: (keyId, from) =>
    context.lookupKey(keyId, from) ?? records.find((record) => equalBytes(record.keyId, keyId)),
})
