/** The rules of keys in force and keys before them, each by itself; `rotation.test.ts` has them at work. */
import { describe, expect, it } from 'vitest'
import { encodeBody } from '../../protocol/codec.ts'
import { createTrust, verifyChain } from '../../protocol/credentials.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { keyIdOf, networkIdOf, signingKeyFromSeed } from '../../protocol/keys.ts'
import { issueHost, issuePayee, issueProcessor } from '../../protocol/statements.ts'
import { chainBook } from '../customer/credentials.ts'
import { hostChainOf } from '../mpp/registration.ts'
import type { PayeeRow } from '../mpp/state.ts'
import { createCredentialStore } from './credential-store.ts'
import { createKeyring, identityProblem, type FormerKeys, type Identity } from './identity.ts'
import { decision } from './node.ts'
import { credentialTable } from './runtime-tables.ts'
import { TEST_NOW_MS, testBytes, testId, testLedger } from './testing.ts'

const engine = loadEngine()
const root = signingKeyFromSeed(engine, testBytes('root'))
const networkId = networkIdOf(root.publicKey)
const DAY_MS = 86_400_000

/** Keys of the given generation. */
const keysOf = (id: string, generation: number) => {
  const secretKey = testBytes(`${id} sealing ${generation}`)
  return {
    signing: signingKeyFromSeed(engine, testBytes(`${id} signing ${generation}`)),
    sealing: { secretKey, publicKey: engine.sealing.publicKeyOf(secretKey) },
  }
}
const credentialOf = (id: string, generation: number, serial = generation, notBeforeMs = TEST_NOW_MS - DAY_MS) => {
  const { signing, sealing } = keysOf(id, generation)
  return {
    networkId,
    id,
    algorithm: 'ed25519' as const,
    signingKey: signing.publicKey,
    sealingKey: sealing.publicKey,
    notBeforeMs,
    notAfterMs: TEST_NOW_MS + DAY_MS,
    serial,
  }
}
const mpp = (generation: number) =>
  issueProcessor(
    engine,
    { ...credentialOf('hu-cosmo', generation), role: 'mpp', realm: 'hu', operatorId: 'hu-cosmo' },
    root,
  )
/** The merchant host `hu-shop`, with its own keys and its MPP's of these generations. */
const chainOf = (own: number, by: number, serial = own, notBeforeMs?: number) => [
  mpp(by),
  issueHost(
    engine,
    { ...credentialOf('hu-shop', own, serial, notBeforeMs), role: 'merchant' },
    keysOf('hu-cosmo', by).signing,
  ),
]
const payeeBy = (by: number) =>
  issuePayee(
    engine,
    {
      networkId,
      payee: 'hu-bakery',
      host: 'hu-shop',
      account: 'hu-kh:bakery',
      currency: 'EUR',
      payeeKind: 'shop',
      displayName: 'Bakery',
      serial: by,
    },
    keysOf('hu-cosmo', by).signing,
  )
const shop = (own: number, by = 1): Identity => ({ ...keysOf('hu-shop', own), chains: [chainOf(own, by)] })
const formerOf = ({ signing, sealing, chains }: Identity, untilMs: number): FormerKeys => ({
  signingKeyId: signing.keyId,
  sealing,
  chains,
  untilMs,
})
const invoiceBy = ({ chains: [chain = []] }: Identity) => ({
  kind: 'transaction-details' as const,
  body: encodeBody('transaction-details', {
    txId: testId('tx'),
    payee: 'hu-bakery',
    amountMinor: 120n,
    currency: 'EUR',
    descriptionHash: testBytes('description'),
    nonce: testId('nonce'),
    chain: [...chain, payeeBy(1)],
  }),
})
const receipt = { kind: 'receipt' as const, body: encodeBody('receipt', { digest: testBytes('digest') }) }

