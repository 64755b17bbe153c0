/** An MPP that lies: what it may not do, and the code or rule that stops it. Its own merchants trust it; nobody else does. */
import { beforeAll, describe, expect, test } from 'vitest'
import { equalBytes } from '../../../protocol/bytes.ts'
import { failureCode } from '../../../protocol/failures.ts'
import type { Body } from '../../../protocol/kinds.ts'
import { LOST } from '../../../bus/simulated-bus.ts'
import { payments, refusedRequests } from '../../cpp/state.ts'
import { batches } from '../../cpp/state-pairs.ts'
import { payees as merchantPayees } from '../../merchant/state.ts'
import { bodyOf, kindOf, parsed, type MadeRequest } from '../testing/forge.ts'
import { CREDENTIALS, nothingChanged, REFUSED_PAYMENT, STORED_ANSWER } from '../testing/nothing-changed.ts'
import { account, HOSTS, NOTICE_LIFETIME_MS, type Customer } from '../testing/world.ts'
import { insiders, kindsFrom, LIARS, discord, refusedBy, type Insiders } from './testing/insiders.ts'

const ASKED = [...CREDENTIALS, ...STORED_ANSWER]
const LIAR = LIARS.mpp

let on: Insiders
beforeAll(async () => {
  on = await insiders('a lying MPP')
}, 60_000)

const endOf = ({ cpp, prId }: MadeRequest): readonly unknown[] => {
  const { read } = on.sim.host(cpp).host()
  const row = read.get(payments, prId)
  if (row !== undefined) return [row.state, row.code === undefined ? undefined : failureCode(row.code)]
  const refused = read.get(refusedRequests, prId)
  return refused === undefined ? [] : ['refused', failureCode(refused.code)]
}
type Noticed = {
  readonly request: MadeRequest
  readonly notice: Body<'payment-notice'>
  readonly digest: Uint8Array
  readonly txId: Uint8Array
}
/** A customer of the honest CPP has asked to pay this invoice, and its notice is out. */
const noticed = async (trans: Uint8Array, customer: Customer = 'hu-alice'): Promise<Noticed> => {
  const request = on.forge.paymentRequest(customer, trans)
  on.forge.request(request)
  await on.sim.run()
  const sent = on.forge.captured('payment-notice', HOSTS.cpp)
  const notice = bodyOf('payment-notice', sent.data)
  return { request, notice, digest: parsed(sent.data).digest, txId: bodyOf('transaction-details', notice.trans).txId }
}
/** What the payee's host would sign. */
const decisionOf = (
  { notice, digest, txId }: Noticed,
  more: Partial<Body<'payment-decision'>> = {},
): Body<'payment-decision'> => ({
  pnId: notice.pnId,
  payee: notice.payee,
  txId,
  noticeDigest: digest,
  decision: 'approve',
  ...more,
})
const signed = (
  of: Noticed,
  more: Partial<Body<'payment-decision'>> = {},
  host: string = LIARS.accomplice,
): Uint8Array => on.forge.frame('payment-decision', host, LIAR, decisionOf(of, more))
const countersigned = (
  { notice, digest }: Noticed,
  more: Partial<Body<'countersigned-decision'>> = {},
): Body<'countersigned-decision'> => ({
  pnId: notice.pnId,
  payee: notice.payee,
  noticeDigest: digest,
  decision: 'approve',
  ...more,
})
const say = (body: Body<'countersigned-decision'>): void =>
  void on.say(LIAR, HOSTS.cpp, 'countersigned-decision', body, { via: HOSTS.dc })
/** The code with which the CPP refuses it; nothing changes. */
const refusal = async (body: Body<'countersigned-decision'>): Promise<readonly string[]> =>
  refusedBy(await nothingChanged(on.world, () => say(body), ASKED), HOSTS.cpp)
const expired = async ({ request }: Noticed): Promise<void> => {
  await on.sim.advance(NOTICE_LIFETIME_MS + 1_000, 1_000)
  expect(endOf(request)).toEqual(['expired', 'NOTICE_EXPIRED'])
}

