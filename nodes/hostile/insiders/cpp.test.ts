/** A CPP that lies: what it may not do, and the code or rule that stops it. Its own customers trust it; nobody else does. */
import { Packr } from 'msgpackr'
import { beforeAll, describe, expect, test } from 'vitest'
import { fromHex } from '../../../protocol/bytes.ts'
import { failureCode, failureNumber } from '../../../protocol/failures.ts'
import type { Body } from '../../../protocol/kinds.ts'
import { issueMandate } from '../../../protocol/statements.ts'
import { orders as merchantOrders } from '../../merchant/state.ts'
import { ENTRIES, NOTICES, PAYEES } from '../../mpp/state.ts'
import { bodyOf, flipped, kindOf, parsed } from '../testing/forge.ts'
import { codesAt, CREDENTIALS, noMoneyMoved, nothingChanged, STORED_ANSWER } from '../testing/nothing-changed.ts'
import { account, HOSTS, OTHER_CPP } from '../testing/world.ts'
import { insiders, kindsFrom, LIARS, discord, refusedBy, type Insiders } from './testing/insiders.ts'

const ASKED = [...CREDENTIALS, ...STORED_ANSWER]
const LIAR = LIARS.cpp

const packr = new Packr({ useRecords: false, variableMapSize: true, int64AsType: 'bigint' })

let on: Insiders
let cpp: ReturnType<Insiders['cppNamed']>
beforeAll(async () => {
  on = await insiders('a lying CPP')
  cpp = on.cppNamed(LIAR)
}, 60_000)

/** The only answer of a bank to what `act` did. */
const bankAnswer = async (act: () => void, added: readonly string[] = []): Promise<string | undefined> => {
  const caused = await nothingChanged(on.world, act, [...ASKED, ...added])
  const answer = caused.sent.find((one) => one.from === HOSTS.bank && kindOf(one) !== 'credential-query')
  if (answer === undefined) return undefined
  const body = bodyOf(kindOf(answer), answer.data) as { readonly code?: number }
  return body.code === undefined ? kindOf(answer) : failureCode(body.code)
}
const reference = () => ({ purpose: 'payment' as const, id: on.forge.id() })

