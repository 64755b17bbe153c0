/**
 * A CPP that lies when it settles. Each test has a CPP of its own, so that each pair is new. Invariant: an MPP never pays out to
 * payees, nor back to a CPP, more than this CPP has paid in.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { failureCode, failureNumber } from '../../../protocol/failures.ts'
import type { Body } from '../../../protocol/kinds.ts'
import {
  appendLeaf,
  batchHash,
  EMPTY_RANGE,
  NO_PREVIOUS_BATCH,
  pairEntryLeaf,
  rangeRoot,
  type PairEntry,
} from '../../../protocol/mountain-range.ts'
import type { BankReport } from '../../runtime/reports.ts'
import { BATCHES, PAIRS, PAYEES, UNMATCHED } from '../../mpp/state.ts'
import { bodyOf, kindOf } from '../testing/forge.ts'
import { nothingChanged, STORED_ANSWER } from '../testing/nothing-changed.ts'
import { account, HOSTS } from '../testing/world.ts'
import { insiders, LIARS, discord, refusedBy, type Insiders } from './testing/insiders.ts'

let on: Insiders
let liars = 0
beforeAll(async () => {
  on = await insiders('a CPP that lies when it settles')
  // The MPP knows where each of them is to be paid: nothing but its rules keeps it from doing so.
  const host = on.sim.host(HOSTS.mpp).host()
  const policy = JSON.parse(host.policyJson()) as { readonly settlementAccounts: object }
  const theirs = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`hu-sharp-${i + 1}`, account('sharp')]))
  const settlementAccounts = { ...policy.settlementAccounts, ...theirs }
  const changed = host.setPolicy({ ...policy, settlementAccounts })
  await on.sim.run()
  expect(await changed).toMatchObject({ ok: true })
}, 60_000)

const balanceOf = (name: string): bigint => {
  const { accounts } = on.world.report(HOSTS.bank) as BankReport
  return accounts.find((row) => row.account === account(name))?.balanceMinor ?? 0n
}
const payeeRow = (payee: string) => {
  const row = on.sim.host(HOSTS.mpp).host().read.get(PAYEES, payee)
  if (row === undefined) throw new Error(`no payee ${payee}`)
  return row
}
/** Payable, on its way out, or out: what only a settled batch may bring. */
const releasedTo = (payee: string): bigint => {
  const { payableMinor, payingMinor, paidMinor } = payeeRow(payee)
  return payableMinor + payingMinor + paidMinor
}

/** A lying CPP with `amounts` guaranteed to the bakery, as it should, and what it may claim about them. */
const debtor = async (...amounts: readonly string[]) => {
  liars += 1
  const cpp = await on.newCpp(`hu-sharp-${liars}`)
  // Time for what the last test has left under way, and for every sender's allowance.
  await on.sim.advance(1_000, 500)
  const entries: PairEntry[] = []
  for (const amountMinor of amounts) {
    const of = cpp.notice(await on.forge.invoice('hu-bakery', amountMinor))
    expect(await cpp.notify(of)).toMatchObject({ decision: 'approve' })
    const body = cpp.guarantee(of, entries.length + 1)
    await cpp.tell('delayed-transfer-confirmation', of, body)
    entries.push(leafOf(body))
  }
  return { cpp, entries }
}
const leafOf = ({ pairSeq, pnId, payee, amountMinor, currency }: Body<'delayed-transfer-confirmation'>): PairEntry => ({
  pairSeq,
  type: 'dt',
  pnId,
  payee,
  amountMinor,
  currency,
})
const batchOf = (
  entries: readonly PairEntry[],
  more: Partial<Body<'settlement-batch'>> = {},
): Body<'settlement-batch'> => ({
  batchId: on.forge.id(),
  mpp: HOSTS.mpp,
  currency: 'EUR',
  seq: 1,
  prevHash: NO_PREVIOUS_BATCH,
  fromSeq: entries[0]?.pairSeq ?? 1,
  toSeq: entries.at(-1)?.pairSeq ?? 1,
  root: rangeRoot(entries.map(pairEntryLeaf).reduce(appendLeaf, EMPTY_RANGE)),
  totalMinor: entries.reduce((sum, { amountMinor }) => sum + amountMinor, 0n),
  ...more,
})
const settle = async (cpp: string, body: Body<'settlement-batch'>) => {
  const since = on.world.sent.length
  on.say(cpp, HOSTS.mpp, 'settlement-batch', body, { via: HOSTS.dc })
  await on.sim.run()
  const answer = on.world.sent
    .slice(since)
    .find((one) => one.from === HOSTS.mpp && kindOf(one).startsWith('settlement-'))
  const items =
    answer !== undefined && kindOf(answer) === 'settlement-dispute'
      ? bodyOf('settlement-dispute', answer.data).items
      : []
  return {
    answer: answer === undefined ? undefined : kindOf(answer),
    items: items.map((item) => ({ ...item, code: failureCode(item.code) })),
    row: on.sim.host(HOSTS.mpp).host().read.get(BATCHES, body.batchId),
  }
}
const rowOf = (batchId: Uint8Array) => on.sim.host(HOSTS.mpp).host().read.get(BATCHES, batchId)
const adjustmentOf = (pairSeq: number, amountMinor: bigint, disputedSeq: number): Body<'pair-adjustment'> => ({
  adjustmentId: on.forge.id(),
  mpp: HOSTS.mpp,
  currency: 'EUR',
  pairSeq,
  amountMinor,
  batchId: on.forge.id(),
  disputedSeq,
})
const adjustmentLeaf = ({ pairSeq, amountMinor, currency }: Body<'pair-adjustment'>): PairEntry => ({
  pairSeq,
  type: 'adjustment',
  pnId: null,
  payee: null,
  amountMinor,
  currency,
})
const pairOf = (cpp: string) => on.sim.host(HOSTS.mpp).host().read.get(PAIRS, cpp, 'EUR')
/** A real transfer of the lying CPP's own money to the MPP. */
const pay = async (batchId: Uint8Array, amountMinor: bigint): Promise<void> => {
  on.say(LIARS.cpp, HOSTS.bank, 'transfer-order', {
    orderId: on.forge.id(),
    debitAccount: account('sharp'),
    creditAccount: account('cosmo'),
    amountMinor,
    currency: 'EUR',
    reference: { purpose: 'settlement', id: batchId },
  })
  await on.sim.run()
}

