import { describe, expect, test } from 'vitest'
import { FLAT, judgeMemory, type Sample } from './memory.ts'

const MIB = 1_048_576
/** One process for so many minutes, a sample each five seconds. */
const watched = (minutes: number, bytesAt: (minute: number, index: number) => number, pid = 1): readonly Sample[] =>
  Array.from({ length: minutes * 12 + 1 }, (_, index) => ({
    id: 'hu-otp',
    pid,
    atMs: index * 5_000,
    bytes: Math.round(bytesAt(index / 12, index)),
  }))
/** Up and down with each garbage collection. */
const sawtooth = (_: number, index: number): number => 100 * MIB + (index % 7) * 4 * MIB

describe('memory is flat', () => {
  test('when it only goes up and down', () => {
    expect(judgeMemory(watched(10, sawtooth))).toMatchObject([{ id: 'hu-otp', processes: 1, judged: 1, flat: true }])
  })
  test('when it grows in the warm-up alone', () => {
    const warmUp = FLAT.warmUpMs / 60_000
    const [host] = judgeMemory(watched(10, (minute) => (50 + 40 * Math.min(minute, warmUp)) * MIB))
    expect(host).toMatchObject({ flat: true, bytesPerMinute: 0 })
  })
  test('when the rule is just met', () => {
    const [host] = judgeMemory(watched(10, (minute) => 100 * MIB + minute * FLAT.mostBytesPerMinute))
    expect(host).toMatchObject({ flat: true, bytesPerMinute: FLAT.mostBytesPerMinute })
  })
})

describe('memory is not flat', () => {
  test('when it leaks, also under the noise of garbage collections', () => {
    const [host] = judgeMemory(watched(10, (minute, index) => sawtooth(minute, index) + minute * 2 * MIB))
    expect(host?.flat).toBe(false)
    expect(host?.bytesPerMinute).toBeGreaterThan(1.5 * MIB)
    expect(host?.bytesPerMinute).toBeLessThan(2.5 * MIB)
  })
  test('when one of several processes leaks', () => {
    const samples = [...watched(5, sawtooth, 1), ...watched(5, (minute) => 100 * MIB + minute * 3 * MIB, 2)]
    expect(judgeMemory(samples)).toMatchObject([{ processes: 2, judged: 2, flat: false }])
  })
})

test('a process that lived too short is not judged', () => {
  expect(judgeMemory(watched(3, (minute) => minute * 9 * MIB))).toMatchObject([
    { judged: 0, flat: true, bytesPerMinute: 0 },
  ])
})
