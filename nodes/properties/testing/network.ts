/**
 * The real nodes of every role over the simulated bus, in the topologies of the paper: two intermediaries (figure 3), or a CPP and an
 * MPP that are one operator and share its bank account (figure 2). Both are the same code; the `operatorId` of the hosts tells
 * them apart.
 */
import type { Currency } from '../../../protocol/amount.ts'
import { toHex, utf8 } from '../../../protocol/bytes.ts'
import { hash } from '../../../protocol/hash.ts'
import { networkIdOf, signingKeyFromSeed } from '../../../protocol/keys.ts'
import { issueMandate } from '../../../protocol/statements.ts'
import { defineBank } from '../../bank/define.ts'
import { defineCpp } from '../../cpp/define.ts'
import { defineWallet } from '../../customer/define.ts'
import { dataCenter } from '../../data-center/definition.ts'
import { defineMerchant } from '../../merchant/define.ts'
import { mpp as defineMpp } from '../../mpp/definition.ts'
import {
  isFinalState,
  type BankReport,
  type PaymentLine,
  type PaymentsPage,
  type Report,
} from '../../runtime/reports.ts'
import { memoryStore, type StoreWatch } from '../../runtime/memory-store.ts'
import { createSimNetwork, SIM_START_MS } from '../../runtime/sim-network.ts'
import { checkNetwork, READING_ORDER, type Check } from '../../verify/check-network.ts'

const PIN = '123456'
const YEAR_MS = 366 * 86_400_000
const CURRENCY: Currency = 'EUR'

export type Options = {
  readonly seed?: string
  readonly intermediaries?: 'one' | 'two'
  readonly realms?: readonly string[]
  /** Names without realm → minor units on their bank account. The same in every realm. */
  readonly customers?: Readonly<Record<string, bigint>>
  /** Names without realm → approval rule. The same in every realm. */
  readonly payees?: Readonly<Record<string, object>>
  readonly processorMinor?: bigint
  /** What each bank has at the settlement bank. */
  readonly reserveMinor?: bigint
  readonly cpp?: object
  readonly mpp?: object
  /** Told of every row that a host's ledger commits, loses and brings to disk. */
  readonly watch?: (host: string) => StoreWatch
}

/** Ids of what stands in each realm. */
export const ids = (realm: string) => ({
  dc: `${realm}-dc-1`,
  bank: `${realm}-bank`,
  cpp: `${realm}-cpp`,
  mpp: `${realm}-mpp`,
  shops: `${realm}-shops-1`,
  wallets: `${realm}-wallets-1`,
})
export const RESERVE = 'zz-reserve'
const RESERVE_DC = 'zz-dc-1'

