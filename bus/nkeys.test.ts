import { createAccount, createOperator, createUser, fromSeed } from '@nats-io/jwt'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { loadKey, newSeed, type KeyType } from './nkeys.ts'

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const pair = (seed: string) => fromSeed(new TextEncoder().encode(seed))

describe('nkeys', () => {
  test.each([
    ['O', createOperator],
    ['A', createAccount],
    ['U', createUser],
  ] as const)('%s: a seed of the NATS package gives the key and the signatures that it gives there', (type, create) => {
    for (let i = 0; i < 3; i++) {
      const theirs = create()
      const ours = loadKey(text(theirs.getSeed()))
      expect([ours.type, ours.publicKey]).toEqual([type, theirs.getPublicKey()])
      const message = new Uint8Array(i * 31).fill(i)
      expect(Buffer.compare(ours.sign(message), theirs.sign(message))).toBe(0)
    }
  })

  test.each(['O', 'A', 'U'] as const)('%s: a seed made here is one to the NATS package', (type: KeyType) => {
    for (let i = 0; i < 3; i++) {
      const seed = newSeed(type)
      expect(seed.startsWith(`S${type}`)).toBe(true)
      expect(pair(seed).getPublicKey()).toBe(loadKey(seed).publicKey)
    }
    expect(newSeed(type)).not.toBe(newSeed(type))
  })

  test('one changed character is noticed, and so is anything else that is no seed', () => {
    const seed = newSeed('U')
    // The last character carries bits beyond the checksum, which decode to nothing.
    fc.assert(
      fc.property(
        fc.nat(seed.length - 2),
        fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.split('')),
        (at, character) => {
          const other = seed.slice(0, at) + character + seed.slice(at + 1)
          fc.pre(other !== seed)
          expect(() => loadKey(other)).toThrow(TypeError)
        },
      ),
    )
    const key = loadKey(seed).publicKey
    for (const wrong of ['', 'S', 'SU', key, seed.toLowerCase(), seed.slice(1), `${seed}AA`, `${seed} `, 'é'])
      expect(() => loadKey(wrong)).toThrow(TypeError)
  })
})