describe('a CPP that helps itself at the bank', () => {
  const hold = (more: Partial<Body<'hold-order'>> = {}): Body<'hold-order'> => ({
    holdId: on.forge.id(),
    account: account('alice'),
    amountMinor: 100n,
    currency: 'EUR',
    holdExpiresAtMs: on.sim.now() + 60_000,
    ...more,
  })
  const transfer = (more: Partial<Body<'transfer-order'>> = {}): Body<'transfer-order'> => ({
    orderId: on.forge.id(),
    debitAccount: account('alice'),
    creditAccount: account('sharp'),
    amountMinor: 100n,
    currency: 'EUR',
    reference: reference(),
    ...more,
  })

  test("a CPP that holds funds of another CPP's customer is refused: NO_MANDATE", async () => {
    expect(await bankAnswer(() => on.say(LIAR, HOSTS.bank, 'hold-order', hold()), ['holds'])).toBe('NO_MANDATE')
  })
  test("a CPP that collects from another CPP's customer is refused: NO_MANDATE", async () => {
    expect(await bankAnswer(() => on.say(LIAR, HOSTS.bank, 'transfer-order', transfer()), ['orders'])).toBe(
      'NO_MANDATE',
    )
  })
  test("a CPP that takes another operator's own money is refused: NO_MANDATE", async () => {
    const order = transfer({ debitAccount: account('cosmo') })
    expect(await bankAnswer(() => on.say(LIAR, HOSTS.bank, 'transfer-order', order), ['orders'])).toBe('NO_MANDATE')
  })
  test("a CPP that registers another operator's mandate as its own is refused: MANDATE_INVALID", async () => {
    const mandate = on.mandateOf(account('alice'), HOSTS.cpp)
    const body = { registrationId: on.forge.id(), mandate }
    expect(await bankAnswer(() => on.say(LIAR, HOSTS.bank, 'mandate-registration', body))).toBe('MANDATE_INVALID')
  })
  test('a CPP that signs a mandate itself is refused: MANDATE_INVALID', async () => {
    const mandate = issueMandate(
      on.sim.engine,
      {
        networkId: on.networkId,
        account: account('alice'),
        operatorId: LIAR,
        limitMinor: 1_000n,
        currency: 'EUR',
        notBeforeMs: on.sim.now() - 1,
        notAfterMs: on.sim.now() + 1_000_000,
        serial: 9,
      },
      on.liars.cpp.signing,
    )
    const body = { registrationId: on.forge.id(), mandate }
    expect(await bankAnswer(() => on.say(LIAR, HOSTS.bank, 'mandate-registration', body))).toBe('MANDATE_INVALID')
  })
  test('a CPP that uses an order id twice is refused: ID_REUSED', async () => {
    const first = transfer({ debitAccount: account('sharp'), creditAccount: account('mallory') })
    on.say(LIAR, HOSTS.bank, 'transfer-order', first)
    const again = { ...first, amountMinor: 200n }
    expect(await bankAnswer(() => on.say(LIAR, HOSTS.bank, 'transfer-order', again))).toBe('ID_REUSED')
  })
  test('a CPP that names an order after a void is refused: ID_REUSED', async () => {
    const order = { orderId: on.forge.id(), holdId: on.forge.id() }
    on.say(LIAR, HOSTS.bank, 'void-order', order)
    const again = transfer({
      orderId: order.orderId,
      debitAccount: account('sharp'),
      creditAccount: account('mallory'),
    })
    expect(await bankAnswer(() => on.say(LIAR, HOSTS.bank, 'transfer-order', again))).toBe('ID_REUSED')
  })
  test("a CPP that debits a bank's clearing account is refused: SCHEMA_VIOLATION", async () => {
    const body = packr.pack({ ...transfer(), debitAccount: 'clearing:at-bank:EUR' })
    const frame = on.forge.raw('transfer-order', LIAR, HOSTS.bank, new Uint8Array(body))
    expect(await bankAnswer(() => on.forge.put(HOSTS.bank, 'transfer-order', LIAR, frame))).toBe('SCHEMA_VIOLATION')
  })

  describe('with a hold of another CPP', () => {
    let holdId: Uint8Array
    beforeAll(async () => {
      const request = on.forge.paymentRequest('hu-alice', await on.forge.invoice('hu-quiet', '3000'))
      on.forge.request(request)
      await on.sim.run()
      holdId = bodyOf('hold-order', on.forge.captured('hold-order', HOSTS.cpp).data).holdId
    })
    test('a CPP that posts it is refused: HOLD_MISMATCH', async () => {
      const order = {
        orderId: on.forge.id(),
        holdId,
        creditAccount: account('sharp'),
        amountMinor: 3_000n,
        currency: 'EUR',
        reference: reference(),
      } as const
      expect(await bankAnswer(() => on.say(LIAR, HOSTS.bank, 'post-order', order), ['orders'])).toBe('HOLD_MISMATCH')
    })
    test('a CPP that voids it is refused: HOLD_MISMATCH', async () => {
      const order = { orderId: on.forge.id(), holdId }
      expect(await bankAnswer(() => on.say(LIAR, HOSTS.bank, 'void-order', order))).toBe('HOLD_MISMATCH')
    })
    test('a CPP that places one under its id is refused: HOLD_MISMATCH', async () => {
      const order = hold({ holdId, account: account('sharp') })
      expect(await bankAnswer(() => on.say(LIAR, HOSTS.bank, 'hold-order', order))).toBe('HOLD_MISMATCH')
    })
    test("a CPP that asks for the answer to another's order learns nothing: NOT_FOUND", async () => {
      const order = { orderId: on.forge.id(), holdId: on.forge.id() }
      on.say(LIAR, HOSTS.bank, 'void-order', order)
      const { orderId } = order
      expect(await bankAnswer(() => on.say(OTHER_CPP, HOSTS.bank, 'bank-order-query', { orderId }))).toBe('NOT_FOUND')
    })
    test('and the payment whose hold it is ends as it should, and every ledger agrees', async () => {
      await on.sim.advance(20_000, 1_000)
      expect(await discord(on.world)).toEqual([])
    })
  })
})

