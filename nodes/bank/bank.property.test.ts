/**
 * Random orders at three banks and their settlement bank, with loss, duplication, reordering, replays of old messages, returns,
 * expiries and short reserves. Two judges: the report, counted afresh from rows after every step, and an auditor that knows
 * only what was ordered and what was answered, and computes from that what every account must hold at the end.
 */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Body } from '../../protocol/kinds.ts'
import { toHex } from '../../protocol/bytes.ts'
import { testId } from '../runtime/testing.ts'
import { HOLDS, ORDERS } from './state.ts'
import { bankNetwork, type BankNetwork } from './testing/bank-network.ts'
import { giveMandate, mandateTerms, openAccount, type Sent } from './testing/test-bank.ts'

const BANKS = ['hu-kh', 'ro-carpat', 'eu-agora'] as const
const SETTLEMENT = 'eu-settle'
const OPERATORS = ['hu-otp', 'ro-libra'] as const
const NAMES = ['cust', 'shop', 'hu-otp', 'nobody'] as const
const OPENING = 1_000n

const bank = fc.constantFrom(...BANKS)
const operator = fc.constantFrom(...OPERATORS)
const account = fc.tuple(bank, fc.constantFrom(...NAMES)).map(([id, name]) => `${id}:${name}`)
const amountMinor = fc.bigInt(0n, 700n)
const number = fc.nat(7)
const index = fc.nat(1_000)

type Step =
  | {
      readonly do: 'hold'
      readonly bank: string
      readonly by: string
      readonly hold: number
      readonly account: string
      readonly amountMinor: bigint
      readonly lifeMs: number
    }
  | {
      readonly do: 'post'
      readonly bank: string
      readonly by: string
      readonly hold: number
      readonly order: number
      readonly to: string
      readonly amountMinor: bigint | undefined
    }
  | { readonly do: 'void'; readonly bank: string; readonly by: string; readonly hold: number; readonly order: number }
  | {
      readonly do: 'transfer'
      readonly bank: string
      readonly by: string
      readonly order: number
      readonly from: string
      readonly to: string
      readonly amountMinor: bigint
    }
  | { readonly do: 'deliver' | 'replay'; readonly index: number; readonly loseAnswers: boolean }
  | { readonly do: 'close'; readonly bank: string }
  | { readonly do: 'advance'; readonly bank: string; readonly ms: number }
  | { readonly do: 'fund'; readonly bank: string; readonly amountMinor: bigint }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('hold' as const),
      bank,
      by: operator,
      hold: number,
      account,
      amountMinor: fc.bigInt(1n, 700n),
      lifeMs: fc.integer({ min: 0, max: 90 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('post' as const),
      bank,
      by: operator,
      hold: number,
      order: number,
      to: account,
      amountMinor: fc.option(amountMinor, { nil: undefined, freq: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('void' as const), bank, by: operator, hold: number, order: number }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('transfer' as const),
      bank,
      by: operator,
      order: number,
      from: account,
      to: account,
      amountMinor,
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('deliver' as const, 'replay' as const),
      index,
      loseAnswers: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), bank }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('advance' as const), bank, ms: fc.integer({ min: 1, max: 60 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('fund' as const), bank, amountMinor: fc.bigInt(0n, 300n) }) },
)

const network = (): BankNetwork => {
  const net = bankNetwork([...BANKS, SETTLEMENT], SETTLEMENT)
  for (const id of BANKS) {
    const at = net.bank(id)
    for (const name of ['cust', 'shop', 'hu-otp']) {
      openAccount(at, name, OPENING, name === 'hu-otp' ? { operatorId: 'hu-otp' } : {})
      for (const by of OPERATORS) giveMandate(at, mandateTerms(`${id}:${name}`, by, 600n))
    }
    net.bank(SETTLEMENT).control('fund-reserve', { bank: id, currency: 'EUR', amountMinor: '400' })
  }
  return net
}

type Order = {
  readonly bank: string
  readonly from: string
  readonly orderId: Uint8Array
  readonly debit: string | undefined
  readonly credit: string
  readonly amountMinor: bigint
}
type Placed = {
  readonly bank: string
  readonly account: string
  readonly amountMinor: bigint
  readonly expiresAtMs: number
}

