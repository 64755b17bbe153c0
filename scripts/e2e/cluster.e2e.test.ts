/**
 * A bus of several servers, while people pay: each member of a cluster of three is lost in turn and comes back; two realms, each
 * on a server of its own, lose sight of each other, by a connection that breaks and by one that stands and carries nothing.
 */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startRelay, type TcpRelay } from '../../bus/testing/tcp-relay.ts'
import { moveHosts, startFleetCluster } from './cluster.ts'
import { startFaultFleet, type FaultFleet } from './fault-fleet.ts'
import { faultNetwork, NONE_DOWN, payThrough, SOUND } from './pay-through.ts'
import type { Lives } from './two-realms.ts'

const SHORT: Lives = { noticeMs: 4_000, invoiceMs: 7_000, guestMs: 5_000 }
/** Whatever was on its way to the other realm is over before it heals. */
const APART_MS = SHORT.invoiceMs + 1_000

let net: FaultFleet
beforeAll(async () => {
  net = await startFaultFleet(faultNetwork('cluster', SHORT))
}, 180_000)
afterAll(() => net[Symbol.asyncDispose](), 60_000)

describe('while people pay', () => {
  test('each member of a cluster of three is lost in turn, and comes back', async () => {
    await using cluster = await startFleetCluster(net, { dir: join(net.directory.root, 'three') })
    await moveHosts(net, cluster, () => [0, 1, 2])
    const examined = await payThrough(net, async (payOn) => {
      for (const member of [0, 1, 2]) {
        await cluster.kill(member)
        await payOn()
        await cluster.start(member)
        await payOn()
      }
      return NONE_DOWN
    })
    expect(examined).toEqual(SOUND)
  })

  test('two realms lose sight of each other: first nothing can be said, then what is said is not heard', async () => {
    const ports: number[] = []
    await using fromHu = await startRelay(() => ports[1] as number)
    await using fromRo = await startRelay(() => ports[0] as number)
    const relays: readonly TcpRelay[] = [fromHu, fromRo]
    await using cluster = await startFleetCluster(net, {
      dir: join(net.directory.root, 'two'),
      members: 2,
      routePort: (from, to, port) => {
        ports[to] = port
        return (relays[from] as TcpRelay).port
      },
    })
    await moveHosts(net, cluster, ({ realm }) => [realm === 'hu' ? 0 : 1])
    const faults: readonly ((relay: TcpRelay) => void)[] = [(relay) => relay.cut(), (relay) => relay.hold('there')]
    for (const fault of faults) {
      const examined = await payThrough(net, async (payOn) => {
        relays.forEach(fault)
        await Promise.all([delay(APART_MS), payOn()])
        for (const relay of relays) relay.heal()
        return NONE_DOWN
      })
      // Half of the payments are to the other realm.
      expect(examined).toEqual({ ...SOUND, confirmed: expect.anything() as unknown })
    }
  })
})
