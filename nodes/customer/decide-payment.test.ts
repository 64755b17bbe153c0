import { describe, expect, test } from 'vitest'
import { failureNumber, type FailureCode } from '../../protocol/failures.ts'
import { testBytes, testId } from '../runtime/testing.ts'
import { payments, sessions, unfinished, waitingForLogin, type Payment } from './state.ts'
import { oneSent, sentBy } from './testing/drive.ts'
import {
  ALICE,
  confirmationOf,
  goodsFor,
  offered,
  openGuest,
  outcomeOf,
  payArguments,
  requested,
  wallet,
  type Wallet,
} from './testing/wallet.ts'

const paying = async (changes: Record<string, unknown> = {}): Promise<Wallet> => {
  const host = wallet()
  await host.enrol(ALICE)
  requested(host, changes)
  return host
}
const MACRO = { amountMinor: '1000' }

describe('a confirmation: checks in their order', () => {
  type Changes = Parameters<typeof confirmationOf>[1]
  const rows: readonly [string, Record<string, unknown>, Changes, FailureCode][] = [
    ['of no payment', {}, { prId: testId('none') }, 'NOT_FOUND'],
    ['from another CPP', {}, { from: 'hu-erste' }, 'NOT_FOUND'],
    ['to another customer', {}, { to: 'hu-bob' }, 'NOT_FOUND'],
    ['of another payee', {}, { payee: 'hu-butcher' }, 'AMOUNT_INVALID'],
    ['of another transaction', {}, { txId: testId('other') }, 'AMOUNT_INVALID'],
    ['of another amount', {}, { amountMinor: 121n }, 'AMOUNT_INVALID'],
    ['in another currency', {}, { currency: 'USD' }, 'AMOUNT_INVALID'],
    ['T for a micropayment', {}, { kind: 'T' }, 'MODE_MISMATCH'],
    ['DT for a macro payment', MACRO, { kind: 'DT' }, 'MODE_MISMATCH'],
  ]
  test.each(rows)('%s', async (_, pay, changes, code) => {
    const host = await paying(pay)
    const decision = host.deliver(confirmationOf(host.payment(), changes))
    expect(decision.refuse?.code).toBe(code)
    expect(decision.writes).toEqual([])
    expect(host.payment().state).toBe('requested')
  })

  test('of a purchase that was never requested', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    offered(host)
    expect(host.deliver(confirmationOf(host.payment())).refuse?.code).toBe('NOT_FOUND')
    expect(host.deliver(outcomeOf(host.payment())).refuse?.code).toBe('NOT_FOUND')
  })

  test.each([
    ['DT', {}],
    ['T', MACRO],
  ] as const)('%s confirms', async (kind, pay) => {
    const host = await paying(pay)
    const decision = host.deliver(confirmationOf(host.payment(), { kind }))
    expect(decision.announce).toMatchObject([{ value: { outcome: 'confirmed', confirmation: kind, currency: 'EUR' } }])
    expect(host.payment()).toMatchObject({ state: 'confirmed', confirmation: kind, decidedAtMs: host.now() })
    expect(host.ledger.outbox.size).toBe(0)
    expect(
      host.ledger
        .deadlines()
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(['goods-query', 'session-end'])
    expect(host.ledger.rows(unfinished)).toHaveLength(1)
  })
})

describe('an outcome', () => {
  test.each(['refused', 'rejected', 'expired', 'failed'] as const)(
    '%s ends the payment and its login',
    async (outcome) => {
      const host = await paying()
      const decision = host.deliver(outcomeOf(host.payment(), { outcome }))
      expect(decision.announce).toMatchObject([{ value: { outcome, code: 'REJECTED_BY_PAYEE' } }])
      expect(host.payment().state).toBe(outcome)
      expect(host.ledger.outbox.size).toBe(0)
      expect(host.ledger.deadlines()).toEqual([])
      expect(host.ledger.rows(sessions)).toEqual([])
      expect(host.ledger.rows(unfinished)).toEqual([])
    },
  )

  test.each([
    ['of no payment', { prId: testId('none') }],
    ['from another CPP', { from: 'hu-erste' }],
  ] as const)('%s is refused', async (_, changes) => {
    const host = await paying()
    expect(host.deliver(outcomeOf(host.payment(), changes)).refuse?.code).toBe('NOT_FOUND')
  })

  test('a final state never changes; the same end again is nothing', async () => {
    const host = await paying()
    host.deliver(confirmationOf(host.payment()))
    const before = host.payment()
    expect(host.deliver(confirmationOf(before))).toMatchObject({ writes: [], refuse: undefined })
    expect(host.deliver(outcomeOf(before)).refuse?.code).toBe('ID_REUSED')
    expect(host.deliver(confirmationOf(before, { kind: 'T' })).refuse?.code).toBe('ID_REUSED')
    expect(host.payment()).toEqual(before)

    const other = await paying()
    other.deliver(outcomeOf(other.payment(), { outcome: 'expired' }))
    expect(other.deliver(outcomeOf(other.payment(), { outcome: 'expired' })).refuse).toBeUndefined()
    expect(other.deliver(outcomeOf(other.payment(), { outcome: 'failed' })).refuse?.code).toBe('ID_REUSED')
    expect(other.deliver(confirmationOf(other.payment())).refuse?.code).toBe('ID_REUSED')
    expect(other.payment().state).toBe('expired')
  })
})

