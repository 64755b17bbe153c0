import { expect, test } from 'vitest'
import type { FailureCode } from '../../protocol/failures.ts'
import { keyOf } from '../runtime/table.ts'
import { incoming, testId } from '../runtime/testing.ts'
import { ASKS } from './state.ts'
import {
  definition,
  enrolled,
  HOST,
  NOW,
  payeeRow,
  refusalOf,
  trans,
  world,
  type TransParts,
} from './testing/fixture.ts'

const ask = (parts: TransParts & { from?: string; broken?: FailureCode } = {}) =>
  incoming(
    'request-to-pay',
    { requestId: testId('request'), alias: 'ro-mihai-pays', description: 'bread', salt: testId('salt') },
    {
      from: parts.from ?? HOST,
      nested: {
        trans: parts.broken === undefined ? trans(parts) : { ok: false, failure: { code: parts.broken, detail: '' } },
      },
    },
  )

test('a request to pay is receipted, and forwarded to the data center until it is receipted there', () => {
  const on = world()
  const message = ask()
  expect(on.take(message).sends).toEqual([
    { kind: 'receipt', to: HOST, body: { digest: message.message.digest }, delivery: { answers: message.ref } },
    {
      relay: 'request-to-pay',
      frame: message.message.frame,
      digest: message.message.digest,
      nextHop: { role: 'dc', host: 'hu-dc' },
      delivery: { until: ['ask', testId('request')] },
    },
  ])
  on.ledger.apply(
    definition.receipted(on.ledger, { kind: 'request-to-pay', key: keyOf('ask', testId('request')) }, on.context()),
  )
  expect(on.ledger.rows(ASKS)).toEqual([])
})

test('it is given up when its invoice expires: an alias nobody has may not be asked for ever', () => {
  const on = world()
  on.take(ask())
  on.nowMs += 119_999
  on.sweep()
  expect(on.ledger.outbox.size).toBe(1)
  on.nowMs += 1
  on.sweep()
  expect(on.ledger.outbox.size).toBe(0)
  expect(on.ledger.rows(ASKS)).toEqual([])
})

test('it is given up when it is refused', () => {
  const on = world()
  on.take(ask())
  const refused = {
    kind: 'request-to-pay' as const,
    key: keyOf('ask', testId('request')),
    code: 'SCHEMA_VIOLATION' as const,
    detail: '',
    by: 'ro-cpp',
  }
  on.ledger.apply(definition.refused(on.ledger, refused, on.context()))
  expect(on.ledger.rows(ASKS)).toEqual([])
})

test.each([
  ['the invoice does not open', 'TRANS_INVALID', ask({ broken: 'BAD_SIGNATURE' })],
  ['the chain names another MPP', 'TRANS_INVALID', ask({ mpp: 'ro-mpp' })],
  ['the payee is not enrolled', 'TRANS_INVALID', ask({ payee: 'hu-nobody' })],
  ['another host sends it', 'TRANS_INVALID', ask({ from: 'hu-elsewhere' })],
  ['another host made the invoice', 'TRANS_INVALID', ask({ host: 'hu-elsewhere', from: HOST })],
  ['the invoice has expired', 'TRANS_EXPIRED', ask({ expiresAtMs: NOW })],
] as const)('it is refused when %s: %s', (_, code, message) => {
  const on = world()
  const made = on.take(message)
  expect(refusalOf(made)).toBe(code)
  expect([made.writes, made.sends]).toEqual([[], []])
})

test('it is refused for a payee who has left', () => {
  expect(refusalOf(world(enrolled(payeeRow({ state: 'retired' }))).take(ask()))).toBe('TRANS_INVALID')
})
