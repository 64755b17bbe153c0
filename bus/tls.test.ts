/** TLS on the wire: what a listener sees, and what somebody in between gets. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { inboxSubject } from '../protocol/subjects.ts'
import type { BusEvent } from './bus.ts'
import type { HostLogin, Login } from './logins.ts'
import { natsBroker, openRequestReply } from './nats-bus.ts'
import { revokeLogins } from './revocation.ts'
import { serveDiscovery } from './services.ts'
import { startTestBroker, until, type TestBroker } from './test-broker.ts'
import { falseServer, tapWire } from './testing/wire.ts'
import { serverTls } from './tls-authority.ts'

const noJitter = (): number => 0
const PAYLOAD = 'a frame that a listener must not read'

describe('a bus over TLS', { timeout: 60_000 }, () => {
  let broker: TestBroker
  let plain: TestBroker
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'semops-tls-'))
    broker = await startTestBroker({ tls: true })
    plain = await startTestBroker()
  }, 60_000)
  afterAll(async () => {
    await broker[Symbol.asyncDispose]()
    await plain[Symbol.asyncDispose]()
    await rm(dir, { recursive: true, force: true })
  }, 60_000)

  const at = (login: HostLogin, port: number, host = '127.0.0.1'): HostLogin => ({
    ...login,
    servers: [`tls://${host}:${port}`],
  })
  const without = ({ ca: _ca, ...login }: HostLogin): HostLogin => login
  /** 'connected', or the first reason not to be. */
  const enters = (login: HostLogin): Promise<string> => {
    const stop = new AbortController()
    return new Promise((resolve) => {
      const onEvent = (event: BusEvent): void => {
        resolve('detail' in event ? event.detail : event.type)
        stop.abort()
      }
      natsBroker(login, noJitter)
        .openHost({ onEvent, signal: stop.signal })
        .then(
          (bus) => bus.close(),
          () => undefined,
        )
    })
  }

  /** A whole life on the wire: a host, its `$SRV` connection, a guest, a publish, an answer, an authority's update. */
  const traffic = async (of: TestBroker, port: number) => {
    const scheme = of.ca === undefined ? 'nats' : 'tls'
    const servers = [`${scheme}://127.0.0.1:${port}`]
    const [cpp, wallet] = await Promise.all([of.login('cpp', 'hu-otp'), of.login('customer', 'hu-alice')])
    await using cppBus = await natsBroker({ ...cpp, servers }).openHost()
    await using discovery = await serveDiscovery(
      { ...cpp, servers },
      { role: 'cpp', version: '1.0.0', description: '', metadata: () => ({}), stats: () => ({}), startedAtMs: 0 },
    )
    const walletBroker = natsBroker({ ...wallet, servers })
    await using walletBus = await walletBroker.openHost()
    await using guest = await walletBroker.openGuest(new Uint8Array(32).fill(7))
    await guest.subscribe(inboxSubject('guest', guest.name), {}, () => undefined)
    const heard: string[] = []
    await cppBus.subscribe(inboxSubject('cpp', 'hu-otp'), {}, ({ data }) => heard.push(new TextDecoder().decode(data)))
    walletBus.publish('semops.v1.cpp.hu-otp.payment-request.hu-alice', new TextEncoder().encode(PAYLOAD))
    await walletBus.flush()
    await cppBus.flush()
    await revokeLogins(of.state, [], { servers, ...(of.ca === undefined ? {} : { ca: of.ca }) })
    return { heard, logins: [cpp, wallet, cpp.service as Login], names: [discovery.name, guest.name] }
  }

  test('shows a listener no login, no name, no subject and no frame; without TLS he sees them all', async () => {
    const judged: { found: readonly boolean[]; logins: readonly boolean[] }[] = []
    for (const of of [plain, broker]) {
      await using wire = await tapWire(of.server().port)
      const { heard, logins, names } = await traffic(of, wire.port)
      expect(heard).toEqual([PAYLOAD])
      const seen = wire.seen()
      expect(seen.length).toBeGreaterThan(1_000)
      const secrets = [PAYLOAD, 'semops.v1.', 'hu-otp', 'hu-alice', 'CONNECT', '$SYS', '$SRV', ...names]
      judged.push({
        found: secrets.map((secret) => seen.includes(secret)),
        logins: logins.map(({ jwt }) => seen.includes(jwt)),
      })
    }
    expect(new Set(judged[0]?.found)).toEqual(new Set([true]))
    expect(judged[0]?.logins).toEqual([true, true, true])
    expect(new Set(judged[1]?.found)).toEqual(new Set([false]))
    expect(judged[1]?.logins).toEqual([false, false, false])
  })

  test('is not opened to a server of another authority, which learns nothing of the login', async () => {
    const login = await plain.login('cpp', 'hu-otp')
    const { ca } = await serverTls(join(dir, 'other'), { name: 'test', nowMs: Date.now() })
    await using wire = await tapWire(broker.server().port)
    expect(await enters(at({ ...login, ca }, wire.port))).toBe(
      `refusing to log in to tls://127.0.0.1:${wire.port}: its certificate is not of the authority (ca) that this login names`,
    )
    expect(wire.seen()).not.toMatch(/CONNECT|eyJ/)
  })

  test('is not opened to a server without TLS, whatever its URL says: not a byte is sent', async () => {
    const login = await broker.login('cpp', 'hu-otp')
    await using server = await falseServer({})
    for (const scheme of ['tls', 'nats']) {
      const servers = [`${scheme}://127.0.0.1:${server.port}`]
      expect(await enters({ ...login, servers })).toBe(
        `refusing to log in to ${servers[0]}: it offers no TLS, and this login is not to be sent in the clear`,
      )
    }
    // A URL that says TLS asks for it without an authority too.
    expect(await enters(at(without(login), server.port))).toContain('offers no TLS')
    expect(server.seen()).toBe('')
    expect(await enters(at(login, plain.server().port))).toContain('offers no TLS')
  })

  test('is not opened for $SRV, a guest or the authority either, where the server has no TLS', async () => {
    const { ca } = broker
    if (ca === undefined) throw new Error('a broker with TLS has an authority')
    await using server = await falseServer({})
    const login = at(await broker.login('customer', 'hu-alice'), server.port)
    const details: string[] = []
    const stop = new AbortController()
    const onEvent = (event: BusEvent): void => {
      details.push('detail' in event ? event.detail : event.type)
      if (details.length === 2) stop.abort()
    }
    const options = { onEvent, signal: stop.signal }
    const opened = [
      natsBroker(login, noJitter).openGuest(new Uint8Array(32).fill(8), options),
      openRequestReply({ ...options, login: login.service as Login, servers: login.servers, ca }),
    ]
    for (const one of opened) await expect(one).rejects.toMatchObject({ code: 'aborted' })
    expect(details.every((detail) => detail.includes('offers no TLS'))).toBe(true)
    expect(server.seen()).toBe('')
  })

  test('a login without an authority does not enter a server with TLS, and says why', async () => {
    const login = without(await broker.login('cpp', 'hu-otp'))
    const { port } = broker.server()
    for (const servers of [[`tls://127.0.0.1:${port}`], [`nats://127.0.0.1:${port}`]])
      expect(await enters({ ...login, servers })).toBe(
        `refusing to log in to ${servers[0]}: it has TLS, and this login names no authority (ca) to know it by`,
      )
  })

  // Elsewhere loopback has one address only.
  test.skipIf(process.platform !== 'linux')(
    'the server is known by the name or address that was dialled, not by any of its authority',
    async () => {
      const login = await broker.login('cpp', 'hu-otp')
      const { port } = broker.server()
      expect(await enters(at(login, port))).toBe('connected')
      expect(await enters(at(login, port, 'localhost'))).toBe('connected')
      // The same server under an address that its certificate does not name.
      await using wire = await tapWire(port, {}, '127.0.0.2')
      expect(await enters(at(login, wire.port, '127.0.0.2'))).toBe(
        `refusing to log in to tls://127.0.0.2:${wire.port}: its certificate is for other names than the one that this login calls it by`,
      )
      expect(wire.seen()).not.toMatch(/CONNECT|eyJ/)
    },
  )

  test('who sits between can put no message in before the handshake, also not when a bus comes back', async () => {
    const login = await broker.login('cpp', 'hu-otp')
    const forged = 'MSG semops.v1.cpp.hu-otp.receipt.hu-x 1 6\r\nforged\r\n'
    let putIn = true
    await using wire = await tapWire(broker.server().port, {
      greeting: (data, connection) => (connection > 1 && putIn ? Buffer.concat([data, Buffer.from(forged)]) : data),
    })
    await using bus = await natsBroker(at(login, wire.port), noJitter).openHost()
    const heard: string[] = []
    await bus.subscribe(inboxSubject('cpp', 'hu-otp'), {}, ({ data }) => heard.push(new TextDecoder().decode(data)))
    const back = until(bus, () => bus.stats().reconnects === 1)
    wire.cut()
    // The second connection is refused and another is made, or it stands.
    await Promise.race([wire.connections(3), back])
    expect(bus.stats().reconnects).toBe(0)
    putIn = false
    await back
    await bus.flush()
    expect(wire.seen()).toContain('forged')
    expect(heard).toEqual([])
  })
})
