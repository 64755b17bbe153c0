import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CURRENCIES, CURRENCY_CODES } from '../../protocol/amount.ts'
import { fromJson } from '../runtime/json.ts'
import { clampThreshold } from './aggregation.ts'
import { AggregationSettings, aggregationPolicy, windowEnd } from './policies.ts'
import { DAY, HOUR } from './policy-fields.ts'

const { macroFromMinor } = CURRENCIES.EUR
const profile = { currency: 'EUR', assignedThresholdMinor: undefined } as const
const NOON = 20_000 * DAY + 12 * HOUR

describe('threshold', () => {
  const policy = (thresholdMinor: Record<string, bigint>) =>
    aggregationPolicy({ policy: 'threshold', thresholdMinor, maxDebtAgeMs: 1_000 })

  it('is M unless set lower, and never over M', () => {
    expect(policy({}).thresholdMinor(profile)).toBe(macroFromMinor)
    expect(policy({ EUR: 200n }).thresholdMinor(profile)).toBe(200n)
    expect(policy({ EUR: macroFromMinor + 1n }).thresholdMinor(profile)).toBe(macroFromMinor)
    expect(policy({ USD: 200n }).thresholdMinor(profile)).toBe(macroFromMinor)
    expect(clampThreshold(0n, 'EUR')).toBe(1n)
  })

  it('collects at the age of the debt, at once what was due before, and nothing ahead', () => {
    expect(policy({}).collectByMs(500)).toBe(1_500)
    expect(policy({}).nextMomentMs(500)).toBe(501)
    expect(policy({}).lowWaterMinor('EUR')).toBeUndefined()
    expect(aggregationPolicy({ policy: 'threshold' }).collectByMs(NOON)).toBe(NOON + 30 * DAY)
  })
})

describe('window', () => {
  it('collects whatever is owed at the end of the aligned window in which it began to be owed', () => {
    const policy = aggregationPolicy({ policy: 'window', windowMs: HOUR })
    expect(policy.collectByMs(NOON)).toBe(NOON + HOUR)
    expect(policy.collectByMs(NOON + HOUR - 1)).toBe(NOON + HOUR)
    expect(policy.collectByMs(NOON + HOUR)).toBe(NOON + 2 * HOUR)
    expect(policy.nextMomentMs(NOON + 1)).toBe(NOON + HOUR)
    expect(policy.thresholdMinor(profile)).toBe(macroFromMinor)
    expect(aggregationPolicy({ policy: 'window' }).collectByMs(NOON)).toBe(windowEnd(NOON, DAY))
  })

  it('a shorter age goes before the window', () => {
    const policy = aggregationPolicy({ policy: 'window', windowMs: DAY, maxDebtAgeMs: HOUR })
    expect(policy.collectByMs(NOON)).toBe(NOON + HOUR)
  })
})

describe('bulk', () => {
  it('has a low-water mark, and collects by age what stays below it', () => {
    const policy = aggregationPolicy({
      policy: 'bulk',
      windowMs: HOUR,
      lowWaterMinor: { EUR: 300n },
      maxDebtAgeMs: DAY,
    })
    expect(policy.lowWaterMinor('EUR')).toBe(300n)
    expect(policy.lowWaterMinor('USD')).toBe(CURRENCIES.USD.macroFromMinor / 5n)
    expect(policy.collectByMs(NOON)).toBe(NOON + DAY)
    expect(policy.nextMomentMs(NOON)).toBe(NOON + HOUR)
  })
})

describe('kmeans', () => {
  const policy = aggregationPolicy({
    policy: 'kmeans',
    thetaMinMinor: { EUR: 150n },
    thresholdMinor: { EUR: 700n },
  })
  it.each([
    ['of a customer with none assigned is that of `threshold`', undefined, 700n],
    ['is the one assigned', 400n, 400n],
    ['is no less than θmin', 100n, 150n],
    ['is no more than M', 5_000n, macroFromMinor],
  ])('θ %s', (_, assignedThresholdMinor, expected) => {
    expect(policy.thresholdMinor({ currency: 'EUR', assignedThresholdMinor })).toBe(expected)
  })
})

const money = fc.bigInt({ min: 1n, max: 1n << 60n })
const common = {
  thresholdMinor: fc.option(fc.dictionary(fc.constantFrom(...CURRENCY_CODES), money), { nil: undefined }),
  maxDebtAgeMs: fc.option(fc.integer({ min: 1, max: 366 * DAY }), { nil: undefined }),
}
const windowMs = fc.option(fc.integer({ min: 1_000, max: 366 * DAY }), { nil: undefined })
const settings = fc.oneof(
  fc.record({ policy: fc.constant('threshold' as const), ...common }),
  fc.record({ policy: fc.constant('window' as const), ...common, windowMs }),
  fc.record({ policy: fc.constant('bulk' as const), ...common, windowMs }),
  fc.record({ policy: fc.constant('kmeans' as const), ...common }),
)

describe('whatever the settings', () => {
  it('θ is in (0, M], the age bounds the debt, and the next moment lies ahead', () => {
    fc.assert(
      fc.property(
        settings,
        fc.constantFrom(...CURRENCY_CODES),
        fc.option(money, { nil: undefined }),
        fc.integer({ min: 0, max: 4 * 10 ** 12 }),
        (given, currency, assignedThresholdMinor, atMs) => {
          const plain = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
          const policy = aggregationPolicy(plain as AggregationSettings)
          const θ = policy.thresholdMinor({ currency, assignedThresholdMinor })
          expect(θ > 0n && θ <= CURRENCIES[currency].macroFromMinor).toBe(true)
          const by = policy.collectByMs(atMs)
          expect(by > atMs && by <= atMs + (given.maxDebtAgeMs ?? 30 * DAY)).toBe(true)
          expect(policy.nextMomentMs(atMs)).toBeGreaterThan(atMs)
        },
      ),
    )
  })
})

describe('settings as an operator writes them', () => {
  const read = (json: unknown) => fromJson(AggregationSettings, json)
  it('are read with money as text or a whole number', () => {
    expect(read({ policy: 'bulk', windowMs: 1_000, lowWaterMinor: { EUR: '250', HUF: 9 } })).toEqual({
      ok: true,
      value: { policy: 'bulk', windowMs: 1_000, lowWaterMinor: { EUR: 250n, HUF: 9n } },
    })
  })

  it.each([
    ['another policy', { policy: 'hourly' }, '/policy: one of threshold, window, bulk, kmeans'],
    ['no policy', { windowMs: 5_000 }, '/policy: one of threshold, window, bulk, kmeans'],
    ['a setting of another policy', { policy: 'window', lowWaterMinor: {} }, '/lowWaterMinor: no such setting'],
    ['money below one', { policy: 'bulk', lowWaterMinor: { EUR: 0 } }, '/lowWaterMinor/EUR: '],
    ['a window of nothing', { policy: 'window', windowMs: 0 }, '/windowMs: '],
    ['a hazard over 1', { policy: 'kmeans', defaultHazardPerDay: 1.5 }, '/defaultHazardPerDay: '],
  ])('%s is named', (_, json, problem) => {
    const result = read(json)
    expect(result.ok ? '' : result.problem).toContain(problem)
  })
})