const sentBy = (by: string): Sent => ({ from: by, role: 'cpp', operatorId: by })

const holdName = (bankId: string, hold: number): string => `${bankId} ${hold}`

/** What an observer of orders and answers knows. Order ids and hold ids come from a few numbers, so that they collide. */
const audit = (net: BankNetwork) => {
  const orders = new Map<string, Order>()
  const holds = new Map<string, Placed>()
  const act = (one: Step): void => {
    switch (one.do) {
      case 'hold': {
        const holdId = testId(holdName(one.bank, one.hold))
        const expiresAtMs = net.bank(one.bank).now() + one.lifeMs
        const body: Body<'hold-order'> = {
          holdId,
          account: one.account,
          amountMinor: one.amountMinor,
          currency: 'EUR',
          holdExpiresAtMs: expiresAtMs,
        }
        const [answer] = net.bank(one.bank).receive('hold-order', body, sentBy(one.by))
        if (answer?.kind === 'hold-answer' && answer.body.result === 'held' && !holds.has(toHex(holdId)))
          holds.set(toHex(holdId), { bank: one.bank, account: one.account, amountMinor: one.amountMinor, expiresAtMs })
        return
      }
      case 'post': {
        const holdId = testId(holdName(one.bank, one.hold))
        const placed = holds.get(toHex(holdId))
        const orderId = testId(`order ${one.order}`)
        const amount = one.amountMinor ?? placed?.amountMinor ?? 1n
        const body: Body<'post-order'> = {
          orderId,
          holdId,
          creditAccount: one.to,
          amountMinor: amount,
          currency: 'EUR',
          reference: { purpose: 'payment', id: orderId },
        }
        net.bank(one.bank).receive('post-order', body, sentBy(one.by))
        if (net.bank(one.bank).lastDecision()?.refuse === undefined && net.bank(one.bank).lastDecision() !== undefined)
          orders.set(`${one.bank} ${one.by} ${one.order}`, {
            bank: one.bank,
            from: one.by,
            orderId,
            debit: placed?.account,
            credit: one.to,
            amountMinor: amount,
          })
        return
      }
      case 'void':
        net
          .bank(one.bank)
          .receive(
            'void-order',
            { orderId: testId(`order ${one.order}`), holdId: testId(holdName(one.bank, one.hold)) },
            sentBy(one.by),
          )
        return
      case 'transfer': {
        const orderId = testId(`order ${one.order}`)
        const body: Body<'transfer-order'> = {
          orderId,
          debitAccount: one.from,
          creditAccount: one.to,
          amountMinor: one.amountMinor,
          currency: 'EUR',
          reference: { purpose: 'collection', id: orderId },
        }
        net.bank(one.bank).receive('transfer-order', body, sentBy(one.by))
        if (net.bank(one.bank).lastDecision()?.refuse === undefined && net.bank(one.bank).lastDecision() !== undefined)
          orders.set(`${one.bank} ${one.by} ${one.order}`, {
            bank: one.bank,
            from: one.by,
            orderId,
            debit: one.from,
            credit: one.to,
            amountMinor: one.amountMinor,
          })
        return
      }
      case 'deliver':
      case 'replay': {
        const pool = one.do === 'deliver' ? net.underway() : (net.underway(), net.history)
        const chosen = pool[one.index % Math.max(pool.length, 1)]
        if (chosen !== undefined) net.deliver(chosen, { loseAnswers: one.loseAnswers })
        return
      }
      case 'close':
        net.bank(one.bank).control('close-window-now')
        return
      case 'advance':
        net.bank(one.bank).advance(one.ms)
        return
      case 'fund':
        net
          .bank(SETTLEMENT)
          .control('fund-reserve', { bank: one.bank, currency: 'EUR', amountMinor: one.amountMinor.toString() })
    }
  }
  /** Opening balances and every order answered `booked`, nothing else. */
  const expectedBalances = (): ReadonlyMap<string, bigint> => {
    const balances = new Map<string, bigint>()
    const add = (name: string, sum: bigint): void => void balances.set(name, (balances.get(name) ?? 0n) + sum)
    for (const id of BANKS) for (const name of ['cust', 'shop', 'hu-otp']) add(`${id}:${name}`, OPENING)
    for (const { bank: id, from, orderId, debit, credit, amountMinor: sum } of orders.values()) {
      const sent = net.bank(id).ledger.sent.filter((message) => {
        if (!('kind' in message) || (message.kind !== 'transfer-answer' && message.kind !== 'post-answer')) return false
        return message.to === from && toHex(message.body.orderId) === toHex(orderId)
      })
      expect(sent).toHaveLength(1)
      const [answer] = sent
      if (answer === undefined || !('kind' in answer) || (answer.body as { result?: string }).result !== 'booked')
        continue
      expect(debit).toBeDefined()
      add(debit ?? '', -sum)
      add(credit, sum)
    }
    return balances
  }
  return { act, holds, expectedBalances }
}

