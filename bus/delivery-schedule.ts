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
  const swap = (i: number, j: number): void => {
    const held = heap[i] as T
    heap[i] = heap[j] as T
    heap[j] = held
  }
  const sink = (): void => {
    for (let i = 0; ;) {
      const [left, right] = [2 * i + 1, 2 * i + 2]
      let first = i
      if (left < heap.length && isBefore(heap[left] as T, heap[first] as T)) first = left
      if (right < heap.length && isBefore(heap[right] as T, heap[first] as T)) first = right
      if (first === i) return
      swap(i, first)
      i = first
    }
  }
  const pop = (): void => {
    const last = heap.pop() as T
    if (heap.length === 0) return
    heap[0] = last
    sink()
  }
  return {
    push(item) {
      let i = heap.push(item) - 1
      while (i > 0) {
        const parent = (i - 1) >> 1
        if (!isBefore(heap[i] as T, heap[parent] as T)) return
        swap(i, parent)
        i = parent
      }
    },
    first() {
      while (heap[0]?.done === true) pop()
      return heap[0]
    },
  }
}
