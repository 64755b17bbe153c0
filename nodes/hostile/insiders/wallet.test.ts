/**
 * A wallet host or a customer that lies, and whoever captured a payment request: what they may not do, and the code or rule that
 * stops it. A wallet host holds the device keys of its own customers, who trust it; nobody else does.
 */
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { concat } from '../../../protocol/bytes.ts'
import { failureCode } from '../../../protocol/failures.ts'
import { hash } from '../../../protocol/hash.ts'
import { signingKeyFromSeed } from '../../../protocol/keys.ts'
import type { Body } from '../../../protocol/kinds.ts'
import { derivePinKeySync } from '../../../protocol/pin.ts'
import { sealOne } from '../../../protocol/seals.ts'
import { issueMandate } from '../../../protocol/statements.ts'
import { makeContent } from '../../../protocol/envelope.ts'
import { customers, ledger, payments, refusedRequests } from '../../cpp/state.ts'
import type { CppReport } from '../../runtime/reports.ts'
import { bodyOf, flipped, kindOf, parsed, placeOf, type MadeRequest } from '../testing/forge.ts'
import { codesAt, CREDENTIALS, nothingChanged, REFUSED_PAYMENT, STORED_ANSWER } from '../testing/nothing-changed.ts'
import { account, HOSTS, NOTICE_LIFETIME_MS, OTHER_CPP, PIN } from '../testing/world.ts'
import { insiders, kindsFrom, LIARS, MALLORY, discord, refusedBy, type Insiders } from './testing/insiders.ts'

const ASKED = [...CREDENTIALS, ...STORED_ANSWER]
const LIAR = LIARS.customer

let on: Insiders
beforeAll(async () => {
  on = await insiders('a lying wallet host')
}, 60_000)

const endOf = ({ cpp, prId }: Pick<MadeRequest, 'cpp' | 'prId'>): readonly unknown[] => {
  const { read } = on.sim.host(cpp).host()
  const row = read.get(payments, prId)
  if (row !== undefined) return [row.state, row.code === undefined ? undefined : failureCode(row.code)]
  const refused = read.get(refusedRequests, prId)
  return refused === undefined ? [] : ['refused', failureCode(refused.code)]
}
const owedBy = (customer: string): bigint => {
  const row = on.sim.host(HOSTS.cpp).host().read.get(ledger, customer)
  return row?.kind === 0 ? row.outstandingMinor + row.pendingMinor : -1n
}
/** Puts a payment request on the inbox of a CPP as if this host had published it. */
const put = (frame: Uint8Array, via: string = HOSTS.customer, cpp: string = HOSTS.cpp): void =>
  on.forge.put(cpp, 'payment-request', via, frame)
/** What the CPP logged of what it did not obey; nothing changed anywhere. */
const unheard = async (act: () => void, cpp: string = HOSTS.cpp): Promise<readonly string[]> => {
  const caused = await nothingChanged(on.world, act, ASKED)
  expect(kindsFrom(caused, cpp).filter((kind) => kind !== 'refusal' && kind !== 'credential-query')).toEqual([])
  return [...new Set(codesAt(caused, cpp))]
}

const placesOf = (bytes: Uint8Array, step: number): readonly number[] =>
  Array.from({ length: Math.ceil(bytes.length / step) }, (_, i) => i * step)

