/**
 * The simulator in `npm test`: several hundred small seeds with every fault, judged after each event; the same seed twice; and every
 * seed that once failed, under the name of what it found.
 */
import { describe, expect, test } from 'vitest'
import { FAULT_NAMES } from './faults.ts'
import type { RowChange } from './observed.ts'
import { replayLine } from './seeds.ts'
import { simulate } from './simulate.ts'

const LONG_MS = 600_000
const SHAPE = 'one realm, two intermediaries'

describe('a simulation', () => {
  test('is the same for the same seed, to the byte, and another for another', { timeout: LONG_MS }, async () => {
    const play = (seed: string) => simulate({ seed, payments: 10, shape: SHAPE, engine: 'stand-in' })
    const first = await play('same')
    expect(first.violations).toEqual([])
    const again = await play('same')
    expect([again.hash, again.events, again.simulatedMs]).toEqual([first.hash, first.events, first.simulatedMs])
    expect((await play('another')).hash).not.toBe(first.hash)
  })

  test('holds with real cryptography too', { timeout: LONG_MS }, async () => {
    const { ok, violations } = await simulate({ seed: 'real', payments: 6, shape: SHAPE, engine: 'real' })
    expect([ok, violations]).toEqual([true, []])
  })

  test(
    'shows its judges every row, what is on disk, what a crash takes back, and every start and death',
    { timeout: LONG_MS },
    async () => {
      /** Each host's rows as they were told, and what of it is on disk. */
      const told = new Map<string, Map<string, string>>()
      const flushed = new Map<string, number>()
      const batches = new Map<string, number>()
      const counts = { wrongBefore: 0, outOfOrder: 0, flushedUnseen: 0, started: 0, crashed: 0, lost: 0, published: 0 }
      const nameOf = ({ table, key }: RowChange): string => `${table} ${Buffer.from(key).toString('hex')}`
      const textOf = (bytes: Uint8Array | undefined): string | undefined =>
        bytes === undefined ? undefined : Buffer.from(bytes).toString('hex')
      const move = (host: string, change: RowChange, from: 'before' | 'after', to: 'before' | 'after'): void => {
        const rows = told.get(host) ?? new Map<string, string>()
        told.set(host, rows)
        if (rows.get(nameOf(change)) !== textOf(change[from])) counts.wrongBefore += 1
        const next = textOf(change[to])
        if (next === undefined) rows.delete(nameOf(change))
        else rows.set(nameOf(change), next)
      }
      const { ok } = await simulate({
        seed: 'judge2',
        payments: 10,
        shape: 'one realm, one intermediary',
        engine: 'stand-in',
        observers: () => [
          {
            committed: (host, batch, changes) => {
              if (batch <= (batches.get(host) ?? 0)) counts.outOfOrder += 1
              batches.set(host, batch)
              for (const change of changes) move(host, change, 'before', 'after')
            },
            flushed: (host, batch) => {
              if (batch > (batches.get(host) ?? 0)) counts.flushedUnseen += 1
              flushed.set(host, batch)
            },
            lost: (host, changes) => {
              counts.lost += 1
              for (const change of changes) move(host, change, 'after', 'before')
            },
            started: () => (counts.started += 1),
            crashed: () => (counts.crashed += 1),
            published: () => (counts.published += 1),
            check: () => [],
          },
        ],
      })
      expect(ok).toBe(true)
      expect(counts).toMatchObject({ wrongBefore: 0, outOfOrder: 0, flushedUnseen: 0 })
      // Every host, and once more after each of its deaths.
      expect(counts.started).toBe(told.size + counts.crashed)
      expect([counts.crashed > 0, counts.lost > 0, counts.published > 0]).toEqual([true, true, true])
    },
  )

  test('stops at what a judge finds, and shows the way of the payment', { timeout: LONG_MS }, async () => {
    let paid: string | undefined
    const { ok, violations, trace } = await simulate({
      seed: 'found',
      payments: 8,
      shape: SHAPE,
      engine: 'stand-in',
      faults: [],
      observers: () => [
        {
          told: (fact) => {
            if (fact.type === 'paid' && fact.outcome === 'confirmed') paid ??= fact.prId ?? fact.txId
          },
          check: () => (paid === undefined ? [] : [{ rule: 'nobody may pay', detail: 'somebody did', payment: paid }]),
        },
      ],
    })
    expect([ok, violations[0]?.rule]).toEqual([false, 'nobody may pay'])
    expect(violations[0]?.step).toBeGreaterThan(0)
    expect(new Set(trace.map(({ role }) => role))).toEqual(new Set(['customer', 'cpp', 'dc', 'mpp', 'merchant']))
  })

  test('says how to play a seed again', () => {
    expect(replayLine('7', { payments: 20, faults: FAULT_NAMES })).toBe('semops simulate --seed 7 --payments 20')
    expect(replayLine('7', { payments: 20, faults: ['drop', 'crash'], engine: 'real' })).toBe(
      'semops simulate --seed 7 --payments 20 --faults drop,crash --engine real',
    )
    expect(replayLine('7', { payments: 20, faults: [] })).toContain('--faults none')
  })
})
