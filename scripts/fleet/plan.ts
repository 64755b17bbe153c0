/**
 * A checked network file as what must exist: host processes, bank accounts, payees, customers. Pure, and the same for the
 * same file, so that `down` and `up` find the same network again.
 */
import { parseAmount, type Currency } from '../../protocol/amount.ts'
import { dataCenterAddress, payeeToken, type Role } from '../../protocol/ids.ts'
import type { PayeeKind } from '../../protocol/messages/enrolment.ts'
import type { CustomerFile, MerchantFile, NetworkFile } from './network.ts'

export type HostRole = Extract<Role, 'customer' | 'merchant' | 'cpp' | 'mpp' | 'bank' | 'dc'>
/** Started in this order, each wave when the one before is ready: who is asked first comes first. */
export const WAVES: readonly (readonly HostRole[])[] = [
  ['dc', 'bank'],
  ['cpp', 'mpp'],
  ['merchant', 'customer'],
]

export type HostPlan = {
  readonly id: string
  readonly role: HostRole
  readonly realm: string
  readonly operatorId: string
  /** Of the processor that certifies a wallet or merchant host: one chain each. */
  readonly certifiedBy: readonly string[]
  readonly policy: Readonly<Record<string, unknown>>
}
export type AccountPlan = {
  readonly account: string
  readonly bank: string
  /** Processors' accounts: orders of the operator's hosts need no mandate. */
  readonly operatorId: string | undefined
  readonly holderHost: { readonly role: HostRole; readonly host: string } | undefined
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
    | { readonly rule: 'reject-over'; readonly amountMinor: bigint }
}
export type CustomerPlan = {
  readonly customer: string
  readonly kind: 'person' | 'business'
  readonly host: string
  readonly cpps: readonly string[]
  readonly account: string
  readonly alias: string | undefined
}
export type Plan = {
  readonly network: string
  readonly currency: Currency
  readonly settlementBank: string
  readonly hosts: readonly HostPlan[]
  readonly accounts: readonly AccountPlan[]
  readonly payees: readonly PayeePlan[]
  readonly customers: readonly CustomerPlan[]
  readonly realms: readonly string[]
}

const DEFAULT_CUSTOMER_BALANCE = '500.00'
const DEFAULT_PROCESSOR_BALANCE = '10000.00'

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
const titled = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1).replaceAll('-', ' ')

export const planNetwork = (file: NetworkFile): Plan => {
  const { currency } = file
  const hosts: HostPlan[] = []
  const accounts: AccountPlan[] = []
  const payees: PayeePlan[] = []
  const customers: CustomerPlan[] = []
  const realms = Object.keys(file.realms)
  const settlementBank = (file.banks.find((bank) => bank.settlement === true) ?? (file.banks[0] as { id: string })).id

  for (const bank of file.banks)
    hosts.push({
      id: bank.id,
      role: 'bank',
      realm: bank.id.slice(0, bank.id.indexOf('-')),
      operatorId: bank.id,
      certifiedBy: [],
      policy: bank.policy ?? {},
    })

  for (const [realm, section] of Object.entries(file.realms)) {
    const dataCenters = numbered(dataCenterAddress(realm), section.dataCenters ?? 1)
    for (const id of dataCenters)
      hosts.push({ id, role: 'dc', realm, operatorId: dataCenterAddress(realm), certifiedBy: [], policy: {} })

    for (const [role, list] of [
      ['cpp', section.cpps],
      ['mpp', section.mpps],
    ] as const)
      for (const processor of list) {
        const operatorId = processor.operator ?? processor.id
        hosts.push({ id: processor.id, role, realm, operatorId, certifiedBy: [], policy: processor.policy ?? {} })
        const account = `${processor.bank}:${operatorId}`
        if (!accounts.some((known) => known.account === account))
          accounts.push({
            account,
            bank: processor.bank,
            operatorId,
            holderHost: { role, host: processor.id },
            balanceMinor: minor(processor.balance ?? DEFAULT_PROCESSOR_BALANCE, currency),
          })
      }

    const shops = numbered(`${realm}-shops`, section.merchantHosts ?? 1)
    const merchants = expand<MerchantFile>(section.merchants, (entry, payee) => ({
      ...entry,
      payee: payee.includes('@') ? payee : `${payee}@${realm}`,
    }))
    merchants.forEach((merchant, i) => {
      const address = merchant.payee as string
      const payee = payeeToken(address) as string
      const host = spread(i, shops)
      const account = `${merchant.bank}:payee-${payee}`
      accounts.push({
        account,
        bank: merchant.bank,
        operatorId: undefined,
        holderHost: { role: 'merchant', host },
        balanceMinor: 0n,
      })
      const { approval } = merchant
      payees.push({
        payee,
        kind: merchant.kind ?? 'shop',
        displayName: titled(address.slice(0, address.indexOf('@'))),
        mpp: merchant.mpp ?? (section.mpps[0] as { id: string }).id,
        host,
        account,
        catalogue: Object.fromEntries(
          Object.entries(merchant.catalogue ?? {}).map(([item, price]) => [item, minor(price, currency)]),
        ),
        approval:
          approval === undefined
            ? { rule: 'approve' }
            : approval.rule === 'reject-over'
              ? { rule: 'reject-over', amountMinor: minor(approval.amount, currency) }
              : { rule: approval.rule },
      })
    })
    for (const id of shops)
      hosts.push({
        id,
        role: 'merchant',
        realm,
        operatorId: id,
        certifiedBy: certifiers(payees.filter((p) => p.host === id).map((p) => p.mpp)),
        policy: {},
      })

    const wallets = numbered(`${realm}-wallets`, section.walletHosts ?? 1)
    const people = expand<CustomerFile>(section.customers, (entry, id) => ({ ...entry, id }))
    people.forEach((person, i) => {
      const customer = person.id as string
      const account = `${person.bank}:cust-${customer}`
      accounts.push({
        account,
        bank: person.bank,
        operatorId: undefined,
        holderHost: undefined,
        balanceMinor: minor(person.balance ?? DEFAULT_CUSTOMER_BALANCE, currency),
      })
      customers.push({
        customer,
        kind: person.kind ?? 'person',
        host: spread(i, wallets),
        cpps: person.cpps ?? [(section.cpps[0] as { id: string }).id],
        account,
        alias: person.alias,
      })
    })
    for (const id of wallets)
      hosts.push({
        id,
        role: 'customer',
        realm,
        operatorId: id,
        certifiedBy: certifiers(customers.filter((c) => c.host === id).flatMap((c) => c.cpps)),
        policy: {},
      })
  }
  return { network: file.network, currency, settlementBank, hosts, accounts, payees, customers, realms }
}

const certifiers = (ids: readonly string[]): readonly string[] => [...new Set(ids)].toSorted()
