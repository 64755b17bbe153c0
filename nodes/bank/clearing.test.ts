import { describe, expect, it } from 'vitest'
import { MAX_TOTAL_MINOR } from '../../protocol/amount.ts'
import { toHex } from '../../protocol/bytes.ts'
import type { Body } from '../../protocol/kinds.ts'
import { incoming, testId } from '../runtime/testing.ts'
import { areItemsValid, duePositions } from './clearing.ts'
import { clearingAnswer, clearingWindow } from './decide-clearing.ts'
import { interbankCredit } from './decide-interbank.ts'
import { clearingOrder } from './decide-settlement.ts'
import { CLEARING_ORDERS, HOLDS, OUTGOING_CREDITS, PENDING_NOTICES, QUEUE, WINDOW } from './state.ts'
import { bankNetwork, type BankNetwork } from './testing/bank-network.ts'
import {
  openAccount,
  outcomeOf,
  sentOf,
  testBank,
  TEST_WINDOW_MS,
  type Sent,
  type TestBank,
} from './testing/test-bank.ts'

const A = 'hu-kh'
const B = 'ro-carpat'
const S = 'eu-settle'
const CPP: Sent = { from: 'hu-otp', role: 'cpp', operatorId: 'hu-otp' }

/** Bank A with a processor's 100.00, bank B with a shop that is told, and a settlement bank with reserves of 50.00 each. */
const twoBanks = (reserveMinor = 5_000n): BankNetwork => {
  const net = bankNetwork([A, B, S], S)
  openAccount(net.bank(A), 'hu-otp', 10_000n, { operatorId: 'hu-otp' })
  openAccount(net.bank(A), 'shop', 0n)
  openAccount(net.bank(B), 'ro-libra', 10_000n, { operatorId: 'ro-libra' })
  openAccount(net.bank(B), 'shop', 0n, { holderHost: { role: 'merchant', host: 'ro-shops-1' } })
  openAccount(net.bank(B), 'lei', 0n, { currency: 'USD' })
  for (const bank of [A, B])
    net.bank(S).control('fund-reserve', { bank, currency: 'EUR', amountMinor: reserveMinor.toString() })
  return net
}
const orderTo = (creditAccount: string, amountMinor = 3_000n, name = 'order'): Body<'transfer-order'> => ({
  orderId: testId(name),
  debitAccount: `${A}:hu-otp`,
  creditAccount,
  amountMinor,
  currency: 'EUR',
  reference: { purpose: 'settlement', id: testId(`ref ${name}`) },
})
const pay = (net: BankNetwork, creditAccount = `${B}:shop`, amountMinor = 3_000n, name = 'order') =>
  net.bank(A).receive('transfer-order', orderTo(creditAccount, amountMinor, name), CPP)
const answerTo = (net: BankNetwork, creditAccount?: string, amountMinor?: bigint) =>
  outcomeOf(net.bank(A).receive('transfer-order', orderTo(creditAccount ?? `${B}:shop`, amountMinor), CPP))
const sums = (net: BankNetwork) =>
  [...net.banks.values()].map((bank) => bank.report().totals.map(({ sumMinor }) => sumMinor))
const close = (bank: TestBank) => bank.control('close-window-now')

