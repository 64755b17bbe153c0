import fc from 'fast-check'
import { Unpackr } from 'msgpackr'
import { describe, expect, test } from 'vitest'
import { concat, equalBytes, toHex, utf8 } from './bytes.ts'
import { DOMAINS } from './domains.ts'
import { loadEngine, portableEngine } from './engines/load.ts'
import { rsaEngine } from './engines/rsa-engine.ts'
import { encodeHeader, makeContent, parseHeader, restoreContent, type Content } from './envelope.ts'
import { digestOf } from './hash.ts'
import type { Header } from './header.ts'
import { signingKeyFromSeed, signingKeyOf } from './keys.ts'
import { LIMITS } from './limits.ts'
import { buildBatchTree, pathLength, rootOfPath } from './merkle.ts'
import {
  createRootCache,
  encodeFrame,
  parseFrame,
  sealBatch,
  sealOne,
  verifySeal,
  verifySeals,
  type BatchSeal,
  type ParsedFrame,
} from './seals.ts'
import { createSampleNetwork, NOW, sampleId, seededRandom } from './testing/sample-network.ts'

const engine = loadEngine()
const network = createSampleNetwork(engine)
const key = network.cpp.signing
const receipt = (name: string): Content =>
  network.content(
    'receipt',
    'hu-otp',
    'hu-cosmo',
    { digest: digestOf(utf8(name), utf8('')) },
    { messageId: sampleId(name) },
  )
const receipts = (count: number): Content[] => Array.from({ length: count }, (_, i) => receipt(`receipt ${i}`))
const parse = (frame: Uint8Array): ParsedFrame => {
  const parsed = parseFrame(frame)
  if (!parsed.ok) throw new Error(parsed.failure.code)
  return parsed.value
}
const verdict = (frame: Uint8Array, rootCache = createRootCache(), verifyKey = key): string => {
  const parsed = parseFrame(frame)
  if (!parsed.ok) return parsed.failure.code
  const verified = verifySeal(parsed.value, verifyKey, { engine, rootCache })
  return verified.ok ? 'ok' : verified.failure.code
}
const resealed = (frame: Uint8Array, change: Partial<BatchSeal>): Uint8Array => {
  const parsed = parse(frame)
  return encodeFrame(parsed, { ...(parsed.seal as BatchSeal), ...change })
}

describe('a header', () => {
  const header = network.header('receipt', 'hu-otp', 'hu-cosmo', 'x')
  test('comes back as it went', () => {
    const parsed = parseHeader(encodeHeader(header))
    expect(parsed).toEqual({ ok: true, value: { ...header, kindNumber: 100 } })
  })
  test('is the documented array of eleven', () => {
    const guest = network.header('offer-request', new Uint8Array(32).fill(1), 'hu-shop-1', 'y', {
      correlationId: sampleId('c'),
    })
    expect(new Unpackr({ useRecords: false, int64AsType: 'number' }).unpack(encodeHeader(guest))).toEqual([
      1,
      network.networkId,
      1,
      1,
      guest.messageId,
      guest.from,
      'hu-shop-1',
      NOW,
      NOW + 120_000,
      sampleId('c'),
      0,
    ])
  })
  test.each<readonly [string, Partial<Header>]>([
    ['networkId', { networkId: new Uint8Array(15) }],
    ['messageId', { messageId: new Uint8Array(17) }],
    ['from', { from: 'HU-otp' }],
    ['from', { from: new Uint8Array(31) }],
    ['to', { to: 'hu-*' }],
    ['sentAtMs', { sentAtMs: -1 }],
    ['sentAtMs', { sentAtMs: 0.5 }],
    ['expiresAtMs', { expiresAtMs: NOW }],
    ['correlationId', { correlationId: new Uint8Array(1) }],
  ])('with a wrong %s is not encoded', (name, change) =>
    expect(() => encodeHeader({ ...header, ...change })).toThrow(name),
  )
  test('of any bytes gives a header or a code, and never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        expect(parseHeader(bytes).ok).toBe(false)
      }),
    )
  })
  test('is restored from the outbox with the same digest', () => {
    const content = receipt('stored')
    expect(restoreContent(content.headerBytes, content.bodyBytes)).toMatchObject({
      digest: content.digest,
      header: content.header,
    })
    expect(() => restoreContent(utf8('?'), content.bodyBytes)).toThrow(TypeError)
  })
  test('a body over the limit is not made into content', () => {
    expect(() => makeContent(header, new Uint8Array(LIMITS.maxBodyBytes + 1))).toThrow(RangeError)
  })
})

