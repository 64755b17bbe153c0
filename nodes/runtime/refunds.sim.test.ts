/** Refunds over the real nodes: every moment a refund may come at, at home and abroad, micro and macro. */
import { beforeAll, describe, expect, it } from 'vitest'
import { buildWholeNetwork, unrest, type WholeNetwork } from './whole-network.ts'
import { checkNetwork } from '../verify/check-network.ts'
import { randomBelow } from './random.ts'
import type { PaymentLine, PaymentsPage, Report } from './reports.ts'
import { seededRandom } from './sim-network.ts'

/** `SEEDS=a,b` runs the storms of those seeds instead. */
const SEEDS = (process.env['SEEDS'] ?? 'first').split(',')
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
  let network: WholeNetwork
  let start: Readonly<Record<string, bigint>>
  beforeAll(async () => {
    network = await build('refunds')
    start = balances(network)
  })
  /** Paid and given back in full: everybody has what they had, nobody owes anything, and every ledger agrees. */
  const atRest = async (when: string): Promise<void> => {
    await network.sim.advance(16_000, 2_000)
    expect([when, problems(network)]).toEqual([when, []])
    expect([when, balances(network)]).toEqual([when, start])
    expect([when, network.report.cpp('hu-cpp').totals[0]?.outstandingMinor]).toEqual([when, 0n])
  }

  const cases = Object.entries(COLLECTED).flatMap(([collected, collect]) =>
    Object.entries(STAGES).map(([stage, reach]) => ({ collected, stage, collect, reach })),
  )
  it.each([
    ...cases.map((one) => ({ payee: 'hu-bakery', ...one })),
    ...cases.slice(3).map((one) => ({ payee: 'ro-bakery', ...one })),
  ])('of a micropayment to $payee $collected, $stage', async ({ payee, stage, collect, reach }) => {
    const reversedMinor = account(network, payee)?.reversedMinor ?? 0n
    const { txId } = await paid(network, payee, '400')
    await collect(network)
    await reach(network, payee)
    // Where the payment has come to, so that each case is what it says it is.
    expect(account(network, payee)).toMatchObject({
      accruedMinor: stage === 'before settlement' ? 400n : 0n,
      payableMinor: stage === 'after settlement' ? 400n : 0n,
    })
    expect(await refund(network, payee, txId, '150')).toMatchObject({ outcome: 'confirmed' })
    expect(await refund(network, payee, txId, '250')).toMatchObject({ outcome: 'confirmed' })
    await atRest(stage)
    expect(account(network, payee)).toMatchObject({ reversedMinor: reversedMinor + 400n, refundingMinor: 0n })
  })

  it.each(['hu-bakery', 'ro-bakery'])('of a macro payment to %s: the money of the payee comes first', async (payee) => {
    const entries = network.report.cpp('hu-cpp').pairs.map(({ lastSeq }) => lastSeq)
    const { txId } = await paid(network, payee, '5000')
    expect(await refund(network, payee, txId, '2000')).toMatchObject({ outcome: 'confirmed' })
    expect(await refund(network, payee, txId, '3001')).toMatchObject({ ok: false, code: 'REFUND_EXCEEDED' })
    expect(await refund(network, payee, txId, '3000')).toMatchObject({ outcome: 'confirmed' })
    await atRest('macro')
    // Not by the pair: what the CPP owes the MPP has nothing to do with it.
    expect(network.report.cpp('hu-cpp').pairs.map(({ lastSeq }) => lastSeq)).toEqual(entries)
  })

  it('whose confirmation is lost on its way comes to the MPP as a missing entry', async () => {
    const { txId } = await paid(network, 'hu-bakery', '400')
    network.sim.setOnSend(({ subject }) => ({ delaysMs: subject.includes('refund-confirmation') ? [] : [0] }))
    const { refundId } = await ask(network, 'hu-bakery', txId, '400')
    await network.sim.run()
    expect(lines(network, 'hu-mpp').flatMap((line) => line.refunds ?? [])).toContainEqual(
      expect.objectContaining({ refundId, state: 'countersigned' }),
    )
    await settle(network)
    expect(account(network, 'hu-bakery')).toMatchObject({ refundingMinor: 0n })
    network.sim.setOnSend(undefined)
    await atRest('missing')
  })
})

describe('refunds in a storm', { timeout: 240_000 }, () => {
  it.each(SEEDS)('of loss, duplication, reordering and power cuts end everywhere the same: seed %s', async (seed) => {
    const network = await build(`storm ${seed}`)
    const { sim, pay } = network
    const random = seededRandom(`refunds ${seed}`)
    const chance = (): number => randomBelow(random, 1_000) / 1_000
    const bought: { readonly payee: string; readonly txId: string }[] = []
    for (const [payee, amountMinor] of [
      ['hu-bakery', '400'],
      ['ro-bakery', '300'],
      ['hu-bakery', '2500'],
      ['ro-bakery', '2600'],
      ['hu-bakery', '90'],
    ] as const) {
      const answer = await pay('hu', payee, amountMinor)
      if (!answer.ok) throw new Error(answer.error.code)
      bought.push({ payee, txId: (answer.value as Paid).txId })
    }
    sim.setOnSend(() => {
      const luck = chance()
      if (luck < 0.12) return { delaysMs: [] }
      if (luck < 0.22) return { delaysMs: [0, 400], overtake: true }
      return { delaysMs: [Math.floor(chance() * 300)], overtake: luck < 0.4 }
    })
    const victims = sim.hosts().filter(({ id }) => id.includes('hu-') && !id.includes('dc'))
    for (let round = 0; round < 12; round++) {
      const { payee, txId } = bought[round % bought.length] as (typeof bought)[number]
      await ask(network, payee, txId, String(20 + Math.floor(chance() * 60)))
      await sim.advance(200 + Math.floor(chance() * 600), 100)
      const victim = victims[randomBelow(random, victims.length)] as (typeof victims)[number]
      await victim.crash()
      await sim.advance(Math.floor(chance() * 1_000), 100)
      await victim.restart()
    }
    sim.setOnSend(undefined)
    await sim.advance(180_000, 2_000)
    expect(problems(network)).toEqual([])
    const confirmed = lines(network, 'hu-cpp').flatMap(({ refunds = [] }) => refunds)
    expect(confirmed.length).toBeGreaterThan(5)
  })
})
