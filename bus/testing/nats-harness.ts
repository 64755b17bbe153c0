/** The NATS bus on a server of its own, as the compliance suite drives it. For tests only. */
import type { Broker, Bus } from '../bus.ts'
import type { BusHarness } from '../compliance.ts'
import { natsBroker } from '../nats-bus.ts'
import { startTestBroker, until } from '../test-broker.ts'

/** @param wrap what is driven instead of a host's own broker; `again` makes another of the same host, with a login of its own */
export const natsHarness = async ({
  tls = false,
  wrap = (broker) => broker,
}: {
  readonly tls?: boolean
  readonly wrap?: (broker: Broker, again: () => Promise<Broker>) => Broker
} = {}): Promise<BusHarness> => {
  const server = await startTestBroker({ tls })
  const open = new Set<Bus>()
  const track = async (opening: Promise<Bus>): Promise<Bus> => {
    const bus = await opening
    open.add(bus)
    bus.onEvent((event) => void (event.type === 'closed' && open.delete(bus)))
    return bus
  }
  return {
    async broker(role, host) {
      const login = async (): Promise<Broker> => natsBroker(await server.login(role, host), () => 0)
      const inner = wrap(await login(), login)
      return {
        openHost: (options) => track(inner.openHost(options)),
        openGuest: (seed, options) => track(inner.openGuest(seed, options)),
        [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
      }
    },
    async settle(...buses) {
      // The first round trips: the broker has all that was published and passed it on. The second: it was received.
      for (let round = 0; round < 2; round++)
        await Promise.all(buses.filter(({ connected }) => connected).map((bus) => bus.flush()))
    },
    async cut() {
      const noticed = [...open].map((bus) => until(bus, () => !bus.connected))
      await server.server().kill()
      await Promise.all(noticed)
    },
    async restore() {
      await server.start()
      await Promise.all([...open].map((bus) => until(bus, () => bus.connected)))
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}