/** Declined by the MPP itself, with this code; nothing is locked, no money moves. */
const declined = async (body: Body<'payment-notice'>): Promise<string | undefined> => {
  let code: number | undefined
  await noMoneyMoved(on.world, async () => {
    const decided = await cpp.notify(body)
    expect(decided).toMatchObject({ decision: 'reject' })
    expect(decided?.merchantDecision).toBeUndefined()
    code = decided?.code
    await cpp.end(body)
  })
  return code === undefined ? undefined : failureCode(code)
}

describe('a CPP whose notices lie', () => {
  const invoice = (amountMinor: string): Promise<Uint8Array> => on.forge.invoice('hu-bakery', amountMinor)

  test('a CPP that calls a large payment micro, to owe it instead of booking it, is refused: MODE_MISMATCH', async () => {
    expect(await declined(cpp.notice(await invoice('3000'), { mode: 'micro' }))).toBe('MODE_MISMATCH')
  })
  test('a CPP that calls a small payment macro is refused: MODE_MISMATCH', async () => {
    expect(await declined(cpp.notice(await invoice('130'), { mode: 'macro' }))).toBe('MODE_MISMATCH')
  })
  test("a CPP that names another payee than the invoice's is refused: TRANS_INVALID", async () => {
    expect(await declined(cpp.notice(await invoice('130'), { payee: 'hu-quiet' }))).toBe('TRANS_INVALID')
  })
  test('a CPP that alters the invoice it was given is refused: TRANS_INVALID', async () => {
    const trans = await invoice('130')
    const at = trans.length - parsed(trans).bodyBytes.length
    expect(await declined(cpp.notice(trans, { trans: flipped(trans, at) }))).toBe('TRANS_INVALID')
  })
  test('a CPP that uses a pnId for a second invoice is refused: ID_REUSED', async () => {
    const first = cpp.notice(await invoice('131'))
    await cpp.notify(first)
    const second = cpp.notice(await invoice('132'), { pnId: first.pnId })
    const caused = await nothingChanged(on.world, async () => void (await cpp.notify(second)), STORED_ANSWER)
    expect(refusedBy(caused, HOSTS.mpp)).toEqual(['ID_REUSED'])
    await cpp.end(first)
  })
  test("a CPP that uses another CPP's pnId is refused: ID_REUSED", async () => {
    const request = on.forge.paymentRequest('hu-carol', await on.forge.invoice('hu-quiet', '133'))
    on.forge.request(request)
    await on.sim.run()
    const { pnId } = bodyOf('payment-notice', on.forge.captured('payment-notice', OTHER_CPP).data)
    const stolen = cpp.notice(await invoice('134'), { pnId })
    const caused = await nothingChanged(on.world, async () => void (await cpp.notify(stolen)), STORED_ANSWER)
    expect(refusedBy(caused, HOSTS.mpp)).toEqual(['ID_REUSED'])
    const ended = await nothingChanged(on.world, () => cpp.end(stolen), STORED_ANSWER)
    expect(refusedBy(ended, HOSTS.mpp)).toEqual(['ID_REUSED'])
    await on.sim.advance(20_000, 1_000)
  })
})

/** Everything that this payee was ever credited at the honest MPP. */
const creditedTo = (payee: string): bigint => {
  const row = on.sim.host(HOSTS.mpp).host().read.get(PAYEES, payee)
  if (row === undefined) throw new Error(`no payee ${payee}`)
  return row.accruedMinor + row.payableMinor + row.refundingMinor + row.payingMinor + row.paidMinor
}
const orderState = (of: Body<'payment-notice'>): string | undefined => {
  const { payee, txId } = bodyOf('transaction-details', of.trans)
  return on.sim.host(HOSTS.merchant).host().read.get(merchantOrders, payee, txId)?.state
}
const entryAt = (pairSeq: number) => on.sim.host(HOSTS.mpp).host().read.get(ENTRIES, cpp.id, 'EUR', pairSeq)
const noticeState = (of: Body<'payment-notice'>) => on.sim.host(HOSTS.mpp).host().read.get(NOTICES, of.pnId)?.state
let pairSeq = 0