describe('an MPP that decides', () => {
  test('an MPP that approves for a merchant not its own is refused: NOT_FOUND', async () => {
    const of = await noticed(await on.forge.invoice('hu-quiet', '20'))
    expect(await refusal(countersigned(of))).toEqual(['NOT_FOUND'])
    await expired(of)
  })
  test("an MPP that approves for another's merchant with its own merchant's signature is refused: NOT_FOUND", async () => {
    const of = await noticed(await on.forge.invoice('hu-quiet', '21'))
    expect(await refusal(countersigned(of, { merchantDecision: signed(of) }))).toEqual(['NOT_FOUND'])
    await expired(of)
  })
  test("an MPP that rejects another's payment is refused: NOT_FOUND", async () => {
    const of = await noticed(await on.forge.invoice('hu-quiet', '22'))
    expect(await refusal(countersigned(of, { decision: 'reject', code: 6013 }))).toEqual(['NOT_FOUND'])
    await expired(of)
  })

  describe('for its own merchant', () => {
    let of: Noticed
    let other: Noticed
    beforeAll(async () => {
      other = await noticed(on.trapInvoice(9n), 'hu-bob')
    })
    const LIES: readonly (readonly [string, () => Partial<Body<'countersigned-decision'>>])[] = [
      ['an approve that the merchant never signed', () => ({})],
      ["the merchant's approve of another payment", () => ({ merchantDecision: signed(other) })],
      [
        "the merchant's reject as an approve",
        () => ({ merchantDecision: signed(of, { decision: 'reject', code: 6013 }) }),
      ],
      ["another merchant host's approve", () => ({ merchantDecision: signed(of, {}, LIARS.merchant) })],
      ["the merchant's approve of another invoice", () => ({ merchantDecision: signed(of, { txId: other.txId }) })],
      [
        "the merchant's approve of another notice's digest",
        () => ({ merchantDecision: signed(of, { noticeDigest: other.digest }) }),
      ],
      ["the merchant's approve for another payee", () => ({ merchantDecision: signed(of, { payee: 'hu-bakery' }) })],
      ['bytes that are no frame', () => ({ merchantDecision: new Uint8Array([1, 2, 3]) })],
    ]
    // An id that was refused stays refused: each lie has a payment of its own.
    test.each(LIES)('an MPP that countersigns %s is refused: SCHEMA_VIOLATION', async (_, lie) => {
      of = await noticed(on.trapInvoice(11n))
      expect(await refusal(countersigned(of, lie()))).toEqual(['SCHEMA_VIOLATION'])
      expect(endOf(of.request)).toEqual(['notified', undefined])
    })
    test('an MPP that flips an approve to a reject ends the payment: nobody is charged', async () => {
      const one = await noticed(on.trapInvoice(12n))
      await noMoneyMovedButEnded(async () => {
        say(countersigned(one, { decision: 'reject', code: 6013, merchantDecision: signed(one) }))
        await on.sim.run()
      })
      expect(endOf(one.request)).toEqual(['rejected', 'REJECTED_BY_PAYEE'])
    })
    test('an MPP that approves after it rejected is refused: ID_REUSED', async () => {
      const one = await noticed(on.trapInvoice(13n))
      say(countersigned(one, { decision: 'reject', code: 6013 }))
      await on.sim.run()
      expect(await refusal(countersigned(one, { merchantDecision: signed(one) }))).toEqual(['ID_REUSED'])
      expect(endOf(one.request)).toEqual(['rejected', 'REJECTED_BY_PAYEE'])
    })
    test('an MPP that rejects after it approved is refused: ID_REUSED', async () => {
      const one = await noticed(on.trapInvoice(14n))
      say(countersigned(one, { merchantDecision: signed(one) }))
      await on.sim.run()
      expect(endOf(one.request)).toEqual(['confirmed', undefined])
      expect(await refusal(countersigned(one, { decision: 'reject', code: 6013 }))).toEqual(['ID_REUSED'])
      expect(endOf(one.request)).toEqual(['confirmed', undefined])
    })
    test('an MPP that approves too late ends the payment as expired: NOTICE_EXPIRED', async () => {
      const one = await noticed(on.trapInvoice(15n))
      on.sim.setTime(on.sim.now() + NOTICE_LIFETIME_MS)
      say(countersigned(one, { merchantDecision: signed(one) }))
      await on.sim.run()
      expect(endOf(one.request)).toEqual(['expired', 'NOTICE_EXPIRED'])
    })
  })
})