describe('one seal', () => {
  test('verifies, in both engines', () => {
    const frame = sealOne(receipt('a'), key)
    expect(verdict(frame)).toBe('ok')
    expect(verifySeal(parse(frame), key, { engine: portableEngine, rootCache: createRootCache() }).ok).toBe(true)
  })
  test('of RSA verifies, and each algorithm only its own form', () => {
    const rsa = signingKeyOf(engine, 'rsa-pss-sha256', rsaEngine.generateKeyPair())
    const frame = sealOne(receipt('a'), rsa)
    expect(parse(frame).seal.form).toBe(3)
    expect(verdict(frame, undefined, rsa)).toBe('ok')
    expect(verdict(frame)).toBe('BAD_SIGNATURE')
    expect(verdict(sealOne(receipt('a'), key), undefined, rsa)).toBe('BAD_SIGNATURE')
    expect(sealBatch(receipts(3), rsa, seededRandom('rsa')).map((each) => verdict(each, undefined, rsa))).toEqual([
      'ok',
      'ok',
      'ok',
    ])
  })
  test('is not that of another key', () => {
    expect(verdict(sealOne(receipt('a'), key), undefined, network.mpp.signing)).toBe('BAD_SIGNATURE')
  })
  test('keeps its bytes when the transport uses its buffer again', () => {
    const buffer = Buffer.from(sealOne(receipt('a'), key))
    const parsed = parse(buffer)
    buffer.fill(0)
    expect(verifySeal(parsed, key, { engine, rootCache: createRootCache() }).ok).toBe(true)
    expect(parsed.bodyBytes.constructor).toBe(Uint8Array)
  })
  test('fails for any bit flipped', () => {
    const frame = sealOne(receipt('a'), key)
    for (let i = 0; i < frame.length; i++)
      for (let bit = 0; bit < 8; bit++) {
        const spoilt = frame.slice()
        spoilt[i] = (spoilt[i] as number) ^ (1 << bit)
        const parsed = parseFrame(spoilt)
        // The keyId names the key and is not signed in this form: another name finds another key, or none.
        if (parsed.ok && !equalBytes(parsed.value.seal.keyId, key.keyId)) continue
        expect(verdict(spoilt)).not.toBe('ok')
      }
  })
  test('a signature over a raw login nonce never verifies as a seal', () => {
    const content = receipt('a')
    // What a hostile server would have the login key sign: the content itself as nonce.
    const nonce = concat(content.headerBytes, content.bodyBytes)
    const frame = encodeFrame(content, { form: 1, keyId: key.keyId, signature: key.sign(nonce) })
    expect(verdict(frame)).toBe('BAD_SIGNATURE')
    for (const domain of Object.values(DOMAINS)) expect(domain[0]).toBe(0xff)
  })
})