describe('only the CPP ends a requested payment', () => {
  test("after the invoice's expiry it is asked, until it answers", async () => {
    const host = await paying()
    const { prId, transExpiresAtMs } = host.payment()
    const query = oneSent(host.fireNext('payment-query'), 'payment-query')
    expect(host.now()).toBeGreaterThan(transExpiresAtMs ?? 0)
    expect(query).toMatchObject({ to: 'hu-otp', body: { prId, transExpiresAtMs, customer: ALICE } })
    expect(query.signer).toBeUndefined()
    expect(host.payment().state).toBe('requested')
    expect([...host.ledger.outbox.values()]).toHaveLength(1)
    host.deliver(outcomeOf(host.payment(), { outcome: 'expired' }))
    expect(host.ledger.outbox.size).toBe(0)
    expect(host.payment().state).toBe('expired')
  })

  test('a refused frame of the request asks, and ends nothing; a refused query is asked again later', async () => {
    const host = await paying()
    const { prId } = host.payment()
    const asked = host.refused('payment-request', ['pr', prId], { code: 'DECRYPTION_FAILED', by: 'hu-otp' })
    expect(sentBy(asked, 'payment-query')).toHaveLength(1)
    host.refused('payment-query', ['pq', prId], { code: 'SCHEMA_VIOLATION', by: 'hu-otp' })
    expect(host.payment().state).toBe('requested')
    expect(sentBy(host.fireNext('payment-query'), 'payment-query')).toHaveLength(1)
  })

  test("query: SCHEMA_VIOLATION, NOT_FOUND, at once when final, on the CPP's answer when requested", async () => {
    const host = await paying()
    const paymentId = Buffer.from(host.payment().prId).toString('hex')
    expect(host.control('query', { paymentId: 'x' }).reply).toMatchObject({ code: 'SCHEMA_VIOLATION' })
    expect(host.control('query', { paymentId: '00'.repeat(16) }).reply).toMatchObject({ code: 'NOT_FOUND' })
    const asked = host.control('query', { paymentId })
    expect(asked.replyOn).toBe(`payment:${paymentId}`)
    expect(sentBy(asked, 'payment-query')).toHaveLength(1)
    host.deliver(confirmationOf(host.payment()))
    expect(host.control('query', { paymentId }).reply).toMatchObject({ outcome: 'confirmed' })
  })
})

