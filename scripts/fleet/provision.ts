/**
 * Makes what a planned network needs before its first start: the root, the broker's authority, and for each host its keys,
 * credential chains, login and configuration. Running it again adds what is new and changes nothing that is there, so keys
 * and credentials live as long as the fleet's directory.
 */
import { randomBytes, randomInt } from 'node:crypto'
import { access } from 'node:fs/promises'
import {
  createAuthority,
  issueHostLogin,
  readAuthority,
  writeAuthority,
  type AuthorityState,
} from '../../bus/authority.ts'
import type { ServerAddress } from '../../bus/tls-client.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import type { Engine } from '../../protocol/engines/engine.ts'
import { dataCenterAddress } from '../../protocol/ids.ts'
import { networkIdOf, signingKeyFromSeed, type SigningKey } from '../../protocol/keys.ts'
import { issueHost, issueMandate, issueProcessor } from '../../protocol/statements.ts'
import { readJson, writeJson, type FleetDirectory } from './directory.ts'
import type { HostPlan, Plan } from './plan.ts'
import { policyOf } from './policies.ts'

const HOUR_MS = 3_600_000
const CREDENTIAL_LIFETIME_MS = 365 * 24 * HOUR_MS
/** A credential is valid a little before it was made: clocks differ. */
const CREDENTIAL_HEAD_START_MS = HOUR_MS

type Secrets = {
  readonly version: 1
  readonly rootSeed: string
  /** Account → the seed of its holder's key, of accounts that the fleet opened. */
  readonly holders: Record<string, string>
}
type HostKeys = { readonly signingSeed: string; readonly sealingSeed: string; readonly localKey: string }
/** `<host>.creds` as far as provisioning reads it back. */
type Credentials = HostKeys & { readonly chains: readonly (readonly string[])[] }

