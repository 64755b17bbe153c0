/** A customer with an account in HUF pays payees in EUR, at home and abroad, among the real nodes of every role. */
import { beforeAll, describe, expect, it } from 'vitest'
import { DELIVERED_AT_ONCE, LOST } from '../../bus/simulated-bus.ts'
import { auditEvidence } from '../../protocol/audit.ts'
import { toJson } from '../runtime/json.ts'
import type { PaymentLine, PaymentsPage, Report } from '../runtime/reports.ts'
import { buildWholeNetwork, oneTruth, unrest, type WholeNetwork } from '../runtime/whole-network.ts'
import { checkNetwork } from '../verify/check-network.ts'

const EVA = 'hu-eva'
const PIN = '482915'
/** 1 EUR for 400 HUF and 0.5 %: 402 HUF. */
const cost = (amountMinor: bigint): bigint => amountMinor * 402n

let network: WholeNetwork
const payEva = (payee: string, amountMinor: string, more: object = {}) =>
  network.sim.command('hu-wallet-1', 'pay', { customer: EVA, payee, amountMinor, currency: 'EUR', ...more })
const ask = (id: string, name: string): unknown => {
  const answer = network.sim.host(id).host().ask(name, {})
  if (!answer.ok) throw new Error(answer.error.code)
  return answer.value
}
const balance = (account: string): bigint =>
  network.report.bank(account.split(':')[0] as string).accounts.find((one) => one.account === account)?.balanceMinor ??
  -1n
const debt = (): bigint =>
  network.report.cpp('hu-cpp').totals.find(({ currency }) => currency === 'HUF')?.outstandingMinor ?? 0n

/** What `verify` says of the network as it is. */
const failures = (quiet: boolean): readonly unknown[] => {
  const reports: Report[] = []
  const payments = new Map<string, readonly PaymentLine[]>()
  for (const { id } of network.sim.hosts()) {
    reports.push(ask(id, 'report') as Report)
    if (/-(cpp|mpp|shop-1|wallet-1)$/.test(id)) payments.set(id, (ask(id, 'payments') as PaymentsPage).payments)
  }
  return checkNetwork(reports, payments, { quiet }).filter(({ ok }) => !ok)
}

beforeAll(async () => {
  network = await buildWholeNetwork('fx')
  await network.addHufCustomer('hu', EVA, '10000000')
}, 60_000)