const sum = (values: readonly bigint[]): bigint => values.reduce((total, value) => total + value, 0n)
const soundness = (net: BankNetwork): void => {
  for (const one of net.banks.values()) {
    const report = one.report()
    for (const total of report.totals)
      expect(total).toMatchObject({
        sumMinor: 0n,
        negativeHolderAccounts: 0,
        unbalancedEntries: 0,
        accountsOffJournal: 0,
        accountsOffHolds: 0,
      })
  }
  const holders = [...net.banks.values()].flatMap((one) =>
    one.report().totals.map(({ heldByHoldersMinor }) => heldByHoldersMinor),
  )
  const positions = [...net.banks.values()].flatMap((one) =>
    one.report().clearing.map(({ positionMinor }) => positionMinor),
  )
  const cleared = [...net.banks.values()].flatMap((one) => one.report().totals.map(({ clearedMinor }) => clearedMinor))
  // Whatever left the holders stands in a position or was cleared; nothing else exists.
  expect(sum(holders) + sum(positions) + sum(cleared)).toBe(OPENING * 9n)
}

describe('banks under random orders, loss, duplication, reordering and replay', () => {
  it('keep every cent at every step, and at rest every account is what the answers say', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
        const net = network()
        const { act, holds, expectedBalances } = audit(net)
        for (const one of steps) {
          act(one)
          soundness(net)
        }
        net.settle()
        for (const id of BANKS) net.bank(id).control('close-window-now')
        for (const id of BANKS)
          net.bank(SETTLEMENT).control('fund-reserve', { bank: id, currency: 'EUR', amountMinor: '1000000' })
        net.settle()
        // An order that was queued for want of reserves may have settled more than is owed by now: the rest goes back next window.
        for (const id of BANKS) net.bank(id).control('close-window-now')
        net.settle()
        soundness(net)

        expect(net.underway()).toEqual([])
        const expected = expectedBalances()
        for (const [name, balance] of expected)
          expect([name, net.bank(name.slice(0, name.indexOf(':'))).balance(name)]).toEqual([name, balance])
        for (const id of BANKS) {
          const at = net.bank(id)
          expect(at.report()).toMatchObject({ inTransit: { credits: 0, clearingOrders: 0 }, transit: [] })
          expect(at.report().clearing.every(({ positionMinor }) => positionMinor === 0n)).toBe(true)
          const { balanceMinor, fundedMinor } = net
            .bank(SETTLEMENT)
            .report()
            .reserves.find((row) => row.bank === id) ?? { balanceMinor: 0n, fundedMinor: 0n }
          expect(fundedMinor - balanceMinor).toBe(at.report().totals[0]?.clearedMinor ?? 0n)
          expect(at.ledger.rows(ORDERS).some(({ state }) => state === 'crediting')).toBe(false)
        }
        // A hold is still held exactly when it was answered `held`, its time is not over, and no post or void ended it.
        for (const [hex, { bank: id, expiresAtMs, account: name, amountMinor: held }] of holds) {
          const at = net.bank(id)
          const row = at.ledger.rows(HOLDS).find(({ holdId }) => toHex(holdId) === hex)
          expect(row?.order).toMatchObject({ account: name, amountMinor: held })
          expect(row?.state === 'held' && at.now() >= expiresAtMs).toBe(false)
        }
        for (const id of BANKS) net.bank(id).advance(1_000)
        for (const id of BANKS) expect(net.bank(id).report().totals[0]?.holdsMinor).toBe(0n)
      }),
      { numRuns: 120 },
    )
  })
})
