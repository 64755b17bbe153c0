import { describe, expect, test } from 'vitest'
import { loadEngine } from '../../protocol/engines/load.ts'
import { failure, type FailureCode } from '../../protocol/failures.ts'
import type { Body, KindName } from '../../protocol/kinds.ts'
import { issuePayee } from '../../protocol/statements.ts'
import { createSampleNetwork, NOW as SAMPLE_NOW } from '../../protocol/testing/sample-network.ts'
import { verifyChain, verifyMerchantChain, type VerifiedChain } from '../../protocol/credentials.ts'
import type { Context, Decision, Incoming } from '../runtime/node.ts'
import { credentialIdTable, credentialTable } from '../runtime/runtime-tables.ts'
import { keyOf } from '../runtime/table.ts'
import { context, incoming, TEST_NOW_MS, testId, testLedger, type TestLedger } from '../runtime/testing.ts'
import { dataCenterDefinition } from './definition.ts'
import type { DataCenterPolicy } from './policy.ts'
import type { DirectoryRows } from './reports.ts'
import { ALIASES, CREDENTIALS, CURRENT, PAYEES, PEERS, PROCESSORS } from './state.ts'

const sample = createSampleNetwork(loadEngine())
const unrevoked = { isRevoked: () => false, isChainRevoked: () => false, siblings: [] }
const definition = dataCenterDefinition({
  ...unrevoked,
  chain: () => sample.dc.chain,
  verifyPayeeChain: (chain, payee, atMs) => verifyMerchantChain(sample.trust, chain, payee, atMs),
  peerRealms: [],
})

type Handler = (read: TestLedger, event: unknown, context: Context<DataCenterPolicy>) => Decision
const handlers = ({ messages }: typeof definition) => messages as unknown as Readonly<Record<string, Handler>>
const world = () => {
  const ledger = testLedger()
  let events = 0
  const self = {
    ledger,
    nowMs: TEST_NOW_MS,
    context: () =>
      context({
        self: { id: 'hu-dc-1', role: 'dc' as const },
        policy: { peerRealms: ['at', 'ro'] },
        nowMs: self.nowMs,
        seed: `event ${(events += 1)}`,
      }),
    take: <K extends KindName>(message: Incoming<K>): Decision => {
      const made = (handlers(definition)[message.message.kind] as Handler)(ledger, message, self.context())
      ledger.apply(made)
      return made
    },
  }
  return self
}

const verified = (chain: readonly Uint8Array[]): VerifiedChain => {
  const result = verifyChain(sample.trust, chain, SAMPLE_NOW)
  if (!result.ok) throw new Error(result.failure.code)
  return result.value
}
const showing = <K extends KindName>(message: Incoming<K>, chain: VerifiedChain | undefined): Incoming<K> =>
  ({ ...message, message: { ...message.message, chain } }) as unknown as Incoming<K>

let registrations = 0
const processor = (
  host: { readonly id: string; readonly role: string; readonly chain: readonly Uint8Array[] },
  version: number,
  chain: VerifiedChain | undefined = verified(host.chain),
) =>
  showing(
    incoming(
      'processor-registration',
      {
        registrationId: testId(`registration ${(registrations += 1)}`),
        version,
        chain: [...host.chain],
        accepts: [{ kind: 11, versions: [1] }],
      },
      { role: host.role as 'cpp', from: host.id },
    ),
    chain,
  )

const payee = (version: number, parts: Partial<Body<'payee-registration'>> = {}, from = sample.mpp.id) =>
  incoming(
    'payee-registration',
    {
      registrationId: testId(`registration ${(registrations += 1)}`),
      payee: 'hu-bakery',
      version,
      state: 'active',
      host: sample.merchant.id,
      chain: [...sample.merchantChain],
      ...parts,
    },
    { from },
  )

const alias = (version: number, parts: Partial<Body<'alias-registration'>> = {}, from = 'hu-otp') =>
  incoming(
    'alias-registration',
    {
      registrationId: testId(`registration ${(registrations += 1)}`),
      alias: 'hu-anna-pays',
      version,
      state: 'active',
      ...parts,
    },
    { from },
  )

const codeOf = (made: Decision): FailureCode | undefined => made.refuse?.code
const unchanged = (made: Decision) => expect([made.writes, made.sends]).toEqual([[], []])

