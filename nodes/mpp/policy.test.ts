import { expect, test } from 'vitest'
import { fromJson, toJson } from '../runtime/json.ts'
import {
  creditLimit,
  MPP_POLICY_DEFAULTS,
  MppPolicySchema,
  payoutThreshold,
  settlementAccount,
  type MppPolicy,
} from './policy.ts'

const read = (json: object): MppPolicy => {
  const parsed = fromJson<MppPolicy>(
    MppPolicySchema,
    JSON.parse(toJson({ ...MPP_POLICY_DEFAULTS, dataCenters: ['hu-dc-1'], ...json })),
  )
  if (!parsed.ok) throw new TypeError(parsed.problem)
  return parsed.value
}

test('a policy is read from JSON, with what it leaves out at its defaults', () => {
  const policy = read({ operatorAccounts: { EUR: 'hu-kh:hu-cosmo' } })
  expect(policy).toEqual({
    ...MPP_POLICY_DEFAULTS,
    dataCenters: ['hu-dc-1'],
    operatorAccounts: { EUR: 'hu-kh:hu-cosmo' },
  })
  expect(creditLimit(policy, 'hu-otp', 'EUR')).toBe(1_000_000n)
  expect(payoutThreshold(policy, 'EUR')).toBe(30_000n)
  expect(payoutThreshold(policy, 'JPY')).toBe(45_000n)
})

test('a credit limit is that of CPP and currency, else of the CPP, else of the currency, else the default', () => {
  const policy = read({ creditLimitMinor: { 'hu-otp EUR': '1', 'hu-otp': '2', EUR: '3' } })
  expect(creditLimit(policy, 'hu-otp', 'EUR')).toBe(1n)
  expect(creditLimit(policy, 'hu-otp', 'USD')).toBe(2n)
  expect(creditLimit(policy, 'ro-libra', 'EUR')).toBe(3n)
  expect(creditLimit(policy, 'ro-libra', 'USD')).toBe(1_000_000n)
})

test('a settlement account is that of CPP and currency, else of the CPP', () => {
  const policy = read({ settlementAccounts: { 'hu-otp EUR': 'hu-kh:a', 'hu-otp': 'hu-kh:b' } })
  expect(settlementAccount(policy, 'hu-otp', 'EUR')).toBe('hu-kh:a')
  expect(settlementAccount(policy, 'hu-otp', 'USD')).toBe('hu-kh:b')
  expect(settlementAccount(policy, 'ro-libra', 'EUR')).toBeUndefined()
})

test.each([
  ['an unknown field', { payouts: {} }],
  ['an unknown currency', { creditLimitMinor: { XXX: '1' } }],
  ['a negative limit', { creditLimitMinor: { EUR: '-1' } }],
  ['a fraction', { payout: { ...MPP_POLICY_DEFAULTS.payout, thresholdMinor: { EUR: 1.5 } } }],
  ['an account that is none', { operatorAccounts: { EUR: 'hu-kh' } }],
])('%s is refused', (_, json) => {
  expect(() => read(json)).toThrow(TypeError)
})
