/** Refunds at an MPP: one row for each refusal, and every way the payee's money goes. */
import { describe, expect, it } from 'vitest'
import { failureNumber } from '../../protocol/failures.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { Incoming } from '../runtime/node.ts'
import type { MppReport } from '../runtime/reports.ts'
import { credentialTable } from '../runtime/runtime-tables.ts'
import { keyOf } from '../runtime/table.ts'
import { incoming, testBytes, testId } from '../runtime/testing.ts'
import {
  batch,
  bodyOf,
  confirmMicro,
  CPP,
  definition,
  dtEntry,
  HOST,
  notice,
  PAYEE,
  PAYEE_ACCOUNT,
  paymentDecision,
  POLICY,
  refusalOf,
  sent,
  SELF,
  settlementCredit,
  transfer,
  transferAnswer,
  world,
  type World,
} from './testing/fixture.ts'
import { outboxKey, PAYEES, type PayeeRow } from './state.ts'
import { REFUNDS } from './refund-state.ts'

type Changes = {
  readonly id?: string
  readonly from?: string
  readonly payee?: string
  readonly pnId?: string
  readonly txId?: string
  readonly amountMinor?: bigint
  readonly currency?: 'EUR' | 'HUF'
}
const request = (txId: string, changes: Changes = {}): Incoming<'refund-request'> =>
  incoming(
    'refund-request',
    {
      refundId: testId(changes.id ?? 'refund'),
      payee: changes.payee ?? PAYEE,
      txId: testId(changes.txId ?? txId),
      pnId: testId(changes.pnId ?? txId),
      amountMinor: changes.amountMinor ?? 120n,
      currency: changes.currency ?? 'EUR',
    },
    { from: changes.from ?? HOST },
  )
const confirmation = (
  txId: string,
  pairSeq: number | undefined,
  changes: Changes & { readonly cpp?: string; readonly mpp?: string } = {},
): Incoming<'refund-confirmation'> =>
  incoming(
    'refund-confirmation',
    {
      refundId: testId(changes.id ?? 'refund'),
      pnId: testId(changes.pnId ?? txId),
      payee: changes.payee ?? PAYEE,
      txId: testId(changes.txId ?? txId),
      amountMinor: changes.amountMinor ?? 120n,
      currency: changes.currency ?? 'EUR',
      mpp: changes.mpp ?? SELF.id,
      ...(pairSeq === undefined ? {} : { pairSeq }),
      confirmedAtMs: 1,
    },
    { from: changes.cpp ?? CPP },
  )

const payeeOf = (on: World): PayeeRow => on.ledger.get(PAYEES, PAYEE) as PayeeRow
const money = (on: World) => {
  const { accruedMinor, payableMinor, refundingMinor, payingMinor, paidMinor, reversedMinor } = payeeOf(on)
  return [accruedMinor, payableMinor, refundingMinor, payingMinor, paidMinor, reversedMinor]
}
/** §8.4, counted afresh. */
const adds = (on: World): void => {
  const [row] = (on.read('report') as MppReport).payees
  if (row === undefined) throw new Error('no payee')
  const has = row.accruedMinor + row.payableMinor + row.refundingMinor + row.payingMinor
  expect(has).toBe(row.confirmedMicroMinor + row.paidInMinor - row.paidMinor - row.reversedMinor)
}
const refundState = (on: World, id = 'refund') => on.ledger.get(REFUNDS, testId(id))?.state
const macro = (on: World, txId: string): void => {
  const pn = notice({ txId, amountMinor: 5_000n })
  on.take(pn)
  on.take(paymentDecision(pn))
  on.take(transfer(pn))
}
const refuse = (on: World, code: 'NOT_FOUND' | 'REFUND_INVALID' | 'BAD_SIGNATURE' | 'CREDENTIAL_EXPIRED', by = CPP) =>
  on.ledger.apply(
    definition.refused(
      on.ledger,
      { kind: 'countersigned-refund', key: keyOf(...outboxKey('refund', testId('refund'))), code, detail: '', by },
      on.context(),
    ),
  )

