import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { inboxSubject } from '../protocol/subjects.ts'
import type { Broker, BusEvent } from './bus.ts'
import { busCompliance, type BusHarness } from './compliance.ts'
import { loginPublicKey } from './logins.ts'
import { natsBroker } from './nats-bus.ts'
import { revokeLogins } from './revocation.ts'
import { createRotatingBroker, type RotatingBroker } from './rotating-bus.ts'
import { createSimulatedNetwork } from './simulated-bus.ts'
import { startTestBroker, type TestBroker } from './test-broker.ts'
import { natsHarness } from './testing/nats-harness.ts'

const bytes = (n: number): Uint8Array => new Uint8Array([n >> 8, n & 255])
const numberOf = (data: Uint8Array): number => ((data[0] as number) << 8) | (data[1] as number)
const upTo = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i)

/** Its host's bus has changed its login once before anybody uses it: what it did before must not show. */
const exchangedOnce = (first: Broker, second: () => Promise<Broker>): Broker => {
  const broker = createRotatingBroker(first)
  return {
    openHost: async (options) => {
      const bus = await broker.openHost(options)
      await broker.exchange(await second())
      return bus
    },
    openGuest: (seed, options) => broker.openGuest(seed, options),
    [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
  }
}

const simulated = (wrap: (broker: Broker, again: () => Broker) => Broker) => async (): Promise<BusHarness> => {
  const network = createSimulatedNetwork()
  const act = (what: () => unknown) => async (): Promise<void> => void what()
  return {
    broker: async (role, host) => wrap(network.broker(role, host), () => network.broker(role, host)),
    settle: act(() => network.pump()),
    cut: act(() => network.disconnect()),
    restore: act(() => network.reconnect()),
    [Symbol.asyncDispose]: act(() => network.disconnect()),
  }
}
busCompliance('rotating bus, simulated', simulated(createRotatingBroker))
busCompliance(
  'rotating bus after an exchange, simulated',
  simulated((first, again) => exchangedOnce(first, async () => again())),
)

busCompliance('rotating bus after an exchange, NATS', () => natsHarness({ wrap: exchangedOnce }))

const toCpp = 'semops.v1.cpp.hu-otp.payment-request.hu-alice'

describe('an exchange of a simulated login', () => {
  test('loses nothing that is sent to it or by it while it happens, whatever the order of the steps', async () => {
    const network = createSimulatedNetwork()
    const broker = createRotatingBroker(network.broker('cpp', 'hu-otp'))
    const cpp = await broker.openHost()
    const wallet = await network.broker('customer', 'hu-alice').openHost()
    const [heard, answered]: [number[], number[]] = [[], []]
    await cpp.subscribe(inboxSubject('cpp', 'hu-otp'), {}, ({ data }) => {
      heard.push(numberOf(data))
      expect(cpp.publish('semops.v1.customer.hu-alice.receipt.hu-otp', data)).toBe(true)
    })
    await wallet.subscribe(inboxSubject('customer', 'hu-alice'), {}, ({ data }) => answered.push(numberOf(data)))
    let sent = 0
    for (; sent < 10; sent++) wallet.publish(toCpp, bytes(sent))
    let exchanging = true
    const exchanges = (async () => {
      for (let round = 0; round < 5; round++) await broker.exchange(network.broker('cpp', 'hu-otp'))
      exchanging = false
    })()
    while (exchanging) {
      // A turn of the loop after every message and its answer: each step of an exchange falls between two of them.
      wallet.publish(toCpp, bytes(sent++))
      for (let i = 0; i < 4; i++) network.deliverNext()
      await Promise.resolve()
    }
    await exchanges
    network.pump()
    expect(sent).toBeGreaterThan(20)
    expect([...new Set(heard)].toSorted((a, b) => a - b)).toEqual(upTo(sent))
    expect([...new Set(answered)].toSorted((a, b) => a - b)).toEqual(upTo(sent))
    expect(cpp.stats()).toMatchObject({ outMessages: heard.length, notSent: 0, dropped: 0, reconnects: 0 })
  })

  test('keeps a paused subscription paused, and its messages in order', async () => {
    const network = createSimulatedNetwork()
    const broker = createRotatingBroker(network.broker('cpp', 'hu-otp'))
    const cpp = await broker.openHost()
    const wallet = await network.broker('customer', 'hu-alice').openHost()
    const heard: number[] = []
    const inbox = await cpp.subscribe(inboxSubject('cpp', 'hu-otp'), {}, ({ data }) => heard.push(numberOf(data)))
    inbox.pause()
    for (const n of [1, 2]) wallet.publish(toCpp, bytes(n))
    network.pump()
    await broker.exchange(network.broker('cpp', 'hu-otp'))
    wallet.publish(toCpp, bytes(3))
    network.pump()
    expect([heard, inbox.stats().pendingMessages]).toEqual([[], 3])
    inbox.resume()
    expect(heard).toEqual([1, 2, 3])
  })

  test('is refused for another host, and then nothing has changed', async () => {
    const network = createSimulatedNetwork()
    const broker = createRotatingBroker(network.broker('cpp', 'hu-otp'))
    const events: BusEvent[] = []
    const cpp = await broker.openHost({ onEvent: (event) => events.push(event) })
    const wallet = await network.broker('customer', 'hu-alice').openHost()
    const heard: number[] = []
    await cpp.subscribe(inboxSubject('cpp', 'hu-otp'), {}, ({ data }) => heard.push(numberOf(data)))
    await expect(broker.exchange(network.broker('cpp', 'hu-other'))).rejects.toMatchObject({ code: 'permission' })
    await expect(broker.exchange(network.broker('mpp', 'hu-otp'))).rejects.toMatchObject({ code: 'permission' })
    wallet.publish(toCpp, bytes(1))
    network.pump()
    expect(heard).toEqual([1])
    expect(events.filter(({ type }) => type !== 'permission-error').map(({ type }) => type)).toEqual(['connected'])
  })

  test('brings a bus back whose old connection was down, and says so', async () => {
    const network = createSimulatedNetwork()
    const broker = createRotatingBroker(network.broker('cpp', 'hu-otp'))
    const events: BusEvent[] = []
    const cpp = await broker.openHost({ onEvent: (event) => events.push(event) })
    network.disconnect('hu-otp')
    expect(cpp.connected).toBe(false)
    await broker.exchange(network.broker('cpp', 'hu-otp'))
    expect(cpp.connected).toBe(true)
    expect(events.map(({ type }) => type)).toEqual(['connected', 'disconnected', 'reconnected'])
  })
})

describe('an exchange of a login at a real server', () => {
  let server: TestBroker
  beforeAll(async () => {
    server = await startTestBroker()
  }, 60_000)
  afterAll(() => server[Symbol.asyncDispose](), 60_000)

  const rotating = async (host: string): Promise<RotatingBroker> =>
    createRotatingBroker(natsBroker(await server.login('cpp', host), () => 0))

  test('under traffic: every message arrives, and the old login may be revoked afterwards', async () => {
    const first = await server.login('cpp', 'hu-otp')
    await using broker = createRotatingBroker(natsBroker(first, () => 0))
    const cpp = await broker.openHost()
    await using wallet = await natsBroker(await server.login('customer', 'hu-alice'), () => 0).openHost()
    const heard: number[] = []
    await cpp.subscribe(inboxSubject('cpp', 'hu-otp'), {}, ({ data }) => heard.push(numberOf(data)))
    let sent = 0
    let exchanging = true
    const exchanges = (async () => {
      for (let round = 0; round < 4; round++) {
        await broker.exchange(natsBroker(await server.login('cpp', 'hu-otp'), () => 0))
      }
      exchanging = false
    })()
    while (exchanging) {
      for (let i = 0; i < 5; i++) wallet.publish(toCpp, bytes(sent++))
      await wallet.flush()
    }
    await exchanges
    await revokeLogins(server.state, [loginPublicKey(first)], { servers: server.servers })
    wallet.publish(toCpp, bytes(sent++))
    await wallet.flush()
    await cpp.flush()
    expect([...new Set(heard)].toSorted((a, b) => a - b)).toEqual(upTo(sent))
    expect(cpp.stats().reconnects).toBe(0)
  })

  test('to a login that the server refuses fails, and the old one stands', async () => {
    await using broker = await rotating('hu-erste')
    const cpp = await broker.openHost()
    const revoked = await server.login('cpp', 'hu-erste')
    await revokeLogins(server.state, [loginPublicKey(revoked)], { servers: server.servers })
    await expect(broker.exchange(natsBroker(revoked, () => 0))).rejects.toMatchObject({ code: 'refused-by-broker' })
    await cpp.flush()
    expect(cpp.connected).toBe(true)
  })
})