describe('a credit to another bank', () => {
  it('is answered only after the other bank has booked; the positions mirror each other', () => {
    const net = twoBanks()
    expect(pay(net)).toEqual([])
    expect([net.bank(A).balance(`${A}:hu-otp`), net.bank(A).position(B)]).toEqual([7_000n, 3_000n])
    expect(net.bank(A).report()).toMatchObject({
      inTransit: { credits: 1 },
      transit: [{ peer: B, creditsMinor: 3_000n }],
      orders: [],
    })
    net.settle()
    expect(net.underway()).toEqual([])
    expect(answerTo(net)).toBe('booked')
    expect(net.bank(B).balance(`${B}:shop`)).toBe(3_000n)
    expect(net.bank(B).position(A)).toBe(-3_000n)
    expect(net.bank(A).report()).toMatchObject({
      inTransit: { credits: 0 },
      orders: [{ from: 'hu-otp', purpose: 'settlement', count: 1, amountMinor: 3_000n }],
    })
    expect(sums(net).flat()).toEqual([0n, 0n, 0n, 0n])
  })

  it('names the originating bank to the payee, and never the debited account', () => {
    const net = twoBanks()
    pay(net)
    net.settle()
    const notices = net
      .bank(B)
      .ledger.sent.flatMap((send) => ('kind' in send && send.kind === 'account-notice' ? [send.body] : []))
    expect(notices).toMatchObject([{ account: `${B}:shop`, amountMinor: 3_000n, originatingBank: A }])
    expect(JSON.stringify(notices, (_, value) => (typeof value === 'bigint' ? `${value}` : value))).not.toContain(
      'hu-otp',
    )
  })

  const returned: readonly (readonly [string, string, bigint, string])[] = [
    ['an unknown account', `${B}:nobody`, 3_000n, 'ACCOUNT_UNKNOWN'],
    ['an account in another currency', `${B}:lei`, 3_000n, 'CURRENCY_UNSUPPORTED'],
  ]
  it.each(returned)('to %s comes back', (_name, account, amount, code) => {
    const net = twoBanks()
    pay(net, account, amount)
    net.settle()
    expect(answerTo(net, account, amount)).toBe('CREDIT_RETURNED')
    expect(net.underway()).toEqual([])
    expect([net.bank(A).balance(`${A}:hu-otp`), net.bank(A).position(B), net.bank(B).position(A)]).toEqual([
      10_000n,
      0n,
      0n,
    ])
    expect(net.bank(A).ledger.rows(OUTGOING_CREDITS)).toMatchObject([{ state: 'returned', code }])
    expect(sums(net).flat()).toEqual([0n, 0n, 0n, 0n])
  })

  it('that comes back is no news to the host that ordered it, and news to another that holds the account', () => {
    const net = twoBanks()
    const bank = net.bank(A)
    const noticesOf = (holder: string): readonly bigint[] => {
      openAccount(bank, holder, 5_000n, { operatorId: 'hu-otp', holderHost: { role: 'cpp', host: holder } })
      bank.receive('transfer-order', { ...orderTo(`${B}:nobody`, 10n, holder), debitAccount: `${A}:${holder}` }, CPP)
      net.settle()
      return bank.ledger.sent.flatMap((send) =>
        'kind' in send && send.kind === 'account-notice' && send.to === holder ? [send.body.amountMinor] : [],
      )
    }
    expect(noticesOf('hu-otp-1')).toEqual([-10n, 10n])
    const own = openAccount(bank, 'own', 5_000n, { operatorId: 'hu-otp', holderHost: { role: 'cpp', host: 'hu-otp' } })
    expect(own).toMatchObject({ opened: true })
    bank.receive('transfer-order', { ...orderTo(`${B}:nobody`, 10n, 'own'), debitAccount: `${A}:own` }, CPP)
    net.settle()
    expect(bank.balance(`${A}:own`)).toBe(5_000n)
    expect(
      bank.ledger.sent.some((send) => 'kind' in send && send.kind === 'account-notice' && send.to === 'hu-otp'),
    ).toBe(false)
  })

  it('of zero, to an internal account, to another bank, or beyond what a row holds is returned', () => {
    const net = twoBanks()
    const credit = (creditAccount: string, amountMinor: bigint) =>
      net.bank(B).receive(
        'interbank-credit',
        {
          creditId: testId(`${creditAccount} ${amountMinor}`),
          creditAccount,
          amountMinor,
          currency: 'EUR',
          reference: { purpose: 'payment', id: testId('t') },
        },
        { from: A, role: 'bank' },
      )
    expect(outcomeOf(credit(`${B}:shop`, 0n))).toBe('AMOUNT_INVALID')
    expect(outcomeOf(credit(`hu-third:shop`, 1n))).toBe('ACCOUNT_UNKNOWN')
    expect(outcomeOf(credit('nostro:EUR', 1n))).toBe('ACCOUNT_UNKNOWN')
    expect(outcomeOf(credit(`${B}:shop`, MAX_TOTAL_MINOR))).toBe('interbank-booking')
    expect(outcomeOf(credit(`${B}:ro-libra`, MAX_TOTAL_MINOR))).toBe('AMOUNT_INVALID')
    const fromThird = {
      creditId: testId('third'),
      creditAccount: `${B}:shop`,
      amountMinor: 1n,
      currency: 'EUR',
      reference: { purpose: 'payment', id: testId('t') },
    } as const
    expect(outcomeOf(net.bank(B).receive('interbank-credit', fromThird, { from: S, role: 'bank' }))).toBe(
      'AMOUNT_INVALID',
    )
    expect(outcomeOf(credit(`${B}:ro-libra`, 1n))).toBe('AMOUNT_INVALID')
    expect(net.bank(B).report().totals[0]).toMatchObject({ sumMinor: 0n, accountsOffJournal: 0 })
  })

  it('takes a hold with it, and gives it back to nobody when it returns', () => {
    const net = twoBanks()
    const bank = net.bank(A)
    const hold = {
      holdId: testId('h'),
      account: `${A}:hu-otp`,
      amountMinor: 4_000n,
      currency: 'EUR',
      holdExpiresAtMs: bank.now() + 60_000,
    } as const
    const post = {
      orderId: testId('p'),
      holdId: testId('h'),
      creditAccount: `${B}:nobody`,
      amountMinor: 4_000n,
      currency: 'EUR',
      reference: { purpose: 'payment', id: testId('t') },
    } as const
    bank.receive('hold-order', hold, CPP)
    expect(bank.receive('post-order', post, CPP)).toEqual([])
    expect([bank.balance(`${A}:hu-otp`), bank.free(`${A}:hu-otp`), bank.ledger.get(HOLDS, testId('h'))?.state]).toEqual(
      [6_000n, 6_000n, 'posting'],
    )
    bank.advance(60_000)
    net.settle()
    expect(outcomeOf(bank.receive('post-order', post, CPP))).toBe('CREDIT_RETURNED')
    expect([bank.free(`${A}:hu-otp`), bank.ledger.get(HOLDS, testId('h'))?.state]).toEqual([10_000n, 'returned'])
    expect(outcomeOf(bank.receive('post-order', { ...post, orderId: testId('p2') }, CPP))).toBe('HOLD_MISMATCH')
    expect(outcomeOf(bank.receive('void-order', { orderId: testId('v'), holdId: testId('h') }, CPP))).toBe('voided')
    expect(bank.free(`${A}:hu-otp`)).toBe(10_000n)
  })

  it('counts an answer once, and only from the bank it went to', () => {
    const net = twoBanks()
    pay(net)
    const [credit] = net.bank(A).ledger.rows(OUTGOING_CREDITS)
    const creditId = credit?.creditId as Uint8Array
    net.bank(A).receive('interbank-return', { creditId, code: 7001 }, { from: S, role: 'bank' })
    net.bank(A).receive('interbank-booking', { creditId, bookedAtMs: 1 }, { from: S, role: 'bank' })
    net.bank(A).receive('interbank-booking', { creditId: testId('none'), bookedAtMs: 1 }, { from: B, role: 'bank' })
    expect(net.bank(A).ledger.rows(OUTGOING_CREDITS)).toMatchObject([{ state: 'sent' }])
    net.settle()
    expect(net.bank(A).lastDecision()?.record?.event).toBe('interbank-credit-confirmed')
    net.bank(A).receive('interbank-return', { creditId, code: 7001 }, { from: B, role: 'bank' })
    expect(net.bank(A).lastDecision()?.record?.event).toBe('interbank-answer-ignored')
    expect([net.bank(A).balance(`${A}:hu-otp`), answerTo(net)]).toEqual([7_000n, 'booked'])
  })

  it('delivered again under another message is booked once', () => {
    const net = twoBanks()
    pay(net)
    const [one] = net.underway()
    const { message } = one as { message: { body: Body<'interbank-credit'> } }
    net.settle()
    const again = net
      .bank(B)
      .apply((read, ctx) =>
        interbankCredit(read, incoming('interbank-credit', message.body, { from: A, role: 'bank' }), ctx),
      )
    expect(again.sends).toMatchObject([{ kind: 'interbank-booking' }])
    expect(net.bank(B).balance(`${B}:shop`)).toBe(3_000n)
  })

  it.each([
    [true, 'booked', 7_000n],
    [false, 'CREDIT_RETURNED', 10_000n],
  ])('refused below the bank is unclear until an operator says booked: %s', (booked, outcome, balance) => {
    const net = twoBanks()
    const bank = net.bank(A)
    pay(net)
    const creditId = bank.ledger.rows(OUTGOING_CREDITS)[0]?.creditId as Uint8Array
    bank.refused('interbank-credit', ['interbank-credit', creditId], 'CREDENTIAL_EXPIRED', B)
    expect(bank.report()).toMatchObject({ unclearCredits: 1, inTransit: { credits: 1 } })
    expect(bank.balance(`${A}:hu-otp`)).toBe(7_000n)
    expect(bank.control('resolve-credit', { creditId: toHex(creditId), booked })).toMatchObject({ ok: true })
    expect([bank.balance(`${A}:hu-otp`), answerTo(net)]).toEqual([balance, outcome])
    expect(bank.control('resolve-credit', { creditId: toHex(creditId), booked: !booked })).toMatchObject({
      ok: false,
      code: 'NOT_FOUND',
    })
  })
})

