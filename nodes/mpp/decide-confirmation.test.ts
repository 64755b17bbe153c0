import { describe, expect, test } from 'vitest'
import { failureNumber } from '../../protocol/failures.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import { outboxKey as outboxText, testId } from '../runtime/testing.ts'
import { ENTRIES, LOCKS, NOTICES, PAIRS, PAYEES } from './state.ts'
import {
  adjustment,
  confirmMicro,
  CPP,
  delayed,
  enrolled,
  HOST,
  notice,
  outcome,
  PAYEE,
  payeeRow,
  paymentDecision,
  refusalOf,
  transfer,
  world,
  type World,
} from './testing/fixture.ts'

const row = (on: World, pnId = 'pn') => on.ledger.get(NOTICES, testId(pnId))
const lockOf = (on: World, txId = 'tx') => on.ledger.get(LOCKS, PAYEE, testId(txId))
const pair = (on: World) => on.ledger.get(PAIRS, CPP, 'EUR')
const payee = (on: World, id = PAYEE) => on.ledger.get(PAYEES, id)
const entry = (on: World, seq: number) => on.ledger.get(ENTRIES, CPP, 'EUR', seq)

const approved = (on: World, amountMinor = 120n) => {
  const pn = notice({ amountMinor })
  on.take(pn)
  const decision = paymentDecision(pn)
  on.take(decision)
  return { pn, decision }
}

