/** Refunds over the real nodes: every moment a refund may come at, at home and abroad, micro and macro. */
import { describe, expect, it } from 'vitest'
import { buildWholeNetwork, unrest, type WholeNetwork } from './whole-network.ts'
import { checkNetwork } from '../verify/check-network.ts'
import type { PaymentLine, PaymentsPage, Report } from './reports.ts'

const PIN = '482915'

const build = async (seed: string): Promise<WholeNetwork> => {
  const network = await buildWholeNetwork(seed)
  for (const realm of ['hu', 'ro']) await network.ok(`${realm}-shop-1`, 'set-refund-pin', { pin: PIN })
  return network
}
type Paid = { readonly txId: string; readonly paymentId: string }
const paid = async ({ pay }: WholeNetwork, payee: string, amountMinor: string): Promise<Paid> => {
  const answer = await pay('hu', payee, amountMinor)
  expect(answer).toMatchObject({ ok: true, value: { outcome: 'confirmed' } })
  return (answer as { readonly value: Paid }).value
}
const ask = async ({ sim }: WholeNetwork, payee: string, txId: string, amountMinor: string, pin = PIN) => {
  const answer = await sim.command(`${payee.slice(0, 2)}-shop-1`, 'refund', { payee, txId, amountMinor, pin })
  return (answer as { readonly value: { readonly ok: boolean; readonly refundId: string; readonly code?: string } })
    .value
}
const refund = async (network: WholeNetwork, payee: string, txId: string, amountMinor: string) => {
  const started = await ask(network, payee, txId, amountMinor)
  if (!started.ok) return started
  const answer = await network.sim.command(`${payee.slice(0, 2)}-shop-1`, 'refund-result', {
    refundId: started.refundId,
  })
  return (answer as { readonly value: unknown }).value
}
const lines = ({ sim }: WholeNetwork, id: string): readonly PaymentLine[] => {
  const answer = sim.host(id).host().ask('payments', {})
  if (!answer.ok) throw new Error(answer.error.code)
  return (answer.value as PaymentsPage).payments
}
const balance = ({ report }: WholeNetwork, account: string): bigint => {
  const row = report.bank(account.split(':')[0] as string).accounts.find((one) => one.account === account)
  if (row === undefined) throw new Error(`no account ${account}`)
  return row.balanceMinor
}

/** Everything that `verify` holds a quiet network to. */
const problems = (network: WholeNetwork): readonly unknown[] => {
  const reports: Report[] = []
  const payments = new Map<string, readonly PaymentLine[]>()
  for (const { id, host } of network.sim.hosts()) {
    const answer = host().ask('report', {})
    if (!answer.ok) throw new Error(`${id}: ${answer.error.code}`)
    reports.push(answer.value as Report)
    if (/-(cpp|mpp|shop-1|wallet-1)$/.test(id)) payments.set(id, lines(network, id))
  }
  return [...unrest(network), ...checkNetwork(reports, payments, { quiet: true }).filter(({ ok }) => !ok)]
}
const ACCOUNTS = ['hu-bank:alice', 'hu-bank:hu-cpp', 'hu-bank:shop', 'ro-bank:shop', 'hu-bank:hu-mpp', 'ro-bank:ro-mpp']
const balances = (network: WholeNetwork) => Object.fromEntries(ACCOUNTS.map((one) => [one, balance(network, one)]))

/** What happens between the payment and its refund, at the customer's side and at the payee's. */
const COLLECTED = {
  'before it is collected': async () => {},
  'after it was collected': async ({ ok, sim }: WholeNetwork) => {
    await ok('hu-cpp', 'collect-customer', { customer: 'hu-alice' })
    await sim.run()
  },
}
const settle = async ({ ok, sim }: WholeNetwork): Promise<void> => {
  await ok('hu-cpp', 'settle-now', {})
  // Between two realms the banks meet for the first time.
  await sim.advance(1_500, 500)
}
const STAGES = {
  'before settlement': async () => {},
  'after settlement': settle,
  'after payout': async (network: WholeNetwork, payee: string) => {
    await settle(network)
    await network.ok(`${payee.slice(0, 2)}-mpp`, 'payout-now', { payee })
    await network.sim.advance(1_500, 500)
  },
}
const account = ({ report }: WholeNetwork, payee: string) =>
  report.mpp(`${payee.slice(0, 2)}-mpp`).payees.find((one) => one.payee === payee)

describe('refunds over the whole network', { timeout: 120_000 }, () => {
  it.each([
    ['hu-bakery', Object.entries(COLLECTED)],
    ['ro-bakery', Object.entries(COLLECTED).slice(1)],
  ])('of a micropayment to %s, whenever they come', async (payee, collections) => {
    const network = await build(`micro ${payee}`)
    const { sim } = network
    const start = balances(network)
    for (const [collected, collect] of collections)
      for (const [stage, reach] of Object.entries(STAGES)) {
        const when = `${collected}, ${stage}`
        const { txId } = await paid(network, payee, '400')
        await collect(network)
        await reach(network, payee)
        const before = account(network, payee)
        // Where the payment has come to, so that each case is what it says it is.
        expect([when, before?.accruedMinor, before?.payableMinor]).toEqual([
          when,
          stage === 'before settlement' ? 400n : 0n,
          stage === 'after settlement' ? 400n : 0n,
        ])
        expect([when, await refund(network, payee, txId, '150')]).toMatchObject([when, { outcome: 'confirmed' }])
        expect([when, await refund(network, payee, txId, '251')]).toMatchObject([when, { code: 'REFUND_EXCEEDED' }])
        expect([when, await refund(network, payee, txId, '250')]).toMatchObject([when, { outcome: 'confirmed' }])
        await sim.advance(16_000, 2_000)
        expect([when, problems(network)]).toEqual([when, []])
        // Paid and given back in full: everybody has what they had, and nobody owes anything.
        expect([when, balances(network)]).toEqual([when, start])
        expect([when, network.report.cpp('hu-cpp').totals[0]?.outstandingMinor]).toEqual([when, 0n])
      }
    expect(account(network, payee)).toMatchObject({
      reversedMinor: 1_200n * BigInt(collections.length),
      refundingMinor: 0n,
    })
  })

  it('of macro payments, at home and abroad: the money of the payee comes first', async () => {
    const network = await build('macro')
    const start = balances(network)
    for (const payee of ['hu-bakery', 'ro-bakery']) {
      const { txId } = await paid(network, payee, '5000')
      expect(await refund(network, payee, txId, '2000')).toMatchObject({ outcome: 'confirmed' })
      expect(balance(network, 'hu-bank:alice')).toBe(997_000n)
      expect(await refund(network, payee, txId, '3001')).toMatchObject({ ok: false, code: 'REFUND_EXCEEDED' })
      expect(await refund(network, payee, txId, '3000')).toMatchObject({ outcome: 'confirmed' })
      await network.sim.advance(8_000, 2_000)
      expect(problems(network)).toEqual([])
      expect(balances(network)).toEqual(start)
      // Not by the pair: what the CPP owes the MPP has nothing to do with it.
      expect(network.report.cpp('hu-cpp').pairs.every(({ lastSeq }) => lastSeq === 0)).toBe(true)
    }
    expect(network.report.cpp('hu-cpp').totals).toMatchObject([
      { refundedMinor: 10_000n, refundCreditedMinor: 10_000n },
    ])
  })
})
