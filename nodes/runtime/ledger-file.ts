/**
 * Looks through a ledger's file before the library opens it. The library maps the file and believes what stands there: a file
 * that was cut short ends the process with SIGBUS at some later read, a zeroed page is an empty one, and a page that is in use
 * and also listed as free is written over. So every page that the ledger's tree needs is looked at, in the order of its keys,
 * once, at each start.
 *
 * Invariant: a file that passes has each page of its trees where the tree says, of the kind and with the rows that it says, keys
 * in order, and no page that the next commit would overwrite. What it does not judge is what a row says: bytes that changed
 * within a value, without a trace in the structure, are the journal's to prove (`journal-audit.ts`).
 *
 * The layout is that of LMDB's data version 2 as lmdb-js writes it (lmdb 3.5.6, dependencies/lmdb/libraries/liblmdb/mdb.c: MDB_page_header,
 * MDB_meta, MDB_db, MDB_node), on a machine of little-endian order. All offsets and sizes in bytes.
 */
import { Buffer } from 'node:buffer'
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs'

const PAGE_HEADER = 24
const FLAGS_AT = 18
const LOWER_AT = 20
const UPPER_AT = 22
const BRANCH = 0x01
const LEAF = 0x02
const OVERFLOW = 0x04
const META = 0x08

const NODE_HEADER = 8
const BIG_DATA = 0x01
/** Page, transaction and count of pages of a value that has pages of its own. */
const BIG_DATA_BYTES = 24

const MAGIC = 0xbeefc0de
const DATA_VERSION = 2
const META_BYTES = 144
const FREE_TREE_AT = 24
const MAIN_TREE_AT = 72
const LAST_PAGE_AT = 120
const TRANSACTION_AT = 128
const BOOT_AT = 136
/** In the flags of the free tree: this meta page was written before its pages were flushed. */
const UNFLUSHED = 0x1000
const NO_PAGE = 0xffff_ffff_ffff_ffffn
const MIN_PAGE_BYTES = 512
const MAX_PAGE_BYTES = 65_536
/** A tree of 4-kilobyte pages and this depth holds more than any disk. */
const MAX_DEPTH = 32

type Tree = {
  readonly depth: number
  readonly branches: bigint
  readonly leaves: bigint
  readonly overflows: bigint
  readonly entries: bigint
  readonly root: bigint
}
type Meta = {
  readonly pageBytes: number
  readonly flushed: boolean
  readonly free: Tree
  readonly main: Tree
  readonly lastPage: number
  readonly transaction: bigint
  readonly boot: bigint
}

/** What is wrong, for a person who has to restore the file; undefined when it is whole, or when there is none yet. */
export const problemOfLedgerFile = (path: string): string | undefined => {
  // A ledger that is opened for the first time has neither; one that was, and is gone, may not begin anew.
  if (!existsSync(path))
    return existsSync(`${path}-lock`) ? 'the file is gone, and its lock file says that it was there' : undefined
  const file = openSync(path, 'r')
  try {
    const bytes = fstatSync(file).size
    if (bytes === 0) return 'the file is empty'
    const read: Read = (offset, into) => readSync(file, into, 0, into.length, offset) === into.length
    const metas = readMetas(read)
    if (typeof metas === 'string') return metas
    const problems = inForce(metas, bootId()).map((meta) => problemOfTrees(read, meta))
    return problems.includes(undefined) ? undefined : problems[0]
  } finally {
    closeSync(file)
  }
}

/** Fills `into` from there; false when the file is not that long. */
type Read = (offset: number, into: Buffer) => boolean
type Metas = readonly [first: Meta, second: Meta, flushed: Meta]

