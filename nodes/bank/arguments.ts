/**
 * Arguments of the control socket: JSON, with money as decimal text of minor units and bytes as hex (nodes/runtime/json.ts).
 * Invariant: a bad argument is a reply, never a throw.
 */
import { fail, ok, type Failure, type FailureCode, type Result } from '../../protocol/failures.ts'
import {
  AccountId,
  CurrencyCode,
  Fields,
  Id,
  NodeId,
  Optional,
  PublicKey,
  SumMinor,
  Type,
  Word,
  type Static,
  type TSchema,
} from '../../protocol/fields.ts'
import { fromJson } from '../runtime/json.ts'
import { decision, type Decision } from '../runtime/node.ts'
import { HOLDER_ROLES } from './state.ts'

const HolderHost = Fields({ role: Word(...HOLDER_ROLES), host: NodeId })
export const OpenAccountArguments = Fields({
  account: AccountId,
  holderKey: PublicKey,
  currency: CurrencyCode,
  balanceMinor: SumMinor,
  holderHost: Optional(HolderHost),
  alsoTold: Optional(Type.Array(HolderHost, { minItems: 1, maxItems: 16 })),
  operatorId: Optional(NodeId),
})
export const DepositArguments = Fields({ account: AccountId, amountMinor: SumMinor })
export const FundReserveArguments = Fields({ bank: NodeId, currency: CurrencyCode, amountMinor: SumMinor })
export const ResolveCreditArguments = Fields({ creditId: Id, booked: Type.Boolean() })

/** SCHEMA_VIOLATION, naming the first argument that does not fit. */
export const parseArguments = <Schema extends TSchema>(schema: Schema, args: unknown): Result<Static<Schema>> => {
  const parsed = fromJson<Static<Schema>>(schema, args)
  return parsed.ok ? ok(parsed.value) : fail('SCHEMA_VIOLATION', parsed.problem)
}

export const refusedReply = (code: FailureCode, detail: string): Decision =>
  decision({ reply: { ok: false, code, detail } })
export const badArguments = ({ code, detail }: Failure): Decision => refusedReply(code, detail)