describe('a processor', () => {
  test('is registered with its key and receipted', () => {
    const on = world()
    const message = processor(sample.cpp, 5)
    expect(on.take(message).sends).toEqual([
      { kind: 'receipt', to: 'hu-otp', body: { digest: message.message.digest }, delivery: { answers: message.ref } },
    ])
    expect(on.ledger.get(PROCESSORS, 'hu-otp')).toMatchObject({ role: 'cpp', version: 5, accepts: [[11, [1]]] })
  })

  const old = () => {
    const on = world()
    on.take(processor(sample.cpp, 5))
    return on
  }
  test.each([
    ['without a chain', 'BROKEN_CHAIN', () => showing(processor(sample.cpp, 6), undefined), old()],
    [
      'that is a host',
      'BROKEN_CHAIN',
      () => processor({ ...sample.cpp, chain: sample.wallet.chain }, 6, verified(sample.wallet.chain)),
      old(),
    ],
    ['with the chain of another', 'BROKEN_CHAIN', () => processor(sample.cpp, 6, verified(sample.mpp.chain)), old()],
    ['of an older version', 'REGISTRATION_STALE', () => processor(sample.cpp, 4), old()],
  ] as const)('%s is refused with %s', (_, code, make, on) => {
    const made = on.take(make())
    expect(codeOf(made)).toBe(code)
    unchanged(made)
    expect(on.ledger.get(PROCESSORS, 'hu-otp')?.version).toBe(5)
  })

  test('of the same version with the same key is receipted again; with another key it is stale', () => {
    const on = old()
    expect(codeOf(on.take(processor(sample.cpp, 5)))).toBeUndefined()
    const chain = verified(sample.cpp.chain)
    const other = { ...chain, processorKey: { ...chain.processorKey, keyId: testId('other key') } }
    expect(codeOf(on.take(processor(sample.cpp, 5, other)))).toBe('REGISTRATION_STALE')
  })

  test('may not take the name of a processor of another role', () => {
    const on = old()
    const chain = verified(sample.cpp.chain)
    expect(
      codeOf(on.take(processor(sample.cpp, 9, { ...chain, processor: { ...chain.processor, role: 'mpp' } }))),
    ).toBe('NAME_TAKEN')
  })

  test.each([
    ['cpp', 'ENROLMENT_REFUSED'],
    ['mpp', 'ENROLMENT_REFUSED'],
    ['bank', undefined],
    ['dc', undefined],
  ] as const)('of another realm, a %s: %s', (role, code) => {
    const on = world()
    const chain = verified(sample.peerDc.chain)
    const made = on.take(processor(sample.peerDc, 1, { ...chain, processor: { ...chain.processor, role } }))
    expect(codeOf(made)).toBe(code)
  })
})