/** What an attack may not bring anybody: money of the MPP, or of the bakery's without money of the CPP. */
const nothingGained = async (act: () => Promise<void>): Promise<void> => {
  const before = [balanceOf('cosmo'), balanceOf('sharp'), releasedTo('hu-bakery')]
  await act()
  await on.sim.advance(10_000, 1_000)
  expect([balanceOf('cosmo'), balanceOf('sharp'), releasedTo('hu-bakery')]).toEqual(before)
}

describe('a CPP that claims money back', () => {
  test('a CPP whose batch claims a negative total over positive entries is paid nothing: ROOT_MISMATCH', async () => {
    const { cpp, entries } = await debtor('200')
    await nothingGained(async () => {
      const { answer, items, row } = await settle(cpp.id, batchOf(entries, { totalMinor: -500_000n }))
      expect([answer, items.map(({ code }) => code)]).toEqual(['settlement-dispute', ['ROOT_MISMATCH']])
      expect(row).toMatchObject({ state: 'failed', code: 'ROOT_MISMATCH' })
    })
  })
  test('a CPP that adjusts what nobody disputed, and claims the sum, is paid nothing: ENTRY_MISMATCH', async () => {
    const { cpp } = await debtor()
    const body = adjustmentOf(1, -500_000n, 1)
    await nothingGained(async () => {
      on.say(cpp.id, HOSTS.mpp, 'pair-adjustment', body, { via: HOSTS.dc })
      await on.sim.run()
      const { items, row } = await settle(cpp.id, batchOf([adjustmentLeaf(body)]))
      expect(items.map(({ code }) => code)).toEqual(['ENTRY_MISMATCH'])
      expect(row).toMatchObject({ state: 'failed', code: 'ROOT_MISMATCH' })
    })
  })
  test('a CPP that adjusts far below what was disputed is paid nothing beyond what it overpaid: ROOT_MISMATCH', async () => {
    const { cpp } = await debtor()
    const of = cpp.notice(await on.forge.invoice('hu-quiet', '90'))
    const guarantee = cpp.guarantee(of, 1)
    await cpp.tell('delayed-transfer-confirmation', of, guarantee)
    const first = batchOf([leafOf(guarantee)])
    await settle(cpp.id, first)
    await pay(first.batchId, 90n)
    expect(pairOf(cpp.id)).toMatchObject({ surplusMinor: 90n })
    const body = adjustmentOf(2, -91n, 1)
    await nothingGained(async () => {
      on.say(cpp.id, HOSTS.mpp, 'pair-adjustment', body, { via: HOSTS.dc })
      await on.sim.run()
      const prevHash = batchHash(NO_PREVIOUS_BATCH, { ...first, cpp: cpp.id, mpp: HOSTS.mpp })
      const { row } = await settle(cpp.id, batchOf([adjustmentLeaf(body)], { seq: 2, prevHash }))
      expect(row).toMatchObject({ state: 'failed', code: 'ROOT_MISMATCH' })
    })
  })
})

