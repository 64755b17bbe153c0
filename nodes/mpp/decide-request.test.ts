import { expect, test } from 'vitest'
import type { FailureCode } from '../../protocol/failures.ts'
import { keyOf } from '../runtime/table.ts'
import { incoming, testId } from '../runtime/testing.ts'
import { ASKS } from './request-state.ts'
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

const ask = (parts: TransParts & { from?: string; broken?: FailureCode; alias?: string } = {}) =>
  incoming(
    'request-to-pay',
    { requestId: testId('request'), alias: parts.alias ?? 'ro-mihai-pays', description: 'bread', salt: testId('salt') },
    {
      from: parts.from ?? HOST,
      nested: {
        trans: parts.broken === undefined ? trans(parts) : { ok: false, failure: { code: parts.broken, detail: '' } },
      },
    },
  )

const keyIn = ({ message }: ReturnType<typeof ask>): Uint8Array => message.digest.slice(0, 16)

test('two merchants who choose the same requestId do not stand in each other’s way', () => {
  const other = { ...payeeRow({ payee: 'hu-florist' }), host: 'hu-elsewhere' }
  const on = world(enrolled(payeeRow(), other))
  const first = ask()
  const second = ask({ payee: 'hu-florist', host: 'hu-elsewhere', from: 'hu-elsewhere', expiresAtMs: NOW + 60_000 })
  on.take(first)
  on.take(second)
  expect(on.ledger.outbox.size).toBe(2)
  on.nowMs = NOW + 60_000
  on.sweep()
  expect(on.ledger.rows(ASKS)).toMatchObject([{ host: HOST }])
  expect([...on.ledger.outbox.values()]).toMatchObject([{ digest: first.message.digest }])
})

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
      delivery: { until: ['ask', keyIn(message)] },
    },
  ])
  on.ledger.apply(
    definition.receipted(on.ledger, { kind: 'request-to-pay', key: keyOf('ask', keyIn(message)) }, on.context()),
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
  const message = ask()
  on.take(message)
  const refused = {
    kind: 'request-to-pay' as const,
    key: keyOf('ask', keyIn(message)),
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
