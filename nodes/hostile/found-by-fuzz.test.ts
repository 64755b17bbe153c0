/** What the fuzz suite has found at running hosts, one case each: anybody at all could do it. */
import { beforeAll, describe, expect, test } from 'vitest'
import { encodeBody } from '../../protocol/codec.ts'
import { makeContent } from '../../protocol/envelope.ts'
import { BAD_KEYS } from '../../protocol/fuzz/mutate-values.ts'
import { ENVELOPE_VERSION } from '../../protocol/header.ts'
import { guestToken } from '../../protocol/ids.ts'
import { networkIdOf, signingKeyFromSeed } from '../../protocol/keys.ts'
import { sealOne } from '../../protocol/seals.ts'
import { formatSubject } from '../../protocol/subjects.ts'
import { seededRandom } from '../runtime/sim-network.ts'
import { ATTACKER } from './testing/forge.ts'
import { HOSTS, hostileWorld, type World } from './testing/world.ts'

let world: World
beforeAll(async () => {
  world = await hostileWorld()
}, 60_000)

describe("a guest whose one-time sealing key agrees on nothing does not stop the merchant's host", () => {
  const random = seededRandom('small order')
  test.each(BAD_KEYS.map((key, at) => [at, key] as const))('key %i of small order or none', async (_at, sealingKey) => {
    const { sim } = world
    const signing = signingKeyFromSeed(sim.engine, random.bytes(32))
    const token = guestToken(random.bytes(32))
    const header = {
      version: ENVELOPE_VERSION,
      networkId: networkIdOf(sim.root.publicKey),
      kind: 'offer-request',
      bodyVersion: 1,
      messageId: random.bytes(16),
      from: signing.publicKey,
      to: HOSTS.merchant,
      sentAtMs: sim.now(),
      expiresAtMs: sim.now() + 60_000,
      correlationId: undefined,
      bodyForm: 'plain',
    } as const
    const purchaseToken = random.bytes(16)
    const offer = { purchaseToken, sealingKey, payee: 'hu-bakery', currency: 'EUR', amountMinor: 120n } as const
    const frame = sealOne(makeContent(header, encodeBody('offer-request', offer)), signing)
    const to = { toRole: 'merchant', toHost: HOSTS.merchant, kind: 'offer-request', fromHost: token } as const
    sim.network.inject(ATTACKER, formatSubject(to), frame)
    await sim.run()
    expect(sim.host(HOSTS.merchant).fatal()).toBeUndefined()
  })
  test('and it sells as before', async () => {
    expect(await world.pay('hu-alice', 'hu-bakery', '120')).toMatchObject({ outcome: 'confirmed' })
  })
})
