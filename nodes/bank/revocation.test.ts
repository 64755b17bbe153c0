import { describe, expect, it } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import { keyIdOf } from '../../protocol/keys.ts'
import { TEST_NOW_MS, testBytes, testId } from '../runtime/testing.ts'
import { holdersRevoked } from './decide-accounts.ts'
import { MANDATES } from './state.ts'
import { giveMandate, HOLDER_KEY, mandateTerms, openAccount, outcomeOf, testBank } from './testing/test-bank.ts'

const CPP = { from: 'hu-otp', role: 'cpp', operatorId: 'hu-otp' } as const
const hold = (id: string, account: string) => ({
  holdId: testId(id),
  account,
  amountMinor: 100n,
  currency: 'EUR' as const,
  holdExpiresAtMs: TEST_NOW_MS + 60_000,
})

describe('a revocation list at a bank', () => {
  it('voids the mandates that a key on it signed, and no other', () => {
    const bank = testBank()
    openAccount(bank, 'alice', 1_000n)
    openAccount(bank, 'bob', 1_000n, { holderKey: toHex(testBytes('bob')) })
    giveMandate(bank, mandateTerms('hu-kh:alice', 'hu-otp', 500n))
    giveMandate(bank, mandateTerms('hu-kh:bob', 'hu-otp', 500n), { signedBy: testBytes('bob') })
    expect(outcomeOf(bank.receive('hold-order', hold('before', 'hu-kh:alice'), CPP))).toBe('held')
    const told = (...keyIds: readonly Uint8Array[]) =>
      bank.apply((read, context) => holdersRevoked(read, { version: 1, keyIds }, context))
    expect(told(testId('somebody')).writes).toEqual([])
    expect(told(testId('somebody'), keyIdOf('ed25519', HOLDER_KEY)).record?.fields).toEqual({
      accounts: ['hu-kh:alice'],
    })
    expect(bank.ledger.rows(MANDATES).map(({ account }) => account)).toEqual(['hu-kh:bob'])
    expect(outcomeOf(bank.receive('hold-order', hold('after', 'hu-kh:alice'), CPP))).toBe('NO_MANDATE')
    expect(outcomeOf(bank.receive('hold-order', hold('other', 'hu-kh:bob'), CPP))).toBe('held')
  })
})
