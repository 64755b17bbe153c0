/** A merchant host that lies: what it may not do, and the code or rule that stops it. Its own payees trust it; nobody else does. */
import { beforeAll, describe, expect, test } from 'vitest'
import { DELIVERED_AT_ONCE, LOST } from '../../../bus/simulated-bus.ts'
import { failureCode, failureNumber } from '../../../protocol/failures.ts'
import type { Body } from '../../../protocol/kinds.ts'
import { sealOne } from '../../../protocol/seals.ts'
import { makeContent } from '../../../protocol/envelope.ts'
import { payments, refusedRequests } from '../../cpp/state.ts'
import { bookings } from '../../merchant/state.ts'
import { PAYEES } from '../../mpp/state.ts'
import { bodyOf, kindOf, parsed, type MadeRequest } from '../testing/forge.ts'
import { codesAt, CREDENTIALS, nothingChanged, REFUSED_PAYMENT, STORED_ANSWER } from '../testing/nothing-changed.ts'
import { account, HOSTS, NOTICE_LIFETIME_MS, type Customer } from '../testing/world.ts'
import { FENCE, insiders, LIARS, discord, refusedBy, type Insiders } from './testing/insiders.ts'

const ASKED = [...CREDENTIALS, ...STORED_ANSWER]
const LIAR = LIARS.merchant

let on: Insiders
beforeAll(async () => {
  on = await insiders('a lying merchant host')
}, 60_000)

const endOf = ({ cpp, prId }: MadeRequest): readonly unknown[] => {
  const { read } = on.sim.host(cpp).host()
  const row = read.get(payments, prId)
  if (row !== undefined) return [row.state, row.code === undefined ? undefined : failureCode(row.code)]
  const refused = read.get(refusedRequests, prId)
  return refused === undefined ? [] : ['refused', failureCode(refused.code)]
}
const asked = async (trans: Uint8Array, customer: Customer = 'hu-alice'): Promise<MadeRequest> => {
  const request = on.forge.paymentRequest(customer, trans)
  on.forge.request(request)
  await on.sim.run()
  return request
}
/** What the lying host would sign about the last notice that the honest MPP brought it. */
const decisionOf = (more: Partial<Body<'payment-decision'>> = {}): Body<'payment-decision'> => {
  const sent = on.world.sent.findLast((one) => one.to === LIAR && kindOf(one) === 'payment-notice')
  if (sent === undefined) throw new Error('no notice came')
  const { pnId, payee, trans } = bodyOf('payment-notice', sent.data)
  const { txId } = bodyOf('transaction-details', trans)
  return { pnId, payee, txId, noticeDigest: parsed(sent.data).digest, decision: 'approve', ...more }
}
const decide = async (body: Body<'payment-decision'>): Promise<void> => {
  on.say(LIAR, HOSTS.mpp, 'payment-decision', body)
  await on.sim.run()
}
const refusedDecision = async (body: Body<'payment-decision'>): Promise<readonly string[]> =>
  refusedBy(await nothingChanged(on.world, () => decide(body), ASKED), HOSTS.mpp)
const credited = (payee: string): bigint => {
  const row = on.sim.host(HOSTS.mpp).host().read.get(PAYEES, payee)
  if (row === undefined) throw new Error(`no payee ${payee}`)
  return row.accruedMinor + row.payableMinor + row.payingMinor + row.paidMinor
}

