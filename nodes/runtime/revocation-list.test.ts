/** The revocation list of one host: what replaces it, what outlives a restart, and that no cache lets a key on it through. */
import { beforeEach, describe, expect, it } from 'vitest'
import { LOST } from '../../bus/simulated-bus.ts'
import { toHex } from '../../protocol/bytes.ts'
import { encodeBody } from '../../protocol/codec.ts'
import { makeContent } from '../../protocol/envelope.ts'
import { ENVELOPE_VERSION } from '../../protocol/header.ts'
import { networkIdOf, type SigningKey } from '../../protocol/keys.ts'
import type { Body, KindName } from '../../protocol/kinds.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { sealBatch } from '../../protocol/seals.ts'
import { issueRevocationList } from '../../protocol/statements.ts'
import { formatSubject, parseSubject } from '../../protocol/subjects.ts'
import { dataCenter } from '../data-center/definition.ts'
import { bareDefinition } from './bare-definition.ts'
import { createBuiltins } from './builtins.ts'
import type { Answer } from './host-types.ts'
import type { Log } from './log.ts'
import { decision, type Revoked } from './node.ts'
import { credentialTable } from './runtime-tables.ts'
import { createSimNetwork, seededRandom } from './sim-network.ts'
import { testBytes, testId } from './testing.ts'

const random = seededRandom('revocation list')

/** A data center, a CPP with a wallet host, an MPP with a merchant host: bare nodes, so that all there is to see is the runtime's. */
const network = async () => {
  const lines: { readonly host: string; readonly level: string; readonly text: string; readonly code: unknown }[] = []
  const told: Revoked[] = []
  const log = (host: string): Log => ({
    write: (level, text, fields = {}) => lines.push({ host, level, text, code: fields['code'] }),
    of: (_, level, text, { code }) => lines.push({ host, level, text, code }),
  })
  const sim = createSimNetwork({ log })
  const dc = await sim.add({ id: 'hu-dc-1', role: 'dc', define: dataCenter, policy: { peerRealms: [] } })
  const cpp = await sim.add({
    id: 'hu-otp',
    role: 'cpp',
    define: () =>
      bareDefinition('cpp', {
        messages: { 'countersigned-decision': () => decision({ record: { event: 'obeyed', ids: [] } }) },
        controls: {
          tell: () =>
            decision({
              sends: [
                {
                  kind: 'customer-payment-outcome',
                  to: 'hu-wallet-1',
                  body: { prId: testId('pr'), outcome: 'expired', code: 6015, detail: '', decidedAtMs: 0 },
                  delivery: { until: ['told'] },
                },
              ],
            }),
        },
        revoked: (_, event) => {
          told.push(event)
          return decision()
        },
      }),
  })
  const mpp = await sim.add({ id: 'hu-cosmo', role: 'mpp', define: () => bareDefinition('mpp') })
  const shop = await sim.add({
    id: 'hu-shop-1',
    role: 'merchant',
    certifiedBy: ['hu-cosmo'],
    define: () => bareDefinition('merchant'),
  })
  const wallet = await sim.add({
    id: 'hu-wallet-1',
    role: 'customer',
    certifiedBy: ['hu-otp'],
    define: () => bareDefinition('customer', { messages: { 'customer-payment-outcome': () => decision() } }),
  })
  await sim.run()
  const networkId = networkIdOf(sim.root.publicKey)
  const listOf = (
    version: number,
    keys: readonly SigningKey[],
    change: { readonly by?: SigningKey; readonly networkId?: Uint8Array } = {},
  ): Uint8Array =>
    issueRevocationList(
      sim.engine,
      {
        networkId: change.networkId ?? networkId,
        version,
        revoked: keys.map(({ keyId }) => keyId),
        issuedAtMs: sim.now(),
      },
      change.by ?? sim.root,
    )
  const give = async (id: string, list: Uint8Array): Promise<Answer> => {
    const answer = sim.host(id).host().revocations(list)
    await sim.run()
    return await answer
  }
  /** Frames of one host, in one batch. */
  const frames = <K extends KindName>(
    kind: K,
    from: string,
    to: string,
    bodies: readonly Body<K>[],
    sentAtMs = sim.now(),
  ): readonly Uint8Array[] =>
    sealBatch(
      bodies.map((body) =>
        makeContent(
          {
            version: ENVELOPE_VERSION,
            networkId,
            kind,
            bodyVersion: 1,
            messageId: random.bytes(16),
            from,
            to,
            sentAtMs,
            expiresAtMs: undefined,
            correlationId: undefined,
            bodyForm: 'plain',
          },
          encodeBody(kind, body as never),
        ),
      ),
      sim.host(from).identity.signing,
      random.bytes,
    )
  const put = async (kind: KindName, via: string, to: string, frame: Uint8Array): Promise<void> => {
    const toRole = sim.host(to).identity.role
    sim.network.inject('someone', formatSubject({ toRole, toHost: to, kind, fromHost: via }), frame)
    await sim.run()
  }
  /** Has the data center know this host's chain. */
  const show = async (id: string): Promise<void> => {
    const chain = [...(sim.host(id).identity.chains[0] as readonly Uint8Array[])]
    const [query] = frames('credential-query', id, 'hu-dc', [{ id, chain }])
    await put('credential-query', id, 'hu-dc-1', query as Uint8Array)
  }
  const versionAt = (id: string): number => sim.host(id).host().revocationStatus().revocationListVersion
  const codesAt = (id: string) =>
    lines.filter(({ host, code }) => host === id && code !== undefined).map(({ code }) => code)
  return { sim, lines, told, dc, cpp, mpp, shop, wallet, listOf, give, frames, put, show, versionAt, codesAt }
}

