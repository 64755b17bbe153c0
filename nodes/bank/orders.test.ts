import { describe, expect, it } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import { MAX_TOTAL_MINOR } from '../../protocol/amount.ts'
import type { Body } from '../../protocol/kinds.ts'
import { testBytes, testId } from '../runtime/testing.ts'
import { readAccount, readJournal, readStatement } from './reads.ts'
import { ENTRIES, MANDATES } from './state.ts'
import {
  giveMandate,
  HOLDER_KEY,
  mandateTerms,
  openAccount,
  outcomeOf,
  sentOf,
  testBank,
  UNSOUND_KEY,
  type Sent,
  type TestBank,
} from './testing/test-bank.ts'

const CPP: Sent = { from: 'hu-otp', role: 'cpp', operatorId: 'hu-otp' }
const CPP_TWIN: Sent = { from: 'hu-otp-2', role: 'cpp', operatorId: 'hu-otp' }
const MPP: Sent = { from: 'hu-cosmo', role: 'mpp', operatorId: 'hu-cosmo' }
const CUSTOMER = 'hu-kh:cust'
const CPP_ACCOUNT = 'hu-kh:hu-otp'
const MPP_ACCOUNT = 'hu-kh:hu-cosmo'
const SHOP = 'hu-kh:shop'

const bankOfProcessors = (): TestBank => {
  const bank = testBank()
  openAccount(bank, 'cust', 10_000n)
  openAccount(bank, 'hu-otp', 50_000n, { operatorId: 'hu-otp', holderHost: { role: 'cpp', host: 'hu-otp' } })
  openAccount(bank, 'hu-cosmo', 0n, { operatorId: 'hu-cosmo', holderHost: { role: 'mpp', host: 'hu-cosmo' } })
  openAccount(bank, 'shop', 0n, { holderHost: { role: 'merchant', host: 'hu-shops-1' } })
  openAccount(bank, 'forint', 0n, { currency: 'HUF' })
  giveMandate(bank, mandateTerms(CUSTOMER, 'hu-otp', 8_000n))
  return bank
}
const orderBody = (changes: Partial<Body<'transfer-order'>> = {}): Body<'transfer-order'> => ({
  orderId: testId('order'),
  debitAccount: CUSTOMER,
  creditAccount: CPP_ACCOUNT,
  amountMinor: 3_000n,
  currency: 'EUR',
  reference: { purpose: 'collection', id: testId('order') },
  ...changes,
})
const transfer = (bank: TestBank, changes: Partial<Body<'transfer-order'>> = {}, sent: Sent = CPP) =>
  outcomeOf(bank.receive('transfer-order', orderBody(changes), sent))

