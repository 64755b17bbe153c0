/**
 * A TCP relay on loopback, to stand between two servers and do to their connection what networks do: cut it, or let it stand
 * while nothing arrives, in one direction or both.
 */
import { createServer, connect, type AddressInfo, type Socket } from 'node:net'

export type TcpRelay = AsyncDisposable & {
  /** Where to dial instead of the port behind it. */
  readonly port: number
  /** Connections break, and none can be made. */
  readonly cut: () => void
  /** Connections stand, and new ones are taken, but nothing gets through: `both` ways, or only not `there` or not `back`. */
  readonly hold: (way: 'both' | 'there' | 'back') => void
  /** As a network without faults; what was held arrives, late. */
  readonly heal: () => void
}

type Pair = { readonly near: Socket; readonly far: Socket }

/** @param to the port behind it, which may not be known before it is listened at */
export const startRelay = async (to: () => number): Promise<TcpRelay> => {
  const pairs = new Set<Pair>()
  let state: 'open' | 'cut' | 'both' | 'there' | 'back' = 'open'
  const flow = ({ near, far }: Pair): void => {
    if (state === 'both' || state === 'there') near.pause()
    else near.resume()
    if (state === 'both' || state === 'back') far.pause()
    else far.resume()
  }
  const server = createServer((near) => {
    if (state === 'cut') {
      near.destroy()
      return
    }
    const far = connect(to(), '127.0.0.1')
    const pair = { near, far }
    pairs.add(pair)
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      // What an end does not read waits there: a relay that held it would be a longer wire, not a stalled one.
      from.on('data', (bytes) => void into.write(bytes))
      from.on('error', () => from.destroy())
      from.on('close', () => {
        into.destroy()
        pairs.delete(pair)
      })
    }
    flow(pair)
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const become = (next: typeof state): void => {
    state = next
    for (const pair of pairs) {
      if (next === 'cut') pair.near.destroy()
      else flow(pair)
    }
  }
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => become('cut'),
    hold: (way) => become(way),
    heal: () => become('open'),
    [Symbol.asyncDispose]: async () => {
      become('cut')
      await new Promise((resolve) => void server.close(resolve))
    },
  }
}
