/**
 * Who a host is: its message key, its sealing key and the chains that certify them, exchanged while it runs. Invariant: what is
 * sealed from now on is sealed with the newest key alone, and what others encrypted to a former one still opens until its time
 * is over, so that nothing that was on its way at a rotation is lost (design §7 "Rotation with overlap").
 */
import { equalBytes, toHex } from '../../protocol/bytes.ts'
import { decodeBody } from '../../protocol/codec.ts'
import { isNewer, verifyChain, type KeyRecord, type Trust } from '../../protocol/credentials.ts'
import type { Engine, KeyPair } from '../../protocol/engines/engine.ts'
import { KINDS, type KindName } from '../../protocol/kinds.ts'
import { keyIdOf, signingKeyFromSeed, type SigningKey } from '../../protocol/keys.ts'
import { keyOfBytes } from '../../protocol/lru.ts'
import { parseCredential, readStatement } from '../../protocol/statements.ts'
import type { Self } from './node.ts'
import type { StoredSend } from './runtime-tables.ts'

export type CredentialChain = readonly Uint8Array[]

/** What a host seals with, what it opens with, and what certifies both: from the root down, one chain for each certifier. */
export type Identity = {
  readonly signing: SigningKey
  readonly sealing: KeyPair
  readonly chains: readonly CredentialChain[]
}

/** Keys that a rotation has replaced. Nothing is sealed with them; what was encrypted to the sealing key opens until `untilMs`. */
export type FormerKeys = {
  readonly signingKeyId: Uint8Array
  readonly sealing: KeyPair
  readonly chains: readonly CredentialChain[]
  readonly untilMs: number
}

export type Keyring = {
  readonly identity: () => Identity
  /** The chains it was given last, without former ones that are still shown. */
  readonly given: () => readonly CredentialChain[]
  /** One's own sealing key by its id: the current one, or a former one whose time is not over. */
  readonly secretOf: (keyId: Uint8Array) => KeyPair | undefined
  readonly adopt: (identity: Identity, former: readonly FormerKeys[]) => void
  /**
   * Who seals this: the key in force, unless the content shows a chain of its own, which certifies one key and no other. For an
   * invoice made before a rotation that key is still held until the process ends; undefined once it is not.
   */
  readonly sealerOf: (send: Pick<StoredSend, 'kind' | 'body'>) => SigningKey | undefined
}

export const createKeyring = (
  engine: Engine,
  first: Identity,
  former: readonly FormerKeys[],
  nowMs: () => number,
): Keyring => {
  let identity: Identity
  let given: readonly CredentialChain[] = first.chains
  let rotated = false
  /** Message keys of this process, newest first: bounded, since what shows its own chain expires or is replaced. */
  let held: readonly SigningKey[] = []
  let secrets: ReadonlyMap<string, { readonly pair: KeyPair; readonly untilMs: number }>
  const adopt: Keyring['adopt'] = (next, before) => {
    const all = [
      ...before.map(({ sealing, untilMs }) => ({ pair: sealing, untilMs })),
      { pair: next.sealing, untilMs: Number.POSITIVE_INFINITY },
    ]
    secrets = new Map(all.map((one) => [keyOfBytes(keyIdOf('x25519', one.pair.publicKey)), one]))
    // A chain by which a certifier vouched for this very key with its former one: what that key certified is still shown with it.
    const kept = before
      .filter(({ signingKeyId }) => equalBytes(signingKeyId, next.signing.keyId))
      .flatMap(({ chains }) => chains)
      .filter((chain) => !next.chains.some((one) => isSameChain(one, chain)))
    given = next.chains
    identity = { ...next, chains: [...next.chains, ...kept] }
    rotated = before.length > 0
    held = [next.signing, ...held.filter((key) => !equalBytes(key.keyId, next.signing.keyId))].slice(0, MAX_HELD_KEYS)
  }
  adopt(first, former)
  return {
    identity: () => identity,
    given: () => given,
    secretOf: (keyId) => {
      const found = secrets.get(keyOfBytes(keyId))
      return found !== undefined && nowMs() <= found.untilMs ? found.pair : undefined
    },
    adopt,
    sealerOf: ({ kind, body }) => {
      if (!rotated || !(kind === 'transaction-details' || KINDS[kind].introduces)) return identity.signing
      const shown = shownKeyId(engine, kind, body)
      return shown === undefined ? identity.signing : held.find((key) => equalBytes(key.keyId, shown))
    },
  }
}
const MAX_HELD_KEYS = 4

/** Keys of the devices on a wallet host, made from the seeds that its ledger holds. */
export const createDeviceKeys = (
  engine: Engine,
  seedOf: (customer: string) => Uint8Array | undefined,
): ((customer: string) => SigningKey | undefined) => {
  const keys = new Map<string, SigningKey>()
  return (customer) => {
    const seed = seedOf(customer)
    if (seed === undefined) return undefined
    const name = toHex(seed)
    let key = keys.get(name)
    if (key === undefined) keys.set(name, (key = signingKeyFromSeed(engine, seed)))
    return key
  }
}

