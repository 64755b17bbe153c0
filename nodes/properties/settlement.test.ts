/**
 * Settlement when it does not go as it should, through the real nodes: the cap on what a CPP may owe, a CPP that does not pay and its
 * return, a dispute to its end, money that came to a former account, a bank short of reserves. Each ends with the books agreeing.
 */
import { describe, expect, test } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import type { CppReport, MppReport } from '../runtime/reports.ts'
import { addUpStatement } from '../runtime/statement.ts'
import { buildNetwork, ids, RESERVE, type Network } from './testing/network.ts'

const hu = ids('hu')
const shop = `${hu.bank}:shop-bakery`
const mppOf = (net: Network) => net.ask(hu.mpp, 'report') as MppReport & { attention: Record<string, unknown> }
const cppPair = (net: Network) => (net.ask(hu.cpp, 'report') as CppReport).pairs[0]
const mppPair = (net: Network) => mppOf(net).pairs[0]
const paid = { outcome: 'confirmed' }
const pay = (net: Network, amountMinor: bigint): Promise<any> => net.pay('hu-alice', 'hu-bakery', amountMinor)
/** Everything that is outside a batch into one, answered, paid and paid out as far as the rules go. */
const settle = async (net: Network): Promise<void> => {
  await net.ok(hu.cpp, 'settle-now')
  await net.sim.advance(15_000, 500)
}

describe('a cap on what a CPP may owe', () => {
  test('refuses what goes beyond it, leaves macropayments alone, and opens again with the settlement', async () => {
    const net = await buildNetwork({ mpp: { creditLimitMinor: { EUR: '1000' } } })
    for (const amountMinor of [400n, 600n]) expect(await pay(net, amountMinor)).toMatchObject(paid)
    expect(await pay(net, 1n)).toMatchObject({ outcome: 'rejected', code: 'CREDIT_LIMIT' })
    expect(await pay(net, 2_500n)).toMatchObject(paid)
    // Nothing is owed for what was refused, by the customer or by the CPP.
    expect(cppPair(net)).toMatchObject({ payableMinor: 1_000n })
    expect(net.ask(hu.mpp, 'credit')).toMatchObject([
      { receivableMinor: 1_000n, reservedMinor: 0n, limitMinor: 1_000n },
    ])
    await settle(net)
    expect(await pay(net, 900n)).toMatchObject(paid)
    await settle(net)
    await net.settleDown()
    expect(net.balance(shop)).toBe(400n + 600n + 2_500n + 900n)
    expect(net.problems()).toEqual([])
  }, 60_000)
})

describe('a CPP that does not pay', () => {
  test('is DEFAULTED, takes no payment meanwhile, and is trusted again once the bank books what it owes', async () => {
    const net = await buildNetwork({
      processorMinor: 0n,
      mpp: { settlement: { maxUnpaidMs: 20_000, retryMs: 2_000 } },
    })
    expect(await pay(net, 700n)).toMatchObject(paid)
    await settle(net)
    expect(net.ask(hu.cpp, 'settlements').batches).toMatchObject([{ state: 'failed', code: 'INSUFFICIENT_FUNDS' }])
    expect(mppOf(net).attention).toMatchObject({ defaultedCpps: [] })
    // A statement knows no settlement that did not happen.
    for (const [host, args] of [
      [hu.cpp, { mpp: hu.mpp, currency: 'EUR' }],
      [hu.mpp, { cpp: hu.cpp, currency: 'EUR' }],
    ] as const)
      expect(addUpStatement([net.ask(host, 'statement', args)])).toMatchObject({ closingMinor: 700n, lines: [{}] })
    await net.sim.advance(20_000, 500)
    expect(mppOf(net).attention).toMatchObject({ defaultedCpps: [hu.cpp] })
    expect(await pay(net, 10n)).toMatchObject({ outcome: 'rejected', code: 'CPP_DEFAULTED' })
    // The payee is not paid with money that has not come; the MPP is owed it all the same.
    expect(net.balance(shop)).toBe(0n)
    expect(mppPair(net)).toMatchObject({ receivableMinor: 700n })
    await net.ok(hu.bank, 'deposit', { account: net.accountOf('hu', 'cpp'), amountMinor: '5000' })
    await net.sim.advance(15_000, 500)
    expect(mppOf(net).attention).toMatchObject({ defaultedCpps: [] })
    expect(await pay(net, 10n)).toMatchObject(paid)
    await settle(net)
    await net.sim.advance(20_000, 500)
    await net.settleDown()
    expect(net.balance(shop)).toBe(710n)
    expect(net.problems()).toEqual([])
  }, 60_000)
})

