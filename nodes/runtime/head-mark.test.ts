import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createDriver } from './drive.ts'
import { openMark, readMark } from './head-mark.ts'
import { readHeard } from './heard.ts'
import { appendEntry, NO_HASH } from './journal.ts'
import { headWrite, openHead } from './ledger-state.ts'
import { memoryStore } from './memory-store.ts'
import { put } from './node.ts'
import { journalTable } from './runtime-tables.ts'
import { createStaged } from './staged.ts'
import { keyOf } from './table.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'semops-mark-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
  vi.useRealTimers()
})

describe('a mark', () => {
  const chain = (seq: number, fill: number) => ({ seq, hash: new Uint8Array(32).fill(fill) })

  it('is the last that was written, a lower one too', () => {
    const path = join(folder, 'marks', 'hu-otp.mark')
    const mark = openMark(path)
    expect(readMark(path)).toBeUndefined()
    for (const [seq, fill] of [
      [9, 1],
      [1_000_000, 2],
      [12, 3],
    ] as const) {
      mark.write(chain(seq, fill))
      expect(readMark(path)).toEqual(chain(seq, fill))
    }
    mark.close()
  })

  it('stays as it was found until there is something to say', () => {
    const path = join(folder, 'hu-otp.mark')
    const first = openMark(path)
    first.write(chain(7, 7))
    first.close()
    openMark(path).close()
    expect(readMark(path)).toEqual(chain(7, 7))
  })

  it.each(['', 'torn', `${'0'.repeat(16)} ${'0'.repeat(63)}\n`])('that is torn proves nothing: %j', (text) => {
    const path = join(folder, 'torn.mark')
    writeFileSync(path, text)
    expect(readMark(path)).toBeUndefined()
    expect(readFileSync(path, 'latin1')).toBe(text)
  })
})

it.each(['', '{}', '[{"by":1}]', '[{"by":"hu-kh","frame":"xyz"}]'])(
  'what others hold, in no such file, is nothing: %j',
  (text) => {
    const path = join(folder, 'x.heard')
    writeFileSync(path, text)
    expect(readHeard(path)).toEqual([])
    expect(readHeard(join(folder, 'none'))).toEqual([])
  },
)

it('the journal’s times go on from its last entry, also where the clock that wrote it was not believed', async () => {
  const store = memoryStore()
  const staged = createStaged(store)
  const entry = { atMs: 5_000, trigger: 'control', name: 'x', ids: [], sends: [], postings: [] }
  const { row, chain } = appendEntry({ seq: 0, hash: NO_HASH }, entry)
  const networkId = new Uint8Array(16)
  staged.write(put(journalTable, keyOf(row.seq), row))
  staged.write(headWrite('hu-otp', networkId, chain, 1_000))
  await store.commit(staged.take().mutations)
  expect(openHead(createStaged(store), 'hu-otp', networkId).highestNowMs).toBe(5_000)
})

describe('a host that is held', () => {
  const drive = () => {
    vi.useFakeTimers()
    const driver = createDriver()
    let steps = 0
    driver.run({ step: () => (steps += 1) < 0, nextDueAtMs: () => 0, nowMs: () => 0 })
    return { driver, steps: () => steps, pass: (ms: number) => vi.advanceTimersByTimeAsync(ms) }
  }

  it('takes no step, whatever comes, until it is released', async () => {
    const { driver, steps, pass } = drive()
    await pass(50)
    expect(steps()).toBeGreaterThan(0)
    driver.hold(1_000)
    const before = steps()
    driver.wake()
    await pass(900)
    expect(steps()).toBe(before)
    expect(driver.release()).toBe(true)
    await pass(50)
    expect(steps()).toBeGreaterThan(before)
  })

  it('goes on by itself when its time is over, and says so', async () => {
    const { driver, steps, pass } = drive()
    driver.hold(1_000)
    const before = steps()
    await pass(1_100)
    expect(steps()).toBeGreaterThan(before)
    expect(driver.release()).toBe(false)
  })
})
