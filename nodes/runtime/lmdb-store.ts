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
import { checkMutations, type Store } from './store.ts'

/** The file is damaged or not one of LMDB. */
export class LedgerDamaged extends Error {
  constructor(path: string, cause: unknown) {
    super(`${path} can not be opened as a ledger: restore it from a copy`, { cause })
    this.name = 'LedgerDamaged'
  }
}

const EMPTY = Buffer.alloc(0)

/** @throws LedgerDamaged */
export const lmdbStore = (path: string): Store => {
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
  let lastFlush: Promise<unknown> = Promise.resolve()

  return {
    get: (table, key) => {
      const value = env.getBinary(keyOf(table, key))
      return value === undefined ? undefined : plain(value)
    },
    range: function* (table, { from, before, reverse = false } = {}) {
      const prefix = prefixOf(table)
      const low = from === undefined ? prefix : keyOf(table, from)
      const high = before === undefined ? endOf(table) : keyOf(table, before)
      const bounds = reverse
        ? { start: high, end: low, reverse: true, exclusiveStart: true, inclusiveEnd: true }
        : { start: low, end: high }
      // A snapshot of its own would be held by an iterator that is left early.
      for (const { key, value } of env.getRange({ ...bounds, snapshot: false }))
        yield [plain(key.subarray(prefix.length)), plain(value)]
    },
    commit: async (mutations) => {
      checkMutations(mutations)
      const puts = mutations.map(({ table, key, value }) => ({
        key: keyOf(table, key),
        value: value === undefined ? undefined : asBuffer(value),
      }))
      if (puts.length === 0) return
      const committed = env.batch(() => {
        for (const { key, value } of puts) {
          if (value === undefined) void env.remove(key)
          else void env.put(key, value)
        }
      }) as Promise<boolean> & { readonly flushed: Promise<unknown> }
      const { flushed } = committed
      await committed
      lastFlush = flushed
    },
    flushed: async () => {
      await lastFlush
    },
    close: async () => {
      await lastFlush
      await env.close()
    },
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

/** A copy that is no Buffer and that no later read changes. */
const plain = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes)
const asBuffer = (bytes: Uint8Array): Buffer =>
  bytes.length === 0 ? EMPTY : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
