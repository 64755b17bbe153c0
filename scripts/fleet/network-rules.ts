/** What a schema cannot say of a network file: references, uniqueness, exactly one settlement bank, amounts of the currency. */
import { parseAmount, type Currency } from '../../protocol/amount.ts'
import { isAccountId, isNodeId, payeeToken, realmOf } from '../../protocol/ids.ts'
import { isLoopback } from '../../bus/loopback.ts'
import { isHostName, isWildcard } from '../../bus/tls-authority.ts'
import { mergePolicies } from './merge-policies.ts'
import type { Complaint } from './complaint.ts'
import { policyComplaints } from './policy-rules.ts'
import type { CustomerFile, MerchantFile, NatsFile, NetworkFile, RealmFile } from './network-schema.ts'

/** `/realms/hu/cpps/0/id` → `realms.hu.cpps[1].id`: people count from one. */
export const readable = (pointer: string): string =>
  pointer
    .split('/')
    .slice(1)
    .map((step) => (/^\d+$/.test(step) ? `[${Number(step) + 1}]` : `.${step}`))
    .join('')
    .replace(/^\./, '')

/** Hosts that the plan makes are named `<realm>-shops-1`, `<realm>-wallets-1`, `<realm>-dc-1`. */
export const MADE_HOST = /^[a-z0-9]{2,8}-((shops|wallets|dc)-\d+|dc)$/

type Rules = {
  readonly file: NetworkFile
  readonly complain: (pointer: string, message: string) => void
  readonly unique: (space: string, id: string, pointer: string) => void
  readonly bank: (id: string, pointer: string) => void
  /** Of the network's currency unless said otherwise. */
  readonly amount: (text: string | undefined, pointer: string, currency?: Currency) => void
}

/** Everything wrong with a file that has the right form, in the order of the file. */
export const complaints = (file: NetworkFile): readonly Complaint[] => {
  const found: Complaint[] = []
  const complain = (pointer: string, message: string): void => void found.push({ pointer, message })
  const banks = new Set(file.banks.map((bank) => bank.id))
  const seen = new Map<string, string>()
  const rules: Rules = {
    file,
    complain,
    unique: (space, id, pointer) => {
      const before = seen.get(`${space} ${id}`)
      if (before === undefined) seen.set(`${space} ${id}`, pointer)
      else complain(pointer, `${id} is used already, at ${readable(before)}`)
    },
    bank: (id, pointer) => {
      if (!banks.has(id)) complain(pointer, `no bank ${id}; the banks are ${[...banks].join(', ')}`)
    },
    amount: (text, pointer, currency = file.currency) => {
      if (text === undefined || /^0+(\.0+)?$/.test(text)) return
      const parsed = parseAmount(text, currency)
      if (!parsed.ok) complain(pointer, `${text} ${currency} is ${parsed.problem}`)
    },
  }
  checkNats(complain, file.nats ?? {})
  checkBanks(rules)
  for (const [realm, section] of Object.entries(file.realms)) checkProcessors(rules, realm, section)
  const cpps = new Set(Object.values(file.realms).flatMap((section) => section.cpps.map((cpp) => cpp.id)))
  for (const [realm, section] of Object.entries(file.realms)) {
    section.merchants.forEach((merchant, i) =>
      checkMerchant(rules, realm, section, merchant, `/realms/${realm}/merchants/${i}`),
    )
    section.customers.forEach((customer, i) =>
      checkCustomer(rules, realm, section, customer, `/realms/${realm}/customers/${i}`, cpps),
    )
  }
  found.push(...policyComplaints(file))
  return found
}

/** A server that others than this machine can reach has TLS, and a name that its certificate can carry. */
const checkNats = (complain: Rules['complain'], { host = '127.0.0.1', tls = true, names }: NatsFile): void => {
  const wildcard = isWildcard(host)
  if (!wildcard && !isHostName(host)) complain('/nats/host', `${host} is no host name or address`)
  else if (!tls && !isLoopback(host))
    complain('/nats/tls', `refusing to listen on ${host || 'every interface'} without TLS: leave tls out, or host`)
  else if (wildcard && names === undefined)
    complain(
      '/nats/host',
      `${host || 'every interface'} is nothing to connect to: give names:, by which nodes reach it`,
    )
  names?.forEach((name, i) => {
    if (!isHostName(name)) complain(`/nats/names/${i}`, `${name} is no host name or address`)
    else if (!tls && !isLoopback(name))
      complain('/nats/tls', `nodes are not to reach ${name} without TLS: leave tls out, or the name`)
  })
}

const checkHost = ({ complain, unique }: Rules, id: string, pointer: string): void => {
  unique('host', id, pointer)
  if (MADE_HOST.test(id)) complain(pointer, `${id} is a name that the fleet gives itself`)
}

const checkBanks = (rules: Rules): void => {
  const { file, complain } = rules
  const settlementBanks = file.banks.filter((bank) => bank.settlement === true)
  if (file.banks.length > 1 && settlementBanks.length !== 1)
    complain('/banks', `exactly one bank must have settlement: true, ${settlementBanks.length} have`)
  file.banks.forEach((bank, i) => {
    const pointer = `/banks/${i}/id`
    checkHost(rules, bank.id, pointer)
    if (file.realms[realmOf(bank.id)] === undefined)
      complain(pointer, `no realm ${realmOf(bank.id)}: a bank's credential is kept by the data centers of its realm`)
  })
}

