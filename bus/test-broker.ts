/**
 * A real broker for tests: nats-server in operator mode on loopback, in a temporary directory of its own, ended by its pid.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Role } from '../protocol/ids.ts'
import { createAuthority, issueHostLogin, trustOf, type AuthorityState, type BrokerTrust } from './authority.ts'
import type { HostLogin } from './logins.ts'
import { startServer, type NatsServer } from './nats-server.ts'
import { serverTls } from './tls-authority.ts'

export type TestBroker = AsyncDisposable & {
  readonly state: AuthorityState
  readonly dir: string
  readonly servers: readonly string[]
  /** With TLS only: what its clients know it by. */
  readonly ca?: string
  /** The process that now runs. */
  server(): NatsServer
  login(role: Role, host: string): Promise<HostLogin>
  /** Starts it again on the same port, after it was stopped or killed. */
  start(trust?: BrokerTrust): Promise<void>
}

/** `tls`: with an authority of its own, which `login` puts into each login. */
export const startTestBroker = async ({ tls = false }: { readonly tls?: boolean } = {}): Promise<TestBroker> => {
  const dir = await mkdtemp(join(tmpdir(), 'semops-broker-'))
  const state = createAuthority('test')
  const trust = await trustOf(state)
  const files = tls ? await serverTls(join(dir, 'tls'), { name: 'test', nowMs: Date.now() }) : undefined
  const listen = files === undefined ? {} : { tls: files }
  let server = await startServer({ dir, trust, listen })
  const servers = [server.url]
  const address = files === undefined ? { servers } : { servers, ca: files.ca }
  return {
    state,
    dir,
    ...address,
    server: () => server,
    login: (role, host) => issueHostLogin(state, { role, host, ...address }),
    async start(newTrust = trust) {
      await server.stop()
      server = await startServer({ dir, trust: newTrust, listen })
    },
    async [Symbol.asyncDispose]() {
      await server.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

type Watched = { readonly connected: boolean; onEvent(listener: () => void): () => void }

/** Resolves when `holds` does, looked at now and after each event of `bus`. */
export const until = (bus: Watched, holds: () => boolean): Promise<void> =>
  new Promise((resolve) => {
    const unlisten = bus.onEvent(() => look())
    const look = (): void => {
      if (!holds()) return
      unlisten()
      resolve()
    }
    look()
  })
