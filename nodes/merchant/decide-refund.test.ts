/** Refunds at a merchant host: the PIN, one row for each refusal, and who may end a refund. */
import { describe, expect, test } from 'vitest'
import { toHex, utf8 } from '../../protocol/bytes.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { contains, leavesOf, oneSent, sentBy } from '../customer/testing/drive.ts'
import type { Decision } from '../runtime/node.ts'
import { incoming, testId } from '../runtime/testing.ts'
import { REFUND_PIN_JOB } from './decide-refund.ts'
import { outbox, refundPins, refunds } from './state.ts'
import {
  approved,
  BAKERY,
  confirmationOf,
  CPP,
  merchant,
  MPP,
  MPP2,
  outcomeOf,
  type Merchant,
} from './testing/merchant.ts'

const PIN = '482915'
const REFUND = testId('refund')

const finish = async (host: Merchant): Promise<Decision> => host.finish(REFUND_PIN_JOB, await host.run(REFUND_PIN_JOB))
const valueOf = ({ announce, reply }: Decision): any => announce[0]?.value ?? reply
const setPin = async (host: Merchant, pin = PIN): Promise<void> => {
  host.control('set-refund-pin', { pin })
  expect(valueOf(await finish(host))).toEqual({ ok: true })
}
/** A confirmed micropayment of 120, and a PIN. */
const paid = async (): Promise<Merchant> => {
  const host = merchant()
  host.enrol()
  await setPin(host)
  approved(host)
  host.deliver(confirmationOf(host.order(), 'DT'))
  return host
}
const args = (host: Merchant, changes: Record<string, unknown> = {}) => ({
  payee: 'bakery@hu',
  txId: toHex(host.order().txId),
  amountMinor: '50',
  pin: PIN,
  refundId: toHex(REFUND),
  ...changes,
})
const ask = async (host: Merchant, changes: Record<string, unknown> = {}): Promise<Decision> => {
  const asked = host.control('refund', args(host, changes))
  return asked.jobs.length === 0 ? asked : finish(host)
}
type Said = {
  readonly refundId?: Uint8Array
  readonly payee?: string
  readonly txId?: Uint8Array
  readonly pn?: string
  readonly amountMinor?: bigint
  readonly currency?: 'EUR' | 'USD'
  readonly from?: string
  readonly previousHop?: string
}
const confirm = (host: Merchant, said: Said = {}): Decision =>
  host.deliver(
    incoming(
      'refund-confirmation',
      {
        refundId: said.refundId ?? REFUND,
        pnId: testId(`pn ${said.pn ?? 'one'}`),
        payee: said.payee ?? BAKERY,
        txId: said.txId ?? host.order().txId,
        amountMinor: said.amountMinor ?? 50n,
        currency: said.currency ?? 'EUR',
        mpp: MPP,
        pairSeq: 2,
        confirmedAtMs: 1,
      },
      { from: said.from ?? CPP, role: 'cpp', previousHop: said.previousHop ?? MPP },
    ),
  )
const states = (host: Merchant) => host.ledger.rows(refunds).map(({ state }) => state)

describe('the PIN', () => {
  test('is needed, and stands in no row, message, job result or record', async () => {
    const host = await paid()
    const made = await ask(host)
    expect(valueOf(made)).toMatchObject({ ok: true, refundId: toHex(REFUND), state: 'requested' })
    expect(oneSent(made, 'refund-request').to).toBe(MPP)
    const kept = [made, host.ledger.rows(refunds), host.ledger.rows(refundPins)]
    expect(kept.flatMap(leavesOf).some((leaf) => contains(leaf, utf8(PIN)))).toBe(false)
  })

  test('is to be set first', async () => {
    const host = merchant()
    host.enrol()
    approved(host)
    host.deliver(confirmationOf(host.order(), 'DT'))
    expect(valueOf(await ask(host))).toMatchObject({ ok: false, code: 'NOT_FOUND' })
    expect(host.read('refund-pin')).toEqual({ set: false, locked: false })
  })

  test('locks after the last wrong one, for the right one too, until it is set anew', async () => {
    const host = await paid()
    for (let wrong = 1; wrong <= LIMITS.maxWrongPins; wrong++) {
      const code = wrong < LIMITS.maxWrongPins ? 'WRONG_PIN' : 'PIN_LOCKED'
      const made = await ask(host, { pin: '111111' })
      expect([valueOf(made).code, made.sends]).toEqual([code, []])
    }
    expect(valueOf(await ask(host)).code).toBe('PIN_LOCKED')
    expect(host.read('refund-pin')).toEqual({ set: true, locked: true })
    await setPin(host, '998877')
    expect(valueOf(await ask(host)).code).toBe('WRONG_PIN')
    expect(valueOf(await ask(host, { pin: '998877' })).ok).toBe(true)
  })

  test('is counted for guesses made side by side, and forgotten after a right one', async () => {
    const host = await paid()
    const guesses = LIMITS.maxWrongPins + 2
    for (let n = 0; n < guesses; n++) host.control('refund', args(host, { pin: '111111' }))
    const codes: unknown[] = []
    for (let n = 0; n < guesses; n++) codes.push(valueOf(await finish(host)).code)
    expect(codes.slice(0, LIMITS.maxWrongPins - 1).every((code) => code === 'WRONG_PIN')).toBe(true)
    expect(codes.slice(LIMITS.maxWrongPins - 1).every((code) => code === 'PIN_LOCKED')).toBe(true)
    await setPin(host)
    await ask(host, { pin: '111111' })
    await ask(host)
    expect(host.ledger.rows(refundPins)).toMatchObject([{ wrong: 0, lockedAtMs: 0 }])
  })
})

