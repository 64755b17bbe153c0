/**
 * `semops doctor`: what would let somebody in, or stop the network, looked for on a running or a stopped fleet. Each finding is one
 * line of what is wrong and one of what to do. It only looks: nothing is changed, started or ended.
 */
import { X509Certificate } from 'node:crypto'
import { readdir, readFile, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { attachServer, findServer, OLDEST_SERVER, parseVersion, type ServerVersion } from '../../bus/nats-server.ts'
import { isLoopback } from '../../bus/loopback.ts'
import { tlsFiles } from '../../bus/tls-authority.ts'
import { LedgerLocked, lockLedger } from '../../nodes/runtime/ledger-lock.ts'
import { lmdbStore } from '../../nodes/runtime/lmdb-store.ts'
import { headTable } from '../../nodes/runtime/runtime-tables.ts'
import { createStaged } from '../../nodes/runtime/staged.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { mapBounded } from './concurrency.ts'
import { listCredentials } from './credential-list.ts'
import { readJson, type FleetDirectory } from './directory.ts'
import { readRegister } from './key-room.ts'
import { knownHosts, type KnownHost } from './known-hosts.ts'
import { runsWith } from './leftovers.ts'
import type { Plan } from './plan.ts'
import type { FleetState } from './state.ts'

export const CHECKS = [
  'modes',
  'listen',
  'server',
  'clocks',
  'expiry',
  'revocations',
  'node',
  'disk',
  'leftovers',
] as const
export type CheckName = (typeof CHECKS)[number]

export type Finding = {
  readonly check: CheckName
  /** An error lets somebody in or stops the network; a warning will, or may. */
  readonly level: 'error' | 'warning'
  readonly what: string
  readonly todo: string
}

/** From then on an expiry is near. */
const WARN_DAYS = 30
const DAY_MS = 86_400_000

/** What a diagnosis knows of the machine: given, so that a test can be another one. */
export type Machine = {
  readonly nowMs: () => number
  readonly monotonicMs: () => number
  /** As `process.versions.node`. */
  readonly nodeVersion: string
  /** Text of `nats-server --version`; undefined when there is none. */
  readonly serverText: () => Promise<string | undefined>
  readonly freeBytes: (path: string) => Promise<number>
}

export type Diagnosis = { readonly findings: readonly Finding[]; readonly running: number; readonly hosts: number }

/** @param plan undefined where the directory holds no network: then only the machine is looked at */
export const diagnose = async (
  directory: FleetDirectory,
  plan: Plan | undefined,
  machine: Machine,
  step: (check: CheckName) => void,
): Promise<Diagnosis> => {
  const findings: Finding[] = []
  const look = async (check: CheckName, act: () => Promise<readonly Problem[]>): Promise<void> => {
    step(check)
    findings.push(...(await act()).map(([level, what, todo]): Finding => ({ check, level, what, todo })))
  }
  const hosts = plan === undefined ? [] : knownHosts(directory, plan, await readRegister(directory))
  let running = 0
  await look('node', async () => nodeProblems(machine))
  await look('server', () => serverProblems(machine))
  if (plan !== undefined) {
    await look('modes', () => modeProblems(directory, hosts))
    await look('listen', async () => [
      ...(await listenProblems(directory)),
      ...(await certificateProblems(directory, machine)),
    ])
    await look('clocks', async () => {
      const clocks = await clocksOf(hosts, machine)
      running = clocks.length
      return [...clockProblems(clocks), ...(await ledgerProblems(directory, plan, clocks, machine))]
    })
    await look('expiry', () => expiryProblems(directory, machine))
    await look('revocations', () => revocationProblems(directory, machine))
    await look('disk', () => diskProblems(directory, machine))
    await look('leftovers', () => leftoverProblems(directory))
  }
  const order = (one: Finding): number => (one.level === 'error' ? 0 : 1)
  return { findings: findings.toSorted((a, b) => order(a) - order(b)), running, hosts: hosts.length }
}

type Problem = readonly [level: Finding['level'], what: string, todo: string]

const NODE_FLOOR = [20, 19, 0] as const
const isBelow = (version: readonly number[], floor: readonly number[]): boolean => {
  for (let i = 0; i < 3; i++) {
    const difference = (version[i] ?? 0) - (floor[i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}

const nodeProblems = ({ nodeVersion }: Machine): readonly Problem[] =>
  isBelow(nodeVersion.split('.').map(Number), NODE_FLOOR)
    ? [['error', `Node ${nodeVersion} is older than ${NODE_FLOOR.join('.')}`, 'install a newer Node']]
    : []

/** CVE-2023-47090: an implicit user outside any account; mended in 2.9.23 and 2.10.2. Our configuration has operator mode instead. */
const lacksAccountFix = (version: ServerVersion): boolean =>
  isBelow(version, [2, 9, 23]) || (!isBelow(version, [2, 10, 0]) && isBelow(version, [2, 10, 2]))

const serverProblems = async ({ serverText }: Machine): Promise<readonly Problem[]> => {
  const text = await serverText()
  const version = text === undefined ? undefined : parseVersion(text)
  if (version === undefined)
    return [['error', 'no nats-server is found', 'install it, put it on the PATH, or name it in NATS_SERVER_BIN']]
  const shown = version.join('.')
  if (isBelow(version, OLDEST_SERVER))
    return [['error', `nats-server ${shown} is older than ${OLDEST_SERVER.join('.')}`, 'install a newer nats-server']]
  if (!lacksAccountFix(version)) return []
  return [
    [
      'warning',
      `nats-server ${shown} lets anybody in where a user is defined outside an account (CVE-2023-47090)`,
      'this network defines none, so it is not open to that; install 2.9.23, 2.10.2 or newer all the same',
    ],
  ]
}

const OTHERS = 0o077
const isLoose = (mode: number): boolean => process.platform !== 'win32' && (mode & OTHERS) !== 0
const modeOf = async (path: string): Promise<number | undefined> => {
  try {
    return (await stat(path)).mode & 0o777
  } catch {
    return undefined
  }
}

const inFolder = async (folder: string): Promise<readonly string[]> => {
  try {
    return (await readdir(folder)).map((name) => join(folder, name))
  } catch {
    return []
  }
}

/**
 * Folders close what is in them, so of ledgers and logs the folder counts; secrets and sockets count one by one, since a file keeps
 * its mode when it is moved.
 */
const modeProblems = async (directory: FleetDirectory, hosts: readonly KnownHost[]): Promise<readonly Problem[]> => {
  const { root, keysDir, sockets, natsDir, tlsDir } = directory
  const ledgers = join(root, 'ledgers')
  const folders = [
    root,
    keysDir,
    join(root, 'hosts'),
    ledgers,
    join(root, 'logs'),
    natsDir,
    tlsDir,
    sockets,
    ...(await inFolder(ledgers)),
  ]
  const files = [
    ...(await inFolder(keysDir)),
    ...(await inFolder(join(root, 'hosts'))),
    ...(await inFolder(sockets)),
    ...(await inFolder(tlsDir)),
    join(natsDir, 'nats-server.conf'),
    directory.stateFile,
    ...hosts.filter(({ planned }) => !planned).map(({ file }) => file),
  ]
  const problems: Problem[] = []
  for (const [paths, wanted] of [
    [folders, '700'],
    [files, '600'],
  ] as const)
    for (const path of paths) {
      const mode = await modeOf(path)
      if (mode !== undefined && isLoose(mode))
        problems.push([
          'error',
          `${path} is open to others than its owner (mode ${mode.toString(8)})`,
          `chmod ${wanted} ${path}`,
        ])
    }
  return problems
}

type ServerConf = {
  readonly host?: unknown
  readonly tls?: unknown
  readonly operator?: unknown
  readonly resolver?: { readonly type?: unknown }
}

/** The configuration that the broker was last started with. */
const listenProblems = async ({ natsDir }: FleetDirectory): Promise<readonly Problem[]> => {
  const file = join(natsDir, 'nats-server.conf')
  const conf = await readJson<ServerConf>(file).catch(() => null)
  if (conf === undefined) return []
  if (conf === null)
    return [['error', `${file} is not what this program wrote`, 'remove it and start the network again']]
  const host = typeof conf.host === 'string' ? conf.host : '0.0.0.0'
  const problems: Problem[] = []
  if (!isLoopback(host) && conf.tls === undefined)
    problems.push(['error', `the broker listens on ${host} without TLS`, 'let it listen on 127.0.0.1, or with TLS'])
  if (typeof conf.operator !== 'string')
    problems.push([
      'error',
      'the broker runs without an operator: users may be outside every account',
      'start the network again',
    ])
  if (conf.resolver?.type !== 'full')
    problems.push([
      'error',
      'the broker takes no account updates: a revocation cannot be pushed',
      'start the network again',
    ])
  return problems
}

/** A start renews it, so it matters to a network that has run for long. */
const certificateProblems = async ({ tlsDir }: FleetDirectory, { nowMs }: Machine): Promise<readonly Problem[]> => {
  const text = await readFile(tlsFiles(tlsDir).serverCert, 'utf8').catch(() => undefined)
  if (text === undefined) return []
  const daysLeft = Math.floor((Date.parse(new X509Certificate(text).validTo) - nowMs()) / DAY_MS)
  const todo = 'semops restart nats'
  if (daysLeft < 0) return [['error', "the broker's certificate has expired: nobody can log in", todo]]
  return daysLeft < WARN_DAYS ? [['warning', `the broker's certificate expires in ${daysLeft} days`, todo]] : []
}

/** How far a host's time is ahead of this machine's; the question's own way is the error. */
type HostClock = { readonly id: string; readonly aheadMs: number; readonly errorMs: number }

const HOSTS_AT_ONCE = 8

const clocksOf = async (
  hosts: readonly KnownHost[],
  { nowMs, monotonicMs }: Machine,
): Promise<readonly HostClock[]> => {
  const clocks = await mapBounded(hosts, HOSTS_AT_ONCE, async ({ id, connect }): Promise<HostClock | undefined> => {
    const client = await connect()
    if (client === undefined) return undefined
    try {
      const before = monotonicMs()
      const status = await client.builtin<{ readonly nowMs: number }>('status')
      const errorMs = Math.ceil((monotonicMs() - before) / 2)
      return { id, aheadMs: Math.round(status.nowMs - (nowMs() - errorMs)), errorMs }
    } catch {
      return undefined
    } finally {
      client.close()
    }
  })
  return clocks.filter((clock) => clock !== undefined)
}

const seconds = (ms: number): string => `${(Math.abs(ms) / 1000).toFixed(1)} s`

const clockProblems = (clocks: readonly HostClock[]): readonly Problem[] => {
  const limit = LIMITS.maxFutureSkewMs
  const limitText = `the limit is ${limit / 1000} s`
  const off = clocks.filter(({ aheadMs, errorMs }) => Math.abs(aheadMs) - errorMs > limit)
  const problems = off.map(({ id, aheadMs }): Problem => [
    'error',
    `the time of ${id} is ${seconds(aheadMs)} ${aheadMs > 0 ? 'ahead of' : 'behind'} this machine's; ${limitText}`,
    `set the clock of its machine, then \`semops restart ${id}\``,
  ])
  const [first, last] = [
    clocks.toSorted((a, b) => a.aheadMs - b.aheadMs).at(0),
    clocks.toSorted((a, b) => a.aheadMs - b.aheadMs).at(-1),
  ]
  if (
    off.length === 0 &&
    first !== undefined &&
    last !== undefined &&
    last.aheadMs - first.aheadMs - last.errorMs - first.errorMs > limit
  )
    problems.push([
      'error',
      `${last.id} is ${seconds(last.aheadMs - first.aheadMs)} ahead of ${first.id}; ${limitText}`,
      'set both clocks by the same source',
    ])
  return problems
}

/** A ledger that has seen a later time goes on from there: every message of its host would be from the future. */
const ledgerProblems = async (
  directory: FleetDirectory,
  plan: Plan,
  running: readonly HostClock[],
  { nowMs }: Machine,
): Promise<readonly Problem[]> => {
  const problems: Problem[] = []
  for (const { id } of plan.hosts) {
    if (running.some((clock) => clock.id === id)) continue
    const highestMs = await highestOf(directory.ledger(id))
    const aheadMs = (highestMs ?? 0) - nowMs()
    if (aheadMs > LIMITS.maxFutureSkewMs)
      problems.push([
        'error',
        `the ledger of ${id} has seen a time ${seconds(aheadMs)} ahead of this machine's clock`,
        'set the clock right, or wait until it has caught up, before the host starts',
      ])
  }
  return problems
}

/** The latest time in a ledger that nobody has open; undefined when there is none, or somebody has. */
const highestOf = async (ledgerDir: string): Promise<number | undefined> => {
  const file = join(ledgerDir, 'ledger.mdb')
  if ((await modeOf(file)) === undefined) return undefined
  let lock
  try {
    lock = lockLedger(ledgerDir)
  } catch (error) {
    if (error instanceof LedgerLocked) return undefined
    throw error
  }
  const store = lmdbStore(file)
  try {
    return createStaged(store).get(headTable, 'head')?.highestNowMs
  } finally {
    await store.close()
    lock.release()
  }
}

const expiryProblems = async (directory: FleetDirectory, { nowMs }: Machine): Promise<readonly Problem[]> => {
  const lines = await listCredentials(directory, nowMs())
  return lines
    .filter(({ inUse, revoked }) => inUse && !revoked)
    .flatMap(({ id, state, daysLeft }): readonly Problem[] => {
      const todo = `semops credential rotate ${id}`
      if (state === 'expired') return [['error', `the credential of ${id} has expired: nobody believes its key`, todo]]
      if (state === 'not yet valid')
        return [['error', `the credential of ${id} is not valid yet: is this machine's clock right?`, 'set the clock']]
      if (daysLeft < WARN_DAYS) return [['warning', `the credential of ${id} expires in ${daysLeft} days`, todo]]
      return []
    })
}

const revocationProblems = async (directory: FleetDirectory, { nowMs }: Machine): Promise<readonly Problem[]> => {
  const { ids } = await readRegister(directory)
  return Object.values(ids).flatMap(({ id, keys }): readonly Problem[] => {
    const last = keys.at(-1)
    const problems: Problem[] = keys
      .filter((key) => key !== last && key.revokedAtMs === undefined && (key.overlapsUntilMs ?? 0) < nowMs())
      .filter(({ notAfterMs }) => notAfterMs > nowMs())
      .map(({ keyId }) => ['warning', `a former key of ${id} is still good`, `semops credential revoke --key ${keyId}`])
    if (last?.revokedAtMs !== undefined)
      problems.push([
        'warning',
        `${id} is revoked and cannot take part`,
        `semops credential rotate ${id}, or leave it out`,
      ])
    return problems
  })
}

const MIB = 1_048_576
const DISK_ERROR_BYTES = 256 * MIB
const DISK_WARNING_BYTES = 2_048 * MIB

const diskProblems = async ({ root }: FleetDirectory, { freeBytes }: Machine): Promise<readonly Problem[]> => {
  const free = await freeBytes(root)
  if (free >= DISK_WARNING_BYTES) return []
  return [
    [
      free < DISK_ERROR_BYTES ? 'error' : 'warning',
      `${Math.floor(free / MIB)} MiB are free where the ledgers are; a host whose ledger cannot grow stops`,
      `make room on the file system of ${root}`,
    ],
  ]
}

/** What still runs though no supervisor does. */
const leftoverProblems = async (directory: FleetDirectory): Promise<readonly Problem[]> => {
  try {
    lockLedger(directory.root).release()
  } catch (error) {
    if (error instanceof LedgerLocked) return []
    throw error
  }
  const state = await readJson<FleetState>(directory.stateFile).catch(() => undefined)
  const todo = 'semops down'
  const problems: Problem[] = []
  for (const { id, pid } of state?.hosts ?? [])
    if (pid !== undefined && (await runsWith(pid, directory.config(id))))
      problems.push(['warning', `${id} still runs (pid ${pid}) without a supervisor`, todo])
  const server = await attachServer(directory.natsDir)
  if (server !== undefined)
    problems.push(['warning', `the broker still runs (pid ${server.pid}) without a supervisor`, todo])
  return problems
}

/** This machine. */
export const thisMachine = (run: (bin: string) => Promise<string>): Machine => ({
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  nodeVersion: process.versions.node,
  serverText: async () => {
    const bin = findServer()
    return bin === undefined ? undefined : run(bin).catch(() => undefined)
  },
  freeBytes: async (path) => {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  },
})