describe('goods', () => {
  const confirmed = async (): Promise<Wallet> => {
    const host = await paying()
    host.deliver(confirmationOf(host.payment()))
    return host
  }

  test('are taken from the host that made the invoice, once', async () => {
    const host = await confirmed()
    expect(host.deliver(goodsFor(host.payment(), { txId: testId('none') })).refuse?.code).toBe('NOT_FOUND')
    expect(host.deliver(goodsFor(host.payment(), { from: 'hu-other-shops' })).refuse?.code).toBe('NOT_FOUND')
    const decision = host.deliver(goodsFor(host.payment()))
    expect(decision.announce).toMatchObject([{ value: { goods: 'a loaf', releasedAtMs: host.now() } }])
    expect(host.payment()).toMatchObject({ state: 'confirmed', goods: 'a loaf' })
    expect(host.ledger.deadlines()).toEqual([])
    expect(host.ledger.rows(unfinished)).toEqual([])
    expect(host.deliver(goodsFor(host.payment()))).toMatchObject({ writes: [], refuse: undefined })
  })

  test('that overtake the confirmation are kept, and are no proof of payment', async () => {
    const host = await paying()
    host.deliver(goodsFor(host.payment()))
    expect(host.payment()).toMatchObject({ state: 'requested', goods: 'a loaf' })
    expect(host.ledger.deadlines().map(({ name }) => name)).toEqual(['payment-query'])
    host.deliver(confirmationOf(host.payment()))
    expect(host.payment().state).toBe('confirmed')
    expect(host.ledger.deadlines()).toEqual([])
    expect(host.ledger.rows(unfinished)).toEqual([])
  })

  test('that do not come are asked for under a login of now, at growing intervals, and given up in the end', async () => {
    const host = wallet({ policy: { maxGoodsQueries: 3 } })
    await host.enrol(ALICE)
    requested(host)
    host.deliver(confirmationOf(host.payment()))
    const { token: first, nonce, txId, payee } = host.payment()
    const waits: number[] = []
    for (let asked = 1; asked <= 3; asked++) {
      const before = host.payment().wakeAtMs ?? 0
      host.fireNext('goods-query')
      waits.push((host.payment().wakeAtMs ?? 0) - before)
      const { token } = host.payment()
      expect(token).not.toBe(first)
      const query = oneSent(openGuest(host), 'order-query')
      expect(query).toMatchObject({
        to: 'hu-shops',
        body: { txId, payee, nonce, sealingKey: testBytes(`sealing ${token}`) },
        signer: { guest: token },
      })
      expect(host.ledger.outbox.size).toBe(1)
    }
    expect(waits).toEqual([6_000, 12_000, 24_000])
    expect(host.fireNext('goods-query').record?.event).toBe('goods-given-up')
    expect(host.ledger.outbox.size).toBe(0)
    expect(host.ledger.rows(unfinished)).toEqual([])
    expect(host.ledger.rows(waitingForLogin)).toEqual([])
    // They are still taken when they come at last.
    host.deliver(goodsFor(host.payment()))
    expect(host.payment().goods).toBe('a loaf')
  })

  test('are asked for again after a restart', async () => {
    const host = await confirmed()
    host.fireNext('goods-query')
    openGuest(host)
    host.start()
    expect([...host.ledger.outbox.values()].map((send) => ('kind' in send ? send.kind : ''))).toEqual([
      'host-registration',
    ])
    host.fireNext('goods-query')
    expect(sentBy(openGuest(host), 'order-query')).toHaveLength(1)
  })
})

describe('reads', () => {
  test('payments pages in the order of ids, without purchases that no CPP knows', async () => {
    const host = wallet()
    await host.enrol(ALICE)
    const row: Payment = {
      prId: testId('0'),
      customer: ALICE,
      cpp: 'hu-otp',
      payee: 'hu-bakery',
      amountMinor: 5n,
      currency: 'EUR',
      state: 'requested',
      goodsQueries: 0,
      startedAtMs: 1,
      requestedAtMs: 1,
    }
    for (let i = 0; i < 5; i++) host.ledger.put(payments, testId(`${i}`), { ...row, prId: testId(`${i}`) })
    const { requestedAtMs: _, ...unrequested } = row
    host.ledger.put(payments, testId('refused'), { ...unrequested, prId: testId('refused'), state: 'refused' })
    const seen: string[] = []
    let after: string | undefined
    do {
      const page = host.read('payments', { limit: 2, ...(after === undefined ? {} : { after }) }) as {
        payments: { prId: string }[]
        next?: string
      }
      seen.push(...page.payments.map(({ prId }) => prId))
      after = page.next
    } while (after !== undefined)
    expect(seen).toEqual([0, 1, 2, 3, 4].map((i) => Buffer.from(testId(`${i}`)).toString('hex')).toSorted())
    expect((host.read('payments', { all: true }) as { payments: unknown[] }).payments).toHaveLength(6)
    expect(host.read('report')).toEqual({
      role: 'customer',
      id: 'hu-wallet-1',
      customers: [{ customer: ALICE, cpps: ['hu-otp'] }],
      undecided: { requested: 5 },
    })
  })

  test('payment, customers', async () => {
    const host = await paying()
    host.deliver(outcomeOf(host.payment()))
    const paymentId = Buffer.from(host.payment().prId).toString('hex')
    expect(host.read('payment', { paymentId })).toMatchObject({
      outcome: 'rejected',
      code: 'REJECTED_BY_PAYEE',
      customer: ALICE,
    })
    expect(host.read('payment', { paymentId: '11'.repeat(16) })).toMatchObject({ ok: false, code: 'NOT_FOUND' })
    expect(host.read('payment', {})).toMatchObject({ ok: false, code: 'SCHEMA_VIOLATION' })
    expect(host.read('customers')).toMatchObject([
      { customer: ALICE, enrolments: [{ cpp: 'hu-otp', state: 'enrolled', unlocked: true }] },
    ])
    expect(failureNumber('REJECTED_BY_PAYEE')).toBe(host.payment().code)
  })
  test('pay to a host with a payment keeps one row a payment', async () => {
    const host = await paying()
    host.control('pay', payArguments())
    expect(host.ledger.rows(payments)).toHaveLength(2)
  })
})