describe('a CPP that settles less than it owes', () => {
  test('a CPP that claims a total of nothing brings its payees nothing: ROOT_MISMATCH, and CPP_DEFAULTED in time', async () => {
    const { cpp, entries } = await debtor('210')
    await nothingGained(async () => {
      const { items, row } = await settle(cpp.id, batchOf(entries, { totalMinor: 0n }))
      expect(items.map(({ code }) => code)).toEqual(['ROOT_MISMATCH'])
      expect(row).toMatchObject({ state: 'owed' })
    })
    expect(pairOf(cpp.id)?.receivableMinor).toBe(210n)
    await on.sim.advance(86_400_000, 43_200_000)
    const of = cpp.notice(await on.forge.invoice('hu-bakery', '211'))
    const decided = await cpp.notify(of)
    expect(failureCode(decided?.code ?? 0)).toBe('CPP_DEFAULTED')
    await cpp.end(of)
  })
  test('a CPP that claims and pays too small a total releases nothing: the credit is kept for the operator', async () => {
    const { cpp, entries } = await debtor('220')
    const body = batchOf(entries, { totalMinor: 1n })
    expect((await settle(cpp.id, body)).items.map(({ code }) => code)).toEqual(['ROOT_MISMATCH'])
    const before = releasedTo('hu-bakery')
    await pay(body.batchId, 1n)
    expect([releasedTo('hu-bakery'), rowOf(body.batchId)?.state]).toEqual([before, 'owed'])
    expect([...on.sim.host(HOSTS.mpp).host().read.scan(UNMATCHED, [])].at(-1)?.[1]).toMatchObject({ amountMinor: 1n })
  })
  test("a CPP that pays another sum than the batch's total releases nothing: the credit is kept for the operator", async () => {
    const { cpp, entries } = await debtor('230')
    const body = batchOf(entries)
    expect((await settle(cpp.id, body)).answer).toBe('settlement-acceptance')
    const before = releasedTo('hu-bakery')
    await pay(body.batchId, 229n)
    expect([releasedTo('hu-bakery'), rowOf(body.batchId)?.state]).toEqual([before, 'owed'])
  })
  test('a CPP that offsets what it owes by an adjustment nobody called for releases nothing: ENTRY_MISMATCH', async () => {
    const { cpp, entries } = await debtor('240')
    const offset = adjustmentOf(2, -239n, 1)
    on.say(cpp.id, HOSTS.mpp, 'pair-adjustment', offset, { via: HOSTS.dc })
    await on.sim.run()
    const body = batchOf([...entries, adjustmentLeaf(offset)])
    expect((await settle(cpp.id, body)).items.map(({ code }) => code)).toEqual(['ENTRY_MISMATCH'])
    const before = releasedTo('hu-bakery')
    await pay(body.batchId, 1n)
    expect([releasedTo('hu-bakery'), rowOf(body.batchId)?.state]).toEqual([before, 'owed'])
  })
  test('a CPP that lowers its debt so, to be trusted with more, is not: CREDIT_LIMIT', async () => {
    const { cpp } = await debtor('250')
    const offset = adjustmentOf(2, -10_000_000n, 1)
    on.say(cpp.id, HOSTS.mpp, 'pair-adjustment', offset, { via: HOSTS.dc })
    await on.sim.run()
    const limit = on.sim.host(HOSTS.mpp).host()
    const policy = JSON.parse(limit.policyJson()) as Record<string, unknown>
    const lowered = limit.setPolicy({ ...policy, creditLimitMinor: { [cpp.id]: '300' } })
    await on.sim.run()
    expect(await lowered).toMatchObject({ ok: true })
    const of = cpp.notice(await on.forge.invoice('hu-bakery', '251'))
    const decided = await cpp.notify(of)
    expect(failureCode(decided?.code ?? 0)).toBe('CREDIT_LIMIT')
    await cpp.end(of)
  })
  test('a CPP that hides an entry until its batch is settled for nothing releases nothing: ENTRY_MISSING', async () => {
    const { cpp } = await debtor()
    const of = cpp.notice(await on.forge.invoice('hu-bakery', '260'))
    await cpp.notify(of)
    const hidden = cpp.guarantee(of, 1)
    const body = batchOf([leafOf(hidden)], { totalMinor: 0n })
    await settle(cpp.id, body)
    await refuseToShow(cpp.id)
    expect(rowOf(body.batchId)?.items?.map(({ code }) => failureCode(code))).toEqual(['ENTRY_MISSING'])
    expect(rowOf(body.batchId)?.state).toBe('settled')
    await nothingGained(async () => void (await cpp.tell('delayed-transfer-confirmation', of, hidden)))
    expect(pairOf(cpp.id)?.receivableMinor).toBe(260n)
  })
})

