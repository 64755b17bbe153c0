/**
 * A data center that lies: what it may not do, and the code or rule that stops it. Everybody needs it for traffic and nobody
 * trusts it with money: it can keep a payment from being made, and no more.
 */
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { DELIVERED_AT_ONCE, LOST } from '../../../bus/simulated-bus.ts'
import { encodeBeside } from '../../../protocol/codec.ts'
import { failureCode, failureNumber } from '../../../protocol/failures.ts'
import { hash } from '../../../protocol/hash.ts'
import { networkIdOf, signingKeyFromSeed } from '../../../protocol/keys.ts'
import { issueProcessor } from '../../../protocol/statements.ts'
import { VALID_FROM, VALID_TO } from '../../../protocol/testing/sample-network.ts'
import { descriptionHashOf } from '../../merchant/invoice.ts'
import { payments, refusedRequests } from '../../cpp/state.ts'
import { NOTICES } from '../../mpp/state.ts'
import { PROCESSORS } from '../../data-center/state.ts'
import { bodyOf, flipped, kindOf, parsed, type MadeRequest } from '../testing/forge.ts'
import { codesAt, CREDENTIALS, nothingChanged, STORED_ANSWER } from '../testing/nothing-changed.ts'
import { HOSTS, NOTICE_LIFETIME_MS, OTHER_CPP, type Sent } from '../testing/world.ts'
import { FENCE, insiders, kindsFrom, LIARS, discord, type Insiders } from './testing/insiders.ts'

const ASKED = [...CREDENTIALS, ...STORED_ANSWER]
/** The realm's data center: what it is given to relay, it has. */
const LIAR = HOSTS.dc

let on: Insiders
beforeAll(async () => {
  on = await insiders('a lying data center')
}, 60_000)
afterEach(() => on.world.setFate(undefined))

const endOf = ({ cpp, prId }: MadeRequest): readonly unknown[] => {
  const { read } = on.sim.host(cpp).host()
  const row = read.get(payments, prId)
  if (row !== undefined) return [row.state, row.code === undefined ? undefined : failureCode(row.code)]
  const refused = read.get(refusedRequests, prId)
  return refused === undefined ? [] : ['refused', failureCode(refused.code)]
}
const asked = async (amountMinor: string, payee = 'hu-bakery'): Promise<MadeRequest> => {
  const request = on.forge.paymentRequest('hu-alice', await on.forge.invoice(payee, amountMinor))
  on.forge.request(request)
  await on.sim.run()
  return request
}
/** What the data center keeps to itself. */
const withhold = (which: (one: Sent) => boolean): void =>
  on.world.setFate((one) => (one.from === LIAR && which(one) ? LOST : DELIVERED_AT_ONCE))
const relayed = (kind: string, to: string): Sent => {
  const sent = on.world.sent.findLast((one) => kindOf(one) === kind && one.from === LIAR && one.to === to)
  if (sent === undefined) throw new Error(`no ${kind} went to ${to}`)
  return sent
}

describe('a data center that alters what it relays', () => {
  test.each([
    ['payment-notice', HOSTS.mpp],
    ['countersigned-decision', HOSTS.cpp],
    ['delayed-transfer-confirmation', HOSTS.mpp],
  ] as const)(
    'a data center that flips a bit of a %s is not believed: no answer, nothing changed',
    async (kind, to) => {
      withhold((one) => kindOf(one) === kind && one.to === to)
      const request = await asked('20')
      const { data } = relayed(kind, to)
      const places = Array.from({ length: Math.ceil(data.length / 5) }, (_, i) => i * 5)
      const caused = await nothingChanged(
        on.world,
        () => places.forEach((at) => on.forge.put(to, kind, LIAR, flipped(data, at))),
        ASKED,
      )
      const answers = kindsFrom(caused, to).filter((one) => one !== 'credential-query')
      expect([answers, codesAt(caused, to).length]).toEqual([[], places.length])
      on.world.setFate(undefined)
      await on.sim.advance(5_000, 500)
      expect(endOf(request)).toEqual(['confirmed', undefined])
    },
  )
  test('a data center that seals a message of its own in the name of a CPP is refused: KEY_NOT_OF_SENDER', async () => {
    await asked('21')
    const { bodyBytes } = parsed(relayed('payment-notice', HOSTS.mpp).data)
    const frame = on.sealed('payment-notice', on.honest(LIAR), { to: HOSTS.merchant, from: HOSTS.cpp }, bodyBytes)
    const caused = await nothingChanged(on.world, () => on.forge.put(HOSTS.mpp, 'payment-notice', LIAR, frame), ASKED)
    expect(codesAt(caused, HOSTS.mpp).at(-1)).toBe('KEY_NOT_OF_SENDER')
  })
  test('a data center that originates a notice in its own name is refused: WRONG_ROLE', async () => {
    const { bodyBytes } = parsed(relayed('payment-notice', HOSTS.mpp).data)
    const frame = on.sealed('payment-notice', on.honest(LIAR), { to: HOSTS.merchant }, bodyBytes)
    const caused = await nothingChanged(on.world, () => on.forge.put(HOSTS.mpp, 'payment-notice', LIAR, frame), ASKED)
    expect(codesAt(caused, HOSTS.mpp).at(-1)).toBe('WRONG_ROLE')
  })
})