/** Of the money in the reports only what was pending may go. */
const noMoneyMovedButEnded = async (act: () => Promise<void>): Promise<void> => {
  const balances = () =>
    JSON.stringify(on.world.report(HOSTS.bank), (_, value) => (typeof value === 'bigint' ? String(value) : value))
  const before = balances()
  await act()
  expect(balances()).toBe(before)
}

describe('an MPP that redirects a payout', () => {
  const realChain = async (): Promise<readonly Uint8Array[]> =>
    bodyOf('transaction-details', await on.forge.invoice('hu-bakery', '150')).chain
  /** Refused by the CPP with this code; nothing changes but that it is remembered. */
  const invoiceRefused = async (trans: Uint8Array): Promise<readonly unknown[]> => {
    const request = on.forge.paymentRequest('hu-alice', trans)
    await nothingChanged(on.world, () => on.forge.request(request), REFUSED_PAYMENT)
    return endOf(request)
  }
  test("an MPP that puts its own payee credential into another MPP's chain is refused: BROKEN_CHAIN, so TRANS_INVALID", async () => {
    const [processor, host] = (await realChain()) as [Uint8Array, Uint8Array]
    const credential = on.payeeCredential('hu-bakery', HOSTS.merchant, account('trap'), on.liars.mpp)
    const trans = on.invoice(HOSTS.merchant, 'hu-bakery', [processor, host, credential], 150n)
    expect(await invoiceRefused(trans)).toEqual(['refused', 'TRANS_INVALID'])
  })
  test("an MPP that names another MPP's host for its payee is refused: BROKEN_CHAIN, so TRANS_INVALID", async () => {
    const [, host] = (await realChain()) as [Uint8Array, Uint8Array]
    const credential = on.payeeCredential('hu-bakery', HOSTS.merchant, account('trap'), on.liars.mpp)
    const trans = on.invoice(HOSTS.merchant, 'hu-bakery', [...on.liars.mpp.chain, host, credential], 150n)
    expect(await invoiceRefused(trans)).toEqual(['refused', 'TRANS_INVALID'])
  })
  test('an MPP that certifies a payee of another realm is refused: BROKEN_CHAIN, so TRANS_INVALID', async () => {
    const credential = on.payeeCredential('at-pub', LIARS.accomplice, account('trap'), on.liars.mpp)
    const trans = on.invoice(LIARS.accomplice, 'at-pub', [...on.liars.accomplice.chain, credential], 150n)
    expect(await invoiceRefused(trans)).toEqual(['refused', 'TRANS_INVALID'])
  })
  test("an MPP that certifies another MPP's payee anew never sees the notice, which goes to the payee's own: NOTICE_EXPIRED", async () => {
    const credential = on.payeeCredential('hu-bakery', LIARS.accomplice, account('trap'), on.liars.mpp)
    const trans = on.invoice(LIARS.accomplice, 'hu-bakery', [...on.liars.accomplice.chain, credential], 25n)
    const of = await noticed(trans)
    await expired(of)
    const seen = on.world.sent.filter(
      (one) => kindOf(one) === 'payment-notice' && equalBytes(bodyOf('payment-notice', one.data).pnId, of.notice.pnId),
    )
    expect([...new Set(seen.map(({ to }) => to))]).toEqual([HOSTS.dc, HOSTS.mpp])
  })
  test('an MPP that gives a payee a record with another account is refused by its host: ENROLMENT_REFUSED', async () => {
    await on.world.open(account('kiosk'), { balanceMinor: '0' })
    on.world.setFate((one) =>
      kindOf(one) === 'payee-enrolment-record' && one.from === HOSTS.mpp ? LOST : { delaysMs: [0] },
    )
    const enrolled = on.sim
      .host(HOSTS.merchant)
      .host()
      .command('enrol-payee', {
        payee: 'hu-kiosk',
        payeeKind: 'shop',
        displayName: 'Kiosk',
        mpp: HOSTS.mpp,
        account: account('kiosk'),
        currency: 'EUR',
        mandate: on.world.mandate(account('kiosk'), HOSTS.mpp),
        approval: { rule: 'approve' },
      })
    await on.sim.advance(1_000, 500)
    const row = on.sim.host(HOSTS.merchant).host().read.get(merchantPayees, 'hu-kiosk')
    if (row === undefined) throw new Error('no enrolment under way')
    const record = (ofAccount: string, by: string) =>
      on.forge.frame('payee-enrolment-record', by, HOSTS.merchant, {
        enrolmentId: row.enrolmentId,
        credential: on.payeeCredential('hu-kiosk', HOSTS.merchant, ofAccount, on.honest(HOSTS.mpp)),
      })
    const refused = async (by: string, ofAccount: string): Promise<string | undefined> => {
      const frame = record(ofAccount, by)
      const caused = await nothingChanged(
        on.world,
        () => on.forge.put(HOSTS.merchant, 'payee-enrolment-record', by, frame),
        ASKED,
      )
      return refusedBy(caused, HOSTS.merchant)[0]
    }
    expect(await refused(LIAR, account('kiosk'))).toBe('NOT_FOUND')
    expect(await refused(HOSTS.mpp, account('trap'))).toBe('ENROLMENT_REFUSED')
    on.world.setFate(undefined)
    void enrolled
  })
})

