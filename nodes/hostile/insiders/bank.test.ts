/** A bank that lies: what it may not do, and the code or rule that stops it. Who has an account there trusts it; nobody else does. */
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { DELIVERED_AT_ONCE, LOST } from '../../../bus/simulated-bus.ts'
import { failureCode, failureNumber } from '../../../protocol/failures.ts'
import type { Body, KindName } from '../../../protocol/kinds.ts'
import { orders as cppOrders } from '../../cpp/state.ts'
import { orders as merchantOrders } from '../../merchant/state.ts'
import { UNMATCHED } from '../../mpp/state.ts'
import type { BankReport } from '../../runtime/reports.ts'
import { bodyOf, kindOf, parsed } from '../testing/forge.ts'
import { CREDENTIALS, nothingChanged, STORED_ANSWER } from '../testing/nothing-changed.ts'
import { account, HOSTS, type Sent } from '../testing/world.ts'
import { insiders, LIARS, discord, refusedBy, type Insiders } from './testing/insiders.ts'

const ASKED = [...CREDENTIALS, ...STORED_ANSWER]
const LIAR = LIARS.bank
const RESERVE = 'at-reserve'

let on: Insiders
afterEach(() => hear())
beforeAll(async () => {
  on = await insiders('a lying bank')
}, 60_000)

/** The codes with which `to` refuses what a bank says; nothing changes. */
const refused = async <K extends KindName>(
  from: string,
  to: string,
  kind: K,
  body: Body<K>,
  added: readonly string[] = ASKED,
): Promise<readonly string[]> =>
  refusedBy(await nothingChanged(on.world, () => void on.say(from, to, kind, body), added), to)
/** Nothing that this host seals arrives, as often as it sends it. */
const silence = (host: string): void =>
  on.world.setFate((one: Sent) =>
    one.from !== 'attacker' && parsed(one.data).header.from === host ? LOST : DELIVERED_AT_ONCE,
  )
const hear = (): void => on.world.setFate(undefined)

