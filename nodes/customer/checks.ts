/**
 * What a wallet checks of an invoice before it pays: that the one who was asked sealed it, for the money that was agreed, with
 * the text that the customer sees. Seals and chains are verified already; here they are compared with what was wanted.
 */
import type { Currency } from '../../protocol/amount.ts'
import { equalBytes } from '../../protocol/bytes.ts'
import { failure, type Failure } from '../../protocol/failures.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Verified } from '../../protocol/verified.ts'
import { descriptionHashOf } from '../merchant/invoice.ts'

/** What the customer agreed to pay, to whom, and from which host the invoice must come. */
export type Agreed = {
  readonly payee: string
  readonly host: string
  readonly amountMinor: bigint
  readonly currency: Currency
}

/**
 * In this order: TRANS_INVALID (other payee; a host that was not asked, or that the chain does not certify), AMOUNT_INVALID
 * (amount, then currency), then the checks of {@link invoiceProblem}.
 */
export const agreementProblem = (trans: Verified<'transaction-details'>, agreed: Agreed): Failure | undefined => {
  const { body, merchant, sender } = trans
  if (body.payee !== agreed.payee) return failure('TRANS_INVALID', 'of another payee')
  if (sender.host !== agreed.host || merchant.host.id !== agreed.host)
    return failure('TRANS_INVALID', 'from a host that was not asked')
  if (body.amountMinor !== agreed.amountMinor) return failure('AMOUNT_INVALID', 'not the amount agreed')
  if (body.currency !== agreed.currency) return failure('AMOUNT_INVALID', 'not the currency agreed')
  return undefined
}

/**
 * In this order: TRANS_INVALID (chain of another payee or host), TRANS_EXPIRED, TRANS_INVALID (lives too long; text and hash differ).
 * `maxLifetimeMs`: how far ahead the expiry may lie; the difference of clocks is added.
 */
export const invoiceProblem = (
  trans: Verified<'transaction-details'>,
  text: { readonly description: string; readonly salt: Uint8Array },
  nowMs: number,
  maxLifetimeMs: number,
): Failure | undefined => {
  const { body, merchant, sender, header } = trans
  if (
    merchant.payee.payee !== body.payee ||
    merchant.payee.host !== merchant.host.id ||
    sender.host !== merchant.host.id
  )
    return failure('TRANS_INVALID', 'the chain is of another payee or host')
  if (header.expiresAtMs === undefined) return failure('TRANS_INVALID', 'without expiry')
  if (header.expiresAtMs <= nowMs) return failure('TRANS_EXPIRED')
  if (header.expiresAtMs > nowMs + maxLifetimeMs + LIMITS.maxFutureSkewMs)
    return failure('TRANS_INVALID', 'lives too long')
  if (!equalBytes(descriptionHashOf(text.salt, text.description), body.descriptionHash))
    return failure('TRANS_INVALID', 'text and hash of the description differ')
  return undefined
}
