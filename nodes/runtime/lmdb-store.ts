/**
 * A store on LMDB: one file, one tree, the table's name before each key. (Tables as databases of their own cost a root page
 * each: a batch over five tables took a fifth to a third longer, measured.)
 *
 * Traps of lmdb 3.5, measured, that shape this file: a put outside a transaction is not seen by a get until it is committed;
 * a throw inside an asynchronous transaction leaves the partial write committed, and with `separateFlushed` such a transaction
 * may never resolve at all. Hence `batch`, whose body only puts and can not throw: everything is checked before it begins.
 */
import { Buffer } from 'node:buffer'
import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { open } from 'lmdb'
import { cut } from './slab.ts'
import { checkMutations, MAX_KEY_BYTES, type Store } from './store.ts'

/** The file is damaged or not one of LMDB. */
export class LedgerDamaged extends Error {
  constructor(path: string, cause: unknown) {
    super(`${path} can not be opened as a ledger: restore it from a copy`, { cause })
    this.name = 'LedgerDamaged'
  }
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
  let lastFlush: Promise<unknown> = Promise.resolve()

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
      const committed = env.batch(() => {
        for (const { table, key, value } of mutations) {
          // The key is copied before the call returns; the value is read later, where it stands.
          if (value === undefined) void env.remove(writeKey(table, key))
          else void env.put(writeKey(table, key), value as Buffer)
        }
      }) as Promise<boolean> & { readonly flushed: Promise<unknown> }
      const { flushed } = committed
      await committed
      lastFlush = flushed
    },
    flushed: async () => {
      await lastFlush
    },
    // Compacted: no page of what was deleted goes along.
    copyTo: (to) => env.backup(to, true),
    close: async () => {
      await lastFlush
      await env.close()
    },
  }
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

/** First page of an LMDB file: the magic number 0xBEEFC0DE in the machine's order after a 24-byte page header. */
const MAGIC = Buffer.from('dec0efbe', 'hex')
const MAGIC_AT = 24
const PAGE_SIZE_AT = 48
const MAX_PAGE_BYTES = 65_536

/** The library ends the process on a file that is not its own, so that is found out before. @throws LedgerDamaged */
const checkFile = (path: string): void => {
  if (!existsSync(path)) return
  const file = openSync(path, 'r')
  try {
    const head = Buffer.alloc(2 * MAX_PAGE_BYTES)
    const length = readSync(file, head, 0, head.length, 0)
    const isMeta = (page: number): boolean =>
      head
        .subarray(page + MAGIC_AT)
        .subarray(0, MAGIC.length)
        .equals(MAGIC)
    const pageBytes = head.readUInt32LE(PAGE_SIZE_AT)
    if (isMeta(0) && pageBytes >= 512 && pageBytes <= MAX_PAGE_BYTES && length >= 2 * pageBytes && isMeta(pageBytes))
      return
    throw new LedgerDamaged(path, new Error('no LMDB meta pages'))
  } finally {
    closeSync(file)
  }
}

const openFile = (path: string) => {
  checkFile(path)
  try {
    return open<Buffer, Buffer>({
      path,
      noSubdir: true,
      encoding: 'binary',
      keyEncoding: 'binary',
      separateFlushed: true,
      cache: false,
      maxReaders: 16,
    })
  } catch (cause) {
    throw new LedgerDamaged(path, cause)
  }
}

/** The same bytes from `from` on, as a plain byte string. */
const plainView = (bytes: Uint8Array, from: number): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset + from, bytes.byteLength - from)
