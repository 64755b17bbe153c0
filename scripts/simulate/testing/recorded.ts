/** A history of the whole network as an observer was told it, to be told again with something changed: for tests of judges. */
import { parseFrame } from '../../../protocol/seals.ts'
import { keyText } from '../../../nodes/runtime/sorted-map.ts'
import type { Observer, RowChange, Wire } from '../observed.ts'
import type { Overheard } from '../overhear.ts'
import { buildWatchedNetwork, type WatchedNetwork } from './watched-network.ts'

export type Told =
  | {
      readonly type: 'committed'
      readonly host: string
      readonly batch: number
      readonly changes: readonly RowChange[]
    }
  | { readonly type: 'flushed'; readonly host: string; readonly batch: number }
  | { readonly type: 'lost'; readonly host: string; readonly changes: readonly RowChange[] }
  | { readonly type: 'started' | 'crashed'; readonly host: string }
  | { readonly type: 'published'; readonly message: Wire }

export type History = { readonly told: readonly Told[]; readonly overheard: Overheard }

/** What happens from the network's first message on until `live` is over. */
export const record = async (seed: string, live: (net: WatchedNetwork) => Promise<void>): Promise<History> => {
  const told: Told[] = []
  const plaintexts = new Map<string, Uint8Array>()
  const { net } = await buildWatchedNetwork(seed, (overheard) => ({
    committed: (host, batch, changes) => void told.push({ type: 'committed', host, batch, changes }),
    flushed: (host, batch) => void told.push({ type: 'flushed', host, batch }),
    lost: (host, changes) => void told.push({ type: 'lost', host, changes }),
    started: (host) => void told.push({ type: 'started', host }),
    crashed: (host) => void told.push({ type: 'crashed', host }),
    published: (message) => {
      told.push({ type: 'published', message: { ...message, data: message.data.slice() } })
      const frame = parseFrame(message.data)
      const plaintext = frame.ok ? overheard.plaintextOf(frame.value.bodyBytes) : undefined
      if (frame.ok && plaintext !== undefined) plaintexts.set(keyText(frame.value.bodyBytes), plaintext)
    },
    check: () => [],
  }))
  await live(net)
  return { told, overheard: { plaintextOf: (body) => plaintexts.get(keyText(body)) } }
}

export const retell = (observer: Observer, told: readonly Told[]): void => {
  for (const one of told)
    switch (one.type) {
      case 'committed':
        observer.committed?.(one.host, one.batch, one.changes)
        break
      case 'flushed':
        observer.flushed?.(one.host, one.batch)
        break
      case 'lost':
        observer.lost?.(one.host, one.changes)
        break
      case 'started':
        observer.started?.(one.host)
        break
      case 'crashed':
        observer.crashed?.(one.host)
        break
      case 'published':
        observer.published?.(one.message)
    }
}
