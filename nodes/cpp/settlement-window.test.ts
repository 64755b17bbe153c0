/** When a batch opens by the clock: at its age, or at the end of an aligned window, whichever is first. */
import { expect, it } from 'vitest'
import { TEST_NOW_MS } from '../runtime/testing.ts'
import { settlementDueMs } from './policy.ts'
import { pairs } from './state-pairs.ts'
import { MPP, createWorld, kindsOf, sent, sentAll, testPolicy, type World } from './testing/world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const settlement = { thresholdMinor: { EUR: 1_000n }, maxAgeMs: 10 * HOUR, windowMs: HOUR, retryMs: MINUTE }
/** The end of the window that holds this moment. */
const endOf = (atMs: number, windowMs = HOUR): number => (Math.floor(atMs / windowMs) + 1) * windowMs

const world = (changes: Partial<typeof settlement> = {}): World => {
  const one = createWorld({ policy: { settlement: { ...settlement, ...changes } } })
  one.enrol('hu-alice')
  one.enrol('hu-bela')
  return one
}
const confirm = (one: World, tx: string, amountMinor: bigint, customer = 'hu-alice') =>
  one.decide(sent(one.pay({ customer, tx, amountMinor, expiresAtMs: one.nowMs + 2 * MINUTE }), 'payment-notice'))
const batchesOf = (decided: ReturnType<World['advance']>) => decided.flatMap((one) => sentAll(one, 'settlement-batch'))
it('a batch opens at the end of the window of its first entry, however small', () => {
  const one = world()
  confirm(one, 'a', 10n)
  const end = endOf(TEST_NOW_MS)
  one.nowMs = end - 1
  confirm(one, 'b', 20n)
  expect(one.advance(end - 1).flatMap(kindsOf)).not.toContain('settlement-batch')
  const [message] = batchesOf(one.advance(end))
  expect(message?.body).toMatchObject({ fromSeq: 1, toSeq: 2, totalMinor: 30n })
})

it('an entry at the very end of a window belongs to the next one', () => {
  const one = world()
  const end = endOf(TEST_NOW_MS)
  one.nowMs = end
  confirm(one, 'a', 10n)
  expect(batchesOf(one.advance(end + HOUR - 1))).toEqual([])
  expect(batchesOf(one.advance(end + HOUR))).toHaveLength(1)
})

it('the threshold does not wait for the window, nor the age', () => {
  const one = world()
  expect(kindsOf(confirm(one, 'a', 600n))).not.toContain('settlement-batch')
  expect(kindsOf(confirm(one, 'b', 400n, 'hu-bela'))).toContain('settlement-batch')
  const young = world({ maxAgeMs: MINUTE })
  confirm(young, 'a', 10n)
  expect(batchesOf(young.advance(TEST_NOW_MS + MINUTE - 1))).toEqual([])
  expect(batchesOf(young.advance(TEST_NOW_MS + MINUTE))).toHaveLength(1)
})

it('one deadline is armed at a time, and an empty window opens nothing', () => {
  const one = world()
  confirm(one, 'a', 10n)
  confirm(one, 'b', 10n)
  expect(one.ledger.deadlines().filter(({ name }) => name === 'pair-age')).toHaveLength(1)
  one.advance(endOf(TEST_NOW_MS))
  expect(batchesOf(one.advance(endOf(TEST_NOW_MS) + 20 * HOUR))).toEqual([])
})

it('a shorter window of a new policy holds from the next entry on', () => {
  const one = world({ windowMs: 10 * HOUR })
  confirm(one, 'a', 10n)
  one.policy = testPolicy({ settlement: { ...settlement, windowMs: MINUTE } })
  one.nowMs += 1
  confirm(one, 'b', 10n)
  const { ageAtMs } = one.ledger.get(pairs, MPP, 'EUR') as { ageAtMs: number }
  expect(ageAtMs).toBe(endOf(TEST_NOW_MS, MINUTE))
  expect(one.ledger.deadlines().filter(({ name }) => name === 'pair-age')).toHaveLength(1)
  expect(batchesOf(one.advance(ageAtMs))).toHaveLength(1)
})

it('a pair is due at its age where no window is set', () => {
  const { windowMs: _, ...ageOnly } = settlement
  expect(settlementDueMs(testPolicy({ settlement: ageOnly }), TEST_NOW_MS)).toBe(TEST_NOW_MS + 10 * HOUR)
  expect(settlementDueMs(testPolicy({ settlement }), TEST_NOW_MS)).toBe(endOf(TEST_NOW_MS))
})