let net: Awaited<ReturnType<typeof network>>
beforeEach(async () => {
  net = await network()
})
const decided = (pn: string): Body<'countersigned-decision'> => ({
  pnId: testId(pn),
  payee: 'hu-bakery',
  noticeDigest: testBytes(pn),
  decision: 'reject',
})
const obeyed = (): number => net.lines.filter(({ text }) => text === 'obeyed').length

describe('a revocation list', () => {
  it.each([
    ['of an older version', 'REGISTRATION_STALE', () => net.listOf(4, [])],
    ['of the same version, but another', 'REGISTRATION_STALE', () => net.listOf(5, [])],
    ['that another key signed', 'BROKEN_CHAIN', () => net.listOf(6, [], { by: net.mpp.identity.signing })],
    ['for another network', 'WRONG_NETWORK', () => net.listOf(6, [], { networkId: new Uint8Array(16) })],
    ['that is noise', 'BROKEN_CHAIN', () => testBytes('noise')],
  ])(
    '%s is refused with %s, by the operator’s hand and from a data center, and changes nothing',
    async (_, code, list) => {
      await net.give('hu-otp', net.listOf(5, [net.mpp.identity.signing]))
      const before = await net.cpp.host().revocations()
      expect(await net.give('hu-otp', list())).toMatchObject({ ok: false, error: { code } })
      const [frame] = net.frames('revocation-record', 'hu-dc-1', 'hu-otp', [{ list: list() }])
      await net.put('revocation-record', 'hu-dc-1', 'hu-otp', frame as Uint8Array)
      expect(await net.cpp.host().revocations()).toEqual(before)
      expect(net.told.map(({ version }) => version)).toEqual([5])
    },
  )

  it('that is newer replaces the whole of an older one, and the node is told each once', async () => {
    const { mpp, shop } = net
    await net.give('hu-otp', net.listOf(1, [mpp.identity.signing]))
    await net.give('hu-otp', net.listOf(1, [mpp.identity.signing]))
    expect(await net.give('hu-otp', net.listOf(3, [shop.identity.signing]))).toMatchObject({
      ok: true,
      value: { version: 3, revoked: [toHex(shop.identity.signing.keyId)], receivedAtMs: net.sim.now() },
    })
    expect(net.told).toEqual([
      { version: 1, keyIds: [mpp.identity.signing.keyId] },
      { version: 3, keyIds: [shop.identity.signing.keyId] },
    ])
  })

  it('survives a power cut once it was answered for, and its time of arrival with it', async () => {
    const list = net.listOf(2, [net.mpp.identity.signing])
    await net.give('hu-otp', list)
    const before = await net.cpp.host().revocations()
    await net.cpp.crash()
    await net.cpp.restart()
    await net.sim.run()
    expect(await net.cpp.host().revocations()).toEqual(before)
    const [frame] = net.frames('countersigned-decision', 'hu-cosmo', 'hu-otp', [decided('pn')])
    await net.put('countersigned-decision', 'hu-dc-1', 'hu-otp', frame as Uint8Array)
    expect([obeyed(), net.codesAt('hu-otp')]).toEqual([0, ['CREDENTIAL_REVOKED']])
  })

  it('is what the builtin shows and takes, in hex', async () => {
    const builtins = createBuiltins(net.cpp.host(), { status: () => ({}), metrics: () => ({}) })
    const ask = async (name: string, args: Readonly<Record<string, unknown>> = {}) => {
      const answer = builtins({ form: 'builtin', name, args })
      await net.sim.run()
      return await answer
    }
    expect(await ask('revocations')).toEqual({
      ok: true,
      value: { version: 0, revoked: [], list: null, receivedAtMs: null },
    })
    for (const list of ['xy', 'abc', 7, ''])
      expect(await ask('revocations', { list })).toMatchObject({ ok: false, error: { code: 'BAD_ARGUMENTS' } })
    const list = toHex(net.listOf(1, [net.shop.identity.signing]))
    expect(await ask('revocations', { list })).toMatchObject({ ok: true, value: { version: 1, list } })
    expect(await ask('status')).toMatchObject({ ok: true, value: { revocationListVersion: 1, revokedKeys: 1 } })
  })

  it('grows old in the metrics when no data center confirms it, and a replayed answer makes it no younger', async () => {
    const { sim, cpp } = net
    const ageMs = () => cpp.host().revocationStatus().revocationListAgeMs
    const answers: Uint8Array[] = []
    // There is none yet, and the data center says so.
    expect(ageMs()).toBe(0)
    await net.give('hu-dc-1', net.listOf(1, [net.shop.identity.signing]))
    sim.setOnSend(({ subject, data }) => {
      const parsed = parseSubject(subject)
      if (parsed?.kind === 'revocation-record' && parsed.toHost === 'hu-otp') answers.push(data.slice())
      return { delaysMs: [0] }
    })
    await sim.advance(LIMITS.revocationPollMs)
    expect(net.versionAt('hu-otp')).toBe(1)
    expect(ageMs()).toBeLessThanOrEqual(LIMITS.revocationPollMs)
    sim.setOnSend(({ subject }) => (subject.includes('.revocation-') ? LOST : { delaysMs: [0] }))
    await sim.advance(60_000)
    expect(ageMs()).toBeGreaterThanOrEqual(60_000 - LIMITS.revocationPollMs)
    const [before, heard] = [ageMs(), cpp.host().metrics.value('received')]
    sim.setOnSend(undefined)
    await net.put('revocation-record', 'hu-dc-1', 'hu-otp', answers[0] as Uint8Array)
    expect([ageMs(), cpp.host().metrics.value('received')]).toEqual([before, heard + 1])
    await sim.advance(LIMITS.revocationPollMs)
    expect(ageMs()).toBeLessThanOrEqual(LIMITS.revocationPollMs)
  })

  it('is asked for without a trace in the ledger of the data center, nor of who asks', async () => {
    for (const { identity } of [net.wallet, net.shop, net.cpp, net.mpp])
      expect(net.dc.host().read.get(credentialTable, identity.signing.keyId)).toBeUndefined()
    const rows = () => [...net.dc.store().rows()].filter(({ table }) => table !== '~head').length
    const before = rows()
    await net.sim.advance(10 * LIMITS.revocationPollMs)
    expect(rows()).toBe(before)
    expect(net.dc.host().metrics.value('received')).toBeGreaterThan(30)
  })
})