/** The MPP holds the entry, since the CPP signed that it owes it, credits nobody, and disputes it; no goods leave. */
const owedToNobody = async (
  of: Body<'payment-notice'>,
  more: Partial<Body<'delayed-transfer-confirmation'>> = {},
): Promise<void> => {
  const before = creditedTo(of.payee)
  const stateBefore = orderState(of)
  pairSeq += 1
  const caused = await cpp.tell('delayed-transfer-confirmation', of, cpp.guarantee(of, pairSeq, more))
  expect(entryAt(pairSeq)).toMatchObject({ creditMinor: 0n })
  expect(creditedTo(of.payee)).toBe(before)
  expect(kindsFrom(caused, HOSTS.merchant)).not.toContain('goods-release')
  expect(orderState(of)).toBe(stateBefore)
}

describe('a CPP whose confirmations lie', () => {
  const approved = async (amountMinor: string, payee = 'hu-bakery'): Promise<Body<'payment-notice'>> => {
    const of = cpp.notice(await on.forge.invoice(payee, amountMinor))
    expect(await cpp.notify(of)).toMatchObject({ decision: 'approve' })
    return of
  }

  test('a CPP that guarantees without any decision credits nobody: ENTRY_MISMATCH', async () => {
    const of = cpp.notice(await on.forge.invoice('hu-quiet', '140'))
    expect(await cpp.notify(of)).toBeUndefined()
    await owedToNobody(of)
    expect(entryAt(pairSeq)).toMatchObject({ code: 'ENTRY_MISMATCH', rightMinor: 0n })
    await cpp.end(of)
  })
  test('a CPP that guarantees what the payee rejected credits nobody: ENTRY_MISMATCH', async () => {
    const of = cpp.notice(await on.forge.invoice('hu-cheap', '150'))
    expect(await cpp.notify(of)).toMatchObject({ decision: 'reject' })
    await owedToNobody(of)
    expect(entryAt(pairSeq)).toMatchObject({ code: 'ENTRY_MISMATCH', rightMinor: 0n })
    await cpp.end(of)
  })
  test('a CPP that guarantees after it said expired credits nobody: ENTRY_MISMATCH', async () => {
    const of = await approved('151')
    await cpp.end(of)
    await owedToNobody(of)
    expect(entryAt(pairSeq)).toMatchObject({ code: 'ENTRY_MISMATCH', rightMinor: 0n })
    expect(noticeState(of)).toBe('expired')
  })
  test('a CPP that guarantees another amount than the invoice credits nobody: ENTRY_MISMATCH', async () => {
    const of = await approved('152')
    await owedToNobody(of, { amountMinor: 1n })
    expect(entryAt(pairSeq)).toMatchObject({ code: 'ENTRY_MISMATCH', rightMinor: 152n })
    await cpp.end(of)
  })
  test("a CPP that guarantees another CPP's payment credits nobody: ENTRY_MISMATCH", async () => {
    const request = on.forge.paymentRequest('hu-carol', await on.forge.invoice('hu-quiet', '153'))
    on.forge.request(request)
    await on.sim.run()
    const theirs = bodyOf('payment-notice', on.forge.captured('payment-notice', OTHER_CPP).data)
    await owedToNobody(theirs)
    expect(entryAt(pairSeq)).toMatchObject({ code: 'ENTRY_MISMATCH', rightMinor: 0n })
    await on.sim.advance(20_000, 1_000)
  })
  test('a CPP that guarantees a macropayment instead of booking it credits nobody: ENTRY_MISMATCH', async () => {
    const of = await approved('3100')
    await owedToNobody(of)
    expect(entryAt(pairSeq)).toMatchObject({ code: 'ENTRY_MISMATCH', rightMinor: 0n })
    await cpp.end(of)
  })
  test('a CPP that says T of a micropayment is refused: MODE_MISMATCH', async () => {
    const of = await approved('154')
    const caused = await nothingChanged(
      on.world,
      async () => void (await cpp.tell('transfer-confirmation', of, cpp.confirmation(of))),
      STORED_ANSWER,
    )
    expect(refusedBy(caused, HOSTS.mpp)).toEqual(['MODE_MISMATCH'])
    await cpp.end(of)
  })
  test('a CPP that says T of another amount is refused: AMOUNT_INVALID', async () => {
    const of = await approved('3200')
    const lie = cpp.confirmation(of, { amountMinor: 3_199n })
    const caused = await nothingChanged(
      on.world,
      async () => void (await cpp.tell('transfer-confirmation', of, lie)),
      STORED_ANSWER,
    )
    expect(refusedBy(caused, HOSTS.mpp)).toEqual(['AMOUNT_INVALID'])
    await cpp.end(of)
  })
  test('a CPP that says T before the payee decided is refused: NOT_FOUND', async () => {
    const of = cpp.notice(await on.forge.invoice('hu-quiet', '3300'))
    await cpp.notify(of)
    const caused = await nothingChanged(
      on.world,
      async () => void (await cpp.tell('transfer-confirmation', of, cpp.confirmation(of))),
      STORED_ANSWER,
    )
    expect(refusedBy(caused, HOSTS.mpp)).toEqual(['NOT_FOUND'])
    await cpp.end(of)
  })
  test("a CPP that says T although no bank booked anything releases no goods: the bank's notice is awaited", async () => {
    const of = await approved('3400')
    const caused = await cpp.tell('transfer-confirmation', of, cpp.confirmation(of))
    expect(orderState(of)).toBe('confirmed')
    expect(kindsFrom(caused, HOSTS.merchant)).not.toContain('goods-release')
    const before = creditedTo('hu-bakery')
    await on.sim.advance(20_000, 1_000)
    expect([orderState(of), creditedTo('hu-bakery')]).toEqual(['confirmed', before])
  })
  test('a CPP that says failed after its T is refused: ID_REUSED', async () => {
    const of = await approved('3500')
    await cpp.tell('transfer-confirmation', of, cpp.confirmation(of))
    const lie = cpp.outcome(of, { outcome: 'failed', code: failureNumber('TRANSFER_FAILED') })
    const caused = await nothingChanged(
      on.world,
      async () => void (await cpp.tell('payment-outcome', of, lie)),
      STORED_ANSWER,
    )
    expect(refusedBy(caused, HOSTS.mpp)).toEqual(['ID_REUSED'])
  })
  test('a CPP that says expired after its DT is refused: ID_REUSED', async () => {
    const of = await approved('155')
    pairSeq += 1
    await cpp.tell('delayed-transfer-confirmation', of, cpp.guarantee(of, pairSeq))
    expect([noticeState(of), orderState(of)]).toEqual(['confirmed', 'released'])
    const caused = await nothingChanged(on.world, () => cpp.end(of), STORED_ANSWER)
    expect(refusedBy(caused, HOSTS.mpp)).toEqual(['ID_REUSED'])
  })
  test('a CPP that tells the merchant host another end than the MPP is refused: WRONG_PATH', async () => {
    const of = await approved('156')
    pairSeq += 1
    await cpp.tell('delayed-transfer-confirmation', of, cpp.guarantee(of, pairSeq))
    for (const via of [LIAR, HOSTS.dc]) {
      const frame = on.forge.frame('payment-outcome', LIAR, HOSTS.merchant, cpp.outcome(of))
      const caused = await nothingChanged(
        on.world,
        () => on.forge.put(HOSTS.merchant, 'payment-outcome', via, frame),
        ASKED,
      )
      expect([via, codesAt(caused, HOSTS.merchant).at(-1)]).toEqual([via, 'WRONG_PATH'])
    }
  })
  test('a CPP that gives a sequence number twice is refused: ID_REUSED', async () => {
    const of = await approved('157')
    const again = cpp.guarantee(of, pairSeq)
    const caused = await nothingChanged(
      on.world,
      async () => void (await cpp.tell('delayed-transfer-confirmation', of, again)),
      STORED_ANSWER,
    )
    expect(refusedBy(caused, HOSTS.mpp)).toEqual(['ID_REUSED'])
    await cpp.end(of)
  })
  test("a CPP that guarantees a payment in another MPP's pair is refused: WRONG_ADDRESSEE", async () => {
    const of = await approved('158')
    const lie = cpp.guarantee(of, pairSeq + 1, { mpp: 'at-mpp' })
    const caused = await nothingChanged(
      on.world,
      async () => void (await cpp.tell('delayed-transfer-confirmation', of, lie)),
      STORED_ANSWER,
    )
    expect(refusedBy(caused, HOSTS.mpp)).toEqual(['WRONG_ADDRESSEE'])
    await cpp.end(of)
  })
})

