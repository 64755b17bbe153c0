/**
 * Makes what a planned network needs before its first start: the root, the broker's authority, and for each host its keys,
 * credential chains, login and configuration. Running it again adds what is new and changes nothing that is there, so keys
 * and credentials live as long as the fleet's directory.
 */
import { randomBytes, randomInt } from 'node:crypto'
import { access } from 'node:fs/promises'
import { createAuthority, readAuthority, writeAuthority, type AuthorityState } from '../../bus/authority.ts'
import type { HostLogin } from '../../bus/logins.ts'
import type { ServerAddress } from '../../bus/tls-client.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { dataCenterAddress } from '../../protocol/ids.ts'
import { readJson, writeJson, type FleetDirectory } from './directory.ts'
import {
  chainToHex,
  createIssuer,
  freshKeys,
  freshSeed,
  type Chain,
  type CredentialsFile,
  type HostKeys,
  type Issuer,
} from './issuer.ts'
import { nextSerial, readRegister, withKey, writeRegister, type Register } from './key-room.ts'
import type { HostPlan, Plan } from './plan.ts'
import { policyOf } from './policies.ts'

export type Secrets = {
  readonly version: 1
  readonly rootSeed: string
  /** Account → the seed of its holder's key, of accounts that the fleet opened. */
  readonly holders: Record<string, string>
}

