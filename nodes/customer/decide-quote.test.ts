/** Paying from an account in another currency: what the wallet asks, what it believes, and what it never pays. */
import { describe, expect, test } from 'vitest'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { TEST_NOW_MS, incoming, testId } from '../runtime/testing.ts'
import type { Message } from '../runtime/node.ts'
import { payments, quotes, unfinished } from './state.ts'
import { oneSent, sentBy } from './testing/drive.ts'
import {
  ALICE,
  confirmationOf,
  CPP,
  CPP2,
  offered,
  payArguments,
  transFor,
  wallet,
  type Wallet,
} from './testing/wallet.ts'

/** Alice's account is in HUF; the invoice is 1.20 EUR. */
const quoting = async (changes: Record<string, unknown> = {}) => {
  const host = wallet()
  await host.enrol(ALICE, CPP, { currency: 'HUF' })
  const invoiced = host.deliver(transFor(offered(host, changes), host.now()))
  return { host, invoiced, asked: oneSent(invoiced, 'fx-quote-request') }
}
type Quote = Message<'fx-quote'>['body']
const quoteFor = (asked: Message<'fx-quote-request'>, changes: Partial<Quote> = {}, { from = CPP, to = ALICE } = {}) =>
  incoming(
    'fx-quote',
    {
      quoteId: asked.body.quoteId,
      currency: 'EUR',
      amountMinor: 120n,
      accountCurrency: 'HUF',
      accountAmountMinor: 48_000n,
      rateNumerator: 400n,
      rateDenominator: 1n,
      expiresAtMs: TEST_NOW_MS + 30_000,
      ...changes,
    },
    { from, role: 'cpp', header: { to } },
  )
const ended = (host: Wallet) => host.payment()
const isRefused = (host: Wallet, code: FailureCode): void => {
  expect(ended(host)).toMatchObject({ state: 'refused', code: failureNumber(code) })
  expect(host.ledger.rows(unfinished)).toEqual([])
  expect([...host.ledger.outbox.values()].filter((one) => 'kind' in one && one.kind !== 'order-query')).toEqual([])
}

