import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { inboxSubject } from '../protocol/subjects.ts'
import type { Bus } from './bus.ts'
import { busCompliance } from './compliance.ts'
import { createSimulatedNetwork, LOST, type Fate, type SimulatedNetworkOptions } from './simulated-bus.ts'

busCompliance('simulated bus', () => {
  const network = createSimulatedNetwork()
  const act = (what: () => unknown) => (): Promise<void> => {
    what()
    return Promise.resolve()
  }
  return Promise.resolve({
    broker: (role, host) => Promise.resolve(network.broker(role, host)),
    settle: act(() => network.pump()),
    cut: act(() => network.disconnect()),
    restore: act(() => network.reconnect()),
    [Symbol.asyncDispose]: act(() => network.disconnect()),
  })
})

/** Two wallets and a CPP that notes what it hears. */
const setUp = async (options: SimulatedNetworkOptions) => {
  const network = createSimulatedNetwork(options)
  const cpp = await network.broker('cpp', 'hu-cpp').openHost()
  const [a, b] = [
    await network.broker('customer', 'hu-a').openHost(),
    await network.broker('customer', 'hu-b').openHost(),
  ]
  const heard: string[] = []
  await cpp.subscribe(inboxSubject('cpp', 'hu-cpp'), {}, ({ subject, data }) =>
    heard.push(`${subject.at(-1)}${data[0]}`),
  )
  const send = (from: Bus, ...all: readonly number[]): void => {
    for (const one of all) from.publish(`semops.v1.cpp.hu-cpp.payment-request.${from.name}`, new Uint8Array([one]))
  }
  return { network, cpp, a, b, heard, send }
}

describe('simulated network', () => {
  test('nothing moves before it is pumped', async () => {
    const { network, a, heard, send } = await setUp({})
    send(a, 1, 2)
    await a.flush()
    expect(heard).toEqual([])
    expect(network.inFlight().map(({ from, to, data }) => [from, to, data[0]])).toEqual([
      ['hu-a', 'hu-cpp', 1],
      ['hu-a', 'hu-cpp', 2],
    ])
    expect(network.deliverNext()?.id).toBe(1)
    expect(heard).toEqual(['a1'])
    expect(network.pump()).toBe(1)
    expect(network.deliverNext()).toBeUndefined()
  })

  test('the policy loses, delays and repeats; copies keep the order of their pair', async () => {
    let now = 1_000
    const fates: Record<number, Fate> = { 1: { delaysMs: [50] }, 2: LOST, 3: { delaysMs: [0, 10] } }
    const { network, a, b, heard, send } = await setUp({
      now: () => now,
      onSend: ({ data }) => fates[data[0] as number] ?? { delaysMs: [0] },
    })
    send(a, 1, 2, 3)
    send(b, 4)
    expect(network.pump()).toBe(1)
    expect(heard).toEqual(['b4'])
    expect(network.nextDueAtMs()).toBe(1_050)
    now = 1_049
    expect(network.pump()).toBe(0)
    now = 1_050
    network.pump()
    expect(heard).toEqual(['b4', 'a1', 'a3', 'a3'])
    expect(network.stats()).toEqual({ published: 4, delivered: 4, lost: 1 })
  })

  test('a copy that may overtake does', async () => {
    let now = 0
    const { network, a, heard, send } = await setUp({
      now: () => now,
      onSend: ({ data }) => ({ delaysMs: [100 - (data[0] as number)], overtake: true }),
    })
    send(a, 1, 2, 3)
    now = 100
    network.pump()
    expect(heard).toEqual(['a3', 'a2', 'a1'])
  })

  test('the scheduler delivers, drops and repeats by hand', async () => {
    const { network, a, heard, send } = await setUp({})
    send(a, 1, 2, 3)
    const [first, second, third] = network.inFlight()
    network.deliver(third!.id)
    network.drop(second!.id)
    network.duplicate(first!.id)
    network.pump()
    expect(heard).toEqual(['a3', 'a1', 'a1'])
    for (const act of [network.deliver, network.drop, network.duplicate])
      expect(() => act(first!.id)).toThrow(RangeError)
  })

  test('what is on its way to a connection that breaks is lost, also when it is back in time', async () => {
    const { network, cpp, a, heard, send } = await setUp({})
    send(a, 1)
    network.disconnect('hu-cpp')
    expect([cpp.connected, a.connected]).toEqual([false, true])
    network.reconnect('hu-cpp')
    send(a, 2)
    network.pump()
    expect(heard).toEqual(['a2'])
    expect(network.stats().lost).toBe(1)
  })

  test('what the sender mutates after publishing does not change what was sent, nor one receiver what another got', async () => {
    const { network, cpp, a, heard } = await setUp({})
    const others: Uint8Array[] = []
    await cpp.subscribe(inboxSubject('cpp', 'hu-cpp'), {}, ({ data }) => void others.push(data.fill(9)))
    const data = new Uint8Array([1])
    a.publish('semops.v1.cpp.hu-cpp.payment-request.hu-a', data)
    data[0] = 7
    network.duplicate(1)
    network.pump()
    expect(heard).toEqual(['a1', 'a1'])
  })

  test('a handler that throws throws out of the pump, and the network goes on', async () => {
    const { network, cpp, a, heard, send } = await setUp({})
    const subscription = await cpp.subscribe(inboxSubject('cpp', 'hu-cpp'), {}, () => {
      throw new Error('broken invariant')
    })
    send(a, 1)
    expect(() => network.pump()).toThrow('broken invariant')
    subscription.unsubscribe()
    send(a, 2)
    network.pump()
    expect(heard).toEqual(['a1', 'a2'])
  })

  test('nodes that answer each other without end are found out', async () => {
    const { network, a } = await setUp({})
    const bank = await network.broker('bank', 'hu-bank').openHost()
    const subject = 'semops.v1.bank.hu-bank.interbank-credit.hu-bank'
    await bank.subscribe(inboxSubject('bank', 'hu-bank'), {}, () => void bank.publish(subject, new Uint8Array(1)))
    bank.publish(subject, new Uint8Array(1))
    expect(() => network.pump(100)).toThrow('more than 100 deliveries')
    await a.close()
  })

  test('the same calls in the same order give the same deliveries, whatever the delays, each pair in order', async () => {
    const messages = fc.array(
      fc.record({ from: fc.boolean(), delaysMs: fc.array(fc.nat(20), { maxLength: 3 }), wait: fc.nat(10) }),
      { maxLength: 40 },
    )
    await fc.assert(
      fc.asyncProperty(messages, async (all) => {
        const run = async (): Promise<readonly string[]> => {
          let now = 0
          let next = 0
          const { network, a, b, heard, send } = await setUp({
            now: () => now,
            onSend: () => ({ delaysMs: all[next]!.delaysMs }),
          })
          for (; next < all.length; next++) {
            send(all[next]!.from ? a : b, next)
            now += all[next]!.wait
            network.pump()
          }
          for (let due = network.nextDueAtMs(); due !== undefined; due = network.nextDueAtMs()) {
            now = Math.max(now, due)
            network.pump()
          }
          return heard
        }
        const heard = await run()
        expect(await run()).toEqual(heard)
        expect(heard.length).toBe(all.reduce((sum, { delaysMs }) => sum + delaysMs.length, 0))
        for (const sender of ['a', 'b']) {
          const order = heard.filter((one) => one.startsWith(sender)).map((one) => Number(one.slice(1)))
          expect(order).toEqual([...order].toSorted((x, y) => x - y))
        }
      }),
      { numRuns: 100 },
    )
  })
})
