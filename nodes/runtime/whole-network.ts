/**
 * The real nodes of every role over the simulated bus, for tests: two realms with a bank, a CPP, an MPP, a shop and a wallet
 * each, an interbank reserve, accounts, mandates, an enrolled payee and an enrolled customer. And what must hold of them at rest.
 */
import { defineBank } from '../bank/define.ts'
import { defineCpp } from '../cpp/define.ts'
import { defineWallet } from '../customer/define.ts'
import { dataCenter } from '../data-center/definition.ts'
import { defineMerchant } from '../merchant/define.ts'
import { mpp as defineMpp } from '../mpp/definition.ts'
import { parseFrame } from '../../protocol/seals.ts'
import { checkChain } from './journal.ts'
import { heardIn, isListed } from './ledger-age.ts'
import { isFinalState, type BankReport, type CppReport, type MppReport, type PaymentsPage } from './reports.ts'
import { headTable } from './runtime-tables.ts'
import { createSimNetwork } from './sim-network.ts'
import { createSimPeople } from './sim-people.ts'

export const REALMS = ['hu', 'ro'] as const
const other = (realm: string) => (realm === 'hu' ? 'ro' : 'hu')

export const buildWholeNetwork = async (
  seed = 'whole',
  {
    approval = { rule: 'approve' },
    sim: more = {},
  }: { readonly approval?: object; readonly sim?: Parameters<typeof createSimNetwork>[0] } = {},
) => {
  const sim = createSimNetwork({ seed, ...more })
  const { command: ok, open, enrolPayee, enrolCustomer } = createSimPeople(sim)
  const peers = REALMS.map((realm) => `${realm}-bank`)
  for (const realm of REALMS)
    await sim.add({
      id: `${realm}-dc-1`,
      role: 'dc',
      operatorId: `${realm}-dc`,
      define: dataCenter,
      policy: { peerRealms: [other(realm)] },
    })
  await sim.add({
    id: 'ro-reserve',
    role: 'bank',
    define: defineBank,
    policy: { dataCenters: ['ro-dc-1'], settlementBank: 'ro-reserve', peers, clearing: { windowMs: 3_000 } },
  })
  for (const realm of REALMS) {
    const dataCenters = [`${realm}-dc-1`]
    await sim.add({
      id: `${realm}-bank`,
      role: 'bank',
      define: defineBank,
      policy: {
        dataCenters,
        settlementBank: 'ro-reserve',
        peers: [`${other(realm)}-bank`, 'ro-reserve'],
        clearing: { windowMs: 3_000 },
      },
    })
    await sim.add({
      id: `${realm}-cpp`,
      role: 'cpp',
      define: defineCpp,
      policy: {
        dataCenters,
        operatorAccounts: { EUR: `${realm}-bank:${realm}-cpp`, HUF: `${realm}-bank:${realm}-cpp-huf` },
        fx: {
          rates: { 'EUR HUF': { numerator: '400', denominator: '1' } },
          marginBps: 50,
          quoteLifetimeMs: 30_000,
          retryMs: 5_000,
        },
        noticeLifetimeMs: 10_000,
        settlementAccounts: Object.fromEntries(REALMS.map((one) => [`${one}-mpp`, `${one}-bank:${one}-mpp`])),
        settlement: { thresholdMinor: { EUR: '2000' }, maxAgeMs: 5_000, retryMs: 2_000 },
      },
    })
    await sim.add({
      id: `${realm}-mpp`,
      role: 'mpp',
      define: defineMpp,
      policy: {
        dataCenters,
        operatorAccounts: { EUR: `${realm}-bank:${realm}-mpp` },
        settlementAccounts: Object.fromEntries(REALMS.map((one) => [`${one}-cpp`, `${one}-bank:${one}-cpp`])),
        payout: { thresholdMinor: { EUR: '500' }, maxAgeMs: 5_000, retryMs: 2_000 },
      },
    })
    await sim.add({ id: `${realm}-shop-1`, role: 'merchant', certifiedBy: [`${realm}-mpp`], define: defineMerchant })
    await sim.add({ id: `${realm}-wallet-1`, role: 'customer', certifiedBy: [`${realm}-cpp`], define: defineWallet })
  }
  await sim.run()
  await sim.advance(5_000)
  /** A customer whose account is in HUF, at this realm's CPP, which gets an account in HUF of its own. Once a realm. */
  const addHufCustomer = async (realm: string, customer: string, balanceMinor: string): Promise<void> => {
    const account = `${realm}-bank:${customer}`
    const cpp = `${realm}-cpp`
    const own = { operatorId: cpp, holderHost: { role: 'cpp', host: cpp }, currency: 'HUF', balanceMinor: '0' }
    await open(`${realm}-bank:${cpp}-huf`, own)
    await open(account, { currency: 'HUF', balanceMinor })
    const alias = `${customer}-pays`
    await enrolCustomer({ customer, host: `${realm}-wallet-1`, cpp, account, pin: '123456', currency: 'HUF', alias })
  }
  for (const bank of peers) await ok('ro-reserve', 'fund-reserve', { bank, currency: 'EUR', amountMinor: '10000000' })
  for (const realm of REALMS) {
    await open(`${realm}-bank:${realm}-cpp`, {
      operatorId: `${realm}-cpp`,
      holderHost: { role: 'cpp', host: `${realm}-cpp` },
    })
    await open(`${realm}-bank:${realm}-mpp`, {
      operatorId: `${realm}-mpp`,
      holderHost: { role: 'mpp', host: `${realm}-mpp` },
    })
    await open(`${realm}-bank:shop`, { holderHost: { role: 'merchant', host: `${realm}-shop-1` } })
    await open(`${realm}-bank:alice`)
    await enrolPayee({
      payee: `${realm}-bakery`,
      host: `${realm}-shop-1`,
      mpp: `${realm}-mpp`,
      account: `${realm}-bank:shop`,
      approval,
      displayName: 'Bakery',
      catalogue: [],
    })
    await enrolCustomer({
      customer: `${realm}-alice`,
      host: `${realm}-wallet-1`,
      cpp: `${realm}-cpp`,
      account: `${realm}-bank:alice`,
      pin: '123456',
      alias: `${realm}-alice-pays`,
    })
  }
  const pay = (realm: string, payee: string, amountMinor: string) =>
    sim.command(`${realm}-wallet-1`, 'pay', { customer: `${realm}-alice`, payee, amountMinor, currency: 'EUR' })
  const reportOf = (id: string): unknown => {
    const answer = sim.host(id).host().ask('report', {})
    if (!answer.ok) throw new Error(answer.error.code)
    return answer.value
  }
  const report = {
    cpp: (id: string) => reportOf(id) as CppReport,
    mpp: (id: string) => reportOf(id) as MppReport,
    bank: (id: string) => reportOf(id) as BankReport,
  }
  return { sim, ok, pay, report, addHufCustomer }
}

