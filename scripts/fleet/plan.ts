/**
 * A checked network file as what must exist: host processes, bank accounts, payees, customers. Pure, and the same for the
 * same file, so that `down` and `up` find the same network again.
 */
import { CURRENCIES, parseAmount, type Currency } from '../../protocol/amount.ts'
import { bankOf, dataCenterAddress, payeeToken, realmOf, type Role } from '../../protocol/ids.ts'
import type { PayeeKind } from '../../protocol/messages/enrolment.ts'
import { mergePolicies, type PlainPolicy } from './merge-policies.ts'
import type { CustomerFile, MerchantFile, NetworkFile, RealmFile } from './network-schema.ts'

export type HostRole = Extract<Role, 'customer' | 'merchant' | 'cpp' | 'mpp' | 'bank' | 'dc'>
/** Started in this order, each wave when the one before serves: a host serves once those of earlier waves know it. */
export const WAVES: readonly (readonly HostRole[])[] = [['dc'], ['bank'], ['cpp', 'mpp'], ['merchant', 'customer']]

export type HostPlan = {
  readonly id: string
  readonly role: HostRole
  readonly realm: string
  readonly operatorId: string
  /** Of the processor that certifies a wallet or merchant host: one chain each. */
  readonly certifiedBy: readonly string[]
  /** A processor's own account at its bank, in the network's currency. */
  readonly account: string | undefined
  /** All of them: a CPP has one in each currency of its customers. */
  readonly accounts: Readonly<Partial<Record<Currency, string>>>
  /** What the network file says of its role, then of it. */
  readonly policy: Readonly<Record<string, unknown>>
}
export type AccountPlan = {
  readonly account: string
  readonly bank: string
  readonly currency: Currency
  /** Processors' accounts: orders of the operator's hosts need no mandate. */
  readonly operatorId: string | undefined
  readonly holderHost: { readonly role: HostRole; readonly host: string } | undefined
  /** Other hosts of its operator, which are told of the same bookings. */
  readonly alsoTold?: readonly { readonly role: HostRole; readonly host: string }[]
  readonly balanceMinor: bigint
}
export type PayeePlan = {
  readonly payee: string
  readonly kind: PayeeKind
  readonly displayName: string
  readonly mpp: string
  readonly host: string
  readonly account: string
  readonly catalogue: Readonly<Record<string, bigint>>
  readonly approval:
    | { readonly rule: 'approve' | 'reject-all' | 'silent' }
    | { readonly rule: 'reject-over'; readonly limitMinor: bigint }
}
export type CustomerPlan = {
  readonly customer: string
  readonly kind: 'person' | 'business'
  readonly host: string
  readonly cpps: readonly string[]
  readonly account: string
  readonly currency: Currency
  readonly alias: string | undefined
}
/** The broker: what it listens on, and the names that nodes reach it by, the first of which goes into their files. */
export type NatsPlan = {
  readonly host: string
  /** Undefined: any that is free, and the same again at the next start. */
  readonly port: number | undefined
  readonly tls: boolean
  readonly names: readonly [string, ...string[]]
}
export type Plan = {
  readonly network: string
  readonly nats: NatsPlan
  readonly currency: Currency
  readonly settlementBank: string
  readonly hosts: readonly HostPlan[]
  readonly accounts: readonly AccountPlan[]
  readonly payees: readonly PayeePlan[]
  readonly customers: readonly CustomerPlan[]
  readonly realms: readonly string[]
}

/** Balances where the file gives none, in multiples of the scheme's M: 500.00 and 10000.00 where M is 10.00. */
const DEFAULT_CUSTOMER_BALANCE_IN_M = 50n
const DEFAULT_PROCESSOR_BALANCE_IN_M = 1_000n

const balanceOf = (text: string | undefined, inM: bigint, currency: Currency): bigint =>
  text === undefined ? inM * CURRENCIES[currency].macroFromMinor : minor(text, currency)

const minor = (text: string, currency: Currency): bigint => {
  const parsed = parseAmount(text, currency)
  return parsed.ok ? parsed.amountMinor : 0n
}

const expand = <T extends { readonly pattern?: string; readonly count?: number }>(
  entries: readonly T[],
  name: (entry: T, pattern: string) => T,
): readonly T[] =>
  entries.flatMap((entry) =>
    entry.pattern === undefined
      ? [entry]
      : Array.from({ length: entry.count ?? 0 }, (_, i) =>
          name(entry, (entry.pattern as string).replace('{n}', String(i + 1))),
        ),
  )

