import { describe, expect, it } from 'vitest'
import { loadEngine } from '../../protocol/engines/load.ts'
import { pinKeyFingerprint, pinProof } from '../../protocol/pin.ts'
import { testBytes, testId } from '../runtime/testing.ts'
import { createPinVault } from './pin-vault.ts'

describe('the vault of PIN keys', () => {
  const vault = createPinVault(loadEngine(), testBytes('node key'))
  const pinKey = testBytes('pin key')
  const sealed = vault.seal('hu-alice', pinKey, testBytes('nonce', 12))
  const proof = pinProof(pinKey, testBytes('trans'), testId('pr'))

  it('judges proofs without giving the key away', () => {
    expect(vault.isProof('hu-alice', sealed, testBytes('trans'), testId('pr'), proof)).toBe(true)
    expect(vault.isProof('hu-alice', sealed, testBytes('other'), testId('pr'), proof)).toBe(false)
    expect(vault.isProof('hu-alice', sealed, testBytes('trans'), testId('other'), proof)).toBe(false)
    expect(vault.isProof('hu-alice', sealed, testBytes('trans'), testId('pr'), proof.slice(1))).toBe(false)
    expect(vault.fingerprint('hu-alice', sealed)).toEqual(pinKeyFingerprint(pinKey))
    expect(Buffer.from(sealed).includes(Buffer.from(pinKey))).toBe(false)
  })

  it("stops the node where a row is another customer's or another node's", () => {
    expect(() => vault.isProof('hu-bob', sealed, testBytes('trans'), testId('pr'), proof)).toThrow('not sealed under')
    const other = createPinVault(loadEngine(), testBytes('other key'))
    expect(() => other.fingerprint('hu-alice', sealed)).toThrow('not sealed under')
  })
})
