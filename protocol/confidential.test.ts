import { describe, expect, test } from 'vitest'
import { concat, equalBytes, utf8 } from './bytes.ts'
import { createOpener, createSealer, makeCarrier, openCarrier, type SecretOf } from './confidential.ts'
import { loadEngine, portableEngine } from './engines/load.ts'
import type { Engine } from './engines/engine.ts'
import { keyIdOf } from './keys.ts'
import { createSampleNetwork, sealingPair, seededRandom } from './testing/sample-network.ts'

const engine = loadEngine()
const engines: readonly Engine[] = [engine, portableEngine]
const recipient = sealingPair(engine, 'recipient')
const secretOf: SecretOf = (keyId) =>
  equalBytes(keyId, keyIdOf('x25519', recipient.publicKey)) ? recipient : undefined
const header = utf8('header')

describe('an encrypted body', () => {
  test('is the same from every engine, and opens in every engine', () => {
    const bodies = engines.map((one) =>
      createSealer(one, seededRandom('same')).encrypt(recipient.publicKey, header, utf8('text')),
    )
    expect(bodies[0]).toEqual(bodies[1])
    for (const one of engines)
      expect(createOpener(one).decrypt(secretOf, header, bodies[0] as Uint8Array)).toEqual({
        ok: true,
        value: utf8('text'),
      })
  })
  test('repeats neither nonce nor ciphertext, and its ephemeral key only within its limit', () => {
    const sealer = createSealer(engine, seededRandom('limit'), 2)
    const opener = createOpener(engine)
    const bodies = Array.from({ length: 5 }, () => sealer.encrypt(recipient.publicKey, header, utf8('text')))
    const part = (from: number, to: number) => new Set(bodies.map((body) => body.slice(from, to).join()))
    expect(part(0, 16).size).toBe(1)
    expect(part(16, 48).size).toBe(3)
    expect(part(48, 60).size).toBe(5)
    expect(part(60, 80).size).toBe(5)
    for (const body of bodies) expect(opener.decrypt(secretOf, header, body).ok).toBe(true)
  })
  test('shares no ephemeral key between two recipients', () => {
    const sealer = createSealer(engine, seededRandom('two'))
    const one = sealer.encrypt(recipient.publicKey, header, utf8('x'))
    const two = sealer.encrypt(sealingPair(engine, 'another').publicKey, header, utf8('x'))
    expect(one.slice(16, 48)).not.toEqual(two.slice(16, 48))
  })
  test('with any byte changed, another header, or cut anywhere does not open, by the cache neither', () => {
    const body = createSealer(engine, seededRandom('flip')).encrypt(recipient.publicKey, header, utf8('text'))
    const opener = createOpener(engine)
    expect(opener.decrypt(secretOf, header, body).ok).toBe(true)
    expect(opener.decrypt(secretOf, utf8('Header'), body)).toMatchObject({ failure: { code: 'DECRYPTION_FAILED' } })
    for (let i = 0; i < body.length; i++) {
      const spoilt = body.slice()
      spoilt[i] = (spoilt[i] as number) ^ 1
      expect(opener.decrypt(secretOf, header, spoilt)).toMatchObject({ failure: { code: 'DECRYPTION_FAILED' } })
      expect(opener.decrypt(secretOf, header, body.subarray(0, i))).toMatchObject({
        failure: { code: 'DECRYPTION_FAILED' },
      })
    }
  })
  test('does not open once the key was put away', () => {
    const body = createSealer(engine, seededRandom('gone')).encrypt(recipient.publicKey, header, utf8('text'))
    const opener = createOpener(engine)
    expect(opener.decrypt(secretOf, header, body).ok).toBe(true)
    expect(opener.decrypt(() => undefined, header, body).ok).toBe(false)
  })
  test('with an ephemeral key of small order is refused, and none is sent to one', () => {
    const zero = new Uint8Array(32)
    const body = concat(keyIdOf('x25519', recipient.publicKey), zero, new Uint8Array(12), new Uint8Array(40))
    for (const one of engines) {
      expect(createOpener(one).decrypt(secretOf, header, body)).toMatchObject({
        failure: { code: 'DECRYPTION_FAILED', detail: 'an all-zero shared secret' },
      })
      expect(() => createSealer(one, seededRandom('zero')).encrypt(zero, header, utf8('x'))).toThrow(TypeError)
    }
  })
})

describe('a carrier', () => {
  const network = createSampleNetwork(engine)
  const plain = network.header('payment-request', 'hu-wallet-1', 'hu-otp', 'carrier')
  test('brings frame and beside to its addressee', () => {
    const sealer = createSealer(engine, seededRandom('carrier'))
    for (const beside of [null, utf8('beside')]) {
      const content = makeCarrier(
        sealer,
        { ...plain, bodyForm: 'encrypted' },
        { innerFrame: utf8('frame'), beside },
        recipient.publicKey,
      )
      expect(openCarrier(createOpener(engine), secretOf, content.headerBytes, content.bodyBytes)).toEqual({
        ok: true,
        value: { innerFrame: utf8('frame'), beside },
      })
    }
  })
  test('is never in the clear', () => {
    expect(() =>
      makeCarrier(
        createSealer(engine, seededRandom('c')),
        plain,
        { innerFrame: utf8('frame'), beside: null },
        recipient.publicKey,
      ),
    ).toThrow(TypeError)
  })
  test.each([
    ['noise', utf8('noise')],
    ['an array of three', Uint8Array.of(0x93, 0xc0, 0xc0, 0xc0)],
    ['text', Uint8Array.of(0x92, 0xa1, 0x61, 0xc0)],
    ['bytes after', Uint8Array.of(0x92, 0xc4, 0, 0xc0, 0)],
  ])('with %s inside is malformed', (_name, plaintext) => {
    const body = createSealer(engine, seededRandom('m')).encrypt(recipient.publicKey, header, plaintext)
    expect(openCarrier(createOpener(engine), secretOf, header, body)).toMatchObject({
      failure: { code: 'MALFORMED_BODY' },
    })
  })
})