const spread = (index: number, hosts: readonly string[]): string => hosts[index % hosts.length] as string
const numbered = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}-${i + 1}`)
/** Hosts that carry customers or payees: no more than there are, since nobody certifies one that carries none. */
const carriers = (
  prefix: string,
  wanted: number | undefined,
  entries: readonly { readonly count?: number }[],
): readonly string[] =>
  numbered(
    prefix,
    Math.min(
      wanted ?? 1,
      entries.reduce((sum, { count }) => sum + (count ?? 1), 0),
    ),
  )
const titled = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1).replaceAll('-', ' ')
const sorted = (ids: readonly string[]): readonly string[] => [...new Set(ids)].toSorted()

export const planNetwork = (file: NetworkFile): Plan => {
  const parts = Object.entries(file.realms).map(([realm, section]) => planRealm(file, realm, section))
  const accounts = new Map<string, AccountPlan>()
  // Hosts of one operator share its account, and all of them hear of its bookings.
  for (const account of parts.flatMap((part) => part.accounts)) {
    const { alsoTold = [], holderHost } = accounts.get(account.account) ?? {}
    const others = holderHost === undefined ? [] : [...alsoTold, holderHost]
    accounts.set(account.account, others.length === 0 ? account : { ...account, alsoTold: others })
  }
  const settlementBank = file.banks.find((bank) => bank.settlement === true) ?? file.banks[0]
  return {
    network: file.network,
    nats: planNats(file),
    currency: file.currency,
    settlementBank: (settlementBank as { id: string }).id,
    hosts: [
      ...file.banks.map((bank) => hostPlan(file, 'bank', realmOf(bank.id), bank.id, { policy: bank.policy })),
      ...parts.flatMap((part) => part.hosts),
    ],
    accounts: [...accounts.values()],
    payees: parts.flatMap((part) => part.payees),
    customers: parts.flatMap((part) => part.customers),
    realms: Object.keys(file.realms),
  }
}

const planNats = ({ nats: { host = '127.0.0.1', port, tls = true, names = [] } = {} }: NetworkFile): NatsPlan => {
  const [first = host, ...others] = names
  return { host, port, tls, names: [first, ...others] }
}

/** The server's URL, as nodes are given it. */
export const natsUrl = ({ tls, names: [name] }: NatsPlan, port: number): string =>
  `${tls ? 'tls' : 'nats'}://${name.includes(':') ? `[${name}]` : name}:${port}`

type HostOptions = {
  readonly operatorId?: string | undefined
  readonly certifiedBy?: readonly string[]
  readonly accounts?: Readonly<Partial<Record<Currency, string>>>
  readonly policy?: PlainPolicy | undefined
}
const hostPlan = (
  file: NetworkFile,
  role: HostRole,
  realm: string,
  id: string,
  { operatorId = id, certifiedBy = [], accounts = {}, policy }: HostOptions = {},
): HostPlan => ({
  id,
  role,
  realm,
  operatorId,
  certifiedBy,
  account: accounts[file.currency],
  accounts,
  policy: mergePolicies(file.policies?.[role] ?? {}, policy ?? {}),
})

type RealmPlan = Pick<Plan, 'hosts' | 'accounts' | 'payees' | 'customers'>

const planRealm = (file: NetworkFile, realm: string, section: RealmFile): RealmPlan => {
  const dataCenters = numbered(dataCenterAddress(realm), section.dataCenters ?? 1)
  const processors = planProcessors(file, realm, section)
  const merchants = planMerchants(file, realm, section)
  const customers = planCustomers(file, realm, section)
  return {
    hosts: [
      ...dataCenters.map((id) => hostPlan(file, 'dc', realm, id, { operatorId: dataCenterAddress(realm) })),
      ...processors.hosts,
      ...merchants.hosts,
      ...customers.hosts,
    ],
    accounts: [...processors.accounts, ...merchants.accounts, ...customers.accounts],
    payees: merchants.payees,
    customers: customers.customers,
  }
}

