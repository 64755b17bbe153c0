/**
 * A store on LMDB: one file, one tree, the table's name before each key. (Tables as databases of their own cost a root page
 * each: a batch over five tables took a fifth to a third longer, measured.)
 *
 * Traps of lmdb 3.5, measured, that shape this file: a put outside a transaction is not seen by a get until it is committed;
 * a throw inside an asynchronous transaction leaves the partial write committed, and with `separateFlushed` such a transaction
 * may never resolve at all. Hence `batch`, whose body only puts and can not throw: everything is checked before it begins. After a
 * commit that failed, for want of room, the library goes on with the next, which would stand on what is not there: so one is asked
 * for when the one before it has succeeded, and none after one that failed.
 */
import { Buffer } from 'node:buffer'
import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { open } from 'lmdb'
import { LIMITS } from '../../protocol/limits.ts'
import { createFlushWatch } from './flush-watch.ts'
import { LedgerError } from './ledger-error.ts'
import { problemOfLedgerFile } from './ledger-file.ts'
import { cut } from './slab.ts'
import { checkMutations, MAX_KEY_BYTES, type Mutation, type Store } from './store.ts'

/** The file is damaged or not one of LMDB. Nothing in it was changed. */
export class LedgerDamaged extends LedgerError {
  /** @param what is wrong with it */
  constructor(path: string, what: string, cause?: unknown) {
    const help = 'Nothing was started and nothing changed: put a whole copy of it in its place'
    super('LEDGER_DAMAGED', `the ledger ${path} is damaged: ${what}. ${help}`, cause)
    this.name = 'LedgerDamaged'
  }
}

/** A commit did not reach the file: the disk is full, or does not work. Everything before it stands. */
export class LedgerNotWritten extends LedgerError {
  constructor(path: string, cause: unknown) {
    const why = `${(cause as Error).message}, with ${freeMegabytes(path)} MB free on its disk`
    const help =
      'What was being decided is not kept, what was said before stands: make room, then start this host again'
    super('LEDGER_NOT_WRITTEN', `the ledger ${path} could not be written (${why}). ${help}`, cause)
    this.name = 'LedgerNotWritten'
  }
}

const freeMegabytes = (path: string): number => {
  const { bavail, bsize } = statfsSync(dirname(path))
  return Math.floor((bavail * bsize) / 1_048_576)
}

/** A table's name and a zero byte stand before its keys. */
const MAX_PREFIX_BYTES = 64

/** A store whose file can be copied while it is used: what is committed when the copy begins, and nothing later. */
export type LmdbStore = Store & {
  /** @param to of the new file, where none may be. @throws Error when it can not be written */
  readonly copyTo: (to: string) => Promise<void>
}