describe('a captured payment request', () => {
  let trans: Uint8Array
  let captured: MadeRequest
  beforeEach(async () => {
    trans = await on.forge.invoice('hu-bakery', '10')
    captured = on.forge.paymentRequest('hu-alice', trans)
  })
  /** Paid by its customer, once. */
  const paid = async (): Promise<void> => {
    put(captured.frame)
    await on.sim.run()
    expect(endOf(captured)).toEqual(['confirmed', undefined])
  }

  test('resent: the stored answer, and one charge', async () => {
    const before = owedBy('hu-alice')
    await paid()
    const caused = await nothingChanged(on.world, () => put(captured.frame))
    expect(kindsFrom(caused, HOSTS.cpp)).toEqual(['customer-delayed-transfer-confirmation'])
    expect(owedBy('hu-alice')).toBe(before + 10n)
  })
  test('resent after everything in it has expired: the stored answer, and one charge', async () => {
    await paid()
    await on.sim.advance(20 * 60_000, 60_000)
    const caused = await nothingChanged(on.world, () => put(captured.frame))
    expect(kindsFrom(caused, HOSTS.cpp)).toEqual(['customer-delayed-transfer-confirmation'])
  })
  test('withheld, and sent after it has expired: MESSAGE_EXPIRED', async () => {
    await on.sim.advance(20 * 60_000, 60_000)
    const caused = await nothingChanged(on.world, () => put(captured.frame), STORED_ANSWER)
    expect(codesAt(caused, HOSTS.cpp)).toEqual(['MESSAGE_EXPIRED'])
    expect(endOf(captured)).toEqual([])
  })
  test('withheld, and sent after the wallet asked and was told that it is nothing: WITHDRAWN', async () => {
    const query = { prId: captured.prId, transExpiresAtMs: on.sim.now() }
    const inner = sealOne(
      makeContent(on.forge.header('payment-query', 'hu-alice', HOSTS.cpp), on.encode('payment-query', query)),
      on.forge.device('hu-alice'),
    )
    on.forge.put(
      HOSTS.cpp,
      'payment-query',
      HOSTS.customer,
      on.forge.carry('payment-query', HOSTS.customer, HOSTS.cpp, inner),
    )
    await on.sim.run()
    expect(endOf(captured)).toEqual(['refused', 'WITHDRAWN'])
    await nothingChanged(on.world, () => put(captured.frame), STORED_ANSWER)
    expect(endOf(captured)).toEqual(['refused', 'WITHDRAWN'])
  })
  test('from another wallet host, as it was captured: WRONG_PATH', async () => {
    expect(await unheard(() => put(captured.frame, LIAR))).toEqual(['WRONG_PATH'])
    expect(endOf(captured)).toEqual([])
  })
  test("from another wallet host, in that host's own carrier: KEY_NOT_OF_SENDER", async () => {
    const carrier = on.forge.carry('payment-request', LIAR, HOSTS.cpp, captured.inner)
    expect(await unheard(() => put(carrier, LIAR))).toEqual(['KEY_NOT_OF_SENDER'])
    expect(endOf(captured)).toEqual([])
  })
  test('with another TRANS in its bytes: BAD_SIGNATURE', async () => {
    const other = await on.forge.invoice('hu-bakery', '10')
    expect(other.length).toBe(trans.length)
    const at = placeOf(captured.inner, trans)
    const spliced = concat(captured.inner.slice(0, at), other, captured.inner.slice(at + trans.length))
    const carrier = on.forge.carry('payment-request', HOSTS.customer, HOSTS.cpp, spliced)
    expect(await unheard(() => put(carrier))).toEqual(['BAD_SIGNATURE'])
  })
  test('with another TRANS, sealed anew by who has the device but not the PIN: WRONG_PIN', async () => {
    const before = owedBy('hu-alice')
    const { pinProof: proof } = bodyOf('payment-request', captured.inner)
    const other = await on.forge.invoice('hu-bakery', '11')
    for (const [prId, code] of [
      [on.forge.id(), 'WRONG_PIN'],
      [captured.prId, 'WRONG_PIN'],
    ] as const) {
      const inner = sealOne(
        makeContent(
          on.forge.header('payment-request', 'hu-alice', HOSTS.cpp),
          on.encode('payment-request', { prId, trans: other, pinProof: proof }),
        ),
        on.forge.device('hu-alice'),
      )
      put(on.forge.carry('payment-request', HOSTS.customer, HOSTS.cpp, inner))
      await on.sim.run()
      expect(endOf({ cpp: HOSTS.cpp, prId })).toEqual(['refused', code])
    }
    expect(owedBy('hu-alice')).toBe(before)
    await on.world.must(HOSTS.cpp, 'unlock-customer', { customer: 'hu-alice' })
  })
  test('with another TRANS under the id of one that was paid: ID_REUSED', async () => {
    await paid()
    const other = on.forge.paymentRequest('hu-alice', await on.forge.invoice('hu-bakery', '11'), {
      prId: captured.prId,
    })
    expect(await unheard(() => put(other.frame))).toEqual([])
    const caused = await nothingChanged(on.world, () => put(other.frame), STORED_ANSWER)
    expect(refusedBy(caused, HOSTS.cpp)).toEqual(['ID_REUSED'])
    expect(endOf(captured)).toEqual(['confirmed', undefined])
  })
  test('to another CPP, as it was captured: DECRYPTION_FAILED', async () => {
    expect(await unheard(() => put(captured.frame, HOSTS.customer, OTHER_CPP), OTHER_CPP)).toEqual([
      'DECRYPTION_FAILED',
    ])
  })
  test('to another CPP, carried to it anew: UNKNOWN_KEY', async () => {
    const carrier = on.forge.carry('payment-request', HOSTS.customer, OTHER_CPP, captured.inner)
    expect(await unheard(() => put(carrier, HOSTS.customer, OTHER_CPP), OTHER_CPP)).toEqual(['UNKNOWN_KEY'])
  })
  test('to another CPP of the same customer and device: WRONG_ADDRESSEE', async () => {
    await enrol({ customer: MALLORY, cpp: OTHER_CPP, at: LIAR, deviceKey: on.device.publicKey, of: 'mallory' })
    const mine = on.mallorysRequest(trans)
    const carrier = on.forge.carry('payment-request', LIAR, OTHER_CPP, mine.inner)
    expect(await unheard(() => put(carrier, LIAR, OTHER_CPP), OTHER_CPP)).toEqual(['WRONG_ADDRESSEE'])
    expect(endOf({ cpp: OTHER_CPP, prId: mine.prId })).toEqual([])
  })
  test('encrypted to a sealing key that its CPP no longer has: DECRYPTION_FAILED', async () => {
    const old = on.sim.engine.sealing.publicKeyOf(hash(new Uint8Array(32)))
    const carrier = on.forge.carry('payment-request', HOSTS.customer, HOSTS.cpp, captured.inner, old)
    expect(await unheard(() => put(carrier))).toEqual(['DECRYPTION_FAILED'])
  })
  test('with one bit flipped, in every second byte: a code, no charge; the request itself is obeyed', async () => {
    const bits = placesOf(captured.frame, 2).map((at) => flipped(captured.frame, at))
    const codes = await unheard(() => bits.forEach((bytes) => put(bytes)))
    expect(codes).toEqual(expect.arrayContaining(['BAD_SIGNATURE', 'WRONG_NETWORK', 'MALFORMED_FRAME', 'UNKNOWN_KEY']))
    expect(endOf(captured)).toEqual([])
    await paid()
  })
  test('with one bit flipped in what the device sealed, in every fifth byte, carried anew: a code, no charge', async () => {
    const bits = placesOf(captured.inner, 5).map((at) => flipped(captured.inner, at))
    const codes = await unheard(() =>
      bits.forEach((bytes) => {
        let carrier: Uint8Array
        try {
          carrier = on.forge.carry('payment-request', HOSTS.customer, HOSTS.cpp, bytes)
        } catch {
          return
        }
        put(carrier)
      }),
    )
    expect(codes).toEqual(expect.arrayContaining(['BAD_SIGNATURE', 'UNKNOWN_KEY']))
    expect(endOf(captured)).toEqual([])
  })
})

