/**
 * Fills a network with what its file says: accounts at the banks, reserves at the settlement bank, payees, customers; and
 * after every start unlocks the wallets whose PINs the fleet knows. Invariant: what is there already is left as it is, so it
 * may be interrupted anywhere and run again.
 */
import { CURRENCIES, type Currency } from '../../protocol/amount.ts'
import { toHex } from '../../protocol/bytes.ts'
import { bankOf } from '../../protocol/ids.ts'
import type { BankReport } from '../../nodes/runtime/reports.ts'
import { reportFromJson } from '../../nodes/verify/from-json.ts'
import { eachBounded } from './concurrency.ts'
import type { FleetDirectory } from './directory.ts'
import { connectHost, type HostClient } from './host-client.ts'
import type { AccountPlan, CustomerPlan, PayeePlan, Plan } from './plan.ts'
import type { Provisioned } from './provision.ts'
import { customerMark, payeeMark } from './status.ts'
import type { Steps } from './state.ts'

/** Commands under way at one host. Each enrolment costs its host a scrypt, so more would only queue there. */
const AT_ONCE = 32
const HOSTS_AT_ONCE = 8
/** A customer's mandate bounds each single order of the CPP: this many times M. */
const MANDATE_IN_M = 10_000n
/** What each bank keeps at the settlement bank: this many times M. */
const RESERVE_IN_M = 10_000n

export type Bootstrap = {
  /** Everything of the plan. @throws Error naming what was refused and why */
  readonly all: (steps: Steps) => Promise<void>
  /** What one host carries, after it was started again. */
  readonly host: (id: string) => Promise<void>
  /** Lets what is under way end, and starts nothing more. */
  readonly stop: () => void
}

