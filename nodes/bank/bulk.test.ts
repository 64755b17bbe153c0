import { describe, expect, it } from 'vitest'
import { failureCode } from '../../protocol/failures.ts'
import type { Body } from '../../protocol/kinds.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Message } from '../runtime/node.ts'
import { testId } from '../runtime/testing.ts'
import { ENTRIES, ORDERS, OUTGOING_CREDITS } from './state.ts'
import {
  giveMandate,
  mandateTerms,
  openAccount,
  outcomeOf,
  sentOf,
  testBank,
  type Sent,
  type TestBank,
} from './testing/test-bank.ts'

const CPP: Sent = { from: 'hu-otp', role: 'cpp', operatorId: 'hu-otp' }
const OPERATOR = 'hu-kh:hu-otp'
const account = (name: string): string => `hu-kh:${name}`

const bankOfCustomers = (): TestBank => {
  const bank = testBank()
  openAccount(bank, 'hu-otp', 0n, { operatorId: 'hu-otp', holderHost: { role: 'cpp', host: 'hu-otp' } })
  for (const name of ['anna', 'bela', 'cili']) {
    openAccount(bank, name, 1_000n)
    giveMandate(bank, mandateTerms(account(name), 'hu-otp', 900n))
  }
  openAccount(bank, 'free', 5_000n)
  openAccount(bank, 'forint', 5_000n, { currency: 'HUF' })
  return bank
}
const bulk = (
  items: readonly (readonly [name: string, amountMinor: bigint])[],
  changes: Partial<Body<'bulk-transfer-order'>> = {},
): Body<'bulk-transfer-order'> => ({
  orderId: testId('bulk'),
  creditAccount: OPERATOR,
  currency: 'EUR',
  items: items.map(([name, amountMinor], i) => ({
    itemId: testId(`item ${i}`),
    debitAccount: account(name),
    amountMinor,
  })),
  ...changes,
})
/** What became of each item, in order. */
const results = (messages: readonly Message[]): readonly (string | undefined)[] => {
  const [answer] = messages
  if (answer?.kind !== 'bulk-transfer-answer') return [outcomeOf(messages)]
  return answer.body.items.map(({ result, code }) => (code === undefined ? result : failureCode(code)))
}

describe('a bulk order', () => {
  it('is answered item by item: a refusal changes nothing for the others, each booking is an entry of its own', () => {
    const bank = bankOfCustomers()
    const order = bulk([
      ['anna', 700n],
      ['bela', 901n],
      ['free', 10n],
      ['nobody', 10n],
      ['forint', 10n],
      ['cili', 0n],
      ['cili', 900n],
      ['cili', 101n],
    ])
    expect(results(bank.receive('bulk-transfer-order', order, CPP))).toEqual([
      'booked',
      'MANDATE_EXCEEDED',
      'NO_MANDATE',
      'ACCOUNT_UNKNOWN',
      'CURRENCY_UNSUPPORTED',
      'AMOUNT_INVALID',
      'booked',
      // The second of one account sees what the first has left.
      'INSUFFICIENT_FUNDS',
    ])
    expect([bank.balance(account('anna')), bank.balance(account('bela')), bank.balance(account('cili'))]).toEqual([
      300n,
      1_000n,
      100n,
    ])
    expect(bank.balance(OPERATOR)).toBe(1_600n)
    const entries = bank.ledger.rows(ENTRIES).filter(({ event }) => event === 'transfer')
    expect(entries.map(({ cause, reference }) => [cause, reference])).toEqual(
      [0, 6].map((i) => [testId(`item ${i}`), { purpose: 'collection', id: testId(`item ${i}`) }]),
    )
    // Whoever ordered is told by the answer, by no notice.
    expect(sentOf(bank.lastDecision(), 'account-notice')).toEqual([])
    expect(bank.report()).toMatchObject({
      orders: [{ from: 'hu-otp', purpose: 'collection', count: 2, amountMinor: 1_600n }],
      collections: 2,
    })
  })

  it('is carried out once: again the same answer, also to a query; one item by itself has its own', () => {
    const bank = bankOfCustomers()
    const order = bulk([
      ['anna', 500n],
      ['bela', 901n],
    ])
    const first = bank.receive('bulk-transfer-order', order, CPP)
    expect(bank.receive('bulk-transfer-order', order, CPP)).toEqual(first)
    const asked = bank.receive('bank-order-query', { orderId: order.orderId }, CPP)
    expect(asked.map(({ body }) => body)).toEqual(first.map(({ body }) => body))
    expect(
      outcomeOf(bank.receive('bank-order-query', { orderId: testId('item 1') }, { ...CPP, message: 'item' })),
    ).toBe('MANDATE_EXCEEDED')
    expect(bank.balance(account('anna'))).toBe(500n)
  })

  it.each<[string, (bank: TestBank) => readonly Message[]]>([
    [
      'the id of an earlier order',
      (bank) => {
        bank.receive('void-order', { orderId: testId('bulk'), holdId: testId('h') }, CPP)
        return bank.receive('bulk-transfer-order', bulk([['anna', 1n]]), CPP)
      },
    ],
    [
      'an item with the id of an earlier order',
      (bank) => {
        bank.receive('bulk-transfer-order', bulk([['anna', 1n]]), CPP)
        return bank.receive('bulk-transfer-order', bulk([['bela', 1n]], { orderId: testId('other') }), CPP)
      },
    ],
    [
      'an item twice',
      (bank) => {
        const [item] = bulk([['anna', 1n]]).items
        return bank.receive('bulk-transfer-order', bulk([], { items: item === undefined ? [] : [item, item] }), CPP)
      },
    ],
    [
      'an item with its own id',
      (bank) => bank.receive('bulk-transfer-order', bulk([['anna', 1n]], { orderId: testId('item 0') }), CPP),
    ],
  ])('with %s is refused as a whole', (_, act) => {
    const bank = bankOfCustomers()
    expect(outcomeOf(act(bank))).toMatch(/^refusal ID_REUSED/)
    expect(bank.balance(account('bela'))).toBe(1_000n)
  })

  it.each([
    ['no item', 0],
    ['too many', LIMITS.maxBulkItems + 1],
  ])('with %s is refused as a whole', (_, count) => {
    const bank = bankOfCustomers()
    const items = Array.from({ length: count }, () => ['anna', 1n] as const)
    expect(outcomeOf(bank.receive('bulk-transfer-order', bulk(items), CPP))).toMatch(/^refusal SCHEMA_VIOLATION/)
    expect(bank.ledger.rows(ORDERS)).toEqual([])
  })
})

