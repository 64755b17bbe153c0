/**
 * `network.yaml`: what it may say, and what is wrong with it, line by line. Everything that a person may write is in
 * {@link NetworkFile}, from which the published JSON Schema is made; `plan.ts` turns a checked file into processes.
 */
import { readFile } from 'node:fs/promises'
import { Type, type Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { LineCounter, parseDocument, isMap, isSeq, isScalar, type Document } from 'yaml'
import { CURRENCY_CODES, isCurrency, parseAmount, type Currency } from '../../protocol/amount.ts'
import { NODE_ID_PATTERN, REALM_PATTERN, dataCenterAddress, payeeToken, realmOf } from '../../protocol/ids.ts'

const strict = { additionalProperties: false } as const
const NodeId = Type.String({ pattern: NODE_ID_PATTERN, description: '<realm>-<name>' })
const Amount = Type.String({
  pattern: '^\\d{1,15}(\\.\\d{1,9})?$',
  description: 'decimal text in quotes, such as "1.20"',
})
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
const Approval = Type.Union([
  Type.Object(
    { rule: Type.Union([Type.Literal('approve'), Type.Literal('reject-all'), Type.Literal('silent')]) },
    strict,
  ),
  Type.Object({ rule: Type.Literal('reject-over'), amount: Amount }, strict),
])
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

export const NetworkFile = Type.Object(
  {
    network: Type.String({ pattern: '^[a-z0-9-]{1,40}$', description: 'the name of the network' }),
    currency: Type.Unsafe<Currency>(Type.String({ enum: [...CURRENCY_CODES] })),
    banks: Type.Array(Bank, { minItems: 1 }),
    realms: Type.Record(Type.String({ pattern: REALM_PATTERN }), Realm),
  },
  { ...strict, $schema: 'https://json-schema.org/draft/2020-12/schema', title: 'A SEMOPS network' },
)
export type NetworkFile = Static<typeof NetworkFile>
export type RealmFile = Static<typeof Realm>
export type CustomerFile = Static<typeof Customer>
export type MerchantFile = Static<typeof Merchant>

export type NetworkProblem = { readonly line: number; readonly path: string; readonly message: string }

export class NetworkFileError extends Error {
  readonly file: string
  readonly problems: readonly NetworkProblem[]
  constructor(file: string, problems: readonly NetworkProblem[]) {
    const first = problems[0]
    super(
      `${file}${first === undefined ? '' : `:${first.line}: ${first.path === '' ? '' : `${first.path}: `}${first.message}`}` +
        (problems.length > 1 ? ` (and ${problems.length - 1} more)` : ''),
    )
    this.name = 'NetworkFileError'
    this.file = file
    this.problems = problems
  }
}

/** JSON pointer → line, walking the document as far as the path exists. */
const lineOf = (document: Document, lines: LineCounter, pointer: string): number => {
  let node: unknown = document.contents
  let offset = 0
  for (const step of pointer.split('/').slice(1)) {
    let next: unknown
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === step)
      if (pair === undefined) break
      offset = (pair.key as { range?: [number, number, number] }).range?.[0] ?? offset
      next = pair.value
    } else if (isSeq(node)) next = node.items[Number(step)]
    if (next === undefined || next === null) break
    offset = (next as { range?: [number, number, number] }).range?.[0] ?? offset
    node = next
  }
  return lines.linePos(offset).line
}

const readable = (pointer: string): string =>
  pointer
    .split('/')
    .slice(1)
    .map((step) => (/^\d+$/.test(step) ? `[${Number(step) + 1}]` : `.${step}`))
    .join('')
    .replace(/^\./, '')

type Complaint = { readonly pointer: string; readonly message: string }

