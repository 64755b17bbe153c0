/** Fair queues against a model: one array for each sender, searched in full at every step. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LIMITS } from '../../protocol/limits.ts'
import { createFairQueue, type Lane } from './fair-queue.ts'

type Item = { readonly lane: Lane; readonly n: number; readonly bytes: number }
const idOf = ({ sender, member }: Lane): string => (member === undefined ? sender : `${sender} * ${member}`)
const groupOf = ({ sender, member }: Lane): string => (member === undefined ? sender : `${sender} *`)

const HOSTS: readonly Lane[] = ['a', 'b', 'c'].map((sender) => ({ sender }))
const GUESTS: readonly Lane[] = ['t1', 't2', 't3'].map((member) => ({ sender: 'guest', member, turns: 2 }))
/** A host that was taken for one that relays nothing before, and members behind it. */
const RELAYED: readonly Lane[] = [{ sender: 'dc' }, ...['x', 'y'].map((member) => ({ sender: 'dc', member, turns: 3 }))]
const lane = fc.constantFrom(...HOSTS, ...GUESTS, ...RELAYED)
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ lane, bytes: fc.integer({ min: 1, max: 40 }) }) },
  { weight: 2, arbitrary: fc.constant('take' as const) },
)

describe('a fair queue', () => {
  it('loses nothing within its bounds, keeps each sender’s order, and gives everybody a turn', () => {
    const bounds = fc.record({
      items: fc.integer({ min: 1, max: 40 }),
      bytes: fc.integer({ min: 40, max: 800 }),
      perSender: fc.integer({ min: 1, max: 12 }),
    })
    fc.assert(
      fc.property(bounds, fc.array(step, { maxLength: 300 }), (limits, steps) => {
        const queue = createFairQueue<Item>(limits)
        const held: Item[] = []
        const sizeOf = (name: string, of: (one: Lane) => string): number =>
          held.filter((one) => of(one.lane) === name).length
        const bytesOf = (): number => held.reduce((sum, { bytes }) => sum + bytes, 0)
        /** What was taken since each waiting group, and each waiting member of a group, had its last turn. */
        const since = new Map<string, string[]>()
        let n = 0
        for (const one of [...steps, ...Array.from({ length: 60 }, () => 'take' as const)]) {
          if (one !== 'take') {
            const item = { lane: one.lane, bytes: one.bytes, n: n++ }
            const accepted = queue.push(item.lane, item, item.bytes)
            const group = groupOf(item.lane)
            const turns = item.lane.turns ?? 1
            const most = Math.min(limits.items, limits.perSender * turns)
            const inGroup = sizeOf(group, groupOf)
            const inLane = sizeOf(idOf(item.lane), idOf)
            const share = LIMITS.maxSenderShare
            // What must be refused, and what must not: a newcomer has room while there is any to speak of.
            if (held.length >= limits.items || inGroup >= most || inLane >= limits.perSender)
              expect(accepted).toBe(false)
            if (bytesOf() + item.bytes > limits.bytes) expect(accepted).toBe(false)
            if (
              inGroup < Math.min(most, share * (limits.items - held.length)) &&
              inLane < Math.min(limits.perSender, share * (most - inGroup)) &&
              bytesOf() + item.bytes <= share * (limits.bytes - bytesOf() - item.bytes)
            )
              expect(accepted).toBe(true)
            if (accepted) held.push(item)
            continue
          }
          const taken = queue.shift()
          expect(taken === undefined).toBe(held.length === 0)
          if (taken === undefined) continue
          expect(taken).toBe(held.find((item) => idOf(item.lane) === idOf(taken.lane)))
          held.splice(held.indexOf(taken), 1)
          // Between two turns of one, every other that waits has its own: so nobody's wait holds more of another than a turn.
          const mine = groupOf(taken.lane)
          since.delete(mine)
          for (const group of new Set(held.map((item) => groupOf(item.lane)))) {
            if (group === mine) continue
            const passed = [...(since.get(group) ?? []), mine]
            since.set(group, passed)
            expect(passed.filter((name) => name === mine).length).toBeLessThanOrEqual(taken.lane.turns ?? 1)
          }
          for (const group of since.keys()) if (sizeOf(group, groupOf) === 0) since.delete(group)
          const me = idOf(taken.lane)
          since.delete(`member ${me}`)
          if (taken.lane.member === undefined) continue
          for (const member of new Set(
            held.filter((item) => groupOf(item.lane) === mine).map((item) => idOf(item.lane)),
          )) {
            if (member === me) continue
            const passed = [...(since.get(`member ${member}`) ?? []), me]
            since.set(`member ${member}`, passed)
            expect(passed.filter((name) => name === me)).toHaveLength(1)
          }
          for (const name of since.keys())
            if (name.startsWith('member ') && sizeOf(name.slice(7), idOf) === 0) since.delete(name)
        }
        expect([queue.size, queue.bytes]).toEqual([held.length, bytesOf()])
      }),
      { numRuns: 300 },
    )
  })

  it('keeps room for a newcomer, however many flood it', () => {
    const queue = createFairQueue<number>({ items: 1_000, bytes: 1_000_000, perSender: 1_000 })
    for (let round = 0; round < 2_000; round++)
      for (let flooder = 0; flooder < 5; flooder++) queue.push({ sender: `f${flooder}` }, round, 10)
    expect(queue.size).toBeLessThan(1_000)
    expect(queue.push({ sender: 'new' }, 1, 10)).toBe(true)
    const turns = Array.from({ length: 6 }, () => queue.shift())
    expect(turns).toContain(1)
  })

  it('holds no more bytes than it may', () => {
    const queue = createFairQueue<number>({ items: 1_000, bytes: 1_000, perSender: 1_000 })
    let taken = 0
    for (let n = 0; n < 100; n++) if (queue.push({ sender: 'a' }, n, 100)) taken += 1
    expect(queue.bytes).toBe(taken * 100)
    expect(taken).toBeGreaterThan(5)
    expect(queue.bytes).toBeLessThan(1_000)
    expect(queue.push({ sender: 'b' }, 0, 50)).toBe(true)
  })
})
