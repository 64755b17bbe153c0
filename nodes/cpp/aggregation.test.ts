import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  CLEAR,
  admitted,
  collectionBooked,
  collectionOrdered,
  collectionRefused,
  confirmed,
  dropped,
  judge,
  writtenOff,
  type Standing,
} from './aggregation.ts'

const standing = (outstandingMinor: bigint, pendingMinor = 0n, collectingMinor = 0n): Standing => ({
  outstandingMinor,
  pendingMinor,
  collectingMinor,
})

describe('the rule', () => {
  const θ = 1_000n
  it.each([
    ['nothing owed, below θ', standing(0n), 999n, true, 0n],
    ['nothing owed, at θ: one payment alone', standing(0n), 1_000n, true, 0n],
    ['one below θ', standing(400n), 599n, true, 0n],
    ['exactly θ crosses', standing(400n), 600n, false, 400n],
    ['over θ', standing(400n), 900n, false, 400n],
    ['pending counts', standing(400n, 300n), 300n, false, 0n],
    ['pending alone crosses: nothing to collect', standing(0n, 700n), 300n, false, 0n],
    ['pending, outstanding just below θ/2: waits for the payees', standing(499n, 100n), 500n, false, 0n],
    ['pending, outstanding at θ/2: collects', standing(500n, 100n), 500n, false, 500n],
    ['a collection runs: not a second one', standing(900n, 0n, 900n), 100n, false, 0n],
    ['a collection runs, and it still fits', standing(900n, 0n, 900n), 99n, true, 0n],
  ])('%s', (_, before, amount, admit, collectMinor) => {
    expect(judge(before, amount, θ)).toEqual({ admit, collectMinor })
  })
})

describe('transitions', () => {
  it('move each sum where it belongs', () => {
    const one = admitted(CLEAR, 300n)
    expect(one).toEqual(standing(0n, 300n))
    expect(confirmed(one, 300n)).toEqual(standing(300n))
    expect(dropped(one, 300n)).toEqual(CLEAR)
    const running = collectionOrdered(standing(300n, 50n))
    expect(running).toEqual(standing(300n, 50n, 300n))
    expect(collectionBooked(confirmed(running, 50n))).toEqual(standing(50n))
    expect(collectionRefused(running)).toEqual(standing(300n, 50n))
    expect(writtenOff(running)).toEqual({ standing: running, amountMinor: 0n })
    expect(writtenOff(standing(300n, 50n))).toEqual({ standing: standing(0n, 50n), amountMinor: 300n })
  })

  it.each([
    ['confirming what was never admitted', () => confirmed(standing(5n), 1n)],
    ['dropping more than is pending', () => dropped(standing(0n, 5n), 6n)],
    ['a second collection', () => collectionOrdered(standing(5n, 0n, 5n))],
    ['a collection of nothing', () => collectionOrdered(CLEAR)],
  ])('%s stops the node', (_, act) => {
    expect(act).toThrow(RangeError)
  })
})

/** Written from the paper's words alone, one payment after the other: shares no code with the rule. */
const replay = (payments: readonly { amount: bigint; approved: boolean }[], θ: bigint) => {
  const collections: bigint[] = []
  let owed = 0n
  for (const { amount, approved } of payments) {
    if (owed > 0n && owed + amount >= θ) {
      collections.push(owed)
      owed = 0n
    }
    if (approved) owed += amount
  }
  return { collections, owed }
}

const payment = fc.record({ amount: fc.bigInt({ min: 1n, max: 999n }), approved: fc.boolean() })

describe('one after the other', () => {
  it('collects exactly the prior outstanding at each crossing, as an independent replay says', () => {
    fc.assert(
      fc.property(fc.array(payment, { maxLength: 60 }), fc.bigInt({ min: 1n, max: 1_000n }), (payments, θ) => {
        const collections: bigint[] = []
        let now = CLEAR
        for (const { amount, approved } of payments) {
          const first = judge(now, amount, θ)
          if (first.collectMinor > 0n) {
            expect(first).toEqual({ admit: false, collectMinor: now.outstandingMinor })
            now = collectionOrdered(now)
            collections.push(now.collectingMinor)
            now = collectionBooked(now)
          }
          expect(judge(now, amount, θ)).toEqual({ admit: true, collectMinor: 0n })
          now = admitted(now, amount)
          now = approved ? confirmed(now, amount) : dropped(now, amount)
        }
        expect({ collections, owed: now.outstandingMinor }).toEqual(replay(payments, θ))
      }),
    )
  })
})

