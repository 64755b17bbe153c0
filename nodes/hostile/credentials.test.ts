/**
 * Credentials out of their time, of another network and of another root, of a processor and of a host, at a running host of each
 * role: by the time that a frame states, and by the chain that a data center gives.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { utf8 } from '../../protocol/bytes.ts'
import { hash } from '../../protocol/hash.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import { networkIdOf, signingKeyFromSeed, type SigningKey } from '../../protocol/keys.ts'
import { issueHost, issueProcessor } from '../../protocol/statements.ts'
import { VALID_FROM, VALID_TO } from '../../protocol/testing/sample-network.ts'
import { forgery, type Forgery } from './testing/forge.ts'
import { codesAt, CREDENTIALS, nothingChanged, STORED_ANSWER } from './testing/nothing-changed.ts'
import { HOSTS, hostileWorld, type World } from './testing/world.ts'

let world: World
let forge: Forgery
beforeAll(async () => {
  world = await hostileWorld()
  forge = forgery(world, 'credentials')
}, 60_000)
const ASKED = [...CREDENTIALS, ...STORED_ANSWER]

describe('a frame that states a time when its key was not valid', () => {
  // Who sends it, of which credential, to whom, by way of whom.
  const WAYS = [
    ['a CPP', HOSTS.cpp, HOSTS.bank, HOSTS.cpp],
    ['an MPP', HOSTS.mpp, HOSTS.bank, HOSTS.mpp],
    ['an MPP', HOSTS.mpp, HOSTS.merchant, HOSTS.mpp],
    ['a CPP', HOSTS.cpp, HOSTS.customer, HOSTS.cpp],
    ['a CPP', HOSTS.cpp, HOSTS.mpp, HOSTS.dc],
    ['an MPP', HOSTS.mpp, HOSTS.cpp, HOSTS.dc],
    ['an MPP on its way', HOSTS.mpp, HOSTS.dc, HOSTS.mpp],
    ['a bank', HOSTS.bank, HOSTS.cpp, HOSTS.bank],
    ['a data center', HOSTS.dc, HOSTS.merchant, HOSTS.dc],
    ['a wallet host', HOSTS.customer, HOSTS.cpp, HOSTS.customer],
    ['a merchant host', HOSTS.merchant, HOSTS.mpp, HOSTS.merchant],
    ['a merchant host', HOSTS.merchant, HOSTS.bank, HOSTS.merchant],
  ] as const
  const TIMES = [
    ['CREDENTIAL_NOT_YET_VALID', VALID_FROM - 1],
    ['CREDENTIAL_EXPIRED', VALID_TO + 1],
  ] as const
  const cases = WAYS.flatMap((way) => TIMES.map((time) => [...way, ...time] as const))
  test.each(cases)('%s, %s to %s by %s: %s', async (_, from, to, via, code, sentAtMs) => {
    const kind = from === HOSTS.bank || from === HOSTS.dc ? 'refusal' : 'receipt'
    const digest = hash(utf8('nothing'))
    const addressee = to === HOSTS.dc ? HOSTS.cpp : to
    const frame =
      kind === 'refusal'
        ? forge.frame(kind, from, addressee, { digest, code: 6015, detail: '' }, { sentAtMs })
        : forge.frame(kind, from, addressee, { digest }, { sentAtMs })
    const caused = await nothingChanged(world, () => forge.put(to, kind, via, frame), ASKED)
    expect(codesAt(caused, to).filter((one) => one !== 'UNKNOWN_KEY')).toEqual([code])
  })
})

describe('a chain that a data center gives', () => {
  const engine = () => world.sim.engine
  const stranger = (name: string): SigningKey => signingKeyFromSeed(engine(), hash(utf8(`stranger ${name}`)))
  const keys = (name: string) => ({
    algorithm: 'ed25519' as const,
    signingKey: stranger(name).publicKey,
    sealingKey: engine().sealing.publicKeyOf(hash(utf8(`sealing ${name}`))),
  })
  type Change = {
    readonly networkId?: Uint8Array
    readonly notBeforeMs?: number
    readonly notAfterMs?: number
    readonly root?: SigningKey
  }
  const mppChain = (change: Change = {}): readonly Uint8Array[] => [
    issueProcessor(
      engine(),
      {
        networkId: change.networkId ?? networkIdOf(world.sim.root.publicKey),
        id: 'hu-new',
        role: 'mpp',
        realm: 'hu',
        operatorId: 'hu-new',
        ...keys('mpp'),
        notBeforeMs: change.notBeforeMs ?? VALID_FROM,
        notAfterMs: change.notAfterMs ?? VALID_TO,
        serial: 1,
      },
      change.root ?? world.sim.root,
    ),
  ]
  const hostChain = (change: Change = {}): readonly Uint8Array[] => [
    ...mppChain(),
    issueHost(
      engine(),
      {
        networkId: change.networkId ?? networkIdOf(world.sim.root.publicKey),
        id: 'hu-new-shop',
        role: 'merchant',
        ...keys('host'),
        notBeforeMs: change.notBeforeMs ?? VALID_FROM,
        notAfterMs: change.notAfterMs ?? VALID_TO,
        serial: 1,
      },
      change.root ?? stranger('mpp'),
    ),
  ]
  const PROBLEMS: readonly (readonly [FailureCode, () => Change])[] = [
    ['CREDENTIAL_NOT_YET_VALID', () => ({ notBeforeMs: world.sim.now() + 1_000 })],
    ['CREDENTIAL_EXPIRED', () => ({ notAfterMs: world.sim.now() - 1 })],
    ['WRONG_NETWORK', () => ({ networkId: new Uint8Array(16).fill(7) })],
    ['BROKEN_CHAIN', () => ({ root: stranger('root') })],
  ]
  const cases = PROBLEMS.flatMap(([code, change]) =>
    Object.values(HOSTS).flatMap((to) => (['processor', 'host'] as const).map((of) => [of, to, code, change] as const)),
  )
  test.each(cases)('of a %s, to %s: %s', async (of, to, code, change) => {
    const from = to === HOSTS.dc ? 'at-dc-1' : HOSTS.dc
    const chain = of === 'processor' ? mppChain(change()) : hostChain(change())
    const frame = forge.frame('credential-record', from, to, { chain: [...chain] })
    const caused = await nothingChanged(world, () => forge.put(to, 'credential-record', from, frame))
    expect(codesAt(caused, to)).toEqual([code])
  })
  test('is believed when nothing is wrong with it', async () => {
    const frame = forge.frame('credential-record', HOSTS.dc, HOSTS.bank, { chain: [...hostChain()] })
    const learned = () => world.sim.host(HOSTS.bank).host().metrics.value('credentialsLearned')
    const before = learned()
    forge.put(HOSTS.bank, 'credential-record', HOSTS.dc, frame)
    await world.sim.run()
    expect(learned()).toBe(before + 1)
  })
})
