/**
 * A nats-server process: found, started on a port it picks itself, ready when it says its ports, stopped by its pid, and
 * started again on the same port with the same accounts.
 *
 * Invariant: a signal goes only to a process that was started here, or that still owns the directory it was started in.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { accessSync, constants, openSync, closeSync, readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { BrokerTrust } from './authority.ts'
import { BUS_LIMITS } from './bus-limits.ts'
import { checkListen, serverConfig, type ClusterListen, type ServerListen } from './server-config.ts'

/** Older ones lack scoped templates or a resolver that pushes. */
export const OLDEST_SERVER = [2, 9, 10] as const
export type ServerVersion = readonly [major: number, minor: number, patch: number]

export type NatsServer = AsyncDisposable & {
  /** What clients connect to: `nats://127.0.0.1:34567`. */
  readonly url: string
  readonly port: number
  readonly pid: number
  readonly version: ServerVersion
  readonly dir: string
  /** SIGTERM, then SIGKILL when it does not end in time. Resolves when the process is gone. */
  stop(): Promise<void>
  /** SIGKILL: what a power cut does. Resolves when the process is gone. */
  kill(): Promise<void>
}

export type StartOptions = {
  /** The server's own directory, created when missing: configuration, accounts, log, ports. */
  readonly dir: string
  readonly trust: BrokerTrust
  readonly listen?: ServerListen
  /** Its part in a cluster; {@link startCluster} of `nats-cluster.ts` starts all of one. */
  readonly cluster?: ClusterListen
  /** Default: {@link findServer}. */
  readonly bin?: string
  /** Outlives this process, with a session of its own. */
  readonly detached?: boolean
}

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** `$NATS_SERVER_BIN`, PATH, then where Debian and others put it; undefined when there is none. */
export const findServer = (env: NodeJS.ProcessEnv = process.env): string | undefined => {
  if (env.NATS_SERVER_BIN !== undefined && env.NATS_SERVER_BIN !== '')
    return isExecutable(env.NATS_SERVER_BIN) ? env.NATS_SERVER_BIN : undefined
  const name = process.platform === 'win32' ? 'nats-server.exe' : 'nats-server'
  const folders = [...(env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/usr/local/bin']
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find(isExecutable)
}

/** `nats-server: v2.9.10` → [2, 9, 10]; undefined for other text. */
export const parseVersion = (text: string): ServerVersion | undefined => {
  const match = /\bv?(\d+)\.(\d+)\.(\d+)/.exec(text)
  return match === null ? undefined : [Number(match[1]), Number(match[2]), Number(match[3])]
}

const isOlder = (version: ServerVersion, than: ServerVersion): boolean => {
  for (let i = 0; i < 3; i++) {
    const difference = (version[i] as number) - (than[i] as number)
    if (difference !== 0) return difference < 0
  }
  return false
}

/** @throws Error when `bin` is no nats-server, or one older than {@link OLDEST_SERVER}. */
export const serverVersion = async (bin: string): Promise<ServerVersion> => {
  const { stdout } = await promisify(execFile)(bin, ['--version'], { timeout: BUS_LIMITS.serverStartTimeoutMs })
  const version = parseVersion(stdout)
  if (version === undefined) throw new Error(`${bin} does not say which nats-server it is`)
  if (isOlder(version, OLDEST_SERVER))
    throw new Error(`${bin} is nats-server ${version.join('.')}; at least ${OLDEST_SERVER.join('.')} is needed`)
  return version
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

const logTail = (log: string): string => {
  try {
    return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-4).join('\n')
  } catch {
    return ''
  }
}

const POLL_MS = 10

/** The URL in `<dir>/<executable>_<pid>.ports`, once it is written whole. */
const readPorts = async (dir: string, pid: number): Promise<string | undefined> => {
  const file = (await readdir(dir)).find((name) => name.endsWith(`_${pid}.ports`))
  if (file === undefined) return undefined
  try {
    const ports = JSON.parse(await readFile(join(dir, file), 'utf8')) as { nats?: string[]; tls?: string[] }
    return ports.nats?.[0] ?? ports.tls?.[0]
  } catch {
    return undefined
  }
}

const portOf = (url: string): number => Number(new URL(url.replace(/^(nats|tls):/, 'http:')).port)

const stateFile = (dir: string): string => join(dir, 'server.json')
type ServerState = { readonly pid: number; readonly url: string; readonly version: ServerVersion }

/**
 * Starts a server and waits until it takes connections. In a directory where one has run before, the port is the one it had,
 * unless `listen.port` says another.
 * @throws Error with the end of the server's log when it ends instead.
 */
export const startServer = async (options: StartOptions): Promise<NatsServer> => {
  const { dir, trust, detached = false } = options
  const bin = options.bin ?? findServer()
  await checkListen(options.listen ?? {}, Date.now())
  if (bin === undefined)
    throw new Error('nats-server not found: install it, put it on the PATH, or name it in NATS_SERVER_BIN')
  const version = await serverVersion(bin)
  await mkdir(join(dir, 'accounts'), { recursive: true, mode: 0o700 })
  const before = await readState(dir)
  if (before !== undefined && (await ownsDirectory(dir, before.pid)))
    throw new Error(`a nats-server with pid ${before.pid} already runs in ${dir}`)
  for (const name of await readdir(dir)) if (name.endsWith('.ports')) await rm(join(dir, name))

  const port = options.listen?.port ?? (before === undefined ? -1 : portOf(before.url))
  const configFile = join(dir, 'nats-server.conf')
  await writeFile(configFile, serverConfig(dir, { ...options.listen, port }, trust, options.cluster), { mode: 0o600 })
  const log = join(dir, 'nats-server.log')
  const output = openSync(log, 'a', 0o600)
  const child = spawn(bin, ['-c', configFile], { stdio: ['ignore', output, output], detached })
  closeSync(output)
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(`exit ${code ?? signal}`))
    child.once('error', (error) => resolve(error.message))
  })
  let end: string | undefined
  void ended.then((how) => (end = how))
  if (detached) child.unref()
  else killWithParent(child)

  const deadline = Date.now() + BUS_LIMITS.serverStartTimeoutMs
  for (;;) {
    if (end !== undefined) throw new Error(`nats-server did not start (${end})\n${logTail(log)}`)
    const url = child.pid === undefined ? undefined : await readPorts(dir, child.pid)
    if (url !== undefined) {
      const pid = child.pid as number
      await writeFile(stateFile(dir), JSON.stringify({ pid, url, version } satisfies ServerState))
      return handle(dir, { pid, url, version }, () => ended.then(() => undefined))
    }
    if (Date.now() > deadline) {
      child.kill('SIGKILL')
      await ended
      throw new Error(`nats-server did not say its ports in time\n${logTail(log)}`)
    }
    await delay(POLL_MS)
  }
}

