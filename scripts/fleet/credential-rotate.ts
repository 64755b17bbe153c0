/**
 * `semops credential rotate`: a new message key, sealing key and login for a host, while it goes on. The old ones stay good until
 * they are revoked, so what was sealed with or encrypted to them is still read.
 *
 * Invariant: a host's local key never changes (its ledger is encrypted under it), and its file names the old keys for as long as
 * something may still need them.
 */
import { writeSecretJson } from '../../bus/logins.ts'
import { readAuthority } from '../../bus/authority.ts'
import { fromHex } from '../../protocol/bytes.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { CliError } from '../cli/errors.ts'
import { certifierOf, networkOf, readCredentialsFile, readSecrets } from './credential-issue.ts'
import { reloadHost } from './credential-revoke.ts'
import type { FleetDirectory } from './directory.ts'
import {
  chainToHex,
  createIssuer,
  freshSeed,
  statementOfChain,
  type CredentialsFile,
  type HostKeys,
  type Issuer,
} from './issuer.ts'
import {
  currentKey,
  nextSerial,
  readRegister,
  withChangedKeys,
  withKey,
  withKeyRoom,
  writeRegister,
  type Register,
} from './key-room.ts'
import { knownHosts, type KnownHost } from './known-hosts.ts'
import type { Plan } from './plan.ts'

/**
 * The longest that a payment request lives, as the wallet and its CPP may see the time: what was encrypted to an old key is opened
 * until then.
 */
export const DEFAULT_OVERLAP_MS = LIMITS.maxTransLifetimeMs + 2 * LIMITS.maxFutureSkewMs

export type RotateOptions = { readonly overlapMs: number; readonly days: number }

export type Rotated = {
  readonly id: string
  readonly serial: number
  readonly keyId: string
  readonly oldKeyId: string
  readonly notAfterMs: number
  /** The old key is needed until then. */
  readonly overlapsUntilMs: number
  /** It runs, and has taken the new keys on. */
  readonly reloaded: boolean
  /** Hosts that it certifies, certified anew: those that run have taken that on. */
  readonly certified: readonly string[]
  /** Hosts that must be given a new file by whoever runs them: theirs is not here. */
  readonly withoutFile: readonly string[]
}

/** @throws CliError for an id that was never issued, or whose file is not here */
export const rotateCredential = async (
  directory: FleetDirectory,
  plan: Plan,
  id: string,
  options: RotateOptions,
  step: (what: string) => void,
): Promise<Rotated> =>
  withKeyRoom(directory, async () => {
    const hosts = knownHosts(directory, plan, await readRegister(directory))
    const host = hosts.find((one) => one.id === id)
    if (host === undefined)
      throw new CliError('usage', `${id} was never issued here; \`semops credential list\` shows who was`)
    const room = await openRoom(directory, plan, hosts)
    const before = await readCredentialsFile(host.file)
    step(`new keys for ${id}`)
    const fresh = await room.renew(host, before, options)
    const oldKeyId = room.issuer.keyId(before)
    const withoutFile: string[] = []
    // Whoever does not know a data center's new key cannot read the answer to the question for it.
    if (host.role === 'dc') {
      const trusted = [...fresh.chains, ...before.chains]
      withoutFile.push(...(await room.trust(id, trusted, step)))
    }
    const register = await readRegister(directory)
    await room.save(host, fresh, oldKeyId, options)
    step(`${id} takes them on`)
    const reloaded =
      (await reloadHost(host).catch(async (error: unknown) => {
        // The new keys were nowhere but in the file that was not taken.
        await writeSecretJson(host.file, before)
        await writeRegister(directory, register)
        throw error
      })) !== undefined
    const certified: string[] = []
    for (const one of hosts.filter(({ certifiedBy }) => certifiedBy.includes(id))) {
      step(`${one.id} is certified anew`)
      if (await room.certifyAnew(one, fresh)) certified.push(one.id)
      else withoutFile.push(one.id)
    }
    const key = currentKey((await readRegister(directory)).ids[id] ?? never(id))
    return {
      id,
      serial: key.serial,
      keyId: key.keyId,
      oldKeyId,
      notAfterMs: key.notAfterMs,
      overlapsUntilMs: room.nowMs + options.overlapMs,
      reloaded,
      certified,
      withoutFile,
    }
  })

/** In which order all are rotated: who certifies goes before whom it certifies. */
export const rotationOrder = ({ hosts }: Plan): readonly string[] =>
  ORDER.flatMap((role) => hosts.filter((host) => host.role === role).map(({ id }) => id))
const ORDER = ['dc', 'bank', 'cpp', 'mpp', 'merchant', 'customer'] as const

const never = (id: string): never => {
  throw new Error(`${id} is not in the register`)
}