describe('a revoked key', () => {
  const put = (frame: Uint8Array | undefined) =>
    net.put('countersigned-decision', 'hu-dc-1', 'hu-otp', frame as Uint8Array)

  it('is refused in a batch whose root was verified before', async () => {
    const [first, second] = net.frames('countersigned-decision', 'hu-cosmo', 'hu-otp', [decided('one'), decided('two')])
    const [query] = net.frames('credential-query', 'hu-cosmo', 'hu-dc', [
      { id: 'hu-cosmo', chain: [...(net.mpp.identity.chains[0] as Uint8Array[])] },
    ])
    // The data center, and through it the CPP, come to know the key.
    await net.put('credential-query', 'hu-cosmo', 'hu-dc-1', query as Uint8Array)
    await put(first)
    expect(obeyed()).toBe(1)
    await net.give('hu-otp', net.listOf(1, [net.mpp.identity.signing]))
    await put(second)
    expect([obeyed(), net.codesAt('hu-otp')]).toEqual([1, ['CREDENTIAL_REVOKED']])
    // And the first is not even told that it was seen.
    await put(first)
    expect(net.cpp.host().metrics.value('answersRepeated') + net.cpp.host().metrics.value('duplicates')).toBe(0)
  })

  it('is refused when the frame that it sealed waited for its credential', async () => {
    net.sim.setOnSend(({ subject }) =>
      subject.includes('.credential-record.') ? { delaysMs: [2_000] } : { delaysMs: [0] },
    )
    const [query] = net.frames('credential-query', 'hu-cosmo', 'hu-dc', [
      { id: 'hu-cosmo', chain: [...(net.mpp.identity.chains[0] as Uint8Array[])] },
    ])
    await net.put('credential-query', 'hu-cosmo', 'hu-dc-1', query as Uint8Array)
    await put(net.frames('countersigned-decision', 'hu-cosmo', 'hu-otp', [decided('pn')])[0])
    expect(net.cpp.host().depths()['parked']).toBe(1)
    await net.give('hu-otp', net.listOf(1, [net.mpp.identity.signing]))
    await net.sim.advance(5_000)
    expect(obeyed()).toBe(0)
  })

  it('takes the keys that it certified with it, known or not', async () => {
    const chain = [...(net.shop.identity.chains[0] as Uint8Array[])]
    const ask = () => net.frames('credential-query', 'hu-shop-1', 'hu-dc', [{ id: 'hu-otp', chain }])[0] as Uint8Array
    const receipt = () => net.frames('receipt', 'hu-shop-1', 'hu-cosmo', [{ digest: testBytes('x') }])[0] as Uint8Array
    const registration = net.frames('host-registration', 'hu-shop-1', 'hu-cosmo', [
      { registrationId: testId('r'), chain },
    ])[0] as Uint8Array
    await net.give('hu-dc-1', net.listOf(1, [net.mpp.identity.signing]))
    await net.give('hu-cosmo', net.listOf(1, [net.mpp.identity.signing]))
    await net.put('credential-query', 'hu-shop-1', 'hu-dc-1', ask())
    expect(net.codesAt('hu-dc-1').at(-1)).toBe('CREDENTIAL_REVOKED')
    await net.put('host-registration', 'hu-shop-1', 'hu-cosmo', registration)
    await net.put('receipt', 'hu-shop-1', 'hu-cosmo', receipt())
    expect(new Set(net.codesAt('hu-cosmo'))).toEqual(new Set(['CREDENTIAL_REVOKED']))
    expect(net.mpp.host().metrics.value('receiptsReceived')).toBe(0)
  })

  it('takes a key that it certified with it, though that one was learned before and is in every cache', async () => {
    const { sim, shop, mpp } = net
    const chain = [...(shop.identity.chains[0] as Uint8Array[])]
    const ask = () => net.frames('credential-query', 'hu-shop-1', 'hu-dc', [{ id: 'hu-otp', chain }])[0] as Uint8Array
    const refusal = () =>
      net.frames('refusal', 'hu-shop-1', 'hu-cosmo', [
        { digest: testBytes('x'), code: 6015, detail: '' },
      ])[0] as Uint8Array
    await net.put('credential-query', 'hu-shop-1', 'hu-dc-1', ask())
    await net.put('refusal', 'hu-shop-1', 'hu-cosmo', refusal())
    await sim.advance(2_000)
    await net.put('refusal', 'hu-shop-1', 'hu-cosmo', refusal())
    const before = mpp.host().metrics.value('refusalsReceived')
    expect(before).toBeGreaterThan(0)
    await net.give('hu-cosmo', net.listOf(1, [mpp.identity.signing]))
    await net.put('refusal', 'hu-shop-1', 'hu-cosmo', refusal())
    expect(mpp.host().metrics.value('refusalsReceived')).toBe(before)
    expect(net.codesAt('hu-cosmo').at(-1)).toBe('CREDENTIAL_REVOKED')
    // Not by what a restart reads again either.
    await mpp.crash()
    await mpp.restart()
    await sim.run()
    const [heard, refused] = [mpp.host().metrics.value('refusalsReceived'), net.codesAt('hu-cosmo').length]
    await net.put('refusal', 'hu-shop-1', 'hu-cosmo', refusal())
    expect(mpp.host().metrics.value('refusalsReceived')).toBe(heard)
    expect(net.codesAt('hu-cosmo').slice(refused)).toEqual(['CREDENTIAL_REVOKED'])
  })

  it('leaves a host that another processor certified as well: it asks, and is known, by the chain that holds', async () => {
    const { sim } = net
    const erste = await sim.add({ id: 'hu-erste', role: 'cpp', define: () => bareDefinition('cpp') })
    await sim.add({
      id: 'hu-wallet-2',
      role: 'customer',
      certifiedBy: ['hu-otp', 'hu-erste'],
      define: () => bareDefinition('customer'),
    })
    await sim.run()
    await net.give('hu-dc-1', net.listOf(1, [net.cpp.identity.signing]))
    await sim.advance(2 * LIMITS.revocationPollMs)
    expect([net.versionAt('hu-wallet-2'), net.versionAt('hu-erste')]).toEqual([1, 1])
    expect(erste.fatal()).toBeUndefined()
  })

  it('is not encrypted to: what is for its host waits for the next', async () => {
    const { sim, wallet } = net
    const carried: string[] = []
    sim.setOnSend(({ subject }) => {
      if (subject.includes('.customer-payment-outcome.')) carried.push(subject)
      return { delaysMs: [0] }
    })
    await net.show('hu-wallet-1')
    await sim.command('hu-otp', 'tell')
    await sim.advance(2_000)
    expect(carried.length).toBeGreaterThan(0)
    await net.give('hu-otp', net.listOf(1, [wallet.identity.signing]))
    carried.length = 0
    await sim.advance(30_000)
    expect(carried).toEqual([])
    expect(net.cpp.host().depths()['outbox']).toBe(1)
    await wallet.crash()
    wallet.reissue({ seed: testBytes('another') })
    await wallet.restart()
    await net.show('hu-wallet-1')
    await sim.advance(30_000)
    expect(carried.length).toBeGreaterThan(0)
  })

  it('that is a host’s own is lamented once in its log, counted, and leaves its ledger to be read, also after a restart', async () => {
    const laments = () => net.lines.filter(({ host, level }) => host === 'hu-otp' && level === 'error').length
    await net.give('hu-otp', net.listOf(1, [net.cpp.identity.signing]))
    await net.give('hu-otp', net.listOf(2, [net.cpp.identity.signing, net.shop.identity.signing]))
    expect([laments(), net.cpp.host().metrics.value('ownKeyRevoked')]).toEqual([1, 1])
    await net.cpp.crash()
    await net.cpp.restart()
    await net.sim.run()
    expect([laments(), net.cpp.fatal(), net.versionAt('hu-otp')]).toEqual([2, undefined, 2])
  })

  it('needs no list once its credential ended longer ago than the grace, whatever time a frame states', async () => {
    const { sim, mpp } = net
    const endsAtMs = sim.now() + 20_000
    await mpp.crash()
    mpp.reissue({ seed: testBytes('short-lived'), validity: { notBeforeMs: sim.now() - 60_000, notAfterMs: endsAtMs } })
    await mpp.restart()
    await sim.run()
    await net.show('hu-cosmo')
    const frame = (pn: string) =>
      net.frames('countersigned-decision', 'hu-cosmo', 'hu-otp', [decided(pn)], endsAtMs - 1_000)[0]
    await put(frame('in time'))
    await sim.advance(2_000)
    await put(frame('again in time'))
    expect(obeyed()).toBeGreaterThan(0)
    const before = obeyed()
    sim.setTime(endsAtMs + LIMITS.expiredKeyGraceMs)
    await sim.run()
    await put(frame('backdated, in the grace'))
    expect(obeyed()).toBe(before + 1)
    sim.setTime(endsAtMs + LIMITS.expiredKeyGraceMs + 1_000)
    await put(frame('backdated, past it'))
    expect([obeyed(), net.codesAt('hu-otp').at(-1)]).toEqual([before + 1, 'CREDENTIAL_EXPIRED'])
  })
})
