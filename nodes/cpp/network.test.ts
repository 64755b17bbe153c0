/**
 * A CPP among real neighbours: wallet, merchant, MPP, bank and data center over real envelopes and a simulated bus. What the
 * tables of decisions cannot show: that the neighbours agree with them, and that a power cut of the CPP loses nothing.
 */
import { describe, expect, it } from 'vitest'
import { DELIVERED_AT_ONCE, LOST } from '../../bus/simulated-bus.ts'
import { toHex, utf8 } from '../../protocol/bytes.ts'
import { hash } from '../../protocol/hash.ts'
import { signingKeyFromSeed } from '../../protocol/keys.ts'
import { issueMandate } from '../../protocol/statements.ts'
import { defineBank } from '../bank/define.ts'
import { defineWallet } from '../customer/define.ts'
import { dataCenter } from '../data-center/definition.ts'
import { defineMerchant } from '../merchant/define.ts'
import { mpp } from '../mpp/definition.ts'
import type { BankReport, CppReport, MerchantReport, MppReport, PaymentsPage } from '../runtime/reports.ts'
import { SIM_START_MS, createSimNetwork, type SimNetwork } from '../runtime/sim-network.ts'
import { defineCpp } from './define.ts'

const BANK = 'hu-kh'
const CPP = 'hu-otp'
const MPP = 'hu-cosmo'
const WALLET = 'hu-wallet-1'
const SHOPS = 'hu-shops-1'
const DC = 'hu-dc-1'
const account = (name: string): string => `${BANK}:${name}`

type Answered = { readonly ok: boolean; readonly value?: any; readonly error?: unknown }

const network = async (settlement = { thresholdMinor: { EUR: '5000' }, maxAgeMs: 600_000, retryMs: 5_000 }) => {
  const sim = createSimNetwork()
  await sim.add({ id: DC, role: 'dc', define: dataCenter, policy: { peerRealms: [] } })
  await sim.add({
    id: BANK,
    role: 'bank',
    define: defineBank,
    policy: { dataCenters: [DC], settlementBank: null, peers: [] },
  })
  await sim.add({
    id: CPP,
    role: 'cpp',
    define: defineCpp,
    policy: {
      dataCenters: [DC],
      operatorAccounts: { EUR: account('otp') },
      settlementAccounts: { [MPP]: account('cosmo') },
      settlement,
    },
  })
  await sim.add({
    id: MPP,
    role: 'mpp',
    define: mpp,
    policy: {
      dataCenters: [DC],
      operatorAccounts: { EUR: account('cosmo') },
      settlementAccounts: { [CPP]: account('otp') },
      payout: { thresholdMinor: { EUR: '1' }, maxAgeMs: 1_000, retryMs: 1_000 },
    },
  })
  await sim.add({ id: SHOPS, role: 'merchant', define: defineMerchant, certifiedBy: [MPP] })
  await sim.add({ id: WALLET, role: 'customer', define: defineWallet, certifiedBy: [CPP] })
  await sim.advance(2_000)

  const command = async (host: string, name: string, args: Record<string, unknown> = {}): Promise<any> => {
    const answer = (await sim.command(host, name, args)) as Answered
    expect([name, answer.error]).toEqual([name, undefined])
    return answer.value
  }
  const holder = (name: string) => signingKeyFromSeed(sim.engine, hash(utf8(`holder ${name}`)))
  const mandate = (name: string, operatorId: string): string =>
    toHex(
      issueMandate(
        sim.engine,
        {
          networkId:
            sim.host(BANK).host().self.id === BANK ? hash(sim.root.publicKey).slice(0, 16) : new Uint8Array(16),
          account: account(name),
          operatorId,
          limitMinor: 10_000_000n,
          currency: 'EUR',
          notBeforeMs: SIM_START_MS - 1_000,
          notAfterMs: SIM_START_MS + 1_000_000_000,
          serial: 1,
        },
        holder(name),
      ),
    )
  const open = (name: string, balanceMinor: string, more: Record<string, unknown>) =>
    command(BANK, 'open-account', {
      account: account(name),
      holderKey: toHex(holder(name).publicKey),
      currency: 'EUR',
      balanceMinor,
      ...more,
    })
  await open('otp', '1000000', { operatorId: CPP, holderHost: { role: 'cpp', host: CPP } })
  await open('cosmo', '0', { operatorId: MPP, holderHost: { role: 'mpp', host: MPP } })
  await open('bakery', '0', { holderHost: { role: 'merchant', host: SHOPS } })
  await open('alice', '100000', {})
  const started = Promise.all([
    command(SHOPS, 'enrol-payee', {
      payee: 'hu-bakery',
      payeeKind: 'shop',
      displayName: 'Bakery',
      mpp: MPP,
      account: account('bakery'),
      currency: 'EUR',
      mandate: mandate('bakery', MPP),
    }),
    command(WALLET, 'enrol', {
      customer: 'hu-alice',
      cpp: CPP,
      account: account('alice'),
      currency: 'EUR',
      pin: '1234',
      mandate: mandate('alice', CPP),
      alias: 'hu-ali',
    }),
  ])
  // scrypt runs on real time; everything else on the network's.
  let done = false
  void started.finally(() => (done = true))
  while (!done) {
    await sim.advance(250)
    await new Promise((resolve) => void setImmediate(resolve))
  }
  await started
  await sim.advance(2_000)
  return { sim, command }
}
type Net = Awaited<ReturnType<typeof network>>

