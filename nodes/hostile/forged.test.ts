/** Frames made with real keys that say what they may not, and commands with amounts that are none: a code each, and nothing changed. */
import { Packr } from 'msgpackr'
import { beforeAll, describe, expect, test } from 'vitest'
import { MAX_PAYMENT_MINOR } from '../../protocol/amount.ts'
import { encodeBody } from '../../protocol/codec.ts'
import { failureCode, type FailureCode } from '../../protocol/failures.ts'
import type { Body, KindName } from '../../protocol/kinds.ts'
import { formatSubject } from '../../protocol/subjects.ts'
import { customers, payments, refusedRequests } from '../cpp/state.ts'
import { bodyOf, flipped, forgery, kindOf, parsed, placeOf, refusalsOf, type Forgery } from './testing/forge.ts'
import {
  codesAt,
  CREDENTIALS,
  noMoneyMoved,
  nothingChanged,
  REFUSED_PAYMENT,
  STORED_ANSWER,
} from './testing/nothing-changed.ts'
import { HOSTS, hostileWorld, NOTICE_LIFETIME_MS, OTHER_CPP, type World } from './testing/world.ts'

/** Keys that a host has to ask its data center for. */
const ASKED = [...CREDENTIALS, ...STORED_ANSWER]
const BANK_ACCOUNT = `${HOSTS.bank}:alice`

let world: World
let forge: Forgery
beforeAll(async () => {
  world = await hostileWorld()
  forge = forgery(world, 'forged')
  for (const [payee, amountMinor] of [
    ['hu-bakery', '120'],
    ['hu-bakery', '2500'],
    ['at-pub', '2700'],
    ['hu-cheap', '700'],
    ['hu-bakery', '950'],
  ] as const)
    await world.pay('hu-alice', payee, amountMinor)
  for (const cpp of [HOSTS.cpp, OTHER_CPP]) await world.must(cpp, 'settle-now')
  await world.sim.advance(60_000)
}, 120_000)

const endOf = ({ cpp, prId }: { readonly cpp: string; readonly prId: Uint8Array }): readonly unknown[] => {
  const { read } = world.sim.host(cpp).host()
  const row = read.get(payments, prId)
  if (row !== undefined) return [row.state, row.code === undefined ? undefined : failureCode(row.code)]
  const refused = read.get(refusedRequests, prId)
  return refused === undefined ? [] : ['refused', failureCode(refused.code)]
}

