/**
 * `semops credential issue`: one file with everything that one more host needs to join the network of a directory, running or
 * not. Nothing of the network is restarted or reloaded: the broker knows the role's signing key, data centers learn the
 * credential when the host registers.
 *
 * Invariant: nothing is written over, and what leaves is in the register before it is in the file.
 */
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { readAuthority } from '../../bus/authority.ts'
import { parseHostLogin, readSecretJson } from '../../bus/logins.ts'
import type { ServerAddress } from '../../bus/tls-client.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { dataCenterAddress, isNodeId, realmOf } from '../../protocol/ids.ts'
import { CliError } from '../cli/errors.ts'
import { eachBounded } from './concurrency.ts'
import { readJson, writeJson, type FleetDirectory } from './directory.ts'
import { connectHost, HostRefusal } from './host-client.ts'
import {
  chainToHex,
  createIssuer,
  freshKeys,
  freshSeed,
  statementOfChain,
  subjectsOf,
  type Certifier,
  type Chain,
  type CredentialsFile,
  type Issuer,
  type OperatorAccount,
  type Subject,
} from './issuer.ts'
import { nextSerial, readRegister, withKey, withKeyRoom, writeRegister, type Register } from './key-room.ts'
import { MADE_HOST } from './network-rules.ts'
import type { HostRole, Plan } from './plan.ts'
import { settlementAccountsFor } from './policies.ts'
import type { Secrets } from './provision.ts'

export const ISSUED_ROLES = ['cpp', 'mpp', 'bank', 'dc', 'merchant', 'customer'] as const satisfies readonly HostRole[]

export type IssueOrder = {
  readonly role: HostRole
  readonly id: string
  /** Of processors; by default the id itself, of a data center its realm's address. */
  readonly operatorId: string | undefined
  /** Of wallet and merchant hosts: who certifies them. */
  readonly certifiedBy: readonly string[]
  /** Credentials of certifiers that the directory does not hold. */
  readonly certifierFiles: readonly string[]
  /** Opens the operator's account there. */
  readonly bank: string | undefined
  readonly balanceMinor: bigint
  readonly days: number
  /** Absolute path of the file to make. */
  readonly out: string
  /** New keys for an id that was issued before. */
  readonly again: boolean
}

export type Issued = {
  readonly id: string
  readonly role: HostRole
  readonly file: string
  readonly serial: number
  readonly keyId: string
  readonly notAfterMs: number
  readonly servers: readonly string[]
  readonly account: string | undefined
  /** Running hosts that were told where the new one is settled. */
  readonly told: readonly string[]
}

const isProcessor = (role: HostRole): boolean => role !== 'customer' && role !== 'merchant'

/** @param step told what is being done @throws CliError with what is wrong and what to do */
export const issueCredential = (
  directory: FleetDirectory,
  plan: Plan,
  order: IssueOrder,
  step: (what: string) => void,
): Promise<Issued> =>
  withKeyRoom(directory, async () => {
    const { id, role, out, bank } = order
    if (existsSync(out)) throw new CliError('usage', `${out} is there already; give another --out, or remove it`)
    const register = await readRegister(directory)
    const subject = subjectOf(order, plan, register)
    const secrets = await readSecrets(directory)
    const issuer = createIssuer(secrets.rootSeed, await readAuthority(directory.authorityFile), Date.now())
    const serial = nextSerial(register, id)
    const keys = freshKeys()
    const validity = issuer.validity(order.days)
    const chains = isProcessor(role)
      ? [issuer.processorChain(subject, keys, serial, validity)]
      : (await certifiersOf(directory, plan, order)).map((one) =>
          issuer.hostChain(subject, keys, one, serial, validity),
        )
    const network = await networkOf(directory, plan)
    const login = await issuer.login(subject, network.address)
    const account = bank === undefined ? undefined : accountAt(bank, subject, plan, secrets)
    if (account !== undefined && bank !== undefined) {
      await writeJson(directory.secretsFile, secrets)
      step(`opening ${account.account}`)
      await openAccount(directory, plan, bank, subject, account, order.balanceMinor, issuer)
    }
    step(`writing ${out}`)
    const file: CredentialsFile = {
      version: 1,
      networkName: plan.network,
      rootKey: toHex(issuer.rootKey),
      host: id,
      role,
      realm: subject.realm,
      operatorId: subject.operatorId,
      login,
      ...keys,
      chains: chains.map(chainToHex),
      trusted: network.trusted,
      dataCenters: plan.hosts
        .filter((host) => host.role === 'dc' && host.realm === subject.realm)
        .map((host) => host.id),
      realmAddress: dataCenterAddress(subject.realm),
      peerRealms: plan.realms.filter((realm) => realm !== subject.realm),
      subjects: subjectsOf(subject),
      ...(account === undefined ? {} : { account }),
    }
    const key = issuer.issuedKey(chains, login)
    const about = { ...subject, certifiedBy: certifierIds(chains), file: out }
    await writeRegister(directory, withKey(register, about, key))
    await writeNew(out, file)
    const told = account === undefined ? [] : await tellCounterparties(directory, plan, subject, account.account, step)
    return {
      id,
      role,
      file: out,
      serial,
      keyId: key.keyId,
      notAfterMs: key.notAfterMs,
      servers: network.address.servers,
      account: account?.account,
      told,
    }
  })

