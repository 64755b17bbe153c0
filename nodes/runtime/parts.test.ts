/** The runtime's smaller parts, each against a model or its stated bound. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, equalBytes, utf8 } from '../../protocol/bytes.ts'
import { Type } from '../../protocol/fields.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { isAdmission, isBarred } from './admission.ts'
import { ledgerClock } from './clock.ts'
import { appendEntry, checkChain, NO_HASH, traceJournal, type Chain } from './journal.ts'
import { fromJson, toJson } from './json.ts'
import { memoryStore } from './memory-store.ts'
import { createHistogram } from './metrics.ts'
import { put, remove } from './node.ts'
import { createParking } from './parking.ts'
import { createQueue } from './queue.ts'
import { journalTable } from './runtime-tables.ts'
import { cut } from './slab.ts'
import { keyBytes, keyText, sortedMap } from './sorted-map.ts'
import { createStaged } from './staged.ts'
import { defineTable, keyOf } from './table.ts'
import { testBytes, testId, testLedger } from './testing.ts'

describe('a sorted map', () => {
  it('is a plain map that knows its order', () => {
    const key = fc.string({ maxLength: 3 })
    fc.assert(
      fc.property(fc.array(fc.tuple(key, fc.option(fc.nat()))), key, key, (steps, from, before) => {
        const map = sortedMap<number>()
        const model = new Map<string, number>()
        for (const [name, value] of steps) {
          if (value === null) expect(map.delete(name)).toBe(model.delete(name))
          else {
            map.set(name, value)
            model.set(name, value)
          }
        }
        const within = [...model]
          .filter(([name]) => name >= from && name < before)
          .toSorted(([a], [b]) => (a < b ? -1 : 1))
        expect([...map.range({ from, before })]).toEqual(within)
        expect([...map.range({ from, before, reverse: true })]).toEqual(within.toReversed())
        expect(map.size).toBe(model.size)
      }),
    )
  })

  it('keeps its order over many chunks', () => {
    const map = sortedMap<number>()
    const names = Array.from({ length: 5_000 }, (_, n) => String((n * 7_919) % 5_000).padStart(5, '0'))
    for (const name of names) map.set(name, Number(name))
    for (const name of names.filter((_, n) => n % 3 === 0)) map.delete(name)
    const left = [...map.range()].map(([name]) => name)
    expect(left).toEqual(left.toSorted())
    expect(left).toHaveLength(map.size)
    expect([...map.range({ reverse: true })].map(([name]) => name)).toEqual(left.toReversed())
  })
})

describe('staged reads', () => {
  type Row = { readonly n: number }
  const rows = defineTable<Row>({ name: 'rows', version: 1, fields: ['n'] })
  it('are those of a ledger to which everything was applied at once', async () => {
    const write = fc.record({ key: fc.integer({ min: 0, max: 12 }), n: fc.option(fc.nat(1_000)) })
    const bound = fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(write, { maxLength: 8 }), { minLength: 1, maxLength: 4 }),
        fc.nat(4),
        fc.nat(4),
        bound,
        bound,
        fc.boolean(),
        fc.integer({ min: 0, max: 6 }),
        async (batches, committed, settled, from, before, reverse, limit) => {
          const store = memoryStore((_what, run) => run())
          const staged = createStaged(store)
          const ledger = testLedger()
          for (const [at, batch] of batches.entries()) {
            for (const { key, n } of batch) {
              const one = n === null ? remove(rows, keyOf('k', key)) : put(rows, keyOf('k', key), { n })
              staged.write(one)
              if (n === null) ledger.apply({ ...emptyDecision, writes: [one] })
              else ledger.put(rows, keyOf('k', key), { n })
              // What is written after a scan stands in its order too.
              if (key % 3 === 0) expect([...staged.scan(rows, [])]).toEqual([...ledger.scan(rows, [])])
            }
            if (at >= committed) continue
            const { mutations, settle } = staged.take()
            await store.commit(mutations)
            // Commits resolve in order; whether a batch is seen through the store or as staged is no difference.
            if (at < settled) settle()
          }
          const options = {
            reverse,
            limit,
            ...(from === undefined ? {} : { from: [from] }),
            ...(before === undefined ? {} : { before: [before] }),
          }
          expect([...staged.scan(rows, ['k'], options)]).toEqual([...ledger.scan(rows, ['k'], options)])
          for (let key = 0; key <= 12; key++) expect(staged.get(rows, 'k', key)).toEqual(ledger.get(rows, 'k', key))
        },
      ),
    )
  })
})
const emptyDecision = {
  writes: [],
  sends: [],
  forget: [],
  set: [],
  clear: [],
  postings: [],
  jobs: [],
  announce: [],
  refuse: undefined,
  record: undefined,
  reply: undefined,
  replyOn: undefined,
}

describe('the journal', () => {
  const journal = (times: readonly number[]) => {
    const ledger = testLedger()
    let chain: Chain = { seq: 0, hash: NO_HASH }
    for (const [n, atMs] of times.entries()) {
      const next = appendEntry(chain, {
        atMs,
        trigger: 'message',
        name: 'receipt',
        ids: [testId(`${n % 3}`)],
        sends: [],
        postings: [],
      })
      ledger.put(journalTable, keyOf(next.row.seq), next.row)
      chain = next.chain
    }
    return { ledger, chain }
  }
  it('tells a changed, a missing and a foreign entry', () => {
    const { ledger, chain } = journal([1, 2, 3, 4])
    expect(checkChain(ledger, chain)).toEqual({ entries: 4, brokenAtSeq: undefined })
    expect(checkChain(testLedger(), { seq: 0, hash: NO_HASH })).toEqual({ entries: 0, brokenAtSeq: undefined })
    const third = ledger.get(journalTable, 3)
    if (third === undefined) throw new Error('no third entry')
    ledger.put(journalTable, keyOf(3), { ...third, name: 'refusal' })
    expect(checkChain(ledger, chain).brokenAtSeq).toBe(4)
    ledger.put(journalTable, keyOf(3), third)
    ledger.apply({ ...emptyDecision, writes: [remove(journalTable, keyOf(2))] })
    expect(checkChain(ledger, chain).brokenAtSeq).toBe(2)
    const short = journal([1, 2, 3, 4])
    short.ledger.apply({ ...emptyDecision, writes: [remove(journalTable, keyOf(4))] })
    expect(checkChain(short.ledger, short.chain).brokenAtSeq).toBe(4)
  })
  it('finds the entries of an id within a time', () => {
    const { ledger, chain } = journal([10, 10, 20, 30, 30, 40, 50])
    const id = Buffer.from(testId('0')).toString('hex')
    const seqs = (fromMs: number, toMs: number) =>
      traceJournal(ledger, chain.seq, { ids: [id], fromMs, toMs }).map(({ seq }) => seq)
    expect(seqs(0, 100)).toEqual([1, 4, 7])
    expect(seqs(11, 49)).toEqual([4])
    expect(seqs(51, 100)).toEqual([])
  })
})

describe('the clock', () => {
  const clock = (highestPersistedMs = 0) => {
    let wall = 1_000_000
    let monotonic = 0
    return {
      ledger: ledgerClock({ wallMs: () => wall, monotonicMs: () => monotonic }, highestPersistedMs),
      pass: (ms: number, wallMs = ms) => {
        monotonic += ms
        wall += wallMs
      },
    }
  }
  it('never goes back, and goes on from the highest that was persisted', () => {
    const { ledger, pass } = clock(1_005_000)
    expect(ledger.now()).toBe(1_005_000)
    pass(1_000)
    expect(ledger.now()).toBe(1_005_000)
    pass(10_000)
    expect(ledger.now()).toBe(1_011_000)
    pass(100, -3_000)
    expect(ledger.now()).toBe(1_011_000)
    expect(ledger.jumped()).toBe(false)
  })
  it('follows no jump, forward or back, until it is accepted', () => {
    for (const jump of [LIMITS.maxClockJumpMs + 2_000, -LIMITS.maxClockJumpMs - 2_000]) {
      const { ledger, pass } = clock()
      ledger.now()
      pass(1_000, 1_000 + jump)
      expect(ledger.now()).toBe(1_001_000)
      expect(ledger.jumped()).toBe(true)
      pass(500.5)
      pass(500.5)
      expect(ledger.now()).toBe(1_002_001)
      ledger.accept()
      expect(ledger.jumped()).toBe(false)
      expect(ledger.now()).toBe(Math.max(1_002_001, 1_002_001 + jump))
    }
  })
  it('does not believe a wall clock far before the ledger’s', () => {
    expect(clock(1_000_000 + LIMITS.maxClockJumpMs + 1).ledger.jumped()).toBe(true)
    expect(clock(1_000_000 + LIMITS.maxClockJumpMs).ledger.jumped()).toBe(false)
  })
})

describe('values as JSON', () => {
  const schema = Type.Object({
    sum: Type.BigInt(),
    key: Type.Uint8Array({ minByteLength: 2 }),
    list: Type.Array(Type.Object({ sum: Type.BigInt() })),
    perCurrency: Type.Record(Type.String({ pattern: '^[A-Z]{3}$' }), Type.BigInt(), { additionalProperties: false }),
    text: Type.String(),
    maybe: Type.Union([Type.Null(), Type.BigInt()]),
  })
  it('come back as they were', () => {
    const value = {
      sum: -12n,
      key: new Uint8Array([0, 255]),
      list: [{ sum: 1n << 60n }],
      perCurrency: { EUR: 5n },
      text: '12',
      maybe: 7n,
    }
    expect(toJson(value)).toContain('"key":"00ff"')
    expect(fromJson(schema, JSON.parse(toJson(value)))).toEqual({ ok: true, value })
    expect(fromJson(schema, JSON.parse(toJson({ ...value, maybe: null })))).toMatchObject({
      ok: true,
      value: { maybe: null },
    })
    expect(toJson({ key: Buffer.from([1, 2]), nothing: undefined })).toBe('{"key":"0102"}')
  })
  it('are refused by the name of the field', () => {
    expect(fromJson(schema, { sum: '1.5' })).toMatchObject({
      ok: false,
      problem: expect.stringContaining('/') as string,
    })
    expect(fromJson(Type.BigInt(), 1.5)).toMatchObject({ ok: false })
    expect(fromJson(Type.BigInt(), '0x10')).toMatchObject({ ok: false })
    expect(fromJson(Type.BigInt(), 10)).toEqual({ ok: true, value: 10n })
  })
})

describe('bounds', () => {
  it('of a queue refuse what is too much, and keep the order', () => {
    const queue = createQueue<number>(101)
    let taken = 0
    for (let n = 0; n < 1_000; n++) {
      expect(queue.push(n)).toBe(true)
      if (n % 10 !== 0) expect(queue.shift()).toBe(taken++)
    }
    expect(queue.size).toBe(100)
    expect([queue.push(0), queue.push(0)]).toEqual([true, false])
  })
  it('of parking let go of the oldest', () => {
    const parking = createParking<number>(2)
    expect([parking.park('a', 1, 's'), parking.park('b', 2, 's'), parking.park('b', 3, 's')]).toEqual([
      true,
      true,
      false,
    ])
    expect([parking.take('a'), parking.take('b'), parking.size]).toEqual([[], [2, 3], 0])
  })
  it('of admission: a start is barred while draining, a step of it only while paused, an answer never', () => {
    expect(isBarred('draining', 'payment-request', 'cpp')).toBe(true)
    expect(isBarred('draining', 'hold-order', 'bank')).toBe(false)
    expect(isBarred('paused', 'hold-order', 'bank')).toBe(true)
    expect(isBarred('paused', 'post-order', 'bank')).toBe(false)
    expect(isBarred('paused', 'payment-query', 'cpp')).toBe(false)
    expect([
      isAdmission('payment-notice', 'mpp'),
      isAdmission('payment-notice', 'dc'),
      isAdmission('post-order', 'bank'),
    ]).toEqual([true, false, false])
  })
  it('of a histogram: a quantile is at most a fifth too high', () => {
    const histogram = createHistogram()
    for (let n = 1; n <= 1_000; n++) histogram.record(n)
    for (const q of [0.5, 0.9, 0.99]) {
      expect(histogram.quantile(q)).toBeGreaterThanOrEqual(q * 1_000)
      expect(histogram.quantile(q)).toBeLessThanOrEqual(q * 1_200)
    }
    expect(histogram.max()).toBe(1_000)
  })
})

describe('a table', () => {
  it('migrates older rows and refuses newer ones', () => {
    const first = defineTable<{ readonly a: number }>({ name: 't', version: 1, fields: ['a'] })
    const second = defineTable<{ readonly a: number; readonly b: string }>({
      name: 't',
      version: 2,
      fields: ['a', 'b'],
      migrations: { 1: ([a]) => [a, 'new'] },
    })
    expect(second.decode(first.encode({ a: 5 }))).toEqual({ a: 5, b: 'new' })
    expect(() => first.decode(second.encode({ a: 1, b: 'x' }))).toThrow('run the newer build')
    expect(equalBytes(keyOf('ab'), keyOf('a', 'b'))).toBe(false)
    expect(keyOf('x')).toEqual(utf8('x\0'))
  })
})

describe('a key', () => {
  /** Each part on its own, as the layout says it: text and a zero byte, numbers as eight bytes. */
  const reference = (parts: readonly (string | number | bigint | Uint8Array)[]): Uint8Array =>
    concat(
      ...parts.map((part) => {
        if (typeof part === 'string') return utf8(`${part}\0`)
        if (part instanceof Uint8Array) return part
        const bytes = new Uint8Array(8)
        new DataView(bytes.buffer).setBigUint64(0, BigInt(part))
        return bytes
      }),
    )
  it('is its parts one behind the other, whatever they are', () => {
    const part = fc.oneof(
      fc.string({ maxLength: 12 }),
      fc.string({ unit: 'grapheme', maxLength: 4 }),
      fc.nat(Number.MAX_SAFE_INTEGER),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.uint8Array({ maxLength: 70 }),
    )
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
        expect(keyOf(...parts)).toEqual(reference(parts))
        expect(keyBytes(keyText(keyOf(...parts)))).toEqual(reference(parts))
      }),
    )
  })
})