/** What may happen next; `pick` chooses among the payments in flight. */
const step = fc.oneof(
  fc.record({ type: fc.constant('pay' as const), amount: fc.bigInt({ min: 1n, max: 999n }) }),
  fc.record({ type: fc.constantFrom('approve' as const, 'reject' as const), pick: fc.nat() }),
  fc.record({ type: fc.constantFrom('booked' as const, 'refused' as const) }),
)

describe('under any concurrency', () => {
  it('holds the bound at each admission, collects only what is owed, and loses nothing', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.bigInt({ min: 1n, max: 1_000n }), (steps, θ) => {
        let now = CLEAR
        const inFlight: bigint[] = []
        const waiting: bigint[] = []
        const sums = { confirmed: 0n, collected: 0n, orders: 0n }
        const serve = (): void => {
          for (let head = waiting[0]; head !== undefined; head = waiting[0]) {
            const verdict = judge(now, head, θ)
            if (verdict.collectMinor > 0n) {
              expect(now.collectingMinor).toBe(0n)
              expect(verdict.collectMinor).toBe(now.outstandingMinor)
              now = collectionOrdered(now)
              sums.orders += 1n
            }
            if (!verdict.admit) return
            const owed = now.outstandingMinor + now.pendingMinor
            expect(owed === 0n || owed + head < θ).toBe(true)
            now = admitted(now, head)
            inFlight.push(head)
            waiting.shift()
          }
        }
        for (const event of steps) {
          if (event.type === 'pay') waiting.push(event.amount)
          else if (event.type === 'approve' || event.type === 'reject') {
            if (inFlight.length === 0) continue
            const [amount] = inFlight.splice(event.pick % inFlight.length, 1) as [bigint]
            now = event.type === 'approve' ? confirmed(now, amount) : dropped(now, amount)
            if (event.type === 'approve') sums.confirmed += amount
          } else {
            if (now.collectingMinor === 0n) continue
            if (event.type === 'booked') sums.collected += now.collectingMinor
            now = event.type === 'booked' ? collectionBooked(now) : collectionRefused(now)
          }
          serve()
          expect(now.outstandingMinor).toBe(sums.confirmed - sums.collected)
          expect(now.pendingMinor).toBe(inFlight.reduce((sum, amount) => sum + amount, 0n))
          // Nobody waits for nothing: a payee or the bank is still to answer.
          if (waiting.length > 0) expect(now.pendingMinor + now.collectingMinor).toBeGreaterThan(0n)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('bounds the number of bank orders by what was paid, with any number in flight', () => {
    const flight = fc.array(fc.record({ amount: fc.bigInt({ min: 1n, max: 999n }), gap: fc.nat({ max: 8 }) }), {
      minLength: 1,
      maxLength: 200,
    })
    fc.assert(
      fc.property(flight, (payments) => {
        const θ = 1_000n
        let now = CLEAR
        let orders = 0n
        const queue = payments.map(({ amount }) => amount)
        const inFlight: { amount: bigint; left: number }[] = []
        const gaps = payments.map(({ gap }) => gap)
        while (queue.length > 0 || inFlight.length > 0) {
          const head = queue[0]
          const verdict = head === undefined ? undefined : judge(now, head, θ)
          if (verdict !== undefined && verdict.collectMinor > 0n) {
            orders += 1n
            now = collectionBooked(collectionOrdered(now))
            continue
          }
          if (head !== undefined && verdict?.admit === true) {
            queue.shift()
            now = admitted(now, head)
            inFlight.push({ amount: head, left: gaps.shift() ?? 0 })
          }
          // Whoever blocks the queue is answered; the others when their time has come.
          const answered = inFlight.filter((one, at) => one.left-- === 0 || (verdict?.admit !== true && at === 0))
          for (const one of answered) {
            inFlight.splice(inFlight.indexOf(one), 1)
            now = confirmed(now, one.amount)
          }
        }
        const total = payments.reduce((sum, { amount }) => sum + amount, 0n)
        expect(orders <= (2n * total) / θ + 1n).toBe(true)
      }),
    )
  })
})
