import { describe, expect, it } from 'vitest'
import { decision, put, refuse } from './node.ts'
import { defineTable, keyOf } from './table.ts'
import { applyDecision, context, incoming, outboxKey, testId, testLedger } from './testing.ts'

type Row = { readonly id: Uint8Array; readonly sum: bigint; readonly note?: string }
const rows = defineTable<Row>({ name: 'rows', version: 1, fields: ['id', 'sum', 'note'] })

describe('the test ledger', () => {
  it('reads rows, scans by prefix with bounds and in reverse', () => {
    const ledger = testLedger(
      ...[1, 2, 3, 4].map((n) => put(rows, keyOf('a', n), { id: testId(`${n}`), sum: BigInt(n) })),
      put(rows, keyOf('b', 1), { id: testId('b'), sum: 9n }),
    )
    expect(ledger.get(rows, 'a', 2)?.sum).toBe(2n)
    expect(ledger.get(rows, 'a', 9)).toBeUndefined()
    const sums = (...args: Parameters<typeof ledger.scan<Row>>) => [...ledger.scan(...args)].map(([, row]) => row.sum)
    expect(sums(rows, ['a'])).toEqual([1n, 2n, 3n, 4n])
    expect(sums(rows, ['a'], { from: [2], before: [4] })).toEqual([2n, 3n])
    expect(sums(rows, ['a'], { reverse: true, limit: 2 })).toEqual([4n, 3n])
    expect(sums(rows, [])).toEqual([1n, 2n, 3n, 4n, 9n])
  })

  it('applies decisions and refuses those that break an invariant', () => {
    const ledger = testLedger()
    applyDecision(
      ledger,
      decision({
        writes: [put(rows, keyOf('a'), { id: testId('x'), sum: 5n, note: 'kept' })],
        sends: [{ kind: 'receipt', to: 'hu-mpp', body: { digest: testId('x') }, delivery: { until: ['k', 1] } }],
        set: [{ name: 'late', key: testId('x'), atMs: 7 }],
      }),
    )
    expect(ledger.get(rows, 'a')).toEqual({ id: testId('x'), sum: 5n, note: 'kept' })
    expect(ledger.outbox.has(outboxKey('k', 1))).toBe(true)
    applyDecision(ledger, decision({ forget: [['k', 1]], clear: [{ name: 'late', key: testId('x'), atMs: 7 }] }))
    expect(ledger.outbox.size).toBe(0)
    expect(ledger.deadlines()).toEqual([])
    const leg = { account: 'a', currency: 'EUR', amountMinor: 1n } as const
    expect(() => ledger.apply(decision({ postings: [leg] }))).toThrow('add up to 1')
    expect(() => ledger.apply({ ...refuse('BUSY'), forget: [['k']] })).toThrow('must change nothing')
  })
})

describe('fabricated messages', () => {
  it('are the same for the same arguments, and carry nested frames', () => {
    const trans = incoming('transaction-details', {
      txId: testId('tx'),
      payee: 'hu-bakery',
      amountMinor: 120n,
      currency: 'EUR',
      descriptionHash: testId('d'),
      nonce: testId('n'),
      chain: [],
    })
    const notice = () =>
      incoming(
        'payment-notice',
        { pnId: testId('pn'), payee: 'hu-bakery', mode: 'micro', operatorId: 'hu-otp' },
        { from: 'hu-otp', nested: { trans: trans.message } },
      )
    expect(notice()).toEqual(notice())
    expect(notice().message.body.trans).toEqual(trans.message.frame)
    expect(notice().message.nested.trans).toMatchObject({ ok: true, value: { kind: 'transaction-details' } })
    expect(notice().message.sender).toMatchObject({ id: 'hu-otp', role: 'cpp', operatorId: 'hu-otp' })
  })

  it('are decided in a context that never repeats an id', () => {
    const here = context({ self: { id: 'hu-otp', role: 'cpp' }, policy: { limit: 3n } })
    expect(here.freshId()).not.toEqual(here.freshId())
    expect(here.freshBytes(40)).toHaveLength(40)
    expect(here.self.realm).toBe('hu')
  })
})
