import { describe, expect, test } from 'vitest'
import { equalBytes } from './bytes.ts'
import { createTrust } from './credentials.ts'
import { loadEngine, portableEngine } from './engines/load.ts'
import { FAILURES, type FailureCode } from './failures.ts'
import { KIND_NAMES, kindRow, type KindName } from './kinds.ts'
import { openFrame, openFrames, openNested, type Arrival, type OpenContext } from './open.ts'
import { parseFrame, sealBatch, sealOne } from './seals.ts'
import { createInvalidFrames } from './testing/invalid-frames.ts'
import { createSampleMessages } from './testing/sample-messages.ts'
import { createSampleNetwork, sampleId, seededRandom } from './testing/sample-network.ts'
import { withKeys } from './vouching.ts'

const network = createSampleNetwork(loadEngine())
const messages = createSampleMessages(network)
const { contexts, guest, cpp, mpp, merchant, wallet } = network
const knowing = (context: OpenContext, lookupKey: OpenContext['lookupKey']): OpenContext => ({
  ...context,
  lookupKey,
  trust: createTrust(network.engine, network.root.publicKey),
})
const nothing: OpenContext['lookupKey'] = () => undefined
const code = (frame: Uint8Array, arrival: Arrival, context: OpenContext): string => {
  const opened = openFrame(frame, arrival, context)
  return opened.ok ? 'ok' : opened.failure.code
}

describe('a sound frame opens at every hop of its path', () => {
  test.each<readonly [string, Uint8Array, Arrival, keyof typeof contexts]>([
    [
      'offer request',
      messages.offerRequest,
      { toRole: 'merchant', kind: 'offer-request', fromHost: guest.token },
      'merchant',
    ],
    [
      'TRANS to a guest',
      messages.transCarrier,
      { toRole: 'guest', kind: 'transaction-details', fromHost: 'hu-shop-1' },
      'guest',
    ],
    [
      'payment request',
      messages.paymentRequestCarrier,
      { toRole: 'cpp', kind: 'payment-request', fromHost: 'hu-wallet-1' },
      'cpp',
    ],
    ['notice at the DC', messages.paymentNotice, { toRole: 'dc', kind: 'payment-notice', fromHost: 'hu-otp' }, 'dc'],
    [
      'notice at the peer DC',
      messages.paymentNotice,
      { toRole: 'dc', kind: 'payment-notice', fromHost: 'at-dc-1' },
      'dc',
    ],
    [
      'notice at the MPP',
      messages.paymentNotice,
      { toRole: 'mpp', kind: 'payment-notice', fromHost: 'hu-dc-1' },
      'mpp',
    ],
    [
      'notice at the merchant',
      messages.paymentNotice,
      { toRole: 'merchant', kind: 'payment-notice', fromHost: 'hu-cosmo' },
      'merchant',
    ],
    ['decision', messages.decision, { toRole: 'mpp', kind: 'payment-decision', fromHost: 'hu-shop-1' }, 'mpp'],
    [
      'countersigned decision',
      messages.countersigned,
      { toRole: 'cpp', kind: 'countersigned-decision', fromHost: 'hu-dc-1' },
      'cpp',
    ],
    [
      'delayed confirmation',
      messages.delayedConfirmation,
      { toRole: 'merchant', kind: 'delayed-transfer-confirmation', fromHost: 'hu-cosmo' },
      'merchant',
    ],
    [
      'host registration',
      messages.hostRegistration,
      { toRole: 'cpp', kind: 'host-registration', fromHost: 'hu-wallet-1' },
      'cpp',
    ],
  ])('%s', (_name, frame, arrival, at) => expect(code(frame, arrival, contexts[at])).toBe('ok'))

  test('in the portable engine as well', () => {
    const portable = createSampleNetwork(portableEngine)
    expect(
      code(
        messages.paymentRequestCarrier,
        { toRole: 'cpp', kind: 'payment-request', fromHost: 'hu-wallet-1' },
        portable.contexts.cpp,
      ),
    ).toBe('ok')
  })
  test('and many at once', () => {
    const frames = sealBatch([messages.delayedContent, messages.noticeContent], cpp.signing, seededRandom('two'))
    const arrivals = (['delayed-transfer-confirmation', 'payment-notice'] as const).map(
      (kind) => ({ toRole: 'mpp', kind, fromHost: 'hu-dc-1' }) as const,
    )
    expect(
      openFrames(
        frames.map((bytes, i) => ({ bytes, arrival: arrivals[i] as Arrival })),
        contexts.mpp,
      ).map(({ ok }) => ok),
    ).toEqual([true, true])
  })
})

