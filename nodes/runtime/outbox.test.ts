/** When what waits is sent again: by back-off, after a reconnect, and when a host is heard of again. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LIMITS } from '../../protocol/limits.ts'
import { createOutbox, type Outbox } from './outbox.ts'

const BANK = { host: 'hu-kh', prompt: true } as const
const MPP = { host: 'hu-cosmo', prompt: false } as const

/** Sends what is due, as a publisher does, from event to event. @returns what was sent, and when */
const drive = (outbox: Outbox, fromMs: number, untilMs: number, onSent: (key: string, atMs: number) => void): void => {
  for (let nowMs = fromMs; ;) {
    for (const { key, digest } of outbox.due(nowMs, LIMITS.maxOutboxResendsPerStep)) {
      outbox.sent(key, digest, nowMs)
      onSent(key, nowMs)
    }
    const nextMs = Math.max(nowMs + 1, outbox.nextDueAtMs() ?? Number.POSITIVE_INFINITY)
    if (nextMs >= untilMs) return
    nowMs = nextMs
  }
}
const sendNew = (outbox: Outbox, key: string, peer: Parameters<Outbox['add']>[2], nowMs: number): void => {
  outbox.add(key, `digest of ${key}`, peer)
  outbox.sent(key, `digest of ${key}`, nowMs)
}

describe('the outbox', () => {
  it('backs off up to its bound, and forgets', () => {
    const outbox = createOutbox(() => 0.5)
    outbox.add('a', 'd1', undefined)
    expect(outbox.nextDueAtMs()).toBeUndefined()
    let nowMs = 0
    const waits: number[] = []
    for (let sends = 0; sends < 8; sends++) {
      outbox.sent('a', 'd1', nowMs)
      const due = outbox.nextDueAtMs() ?? Number.NaN
      waits.push(due - nowMs)
      expect(outbox.due(due - 1, 10)).toEqual([])
      expect(outbox.due(due, 10)).toHaveLength(1)
      nowMs = due
    }
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000])
    expect(outbox.keyOfDigest('d1')).toBe('a')
    outbox.forget('a')
    expect([outbox.size, outbox.nextDueAtMs(), outbox.keyOfDigest('d1')]).toEqual([0, undefined, undefined])
  })
  it('tells a key’s new message from its old one', () => {
    const outbox = createOutbox(() => 0)
    outbox.add('a', 'd1', undefined)
    outbox.add('a', 'd2', undefined)
    outbox.sent('a', 'd1', 0)
    expect(outbox.nextDueAtMs()).toBeUndefined()
    expect([outbox.keyOfDigest('d1'), outbox.keyOfDigest('d2')]).toEqual([undefined, 'a'])
  })
  it('sends everything soon after a reconnect, within the bound of a step', () => {
    const outbox = createOutbox(() => 0.5)
    for (let n = 0; n < 400; n++) outbox.add(`k${n}`, `d${n}`, undefined, 10_000 + n)
    outbox.hasten(0, 300)
    expect(outbox.nextDueAtMs()).toBe(150)
    expect(outbox.due(150, LIMITS.maxOutboxResendsPerStep)).toHaveLength(LIMITS.maxOutboxResendsPerStep)
  })
})

