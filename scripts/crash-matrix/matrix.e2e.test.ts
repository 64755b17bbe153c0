/**
 * A small part of the crash matrix (`npm run crash-matrix`): each kind of node is killed at a few of the steps that a payment takes, at
 * every stage of a commit, and every rule holds.
 */
import { expect, test } from 'vitest'
import { DEATHS } from '../../nodes/runtime/faults.ts'
import { runMatrix } from './matrix.ts'

const CELLS = [
  'cpp/message payment-request/after-flush',
  'cpp/message countersigned-decision/before-commit',
  'cpp/message post-answer/after-commit',
  'mpp/message payment-notice/after-publish',
  'mpp/message payment-decision/after-commit',
  'bank/message hold-order/after-flush',
  'bank/message post-order/before-commit',
  'merchant/message payment-notice/before-commit',
  'merchant/message transfer-confirmation/after-flush',
  'customer/message customer-transfer-confirmation/after-commit',
  'dc/started/after-publish',
] as const

test('hosts die where a payment is decided, and nobody is told or paid otherwise', { timeout: 500_000 }, async () => {
  const { deaths, payments, coverage, violations } = await runMatrix({
    roles: [],
    points: DEATHS,
    only: CELLS,
    maxMs: 400_000,
    deathsPerRound: CELLS.length,
    idleMs: 40_000,
    stallMs: 5_000,
    acts: false,
    onProgress: () => undefined,
  })
  expect(violations).toEqual([])
  expect(coverage.flatMap(({ missed, notTaken }) => [...missed, ...notTaken])).toEqual([])
  expect(coverage.reduce((sum, { hit }) => sum + hit, 0)).toBe(CELLS.length)
  expect(deaths).toBeGreaterThanOrEqual(CELLS.length)
  expect(payments).toBeGreaterThan(0)
})
