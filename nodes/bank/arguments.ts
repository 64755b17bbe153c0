/**
 * Arguments of the control socket: JSON, with money as decimal strings of minor units and bytes as hex. Invariant: a bad
 * argument is a reply, never a throw.
 */
import { Value } from '@sinclair/typebox/value'
import { fromHex } from '../../protocol/bytes.ts'
import { fail, ok, type Failure, type FailureCode, type Result } from '../../protocol/failures.ts'
import { AccountId, CurrencyCode, NodeId, Type, Word, type Static, type TSchema } from '../../protocol/fields.ts'
import { decision, type Decision } from '../runtime/node.ts'
import { HOLDER_ROLES } from './state.ts'

const MoneyText = Type.String({ pattern: '^(0|[1-9][0-9]{0,18})$' })
const PositiveMoneyText = Type.String({ pattern: '^[1-9][0-9]{0,18}$' })
const hexText = (bytes: number) => Type.String({ pattern: `^[0-9a-f]{${2 * bytes}}$` })
const Arguments = <P extends Record<string, TSchema>>(properties: P) =>
  Type.Object(properties, { additionalProperties: false })

type Form<Schema extends TSchema, Value> = { readonly schema: Schema; readonly read: (args: Static<Schema>) => Value }
const form = <Schema extends TSchema, Value>(
  schema: Schema,
  read: (args: Static<Schema>) => Value,
): Form<Schema, Value> => ({ schema, read })

export const OpenAccountArguments = form(
  Arguments({
    account: AccountId,
    holderKey: hexText(32),
    currency: CurrencyCode,
    balanceMinor: MoneyText,
    holderHost: Type.Optional(Arguments({ role: Word(...HOLDER_ROLES), host: NodeId })),
    operatorId: Type.Optional(NodeId),
  }),
  (args) => ({ ...args, holderKey: fromHex(args.holderKey), balanceMinor: BigInt(args.balanceMinor) }),
)
export const DepositArguments = form(Arguments({ account: AccountId, amountMinor: PositiveMoneyText }), (args) => ({
  ...args,
  amountMinor: BigInt(args.amountMinor),
}))
export const FundReserveArguments = form(
  Arguments({ bank: NodeId, currency: CurrencyCode, amountMinor: MoneyText }),
  (args) => ({ ...args, amountMinor: BigInt(args.amountMinor) }),
)
export const ResolveCreditArguments = form(Arguments({ creditId: hexText(16), booked: Type.Boolean() }), (args) => ({
  creditId: fromHex(args.creditId),
  booked: args.booked,
}))

/** SCHEMA_VIOLATION, naming the first argument that does not fit. */
export const parseArguments = <Schema extends TSchema, Value>(
  { schema, read }: Form<Schema, Value>,
  args: unknown,
): Result<Value> => {
  const error = Value.Errors(schema, args).First()
  return error === undefined
    ? ok(read(args as Static<Schema>))
    : fail('SCHEMA_VIOLATION', `${error.path === '' ? 'arguments' : error.path.slice(1)}: ${error.message}`)
}

export const refusedReply = (code: FailureCode, detail: string): Decision =>
  decision({ reply: { ok: false, code, detail } })
export const badArguments = ({ code, detail }: Failure): Decision => refusedReply(code, detail)
