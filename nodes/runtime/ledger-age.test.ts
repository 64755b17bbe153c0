import { beforeAll, describe, expect, it } from 'vitest'
import { KIND_NAMES } from '../../protocol/kinds.ts'
import { createTrust, type Trust } from '../../protocol/credentials.ts'
import { parseFrame } from '../../protocol/seals.ts'
import { fromHex } from '../../protocol/bytes.ts'
import type { Heard } from './heard.ts'
import { checkChain } from './journal.ts'
import {
  acceptance,
  forgottenOf,
  heardIn,
  isListed,
  isStatement,
  judgeAge,
  type Forgotten,
  type OwnKeyOf,
} from './ledger-age.ts'
import { headOf, ownKeyFinder } from './ledger-desk.ts'
import { memoryStore, type MemoryStore } from './memory-store.ts'
import type { Reader } from './node.ts'
import { build, paid, refund } from './refund-network.ts'
import { frameTable, headTable } from './runtime-tables.ts'
import { createStaged } from './staged.ts'
import { keyBytes } from './sorted-map.ts'
import type { WholeNetwork } from './whole-network.ts'

/** A ledger as it is now, to be looked at later: what a copy of its file is. */
const copyOf = async (store: MemoryStore): Promise<Reader> => {
  const copy = memoryStore()
  const mutations = [...store.rows()].map(({ table, key, value }) => ({
    table,
    key: keyBytes(key),
    value: value.slice(),
  }))
  await copy.commit(mutations)
  return createStaged(copy)
}

const CPP = 'hu-cpp'
let network: WholeNetwork
let trust: Trust
/** Of the CPP, from before the last payments. */
let old: Reader
let heard: readonly Heard[]

const heardOf = (of: string): readonly Heard[] =>
  network.sim.hosts().flatMap(({ id, host }) => heardIn(host().read, id, of))
const forgottenIn = (read: Reader, frames: readonly Pick<Heard, 'by' | 'frame'>[]): readonly Forgotten[] => {
  const { identity } = network.sim.host(CPP)
  const ownKeyOf: OwnKeyOf = ownKeyFinder({ id: CPP }, trust, read, identity, {})
  return forgottenOf({ read, trust, lastSeq: headOf(read).seq, ownKeyOf }, frames)
}

beforeAll(async () => {
  network = await build('age')
  trust = createTrust(network.sim.engine, network.sim.root.publicKey)
  const first = await paid(network, 'ro-bakery', '300')
  await paid(network, 'hu-bakery', '5000')
  await network.sim.advance(20_000)
  old = await copyOf(network.sim.host(CPP).store())
  await refund(network, 'ro-bakery', first.txId, '100')
  for (const payee of ['hu-bakery', 'ro-bakery']) await paid(network, payee, '4500')
  await network.sim.advance(20_000)
  heard = heardOf(CPP)
}, 60_000)

describe('statements', () => {
  it('are what a host binds itself by, and no answers to questions', () => {
    expect(KIND_NAMES.filter(isStatement)).toEqual(
      expect.arrayContaining(['payment-notice', 'hold-order', 'account-notice']),
    )
    for (const kind of [
      'transfer-answer',
      'receipt',
      'refusal',
      'notice-record',
      'pin-change',
      'offer-request',
    ] as const)
      expect(isStatement(kind)).toBe(false)
  })

  it('are all listed by the journal of the host that made them', () => {
    const counted = new Map<string, number>()
    for (const { host } of network.sim.hosts())
      for (const [, { frame }] of host().read.scan(frameTable, [])) {
        const parsed = parseFrame(frame)
        if (!parsed.ok) throw new Error(parsed.failure.code)
        const { kind, from } = parsed.value.header
        if (kind === undefined || typeof from !== 'string' || !isStatement(kind)) continue
        const maker = network.sim.host(from.endsWith('alice') ? `${from.slice(0, 2)}-wallet-1` : from).host()
        if (!isListed(maker.read, maker.lastSeq(), parsed.value)) throw new Error(`${kind} of ${from}`)
        counted.set(kind, (counted.get(kind) ?? 0) + 1)
      }
    expect([...counted.keys()].length).toBeGreaterThan(15)
  })
})

