import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createAuthority, issueHostLogin, trustOf, type AuthorityState } from './authority.ts'
import type { Bus } from './bus.ts'
import { loginPublicKey } from './logins.ts'
import { natsBroker } from './nats-bus.ts'
import { serversSeen, startCluster, type NatsCluster } from './nats-cluster.ts'
import { startServer } from './nats-server.ts'
import { revokeLogins } from './revocation.ts'
import { startRelay } from './testing/tcp-relay.ts'

let dir: string
let authority: AuthorityState
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'semops-cluster-'))
  authority = createAuthority('test')
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const ORDER = 'semops.v1.bank.hu-kh.hold-order.hu-otp'

/** A bank that hears at one server, a CPP that speaks at another. */
const openPair = async (bankAt: readonly string[], cppAt: readonly string[]) => {
  const bankLogin = await issueHostLogin(authority, { role: 'bank', host: 'hu-kh', servers: bankAt })
  const bank = await natsBroker(bankLogin).openHost()
  const cpp = await natsBroker(
    await issueHostLogin(authority, { role: 'cpp', host: 'hu-otp', servers: cppAt }),
  ).openHost()
  const heard = new Set<number>()
  await bank.subscribe('semops.v1.bank.hu-kh.*.*', {}, ({ data }) => void heard.add(data[0] as number))
  return {
    bank,
    bankLogin,
    heard,
    cpp,
    close: async () => {
      await bank.close()
      await cpp.close()
    },
  }
}
/** Sends until it is heard, as an outbox does: the bus itself promises nothing. */
const untilHeard = async (cpp: Bus, heard: ReadonlySet<number>, what: number): Promise<void> => {
  while (!heard.has(what)) {
    if (cpp.connected) cpp.publish(ORDER, new Uint8Array([what]))
    await delay(20)
  }
}
const seenAt = (cluster: NatsCluster, member: number): Promise<number> =>
  serversSeen(authority, { servers: [cluster.urls[member] as string] }, 3)

describe('a cluster of three', { timeout: 60_000 }, () => {
  test('is one bus; each member may be lost in turn, and comes back to its ports', async () => {
    await using cluster = await startCluster({ dir, name: 'test', authority })
    const { urls } = cluster
    expect(new Set(urls).size).toBe(3)
    const pair = await openPair([...urls], urls.toReversed())
    await untilHeard(pair.cpp, pair.heard, 0)
    for (const member of [0, 1, 2]) {
      await cluster.kill(member)
      await untilHeard(pair.cpp, pair.heard, 10 + member)
      await cluster.start(member)
      expect(cluster.server(member).url).toBe(urls[member])
      while ((await seenAt(cluster, member)) < 3) await delay(50)
      await untilHeard(pair.cpp, pair.heard, 20 + member)
    }
    await pair.close()
  })

  test('has the same accounts at each: who is revoked at one is out at all', async () => {
    await using cluster = await startCluster({ dir, name: 'test', authority })
    const [first, second, third] = cluster.urls as [string, string, string]
    const pair = await openPair([second], [third])
    let out = (): void => undefined
    const refused = new Promise<void>((resolve) => (out = resolve))
    pair.bank.onEvent(({ type }) => {
      if (type === 'login-refused') out()
    })
    await revokeLogins(authority, [loginPublicKey(pair.bankLogin)], { servers: [first] })
    await refused
    expect(pair.bank.connected).toBe(false)
    await pair.close()
  })

  test('a route without its password is refused', async () => {
    await using cluster = await startCluster({ dir: join(dir, 'a'), name: 'test', authority, members: 2 })
    const { ports } = JSON.parse(await readFile(join(dir, 'a', 'cluster.json'), 'utf8')) as { ports: readonly number[] }
    await using stranger = await startServer({
      dir: join(dir, 'b'),
      trust: await trustOf(authority),
      cluster: { name: 'test', member: 'stranger', port: -1, password: 'guessed', routes: ports },
    })
    const log = join(cluster.server(0).dir, 'nats-server.log')
    while (!(await readFile(log, 'utf8')).includes('authentication error')) await delay(20)
    expect(await serversSeen(authority, { servers: [stranger.url] }, 3)).toBe(1)
    expect(await seenAt(cluster, 0)).toBe(2)
  })
})

describe('two groups with a relay between', { timeout: 60_000 }, () => {
  test('are apart when it is cut or held, and one again when it heals', async () => {
    const portOf: number[] = []
    await using there = await startRelay(() => portOf[1] as number)
    await using back = await startRelay(() => portOf[0] as number)
    const relays = [there, back]
    await using cluster = await startCluster({
      dir,
      name: 'test',
      authority,
      members: 2,
      routePort: (from, to, port) => {
        portOf[to] = port
        return (relays[from] as typeof there).port
      },
    })
    const [first, second] = cluster.urls as [string, string]
    const pair = await openPair([first], [second])
    await untilHeard(pair.cpp, pair.heard, 0)

    for (const relay of relays) relay.cut()
    while ((await seenAt(cluster, 0)) > 1) await delay(50)
    pair.cpp.publish(ORDER, new Uint8Array([1]))
    await pair.cpp.flush()
    for (const relay of relays) relay.heal()
    await untilHeard(pair.cpp, pair.heard, 2)
    // What was said meanwhile is lost: the bus says nothing twice.
    expect(pair.heard.has(1)).toBe(false)

    for (const relay of relays) relay.hold('both')
    pair.cpp.publish(ORDER, new Uint8Array([3]))
    await pair.cpp.flush()
    expect(await seenAt(cluster, 0)).toBe(1)
    expect(pair.heard.has(3)).toBe(false)
    for (const relay of relays) relay.heal()
    await untilHeard(pair.cpp, pair.heard, 4)
    expect(pair.heard.has(3)).toBe(true)
    await pair.close()
  })
})