describe('rows as bytes', () => {
  const table = defineTable<{ readonly text: string; readonly bytes: Uint8Array }>({
    name: 'kept',
    version: 1,
    fields: ['text', 'bytes'],
  })
  it('stay as they were, however many are encoded after them', () => {
    const rows = Array.from({ length: 2_000 }, (_, n) => ({ text: `row ${n}`, bytes: testBytes(`${n}`, 1 + (n % 90)) }))
    const encoded = rows.map(table.encode)
    expect(encoded.map(table.decode)).toEqual(rows)
    expect(encoded.every((bytes) => bytes.constructor === Uint8Array)).toBe(true)
  })
  it('may be of any size', () => {
    for (const length of [0, 2_047, 8_192, 65_535, 200_000]) {
      const row = { text: 'large', bytes: new Uint8Array(length).fill(7) }
      const before = table.encode({ text: 'before', bytes: new Uint8Array(3) })
      expect(table.decode(table.encode(row))).toEqual(row)
      expect(table.decode(before).text).toBe('before')
    }
  })
})

describe('cuts of a slab', () => {
  it('share no byte', () => {
    const cuts = Array.from({ length: 500 }, (_, n) => cut((n * 37) % 3_000).fill(n % 251))
    for (const [n, bytes] of cuts.entries()) expect(bytes.every((byte) => byte === n % 251)).toBe(true)
  })
})
