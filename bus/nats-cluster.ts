/**
 * Several nats-servers as one bus: the same operator and accounts at each, a full mesh of routes on loopback, and what any of
 * them is told of an account told to all. A client may enter at any, and goes to another when its own is gone.
 *
 * Invariant: a member that is started again has the ports it had, so that logins and routes find it where it was.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { systemLogin, trustOf, type AuthorityState } from './authority.ts'
import { BusError } from './bus.ts'
import { BUS_LIMITS } from './bus-limits.ts'
import { openRequestReply } from './nats-bus.ts'
import { startServer, type NatsServer, type StartOptions } from './nats-server.ts'
import type { ServerAddress } from './tls-client.ts'

export type NatsCluster = AsyncDisposable & {
  /** One for each member, whether it runs or not. */
  readonly urls: readonly string[]
  /** The process that runs, or ran last. */
  readonly server: (member: number) => NatsServer
  readonly stop: (member: number) => Promise<void>
  /** SIGKILL. */
  readonly kill: (member: number) => Promise<void>
  /** Starts it again, on its ports. Resolves when it takes clients; its routes come up on their own. */
  readonly start: (member: number) => Promise<void>
}

export type ClusterOptions = Pick<StartOptions, 'listen' | 'bin' | 'detached'> & {
  /** Its own directory, created when missing: one folder for each member, and `cluster.json`. */
  readonly dir: string
  readonly name: string
  readonly authority: AuthorityState
  /** With TLS: the authority that the servers' certificate is of. */
  readonly address?: Pick<ServerAddress, 'ca'>
  readonly members?: number
  /** Of the route that member `from` makes to member `to`: through what port it goes, for whoever stands between them. */
  readonly routePort?: (from: number, to: number, port: number) => number
}

type ClusterState = { readonly password: string; readonly ports: readonly number[] }

const DEFAULT_MEMBERS = 3
const POLL_MS = 50
/** For every server to say that it is there: loopback. */
const ANSWER_MS = 500

/**
 * Resolves when every member takes clients and each sees all the others.
 * @throws Error with the end of a server's log when it does not start, or when they do not find each other in time
 */
export const startCluster = async (options: ClusterOptions): Promise<NatsCluster> => {
  const {
    dir,
    name,
    authority,
    address = {},
    members = DEFAULT_MEMBERS,
    routePort = (_from, _to, port) => port,
  } = options
  const { listen, bin, detached } = options
  // A port that is named is the first one's: each of the others picks its own, and keeps it.
  const { port: _port, ...shared } = listen ?? {}
  const trust = await trustOf(authority)
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const { password, ports } = await clusterState(join(dir, 'cluster.json'), members)
  const startMember = (member: number): Promise<NatsServer> =>
    startServer({
      dir: join(dir, String(member)),
      trust,
      listen: member === 0 ? (listen ?? {}) : shared,
      ...(bin === undefined ? {} : { bin }),
      ...(detached === undefined ? {} : { detached }),
      cluster: {
        name,
        member: `${name}-${member}`,
        port: ports[member] as number,
        password,
        routes: ports.flatMap((port, to) => (to === member ? [] : [routePort(member, to, port)])),
      },
    })
  const servers: NatsServer[] = []
  const stopAll = async (): Promise<void> => void (await Promise.all(servers.map((server) => server.stop())))
  try {
    for (let member = 0; member < members; member++) servers.push(await startMember(member))
    const urls = servers.map(({ url }) => url)
    await Promise.all(urls.map((url) => untilJoined(authority, { ...address, servers: [url] }, members)))
    return {
      urls,
      server: (member) => servers[member] as NatsServer,
      stop: async (member) => servers[member]?.stop(),
      kill: async (member) => servers[member]?.kill(),
      start: async (member) => {
        await servers[member]?.stop()
        servers[member] = await startMember(member)
      },
      [Symbol.asyncDispose]: stopAll,
    }
  } catch (error) {
    await stopAll()
    throw error
  }
}

const clusterState = async (file: string, members: number): Promise<ClusterState> => {
  try {
    const before = JSON.parse(await readFile(file, 'utf8')) as ClusterState
    if (before.ports.length === members) return before
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const state = { password: randomBytes(24).toString('hex'), ports: await freePorts(members) }
  await writeFile(file, JSON.stringify(state), { mode: 0o600 })
  return state
}

/** Every member must know the ports of all before any of them listens. */
const freePorts = async (count: number): Promise<readonly number[]> => {
  const holders = await Promise.all(
    Array.from({ length: count }, async () => {
      const holder = createServer()
      await new Promise<void>((resolve, reject) => {
        holder.once('error', reject)
        holder.listen(0, '127.0.0.1', resolve)
      })
      return holder
    }),
  )
  const ports = holders.map((holder) => (holder.address() as AddressInfo).port)
  await Promise.all(holders.map((holder) => new Promise((resolve) => void holder.close(resolve))))
  return ports
}

/** How many servers answer one who asks here: this one, and those that it has a route to. */
export const serversSeen = async (
  authority: AuthorityState,
  address: ServerAddress,
  atMost: number,
): Promise<number> => {
  const login = await systemLogin(authority, Date.now())
  const signal = AbortSignal.timeout(BUS_LIMITS.connectTimeoutMs)
  await using connection = await openRequestReply({ ...address, login, signal })
  const answers = await connection.collect('$SYS.REQ.SERVER.PING', new Uint8Array(), {
    timeoutMs: ANSWER_MS,
    enough: (some) => some.length >= atMost,
  })
  return answers.length
}

const untilJoined = async (authority: AuthorityState, address: ServerAddress, members: number): Promise<void> => {
  const deadline = performance.now() + BUS_LIMITS.serverStartTimeoutMs
  for (;;) {
    const seen = await serversSeen(authority, address, members)
    if (seen >= members) return
    if (performance.now() > deadline)
      throw new BusError('timeout', `${address.servers.join()} sees ${seen} of the ${members} servers of its cluster`)
    await delay(POLL_MS)
  }
}
