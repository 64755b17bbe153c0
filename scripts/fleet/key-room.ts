/**
 * The fleet's key files: who may change them, and what was issued with them. Invariant: one process at a time reads them, changes
 * them and writes them back; nothing that was issued is ever struck from the register, so it can always be revoked.
 */
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { LedgerLocked, lockLedger, type LedgerLock } from '../../nodes/runtime/ledger-lock.ts'
import { CliError } from '../cli/errors.ts'
import { readJson, writeJson, type FleetDirectory } from './directory.ts'
import type { HostRole } from './plan.ts'

/** One message key of an id, and the bus logins that were issued with it. */
export type IssuedKey = {
  readonly serial: number
  /** In hex. */
  readonly keyId: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly issuedAtMs: number
  /** Encoded public nkeys. */
  readonly logins: readonly string[]
  readonly revokedAtMs?: number
  /** When a rotation that did not revoke it at once said that it may be. */
  readonly overlapsUntilMs?: number
}
export type IssuedId = {
  readonly id: string
  readonly role: HostRole
  readonly realm: string
  readonly operatorId: string
  readonly certifiedBy: readonly string[]
  /** Where its credentials were written. */
  readonly file: string
  /** Oldest first; the last is in use. */
  readonly keys: readonly IssuedKey[]
}
export type Register = { readonly version: 1; readonly ids: Readonly<Record<string, IssuedId>> }

const EMPTY: Register = { version: 1, ids: {} }

export const readRegister = async (directory: FleetDirectory): Promise<Register> =>
  (await readJson<Register>(directory.registerFile)) ?? EMPTY
/** For who cannot wait: what a status says of a host. */
export const readRegisterNow = (directory: FleetDirectory): Register =>
  existsSync(directory.registerFile) ? (JSON.parse(readFileSync(directory.registerFile, 'utf8')) as Register) : EMPTY
export const writeRegister = (directory: FleetDirectory, register: Register): Promise<void> =>
  writeJson(directory.registerFile, register)

/** The serial that the next credential of `id` bears. */
export const nextSerial = ({ ids }: Register, id: string): number =>
  Math.max(0, ...(ids[id]?.keys.map(({ serial }) => serial) ?? [])) + 1

/** The key in use. */
export const currentKey = (issued: IssuedId): IssuedKey => {
  const last = issued.keys.at(-1)
  if (last === undefined) throw new Error(`the register knows no key of ${issued.id}`)
  return last
}

/** Is the key that `id` has in use revoked? An id that the register does not know is not. */
export const isRevokedId = ({ ids }: Register, id: string): boolean => {
  const issued = ids[id]
  return issued !== undefined && currentKey(issued).revokedAtMs !== undefined
}

/**
 * Adds a key. One that is there, certified anew or given another login, keeps all its logins. What is said of the id itself is
 * replaced.
 */
export const withKey = (register: Register, about: Omit<IssuedId, 'keys'>, key: IssuedKey): Register => {
  const before = register.ids[about.id]?.keys ?? []
  const again = (one: IssuedKey): IssuedKey => ({
    ...one,
    serial: Math.max(one.serial, key.serial),
    notBeforeMs: key.notBeforeMs,
    notAfterMs: key.notAfterMs,
    logins: [...new Set([...one.logins, ...key.logins])],
  })
  const keys = before.some(({ keyId }) => keyId === key.keyId)
    ? before.map((one) => (one.keyId === key.keyId ? again(one) : one))
    : [...before, key]
  const { id, role, realm, operatorId, certifiedBy, file } = about
  return { version: 1, ids: { ...register.ids, [id]: { id, role, realm, operatorId, certifiedBy, file, keys } } }
}

/** Changes the keys that `concerns` names. */
export const withChangedKeys = (
  register: Register,
  concerns: (key: IssuedKey, id: IssuedId) => boolean,
  change: (key: IssuedKey) => IssuedKey,
): Register => ({
  version: 1,
  ids: Object.fromEntries(
    Object.entries(register.ids).map(([name, issued]) => [
      name,
      { ...issued, keys: issued.keys.map((key) => (concerns(key, issued) ? change(key) : key)) },
    ]),
  ),
})

const PATIENCE_MS = 20_000
const POLL_MS = 50

/**
 * Runs `act` while no other process changes the key files. Waits for the one that does.
 * @throws CliError when it takes too long
 */
export const withKeyRoom = async <T>(directory: FleetDirectory, act: () => Promise<T>): Promise<T> => {
  const lock = await locked(directory)
  try {
    return await act()
  } finally {
    lock.release()
  }
}

const locked = async (directory: FleetDirectory): Promise<LedgerLock> => {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      return lockLedger(directory.keysDir)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT')
        throw new CliError('environment', `no network in ${directory.root}; start one with \`semops up\``)
      if (!(error instanceof LedgerLocked)) throw error
      if (performance.now() > deadline)
        throw new CliError('environment', `another command changes the keys in ${directory.keysDir}; try again later`)
      await delay(POLL_MS)
    }
  }
}