/** The key that the chain in a body certifies for its sender. */
const shownKeyId = (engine: Engine, kind: KindName, bytes: Uint8Array): Uint8Array | undefined => {
  const body = decodeBody(kind, 1, bytes)
  const { chain = [] } = (body.ok ? body.value : {}) as { readonly chain?: readonly Uint8Array[] }
  const own = kind === 'transaction-details' ? chain[1] : chain.at(-1)
  const credential = own === undefined ? undefined : parseCredential(own)
  if (credential?.ok !== true) return undefined
  const statement = readStatement(engine, credential.value.payload, ['processor', 'host'])
  return statement.ok ? keyIdOf(statement.value.algorithm, statement.value.signingKey) : undefined
}

export const isSameChain = (a: CredentialChain, b: CredentialChain): boolean =>
  a.length === b.length && a.every((part, at) => equalBytes(part, b[at] as Uint8Array))

export const isSameIdentity = (a: Identity, b: Identity): boolean =>
  equalBytes(a.signing.keyId, b.signing.keyId) &&
  equalBytes(a.sealing.publicKey, b.sealing.publicKey) &&
  a.chains.length === b.chains.length &&
  a.chains.every((chain, at) => isSameChain(chain, b.chains[at] as CredentialChain))

/** The credential of a host's own key in one of its chains: the last one's. */
const ownRecord = (trust: Trust, chain: CredentialChain, nowMs: number): KeyRecord | string => {
  const verified = verifyChain(trust, chain, nowMs)
  if (!verified.ok) return `${verified.failure.code} ${verified.failure.detail}`
  const { hostKey, processorKey } = verified.value
  return hostKey ?? processorKey
}

/** Also of a chain that has expired or was revoked meanwhile. */
const beginsAtMs = ({ engine }: Trust, chain: CredentialChain): number => {
  const own = chain.at(-1)
  const credential = own === undefined ? undefined : parseCredential(own)
  if (credential === undefined || !credential.ok) return Number.POSITIVE_INFINITY
  const statement = readStatement(engine, credential.value.payload, ['processor', 'host'])
  return statement.ok ? statement.value.notBeforeMs : Number.POSITIVE_INFINITY
}

/** A processor's, which is a chain of one. @throws Error when the host has none */
export const ownChain = ({ chains }: Identity): CredentialChain => {
  const [chain] = chains
  if (chain === undefined) throw new Error('a host without a chain of its own credential')
  return chain
}

/**
 * Why a host may not take this identity; undefined when it may. Each chain must hold now, and certify exactly this host, role and
 * keys. Against `before`, the identity in force: no chain may begin later, because what waits in the outbox and what is kept as
 * an answer bears the time at which it was made, and is sealed with the new key from now on.
 */
export const identityProblem = (
  trust: Trust,
  self: Pick<Self, 'id' | 'role'>,
  next: Identity,
  before: Identity | undefined,
  nowMs: number,
): string | undefined => {
  if (next.chains.length === 0) return 'no chain'
  const oldestMs = Math.min(...(before?.chains ?? []).map((chain) => beginsAtMs(trust, chain)))
  for (const chain of next.chains) {
    const record = ownRecord(trust, chain, nowMs)
    if (typeof record === 'string') return record
    if (record.owner !== self.id || record.role !== self.role)
      return `a chain certifies ${record.role} ${record.owner}, not ${self.role} ${self.id}`
    if (!equalBytes(record.keyId, next.signing.keyId)) return 'a chain certifies another message key'
    if (record.sealingKey === null || !equalBytes(record.sealingKey, next.sealing.publicKey))
      return 'a chain certifies another sealing key'
    if (record.notBeforeMs > oldestMs)
      return 'a new credential begins after the one it replaces: messages from before could not be sealed with its key'
  }
  return undefined
}

/** What an operator is told of the key in force. */
export type IdentityStatus = {
  readonly signingKeyId: string
  readonly sealingKeyId: string
  /** Of the newest credential of the key in force. */
  readonly serial: number | undefined
  /** The first of its credentials to end. */
  readonly notAfterMs: number | undefined
}

export const identityStatus = (trust: Trust, { signing, sealing, chains }: Identity, nowMs: number): IdentityStatus => {
  const records = chains
    .map((chain) => ownRecord(trust, chain, nowMs))
    .filter((record): record is KeyRecord => typeof record !== 'string')
  const newest = records.reduce<KeyRecord | undefined>(
    (best, one) => (best === undefined || isNewer(one, best) ? one : best),
    undefined,
  )
  return {
    signingKeyId: toHex(signing.keyId),
    sealingKeyId: toHex(keyIdOf('x25519', sealing.publicKey)),
    serial: newest?.serial,
    notAfterMs: records.length === 0 ? undefined : Math.min(...records.map(({ notAfterMs }) => notAfterMs)),
  }
}