/** Refuses before anything is signed. */
const subjectOf = (order: IssueOrder, plan: Plan, register: Register): Subject => {
  const { id, role, certifiedBy, certifierFiles, bank, again } = order
  const usage = (message: string): CliError => new CliError('usage', message)
  if (!isNodeId(id))
    throw usage(`--id ${id} is no id: write <realm>-<name>, realm [a-z0-9]{2,8}, name [a-z0-9-]{1,54}, such as hu-acme`)
  const realm = realmOf(id)
  if (!plan.realms.includes(realm))
    throw usage(`--id ${id}: this network has no realm ${realm}; its realms are ${plan.realms.join(', ')}`)
  const address = dataCenterAddress(realm)
  if (role === 'dc' ? !id.startsWith(`${address}-`) : MADE_HOST.test(id) || id === address)
    throw usage(
      role === 'dc'
        ? `a data center of ${realm} is named ${address}-<n>`
        : `${id} is a name that the fleet gives itself`,
    )
  const operatorId = order.operatorId ?? (role === 'dc' ? address : id)
  if (!isNodeId(operatorId)) throw usage(`--operator ${operatorId} is no id, such as hu-acme`)
  if (isProcessor(role) && certifiedBy.length + certifierFiles.length > 0)
    throw usage(`a ${role} is certified by the root; --certified-by is for merchant and customer hosts`)
  if (!isProcessor(role) && order.operatorId !== undefined)
    throw usage(`--operator is for processors, not for a ${role} host`)
  if (!isProcessor(role) && certifiedBy.length + certifierFiles.length === 0)
    throw usage(`a ${role} host needs --certified-by <id of its ${role === 'merchant' ? 'MPP' : 'CPP'}>`)
  if (bank !== undefined && role !== 'cpp' && role !== 'mpp') throw usage('--bank opens the account of a cpp or mpp')
  const carried =
    plan.payees.find(({ payee }) => payee === id) ??
    plan.customers.find((one) => [one.customer, one.alias].includes(id))
  if (carried !== undefined) throw usage(`${id} is the name of a customer or payee; choose another --id`)
  if (plan.hosts.some((host) => host.id === id))
    throw usage(`${id} is a host of this network file; \`semops credential rotate ${id}\` renews it`)
  const known = register.ids[id]
  if (known !== undefined && known.role !== role)
    throw usage(`${id} was issued as a ${known.role}; choose another --id`)
  if (known !== undefined && !again)
    throw usage(
      `${id} was issued already, to ${known.file}; --again issues new keys, and leaves the old ones valid until they are revoked`,
    )
  return { id, role, realm, operatorId: known?.operatorId ?? operatorId }
}

/** @throws CliError when the network has never started */
export const readSecrets = async (directory: FleetDirectory): Promise<Secrets> => {
  const secrets = await readJson<Secrets>(directory.secretsFile)
  if (secrets === undefined || !existsSync(directory.authorityFile))
    throw new CliError('environment', `the network in ${directory.root} has never started; start it with \`semops up\``)
  return secrets
}

/** @throws CliError when the file cannot be read, is loose, or is none */
export const readCredentialsFile = async (path: string): Promise<CredentialsFile> => {
  try {
    const value = (await readSecretJson(path)) as CredentialsFile
    return { ...value, login: parseHostLogin(value.login) }
  } catch (error) {
    throw new CliError('usage', `${path}: ${(error as Error).message}`, { cause: error })
  }
}

const certifiersOf = async (
  directory: FleetDirectory,
  plan: Plan,
  { role, certifiedBy, certifierFiles }: IssueOrder,
): Promise<readonly Certifier[]> => {
  const wanted = role === 'merchant' ? 'mpp' : 'cpp'
  const given = new Map<string, CredentialsFile>()
  for (const path of certifierFiles) {
    const file = await readCredentialsFile(path)
    given.set(file.host, file)
  }
  const ids = [...new Set([...certifiedBy, ...given.keys()])]
  const certifiers: Certifier[] = []
  for (const id of ids) {
    const file =
      given.get(id) ??
      (plan.hosts.some((host) => host.id === id) ? await readCredentialsFile(directory.credentials(id)) : undefined)
    if (file === undefined)
      throw new CliError('usage', `the keys of ${id} are not in this network; give its file with --certifier-creds`)
    if (file.role !== wanted)
      throw new CliError('usage', `${id} is a ${file.role}; a ${role} host is certified by a ${wanted}`)
    certifiers.push(certifierOf(file))
  }
  return certifiers
}