describe('a dispute', () => {
  test('over a correction to the payees’ loss ends with every payee paid and the operators’ books agreeing', async () => {
    const net = await buildNetwork()
    expect(await pay(net, 500n)).toMatchObject(paid)
    await settle(net)
    // The CPP takes back 1.00 of a settled entry, which the MPP does not hold to be right.
    await net.ok(hu.cpp, 'correct-entry', { mpp: hu.mpp, currency: 'EUR', pairSeq: 1, amountMinor: '-100' })
    expect(await pay(net, 300n)).toMatchObject(paid)
    await settle(net)
    const [, second] = net.ask(hu.cpp, 'settlements').batches
    expect(second).toMatchObject({ totalMinor: 200n, state: 'settled', disputes: [{ state: 'unresolved' }] })
    // 2.00 came for entries that owe the payee 3.00: nothing of it is released.
    expect(mppOf(net).attention).toMatchObject({ disputedEntries: 1, unmatchedCredits: 1 })
    expect(net.balance(shop)).toBe(500n)
    const batchId = toHex(second.batchId)
    const pairSeq = second.disputes[0].pairSeq
    await net.ok(hu.cpp, 'resolve-dispute', { batchId, pairSeq, accept: true })
    await settle(net)
    expect(mppOf(net).attention).toMatchObject({ disputedEntries: 0, unmatchedCredits: 1 })
    // The adjustment has brought what was lacking: nothing is advanced.
    expect(await net.ok(hu.mpp, 'settle-batch', { batchId })).toMatchObject({ advancedMinor: 0n })
    await net.sim.advance(25_000, 500)
    await net.settleDown()
    expect(mppOf(net).attention).toEqual({ disputedEntries: 0, defaultedCpps: [], unmatchedCredits: 0 })
    expect(cppPair(net)).toMatchObject({ entriesMinor: 800n, settledMinor: 800n, payableMinor: 0n })
    expect(mppPair(net)).toMatchObject({ entriesMinor: 800n, settledMinor: 800n, receivableMinor: 0n })
    expect(net.balance(shop)).toBe(800n)
    expect(net.problems()).toEqual([])
  }, 60_000)
})

describe('a claim for money that was never paid in', () => {
  test('is not paid by the rules; by the operator’s word it is, and the CPP that takes it back ends with the same books', async () => {
    const net = await buildNetwork()
    expect(await pay(net, 500n)).toMatchObject(paid)
    await settle(net)
    await net.ok(hu.cpp, 'correct-entry', { mpp: hu.mpp, currency: 'EUR', pairSeq: 1, amountMinor: '-100' })
    await settle(net)
    const [, claim] = net.ask(hu.cpp, 'settlements').batches
    expect(claim).toMatchObject({ totalMinor: -100n, state: 'owed', disputes: [{ state: 'unresolved' }] })
    const batchId = toHex(claim.batchId)
    const { pairSeq } = claim.disputes[0]
    await net.ok(hu.cpp, 'resolve-dispute', { batchId, pairSeq, accept: true })
    // One batch at a time: the correction of the correction waits for the claim, which the MPP does not pay.
    await settle(net)
    expect(net.ask(hu.mpp, 'settlements', { open: true }).batches).toMatchObject([{ batchId, state: 'failed' }])
    expect(await net.ok(hu.mpp, 'settle-batch', { batchId })).toMatchObject({ advancedMinor: 100n })
    await settle(net)
    await settle(net)
    await net.settleDown()
    expect(net.balance(net.accountOf('hu', 'mpp'))).toBe(1_000_000n)
    expect(mppPair(net)).toMatchObject({ entriesMinor: 500n, settledMinor: 500n, receivableMinor: 0n })
    // What came back is in the surplus, beside what was advanced.
    expect(net.ask(hu.mpp, 'credit')).toMatchObject([{ surplusMinor: 100n, advancedMinor: 100n }])
    expect(net.balance(shop)).toBe(500n)
    expect(net.problems()).toEqual([])
    // Which is no reason to pay a second claim.
    await net.ok(hu.cpp, 'correct-entry', { mpp: hu.mpp, currency: 'EUR', pairSeq: 1, amountMinor: '-100' })
    await settle(net)
    expect(net.ask(hu.mpp, 'settlements', { open: true }).batches).toMatchObject([{ state: 'failed' }])
    expect(net.balance(net.accountOf('hu', 'mpp'))).toBe(1_000_000n)
  }, 60_000)
})

