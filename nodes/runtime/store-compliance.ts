/** What every store must do: one suite, run against LMDB and against its memory twin. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { utf8 } from '../../protocol/bytes.ts'
import type { Mutation, Store } from './store.ts'

const key = (text: string): Uint8Array => utf8(text)
const put = (table: string, name: string, value: string): Mutation => ({ table, key: key(name), value: utf8(value) })
const remove = (table: string, name: string): Mutation => ({ table, key: key(name), value: undefined })
const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : new TextDecoder().decode(bytes)

/** @param open a fresh store; `reopen` closes it in order and opens what it left behind */
export const storeCompliance = (
  name: string,
  open: () => Promise<{
    readonly store: Store
    readonly reopen: () => Promise<Store>
    readonly end: () => Promise<void>
  }>,
): void => {
  describe(name, () => {
    let opened: Awaited<ReturnType<typeof open>>
    let store: Store
    beforeEach(async () => {
      opened = await open()
      store = opened.store
    })
    afterEach(async () => await opened.end())
    const listed = (table: string, options: Parameters<Store['range']>[1] = {}): string[] =>
      [...store.range(table, options)].map(([k, v]) => `${text(k)}=${text(v)}`)

    it('keeps tables apart and rows in key order', async () => {
      await store.commit([put('a', 'b', '2'), put('a', 'a', '1'), put('ab', 'a', 'other'), put('a', 'c', '3')])
      expect(listed('a')).toEqual(['a=1', 'b=2', 'c=3'])
      expect(listed('ab')).toEqual(['a=other'])
      expect(text(store.get('a', key('b')))).toBe('2')
      expect(store.get('a', key('z'))).toBeUndefined()
      expect(store.get('none', key('a'))).toBeUndefined()
    })

    it('scans with bounds, forwards and backwards', async () => {
      await store.commit(['a', 'b', 'c', 'd'].map((k) => put('t', k, k)))
      await store.commit([put('s', 'z', 'z'), put('u', 'a', 'a')])
      expect(listed('t', { from: key('b'), before: key('d') })).toEqual(['b=b', 'c=c'])
      expect(listed('t', { from: key('b'), before: key('d'), reverse: true })).toEqual(['c=c', 'b=b'])
      expect(listed('t', { reverse: true })).toEqual(['d=d', 'c=c', 'b=b', 'a=a'])
      expect(listed('t', { from: key('bb'), before: key('cc'), reverse: true })).toEqual(['c=c'])
      expect(listed('t', { from: key('x') })).toEqual([])
    })

    it('orders keys by bytes, also past 0x7f', async () => {
      const keys = [[0x00], [0x00, 0x01], [0x7f], [0x80], [0xff], [0xff, 0xff]].map((k) => new Uint8Array(k))
      await store.commit(keys.toReversed().map((k) => ({ table: 't', key: k, value: k })))
      expect([...store.range('t')].map(([k]) => [...k])).toEqual(keys.map((k) => [...k]))
    })

    it('replaces, deletes, and applies the mutations of one batch in order', async () => {
      await store.commit([put('t', 'a', '1'), put('t', 'b', '1')])
      await store.commit([
        put('t', 'a', '2'),
        remove('t', 'b'),
        put('t', 'c', '1'),
        remove('t', 'c'),
        remove('t', 'none'),
        put('t', 'd', '1'),
        put('t', 'd', '2'),
      ])
      expect(listed('t')).toEqual(['a=2', 'd=2'])
    })

    it('commits in the order of calls, without waiting in between', async () => {
      await Promise.all([1, 2, 3].map((n) => store.commit([put('t', 'a', `${n}`), put('t', `k${n}`, `${n}`)])))
      expect(listed('t')).toEqual(['a=3', 'k1=1', 'k2=2', 'k3=3'])
    })

    it('gives bytes that are the caller’s own and plain', async () => {
      const value = utf8('kept')
      await store.commit([{ table: 't', key: key('a'), value }])
      const got = store.get('t', key('a')) as Uint8Array
      expect(got.constructor).toBe(Uint8Array)
      got.fill(0)
      expect(text(store.get('t', key('a')))).toBe('kept')
      const [first] = store.range('t')
      expect(first?.[0].constructor).toBe(Uint8Array)
      expect(first?.[1].constructor).toBe(Uint8Array)
    })

    it('refuses a bad key before anything is written', async () => {
      await expect(async () => await store.commit([put('t', 'a', '1'), put('t', '', '1')])).rejects.toThrow(TypeError)
      await store.commit([put('t', 'b', '1')])
      expect(listed('t')).toEqual(['b=1'])
    })

    it('takes an empty batch, empty values and large values', async () => {
      await store.commit([])
      const large = new Uint8Array(70_000).fill(7)
      await store.commit([
        { table: 't', key: key('e'), value: new Uint8Array(0) },
        { table: 't', key: key('l'), value: large },
      ])
      expect(store.get('t', key('e'))).toEqual(new Uint8Array(0))
      expect(store.get('t', key('l'))).toEqual(large)
    })

    it('keeps what was flushed over a restart', async () => {
      await store.commit(Array.from({ length: 500 }, (_, n) => put('t', `k${n}`, `${n}`)))
      await store.flushed()
      store = await opened.reopen()
      expect(listed('t')).toHaveLength(500)
      await store.commit([put('t', 'more', '1')])
      expect(text(store.get('t', key('more')))).toBe('1')
    })
  })
}