const planProcessors = (file: NetworkFile, realm: string, { cpps, mpps }: RealmFile) => {
  const list = [
    ...cpps.map((cpp) => ({ role: 'cpp', ...cpp }) as const),
    ...mpps.map((mpp) => ({ role: 'mpp', ...mpp }) as const),
  ].map((processor) => {
    const operatorId = processor.operator ?? processor.id
    const own = `${processor.bank}:${operatorId}`
    const accounts: Partial<Record<Currency, string>> = { [file.currency]: own }
    if (processor.role === 'cpp')
      for (const currency of currenciesOf(file, processor.id)) accounts[currency] ??= `${own}-${currency.toLowerCase()}`
    return { ...processor, operatorId, accounts }
  })
  return {
    hosts: list.map(({ role, id, operatorId, accounts, policy }) =>
      hostPlan(file, role, realm, id, { operatorId, accounts, policy }),
    ),
    accounts: list.flatMap(({ role, id, bank, operatorId, accounts, balance }) =>
      (Object.entries(accounts) as [Currency, string][]).map(([currency, account]): AccountPlan => ({
        account,
        bank,
        currency,
        operatorId,
        holderHost: { role, host: id },
        balanceMinor: balanceOf(
          currency === file.currency ? balance : undefined,
          DEFAULT_PROCESSOR_BALANCE_IN_M,
          currency,
        ),
      })),
    ),
  }
}

/** Of the accounts that a CPP's customers, of any realm, pay from. */
const currenciesOf = (file: NetworkFile, cpp: string): readonly Currency[] =>
  Object.values(file.realms).flatMap(({ cpps, customers }) =>
    customers
      .filter((customer) => (customer.cpps ?? [cpps[0]?.id]).includes(cpp))
      .map(({ currency }) => currency ?? file.currency),
  )

const planMerchants = (file: NetworkFile, realm: string, section: RealmFile) => {
  const hosts = carriers(`${realm}-shops`, section.merchantHosts, section.merchants)
  const merchants = expand<MerchantFile>(section.merchants, (entry, payee) => ({ ...entry, payee })).map(
    (merchant, i): PayeePlan => {
      const name = merchant.payee as string
      const payee = payeeToken(name.includes('@') ? name : `${name}@${realm}`) as string
      return {
        payee,
        kind: merchant.kind ?? 'shop',
        displayName: titled(payee.slice(realm.length + 1)),
        mpp: merchant.mpp ?? (section.mpps[0] as { id: string }).id,
        host: spread(i, hosts),
        account: `${merchant.bank}:payee-${payee}`,
        catalogue: Object.fromEntries(
          Object.entries(merchant.catalogue ?? {}).map(([item, price]) => [item, minor(price, file.currency)]),
        ),
        approval: approvalOf(merchant, file),
      }
    },
  )
  return {
    payees: merchants,
    accounts: merchants.map(({ account, host }): AccountPlan => ({
      account,
      bank: bankOf(account),
      currency: file.currency,
      operatorId: undefined,
      holderHost: { role: 'merchant', host },
      balanceMinor: 0n,
    })),
    hosts: hosts.map((id) =>
      hostPlan(file, 'merchant', realm, id, {
        certifiedBy: sorted(merchants.filter(({ host }) => host === id).map(({ mpp }) => mpp)),
      }),
    ),
  }
}

const approvalOf = ({ approval }: MerchantFile, { currency }: NetworkFile): PayeePlan['approval'] => {
  if (approval === undefined) return { rule: 'approve' }
  if (approval.rule !== 'reject-over') return { rule: approval.rule }
  return { rule: 'reject-over', limitMinor: minor(approval.amount, currency) }
}

const planCustomers = (file: NetworkFile, realm: string, section: RealmFile) => {
  const hosts = carriers(`${realm}-wallets`, section.walletHosts, section.customers)
  const people = expand<CustomerFile>(section.customers, (entry, id) => ({ ...entry, id }))
  const customers = people.map((person, i): CustomerPlan => ({
    customer: person.id as string,
    kind: person.kind ?? 'person',
    host: spread(i, hosts),
    cpps: person.cpps ?? [(section.cpps[0] as { id: string }).id],
    account: `${person.bank}:cust-${person.id}`,
    currency: person.currency ?? file.currency,
    alias: person.alias,
  }))
  return {
    customers,
    accounts: people.map((person): AccountPlan => ({
      account: `${person.bank}:cust-${person.id}`,
      bank: person.bank,
      currency: person.currency ?? file.currency,
      operatorId: undefined,
      holderHost: undefined,
      balanceMinor: balanceOf(person.balance, DEFAULT_CUSTOMER_BALANCE_IN_M, person.currency ?? file.currency),
    })),
    hosts: hosts.map((id) =>
      hostPlan(file, 'customer', realm, id, {
        certifiedBy: sorted(customers.filter(({ host }) => host === id).flatMap(({ cpps }) => cpps)),
      }),
    ),
  }
}