/** @throws LedgerDamaged */
export const lmdbStore = (path: string): LmdbStore => {
  const env = openFile(path)
  const prefixes = new Map<string, Buffer>()
  const prefixOf = (table: string): Buffer => {
    let prefix = prefixes.get(table)
    if (prefix === undefined) prefixes.set(table, (prefix = Buffer.from(`${table}\0`)))
    return prefix
  }
  /** The first key of no row of the table: its prefix ends in 0x01 instead of 0x00. */
  const endOf = (table: string): Buffer => Buffer.from(`${table}\u0001`)
  const keyOf = (table: string, key: Uint8Array): Buffer => Buffer.concat([prefixOf(table), key])
  const writeKey = keyWriter(prefixOf)
  let lastCommit: Promise<void> = Promise.resolve()
  let lastFlush: Promise<unknown> = Promise.resolve()
  let failure: LedgerNotWritten | undefined
  const watch = createFlushWatch(
    LIMITS.maxFlushSeconds,
    () => (failure ??= new LedgerNotWritten(path, new Error(`not on the disk within ${LIMITS.maxFlushSeconds} s`))),
  )
  const ticking = setInterval(watch.tick, 1_000).unref()

  const write = async (mutations: readonly Mutation[]): Promise<void> => {
    const committed = env.batch(() => {
      for (const { table, key, value } of mutations) {
        // The key is copied before the call returns; the value is read later, where it stands.
        if (value === undefined) void env.remove(writeKey(table, key))
        else void env.put(writeKey(table, key), value as Buffer)
      }
    }) as Promise<boolean> & { readonly flushed: Promise<unknown> }
    const { flushed } = committed
    // It never ends when the commit fails, or fails with it.
    flushed.catch(() => undefined)
    try {
      await committed
    } catch (error) {
      throw (failure = new LedgerNotWritten(path, await reasonOf(error)))
    }
    // With all before it: one that failed is not made good by one that succeeds.
    const earlier = lastFlush
    lastFlush = earlier.then(() => flushed)
    lastFlush.catch(() => undefined)
  }

  return {
    get: (table, key) => {
      // The library's own buffer, which its next read overwrites; its `length` is set to that of the value.
      const value = env.getBinaryFast(writeKey(table, key))
      if (value === undefined) return undefined
      const own = cut(value.length)
      own.set(Uint8Array.prototype.subarray.call(value, 0, value.length))
      return own
    },
    range: function* (table, { from, before, reverse = false } = {}) {
      const prefix = prefixOf(table)
      const low = from === undefined ? prefix : keyOf(table, from)
      const high = before === undefined ? endOf(table) : keyOf(table, before)
      const bounds = reverse
        ? { start: high, end: low, reverse: true, exclusiveStart: true, inclusiveEnd: true }
        : { start: low, end: high }
      // A snapshot of its own would be held by an iterator that is left early. Keys and values are copies already.
      for (const { key, value } of env.getRange({ ...bounds, snapshot: false }))
        yield [plainView(key, prefix.length), plainView(value, 0)]
    },
    commit: async (mutations) => {
      checkMutations(mutations)
      if (mutations.length === 0) return
      // After a flush that was given up, nothing says what the disk holds.
      if (failure !== undefined) throw failure
      lastCommit = lastCommit.then(() => write(mutations))
      await lastCommit
    },
    flushed: async () => {
      if (failure !== undefined) throw failure
      await watch.wait(lastFlush)
    },
    // Compacted: no page of what was deleted goes along.
    copyTo: (to) => env.backup(to, true),
    close: async () => {
      try {
        // The library waits for what it could not write, for ever.
        if (failure !== undefined) return
        await watch.wait(lastFlush)
      } finally {
        clearInterval(ticking)
      }
      await env.close()
    },
  }
}

/** The library rejects with a promise of the reason, which by then is rejected too. */
const reasonOf = async (failed: unknown): Promise<unknown> => {
  const { commitError: why } = failed as { readonly commitError?: Promise<unknown> }
  const [settled] = await Promise.race([Promise.allSettled([why]), turn([])])
  return settled?.status === 'rejected' ? settled.reason : failed
}

/** Puts whole keys together, each valid until the next. One place for all of them: none is made anew for each row. */
const keyWriter = (prefixOf: (table: string) => Buffer): ((table: string, key: Uint8Array) => Buffer) => {
  const place = Buffer.alloc(MAX_PREFIX_BYTES + MAX_KEY_BYTES)
  const views = Array.from({ length: place.length + 1 }, (_, length) => place.subarray(0, length))
  let written = ''
  let prefixBytes = 0
  return (table, key) => {
    if (table !== written) {
      const prefix = prefixOf(table)
      place.set(prefix)
      prefixBytes = prefix.length
      written = table
    }
    place.set(key, prefixBytes)
    return views[prefixBytes + key.length] as Buffer
  }
}

const openFile = (path: string) => {
  // The library itself ends the process on much of what may be wrong, so that is found out before.
  const problem = problemOfLedgerFile(path)
  if (problem !== undefined) throw new LedgerDamaged(path, problem)
  try {
    return open<Buffer, Buffer>({
      path,
      noSubdir: true,
      encoding: 'binary',
      keyEncoding: 'binary',
      separateFlushed: true,
      cache: false,
      // The library's batch of all that is asked for in one turn has a promise that nobody sees and that fails with it.
      eventTurnBatching: false,
      maxReaders: 16,
    })
  } catch (cause) {
    throw new LedgerDamaged(path, (cause as Error).message, cause)
  }
}

/** The same bytes from `from` on, as a plain byte string. */
const plainView = (bytes: Uint8Array, from: number): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset + from, bytes.byteLength - from)