describe('a payee', () => {
  test('is listed with its MPP, host and chain, and its MPP is receipted', () => {
    const on = world()
    const message = payee(3)
    expect(on.take(message).sends).toEqual([
      { kind: 'receipt', to: 'hu-cosmo', body: { digest: message.message.digest }, delivery: { answers: message.ref } },
    ])
    expect(on.ledger.get(PAYEES, 'hu-bakery')).toMatchObject({
      mpp: 'hu-cosmo',
      host: 'hu-shop-1',
      version: 3,
      state: 'active',
    })
    // The runtime can verify what this host seals.
    const key = on.ledger.get(credentialIdTable, 'hu-shop-1')?.keyId as Uint8Array
    expect(key).toEqual(sample.merchant.record.keyId)
    expect(on.ledger.get(credentialTable, key)).toMatchObject({ id: 'hu-shop-1', chain: sample.merchant.chain })
  })

  const forged = issuePayee(
    sample.engine,
    {
      networkId: sample.networkId,
      payee: 'hu-bakery',
      host: 'hu-shop-1',
      account: 'hu-kh:thief',
      currency: 'EUR',
      payeeKind: 'shop',
      displayName: 'Bakery',
      serial: 2,
    },
    sample.cpp.signing,
  )
  const rows: readonly (readonly [string, FailureCode, Incoming<'payee-registration'>])[] = [
    ['of another realm', 'ENROLMENT_REFUSED', payee(9, { payee: 'ro-bakery' })],
    ['whose credential somebody else signed', 'BROKEN_CHAIN', payee(9, { chain: [...sample.merchant.chain, forged] })],
    ['with the chain of another payee', 'BROKEN_CHAIN', payee(9, { payee: 'hu-kiosk' })],
    ['without its credential', 'BROKEN_CHAIN', payee(9, { chain: [...sample.merchant.chain] })],
    ['registered by another MPP', 'BROKEN_CHAIN', payee(9, {}, 'hu-other')],
    ['at another host than its chain says', 'BROKEN_CHAIN', payee(9, { host: 'hu-shop-2' })],
    ['of the version registered', 'REGISTRATION_STALE', payee(3)],
    ['of an older version', 'REGISTRATION_STALE', payee(2, { state: 'retired' })],
  ]
  test.each(rows)('%s is refused with %s and changes nothing', (_, code, message) => {
    const on = world()
    on.take(payee(3))
    const before = on.ledger.get(PAYEES, 'hu-bakery')
    const made = on.take(message)
    expect(codeOf(made)).toBe(code)
    unchanged(made)
    expect(on.ledger.get(PAYEES, 'hu-bakery')).toEqual(before)
  })

  test('that has left keeps its row: nothing old brings it back', () => {
    const on = world()
    on.take(payee(3))
    on.take(payee(4, { state: 'retired' }))
    expect(codeOf(on.take(payee(3)))).toBe('REGISTRATION_STALE')
    expect(on.ledger.get(PAYEES, 'hu-bakery')).toMatchObject({ state: 'retired', version: 4 })
    on.take(payee(5))
    expect(on.ledger.get(PAYEES, 'hu-bakery')).toMatchObject({ state: 'active', version: 5 })
  })

  test('by a chain of its MPP’s former key leaves the newer key the current one', () => {
    const on = world()
    const newer = testId('newer key of the MPP')
    on.ledger.put(CURRENT, keyOf('hu-cosmo'), { keyId: newer, notBeforeMs: 0, serial: 99 })
    on.take(payee(3))
    expect(on.ledger.get(CURRENT, 'hu-cosmo')?.keyId).toEqual(newer)
    // The first to show a key of the host makes it the current one.
    expect(on.ledger.get(CURRENT, 'hu-shop-1')?.serial).toBeGreaterThan(0)
  })

  describe('and a second MPP of the realm', () => {
    // Chains as the second MPP would have them: the signature check is of the tests above.
    const two = dataCenterDefinition({
      ...unrevoked,
      chain: () => [],
      peerRealms: [],
      verifyPayeeChain: (_, name) => {
        const chain = verifyMerchantChain(sample.trust, sample.merchantChain, name, SAMPLE_NOW)
        return chain.ok
          ? { ok: true, value: { ...chain.value, mpp: { ...chain.value.mpp, id: 'hu-second' } } }
          : { ok: false, failure: failure('BROKEN_CHAIN') }
      },
    })
    const second = (on: ReturnType<typeof world>, version: number, state: 'active' | 'retired' = 'active') => {
      const made = (handlers(two)['payee-registration'] as Handler)(
        on.ledger,
        payee(version, { state }, 'hu-second'),
        on.context(),
      )
      on.ledger.apply(made)
      return made
    }
    test('cannot take the name while it is active', () => {
      const on = world()
      on.take(payee(3))
      const made = second(on, 9)
      expect(codeOf(made)).toBe('NAME_TAKEN')
      unchanged(made)
    })
    test('may take it once it is retired, whatever number it counts from; the first then cannot take it back', () => {
      const on = world()
      on.take(payee(3))
      on.take(payee(4, { state: 'retired' }))
      expect(codeOf(second(on, 1))).toBeUndefined()
      expect(on.ledger.get(PAYEES, 'hu-bakery')).toMatchObject({ mpp: 'hu-second', state: 'active' })
      expect(codeOf(on.take(payee(5)))).toBe('NAME_TAKEN')
      expect(codeOf(on.take(payee(5, { state: 'retired' })))).toBe('NAME_TAKEN')
    })
    test('that retires a name it never had changes no row', () => {
      const on = world()
      on.take(payee(3))
      on.take(payee(4, { state: 'retired' }))
      second(on, 1, 'retired')
      expect(on.ledger.get(PAYEES, 'hu-bakery')?.mpp).toBe('hu-cosmo')
    })
  })
})