/** What start-up and enrolment need of the secrets: nothing leaves the fleet's directory. */
export type Provisioned = {
  readonly rootKey: Uint8Array
  readonly networkId: Uint8Array
  readonly authority: AuthorityState
  /** Public key of an account's holder. */
  readonly holderKey: (account: string) => Uint8Array
  /** The holder's mandate: `operatorId` may debit `account`. */
  readonly mandate: (account: string, operatorId: string, limitMinor: bigint) => Uint8Array
  readonly pin: (owner: string) => string
  /** Everything issued so far. */
  readonly register: Register
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

/**
 * Called with the key room locked.
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
  const secrets: Secrets = (await readJson<Secrets>(directory.secretsFile)) ?? {
    version: 1,
    rootSeed: toHex(randomBytes(32)),
    holders: {},
  }
  const pins: Record<string, string> = (await readJson<Record<string, string>>(directory.pinsFile)) ?? {}
  const currencies = new Map(plan.accounts.map(({ account, currency }) => [account, currency]))
  for (const { account } of plan.accounts) secrets.holders[account] ??= freshSeed()
  // Of customers, and of merchant hosts for their refunds.
  const merchants = plan.hosts.filter(({ role }) => role === 'merchant').map(({ id }) => id)
  for (const owner of [...plan.customers.map(({ customer }) => customer), ...merchants])
    pins[owner] ??= String(randomInt(0, 1_000_000)).padStart(6, '0')
  await writeJson(directory.secretsFile, secrets)
  await writeJson(directory.pinsFile, pins)

  const issuer = createIssuer(secrets.rootSeed, authority, nowMs)
  const before = await readRegister(directory)
  const known = new Map<string, CredentialsFile | undefined>()
  const certified = new Map<string, Certified>()
  // Processors first: they certify wallet and merchant hosts.
  for (const host of plan.hosts.toSorted((a, b) => a.certifiedBy.length - b.certifiedBy.length)) {
    const file = await readJson<CredentialsFile>(directory.credentials(host.id))
    known.set(host.id, file)
    certified.set(host.id, certify(issuer, host, file, nextSerial(before, host.id), certified))
  }
  const directories = plan.hosts.filter(({ role }) => role === 'dc')
  let register = before
  for (const host of plan.hosts) {
    const file = known.get(host.id)
    const { keys, chains } = certified.get(host.id) as Certified
    const login: HostLogin = file?.login ?? (await issuer.login(host, address))
    const { id, role, realm, operatorId, certifiedBy } = host
    await writeJson(directory.credentials(id), {
      // What a rotation left to open old messages with stays.
      ...file,
      version: 1,
      networkName: plan.network,
      rootKey: toHex(issuer.rootKey),
      host: id,
      role,
      realm,
      operatorId,
      login: withAddress(login, address),
      ...keys,
      chains: chains.map(chainToHex),
      // A guest looks a payee up in the payee's realm, so the directories of all realms are known from the start.
      trusted: directories.flatMap((dc) => certified.get(dc.id)?.chains ?? []).map(chainToHex),
      dataCenters: directories.filter((dc) => dc.realm === realm).map((dc) => dc.id),
      realmAddress: dataCenterAddress(realm),
      peerRealms: plan.realms.filter((other) => other !== realm),
    } satisfies CredentialsFile)
    await writeJson(directory.config(id), {
      version: 1,
      ledgerDir: directory.ledger(id),
      runDir: directory.sockets,
      marksDir: directory.marks,
      durability: 'flushed',
      logLevel: 'info',
      policy: policyOf(plan, host),
    })
    const about = { id, role, realm, operatorId, certifiedBy, file: directory.credentials(id) }
    register = withKey(register, about, issuer.issuedKey(chains, login))
  }
  await writeRegister(directory, register)

  const holder = (account: string): string => {
    const seed = secrets.holders[account]
    if (seed === undefined) throw new Error(`the fleet holds no key of account ${account}`)
    return seed
  }
  return {
    rootKey: issuer.rootKey,
    networkId: issuer.networkId,
    authority,
    register,
    holderKey: (account) => issuer.publicKeyOf(holder(account)),
    mandate: (account, operatorId, limitMinor) =>
      issuer.mandate(holder(account), account, operatorId, limitMinor, currencies.get(account) ?? plan.currency),
    pin: (customer) => {
      const pin = pins[customer]
      if (pin === undefined) throw new Error(`the fleet does not know the PIN of ${customer}; give --pin-file`)
      return pin
    },
  }
}

/** A login that reaches its servers as they are now. */
const withAddress = ({ ca: _former, ...login }: HostLogin, address: ServerAddress): HostLogin => ({
  ...login,
  ...address,
})

/** The broker's authority of this fleet, made at the first start. */
export const fleetAuthority = async (directory: FleetDirectory, network: string): Promise<AuthorityState> => {
  if (await exists(directory.authorityFile)) return readAuthority(directory.authorityFile)
  const made = createAuthority(network)
  await writeAuthority(directory.authorityFile, made)
  return made
}

type Certified = { readonly keys: HostKeys; readonly chains: readonly Chain[] }

/** Keys and chains of `host`: those of its file, and a new chain for each certifier that it has none of. */
const certify = (
  issuer: Issuer,
  host: HostPlan,
  file: CredentialsFile | undefined,
  serial: number,
  certified: ReadonlyMap<string, Certified>,
): Certified => {
  const keys: HostKeys = file ?? freshKeys()
  const before = file?.chains.map((chain) => chain.map(fromHex)) ?? []
  const pick = ({ signingSeed, sealingSeed, localKey }: HostKeys): HostKeys => ({ signingSeed, sealingSeed, localKey })
  if (host.role !== 'customer' && host.role !== 'merchant')
    return { keys: pick(keys), chains: before.length > 0 ? before : [issuer.processorChain(host, keys, serial)] }
  const chains = host.certifiedBy.map((id) => {
    const certifier = certified.get(id)
    const credential = certifier?.chains[0]?.[0]
    if (certifier === undefined || credential === undefined)
      throw new Error(`${id}, which certifies ${host.id}, is not planned`)
    const kept = before.find((chain) => chain[0] !== undefined && toHex(chain[0]) === toHex(credential))
    return kept ?? issuer.hostChain(host, keys, { credential, signingSeed: certifier.keys.signingSeed }, serial)
  })
  return { keys: pick(keys), chains }
}
