/** First-in first-out queues. What does not fit a bounded one is refused, never dropped unseen. */
export type Queue<T> = {
  readonly size: number
  /** False when full. */
  readonly push: (item: T) => boolean
  readonly shift: () => T | undefined
  /** What waits, in order: a copy. */
  readonly all: () => readonly T[]
}

export const createQueue = <T>(limit: number): Queue<T> => {
  const line = newLine<T>()
  return {
    get size() {
      return lineSize(line)
    },
    push: (item) => {
      if (lineSize(line) >= limit) return false
      line.items.push(item)
      return true
    },
    shift: () => shiftLine(line),
    all: () => line.items.slice(line.head) as T[],
  }
}

/** A queue without a bound, for those who keep one themselves and make many: two fields. */
export type Line<T> = { items: (T | undefined)[]; head: number }

export const newLine = <T>(): Line<T> => ({ items: [], head: 0 })
export const lineSize = (line: Line<unknown>): number => line.items.length - line.head

/** Takes the first. Amortised O(1): taken items are let go of, and the array is cut once half of it is taken. */
export const shiftLine = <T>(line: Line<T>): T | undefined => {
  const { items, head } = line
  if (head === items.length) return undefined
  const item = items[head]
  items[head] = undefined
  line.head = head + 1
  if (line.head === items.length) {
    items.length = 0
    line.head = 0
  } else if (line.head * 2 > items.length && line.head > 64) {
    line.items = items.slice(line.head)
    line.head = 0
  }
  return item
}
