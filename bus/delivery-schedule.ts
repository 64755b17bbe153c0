/** What the simulated bus delivers next: a binary heap, so that a long simulation with much in flight stays quick. */

/** Something due at a time; `done` once it was taken out of its turn. */
export type Scheduled = { readonly id: number; readonly dueAtMs: number; done: boolean }

/** By due time, then in the order in which ids were given. */
export const isBefore = (a: Scheduled, b: Scheduled): boolean =>
  a.dueAtMs < b.dueAtMs || (a.dueAtMs === b.dueAtMs && a.id < b.id)

export type Schedule<T extends Scheduled> = {
  push(item: T): void
  /** The first that is not done; it stays until it is. */
  first(): T | undefined
}

export const createSchedule = <T extends Scheduled>(): Schedule<T> => {
  const heap: T[] = []
  /** From the top down, those that come before it move up. */
  const sink = (item: T): void => {
    const { length } = heap
    let place = 0
    for (let child = 1; child < length; child = 2 * place + 1) {
      const right = child + 1
      if (right < length && isBefore(heap[right] as T, heap[child] as T)) child = right
      const first = heap[child] as T
      if (!isBefore(first, item)) break
      heap[place] = first
      place = child
    }
    heap[place] = item
  }
  const pop = (): void => {
    const last = heap.pop() as T
    if (heap.length > 0) sink(last)
  }
  return {
    push(item) {
      let place = heap.push(item) - 1
      while (place > 0) {
        const above = (place - 1) >> 1
        const parent = heap[above] as T
        if (!isBefore(item, parent)) break
        heap[place] = parent
        place = above
      }
      heap[place] = item
    },
    first() {
      while (heap[0]?.done === true) pop()
      return heap[0]
    },
  }
}