describe('an old ledger', () => {
  it('is told by what every peer holds of its host', () => {
    expect(heard.map(({ by }) => by)).toEqual(expect.arrayContaining(['hu-bank', 'hu-mpp', 'ro-mpp', 'hu-wallet-1']))
    const now = network.sim.host(CPP).host().read
    expect(forgottenIn(now, heard)).toEqual([])
    expect(judgeAge(now, headOf(now), headOf(now), [])).toBeUndefined()

    const forgotten = forgottenIn(old, heard)
    expect(forgotten.map(({ by }) => by)).toEqual(expect.arrayContaining(['hu-bank', 'hu-mpp', 'ro-mpp']))
    const behind = judgeAge(old, headOf(old), undefined, forgotten)
    expect(behind).toMatchObject({ seq: headOf(old).seq, markedSeq: undefined, forgotten })
    expect(behind?.text).toMatch(
      /^the ledger is older than what this host has said: it ends at entry \d+ of .*hu-bank holds/,
    )
  })

  it('that is whole by its mark says that somebody else may hold its key', () => {
    const behind = judgeAge(old, headOf(old), headOf(old), forgottenIn(old, heard))
    expect(behind?.markedSeq).toBeUndefined()
    expect(behind?.text).toMatch(
      /^somebody else speaks under this host's key, or the ledger is older than .*hu-bank holds/,
    )
  })

  it('agrees with itself, and is told by the mark', () => {
    const now = headOf(network.sim.host(CPP).host().read)
    const head = old.get(headTable, 'head')
    expect(head === undefined ? 'none' : checkChain(old, head).brokenAtSeq).toBeUndefined()
    expect(judgeAge(old, headOf(old), headOf(old), [])).toBeUndefined()
    expect(judgeAge(old, headOf(old), now, [])).toMatchObject({
      markedSeq: now.seq,
      text: expect.stringContaining('up to entry') as string,
    })
  })

  it('is told where it has another entry than the mark', () => {
    const { seq } = headOf(old)
    const another = { seq, hash: new Uint8Array(32).fill(7) }
    expect(judgeAge(old, headOf(old), another, [])).toMatchObject({
      markedSeq: seq,
      text: expect.stringContaining('another') as string,
    })
  })

  it('is told where it is empty', async () => {
    const empty = await copyOf(memoryStore())
    expect(judgeAge(empty, headOf(empty), headOf(old), [])?.text).toContain('it is empty')
    expect(judgeAge(empty, headOf(empty), { seq: 0, hash: new Uint8Array(32) }, [])).toBeUndefined()
  })

  it('is not told by what its host has not sealed', () => {
    const [some] = heard as readonly [Heard]
    const altered = some.frame.slice()
    const last = altered.length - 1
    altered[last] = (altered[last] ?? 0) ^ 1
    const others = heardOf('hu-mpp')
    expect(others.length).toBeGreaterThan(0)
    expect(forgottenIn(old, [{ by: 'x', frame: altered }])).toEqual([])
    expect(forgottenIn(old, [{ by: 'x', frame: fromHex('c0') }])).toEqual([])
    expect(forgottenIn(old, others)).toEqual([])
  })

  it('is not held against its host any more once an operator has accepted it', () => {
    const forgotten = forgottenIn(old, heard)
    const behind = judgeAge(old, headOf(old), undefined, forgotten)
    if (behind === undefined) throw new Error('it is old')
    const said = (nowMs: number): Reader => {
      const [write] = acceptance(behind, nowMs).writes
      return {
        ...old,
        get: ((table, ...key) =>
          table.name === write?.table.name ? write.row : old.get(table, ...key)) as Reader['get'],
      }
    }
    // Its own clock may be behind what it has said.
    expect(forgottenIn(said(0), heard)).toEqual([])
    const last = Math.max(...heard.map(({ sentAtMs }) => sentAtMs))
    expect(forgottenIn(said(last + 1), heard)).toEqual([])
    const between = Math.min(...forgotten.map(({ sentAtMs }) => sentAtMs))
    const sooner = { ...behind, forgotten: [] }
    const [write] = acceptance(sooner, between).writes
    expect(write?.row).toEqual({ seq: behind.seq, untilMs: between })
  })
})