/** The server that another process started in `dir` and that still runs; undefined when there is none. */
export const attachServer = async (dir: string): Promise<NatsServer | undefined> => {
  const state = await readState(dir)
  if (state === undefined || !(await ownsDirectory(dir, state.pid))) return undefined
  return handle(dir, state, async () => {
    while (isAlive(state.pid)) await delay(POLL_MS)
  })
}

const readState = async (dir: string): Promise<ServerState | undefined> => {
  try {
    return JSON.parse(await readFile(stateFile(dir), 'utf8')) as ServerState
  } catch {
    return undefined
  }
}

/** A pid may have been given to another process: the one meant has its ports file here, and our configuration as argument. */
const ownsDirectory = async (dir: string, pid: number): Promise<boolean> => {
  if (!isAlive(pid) || (await readPorts(dir, pid)) === undefined) return false
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).includes(join(dir, 'nats-server.conf'))
  } catch {
    // No /proc on this platform; within /proc, a process that has just gone.
    return process.platform !== 'linux'
  }
}

const handle = (dir: string, { pid, url, version }: ServerState, gone: () => Promise<void>): NatsServer => {
  const signal = (name: NodeJS.Signals): void => {
    try {
      process.kill(pid, name)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  let ending: Promise<void> | undefined
  const end = async (first: NodeJS.Signals): Promise<void> => {
    signal(first)
    const exit = gone()
    const late = setTimeout(() => signal('SIGKILL'), BUS_LIMITS.serverStopTimeoutMs)
    await exit
    clearTimeout(late)
  }
  const stop = (): Promise<void> => (ending ??= end('SIGTERM'))
  return {
    url,
    port: portOf(url),
    pid,
    version,
    dir,
    stop,
    kill: () => (ending ??= end('SIGKILL')),
    [Symbol.asyncDispose]: stop,
  }
}

const children = new Set<ChildProcess>()

/** A server that is not detached must not outlive a process that ends without stopping it. */
const killWithParent = (child: ChildProcess): void => {
  if (children.size === 0) process.once('exit', killChildren)
  children.add(child)
  child.once('exit', () => {
    children.delete(child)
    if (children.size === 0) process.removeListener('exit', killChildren)
  })
}

const killChildren = (): void => {
  for (const child of children) child.kill('SIGKILL')
}