describe('a refund request', () => {
  it.each([
    ['at once', 120n],
    ['once the bank has paid in', 5_000n],
  ])(
    'is countersigned %s with the chain that it came under: its CPP may never hear of the key elsewhere',
    (_, amountMinor) => {
      const on = world()
      const asked = request('a', { amountMinor })
      const chain = [testBytes('mpp credential'), testBytes('host credential')]
      on.ledger.put(credentialTable, asked.message.sender.keyId, { id: HOST, chain, learnedAtMs: 0 })
      if (amountMinor === 120n) confirmMicro(on, 'a', 1)
      else macro(on, 'a')
      const made = on.take(asked)
      const order = sent(made, 'transfer-order').length === 0 ? undefined : bodyOf(made, 'transfer-order').orderId
      const countersigned = order === undefined ? made : on.take(transferAnswer(order, 'booked', { bank: 'ro-bank' }))
      expect(bodyOf(countersigned, 'countersigned-refund')).toMatchObject({ request: asked.message.frame, chain })
      expect(on.ledger.get(REFUNDS, testId('refund'))).not.toHaveProperty('chain')
    },
  )

  it.each([
    ['an unknown payee', { payee: 'hu-nobody' }, 'NOT_FOUND'],
    ["another host's payee", { from: 'hu-other' }, 'NOT_FOUND'],
    ['an unknown payment', { pnId: 'nothing' }, 'NOT_FOUND'],
    ['another invoice', { txId: 'other' }, 'NOT_FOUND'],
    ['another currency', { currency: 'HUF' }, 'CURRENCY_UNSUPPORTED'],
    ['more than the payment', { amountMinor: 121n }, 'REFUND_EXCEEDED'],
  ] as const)('of %s is refused, and changes nothing', (_, changes, code) => {
    const on = world()
    confirmMicro(on, 'a', 1)
    const before = money(on)
    const made = on.take(request('a', changes))
    expect([refusalOf(made), made.writes, made.sends]).toEqual([code, [], []])
    expect(money(on)).toEqual(before)
  })

  it('of a payment that is not confirmed is refused', () => {
    const on = world()
    on.take(notice({ txId: 'a' }))
    expect(refusalOf(on.take(request('a')))).toBe('NOT_FOUND')
  })

  it('of a refundId that was seen is refused, and partial ones add up to no more than the payment', () => {
    const on = world()
    confirmMicro(on, 'a', 1)
    on.take(request('a', { amountMinor: 70n }))
    expect(refusalOf(on.take(request('a', { amountMinor: 10n })))).toBe('ID_REUSED')
    // Both under way at once: the first still counts.
    expect(refusalOf(on.take(request('a', { id: 'second', amountMinor: 51n })))).toBe('REFUND_EXCEEDED')
    expect(refusalOf(on.take(request('a', { id: 'third', amountMinor: 50n })))).toBeUndefined()
    expect(money(on)).toEqual([0n, 0n, 120n, 0n, 0n, 0n])
    adds(on)
  })

  it('is one of at most maxRefundsPerPayment', () => {
    const on = world()
    confirmMicro(on, 'a', 1)
    for (let n = 0; n < LIMITS.maxRefundsPerPayment; n++)
      expect(refusalOf(on.take(request('a', { id: `refund ${n}`, amountMinor: 1n })))).toBeUndefined()
    expect(refusalOf(on.take(request('a', { id: 'one more', amountMinor: 1n })))).toBe('REFUND_EXCEEDED')
  })
})

