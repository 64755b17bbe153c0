/**
 * Frames that wait for a credential, bounded in all and for each sender. A sender's oldest goes for its newest; when all places
 * are taken, the oldest of whoever has the most goes: it is sent again, and nobody can push out another's by asking for more.
 */
import { LIMITS } from '../../protocol/limits.ts'

export type Parking<T> = {
  readonly size: number
  /** False when something else had to go for it. */
  readonly park: (key: string, item: T, sender: string) => boolean
  /** What waited for this key, in order. */
  readonly take: (key: string) => readonly T[]
}

type Place<T> = { readonly key: string; readonly sender: string; readonly item: T }

export const createParking = <T>(limit: number, perSender: number = LIMITS.maxParkedPerSender): Parking<T> => {
  /** By key and by sender, each in the order they came. */
  const byKey = new Map<string, Set<Place<T>>>()
  const bySender = new Map<string, Set<Place<T>>>()
  /** How many have how many: senders by the number of their places. */
  const bySize = Array.from({ length: perSender + 1 }, () => new Set<string>())
  let size = 0

  const resize = (sender: string, from: number, to: number): void => {
    bySize[from]?.delete(sender)
    if (to > 0) bySize[to]?.add(sender)
  }
  const leave = (place: Place<T>): void => {
    const { key, sender } = place
    const same = byKey.get(key)
    same?.delete(place)
    if (same?.size === 0) byKey.delete(key)
    const own = bySender.get(sender) as Set<Place<T>>
    own.delete(place)
    resize(sender, own.size + 1, own.size)
    if (own.size === 0) bySender.delete(sender)
    size -= 1
  }
  const oldestOf = (sender: string): Place<T> =>
    (bySender.get(sender) as Set<Place<T>>).values().next().value as Place<T>
  /** Who has the most; of several, who has had them for longest. */
  const greediest = (): string => {
    for (let many = perSender; many > 0; many--) {
      const [sender] = bySize[many] as Set<string>
      if (sender !== undefined) return sender
    }
    throw new Error('nobody is parked')
  }

  return {
    get size() {
      return size
    },
    park: (key, item, sender) => {
      const isFull = size >= limit
      const isTooMany = (bySender.get(sender)?.size ?? 0) >= perSender
      if (isTooMany) leave(oldestOf(sender))
      else if (isFull) leave(oldestOf(greediest()))
      const place = { key, sender, item }
      const same = byKey.get(key)
      if (same === undefined) byKey.set(key, new Set([place]))
      else same.add(place)
      const own = bySender.get(sender)
      if (own === undefined) bySender.set(sender, new Set([place]))
      else own.add(place)
      const now = bySender.get(sender)?.size as number
      resize(sender, now - 1, now)
      size += 1
      return !isFull && !isTooMany
    },
    take: (key) => {
      const places = [...(byKey.get(key) ?? [])]
      places.forEach(leave)
      return places.map(({ item }) => item)
    },
  }
}