describe('a delayed transfer confirmation', () => {
  test('makes the CPP owe and the payee have exactly the amount of the invoice', () => {
    const on = world()
    const { pn, decision } = approved(on)
    const dt = delayed(pn)
    const made = on.take(dt)
    expect(made.postings).toEqual([
      { account: `receivable:${CPP}`, currency: 'EUR', amountMinor: -120n },
      { account: `accrued:${PAYEE}`, currency: 'EUR', amountMinor: 120n },
    ])
    expect(pair(on)).toMatchObject({ receivableMinor: 120n, reservedMinor: 0n, highestSeq: 1, held: 1 })
    expect(payee(on)).toMatchObject({ accruedMinor: 120n, payableMinor: 0n })
    expect(row(on)).toMatchObject({ state: 'confirmed', pairSeq: 1 })
    expect(lockOf(on)).toMatchObject({ state: 'paid', pnId: testId('pn') })
    expect(made.sends).toEqual([
      {
        relay: 'delayed-transfer-confirmation',
        frame: dt.message.frame,
        digest: dt.message.digest,
        nextHop: { role: 'merchant', host: HOST },
        delivery: { answers: decision.ref },
      },
    ])
    expect(on.ledger.outbox.size).toBe(0)
  })

  test('that comes twice books once', () => {
    const on = world()
    const { pn } = approved(on)
    on.take(delayed(pn))
    const again = on.take(delayed(pn))
    expect([again.writes, again.sends, again.postings]).toEqual([[], [], []])
    expect(payee(on)?.accruedMinor).toBe(120n)
  })

  test('with a sequence number taken by another entry is refused, and changes nothing', () => {
    const on = world()
    confirmMicro(on, 'a', 1)
    const { pn } = approved(on)
    const made = on.take(delayed(pn, { pairSeq: 1 }))
    expect(refusalOf(made)).toBe('ID_REUSED')
    expect(made.postings).toEqual([])
    expect(row(on)?.state).toBe('countersigned')
    expect(pair(on)).toMatchObject({ receivableMinor: 120n, held: 1 })
  })

  test('of another pair is refused', () => {
    const on = world()
    const { pn } = approved(on)
    expect(refusalOf(on.take(delayed(pn, { mpp: 'ro-mpp' })))).toBe('WRONG_ADDRESSEE')
    expect(pair(on)?.receivableMinor).toBe(0n)
  })

  // What the CPP signs it owes, even where nobody may be credited for it; the next batch's answer says so.
  const prepare = {
    'of an unknown payment': () => notice(),
    'of a payment that nobody approved': (on: World) => {
      const pn = notice()
      on.take(pn)
      return pn
    },
    'of a payment the payee rejected': (on: World) => {
      const pn = notice()
      on.take(pn)
      on.take(paymentDecision(pn, { decision: 'reject' }))
      return pn
    },
    'of a payment that has expired': (on: World) => {
      const { pn } = approved(on)
      on.take(outcome(pn))
      return pn
    },
    'of a payment this MPP declined': (on: World) => {
      const pn = notice({ mode: 'macro', pnId: 'pn' })
      on.take(pn)
      return pn
    },
    'of a payment that is confirmed already': (on: World) => confirmMicro(on, 'tx', 9, 120n, { pnId: 'pn' }),
    'of a macropayment': (on: World) => approved(on, 2_000n).pn,
  } satisfies Record<string, (on: World) => ReturnType<typeof notice>>
  test.each(Object.entries(prepare))('%s is held as owed and disputed, and credits nobody', (_, make) => {
    const on = world()
    const pn = make(on)
    const before = { payee: payee(on), state: row(on)?.state, owed: pair(on)?.receivableMinor ?? 0n }
    const made = on.take(delayed(pn, { pairSeq: 1, amountMinor: 70n }))
    expect(entry(on, 1)).toMatchObject({ code: 'ENTRY_MISMATCH', rightMinor: 0n, creditMinor: 0n, amountMinor: 70n })
    expect(pair(on)?.receivableMinor).toBe(before.owed + 70n)
    expect(payee(on)).toEqual(before.payee)
    expect(row(on)?.state).toBe(before.state)
    expect(made.postings).toEqual([
      { account: `receivable:${CPP}`, currency: 'EUR', amountMinor: -70n },
      { account: `suspense:${CPP}`, currency: 'EUR', amountMinor: 70n },
    ])
  })

  test.each([
    ['another payee', { payee: 'hu-other' }],
    ['another invoice', { txId: testId('other') }],
    ['another currency', { currency: 'USD' as const }],
  ])('that names %s credits nobody', (_, parts) => {
    const on = world(enrolled(payeeRow(), payeeRow({ payee: 'hu-other' })))
    const { pn } = approved(on)
    on.take(delayed(pn, parts))
    expect(payee(on)?.accruedMinor).toBe(0n)
    expect(payee(on, 'hu-other')?.accruedMinor).toBe(0n)
    expect(row(on)?.state).toBe('countersigned')
  })

  test('of another CPP than the notice credits nobody', () => {
    const on = world()
    const { pn } = approved(on)
    on.take(delayed(pn, { cpp: 'ro-cpp' }))
    expect(payee(on)?.accruedMinor).toBe(0n)
    expect(row(on)?.state).toBe('countersigned')
    expect(on.ledger.outbox.has(outboxText('countersigned', testId('pn')))).toBe(true)
  })

  test.each([119n, 121n])(
    'over %s instead of 120 credits nobody until an adjustment makes it right; then the invoice, exactly',
    (wrong) => {
      const on = world()
      const { pn, decision } = approved(on)
      const dt = delayed(pn, { amountMinor: wrong })
      on.take(dt)
      expect(entry(on, 1)).toMatchObject({ code: 'ENTRY_MISMATCH', rightMinor: 120n })
      expect(payee(on)?.accruedMinor).toBe(0n)
      expect(pair(on)?.receivableMinor).toBe(wrong)
      const made = on.take(adjustment({ pairSeq: 2, disputedSeq: 1, amountMinor: 120n - wrong }))
      expect(payee(on)?.accruedMinor).toBe(120n)
      expect(pair(on)).toMatchObject({ receivableMinor: 120n, reservedMinor: 0n, held: 2 })
      expect(row(on)?.state).toBe('confirmed')
      expect(entry(on, 1)?.code).toBeUndefined()
      expect(entry(on, 2)).toMatchObject({ creditMinor: 120n, credited: PAYEE })
      expect(made.sends).toContainEqual(
        expect.objectContaining({
          relay: 'delayed-transfer-confirmation',
          frame: dt.message.frame,
          delivery: { answers: decision.ref },
        }),
      )
    },
  )
})