describe('a keyring', () => {
  it('opens with a former sealing key until its time is over, and never with one that it does not have', () => {
    let nowMs = TEST_NOW_MS
    const before = shop(1)
    const keyring = createKeyring(engine, shop(2), [formerOf(before, TEST_NOW_MS + 1_000)], () => nowMs)
    const idOf = ({ sealing }: Pick<Identity, 'sealing'>) => keyIdOf('x25519', sealing.publicKey)
    expect(keyring.secretOf(idOf(shop(2)))).toEqual(shop(2).sealing)
    expect(keyring.secretOf(idOf(before))).toEqual(before.sealing)
    nowMs += 1_001
    expect(keyring.secretOf(idOf(before))).toBeUndefined()
    expect(keyring.secretOf(idOf(shop(2)))).toEqual(shop(2).sealing)
    expect(keyring.secretOf(idOf(shop(3)))).toBeUndefined()
  })

  it('seals what shows its own chain with the key that stands there, or not at all; all else with the key in force', () => {
    const [first, second] = [shop(1), shop(2)]
    const former = [formerOf(first, TEST_NOW_MS + DAY_MS)]
    const keyring = createKeyring(engine, first, [], () => TEST_NOW_MS)
    expect(keyring.sealerOf(invoiceBy(first))).toBe(first.signing)
    keyring.adopt(second, former)
    expect(keyring.sealerOf(invoiceBy(first))).toBe(first.signing)
    expect(keyring.sealerOf(invoiceBy(second))).toBe(second.signing)
    expect(keyring.sealerOf(receipt)).toBe(second.signing)
    // Started again: the former message key is in no file.
    const restarted = createKeyring(engine, second, former, () => TEST_NOW_MS)
    expect(restarted.sealerOf(invoiceBy(first))).toBeUndefined()
    expect(restarted.sealerOf(invoiceBy(second))).toBe(second.signing)
  })

  it('keeps the chains of the same key under the certifier’s former one, and none of another key', () => {
    const before = formerOf({ ...keysOf('hu-shop', 1), chains: [chainOf(1, 1)] }, TEST_NOW_MS + DAY_MS)
    const kept = createKeyring(engine, shop(1, 2), [before], () => TEST_NOW_MS).identity()
    expect(kept.chains).toEqual([chainOf(1, 2), chainOf(1, 1)])
    expect(createKeyring(engine, shop(2, 2), [before], () => TEST_NOW_MS).identity().chains).toEqual([chainOf(2, 2)])
    const book = chainBook(createTrust(engine, root.publicKey), () => kept)
    expect(book.newest().get('hu-cosmo')).toEqual(chainOf(1, 2))
    expect(book.beside(payeeBy(1))).toEqual(chainOf(1, 1))
    expect(book.beside(payeeBy(2))).toEqual(chainOf(1, 2))
    expect([book.isCurrent('hu-cosmo', payeeBy(1)), book.isCurrent('hu-cosmo', payeeBy(2))]).toEqual([false, true])
  })
})

describe('an identity is refused', () => {
  const trust = createTrust(engine, root.publicKey)
  const self = { id: 'hu-shop', role: 'merchant' } as const
  const problem = (next: Identity, before?: Identity) => identityProblem(trust, self, next, before, TEST_NOW_MS)

  it('that begins after the one it replaces, also when that has ended', () => {
    const later = { ...shop(2), chains: [chainOf(2, 1, 2, TEST_NOW_MS - DAY_MS + 1)] }
    expect(problem(later)).toBeUndefined()
    expect(problem(later, shop(1))).toContain('begins after the one it replaces')
    expect(identityProblem(trust, self, later, shop(1), TEST_NOW_MS + 2 * DAY_MS)).toContain('CREDENTIAL_EXPIRED')
    expect(problem(shop(2), shop(1))).toBeUndefined()
  })

  it('without a chain, of another host, role, message key or sealing key', () => {
    expect(problem({ ...shop(1), chains: [] })).toBe('no chain')
    expect(problem({ ...keysOf('hu-cosmo', 1), chains: [[mpp(1)]] })).toContain('certifies mpp hu-cosmo')
    expect(problem({ ...shop(1), signing: shop(2).signing })).toContain('another message key')
    expect(problem({ ...shop(1), sealing: shop(2).sealing })).toContain('another sealing key')
  })
})