describe('a bulk order to an account at another bank', () => {
  const away = { creditAccount: 'ro-carpat:hu-otp' }
  const sent = () => {
    const bank = bankOfCustomers()
    const order = bulk(
      [
        ['anna', 700n],
        ['bela', 901n],
        ['cili', 200n],
      ],
      away,
    )
    expect(bank.receive('bulk-transfer-order', order, CPP)).toEqual([])
    const [credit] = sentOf(bank.lastDecision(), 'interbank-credit')
    if (credit === undefined) throw new Error('no credit')
    return { bank, order, credit }
  }

  it('travels as one credit over the sum, and is answered once that is booked', () => {
    const { bank, order, credit } = sent()
    expect(credit).toMatchObject({ amountMinor: 900n, reference: { purpose: 'collection', id: order.orderId } })
    expect(bank.position('ro-carpat')).toBe(900n)
    expect(outcomeOf(bank.receive('bank-order-query', { orderId: order.orderId }, CPP))).toMatch(/UNDECIDED/)
    bank.receive(
      'interbank-booking',
      { creditId: credit.creditId, bookedAtMs: bank.now() },
      { from: 'ro-carpat', role: 'bank' },
    )
    const [answer] = sentOf(bank.lastDecision(), 'bulk-transfer-answer')
    expect(answer?.items.map(({ result }) => result)).toEqual(['booked', 'refused', 'booked'])
    expect(bank.ledger.rows(OUTGOING_CREDITS).map(({ state }) => state)).toEqual(['booked'])
    expect(bank.report()).toMatchObject({ collections: 2, totals: [{ sumMinor: 0n, accountsOffJournal: 0 }, {}] })
  })

  it('gives every sum back when it is returned, and says so of each item', () => {
    const { bank, order, credit } = sent()
    bank.receive('interbank-return', { creditId: credit.creditId, code: 7_001 }, { from: 'ro-carpat', role: 'bank' })
    const [answer] = sentOf(bank.lastDecision(), 'bulk-transfer-answer')
    expect(answer?.orderId).toEqual(order.orderId)
    expect(answer?.items.map(({ code }) => failureCode(code ?? 0))).toEqual([
      'CREDIT_RETURNED',
      'MANDATE_EXCEEDED',
      'CREDIT_RETURNED',
    ])
    for (const name of ['anna', 'bela', 'cili']) expect(bank.balance(account(name))).toBe(1_000n)
    expect(bank.position('ro-carpat')).toBe(0n)
    expect(bank.report()).toMatchObject({ collections: 0, totals: [{ sumMinor: 0n, accountsOffJournal: 0 }, {}] })
  })

  it('whose items are all refused is answered at once: nothing travels', () => {
    const bank = bankOfCustomers()
    const order = bulk([['bela', 901n]], away)
    expect(results(bank.receive('bulk-transfer-order', order, CPP))).toEqual(['MANDATE_EXCEEDED'])
    expect(sentOf(bank.lastDecision(), 'interbank-credit')).toEqual([])
  })
})