describe('a merchant host that decides', () => {
  test('a merchant host that approves twice is paid once: ID_REUSED', async () => {
    const before = credited(FENCE)
    const request = await asked(on.fenceInvoice(30n))
    await decide(decisionOf())
    expect(endOf(request)).toEqual(['confirmed', undefined])
    // Sealed anew it is the same message and gets the stored end; said otherwise it is another.
    expect(await refusedDecision(decisionOf({ reason: 'once more' }))).toEqual(['ID_REUSED'])
    expect(credited(FENCE)).toBe(before + 30n)
  })
  test('a merchant host that approves and then rejects is refused: ID_REUSED', async () => {
    const request = await asked(on.fenceInvoice(31n))
    await decide(decisionOf())
    expect(await refusedDecision(decisionOf({ decision: 'reject', code: 6013 }))).toEqual(['ID_REUSED'])
    expect(endOf(request)).toEqual(['confirmed', undefined])
  })
  test('a merchant host that rejects and then approves is refused: ID_REUSED', async () => {
    const before = credited(FENCE)
    const request = await asked(on.fenceInvoice(32n))
    await decide(decisionOf({ decision: 'reject', code: 6013 }))
    expect(await refusedDecision(decisionOf())).toEqual(['ID_REUSED'])
    expect([endOf(request), credited(FENCE)]).toEqual([['rejected', 'REJECTED_BY_PAYEE'], before])
  })
  test('a merchant host that takes two payments for one TRANS gets one: TRANS_LOCKED, later TRANS_ALREADY_PAID', async () => {
    const before = credited(FENCE)
    const trans = on.fenceInvoice(33n)
    const first = await asked(trans, 'hu-alice')
    const approve = decisionOf()
    const second = await asked(trans, 'hu-carol')
    expect(endOf(second)).toEqual(['rejected', 'TRANS_LOCKED'])
    await decide(approve)
    const third = await asked(trans, 'hu-carol')
    expect([endOf(first), endOf(third)]).toEqual([
      ['confirmed', undefined],
      ['rejected', 'TRANS_ALREADY_PAID'],
    ])
    expect(credited(FENCE)).toBe(before + 33n)
  })
  test('a merchant host that approves for a payee of another host is refused: NOT_FOUND', async () => {
    const request = await asked(await on.forge.invoice('hu-quiet', '34'))
    const sent = on.world.sent.findLast((one) => one.to === HOSTS.merchant && kindOf(one) === 'payment-notice')
    if (sent === undefined) throw new Error('no notice')
    const { pnId, payee, trans } = bodyOf('payment-notice', sent.data)
    const { txId } = bodyOf('transaction-details', trans)
    const body = { pnId, payee, txId, noticeDigest: parsed(sent.data).digest, decision: 'approve' } as const
    expect(await refusedDecision(body)).toEqual(['NOT_FOUND'])
    await on.sim.advance(NOTICE_LIFETIME_MS + 1_000, 1_000)
    expect(endOf(request)).toEqual(['expired', 'NOTICE_EXPIRED'])
  })
  test('a merchant host that decides on a notice it never got is refused: NOT_FOUND', async () => {
    expect(await refusedDecision(decisionOf({ pnId: on.forge.id() }))).toEqual(['NOT_FOUND'])
  })
  test("a merchant host that decides on another invoice than the notice's is refused: NOT_FOUND", async () => {
    const request = await asked(on.fenceInvoice(35n))
    expect(await refusedDecision(decisionOf({ txId: on.forge.id() }))).toEqual(['NOT_FOUND'])
    await on.sim.advance(NOTICE_LIFETIME_MS + 1_000, 1_000)
    expect(endOf(request)).toEqual(['expired', 'NOTICE_EXPIRED'])
  })
})

