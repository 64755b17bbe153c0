/**
 * What a process holds on to: its heap after a full collection, and what stands outside of it. Between collections a heap that nobody
 * fills grows for minutes without anything being kept, so its size alone tells no leak.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

export type MemoryUse = {
  readonly heldBytes: number
  readonly heapBytes: number
  readonly externalBytes: number
  readonly rssBytes: number
}

let collect: (() => void) | undefined

/** Stops the process for as long as the collection takes: tens of milliseconds for a heap of tens of megabytes. */
export const memoryInUse = (): MemoryUse => {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
  }
  collect()
  const { heapUsed, external, rss } = process.memoryUsage()
  return { heldBytes: heapUsed + external, heapBytes: heapUsed, externalBytes: external, rssBytes: rss }
}