describe('a transfer order', () => {
  const rows: readonly (readonly [name: string, (bank: TestBank) => string | undefined, expected: string])[] = [
    [
      'an order id that a void has',
      (b) => (b.receive('void-order', { orderId: testId('order'), holdId: testId('h') }, CPP), transfer(b)),
      'refusal ID_REUSED',
    ],
    ['nothing', (b) => transfer(b, { amountMinor: 0n }), 'AMOUNT_INVALID'],
    ['from an unknown account', (b) => transfer(b, { debitAccount: 'hu-kh:nobody' }), 'ACCOUNT_UNKNOWN'],
    ['from an account of another bank', (b) => transfer(b, { debitAccount: 'ro-carpat:cust' }), 'ACCOUNT_UNKNOWN'],
    ['in another currency than the account', (b) => transfer(b, { currency: 'HUF' }), 'CURRENCY_UNSUPPORTED'],
    ['without a mandate', (b) => transfer(b, {}, MPP), 'NO_MANDATE'],
    ["from another operator's own account", (b) => transfer(b, { debitAccount: MPP_ACCOUNT }), 'NO_MANDATE'],
    ['over the mandate', (b) => transfer(b, { amountMinor: 8_001n }), 'MANDATE_EXCEEDED'],
    ['to an unknown account', (b) => transfer(b, { creditAccount: 'hu-kh:nobody' }), 'ACCOUNT_UNKNOWN'],
    [
      'to an account in another currency',
      (b) => transfer(b, { creditAccount: 'hu-kh:forint' }),
      'CURRENCY_UNSUPPORTED',
    ],
    [
      'to a bank that is no peer',
      (b) => (b.setPolicy({ peers: [] }), transfer(b, { creditAccount: 'ro-carpat:x' })),
      'ACCOUNT_UNKNOWN',
    ],
    [
      'over the free balance',
      (b) => transfer(b, { debitAccount: CPP_ACCOUNT, creditAccount: MPP_ACCOUNT, amountMinor: 50_001n }),
      'INSUFFICIENT_FUNDS',
    ],
    [
      'over what a hold leaves free',
      (b) => {
        b.receive(
          'hold-order',
          {
            holdId: testId('h'),
            account: CUSTOMER,
            amountMinor: 8_000n,
            currency: 'EUR',
            holdExpiresAtMs: b.now() + 9,
          },
          CPP,
        )
        return transfer(b)
      },
      'INSUFFICIENT_FUNDS',
    ],
    ['a collection by mandate', (b) => transfer(b), 'booked'],
    ['exactly the mandate', (b) => transfer(b, { amountMinor: 8_000n }), 'booked'],
    [
      'exactly the balance, from its own account',
      (b) => transfer(b, { debitAccount: CPP_ACCOUNT, creditAccount: MPP_ACCOUNT, amountMinor: 50_000n }),
      'booked',
    ],
    [
      'by another host of the same operator',
      (b) => transfer(b, { debitAccount: CPP_ACCOUNT, creditAccount: MPP_ACCOUNT }, CPP_TWIN),
      'booked',
    ],
    ['to itself', (b) => transfer(b, { debitAccount: CPP_ACCOUNT }), 'booked'],
    [
      'a payout',
      (b) => (
        b.control('deposit', { account: MPP_ACCOUNT, amountMinor: '3000' }),
        transfer(
          b,
          { debitAccount: MPP_ACCOUNT, creditAccount: SHOP, reference: { purpose: 'payout', id: testId('p') } },
          MPP,
        )
      ),
      'booked',
    ],
  ]
  it.each(rows)('%s', (_name, act, expected) => {
    const bank = bankOfProcessors()
    const accounts = [CUSTOMER, CPP_ACCOUNT, MPP_ACCOUNT, SHOP, 'nostro:EUR']
    const sum = () => accounts.reduce((total, account) => total + bank.balance(account), 0n)
    expect(sum()).toBe(0n)
    expect(act(bank)).toBe(expected)
    expect(sum()).toBe(0n)
    const isBooked = expected === 'booked'
    const untouched = [10_000n, 50_000n, 0n, 0n, -60_000n].join(' ')
    expect(isBooked || accounts.map(bank.balance).join(' ') === untouched).toBe(true)
    expect(bank.report().orders.map(({ count }) => count)).toEqual(isBooked ? [1] : [])
  })

  it('moves exactly the sum', () => {
    const bank = bankOfProcessors()
    transfer(bank)
    expect([bank.balance(CUSTOMER), bank.balance(CPP_ACCOUNT)]).toEqual([7_000n, 53_000n])
  })

  it('to itself moves nothing', () => {
    const bank = bankOfProcessors()
    transfer(bank, { debitAccount: CPP_ACCOUNT })
    expect(bank.balance(CPP_ACCOUNT)).toBe(50_000n)
    expect(bank.report().totals[0]).toMatchObject({ sumMinor: 0n, accountsOffJournal: 0 })
  })

  it('repeated gets the stored answer and moves nothing again', () => {
    const bank = bankOfProcessors()
    const first = bank.receive('transfer-order', orderBody(), CPP)
    const again = bank.receive('transfer-order', orderBody(), CPP)
    expect(again).toEqual(first)
    expect(bank.balance(CUSTOMER)).toBe(7_000n)
    expect(transfer(bank, { amountMinor: 1n })).toBe('refusal ID_REUSED')
  })

  it('of the same id from two hosts are two orders', () => {
    const bank = bankOfProcessors()
    expect(transfer(bank)).toBe('booked')
    expect(transfer(bank, {}, CPP_TWIN)).toBe('booked')
    expect(bank.balance(CUSTOMER)).toBe(4_000n)
  })

  it('tells the holder of the credited account, not the host that ordered it', () => {
    const bank = bankOfProcessors()
    transfer(bank)
    expect(sentOf(bank.lastDecision(), 'account-notice')).toEqual([])
    const settlement = {
      orderId: testId('s'),
      debitAccount: CPP_ACCOUNT,
      creditAccount: MPP_ACCOUNT,
      reference: { purpose: 'settlement', id: testId('batch') },
    } as const
    transfer(bank, settlement)
    expect(sentOf(bank.lastDecision(), 'account-notice')).toMatchObject([
      { account: MPP_ACCOUNT, amountMinor: 3_000n, reference: settlement.reference },
    ])
    transfer(bank, { ...settlement, orderId: testId('s2') }, CPP_TWIN)
    expect(sentOf(bank.lastDecision(), 'account-notice')).toMatchObject([
      { account: CPP_ACCOUNT, amountMinor: -3_000n },
      { account: MPP_ACCOUNT, amountMinor: 3_000n },
    ])
  })

  it('tells every host that shares the account, but the one that ordered it', () => {
    const bank = bankOfProcessors()
    const holderHost = { role: 'mpp', host: 'hu-one-m' }
    const alsoTold = [{ role: 'cpp', host: 'hu-one-c' }]
    const shared = { operatorId: 'hu-one', holderHost, alsoTold }
    openAccount(bank, 'hu-one', 0n, shared)
    expect(openAccount(bank, 'hu-one', 0n, shared)).toMatchObject({ ok: true, opened: false })
    expect(openAccount(bank, 'hu-one', 0n, { ...shared, alsoTold: [holderHost] })).toMatchObject({ code: 'NAME_TAKEN' })
    const told = (): readonly string[] => sentOf(bank.lastDecision(), 'account-notice').map(({ account }) => account)
    transfer(bank, { debitAccount: CPP_ACCOUNT, creditAccount: 'hu-kh:hu-one' })
    expect(told()).toEqual(['hu-kh:hu-one', 'hu-kh:hu-one'])
    const back = { orderId: testId('back'), debitAccount: 'hu-kh:hu-one', creditAccount: SHOP, amountMinor: 10n }
    transfer(bank, back, { from: 'hu-one-c', role: 'cpp', operatorId: 'hu-one' })
    expect(told().toSorted()).toEqual(['hu-kh:hu-one', SHOP])
  })
})

