import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { fromUtf8, utf8 } from '../../protocol/bytes.ts'
import { LedgerLocked, lockLedger } from './ledger-lock.ts'
import { LedgerDamaged, LedgerNotWritten, lmdbStore } from './lmdb-store.ts'
import { memoryStore, type MemoryStore, type StoreChange } from './memory-store.ts'
import { storeCompliance } from './store-compliance.ts'

let directory: string
const fresh = (): string => mkdtempSync(join(tmpdir(), 'semops-store-'))

storeCompliance('the LMDB store', async () => {
  const home = fresh()
  let store = lmdbStore(join(home, 'ledger.mdb'))
  return {
    store,
    reopen: async () => {
      await store.close()
      store = lmdbStore(join(home, 'ledger.mdb'))
      return store
    },
    end: async () => {
      await store.close()
      rmSync(home, { recursive: true })
    },
  }
})

storeCompliance('the memory store', async () => {
  const store = memoryStore()
  return { store, reopen: async () => store.crash(), end: async () => {} }
})

describe('a crash of the memory store', () => {
  const row = (name: string) => ({ table: 't', key: utf8(name), value: utf8(name) })
  it('loses exactly the unflushed suffix', async () => {
    const store = memoryStore()
    await store.commit([row('a')])
    await store.flushed()
    await store.commit([row('b'), { table: 't', key: utf8('a'), value: undefined }])
    await store.commit([row('c')])
    expect([...store.crash().range('t')].map(([, v]) => v)).toEqual([utf8('a')])
  })
  it('keeps what a flush covered, and no commit that came after it was asked for', async () => {
    const runs: (() => void)[] = []
    const store = memoryStore((_what, run) => void runs.push(run))
    const turn = async (): Promise<void> => {
      runs.shift()?.()
      await Promise.resolve()
    }
    void store.commit([row('a')])
    await turn()
    void store.flushed()
    void store.commit([row('b')])
    await turn()
    await turn()
    expect([...store.crash().range('t')]).toHaveLength(1)
  })
  it('keeps as many of the oldest unflushed batches as are asked for', async () => {
    for (const [kept, left] of [
      [0, ['a']],
      [1, ['a', 'b']],
      [2, ['a', 'b', 'c']],
    ] as const) {
      const store = memoryStore()
      await store.commit([row('a')])
      await store.flushed()
      for (const name of ['b', 'c']) await store.commit([row(name)])
      expect(store.unflushed()).toBe(2)
      expect(Array.from(store.crash(kept).range('t'), ([key]) => key)).toEqual(left.map(utf8))
    }
  })
  it('tells its watcher every change, what is on disk and what is taken back, under batches that never come again', async () => {
    const seen: unknown[] = []
    const names = (changes: readonly StoreChange[]) =>
      changes.map(({ key, before, after }) => [fromUtf8(key), before && fromUtf8(before), after && fromUtf8(after)])
    const store = memoryStore((_what, run) => run(), {
      committed: (batch, changes) => seen.push([batch, names(changes)]),
      flushed: (batch) => seen.push(['flushed', batch]),
      lost: (changes) => seen.push(['lost', names(changes)]),
    })
    await store.commit([row('a')])
    await store.flushed()
    await store.commit([row('b'), { ...row('a'), value: utf8('A') }])
    await store.commit([{ ...row('b'), value: undefined }])
    const after = store.crash(1)
    await after.commit([row('c')])
    expect(seen).toEqual([
      [1, [['a', undefined, 'a']]],
      ['flushed', 1],
      [
        2,
        [
          ['b', undefined, 'b'],
          ['a', 'a', 'A'],
        ],
      ],
      [3, [['b', 'b', undefined]]],
      ['flushed', 2],
      ['lost', [['b', 'b', undefined]]],
      [4, [['c', undefined, 'c']]],
    ])
  })
  it('copies itself: neither sees what the other commits', async () => {
    const store = memoryStore((_what, run) => run())
    await store.commit(Array.from({ length: 600 }, (_, at) => row(`k${String(at).padStart(3, '0')}`)))
    const copy = store.copy((_what, run) => run())
    await copy.commit([{ ...row('k000'), value: undefined }, row('new')])
    await store.commit([row('old')])
    const keys = (one: MemoryStore) => Array.from(one.rows(), ({ key }) => key)
    expect([keys(store).length, keys(copy).length]).toEqual([601, 600])
    expect([keys(store).includes('new'), keys(copy).includes('old'), keys(copy)[0]]).toEqual([false, false, 'k001'])
    // What was copied is on disk.
    expect(copy.crash().get('t', utf8('k001'))).toEqual(utf8('k001'))
  })
})

describe('a ledger on disk', () => {
  beforeEach(() => {
    directory = fresh()
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it('is refused when damaged', () => {
    mkdirSync(join(directory, 'x'))
    const path = join(directory, 'x', 'ledger.mdb')
    writeFileSync(path, Buffer.alloc(16_384, 0x5a))
    expect(() => lmdbStore(path)).toThrow(LedgerDamaged)
  })

  // A bound on the size of files is what a full disk is to the library: its write is cut short.
  const bound = (bytes: string): boolean =>
    spawnSync('prlimit', ['--pid', `${process.pid}`, `--fsize=${bytes}:`]).status === 0
  it.runIf(bound('unlimited'))(
    'that is full keeps every commit before the one that failed, and none after it',
    async () => {
      const path = join(directory, 'ledger.mdb')
      const row = (name: string, bytes: number) => ({ table: 't', key: utf8(name), value: new Uint8Array(bytes) })
      const store = lmdbStore(path)
      await store.commit([row('a', 400), row('b', 400)])
      await store.commit([{ ...row('b', 0), value: undefined }])
      await store.flushed()
      const errors = vi.spyOn(console, 'error').mockReturnValue(undefined)
      bound('100000000')
      try {
        let ended = false
        const large = store.commit([row('large', 120_000_000)])
        large.catch(() => (ended = true))
        // Asked for while the large one is being written: there is room for each of them.
        const later: Promise<void>[] = []
        for (;;) {
          await new Promise((resolve) => void setTimeout(resolve, 2))
          if (ended) break
          later.push(store.commit([row(`later${later.length}`, 10)]))
          later.at(-1)?.catch(() => undefined)
        }
        expect(later.length).toBeGreaterThan(0)
        const full = { code: 'LEDGER_NOT_WRITTEN', message: expect.stringMatching('make room') as unknown }
        await expect(large).rejects.toMatchObject(full)
        for (const { status } of await Promise.allSettled(later)) expect(status).toBe('rejected')
        await expect(store.flushed()).rejects.toThrow(LedgerNotWritten)
        await store.close()
      } finally {
        bound('unlimited')
        errors.mockRestore()
      }
      const again = lmdbStore(path)
      expect([...again.range('t')].map(([key]) => String.fromCodePoint(...key))).toEqual(['a'])
      await again.commit([row('c', 10)])
      await again.close()
    },
  )

  it('has one owner, also within one process', () => {
    const lock = lockLedger(directory)
    expect(() => lockLedger(directory)).toThrow(LedgerLocked)
    lock.release()
    lockLedger(directory).release()
    expect(readdirSync(directory)).toEqual([])
  })

  it('is taken over from a process that is no more, and from another of the same pid', () => {
    const { pid } = spawnSync(process.execPath, ['-e', ''])
    for (const stale of [`${pid} 123`, `${process.pid} 1`, '']) {
      writeFileSync(join(directory, 'lock'), stale)
      lockLedger(directory).release()
      expect(readdirSync(directory)).toEqual([])
    }
  })
})
