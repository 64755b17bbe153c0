/** One invoice is payable once: by one customer, by two of one CPP, by two at two CPPs; and not once it has expired. */
import { beforeAll, describe, expect, test } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import { failureCode } from '../../protocol/failures.ts'
import { payments, refusedRequests, type PaymentRow } from '../cpp/state.ts'
import type { MerchantReport, PaymentsPage } from '../runtime/reports.ts'
import { forgery, parsed, type Forgery } from './testing/forge.ts'
import { codesAt, nothingChanged, REFUSED_PAYMENT, STORED_ANSWER } from './testing/nothing-changed.ts'
import { HOSTS, hostileWorld, NOTICE_LIFETIME_MS, OTHER_CPP, type World } from './testing/world.ts'

let world: World
let forge: Forgery
beforeAll(async () => {
  world = await hostileWorld()
  forge = forgery(world, 'paid twice')
}, 60_000)

const rowOf = (cpp: string, prId: Uint8Array): PaymentRow | undefined =>
  world.sim.host(cpp).host().read.get(payments, prId)
/** [state, code] of a payment request at its CPP. */
const endOf = ({ cpp, prId }: { readonly cpp: string; readonly prId: Uint8Array }): readonly unknown[] => {
  const row = rowOf(cpp, prId)
  if (row !== undefined) return [row.state, row.code === undefined ? undefined : failureCode(row.code)]
  const refused = world.sim.host(cpp).host().read.get(refusedRequests, prId)
  return refused === undefined ? [] : ['refused', failureCode(refused.code)]
}
const paidAtShop = (payee: string): bigint => {
  const { payees } = world.report(HOSTS.merchant) as MerchantReport
  return payees.find((one) => one.payee === payee)?.confirmedMicroMinor ?? 0n
}
const confirmedAt = (host: string, txIdOf: PaymentRow | undefined): number => {
  const answer = world.sim.host(host).host().ask('payments', {})
  if (!answer.ok || txIdOf === undefined) throw new Error('no payments')
  const txId = toHex(txIdOf.txId)
  return (answer.value as PaymentsPage).payments.filter((line) => line.txId === txId && line.state === 'confirmed')
    .length
}

describe('an invoice paid twice', () => {
  test.each(['hu-alice', 'hu-bob'] as const)(
    'at one CPP, the second time by %s: locked while the first is undecided, already paid after',
    async (second) => {
      const before = paidAtShop('hu-bakery')
      const trans = await forge.invoice('hu-bakery', '130')
      const first = forge.paymentRequest('hu-alice', trans)
      const tooEarly = forge.paymentRequest(second, trans)
      forge.request(first)
      forge.request(tooEarly)
      await world.sim.run()
      expect(endOf(first)).toEqual(['confirmed', undefined])
      expect(endOf(tooEarly)).toEqual(['refused', 'TRANS_LOCKED'])
      const tooLate = forge.paymentRequest(second, trans)
      await nothingChanged(world, () => forge.request(tooLate), REFUSED_PAYMENT)
      expect(endOf(tooLate)).toEqual(['refused', 'TRANS_ALREADY_PAID'])
      expect(paidAtShop('hu-bakery') - before).toBe(130n)
      expect(confirmedAt(HOSTS.merchant, rowOf(first.cpp, first.prId))).toBe(1)
      await world.sim.advance(15_000)
    },
  )

  test('at two CPPs at once: the MPP takes one, and rejects the other as locked, later ones as paid', async () => {
    const before = paidAtShop('hu-bakery')
    const trans = await forge.invoice('hu-bakery', '140')
    const requests = [forge.paymentRequest('hu-carol', trans), forge.paymentRequest('hu-bob', trans)]
    requests.forEach(forge.request)
    await world.sim.advance(NOTICE_LIFETIME_MS)
    expect(requests.map(endOf).toSorted()).toEqual([
      ['confirmed', undefined],
      ['rejected', 'TRANS_LOCKED'],
    ])
    const loser = endOf(requests[0] as (typeof requests)[number])[0] === 'confirmed' ? 'hu-bob' : 'hu-carol'
    const again = forge.paymentRequest(loser, trans)
    forge.request(again)
    await world.sim.advance(NOTICE_LIFETIME_MS)
    expect(endOf(again)).toEqual(['rejected', 'TRANS_ALREADY_PAID'])
    expect(paidAtShop('hu-bakery') - before).toBe(140n)
    for (const host of [HOSTS.mpp, HOSTS.merchant])
      expect([host, confirmedAt(host, rowOf(again.cpp, again.prId))]).toEqual([host, 1])
    for (const cpp of [HOSTS.cpp, OTHER_CPP])
      expect(world.report(cpp)).toMatchObject({ undecided: {}, boundBreaches: 0 })
  })

  test('an outcome that is not confirmed frees the invoice', async () => {
    const trans = await forge.invoice('hu-quiet', '150')
    const first = forge.paymentRequest('hu-alice', trans)
    forge.request(first)
    await world.sim.advance(NOTICE_LIFETIME_MS + 2_000)
    expect(endOf(first)).toEqual(['expired', 'NOTICE_EXPIRED'])
    await world.must(HOSTS.merchant, 'set-approval', { payee: 'hu-quiet', approval: { rule: 'approve' } })
    const second = forge.paymentRequest('hu-carol', trans)
    forge.request(second)
    await world.sim.advance(NOTICE_LIFETIME_MS)
    expect(endOf(second)).toEqual(['confirmed', undefined])
    await world.must(HOSTS.merchant, 'set-approval', { payee: 'hu-quiet', approval: { rule: 'silent' } })
  })
})

describe('an invoice that has expired', () => {
  test('is paid a millisecond before its end, and refused at it', async () => {
    const lifetimeMs = 5_000
    const early = await forge.invoice('hu-bakery', '160', { lifetimeMs })
    const late = await forge.invoice('hu-bakery', '170', { lifetimeMs })
    const end = parsed(late).header.expiresAtMs as number
    expect(parsed(early).header.expiresAtMs).toBe(end)
    world.sim.setTime(end - 1)
    await world.sim.run()
    const inTime = forge.paymentRequest('hu-bob', early)
    const tooLate = forge.paymentRequest('hu-bob', late)
    forge.request(inTime)
    await world.sim.run()
    expect(endOf(inTime)).toEqual(['confirmed', undefined])
    world.sim.setTime(end)
    await world.sim.run()
    await nothingChanged(world, () => forge.request(tooLate), REFUSED_PAYMENT)
    expect(endOf(tooLate)).toEqual(['refused', 'TRANS_EXPIRED'])
  })

  test('a payment request that has itself expired is MESSAGE_EXPIRED, and leaves no payment', async () => {
    const trans = await forge.invoice('hu-bakery', '180')
    const request = forge.paymentRequest('hu-bob', trans, { expiresAtMs: world.sim.now() })
    const caused = await nothingChanged(world, () => forge.request(request), STORED_ANSWER)
    expect(codesAt(caused, HOSTS.cpp)).toEqual(['MESSAGE_EXPIRED'])
    expect(endOf(request)).toEqual([])
  })
})