describe('the refund of a micropayment', () => {
  it('is set aside of what is accrued, countersigned with the frame of the host, and reversed by its entry', () => {
    const on = world()
    confirmMicro(on, 'a', 1)
    const asked = request('a', { amountMinor: 100n })
    const { request: nested, ...body } = bodyOf(on.take(asked), 'countersigned-refund')
    expect(body).toEqual({ refundId: testId('refund'), pnId: testId('a'), payee: PAYEE })
    expect(nested).toEqual(asked.message.frame)
    expect(money(on)).toEqual([20n, 0n, 100n, 0n, 0n, 0n])
    const made = on.take(confirmation('a', 2, { amountMinor: 100n }))
    expect(sent(made, 'refund-confirmation')).toMatchObject([
      { relay: 'refund-confirmation', nextHop: { role: 'merchant', host: HOST }, delivery: { answers: asked.ref } },
    ])
    expect(made.forget).toContainEqual(outboxKey('refund', testId('refund')))
    expect(money(on)).toEqual([20n, 0n, 0n, 0n, 0n, 100n])
    adds(on)
    // The same entry again is known, and books nothing.
    on.take(confirmation('a', 2, { amountMinor: 100n }))
    expect(money(on)).toEqual([20n, 0n, 0n, 0n, 0n, 100n])
  })

  it('takes what is payable first: no payout takes it', () => {
    const on = world()
    const a = confirmMicro(on, 'a', 1, 400n)
    settle(on, [dtEntry(a, 1)], 400n)
    confirmMicro(on, 'b', 2, 300n)
    on.take(request('a', { amountMinor: 400n }))
    expect(money(on)).toEqual([300n, 0n, 400n, 0n, 0n, 0n])
    expect(on.control('payout-now', { payee: PAYEE }).reply).toMatchObject({ ok: false, code: 'NOT_FOUND' })
    adds(on)
  })

  it('of what is settled only later is covered by that settlement before anything is payable', () => {
    const on = world()
    const a = confirmMicro(on, 'a', 1, 400n)
    on.take(request('a', { amountMinor: 300n }))
    on.take(confirmation('a', 2, { amountMinor: 300n }))
    // The batch holds the payment alone: the refund comes with the next one, and its money has to be here then.
    settle(on, [dtEntry(a, 1)], 400n)
    expect(money(on)).toEqual([0n, 100n, 0n, 0n, 0n, 300n])
    adds(on)
  })

  it.each(['booked', 'refused'] as const)('that was paid out is paid in by the bank of the payee: %s', (result) => {
    const on = paidOut()
    const made = on.take(request('a', { amountMinor: 900n }))
    expect(sent(made, 'countersigned-refund')).toEqual([])
    const { orderId, ...order } = bodyOf(made, 'transfer-order')
    expect(order).toEqual({
      debitAccount: PAYEE_ACCOUNT,
      creditAccount: POLICY.operatorAccounts.EUR,
      amountMinor: 700n,
      currency: 'EUR',
      reference: { purpose: 'refund', id: testId('refund') },
    })
    expect(money(on)).toEqual([200n - 200n, 0n, 200n, 0n, 1_000n, 0n])
    const answered = on.take(transferAnswer(orderId, result, { bank: 'ro-bank' }))
    if (result === 'booked') {
      expect(bodyOf(answered, 'countersigned-refund').refundId).toEqual(testId('refund'))
      expect(money(on)).toEqual([0n, 0n, 900n, 0n, 1_000n, 0n])
      // The same answer again pays nothing in.
      on.take(transferAnswer(orderId, result, { bank: 'ro-bank' }))
      on.take(confirmation('a', 4, { amountMinor: 900n }))
      expect(money(on)).toEqual([0n, 0n, 0n, 0n, 1_000n, 900n])
    } else {
      expect(bodyOf(answered, 'refusal').code).toBe(failureNumber('TRANSFER_FAILED'))
      expect([refundState(on), money(on)]).toEqual(['refused', [200n, 0n, 0n, 0n, 1_000n, 0n]])
      // What was refused counts for nothing.
      expect(refusalOf(on.take(request('a', { id: 'again', amountMinor: 999n })))).toBeUndefined()
    }
    adds(on)
  })

  // REFUND_INVALID: so ends one whose request was sealed by a key that was revoked before the CPP had it.
  it.each(['NOT_FOUND', 'REFUND_INVALID'] as const)(
    'that the CPP refuses gives back all of it, what the bank paid in as payable: %s',
    (code) => {
      const on = paidOut()
      const { orderId } = bodyOf(on.take(request('a', { amountMinor: 900n })), 'transfer-order')
      on.take(transferAnswer(orderId, 'booked', { bank: 'ro-bank' }))
      refuse(on, code)
      expect([refundState(on), money(on)]).toEqual(['refused', [200n, 700n, 0n, 0n, 1_000n, 0n]])
      adds(on)
      // And its entry, should the CPP make one nevertheless, is disputed: nobody asked for it any more.
      on.take(confirmation('a', 4, { amountMinor: 900n }))
      expect(money(on)).toEqual([200n, 700n, 0n, 0n, 1_000n, 0n])
    },
  )

  it('stays set aside where a refusal says nothing of an earlier sending', () => {
    const on = world()
    confirmMicro(on, 'a', 1)
    on.take(request('a'))
    refuse(on, 'CREDENTIAL_EXPIRED')
    refuse(on, 'NOT_FOUND', 'hu-dc-1')
    expect([refundState(on), money(on)]).toEqual(['countersigned', [0n, 0n, 120n, 0n, 0n, 0n]])
    on.take(confirmation('a', 2))
    expect([refundState(on), money(on)]).toEqual(['confirmed', [0n, 0n, 0n, 0n, 0n, 120n]])
  })

  it.each([
    ['never asked for', { id: 'unknown' }],
    ['of another sum', { amountMinor: 119n }],
    ['of another payment', { pnId: 'other' }],
    ['of another invoice', { txId: 'other' }],
    ['of another payee', { payee: 'hu-other' }],
    ['of another CPP', { cpp: 'ro-cpp' }],
  ] as const)('entry %s is held and disputed, and reverses nothing', (_, changes) => {
    const on = world()
    confirmMicro(on, 'a', 1)
    on.take(request('a'))
    const pairSeq = 'cpp' in changes ? 1 : 2
    const made = on.take(confirmation('a', pairSeq, changes))
    expect(made.record?.event).toBe('entry-disputed')
    expect(sent(made, 'refund-confirmation')).toEqual([])
    expect([refundState(on), money(on)]).toEqual(['countersigned', [0n, 0n, 120n, 0n, 0n, 0n]])
    adds(on)
  })

  it('entry with the number of another one is refused', () => {
    const on = world()
    confirmMicro(on, 'a', 1)
    on.take(request('a'))
    expect(refusalOf(on.take(confirmation('a', 1)))).toBe('ID_REUSED')
    expect(refusalOf(on.take(confirmation('a', 2, { mpp: 'hu-other' })))).toBe('WRONG_ADDRESSEE')
  })
})

