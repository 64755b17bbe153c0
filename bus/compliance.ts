/**
 * What every bus must do, as one suite: run against NATS and against its simulated twin, so that what the simulator proves of
 * the nodes holds on the network.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { dataCenterAddress, type Role, ROLES } from '../protocol/ids.ts'
import { ALL_LEGS, KIND_NAMES, type KindName } from '../protocol/kinds.ts'
import { formatSubject, inboxSubject } from '../protocol/subjects.ts'
import { BUS_LIMITS } from './bus-limits.ts'
import { BusError, type Broker, type Bus, type BusEvent, type BusMessage } from './bus.ts'
import { loadKey, seedOf } from './nkeys.ts'
import { hostSubscriptions } from './permissions.ts'

export type BusHarness = AsyncDisposable & {
  broker(role: Role, host: string): Promise<Broker>
  /** Everything that these buses published has been delivered to those of them that it was for. */
  settle(...buses: readonly Bus[]): Promise<void>
  /** Every connection breaks, and every bus has noticed. */
  cut(): Promise<void>
  /** Every bus is connected again. */
  restore(): Promise<void>
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const seedFilled = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)
/** The name that the broker gives to the guest of this login key. */
const tokenOf = (seed: Uint8Array): string => loadKey(seedOf('U', seed)).publicKey
const text = (data: Uint8Array): string => new TextDecoder().decode(data)

/** A bus with the messages and events that it has seen. */
type Seen = { readonly bus: Bus; readonly messages: BusMessage[]; readonly events: BusEvent[] }

