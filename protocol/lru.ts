/** A map that forgets its least recently used entry when it is full. Everything kept in one is only a cache. */
export type Lru<V> = {
  get(key: string): V | undefined
  set(key: string, value: V): void
  delete(key: string): void
  /** The least recently used first. */
  entries(): Iterable<readonly [string, V]>
  readonly size: number
}

/** `capacity` entries at most, at least one. */
export const createLru = <V>(capacity: number): Lru<V> => {
  const entries = new Map<string, V>()
  /** The last used: it need not be moved to the end again. */
  let newest: string | undefined
  return {
    get(key) {
      const value = entries.get(key)
      if (value === undefined || key === newest) return value
      // A Map iterates in the order of insertion, so the oldest use is always first.
      entries.delete(key)
      entries.set(key, value)
      newest = key
      return value
    },
    set(key, value) {
      entries.delete(key)
      if (entries.size >= capacity) entries.delete(entries.keys().next().value as string)
      entries.set(key, value)
      newest = key
    },
    delete(key) {
      entries.delete(key)
      if (key === newest) newest = undefined
    },
    entries: () => entries.entries(),
    get size() {
      return entries.size
    },
  }
}

/** Bytes as the key of a map: one character a byte. */
export const keyOfBytes = (bytes: Uint8Array): string => String.fromCharCode.apply(null, bytes as unknown as number[])