export const buildNetwork = async ({
  seed = 'properties',
  intermediaries = 'two',
  realms = ['hu'],
  customers = { alice: 1_000_000n },
  payees = { bakery: { rule: 'approve' } },
  processorMinor = 1_000_000n,
  reserveMinor = 10_000_000n,
  cpp = {},
  mpp = {},
  watch,
}: Options = {}) => {
  const sim = createSimNetwork({
    seed,
    ...(watch === undefined ? {} : { store: (host: string) => memoryStore(undefined, watch(host)) }),
  })
  const several = realms.length > 1
  const operatorOf = (realm: string, role: 'cpp' | 'mpp'): string =>
    intermediaries === 'one' ? `${realm}-one` : ids(realm)[role]
  const accountOf = (realm: string, role: 'cpp' | 'mpp'): string => `${ids(realm).bank}:${operatorOf(realm, role)}`
  const holder = (account: string) => signingKeyFromSeed(sim.engine, hash(utf8(`holder ${account}`)))
  const mandate = (account: string, operatorId: string): string => {
    const terms = {
      networkId: networkIdOf(sim.root.publicKey),
      account,
      operatorId,
      limitMinor: 1_000_000_000n,
      currency: CURRENCY,
      notBeforeMs: SIM_START_MS - 1_000,
      notAfterMs: SIM_START_MS + YEAR_MS,
      serial: 1,
    }
    return toHex(issueMandate(sim.engine, terms, holder(account)))
  }
  /** A command that must succeed. @throws Error with its refusal */
  const ok = async (id: string, name: string, args: Readonly<Record<string, unknown>> = {}): Promise<any> => {
    const answer = await sim.command(id, name, args)
    const refused = answer.ok ? (answer.value as { readonly ok?: unknown; readonly code?: unknown }) : undefined
    if (!answer.ok) throw new Error(`${id} ${name}: ${answer.error.code} ${answer.error.detail}`)
    if (refused?.ok === false) throw new Error(`${id} ${name}: ${String(refused.code)}`)
    return answer.value
  }
  const ask = (id: string, name: string, args: Readonly<Record<string, unknown>> = {}): any => {
    const answer = sim.host(id).host().ask(name, args)
    if (!answer.ok) throw new Error(`${id} ${name}: ${answer.error.code}`)
    return answer.value
  }

  const banks = realms.map((realm) => ids(realm).bank)
  const dcs = several ? [...realms, 'zz'] : realms
  for (const realm of dcs)
    await sim.add({
      id: `${realm}-dc-1`,
      role: 'dc',
      operatorId: `${realm}-dc`,
      define: dataCenter,
      policy: { peerRealms: dcs.filter((one) => one !== realm) },
    })
  const clearing = { windowMs: 3_000 }
  if (several)
    await sim.add({
      id: RESERVE,
      role: 'bank',
      define: defineBank,
      policy: { dataCenters: [RESERVE_DC], settlementBank: RESERVE, peers: banks, clearing },
    })
  for (const realm of realms) {
    const at = ids(realm)
    const dataCenters = [at.dc]
    const peers = several ? [...banks.filter((one) => one !== at.bank), RESERVE] : []
    await sim.add({
      id: at.bank,
      role: 'bank',
      define: defineBank,
      policy: { dataCenters, settlementBank: several ? RESERVE : null, peers, clearing },
    })
    const settlementAccounts = (role: 'cpp' | 'mpp') =>
      Object.fromEntries(realms.map((one) => [ids(one)[role], accountOf(one, role)]))
    await sim.add({
      id: at.cpp,
      role: 'cpp',
      operatorId: operatorOf(realm, 'cpp'),
      define: defineCpp,
      policy: {
        dataCenters,
        operatorAccounts: { [CURRENCY]: accountOf(realm, 'cpp') },
        settlementAccounts: settlementAccounts('mpp'),
        noticeLifetimeMs: 10_000,
        settlement: { thresholdMinor: { [CURRENCY]: '3000' }, maxAgeMs: 60_000, retryMs: 2_000 },
        ...cpp,
      },
    })
    await sim.add({
      id: at.mpp,
      role: 'mpp',
      operatorId: operatorOf(realm, 'mpp'),
      define: defineMpp,
      policy: {
        dataCenters,
        operatorAccounts: { [CURRENCY]: accountOf(realm, 'mpp') },
        settlementAccounts: settlementAccounts('cpp'),
        payout: { thresholdMinor: { [CURRENCY]: '500' }, maxAgeMs: 20_000, retryMs: 2_000 },
        ...mpp,
      },
    })
    await sim.add({ id: at.shops, role: 'merchant', certifiedBy: [at.mpp], define: defineMerchant })
    await sim.add({ id: at.wallets, role: 'customer', certifiedBy: [at.cpp], define: defineWallet })
  }
  await sim.run()
  await sim.advance(3_000)

  const open = (account: string, balanceMinor: bigint, more: object = {}) =>
    ok(account.split(':')[0] as string, 'open-account', {
      account,
      holderKey: toHex(holder(account).publicKey),
      currency: CURRENCY,
      balanceMinor: String(balanceMinor),
      ...more,
    })
  if (several && reserveMinor > 0n)
    for (const bank of banks)
      await ok(RESERVE, 'fund-reserve', { bank, currency: CURRENCY, amountMinor: String(reserveMinor) })
  for (const realm of realms) {
    const at = ids(realm)
    // The shared account of one operator tells both its hosts of its bookings, as the fleet's does.
    for (const role of intermediaries === 'one' ? (['mpp'] as const) : (['cpp', 'mpp'] as const))
      await open(accountOf(realm, role), processorMinor, {
        operatorId: operatorOf(realm, role),
        holderHost: { role, host: at[role] },
        ...(intermediaries === 'one' ? { alsoTold: [{ role: 'cpp', host: at.cpp }] } : {}),
      })
    await ok(at.shops, 'set-refund-pin', { pin: PIN })
    for (const [name, approval] of Object.entries(payees)) {
      const account = `${at.bank}:shop-${name}`
      await open(account, 0n, { holderHost: { role: 'merchant', host: at.shops } })
      await ok(at.shops, 'enrol-payee', {
        payee: `${realm}-${name}`,
        payeeKind: 'shop',
        displayName: name,
        mpp: at.mpp,
        account,
        currency: CURRENCY,
        mandate: mandate(account, operatorOf(realm, 'mpp')),
        catalogue: [],
        approval,
      })
    }
    for (const [name, balanceMinor] of Object.entries(customers)) {
      const account = `${at.bank}:${name}`
      await open(account, balanceMinor)
      await ok(at.wallets, 'enrol', {
        customer: `${realm}-${name}`,
        cpp: at.cpp,
        account,
        currency: CURRENCY,
        pin: PIN,
        mandate: mandate(account, operatorOf(realm, 'cpp')),
      })
    }
  }
  await sim.run()

  /** @param customer, payee with their realm. @returns how it ended, once it has: `{ outcome, code? }` */
  const pay = async (customer: string, payee: string, amountMinor: bigint): Promise<any> => {
    const answer = await sim.command(ids(customer.slice(0, 2)).wallets, 'pay', {
      customer,
      payee,
      amountMinor: String(amountMinor),
      currency: CURRENCY,
    })
    return answer.ok ? answer.value : answer.error
  }
  /** A payee gives back all or part of a payment. @returns how it ended, once it has: `{ ok, outcome?, code? }` */
  const refund = async (payee: string, txId: string, amountMinor: bigint): Promise<any> => {
    const { shops } = ids(payee.slice(0, 2))
    const started = await sim.command(shops, 'refund', { payee, txId, amountMinor: String(amountMinor), pin: PIN })
    const asked = started.ok ? (started.value as { ok: boolean; refundId: string }) : undefined
    if (asked?.ok !== true) return asked ?? started
    const answer = await sim.command(shops, 'refund-result', { refundId: asked.refundId })
    return answer.ok ? answer.value : answer.error
  }
  const bankReport = (bank: string): BankReport => ask(bank, 'report') as BankReport
  /** Minor units on a bank account. @throws Error for an unknown one */
  const balance = (account: string): bigint => {
    const bank = bankReport(account.split(':')[0] as string)
    const found = bank.accounts.find((one) => one.account === account)
    if (found === undefined) throw new Error(`no account ${account}`)
    return found.balanceMinor
  }
  const paymentsOf = (id: string): readonly PaymentLine[] => {
    const lines: PaymentLine[] = []
    for (let after: string | undefined; ;) {
      const page = ask(id, 'payments', after === undefined ? {} : { after }) as PaymentsPage
      lines.push(...page.payments)
      if (page.next === undefined) return lines
      after = page.next
    }
  }
  /** Design §8 over every ledger of a network at rest: what does not hold. */
  const problems = (): readonly Check[] => {
    const hosts = READING_ORDER.flatMap((role) => sim.hosts().filter(({ identity }) => identity.role === role))
    const reports = hosts.map(({ id }) => ask(id, 'report') as Report)
    const payments = new Map(
      hosts
        .filter(({ identity }) => ['customer', 'cpp', 'mpp', 'merchant'].includes(identity.role))
        .map(({ id }) => [id, paymentsOf(id)]),
    )
    return checkNetwork(reports, payments, { quiet: true }).filter(({ ok: holds }) => !holds)
  }
  /** Is nothing under way at any host? */
  const atRest = (): boolean =>
    sim.hosts().every(({ host }) => host().inFlight() === 0) &&
    realms.every((realm) => paymentsOf(ids(realm).cpp).every(({ state }) => isFinalState(state)))
  /** Lets time pass until nothing is under way. @throws Error when that never comes */
  const settleDown = async (withinMs = 300_000): Promise<void> => {
    for (let waited = 0; ; waited += 500) {
      await sim.run()
      if (atRest()) return
      if (waited > withinMs)
        throw new Error(
          `not at rest: ${sim
            .hosts()
            .filter(({ host }) => host().inFlight() > 0)
            .map(({ id }) => id)
            .join(', ')}`,
        )
      await sim.advance(500, 500)
    }
  }
  return { sim, ok, ask, pay, balance, accountOf, problems, refund, settleDown, atRest, bankReport, paymentsOf }
}

export type Network = Awaited<ReturnType<typeof buildNetwork>>