describe('an MPP that registers what is not its own', () => {
  const registration = (payee: string, host: string, chain: readonly Uint8Array[]): Body<'payee-registration'> => ({
    registrationId: on.forge.id(),
    payee,
    version: 9_999_999_999_999,
    state: 'active',
    host,
    chain: [...chain],
  })
  const refused = async (body: Body<'payee-registration'>, dc: string = HOSTS.dc): Promise<readonly string[]> =>
    refusedBy(await nothingChanged(on.world, () => void on.say(LIAR, dc, 'payee-registration', body), ASKED), dc)

  test("an MPP that registers another MPP's payee is refused: NAME_TAKEN", async () => {
    const credential = on.payeeCredential('hu-bakery', LIARS.accomplice, account('trap'), on.liars.mpp)
    const chain = [...on.liars.accomplice.chain, credential]
    expect(await refused(registration('hu-bakery', LIARS.accomplice, chain))).toEqual(['NAME_TAKEN'])
  })
  test("an MPP that retires another MPP's payee is refused: NAME_TAKEN", async () => {
    const credential = on.payeeCredential('hu-bakery', LIARS.accomplice, account('trap'), on.liars.mpp)
    const chain = [...on.liars.accomplice.chain, credential]
    const body = { ...registration('hu-bakery', LIARS.accomplice, chain), state: 'retired' as const }
    expect(await refused(body)).toEqual(['NAME_TAKEN'])
  })
  test("an MPP that registers another MPP's payee with its real chain is refused: BROKEN_CHAIN", async () => {
    const { chain } = bodyOf('transaction-details', await on.forge.invoice('hu-bakery', '160'))
    expect(await refused(registration('hu-bakery', HOSTS.merchant, chain))).toEqual(['BROKEN_CHAIN'])
  })
  test('an MPP that registers a payee of another realm at home is refused: ENROLMENT_REFUSED', async () => {
    const credential = on.payeeCredential('at-pub', LIARS.accomplice, account('trap'), on.liars.mpp)
    const chain = [...on.liars.accomplice.chain, credential]
    expect(await refused(registration('at-pub', LIARS.accomplice, chain))).toEqual(['ENROLMENT_REFUSED'])
  })
  test('an MPP that registers a payee of another realm there is refused: BROKEN_CHAIN', async () => {
    const credential = on.payeeCredential('at-pub', LIARS.accomplice, account('trap'), on.liars.mpp)
    const chain = [...on.liars.accomplice.chain, credential]
    expect(await refused(registration('at-pub', LIARS.accomplice, chain), 'at-dc-1')).toEqual(['BROKEN_CHAIN'])
  })
  test("an MPP that brings another MPP's merchant host a notice is refused: WRONG_PATH", async () => {
    const of = await noticed(await on.forge.invoice('hu-quiet', '26'))
    const frame = on.forge.captured('payment-notice', HOSTS.cpp).data
    const caused = await nothingChanged(
      on.world,
      () => on.forge.put(HOSTS.merchant, 'payment-notice', LIAR, frame),
      ASKED,
    )
    // Seen before, so answered by nothing; a new one is refused.
    expect(kindsFrom(caused, HOSTS.merchant).filter((kind) => kind !== 'credential-query')).toEqual([])
    const other = on.forge.frame('payment-notice', HOSTS.cpp, HOSTS.merchant, { ...of.notice, pnId: on.forge.id() })
    const again = await nothingChanged(
      on.world,
      () => on.forge.put(HOSTS.merchant, 'payment-notice', LIAR, other),
      ASKED,
    )
    expect(refusedBy(again, HOSTS.merchant)).toEqual(['WRONG_PATH'])
    await expired(of)
  })
  test("an MPP that advises another MPP's payee of a payout is refused: NOT_FOUND", async () => {
    const body = { payoutId: on.forge.id(), payee: 'hu-bakery', amountMinor: 1n, currency: 'EUR', paidAtMs: 1 } as const
    const caused = await nothingChanged(on.world, () => void on.say(LIAR, HOSTS.merchant, 'payout-advice', body), ASKED)
    expect(refusedBy(caused, HOSTS.merchant)).toEqual(['NOT_FOUND'])
  })
})