describe('an alias', () => {
  test('is listed with its CPP and receipted', () => {
    const on = world()
    const message = alias(1)
    expect(on.take(message).sends).toHaveLength(1)
    expect(on.ledger.get(ALIASES, 'hu-anna-pays')).toMatchObject({ cpp: 'hu-otp', state: 'active' })
  })
  test.each([
    ['of another realm', 'ENROLMENT_REFUSED', alias(9, { alias: 'ro-anna-pays' })],
    ['of a CPP of another realm', 'ENROLMENT_REFUSED', alias(9, {}, 'ro-libra')],
    ['that another CPP holds', 'NAME_TAKEN', alias(9, {}, 'hu-second')],
    ['that another CPP wants to retire', 'NAME_TAKEN', alias(9, { state: 'retired' }, 'hu-second')],
    ['of the version registered', 'REGISTRATION_STALE', alias(3)],
  ] as const)('%s is refused with %s', (_, code, message) => {
    const on = world()
    on.take(alias(3))
    const made = on.take(message)
    expect(codeOf(made)).toBe(code)
    unchanged(made)
  })
  test('that was retired stays so against older versions, and may go to another CPP', () => {
    const on = world()
    on.take(alias(3))
    on.take(alias(4, { state: 'retired' }))
    expect(codeOf(on.take(alias(3)))).toBe('REGISTRATION_STALE')
    expect(codeOf(on.take(alias(1, {}, 'hu-second')))).toBeUndefined()
    expect(on.ledger.get(ALIASES, 'hu-anna-pays')).toMatchObject({ cpp: 'hu-second', state: 'active' })
  })
})

describe('a guest', () => {
  const lookup = (name: string) =>
    incoming('payee-lookup', { payee: name }, { role: 'guest', host: `U${'A'.repeat(55)}` })
  test('who looks a payee up gets its whole chain, under its token', () => {
    const on = world()
    on.take(payee(3))
    const message = lookup('hu-bakery')
    expect(on.take(message).sends).toEqual([
      {
        kind: 'payee-record',
        to: `U${'A'.repeat(55)}`,
        body: { payee: 'hu-bakery', mpp: 'hu-cosmo', host: 'hu-shop-1', version: 3, chain: sample.merchantChain },
        delivery: { answers: message.ref },
      },
    ])
  })
  test.each(['hu-nobody', 'hu-left', 'ro-bakery'])('gets no answer but NOT_FOUND for %s', (name) => {
    const on = world()
    on.ledger.put(PAYEES, keyOf('hu-left'), {
      payee: 'hu-left',
      mpp: 'hu-cosmo',
      host: 'hu-shop-1',
      version: 1,
      state: 'retired',
      chain: [],
      changedAtMs: 0,
    })
    expect(codeOf(on.take(lookup(name)))).toBe('NOT_FOUND')
  })
})

describe('a question for a credential', () => {
  const ask = (id: string, parts: { keyId?: Uint8Array; from?: string; role?: 'cpp' | 'dc' } = {}) =>
    incoming(
      'credential-query',
      { id, chain: [...sample.cpp.chain], ...(parts.keyId === undefined ? {} : { keyId: parts.keyId }) },
      { role: parts.role ?? 'cpp', from: parts.from ?? 'hu-otp' },
    )
  const chainOf = (made: Decision) =>
    made.sends.map((send) => ('kind' in send && send.kind === 'credential-record' ? send.body.chain : undefined))

  test('is answered for what was shown here: processors and merchant hosts, by id or by key', () => {
    const on = world()
    on.take(processor(sample.mpp, 1))
    on.take(payee(1))
    expect(chainOf(on.take(ask('hu-cosmo')))).toEqual([sample.mpp.chain])
    expect(chainOf(on.take(ask('hu-shop-1')))).toEqual([sample.merchant.chain])
    expect(chainOf(on.take(ask('hu-shop-1', { keyId: sample.merchant.record.keyId })))).toEqual([sample.merchant.chain])
    // The key of a nested frame, asked for by the id of the frame around it.
    expect(chainOf(on.take(ask('hu-cosmo', { keyId: sample.merchant.record.keyId })))).toEqual([sample.merchant.chain])
  })

  test('by key is answered for a key that is no longer current', () => {
    const on = world()
    on.take(processor(sample.cpp, 1))
    on.ledger.put(CREDENTIALS, testId('old key'), { id: 'hu-otp', chain: [new Uint8Array([1])], shownAtMs: 0 })
    expect(chainOf(on.take(ask('hu-otp', { keyId: testId('old key') })))).toEqual([[new Uint8Array([1])]])
  })

  test.each([
    ['an id of this realm that nobody showed', ask('hu-nobody')],
    ['a key that nobody showed', ask('hu-cosmo', { keyId: sample.cpp.record.keyId })],
    ['an id of a realm that is no peer', ask('xx-otp')],
    ['an id of a peer realm, asked by a data center', ask('at-otp', { from: 'ro-dc-1', role: 'dc' })],
  ])('is refused, to be asked again, for %s', (_, message) => {
    const on = world()
    on.take(processor(sample.mpp, 1))
    const made = on.take(message)
    expect(codeOf(made)).toBe('UNKNOWN_DESTINATION')
    unchanged(made)
  })

  test('of a peer realm is asked there, and answered from what came back', () => {
    const on = world()
    expect(on.take(ask('at-otp')).sends).toEqual([
      {
        kind: 'credential-query',
        to: 'at-dc',
        body: { id: 'at-otp', chain: sample.dc.chain },
        delivery: { once: true },
      },
    ])
    // What the runtime does when the peer's record comes.
    on.ledger.put(credentialTable, testId('key'), { id: 'at-otp', chain: [new Uint8Array([7])], learnedAtMs: 0 })
    on.ledger.put(credentialIdTable, keyOf('at-otp'), { keyId: testId('key') })
    expect(chainOf(on.take(ask('at-otp')))).toEqual([[new Uint8Array([7])]])
    expect(chainOf(on.take(ask('at-otp', { keyId: testId('key') })))).toEqual([[new Uint8Array([7])]])
  })
})

