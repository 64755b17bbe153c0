/** A refund at the wallet: one row for each refusal. */
import { describe, expect, test } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import type { FailureCode } from '../../protocol/failures.ts'
import type { Decision } from '../runtime/node.ts'
import { incoming, testId } from '../runtime/testing.ts'
import { refunds } from './state.ts'
import { oneSent } from './testing/drive.ts'
import { ALICE, confirmationOf, CPP, requested, wallet, type Wallet } from './testing/wallet.ts'

const paying = async (): Promise<Wallet> => {
  const host = wallet()
  await host.enrol(ALICE)
  requested(host)
  return host
}
const paid = async (): Promise<Wallet> => {
  const host = await paying()
  host.deliver(confirmationOf(host.payment()))
  return host
}
type Said = {
  readonly refund?: string
  readonly prId?: Uint8Array
  readonly amountMinor?: bigint
  readonly currency?: 'EUR' | 'USD'
  readonly from?: string
  readonly to?: string
}
const notice = (host: Wallet, said: Said = {}): Decision =>
  host.deliver(
    incoming(
      'customer-refund-notice',
      {
        refundId: testId(said.refund ?? 'refund'),
        prId: said.prId ?? host.payment().prId,
        amountMinor: said.amountMinor ?? 50n,
        currency: said.currency ?? 'EUR',
        confirmedAtMs: 1,
      },
      { from: said.from ?? CPP, role: 'cpp', header: { to: said.to ?? ALICE } },
    ),
  )

describe('a notice of a refund: checks in their order', () => {
  const rows: readonly [string, Said, FailureCode][] = [
    ['of no payment', { prId: testId('none') }, 'NOT_FOUND'],
    ['from another CPP', { from: 'hu-erste' }, 'NOT_FOUND'],
    ['to another customer', { to: 'hu-bob' }, 'NOT_FOUND'],
    ['in another currency', { currency: 'USD' }, 'CURRENCY_UNSUPPORTED'],
    ['of more than was paid', { amountMinor: 121n }, 'REFUND_EXCEEDED'],
  ]
  test.each(rows)('%s', async (_, said, code) => {
    const host = await paid()
    expect(notice(host, said)).toMatchObject({ refuse: { code }, writes: [], sends: [] })
  })

  test('that overtakes the confirmation is to come again', async () => {
    const host = await paying()
    expect(notice(host)).toMatchObject({ refuse: { code: 'UNDECIDED' }, writes: [] })
    host.deliver(confirmationOf(host.payment()))
    expect(notice(host).refuse).toBeUndefined()
  })

  test('together no more than was paid', async () => {
    const host = await paid()
    notice(host, { refund: 'one', amountMinor: 100n })
    expect(notice(host, { refund: 'two', amountMinor: 21n }).refuse?.code).toBe('REFUND_EXCEEDED')
    notice(host, { refund: 'three', amountMinor: 20n })
    expect(host.ledger.rows(refunds)).toHaveLength(2)
  })
})

test('is receipted, and shown in the line of its payment', async () => {
  const host = await paid()
  expect(oneSent(notice(host), 'receipt').to).toBe(CPP)
  const shown = [{ refundId: toHex(testId('refund')), amountMinor: 50n, state: 'confirmed' }]
  expect(host.read('payments')).toMatchObject({ payments: [{ refunds: shown }] })
  expect(host.read('payment', { paymentId: toHex(host.payment().prId) })).toMatchObject({ refunds: shown })
})