describe("a bank that answers another bank's order", () => {
  test('a bank that says held for a hold ordered elsewhere is refused: NOT_FOUND', async () => {
    silence(HOSTS.bank)
    on.forge.request(on.forge.paymentRequest('hu-alice', await on.forge.invoice('hu-bakery', '3000')))
    await on.sim.run()
    const { holdId } = bodyOf('hold-order', on.forge.captured('hold-order', HOSTS.cpp).data)
    expect(await refused(LIAR, HOSTS.cpp, 'hold-answer', { holdId, result: 'held' })).toEqual(['NOT_FOUND'])
    hear()
    await on.sim.advance(20_000, 1_000)
  })
  test('a bank that says booked for a post ordered elsewhere is refused: NOT_FOUND', async () => {
    on.world.setFate((one) => (kindOf(one) === 'post-answer' && one.from !== 'attacker' ? LOST : DELIVERED_AT_ONCE))
    on.forge.request(on.forge.paymentRequest('hu-alice', await on.forge.invoice('hu-bakery', '3100')))
    await on.sim.run()
    const { orderId, holdId } = bodyOf('post-order', on.forge.captured('post-order', HOSTS.cpp).data)
    const body = { orderId, holdId, result: 'refused', code: failureNumber('HOLD_EXPIRED') } as const
    expect(await refused(LIAR, HOSTS.cpp, 'post-answer', body)).toEqual(['NOT_FOUND'])
    expect(on.sim.host(HOSTS.cpp).host().read.get(cppOrders, orderId)?.state).toBe('ordered')
    hear()
    await on.sim.advance(20_000, 1_000)
    expect(on.sim.host(HOSTS.cpp).host().read.get(cppOrders, orderId)?.state).toBe('booked')
  })
  test('a bank that says booked for a collection ordered elsewhere is refused: NOT_FOUND', async () => {
    await on.world.pay('hu-bob', 'hu-bakery', '900')
    silence(HOSTS.bank)
    await on.world.must(HOSTS.cpp, 'collect-customer', { customer: 'hu-bob' })
    const { orderId } = bodyOf('transfer-order', on.forge.captured('transfer-order', HOSTS.cpp).data)
    expect(await refused(LIAR, HOSTS.cpp, 'transfer-answer', { orderId, result: 'booked' })).toEqual(['NOT_FOUND'])
    // Nor may it say that the order was refused: that is for the bank that has it.
    const ordered = parsed(on.forge.captured('transfer-order', HOSTS.cpp).data)
    const refusal = { digest: ordered.digest, code: failureNumber('NO_MANDATE'), detail: '' }
    await nothingChanged(on.world, () => void on.say(LIAR, HOSTS.cpp, 'refusal', refusal), ASKED)
    hear()
    await on.sim.advance(20_000, 1_000)
    expect(on.sim.host(HOSTS.cpp).host().read.get(cppOrders, orderId)?.state).toBe('booked')
  })
  test('a bank that says voided for a void ordered elsewhere is refused: NOT_FOUND', async () => {
    on.world.setFate((one) => (kindOf(one) === 'void-answer' && one.from !== 'attacker' ? LOST : DELIVERED_AT_ONCE))
    on.forge.request(on.forge.paymentRequest('hu-carol', await on.forge.invoice('hu-cheap', '3200')))
    await on.sim.run()
    const { orderId, holdId } = bodyOf('void-order', on.forge.captured('void-order', 'hu-erste').data)
    expect(await refused(LIAR, 'hu-erste', 'void-answer', { orderId, holdId, result: 'voided' })).toEqual(['NOT_FOUND'])
    hear()
    await on.sim.advance(20_000, 1_000)
  })
  test('a bank that accepts a mandate on an account elsewhere is refused: NOT_FOUND', async () => {
    silence(HOSTS.bank)
    await on.world.open(account('dora'))
    on.whisper(LIARS.customer, HOSTS.cpp, 'customer-enrolment', {
      ...on.enrolment,
      enrolmentId: on.forge.id(),
      customer: 'hu-dora',
      account: account('dora'),
      mandate: on.mandateOf(account('dora'), HOSTS.cpp),
    })
    await on.sim.run()
    const { registrationId } = bodyOf('mandate-registration', on.forge.captured('mandate-registration', HOSTS.cpp).data)
    expect(await refused(LIAR, HOSTS.cpp, 'mandate-answer', { registrationId, result: 'accepted' })).toEqual([
      'NOT_FOUND',
    ])
    hear()
    await on.sim.advance(5_000, 1_000)
  })
  test("a bank that answers an MPP's payout ordered elsewhere is refused: NOT_FOUND", async () => {
    await on.world.pay('hu-carol', 'hu-bakery', '60')
    await on.world.must('hu-erste', 'settle-now')
    silence(HOSTS.bank)
    await on.world.must(HOSTS.mpp, 'payout-now', { payee: 'bakery@hu' })
    const { orderId } = bodyOf('transfer-order', on.forge.captured('transfer-order', HOSTS.mpp).data)
    expect(await refused(LIAR, HOSTS.mpp, 'transfer-answer', { orderId, result: 'booked' })).toEqual(['NOT_FOUND'])
    hear()
    await on.sim.advance(20_000, 1_000)
  })
  test("a bank that accepts a payee's mandate elsewhere is refused: NOT_FOUND", async () => {
    const body = { registrationId: on.forge.id(), result: 'accepted' } as const
    expect(await refused(LIAR, HOSTS.mpp, 'mandate-answer', body)).toEqual(['NOT_FOUND'])
  })
})

