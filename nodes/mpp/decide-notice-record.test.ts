import { describe, expect, test } from 'vitest'
import { fail } from '../../protocol/failures.ts'
import type { Body } from '../../protocol/kinds.ts'
import type { Incoming } from '../runtime/node.ts'
import { incoming, testBytes, testId } from '../runtime/testing.ts'
import { NOTICES } from './state.ts'
import {
  confirmMicro,
  CPP,
  definition,
  delayed,
  HOST,
  notice,
  NOW,
  outcome,
  PAYEE,
  paymentDecision,
  refusalOf,
  SELF,
  transfer,
  world,
} from './testing/fixture.ts'

const record = (end: unknown, from = CPP) =>
  incoming('notice-record', { pnId: testId('pn') }, { from, nested: { end } })
/** The same end as the MPP has it already, in another frame. */
const anew = <K extends 'transfer-confirmation' | 'delayed-transfer-confirmation' | 'payment-outcome'>({
  message,
}: Incoming<K>) => ({ ...(message as object), frame: testBytes('sealed anew'), digest: testBytes('its digest') })

const anewRefund = ({ message }: Incoming<'refund-confirmation'>) => ({
  ...message,
  frame: testBytes('sealed anew'),
  digest: testBytes('its digest'),
})

const ended = (mode: 'micro' | 'macro', end: 'confirmed' | 'rejected') => {
  const on = world()
  const pn = notice({ amountMinor: mode === 'micro' ? 120n : 5_000n, mode })
  on.take(pn)
  const decision = paymentDecision(pn)
  on.take(decision)
  const last = end === 'rejected' ? outcome(pn, { outcome: 'rejected' }) : mode === 'micro' ? delayed(pn) : transfer(pn)
  on.take(last)
  return { on, pn, decision, last }
}

describe('an end sealed anew', () => {
  test.each([
    ['DT', 'micro', 'confirmed'],
    ['T', 'macro', 'confirmed'],
    ['outcome', 'micro', 'rejected'],
  ] as const)('that is the %s booked here answers the merchant from now on, and books nothing', (_, mode, end) => {
    const { on, decision, last } = ended(mode, end)
    const before = on.ledger.get(NOTICES, testId('pn'))
    const made = on.take(record(anew(last as Incoming<'payment-outcome'>)))
    expect(made.postings).toEqual([])
    expect(made.sends).toEqual([
      {
        relay: last.message.kind,
        frame: testBytes('sealed anew'),
        digest: testBytes('its digest'),
        nextHop: { role: 'merchant', host: HOST },
        delivery: { answers: decision.ref },
      },
    ])
    const kept =
      end === 'rejected' ? { outcomeFrame: testBytes('sealed anew'), outcomeDigest: testBytes('its digest') } : {}
    expect(on.ledger.get(NOTICES, testId('pn'))).toEqual({ ...before, ...kept })
  })

  test('is refused unless it is the end that is booked here, of the notice’s CPP, and holds', () => {
    const { on, pn } = ended('micro', 'confirmed')
    const dt = anew(delayed(pn))
    for (const [code, message] of [
      ['NOT_FOUND', record(dt, 'hu-liar')],
      ['SCHEMA_VIOLATION', record(fail('CREDENTIAL_REVOKED'))],
      ['ID_REUSED', record(anew(delayed(pn, { amountMinor: 121n })))],
      ['ID_REUSED', record(anew(delayed(pn, { cpp: 'hu-liar' })))],
      ['ID_REUSED', record(anew(transfer(pn)))],
      ['ID_REUSED', record(anew(outcome(pn)))],
      ['ID_REUSED', record(anew(outcome(pn, { txId: testId('other') })))],
    ] as const) {
      const made = on.take(message)
      expect([refusalOf(made), made.writes, made.sends]).toEqual([code, [], []])
    }
  })

  test('is asked for when the one to be forwarded is sealed with a revoked key; of a frame that is no end, nothing is', () => {
    const { on } = ended('micro', 'confirmed')
    // Whether a frame names a notice is read from the frame: what is none names none.
    for (const kind of ['payment-notice', 'transfer-confirmation'] as const) {
      const stale = { kind, frame: testBytes('x'), digest: testBytes('its digest') }
      expect(definition.stale?.(on.ledger, stale, on.context()).sends).toEqual([])
    }
  })
})

describe('the confirmation of a refund, sealed anew', () => {
  const about = {
    refundId: testId('refund'),
    pnId: testId('a'),
    payee: PAYEE,
    txId: testId('a'),
    amountMinor: 50n,
    currency: 'EUR',
  } as const
  const confirmation = (changes: Partial<Body<'refund-confirmation'>> = {}, from = CPP) =>
    incoming('refund-confirmation', { ...about, mpp: SELF.id, pairSeq: 2, confirmedAtMs: NOW, ...changes }, { from })
  const refunded = () => {
    const on = world()
    confirmMicro(on, 'a', 1)
    const asked = incoming('refund-request', about, { from: HOST })
    on.take(asked)
    on.take(confirmation())
    return { on, asked }
  }
  const recorded = (end: unknown, from = CPP) =>
    incoming('notice-record', { pnId: testId('a') }, { from, nested: { end } })

  test('answers the merchant from now on, and books nothing', () => {
    const { on, asked } = refunded()
    const made = on.take(recorded(anewRefund(confirmation())))
    expect([made.writes, made.postings]).toEqual([[], []])
    expect(made.sends).toEqual([
      {
        relay: 'refund-confirmation',
        frame: testBytes('sealed anew'),
        digest: testBytes('its digest'),
        nextHop: { role: 'merchant', host: HOST },
        delivery: { answers: asked.ref },
      },
    ])
  })

  test.each([
    ['of another sum', 'ID_REUSED', () => recorded(confirmation({ amountMinor: 51n }).message)],
    ['with another number in the pair', 'ID_REUSED', () => recorded(confirmation({ pairSeq: 3 }).message)],
    ['of another invoice', 'ID_REUSED', () => recorded(confirmation({ txId: testId('b') }).message)],
    ['of another payment', 'ID_REUSED', () => recorded(confirmation({ pnId: testId('b') }).message)],
    ['of a refund that is not known', 'ID_REUSED', () => recorded(confirmation({ refundId: testId('b') }).message)],
    ['of another CPP', 'ID_REUSED', () => recorded(confirmation({}, 'hu-liar').message)],
    ['brought by another CPP', 'NOT_FOUND', () => recorded(confirmation().message, 'hu-liar')],
  ] as const)('that is %s is refused: %s', (_, code, message) => {
    const made = refunded().on.take(message())
    expect([refusalOf(made), made.writes, made.sends]).toEqual([code, [], []])
  })

  test('of a refund that is not confirmed here is refused: it is no entry yet', () => {
    const on = world()
    const pn = notice({ txId: 'a', amountMinor: 5_000n })
    on.take(pn)
    on.take(paymentDecision(pn))
    on.take(transfer(pn))
    on.take(incoming('refund-request', about, { from: HOST }))
    const made = on.take(
      recorded(incoming('refund-confirmation', { ...about, mpp: SELF.id, confirmedAtMs: NOW }, { from: CPP }).message),
    )
    expect([refusalOf(made), made.writes, made.sends]).toEqual(['ID_REUSED', [], []])
  })
})
