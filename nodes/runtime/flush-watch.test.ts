import { describe, expect, it } from 'vitest'
import { createFlushWatch } from './flush-watch.ts'

const stuck = (): Error => new Error('stuck')
const never = new Promise<void>(() => undefined)

describe('a wait for a flush', () => {
  it('ends as the flush does', async () => {
    const watch = createFlushWatch(1, stuck)
    await watch.wait(Promise.resolve('done'))
    await expect(watch.wait(Promise.reject(new Error('no disk')))).rejects.toThrow('no disk')
    watch.tick()
  })

  it('is given up after so many ticks, each on its own', async () => {
    const watch = createFlushWatch(3, stuck)
    const ended: string[] = []
    const wait = (name: string): Promise<void> => watch.wait(never).catch(() => void ended.push(name))
    const first = wait('first')
    watch.tick()
    const second = wait('second')
    watch.tick()
    await Promise.resolve()
    expect(ended).toEqual([])
    watch.tick()
    await first
    expect(ended).toEqual(['first'])
    watch.tick()
    await second
    expect(ended).toEqual(['first', 'second'])
  })
})