describe('a data center that withholds', () => {
  test('a data center that drops everything for a while delays payments: each ends properly', async () => {
    on.world.setFate((one) => (one.from === LIAR || one.to === LIAR ? LOST : DELIVERED_AT_ONCE))
    const request = on.forge.paymentRequest('hu-alice', on.fenceInvoice(22n))
    on.forge.request(request)
    await on.sim.advance(NOTICE_LIFETIME_MS + 1_000, 1_000)
    expect(endOf(request)).toEqual(['expired', 'NOTICE_EXPIRED'])
    on.world.setFate(undefined)
    await on.sim.advance(30_000, 1_000)
    expect((await on.world.pay('hu-alice', 'hu-bakery', '23'))['outcome']).toBe('confirmed')
  })
  test('a data center that holds an approve back until too late gets the stored end: NOTICE_EXPIRED at both sides', async () => {
    withhold((one) => kindOf(one) === 'countersigned-decision')
    const request = await asked('24')
    await on.sim.advance(NOTICE_LIFETIME_MS + 1_000, 1_000)
    expect(endOf(request)).toEqual(['expired', 'NOTICE_EXPIRED'])
    on.world.setFate(undefined)
    await on.sim.advance(30_000, 1_000)
    const { pnId } = bodyOf('payment-notice', relayed('payment-notice', HOSTS.mpp).data)
    expect(on.sim.host(HOSTS.mpp).host().read.get(NOTICES, pnId)?.state).toBe('expired')
  })
  test("a data center that receipts an outcome it dropped does not end its resending: only the MPP's receipt does", async () => {
    withhold((one) => kindOf(one) === 'payment-outcome')
    const request = await asked('25', 'hu-quiet')
    await on.sim.advance(NOTICE_LIFETIME_MS + 1_000, 1_000)
    const outcome = parsed(on.forge.captured('payment-outcome', HOSTS.cpp).data)
    await nothingChanged(on.world, () => void on.say(LIAR, HOSTS.cpp, 'receipt', { digest: outcome.digest }), ASKED)
    on.world.setFate(undefined)
    await on.sim.advance(30_000, 1_000)
    const { pnId } = bodyOf('payment-outcome', relayed('payment-outcome', HOSTS.mpp).data)
    expect([endOf(request)[0], on.sim.host(HOSTS.mpp).host().read.get(NOTICES, pnId)?.state]).toEqual([
      'expired',
      'expired',
    ])
  })
  test('a data center that refuses a notice, or has no route for it, ends nothing: the payment is confirmed', async () => {
    withhold((one) => kindOf(one) === 'payment-notice')
    const request = await asked('26')
    const { digest } = parsed(on.forge.captured('payment-notice', HOSTS.cpp).data)
    const code = failureNumber('UNKNOWN_DESTINATION')
    await nothingChanged(
      on.world,
      () => {
        on.say(LIAR, HOSTS.cpp, 'refusal', { digest, code: failureNumber('REJECTED_BY_PAYEE'), detail: '' })
        on.say(LIAR, HOSTS.cpp, 'undeliverable', { digest, code, detail: '' })
      },
      ASKED,
    )
    on.world.setFate(undefined)
    await on.sim.advance(5_000, 500)
    expect(endOf(request)).toEqual(['confirmed', undefined])
  })
  test('a data center that sends everything twice and late changes nothing: one charge, one credit', async () => {
    on.world.setFate((one) => (one.from === LIAR ? { delaysMs: [0, 400, 900], overtake: true } : DELIVERED_AT_ONCE))
    const request = await asked('27')
    await on.sim.advance(5_000, 500)
    expect(endOf(request)).toEqual(['confirmed', undefined])
  })
})

