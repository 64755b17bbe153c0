import { describe, expect, it } from 'vitest'
import { keyOf } from '../runtime/table.ts'
import type { CppReport, PaymentsPage } from '../runtime/reports.ts'
import { TEST_NOW_MS, testId } from '../runtime/testing.ts'
import { ledger, type EntryRow, type TotalRow } from './state.ts'
import { CPP, MPP, createWorld, sent, textOf, type World } from './testing/world.ts'

const hex = (text: string): string => textOf(testId(text)).slice(1, -1)
const world = (): World => {
  const one = createWorld()
  one.enrol('hu-alice')
  one.enrol('hu-bob')
  return one
}
const confirm = (one: World, tx: string, amountMinor: bigint, customer = 'hu-alice') =>
  one.decide(sent(one.pay({ tx, amountMinor, customer }), 'payment-notice'))
const change = (one: World, customer: string, changes: Partial<TotalRow>): void => {
  const row = one.ledger.get(ledger, customer)
  if (row?.kind !== 0) throw new Error('no total')
  one.ledger.put(ledger, keyOf(customer), { ...row, ...changes })
}

describe("the ledger's rows", () => {
  it('of total and entries share one tree and are told by their kind', () => {
    const total: TotalRow = {
      kind: 0,
      currency: 'EUR',
      outstandingMinor: 1n,
      collectingMinor: 2n,
      pendingMinor: 3n,
      thresholdMinor: 4n,
      lastSeq: 5,
      waiting: 6,
      nextWait: 7,
      debtSinceMs: TEST_NOW_MS,
      debtAgeAtMs: TEST_NOW_MS,
      suspendedAtMs: 0,
      orderId: testId('order'),
    }
    expect(ledger.decode(ledger.encode(total))).toEqual(total)
    for (const kind of [1, 2, 3, 4] as const) {
      const entry: EntryRow = { kind, amountMinor: -1n, id: testId('id'), atMs: TEST_NOW_MS }
      expect(ledger.decode(ledger.encode(entry))).toEqual(entry)
      expect(ledger.encode(entry).length).toBeLessThan(48)
    }
  })

  it("stand side by side: one customer's scan gives the total, then the entries in order, and no other customer's", () => {
    const one = world()
    one.enrol('hu-alice-2')
    for (const [i, amount] of [10n, 20n, 30n].entries()) confirm(one, `a${i}`, amount)
    confirm(one, 'b', 40n, 'hu-alice-2')
    const rows = [...one.ledger.scan(ledger, ['hu-alice'])].map(([, row]) => row)
    expect(rows.map((row) => (row.kind === 0 ? row.outstandingMinor : row.amountMinor))).toEqual([60n, 10n, 20n, 30n])
  })
})

describe('the report', () => {
  it('is counted from the rows', () => {
    const one = world()
    confirm(one, 'a', 900n)
    one.answer(sent(one.pay({ tx: 'b', amountMinor: 200n }), 'transfer-order'), 'done')
    confirm(one, 'c', 50n, 'hu-bob')
    const hold = sent(one.pay({ tx: 'tv', amountMinor: 5_000n }), 'hold-order')
    one.answer(sent(one.decide(sent(one.answer(hold, 'done'), 'payment-notice')), 'post-order'), 'done')
    one.pay({ tx: 'tv2', amountMinor: 7_000n })
    expect(one.read('report') as CppReport).toEqual({
      role: 'cpp',
      id: CPP,
      customers: 2,
      totals: [
        {
          currency: 'EUR',
          outstandingMinor: 50n,
          collectingMinor: 0n,
          pendingMinor: 200n,
          confirmedMicroMinor: 950n,
          collectedMinor: 900n,
          refundOffsetMinor: 0n,
          refundedMinor: 0n,
          refundCreditedMinor: 0n,
          refundDueMinor: 0n,
          writtenOffMinor: 0n,
          confirmedMacroMinor: 5_000n,
          collections: 1,
        },
      ],
      positions: [],
      boundBreaches: 0,
      pairs: [
        {
          mpp: MPP,
          currency: 'EUR',
          lastSeq: 2,
          entriesMinor: 950n,
          settledMinor: 0n,
          payableMinor: 950n,
          openBatches: 0,
        },
      ],
      undecided: { notified: 1, holding: 1 },
    })
  })

  it.each([
    ['two entries at θ', (one: World) => change(one, 'hu-alice', { outstandingMinor: 1_000n }), 1],
    ['one payment at θ', (one: World) => change(one, 'hu-alice', { thresholdMinor: 500n }), 1],
    [
      'one payment over a lowered θ, and nothing else',
      (one: World) => change(one, 'hu-bob', { thresholdMinor: 10n }),
      0,
    ],
    ['pending that no notified payment accounts for', (one: World) => change(one, 'hu-bob', { pendingMinor: 1n }), 1],
    ['as it is', () => undefined, 0],
  ])('counts breaches of the bound: %s', (_, spoil, breaches) => {
    const one = world()
    confirm(one, 'a', 500n)
    confirm(one, 'b', 400n)
    confirm(one, 'c', 400n, 'hu-bob')
    spoil(one)
    expect((one.read('report') as CppReport).boundBreaches).toBe(breaches)
  })
})

