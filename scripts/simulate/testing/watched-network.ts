/** The whole network of the nodes' own tests, watched by an observer as a simulation would let it: for tests of judges. */
import { loadEngine } from '../../../protocol/engines/load.ts'
import { memoryStore, type MemoryStore } from '../../../nodes/runtime/memory-store.ts'
import { buildWholeNetwork, REALMS, type WholeNetwork } from '../../../nodes/runtime/whole-network.ts'
import type { Observer } from '../observed.ts'
import { overhear, type Overheard } from '../overhear.ts'
import type { HostRole, Topology } from '../world.ts'

const HOSTS: readonly (readonly [string, HostRole])[] = [
  ['dc-1', 'dc'],
  ['bank', 'bank'],
  ['cpp', 'cpp'],
  ['mpp', 'mpp'],
  ['shop-1', 'merchant'],
  ['wallet-1', 'customer'],
]

export const WHOLE_TOPOLOGY: Topology = {
  intermediaries: 'two',
  realms: REALMS,
  hosts: [
    { id: 'ro-reserve', role: 'bank', realm: 'ro' },
    ...REALMS.flatMap((realm) => HOSTS.map(([name, role]) => ({ id: `${realm}-${name}`, role, realm }))),
  ],
  customers: REALMS.map((realm) => ({
    id: `${realm}-alice`,
    host: `${realm}-wallet-1`,
    cpp: `${realm}-cpp`,
    account: `${realm}-bank:alice`,
    currency: 'EUR',
    pin: '123456',
    alias: `${realm}-alice-pays`,
  })),
  payees: REALMS.map((realm) => ({
    id: `${realm}-bakery`,
    host: `${realm}-shop-1`,
    mpp: `${realm}-mpp`,
    account: `${realm}-bank:shop`,
    currency: 'EUR',
    approval: 'approve',
    refundPin: '1234',
  })),
  settlementBank: 'ro-reserve',
}

export type WatchedNetwork = WholeNetwork & {
  /** Power cut, told to the observer. */
  readonly crash: (host: string) => Promise<void>
  readonly restart: (host: string) => Promise<void>
}

/** @param observe makes the observer, which sees everything from the network's first message on */
export const buildWatchedNetwork = async (
  seed: string,
  observe: (overheard: Overheard) => Observer,
): Promise<{ readonly net: WatchedNetwork; readonly observer: Observer }> => {
  const { engine, overheard } = overhear(loadEngine())
  const observer = observe(overheard)
  const store = (host: string): MemoryStore => {
    observer.started?.(host)
    return memoryStore((_what, run) => void setImmediate(run), {
      committed: (batch, changes) => observer.committed?.(host, batch, changes),
      flushed: (batch) => observer.flushed?.(host, batch),
      lost: (changes) => observer.lost?.(host, changes),
    })
  }
  const net = await buildWholeNetwork(seed, {
    sim: { engine, store, onPublish: (message) => observer.published?.({ ...message, origin: 'node' }) },
  })
  return {
    net: {
      ...net,
      crash: async (host) => {
        await net.sim.host(host).crash()
        observer.crashed?.(host)
      },
      restart: async (host) => {
        observer.started?.(host)
        await net.sim.host(host).restart()
      },
    },
    observer,
  }
}
