import { describe, expect, test } from 'vitest'
import type { FailureCode } from '../../protocol/failures.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { descriptionHashOf } from '../merchant/invoice.ts'
import { fail } from '../../protocol/failures.ts'
import { incoming, testBytes, testId, TEST_NOW_MS } from '../runtime/testing.ts'
import { payments, requests } from './state.ts'
import { oneSent } from './testing/drive.ts'
import {
  ALICE,
  chainOf,
  confirmationOf,
  CPP,
  outcomeOf,
  PAYEE,
  SALT,
  SHOP_HOST,
  wallet,
  type Wallet,
} from './testing/wallet.ts'

type Changes = {
  readonly alias?: string
  readonly previousHop?: string
  readonly from?: string
  readonly payee?: string
  readonly description?: string
  readonly expiresAtMs?: number
  readonly requestId?: Uint8Array
  readonly broken?: true
}
const requestToPay = (changes: Changes = {}) => {
  const trans = incoming(
    'transaction-details',
    {
      txId: testId('tx'),
      payee: changes.payee ?? PAYEE,
      amountMinor: 250n,
      currency: 'EUR',
      descriptionHash: descriptionHashOf(SALT, 'rent'),
      nonce: testId('nonce'),
      chain: [testBytes('chain')],
    },
    {
      from: SHOP_HOST,
      role: 'merchant',
      header: { expiresAtMs: changes.expiresAtMs ?? TEST_NOW_MS + 3_600_000 },
      merchant: chainOf(),
    },
  ).message
  return incoming(
    'request-to-pay',
    {
      requestId: changes.requestId ?? testId('request'),
      alias: changes.alias ?? 'hu-ali',
      description: changes.description ?? 'rent',
      salt: SALT,
    },
    {
      from: changes.from ?? SHOP_HOST,
      role: 'merchant',
      previousHop: changes.previousHop ?? CPP,
      nested: { trans: changes.broken === true ? fail('BAD_SIGNATURE') : trans },
    },
  )
}
const host = async (): Promise<Wallet> => {
  const made = wallet()
  await made.enrol(ALICE, CPP, { alias: 'hu-ali' })
  return made
}
const REQUEST = Buffer.from(testId('request')).toString('hex')

describe('a request to pay: checks in their order', () => {
  const rows: readonly [string, Changes, FailureCode][] = [
    ["for an alias that is nobody's here", { alias: 'hu-bob' }, 'NOT_FOUND'],
    ["by another way than the alias's CPP", { previousHop: 'hu-erste' }, 'WRONG_PATH'],
    // Found by the fuzz suite: the code of the nested frame was answered, though it is one that is never answered.
    ['whose invoice does not open', { broken: true }, 'TRANS_INVALID'],
    ["from another host than the invoice's", { from: 'hu-other-shops' }, 'TRANS_INVALID'],
    ['whose chain is of another payee', { payee: 'hu-butcher' }, 'TRANS_INVALID'],
    ['that has expired', { expiresAtMs: TEST_NOW_MS }, 'TRANS_EXPIRED'],
    [
      'that lives too long',
      { expiresAtMs: TEST_NOW_MS + LIMITS.maxRequestToPayLifetimeMs + LIMITS.maxFutureSkewMs + 1 },
      'TRANS_INVALID',
    ],
    ['whose text is not the hashed one', { description: 'a car' }, 'TRANS_INVALID'],
  ]
  test.each(rows)('%s', async (_, changes, code) => {
    const own = await host()
    const decision = own.deliver(requestToPay(changes))
    expect(decision.refuse?.code).toBe(code)
    expect(own.ledger.rows(requests)).toEqual([])
  })

  test('a good one is kept, receipted and listed', async () => {
    const own = await host()
    const request = requestToPay()
    const receipt = oneSent(own.deliver(request), 'receipt')
    expect(receipt).toEqual({
      kind: 'receipt',
      to: CPP,
      body: { digest: request.message.digest },
      delivery: { answers: request.ref },
    })
    expect(own.read('requests', { customer: ALICE })).toMatchObject([
      { requestId: REQUEST, payee: PAYEE, amountMinor: 250n, description: 'rent', state: 'open' },
    ])
    expect(own.read('requests', { customer: 'hu-bob' })).toEqual([])
    expect(own.deliver(requestToPay()).refuse?.code).toBe('ID_REUSED')
  })
})

