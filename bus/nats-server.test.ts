import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createAuthority, issueHostLogin, trustOf } from './authority.ts'
import { natsBroker } from './nats-bus.ts'
import { attachServer, findServer, parseVersion, serverVersion, startServer } from './nats-server.ts'
import { serverConfig } from './server-config.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'semops-server-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const state = createAuthority('test')
const trust = await trustOf(state)

/** A program that behaves as `script` says. */
const program = async (script: string): Promise<string> => {
  const path = join(dir, 'nats-server')
  await writeFile(path, `#!/bin/sh\n${script}\n`)
  await chmod(path, 0o755)
  return path
}

describe('finding nats-server', () => {
  test('the environment names it, or nothing does', async () => {
    const bin = await program('exit 0')
    expect(findServer({ NATS_SERVER_BIN: bin, PATH: '' })).toBe(bin)
    expect(findServer({ NATS_SERVER_BIN: join(dir, 'missing'), PATH: dir })).toBeUndefined()
    expect(findServer({ PATH: `${join(dir, 'missing')}:${dir}` })).toBe(bin)
  })

  test.each([
    ['nats-server: v2.9.10', [2, 9, 10]],
    ['nats-server: v2.12.0-RC.1\n', [2, 12, 0]],
    ['2.9', undefined],
    ['', undefined],
  ])('%j is version %j', (text, version) => expect(parseVersion(text)).toEqual(version))

  test.each(['2.9.9', '2.8.99', '1.99.99'])('%s is too old', async (version) => {
    await expect(serverVersion(await program(`echo nats-server: v${version}`))).rejects.toThrow('at least 2.9.10')
  })

  test.each(['2.9.10', '2.10.0', '3.0.0'])('%s will do', async (version) => {
    expect((await serverVersion(await program(`echo nats-server: v${version}`))).join('.')).toBe(version)
  })
})

describe('configuration', () => {
  test.each(['0.0.0.0', '::', '192.168.1.2', 'example.org', '127.0.0.1.example.org', ''])(
    'listening on %j needs TLS',
    (host) => {
      expect(() => serverConfig(dir, { host }, trust)).toThrow('without TLS')
      const tls = { certFile: 'cert.pem', keyFile: 'key.pem' }
      expect(JSON.parse(serverConfig(dir, { host, tls }, trust))).toMatchObject({
        host,
        tls: { cert_file: 'cert.pem', key_file: 'key.pem' },
      })
    },
  )

  test('loopback does not, and JetStream is off', () => {
    for (const host of ['127.0.0.1', 'localhost', '::1', '127.1.2.3']) {
      const config = JSON.parse(serverConfig(dir, { host }, trust)) as Record<string, unknown>
      expect(config.host).toBe(host)
      expect(config).not.toHaveProperty('jetstream')
    }
  })
})

describe('running a server', { timeout: 60_000 }, () => {
  test('it picks a port, keeps it over stop and kill, and is entered each time', async () => {
    const first = await startServer({ dir, trust })
    const ports = [first.port]
    const login = await issueHostLogin(state, { role: 'bank', host: 'hu-kh', servers: [first.url] })
    await first.stop()
    for (const end of ['kill', 'stop'] as const) {
      const server = await startServer({ dir, trust })
      const bus = await natsBroker(login).openHost()
      expect(bus.connected).toBe(true)
      await bus.close()
      ports.push(server.port)
      await server[end]()
      expect(() => process.kill(server.pid, 0)).toThrow('ESRCH')
    }
    expect(first.port).toBeGreaterThan(0)
    expect(new Set(ports).size).toBe(1)
  })

  test('two at once, each with a port of its own', async () => {
    await using one = await startServer({ dir: join(dir, 'one'), trust })
    await using two = await startServer({ dir: join(dir, 'two'), trust })
    expect(one.port).not.toBe(two.port)
    await expect(startServer({ dir: join(dir, 'one'), trust })).rejects.toThrow('already runs')
  })

  test('one started detached is found again by its directory and stopped', async () => {
    const started = await startServer({ dir, trust, detached: true })
    const found = await attachServer(dir)
    expect(found).toMatchObject({ pid: started.pid, url: started.url, version: started.version })
    await found!.stop()
    expect(await attachServer(dir)).toBeUndefined()
    await started.stop()
  })

  test('a pid that now belongs to another process is not taken for the server', async () => {
    const server = { pid: process.pid, url: 'nats://127.0.0.1:1', version: [2, 9, 10] }
    await writeFile(join(dir, 'server.json'), JSON.stringify(server))
    await writeFile(join(dir, `nats-server_${process.pid}.ports`), JSON.stringify({ nats: [server.url] }))
    expect(await attachServer(dir)).toBeUndefined()
    await rm(join(dir, 'server.json'))
    expect(await attachServer(dir)).toBeUndefined()
  })

  test('one that ends at once says why, from its log', async () => {
    const bin = await program('test "$1" = --version && echo v2.9.10 && exit 0; echo "no such luck" >&2; exit 3')
    await expect(startServer({ dir, trust, bin })).rejects.toThrow(/exit 3[^]*no such luck/)
  })

  test('a port that is taken is said', async () => {
    await using other = await startServer({ dir: join(dir, 'other'), trust })
    const starting = startServer({ dir: join(dir, 'mine'), trust, listen: { port: other.port } })
    await expect(starting).rejects.toThrow('address already in use')
  })

  test('what it keeps is for its owner only', async () => {
    await mkdir(join(dir, 'run'))
    await using server = await startServer({ dir: join(dir, 'run'), trust })
    const config = await readFile(join(server.dir, 'nats-server.conf'), 'utf8')
    const modes = ['nats-server.conf', 'nats-server.log', 'accounts'].map((name) => stat(join(server.dir, name)))
    expect((await Promise.all(modes)).map(({ mode }) => mode & 0o077)).toEqual([0, 0, 0])
    for (const seed of [
      state.operatorSeed,
      state.accountSeed,
      state.systemAccountSeed,
      ...Object.values(state.signerSeeds),
    ])
      expect(config).not.toContain(seed)
  })
})