/** The lying CPP's answer to the MPP's last request for entries: these frames. */
const show = async (cpp: string, frames: readonly Uint8Array[]): Promise<void> => {
  const asked = on.world.sent.findLast((one) => one.to === cpp && kindOf(one) === 'missing-entries-request')
  if (asked === undefined) throw new Error('nobody asked')
  const { requestId, currency } = bodyOf('missing-entries-request', asked.data)
  on.say(cpp, HOSTS.mpp, 'missing-entries', { requestId, currency, entries: [...frames] }, { via: HOSTS.dc })
  await on.sim.run()
}
const refuseToShow = (cpp: string): Promise<void> => show(cpp, [])

describe('a CPP whose chain of batches lies', () => {
  test('a CPP that claims an entry it never sent is disputed: ENTRY_MISSING', async () => {
    const { cpp, entries } = await debtor('300')
    const never = { ...(entries[0] as PairEntry), pairSeq: 2, pnId: on.forge.id(), amountMinor: 7n }
    const body = batchOf([...entries, never])
    await settle(cpp.id, body)
    await refuseToShow(cpp.id)
    expect(rowOf(body.batchId)?.items).toMatchObject([{ pairSeq: 2, code: failureNumber('ENTRY_MISSING') }])
  })
  test("a CPP that shows another CPP's entry as its own is disputed: ENTRY_MISSING", async () => {
    await on.world.pay('hu-carol', 'hu-bakery', '305')
    const theirs = on.forge.captured('delayed-transfer-confirmation', 'hu-erste')
    const { cpp } = await debtor()
    const body = batchOf([{ ...leafOf(bodyOf('delayed-transfer-confirmation', theirs.data)), pairSeq: 1 }])
    await settle(cpp.id, body)
    await show(cpp.id, [theirs.data])
    expect(rowOf(body.batchId)?.items).toMatchObject([{ pairSeq: 1, code: failureNumber('ENTRY_MISSING') }])
    expect(pairOf(cpp.id)).toMatchObject({ receivableMinor: 0n, held: 0 })
  })
  test('a CPP whose root lies is disputed: ROOT_MISMATCH', async () => {
    const { cpp, entries } = await debtor('310')
    const { answer, items } = await settle(cpp.id, batchOf(entries, { root: new Uint8Array(32).fill(1) }))
    expect([answer, items.map(({ code }) => code)]).toEqual(['settlement-dispute', ['ROOT_MISMATCH']])
  })

  const refused: readonly (readonly [string, string, Partial<Body<'settlement-batch'>>, readonly string[]])[] = [
    ['breaks the hash chain', 'BATCH_CHAIN_BROKEN', { seq: 2, prevHash: new Uint8Array(32).fill(2) }, []],
    ['overlaps the last batch', 'BATCH_CHAIN_BROKEN', { seq: 2, fromSeq: 1, toSeq: 2 }, []],
    ['leaves entries out', 'BATCH_CHAIN_BROKEN', { seq: 2, fromSeq: 3, toSeq: 3 }, []],
    ['is sent a second time under a new id', 'BATCH_CHAIN_BROKEN', { seq: 1 }, []],
    ['runs ahead', 'BATCH_OUT_OF_ORDER', { seq: 3 }, []],
    ["is of another MPP's pair", 'WRONG_ADDRESSEE', { seq: 2, mpp: 'at-mpp' }, []],
  ]
  test.each(refused)('a CPP whose batch %s is refused: %s', async (_, code, more) => {
    const { cpp, entries } = await debtor('320', '321')
    const first = batchOf(entries.slice(0, 1))
    await settle(cpp.id, first)
    const prevHash = batchHash(NO_PREVIOUS_BATCH, { ...first, cpp: cpp.id, mpp: HOSTS.mpp })
    const caused = await nothingChanged(
      on.world,
      async () => void (await settle(cpp.id, batchOf(entries.slice(1), { prevHash, ...more }))),
      STORED_ANSWER,
    )
    expect(refusedBy(caused, HOSTS.mpp)).toEqual([code])
  })
  test("a CPP that gives a batch another CPP's id is refused: ID_REUSED", async () => {
    const one = await debtor('330')
    const first = batchOf(one.entries)
    await settle(one.cpp.id, first)
    const other = await debtor('331')
    const caused = await nothingChanged(
      on.world,
      async () => void (await settle(other.cpp.id, batchOf(other.entries, { batchId: first.batchId }))),
      STORED_ANSWER,
    )
    expect(refusedBy(caused, HOSTS.mpp)).toEqual(['ID_REUSED'])
  })
})

test('after all of this every honest ledger agrees with every other', async () => {
  for (const cpp of ['hu-otp', 'hu-erste']) await on.world.must(cpp, 'settle-now')
  await on.sim.advance(30_000, 1_000)
  const seen = ['confirmed payments that a party to them does not hold']
  expect(await discord(on.world, seen)).toEqual([])
})
