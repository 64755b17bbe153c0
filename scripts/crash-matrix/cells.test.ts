import { describe, expect, test } from 'vitest'
import { buildWholeNetwork } from '../../nodes/runtime/whole-network.ts'
import { cellText, createCells, isTaken, type CellFilter } from './cells.ts'
import { createOutages } from './outages.ts'
import { excused, reasonFor } from './unreached.ts'

const ALL: CellFilter = { roles: [], points: [], only: [] }
const POINTS = ['before-commit', 'after-flush'] as const

describe('cells', () => {
  test('are hit once each, counted of the steps that were taken, and listed when they were missed', () => {
    const cells = createCells(ALL)
    cells.declare('bank', ['message hold-order', 'deadline hold-expiry', 'control deposit'], POINTS)
    cells.declare('cpp', ['message hold-answer'], POINTS)
    expect(cells.open('bank')).toHaveLength(6)
    expect(cells.hit({ role: 'bank', step: 'message hold-order', point: 'after-flush' })).toBe(true)
    expect(cells.hit({ role: 'bank', step: 'message hold-order', point: 'after-flush' })).toBe(false)
    expect(cells.hit({ role: 'bank', step: 'message unheard', point: 'after-flush' })).toBe(false)
    cells.take('bank', ['control deposit'])
    expect(cells.open('bank')).toHaveLength(5)
    expect(cells.openTaken('bank')).toBe(3)
    expect(cells.hits()).toBe(1)
    expect(cells.coverage()).toEqual([
      {
        role: 'bank',
        steps: 3,
        taken: 2,
        cells: 4,
        hit: 1,
        notTaken: [{ step: 'deadline hold-expiry', why: reasonFor('bank', 'deadline hold-expiry') }],
        missed: [
          'bank/message hold-order/before-commit',
          'bank/control deposit/before-commit',
          'bank/control deposit/after-flush',
        ],
      },
      {
        role: 'cpp',
        steps: 1,
        taken: 0,
        cells: 0,
        hit: 0,
        notTaken: [{ step: 'message hold-answer', why: undefined }],
        missed: [],
      },
    ])
  })

  test('are excused only where a host knows such a step, by a reason each', { timeout: 60_000 }, async () => {
    const { sim } = await buildWholeNetwork()
    const steps = sim.hosts().flatMap(({ host }) => host().steps.map((step) => `${host().self.role} ${step}`))
    expect(excused().filter(({ role, step }) => !steps.includes(`${role} ${step}`))).toEqual([])
    expect(excused().filter(({ role, step }) => reasonFor(role, step) === undefined)).toEqual([])
    expect(reasonFor('bank', 'refused interbank-credit')).toMatch(/refuse/)
    expect(reasonFor('bank', 'message hold-order')).toBeUndefined()
  })

  test.each([
    [ALL, true],
    [{ ...ALL, roles: ['bank'] }, true],
    [{ ...ALL, roles: ['cpp'] }, false],
    [{ ...ALL, points: ['after-flush'] }, false],
    [{ ...ALL, only: ['nothing', 'hold-order/before'] }, true],
    [{ ...ALL, only: ['post-order'] }, false],
  ] satisfies readonly (readonly [CellFilter, boolean])[])('%j takes it: %s', (filter, taken) => {
    expect(isTaken(filter, { role: 'bank', step: 'message hold-order', point: 'before-commit' })).toBe(taken)
  })

  test('are read as role, step and point', () => {
    expect(cellText({ role: 'dc', step: 'started', point: 'after-publish' })).toBe('dc/started/after-publish')
  })
})

describe('outages', () => {
  const down = (...spans: readonly (readonly [string, number, number?])[]) => {
    const outages = createOutages()
    for (const [host, fromMs, untilMs] of spans) {
      outages.down(host, fromMs)
      if (untilMs !== undefined) outages.up(host, untilMs)
    }
    return outages
  }

  test.each([
    [[], 100, 100],
    [[['a', 10, 20]], 100, 100],
    [[['a', 90, 120]], 100, 120],
    // Too short a while between two outages.
    [
      [
        ['a', 90, 120],
        ['a', 150, 200],
      ],
      100,
      200,
    ],
    [
      [
        ['a', 90, 120],
        ['a', 171, 200],
      ],
      100,
      120,
    ],
    [
      [
        ['a', 90, 120],
        ['b', 130, 140],
      ],
      100,
      140,
    ],
    [[['c', 90, 120]], 100, 100],
    [[['a', 90]], 100, Number.POSITIVE_INFINITY],
  ] as const)('%j: from %d all are up for a while from %d on', (spans, fromMs, calm) => {
    expect(down(...spans).calmFrom(['a', 'b'], fromMs, 50)).toBe(calm)
  })

  test('begin once, though they are seen twice', () => {
    const outages = down(['a', 10])
    outages.down('a', 15)
    outages.up('a', 30)
    outages.up('a', 40)
    expect([outages.count(), outages.totalMs()]).toEqual([1, 20])
  })
})