describe('a host that is away', () => {
  it('is written to at once when it is heard of again, whatever the back-off says', () => {
    const outbox = createOutbox(() => 0.5)
    for (const key of ['a', 'b']) sendNew(outbox, key, MPP, 0)
    sendNew(outbox, 'other', { host: 'ro-danube', prompt: false }, 0)
    drive(outbox, 1, 60_000, () => undefined)
    outbox.heard(MPP.host, 60_000)
    const again: [string, number][] = []
    drive(outbox, 60_000, 60_000 + LIMITS.reconnectSpreadMs, (key, atMs) => again.push([key, atMs]))
    expect(again).toEqual([
      ['a', 60_150],
      ['b', 60_150],
    ])
  })
  it('that was heard of a moment ago is not: who is slow is not hurried', () => {
    const outbox = createOutbox(() => 0.5)
    sendNew(outbox, 'a', MPP, 0)
    let sends = 0
    for (let nowMs = 0; nowMs < 60_000; nowMs += 1_000) {
      outbox.heard(MPP.host, nowMs)
      drive(outbox, nowMs, nowMs + 1_000, () => (sends += 1))
    }
    // 0.5, 1.5, 3.5, 7.5, 15.5, 30.5, 45.5 s
    expect(sends).toBe(7)
  })
  it('and is a bank is asked at short intervals by a few messages, each in its turn', () => {
    const outbox = createOutbox(() => 0.5)
    const waiting = 2 * LIMITS.maxAskedSilentBank
    for (let n = 0; n < waiting; n++) sendNew(outbox, `k${n}`, BANK, 0)
    drive(outbox, 1, 62_000, () => undefined)
    const sent = new Map<string, number>()
    drive(outbox, 62_000, 62_000 + 2 * LIMITS.askSilentBankMs, (key) => sent.set(key, (sent.get(key) ?? 0) + 1))
    expect(sent.size).toBe(waiting)
    let count = 0
    drive(outbox, 70_000, 80_000, () => (count += 1))
    // By each message's own back-off, too, when its turn is late: that adds less than as many again.
    expect(count).toBeGreaterThanOrEqual((10_000 / LIMITS.askSilentBankMs - 1) * LIMITS.maxAskedSilentBank)
    expect(count).toBeLessThan((2 * 10_000 * LIMITS.maxAskedSilentBank) / LIMITS.askSilentBankMs)
  })
  it('and is a bank is asked nothing when nothing waits for it', () => {
    const outbox = createOutbox(() => 0.5)
    sendNew(outbox, 'a', BANK, 0)
    outbox.forget('a')
    expect(outbox.nextDueAtMs()).toBeUndefined()
    expect(outbox.due(1_000_000, 10)).toEqual([])
    // Nor is its earlier silence held against what comes next.
    sendNew(outbox, 'b', BANK, 1_000_000)
    expect(outbox.nextDueAtMs()).toBe(1_000_000 + LIMITS.firstResendMs)
  })

  it('and is a bank has everything that waits within a sweep of its return', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1_500, max: 120_000 }),
        fc.array(fc.record({ atMs: fc.nat(130_000), known: fc.boolean() }), {
          minLength: 1,
          maxLength: 120,
          size: 'max',
        }),
        fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 7, maxLength: 7 }),
        (awayMs, orders, luck) => {
          let draws = 0
          const outbox = createOutbox(() => luck[draws++ % luck.length] ?? 0)
          const goneMs = 5_000
          const backMs = goneMs + awayMs
          /** It has these, and answers them when another bank has answered it: asked again, it says nothing. */
          const waits = new Set<string>()
          const toldMs = new Map<string, number>()
          const answer = (key: string, atMs: number): void => {
            if (atMs >= goneMs && atMs < backMs) return
            if (waits.size < LIMITS.maxAskedSilentBank - 1 && orders[Number(key)]?.known === true && atMs < goneMs)
              waits.add(key)
            if (waits.has(key)) return
            outbox.heard(BANK.host, atMs)
            outbox.forget(key)
            toldMs.set(key, atMs)
          }
          let nowMs = 0
          const inTime = orders.map(({ atMs }, n) => ({ key: `${n}`, atMs })).toSorted((a, b) => a.atMs - b.atMs)
          for (const { key, atMs } of inTime) {
            if (atMs >= backMs) break
            drive(outbox, nowMs, atMs, answer)
            sendNew(outbox, key, BANK, atMs)
            answer(key, atMs)
            nowMs = atMs
          }
          drive(outbox, nowMs, backMs + 60_000, answer)
          for (const { key, atMs } of inTime)
            if (atMs < backMs && !waits.has(key))
              expect(toldMs.get(key)).toBeLessThanOrEqual(Math.max(backMs, atMs) + LIMITS.sweepEveryMs)
        },
      ),
      { numRuns: 80, endOnFailure: true },
    )
  })
})