const ask = (sim: SimNetwork, host: string, name: string, args: Record<string, unknown> = {}): any => {
  const answer = sim.host(host).host().ask(name, args) as Answered
  expect(answer.error).toBeUndefined()
  return answer.value
}
const cppReport = (sim: SimNetwork): CppReport => ask(sim, CPP, 'report')
const mppPair = (sim: SimNetwork) => (ask(sim, MPP, 'report') as MppReport).pairs.find(({ cpp }) => cpp === CPP)
const balance = (sim: SimNetwork, name: string): bigint => {
  const report: BankReport = ask(sim, BANK, 'report')
  return report.accounts.find((one) => one.account === account(name))?.balanceMinor ?? -1n
}
const states = (sim: SimNetwork, host: string): readonly string[] =>
  (ask(sim, host, 'payments') as PaymentsPage).payments.map(({ state }) => state).toSorted()

/** Starts a payment and gives its outcome once it is known. */
const pay = (net: Net, amountMinor: string): Promise<any> =>
  net.sim
    .host(WALLET)
    .host()
    .command('pay', { customer: 'hu-alice', payee: 'bakery@hu', amountMinor, currency: 'EUR' })
    .then((answer) => (answer as Answered).value ?? (answer as Answered).error)
const settle = async <T>(net: Net, promise: Promise<T>, ms = 60_000): Promise<T> => {
  let result: { readonly value: T } | undefined
  void promise.then((value) => (result = { value }))
  for (let passed = 0; result === undefined && passed < ms; passed += 250) await net.sim.advance(250)
  if (result === undefined) throw new Error('no outcome in time')
  return result.value
}

/** A command whose job runs on real time (scrypt), while the network's time goes on. */
const during = async (net: Net, host: string, name: string, args: Record<string, unknown>): Promise<any> => {
  let value: { readonly of: unknown } | undefined
  void net.sim
    .host(host)
    .host()
    .command(name, args)
    .then((answer) => (value = { of: (answer as Answered).value ?? (answer as Answered).error }))
  for (let i = 0; value === undefined && i < 400; i++) {
    await net.sim.advance(250)
    await new Promise((resolve) => void setImmediate(resolve))
  }
  if (value === undefined) throw new Error(`${name} was not answered`)
  return value.of
}