describe('the same business id with other content', () => {
  type Change = { readonly [K in KindName]?: (body: Body<K>) => Body<K> }
  const more = <B extends { readonly amountMinor: bigint }>(body: B): B => ({
    ...body,
    amountMinor: body.amountMinor + 1n,
  })
  const CHANGES = {
    'payment-notice': (body) => ({ ...body, mode: body.mode === 'micro' ? 'macro' : 'micro' }),
    'payment-decision': (body) => ({ ...body, decision: 'reject', code: 6013 }),
    'countersigned-decision': ({ pnId, payee, noticeDigest }) => ({
      pnId,
      payee,
      noticeDigest,
      decision: 'reject',
      code: 6013,
    }),
    'delayed-transfer-confirmation': more,
    'transfer-confirmation': more,
    'payment-outcome': (body) => ({ ...body, outcome: 'failed' }),
    'hold-order': more,
    'post-order': more,
    'transfer-order': more,
    'transfer-answer': (body) => ({ ...body, result: 'refused', code: 7002 }),
    'hold-answer': (body) => ({ ...body, result: 'refused', code: 7002 }),
    'post-answer': (body) => ({ ...body, result: 'refused', code: 7002 }),
    'account-notice': more,
    'interbank-credit': more,
    'settlement-batch': (body) => ({ ...body, totalMinor: body.totalMinor + 1n }),
    'settlement-acceptance': (body) => ({ ...body, batchHash: new Uint8Array(32) }),
    'payout-advice': more,
    'payee-registration': (body) => ({ ...body, state: 'retired' }),
    'mandate-registration': (body) => ({ ...body, mandate: body.mandate.slice(1) }),
  } satisfies Change

  test.each(Object.keys(CHANGES) as (keyof typeof CHANGES)[])('%s: ID_REUSED', async (kind) => {
    // To the last hop: what was relayed to it before bears the originator's seal.
    const original =
      world.sent.findLast((one) => kindOf(one) === kind && one.to !== HOSTS.dc) ??
      world.sent.findLast((one) => kindOf(one) === kind)
    if (original === undefined) throw new Error(`nobody sent a ${kind}`)
    const { header } = parsed(original.data)
    const change = CHANGES[kind] as (body: Body<KindName>) => Body<KindName>
    const forged = forge.frame<KindName>(
      kind,
      String(header.from),
      header.to,
      change(bodyOf<KindName>(kind, original.data)),
    )
    const host = world.sim.host(original.to).host()
    const before = host.metrics.value('idReused')
    const caused = await nothingChanged(world, () => forge.replay({ ...original, data: forged }))
    expect(host.metrics.value('idReused')).toBe(before + 1)
    // Where the registry has a way back, the sender is told.
    expect(refusalsOf(caused.sent, original.to).every((code) => code === 'ID_REUSED')).toBe(true)
  })

  test('payment-request: ID_REUSED, by the customer of the first and by another', async () => {
    const first = forge.paymentRequest('hu-alice', await forge.invoice('hu-bakery', '110'))
    forge.request(first)
    await world.sim.run()
    expect(endOf(first)).toEqual(['confirmed', undefined])
    await world.sim.advance(20_000)
    const trans = await forge.invoice('hu-bakery', '111')
    for (const [customer, added] of [
      ['hu-alice', []],
      ['hu-bob', STORED_ANSWER],
    ] as const) {
      const second = forge.paymentRequest(customer, trans, { prId: first.prId })
      const caused = await nothingChanged(world, () => forge.request(second), added)
      expect([customer, refusalsOf(caused.sent, HOSTS.cpp)]).toEqual([customer, ['ID_REUSED']])
    }
  })
})