export type WholeNetwork = Awaited<ReturnType<typeof buildWholeNetwork>>

/**
 * What is not as it must be at rest: something under way anywhere, a journal that is not whole, a bank whose books do not balance,
 * an intermediary that owes another not what that one is owed.
 */
export const unrest = ({ sim, report }: WholeNetwork): readonly unknown[] => {
  const found: unknown[] = []
  const expect = (what: readonly unknown[], expected: readonly unknown[]): void => {
    if (what.length !== expected.length || what.some((one, at) => one !== expected[at])) found.push({ what, expected })
  }
  for (const { id, host, fatal } of sim.hosts()) {
    expect([id, fatal(), host().inFlight()], [id, undefined, 0])
    const head = host().read.get(headTable, 'head')
    if (head !== undefined) expect([id, checkChain(host().read, head).brokenAtSeq], [id, undefined])
  }
  expect(unlisted(sim), [])
  for (const bank of ['hu-bank', 'ro-bank', 'ro-reserve'])
    for (const total of report.bank(bank).totals)
      expect([bank, total.sumMinor, total.negativeHolderAccounts, total.unbalancedEntries], [bank, 0n, 0, 0])
  for (const realm of REALMS) {
    const cpp = report.cpp(`${realm}-cpp`)
    expect([realm, Object.keys(cpp.undecided).length], [realm, 0])
    for (const pair of cpp.pairs) {
      const there = report.mpp(pair.mpp).pairs.find((one) => one.cpp === `${realm}-cpp`)
      expect([pair.mpp, there?.entriesMinor, there?.receivableMinor], [pair.mpp, pair.entriesMinor, pair.payableMinor])
    }
  }
  return found
}

/** Statements that a host holds of another, whose journal does not list them: there are none unless a ledger is old. */
const unlisted = (sim: WholeNetwork['sim']): readonly string[] =>
  sim.hosts().flatMap(({ id, host }) =>
    heardIn(host().read, id).flatMap(({ host: of, frame }) => {
      const maker = sim.host(of).host()
      const parsed = parseFrame(frame)
      const listed = parsed.ok && isListed(maker.read, maker.lastSeq(), parsed.value)
      return listed ? [] : [`${id} holds ${parsed.ok ? parsed.value.header.kind : 'no frame'} of ${of}`]
    }),
  )

/** payee and txId → state of every payment that has come to its end. @throws Error where two hosts differ, or one waits */
export const oneTruth = ({ sim }: WholeNetwork): ReadonlyMap<string, string> => {
  const states = new Map<string, string>()
  for (const { id, host } of sim.hosts()) {
    if (!/-(cpp|mpp|shop-1|wallet-\d)$/.test(id)) continue
    const answer = host().ask('payments', {})
    if (!answer.ok) throw new Error(answer.error.code)
    for (const line of (answer.value as PaymentsPage).payments) {
      const name = `${line.payee} ${line.txId}`
      if (!isFinalState(line.state)) throw new Error(`${id}: ${name} is ${line.state}`)
      const before = states.get(name) ?? line.state
      // A payment that nobody beyond the wallet has heard of ends there alone.
      if (line.state !== before) throw new Error(`${id}: ${name} is ${line.state}, elsewhere ${before}`)
      states.set(name, before)
    }
  }
  return states
}