describe('an MPP that helps itself at the bank', () => {
  const refused = async (by: string, debit: string, amountMinor: bigint): Promise<string | undefined> => {
    const body = {
      orderId: on.forge.id(),
      debitAccount: debit,
      creditAccount: account('grab'),
      amountMinor,
      currency: 'EUR',
      reference: { purpose: 'refund', id: on.forge.id() },
    } as const
    const caused = await nothingChanged(on.world, () => void on.say(by, HOSTS.bank, 'transfer-order', body), [
      ...ASKED,
      'orders',
    ])
    const answer = caused.sent.find((one) => one.from === HOSTS.bank && kindOf(one) === 'transfer-answer')
    return answer === undefined ? undefined : failureCode(bodyOf('transfer-answer', answer.data).code ?? 0)
  }
  test('an MPP that debits an account without a mandate is refused: NO_MANDATE', async () => {
    expect(await refused(LIAR, account('hu-bakery'), 1n)).toBe('NO_MANDATE')
    expect(await refused(HOSTS.mpp, account('alice'), 1n)).toBe('NO_MANDATE')
  })
  test('an MPP that debits its payee over the mandate is refused: MANDATE_EXCEEDED', async () => {
    expect(await refused(HOSTS.mpp, account('hu-bakery'), 10_000_001n)).toBe('MANDATE_EXCEEDED')
  })
})