describe('amounts', () => {
  const NO_AMOUNTS: readonly unknown[] = [
    '0',
    '-1',
    '1.5',
    '1e3',
    '',
    0,
    -1,
    1.5,
    120,
    null,
    String(MAX_PAYMENT_MINOR + 1n),
    '9'.repeat(40),
  ]
  test.each(NO_AMOUNTS.map((amountMinor) => [amountMinor]))(
    '%j at the control socket: AMOUNT_INVALID',
    async (amountMinor) => {
      const refused = { ok: false, code: 'AMOUNT_INVALID' }
      await nothingChanged(world, async () => {
        const bought = { customer: 'hu-alice', payee: 'hu-bakery', currency: 'EUR' }
        expect(await world.command(HOSTS.customer, 'pay', { ...bought, amountMinor })).toMatchObject(refused)
        const asked = { payee: 'hu-bakery', alias: 'hu-alice-pays' }
        expect(await world.command(HOSTS.merchant, 'request-payment', { ...asked, amountMinor })).toMatchObject(refused)
      })
    },
  )
  test('a currency that is none at the control socket: SCHEMA_VIOLATION', async () => {
    const args = { customer: 'hu-alice', payee: 'hu-bakery', amountMinor: '120', currency: 'XXX' }
    await nothingChanged(world, async () => {
      expect(await world.command(HOSTS.customer, 'pay', args)).toMatchObject({ ok: false, code: 'SCHEMA_VIOLATION' })
    })
  })
  test('a currency that the payee does not take: CURRENCY_UNSUPPORTED, and no processor hears of it', async () => {
    const args = { customer: 'hu-alice', payee: 'hu-bakery', amountMinor: '120', currency: 'USD' }
    const before = world.sent.length
    const ended = { ok: true, outcome: 'refused', code: 'CURRENCY_UNSUPPORTED' }
    expect(await world.command(HOSTS.customer, 'pay', args)).toMatchObject(ended)
    const told = new Set(world.sent.slice(before).map(({ to }) => to))
    expect([HOSTS.cpp, HOSTS.mpp, HOSTS.bank].filter((host) => told.has(host))).toEqual([])
    expect(told.has(HOSTS.merchant)).toBe(true)
  })

  const packr = new Packr({ useRecords: false, variableMapSize: true, int64AsType: 'bigint' })
  const WIRE: readonly (readonly [string, unknown, FailureCode])[] = [
    ['zero', 0, 'SCHEMA_VIOLATION'],
    ['negative', -1, 'SCHEMA_VIOLATION'],
    ['a fraction', 1.5, 'FLOAT_FORBIDDEN'],
    ['a whole float', 2 ** 40, 'FLOAT_FORBIDDEN'],
    ['over the limit', MAX_PAYMENT_MINOR + 1n, 'SCHEMA_VIOLATION'],
    ['text', '120', 'SCHEMA_VIOLATION'],
  ]
  test.each(WIRE)('%s in a hold order: a refusal', async (_name, amountMinor, code) => {
    const body = { holdId: forge.id(), account: BANK_ACCOUNT, amountMinor, currency: 'EUR', holdExpiresAtMs: 1 }
    const frame = forge.raw('hold-order', HOSTS.cpp, HOSTS.bank, new Uint8Array(packr.pack(body)))
    const caused = await nothingChanged(world, () => forge.put(HOSTS.bank, 'hold-order', HOSTS.cpp, frame))
    expect(codesAt(caused, HOSTS.bank)).toEqual([code])
    expect(refusalsOf(caused.sent, HOSTS.bank)).toEqual([code])
  })
  test.each(WIRE)("%s in an invoice with the merchant host's own seal: TRANS_INVALID", async (_name, amountMinor) => {
    const invoice = await forge.invoice('hu-bakery', '112')
    const { header } = parsed(invoice)
    const body = { ...bodyOf('transaction-details', invoice), txId: forge.id(), amountMinor }
    const trans = forge.raw('transaction-details', HOSTS.merchant, header.to, new Uint8Array(packr.pack(body)))
    const request = forge.paymentRequest('hu-alice', trans)
    await nothingChanged(world, () => forge.request(request), REFUSED_PAYMENT)
    expect(endOf(request)).toEqual(['refused', 'TRANS_INVALID'])
  })
  test('an invoice in a currency in which the customer has no account: CURRENCY_UNSUPPORTED', async () => {
    const invoice = await forge.invoice('hu-bakery', '113')
    const { header } = parsed(invoice)
    const body = { ...bodyOf('transaction-details', invoice), currency: 'USD' } as const
    const request = forge.paymentRequest(
      'hu-alice',
      forge.frame('transaction-details', HOSTS.merchant, header.to, body),
    )
    await nothingChanged(world, () => forge.request(request), REFUSED_PAYMENT)
    expect(endOf(request)).toEqual(['refused', 'CURRENCY_UNSUPPORTED'])
  })
  test('an invoice over another amount than its order: the payee rejects it, AMOUNT_INVALID', async () => {
    const invoice = await forge.invoice('hu-bakery', '114')
    const { header } = parsed(invoice)
    const body = { ...bodyOf('transaction-details', invoice), amountMinor: 1n }
    const frame = forge.frame('transaction-details', HOSTS.merchant, header.to, body)
    const request = forge.paymentRequest('hu-alice', frame)
    await noMoneyMoved(world, async () => {
      forge.request(request)
      await world.sim.advance(NOTICE_LIFETIME_MS)
    })
    expect(endOf(request)).toEqual(['rejected', 'AMOUNT_INVALID'])
  })
})