describe('a customer whose account is in another currency', { timeout: 60_000 }, () => {
  it('pays small sums, at home and abroad: owed in HUF, collected in HUF at the crossing', async () => {
    for (const [payee, amount] of [
      ['hu-bakery', '300'],
      ['ro-bakery', '400'],
    ] as const)
      expect(await payEva(payee, amount)).toMatchObject({
        ok: true,
        value: {
          outcome: 'confirmed',
          confirmation: 'DT',
          accountAmountMinor: cost(BigInt(amount)),
          accountCurrency: 'HUF',
        },
      })
    expect(debt()).toBe(cost(700n))
    expect(balance('hu-bank:hu-eva')).toBe(10_000_000n)
    expect(await payEva('hu-bakery', '350')).toMatchObject({ ok: true, value: { outcome: 'confirmed' } })
    expect(debt()).toBe(cost(350n))
    expect(balance('hu-bank:hu-eva')).toBe(10_000_000n - cost(700n))
    expect(balance('hu-bank:hu-cpp-huf')).toBe(cost(700n))
  })

  it('pays large sums, at home and abroad: the payee in EUR, the CPP in HUF', async () => {
    const [eva, operator] = [balance('hu-bank:hu-eva'), balance('hu-bank:hu-cpp')]
    const shops = ['hu-bank:shop', 'ro-bank:shop'] as const
    const before = shops.map(balance)
    for (const payee of ['hu-bakery', 'ro-bakery'])
      expect(await payEva(payee, '2500')).toMatchObject({
        ok: true,
        value: { outcome: 'confirmed', confirmation: 'T' },
      })
    await network.sim.advance(1_000)
    // Payouts of micropayments may have come in between: at least this.
    shops.forEach((account, i) => expect(balance(account) >= (before[i] as bigint) + 2_500n).toBe(true))
    expect(balance('hu-bank:hu-eva')).toBe(eva - cost(5_000n))
    expect(balance('hu-bank:hu-cpp') <= operator - 5_000n).toBe(true)
  })

  it('accepts a request to pay in another currency', async () => {
    const { requestId } = (await network.ok('hu-shop-1', 'request-payment', {
      payee: 'hu-bakery',
      alias: 'hu-eva-pays',
      amountMinor: '50',
    })) as { readonly requestId: string }
    await network.sim.advance(2_000)
    const over = { requestId, accept: true, maxCostMinor: String(cost(50n) - 1n) }
    expect(await network.sim.command('hu-wallet-1', 'pay-request', over)).toMatchObject({
      value: { outcome: 'refused', code: 'COST_EXCEEDED' },
    })
    // It is open again, and nothing was paid.
    expect(await network.sim.command('hu-wallet-1', 'pay-request', { requestId, accept: true })).toMatchObject({
      value: { outcome: 'confirmed', accountAmountMinor: cost(50n) },
    })
  })

  it('is not charged more than was agreed, and pays at exactly that', async () => {
    const before = debt()
    expect(await payEva('hu-bakery', '100', { maxCostMinor: String(cost(100n) - 1n) })).toMatchObject({
      value: { outcome: 'refused', code: 'COST_EXCEEDED' },
    })
    expect(debt()).toBe(before)
    expect(await payEva('hu-bakery', '100', { maxCostMinor: String(cost(100n)) })).toMatchObject({
      value: { outcome: 'confirmed' },
    })
  })

  it('is refused in a currency that the CPP does not exchange, before anything reaches it but the question', async () => {
    const answer = await network.sim.command('hu-wallet-1', 'pay', {
      customer: EVA,
      payee: 'hu-bakery',
      amountMinor: '100',
      currency: 'GBP',
    })
    expect(answer).toMatchObject({ value: { outcome: 'refused', code: 'CURRENCY_UNSUPPORTED' } })
  })

  it('is proved to an auditor at every party, and what it cost only on the customer’s side', async () => {
    for (const amount of ['110', '1300']) {
      const { txId } = ((await payEva('ro-bakery', amount)) as { readonly value: { readonly txId: string } }).value
      await network.sim.advance(10_000)
      for (const id of ['hu-cpp', 'hu-wallet-1', 'ro-mpp', 'ro-shop-1']) {
        const line = (ask(id, 'payments') as PaymentsPage).payments.find((one) => one.txId === txId)
        const answer = network.sim
          .host(id)
          .host()
          .ask('evidence', { paymentId: line?.prId ?? line?.pnId })
        const bundle = (answer as { readonly value: { readonly bundle: Uint8Array } }).value.bundle
        const { ok, problems, missing } = auditEvidence(network.sim.engine, network.sim.root.publicKey, bundle)
        expect([id, ok, problems, missing]).toEqual([id, true, [], []])
        expect([id, Buffer.from(bundle).includes('HUF')]).toEqual([id, id === 'hu-cpp' || id === 'hu-wallet-1'])
      }
    }
  })

  it('gets refunds back at the rate that was charged: in parts, and in full exactly the charge', async () => {
    const refund = async (payee: string, txId: string, amountMinor: string): Promise<unknown> => {
      const shop = `${payee.slice(0, 2)}-shop-1`
      const { refundId } = (await network.ok(shop, 'refund', { payee, txId, amountMinor, pin: PIN })) as {
        readonly refundId: string
      }
      return network.ok(shop, 'refund-result', { refundId })
    }
    for (const realm of ['hu', 'ro']) await network.ok(`${realm}-shop-1`, 'set-refund-pin', { pin: PIN })
    for (const [payee, amount, parts] of [
      ['ro-bakery', '333', ['100', '1', '232']],
      ['ro-bakery', '2500', ['1', '2499']],
      ['hu-bakery', '1700', ['700']],
    ] as const) {
      const before = debt() - balance('hu-bank:hu-eva')
      const { txId } = ((await payEva(payee, amount)) as { readonly value: { readonly txId: string } }).value
      for (const part of parts) expect(await refund(payee, txId, part)).toMatchObject({ outcome: 'confirmed' })
      await network.sim.advance(30_000)
      const kept = BigInt(amount) - parts.reduce((sum, part) => sum + BigInt(part), 0n)
      // What Eva owes less what she has is dearer by what she kept, at the same rate, and by nothing else.
      expect([payee, debt() - balance('hu-bank:hu-eva') - before]).toEqual([payee, cost(kept)])
    }
  })

  it('ends with every book balanced in each currency, and nobody beyond the customer’s side knows of HUF', async () => {
    await network.sim.advance(60_000)
    expect(unrest(network)).toEqual([])
    expect(failures(true)).toEqual([])
    expect(oneTruth(network).size).toBeGreaterThan(5)
    const positions = network.report.cpp('hu-cpp').positions
    const kept = 300n + 400n + 350n + 5_000n + 50n + 100n + 1_410n + 1_000n
    expect(positions).toMatchObject([
      { currency: 'EUR', positionMinor: -kept, refundedMinor: 333n + 2_500n + 700n },
      { currency: 'HUF', positionMinor: cost(kept), exchangedMinor: cost(5_000n + 1_300n + 4_200n), owedMinor: 0n },
    ])
    for (const id of ['hu-mpp', 'ro-mpp', 'hu-shop-1', 'ro-shop-1', 'hu-dc-1', 'ro-dc-1', 'ro-bank'])
      expect([id, toJson(ask(id, 'report')).includes('HUF')]).toEqual([id, false])
  })

  it('survives a power cut of the CPP at any moment of a macro payment', async () => {
    const { sim } = network
    const before = network.report.cpp('hu-cpp').positions.find(({ currency }) => currency === 'HUF')?.exchangedMinor
    let confirmed = 0n
    for (const cutAfter of [1, 7, 11, 13, 15, 17, 20, 24]) {
      const paid = payEva('ro-bakery', '1100')
      let sends = 0
      sim.setOnSend(() => ((sends += 1) > cutAfter ? LOST : DELIVERED_AT_ONCE))
      await sim.run()
      await sim.host('hu-cpp').crash()
      sim.setOnSend(undefined)
      await sim.host('hu-cpp').restart()
      const answer = await paid
      const { outcome } = answer.ok ? (answer.value as { readonly outcome: string }) : { outcome: answer.error.code }
      expect(['confirmed', 'expired', 'refused']).toContain(outcome)
      if (outcome === 'confirmed') confirmed += 1n
    }
    await sim.advance(120_000)
    expect(confirmed > 0n).toBe(true)
    expect(unrest(network)).toEqual([])
    expect(failures(true)).toEqual([])
    const after = network.report.cpp('hu-cpp').positions.find(({ currency }) => currency === 'HUF')?.exchangedMinor
    expect((after ?? 0n) - (before ?? 0n)).toBe(cost(1_100n * confirmed))
  })
})
