/** The real nodes of every role over the simulated bus: two realms, from enrolment to settlement. */
import { describe, expect, it } from 'vitest'
import { toHex, utf8 } from '../../protocol/bytes.ts'
import { hash } from '../../protocol/hash.ts'
import { networkIdOf, signingKeyFromSeed } from '../../protocol/keys.ts'
import { issueMandate } from '../../protocol/statements.ts'
import { defineBank } from '../bank/define.ts'
import { defineCpp } from '../cpp/define.ts'
import { defineWallet } from '../customer/define.ts'
import { dataCenter } from '../data-center/definition.ts'
import { defineMerchant } from '../merchant/define.ts'
import { mpp as defineMpp } from '../mpp/definition.ts'
import { checkChain } from './journal.ts'
import { randomBelow } from './random.ts'
import { isFinalState, type BankReport, type CppReport, type MppReport, type PaymentsPage } from './reports.ts'
import { headTable } from './runtime-tables.ts'
import { createSimNetwork, seededRandom, SIM_START_MS } from './sim-network.ts'

const REALMS = ['hu', 'ro'] as const
const other = (realm: string) => (realm === 'hu' ? 'ro' : 'hu')

const build = async (seed = 'whole') => {
  const sim = createSimNetwork({ seed })
  const holder = (account: string) => signingKeyFromSeed(sim.engine, hash(utf8(`holder ${account}`)))
  const mandate = (account: string, operatorId: string) =>
    toHex(
      issueMandate(
        sim.engine,
        {
          networkId: networkIdOf(sim.root.publicKey),
          account,
          operatorId,
          limitMinor: 10_000_000n,
          currency: 'EUR',
          notBeforeMs: SIM_START_MS - 1_000,
          notAfterMs: SIM_START_MS + 366 * 86_400_000,
          serial: 1,
        },
        holder(account),
      ),
    )
  const ok = async (id: string, name: string, args: Readonly<Record<string, unknown>>): Promise<unknown> => {
    const answer = await sim.command(id, name, args)
    if (!answer.ok) throw new Error(`${id} ${name}: ${answer.error.code} ${answer.error.detail}`)
    return answer.value
  }
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
        operatorAccounts: { EUR: `${realm}-bank:${realm}-cpp` },
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
  const open = (account: string, extra: object) =>
    ok(account.split(':')[0] as string, 'open-account', {
      account,
      holderKey: toHex(holder(account).publicKey),
      currency: 'EUR',
      balanceMinor: '1000000',
      ...extra,
    })
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
    await open(`${realm}-bank:alice`, {})
    await ok(`${realm}-shop-1`, 'enrol-payee', {
      payee: `${realm}-bakery`,
      payeeKind: 'shop',
      displayName: 'Bakery',
      mpp: `${realm}-mpp`,
      account: `${realm}-bank:shop`,
      currency: 'EUR',
      mandate: mandate(`${realm}-bank:shop`, `${realm}-mpp`),
      catalogue: [],
      approval: { rule: 'approve' },
    })
    await ok(`${realm}-wallet-1`, 'enrol', {
      customer: `${realm}-alice`,
      cpp: `${realm}-cpp`,
      account: `${realm}-bank:alice`,
      currency: 'EUR',
      pin: '123456',
      mandate: mandate(`${realm}-bank:alice`, `${realm}-cpp`),
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
  return { sim, ok, pay, report }
}

/** `SEEDS=a,b` runs the storms of those seeds instead. */
const SEEDS = (process.env['SEEDS'] ?? 'first').split(',')

type Network = Awaited<ReturnType<typeof build>>

/** At rest: nothing under way anywhere, every journal whole, the books of each bank balanced, and what is owed is owed. */
const expectAtRest = ({ sim, report }: Network): void => {
  for (const { id, host, fatal } of sim.hosts()) {
    expect([id, fatal(), host().inFlight()]).toEqual([id, undefined, 0])
    const head = host().read.get(headTable, 'head')
    if (head !== undefined) expect([id, checkChain(host().read, head).brokenAtSeq]).toEqual([id, undefined])
  }
  for (const bank of ['hu-bank', 'ro-bank', 'ro-reserve'])
    for (const total of report.bank(bank).totals)
      expect([bank, total.sumMinor, total.negativeHolderAccounts, total.unbalancedEntries]).toEqual([bank, 0n, 0, 0])
  for (const realm of REALMS) {
    const cpp = report.cpp(`${realm}-cpp`)
    expect(cpp.undecided).toEqual({})
    for (const pair of cpp.pairs) {
      const there = report.mpp(pair.mpp).pairs.find((one) => one.cpp === `${realm}-cpp`)
      expect([pair.mpp, there?.entriesMinor, there?.receivableMinor]).toEqual([
        pair.mpp,
        pair.entriesMinor,
        pair.payableMinor,
      ])
    }
  }
}

/** Final states of every payment, by who holds them: pnId or prId → state, each host agreeing with the others. */
const expectOneTruth = ({ sim }: Network): number => {
  const states = new Map<string, string>()
  for (const { id, host } of sim.hosts()) {
    if (!/-(cpp|mpp|shop-1|wallet-1)$/.test(id)) continue
    const answer = host().ask('payments', {})
    if (!answer.ok) throw new Error(answer.error.code)
    for (const line of (answer.value as PaymentsPage).payments) {
      const name = `${line.payee} ${line.txId}`
      if (!isFinalState(line.state)) throw new Error(`${id}: ${name} is ${line.state}`)
      const before = states.get(name) ?? line.state
      // A payment that nobody beyond the wallet has heard of ends there alone.
      expect([id, name, line.state]).toEqual([id, name, before])
      states.set(name, before)
    }
  }
  return states.size
}

describe('the whole network in one process', { timeout: 120_000 }, () => {
  it('pays, at home and abroad, small and large, and settles', async () => {
    const network = await build()
    const { pay, report } = network
    for (const [to, amountMinor] of [
      ['hu-bakery', '120'],
      ['ro-bakery', '90'],
      ['hu-bakery', '5000'],
      ['ro-bakery', '7000'],
      ['hu-bakery', '950'],
    ] as const) {
      const answer = await pay('hu', to, amountMinor)
      expect(answer).toMatchObject({ ok: true, value: { outcome: 'confirmed' } })
    }
    await network.sim.advance(60_000)
    expectAtRest(network)
    expect(expectOneTruth(network)).toBe(5)
    expect(report.mpp('ro-mpp').payees).toMatchObject([{ confirmedMicroMinor: 90n }])
  })

  it.each(SEEDS)('survives loss, duplication, reordering and power cuts: seed %s', async (seed) => {
    const network = await build(seed)
    const { sim, pay } = network
    const random = seededRandom(`storm ${seed}`)
    const chance = (): number => randomBelow(random, 1_000) / 1_000
    const settledBy: Promise<unknown>[] = []
    sim.setOnSend(() => {
      const luck = chance()
      if (luck < 0.12) return { delaysMs: [] }
      if (luck < 0.22) return { delaysMs: [0, 400], overtake: true }
      return { delaysMs: [Math.floor(chance() * 300)], overtake: luck < 0.4 }
    })
    const victims = sim.hosts().filter(({ id }) => !id.includes('wallet'))
    for (let round = 0; round < 24; round++) {
      const realm = REALMS[round % 2] as string
      const payee = `${chance() < 0.5 ? 'hu' : 'ro'}-bakery`
      const amountMinor = String(chance() < 0.3 ? 2_500 : 40 + Math.floor(chance() * 900))
      settledBy.push(
        sim
          .host(`${realm}-wallet-1`)
          .host()
          .command('pay', { customer: `${realm}-alice`, payee, amountMinor, currency: 'EUR' }),
      )
      await sim.advance(200 + Math.floor(chance() * 600), 50)
      if (round % 3 !== 1) continue
      const victim = victims[randomBelow(random, victims.length)] as (typeof victims)[number]
      await victim.crash()
      await sim.advance(Math.floor(chance() * 1_000), 50)
      await victim.restart()
    }
    sim.setOnSend(undefined)
    await sim.advance(240_000, 500)
    await Promise.all(settledBy)
    expectAtRest(network)
    expect(expectOneTruth(network)).toBeGreaterThan(10)
    // And it still pays.
    expect(await pay('hu', 'ro-bakery', '100')).toMatchObject({ ok: true, value: { outcome: 'confirmed' } })
  })
})