describe('who may say what to whom', () => {
  const order = (): Body<'hold-order'> => ({
    holdId: forge.id(),
    account: BANK_ACCOUNT,
    amountMinor: 100n,
    currency: 'EUR',
    holdExpiresAtMs: world.sim.now() + 60_000,
  })
  const notice = (): Body<'payment-notice'> => ({
    ...bodyOf('payment-notice', forge.captured('payment-notice', HOSTS.cpp).data),
    pnId: forge.id(),
  })
  type Case = readonly [
    name: string,
    code: FailureCode,
    to: string,
    kind: KindName,
    via: string,
    frame: () => Uint8Array,
  ]
  const CASES: readonly Case[] = [
    [
      'a hold ordered by an MPP',
      'WRONG_ROLE',
      HOSTS.bank,
      'hold-order',
      HOSTS.mpp,
      () => forge.frame('hold-order', HOSTS.mpp, HOSTS.bank, order()),
    ],
    [
      'a hold ordered by a merchant host',
      'WRONG_ROLE',
      HOSTS.bank,
      'hold-order',
      HOSTS.merchant,
      () => forge.frame('hold-order', HOSTS.merchant, HOSTS.bank, order()),
    ],
    [
      "a confirmation made by the payee's MPP",
      'WRONG_ROLE',
      HOSTS.merchant,
      'delayed-transfer-confirmation',
      HOSTS.mpp,
      () =>
        forge.frame('delayed-transfer-confirmation', HOSTS.mpp, HOSTS.merchant, {
          ...bodyOf('delayed-transfer-confirmation', forge.captured('delayed-transfer-confirmation', HOSTS.cpp).data),
          pnId: forge.id(),
        }),
    ],
    [
      'a settlement batch made by a bank',
      'WRONG_ROLE',
      HOSTS.mpp,
      'settlement-batch',
      HOSTS.bank,
      () =>
        forge.frame('settlement-batch', HOSTS.bank, HOSTS.mpp, {
          ...bodyOf('settlement-batch', forge.captured('settlement-batch', HOSTS.cpp).data),
          batchId: forge.id(),
        }),
    ],
    [
      'a notice straight from the CPP to the MPP',
      'WRONG_PATH',
      HOSTS.mpp,
      'payment-notice',
      HOSTS.cpp,
      () => forge.frame('payment-notice', HOSTS.cpp, HOSTS.mpp, notice()),
    ],
    [
      'a notice straight from the CPP to the merchant host',
      'WRONG_PATH',
      HOSTS.merchant,
      'payment-notice',
      HOSTS.cpp,
      () => forge.frame('payment-notice', HOSTS.cpp, HOSTS.merchant, notice()),
    ],
    [
      "another CPP that brings a CPP's hold order",
      'WRONG_PATH',
      HOSTS.bank,
      'hold-order',
      OTHER_CPP,
      () => forge.frame('hold-order', HOSTS.cpp, HOSTS.bank, order()),
    ],
    [
      'a hold order that is for another bank',
      'WRONG_ADDRESSEE',
      HOSTS.bank,
      'hold-order',
      HOSTS.cpp,
      () => forge.frame('hold-order', HOSTS.cpp, 'at-bank', order()),
    ],
    [
      'a hold order on the subject of transfers',
      'WRONG_SUBJECT',
      HOSTS.bank,
      'transfer-order',
      HOSTS.cpp,
      () => forge.frame('hold-order', HOSTS.cpp, HOSTS.bank, order()),
    ],
    [
      'a hold order of another network',
      'WRONG_NETWORK',
      HOSTS.bank,
      'hold-order',
      HOSTS.cpp,
      () => forge.frame('hold-order', HOSTS.cpp, HOSTS.bank, order(), { networkId: new Uint8Array(16).fill(7) }),
    ],
    [
      "one CPP's hold order in another's name",
      'KEY_NOT_OF_SENDER',
      HOSTS.bank,
      'hold-order',
      HOSTS.cpp,
      () => forge.raw('hold-order', OTHER_CPP, HOSTS.bank, encodeBody('hold-order', order()), { from: HOSTS.cpp }),
    ],
    [
      'a hold order from the far future',
      'CLOCK_SKEW',
      HOSTS.bank,
      'hold-order',
      HOSTS.cpp,
      () => forge.frame('hold-order', HOSTS.cpp, HOSTS.bank, order(), { sentAtMs: world.sim.now() + 30_001 }),
    ],
    [
      'a hold order that has expired',
      'MESSAGE_EXPIRED',
      HOSTS.bank,
      'hold-order',
      HOSTS.cpp,
      () => forge.frame('hold-order', HOSTS.cpp, HOSTS.bank, order(), { expiresAtMs: world.sim.now() }),
    ],
  ]
  test.each(CASES)('%s: %s', async (_name, code, to, kind, via, frame) => {
    const caused = await nothingChanged(world, () => forge.put(to, kind, via, frame()), ASKED)
    expect(codesAt(caused, to).filter((one) => one !== 'UNKNOWN_KEY')).toEqual([code])
  })

  test('and the broker would not have carried it', async () => {
    await using broker = world.sim.network.broker('mpp', HOSTS.mpp)
    const events: string[] = []
    const bus = await broker.openHost({ onEvent: ({ type }) => events.push(type) })
    const to = { toRole: 'bank', toHost: HOSTS.bank, kind: 'hold-order' } as const
    const caused = await nothingChanged(world, () => {
      for (const fromHost of [HOSTS.mpp, HOSTS.cpp])
        bus.publish(formatSubject({ ...to, fromHost }), forge.frame('hold-order', HOSTS.cpp, HOSTS.bank, order()))
    })
    expect(caused.sent).toEqual([])
    expect(events.filter((type) => type === 'permission-error')).toHaveLength(2)
  })

  test('one flipped bit anywhere in a frame: dropped without an answer; the frame itself is obeyed', async () => {
    const frame = forge.frame('hold-order', HOSTS.cpp, HOSTS.bank, order())
    const { headerBytes, bodyBytes, seal } = parsed(frame)
    const put = (bytes: Uint8Array): void => forge.put(HOSTS.bank, 'hold-order', HOSTS.cpp, bytes)
    const all = Array.from(frame, (_, at) => at)
    const caused = await nothingChanged(world, () => all.forEach((at) => put(flipped(frame, at))), ASKED)
    expect(caused.sent.filter(({ from }) => from === HOSTS.bank).map(kindOf)).toEqual(
      caused.sent.filter(({ from }) => from === HOSTS.bank).map(() => 'credential-query'),
    )
    expect(codesAt(caused, HOSTS.bank)).toHaveLength(frame.length)
    const body = placeOf(frame, bodyBytes)
    const keyId = placeOf(frame, seal.keyId)
    const signature = placeOf(frame, seal.signature)
    const network = placeOf(frame, parsed(frame).header.networkId)
    for (const [at, code] of [
      [network, 'WRONG_NETWORK'],
      [placeOf(frame, headerBytes) + headerBytes.length - 1, 'BAD_SIGNATURE'],
      [body, 'BAD_SIGNATURE'],
      [body + bodyBytes.length - 1, 'BAD_SIGNATURE'],
      [keyId, 'UNKNOWN_KEY'],
      [signature, 'BAD_SIGNATURE'],
      [signature + 63, 'BAD_SIGNATURE'],
    ] as const)
      expect([at, codesAt(caused, HOSTS.bank)[at]]).toEqual([at, code])
    const held = () => world.sim.host(HOSTS.bank).host().metrics.value('journalled')
    const before = held()
    put(frame)
    await world.sim.run()
    expect(held()).toBe(before + 1)
    await world.sim.advance(70_000)
  })
})

