/** What a bank's operator decides: a journalled row, changed by operator events only. */
import { NODE_ID_PATTERN } from '../../protocol/ids.ts'
import { Type, type Static } from '../../protocol/fields.ts'

const NodeIdText = Type.String({ pattern: NODE_ID_PATTERN, maxLength: 63 })
const SECOND = 1_000

export const BankPolicy = Type.Object(
  {
    /** Data-center hosts that this bank registers at; it is ready when all have receipted. */
    dataCenters: Type.Array(NodeIdText, { maxItems: 64 }),
    /** Where net positions against other banks are settled; may be itself. null: it clears with nobody, its positions stay. */
    settlementBank: Type.Union([NodeIdText, Type.Null()]),
    clearing: Type.Object(
      { windowMs: Type.Integer({ minimum: 100, maximum: 86_400_000 }) },
      { additionalProperties: false },
    ),
    /** Banks that this one sends credits to; null: any. A credit to another one is refused at once. */
    peers: Type.Union([Type.Array(NodeIdText, { maxItems: 4_096 }), Type.Null()]),
    /** A hold order that would bind funds for longer is refused. */
    maxHoldMs: Type.Integer({ minimum: SECOND, maximum: 31 * 86_400 * SECOND }),
  },
  { additionalProperties: false },
)
export type BankPolicy = Static<typeof BankPolicy>

export const DEFAULT_BANK_POLICY: BankPolicy = {
  dataCenters: [],
  settlementBank: null,
  clearing: { windowMs: 5 * SECOND },
  peers: null,
  maxHoldMs: 86_400 * SECOND,
}
