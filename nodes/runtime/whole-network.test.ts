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
import { toJson } from './json.ts'
import { checkChain } from './journal.ts'
import type { BankReport, CppReport, MppReport } from './reports.ts'
import { headTable } from './runtime-tables.ts'
import { createSimNetwork, SIM_START_MS } from './sim-network.ts'
import type { Log } from './log.ts'

const REALMS = ['hu', 'ro'] as const
const other = (realm: string) => (realm === 'hu' ? 'ro' : 'hu')

const build = async (log?: (host: string) => Log) => {
  const sim = createSimNetwork(log === undefined ? {} : { log })
  const holder = (account: string) => signingKeyFromSeed(sim.engine, hash(utf8(`holder ${account}`)))
  const mandate = (account: string, operatorId: string) =>
    toHex(
      issueMandate(
        sim.engine,
        {
          networkId: networkIdOf(sim.root.publicKey), account, operatorId, limitMinor: 10_000_000n, currency: 'EUR',
          notBeforeMs: SIM_START_MS - 1_000, notAfterMs: SIM_START_MS + 366 * 86_400_000, serial: 1,
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
    await sim.add({ id: `${realm}-dc-1`, role: 'dc', operatorId: `${realm}-dc`, define: dataCenter, policy: { peerRealms: [other(realm)] } })
  await sim.add({ id: 'ro-reserve', role: 'bank', define: defineBank, policy: { dataCenters: ['ro-dc-1'], settlementBank: 'ro-reserve', peers, clearing: { windowMs: 3_000 } } })
  for (const realm of REALMS) {
    const dataCenters = [`${realm}-dc-1`]
    await sim.add({
      id: `${realm}-bank`, role: 'bank', define: defineBank,
      policy: { dataCenters, settlementBank: 'ro-reserve', peers: [`${other(realm)}-bank`, 'ro-reserve'], clearing: { windowMs: 3_000 } },
    })
    await sim.add({
      id: `${realm}-cpp`, role: 'cpp', define: defineCpp,
      policy: {
        dataCenters, operatorAccounts: { EUR: `${realm}-bank:${realm}-cpp` }, noticeLifetimeMs: 10_000,
        settlementAccounts: Object.fromEntries(REALMS.map((one) => [`${one}-mpp`, `${one}-bank:${one}-mpp`])),
        settlement: { thresholdMinor: { EUR: '2000' }, maxAgeMs: 5_000, retryMs: 2_000 },
      },
    })
    await sim.add({
      id: `${realm}-mpp`, role: 'mpp', define: defineMpp,
      policy: {
        dataCenters, operatorAccounts: { EUR: `${realm}-bank:${realm}-mpp` },
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
    ok(account.split(':')[0] as string, 'open-account', { account, holderKey: toHex(holder(account).publicKey), currency: 'EUR', balanceMinor: '1000000', ...extra })
  for (const bank of peers) await ok('ro-reserve', 'fund-reserve', { bank, currency: 'EUR', amountMinor: '10000000' })
  for (const realm of REALMS) {
    await open(`${realm}-bank:${realm}-cpp`, { operatorId: `${realm}-cpp`, holderHost: { role: 'cpp', host: `${realm}-cpp` } })
    await open(`${realm}-bank:${realm}-mpp`, { operatorId: `${realm}-mpp`, holderHost: { role: 'mpp', host: `${realm}-mpp` } })
    await open(`${realm}-bank:shop`, { holderHost: { role: 'merchant', host: `${realm}-shop-1` } })
    await open(`${realm}-bank:alice`, {})
    await ok(`${realm}-shop-1`, 'enrol-payee', {
      payee: `${realm}-bakery`, payeeKind: 'shop', displayName: 'Bakery', mpp: `${realm}-mpp`, account: `${realm}-bank:shop`, currency: 'EUR',
      mandate: mandate(`${realm}-bank:shop`, `${realm}-mpp`), catalogue: [], approval: { rule: 'approve' },
    })
    await ok(`${realm}-wallet-1`, 'enrol', {
      customer: `${realm}-alice`, cpp: `${realm}-cpp`, account: `${realm}-bank:alice`, currency: 'EUR', pin: '123456',
      mandate: mandate(`${realm}-bank:alice`, `${realm}-cpp`), alias: `${realm}-alice-pays`,
    })
  }
  const pay = (realm: string, payee: string, amountMinor: string) =>
    sim.command(`${realm}-wallet-1`, 'pay', { customer: `${realm}-alice`, payee, amountMinor, currency: 'EUR' })
  const report = <T>(id: string): T => {
    const answer = sim.host(id).host().ask('report', {})
    if (!answer.ok) throw new Error(answer.error.code)
    return answer.value as T
  }
  return { sim, ok, pay, report }
}

describe('the whole network in one process', { timeout: 60_000 }, () => {
  it('pays, at home and abroad, small and large, and settles', async () => {
    const { sim, pay, report } = await build(process.env['TRACE'] === undefined ? undefined : (host) => ({ write: (level, message, fields) => console.log(host, level, message, toJson(fields)), unauthenticated: (fields) => console.log(host, 'UNAUTH', toJson(fields)) }))
    for (const [to, amountMinor] of [['hu-bakery', '120'], ['ro-bakery', '90'], ['hu-bakery', '5000'], ['ro-bakery', '7000'], ['hu-bakery', '950']] as const) {
      const answer = await pay('hu', to, amountMinor)
      expect(answer).toMatchObject({ ok: true, value: { outcome: 'confirmed' } })
    }
    await sim.advance(60_000)
    for (const { id, host, fatal } of sim.hosts()) {
      expect([id, fatal(), host().inFlight()]).toEqual([id, undefined, 0])
      const head = host().read.get(headTable, 'head')
      if (head !== undefined) expect(checkChain(host().read, head).brokenAtSeq).toBeUndefined()
    }
    const cpp = report<CppReport>('hu-cpp')
    expect(cpp.undecided).toEqual({})
    expect(cpp.pairs.every(({ payableMinor }) => payableMinor === 0n)).toBe(true)
    expect(report<MppReport>('ro-mpp').payees).toMatchObject([{ confirmedMicroMinor: 90n }])
    for (const bank of ['hu-bank', 'ro-bank', 'ro-reserve'])
      for (const total of report<BankReport>(bank).totals) expect([bank, total.sumMinor, total.negativeHolderAccounts]).toEqual([bank, 0n, 0])
  })
})