/** @param served gets a mark for each customer and payee that can pay and be paid, and loses it while that is not so */
export const bootstrap = (
  plan: Plan,
  directory: FleetDirectory,
  provisioned: Provisioned,
  served: Set<string>,
): Bootstrap => {
  const { currency } = plan
  const inM = (times: bigint, of: Currency): bigint => times * CURRENCIES[of].macroFromMinor
  const currencies = [...new Set(plan.accounts.map((one) => one.currency))]
  let stopped = false

  const withHost = async (id: string, act: (client: HostClient) => Promise<void>): Promise<void> => {
    if (stopped) throw new Error('the fleet is being stopped')
    const client = await connectHost(directory, id)
    try {
      await act(client)
    } finally {
      client.close()
    }
  }
  const each = <T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> =>
    eachBounded(items, AT_ONCE, async (item) => {
      if (stopped) throw new Error('the fleet is being stopped')
      await act(item)
    })

  const openAccounts = (bank: string, accounts: readonly AccountPlan[], advance: Advance): Promise<void> =>
    withHost(bank, async (client) => {
      const report = await bankReport(client)
      const open = new Set(report.accounts.map(({ account }) => account))
      await each(accounts, async ({ account, currency: of, balanceMinor, operatorId, holderHost, alsoTold }) => {
        if (!open.has(account))
          await client.command('open-account', {
            account,
            holderKey: toHex(provisioned.holderKey(account)),
            currency: of,
            balanceMinor: String(balanceMinor),
            ...(operatorId === undefined ? {} : { operatorId }),
            ...(holderHost === undefined ? {} : { holderHost }),
            ...(alsoTold === undefined ? {} : { alsoTold }),
          })
        advance(account)
      })
    })

  const fundReserves = (advance: Advance): Promise<void> =>
    withHost(plan.settlementBank, async (client) => {
      const { reserves } = await bankReport(client)
      const funded = new Set(
        reserves.filter((one) => one.fundedMinor > 0n).map(({ bank, currency: of }) => `${bank} ${of}`),
      )
      await each(otherBanks(plan), async (bank) => {
        for (const of of currencies)
          if (!funded.has(`${bank} ${of}`)) {
            const amountMinor = String(inM(RESERVE_IN_M, of))
            await client.command('fund-reserve', { bank, currency: of, amountMinor })
          }
        advance(bank)
      })
    })

  const enrolPayees = (host: string, payees: readonly PayeePlan[], advance: Advance): Promise<void> =>
    withHost(host, async (client) => {
      const { set } = await client.read<{ readonly set: boolean }>('refund-pin')
      if (!set) await client.command('set-refund-pin', { pin: provisioned.pin(host) })
      const known = await client.read<readonly KnownPayee[]>('payees')
      const enrolled = new Set(known.filter(({ state }) => state === 'enrolled').map(({ payee }) => payee))
      await each(payees, async (payee) => {
        if (!enrolled.has(payee.payee)) await client.command('enrol-payee', payeeArguments(payee))
        served.add(payeeMark(payee.payee))
        advance(payee.payee)
      })
    })
  const payeeArguments = ({ payee, kind, displayName, mpp, account, catalogue, approval }: PayeePlan) => ({
    payee,
    payeeKind: kind,
    displayName,
    mpp,
    account,
    currency,
    mandate: toHex(provisioned.mandate(account, operatorOf(plan, mpp), inM(MANDATE_IN_M, currency))),
    catalogue: Object.entries(catalogue).map(([item, price]) => ({ item, amountMinor: String(price) })),
    approval:
      approval.rule === 'reject-over' ? { rule: approval.rule, limitMinor: String(approval.limitMinor) } : approval,
  })

  const enrolCustomers = (host: string, customers: readonly CustomerPlan[], advance: Advance): Promise<void> =>
    withHost(host, async (client) => {
      for (const { customer } of customers) served.delete(customerMark(customer))
      const known = new Map(
        (await client.read<readonly KnownCustomer[]>('customers')).map((one) => [one.customer, one.enrolments]),
      )
      await each(customers, async (one) => {
        for (const cpp of one.cpps) {
          const there = known.get(one.customer)?.find((enrolment) => enrolment.cpp === cpp)
          await enrolCustomer(client, one, cpp, there)
        }
        served.add(customerMark(one.customer))
        advance(one.customer)
      })
    })
  const enrolCustomer = async (
    client: HostClient,
    { customer, account, currency: of, alias, cpps }: CustomerPlan,
    cpp: string,
    there: KnownEnrolment | undefined,
  ): Promise<void> => {
    // A lost device waits for its owner to bring another.
    if (
      there?.state === 'lost' ||
      there?.state === 'closed' ||
      (there?.unlocked === true && there.state === 'enrolled')
    )
      return
    const pin = provisioned.pin(customer)
    if (there?.state !== 'enrolled')
      await client.command('enrol', {
        customer,
        cpp,
        account,
        currency: of,
        pin,
        mandate: toHex(provisioned.mandate(account, operatorOf(plan, cpp), inM(MANDATE_IN_M, of))),
        // A public name leads to one processor: the first.
        ...(alias === undefined || cpp !== cpps[0] ? {} : { alias }),
      })
    // An enrolment that was under way before a restart ends without the key, which only memory held.
    if (there?.state === 'enrolled' || there?.state === 'enrolling')
      await client.command('unlock', { customer, cpp, pin })
  }

  const accountsAt = (bank: string) => plan.accounts.filter(({ account }) => bankOf(account) === bank)
  const payeesAt = (id: string) => plan.payees.filter(({ host }) => host === id)
  const customersAt = (id: string) => plan.customers.filter(({ host }) => host === id)
  const hostsOf = (role: 'bank' | 'merchant' | 'customer'): readonly string[] =>
    plan.hosts.filter((host) => host.role === role).map(({ id }) => id)

  return {
    all: async (steps) => {
      const banks = hostsOf('bank')
      steps.step('accounts', plan.accounts.length)
      await eachBounded(banks, HOSTS_AT_ONCE, (bank) => openAccounts(bank, accountsAt(bank), steps.advance))
      steps.done()
      if (banks.length > 1 && banks.includes(plan.settlementBank)) {
        steps.step('reserves', banks.length - 1)
        await fundReserves(steps.advance)
        steps.done()
      }
      steps.step('merchants', plan.payees.length)
      await eachBounded(hostsOf('merchant'), HOSTS_AT_ONCE, (id) => enrolPayees(id, payeesAt(id), steps.advance))
      steps.done()
      steps.step('customers', plan.customers.length)
      await eachBounded(hostsOf('customer'), HOSTS_AT_ONCE, (id) => enrolCustomers(id, customersAt(id), steps.advance))
      steps.done()
    },
    host: async (id) => {
      const role = plan.hosts.find((host) => host.id === id)?.role
      if (role === 'bank') await openAccounts(id, accountsAt(id), () => undefined)
      if (role === 'merchant') await enrolPayees(id, payeesAt(id), () => undefined)
      if (role === 'customer') await enrolCustomers(id, customersAt(id), () => undefined)
    },
    stop: () => void (stopped = true),
  }
}

type Advance = (note: string) => void
type KnownPayee = { readonly payee: string; readonly state: string }
type KnownEnrolment = { readonly cpp: string; readonly state: string; readonly unlocked: boolean }
type KnownCustomer = { readonly customer: string; readonly enrolments: readonly KnownEnrolment[] }

const bankReport = async (client: HostClient): Promise<BankReport> => {
  const report = reportFromJson(await client.builtin('report'))
  if (report.role !== 'bank') throw new Error(`${client.id} is no bank`)
  return report
}

const otherBanks = ({ hosts, settlementBank }: Plan): readonly string[] =>
  hosts.filter(({ role, id }) => role === 'bank' && id !== settlementBank).map(({ id }) => id)

/** Mandates name the operator, whose hosts share them. */
const operatorOf = ({ hosts }: Plan, processor: string): string => {
  const host = hosts.find(({ id }) => id === processor)
  if (host === undefined) throw new Error(`${processor} is not planned`)
  return host.operatorId
}