describe('payments', () => {
  it('come page by page, each once, in the order of prId', () => {
    const one = world()
    for (let i = 0; i < 7; i++) one.pay({ tx: `t${i}`, amountMinor: 1n })
    const all = (one.read('payments') as PaymentsPage).payments.map(({ prId }) => prId)
    expect(all).toEqual(Array.from({ length: 7 }, (_, i) => hex(`t${i}`)).toSorted())
    const pages: (string | undefined)[][] = []
    let after: string | undefined
    do {
      const page: PaymentsPage = one.read('payments', { limit: 3, ...(after === undefined ? {} : { after }) })
      pages.push(page.payments.map(({ prId }) => prId))
      after = page.next
    } while (after !== undefined)
    expect(pages.map(({ length }) => length)).toEqual([3, 3, 1])
    expect(pages.flat()).toEqual(all)
    expect(one.read('payments', { limit: 0 })).toMatchObject({ ok: false, code: 'SCHEMA_VIOLATION' })
  })

  it('exactly filling the last page end there', () => {
    const one = world()
    for (let i = 0; i < 4; i++) one.pay({ tx: `t${i}`, amountMinor: 1n })
    const first = one.read('payments', { limit: 2 }) as PaymentsPage
    const second = one.read('payments', { limit: 2, after: first.next }) as PaymentsPage
    expect([second.payments.length, second.next]).toEqual([2, undefined])
  })

  it('show each what the CPP alone can join', () => {
    const one = world()
    const { pnId } = sent(one.pay({ tx: 'tea', pr: 'pr' }), 'payment-notice').body
    expect((one.read('payments') as PaymentsPage).payments).toEqual([
      {
        prId: hex('pr'),
        pnId: textOf(pnId).slice(1, -1),
        payee: 'hu-bakery',
        txId: hex('tea'),
        amountMinor: 120n,
        currency: 'EUR',
        mode: 'micro',
        state: 'notified',
        cpp: CPP,
        mpp: MPP,
        customer: 'hu-alice',
      },
    ])
    expect(one.read('payment', { paymentId: hex('pr') })).toMatchObject({ ok: true, payment: { state: 'notified' } })
    expect(one.read('payment', { paymentId: hex('no') })).toMatchObject({ ok: false, code: 'NOT_FOUND' })
    expect(one.read('payment', {})).toMatchObject({ ok: false, code: 'SCHEMA_VIOLATION' })
  })
})

describe('a customer', () => {
  it('is the total and one ordered scan of entries, and never the PIN key', () => {
    const one = world()
    for (const [i, amount] of [10n, 20n, 30n].entries()) confirm(one, `a${i}`, amount)
    const first = one.read('customer', { customer: 'hu-alice', limit: 2 })
    expect(first).toMatchObject({ ok: true, outstandingMinor: 60n, suspended: false, pinLocked: false, next: 2 })
    expect(
      first.entries.map((entry: { seq: number; kind: string; amountMinor: bigint }) => [
        entry.seq,
        entry.kind,
        entry.amountMinor,
      ]),
    ).toEqual([
      [1, 'payment', 10n],
      [2, 'payment', 20n],
    ])
    const second = one.read('customer', { customer: 'hu-alice', after: 2 })
    expect([second.entries.length, second.entries[0].seq, second.next]).toEqual([1, 3, undefined])
    expect(textOf(first)).not.toContain(textOf(one.pinKeyOf('hu-alice')).slice(1, -1))
    expect(Object.keys(first)).not.toContain('sealedPinKey')
    expect(one.read('customer', { customer: 'hu-nobody' })).toMatchObject({ ok: false, code: 'CUSTOMER_UNKNOWN' })
    expect(one.read('customers').customers.map(({ customer }: { customer: string }) => customer)).toEqual([
      'hu-alice',
      'hu-bob',
    ])
  })
})