/** What start-up and enrolment need of the secrets: nothing leaves the fleet's directory. */
export type Provisioned = {
  readonly rootKey: Uint8Array
  readonly networkId: Uint8Array
  readonly authority: AuthorityState
  /** Public key of an account's holder. */
  readonly holderKey: (account: string) => Uint8Array
  /** The holder's mandate: `operatorId` may debit `account`. */
  readonly mandate: (account: string, operatorId: string, limitMinor: bigint) => Uint8Array
  readonly pin: (customer: string) => string
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

/** The keys alone: the rest of an old file is not to come back over what is new. */
const keysOf = ({ signingSeed, sealingSeed, localKey }: HostKeys): HostKeys => ({ signingSeed, sealingSeed, localKey })

const freshKeys = (): HostKeys => ({
  signingSeed: toHex(randomBytes(32)),
  sealingSeed: toHex(randomBytes(32)),
  localKey: toHex(randomBytes(32)),
})

/**
 * @param address the broker's URLs and authority; rewritten into every host's file, since both may change between two starts
 * @param nowMs issue time of credentials made now
 */
export const provision = async (
  plan: Plan,
  directory: FleetDirectory,
  address: ServerAddress,
  authority: AuthorityState,
  nowMs: number,
): Promise<Provisioned> => {
  const engine = loadEngine()
  const secrets: Secrets = (await readJson<Secrets>(directory.secretsFile)) ?? {
    version: 1,
    rootSeed: toHex(randomBytes(32)),
    holders: {},
  }
  const pins: Record<string, string> = (await readJson<Record<string, string>>(directory.pinsFile)) ?? {}
  for (const { account } of plan.accounts) secrets.holders[account] ??= toHex(randomBytes(32))
  for (const { customer } of plan.customers) pins[customer] ??= String(randomInt(0, 1_000_000)).padStart(6, '0')
  await writeJson(directory.secretsFile, secrets)
  await writeJson(directory.pinsFile, pins)

  const root = signingKeyFromSeed(engine, fromHex(secrets.rootSeed))
  const issuer = createIssuer(engine, root, nowMs)
  const keys = new Map<string, HostKeys>()
  const chains = new Map<string, readonly (readonly Uint8Array[])[]>()
  // Processors first: they certify wallet and merchant hosts.
  for (const host of plan.hosts.toSorted((a, b) => a.certifiedBy.length - b.certifiedBy.length)) {
    const known = await readJson<Credentials>(directory.credentials(host.id))
    const own = known === undefined ? freshKeys() : keysOf(known)
    keys.set(host.id, own)
    const before = known?.chains.map((chain) => chain.map(fromHex)) ?? []
    chains.set(host.id, issuer.complete(host, own, before, chains, keys))
  }
  const directories = plan.hosts.filter(({ role }) => role === 'dc')
  for (const host of plan.hosts) {
    const dataCenters = directories.filter(({ realm }) => realm === host.realm).map(({ id }) => id)
    const old = await readJson<{ login?: object }>(directory.credentials(host.id))
    const login = old?.login ?? (await issueHostLogin(authority, { role: host.role, host: host.id, ...address }))
    await writeJson(directory.credentials(host.id), {
      version: 1,
      networkName: plan.network,
      rootKey: toHex(root.publicKey),
      host: host.id,
      role: host.role,
      realm: host.realm,
      operatorId: host.operatorId,
      login: { ...login, servers: address.servers, ca: address.ca },
      ...(keys.get(host.id) as HostKeys),
      chains: (chains.get(host.id) as readonly (readonly Uint8Array[])[]).map((chain) => chain.map(toHex)),
      // A guest looks a payee up in the payee's realm, so the directories of all realms are known from the start.
      trusted: directories.flatMap(({ id }) => chains.get(id) ?? []).map((chain) => chain.map(toHex)),
      dataCenters,
      realmAddress: dataCenterAddress(host.realm),
      peerRealms: plan.realms.filter((realm) => realm !== host.realm),
    })
    await writeJson(directory.config(host.id), {
      version: 1,
      ledgerDir: directory.ledger(host.id),
      runDir: directory.sockets,
      durability: 'flushed',
      logLevel: 'info',
      policy: policyOf(plan, host),
    })
  }

  const holder = (account: string): SigningKey => {
    const seed = secrets.holders[account]
    if (seed === undefined) throw new Error(`the fleet holds no key of account ${account}`)
    return signingKeyFromSeed(engine, fromHex(seed))
  }
  const networkId = networkIdOf(root.publicKey)
  return {
    rootKey: root.publicKey,
    networkId,
    authority,
    holderKey: (account) => holder(account).publicKey,
    mandate: (account, operatorId, limitMinor) =>
      issueMandate(
        engine,
        { networkId, account, operatorId, limitMinor, currency: plan.currency, ...issuer.validity, serial: 1 },
        holder(account),
      ),
    pin: (customer) => {
      const pin = pins[customer]
      if (pin === undefined) throw new Error(`the fleet does not know the PIN of ${customer}; give --pin-file`)
      return pin
    },
  }
}

/** The broker's authority of this fleet, made at the first start. */
export const fleetAuthority = async (directory: FleetDirectory, network: string): Promise<AuthorityState> => {
  if (await exists(directory.authorityFile)) return readAuthority(directory.authorityFile)
  const made = createAuthority(network)
  await writeAuthority(directory.authorityFile, made)
  return made
}

const createIssuer = (engine: Engine, root: SigningKey, nowMs: number) => {
  const networkId = networkIdOf(root.publicKey)
  const validity = { notBeforeMs: nowMs - CREDENTIAL_HEAD_START_MS, notAfterMs: nowMs + CREDENTIAL_LIFETIME_MS }
  const publicKeys = (keys: HostKeys) => ({
    algorithm: 'ed25519' as const,
    signingKey: engine.ed25519.keyPairFromSeed(fromHex(keys.signingSeed)).publicKey,
    sealingKey: engine.sealing.publicKeyOf(fromHex(keys.sealingSeed)),
  })
  /** The chains of `host`: those it has, and one for each certifier that it has none of. */
  const complete = (
    host: HostPlan,
    own: HostKeys,
    before: readonly (readonly Uint8Array[])[],
    chains: ReadonlyMap<string, readonly (readonly Uint8Array[])[]>,
    keys: ReadonlyMap<string, HostKeys>,
  ): readonly (readonly Uint8Array[])[] => {
    const common = { networkId, id: host.id, ...publicKeys(own), ...validity, serial: 1 }
    if (host.role !== 'customer' && host.role !== 'merchant') {
      if (before.length > 0) return before
      const address = host.role === 'dc' ? { address: dataCenterAddress(host.realm) } : {}
      return [
        [
          issueProcessor(
            engine,
            { ...common, ...address, role: host.role, realm: host.realm, operatorId: host.operatorId },
            root,
          ),
        ],
      ]
    }
    const { role } = host
    return host.certifiedBy.map((certifier) => {
      const processor = chains.get(certifier)?.[0]?.[0]
      const certifierKeys = keys.get(certifier)
      if (processor === undefined || certifierKeys === undefined)
        throw new Error(`${certifier}, which certifies ${host.id}, is not planned`)
      const kept = before.find((chain) => chain[0] !== undefined && toHex(chain[0]) === toHex(processor))
      return (
        kept ?? [
          processor,
          issueHost(engine, { ...common, role }, signingKeyFromSeed(engine, fromHex(certifierKeys.signingSeed))),
        ]
      )
    })
  }
  return { complete, validity }
}
