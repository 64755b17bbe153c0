/**
 * `semops credential revoke`: the key is refused everywhere, the logins are out of the broker, within a stated time.
 *
 * Invariant: what is revoked is on disk before anybody is told, so an interrupted command is finished by the same command; a
 * revocation is never taken back.
 */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import {
  guestSignerOf,
  readAuthority,
  withFreshSigner,
  withoutRetired,
  withRevoked,
  writeAuthority,
  type AuthorityState,
} from '../../bus/authority.ts'
import { BusError } from '../../bus/bus.ts'
import { attachServer } from '../../bus/nats-server.ts'
import { writeSecretJson } from '../../bus/logins.ts'
import { pushAccount } from '../../bus/revocation.ts'
import type { ServerAddress } from '../../bus/tls-client.ts'
import { toHex } from '../../protocol/bytes.ts'
import { createTrust, verifyRevocationList } from '../../protocol/credentials.ts'
import { loadEngine } from '../../protocol/engines/load.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { CliError } from '../cli/errors.ts'
import { mapBounded } from './concurrency.ts'
import { networkOf, readCredentialsFile, readSecrets } from './credential-issue.ts'
import type { FleetDirectory } from './directory.ts'
import { HostRefusal } from './host-client.ts'
import { createIssuer } from './issuer.ts'
import { readRegister, withChangedKeys, withKeyRoom, writeRegister, type IssuedKey, type Register } from './key-room.ts'
import { knownHosts, type KnownHost } from './known-hosts.ts'
import type { Plan } from './plan.ts'

/** An id, with all its keys; or single keys, in hex. */
export type RevokeTarget = { readonly id: string } | { readonly keyIds: readonly string[] }

export type Revoked = {
  readonly version: number
  readonly keyIds: readonly string[]
  /** Logins that the broker lets in no more. */
  readonly logins: number
  /** Whose keys they were. */
  readonly ids: readonly string[]
  readonly brokerTold: boolean
  /** Running hosts that hold the list, and from when on all did: milliseconds after it was signed. */
  readonly hosts: number
  readonly ms: number
  /** Running hosts that did not answer with the list in time. */
  readonly late: readonly string[]
  /** Wallet hosts that need a new file, since the key that mints guests was changed and theirs is not here. */
  readonly walletsWithoutFile: readonly string[]
}

const HOSTS_AT_ONCE = 16
const POLL_MS = 50
/** A host asks every revocationPollMs; an answer that is lost costs it another round. */
export const REVOCATION_BOUND_MS = 2 * LIMITS.revocationPollMs

/** @throws CliError for an id or key that was never issued */
export const revokeCredential = async (
  directory: FleetDirectory,
  plan: Plan,
  target: RevokeTarget,
  step: (what: string) => void,
): Promise<Revoked> => {
  const signed = await withKeyRoom(directory, () => sign(directory, plan, target, step))
  const startedAt = performance.now()
  const hosts = knownHosts(directory, plan, signed.register).filter(
    ({ id }) => !signed.ids.includes(id) || signed.stillIn.has(id),
  )
  await tellDataCenters(hosts, signed.list, step)
  const { asked, late } = await untilHeld(hosts, signed.version, startedAt + REVOCATION_BOUND_MS, step)
  const { version, keyIds, logins, ids, brokerTold, walletsWithoutFile } = signed
  const ms = Math.round(performance.now() - startedAt)
  return { version, keyIds, logins, ids, brokerTold, hosts: asked - late.length, ms, late, walletsWithoutFile }
}

type Signed = Omit<Revoked, 'hosts' | 'ms' | 'late'> & {
  readonly register: Register
  readonly list: Uint8Array
  /** Ids that lost a former key, and live on with a newer one. */
  readonly stillIn: ReadonlySet<string>
}

