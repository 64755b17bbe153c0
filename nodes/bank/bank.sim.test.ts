/**
 * Banks on the runtime itself: sealed frames, real mandates, directory, outbox, ledger; with messages lost and doubled, and a
 * bank that loses power in the middle. Judged by the checks that `verify` uses.
 */
import { describe, expect, it } from 'vitest'
import { LOST } from '../../bus/simulated-bus.ts'
import { toHex, utf8 } from '../../protocol/bytes.ts'
import { hash } from '../../protocol/hash.ts'
import { networkIdOf, signingKeyFromSeed } from '../../protocol/keys.ts'
import { issueMandate } from '../../protocol/statements.ts'
import { dataCenter } from '../data-center/definition.ts'
import { bareDefinition } from '../runtime/bare-definition.ts'
import { decision, put, type Message } from '../runtime/node.ts'
import type { BankReport } from '../runtime/reports.ts'
import { createSimNetwork, SIM_START_MS, type SimNetwork } from '../runtime/sim-network.ts'
import { defineTable, keyOf } from '../runtime/table.ts'
import { testId } from '../runtime/testing.ts'
import { checkNetwork } from '../verify/check-network.ts'
import { defineBank } from './define.ts'

type AnswerRow = { readonly kind: string; readonly result: string; readonly code?: number }
const answers = defineTable<AnswerRow>({ name: 'answers', version: 1, fields: ['kind', 'result', 'code'] })

const keyOfOrder = (message: Message): Uint8Array => {
  const body = message.body as Readonly<Record<string, Uint8Array>>
  return (body['orderId'] ?? body['registrationId'] ?? body['holdId']) as Uint8Array
}
/** A processor that orders what it is told and notes what it is answered. */
const orderer = () => {
  const queue: Message[] = []
  const note = (
    _read: unknown,
    { message }: { readonly message: { readonly kind: string; readonly body: object } },
  ) => {
    const body = message.body as { readonly result: string; readonly code?: number }
    const id = keyOfOrder(message as Message)
    return decision({ writes: [put(answers, keyOf(id), { kind: message.kind, ...body })], forget: [['order', id]] })
  }
  const definition = bareDefinition('cpp', {
    tables: [answers],
    controls: {
      order: () => {
        const message = queue.shift()
        return decision(message === undefined ? {} : { sends: [message], reply: 'ordered' })
      },
    },
    messages: {
      'hold-answer': note,
      'post-answer': note,
      'void-answer': note,
      'transfer-answer': note,
      'mandate-answer': note,
    },
  })
  return { queue, definition }
}

const BANKS = ['hu-kh', 'ro-carpat', 'hu-settle'] as const

const start = async () => {
  const sim = createSimNetwork({ seed: 'banks' })
  await sim.add({ id: 'hu-dc-1', role: 'dc', define: dataCenter, policy: { peerRealms: ['ro'] } })
  await sim.add({ id: 'ro-dc-1', role: 'dc', define: dataCenter, policy: { peerRealms: ['hu'] } })
  for (const id of BANKS)
    await sim.add({
      id,
      role: 'bank',
      define: defineBank,
      policy: { dataCenters: ['hu-dc-1', 'ro-dc-1'], settlementBank: 'hu-settle', clearing: { windowMs: 2_000 } },
    })
  const { queue, definition } = orderer()
  await sim.add({ id: 'hu-otp', role: 'cpp', define: () => definition })
  // A CPP registers itself; this one is a stand-in, so its chain is told to the directory by hand.
  const registration: Message = {
    kind: 'processor-registration',
    to: 'hu-dc-1',
    nextHop: { role: 'dc', host: 'hu-dc-1' },
    body: {
      registrationId: testId('cpp'),
      version: 1,
      chain: [...(sim.host('hu-otp').identity.chains[0] ?? [])],
      accepts: [],
    },
    delivery: { until: ['registration'] },
  }
  await sim.run()
  const order = async (message: Message) => {
    queue.push(message)
    expect(await sim.command('hu-otp', 'order')).toMatchObject({ ok: true })
  }
  await order(registration)
  const answerTo = (id: Uint8Array) => sim.host('hu-otp').host().read.get(answers, id)
  return { sim, order, answerTo }
}

const holder = (sim: SimNetwork) => signingKeyFromSeed(sim.engine, hash(utf8('holder of the accounts')))
const open = (sim: SimNetwork, account: string, balanceMinor: string, more = {}) =>
  sim.command(account.slice(0, account.indexOf(':')), 'open-account', {
    account,
    holderKey: toHex(holder(sim).publicKey),
    currency: 'EUR',
    balanceMinor,
    ...more,
  })
