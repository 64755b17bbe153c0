import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { bareDefinition } from './bare-definition.ts'
import { createCommits } from './commits.ts'
import { createFaults, DEATHS, readDeath, type Death, type DieAt } from './faults.ts'
import { memoryStore } from './memory-store.ts'
import { NO_HASH } from './journal.ts'
import { createMetrics } from './metrics.ts'
import { decision, put } from './node.ts'
import { createStaged } from './staged.ts'
import { stepName, stepsOf } from './steps.ts'
import { defineTable, keyOf } from './table.ts'

type NoteRow = { readonly text: string }
const notes = defineTable<NoteRow>({ name: 'notes', version: 1, fields: ['text'] })
const NEVER = new Promise<void>(() => {})

/** Commits one batch for each list of steps, until it dies: what was done by then, and where it died. */
const live = async (deaths: readonly DieAt[], batches: readonly (readonly string[])[]) => {
  const done: string[] = []
  const store = memoryStore()
  const staged = createStaged(store)
  let died: Death | undefined
  let dyingAt: readonly string[] = []
  const faults = createFaults((point, steps) => {
    died ??= point
    dyingAt = steps
    return NEVER
  }, stepName)
  const commits = createCommits({
    staged,
    store,
    durability: 'flushed',
    monotonicMs: () => 0,
    metrics: createMetrics(),
    faults,
    stageHead: () => ({ seq: 0, hash: NO_HASH }),
    onDurable: () => {},
    failed: () => died === 'before-commit',
    fail: (error) => {
      throw error
    },
    onWork: () => {},
  })
  for (const death of deaths) faults.dieAt(death)
  for (const [at, steps] of batches.entries()) {
    staged.write(put(notes, keyOf('last'), { text: String(at) }))
    for (const step of steps) faults.note(...(step.split(' ') as [string, string]))
    commits.submit(() => done.push(`published ${at}`))
    while (died === undefined && commits.inFlight() > 0) await turn()
    if (died !== undefined) break
  }
  await turn()
  return { died, dyingAt, done, kept: createStaged(store).get(notes, 'last')?.text }
}

const BATCHES = [['message hold-order'], ['control pay', 'deadline hold-expiry'], ['message hold-order']]
const at = (point: Death, step?: string, count = 1): DieAt => ({ point, count, step })

describe('from whom a host is cut off', () => {
  const faultsOf = () => createFaults(() => undefined, stepName)
  it('is nobody, unless it was told', () => {
    expect(faultsOf().isCut('hu-otp')).toBe(false)
  })
  it('is who is named, or everybody, until it is healed', () => {
    const faults = faultsOf()
    faults.cut(['hu-otp', 'ro-dc'])
    expect(['hu-otp', 'ro-dc', 'hu-kh'].map(faults.isCut)).toEqual([true, true, false])
    faults.cut('all')
    expect(['hu-otp', 'hu-kh'].map(faults.isCut)).toEqual([true, true])
    faults.cut([])
    expect(['hu-otp', 'hu-kh'].map(faults.isCut)).toEqual([false, false])
    faults.cut('all')
    faults.disarm()
    expect(faults.isCut('hu-otp')).toBe(false)
  })
})

describe('where a host dies', () => {
  it('is nowhere unless it was armed', async () => {
    const done = ['published 0', 'published 1', 'published 2']
    expect(await live([], BATCHES)).toMatchObject({ died: undefined, done, kept: '2' })
    expect(await live([at('after-flush', 'message post-order')], BATCHES)).toMatchObject({
      died: undefined,
      done,
      kept: '2',
    })
  })

  it.each([
    ['before-commit', { done: ['published 0'], kept: undefined }],
    ['after-commit', { done: ['published 0'], kept: '1' }],
    ['after-flush', { done: ['published 0'], kept: '1' }],
    ['after-publish', { done: ['published 0', 'published 1'], kept: '1' }],
  ] as const)('is %s of the batch that holds the step', async (point, { done, kept }) => {
    const lived = await live([at(point, 'deadline hold-expiry')], BATCHES)
    expect(lived).toMatchObject({ died: point, dyingAt: ['deadline hold-expiry'], done })
    if (kept !== undefined) expect(lived.kept).toBe(kept)
  })

  it('is the count-th commit that holds the step, or the count-th of any', async () => {
    expect(await live([at('after-flush', 'message hold-order', 2)], BATCHES)).toMatchObject({
      died: 'after-flush',
      done: ['published 0', 'published 1'],
    })
    expect(await live([at('after-publish', undefined, 2)], BATCHES)).toMatchObject({
      done: ['published 0', 'published 1'],
    })
  })

  it('is the first of several that it comes to', async () => {
    const deaths = [at('after-flush', 'control pay'), at('after-publish', 'message hold-order')]
    expect(await live(deaths, BATCHES)).toMatchObject({ died: 'after-publish', done: ['published 0'] })
  })

  it('is nowhere once it is disarmed, and no step noted before speaks of a later commit', () => {
    const faults = createFaults(() => NEVER, stepName)
    faults.dieAt(at('after-flush', 'control pay'))
    faults.note('control', 'pay')
    faults.disarm()
    expect(faults.pass('after-flush', faults.take())).toBeUndefined()
    faults.note('control', 'pay')
    faults.dieAt(at('after-flush', 'control pay'))
    expect([...faults.take()]).toEqual([])
    faults.note('control', 'pay')
    expect([...faults.take()]).toEqual(['control pay'])
    expect([...faults.take()]).toEqual([])
  })
})

describe('a death in JSON', () => {
  const steps = stepsOf(
    bareDefinition('bank', { messages: { 'hold-order': () => decision() }, deadlines: { late: () => decision() } }),
  )
  it.each([
    [{ point: 'after-flush' }, { point: 'after-flush', count: 1 }],
    [
      { point: 'before-commit', count: 3, step: 'message hold-order' },
      { point: 'before-commit', count: 3, step: 'message hold-order' },
    ],
    [
      { point: 'after-flush', step: 'started' },
      { point: 'after-flush', count: 1, step: 'started' },
    ],
    [{ point: 'later' }, `point: one of ${DEATHS.join(', ')}`],
    [undefined, `point: one of ${DEATHS.join(', ')}`],
    [{ point: 'after-flush', count: 0 }, 'count: how often, from 1'],
    [{ point: 'after-flush', count: 'one' }, 'count: how often, from 1'],
    [{ point: 'after-flush', step: 'message post-order' }, 'step: no message post-order at this host'],
    [{ point: 'after-flush', step: 7 }, 'step: its name'],
  ])('%j', (json, read) => {
    expect(readDeath(steps, json)).toEqual(read)
  })
})