const sign = async (
  directory: FleetDirectory,
  plan: Plan,
  target: RevokeTarget,
  step: (what: string) => void,
): Promise<Signed> => {
  const before = await readRegister(directory)
  const meant = keysOf(before, target)
  const authority = await readAuthority(directory.authorityFile)
  const nowMs = Date.now()
  const { rootSeed } = await readSecrets(directory)
  const issuer = createIssuer(rootSeed, authority, nowMs)
  const held = await readRevocations(directory, issuer.rootKey)
  const isNew = meant.some(({ key }) => !held.revoked.includes(key.keyId))
  const keyIds = [...new Set([...held.revoked, ...meant.map(({ key }) => key.keyId)])].filter(
    (keyId) => !isLongOver(before, keyId, nowMs),
  )
  if (keyIds.length > LIMITS.maxRevokedKeys)
    throw new CliError('usage', `a revocation list holds at most ${LIMITS.maxRevokedKeys} keys: change the root key`)
  const version = isNew || held.version === 0 ? held.version + 1 : held.version
  const list = version === held.version ? held.list : issuer.revocationList(version, keyIds)
  const logins = meant.flatMap(({ key }) => key.logins)
  const named = new Set(meant.map(({ key }) => key.keyId))
  const register = withChangedKeys(
    before,
    ({ keyId }) => named.has(keyId),
    (key) => ({ ...key, revokedAtMs: key.revokedAtMs ?? nowMs }),
  )
  const revokedNow = withRevoked(authority, logins, nowMs)
  step(`signing revocation list ${version}`)
  await writeList(directory, list)
  await writeAuthority(directory.authorityFile, revokedNow)
  await writeRegister(directory, register)

  const ids = [...new Set(meant.map(({ id }) => id))]
  const stillIn = new Set(ids.filter((id) => register.ids[id]?.keys.at(-1)?.revokedAtMs === undefined))
  const network = await networkOf(directory, plan)
  step('telling the broker')
  const brokerRuns = (await attachServer(directory.natsDir)) !== undefined
  const brokerTold = brokerRuns && (await pushed(revokedNow, network.address))
  const wallets = ids.filter((id) => register.ids[id]?.role === 'customer')
  const walletsWithoutFile =
    wallets.length === 0
      ? []
      : await changeGuestSigner(directory, plan, register, revokedNow, network.address, brokerTold, step)
  return {
    version,
    keyIds: meant.map(({ key }) => key.keyId),
    logins: logins.length,
    ids,
    brokerTold,
    walletsWithoutFile,
    register,
    list,
    stillIn,
  }
}

const keysOf = (
  { ids }: Register,
  target: RevokeTarget,
): readonly { readonly id: string; readonly key: IssuedKey }[] => {
  if ('id' in target) {
    const issued = ids[target.id]
    if (issued === undefined)
      throw new CliError('usage', `${target.id} was never issued here; \`semops credential list\` shows who was`)
    return issued.keys.map((key) => ({ id: target.id, key }))
  }
  return target.keyIds.map((keyId) => {
    for (const { id, keys } of Object.values(ids)) {
      const key = keys.find((one) => one.keyId === keyId)
      if (key !== undefined) return { id, key }
    }
    throw new CliError('usage', `no key ${keyId}; \`semops credential list --all\` shows every key`)
  })
}

/** Everybody refuses it by their own clock, whatever time a message states: the list need not name it any more. */
const isLongOver = ({ ids }: Register, keyId: string, nowMs: number): boolean =>
  Object.values(ids).some(({ keys }) =>
    keys.some((key) => key.keyId === keyId && key.notAfterMs + LIMITS.expiredKeyGraceMs < nowMs),
  )

type Held = { readonly version: number; readonly revoked: readonly string[]; readonly list: Uint8Array }

/** The newest list; version 0 while there is none. @throws CliError when the file is no list of this root */
export const readRevocations = async (directory: FleetDirectory, rootKey: Uint8Array): Promise<Held> => {
  const list = await readFile(directory.revocationsFile).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  })
  if (list === undefined) return { version: 0, revoked: [], list: new Uint8Array() }
  const read = verifyRevocationList(createTrust(loadEngine(), rootKey), list)
  if (!read.ok)
    throw new CliError('environment', `${directory.revocationsFile}: ${read.failure.detail}; restore it from a copy`)
  return { version: read.value.version, revoked: read.value.revoked.map(toHex), list }
}

