import { describe, expect, test } from 'vitest'
import { encodeBody } from '../../../protocol/codec.ts'
import { makeContent } from '../../../protocol/envelope.ts'
import { failureNumber } from '../../../protocol/failures.ts'
import { ENVELOPE_VERSION } from '../../../protocol/header.ts'
import { hash } from '../../../protocol/hash.ts'
import type { Body, KindName } from '../../../protocol/kinds.ts'
import { pinProof } from '../../../protocol/pin.ts'
import { encodeFrame, parseFrame, type ParsedFrame } from '../../../protocol/seals.ts'
import { keyText } from '../../../nodes/runtime/sorted-map.ts'
import { testId } from '../../../nodes/runtime/testing.ts'
import { createComplaints } from './complaints.ts'
import { createPinWords } from './pins.ts'

const CUSTOMER = 'hu-alice'
const CPP = 'hu-cpp'
const NOW_MS = 1_800_000_000_000
const keyOfPin = (pin: string): Uint8Array => hash(new TextEncoder().encode(pin))

const frameOf = (kind: KindName, from: string, body: Uint8Array, expiresAtMs?: number): ParsedFrame => {
  const content = makeContent(
    {
      version: ENVELOPE_VERSION,
      networkId: new Uint8Array(16),
      kind,
      bodyVersion: 1,
      messageId: testId(`${kind} ${from}`),
      from,
      to: CPP,
      sentAtMs: NOW_MS,
      expiresAtMs,
      correlationId: undefined,
      bodyForm: 'plain',
    },
    body,
  )
  const parsed = parseFrame(encodeFrame(content, { form: 1, keyId: new Uint8Array(16), signature: new Uint8Array(64) }))
  if (!parsed.ok) throw new Error(parsed.failure.code)
  return parsed.value
}
const trans = frameOf(
  'transaction-details',
  'hu-shop-1',
  encodeBody('transaction-details', {
    txId: testId('tx'),
    payee: 'hu-bakery',
    amountMinor: 500n,
    currency: 'EUR',
    descriptionHash: hash(new Uint8Array(1)),
    nonce: testId('nonce'),
    chain: [new Uint8Array(8)],
  }),
  NOW_MS + 10_000,
)

const setUp = (known: ReadonlyMap<string, Uint8Array> = new Map([[CUSTOMER, keyOfPin('1111')]])) => {
  const { complain, take } = createComplaints()
  const pins = createPinWords(known, complain)
  const say = <K extends KindName>(kind: K, originator: string, body: Body<K>, expiresAtMs?: number): void => {
    const inner = frameOf(kind, originator, encodeBody(kind, body), expiresAtMs)
    pins.heard({ kind, originator, host: originator, body, inner, digest: keyText(inner.digest) })
  }
  return {
    pay: (pin: string): void => {
      const prId = testId('pr')
      const body = { prId, trans: trans.frame, pinProof: pinProof(keyOfPin(pin), trans.digest, prId) }
      say('payment-request', CUSTOMER, body, NOW_MS + 10_000)
    },
    changePin: (pin: string): void =>
      say('pin-change', CUSTOMER, { changeId: testId('change'), pinKey: keyOfPin(pin), pinProof: new Uint8Array(32) }),
    end: (outcome: Body<'customer-payment-outcome'>['outcome']): readonly string[] => {
      const code = failureNumber(outcome === 'refused' ? 'WRONG_PIN' : 'REJECTED_BY_PAYEE')
      say('customer-payment-outcome', CPP, { prId: testId('pr'), outcome, code, detail: '', decidedAtMs: NOW_MS })
      return take().map(({ rule }) => rule)
    },
  }
}

describe('a PIN', () => {
  test('that is right, or was since somebody listened, is taken', () => {
    const first = setUp()
    first.pay('1111')
    expect(first.end('rejected')).toEqual([])
    const second = setUp()
    second.changePin('2222')
    second.pay('2222')
    expect(second.end('rejected')).toEqual([])
  })

  test('that is wrong is refused, and no other end is one', () => {
    const { pay, end } = setUp()
    pay('2222')
    expect(end('refused')).toEqual([])
    expect(end('rejected')).toEqual(['a wrong PIN was taken'])
  })

  test('of somebody unknown may be any', () => {
    const { pay, changePin, end } = setUp(new Map())
    changePin('3333')
    pay('2222')
    expect(end('rejected')).toEqual([])
  })
})
