/** Policies among real neighbours: bulk orders at real banks, a policy changed while payments flow, an account closed by its wallet. */
import { describe, expect, it } from 'vitest'
import type { CppReport } from '../runtime/reports.ts'
import { buildWholeNetwork, oneTruth, unrest, type WholeNetwork } from '../runtime/whole-network.ts'
import { windowEnd } from './policies.ts'

const CPP = 'hu-cpp'
const WINDOW = 30_000
type Answered = { readonly ok: boolean; readonly value?: any; readonly error?: unknown }

const settled = async <T>({ sim }: WholeNetwork, promise: Promise<T>, ms = 60_000): Promise<T> => {
  let result: { readonly value: T } | undefined
  void promise.then((value) => (result = { value }))
  for (let passed = 0; result === undefined && passed < ms; passed += 250) {
    await sim.advance(250)
    // scrypt runs on real time.
    await new Promise((resolve) => void setImmediate(resolve))
  }
  if (result === undefined) throw new Error('no outcome in time')
  return result.value
}
const pay = async (net: WholeNetwork, amountMinor: string, payee = 'hu-bakery'): Promise<string> => {
  const answer = (await settled(net, net.pay('hu', payee, amountMinor))) as Answered
  return answer.value?.outcome ?? answer.error
}
const setAggregation = async ({ sim }: WholeNetwork, aggregation: object): Promise<Answered> => {
  const host = sim.host(CPP).host()
  const changed = host.setPolicy({ ...JSON.parse(host.policyJson()), aggregation })
  await sim.run()
  return changed
}
const totals = ({ report }: WholeNetwork): CppReport['totals'][number] => {
  const [sums] = report.cpp(CPP).totals
  if (sums === undefined) throw new Error('no totals')
  return sums
}
const nowOf = ({ sim }: WholeNetwork): number => sim.host(CPP).host().nowMs()
const balanceOf = ({ report }: WholeNetwork, account: string): bigint =>
  report.bank('hu-bank').accounts.find((one) => one.account === account)?.balanceMinor ?? -1n

describe('a policy changed on a running network', () => {
  it('collects by the new one what was owed under the old, in one bulk order at the end of its window', async () => {
    const net = await buildWholeNetwork('policy change')
    expect(await pay(net, '300')).toBe('confirmed')
    expect(
      await setAggregation(net, { policy: 'bulk', windowMs: WINDOW, lowWaterMinor: { EUR: '250' } }),
    ).toMatchObject({
      ok: true,
    })
    expect(totals(net)).toMatchObject({ outstandingMinor: 300n, collections: 0 })
    const before = balanceOf(net, 'hu-bank:alice')
    await net.sim.advance(windowEnd(nowOf(net), WINDOW) - nowOf(net) + 5_000)
    expect(totals(net)).toMatchObject({ outstandingMinor: 0n, collectedMinor: 300n, collections: 1 })
    expect(balanceOf(net, 'hu-bank:alice')).toBe(before - 300n)
    expect(net.report.bank('hu-bank').orders.filter(({ purpose }) => purpose === 'collection')).toMatchObject([
      { from: CPP, count: 1, amountMinor: 300n },
    ])
    // A crossing between two windows is collected by itself.
    for (const amount of ['600', '300', '200']) expect(await pay(net, amount)).toBe('confirmed')
    expect(totals(net)).toMatchObject({ outstandingMinor: 200n, collectedMinor: 1_200n, collections: 2 })
    // Back to the paper's: nothing of the windows is left.
    expect(await setAggregation(net, { policy: 'threshold' })).toMatchObject({ ok: true })
    await net.sim.advance(2 * WINDOW)
    expect(totals(net)).toMatchObject({ outstandingMinor: 200n, collections: 2 })
    expect(unrest(net)).toEqual([])
    expect(new Set(oneTruth(net).values())).toEqual(new Set(['confirmed']))
  }, 60_000)

  it('survives a power cut in the middle of a bulk order, and collects once', async () => {
    const net = await buildWholeNetwork('bulk cut')
    await setAggregation(net, { policy: 'bulk', windowMs: WINDOW, lowWaterMinor: { EUR: '250' } })
    expect(await pay(net, '400')).toBe('confirmed')
    const before = balanceOf(net, 'hu-bank:alice')
    await net.sim.advance(windowEnd(nowOf(net), WINDOW) - nowOf(net) - 1)
    await net.sim.advance(1_500)
    await net.sim.host(CPP).crash()
    await net.sim.host(CPP).restart()
    await net.sim.advance(60_000)
    expect(totals(net)).toMatchObject({ outstandingMinor: 0n, collectedMinor: 400n, collections: 1 })
    expect(balanceOf(net, 'hu-bank:alice')).toBe(before - 400n)
    expect(unrest(net)).toEqual([])
  }, 60_000)

  it('that does not fit is refused, and the old one stays', async () => {
    const net = await buildWholeNetwork('bad policy')
    expect(await setAggregation(net, { policy: 'bulk', windowMs: 0 })).toMatchObject({
      ok: false,
      error: { code: 'BAD_POLICY', detail: expect.stringContaining('/aggregation/windowMs') },
    })
    expect(JSON.parse(net.sim.host(CPP).host().policyJson()).aggregation).toBeUndefined()
  }, 60_000)
})

describe('an account closed by its wallet', () => {
  it('is collected, closed at both ends, and pays nothing more', async () => {
    const net = await buildWholeNetwork('closure')
    expect(await pay(net, '300')).toBe('confirmed')
    const wallet = net.sim.host('hu-wallet-1').host()
    const close = (pin: string) =>
      settled(net, wallet.command('close-account', { customer: 'hu-alice', cpp: CPP, pin })) as Promise<Answered>
    expect((await close('000000')).value).toMatchObject({ ok: false, code: 'WRONG_PIN' })
    expect((await close('123456')).value).toMatchObject({ ok: true, closed: true })
    expect(totals(net)).toMatchObject({ outstandingMinor: 0n, collectedMinor: 300n })
    expect(net.report.cpp(CPP).customers).toBe(0)
    expect(((await net.pay('hu', 'hu-bakery', '100')) as Answered).value).toMatchObject({ ok: false })
    const enrolments = (wallet.ask('customers', {}) as Answered).value[0].enrolments
    expect(enrolments).toMatchObject([{ cpp: CPP, state: 'closed' }])
    await net.sim.advance(20_000)
    expect(unrest(net)).toEqual([])
  }, 60_000)
})
