/**
 * A map under ordered byte keys, kept in chunks: the memory store, the staged writes of a batch and the tests' ledgers are
 * made of it. Keys are held as latin-1 text, one code unit a byte, so that comparing text compares bytes.
 */
import { Buffer } from 'node:buffer'

const MAX_CHUNK = 256

/** Node's own reader of bytes as text. Asking for the `buffer` of a small byte string, as `Buffer.from` must, costs ten times as much. */
const { latin1Slice } = Buffer.prototype as unknown as {
  readonly latin1Slice: (this: Uint8Array, from: number, to: number) => string
}

export const keyText = (bytes: Uint8Array): string => latin1Slice.call(bytes, 0, bytes.length)
/** Keys are short: unit by unit costs less than a buffer between. */
export const keyBytes = (text: string): Uint8Array => {
  const bytes = new Uint8Array(text.length)
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at)
  return bytes
}

/** The first key text after every key that begins with `prefix`; undefined when there is none. */
export const afterPrefix = (prefix: string): string | undefined => {
  for (let end = prefix.length; end > 0; end--) {
    const code = prefix.charCodeAt(end - 1)
    if (code < 0xff) return prefix.slice(0, end - 1) + String.fromCharCode(code + 1)
  }
  return undefined
}

export type SortedMap<V> = {
  readonly size: number
  readonly get: (key: string) => V | undefined
  readonly has: (key: string) => boolean
  readonly set: (key: string, value: V) => void
  readonly delete: (key: string) => boolean
  readonly clear: () => void
  /** A map of its own with the same entries. */
  readonly copy: () => SortedMap<V>
  /** Entries with `from` ≤ key < `before`, in key order or against it. The map must not change while it is iterated. */
  readonly range: (options?: {
    readonly from?: string | undefined
    readonly before?: string | undefined
    readonly reverse?: boolean | undefined
  }) => Iterable<readonly [string, V]>
}

export const sortedMap = <V>(): SortedMap<V> => mapOf<V>(new Map(), [])

/** @param chunks each sorted and not empty, every key of a chunk below every key of the next; together the keys of `values` */
const mapOf = <V>(values: Map<string, V>, chunks: string[][]): SortedMap<V> => {
  /** Index of the chunk that holds or would hold `key`. */
  const chunkOf = (key: string): number => {
    let low = 0
    let high = chunks.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (((chunks[middle] as string[])[0] as string) <= key) low = middle
      else high = middle - 1
    }
    return low
  }
  /** Index of the first key of `chunk` that is not below `key`. */
  const placeIn = (chunk: readonly string[], key: string): number => {
    let low = 0
    let high = chunk.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((chunk[middle] as string) < key) low = middle + 1
      else high = middle
    }
    return low
  }
  const insert = (key: string): void => {
    if (chunks.length === 0) {
      chunks.push([key])
      return
    }
    const at = chunkOf(key)
    const chunk = chunks[at] as string[]
    chunk.splice(placeIn(chunk, key), 0, key)
    if (chunk.length > MAX_CHUNK) chunks.splice(at + 1, 0, chunk.splice(MAX_CHUNK >>> 1))
  }

  return {
    get size() {
      return values.size
    },
    get: (key) => values.get(key),
    has: (key) => values.has(key),
    set: (key, value) => {
      if (!values.has(key)) insert(key)
      values.set(key, value)
    },
    delete: (key) => {
      if (!values.delete(key)) return false
      const at = chunkOf(key)
      const chunk = chunks[at] as string[]
      chunk.splice(placeIn(chunk, key), 1)
      if (chunk.length === 0) chunks.splice(at, 1)
      return true
    },
    clear: () => {
      values.clear()
      chunks.length = 0
    },
    copy: () =>
      mapOf(
        new Map(values),
        chunks.map((chunk) => chunk.slice()),
      ),
    range: function* ({ from, before, reverse = false } = {}) {
      if (chunks.length === 0) return
      if (!reverse) {
        let at = from === undefined ? 0 : chunkOf(from)
        let place = from === undefined ? 0 : placeIn(chunks[at] as string[], from)
        for (; at < chunks.length; at++, place = 0) {
          const chunk = chunks[at] as string[]
          for (; place < chunk.length; place++) {
            const key = chunk[place] as string
            if (before !== undefined && key >= before) return
            yield [key, values.get(key) as V]
          }
        }
        return
      }
      let at = before === undefined ? chunks.length - 1 : chunkOf(before)
      let place =
        before === undefined ? (chunks[at] as string[]).length - 1 : placeIn(chunks[at] as string[], before) - 1
      for (;;) {
        const chunk = chunks[at] as string[]
        for (; place >= 0; place--) {
          const key = chunk[place] as string
          if (from !== undefined && key < from) return
          yield [key, values.get(key) as V]
        }
        at -= 1
        if (at < 0) return
        place = (chunks[at] as string[]).length - 1
      }
    },
  }
}