type Enrolment = {
  readonly customer: string
  readonly cpp?: string
  readonly at?: string
  readonly deviceKey?: Uint8Array
  readonly of: string
  readonly mandate?: Uint8Array
  readonly alias?: string
}
/** → the code with which the CPP refused it; undefined when it did not. */
const enrol = async ({
  customer,
  cpp = HOSTS.cpp,
  at = LIAR,
  deviceKey,
  of,
  mandate,
  alias,
}: Enrolment): Promise<string | undefined> => {
  if (cpp !== HOSTS.cpp) {
    const liar = on.hostOf('customer', on.keysOf(at), on.honest(cpp))
    on.say(at, cpp, 'host-registration', { registrationId: on.forge.id(), chain: [...liar.chain] })
    await on.sim.run()
  }
  const since = on.world.sent.length
  on.whisper(at, cpp, 'customer-enrolment', {
    enrolmentId: on.forge.id(),
    customer,
    deviceKey: deviceKey ?? signingKeyFromSeed(on.sim.engine, hash(on.forge.id())).publicKey,
    pinKey: derivePinKeySync(PIN, customer, cpp),
    account: account(of),
    currency: 'EUR',
    mandate: mandate ?? on.mandateOf(account(of), cpp),
    ...(alias === undefined ? {} : { alias }),
  })
  await on.sim.run()
  return refusedBy({ sent: on.world.sent.slice(since) }, cpp)[0]
}