const checkProcessors = (rules: Rules, realm: string, section: RealmFile): void => {
  for (const list of ['cpps', 'mpps'] as const)
    section[list].forEach((processor, i) => {
      const at = `/realms/${realm}/${list}/${i}`
      checkHost(rules, processor.id, `${at}/id`)
      if (realmOf(processor.id) !== realm)
        rules.complain(`${at}/id`, `${processor.id} is not of realm ${realm}: its id must begin with ${realm}-`)
      rules.bank(processor.bank, `${at}/bank`)
      rules.amount(processor.balance, `${at}/balance`)
    })
}

/** The names that an entry stands for: its own, or as many as it counts. */
const namesOf = (
  { complain }: Rules,
  own: string | undefined,
  { pattern, count }: { readonly pattern?: string; readonly count?: number },
  pointer: string,
  form: string,
): readonly string[] => {
  if ((own === undefined) === (pattern === undefined)) complain(pointer, `give either ${form}, or pattern: with count:`)
  if ((pattern === undefined) !== (count === undefined)) complain(pointer, 'pattern: and count: go together')
  if (own !== undefined) return [own]
  return Array.from({ length: count ?? 0 }, (_, i) => (pattern ?? '').replace('{n}', String(i + 1)))
}

const checkMerchant = (rules: Rules, realm: string, section: RealmFile, merchant: MerchantFile, at: string): void => {
  const { complain } = rules
  const where = merchant.payee === undefined ? `${at}/pattern` : `${at}/payee`
  const names = namesOf(rules, merchant.payee, merchant, at, 'payee: name@realm')
  for (const name of names) {
    const address = name.includes('@') ? name : `${name}@${realm}`
    const token = payeeToken(address)
    if (token === undefined || realmOf(token) !== realm) {
      complain(where, `${address} is not of realm ${realm}`)
      break
    }
    if (!isAccountId(`${merchant.bank}:payee-${token}`)) {
      complain(where, `${address} is too long: it also names a bank account`)
      break
    }
    rules.unique('payee', token, where)
  }
  rules.bank(merchant.bank, `${at}/bank`)
  if (merchant.mpp !== undefined && !section.mpps.some((mpp) => mpp.id === merchant.mpp))
    complain(
      `${at}/mpp`,
      `no MPP ${merchant.mpp} in realm ${realm}: its data centers route to the payees of its own MPPs`,
    )
  if (merchant.mpp === undefined && section.mpps.length === 0) complain(at, `realm ${realm} has no MPP for it`)
  for (const [item, price] of Object.entries(merchant.catalogue ?? {})) rules.amount(price, `${at}/catalogue/${item}`)
  if (merchant.approval?.rule === 'reject-over') rules.amount(merchant.approval.amount, `${at}/approval/amount`)
}

/** An account in another currency than the network's pays by a rate of each of its CPPs. */
const checkExchange = (
  { file, complain }: Rules,
  section: RealmFile,
  customer: CustomerFile,
  pointer: string,
): void => {
  const { currency = file.currency } = customer
  if (currency === file.currency) return
  const pair = `${file.currency} ${currency}`
  for (const id of customer.cpps ?? section.cpps.slice(0, 1).map((cpp) => cpp.id)) {
    const cpp = Object.values(file.realms)
      .flatMap(({ cpps }) => cpps)
      .find((one) => one.id === id)
    const fx = mergePolicies(file.policies?.cpp ?? {}, cpp?.policy ?? {})['fx'] as
      { readonly rates?: object } | undefined
    if (cpp !== undefined && !Object.hasOwn(fx?.rates ?? {}, pair))
      complain(
        pointer,
        `${id} exchanges no ${pair}: give policies.cpp.fx, or a policy of its own, with rates: { ${pair}: … }`,
      )
  }
}

const checkCustomer = (
  rules: Rules,
  realm: string,
  section: RealmFile,
  customer: CustomerFile,
  at: string,
  cpps: ReadonlySet<string>,
): void => {
  const { complain } = rules
  const where = customer.id === undefined ? `${at}/pattern` : `${at}/id`
  for (const id of namesOf(rules, customer.id, customer, at, 'id:')) {
    if (!isNodeId(id) || realmOf(id) !== realm) {
      complain(where, `${id} is not of realm ${realm}: it must begin with ${realm}-`)
      break
    }
    if (!isAccountId(`${customer.bank}:cust-${id}`)) {
      complain(where, `${id} is too long: it also names a bank account`)
      break
    }
    rules.unique('customer', id, where)
  }
  rules.bank(customer.bank, `${at}/bank`)
  rules.amount(customer.balance, `${at}/balance`, customer.currency)
  checkExchange(rules, section, customer, `${at}/currency`)
  customer.cpps?.forEach((cpp, i) => {
    if (!cpps.has(cpp)) complain(`${at}/cpps/${i}`, `no CPP ${cpp}; the CPPs are ${[...cpps].join(', ')}`)
  })
  const first = customer.cpps?.[0] ?? section.cpps[0]?.id
  if (first === undefined) complain(at, `realm ${realm} has no CPP for it`)
  if (customer.alias === undefined) return
  if (customer.pattern !== undefined)
    complain(`${at}/alias`, "an alias is one customer's: it cannot stand beside pattern:")
  // Customers' ids and aliases are told apart by nothing but themselves.
  rules.unique('customer', customer.alias, `${at}/alias`)
  if (first !== undefined && realmOf(customer.alias) !== realmOf(first))
    complain(`${at}/alias`, `an alias at ${first} must begin with ${realmOf(first)}-`)
}