describe('a PIN and a device after the enrolment', () => {
  it('change and are replaced over real envelopes; the lost device is refused and the data center asked nothing', async () => {
    const net = await network()
    const { sim } = net
    const alice = { customer: 'hu-alice', cpp: CPP }
    expect(await settle(net, pay(net, '300'))).toMatchObject({ outcome: 'confirmed' })
    expect(await during(net, WALLET, 'change-pin', { ...alice, pin: '9999', newPin: '5678' })).toMatchObject({
      ok: false,
      code: 'WRONG_PIN',
    })
    expect(await during(net, WALLET, 'change-pin', { ...alice, pin: '1234', newPin: '5678' })).toMatchObject({
      ok: true,
    })
    expect(await settle(net, pay(net, '100'))).toMatchObject({ outcome: 'confirmed' })

    // The phone is stolen, the wallet moves to another host; the thief still has the old one.
    const SECOND = 'hu-wallet-2'
    await sim.add({ id: SECOND, role: 'customer', define: defineWallet, certifiedBy: [CPP] })
    await sim.advance(2_000)
    const { authorization } = await during(net, CPP, 'authorize-device', { customer: 'hu-alice', host: SECOND })
    const asked: string[] = []
    sim.setOnSend((message) => {
      if (message.subject.includes('credential-query')) asked.push(message.subject)
      return DELIVERED_AT_ONCE
    })
    const stolen = pay(net, '100')
    await sim.advance(200_000)
    expect(cppReport(sim).totals[0]).toMatchObject({ outstandingMinor: 400n, pendingMinor: 0n })
    const replaced = { ...alice, authorization, alias: 'hu-ali' }
    expect(await during(net, SECOND, 'replace-device', { ...replaced, pin: '1234' })).toMatchObject({
      code: 'WRONG_PIN',
    })
    expect(await during(net, SECOND, 'replace-device', { ...replaced, pin: '5678' })).toMatchObject({ ok: true })
    const bought = sim
      .host(SECOND)
      .host()
      .command('pay', { customer: 'hu-alice', payee: 'bakery@hu', amountMinor: '50', currency: 'EUR' })
    expect(await settle(net, bought)).toMatchObject({ ok: true, value: { outcome: 'confirmed' } })
    await sim.advance(200_000)
    expect(cppReport(sim).totals[0]).toMatchObject({ outstandingMinor: 450n, confirmedMicroMinor: 450n })
    // Its host is told so, since it asks under its own key: nothing of it stays open there.
    expect(await settle(net, stolen)).toMatchObject({ outcome: 'refused', code: 'WITHDRAWN' })
    expect(asked).toEqual([])
  })
})