describe('a batch', () => {
  test.each([1, 2, 3, 4, 5, 7, 8, 9, 64, 100])('of %i verifies, each message alone', (count) => {
    const frames = sealBatch(receipts(count), key, seededRandom('batch'))
    expect(frames).toHaveLength(count)
    expect(frames.map((frame) => verdict(frame))).toEqual(frames.map(() => 'ok'))
    expect(parse(frames[0] as Uint8Array).seal.form).toBe(count === 1 ? 1 : 2)
  })
  test('over maxBatchLeaves becomes several', () => {
    const frames = sealBatch(receipts(LIMITS.maxBatchLeaves + 2), key, seededRandom('big'))
    const rootCache = createRootCache()
    expect(frames.every((frame) => verdict(frame, rootCache) === 'ok')).toBe(true)
    expect(rootCache.size).toBe(2)
  })
  test('costs one signature check when verified together', () => {
    let checks = 0
    const counting = {
      ...engine,
      ed25519: {
        ...engine.ed25519,
        verify: (...args: Parameters<typeof engine.ed25519.verify>) => (checks++, engine.ed25519.verify(...args)),
      },
    }
    const items = sealBatch(receipts(20), key, seededRandom('one')).map((frame) => ({ parsed: parse(frame), key }))
    expect(verifySeals(items, { engine: counting, rootCache: createRootCache() }).every(({ ok }) => ok)).toBe(true)
    expect(checks).toBe(1)
  })
  test('has the same digest as the single seal of the same content', () => {
    const [frame] = sealBatch(receipts(2), key, seededRandom('same'))
    expect(parse(frame as Uint8Array).digest).toEqual(parse(sealOne(receipt('receipt 0'), key)).digest)
  })

  const frames = sealBatch(receipts(5), key, seededRandom('five'))
  const frame = frames[1] as Uint8Array
  const seal = parse(frame).seal as BatchSeal
  test.each<readonly [string, Partial<BatchSeal>, string]>([
    ['index = count', { index: 5 }, 'BAD_PROOF'],
    ['another index', { index: 0 }, 'BAD_SIGNATURE'],
    ['a count of 1', { count: 1, index: 0, path: new Uint8Array(0) }, 'BAD_PROOF'],
    ['a count of 0', { count: 0, index: 0, path: new Uint8Array(0) }, 'BAD_PROOF'],
    ['another count of the same depth', { count: 6 }, 'BAD_SIGNATURE'],
    ['a count over maxBatchLeaves', { count: LIMITS.maxBatchLeaves + 1 }, 'BAD_PROOF'],
    ['a path cut short', { path: seal.path.subarray(32) }, 'BAD_PROOF'],
    ['a path too long', { path: concat(seal.path, new Uint8Array(32)) }, 'BAD_PROOF'],
    ['another salt', { salt: new Uint8Array(16) }, 'BAD_SIGNATURE'],
    ['another batchId', { batchId: new Uint8Array(16) }, 'BAD_SIGNATURE'],
    [
      'a path in another order',
      { path: concat(seal.path.subarray(32, 64), seal.path.subarray(0, 32), seal.path.subarray(64)) },
      'BAD_SIGNATURE',
    ],
  ])('with %s is refused', (_name, change, code) => {
    const rootCache = createRootCache()
    for (const good of frames) verdict(good, rootCache)
    expect(verdict(resealed(frame, change), rootCache)).toBe(code)
    expect(verdict(resealed(frame, change))).toBe(code)
  })
  test('with a spoilt signature is refused although its root is known: it would be no evidence', () => {
    const rootCache = createRootCache()
    expect(verdict(frame, rootCache)).toBe('ok')
    const signature = seal.signature.slice()
    signature[40] = (signature[40] as number) ^ 1
    expect(verdict(resealed(frame, { signature }), rootCache)).toBe('BAD_SIGNATURE')
  })
  test.each([8, 9, 13, 33])('of %i, its tree known: all that is true passes, and nothing else', (count) => {
    const many = sealBatch(receipts(count), key, seededRandom(`tree ${count}`))
    for (const first of [0, count - 1, count >> 1]) {
      const rootCache = createRootCache()
      expect(verdict(many[first] as Uint8Array, rootCache)).toBe('ok')
      for (const one of many) {
        const { path, salt, index } = parse(one).seal as BatchSeal
        for (let at = 5; at < path.length; at += 32) {
          const spoilt = path.slice()
          spoilt[at] = (spoilt[at] as number) ^ 1
          expect(verdict(resealed(one, { path: spoilt }), rootCache)).toBe('BAD_SIGNATURE')
        }
        expect(verdict(resealed(one, { path: path.subarray(32) }), rootCache)).toBe('BAD_PROOF')
        expect(verdict(resealed(one, { salt: salt.map((byte) => byte ^ 1) }), rootCache)).toBe('BAD_SIGNATURE')
        expect(verdict(resealed(one, { index: (index + 1) % count }), rootCache)).not.toBe('ok')
        expect(verdict(one, rootCache)).toBe('ok')
      }
      expect(many.map((one) => verdict(one, rootCache))).toEqual(many.map(() => 'ok'))
    }
  })
  test('with the body of its neighbour is refused', () => {
    const other = parse(frames[2] as Uint8Array)
    expect(verdict(encodeFrame(other, seal))).toBe('BAD_SIGNATURE')
  })
  test('a seal of one form is not one of the other', () => {
    expect(verdict(encodeFrame(parse(frame), { form: 1, keyId: seal.keyId, signature: seal.signature }))).toBe(
      'BAD_SIGNATURE',
    )
  })
})

describe('the tree', () => {
  const batchId = sampleId('tree')
  const leaves = (count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => sealLeaf(i))
  const sealLeaf = (i: number): Uint8Array => digestOf(utf8('leaf'), utf8(String(i)))
  test('proves each leaf at its own place only', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 70 }), fc.nat(), fc.nat(), (count, a, b) => {
        const { root, paths } = buildBatchTree(batchId, leaves(count))
        const index = a % count
        const path = paths[index] as Uint8Array
        expect(path.length).toBe(32 * pathLength(index, count))
        expect(path.length / 32).toBeLessThanOrEqual(LIMITS.maxProofLength)
        expect(rootOfPath(batchId, index, count, sealLeaf(index), path)).toEqual(root)
        const other = b % count
        const claimed = rootOfPath(batchId, other, count, sealLeaf(index), path)
        expect(claimed !== undefined && toHex(claimed) === toHex(root)).toBe(other === index)
      }),
    )
  })
  test('never pairs the last leaf with itself', () => {
    const three = leaves(3)
    expect(buildBatchTree(batchId, three).root).not.toEqual(
      buildBatchTree(batchId, [...three, three[2] as Uint8Array]).root,
    )
  })
  test('of the largest batch has paths of maxProofLength', () => {
    expect(pathLength(0, LIMITS.maxBatchLeaves)).toBe(LIMITS.maxProofLength)
  })
})

describe('frames from outside', () => {
  test('of any bytes give a code, and never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(parseFrame(bytes).ok).toBe(false)
      }),
    )
  })
  test('cut anywhere are refused', () => {
    const frame = sealOne(receipt('a'), key)
    for (let length = 0; length < frame.length; length++) expect(parseFrame(frame.subarray(0, length)).ok).toBe(false)
  })
})

test('the same seed gives the same key in every engine', () => {
  expect(signingKeyFromSeed(portableEngine, new Uint8Array(32)).keyId).toEqual(
    signingKeyFromSeed(engine, new Uint8Array(32)).keyId,
  )
})