describe('a data center that redirects', () => {
  test('a data center that takes a notice to another MPP gets it declined: TRANS_INVALID', async () => {
    withhold((one) => kindOf(one) === 'payment-notice')
    const request = await asked('30')
    const { data } = relayed('payment-notice', HOSTS.mpp)
    // It knows neither hop nor CPP, and asks its own data center first.
    for (let times = 0; times < 4; times++) {
      on.forge.put('at-mpp', 'payment-notice', LIAR, data)
      await on.sim.advance(1_000, 500)
    }
    const { pnId } = bodyOf('payment-notice', data)
    const row = on.sim.host('at-mpp').host().read.get(NOTICES, pnId)
    expect([row?.state, failureCode(row?.code ?? 0)]).toEqual(['declined', 'TRANS_INVALID'])
    // Its rejection is not believed either: the invoice names another MPP.
    expect(endOf(request)).toEqual(['notified', undefined])
    on.world.setFate(undefined)
    await on.sim.advance(3_000, 500)
    expect(endOf(request)).toEqual(['confirmed', undefined])
  })
  test('a data center that takes a notice past the MPP to the merchant host is refused: WRONG_PATH', async () => {
    await asked('31')
    const { data } = relayed('payment-notice', HOSTS.mpp)
    const caused = await nothingChanged(
      on.world,
      () => on.forge.put(HOSTS.merchant, 'payment-notice', LIAR, data),
      ASKED,
    )
    expect(codesAt(caused, HOSTS.merchant).at(-1)).toBe('WRONG_PATH')
  })
  test('a data center that takes a decision to another CPP is refused: WRONG_ADDRESSEE', async () => {
    const { data } = relayed('countersigned-decision', HOSTS.cpp)
    const caused = await nothingChanged(
      on.world,
      () => on.forge.put(OTHER_CPP, 'countersigned-decision', LIAR, data),
      ASKED,
    )
    expect(codesAt(caused, OTHER_CPP).at(-1)).toBe('WRONG_ADDRESSEE')
  })
  test('a data center that replays what it ever relayed changes nothing: the stored answers, or none', async () => {
    await on.sim.advance(20_000, 1_000)
    const old = on.world.sent.filter(
      (one) => one.from === LIAR && one.to !== LIAR && !kindOf(one).startsWith('credential'),
    )
    expect(old.length).toBeGreaterThan(20)
    await nothingChanged(on.world, () => old.forEach(on.forge.replay), ASKED)
  })
  test('a data center that hands a peer a message for a third realm brings it no further: no loop', async () => {
    const host = on.sim.host('at-dc-1').host()
    const policy = JSON.parse(host.policyJson()) as object
    const changed = host.setPolicy({ ...policy, peerRealms: ['hu', 'ro'] })
    await on.sim.run()
    expect(await changed).toMatchObject({ ok: true })
    const body = { ...bodyOf('payment-notice', relayed('payment-notice', HOSTS.mpp).data), payee: 'ro-cafe' }
    const frame = on.forge.frame('payment-notice', HOSTS.cpp, 'ro-shop-1', { ...body, pnId: on.forge.id() })
    // It has to ask for the keys first.
    expect((await on.world.pay('hu-alice', 'at-pub', '32'))['outcome']).toBe('confirmed')
    const counted = () => ['undeliverable', 'relayed'].map((name) => host.metrics.value(name as 'relayed'))
    const [undeliverable = 0, passed] = counted()
    on.forge.put('at-dc-1', 'payment-notice', LIAR, frame)
    await on.sim.run()
    expect(counted()).toEqual([undeliverable + 1, passed])
  })
})

