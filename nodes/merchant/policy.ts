/** What an operator may set at a merchant host. Times in milliseconds. */
import { Fields, Type, type Static } from '../../protocol/fields.ts'
import { LIMITS } from '../../protocol/limits.ts'

export const MerchantPolicy = Fields({
  /** How long an invoice can be paid. */
  transLifetimeMs: Type.Integer({ minimum: 1_000, maximum: LIMITS.maxTransLifetimeMs }),
  /** The same for an invoice that goes out as a request to pay. */
  requestLifetimeMs: Type.Integer({ minimum: 1_000, maximum: LIMITS.maxRequestToPayLifetimeMs }),
  /** An invoice that nobody paid is forgotten this long after its expiry. Above twice the clock skew. */
  orderGraceMs: Type.Integer({ minimum: 2 * LIMITS.maxFutureSkewMs, maximum: 86_400_000 }),
  /** Orders not yet paid, at this host. */
  maxOpenOrders: Type.Integer({ minimum: 1, maximum: LIMITS.maxOpenOrdersPerHost }),
})
export type MerchantPolicy = Static<typeof MerchantPolicy>

export const DEFAULT_MERCHANT_POLICY: MerchantPolicy = {
  transLifetimeMs: LIMITS.defaultTransLifetimeMs,
  requestLifetimeMs: 86_400_000,
  orderGraceMs: 600_000,
  maxOpenOrders: LIMITS.maxOpenOrdersPerHost,
}