describe('a wallet host that enrols what is not its own', () => {
  const rowOf = (customer: string) => on.sim.host(HOSTS.cpp).host().read.get(customers, customer)

  test("a wallet host that enrols another host's customer is refused: NAME_TAKEN", async () => {
    const before = rowOf('hu-alice')
    expect(await enrol({ customer: 'hu-alice', of: 'mallory' })).toBe('NAME_TAKEN')
    expect(await enrol({ customer: 'hu-alice', of: 'alice', ...(before && { deviceKey: before.deviceKey }) })).toBe(
      'NAME_TAKEN',
    )
    expect(rowOf('hu-alice')).toEqual(before)
  })
  test("a wallet host that enrols a customer with another's account, unsigned by its holder, is refused: ENROLMENT_REFUSED", async () => {
    const mandate = issueMandate(
      on.sim.engine,
      {
        networkId: on.networkId,
        account: account('bob'),
        operatorId: HOSTS.cpp,
        limitMinor: 1_000_000n,
        currency: 'EUR',
        notBeforeMs: on.sim.now() - 1_000,
        notAfterMs: on.sim.now() + 86_400_000,
        serial: 2,
      },
      on.world.holder(account('mallory')),
    )
    expect(await enrol({ customer: 'hu-thief', of: 'bob', mandate })).toBe('ENROLMENT_REFUSED')
    expect(rowOf('hu-thief')).toBeUndefined()
  })
  test("a wallet host that enrols a customer with another's account by that customer's own mandate is refused: ENROLMENT_REFUSED", async () => {
    expect(await enrol({ customer: 'hu-thief', of: 'bob' })).toBe('ENROLMENT_REFUSED')
    expect(rowOf('hu-thief')).toBeUndefined()
  })
  test("a wallet host that enrols a customer under another's alias is refused: NAME_TAKEN", async () => {
    await on.world.open(account('eve'))
    expect(await enrol({ customer: 'hu-eve', of: 'eve', alias: 'hu-bob-pays' })).toBe('NAME_TAKEN')
    expect(rowOf('hu-eve')).toBeUndefined()
  })
  test('a wallet host that another CPP certified is refused: ENROLMENT_REFUSED', async () => {
    const stranger = on.hostOf('customer', on.keysOf('hu-wallet-7'), on.liars.cpp)
    await on.join('customer', stranger)
    const chain = [...stranger.chain]
    const caused = await nothingChanged(
      on.world,
      () => void on.say(stranger.id, HOSTS.cpp, 'host-registration', { registrationId: on.forge.id(), chain }),
      ASKED,
    )
    expect(refusedBy(caused, HOSTS.cpp)).toEqual(['ENROLMENT_REFUSED'])
    expect(await enrol({ customer: 'hu-frank', at: stranger.id, of: 'mallory' })).toBe('ENROLMENT_REFUSED')
    expect(rowOf('hu-frank')).toBeUndefined()
  })
  test("a wallet host that replaces another host's customer's device without an operator's word is refused: ENROLMENT_REFUSED", async () => {
    const before = rowOf('hu-alice')
    const caused = await nothingChanged(
      on.world,
      () =>
        on.whisper(LIAR, HOSTS.cpp, 'device-replacement', {
          changeId: on.forge.id(),
          customer: 'hu-alice',
          deviceKey: on.device.publicKey,
          pinProof: new Uint8Array(32),
          authorization: on.mandateOf(account('alice'), HOSTS.cpp),
        }),
      ASKED,
    )
    expect(refusedBy(caused, HOSTS.cpp)).toEqual(['ENROLMENT_REFUSED'])
    expect(rowOf('hu-alice')).toEqual(before)
  })
})