const writeList = async (directory: FleetDirectory, list: Uint8Array): Promise<void> => {
  const draft = `${directory.revocationsFile}.${process.pid}.tmp`
  await writeFile(draft, list, { mode: 0o600, flush: true })
  await rename(draft, directory.revocationsFile)
}

/** False when there is no broker: it gets the account at its start. */
const pushed = async (state: AuthorityState, broker: ServerAddress): Promise<boolean> => {
  try {
    await pushAccount(state, broker)
    return true
  } catch (error) {
    if (error instanceof BusError && error.code === 'aborted') return false
    throw error
  }
}

/**
 * A wallet host mints guests under a key that all wallet hosts share, so with one of them the key goes: the others get a new one
 * first, then the old one leaves the account, and with it every guest that it signed.
 * @returns wallet hosts whose file is not here
 */
const changeGuestSigner = async (
  directory: FleetDirectory,
  plan: Plan,
  register: Register,
  authority: AuthorityState,
  broker: ServerAddress,
  brokerRuns: boolean,
  step: (what: string) => void,
): Promise<readonly string[]> => {
  const both = withFreshSigner(authority, 'guest')
  await writeAuthority(directory.authorityFile, both)
  if (brokerRuns) await pushAccount(both, broker)
  const guestSigner = guestSignerOf(both)
  const without: string[] = []
  for (const wallet of knownHosts(directory, plan, register)) {
    if (wallet.role !== 'customer' || register.ids[wallet.id]?.keys.at(-1)?.revokedAtMs !== undefined) continue
    step(`a new key to mint guests with for ${wallet.id}`)
    const file = await readCredentialsFile(wallet.file).catch(() => undefined)
    if (file === undefined) {
      without.push(wallet.id)
      continue
    }
    await writeSecretJson(wallet.file, { ...file, login: { ...file.login, guestSigner } })
    await reloadHost(wallet)
  }
  const one = withoutRetired(both)
  await writeAuthority(directory.authorityFile, one)
  if (brokerRuns) await pushAccount(one, broker)
  return without
}

export type Reloaded = { readonly signingKeyId: string; readonly serial: number; readonly changed: readonly string[] }

/** Tells a running host to read its file again; undefined when it does not run. @throws CliError when it keeps what it had */
export const reloadHost = async (host: KnownHost): Promise<Reloaded | undefined> => {
  const client = await host.connect()
  if (client === undefined) return undefined
  try {
    return await client.builtin<Reloaded>('reload')
  } catch (error) {
    if (!(error instanceof HostRefusal)) throw error
    throw new CliError('environment', `${host.id} keeps the keys it had: ${error.detail}`, { cause: error })
  } finally {
    client.close()
  }
}

const tellDataCenters = async (hosts: readonly KnownHost[], list: Uint8Array, step: (what: string) => void) => {
  const dataCenters = hosts.filter(({ role }) => role === 'dc')
  await mapBounded(dataCenters, HOSTS_AT_ONCE, async (dc) => {
    const client = await dc.connect()
    if (client === undefined) return
    step(`telling ${dc.id}`)
    try {
      await client.builtin('revocations', { list: toHex(list) })
    } finally {
      client.close()
    }
  })
}

/** Waits until every running host holds `version`, at most until `deadline`. */
const untilHeld = async (
  hosts: readonly KnownHost[],
  version: number,
  deadline: number,
  step: (what: string) => void,
): Promise<{ readonly asked: number; readonly late: readonly string[] }> => {
  let asked = 0
  let done = 0
  const late: string[] = []
  await mapBounded(hosts, HOSTS_AT_ONCE, async (host) => {
    const client = await host.connect()
    if (client === undefined) return
    asked += 1
    try {
      for (;;) {
        const held = await client.builtin<{ readonly version: number }>('revocations')
        if (held.version >= version) break
        if (performance.now() > deadline) {
          late.push(host.id)
          return
        }
        await delay(POLL_MS)
      }
      done += 1
      step(`${done} hosts hold revocation list ${version}`)
    } finally {
      client.close()
    }
  })
  return { asked, late: late.toSorted() }
}
