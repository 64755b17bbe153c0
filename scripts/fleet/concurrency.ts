/** Many things at once, but never more than a bound, and never for longer than a bound. */

/**
 * Calls `act` for every item, at most `limit` at a time, in order of the items.
 * @throws what the first failing call threw; calls under way are awaited, none is started after it
 */
export const eachBounded = async <T>(
  items: Iterable<T>,
  limit: number,
  act: (item: T, index: number) => Promise<void>,
): Promise<void> => {
  const rest = items[Symbol.iterator]()
  let index = 0
  let failed = false
  const work = async (): Promise<void> => {
    while (!failed) {
      const next = rest.next()
      if (next.done === true) return
      try {
        await act(next.value, index++)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const results = await Promise.allSettled(Array.from({ length: limit }, work))
  const first = results.find((result) => result.status === 'rejected')
  if (first !== undefined) throw first.reason
}

/** The same, with what each call returned, in the order of the items. */
export const mapBounded = async <T, R>(
  items: readonly T[],
  limit: number,
  act: (item: T, index: number) => Promise<R>,
): Promise<readonly R[]> => {
  const results: R[] = []
  await eachBounded(items, limit, async (item, index) => {
    results[index] = await act(item, index)
  })
  return results
}

export class TimeLimitError extends Error {
  override readonly name = 'TimeLimitError'
}

/** `promise`, or after `ms` a TimeLimitError that says `what`. Nothing is cancelled. */
export const within = async <T>(ms: number, what: string, promise: Promise<T>): Promise<T> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TimeLimitError(what)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Lets one action run at a time, in the order of the calls. */
export const serial = (): (<T>(act: () => Promise<T>) => Promise<T>) => {
  let last: Promise<unknown> = Promise.resolve()
  return (act) => {
    const next = last.then(act, act)
    last = next.catch(() => undefined)
    return next
  }
}

/** Lets one action at a time run for each key, in the order of the calls; those of different keys do not wait for each other. */
export const serialByKey = (): {
  readonly run: <T>(key: string, act: () => Promise<T>) => Promise<T>
  /** Resolves when all actions so far have ended. */
  readonly settled: () => Promise<void>
} => {
  const turns = new Map<string, ReturnType<typeof serial>>()
  const turnOf = (key: string): ReturnType<typeof serial> => {
    const turn = turns.get(key) ?? serial()
    turns.set(key, turn)
    return turn
  }
  return {
    run: (key, act) => turnOf(key)(act),
    settled: async () => void (await Promise.all([...turns.values()].map((turn) => turn(() => Promise.resolve())))),
  }
}