describe('a key that is certified anew', () => {
  it('is known by its newer chain, so that it outlives its certifier’s former key', () => {
    const revoked = new Set<string>()
    const ledger = testLedger()
    const storeOf = () => {
      const trust = createTrust(engine, root.publicKey, (keyId) => revoked.has(Buffer.from(keyId).toString('hex')))
      return { trust, store: createCredentialStore(trust, ledger, [], TEST_NOW_MS) }
    }
    const learn = (chain: readonly Uint8Array[]): number => {
      const { trust, store } = storeOf()
      const verified = verifyChain(trust, chain, TEST_NOW_MS)
      if (!verified.ok) throw new Error(verified.failure.code)
      const rows = store.learn(chain, verified.value, TEST_NOW_MS)
      ledger.apply(decision({ writes: rows }))
      return rows.length
    }
    const { keyId } = keysOf('hu-shop', 1).signing
    learn(chainOf(1, 1))
    expect(learn(chainOf(1, 1))).toBe(0)
    expect(learn(chainOf(1, 2))).toBeGreaterThan(0)
    expect(ledger.get(credentialTable, keyId)?.chain).toEqual(chainOf(1, 2))
    // Back under the former key: nothing newer is said.
    expect(learn(chainOf(1, 1))).toBe(0)
    revoked.add(Buffer.from(keysOf('hu-cosmo', 1).signing.keyId).toString('hex'))
    expect(storeOf().store.byKeyId(keyId)?.owner).toBe('hu-shop')
    expect(storeOf().store.byId('hu-cosmo')?.serial).toBe(2)
  })

  it('is known by the chain of the processor that asks, if that has certified it, whatever another says', () => {
    const trust = createTrust(engine, root.publicKey)
    const chainBy = (by: string, serial: number) => [
      issueProcessor(engine, { ...credentialOf(by, 1), role: 'mpp', realm: 'hu', operatorId: by }, root),
      issueHost(engine, { ...credentialOf('hu-shop', serial), role: 'merchant' }, keysOf(by, 1).signing),
    ]
    const rowsAt = (self: string): number => {
      const ledger = testLedger()
      const store = createCredentialStore(trust, ledger, [chainBy('hu-other', 1).slice(0, 1)], TEST_NOW_MS, self)
      const rowsOf = (chain: readonly Uint8Array[]) => {
        const learned = store.verifyAndLearn(chain, TEST_NOW_MS)
        if (!learned.ok) throw new Error(learned.failure.code)
        ledger.apply(decision({ writes: learned.value.rows }))
        return learned.value.rows.length
      }
      rowsOf(chainBy('hu-cosmo', 1))
      return rowsOf(chainBy('hu-other', 2))
    }
    expect(rowsAt('hu-cosmo')).toBe(0)
    expect(rowsAt('hu-third')).toBeGreaterThan(0)
  })
})

describe('the chain that an MPP registers a payee with', () => {
  it('is of the key that signed the payee’s credential, whatever key the host is certified under now', () => {
    const host = { host: 'hu-shop', chain: chainOf(2, 2), former: [chainOf(1, 1)], registeredAtMs: TEST_NOW_MS }
    const payee = (by: number) => ({ credential: payeeBy(by) }) as unknown as PayeeRow
    expect(hostChainOf(host, payee(1))).toEqual(chainOf(1, 1))
    expect(hostChainOf(host, payee(2))).toEqual(chainOf(2, 2))
  })
})

describe('a chain beside a credential', () => {
  it('is none once the key that signed both is revoked: nobody would believe an invoice by it', () => {
    const revoked = keysOf('hu-cosmo', 1).signing.keyId
    const trust = createTrust(engine, root.publicKey, (keyId) => Buffer.compare(keyId, revoked) === 0)
    const book = chainBook(trust, () => ({ chains: [chainOf(1, 2), chainOf(1, 1)] }))
    expect(book.beside(payeeBy(1))).toBeUndefined()
    expect(book.beside(payeeBy(2))).toEqual(chainOf(1, 2))
  })
})