describe('money that came to a former account of the MPP', () => {
  test('is kept until the operator says which batch it pays; the CPP that was DEFAULTED meanwhile is trusted again', async () => {
    const net = await buildNetwork({ mpp: { settlement: { maxUnpaidMs: 5_000, retryMs: 2_000 } } })
    const policy = JSON.parse(net.sim.host(hu.mpp).host().policyJson())
    const moved = net.sim
      .host(hu.mpp)
      .host()
      .setPolicy({ ...policy, operatorAccounts: { EUR: `${hu.bank}:new` } })
    await net.sim.run()
    expect(await moved).toMatchObject({ ok: true })
    expect(await pay(net, 600n)).toMatchObject(paid)
    await settle(net)
    const { batches, unmatched, defaults } = net.ask(hu.mpp, 'settlements', { open: true })
    expect([batches.length, unmatched.length, defaults.length]).toEqual([1, 1, 1])
    expect(cppPair(net)).toMatchObject({ payableMinor: 0n })
    const { batchId } = batches[0]
    // Without a name only a credit on the account of now would do.
    await expect(net.ok(hu.mpp, 'settle-batch', { batchId })).rejects.toThrow('NOT_FOUND')
    const { noticeId } = unmatched[0]
    expect(await net.ok(hu.mpp, 'settle-batch', { batchId, noticeId })).toMatchObject({ advancedMinor: 0n })
    expect(mppOf(net).attention).toMatchObject({ defaultedCpps: [], unmatchedCredits: 0 })
    expect(mppPair(net)).toMatchObject({ receivableMinor: 0n, settledMinor: 600n })
    expect(await pay(net, 10n)).toMatchObject(paid)
  }, 60_000)
})

describe('a bank short of reserves', () => {
  test('leaves its clearing queued and visible at the settlement bank; funding posts it, and nobody was paid less', async () => {
    const net = await buildNetwork({ realms: ['hu', 'ro'], reserveMinor: 100n })
    const queued = () => net.bankReport(RESERVE).queued
    expect(await net.pay('hu-alice', 'ro-bakery', 2_500n)).toMatchObject(paid)
    await net.sim.advance(10_000, 500)
    expect(net.balance('ro-bank:shop-bakery')).toBe(2_500n)
    expect(queued()).toEqual([{ debtor: hu.bank, currency: 'EUR', orders: 1, amountMinor: 2_500n }])
    expect(net.problems()).toEqual([])
    // What comes the other way frees a part of it, not enough.
    expect(await net.pay('ro-alice', 'hu-bakery', 1_500n)).toMatchObject(paid)
    await net.sim.advance(10_000, 500)
    expect(net.problems()).toEqual([])
    await net.ok(RESERVE, 'fund-reserve', { bank: hu.bank, currency: 'EUR', amountMinor: '2400' })
    await net.sim.advance(10_000, 500)
    await net.settleDown()
    expect(queued()).toEqual([])
    expect(net.bankReport(hu.bank).clearing.every(({ positionMinor }) => positionMinor === 0n)).toBe(true)
    expect(net.problems()).toEqual([])
  }, 60_000)
})
