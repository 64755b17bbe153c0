import { describe, expect, it } from 'vitest'
import { testBytes, testId, TEST_NOW_MS } from '../runtime/testing.ts'
import { createWorld, MPP, sent, type Sent, type World } from './testing/world.ts'

const notified = (): { readonly one: World; readonly notice: Sent<'payment-notice'> } => {
  const one = createWorld()
  one.enrol('hu-alice')
  return { one, notice: sent(one.pay({ tx: 'tx', pr: 'pr', amountMinor: 300n }), 'payment-notice') }
}
const ask = (one: World, { body: { pnId } }: Sent<'payment-notice'>, from = MPP) =>
  one.receive('notice-query', { pnId }, { from })

describe('an MPP that asks for the end of a payment under another key', () => {
  it('of which it is not the MPP, or which nobody knows, is told NOT_FOUND', () => {
    const { one, notice } = notified()
    one.decide(notice)
    expect(ask(one, notice, 'hu-liar').refuse?.code).toBe('NOT_FOUND')
    const unknown = { ...notice, body: { ...notice.body, pnId: testId('unknown') } }
    expect(ask(one, unknown).refuse?.code).toBe('NOT_FOUND')
  })

  it('that is not decided yet is told so', () => {
    const { one, notice } = notified()
    expect(ask(one, notice).refuse?.code).toBe('UNDECIDED')
  })

  it.each([
    ['confirmed', 'delayed-transfer-confirmation', (one: World, notice: Sent<'payment-notice'>) => one.decide(notice)],
    ['expired', 'payment-outcome', (one: World) => one.advance(TEST_NOW_MS + 60_000)],
  ] as const)('that is %s gets its %s sealed anew, and nothing is written', async (_, kind, end) => {
    const { one, notice } = notified()
    end(one, notice)
    one.jobs.length = 0
    const asked = ask(one, notice)
    expect([asked.writes, asked.sends, asked.refuse]).toEqual([[], [], undefined])
    const [sealed] = await one.finishJobs()
    expect(sealed?.writes).toEqual([])
    expect(sent(sealed as NonNullable<typeof sealed>, 'notice-record')).toMatchObject({
      to: MPP,
      body: { pnId: notice.body.pnId, end: testBytes(`sealed ${kind}`) },
      delivery: { once: true },
    })
  })
})