describe('at its start a data center', () => {
  test('shows itself to each peer realm until it is receipted, under a version that rises', () => {
    const on = world()
    const start = () => {
      const made = definition.started(on.ledger, {}, on.context())
      on.ledger.apply(made)
      return made.sends.map((send) =>
        'kind' in send && send.kind === 'processor-registration'
          ? [send.to, send.body.version, send.delivery]
          : undefined,
      )
    }
    expect(start()).toEqual([
      ['at-dc', TEST_NOW_MS, { until: ['registration', 'at'] }],
      ['ro-dc', TEST_NOW_MS, { until: ['registration', 'ro'] }],
    ])
    on.ledger.apply(
      definition.receipted(
        on.ledger,
        { kind: 'processor-registration', key: keyOf('registration', 'at') },
        on.context(),
      ),
    )
    expect(on.ledger.get(PEERS, 'at')?.receiptedAtMs).toBe(TEST_NOW_MS)
    expect(on.ledger.get(PEERS, 'ro')?.receiptedAtMs).toBeUndefined()
    expect(start().map((sent) => sent?.[1])).toEqual([TEST_NOW_MS + 1, TEST_NOW_MS + 1])
  })
})

test('the report counts what is active; the directory lists every row, page by page', () => {
  const on = world()
  const row = (name: string, state: 'active' | 'retired') => ({
    payee: name,
    mpp: 'hu-cosmo',
    host: 'hu-shop-1',
    version: 1,
    state,
    chain: [],
    changedAtMs: 0,
  })
  for (let i = 0; i < 7; i++) on.ledger.put(PAYEES, keyOf(`hu-p${i}`), row(`hu-p${i}`, i === 3 ? 'retired' : 'active'))
  on.take(alias(1))
  on.take(processor(sample.cpp, 1))
  expect(definition.reads['report']?.(on.ledger, {}, on.context())).toEqual({
    role: 'dc',
    id: 'hu-dc-1',
    payees: 6,
    aliases: 1,
    processors: 1,
  })
  const page = (args: Record<string, unknown>) =>
    definition.reads['directory']?.(on.ledger, args, on.context()) as DirectoryRows
  const names: string[] = []
  let after: string | undefined
  do {
    const { rows, next } = page({ limit: 3, ...(after === undefined ? {} : { after }) })
    names.push(...rows.map(({ name }) => name))
    after = next
  } while (after !== undefined)
  expect(names).toEqual(Array.from({ length: 7 }, (_, i) => `hu-p${i}`))
  expect(page({ of: 'aliases' }).rows).toEqual([{ name: 'hu-anna-pays', version: 1, state: 'active', at: 'hu-otp' }])
  expect(page({ of: 'processors' }).rows).toMatchObject([{ name: 'hu-otp', at: 'cpp' }])
})
