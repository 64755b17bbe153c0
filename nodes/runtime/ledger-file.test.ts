import { Buffer } from 'node:buffer'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { utf8 } from '../../protocol/bytes.ts'
import { problemOfLedgerFile } from './ledger-file.ts'
import { LedgerDamaged, lmdbStore } from './lmdb-store.ts'
import type { Mutation, Store } from './store.ts'

const PAGE = 4_096
let home: string
let path: string
/** The bytes of a ledger that has lived: many commits, long values, rows gone, so that pages are free. */
let whole: Buffer
let rows: ReadonlyMap<string, string>
let pageNumbers: readonly number[]

const fill = (n: number, bytes: number): Uint8Array => new Uint8Array(bytes).fill(1 + (n % 255))
const row = (n: number, bytes: number): Mutation => ({ table: `t${n % 5}`, key: utf8(`k${n}`), value: fill(n, bytes) })
const TABLES = [0, 1, 2, 3, 4].map((n) => `t${n}`)
const read = (store: Store): ReadonlyMap<string, string> =>
  new Map(
    TABLES.flatMap((table) =>
      [...store.range(table)].map(
        ([key, value]) => [`${table}/${Buffer.from(key).toString()}`, Buffer.from(value).toString('hex')] as const,
      ),
    ),
  )
const live = async (store: Store, from: number): Promise<void> => {
  for (let n = from; n < from + 40; n++) {
    const long = n % 7 === 0 ? 9_000 : 300
    const batch = Array.from({ length: 20 }, (_, i) => row(n * 20 + i, long + i))
    const gone = Array.from({ length: 10 }, (_, i): Mutation => ({ ...row((n - 5) * 20 + i, 0), value: undefined }))
    await store.commit([...batch, ...gone])
    if (n % 4 === 0) await store.flushed()
  }
  await store.flushed()
}

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'semops-ledger-'))
  path = join(home, 'ledger.mdb')
  let store = lmdbStore(path)
  await live(store, 0)
  await store.close()
  store = lmdbStore(path)
  await live(store, 30)
  rows = read(store)
  await store.close()
  whole = readFileSync(path)
  pageNumbers = Array.from({ length: whole.length / PAGE }, (_, number) => number)
})
afterAll(() => rmSync(home, { recursive: true }))

const put = (bytes: Uint8Array): void => {
  rmSync(`${path}-lock`, { force: true })
  writeFileSync(path, bytes)
}
const problemOf = (bytes: Uint8Array): string | undefined => {
  put(bytes)
  return problemOfLedgerFile(path)
}
const changed = (change: (bytes: Buffer) => void): Buffer => {
  const bytes = Buffer.from(whole)
  change(bytes)
  return bytes
}

describe('a ledger file', () => {
  it('is whole after a life, and while it is written', async () => {
    expect(problemOf(whole)).toBeUndefined()
    const store = lmdbStore(path)
    for (const n of [100, 101, 102, 103]) {
      await live(store, n * 10)
      expect(problemOfLedgerFile(path)).toBeUndefined()
    }
    await store.close()
  })

  it('may not be there yet', () => {
    expect(problemOfLedgerFile(join(home, 'none.mdb'))).toBeUndefined()
  })

  it('may not be gone', () => {
    const gone = join(home, 'gone.mdb')
    writeFileSync(`${gone}-lock`, '')
    expect(problemOfLedgerFile(gone)).toMatch(/gone/)
  })

  it.each<[string, () => Uint8Array, RegExp]>([
    ['empty', () => Buffer.alloc(0), /empty/],
    ['something else', () => Buffer.alloc(16_384, 0x5a), /no meta page/],
    ['all zeros', () => Buffer.alloc(whole.length), /no meta page/],
    ['cut within the first page', () => whole.subarray(0, 100), /cut short/],
    ['cut after the first page', () => whole.subarray(0, PAGE), /cut short/],
    ['cut in the middle', () => whole.subarray(0, Math.floor(whole.length / 2)), /cut short/],
    ['without its first meta page', () => changed((bytes) => bytes.fill(0, 0, PAGE)), /no meta page/],
    ['without its second meta page', () => changed((bytes) => bytes.fill(0, PAGE, 2 * PAGE)), /meta page 1/],
    [
      'with its meta pages changed over',
      () => changed((b) => b.set([...whole.subarray(PAGE, 2 * PAGE)], 0)),
      /meta page 0/,
    ],
    [
      'with a bit of the magic number flipped',
      () => changed((bytes) => (bytes[24] = bytes.readUInt8(24) ^ 1)),
      /meta page 0/,
    ],
    ['with a transaction of the far future', () => changed((bytes) => (bytes[24 + 130] = 1)), /do not follow/],
  ])('%s is damaged, and stays as it is', (_name, damaged, problem) => {
    const bytes = damaged()
    put(bytes)
    expect(() => lmdbStore(path)).toThrow(LedgerDamaged)
    expect(() => lmdbStore(path)).toThrow(problem)
    expect(readFileSync(path).equals(bytes)).toBe(true)
  })

  it('is damaged by any page that it needs and that is zeroed; what passes is read to its end', async () => {
    const zero = (bytes: Buffer, number: number): Buffer => bytes.fill(0, number * PAGE, (number + 1) * PAGE)
    const unneeded = pageNumbers.filter(
      (number) => number > 1 && problemOf(changed((bytes) => zero(bytes, number))) === undefined,
    )
    expect(unneeded.length).toBeLessThan(pageNumbers.length * 0.6)
    put(changed((bytes) => unneeded.forEach((number) => zero(bytes, number))))
    const store = lmdbStore(path)
    const left = read(store)
    await store.close()
    expect([...left.keys()]).toEqual([...rows.keys()])
    // Only the inner pages of long values bear nothing that says what they are.
    for (const [key, value] of left) if (value.length < 2 * PAGE) expect(value).toBe(rows.get(key))
  })

  it('is damaged when cut anywhere before the last page that it needs', async () => {
    const passing = pageNumbers.filter((pages) => problemOf(whole.subarray(0, pages * PAGE + 50)) === undefined)
    for (const pages of passing) {
      put(whole.subarray(0, pages * PAGE + 50))
      const store = lmdbStore(path)
      expect(read(store)).toEqual(rows)
      await store.close()
    }
    expect(passing.length).toBeLessThan(20)
  })

  it('is refused, or read to its end with at most one row changed, whichever bit flips', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: whole.length * 8 - 1 }), async (bit) => {
        put(changed((bytes) => (bytes[bit >> 3] = bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)))))
        let store: Store
        try {
          store = lmdbStore(path)
        } catch (error) {
          expect(error).toBeInstanceOf(LedgerDamaged)
          return
        }
        const left = read(store)
        await store.close()
        expect(left.size).toBe(rows.size)
        expect([...left].filter(([key, value]) => rows.get(key) !== value).length).toBeLessThanOrEqual(1)
      }),
      { numRuns: 150 },
    )
  })
})