describe('the own bank, when it lies', () => {
  const changed = async (kind: 'hold-answer' | 'post-answer' | 'transfer-answer'): Promise<readonly string[]> => {
    const { subject, data } = on.forge.captured(kind, HOSTS.bank)
    const to = subject.split('.')[3] as string
    const body = bodyOf<'transfer-answer'>(kind as 'transfer-answer', data)
    const lie = { ...body, result: 'refused', code: failureNumber('NO_MANDATE') } as const
    return refused(HOSTS.bank, to, kind, lie as never)
  }
  test('a bank that answers a hold order twice, differently, is refused: ID_REUSED', async () => {
    expect(await changed('hold-answer')).toEqual(['ID_REUSED'])
  })
  test('a bank that answers a post order twice, differently, is refused: ID_REUSED', async () => {
    expect(await changed('post-answer')).toEqual(['ID_REUSED'])
  })
  test('a bank that answers a transfer order twice, differently, is refused: ID_REUSED', async () => {
    expect(await changed('transfer-answer')).toEqual(['ID_REUSED'])
  })

  test('a bank that notices another sum than the invoice releases no goods: only exactly its sum does', async () => {
    on.world.setFate((one) => (kindOf(one) === 'account-notice' && one.from !== 'attacker' ? LOST : DELIVERED_AT_ONCE))
    const trans = await on.forge.invoice('hu-bakery', '3300')
    const { payee, txId } = bodyOf('transaction-details', trans)
    on.forge.request(on.forge.paymentRequest('hu-alice', trans))
    await on.sim.run()
    const body = notice(account('hu-bakery'), 3_299n, { purpose: 'payment', id: txId })
    on.say(HOSTS.bank, HOSTS.merchant, 'account-notice', body)
    await on.sim.run()
    const state = () => on.sim.host(HOSTS.merchant).host().read.get(merchantOrders, payee, txId)?.state
    expect(state()).toBe('confirmed')
    hear()
    await on.sim.advance(20_000, 1_000)
    expect(state()).toBe('released')
  })
})

const notice = (
  of: string,
  amountMinor: bigint,
  reference: Body<'account-notice'>['reference'],
): Body<'account-notice'> => ({
  noticeId: on.forge.id(),
  account: of,
  amountMinor,
  currency: 'EUR',
  reference,
  originatingBank: LIAR,
  bookedAtMs: on.sim.now(),
})

describe('a bank that notices what it has not booked', () => {
  test("a bank that notices a payment on another bank's account is refused: ACCOUNT_UNKNOWN", async () => {
    const { txId } = bodyOf('transaction-details', await on.forge.invoice('hu-bakery', '3400'))
    const body = notice(account('hu-bakery'), 3_400n, { purpose: 'payment', id: txId })
    expect(await refused(LIAR, HOSTS.merchant, 'account-notice', body)).toEqual(['ACCOUNT_UNKNOWN'])
  })
  test('a bank that notices a payment on an account of nobody here is refused: ACCOUNT_UNKNOWN', async () => {
    const body = notice(`${LIAR}:hu-bakery`, 3_400n, { purpose: 'payment', id: on.forge.id() })
    expect(await refused(LIAR, HOSTS.merchant, 'account-notice', body)).toEqual(['ACCOUNT_UNKNOWN'])
  })
  test("a bank that notices a settlement on an MPP's account elsewhere settles nothing: it is kept for the operator", async () => {
    await on.world.pay('hu-bob', 'hu-bakery', '100')
    silence(HOSTS.bank)
    await on.world.must(HOSTS.cpp, 'settle-now', { mpp: HOSTS.mpp })
    const { batchId, totalMinor } = bodyOf('settlement-batch', on.forge.captured('settlement-batch', HOSTS.cpp).data)
    for (const of of [account('cosmo'), `${LIAR}:cosmo`]) {
      const body = notice(of, totalMinor, { purpose: 'settlement', id: batchId })
      await nothingButKept(() => void on.say(LIAR, HOSTS.mpp, 'account-notice', body))
      const kept = on.sim.host(HOSTS.mpp).host().read.get(UNMATCHED, body.noticeId)
      expect(kept).toMatchObject({ bank: LIAR, amountMinor: totalMinor })
    }
    hear()
    await on.sim.advance(20_000, 1_000)
  })
  test('a bank that notices a settlement to a CPP elsewhere settles nothing', async () => {
    const body = notice(account('otp'), 1n, { purpose: 'settlement', id: on.forge.id() })
    expect(await refused(LIAR, HOSTS.cpp, 'account-notice', body)).toEqual([])
  })
})
/** For what an MPP keeps for its operator: every report is as before but for what it shows the operator. */
const nothingButKept = async (act: () => void): Promise<void> => {
  const reports = () =>
    on.sim.hosts().map(({ id }) => {
      const report = on.world.report(id)
      return 'attention' in report ? { ...report, attention: undefined } : report
    })
  const before = reports()
  act()
  await on.sim.run()
  expect(reports()).toEqual(before)
}