describe('an invoice in another currency than the account', () => {
  test('asks what it will cost first, of the CPP alone, signed by the device; nothing is requested yet', async () => {
    const { host, invoiced, asked } = await quoting()
    expect(asked).toMatchObject({
      to: CPP,
      signer: { device: ALICE },
      body: { customer: ALICE, currency: 'EUR', amountMinor: 120n },
    })
    expect(sentBy(invoiced, 'payment-request')).toEqual([])
    expect(host.payment()).toMatchObject({ state: 'quoting', accountCurrency: 'HUF' })
    expect(host.payment().requestedAtMs).toBeUndefined()
  })

  test('is requested on the quote; the confirmation must bear what was quoted', async () => {
    const { host, asked } = await quoting()
    const request = oneSent(host.deliver(quoteFor(asked)), 'payment-request')
    expect(request.body.quoteId).toEqual(asked.body.quoteId)
    expect(host.payment()).toMatchObject({ state: 'requested', accountAmountMinor: 48_000n })
    const confirmation = confirmationOf(host.payment())
    const charged = (accountAmountMinor?: bigint, accountCurrency: 'HUF' | 'USD' = 'HUF') =>
      host.deliver({
        ...confirmation,
        message: {
          ...confirmation.message,
          body: {
            ...confirmation.message.body,
            ...(accountAmountMinor === undefined ? {} : { accountAmountMinor, accountCurrency }),
          },
        },
      } as typeof confirmation)
    for (const other of [charged(), charged(48_001n), charged(47_999n), charged(48_000n, 'USD')])
      expect(other.refuse?.code).toBe('AMOUNT_INVALID')
    expect(host.payment().state).toBe('requested')
    expect(charged(48_000n).refuse).toBeUndefined()
    expect(host.payment().state).toBe('confirmed')
    expect(host.read('payment', { paymentId: Buffer.from(host.payment().prId).toString('hex') })).toMatchObject({
      accountAmountMinor: 48_000n,
      accountCurrency: 'HUF',
    })
  })

  const wrong: readonly (readonly [string, FailureCode, Partial<Quote>, Record<string, unknown>])[] = [
    ['of a larger amount', 'AMOUNT_INVALID', { amountMinor: 121n }, {}],
    ['of another invoice currency', 'AMOUNT_INVALID', { currency: 'USD' }, {}],
    ['in a currency that the account is not in', 'AMOUNT_INVALID', { accountCurrency: 'USD' }, {}],
    ['whose sum is over its rate', 'AMOUNT_INVALID', { accountAmountMinor: 48_001n }, {}],
    ['whose sum is under its rate', 'AMOUNT_INVALID', { accountAmountMinor: 47_999n }, {}],
    ['over what was agreed', 'COST_EXCEEDED', {}, { maxCostMinor: '47999' }],
  ]
  test.each(wrong)('a quote %s: %s, and nothing is requested', async (_, code, changes, pay) => {
    const { host, asked } = await quoting(pay)
    const decided = host.deliver(quoteFor(asked, changes))
    expect(sentBy(decided, 'payment-request')).toEqual([])
    isRefused(host, code)
  })

  test('a quote at exactly what was agreed is paid on', async () => {
    const { host, asked } = await quoting({ maxCostMinor: '48000' })
    expect(sentBy(host.deliver(quoteFor(asked)), 'payment-request')).toHaveLength(1)
  })

  test.each([
    ['nobody asked for', { quoteId: testId('other') }, {}],
    ['from another CPP', {}, { from: CPP2 }],
    ['to another customer', {}, { to: 'hu-bob' }],
  ] as const)('a quote %s is NOT_FOUND and changes nothing', async (_, changes, address) => {
    const { host, asked } = await quoting()
    const decided = host.deliver(quoteFor(asked, changes, address))
    expect(decided.refuse?.code).toBe('NOT_FOUND')
    expect(host.payment().state).toBe('quoting')
  })

  test('a quote that comes again, or too late, changes nothing', async () => {
    const { host, asked } = await quoting()
    host.deliver(quoteFor(asked))
    expect(host.deliver(quoteFor(asked, { accountAmountMinor: 1n })).sends).toEqual([])
    expect(host.payment()).toMatchObject({ state: 'requested', accountAmountMinor: 48_000n })
    const late = await quoting()
    late.host.fireNext('guest-phase')
    isRefused(late.host, 'MESSAGE_EXPIRED')
    expect(late.host.deliver(quoteFor(late.asked)).sends).toEqual([])
  })

  test('the CPP’s refusal of the question ends the purchase with its code; another’s ends nothing', async () => {
    const { host } = await quoting()
    const { prId } = host.payment()
    host.refused('fx-quote-request', ['fxq', prId], { code: 'CURRENCY_UNSUPPORTED', by: 'hu-liar' })
    expect(host.payment().state).toBe('quoting')
    host.refused('fx-quote-request', ['fxq', prId], { code: 'CURRENCY_UNSUPPORTED', by: CPP })
    isRefused(host, 'CURRENCY_UNSUPPORTED')
  })

  test('a restart ends it with nothing paid: the PIN key is gone', async () => {
    const { host } = await quoting()
    const again = wallet({ ledger: host.ledger })
    again.start()
    expect(again.payment()).toMatchObject({ state: 'refused', code: failureNumber('MESSAGE_EXPIRED') })
    expect(host.ledger.rows(quotes)).toHaveLength(1)
  })
})

describe('the account that pays', () => {
  test('is the one in the invoice’s currency where there is one: nobody is charged a rate without need', async () => {
    const host = wallet({ cpps: [CPP, CPP2] })
    await host.enrol(ALICE, CPP2, { currency: 'HUF' })
    await host.enrol(ALICE, CPP)
    host.control('pay', payArguments())
    expect(host.ledger.rows(payments)).toMatchObject([{ cpp: CPP }])
    expect(host.payment().accountCurrency).toBeUndefined()
    const other = wallet({ cpps: [CPP, CPP2] })
    await other.enrol(ALICE, CPP2, { currency: 'HUF' })
    await other.enrol(ALICE, CPP)
    other.control('pay', payArguments({ cpp: CPP2 }))
    expect(other.payment()).toMatchObject({ cpp: CPP2, accountCurrency: 'HUF' })
  })
})
