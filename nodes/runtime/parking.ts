/** Frames that wait for a credential, bounded: the oldest is let go of, since its sender sends it again. */
export type Parking<T> = {
  readonly size: number
  /** False when something else had to go for it. */
  readonly park: (key: string, item: T) => boolean
  /** What waited for this key, in order. */
  readonly take: (key: string) => readonly T[]
}

export const createParking = <T>(limit: number): Parking<T> => {
  const lots = new Map<string, T[]>()
  let size = 0
  const dropOldest = (): void => {
    const [first] = lots
    if (first === undefined) return
    const [key, items] = first
    items.shift()
    size -= 1
    if (items.length === 0) lots.delete(key)
  }
  return {
    get size() {
      return size
    },
    park: (key, item) => {
      const full = size >= limit
      if (full) dropOldest()
      const lot = lots.get(key)
      if (lot === undefined) lots.set(key, [item])
      else lot.push(item)
      size += 1
      return !full
    },
    take: (key) => {
      const items = lots.get(key) ?? []
      lots.delete(key)
      size -= items.length
      return items
    },
  }
}
