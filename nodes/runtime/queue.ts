/** A bounded first-in first-out queue. What does not fit is refused, never dropped unseen. */
export type Queue<T> = {
  readonly size: number
  /** False when full. */
  readonly push: (item: T) => boolean
  readonly shift: () => T | undefined
  /** What the next {@link shift} takes. */
  readonly first: () => T | undefined
  /** What waits, in order: a copy. */
  readonly all: () => readonly T[]
}

export const createQueue = <T>(limit: number): Queue<T> => {
  let items: (T | undefined)[] = []
  let head = 0
  return {
    get size() {
      return items.length - head
    },
    push: (item) => {
      if (items.length - head >= limit) return false
      items.push(item)
      return true
    },
    shift: () => {
      if (head === items.length) return undefined
      const item = items[head]
      // Taken items are let go of, and the array is cut once half of it is taken: shifting costs no copying on average.
      items[head++] = undefined
      if (head * 2 > items.length && head > 64) {
        items = items.slice(head)
        head = 0
      }
      return item
    },
    first: () => items[head],
    all: () => items.slice(head) as T[],
  }
}