describe('a customer that pays as somebody else', () => {
  const asAlice = async (key = on.device, host: string = LIAR): Promise<Uint8Array> =>
    on.forge.paymentRequest('hu-alice', await on.forge.invoice('hu-bakery', '12'), { key, host }).frame

  test("a customer that signs another's request with the own device is refused: UNKNOWN_KEY", async () => {
    const frame = await asAlice()
    expect(await unheard(() => put(frame, LIAR))).toEqual(['UNKNOWN_KEY'])
  })
  test("a wallet host that carries another host's customer is refused: KEY_NOT_OF_SENDER", async () => {
    const frame = await asAlice(on.forge.device('hu-alice'))
    expect(await unheard(() => put(frame, LIAR))).toEqual(['KEY_NOT_OF_SENDER'])
  })
  test('a customer whose frame is carried by another host than its own is refused: KEY_NOT_OF_SENDER', async () => {
    const request = on.mallorysRequest(await on.forge.invoice('hu-bakery', '12'), { host: HOSTS.customer })
    expect(await unheard(() => put(request.frame))).toEqual(['KEY_NOT_OF_SENDER'])
  })
  test('and no guess made so counts as a wrong PIN: only authentic frames lock', async () => {
    const wrongPins = () => on.sim.host(HOSTS.cpp).host().read.get(customers, 'hu-alice')?.wrongPins
    const before = wrongPins()
    const frames = [await asAlice(), await asAlice(), await asAlice(), await asAlice()]
    await unheard(() => frames.forEach((frame) => put(frame, LIAR)))
    expect(wrongPins()).toBe(before)
  })
  test('a customer that guesses a PIN under ids new and old is locked after the third new one: PIN_LOCKED', async () => {
    const trans = await on.forge.invoice('hu-bakery', '13')
    const wrong = () => on.mallorysRequest(trans, { pin: '0000' })
    const [first, second, third] = [wrong(), wrong(), wrong()]
    for (const { frame } of [first, first, second, first, second, third]) put(frame, LIAR)
    await on.sim.run()
    expect(on.sim.host(HOSTS.cpp).host().read.get(customers, MALLORY)).toMatchObject({ wrongPins: 3 })
    const right = on.mallorysRequest(trans)
    await nothingChanged(on.world, () => put(right.frame, LIAR), REFUSED_PAYMENT)
    expect(endOf(right)).toEqual(['refused', 'PIN_LOCKED'])
    await on.world.must(HOSTS.cpp, 'unlock-customer', { customer: MALLORY })
  })
  test("a customer that asks what became of another's payment learns nothing: NOT_FOUND", async () => {
    const theirs = on.forge.paymentRequest('hu-alice', await on.forge.invoice('hu-bakery', '14'))
    put(theirs.frame)
    await on.sim.run()
    const query = { prId: theirs.prId, transExpiresAtMs: 1 }
    const inner = sealOne(
      makeContent(on.forge.header('payment-query', MALLORY, HOSTS.cpp), on.encode('payment-query', query)),
      on.device,
    )
    const carrier = on.forge.carry('payment-query', LIAR, HOSTS.cpp, inner)
    const caused = await nothingChanged(on.world, () => on.forge.put(HOSTS.cpp, 'payment-query', LIAR, carrier), ASKED)
    expect(refusedBy(caused, HOSTS.cpp)).toEqual(['NOT_FOUND'])
  })
  test("a customer that takes another's payment id is refused: ID_REUSED", async () => {
    const theirs = on.forge.paymentRequest('hu-alice', await on.forge.invoice('hu-bakery', '15'))
    put(theirs.frame)
    await on.sim.run()
    const mine = on.mallorysRequest(await on.forge.invoice('hu-bakery', '16'), { prId: theirs.prId })
    const caused = await nothingChanged(on.world, () => put(mine.frame, LIAR), STORED_ANSWER)
    expect(refusedBy(caused, HOSTS.cpp)).toEqual(['ID_REUSED'])
  })
  test("a customer that pays another's captured invoice pays it: the other is then refused, TRANS_ALREADY_PAID, and not charged", async () => {
    const trans = await on.forge.invoice('hu-bakery', '17')
    const before = owedBy('hu-alice')
    const mine = on.mallorysRequest(trans)
    put(mine.frame, LIAR)
    await on.sim.run()
    expect(endOf(mine)).toEqual(['confirmed', undefined])
    const theirs = on.forge.paymentRequest('hu-alice', trans)
    await nothingChanged(on.world, () => put(theirs.frame), REFUSED_PAYMENT)
    expect(endOf(theirs)).toEqual(['refused', 'TRANS_ALREADY_PAID'])
    expect(owedBy('hu-alice')).toBe(before)
  })
})