describe('the PIN', () => {
  const rowOf = (customer: string) => {
    const row = world.sim.host(HOSTS.cpp).host().read.get(customers, customer)
    if (row === undefined) throw new Error('no customer')
    return row
  }
  test('a wrong one counts once for all copies of its frame; the third one locks', async () => {
    const trans = await forge.invoice('hu-bakery', '115')
    const wrong = forge.paymentRequest('hu-bob', trans, { pin: '0000' })
    for (let copy = 0; copy < 5; copy++) forge.request(wrong)
    await world.sim.run()
    expect(endOf(wrong)).toEqual(['refused', 'WRONG_PIN'])
    expect(rowOf('hu-bob')).toMatchObject({ wrongPins: 1, pinLockedAtMs: 0 })
    const caused = await nothingChanged(world, () => forge.request(wrong))
    expect(caused.sent.filter(({ from }) => from === HOSTS.cpp).map(kindOf)).toEqual(['customer-payment-outcome'])
    for (const count of [2, 3]) {
      forge.request(forge.paymentRequest('hu-bob', trans, { pin: '0000' }))
      await world.sim.run()
      expect(rowOf('hu-bob').wrongPins).toBe(count)
    }
    const right = forge.paymentRequest('hu-bob', trans)
    await nothingChanged(world, () => forge.request(right), REFUSED_PAYMENT)
    expect(endOf(right)).toEqual(['refused', 'PIN_LOCKED'])
    // Nobody but bob is locked out, and the invoice is as payable as before.
    const other = forge.paymentRequest('hu-alice', trans)
    forge.request(other)
    await world.sim.run()
    expect(endOf(other)).toEqual(['confirmed', undefined])
  })
})