/** What a schema cannot say: references, uniqueness, exactly one settlement bank, amounts of the currency. */
const complaints = (file: NetworkFile): readonly Complaint[] => {
  const found: Complaint[] = []
  const complain = (pointer: string, message: string): void => void found.push({ pointer, message })
  const banks = new Set(file.banks.map((bank) => bank.id))
  const seen = new Map<string, string>()
  const unique = (id: string, pointer: string): void => {
    const before = seen.get(id)
    if (before === undefined) seen.set(id, pointer)
    else complain(pointer, `the id ${id} is used already, at ${readable(before)}`)
  }
  const bankExists = (id: string, pointer: string): void => {
    if (!banks.has(id)) complain(pointer, `no bank ${id}; the banks are ${[...banks].join(', ')}`)
  }
  const amount = (text: string | undefined, pointer: string): void => {
    if (text === undefined) return
    const parsed = parseAmount(text, file.currency)
    if (!parsed.ok && !/^0+(\.0+)?$/.test(text)) complain(pointer, `${text} ${file.currency} is ${parsed.problem}`)
  }
  const settlementBanks = file.banks.filter((bank) => bank.settlement === true)
  if (file.banks.length > 1 && settlementBanks.length !== 1)
    complain('/banks', `exactly one bank must have settlement: true, ${settlementBanks.length} have`)
  file.banks.forEach((bank, i) => {
    unique(bank.id, `/banks/${i}/id`)
    if (file.realms[realmOf(bank.id)] === undefined)
      complain(
        `/banks/${i}/id`,
        `no realm ${realmOf(bank.id)}: a bank's credential is kept by the data centers of its realm`,
      )
  })

  const cpps = new Set<string>()
  const mpps = new Set<string>()
  for (const [realm, section] of Object.entries(file.realms)) {
    const at = `/realms/${realm}`
    const inRealm = (id: string, pointer: string): void => {
      if (realmOf(id) !== realm) complain(pointer, `${id} is not of realm ${realm}: its id must begin with ${realm}-`)
      if (id === dataCenterAddress(realm)) complain(pointer, `${id} is the address of the realm's data centers`)
    }
    for (const [kind, list, all] of [
      ['cpps', section.cpps, cpps],
      ['mpps', section.mpps, mpps],
    ] as const)
      list.forEach((processor, i) => {
        unique(processor.id, `${at}/${kind}/${i}/id`)
        inRealm(processor.id, `${at}/${kind}/${i}/id`)
        bankExists(processor.bank, `${at}/${kind}/${i}/bank`)
        amount(processor.balance, `${at}/${kind}/${i}/balance`)
        all.add(processor.id)
      })
  }
  for (const [realm, section] of Object.entries(file.realms)) {
    const at = `/realms/${realm}`
    section.merchants.forEach((merchant, i) => {
      const pointer = `${at}/merchants/${i}`
      if ((merchant.payee === undefined) === (merchant.pattern === undefined))
        complain(pointer, 'give either payee: name@realm, or pattern: with count:')
      if ((merchant.pattern === undefined) !== (merchant.count === undefined))
        complain(pointer, 'pattern: and count: go together')
      if (merchant.payee !== undefined) {
        const token = payeeToken(merchant.payee)
        if (token === undefined || realmOf(token) !== realm)
          complain(`${pointer}/payee`, `${merchant.payee} is not of realm ${realm}`)
        else unique(`payee ${token}`, `${pointer}/payee`)
      }
      bankExists(merchant.bank, `${pointer}/bank`)
      if (merchant.mpp !== undefined && !mpps.has(merchant.mpp)) complain(`${pointer}/mpp`, `no MPP ${merchant.mpp}`)
      if (merchant.mpp === undefined && section.mpps.length === 0) complain(pointer, `realm ${realm} has no MPP for it`)
      for (const [item, price] of Object.entries(merchant.catalogue ?? {}))
        amount(price, `${pointer}/catalogue/${item}`)
      if (merchant.approval?.rule === 'reject-over') amount(merchant.approval.amount, `${pointer}/approval/amount`)
    })
    section.customers.forEach((customer, i) => {
      const pointer = `${at}/customers/${i}`
      if ((customer.id === undefined) === (customer.pattern === undefined))
        complain(pointer, 'give either id:, or pattern: with count:')
      if ((customer.pattern === undefined) !== (customer.count === undefined))
        complain(pointer, 'pattern: and count: go together')
      if (customer.id !== undefined) {
        unique(`customer ${customer.id}`, `${pointer}/id`)
        if (realmOf(customer.id) !== realm) complain(`${pointer}/id`, `${customer.id} is not of realm ${realm}`)
      }
      if (customer.alias !== undefined) unique(`alias ${customer.alias}`, `${pointer}/alias`)
      bankExists(customer.bank, `${pointer}/bank`)
      amount(customer.balance, `${pointer}/balance`)
      for (const cpp of customer.cpps ?? [])
        if (!cpps.has(cpp)) complain(`${pointer}/cpps`, `no CPP ${cpp}; the CPPs are ${[...cpps].join(', ')}`)
      if (customer.cpps === undefined && section.cpps.length === 0)
        complain(pointer, `realm ${realm} has no CPP for it`)
    })
  }
  return found
}

/** Checks a file's text. @throws NetworkFileError with every problem and its line. */
export const parseNetwork = (text: string, file: string): NetworkFile => {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true })
  if (document.errors.length > 0)
    throw new NetworkFileError(
      file,
      document.errors.map((error) => ({
        line: error.linePos?.[0].line ?? 1,
        path: '',
        message: (error.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, ''),
      })),
    )
  const value: unknown = document.toJS()
  const at = (complaint: Complaint): NetworkProblem => ({
    line: lineOf(document, lines, complaint.pointer),
    path: readable(complaint.pointer),
    message: complaint.message,
  })
  if (!Value.Check(NetworkFile, value)) {
    const problems = [...Value.Errors(NetworkFile, value)].map((error) => ({
      pointer: error.path,
      message:
        error.message === 'Unexpected property'
          ? 'no such setting'
          : error.schema.description !== undefined
            ? `expected ${error.schema.description}`
            : error.message,
    }))
    // The most specific complaint of a place says the most.
    throw new NetworkFileError(
      file,
      problems.filter((p, i) => problems.findIndex((q) => q.pointer === p.pointer) === i).map(at),
    )
  }
  const found = complaints(value)
  if (found.length > 0) throw new NetworkFileError(file, found.map(at))
  if (!isCurrency(value.currency))
    throw new NetworkFileError(file, [{ line: 1, path: 'currency', message: 'unknown currency' }])
  return value
}

export const readNetwork = async (file: string): Promise<NetworkFile> =>
  parseNetwork(await readFile(file, 'utf8'), file)
