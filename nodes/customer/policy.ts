/** What an operator may set at a wallet host. Times in milliseconds. */
import { Fields, Type, type Static } from '../../protocol/fields.ts'
import { LIMITS } from '../../protocol/limits.ts'

const Milliseconds = (minimum: number, maximum: number) => Type.Integer({ minimum, maximum })

export const WalletPolicy = Fields({
  /** From `pay` to the payment request: login, lookup and offer together. Nothing is paid when it passes. */
  guestPhaseMs: Milliseconds(1_000, 120_000),
  /** How long a payee's directory record is used without asking again. */
  payeeRecordTtlMs: Milliseconds(0, 86_400_000),
  /** After a TRANS's expiry, how long until the CPP is asked what became of the payment. */
  queryAfterExpiryMs: Milliseconds(0, 600_000),
  /** Goods that did not come by themselves are asked for after this long, then at doubling intervals up to the longest. */
  firstGoodsQueryMs: Milliseconds(100, 600_000),
  longestGoodsQueryMs: Milliseconds(100, 120_000),
  maxGoodsQueries: Type.Integer({ minimum: 1, maximum: 1_000 }),
  /** A guest login of a host with many wallets takes purchases this long and this many; a host of one has one a purchase. */
  guestLoginMs: Milliseconds(1_000, LIMITS.maxGuestLoginAgeMs),
  purchasesPerGuestLogin: Type.Integer({ minimum: 1, maximum: LIMITS.maxPurchasesPerGuestLogin }),
  /** After its last purchase a guest login listens this long for what was asked under it. Above `longestGoodsQueryMs`. */
  guestLoginGraceMs: Milliseconds(120_000, 3_600_000),
})
export type WalletPolicy = Static<typeof WalletPolicy>

export const DEFAULT_WALLET_POLICY: WalletPolicy = {
  guestPhaseMs: 15_000,
  payeeRecordTtlMs: 300_000,
  queryAfterExpiryMs: 1_000,
  firstGoodsQueryMs: 3_000,
  longestGoodsQueryMs: 60_000,
  maxGoodsQueries: 60,
  guestLoginMs: LIMITS.maxGuestLoginAgeMs,
  purchasesPerGuestLogin: LIMITS.maxPurchasesPerGuestLogin,
  guestLoginGraceMs: 180_000,
}