describe('the refund of a macro payment', () => {
  it('is paid by the payee to the CPP first, then countersigned; the books of the payee do not move', () => {
    const on = world()
    macro(on, 'm')
    const { orderId, ...order } = bodyOf(on.take(request('m', { amountMinor: 2_000n })), 'transfer-order')
    expect(order).toMatchObject({
      debitAccount: PAYEE_ACCOUNT,
      creditAccount: POLICY.settlementAccounts[CPP],
      amountMinor: 2_000n,
      reference: { purpose: 'refund', id: testId('refund') },
    })
    const booked = on.take(transferAnswer(orderId, 'booked', { bank: 'ro-bank' }))
    expect(bodyOf(booked, 'countersigned-refund').pnId).toEqual(testId('m'))
    for (const wrong of [{ amountMinor: 1_999n }, { cpp: 'ro-cpp' }, { txId: 'other' }, { id: 'unknown' }] as const)
      expect(refusalOf(on.take(confirmation('m', undefined, { amountMinor: 2_000n, ...wrong })))).toBe('NOT_FOUND')
    const made = on.take(confirmation('m', undefined, { amountMinor: 2_000n }))
    expect(sent(made, 'refund-confirmation')).toHaveLength(1)
    expect([refundState(on), money(on)]).toEqual(['confirmed', [0n, 0n, 0n, 0n, 0n, 0n]])
    adds(on)
  })

  it('needs an account of the CPP to go to', () => {
    const on = world()
    macro(on, 'm')
    on.policy = { ...POLICY, settlementAccounts: {} }
    const made = on.take(request('m', { amountMinor: 2_000n }))
    expect([refusalOf(made), made.writes]).toEqual(['ACCOUNT_UNKNOWN', []])
  })

  it('is no entry of the pair: as one it is disputed', () => {
    const on = world()
    macro(on, 'm')
    const { orderId } = bodyOf(on.take(request('m', { amountMinor: 2_000n })), 'transfer-order')
    on.take(transferAnswer(orderId, 'booked', { bank: 'ro-bank' }))
    expect(on.take(confirmation('m', 1, { amountMinor: 2_000n })).record?.event).toBe('entry-disputed')
    expect(refundState(on)).toBe('countersigned')
  })
})

describe('money that the payee pays in', () => {
  it('counts by the answer to the order: its notice is receipted, and matches nothing else', () => {
    const on = paidOut()
    on.take(request('a', { amountMinor: 900n }))
    const told = (amountMinor: bigint, id: string) =>
      on.take(
        incoming(
          'account-notice',
          {
            noticeId: testId(`notice ${amountMinor} ${id}`),
            account: POLICY.operatorAccounts.EUR as string,
            amountMinor,
            currency: 'EUR',
            reference: { purpose: 'refund', id: testId(id) },
            originatingBank: 'ro-bank',
            bookedAtMs: 1,
          },
          { from: 'hu-kh', role: 'bank' },
        ),
      )
    const before = money(on)
    expect(told(700n, 'refund').writes).toEqual([])
    expect(told(701n, 'refund').record?.event).toBe('credit-unmatched')
    expect(told(700n, 'unknown').record?.event).toBe('credit-unmatched')
    expect(money(on)).toEqual(before)
  })
})

/** The CPP settles these entries, and the bank books it. */
const settle = (on: World, entries: readonly ReturnType<typeof dtEntry>[], amountMinor: bigint) => {
  const { message } = batch(entries)
  on.take(message)
  return on.take(settlementCredit(message.message.body.batchId, amountMinor))
}

/** Payment `a` of 999 and another of 1 were paid out; 200 of a third are accrued. */
const paidOut = (): World => {
  const on = world()
  const a = confirmMicro(on, 'a', 1, 999n)
  const one = confirmMicro(on, 'one', 2, 1n)
  const { orderId } = bodyOf(settle(on, [dtEntry(a, 1), dtEntry(one, 2)], 1_000n), 'transfer-order')
  on.take(transferAnswer(orderId, 'booked'))
  confirmMicro(on, 'b', 3, 200n)
  return on
}