describe('a CPP among real neighbours', () => {
  it('registers, enrols, aggregates, collects at the crossing, settles, and everybody agrees', async () => {
    const net = await network()
    const { sim, command } = net
    for (const host of sim.hosts()) expect([host.id, host.host().ready()]).toEqual([host.id, true])
    for (const amount of ['300', '400', '200'])
      expect(await settle(net, pay(net, amount))).toMatchObject({
        outcome: 'confirmed',
        confirmation: 'DT',
        amountMinor: BigInt(amount),
      })
    // Below θ: not one bank call.
    expect(balance(sim, 'alice')).toBe(100_000n)
    expect(await settle(net, pay(net, '150'))).toMatchObject({ outcome: 'confirmed' })
    expect(balance(sim, 'alice')).toBe(100_000n - 900n)
    expect(await settle(net, pay(net, '2500'))).toMatchObject({ outcome: 'confirmed', confirmation: 'T' })
    expect(balance(sim, 'alice')).toBe(100_000n - 900n - 2_500n)
    expect(balance(sim, 'bakery')).toBe(2_500n)
    expect(cppReport(sim).totals[0]).toMatchObject({
      outstandingMinor: 150n,
      pendingMinor: 0n,
      confirmedMicroMinor: 1_050n,
      collectedMinor: 900n,
      confirmedMacroMinor: 2_500n,
      collections: 1,
    })
    expect(mppPair(sim)).toMatchObject({ receivableMinor: 1_050n, contiguousSeq: 4 })
    expect(await command(CPP, 'settle-now')).toMatchObject({ opened: 1 })
    await sim.advance(10_000)
    expect(cppReport(sim).pairs[0]).toMatchObject({ settledMinor: 1_050n, payableMinor: 0n, openBatches: 0 })
    expect(mppPair(sim)).toMatchObject({ settledMinor: 1_050n, receivableMinor: 0n })
    expect(balance(sim, 'bakery')).toBe(2_500n + 1_050n)
    expect((ask(sim, SHOPS, 'report') as MerchantReport).payees[0]).toMatchObject({
      confirmedMicroMinor: 1_050n,
      paidOutMinor: 1_050n,
    })
    for (const host of [WALLET, CPP, MPP, SHOPS])
      expect([host, states(sim, host)]).toEqual([host, Array.from({ length: 5 }, () => 'confirmed')])
  }, 60_000)

  it("a correction that the MPP disputes is taken back on a person's word, and both sides end at the same sum", async () => {
    const net = await network()
    const { sim, command } = net
    await settle(net, pay(net, '300'))
    await command(CPP, 'settle-now')
    await sim.advance(5_000)
    await command(CPP, 'correct-entry', { mpp: MPP, currency: 'EUR', pairSeq: 1, amountMinor: '70' })
    await command(CPP, 'settle-now')
    await sim.advance(5_000)
    const [, second] = ask(sim, CPP, 'settlements').batches
    expect(second).toMatchObject({
      totalMinor: 70n,
      state: 'settled',
      disputes: [{ pairSeq: 2, state: 'unresolved', code: 'ENTRY_MISMATCH' }],
    })
    const batchId = toHex(second.batchId)
    expect(await command(CPP, 'resolve-dispute', { batchId, pairSeq: 2, accept: true })).toMatchObject({
      ok: true,
      adjustedMinor: -70n,
    })
    await command(CPP, 'settle-now')
    await sim.advance(15_000)
    expect(cppReport(sim).pairs[0]).toMatchObject({
      entriesMinor: 300n,
      settledMinor: 300n,
      payableMinor: 0n,
      openBatches: 0,
    })
    expect(mppPair(sim)).toMatchObject({ settledMinor: 300n, receivableMinor: 0n })
    expect(balance(sim, 'otp')).toBe(1_000_000n - 300n)
  }, 60_000)

  it('shows an MPP the entries it lacks, and recovers what the bus lost', async () => {
    const net = await network()
    const { sim, command } = net
    // Every DT to the payee's side is lost until the batch has come.
    let lossy = true
    sim.setOnSend(({ subject }) =>
      lossy && subject.includes('.delayed-transfer-confirmation.') ? LOST : DELIVERED_AT_ONCE,
    )
    const paid = [await settle(net, pay(net, '100')), await settle(net, pay(net, '200'))]
    expect(paid.map(({ outcome }) => outcome)).toEqual(['confirmed', 'confirmed'])
    expect(mppPair(sim)?.contiguousSeq ?? 0).toBe(0)
    await command(CPP, 'settle-now')
    await sim.advance(20_000)
    expect(mppPair(sim)).toMatchObject({ contiguousSeq: 2, settledMinor: 300n })
    expect(cppReport(sim).pairs[0]).toMatchObject({ settledMinor: 300n, openBatches: 0 })
    lossy = false
    await sim.advance(20_000)
    expect(states(sim, SHOPS)).toEqual(['confirmed', 'confirmed'])
  }, 60_000)

  it('survives a power cut at any moment of a payment: decided once, and all agree', async () => {
    const net = await network()
    const { sim } = net
    await settle(net, pay(net, '600'))
    for (const [i, cutAfter] of [1, 2, 3, 5, 8, 13, 21, 34].entries()) {
      const outcome = pay(net, i % 3 === 2 ? '1500' : '350')
      let sends = 0
      sim.setOnSend(() => {
        sends += 1
        return sends > cutAfter ? LOST : DELIVERED_AT_ONCE
      })
      await sim.run()
      await sim.host(CPP).crash()
      sim.setOnSend(undefined)
      await sim.host(CPP).restart()
      const { outcome: end } = await settle(net, outcome, 300_000)
      expect(['confirmed', 'expired']).toContain(end)
    }
    await sim.advance(60_000)
    expect(cppReport(sim)).toMatchObject({ undecided: {}, boundBreaches: 0 })
    const [total] = cppReport(sim).totals
    if (total === undefined) throw new Error('no total')
    expect(total.outstandingMinor).toBe(total.confirmedMicroMinor - total.collectedMinor)
    expect(balance(sim, 'alice')).toBe(100_000n - total.collectedMinor - total.confirmedMacroMinor)
    expect(mppPair(sim)?.entriesMinor).toBe(cppReport(sim).pairs[0]?.entriesMinor)
    const merchant = (ask(sim, SHOPS, 'report') as MerchantReport).payees[0]
    expect(merchant).toMatchObject({
      confirmedMicroMinor: total.confirmedMicroMinor,
      confirmedMacroMinor: total.confirmedMacroMinor,
    })
    const finals = new Map((ask(sim, CPP, 'payments') as PaymentsPage).payments.map(({ txId, state }) => [txId, state]))
    for (const host of [MPP, SHOPS])
      for (const { txId, state } of (ask(sim, host, 'payments') as PaymentsPage).payments)
        if (finals.has(txId) && ['confirmed', 'expired', 'rejected', 'failed'].includes(state))
          expect([host, state]).toEqual([host, finals.get(txId)])
  }, 120_000)
})