describe('a bank that lies to other banks', () => {
  let creditId: Uint8Array
  beforeAll(async () => {
    await on.world.pay('hu-bob', 'at-pub', '2700')
    // Past the clearing window: the position is nothing again.
    await on.sim.advance(10_000, 1_000)
    const sent = on.world.sent.findLast((one) => kindOf(one) === 'interbank-credit' && one.from === HOSTS.bank)
    if (sent === undefined) throw new Error('no credit went abroad')
    ;({ creditId } = bodyOf('interbank-credit', sent.data))
  })
  const credit = (more: Partial<Body<'interbank-credit'>> = {}): Body<'interbank-credit'> => ({
    creditId: on.forge.id(),
    creditAccount: account('mallory'),
    amountMinor: 1_000_000n,
    currency: 'EUR',
    reference: { purpose: 'payment', id: on.forge.id() },
    ...more,
  })
  const returned = async (from: string, body: Body<'interbank-credit'>): Promise<string | undefined> => {
    const caused = await nothingChanged(on.world, () => void on.say(from, HOSTS.bank, 'interbank-credit', body), [
      ...ASKED,
      'incoming-credits',
    ])
    const answer = caused.sent.find((one) => one.from === HOSTS.bank && kindOf(one) === 'interbank-return')
    return answer === undefined
      ? refusedBy(caused, HOSTS.bank)[0]
      : failureCode(bodyOf('interbank-return', answer.data).code)
  }
  const balanceOf = (of: string): bigint | undefined =>
    (on.world.report(HOSTS.bank) as BankReport).accounts.find((row) => row.account === of)?.balanceMinor

  test('a bank that is no peer and sends money it does not have is refused: ACCOUNT_UNKNOWN', async () => {
    expect(await returned(LIAR, credit())).toBe('ACCOUNT_UNKNOWN')
  })
  test('a bank that credits an account that is not here is refused: ACCOUNT_UNKNOWN', async () => {
    expect(await returned('at-bank', credit({ creditAccount: account('nobody') }))).toBe('ACCOUNT_UNKNOWN')
    expect(await returned('at-bank', credit({ creditAccount: 'at-bank:mpp' }))).toBe('ACCOUNT_UNKNOWN')
  })
  test('a bank that sends a credit of nothing is refused: AMOUNT_INVALID', async () => {
    expect(await returned('at-bank', credit({ amountMinor: 0n }))).toBe('AMOUNT_INVALID')
  })
  test('a bank that sends a credit id twice with another sum is refused: ID_REUSED', async () => {
    const body = credit({ amountMinor: 7n })
    const before = balanceOf(account('mallory')) ?? 0n
    on.say('at-bank', HOSTS.bank, 'interbank-credit', body)
    await on.sim.run()
    expect(await returned('at-bank', { ...body, amountMinor: 8n })).toBe('ID_REUSED')
    expect(balanceOf(account('mallory'))).toBe(before + 7n)
    // What it lent itself it now owes: its position here says so.
    const report = on.world.report(HOSTS.bank) as BankReport
    expect(report.clearing.find(({ peer }) => peer === 'at-bank')?.positionMinor).toBe(-7n)
  })

  describe('about a credit that it was sent', () => {
    test('a bank that returns a credit that it has booked is refused: NOT_FOUND', async () => {
      const body = { creditId, code: failureNumber('ACCOUNT_UNKNOWN') }
      expect(await refused('at-bank', HOSTS.bank, 'interbank-return', body)).toEqual(['NOT_FOUND'])
    })
    test("a bank that returns another bank's credit is refused: NOT_FOUND", async () => {
      const body = { creditId, code: failureNumber('ACCOUNT_UNKNOWN') }
      expect(await refused(LIAR, HOSTS.bank, 'interbank-return', body)).toEqual(['NOT_FOUND'])
    })
    test("a bank that confirms another bank's credit is refused: NOT_FOUND", async () => {
      const body = { creditId, bookedAtMs: on.sim.now() }
      expect(await refused(LIAR, HOSTS.bank, 'interbank-booking', body)).toEqual(['NOT_FOUND'])
    })
  })

  const order = (more: Partial<Body<'clearing-order'>> = {}): Body<'clearing-order'> => ({
    clearingId: on.forge.id(),
    window: 1,
    currency: 'EUR',
    items: [{ bank: 'at-bank', amountMinor: 1_000n }],
    ...more,
  })
  test('a bank without a reserve that orders clearing is refused: ACCOUNT_UNKNOWN', async () => {
    expect(await refused(LIAR, RESERVE, 'clearing-order', order())).toEqual(['ACCOUNT_UNKNOWN'])
  })
  test("a bank that clears another bank's debt to itself is refused: AMOUNT_INVALID", async () => {
    const body = order({ items: [{ bank: HOSTS.bank, amountMinor: 1_000n }] })
    expect(await refused(HOSTS.bank, RESERVE, 'clearing-order', body)).toEqual(['AMOUNT_INVALID'])
  })
  test('a bank that settles one order twice is refused: ID_REUSED', async () => {
    const first = on.world.sent.findLast((one) => kindOf(one) === 'clearing-order')
    if (first === undefined) throw new Error('nothing was cleared')
    const debtor = String(parsed(first.data).header.from)
    const body = bodyOf('clearing-order', first.data)
    expect(await refused(debtor, RESERVE, 'clearing-order', { ...body, window: body.window + 1 })).toEqual([
      'ID_REUSED',
    ])
  })
  test("a bank that says that another's clearing order is posted is refused: NOT_FOUND", async () => {
    const first = on.world.sent.findLast((one) => kindOf(one) === 'clearing-order')
    if (first === undefined) throw new Error('nothing was cleared')
    const debtor = String(parsed(first.data).header.from)
    const { clearingId, window } = bodyOf('clearing-order', first.data)
    expect(await refused(LIAR, debtor, 'clearing-answer', { clearingId, window, postedAtMs: 1 })).toEqual(['NOT_FOUND'])
  })
  test('a bank that says that a reserve was credited is refused: WRONG_ROLE', async () => {
    const body = {
      noticeId: on.forge.id(),
      clearingId: on.forge.id(),
      debtor: LIAR,
      amountMinor: 1_000_000n,
      currency: 'EUR',
    } as const
    expect(await refused(LIAR, HOSTS.bank, 'clearing-notice', body)).toEqual(['WRONG_ROLE'])
    expect(await refused('at-bank', HOSTS.bank, 'clearing-notice', { ...body, noticeId: on.forge.id() })).toEqual([
      'WRONG_ROLE',
    ])
  })
})

test('after all of this every honest ledger agrees with every other', async () => {
  for (const cpp of ['hu-otp', 'hu-erste']) await on.world.must(cpp, 'settle-now')
  await on.sim.advance(60_000, 1_000)
  const seen = [
    'confirmed payments that a party to them does not hold',
    // Its own bank has told the bakery of 3,299 that it never booked.
    'macro payments confirmed are booked at the bank: hu-bakery EUR',
    // The other bank's own ledger knows nothing of the credit of 7 that was sent with its key.
    'positions mirror each other: at-bank and hu-kh EUR',
  ]
  expect(await discord(on.world, seen)).toEqual([])
})