describe('a clearing window', () => {
  it('orders what is owed, once, and both sides end at zero', () => {
    const net = twoBanks()
    pay(net)
    net.settle()
    expect(close(net.bank(A))).toEqual({ ok: true, window: 1, orders: 1 })
    expect(close(net.bank(A))).toEqual({ ok: true, window: 2, orders: 0 })
    expect(net.bank(A).ledger.deadlines()).toHaveLength(1)
    pay(net, `${B}:shop`, 500n, 'second')
    net.settle()
    expect(close(net.bank(A))).toMatchObject({ orders: 1 })
    expect(
      net
        .bank(A)
        .ledger.rows(CLEARING_ORDERS)
        .map(({ items }) => items),
    ).toEqual(expect.arrayContaining([[{ bank: B, amountMinor: 3_000n }], [{ bank: B, amountMinor: 500n }]]))
    net.settle()
    expect([net.bank(A).position(B), net.bank(B).position(A)]).toEqual([0n, 0n])
    expect([net.bank(S).reserve(A), net.bank(S).reserve(B)]).toEqual([1_500n, 8_500n])
    expect([net.bank(A).report().totals[0]?.clearedMinor, net.bank(B).report().totals[0]?.clearedMinor]).toEqual([
      3_500n,
      -3_500n,
    ])
    expect(net.bank(S).ledger.rows(PENDING_NOTICES)).toEqual([])
    expect(sums(net).flat()).toEqual([0n, 0n, 0n, 0n])
  })

  it('closes by its deadline and opens the next', () => {
    const net = twoBanks()
    pay(net)
    net.settle()
    expect(net.bank(A).advance(TEST_WINDOW_MS - 1)).toEqual([])
    net.bank(A).advance(1)
    expect(net.bank(A).ledger.rows(WINDOW)).toMatchObject([
      { window: 2, closesAtMs: net.bank(A).now() + TEST_WINDOW_MS },
    ])
    expect(net.bank(A).ledger.rows(CLEARING_ORDERS)).toMatchObject([{ window: 1, state: 'open' }])
    expect(net.bank(A).ledger.deadlines()).toHaveLength(1)
  })

  it('ignores the deadline of a window that was closed before its time', () => {
    const net = twoBanks()
    const [early] = net.bank(A).ledger.deadlines()
    close(net.bank(A))
    const stale = { name: 'clearing-window', key: early?.key ?? testId('none'), atMs: early?.atMs ?? 0 }
    net.bank(A).advance(TEST_WINDOW_MS - 1)
    close(net.bank(A))
    expect(net.bank(A).ledger.deadlines()).toHaveLength(1)
    expect(net.bank(A).apply((read, ctx) => clearingWindow(read, stale, ctx)).writes).toEqual([])
  })

  it('orders nothing for a bank that clears with nobody', () => {
    const net = twoBanks()
    net.bank(A).setPolicy({ settlementBank: null })
    pay(net)
    net.settle()
    expect(close(net.bank(A))).toMatchObject({ orders: 0 })
    expect(net.bank(A).position(B)).toBe(3_000n)
  })

  it('orders again what the settlement bank refused by its rules, and waits for the operator on any other refusal', () => {
    const net = twoBanks()
    openAccount(net.bank(A), 'more', 0n)
    pay(net)
    net.settle()
    close(net.bank(A))
    const [first] = net.bank(A).ledger.rows(CLEARING_ORDERS)
    const key = ['clearing-order', first?.clearingId as Uint8Array] as const
    net.bank(A).refused('clearing-order', key, 'CREDENTIAL_EXPIRED', S)
    expect(close(net.bank(A))).toMatchObject({ orders: 0 })
    net.bank(A).refused('clearing-order', key, 'ACCOUNT_UNKNOWN', S)
    expect(net.bank(A).report().totals[0]?.accountsOffHolds).toBe(0)
    expect(close(net.bank(A))).toMatchObject({ orders: 1 })
  })

  it('counts an answer once and only from the settlement bank', () => {
    const net = twoBanks()
    pay(net)
    net.settle()
    close(net.bank(A))
    const clearingId = net.bank(A).ledger.rows(CLEARING_ORDERS)[0]?.clearingId as Uint8Array
    const body = { clearingId, window: 1, postedAtMs: 1 }
    net.bank(A).receive('clearing-answer', body, { from: B, role: 'bank' })
    expect([net.bank(A).lastDecision()?.record?.event, net.bank(A).position(B)]).toEqual([
      'clearing-answer-ignored',
      3_000n,
    ])
    net.settle()
    const answer = incoming('clearing-answer', body, { from: S, role: 'bank' })
    expect(net.bank(A).apply((read, ctx) => clearingAnswer(read, answer, ctx)).record?.event).toBe(
      'clearing-answer-ignored',
    )
    expect([net.bank(A).position(B), net.bank(A).balance('nostro:EUR')]).toEqual([0n, -7_000n])
  })

  const notice = {
    noticeId: testId('n'),
    clearingId: testId('c'),
    debtor: A,
    amountMinor: 5n,
    currency: 'EUR',
  } as const
  it.each([
    ['from another bank than its settlement bank', A, notice, 'refusal WRONG_ROLE'],
    ['of nothing', S, { ...notice, amountMinor: 0n }, 'refusal AMOUNT_INVALID'],
    ['beyond what a row holds', S, { ...notice, amountMinor: MAX_TOTAL_MINOR }, 'refusal AMOUNT_INVALID'],
    ['good', S, notice, 'receipt'],
  ])('a notice %s', (name, from, body, expected) => {
    const net = twoBanks()
    expect(outcomeOf(net.bank(B).receive('clearing-notice', body, { from, role: 'bank' }))).toBe(expected)
    expect(net.bank(B).position(A)).toBe(name === 'good' ? 5n : 0n)
  })
})