export const certifierOf = (file: CredentialsFile): Certifier => ({
  credential: fromHex(file.chains[0]?.[0] ?? ''),
  signingSeed: file.signingSeed,
})

const certifierIds = (chains: readonly Chain[]): readonly string[] =>
  chains.filter(({ length }) => length > 1).map((chain) => statementOfChain(chain.slice(0, 1)).id)

/** What every host of the network has in common, as its own hosts' files have it. */
export const networkOf = async (
  directory: FleetDirectory,
  plan: Plan,
): Promise<{
  readonly address: ServerAddress
  readonly trusted: readonly (readonly string[])[]
}> => {
  const [first] = plan.hosts
  const file = first === undefined ? undefined : await readJson<CredentialsFile>(directory.credentials(first.id))
  if (file === undefined)
    throw new CliError('environment', `the network in ${directory.root} has never started; start it with \`semops up\``)
  const { servers, ca } = file.login
  return { address: { servers, ...(ca === undefined ? {} : { ca }) }, trusted: file.trusted }
}

/** The operator's account: the one it has in the network, else a new one under a fresh holder's key, which `secrets` gets. */
const accountAt = (bank: string, { operatorId, role }: Subject, plan: Plan, secrets: Secrets): OperatorAccount => {
  if (!plan.hosts.some((host) => host.id === bank && host.role === 'bank'))
    throw new CliError('usage', `--bank ${bank}: no such bank in this network`)
  const account = `${bank}:${operatorId}`
  const holderSeed = (secrets.holders[account] ??= freshSeed())
  return {
    account,
    currency: plan.currency,
    holderSeed,
    settlementAccounts: settlementAccountsFor(plan, role === 'cpp' ? 'mpp' : 'cpp'),
  }
}

const openAccount = async (
  directory: FleetDirectory,
  plan: Plan,
  bank: string,
  { id, role, operatorId }: Subject,
  { account, currency, holderSeed }: OperatorAccount,
  balanceMinor: bigint,
  issuer: Issuer,
): Promise<void> => {
  // An operator that has its account here already shares it with its new host.
  if (plan.accounts.some((one) => one.account === account)) return
  const client = await connectHost(directory, bank).catch((error: unknown) => {
    throw new CliError(
      'environment',
      `${bank} is not running, so no account can be opened there; start the network with \`semops up\``,
      { cause: error },
    )
  })
  try {
    await client.command('open-account', {
      account,
      holderKey: toHex(issuer.publicKeyOf(holderSeed ?? '')),
      currency,
      balanceMinor: String(balanceMinor),
      operatorId,
      holderHost: { role, host: id },
    })
  } catch (error) {
    if (error instanceof HostRefusal) throw new CliError('usage', error.message, { cause: error })
    throw error
  } finally {
    client.close()
  }
}

const HOSTS_AT_ONCE = 8
type Policy = { readonly settlementAccounts?: Readonly<Record<string, string>> }

/** Every running processor that settles with the new one is told its account: a journalled change of its policy. */
const tellCounterparties = async (
  directory: FleetDirectory,
  plan: Plan,
  { id, role }: Subject,
  account: string,
  step: (what: string) => void,
): Promise<readonly string[]> => {
  const told: string[] = []
  const others = plan.hosts.filter((host) => host.role === (role === 'cpp' ? 'mpp' : 'cpp'))
  step(`telling ${others.length} counterparties where ${id} is settled`)
  await eachBounded(others, HOSTS_AT_ONCE, async (host) => {
    const client = await connectHost(directory, host.id).catch(() => undefined)
    if (client === undefined) return
    try {
      const policy = await client.builtin<Policy>('policy')
      const settlementAccounts = { ...policy.settlementAccounts, [id]: account }
      await client.builtin('set-policy', { policy: { ...policy, settlementAccounts } })
      told.push(host.id)
    } finally {
      client.close()
    }
  })
  return told.toSorted()
}

/** Readable by its owner only, whatever the umask says, and never over another file. */
const writeNew = async (path: string, value: unknown): Promise<void> => {
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
    const { code, message } = error as NodeJS.ErrnoException
    throw new CliError('usage', code === 'EEXIST' ? `${path} is there already; give another --out` : message, {
      cause: error,
    })
  })
  try {
    await file.chmod(0o600)
    await file.writeFile(`${JSON.stringify(value, undefined, 2)}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
}