const readMetas = (read: Read): Metas | string => {
  const size = Buffer.alloc(4)
  if (!read(PAGE_HEADER + FREE_TREE_AT, size)) return 'the file is cut short within its first page'
  const pageBytes = size.readUInt32LE()
  if (pageBytes < MIN_PAGE_BYTES || pageBytes > MAX_PAGE_BYTES || (pageBytes & (pageBytes - 1)) !== 0)
    return 'its first page is no meta page of LMDB'
  const pages = Buffer.alloc(2 * pageBytes)
  if (!read(0, pages)) return 'the file is cut short within its meta pages'
  const metas: Meta[] = []
  for (const number of [0, 1]) {
    const page = pages.subarray(number * pageBytes)
    const meta = metaAt(page)
    if (
      page.readBigUInt64LE(0) !== BigInt(number) ||
      page.readUInt16LE(FLAGS_AT) !== META ||
      page.readUInt32LE(PAGE_HEADER) !== MAGIC ||
      (page.readUInt32LE(PAGE_HEADER + 4) & 0xffff) !== DATA_VERSION ||
      meta.pageBytes !== pageBytes ||
      // Transaction N is written to meta page N modulo 2.
      (meta.transaction !== 0n && meta.transaction % 2n !== BigInt(number))
    )
      return `its meta page ${number} is not one of LMDB's`
    metas.push(meta)
  }
  const [first, second] = metas as [Meta, Meta]
  const apart = first.transaction - second.transaction
  // Between two boots one of the two writes may have been lost; within one they follow each other.
  const sameBoot = first.boot === second.boot && first.boot === bootId()
  if (sameBoot && (apart > 1n || apart < -1n)) return 'its two meta pages do not follow each other'
  const flushed = metaAt(pages.subarray(pageBytes / 2))
  if (flushed.transaction > first.transaction && flushed.transaction > second.transaction)
    return 'it is said to be flushed further than it was written'
  return [first, second, flushed]
}

/** @param page from its header on */
const metaAt = (page: Buffer): Meta => {
  const meta = page.subarray(PAGE_HEADER, PAGE_HEADER + META_BYTES)
  return {
    pageBytes: meta.readUInt32LE(FREE_TREE_AT),
    flushed: (meta.readUInt16LE(FREE_TREE_AT + 4) & UNFLUSHED) === 0,
    free: treeAt(meta, FREE_TREE_AT),
    main: treeAt(meta, MAIN_TREE_AT),
    lastPage: Number(meta.readBigUInt64LE(LAST_PAGE_AT)),
    transaction: meta.readBigUInt64LE(TRANSACTION_AT),
    boot: meta.readBigUInt64LE(BOOT_AT),
  }
}

const treeAt = (meta: Buffer, at: number): Tree => ({
  depth: meta.readUInt16LE(at + 6),
  branches: meta.readBigUInt64LE(at + 8),
  leaves: meta.readBigUInt64LE(at + 16),
  overflows: meta.readBigUInt64LE(at + 24),
  entries: meta.readBigUInt64LE(at + 32),
  root: meta.readBigUInt64LE(at + 40),
})

/** The first group of digits of what Linux calls this boot; undefined where there is none to be read. */
const bootId = (): bigint | undefined => {
  try {
    return BigInt(`0x${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').split('-')[0]}`)
  } catch {
    return undefined
  }
}

/**
 * The meta that the library will go by: the newest, unless the machine was started anew since and it may not have been flushed
 * (mdb_pick_meta). Where the boot is not known, both answers.
 */
const inForce = ([first, second, flushed]: Metas, boot: bigint | undefined): readonly Meta[] => {
  const pick = (a: Meta, b: Meta, current: bigint | undefined): Meta => {
    const latest = a.transaction >= b.transaction ? a : b
    if (b.transaction === 0n) return a
    if ((latest.boot !== 0n && latest.boot === current) || latest.flushed) return latest
    return a.transaction > b.transaction ? b : a
  }
  const picked = (current: bigint | undefined): Meta => pick(pick(first, second, current), flushed, current)
  if (boot !== undefined) return [picked(boot)]
  const newest = first.transaction >= second.transaction ? first : second
  return [picked(newest.boot), picked(undefined)]
}

