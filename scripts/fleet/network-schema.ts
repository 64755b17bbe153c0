/**
 * What a person may write in `network.yaml`. The published JSON Schema, `network.schema.json`, is made from it, so that
 * editors help while writing; the rules that no schema can say stand in `network-rules.ts`.
 */
import { Type, type Static } from '@sinclair/typebox'
import { CURRENCY_CODES, type Currency } from '../../protocol/amount.ts'
import { NODE_ID_PATTERN, REALM_PATTERN } from '../../protocol/ids.ts'

const strict = { additionalProperties: false } as const
const NodeId = Type.String({ pattern: NODE_ID_PATTERN, description: '<realm>-<name>' })
const Amount = Type.String({
  pattern: '^\\d{1,15}(\\.\\d{1,9})?$',
  description: 'decimal text in quotes, such as "1.20"',
})
const CurrencyCode = Type.Unsafe<Currency>(
  Type.Union(
    CURRENCY_CODES.map((code) => Type.Literal(code)),
    { description: `one of ${CURRENCY_CODES.join(', ')}` },
  ),
)
const Policy = Type.Record(Type.String(), Type.Unknown(), {
  description: "settings of this node that differ from its role's defaults",
})
const Pattern = Type.String({
  pattern: '^[a-z0-9-]*\\{n\\}[a-z0-9-]*(@[a-z0-9]{2,8})?$',
  description: 'a name with {n} for its number',
})

const Bank = Type.Object(
  {
    id: NodeId,
    settlement: Type.Optional(Type.Boolean({ description: 'keeps the reserves of the others' })),
    policy: Type.Optional(Policy),
  },
  strict,
)
const Processor = Type.Object(
  {
    id: NodeId,
    bank: NodeId,
    operator: Type.Optional(NodeId),
    balance: Type.Optional(Amount),
    policy: Type.Optional(Policy),
  },
  strict,
)
const Approval = Type.Union(
  [
    Type.Object(
      { rule: Type.Union([Type.Literal('approve'), Type.Literal('reject-all'), Type.Literal('silent')]) },
      strict,
    ),
    Type.Object({ rule: Type.Literal('reject-over'), amount: Amount }, strict),
  ],
  { description: '{ rule: approve | reject-all | silent } or { rule: reject-over, amount: "25.00" }' },
)
const Merchant = Type.Object(
  {
    payee: Type.Optional(Type.String({ pattern: '^[a-z0-9-]{1,54}@[a-z0-9]{2,8}$', description: 'name@realm' })),
    pattern: Type.Optional(Pattern),
    count: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000 })),
    kind: Type.Optional(Type.Union([Type.Literal('shop'), Type.Literal('person'), Type.Literal('business')])),
    mpp: Type.Optional(NodeId),
    bank: NodeId,
    catalogue: Type.Optional(Type.Record(Type.String({ pattern: '^[a-z0-9-]{1,60}$' }), Amount)),
    approval: Type.Optional(Approval),
  },
  strict,
)
const Customer = Type.Object(
  {
    id: Type.Optional(NodeId),
    pattern: Type.Optional(Pattern),
    count: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
    kind: Type.Optional(Type.Union([Type.Literal('person'), Type.Literal('business')])),
    cpps: Type.Optional(Type.Array(NodeId, { minItems: 1, maxItems: 8 })),
    bank: NodeId,
    currency: Type.Optional(CurrencyCode),
    balance: Type.Optional(Amount),
    alias: Type.Optional(NodeId),
  },
  strict,
)
const Realm = Type.Object(
  {
    dataCenters: Type.Optional(Type.Integer({ minimum: 1, maximum: 16 })),
    walletHosts: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
    merchantHosts: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
    cpps: Type.Array(Processor),
    mpps: Type.Array(Processor),
    merchants: Type.Array(Merchant),
    customers: Type.Array(Customer),
  },
  strict,
)

const RolePolicies = Type.Object(
  {
    dc: Type.Optional(Policy),
    cpp: Type.Optional(Policy),
    mpp: Type.Optional(Policy),
    bank: Type.Optional(Policy),
    merchant: Type.Optional(Policy),
    customer: Type.Optional(Policy),
  },
  { ...strict, description: "settings of every node of a role; a node's own go before them" },
)

const Nats = Type.Object(
  {
    host: Type.Optional(
      Type.String({
        maxLength: 253,
        description: 'the name or address that the server listens on (default 127.0.0.1)',
      }),
    ),
    port: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 65_535, description: 'a port from 1 to 65535 (default: one that is free)' }),
    ),
    tls: Type.Optional(Type.Boolean({ description: 'true or false (default true); false is for loopback only' })),
    names: Type.Optional(
      Type.Array(Type.String({ maxLength: 253 }), {
        minItems: 1,
        maxItems: 16,
        description: 'a list of names and addresses by which nodes reach the server; the first goes into their files',
      }),
    ),
  },
  strict,
)

export const NetworkFile = Type.Object(
  {
    network: Type.String({ pattern: '^[a-z0-9-]{1,40}$', description: 'the name of the network' }),
    currency: CurrencyCode,
    nats: Type.Optional(Nats),
    policies: Type.Optional(RolePolicies),
    banks: Type.Array(Bank, { minItems: 1 }),
    realms: Type.Record(Type.String({ pattern: REALM_PATTERN }), Realm),
  },
  { ...strict, $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'A SEMOPS network' },
)
export type NetworkFile = Static<typeof NetworkFile>
export type NatsFile = Static<typeof Nats>
export type RealmFile = Static<typeof Realm>
export type CustomerFile = Static<typeof Customer>
export type MerchantFile = Static<typeof Merchant>