export const busCompliance = (name: string, start: () => Promise<BusHarness>): void => {
  describe(`${name}: what every bus must do`, () => {
    let harness: BusHarness
    const open: Bus[] = []
    let hosts = 0
    /** A name that no other test uses, so that tests cannot hear each other. */
    const host = (realm = 'hu'): string => `${realm}-h${++hosts}`

    beforeAll(async () => {
      harness = await start()
    }, 60_000)
    afterEach(async () => {
      await Promise.all(open.splice(0).map((bus) => bus.close()))
    })
    afterAll(async () => {
      await harness[Symbol.asyncDispose]()
    }, 60_000)

    const watch = async (opening: (onEvent: (event: BusEvent) => void) => Promise<Bus>): Promise<Seen> => {
      const events: BusEvent[] = []
      const bus = await opening((event) => events.push(event))
      open.push(bus)
      return { bus, messages: [], events }
    }
    const enter = async (role: Role, id: string): Promise<Seen> => {
      const broker = await harness.broker(role, id)
      return watch((onEvent) => broker.openHost({ onEvent }))
    }
    /** With its whole inbox subscribed. */
    const listen = async (role: Role, id: string): Promise<Seen> => {
      const seen = await enter(role, id)
      await seen.bus.subscribe(inboxSubject(role, id), {}, (message) => seen.messages.push(message))
      return seen
    }
    const to = (role: Role, toHost: string, kind: KindName, from: Bus): string =>
      formatSubject({ toRole: role, toHost, kind, fromHost: from.name })
    const request = (cpp: Bus, from: Bus): string => to('cpp', cpp.name, 'payment-request', from)
    const texts = (seen: Seen): readonly string[] => seen.messages.map(({ data }) => text(data))

    test('delivers the bytes that were published, under their subject', async () => {
      const cpp = await listen('cpp', host())
      const wallet = await enter('customer', host())
      expect(wallet.bus.publish(request(cpp.bus, wallet.bus), new Uint8Array([0, 255, 13, 10, 0]))).toBe(true)
      expect(wallet.bus.publish(request(cpp.bus, wallet.bus), new Uint8Array(0))).toBe(true)
      await harness.settle(wallet.bus, cpp.bus)
      expect(cpp.messages.map(({ subject }) => subject)).toEqual(Array(2).fill(request(cpp.bus, wallet.bus)))
      expect(cpp.messages.map(({ data }) => [...data])).toEqual([[0, 255, 13, 10, 0], []])
      // A Buffer's `slice` shares memory where a Uint8Array's copies: receivers must get the plain kind.
      expect(cpp.messages.every(({ data }) => data.constructor === Uint8Array)).toBe(true)
    })

    test('a message has a subject and data and nothing to reply to', async () => {
      const cpp = await listen('cpp', host())
      const wallet = await enter('customer', host())
      wallet.bus.publish(request(cpp.bus, wallet.bus), bytes('x'))
      await harness.settle(wallet.bus, cpp.bus)
      expect(cpp.messages.map((message) => Object.keys(message).toSorted())).toEqual([['data', 'subject']])
    })

    test('one wildcard subscription takes all that is for the host, and nothing else', async () => {
      const cpp = await listen('cpp', host())
      const other = await listen('cpp', host())
      const wallet = await enter('customer', host())
      const bank = await enter('bank', host())
      wallet.bus.publish(request(cpp.bus, wallet.bus), bytes('request'))
      wallet.bus.publish(to('cpp', cpp.bus.name, 'payment-query', wallet.bus), bytes('query'))
      bank.bus.publish(to('cpp', cpp.bus.name, 'transfer-answer', bank.bus), bytes('answer'))
      wallet.bus.publish(request(other.bus, wallet.bus), bytes('not for it'))
      await harness.settle(wallet.bus, bank.bus, cpp.bus, other.bus)
      expect([...texts(cpp)].toSorted()).toEqual(['answer', 'query', 'request'])
      expect(texts(other)).toEqual(['not for it'])
    })

    test('a message that nobody listens for is gone', async () => {
      const wallet = await enter('customer', host())
      const cpp = await enter('cpp', host())
      wallet.bus.publish(request(cpp.bus, wallet.bus), bytes('early'))
      await harness.settle(wallet.bus)
      await cpp.bus.subscribe(inboxSubject('cpp', cpp.bus.name), {}, (message) => cpp.messages.push(message))
      wallet.bus.publish(request(cpp.bus, wallet.bus), bytes('late'))
      await harness.settle(wallet.bus, cpp.bus)
      expect(texts(cpp)).toEqual(['late'])
    })

    test('a host hears what it sends to itself', async () => {
      const bank = await listen('bank', host())
      bank.bus.publish(to('bank', bank.bus.name, 'interbank-credit', bank.bus), bytes('own'))
      await harness.settle(bank.bus)
      expect(texts(bank)).toEqual(['own'])
    })

    test('each of two overlapping subscriptions gets its copy', async () => {
      const cpp = await listen('cpp', host())
      await cpp.bus.subscribe(`semops.v1.cpp.${cpp.bus.name}.payment-request.*`, {}, (m) => cpp.messages.push(m))
      const wallet = await enter('customer', host())
      wallet.bus.publish(request(cpp.bus, wallet.bus), bytes('twice'))
      await harness.settle(wallet.bus, cpp.bus)
      expect(texts(cpp)).toEqual(['twice', 'twice'])
    })

    test('a queue group gets each message once; others beside it get all', async () => {
      const id = host()
      const subject = inboxSubject('cpp', id)
      const members = [await enter('cpp', id), await enter('cpp', id)]
      for (const { bus, messages } of members) await bus.subscribe(subject, { queue: 'g' }, (m) => messages.push(m))
      const beside = await listen('cpp', id)
      const wallet = await enter('customer', host())
      const sent = Array.from({ length: 200 }, (_, i) => String(i))
      for (const one of sent) wallet.bus.publish(request(beside.bus, wallet.bus), bytes(one))
      await harness.settle(wallet.bus, beside.bus, ...members.map(({ bus }) => bus))
      const shared = members.map(texts)
      expect(texts(beside)).toEqual(sent)
      expect(shared.flat().toSorted((a, b) => Number(a) - Number(b))).toEqual(sent)
      // Each gets some: of 200 by chance, none with probability 2^-199.
      expect(shared.every((some) => some.length > 0)).toBe(true)
    })

    test('each sender is heard in the order in which it sent, whatever the sizes, and what is kept stays as it was', async () => {
      const cpp = await listen('cpp', host())
      const wallets = [await enter('customer', host()), await enter('customer', host())]
      const frame = (i: number): Uint8Array => {
        const data = new Uint8Array(4 + ((i * 7_919) % 3_000)).fill(i & 255)
        new DataView(data.buffer).setUint32(0, i)
        return data
      }
      for (let i = 0; i < 500; i++)
        for (const { bus } of wallets) expect(bus.publish(request(cpp.bus, bus), frame(i))).toBe(true)
      await harness.settle(...wallets.map(({ bus }) => bus), cpp.bus)
      for (const { bus } of wallets) {
        const from = cpp.messages.filter(({ subject }) => subject.endsWith(`.${bus.name}`))
        expect(from.length).toBe(500)
        from.forEach(({ data }, i) => expect(Buffer.compare(data, frame(i))).toBe(0))
      }
    })

    test('carries the largest frame, and throws at one byte more', async () => {
      const cpp = await listen('cpp', host())
      const wallet = await enter('customer', host())
      const largest = new Uint8Array(BUS_LIMITS.maxPayloadBytes).fill(7)
      expect(wallet.bus.publish(request(cpp.bus, wallet.bus), largest)).toBe(true)
      expect(() => wallet.bus.publish(request(cpp.bus, wallet.bus), new Uint8Array(largest.length + 1))).toThrow(
        RangeError,
      )
      await harness.settle(wallet.bus, cpp.bus)
      expect(cpp.messages.map(({ data }) => Buffer.compare(data, largest))).toEqual([0])
    })

    test('throws at what is no subject to publish to', async () => {
      const { bus } = await enter('customer', host())
      const dots = ['', '.', 'a..b', 'a.', '.a', `${'a.'.repeat(200)}a`]
      for (const subject of [...dots, 'a b', 'a\r\nPUB x 0\r\n', 'a\tb', 'a.*.b', 'a.>', 'a*', 'á', 'a\u0000'])
        expect(() => bus.publish(subject, bytes('x'))).toThrow(TypeError)
      expect(bus.stats()).toMatchObject({ outMessages: 0, notSent: 0 })
    })

    test('throws at what is no subject to subscribe to', async () => {
      const { bus } = await enter('customer', host())
      for (const subject of ['', 'a..b', 'a.>.b', 'a b', 'a\n', '>.a', 'a.b>', 'a.*b'])
        await expect(bus.subscribe(subject, {}, () => undefined)).rejects.toThrow(TypeError)
    })

    test('an ended subscription hears nothing more', async () => {
      const cpp = await enter('cpp', host())
      const wallet = await enter('customer', host())
      const subscription = await cpp.bus.subscribe(inboxSubject('cpp', cpp.bus.name), {}, (m) => cpp.messages.push(m))
      wallet.bus.publish(request(cpp.bus, wallet.bus), bytes('1'))
      await harness.settle(wallet.bus, cpp.bus)
      subscription.unsubscribe()
      await harness.settle(cpp.bus)
      wallet.bus.publish(request(cpp.bus, wallet.bus), bytes('2'))
      await harness.settle(wallet.bus, cpp.bus)
      expect(texts(cpp)).toEqual(['1'])
    })

    test('a paused subscription keeps a bounded number, counts what it drops, says so once, and resumes in order', async () => {
      const cpp = await enter('cpp', host())
      const wallet = await enter('customer', host())
      const subject = inboxSubject('cpp', cpp.bus.name)
      const subscription = await cpp.bus.subscribe(subject, { maxPendingMessages: 3 }, (m) => cpp.messages.push(m))
      const send = async (...all: readonly string[]): Promise<void> => {
        for (const one of all) wallet.bus.publish(request(cpp.bus, wallet.bus), bytes(one))
        await harness.settle(wallet.bus, cpp.bus)
      }
      await send('1')
      subscription.pause()
      await send('2', '3', '4', '5', '6')
      expect(texts(cpp)).toEqual(['1'])
      expect(subscription.stats()).toEqual({
        received: 6,
        delivered: 1,
        pendingMessages: 3,
        pendingBytes: 3,
        dropped: 2,
      })
      expect(cpp.events.filter(({ type }) => type === 'slow-consumer')).toEqual([{ type: 'slow-consumer', subject }])
      expect(cpp.bus.stats().dropped).toBe(2)
      subscription.resume()
      await send('7')
      expect(texts(cpp)).toEqual(['1', '2', '3', '4', '7'])
    })

    test('a paused subscription keeps a bounded number of bytes', async () => {
      const cpp = await enter('cpp', host())
      const wallet = await enter('customer', host())
      const options = { maxPendingBytes: 10 }
      const subscription = await cpp.bus.subscribe(inboxSubject('cpp', cpp.bus.name), options, () => undefined)
      subscription.pause()
      for (const size of [6, 6, 4, 1]) wallet.bus.publish(request(cpp.bus, wallet.bus), new Uint8Array(size))
      await harness.settle(wallet.bus, cpp.bus)
      expect(subscription.stats()).toMatchObject({ pendingMessages: 2, pendingBytes: 10, dropped: 2 })
    })

    test('a subscriber may pause again while it resumes', async () => {
      const cpp = await enter('cpp', host())
      const wallet = await enter('customer', host())
      const subscription = await cpp.bus.subscribe(inboxSubject('cpp', cpp.bus.name), {}, (message) => {
        cpp.messages.push(message)
        subscription.pause()
      })
      for (const one of ['1', '2', '3']) wallet.bus.publish(request(cpp.bus, wallet.bus), bytes(one))
      await harness.settle(wallet.bus, cpp.bus)
      expect(texts(cpp)).toEqual(['1'])
      subscription.resume()
      expect(texts(cpp)).toEqual(['1', '2'])
      subscription.resume()
      expect(texts(cpp)).toEqual(['1', '2', '3'])
    })

    test('a drained subscription hears what was sent before, and nothing after', async () => {
      const cpp = await enter('cpp', host())
      const wallet = await enter('customer', host())
      const subscription = await cpp.bus.subscribe(inboxSubject('cpp', cpp.bus.name), {}, (m) => cpp.messages.push(m))
      wallet.bus.publish(request(cpp.bus, wallet.bus), bytes('before'))
      await wallet.bus.flush()
      const drained = subscription.drain()
      await harness.settle(cpp.bus)
      await drained
      wallet.bus.publish(request(cpp.bus, wallet.bus), bytes('after'))
      await harness.settle(wallet.bus, cpp.bus)
      expect(texts(cpp)).toEqual(['before'])
    })

    test('a drained bus has sent what it published, says that it is closed, and refuses more', async () => {
      const cpp = await listen('cpp', host())
      const wallet = await listen('customer', host())
      for (let i = 0; i < 50; i++) wallet.bus.publish(request(cpp.bus, wallet.bus), bytes(String(i)))
      await wallet.bus.drain()
      await harness.settle(cpp.bus)
      expect(cpp.messages.length).toBe(50)
      expect(wallet.bus.connected).toBe(false)
      expect(wallet.events.at(-1)).toEqual({ type: 'closed' })
      expect(wallet.bus.publish(request(cpp.bus, wallet.bus), bytes('late'))).toBe(false)
      expect(wallet.bus.stats().notSent).toBe(1)
      await expect(wallet.bus.flush()).rejects.toMatchObject({ code: 'closed' })
      await expect(wallet.bus.subscribe('a', {}, () => undefined)).rejects.toMatchObject({ code: 'closed' })
      await wallet.bus.drain()
      await wallet.bus.close()
      expect(wallet.events.filter(({ type }) => type === 'closed').length).toBe(1)
    })

    test('counts what goes out and what comes in', async () => {
      const cpp = await listen('cpp', host())
      const wallet = await enter('customer', host())
      for (const size of [1, 10, 100]) wallet.bus.publish(request(cpp.bus, wallet.bus), new Uint8Array(size))
      await harness.settle(wallet.bus, cpp.bus)
      const none = { reconnects: 0, notSent: 0, dropped: 0, permissionErrors: 0 }
      expect(wallet.bus.stats()).toEqual({ outMessages: 3, outBytes: 111, inMessages: 0, inBytes: 0, ...none })
      expect(cpp.bus.stats()).toEqual({ outMessages: 0, outBytes: 0, inMessages: 3, inBytes: 111, ...none })
    })

    test('a publish while disconnected is refused and counted, never sent later; subscriptions stand again', async () => {
      const cpp = await listen('cpp', host())
      const wallet = await enter('customer', host())
      const send = (what: string): boolean => wallet.bus.publish(request(cpp.bus, wallet.bus), bytes(what))
      expect(send('before')).toBe(true)
      await harness.settle(wallet.bus, cpp.bus)
      await harness.cut()
      expect(wallet.bus.connected).toBe(false)
      expect([send('lost 1'), send('lost 2')]).toEqual([false, false])
      await expect(wallet.bus.flush()).rejects.toMatchObject({ name: 'BusError', code: 'disconnected' })
      await harness.restore()
      expect(wallet.bus.connected).toBe(true)
      expect(send('after')).toBe(true)
      await harness.settle(wallet.bus, cpp.bus)
      expect(texts(cpp)).toEqual(['before', 'after'])
      expect(wallet.bus.stats()).toMatchObject({ outMessages: 2, notSent: 2, reconnects: 1 })
      for (const { events } of [wallet, cpp])
        expect(events.map(({ type }) => type)).toEqual(['connected', 'disconnected', 'reconnected'])
    }, 60_000)

    test('what is subscribed while disconnected stands when the call resolves', async () => {
      const cpp = await enter('cpp', host())
      const wallet = await enter('customer', host())
      await harness.cut()
      const subscribing = cpp.bus.subscribe(inboxSubject('cpp', cpp.bus.name), {}, (m) => cpp.messages.push(m))
      await harness.restore()
      await subscribing
      wallet.bus.publish(request(cpp.bus, wallet.bus), bytes('heard'))
      await harness.settle(wallet.bus, cpp.bus)
      expect(texts(cpp)).toEqual(['heard'])
    }, 60_000)

    test('a bus can be drained and closed while disconnected', async () => {
      const cpp = await listen('cpp', host())
      const wallet = await listen('customer', host())
      await harness.cut()
      await cpp.bus.drain()
      await wallet.bus.close()
      expect([cpp, wallet].map(({ events }) => events.at(-1)?.type)).toEqual(['closed', 'closed'])
      await harness.restore()
    }, 60_000)

    test('a publish as another host is reported and not delivered', async () => {
      const cpp = await listen('cpp', host())
      const wallet = await enter('customer', host())
      const forged = `semops.v1.cpp.${cpp.bus.name}.payment-request.${host()}`
      wallet.bus.publish(forged, bytes('forged'))
      wallet.bus.publish(request(cpp.bus, wallet.bus), bytes('own'))
      await harness.settle(wallet.bus, cpp.bus)
      expect(texts(cpp)).toEqual(['own'])
      const error = { type: 'permission-error', operation: 'publish', subject: forged }
      expect(wallet.events.slice(1)).toEqual([error])
      expect(wallet.bus.stats().permissionErrors).toBe(1)
    })

    test('a subscription to anything but its own inbox is refused and reported', async () => {
      const { bus, events } = await enter('customer', host())
      const inboxes = [inboxSubject('customer', host()), inboxSubject('cpp', bus.name), 'semops.v1.customer.*.>']
      for (const subject of [...inboxes, 'semops.v1.customer.>', '>', '$SYS.>', '$JS.API.>', '$SRV.PING', '_INBOX.>']) {
        const refused = bus.subscribe(subject, {}, () => undefined)
        await expect(refused).rejects.toBeInstanceOf(BusError)
        await expect(refused).rejects.toMatchObject({ code: 'permission' })
        expect(events.at(-1)).toEqual({ type: 'permission-error', operation: 'subscribe', subject })
      }
    })

    test('a publish outside the protocol is refused and reported', async () => {
      const { bus, events } = await enter('cpp', host())
      const subjects = ['$SYS.REQ.SERVER.PING', '$SYS.REQ.CLAIMS.UPDATE', '$JS.API.INFO', '$SRV.PING', '_INBOX.x', 'a']
      for (const subject of subjects) bus.publish(subject, bytes('x'))
      await harness.settle(bus)
      expect(events.slice(1)).toEqual(
        subjects.map((subject) => ({ type: 'permission-error', operation: 'publish', subject })),
      )
    })

    test('a guest speaks and is spoken to under its token, and under no other', async () => {
      const wallet = await harness.broker('customer', host())
      const [mine, other] = [1, 2].map((fill) => tokenOf(seedFilled(fill))) as [string, string]
      const guest = await watch((onEvent) => wallet.openGuest(seedFilled(1), { onEvent }))
      const shop = await listen('merchant', host())
      await guest.bus.subscribe(inboxSubject('guest', mine), {}, (message) => guest.messages.push(message))
      await expect(guest.bus.subscribe(inboxSubject('guest', other), {}, () => undefined)).rejects.toMatchObject({
        code: 'permission',
      })
      guest.bus.publish(to('merchant', shop.bus.name, 'offer-request', guest.bus), bytes('offer'))
      guest.bus.publish(`semops.v1.merchant.${shop.bus.name}.offer-request.${other}`, bytes('forged'))
      guest.bus.publish(to('merchant', shop.bus.name, 'payment-notice', guest.bus), bytes('not a guest kind'))
      shop.bus.publish(to('guest', mine, 'transaction-details', shop.bus), bytes('invoice'))
      shop.bus.publish(to('guest', other, 'transaction-details', shop.bus), bytes('not mine'))
      await harness.settle(guest.bus, shop.bus)
      expect(guest.bus.name).toBe(mine)
      expect(texts(shop)).toEqual(['offer'])
      expect(texts(guest)).toEqual(['invoice'])
      expect(guest.bus.stats().permissionErrors).toBe(3)
    })

    test('only a wallet host opens guests, and only under a key of theirs', async () => {
      const shop = await harness.broker('merchant', host())
      await expect(shop.openGuest(seedFilled(3))).rejects.toMatchObject({ code: 'not-a-wallet-host' })
      const wallet = await harness.broker('customer', host())
      for (const length of [0, 16, 31, 33, 64])
        await expect(wallet.openGuest(new Uint8Array(length))).rejects.toThrow(TypeError)
    })

    test("data centers of a realm share its routes, each hears every registration, and no other realm's", async () => {
      const realm = `r${++hosts}`
      const address = dataCenterAddress(realm)
      const replicas = [await enter('dc', `${address}-1`), await enter('dc', `${address}-2`)]
      for (const { bus, messages } of replicas)
        for (const { subject, queue } of hostSubscriptions('dc', bus.name))
          await bus.subscribe(subject, queue === undefined ? {} : { queue }, (message) => messages.push(message))
      const mpp = await enter('mpp', host())
      for (let i = 0; i < 100; i++)
        mpp.bus.publish(to('dc', address, 'countersigned-decision', mpp.bus), bytes(`route ${i}`))
      mpp.bus.publish(to('dc', address, 'payee-registration', mpp.bus), bytes('registration'))
      mpp.bus.publish(to('dc', `${address}-2`, 'payee-registration', mpp.bus), bytes('to the second'))
      await harness.settle(mpp.bus, ...replicas.map(({ bus }) => bus))
      const heard = replicas.map(texts)
      const routes = heard.map((some) => some.filter((one) => one.startsWith('route')))
      expect(routes.flat().length).toBe(100)
      expect(new Set(routes.flat()).size).toBe(100)
      expect(routes.every((some) => some.length > 0)).toBe(true)
      expect(heard.map((some) => some.includes('registration'))).toEqual([true, true])
      expect(heard.map((some) => some.includes('to the second'))).toEqual([false, true])
      const [first] = replicas as [Seen, Seen]
      await expect(
        first.bus.subscribe(inboxSubject('dc', `q${dataCenterAddress(realm)}`), {}, () => undefined),
      ).rejects.toMatchObject({ code: 'permission' })
    })

    test('each role publishes exactly the legs of the kind registry', async () => {
      const wallet = await harness.broker('customer', host())
      const seen = new Map<Role, Seen>()
      for (const role of ROLES) {
        const one =
          role === 'guest'
            ? await watch((onEvent) => wallet.openGuest(seedFilled(4), { onEvent }))
            : await enter(role, role === 'dc' ? `x${++hosts}-dc` : host())
        await one.bus.subscribe(inboxSubject(role, one.bus.name), {}, (message) => one.messages.push(message))
        seen.set(role, one)
      }
      const legs = new Set(ALL_LEGS.map(({ kind, from, to: toRole }) => `${kind} ${from} ${toRole}`))
      for (const [from, { bus }] of seen)
        for (const [toRole, addressee] of seen)
          for (const kind of KIND_NAMES)
            bus.publish(to(toRole, addressee.bus.name, kind, bus), bytes(`${kind} ${from} ${toRole}`))
      await harness.settle(...[...seen.values()].map(({ bus }) => bus))
      const heard = [...seen.values()].flatMap(texts)
      expect([...heard].toSorted()).toEqual([...legs].toSorted())
      const refused = [...seen.values()].reduce((sum, { bus }) => sum + bus.stats().permissionErrors, 0)
      expect(refused).toBe(ROLES.length ** 2 * KIND_NAMES.length - legs.size)
    }, 60_000)
  })
}