describe('an adjustment', () => {
  test('that takes back what nobody was owed resolves the dispute', () => {
    const on = world()
    on.take(delayed(notice()))
    on.take(adjustment({ pairSeq: 2, disputedSeq: 1, amountMinor: -120n }))
    expect(entry(on, 1)?.code).toBeUndefined()
    expect(pair(on)?.receivableMinor).toBe(0n)
    expect(payee(on)?.accruedMinor).toBe(0n)
  })

  test('that is not enough leaves it disputed; a second one completes it', () => {
    const on = world()
    on.take(delayed(notice()))
    on.take(adjustment({ pairSeq: 2, disputedSeq: 1, amountMinor: -100n }))
    expect(entry(on, 1)).toMatchObject({ code: 'ENTRY_MISMATCH', adjustedMinor: -100n })
    on.take(adjustment({ pairSeq: 3, disputedSeq: 1, amountMinor: -20n }))
    expect(entry(on, 1)?.code).toBeUndefined()
  })

  test.each(['confirmed', 'unknown'])(
    'of an entry that is %s and not disputed is itself disputed, and takes nothing from the payee',
    (what) => {
      const on = world()
      if (what === 'confirmed') confirmMicro(on, 'a', 1)
      const before = payee(on)
      on.take(adjustment({ pairSeq: 2, disputedSeq: 1, amountMinor: -50n }))
      expect(entry(on, 2)).toMatchObject({ code: 'ENTRY_MISMATCH', rightMinor: 0n })
      expect(payee(on)).toEqual(before)
      expect(pair(on)?.receivableMinor).toBe(what === 'confirmed' ? 70n : -50n)
    },
  )

  test('is receipted, refused for another pair, and refused under a sequence number taken', () => {
    const on = world()
    on.take(delayed(notice()))
    const good = adjustment({ pairSeq: 2, disputedSeq: 1, amountMinor: -120n })
    expect(on.take(good).sends).toEqual([
      { kind: 'receipt', to: CPP, body: { digest: good.message.digest }, delivery: { answers: good.ref } },
    ])
    expect(refusalOf(on.take(adjustment({ pairSeq: 3, disputedSeq: 1, amountMinor: 1n, mpp: 'ro-mpp' })))).toBe(
      'WRONG_ADDRESSEE',
    )
    expect(refusalOf(on.take(adjustment({ pairSeq: 2, disputedSeq: 1, amountMinor: 1n })))).toBe('ID_REUSED')
    expect(pair(on)?.held).toBe(2)
  })
})

describe('a transfer confirmation', () => {
  test('ends a macropayment without a booking here: the money went from bank to bank', () => {
    const on = world()
    const { pn, decision } = approved(on, 5_000n)
    const t = transfer(pn)
    const made = on.take(t)
    expect(made.postings).toEqual([])
    expect(row(on)?.state).toBe('confirmed')
    expect(lockOf(on)?.state).toBe('paid')
    expect(payee(on)?.accruedMinor).toBe(0n)
    expect(made.sends).toEqual([
      {
        relay: 'transfer-confirmation',
        frame: t.message.frame,
        digest: t.message.digest,
        nextHop: { role: 'merchant', host: HOST },
        delivery: { answers: decision.ref },
      },
    ])
    expect(on.ledger.outbox.size).toBe(0)
  })

  const rows: readonly (readonly [string, FailureCode, (on: World) => ReturnType<typeof transfer>])[] = [
    ['of an unknown payment', 'NOT_FOUND', () => transfer(notice({ amountMinor: 5_000n }))],
    ['of another CPP', 'NOT_FOUND', (on) => transfer(approved(on, 5_000n).pn, { cpp: 'ro-cpp' })],
    ['of a micropayment', 'MODE_MISMATCH', (on) => transfer(approved(on).pn, { txId: testId('other') })],
    [
      'of another invoice',
      'NOT_FOUND',
      (on) => transfer(approved(on, 5_000n).pn, { txId: testId('other'), amountMinor: 1n }),
    ],
    [
      'of another payee',
      'NOT_FOUND',
      (on) => transfer(approved(on, 5_000n).pn, { payee: 'hu-other', amountMinor: 1n }),
    ],
    ['over another amount', 'AMOUNT_INVALID', (on) => transfer(approved(on, 5_000n).pn, { amountMinor: 4_999n })],
    ['in another currency', 'AMOUNT_INVALID', (on) => transfer(approved(on, 5_000n).pn, { currency: 'USD' })],
    [
      'after another end',
      'ID_REUSED',
      (on) => {
        const { pn } = approved(on, 5_000n)
        on.take(outcome(pn))
        return transfer(pn)
      },
    ],
    [
      'without approval',
      'NOT_FOUND',
      (on) => {
        const pn = notice({ amountMinor: 5_000n })
        on.take(pn)
        return transfer(pn)
      },
    ],
    [
      'after a rejection',
      'NOT_FOUND',
      (on) => {
        const pn = notice({ amountMinor: 5_000n })
        on.take(pn)
        on.take(paymentDecision(pn, { decision: 'reject' }))
        return transfer(pn)
      },
    ],
  ]
  test.each(rows)('%s is refused with %s and changes nothing', (_, code, make) => {
    const on = world()
    const message = make(on)
    const before = row(on)
    const made = on.take(message)
    expect(refusalOf(made)).toBe(code)
    expect([made.writes, made.sends, made.forget]).toEqual([[], [], []])
    expect(row(on)).toEqual(before)
  })
})

