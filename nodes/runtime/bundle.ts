/**
 * The two files that a host starts from: `<host>.creds`, its secrets and whom it trusts, and its configuration. Both are
 * strict: an unknown field is a mistake, not an extension; secrets that others can read are refused.
 */
import { readFile } from 'node:fs/promises'
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { parseHostLogin, readSecretJson, type HostLogin } from '../../bus/logins.ts'
import { CURRENCY_CODES } from '../../protocol/amount.ts'
import { fromHex } from '../../protocol/bytes.ts'
import type { Engine, KeyPair } from '../../protocol/engines/engine.ts'
import { Word } from '../../protocol/fields.ts'
import { ACCOUNT_ID_PATTERN, NODE_ID_PATTERN, REALM_PATTERN } from '../../protocol/ids.ts'
import { signingKeyFromSeed } from '../../protocol/keys.ts'
import type { FormerKeys, Identity } from './identity.ts'
import { fromJson } from './json.ts'
import { LOG_LEVELS } from './log.ts'

const strict = { additionalProperties: false }
const nodeId = Type.String({ pattern: NODE_ID_PATTERN, maxLength: 63 })
const key32 = Type.String({ pattern: '^[0-9a-f]{64}$' })
const chain = Type.Array(Type.String({ pattern: '^([0-9a-f]{2})+$' }), { minItems: 1, maxItems: 4 })
const subject = Type.String({ minLength: 1, maxLength: 255 })
const accountId = Type.String({ pattern: ACCOUNT_ID_PATTERN, maxLength: 120 })
const HOST_ROLES = ['customer', 'merchant', 'cpp', 'mpp', 'bank', 'dc'] as const

const FormerKeysFile = Type.Object(
  {
    /** Of the message key: 16 bytes. */
    signingKeyId: Type.String({ pattern: '^[0-9a-f]{32}$' }),
    sealingSeed: key32,
    chains: Type.Array(chain, { maxItems: 16 }),
    untilMs: Type.Integer({ minimum: 0 }),
  },
  strict,
)

export const HostCredentialsFile = Type.Object(
  {
    version: Type.Literal(1),
    networkName: Type.String({ minLength: 1, maxLength: 120 }),
    /** Everything else is believed only if this key leads to it. */
    rootKey: key32,
    host: nodeId,
    role: Word(...HOST_ROLES),
    realm: Type.String({ pattern: REALM_PATTERN }),
    operatorId: nodeId,
    /** The bus login; its seeds are other than these below. */
    login: Type.Unknown(),
    signingSeed: key32,
    sealingSeed: key32,
    /** Never leaves the host: what its ledger keeps secret is encrypted under it. */
    localKey: key32,
    /** The host's own: one for each processor that certified it, a processor's a chain of one. */
    chains: Type.Array(chain, { minItems: 1, maxItems: 16 }),
    /** Keys before these: nothing is sealed with them, what was encrypted to them opens until its time is over. */
    previous: Type.Optional(Type.Array(FormerKeysFile, { maxItems: 16 })),
    /** Known from the start: the realm's data centers. */
    trusted: Type.Array(chain, { maxItems: 64 }),
    dataCenters: Type.Array(nodeId, { maxItems: 64 }),
    realmAddress: nodeId,
    peerRealms: Type.Array(Type.String({ pattern: REALM_PATTERN }), { maxItems: 1_024 }),
    /** What its login may publish and subscribe, for whoever attaches with other code than this. */
    subjects: Type.Optional(Type.Object({ publish: Type.Array(subject), subscribe: Type.Array(subject) }, strict)),
    /** The operator's account at its bank, with the key of its holder, and where its counterparties are settled. */
    account: Type.Optional(
      Type.Object(
        {
          account: accountId,
          currency: Word(...CURRENCY_CODES),
          holderSeed: Type.Optional(key32),
          settlementAccounts: Type.Record(Type.String({ pattern: NODE_ID_PATTERN }), accountId, strict),
        },
        strict,
      ),
    ),
  },
  strict,
)
export type HostCredentials = Omit<Static<typeof HostCredentialsFile>, 'login'> & { readonly login: HostLogin }

export const HostConfigFile = Type.Object(
  {
    version: Type.Literal(1),
    ledgerDir: Type.String({ minLength: 1 }),
    runDir: Type.String({ minLength: 1 }),
    /** Where the host leaves its mark, and finds what others hold of it: elsewhere than the ledger. Default: the ledger's folder. */
    marksDir: Type.Optional(Type.String({ minLength: 1 })),
    durability: Word('flushed', 'committed'),
    logLevel: Word(...LOG_LEVELS),
    /** Of the node's own schema, in JSON form. */
    policy: Type.Record(Type.String(), Type.Unknown()),
    /** Tests of crashes only: where the host dies, armed before its first event (faults.ts). */
    dieAt: Type.Optional(Type.Array(Type.Unknown(), { maxItems: 1_024 })),
  },
  strict,
)
export type HostConfig = Static<typeof HostConfigFile>

export class BadBundle extends Error {
  constructor(path: string, problem: string) {
    super(`${path}: ${problem}`)
    this.name = 'BadBundle'
  }
}

const parsed = <S extends TSchema>(path: string, schema: S, json: unknown): Static<S> => {
  const value = fromJson<Static<S>>(schema, json)
  if (!value.ok) throw new BadBundle(path, value.problem)
  return value.value
}

/** @throws BadBundle; Error when others can read the file, or it is not there */
export const readHostCredentials = async (path: string): Promise<HostCredentials> => {
  const file = parsed(path, HostCredentialsFile, await readSecretJson(path))
  try {
    return { ...file, login: parseHostLogin(file.login) }
  } catch (cause) {
    throw new BadBundle(path, (cause as Error).message)
  }
}

/** @throws BadBundle; Error when the file is not there or no JSON */
export const readHostConfig = async (path: string): Promise<HostConfig> =>
  parsed(path, HostConfigFile, JSON.parse(await readFile(path, 'utf8')) as unknown)

/** The keys of a bundle as a host takes them. */
export const identityOf = (
  engine: Engine,
  file: Pick<HostCredentials, 'signingSeed' | 'sealingSeed' | 'chains'>,
): Identity => ({
  signing: signingKeyFromSeed(engine, fromHex(file.signingSeed)),
  sealing: sealingPair(engine, file.sealingSeed),
  chains: chainsOf(file.chains),
})
export const formerKeysOf = (
  engine: Engine,
  { previous = [] }: Pick<HostCredentials, 'previous'>,
): readonly FormerKeys[] =>
  previous.map(({ signingKeyId, sealingSeed, chains, untilMs }) => ({
    signingKeyId: fromHex(signingKeyId),
    sealing: sealingPair(engine, sealingSeed),
    chains: chainsOf(chains),
    untilMs,
  }))
const sealingPair = (engine: Engine, seed: string): KeyPair => {
  const secretKey = fromHex(seed)
  return { secretKey, publicKey: engine.sealing.publicKeyOf(secretKey) }
}

/** Chains as bytes. */
export const chainsOf = (chains: readonly (readonly string[])[]): readonly (readonly Uint8Array[])[] =>
  chains.map((one) => one.map(fromHex))