const openRoom = async (directory: FleetDirectory, plan: Plan, hosts: readonly KnownHost[]) => {
  const { rootSeed } = await readSecrets(directory)
  const nowMs = Date.now()
  const issuer = createIssuer(rootSeed, await readAuthority(directory.authorityFile), nowMs)
  const network = await networkOf(directory, plan)

  /** A file with new keys, login and chains; the old keys stand in `previous`. */
  const renew = async (
    host: KnownHost,
    before: CredentialsFile,
    { overlapMs, days }: RotateOptions,
  ): Promise<CredentialsFile> => {
    const serial = nextSerial(await readRegister(directory), host.id)
    const keys: HostKeys = { signingSeed: freshSeed(), sealingSeed: freshSeed(), localKey: before.localKey }
    const validity = { ...issuer.validity(days), notBeforeMs: beginOf(before) }
    const subject = { id: host.id, role: host.role, realm: before.realm, operatorId: before.operatorId }
    const chains =
      host.certifiedBy.length === 0
        ? [issuer.processorChain(subject, keys, serial, validity)]
        : await Promise.all(
            host.certifiedBy.map(async (id) =>
              issuer.hostChain(subject, keys, await certifier(hosts, id), serial, validity),
            ),
          )
    const login = await issuer.login(subject, network.address)
    const old = {
      signingKeyId: issuer.keyId(before),
      sealingSeed: before.sealingSeed,
      chains: before.chains,
      untilMs: nowMs + overlapMs,
    }
    return {
      ...before,
      ...keys,
      login,
      chains: chains.map(chainToHex),
      previous: [...(before.previous ?? []).filter(({ untilMs }) => untilMs > nowMs), old],
    }
  }

  const save = async (
    host: KnownHost,
    fresh: CredentialsFile,
    oldKeyId: string,
    { overlapMs }: RotateOptions,
  ): Promise<void> => {
    const register = withChangedKeys(
      await readRegister(directory),
      ({ keyId }) => keyId === oldKeyId,
      (key) => ({ ...key, overlapsUntilMs: nowMs + overlapMs }),
    )
    await writeRegister(directory, entered(issuer, register, host, fresh))
    await writeSecretJson(host.file, fresh)
  }

  /** The same keys under a processor's new one. False when its file is not here. */
  const certifyAnew = async (host: KnownHost, processor: CredentialsFile): Promise<boolean> => {
    const file = await readCredentialsFile(host.file).catch(() => undefined)
    if (file === undefined) return false
    const register = await readRegister(directory)
    const subject = { id: host.id, role: host.role, realm: file.realm, operatorId: file.operatorId }
    const notAfterMs = currentKey(register.ids[host.id] ?? never(host.id)).notAfterMs
    const validity = { notBeforeMs: beginOf(file), notAfterMs }
    const chain = issuer.hostChain(subject, file, certifierOf(processor), nextSerial(register, host.id), validity)
    const chains = file.chains.map((one) =>
      statementOfChain(one.slice(0, 1).map(fromHex)).id === processor.host ? chainToHex(chain) : one,
    )
    const fresh: CredentialsFile = { ...file, chains }
    await writeRegister(directory, entered(issuer, register, host, fresh))
    await writeSecretJson(host.file, fresh)
    await reloadHost(host)
    return true
  }

  /** Every other host believes these chains of data center `id`. @returns those whose file is not here */
  const trust = async (
    id: string,
    chains: readonly (readonly string[])[],
    step: (what: string) => void,
  ): Promise<readonly string[]> => {
    const without: string[] = []
    for (const host of hosts) {
      if (host.id === id) continue
      const file = await readCredentialsFile(host.file).catch(() => undefined)
      if (file === undefined) {
        without.push(host.id)
        continue
      }
      step(`${host.id} learns the new key of ${id}`)
      const others = file.trusted.filter((chain) => statementOfChain(chain.map(fromHex)).id !== id)
      await writeSecretJson(host.file, { ...file, trusted: [...others, ...chains] })
      await reloadHost(host)
    }
    return without
  }
  return { issuer, nowMs, renew, save, certifyAnew, trust }
}

/** What waits in an outbox since before the rotation is sealed with the new key, so that begins no later than the old one. */
const beginOf = ({ chains }: CredentialsFile): number =>
  Math.min(...chains.map((chain) => statementOfChain(chain.map(fromHex)).notBeforeMs))

const certifier = async (hosts: readonly KnownHost[], id: string) => {
  const host = hosts.find((one) => one.id === id)
  const file = host === undefined ? undefined : await readCredentialsFile(host.file)
  if (file === undefined) throw new CliError('usage', `the keys of ${id}, which certifies it, are not in this network`)
  return certifierOf(file)
}

const entered = (issuer: Issuer, register: Register, host: KnownHost, file: CredentialsFile): Register =>
  withKey(
    register,
    {
      id: host.id,
      role: host.role,
      realm: file.realm,
      operatorId: file.operatorId,
      certifiedBy: host.certifiedBy,
      file: host.file,
    },
    issuer.issuedKey(
      file.chains.map((chain) => chain.map(fromHex)),
      file.login,
    ),
  )