const order = (
  items: readonly { readonly bank: string; readonly amountMinor: bigint }[],
  name = 'c',
): Body<'clearing-order'> => ({
  clearingId: testId(name),
  window: 1,
  currency: 'EUR',
  items: [...items],
})

describe('the settlement bank', () => {
  const send = (bank: TestBank, body: Body<'clearing-order'>, from = A) =>
    bank.receive('clearing-order', body, { from, role: 'bank' })
  const settlementBank = (): TestBank => {
    const bank = testBank(S, { settlementBank: S })
    for (const of of [A, B, 'eu-agora'])
      bank.control('fund-reserve', { bank: of, currency: 'EUR', amountMinor: '1000' })
    return bank
  }
  const rows: readonly (readonly [string, Body<'clearing-order'>, string | undefined])[] = [
    ['of nothing', order([{ bank: B, amountMinor: 0n }]), 'refusal AMOUNT_INVALID'],
    ['to the debtor itself', order([{ bank: A, amountMinor: 1n }]), 'refusal AMOUNT_INVALID'],
    [
      'of a creditor twice',
      order([
        { bank: B, amountMinor: 1n },
        { bank: B, amountMinor: 1n },
      ]),
      'refusal AMOUNT_INVALID',
    ],
    [
      'beyond what a row holds',
      order([
        { bank: B, amountMinor: MAX_TOTAL_MINOR },
        { bank: 'eu-agora', amountMinor: 1n },
      ]),
      'refusal AMOUNT_INVALID',
    ],
    [
      'to a bank without a reserve',
      order([
        { bank: B, amountMinor: 1n },
        { bank: 'hu-new', amountMinor: 1n },
      ]),
      'refusal ACCOUNT_UNKNOWN',
    ],
    [
      'that the reserve covers exactly',
      order([
        { bank: B, amountMinor: 400n },
        { bank: 'eu-agora', amountMinor: 600n },
      ]),
      'clearing-answer',
    ],
    [
      'that the reserve does not cover',
      order([
        { bank: B, amountMinor: 401n },
        { bank: 'eu-agora', amountMinor: 600n },
      ]),
      undefined,
    ],
  ]
  it.each(rows)('an order %s', (_name, body, expected) => {
    const bank = settlementBank()
    expect(outcomeOf(send(bank, body))).toBe(expected)
    const moved = expected === 'clearing-answer'
    expect([bank.reserve(A), bank.reserve(B), bank.reserve('eu-agora')]).toEqual(
      moved ? [0n, 1_400n, 1_600n] : [1_000n, 1_000n, 1_000n],
    )
    expect(sentOf(bank.lastDecision(), 'clearing-notice')).toHaveLength(moved ? 2 : 0)
    expect(bank.report()).toMatchObject({
      queued: expected === undefined ? [{ debtor: A, orders: 1, amountMinor: 1_001n }] : [],
    })
  })

  it('an order known already is not posted again, whatever message brings it', () => {
    const bank = settlementBank()
    const body = order([{ bank: B, amountMinor: 1n }])
    send(bank, body)
    const again = incoming('clearing-order', body, { from: A, role: 'bank' })
    expect(bank.apply((read, ctx) => clearingOrder(read, again, ctx)).refuse?.code).toBe('ID_REUSED')
    expect(bank.reserve(A)).toBe(999n)
  })

  it('of a bank without a reserve is refused', () => {
    const bank = settlementBank()
    expect(outcomeOf(send(bank, order([{ bank: B, amountMinor: 1n }]), 'hu-new'))).toBe('refusal ACCOUNT_UNKNOWN')
  })

  it('posts the queue in order when reserves arrive, and what that covers in turn', () => {
    const bank = settlementBank()
    expect(send(bank, order([{ bank: B, amountMinor: 1_500n }], 'first'))).toEqual([])
    // Behind the first one, although the reserve would cover it: a debtor's orders are posted in the order they came.
    expect(send(bank, order([{ bank: B, amountMinor: 10n }], 'small'))).toEqual([])
    expect(send(bank, order([{ bank: 'eu-agora', amountMinor: 2_400n }], 'other'), B)).toEqual([])
    expect(bank.control('fund-reserve', { bank: A, currency: 'EUR', amountMinor: '499' })).toMatchObject({
      ok: true,
      posted: 0,
    })
    expect(bank.control('fund-reserve', { bank: A, currency: 'EUR', amountMinor: '11' })).toMatchObject({
      ok: true,
      posted: 3,
    })
    expect([bank.reserve(A), bank.reserve(B), bank.reserve('eu-agora')]).toEqual([0n, 110n, 3_400n])
    expect(bank.ledger.rows(QUEUE)).toEqual([])
    expect(outcomeOf(send(bank, order([{ bank: B, amountMinor: 1_500n }], 'first')))).toBe('clearing-answer')
    expect(bank.report().reserves).toContainEqual({ bank: A, currency: 'EUR', balanceMinor: 0n, fundedMinor: 1_510n })
  })

  it('an order that arrives may free another bank, posted in the same decision', () => {
    const bank = settlementBank()
    send(bank, order([{ bank: A, amountMinor: 1_300n }], 'blocked'), B)
    expect(outcomeOf(send(bank, order([{ bank: B, amountMinor: 300n }], 'freeing')))).toBe('clearing-answer')
    expect([bank.reserve(A), bank.reserve(B)]).toEqual([2_000n, 0n])
    expect(bank.report().queued).toEqual([])
  })

  it('keeps no reserve for itself: what it owes and is owed stands in its positions', () => {
    const net = twoBanks()
    openAccount(net.bank(S), 'club', 1_000n)
    openAccount(net.bank(S), 'op', 1_000n, { operatorId: 'hu-otp' })
    pay(net, `${S}:club`, 700n)
    net.settle()
    expect([net.bank(A).position(S), net.bank(S).position(A)]).toEqual([700n, -700n])
    close(net.bank(A))
    net.settle()
    expect([net.bank(A).position(S), net.bank(S).position(A), net.bank(S).reserve(A)]).toEqual([0n, 0n, 4_300n])

    net.bank(S).receive('transfer-order', { ...orderTo(`${B}:shop`, 200n), debitAccount: `${S}:op` }, CPP)
    net.settle()
    close(net.bank(S))
    net.settle()
    expect([net.bank(S).position(B), net.bank(B).position(S), net.bank(S).reserve(B)]).toEqual([0n, 0n, 5_200n])
    expect(sums(net).flat()).toEqual([0n, 0n, 0n, 0n])
  })
})

