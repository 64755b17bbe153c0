import { describe, expect, test } from 'vitest'
import { createKernel } from './kernel.ts'

/** Deliveries at these times, by name. */
const busOf = (due: [number, string][], seen: string[]) => ({
  nextDueAtMs: () => due[0]?.[0],
  deliverNext: () => {
    const [, name] = due.shift() as [number, string]
    seen.push(name)
    return undefined
  },
})
const kernelOf = (due: [number, string][] = []) => {
  const seen: string[] = []
  const times: number[] = []
  const thrown: unknown[] = []
  const kernel = createKernel(
    busOf(due, seen),
    100,
    (ms) => times.push(ms),
    (error) => thrown.push(error),
  )
  return { kernel, seen, times, thrown }
}

describe('the loop of a simulation', () => {
  test('events and deliveries happen in the order of their time, equal ones as they were asked for', async () => {
    const { kernel, seen, times } = kernelOf([
      [103, 'delivery at 103'],
      [107, 'delivery at 107'],
    ])
    kernel.after(5, () => seen.push('at 105'))
    kernel.after(1, () => {
      seen.push('at 101')
      kernel.after(4, () => seen.push('at 105 too'))
    })
    expect(await kernel.run(() => false)).toBe(false)
    expect(seen).toEqual(['at 101', 'delivery at 103', 'at 105', 'at 105 too', 'delivery at 107'])
    expect(times).toEqual([101, 103, 105, 107])
    expect([kernel.steps(), kernel.now()]).toEqual([5, 107])
  })

  test('what was taken back does not happen, and the past is now', async () => {
    const { kernel, seen } = kernelOf()
    kernel.after(1, () => seen.push('never'))()
    kernel.after(-5, () => seen.push(`now ${kernel.now()}`))
    await kernel.run(() => false)
    expect(seen).toEqual(['now 100'])
  })

  test('every promise that an event settles is followed to its end before the next event', async () => {
    const { kernel, seen } = kernelOf()
    kernel.after(1, () => {
      void (async () => {
        for (let tick = 0; tick < 50; tick++) await Promise.resolve()
        seen.push('followed')
      })()
    })
    kernel.after(1, () => seen.push('next event'))
    await kernel.run(() => false)
    expect(seen).toEqual(['followed', 'next event'])
  })

  test('work on real turns of the event loop ends before the next event', async () => {
    const { kernel, seen } = kernelOf()
    kernel.after(1, () => {
      const work = (async () => {
        for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => void setImmediate(resolve))
        seen.push('worked')
      })()
      kernel.wait(work)
    })
    kernel.after(1, () => {
      kernel.wait(Promise.reject(new Error('a job that fails is its host’s affair')))
      seen.push('next event')
    })
    await kernel.run(() => false)
    expect(seen).toEqual(['worked', 'next event'])
  })

  test('what an event throws is told, and the others happen', async () => {
    const { kernel, seen, thrown } = kernelOf()
    kernel.after(1, () => {
      throw new Error('broken')
    })
    kernel.after(2, () => seen.push('after it'))
    await kernel.run(() => false)
    expect([thrown.length, seen]).toEqual([1, ['after it']])
  })

  test('it stops where it is told to, and goes on from there', async () => {
    const { kernel, seen } = kernelOf()
    for (const at of [1, 2, 3]) kernel.after(at, () => seen.push(String(at)))
    expect(await kernel.run(() => seen.length === 2)).toBe(true)
    expect(seen).toEqual(['1', '2'])
    await kernel.run(() => false)
    expect(seen).toEqual(['1', '2', '3'])
  })
})
