import { expect, test } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import { testId } from '../../nodes/runtime/testing.ts'
import { bankWaits } from './bank-waits.ts'

const entry = (atMs: number, trigger: string, name: string, more: object = {}) => ({
  atMs,
  trigger,
  name,
  ids: [],
  sends: [],
  ...more,
})
const sends = (kind: string, digest: string) => ({ sends: [[kind, 'hu-kh', testId(digest)] as const] })
const ofBank = (name: string, digest: string, id: string) =>
  entry(0, 'message', name, { digest: testId(digest), ids: [testId(id)] })

test('an order that a bank has taken waits from the entry that first sent it to the first answer of its id', () => {
  const cpp = [
    entry(100, 'message', 'payment-request', sends('hold-order', 'hold')),
    entry(150, 'message', 'hold-answer', { ids: [testId('hold 1')], ...sends('post-order', 'post') }),
    entry(160, 'deadline', 'debt-age', sends('transfer-order', 'collect')),
    entry(170, 'deadline', 'debt-age', sends('transfer-order', 'never seen')),
    entry(180, 'deadline', 'debt-age', sends('transfer-order', 'refused')),
    entry(900, 'message', 'post-answer', { ids: [testId('post 1')] }),
    entry(950, 'message', 'post-answer', { ids: [testId('post 1')] }),
    entry(960, 'refused', 'transfer-order', { ids: [testId('other')] }),
  ]
  const banks = [
    ofBank('hold-order', 'hold', 'hold 1'),
    ofBank('post-order', 'post', 'post 1'),
    ofBank('transfer-order', 'collect', 'collect 1'),
    { ...ofBank('transfer-order', 'refused', 'refused 1'), refused: 'SCHEMA_VIOLATION' },
  ]
  const id = (text: string): string => toHex(testId(text))
  expect(bankWaits('hu-otp', cpp, banks)).toEqual([
    { cpp: 'hu-otp', kind: 'post-order', orderId: id('post 1'), orderedAtMs: 150, answeredAtMs: 900 },
    { cpp: 'hu-otp', kind: 'transfer-order', orderId: id('collect 1'), orderedAtMs: 160, answeredAtMs: undefined },
  ])
})
