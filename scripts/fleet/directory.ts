/**
 * Where a fleet keeps what it has: keys, credentials, ledgers, logs, sockets. Everything secret is readable by its owner only;
 * `down` leaves all of it, so that `up` resumes the same network and money.
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type FleetDirectory = {
  readonly root: string
  /** The network file as it was when the fleet was made. */
  readonly networkFile: string
  /** Root key, operator and role signing keys: who holds this file can admit anybody. */
  readonly authorityFile: string
  /** Root signing key, account holders' keys. */
  readonly secretsFile: string
  /** What was issued to whom: keys, logins, validity, revocations. Its folder is locked by who changes any of these files. */
  readonly registerFile: string
  /** The newest revocation list, signed by the root; its bytes. */
  readonly revocationsFile: string
  readonly keysDir: string
  /** PINs of the customers that the fleet itself made. */
  readonly pinsFile: string
  /** What is running: written by the supervisor. */
  readonly stateFile: string
  readonly supervisorLog: string
  readonly natsDir: string
  /** The fleet's own authority for TLS, with its key, and the server's certificate: `bus/tls-authority.ts`. */
  readonly tlsDir: string
  readonly sockets: string
  readonly supervisorSocket: string
  readonly credentials: (host: string) => string
  readonly config: (host: string) => string
  readonly ledger: (host: string) => string
  /** Where hosts leave their marks: not beside the ledgers, so that a ledger that is put back does not bring its own. */
  readonly marks: string
  readonly log: (host: string) => string
  readonly socket: (host: string) => string
}

/** A Unix socket's path has at most 107 bytes; a deep run directory keeps its sockets elsewhere, under the same owner. */
const MAX_SOCKET_DIRECTORY = 107 - '/xxxxxxxx-'.length - 54 - '.sock'.length

export const fleetDirectory = (root: string): FleetDirectory => {
  const inside = join(root, 'run')
  const sockets =
    Buffer.byteLength(inside) <= MAX_SOCKET_DIRECTORY
      ? inside
      : join(tmpdir(), `semops-${createHash('sha256').update(root).digest('hex').slice(0, 16)}`)
  return {
    root,
    networkFile: join(root, 'network.yaml'),
    authorityFile: join(root, 'keys', 'authority.json'),
    secretsFile: join(root, 'keys', 'secrets.json'),
    registerFile: join(root, 'keys', 'register.json'),
    revocationsFile: join(root, 'keys', 'revocations.bin'),
    keysDir: join(root, 'keys'),
    pinsFile: join(root, 'keys', 'pins.json'),
    stateFile: join(root, 'fleet.json'),
    supervisorLog: join(root, 'logs', 'supervisor.log'),
    natsDir: join(root, 'nats'),
    tlsDir: join(root, 'tls'),
    sockets,
    supervisorSocket: join(sockets, 'supervisor.sock'),
    credentials: (host) => join(root, 'hosts', `${host}.creds`),
    config: (host) => join(root, 'hosts', `${host}.json`),
    ledger: (host) => join(root, 'ledgers', host),
    marks: join(root, 'marks'),
    log: (host) => join(root, 'logs', `${host}.log`),
    socket: (host) => join(sockets, `${host}.sock`),
  }
}

export const makeFleetDirectory = async (directory: FleetDirectory): Promise<void> => {
  for (const path of ['', 'keys', 'hosts', 'ledgers', 'marks', 'logs', 'nats', 'tls'])
    await mkdir(join(directory.root, path), { recursive: true, mode: 0o700 })
  await mkdir(directory.sockets, { recursive: true, mode: 0o700 })
}

/** Undefined when there is no such file. */
export const readJson = async <T>(path: string): Promise<T | undefined> => {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Replaces the file in one step, readable by its owner only. */
export const writeJson = async (path: string, value: unknown): Promise<void> => {
  const draft = `${path}.${process.pid}.tmp`
  await writeFile(draft, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 })
  await rename(draft, path)
}