class Damage extends Error {}

const problemOfTrees = (read: Read, meta: Meta): string | undefined => {
  const used = new Uint8Array(Math.ceil((meta.lastPage + 1) / 8))
  try {
    walkTree(read, meta, meta.main, used, BY_BYTES, nothing)
    const free: Buffer[] = []
    walkTree(read, meta, meta.free, used, BY_NUMBER, (value) => void free.push(Buffer.from(value)))
    for (const list of free) checkFree(list, meta, used)
    return undefined
  } catch (error) {
    if (error instanceof Damage) return error.message
    throw error
  }
}

const nothing = (): void => undefined

/** Negative when a key stands before another. */
type Order = (a: Buffer, b: Buffer) => number
const BY_BYTES: Order = (a, b) => a.compare(b)
/** The free tree is keyed by transaction, in the machine's order. */
const BY_NUMBER: Order = (a, b) => Number(a.readBigInt64LE() - b.readBigInt64LE())

/** @throws Damage */
const walkTree = (
  read: Read,
  meta: Meta,
  tree: Tree,
  used: Uint8Array,
  order: Order,
  visit: (value: Buffer) => void,
): void => {
  const { pageBytes, lastPage } = meta
  const room = pageBytes - PAGE_HEADER
  const counted = { branches: 0n, leaves: 0n, overflows: 0n, entries: 0n }
  if (tree.root === NO_PAGE) {
    if (tree.entries !== 0n) throw new Damage('it counts rows and has no first page')
    return
  }
  if (tree.depth > MAX_DEPTH) throw new Damage(`its tree is said to be ${tree.depth} pages deep`)
  const places = Array.from({ length: tree.depth }, () => Buffer.alloc(pageBytes))
  const before = { key: Buffer.alloc(room), length: -1 }

  const take = (page: number): void => {
    if (page < 2 || page > lastPage) throw new Damage(`it refers to page ${page} of ${lastPage + 1}`)
    const bit = 1 << (page & 7)
    if (((used[page >> 3] as number) & bit) !== 0) throw new Damage(`page ${page} is in use twice`)
    used[page >> 3] = (used[page >> 3] as number) | bit
  }
  /** The header of a page that is where it belongs, or the whole page. */
  const load = (page: number, into: Buffer): number => {
    take(page)
    if (!read(page * pageBytes, into)) throw new Damage(`the file is cut short: page ${page} is not in it`)
    if (numberAt(into, 0) !== page) throw new Damage(`page ${page} is not what was written there`)
    if (into.readBigUInt64LE(8) > meta.transaction) throw new Damage(`page ${page} is newer than its ledger`)
    return into.readUInt16LE(FLAGS_AT)
  }
  const header = Buffer.alloc(PAGE_HEADER)
  const bigData = (page: number, pages: number, length: number): Buffer => {
    const flags = load(page, header)
    if (
      flags !== OVERFLOW ||
      header.readUInt32LE(LOWER_AT) !== pages ||
      pages * pageBytes < PAGE_HEADER + length ||
      pages > lastPage
    )
      throw new Damage(`page ${page} does not hold the long value that it should`)
    for (let next = page + 1; next < page + pages; next++) take(next)
    counted.overflows += BigInt(pages)
    // Its last byte stands for all of them: a file is cut short at its end.
    const value = Buffer.alloc(visit === nothing ? 1 : length)
    if (!read(page * pageBytes + PAGE_HEADER + length - value.length, value))
      throw new Damage(`the file is cut short: the value at page ${page} does not end in it`)
    return value
  }

  const walk = (number: number, level: number, low: Buffer | undefined): void => {
    const page = places[level]
    if (page === undefined) throw new Damage('its tree is deeper than it says')
    const flags = load(number, page)
    const leaf = level === tree.depth - 1
    if (flags !== (leaf ? LEAF : BRANCH)) throw new Damage(`page ${number} is of another kind than it should be`)
    const lower = page.readUInt16LE(LOWER_AT)
    const upper = page.readUInt16LE(UPPER_AT)
    const wrong = (): Damage => new Damage(`the rows of page ${number} do not fit it`)
    if (lower % 2 !== 0 || lower === 0 || lower > upper || upper > room) throw wrong()
    if (leaf) counted.leaves += 1n
    else counted.branches += 1n
    for (let i = 0; i < lower; i += 2) {
      const at = page.readUInt16LE(PAGE_HEADER + i)
      if (at < upper || at + NODE_HEADER > room) throw wrong()
      const node = PAGE_HEADER + at
      const low16 = page.readUInt16LE(node)
      const high16 = page.readUInt16LE(node + 2)
      const nodeFlags = page.readUInt16LE(node + 4)
      const keyFrom = node + NODE_HEADER
      const keyTo = keyFrom + page.readUInt16LE(node + 6)
      if (keyTo > pageBytes) throw wrong()
      const key = page.subarray(keyFrom, keyTo)
      // The first key of a branch page is not used.
      if (leaf || i > 0) {
        const last = before.length < 0 ? undefined : before.key.subarray(0, before.length)
        if (key.length === 0 || (order === BY_NUMBER && key.length !== 8)) throw wrong()
        if (last !== undefined && order(last, key) >= 0) throw new Damage(`the keys of page ${number} are out of order`)
        if (i === 0 && low !== undefined && order(low, key) > 0)
          throw new Damage(`the keys of page ${number} are not those that lead to it`)
      }
      if (!leaf) {
        const child = low16 + high16 * 0x1_0000 + nodeFlags * 0x1_0000_0000
        walk(child, level + 1, i === 0 ? low : key)
        continue
      }
      key.copy(before.key)
      before.length = key.length
      counted.entries += 1n
      const length = low16 + high16 * 0x1_0000
      if (nodeFlags === BIG_DATA) {
        if (keyTo + BIG_DATA_BYTES > pageBytes) throw wrong()
        visit(bigData(numberAt(page, keyTo), numberAt(page, keyTo + 16), length))
      } else if (nodeFlags !== 0 || keyTo + length > pageBytes) throw wrong()
      else visit(page.subarray(keyTo, keyTo + length))
    }
  }
  if (tree.root > BigInt(lastPage)) throw new Damage(`it begins at page ${tree.root} of ${lastPage + 1}`)
  walk(Number(tree.root), 0, undefined)
  for (const what of ['branches', 'leaves', 'overflows', 'entries'] as const)
    if (counted[what] !== tree[what]) throw new Damage(`it counts ${tree[what]} ${what} and has ${counted[what]}`)
}

/** A page number, or a count of pages: up to 2^53. */
const numberAt = (bytes: Buffer, at: number): number =>
  bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x1_0000_0000

/**
 * Pages that the next commits will write over: none of them is in use. A list is its length, then page numbers; a number below zero
 * says of how many pages the block is that the next one begins; zero is no page.
 * @throws Damage
 */
const checkFree = (list: Buffer, { lastPage }: Meta, used: Uint8Array): void => {
  if (list.length < 8 || list.length % 8 !== 0) throw new Damage('a list of its free pages is no list')
  const count = list.readBigInt64LE(0)
  if (count < 0n || (count + 1n) * 8n > BigInt(list.length)) throw new Damage('a list of its free pages is cut short')
  let block = 1
  for (let at = 8; at <= Number(count) * 8; at += 8) {
    const entry = Number(list.readBigInt64LE(at))
    if (entry < 0) {
      block = -entry
      continue
    }
    for (let page = entry; entry !== 0 && page < entry + block; page++)
      if (page < 2 || page > lastPage || ((used[page >> 3] as number) & (1 << (page & 7))) !== 0)
        throw new Damage(`page ${page} is in use and listed as free`)
    block = 1
  }
}