describe('a customer that races itself', () => {
  test('a customer that asks for many micropayments at once never owes the threshold or more', async () => {
    await on.world.must(HOSTS.cpp, 'collect-customer', { customer: MALLORY })
    await on.sim.run()
    const requests: MadeRequest[] = []
    for (let i = 0; i < 16; i++) requests.push(on.mallorysRequest(await on.forge.invoice('hu-bakery', '190')))
    const balance = () => on.world.report(HOSTS.cpp) as CppReport
    requests.forEach(({ frame }) => put(frame, LIAR))
    await on.sim.advance(NOTICE_LIFETIME_MS + 1_000, 500)
    expect(requests.map((one) => endOf(one)[0]).filter((state) => state !== 'confirmed')).toEqual([])
    expect(balance()).toMatchObject({ boundBreaches: 0, undecided: {} })
    expect(owedBy(MALLORY)).toBeLessThan(1_000n)
  })
  test('a customer that sends one invoice under two ids at once is charged once: TRANS_LOCKED', async () => {
    const trans = await on.forge.invoice('hu-bakery', '18')
    const before = owedBy(MALLORY)
    const [first, second] = [on.mallorysRequest(trans), on.mallorysRequest(trans)]
    put(first.frame, LIAR)
    put(second.frame, LIAR)
    await on.sim.run()
    expect([endOf(first), endOf(second)]).toEqual([
      ['confirmed', undefined],
      ['refused', 'TRANS_LOCKED'],
    ])
    expect(owedBy(MALLORY)).toBe(before + 18n)
  })
  test('a customer that pays one invoice at two CPPs at once is charged once: TRANS_LOCKED at the MPP', async () => {
    const trans = await on.forge.invoice('hu-bakery', '19')
    const mine = [HOSTS.cpp, OTHER_CPP].map((cpp) =>
      on.forge.paymentRequest(MALLORY as never, trans, { cpp, host: LIAR, key: on.device }),
    )
    mine.forEach(({ frame, cpp }) => put(frame, LIAR, cpp))
    await on.sim.advance(NOTICE_LIFETIME_MS, 500)
    expect(mine.map(endOf).toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual([
      ['confirmed', undefined],
      ['rejected', 'TRANS_LOCKED'],
    ])
  })
  test('a customer that sends two payments under one id at once makes one: ID_REUSED', async () => {
    const prId = on.forge.id()
    const before = owedBy(MALLORY)
    put(on.mallorysRequest(await on.forge.invoice('hu-bakery', '20'), { prId }).frame, LIAR)
    const since = on.world.sent.length
    put(on.mallorysRequest(await on.forge.invoice('hu-bakery', '21'), { prId }).frame, LIAR)
    await on.sim.run()
    expect(refusedBy({ sent: on.world.sent.slice(since) }, HOSTS.cpp)).toEqual(['ID_REUSED'])
    expect(owedBy(MALLORY)).toBe(before + 20n)
  })
})

describe('a customer whose invoice lies', () => {
  const alteredBy = async (change: (body: Body<'transaction-details'>) => Partial<Body<'transaction-details'>>) => {
    const trans = await on.forge.invoice('hu-bakery', '22')
    const body = bodyOf('transaction-details', trans)
    const { header } = parsed(trans)
    // The customer's own key stands in for the merchant host's, which it does not have.
    return sealOne(
      makeContent(
        on.forge.header('transaction-details', HOSTS.merchant, header.to, { expiresAtMs: header.expiresAtMs }),
        on.encode('transaction-details', { ...body, ...change(body) }),
      ),
      on.device,
    )
  }
  test.each([
    ['amount', () => ({ amountMinor: 1n })],
    ['currency', () => ({ currency: 'USD' as const })],
    ['payee', () => ({ payee: 'hu-quiet' })],
  ] as const)('a customer that changes the %s of an invoice is refused: TRANS_INVALID', async (_, change) => {
    const request = on.mallorysRequest(await alteredBy(change))
    await nothingChanged(on.world, () => put(request.frame, LIAR), REFUSED_PAYMENT)
    expect(endOf(request)).toEqual(['refused', 'TRANS_INVALID'])
  })
})

describe('a wallet host that is not one', () => {
  test.each(['payment-notice', 'hold-order', 'payment-decision'] as const)(
    'a wallet host that sends a %s is refused: WRONG_ROLE',
    async (kind) => {
      await on.world.pay('hu-bob', 'hu-bakery', '2300')
      const from = kind === 'payment-decision' ? HOSTS.merchant : HOSTS.cpp
      const seen = on.world.sent.findLast((one) => kindOf(one) === kind && one.from === from)
      if (seen === undefined) throw new Error(`nobody sent a ${kind}`)
      const to = kind === 'payment-notice' ? HOSTS.dc : kind === 'hold-order' ? HOSTS.bank : HOSTS.mpp
      const frame = on.forge.raw(kind, LIAR, to, parsed(seen.data).bodyBytes)
      // Nobody but its CPP knows its key: it shows it to the data center first, as hosts do.
      on.say(LIAR, HOSTS.dc, 'credential-query', { id: HOSTS.cpp, chain: [...on.liars.customer.chain] })
      await on.sim.advance(2_000, 500)
      const caused = await nothingChanged(on.world, () => on.forge.put(to, kind, LIAR, frame), ASKED)
      expect(codesAt(caused, to).at(-1)).toBe('WRONG_ROLE')
    },
  )
})

test('after all of this every honest ledger agrees with every other', async () => {
  for (const cpp of [HOSTS.cpp, OTHER_CPP]) await on.world.must(cpp, 'settle-now')
  await on.sim.advance(60_000, 1_000)
  const seen = ['confirmed payments that a party to them does not hold']
  expect(await discord(on.world, seen)).toEqual([])
})
