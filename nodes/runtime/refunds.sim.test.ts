/** Refunds over the real nodes: every moment a refund may come at, at home and abroad, micro and macro. */
import { beforeAll, describe, expect, it } from 'vitest'
import { ask, balances, build, lines, paid, problems, refund } from './refund-network.ts'
import type { WholeNetwork } from './whole-network.ts'

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