const position = (bank: string, balanceMinor: bigint, heldMinor = 0n) =>
  ({
    account: `clearing:${bank}:EUR`,
    kind: 'clearing',
    currency: 'EUR',
    balanceMinor,
    heldMinor,
    openedAtMs: 0,
    changedAtMs: 0,
  }) as const

describe('the rules of clearing', () => {
  it('only positive positions are due, without what is being settled, in orders of bounded length', () => {
    expect(
      duePositions([
        position('hu-a', 5n),
        position('hu-b', -5n),
        position('hu-c', 0n),
        position('hu-d', 9n, 4n),
        position('hu-e', 3n, 3n),
      ]),
    ).toEqual([
      {
        currency: 'EUR',
        items: [
          { bank: 'hu-a', amountMinor: 5n },
          { bank: 'hu-d', amountMinor: 5n },
        ],
      },
    ])
    const many = Array.from({ length: 300 }, (_, i) => position(`hu-b${i}`, 1n))
    expect(duePositions(many).map(({ items }) => items.length)).toEqual([256, 44])
  })
  it('items are of other banks, once each, positive, and in range', () => {
    expect(areItemsValid('hu-a', [{ bank: 'hu-b', amountMinor: 1n }])).toBe(true)
    expect(areItemsValid('hu-a', [{ bank: 'hu-b', amountMinor: -1n }])).toBe(false)
  })
})