describe('a merchant host whose invoices lie', () => {
  const refused = async (trans: Uint8Array): Promise<readonly unknown[]> => {
    const request = on.forge.paymentRequest('hu-alice', trans)
    await nothingChanged(on.world, () => on.forge.request(request), REFUSED_PAYMENT)
    return endOf(request)
  }
  const bakery = async (): Promise<readonly Uint8Array[]> =>
    bodyOf('transaction-details', await on.forge.invoice('hu-bakery', '36')).chain

  test("a merchant host that invoices for another's payee is refused: BROKEN_CHAIN, so TRANS_INVALID", async () => {
    const chain = [...on.liars.merchant.chain, (await bakery())[2] as Uint8Array]
    expect(await refused(on.invoice(LIAR, 'hu-bakery', chain, 36n))).toEqual(['refused', 'TRANS_INVALID'])
  })
  test("a merchant host that invoices with another's chain is refused: KEY_NOT_OF_SENDER, so TRANS_INVALID", async () => {
    const real = on.invoice(LIAR, 'hu-bakery', await bakery(), 36n)
    expect(await refused(real)).toEqual(['refused', 'TRANS_INVALID'])
    const { header, bodyBytes } = parsed(real)
    const posing = sealOne(
      makeContent(
        on.forge.header('transaction-details', HOSTS.merchant, header.to, { expiresAtMs: header.expiresAtMs }),
        bodyBytes,
      ),
      on.liars.merchant.signing,
    )
    expect(await refused(posing)).toEqual(['refused', 'TRANS_INVALID'])
  })
  test('a merchant host that signs its own payee credential is refused: BROKEN_CHAIN, so TRANS_INVALID', async () => {
    const credential = on.payeeCredential(FENCE, LIAR, account('trap'), on.liars.merchant)
    const trans = on.invoice(LIAR, FENCE, [...on.liars.merchant.chain, credential], 37n)
    expect(await refused(trans)).toEqual(['refused', 'TRANS_INVALID'])
  })
  test('a merchant host that uses a txId twice with another amount is paid once: TRANS_ALREADY_PAID', async () => {
    const first = on.fenceInvoice(38n)
    const { txId, chain } = bodyOf('transaction-details', first)
    const before = credited(FENCE)
    const request = await asked(first)
    await decide(decisionOf())
    const again = on.invoice(LIAR, FENCE, chain, 99n, { txId })
    expect(await refused(again)).toEqual(['refused', 'TRANS_ALREADY_PAID'])
    const elsewhere = await asked(again, 'hu-carol')
    expect([endOf(request), endOf(elsewhere)]).toEqual([
      ['confirmed', undefined],
      ['rejected', 'TRANS_ALREADY_PAID'],
    ])
    expect(credited(FENCE)).toBe(before + 38n)
  })
  test("a merchant host that asks to be paid for another's payee is refused: TRANS_INVALID", async () => {
    const trans = await on.forge.invoice('hu-bakery', '39')
    const body = { requestId: on.forge.id(), alias: 'hu-alice-pays', trans, description: '', salt: on.forge.id() }
    const caused = await nothingChanged(
      on.world,
      () => void on.say(LIAR, 'hu-alice-pays', 'request-to-pay', body, { via: HOSTS.mpp }),
      ASKED,
    )
    expect(codesAt(caused, HOSTS.mpp).at(-1)).toBe('KEY_NOT_OF_SENDER')
  })
  test('a merchant host that floods an alias with requests moves no money, and the customer still pays', async () => {
    const before = credited(FENCE)
    for (let i = 0; i < 40; i++) {
      const body = {
        requestId: on.forge.id(),
        alias: 'hu-alice-pays',
        trans: on.fenceInvoice(1n),
        description: 'a thing',
        salt: on.forge.id(),
      }
      on.say(LIAR, 'hu-alice-pays', 'request-to-pay', body, { via: HOSTS.mpp })
    }
    await on.sim.run()
    expect((await on.world.pay('hu-alice', 'hu-bakery', '12'))['outcome']).toBe('confirmed')
    expect(credited(FENCE)).toBe(before)
  })
})

describe('a merchant host that enrols what is not its own', () => {
  const enrolment = (more: Partial<Body<'payee-enrolment'>>): Body<'payee-enrolment'> => ({
    enrolmentId: on.forge.id(),
    payee: 'hu-stall',
    payeeKind: 'shop',
    displayName: 'Stall',
    account: account('fence'),
    currency: 'EUR',
    mandate: on.mandateOf(account('fence'), HOSTS.mpp),
    ...more,
  })
  const refused = async (from: string, body: Body<'payee-enrolment'>): Promise<readonly string[]> => {
    const since = on.world.sent.length
    on.say(from, HOSTS.mpp, 'payee-enrolment', body)
    await on.sim.run()
    return refusedBy({ sent: on.world.sent.slice(since) }, HOSTS.mpp)
  }
  const rowOf = (payee: string) => on.sim.host(HOSTS.mpp).host().read.get(PAYEES, payee)

  test("a merchant host that takes over another host's payee is refused: NAME_TAKEN", async () => {
    const before = rowOf('hu-bakery')
    expect(await refused(LIAR, enrolment({ payee: 'hu-bakery' }))).toEqual(['NAME_TAKEN'])
    expect(rowOf('hu-bakery')).toEqual(before)
  })
  test('a merchant host that enrols a payee of another realm is refused: ENROLMENT_REFUSED', async () => {
    expect(await refused(LIAR, enrolment({ payee: 'at-stall' }))).toEqual(['ENROLMENT_REFUSED'])
  })
  test('a merchant host that enrols a payee on an account whose holder did not sign is refused: MANDATE_INVALID', async () => {
    expect(await refused(LIAR, enrolment({ account: account('alice') }))).toEqual(['MANDATE_INVALID'])
    const forged = on.mandateOf(account('fence'), HOSTS.cpp)
    expect(await refused(LIAR, enrolment({ mandate: forged }))).toEqual(['MANDATE_INVALID'])
    expect(rowOf('hu-stall')).toBeUndefined()
  })
  test('a merchant host of another MPP is refused: BROKEN_CHAIN, then ENROLMENT_REFUSED', async () => {
    const chain = [...on.liars.accomplice.chain]
    const caused = await nothingChanged(
      on.world,
      () => void on.say(LIARS.accomplice, HOSTS.mpp, 'host-registration', { registrationId: on.forge.id(), chain }),
      ASKED,
    )
    expect(refusedBy(caused, HOSTS.mpp)).toEqual(['BROKEN_CHAIN'])
    expect(await refused(LIARS.accomplice, enrolment({}))).toEqual(['ENROLMENT_REFUSED'])
  })
})