describe('what was opened', () => {
  test('of a payment request is the inner frame, its device key and its wallet host', () => {
    const opened = openFrame(
      messages.paymentRequestCarrier,
      { toRole: 'cpp', kind: 'payment-request', fromHost: wallet.id },
      contexts.cpp,
    )
    if (!opened.ok || opened.value.kind !== 'payment-request') throw new Error('not opened')
    const { value } = opened
    expect(value.frame).toEqual(messages.paymentRequest)
    expect(value.sender).toMatchObject({
      id: 'hu-alice',
      role: 'customer',
      host: 'hu-wallet-1',
      keyId: network.device.keyId,
    })
    expect(value.previousHop).toBe('hu-wallet-1')
    expect(value.nested.trans).toMatchObject({
      ok: true,
      value: {
        digest: messages.transContent.digest,
        merchant: { mpp: { id: 'hu-cosmo' }, payee: { payee: 'hu-bakery' } },
      },
    })
  })
  test('of TRANS has what travelled beside it', () => {
    const opened = openFrame(
      messages.transCarrier,
      { toRole: 'guest', kind: 'transaction-details', fromHost: merchant.id },
      contexts.guest,
    )
    expect(opened).toMatchObject({
      ok: true,
      value: {
        beside: { description: 'two croissants', purchaseToken: sampleId('purchase') },
        merchant: { host: { id: 'hu-shop-1' } },
      },
    })
  })
  test('of a guest names its key and its login', () => {
    const opened = openFrame(
      messages.offerRequest,
      { toRole: 'merchant', kind: 'offer-request', fromHost: guest.token },
      contexts.merchant,
    )
    expect(opened).toMatchObject({
      ok: true,
      value: { sender: { role: 'guest', host: guest.token }, previousHop: guest.token },
    })
  })
  test('has the same digest under every seal', () => {
    const [batched] = sealBatch([messages.delayedContent, messages.noticeContent], cpp.signing, seededRandom('digest'))
    const arrival = { toRole: 'mpp', kind: 'delayed-transfer-confirmation', fromHost: 'hu-dc-1' } as const
    for (const frame of [batched as Uint8Array, messages.delayedConfirmation])
      expect(openFrame(frame, arrival, contexts.mpp)).toMatchObject({
        ok: true,
        value: { digest: messages.delayedContent.digest, frame },
      })
  })
})

describe('a guest knows its merchant by the invoice alone', () => {
  const arrival = { toRole: 'guest', kind: 'transaction-details', fromHost: merchant.id } as const
  const stranger = knowing(contexts.guest, nothing)
  test('which introduces the key of its own carrier', () =>
    expect(code(messages.transCarrier, arrival, stranger)).toBe('ok'))
  test('and of the goods that follow', () => {
    const goods = sealOne(
      network.content('goods-release', merchant.id, guest.token, {
        txId: sampleId('txId'),
        payee: 'hu-bakery',
        goods: 'bread',
      }),
      merchant.signing,
    )
    const carrier = network.carry('goods-release', merchant, guest.token, goods, guest.sealing.publicKey)
    const fresh = knowing(contexts.guest, nothing)
    expect(code(carrier, { ...arrival, kind: 'goods-release' }, fresh)).toBe('UNKNOWN_KEY')
    expect(code(messages.transCarrier, arrival, fresh)).toBe('ok')
    expect(code(carrier, { ...arrival, kind: 'goods-release' }, fresh)).toBe('ok')
  })
  test('but not when the carrier is sealed by another', () => {
    const carrier = network.carry('transaction-details', mpp, guest.token, messages.trans, guest.sealing.publicKey)
    expect(code(carrier, { ...arrival, fromHost: mpp.id }, stranger)).toBe('UNKNOWN_KEY')
    expect(code(carrier, { ...arrival, fromHost: mpp.id }, contexts.guest)).toBe('KEY_NOT_OF_SENDER')
  })
})