const mandate = (sim: SimNetwork, signedBy = holder(sim)): Message => ({
  kind: 'mandate-registration',
  to: 'hu-kh',
  body: {
    registrationId: testId(`mandate ${toHex(signedBy.publicKey)}`),
    mandate: issueMandate(
      sim.engine,
      {
        networkId: networkIdOf(sim.root.publicKey),
        account: 'hu-kh:cust',
        operatorId: 'hu-otp',
        limitMinor: 5_000n,
        currency: 'EUR',
        notBeforeMs: SIM_START_MS - 1,
        notAfterMs: SIM_START_MS + 86_400_000,
        serial: 1,
      },
      signedBy,
    ),
  },
  delivery: { until: ['order', testId(`mandate ${toHex(signedBy.publicKey)}`)] },
})
const transfer = (name: string, creditAccount: string, amountMinor: bigint, debitAccount = 'hu-kh:cust'): Message => ({
  kind: 'transfer-order',
  to: 'hu-kh',
  body: {
    orderId: testId(name),
    debitAccount,
    creditAccount,
    amountMinor,
    currency: 'EUR',
    reference: { purpose: 'settlement', id: testId(name) },
  },
  delivery: { until: ['order', testId(name)] },
})
const reportOf = (sim: SimNetwork, id: string): BankReport => {
  const answer = sim.host(id).host().ask('report', {})
  if (!answer.ok) throw new Error(answer.error.detail)
  return answer.value as BankReport
}
const failing = (sim: SimNetwork) =>
  checkNetwork(
    BANKS.map((id) => reportOf(sim, id)),
    new Map(),
    { quiet: true },
  ).filter(({ ok }) => !ok)
const balance = (sim: SimNetwork, account: string) =>
  reportOf(sim, account.slice(0, account.indexOf(':'))).accounts.find((row) => row.account === account)?.balanceMinor

const prepare = async () => {
  const network = await start()
  const { sim, order, answerTo } = network
  await open(sim, 'hu-kh:cust', '10000')
  await open(sim, 'ro-carpat:shop', '0')
  for (const bank of ['hu-kh', 'ro-carpat'])
    expect(
      await sim.command('hu-settle', 'fund-reserve', { bank, currency: 'EUR', amountMinor: '50000' }),
    ).toMatchObject({ ok: true })
  const thief = mandate(sim, signingKeyFromSeed(sim.engine, hash(utf8('thief'))))
  await order(thief)
  await sim.advance(2_000)
  expect(answerTo(keyOfOrder(thief))).toMatchObject({ result: 'refused', code: 7010 })
  await order(mandate(sim))
  await sim.advance(1_000)
  expect(answerTo(keyOfOrder(mandate(sim)))).toMatchObject({ result: 'accepted' })
  return network
}

describe('banks on the runtime', () => {
  it('register, take a mandate only from the holder, transfer between banks, clear and balance', async () => {
    const { sim, order, answerTo } = await prepare()
    expect(BANKS.map((id) => sim.host(id).host().ready())).toEqual([true, true, true])
    await order(transfer('one', 'ro-carpat:shop', 1_500n))
    await order(transfer('returned', 'ro-carpat:nobody', 100n))
    await order(transfer('too much', 'ro-carpat:shop', 5_001n))
    await sim.advance(6_000)
    expect(answerTo(testId('one'))).toMatchObject({ kind: 'transfer-answer', result: 'booked' })
    expect(answerTo(testId('returned'))).toMatchObject({ result: 'refused', code: 7009 })
    expect(answerTo(testId('too much'))).toMatchObject({ result: 'refused', code: 7004 })
    expect([balance(sim, 'hu-kh:cust'), balance(sim, 'ro-carpat:shop')]).toEqual([8_500n, 1_500n])
    expect(reportOf(sim, 'hu-settle').reserves.map(({ balanceMinor }) => balanceMinor)).toEqual([48_500n, 51_500n])
    expect(failing(sim)).toEqual([])
  })

  it.each([1, 2, 3])('lose and double messages, lose power, and end the same: seed %i', async (seed) => {
    const { sim, order, answerTo } = await prepare()
    let n = seed * 7
    const lost = new Map<string, number>()
    sim.setOnSend(({ subject }) => {
      n = (n * 31 + 11) % 97
      const dropped = lost.get(subject) ?? 0
      if (n % 3 === 0 && dropped < 3) {
        lost.set(subject, dropped + 1)
        return LOST
      }
      return n % 5 === 0 ? { delaysMs: [0, 40] } : { delaysMs: [n % 7] }
    })
    for (let i = 0; i < 8; i++) {
      await order(transfer(`t${i}`, i % 3 === 2 ? 'ro-carpat:nobody' : 'ro-carpat:shop', 100n + BigInt(i)))
      await sim.advance(300, 50)
      if (i === 3 || i === 5) {
        const bank = sim.host(i === 3 ? 'hu-kh' : 'ro-carpat')
        await bank.crash()
        await sim.advance(500)
        await bank.restart()
      }
    }
    await sim.advance(60_000, 500)
    sim.setOnSend(undefined)
    await sim.advance(60_000, 500)
    const results = Array.from({ length: 8 }, (_, i) => answerTo(testId(`t${i}`))?.result)
    expect(results).toEqual(Array.from({ length: 8 }, (_, i) => (i % 3 === 2 ? 'refused' : 'booked')))
    const paid = [0n, 1n, 3n, 4n, 6n, 7n].reduce((sum, i) => sum + 100n + i, 0n)
    expect([balance(sim, 'hu-kh:cust'), balance(sim, 'ro-carpat:shop')]).toEqual([10_000n - paid, paid])
    expect(reportOf(sim, 'hu-settle').reserves.map(({ balanceMinor }) => balanceMinor)).toEqual([
      50_000n - paid,
      50_000n + paid,
    ])
    expect(failing(sim)).toEqual([])
    expect([...lost.values()].reduce((sum, one) => sum + one, 0)).toBeGreaterThan(5)
  })
})