describe("a CPP that reaches for another CPP's customers", () => {
  const registerAlias = (alias: string): Body<'alias-registration'> => ({
    registrationId: on.forge.id(),
    alias,
    version: 1,
    state: 'active',
  })
  const refusal = async (body: Body<'alias-registration'>): Promise<readonly string[]> => {
    const caused = await nothingChanged(
      on.world,
      () => void on.say(LIAR, HOSTS.dc, 'alias-registration', body),
      STORED_ANSWER,
    )
    return refusedBy(caused, HOSTS.dc)
  }
  test('a CPP that registers their alias as its own is refused: NAME_TAKEN', async () => {
    expect(await refusal(registerAlias('hu-alice-pays'))).toEqual(['NAME_TAKEN'])
  })
  test('a CPP that registers an alias of another realm is refused: ENROLMENT_REFUSED', async () => {
    expect(await refusal(registerAlias('at-somebody'))).toEqual(['ENROLMENT_REFUSED'])
  })
  test('a CPP that hands them requests to pay is refused: WRONG_PATH', async () => {
    const since = on.world.sent.length
    await on.forge.invoice('hu-bakery', '160')
    const ask = on.world.sent.slice(since).find((one) => kindOf(one) === 'request-to-pay' && one.to === HOSTS.customer)
    if (ask === undefined) throw new Error('no request reached the wallet host')
    const body = { ...bodyOf('request-to-pay', ask.data), requestId: on.forge.id() }
    const frame = on.forge.frame('request-to-pay', HOSTS.merchant, 'hu-alice-pays', body)
    const caused = await nothingChanged(
      on.world,
      () => on.forge.put(HOSTS.customer, 'request-to-pay', LIAR, frame),
      ASKED,
    )
    expect(codesAt(caused, HOSTS.customer).at(-1)).toBe('WRONG_PATH')
  })
  test('a CPP that confirms or ends their payments to them is refused: NOT_FOUND', async () => {
    const request = await on.world.pay('hu-alice', 'hu-bakery', '161')
    const prId = fromHex(String(request['paymentId']))
    const body = { prId, outcome: 'failed', code: 6019, detail: '', decidedAtMs: on.sim.now() } as const
    const inner = on.forge.frame('customer-payment-outcome', LIAR, 'hu-alice', body)
    const carrier = on.forge.carry('customer-payment-outcome', LIAR, HOSTS.customer, inner)
    const caused = await nothingChanged(
      on.world,
      () => on.forge.put(HOSTS.customer, 'customer-payment-outcome', LIAR, carrier),
      ASKED,
    )
    expect(refusedBy(caused, HOSTS.customer)).toEqual(['NOT_FOUND'])
  })
})

test('after all of this every honest ledger agrees with every other', async () => {
  await on.sim.advance(30_000, 1_000)
  // What `verify` shows of the T that no bank booked: the payee has not been paid, and has kept its goods.
  const seen = [
    'macro payments confirmed are booked at the bank: hu-bakery EUR',
    'confirmed payments that a party to them does not hold',
  ]
  expect(await discord(on.world, seen)).toEqual([])
})
