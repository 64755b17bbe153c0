/**
 * What LMDB itself does with the same rows: the mutations that the real path committed, put again in the same batches into a
 * store of their own, keys and values made beforehand. Durable as the real path is: each batch counts once it is flushed.
 */
import { Buffer } from 'node:buffer'
import { open } from 'lmdb'
import type { Mutation } from '../../nodes/runtime/store.ts'
import { LIMITS } from '../../protocol/limits.ts'

type RawPut = { readonly key: Buffer; readonly value: Buffer | undefined }

export type RawPuts = {
  /** Keys and values as LMDB takes them: not measured. */
  readonly prepare: (batches: readonly (readonly Mutation[])[]) => readonly (readonly RawPut[])[]
  /** Resolves when all batches are on disk; as many are on their way at a time as a host has. */
  readonly run: (batches: readonly (readonly RawPut[])[]) => Promise<void>
  readonly close: () => Promise<void>
}

export const openRawPuts = (path: string): RawPuts => {
  const env = open<Buffer, Buffer>({
    path,
    noSubdir: true,
    encoding: 'binary',
    keyEncoding: 'binary',
    separateFlushed: true,
    cache: false,
  })
  const putAll = async (puts: readonly RawPut[]): Promise<void> => {
    const committed = env.batch(() => {
      for (const { key, value } of puts) {
        if (value === undefined) void env.remove(key)
        else void env.put(key, value)
      }
    }) as Promise<boolean> & { readonly flushed: Promise<unknown> }
    const { flushed } = committed
    await committed
    await flushed
  }
  return {
    prepare: (batches) =>
      batches.map((mutations) =>
        mutations.map(({ table, key, value }) => ({
          key: Buffer.concat([Buffer.from(`${table}\0`), key]),
          value: value === undefined ? undefined : Buffer.from(value),
        })),
      ),
    run: async (batches) => {
      const running: Promise<void>[] = []
      for (const puts of batches) {
        running.push(putAll(puts))
        if (running.length >= LIMITS.maxCommitsInFlight) await running.shift()
      }
      await Promise.all(running)
    },
    close: async () => await env.close(),
  }
}
