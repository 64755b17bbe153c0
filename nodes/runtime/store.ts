/**
 * Where a ledger's bytes live. One atomic batch at a time; readers see what is committed. `commit` resolves when a batch is
 * committed, `flushed` when everything committed so far is on disk: only then may anything be said that depends on it.
 */
export type Mutation = {
  readonly table: string
  readonly key: Uint8Array
  /** undefined deletes. Not changed by the caller afterwards. */
  readonly value: Uint8Array | undefined
}

export type RangeOptions = {
  /** First key, inclusive. */
  readonly from?: Uint8Array | undefined
  /** First key not to visit. */
  readonly before?: Uint8Array | undefined
  readonly reverse?: boolean | undefined
}

export type Store = {
  /** Own bytes of the caller: they stay as they are. */
  readonly get: (table: string, key: Uint8Array) => Uint8Array | undefined
  /** [key, value] in key order, or against it. Own bytes of the caller. Consumed before the next commit. */
  readonly range: (table: string, options?: RangeOptions) => Iterable<readonly [Uint8Array, Uint8Array]>
  /**
   * All or nothing, in the order of calls. Rejects when the batch was not committed: the state is as before, and the node stops.
   * @throws TypeError before anything is written, for a key that is empty or over {@link MAX_KEY_BYTES}.
   */
  readonly commit: (mutations: readonly Mutation[]) => Promise<void>
  /** Resolves when every commit that has resolved so far survives a crash of the machine. */
  readonly flushed: () => Promise<void>
  /** After the last flush. Nothing may be called afterwards. */
  readonly close: () => Promise<void>
}

export const MAX_KEY_BYTES = 1_024

/** @throws TypeError */
export const checkMutations = (mutations: readonly Mutation[]): void => {
  for (const { table, key } of mutations)
    if (key.length === 0 || key.length > MAX_KEY_BYTES)
      throw new TypeError(`table ${table}: a key of ${key.length} bytes`)
}