describe('a data center that lies about who is who', () => {
  const record = (chain: readonly Uint8Array[], to: string = HOSTS.cpp): void =>
    void on.say(LIAR, to, 'credential-record', { chain: [...chain] })

  test("a data center that shows another's chain for a key brings nothing: the frame still waits, UNKNOWN_KEY", async () => {
    // Nobody has met this bank: its answer waits for its chain.
    const stranger = on.processor('bank', 'hu-vault')
    await on.join('bank', stranger)
    const body = { orderId: on.forge.id(), result: 'booked' } as const
    const caused = await nothingChanged(
      on.world,
      () => {
        on.say(stranger.id, HOSTS.cpp, 'transfer-answer', body)
        record(on.liars.bank.chain)
      },
      ASKED,
    )
    expect(codesAt(caused, HOSTS.cpp)).toEqual(['UNKNOWN_KEY'])
  })
  test('a data center that shows a chain of another network is refused: BROKEN_CHAIN', async () => {
    const root = signingKeyFromSeed(on.sim.engine, hash(new Uint8Array([9])))
    const { signing, sealing } = on.keysOf('hu-otp')
    const foreign = issueProcessor(
      on.sim.engine,
      {
        networkId: networkIdOf(root.publicKey),
        id: 'hu-otp',
        role: 'cpp',
        realm: 'hu',
        operatorId: 'hu-otp',
        algorithm: 'ed25519',
        signingKey: signing.publicKey,
        sealingKey: sealing.publicKey,
        notBeforeMs: VALID_FROM,
        notAfterMs: VALID_TO,
        serial: 1,
      },
      root,
    )
    const caused = await nothingChanged(on.world, () => record([foreign], HOSTS.mpp), ASKED)
    expect(codesAt(caused, HOSTS.mpp)).toEqual(['BROKEN_CHAIN'])
  })
  test("a data center that shows a CPP's wallet host as certified by another CPP, with keys of its own, reads nothing: the first certifier's chain stays", async () => {
    const posing = on.hostOf('customer', { ...on.keysOf('hu-eavesdropper'), id: HOSTS.customer }, on.liars.cpp)
    record(posing.chain)
    await on.sim.run()
    // The wallet opens what its CPP tells it: it was encrypted to the wallet's own key.
    expect((await on.world.pay('hu-alice', 'hu-bakery', '40'))['outcome']).toBe('confirmed')
  })
  test('a data center that names another merchant host for a payee brings nobody money: the wallet refuses its invoice, TRANS_INVALID', async () => {
    withhold((one) => kindOf(one) === 'payee-record')
    const since = on.world.sent.length
    let answer: unknown
    void on.sim
      .host(HOSTS.customer)
      .host()
      .command('pay', { customer: 'hu-carol', payee: 'hu-quiet', amountMinor: '41', currency: 'EUR' })
      .then((given) => {
        answer = given
      })
    await on.sim.run()
    const real = on.world.sent.slice(since).find((one) => kindOf(one) === 'payee-record')
    if (real === undefined) throw new Error('nobody looked up')
    const token = real.subject.split('.')[3] as string
    const said = bodyOf('payee-record', real.data)
    const frame = on.forge.frame('payee-record', LIAR, token, { ...said, host: LIARS.merchant })
    on.forge.put(token, 'payee-record', LIAR, frame)
    await on.sim.run()
    const offer = on.world.sent.slice(since).find((one) => kindOf(one) === 'offer-request' && one.to === LIARS.merchant)
    if (offer === undefined) throw new Error('the wallet asked nobody')
    const { purchaseToken, sealingKey } = bodyOf('offer-request', offer.data)
    const [description, salt] = ['a thing', on.forge.id()]
    const { chain } = bodyOf('transaction-details', on.fenceInvoice(41n))
    const trans = on.invoice(
      LIARS.merchant,
      FENCE,
      chain,
      41n,
      {
        descriptionHash: descriptionHashOf(salt, description),
      },
      token,
    )
    const beside = encodeBeside('transaction-details', { purchaseToken, description, salt })
    const carrier = on.forge.carry('transaction-details', LIARS.merchant, token, trans, sealingKey, beside)
    on.forge.put(token, 'transaction-details', LIARS.merchant, carrier)
    await on.sim.advance(1_000, 500)
    expect(answer).toMatchObject({ ok: true, value: { outcome: 'refused', code: 'TRANS_INVALID' } })
  })
  test('a data center that registers at a peer as of another realm is refused: KEY_NOT_OF_SENDER', async () => {
    const body = {
      registrationId: on.forge.id(),
      version: 99_999_999_999_999,
      chain: [...on.liars.dc.chain],
      accepts: [],
    }
    const caused = await nothingChanged(
      on.world,
      () => void on.say(LIAR, 'at-dc-1', 'processor-registration', body),
      ASKED,
    )
    expect(codesAt(caused, 'at-dc-1').at(-1)).toBe('KEY_NOT_OF_SENDER')
    expect(on.sim.host('at-dc-1').host().read.get(PROCESSORS, LIARS.dc)).toBeUndefined()
  })
})

test('after all of this every honest ledger agrees with every other', async () => {
  for (const cpp of ['hu-otp', 'hu-erste']) await on.world.must(cpp, 'settle-now')
  await on.sim.advance(60_000, 1_000)
  const seen = [
    'confirmed payments that a party to them does not hold',
    // The MPP that the notice was taken to: it declined it, and nobody tells it more. Nothing is locked there.
    'payments undecided at some node',
    'payments undecided by the reports',
  ]
  expect(await discord(on.world, seen)).toEqual([])
})