describe('an outcome', () => {
  test.each(['refused', 'rejected', 'expired', 'failed'] as const)(
    '%s frees invoice and credit, answers the decision, and is receipted',
    (what) => {
      const on = world()
      const { pn, decision } = approved(on)
      const end = outcome(pn, { outcome: what, code: failureNumber('TRANSFER_FAILED') })
      const made = on.take(end)
      expect(row(on)).toMatchObject({ state: what, code: failureNumber('TRANSFER_FAILED') })
      expect(lockOf(on)).toBeUndefined()
      expect(pair(on)?.reservedMinor).toBe(0n)
      expect(made.sends).toEqual([
        { kind: 'receipt', to: CPP, body: { digest: end.message.digest }, delivery: { answers: end.ref } },
        {
          relay: 'payment-outcome',
          frame: end.message.frame,
          digest: end.message.digest,
          nextHop: { role: 'merchant', host: HOST },
          delivery: { answers: decision.ref },
        },
      ])
      expect(on.ledger.outbox.size).toBe(0)
    },
  )

  test('of a macropayment takes nothing from what micropayments have reserved', () => {
    const on = world()
    on.take(notice({ txId: 'micro' }))
    const { pn } = approved(on, 5_000n)
    on.take(outcome(pn))
    expect(pair(on)?.reservedMinor).toBe(120n)
  })

  test('before the merchant decided ends the notice and is forwarded until it is receipted', () => {
    const on = world()
    const pn = notice()
    on.take(pn)
    const made = on.take(outcome(pn))
    expect(made.sends[1]).toMatchObject({ relay: 'payment-outcome', delivery: { until: ['outcome', testId('pn')] } })
    expect(on.ledger.outbox.has(outboxText('notice', testId('pn')))).toBe(false)
    expect(lockOf(on)).toBeUndefined()
  })

  test('of a notice this MPP declined reaches nobody and frees nobody else’s invoice', () => {
    const on = world()
    on.take(notice({ txId: 'tx', pnId: 'first' }))
    const second = notice({ txId: 'tx', pnId: 'second' })
    on.take(second)
    const made = on.take(outcome(second, { outcome: 'rejected' }))
    expect(made.sends.map((send) => ('relay' in send ? send.relay : send.kind))).toEqual(['receipt'])
    expect(lockOf(on)).toMatchObject({ pnId: testId('first'), state: 'locked' })
    expect(pair(on)?.reservedMinor).toBe(120n)
    expect(row(on, 'second')?.state).toBe('rejected')
  })

  test('lets the invoice be paid again', () => {
    const on = world()
    on.take(outcome(on.take(notice()) && notice()))
    on.take(notice({ pnId: 'again' }))
    expect(row(on, 'again')?.state).toBe('notified')
  })

  test('of an unknown notice is stored and receipted', () => {
    const on = world()
    const end = outcome(notice())
    const made = on.take(end)
    expect(made.sends).toHaveLength(1)
    expect(row(on)).toMatchObject({ state: 'expired', outcomeFrame: end.message.frame })
  })

  test('that repeats the stored one is receipted and changes nothing', () => {
    const on = world()
    const { pn } = approved(on)
    on.take(outcome(pn))
    const again = on.take(outcome(pn, { code: 6016 }))
    expect(again.writes).toEqual([])
    expect(again.sends).toHaveLength(1)
  })

  const contradictions: readonly (readonly [string, (on: World) => ReturnType<typeof outcome>])[] = [
    ['after a confirmation', (on) => outcome(confirmMicro(on, 'tx', 1, 120n, { pnId: 'pn' }))],
    [
      'after another outcome',
      (on) => {
        const { pn } = approved(on)
        on.take(outcome(pn, { outcome: 'expired' }))
        return outcome(pn, { outcome: 'rejected' })
      },
    ],
    ['of another CPP', (on) => outcome(approved(on).pn, { cpp: 'ro-cpp' })],
    ['of another invoice', (on) => outcome(approved(on).pn, { txId: testId('other') })],
    ['of another payee', (on) => outcome(approved(on).pn, { payee: 'hu-other' })],
  ]
  test.each(contradictions)('%s is refused and changes nothing', (_, make) => {
    const on = world()
    const message = make(on)
    const before = { row: row(on), lock: lockOf(on), pair: pair(on) }
    const made = on.take(message)
    expect(refusalOf(made)).toBe('ID_REUSED')
    expect({ row: row(on), lock: lockOf(on), pair: pair(on) }).toEqual(before)
  })
})