const ask = (bank: TestBank, sent: Sent = CPP) =>
  bank.receive('bank-order-query', { orderId: testId('order') }, { ...sent, message: `${bank.now()}` })

describe('a query for an order', () => {
  it('finds nothing', () => expect(outcomeOf(ask(bankOfProcessors()))).toBe('refusal NOT_FOUND'))
  it('finds nothing of another host', () => {
    const bank = bankOfProcessors()
    transfer(bank)
    expect(outcomeOf(ask(bank, CPP_TWIN))).toBe('refusal NOT_FOUND')
  })
  it('waits for the other bank', () => {
    const bank = bankOfProcessors()
    expect(transfer(bank, { creditAccount: 'ro-carpat:x' })).toBeUndefined()
    expect(outcomeOf(ask(bank))).toBe('refusal UNDECIDED')
  })
  it.each([
    ['booked', {}, { result: 'booked' }],
    ['refused', { amountMinor: 8_001n }, { result: 'refused', code: 7004 }],
  ])('repeats the answer: %s', (_name, changes, expected) => {
    const bank = bankOfProcessors()
    transfer(bank, changes)
    expect(ask(bank)).toMatchObject([
      { kind: 'transfer-answer', to: 'hu-otp', body: { orderId: testId('order'), ...expected } },
    ])
  })
  it('repeats the answers to a post and to a void', () => {
    const bank = bankOfProcessors()
    bank.receive('void-order', { orderId: testId('order'), holdId: testId('h') }, CPP)
    expect(ask(bank)).toMatchObject([{ kind: 'void-answer', body: { result: 'voided', holdId: testId('h') } }])
    const other = bankOfProcessors()
    other.receive(
      'post-order',
      {
        orderId: testId('order'),
        holdId: testId('h'),
        creditAccount: SHOP,
        amountMinor: 1n,
        currency: 'EUR',
        reference: { purpose: 'payment', id: testId('t') },
      },
      CPP,
    )
    expect(ask(other)).toMatchObject([
      { kind: 'post-answer', body: { result: 'refused', code: 7005, holdId: testId('h') } },
    ])
  })
})