describe('a decision nested in its countersignature', () => {
  const arrival = { toRole: 'cpp', kind: 'countersigned-decision', fromHost: 'hu-dc-1' } as const
  const withoutMerchant: OpenContext['lookupKey'] = (keyId) =>
    equalBytes(keyId, merchant.signing.keyId) ? undefined : network.records.get(String.fromCharCode(...keyId))
  test('waits for the merchant’s credential, and names its key', () => {
    const opened = openFrame(messages.countersigned, arrival, knowing(contexts.cpp, withoutMerchant))
    expect(opened).toMatchObject({
      ok: false,
      failure: { code: 'UNKNOWN_KEY' },
      about: { authenticated: true, missing: { keyId: merchant.signing.keyId } },
    })
  })
  test('waits for nothing when this very message was taken before: its answer is due, and nothing in it is judged again', () => {
    const parsed = parseFrame(messages.countersigned)
    const wasTaken: NonNullable<OpenContext['wasTaken']> = (kind, { digest }) =>
      kind === 'countersigned-decision' && parsed.ok && equalBytes(digest, parsed.value.digest)
    const opened = openFrame(messages.countersigned, arrival, {
      ...knowing(contexts.cpp, withoutMerchant),
      wasTaken,
    })
    expect(opened).toMatchObject({
      ok: true,
      value: { nested: { merchantDecision: { ok: false, failure: { code: 'UNKNOWN_KEY' } } } },
    })
    // Of any other message nothing is assumed.
    const others = { ...knowing(contexts.cpp, withoutMerchant), wasTaken: () => false }
    expect(code(messages.countersigned, arrival, others)).toBe('UNKNOWN_KEY')
  })
  test('opens once a TRANS has shown it', () => {
    const context = knowing(contexts.cpp, withoutMerchant)
    expect(openNested(messages.trans, ['transaction-details'], context).ok).toBe(true)
    expect(code(messages.countersigned, arrival, context)).toBe('ok')
  })
  test('but what a chain showed does not let its host speak directly', () => {
    const context = knowing(contexts.mpp, withoutMerchant)
    expect(openNested(messages.trans, ['transaction-details'], context).ok).toBe(true)
    expect(code(messages.decision, { toRole: 'mpp', kind: 'payment-decision', fromHost: merchant.id }, context)).toBe(
      'UNKNOWN_KEY',
    )
  })
  test('with a broken seal fails its own field, not the message', () => {
    const spoilt = messages.decision.slice()
    spoilt[spoilt.length - 1] = (spoilt.at(-1) as number) ^ 1
    const frame = sealOne(
      network.content('countersigned-decision', mpp.id, cpp.id, {
        pnId: sampleId('pnId'),
        payee: 'hu-bakery',
        noticeDigest: messages.noticeContent.digest,
        decision: 'approve',
        merchantDecision: spoilt,
      }),
      mpp.signing,
    )
    expect(openFrame(frame, arrival, contexts.cpp)).toMatchObject({
      ok: true,
      value: { nested: { merchantDecision: { ok: false, failure: { code: 'BAD_SIGNATURE' } } } },
    })
  })
})

describe('a nested frame', () => {
  test('nests ever less: opening one comes to an end', () => {
    const depth = (kind: KindName, above: readonly KindName[]): number => {
      if (above.includes(kind)) throw new Error(`${kind} nests itself`)
      const inner = Object.values(kindRow(kind).nests).flat() as KindName[]
      return 1 + Math.max(0, ...inner.map((one) => depth(one, [...above, kind])))
    }
    expect(Math.max(...KIND_NAMES.map((kind) => depth(kind, [])))).toBe(2)
  })
  test.each<readonly [string, Uint8Array, FailureCode]>([
    ['of another kind', messages.decision, 'SCHEMA_VIOLATION'],
    [
      'of another network',
      createSampleMessages(createSampleNetwork(network.engine, 'elsewhere')).trans,
      'WRONG_NETWORK',
    ],
    ['that is a carrier', messages.transCarrier, 'NOT_CONFIDENTIAL'],
    ['that is noise', new Uint8Array(9), 'MALFORMED_FRAME'],
  ])('%s is refused', (_name, frame, expected) => {
    expect(openNested(frame, ['transaction-details'], contexts.cpp)).toMatchObject({
      ok: false,
      failure: { code: expected },
    })
  })
  test('is opened with keys that the caller vouches for', () => {
    const context = knowing(contexts.cpp, nothing)
    expect(openNested(messages.decision, ['payment-decision'], context)).toMatchObject({
      ok: false,
      failure: { code: 'UNKNOWN_KEY' },
    })
    expect(openNested(messages.decision, ['payment-decision'], withKeys(context, [merchant.record])).ok).toBe(true)
  })
})