describe('a refund: checks in their order', () => {
  const rows: readonly [string, Record<string, unknown>, FailureCode][] = [
    ['without a txId', { txId: 'x' }, 'SCHEMA_VIOLATION'],
    ['of nothing', { amountMinor: '0' }, 'AMOUNT_INVALID'],
    ['of a negative sum', { amountMinor: '-1' }, 'AMOUNT_INVALID'],
    ['of a float', { amountMinor: 1.5 }, 'AMOUNT_INVALID'],
    ['of a payee who is not here', { payee: 'butcher@hu' }, 'NOT_FOUND'],
    ['of an order that is not known', { txId: toHex(testId('other')) }, 'NOT_FOUND'],
    ['of more than was paid', { amountMinor: '121' }, 'REFUND_EXCEEDED'],
  ]
  test.each(rows)('%s', async (_, changes, code) => {
    const host = await paid()
    const made = await ask(host, changes)
    expect([valueOf(made).code, made.sends, states(host)]).toEqual([code, [], []])
  })

  test('of a payment that is not confirmed', async () => {
    const host = merchant()
    host.enrol()
    await setPin(host)
    approved(host)
    expect(valueOf(await ask(host)).code).toBe('UNDECIDED')
    host.deliver(outcomeOf(host.order()))
    expect(valueOf(await ask(host)).code).toBe('NOT_FOUND')
  })

  test('the same one again is not made again, another one with its id is refused', async () => {
    const host = await paid()
    await ask(host)
    const again = await ask(host)
    expect([valueOf(again).ok, again.sends]).toEqual([true, []])
    expect(valueOf(await ask(host, { amountMinor: '51' })).code).toBe('ID_REUSED')
    expect(states(host)).toEqual(['requested'])
  })

  test('partial ones under way add up to no more than was paid; a refused one counts for nothing', async () => {
    const host = await paid()
    await ask(host, { amountMinor: '100' })
    expect(valueOf(await ask(host, { refundId: toHex(testId('two')), amountMinor: '21' })).code).toBe('REFUND_EXCEEDED')
    host.refused('refund-request', outbox.refund(REFUND), { code: 'INSUFFICIENT_FUNDS', by: MPP })
    expect(valueOf(await ask(host, { refundId: toHex(testId('two')), amountMinor: '120' })).ok).toBe(true)
  })
})

describe('the end of a refund', () => {
  const rows: readonly [string, Said, FailureCode][] = [
    ['for a payee who is not here', { payee: 'hu-butcher' }, 'NOT_FOUND'],
    ['by another MPP', { previousHop: MPP2 }, 'WRONG_PATH'],
    ['that was not asked for', { refundId: testId('other') }, 'NOT_FOUND'],
    ['by another CPP', { from: 'hu-erste' }, 'NOT_FOUND'],
    ['of another payment', { pn: 'two' }, 'NOT_FOUND'],
    ['of another invoice', { txId: testId('other') }, 'NOT_FOUND'],
    ['of another sum', { amountMinor: 49n }, 'AMOUNT_INVALID'],
    ['in another currency', { currency: 'USD' }, 'AMOUNT_INVALID'],
  ]
  test.each(rows)('a confirmation %s is refused', async (_, said, code) => {
    const host = await paid()
    await ask(host)
    expect(confirm(host, said)).toMatchObject({ refuse: { code }, writes: [], announce: [] })
    expect(states(host)).toEqual(['requested'])
  })

  test('is the confirmation, told to who waits, shown with the payment, and counted', async () => {
    const host = await paid()
    await ask(host)
    const waiting = host.control('refund-result', { refundId: toHex(REFUND) })
    const made = confirm(host)
    expect(made.announce).toMatchObject([{ topic: waiting.replyOn, value: { ok: true, outcome: 'confirmed' } }])
    expect(host.ledger.outbox.size).toBe(0)
    expect(valueOf(host.control('refund-result', { refundId: toHex(REFUND) }))).toMatchObject({ outcome: 'confirmed' })
    expect(host.read('payments')).toMatchObject({
      payments: [{ refunds: [{ refundId: toHex(REFUND), amountMinor: 50n, state: 'confirmed' }] }],
    })
    expect(host.read('report')).toMatchObject({ payees: [{ refundedMinor: 50n }], undecided: {} })
    // Once.
    expect(confirm(host)).toMatchObject({ writes: [], announce: [] })
  })

  test("is the MPP's refusal, but the CPP's confirmation counts after it too", async () => {
    const host = await paid()
    await ask(host)
    const made = host.refused('refund-request', outbox.refund(REFUND), { code: 'INSUFFICIENT_FUNDS', by: MPP })
    expect(made.announce).toMatchObject([{ value: { outcome: 'refused', code: 'INSUFFICIENT_FUNDS' } }])
    expect(states(host)).toEqual(['refused'])
    confirm(host)
    expect(states(host)).toEqual(['confirmed'])
  })

  test('is no refusal that leaves open what became of an earlier sending', async () => {
    const host = await paid()
    await ask(host)
    host.refused('refund-request', outbox.refund(REFUND), { code: 'CREDENTIAL_EXPIRED', by: MPP })
    expect(states(host)).toEqual(['requested'])
    expect(sentBy(confirm(host), 'refusal')).toEqual([])
    expect(states(host)).toEqual(['confirmed'])
  })
})