describe('a mandate', () => {
  const terms = mandateTerms(CUSTOMER, 'ro-libra', 500n)
  const rows: readonly (readonly [name: string, (bank: TestBank) => string | undefined, expected: string])[] = [
    [
      'not a mandate at all',
      (b) =>
        outcomeOf(
          b.receive('mandate-registration', { registrationId: testId('m'), mandate: testBytes('rubbish') }, CPP),
        ),
      'MANDATE_INVALID',
    ],
    ["another operator's", (b) => outcomeOf(giveMandate(b, terms, { from: 'hu-otp' })), 'MANDATE_INVALID'],
    [
      'of an unknown account',
      (b) => outcomeOf(giveMandate(b, { ...terms, account: 'hu-kh:nobody' })),
      'ACCOUNT_UNKNOWN',
    ],
    [
      'of an internal account',
      (b) => outcomeOf(giveMandate(b, { ...terms, account: 'nostro:EUR' })),
      'ACCOUNT_UNKNOWN',
    ],
    [
      'signed by another key',
      (b) => outcomeOf(giveMandate(b, terms, { signedBy: testBytes('thief') })),
      'MANDATE_INVALID',
    ],
    ['in another currency', (b) => outcomeOf(giveMandate(b, { ...terms, currency: 'HUF' })), 'CURRENCY_UNSUPPORTED'],
    [
      'older than the one held',
      (b) => (giveMandate(b, { ...terms, serial: 3 }), outcomeOf(giveMandate(b, { ...terms, serial: 2 }))),
      'MANDATE_INVALID',
    ],
    ['good', (b) => outcomeOf(giveMandate(b, terms)), 'accepted'],
    ['good again', (b) => (giveMandate(b, terms), outcomeOf(giveMandate(b, terms))), 'accepted'],
    [
      'newer',
      (b) => (giveMandate(b, terms), outcomeOf(giveMandate(b, { ...terms, serial: 2, limitMinor: 1n }))),
      'accepted',
    ],
  ]
  it.each(rows)('%s', (name, act, expected) => {
    const bank = bankOfProcessors()
    expect(act(bank)).toBe(expected)
    const held = bank.ledger.get(MANDATES, CUSTOMER, 'ro-libra')?.limitMinor
    expect(held).toBe(name === 'newer' ? 1n : expected === 'accepted' || name.startsWith('older') ? 500n : undefined)
  })
})

const open = (bank: TestBank, changes: Record<string, unknown> = {}) => openAccount(bank, 'new', 700n, changes)