describe('a refused frame', () => {
  const invalid = createInvalidFrames(network)
  test.each(invalid.map((row) => [row.name, row.code, row] as const))(
    '%s: %s',
    (_name, expected, { frame, arrival, as, revoked = [] }) => {
      const context = contexts[as]
      const trust = { ...context.trust, isRevoked: (keyId: Uint8Array) => revoked.some((id) => equalBytes(id, keyId)) }
      expect(code(frame, arrival, { ...context, trust })).toBe(expected)
    },
  )
  test('covers every code that opening can give', () => {
    const judged = (Object.keys(FAILURES) as FailureCode[]).filter(
      (name) => FAILURES[name].number < 4_000 && name !== 'UNKNOWN_DESTINATION',
    )
    const covered = new Set(invalid.map((row) => row.code))
    expect(judged.filter((name) => !covered.has(name))).toEqual([])
  })
  test('is answered only when its seal was verified', () => {
    const before: readonly FailureCode[] = [
      'FRAME_TOO_LARGE',
      'MALFORMED_FRAME',
      'MALFORMED_HEADER',
      'MALFORMED_SEAL',
      'WRONG_NETWORK',
      'BAD_KEY',
      'BAD_SIGNATURE',
      'BAD_PROOF',
      'CREDENTIAL_REVOKED',
    ]
    const after: readonly FailureCode[] = [
      'UNKNOWN_KIND',
      'DECRYPTION_FAILED',
      'NOT_CONFIDENTIAL',
      'CREDENTIAL_EXPIRED',
      'CREDENTIAL_NOT_YET_VALID',
      'WRONG_ROLE',
      'WRONG_ADDRESSEE',
      'MALFORMED_BODY',
      'SCHEMA_VIOLATION',
      'DUPLICATE_KEY',
      'FLOAT_FORBIDDEN',
      'TOO_DEEP',
      'EXTENSION_FORBIDDEN',
      'TRAILING_BYTES',
    ]
    const known = (codes: readonly FailureCode[]) =>
      invalid
        .filter((row) => codes.includes(row.code) && row.revoked === undefined)
        .map(({ name, frame, arrival, as }) => {
          const opened = openFrame(frame, arrival, contexts[as])
          return { name, about: opened.ok ? undefined : opened.about }
        })
    for (const { name, about } of known(before)) expect([name, about?.authenticated]).toEqual([name, false])
    for (const { name, about } of known(after))
      expect([name, about?.authenticated, about?.digest?.length]).toEqual([name, true, 32])
  })
  test('names no customer whose device key is not known: asking for it would tell who pays', () => {
    const hostsOnly: OpenContext['lookupKey'] = (keyId, from) =>
      from === network.wallet.id ? contexts.cpp.lookupKey(keyId, from) : undefined
    const opened = openFrame(
      messages.paymentRequestCarrier,
      { toRole: 'cpp', kind: 'payment-request', fromHost: network.wallet.id },
      knowing(contexts.cpp, hostsOnly),
    )
    expect(opened).toMatchObject({ ok: false, failure: { code: 'UNKNOWN_KEY' } })
    expect(opened.ok ? 'opened' : opened.about.missing).toBeUndefined()
  })

  test('names the key or the host whose credential is missing', () => {
    const missing = (name: string) => {
      const row = invalid.find((one) => one.name === name)
      if (row === undefined) throw new Error(name)
      const opened = openFrame(row.frame, row.arrival, contexts[row.as])
      return opened.ok ? undefined : opened.about.missing
    }
    expect(missing('sealed with an unknown key')).toHaveProperty('keyId')
    expect(missing('brought by an unknown host')).toEqual({ id: 'hu-dc-7' })
  })
  test('from any bit of a batch-sealed, relayed message flipped', () => {
    const [frame] = sealBatch([messages.delayedContent, messages.noticeContent], cpp.signing, seededRandom('bits')) as [
      Uint8Array,
    ]
    const arrival = { toRole: 'mpp', kind: 'delayed-transfer-confirmation', fromHost: 'hu-dc-1' } as const
    expect(code(frame, arrival, contexts.mpp)).toBe('ok')
    for (let i = 0; i < frame.length; i++)
      for (let bit = 0; bit < 8; bit++) {
        const spoilt = frame.slice()
        spoilt[i] = (spoilt[i] as number) ^ (1 << bit)
        expect(code(spoilt, arrival, contexts.mpp)).not.toBe('ok')
      }
  })
})