describe('an MPP that lies about a settlement', () => {
  /** A payment to its own payee, confirmed, and the batch that settles it. */
  const batch = async (amountMinor: bigint): Promise<Body<'settlement-batch'> & { readonly hash: Uint8Array }> => {
    const one = await noticed(on.trapInvoice(amountMinor))
    say(countersigned(one, { merchantDecision: signed(one) }))
    await on.sim.run()
    await on.world.must(HOSTS.cpp, 'settle-now', { mpp: LIAR })
    const body = bodyOf('settlement-batch', on.forge.captured('settlement-batch', HOSTS.cpp).data)
    const row = on.sim.host(HOSTS.cpp).host().read.get(batches, LIAR, 'EUR', body.seq)
    if (row === undefined) throw new Error('no batch')
    return { ...body, hash: row.hash }
  }
  const tell = async <K extends 'settlement-acceptance' | 'settlement-dispute'>(
    kind: K,
    body: Body<K>,
  ): Promise<readonly string[]> =>
    refusedBy(
      await nothingChanged(on.world, () => void on.say(LIAR, HOSTS.cpp, kind, body, { via: HOSTS.dc }), ASKED),
      HOSTS.cpp,
    )
  const stateOf = (seq: number) => on.sim.host(HOSTS.cpp).host().read.get(batches, LIAR, 'EUR', seq)

  test('an MPP that accepts a batch with another hash is refused: SETTLEMENT_UNKNOWN', async () => {
    const { batchId, seq, hash } = await batch(170n)
    const wrong = await tell('settlement-acceptance', { batchId, seq, batchHash: new Uint8Array(32) })
    expect(wrong).toEqual(['SETTLEMENT_UNKNOWN'])
    // What it signs under another id later is refused too: the batch has one answer.
    expect(await tell('settlement-acceptance', { batchId, seq, batchHash: hash })).toEqual(['ID_REUSED'])
  })
  test("an MPP that disputes entries that are not the batch's brings about nothing: the whole sum is settled", async () => {
    const open = stateOf(1)
    if (open === undefined) throw new Error('no open batch')
    const { batchId, seq, hash } = open
    const items = [{ pairSeq: 999, code: 8003, amountMinor: 0n }]
    on.say(LIAR, HOSTS.cpp, 'settlement-dispute', { batchId, seq, batchHash: hash, items }, { via: HOSTS.dc })
    await on.sim.run()
    expect(stateOf(1)).toMatchObject({ totalMinor: open.totalMinor, disputes: [{ state: 'dismissed' }] })
  })
  test('an MPP that disputes what it accepted is refused: SETTLEMENT_UNKNOWN', async () => {
    const row = stateOf(1)
    if (row === undefined) throw new Error('no batch')
    const body = { batchId: row.batchId, seq: row.seq, batchHash: row.hash }
    const accepted = await tell('settlement-acceptance', { ...body, batchHash: row.hash })
    expect(accepted).toEqual(['ID_REUSED'])
  })
  test("an MPP that answers another MPP's batch is refused: SETTLEMENT_UNKNOWN", async () => {
    await on.world.pay('hu-bob', 'hu-bakery', '171')
    on.world.setFate((one) => (parsed(one.data).header.from === HOSTS.mpp ? LOST : { delaysMs: [0] }))
    await on.world.must(HOSTS.cpp, 'settle-now', { mpp: HOSTS.mpp })
    const body = bodyOf('settlement-batch', on.forge.captured('settlement-batch', HOSTS.cpp).data)
    const row = on.sim.host(HOSTS.cpp).host().read.get(batches, HOSTS.mpp, 'EUR', body.seq)
    expect(row?.state).toBe('open')
    const answer = { batchId: body.batchId, seq: body.seq, batchHash: row?.hash ?? new Uint8Array(32) }
    expect(await tell('settlement-acceptance', answer)).toEqual(['SETTLEMENT_UNKNOWN'])
    expect(await tell('settlement-dispute', { ...answer, items: [] })).toEqual(['SETTLEMENT_UNKNOWN'])
    on.world.setFate(undefined)
  })
  test("an MPP that asks for another pair's entries learns nothing: NOT_FOUND", async () => {
    const body = { requestId: on.forge.id(), currency: 'EUR', fromSeq: 5, toSeq: 9 } as const
    const caused = await nothingChanged(
      on.world,
      () => void on.say(LIAR, HOSTS.cpp, 'missing-entries-request', body, { via: HOSTS.dc }),
      ASKED,
    )
    expect(refusedBy(caused, HOSTS.cpp)).toEqual(['NOT_FOUND'])
  })
})

test('after all of this every honest ledger agrees with every other', async () => {
  await on.sim.advance(60_000, 1_000)
  // The payments here were asked for by forged requests of honest customers, which their wallet does not know.
  const seen = ['confirmed payments that a party to them does not hold']
  expect(await discord(on.world, seen)).toEqual([])
})