describe('controls', () => {
  it('open an account once, and fund it once', () => {
    const bank = testBank()
    expect(open(bank)).toEqual({ ok: true, account: 'hu-kh:new', opened: true })
    expect(open(bank)).toEqual({ ok: true, account: 'hu-kh:new', opened: false })
    expect([bank.balance('hu-kh:new'), bank.balance('nostro:EUR')]).toEqual([700n, -700n])
  })
  const taken: readonly (readonly [string, Record<string, unknown>])[] = [
    ['holder key', { holderKey: toHex(testBytes('thief')) }],
    ['currency', { currency: 'HUF' }],
    ['operator', { operatorId: 'hu-otp' }],
    ['holder host', { holderHost: { role: 'merchant', host: 'hu-shops-9' } }],
  ]
  it.each(taken)('an account open with another %s is NAME_TAKEN', (_name, changes) => {
    const bank = testBank()
    open(bank)
    expect(open(bank, changes)).toMatchObject({ ok: false, code: 'NAME_TAKEN' })
    expect(bank.account('hu-kh:new')).toMatchObject({ holderKey: HOLDER_KEY, currency: 'EUR', balanceMinor: 700n })
  })
  const bad: readonly (readonly [string, string, Record<string, unknown>, string])[] = [
    ['open-account', 'another bank', { account: 'ro-carpat:new' }, 'ACCOUNT_UNKNOWN'],
    ['open-account', 'a name outside the grammar', { account: 'nostro:EUR' }, 'SCHEMA_VIOLATION'],
    ['open-account', 'a short key', { holderKey: 'ab' }, 'SCHEMA_VIOLATION'],
    ['open-account', 'a negative balance', { balanceMinor: '-1' }, 'SCHEMA_VIOLATION'],
    ['open-account', 'a float for money', { balanceMinor: 1.5 }, 'SCHEMA_VIOLATION'],
    ['open-account', 'an unsound key', { holderKey: toHex(UNSOUND_KEY) }, 'BAD_KEY'],
    ['open-account', 'an unknown currency', { currency: 'XXX' }, 'SCHEMA_VIOLATION'],
    ['open-account', 'an unknown argument', { overdraft: '1' }, 'SCHEMA_VIOLATION'],
    [
      'open-account',
      'a holder of another role',
      { holderHost: { role: 'customer', host: 'hu-w-1' } },
      'SCHEMA_VIOLATION',
    ],
    ['open-account', 'more than a row holds', { balanceMinor: (MAX_TOTAL_MINOR + 1n).toString() }, 'SCHEMA_VIOLATION'],
    ['deposit', 'an unknown account', { account: 'hu-kh:nobody', amountMinor: '1' }, 'ACCOUNT_UNKNOWN'],
    ['deposit', 'nothing', { account: 'hu-kh:old', amountMinor: '0' }, 'AMOUNT_INVALID'],
    [
      'deposit',
      'more than a row holds',
      { account: 'hu-kh:old', amountMinor: MAX_TOTAL_MINOR.toString() },
      'AMOUNT_INVALID',
    ],
    ['fund-reserve', 'no bank', { currency: 'EUR', amountMinor: '1' }, 'SCHEMA_VIOLATION'],
    [
      'fund-reserve',
      'more than a row holds',
      { bank: 'hu-kh', currency: 'EUR', amountMinor: MAX_TOTAL_MINOR.toString() },
      'AMOUNT_INVALID',
    ],
    ['resolve-credit', 'a bad id', { creditId: 'ab', booked: true }, 'SCHEMA_VIOLATION'],
    ['resolve-credit', 'an unknown credit', { creditId: toHex(testId('c')), booked: true }, 'NOT_FOUND'],
  ]
  it.each(bad)('%s refuses %s', (command, _name, args, code) => {
    const bank = testBank()
    openAccount(bank, 'old', 1n)
    const base = { account: 'hu-kh:new', holderKey: toHex(HOLDER_KEY), currency: 'EUR', balanceMinor: '5' }
    expect(bank.control(command, command === 'open-account' ? { ...base, ...args } : args)).toMatchObject({
      ok: false,
      code,
    })
    expect(bank.ledger.rows(ENTRIES)).toHaveLength(1)
  })
  it('deposit adds to the account and to nothing else', () => {
    const bank = testBank()
    openAccount(bank, 'old', 1n)
    expect(bank.control('deposit', { account: 'hu-kh:old', amountMinor: '41' })).toEqual({
      ok: true,
      account: 'hu-kh:old',
      balanceMinor: 42n,
    })
    expect(bank.balance('nostro:EUR')).toBe(-42n)
  })
})

describe('reads', () => {
  it('show an account, its statement page by page, and the journal', () => {
    const bank = bankOfProcessors()
    transfer(bank)
    transfer(bank, { orderId: testId('two'), amountMinor: 1_000n })
    expect(readAccount(bank.ledger, { account: CUSTOMER })).toMatchObject({
      ok: true,
      balanceMinor: 6_000n,
      freeMinor: 6_000n,
      currency: 'EUR',
    })
    const first = readStatement(bank.ledger, { account: CUSTOMER, limit: 2 })
    expect(first).toMatchObject({
      ok: true,
      lines: [
        { amountMinor: 10_000n, balanceMinor: 10_000n },
        { amountMinor: -3_000n, balanceMinor: 7_000n, event: 'transfer' },
      ],
    })
    const next = first.ok ? first.next : undefined
    expect(readStatement(bank.ledger, { account: CUSTOMER, after: next, limit: 2 })).toMatchObject({
      lines: [{ amountMinor: -1_000n, balanceMinor: 6_000n }],
      next: undefined,
    })
    expect(readJournal(bank.ledger, {}).lines.map(({ entry }) => entry)).toEqual([1, 2, 3, 4])
    expect(readAccount(bank.ledger, { account: 'hu-kh:nobody' })).toMatchObject({ ok: false, code: 'ACCOUNT_UNKNOWN' })
    expect(readStatement(bank.ledger, {})).toMatchObject({ ok: false, code: 'ACCOUNT_UNKNOWN' })
  })
})
