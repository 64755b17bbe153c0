import { describe, expect, test } from 'vitest'
import { eachBounded, mapBounded, serial, serialByKey, TimeLimitError, within } from './concurrency.ts'

/** A promise that a test settles by hand. */
const gate = () => {
  let settle: { resolve: () => void; reject: (error: Error) => void } | undefined
  const promise = new Promise<void>((resolve, reject) => (settle = { resolve, reject }))
  return { promise, resolve: () => settle?.resolve(), reject: (error: Error) => settle?.reject(error) }
}
const gates = (count: number) => Array.from({ length: count }, gate)
const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await Promise.resolve()
}

describe('bounded work', () => {
  test('has at most as many under way as allowed, and starts the next when one ends', async () => {
    const waiting = gates(4)
    const started: number[] = []
    const all = eachBounded(waiting, 2, (one, i) => {
      started.push(i)
      return one.promise
    })
    expect(started).toEqual([0, 1])
    waiting[1]?.resolve()
    await turns(5)
    expect(started).toEqual([0, 1, 2])
    for (const one of waiting) one.resolve()
    await all
    expect(started).toEqual([0, 1, 2, 3])
  })

  test('gives results in the order of the items', async () => {
    const waiting = gates(3)
    const all = mapBounded([0, 1, 2], 3, async (i) => {
      await waiting[i]?.promise
      return i * 10
    })
    for (const one of waiting.toReversed()) {
      one.resolve()
      await turns(5)
    }
    expect(await all).toEqual([0, 10, 20])
  })

  test('starts nothing after a failure, awaits what runs, and throws the first', async () => {
    const waiting = gates(2)
    const started: number[] = []
    const all = eachBounded([0, 1, 2, 3], 2, async (i) => {
      started.push(i)
      await waiting[i]?.promise
    })
    waiting[0]?.reject(new Error('first'))
    let ended = false
    void all.catch(() => (ended = true))
    await turns(10)
    expect(ended).toBe(false)
    waiting[1]?.resolve()
    await expect(all).rejects.toThrow('first')
    expect(started).toEqual([0, 1])
  })
})

describe('serial work', () => {
  test('runs one action at a time, also after one that failed', async () => {
    const run = serial()
    const order: string[] = []
    const [first, second] = [gate(), gate()]
    const one = run(async () => {
      order.push('one')
      await first.promise
      throw new Error('no')
    })
    const two = run(async () => {
      order.push('two')
      await second.promise
      return 2
    })
    await turns(5)
    expect(order).toEqual(['one'])
    first.resolve()
    await expect(one).rejects.toThrow('no')
    await turns(5)
    expect(order).toEqual(['one', 'two'])
    second.resolve()
    expect(await two).toBe(2)
  })
})

test('a time limit says what took too long', async () => {
  await expect(within(1, 'the end of the world', new Promise(() => undefined))).rejects.toThrow(TimeLimitError)
  expect(await within(60_000, 'nothing', Promise.resolve(7))).toBe(7)
})

describe('one at a time for each key', () => {
  test('lets others go on while one waits, and is settled when all have ended, failed ones among them', async () => {
    const { run, settled } = serialByKey()
    const [slow] = gates(1)
    const done: string[] = []
    const first = run('a', async () => {
      await slow?.promise
      done.push('a 1')
      throw new Error('refused')
    })
    const second = run('a', async () => void done.push('a 2'))
    await run('b', async () => void done.push('b 1'))
    expect(done).toEqual(['b 1'])
    let isSettled = false
    const all = settled().then(() => (isSettled = true))
    await turns(10)
    expect(isSettled).toBe(false)
    slow?.resolve()
    await expect(first).rejects.toThrow('refused')
    await second
    await all
    expect(done).toEqual(['b 1', 'a 1', 'a 2'])
  })
})