describe('a merchant host that says what it may not', () => {
  test("a merchant host that receipts another host's bank notice changes nothing: only the addressee's receipt counts", async () => {
    on.world.setFate((one) =>
      kindOf(one) === 'account-notice' && one.to === HOSTS.merchant ? LOST : DELIVERED_AT_ONCE,
    )
    await on.world.must(HOSTS.cpp, 'settle-now')
    await on.world.pay('hu-bob', 'hu-bakery', '2400')
    const lost = on.world.sent.findLast((one) => kindOf(one) === 'account-notice' && one.to === HOSTS.merchant)
    if (lost === undefined) throw new Error('no notice')
    const { digest } = parsed(lost.data)
    await nothingChanged(on.world, () => void on.say(LIAR, HOSTS.bank, 'receipt', { digest }), ASKED)
    const noticed = () => [...on.sim.host(HOSTS.merchant).host().read.scan(bookings, ['hu-bakery'])].length
    const before = noticed()
    on.world.setFate(undefined)
    await on.sim.advance(20_000, 1_000)
    expect(noticed()).toBeGreaterThan(before)
  })
  test('a merchant host that refuses a notice of another host ends nothing', async () => {
    on.world.setFate((one) =>
      kindOf(one) === 'payment-notice' && one.to === HOSTS.merchant ? LOST : DELIVERED_AT_ONCE,
    )
    const request = await asked(await on.forge.invoice('hu-bakery', '40'))
    const { digest } = parsed(on.forge.captured('payment-notice', HOSTS.cpp).data)
    const body = { digest, code: failureNumber('REJECTED_BY_PAYEE'), detail: '' }
    await nothingChanged(on.world, () => void on.say(LIAR, HOSTS.mpp, 'refusal', body), ASKED)
    on.world.setFate(undefined)
    await on.sim.advance(5_000, 500)
    expect(endOf(request)).toEqual(['confirmed', undefined])
  })
  test('a merchant host that asks for a refund of a payment that never was is refused: NOT_FOUND', async () => {
    const body = {
      refundId: on.forge.id(),
      payee: FENCE,
      txId: on.forge.id(),
      pnId: on.forge.id(),
      amountMinor: 1n,
      currency: 'EUR',
    } as const
    const caused = await nothingChanged(on.world, () => void on.say(LIAR, HOSTS.mpp, 'refund-request', body), ASKED)
    expect(codesAt(caused, HOSTS.mpp)).toEqual(['NOT_FOUND'])
  })
  test('a merchant host that releases goods nobody paid for gives away its own: no ledger changes', async () => {
    await on.world.pay('hu-bob', 'hu-bakery', '13')
    const offer = on.world.sent.findLast((one) => kindOf(one) === 'offer-request')
    if (offer === undefined) throw new Error('no offer')
    const { sealingKey } = bodyOf('offer-request', offer.data)
    const token = offer.subject.split('.').at(-1) as string
    const inner = on.forge.frame('goods-release', LIAR, token, { txId: on.forge.id(), payee: FENCE, goods: 'a loaf' })
    const carrier = on.forge.carry('goods-release', LIAR, token, inner, sealingKey)
    const caused = await nothingChanged(on.world, () => on.forge.put(token, 'goods-release', LIAR, carrier), ASKED)
    expect(caused.sent.filter(({ from }) => from === HOSTS.cpp)).toEqual([])
  })
})

test('after all of this every honest ledger agrees with every other', async () => {
  for (const cpp of ['hu-otp', 'hu-erste']) await on.world.must(cpp, 'settle-now')
  await on.sim.advance(60_000, 1_000)
  const seen = ['confirmed payments that a party to them does not hold']
  expect(await discord(on.world, seen)).toEqual([])
})