describe('pay-request', () => {
  test('SCHEMA_VIOLATION, NOT_FOUND', async () => {
    const own = await host()
    expect(own.control('pay-request', { requestId: REQUEST }).reply).toMatchObject({ code: 'SCHEMA_VIOLATION' })
    expect(own.control('pay-request', { requestId: REQUEST, accept: true }).reply).toMatchObject({
      code: 'NOT_FOUND',
    })
  })

  test('declined: nothing is sent, and it stays declined', async () => {
    const own = await host()
    own.deliver(requestToPay())
    const declined = own.control('pay-request', { requestId: REQUEST, accept: false })
    expect(declined).toMatchObject({ sends: [], reply: { ok: true, state: 'declined' } })
    expect(own.control('pay-request', { requestId: REQUEST, accept: true }).reply).toMatchObject({
      code: 'WITHDRAWN',
    })
    expect(own.ledger.deadlines().filter(({ name }) => name === 'request-expiry')).toEqual([])
  })

  test('expired', async () => {
    const own = await host()
    own.deliver(requestToPay())
    own.pass(3_600_000)
    expect(own.control('pay-request', { requestId: REQUEST, accept: true }).reply).toMatchObject({
      code: 'TRANS_EXPIRED',
    })
    own.fireNext('request-expiry')
    expect(own.ledger.rows(requests)).toMatchObject([{ state: 'expired' }])
    expect(own.control('pay-request', { requestId: REQUEST, accept: true }).reply).toMatchObject({
      code: 'TRANS_EXPIRED',
    })
  })

  test('at a CPP that the customer has not', async () => {
    const own = await host()
    own.deliver(requestToPay())
    expect(own.control('pay-request', { requestId: REQUEST, accept: true, cpp: 'hu-erste' }).reply).toMatchObject({
      code: 'CUSTOMER_UNKNOWN',
    })
    expect(own.ledger.rows(requests)).toMatchObject([{ state: 'open' }])
  })

  test('accepted: a payment request with the invoice as it came; paid when confirmed', async () => {
    const own = await host()
    const request = requestToPay()
    own.deliver(request)
    const accepted = own.control('pay-request', { requestId: REQUEST, accept: true })
    const sent = oneSent(accepted, 'payment-request')
    expect(sent).toMatchObject({
      to: CPP,
      signer: { device: ALICE },
      body: { trans: request.message.body.trans },
      expiresAtMs: TEST_NOW_MS + 3_600_000,
    })
    expect(own.payment()).toMatchObject({
      state: 'requested',
      payee: PAYEE,
      amountMinor: 250n,
      merchantHost: SHOP_HOST,
    })
    expect(accepted.replyOn).toBe(`payment:${Buffer.from(own.payment().prId).toString('hex')}`)
    expect(own.control('pay-request', { requestId: REQUEST, accept: true }).reply).toMatchObject({
      code: 'TRANS_LOCKED',
    })
    own.deliver(confirmationOf(own.payment()))
    expect(own.ledger.rows(requests)).toMatchObject([{ state: 'paid' }])
    expect(own.control('pay-request', { requestId: REQUEST, accept: true }).reply).toMatchObject({
      code: 'TRANS_ALREADY_PAID',
    })
    // Its goods are fetched under a guest login.
    expect(own.ledger.deadlines().map(({ name }) => name)).toEqual(['goods-query'])
  })

  test('a payment that was not confirmed opens it again while the invoice lives, under a new payment id', async () => {
    const own = await host()
    own.deliver(requestToPay())
    own.control('pay-request', { requestId: REQUEST, accept: true })
    const first = own.payment()
    own.deliver(outcomeOf(first, { outcome: 'refused' }))
    expect(own.ledger.rows(requests)).toMatchObject([{ state: 'open' }])
    own.control('pay-request', { requestId: REQUEST, accept: true })
    const second = own.ledger.rows(payments).find(({ state }) => state === 'requested')
    expect(second?.prId).not.toEqual(first.prId)
    own.pass(3_600_001)
    if (second !== undefined) own.deliver(outcomeOf(second, { outcome: 'expired' }))
    expect(own.ledger.rows(requests)).toMatchObject([{ state: 'expired' }])
  })
})
